/* A recurrent layer's weights are packed once, not at every step, forward and backward. Says nothing of results: test_recurrent. */
#include "front.h"

#include "codegen/backend.h"
#include "codegen/native/machine.h"
#include "dumped.h"

#include <kiln/nn.h>
#include <stdlib.h>
#include <unistd.h>

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

/* Steps of up to 128^3 multiplications are emitted; before each of the two loops stands a kernel that lays its weight out. */
static void small_steps_read_panels(void **state)
{
    (void)state;
    static const struct {
        char kind;
        int units, kernels;
    } cases[] = {{'l', 128, 2}, {'g', 128, 2}, {'l', 64, 2}, {'r', 40, 4}};
    LATE_SKIP("devices read the weight as it lies");
    Target here;
    if (!native_target(&here, &(Status){0}) || here.panel_bytes == 0) {
        printf("skip: this CPU's products read it as it lies\n");
        skip();
    }
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char folder[] = "/tmp/kiln-recurrent-XXXXXX";
        const char *says[] = {"  panels "};
        int found;
        assert_non_null(mkdtemp(folder));
        setenv("KILN_DUMP", "program", 1);
        setenv("KILN_DUMP_DIR", folder, 1);
        kiln *k = kiln_open(&(kiln_options){.threads = 2, .compile = KILN_WAIT});
        {
            KILN_SCOPE(k);
            kiln_variable *g = kiln_generator(k, 5);
            const int units = cases[i].units;
            kiln_recurrent *layer = cases[i].kind == 'l'   ? kiln_lstm_new(k, units, units, g)
                                    : cases[i].kind == 'g' ? kiln_gru_new(k, units, units, g)
                                                           : kiln_rnn_new(k, units, units, g);
            kiln_function *f = kiln_function_new(k, recurrent_body, layer, &(kiln_function_options){.outputs = 3});
            kiln_tensor *x = kiln_normal(g, KILN_F32, KILN_SHAPE(TIME, ROWS, cases[i].units), 0, 1), *out[3];
            assert_true(kiln_call_all(f, kiln_tensors(&x, 1), out, 3));
            kiln_recurrent_free(layer);
        }
        assert_int_equal(kiln_close(k), 0);
        unsetenv("KILN_DUMP");
        unsetenv("KILN_DUMP_DIR");
        dumped_lines(folder, says, 1, &found);
        rmdir(folder);
        if (found != cases[i].kernels) fail_msg("case %zu: %d kernels lay out panels, not %d", i, found, cases[i].kernels);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {FRONT_TEST(recurrent_weights_are_packed_once), cmocka_unit_test(small_steps_read_panels)};
    return cmocka_run_group_tests_name("recurrent_panels", tests, front_needs_llvm, NULL);
}
