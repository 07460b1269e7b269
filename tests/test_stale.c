/* stale: every way in which a traced function could go on using a value that its source no longer means. Each either follows the new value or
 * is an error that names the place; what C cannot show is found by KILN_RETRACE=1. Each trap is set twice, without and with it. Skipped
 * without the LLVM module. */
#include "front.h"

#include <stdlib.h>

/* What a body reads from the host. */
typedef struct World {
    kiln_tensor *tensor;
    kiln_variable *variable;
    kiln_tensor *list[4];
    int count;
    double number;
    bool flag;
    int traced; /* how often the body ran */
} World;

static kiln_function *traced(kiln *k, kiln_body *body, World *w)
{
    return kiln_function_new(k, body, w, &(kiln_function_options){.name = "body"});
}

static float one(kiln *k, kiln_function *f)
{
    (void)k;
    return (float)kiln_item(kiln_call(f, 1.0));
}

static void adds_tensor(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    World *w = user;
    w->traced++;
    out[0] = kiln_add(in[0], w->tensor);
}

static bool retracing(kiln *k) { return getenv("KILN_RETRACE") != NULL && k; }

#define assert_frozen(k, f, was) /* without KILN_RETRACE the value of the trace, with it an error */                          \
    do {                                                                                                                       \
        float got = one(k, f);                                                                                                 \
        if (retracing(k))                                                                                                      \
            assert_error(k, KILN_ESTATE, "body: a second trace differs");                                                                \
        else {                                                                                                                 \
            assert_ok(k);                                                                                                      \
            assert_float_equal(got, was, 0);                                                                                   \
        }                                                                                                                      \
    } while (0)

/* ---- tensors from outside ------------------------------------------------------------------------------------ */
static void a_captured_tensor_was_replaced(void **state)
{
    kiln *k = *state;
    World w = {0};
    kiln_function *f = traced(k, adds_tensor, &w);
    KILN_SCOPE(k);
    kiln_set(&w.tensor, kiln_scalar(k, KILN_F32, 10));
    assert_float_equal(one(k, f), 11, 0);
    kiln_set(&w.tensor, kiln_scalar(k, KILN_F32, 20)); /* the old one is gone */
    one(k, f);
    assert_error(k, KILN_ESTATE, retracing(k) ? "" : "body: the tensor that its body uses at tests/test_stale.c:");
    kiln_release(w.tensor);
}

static void a_captured_tensor_lives_but_the_pointer_moved(void **state)
{
    kiln *k = *state;
    World w = {0};
    kiln_function *f = traced(k, adds_tensor, &w);
    KILN_SCOPE(k);
    kiln_tensor *a = w.tensor = kiln_scalar(k, KILN_F32, 10), *b = kiln_scalar(k, KILN_F32, 20);
    assert_float_equal(one(k, f), 11, 0);
    w.tensor = b; /* C cannot tell: a is still what was captured */
    assert_frozen(k, f, 11);
    w.tensor = a;
    assert_float_equal(one(k, f), 11, 0);
    assert_ok(k);
}

static void borrowed_memory_changed(void **state)
{
    LATE_SKIP(LATE_BORROWS);
    kiln *k = *state;
    World w = {0};
    float data = 10;
    kiln_function *f = traced(k, adds_tensor, &w);
    KILN_SCOPE(k);
    w.tensor = kiln_borrow(k, KILN_F32, KILN_SHAPE(), &data, NULL, NULL);
    assert_float_equal(one(k, f), 11, 0);
    data = 20;
    assert_float_equal(one(k, f), 21, 0);
    assert_ok(k);
}

static void a_capture_s_scope_closed(void **state)
{
    kiln *k = *state;
    World w = {0};
    kiln_function *f = traced(k, adds_tensor, &w);
    {
        KILN_SCOPE(k);
        w.tensor = kiln_scalar(k, KILN_F32, 10);
        assert_float_equal(one(k, f), 11, 0);
    }
    KILN_SCOPE(k);
    kiln_tensor *other = kiln_scalar(k, KILN_F32, 99); /* perhaps where the first one was */
    one(k, f);
    assert_true(kiln_failed(k));
    kiln_clear(k);
    (void)other;
}

/* ---- variables ----------------------------------------------------------------------------------------------------- */
static void adds_variable(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    out[0] = kiln_add(in[0], ((World *)user)->variable);
}

static void a_variable_was_assigned_then_freed(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    World w = {.variable = kiln_variable_new(k, "v", kiln_scalar(k, KILN_F32, 10))};
    kiln_function *f = traced(k, adds_variable, &w);
    assert_float_equal(one(k, f), 11, 0);
    kiln_assign(w.variable, 20);
    assert_float_equal(one(k, f), 21, 0);
    kiln_variable_free(w.variable);
    one(k, f);
    assert_error(k, KILN_ESTATE, "freed");
}

/* ---- plain C ----------------------------------------------------------------------------------------------------------- */
static double global_scale;
static void scales_by_global(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_mul(in[0], global_scale);
}

static void scales_by_number(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    out[0] = kiln_mul(in[0], ((World *)user)->number);
}

