/* The LLVM backend's kernels that read turned operands, in squares, and those that write past the caches: copies of every size of
 * element; sums of turned, plain and guarded operands and of indices; between pages that must not be touched, whole and in chunks of
 * either axis, with known sizes and with symbols, for this CPU and for others. Then functions, whose programs say so. */
#include "product_make.h"

#include <kiln/kiln.h>


#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "dumped.h"

static const DType types[] = {DT_f32, DT_f64, DT_u8, DT_bool, DT_f16, DT_i16, DT_i64};
enum { BATCH = 2, TYPES = COUNT_OF(types), CHUNKS = 3 };

static const int64_t rows_of[] = {1, 3, 4, 5, 17, 70};
static const int64_t columns_of[] = {1, 7, 8, 17, 64, 65, 131};

static bool turns;
static int64_t past; /* results of so many bytes go past the caches; 0: none */

static void store(Make *m, uint32_t stream, int32_t value)
{
    make_store(m, stream, value, 0);
    m->store.at[m->store.len - 1].past = past;
}

/* Axes: batch, rows, columns. All of a row lies together in the results, all of a column in what is turned. */
static void begin(Make *m, Dim rows, Dim columns, int chunk, uint32_t nbuf)
{
    make_kernel(m, 3, (Dim[]){BATCH, rows, columns}, -1, 2, chunk, 4, nbuf);
    m->k.turn = turns ? 1 : -1;
    m->k.cost = 40000; /* so that it is shared */
    make_stage(m, false);
}

static uint32_t lies(Make *m, uint32_t buf, DType t, Dim rows, Dim columns, bool turned, int32_t guard)
{
    const Dim page = make_dim(m, dim_mul(&m->module->dims, rows, columns));
    return make_stream(m, buf, t, 0, (Dim[]){page, turned ? 1 : columns, turned ? rows : 1}, -1, guard);
}

static void copy(Make *m, DType t, Dim rows, Dim columns, int chunk, uint32_t in, uint32_t out)
{
    const uint32_t buf[2] = {in, out};
    begin(m, rows, columns, chunk, 2);
    int32_t x = make_load(m, lies(m, 0, t, rows, columns, true, -1));
    store(m, lies(m, 1, t, rows, columns, false, -1), x);
    make_step(m, make_run(m, make_kernel_end(m), 2, buf));
}

/* turned f32 + turned u8 + plain f32 where row + column < 20 + 3 row + column + one f32 per row + one per column */
static void sum(Make *m, Dim rows, Dim columns, int chunk, const uint32_t *buf)
{
    const Scalar three = {.i = 3}, limit = {.i = 20};
    begin(m, rows, columns, chunk, 6);
    int32_t i = make_axis(m, 1), j = make_axis(m, 2), both = make_prim(m, P_add, DT_i64, i, j, -1);
    int32_t few = make_prim(m, P_lt, DT_bool, both, make_const(m, DT_i64, limit), -1);
    int32_t at = make_prim(m, P_add, DT_i64, make_prim(m, P_mul, DT_i64, i, make_const(m, DT_i64, three), -1), j, -1);
    int32_t x = make_load(m, lies(m, 0, DT_f32, rows, columns, true, -1)), z = make_load(m, lies(m, 1, DT_u8, rows, columns, true, -1));
    x = make_prim(m, P_add, DT_f32, x, make_prim(m, P_cvt, DT_f32, z, -1, -1), -1);
    x = make_prim(m, P_add, DT_f32, x, make_load(m, lies(m, 2, DT_f32, rows, columns, false, few)), -1);
    x = make_prim(m, P_add, DT_f32, x, make_prim(m, P_cvt, DT_f32, at, -1, -1), -1);
    x = make_prim(m, P_add, DT_f32, x, make_load(m, make_stream(m, 3, DT_f32, 0, (Dim[]){0, 1, 0}, -1, -1)), -1);
    x = make_prim(m, P_add, DT_f32, x, make_load(m, make_stream(m, 4, DT_f32, 0, (Dim[]){0, 0, 1}, -1, -1)), -1);
    store(m, lies(m, 5, DT_f32, rows, columns, false, -1), x);
    make_step(m, make_run(m, make_kernel_end(m), 6, buf));
}

/* Inputs: one of each type, then those of `sum`; results: one copy of each, then the sum; and all again for each chunk axis. */
enum { INPUTS = TYPES + 5, EACH = TYPES + 1, BUFFERS = INPUTS + CHUNKS * EACH };
static const DType sum_types[] = {DT_f32, DT_u8, DT_f32, DT_f32, DT_f32, DT_f32};

