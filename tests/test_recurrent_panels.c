/* A recurrent layer's weights are packed once, not at every step, forward and backward. Says nothing of results: test_recurrent. */
#include "front.h"

#include <kiln/nn.h>

enum { TIME = 12, ROWS = 32, UNITS = 160 };

static void recurrent_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_variable *v[4];
    kiln_operand of[2];
    assert_true(kiln_recurrent_variables(user, v, 4) >= 3);
    KILN_TAPE(k, tape);
    out[0] = kiln_mean(kiln_recurrent_apply(user, in[0], NULL), KILN_ALL);
    for (int i = 0; i < 2; i++) of[i] = KILN_OPERAND(v[i]);
    kiln_gradients(tape, out[0], of, 2, out + 1);
}

/* The weight that every step multiplies by is packed once for the steps forward and once for those back, in the first call; the
 * input's product is one for all steps: from the second call on its weight is kept, too. */
static void recurrent_weights_are_packed_once(void **state)
{
    LATE_SKIP("products on a device keep no panels");
    KILN_SCOPE(*state);
    kiln_variable *g = kiln_generator(*state, 5);
    kiln_recurrent *lstm = kiln_lstm_new(*state, UNITS, UNITS, g);
    kiln_function *f =
        kiln_function_new(*state, recurrent_body, lstm, &(kiln_function_options){.outputs = 3, .compile = KILN_WAIT});
    kiln_tensor *x = kiln_normal(g, KILN_F32, KILN_SHAPE(TIME, ROWS, UNITS), 0, 1), *out[3];
    const kiln_panels before = kiln_panels_count(*state);
    for (int call = 0; call < 3; call++) kiln_call_all(f, kiln_tensors(&x, 1), out, 3);
    const kiln_panels after = kiln_panels_count(*state);
    assert_ok(*state);
    assert_int_equal(after.packed - before.packed, 3);
    assert_int_equal(after.used - before.used, 2 * (TIME - 1) + 2 * (2 * TIME + 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {FRONT_TEST(recurrent_weights_are_packed_once)};
    return cmocka_run_group_tests_name("recurrent_panels", tests, front_needs_llvm, NULL);
}
