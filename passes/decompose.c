/* decompose: reductions in the steps that docs/numerics.md fixes. In: any valid graph. Out:
 * every sum, prod, reduce_max and reduce_min folds exactly one axis: runs of adjacent axes are
 * merged by a reshape and folded one run at a time, innermost first; sums and products of 16-bit
 * floats are computed in f32 and rounded once; a long run with few results is cut into whole
 * subtrees, which threads may share, unless a target shares rows itself. A concat of many operands, each element of which would
 * look at all of them, becomes concats of a few. Convolutions, where the build has no kernels for them, become products
 * (expand_conv.c). Same bits. */
#include "../ir/tree.h"
#include "decompose.h"
#include "pass.h"

/* A run longer than this is cut if the reduction has fewer results to share among the threads, into pieces of at least so many
 * elements; and these again, where a target wants more results (Target.many_results). */
#define LONG_RUN 32768
#define FEW_RESULTS 64
#define PIECE 4096
#define MOST_PIECES 32 /* of a run */
#define JOINED 32      /* operands of one concat */

typedef struct Reduce {
    Rebuild *rb;
    const Target *target;
    Op op;
    Loc loc;
} Reduce;

static Value emit(const Reduce *r, Op op, Value x, const int64_t *attr, uint32_t nattr)
{
    return x == 0 ? 0 : rebuild_op(r->rb, op, &x, 1, attr, nattr, r->loc);
}

static Value reshape(const Reduce *r, Value x, const Type *shape) { return emit(r, OP_reshape, x, shape->dim, shape->rank); }

/* The element that changes no result, as attribute bits. */
static int64_t identity(OpRole fold, DType t)
{
    if (fold == ROLE_SUM) return 0; /* the bits of 0.0 too */
    if (fold == ROLE_PROD) return dtype_is_float(t) ? attr_of_f64(1) : 1;
    if (dtype_is_float(t)) return attr_of_f64(fold == ROLE_MAX ? -dtype_most(t) : dtype_most(t));
    if (fold == ROLE_MAX) return dtype_info[t].lo;
    return t == DT_u64 ? -1 : dtype_info[t].hi;
}

static bool worth_cutting(const Type *x, uint32_t axis, Dim few)
{
    Dim results = 1;
    if (x->rank == MAX_RANK || !dim_is_const(x->dim[axis]) || x->dim[axis] <= LONG_RUN) return false;
    for (uint32_t i = 0; i < x->rank; i++) {
        if (i == axis) continue;
        if (!dim_is_const(x->dim[i])) return false;
        results = dim_mul(NULL, results, x->dim[i]);
        if (results == DIM_BAD || results >= few) return false;
    }
    return true;
}

/* Elements from .. to - 1 of the axis. */
static Value part(const Reduce *r, Value x, uint32_t axis, int64_t from, int64_t to)
{
    const Type *t = graph_type(r->rb->to, x);
    struct slice_attrs *s = slice_all(t, ATTRS_ROOM(slice, 3 * MAX_RANK));
    s->axis[axis].first = from;
    s->axis[axis].size = to - from;
    return emit(r, OP_slice, x, ATTRS_TO(s, s->axis + t->rank));
}

/* The elements behind the last whole piece. A row of fewer than TREE_LANES elements would be folded in another order by itself than
 * as the end of a longer row, so it is padded up to that length with the element that changes no result. */
static Value fold_rest(const Reduce *r, Value x, uint32_t axis, int64_t from, int64_t to)
{
    Type t = *graph_type(r->rb->to, x);
    const int64_t at = axis, missing = axis + 1u == t.rank ? TREE_LANES - (to - from) : 0;
    x = part(r, x, axis, from, to);
    if (missing > 0) {
        struct pad_attrs *pad = ATTRS_ROOM(pad, 2 * MAX_RANK);
        pad->fill = identity(op_def[r->op].role, t.dtype);
        pad->axis[axis].high = missing;
        x = emit(r, OP_pad, x, ATTRS_TO(pad, pad->axis + t.rank));
    }
    t.dim[axis] = 1;
    return reshape(r, emit(r, r->op, x, &at, 1), &t);
}

/* Combines the totals of n pieces from number `first` on into one: those in `whole`, and that of the rest. */
static Value join(const Reduce *r, Value whole, Value rest, uint32_t axis, int64_t first, int64_t n)
{
    static const Op step[] = {[ROLE_SUM] = OP_add, [ROLE_PROD] = OP_mul, [ROLE_MAX] = OP_max, [ROLE_MIN] = OP_min};
    if (n == 1 && first == graph_type(r->rb->to, whole)->dim[axis]) return rest;
    if (n == 1) return part(r, whole, axis, first, first + 1);
    int64_t left = tree_left(n);
    Value in[2];
    in[0] = join(r, whole, rest, axis, first, left);
    in[1] = join(r, whole, rest, axis, first + left, n - left);
    return in[0] == 0 || in[1] == 0 ? 0 : rebuild_op(r->rb, step[op_def[r->op].role], in, 2, NULL, 0, r->loc);
}

