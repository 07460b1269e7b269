/* The LLVM backend's products: its own, for this CPU and for others that it can stand in for, against the model, and those through
 * the host. */
#include "product_make.h"

#include <setjmp.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct Product {
    int64_t batch, m, n, k;
    bool a_turned, b_turned;
} Product;

static Step product_step(const Product *x, Dim m, Dim n, Dim k, DType t, const uint32_t *buf)
{
    Step s = {.kind = STEP_CONTRACT};
    s.contract.type = (uint8_t)t;
    s.contract.to = (uint8_t)product_result(t);
    s.contract.nbatch = x->batch > 1;
    s.contract.batch[0] = x->batch;
    s.contract.m = m, s.contract.n = n, s.contract.k = k;
    s.contract.a = buf[0], s.contract.b = buf[1], s.contract.c = buf[2];
    s.contract.a_batch[0] = x->m * x->k;
    s.contract.b_batch[0] = 0; /* one b for all */
    s.contract.a_row = strides_one(x->a_turned ? 1 : k), s.contract.a_col = strides_one(x->a_turned ? m : 1);
    s.contract.b_row = strides_one(x->b_turned ? 1 : n), s.contract.b_col = strides_one(x->b_turned ? k : 1);
    return s;
}

static double plain(const Product *x, DType t, const void *a, const void *b, int64_t batch, int64_t i, int64_t j)
{
    const Strides a_col = strides_one(x->a_turned ? x->m : 1), b_row = strides_one(x->b_turned ? 1 : x->n);
    return product_cell(t, x->k, a, batch * x->m * x->k + i * (x->a_turned ? 1 : x->k), &a_col, b, j * (x->b_turned ? x->k : 1), &b_row);
}

static void check_cells(const Product *x, DType t, const char *a, const char *b, const char *c)
{
    for (int64_t i = 0; i < x->batch * x->m * x->n; i++) {
        int64_t row = i / x->n;
        double want = plain(x, t, a, b, row / x->m, row % x->m, i % x->n),
               got = dtype_load_f64(product_result(t), c + (size_t)i * dtype_bytes(product_result(t)));
        if (want != got)
            fail_msg("%s %lldx%lldx%lldx%lld%s%s: element %lld is %.9g, not %.9g", dtype_info[t].name, (long long)x->batch,
                (long long)x->m, (long long)x->n, (long long)x->k, x->a_turned ? " a" : "", x->b_turned ? " b" : "", (long long)i, got,
                want);
    }
}

static void check_product(EntryFn *entry, const Product *x, DType t)
{
    const KilnHost host = {.run = product_run_backwards};
    size_t size = dtype_bytes(t);
    int64_t na = x->batch * x->m * x->k, nb = x->k * x->n, nc = x->batch * x->m * x->n;
    Guarded a = guarded_new((size_t)na * size, true), b = guarded_new((size_t)nb * size, true),
            c = guarded_new((size_t)nc * dtype_bytes(product_result(t)), true);
    product_fill(t, a.at, na);
    product_fill(t, b.at, nb);
    assert_int_equal(
        entry((void *[]){a.at, b.at, c.at}, (int64_t[]){x->m, x->n, x->k}, NULL, &host), 0);
    check_cells(x, t, a.at, b.at, c.at);
    guarded_free(&a);
    guarded_free(&b);
    guarded_free(&c);
}

static void products(DType t, Product x, bool symbols)
{
    Make *m = make_new();
    Status st = {0};
    uint32_t buf[3] = {make_input(m, t), make_input(m, t), make_output(m, product_result(t))};
    Dim dm = x.m, dn = x.n, dk = x.k;
    if (symbols) {
        dm = make_symbol(m, "M", 0, 1000);
        dn = make_symbol(m, "N", 0, 1000);
        dk = make_symbol(m, "K", 0, 1 << 20);
    }
    make_step(m, product_step(&x, dm, dn, dk, t, buf));
    const Backend *b = llvm_backend();
    Compiled *c = b->compile(make_program(m), &(CompileOptions){0}, &st);
    if (!c) fail_msg("%s", st.text);
    for (int64_t e = 1; symbols && x.batch == 1 && e <= 40; e++) {
        check_product(
            b->entry(c), &(Product){1, e, 41 - e, e * 7 % 40 + 1, x.a_turned, x.b_turned}, t);
        check_product(
            b->entry(c), &(Product){1, e * 11 % 40 + 1, e, e - 1, x.a_turned, x.b_turned}, t);
    }
    static const int64_t depth[] = {127, 128, 129, 8191, 8192, 8193, 20000}; /* chains and runs */
    for (size_t i = 0; symbols && x.batch == 1 && i < COUNT_OF(depth); i++)
        check_product(b->entry(c), &(Product){1, 5, 18, depth[i], x.a_turned, x.b_turned}, t);
    static const Product large[] = {{.batch = 1, .m = 30, .n = 550, .k = 130}, {.batch = 1, .m = 3, .n = 550, .k = 130}}; /* b moves */
    for (size_t i = 0; symbols && x.batch == 1 && i < COUNT_OF(large); i++)
        check_product(b->entry(c), &(Product){1, large[i].m, large[i].n, large[i].k, x.a_turned, x.b_turned}, t);
    if (!symbols) check_product(b->entry(c), &x, t);
    b->release(c);
    make_free(m);
}

