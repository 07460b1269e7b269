/* The order of sums that docs/numerics.md lays down, through the public interface: eager code, code compiled for known sizes and for a
 * symbol, on one to three threads, against the plain model of tests/model.c bit for bit, and so are dot
 * products; rows of products do not depend on the other rows; long sums and products are compared with the truth. */
#include "front.h"
#include "model.h"

#include <math.h>
#include <stdlib.h>

static const int64_t extents[] = {0, 1, 2, 3, 31, 32, 33, 63, 64, 65, 127, 128, 129, 1023, 1024, 1025, 4095, 4096, 4097, 8191, 8193,
                                  32769, 100000, 1000001};

/* One run, between axes of these sizes; `behind` 0: it is the last axis. */
typedef struct Layout {
    int rank, axis;
    int64_t before, behind, most;
} Layout;

static const Layout layouts[] = {{1, 0, 1, 0, 2000000}, {2, 1, 3, 0, 40000},   {2, 0, 1, 1, 10000},
                                 {2, 0, 1, 3, 2000000}, {2, 0, 1, 40, 5000}, {3, 1, 2, 5, 40000}};

static kiln_shape shape_of(const Layout *l, int64_t n)
{
    if (l->rank == 1) return KILN_SHAPE(n);
    if (l->rank == 3) return KILN_SHAPE(l->before, n, l->behind);
    return l->axis == 1 ? KILN_SHAPE(l->before, n) : KILN_SHAPE(n, l->behind);
}

static kiln_spec spec_of(const Layout *l, kiln_dtype d)
{
    kiln_spec s = {.dtype = d, .rank = l->rank};
    kiln_shape one = shape_of(l, 1);
    for (int i = 0; i < l->rank; i++) s.size[i] = (kiln_size){one.size[1 + i], one.size[1 + i], NULL};
    s.size[l->axis] = (kiln_size){1, 1 << 21, "N"};
    return s;
}

static void sum_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    out[0] = kiln_sum(in[0], KILN_AXES(((const Layout *)user)->axis));
}

static void fill(kiln_dtype d, void *x, int64_t n)
{
    uint64_t s = 88172645463325252u;
    for (int64_t i = 0; i < n; i++) {
        s ^= s << 13, s ^= s >> 7, s ^= s << 17;
        double v = (double)(s >> 40) * 0x1p-24 - (s % 5 == 0);
        dtype_store_f64((DType)d, (char *)x + (size_t)i * dtype_bytes((DType)d), s % 9 == 0 ? v * 1e-5 : v);
    }
}

static void as_model(const char *how, const Layout *l, kiln_dtype d, const void *x, int64_t n, kiln_tensor *t)
{
    int64_t behind = l->behind ? l->behind : 1, size = (int64_t)dtype_bytes((DType)d);
    const char *got = kiln_data(t);
    for (int64_t o = 0; got && o < l->before; o++)
        for (int64_t c = 0; c < behind; c++, got += size) {
            char want[8];
            const char *from = (const char *)x + (o * n * behind + c) * size;
            dtype_store_f64((DType)d, want, model_sum((DType)d, from, n, behind, l->behind == 0));
            if (memcmp(got, want, (size_t)size) != 0)
                fail_msg("%s, dtype %d, axis %d of rank %d, extent %lld, result %lld: %.9g, not %.9g", how, d, l->axis, l->rank,
                         (long long)n, (long long)(o * behind + c), dtype_load_f64((DType)d, got), dtype_load_f64((DType)d, want));
        }
}

static void each_extent(int threads, const Layout *l, kiln_dtype d, bool compiled)
{
    kiln *k = kiln_open(&(kiln_options){.threads = threads});
    Layout mine = *l;
    kiln_function *any = NULL, *known = NULL;
    if (compiled) {
        any = kiln_function_new(k, sum_body, &mine, &(kiln_function_options){.inputs = {spec_of(l, d)}});
        known = kiln_function_new(k, sum_body, &mine, &(kiln_function_options){.fixed_sizes = true});
    }
    for (size_t i = 0; i < sizeof extents / sizeof *extents && extents[i] <= l->most; i++) {
        KILN_SCOPE(k);
        int64_t n = extents[i], all = n * l->before * (l->behind ? l->behind : 1);
        void *x = malloc((size_t)all * 8 + 8);
        fill(d, x, all);
        kiln_tensor *in = kiln_from(k, d, shape_of(l, n), x, all), *out;
        sum_body(k, &in, &out, &mine);
        as_model("eager", l, d, x, n, out);
        if (compiled && n > 0) as_model("for any size", l, d, x, n, kiln_call(any, in));
        if (compiled && (n % 32 != 0 || n == 100000)) as_model("for its size", l, d, x, n, kiln_call(known, in));
        assert_ok(k);
        free(x);
    }
    assert_int_equal(kiln_close(k), 0);
}

