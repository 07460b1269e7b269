/* Right operands that stay packed: the bits of products and convolutions that find their panels are those of products that pack for
 * themselves, for every type, tier, layout and number of threads; a buffer that is written, released or borrowed is never met packed
 * as it was, whatever wrote it; bytes are bounded and counted; without memory for panels there are none. */
#include "codegen/contract/panels.h"
#include "ir/element.h"
#include "front.h"
#include "pool.h"

#include <kiln/io.h>
#include <kiln/nn.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "sanitized.h"
#include "tier.h"

/* ---- the routine --------------------------------------------------------------------------------------------------- */

static void fill(int type, void *data, int64_t n, uint64_t seed)
{
    for (int64_t i = 0; i < n; i++) {
        char *to = (char *)data + i * (int64_t)dtype_bytes((DType)type);
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        if (dtype_is_float((DType)type))
            dtype_store_f64((DType)type, to, (double)(int64_t)seed * 0x1p-63);
        else
            dtype_store_i64((DType)type, to, (int64_t)(seed >> 8 | seed << 56));
    }
}

#ifdef UNDER_TSAN
#define SLOW true
#else
#define SLOW false
#endif

static int result_of(int type) { return type == DT_i8 || type == DT_u8 || type == DT_i16 ? DT_i32 : type; }

static void run(ThreadPool *pool, const HostContract *c)
{
    Status st = {0};
    if (!contract_run(pool, c, false, &st)) fail_msg("%s", st.text);
}

/* c's product with its b in a buffer of its own, three times: the second packs, the third finds; and again when b was written. */
static void check(HostContract c, int64_t elements, int64_t offset)
{
    const size_t size = dtype_bytes((DType)(c.b_type ? c.b_type : c.type));
    int64_t n = c.m * c.n;
    for (int i = 0; i < c.nbatch; i++) n *= c.batch[i];
    const size_t bytes = (size_t)n * dtype_bytes((DType)c.to);
    char *want = malloc(bytes), *got = malloc(bytes);
    BufferPool *memory = pool_new(1 << 20);
    PanelCache cache = {.most = (size_t)1 << 30};
    for (int way = 0; way < 2; way++) { /* with threads or without */
        Buffer *b = buffer_new(memory, (size_t)(elements + offset) * size);
        Keep keep = {&cache, b, NULL};
        c.b = (char *)b->data + (size_t)offset * size;
        for (uint64_t seed = 1; seed < 3; seed++) {
            if (seed == 2) buffer_changes(b);
            assert_int_equal(cache.bytes, 0);
            fill(c.b_type ? c.b_type : c.type, b->data, elements + offset, seed);
            c.c = want;
            c.keep = NULL;
            run(NULL, &c);
            c.c = got;
            c.keep = &keep;
            for (int time = 0; time < 3; time++) {
                memset(got, 0x55, bytes);
                run(way ? threads : NULL, &c);
                if (memcmp(want, got, bytes))
                    fail_msg("%s [%d,%d,%d] strides %d,%d: other bits at time %d", dtype_info[c.type].name, (int)c.m, (int)c.n, (int)c.k, (int)c.b_row, (int)c.b_col, time);
                assert_true(!keep.panels == (time == 0));
            }
        }
        buffer_release(b);
        assert_int_equal(cache.bytes, 0);
        assert_int_equal(cache.packed, 2 * (way + 1));
        assert_int_equal(cache.used, 4 * (way + 1));
    }
    pool_free(memory);
    free(want);
    free(got);
}

static void the_same_bits(void **state)
{
    (void)state;
    static const int64_t extents[][3] = {{12, 70, 300}, {40, 33, 129}, {150, 64, 257}, {9, 1100, 40}, {33, 20, 8450}, {64, 530, 8193}, {300, 290, 6400}};
    static const int types[][2] = {{DT_f32, 0}, {DT_f64, 0}, {DT_f16, 0}, {DT_bf16, 0}, {DT_i8, 0}, {DT_u8, 0}, {DT_i16, 0}, {DT_f32, DT_i8}, {DT_f32, DT_bf16}, {DT_f8_e4m3, DT_u8}};
    for (size_t e = 0; e < (SLOW ? 1 : COUNT_OF(extents)); e++)
        for (size_t t = 0; t < COUNT_OF(types); t++)
            for (int layout = 0; layout < 3; layout++) {
                const int64_t m = extents[e][0], n = extents[e][1], k = extents[e][2];
                if (m * n * k > 1 << 28 && (t % 4 != 0 || layout == 2)) continue;
                const int64_t bs[][2] = {{n, 1}, {1, k}, {2 * n, 2}};
                const int type = types[t][0], to = types[t][1] ? DT_f32 : result_of(type);
                char *a = malloc((size_t)(m * k) * 8);
                fill(type, a, m * k, 7);
                HostContract c = {.type = type, .b_type = types[t][1], .to = to, .m = m, .n = n, .k = k, .a = a, .a_row = k, .a_col = 1, .b_row = bs[layout][0], .b_col = bs[layout][1]};
                check(c, 2 * n * k, layout == 1 ? 3 : 0);
                free(a);
            }
}

