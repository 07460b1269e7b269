/* declare: a model as a function whose inputs are declared beforehand: how long its lists are, which sizes it is for, and which
 * inputs have one value alone. Such a function is what ahead-of-time compiling takes. Relies on import.h. */
#include "../function/told.h"
#include "import.h"

#include <stdio.h>

/* In the model's arena, with all that it names. */
typedef struct Declared {
    kiln_onnx *m;
    kiln_function *f, *probe;  /* probe: the one that tells how long the output lists are; it goes then */
    int *count;                /* per input: how many tensors it is, or KILN_ONNX_NONE */
    uint32_t tensors, outputs; /* in all */
    kiln_tensor **given;       /* per tensor: its only value, ours; NULL: any */
    kiln_onnx_value *in, *out; /* per tensor */
    int64_t *counts;           /* per output; NULL: each is one tensor */
    struct Declared *next;
} Declared;

typedef struct Declaring {
    Thread *t;
    kiln_site at;
    kiln_onnx *m;
    kiln_onnx_declaration want;
    Declared *d;
    kiln_spec *spec;
    char open[400];        /* sizes that nobody has told, for the error */
    bool *used;            /* per size that is wanted */
    kiln_tensor **example; /* per tensor: one that says its dtype and sizes, or NULL */
} Declaring;

static bool refuse(const Declaring *g, kiln_code code, const char *what, const char *name)
{
    fail(g->t, g->at, code, "onnx: %s: %s%s", g->m->path ? g->m->path : "a model in memory", what, name);
    return false;
}

/* ---- inputs --------------------------------------------------------------------------------------------- */

/* How many tensors an input is. False: recorded. */
static bool count_of(Declaring *g, const kiln_onnx_value *v, int *count)
{
    const bool none = v->kind == KILN_ONNX_OPTIONAL || v->kind == KILN_ONNX_OPTIONAL_SEQUENCE;
    *count = 1;
    if (v->kind == KILN_ONNX_TENSOR) return true;
    for (int i = 0; i < g->want.sizes_count; i++) {
        const kiln_onnx_size *s = &g->want.sizes[i];
        if (!s->name || strcmp(s->name, v->name) != 0) continue;
        g->used[i] = true;
        if (s->lo != s->hi || s->lo < (none ? KILN_ONNX_NONE : 0) || s->lo > (v->kind == KILN_ONNX_OPTIONAL ? 1 : MOST_TENSORS))
            return refuse(g, KILN_EVALUE, "there cannot be so many tensors in input ", v->name);
        *count = v->kind == KILN_ONNX_OPTIONAL && s->lo == 0 ? KILN_ONNX_NONE : (int)s->lo;
        return true;
    }
    return refuse(g, KILN_EVALUE, "the number of its tensors must be told, as a size of its name, of input ", v->name);
}

/* An input's tensors as inputs of their own. */
static bool take_inputs(Declaring *g)
{
    Arena *a = &g->m->arena;
    Declared *d = g->d;
    d->count = ARENA_ARRAY(a, int, g->m->inputs + 1);
    for (uint32_t i = 0; i < g->m->inputs; i++) {
        if (!count_of(g, &g->m->value[i], &d->count[i])) return false;
        d->tensors += (uint32_t)MAX_OF(d->count[i], 0);
        if (d->tensors > MOST_TENSORS + g->m->inputs)
            return refuse(g, KILN_EVALUE, "there are too many tensors with those of input ", g->m->value[i].name);
    }
    d->in = ARENA_ARRAY(a, kiln_onnx_value, d->tensors + 1);
    for (uint32_t i = 0, n = 0; i < g->m->inputs; i++)
        for (int j = 0; j < d->count[i]; j++) {
            kiln_onnx_value *to = &d->in[n++];
            *to = g->m->value[i];
            if (to->kind != KILN_ONNX_TENSOR) to->name = arena_printf(a, "%s.%d", to->name, j);
            to->kind = KILN_ONNX_TENSOR;
        }
    return true;
}

/* The tensor of that name. False: recorded. */
static bool named_input(const Declaring *g, const char *name, const char *what, uint32_t *at)
{
    for (*at = 0; *at < g->d->tensors; ++*at)
        if (name && strcmp(g->d->in[*at].name, name) == 0) return true;
    return refuse(g, KILN_EVALUE, what, name ? name : "NULL");
}

