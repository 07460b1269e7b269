/* host: the small table through which compiled code reaches what it cannot contain. The JIT's caller fills it; ahead-of-time code,
 * which has one thread and emits all of its products, gets NULL. Frozen layout: append only. Relies on nothing; ahead-of-time
 * headers restate it. */
#ifndef KILN_CODEGEN_HOST_H
#define KILN_CODEGEN_HOST_H

#include <stdint.h>

typedef void KernelFn(void *const *buf, const int64_t *dim, int64_t lo, int64_t hi);

/* Rows times columns times inner size of a product: up to here compiled code emits it, with the bits that `contract` gives. */
#define SMALL_PRODUCT ((int64_t)1 << 21)

/* As a KernelFn, of these columns of each row alone. */
typedef void RowsFn(void *const *buf, const int64_t *dim, int64_t lo, int64_t hi, int64_t from, int64_t end);

/* What is done to rows of a result as soon as they are there, on the thread that made them: row i is [i * each, (i + 1) * each) to
 * fn. */
typedef struct HostRows {
    RowsFn *fn; /* NULL: nothing */
    void *const *buf;
    const int64_t *dim;
    int64_t each;    /* 1: rows; or as many as a row has columns: elements, and fn does not look at `from` and `end` */
    int64_t columns; /* of a row, which may be done apart from each other; 0: each row is done at once */
} HostRows;

/* One (batched) contraction; strides in elements. */
typedef struct HostContract {
    int32_t
        type; /* DType of a and b: a float, an integer of 32 or 64 bits; or i8, u8, i16. Where `to` is f32, any that f32 holds */
    int32_t nbatch;
    int64_t batch[8], m, n, k;
    const void *a, *b;
    void *c; /* contiguous [batch..., m, n] */
    int64_t a_batch[8], a_row, a_col, b_batch[8], b_row, b_col;
    int32_t b_type;    /* DType of b, if it is another one; else 0 */
    int32_t to;        /* DType of c: i32 for i8, u8, i16, else `type` */
    HostRows rows;     /* [batch..., m] of them */
    struct Keep *keep; /* the host's own: where it keeps what it packs (contract/keep.h); compiled code leaves NULL */
} HostContract;

/* The structs of other routines of the host begin alike: a DType, which op it is, the numbers; then come the buffers, results
 * first. */

/* One convolution, or the gradient of its filters; see `conv` in ir/ops.def. Everything is contiguous: x [n, in..., groups * c],
 * filters [taps..., c, groups * o], y [n, out..., groups * o]. Three axes of space, of which those that are not there have one
 * element and one tap, and low 0. */
typedef struct HostConv {
    int32_t type;    /* DType: f32, f64 (narrow floats through f32) */
    int32_t filters; /* 1: the filters are made, of x and y, with spread 1; 0: y is made */
    int64_t n, groups, c, o;
    int64_t in[3], taps[3], out[3], stride[3], dilation[3], spread[3], low[3]; /* low < 0: so many elements are left out */
    void *to;
    const void *x, *with; /* with: the filters, or y */
    HostRows rows;        /* [n, out...] of them */
    struct Keep *keep;    /* as of a product */
} HostConv;

/* Attention and the ops of its gradient; see ir/ops.def. Everything is contiguous. */
typedef struct HostAttention {
    int32_t type;                                                        /* DType: f32, f64 */
    int32_t op;                                                          /* Op */
    int64_t n, rows, keys, d, e, mask[3], causal, period, before, after; /* mask: its sizes */
    double scale, cap;
    void *buf[8]; /* the results, then the operands */
} HostAttention;

/* Factors of matrices, or systems with triangles; see ir/ops.def. Everything is contiguous. */
typedef struct HostFactor {
    int32_t type;                  /* DType: f32, f64 */
    int32_t op;                    /* Op */
    int64_t n, rows, columns, how; /* of a triangular system those of the other side; how: a bit for each attribute */
    void *buf[4];                  /* the results, then the matrices */
} HostFactor;
/* Sorts the lines of elements [lines, size, after] along the middle axis, or finds the places that do; see ir/ops.def. Everything
 * is contiguous. */
typedef struct HostSort {
    int32_t type; /* DType */
    int32_t op;   /* Op; argsort: of elements of 32 bits or less, and lines of at most SORT_PLACES */
    int64_t lines, size, after, descending;
    void *buf[2]; /* the result, then the elements */
} HostSort;
#define SORT_PLACES 2048

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
    /* The one convolution that eager and compiled code share (contract.h). 0, or a StatusCode. */
    int32_t (*convolve)(const struct KilnHost *h, const HostConv *c);
    /* The one attention that eager and compiled code share (codegen/eager.h). 0, or a StatusCode. */
    int32_t (*attend)(const struct KilnHost *h, const HostAttention *a);
    /* Only code with marks (CompileOptions.marks) calls it: step `number` begins; below 0: step -1 - number goes on. On the
     * calling thread. host_marks.h has the one that everybody uses. */
    void (*mark)(const struct KilnHost *h, int64_t number);
    struct HostMarks *marks; /* of the running call; NULL: nobody looks */
    /* Factors of matrices that eager and compiled code share (contract.h). 0, or a StatusCode. */
    int32_t (*factor)(const struct KilnHost *h, const HostFactor *f);
    /* The one sort of elements that eager and compiled code share (codegen/eager.h). 0, or a StatusCode. */
    int32_t (*sort)(const struct KilnHost *h, const HostSort *s);
} KilnHost;

typedef int32_t EntryFn(void *const *buf, const int64_t *dim, void *work, const KilnHost *host);
typedef void SizesFn(const int64_t *dim, int64_t *out); /* see program.h */

#endif
