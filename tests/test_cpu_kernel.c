/* The LLVM backend's kernels: reductions in every order against plain loops, with lanes along
 * the sweep, along columns and without; streams of every kind between pages that must not be
 * touched; row caches; chunks. All bit for bit. */
#include "kernel_make.h"
#include "model.h"

#include <math.h>
#include <setjmp.h>
#include <stdio.h>

#include <cmocka.h>

#define NEED_LLVM()                  \
    do {                             \
        (void)state;                 \
        if (!llvm_backend()) skip(); \
    } while (0)

static const int64_t extents[] = {0, 1, 7, 8, 31, 32, 33, 63, 64, 65, 127, 129, 192, 257, 1023, 1024, 1025, 4097, 10000};

static uint64_t seed = 88172645463325252u;
static uint64_t draw(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    return seed ^= seed << 17;
}

static double value(DType t, ReduceKind kind, bool special)
{
    if (!dtype_is_float(t))
        return (double)(t == DT_bool ? draw() % 2
                        : t == DT_u8 ? draw() % 256
                                     : draw() % 2001) -
               (t == DT_i32 ? 1000 : 0);
    if (kind == R_PROD) return 1 + ((double)(draw() % 2001) - 1000) * 1e-5;
    if (special && draw() % 300 == 0)
        return draw() % 3 ? -0.0 : draw() % 2 ? (double)NAN : -(double)INFINITY;
    if (kind >= R_MAX) return (double)(draw() % 50) - 25;
    return ((double)(draw() % 2000001) - 1000000) * (draw() % 7 ? 1e-3 : 1e-8);
}

static Scalar get(DType t, const void *at, int64_t i)
{
    const char *from = (const char *)at + (size_t)i * dtype_bytes(t);
    return dtype_is_float(t) ? (Scalar){.f = dtype_load_f64(t, from)}
                             : (Scalar){.i = dtype_load_i64(t, from)};
}

static void set(DType t, void *at, int64_t i, double v)
{
    char *to = (char *)at + (size_t)i * dtype_bytes(t);
    if (dtype_is_float(t))
        dtype_store_f64(t, to, v);
    else
        dtype_store_i64(t, to, (int64_t)v);
}

/* ---- the reference: what kernel.h says, literally -------------------------------------------- */

static Scalar identity(DType t, ReduceKind kind)
{
    bool f = dtype_is_float(t);
    switch (kind) {
    case R_SUM: return (Scalar){0};
    case R_PROD: return f ? (Scalar){.f = 1} : (Scalar){.i = 1};
    case R_MAX: return f ? (Scalar){.f = -(double)INFINITY} : (Scalar){.i = dtype_info[t].lo};
    default: return f ? (Scalar){.f = (double)INFINITY} : (Scalar){.i = dtype_info[t].hi};
    }
}

static Scalar combine(DType t, ReduceKind kind, Scalar a, Scalar b)
{
    Scalar none = {0};
    if (kind == R_SUM && t != DT_bool) return prim_eval(P_add, t, t, a, b, none);
    if (kind == R_PROD && t != DT_bool) return prim_eval(P_mul, t, t, a, b, none);
    bool keep = prim_eval(kind == R_MAX ? P_gt : P_lt, t, DT_bool, a, b, none).i ||
                (dtype_is_float(t) && isnan(a.f));
    return keep ? a : b;
}

typedef struct Fold {
    DType type;
    ReduceKind kind;
} Fold;

static Scalar model_step(const void *of, Scalar a, Scalar b)
{
    const Fold *f = of;
    return combine(f->type, f->kind, a, b);
}

static Scalar expected(DType t, ReduceKind kind, ReduceOrder order, const Scalar *v, int64_t n)
{
    Scalar r = identity(t, kind);
    if (kind == R_ARGMAX || kind == R_ARGMIN) {
        int64_t best = 0;
        for (int64_t i = 1; i < n; i++) {
            bool nan = dtype_is_float(t) && isnan(v[best].f);
            bool better =
                prim_eval(kind == R_ARGMAX ? P_gt : P_lt, t, DT_bool, v[i], v[best], r).i ||
                (dtype_is_float(t) && isnan(v[i].f));
            if (!nan && better) best = i;
        }
        return (Scalar){.i = best};
    }
    const Fold of = {t, kind};
    const ModelFold f = {identity(t, kind), model_step, &of};
    if (order == ORDER_INDEX) return model_index(&f, v, n);
    if (order == ORDER_LANES) return model_lanes(&f, v, n);
    return order == ORDER_CHAINS ? model_chains(&f, v, n) : model_row(&f, v, n);
}

