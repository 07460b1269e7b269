/* Kernels that run on rows of a product or convolution as soon as these are made: the routine hands out each row once, and when it is
 * whole, however it was cut; programs that may join do, and those that may not do not, be the products the routine's or emitted. Products that read narrow operands as they are, without a cast before them.
 * Eager bits in all cases, on any number of threads. */
#include <stdlib.h>
#include <unistd.h>

#include "codegen/contract/contract_parts.h"
#include "ir/element.h"
#include "front.h"
#include "pool.h"
#include "dumped.h"

/* ---- the routine ---------------------------------------------------------------------------------- */

static const int64_t the_dim = 42;

typedef struct Seen {
    const char *made;
    char *copy;
    _Atomic(int) *times; /* per element */
    size_t bytes;        /* of one */
    int64_t rows, columns;
    HostRows how;
} Seen;

static _Atomic(int) in_part; /* calls for some columns of rows */

static void see_elements(Seen *s, int64_t lo, int64_t hi)
{
    memcpy(s->copy + (size_t)lo * s->bytes, s->made + (size_t)lo * s->bytes, (size_t)(hi - lo) * s->bytes);
    for (; lo < hi; lo++) atomic_fetch_add(&s->times[lo], 1);
}

static void see(void *const *buf, const int64_t *dim, int64_t lo, int64_t hi, int64_t from, int64_t end)
{
    Seen *s = buf[0];
    assert_int_equal(dim[0], 42);
    if (s->how.each == s->columns) {
        see_elements(s, lo, hi);
        return;
    }
    if (s->how.columns == 0) from = 0, end = s->columns;
    if (end - from < s->columns) atomic_fetch_add(&in_part, 1);
    for (; lo < hi; lo++) see_elements(s, lo * s->columns + from, lo * s->columns + end);
}


static float *numbers(int type, int64_t n)
{
    char *x = malloc((size_t)(n + 1) * dtype_bytes((DType)type));
    for (int64_t i = 0; i < n; i++)
        dtype_store_f64((DType)type, x + i * (int64_t)dtype_bytes((DType)type), (double)(i * 7919 % 1009) / 1009 - .5);
    return (float *)(void *)x;
}

/* way: 1 elements in place of rows, 2 any columns of them */
static Seen seen_of(void *to, int64_t rows, int64_t columns, int way, size_t bytes)
{
    Seen s = {.made = to, .copy = calloc((size_t)(rows * columns + 1), bytes), .bytes = bytes, .rows = rows, .columns = columns};
    s.times = calloc((size_t)(rows * columns + 1), sizeof *s.times);
    s.how = (HostRows){see, NULL, &the_dim, way & 1 ? columns : 1, way & 2 ? columns : 0};
    return s;
}

static void check_seen(Seen *s)
{
    for (int64_t i = 0; i < s->rows * s->columns; i++) assert_int_equal(s->times[i], 1);
    assert_memory_equal(s->copy, s->made, (size_t)(s->rows * s->columns) * s->bytes);
    free(s->copy);
    free((void *)s->times);
}

static void products(void **state)
{
    (void)state;
    in_part = 0;
    static const int64_t extents[][4] = {{1, 64, 64, 64}, {1, 300, 700, 40}, {3, 50, 90, 130}, {1, 2, 5000, 300}, {1, 900, 1, 60}, {1, 20, 30, 70000},
        {1, 820, 830, 810}, {2, 5, 7, 0}, {512, 32, 32, 32}, {1, 1, 4096, 1000}, {1, 9, 9, 9000}};
    for (size_t i = 0; i < COUNT_OF(extents); i++)
        for (int type = DT_bf16; type <= DT_f64; type++)
            for (int way = 0; way < 8; way++) {
                int64_t batch = extents[i][0], m = extents[i][1], n = extents[i][2], k = extents[i][3];
                size_t bytes = dtype_bytes((DType)type);
                float *a = numbers(type, batch * m * k), *b = numbers(type, batch * k * n), *c = malloc((size_t)(batch * m * n) * bytes);
                Seen s = seen_of(c, batch * m, n, way % 4, bytes);
                void *buf[] = {&s};
                s.how.buf = buf;
                HostContract h = {.type = type, .to = type, .nbatch = 1, .batch = {batch}, .m = m, .n = n, .k = k, .a = a, .b = b, .c = c, .a_batch = {m * k},
                    .b_batch = {k * n}, .a_row = k, .a_col = 1, .b_row = n, .b_col = 1, .rows = s.how};
                Status st = {0};
                assert_true(contract_run(way / 4 ? threads : NULL, &h, false, &st));
                check_seen(&s);
                free(a), free(b), free(c);
            }
    assert_true(in_part > 0);
}

