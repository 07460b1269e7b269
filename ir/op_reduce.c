/* op_reduce: reductions, which fold axes away: sum prod reduce_max reduce_min argmax argmin. Relies on family. */
#include "family.h"

/* ---- result types ------------------------------------------------------------------------------------ */

static bool reduced(Infer *inf)
{
    if (!rule_axes(inf, inf->in[0]->rank)) return false;
    Type out = {.dtype = inf->in[0]->dtype};
    for (uint32_t i = 0, k = 0; i < inf->in[0]->rank; i++) {
        if (k < inf->nattr && inf->attr[k] == i)
            k++;
        else
            shape_push(&out, inf->in[0]->dim[i]);
    }
    return rule_result(inf, &out);
}

/* An empty set of numbers has no extreme; of bools the maximum is false, the minimum true. Of an axis that may be empty, whoever
 * traces it asks at run time. Call this when the axes are known to be good. */
static bool not_empty(Infer *inf)
{
    for (uint32_t i = 0; i < inf->nattr && inf->in[0]->dtype != DT_bool; i++)
        if (dim_hi(rule_dims(inf), inf->in[0]->dim[inf->attr[i]]) < 1)
            return infer_fail(inf, ST_SHAPE, "axis %lld is empty", (long long)inf->attr[i]);
    return true;
}

bool infer_sum(Infer *inf) { return rule_domain(inf, 0, 'N') && reduced(inf); }

bool infer_prod(Infer *inf) { return rule_domain(inf, 0, 'N') && reduced(inf); }

bool infer_reduce_max(Infer *inf) { return reduced(inf) && not_empty(inf); }

bool infer_reduce_min(Infer *inf) { return reduced(inf) && not_empty(inf); }

bool infer_argmax(Infer *inf)
{
    if (!rule_domain(inf, 0, 'N') || !reduced(inf) || !not_empty(inf)) return false;
    inf->out[0].dtype = DT_i64;
    return true;
}

bool infer_argmin(Infer *inf) { return infer_argmax(inf); }

/* Over no axes it is its operand. */
Value fold_reduce(const Folding *f) { return f->nattr == 0 ? f->in[0] : 0; }

/* ---- gradients --------------------------------------------------------------------------------------- */

/* r, a result of reducing the axes of a value of type x, with its reduced axes put back and
 * repeated: of x's shape. */
static Value repeat(Vjp *v, Value r, const int64_t *axes, uint32_t n)
{
    const Type x = *v->e->type(v->e, v->in[0]);
    Type kept = x;
    for (uint32_t i = 0; i < n; i++) kept.dim[axes[i]] = 1;
    return emit_broadcast(v->e, emit_reshape(v->e, r, &kept), &x);
}

void vjp_sum(Vjp *v) { v->dx[0] = repeat(v, v->g[0], v->node->attr->at, v->node->attr->len); }

/* Element [k, r] becomes the product of all elements before it, or behind it, along k. */
static Value product_beside(Emit *e, Value x, bool behind)
{
    return emit_attr(e, OP_cumprod, x, ATTRS_OF(cumprod, .axis = 1, .reverse = behind, .exclusive = 1));
}

/* prod: the cotangent times the product of all other elements, without a division, so that zeros are no special case and the rule
 * can be differentiated again. */
void vjp_prod(Vjp *v)
{
    const Attr *axes = v->node->attr;
    if (v->g[0] == 0) return;
    if (axes->len == 0) {
        v->dx[0] = v->g[0];
        return;
    }
    Emit *e = v->e;
    Type x = *e->type(e, v->in[0]), moved = x, rows = {.dtype = x.dtype, .rank = 2, .dim = {1, 1}};
    int64_t perm[MAX_RANK], inverse[MAX_RANK];
    uint32_t n = 0, a = 0;
    for (uint32_t i = 0; i < x.rank; i++) {
        bool reduced = a < axes->len && axes->at[a] == i;
        if (reduced)
            a++;
        else
            perm[n++] = i;
        rows.dim[reduced] = dim_mul(emit_dims(e), rows.dim[reduced], x.dim[i]);
    }
    for (a = 0; a < axes->len; a++) perm[n++] = axes->at[a];
    for (uint32_t i = 0; i < n; i++) {
        moved.dim[i] = x.dim[perm[i]];
        inverse[perm[i]] = i;
    }
    Value flat = emit_reshape(e, emit_transpose(e, emit_wide(e, v->in[0]), perm, n), &rows);
    Value others = emit2(e, OP_mul, product_beside(e, flat, false), product_beside(e, flat, true));
    others = emit_transpose(e, emit_reshape(e, others, &moved), inverse, n);
    Value g = repeat(v, emit_wide(e, v->g[0]), axes->at, axes->len);
    v->dx[0] = emit_cast(e, emit2(e, OP_mul, g, others), (DType)x.dtype);
}

