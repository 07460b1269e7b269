/* ops_quantised: products and convolutions of bytes that stand for numbers: scale times (byte minus zero point). Relies on ops.h
 * and the public products. */
#include "ops.h"

#define OP1(name, x) of(kiln_##name##_at(at, x))
#define OP2(name, x, y) of(kiln_##name##_at(at, x, y))

static bool is_none(kiln_operand o) { return o.kind == 1 && !o.as.tensor; }
static bool is_byte(const kiln_tensor *x) { return x->type.dtype == DT_i8 || x->type.dtype == DT_u8; }

static kiln_tensor *bytes(Thread *t, kiln_site at, const char *op, kiln_operand o)
{
    char text[160];
    kiln_tensor *x = operand_named(t, at, op, o, NULL);
    if (!tensor_ok(x)) return x;
    if (!is_byte(x)) return fail(t, at, KILN_EDTYPE, "%s: needs i8 or u8: %s", op, tensor_text(x, text, sizeof text));
    if (x->type.rank >= 2) return x;
    return fail(t, at, KILN_ESHAPE, "%s: needs matrices, with at least two axes: %s", op, tensor_text(x, text, sizeof text));
}

/* A zero point or scale of x's rows, or of its columns, such that it broadcasts to what is summed along the other axis: a scalar
 * stays, [m] becomes [m, 1] for rows. False: recorded. */
static bool per_line(Thread *t, kiln_site at, const char *op, const char *what, const kiln_tensor *x, bool rows, kiln_tensor **p)
{
    char a[160], b[160];
    const int rank = x->type.rank, own = (*p)->type.rank;
    const Dim n = x->type.dim[rows ? rank - 2 : rank - 1];
    bool fits = own <= rank && (own < 2 || (*p)->type.dim[own - (rows ? 1 : 2)] == 1);
    if (own == 1) fits = (*p)->type.dim[0] == n || (*p)->type.dim[0] == 1;
    if (own >= 2) fits = fits && ((*p)->type.dim[own - (rows ? 2 : 1)] == n || (*p)->type.dim[own - (rows ? 2 : 1)] == 1);
    for (int i = 3; fits && i <= own; i++) fits = (*p)->type.dim[own - i] == x->type.dim[rank - i] || (*p)->type.dim[own - i] == 1;
    if (!fits) {
        fail(t, at, KILN_ESHAPE, "%s: %s must be a scalar, or one for each %s: %s x %s", op, what,
            rows ? "row of x" : "column of y", tensor_text(*p, a, sizeof a), tensor_text(x, b, sizeof b));
        return false;
    }
    if (own == 1 && rows) *p = reshape_to(t, at, *p, (Dim[]){(*p)->type.dim[0], 1}, 2);
    return tensor_ok(*p);
}

/* The zero point in i32; NULL in *p: there is none. False: poison, or recorded. */
static bool zero_of(Thread *t, kiln_site at, const char *op, kiln_operand o, const kiln_tensor *x, bool rows, kiln_tensor **p)
{
    char a[160];
    *p = NULL;
    if (is_none(o)) return true;
    kiln_tensor *z = operand_named(t, at, op, o, &(Type){.dtype = x->type.dtype});
    if (!tensor_ok(z)) return false;
    if (z->type.dtype != x->type.dtype) {
        fail(t, at, KILN_EDTYPE, "%s: a zero point has its operand's dtype, %s: %s", op, dtype_info[x->type.dtype].name,
            tensor_text(z, a, sizeof a));
        return false;
    }
    if (!per_line(t, at, op, "a zero point", x, rows, &z)) return false;
    *p = cast_to(t, at, z, DT_i32);
    return tensor_ok(*p);
}

static kiln_operand sums(Thread *t, kiln_site at, kiln_tensor *x, int axis)
{
    return OP2(sum, of(cast_to(t, at, x, DT_i32)), KILN_KEEP(axis));
}

/* (x - a) . (y - b) = x . y - a colsum(y) - (rowsum(x) - k a) b, modulo 2^32 */
static kiln_tensor *integer_product(
    Thread *t, kiln_site at, const char *op, kiln_tensor *x, kiln_tensor *y, kiln_operand x_zero, kiln_operand y_zero)
{
    kiln_tensor *a, *b;
    if (!zero_of(t, at, op, x_zero, x, true, &a) || !zero_of(t, at, op, y_zero, y, false, &b)) return &t->k->poison;
    kiln_operand r = of(kiln_matmul_to_at(at, of(x), of(y), KILN_I32));
    if (a) r = OP2(sub, r, OP2(mul, of(a), sums(t, at, y, -2)));
    if (!b) return r.as.tensor;
    kiln_operand rows = sums(t, at, x, -1);
    if (a) rows = OP2(sub, rows, OP2(mul, of(a), of(dim_tensor(t, at, x->type.dim[x->type.rank - 1], DT_i32))));
    return kiln_sub_at(at, r, OP2(mul, rows, of(b)));
}

kiln_tensor *kiln_matmul_integer_at(kiln_site at, kiln_operand xo, kiln_operand yo, kiln_operand x_zero, kiln_operand y_zero)
{
    kiln_operand o[2] = {xo, yo};
    Thread *t = op_thread(o, 2);
    if (!t) return NULL;
    kiln_tensor *x = bytes(t, at, "matmul_integer", xo), *y = tensor_ok(x) ? bytes(t, at, "matmul_integer", yo) : x;
    if (!tensor_ok(y)) return &t->k->poison;
    Composite s = composite_begin(t, "matmul_integer");
    return composite_end(t, &s, integer_product(t, at, "matmul_integer", x, y, x_zero, y_zero));
}

