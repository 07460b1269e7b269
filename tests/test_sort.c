/* test_sort: kiln_sort, kiln_argsort and kiln_top_k against a sort of the C library, in all modes, over every dtype, short lines and long. */
#include "values.h"

#include <stdlib.h>

KILN_FUNCTION(up, e, x) { return kiln_argsort(x, -1, 0); }
static void rising(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user) { (void)e, (void)user, out[0] = kiln_argsort(in[0], -1, 0); }
KILN_FUNCTION(down, e, x) { return kiln_argsort(x, -1, KILN_DESCENDING); }
KILN_FUNCTION(down_first, e, x) { return kiln_argsort(x, 0, KILN_DESCENDING); }
KILN_FUNCTION(sorted, e, x) { return kiln_sort(x, -1, 0); }
KILN_FUNCTION(sorted_down, e, x) { return kiln_sort(x, -1, KILN_DESCENDING); }

typedef struct Element {
    double v;
    int64_t at;
} Element;
static bool descending;

static int compare(const void *a, const void *b)
{
    const Element *x = a, *y = b;
    if (isnan(x->v) != isnan(y->v)) return isnan(x->v) ? 1 : -1;
    if (x->v != y->v && !isnan(x->v)) return (x->v < y->v) == descending ? 1 : -1;
    return x->at < y->at ? -1 : 1;
}

/* x: rows of n. */
static void check_places(kiln_tensor *places, kiln_tensor *x, int64_t rows, int64_t n, bool down)
{
    double *v = calloc((size_t)(rows * n) + 1, sizeof *v);
    Element *line = calloc((size_t)n + 1, sizeof *line);
    assert_true(kiln_read_doubles(x, v, rows * n));
    const int64_t *have = kiln_data(places);
    has_shape(places, KILN_I64, rows == 1 ? KILN_SHAPE(n) : KILN_SHAPE(rows, n));
    descending = down;
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t i = 0; i < n; i++) line[i] = (Element){v[r * n + i], i};
        qsort(line, (size_t)n, sizeof *line, compare);
        for (int64_t i = 0; i < n; i++)
            if (have[r * n + i] != line[i].at) fail_msg("row %d of %d: place %d is %d, not %d", (int)r, (int)n, (int)i, (int)have[r * n + i], (int)line[i].at);
    }
    free(v), free(line);
}

/* Many equal ones, and for floats NaN, infinities and both zeros. */
static kiln_tensor *drawn(kiln_dtype d, int64_t rows, int64_t n, uint32_t seed)
{
    float *v = calloc((size_t)(rows * n) + 1, sizeof *v);
    const bool real = d == KILN_F32 || d == KILN_F64 || d == KILN_F16 || d == KILN_BF16 || d == KILN_F8_E4M3 || d == KILN_F8_E5M2;
    static const float odd[] = {NAN, INFINITY, -INFINITY, 0, -0.0f, 1e-40f, -1e-40f, 448};
    for (int64_t i = 0; i < rows * n; i++) {
        seed = seed * 1664525u + 1013904223u;
        v[i] = seed >> 28 == 0 && real ? odd[seed >> 8 & 7] : (float)((int)(seed >> 8 & 0xfff) - 2048) / (real ? 64 : 1);
    }
    kiln_tensor *x = kiln_from(k, KILN_F32, rows == 1 ? KILN_SHAPE(n) : KILN_SHAPE(rows, n), v, rows * n);
    free(v);
    return kiln_cast(d == KILN_BOOL ? kiln_lt(x, 0) : x, d);
}

static const int64_t shape[][2] = {{1, 0}, {1, 1}, {3, 2}, {5, 64}, {1, 65}, {2, 257}, {3, 1000}};
static void every_dtype(void **state)
{
    (void)state;
    for (int d = KILN_BOOL; d < KILN_F8_E5M2 + 1; d++)
        for (size_t s = 0; s < sizeof shape / sizeof *shape; s++) {
            KILN_SCOPE(k);
            kiln_tensor *x = drawn((kiln_dtype)d, shape[s][0], shape[s][1], 5 + (uint32_t)d);
            for (int eager = 0; eager < 2; eager++) {
                if (!eager && d != KILN_F32 && d != KILN_I8 && d != KILN_U64 && s % 3 != 0) continue; /* compiling each takes a minute */
                kiln_eager(k, eager);
                check_places(kiln_call(KILN_FN(k, up), x), x, shape[s][0], shape[s][1], false);
                check_places(kiln_call(KILN_FN(k, down), x), x, shape[s][0], shape[s][1], true);
            }
        }
}

