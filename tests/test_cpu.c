/* The LLVM backend, kernel by kernel: every primitive in scalar and vector form against
 * prim_eval, bit for bit; 16-bit floats; libm. */
#include "kernel_make.h"

#include <math.h>
#include <setjmp.h>
#include <stdio.h>

#include <cmocka.h>

#define NEED_LLVM()                  \
    do {                             \
        (void)state;                 \
        if (!llvm_backend()) skip(); \
    } while (0)

/* ---- edge values ----------------------------------------------------------------------------- */

static uint32_t float_edges(DType t, Scalar *v)
{
    static const double all[] = {0.0, -0.0, 1, -1, 0.5, 1.5, 2.5, -2.5, 3, 127.5, 255, 256, -129,
        32768, 65536, 2147483647.0, 2147483648.0, -2147483649.0, 4294967295.0, 4294967296.0,
        9007199254740993.0, 9223372036854775808.0, -9223372036854777856.0, 18446744073709551616.0,
        1e30, -1e30, 0x1p-126, 0x1p-149, -0x1.8p-148, 0x1.fffffep127, 0x1p23, 0x1.000002p22,
        INFINITY, -INFINITY, NAN, 1e-5, 0.1, 7.3};
    for (uint32_t i = 0; i < COUNT_OF(all); i++)
        v[i].f = t == DT_f32 ? (double)(float)all[i] : all[i];
    return COUNT_OF(all);
}

static uint32_t int_edges(DType t, Scalar *v)
{
    static const int64_t all[] = {0, 1, 2, 3, 7, 8, 15, 31, 32, 63, 64, 100, -1, -2, -7, INT8_MIN,
        INT8_MAX, INT16_MIN, INT16_MAX, INT32_MIN, INT32_MAX, INT64_MIN, INT64_MAX, 0x5bd1e995,
        0x123456789abcdef};
    for (uint32_t i = 0; i < COUNT_OF(all); i++) {
        char mem[8];
        dtype_store_i64(t == DT_bool ? DT_u8 : t, mem, t == DT_bool ? all[i] & 1 : all[i]);
        v[i].i = dtype_load_i64(t == DT_bool ? DT_u8 : t, mem);
    }
    return COUNT_OF(all);
}

static uint32_t edges(DType t, Scalar *v)
{
    return dtype_is_float(t) ? float_edges(t, v) : int_edges(t, v);
}

static void store(DType t, void *at, size_t i, Scalar v)
{
    char *to = (char *)at + i * dtype_bytes(t);
    if (dtype_is_float(t))
        dtype_store_f64(t, to, v.f);
    else
        dtype_store_i64(t, to, v.i);
}

static Scalar load(DType t, const void *at, size_t i)
{
    const char *from = (const char *)at + i * dtype_bytes(t);
    Scalar s;
    if (dtype_is_float(t))
        s.f = dtype_load_f64(t, from);
    else
        s.i = dtype_load_i64(t, from);
    return s;
}

/* ---- which primitives have which types ------------------------------------------------------- */

static bool offered(Prim p, DType t)
{
    bool f = dtype_is_float(t), b = t == DT_bool;
    switch (p) {
    case P_div:
    case P_fmod:
    case P_mad:
    case P_sqrt:
    case P_floor:
    case P_ceil:
    case P_trunc:
    case P_rint:
    case P_copysign: return f;
    case P_idiv:
    case P_irem:
    case P_shl:
    case P_shr: return !f && !b;
    case P_mulhi: return t == DT_u32;
    case P_and:
    case P_or:
    case P_xor:
    case P_not: return !f;
    case P_add:
    case P_sub:
    case P_mul:
    case P_neg:
    case P_abs: return !b;
    default: return true;
    }
}

/* Result types to try: all for cvt, the one of the same width for bits and floatbits. */
static bool result_type(Prim p, DType t, DType to)
{
    if (dtype_info[to].compute != to) return false;
    switch (p) {
    case P_lt:
    case P_le:
    case P_gt:
    case P_ge:
    case P_eq:
    case P_ne: return to == DT_bool;
    case P_cvt: return true;
    case P_bits: return dtype_is_float(t) && dtype_is_int(to) && dtype_bytes(to) == dtype_bytes(t);
    case P_floatbits:
        return dtype_is_int(t) && dtype_is_float(to) && dtype_bytes(to) == dtype_bytes(t);
    default: return to == t;
    }
}

