/* Eager reductions against an obvious reference in the order that docs/numerics.md lays down, bit
 * for bit: every fold over every element type, extents around the lanes and blocks, lists of axes,
 * odd layouts, threads; argmax and argmin. */
#include "eager_test.h"

#include "model.h"

static const OpDef *step_of(Op op)
{
    return &op_def[op == OP_prod         ? OP_mul
                   : op == OP_reduce_max ? OP_max
                   : op == OP_reduce_min ? OP_min
                                         : OP_add];
}

static Scalar identity(Op op, DType t)
{
    double sign = op == OP_reduce_max ? -1 : 1;
    bool extreme = op == OP_reduce_max || op == OP_reduce_min;
    if (dtype_is_float(t)) return (Scalar){.f = extreme ? sign * INFINITY : op == OP_prod};
    if (!extreme) return (Scalar){.i = op == OP_prod};
    if (t == DT_u64) return (Scalar){.u = op == OP_reduce_max ? 0 : UINT64_MAX};
    return (Scalar){.i = op == OP_reduce_max ? dtype_info[t].lo : dtype_info[t].hi};
}

static Scalar step(Op op, DType t, Scalar total, Scalar element)
{
    const OpDef *d = step_of(op);
    return scalar_eval(
        dtype_is_float(t) ? d->value_f : d->value_i, t, t, (Scalar[]){total, element});
}

typedef struct Fold {
    Op op;
    DType type;
} Fold;

static Scalar model_step(const void *of, Scalar total, Scalar element)
{
    const Fold *f = of;
    return step(f->op, f->type, total, element);
}

/* Folds axes [first, first + count) of the contiguous x into to; dim becomes the result's. Both are of the compute type. */
static void fold_run(
    Op op, DType t, const Scalar *x, int64_t *dim, int *rank, int first, int count, Scalar *to)
{
    int64_t outer = 1, run = 1, inner = 1;
    for (int i = 0; i < *rank; i++)
        *(i < first ? &outer : i < first + count ? &run : &inner) *= dim[i];
    const Fold of = {op, (DType)dtype_info[t].compute};
    const ModelFold f = {identity(op, t), model_step, &of};
    Scalar *column = malloc((size_t)(run + 1) * sizeof *column);
    for (int64_t o = 0; o < outer; o++)
        for (int64_t c = 0; c < inner; c++) {
            for (int64_t i = 0; i < run; i++) column[i] = x[(o * run + i) * inner + c];
            bool row = first + count == *rank;
            to[o * inner + c] = row ? model_row(&f, column, run) : model_chains(&f, column, run);
        }
    free(column);
    for (int i = first; i + count < *rank; i++) dim[i] = dim[i + count];
    *rank -= count;
}

static int64_t count(int rank, const int64_t *dim)
{
    int64_t n = 1;
    for (int i = 0; i < rank; i++) n *= dim[i];
    return n;
}

static void reference(Op op, DType t, const void *x, int rank, const int64_t *dims,
    const int64_t *axes, int naxes, void *out)
{
    int64_t dim[MAX_RANK];
    memcpy(dim, dims, (size_t)rank * sizeof *dim);
    Scalar *now = malloc((size_t)(count(rank, dim) + 1) * sizeof *now);
    for (int64_t i = 0; i < count(rank, dim); i++) now[i] = scalar_load(t, x, i);
    while (naxes > 0) {
        int n = 1;
        while (n < naxes && axes[naxes - n - 1] == axes[naxes - n] - 1) n++;
        naxes -= n;
        int64_t after[MAX_RANK], size = 1;
        memcpy(after, dim, sizeof after);
        for (int i = 0; i < rank; i++)
            if (i < axes[naxes] || i >= axes[naxes] + n) size *= dim[i];
        int ranks = rank;
        Scalar *next = malloc((size_t)(size + 1) * sizeof *next);
        fold_run(op, t, now, after, &ranks, (int)axes[naxes], n, next);
        memcpy(dim, after, sizeof dim);
        rank = ranks;
        free(now);
        now = next;
    }
    for (int64_t i = 0; i < count(rank, dim); i++) scalar_store(t, out, i, now[i]);
    free(now);
}

