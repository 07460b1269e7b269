/* Engines that were opened with .blas. Where OpenBLAS is there: large products have the same bits eagerly and compiled, kiln_check
 * finds no fault in them, and all others are Kiln's own. Where it is not, which the program sees to by itself by starting once more
 * with a broken library in front of it: large products are an error that names it, and all others are as ever. */
#include "front.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

static int open_pair(void **state)
{
    static kiln *pair[2]; /* one with .blas, and one without */
    pair[0] = kiln_open(&(kiln_options){.blas = true, .threads = 2});
    pair[1] = kiln_open(&(kiln_options){.threads = 2});
    *state = pair;
    return pair[0] && pair[1] ? 0 : -1;
}

static int close_pair(void **state)
{
    kiln **pair = *state;
    int unseen = kiln_close(pair[0]);
    return kiln_close(pair[1]) + unseen;
}

/* x @ w; where w is `turned`, it is a transposed tensor. */
static void product_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    out[0] = kiln_matmul(in[0], *(bool *)user ? kiln_transpose(in[1], KILN_AXES(0, 2, 1)) : in[1]);
}

typedef struct Case {
    kiln_dtype type;
    int64_t batch, m, n, k;
    bool turned;
} Case;

static const Case large[] = {
    {KILN_F32, 1, 96, 160, 137, false}, {KILN_F64, 1, 160, 137, 96, true}, {KILN_F32, 1, 700, 130, 210, false},
    {KILN_F32, 1, 130, 700, 101, true}, {KILN_F64, 1, 120, 650, 97, false}, {KILN_F32, 3, 100, 150, 140, false},
    {KILN_F32, 9, 98, 150, 144, true},
};
static const Case others[] = {
    {KILN_F32, 1, 95, 200, 200, false}, {KILN_F32, 1, 200, 95, 200, false}, {KILN_F32, 1, 128, 128, 128, false}, {KILN_F64, 1, 200, 200, 95, true},
    {KILN_F32, 1, 1, 3000, 300, false}, {KILN_BF16, 1, 150, 140, 128, false}, {KILN_F16, 2, 128, 128, 128, true},
};
enum { LARGE = sizeof large / sizeof *large, OTHERS = sizeof others / sizeof *others };

/* The same numbers in every engine. */
static void operands(kiln *k, const Case *c, kiln_tensor *in[2])
{
    kiln_variable *g = kiln_generator(k, 5);
    in[0] = kiln_normal(g, c->type, KILN_SHAPE(c->batch, c->m, c->k), 0, 1);
    in[1] = kiln_normal(g, c->type, c->turned ? KILN_SHAPE(c->batch, c->n, c->k) : KILN_SHAPE(c->batch, c->k, c->n), 0, 1);
    kiln_variable_free(g);
}

enum { EAGER, TRACED, EMITTED }; /* EMITTED: into the function's code, by .no_blas */
static kiln_tensor *product(kiln *k, const Case *c, int way)
{
    kiln_tensor *in[2], *out[1];
    bool turned = c->turned;
    operands(k, c, in);
    if (way == EAGER)
        product_body(k, in, out, &turned);
    else
        out[0] = kiln_call(
            kiln_function_new(k, product_body, &turned, &(kiln_function_options){.no_blas = way == EMITTED}), in[0], in[1]);
    return out[0];
}

static void assert_same(kiln_tensor *x, kiln_tensor *y)
{
    assert_non_null(x);
    assert_non_null(y);
    assert_memory_equal(kiln_data(x), kiln_data(y), kiln_bytes(x));
}

static void others_are_own(void **state)
{
    kiln **pair = *state;
    bool traces = front_has_llvm();
    for (int i = 0; i < OTHERS; i++) {
        KILN_SCOPE(pair[0]);
        KILN_SCOPE(pair[1]);
        kiln_tensor *own = product(pair[1], &others[i], EAGER);
        for (int way = EAGER; way <= (traces ? EMITTED : EAGER); way++) assert_same(product(pair[0], &others[i], way), own);
        assert_ok(pair[0]);
        assert_ok(pair[1]);
    }
}

/* Skips the case where OpenBLAS is not there. */
static void need_blas(kiln *k)
{
    KILN_SCOPE(k);
    kiln_data(product(k, &large[0], EAGER));
    if (kiln_error(k)->code != KILN_EUNSUPPORTED) return;
    kiln_clear(k);
    printf("skip: there is no OpenBLAS\n");
    skip();
}

