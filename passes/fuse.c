/* fuse: for now every node is a kernel of its own. */
#include "pass.h"
Graph *pass_fuse(PassCtx *ctx, const Graph *in)
{
    (void)ctx;
    return (Graph *)in;
}
