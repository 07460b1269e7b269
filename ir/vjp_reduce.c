/* vjp_reduce: gradients of reductions. Relies on emit. */
#include "emit.h"

void vjp_sum(Vjp *v);
void vjp_prod(Vjp *v);
void vjp_reduce_max(Vjp *v);
void vjp_reduce_min(Vjp *v);

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

/* prod: the cotangent times the product of all other elements, without a division, so that zeros
 * are no special case and the rule can be differentiated again. */

/* x [k, r] moved by s along axis 1, ones coming in. */
static Value shift(Emit *e, Value x, Dim s)
{
    if (x == 0) return 0;
    Dim r = e->type(e, x)->dim[1];
    return emit_slice(e, emit_pad(e, x, 1, s, 0, 1), 1, 0, r);
}

/* Element i becomes the product of the elements before it, in log2 r steps of doubling. */
static Value product_before(Emit *e, Value x)
{
    if (x == 0) return 0;
    int64_t most = dim_hi(emit_dims(e), e->type(e, x)->dim[1]);
    Value y = shift(e, x, 1);
    for (int64_t s = 1; s < most - 1; s *= 2) y = emit2(e, OP_mul, y, shift(e, y, s));
    return y;
}

static Value product_after(Emit *e, Value x)
{
    const int64_t axis = 1;
    return emit_attr(e, OP_flip, product_before(e, emit_attr(e, OP_flip, x, &axis, 1)), &axis, 1);
}

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
    Value others = emit2(e, OP_mul, product_before(e, flat), product_after(e, flat));
    others = emit_transpose(e, emit_reshape(e, others, &moved), inverse, n);
    Value g = repeat(v, emit_wide(e, v->g[0]), axes->at, axes->len);
    v->dx[0] = emit_cast(e, emit2(e, OP_mul, g, others), (DType)x.dtype);
}

/* Elements equal to the extreme share the cotangent equally. A NaN equals nothing: rows with one
 * get zeros. */
static void vjp_extreme(Vjp *v)
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

void vjp_reduce_max(Vjp *v) { vjp_extreme(v); }

void vjp_reduce_min(Vjp *v) { vjp_extreme(v); }