static bool take_values(Declaring *g)
{
    for (int i = 0; i < g->want.fixed_count; i++) {
        const kiln_onnx_fixed *x = &g->want.fixed[i];
        uint32_t at;
        if (!named_input(g, x->name, "there is no input to fix that is called ", &at)) return false;
        if (g->d->given[at]) return refuse(g, KILN_EVALUE, "there are two values for input ", x->name);
        if (!tensor_ok(x->value)) return false;
        g->d->given[at] = kiln_own(x->value);
    }
    for (uint32_t i = 0; i < g->d->tensors; i++)
        if (g->d->in[i].fixed && !g->d->given[i])
            return refuse(g, KILN_EVALUE, "sizes follow from the numbers of an input, which must be fixed: ", g->d->in[i].name);
    g->example = arena_zeros(&g->m->arena, g->d->tensors + 1, sizeof(kiln_tensor *));
    for (int i = 0; i < g->want.examples_count; i++) {
        const kiln_onnx_fixed *x = &g->want.examples[i];
        uint32_t at;
        if (!named_input(g, x->name, "there is no input to give an example of that is called ", &at) || !tensor_ok(x->value))
            return false;
        g->example[at] = x->value;
    }
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

/* Adds the name to those that are open, once. */
static void name_open(Declaring *g, const char *name)
{
    const size_t n = strlen(g->open), length = strlen(name);
    for (const char *at = g->open; length != 0 && (at = strstr(at, name)); at += length)
        if ((at == g->open || at[-1] == ' ') && (at[length] == '\0' || at[length] == ',')) return;
    snprintf(g->open + n, sizeof g->open - n, "%s%s", n ? ", " : "", name);
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
    name_open(g, name ? name : own);
}

static bool spec_of(Declaring *g, uint32_t i)
{
    const kiln_onnx_value *v = &g->d->in[i];
    const kiln_tensor *given = g->d->given[i] ? g->d->given[i] : g->example[i];
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
    g->spec = ARENA_ARRAY(&g->m->arena, kiln_spec, g->d->tensors + 1);
    for (uint32_t i = 0; i < g->d->tensors; i++)
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
    const kiln_site none = {0}; /* errors are at the call */
    Thread *t = thread_of(k);
    if (!t) return;
    for (uint32_t i = 0; i < d->tensors; i++)
        if (d->given[i] && kiln_assert_shape_at(none, of(in[i]), tensor_shape_of(d->given[i])))
            kiln_assert_at(none, of(kiln_all_at(none, of(kiln_eq_at(none, of(in[i]), of(d->given[i]))), KILN_ALL)),
                "onnx: an input that is fixed has another value");
    const ScratchMark mark = scratch_mark(&t->scratch);
    const BodyTold *told = told_by(t, d->probe);
    ModelRun run = {.in = in, .count = d->count, .given = d->given, .out = out, .most = told ? MOST_TENSORS : (int)d->outputs};
    run.counts = told        ? told->at
                 : d->counts ? thread_scratch(t, (kiln_site){0}, d->m->plan->outputs + 1, sizeof *run.counts)
                             : NULL;
    if (!kiln_failed(k)) onnx_run(t, d->m, &run);
    for (uint32_t i = 0; d->counts && !told && !kiln_failed(k) && i < d->m->plan->outputs; i++)
        if (run.counts[i] != d->counts[i])
            fail(t, (kiln_site){0}, KILN_EVALUE,
                "onnx: output %u, '%s', is a list of %lld tensors, not of %lld as when it was declared", i,
                d->m->value[d->m->inputs + i].name, (long long)run.counts[i], (long long)d->counts[i]);
    scratch_reset(&t->scratch, mark);
}

static kiln_function *function_of(Declaring *g, int outputs)
{
    return kiln_function_new_sized(g->at, g->m->o.k, body, g->d,
        &(kiln_function_options){.name = "onnx",
            .inputs_count = (int)g->d->tensors,
            .input_list = g->spec,
            .outputs = outputs ? outputs : KILN_NO_OUTPUTS},
        sizeof(kiln_function_options));
}

/* How long the output lists are is what a trace of the model finds. False: recorded. */
static bool count_outputs(Declaring *g)
{
    Declared *d = g->d;
    const uint32_t outputs = g->m->plan->outputs;
    const kiln_onnx_value *v = g->m->value + g->m->inputs;
    uint32_t list = 0;
    while (list < outputs && v[list].kind == KILN_ONNX_TENSOR) list++;
    d->outputs = outputs;
    if (list == outputs) return true;
    if (g->want.as_called)
        return refuse(g, KILN_EUNSUPPORTED, "how many tensors it has may follow from sizes, so these must be declared, of output ",
            v[list].name);
    int64_t *counts = arena_zeros(&g->m->arena, outputs + 1, sizeof *counts);
    d->probe = function_of(g, MOST_TENSORS);
    if (!d->probe) return false;
    function_open(d->probe);
    BodyTold told = {d->probe, counts, outputs};
    BodyTold *outer = g->t->told;
    g->t->told = &told;
    trace_and_drop(g->t, g->at, d->probe);
    g->t->told = outer;
    kiln_function_free(d->probe);
    d->probe = NULL;
    d->counts = counts;
    d->outputs = 0;
    for (uint32_t i = 0; i < outputs; i++) d->outputs += (uint32_t)MAX_OF(counts[i], 0);
    return !kiln_failed(g->m->o.k);
}

static void name_outputs(Declaring *g)
{
    Declared *d = g->d;
    const kiln_onnx_value *v = g->m->value + g->m->inputs;
    d->out = ARENA_ARRAY(&g->m->arena, kiln_onnx_value, d->outputs + 1);
    for (uint32_t i = 0, n = 0; i < g->m->plan->outputs; i++)
        for (int64_t j = 0; j < (d->counts ? d->counts[i] : 1); j++) {
            d->out[n] = v[i];
            if (v[i].kind != KILN_ONNX_TENSOR) d->out[n].name = arena_printf(&g->m->arena, "%s.%lld", v[i].name, (long long)j);
            d->out[n++].kind = KILN_ONNX_TENSOR;
        }
}

static void declare(void *arg)
{
    Declaring *g = arg;
    g->d = ARENA_NEW(&g->m->arena, Declared);
    g->d->m = g->m;
    g->used = arena_zeros(&g->m->arena, (size_t)g->want.sizes_count + 1, sizeof *g->used);
    if (!take_inputs(g)) return;
    g->d->given = arena_zeros(&g->m->arena, g->d->tensors + 1, sizeof(kiln_tensor *));
    g->d->next = g->m->declared;
    g->m->declared = g->d;
    if (!take_values(g) || !declare_sizes(g) || !count_outputs(g)) return;
    name_outputs(g);
    g->d->f = function_of(g, (int)g->d->outputs);
}

kiln_function *kiln_onnx_declared_sized(kiln_site at, kiln_onnx *m, const kiln_onnx_declaration *want, size_t size)
{
    Declaring g = {.t = m ? thread_of(m->o.k) : NULL, .at = at, .m = m};
    Status st = {0};
    if (!g.t) return NULL;
    if (want) memcpy(&g.want, want, MIN_OF(size, sizeof g.want));
    pthread_mutex_lock(&m->lock);
    if (onnx_to_call(g.t, at, m) && onnx_takes(g.t, at, m, true) && !arena_try(&m->arena, &st, declare, &g))
        fail(g.t, at, (kiln_code)st.code, "onnx: %s", st.text);
    pthread_mutex_unlock(&m->lock);
    return g.d ? g.d->f : NULL;
}

void onnx_forget_declared(kiln_onnx *m)
{
    for (Declared *d = m->declared; d; d = d->next) {
        if (d->f) kiln_function_free(d->f);
        for (uint32_t i = 0; i < d->tensors; i++)
            if (d->given && d->given[i]) kiln_release(d->given[i]);
    }
}

/* ---- what goes in and out ------------------------------------------------------------------------------- */

static int tell(kiln_site at, kiln_onnx *m, const kiln_function *f, bool out, kiln_onnx_value *to, int cap)
{
    Thread *t = m ? thread_of(m->o.k) : NULL;
    if (!t) return -1;
    pthread_mutex_lock(&m->lock);
    const Declared *d = m->declared;
    while (d && (!f || d->f != f)) d = d->next;
    pthread_mutex_unlock(&m->lock);
    if (!d) return fail(t, at, KILN_EVALUE, "onnx: the function is none that kiln_onnx_declared made of this model"), -1;
    const int n = (int)(out ? d->outputs : d->tensors);
    for (int i = 0; to && i < n && i < cap; i++) to[i] = (out ? d->out : d->in)[i];
    return n;
}

int kiln_onnx_declared_inputs_at(kiln_site at, kiln_onnx *m, kiln_function *f, kiln_onnx_value *to, int cap)
{
    return tell(at, m, f, false, to, cap);
}

int kiln_onnx_declared_outputs_at(kiln_site at, kiln_onnx *m, kiln_function *f, kiln_onnx_value *to, int cap)
{
    return tell(at, m, f, true, to, cap);
}
