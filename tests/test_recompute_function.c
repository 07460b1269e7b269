/* test_recompute_function: kiln_recompute: functions whose inner values no gradient keeps: the same results and gradients, of first and second order,
 * eagerly, on tapes, traced, in loops and for many examples; and less memory. */
#include "front.h"

enum { ROWS = 64, WIDTH = 32, LAYERS = 12 };

/* Four layers between two weights, one of which is a variable. */
static void block(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_variable *w = user;
    kiln_tensor *x = in[0];
    (void)k;
    for (int i = 0; i < 4; i++) x = kiln_tanh(kiln_add(kiln_matmul(x, w), kiln_sin(kiln_mul(x, in[1]))));
    out[0] = x;
}

static kiln_tensor *ramp(kiln *k, int64_t rows, int64_t columns, double by)
{
    return kiln_sin(kiln_mul(kiln_reshape(kiln_iota(k, KILN_F32, KILN_SHAPE(rows * columns), 0), KILN_SHAPE(rows, columns)), by));
}

typedef struct Net {
    kiln_function *block;
    kiln_variable *w;
    kiln_tensor *x, *b;
} Net;

static Net net(kiln *k, bool again)
{
    Net n = {.w = kiln_variable_new(k, "w", kiln_mul(ramp(k, WIDTH, WIDTH, 0.37), 0.2)), .x = ramp(k, ROWS, WIDTH, 0.11), .b = ramp(k, 1, WIDTH, 0.7)};
    n.block = kiln_function_new(k, block, n.w, &(kiln_function_options){.name = "block", .inputs_count = 2});
    if (again) n.block = kiln_recompute(n.block);
    return n;
}

static kiln_tensor *through(const Net *n, kiln_tensor *x, kiln_tensor *b)
{
    for (int i = 0; i < LAYERS; i++) x = kiln_call(n->block, x, b);
    return kiln_sum(kiln_square(x), KILN_ALL);
}

static void step(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const Net *n = user;
    KILN_TAPE(k, tape);
    kiln_tensor *x = kiln_watch(tape, in[0]), *b = kiln_watch(tape, in[1]), *y = through(n, x, b);
    out[3] = y;
    kiln_gradients(tape, y, KILN_IN(x, b, n->w), out);
}

/* The gradients of x, b and w, and the value; in a trace, or on a tape. Returns bytes of workspace, or -1. */
static int64_t run(kiln *k, bool again, bool traced, kiln_tensor **out)
{
    Net n = net(k, again);
    int64_t bytes = -1;
    if (traced) {
        kiln_function *f = kiln_function_new(k, step, &n, &(kiln_function_options){.name = "step", .outputs = 4, .compile = KILN_WAIT});
        kiln_function_bytes b;
        kiln_call_all(f, KILN_IN(n.x, n.b), out, 4);
        assert_ok(k);
        assert_true(kiln_function_memory(f, &b));
        bytes = b.least;
        kiln_function_free(f);
    } else {
        step(k, (kiln_tensor *const[]){n.x, n.b, NULL}, out, &n);
        assert_ok(k);
    }
    return bytes;
}

static void near_each_other(kiln_tensor *const *a, kiln_tensor *const *b, double tolerance)
{
    for (int i = 0; i < 4; i++) assert_true(kiln_assert_close(a[i], b[i], i == 3 ? 0 : tolerance));
}

static void gradients_are_the_same_and_memory_less(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *want[4], *got[4];
    const int64_t plain = run(k, false, true, want), less = run(k, true, true, got);
    near_each_other(got, want, 1e-3);
    printf("workspace: %lld bytes, with recomputation %lld\n", (long long)plain, (long long)less);
    assert_true(less * 2 < plain);
    run(k, true, false, got); /* a tape around compiled calls */
    near_each_other(got, want, 1e-3);
    kiln_eager(k, true); /* it is traced all the same */
    run(k, true, false, got);
    near_each_other(got, want, 1e-3);
    kiln_eager(k, false);
}

