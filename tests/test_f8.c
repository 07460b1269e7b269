/* test_f8: the OCP 8-bit floats as users meet them: casts and saturating casts against a table written out by hand, arithmetic that computes in f32
 * and rounds once, equal bits eagerly and compiled, gradients, pooling and reductions of a type without infinity, printing, files. Every code and
 * every rounding step of the conversions: test_dtype; every pair of dtypes in all modes: test_casts. */
#include "values.h"

#include <kiln/io.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define S KILN_SHAPE
static const kiln_dtype f8[2] = {KILN_F8_E4M3, KILN_F8_E5M2};

static void casts_round_overflow_and_saturate(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_f32(k, S(10), 464, 464.1, -1e9, INFINITY, NAN, 61439, 61440, 1.0625, 1.1875, 0x1p-10);
    EXACTLY(kiln_cast(x, KILN_F8_E4M3), KILN_F8_E4M3, S(10), 448, NAN, NAN, NAN, NAN, NAN, NAN, 1, 1.25, 0);
    EXACTLY(kiln_cast(x, KILN_F8_E5M2), KILN_F8_E5M2, S(10), 448, 448, -INFINITY, INFINITY, NAN, 57344, INFINITY, 1, 1.25, 0x1p-10);
    EXACTLY(kiln_cast_saturated(x, KILN_F8_E4M3), KILN_F8_E4M3, S(10), 448, 448, -448, 448, NAN, 448, 448, 1, 1.25, 0);
    EXACTLY(kiln_cast_saturated(x, KILN_F8_E5M2), KILN_F8_E5M2, S(10), 448, 448, -57344, 57344, NAN, 57344, 57344, 1, 1.25, 0x1p-10);
    kiln_tensor *far = kiln_f64(k, S(3), 1e300, -INFINITY, 65519);
    EXACTLY(kiln_cast_saturated(far, KILN_F16), KILN_F16, S(3), 65504, -65504, 65504);
    EXACTLY(kiln_cast_saturated(far, KILN_F32), KILN_F32, S(3), 0x1.fffffep127, -0x1.fffffep127, 65519);
    EXACTLY(kiln_cast_saturated(kiln_cast(x, KILN_F8_E5M2), KILN_F8_E5M2), KILN_F8_E5M2, S(10), 448, 448, -57344, 57344, NAN, 57344, 57344, 1, 1.25, 0x1p-10);
    EXACTLY(kiln_cast_saturated(kiln_i64(k, S(2), 1000, -1000), KILN_F8_E4M3), KILN_F8_E4M3, S(2), 448, -448);
    kiln_cast_saturated(x, KILN_I32);
    assert_int_equal(kiln_error(k)->code, KILN_EDTYPE);
    assert_non_null(strstr(kiln_error(k)->text, "cast_saturated: needs a float dtype, not i32"));
    kiln_clear(k);
    kiln_add(kiln_ones(k, KILN_F8_E4M3, S(2)), 1000.0); /* a number that the dtype has not */
    assert_true(kiln_failed(k));
    kiln_clear(k);
}

/* Every code beside every 7th: sums, products and quotients are the exact ones rounded once, which f64 and one cast give. */
static kiln_tensor *codes(kiln_dtype d, int step, kiln_shape s)
{
    unsigned char all[256];
    int n = 0;
    for (int i = 0; i < 256; i += step) all[n++] = (unsigned char)i;
    return kiln_from(k, d, s, all, (size_t)n);
}

static void finite_and_not(void **state)
{
    (void)state;
    EXACTLY(kiln_isfinite(kiln_cast(kiln_f32(k, KILN_SHAPE(3), 1, NAN, 1e9f), KILN_F8_E4M3)), KILN_BOOL, KILN_SHAPE(3), 1, 0, 0);
    EXACTLY(kiln_isfinite(kiln_cast(kiln_f32(k, KILN_SHAPE(3), 1, NAN, 1e9f), KILN_F8_E5M2)), KILN_BOOL, KILN_SHAPE(3), 1, 0, 0);
}

static void arithmetic_rounds_once(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    for (int i = 0; i < 2; i++) {
        kiln_tensor *x = codes(f8[i], 1, S(256, 1)), *y = codes(f8[i], 7, S(37)), *wx = kiln_cast(x, KILN_F64), *wy = kiln_cast(y, KILN_F64);
        kiln_tensor *have[] = {kiln_add(x, y), kiln_sub(x, y), kiln_mul(x, y), kiln_div(x, y)};
        kiln_tensor *want[] = {kiln_add(wx, wy), kiln_sub(wx, wy), kiln_mul(wx, wy), kiln_div(wx, wy)};
        for (int o = 0; o < 4; o++) {
            static double numbers[256 * 37];
            assert_true(kiln_read_doubles(kiln_cast(want[o], f8[i]), numbers, 256 * 37));
            equals(have[o], f8[i], S(256, 37), numbers, 256 * 37, 0);
        }
    }
}

