/* text_run: see text_run.h. */
#include "text_run.h"

#include "ir/text.h"

static kiln_tensor *tensor_of(const GraphRun *r, kiln *k, const Graph *g, Value v, const void *bytes)
{
    const Type *t = graph_type(g, v);
    kiln_shape shape = {.rank = t->rank};
    int64_t n = 1;
    for (uint32_t i = 0; i < t->rank; i++) n *= shape.size[1 + i] = dim_eval(&g->module->dims, t->dim[i], r->symbol);
    return kiln_from_at(KILN_HERE, k, (kiln_dtype)t->dtype, shape, bytes, n);
}

static bool run(const GraphRun *r, kiln *k, const Module *m, const Text *text, const void *const *in, void **result)
{
    const Graph *g = m->graph.at[0];
    const Dim n = dim_find(&m->dims, "N", 1);
    const kiln_run_dim dim = {"N", n == DIM_BAD ? 0 : r->symbol[-1 - n]};
    kiln_tensor **x = arena_zeros(r->arena, g->param.len + g->result.len + 1u, sizeof *x), **y = x + g->param.len;
    for (uint32_t i = 0; i < g->param.len; i++) x[i] = tensor_of(r, k, g, g->param.at[i], in[i]);
    kiln_run_text_with(k, text->at, text->len, kiln_tensors(x, (int)g->param.len), y, (int)g->result.len,
                       &(kiln_run_options){.dims = &dim, .dims_count = n != DIM_BAD});
    if (kiln_failed(k)) return status_fail(r->st, (StatusCode)kiln_error(k)->code, "%s", kiln_error(k)->text);
    for (uint32_t i = 0; i < g->result.len; i++) {
        const int64_t bytes = kiln_bytes(y[i]);
        if (bytes != graph_bytes(r, g, g->result.at[i]))
            return status_fail(r->st, ST_SHAPE, "result %u has %lld bytes, not %lld", i, (long long)bytes,
                               (long long)graph_bytes(r, g, g->result.at[i]));
        result[i] = arena_alloc(r->arena, (size_t)bytes + 1);
        if (!kiln_read(y[i], result[i], (size_t)bytes)) return status_fail(r->st, (StatusCode)kiln_error(k)->code, "%s", kiln_error(k)->text);
    }
    return true;
}

bool text_run(const GraphRun *r, kiln *k, const Module *m, const void *const *in, void **result)
{
    Text text = {0};
    kiln_scope scope = kiln_scope_open(k);
    module_print(&text, m);
    const bool ok = run(r, k, m, &text, in, result);
    kiln_scope_close(&scope);
    kiln_clear(k);
    text_free(&text);
    return ok;
}
