/* profile_module: the profile of a module in text form, on inputs that were given or that are made here. Relies on aot/run_text.c.
 */
#include "../../ir/element.h"
#include "../aot/aot.h"
#include "profile.h"

#define MOST_BY_ITSELF 1024 /* the largest bound of a size that is taken for it where nobody says more */

typedef struct Make {
    Thread *t;
    const char *text;
    size_t len;
    const kiln_run_options *dims;
    Arena arena;
    kiln_tensor **in; /* owned by the innermost scope */
    uint32_t n;
    kiln_run_dim *size; /* of all dims of the module */
    int sizes;
    Status st;
    bool ok;
} Make;

/* A size that was given is the only one within its bounds (text_dims). */
static bool size_of(const Make *m, const DimExpr *e, int64_t *to)
{
    *to = e->hi;
    if (e->lo == e->hi || e->hi <= MOST_BY_ITSELF) return true;
    fail(m->t, (kiln_site){0}, KILN_ESHAPE, "profile: the size %s may be up to %lld: give it one (--dim %s=64)", e->name,
        (long long)e->hi, e->name);
    return false;
}

static void fill(kiln_tensor *x)
{
    const DType d = (DType)x->type.dtype;
    const int64_t n = type_count(&x->type);
    for (int64_t i = 0; i < n; i++) {
        void *at = x->data + i * (int64_t)dtype_bytes(d);
        if (dtype_is_float(d))
            dtype_store_f64(d, at, (double)(i * 7919 % 1000) / 1000 - 0.5);
        else
            dtype_store_i64(d, at, 1);
    }
}

static void make(void *arg)
{
    Make *m = arg;
    Module *module = text_module(&m->arena, m->text, m->len, &m->st); /* no type of it has more than DIM_MAX elements */
    if (!module || !text_dims(module, "profile", m->dims, &m->st)) return;
    const Graph *g = module->graph.at[0];
    const DimTable *dims = &module->dims;
    int64_t *symbol = ARENA_ARRAY(&m->arena, int64_t, dims->expr.len + 1u);
    m->size = ARENA_ARRAY(&m->arena, kiln_run_dim, dims->expr.len + 1u);
    for (uint32_t i = 0; i < dims->expr.len; i++) {
        const DimExpr *e = &dims->expr.at[i];
        if (e->kind != DIM_SYMBOL || e->made || e->counted) continue;
        if (!size_of(m, e, &symbol[i])) return;
        m->size[m->sizes++] = (kiln_run_dim){e->name, symbol[i]};
    }
    m->in = ARENA_ARRAY(&m->arena, kiln_tensor *, g->param.len + 1);
    for (uint32_t i = 0; i < g->param.len; i++) {
        Type type = *graph_type(g, g->param.at[i]);
        for (uint32_t d = 0; d < type.rank; d++) type.dim[d] = dim_eval(dims, type.dim[d], symbol);
        kiln_tensor *x = tensor_empty(m->t, (kiln_site){0}, &type);
        if (!x) return;
        fill(x);
        m->in[m->n++] = tensor_place(m->t, (kiln_site){0}, x);
    }
    m->ok = true;
}

typedef struct Wish {
    FILE *to;
    const kiln_profile_options *o;
} Wish;

static bool use(Thread *t, kiln_site at, kiln_function *f, Instance *inst, kiln_tensor *const *in, kiln_tensor **result, void *user)
{
    const Wish *w = user;
    (void)result;
    return profile_instance(t, at, w->to, f, inst, in, w->o);
}

bool profile_module(kiln *k, FILE *to, const char *text, size_t len, kiln_tensor *const *in, int inputs,
    const kiln_run_options *dims, const kiln_profile_options *o)
{
    Make m = {.t = thread_of(k), .text = text, .len = len, .dims = dims, .ok = true};
    Wish w = {to, o};
    kiln_scope scope = kiln_scope_open(k);
    arena_init(&m.arena);
    if (inputs == 0) m.ok = false, arena_try(&m.arena, &m.st, make, &m);
    if (m.st.code) fail_status(m.t, (kiln_site){0}, &m.st);
    const kiln_run_options all = {.dims = m.size, .dims_count = m.sizes};
    const kiln_operands list = inputs ? kiln_tensors(in, inputs) : kiln_tensors(m.in, (int)m.n);
    const bool ok = m.ok && text_use((kiln_site){0}, k, "profile", text, len, list, inputs ? dims : &all, use, &w, NULL, 0) >= 0;
    kiln_scope_close(&scope);
    arena_free(&m.arena);
    return ok;
}
