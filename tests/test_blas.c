/* Whether OpenBLAS may be used: old kernels on a newer CPU and OpenMP builds may not; the log of the first engine says so, and
 * products are then those of Kiln's own kernels, bit for bit, eager and traced. */
#include <kiln/kiln.h>

#include <setjmp.h>
#include <stdio.h>
#include <cmocka.h>

#include "codegen/contract/blas.h"
#include "codegen/contract/contract.h"
#include "late.h"
#include "runtime/dtype.h"

static void who_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *core;
        bool openmp, avx2, refused;
    } cases[] = {
        {"Prescott", false, true, true},   {"Prescott", false, false, false}, {"SANDYBRIDGE", false, true, true},
        {"Opteron_SSE3", false, true, true}, {"Excavator", false, true, true},  {"Haswell", false, true, false},
        {"Zen", false, true, false},       {"SkylakeX", false, true, false},  {"Sapphirerapids", false, true, false},
        {"a core of tomorrow", false, true, false}, {"armv8", false, false, false}, {"Haswell", true, true, true},
        {"armv8", true, false, true},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char buf[128];
        const char *why = blas_refusal(cases[i].core, cases[i].openmp, cases[i].avx2, buf, sizeof buf);
        if ((why != NULL) != cases[i].refused) fail_msg("%s: %s", cases[i].core, why ? why : "taken");
        if (why) assert_non_null(strstr(why, cases[i].openmp ? "OpenMP" : cases[i].core));
    }
}

typedef struct Log {
    int lines, about;
} Log;

static void keep(void *user, const char *text)
{
    Log *log = user;
    log->lines++;
    log->about += strncmp(text, "kiln: OpenBLAS is not used: ", 28) == 0 && strstr(text, blas_refused());
}

static void the_first_engine_says_so(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        Log log = {0};
        kiln *k = kiln_open(&(kiln_options){.log = keep, .log_user = &log});
        assert_int_equal(log.about, i == 0 && blas_refused());
        assert_int_equal(log.lines, log.about);
        assert_int_equal(kiln_close(k), 0);
    }
}

static void product(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_matmul(in[0], in[1]);
}

static void products_are_those_of_the_choice(void **state)
{
    LATE_SKIP("it hands tensors' memory to the product itself");
    (void)state;
    kiln *k = kiln_open(NULL);
    {
        KILN_SCOPE(k);
        kiln_variable *g = kiln_generator(k, 3);
        kiln_tensor *a = kiln_normal(g, KILN_F32, KILN_SHAPE(200, 300), 0, 1), *b = kiln_normal(g, KILN_F32, KILN_SHAPE(300, 160), 0, 1);
        kiln_tensor *eager = kiln_matmul(a, b);
        kiln_tensor *own = kiln_zeros(k, KILN_F32, KILN_SHAPE(200, 160));
        HostContract c = {.type = DT_f32, .m = 200, .n = 160, .k = 300, .a = kiln_data(a), .b = kiln_data(b),
            .c = (void *)(uintptr_t)kiln_data(own), .a_row = 300, .a_col = 1, .b_row = 160, .b_col = 1};
        Status st = {0};
        assert_true(contract_run(NULL, &c, blas_refused() == NULL, &st));
        assert_memory_equal(kiln_data(eager), kiln_data(own), kiln_bytes(own));
        for (int no_blas = 0; no_blas < 2; no_blas++) {
            kiln_function *f = kiln_function_new(k, product, NULL, &(kiln_function_options){.name = "product", .no_blas = no_blas});
            kiln_tensor *traced = kiln_call(f, a, b);
            if (kiln_failed(k) && kiln_error(k)->code == KILN_EDEVICE) { kiln_clear(k); break; }
            if (!no_blas || blas_refused()) assert_memory_equal(kiln_data(eager), kiln_data(traced), kiln_bytes(own));
        }
        kiln_variable_free(g);
    }
    assert_int_equal(kiln_close(k), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_engine_says_so),
        cmocka_unit_test(who_is_refused),
        cmocka_unit_test(products_are_those_of_the_choice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
