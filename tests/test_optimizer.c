/* Optimisers in every float type against the formulas in long double; the types of their state; master copies; and that a step happens to all
 * variables or to none, whichever allocation fails, in no more memory than it says. */
#include "front.h"
#include "values.h"

#include <kiln/io.h>
#include <kiln/nn.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/base.h"

#define S KILN_SHAPE

static bool compiles; /* traced steps, too */

/* ---- formulas -------------------------------------------------------------------------------- */
typedef struct Model {
    int kind; /* 0 SGD, 1 with momentum, 2 Adam */
    long double w, m, s;
    int step;
} Model;

static void model_step(Model *x, long double g, long double rate)
{
    x->step++;
    if (x->kind == 0) x->w -= rate * g;
    if (x->kind == 1) x->w -= rate * (x->m = 0.9L * x->m + g);
    if (x->kind != 2) return;
    x->m = 0.9L * x->m + 0.1L * g;
    x->s = 0.999L * x->s + 0.001L * g * g;
    x->w -= rate * (x->m / (1 - powl(0.9L, x->step))) / (sqrtl(x->s / (1 - powl(0.999L, x->step))) + 1e-8L);
}

static kiln_optimizer *optimizer(int kind, double rate)
{
    return kind == 2 ? kiln_adam(k, rate) : kiln_sgd(k, rate, kind == 1 ? 0.9 : 0);
}

typedef struct Fit {
    kiln_optimizer *o;
    kiln_variable *v;
} Fit;

static void one_step(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    Fit *f = user;
    kiln_tensor *g = in[0];
    (void)e;
    kiln_optimizer_apply(f->o, &f->v, &g, 1);
    out[0] = kiln_value(f->v);
}

/* Forty steps of one element, gradients that depend on the step alone. 16-bit variables without a master round at each step, which the model
 * does, too. */
static void follows(kiln_dtype dtype, int kind, bool traced, bool master)
{
    KILN_SCOPE(k);
    const double first = 0.75, rate = 0.05;
    const bool narrow = dtype == KILN_F16 || dtype == KILN_BF16;
    Fit f = {optimizer(kind, rate), kiln_variable_new(k, "w", kiln_cast(kiln_full(k, KILN_F64, S(3), first), dtype))};
    if (master) assert_true(kiln_optimizer_master(f.o, true));
    kiln_function *step = kiln_function_new(k, one_step, &f, NULL);
    Model m = {.kind = kind, .w = first};
    kiln_eager(k, !traced);
    for (int i = 0; i < 40; i++) {
        KILN_SCOPE(k);
        kiln_tensor *g = kiln_cast(kiln_full(k, KILN_F64, S(3), 0x1p-7 * (1 + i % 5) * (i % 7 == 3 ? -1 : 1)), dtype);
        double exact = kiln_item(kiln_slice(g, 0, 0, 1, 1));
        kiln_tensor *y = kiln_call(step, g);
        model_step(&m, exact, rate);
        double have = kiln_item(kiln_slice(y, 0, 2, 3, 1)), unit = dtype == KILN_F64 ? 0x1p-52 : 0x1p-23;
        double want = kiln_item(kiln_cast(kiln_scalar(k, KILN_F64, (double)m.w), dtype)), least = narrow ? fabs(want) * (dtype == KILN_F16 ? 0x1p-10 : 0x1p-7) : 0;
        if (kiln_failed(k)) fail_msg("%s", kiln_error(k)->text);
        if (!(fabs(have - (double)m.w) <= 16 * unit + least))
            fail_msg("%s kind %d step %d%s%s: %.17g instead of %.17Lg", kiln_dtype_name(dtype), kind, i, traced ? " traced" : "", master ? " with master" : "", have, m.w);
        if (narrow && !master) m.w = have;
    }
    kiln_eager(k, false);
    kiln_function_free(step);
    kiln_optimizer_free(f.o);
}

