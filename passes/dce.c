/* dce: In: any valid graph. Out: the same results, without the nodes that no effect and no
 * result depends on; the rest keeps its order. */
#include "../ir/rebuild.h"
#include "../ir/sizes.h"
#include "pass.h"

static bool *needed_nodes(PassCtx *ctx, const Graph *in)
{
    bool *needed = ARENA_ARRAY(ctx->scratch, bool, in->node.len + 1);
    const SizeNeeds *sizes = size_needs(in, ctx->scratch);
    for (uint32_t i = 0; i < in->result.len; i++) needed[in->value.at[in->result.at[i]].node] = true;
    for (uint32_t i = in->node.len; i-- > 0;) {
        const Node *n = &in->node.at[i];
        needed[i] |= node_has_effect(in->module, n);
        for (uint32_t k = 0; k < n->nin && needed[i]; k++) needed[in->value.at[n->in[k]].node] = true;
        for (uint32_t k = sizes ? sizes->first[i] : 0; sizes && needed[i] && k < sizes->first[i + 1]; k++)
            needed[sizes->maker[k]] = true;
    }
    return needed;
}

Graph *pass_dce(PassCtx *ctx, const Graph *in)
{
    const bool *needed = needed_nodes(ctx, in);
    Rebuild rb;
    rebuild_begin(&rb, in, ctx->scratch, ctx->st);
    for (uint32_t i = 0; i < in->node.len; i++)
        if (needed[i]) rebuild_copy(&rb, i);
    return rebuild_end(&rb);
}
