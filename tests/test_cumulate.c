/* test_cumulate: kiln_cumsum, kiln_cumprod and kiln_recurrence against numbers written out by hand and against the order that docs/numerics.md
 * states, in all modes. */
#include "values.h"

#include <math.h>

#include <stdlib.h>

KILN_FUNCTION(sums, e, x) { return kiln_cumsum(x, -1, 0); }
KILN_FUNCTION(sums_before, e, x) { return kiln_cumsum(x, -1, KILN_EXCLUSIVE); }
KILN_FUNCTION(sums_back, e, x) { return kiln_cumsum(x, 0, KILN_REVERSE); }
KILN_FUNCTION(products, e, x) { return kiln_cumprod(x, -1, 0); }
KILN_FUNCTION(products_behind, e, x) { return kiln_cumprod(x, -1, KILN_REVERSE | KILN_EXCLUSIVE); }
KILN_FUNCTION(recurs, e, a, b) { return kiln_recurrence(a, b, -1, 0); }
KILN_FUNCTION(recurs_back, e, a, b) { return kiln_recurrence(a, b, -1, KILN_REVERSE); }

static void by_hand(void **state)
{
    (void)state;
    static const kiln_dtype type[] = {KILN_F32, KILN_BF16, KILN_I32, KILN_U8, KILN_F64};
    for (int mode = 0; mode < 10; mode++) {
        KILN_SCOPE(k);
        const kiln_dtype d = type[mode / 2];
        kiln_eager(k, mode % 2);
        kiln_tensor *x = kiln_numbers(k, d, KILN_SHAPE(2, 3), 1, 2, 3, 4, 5, 6), *a = kiln_numbers(k, d, KILN_SHAPE(3), 9, 2, 3);
        EXACTLY(kiln_call(KILN_FN(k, sums), x), d, KILN_SHAPE(2, 3), 1, 3, 6, 4, 9, 15);
        EXACTLY(kiln_call(KILN_FN(k, sums_before), x), d, KILN_SHAPE(2, 3), 0, 1, 3, 0, 4, 9);
        EXACTLY(kiln_call(KILN_FN(k, sums_back), x), d, KILN_SHAPE(2, 3), 5, 7, 9, 4, 5, 6);
        EXACTLY(kiln_call(KILN_FN(k, products), x), d, KILN_SHAPE(2, 3), 1, 2, 6, 4, 20, 120);
        EXACTLY(kiln_call(KILN_FN(k, products_behind), x), d, KILN_SHAPE(2, 3), 6, 3, 1, 30, 6, 1);
        EXACTLY(kiln_call(KILN_FN(k, recurs), a, x), d, KILN_SHAPE(2, 3), 1, 4, 15, 4, 13, 45);
        EXACTLY(kiln_call(KILN_FN(k, recurs_back), a, x), d, KILN_SHAPE(2, 3), 9 * 8 + 1, 8, 3, 9 * 17 + 4, 17, 6);
        kiln_tensor *none = kiln_zeros(k, d, KILN_SHAPE(2, 0)), *one = kiln_numbers(k, d, KILN_SHAPE(1, 1), 7);
        assert_int_equal(kiln_elements(kiln_call(KILN_FN(k, sums), none)), 0);
        assert_int_equal(kiln_elements(kiln_call(KILN_FN(k, products), none)), 0);
        EXACTLY(kiln_call(KILN_FN(k, sums), one), d, KILN_SHAPE(1, 1), 7);
        EXACTLY(kiln_call(KILN_FN(k, products_behind), one), d, KILN_SHAPE(1, 1), 1);
    }
}

/* Of the first block the sum alone; of later ones what lies before them plus that. */
static void model(const float *x, float *to, int64_t n, bool product, bool exclusive)
{
    const int64_t blocks = (n + 63) / 64;
    float *total = calloc((size_t)blocks + 1, sizeof *total), *before = calloc((size_t)blocks + 1, sizeof *before);
    for (int64_t b = 0; b < blocks; b++) {
        float acc = product;
        for (int64_t i = 64 * b; i < 64 * b + 64 && i < n; i++) {
            const float now = product ? acc * x[i] : acc + x[i];
            to[i] = exclusive ? acc : now;
            acc = now;
        }
        total[b] = acc;
    }
    if (blocks > 1) {
        model(total, before, blocks, product, true);
        for (int64_t i = 0; i < n; i++) to[i] = product ? before[i / 64] * to[i] : before[i / 64] + to[i];
    }
    free(total), free(before);
}

