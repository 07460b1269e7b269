/* The LLVM backend, kernel by kernel: every primitive in scalar and vector form against
 * prim_eval, bit for bit; 16-bit floats; libm. */
#include "ir/scalar_c.h"
#include "kernel_make.h"
#include "prim_cases.h"

#include <math.h>
#include <setjmp.h>
#include <stdio.h>

#include <cmocka.h>

#define NEED_LLVM()                  \
    do {                             \
        (void)state;                 \
        if (!llvm_backend()) skip(); \
    } while (0)

/* ---- elements ------------------------------------------------------------------------------- */

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

/* ---- every primitive -------------------------------------------------------------------------- */

typedef struct Case {
    Prim p;
    DType t, to;
    uint32_t n;
    void *in[3], *out;
} Case;

static void fill(Case *c)
{
    uint32_t args = prim_info[c->p].args, n = EDGES;
    char edges[EDGES * 8];
    if (args == 1) c->n = n + 3;
    if (args == 2) c->n = n * n;
    if (args == 3) c->n = c->p == P_select ? 2 * n * 7 : 16 * n * n;
    for (uint32_t a = 0; a < args; a++) {
        DType t = c->p == P_select && a == 0 ? DT_bool : c->t;
        c->in[a] = calloc(c->n, 8);
        prim_edges(t, edges);
        for (uint32_t i = 0; i < c->n; i++) {
            uint32_t k = a == 0 ? i % n : a == 1 ? i / n % n : i / n / n * 7 % n;
            store(t, c->in[a], i, load(t, edges, k));
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
            if (!prim_takes(p, t) || !prim_gives(p, t, to)) continue;
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

/* x times every power of two that scale takes, in vectors of any length and alone; ldexp rounds once, too. */
static void scale_of(DType t, int least, int most, double bias)
{
    static const double factor[] = {1, 0.5, 0x1.fffffep-1, 0x1.000002p0, 1.7, -1.3, 2, 0.0, -0.0, INFINITY, NAN};
    const uint32_t powers = (uint32_t)(most - least + 1), n = powers * COUNT_OF(factor);
    for (int vector = 0; vector < 2; vector++) {
        Make *m = make_new();
        Case c = {.p = P_scale, .t = t, .to = t, .n = n, .in = {calloc(n, 8), calloc(n, 8)}, .out = calloc(n, 8)};
        for (uint32_t i = 0; i < n; i++) {
            store(t, c.in[0], i, (Scalar){.f = t == DT_f64 ? factor[i / powers] : (double)(float)factor[i / powers]});
            store(t, c.in[1], i, (Scalar){.f = (int)(i % powers) + least + bias});
        }
        emit(m, &c, vector);
        make_output(m, t);
        make_step(m, make_run(m, 0, 3, (uint32_t[]){0, 1, 2}));
        run_program(make_program(m), (void *[]){c.in[0], c.in[1], c.out}, NULL, NULL);
        check(&c, vector);
        for (uint32_t i = 0; i < n; i++) {
            const double x = load(t, c.in[0], i).f, exact = ldexp(x, (int)(i % powers) + least);
            const double got = load(t, c.out, i).f, want = t == DT_f64 ? exact : (double)(float)exact;
            if (!isnan(x) && bits_f64(got) != bits_f64(want)) fail_msg("%a times 2^%d is %a", x, (int)(i % powers) + least, got);
        }
        free(c.in[0]), free(c.in[1]), free(c.out);
        make_free(m);
    }
}

static void scale_rounds_once(void **state)
{
    NEED_LLVM();
    scale_of(DT_f32, -252, 254, 0x1.8001fcp+23);
    scale_of(DT_f64, -2044, 2046, 0x1.80000000007fep+52);
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

static void narrow_floats(void **state)
{
    NEED_LLVM();
    enum { N = 65536 + 5 };
    static union { uint16_t h[N]; uint8_t b[N]; } code, back, want;
    static float f[N];
    for (int type = DT_NONE + 1; type < DT_COUNT; type++)
        for (int vector = 0; vector < 2; vector++) {
            DType t = (DType)type;
            const size_t bytes = dtype_bytes(t);
            if (!dtype_is_float(t) || bytes > 2) continue;
            for (uint32_t i = 0; i < N; i++)
                if (bytes == 1) code.b[i] = (uint8_t)i; else code.h[i] = (uint16_t)i;
            convert_all(t, DT_f32, &code, f, N, vector);
            for (uint32_t i = 0; i < N; i++) {
                double v = dtype_load_f64(t, code.b + bytes * i);
                if (isnan(v) ? !isnan(f[i]) : memcmp(&(float){(float)v}, &f[i], 4) != 0)
                    fail_msg("%s %x widens to %a", dtype_info[t].name, i, (double)f[i]);
            }
            for (uint32_t i = 0; i < N; i++) {
                uint32_t bits = i * 65537u + (i & 3) * 0x1000u;
                memcpy(&f[i], &bits, 4);
            }
            convert_all(DT_f32, t, f, &back, N, vector);
            dtype_narrow(t, &want, f, N);
            for (uint32_t i = 0; i < N; i++)
                if (isnan(f[i]) ? !isnan(dtype_load_f64(t, back.b + bytes * i)) : memcmp(want.b + bytes * i, back.b + bytes * i, bytes) != 0)
                    fail_msg("%a rounds to %s %x, not %x", (double)f[i], dtype_info[t].name, back.b[bytes * i], want.b[bytes * i]);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(primitives_match_prim_eval),
        cmocka_unit_test(scale_rounds_once),
        cmocka_unit_test(narrow_floats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
