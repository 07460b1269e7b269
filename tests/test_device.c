/* device: what the seam promises, on the two devices of late.h: work is late and in order, calls run on one device, single elements join, reading
 * waits, faults appear at the next read, and the CPU beside it stays what it is. */
#include "frontend/engine/engine.h"

#include "front.h"

#include <pthread.h>

static const kiln_site here = {__FILE__, 0};

static kiln_tensor *on(kiln *k, int i, kiln_tensor *x) { return tensor_to(thread_of(k), here, x, i < 0 ? HOST : late_number(i)); }
static kiln_tensor *two(kiln *k) { return on(k, -1, kiln_f32(k, KILN_SHAPE(2), 1, 2)); }

static void work_is_late_and_reading_waits(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    float got[2];
    kiln_tensor *x = on(k, 0, two(k));
    int late = 0;
    for (int i = 0; i < 20; i++) { /* now and then something runs meanwhile, by chance */
        const uint64_t before = late_ran();
        kiln_mul(x, x);
        late += late_ran() == before;
    }
    assert_true(late > 5);
    kiln_tensor *y = kiln_add(kiln_mul(x, x), x);
    assert_int_equal(y->device, late_number(0));
    assert_true(kiln_read(y, got, sizeof got));
    assert_true(got[0] == 2 && got[1] == 6);
    assert_float_equal(kiln_item(kiln_sum(kiln_transpose(kiln_reshape(y, KILN_SHAPE(1, 2)), KILN_ALL), KILN_ALL)), 8, 0);
    assert_ok(k);
}

static void host_memory_is_out_of_reach(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    assert_null(kiln_data_at(here, on(k, 0, two(k))));
    assert_error(k, KILN_EDEVICE, "data: f32[2] is on late:0, which C cannot read directly; kiln_read copies it");
}

static void a_call_runs_on_one_device(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *x = on(k, 0, two(k)), *y = on(k, 1, two(k));
    kiln_add(x, y);
    assert_error(k, KILN_EDEVICE, "add: the operands are on different devices: f32[2] on late:0, f32[2] on late:1");
    kiln_add(two(k), x);
    assert_error(k, KILN_EDEVICE, "add: the operands are on different devices: f32[2] on cpu, f32[2] on late:0");
    kiln_concat(KILN_IN(x, x, x, x, x, y), 0);
    assert_error(k, KILN_EDEVICE, "concat: the operands are on different devices: f32[2] on late:0, f32[2] on late:1");
    kiln_tensor *zero = kiln_zeros(k, KILN_F32, KILN_SHAPE(2)); /* one element in the host's memory, as numbers are */
    assert_float_equal(kiln_item(kiln_sum(kiln_add(kiln_add(x, 1), zero), KILN_ALL)), 5, 0);
    assert_float_equal(kiln_item(kiln_sum(kiln_where(kiln_gt(y, 1.5), y, 0), KILN_ALL)), 2, 0);
    assert_float_equal(kiln_item(kiln_sum(kiln_add(on(k, 1, x), y), KILN_ALL)), 6, 0); /* from device to device */
    assert_ok(k);
}

static void variables_stay_where_they_are(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_variable *v = kiln_variable_new(k, "v", on(k, 1, two(k)));
    kiln_assign(v, kiln_add(v, 1));
    kiln_assign(v, on(k, 0, two(k)));
    assert_error(k, KILN_EDEVICE, "assign: variable v is on late:1, the value on late:0");
    assert_float_equal(kiln_item(kiln_sum(v, KILN_ALL)), 5, 0);
    kiln_assign(v, kiln_zeros(k, KILN_F32, KILN_SHAPE(2))); /* joins */
    assert_int_equal(kiln_value(v)->device, late_number(1));
    assert_ok(k);
}

typedef struct Uses {
    kiln_tensor *captured;
} Uses;

static void squares(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const Uses *u = user;
    (void)k;
    out[0] = kiln_mul(in[0], in[0]);
    if (u->captured) out[0] = kiln_add(out[0], u->captured);
}

