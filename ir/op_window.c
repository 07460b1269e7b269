/* op_window: window (the sliding windows of an image, channels last) and its adjoint, window_add. Relies on family. */
#include "family.h"

/* ---- result types ------------------------------------------------------------------------------------ */

/* Checks size, stride and dilation. */
static bool geometry(Infer *inf)
{
    static const char *const what[] = {"window size", "stride", "dilation"};
    for (uint32_t i = 0; i < 6; i++)
        if (inf->attr[i] < 1 || inf->attr[i] > DIM_MAX)
            return infer_fail(inf, ST_VALUE, "the %s is %lld (allowed: 1 to 2^48)", what[i / 2], (long long)inf->attr[i]);
    return true;
}

/* How many windows fit along axis i (0: height, 1: width) of that extent; DIM_BAD if none or
 * perhaps none. */
static Dim positions(Infer *inf, Dim extent, uint32_t i)
{
    DimTable *t = rule_dims(inf);
    const struct window_attrs *w = ATTRS(window, inf->attr);
    Dim covered = dim_add(NULL, dim_mul(NULL, w->size[i] - 1, w->dilation[i]), 1);
    Dim last = dim_sub(t, extent, covered);
    if (last == DIM_BAD || dim_lo(t, last) < 0) return DIM_BAD;
    return dim_add(t, dim_floordiv(t, last, w->stride[i]), 1);
}

/* The windows of an image [n, h, w, c]; window and window_add begin alike. */
static bool windows(Infer *inf, const Type *image, Type *out)
{
    const struct window_attrs *w = ATTRS(window, inf->attr);
    *out = (Type){.dtype = image->dtype, .rank = 6, .dim = {image->dim[0], 0, 0, w->size[0], w->size[1], image->dim[3]}};
    for (uint32_t i = 0; i < 2; i++) {
        out->dim[1 + i] = positions(inf, image->dim[1 + i], i);
        if (out->dim[1 + i] == DIM_BAD) /* where no window is certain to fit, or too long an expression */
            return infer_fail(inf, ST_SHAPE, "a window of %lld x %lld, dilated by %lld x %lld, is larger than the image",
                (long long)w->size[0], (long long)w->size[1], (long long)w->dilation[0], (long long)w->dilation[1]);
    }
    return true;
}

bool infer_window(Infer *inf)
{
    Type out;
    if (inf->in[0]->rank != 4) return infer_fail(inf, ST_SHAPE, "needs an image, [n, height, width, channels]");
    return geometry(inf) && windows(inf, inf->in[0], &out) && rule_result(inf, &out);
}

bool infer_window_add(Infer *inf)
{
    const Type *x = inf->in[0];
    if (x->rank != 6) return infer_fail(inf, ST_SHAPE, "needs windows, [n, rows, columns, height, width, channels]");
    if (inf->nattr != 8) return infer_fail(inf, ST_VALUE, "needs the image's height and width");
    if (!rule_domain(inf, 0, 'N') || !geometry(inf)) return false;
    const Dim *size = ATTRS(window_add, inf->attr)->image;
    Type image = {.dtype = x->dtype, .rank = 4, .dim = {x->dim[0], size[0], size[1], x->dim[5]}}, expected;
    if (!windows(inf, &image, &expected)) return false;
    if (!type_equal(x, &expected))
        return infer_fail(inf, ST_SHAPE, "these are not the windows of an image of that height and width");
    return rule_result(inf, &image);
}

/* ---- gradients --------------------------------------------------------------------------------------- */

/* Where windows tile the image, provably, no element lies in two of them: their cotangents are moved, with zeros behind those that
 * the last windows do not reach, and nothing is added. */
static bool untile(Vjp *v)
{
    static const int64_t order[6] = {0, 1, 3, 2, 4, 5};
    const struct window_attrs *w = ATTRS(window, v->node->attr->at);
    const Type *x = v->e->type(v->e, v->in[0]), *windows = v->e->type(v->e, v->g[0]);
    Type covered = {.dtype = x->dtype, .rank = 4, .dim = {x->dim[0], 0, 0, x->dim[3]}};
    struct pad_attrs *pad = ATTRS_ROOM(pad, 2 * 4);
    DimTable *t = emit_dims(v->e);
    bool whole = true;
    for (uint32_t i = 0; i < 2; i++) {
        if (w->stride[i] != w->size[i] || (w->dilation[i] != 1 && w->size[i] != 1)) return false;
        covered.dim[1 + i] = dim_mul(t, windows->dim[1 + i], w->size[i]);
        const Dim behind = dim_sub(t, x->dim[1 + i], covered.dim[1 + i]);
        if (behind == DIM_BAD || dim_lo(t, behind) < 0) return false;
        pad->axis[1 + i].high = behind;
        whole &= behind == 0;
    }
    const Value g = emit_reshape(v->e, emit_transpose(v->e, v->g[0], order, 6), &covered);
    v->dx[0] = whole ? g : emit_attr(v->e, OP_pad, g, ATTRS_TO(pad, pad->axis + 4));
    return true;
}

