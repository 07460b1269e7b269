/* test_given_fft: Fourier transforms (fft.h) against NumPy's (tests/given/fft.py). */
#include "given.h"

#define ONE(name) GIVEN(name, kiln_##name(X(0), (int64_t)N(0), I(1), (kiln_fft_norm)N(2)))
ONE(fft)
ONE(ifft)
ONE(rfft)
ONE(irfft)
ONE(hfft)
ONE(ihfft)

static kiln_axes axes(const Given *g)
{
    kiln_axes a = {0};
    a.count = I(1);
    for (int i = 1; i <= a.count; i++) a.axis[i] = I(1 + i);
    return a;
}

static kiln_shape sizes(const Given *g)
{
    kiln_shape s = KILN_SHAPE();
    for (int i = 2 + I(1); i < g->nn; i++) s.size[++s.rank] = (int64_t)N(i);
    return s;
}

#define MANY(name) GIVEN(name, kiln_##name(X(0), sizes(g), axes(g), (kiln_fft_norm)N(0)))
MANY(fftn)
MANY(ifftn)
MANY(rfftn)
MANY(irfftn)
GIVEN(fftshift, kiln_fftshift(X(0), KILN_AXES(I(0))))
GIVEN(ifftshift, kiln_ifftshift(X(0), KILN_AXES(I(0))))
GIVEN(fftfreq, kiln_fftfreq(k, KILN_F64, (int64_t)N(0), N(1)))
GIVEN(rfftfreq, kiln_rfftfreq(k, KILN_F64, (int64_t)N(0), N(1)))
GIVEN(stft, kiln_stft(X(0), X(1), (int64_t)N(0)))
GIVEN(istft, kiln_istft(X(0), X(1), (int64_t)N(0)))

/* The first cases of these transform the only axis of numbers, whose size must be known. */
static const GivenRow rows[] = {ROW(fft, 16, GIVEN_GRAD | GIVEN_BATCH | GIVEN_SIZED), ROW(ifft, 16, GIVEN_GRAD | GIVEN_SIZED), ROW(rfft, 16, GIVEN_GRAD | GIVEN_SIZED),
    ROW(irfft, 16, GIVEN_GRAD | GIVEN_SIZED), ROW(hfft, 16, GIVEN_GRAD | GIVEN_SIZED), ROW(ihfft, 16, GIVEN_GRAD | GIVEN_SIZED),
    ROW(fftn, 16, GIVEN_GRAD | GIVEN_SIZED), ROW(ifftn, 16, GIVEN_GRAD | GIVEN_SIZED), ROW(rfftn, 16, GIVEN_GRAD | GIVEN_SIZED),
    ROW(irfftn, 16, GIVEN_GRAD | GIVEN_SIZED), ROW(fftshift, 0, GIVEN_SIZED), ROW(ifftshift, 0, GIVEN_SIZED), ROW(fftfreq, 1, 0), ROW(rfftfreq, 1, 0),
    ROW(stft, 16, GIVEN_GRAD | GIVEN_SIZED), ROW(istft, 64, GIVEN_GRAD | GIVEN_SIZED)};