/* ---- every kind in every order --------------------------------------------------------------- */

typedef enum Layout {
    ALONG,
    COLUMNS,
    PLAIN
} Layout; /* lanes along the sweep, along columns, none */
enum { ROWS = 13, ORDERS = 4, KINDS = 6 * ORDERS };

/* Lanes along the sweep fold by lanes, or find where an extreme lies. */
static bool offered(Layout layout, DType t, uint32_t i)
{
    ReduceKind kind = (ReduceKind)(i / ORDERS);
    if (layout == ALONG && kind < R_ARGMAX && i % ORDERS < ORDER_LANES) return false;
    return t != DT_bool || kind >= R_MAX;
}

/* out[kind, order][row] of x, whose rows lie one after the other, or side by side (COLUMNS). */
static void add_reduction(Make *m, Layout layout, DType t, Dim n, ReduceKind kind,
    ReduceOrder order, uint32_t in, uint32_t out)
{
    bool arg = kind >= R_ARGMAX;
    DType result = arg ? DT_i64 : t;
    uint32_t buf[2] = {in, out};
    make_kernel(m, 2, (Dim[]){ROWS, n}, 1,
        layout == ALONG     ? 1
        : layout == COLUMNS ? 0
                            : -1,
        0, 2, 2);
    const Dim x[2] = {layout == COLUMNS ? 1 : n, layout == COLUMNS ? ROWS : 1};
    uint32_t from = make_stream(m, 0, t, 0, x, -1, -1);
    uint32_t to = make_stream(m, 1, result, 0, (Dim[]){1, 0}, -1, -1);
    make_stage(m, true);
    uint32_t r = make_reduce(m, kind, order, make_load(m, from));
    make_stage(m, false);
    make_store(m, to, make_reduced(m, r), false);
    make_step(m, make_run(m, make_kernel_end(m), 2, buf));
}

static void check_extent(EntryFn *entry, Layout layout, DType t, int64_t n, bool special)
{
    static Scalar v[10000];
    void *buf[1 + KINDS], *x = calloc((size_t)n * ROWS + 1, dtype_bytes(t));
    for (int64_t i = 0; i < n * ROWS; i++) set(t, x, i, value(t, special ? R_MAX : R_SUM, special));
    buf[0] = x;
    for (uint32_t i = 0; i < KINDS; i++) buf[1 + i] = calloc(ROWS, 8);
    assert_int_equal(entry(buf, &n, NULL, NULL), 0);
    for (uint32_t i = 0; i < KINDS; i++) {
        ReduceKind kind = (ReduceKind)(i / ORDERS);
        DType result = kind >= R_ARGMAX ? DT_i64 : t;
        if (!offered(layout, t, i)) continue;
        for (int row = 0; row < ROWS; row++) {
            for (int64_t j = 0; j < n; j++)
                v[j] = get(t, x, layout == COLUMNS ? j * ROWS + row : row * n + j);
            Scalar want = expected(t, kind, (ReduceOrder)(i % ORDERS), v, n),
                   got = get(result, buf[1 + i], row);
            if (result == DT_f16) dtype_store_f64(DT_f16, v, want.f), want = get(DT_f16, v, 0);
            bool same = dtype_is_float(result) && isnan(want.f) ? isnan(got.f) : want.i == got.i;
            if (!same)
                fail_msg("%s kind %d order %u layout %d extent %lld row %d: %a %lld, not %a %lld",
                    dtype_info[t].name, kind, i % ORDERS, layout, (long long)n, row, got.f,
                    (long long)got.i, want.f, (long long)want.i);
        }
    }
    for (uint32_t i = 0; i < 1 + KINDS; i++) free(buf[i]);
}

