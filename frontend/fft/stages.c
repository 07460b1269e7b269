/* stages: transforms of a power of two, by Stockham's stages (Cochran et al., "What is the fast Fourier transform?", 1967): each
 * takes a factor of up to 16 off, as sums and differences of whole planes, and leaves the results in order, so that elements side
 * by side stay so. Real and imaginary parts are planes of their own meanwhile. Relies on fft.h. */
#include "fft.h"

#include <math.h>

enum { MOST = 16 };

typedef struct Go { /* one transform */
    Thread *t;
    kiln_site at;
    int sign;
} Go;

typedef struct Planes {
    kiln_tensor *re, *im; /* NULL: zeros */
} Planes;

/* ---- numbers that may be zeros -------------------------------------------------------------------------------------------- */
static kiln_tensor *sum(const Go *g, kiln_tensor *x, kiln_tensor *y) { return !x ? y : !y ? x : kiln_add_at(g->at, of(x), of(y)); }

static kiln_tensor *difference(const Go *g, kiln_tensor *x, kiln_tensor *y)
{
    return !y ? x : !x ? kiln_neg_at(g->at, of(y)) : kiln_sub_at(g->at, of(x), of(y));
}

static kiln_tensor *times(const Go *g, kiln_tensor *x, kiln_operand by) { return x ? kiln_mul_at(g->at, of(x), by) : NULL; }

static Planes turned(const Go *g, Planes x, kiln_operand re, kiln_operand im)
{
    return (Planes){difference(g, times(g, x.re, re), times(g, x.im, im)), sum(g, times(g, x.re, im), times(g, x.im, re))};
}

/* x exp(sign 2 pi i k / n), k below n / 2 */
static Planes turned_by(const Go *g, Planes x, int k, int n)
{
    if (k == 0) return x;
    if (4 * k == n && g->sign < 0) return (Planes){x.im, difference(g, NULL, x.re)};
    if (4 * k == n) return (Planes){difference(g, NULL, x.im), x.re};
    const double angle = 6.283185307179586 * k / n;
    return turned(g, x, KILN_OPERAND(cos(angle)), KILN_OPERAND(g->sign * sin(angle)));
}

/* The transform of n planes, `apart` from each other, by halves. */
static void butterfly(const Go *g, const Planes *x, int n, int apart, Planes *y)
{
    Planes even[MOST], odd[MOST];
    if (n == 1) {
        y[0] = x[0];
        return;
    }
    butterfly(g, x, n / 2, 2 * apart, even);
    butterfly(g, x + apart, n / 2, 2 * apart, odd);
    for (int i = 0; i < n / 2; i++) {
        const Planes by = turned_by(g, odd[i], i, n);
        y[i] = (Planes){sum(g, even[i].re, by.re), sum(g, even[i].im, by.im)};
        y[i + n / 2] = (Planes){difference(g, even[i].re, by.re), difference(g, even[i].im, by.im)};
    }
}

/* ---- stages ------------------------------------------------------------------------------------------------------------------ */
/* As few stages as factors of up to MOST allow, the largest first. */
static int factor_of(int64_t left)
{
    int bits = 0, stages;
    while ((int64_t)1 << bits < left) bits++;
    stages = (bits + 3) / 4;
    return 1 << (bits + stages - 1) / stages;
}

/* x without an axis, at one of its places. */
static kiln_tensor *picked(const Go *g, kiln_tensor *x, int axis, int64_t place)
{
    x = slice_axis(g->t, g->at, x, axis, place, 1);
    return tensor_ok(x) ? kiln_squeeze_at(g->at, of(x), axis) : x;
}

static kiln_tensor *shaped(const Go *g, kiln_tensor *x, Dim a, Dim b, Dim c, Dim d, int rank)
{
    const Dim dim[4] = {a, b, c, d};
    return tensor_ok(x) ? reshape_to(g->t, g->at, x, dim, rank) : x;
}

static kiln_tensor *stacked(const Go *g, kiln_tensor **x, int n, int axis)
{
    return kiln_stack_of_at(g->at, kiln_tensors(x, n), axis);
}