static void as_the_reference(void **state)
{
    (void)state;
    for (int d = KILN_BOOL; d < KILN_F8_E5M2 + 1; d++)
        for (size_t s = 0; s < sizeof shape / sizeof *shape; s++) {
            KILN_SCOPE(k);
            kiln_tensor *x = drawn((kiln_dtype)d, shape[s][0], shape[s][1], 5 + (uint32_t)d);
            assert_int_equal(kiln_check(stderr, KILN_FN(k, up), KILN_IN(x)), KILN_AGREE);
            assert_int_equal(kiln_check(stderr, KILN_FN(k, down), KILN_IN(x)), KILN_AGREE);
            assert_int_equal(kiln_check(stderr, KILN_FN(k, sorted), KILN_IN(x)), KILN_AGREE);
            assert_int_equal(kiln_check(stderr, KILN_FN(k, sorted_down), KILN_IN(x)), KILN_AGREE);
        }
}

/* More elements than 16 bits count, and so many that a line is cut into pieces, of which the last may be short, or empty where sizes
 * are known late. */
static void long_lines(void **state)
{
    (void)state;
    const kiln_spec any = KILN_SPEC(KILN_F32, KILN_DIM("N", 1, 1 << 20));
    kiln_function *f = kiln_function_new(k, rising, NULL, &(kiln_function_options){.name = "up", .inputs = {any}});
    for (int eager = 0; eager < 2; eager++) {
        KILN_SCOPE(k);
        kiln_eager(k, eager);
        kiln_tensor *x = drawn(KILN_I8, 1, 70000, 3), *y = drawn(KILN_F32, 1, 33000, 4);
        check_places(kiln_call(KILN_FN(k, down), x), x, 1, 70000, true);
        check_places(kiln_call(KILN_FN(k, up), y), y, 1, 33000, false);
        for (size_t i = 0; i < 3; i++) {
            const int64_t n = (int64_t[]){65537, 3, 1001}[i];
            kiln_tensor *z = drawn(KILN_F32, 1, n, 5);
            check_places(kiln_call(f, z), z, 1, n, false);
        }
        kiln_tensor *w = drawn(KILN_I16, 2, 65539, 6);
        check_places(kiln_call(KILN_FN(k, up), w), w, 2, 65539, false);
    }
    kiln_function_free(f);
}

/* The ends of the 64-bit types, which no double tells apart. */
static void far_ends(void **state)
{
    (void)state;
    for (int eager = 0; eager < 2; eager++) {
        KILN_SCOPE(k);
        kiln_eager(k, eager);
        const int64_t i[] = {INT64_MAX, INT64_MIN, -1, 0, INT64_MAX - 1, INT64_MIN + 1};
        const uint64_t u[] = {UINT64_MAX, 0, UINT64_MAX - 1, 1, (uint64_t)1 << 63, INT64_MAX};
        kiln_tensor *x = kiln_from(k, KILN_I64, KILN_SHAPE(6), i, 6), *y = kiln_from(k, KILN_U64, KILN_SHAPE(6), u, 6);
        EXACTLY(kiln_call(KILN_FN(k, up), x), KILN_I64, KILN_SHAPE(6), 1, 5, 2, 3, 4, 0);
        EXACTLY(kiln_call(KILN_FN(k, down), x), KILN_I64, KILN_SHAPE(6), 0, 4, 3, 2, 5, 1);
        EXACTLY(kiln_call(KILN_FN(k, up), y), KILN_I64, KILN_SHAPE(6), 1, 3, 5, 4, 2, 0);
        kiln_tensor *many = kiln_broadcast(kiln_reshape(y, KILN_SHAPE(6, 1)), KILN_SHAPE(6, 100));
        const int64_t *at = kiln_data(kiln_call(KILN_FN(k, down), kiln_reshape(many, KILN_SHAPE(600))));
        static const int64_t block[] = {0, 2, 4, 5, 3, 1};
        for (int64_t q = 0; q < 600; q++) assert_int_equal(at[q], block[q / 100] * 100 + q % 100);
    }
}

