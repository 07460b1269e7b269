/* contract: which way a matrix product goes, in what pieces, on which threads. Relies on
 * contract_tier.h, threads, blas, ir/tree.h.  The plain kernel's bits do not depend on the pieces, so
 * these may suit the threads at hand. OpenBLAS is bit-stable only for the same call, so its pieces depend
 * on the extents alone. */
#include "contract.h"

#include "../../ir/scalar.h"
#include "blas.h"
#include "contract_tier.h"

#include <stdatomic.h>

/* Multiplications: below the first, threads do not pay; the second is what one takes at a time,
 * some 10 us. */
#define WORTH_THREADS ((int64_t)1 << 20)
#define PIECE ((int64_t)1 << 19)
#define LONG_COLUMNS 512              /* of a piece whose runs need memory for their totals */
#define PART_CELLS ((int64_t)1 << 19) /* of all parts, where threads share k */

/* ---- what there is ------------------------------------------------------------------------ */

static const ContractTier *find_tier(void)
{
#if defined(__x86_64__) || defined(__i386__)
    if (!cpu_has_fma()) return &contract_base;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq"))
        return &contract_avx512;
    return &contract_avx2;
#else
    return &contract_base;
#endif
}

/* Threads that come first at once store the same pointer. */
static const ContractTier *tier(void)
{
    static _Atomic(const ContractTier *) found;
    const ContractTier *t = atomic_load_explicit(&found, memory_order_acquire);
    if (UNLIKELY(!t)) {
        t = find_tier();
        atomic_store_explicit(&found, t, memory_order_release);
    }
    return t;
}

/* Measured on one core of a Zen 3: the plain kernel leads up to here, 12 % behind at 1024. */
bool contract_uses_blas(int type, int64_t m, int64_t n, int64_t k)
{
    (void)type;
    return m >= 96 && n >= 96 && k >= 96 && m * n / 256 * k > 1 << 17 && !blas_refused();
}

/* ---- pieces ------------------------------------------------------------------------------- */

typedef struct Job {
    const HostContract *c;
    bool blas;
    int64_t batches, row_step, column_step; /* a piece: rows and columns of c */
    int64_t row_pieces, column_pieces;
    int64_t parts, part;     /* of k: how many, and how long each but the last is */
    void *to;                /* parts of c, one after the other */
    _Atomic(size_t) refused; /* bytes that were not there; 0: all were */
} Job;

static size_t element_bytes(const HostContract *c) { return dtype_bytes((DType)c->type); }

static Block piece(const Job *j, int64_t number)
{
    const HostContract *c = j->c;
    int64_t column = number % j->column_pieces * j->column_step, bytes = (int64_t)element_bytes(c);
    number /= j->column_pieces;
    int64_t row = number % j->row_pieces * j->row_step, batch = number / j->row_pieces;
    int64_t to = (batch * c->m + row) * c->n + column, k = batch / j->batches * j->part;
    int64_t a = row * c->a_row + k * c->a_col, b = column * c->b_col + k * c->b_row;
    batch %= j->batches;
    for (int i = c->nbatch; i-- > 0; batch /= c->batch[i]) {
        a += batch % c->batch[i] * c->a_batch[i];
        b += batch % c->batch[i] * c->b_batch[i];
    }
    return (Block){.a = (const char *)c->a + a * bytes,
        .b = (const char *)c->b + b * bytes,
        .c = (char *)j->to + to * bytes,
        .m = MIN_OF(c->m - row, j->row_step),
        .n = MIN_OF(c->n - column, j->column_step),
        .k = MIN_OF(c->k - k, j->part),
        .a_row = c->a_row,
        .a_col = c->a_col,
        .b_row = c->b_row,
        .b_col = c->b_col,
        .c_row = c->n};
}

/* c[m][n] += x[m][n], rows c_row and n apart. */
static void add_block(DType t, void *c, int64_t c_row, const void *x, int64_t m, int64_t n)
{
    for (int64_t i = 0; i < m; i++)
        if (t == DT_f32)
            for (int64_t j = 0; j < n; j++) ((float *)c)[i * c_row + j] += ((const float *)x)[i * n + j];
        else
            for (int64_t j = 0; j < n; j++) ((double *)c)[i * c_row + j] += ((const double *)x)[i * n + j];
}

/* A block of the plain kernel; of several runs of k the subtrees one after the other (ir/tree.h).
 * 0, or the bytes that were not there. */
static size_t plain_block(DType type, const Block *g)
{
    const ContractTier *t = tier();
    bool single = type == DT_f32;
    if (g->k <= TREE_RUN) {
        (g->m == 1 ? single ? t->vector_f32 : t->vector_f64 : single ? t->block_f32 : t->block_f64)(g);
        return 0;
    }
    Block left = *g, right = *g;
    size_t size = dtype_bytes(type), bytes = (size_t)(g->m * g->n) * size;
    left.k = tree_left(tree_blocks(g->k, TREE_RUN)) * TREE_RUN;
    right.k -= left.k;
    right.a = (const char *)g->a + left.k * g->a_col * (int64_t)size;
    right.b = (const char *)g->b + left.k * g->b_row * (int64_t)size;
    right.c_row = g->n;
    size_t refused = plain_block(type, &left);
    if (refused != 0) return refused;
    right.c = mem_alloc_aligned(bytes, 64);
    if (!right.c) return bytes;
    refused = plain_block(type, &right);
    if (refused == 0) add_block(type, g->c, g->c_row, right.c, g->m, g->n);
    mem_free_aligned(right.c, bytes, 64);
    return refused;
}