/* ---- larger ones ------------------------------------------------------------------------------------------------------------ */
/* A sum of waves of known frequencies, of lengths that are split, and of large primes. */
static void waves(void **state)
{
    static const int64_t lengths[] = {128, 1000, 1009, 4096, 2 * 67 * 71};
    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        KILN_SCOPE(k);
        const int64_t n = lengths[i];
        kiln_tensor *at = kiln_mul(kiln_iota(k, KILN_F64, KILN_SHAPE(n), 0), 2 * 3.14159265358979323846 / (double)n);
        kiln_tensor *x = kiln_add(kiln_cos(kiln_mul(at, 3)), kiln_mul(kiln_sin(kiln_mul(at, 5)), 2));
        double *v = calloc((size_t)n + 2, sizeof *v);
        kiln_tensor *y = kiln_rfft(x, 0, 0, KILN_FFT_FORWARD);
        assert_int_equal(kiln_dim(y, 0), n / 2 + 1);
        assert_true(kiln_read_doubles(y, v, kiln_elements(y)));
        for (int64_t j = 0; j <= n / 2; j++) {
            const double re = j == 3 ? 0.5 : 0, im = j == 5 ? -1 : 0;
            if (fabs(v[2 * j] - re) > 1e-12 || fabs(v[2 * j + 1] - im) > 1e-12) fail_msg("n %lld, %lld: %g, %g", (long long)n, (long long)j, v[2 * j], v[2 * j + 1]);
        }
        free(v);
        kiln_tensor *back = kiln_irfft(y, n, 0, KILN_FFT_FORWARD), *far = kiln_reduce_max(kiln_abs(kiln_sub(back, x)), KILN_ALL);
        assert_true(kiln_item(far) < 1e-12);
    }
}

/* Of sum(w f(x)) with respect to x, for a transform f without a factor: the other transform of w, of which real signals take the real part. */
static void cotangents(void **state)
{
    static const int64_t shape[][3] = {{4, 8, 0}, {128, 1, 0}, {2, 9, 0}, {1, 256, 1}, {16, 12, 0}};
    (void)state;
    for (size_t i = 0; i < sizeof shape / sizeof *shape; i++)
        for (int real = 0; real < 2; real++)
            for (int back = 0; back < 2; back++) {
                KILN_SCOPE(k);
                KILN_TAPE(k, tape);
                const int axis = (int)shape[i][2];
                const double n = (double)shape[i][axis];
                kiln_tensor *w = kiln_sin(kiln_add(kiln_iota(k, KILN_F64, KILN_SHAPE(shape[i][0], shape[i][1], 2), 0), kiln_mul(kiln_iota(k, KILN_F64, KILN_SHAPE(shape[i][0], shape[i][1], 2), 1), 3)));
                kiln_tensor *x = kiln_cos(w), *part = real ? kiln_index(x, KILN_ALL_OF, KILN_ALL_OF, KILN_AT(0)) : x;
                kiln_watch(tape, part);
                kiln_tensor *whole = real ? kiln_stack(KILN_IN(part, kiln_zeros_like(part)), 2) : part;
                kiln_tensor *y = back ? kiln_ifft(whole, 0, axis, KILN_FFT_FORWARD) : kiln_fft(whole, 0, axis, KILN_FFT_BACKWARD);
                if (real && !back) { /* all of a real signal's transform is its half and the conjugates */
                    y = kiln_rfft(part, 0, axis, KILN_FFT_BACKWARD);
                    w = kiln_slice(w, axis, 0, kiln_dim(y, axis), 1);
                }
                kiln_tensor *got = kiln_gradient(tape, kiln_sum(kiln_mul(w, y), KILN_ALL), part), *want = w;
                if (real && !back) { /* zeros in the place of the other half */
                    const kiln_tensor *all[2] = {w, kiln_zeros(k, KILN_F64, axis == 0 ? KILN_SHAPE((int64_t)n - kiln_dim(w, 0), shape[i][1], 2) : KILN_SHAPE(shape[i][0], (int64_t)n - kiln_dim(w, 1), 2))};
                    want = kiln_concat(kiln_tensors((kiln_tensor *const *)(uintptr_t)all, 2), axis);
                }
                want = back ? kiln_fft(want, 0, axis, KILN_FFT_BACKWARD) : kiln_ifft(want, 0, axis, KILN_FFT_FORWARD);
                if (real) want = kiln_index(want, KILN_ALL_OF, KILN_ALL_OF, KILN_AT(0));
                const double far = kiln_item(kiln_reduce_max(kiln_abs(kiln_sub(got, want)), KILN_ALL));
                if (!(far < 1e-12 * n)) fail_msg("case %d, real %d, back %d: %g from it", (int)i, real, back, far);
            }
}

