/* The shared contraction against the loop that defines it, bit for bit, on every instruction set of this CPU, packed and as it lies;
 * OpenBLAS, where it is asked for, within the bound of a dot product; transposed, strided and broadcast operands, batches, empty
 * extents, narrow floats, integers; threads change no bit. */
#include "codegen/contract/contract_parts.h"
#include "model.h"
#include "pool.h"

#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <cmocka.h>

#include "tier.h"
#include "sanitized.h"

static double load(int type, const void *data, int64_t at)
{
    return dtype_load_f64((DType)type, (const char *)data + at * (int64_t)dtype_bytes((DType)type));
}

/* Floats in [-1, 1]; integers of all bits, the ends of their range often. */
static void fill(int type, void *data, int64_t n, uint64_t seed)
{
    const DTypeInfo *t = &dtype_info[type];
    for (int64_t i = 0; i < n; i++) {
        char *to = (char *)data + i * (int64_t)dtype_bytes((DType)type);
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        if (dtype_is_float((DType)type))
            dtype_store_f64((DType)type, to, (double)(int64_t)seed * 0x1p-63);
        else
            dtype_store_i64((DType)type, to, seed >> 61 == 0 ? t->lo : seed >> 61 == 1 ? t->hi : (int64_t)(seed >> 8 | seed << 56));
    }
}

/* What is added up in: the integers that i16 holds in i32. */
static int result_of(int type) { return type == DT_i8 || type == DT_u8 || type == DT_i16 ? DT_i32 : type; }

static Scalar of(double v) { return (Scalar){.f = v}; }

/* One element by the model, and how far an honest sum of these products may be from it. */
static double dot(const HostContract *c, int64_t a, int64_t b, double *bound)
{
    Scalar *v = malloc((size_t)(2 * c->k + 1) * sizeof *v);
    double size = 0;
    for (int64_t k = 0; k < c->k; k++) {
        double x = load(c->type, c->a, a + k * c->a_col), y = load(contract_b(c), c->b, b + k * c->b_row);
        v[k] = of(x);
        v[c->k + k] = of(y);
        size += fabs(x * y);
    }
    *bound = size * (double)(2 * c->k + 4) * (c->type == DT_f64 ? 0x1p-53 : 0x1p-24);
    Scalar total = model_product(contract_compute(c), v, v + c->k, c->k);
    free(v);
    return total.f;
}

/* One element of integers, modulo 2^64. */
static uint64_t integer_dot(const HostContract *c, int64_t a, int64_t b)
{
    int64_t size = (int64_t)dtype_bytes((DType)c->type);
    uint64_t sum = 0;
    for (int64_t k = 0; k < c->k; k++)
        sum += (uint64_t)dtype_load_i64((DType)c->type, (const char *)c->a + (a + k * c->a_col) * size) *
               (uint64_t)dtype_load_i64((DType)c->type, (const char *)c->b + (b + k * c->b_row) * size);
    return sum;
}

/* Of large results a sample is checked, all columns among it. The thread sanitizer looks at what threads do to each other; a few
 * elements show that they did it. */
#ifdef UNDER_TSAN
#define SAMPLE(n) ((n) / 64 * 2 + 1)
#else
#define SAMPLE(n) ((n) > 8192 ? 41 : 1)
#endif

static void check(const HostContract *c, bool exact)
{
    const bool integer = !dtype_is_float((DType)c->to);
    size_t bytes = dtype_bytes((DType)c->to);
    int64_t batches = 1;
    for (int i = 0; i < c->nbatch; i++) batches *= c->batch[i];
    int64_t n = batches * c->m * c->n;
    for (int64_t at = 0; at < n; at += SAMPLE(n)) {
        int64_t column = at % c->n, row = at / c->n % c->m, batch = at / c->n / c->m,
                a = row * c->a_row, b = column * c->b_col;
        for (int i = c->nbatch; i-- > 0; batch /= c->batch[i]) {
            a += batch % c->batch[i] * c->a_batch[i];
            b += batch % c->batch[i] * c->b_batch[i];
        }
        double bound = 0, want = integer ? 0 : dot(c, a, b, &bound), got = load(c->to, c->c, at);
        uint64_t rounded = integer ? integer_dot(c, a, b) : 0; /* its low bytes come first */
        if (integer)
            want = dtype_load_f64((DType)c->to, &rounded);
        else
            dtype_store_f64((DType)c->to, &rounded, want);
        bool same = memcmp(&rounded, (char *)c->c + (size_t)at * bytes, bytes) == 0;
        if (exact ? !same : fabs(got - want) > bound + fabs(want) * (bytes == 2 ? 0x1p-8 : 0))
            fail_msg("%s [%d,%d,%d] strides %d,%d %d,%d: element %d,%d is %a, not %a",
                dtype_info[c->type].name, (int)c->m, (int)c->n, (int)c->k, (int)c->a_row,
                (int)c->a_col, (int)c->b_row, (int)c->b_col, (int)row, (int)column, got,
                want);
    }
}