/* A scale in f32. NULL: poison, or recorded. */
static kiln_tensor *scale_of(Thread *t, kiln_site at, kiln_operand o, const kiln_tensor *x, bool rows)
{
    char a[160];
    kiln_tensor *s = operand_named(t, at, "matmul_quantised", o, &(Type){.dtype = DT_f32});
    if (!tensor_ok(s)) return NULL;
    if (s->type.dtype != DT_f32) {
        fail(t, at, KILN_EDTYPE, "matmul_quantised: a scale must be f32: %s", tensor_text(s, a, sizeof a));
        return NULL;
    }
    return per_line(t, at, "matmul_quantised", "a scale", x, rows, &s) ? s : NULL;
}

kiln_tensor *kiln_matmul_quantised_at(kiln_site at, kiln_operand xo, kiln_operand x_scale, kiln_operand x_zero, kiln_operand yo,
    kiln_operand y_scale, kiln_operand y_zero, kiln_operand scale, kiln_operand zero)
{
    kiln_operand o[2] = {xo, yo};
    char text[160];
    Thread *t = op_thread(o, 2);
    if (!t) return NULL;
    kiln_tensor *x = bytes(t, at, "matmul_quantised", xo), *y = tensor_ok(x) ? bytes(t, at, "matmul_quantised", yo) : x;
    if (!tensor_ok(y)) return &t->k->poison;
    kiln_tensor *z = operand_named(t, at, "matmul_quantised", zero, NULL);
    if (!tensor_ok(z)) return z;
    if (!is_byte(z) || z->type.rank != 0)
        return fail(t, at, KILN_EDTYPE, "matmul_quantised: the result's zero point must be a scalar of i8 or u8: %s",
            tensor_text(z, text, sizeof text));
    Composite s = composite_begin(t, "matmul_quantised");
    kiln_tensor *by_x = scale_of(t, at, x_scale, x, true), *by_y = by_x ? scale_of(t, at, y_scale, y, false) : NULL;
    kiln_tensor *by = by_y ? operand_named(t, at, "matmul_quantised", scale, &(Type){.dtype = DT_f32}) : NULL;
    if (!tensor_ok(by)) return composite_end(t, &s, &t->k->poison);
    if (by->type.dtype != DT_f32 || by->type.rank != 0)
        return composite_end(t, &s,
            fail(t, at, KILN_EDTYPE, "matmul_quantised: the result's scale must be a scalar of f32: %s",
                tensor_text(by, text, sizeof text)));
    kiln_tensor *p = integer_product(t, at, "matmul_quantised", x, y, x_zero, y_zero);
    const kiln_operand factor = OP2(div, OP2(mul, of(by_x), of(by_y)), of(by));
    kiln_operand r = OP1(round, OP2(mul, of(cast_to(t, at, p, DT_f32)), factor));
    r = OP2(add, r, of(cast_to(t, at, z, DT_f32)));
    return composite_end(t, &s, cast_to(t, at, r.as.tensor, (DType)z->type.dtype)); /* which saturates */
}

/* ---- convolution ------------------------------------------------------------------------------------ */

/* x minus its zero point, in floats. */
static kiln_tensor *less_zero(Thread *t, kiln_site at, kiln_tensor *x, kiln_operand zero, bool lists, DType to)
{
    char a[160];
    kiln_tensor *wide = cast_to(t, at, x, to);
    if (is_none(zero)) return wide;
    kiln_tensor *z = operand_named(t, at, "convolve_integer", zero, &(Type){.dtype = x->type.dtype});
    if (!tensor_ok(z)) return z;
    if (z->type.dtype != x->type.dtype)
        return fail(t, at, KILN_EDTYPE, "convolve_integer: a zero point has its operand's dtype, %s: %s",
            dtype_info[x->type.dtype].name, tensor_text(z, a, sizeof a));
    const bool fits = z->type.rank == 0 || operand_is_number(zero) ||
                      (lists && z->type.rank == 1 && z->type.dim[0] == x->type.dim[x->type.rank - 1]);
    if (!fits)
        return fail(t, at, KILN_ESHAPE, "convolve_integer: a zero point must be a scalar%s: %s",
            lists ? ", or one for each filter" : "", tensor_text(z, a, sizeof a));
    return kiln_sub_at(at, of(wide), of(cast_to(t, at, z, to)));
}

/* The largest products are 255 * 255: so many of them have a sum that f32 holds. */
enum { MOST_IN_F32 = (1 << 24) / (255 * 255) };

kiln_tensor *kiln_convolve_integer_sized(kiln_site at, kiln_operand xo, kiln_operand fo, kiln_operand x_zero,
    kiln_operand filters_zero, const kiln_convolution *options, size_t size)
{
    kiln_operand o[2] = {xo, fo};
    Thread *t = op_thread(o, 2);
    if (!t) return NULL;
    kiln_tensor *x = bytes(t, at, "convolve_integer", xo), *f = tensor_ok(x) ? bytes(t, at, "convolve_integer", fo) : x;
    if (!tensor_ok(f)) return &t->k->poison;
    Composite s = composite_begin(t, "convolve_integer");
    const Dim terms = extent_product(t, at, f->type.dim, f->type.rank - 1);
    const DType d = terms != DIM_BAD && extent_hi(t, terms) <= MOST_IN_F32 ? DT_f32 : DT_f64;
    kiln_tensor *in = less_zero(t, at, x, x_zero, false, d), *by = less_zero(t, at, f, filters_zero, true, d);
    if (!tensor_ok(in) || !tensor_ok(by)) return composite_end(t, &s, &t->k->poison);
    return composite_end(t, &s, cast_to(t, at, kiln_convolve_sized(at, of(in), of(by), options, size), DT_i32));
}