KILN_FUNCTION(chain, e, x, y)
{
    kiln_tensor *z = kiln_softmax(kiln_add(kiln_mul(kiln_exp(kiln_mul(x, 0.25)), y), kiln_sum(x, KILN_KEEP(1))), 1);
    return kiln_cast_saturated(kiln_matmul(kiln_mul(z, 300.0), kiln_transpose(y, KILN_ALL)), kiln_dtype_of(x));
}
KILN_FUNCTION(pooled, e, x) { return kiln_max_pool(x, &(kiln_window){.size = {3, 3}, .same = true}); }
KILN_FUNCTION(highest, e, x) { return kiln_add(kiln_reduce_max(x, KILN_AXES(1)), kiln_cast(kiln_argmax(x, 1), kiln_dtype_of(x))); }
KILN_FUNCTION(saturated, e, x) { return kiln_sum(kiln_mul(kiln_cast(kiln_cast_saturated(x, KILN_F8_E4M3), KILN_F32), 2.0), KILN_ALL); }

/* Eagerly, compiled, and by the reference. */
static void agree(kiln_function *f, kiln_tensor *const *in, int n)
{
    char *report = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&report, &len);
    kiln_verdict v = kiln_check(to, f, in, n);
    fclose(to);
    if (v != KILN_AGREE || kiln_failed(k)) fail_msg("%s%s", report, kiln_error(k)->text);
    free(report);
}

static void all_modes_agree(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_variable *g = kiln_generator(k, 5);
    for (int i = 0; i < 2; i++) {
        kiln_tensor *x = kiln_uniform(g, f8[i], S(9, 40), -2, 2), *y = kiln_normal(g, f8[i], S(9, 40), 0, 1);
        agree(KILN_FN(k, chain), (kiln_tensor *[]){x, y}, 2);
        agree(KILN_FN(k, pooled), (kiln_tensor *[]){kiln_reshape(kiln_neg(kiln_abs(x)), S(1, 9, 8, 5))}, 1);
        agree(KILN_FN(k, highest), &x, 1);
        kiln_tensor *long_row = kiln_uniform(g, f8[i], S(3, 9000), -1, 1);
        agree(KILN_FN(k, highest), &long_row, 1);
    }
}

static void gradients_stop_where_it_saturates(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_f32(k, S(5), 1.01, 448, 449, -1e9, NAN), *d = kiln_call(kiln_grad(KILN_FN(k, saturated)), x);
    EXACTLY(d, KILN_F32, S(5), 2, 2, 0, 0, 0);
    kiln_eager(k, true);
    EXACTLY(kiln_call(kiln_grad(KILN_FN(k, saturated)), x), KILN_F32, S(5), 2, 2, 0, 0, 0);
    kiln_eager(k, false);
}

static void files_and_prints(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    char path[] = "/tmp/kiln-f8-XXXXXX", *text = NULL;
    size_t len = 0;
    close(mkstemp(path));
    kiln_tensor *x[2] = {codes(KILN_F8_E4M3, 1, S(256)), codes(KILN_F8_E5M2, 1, S(256))};
    assert_true(kiln_safetensors_write(k, path, ((const char *const[]){"a", "b"}), x, 2, NULL));
    kiln_safetensors *f = kiln_safetensors_open(k, path);
    for (int i = 0; i < 2; i++) {
        kiln_tensor *y = kiln_safetensors_read(f, i);
        assert_int_equal(kiln_dtype_of(y), f8[i]);
        assert_memory_equal(kiln_data(y), kiln_data(x[i]), 256);
    }
    kiln_safetensors_close(f);
    FILE *in = fopen(path, "rb");
    char head[300] = "";
    assert_true(fread(head, 1, sizeof head - 1, in) > 100);
    fclose(in);
    assert_non_null(strstr(head + 8, "\"dtype\":\"F8_E4M3\""));
    unlink(path);
    FILE *to = open_memstream(&text, &len);
    kiln_print(to, kiln_numbers(k, KILN_F8_E4M3, S(3), 0.1, -448, 1.125));
    fclose(to);
    assert_non_null(strstr(text, "f8_e4m3[3]"));
    free(text);
    assert_false(kiln_failed(k));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ENGINE_TEST(casts_round_overflow_and_saturate), ENGINE_TEST(finite_and_not), ENGINE_TEST(arithmetic_rounds_once), ENGINE_TEST(all_modes_agree),
        ENGINE_TEST(gradients_stop_where_it_saturates), ENGINE_TEST(files_and_prints),
    };
    return cmocka_run_group_tests_name("f8", tests, NULL, NULL);
}
