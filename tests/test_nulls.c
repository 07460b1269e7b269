/* nulls: NULL where a list, a place for results, an object or a text is asked for: an error that says so, of every public call that takes one.
 * NULL that means something is not in here: options, generators, and lists of none. */
#include "front.h"

#include <kiln/aot.h>
#include <kiln/data.h>
#include <kiln/io.h>
#include <kiln/nn.h>

static int wrong;

#define BAD(...)                                                                                     \
    do {                                                                                             \
        KILN_SCOPE(k);                                                                               \
        __VA_ARGS__;                                                                                 \
        const kiln_code code = kiln_error(k)->code;                                                  \
        if (code != KILN_EVALUE && code != KILN_ESTATE && (!code || !strstr(kiln_error(k)->text, "NULL")))                                              \
            wrong++, printf("%s: code %d: %s\n", #__VA_ARGS__, (int)code, kiln_error(k)->text);      \
        kiln_clear(k);                                                                               \
    } while (0)

static kiln_operands no_list(int count) { return (kiln_operands){NULL, count, 0}; }

static void step(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = in[1];
}

static void of_core(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_ones(k, KILN_F32, KILN_SHAPE(2));
    kiln_variable *none = NULL, *v = kiln_variable_new(k, "v", x);
    wrong = 0;
    BAD(kiln_from(k, KILN_F32, KILN_SHAPE(2), NULL, 2));
    BAD(kiln_from_doubles(k, KILN_F32, KILN_SHAPE(2), NULL, 2));
    BAD(kiln_borrow(k, KILN_F32, KILN_SHAPE(2), NULL, NULL, NULL));
    BAD(kiln_read(x, NULL, 8));
    BAD(kiln_read_doubles(x, NULL, 2));
    BAD(kiln_data((kiln_tensor *)NULL));
    BAD(kiln_item((kiln_tensor *)NULL));
    BAD(kiln_print(NULL, x));
    BAD(kiln_print(stdout, (kiln_tensor *)NULL));
    BAD(kiln_value(none));
    BAD(kiln_assign(none, x));
    BAD(kiln_assign_add(none, x));
    BAD(kiln_assign(v, (kiln_tensor *)NULL));
    BAD(kiln_assign_slice(none, KILN_STARTS(0), x));
    BAD(kiln_assign_slice_at(KILN_HERE, v, 1, NULL, KILN_OPERAND(1)));
    BAD(kiln_add(x, none));
    BAD(kiln_local(k, none));
    BAD(kiln_concat(no_list(2), 0));
    BAD(kiln_stack_at(KILN_HERE, NULL, 2, 0));
    BAD(kiln_set(NULL, x));
    kiln_release(NULL);
    kiln_variable_free(NULL);
    kiln_scope_close(NULL);
    assert_string_equal(kiln_variable_name(NULL), "");
    assert_int_equal(wrong, 0);
}

static void of_functions(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_ones(k, KILN_F32, KILN_SHAPE(2)), *out[2];
    kiln_function *f = kiln_function_new(k, front_doubles, NULL, NULL);
    FILE *to = tmpfile();
    wrong = 0;
    BAD(kiln_function_new(k, NULL, NULL, NULL));
    BAD(kiln_call((kiln_function *)NULL, x));
    BAD(kiln_call(f, (kiln_tensor *)NULL));
    BAD(kiln_call_all(f, KILN_IN(x), NULL, 1));
    BAD(kiln_call_all(f, no_list(1), out, 1));
    BAD(kiln_call_all_at(KILN_HERE, f, NULL, 1, out, 1));
    BAD(kiln_call_all(NULL, KILN_IN(x), NULL, 1));
    BAD(kiln_grad(NULL));
    BAD(kiln_value_and_grad(NULL));
    BAD(kiln_jvp(NULL));
    BAD(kiln_compare(NULL, f, KILN_IN(x)));
    BAD(kiln_compare(to, NULL, KILN_IN(x)));
    BAD(kiln_compare(to, f, no_list(1)));
    BAD(kiln_compare_sized(KILN_HERE, to, f, NULL, 1, NULL, 0));
    BAD(kiln_check(NULL, NULL, KILN_IN(x)));
    BAD(kiln_check(NULL, f, no_list(1)));
    BAD(kiln_check_at(KILN_HERE, NULL, f, NULL, 1));
    BAD(kiln_static_i64(NULL));
    BAD(kiln_static_text(NULL));
    BAD(kiln_aot(f, NULL, NULL));
    BAD(kiln_aot(NULL, "/tmp/kiln-none", NULL));
    BAD(kiln_aot_text(k, NULL, 3, "/tmp/kiln-none", NULL));
    BAD(kiln_run_text(k, NULL, 3, KILN_IN(x), out, 1));
    BAD(kiln_run_text(k, "module {}", 9, KILN_IN(x), NULL, 1));
    kiln_function_free(NULL);
    kiln_function_stats(NULL, NULL);
    kiln_function_stats(f, NULL);
    fclose(to);
    assert_int_equal(wrong, 0);
}

static void of_tapes(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_ones(k, KILN_F32, KILN_SHAPE(2)), *dx[2];
    wrong = 0;
    KILN_TAPE_PERSISTENT(k, tape);
    kiln_watch(tape, x);
    kiln_variable *v = kiln_variable_new(k, "v", x);
    kiln_tensor *y = kiln_mul(x, v);
    BAD(kiln_watch(NULL, x));
    BAD(kiln_watch(tape, NULL));
    BAD(kiln_gradient(NULL, y, x));
    BAD(kiln_gradient(tape, (kiln_tensor *)NULL, x));
    BAD(kiln_gradient(tape, y, (kiln_tensor *)NULL));
    BAD(kiln_gradients(tape, y, KILN_IN(x), NULL));
    BAD(kiln_gradients(tape, y, no_list(1), dx));
    BAD(kiln_gradients(tape, y, no_list(1), NULL));
    BAD(kiln_gradients_at(KILN_HERE, tape, y, NULL, NULL, 1, dx));
    BAD(kiln_gradients_at(KILN_HERE, NULL, y, NULL, NULL, 1, NULL));
    BAD(kiln_tape_variables(tape, NULL, 1));
    BAD(kiln_custom_gradient(y, no_list(1), NULL, NULL));
    BAD(kiln_custom_gradient(y, KILN_IN(x), NULL, NULL));
    kiln_tape_stop(NULL);
    kiln_tape_close(NULL);
    kiln_grad_why(NULL, KILN_OPERAND(x));
    assert_int_equal(kiln_tape_variables(tape, NULL, 0), 1);
    kiln_clear(k);
    assert_int_equal(wrong, 0);
}

static int called(const kiln_array *in, int nin, const kiln_array *out, int nout, void *user)
{
    (void)in, (void)nin, (void)out, (void)nout, (void)user;
    return 0;
}

static void of_control(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_ones(k, KILN_F32, KILN_SHAPE(2)), *out[2];
    kiln_body *const bodies[2] = {front_doubles, NULL};
    wrong = 0;
    BAD(kiln_cond(k, true, NULL, front_doubles, KILN_IN(x), out, 1, NULL));
    BAD(kiln_cond(k, true, front_doubles, front_doubles, KILN_IN(x), NULL, 1, NULL));
    BAD(kiln_cond(k, true, front_doubles, front_doubles, no_list(1), NULL, 1, NULL));
    BAD(kiln_cond_at(KILN_HERE, k, KILN_OPERAND(true), front_doubles, front_doubles, NULL, 1, out, 1, NULL));
    BAD(kiln_switch(k, 0, NULL, 2, KILN_IN(x), out, 1, NULL));
    BAD(kiln_switch(k, 0, bodies, 2, KILN_IN(x), out, 1, NULL));
    BAD(kiln_switch(k, 0, bodies, 1, KILN_IN(x), NULL, 1, NULL));
    BAD(kiln_for(k, 2, step, KILN_IN(x), NULL, NULL));
    BAD(kiln_for(k, 2, NULL, KILN_IN(x), out, NULL));
    BAD(kiln_for(k, 2, step, no_list(1), NULL, NULL));
    BAD(kiln_for_at(KILN_HERE, k, KILN_OPERAND(2), step, NULL, 1, out, NULL));
    BAD(kiln_for_every(k, 2, 1, step, KILN_IN(x), NULL, NULL));
    BAD(kiln_for_every(k, 2, 1, NULL, KILN_IN(x), out, NULL));
    BAD(kiln_while(k, NULL, step, KILN_IN(x), out, NULL));
    BAD(kiln_while(k, front_doubles, NULL, KILN_IN(x), out, NULL));
    BAD(kiln_while(k, front_doubles, step, KILN_IN(x), NULL, NULL));
    BAD(kiln_scan(k, step, NULL, out, NULL, NULL));
    BAD(kiln_scan(k, NULL, &(kiln_scan_options){.carries = &x, .carries_count = 1, .steps = 2}, out, NULL, NULL));
    BAD(kiln_scan(k, step, &(kiln_scan_options){.carries = &x, .carries_count = 1, .steps = 2}, NULL, NULL, NULL));
    BAD(kiln_scan(k, step, &(kiln_scan_options){.carries_count = 1, .steps = 2}, out, NULL, NULL));
    BAD(kiln_scan(k, step, &(kiln_scan_options){.xs_count = 1, .ys_count = 1}, NULL, out, NULL));
    BAD(kiln_scan(k, front_doubles, &(kiln_scan_options){.xs = &x, .xs_count = 1, .ys_count = 1}, NULL, NULL, NULL));
    BAD(kiln_callback(k, called, NULL, KILN_IN(x), NULL, out, 1));
    BAD(kiln_callback(k, called, NULL, KILN_IN(x), ((kiln_spec[]){KILN_SPEC(KILN_F32, 2)}), NULL, 1));
    BAD(kiln_callback(k, NULL, NULL, KILN_IN(x), ((kiln_spec[]){KILN_SPEC(KILN_F32, 2)}), out, 1));
    BAD(kiln_callback(k, called, NULL, no_list(1), ((kiln_spec[]){KILN_SPEC(KILN_F32, 2)}), out, 1));
    BAD(kiln_print_text(k, NULL, "text"));
    assert_int_equal(wrong, 0);
}

static void of_layers_and_files(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_ones(k, KILN_F32, KILN_SHAPE(2)), *missing = NULL, *place;
    kiln_variable *v = kiln_variable_new(k, "v", x), *none = NULL;
    kiln_optimizer *o = kiln_adam(k, 0.1);
    kiln_recurrent *rnn = kiln_rnn_new(k, 2, 2, NULL);
    wrong = 0;
    KILN_TAPE(k, tape);
    BAD(kiln_optimizer_apply(o, NULL, NULL, 1));
    BAD(kiln_optimizer_apply(o, &v, NULL, 1));
    BAD(kiln_optimizer_apply(o, NULL, &x, 1));
    BAD(kiln_optimizer_apply(o, ((kiln_variable *[]){v, none}), ((kiln_tensor *[]){x, x}), 2));
    BAD(kiln_optimizer_apply(o, (kiln_variable *[]){v, NULL}, (kiln_tensor *[]){x, x}, 2));
    BAD(kiln_optimizer_apply(o, &v, &missing, 1));
    BAD(kiln_optimizer_apply(NULL, &v, &x, 1));
    BAD(kiln_optimizer_prepare(o, NULL, 2));
    BAD(kiln_optimizer_prepare(o, &none, 1));
    BAD(kiln_optimizer_variables(o, NULL, 1));
    BAD(kiln_recurrent_variables(rnn, NULL, 1));
    BAD(kiln_optimizer_minimize(o, NULL, x));
    BAD(kiln_optimizer_minimize(o, tape, missing));
    BAD(kiln_optimizer_schedule(o, NULL));
    BAD(kiln_optimizer_clip(o, NULL));
    BAD(kiln_schedule_rate(NULL, x));
    BAD(kiln_clip_by_global_norm(KILN_IN(x), 1, NULL));
    BAD(kiln_clip_by_global_norm(no_list(1), 1, &place));
    BAD(kiln_dense_apply(NULL, x));
    BAD(kiln_conv_apply(NULL, x));
    BAD(kiln_recurrent_apply(NULL, x, NULL));
    BAD(kiln_metric_update(NULL, x));
    BAD(kiln_uniform(NULL, KILN_F32, KILN_SHAPE(2), 0, 1));
    BAD(kiln_save_weights(k, NULL, &v, 1));
    BAD(kiln_save_weights(k, "/tmp/kiln-none", NULL, 1));
    BAD(kiln_load_weights(k, "/tmp/kiln-none", NULL, 1));
    BAD(kiln_safetensors_open(k, NULL));
    BAD(kiln_safetensors_read(NULL, 0));
    BAD(kiln_safetensors_write(k, "/tmp/kiln-none", NULL, &x, 1, NULL));
    BAD(kiln_safetensors_write(k, "/tmp/kiln-none", (const char *const[]){"x"}, NULL, 1, NULL));
    BAD(kiln_safetensors_write(k, "/tmp/kiln-none", (const char *const[]){NULL}, &x, 1, NULL));
    BAD(kiln_npy_read(k, NULL));
    BAD(kiln_npy_write(x, NULL));
    BAD(kiln_npy_write(missing, "/tmp/kiln-none"));
    BAD(kiln_idx_read(k, NULL));
    BAD(kiln_checkpoint_new(k, NULL, 0));
    BAD(kiln_checkpoint_save(NULL, 1));
    BAD(kiln_checkpoint_add(NULL, v));
    BAD(kiln_summary_open(k, NULL));
    BAD(kiln_summary_scalar(NULL, "tag", 0, 1));
    BAD(kiln_dataset_new(k, NULL, x));
    BAD(kiln_dataset_new(k, x, NULL));
    BAD(kiln_batches(NULL, 1, 0));
    BAD(kiln_digits(k, 1, 1, NULL, NULL));
    assert_int_equal(kiln_dataset_size(NULL), 0);
    assert_false(kiln_next(NULL));
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRONT_TEST(of_core), FRONT_TEST(of_functions), FRONT_TEST(of_tapes), FRONT_TEST(of_control), FRONT_TEST(of_layers_and_files),
    };
    return cmocka_run_group_tests_name("nulls", tests, NULL, NULL);
}
