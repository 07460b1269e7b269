/* fft: see fft.h. A length that has factors is split: transforms of one factor's length are products with a small matrix, the
 * others follow by themselves, with turns in between. A large prime is a convolution, by transforms of a power of two. What is
 * multiplied with is computed in doubles and kept with the engine, up to some memory. Relies on ops.h. */
#include "fft.h"

#include <math.h>
#include <pthread.h>

#define DIRECT 64 /* lengths up to here are one product */
#define FACTOR 32 /* the largest factor that is split off */
static const double pi = 3.14159265358979323846;

/* ---- tables
 * ----------------------------------------------------------------------------------------------------------------------- */
typedef enum TableKind {
    TABLE_MATRIX, /* [2 n, 2 n]: a line of n complex numbers times it is its transform */
    TABLE_REAL,   /* [n, 2 n]: of n real numbers */
    TABLE_TURNS,  /* [2, n / m, m, 2]: what j, k is turned by, exp(sign 2 pi i j k / n): real parts twice, then imaginary ones, -, +
                   */
    TABLE_CHIRP,  /* [2, n, 2]: exp(sign pi i j j / n), as turns */
    TABLE_ANSWER  /* [2, m, 2]: the transform of the chirp's conjugate, wrapped to length m, over m, as turns */
} TableKind;

typedef struct Table {
    TableKind kind;
    int sign;
    int64_t n, m, count; /* doubles */
    double *v;
    uint64_t used;
} Table;

#define TABLES 64
#define TABLES_BYTES ((size_t)64 << 20)
typedef struct Tables { /* an engine's */
    pthread_mutex_t lock;
    Table at[TABLES];
    uint64_t clock;
    size_t bytes;
} Tables;

static void put_turn(double *v, int64_t count, int64_t i, double re, double im)
{
    v[2 * i] = v[2 * i + 1] = re;
    v[count / 2 + 2 * i] = -im;
    v[count / 2 + 2 * i + 1] = im;
}

/* exp(sign 2 pi i j / n), j up to n */
static void root(int sign, int64_t j, int64_t n, double *re, double *im)
{
    *re = cos(2 * pi * (double)j / (double)n);
    *im = sign * sin(2 * pi * (double)j / (double)n);
}

static void fill_matrix(const Table *t, double *v)
{
    const int64_t n = t->n, rows = t->kind == TABLE_REAL ? 1 : 2;
    for (int64_t j = 0; j < n; j++)
        for (int64_t k = 0; k < n; k++) {
            double re, im, *row = v + rows * j * 2 * n;
            root(t->sign, j * k % n, n, &re, &im);
            row[2 * k] = re, row[2 * k + 1] = im;
            if (rows == 2) row[2 * n + 2 * k] = -im, row[2 * n + 2 * k + 1] = re;
        }
}

static void fill_turns(const Table *t, double *v)
{
    const int64_t columns = t->m, rows = t->n / columns;
    for (int64_t j = 0; j < rows; j++)
        for (int64_t k = 0; k < columns; k++) {
            double re, im;
            root(t->sign, j * k % t->n, t->n, &re, &im);
            put_turn(v, t->count, j * columns + k, re, im);
        }
}

/* j j mod 2 n, without overflow: n is below 2^31 */
static void chirp(int sign, int64_t j, int64_t n, double *re, double *im) { root(sign, j * j % (2 * n), 2 * n, re, im); }

static void fill_chirp(const Table *t, double *v)
{
    for (int64_t j = 0; j < t->n; j++) {
        double re, im;
        chirp(t->sign, j, t->n, &re, &im);
        put_turn(v, t->count, j, re, im);
    }
}

/* In place, of a power of two, exponent negative: by halves, bits reversed first. */
static void doubles_fft(double *x, int64_t n)
{
    for (int64_t i = 1, j = 0; i < n; i++) {
        int64_t bit = n >> 1;
        for (; j & bit; bit >>= 1) j ^= bit;
        j ^= bit;
        if (i >= j) continue;
        const double re = x[2 * i], im = x[2 * i + 1];
        x[2 * i] = x[2 * j], x[2 * i + 1] = x[2 * j + 1];
        x[2 * j] = re, x[2 * j + 1] = im;
    }
    for (int64_t half = 1; half < n; half *= 2)
        for (int64_t k = 0; k < half; k++) {
            double wr, wi;
            root(-1, k, 2 * half, &wr, &wi);
            for (int64_t i = k; i < n; i += 2 * half) {
                double *a = x + 2 * i, *b = a + 2 * half;
                const double re = b[0] * wr - b[1] * wi, im = b[0] * wi + b[1] * wr;
                b[0] = a[0] - re, b[1] = a[1] - im;
                a[0] += re, a[1] += im;
            }
        }
}

static bool fill_answer(const Table *t, double *v)
{
    const int64_t n = t->n, m = t->m;
    double *b = mem_zeros((size_t)(2 * m), sizeof *b);
    if (!b) return false;
    for (int64_t j = 0; j < n; j++) {
        double re, im;
        chirp(-t->sign, j, n, &re, &im);
        b[2 * j] = re, b[2 * j + 1] = im;
        if (j > 0) b[2 * (m - j)] = re, b[2 * (m - j) + 1] = im;
    }
    doubles_fft(b, m);
    for (int64_t j = 0; j < m; j++) put_turn(v, t->count, j, b[2 * j] / (double)m, b[2 * j + 1] / (double)m);
    mem_free(b, (size_t)(2 * m) * sizeof *b);
    return true;
}