static void other_axes(void **state)
{
    (void)state;
    for (int64_t n = 7; n < 500; n += 290)
        for (int eager = 0; eager < 2; eager++) {
            KILN_SCOPE(k);
            kiln_eager(k, eager);
            kiln_tensor *x = drawn(KILN_F32, 3, n, 9), *tall = kiln_transpose(x, KILN_ALL);
            check_places(kiln_transpose(kiln_call(KILN_FN(k, down_first), tall), KILN_ALL), x, 3, n, true);
        }
}

static void values_and_gradients(void **state)
{
    (void)state;
    for (int eager = 0; eager < 2; eager++) {
        KILN_SCOPE(k);
        kiln_eager(k, eager);
        kiln_tensor *x = kiln_f32(k, KILN_SHAPE(2, 3), 3, 1, 2, 5, NAN, 4), *w = kiln_f32(k, KILN_SHAPE(3), 10, 20, 30), *i;
        KILN_TAPE_PERSISTENT(k, tape);
        kiln_watch(tape, x);
        kiln_tensor *y = kiln_call(KILN_FN(k, sorted), x);
        EXACTLY(y, KILN_F32, KILN_SHAPE(2, 3), 1, 2, 3, 4, 5, NAN);
        EXACTLY(kiln_gradient(tape, kiln_sum(kiln_mul(y, w), KILN_ALL), x), KILN_F32, KILN_SHAPE(2, 3), 30, 10, 20, 20, 30, 10);
        kiln_tensor *top = kiln_top_k(x, 2, 1, &i);
        EXACTLY(top, KILN_F32, KILN_SHAPE(2, 2), 3, 2, 5, 4);
        EXACTLY(i, KILN_I64, KILN_SHAPE(2, 2), 0, 2, 0, 2);
        EXACTLY(kiln_gradient(tape, kiln_sum(top, KILN_ALL), x), KILN_F32, KILN_SHAPE(2, 3), 1, 0, 1, 1, 0, 1);
        EXACTLY(kiln_top_k(kiln_u8(k, KILN_SHAPE(4), 7, 9, 7, 9), 3, 0, &i), KILN_U8, KILN_SHAPE(3), 9, 9, 7);
        EXACTLY(i, KILN_I64, KILN_SHAPE(3), 1, 3, 0);
        has_shape(kiln_top_k(x, 0, 0, NULL), KILN_F32, KILN_SHAPE(0, 3));
    }
}

KILN_FUNCTION(sorted_constants, e, x)
{
    kiln_tensor *i = kiln_iota(e, KILN_I32, KILN_SHAPE(40), 0);
    return kiln_add(x, kiln_add(kiln_sort(i, 0, KILN_DESCENDING), kiln_cast(kiln_argsort(kiln_neg(i), 0, 0), KILN_I32)));
}

/* What has no memory of its own is sorted as it is made. */
static void constants(void **state)
{
    (void)state;
    for (int eager = 0; eager < 2; eager++) {
        KILN_SCOPE(k);
        kiln_eager(k, eager);
        const int32_t *y = kiln_data(kiln_call(KILN_FN(k, sorted_constants), kiln_zeros(k, KILN_I32, KILN_SHAPE(40))));
        for (int i = 0; i < 40; i++) assert_int_equal(y[i], 2 * (39 - i));
    }
}

KILN_FUNCTION(largest_few, e, x, count)
{
    kiln_tensor *i, *v = kiln_top_k(x, kiln_static_i64(count), 0, &i);
    return kiln_concat(((kiln_tensor *[]){kiln_cast(v, KILN_F64), kiln_cast(i, KILN_F64)}), 2, 0);
}

/* x [n, rows]: the elements that a sort of all would put first, however the line is cut into blocks. */
static void check_few(kiln_tensor *x, int64_t count)
{
    KILN_SCOPE(k);
    kiln_tensor *i = kiln_slice(kiln_argsort(x, 0, KILN_DESCENDING), 0, 0, count, 1), *v = kiln_take_along(x, i, 0), *have = kiln_call(KILN_FN(k, largest_few), x, KILN_STATIC(count));
    kiln_tensor *want = kiln_concat(((kiln_tensor *[]){kiln_cast(v, KILN_F64), kiln_cast(i, KILN_F64)}), 2, 0);
    kiln_tensor *same = kiln_or(kiln_eq(have, want), kiln_and(kiln_isnan(have), kiln_isnan(want)));
    if (!kiln_item_i64(kiln_all(same, KILN_ALL))) {
        kiln_print(stderr, have), kiln_print(stderr, want);
        fail_msg("the largest %d of %d", (int)count, (int)kiln_dim(x, 0));
    }
}

