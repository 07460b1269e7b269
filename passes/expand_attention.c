/* expand_attention: attention as a loop over blocks of 64 keys, and its keys' gradient as one over blocks of 64 rows, for targets
 * that have no kernel for it. Each step computes what codegen/eager/attention.c does, in the same order; a block's last elements
 * that are not there count as zeros that nobody sees. Relies on decompose.h, ir/emit.h. Never decides whether to expand. */
#include "../ir/emit.h"
#include "decompose.h"

#include <math.h>

#define BLOCK 64
enum { Q, K, V, MASK, G, SUMS, REST, OPERANDS };

/* A loop's body in the making. `in` are the operands as it sees them; where it blocks an axis, `at` are the indices of the block's
 * elements, and `there` says which of them exist. */
typedef struct Body {
    Emit *e;
    const struct attention_attrs *a;
    Value index, at, there, in[OPERANDS];
    Type scores;
} Body;

static const Type *type_of(const Body *b, Value v) { return b->e->type(b->e, v); }
static Type shaped(DType t, uint32_t rank, Dim x, Dim y, Dim z)
{
    return (Type){.dtype = (uint8_t)t, .rank = (uint8_t)rank, .dim = {x, y, z}};
}
static Value number(const Body *b, double v, const Type *like) { return emit_constant(b->e, v, like); }
static Value score_number(const Body *b, double v) { return emit_constant(b->e, v, &b->scores); }
static Value broadcast(const Body *b, Value v, Type from, const Type *to)
{
    from.dtype = to->dtype;
    return emit_broadcast(b->e, emit_reshape(b->e, v, &from), to);
}

static Value size_of(Emit *e, Dim d) /* as i64[] */
{
    const Type one = {.dtype = DT_i64};
    return dim_is_const(d) ? emit_constant(e, (double)d, &one) : e->op(e, OP_dim_size, NULL, 0, ATTRS_OF(dim_size, .dim = d));
}

/* ---- blocks ---------------------------------------------------------------------------------------- */

static Value iota(const Body *b, Dim n)
{
    struct iota_attrs *a = ATTRS_ROOM(iota, 1);
    a->dtype = DT_i64;
    a->shape[0] = n;
    return b->e->op(b->e, OP_iota, NULL, 0, ATTRS_TO(a, a->shape + 1));
}

static void open_block(Body *b, Dim size)
{
    Emit *e = b->e;
    const Type block = shaped(DT_i64, 1, BLOCK, 0, 0), one = {.dtype = DT_i64};
    const Value first = emit2(e, OP_mul, b->index, emit_constant(e, BLOCK, &one));
    b->at = emit2(e, OP_add, emit_broadcast(e, first, &block), iota(b, BLOCK));
    b->there = emit2(e, OP_lt, b->at, emit_broadcast(e, size_of(e, size), &block));
}

/* The block's elements of v along the axis. */
static Value block_of(const Body *b, Value v, int64_t axis)
{
    return v == 0 || b->at == 0 ? 0 : b->e->op(b->e, OP_gather, (Value[]){v, b->at}, 2, ATTRS_OF(gather, .axis = axis));
}

/* v, whose axis is the block's, or zeros where it has no elements. */
static Value or_zero(const Body *b, Value v, uint32_t axis)
{
    if (v == 0) return 0;
    const Type t = *type_of(b, v);
    Type along = shaped(DT_bool, t.rank, 1, 1, 1), all = t;
    along.dim[axis] = BLOCK;
    all.dtype = DT_bool;
    return emit3(b->e, OP_where, broadcast(b, b->there, along, &all), v, number(b, 0, &t));
}

/* ---- scores ---------------------------------------------------------------------------------------- */

/* Of rows and keys, given by their indices, all rows and keys: whether the row's place is at least the key's. */
static Value sees(const Body *b, Value rows, Value keys, const Type *all)
{
    Emit *e = b->e;
    const Type r = *type_of(b, rows), k = *type_of(b, keys);
    Value row = emit2(e, OP_mod, rows, emit_broadcast(e, size_of(e, b->a->period), &r));
    row = emit2(e, OP_add, row, emit_broadcast(e, size_of(e, b->a->after), &r));
    Value key = emit2(e, OP_add, keys, emit_broadcast(e, size_of(e, b->a->before), &k));
    Type wide = *all;
    wide.dtype = DT_i64;
    row = broadcast(b, row, shaped(DT_i64, 3, 1, r.dim[0], 1), &wide);
    return emit2(e, OP_ge, row, broadcast(b, key, shaped(DT_i64, 3, 1, 1, k.dim[0]), &wide));
}

