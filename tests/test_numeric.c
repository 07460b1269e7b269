/* Functions of numbers and activations through the public interface: against values of other libraries, made beforehand (numeric_values.h),
 * in f64 and f32, eagerly and compiled; integers, edges, and every neighbour of 16-bit floats against its bits. */
#include "values.h"

#define S KILN_SHAPE

typedef struct Row {
    const char *name;
    kiln_body *body;
    const double *x, *want;
    int count;
} Row;

#define LIST(...) {__VA_ARGS__}
#define VALUES(name, call, points, values)                                                    \
    static void body_##name(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)   \
    {                                                                                         \
        kiln_tensor *x = in[0];                                                               \
        (void)e, (void)user;                                                                  \
        out[0] = call;                                                                        \
    }                                                                                         \
    static const double at_##name[] = points, want_##name[] = values;
#include "numeric_values.h"
#undef VALUES
static const Row rows[] = {
#define VALUES(name, ...) {#name, body_##name, at_##name, want_##name, (int)(sizeof at_##name / sizeof *at_##name)},
#include "numeric_values.h"
};

/* In f32 the points are rounded, and results differ by as much as that moves them; what jumps is asked in f64 alone. */
static bool jumps(const char *name)
{
    return strcmp(name, "fmod") == 0 || strcmp(name, "remainder") == 0 || strcmp(name, "trunc_div") == 0 || strcmp(name, "nextafter") == 0;
}

static void check_row(const Row *r, kiln_dtype d, bool eager)
{
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_cast(kiln_from(k, KILN_F64, S(r->count), r->x, r->count), d);
    kiln_eager(k, eager);
    kiln_tensor *y = kiln_call(kiln_function_new(k, r->body, NULL, &(kiln_function_options){.inputs_count = 1}), x);
    if (kiln_failed(k)) fail_msg("%s: %s", r->name, kiln_error(k)->text);
    const double *have = kiln_data(kiln_cast(y, KILN_F64)), *at = kiln_data(kiln_cast(x, KILN_F64));
    for (int i = 0; i < r->count; i++) {
        const double want = r->want[i], moved = fabs(at[i] - r->x[i]) * 200 * fmax(1, fabs(want)) + 1e-6 * fabs(want);
        const double root = strcmp(r->name, "digamma") == 0 ? 2e-15 : 0; /* it has one among the points */
        const double most = d == KILN_F64 ? 4e-15 * fmax(fabs(want), 1e-3) + root : moved + 1e-30;
        if (have[i] == want || (isnan(want) && isnan(have[i])) || (d == KILN_F32 && fabs(want) > 3e38 && isinf(have[i]))) continue;
        if (!(fabs(have[i] - want) <= most))
            fail_msg("%s %s at %.17g: %.17g, not %.17g", r->name, kiln_dtype_name(d), at[i], have[i], want);
    }
}

static void values_of_other_libraries(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int eager = 0; eager < 2; eager++) {
            check_row(&rows[i], KILN_F64, eager);
            if (!jumps(rows[i].name)) check_row(&rows[i], KILN_F32, eager);
        }
    kiln_eager(k, false);
}

