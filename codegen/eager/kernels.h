/* kernels: the tables of loops that eager code runs, one table per instruction set (tier). Each is expanded from ops.def for every
 * compute type, which is every element type except the narrow floats: readers and writers convert those to f32. Loops read and
 * write contiguous memory only; readers (reader.h) provide it. All tiers that a CPU has give the same bits. Never knows shapes or
 * threads. */
#ifndef KILN_CODEGEN_EAGER_KERNELS_H
#define KILN_CODEGEN_EAGER_KERNELS_H

#include "../../ir/op.h"

/* out[i] = op(in[0][i], in[1][i], ...) for i < n. out may be one of in. */
typedef void MapFn(void *out, const void *const *in, int64_t n);

typedef enum FoldKind { FOLD_SUM, FOLD_PROD, FOLD_MAX, FOLD_MIN, FOLD_COUNT } FoldKind;

/* One kind of fold over one type, in the orders of ir/tree.h. */
typedef struct FoldFns {
    void (*start)(void *acc, int64_t n);                /* acc[i] = identity */
    void (*lanes)(void *out, const void *x, int64_t n); /* *out = the fold of n elements in row form, for any n */
    void (*rows)(
        void *out, const void *x, int64_t rows, int64_t n); /* out[r] = the fold of x[r][0..n) in order, from the identity */
    /* acc[i] = op(acc[i], x[r][i]) for i < n, in order of r; rows lie `stride` elements apart */
    void (*columns)(void *acc, const void *x, int64_t stride, int64_t rows, int64_t n);
} FoldFns;

/* Compares rows [first, first + rows) of x with column i's best element so far, best[i], and its row, index[i] (< 0: none). */
typedef void ArgFn(int64_t *index, void *best, const void *x, int64_t stride, int64_t first, int64_t rows, int64_t n);

typedef struct TypeKernels {
    MapFn *map[OP_COUNT];
    MapFn *prim[P_COUNT];  /* primitives that are no op by themselves, such as idiv */
    MapFn *cast[DT_COUNT]; /* converts this type to that one; to narrow floats: to f32s that one more rounding makes right */
    FoldFns fold[FOLD_COUNT];
    ArgFn *arg_max, *arg_min;
} TypeKernels;

/* Some rows of scores against one block of keys. */
#define SCORE_KEYS 64
#define SCORE_ROWS 64 /* at most */
typedef struct Scores {
    int64_t rows, keys;          /* keys: how many the block has */
    int64_t first, period, lead; /* row i sees the first (first + i) mod period + lead of them; */
    bool causal;                 /* if not, all */
    double scale, cap;
    const void *mask;           /* of the first row and key */
    int64_t mask_row, mask_key; /* strides */
} Scores;

static inline int64_t scores_seen(const Scores *x, int64_t row)
{
    if (!x->causal) return x->keys;
    const int64_t seen = (x->first + row) % x->period + x->lead;
    return seen < 0 ? 0 : seen < x->keys ? seen : x->keys;
}

typedef struct ScoreFns { /* kernels_attention.h */
    void (*weights)(const Scores *x, void *products, void *largest, void *sums, void *fade);
    void (*add)(void *to, int64_t to_row, const void *more, const void *fade, int64_t rows, int64_t n, bool whole);
    void (*end)(int64_t rows, void *values, void *largest, const void *sums, int64_t n);
    void (*slopes)(const Scores *x, void *products, void *cotangents, const void *sums, const void *rests);
} ScoreFns;

/* How the bits of elements become keys: unsigned numbers that have the wanted order, of which NaN is the last. */
typedef struct KeyOrder {
    bool is_float;
    uint64_t flip;    /* by exclusive or: of integers, and of floats without a sign */
    uint64_t turned;  /* of floats with a sign */
    uint64_t largest; /* the bits of the largest float, behind which NaN begins */
} KeyOrder;

#define SORT_QUICK_ROWS 16  /* vectors in which few keys are sorted */
#define SORT_LANES_BYTES 64 /* of the elements that lie side by side where many lines are sorted at once */
typedef struct SortFns {    /* kernels_sort.h, of keys of one size */
    void (*keys)(void *to, const void *from, int64_t n, const KeyOrder *o);
    void (*elements)(void *to, const void *from, int64_t n, const KeyOrder *o);
    void (*lanes)(void *keys, int64_t n);
    void (*gather)(void *to, const void *from, int64_t n, const int64_t *at, int lanes, int64_t step);
    void (*pairs)(uint64_t *to, const void *from, int64_t n, const int64_t *at, int lanes, int64_t step, const KeyOrder *o);
    void (*scatter)(void *to, const void *from, int64_t n, const int64_t *at, int lanes, int64_t step);
    int (*byte)(const void *key, int byte);
    void (*count)(const void *keys, int64_t n, int byte, int64_t *count);
    void (*count_two)(const void *keys, int64_t n, int byte, int64_t *count);
    void (*place)(void *to, const void *keys, int64_t n, int byte, int64_t *place);
    void (*insert)(void *keys, int64_t n);
    int64_t few_most; /* kernels_quick.h, where vectors can be compressed; else 0: so many keys `few` sorts */
    void (*few)(void *keys, int64_t n);
    uint64_t (*pivot)(const void *keys, int64_t n);
    int64_t (*below)(const void *keys, int64_t n, uint64_t pivot);
    int64_t (*part)(void *low, void *high, const void *keys, int64_t n, uint64_t pivot);
} SortFns;

typedef struct Kernels {
    const char *name;
    const TypeKernels *type[DT_COUNT];                               /* NULL for narrow floats */
    void (*widen[DT_COUNT])(float *to, const void *from, int64_t n); /* for narrow floats alone */
    void (*narrow[DT_COUNT])(void *to, const float *from, int64_t n);
    /* Computes PHILOX_BLOCKS blocks of four words each, from block `first` on. */
    void (*philox)(uint32_t *out, uint64_t seed, uint64_t counter, uint64_t first);
    const ScoreFns *scores[DT_COUNT]; /* for f32 and f64 */
    const SortFns *sort[4];           /* of keys of 1, 2, 4 and 8 bytes */
} Kernels;
#define PHILOX_BLOCKS 8

extern const Kernels kernels_base, kernels_avx2, kernels_avx512;

const Kernels *eager_kernels(void); /* the best tier of this CPU */
/* For tests: the tiers that this CPU can run, the best last; and which to run from now on (NULL: the best). */
const Kernels *const *eager_tiers(int *count);
void eager_use_tier(const Kernels *k);

#endif