typedef struct Scores {
    Value s, slope; /* slope: of the score with respect to q.k */
} Scores;

/* q, k, mask: of rows and keys of these indices; valid: bools of the scores' shape, or 0, where there is something at all. */
static Scores scores_of(const Body *b, Value q, Value k, Value mask, Value rows, Value keys, Value valid)
{
    Emit *e = b->e;
    const double cap = attr_f64(b->a->cap), scale = attr_f64(b->a->scale);
    Scores r;
    r.s = emit2(e, OP_mul, emit2(e, OP_matmul, q, emit_swap_last(e, k)), score_number(b, scale));
    r.slope = score_number(b, scale);
    if (cap != 0) {
        const Value t = emit1(e, OP_tanh, emit2(e, OP_div, r.s, score_number(b, cap)));
        r.slope = emit2(e, OP_mul, r.slope, emit2(e, OP_sub, score_number(b, 1), emit2(e, OP_mul, t, t)));
        r.s = emit2(e, OP_mul, t, score_number(b, cap));
    }
    r.s = emit2(e, OP_add, r.s, emit_broadcast(e, mask, &b->scores));
    const Value none = score_number(b, -INFINITY);
    if (b->a->causal) r.s = emit3(e, OP_where, sees(b, rows, keys, &b->scores), r.s, none);
    if (valid) r.s = emit3(e, OP_where, valid, r.s, none);
    return r;
}

/* x, but 0 where it is minus infinity. */
static Value bounded(const Body *b, Value x)
{
    if (x == 0) return 0;
    const Type t = *type_of(b, x);
    return emit3(b->e, OP_where, emit2(b->e, OP_eq, x, number(b, -INFINITY, &t)), number(b, 0, &t), x);
}

static Value each_row(const Body *b, Value rows, const Type *all) /* [n, rows] as all */
{
    return rows == 0 ? 0 : broadcast(b, rows, shaped((DType)all->dtype, 3, all->dim[0], all->dim[1], 1), all);
}

/* exp(s - sums) (g.v - rest) slope. */
static Value cotangents(const Body *b, const Scores *r, Value p, Value g, Value v, Value rest)
{
    Emit *e = b->e;
    const Value gv = emit2(e, OP_matmul, g, emit_swap_last(e, v));
    return emit2(e, OP_mul, emit2(e, OP_mul, p, emit2(e, OP_sub, gv, each_row(b, rest, &b->scores))), r->slope);
}

static Value weights(const Body *b, Value s, Value sums)
{
    return emit1(b->e, OP_exp, emit2(b->e, OP_sub, s, each_row(b, bounded(b, sums), &b->scores)));
}

/* ---- bodies ---------------------------------------------------------------------------------------- */

static Value sum_or_most(const Body *b, Op op, Value s) { return emit_reduce(b->e, op, s, (int64_t[]){2}, 1); }

/* Which of all rows see something of the block of keys that begins at the first index, [n, rows, length]. */
static Value rows_seeing(const Body *b, Value rows, const Type *like)
{
    Type all = *like;
    all.rank = 3;
    if (like->rank == 2) all.dim[2] = 1;
    const Value seen = sees(b, rows, emit_slice(b->e, b->at, 0, 0, 1), &all);
    return emit_reshape(b->e, seen, like);
}

/* `now`, or `before` in rows that see nothing of the block. */
static Value if_seen(const Body *b, Value rows, Value now, Value before)
{
    return !b->a->causal || now == 0 ? now : emit3(b->e, OP_where, rows_seeing(b, rows, type_of(b, now)), now, before);
}

/* What both loops over keys begin with. */
static Scores key_block(Body *b, Value rows, Value *k, Value *v)
{
    const Type q = *type_of(b, b->in[Q]), mask = *type_of(b, b->in[MASK]);
    b->scores = shaped((DType)q.dtype, 3, q.dim[0], q.dim[1], BLOCK);
    open_block(b, type_of(b, b->in[K])->dim[1]);
    *k = or_zero(b, block_of(b, b->in[K], 1), 1);
    *v = or_zero(b, block_of(b, b->in[V], 1), 1);
    const Value m = mask.dim[2] == 1 ? b->in[MASK] : block_of(b, b->in[MASK], 2);
    Type all = b->scores;
    all.dtype = DT_bool;
    return scores_of(b, b->in[Q], *k, m, rows, b->at, broadcast(b, b->there, shaped(DT_bool, 3, 1, 1, BLOCK), &all));
}

