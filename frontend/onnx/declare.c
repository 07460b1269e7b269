/* declare: a model as a function whose inputs are declared beforehand: which sizes it is for, and which inputs have one value
 * alone. Such a function is what ahead-of-time compiling takes. Relies on import.h. */
#include "import.h"

#include <stdio.h>

/* In the model's arena, with all that it names. */
typedef struct Declared {
    kiln_onnx *m;
    kiln_function *f;
    kiln_tensor **given; /* per input: its only value, ours; NULL: any */
    struct Declared *next;
} Declared;

typedef struct Declaring {
    Thread *t;
    kiln_site at;
    kiln_onnx *m;
    kiln_onnx_declaration want;
    Declared *d;
    kiln_spec *spec;
    char open[400]; /* sizes that nobody has told, for the error */
    bool *used;     /* per size that is wanted */
} Declaring;

static bool refuse(const Declaring *g, kiln_code code, const char *what, const char *name)
{
    fail(g->t, g->at, code, "onnx: %s: %s%s", g->m->path ? g->m->path : "a model in memory", what, name);
    return false;
}

/* ---- inputs --------------------------------------------------------------------------------------------- */

static bool take_values(Declaring *g)
{
    for (int i = 0; i < g->want.fixed_count; i++) {
        const kiln_onnx_fixed *x = &g->want.fixed[i];
        uint32_t at = 0;
        while (at < g->m->inputs && !(x->name && strcmp(g->m->value[at].name, x->name) == 0)) at++;
        if (at == g->m->inputs)
            return refuse(g, KILN_EVALUE, "there is no input to fix that is called ", x->name ? x->name : "NULL");
        if (g->d->given[at]) return refuse(g, KILN_EVALUE, "there are two values for input ", x->name);
        if (!tensor_ok(x->value)) return false;
        g->d->given[at] = kiln_own(x->value);
    }
    for (uint32_t i = 0; i < g->m->inputs; i++)
        if (g->m->fixed[i] && !g->d->given[i])
            return refuse(g, KILN_EVALUE, "sizes follow from the numbers of an input, which must be fixed: ", g->m->value[i].name);
    return true;
}

/* ---- sizes ---------------------------------------------------------------------------------------------- */

/* What a size is called outside: by its name, or input_axis; letters, digits and _ alone. */
static char *symbol_name(Declaring *g, const char *name)
{
    char *to = arena_printf(&g->m->arena, "%s", name);
    for (char *c = to; *c; c++)
        if (!(*c >= '0' && *c <= '9') && !(*c >= 'a' && *c <= 'z') && !(*c >= 'A' && *c <= 'Z')) *c = '_';
    return to;
}

static void size_of(Declaring *g, const kiln_onnx_value *v, int axis, kiln_size *to)
{
    const char *own = arena_printf(&g->m->arena, "%s.%d", v->name, axis), *name = v->size_name[axis];
    *to = (kiln_size){v->size[axis], v->size[axis], NULL};
    if (v->size[axis] >= 0) return;
    for (int i = 0; i < g->want.sizes_count; i++) {
        const kiln_onnx_size *s = &g->want.sizes[i];
        if (!s->name || !(strcmp(s->name, own) == 0 || (name && strcmp(s->name, name) == 0))) continue;
        g->used[i] = true;
        *to = (kiln_size){s->lo, s->hi, s->lo == s->hi ? NULL : symbol_name(g, s->name)};
        return;
    }
    const size_t n = strlen(g->open);
    snprintf(g->open + n, sizeof g->open - n, "%s%s", n ? ", " : "", name ? name : own);
}

