/* The LLVM backend's products of operands whose rows and columns take several strides, as those of windows do: against the model, with
 * known sizes and with symbols, for this CPU and for others. */
#include "product_make.h"

#include <setjmp.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct Read {
    int64_t m, n, k;
    Strides a_row, a_col, b_row, b_col;
} Read;

#define ONE(s) {.n = 1, .stride = {s}}
#define TWO(s, e, r) {.n = 2, .extent = {0, e}, .stride = {s, r}}
#define THREE(s, e, r, f, q) {.n = 3, .extent = {0, e, f}, .stride = {s, r, q}}

/* Windows of 3 x 3 in images of 11 columns: copied rows, with stretches that end within vectors, chains and runs; turned ones; of one channel,
 * whose rows lie side by side as well; steps of two; few rows of a long b, and a column; then the same of b. */
static const Read reads[] = {
    {126, 35, 54, THREE(594, 7, 66, 9, 6), TWO(66, 18, 1), ONE(35), ONE(1)},
    {63, 20, 180, THREE(1980, 7, 220, 9, 20), TWO(220, 60, 1), ONE(20), ONE(1)},
    {40, 70, 288, THREE(1000, 4, 352, 5, 32), TWO(352, 96, 1), ONE(70), ONE(1)},
    {54, 35, 315, TWO(66, 18, 1), THREE(594, 7, 66, 9, 6), ONE(35), ONE(1)},
    {9, 70, 8300, TWO(11, 3, 1), THREE(99, 7, 11, 9, 1), ONE(70), ONE(1)},
    {315, 16, 9, THREE(99, 7, 11, 9, 1), TWO(11, 3, 1), ONE(16), ONE(1)},
    {63, 17, 18, THREE(700, 3, 44, 3, 4), THREE(22, 3, 4, 2, 2), ONE(17), ONE(1)},
    {2, 1100, 180, ONE(300), TWO(220, 60, 1), ONE(1100), ONE(1)},
    {126, 1, 54, THREE(594, 7, 66, 9, 6), TWO(66, 18, 1), ONE(1), ONE(1)},
    {30, 126, 54, ONE(54), ONE(1), TWO(66, 18, 1), THREE(594, 7, 66, 9, 6)},
    {30, 54, 315, ONE(315), ONE(1), THREE(594, 7, 66, 9, 6), TWO(66, 18, 1)},
    {1, 36, 8300, ONE(8300), ONE(1), THREE(1000, 7, 88, 9, 8), TWO(44, 12, 1)},
};
static const DType read_types[] = {DT_f32, DT_bf16, DT_f64, DT_i8};
enum { READS = COUNT_OF(reads), READ_CASES = READS * COUNT_OF(read_types) };

static Dim a_symbol(Make *m, int64_t lo)
{
    return make_symbol(m, arena_printf(&m->arena, "S%u", m->p->symbol.len), lo, 20000);
}

static Strides with_symbols(Make *m, Strides s)
{
    for (uint32_t i = 1; i < s.n; i++) s.extent[i] = a_symbol(m, 1);
    return s;
}

static void make_read(Make *m, uint32_t i, const uint32_t *buf, bool symbols)
{
    const Read *x = &reads[i / COUNT_OF(read_types)];
    const DType t = read_types[i % COUNT_OF(read_types)];
    Dim size[3] = {x->m, x->n, x->k};
    for (uint32_t j = 0; symbols && j < 3; j++) size[j] = a_symbol(m, 0);
    Step s = {.kind = STEP_CONTRACT};
    s.contract.type = (uint8_t)t;
    s.contract.to = (uint8_t)product_result(t);
    s.contract.m = size[0], s.contract.n = size[1], s.contract.k = size[2];
    s.contract.a = buf[0], s.contract.b = buf[1], s.contract.c = buf[2];
    s.contract.a_row = symbols ? with_symbols(m, x->a_row) : x->a_row;
    s.contract.a_col = symbols ? with_symbols(m, x->a_col) : x->a_col;
    s.contract.b_row = symbols ? with_symbols(m, x->b_row) : x->b_row;
    s.contract.b_col = symbols ? with_symbols(m, x->b_col) : x->b_col;
    make_step(m, s);
}

static void make_reads_of(Make *m, bool symbols)
{
    uint32_t buf[READ_CASES][3];
    for (uint32_t i = 0; i < READ_CASES; i++)
        for (uint32_t j = 0; j < 2; j++) buf[i][j] = make_input(m, read_types[i % COUNT_OF(read_types)]);
    for (uint32_t i = 0; i < READ_CASES; i++) {
        buf[i][2] = make_output(m, product_result(read_types[i % COUNT_OF(read_types)]));
        make_read(m, i, buf[i], symbols);
    }
}

