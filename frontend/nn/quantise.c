/* quantise: numbers as small integers, and back: composites over public operations. Products of such integers are in
 * ops/ops_quantised.c. Relies on ops/ops.h. */
#include "../ops/ops.h"

#include <kiln/quantise.h>

#include <math.h>

#define OP1(name, x) of(kiln_##name##_at(at, x))
#define OP2(name, x, y) of(kiln_##name##_at(at, x, y))

typedef struct Quant {
    Thread *t;
    kiln_site at;
    const char *op;
    kiln_quantisation o;
    kiln_tensor *x, *scale, *zero; /* zero: NULL if there is none */
} Quant;

static bool is_none(kiln_operand o) { return o.kind == 1 && !o.as.tensor; }

static bool is_small(DType d) { return d == DT_i8 || d == DT_u8 || d == DT_i16 || d == DT_u16; }

/* ---- scales and zero points for each element -------------------------------------------------------------- */
static bool misfit(const Quant *q, const kiln_tensor *p)
{
    char a[160], b[160];
    fail(q->t, q->at, KILN_ESHAPE,
        "%s: a scale or zero point must be a scalar, one for each index along the axis, or one for each block: %s x %s", q->op,
        tensor_text(q->x, a, sizeof a), tensor_text(p, b, sizeof b));
    return false;
}

/* Each element `block` times along the axis, cut to the size n. */
static kiln_tensor *for_blocks(const Quant *q, kiln_tensor *p, int axis, Dim n)
{
    Thread *t = q->t;
    kiln_site at = q->at;
    const Type steps = {.dtype = DT_i64, .rank = 1, .dim = {n}};
    kiln_tensor *i = iota_of(t, at, &steps, 0, p);
    return kiln_gather_at(at, of(p), OP2(floor_div, of(i), kiln_of_i(q->o.block)), axis);
}

/* p such that it broadcasts to x. False: recorded. */
static bool placed(const Quant *q, kiln_tensor **p)
{
    const Type *x = &q->x->type, *own = &(*p)->type;
    int axis;
    Dim dim[MAX_RANK];
    if (own->rank == 0) return true;
    if (!axis_of(q->t, q->at, q->op, q->o.axis, x->rank, &axis)) return false;
    if (q->o.block > 0) {
        const Dim up = extent(q->t, q->at, EXTENT_ADD, x->dim[axis], q->o.block - 1);
        const Dim blocks = up == DIM_BAD ? up : extent(q->t, q->at, EXTENT_FLOORDIV, up, q->o.block);
        bool fits = own->rank == x->rank;
        for (int i = 0; i < x->rank && fits; i++) fits = own->dim[i] == (i == axis ? blocks : x->dim[i]);
        return fits ? tensor_ok(*p = for_blocks(q, *p, axis, x->dim[axis])) : misfit(q, *p);
    }
    if (own->rank != 1 || own->dim[0] != x->dim[axis]) return misfit(q, *p);
    for (int i = 0; i < x->rank; i++) dim[i] = i == axis ? x->dim[axis] : 1;
    return tensor_ok(*p = reshape_to(q->t, q->at, *p, dim, x->rank));
}

static bool same_shape(const kiln_tensor *a, const kiln_tensor *b)
{
    Type x = a->type;
    x.dtype = b->type.dtype;
    return type_equal(&x, &b->type);
}

