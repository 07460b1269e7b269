/* index_ops: how each movement op and reduction takes the map of its result to the maps of its operands. Relies on index.h.
 * A new movement op needs a row in ops.def and a case here. */
#include "index.h"

/* The axes of a shape merged into runs, so that no more is asked of a map than the op needs. */
typedef struct Runs {
    uint32_t n;
    Dim size[MAX_RANK + 1];
    int of[MAX_RANK];        /* axis -> run; -1: an axis of size 1 that the op leaves alone */
} Runs;

/* Axes in `alone` get a run each; axes between them share one. */
static void make_runs(DimTable *dims, const Dim *shape, uint32_t rank, uint32_t alone, Runs *r)
{
    bool open = false;
    *r = (Runs){0};
    for (uint32_t i = 0; i < rank; i++) {
        bool single = alone >> i & 1;
        if (single || !open) r->size[r->n++] = 1;
        r->of[i] = (int)r->n - 1;
        r->size[r->n - 1] = dim_mul(dims, r->size[r->n - 1], shape[i]);
        open = !single;
    }
}

static void push(IndexMap *m, Dim dim, const IndexExpr *e)
{
    m->dim[m->rank] = dim;
    m->at[m->rank++] = *e;
}

static const Type *result_type(const Graph *g, const Node *n) { return graph_type(g, n->out); }
static const Type *operand_type(const Graph *g, const Node *n, uint32_t k) { return graph_type(g, n->in[k]); }

/* ---- single ops ---------------------------------------------------------------------------------- */

static bool map_transpose(IndexEnv *env, const Graph *g, const Node *n, const IndexMap *m, IndexMap *out)
{
    const Type *t = result_type(g, n);
    const int64_t *perm = n->attr->at;
    Runs r = {0};
    uint32_t at_operand[MAX_RANK] = {0}; /* run -> its first operand axis */
    for (uint32_t j = 0; j < t->rank; j++) {
        if (j == 0 || perm[j] != perm[j - 1] + 1) {
            at_operand[r.n] = (uint32_t)perm[j];
            r.size[r.n++] = 1;
        }
        r.size[r.n - 1] = dim_mul(env->dims, r.size[r.n - 1], t->dim[j]);
    }
    IndexMap seen;
    if (!index_regroup(env, m, r.size, r.n, &seen)) return false;
    for (uint32_t axis = 0; axis < t->rank; axis++)
        for (uint32_t i = 0; i < r.n; i++)
            if (at_operand[i] == axis) push(out, seen.dim[i], &seen.at[i]);
    return true;
}

static bool map_broadcast(IndexEnv *env, const Graph *g, const Node *n, const IndexMap *m, IndexMap *out)
{
    const Type *t = result_type(g, n), *x = operand_type(g, n, 0);
    uint32_t lead = t->rank - x->rank, kept = 0;
    Runs r = {0};
    bool keeps[MAX_RANK + 1] = {0};
    for (uint32_t j = 0; j < t->rank; j++) {
        if (t->dim[j] == 1) continue;
        bool keep = j >= lead && x->dim[j - lead] == t->dim[j];
        if (r.n == 0 || keeps[r.n - 1] != keep) {
            keeps[r.n] = keep;
            r.size[r.n++] = 1;
        }
        r.size[r.n - 1] = dim_mul(env->dims, r.size[r.n - 1], t->dim[j]);
        kept += keep;
    }
    IndexMap seen;
    if (kept == 0) return true; /* one element: the empty view */
    if (!index_regroup(env, m, r.size, r.n, &seen)) return false;
    for (uint32_t i = 0; i < r.n; i++)
        if (keeps[i]) push(out, seen.dim[i], &seen.at[i]);
    return true;
}

/* slice, flip, pad, concat change the expressions of single axes. */
static uint32_t changed_axes(const Node *n, const Type *x, uint32_t rank)
{
    const int64_t *at = n->attr->at;
    uint32_t axes = 0;
    switch (n->op) {
    case OP_slice:
        for (uint32_t i = 0; i < rank; i++)
            if (at[3 * i] != 0 || at[3 * i + 1] != x->dim[i] || at[3 * i + 2] != 1) axes |= 1u << i;
        return axes;
    case OP_flip:
        for (uint32_t i = 0; i < n->attr->len; i++) axes |= 1u << at[i];
        return axes;
    case OP_pad:
        for (uint32_t i = 0; i < rank; i++)
            if (at[1 + 2 * i] != 0 || at[2 + 2 * i] != 0) axes |= 1u << i;
        return axes;
    default: return 1u << at[0];
    }
}

static bool guard(IndexEnv *env, IndexStep *out, const IndexExpr *e, Dim size)
{
    if (out->nguard == INDEX_GUARDS) return false;
    out->guard[out->nguard++] = (IndexGuard){*e, size};
    (void)env;
    return true;
}