static void convolutions(void **state)
{
    (void)state;
    in_part = 0;
    static const int64_t shapes[][7] = { /* n, height, channels, filters, taps, groups, spread */
        {2, 30, 8, 40, 3, 1, 1}, {1, 40, 3, 300, 3, 1, 1}, {3, 14, 8, 8, 3, 4, 1}, {2, 12, 1, 1, 3, 96, 1}, {2, 9, 6, 20, 3, 1, 2}, {2, 12, 20, 40, 1, 1, 1},
        {1, 700, 2, 6, 3, 1, 1}, {1, 16, 1000, 5, 3, 1, 1}};
    for (size_t i = 0; i < COUNT_OF(shapes); i++)
        for (int type = DT_bf16; type <= DT_f64; type++)
            for (int way = 0; way < 8; way++) {
                const int64_t *p = shapes[i];
                int64_t out = p[1] * p[6], columns = p[3] * p[5], rows = p[0] * out * out;
                size_t bytes = dtype_bytes((DType)type);
                float *x = numbers(type, p[0] * p[1] * p[1] * p[2] * p[5]), *w = numbers(type, p[4] * p[4] * p[2] * columns);
                float *y = malloc((size_t)(rows * columns) * bytes);
                Seen s = seen_of(y, rows, columns, way % 4, bytes);
                void *buf[] = {&s};
                s.how.buf = buf;
                HostConv h = {.type = type, .n = p[0], .groups = p[5], .c = p[2], .o = p[3], .in = {1, p[1], p[1]}, .taps = {1, p[4], p[4]},
                    .out = {1, out, out}, .stride = {1, 1, 1}, .dilation = {1, 1, 1}, .spread = {1, p[6], p[6]}, .low = {0, p[4] / 2, p[4] / 2},
                    .x = x, .with = w, .to = y, .rows = s.how};
                Status st = {0};
                assert_true(contract_convolve(way / 4 ? threads : NULL, &h, &st));
                check_seen(&s);
                free(x), free(w), free(y);
            }
    assert_true(in_part > 0);
}

/* ---- without memory -------------------------------------------------------------------------------------- */

/* Any allocation may be refused: that is a Status, or all rows are right and were seen once; nothing is lost. */
/* How many were refused with an error. */
static int starve(HostContract *h, HostConv *v, int64_t rows, int64_t columns, bool with_threads)
{
    const int type = h ? h->type : v->type;
    const bool seen = h || !v->filters;
    const size_t bytes = dtype_bytes((DType)type), all = (size_t)(rows * columns) * bytes;
    char *c = calloc(all + 1, 1), *want = malloc(all + 1);
    int failed = 0, bitten = 0;
    if (h) h->c = c;
    if (v) v->to = c;
    for (uint64_t n = 0; n == 0 || bitten > 0; n++) {
        ThreadPool *pool = with_threads ? threads_new(3) : NULL;
        Seen s = seen_of(c, rows, columns, n % 2 ? 2 : 0, bytes);
        void *buf[] = {&s};
        s.how.buf = buf;
        Status st = {0};
        const int64_t live = memory_count().live_blocks;
        const uint64_t before = memory_count().allocations;
        if (h) h->rows = s.how;
        if (v && seen) v->rows = s.how;
        memset(c, 0x55, all);
        memory_fail_at(n, false);
        const bool ok = h ? contract_run(pool, h, false, &st) : contract_convolve(pool, v, &st);
        memory_fail_at(0, false);
        bitten = n == 0 || memory_count().allocations - before >= n;
        if (!with_threads) assert_int_equal(memory_count().live_blocks, live);
        if (n == 0) memcpy(want, c, all);
        if (n == 0) assert_true(ok);
        if (ok) assert_memory_equal(c, want, all);
        if (!ok) assert_int_equal(st.code, ST_MEMORY);
        failed += !ok;
        if (ok && seen) {
            check_seen(&s);
        } else {
            free(s.copy);
            free((void *)s.times);
        }
        if (pool) threads_free(pool);
    }
    free(c);
    free(want);
    return failed;
}