/* Operands and options. like: of the zero point, if it is a number. False: recorded, or poison. */
static bool open(
    Quant *q, kiln_operand x, kiln_operand scale, kiln_operand zero, DType like, const kiln_quantisation *o, size_t size)
{
    char a[160], b[160];
    if (o) memcpy(&q->o, o, MIN_OF(size, sizeof q->o));
    if (q->o.block < 0) {
        fail(q->t, q->at, KILN_EVALUE, "%s: block is %lld; it must be 0 (none) or more", q->op, (long long)q->o.block);
        return false;
    }
    if (!tensor_ok(q->x = operand_named(q->t, q->at, q->op, x, NULL))) return false;
    const DType own = (DType)q->x->type.dtype;
    q->scale = operand_named(q->t, q->at, q->op, scale, &(Type){.dtype = dtype_is_float(own) ? own : DT_f32});
    if (!tensor_ok(q->scale)) return false;
    if (!dtype_is_float(q->scale->type.dtype)) {
        fail(q->t, q->at, KILN_EDTYPE, "%s: the scale must be floats: %s", q->op, tensor_text(q->scale, a, sizeof a));
        return false;
    }
    if (is_none(zero)) return true;
    if (!tensor_ok(q->zero = operand_named(q->t, q->at, q->op, zero, &(Type){.dtype = (uint8_t)like}))) return false;
    if (operand_is_number(zero) || same_shape(q->zero, q->scale)) return true;
    fail(q->t, q->at, KILN_ESHAPE, "%s: the zero point must have the scale's shape: %s x %s", q->op,
        tensor_text(q->scale, a, sizeof a), tensor_text(q->zero, b, sizeof b));
    return false;
}

static bool places(Quant *q) { return placed(q, &q->scale) && (!q->zero || placed(q, &q->zero)); }

/* ---- there --------------------------------------------------------------------------------------------------- */
/* round(x / scale) + zero in the type d, which computes. */
static kiln_operand levels(const Quant *q, DType d)
{
    kiln_site at = q->at;
    kiln_operand x = of(cast_to(q->t, at, q->x, d)), s = of(cast_to(q->t, at, q->scale, d));
    kiln_operand r = OP1(round, OP2(div, x, s));
    return q->zero ? OP2(add, r, of(cast_to(q->t, at, q->zero, d))) : r;
}

static DType levels_type(const Quant *q)
{
    const DType d = (DType)q->x->type.dtype;
    return d == DT_f64 ? DT_f64 : DT_f32;
}

static kiln_tensor *quantise(Quant *q)
{
    char a[160];
    kiln_site at = q->at;
    const DType d = (DType)q->x->type.dtype;
    DType to = q->zero ? (DType)q->zero->type.dtype : q->o.dtype == KILN_NONE ? DT_u8 : (DType)q->o.dtype;
    if (!dtype_is_float(d) && d != DT_i32)
        return fail(q->t, at, KILN_EDTYPE, "%s: needs floats or i32: %s", q->op, tensor_text(q->x, a, sizeof a));
    if (!is_small(to))
        return fail(q->t, at, KILN_EDTYPE, "%s: the result would be %s (allowed: i8, u8, i16, u16)", q->op,
            kiln_dtype_name((kiln_dtype)to));
    if (!places(q)) return &q->t->k->poison;
    const DType wide = levels_type(q);
    kiln_operand r = levels(q, wide);
    /* NaN stands for no number: at the zero point */
    kiln_operand none = q->zero ? of(cast_to(q->t, at, q->zero, wide)) : kiln_of_i(0);
    r = of(kiln_where_at(at, OP1(isnan, r), none, r));
    return tensor_ok(r.as.tensor) ? cast_to(q->t, at, r.as.tensor, to) : r.as.tensor; /* which saturates */
}

kiln_tensor *kiln_quantise_sized(
    kiln_site at, kiln_operand x, kiln_operand scale, kiln_operand zero, const kiln_quantisation *options, size_t size)
{
    const kiln_operand all[3] = {x, scale, zero};
    Quant q = {.t = op_thread(all, 3), .at = at, .op = "quantise", .o.axis = 0};
    DType like = DT_u8;
    if (!q.t) return NULL;
    if (options && options->dtype != KILN_NONE) like = (DType)options->dtype;
    if (!is_small(like))
        return fail(q.t, at, KILN_EDTYPE, "%s: .dtype is %s (allowed: i8, u8, i16, u16)", q.op, kiln_dtype_name((kiln_dtype)like));
    Composite c = composite_begin(q.t, q.op);
    return composite_end(q.t, &c, open(&q, x, scale, zero, like, options, size) ? quantise(&q) : &q.t->k->poison);
}

