/* test_given_quantise: quantisation (quantise.h), windows and mel weights (fft.h) against ONNX's reference, PyTorch and SciPy
 * (tests/given/quantise.py). */
#include "given.h"

#define HOW &(kiln_quantisation){.axis = I(0), .block = I(1)}
GIVEN(quantise, kiln_quantise(X(0), X(1), X(2), HOW))
GIVEN(quantise_plain, kiln_quantise(X(0), X(1), NULL, HOW))
GIVEN(dequantise, kiln_dequantise(X(0), X(1), X(2), HOW))
GIVEN(dequantise_plain, kiln_dequantise(X(0), X(1), NULL, HOW))
static void quantise_dynamic(const Given *g, kiln_tensor **out) { out[0] = kiln_quantise_dynamic(X(0), &out[1], &out[2]); }
GIVEN(fake_quantise, kiln_fake_quantise(X(0), X(1), X(2), N(0), N(1), &(kiln_quantisation){.axis = I(2)}))
GIVEN(hann, kiln_hann_window(k, KILN_F64, (int64_t)N(0), I(1)))
GIVEN(hamming, kiln_hamming_window(k, KILN_F64, (int64_t)N(0), I(1)))
GIVEN(blackman, kiln_blackman_window(k, KILN_F64, (int64_t)N(0), I(1)))
GIVEN(cosine, kiln_cosine_window(k, KILN_F64, (int64_t)N(0), I(1), 0.3, 0.5, 0.2))
GIVEN(mel, kiln_mel_weights(k, KILN_F32, (int64_t)N(0), (int64_t)N(1), N(2), N(3), N(4)))

/* The gradient is 1 where the level lies in range, else 0. */
static void gradient_goes_straight_through(void **state)
{
    static const double want[] = {0, 1, 1, 1, 0, 0};
    (void)state;
    for (int traced = 0; traced < 2; traced++) {
        KILN_SCOPE(k);
        KILN_TAPE(k, tape);
        double v[6];
        kiln_eager(k, !traced);
        kiln_tensor *x = kiln_watch(tape, kiln_f32(k, KILN_SHAPE(6), -9, -4.1f, 0.3f, 3.4f, 3.6f, 100)), *y = kiln_fake_quantise(x, 1.0, NULL, -4, 3, NULL);
        assert_true(kiln_read_doubles(kiln_gradient(tape, y, x), v, 6));
        assert_memory_equal(v, want, sizeof want);
        kiln_eager(k, false);
    }
}

/* What scales of blocks have for sizes, where the first is a symbol, would have to be known. */
static const GivenRow rows[] = {ROW(quantise, 0, GIVEN_SIZED), ROW(quantise_plain, 0, GIVEN_SIZED), ROW(dequantise, 1, GIVEN_SIZED), ROW(dequantise_plain, 1, GIVEN_SIZED),
    ROW(quantise_dynamic, 0, 0), ROW(fake_quantise, 0, 0), ROW(hann, 4, 0), ROW(hamming, 4, 0), ROW(blackman, 4, 0), ROW(cosine, 4, 0), ROW(mel, 1, 0)};

int main(void)
{
    const struct CMUnitTest tests[] = {ENGINE_TEST(given_agree), ENGINE_TEST(gradient_goes_straight_through)};
    given_rows = rows, given_count = (int)(sizeof rows / sizeof *rows);
    given_file = "quantise";
    return cmocka_run_group_tests_name("quantise", tests, NULL, NULL);
}