static void no_memory(void **state)
{
    (void)state;
    static const int64_t products_of[][3] = {{300, 700, 40}, {2, 5000, 300}, {20, 30, 70000}, {820, 830, 810}};
    static const int64_t shapes[][7] = { /* n, height, channels, filters, taps, groups, spread */
        {2, 30, 8, 40, 3, 1, 1}, {1, 40, 3, 300, 3, 1, 1}, {3, 14, 8, 8, 3, 4, 1}, {2, 12, 1, 1, 3, 96, 1}, {2, 9, 6, 20, 3, 1, 2}, {1, 8, 1000, 5, 3, 1, 1}};
    const int64_t blocks = memory_count().live_blocks;
    int failed = 0;
    for (int way = 0; way < 6; way++) {
        const int type = way / 2 == 0 ? DT_f32 : way / 2 == 1 ? DT_bf16 : DT_f64;
        for (size_t i = 0; i < COUNT_OF(products_of); i++) {
            const int64_t m = products_of[i][0], n = products_of[i][1], k = products_of[i][2];
            float *a = numbers(type, m * k), *b = numbers(type, k * n);
            HostContract h = {.type = type, .to = type, .m = m, .n = n, .k = k, .a = a, .b = b, .a_row = k, .a_col = 1, .b_row = n, .b_col = 1};
            failed += starve(&h, NULL, m, n, way % 2);
            free(a), free(b);
        }
        for (size_t i = 0; i < COUNT_OF(shapes); i++)
            for (int filters = 0; filters < (shapes[i][6] == 1 ? 2 : 1); filters++) {
                const int64_t *p = shapes[i];
                int64_t out = p[1] * p[6], columns = p[3] * p[5], rows = filters ? p[4] * p[4] * p[2] : p[0] * out * out;
                float *x = numbers(type, p[0] * p[1] * p[1] * p[2] * p[5]), *w = numbers(type, (filters ? p[0] * out * out : p[4] * p[4] * p[2]) * columns);
                HostConv v = {.type = type, .filters = filters, .n = p[0], .groups = p[5], .c = p[2], .o = p[3], .in = {1, p[1], p[1]}, .taps = {1, p[4], p[4]},
                    .out = {1, out, out}, .stride = {1, 1, 1}, .dilation = {1, 1, 1}, .spread = {1, p[6], p[6]}, .low = {0, p[4] / 2, p[4] / 2}, .x = x, .with = w};
                failed += starve(NULL, &v, rows, columns, way % 2);
                free(x), free(w);
            }
    }
    assert_int_equal(memory_count().live_blocks, blocks);
    assert_true(failed > 100);
}

/* ---- programs ------------------------------------------------------------------------------------- */

#define CASE(name) static void name(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
#define S(...) KILN_SHAPE(__VA_ARGS__)
#define NOT_USED (void)k, (void)user

CASE(layer) /* x [300, 200], w [200, 150], b [150] */
{
    NOT_USED;
    out[0] = kiln_tanh(kiln_add(kiln_matmul(in[0], in[1]), in[2]));
}

CASE(rows) /* a row of the result needs all of the product's */
{
    NOT_USED;
    out[0] = kiln_softmax(kiln_matmul(in[0], in[1]), -1);
}

CASE(kept) /* the product is a result, too */
{
    NOT_USED;
    out[0] = kiln_matmul(in[0], in[1]);
    out[1] = kiln_tanh(kiln_add(out[0], in[2]));
}

CASE(columns) /* a column needs all rows */
{
    NOT_USED;
    out[0] = kiln_sum(kiln_matmul(in[0], in[1]), KILN_AXES(0));
}