/* The most bytes that were in use at one time, on the host and where x lies. */
static int64_t peak(kiln *k, const kiln_tensor *x)
{
    const int64_t host = kiln_memory_count().peak_bytes;
    return strncmp(kiln_device_of(x), "emu", 3) && strncmp(kiln_device_of(x), "gpu", 3) ? host : (int64_t)kiln_device_memory_count(k, kiln_device_of(x)).peak;
}

/* With tapes in eager code: first with recomputation, so that it rises without. */
static void tapes_keep_less(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *got[4];
    kiln_eager(k, true);
    run(k, true, false, got);
    const int64_t less = peak(k, got[0]);
    run(k, false, false, got);
    const int64_t plain = peak(k, got[0]);
    kiln_eager(k, false);
    printf("tapes: at most %lld bytes in use, with recomputation %lld\n", (long long)plain, (long long)less);
    assert_true(plain > less);
}

/* Against the same without recomputation. */
static void second_order(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const Net *n = user;
    KILN_TAPE(k, outer);
    kiln_tensor *x = kiln_watch(outer, in[0]), *dx;
    {
        KILN_TAPE(k, inner);
        kiln_tensor *z = kiln_watch(inner, x), *y = kiln_sum(kiln_square(kiln_call(n->block, z, in[1])), KILN_ALL);
        dx = kiln_gradient(inner, y, z);
    }
    out[0] = kiln_gradient(outer, kiln_sum(kiln_square(dx), KILN_ALL), x);
}

static void it_is_differentiated_twice_and_mapped(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *twice[2], *mapped[2];
    for (int again = 0; again < 2; again++) {
        Net n = net(k, again);
        kiln_function *f = kiln_function_new(k, second_order, &n, &(kiln_function_options){.name = "second", .inputs_count = 2});
        twice[again] = kiln_call(f, n.x, n.b);
        kiln_function *many = kiln_vmap(kiln_grad(n.block), &(kiln_vmap_options){.in = {0, KILN_SHARED}});
        mapped[again] = kiln_call(many, kiln_reshape(n.x, KILN_SHAPE(4, ROWS / 4, WIDTH)), n.b);
        assert_ok(k);
        kiln_function_free(f);
    }
    assert_true(kiln_assert_close(twice[0], twice[1], 1e-4));
    assert_true(kiln_assert_close(mapped[0], mapped[1], 1e-5));
    assert_ok(k);
}

/* A draw inside is one draw, and what it assigns is assigned once. */
static void noisy(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_variable **v = user;
    (void)k;
    kiln_assign_add(v[1], 1);
    out[0] = kiln_mul(in[0], kiln_uniform(v[0], KILN_F32, KILN_SHAPE(8), 0, 1));
}

static void draws_are_the_same_when_it_runs_again(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_variable *v[2] = {kiln_generator(k, 7), kiln_variable_new(k, "count", kiln_scalar(k, KILN_I64, 0))};
    kiln_function *f = kiln_recompute(kiln_function_new(k, noisy, v, &(kiln_function_options){.name = "noisy", .inputs_count = 1}));
    KILN_TAPE(k, tape);
    kiln_tensor *x = kiln_watch(tape, kiln_ones(k, KILN_F32, KILN_SHAPE(8))), *y = kiln_call(f, x);
    assert_true(kiln_assert_close(kiln_gradient(tape, y, x), y, 0));
    assert_int_equal(kiln_item_i64(v[1]), 1);
    assert_ok(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {FRONT_TEST(tapes_keep_less), FRONT_TEST(gradients_are_the_same_and_memory_less), FRONT_TEST(it_is_differentiated_twice_and_mapped), FRONT_TEST(draws_are_the_same_when_it_runs_again)};
    return cmocka_run_group_tests_name("recompute_function", tests, front_needs_llvm, NULL);
}
