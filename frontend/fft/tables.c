/* tables: what transforms multiply with, computed in doubles and kept with the engine, up to some memory. Relies on fft.h. */
#include "fft.h"

#include <math.h>
#include <pthread.h>

static const double pi = 3.14159265358979323846;

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

static void fill_steps(const Table *t, double *v)
{
    const int64_t rows = t->n / t->m;
    for (int64_t k = 1; k < t->m; k++)
        for (int64_t j = 0; j < rows; j++)
            root(t->sign, j * k, t->n, v + (k - 1) * 2 * rows + j, v + (k - 1) * 2 * rows + rows + j);
}

static bool fill(const Table *t, double *v)
{
    switch (t->kind) {
    case TABLE_MATRIX:
    case TABLE_REAL: return fill_matrix(t, v), true;
    case TABLE_TURNS: return fill_turns(t, v), true;
    case TABLE_CHIRP: return fill_chirp(t, v), true;
    case TABLE_ANSWER: return fill_answer(t, v);
    default: return fill_steps(t, v), true;
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

kiln_tensor *fft_table(
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