/* Cuts the row into pieces of 2^p blocks and combines their totals as the subtrees above them do. */
static Value fold_pieces(const Reduce *r, Value x, uint32_t axis)
{
    Type t = *graph_type(r->rb->to, x), cut = t;
    const int64_t inner = axis + 1, extent = t.dim[axis];
    int64_t piece = PIECE;
    while (tree_blocks(extent, piece) > MOST_PIECES) piece *= 2;
    int64_t whole = extent / piece, end = whole * piece;
    memmove(cut.dim + axis + 2, cut.dim + axis + 1, (t.rank - axis - 1u) * sizeof *cut.dim);
    cut.dim[axis] = whole;
    cut.dim[axis + 1] = piece;
    cut.rank++;
    Value totals = reshape(r, part(r, x, axis, 0, end), &cut);
    if (totals != 0 && worth_cutting(&cut, axis + 1, r->target->many_results / 2))
        totals = fold_pieces(r, totals, axis + 1);
    else
        totals = emit(r, r->op, totals, &inner, 1);
    Value rest = end < extent ? fold_rest(r, x, axis, end, extent) : 0;
    if (totals == 0 || (end < extent && rest == 0)) return 0;
    x = join(r, totals, rest, axis, 0, tree_blocks(extent, piece));
    memmove(t.dim + axis, t.dim + axis + 1, (t.rank - axis - 1u) * sizeof *t.dim);
    t.rank--;
    return reshape(r, x, &t);
}

/* Folds the axes from `first` to `last` of x, which lie side by side in memory order. */
static Value fold_run(const Reduce *r, Value x, uint32_t first, uint32_t last)
{
    if (x == 0) return 0;
    Type t = *graph_type(r->rb->to, x);
    const int64_t axis = first;
    if (last > first) {
        for (uint32_t i = first + 1; i <= last; i++) t.dim[first] = dim_mul(&r->rb->to->module->dims, t.dim[first], t.dim[i]);
        memmove(t.dim + first + 1, t.dim + last + 1, (t.rank - last - 1u) * sizeof *t.dim);
        t.rank = (uint8_t)(t.rank - (last - first));
        x = reshape(r, x, &t);
    }
    const bool shared = r->target->shared_row != 0 && first + 1 == t.rank && t.dim[first] > r->target->shared_row;
    return !shared && worth_cutting(&t, first, FEW_RESULTS) ? fold_pieces(r, x, first) : emit(r, r->op, x, &axis, 1);
}

static Value decompose(Rebuild *rb, const Node *n, const Target *target)
{
    const Reduce r = {rb, target, (Op)n->op, n->loc};
    const int64_t *axes = n->attr->at;
    Value x = rb->map[n->in[0]];
    const DType dtype = (DType)graph_type(rb->to, x)->dtype, compute = (DType)dtype_info[dtype].compute;
    bool wide = compute != dtype && op_def[n->op].role <= ROLE_PROD && n->attr->len > 0;
    if (wide) x = emit(&r, OP_cast, x, ATTRS_OF(cast, .to = compute));
    for (uint32_t end = n->attr->len; end > 0;) {
        uint32_t start = end - 1;
        while (start > 0 && axes[start - 1] + 1 == axes[start]) start--;
        x = fold_run(&r, x, (uint32_t)axes[start], (uint32_t)axes[end - 1]);
        end = start;
    }
    return wide ? emit(&r, OP_cast, x, ATTRS_OF(cast, .to = dtype)) : x;
}

static bool reduces_axes(const Node *n) { return op_reduces((Op)n->op) && op_def[n->op].attrs[0] == 'I'; }

/* Joins in rounds of groups of at most JOINED operands, with as few rounds as possible. */
static Value append(Emit *e, Op op, const Value *in, uint32_t nin, const int64_t *attr, uint32_t nattr)
{
    for (uint32_t i = 0; i < nin; i++)
        if (in[i] == 0) return 0;
    return rebuild_op(((RebuildEmit *)e)->rb, op, in, nin, attr, nattr, e->loc);
}

static const Type *type_of(Emit *e, Value v) { return graph_type(((RebuildEmit *)e)->rb->to, v); }

void rebuild_emit_init(RebuildEmit *re, Rebuild *rb, Loc loc)
{
    *re = (RebuildEmit){.e = {.op = append, .type = type_of, .module = rb->to->module, .loc = loc}, .rb = rb};
}

Value concat_in_rounds(Rebuild *rb, Value *in, uint32_t n, int64_t axis, Loc loc)
{
    while (n > JOINED) {
        uint32_t made = 0;
        for (uint32_t k = 0; k < n; k += JOINED, made++) {
            uint32_t few = MIN_OF(JOINED, n - k);
            Value v = few == 1 ? in[k] : rebuild_op(rb, OP_concat, in + k, few, &axis, 1, loc);
            if (v == 0) return 0;
            in[made] = v;
        }
        n = made;
    }
    return rebuild_op(rb, OP_concat, in, n, &axis, 1, loc);
}

static Value in_rounds(Rebuild *rb, const Node *n)
{
    Value *in = ARENA_ARRAY(rb->scratch, Value, n->nin);
    for (uint32_t k = 0; k < n->nin; k++) in[k] = rb->map[n->in[k]];
    return concat_in_rounds(rb, in, n->nin, n->attr->at[0], n->loc);
}

Graph *pass_decompose(PassCtx *ctx, const Graph *in)
{
    Rebuild rb;
    rebuild_begin(&rb, in, ctx->scratch, ctx->st);
    for (uint32_t i = 0; i < in->node.len; i++) {
        const Node *n = &in->node.at[i];
        if (reduces_axes(n))
            rebuild_set(&rb, n->out, decompose(&rb, n, ctx->target));
        else if (op_joins((Op)n->op) && n->nin > JOINED)
            rebuild_set(&rb, n->out, in_rounds(&rb, n));
        else if (op_convolves((Op)n->op) && !ctx->host_products)
            rebuild_set(&rb, n->out, expand_conv(&rb, n));
        else if (op_attends((Op)n->op) && !ctx->host_products)
            expand_attention(&rb, n);
        else
            rebuild_copy(&rb, i);
    }
    return rebuild_end(&rb);
}
