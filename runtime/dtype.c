/* dtype: facts of the element types, and promotion. Relies on dtype.h. Never touches an element: ir/element.c does. */
#include "dtype.h"

const DTypeInfo dtype_info[DT_COUNT] = {
    [DT_NONE] = {.name = "none"},
#define DTYPE_INT(t, tag, c, bits, kind, numpy, least, most) \
    [DT_##t] = {#t, #tag, #c, numpy, bits, DK_##kind, DT_##t, .lo = least, .hi = most},
#define DTYPE_FLOAT(t, tag, c, bits, numpy, exponent, mantissa, most) \
    [DT_##t] = {#t, #tag, #c, numpy, bits, DK_FLOAT, DT_##t, exponent, mantissa, true, .largest = most},
#define DTYPE_NARROW(t, tag, c, bits, numpy, exponent, mantissa, infinite, least, most) \
    [DT_##t] = {#t, #tag, #c, numpy, bits, DK_FLOAT, DT_f32, exponent, mantissa, infinite, .largest = most},
#include "dtype.def"
};

DType dtype_promote(DType a, DType b)
{
    if (a == b) return a;
    if (dtype_is_float(a) && dtype_is_float(b)) return dtype_holds(a, b) ? a : dtype_holds(b, a) ? b : DT_f32;
    if (!dtype_is_int(a) || !dtype_is_int(b)) return DT_NONE;
    const DTypeInfo *x = &dtype_info[a], *y = &dtype_info[b];
    if (x->kind == y->kind) return x->bits > y->bits ? a : b;
    const unsigned bits = x->kind == DK_INT ? MAX_OF(x->bits, 2u * y->bits) : MAX_OF(y->bits, 2u * x->bits);
    for (int t = DT_NONE + 1; t < DT_COUNT; t++)
        if (dtype_info[t].kind == DK_INT && dtype_info[t].bits == bits) return (DType)t;
    return DT_NONE;
}

DType dtype_parse(const char *name, size_t len)
{
    for (int t = DT_NONE + 1; t < DT_COUNT; t++)
        if (strlen(dtype_info[t].name) == len && memcmp(dtype_info[t].name, name, len) == 0) return (DType)t;
    return DT_NONE;
}