static void make_all(Make *m, Dim rows, Dim columns)
{
    uint32_t in[INPUTS], out[CHUNKS][EACH];
    for (uint32_t i = 0; i < INPUTS; i++) in[i] = make_input(m, i < TYPES ? types[i] : sum_types[i - TYPES]);
    for (uint32_t c = 0; c < CHUNKS; c++)
        for (uint32_t i = 0; i < EACH; i++) out[c][i] = make_output(m, i < TYPES ? types[i] : DT_f32);
    for (uint32_t c = 0; c < CHUNKS; c++) {
        for (uint32_t i = 0; i < TYPES; i++) copy(m, types[i], rows, columns, (int)c, in[i], out[c][i]);
        uint32_t buf[6];
        memcpy(buf, in + TYPES, sizeof buf - sizeof *buf);
        buf[5] = out[c][TYPES];
        sum(m, rows, columns, (int)c, buf);
    }
}

static DType type_of(uint32_t buffer)
{
    if (buffer < INPUTS) return buffer < TYPES ? types[buffer] : sum_types[buffer - TYPES];
    return (buffer - INPUTS) % EACH < TYPES ? types[(buffer - INPUTS) % EACH] : DT_f32;
}

static double element(void *const *buf, uint32_t b, int64_t at)
{
    return dtype_load_f64(type_of(b), (const char *)buf[b] + (size_t)at * dtype_bytes(type_of(b)));
}

static double expected(void *const *buf, uint32_t number, int64_t p, int64_t i, int64_t j, int64_t rows, int64_t columns)
{
    const int64_t page = p * rows * columns, turned = page + j * rows + i;
    if (number < TYPES) return element(buf, number, turned);
    double x = element(buf, TYPES, turned) + element(buf, TYPES + 1, turned) + (double)(3 * i + j);
    if (i + j < 20) x += element(buf, TYPES + 2, page + i * columns + j);
    return x + element(buf, TYPES + 3, i) + element(buf, TYPES + 4, j);
}

static void check(EntryFn *entry, int64_t rows, int64_t columns, bool at_end, const KilnHost *host)
{
    Guarded guard[BUFFERS];
    void *buf[BUFFERS];
    const int64_t size[2] = {rows, columns}, n = BATCH * rows * columns;
    for (uint32_t b = 0; b < BUFFERS; b++) {
        const int64_t count = b == TYPES + 3 ? rows : b == TYPES + 4 ? columns : n;
        const size_t bytes = dtype_bytes(type_of(b));
        guard[b] = guarded_new((size_t)count * bytes, at_end);
        buf[b] = guard[b].at;
        memset(buf[b], 0, (size_t)count * bytes);
        for (int64_t i = 0; i < count && b < INPUTS; i++)
            dtype_store_f64(type_of(b), guard[b].at + (size_t)i * bytes, type_of(b) == DT_bool ? (double)(i * 7 % 3 % 2) : (double)(i * 11 % 121));
    }
    assert_int_equal(entry(buf, size, NULL, host), 0);
    for (uint32_t b = INPUTS; b < BUFFERS; b++)
        for (int64_t i = 0; i < n; i++) {
            const int64_t in = i % (rows * columns);
            const double want = expected(buf, (b - INPUTS) % EACH, i / (rows * columns), in / columns, in % columns, rows, columns);
            if (element(buf, b, i) != want)
                fail_msg("%lld rows of %lld, result %u: element %lld is %g, not %g", (long long)rows, (long long)columns, b - INPUTS, (long long)i,
                    element(buf, b, i), want);
        }
    for (uint32_t b = 0; b < BUFFERS; b++) guarded_free(&guard[b]);
}

static void check_both(EntryFn *entry, int64_t rows, int64_t columns)
{
    const KilnHost host = {.run = product_run_backwards};
    for (int at_end = 0; at_end < 2; at_end++) {
        check(entry, rows, columns, at_end, NULL);
        check(entry, rows, columns, at_end, &host);
    }
}

static void make_symbols(Make *m)
{
    Dim rows = make_symbol(m, "R", 1, 1 << 12), columns = make_symbol(m, "C", 1, 1 << 12);
    make_all(m, rows, columns);
}

static void check_symbols(EntryFn *entry)
{
    product_chunks = 0;
    const uint32_t each = getenv("KILN_TEST_FULL") ? 1 : 3; /* every third pair, so that each size meets some of all others */
    for (uint32_t i = 0; i < COUNT_OF(rows_of); i++)
        for (uint32_t j = i % each; j < COUNT_OF(columns_of); j += each) check_both(entry, rows_of[i], columns_of[j]);
    assert_true(product_chunks > 0);
}

static void any_size(void)
{
    Make *m = make_new();
    Status st = {0};
    make_symbols(m);
    Compiled *c = llvm_backend()->compile(make_program(m), &(CompileOptions){0}, &st);
    if (!c) fail_msg("%s", st.text);
    check_symbols(llvm_backend()->entry(c));
    llvm_backend()->release(c);
    make_free(m);
}

