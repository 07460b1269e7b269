/* recompute: less memory for more time. The gradient of a loop keeps what comes into each step; of a loop in a loop, and of kiln_for_every, it keeps what comes into
 * the outer steps alone, and runs the inner one again: the same gradient from much less memory. Skipped without the LLVM module. */
#include "front.h"

enum { WIDTH = 256, OUTER = 32, INNER = 32 };

static void turn(kiln_variable *h, kiln_tensor *w) { kiln_assign(h, kiln_tanh(kiln_add(kiln_mul(h, w), 0.25))); }

typedef enum Way { FLAT, NESTED, EVERY, EVERY_UNEVEN, EVERY_UNKNOWN } Way;

typedef struct Job {
    Way way;
    kiln_tensor *w;
} Job;

static void step(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    out[0] = kiln_tanh(kiln_add(kiln_mul(in[1], ((Job *)user)->w), 0.25));
    out[1] = kiln_add(in[2], in[0]); /* the index is the whole loop's */
}

static void body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    Job *job = user;
    KILN_TAPE(k, tape);
    kiln_tensor *w = job->w = kiln_watch(tape, in[0]);
    kiln_variable *h = kiln_local(k, kiln_zeros(k, KILN_F32, KILN_SHAPE(WIDTH)));
    out[1] = kiln_scalar(k, KILN_I64, 0);
    if (job->way == FLAT) {
        KILN_FOR(k, i, OUTER *INNER) turn(h, w);
    } else if (job->way == NESTED) {
        KILN_FOR(k, i, OUTER) KILN_FOR(k, j, INNER) turn(h, w);
    } else {
        kiln_tensor *carry[2] = {kiln_value(h), out[1]}, *last[2];
        int every = job->way == EVERY_UNEVEN ? 100 : INNER;
        if (job->way == EVERY_UNKNOWN)
            kiln_for_every(k, in[1], every, step, carry, 2, last, job);
        else
            kiln_for_every(k, OUTER * INNER, every, step, carry, 2, last, job);
        kiln_assign(h, last[0]);
        out[1] = last[1];
    }
    out[0] = kiln_gradient(tape, kiln_sum(h, KILN_ALL), w);
}

static int64_t gradient(kiln *k, Way way, float *to)
{
    KILN_SCOPE(k);
    Job job = {.way = way};
    kiln_tensor *y[2];
    kiln_function *f = kiln_function_new(k, body, &job, &(kiln_function_options){.outputs = 2});
    kiln_tensor *w = kiln_sin(kiln_cast(kiln_iota(k, KILN_I64, KILN_SHAPE(WIDTH), 0), KILN_F32)), *n = kiln_scalar(k, KILN_I32, OUTER * INNER);
    kiln_call_all(f, (kiln_operand[]){kiln_of_tensor(w), kiln_of_tensor(n)}, 2, y, 2);
    assert_ok(k);
    kiln_read(y[0], to, WIDTH * sizeof *to);
    if (way >= EVERY) assert_int_equal(kiln_item_i64(y[1]), (int64_t)OUTER * INNER * (OUTER * INNER - 1) / 2);
    kiln_function_statistics s;
    kiln_function_stats(f, &s);
    kiln_function_free(f);
    return s.workspace_bytes;
}

static void segments_keep_less(void **state)
{
    kiln *k = *state;
    float eager[WIDTH], got[WIDTH];
    int64_t bytes[EVERY_UNKNOWN + 1];
    kiln_eager(k, true);
    gradient(k, FLAT, eager);
    gradient(k, EVERY_UNEVEN, got);
    assert_memory_equal(got, eager, sizeof got);
    kiln_eager(k, false);
    for (int way = FLAT; way <= EVERY_UNKNOWN; way++) {
        bytes[way] = gradient(k, (Way)way, got);
        assert_memory_equal(got, eager, sizeof got);
    }
    print_message("gradient of %d steps: %lld bytes, as %d times %d: %lld, every %d: %lld\n", OUTER * INNER, (long long)bytes[FLAT], OUTER, INNER,
        (long long)bytes[NESTED], INNER, (long long)bytes[EVERY]);
    assert_true(bytes[FLAT] >= (int64_t)OUTER * INNER * WIDTH * 4);
    assert_true(bytes[NESTED] <= bytes[FLAT] / 8 && bytes[EVERY] <= bytes[FLAT] / 8);
    kiln_tensor *out = NULL;
    kiln_for_every(k, 3, 0, step, NULL, 0, &out, NULL);
    assert_error(k, KILN_EVALUE, "kiln_for_every: every must be at least 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {WAIT_TEST(segments_keep_less)};
    return cmocka_run_group_tests(tests, front_needs_llvm, NULL);
}
