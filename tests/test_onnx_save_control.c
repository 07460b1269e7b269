/* test_onnx_save_control: functions with branches and loops as files of ONNX: If and Loop in place of regions, whose graphs see the names around
 * them. Read again they compute the same bits, and so do their gradients. */
#include "onnx_round.h"

#define STEP(name, value)                                                            \
    static void name(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user) \
    {                                                                                \
        (void)e, (void)in, (void)user;                                               \
        out[0] = value;                                                              \
    }

static kiln_tensor *w;

/* ---- branches */
STEP(doubled, kiln_mul(in[0], w))
STEP(lowered, kiln_sub(in[0], 3))
STEP(kept_as_is, in[0])
static void cond(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_cond(e, kiln_greater(kiln_sum(in[0], KILN_ALL), in[1]), doubled, lowered, KILN_IN(in[0]), out, 1, user);
}
static void one_of(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_body *const bodies[] = {doubled, lowered, kept_as_is};
    kiln_switch(e, kiln_cast(in[1], KILN_I32), bodies, 3, KILN_IN(in[0]), out, 1, user);
}
static void nested_if(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    kiln_variable *y = kiln_local(e, in[0]);
    KILN_IF(kiln_greater(in[1], 0))
    {
        kiln_tensor *z = kiln_mul(in[0], 2);
        KILN_IF(kiln_greater(in[1], 1)) { kiln_assign(y, kiln_add(z, in[1])); }
        KILN_ELSE(e) { kiln_assign(y, kiln_sub(z, w)); }
    }
    out[0] = kiln_add(y, 1);
}

/* ---- loops */
STEP(step, kiln_add(kiln_mul(in[1], w), kiln_cast(in[0], KILN_F32)))
STEP(small, kiln_less(kiln_sum(kiln_abs(in[1]), KILN_ALL), 1000))
STEP(grown, kiln_add(kiln_mul(in[1], 1.5), 1))
static void counted(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_for(e, 5, step, KILN_IN(in[0]), out, user);
}
static void counted_at_run_time(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_for(e, kiln_cast(kiln_add(in[1], 2), KILN_I64), step, KILN_IN(in[0]), out, user);
}
static void as_long_as(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_while(e, small, grown, KILN_IN(in[0]), out, user);
}
static void at_most(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_while_at_most(e, 40, small, grown, KILN_IN(in[0]), out, user);
}
static void nested_for(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    kiln_variable *y = kiln_local(e, in[0]);
    KILN_FOR(e, i, 3)
    {
        KILN_FOR(e, j, kiln_add(i, 1)) { kiln_assign(y, kiln_add(kiln_mul(y, w), kiln_cast(kiln_add(i, j), KILN_F32))); }
        KILN_IF(kiln_greater(kiln_sum(y, KILN_ALL), in[1])) { kiln_assign(y, kiln_mul(y, 0.5)); }
    }
    out[0] = kiln_add(y, 0);
}

static void row_step(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)e, (void)user;
    out[0] = kiln_tanh(kiln_add(kiln_mul(in[1], 0.5), in[2])), out[1] = kiln_mul(out[0], 3);
}
static void scan(kiln *e, kiln_tensor *const *in, kiln_tensor **out, bool reverse)
{
    kiln_tensor *last = NULL, *stack = NULL;
    kiln_scan(e, row_step, &(kiln_scan_options){.carries_in = KILN_IN(kiln_zeros(e, KILN_F32, S(3))), .xs_in = KILN_IN(in[0]), .ys_count = 1, .reverse = reverse}, &last, &stack, NULL);
    out[0] = kiln_add(stack, kiln_mul(last, in[1]));
}
static void forwards(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user) { (void)user, scan(e, in, out, false); }
static void backwards(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user) { (void)user, scan(e, in, out, true); }