static void run(ThreadPool *pool, const HostContract *c)
{
    Status st = {0};
    if (!contract_run(pool, c, false, &st)) fail_msg("%s", st.text);
}

/* Every layout of both operands: plain, transposed, every other element. */
static void check_extents(int type, int64_t m, int64_t n, int64_t k)
{
    size_t bytes = dtype_bytes((DType)type), size = dtype_bytes((DType)result_of(type));
    int64_t most = MAX_OF(m, n) * 2 * MAX_OF(k, 1);
    char *a = malloc((size_t)most * bytes * 2 + 64), *b = malloc((size_t)most * bytes * 2 + 64);
    char *c = malloc((size_t)(m * n) * size + 8), *other = malloc((size_t)(m * n) * size + 8);
    fill(type, a, most * 2, 1);
    fill(type, b, most * 2, 2);
    for (int layout = 0; layout < 9; layout += m * n * k > 1 << 27 ? 4 : 1) {
        HostContract h = {.type = type, .to = result_of(type), .m = m, .n = n, .k = k, .a = a, .b = b, .c = c};
        const int64_t as[][2] = {{k, 1}, {1, m}, {2 * k, 2}},
                      bs[][2] = {{n, 1}, {1, k}, {2 * n, 2}};
        h.a_row = as[layout % 3][0], h.a_col = as[layout % 3][1];
        h.b_row = bs[layout / 3][0], h.b_col = bs[layout / 3][1];
        run(NULL, &h);
        check(&h, true);
        h.c = other;
        run(threads, &h);
        assert_memory_equal(c, other, (size_t)(m * n) * size);
        if (!contract_type(&h)->cell || (dtype_info[type].compute != type) || k > TREE_RUN) continue; /* not packed, packed anyway, or by runs */
        memset(other, 0, (size_t)(m * n) * size);
        Status st = {0};
        assert_true(contract_large(layout % 2 ? threads : NULL, &h, 1, 0, k, other, &st));
        assert_memory_equal(c, other, (size_t)(m * n) * size);
    }
    free(a);
    free(b);
    free(c);
    free(other);
}

/* Parts of k that are no whole subtrees would show; numbers of runs between those of whole parts. */
static void threads_share_a_long_k(void **state)
{
    (void)state;
    enum { M = 2, N = 3, RUN = 8192 };
    for (int64_t runs = 9; runs <= 60; runs += 3) {
        int64_t k = runs * RUN - 5;
        float *a = malloc((size_t)(M * k) * sizeof *a), *b = malloc((size_t)(N * k) * sizeof *b), c[M * N], other[M * N];
        fill(DT_f32, a, M * k, 1);
        fill(DT_f32, b, N * k, 2);
        HostContract h = {.type = DT_f32, .to = DT_f32, .m = M, .n = N, .k = k, .a = a, .b = b, .c = c, .a_row = k, .a_col = 1, .b_row = N, .b_col = 1};
        run(NULL, &h);
        h.c = other;
        run(threads, &h);
        assert_memory_equal(c, other, sizeof c);
        free(a);
        free(b);
    }
}

static void follows_the_model(void **state)
{
    (void)state;
    static const int64_t extents[][3] = {{1, 1, 1}, {2, 3, 4}, {6, 16, 8}, {7, 17, 9}, {13, 33, 65},
        {1, 40, 37}, {40, 1, 37}, {5, 8, 300}, {12, 48, 600}, {100, 20, 30}, {64, 10, 128},
        {1, 5000, 3}, {3, 2, 1}, {97, 31, 257}, {2, 3, 127}, {2, 33, 128}, {3, 17, 129}, {1, 20, 385},
        {3, 2, 8191}, {1, 3, 8192}, {2, 18, 8193}, {1, 17, 16385}, {7, 5, 40001}, {1, 1, 100000}};
    for (size_t i = 0; i < COUNT_OF(extents); i++)
        for (int type = DT_f16; type < DT_COUNT; type++)
            check_extents(type, extents[i][0], extents[i][1], extents[i][2]);
    for (int64_t m = 1; m < 15; m++)
        for (int64_t n = 1; n < 35; n += 3) check_extents(DT_f32, m, n, 5);
}

static void large(void **state)
{
    (void)state;
    check_extents(DT_f32, 128, 200, 100);
    check_extents(DT_f32, 400, 360, 256);
    check_extents(DT_f32, 100, 1100, 400);
    check_extents(DT_f32, 20, 1100, 300); /* few tiles read b where it lies */
    check_extents(DT_f64, 256, 600, 270);
    check_extents(DT_bf16, 600, 256, 256);
    check_extents(DT_f32, 820, 810, 810);
    check_extents(DT_f32, 4200, 90, 9000);
    check_extents(DT_bf16, 20, 5, 40001);
}