static void sums_follow_the_model(void **state)
{
    (void)state;
    const bool compiled = front_has_llvm();
    for (size_t l = 0; l < sizeof layouts / sizeof *layouts; l++)
        for (int threads = 1; threads <= (late_is_emulated() ? 2 : 3); threads++) { /* which a device does not ask for */
            each_extent(threads, &layouts[l], KILN_F32, compiled && threads < 3);
            if (threads < 3) each_extent(threads, &layouts[l], threads == 1 ? KILN_F64 : KILN_BF16, compiled && threads == 1);
        }
}

/* ---- the truth ------------------------------------------------------------------------------ */

/* An emulated device takes minutes for more, and adds up in the same order. */
static int64_t longest(void) { return late_is_emulated() ? 300000 : 10000000; }
#define LONG longest()

static void near(const char *what, double got, double want)
{
    if (!(fabs(got - want) <= 1e-6 * fabs(want))) fail_msg("%s: %.9g, not %.9g", what, got, want);
}

static double first_of(kiln_tensor *t) { return ((const float *)kiln_data(t))[0]; }

static void long_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_mean(in[0], KILN_AXES(0));
    out[1] = kiln_sum(kiln_reshape(in[0], KILN_SHAPE(2, LONG / 2)), KILN_AXES(1));
    out[2] = kiln_variance(in[0], KILN_AXES(0));
}

/* x [LONG / 2, 2]: of its first column, and the sum of its first half. */
static void check_long(kiln *k, kiln_tensor *x, bool traced, double mean, double half, double variance)
{
    kiln_tensor *out[3], *in[] = {x};
    KILN_SCOPE(k);
    if (traced)
        kiln_call_all(kiln_function_new(k, long_body, NULL, &(kiln_function_options){.outputs = 3}),
                      (kiln_operand[]){kiln_of_tensor(x)}, 1, out, 3);
    else
        long_body(k, in, out, NULL);
    assert_ok(k);
    near("mean over the leading axis", first_of(out[0]), mean);
    near("sum over the trailing axis", first_of(out[1]), half);
    if (variance > 0) near("variance over the leading axis", first_of(out[2]), variance);
}

static void long_sums_are_true(void **state)
{
    kiln *k = *state;
    const float constants[] = {.1f, .3f, .7f};
    const bool compiled = front_has_llvm();
    KILN_SCOPE(k);
    for (int i = 0; i < 3; i++)
        for (int traced = 0; traced <= compiled; traced++)
            check_long(k, kiln_full(k, KILN_F32, KILN_SHAPE(LONG / 2, 2), constants[i]), traced, constants[i],
                       (double)constants[i] * (LONG / 2), 0);
    double sum = 0, squares = 0, half = 0;
    kiln_tensor *x = kiln_uniform(kiln_generator(k, 5), KILN_F32, KILN_SHAPE(LONG / 2, 2), 0, 1);
    const float *at = kiln_data(x);
    for (int64_t i = 0; i < LONG; i++) {
        double v = at[i];
        if (i < LONG / 2) half += v;
        if (i % 2 == 0) sum += v, squares += v * v;
    }
    double mean = sum / (LONG / 2);
    for (int traced = 0; traced <= compiled; traced++)
        check_long(k, x, traced, mean, half, squares / (LONG / 2) - mean * mean);
}

/* ---- products ------------------------------------------------------------------------------- */

static void product_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_matmul(in[0], in[1]);
}

static kiln_tensor *product(kiln_function *f, kiln_tensor *x, kiln_tensor *y)
{
    return f ? kiln_call(f, x, y) : kiln_matmul(x, y);
}

static void a_row_does_not_know_its_batch(void **state)
{
    kiln *k = *state;
    static const int64_t depth[] = {1, 63, 128, 129, 1000, 8193, 20000};
    kiln_function *f = front_has_llvm() ? kiln_function_new(k, product_body, NULL, &(kiln_function_options){.no_blas = true}) : NULL;
    for (size_t i = 0; i < sizeof depth / sizeof *depth; i++) {
        KILN_SCOPE(k);
        kiln_variable *g = kiln_generator(k, 3);
        kiln_tensor *x = kiln_normal(g, KILN_F32, KILN_SHAPE(103, depth[i]), 0, 1);
        kiln_tensor *y = kiln_normal(g, KILN_F32, KILN_SHAPE(depth[i], 90), 0, 1);
        const char *all = kiln_data(product(NULL, x, y));
        for (int traced = 0; traced <= (f != NULL); traced++) {
            kiln_function *way = traced ? f : NULL;
            assert_memory_equal(kiln_data(product(way, x, y)), all, 103 * 90 * sizeof(float));
            for (int row = 0; row < 103; row += 51) {
                kiln_tensor *alone = product(way, kiln_slice(x, 0, row, row + 1, 1), y);
                assert_memory_equal(kiln_data(alone), all + row * 90 * (int)sizeof(float), 90 * sizeof(float));
            }
        }
        kiln_variable_free(g);
        assert_ok(k);
    }
}