CASE(turned)
{
    NOT_USED;
    out[0] = kiln_tanh(kiln_add(kiln_transpose(kiln_matmul(in[0], in[1]), KILN_ALL), 1.f));
}

CASE(operand_again) /* what is made may not lie over what the product reads: x is [300, 300] here */
{
    NOT_USED;
    kiln_tensor *x = kiln_tanh(in[0]);
    out[0] = kiln_add(kiln_matmul(x, x), x);
}

CASE(over_operand) /* x [300, 100], w [100, 300], v [300, 50]: what is made may not lie where the product still reads, wherever there is room after it */
{
    NOT_USED;
    out[1] = kiln_matmul(kiln_tanh(in[0]), in[1]);
    out[0] = kiln_matmul(kiln_exp(out[1]), in[2]);
}

CASE(loop) /* the kernel writes the next carry over the one that the product reads */
{
    NOT_USED;
    kiln_variable *h = kiln_local(k, in[0]);
    KILN_FOR(k, i, 5) kiln_assign(h, kiln_tanh(kiln_add(kiln_matmul(kiln_value(h), in[1]), in[2])));
    out[0] = kiln_value(h);
}

CASE(image) /* x [4, 20, 20, 9], w [3, 3, 9, 70], b [70] */
{
    NOT_USED;
    out[0] = kiln_tanh(kiln_add(kiln_conv2d(in[0], in[1], &(kiln_window){.same = true}), in[2]));
}

CASE(residual) /* x [4, 20, 20, 9], w [3, 3, 9, 9], b [9] */
{
    NOT_USED;
    kiln_tensor *y = kiln_add(kiln_conv2d(in[0], in[1], &(kiln_window){.same = true}), in[2]);
    out[0] = kiln_softmax(kiln_add(y, in[0]), -1);
}

CASE(batches) /* x [6, 200, 90], w [6, 90, 150] */
{
    NOT_USED;
    out[0] = kiln_softmax(kiln_mul(kiln_matmul(in[0], in[1]), .125f), -1);
}

CASE(quantised) /* x [300, 200], w [200, 150] of a narrow type, scale [150] */
{
    NOT_USED;
    out[0] = kiln_mul(kiln_matmul(in[0], kiln_cast(in[1], KILN_F32)), in[2]);
}

CASE(both_narrow)
{
    NOT_USED;
    out[0] = kiln_matmul(kiln_transpose(kiln_cast(in[0], KILN_F32), KILN_ALL), kiln_cast(kiln_transpose(in[1], KILN_ALL), KILN_F32));
}

CASE(read_twice) /* a kernel wants the cast, too */
{
    NOT_USED;
    kiln_tensor *w = kiln_cast(in[1], KILN_F32);
    out[0] = kiln_matmul(in[0], w);
    out[1] = kiln_tanh(w);
}

/* x [300, 200], w [200, 150]: a row of the result needs that row of the product and some before it, in a kernel that is not cut into parts */
CASE(rows_above)
{
    NOT_USED;
    kiln_tensor *y = kiln_matmul(in[0], in[1]);
    out[0] = kiln_tanh(y);
    for (int i = 1; i < 13; i++) out[0] = kiln_add(out[0], kiln_pad(kiln_slice(y, 0, 0, -i, 1), S(i, 0), S(0, 0), 0));
}

CASE(rows_below)
{
    NOT_USED;
    kiln_tensor *y = kiln_matmul(in[0], in[1]);
    out[0] = kiln_tanh(y);
    for (int i = 1; i < 13; i++) out[0] = kiln_add(out[0], kiln_pad(kiln_slice(y, 0, i, KILN_END, 1), S(0, 0), S(i, 0), 0));
}

CASE(corners_above) /* of the rows before it the first elements alone */
{
    NOT_USED;
    kiln_tensor *y = kiln_matmul(in[0], in[1]);
    out[0] = kiln_tanh(kiln_slice(y, 1, 0, 1, 1));
    for (int i = 1; i < 13; i++)
        out[0] = kiln_add(out[0], kiln_pad(kiln_slice(kiln_slice(y, 0, 0, -i, 1), 1, 0, 1, 1), S(i, 0), S(0, 0), 0));
}