static void integers(void **state)
{
    (void)state;
    kiln_tensor *x = kiln_i32(k, S(6), 7, -7, 7, -7, INT32_MIN, 5), *y = kiln_i32(k, S(6), 2, 2, -2, -2, -1, 0);
    EXACTLY(kiln_fmod(x, y), KILN_I32, S(6), 1, -1, 1, -1, 0, 0);
    EXACTLY(kiln_remainder(x, y), KILN_I32, S(6), 1, 1, -1, -1, 0, 0);
    EXACTLY(kiln_trunc_div(x, y), KILN_I32, S(6), 3, -3, -3, 3, INT32_MIN, 0);
    EXACTLY(kiln_trunc_div(kiln_cast(kiln_i32(k, S(2), 200, 7), KILN_U8), 9), KILN_U8, S(2), 22, 0);
    kiln_tensor *base = kiln_i32(k, S(7), 0, 1, -1, 2, -3, 10, 65536);
    EXACTLY(kiln_pow(base, 0), KILN_I32, S(7), 1, 1, 1, 1, 1, 1, 1);
    EXACTLY(kiln_pow(base, 1), KILN_I32, S(7), 0, 1, -1, 2, -3, 10, 65536);
    EXACTLY(kiln_pow(base, 3), KILN_I32, S(7), 0, 1, -1, 8, -27, 1000, 0);
    EXACTLY(kiln_pow(base, -1), KILN_I32, S(7), 0, 1, -1, 0, 0, 0, 0);
    EXACTLY(kiln_pow(base, -2), KILN_I32, S(7), 0, 1, 1, 0, 0, 0, 0);
    EXACTLY(kiln_pow(2, kiln_i32(k, S(3), 30, 31, 32)), KILN_I32, S(3), 1 << 30, INT32_MIN, 0);
    EXACTLY(kiln_pow(kiln_cast(kiln_i32(k, S(2), 3, 15), KILN_U8), 5), KILN_U8, S(2), 243, 759375 % 256);
    EXACTLY(kiln_square(kiln_cast(kiln_i32(k, S(2), 12, 100), KILN_I8)), KILN_I8, S(2), 144 - 256, 16);
    EXACTLY(kiln_popcount(kiln_i32(k, S(5), 0, 1, -1, 255, INT32_MIN)), KILN_I32, S(5), 0, 1, 32, 8, 1);
    EXACTLY(kiln_popcount(kiln_i64(k, S(3), -1, INT64_MIN, 0x0123456789abcdef)), KILN_I64, S(3), 64, 1, 32);
    EXACTLY(kiln_popcount(kiln_cast(kiln_i32(k, S(2), -1, -128), KILN_I8)), KILN_I8, S(2), 8, 1);
    EXACTLY(kiln_popcount(kiln_cast(kiln_i32(k, S(2), 65535, 9), KILN_U16)), KILN_U16, S(2), 16, 2);
    EXACTLY(kiln_shl(kiln_i32(k, S(4), 1, 1, 1, 1), kiln_i32(k, S(4), 0, 31, 32, -1)), KILN_I32, S(4), 1, INT32_MIN, 0, 0);
    EXACTLY(kiln_shr(kiln_i32(k, S(4), -8, -8, 8, -8), kiln_i32(k, S(4), 1, 40, 40, -1)), KILN_I32, S(4), -4, -1, 0, -1);
    EXACTLY(kiln_fmax(x, y), KILN_I32, S(6), 7, 2, 7, -2, -1, 5);
    EXACTLY(kiln_hardtanh(x, -5, 6), KILN_I32, S(6), 6, -5, 6, -5, -5, 5);
    EXACTLY(kiln_threshold(x, 5, -1), KILN_I32, S(6), 7, -1, 7, -1, -1, -1);
    EXACTLY(kiln_relu6(kiln_cast(kiln_i32(k, S(2), 3, 200), KILN_U8)), KILN_U8, S(2), 3, 6);
    EXACTLY(kiln_ceil(x), KILN_I32, S(6), 7, -7, 7, -7, INT32_MIN, 5);
    EXACTLY(kiln_isnan(x), KILN_BOOL, S(6), 0, 0, 0, 0, 0, 0);
    EXACTLY(kiln_isinf(x), KILN_BOOL, S(6), 0, 0, 0, 0, 0, 0);
    EXACTLY(kiln_isfinite(x), KILN_BOOL, S(6), 1, 1, 1, 1, 1, 1);
    EXACTLY(kiln_signbit(x), KILN_BOOL, S(6), 0, 1, 0, 1, 1, 0);
    EXACTLY(kiln_positive(x), KILN_I32, S(6), 7, -7, 7, -7, INT32_MIN, 5);
    assert_ptr_not_equal(kiln_positive(x), x);
}

