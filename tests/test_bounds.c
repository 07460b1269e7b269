/* test_bounds: long sums and products keep the bound of docs/numerics.md: the gradients of biases and filters (sums and products over all rows
 * of a batch, all windows of an image) and products with a long inner axis, of f32, f16 and bf16; and eager and compiled code have the same bits. */
#include "front.h"

#include <kiln/nn.h>
#include <math.h>
#include <stdlib.h>

#include "ir/element.h"

enum { MILLION = 1000000, SIDE = 1001, X = 3, Y = 2 };

typedef struct Long {
    kiln *k;
    kiln_dtype d;
    int64_t rows, x, y; /* columns */
    double scale;       /* keeps sums of f16 in its range */
    kiln_dense *dense;
    kiln_conv *conv;
} Long;

static double largest_share; /* of the bound that an error reached */

/* ---- the truth, in double: n * 2^-53 is nothing beside the bounds ------------------------------------------------------- */
typedef struct Truth {
    double sum, size; /* of the terms, of their absolute values */
} Truth;

/* ways: (b + log2 n + 1) of sums, (192 + log2 k) of products, in units of f32's rounding; a 16-bit result is rounded once more. */
static void within(const char *what, const Long *l, const char *at, const Truth *truth, double ways)
{
    const double u = 0x1p-24, own = l->d == KILN_F16 ? 0x1p-11 : l->d == KILN_BF16 ? 0x1p-8 : 0;
    const double got = dtype_load_f64((DType)l->d, at);
    const double bound = ways * u * truth->size + own * (fabs(truth->sum) + ways * u * truth->size);
    const double error = fabs(got - truth->sum);
    largest_share = fmax(largest_share, error / bound);
    if (!(error <= bound)) fail_msg("%s of %s: %.9g, not %.9g; bound %.3g, error %.3g", what, kiln_dtype_name(l->d), got, truth->sum, bound, error);
}

static double *doubles(kiln_tensor *x)
{
    const int64_t n = kiln_elements(x);
    double *v = malloc((size_t)n * sizeof *v);
    assert_true(v && kiln_read_doubles(x, v, n));
    return v;
}

static Truth column_sum(const double *x, int64_t rows, int64_t columns, int64_t column)
{
    Truth t = {0, 0};
    for (int64_t i = 0; i < rows; i++) t.sum += x[i * columns + column], t.size += fabs(x[i * columns + column]);
    return t;
}

/* x [rows, a], y [rows, b]: of their columns i and j. */
static Truth column_product(const double *x, int64_t a, int64_t i, const double *y, int64_t b, int64_t j, int64_t rows)
{
    Truth t = {0, 0};
    for (int64_t r = 0; r < rows; r++) {
        const double v = x[r * a + i] * y[r * b + j];
        t.sum += v, t.size += fabs(v);
    }
    return t;
}

/* ---- data -------------------------------------------------------------------------------------------------------------- */
static const double constants[] = {.1, .3, .7};
enum { KINDS = 4 }; /* three constants, uniform */

static kiln_tensor *data(const Long *l, int kind, kiln_shape s)
{
    if (kind < 3) return kiln_full(l->k, l->d, s, constants[kind] * l->scale);
    kiln_variable *g = kiln_generator(l->k, 7);
    kiln_tensor *x = kiln_uniform(g, l->d, s, 0, l->scale);
    kiln_variable_free(g);
    return x;
}

/* Both modes: the same bits, and out those of compiled code if anything compiles. */
static void both_ways(Long *l, kiln_body *body, kiln_tensor *const *in, int nin, kiln_tensor **out, int nout)
{
    kiln *k = l->k;
    kiln_tensor *compiled[4];
    kiln_function *f = kiln_function_new(k, body, l, &(kiln_function_options){.outputs = nout, .fixed_sizes = true});
    kiln_eager(k, true);
    kiln_call_all(f, kiln_tensors(in, nin), out, nout);
    kiln_eager(k, false);
    assert_ok(k);
    if (!front_has_llvm()) return;
    kiln_call_all(f, kiln_tensors(in, nin), compiled, nout);
    assert_ok(k);
    for (int i = 0; i < nout; i++) assert_memory_equal(kiln_data(out[i]), kiln_data(compiled[i]), kiln_bytes(out[i]));
    kiln_function_free(f);
}

/* ---- a dense layer's gradients: x [rows, X], cotangents [rows, Y] -------------------------------------------------------- */
static void dense_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const Long *l = user;
    KILN_TAPE(k, tape);
    kiln_tensor *loss = kiln_sum(kiln_mul(kiln_dense_apply(l->dense, in[0]), in[1]), KILN_ALL);
    kiln_gradients(tape, loss, KILN_IN(kiln_dense_bias(l->dense), kiln_dense_weight(l->dense)), out);
}

static void dense_gradients(kiln *k, kiln_dtype d, int64_t rows, int64_t columns, int64_t units, int first_kind)
{
    Long l = {.k = k, .d = d, .scale = d == KILN_F32 ? 1 : 0x1p-5};
    l.dense = kiln_dense_new(k, d, columns, units, KILN_ZEROS);
    for (int kind = first_kind; kind < KINDS; kind++) {
        KILN_SCOPE(k);
        kiln_tensor *in[2] = {data(&l, kind, KILN_SHAPE(rows, columns)), data(&l, kind, KILN_SHAPE(rows, units))}, *out[2];
        both_ways(&l, dense_body, in, 2, out, 2);
        double *x = doubles(in[0]), *g = doubles(in[1]);
        const char *bias = kiln_data(out[0]), *weight = kiln_data(out[1]);
        const size_t size = kiln_dtype_bytes(d);
        for (int64_t j = 0; j < units; j++) {
            Truth t = column_sum(g, rows, units, j);
            within("bias gradient", &l, bias + (size_t)j * size, &t, 64 + log2((double)rows) + 1);
            for (int64_t i = 0; i < columns; i++) {
                t = column_product(x, columns, i, g, units, j, rows);
                within("weight gradient", &l, weight + (size_t)(i * units + j) * size, &t, 192 + log2((double)rows));
            }
        }
        free(x), free(g);
    }
    kiln_dense_free(l.dense);
}