/* ---- back ---------------------------------------------------------------------------------------------------- */
static kiln_tensor *dequantise(Quant *q)
{
    char a[160], b[160];
    kiln_site at = q->at;
    const DType d = (DType)q->x->type.dtype, own = (DType)q->scale->type.dtype, wide = (DType)dtype_info[own].compute;
    if (!is_small(d) && d != DT_i32)
        return fail(q->t, at, KILN_EDTYPE, "%s: needs i8, u8, i16, u16 or i32: %s", q->op, tensor_text(q->x, a, sizeof a));
    if (q->zero && q->zero->type.dtype != d)
        return fail(q->t, at, KILN_EDTYPE, "%s: the zero point must have x's dtype: %s x %s", q->op, tensor_text(q->x, a, sizeof a),
            tensor_text(q->zero, b, sizeof b));
    if (!places(q)) return &q->t->k->poison;
    kiln_operand x = of(cast_to(q->t, at, q->x, is_small(d) ? DT_i32 : DT_i64));
    if (q->zero) x = OP2(sub, x, of(cast_to(q->t, at, q->zero, is_small(d) ? DT_i32 : DT_i64)));
    kiln_operand r = OP2(mul, of(cast_to(q->t, at, x.as.tensor, wide)), of(cast_to(q->t, at, q->scale, wide)));
    return tensor_ok(r.as.tensor) ? cast_to(q->t, at, r.as.tensor, own) : r.as.tensor;
}

kiln_tensor *kiln_dequantise_sized(
    kiln_site at, kiln_operand x, kiln_operand scale, kiln_operand zero, const kiln_quantisation *options, size_t size)
{
    const kiln_operand all[3] = {x, scale, zero};
    Quant q = {.t = op_thread(all, 3), .at = at, .op = "dequantise"};
    if (!q.t) return NULL;
    Composite c = composite_begin(q.t, q.op);
    kiln_tensor *of_x = operand_named(q.t, at, q.op, x, NULL);
    const bool ok = tensor_ok(of_x) && open(&q, of(of_x), scale, zero, (DType)of_x->type.dtype, options, size);
    return composite_end(q.t, &c, ok ? dequantise(&q) : &q.t->k->poison);
}

/* ---- by a range of its own -------------------------------------------------------------------------------------- */
static kiln_tensor *dynamic(Thread *t, kiln_site at, kiln_tensor *x, kiln_tensor **scale, kiln_tensor **zero)
{
    kiln_operand v = of(cast_to(t, at, x, DT_f32)), none = kiln_of_i(0);
    kiln_operand lo = OP2(reshape, extreme_or(t, at, v, KILN_ALL, 0, true), KILN_SHAPE()),
                 hi = OP2(reshape, extreme_or(t, at, v, KILN_ALL, 0, false), KILN_SHAPE());
    lo = OP2(min, lo, none);
    hi = OP2(max, hi, none);
    kiln_operand s = OP2(div, OP2(sub, hi, lo), kiln_of_i(255));
    s = of(kiln_where_at(at, OP2(eq, s, kiln_of_i(0)), kiln_of_i(1), s));
    kiln_operand z = OP1(round, of(kiln_clip_at(at, OP1(neg, OP2(div, lo, s)), kiln_of_i(0), kiln_of_i(255))));
    kiln_operand y = OP2(add, OP1(round, OP2(div, v, s)), z);
    y = of(kiln_where_at(at, OP1(isnan, y), z, y));
    if (!tensor_ok(y.as.tensor) || !tensor_ok(z.as.tensor)) return &t->k->poison;
    *scale = s.as.tensor;
    *zero = cast_to(t, at, z.as.tensor, DT_u8);
    return cast_to(t, at, y.as.tensor, DT_u8); /* which saturates */
}