CASE(corners_below) /* of the rows behind it the first elements alone */
{
    NOT_USED;
    kiln_tensor *y = kiln_matmul(in[0], in[1]);
    out[0] = kiln_tanh(kiln_slice(y, 1, 0, 1, 1));
    for (int i = 1; i < 13; i++)
        out[0] = kiln_add(out[0], kiln_pad(kiln_slice(kiln_slice(y, 0, i, KILN_END, 1), 1, 0, 1, 1), S(0, 0), S(i, 0), 0));
}

typedef struct Program {
    const char *name;
    kiln_body *body;
    int outs;
    const char *says; /* what its text has, */
    bool has;         /* or has not */
    kiln_shape in[3];
    kiln_dtype type[3]; /* 0: drawn */
} Program;

#define JOINS ", row by row"

static kiln_tensor *operand(kiln *k, kiln_dtype t, kiln_shape s, int seed)
{
    int64_t n = 1;
    for (int64_t i = 1; i <= s.rank; i++) n *= s.size[i];
    float *x = malloc((size_t)n * sizeof *x);
    float scale = t == KILN_I8 || t == KILN_U8 || t == KILN_U16 ? 200 : 1;
    for (int64_t i = 0; i < n; i++) x[i] = ((float)((i + seed) * 7919 % 2003) / 4006.f - (t == KILN_I8 || scale == 1 ? .25f : 0)) * scale;
    kiln_tensor *made = kiln_cast(kiln_from(k, KILN_F32, s, x, n), t);
    free(x);
    return made;
}

static void run(const Program *p, kiln_dtype t, int count)
{
    char folder[] = "/tmp/kiln-join-XXXXXX";
    assert_non_null(mkdtemp(folder));
    setenv("KILN_DUMP", "program", 1);
    setenv("KILN_DUMP_DIR", folder, 1);
    kiln *k = kiln_open(&(kiln_options){.threads = count, .compile = KILN_WAIT});
    {
        KILN_SCOPE(k);
        kiln_tensor *in[3], *eager[2], *compiled[2];
        kiln_operand operands[3];
        int n = 0;
        for (; n < 3 && p->in[n].rank > 0; n++) in[n] = operand(k, p->type[n] ? p->type[n] : t, p->in[n], n), operands[n] = KILN_OPERAND(in[n]);
        p->body(k, in, eager, NULL);
        kiln_function *f = kiln_function_new(k, p->body, NULL, &(kiln_function_options){.name = p->name, .outputs = p->outs});
        for (int again = 0; again < 2; again++) {
            kiln_call_all(f, operands, n, compiled, p->outs);
            assert_ok(k);
            for (int i = 0; i < p->outs; i++) {
                assert_int_equal(kiln_bytes(eager[i]), kiln_bytes(compiled[i]));
                if (memcmp(kiln_data(eager[i]), kiln_data(compiled[i]), (size_t)kiln_bytes(eager[i])) != 0)
                    fail_msg("%s: result %d is not eager code's", p->name, i);
            }
        }
    }
    assert_int_equal(kiln_close(k), 0);
    unsetenv("KILN_DUMP");
    int found;
    dumped_lines(folder, &p->says, 1, &found);
    if ((found > 0) != p->has) fail_msg("%s: %d lines have \"%s\"", p->name, found, p->says);
    rmdir(folder);
}