/* carry: the largest score, the sum of weights, the sum of weighted values. */
static void forward_body(Body *b, const Value *carry, Value *next)
{
    Emit *e = b->e;
    Value k, v, rows = iota(b, type_of(b, b->in[Q])->dim[1]);
    const Scores r = key_block(b, rows, &k, &v);
    const Value most = emit2(e, OP_max, carry[0], sum_or_most(b, OP_reduce_max, r.s)), from = bounded(b, most);
    const Value p = emit1(e, OP_exp, emit2(e, OP_sub, r.s, each_row(b, from, &b->scores)));
    const Value fade = emit1(e, OP_exp, emit2(e, OP_sub, carry[0], from));
    const Value kept = emit2(e, OP_mul, carry[2], each_row(b, fade, type_of(b, carry[2])));
    next[0] = if_seen(b, rows, most, carry[0]);
    next[1] = if_seen(b, rows, emit2(e, OP_add, emit2(e, OP_mul, carry[1], fade), sum_or_most(b, OP_sum, p)), carry[1]);
    next[2] = if_seen(b, rows, emit2(e, OP_add, kept, emit2(e, OP_matmul, p, v)), carry[2]);
}

static void query_body(Body *b, const Value *carry, Value *next)
{
    Value k, v, rows = iota(b, type_of(b, b->in[Q])->dim[1]);
    const Scores r = key_block(b, rows, &k, &v);
    const Value ds = cotangents(b, &r, weights(b, r.s, b->in[SUMS]), b->in[G], v, b->in[REST]);
    const Value more = emit2(b->e, OP_matmul, or_zero(b, ds, 2), k);
    next[0] = if_seen(b, rows, emit2(b->e, OP_add, carry[0], more), carry[0]);
}

/* Which rows of the block see something of each key's block of keys, [n, rows, keys]. */
static Value blocks_seen(const Body *b, Value keys)
{
    const Type t = *type_of(b, keys);
    const Value block = emit_constant(b->e, BLOCK, &t);
    const Value first = emit2(b->e, OP_mul, emit2(b->e, OP_floor_div, keys, block), block);
    Type all = b->scores;
    all.dtype = DT_bool;
    return sees(b, b->at, first, &all);
}

/* `now`, or `before` for keys whose block no row sees. */
static Value if_any(const Body *b, Value seen, Value now, Value before)
{
    if (seen == 0 || now == 0) return now;
    const Type t = *type_of(b, now);
    Type all = t, one = shaped(DT_bool, 3, b->scores.dim[0], b->scores.dim[2], 1);
    Value count =
        emit_reduce(b->e, OP_reduce_max, emit_cast(b->e, or_zero(b, emit_cast(b->e, seen, DT_i32), 1), DT_i32), (int64_t[]){1}, 1);
    if (count == 0) return 0;
    const Type counts = *type_of(b, count);
    all.dtype = DT_bool;
    return emit3(b->e, OP_where, broadcast(b, emit2(b->e, OP_ne, count, number(b, 0, &counts)), one, &all), now, before);
}

/* carry: the sums over rows of ds q and of p g. */
static void keys_body(Body *b, const Value *carry, Value *next)
{
    Emit *e = b->e;
    const Type k = *type_of(b, b->in[K]), mask = *type_of(b, b->in[MASK]);
    b->scores = shaped((DType)k.dtype, 3, k.dim[0], BLOCK, k.dim[1]);
    open_block(b, type_of(b, b->in[Q])->dim[1]);
    const Value q = or_zero(b, block_of(b, b->in[Q], 1), 1), g = or_zero(b, block_of(b, b->in[G], 1), 1);
    const Value m = mask.dim[1] == 1 ? b->in[MASK] : block_of(b, b->in[MASK], 1), keys = iota(b, k.dim[1]);
    const Value sums = block_of(b, b->in[SUMS], 1), rest = block_of(b, b->in[REST], 1);
    const Scores r = scores_of(b, q, b->in[K], m, b->at, keys, 0);
    Value p = weights(b, r.s, sums), ds = cotangents(b, &r, p, g, b->in[V], rest);
    const Value seen = b->a->causal ? blocks_seen(b, keys) : 0, zero = score_number(b, 0);
    if (seen) p = emit3(e, OP_where, seen, p, zero), ds = emit3(e, OP_where, seen, ds, zero);
    p = or_zero(b, p, 1), ds = or_zero(b, ds, 1);
    const Value of_k = emit2(e, OP_matmul, emit_swap_last(e, ds), q), of_v = emit2(e, OP_matmul, emit_swap_last(e, p), g);
    next[0] = if_any(b, seen, emit2(e, OP_add, carry[0], of_k), carry[0]);
    next[1] = if_any(b, seen, emit2(e, OP_add, carry[1], of_v), carry[1]);
}