/* Batches of which one axis has the same b, and one of one element; b's of all batches lie in one buffer. */
static void batches(void **state)
{
    (void)state;
    enum { M = 20, N = 45, K = 150 };
    float *a = malloc(24 * M * K * sizeof *a);
    fill(DT_f32, a, 24 * M * K, 5);
    HostContract c = {.type = DT_f32, .to = DT_f32, .nbatch = 4, .batch = {3, 4, 1, 2}, .m = M, .n = N, .k = K, .a = a, .a_batch = {8 * M * K, 2 * M * K, 7, M * K}, .a_row = K, .a_col = 1};
    const int64_t some[] = {2 * N * K, 0, 99, N * K}, turned[] = {N * K, 3 * N * K, 0, 0};
    memcpy(c.b_batch, some, sizeof some);
    c.b_row = N, c.b_col = 1;
    check(c, 6 * N * K, 0);
    memcpy(c.b_batch, turned, sizeof turned);
    c.b_row = 1, c.b_col = K;
    check(c, 12 * N * K, 1);
    free(a);
}

static void convolutions(void **state)
{
    (void)state;
    BufferPool *memory = pool_new(1 << 20);
    PanelCache cache = {.most = (size_t)1 << 30};
    for (int64_t groups = 1; groups < 4; groups += 2)
        for (int64_t out = 20; out < 300; out += 130)
            for (int type = DT_f32; type <= DT_f64; type++) {
                HostConv c = {.type = type, .n = 2, .groups = groups, .c = 24, .o = out, .in = {1, 15, 18}, .taps = {1, 3, 5}, .out = {1, 15, 9}, .stride = {1, 1, 2}, .dilation = {1, 1, 1}, .spread = {1, 1, 1}, .low = {0, 1, 2}};
                const int64_t made = c.n * 15 * 9 * groups * out, x = c.n * 15 * 18 * groups * 24, filters = 15 * 24 * groups * out;
                char *in = malloc((size_t)x * 8), *want = malloc((size_t)made * 8), *got = malloc((size_t)made * 8);
                Buffer *b = buffer_new(memory, (size_t)filters * 8);
                Keep keep = {&cache, b, NULL};
                Status st = {0};
                fill(type, in, x, 1);
                fill(type, b->data, filters, 2);
                c.x = in, c.with = b->data, c.to = want;
                assert_true(contract_convolve(NULL, &c, &st));
                c.to = got;
                c.keep = &keep;
                const uint64_t packed = cache.packed;
                for (int time = 0; time < 4; time++) {
                    memset(got, 0x55, (size_t)made * dtype_bytes((DType)type));
                    assert_true(contract_convolve(time % 2 ? threads : NULL, &c, &st));
                    assert_memory_equal(want, got, (size_t)made * dtype_bytes((DType)type));
                }
                assert_int_equal(cache.packed, packed + 1);
                buffer_release(b);
                free(in), free(want), free(got);
            }
    assert_int_equal(cache.bytes, 0);
    pool_free(memory);
}

/* ---- what is kept --------------------------------------------------------------------------------------------------- */

typedef struct Product {
    HostContract c;
    float a[64 * 64], want[64 * 64], got[64 * 64];
} Product;

static void times(Product *p, Keep *keep)
{
    p->c.c = p->want, p->c.keep = NULL;
    run(NULL, &p->c);
    p->c.c = p->got, p->c.keep = keep;
    run(threads, &p->c);
    assert_memory_equal(p->want, p->got, sizeof p->want);
}

static void open_product(Product *p, Buffer *b)
{
    *p = (Product){.c = {.type = DT_f32, .to = DT_f32, .m = 64, .n = 64, .k = 64, .a_row = 64, .a_col = 1, .b_row = 64, .b_col = 1}};
    fill(DT_f32, p->a, 64 * 64, 3);
    fill(DT_f32, b->data, 80 * 80, 4);
    p->c.a = p->a;
    p->c.b = b->data;
}