static void formulas(void **state)
{
    (void)state;
    const kiln_dtype types[] = {KILN_F16, KILN_BF16, KILN_F32, KILN_F64};
    for (int d = 0; d < 4; d++)
        for (int kind = 0; kind < 3; kind++)
            for (int mode = 0; mode < 4; mode++)
                if (compiles || !(mode & 1)) follows(types[d], kind, mode & 1, mode & 2);
}

/* What 16 bits cannot hold: gradients whose squares underflow, steps below half an ulp, a second moment that must decay. */
static void small_steps(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_variable *w = kiln_variable_new(k, "w", kiln_ones(k, KILN_F16, S(2))), *x = kiln_variable_new(k, "x", kiln_ones(k, KILN_BF16, S(1)));
    kiln_tensor *g = kiln_cast(kiln_f32(k, S(2), 0, 1e-4), KILN_F16);
    kiln_optimizer_apply(kiln_adam(k, 0.1), &w, &g, 1);
    EXACTLY(kiln_value(w), KILN_F16, S(2), 1, 0x1.cccp-1);
    kiln_optimizer *o = kiln_sgd(k, 1, 0);
    assert_true(kiln_optimizer_master(o, true));
    kiln_tensor *tiny = kiln_cast(kiln_f32(k, S(1), 0x1p-12), KILN_BF16);
    for (int i = 0; i < 256; i++) kiln_optimizer_apply(o, &x, &tiny, 1);
    EXACTLY(kiln_value(x), KILN_BF16, S(1), 1 - 256 * 0x1p-12);
    kiln_assign(x, kiln_cast(kiln_f32(k, S(1), 3), KILN_BF16)); /* another value is another start */
    kiln_optimizer_apply(o, &x, &tiny, 1);
    EXACTLY(kiln_value(x), KILN_BF16, S(1), 3);
    kiln_variable *all[8];
    assert_int_equal(kiln_optimizer_variables(o, all, 8), 2);
    assert_string_equal(kiln_variable_name(all[1]), "optimizer/master/x");
    EXACTLY(kiln_value(all[1]), KILN_F32, S(1), 3 - 0x1p-12);
    kiln_optimizer_master(o, false);
    FAILS(0, KILN_ESTATE, "master: the optimizer has made steps already; set it before the first");
}

static void state_types(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    const kiln_dtype types[] = {KILN_F16, KILN_BF16, KILN_F32, KILN_F64}, wide[] = {KILN_F32, KILN_F32, KILN_F32, KILN_F64};
    for (int d = 0; d < 4; d++) {
        kiln_variable *w = kiln_variable_new(k, "w", kiln_ones(k, types[d], S(2))), *all[8];
        kiln_optimizer *o = kiln_adam(k, 0.1);
        assert_true(kiln_optimizer_prepare(o, &w, 1));
        assert_int_equal(kiln_optimizer_variables(o, all, 8), 4);
        for (int i = 0; i < 4; i++) assert_int_equal(kiln_dtype_of(kiln_value(all[i])), i < 2 ? KILN_F64 : wide[d]);
        kiln_optimizer_free(o);
    }
    kiln_variable *d = kiln_variable_new(k, "d", kiln_scalar(k, KILN_F64, 1.0));
    KILN_TAPE(k, tape);
    kiln_optimizer_minimize(kiln_adam(k, 0.5), tape, kiln_square(d));
    assert_true(fabs(kiln_item(d) - 0.5000000025) < 1e-15);
    kiln_optimizer *o = kiln_sgd(k, 0.1, 0);
    assert_true(kiln_item(kiln_optimizer_rate(o)) == 0.1);
    kiln_assign(kiln_optimizer_rate(o), kiln_scalar(k, KILN_F32, 0.25)); /* f64 holds it */
    assert_true(kiln_item(kiln_optimizer_rate(o)) == 0.25);
    kiln_schedule s = {.kind = KILN_RATE_EXPONENTIAL, .rate = 0.1, .decay = 0.9, .steps = 1};
    assert_true(fabs(kiln_item(kiln_schedule_rate(&s, kiln_scalar(k, KILN_F64, 3))) - 0.1 * pow(0.9, 3)) < 1e-17);
}

