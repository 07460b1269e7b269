/* contract: which way a product of matrices goes. Relies on panels.h, ir/tree.h. */
#include "contract.h"

#include "../../ir/scalar.h"
#include "panels.h"

#include <stdatomic.h>

#define NARROWED ((int64_t)1 << 14)      /* elements that one thread rounds at a time */
#define WORTH_PACKING ((int64_t)1 << 29) /* multiplications */

/* ---- what there is ------------------------------------------------------------------------ */

static _Atomic(const ContractTier *) chosen;

const ContractTier *const *contract_tiers(int *count)
{
    static const ContractTier *const all[] = {
#if defined(__x86_64__) || defined(__i386__)
        &contract_avx2,
        &contract_avx512,
        &contract_vnni,
#endif
        &contract_base,
    };
    *count = 1;
#if defined(__x86_64__) || defined(__i386__)
    if (!cpu_has_fma()) return all + 3;
    *count += __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
              __builtin_cpu_supports("avx512dq");
    *count += *count == 2 && __builtin_cpu_supports("avx512vnni");
#endif
    return all;
}

void contract_use_tier(const ContractTier *t)
{
    int n;
    const ContractTier *const *all = contract_tiers(&n);
    atomic_store_explicit(&chosen, t ? t : all[n - 1], memory_order_release);
}

/* Threads that come first at once store the same pointer. */
const ContractTier *contract_tier(void)
{
    const ContractTier *t = atomic_load_explicit(&chosen, memory_order_acquire);
    if (LIKELY(t)) return t;
    contract_use_tier(NULL);
    return atomic_load_explicit(&chosen, memory_order_acquire);
}

const ContractType *contract_type(const HostContract *c)
{
    const ContractTier *tier = contract_tier();
    switch (contract_compute(c)) {
    case DT_f32: return tier->type[IN_F32];
    case DT_f64: return tier->type[IN_F64];
    case DT_i32:
    case DT_u32: return tier->type[c->type == c->to ? IN_I32 : IN_PAIRS];
    default: return tier->type[IN_I64];
    }
}

/* ---- packed products of longer k's ----------------------------------------------------------- */

static void give_back(void *data, void *bytes) { mem_free_aligned(data, (size_t)(uintptr_t)bytes, BUFFER_ALIGN); }

static Buffer *plain_memory(size_t bytes)
{
    void *data = mem_alloc_aligned(bytes, BUFFER_ALIGN);
    Buffer *b = data ? buffer_borrow(data, bytes, give_back, (void *)(uintptr_t)bytes) : NULL;
    if (data && !b) mem_free_aligned(data, bytes, BUFFER_ALIGN);
    return b;
}

Buffer *contract_memory(ThreadPool *threads, size_t bytes, Status *st)
{
    Buffer *b = threads ? buffer_new(threads_memory(threads), bytes) : plain_memory(bytes);
    if (!b) status_fail(st, ST_MEMORY, "matmul: no memory for %zu bytes of packed operands or partial sums", bytes);
    return b;
}

/* For k .. end - 1, the subtrees of runs one after the other (ir/tree.h). */
static bool runs(ThreadPool *threads, const HostContract *c, int64_t batches, int64_t k, int64_t end, void *to, Status *st)
{
    if (end - k <= TREE_RUN) return contract_large(threads, c, batches, k, end, to, st);
    int64_t middle = k + tree_left(tree_blocks(end - k, TREE_RUN)) * TREE_RUN, n = batches * c->m * c->n;
    if (!runs(threads, c, batches, k, middle, to, st)) return false;
    Buffer *other = contract_memory(threads, (size_t)n * dtype_bytes(contract_compute(c)), st);
    bool ok = other && runs(threads, c, batches, middle, end, other->data, st);
    if (ok) contract_type(c)->add(to, n, other->data, 1, n);
    buffer_release(other);
    return ok;
}

/* ---- the door ----------------------------------------------------------------------------- */

/* A matrix times a column, as a row times the transposed matrix: the same products in the same
 * order. */
static HostContract as_row(const HostContract *c)
{
    HostContract t = *c;
    t.m = 1;
    t.n = c->m;
    t.a = c->b;
    t.type = contract_b(c);
    t.b_type = c->type;
    t.a_col = c->b_row;
    t.b = c->a;
    t.b_row = c->a_col;
    t.b_col = c->a_row;
    t.keep = NULL;
    memcpy(t.a_batch, c->b_batch, sizeof t.a_batch);
    memcpy(t.b_batch, c->a_batch, sizeof t.b_batch);
    return t;
}