static const int64_t size[] = {1, 2, 63, 64, 65, 1000, 4096, 4097, 300001};
static void order(void **state)
{
    (void)state;
    for (int eager = 0; eager < 2; eager++)
        for (size_t s = 0; s < sizeof size / sizeof *size; s++) {
            KILN_SCOPE(k);
            const int64_t n = size[s];
            float *x = malloc((size_t)n * sizeof *x), *want = malloc((size_t)n * sizeof *want);
            uint32_t seed = 7;
            for (int64_t i = 0; i < n; i++) x[i] = (float)((seed = seed * 1664525u + 1013904223u) >> 8) / (1 << 23) - 0.9f;
            kiln_eager(k, eager);
            kiln_tensor *line = kiln_from(k, KILN_F32, KILN_SHAPE(n), x, n), *tall = kiln_transpose(kiln_stack(KILN_IN(line, line), 0), KILN_ALL);
            model(x, want, n, false, false);
            assert_memory_equal(kiln_data(kiln_call(KILN_FN(k, sums), line)), want, (size_t)n * sizeof *x);
            kiln_tensor *columns = kiln_cumsum(tall, 0, 0); /* the other axis lies closer */
            assert_memory_equal(kiln_data(kiln_slice(columns, 1, 1, 2, 1)), want, (size_t)n * sizeof *x);
            model(x, want, n, false, true);
            assert_memory_equal(kiln_data(kiln_call(KILN_FN(k, sums_before), line)), want, (size_t)n * sizeof *x);
            for (int64_t i = 0; i < n; i++) x[i] = 1 + x[i] / 1024;
            line = kiln_from(k, KILN_F32, KILN_SHAPE(n), x, n);
            model(x, want, n, true, false);
            assert_memory_equal(kiln_data(kiln_call(KILN_FN(k, products), line)), want, (size_t)n * sizeof *x);
            free(x), free(want);
        }
}

static void as_the_reference(void **state)
{
    (void)state;
    for (size_t s = 0; size[s] < 5000; s++) {
        KILN_SCOPE(k);
        kiln_tensor *x = kiln_sin(kiln_iota(k, KILN_F32, KILN_SHAPE(size[s]), 0)), *near_1 = kiln_add(kiln_mul(x, 0.01), 1.0);
        assert_int_equal(kiln_check(stderr, KILN_FN(k, sums), KILN_IN(x)), KILN_AGREE);
        assert_int_equal(kiln_check(stderr, KILN_FN(k, sums_before), KILN_IN(x)), KILN_AGREE);
        assert_int_equal(kiln_check(stderr, KILN_FN(k, sums_back), KILN_IN(x)), KILN_AGREE);
        assert_int_equal(kiln_check(stderr, KILN_FN(k, products), KILN_IN(near_1)), KILN_AGREE);
        assert_int_equal(kiln_check(stderr, KILN_FN(k, products_behind), KILN_IN(near_1)), KILN_AGREE);
        assert_int_equal(kiln_check(stderr, KILN_FN(k, recurs), KILN_IN(x, near_1)), KILN_AGREE);
        assert_int_equal(kiln_check(stderr, KILN_FN(k, recurs_back), KILN_IN(x, near_1)), KILN_AGREE);
    }
}