static bool change_axis(IndexEnv *env, const Graph *g, const Node *n, uint32_t k, uint32_t axis, IndexExpr *e, IndexStep *out)
{
    const int64_t *at = n->attr->at;
    Dim size = operand_type(g, n, k)->dim[axis], before = 0;
    IndexExpr shift;
    switch (n->op) {
    case OP_slice:
        shift = index_const(at[3 * axis]);
        return index_scale(env, e, at[3 * axis + 2]) && index_add(env, e, &shift);
    case OP_flip:
        /* An empty axis has no last index, and nobody asks for it. */
        shift = index_const(size == 0 ? 0 : dim_sub(env->dims, size, 1));
        return index_negate(env, e) && index_add(env, e, &shift);
    case OP_pad:
        before = at[1 + 2 * axis];
        break;
    default: /* concat */
        for (uint32_t i = 0; i < k; i++) before = dim_add(env->dims, before, operand_type(g, n, i)->dim[axis]);
    }
    shift = index_const(0);
    shift.minus = before;
    return index_add(env, e, &shift) && guard(env, out, e, size);
}

static bool map_axes(IndexEnv *env, const Graph *g, const Node *n, uint32_t k, const IndexMap *m, IndexStep *out)
{
    const Type *t = result_type(g, n), *x = operand_type(g, n, k);
    uint32_t axes = changed_axes(n, x, t->rank);
    Runs r;
    IndexMap seen;
    make_runs(env->dims, t->dim, t->rank, axes, &r);
    if (!index_regroup(env, m, r.size, r.n, &seen)) return false;
    for (uint32_t i = 0; i < t->rank; i++) {
        if (!(axes >> i & 1)) continue;
        if (!change_axis(env, g, n, k, i, &seen.at[r.of[i]], out)) return false;
        seen.dim[r.of[i]] = x->dim[i];
    }
    index_copy(&out->map, &seen);
    return true;
}

/* h = oh * stride + kh * dilation; rows and columns alike. */
static bool map_window(IndexEnv *env, const Graph *g, const Node *n, const IndexMap *m, IndexMap *out)
{
    const Type *t = result_type(g, n), *x = operand_type(g, n, 0);
    const int64_t *at = n->attr->at;
    IndexMap seen;
    if (!index_regroup(env, m, t->dim, t->rank, &seen)) return false;
    push(out, x->dim[0], &seen.at[0]);
    for (uint32_t i = 0; i < 2; i++) {
        IndexExpr e = seen.at[1 + i], k = seen.at[3 + i];
        if (!index_scale(env, &e, at[2 + i]) || !index_scale(env, &k, at[4 + i]) || !index_add(env, &e, &k)) return false;
        push(out, x->dim[1 + i], &e);
    }
    push(out, x->dim[3], &seen.at[5]);
    return true;
}

bool index_operand(IndexEnv *env, const Graph *g, const Node *n, uint32_t k, const IndexMap *m, IndexStep *out)
{
    bool ok;
    out->map.rank = out->nguard = 0;
    out->extra = -1;
    env->split_axis = -1;
    switch (n->op) {
    case OP_leaf:
    case OP_custom:
    case OP_reshape: index_copy(&out->map, m); return true;
    case OP_transpose: ok = map_transpose(env, g, n, m, &out->map); break;
    case OP_broadcast: ok = map_broadcast(env, g, n, m, &out->map); break;
    case OP_slice:
    case OP_flip:
    case OP_pad:
    case OP_concat: ok = map_axes(env, g, n, k, m, out); break;
    case OP_window: ok = map_window(env, g, n, m, &out->map); break;
    default: return false;
    }
    if (ok) index_normalise(env, &out->map);
    return ok;
}

/* ---- gather -------------------------------------------------------------------------------------- */

/* The result's axes as (before, indices, after). */
static bool gather_parts(IndexEnv *env, const Graph *g, const Node *n, const IndexMap *m, IndexMap *seen)
{
    const Type *t = result_type(g, n), *index = operand_type(g, n, 1);
    uint32_t axis = (uint32_t)n->attr->at[0];
    Dim size[3] = {1, 1, 1};
    for (uint32_t i = 0; i < t->rank; i++) {
        uint32_t part = i < axis ? 0 : i < axis + index->rank ? 1 : 2;
        size[part] = dim_mul(env->dims, size[part], t->dim[i]);
    }
    env->split_axis = -1;
    return index_regroup(env, m, size, 3, seen);
}

bool index_gather_indices(IndexEnv *env, const Graph *g, const Node *n, const IndexMap *m, IndexMap *out)
{
    IndexMap seen;
    if (!gather_parts(env, g, n, m, &seen)) return false;
    out->rank = 0;
    push(out, seen.dim[1], &seen.at[1]);
    index_normalise(env, out);
    return true;
}

bool index_gather_from(IndexEnv *env, const Graph *g, const Node *n, const IndexMap *m, int32_t at, IndexMap *out)
{
    IndexMap seen;
    if (!gather_parts(env, g, n, m, &seen)) return false;
    IndexExpr e = index_const(0);
    e.dyn = at;
    out->rank = 0;
    push(out, seen.dim[0], &seen.at[0]);
    push(out, operand_type(g, n, 0)->dim[n->attr->at[0]], &e);
    push(out, seen.dim[2], &seen.at[2]);
    index_normalise(env, out);
    return true;
}

