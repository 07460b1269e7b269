/* ref_integer: integers and bool, wrapping in their own width; a quotient by 0 is 0 and so is the remainder; shifts by the width or
 * more leave nothing but the sign. Relies on integer.h. */
#include "integer.h"
#include "internal.h"

static bool is_signed(DType t) { return dtype_info[t].kind == DK_INT; }

bool integer_less(DType t, int64_t x, int64_t y) { return is_signed(t) ? x < y : (uint64_t)x < (uint64_t)y; }

/* As in Python: rounds toward minus infinity, and the remainder has y's sign. */
static void divide(DType t, int64_t x, int64_t y, int64_t *quotient, int64_t *remainder)
{
    if (y == 0) {
        *quotient = *remainder = 0;
    } else if (!is_signed(t)) {
        *quotient = (int64_t)((uint64_t)x / (uint64_t)y);
        *remainder = (int64_t)((uint64_t)x % (uint64_t)y);
    } else if (y == -1) {
        *quotient = (int64_t)(0 - (uint64_t)x);
        *remainder = 0;
    } else {
        *quotient = x / y;
        *remainder = x % y;
        if (*remainder != 0 && (*remainder < 0) != (y < 0)) {
            *quotient -= 1;
            *remainder += y;
        }
    }
}

/* Multiplies as often as the exponent says, by squares; a negative exponent gives 1 / x^-y, cut off. */
static int64_t integer_power(DType t, int64_t x, int64_t y)
{
    uint64_t r = 1, square = (uint64_t)x;
    if (is_signed(t) && y < 0) return x == 1 ? 1 : x == -1 ? (y % 2 == 0 ? 1 : -1) : 0;
    for (uint64_t left = (uint64_t)y; left != 0; left /= 2) {
        if (left % 2 == 1) r *= square;
        square *= square;
    }
    return (int64_t)r;
}

/* As in C: the remainder has x's sign. */
static int64_t cut_remainder(DType t, int64_t x, int64_t y)
{
    if (y == 0 || (is_signed(t) && y == -1)) return 0;
    return is_signed(t) ? x % y : (int64_t)((uint64_t)x % (uint64_t)y);
}

static int64_t shift_left(DType t, int64_t x, int64_t by)
{
    return (uint64_t)by < 8 * dtype_bytes(t) ? (int64_t)((uint64_t)x << by) : 0;
}

static int64_t shift_right(DType t, int64_t x, int64_t by)
{
    if ((uint64_t)by >= 8 * dtype_bytes(t)) return is_signed(t) && x < 0 ? -1 : 0;
    return is_signed(t) ? x >> by : (int64_t)((uint64_t)x >> by);
}

static bool logic(Op op, int64_t x, int64_t y, int64_t *out)
{
    switch (op) {
    case OP_and: *out = x & y; return true;
    case OP_or: *out = x | y; return true;
    case OP_xor: *out = x ^ y; return true;
    default: return false;
    }
}

static bool comparison(Op op, DType t, int64_t x, int64_t y, int64_t *out)
{
    switch (op) {
    case OP_eq: *out = x == y; return true;
    case OP_ne: *out = x != y; return true;
    case OP_lt: *out = integer_less(t, x, y); return true;
    case OP_le: *out = !integer_less(t, y, x); return true;
    case OP_gt: *out = integer_less(t, y, x); return true;
    case OP_ge: *out = !integer_less(t, x, y); return true;
    default: return false;
    }
}

static bool arithmetic(Op op, DType t, int64_t x, int64_t y, int64_t *out)
{
    int64_t q, r;
    uint64_t a = (uint64_t)x, b = (uint64_t)y;
    switch (op) {
    case OP_neg: *out = (int64_t)(0 - a); return true;
    case OP_abs: *out = is_signed(t) && x < 0 ? (int64_t)(0 - a) : x; return true;
    case OP_sign: *out = x == 0 ? 0 : is_signed(t) && x < 0 ? -1 : 1; return true;
    case OP_relu: *out = integer_less(t, x, 0) ? 0 : x; return true;
    case OP_add: *out = (int64_t)(a + b); return true;
    case OP_sub: *out = (int64_t)(a - b); return true;
    case OP_mul: *out = (int64_t)(a * b); return true;
    case OP_floor_div:
    case OP_mod:
        divide(t, x, y, &q, &r);
        *out = op == OP_mod ? r : q;
        return true;
    case OP_fmod: *out = cut_remainder(t, x, y); return true;
    case OP_pow: *out = integer_power(t, x, y); return true;
    case OP_max: *out = integer_less(t, y, x) ? x : y; return true;
    case OP_min: *out = integer_less(t, x, y) ? x : y; return true;
    case OP_not: *out = t == DT_bool ? !x : ~x; return true;
    case OP_shl: *out = shift_left(t, x, y); return true;
    case OP_shr: *out = shift_right(t, x, y); return true;
    default: return false;
    }
}

bool integer_element(Op op, DType t, int64_t x, int64_t y, int64_t *out)
{
    int64_t v;
    if (comparison(op, t, x, y, out)) return true;
    if (!logic(op, x, y, &v) && !arithmetic(op, t, x, y, &v)) return false;
    *out = ref_wrap(t, v);
    return true;
}

int64_t integer_of_float(DType t, double v)
{
    if (t == DT_bool) return v != 0;
    if (v != v) return 0;
    if (t == DT_u64) return v >= 0x1p64 ? -1 : v <= 0 ? 0 : (int64_t)(uint64_t)v;
    if (t == DT_i64) return v >= 0x1p63 ? INT64_MAX : v < -0x1p63 ? INT64_MIN : (int64_t)v;
    double lo = (double)dtype_info[t].lo, hi = (double)dtype_info[t].hi;
    return (int64_t)(v < lo ? lo : v > hi ? hi : v);
}