static void run_pieces(void *arg, int64_t lo, int64_t hi)
{
    Job *j = arg;
    for (; lo < hi; lo++) {
        Block g = piece(j, lo);
        size_t refused = 0;
        if (j->blas)
            blas_block(j->c->type, &g);
        else
            refused = plain_block((DType)j->c->type, &g);
        if (refused != 0) j->refused = refused;
    }
}

static int64_t pieces(int64_t extent, int64_t step) { return (extent + step - 1) / step; }

/* For the plain kernel: blocks of rows; where these are too few for the threads, smaller ones, of
 * fewer columns. */
static void cut(Job *j, int threads)
{
    const HostContract *c = j->c;
    j->row_step = MIN_OF(c->m, BLOCK_ROWS);
    j->column_step = c->k > TREE_RUN ? MIN_OF(c->n, LONG_COLUMNS) : c->n;
    if (threads == 1 || j->batches * pieces(c->m, j->row_step) >= 2 * threads) return;
    j->row_step = MIN_OF(c->m, BLOCK_ROWS / 2);
    int64_t columns = PIECE / (j->row_step * c->k);
    j->column_step = MIN_OF(c->n, (columns / 64 + 1) * 64);
}

/* A long k of few rows and columns is cut into whole subtrees of runs. */
static void cut_k(Job *j, int threads)
{
    const HostContract *c = j->c;
    int64_t runs = tree_blocks(c->k, TREE_RUN), cells = j->batches * c->m * c->n, each = 1;
    int64_t most = MIN_OF(PART_CELLS / MAX_OF(cells, 1), 4 * (int64_t)threads);
    if (most < 2 || j->batches * j->row_pieces * j->column_pieces >= 2 * threads) return;
    while (tree_blocks(runs, each) > most) each *= 2;
    if (each >= runs) return;
    j->part = each * TREE_RUN;
    j->parts = tree_blocks(runs, each);
}

static void join_parts(const Job *j, int64_t first, int64_t n)
{
    int64_t cells = j->batches * j->c->m * j->c->n, left = n > 1 ? tree_left(n) : 0;
    if (n == 1) return;
    join_parts(j, first, left);
    join_parts(j, first + left, n - left);
    char *to = (char *)j->to + (size_t)(first * cells) * element_bytes(j->c);
    add_block((DType)j->c->type, to, cells, to + (size_t)(left * cells) * element_bytes(j->c), 1, cells);
}

/* For the BLAS: by extents alone. Each slice packs one operand anew, which costs 2 to 5 % with
 * slices of 256 rows, and a power of two of them suits most counts of cores. */
static void cut_for_blas(Job *j)
{
    const HostContract *c = j->c;
    j->row_step = c->m;
    j->column_step = c->n;
    if (j->batches >= 8) return;
    int64_t *step = c->m >= c->n ? &j->row_step : &j->column_step, slices = *step >= 320 ? 2 : 1;
    while (slices * 512 <= *step) slices *= 2;
    *step = (pieces(*step, slices) + 15) / 16 * 16;
}

static bool run_job(ThreadPool *threads, Job *j)
{
    int64_t n = j->parts * j->batches * j->row_pieces * j->column_pieces, work = j->row_step * j->column_step * j->part;
    if (threads)
        threads_run(threads, run_pieces, j, n, MAX_OF(PIECE / work, 1));
    else
        run_pieces(j, 0, n);
    if (!j->refused) join_parts(j, 0, j->parts);
    return !j->refused;
}

static bool run(ThreadPool *threads, const HostContract *c, bool blas, int64_t batches, Status *st)
{
    Job j = {.c = c, .blas = blas, .batches = batches, .parts = 1, .part = c->k, .to = c->c};
    bool together = threads && batches * c->m * c->n >= WORTH_THREADS / c->k;
    if (blas)
        cut_for_blas(&j);
    else
        cut(&j, together ? threads_count(threads) : 1);
    j.row_pieces = pieces(c->m, j.row_step);
    j.column_pieces = pieces(c->n, j.column_step);
    if (!blas && together) cut_k(&j, threads_count(threads));
    size_t one = (size_t)(batches * c->m * c->n) * element_bytes(c), bytes = 0;
    if (j.parts > 1) {
        bytes = (size_t)j.parts * one;
        j.to = mem_alloc_aligned(bytes, 64);
    }
    bool ok = j.to && run_job(together ? threads : NULL, &j);
    if (ok && j.parts > 1) memcpy(c->c, j.to, one);
    if (bytes > 0 && j.to) mem_free_aligned(j.to, bytes, 64);
    return ok || status_fail(st, ST_MEMORY, "matmul: no memory for %zu bytes of partial sums", j.to ? j.refused : bytes);
}