/* ---- all or nothing --------------------------------------------------------------------------- */
#define MANY 5
typedef struct Training {
    kiln_variable *v[MANY];
    kiln_tensor *g[MANY];
    kiln_optimizer *o;
} Training;

/* Kinds: bit 0 Adam, 1 clipping, 2 a schedule, 3 a master, 4 readers hold the old values. */
static void training(Training *x, int kind)
{
    const kiln_dtype types[MANY] = {KILN_F32, KILN_F16, KILN_F64, KILN_F32, KILN_BF16};
    x->o = optimizer(kind & 1 ? 2 : 1, 0.1);
    if (kind & 2) kiln_optimizer_clip(x->o, &(kiln_clipping){.value = 3, .norm = 2, .global_norm = 3});
    if (kind & 4) kiln_optimizer_schedule(x->o, &(kiln_schedule){.kind = KILN_RATE_COSINE, .rate = 0.1, .steps = 9});
    if (kind & 8) kiln_optimizer_master(x->o, true);
    for (int i = 0; i < MANY; i++) {
        x->v[i] = kiln_variable_new(k, "w", kiln_cast(kiln_full(k, KILN_F32, S(3 + i, 700), 1 + i), types[i]));
        x->g[i] = kiln_cast(kiln_broadcast(kiln_iota(k, KILN_F32, S(700), 0), S(3 + i, 700)), types[i]);
        if (i == 3) x->g[i] = kiln_transpose(kiln_reshape(x->g[i], S(700, 3 + i)), KILN_AXES(1, 0));
        if (kind & 16) kiln_value(x->v[i]);
    }
    if (kiln_failed(k)) fail_msg("%s", kiln_error(k)->text);
}

#define MOST 32
static int everything(const Training *x, kiln_tensor **value)
{
    kiln_variable *v[MOST];
    int n = kiln_optimizer_variables(x->o, v, MOST), count = 0;
    for (int i = 0; i < MANY; i++) value[count++] = kiln_mul(kiln_value(x->v[i]), 1.0); /* copies: readers would keep
        the step from writing in place */
    for (int i = 0; i < n; i++) value[count++] = kiln_mul(kiln_value(v[i]), 1);
    return count;
}

static bool all_same(kiln_tensor *const *a, kiln_tensor *const *b, int n)
{
    for (int i = 0; i < n; i++)
        if (memcmp(kiln_data(a[i]), kiln_data(b[i]), (size_t)kiln_bytes(a[i])) != 0) return false;
    return true;
}

static int starve(int kind)
{
    KILN_SCOPE(k);
    Training x;
    training(&x, kind);
    int failed = 0;
    for (int step = 0; step < 2; step++) /* the first makes the moments */
        for (uint64_t n = 1;; n++) {
            KILN_SCOPE(k);
            kiln_tensor *before[MOST + MANY], *after[MOST + MANY];
            int count = everything(&x, before);
            memory_fail_at(n, false);
            kiln_optimizer_apply(x.o, x.v, x.g, MANY);
            memory_fail_at(0, false);
            bool done = !kiln_failed(k);
            if (!done && kiln_error(k)->code != KILN_EMEMORY) fail_msg("%s", kiln_error(k)->text);
            kiln_clear(k);
            int now = everything(&x, after);
            if (done) {
                assert_false(all_same(before, after, count));
                break;
            }
            failed++;
            assert_true(now >= count);
            if (now > count) now = MANY + 1; /* moments were made: they come last, and are zeros */
            if (!all_same(before, after, now == count ? count : MANY + 1)) fail_msg("kind %d: allocation %d failed, and something changed", kind, (int)n);
        }
    kiln_optimizer_free(x.o);
    for (int i = 0; i < MANY; i++) kiln_variable_free(x.v[i]);
    return failed;
}

static void all_or_nothing(void **state)
{
    (void)state;
    int failed = 0;
    for (int kind = 0; kind < 32; kind++) failed += starve(kind);
    printf("    %d failed allocations\n", failed);
    assert_true(failed > 100);
}