static const struct {
    const char *name;
    kiln_body *body;
} row[] = {{"cond", cond}, {"one_of", one_of}, {"nested_if", nested_if}, {"counted", counted}, {"counted_at_run_time", counted_at_run_time},
    {"as_long_as", as_long_as}, {"at_most", at_most}, {"nested_for", nested_for}, {"forwards", forwards}, {"backwards", backwards}};
enum { ROWS = sizeof row / sizeof *row };

static void gradient(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    KILN_TAPE(e, tape);
    kiln_watch(tape, in[0]);
    kiln_tensor *y = NULL;
    row[*(int *)user].body(e, in, &y, NULL);
    out[0] = kiln_keep(kiln_gradient(tape, kiln_sum(kiln_square(y), KILN_ALL), in[0]));
}

/* On numbers among which branches and conditions differ. */
static void goes_round(const char *name, kiln_function *f, bool open)
{
    static const float at[] = {-5, 0.5f, 1.5f, 3};
    written(name, f);
    for (int call = 0; call < 4; call++)
        read_again(name, call, f, KILN_IN(filled(S(open ? 1 + 3 * call : 4, 3)), kiln_scalar(k, KILN_F32, at[call])), 1, 0);
}

static void all_go_round(bool gradients, bool open)
{
    for (int i = 0; i < ROWS; i++) {
        KILN_SCOPE(k);
        char name[64];
        snprintf(name, sizeof name, "%s%s%s", open ? "open_" : "", gradients ? "grad_" : "", row[i].name);
        kiln_function_options o = {.name = name, .inputs = {KILN_SPEC(KILN_F32, 4, 3), KILN_SPEC(KILN_F32)}};
        if (open) o.inputs[0].size[0] = KILN_DIM("N", 1, 20);
        w = kiln_mul(filled(S(3)), 0.6);
        kiln_function *f = kiln_function_new(k, gradients ? gradient : row[i].body, &i, &o);
        goes_round(name, f, open);
        kiln_function_free(f);
    }
}

static void values_go_round(void **state)
{
    open_folder(*state);
    all_go_round(false, false);
    assert_true(model_has("one_of", "then_branch"));
    assert_true(model_has("as_long_as", "Loop"));
}

static void gradients_go_round(void **state)
{
    open_folder(*state);
    all_go_round(true, false);
}

static void open_sizes_go_round(void **state)
{
    open_folder(*state);
    all_go_round(false, true);
    all_go_round(true, true);
}

static void calls(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)e;
    out[0] = kiln_add(kiln_call((kiln_function *)user, in[0]), kiln_call((kiln_function *)user, kiln_mul(in[0], 2)));
}
static void two_sines(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)e, (void)user;
    out[0] = kiln_sin(kiln_mul(kiln_sin(in[0]), w));
}

/* What a body calls is part of it; gradients of functions are functions, whose inputs are those of their latest call. */
static void functions_of_functions(void **state)
{
    open_folder(*state);
    KILN_SCOPE(k);
    w = filled(S(3));
    kiln_function *inner = kiln_function_new(k, two_sines, NULL, &(kiln_function_options){.name = "inner", .inputs_count = 1});
    kiln_function *f = kiln_function_new(k, calls, inner, &(kiln_function_options){.name = "calls", .inputs = {KILN_SPEC(KILN_F32, 4, 3)}});
    written("calls", f);
    read_again("calls", 0, f, KILN_IN(filled(S(4, 3))), 1, 0);
    kiln_function *g = kiln_grad(f);
    kiln_call(g, filled(S(4, 3)));
    written("calls_gradient", g);
    read_again("calls_gradient", 0, g, KILN_IN(filled(S(4, 3))), 1, 0);
    kiln_function_free(f), kiln_function_free(inner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {FRONT_TEST(values_go_round), FRONT_TEST(gradients_go_round), FRONT_TEST(open_sizes_go_round), FRONT_TEST(functions_of_functions)};
    return cmocka_run_group_tests_name("onnx_save_control", tests, NULL, close_folder);
}