/* ---- operands that must be copied first --------------------------------------------------- */

/* to[batch...][rows][columns], contiguous, f64 from f64 and f32 from the others. */
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
            else if (t == DT_f32)
                for (int64_t k = 0; k < extent[1]; k++) ((float *)to)[n + k] = ((const float *)data)[from + k * stride[1]];
            else
                dtype_widen(t, (float *)to + n, (const char *)data + from * (int64_t)dtype_bytes(t), stride[1], extent[1]);
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

static void *buffer(int64_t elements, size_t bytes, size_t *size, Status *st)
{
    *size = (size_t)MAX_OF(elements, 1) * bytes;
    void *p = mem_alloc_aligned(*size, 64);
    if (!p) status_fail(st, ST_MEMORY, "matmul: no memory for %zu bytes", *size);
    return p;
}

/* Whether the BLAS takes a matrix of these strides as it lies: one of them must be 1. */
static bool blas_takes(int64_t rows, int64_t columns, int64_t row, int64_t column)
{
    return (column == 1 && row >= columns && row <= INT32_MAX) || (row == 1 && column >= rows && column <= INT32_MAX);
}

static bool run_on_blas(ThreadPool *threads, const HostContract *c, int64_t batches, Status *st)
{
    HostContract d = *c;
    size_t bytes = element_bytes(c), a_bytes = 0, b_bytes = 0;
    void *a = NULL, *b = NULL;
    bool keep_a = blas_takes(c->m, c->k, c->a_row, c->a_col), keep_b = blas_takes(c->k, c->n, c->b_row, c->b_col);
    if (!keep_a) a = buffer(batches * c->m * c->k, bytes, &a_bytes, st);
    if (!keep_b) b = buffer(batches * c->k * c->n, bytes, &b_bytes, st);
    bool ok = (keep_a || a) && (keep_b || b);
    if (ok) {
        if (!keep_a) copy_a(&d, batches, a);
        if (!keep_b) copy_b(&d, batches, b);
        ok = run(threads, &d, true, batches, st);
    }
    if (a) mem_free_aligned(a, a_bytes, 64);
    if (b) mem_free_aligned(b, b_bytes, 64);
    return ok;
}

/* ---- the door ----------------------------------------------------------------------------- */

/* Narrow floats: through f32, rounded once at the end. */
static bool run_widened(ThreadPool *threads, const HostContract *c, bool blas, int64_t batches, Status *st)
{
    HostContract d = *c;
    size_t a_bytes, b_bytes, c_bytes;
    int64_t n = batches * c->m * c->n;
    void *a = buffer(batches * c->m * c->k, sizeof(float), &a_bytes, st);
    void *b = buffer(batches * c->k * c->n, sizeof(float), &b_bytes, st);
    float *to = buffer(n, sizeof(float), &c_bytes, st);
    bool ok = a && b && to;
    if (ok) {
        copy_a(&d, batches, a);
        copy_b(&d, batches, b);
        d.type = DT_f32;
        d.c = to;
        ok = contract_run(threads, &d, blas, st);
        if (ok) dtype_narrow((DType)c->type, c->c, to, n);
    }
    if (a) mem_free_aligned(a, a_bytes, 64);
    if (b) mem_free_aligned(b, b_bytes, 64);
    if (to) mem_free_aligned(to, c_bytes, 64);
    return ok;
}

/* A matrix times a column, as a row times the transposed matrix: the same products in the same
 * order. */
static HostContract as_row(const HostContract *c)
{
    HostContract t = *c;
    t.m = 1;
    t.n = c->m;
    t.a = c->b;
    t.a_col = c->b_row;
    t.b = c->a;
    t.b_row = c->a_col;
    t.b_col = c->a_row;
    memcpy(t.a_batch, c->b_batch, sizeof t.a_batch);
    memcpy(t.b_batch, c->a_batch, sizeof t.b_batch);
    return t;
}

bool contract_run(ThreadPool *threads, const HostContract *c, bool blas, Status *st)
{
    int64_t batches = 1;
    for (int i = 0; i < c->nbatch; i++) batches *= c->batch[i];
    if (batches * c->m * c->n == 0) return true;
    if (!dtype_is_float((DType)c->type)) return status_fail(st, ST_DTYPE, "matmul: not defined for %s", dtype_info[c->type].name);
    if (c->k == 0) {
        memset(c->c, 0, (size_t)(batches * c->m * c->n) * element_bytes(c));
        return true;
    }
    if (dtype_info[c->type].compute != c->type) return run_widened(threads, c, blas, batches, st);
    if (blas && contract_uses_blas(c->type, c->m, c->n, c->k)) return run_on_blas(threads, c, batches, st);
    HostContract row;
    if (c->n == 1 && c->m > 1) {
        row = as_row(c);
        c = &row;
    }
    return run(threads, c, false, batches, st);
}