static void edges(void **state)
{
    (void)state;
    const float inf = INFINITY;
    kiln_tensor *x = kiln_f32(k, S(5), NAN, inf, -inf, -0.0f, 0);
    EXACTLY(kiln_isinf(x), KILN_BOOL, S(5), 0, 1, 1, 0, 0);
    EXACTLY(kiln_isposinf(x), KILN_BOOL, S(5), 0, 1, 0, 0, 0);
    EXACTLY(kiln_isneginf(x), KILN_BOOL, S(5), 0, 0, 1, 0, 0);
    EXACTLY(kiln_signbit(kiln_f32(k, S(4), inf, -inf, -0.0f, 0)), KILN_BOOL, S(4), 0, 1, 1, 0);
    EXACTLY(kiln_isinf(kiln_cast(kiln_f32(k, S(2), 1, 1e9f), KILN_F8_E4M3)), KILN_BOOL, S(2), 0, 0);
    EXACTLY(kiln_fmax(x, 1), KILN_F32, S(5), 1, inf, 1, 1, 1);
    EXACTLY(kiln_fmin(1, x), KILN_F32, S(5), 1, 1, -inf, 0, 0);
    EXACTLY(kiln_max(x, 1), KILN_F32, S(5), NAN, inf, 1, 1, 1);
    EXACTLY(kiln_hypot(x, NAN), KILN_F32, S(5), NAN, inf, inf, NAN, NAN);
    EXACTLY(kiln_hypot(kiln_f32(k, S(2), 3e38f, 3e-45f), kiln_f32(k, S(2), 0, 4e-45f)), KILN_F32, S(2), 3e38f, 0x1p-147);
    EXACTLY(kiln_logaddexp(x, -INFINITY), KILN_F32, S(5), NAN, inf, -inf, 0, 0);
    EXACTLY(kiln_logaddexp(kiln_f32(k, S(2), inf, 1e30f), kiln_f32(k, S(2), inf, -1e38f)), KILN_F32, S(2), inf, 1e30f);
    EXACTLY(kiln_xlogy(kiln_f32(k, S(4), 0, 0, 0, 0), kiln_f32(k, S(4), 0, -1, inf, NAN)), KILN_F32, S(4), 0, 0, 0, NAN);
    EXACTLY(kiln_fmod(kiln_f32(k, S(4), 5, -5, 5, inf), kiln_f32(k, S(4), inf, inf, 0, 2)), KILN_F32, S(4), 5, -5, NAN, NAN);
    EXACTLY(kiln_div(1, kiln_fmod(kiln_f32(k, S(1), -4), 2)), KILN_F32, S(1), -inf);
    EXACTLY(kiln_div(1, kiln_remainder(kiln_f32(k, S(1), -4), 2)), KILN_F32, S(1), inf);
    EXACTLY(kiln_div(1, kiln_trunc_div(kiln_f32(k, S(2), 1, -1), 2)), KILN_F32, S(2), inf, -inf);
    EXACTLY(kiln_trunc_div(kiln_f32(k, S(2), 1, -1), 0), KILN_F32, S(2), inf, -inf);
    EXACTLY(kiln_lgamma(kiln_f32(k, S(5), 1, 2, 0, -3, -inf)), KILN_F32, S(5), 0, 0, inf, inf, inf);
    EXACTLY(kiln_digamma(kiln_f32(k, S(4), 0, -0.0f, -2, inf)), KILN_F32, S(4), -inf, inf, NAN, inf);
    EXACTLY(kiln_erfinv(kiln_f32(k, S(4), 1, -1, 1.5f, 0)), KILN_F32, S(4), inf, -inf, NAN, 0);
    EXACTLY(kiln_acosh(kiln_f32(k, S(3), 1, 0.5f, inf)), KILN_F32, S(3), 0, NAN, inf);
    EXACTLY(kiln_atanh(kiln_f32(k, S(3), 1, -1, 1.5f)), KILN_F32, S(3), inf, -inf, NAN);
    EXACTLY(kiln_cbrt(kiln_f32(k, S(4), -27, 8e-45f, inf, 1e-30f)), KILN_F32, S(4), -3, cbrtf(8e-45f), inf, cbrtf(1e-30f));
    EXACTLY(kiln_erfc(kiln_f32(k, S(2), inf, -inf)), KILN_F32, S(2), 0, 2);
    EXACTLY(kiln_i0(kiln_f32(k, S(3), 0, inf, -100)), KILN_F32, S(3), 1, inf, inf);
    EXACTLY(kiln_sinc(kiln_f32(k, S(5), 0, 1, -7, 1e10f, inf)), KILN_F32, S(5), 1, 0, 0, 0, NAN);
    EXACTLY(kiln_lerp(0.1f, kiln_f32(k, S(1), 0.7f), 1), KILN_F32, S(1), 0.7f);
    EXACTLY(kiln_mish(x), KILN_F32, S(5), NAN, inf, 0, 0, 0);
    EXACTLY(kiln_hardswish(x), KILN_F32, S(5), NAN, inf, 0, 0, 0);
    EXACTLY(kiln_elu(x, 1), KILN_F32, S(5), NAN, inf, -1, 0, 0);
    EXACTLY(kiln_softsign(x), KILN_F32, S(5), NAN, 1, -1, 0, 0);
    EXACTLY(kiln_hardtanh(x, -1, 1), KILN_F32, S(5), NAN, 1, -1, 0, 0);
    EXACTLY(kiln_softshrink(x, 0.5), KILN_F32, S(5), NAN, inf, -inf, 0, 0);
    EXACTLY(kiln_shrink(x, 0.5, 0.25), KILN_F32, S(5), NAN, inf, -inf, 0, 0);
    EXACTLY(kiln_shrink(kiln_f32(k, S(4), 1, -2, 0.5f, -0.5f), 0.5, 0.25), KILN_F32, S(4), 0.75, -1.75, 0, 0);
    EXACTLY(kiln_threshold(x, 0, 3), KILN_F32, S(5), NAN, inf, 3, 3, 3);
}

/* ---- neighbours ------------------------------------------------------------------------------ */