static void check(
    Op op, DType t, const View *in, ThreadPool *threads, const int64_t *axes, int naxes)
{
    int64_t n = count(in->rank, in->dim), dim[MAX_RANK];
    void *packed = malloc((size_t)n * 8 + 8);
    eager_copy(&(EagerCtx){0}, in, packed);
    int rank = 0;
    for (int i = 0, k = 0; i < in->rank; i++) {
        if (k < naxes && axes[k] == i)
            k++;
        else
            dim[rank++] = in->dim[i];
    }
    int64_t m = count(rank, dim);
    char *got = malloc((size_t)m * 8 + 8), *want = malloc((size_t)m * 8 + 8);
    View out = view_of(t, got, rank, dim);
    memset(got, 0x5a, (size_t)m * 8);
    must_run(threads, op, in, 1, axes, (uint32_t)naxes, &out);
    reference(op, t, packed, in->rank, in->dim, axes, naxes, want);
    for (int64_t i = 0; i < m; i++)
        if (!same_element(t, got, i, want, i))
            fail_msg("%s of %s[%d,%d,...] over %d axes from %d: element %d is %a, not %a",
                op_def[op].name, dtype_info[t].name, (int)in->dim[0],
                in->rank > 1 ? (int)in->dim[1] : 0, naxes, (int)axes[0], (int)i,
                scalar_load(t, got, i).f, scalar_load(t, want, i).f);
    free(packed);
    free(got);
    free(want);
}

static const Op folds[] = {OP_sum, OP_prod, OP_reduce_max, OP_reduce_min};

/* Values whose sums and products stay finite, with an edge now and then. */
static void fill(DType t, void *x, int64_t n, bool edges)
{
    uint64_t seed = 11;
    for (int64_t i = 0; i < n; i++) {
        uint64_t r = next_random(&seed);
        if (edges && i % 37 == 5)
            scalar_store(t, x, i, test_value(t, (int64_t)(r % 28), &seed));
        else if (dtype_is_float(t))
            dtype_store_f64(
                t, (char *)x + (size_t)i * dtype_bytes(t), 0.5 + (double)(r % 1024) / 1024);
        else
            scalar_store(t, x, i, test_value(t, 1000, &seed));
    }
}

static void each_extent(void **state)
{
    (void)state;
    static const int64_t extents[] = {0, 1, 2, 3, 8, 31, 32, 33, 63, 64, 65, 127, 128, 129, 257, 1023, 1024, 1025, 4095, 4097, 9000};
    char *x = malloc(9000 * 3 * 8);
    for (int t = DT_NONE + 1; t < DT_COUNT; t++)
        for (size_t f = 0; f < COUNT_OF(folds); f++) {
            if (!op_domain_has(step_of(folds[f]) - op_def, (DType)t)) continue;
            for (size_t i = 0; i < COUNT_OF(extents); i++) {
                int64_t n = extents[i];
                fill((DType)t, x, n * 3, i % 2 == 0);
                View row = view_of((DType)t, x, 1, &n), rows = view_of((DType)t, x, 2, DIMS(3, n));
                View columns = view_of((DType)t, x, 2, DIMS(n, 3)),
                     thin = view_of((DType)t, x, 2, DIMS(n, 1));
                check(folds[f], (DType)t, &row, NULL, DIMS(0), 1);
                check(folds[f], (DType)t, &rows, NULL, DIMS(1), 1);
                check(folds[f], (DType)t, &columns, NULL, DIMS(0), 1);
                check(folds[f], (DType)t, &thin, NULL, DIMS(0), 1);
                View turned = view_of((DType)t, x, 2, DIMS(3, n));
                turned.stride[0] = 1;
                turned.stride[1] = 3;
                check(folds[f], (DType)t, &turned, NULL, DIMS(1), 1);
                check(folds[f], (DType)t, &turned, NULL, DIMS(0), 1);
            }
        }
    free(x);
}

static void lists_of_axes(void **state)
{
    (void)state;
    enum { N = 3 * 35 * 4 * 40 };
    static float x[N];
    static uint16_t h[N];
    fill(DT_f32, x, N, false);
    fill(DT_bf16, h, N, false);
    for (int set = 1; set < 16; set++) {
        int64_t axes[4];
        int n = 0;
        for (int i = 0; i < 4; i++)
            if (set >> i & 1) axes[n++] = i;
        for (int turned = 0; turned < 2; turned++) {
            View v = view_of(DT_f32, x, 4, DIMS(3, 35, 4, 40)),
                 w = view_of(DT_bf16, h, 4, DIMS(3, 35, 4, 40));
            if (turned) {
                const int64_t stride[4] = {1, 3 * 40, 3 * 40 * 35, 3};
                memcpy(v.stride, stride, sizeof stride);
                memcpy(w.stride, stride, sizeof stride);
            }
            for (size_t f = 0; f < 4; f++) {
                check(folds[f], DT_f32, &v, NULL, axes, n);
                check(folds[f], DT_bf16, &w, NULL, axes, n);
            }
        }
    }
    View empty = view_of(DT_f32, x, 3, DIMS(3, 0, 4));
    check(OP_sum, DT_f32, &empty, NULL, DIMS(1), 1);
    check(OP_prod, DT_f32, &empty, NULL, DIMS(0, 2), 2);
    View v = view_of(DT_f32, x, 1, DIMS(5)), out = view_of(DT_f32, (float[5]){0}, 1, DIMS(5));
    must_run(NULL, OP_sum, &v, 1, NULL, 0, &out);
    assert_memory_equal(out.data, x, 5 * sizeof *x);
}