/* Each element is turned by what its place among `left` says; the product's factors are one of the first. */
static void turn_all(const Go *g, Planes *y, int f, int64_t left)
{
    const kiln_tensor *like = y[0].re ? y[0].re : y[0].im;
    kiln_tensor *by = fft_table(g->t, g->at, like, TABLE_STEPS, g->sign, left, f, KILN_SHAPE(f - 1, 2, left / f, 1));
    for (int k = 1; k < f && tensor_ok(by); k++) {
        kiln_tensor *step = picked(g, by, 0, k - 1);
        if (tensor_ok(step)) y[k] = turned(g, y[k], of(picked(g, step, 0, 0)), of(picked(g, step, 0, 1)));
    }
}

static Planes with_zeros(const Go *g, Planes x)
{
    if (!x.re) x.re = constant_of(g->t, g->at, &x.im->type, kiln_of_i(0));
    if (!x.im) x.im = constant_of(g->t, g->at, &x.re->type, kiln_of_i(0));
    return x;
}

/* The results of the last stage, side by side: [count, n, inner, 2]. */
static kiln_tensor *joined(const Go *g, Dim count, int64_t n, Dim inner, Planes *y, int f)
{
    kiln_tensor *all[MOST];
    for (int k = 0; k < f; k++) all[k] = stacked(g, (kiln_tensor *[]){y[k].re, y[k].im}, 2, 3);
    return shaped(g, stacked(g, all, f, 1), count, n, inner, 2, 4);
}

static kiln_tensor *transformed(const Go *g, kiln_tensor *of_x, bool is_complex)
{
    const Dim count = of_x->type.dim[0], inner = of_x->type.dim[2];
    const int64_t n = of_x->type.dim[1];
    Planes x = {is_complex ? picked(g, of_x, 3, 0) : of_x, is_complex ? picked(g, of_x, 3, 1) : NULL};
    Dim size = inner; /* from one of the elements that are left to the next */
    for (int64_t left = n;;) {
        const int f = factor_of(left);
        Planes in[MOST], y[MOST];
        kiln_tensor *re[MOST], *im[MOST];
        if (!tensor_ok(x.re) || (x.im && !tensor_ok(x.im)) || size == DIM_BAD) return &g->t->k->poison;
        x.re = shaped(g, x.re, count, f, left / f, size, 4);
        if (x.im) x.im = shaped(g, x.im, count, f, left / f, size, 4);
        for (int j = 0; j < f; j++) in[j] = (Planes){picked(g, x.re, 1, j), x.im ? picked(g, x.im, 1, j) : NULL};
        butterfly(g, in, f, 1, y);
        left /= f;
        if (left > 1) turn_all(g, y, f, left * f);
        for (int k = 0; k < f; k++) {
            if (!tensor_ok(y[k].re ? y[k].re : y[k].im)) return &g->t->k->poison;
            y[k] = with_zeros(g, y[k]);
            re[k] = y[k].re, im[k] = y[k].im;
        }
        if (left == 1) return joined(g, count, n, inner, y, f);
        x = (Planes){stacked(g, re, f, 2), stacked(g, im, f, 2)};
        size = extent(g->t, g->at, EXTENT_MUL, size, f);
    }
}

typedef struct Rule {
    int sign;
    bool is_complex;
} Rule;

/* A transform is a symmetric matrix: cotangents go through the one with the other sign, and real signals take the real part. */
static void back(kiln *k, kiln_tensor *dy, kiln_tensor *const *x, kiln_tensor **dx, void *user)
{
    const Rule *rule = user;
    Thread *t = thread_of(k);
    const kiln_site at = {dy->made.file, dy->made.line};
    (void)x;
    kiln_tensor *d = fft_stages(t, at, dy, true, -rule->sign);
    dx[0] = rule->is_complex || !tensor_ok(d) ? d : kiln_squeeze_at(at, of(slice_axis(t, at, d, 3, 0, 1)), 3);
}

kiln_tensor *fft_stages(Thread *t, kiln_site at, kiln_tensor *x, bool is_complex, int sign)
{
    static const Rule rules[2][2] = {{{-1, false}, {-1, true}}, {{1, false}, {1, true}}};
    if (!tensor_ok(x)) return x;
    kiln_tensor *y = transformed(&(Go){t, at, sign}, x, is_complex);
    return kiln_custom_gradient_at(at, y, &x, 1, back, (void *)(uintptr_t)&rules[sign > 0][is_complex]);
}