static bool fill(const Table *t, double *v)
{
    switch (t->kind) {
    case TABLE_MATRIX:
    case TABLE_REAL: return fill_matrix(t, v), true;
    case TABLE_TURNS: return fill_turns(t, v), true;
    case TABLE_CHIRP: return fill_chirp(t, v), true;
    default: return fill_answer(t, v);
    }
}

static void forget(Tables *all, Table *t)
{
    all->bytes -= (size_t)t->count * sizeof *t->v;
    mem_free(t->v, (size_t)t->count * sizeof *t->v);
    *t = (Table){0};
}

static void tables_free(void *tables)
{
    Tables *all = tables;
    for (Table *t = all->at; t < all->at + TABLES; t++)
        if (t->v) forget(all, t);
    pthread_mutex_destroy(&all->lock);
    mem_free(all, sizeof *all);
}

/* The engine's, which go with it. NULL: no memory. */
static Tables *tables_of(kiln *k)
{
    pthread_mutex_lock(&k->lock);
    if (!k->fft_tables && (k->fft_tables = mem_zeros(1, sizeof(Tables)))) {
        pthread_mutex_init(&((Tables *)k->fft_tables)->lock, NULL);
        k->fft_free = tables_free;
    }
    pthread_mutex_unlock(&k->lock);
    return k->fft_tables;
}

/* A place for a table, and memory below the limit; what was not used for longest goes. Under the lock. */
static Table *place_for(Tables *all, size_t bytes)
{
    for (;;) {
        Table *free = NULL, *oldest = NULL;
        for (Table *t = all->at; t < all->at + TABLES; t++) {
            if (!t->v) free = t;
            if (t->v && (!oldest || t->used < oldest->used)) oldest = t;
        }
        if (free && (all->bytes + bytes <= TABLES_BYTES || !oldest)) return free;
        forget(all, oldest);
    }
}

/* The numbers, under the lock; NULL: no memory. */
static const double *numbers_of(Tables *all, const Table *want)
{
    for (Table *t = all->at; t < all->at + TABLES; t++)
        if (t->v && t->kind == want->kind && t->sign == want->sign && t->n == want->n && t->m == want->m) {
            t->used = ++all->clock;
            return t->v;
        }
    const size_t bytes = (size_t)want->count * sizeof(double);
    double *v = mem_zeros((size_t)want->count, sizeof *v);
    if (v && !fill(want, v)) {
        mem_free(v, bytes);
        v = NULL;
    }
    if (!v) return NULL;
    Table *t = place_for(all, bytes);
    *t = *want;
    t->v = v;
    t->used = ++all->clock;
    all->bytes += bytes;
    return v;
}

kiln_tensor *fft_constant(Thread *t, kiln_site at, const kiln_tensor *x, kiln_shape shape, const double *v, int64_t n)
{
    const uint8_t own = t->device;
    if (!t->trace) t->device = x->device; /* beside x, wherever this thread makes tensors; a trace has a device of its own */
    kiln_tensor *y = kiln_from_doubles_at(at, t->k, (kiln_dtype)x->type.dtype, shape, v, n);
    t->device = own;
    return y;
}

static kiln_tensor *table(
    Thread *t, kiln_site at, const kiln_tensor *x, TableKind kind, int sign, int64_t n, int64_t m, kiln_shape shape)
{
    Table want = {.kind = kind, .sign = sign, .n = n, .m = m, .count = 1};
    for (int i = 1; i <= shape.rank; i++) want.count *= shape.size[i];
    Tables *all = tables_of(t->k);
    if (!all) return fail(t, at, KILN_EMEMORY, "fft: no memory for tables");
    pthread_mutex_lock(&all->lock);
    const double *v = numbers_of(all, &want);
    kiln_tensor *y = v ? fft_constant(t, at, x, shape, v, want.count)
                       : fail(t, at, KILN_EMEMORY, "fft: no memory for a table of %lld numbers", (long long)want.count);
    pthread_mutex_unlock(&all->lock);
    return y;
}

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
    kiln_tensor *by = table(t, at, x, real ? TABLE_REAL : TABLE_MATRIX, sign, n, 0, KILN_SHAPE(real ? n : 2 * n, 2 * n));
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
    x = exchanged(t, at, turned(t, at, x, table(t, at, x, TABLE_TURNS, sign, n, f, KILN_SHAPE(2, r, f, 2))));
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
    kiln_tensor *by = table(t, at, x, TABLE_CHIRP, sign, n, 0, KILN_SHAPE(2, n, 2));
    kiln_tensor *a = kiln_pad_at(at, of(turned(t, at, x, by)), KILN_SHAPE(0, 0, 0), KILN_SHAPE(0, m - n, 0), KILN_OPERAND(0));
    if (!tensor_ok(a)) return a;
    a = fft_lines(t, at, a, -1);
    if (!tensor_ok(a)) return a;
    a = fft_lines(t, at, turned(t, at, a, table(t, at, a, TABLE_ANSWER, sign, n, m, KILN_SHAPE(2, m, 2))), 1);
    return tensor_ok(a) ? turned(t, at, slice_axis(t, at, a, 1, 0, n), by) : a;
}

kiln_tensor *fft_lines(Thread *t, kiln_site at, kiln_tensor *x, int sign)
{
    if (!tensor_ok(x)) return x;
    const int64_t n = x->type.dim[1], f = n <= DIRECT ? 1 : factor_of(n);
    if (n <= DIRECT) return direct(t, at, x, n, sign);
    return f > 1 ? split(t, at, x, n, f, sign) : convolved(t, at, x, n, sign);
}