static void products_follow_the_model(void **state)
{
    NEED_LLVM();
    for (int turned = 0; turned < 4; turned++) {
        bool a = turned & 1, b = turned & 2;
        products(DT_f32, (Product){1, 0, 0, 0, a, b}, true);
        products(DT_f64, (Product){1, 0, 0, 0, a, b}, true);
        products(DT_f16, (Product){1, 9, 21, 6, a, b}, false);
        products(DT_f32, (Product){3, 5, 35, 6, a, b}, false);
    }
    products(DT_f32, (Product){1, 5, 18, 16385, false, true}, false);
    products(DT_bf16, (Product){1, 3, 7, 300, true, false}, false);
    products(DT_f32, (Product){1, 4, 16, 8, false, false}, false);
    products(DT_f32, (Product){1, 1, 100, 8, false, false}, false);
    products(DT_bf16, (Product){2, 3, 20, 7, false, true}, false);
    products(DT_f8_e4m3, (Product){1, 3, 7, 30, true, false}, false);
    products(DT_f8_e5m2, (Product){2, 3, 20, 7, false, true}, false);
    products(DT_i8, (Product){1, 0, 0, 0, false, false}, true);
    products(DT_u8, (Product){1, 0, 0, 0, true, true}, true);
    products(DT_i64, (Product){1, 0, 0, 0, false, true}, true);
    products(DT_f32, (Product){1, 1, 5, 8, false, false}, false);
    product_chunks = 0;
    products(DT_f32, (Product){3, 37, 70, 90, false, false}, false);
    products(DT_f32, (Product){1, 203, 70, 90, true, false}, false);
    assert_true(product_chunks > 8);
}

/* ---- each way of cutting and moving -------------------------------------------------------------- */

/* Batch, m, n and k of known sizes: tiles of one height and of two, parts of panels, few columns, k of no, one and more chains and runs, rows of a and
 * of b so far apart that they move, few rows of a long b, and a matrix times a column. */
static const int64_t shapes[][4] = {{1, 8, 8, 8}, {1, 13, 33, 5}, {1, 17, 17, 17}, {1, 10, 40, 130}, {1, 37, 16, 128}, {1, 23, 3, 257},
    {1, 64, 100, 40}, {1, 12, 300, 20}, {1, 5, 65, 0}, {1, 0, 65, 4}, {1, 5, 0, 4}, {1, 1, 1, 300}, {1, 2, 64, 8200}, {1, 25, 520, 130},
    {1, 1100, 70, 9}, {1, 1, 1500, 300}, {1, 1, 70, 20000}, {1, 4, 1100, 260}, {1, 16, 1030, 260}, {1, 300, 1, 200}, {1, 7, 1, 9000},
    {3, 5, 21, 33}, {40, 8, 8, 8}, {2, 1, 100, 12}, {3, 16, 1, 5}, {2, 33, 34, 129}};
static const DType types[] = {DT_f32, DT_f64, DT_bf16, DT_f16, DT_i8, DT_u8, DT_i16, DT_i64, DT_u32};
enum { SHAPES = COUNT_OF(shapes), CASES = 4 * SHAPES };

/* Case number i: each shape in each layout, most of them in f32. */
static Product shape_of(uint32_t i, DType *t)
{
    const int64_t *size = shapes[i / 4];
    const Product x = {size[0], size[1], size[2], size[3], i & 1, i & 2};
    *t = types[i % 13 < 5 ? 0 : i % 13 - 4];
    return x;
}

static void make_cases(Make *m)
{
    uint32_t buf[CASES][3];
    DType t;
    for (uint32_t i = 0; i < CASES; i++) {
        shape_of(i, &t);
        buf[i][0] = make_input(m, t);
        buf[i][1] = make_input(m, t);
    }
    for (uint32_t i = 0; i < CASES; i++) {
        const Product x = shape_of(i, &t);
        buf[i][2] = make_output(m, product_result(t));
        make_step(m, product_step(&x, x.m, x.n, x.k, t, buf[i]));
    }
}

