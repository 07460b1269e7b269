/* The LLVM backend's quotients by what does not change along a sweep have the bits of a division: of any floats, of those at which a step
 * of the shortcut could leave the normal range, and of vectors that hold both; for this CPU and for others. */
#include "product_make.h"

#include <math.h>
#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

enum { ROWS = 331, COLUMNS = 137, CELLS = ROWS * COLUMNS };
static const DType types[] = {DT_f32, DT_f64};

/* y[i, j] = x[i, j] / s[i], rows as symbols and as numbers */
static void make_quotients(Make *m)
{
    const Dim columns = make_symbol(m, "N", 1, 1 << 12);
    uint32_t in[2][2], out[2][2];
    for (int t = 0; t < 2; t++)
        for (int i = 0; i < 2; i++) in[t][i] = make_input(m, types[t]);
    for (int t = 0; t < 2; t++)
        for (int known = 0; known < 2; known++) out[t][known] = make_output(m, types[t]);
    for (int t = 0; t < 2; t++)
        for (int known = 0; known < 2; known++) {
            const Dim n = known ? COLUMNS : columns;
            const uint32_t buf[3] = {in[t][0], in[t][1], out[t][known]};
            make_kernel(m, 2, (Dim[]){ROWS, n}, 1, 1, 0, 2, 3);
            make_stage(m, false);
            int32_t s = make_load(m, make_stream(m, 1, types[t], 0, (Dim[]){1, 0}, -1, -1));
            make_stage(m, true);
            int32_t x = make_load(m, make_stream(m, 0, types[t], 0, (Dim[]){n, 1}, -1, -1));
            make_store(m, make_stream(m, 2, types[t], 0, (Dim[]){n, 1}, -1, -1), make_prim(m, P_div, types[t], x, s, -1), 0);
            make_step(m, make_run(m, make_kernel_end(m), 3, buf));
        }
}

static uint64_t seed = 88172645463325252u;
static uint64_t draw(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    return seed ^= seed << 17;
}

/* Any bits; near 1; near an end of the span; 0; few bits, so that quotients are exact or halfway. */
static double number(DType t, uint64_t kind)
{
    const double sign = draw() & 1 ? -1 : 1, near = 1 + (double)(draw() >> 12) * 0x1p-52;
    const int span = t == DT_f64 ? 400 : 60, ends[] = {-span, span - 1, t == DT_f64 ? -1060 : -140, t == DT_f64 ? 1000 : 120};
    union { uint64_t u; double f; } any = {draw()};
    union { uint32_t u; float f; } small = {(uint32_t)draw()};
    switch (kind) {
    case 0: return t == DT_f64 ? any.f : (double)small.f;
    case 1: return sign * ldexp(near, ends[draw() % 4] + (int)(draw() % 5) - 2);
    case 2: return sign * (double)(draw() % 3 == 0 ? 0 : draw() % 64);
    case 3: return nextafter(ldexp(sign, (int)(draw() % 90) - 45), 0) * (draw() & 1 ? 1 : 1 - 0x1p-24);
    default: return sign * ldexp(near, (int)(draw() % 40) - 20);
    }
}

static bool same(DType t, const void *a, const void *b)
{
    const double x = dtype_load_f64(t, a), y = dtype_load_f64(t, b);
    return isnan(x) ? isnan(y) : x == y && signbit(x) == signbit(y);
}

static void check_quotients(EntryFn *entry)
{
    static double x[2][CELLS], s[2][ROWS], y[2][2][CELLS];
    const int64_t n = COLUMNS;
    for (int round = 0; round < 20; round++) {
        for (int t = 0; t < 2; t++) {
            const size_t size = dtype_bytes(types[t]);
            for (int i = 0; i < ROWS; i++) dtype_store_f64(types[t], (char *)s[t] + (size_t)i * size, number(types[t], draw() % 3 ? 4 : draw() % 5));
            for (int i = 0; i < CELLS; i++)
                dtype_store_f64(types[t], (char *)x[t] + (size_t)i * size, number(types[t], i / COLUMNS % 2 ? 4 : draw() % 5));
        }
        void *buf[8] = {x[0], s[0], x[1], s[1], y[0][0], y[0][1], y[1][0], y[1][1]};
        assert_int_equal(entry(buf, &n, NULL, NULL), 0);
        for (int t = 0; t < 2; t++)
            for (int i = 0; i < CELLS; i++)
                for (int known = 0; known < 2; known++) {
                    const size_t size = dtype_bytes(types[t]);
                    char want[8];
                    if (t == 0) {
                        const float q = ((float *)(void *)x[0])[i] / ((float *)(void *)s[0])[i / COLUMNS];
                        memcpy(want, &q, sizeof q);
                    } else {
                        const double q = x[1][i] / s[1][i / COLUMNS];
                        memcpy(want, &q, sizeof q);
                    }
                    const char *got = (const char *)y[t][known] + (size_t)i * size;
                    if (!same(types[t], want, got))
                        fail_msg("%s: %a / %a is %a, not %a", dtype_info[types[t]].name, dtype_load_f64(types[t], (char *)x[t] + (size_t)i * size),
                            dtype_load_f64(types[t], (char *)s[t] + (size_t)(i / COLUMNS) * size), dtype_load_f64(types[t], got),
                            dtype_load_f64(types[t], want));
                }
    }
}

static void quotients_are_those_of_division(void **state)
{
    NEED_LLVM();
    Make *m = make_new();
    Status st = {0};
    make_quotients(m);
    Compiled *c = llvm_backend()->compile(make_program(m), &(CompileOptions){0}, &st);
    if (!c) fail_msg("%s", st.text);
    check_quotients(llvm_backend()->entry(c));
    llvm_backend()->release(c);
    make_free(m);
}

static void on_other_cpus(void **state)
{
    NEED_LLVM();
    products_on_other_cpus(make_quotients, check_quotients);
}

int main(void)
{
    setenv("KILN_VERIFY", "1", 1);
    const struct CMUnitTest tests[] = {cmocka_unit_test(quotients_are_those_of_division), cmocka_unit_test(on_other_cpus)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
