/* test_axes: no axes, empty axes, and whose error it is, eagerly and traced. */
#include "front.h"

#define BODY(name) static void name(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
#define UNUSED (void)k, (void)user
BODY(any_all)
{
    UNUSED;
    kiln_tensor *b = kiln_cast(in[0], KILN_BOOL);
    out[0] = kiln_any(b, KILN_AXES(1));
    out[1] = kiln_all(b, KILN_AXES(1));
    out[2] = kiln_any(b, KILN_ALL);
    out[3] = kiln_all(b, KILN_KEEP_ALL);
}
BODY(no_axes)
{
    UNUSED;
    kiln_tensor *b = kiln_cast(in[0], KILN_BOOL);
    out[0] = kiln_sum(in[0], KILN_AXES());
    out[1] = kiln_mean(in[0], KILN_KEEP());
    out[2] = kiln_reduce_max(in[0], KILN_AXES());
    out[3] = kiln_cast(kiln_all(b, KILN_AXES()), KILN_F32);
}

static void run(kiln *k, kiln_body *body, kiln_tensor *x, kiln_tensor **out)
{
    kiln_function *f = kiln_function_new(k, body, NULL, &(kiln_function_options){.inputs_count = 1, .outputs = 4});
    kiln_operand in = KILN_OPERAND(x);
    if (!kiln_call_all_at(KILN_HERE, f, &in, 1, out, 4)) fail_msg("%s", kiln_error(k)->text);
    if (!kiln_check_at(KILN_HERE, stdout, f, &x, 1)) fail_msg("%s", kiln_error(k)->text);
}

static void nothing_is_all_and_not_any(void **state)
{
    kiln *k = *state;
    for (int traced = 0; traced < 2; traced++) {
        KILN_SCOPE(k);
        kiln_eager(k, !traced);
        kiln_tensor *out[4];
        uint8_t v[2][3] = {{9, 9, 9}, {9, 9, 9}}, one[2];
        run(k, any_all, kiln_zeros(k, KILN_F32, KILN_SHAPE(3, 0)), out);
        for (int i = 0; i < 2; i++) assert_true(kiln_read(out[i], v[i], 3) && kiln_read(out[2 + i], &one[i], 1));
        for (int i = 0; i < 3; i++) assert_true(v[0][i] == 0 && v[1][i] == 1);
        assert_true(one[0] == 0 && one[1] == 1 && kiln_rank(out[2]) == 0 && kiln_rank(out[3]) == 2);
        assert_ok(k);
    }
    kiln_eager(k, false);
}

static void no_axis_is_not_every_axis(void **state)
{
    kiln *k = *state;
    for (int traced = 0; traced < 2; traced++) {
        KILN_SCOPE(k);
        kiln_eager(k, !traced);
        kiln_tensor *out[4];
        run(k, no_axes, kiln_f32(k, KILN_SHAPE(2, 2), 1, 2, 0, -4), out);
        for (int i = 0; i < 4; i++) {
            float v[4], want[4] = {1, 2, 0, -4};
            if (i == 3) want[1] = 1, want[3] = 1;
            assert_true(kiln_read(out[i], v, sizeof v) && kiln_rank(out[i]) == 2);
            assert_memory_equal(v, want, sizeof v);
        }
        assert_int_equal(kiln_rank(kiln_sum(out[0], KILN_KEEP_ALL)), 2);
        kiln_transpose(out[0], KILN_AXES());
        assert_error(k, KILN_ESHAPE, "transpose: 0 axes named for rank 2");
        assert_ok(k);
    }
    kiln_eager(k, false);
}

static void errors_name_what_was_called(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_zeros(k, KILN_F32, KILN_SHAPE(2, 0));
    kiln_cross_entropy(x, kiln_zeros(k, KILN_I32, KILN_SHAPE(2)));
    assert_error(k, KILN_ESHAPE, "cross_entropy: axis 1 is empty: f32[2,0]");
    kiln_reduce_min(x, KILN_ALL);
    assert_error(k, KILN_ESHAPE, "reduce_min: axis 1 is empty: f32[2,0]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {FRONT_TEST(nothing_is_all_and_not_any), FRONT_TEST(no_axis_is_not_every_axis), FRONT_TEST(errors_name_what_was_called)};
    return cmocka_run_group_tests_name("axes", tests, front_needs_llvm, NULL);
}
