/* contract_blas: large products by OpenBLAS, where an engine was opened with that option: the one file that knows a BLAS. Opens the
 * shared library at the first such product. Each call is single-threaded and computes one cell of a grid that depends on the
 * extents alone: OpenBLAS promises the same bits for the same call, not for another one. Relies on contract_parts, threads, dlopen.
 */
#include "contract_parts.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

enum { ROW_MAJOR = 101, PLAIN = 111, TRANSPOSED = 112 }; /* CBLAS's */
typedef void Sgemm(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda, const float *b, int ldb,
    float beta, float *c, int ldc);
typedef void Dgemm(int order, int ta, int tb, int m, int n, int k, double alpha, const double *a, int lda, const double *b, int ldb,
    double beta, double *c, int ldc);

static struct {
    Sgemm *sgemm;
    Dgemm *dgemm;
    void (*set_threads)(int);
    char why[256]; /* it is not there */
} blas;
static atomic_bool opened;

static void find(void *library, const char *name, void *to)
{
    void *symbol = dlsym(library, name);
    memcpy(to, &symbol, sizeof symbol);
}

static void open_blas(void)
{
    void *library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        const char *text = dlerror();
        snprintf(blas.why, sizeof blas.why, "%s", text ? text : "libopenblas.so.0 does not open");
        return;
    }
    find(library, "cblas_sgemm", &blas.sgemm);
    find(library, "cblas_dgemm", &blas.dgemm);
    find(library, "openblas_set_num_threads", &blas.set_threads);
    if (blas.sgemm && blas.dgemm && blas.set_threads) {
        blas.set_threads(1);
        atomic_store(&opened, true);
    } else {
        snprintf(blas.why, sizeof blas.why, "libopenblas.so.0 lacks cblas_sgemm, cblas_dgemm or openblas_set_num_threads");
    }
}

bool contract_by_blas(DType type, int64_t m, int64_t n, int64_t k)
{
    if ((type != DT_f32 && type != DT_f64) || m > INT32_MAX || n > INT32_MAX || k > INT32_MAX) return false;
    return m >= 96 && n >= 96 && k >= 96 && m * n > SMALL_PRODUCT / k;
}

bool contract_blas_opened(void) { return atomic_load(&opened); }

/* ---- cells of the grid ------------------------------------------------------------------------ */

typedef struct Grid {
    const HostContract *c;
    int64_t row_step, column_step, across, cells; /* of one batch */
} Grid;

/* Each slice packs one operand anew, which costs 2 to 5 % with slices of 256 rows, and a power of two of them suits most counts of
 * cores. */
static Grid grid_of(const HostContract *c, int64_t batches)
{
    Grid g = {.c = c, .row_step = c->m, .column_step = c->n};
    if (batches < 8) {
        int64_t *step = c->m >= c->n ? &g.row_step : &g.column_step, slices = *step >= 320 ? 2 : 1;
        while (slices * 512 <= *step) slices *= 2;
        *step = (tree_blocks(*step, slices) + 15) / 16 * 16;
    }
    g.across = tree_blocks(c->n, g.column_step);
    g.cells = tree_blocks(c->m, g.row_step) * g.across;
    return g;
}

static void run_cells(void *arg, int64_t lo, int64_t hi)
{
    const Grid *g = arg;
    const HostContract *c = g->c;
    size_t size = dtype_bytes((DType)c->type);
    bool ta = c->a_col != 1, tb = c->b_col != 1;
    int a_order = ta ? TRANSPOSED : PLAIN, b_order = tb ? TRANSPOSED : PLAIN;
    int lda = (int)(ta ? c->a_col : c->a_row), ldb = (int)(tb ? c->b_col : c->b_row), ldc = (int)c->n, k = (int)c->k;
    for (; lo < hi; lo++) {
        int64_t batch = lo / g->cells, row = lo % g->cells / g->across * g->row_step, column = lo % g->across * g->column_step, x,
                y;
        int m = (int)MIN_OF(c->m - row, g->row_step), n = (int)MIN_OF(c->n - column, g->column_step);
        batch_offsets(c, batch, &x, &y);
        const void *a = (const char *)c->a + (x + row * c->a_row) * (int64_t)size;
        const void *b = (const char *)c->b + (y + column * c->b_col) * (int64_t)size;
        void *to = (char *)c->c + (size_t)((batch * c->m + row) * c->n + column) * size;
        if (c->type == DT_f32)
            blas.sgemm(ROW_MAJOR, a_order, b_order, m, n, k, 1, a, lda, b, ldb, 0, to, ldc);
        else
            blas.dgemm(ROW_MAJOR, a_order, b_order, m, n, k, 1, a, lda, b, ldb, 0, to, ldc);
    }
}

