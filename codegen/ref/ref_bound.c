/* ref_bound: elements of the interpreter: rounding, units in the last place, and setting a value with its error bound.
 * Relies on internal.h. Never knows an op. */
#include "internal.h"

#include <math.h>

static int digits(DType t) { return dtype_info[t].mantissa + 1; } /* bits of the significand, with the leading one */

/* Rounds to a multiple of the last place, ties to even, by its own means: it shares nothing with ir/narrow.def. */
static double ref_round(DType t, double v)
{
    if (t == DT_f64 || !isfinite(v)) return dtype_info[t].infinite || isfinite(v) ? v : (double)NAN;
    if (t == DT_f32) return (float)v;
    double place = ref_ulp(t, v), r = rint(v / place) * place;
    if (fabs(r) <= dtype_info[t].largest) return copysign(r, v);
    return dtype_info[t].infinite ? copysign((double)INFINITY, v) : (double)NAN;
}

double ref_ulp(DType t, double v)
{
    int exponent, least = dtype_least_exponent(t);
    if (!isfinite(v)) return 0;
    frexp(v, &exponent); /* v in [2^(exponent-1), 2^exponent) */
    return ldexp(1, MAX_OF(v == 0 ? least : exponent - 1, least) - (digits(t) - 1));
}

double ref_largest(DType t) { return dtype_info[t].largest; }

double ref_unit(DType t) { return ldexp(1, -digits((DType)dtype_info[t].compute)); }

int ref_lowest(DType t) { return dtype_least_exponent(t) - (digits(t) - 1); }

int64_t ref_wrap(DType t, int64_t v)
{
    switch (t) {
    case DT_bool: return v != 0;
    case DT_u8: return (uint8_t)v;
    case DT_i8: return (int8_t)v;
    case DT_u16: return (uint16_t)v;
    case DT_i16: return (int16_t)v;
    case DT_u32: return (uint32_t)v;
    case DT_i32: return (int32_t)v;
    default: return v;
    }
}

void ref_set(RefTensor *t, int64_t i, double v, double err, double ulps)
{
    DType type = (DType)t->type.dtype;
    double r = ref_round(type, v);
    t->f[i] = r;
    t->bound[i] = 0;
    if (!isfinite(v) || (err == 0 && ulps == 0)) return;
    /* The roundings of two different values may be one more place apart. */
    double bound = err + (ulps + 1) * ref_ulp(type, fabs(v) + err), largest = ref_largest(type);
    if (!(fabs(v) + bound < largest)) {
        /* Overflow is certain only if the whole interval overflows. */
        if (!(fabs(v) - bound > largest + ref_ulp(type, largest))) t->undecided[i] |= DOUBT_OVERFLOW;
        return;
    }
    t->bound[i] = bound;
}

void ref_set_integer(RefTensor *t, int64_t i, DType from, int64_t v)
{
    DType type = (DType)t->type.dtype;
    uint64_t room = 0;
    if (from == DT_u64)
        dtype_store_u64(type, &room, (uint64_t)v);
    else
        dtype_store_i64(type, &room, v);
    t->f[i] = dtype_load_f64(type, &room);
    t->bound[i] = 0;
}

void ref_copy(RefTensor *to, int64_t i, const RefTensor *from, int64_t j)
{
    if (to->f) {
        to->f[i] = from->f[j];
        to->bound[i] = from->bound[j];
    } else {
        to->i[i] = from->i[j];
    }
    to->undecided[i] = from->undecided[j];
}

void ref_copy_all(RefTensor *to, const RefTensor *from)
{
    for (int64_t i = 0; i < from->count; i++) ref_copy(to, i, from, i);
}
