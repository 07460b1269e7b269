/* contract_blas: large products by OpenBLAS, where an engine was opened with that option: the one file that knows CBLAS. Opens the
 * shared library at the first such product (openblas.c). Each call is single-threaded and computes one cell of a grid that depends
 * on the extents alone: OpenBLAS promises the same bits for the same call, not for another one. Relies on contract_parts, threads.
 */
#include "contract_parts.h"

#include <pthread.h>
#include <stdatomic.h>

enum { ROW_MAJOR = 101, PLAIN = 111, TRANSPOSED = 112 }; /* CBLAS's */
typedef void Sgemm(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda, const float *b, int ldb,
    float beta, float *c, int ldc);
typedef void Dgemm(int order, int ta, int tb, int m, int n, int k, double alpha, const double *a, int lda, const double *b, int ldb,
    double beta, double *c, int ldc);

static struct {
    Sgemm *sgemm;
    Dgemm *dgemm;
    char why[256]; /* it is not there */
} blas;
static atomic_bool opened;

static void find_products(void)
{
    const bool both = openblas_find("cblas_sgemm", &blas.sgemm, blas.why, sizeof blas.why) &&
                      openblas_find("cblas_dgemm", &blas.dgemm, blas.why, sizeof blas.why);
    atomic_store(&opened, both);
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

/* Whether the BLAS takes a matrix of these strides as it lies: one of them must be 1. */
static bool blas_takes(int64_t rows, int64_t columns, int64_t row, int64_t column)
{
    return (column == 1 && row >= columns && row <= INT32_MAX) || (row == 1 && column >= rows && column <= INT32_MAX);
}

/* to[rows][columns], contiguous. */
static char *copy_matrix(size_t size, char *to, const char *from, int64_t rows, int64_t row, int64_t columns, int64_t column)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++, to += size)
            if (size == 8)
                memcpy(to, from + (i * row + j * column) * 8, 8);
            else
                memcpy(to, from + (i * row + j * column) * 4, 4);
    return to;
}

/* Makes an operand that OpenBLAS does not take as it lies a contiguous copy of itself, in *memory; where it repeats along axes of
 * the batch, with stride 0, once. False: ST_MEMORY. */
static bool settle(ThreadPool *threads, const HostContract *c, const void **data, int64_t *batch, int64_t rows, int64_t *row,
    int64_t columns, int64_t *column, Buffer **memory, Status *st)
{
    const size_t size = dtype_bytes((DType)c->type);
    int64_t n = 1, apart = rows * columns;
    if (blas_takes(rows, columns, *row, *column)) return true;
    for (int i = 0; i < c->nbatch; i++) n *= batch[i] == 0 ? 1 : c->batch[i];
    *memory = contract_memory(threads, (size_t)(n * apart) * size, st);
    if (!*memory) return false;
    char *to = (*memory)->data;
    for (int64_t b = 0; b < n; b++) {
        int64_t from = 0, rest = b;
        for (int i = c->nbatch; i-- > 0; rest /= batch[i] == 0 ? 1 : c->batch[i]) from += rest % c->batch[i] * batch[i];
        to = copy_matrix(size, to, (const char *)*data + from * (int64_t)size, rows, *row, columns, *column);
    }
    for (int i = c->nbatch; i-- > 0;)
        if (batch[i] != 0) batch[i] = apart, apart *= c->batch[i];
    *data = (*memory)->data;
    *row = columns;
    *column = 1;
    return true;
}

/* Whether operands lie as OpenBLAS takes them must not choose the order of the sums. */
bool contract_blas(ThreadPool *threads, const HostContract *c, int64_t batches, Status *st)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, find_products);
    if (!opened)
        return status_fail(st, ST_UNSUPPORTED,
            "matmul: this engine was opened with .blas, but OpenBLAS is not there: %s; open it without .blas for Kiln's own "
            "products",
            blas.why);
    HostContract d = *c;
    Buffer *a = NULL, *b = NULL;
    bool ok = settle(threads, c, &d.a, d.a_batch, c->m, &d.a_row, c->k, &d.a_col, &a, st) &&
              settle(threads, c, &d.b, d.b_batch, c->k, &d.b_row, c->n, &d.b_col, &b, st);
    if (ok) {
        Grid g = grid_of(&d, batches);
        contract_each(threads, run_cells, &g, batches * g.cells);
    }
    buffer_release(a);
    buffer_release(b);
    return ok;
}