/* fixed < 0: the extent is a symbol, and all extents are run. */
static void reductions(Layout layout, DType t, int64_t fixed)
{
    Make *m = make_new();
    Status st = {0};
    Dim n = make_symbol(m, "N", 0, 1 << 20);
    if (fixed >= 0) n = fixed;
    make_input(m, t);
    for (uint32_t i = 0; i < KINDS; i++) make_output(m, i / ORDERS >= R_ARGMAX ? DT_i64 : t);
    for (uint32_t i = 0; i < KINDS; i++)
        if (offered(layout, t, i))
            add_reduction(m, layout, t, n, (ReduceKind)(i / ORDERS), (ReduceOrder)(i % ORDERS), 0, 1 + i);
    const Backend *b = llvm_backend();
    Compiled *c = b->compile(make_program(m), &(CompileOptions){0}, &st);
    if (!c) fail_msg("%s", st.text);
    for (uint32_t i = 0; i < COUNT_OF(extents); i++) {
        if (fixed >= 0 && extents[i] != fixed) continue;
        check_extent(b->entry(c), layout, t, extents[i], false);
        check_extent(b->entry(c), layout, t, extents[i], true);
    }
    b->release(c);
    make_free(m);
}

static void reductions_of_any_extent(void **state)
{
    static const DType types[] = {DT_f32, DT_f64, DT_i32, DT_u8, DT_bool};
    NEED_LLVM();
    for (uint32_t i = 0; i < COUNT_OF(types); i++)
        for (Layout l = ALONG; l <= PLAIN; l++) reductions(l, types[i], -1);
}

static void reductions_of_known_extent(void **state)
{
    NEED_LLVM();
    for (uint32_t i = 0; i < COUNT_OF(extents); i++)
        for (Layout l = ALONG; l <= COLUMNS; l++) reductions(l, DT_f32, extents[i]);
    reductions(ALONG, DT_f16, 33);
}

/* ---- streams --------------------------------------------------------------------------------- */

typedef enum Walk { FORWARD, BACKWARD, STRIDED, SAME, GATHERED, PADDED, PADDED_OUT, WALKS } Walk;
enum { MOST = 41 };

static int64_t need(Walk w, int64_t n) /* elements of the input */
{
    return w == STRIDED                 ? 3 * n - 2 * (n > 0)
           : w == SAME || w == GATHERED ? 1
           : w == PADDED                ? (n > 4 ? n - 4 : 0)
                                        : n;
}

static Dim negative(Make *m, int64_t v)
{
    Dim d = make_minus_one(m);
    m->module->dims.expr.at[-1 - d].lo = m->module->dims.expr.at[-1 - d].hi = v;
    return d;
}

/* out[i] = x at the walk's element; outside 2 <= i < n - 2 the padded walks read 0, and write
 * nothing. */
static uint32_t walk_kernel(Make *m, Walk w, DType t, Dim n, bool vector, uint32_t unroll)
{
    Scalar two = {.i = 2};
    make_kernel(m, 1, (Dim[]){n}, -1, vector ? 0 : -1, 0, unroll, 2);
    make_stage(m, false);
    int32_t guard = -1, dyn = -1;
    Dim coef = w == FORWARD || w == PADDED || w == PADDED_OUT ? 1 : w == STRIDED ? 3 : 0, base = 0;
    int32_t i = make_axis(m, 0);
    if (w == BACKWARD) {
        coef = make_minus_one(m);
        base = make_dim(m, dim_sub(&m->module->dims, n, 1));
    } else if (w == GATHERED) {
        dyn = make_prim(m, P_irem, DT_i64, i, make_const(m, DT_i64, (Scalar){.i = 1}), -1);
    } else if (w == PADDED || w == PADDED_OUT) {
        int32_t last = make_const(m, DT_i64, two), low = make_prim(m, P_ge, DT_bool, i, last, -1);
        Instr dim = {.kind = I_DIM, .type = DT_i64, .a = -1, .b = -1, .c = -1, .ref = 0};
        *VEC_PUSH(&m->arena, &m->instr) = dim;
        int32_t end = make_prim(m, P_sub, DT_i64, (int32_t)m->instr.len - 1, last, -1);
        guard = make_prim(m, P_and, DT_bool, low, make_prim(m, P_lt, DT_bool, i, end, -1), -1);
        if (w == PADDED) base = negative(m, -2);
    }
    int32_t x =
        make_load(m, make_stream(m, 0, t, base, (Dim[]){coef}, dyn, w == PADDED_OUT ? -1 : guard));
    uint32_t out = make_stream(m, 1, t, 0, (Dim[]){1}, -1, w == PADDED_OUT ? guard : -1);
    make_store(m, out, x, false);
    return make_kernel_end(m);
}

