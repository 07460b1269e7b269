/* lines: see fft.h. A length that has factors is split: transforms of one factor's length are products with a small matrix, the
 * others follow by themselves, with turns in between. A large power of two goes through stages (stages.c), a large prime is a
 * convolution, by transforms of a power of two. Relies on fft.h. */
#include "fft.h"

#define FACTOR 32 /* the largest factor that is split off */

/* ---- lines
 * -------------------------------------------------------------------------------------------------------------------------- */
static kiln_tensor *shaped(Thread *t, kiln_site at, kiln_tensor *x, Dim a, Dim b, Dim c, Dim d, int rank)
{
    const Dim dim[4] = {a, b, c, d};
    return reshape_to(t, at, x, dim, rank);
}

/* x [..., 2] with each number turned as the table says, [2, ..., 2]. */
static kiln_tensor *turned(Thread *t, kiln_site at, kiln_tensor *x, kiln_tensor *by)
{
    if (!tensor_ok(x) || !tensor_ok(by)) return &t->k->poison;
    kiln_tensor *re = kiln_squeeze_at(at, of(slice_axis(t, at, by, 0, 0, 1)), 0),
                *im = kiln_squeeze_at(at, of(slice_axis(t, at, by, 0, 1, 1)), 0);
    kiln_tensor *other = apply1(t, at, OP_flip, x, (int64_t[]){x->type.rank - 1}, 1);
    return kiln_add_at(at, of(kiln_mul_at(at, of(x), of(re))), of(kiln_mul_at(at, of(other), of(im))));
}

static kiln_tensor *direct(Thread *t, kiln_site at, kiln_tensor *x, int64_t n, int sign)
{
    const bool real = x->type.rank == 2;
    kiln_tensor *by = fft_table(t, at, x, real ? TABLE_REAL : TABLE_MATRIX, sign, n, 0, KILN_SHAPE(real ? n : 2 * n, 2 * n));
    x = shaped(t, at, x, x->type.dim[0], real ? n : 2 * n, 0, 0, 2);
    x = kiln_matmul_at(at, of(x), of(by));
    return tensor_ok(x) ? shaped(t, at, x, x->type.dim[0], n, 2, 0, 3) : x;
}

static int64_t factor_of(int64_t n)
{
    for (int64_t f = FACTOR; f > 1; f--)
        if (n % f == 0) return f;
    return 1;
}

static kiln_tensor *exchanged(Thread *t, kiln_site at, kiln_tensor *x)
{
    if (!tensor_ok(x)) return x;
    return x->type.rank == 3 ? transpose_to(t, at, x, (const int[]){0, 2, 1}) : transpose_to(t, at, x, (const int[]){0, 2, 1, 3});
}

/* n = f r: element j = j1 r + j2 counts in element k1 + f k2 of the result. */
static kiln_tensor *split(Thread *t, kiln_site at, kiln_tensor *x, int64_t n, int64_t f, int sign)
{
    const Dim count = x->type.dim[0], lines = extent(t, at, EXTENT_MUL, count, n / f), others = extent(t, at, EXTENT_MUL, count, f);
    const bool real = x->type.rank == 2;
    const int64_t r = n / f;
    x = exchanged(t, at, shaped(t, at, x, count, f, r, 2, real ? 3 : 4)); /* [count, j2, j1] */
    if (!tensor_ok(x) || lines == DIM_BAD || others == DIM_BAD) return x;
    x = direct(t, at, shaped(t, at, x, lines, f, 2, 0, real ? 2 : 3), f, sign);
    if (!tensor_ok(x)) return x;
    x = shaped(t, at, x, count, r, f, 2, 4); /* [count, j2, k1] */
    x = exchanged(t, at, turned(t, at, x, fft_table(t, at, x, TABLE_TURNS, sign, n, f, KILN_SHAPE(2, r, f, 2))));
    if (!tensor_ok(x)) return x;
    x = fft_lines(t, at, shaped(t, at, x, others, r, 2, 0, 3), sign);
    if (!tensor_ok(x)) return x;
    x = exchanged(t, at, shaped(t, at, x, count, f, r, 2, 4)); /* [count, k2, k1] */
    return tensor_ok(x) ? shaped(t, at, x, count, n, 2, 0, 3) : x;
}

/* x[j] chirp[j], convolved with the chirp's conjugate, times chirp[k] */
static kiln_tensor *convolved(Thread *t, kiln_site at, kiln_tensor *x, int64_t n, int sign)
{
    int64_t m = 1;
    while (m < 2 * n - 1) m *= 2;
    if (x->type.rank == 2) {
        kiln_tensor *whole = kiln_expand_at(at, of(x), 2);
        if (!tensor_ok(whole)) return whole;
        x = kiln_pad_at(at, of(whole), KILN_SHAPE(0, 0, 0), KILN_SHAPE(0, 0, 1), KILN_OPERAND(0));
        if (!tensor_ok(x)) return x;
    }
    kiln_tensor *by = fft_table(t, at, x, TABLE_CHIRP, sign, n, 0, KILN_SHAPE(2, n, 2));
    kiln_tensor *a = kiln_pad_at(at, of(turned(t, at, x, by)), KILN_SHAPE(0, 0, 0), KILN_SHAPE(0, m - n, 0), KILN_OPERAND(0));
    if (!tensor_ok(a)) return a;
    a = fft_lines(t, at, a, -1);
    if (!tensor_ok(a)) return a;
    a = fft_lines(t, at, turned(t, at, a, fft_table(t, at, a, TABLE_ANSWER, sign, n, m, KILN_SHAPE(2, m, 2))), 1);
    return tensor_ok(a) ? turned(t, at, slice_axis(t, at, a, 1, 0, n), by) : a;
}

kiln_tensor *fft_lines(Thread *t, kiln_site at, kiln_tensor *x, int sign)
{
    if (!tensor_ok(x)) return x;
    const int64_t n = x->type.dim[1], f = n <= FFT_DIRECT ? 1 : factor_of(n);
    const bool is_complex = x->type.rank == 3;
    if (n <= FFT_DIRECT) return direct(t, at, x, n, sign);
    if ((n & (n - 1)) == 0) {
        x = shaped(t, at, x, x->type.dim[0], n, 1, 2, 3 + is_complex);
        x = fft_stages(t, at, x, is_complex, sign);
        return tensor_ok(x) ? shaped(t, at, x, x->type.dim[0], n, 2, 0, 3) : x;
    }
    return f > 1 ? split(t, at, x, n, f, sign) : convolved(t, at, x, n, sign);
}
