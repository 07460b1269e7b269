/* host: the small table through which compiled code reaches what it cannot contain. The JIT's caller fills it; ahead-of-time code,
 * which has one thread and emits all of its products, gets NULL. Frozen layout: append only. Relies on nothing; ahead-of-time
 * headers restate it. */
#ifndef KILN_CODEGEN_HOST_H
#define KILN_CODEGEN_HOST_H

#include <stdint.h>

typedef void KernelFn(void *const *buf, const int64_t *dim, int64_t lo, int64_t hi);

/* Rows times columns times inner size of a product: up to here compiled code emits it, with the bits that `contract` gives. */
#define SMALL_PRODUCT ((int64_t)1 << 21)

/* One (batched) contraction; strides in elements. */
typedef struct HostContract {
    int32_t type; /* DType of a and b: a float, an integer of 32 or 64 bits; or i8, u8, i16 */
    int32_t nbatch;
    int64_t batch[8], m, n, k;
    const void *a, *b;
    void *c; /* contiguous [batch..., m, n] */
    int64_t a_batch[8], a_row, a_col, b_batch[8], b_row, b_col;
    int32_t to; /* DType of c: i32 for i8, u8, i16, else `type` */
} HostContract;

typedef struct KilnHost {
    void *ctx;
    /* fn over [0, n) in chunks of grain, on as many threads as there are. */
    void (*run)(const struct KilnHost *h, KernelFn *fn, void *const *buf, const int64_t *dim, int64_t n, int64_t grain);
    /* The one product of matrices that eager and compiled code share (contract.h). 0, or a StatusCode. */
    int32_t (*contract)(const struct KilnHost *h, const HostContract *c);
    /* Stack `number` of the running call, as at least `bytes` bytes: what lies there stays, *capacity says how much there is now.
     * NULL: no memory. host_stack.h has the one that everybody uses. */
    void *(*stack)(const struct KilnHost *h, int64_t number, int64_t bytes, int64_t *capacity);
    struct HostStack *stacks; /* of the running call: one per stack of its program */
    /* What effect `number` does: shows, reports an assertion that failed, or calls the program, on the calling thread. buf: nin
     * operands, then nout results to fill, row-major; type: per buffer its DType, its rank, its sizes, one after the other. 0, or a
     * StatusCode that ends the call. */
    int32_t (*effect)(const struct KilnHost *h, int64_t number, int64_t nin, int64_t nout, void *const *buf, const int64_t *type);
} KilnHost;

typedef int32_t EntryFn(void *const *buf, const int64_t *dim, void *work, const KilnHost *host);
typedef void SizesFn(const int64_t *dim, int64_t *out); /* see program.h */

#endif