/* All numbers of such a float, as bits from the least to the largest without NaN, and the next one up and down. */
static void neighbours(kiln_dtype d, int bits, int32_t infinity)
{
    KILN_SCOPE(k);
    enum { MOST = 1 << 16 };
    static uint16_t at[MOST], up[MOST], down[MOST];
    const int sign = 1 << (bits - 1);
    int n = 0;
    for (int i = infinity; i > 0; i--) at[n++] = (uint16_t)(sign | i);
    for (int i = 0; i <= infinity; i++) at[n++] = (uint16_t)i;
    for (int i = 0; i < n; i++) {
        up[i] = i + 1 < n ? at[i + 1] : at[i];
        down[i] = i > 0 ? at[i - 1] : at[i];
        if (down[i] == 0 && at[i] == 0) down[i] = (uint16_t)(sign | 1);
        if (at[i] == (sign | 1)) up[i] = (uint16_t)sign;  /* -0 from below, +0 from above */
    }
    kiln_tensor *x = kiln_from(k, d, S(n), at, n);
    const uint16_t *more = kiln_data(kiln_nextafter(x, INFINITY)), *less = kiln_data(kiln_nextafter(x, -INFINITY));
    if (kiln_failed(k)) fail_msg("%s", kiln_error(k)->text);
    for (int i = 0; i < n; i++)
        if (more[i] != up[i] || less[i] != down[i])
            fail_msg("%s %04x: up %04x, not %04x; down %04x, not %04x", kiln_dtype_name(d), at[i], more[i], up[i], less[i], down[i]);
}

static void neighbours_of_every_number(void **state)
{
    (void)state;
    neighbours(KILN_F16, 16, 0x7c00);
    neighbours(KILN_BF16, 16, 0x7f80);
    KILN_SCOPE(k);
    static float x[1 << 14];
    for (int i = 0; i < 1 << 14; i++) {
        const uint32_t bits = (uint32_t)i * 262147u;
        memcpy(&x[i], &bits, 4);
    }
    for (int to = 0; to < 2; to++) {
        const float *have = kiln_data(kiln_nextafter(kiln_from(k, KILN_F32, S(1 << 14), x, 1 << 14), to ? 1e30f : -0.5f));
        for (int i = 0; i < 1 << 14; i++) {
            const float want = nextafterf(x[i], to ? 1e30f : -0.5f);
            if (memcmp(&want, &have[i], 4) != 0 && !(isnan(want) && isnan(have[i]))) fail_msg("%a: %a, not %a", x[i], have[i], want);
        }
    }
}

/* 16-bit floats compute in f32 and round once. */
static void narrow_floats(void **state)
{
    (void)state;
    kiln_tensor *x = kiln_cast(kiln_f32(k, S(4), -2.5f, -0.3f, 0.7f, 3.1f), KILN_F16), *wide = kiln_cast(x, KILN_F32);
    kiln_tensor *pairs[][2] = {{kiln_mish(x), kiln_mish(wide)}, {kiln_selu(x), kiln_selu(wide)}, {kiln_sinc(x), kiln_sinc(wide)},
        {kiln_leaky_relu(x, 0.01), kiln_leaky_relu(wide, 0.01)}, {kiln_hardswish(x), kiln_hardswish(wide)}, {kiln_lgamma(x), kiln_lgamma(wide)},
        {kiln_lerp(x, 0.1, 0.3), kiln_lerp(wide, 0.1, 0.3)}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        assert_int_equal(kiln_dtype_of(pairs[i][0]), KILN_F16);
        assert_true(kiln_item(kiln_all(kiln_eq(pairs[i][0], kiln_cast(pairs[i][1], KILN_F16)), KILN_ALL)) != 0);
    }
}

/* Slopes are learned: of prelu, of elu. */
static void gradients_of_parameters(void **state)
{
    (void)state;
    kiln_tensor *x = kiln_f64(k, S(2, 2), -2, 1, -0.5, 3), *slope = kiln_f64(k, S(2), 0.25, 0.5);
    KILN_TAPE_PERSISTENT(k, tape);
    kiln_watch(tape, slope);
    kiln_tensor *prelu = kiln_sum(kiln_prelu(x, slope), KILN_ALL), *elu = kiln_sum(kiln_elu(x, slope), KILN_ALL);
    EXACTLY(kiln_gradient(tape, prelu, slope), KILN_F64, S(2), -2.5, 0);
    NEAR(kiln_gradient(tape, elu, slope), KILN_F64, S(2), expm1(-2) + expm1(-0.5), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {ENGINE_TEST(values_of_other_libraries), ENGINE_TEST(integers), ENGINE_TEST(edges),
        ENGINE_TEST(neighbours_of_every_number), ENGINE_TEST(narrow_floats), ENGINE_TEST(gradients_of_parameters)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
