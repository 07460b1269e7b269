/* decompose: reductions in the steps that docs/numerics.md fixes. In: any valid graph. Out:
 * every sum, prod, reduce_max and reduce_min folds exactly one axis: runs of adjacent axes are
 * merged by a reshape and folded one run at a time, innermost first; a run of 16-bit floats is
 * summed or multiplied in f32; a long run with few results is folded in blocks. Same bits. */
#include "../ir/rebuild.h"
#include "pass.h"

#define BLOCK 4096     /* elements; the block of the order rule in docs/numerics.md */
#define LONG_RUN 16384 /* a run above this is folded in blocks, */
#define FEW_RESULTS 64 /* if there are fewer results than this to share among the threads */
#define LANES 32       /* rows at least this long are folded by lanes, which is no plain order */

typedef struct Reduce {
    Rebuild *rb;
    Op op;
    Loc loc;
} Reduce;

static Value emit(const Reduce *r, Op op, Value x, const int64_t *attr, uint32_t nattr)
{
    return x == 0 ? 0 : rebuild_op(r->rb, op, &x, 1, attr, nattr, r->loc);
}

static Value reshape(const Reduce *r, Value x, const Type *shape)
{
    return emit(r, OP_reshape, x, shape->dim, shape->rank);
}

/* The element that changes no result, as attribute bits. */
static int64_t identity(Op op, DType t)
{
    if (op == OP_sum) return 0; /* the bits of 0.0 too */
    if (op == OP_prod) return dtype_is_float(t) ? attr_of_f64(1) : 1;
    if (dtype_is_float(t))
        return attr_of_f64(op == OP_reduce_max ? -__builtin_inf() : __builtin_inf());
    if (op == OP_reduce_max) return dtype_info[t].lo;
    return t == DT_u64 ? -1 : dtype_info[t].hi;
}

static bool folds_in_blocks(const Reduce *r, const Type *x, uint32_t axis)
{
    Dim extent = x->dim[axis], results = 1;
    if (axis + 1 != x->rank || x->rank == MAX_RANK || !dim_is_const(extent) || extent <= LONG_RUN)
        return false;
    for (uint32_t i = 0; i < axis; i++) {
        if (!dim_is_const(x->dim[i])) return false;
        results = dim_mul(NULL, results, x->dim[i]);
        if (results == DIM_BAD || results >= FEW_RESULTS) return false;
    }
    /* Only sum has a form that is in order whatever the number of blocks. */
    return r->op == OP_sum || (extent + BLOCK - 1) / BLOCK < LANES;
}

static Value fold_blocks(const Reduce *r, Value x, uint32_t axis)
{
    Type t = *graph_type(r->rb->to, x);
    int64_t blocks = (t.dim[axis] + BLOCK - 1) / BLOCK, missing = blocks * BLOCK - t.dim[axis];
    int64_t outer = axis, inner = axis + 1;
    if (missing != 0) {
        int64_t pad[1 + 2 * MAX_RANK] = {identity(r->op, t.dtype)};
        pad[2 + 2 * axis] = missing;
        x = emit(r, OP_pad, x, pad, 1u + 2u * t.rank);
    }
    t.dim[axis] = blocks;
    t.dim[axis + 1] = BLOCK;
    t.rank++;
    x = emit(r, r->op, reshape(r, x, &t), &inner, 1);
    return emit(r, r->op == OP_sum ? OP_sum_in_order : r->op, x, &outer, 1);
}

/* Folds axes first..last of x, which lie side by side. */
static Value fold_run(const Reduce *r, Value x, uint32_t first, uint32_t last)
{
    if (x == 0) return 0;
    Type t = *graph_type(r->rb->to, x);
    const int64_t axis = first, narrow = t.dtype;
    if (r->op == OP_sum || r->op == OP_prod) t.dtype = dtype_info[t.dtype].compute;
    if (t.dtype != narrow) x = emit(r, OP_cast, x, (int64_t[]){t.dtype}, 1);
    if (last > first) {
        for (uint32_t i = first + 1; i <= last; i++)
            t.dim[first] = dim_mul(&r->rb->to->module->dims, t.dim[first], t.dim[i]);
        memmove(t.dim + first + 1, t.dim + last + 1, (t.rank - last - 1u) * sizeof *t.dim);
        t.rank = (uint8_t)(t.rank - (last - first));
        x = reshape(r, x, &t);
    }
    x = folds_in_blocks(r, &t, first) ? fold_blocks(r, x, first) : emit(r, r->op, x, &axis, 1);
    return t.dtype != narrow ? emit(r, OP_cast, x, &narrow, 1) : x;
}

static Value decompose(Rebuild *rb, const Node *n)
{
    const Reduce r = {rb, (Op)n->op, n->loc};
    const int64_t *axes = n->attr->at;
    Value x = rb->map[n->in[0]];
    for (uint32_t end = n->attr->len; end > 0;) {
        uint32_t start = end - 1;
        while (start > 0 && axes[start - 1] + 1 == axes[start]) start--;
        x = fold_run(&r, x, (uint32_t)axes[start], (uint32_t)axes[end - 1]);
        end = start;
    }
    return x;
}

static bool reduces_axes(const Node *n)
{
    return n->op == OP_sum || n->op == OP_prod || n->op == OP_reduce_max || n->op == OP_reduce_min;
}

Graph *pass_decompose(PassCtx *ctx, const Graph *in)
{
    Rebuild rb;
    rebuild_begin(&rb, in, ctx->scratch, ctx->st);
    for (uint32_t i = 0; i < in->node.len; i++) {
        const Node *n = &in->node.at[i];
        if (reduces_axes(n))
            rebuild_set(&rb, n->out, decompose(&rb, n));
        else
            rebuild_copy(&rb, i);
    }
    return rebuild_end(&rb);
}