/* Operands of any two types that f32 holds, in f32. */
static void mixed(void **state)
{
    (void)state;
    static const int types[] = {DT_f32, DT_i8, DT_u8, DT_i16, DT_u16, DT_f16, DT_bf16, DT_f8_e4m3, DT_f8_e5m2};
    static const int64_t extents[][3] = {{1, 300, 200}, {1, 1, 3000}, {90, 1, 130}, {7, 33, 9000}, {40, 20, 70}, {150, 100, 260}, {820, 810, 830}};
    for (size_t i = 0; i < COUNT_OF(extents); i++)
        for (size_t pair = 0; pair < COUNT_OF(types) * COUNT_OF(types); pair += i == COUNT_OF(extents) - 1 ? 17 : 1)
            for (int layout = 0; layout < 4; layout++) {
                int64_t m = extents[i][0], n = extents[i][1], k = extents[i][2];
                int a_type = types[pair / COUNT_OF(types)], b_type = types[pair % COUNT_OF(types)];
                if (i == COUNT_OF(extents) - 1 && layout % 3 != 0) continue;
                char *a = malloc((size_t)(m * k) * 4), *b = malloc((size_t)(k * n) * 4);
                float *c = malloc((size_t)(m * n) * sizeof *c);
                fill(a_type, a, m * k, 1);
                fill(b_type, b, k * n, 2);
                HostContract h = {.type = a_type, .b_type = b_type, .to = DT_f32, .m = m, .n = n, .k = k, .a = a, .b = b, .c = c};
                h.a_row = layout % 2 ? 1 : k, h.a_col = layout % 2 ? m : 1;
                h.b_row = layout / 2 ? 1 : n, h.b_col = layout / 2 ? k : 1;
                run(layout == 3 ? NULL : threads, &h);
                check(&h, true);
                free(a), free(b), free(c);
            }
    HostContract bad = {.type = DT_f32, .b_type = DT_i32, .to = DT_f32, .m = 1, .n = 1, .k = 1};
    Status st = {0};
    assert_false(contract_run(NULL, &bad, false, &st));
    assert_int_equal(st.code, ST_DTYPE);
}

static void few_rows(void **state)
{
    (void)state;
    for (int type = DT_bf16; type <= DT_f64; type++)
        for (int64_t m = 1; m <= 9; m += 4) {
            check_extents(type, m, 1030, 1025);
            check_extents(type, m, 130, 2000);
            check_extents(type, m, 37, 300);
        }
    for (int64_t m = 1; m <= 8; m++) { /* b's rows lie far apart; links and columns remain that fill no vector */
        check_extents(DT_f32, m, 2083, 37);
        check_extents(DT_f32, m, 2080, 144);
        check_extents(DT_f64, m, 1101, 150);
    }
    check_extents(DT_f32, 1030, 1, 1025);
    check_extents(DT_f64, 130, 1, 2000);
}

/* Modulo 2^bits, on every tier; saturating sums would show, and odd k's. */
static void integers(void **state)
{
    (void)state;
    static const int types[] = {DT_i8, DT_u8, DT_i16, DT_i32, DT_u32, DT_i64, DT_u64};
    static const int64_t extents[][3] = {{1, 1, 1}, {1, 40, 37}, {40, 1, 37}, {6, 16, 8}, {7, 17, 9}, {13, 33, 65}, {9, 70, 255}, {12, 48, 600},
        {64, 10, 257}, {145, 150, 129}, {3, 5, 8193}, {9, 2, 16387}, {1, 1100, 300}, {8, 1100, 30}, {150, 145, 257}};
    for (size_t t = 0; t < COUNT_OF(types); t++) {
        for (size_t i = 0; i < COUNT_OF(extents); i++) check_extents(types[t], extents[i][0], extents[i][1], extents[i][2]);
        for (int64_t m = 1; m < 15; m++)
            for (int64_t n = 1; n < 35; n += 3) check_extents(types[t], m, n, 5);
    }
    check_extents(DT_i8, 820, 810, 811);
}

static void batches(void **state)
{
    (void)state;
    enum { M = 10, N = 12, K = 20 };
    float *a = malloc(24 * M * K * sizeof *a), *b = malloc(24 * K * N * sizeof *b),
          *c = malloc(24 * M * N * sizeof *c);
    fill(DT_f32, a, 24 * M * K, 1);
    fill(DT_f32, b, 24 * K * N, 2);
    HostContract h = {.type = DT_f32,
        .to = DT_f32,
        .nbatch = 2,
        .batch = {4, 6},
        .m = M,
        .n = N,
        .k = K,
        .a = a,
        .b = b,
        .c = c,
        .a_batch = {6 * M * K, M * K},
        .a_row = K,
        .a_col = 1,
        .b_batch = {0, K * N},
        .b_row = N,
        .b_col = 1};
    run(threads, &h);
    check(&h, true);
    h.b_batch[0] = -K * N * 6; /* backwards, and the first axis of a repeats */
    h.b = b + 3 * 6 * K * N;
    h.a_batch[0] = 0;
    run(NULL, &h);
    check(&h, true);
    free(a);
    free(b);
    free(c);
}