static void a_number_or_global_changed(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    World w = {.number = 3};
    kiln_function *f = traced(k, scales_by_number, &w), *g = traced(k, scales_by_global, &w);
    global_scale = 3;
    assert_float_equal(one(k, f), 3, 0);
    assert_float_equal(one(k, g), 3, 0);
    w.number = global_scale = 4;
    assert_frozen(k, f, 3);
    assert_frozen(k, g, 3);
}

static void scales_by_argument(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    ((World *)user)->traced++;
    out[0] = kiln_mul(in[0], in[1]);
}

static void scales_by_static(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    ((World *)user)->traced++;
    out[0] = kiln_mul(in[0], kiln_static_f64(in[1]));
}

static void numbers_that_follow(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    World w = {0}, s = {0};
    kiln_function *f = traced(k, scales_by_argument, &w), *g = traced(k, scales_by_static, &s);
    for (int i = 1; i < 5; i++) {
        assert_float_equal(kiln_item(kiln_call(f, 1.0, 0.5 * i)), 0.5 * i, 0);
        assert_float_equal(kiln_item(kiln_call(g, 1.0, KILN_STATIC(0.5 * i))), 0.5 * i, 0);
    }
    assert_ok(k);
    if (!retracing(k)) assert_int_equal(w.traced, 1);
    assert_int_equal(s.traced, 4);
}

static void branches(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    World *w = user;
    w->traced++;
    if (w->flag) printf("# printed while tracing\n"); /* once per trace, not per call */
    out[0] = w->flag ? kiln_add(in[0], 1) : kiln_sub(in[0], 1);
}

static void a_branch_went_another_way(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    World w = {.flag = true};
    kiln_function *f = traced(k, branches, &w);
    assert_float_equal(one(k, f), 2, 0);
    assert_float_equal(one(k, f), 2, 0);
    assert_int_equal(w.traced, retracing(k) ? 2 : 1); /* side effects happen when the body is traced */
    w.flag = false;
    assert_frozen(k, f, 2);
}

static void sums_list(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    const World *w = user;
    out[0] = in[0];
    for (int i = 0; i < w->count; i++) out[0] = kiln_add(out[0], w->list[i]);
}

static void a_list_was_mutated(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    World w = {.count = 2};
    for (int i = 0; i < 4; i++) w.list[i] = kiln_scalar(k, KILN_F32, 10 * (i + 1));
    kiln_function *f = traced(k, sums_list, &w);
    assert_float_equal(one(k, f), 31, 0);
    w.count = 3; /* appended to */
    assert_frozen(k, f, 31);
    w.count = 2;
    w.list[0] = w.list[3]; /* an element replaced */
    assert_frozen(k, f, 31);
}

static float spelled[2];
static void spells_out(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    out[0] = kiln_add(in[0], kiln_sum(kiln_from(k, KILN_F32, KILN_SHAPE(2), spelled, 2), KILN_ALL));
}

static void spelled_out_elements_changed(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    World w = {0};
    spelled[0] = 1, spelled[1] = 2;
    kiln_function *f = traced(k, spells_out, &w);
    assert_float_equal(one(k, f), 4, 0);
    spelled[1] = 5;
    assert_frozen(k, f, 4);
}

/* ---- results and instances ------------------------------------------------------------------------------------------------ */
static void results_are_not_overwritten(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    World w = {.number = 3};
    kiln_function *f = traced(k, scales_by_number, &w);
    kiln_tensor *y[50];
    for (int i = 0; i < 50; i++) y[i] = kiln_call(f, i);
    for (int i = 0; i < 50; i++) assert_float_equal(kiln_item(y[i]), 3 * i, 0);
    assert_ok(k);
}

static void returns_its_input(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    out[0] = in[0];
    out[1] = ((World *)user)->tensor;
}

static void results_do_not_share_memory_that_changes(void **state)
{
    LATE_SKIP(LATE_BORROWS);
    kiln *k = *state;
    KILN_SCOPE(k);
    float in = 1, captured = 10;
    World w = {.tensor = kiln_borrow(k, KILN_F32, KILN_SHAPE(), &captured, NULL, NULL)};
    kiln_function *f = kiln_function_new(k, returns_its_input, &w, &(kiln_function_options){.name = "body", .outputs = 2});
    kiln_operand x = KILN_OPERAND(kiln_borrow(k, KILN_F32, KILN_SHAPE(), &in, NULL, NULL));
    kiln_tensor *y[2];
    assert_true(kiln_call_all(f, &x, 1, y, 2));
    in = 2, captured = 20;
    assert_float_equal(kiln_item(y[0]), 1, 0);
    assert_float_equal(kiln_item(y[1]), 10, 0);
    assert_true(kiln_call_all(f, &x, 1, y, 2));
    assert_float_equal(kiln_item(y[0]), 2, 0);
    assert_float_equal(kiln_item(y[1]), 20, 0);
    assert_ok(k);
}

static void instances_do_not_share_traces(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    World a = {.number = 2}, b = {.number = 3};
    kiln_function *f = traced(k, scales_by_number, &a), *g = traced(k, scales_by_number, &b);
    for (int i = 0; i < 3; i++) {
        assert_float_equal(one(k, f), 2, 0);
        assert_float_equal(one(k, g), 3, 0);
    }
    assert_ok(k);
}