static void bounded(void **state)
{
    (void)state;
    enum { EACH = 64 * 64 * 4 };
    BufferPool *memory = pool_new(1 << 20);
    Product *p = malloc(sizeof *p);
    PanelCache cache = {.most = 3 * EACH};
    Buffer *b[2] = {buffer_new(memory, 80 * 80 * 4), buffer_new(memory, 80 * 80 * 4)};
    Keep keep = {&cache, b[0], NULL};
    open_product(p, b[1]);
    open_product(p, b[0]);
    for (int i = 0; i < 20; i++) { /* two layouts in turn are both kept */
        p->c.b_row = i % 2 ? 64 : 1, p->c.b_col = i % 2 ? 1 : 64;
        times(p, &keep);
        assert_true(cache.packed <= (uint64_t)MIN_OF(i, 2));
    }
    assert_int_equal(cache.packed, 2);
    for (int i = 0; i < 20; i++) { /* of five more there is room for one */
        p->c.b = (float *)b[0]->data + 1 + i % 5;
        times(p, &keep);
    }
    assert_int_equal(cache.packed, 3);
    assert_int_equal(cache.bytes, cache.most);
    keep.of = b[1];
    p->c.b = b[1]->data;
    for (int i = 0; i < 3; i++) times(p, &keep);
    assert_int_equal(cache.packed, 3);
    buffer_release(b[0]);
    times(p, &keep);
    assert_int_equal(cache.packed, 4); /* there is room again */
    cache.most *= 100;
    for (int i = 0; i < 60; i++) { /* of one buffer there are so many */
        p->c.b = (float *)b[1]->data + i % 20;
        times(p, &keep);
    }
    assert_int_equal(cache.packed, 4 + 7);
    keep.of = NULL;
    times(p, &keep);
    assert_null(keep.panels);
    buffer_release(b[1]);
    assert_int_equal(cache.bytes, 0);
    Buffer *borrowed = buffer_borrow(p->want, sizeof p->want, NULL, NULL);
    float *other = malloc(sizeof p->want);
    fill(DT_f32, other, 64 * 64, 1);
    keep = (Keep){&cache, borrowed, NULL};
    p->c.b = other;
    for (int i = 0; i < 3; i++) times(p, &keep);
    assert_int_equal(cache.packed, 4 + 7);
    buffer_release(borrowed);
    pool_free(memory);
    free(other);
    free(p);
}

/* Elements that overlap may be more than any memory holds. */
static void too_many(void **state)
{
    (void)state;
    BufferPool *memory = pool_new(1 << 20);
    PanelCache cache = {.most = SIZE_MAX};
    Buffer *b = buffer_new(memory, 4096);
    Keep keep = {&cache, b, NULL};
    HostContract c = {.type = DT_f32, .to = DT_f32, .nbatch = 2, .batch = {(int64_t)1 << 31, (int64_t)1 << 31}, .m = 20, .n = 1 << 20, .k = 1 << 20, .b = b->data, .b_batch = {1, 1}, .b_row = 1, .b_col = 1, .keep = &keep};
    assert_null(panels_of(NULL, &c));
    assert_null(panels_of(NULL, &c));
    assert_int_equal(cache.bytes, 0);
    buffer_release(b);
    pool_free(memory);
}

static void no_memory(void **state)
{
    (void)state;
    BufferPool *memory = pool_new(1 << 20);
    PanelCache cache = {.most = SIZE_MAX};
    Buffer *b = buffer_new(memory, 80 * 80 * 4);
    Keep keep = {&cache, b, NULL};
    Product *p = malloc(sizeof *p);
    open_product(p, b);
    p->c.keep = &keep;
    assert_null(panels_of(NULL, &p->c));
    memory_fail_at(1, true);
    assert_null(panels_of(NULL, &p->c));
    memory_fail_at(0, false);
    assert_int_equal(cache.bytes, 0);
    const int64_t live = memory_count().live_blocks;
    assert_non_null(panels_of(NULL, &p->c));
    times(p, &keep);
    buffer_release(b);
    assert_int_equal(cache.bytes, 0);
    assert_true(memory_count().live_blocks <= live);
    pool_free(memory);
    free(p);
}

/* ---- engines ---------------------------------------------------------------------------------------------------------- */

enum { K = 256, N = 192, RESULTS = 6 };