static void threads_change_nothing(void **state)
{
    (void)state;
    enum { N = 1 << 20 };
    ThreadPool *threads = threads_new(3);
    float *x = malloc(N * sizeof *x);
    fill(DT_f32, x, N, false);
    static const int64_t shapes[][3] = {
        {1, N, 1}, {2, 1 << 16, 8}, {4096, 16, 16}, {1, 256, 4096}, {64, 1 << 14, 1}};
    for (size_t s = 0; s < COUNT_OF(shapes); s++) {
        View v = view_of(DT_f32, x, 3, shapes[s]),
             flat = view_of(DT_f32, x, 2, DIMS(shapes[s][0], N / shapes[s][0]));
        check(OP_sum, DT_f32, &v, threads, DIMS(1), 1);
        check(OP_sum, DT_f32, &v, threads, DIMS(0, 2), 2);
        check(OP_sum, DT_f32, &flat, threads, DIMS(1), 1);
    }
    free(x);
    threads_free(threads);
}

static void every_tier(void **state)
{
    int n;
    const Kernels *const *tier = eager_tiers(&n);
    for (int i = 0; i < n - 1; i++) {
        eager_use_tier(tier[i]);
        each_extent(state);
    }
    eager_use_tier(NULL);
}

/* ---- argmax, argmin ----------------------------------------------------------------------- */

static bool before(bool max, DType t, const void *x, int64_t i, int64_t best)
{
    Scalar a = scalar_load(t, x, i), b = scalar_load(t, x, best);
    if (dtype_is_float(t)) return b.f == b.f && (a.f != a.f || (max ? a.f > b.f : a.f < b.f));
    if (t == DT_u64) return max ? a.u > b.u : a.u < b.u;
    return max ? a.i > b.i : a.i < b.i;
}

static void check_arg(
    DType t, const void *x, int64_t outer, int64_t run, int64_t inner, ThreadPool *threads)
{
    int64_t *got = malloc((size_t)(outer * inner) * sizeof *got);
    for (int max = 0; max < 2; max++) {
        View in = view_of(t, (void *)(uintptr_t)x, 3, DIMS(outer, run, inner)),
             out = view_of(DT_i64, got, 2, DIMS(outer, inner));
        must_run(threads, max ? OP_argmax : OP_argmin, &in, 1, DIMS(1), 1, &out);
        for (int64_t o = 0; o < outer; o++)
            for (int64_t c = 0; c < inner; c++) {
                int64_t best = 0, at = o * run * inner + c;
                for (int64_t i = 1; i < run; i++)
                    if (before(max, t, x, at + i * inner, at + best * inner)) best = i;
                assert_int_equal(got[o * inner + c], best);
            }
    }
    free(got);
}

static void first_of_equals_first_nan(void **state)
{
    (void)state;
    enum { N = 1 << 17 };
    ThreadPool *threads = threads_new(2);
    char *x = malloc(N * 8);
    for (int t = DT_u8; t < DT_COUNT; t++) {
        fill((DType)t, x, N, true);
        check_arg((DType)t, x, 1, 9, 1, NULL);
        check_arg((DType)t, x, 64, 10, 1, NULL);
        check_arg((DType)t, x, 3, 50, 7, NULL);
        check_arg((DType)t, x, 2, 16, 4096, threads);
        check_arg((DType)t, x, 4, 32768, 1, threads);
    }
    float all[3] = {-INFINITY, -INFINITY, -INFINITY}, nan[4] = {1, NAN, 5, NAN};
    check_arg(DT_f32, all, 1, 3, 1, NULL);
    check_arg(DT_f32, nan, 1, 4, 1, NULL);
    free(x);
    threads_free(threads);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_extent),
        cmocka_unit_test(lists_of_axes),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(every_tier),
        cmocka_unit_test(first_of_equals_first_nan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