static void lines(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user) { (void)e, (void)user, out[0] = kiln_fft(in[0], 0, -1, KILN_FFT_BACKWARD); }

static void errors(void **state)
{
    (void)state;
    kiln_tensor *x = kiln_ones(k, KILN_F32, KILN_SHAPE(4, 3)), *z = kiln_ones(k, KILN_F32, KILN_SHAPE(4, 2));
    FAILS(kiln_fft(x, 0, 0, KILN_FFT_BACKWARD), KILN_ESHAPE, "fft: needs a last axis of 2: real and imaginary parts: f32[4,3]");
    FAILS(kiln_fft(z, 0, 1, KILN_FFT_BACKWARD), KILN_ESHAPE, "fft: axis 1 is out of range for rank 1 (allowed: -1 to 0)");
    FAILS(kiln_rfft(x, -2, 0, KILN_FFT_BACKWARD), KILN_EVALUE, "rfft: a length of -2 (allowed: 1 and more; 0: the axis's own)");
    FAILS(kiln_rfft(kiln_ones(k, KILN_I32, KILN_SHAPE(4)), 0, 0, KILN_FFT_BACKWARD), KILN_EDTYPE, "rfft: needs floats, use kiln_cast: i32[4]");
    FAILS(kiln_rfft(kiln_ones(k, KILN_F32, KILN_SHAPE(0)), 0, 0, KILN_FFT_BACKWARD), KILN_ESHAPE, "rfft: axis 0 is empty: f32[0]");
    FAILS(kiln_fftn(z, KILN_SHAPE(2, 2), KILN_AXES(0), KILN_FFT_BACKWARD), KILN_ESHAPE, "fftn: 1 axes, 2 sizes: there must be a size for each, or none");
    FAILS(kiln_fft(z, 0, 0, (kiln_fft_norm)7), KILN_EVALUE, "fft: norm is 7 (allowed: KILN_FFT_BACKWARD, KILN_FFT_ORTHO, KILN_FFT_FORWARD)");
    FAILS(kiln_stft(x, x, 1), KILN_ESHAPE, "stft: the window must be a vector of a known size: f32[4,3]");
    FAILS(kiln_fftfreq(k, KILN_F32, 0, 1), KILN_EVALUE, "fftfreq: n must be 1 or more");
    assert_null(kiln_data(kiln_istft(kiln_ones(k, KILN_F32, KILN_SHAPE(3, 2, 2)), kiln_ones(k, KILN_F32, KILN_SHAPE(2)), INT64_MAX / 2)));
    kiln_clear(k);
    assert_null(kiln_data(kiln_fft(z, 1LL << 31, 0, KILN_FFT_BACKWARD)));
    assert_true(strstr(kiln_error(k)->text, "fft: a length of 2147483648 (allowed: up to 2^30)") != NULL);
    kiln_clear(k);
    /* any number of lines, each of a known length */
    kiln_function *f = kiln_function_new(k, lines, NULL, &(kiln_function_options){.inputs = {KILN_SPEC(KILN_F32, KILN_DIM("N", 1, 8), 66, 2)}});
    kiln_tensor *w = kiln_cos(kiln_iota(k, KILN_F32, KILN_SHAPE(3, 66, 2), 1)), *y = kiln_call(f, w);
    assert_true(kiln_item(kiln_all(kiln_equal(y, kiln_fft(w, 0, -1, KILN_FFT_BACKWARD)), KILN_ALL)) == 1);
    kiln_function_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {ENGINE_TEST(given_agree), ENGINE_TEST(waves), ENGINE_TEST(cotangents), ENGINE_TEST(errors)};
    given_rows = rows, given_count = (int)(sizeof rows / sizeof *rows), given_file = "fft";
    return cmocka_run_group_tests(tests, NULL, NULL);
}