/* Products, and of f32 a convolution, whose right operand is w[K][N] of any type, or some of it; x is f32[90,K]. */
static void products(kiln_tensor *x, kiln_tensor *w, kiln_tensor **out)
{
    kiln_tensor *f = kiln_dtype_of(w) != KILN_F32 ? kiln_cast(w, KILN_F32) : w;
    out[0] = kiln_matmul(x, f);
    out[1] = kiln_matmul(kiln_slice(x, 1, 0, N, 1), kiln_transpose(f, KILN_ALL));
    out[2] = kiln_matmul(kiln_slice(x, 1, 0, 250, 1), kiln_slice(kiln_slice(f, 0, 3, 253, 1), 1, 9, N, 1));
    out[3] = kiln_matmul(kiln_transpose(kiln_reshape(x, KILN_SHAPE(90, 2, K / 2)), KILN_AXES(1, 0, 2)), kiln_reshape(f, KILN_SHAPE(2, K / 2, N)));
    out[4] = f != w ? x : kiln_convolve(kiln_reshape(x, KILN_SHAPE(2, 18, 40, 16)), kiln_reshape(f, KILN_SHAPE(4, 4, 16, N)), (&(kiln_convolution){.pad = {{1, 2}}}));
    out[5] = kiln_dtype_of(w) == KILN_BF16 ? kiln_matmul(kiln_cast(x, KILN_BF16), w) : kiln_matmul(x, f);
}

typedef struct Weight {
    kiln *k;
    kiln_variable *v;
    kiln_tensor *x;
    kiln_function *f;
    bool traced;
    pthread_rwlock_t lock;
    atomic_int wrong;
} Weight;

static void body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    products(in[0], kiln_value(((Weight *)user)->v), out);
}

/* Everything that reads the weight, against the same of borrowed memory, which is never kept. How many found panels. */
static uint64_t look(Weight *w)
{
    KILN_SCOPE(w->k);
    kiln_tensor *v = kiln_value(w->v), *want[RESULTS], *got[RESULTS];
    const size_t bytes = kiln_bytes(v);
    void *copy = malloc(bytes);
    assert_true(kiln_read(v, copy, bytes));
    products(w->x, kiln_borrow(w->k, kiln_dtype_of(v), KILN_SHAPE(K, N), copy, NULL, NULL), want);
    const uint64_t before = kiln_panels_count(w->k).used;
    if (w->traced)
        kiln_call_all(w->f, kiln_tensors(&w->x, 1), got, RESULTS);
    else
        products(w->x, v, got);
    for (int i = 0; i < RESULTS; i++) w->wrong += memcmp(kiln_data(want[i]), kiln_data(got[i]), kiln_bytes(want[i])) != 0;
    free(copy);
    return kiln_panels_count(w->k).used - before;
}

static kiln_tensor *drawn(kiln *k, kiln_dtype t, double scale)
{
    kiln_variable *g = kiln_generator(k, 5);
    kiln_tensor *x = kiln_mul(kiln_uniform(g, KILN_F32, KILN_SHAPE(K, N), -1, 1), scale);
    return kiln_cast(x, t);
}

static void open_weight(Weight *w, kiln *k, kiln_dtype t, bool traced)
{
    *w = (Weight){.k = k, .traced = traced, .v = kiln_variable_new(k, "w", drawn(k, t, 90)), .x = kiln_own(kiln_slice(kiln_transpose(drawn(k, KILN_F32, 1), KILN_ALL), 0, 0, 90, 1))};
    w->x = kiln_own(kiln_add(w->x, 0));
    w->f = kiln_function_new(k, body, w, &(kiln_function_options){.outputs = RESULTS, .compile = KILN_WAIT});
}

/* Until all that can be is kept. */
static void settled(Weight *w, uint64_t least)
{
    for (int i = 0; i < 2; i++) look(w);
    assert_ok(w->k);
    const uint64_t found = look(w);
    if (found < least) fail_msg("only %d of the products find panels, not %d", (int)found, (int)least);
    assert_int_equal(w->wrong, 0);
}

static const void *place(kiln *k, kiln_variable *v)
{
    KILN_SCOPE(k);
    return kiln_data(kiln_value(v));
}