static void largest_few_of_many(void **state)
{
    (void)state;
    static const int64_t sizes[] = {130, 257, 1000, 4096, 4100}, counts[] = {1, 2, 7, 40};
    for (int d = KILN_BOOL; d < KILN_F8_E5M2 + 1; d++)
        for (int s = 0; s < 5; s++) {
            KILN_SCOPE(k);
            const bool real = d == KILN_F32 || d == KILN_F64 || d == KILN_F16 || d == KILN_BF16 || d == KILN_F8_E4M3 || d == KILN_F8_E5M2;
            kiln_tensor *x = kiln_transpose(drawn((kiln_dtype)d, 3, sizes[s], 7 + (uint32_t)d), KILN_ALL);
            kiln_eager(k, d != KILN_F32 && d != KILN_I8);
            for (int c = 0; c < 4; c++) check_few(x, counts[c]);
            if (!real) continue;
            /* hardly anything but NaN and the least there is, in any order of blocks */
            kiln_tensor *place = kiln_cumsum(kiln_full(k, KILN_I32, KILN_SHAPE(sizes[s], 3), 1), 0, 0);
            kiln_tensor *least = kiln_full(k, (kiln_dtype)d, KILN_SHAPE(1), d == KILN_F8_E4M3 ? -448 : -INFINITY), *nan = kiln_full(k, (kiln_dtype)d, KILN_SHAPE(1), NAN);
            check_few(kiln_where(kiln_gt(place, sizes[s] - 9), x, nan), 7);
            check_few(kiln_where(kiln_gt(place, sizes[s] / 2), least, nan), 7);
            check_few(kiln_where(kiln_eq(kiln_mod(place, 97), 0), least, nan), 7);
            check_few(kiln_where(kiln_gt(place, 3), nan, x), 7);
        }
    kiln_eager(k, false);
}

static void lengths_share_code(void **state)
{
    (void)state;
    for (int64_t n = 200; n < 420; n += 10) {
        KILN_SCOPE(k);
        kiln_tensor *x = drawn(KILN_I32, 1, n, (uint32_t)n);
        for (int eager = 0; eager < 2; eager++) {
            kiln_eager(k, eager);
            check_places(kiln_call(KILN_FN(k, up), x), x, 1, n, false);
        }
    }
    kiln_function_statistics now;
    kiln_function_stats(KILN_FN(k, up), &now);
    assert_true(now.compiles < 12);
}

static void errors(void **state)
{
    (void)state;
    kiln_tensor *x = kiln_zeros(k, KILN_F32, KILN_SHAPE(4)), *i;
    FAILS(kiln_sort(x, 1, 0), KILN_ESHAPE, "sort: axis 1 is out of range for rank 1 (allowed: -1 to 0)");
    FAILS(kiln_argsort(x, 0, 1), KILN_EVALUE, "argsort: how is 1 (allowed: 0, KILN_DESCENDING)");
    FAILS(kiln_top_k(x, 5, 0, &i), KILN_EVALUE, "top_k: count is 5; it must be 0 or more, and at most the size of axis 0: f32[4]");
    assert_int_equal(kiln_dtype_of(i), KILN_NONE);
    FAILS(kiln_sort(kiln_scalar(k, KILN_F32, 1), 0, 0), KILN_ESHAPE, "sort: axis 0 is out of range: a scalar has no axes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {ENGINE_TEST(every_dtype), UNCOMPILED_TEST(as_the_reference), ENGINE_TEST(long_lines), ENGINE_TEST(far_ends), ENGINE_TEST(other_axes), ENGINE_TEST(values_and_gradients), ENGINE_TEST(constants), ENGINE_TEST(largest_few_of_many), ENGINE_TEST(lengths_share_code), ENGINE_TEST(errors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