typedef struct Case {
    Prim p;
    DType t, to;
    uint32_t n;
    void *in[3], *out;
} Case;

static void fill(Case *c)
{
    Scalar v[64], w[64];
    uint32_t args = prim_info[c->p].args, nv = edges(c->t, v), nw = edges(DT_bool, w);
    if (args == 1) c->n = nv + 3;
    if (args == 2) c->n = nv * nv;
    if (args == 3) c->n = c->p == P_select ? 2 * nv * 7 : 16 * nv * nv;
    for (uint32_t a = 0; a < args; a++) {
        DType t = c->p == P_select && a == 0 ? DT_bool : c->t;
        c->in[a] = calloc(c->n, 8);
        for (uint32_t i = 0; i < c->n; i++) {
            uint32_t k = a == 0 ? i % nv : a == 1 ? i / nv % nv : i / nv / nv * 7 % nv;
            store(t, c->in[a], i, t == DT_bool && c->t != DT_bool ? w[i % nw] : v[k]);
        }
    }
    c->out = calloc(c->n, 8);
}

static void emit(Make *m, const Case *c, bool vector)
{
    uint32_t args = prim_info[c->p].args;
    int32_t x[3] = {-1, -1, -1};
    make_kernel(m, 1, (Dim[]){c->n}, -1, vector ? 0 : -1, 0, 2, args + 1);
    make_stage(m, false);
    for (uint32_t a = 0; a < args; a++)
        x[a] = make_load(m,
            make_stream(m, a, c->p == P_select && a == 0 ? DT_bool : c->t, 0, (Dim[]){1}, -1, -1));
    make_store(m, make_stream(m, args, c->to, 0, (Dim[]){1}, -1, -1),
        make_prim(m, c->p, c->to, x[0], x[1], x[2]), false);
    make_kernel_end(m);
    for (uint32_t a = 0; a < args; a++) make_input(m, c->t);
}

static void check(const Case *c, bool vector)
{
    for (uint32_t i = 0; i < c->n; i++) {
        Scalar x[3] = {{0}, {0}, {0}};
        for (uint32_t a = 0; a < prim_info[c->p].args; a++)
            x[a] = load(c->p == P_select && a == 0 ? DT_bool : c->t, c->in[a], i);
        Scalar want = prim_eval(c->p, c->t, c->to, x[0], x[1], x[2]), got = load(c->to, c->out, i);
        bool same = dtype_is_float(c->to) && isnan(want.f) ? isnan(got.f) : want.i == got.i;
        if (!same)
            fail_msg("%s %s->%s %s: (%g %g %g | %lld %lld %lld) is %g %lld, not %g %lld",
                prim_info[c->p].name, dtype_info[c->t].name, dtype_info[c->to].name,
                vector ? "vector" : "scalar", x[0].f, x[1].f, x[2].f, (long long)x[0].i,
                (long long)x[1].i, (long long)x[2].i, got.f, (long long)got.i, want.f,
                (long long)want.i);
    }
}

/* All primitives of one operand type as one program. */
static void primitives(DType t, bool vector)
{
    enum { CASES = 96 };
    Case c[CASES];
    void *buf[CASES * 4];
    uint32_t n = 0, ninput = 0, at[CASES * 4];
    Make *m = make_new();
    for (Prim p = P_NONE + 1; p < P_COUNT; p++)
        for (DType to = DT_NONE + 1; to < DT_COUNT; to++) {
            if (!offered(p, t) || !result_type(p, t, to)) continue;
            assert_true(n < CASES);
            c[n] = (Case){.p = p, .t = t, .to = to};
            fill(&c[n]);
            emit(m, &c[n], vector);
            for (uint32_t a = 0; a < prim_info[p].args; a++) buf[ninput++] = c[n].in[a];
            n++;
        }
    uint32_t input = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t args = prim_info[c[i].p].args;
        for (uint32_t a = 0; a < args; a++) at[a] = input++;
        at[args] = make_output(m, c[i].to);
        buf[ninput + i] = c[i].out;
        make_step(m, make_run(m, i, args + 1, at));
    }
    run_program(make_program(m), buf, NULL, NULL);
    for (uint32_t i = 0; i < n; i++) {
        check(&c[i], vector);
        for (int a = 0; a < 3; a++) free(c[i].in[a]);
        free(c[i].out);
    }
    make_free(m);
}

static void primitives_match_prim_eval(void **state)
{
    NEED_LLVM();
    for (DType t = DT_NONE + 1; t < DT_COUNT; t++) {
        if (dtype_info[t].compute != t) continue;
        primitives(t, true);
        primitives(t, false);
    }
}

