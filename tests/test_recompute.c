/* recompute: less memory for more time. The gradient of a loop keeps what comes into each step; of a loop in a loop it keeps what comes into
 * the outer steps alone, and runs the inner one again: the same gradient from much less memory. Skipped without the LLVM module. */
#include "front.h"

enum { WIDTH = 256, OUTER = 32, INNER = 32 };

static void turn(kiln_variable *h, kiln_tensor *w) { kiln_assign(h, kiln_tanh(kiln_add(kiln_mul(h, w), 0.25))); }

static void body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const bool *nested = user;
    KILN_TAPE(k, tape);
    kiln_tensor *w = kiln_watch(tape, in[0]);
    kiln_variable *h = kiln_local(k, kiln_zeros(k, KILN_F32, KILN_SHAPE(WIDTH)));
    if (*nested) {
        KILN_FOR(k, i, OUTER) KILN_FOR(k, j, INNER) turn(h, w);
    } else {
        KILN_FOR(k, i, OUTER *INNER) turn(h, w);
    }
    out[0] = kiln_gradient(tape, kiln_sum(h, KILN_ALL), w);
}

static int64_t gradient(kiln *k, bool nested, float *to)
{
    KILN_SCOPE(k);
    kiln_function *f = kiln_function_new(k, body, &nested, NULL);
    kiln_tensor *w = kiln_sin(kiln_cast(kiln_iota(k, KILN_I64, KILN_SHAPE(WIDTH), 0), KILN_F32));
    kiln_read(kiln_call(f, w), to, WIDTH * sizeof *to);
    kiln_function_statistics s;
    kiln_function_stats(f, &s);
    kiln_function_free(f);
    return s.workspace_bytes;
}

static void nested_loops_keep_less(void **state)
{
    kiln *k = *state;
    float flat[WIDTH], nested[WIDTH], eager[WIDTH];
    int64_t most = gradient(k, false, flat), least = gradient(k, true, nested);
    kiln_eager(k, true);
    gradient(k, false, eager);
    kiln_eager(k, false);
    assert_ok(k);
    assert_memory_equal(flat, eager, sizeof flat);
    assert_memory_equal(nested, eager, sizeof nested);
    assert_true(most >= (int64_t)OUTER * INNER * WIDTH * 4);
    if (least > most / 8) fail_msg("nested: %lld bytes, flat: %lld", (long long)least, (long long)most);
    print_message("gradient of %d steps: %lld bytes, as %d times %d: %lld bytes\n", OUTER * INNER, (long long)most, OUTER, INNER, (long long)least);
}

int main(void)
{
    const struct CMUnitTest tests[] = {FRONT_TEST(nested_loops_keep_less)};
    return cmocka_run_group_tests(tests, front_needs_llvm, NULL);
}
