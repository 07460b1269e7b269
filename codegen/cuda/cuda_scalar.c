/* cuda_scalar: prints the primitives of scalar.def as expressions of CUDA C, with exactly the meaning that scalar.def gives them,
 * provided that the compiler forms no FMA of its own (-fmad=false). Relies on print.h, ir/text.h. Never knows kernels. */
#include "print.h"

#include "../../ir/text.h"

#include <math.h>

const char *cuda_type(DType t)
{
    t = (DType)dtype_info[t].compute;
    return t == DT_bool ? "bool" : dtype_info[t].name;
}

const char *cuda_memory_type(DType t)
{
    if (!narrow_fns[t].widen) return t == DT_bool ? "u8" : dtype_info[t].name;
    return dtype_info[t].bits == 8 ? "u8" : "u16";
}

/* Integers of up to 32 bits wrap in u32, 64-bit ones in u64. */
static const char *wrapping(DType t) { return dtype_bytes(t) == 8 ? "u64" : "u32"; }

/* ---- literals -------------------------------------------------------------------------------- */

static const char *float_literal(Arena *a, DType t, double v)
{
    char text[64];
    const char *f = t == DT_f64 ? "" : "f";
    if (isnan(v)) return t == DT_f64 ? "__longlong_as_double(0x7ff8000000000000ll)" : "__int_as_float(0x7fc00000)";
    if (isinf(v)) {
        const char *inf = t == DT_f64 ? "__longlong_as_double(0x7ff0000000000000ll)" : "__int_as_float(0x7f800000)";
        return v > 0 ? inf : arena_printf(a, "(-%s)", inf);
    }
    scalar_print(t, attr_of_f64(v), text, sizeof text);
    const char *point = strpbrk(text, ".en") ? "" : ".0";
    return arena_printf(a, signbit(v) ? "(%s%s%s)" : "%s%s%s", text, point, f);
}

const char *cuda_literal(Arena *a, DType t, Scalar v)
{
    t = (DType)dtype_info[t].compute;
    long long i = v.i;
    switch (t) {
    case DT_f32:
    case DT_f64: return float_literal(a, t, v.f);
    case DT_bool: return i != 0 ? "true" : "false";
    case DT_u64: return arena_printf(a, "%lluull", (unsigned long long)v.u);
    case DT_u32: return arena_printf(a, "%lldu", i);
    case DT_i64:
        if (i == INT64_MIN) return "(-9223372036854775807ll - 1)";
        return arena_printf(a, i < 0 ? "(%lldll)" : "%lldll", i);
    case DT_i32:
        if (i == INT32_MIN) return "(-2147483647 - 1)";
        return arena_printf(a, i < 0 ? "(%lld)" : "%lld", i);
    default: return arena_printf(a, "%s(%lld)", dtype_info[t].name, i);
    }
}

/* ---- memory ---------------------------------------------------------------------------------- */

const char *cuda_from_memory(Arena *a, DType t, const char *x)
{
    if (t == DT_bool) return arena_printf(a, "%s != 0", x);
    return !narrow_fns[t].widen ? x : arena_printf(a, "widen_%s(%s)", dtype_info[t].name, x);
}

const char *cuda_to_memory(Arena *a, DType t, const char *x)
{
    if (t == DT_bool) return arena_printf(a, "u8(%s)", x);
    return !narrow_fns[t].narrow ? x : arena_printf(a, "narrow_%s(%s)", dtype_info[t].name, x);
}

/* ---- primitives ------------------------------------------------------------------------------ */

