/* fft_windows: windows of cosines and the weights of mel bands: constants, computed by the host in f64. Relies on ops.h. */
#include "ops.h"

#include <kiln/fft.h>

#include <math.h>

#define PI 3.14159265358979323846
#define WINDOW_MOST ((int64_t)1 << 30)

static bool float_dtype(Thread *t, kiln_site at, const char *op, kiln_dtype d)
{
    if (d > KILN_NONE && d <= KILN_F64 && dtype_is_float((DType)d)) return true;
    fail(t, at, KILN_EDTYPE, "%s: the dtype is %s; it must be a float", op, kiln_dtype_name(d));
    return false;
}

/* ---- windows ------------------------------------------------------------------------------------- */
typedef struct Cosines {
    double a, b, c;
} Cosines;

static kiln_tensor *window(kiln_site at, const char *op, kiln *k, kiln_dtype d, int64_t n, bool periodic, Cosines w)
{
    Thread *t = thread_of(k);
    if (!t) return NULL;
    if (!float_dtype(t, at, op, d)) return &t->k->poison;
    if (n < 0 || n > WINDOW_MOST)
        return fail(t, at, KILN_EVALUE, "%s: n is %lld; it must lie between 0 and 2^30", op, (long long)n);
    if (!isfinite(w.a) || !isfinite(w.b) || !isfinite(w.c))
        return fail(t, at, KILN_EVALUE, "%s: the factors are %g, %g and %g; they must be finite numbers", op, w.a, w.b, w.c);
    double *v = mem_zeros((size_t)n + 1, sizeof *v);
    if (!v) return fail(t, at, KILN_EMEMORY, "%s: no memory", op);
    const double m = (double)(periodic ? n : n - 1);
    for (int64_t i = 0; i < n; i++) {
        const double x = 2 * PI * (double)i / m;
        v[i] = n == 1 ? 1 : w.a - w.b * cos(x) + w.c * cos(2 * x);
    }
    kiln_tensor *r = kiln_from_doubles_at(at, k, d, KILN_SHAPE(n), v, n);
    mem_free(v, ((size_t)n + 1) * sizeof *v);
    return r;
}

kiln_tensor *kiln_hann_window_at(kiln_site at, kiln *k, kiln_dtype t, int64_t n, bool periodic)
{
    return window(at, "hann_window", k, t, n, periodic, (Cosines){0.5, 0.5, 0});
}

kiln_tensor *kiln_hamming_window_at(kiln_site at, kiln *k, kiln_dtype t, int64_t n, bool periodic)
{
    return window(at, "hamming_window", k, t, n, periodic, (Cosines){0.54, 0.46, 0});
}

kiln_tensor *kiln_blackman_window_at(kiln_site at, kiln *k, kiln_dtype t, int64_t n, bool periodic)
{
    return window(at, "blackman_window", k, t, n, periodic, (Cosines){0.42, 0.5, 0.08});
}

kiln_tensor *kiln_cosine_window_at(kiln_site at, kiln *k, kiln_dtype t, int64_t n, bool periodic, double a, double b, double c)
{
    return window(at, "cosine_window", k, t, n, periodic, (Cosines){a, b, c});
}

/* ---- mel bands --------------------------------------------------------------------------------------- */
typedef struct Mel {
    int64_t bands, length;
    double rate, lower, upper;
} Mel;

static double mel_of(double f) { return 2595 * log1p(f / 700) / log(10); }

/* The element at which the i-th of the bands' edges and centres lies, as ONNX rounds it. */
static int64_t bin(const Mel *m, int64_t i)
{
    const double lo = mel_of(m->lower), step = (mel_of(m->upper) - lo) / (double)(m->bands + 2);
    const double f = 700 * expm1((lo + step * (double)i) / 2595 * log(10));
    return (int64_t)floor((double)(m->length + 1) * f / m->rate);
}

static void mel_fill(const Mel *m, int64_t rows, double *v)
{
    for (int64_t b = 0; b < m->bands; b++) {
        const int64_t left = bin(m, b), centre = bin(m, b + 1), right = bin(m, b + 2);
        for (int64_t i = MAX_OF(left, 0); i <= centre && i < rows; i++)
            v[i * m->bands + b] = centre == left ? 1 : (double)(i - left) / (double)(centre - left);
        for (int64_t i = MAX_OF(centre, 0); i < right && i < rows; i++)
            v[i * m->bands + b] = (double)(right - i) / (double)(right - centre);
    }
}

kiln_tensor *kiln_mel_weights_at(
    kiln_site at, kiln *k, kiln_dtype d, int64_t bands, int64_t length, double sample_rate, double lower, double upper)
{
    static const char op[] = "mel_weights";
    Thread *t = thread_of(k);
    if (!t) return NULL;
    if (!float_dtype(t, at, op, d)) return &t->k->poison;
    if (bands < 1 || length < 1 || bands > WINDOW_MOST || length > WINDOW_MOST || (length / 2 + 1) * bands > WINDOW_MOST)
        return fail(t, at, KILN_EVALUE,
            "%s: %lld bands of transforms of %lld samples; both must be 1 or more, with at most 2^30 weights", op, (long long)bands,
            (long long)length);
    if (!(lower >= 0 && lower <= upper && isfinite(sample_rate) && upper <= sample_rate / 2))
        return fail(t, at, KILN_EVALUE,
            "%s: the band goes from %g to %g at a sample rate of %g; it must lie between 0 and half of that", op, lower, upper,
            sample_rate);
    const Mel m = {bands, length, sample_rate, lower, upper};
    const int64_t rows = length / 2 + 1, n = rows * bands;
    double *v = mem_zeros((size_t)n, sizeof *v);
    if (!v) return fail(t, at, KILN_EMEMORY, "%s: no memory", op);
    mel_fill(&m, rows, v);
    kiln_tensor *r = kiln_from_doubles_at(at, k, d, KILN_SHAPE(rows, bands), v, n);
    mem_free(v, (size_t)n * sizeof *v);
    return r;
}