/* ---- reductions ---------------------------------------------------------------------------------- */

bool node_reduces(const Node *n)
{
    return (op_def[n->op].flags & OPF_REDUCES) || n->op == OP_window_add;
}

static void reduced_run(const Graph *g, const Node *n, uint32_t *first, uint32_t *count)
{
    *first = (uint32_t)n->attr->at[0];
    *count = op_def[n->op].attrs[0] == 'I' ? n->attr->len : 1;
    (void)g;
}

Dim index_reduced_extent(const Graph *g, const Node *n)
{
    uint32_t first, count;
    Dim extent = 1;
    if (n->op == OP_window_add) return dim_mul(&g->module->dims, n->attr->at[0], n->attr->at[1]);
    reduced_run(g, n, &first, &count);
    for (uint32_t i = 0; i < count; i++) extent = dim_mul(&g->module->dims, extent, operand_type(g, n, 0)->dim[first + i]);
    return extent;
}

FoldForm index_fold_form(const Graph *g, const Node *n)
{
    uint32_t first, count;
    Dim extent = index_reduced_extent(g, n);
    if (n->op == OP_window_add || n->op == OP_argmax || n->op == OP_argmin) return FORM_INDEX;
    reduced_run(g, n, &first, &count);
    bool row = first + count == operand_type(g, n, 0)->rank && !(dim_is_const(extent) && extent < TREE_LANES);
    return row ? FORM_ROW : FORM_CHAINS;
}

/* Window (k / kw, k % kw) covers row h at its row oh = (h - i * dilation) / stride if that is whole and inside. */
static bool window_axis(IndexEnv *env, IndexExpr h, int32_t k, const int64_t *at, Dim out_size, IndexExpr *oh, IndexStep *out)
{
    IndexExpr shift = index_const(0);
    shift.dyn = k;
    if (!index_scale(env, &shift, at[4]) || !index_negate(env, &shift) || !index_add(env, &h, &shift)) return false;
    if (!guard(env, out, &h, dim_mul(env->dims, out_size, at[2]))) return false;
    *oh = h;
    if (at[2] == 1) return true;
    int32_t v = index_value(env, &h), by = env->dim(env->user, at[2]);
    *oh = index_const(0);
    oh->dyn = env->prim(env->user, P_idiv, v, by);
    int32_t whole = env->prim(env->user, P_eq, env->prim(env->user, P_irem, v, by), env->dim(env->user, 0));
    out->extra = out->extra < 0 ? whole : env->prim(env->user, P_and, out->extra, whole);
    return true;
}

static bool map_window_add(IndexEnv *env, const Graph *g, const Node *n, const IndexMap *m, IndexStep *out)
{
    const Type *x = operand_type(g, n, 0), *t = result_type(g, n);
    const int64_t *at = n->attr->at;
    IndexMap seen;
    if (env->prim == NULL || !index_regroup(env, m, t->dim, t->rank, &seen)) return false;
    /* In order of the source's rows, which is that of the windows backwards. */
    IndexExpr window = index_axis((uint32_t)env->sweep, 1), last = index_const(at[0] * at[1] - 1);
    if (!index_negate(env, &window) || !index_add(env, &window, &last)) return false;
    int32_t k = index_value(env, &window), kw = env->dim(env->user, at[1]);
    int32_t part[2] = {env->prim(env->user, P_idiv, k, kw), env->prim(env->user, P_irem, k, kw)};
    push(&out->map, x->dim[0], &seen.at[0]);
    for (uint32_t i = 0; i < 2; i++) {
        IndexExpr e;
        if (!window_axis(env, seen.at[1 + i], part[i], at + i, x->dim[1 + i], &e, out)) return false;
        push(&out->map, x->dim[1 + i], &e);
    }
    push(&out->map, at[0] * at[1], &window);
    push(&out->map, x->dim[5], &seen.at[3]);
    return true;
}

bool index_reduced(IndexEnv *env, const Graph *g, const Node *n, const IndexMap *m, IndexStep *out)
{
    out->map.rank = out->nguard = 0;
    out->extra = -1;
    env->split_axis = -1;
    if (n->op == OP_window_add) {
        if (!map_window_add(env, g, n, m, out)) return false;
    } else {
        const Type *x = operand_type(g, n, 0);
        uint32_t first, count;
        Dim size[2] = {1, 1};
        IndexMap seen;
        reduced_run(g, n, &first, &count);
        for (uint32_t i = 0; i < x->rank; i++)
            if (i < first || i >= first + count) size[i >= first] = dim_mul(env->dims, size[i >= first], x->dim[i]);
        if (!index_regroup(env, m, size, 2, &seen)) return false;
        const IndexExpr sweep = index_axis((uint32_t)env->sweep, 1);
        push(&out->map, size[0], &seen.at[0]);
        push(&out->map, index_reduced_extent(g, n), &sweep);
        push(&out->map, size[1], &seen.at[1]);
    }
    index_normalise(env, &out->map);
    return true;
}