static const char *float_prim(Arena *a, Prim p, DType t, const char *x, const char *y, const char *z)
{
    bool d = t == DT_f64;
    const char *f = d ? "" : "f";
    switch (p) {
    case P_add: return arena_printf(a, "%s + %s", x, y);
    case P_sub: return arena_printf(a, "%s - %s", x, y);
    case P_mul: return arena_printf(a, "%s * %s", x, y);
    case P_div: return arena_printf(a, "%s / %s", x, y);
    case P_fmod: return arena_printf(a, "fmod%s(%s, %s)", f, x, y);
    case P_mad: return arena_printf(a, "%s(%s, %s, %s)", d ? "__fma_rn" : "__fmaf_rn", x, y, z);
    case P_scale: return arena_printf(a, "scale(%s, %s)", x, y);
    case P_neg: return arena_printf(a, "-%s", x);
    case P_abs: return arena_printf(a, "fabs%s(%s)", f, x);
    case P_sqrt: return arena_printf(a, "%s(%s)", d ? "__dsqrt_rn" : "__fsqrt_rn", x);
    case P_floor: return arena_printf(a, "floor%s(%s)", f, x);
    case P_ceil: return arena_printf(a, "ceil%s(%s)", f, x);
    case P_trunc: return arena_printf(a, "trunc%s(%s)", f, x);
    case P_rint: return arena_printf(a, "rint%s(%s)", f, x);
    case P_copysign: return arena_printf(a, "copysign%s(%s, %s)", f, x, y);
    default: return NULL;
    }
}

static const char *bool_prim(Arena *a, Prim p, const char *x, const char *y)
{
    switch (p) {
    case P_and: return arena_printf(a, "%s && %s", x, y);
    case P_or: return arena_printf(a, "%s || %s", x, y);
    case P_xor: return arena_printf(a, "%s != %s", x, y);
    case P_not: return arena_printf(a, "!%s", x);
    case P_rare: return x;
    default: return NULL;
    }
}

static const char *wrapped(Arena *a, DType t, const char *op, const char *x, const char *y)
{
    const char *w = wrapping(t);
    if (t == DT_u32 || t == DT_u64) return arena_printf(a, "%s %s %s", x, op, y);
    return arena_printf(a, "%s(%s(%s) %s %s(%s))", dtype_info[t].name, w, x, op, w, y);
}

static const char *int_prim(Arena *a, Prim p, DType t, const char *x, const char *y)
{
    const char *w = wrapping(t), *n = dtype_info[t].name;
    switch (p) {
    case P_add: return wrapped(a, t, "+", x, y);
    case P_sub: return wrapped(a, t, "-", x, y);
    case P_mul: return wrapped(a, t, "*", x, y);
    case P_and: return wrapped(a, t, "&", x, y);
    case P_or: return wrapped(a, t, "|", x, y);
    case P_xor: return wrapped(a, t, "^", x, y);
    case P_neg: return arena_printf(a, "%s(0 - %s(%s))", n, w, x);
    case P_not: return arena_printf(a, "%s(~%s(%s))", n, w, x);
    case P_idiv: return arena_printf(a, "idiv(%s, %s)", x, y);
    case P_irem: return arena_printf(a, "irem(%s, %s)", x, y);
    case P_ipow: return arena_printf(a, "ipow(%s, %s)", x, y);
    case P_shl: return arena_printf(a, "shl(%s, %s)", x, y);
    case P_shr: return arena_printf(a, "shr(%s, %s)", x, y);
    case P_mulhi:
        if (t != DT_u32 && t != DT_u64) return NULL;
        return arena_printf(a, t == DT_u64 ? "__umul64hi(%s, %s)" : "__umulhi(%s, %s)", x, y);
    case P_abs: return dtype_info[t].kind == DK_INT ? arena_printf(a, "iabs(%s)", x) : x;
    default: return NULL;
    }
}

static const char *convert(Arena *a, DType t, DType to, const char *x)
{
    if (t == to) return x;
    if (to == DT_bool) return arena_printf(a, "%s != %s", x, cuda_literal(a, t, (Scalar){0}));
    if (dtype_is_float(t) && !dtype_is_float(to)) return arena_printf(a, "to_%s(%s)", cuda_type(to), x);
    return arena_printf(a, "%s(%s)", cuda_type(to), x);
}