static void known_sizes(void)
{
    static const int64_t known[][2] = {{3, 40}, {4, 16}, {12, 17}, {16, 64}, {17, 100}, {64, 8}, {70, 3}};
    for (uint32_t i = 0; i < COUNT_OF(known); i++) {
        Make *m = make_new();
        Status st = {0};
        make_all(m, known[i][0], known[i][1]);
        Compiled *c = llvm_backend()->compile(make_program(m), &(CompileOptions){0}, &st);
        if (!c) fail_msg("%s", st.text);
        check_both(llvm_backend()->entry(c), known[i][0], known[i][1]);
        llvm_backend()->release(c);
        make_free(m);
    }
}

static void squares(void **state)
{
    NEED_LLVM();
    turns = true, past = 0;
    any_size();
    known_sizes();
    products_on_other_cpus(make_symbols, check_symbols);
}

/* Some rows begin at multiples of a vector, others do not; some results are large enough. */
static void squares_past_caches(void **state)
{
    NEED_LLVM();
    turns = true, past = 2000;
    any_size();
    known_sizes();
    if (getenv("KILN_TEST_FULL")) products_on_other_cpus(make_symbols, check_symbols);
}

static void rows_past_caches(void **state)
{
    NEED_LLVM();
    turns = false, past = 2000;
    any_size();
    known_sizes();
}

/* ---- functions ------------------------------------------------------------------------------- */

#define BODY(name) static void name(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
#define NOT_USED (void)k, (void)user

BODY(turned) { NOT_USED, out[0] = kiln_transpose(in[0], KILN_AXES(1, 0)); }
BODY(added) { NOT_USED, out[0] = kiln_add(in[0], kiln_transpose(in[1], KILN_AXES(2, 1, 0))); }
BODY(plain) { NOT_USED, out[0] = kiln_add(in[0], 1.0); }
BODY(much) { NOT_USED, out[0] = kiln_tanh(in[0]); }

typedef struct Says {
    kiln_body *body;
    kiln_dtype type;
    kiln_shape in[2];
    bool turns, past;
} Says;

static const Says says[] = {
    {turned, KILN_F32, {KILN_SHAPE(1500, 1100)}, true, true}, {turned, KILN_F64, {KILN_SHAPE(1003, 1001)}, true, true},
    {turned, KILN_U8, {KILN_SHAPE(1003, 801)}, true, false}, {turned, KILN_F32, {KILN_SHAPE(300, 3)}, false, false},
    {added, KILN_F32, {KILN_SHAPE(70, 33, 90), KILN_SHAPE(90, 33, 70)}, true, false}, {plain, KILN_F32, {KILN_SHAPE(9000000)}, false, true},
    {plain, KILN_F32, {KILN_SHAPE(8000000)}, false, false}, {plain, KILN_F64, {KILN_SHAPE(2100, 2001)}, false, true},
    {much, KILN_F32, {KILN_SHAPE(9000000)}, false, false}};

static void run_function(kiln *k, const Says *s, const char *folder)
{
    KILN_SCOPE(k);
    kiln_tensor *in[2], *eager, *compiled;
    kiln_operand operand[2];
    int n = 0;
    for (; n < 2 && s->in[n].rank > 0; n++) {
        in[n] = kiln_cast(kiln_sub(kiln_mul(kiln_iota(k, KILN_I32, s->in[n], s->in[n].rank - 1), 3), kiln_iota(k, KILN_I32, s->in[n], 0)), s->type);
        operand[n] = KILN_OPERAND(in[n]);
    }
    s->body(k, in, &eager, NULL);
    kiln_function *f = kiln_function_new(k, s->body, NULL, NULL);
    kiln_call_all(f, operand, n, &compiled, 1);
    const size_t bytes = (size_t)kiln_bytes(eager);
    void *a = malloc(bytes), *b = malloc(bytes);
    assert_true(kiln_read(eager, a, bytes) && kiln_read(compiled, b, bytes));
    assert_memory_equal(a, b, bytes);
    free(a), free(b);
    int lines[2];
    dumped_lines(folder, (const char *const[]){" turn", " past "}, 2, lines);
    assert_int_equal(lines[0] > 0, s->turns);
    assert_int_equal(lines[1] > 0, s->past);
}

static void functions_say_so(void **state)
{
    NEED_LLVM();
    char folder[] = "/tmp/kiln-turn-XXXXXX";
    assert_non_null(mkdtemp(folder));
    setenv("KILN_DUMP", "program", 1);
    setenv("KILN_DUMP_DIR", folder, 1);
    for (int threads = 1; threads <= 3; threads += 2) {
        kiln *k = kiln_open(&(kiln_options){.threads = threads});
        for (uint32_t i = 0; i < COUNT_OF(says); i++) run_function(k, &says[i], folder);
        assert_int_equal(kiln_close(k), 0);
    }
    unsetenv("KILN_DUMP");
    rmdir(folder);
}

int main(void)
{
    setenv("KILN_VERIFY", "1", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(squares),
        cmocka_unit_test(squares_past_caches),
        cmocka_unit_test(rows_past_caches),
        cmocka_unit_test(functions_say_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