/* One instance for many lengths has the bits of each. */
/* Rows side by side: compiled code takes squares of several rows and columns, and what is left row by row. */
KILN_FUNCTION(both_ways, e, x)
{
    const int how[] = {0, KILN_REVERSE, KILN_EXCLUSIVE, KILN_REVERSE | KILN_EXCLUSIVE};
    kiln_tensor *all[9];
    for (int i = 0; i < 4; i++) {
        all[2 * i] = kiln_cumsum(kiln_add(x, 1), -1, how[i]);
        all[2 * i + 1] = kiln_cumprod(kiln_mul(x, 2), -1, how[i]);
    }
    all[8] = kiln_recurrence(kiln_sub(1, x), x, -1, KILN_REVERSE);
    return kiln_stack(all, 9, 0);
}
static void rows_in_squares(void **state)
{
    (void)state;
    static const int64_t shape[][2] = {{37, 64}, {16, 4}, {64, 9}, {19, 128}, {5, 100}, {33, 259}, {3, 1000}};
    static const kiln_dtype type[] = {KILN_F32, KILN_F64, KILN_I8, KILN_U16, KILN_I32, KILN_I64, KILN_BF16};
    for (size_t d = 0; d < sizeof type / sizeof *type; d++)
        for (size_t s = 0; s < sizeof shape / sizeof *shape; s++) {
            KILN_SCOPE(k);
            kiln_tensor *x = kiln_cast(kiln_uniform(kiln_generator(k, 7 * s + d), KILN_F32, KILN_SHAPE(shape[s][0], shape[s][1]), 0.2, s % 2 ? 0.8 : 9), type[d]);
            kiln_eager(k, true);
            kiln_tensor *want = kiln_call(KILN_FN(k, both_ways), x);
            kiln_eager(k, false);
            kiln_tensor *have = kiln_call(KILN_FN(k, both_ways), x);
            const size_t bytes = (size_t)kiln_elements(want) * kiln_dtype_bytes(type[d]);
            if (memcmp(kiln_data(have), kiln_data(want), bytes) != 0) fail_msg("shape %d, type %d", (int)s, (int)d);
        }
}

KILN_FUNCTION(bounded_sums, e, x) { return kiln_cumsum(x, 0, KILN_REVERSE); }
static void lengths_share_code(void **state)
{
    (void)state;
    for (int64_t n = 50; n < 90; n++) {
        KILN_SCOPE(k);
        kiln_tensor *x = kiln_sin(kiln_iota(k, KILN_F32, KILN_SHAPE(n), 0)), *y[2];
        for (int eager = 0; eager < 2; eager++) {
            kiln_eager(k, eager);
            y[eager] = kiln_call(KILN_FN(k, bounded_sums), x);
        }
        assert_memory_equal(kiln_data(y[0]), kiln_data(y[1]), (size_t)n * sizeof(float));
    }
    kiln_function_statistics now;
    kiln_function_stats(KILN_FN(k, bounded_sums), &now);
    assert_true(now.compiles < 10);
}

static void gradients(void **state)
{
    (void)state;
    for (int eager = 0; eager < 2; eager++) {
        KILN_SCOPE(k);
        kiln_eager(k, eager);
        kiln_tensor *x = kiln_f32(k, KILN_SHAPE(4), 2, 0, 3, 0), *y = kiln_f32(k, KILN_SHAPE(4), 1e-30, 1e-30, 2, 3);
        KILN_TAPE_PERSISTENT(k, tape);
        kiln_watch(tape, x);
        kiln_watch(tape, y);
        kiln_tensor *p = kiln_call(KILN_FN(k, products), x), *q = kiln_call(KILN_FN(k, products), y);
        EXACTLY(kiln_gradient(tape, kiln_sum(p, KILN_ALL), x), KILN_F32, KILN_SHAPE(4), 1, 8, 0, 0);
        EXACTLY(kiln_gradient(tape, kiln_sum(q, KILN_ALL), y), KILN_F32, KILN_SHAPE(4), 1, 1e-30f * 9, 0, 0);
    }
}

KILN_FUNCTION(most, e, x) { return kiln_cummax(x, 0, 0, NULL); }

/* Lines that are blocks of blocks, against a loop. */
static void extremes_of_long_lines(void **state)
{
    enum { N = 64 * 64 + 71 };
    static double x[N * 2], most_so_far[N * 2], read[N * 2], from[N * 2];
    (void)state;
    for (int i = 0; i < N * 2; i++) x[i] = (i * 2654435761u >> 8) % 1000 + i / 40;
    for (int i = 0; i < N * 2; i++) most_so_far[i] = i < 2 ? x[i] : fmax(x[i], most_so_far[i - 2]);
    kiln_tensor *at, *in = kiln_from_doubles(k, KILN_F64, KILN_SHAPE(N, 2), x, N * 2), *y = kiln_cummax(in, 0, 0, &at);
    kiln_tensor *results[] = {y, kiln_call(KILN_FN(k, most), in)};
    for (int r = 0; r < 2; r++) {
        assert_true(kiln_read_doubles(results[r], read, N * 2));
        for (int i = 0; i < N * 2; i++) assert_true(read[i] == most_so_far[i]);
    }
    assert_true(kiln_read_doubles(at, from, N * 2));
    for (int i = 0; i < N * 2; i++) assert_true(x[2 * (int)from[i] + i % 2] == most_so_far[i]);
}