/* Whether both operands are packed whole: only where each element serves so often that threads may as well fetch it from each
 * other. Measured on two cores of a Sapphire Rapids; elsewhere pieces that pack for themselves are as fast or faster. */
static bool worth_packing(const HostContract *c)
{
    return contract_type(c)->cell && c->m > BLOCK_ROWS && c->n > BLOCK_ROWS && c->k >= TREE_PRODUCT &&
           c->m * c->n >= WORTH_PACKING / c->k;
}

static bool product(ThreadPool *threads, const HostContract *c, int64_t batches, void *to, Status *st)
{
    if (c->keep) c->keep->panels = panels_of(threads, c);
    if (!worth_packing(c)) return contract_small(threads, c, batches, to, st);
    bool ok = runs(threads, c, batches, 0, c->k, to, st);
    if (ok) contract_all_rows(threads, &c->rows, batches * c->m);
    return ok;
}

typedef struct Narrowing {
    int type;
    size_t bytes; /* of an element */
    const float *from;
    char *to;
    int64_t n;
} Narrowing;

static void narrow_some(void *arg, int64_t lo, int64_t hi)
{
    const Narrowing *w = arg;
    int64_t at = lo * NARROWED, n = MIN_OF(hi * NARROWED, w->n) - at;
    contract_tier()->narrow(w->type, w->to + (size_t)at * w->bytes, w->from + at, n);
}

static void some_rows(void *arg, int64_t lo, int64_t hi) { contract_rows(arg, lo, hi); }

void contract_all_rows(ThreadPool *threads, const HostRows *r, int64_t rows)
{
    HostRows all = *r;
    if (!r->fn) return;
    if (threads)
        threads_run(threads, some_rows, &all, rows, MAX_OF(rows / (16 * threads_count(threads)), 1));
    else
        contract_rows(r, 0, rows);
}

void contract_narrow(ThreadPool *threads, int type, void *to, const float *from, int64_t n)
{
    Narrowing w = {type, dtype_bytes((DType)type), from, to, n};
    contract_each(threads, narrow_some, &w, tree_blocks(n, NARROWED));
}

/* All but what is to be done to rows, unless `product` does it. */
static bool multiply(ThreadPool *threads, const HostContract *c, int64_t batches, bool blas, Status *st)
{
    DType type = (DType)c->type, to = (DType)c->to, compute = contract_compute(c);
    int64_t n = batches * c->m * c->n;
    if (n == 0) return true;
    bool f32 = to == DT_f32 && (type == to || dtype_widens(type)) && (contract_b(c) == to || dtype_widens(contract_b(c)));
    if (!f32 && (to == DT_NONE || to != dtype_of_product(type) || contract_b(c) != type))
        return status_fail(st, ST_DTYPE, "matmul: not defined for %s and %s in %s", dtype_info[type].name,
            dtype_info[contract_b(c)].name, dtype_info[to].name);
    if (c->k == 0) {
        memset(c->c, 0, (size_t)n * dtype_bytes(to));
        return true;
    }
    if (blas && type == contract_b(c) && contract_by_blas(type, c->m, c->n, c->k)) return contract_blas(threads, c, batches, st);
    HostContract row;
    if (c->n == 1 && c->m > 1) {
        row = as_row(c);
        c = &row;
    }
    if (compute == to) return product(threads, c, batches, c->c, st);
    Buffer *wide = contract_memory(threads, (size_t)n * dtype_bytes(compute), st);
    bool ok = wide && product(threads, c, batches, wide->data, st);
    if (ok) contract_narrow(threads, (int)to, c->c, wide->data, n);
    buffer_release(wide);
    return ok;
}

bool contract_run(ThreadPool *threads, const HostContract *c, bool blas, Status *st)
{
    int64_t batches = 1;
    for (int i = 0; i < c->nbatch; i++) batches *= c->batch[i];
    bool own = !blas || (DType)c->type != contract_b(c) || !contract_by_blas((DType)c->type, c->m, c->n, c->k);
    bool along = own && c->n > 1 && c->k > 0 && (DType)c->to == contract_compute(c); /* `product` sees these very rows */
    if (!c->rows.fn || along) return multiply(threads, c, batches, blas, st);
    HostContract alone = *c;
    alone.rows.fn = NULL;
    bool ok = multiply(threads, &alone, batches, blas, st);
    if (ok) contract_all_rows(threads, &c->rows, batches * c->m);
    return ok;
}
