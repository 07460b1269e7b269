/* fold_move: moves that move nothing, moves of constants, and pairs of moves that are one.
 * Relies on fold, infer. Never looks at elements other than a constant's. */
#include "fold_move.h"

#include "fold.h"
#include "infer.h"

/* A move of equal elements gives those elements: the constant in the result's shape. */
static Value move_of_constant(
    Rebuild *rb, Op op, const Value *in, uint32_t nin, const int64_t *attr, uint32_t nattr, Loc loc)
{
    Scalar first, c;
    uint32_t moved = op == OP_gather ? 1 : nin; /* the indices only choose */
    if (nin == 0 || !value_is_constant(rb->to, in[0], &first)) return 0;
    for (uint32_t i = 1; i < moved; i++)
        if (!value_is_constant(rb->to, in[i], &c) || c.i != first.i) return 0;
    if (op == OP_pad && attr[0] != first.i) return 0;
    Infer inf;
    if (!infer_node(&inf, rb->to, op, in, nin, attr, nattr, rb->st)) return 0;
    return fold_constant(rb, &inf.out[0], first, loc);
}

static Value fold_reshape(Rebuild *rb, Value x, const int64_t *attr, uint32_t nattr, Loc loc)
{
    const Type *t = graph_type(rb->to, x);
    if (t->rank == nattr && memcmp(t->dim, attr, nattr * sizeof *attr) == 0) return x;
    const Node *inner = fold_maker(rb, x, OP_reshape);
    return inner != NULL ? rebuild_op(rb, OP_reshape, inner->in, 1, attr, nattr, loc) : 0;
}

static Value fold_broadcast(Rebuild *rb, Value x, const int64_t *attr, uint32_t nattr, Loc loc)
{
    const Type *t = graph_type(rb->to, x);
    if (t->rank == nattr && memcmp(t->dim, attr, nattr * sizeof *attr) == 0) return x;
    const Node *inner = fold_maker(rb, x, OP_broadcast);
    return inner != NULL ? rebuild_op(rb, OP_broadcast, inner->in, 1, attr, nattr, loc) : 0;
}

static Value fold_transpose(Rebuild *rb, Value x, const int64_t *perm, uint32_t n, Loc loc)
{
    bool moves = false;
    for (uint32_t i = 0; i < n; i++) moves |= perm[i] != i;
    if (!moves) return x;
    const Node *inner = fold_maker(rb, x, OP_transpose);
    if (inner == NULL) return 0;
    int64_t both[MAX_RANK];
    for (uint32_t i = 0; i < n; i++) both[i] = inner->attr->at[perm[i]];
    return rebuild_op(rb, OP_transpose, inner->in, 1, both, n, loc);
}

static Value fold_slice(Rebuild *rb, Value x, const int64_t *attr, uint32_t nattr, Loc loc)
{
    const Type *t = graph_type(rb->to, x);
    bool whole = true;
    for (uint32_t i = 0; i < t->rank; i++)
        whole &= attr[3 * i] == 0 && attr[3 * i + 1] == t->dim[i] && attr[3 * i + 2] == 1;
    if (whole) return x;
    const Node *inner = fold_maker(rb, x, OP_slice);
    if (inner == NULL) return 0;
    DimTable *dims = &rb->to->module->dims;
    const int64_t *a = inner->attr->at;
    int64_t both[3 * MAX_RANK];
    for (uint32_t i = 0; i < t->rank; i++) {
        both[3 * i] = dim_add(dims, a[3 * i], dim_mul(dims, attr[3 * i], a[3 * i + 2]));
        both[3 * i + 1] = attr[3 * i + 1];
        both[3 * i + 2] = dim_mul(dims, attr[3 * i + 2], a[3 * i + 2]);
        if (both[3 * i] == DIM_BAD || both[3 * i + 2] == DIM_BAD) return 0;
    }
    return rebuild_op(rb, OP_slice, inner->in, 1, both, nattr, loc);
}

static Value fold_flip(Rebuild *rb, Value x, const int64_t *attr, uint32_t nattr)
{
    if (nattr == 0) return x;
    const Node *inner = fold_maker(rb, x, OP_flip);
    bool same = inner != NULL && inner->attr->len == nattr;
    return same && memcmp(inner->attr->at, attr, nattr * sizeof *attr) == 0 ? inner->in[0] : 0;
}

static Value fold_pad(Value x, const int64_t *attr, uint32_t nattr)
{
    for (uint32_t i = 1; i < nattr; i++)
        if (attr[i] != 0) return 0;
    return x;
}

Value fold_move(
    Rebuild *rb, Op op, const Value *in, uint32_t nin, const int64_t *attr, uint32_t nattr, Loc loc)
{
    Value v = move_of_constant(rb, op, in, nin, attr, nattr, loc);
    if (v != 0 || rb->st->code != ST_OK) return v;
    switch (op) {
    case OP_reshape: return fold_reshape(rb, in[0], attr, nattr, loc);
    case OP_broadcast: return fold_broadcast(rb, in[0], attr, nattr, loc);
    case OP_transpose: return fold_transpose(rb, in[0], attr, nattr, loc);
    case OP_slice: return fold_slice(rb, in[0], attr, nattr, loc);
    case OP_flip: return fold_flip(rb, in[0], attr, nattr);
    case OP_pad: return fold_pad(in[0], attr, nattr);
    case OP_concat: return nin == 1 ? in[0] : 0;
    default: return 0;
    }
}