static void fails_once(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    World *w = user;
    out[0] = w->traced++ == 0 ? kiln_matmul(kiln_ones(k, KILN_F32, KILN_SHAPE(2, 3)), kiln_ones(k, KILN_F32, KILN_SHAPE(2, 3)))
                              : kiln_add(in[0], 1);
}

static void a_failed_trace_leaves_nothing(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    World w = {0};
    kiln_function *f = traced(k, fails_once, &w);
    one(k, f);
    assert_error(k, KILN_ESHAPE, "matmul");
    assert_float_equal(one(k, f), 2, 0);
    assert_ok(k);
}

/* ---- reading while tracing ----------------------------------------------------------------------------------------------------- */
static void reads_argument(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_item(in[0]) > 0 ? in[0] : kiln_neg(in[0]);
}

static void prints_argument(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    kiln_print(stdout, kiln_exp(in[0]));
    out[0] = in[0];
}

static void reads_variable(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    out[0] = kiln_mul(in[0], kiln_item(((World *)user)->variable));
}

static void reads_capture(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    out[0] = kiln_mul(in[0], kiln_item(((World *)user)->tensor));
}

static void reading_while_tracing_is_an_error_or_seen(void **state)
{
    LATE_SKIP(LATE_BORROWS);
    kiln *k = *state;
    KILN_SCOPE(k);
    float data = 3;
    World w = {.variable = kiln_variable_new(k, "v", KILN_F32, 2.0), .tensor = kiln_borrow(k, KILN_F32, KILN_SHAPE(), &data, NULL, NULL)};
    one(k, traced(k, reads_argument, &w));
    assert_error(k, KILN_ESTATE, "is traced: it has no elements while the function's body runs");
    one(k, traced(k, prints_argument, &w)); /* prints at each call what it is then */
    assert_ok(k);
    one(k, traced(k, reads_variable, &w));
    assert_error(k, KILN_ESTATE, "traced");
    kiln_function *f = traced(k, reads_capture, &w); /* a concrete tensor can be read: then its value is a C number */
    assert_float_equal(one(k, f), 3, 0);
    data = 4;
    assert_frozen(k, f, 3);
}

/* A pointer of C's that a loop's block moves: eager code loses the tensor with its iteration, a trace sees one turn alone. */
static void moves_a_pointer(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_variable *sum = kiln_local(k, in[0]);
    kiln_tensor *x = in[0];
    (void)user;
    KILN_FOR(k, i, 3)
    {
        x = kiln_mul(x, 2);
        kiln_assign(sum, x);
    }
    out[0] = kiln_value(sum);
}

static void asks_a_pointer(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_variable *sum = kiln_local(k, in[0]);
    kiln_tensor *x = in[0];
    (void)user;
    KILN_WHILE(k, kiln_less(x, 10))
    {
        x = kiln_mul(sum, 2);
        kiln_assign(sum, x);
    }
    out[0] = kiln_value(sum);
}

static void a_loop_moved_a_pointer(void **state)
{
    kiln *k = *state;
    kiln_body *bodies[] = {moves_a_pointer, asks_a_pointer};
    for (int i = 0; i < 2; i++) {
        KILN_SCOPE(k);
        kiln_eager(k, true);
        one(k, traced(k, bodies[i], NULL));
        assert_error(k, KILN_ESTATE, "kiln_local");
        kiln_eager(k, false);
        if (!getenv("KILN_RETRACE")) continue; /* only a second trace shows it */
        one(k, traced(k, bodies[i], NULL));
        assert_error(k, KILN_ESTATE, "kiln_local");
    }
}

static int plain(void **state)
{
    unsetenv("KILN_RETRACE");
    return front_needs_llvm(state);
}

static int again(void **state)
{
    int rc = plain(state);
    setenv("KILN_RETRACE", "1", 1);
    return rc;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRONT_TEST(a_captured_tensor_was_replaced),
        FRONT_TEST(a_captured_tensor_lives_but_the_pointer_moved),
        FRONT_TEST(borrowed_memory_changed),
        FRONT_TEST(a_capture_s_scope_closed),
        FRONT_TEST(a_variable_was_assigned_then_freed),
        FRONT_TEST(a_number_or_global_changed),
        FRONT_TEST(numbers_that_follow),
        FRONT_TEST(a_branch_went_another_way),
        FRONT_TEST(a_list_was_mutated),
        FRONT_TEST(spelled_out_elements_changed),
        FRONT_TEST(results_are_not_overwritten),
        FRONT_TEST(results_do_not_share_memory_that_changes),
        FRONT_TEST(instances_do_not_share_traces),
        FRONT_TEST(a_failed_trace_leaves_nothing),
        FRONT_TEST(reading_while_tracing_is_an_error_or_seen),
        FRONT_TEST(a_loop_moved_a_pointer),
    };
    int failed = cmocka_run_group_tests_name("stale", tests, plain, NULL);
    return failed + cmocka_run_group_tests_name("stale, retracing", tests, again, NULL);
}