/* ---- operands that must be copied first --------------------------------------------------- */

/* to[batch...][rows][columns], contiguous, of the same type. */
static void copy_operand(const HostContract *c, const void *data, const int64_t *batch_stride, int64_t batches,
    const int64_t *extent, const int64_t *stride, void *to)
{
    DType t = (DType)c->type;
    for (int64_t b = 0, n = 0; b < batches; b++) {
        int64_t from = 0, rest = b;
        for (int i = c->nbatch; i-- > 0; rest /= c->batch[i]) from += rest % c->batch[i] * batch_stride[i];
        for (int64_t i = 0; i < extent[0]; i++, n += extent[1], from += stride[0])
            if (t == DT_f64)
                for (int64_t k = 0; k < extent[1]; k++) ((double *)to)[n + k] = ((const double *)data)[from + k * stride[1]];
            else
                for (int64_t k = 0; k < extent[1]; k++) ((float *)to)[n + k] = ((const float *)data)[from + k * stride[1]];
    }
}

static void contiguous_batch(const HostContract *c, int64_t *stride, int64_t elements)
{
    for (int i = c->nbatch; i-- > 0; elements *= c->batch[i]) stride[i] = elements;
}

static void copy_a(HostContract *c, int64_t batches, void *to)
{
    copy_operand(c, c->a, c->a_batch, batches, (const int64_t[]){c->m, c->k}, (const int64_t[]){c->a_row, c->a_col}, to);
    contiguous_batch(c, c->a_batch, c->m * c->k);
    c->a = to;
    c->a_row = c->k;
    c->a_col = 1;
}

static void copy_b(HostContract *c, int64_t batches, void *to)
{
    copy_operand(c, c->b, c->b_batch, batches, (const int64_t[]){c->k, c->n}, (const int64_t[]){c->b_row, c->b_col}, to);
    contiguous_batch(c, c->b_batch, c->k * c->n);
    c->b = to;
    c->b_row = c->n;
    c->b_col = 1;
}

/* Whether the BLAS takes a matrix of these strides as it lies: one of them must be 1. */
static bool blas_takes(int64_t rows, int64_t columns, int64_t row, int64_t column)
{
    return (column == 1 && row >= columns && row <= INT32_MAX) || (row == 1 && column >= rows && column <= INT32_MAX);
}

/* Copies operands that OpenBLAS does not take as they lie; whether it does must not choose the order of the sums. */
bool contract_blas(ThreadPool *threads, const HostContract *c, int64_t batches, Status *st)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, open_blas);
    if (!opened)
        return status_fail(st, ST_UNSUPPORTED,
            "matmul: this engine was opened with .blas, but OpenBLAS is not there: %s; open it without .blas for Kiln's own "
            "products",
            blas.why);
    HostContract d = *c;
    size_t size = dtype_bytes((DType)c->type);
    bool keep_a = blas_takes(c->m, c->k, c->a_row, c->a_col), keep_b = blas_takes(c->k, c->n, c->b_row, c->b_col);
    Buffer *a = keep_a ? NULL : contract_memory(threads, (size_t)(batches * c->m * c->k) * size, st);
    Buffer *b = keep_b ? NULL : contract_memory(threads, (size_t)(batches * c->k * c->n) * size, st);
    bool ok = (keep_a || a) && (keep_b || b);
    if (ok) {
        if (a) copy_a(&d, batches, a->data);
        if (b) copy_b(&d, batches, b->data);
        Grid g = grid_of(&d, batches);
        contract_each(threads, run_cells, &g, batches * g.cells);
    }
    buffer_release(a);
    buffer_release(b);
    return ok;
}