static bool spec_of(Declaring *g, uint32_t i)
{
    const kiln_onnx_value *v = &g->m->value[i];
    const kiln_tensor *given = g->d->given[i];
    kiln_spec *s = &g->spec[i];
    if (given) {
        *s = (kiln_spec){(kiln_dtype)given->type.dtype, given->type.rank, {{0}}};
        for (int j = 0; j < given->type.rank; j++) s->size[j] = kiln_size_of(given->type.dim[j]);
        return true;
    }
    if (v->dtype == KILN_NONE) return refuse(g, KILN_EUNSUPPORTED, "no tensor of a dtype that Kiln has is input ", v->name);
    if (v->rank < 0) return refuse(g, KILN_EUNSUPPORTED, "the model does not state a rank, of at most 8, of input ", v->name);
    *s = (kiln_spec){v->dtype, v->rank, {{0}}};
    for (int j = 0; j < v->rank; j++) size_of(g, v, j, &s->size[j]);
    return true;
}

static bool declare_sizes(Declaring *g)
{
    if (g->want.as_called) return true;
    g->spec = ARENA_ARRAY(&g->m->arena, kiln_spec, g->m->inputs + 1);
    g->used = arena_zeros(&g->m->arena, (size_t)g->want.sizes_count + 1, sizeof *g->used);
    for (uint32_t i = 0; i < g->m->inputs; i++)
        if (!spec_of(g, i)) return false;
    if (g->open[0]) return refuse(g, KILN_EVALUE, "sizes that the model leaves open: ", g->open);
    for (int i = 0; i < g->want.sizes_count; i++)
        if (!g->used[i])
            return refuse(g, KILN_EVALUE, "no input leaves a size open that is called ",
                g->want.sizes[i].name ? g->want.sizes[i].name : "NULL");
    return true;
}

/* ---- the function --------------------------------------------------------------------------------------- */

static kiln_shape tensor_shape_of(const kiln_tensor *x)
{
    kiln_shape s = {.rank = x->type.rank};
    for (int i = 0; i < s.rank; i++) s.size[1 + i] = x->type.dim[i];
    return s;
}

static void body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const Declared *d = user;
    Thread *t = thread_of(k);
    if (!t) return;
    for (uint32_t i = 0; i < d->m->inputs; i++)
        if (d->given[i] && kiln_assert_shape(in[i], tensor_shape_of(d->given[i])))
            kiln_assert(kiln_all(kiln_equal(in[i], d->given[i]), KILN_ALL), "onnx: an input that is fixed has another value");
    if (!kiln_failed(k)) onnx_run(t, d->m, in, d->given, out);
}

static void declare(void *arg)
{
    Declaring *g = arg;
    const uint32_t outputs = g->m->model->graph->output.n;
    g->d = ARENA_NEW(&g->m->arena, Declared);
    g->d->m = g->m;
    g->d->given = arena_zeros(&g->m->arena, g->m->inputs + 1, sizeof(kiln_tensor *));
    g->d->next = g->m->declared;
    g->m->declared = g->d;
    onnx_signature(g->m);
    if (!take_values(g) || !declare_sizes(g)) return;
    g->d->f = kiln_function_new_sized(g->at, g->m->o.k, body, g->d,
        &(kiln_function_options){.name = "onnx",
            .inputs_count = (int)g->m->inputs,
            .input_list = g->spec,
            .outputs = outputs ? (int)outputs : KILN_NO_OUTPUTS},
        sizeof(kiln_function_options));
}

kiln_function *kiln_onnx_declared_sized(kiln_site at, kiln_onnx *m, const kiln_onnx_declaration *want, size_t size)
{
    Declaring g = {.t = m ? thread_of(m->o.k) : NULL, .at = at, .m = m};
    Status st = {0};
    if (!g.t) return NULL;
    if (want) memcpy(&g.want, want, MIN_OF(size, sizeof g.want));
    pthread_mutex_lock(&m->lock);
    if (onnx_ready(g.t, at, m) && !arena_try(&m->arena, &st, declare, &g)) fail(g.t, at, (kiln_code)st.code, "onnx: %s", st.text);
    pthread_mutex_unlock(&m->lock);
    return g.d ? g.d->f : NULL;
}

void onnx_forget_declared(kiln_onnx *m)
{
    for (Declared *d = m->declared; d; d = d->next) {
        if (d->f) kiln_function_free(d->f);
        for (uint32_t i = 0; i < m->inputs; i++)
            if (d->given && d->given[i]) kiln_release(d->given[i]);
    }
}