static void every_way_to_write(void **state)
{
    LATE_SKIP("products on a device keep no panels");
    kiln *k = *state;
    char folder[] = "/tmp/kiln-panels-XXXXXX";
    assert_non_null(mkdtemp(folder));
    for (int traced = 0; traced < 1 + front_has_llvm(); traced++) {
        KILN_SCOPE(k);
        Weight w;
        open_weight(&w, k, KILN_F32, traced);
        settled(&w, 4);
        kiln_assign(w.v, drawn(k, KILN_F32, 3));
        settled(&w, 4);
        kiln_assign_add(w.v, 0.5);
        settled(&w, 4);
        kiln_checkpoint *saved = kiln_checkpoint_new(k, folder, 2);
        kiln_checkpoint_add(saved, w.v);
        kiln_checkpoint_save(saved, 1);
        kiln_optimizer *o[] = {kiln_sgd(k, 0.5, 0.9), kiln_adam(k, 0.5)};
        for (int i = 0; i < 2; i++) {
            kiln_tensor *g = drawn(k, KILN_F32, i + 1);
            for (int step = 0; step < 3; step++) {
                const void *at = place(k, w.v);
                kiln_optimizer_apply(o[i], &w.v, &g, 1);
                assert_ptr_equal(place(k, w.v), at); /* it is written where it lies */
                settled(&w, 4);
            }
            kiln_optimizer_free(o[i]);
        }
        kiln_checkpoint_restore_latest(saved);
        settled(&w, 4);
        kiln_checkpoint_free(saved);
        kiln_variable_free(w.v); /* a new one may get its memory */
        w.v = kiln_variable_new(k, "again", drawn(k, KILN_F32, 7));
        w.f = kiln_function_new(k, body, &w, &(kiln_function_options){.outputs = RESULTS});
        settled(&w, 4);
        assert_ok(k);
    }
    assert_true(kiln_panels_count(k).bytes <= kiln_panels_count(k).most);
}

static void every_type(void **state)
{
    LATE_SKIP("products on a device keep no panels");
    static const kiln_dtype types[] = {KILN_F16, KILN_BF16, KILN_F8_E4M3, KILN_I8, KILN_U8, KILN_I16};
    if (!front_has_llvm()) return;
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        KILN_SCOPE(*state);
        Weight w;
        open_weight(&w, *state, types[i], true);
        settled(&w, 3);
        kiln_assign(w.v, drawn(*state, types[i], 50));
        settled(&w, 3);
    }
}

/* ---- threads ----------------------------------------------------------------------------------------------------------- */

static void *calls(void *arg)
{
    Weight *w = arg;
    for (int i = 0; i < 12; i++) {
        pthread_rwlock_rdlock(&w->lock);
        look(w);
        pthread_rwlock_unlock(&w->lock);
    }
    return NULL;
}

static void *assigns(void *arg)
{
    Weight *w = arg;
    for (int i = 0; i < 6; i++) {
        KILN_SCOPE(w->k);
        kiln_tensor *now = drawn(w->k, KILN_F32, i + 1), *g = drawn(w->k, KILN_F32, 1);
        kiln_optimizer *o = i % 2 ? kiln_sgd(w->k, 0.5, 0) : NULL;
        pthread_rwlock_wrlock(&w->lock);
        if (o)
            kiln_optimizer_apply(o, &w->v, &g, 1);
        else
            kiln_assign(w->v, now);
        pthread_rwlock_unlock(&w->lock);
        kiln_optimizer_free(o);
    }
    return NULL;
}

/* Two read the weight, which a third assigns between their reads. */
static void threads_meet(void **state)
{
    for (int traced = 0; traced < 1 + front_has_llvm(); traced++) {
        KILN_SCOPE(*state);
        Weight w;
        pthread_t thread[3];
        open_weight(&w, *state, KILN_F32, traced);
        pthread_rwlock_init(&w.lock, NULL);
        for (int i = 0; i < 3; i++) assert_int_equal(pthread_create(&thread[i], NULL, i < 2 ? calls : assigns, &w), 0);
        for (int i = 0; i < 3; i++) pthread_join(thread[i], NULL);
        pthread_rwlock_destroy(&w.lock);
        assert_int_equal(w.wrong, 0);
        assert_ok(*state);
    }
}

/* ---- the list --------------------------------------------------------------------------------------------------------------- */

#define ON_TIERS(f) ON_TIER(f, 0), ON_TIER(f, 1), ON_TIER(f, 2)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_TIERS(the_same_bits),
        ON_TIERS(batches),
        ON_TIERS(convolutions),
        cmocka_unit_test(bounded),
        cmocka_unit_test(too_many),
        cmocka_unit_test(no_memory),
        FRONT_TEST(every_way_to_write),
        FRONT_TEST(every_type),
        FRONT_TEST(threads_meet),
    };
    return cmocka_run_group_tests(tests, open_pool, close_pool);
}