/* Another order of sums: apart by at most the bound of docs/numerics.md and that of sums in a row. */
static void assert_near(kiln_tensor *x, kiln_tensor *own, const Case *c)
{
    const double *a = kiln_data(kiln_cast(x, KILN_F64)), *b = kiln_data(kiln_cast(own, KILN_F64));
    double bound = (double)(200 + c->k) * (double)c->k * 4 * (c->type == KILN_F64 ? 0x1p-53 : 0x1p-24);
    for (int64_t i = 0; i < c->batch * c->m * c->n; i++) assert_true(fabs(a[i] - b[i]) <= bound);
}

static void large_ones_are_the_same_eagerly_and_compiled(void **state)
{
    kiln **pair = *state;
    need_blas(pair[0]);
    bool traces = front_has_llvm();
    for (int i = 0; i < LARGE; i++) {
        KILN_SCOPE(pair[0]);
        KILN_SCOPE(pair[1]);
        kiln_tensor *eager = product(pair[0], &large[i], EAGER), *own = product(pair[1], &large[i], EAGER);
        assert_near(eager, own, &large[i]);
        assert_same(product(pair[0], &large[i], EAGER), eager);
        if (traces) {
            assert_same(product(pair[0], &large[i], TRACED), eager);
            assert_same(product(pair[0], &large[i], EMITTED), own);
        }
        assert_ok(pair[0]);
        assert_ok(pair[1]);
    }
}

static void check_finds_no_fault(void **state)
{
    kiln *k = ((kiln **)*state)[0];
    need_blas(k);
    if (!front_has_llvm()) {
        printf("skip: the LLVM module is not at hand\n");
        skip();
    }
    KILN_SCOPE(k);
    bool turned = large[3].turned;
    kiln_tensor *in[2];
    operands(k, &large[3], in);
    assert_int_equal(kiln_check(stdout, kiln_function_new(k, product_body, &turned, NULL), in, 2), KILN_AGREE);
    assert_ok(k);
}

static void a_missing_library_is_named(void **state)
{
    LATE_SKIP(LATE_STARVES);
    kiln *k = ((kiln **)*state)[0];
    bool traces = front_has_llvm();
    for (int i = 0; i < LARGE; i++)
        for (int way = EAGER; way <= (traces ? TRACED : EAGER); way++) {
            KILN_SCOPE(k);
            product(k, &large[i], way);
            assert_non_null(strstr(kiln_error(k)->text, "libopenblas.so.0: ")); /* the loader's own words */
            assert_error(k, KILN_EUNSUPPORTED, "matmul: this engine was opened with .blas, but OpenBLAS is not there: ");
        }
    if (traces) {
        KILN_SCOPE(k);
        assert_non_null(kiln_data(product(k, &large[0], EMITTED)));
        assert_ok(k);
    }
}

/* This program once more, in front of it a file of OpenBLAS's name that is none. */
static int run_without(void)
{
    char folder[] = "/tmp/kiln-blas-XXXXXX", file[64], self[3000], command[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n < 0 || !mkdtemp(folder)) return 1;
    self[n] = 0;
    snprintf(file, sizeof file, "%s/libopenblas.so.0", folder);
    snprintf(command, sizeof command, "LD_LIBRARY_PATH='%s'${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} '%s' without", folder, self);
    FILE *f = fopen(file, "w");
    int status = f && fclose(f) == 0 ? system(command) : 1;
    unlink(file);
    rmdir(folder);
    return status;
}

#define PAIR_TEST(f) cmocka_unit_test_setup_teardown(f, open_pair, close_pair)

int main(int argc, char **argv)
{
    (void)argv;
    const struct CMUnitTest without[] = {PAIR_TEST(a_missing_library_is_named), PAIR_TEST(others_are_own)};
    const struct CMUnitTest tests[] = {PAIR_TEST(large_ones_are_the_same_eagerly_and_compiled), PAIR_TEST(check_finds_no_fault),
        PAIR_TEST(others_are_own)};
    if (argc > 1) return cmocka_run_group_tests_name("blas, without it", without, NULL, NULL);
    int failed = run_without() != 0;
    return cmocka_run_group_tests_name("blas", tests, NULL, NULL) || failed;
}