static void nothing(void **state)
{
    (void)state;
    float a[8] = {1}, c[4] = {7, 7, 7, 7};
    HostContract h = {.type = DT_f32,
        .to = DT_f32,
        .m = 2,
        .n = 2,
        .k = 0,
        .a = a,
        .b = a,
        .c = c,
        .a_col = 1,
        .b_row = 2,
        .b_col = 1};
    run(NULL, &h);
    for (int i = 0; i < 4; i++) assert_true(c[i] == 0);
    c[0] = 7;
    h.m = 0;
    h.k = 3;
    run(threads, &h);
    h.m = 1;
    h.nbatch = 1;
    run(threads, &h);
    assert_true(c[0] == 7);
}

static void by_openblas(void **state)
{
    (void)state;
    enum { M = 100, N = 330, K = 120 };
    float *a = malloc(2 * M * K * sizeof *a), *b = malloc(2 * K * N * sizeof *b), *c = malloc(4 * M * N * sizeof *c);
    fill(DT_f32, a, 2 * M * K, 1);
    fill(DT_f32, b, 2 * K * N, 2);
    HostContract h = {.type = DT_f32, .to = DT_f32, .m = M, .n = N, .k = K, .a = a, .b = b, .c = c};
    const int64_t as[][2] = {{K, 1}, {1, M}, {2 * K, 2}}, bs[][2] = {{N, 1}, {1, K}, {2 * N, 2}};
    bool there = true;
    for (int layout = 0; layout < 9 && there; layout++) {
        h.a_row = as[layout % 3][0], h.a_col = as[layout % 3][1];
        h.b_row = bs[layout / 3][0], h.b_col = bs[layout / 3][1];
        Status st = {0};
        there = contract_run(threads, &h, true, &st);
        if (there) {
            check(&h, false);
        } else {
            assert_int_equal(st.code, ST_UNSUPPORTED);
            assert_non_null(strstr(st.text, "OpenBLAS is not there: "));
        }
    }
    h.nbatch = 2; /* of strided operands, which repeat along one axis each */
    h.batch[0] = h.batch[1] = 2;
    h.a_batch[0] = h.b_batch[1] = 1;
    if (there) {
        Status st = {0};
        assert_true(contract_run(NULL, &h, true, &st));
        check(&h, false);
    }
    assert_int_equal(contract_blas_opened(), there);
    assert_false(contract_by_blas(DT_f32, 1, 100000, 1000) || contract_by_blas(DT_bf16, 400, 400, 400));
    free(a);
    free(b);
    free(c);
    if (there) return;
    printf("skip: there is no OpenBLAS\n");
    skip();
}

static void no_memory(void **state)
{
    (void)state;
    uint16_t a[40] = {0}, c[40] = {0};
    float wide[40];
    HostContract h = {.type = DT_f16,
        .to = DT_f16,
        .m = 2,
        .n = 2,
        .k = 2,
        .a = a,
        .b = a,
        .c = c,
        .a_row = 2,
        .a_col = 1,
        .b_row = 2,
        .b_col = 1};
    for (h.m = 2; h.m <= 20; h.m += 18) { /* as it lies, and packed */
        uint64_t n = 0;
        for (bool done = false; !done;) {
            Status st = {0};
            int64_t live = memory_count().live_blocks;
            memory_fail_at(++n, false);
            done = h.m == 2 ? contract_run(NULL, &h, false, &st) : contract_large(NULL, &h, 1, 0, h.k, wide, &st);
            assert_int_equal(st.code, done ? ST_OK : ST_MEMORY);
            assert_int_equal(memory_count().live_blocks, live);
        }
        assert_true(n >= 3);
    }
    memory_fail_at(0, false);
}

#define ON_TIERS(f) ON_TIER(f, 0), ON_TIER(f, 1)
#define ON_ALL_TIERS(f) ON_TIERS(f), ON_TIER(f, 2), ON_TIER(f, 3)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_share_a_long_k),
        ON_TIERS(follows_the_model),
        ON_TIERS(large),
        ON_TIERS(few_rows),
        ON_TIERS(mixed),
        ON_ALL_TIERS(integers),
        cmocka_unit_test(batches),
        cmocka_unit_test(nothing),
        cmocka_unit_test(no_memory),
        cmocka_unit_test(by_openblas),
    };
    return cmocka_run_group_tests(tests, open_pool, close_pool);
}
