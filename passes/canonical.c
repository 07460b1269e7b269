/* canonical: first of all passes. In: any valid graph, as traced. Out: the same results, with
 * nodes in the canonical order (depth-first from effects and results), folded, shared, without
 * leaves and without what nothing depends on. */
#include "../ir/rebuild.h"
#include "pass.h"

Graph *pass_canonical(PassCtx *ctx, const Graph *in)
{
    Rebuild rb;
    rebuild_begin(&rb, in, ctx->scratch, ctx->st);
    uint32_t *order = ARENA_ARRAY(ctx->scratch, uint32_t, in->node.len + 1);
    uint32_t n = graph_canonical_order(in, order, ctx->scratch);
    for (uint32_t i = 0; i < n; i++) rebuild_copy(&rb, order[i]);
    return rebuild_end(&rb);
}