/* A variable that cannot be made is NULL, and nothing of it is left. */
static void no_dead_variables(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_broadcast(kiln_scalar(k, KILN_F32, 1), S(3000));
    int64_t before = kiln_memory_count().live_blocks;
    for (uint64_t n = 1;; n++) {
        memory_fail_at(n, false);
        kiln_variable *v = kiln_variable_new(k, "v", x);
        memory_fail_at(0, false);
        kiln_clear(k);
        if (!v) assert_true(kiln_memory_count().live_blocks <= before + 1); /* a slab of headers may have come */
        before = kiln_memory_count().live_blocks;
        if (v) break;
    }
}

/* Eager and traced steps give the same bits, whatever the optimiser does. */
static void traced_step(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    Training *x = user;
    kiln_tensor *g[MANY];
    for (int i = 0; i < MANY; i++) g[i] = in[i];
    kiln_optimizer_apply(x->o, x->v, g, MANY);
    out[0] = kiln_scalar(e, KILN_F32, 0);
}

static void eager_as_traced(void **state)
{
    (void)state;
    if (!compiles) {
        printf("skip: the LLVM module is not at hand\n");
        skip();
    }
    for (int kind = 0; kind < 16; kind++) {
        KILN_SCOPE(k);
        Training eager, traced;
        training(&eager, kind);
        training(&traced, kind);
        kiln_function *f = kiln_function_new(k, traced_step, &traced, NULL);
        kiln_tensor *a[MOST + MANY], *b[MOST + MANY], *out;
        kiln_operand in[MANY];
        for (int i = 0; i < MANY; i++) in[i] = kiln_of_tensor(traced.g[i]);
        for (int i = 0; i < 4; i++) {
            kiln_optimizer_apply(eager.o, eager.v, eager.g, MANY);
            kiln_call_all(f, in, MANY, &out, 1);
        }
        if (kiln_failed(k)) fail_msg("%s", kiln_error(k)->text);
        int n = everything(&eager, a);
        assert_int_equal(everything(&traced, b), n);
        for (int i = 0; i < n; i++)
            if (!all_same(a + i, b + i, 1)) fail_msg("kind %d: variable %d differs", kind, i);
        kiln_function_free(f);
    }
}

/* Beside the state a step needs the temporaries of one parameter at most, here much less. */
static void memory(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    enum { N = 12 };
    kiln_variable *v[N];
    kiln_tensor *g[N];
    const int64_t each = 1 << 20; /* elements */
    for (int i = 0; i < N; i++) {
        KILN_SCOPE(k);
        v[i] = kiln_variable_new(k, "w", kiln_full(k, KILN_F32, S(each), 1));
        g[i] = kiln_own(kiln_add(kiln_mul(kiln_iota(k, KILN_F32, S(each), 0), 0), 1.5));
    }
    kiln_optimizer *o = kiln_adam(k, 0.1);
    for (int i = 0; i < N; i++) kiln_optimizer_prepare(o, v + i, 1);
    for (int step = 0; step < 3; step++) {
        int64_t live = kiln_memory_count().live_bytes;
        kiln_optimizer_apply(o, v, g, N);
        int64_t most = kiln_memory_count().peak_bytes - live;
        printf("    peak above the state: %.2f MiB, of %d parameters of 4 MiB\n", (double)most / (1 << 20), N);
        assert_true(most <= 4 * each * 4); /* bytes */
    }
    EXACTLY(kiln_slice(kiln_value(v[N - 1]), 0, 5, 6, 1), KILN_F32, S(1), kiln_item(kiln_slice(kiln_value(v[0]), 0, 9, 10, 1)));
    for (int i = 0; i < N; i++) kiln_release(g[i]);
}

int main(void)
{
    compiles = front_has_llvm();
    const struct CMUnitTest tests[] = {ENGINE_TEST(formulas), ENGINE_TEST(small_steps), ENGINE_TEST(state_types), ENGINE_TEST(all_or_nothing),
        ENGINE_TEST(no_dead_variables), ENGINE_TEST(eager_as_traced), ENGINE_TEST(memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