/* ---- 16-bit floats in memory ----------------------------------------------------------------- */

static void convert_all(DType from, DType to, const void *in, void *out, uint32_t n, bool vector)
{
    Make *m = make_new();
    uint32_t buf[2] = {make_input(m, from), make_output(m, to)};
    make_kernel(m, 1, (Dim[]){n}, -1, vector ? 0 : -1, 0, 4, 2);
    make_stage(m, false);
    int32_t x = make_load(m, make_stream(m, 0, from, 0, (Dim[]){1}, -1, -1));
    make_store(m, make_stream(m, 1, to, 0, (Dim[]){1}, -1, -1), x, false);
    make_step(m, make_run(m, make_kernel_end(m), 2, buf));
    run_program(make_program(m), (void *[]){(void *)(uintptr_t)in, out}, NULL, NULL);
    make_free(m);
}

static void sixteen_bit_floats(void **state)
{
    NEED_LLVM();
    enum { N = 65536 + 5 };
    static uint16_t h[N], back[N];
    static float f[N];
    for (int type = 0; type < 2; type++)
        for (int vector = 0; vector < 2; vector++) {
            DType t = type ? DT_bf16 : DT_f16;
            for (uint32_t i = 0; i < N; i++) h[i] = (uint16_t)i;
            convert_all(t, DT_f32, h, f, N, vector);
            for (uint32_t i = 0; i < N; i++) {
                double want = dtype_load_f64(t, &h[i]);
                if (isnan(want) ? !isnan(f[i]) : memcmp(&(float){(float)want}, &f[i], 4) != 0)
                    fail_msg("%s %x widens to %a", dtype_info[t].name, h[i], (double)f[i]);
            }
            for (uint32_t i = 0; i < N; i++) {
                uint32_t bits = i * 65537u + (i & 3) * 0x1000u;
                memcpy(&f[i], &bits, 4);
            }
            convert_all(DT_f32, t, f, back, N, vector);
            for (uint32_t i = 0; i < N; i++) {
                uint16_t want = type ? float_to_bf16(f[i]) : float_to_half(f[i]);
                if (isnan(f[i]) ? !isnan(dtype_load_f64(t, &back[i])) : want != back[i])
                    fail_msg("%a rounds to %s %x, not %x", (double)f[i], dtype_info[t].name,
                        back[i], want);
            }
        }
}

/* ---- libm ------------------------------------------------------------------------------------ */

static void doubles_call_libm(void **state)
{
    NEED_LLVM();
    enum { N = 11 };
    double x[N], y[N], out[FN_COUNT][N];
    void *buf[2 + FN_COUNT] = {x, y};
    Make *m = make_new();
    uint32_t at[3] = {make_input(m, DT_f64), make_input(m, DT_f64), 0};
    for (int i = 0; i < N; i++) x[i] = 0.05 + 0.08 * i, y[i] = 1.5 - i;
    for (uint32_t f = 0; f < FN_COUNT; f++) {
        buf[2 + f] = out[f];
        at[2] = make_output(m, DT_f64);
        make_kernel(m, 1, (Dim[]){N}, -1, 0, 0, 1, 3);
        make_stage(m, false);
        int32_t a = make_load(m, make_stream(m, 0, DT_f64, 0, (Dim[]){1}, -1, -1));
        int32_t b = make_load(m, make_stream(m, 1, DT_f64, 0, (Dim[]){1}, -1, -1));
        make_store(m, make_stream(m, 2, DT_f64, 0, (Dim[]){1}, -1, -1),
            make_call(m, (MathFn)f, a, math_info[f].args == 2 ? b : -1), false);
        make_step(m, make_run(m, make_kernel_end(m), 3, at));
    }
    run_program(make_program(m), buf, NULL, NULL);
    for (uint32_t f = 0; f < FN_COUNT; f++)
        for (int i = 0; i < N; i++) {
            double want =
                math_info[f].args == 2 ? math_info[f].f64_2(x[i], y[i]) : math_info[f].f64(x[i]);
            if (memcmp(&want, &out[f][i], 8) != 0 && !isnan(want))
                fail_msg("%s(%g) is %a", math_info[f].name, x[i], out[f][i]);
        }
    make_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(primitives_match_prim_eval),
        cmocka_unit_test(sixteen_bit_floats),
        cmocka_unit_test(doubles_call_libm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
