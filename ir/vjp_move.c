/* vjp_move: gradients of cast, leaf and the ops that move elements. Relies on emit. */
#include "emit.h"

void vjp_cast(Vjp *v);
void vjp_leaf(Vjp *v);
void vjp_saved(Vjp *v);
void vjp_reshape(Vjp *v);
void vjp_transpose(Vjp *v);
void vjp_broadcast(Vjp *v);
void vjp_slice(Vjp *v);
void vjp_flip(Vjp *v);
void vjp_pad(Vjp *v);
void vjp_concat(Vjp *v);

void vjp_cast(Vjp *v)
{
    const Type *to = v->e->type(v->e, v->in[0]);
    if (!dtype_is_float(to->dtype) || v->g[0] == 0) return;
    v->dx[0] = emit_cast(v->e, v->g[0], to->dtype);
    const DType own = (DType)v->node->attr->at[0];
    if (v->node->attr->len == 1 || dtype_holds(own, to->dtype)) return; /* what is saturated is infinite, if anything */
    Value within = emit2(v->e, OP_le, emit1(v->e, OP_abs, v->in[0]), emit_constant(v->e, dtype_info[own].largest, to));
    v->dx[0] = emit3(v->e, OP_where, within, v->dx[0], emit_constant(v->e, 0, to));
}

void vjp_saved(Vjp *v) { v->dx[0] = v->g[0]; }

void vjp_leaf(Vjp *v)
{
    if (v->node->attr->at[0] == 0) v->dx[0] = v->g[0];
}

void vjp_reshape(Vjp *v) { v->dx[0] = emit_reshape(v->e, v->g[0], v->e->type(v->e, v->in[0])); }

void vjp_transpose(Vjp *v)
{
    int64_t inverse[MAX_RANK] = {0};
    uint32_t n = v->node->attr->len;
    for (uint32_t i = 0; i < n; i++) inverse[v->node->attr->at[i]] = i;
    v->dx[0] = emit_transpose(v->e, v->g[0], inverse, n);
}

void vjp_broadcast(Vjp *v)
{
    const Type x = *v->e->type(v->e, v->in[0]);
    v->dx[0] = emit_sum_to(v->e, v->g[0], &x);
}

/* Puts step - 1 zeros behind each element along the axis: n becomes n * step. Works on [outer,
 * 1, inner], so that operands of the largest rank need no axis more. */
static Value spread(Emit *e, Value g, uint32_t axis, int64_t step)
{
    if (g == 0) return 0;
    Type wide = *e->type(e, g), flat = {.dtype = wide.dtype, .rank = 3, .dim = {1, 1, 1}};
    DimTable *t = emit_dims(e);
    for (uint32_t i = 0; i < wide.rank; i++) {
        Dim *part = &flat.dim[i <= axis ? 0 : 2];
        *part = dim_mul(t, *part, wide.dim[i]);
    }
    wide.dim[axis] = dim_mul(t, wide.dim[axis], step);
    return emit_reshape(e, emit_pad(e, emit_reshape(e, g, &flat), 1, 0, step - 1, 0), &wide);
}

/* The adjoint along one axis of extent `whole`: elements of g go to first, first + step, ... */
static Value unslice(Emit *e, Value g, uint32_t axis, Dim whole, const int64_t *slice)
{
    DimTable *t = emit_dims(e);
    Dim first = slice[0], size = slice[1], high;
    int64_t step = slice[2];
    if (step == 1)
        return emit_pad(e, g, axis, first, dim_sub(t, dim_sub(t, whole, first), size), 0);
    Dim spread_size = dim_mul(t, size, step);
    Value r = spread(e, g, axis, step);
    if (dim_is_const(whole) && dim_is_const(first) && dim_is_const(spread_size))
        high = MAX_OF(whole - first - spread_size, 0);
    else
        high = whole; /* more than enough; the slice below cuts it */
    return emit_slice(e, emit_pad(e, r, axis, first, high, 0), axis, 0, whole);
}

void vjp_slice(Vjp *v)
{
    Value g = v->g[0];
    const Type x = *v->e->type(v->e, v->in[0]);
    for (uint32_t i = 0; i < x.rank; i++)
        g = unslice(v->e, g, i, x.dim[i], v->node->attr->at + 3 * i);
    v->dx[0] = g;
}

void vjp_flip(Vjp *v)
{
    v->dx[0] = emit_attr(v->e, OP_flip, v->g[0], v->node->attr->at, v->node->attr->len);
}

void vjp_pad(Vjp *v)
{
    const Type *x = v->e->type(v->e, v->in[0]);
    int64_t attr[3 * MAX_RANK];
    for (uint32_t i = 0; i < x->rank; i++) {
        attr[3 * i] = v->node->attr->at[1 + 2 * i];
        attr[3 * i + 1] = x->dim[i];
        attr[3 * i + 2] = 1;
    }
    v->dx[0] = emit_attr(v->e, OP_slice, v->g[0], attr, 3u * x->rank);
}

void vjp_concat(Vjp *v)
{
    uint32_t axis = (uint32_t)v->node->attr->at[0];
    Dim first = 0;
    for (uint32_t i = 0; i < v->node->nin; i++) {
        Dim size = v->e->type(v->e, v->in[i])->dim[axis];
        if (v->wanted[i]) v->dx[i] = emit_slice(v->e, v->g[0], axis, first, size);
        first = dim_add(emit_dims(v->e), first, size);
    }
}