static const char *bits(Arena *a, DType t, DType to, const char *x)
{
    if (t == DT_f32) return arena_printf(a, to == DT_u32 ? "__float_as_uint(%s)" : "__float_as_int(%s)", x);
    return arena_printf(a, to == DT_u64 ? "u64(__double_as_longlong(%s))" : "__double_as_longlong(%s)", x);
}

static const char *floatbits(Arena *a, DType t, DType to, const char *x)
{
    if (to == DT_f32) return arena_printf(a, t == DT_u32 ? "__uint_as_float(%s)" : "__int_as_float(%s)", x);
    return arena_printf(a, t == DT_u64 ? "__longlong_as_double(i64(%s))" : "__longlong_as_double(%s)", x);
}

const char *cuda_prim(Arena *a, Prim p, DType t, DType to, const char *x, const char *y, const char *z)
{
    static const char *const compare[] = {"<", "<=", ">", ">=", "==", "!="};
    t = (DType)dtype_info[t].compute;
    to = (DType)dtype_info[to].compute;
    switch (p) {
    case P_lt:
    case P_le:
    case P_gt:
    case P_ge:
    case P_eq:
    case P_ne: return arena_printf(a, "%s %s %s", x, compare[p - P_lt], y);
    case P_select: return arena_printf(a, "%s ? %s : %s", x, y, z);
    case P_bits: return dtype_is_float(t) ? bits(a, t, to, x) : NULL;
    case P_floatbits: return dtype_is_float(to) ? floatbits(a, t, to, x) : NULL;
    case P_cvt: return convert(a, t, to, x);
    default: break;
    }
    if (dtype_is_float(t)) return float_prim(a, p, t, x, y, z);
    return t == DT_bool ? bool_prim(a, p, x, y) : int_prim(a, p, t, x, y);
}

/* ---- narrow floats ------------------------------------------------------------------------------ */

typedef struct Lines {
    Arena *arena;
    Text *out;
    uint32_t count;
} Lines;

static Term line_const(void *to, DType t, Scalar v) { return (Term){t, {.text = cuda_literal(((Lines *)to)->arena, t, v)}}; }

/* Prints a line for each primitive, so that a value that is used twice is computed once. */
static Term line_prim(void *to, Prim p, DType result, const Term *in)
{
    Lines *l = to;
    const char *value = cuda_prim(l->arena, p, in[0].type, result, in[0].as.text, in[1].as.text, in[2].as.text);
    text_printf(l->out, "    const %s v%u = %s;\n", cuda_type(result), l->count, value);
    return (Term){result, {.text = arena_printf(l->arena, "v%u", l->count++)}};
}

static void narrow_function(Arena *a, Text *out, const char *what, DType t, const ScalarTok *fn, DType from, const char *result)
{
    Lines lines = {a, out, 0};
    const ScalarSink sink = {&lines, line_const, line_prim};
    text_printf(out, "KILN_DEVICE %s %s_%s(%s x)\n{\n", result, what, dtype_info[t].name, cuda_type(from));
    const Term value = scalar_expand(&sink, fn, from, DT_f32, &(Term){from, {.text = "x"}});
    text_printf(out, "    return %s(%s);\n}\n", result, value.as.text);
}

void cuda_narrow(Arena *a, Text *out, DType t)
{
    const char *memory = cuda_memory_type(t), *name = dtype_info[t].name;
    narrow_function(a, out, "widen", t, narrow_fns[t].widen, DT_u32, "f32");
    narrow_function(a, out, "narrow", t, narrow_fns[t].narrow, DT_f32, memory);
    text_printf(out,
        "struct Io_%s {\n    static KILN_DEVICE f32 in(%s x) { return widen_%s(x); }\n"
        "    static KILN_DEVICE %s out(f32 x) { return narrow_%s(x); }\n};\n\n",
        name, memory, name, memory, name);
}
