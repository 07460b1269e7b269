/* contract_parts: the ways in which a product of matrices is computed, as contract.c chooses between them, and what they need to
 * know. All compute all batches [m][n] of c into `to`, contiguous, of the compute type. */
#ifndef KILN_CODEGEN_CONTRACT_PARTS_H
#define KILN_CODEGEN_CONTRACT_PARTS_H

#include "../../runtime/dtype.h"
#include "contract.h"
#include "contract_tier.h"

const ContractTier *contract_tier(void); /* of this CPU */
/* For tests: the tiers of this CPU, the best last, which give the same bits; and which to use from now on (NULL: the best). */
const ContractTier *const *contract_tiers(int *count);
void contract_use_tier(const ContractTier *t);

/* The type that elements are multiplied and added in, and how this CPU does that. */
static inline DType contract_compute(const HostContract *c) { return (DType)dtype_info[c->to].compute; }
static inline DType contract_b(const HostContract *c) { return (DType)(c->b_type ? c->b_type : c->type); }
static inline Kind contract_kind(const HostContract *c, DType t) /* of an operand of type t */
{
    return (Kind){t != contract_compute(c) ? (int)t : 0, (int)dtype_bytes(t)};
}
const ContractType *contract_type(const HostContract *c);

/* In pieces, each of which one thread packs for itself if at all; all of k. False: ST_MEMORY. */
bool contract_small(ThreadPool *threads, const HostContract *c, int64_t batches, void *to, Status *st);
/* k .. end - 1 of one run. False: ST_MEMORY. */
bool contract_large(ThreadPool *threads, const HostContract *c, int64_t batches, int64_t k, int64_t end, void *to, Status *st);

/* By OpenBLAS, in its own order of sums, where contract_by_blas; `to` is c's own memory. False: ST_MEMORY, or ST_UNSUPPORTED if
 * there is no OpenBLAS. */
bool contract_blas(ThreadPool *threads, const HostContract *c, int64_t batches, Status *st);

/* What pieces cost a processor when work is cut into them: */
#define MOVED 24    /* multiplications that take as long as reading an element of another cache */
#define SCARCE 1.25 /* and if there are so few pieces that a thread that is late holds up all, the whole so much more */

/* factor_run of lu, triangular and cholesky. */
bool factor_own(ThreadPool *threads, const HostFactor *f, Status *st);

/* Function `name` of OpenBLAS, which is opened at first use, into the pointer `to`. False: it is not there; why says what was
 * looked for. */
bool openblas_find(const char *name, void *to, char *why, size_t cap);

/* Rows too few for a b to be worth packing: one row, narrow operands, rows of b far apart, or columns that lie apart. */
static inline bool is_few(const HostContract *c)
{
    const DType compute = contract_compute(c);
    if (c->m > FEW_ROWS || (c->b_col != 1 && c->b_row != 1 && c->n > 1)) return false;
    if (c->m == 1 || (DType)c->type != compute || contract_b(c) != compute) return true;
    if (c->b_col == 1) return c->b_row * (int64_t)dtype_bytes(compute) > FAR_ROW;
    return c->m <= FEW_TURNED && c->k * c->n >= FAR_CELLS;
}

/* Does to rows first .. end - 1 what is to be done to them; for all rows, by all threads. */
static inline void contract_rows(const HostRows *r, int64_t first, int64_t end)
{
    if (r->fn) r->fn(r->buf, r->dim, first * r->each, end * r->each, 0, r->columns);
}
/* The same, for n columns from `column` on, where r->columns allows it. */
static inline void contract_columns(const HostRows *r, int64_t first, int64_t end, int64_t column, int64_t n)
{
    if (r->each == 1 || n == r->columns)
        r->fn(r->buf, r->dim, first * r->each, end * r->each, column, column + n);
    else
        for (; first < end; first++) r->fn(r->buf, r->dim, first * r->each + column, first * r->each + column + n, 0, 0);
}
void contract_all_rows(ThreadPool *threads, const HostRows *r, int64_t rows);
/* Rounds f32 to that narrow type. */
void contract_narrow(ThreadPool *threads, int type, void *to, const float *from, int64_t n);
/* Whether a thread had better take pieces of the same columns of b one after the other, b being so much larger than a and c: each
 * thread then reads only some of b. Else it takes those of the same rows, which it often made itself, and finds in its cache. */
static inline bool contract_by_strips(int64_t a, int64_t b, int64_t c) { return b / 6 > a + c; }
/* Memory for a while: of the threads' pool, if there are threads. NULL: ST_MEMORY. */
Buffer *contract_memory(ThreadPool *threads, size_t bytes, Status *st);

static inline void contract_each(ThreadPool *threads, ChunkFn fn, void *arg, int64_t n)
{
    if (threads)
        threads_run(threads, fn, arg, n, 1);
    else
        fn(arg, 0, n);
}

/* Where the operands of batch number `batch` begin. */
static inline void batch_offsets(const HostContract *c, int64_t batch, int64_t *a, int64_t *b)
{
    *a = *b = 0;
    for (int i = c->nbatch; i-- > 0; batch /= c->batch[i]) {
        *a += batch % c->batch[i] * c->a_batch[i];
        *b += batch % c->batch[i] * c->b_batch[i];
    }
}

#endif