/* Many lines side by side, along either axis and from either end, with NaN, zeros of both signs and equals, against a loop. */
static void extremes_of_many_lines(void **state)
{
    enum { N = 71, LINES = 300 };
    static float x[N * LINES], want[N * LINES];
    static int64_t from[N * LINES];
    (void)state;
    for (int mode = 0; mode < 8; mode++) {
        KILN_SCOPE(k);
        const bool rows = mode & 1, back = mode & 2, least = mode & 4;
        const int how = back ? KILN_REVERSE : 0;
        const int step = rows ? 1 : LINES, line = rows ? N : 1;
        uint32_t seed = 5;
        for (int i = 0; i < N * LINES; i++) {
            seed = seed * 1664525u + 1013904223u;
            x[i] = (seed >> 8) % 997 == 0 ? NAN : (seed >> 8) % 5 == 0 ? -0.0f : (float)((seed >> 16) % 7) - 3;
        }
        for (int l = 0; l < LINES; l++)
            for (int i = 0; i < N; i++) {
                const int p = back ? N - 1 - i : i, at = l * line + p * step, before = at + (back ? step : -step);
                const bool earlier = i > 0 && (isnan(want[before]) || (least ? want[before] < x[at] : want[before] > x[at]));
                want[at] = earlier ? want[before] : x[at], from[at] = earlier ? from[before] : p;
            }
        kiln_tensor *in = kiln_from(k, KILN_F32, rows ? KILN_SHAPE(LINES, N) : KILN_SHAPE(N, LINES), x, N * LINES), *at;
        kiln_tensor *y = least ? kiln_cummin(in, rows, how, &at) : kiln_cummax(in, rows, how, &at);
        const float *found = kiln_data(y), *also = kiln_data(least ? kiln_cummin(in, rows, how, NULL) : kiln_cummax(in, rows, how, NULL));
        assert_memory_equal(kiln_data(at), from, sizeof from);
        for (int i = 0; i < N * LINES; i++) {
            assert_true(isnan(want[i]) ? isnan(found[i]) && isnan(also[i]) : memcmp(&found[i], &want[i], 4) == 0);
            assert_true(isnan(want[i]) || memcmp(&also[i], &want[i], 4) == 0);
        }
    }
}

static void errors(void **state)
{
    (void)state;
    kiln_tensor *x = kiln_zeros(k, KILN_F32, KILN_SHAPE(4));
    FAILS(kiln_cumsum(x, 1, 0), KILN_ESHAPE, "cumsum: axis 1 is out of range for rank 1 (allowed: -1 to 0)");
    FAILS(kiln_cumprod(x, 0, 4), KILN_EVALUE, "cumprod: how is 4 (allowed: 0, KILN_REVERSE, and one of KILN_EXCLUSIVE and KILN_INITIAL)");
    FAILS(kiln_recurrence(x, x, 0, KILN_EXCLUSIVE), KILN_EVALUE, "recurrence: how is 2 (allowed: 0, KILN_REVERSE)");
    FAILS(kiln_cumsum(x, 0, KILN_EXCLUSIVE | KILN_INITIAL), KILN_EVALUE, "cumsum: how is 10 (allowed: 0, KILN_REVERSE, and one of KILN_EXCLUSIVE and KILN_INITIAL)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {ENGINE_TEST(by_hand), ENGINE_TEST(order), ENGINE_TEST(rows_in_squares), UNCOMPILED_TEST(as_the_reference), ENGINE_TEST(lengths_share_code), ENGINE_TEST(gradients), ENGINE_TEST(extremes_of_long_lines), ENGINE_TEST(extremes_of_many_lines), ENGINE_TEST(errors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