/* So many runs of k that a region is one tile, and sums of two columns fill no vector. */
static void few_elements_of_a_long_k(void **state)
{
    kiln *k = *state;
    const int64_t depth = (late_is_emulated() ? 1 << 15 : 1 << 20) + 5; /* there it is one block's */
    if (!front_has_llvm()) skip();
    kiln_function *f = kiln_function_new(k, product_body, NULL, &(kiln_function_options){.no_blas = true});
    for (int64_t e = 0; e < 12; e++) {
        KILN_SCOPE(k);
        const kiln_dtype d = e < 6 ? KILN_F32 : KILN_F64;
        kiln_variable *g = kiln_generator(k, 5);
        kiln_tensor *x = kiln_normal(g, d, KILN_SHAPE(1 + e % 2, depth), 0, 1), *y = kiln_normal(g, d, KILN_SHAPE(depth, 1 + e / 2 % 3), 0, 1);
        kiln_tensor *own = product(NULL, x, y), *compiled = product(f, x, y);
        assert_memory_equal(kiln_data(compiled), kiln_data(own), (size_t)kiln_elements(own) * kiln_dtype_bytes(d));
        kiln_variable_free(g);
        assert_ok(k);
    }
    kiln_function_free(f);
}

/* A panel of columns that is narrower than a vector, of rows whose number is not known. */
static void few_columns_of_any_rows(void **state)
{
    kiln *k = *state;
    if (!front_has_llvm()) skip();
    for (int64_t n = 2; n <= 9; n++) {
        KILN_SCOPE(k);
        const kiln_dtype d = n % 2 ? KILN_F32 : KILN_F64;
        const kiln_size rows = KILN_DIM("M", 1, 64), depth = KILN_DIM("K", 1, 1 << 22);
        kiln_function *f = kiln_function_new(k, product_body, NULL, &(kiln_function_options){.no_blas = true,
            .inputs = {{.dtype = d, .rank = 2, .size = {rows, depth}}, {.dtype = d, .rank = 2, .size = {depth, {n / 2 + 1, n / 2 + 1, NULL}}}}});
        kiln_variable *g = kiln_generator(k, 6);
        for (int64_t m = 1; m <= 21; m += 10) {
            kiln_tensor *x = kiln_normal(g, d, KILN_SHAPE(m, 16512), 0, 1), *y = kiln_normal(g, d, KILN_SHAPE(16512, n / 2 + 1), 0, 1);
            kiln_tensor *own = product(NULL, x, y), *compiled = product(f, x, y);
            assert_memory_equal(kiln_data(compiled), kiln_data(own), kiln_bytes(own));
        }
        kiln_variable_free(g);
        kiln_function_free(f);
        assert_ok(k);
    }
}

static void vectors_multiply_as_rows_are_summed(void **state)
{
    kiln *k = *state;
    static const int64_t extent[] = {0, 1, 31, 33, 1025, 100000};
    for (size_t i = 0; i < sizeof extent / sizeof *extent; i++) {
        KILN_SCOPE(k);
        kiln_variable *g = kiln_generator(k, 4);
        kiln_tensor *x = kiln_normal(g, KILN_F32, KILN_SHAPE(extent[i]), 0, 1), *y = kiln_normal(g, KILN_F32, KILN_SHAPE(extent[i]), 0, 1);
        float want = (float)model_sum(DT_f32, kiln_data(kiln_mul(x, y)), extent[i], 1, true);
        assert_memory_equal(kiln_data(kiln_matmul(x, y)), &want, sizeof want);
        kiln_variable_free(g);
        assert_ok(k);
    }
    kiln_tensor *h = kiln_full(k, KILN_F16, KILN_SHAPE(3), 300); /* a product is beyond f16, the sum is not */
    kiln_tensor *signs = kiln_from(k, KILN_F16, KILN_SHAPE(3), (const uint16_t[]){0x5cb0, 0xdcb0, 0x3c00}, 3);
    assert_true(kiln_item(kiln_cast(kiln_matmul(h, signs), KILN_F64)) == 300);
}

static void long_products_are_true(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *v = kiln_full(k, KILN_F32, KILN_SHAPE(LONG), .1f);
    near("dot", first_of(kiln_matmul(v, kiln_ones_like(v))), (double).1f * LONG);
    near("row times matrix", first_of(kiln_matmul(v, kiln_ones(k, KILN_F32, KILN_SHAPE(LONG, 2)))), (double).1f * LONG);
    near("matrix times column", first_of(kiln_matmul(kiln_reshape(v, KILN_SHAPE(2, LONG / 2)), kiln_ones(k, KILN_F32, KILN_SHAPE(LONG / 2)))),
         (double).1f * (LONG / 2));
    near("matrices", first_of(kiln_matmul(kiln_reshape(v, KILN_SHAPE(10, LONG / 10)), kiln_ones(k, KILN_F32, KILN_SHAPE(LONG / 10, 3)))),
         (double).1f * (LONG / 10));
    assert_ok(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_follow_the_model),
        FRONT_TEST(long_sums_are_true),
        FRONT_TEST(a_row_does_not_know_its_batch),
        FRONT_TEST(few_elements_of_a_long_k),
        FRONT_TEST(few_columns_of_any_rows),
        FRONT_TEST(vectors_multiply_as_rows_are_summed),
        FRONT_TEST(long_products_are_true),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