static int64_t walked(Walk w, int64_t n, int64_t i) /* the element read, -1: none */
{
    switch (w) {
    case FORWARD: return i;
    case BACKWARD: return n - 1 - i;
    case STRIDED: return 3 * i;
    case PADDED: return i >= 2 && i < n - 2 ? i - 2 : -1;
    case PADDED_OUT: return i >= 2 && i < n - 2 ? i : -1;
    default: return 0;
    }
}

static void check_walk(EntryFn *entry, Walk w, DType t, int64_t n, bool at_end)
{
    size_t size = dtype_bytes(t), count = (size_t)need(w, n);
    Guarded x = guarded_new(count * size, at_end), y = guarded_new((size_t)n * size, at_end);
    for (size_t i = 0; i < count * size; i++)
        x.at[i] = t == DT_bool ? (char)(i % 2) : (char)(1 + i % 60);
    if (w == PADDED_OUT) memset(y.at, 0, (size_t)n * size);
    if (n > 0) assert_int_equal(entry((void *[]){x.at, y.at}, &n, NULL, NULL), 0);
    for (int64_t i = 0; i < n; i++) {
        int64_t from = walked(w, n, i);
        char zero[8] = {0};
        if (memcmp(y.at + (size_t)i * size, from < 0 ? zero : x.at + (size_t)from * size, size) !=
            0)
            fail_msg("walk %d of %s, %lld elements: wrong at %lld", w, dtype_info[t].name,
                (long long)n, (long long)i);
    }
    guarded_free(&x);
    guarded_free(&y);
}

static void streams_stay_inside(void **state)
{
    static const DType types[] = {DT_f32, DT_f64, DT_u8, DT_bool, DT_f16, DT_i16, DT_i64};
    NEED_LLVM();
    const Backend *b = llvm_backend();
    for (uint32_t i = 0; i < COUNT_OF(types); i++)
        for (int variant = 0; variant < 3; variant++)
            for (Walk w = FORWARD; w < WALKS; w++) {
                Make *m = make_new();
                Status st = {0};
                uint32_t buf[2] = {make_input(m, types[i]), make_output(m, types[i])};
                Dim n = make_symbol(m, "N", 1, 1 << 20);
                make_step(m,
                    make_run(m, walk_kernel(m, w, types[i], n, variant > 0, variant == 1 ? 1 : 4),
                        2, buf));
                Compiled *c = b->compile(make_program(m), &(CompileOptions){0}, &st);
                if (!c) fail_msg("%s", st.text);
                for (int64_t k = 0; k <= MOST; k++) {
                    check_walk(b->entry(c), w, types[i], k, true);
                    check_walk(b->entry(c), w, types[i], k, false);
                }
                b->release(c);
                make_free(m);
            }
}

/* ---- scatter --------------------------------------------------------------------------------- */

static void scatter_adds_in_order(void **state)
{
    NEED_LLVM();
    enum { N = 77, BINS = 5 };
    float x[N], want[BINS] = {0}, got[BINS];
    int64_t at[N];
    for (int i = 0; i < N; i++)
        x[i] = (float)value(DT_f32, R_SUM, false), at[i] = (int64_t)(draw() % BINS),
        want[at[i]] += x[i];
    for (int vector = -1; vector <= 0; vector++) {
        Make *m = make_new();
        uint32_t buf[3] = {make_input(m, DT_f32), make_input(m, DT_i64), make_output(m, DT_f32)};
        make_kernel(m, 1, (Dim[]){N}, 0, vector, -1, 2, 3);
        make_stage(m, true);
        int32_t v = make_load(m, make_stream(m, 0, DT_f32, 0, (Dim[]){1}, -1, -1));
        int32_t i = make_load(m, make_stream(m, 1, DT_i64, 0, (Dim[]){1}, -1, -1));
        make_store(m, make_stream(m, 2, DT_f32, 0, (Dim[]){0}, i, -1), v, 1 + R_SUM);
        make_step(m, make_run(m, make_kernel_end(m), 3, buf));
        memset(got, 0, sizeof got);
        run_program(make_program(m), (void *[]){x, at, got}, NULL, NULL);
        assert_memory_equal(got, want, sizeof got);
        make_free(m);
    }
}