static void make_reads(Make *m) { make_reads_of(m, false); }

static int64_t cells(const Strides *row, int64_t n, const Strides *column, int64_t k)
{
    int64_t down = 0, along = 0;
    for (int64_t i = 0; i < n; i++) down = MAX_OF(down, product_place(row, i));
    for (int64_t i = 0; i < k; i++) along = MAX_OF(along, product_place(column, i));
    return down + along + 1;
}

static uint32_t values_of(const Read *x, int64_t *to)
{
    const Strides *all[] = {&x->a_row, &x->a_col, &x->b_row, &x->b_col};
    uint32_t n = 0;
    to[n++] = x->m, to[n++] = x->n, to[n++] = x->k;
    for (uint32_t i = 0; i < COUNT_OF(all); i++)
        for (uint32_t j = 1; j < all[i]->n; j++) to[n++] = all[i]->extent[j];
    return n;
}

static void check_read(const Read *x, DType t, const void *a, const void *b, const char *c, uint32_t number)
{
    for (int64_t i = 0; i < x->m; i++)
        for (int64_t j = 0; j < x->n; j++) {
            const double want = product_cell(t, x->k, a, product_place(&x->a_row, i), &x->a_col, b, product_place(&x->b_col, j), &x->b_row),
                         got = dtype_load_f64(product_result(t), c + (size_t)(i * x->n + j) * dtype_bytes(product_result(t)));
            if (want != got) fail_msg("digits, case %u in %s: row %lld, column %lld is %.9g, not %.9g", number, dtype_info[t].name, (long long)i, (long long)j, got, want);
        }
}

static void check_reads(EntryFn *entry)
{
    static void *buf[3 * READ_CASES];
    static Guarded guard[3 * READ_CASES];
    static int64_t value[READ_CASES * 16];
    const KilnHost host = {.run = product_run_backwards};
    uint32_t values = 0;
    for (uint32_t i = 0; i < READ_CASES; i++) {
        const Read *x = &reads[i / COUNT_OF(read_types)];
        const DType t = read_types[i % COUNT_OF(read_types)];
        const int64_t n[3] = {cells(&x->a_row, x->m, &x->a_col, x->k), cells(&x->b_row, x->k, &x->b_col, x->n), x->m * x->n};
        for (uint32_t j = 0; j < 3; j++) {
            const uint32_t at = j < 2 ? 2 * i + j : 2 * READ_CASES + i;
            guard[at] = guarded_new((size_t)n[j] * dtype_bytes(j < 2 ? t : product_result(t)), true);
            buf[at] = guard[at].at;
            if (j < 2) product_fill(t, guard[at].at, n[j]);
        }
        values += values_of(x, value + values);
    }
    for (int shared = 0; shared < 2; shared++) {
        for (uint32_t i = 0; i < READ_CASES; i++) {
            const Read *x = &reads[i / COUNT_OF(read_types)];
            memset(buf[2 * READ_CASES + i], 0xff, (size_t)(x->m * x->n) * dtype_bytes(product_result(read_types[i % COUNT_OF(read_types)])));
        }
        assert_int_equal(entry(buf, value, NULL, shared ? &host : NULL), 0);
        for (uint32_t i = 0; i < READ_CASES; i++)
            check_read(&reads[i / COUNT_OF(read_types)], read_types[i % COUNT_OF(read_types)], buf[2 * i], buf[2 * i + 1], buf[2 * READ_CASES + i],
                i / COUNT_OF(read_types));
    }
    for (uint32_t i = 0; i < 3 * READ_CASES; i++) guarded_free(&guard[i]);
}

static void digits_follow_the_model(void **state)
{
    NEED_LLVM();
    for (int symbols = 0; symbols < 2; symbols++) {
        Make *m = make_new();
        Status st = {0};
        make_reads_of(m, symbols);
        const Backend *b = llvm_backend();
        Compiled *c = b->compile(make_program(m), &(CompileOptions){0}, &st);
        if (!c) fail_msg("%s", st.text);
        check_reads(b->entry(c));
        b->release(c);
        make_free(m);
    }
}

static void other_cpus_follow_the_model(void **state)
{
    NEED_LLVM();
    products_on_other_cpus(make_reads, check_reads);
}

int main(void)
{
    setenv("KILN_VERIFY", "1", 1);
    const struct CMUnitTest tests[] = {cmocka_unit_test(digits_follow_the_model), cmocka_unit_test(other_cpus_follow_the_model)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
