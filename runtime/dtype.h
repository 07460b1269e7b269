/* dtype: the element types of tensors, expanded from dtype.def. Relies on base. Never knows an op. */
#ifndef KILN_RUNTIME_DTYPE_H
#define KILN_RUNTIME_DTYPE_H

#include "base.h"

typedef enum DType {
    DT_NONE,
#define DTYPE_INT(name, ...) DT_##name,
#define DTYPE_FLOAT(name, ...) DT_##name,
#define DTYPE_NARROW(name, ...) DT_##name,
#include "dtype.def"
    DT_COUNT
} DType;

typedef enum DTypeKind { DK_NONE, DK_BOOL, DK_UINT, DK_INT, DK_FLOAT } DTypeKind;

typedef struct DTypeInfo {
    const char *name, *tag; /* tag: its name in safetensors */
    const char *c, *numpy;  /* what stores it in C; NumPy's descr, NULL: it has none */
    uint8_t bits;
    uint8_t kind;               /* DTypeKind */
    uint8_t compute;            /* the type that arithmetic and sums are done in: f32 for narrow floats */
    uint8_t exponent, mantissa; /* bits of floats; the leading one is not stored */
    bool infinite;              /* of floats; if false, values beyond the largest are NaN */
    double largest;             /* of floats */
    int64_t lo, hi;             /* integers and bool; u64 stops at INT64_MAX */
} DTypeInfo;

extern const DTypeInfo dtype_info[DT_COUNT];

/* Whether a number from outside, of any enum or file, is a dtype. */
static inline bool dtype_known(int64_t t) { return t > DT_NONE && t < DT_COUNT; }
static inline size_t dtype_bytes(DType t) { return dtype_info[t].bits / 8; }
static inline bool dtype_is_float(DType t) { return dtype_info[t].kind == DK_FLOAT; }
static inline bool dtype_is_int(DType t) { return dtype_info[t].kind == DK_INT || dtype_info[t].kind == DK_UINT; }
/* Floats: the exponent of the smallest normal number. */
static inline int dtype_least_exponent(DType t) { return 2 - (1 << (dtype_info[t].exponent - 1)); }
/* Floats: whether t holds every value of `from`, infinity and NaN included. */
static inline bool dtype_holds(DType t, DType from)
{
    const DTypeInfo *a = &dtype_info[t], *b = &dtype_info[from];
    return a->exponent >= b->exponent && a->mantissa >= b->mantissa && a->infinite >= b->infinite;
}

/* Floats: the largest value of t, infinity if it has one. */
static inline double dtype_most(DType t) { return dtype_info[t].infinite ? __builtin_inf() : dtype_info[t].largest; }

/* The dtype in which a product of matrices of such elements is given: i32 for integers that i16 holds. DT_NONE: there is no
 * product. */
static inline DType dtype_of_product(DType t)
{
    if (t == DT_i8 || t == DT_u8 || t == DT_i16) return DT_i32;
    return dtype_is_float(t) || (dtype_is_int(t) && dtype_bytes(t) >= 4) ? t : DT_NONE;
}

/* f32 holds all values of t, which has fewer bits. */
static inline bool dtype_widens(DType t) { return (dtype_is_float(t) || dtype_is_int(t)) && dtype_bytes(t) <= 2; }

/* Array-API promotion within a kind; DT_NONE where it is undefined (mixed kinds, i64 with u64; bool only with bool). */
DType dtype_promote(DType a, DType b);
DType dtype_parse(const char *name, size_t len); /* DT_NONE if unknown */

#endif