/* Elements that equal the extreme share the cotangent equally. A NaN equals nothing, so rows with a NaN get zeros. */
void vjp_extreme(Vjp *v)
{
    const Attr *axes = v->node->attr;
    Emit *e = v->e;
    if (v->g[0] == 0) return;
    if (axes->len == 0) {
        v->dx[0] = v->g[0];
        return;
    }
    const Type x = *e->type(e, v->in[0]);
    Value chosen = emit2(e, OP_eq, v->in[0], repeat(v, v->out[0], axes->at, axes->len));
    Type wide = x;
    wide.dtype = dtype_info[x.dtype].compute; /* a count need not be of a 16-bit type's range */
    Value one_each = emit3(e, OP_where, chosen, emit_constant(e, 1, &wide), emit_constant(e, 0, &wide));
    Value share = emit2(e, OP_div, emit_wide(e, v->g[0]), emit_reduce(e, OP_sum, one_each, axes->at, axes->len));
    share = repeat(v, emit_cast(e, share, (DType)x.dtype), axes->at, axes->len);
    v->dx[0] = emit3(e, OP_where, chosen, share, emit_constant(e, 0, &x));
}

/* ---- index maps -------------------------------------------------------------------------------------- */

/* The axes of the operand that n folds, if it folds one run. */
static void folded_run(const Node *n, uint32_t *first, uint32_t *count)
{
    const bool lists = op_def[n->op].attrs[0] == 'I'; /* else argmax, argmin: one axis; or window_add: the places in a window */
    *first = n->op == OP_window_add ? 3 : (uint32_t)ATTRS(sum, n->attr->at)->axes[0];
    *count = n->op == OP_window_add ? 2 : lists ? n->attr->len : 1;
}

Dim index_reduced_extent(const Graph *g, const Node *n)
{
    uint32_t first, count;
    Dim extent = 1;
    folded_run(n, &first, &count);
    for (uint32_t i = 0; i < count; i++) extent = dim_mul(&g->module->dims, extent, graph_type(g, n->in[0])->dim[first + i]);
    return extent;
}

bool index_one_run(const Node *n)
{
    const int64_t *axes = ATTRS(sum, n->attr->at)->axes;
    for (uint32_t i = 1; i < n->attr->len && op_def[n->op].attrs[0] == 'I'; i++)
        if (axes[i] != axes[i - 1] + 1) return false;
    return true;
}

FoldForm index_fold_form(const Graph *g, const Node *n)
{
    uint32_t first, count;
    Dim extent = index_reduced_extent(g, n);
    if (op_def[n->op].attrs[0] != 'I') return FORM_INDEX;
    folded_run(n, &first, &count);
    bool row = first + count == graph_type(g, n->in[0])->rank && !(dim_is_const(extent) && extent < TREE_LANES);
    return row ? FORM_ROW : FORM_CHAINS;
}

bool map_reduce(const Mapping *p)
{
    const Type *x = mapped_operand(p, 0);
    const IndexExpr sweep = index_axis((uint32_t)p->env->sweep, 1);
    uint32_t first, count;
    Dim size[2] = {1, 1};
    IndexMap seen;
    folded_run(p->n, &first, &count);
    for (uint32_t i = 0; i < x->rank; i++)
        if (i < first || i >= first + count) size[i >= first] = dim_mul(p->env->dims, size[i >= first], x->dim[i]);
    if (!index_regroup(p->env, p->m, size, 2, &seen)) return false;
    map_push(&p->out->map, size[0], &seen.at[0]);
    map_push(&p->out->map, index_reduced_extent(p->g, p->n), &sweep);
    map_push(&p->out->map, size[1], &seen.at[1]);
    return true;
}