/* ---- rows in a cache, chunks ----------------------------------------------------------------- */

/* y = (x - max) / sum of (x - max), the difference kept in a row. */
static void add_normalise(Make *m, int64_t rows, int64_t n, int vector, const uint32_t *buf)
{
    const Dim coef[2] = {vector == 0 ? 1 : n, vector == 0 ? rows : 1};
    make_kernel(m, 2, (Dim[]){rows, n}, 1, vector, 0, 2, 2);
    m->k.cost = 4 * n;
    uint32_t row = make_row(m, DT_f32);
    uint32_t x = make_stream(m, 0, DT_f32, 0, coef, -1, -1),
             y = make_stream(m, 1, DT_f32, 0, coef, -1, -1);
    uint32_t kept = make_stream(m, row, DT_f32, 0, NULL, -1, -1);
    make_stage(m, true);
    uint32_t max = make_reduce(m, R_MAX, ORDER_LANES, make_load(m, x));
    make_stage(m, true);
    int32_t top = make_reduced(m, max), d = make_prim(m, P_sub, DT_f32, make_load(m, x), top, -1);
    make_store(m, kept, d, false);
    uint32_t sum = make_reduce(m, R_SUM, ORDER_LANES, d);
    make_stage(m, true);
    int32_t all = make_reduced(m, sum), one = make_const(m, DT_f32, (Scalar){.f = 1});
    int32_t scale = make_prim(m, P_div, DT_f32, one, all, -1);
    make_store(m, y, make_prim(m, P_mul, DT_f32, make_load(m, kept), scale, -1), false);
    make_step(m, make_run(m, make_kernel_end(m), 2, buf));
}

static int chunks;
static void run_backwards(
    const KilnHost *h, KernelFn *fn, void *const *buf, const int64_t *dim, int64_t n, int64_t grain)
{
    (void)h;
    for (int64_t lo = (n - 1) / grain * grain; lo >= 0; lo -= grain, chunks++)
        fn(buf, dim, lo, MIN_OF(lo + grain, n));
}

static void rows_and_chunks(void **state)
{
    NEED_LLVM();
    enum { ROWS_N = 300, N = 101 };
    static float x[ROWS_N * N], y[3][ROWS_N * N], t[ROWS_N * N], u[ROWS_N * N];
    const KilnHost host = {.run = run_backwards};
    for (int i = 0; i < ROWS_N * N; i++) x[i] = (float)value(DT_f32, R_SUM, false);
    for (int r = 0; r < ROWS_N; r++)
        for (int i = 0; i < N; i++) t[i * ROWS_N + r] = x[r * N + i];
    for (int vector = -1; vector <= 1; vector++) {
        Make *m = make_new();
        uint32_t buf[2] = {make_input(m, DT_f32), make_output(m, DT_f32)};
        add_normalise(m, ROWS_N, N, vector, buf);
        chunks = 0;
        run_program(make_program(m), (void *[]){vector == 0 ? t : x, y[vector + 1]}, NULL, NULL);
        assert_int_equal(chunks, 0);
        run_program(make_program(m), (void *[]){vector == 0 ? t : x, u}, NULL, &host);
        assert_true(chunks > 1);
        assert_memory_equal(u, y[vector + 1], sizeof u);
        make_free(m);
    }
    assert_memory_equal(y[0], y[2], sizeof u);
    for (int r = 0; r < ROWS_N; r++)
        for (int i = 0; i < N; i++) assert_memory_equal(&y[1][i * ROWS_N + r], &y[0][r * N + i], 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reductions_of_any_extent),
        cmocka_unit_test(reductions_of_known_extent),
        cmocka_unit_test(streams_stay_inside),
        cmocka_unit_test(scatter_adds_in_order),
        cmocka_unit_test(rows_and_chunks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
