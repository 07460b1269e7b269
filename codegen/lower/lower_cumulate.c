/* lower_cumulate: cumsum, cumprod and recurrence. A recurrence runs along its axis in one kernel. Running sums and products go
 * through blocks of TREE_CHAIN elements side by side; then the totals of the blocks are cumulated in the same way, and each block
 * is combined with what comes before it. Relies on lower.h. */
#include "lower.h"

enum { BEFORE, BLOCK, AFTER, IN_BLOCK }; /* axes */

typedef struct Running {
    Value x; /* 0: kernel buffer 0 */
    DType type;
    bool product, reverse, exclusive;
    Dim size, blocks, block; /* the size of the axis, the number of its blocks, and the elements of one block */
    Dim first;               /* block that the kernel begins at */
} Running;

static int32_t combined(Build *b, const Running *w, int32_t before, int32_t x)
{
    return build_prim(b, w->product ? P_mul : P_add, w->type, before, x, -1);
}

/* The map (before, element, after) of a value with that axis, guarded to be read only where there is such an element. */
static bool element_map(Build *b, const Running *w, IndexMap *m)
{
    const Dim *e = b->group->extent;
    const IndexExpr first = index_const(w->first * TREE_CHAIN);
    IndexExpr i = index_axis(BLOCK, e[BLOCK] == 1 ? 0 : TREE_CHAIN);
    i.coef[IN_BLOCK] = 1;
    if (!index_add(&b->env, &i, &first)) return false;
    if (!dim_is_const(w->size) && w->blocks != 1)
        *VEC_PUSH(b->lw->scratch, &b->guard) = build_prim(b, P_lt, DT_bool, index_value(&b->env, &i), build_dim(b, w->size), -1);
    if (w->reverse) {
        const IndexExpr last = index_const(w->size == 0 ? 0 : dim_sub(b->lw->dims, w->size, 1));
        if (!index_negate(&b->env, &i) || !index_add(&b->env, &i, &last)) return false;
    }
    *m = (IndexMap){.rank = 3, .dim = {e[BEFORE], w->size, e[AFTER]}, .at = {index_axis(BEFORE, 1), i, index_axis(AFTER, 1)}};
    index_normalise(&b->env, m);
    return true;
}

static bool block_map(Build *b, const Running *w, IndexMap *m)
{
    const Dim *e = b->group->extent;
    const IndexExpr first = index_const(w->first);
    IndexExpr i = index_axis(BLOCK, 1);
    if (!index_add(&b->env, &i, &first)) return false;
    *m = (IndexMap){.rank = 3, .dim = {e[BEFORE], w->blocks, e[AFTER]}, .at = {index_axis(BEFORE, 1), i, index_axis(AFTER, 1)}};
    index_normalise(&b->env, m);
    return true;
}

/* Writes two buffers: the totals of the blocks, which start as the identity, and the results. */
static bool within_blocks(Build *b, const void *with)
{
    const Running *w = with;
    const uint32_t totals = b->group->nin;
    IndexMap at, block;
    if (!element_map(b, w, &at) || !block_map(b, w, &block)) return false;
    int32_t x = w->x != 0 ? build_value(b, w->x, &at) : build_load(b, build_stream(b, 0, w->type, &at));
    if (x < 0) return false;
    int32_t before = build_fetch(b, build_stream(b, totals, w->type, &block), w->product ? -1 : x, w->product ? x : -1);
    if (before < 0) return false;
    return build_store(b, build_stream(b, totals + 1, w->type, &at), w->exclusive ? before : combined(b, w, before, x), 0);
}

/* Reads what comes before each block and updates the results. */
static bool between_blocks(Build *b, const void *with)
{
    const Running *w = with;
    IndexMap at, block;
    if (!element_map(b, w, &at) || !block_map(b, w, &block)) return false;
    int32_t before = build_load(b, build_stream(b, 0, w->type, &block));
    uint32_t result = build_stream(b, 1, w->type, &at);
    int32_t x = build_load(b, result);
    return before >= 0 && x >= 0 && build_store(b, result, combined(b, w, before, x), 0);
}

/* A kernel over all blocks; or, where the last one is known to be short, two, so that no element has to be asked whether it is. */
static bool over_blocks(Scope *s, Group group, Running *w, const uint32_t *buf)
{
    const Dim rest = dim_is_const(w->size) && w->blocks != 1 ? w->size % TREE_CHAIN : 0;
    group.with = w;
    group.extent[BLOCK] = rest != 0 ? w->blocks - 1 : w->blocks, group.extent[IN_BLOCK] = w->block;
    if (!scope_kernel(s, &group, buf)) return false;
    if (rest == 0) return true;
    w->first = w->blocks - 1;
    group.extent[BLOCK] = 1, group.extent[IN_BLOCK] = rest;
    return scope_kernel(s, &group, buf);
}

