/* slices: loops that read an outside value at their own index: same bits as eager code, forwards and in gradients, whether or not the value
 * can come in slice by slice; and where it can, the gradient moves memory in proportion to the steps, not to their square. Skipped without
 * the LLVM module. */
#include "front.h"

#include <stdlib.h>

enum { WIDTH = 3, MOST = 64 };

typedef enum Kind { PLAIN, ALSO_WHOLE, OTHER_HEIGHT, CARRIED_WHOLE, NESTED, TWICE, SCANNED, KINDS } Kind;

typedef struct Job {
    Kind kind;
    int steps;
} Job;

static void twice(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    out[0] = kiln_mul(kiln_add(kiln_tanh(kiln_add(kiln_mul(in[1], *(kiln_tensor **)user), in[2])), kiln_sin(in[2])), in[2]);
}

/* Gradients of sum(h) by x and w. */
static void body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const Job *job = user;
    kiln_tensor *x = in[0], *w = in[1], *d[2];
    KILN_TAPE(k, tape);
    x = kiln_watch(tape, x);
    w = kiln_watch(tape, w);
    kiln_variable *h = kiln_local(k, kiln_zeros(k, KILN_F32, KILN_SHAPE(WIDTH))), *last = kiln_local(k, kiln_zeros(k, KILN_F32, KILN_SHAPE(kiln_dim(x, 0), WIDTH)));
    if (job->kind == SCANNED) {
        kiln_tensor *end, *first = kiln_value(h);
        kiln_scan(k, twice, &(kiln_scan_options){.carries = &first, .carries_count = 1, .xs = &x, .xs_count = 1}, &end, NULL, &w);
        kiln_assign(h, end);
    }
    KILN_FOR(k, i, job->kind == SCANNED ? 0 : job->steps) {
        kiln_tensor *row = kiln_gather(x, i, 0);
        kiln_assign(h, kiln_tanh(kiln_add(kiln_mul(h, w), row)));
        if (job->kind == ALSO_WHOLE) kiln_assign(h, kiln_add(h, kiln_mean(x, KILN_AXES(0))));
        if (job->kind == TWICE) kiln_assign(h, kiln_mul(kiln_add(h, kiln_sin(kiln_gather(x, i, 0))), kiln_gather(x, i, 0)));
        if (job->kind == CARRIED_WHOLE) kiln_assign(last, x);
        if (job->kind == NESTED)
            KILN_FOR(k, j, 2) kiln_assign(h, kiln_mul(h, kiln_sin(kiln_gather(x, i, 0))));
    }
    if (job->kind >= TWICE) kiln_assign(h, kiln_add(h, kiln_mean(kiln_mul(x, x), KILN_AXES(0)))); /* and outside the loop */
    kiln_tensor *y = kiln_sum(kiln_add(h, kiln_sum(last, KILN_AXES(0))), KILN_ALL);
    kiln_operand at[2] = {kiln_of_tensor(x), kiln_of_tensor(w)};
    kiln_gradients(tape, y, at, 2, d);
    out[0] = y;
    out[1] = d[0];
    out[2] = d[1];
}

static bool run(kiln *k, const Job *job, bool eager, float *to, int64_t *moved)
{
    KILN_SCOPE(k);
    int rows = job->kind == OTHER_HEIGHT ? job->steps + 2 : job->steps;
    kiln_function *f = kiln_function_new(k, body, (void *)(uintptr_t)job, &(kiln_function_options){.outputs = 3});
    kiln_tensor *x = kiln_sin(kiln_cast(kiln_iota(k, KILN_I64, KILN_SHAPE(rows, WIDTH), 0), KILN_F32)), *w = kiln_f32(k, KILN_SHAPE(WIDTH), 0.5, -0.25, 1), *y[3];
    kiln_eager(k, eager);
    bool ok = kiln_call_all(f, (kiln_operand[]){kiln_of_tensor(x), kiln_of_tensor(w)}, 2, y, 3);
    kiln_eager(k, false);
    if (ok) {
        kiln_read(y[0], to, 4);
        kiln_read(y[2], to + 1, 4 * WIDTH);
        kiln_read(y[1], to + 1 + WIDTH, sizeof *to * (size_t)(rows * WIDTH));
    }
    kiln_function_statistics s;
    kiln_function_stats(f, &s);
    *moved = s.bytes_moved;
    if (!eager && ok && rows <= 8 && !kiln_check(stderr, f, KILN_IN(x, w))) fail_msg("kind %d, %d steps: the reference disagrees", job->kind, job->steps);
    kiln_function_free(f);
    return ok;
}

static void same_bits(void **state)
{
    kiln *k = *state;
    int64_t moved;
    for (int kind = 0; kind < KINDS; kind++)
        for (int steps = 1; steps <= 6; steps += 5) {
            float want[256] = {0}, got[256] = {0};
            Job job = {(Kind)kind, steps};
            assert_true(run(k, &job, true, want, &moved));
            bool ran = run(k, &job, false, got, &moved);
            if (!ran) fail_msg("kind %d, %d steps: %s", kind, steps, kiln_error(k)->text);
            assert_ok(k);
            assert_memory_equal(got, want, sizeof got);
        }
}

static void work_grows_with_the_steps(void **state)
{
    kiln *k = *state;
    float y[1 + WIDTH + 2 * MOST * WIDTH];
    int64_t one, two;
    assert_true(run(k, &(Job){PLAIN, MOST}, false, y, &one));
    assert_true(run(k, &(Job){PLAIN, 2 * MOST}, false, y, &two));
    assert_ok(k);
    /* loops are counted once: their bodies touch slices, not the whole */
    assert_in_range(two, one, 2 * one + 64);
    assert_true(run(k, &(Job){ALSO_WHOLE, MOST}, false, y, &two));
    assert_true(two > one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {FRONT_TEST(same_bits), WAIT_TEST(work_grows_with_the_steps)};
    return cmocka_run_group_tests(tests, front_needs_llvm, NULL);
}