kiln_tensor *kiln_quantise_dynamic_at(kiln_site at, kiln_operand xo, kiln_tensor **scale, kiln_tensor **zero)
{
    Thread *t = op_thread(&xo, 1);
    kiln_tensor *out[2] = {t ? &t->k->poison : NULL, t ? &t->k->poison : NULL}, *r = out[0];
    if (t && scale && zero) {
        Composite c = composite_begin(t, "quantise_dynamic");
        kiln_tensor *x = operand_float(t, at, "quantise_dynamic", xo);
        r = tensor_ok(x) ? dynamic(t, at, x, &out[0], &out[1]) : x;
        for (int i = 0; i < 2; i++) composite_keep(t, out[i]);
        composite_end(t, &c, r);
    } else if (t) {
        fail(t, at, KILN_EVALUE, "quantise_dynamic: %s is NULL", scale ? "zero" : "scale");
    }
    if (scale) *scale = out[0];
    if (zero) *zero = out[1];
    return r;
}

/* ---- there and back ------------------------------------------------------------------------------------------------ */
/* x[0]: the operand; x[1]: where its level lies in range. */
static void straight(kiln *k, kiln_tensor *g, kiln_tensor *const *x, kiln_tensor **dx, void *user)
{
    (void)k, (void)user;
    dx[0] = kiln_where_at((kiln_site){NULL, 0}, of(x[1]), of(g), kiln_of_i(0));
}

static kiln_tensor *fake(Quant *q, double lo, double hi)
{
    char a[160];
    kiln_site at = q->at;
    const DType own = (DType)q->x->type.dtype, wide = (DType)dtype_info[own].compute;
    if (!dtype_is_float(own)) return fail(q->t, at, KILN_EDTYPE, "%s: needs floats: %s", q->op, tensor_text(q->x, a, sizeof a));
    if (!places(q)) return &q->t->k->poison;
    kiln_operand level = levels(q, wide), r = of(kiln_clip_at(at, level, kiln_of_f(lo), kiln_of_f(hi)));
    kiln_operand inside = OP2(and, OP2(ge, level, kiln_of_f(lo)), OP2(le, level, kiln_of_f(hi)));
    if (q->zero) r = OP2(sub, r, of(cast_to(q->t, at, q->zero, wide)));
    r = OP2(mul, r, of(cast_to(q->t, at, q->scale, wide)));
    if (!tensor_ok(r.as.tensor)) return r.as.tensor;
    r = OP1(stop_gradient, of(cast_to(q->t, at, r.as.tensor, own)));
    if (!tensor_ok(r.as.tensor) || !tensor_ok(inside.as.tensor)) return &q->t->k->poison;
    kiln_tensor *x[2] = {q->x, inside.as.tensor};
    return kiln_custom_gradient_at(at, r.as.tensor, x, 2, straight, NULL);
}

kiln_tensor *kiln_fake_quantise_sized(kiln_site at, kiln_operand x, kiln_operand scale, kiln_operand zero, double lo, double hi,
    const kiln_quantisation *options, size_t size)
{
    const kiln_operand all[3] = {x, scale, zero};
    Quant q = {.t = op_thread(all, 3), .at = at, .op = "fake_quantise"};
    if (!q.t) return NULL;
    if (!(lo <= hi) || floor(lo) != lo || floor(hi) != hi || fabs(lo) > 0x1p24 || fabs(hi) > 0x1p24)
        return fail(q.t, at, KILN_EVALUE,
            "fake_quantise: the integers go from %g to %g; they must be whole, in order, and at most 2^24", lo, hi);
    Composite c = composite_begin(q.t, q.op);
    return composite_end(q.t, &c, open(&q, x, scale, zero, DT_i32, options, size) ? fake(&q, lo, hi) : &q.t->k->poison);
}