/* buf: the buffers of the group's operands, with room for two more. */
static bool run(Scope *s, Group group, Running w, uint32_t *buf, uint32_t out)
{
    Lower *lw = s->lw;
    const bool one = dim_hi(lw->dims, w.size) <= TREE_CHAIN;
    w.blocks = one ? 1 : dim_floordiv(lw->dims, dim_add(lw->dims, w.size, TREE_CHAIN - 1), TREE_CHAIN);
    w.block = one ? w.size : TREE_CHAIN;
    Type totals = {.dtype = (uint8_t)w.type, .rank = 3, .dim = {group.extent[BEFORE], w.blocks, group.extent[AFTER]}};
    uint32_t total = lower_buf(lw, BUF_TEMP, &totals);
    if (total == NO_BUF || out == NO_BUF || !scope_fill(s, &totals, w.product, group.node->loc, total)) return false;
    group.naxis = 4, group.sweep = IN_BLOCK;
    group.draft = within_blocks, group.nout = 2;
    buf[group.nin] = total, buf[group.nin + 1] = out;
    if (!over_blocks(s, group, &w, buf)) return false;
    if (one) return true;
    uint32_t before = lower_buf(lw, BUF_TEMP, &totals), up[3] = {total}, down[2] = {before, out};
    Running next = {.type = w.type, .product = w.product, .exclusive = true, .size = w.blocks};
    Group offsets = group, add = group;
    offsets.nin = add.nin = 1;
    if (!run(s, offsets, next, up, before)) return false;
    add.sweep = -1, add.draft = between_blocks, add.nout = 1;
    w.first = 0;
    return over_blocks(s, add, &w, down);
}

/* The product of the extents of axes [from, to). */
static Dim product(DimTable *dims, const Type *t, uint32_t from, uint32_t to)
{
    Dim n = 1;
    for (uint32_t i = from; i < to; i++) n = dim_mul(dims, n, t->dim[i]);
    return n;
}

static bool cumulate(Scope *s, const Node *n, bool multiplies)
{
    const struct cumsum_attrs *a = ATTRS(cumsum, n->attr->at);
    const Type *t = graph_type(s->g, n->out);
    Group group;
    uint32_t *buf = scope_operands(s, n, &group, 2);
    Running w = {.x = n->in[0],
        .type = (DType)t->dtype,
        .product = multiplies,
        .reverse = a->reverse,
        .exclusive = a->exclusive,
        .size = t->dim[a->axis]};
    group.extent[BEFORE] = product(s->lw->dims, t, 0, (uint32_t)a->axis);
    group.extent[AFTER] = product(s->lw->dims, t, (uint32_t)a->axis + 1, t->rank);
    bool ok = run(s, group, w, buf, scope_result(s, n->out));
    scope_operands_end(s, n);
    return ok;
}

bool lower_cumsum(Scope *s, const Node *n) { return cumulate(s, n, false); }
bool lower_cumprod(Scope *s, const Node *n) { return cumulate(s, n, true); }

/* Writes two buffers: the element before, which starts as 0, and the results. The axes are (before, one block, after, all
 * elements). */
static bool step(Build *b, const void *with)
{
    const Node *n = with;
    const Type *t = graph_type(b->g, n->out);
    const struct recurrence_attrs *a = ATTRS(recurrence, n->attr->at);
    const Running w = {.type = (DType)t->dtype, .reverse = a->reverse, .size = t->dim[a->axis], .blocks = 1};
    IndexMap at, block;
    if (!element_map(b, &w, &at) || !block_map(b, &w, &block)) return false;
    int32_t times = build_value(b, n->in[0], &at), plus = build_value(b, n->in[1], &at);
    if (times < 0 || plus < 0) return false;
    int32_t before = build_fetch(b, build_stream(b, b->group->nin, w.type, &block), plus, times);
    if (before < 0) return false;
    int32_t now = build_prim(b, P_add, w.type, build_prim(b, P_mul, w.type, before, times, -1), plus, -1);
    return build_store(b, build_stream(b, b->group->nin + 1, w.type, &at), now, 0);
}

bool lower_recurrence(Scope *s, const Node *n)
{
    const Type *t = graph_type(s->g, n->out);
    const uint32_t axis = (uint32_t)ATTRS(recurrence, n->attr->at)->axis;
    Group group;
    uint32_t *buf = scope_operands(s, n, &group, 2);
    Type one = {
        .dtype = t->dtype, .rank = 2, .dim = {product(s->lw->dims, t, 0, axis), product(s->lw->dims, t, axis + 1, t->rank)}};
    uint32_t out = scope_result(s, n->out), last = lower_buf(s->lw, BUF_TEMP, &one);
    group.naxis = 4, group.sweep = IN_BLOCK;
    group.extent[BEFORE] = one.dim[0], group.extent[BLOCK] = 1, group.extent[AFTER] = one.dim[1],
    group.extent[IN_BLOCK] = t->dim[axis];
    group.draft = step, group.with = n, group.nout = 2;
    buf[group.nin] = last, buf[group.nin + 1] = out;
    bool ok = out != NO_BUF && last != NO_BUF && scope_fill(s, &one, 0, n->loc, last) && scope_kernel(s, &group, buf);
    scope_operands_end(s, n);
    return ok;
}