static void programs(void **state)
{
    (void)state;
    const kiln_shape x = S(300, 200), w = S(200, 150), b = S(150), img = S(4, 20, 20, 9);
    const Program all[] = {
        {"layer", layer, 1, JOINS, true, {x, w, b}, {KILN_NONE}},
        {"rows", rows, 1, JOINS, true, {x, w}, {KILN_NONE}},
        /* emitted ones, of tiles that are as high, and of some that are higher than others; kept and in a loop */
        {"emitted", layer, 1, JOINS, true, {S(64, 110), S(110, 150), S(150)}, {KILN_NONE}},
        {"emitted_uneven", layer, 1, JOINS, true, {S(67, 110), S(110, 150), S(150)}, {KILN_NONE}},
        {"emitted_rows", rows, 1, JOINS, true, {S(93, 140), S(140, 130)}, {KILN_NONE}},
        {"emitted_kept", kept, 2, JOINS, true, {S(45, 200), S(200, 170), S(170)}, {KILN_NONE}},
        {"emitted_columns", columns, 1, JOINS, false, {S(64, 110), S(110, 150)}, {KILN_NONE}},
        {"emitted_turned", turned, 1, JOINS, false, {S(64, 110), S(110, 150)}, {KILN_NONE}},
        {"emitted_loop", loop, 1, JOINS, false, {S(96, 96), S(96, 96), S(96)}, {KILN_NONE}},
        {"kept", kept, 2, JOINS, true, {x, w, b}, {KILN_NONE}},
        {"columns", columns, 1, JOINS, false, {x, w}, {KILN_NONE}},
        {"turned", turned, 1, JOINS, false, {x, w}, {KILN_NONE}},
        {"operand_again", operand_again, 1, JOINS, true, {S(300, 300)}, {KILN_NONE}},
        {"over_operand", over_operand, 2, JOINS, true, {S(300, 100), S(100, 300), S(300, 50)}, {KILN_NONE}},
        {"loop", loop, 1, JOINS, false, {S(200, 200), S(200, 200), S(200)}, {KILN_NONE}},
        {"rows_above", rows_above, 1, JOINS, false, {x, w}, {KILN_NONE}},
        {"rows_below", rows_below, 1, JOINS, false, {x, w}, {KILN_NONE}},
        {"corners_above", corners_above, 1, JOINS, false, {x, w}, {KILN_NONE}},
        {"corners_below", corners_below, 1, JOINS, false, {x, w}, {KILN_NONE}},
        {"image", image, 1, JOINS, true, {img, S(3, 3, 9, 70), S(70)}, {KILN_NONE}},
        {"residual", residual, 1, JOINS, true, {img, S(3, 3, 9, 9), S(9)}, {KILN_NONE}},
        {"quantised", quantised, 1, "contract f32 by i8", true, {x, w, b}, {KILN_F32, KILN_I8, KILN_F32}},
        {"bytes", quantised, 1, "contract f32 by u8", true, {x, w, b}, {KILN_F32, KILN_U8, KILN_F32}},
        {"words", quantised, 1, "contract f32 by u16", true, {x, w, b}, {KILN_F32, KILN_U16, KILN_F32}},
        {"half", quantised, 1, "contract f32 by bf16", true, {x, w, b}, {KILN_F32, KILN_BF16, KILN_F32}},
        {"one_row", quantised, 1, "contract f32 by i8", true, {S(1, 3000), S(3000, 1000), S(1000)}, {KILN_F32, KILN_I8, KILN_F32}},
        {"one_column", quantised, 1, "contract f32 by i8", true, {S(1000, 3000), S(3000, 1), S(1)}, {KILN_F32, KILN_I8, KILN_F32}},
        {"large", quantised, 1, "contract bf16 by i8", false, {S(900, 800), S(800, 820), S(820)}, {KILN_F32, KILN_I8, KILN_F32}},
        {"small", quantised, 1, " by ", false, {S(3, 4), S(4, 5), S(5)}, {KILN_F32, KILN_I8, KILN_F32}},
        {"both_narrow", both_narrow, 1, "contract bf16 by i8", true, {S(200, 300), S(150, 200)}, {KILN_BF16, KILN_I8}},
        {"read_twice", read_twice, 2, " by ", false, {x, w}, {KILN_F32, KILN_I8}},
        {"batches", batches, 1, JOINS, true, {S(6, 200, 90), S(6, 90, 150)}, {KILN_NONE}},
    };
    if (!front_has_llvm()) {
        printf("skip: the LLVM module is not at hand\n");
        skip();
    }
    for (size_t i = 0; i < COUNT_OF(all); i++)
        for (int count = 1; count < 4; count++) run(&all[i], count == 3 ? KILN_F64 : KILN_F32, count);
    run(&all[0], KILN_BF16, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(products), cmocka_unit_test(convolutions), cmocka_unit_test(no_memory), cmocka_unit_test(programs)};
    return cmocka_run_group_tests(tests, open_pool, close_pool);
}