/* ---- the loop -------------------------------------------------------------------------------------- */

typedef void BodyFn(Body *b, const Value *carry, Value *next);
#define CARRIES 3

/* Runs `body` over the blocks of an axis of `size`; carry: the first carries, then what they become. False after a failure. */
static bool over_blocks(Rebuild *rb, Emit *e, const Node *n, BodyFn *body, Dim size, Value *carry, uint32_t carries)
{
    Module *m = rb->to->module;
    const Type one = {.dtype = DT_i64};
    const Dim steps = dim_floordiv(&m->dims, dim_add(&m->dims, size, BLOCK - 1), BLOCK);
    if (size == 0) return true;
    if (steps == DIM_BAD) return status_fail(rb->st, ST_UNSUPPORTED, "%s: the number of blocks", op_def[n->op].name);
    Graph *g = graph_new(m, arena_printf(m->arena, "attention%u", m->graph.len));
    GraphEmit ge;
    graph_emit_init(&ge, g, rb->st);
    ge.e.loc = n->loc;
    Body b = {.e = &ge.e, .a = ATTRS(attention, n->attr->at), .index = graph_param(g, &one, n->loc)};
    Value in[1 + CARRIES + OPERANDS] = {size_of(e, steps)}, inner[CARRIES], next[CARRIES];
    for (uint32_t i = 0; i < carries; i++) {
        in[1 + i] = carry[i];
        inner[i] = graph_param(g, e->type(e, carry[i]), n->loc);
    }
    for (uint32_t i = 0; i < n->nin; i++) {
        in[1 + carries + i] = rb->map[n->in[i]];
        b.in[i] = graph_param(g, graph_type(rb->from, n->in[i]), n->loc);
    }
    body(&b, inner, next);
    for (uint32_t i = 0; i < carries; i++) {
        if (next[i] == 0) return false;
        graph_result(g, next[i]);
    }
    const Value first =
        e->op(e, OP_loop, in, 1 + carries + n->nin, ATTRS_OF(loop, .body = g->index, .carries = carries, .steps = steps));
    for (uint32_t i = 0; i < carries; i++) carry[i] = first + i;
    return first != 0;
}

static void forward(Rebuild *rb, Emit *e, const Node *n)
{
    const Type o = *graph_type(rb->from, n->out), sums = *graph_type(rb->from, n->out + 1);
    Type column = o, bools = o;
    column.dim[2] = 1;
    bools.dtype = DT_bool;
    Value carry[CARRIES] = {emit_constant(e, -INFINITY, &sums), emit_constant(e, 0, &sums), emit_constant(e, 0, &o)};
    if (!over_blocks(rb, e, n, forward_body, graph_type(rb->from, n->in[K])->dim[1], carry, 3)) return;
    const Value none = emit2(e, OP_eq, carry[1], emit_constant(e, 0, &sums));
    const Value sum = emit_broadcast(e, emit_reshape(e, carry[1], &column), &o);
    const Value nothing = emit_broadcast(e, emit_reshape(e, none, &column), &bools);
    rebuild_set(rb, n->out, emit3(e, OP_where, nothing, emit_constant(e, 0, &o), emit2(e, OP_div, carry[2], sum)));
    const Value log_sum = emit2(e, OP_add, carry[0], emit1(e, OP_log, carry[1]));
    rebuild_set(rb, n->out + 1, emit3(e, OP_where, none, emit_constant(e, -INFINITY, &sums), log_sum));
}

void expand_attention(Rebuild *rb, const Node *n)
{
    RebuildEmit re;
    rebuild_emit_init(&re, rb, n->loc);
    Emit *e = &re.e;
    const Type q = *graph_type(rb->from, n->in[Q]), k = *graph_type(rb->from, n->in[K]), v = *graph_type(rb->from, n->in[V]);
    if (n->op == OP_attention) {
        forward(rb, e, n);
    } else if (n->op == OP_attention_query) {
        Value carry[1] = {emit_constant(e, 0, &q)};
        if (over_blocks(rb, e, n, query_body, k.dim[1], carry, 1)) rebuild_set(rb, n->out, carry[0]);
    } else {
        Value carry[2] = {emit_constant(e, 0, &k), emit_constant(e, 0, &v)};
        if (!over_blocks(rb, e, n, keys_body, q.dim[1], carry, 2)) return;
        rebuild_set(rb, n->out, e->op(e, OP_concat, carry, 2, ATTRS_OF(concat, .axis = 2)));
    }
}