static void check_cases(EntryFn *entry)
{
    static void *buf[3 * CASES];
    static Guarded guard[4 * CASES];
    const KilnHost host = {.run = product_run_backwards};
    DType t;
    for (uint32_t i = 0; i < CASES; i++) {
        const Product x = shape_of(i, &t);
        const int64_t n[4] = {x.batch * x.m * x.k, x.k * x.n, x.batch * x.m * x.n, x.batch * x.m * x.n};
        for (uint32_t j = 0; j < 4; j++) {
            const uint32_t at = j < 2 ? 2 * i + j : j * CASES + i;
            guard[at] = guarded_new((size_t)n[j] * dtype_bytes(j < 2 ? t : product_result(t)), true);
            if (j < 3) buf[at] = guard[at].at;
            if (j < 2) product_fill(t, guard[at].at, n[j]);
        }
    }
    for (int shared = 0; shared < 2; shared++) {
        for (uint32_t i = 0; i < CASES; i++) {
            const Product x = shape_of(i, &t);
            const size_t bytes = (size_t)(x.batch * x.m * x.n) * dtype_bytes(product_result(t));
            if (shared == 1) memcpy(guard[CASES * 3 + i].at, buf[2 * CASES + i], bytes);
            memset(buf[2 * CASES + i], 0xff, bytes);
        }
        assert_int_equal(entry(buf, NULL, NULL, shared ? &host : NULL), 0);
        for (uint32_t i = 0; i < CASES; i++) {
            const Product x = shape_of(i, &t);
            if (shared == 0)
                check_cells(&x, t, buf[2 * i], buf[2 * i + 1], buf[2 * CASES + i]);
            else
                assert_memory_equal(buf[2 * CASES + i], guard[CASES * 3 + i].at, (size_t)(x.batch * x.m * x.n) * dtype_bytes(product_result(t)));
        }
    }
    for (uint32_t i = 0; i < 4 * CASES; i++) guarded_free(&guard[i]);
}

static void known_sizes_follow_the_model(void **state)
{
    NEED_LLVM();
    Make *m = make_new();
    Status st = {0};
    make_cases(m);
    const Backend *b = llvm_backend();
    Compiled *c = b->compile(make_program(m), &(CompileOptions){0}, &st);
    if (!c) fail_msg("%s", st.text);
    check_cases(b->entry(c));
    b->release(c);
    make_free(m);
}

static void count(void *user, const void *bytes, size_t len)
{
    assert_memory_equal(bytes, "\177ELF", 4);
    *(size_t *)user = len;
}

/* Such objects cannot run here; LLVM must be able to make them. */
static void emits_for_other_machines(void **state)
{
    NEED_LLVM();
    Make *m = make_new();
    Status st = {0};
    size_t len = 0;
    make_cases(m);
    const CompileOptions o = {.triple = "aarch64-unknown-linux-gnu"};
    if (!llvm_backend()->object(make_program(m), &o, "products", NULL, NULL, 0, count, &len, &st)) fail_msg("%s", st.text);
    assert_true(len > 10000);
    make_free(m);
}

static void other_cpus_follow_the_model(void **state)
{
    NEED_LLVM();
    products_on_other_cpus(make_cases, check_cases);
}

/* ---- through the host ------------------------------------------------------------------------------ */

static HostContract seen;
static int32_t contract(const KilnHost *h, const HostContract *c)
{
    (void)h;
    seen = *c;
    return c->k == 6 ? 0 : ST_MEMORY;
}

static void products_through_the_host(void **state)
{
    NEED_LLVM();
    const KilnHost host = {.contract = contract};
    float a[90], b[210], c[525];
    Make *m = make_new();
    Status st = {0};
    uint32_t buf[3] = {make_input(m, DT_f32), make_input(m, DT_f32), make_output(m, DT_f32)};
    Product x = {3, 5, 35, 6, false, true};
    Step s = product_step(&x, x.m, x.n, make_symbol(m, "K", 0, 10), DT_f32, buf);
    s.contract.a_base = 2;
    s.contract.host = true;
    make_step(m, s);
    const Backend *back = llvm_backend();
    Compiled *code = back->compile(make_program(m), &(CompileOptions){0}, &st);
    assert_non_null(code);
    EntryFn *entry = back->entry(code);
    assert_int_equal(entry((void *[]){a, b, c}, (int64_t[]){6}, NULL, &host), 0);
    assert_int_equal(seen.type, DT_f32);
    assert_int_equal(seen.nbatch, 1);
    assert_int_equal(seen.batch[0], 3);
    assert_true(seen.m == 5 && seen.n == 35 && seen.k == 6);
    assert_true(seen.a == a + 2 && seen.b == b && seen.c == c);
    assert_true(seen.a_batch[0] == 30 && seen.a_row == 6 && seen.a_col == 1 &&
                seen.b_batch[0] == 0 && seen.b_row == 1 && seen.b_col == 6);
    assert_int_equal(entry((void *[]){a, b, c}, (int64_t[]){5}, NULL, &host), ST_MEMORY);
    assert_int_equal(entry((void *[]){a, b, c}, (int64_t[]){6}, NULL, NULL), ST_STATE);
    back->release(code);
    make_free(m);
}

int main(void)
{
    setenv("KILN_VERIFY", "1", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_follow_the_model),
        cmocka_unit_test(known_sizes_follow_the_model),
        cmocka_unit_test(other_cpus_follow_the_model),
        cmocka_unit_test(emits_for_other_machines),
        cmocka_unit_test(products_through_the_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