void vjp_window(Vjp *v)
{
    if (v->g[0] == 0 || untile(v)) return;
    const Type x = *v->e->type(v->e, v->in[0]);
    struct window_add_attrs *a = ATTRS_ROOM(window_add, 2);
    *a = *ATTRS(window_add, v->node->attr->at); /* a window's attributes are the same but for the image */
    memcpy(a->image, x.dim + 1, 2 * sizeof *a->image);
    Value sum = emit_attr(v->e, OP_window_add, emit_wide(v->e, v->g[0]), ATTRS_TO(a, a->image + 2));
    v->dx[0] = emit_cast(v->e, sum, (DType)x.dtype); /* 16-bit floats are rounded once */
}

void vjp_window_add(Vjp *v) { v->dx[0] = emit_attr(v->e, OP_window, v->g[0], v->node->attr->at, ATTR_INDEX(window_add, image)); }

/* ---- index maps -------------------------------------------------------------------------------------- */

/* h = oh * stride + kh * dilation; rows and columns alike. */
bool map_window(const Mapping *p)
{
    const Type *t = mapped_result(p), *x = mapped_operand(p, 0);
    const struct window_attrs *w = ATTRS(window, p->n->attr->at);
    IndexMap seen;
    if (!index_regroup(p->env, p->m, t->dim, t->rank, &seen)) return false;
    map_push(&p->out->map, x->dim[0], &seen.at[0]);
    for (uint32_t i = 0; i < 2; i++) {
        IndexExpr e = seen.at[1 + i], k = seen.at[3 + i];
        if (!index_scale(p->env, &e, w->stride[i]) || !index_scale(p->env, &k, w->dilation[i]) || !index_add(p->env, &e, &k))
            return false;
        map_push(&p->out->map, x->dim[1 + i], &e);
    }
    map_push(&p->out->map, x->dim[3], &seen.at[5]);
    return true;
}

/* Window (k / kw, k % kw) covers pixel p at its row, or column, p - i * dilation, if that is inside. Other strides divide, for each
 * pixel and place: such sums are no part of a kernel, but a loop over the places (codegen/lower/lower_window.c). */
bool map_window_add(const Mapping *p)
{
    const Type *x = mapped_operand(p, 0), *t = mapped_result(p);
    const struct window_add_attrs *w = ATTRS(window_add, p->n->attr->at);
    IndexEnv *env = p->env;
    const int64_t windows = w->size[0] * w->size[1];
    IndexMap seen;
    if (w->stride[0] != 1 || w->stride[1] != 1) return false;
    if (!env->prim || !index_regroup(env, p->m, t->dim, t->rank, &seen)) return false;
    /* Takes the places in the order of the source's rows, which goes through the windows backwards. */
    IndexExpr window = index_axis((uint32_t)env->sweep, 1), last = index_const(windows - 1);
    if (!index_negate(env, &window) || !index_add(env, &window, &last)) return false;
    int32_t k = index_value(env, &window), kw = env->dim(env->user, w->size[1]);
    map_push(&p->out->map, x->dim[0], &seen.at[0]);
    for (uint32_t i = 0; i < 2; i++) {
        IndexExpr e = seen.at[1 + i], shift = index_const(0);
        shift.dyn = env->prim(env->user, i == 0 ? P_idiv : P_irem, k, kw);
        if (!index_scale(env, &shift, w->dilation[i]) || !index_negate(env, &shift) || !index_add(env, &e, &shift)) return false;
        if (!map_guard(p, &e, x->dim[1 + i])) return false;
        map_push(&p->out->map, x->dim[1 + i], &e);
    }
    map_push(&p->out->map, windows, &window);
    map_push(&p->out->map, x->dim[5], &seen.at[3]);
    return true;
}

/* ---- many examples: more images ------------------------------------------------------------------------ */

void vmap_window(Vmap *v)
{
    const Value x = vmap_merge(v, v->in[0]);
    vmap_as(v, &x, v->node->attr->at, v->node->attr->len);
    v->out[0] = vmap_split(v, v->out[0], vmap_first(v, 0));
}