static void gradients_of_dense_layers(void **state)
{
    kiln *k = *state;
    const kiln_dtype all[] = {KILN_F32, KILN_F16, KILN_BF16};
    for (int i = 0; i < 3; i++) dense_gradients(k, all[i], MILLION, X, Y, 0);
    dense_gradients(k, KILN_F32, 10 * MILLION, 1, 1, 2); /* 0.7, uniform */
    printf("%.2f of the bound at most\n", largest_share);
}

/* ---- a convolution's: filters [2, 2, 1, 2] of one image, a million windows ---------------------------------------------- */
static void conv_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const Long *l = user;
    KILN_TAPE(k, tape);
    kiln_tensor *loss = kiln_sum(kiln_mul(kiln_conv_apply(l->conv, in[0]), in[1]), KILN_ALL);
    kiln_gradients(tape, loss, KILN_IN(kiln_conv_bias(l->conv), kiln_conv_filters(l->conv)), out);
}

static Truth filter_truth(const double *x, const double *g, int kh, int kw, int filter)
{
    Truth t = {0, 0};
    for (int h = 0; h < SIDE - 1; h++)
        for (int w = 0; w < SIDE - 1; w++) {
            const double v = x[(h + kh) * SIDE + w + kw] * g[(h * (SIDE - 1) + w) * 2 + filter];
            t.sum += v, t.size += fabs(v);
        }
    return t;
}

static void gradients_of_convolutions(void **state)
{
    kiln *k = *state;
    const kiln_dtype all[] = {KILN_F32, KILN_F16, KILN_BF16};
    const int64_t windows = (SIDE - 1) * (SIDE - 1);
    for (int i = 0; i < 3; i++)
        for (int kind = 2; kind < KINDS; kind++) {
            KILN_SCOPE(k);
            Long l = {.k = k, .d = all[i], .scale = i ? 0x1p-5 : 1};
            l.conv = kiln_conv_new(k, l.d, 1, 2, (&(kiln_window){.size = {2, 2}}), KILN_ZEROS);
            kiln_tensor *in[2] = {data(&l, kind, KILN_SHAPE(1, SIDE, SIDE, 1)), data(&l, kind, KILN_SHAPE(1, SIDE - 1, SIDE - 1, 2))}, *out[2];
            both_ways(&l, conv_body, in, 2, out, 2);
            double *x = doubles(in[0]), *g = doubles(in[1]);
            const char *bias = kiln_data(out[0]), *filter = kiln_data(out[1]);
            for (int j = 0; j < 2; j++) {
                Truth t = column_sum(g, windows, 2, j);
                within("bias gradient", &l, bias + (size_t)j * kiln_dtype_bytes(l.d), &t, 64 + log2((double)windows) + 1);
                for (int at = 0; at < 4; at++) {
                    t = filter_truth(x, g, at / 2, at % 2, j);
                    within("filter gradient", &l, filter + (size_t)(at * 2 + j) * kiln_dtype_bytes(l.d), &t, 192 + log2((double)windows));
                }
            }
            free(x), free(g);
            kiln_conv_free(l.conv);
        }
    assert_ok(k);
}

/* ---- products: k = a million -------------------------------------------------------------------------------------------- */
static void product_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_matmul(in[0], in[1]);                                           /* [X, k] . [k, Y] */
    out[1] = kiln_matmul(in[0], kiln_reshape(kiln_slice(in[1], 1, 1, 2, 1), KILN_SHAPE(MILLION))); /* [X, k] . [k] */
}

static void products_with_a_long_inner_axis(void **state)
{
    kiln *k = *state;
    const kiln_dtype all[] = {KILN_F32, KILN_F16, KILN_BF16};
    for (int i = 0; i < 3; i++)
        for (int kind = 0; kind < KINDS; kind++) {
            KILN_SCOPE(k);
            Long l = {.k = k, .d = all[i], .scale = i ? 0x1p-5 : 1};
            kiln_tensor *in[2] = {data(&l, kind, KILN_SHAPE(X, MILLION)), data(&l, kind, KILN_SHAPE(MILLION, Y))}, *out[2];
            both_ways(&l, product_body, in, 2, out, 2);
            double *x = doubles(kiln_transpose(in[0], KILN_ALL)), *y = doubles(in[1]);
            const char *z = kiln_data(out[0]), *column = kiln_data(out[1]);
            const size_t size = kiln_dtype_bytes(l.d);
            for (int r = 0; r < X; r++)
                for (int c = 0; c < Y; c++) {
                    Truth t = column_product(x, X, r, y, Y, c, MILLION);
                    within("product", &l, z + (size_t)(r * Y + c) * size, &t, 192 + log2(MILLION));
                    if (c == 1) within("product with a vector", &l, column + (size_t)r * size, &t, 192 + log2(MILLION));
                }
            free(x), free(y);
        }
    assert_ok(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {FRONT_TEST(gradients_of_dense_layers), FRONT_TEST(gradients_of_convolutions),
        FRONT_TEST(products_with_a_long_inner_axis)};
    return cmocka_run_group_tests_name("bounds", tests, NULL, NULL);
}