static void compiled_calls_run_where_their_arguments_lie(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    Uses u = {0};
    kiln_function *f = kiln_function_new(k, squares, &u, &(kiln_function_options){.name = "squares", .inputs_count = 1});
    kiln_function_statistics s;
    for (int turn = 0; turn < 2; turn++)
        for (int i = -1; i < 2; i++) {
            kiln_tensor *y = kiln_call(f, on(k, i, two(k)));
            assert_int_equal(y->device, i < 0 ? HOST : late_number(i));
            assert_float_equal(kiln_item(kiln_sum(y, KILN_ALL)), 5, 0);
        }
    kiln_function_stats(f, &s);
    assert_int_equal(s.traces, 3);
    assert_int_equal(s.hits, 3);
    assert_float_equal(kiln_item(kiln_call(f, 3.0)), 9, 0);
    u.captured = on(k, 0, two(k));
    kiln_function *g = kiln_function_new(k, squares, &u, &(kiln_function_options){.name = "adds", .inputs_count = 1});
    assert_float_equal(kiln_item(kiln_sum(kiln_call(g, u.captured), KILN_ALL)), 8, 0);
    kiln_call(g, on(k, 1, two(k)));
    assert_error(k, KILN_EDEVICE, "adds: the call runs on late:1, but a value that its body uses at");
}

static void two_results(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_add(in[0], 1);
    out[1] = kiln_matmul(kiln_reshape(in[0], KILN_SHAPE(1, 2)), kiln_reshape(in[0], KILN_SHAPE(2, 1)));
}

static void every_result_is_waited_for(void **state)
{
    kiln *k = *state;
    kiln_function *f = kiln_function_new(k, two_results, NULL, &(kiln_function_options){.name = "two_results", .outputs = 2});
    for (int i = 0; i < 20; i++) {
        KILN_SCOPE(k);
        kiln_tensor *out[2];
        kiln_operand x = KILN_OPERAND(on(k, 0, two(k)));
        assert_true(kiln_call_all(f, &x, 1, out, 2));
        assert_float_equal(kiln_item(out[1]), 5, 0);
        assert_float_equal(kiln_item(kiln_sum(out[0], KILN_ALL)), 5, 0);
    }
    assert_ok(k);
}

static void faults_appear_at_the_next_read(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    float got[2];
    kiln_tensor *x = kiln_add(on(k, 0, two(k)), 1);
    late_fail(0, "it was unplugged");
    assert_false(kiln_read(x, got, sizeof got));
    assert_error(k, KILN_EDEVICE, "late:0: it was unplugged");
    assert_true(kiln_read(x, got, sizeof got));
    assert_true(got[1] == 3);
}

/* A thread's queue and another's have no order of their own: what one made the other waits for, and memory that one frees the other takes. */
typedef struct Pass {
    kiln *k;
    kiln_tensor *x;
    int wrong;
} Pass;

static void *goes_on(void *arg)
{
    Pass *p = arg;
    KILN_SCOPE(p->k);
    for (int i = 0; i < 300; i++) {
        kiln_tensor *next = kiln_own(kiln_add(kiln_mul(p->x, 1), 1));
        kiln_release(p->x);
        p->x = next;
    }
    return NULL;
}

static void threads_wait_for_one_another(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    Pass p = {.k = k, .x = kiln_own(on(k, 0, kiln_zeros(k, KILN_F32, KILN_SHAPE(1000))))};
    for (int turn = 0; turn < 6; turn++) {
        pthread_t t;
        goes_on(&p);
        assert_int_equal(pthread_create(&t, NULL, goes_on, &p), 0);
        pthread_join(t, NULL);
    }
    assert_float_equal(kiln_item(kiln_reduce_max(p.x, KILN_ALL)), 3600, 0);
    assert_float_equal(kiln_item(kiln_reduce_min(p.x, KILN_ALL)), 3600, 0);
    kiln_release(p.x);
    assert_ok(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {FRONT_TEST(work_is_late_and_reading_waits), FRONT_TEST(host_memory_is_out_of_reach),
        FRONT_TEST(a_call_runs_on_one_device), FRONT_TEST(variables_stay_where_they_are), FRONT_TEST(faults_appear_at_the_next_read),
        FRONT_TEST(threads_wait_for_one_another)};
    const struct CMUnitTest compiled[] = {FRONT_TEST(compiled_calls_run_where_their_arguments_lie), FRONT_TEST(every_result_is_waited_for)};
    int failed = cmocka_run_group_tests_name("device", tests, NULL, NULL);
    return failed + cmocka_run_group_tests_name("device, compiled", compiled, front_needs_llvm, NULL);
}
