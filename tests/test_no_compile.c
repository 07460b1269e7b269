/* no_compile: an engine that compiles nothing loads no LLVM, whatever is asked of it: what can be done without is done, the rest is an error. */
#include "front.h"

#include <kiln/aot.h>
#include <kiln/nn.h>
#include <stdlib.h>
#include <unistd.h>

#include "loaded.h"

static void sines(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_sin(in[0]);
}

static void nothing_loads_llvm(void **state)
{
    static const char text[] = "module {}\ngraph @m(%1: f32[4]) -> (%2) {\n%2 = tanh(%1)\n}\n", path[] = "/tmp/kiln-no-compile";
    char *report = NULL;
    size_t bytes = 0;
    (void)state;
    kiln *k = kiln_open(&(kiln_options){.no_compile = true});
    {
        KILN_SCOPE(k);
        FILE *to = open_memstream(&report, &bytes);
        kiln_tensor *x = kiln_ones(k, KILN_F32, KILN_SHAPE(4)), *out = NULL;
        kiln_function *f = kiln_function_new(k, sines, NULL, &(kiln_function_options){.inputs_count = 1});
        kiln_eager(k, false); /* has no say here */
        kiln_call(f, x);
        kiln_call(kiln_grad(f), x);
        kiln_call(kiln_jvp(f), x, x);
        assert_int_equal(kiln_check(to, f, KILN_IN(x)), KILN_AGREE);
        fclose(to);
        assert_non_null(strstr(report, "eager within the reference's bounds; the engine does not compile"));
        assert_ok(k);
        assert_false(kiln_compare(stdout, f, KILN_IN(x)));
        assert_error(k, KILN_ESTATE, "does not compile");
        assert_false(kiln_aot(f, path, NULL));
        assert_error(k, KILN_ESTATE, "aot: the engine does not compile");
        assert_false(kiln_aot_text(k, text, strlen(text), path, NULL));
        assert_error(k, KILN_ESTATE, "aot: the engine does not compile");
        assert_int_equal(kiln_run_text(k, text, strlen(text), KILN_IN(x), &out, 1), -1);
        assert_error(k, KILN_ESTATE, "run: the engine does not compile");
        assert_int_equal(access("/tmp/kiln-no-compile.o", F_OK), -1);
        assert_false(llvm_is_loaded());
    }
    assert_int_equal(kiln_close(k), 0);
    free(report);
}

/* The same question, where the answer is yes. */
static void another_engine_does(void **state)
{
    (void)state;
    if (!front_has_llvm()) {
        printf("skip: the LLVM module is not at hand\n");
        skip();
    }
    assert_true(llvm_is_loaded() || late_keeps()); /* which compiles without */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_loads_llvm), cmocka_unit_test(another_engine_does)};
    return cmocka_run_group_tests_name("no_compile", tests, NULL, NULL);
}
