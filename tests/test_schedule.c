/* Learning-rate schedules and gradient clipping against their formulas in double, eager and traced bit for bit, without a
 * new trace; optimisers that use both; a scheduled run restored from a checkpoint. */
#include "values.h"

#include <kiln/io.h>
#include <stdlib.h>
#include <unistd.h>

#define S KILN_SHAPE

static void has_error(kiln_code code, const char *part)
{
    const kiln_failure *e = kiln_error(k);
    if (e->code != code || !strstr(e->text, part)) fail_msg("wanted %d with \"%s\", got %d: %s", (int)code, part, (int)e->code, e->text);
    kiln_clear(k);
}

static void fine(void)
{
    if (kiln_failed(k)) fail_msg("unexpected error: %s", kiln_error(k)->text);
}

/* ---- schedules -------------------------------------------------------------------------------------- */
static const kiln_schedule schedules[] = {
    {.kind = KILN_RATE_CONSTANT, .rate = 0.3},
    {.kind = KILN_RATE_EXPONENTIAL, .rate = 0.1, .decay = 0.96, .steps = 7},
    {.kind = KILN_RATE_EXPONENTIAL, .rate = 0.1, .decay = 0.5, .steps = 8, .staircase = true},
    {.kind = KILN_RATE_COSINE, .rate = 0.2, .steps = 40},
    {.kind = KILN_RATE_COSINE, .rate = 0.2, .steps = 40, .least = 0.1, .warmup = 10},
    {.kind = KILN_RATE_LINEAR, .rate = 1, .steps = 30, .least = 0.25},
    {.kind = KILN_RATE_LINEAR, .rate = 1, .steps = 30, .warmup = 1},
    {.kind = KILN_RATE_PIECEWISE, .rate = 1, .boundary = {10, 20, 30}, .rates = {0.5, 0.1, 0.01}},
    {.kind = KILN_RATE_PIECEWISE, .rate = 1, .warmup = 5, .boundary = {1, 20}, .rates = {0.5, 0}},
};
#define SCHEDULES (sizeof schedules / sizeof *schedules)

static double want_rate(const kiln_schedule *s, int n)
{
    double u = n - s->warmup > 0 ? (double)(n - s->warmup) : 0, p = fmin(u / (double)s->steps, 1), r = s->rate;
    if (s->kind == KILN_RATE_EXPONENTIAL) r *= pow(s->decay, s->staircase ? floor(u / (double)s->steps) : u / (double)s->steps);
    if (s->kind == KILN_RATE_COSINE) r *= s->least + (1 - s->least) * 0.5 * (1 + cos(acos(-1) * p));
    if (s->kind == KILN_RATE_LINEAR) r *= s->least + (1 - s->least) * (1 - p);
    for (int i = 0; s->kind == KILN_RATE_PIECEWISE && s->boundary[i]; i++)
        if (u >= (double)s->boundary[i]) r = s->rates[i];
    return s->warmup ? r * fmin((n + 1) / (double)s->warmup, 1) : r;
}

static void rate_body(kiln *engine, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)engine, (void)in;
    out[0] = kiln_schedule_rate((const kiln_schedule *)((void **)user)[0], (kiln_variable *)((void **)user)[1]);
}

static bool have_llvm(void)
{
    KILN_SCOPE(k);
    void *use[2] = {(void *)(uintptr_t)&schedules[0], kiln_variable_new(k, "n", kiln_scalar(k, KILN_I64, 0))};
    kiln_call(kiln_function_new(k, rate_body, use, NULL));
    bool absent = kiln_error(k)->code == KILN_EDEVICE;
    kiln_clear(k);
    return !absent;
}

static void schedules_follow_their_formulas(void **state)
{
    (void)state;
    bool traced = have_llvm();
    for (size_t i = 0; i < SCHEDULES; i++) {
        KILN_SCOPE(k);
        kiln_variable *n = kiln_variable_new(k, "n", kiln_scalar(k, KILN_I64, 0));
        void *use[2] = {(void *)(uintptr_t)&schedules[i], n};
        kiln_function *f = kiln_function_new(k, rate_body, use, NULL);
        for (int step = 0; step < 60; step++) {
            KILN_SCOPE(k);
            kiln_assign(n, step);
            float eager = 0, graph = 0;
            assert_true(kiln_read(kiln_schedule_rate(&schedules[i], n), &eager, sizeof eager));
            double want = want_rate(&schedules[i], step);
            if (fabs(eager - want) > 1e-6 * schedules[i].rate) fail_msg("schedule %zu, step %d: %.9g instead of %.9g", i, step, eager, want);
            if (!traced) continue;
            assert_true(kiln_read(kiln_call(f), &graph, sizeof graph));
            assert_memory_equal(&eager, &graph, sizeof eager);
        }
        kiln_function_statistics stats;
        kiln_function_stats(f, &stats);
        assert_true(!traced || stats.traces == 1);
    }
    KILN_SCOPE(k);
    NEAR(kiln_schedule_rate(&schedules[5], kiln_f32(k, S(2), 0, 30)), KILN_F32, S(2), 1, 0.25); /* of the step's shape */
    fine();
}

static void bad_schedules_are_named(void **state)
{
    (void)state;
    static const struct { kiln_schedule s; const char *text; } bad[] = {
        {{.kind = (kiln_schedule_kind)9}, "the kind is unknown"}, {{.rate = -1}, "rate must be a finite number"}, {{.rate = INFINITY}, "rate must be a finite number"},
        {{.kind = KILN_RATE_COSINE, .rate = 1}, "steps must be positive"}, {{.rate = 1, .warmup = -1}, "warmup must be 0 or more"},
        {{.kind = KILN_RATE_LINEAR, .rate = 1, .steps = 1, .least = 2}, "least must lie"},
        {{.kind = KILN_RATE_EXPONENTIAL, .rate = 1, .steps = 1}, "decay must be positive"},
        {{.kind = KILN_RATE_PIECEWISE, .rate = 1, .boundary = {5, 5}}, "boundaries must increase"},
        {{.kind = KILN_RATE_PIECEWISE, .rate = 1, .boundary = {5}, .rates = {NAN}}, "each of rates must be"},
    };
    KILN_SCOPE(k);
    kiln_optimizer *o = kiln_sgd(k, 0.1, 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(kiln_optimizer_schedule(o, &bad[i].s));
        has_error(KILN_EVALUE, bad[i].text);
    }
    assert_false(kiln_optimizer_schedule(o, NULL));
    has_error(KILN_EVALUE, "NULL");
    assert_false(kiln_optimizer_schedule(NULL, &schedules[0]));
    has_error(KILN_ESTATE, "the optimizer is NULL");
    assert_false(kiln_optimizer_clip(o, &(kiln_clipping){.value = -1}));
    has_error(KILN_EVALUE, "largest value is -1");
    assert_false(kiln_optimizer_clip(o, &(kiln_clipping){.norm = 1e30}));
    has_error(KILN_EVALUE, "largest norm");
    kiln_variable *v = kiln_variable_new(k, "v", KILN_F32, 1.0);
    kiln_optimizer_apply(o, &v, ((kiln_tensor *[]){kiln_scalar(k, KILN_F32, 1)}), 1);
    assert_false(kiln_optimizer_schedule(o, &schedules[0]));
    has_error(KILN_ESTATE, "set it before the first");
    assert_false(kiln_optimizer_clip(o, &(kiln_clipping){.value = 1}));
    has_error(KILN_ESTATE, "set it before the first");
}

/* ---- clipping ----------------------------------------------------------------------------------------- */
static void norms_are_clipped(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_f32(k, S(2, 2), 1, -2, 2, 4), *small = kiln_f32(k, S(2), 0.3, -0.4), *zero = kiln_zeros(k, KILN_F32, S(3));
    EXACTLY(kiln_clip_by_norm(x, 10), KILN_F32, S(2, 2), 1, -2, 2, 4); /* norm 5 */
    EXACTLY(kiln_clip_by_norm(x, 5), KILN_F32, S(2, 2), 1, -2, 2, 4);
    NEAR(kiln_clip_by_norm(x, 2), KILN_F32, S(2, 2), 0.4, -0.8, 0.8, 1.6);
    EXACTLY(kiln_clip_by_norm(zero, 2), KILN_F32, S(3), 0, 0, 0);
    EXACTLY(kiln_clip_by_norm(zero, 1e-30), KILN_F32, S(3), 0, 0, 0);
    EXACTLY(kiln_clip_by_value(x, -1.5, 3.0), KILN_F32, S(2, 2), 1, -1.5, 2, 3);
    kiln_tensor *half = kiln_full(k, KILN_F16, S(100), 60); /* the squares' sum is no f16 */
    assert_true(kiln_item(kiln_slice(kiln_clip_by_norm(half, 300), 0, 0, 1, 1)) == 30);
    kiln_tensor *list[] = {x, small, kiln_cast(small, KILN_F64)}, *out[3];
    double norm = sqrt(25 + 0.25 + 0.25), by = 2 / norm;
    NEAR(kiln_clip_by_global_norm(list, 3, 2, out), KILN_F64, S(), norm);
    NEAR(out[0], KILN_F32, S(2, 2), by, -2 * by, 2 * by, 4 * by);
    NEAR(out[1], KILN_F32, S(2), 0.3 * by, -0.4 * by);
    equals(out[2], KILN_F64, S(2), (const double[]){(double)0.3f * by, (double)-0.4f * by}, 2, 1e-7);
    kiln_clip_by_global_norm(list, 2, 100, list); /* in place, and nothing to clip */
    EXACTLY(list[0], KILN_F32, S(2, 2), 1, -2, 2, 4);
    kiln_clip_by_norm(x, 0);
    has_error(KILN_EVALUE, "must be positive");
    kiln_clip_by_norm(kiln_cast(x, KILN_I32), 1);
    has_error(KILN_EDTYPE, "clip_by_norm");
    kiln_clip_by_global_norm(list, 0, 1, out);
    has_error(KILN_EVALUE, "count is 0, x or out NULL");
    list[1] = NULL;
    kiln_clip_by_global_norm(list, 2, 1, out);
    has_error(KILN_ESTATE, "tensor 1 is NULL");
}

/* d sum(c . clip(x)) / dx against central differences. */
static double clipped_sum(const float *v)
{
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_from(k, KILN_F32, S(3), v, 3);
    return kiln_item(kiln_sum(kiln_mul(kiln_clip_by_norm(kiln_cast(x, KILN_F64), 1.5), kiln_f64(k, S(3), 1, 2, -3)), KILN_ALL));
}

static void a_gradient_flows_through(void **state)
{
    (void)state;
    static const float at[2][3] = {{1, -2, 2.5f}, {0.25f, 0.5f, -0.5f}};
    for (int i = 0; i < 2; i++) {
        KILN_SCOPE(k);
        double dx[3];
        KILN_TAPE(k, tape);
        kiln_tensor *x = kiln_watch(tape, kiln_cast(kiln_from(k, KILN_F32, S(3), at[i], 3), KILN_F64));
        kiln_tensor *y = kiln_sum(kiln_mul(kiln_clip_by_norm(x, 1.5), kiln_f64(k, S(3), 1, 2, -3)), KILN_ALL);
        assert_true(kiln_read(kiln_gradient(tape, y, x), dx, sizeof dx));
        for (int j = 0; j < 3; j++) {
            float up[3], down[3], h = 0x1p-10f;
            memcpy(up, at[i], sizeof up), memcpy(down, at[i], sizeof down);
            up[j] += h, down[j] -= h;
            assert_float_equal(dx[j], (clipped_sum(up) - clipped_sum(down)) / (2 * (double)h), 1e-5);
        }
    }
    KILN_SCOPE(k);
    KILN_TAPE(k, tape);
    kiln_tensor *x = kiln_watch(tape, kiln_zeros(k, KILN_F32, S(2)));
    EXACTLY(kiln_gradient(tape, kiln_clip_by_norm(x, 2), x), KILN_F32, S(2), 1, 1);
}

/* ---- optimisers that use both: loss = 3 a[0] - 4 a[1] + 12 b, gradients (3, -4) and 12, together of norm 13 -------------- */
struct fit { kiln_variable *a, *b; kiln_optimizer *o; kiln_function *step; };

static void fit_step(kiln *engine, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    struct fit *f = user;
    (void)in;
    KILN_TAPE(engine, tape);
    kiln_tensor *first = kiln_sum(kiln_mul(f->a, kiln_f32(engine, S(2), 3, -4)), KILN_ALL);
    out[0] = kiln_add(first, kiln_mul(f->b, 12.0));
    kiln_optimizer_minimize(f->o, tape, out[0]);
}

static void fit_new(kiln_optimizer *o, const kiln_schedule *s, const kiln_clipping *c, struct fit *f)
{
    *f = (struct fit){kiln_variable_new(k, "a", kiln_f32(k, S(2), 0, 0)), kiln_variable_new(k, "b", KILN_F32, 0.0), o, NULL};
    assert_true(kiln_optimizer_schedule(o, s));
    if (c) assert_true(kiln_optimizer_clip(o, c));
    f->step = kiln_function_new(k, fit_step, f, NULL);
}

static void run(struct fit *f, int steps, float w[3])
{
    for (int i = 0; i < steps; i++) {
        KILN_SCOPE(k);
        kiln_call(f->step);
    }
    assert_true(kiln_read(f->a, w, 2 * sizeof *w) && kiln_read(f->b, w + 2, sizeof *w));
    fine();
}

static void optimisers_follow_schedule_and_clipping(void **state)
{
    (void)state;
    bool traced = have_llvm();
    static const struct { kiln_clipping c; double g[3]; } cases[] = {
        {{.value = 3.5}, {3, -3.5, 3.5}}, {{.norm = 2.5}, {1.5, -2, 2.5}}, {{.global_norm = 6.5}, {1.5, -2, 6}},
        {{.value = 4, .norm = 5, .global_norm = 0}, {3, -4, 4}}, {{.global_norm = 100}, {3, -4, 12}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t j = 0; j < SCHEDULES; j++) {
            KILN_SCOPE(k);
            struct fit f, g;
            float w[3], v[3];
            double sum = 0;
            kiln_eager(k, true);
            fit_new(kiln_sgd(k, 0, 0), &schedules[j], &cases[i].c, &f);
            run(&f, 25, w);
            for (int n = 0; n < 25; n++) sum += want_rate(&schedules[j], n);
            for (int n = 0; n < 3; n++) assert_float_equal(w[n], -sum * cases[i].g[n], 1e-5 * sum * 12);
            assert_float_equal(kiln_item(kiln_optimizer_rate(f.o)), want_rate(&schedules[j], 24), 1e-6);
            kiln_eager(k, false);
            if (!traced) continue;
            fit_new(kiln_sgd(k, 0, 0), &schedules[j], &cases[i].c, &g);
            run(&g, 25, v);
            assert_memory_equal(w, v, sizeof w);
            kiln_function_statistics stats;
            kiln_function_stats(g.step, &stats);
            assert_int_equal(stats.traces, 1);
        }
}

static void fit_epoch(kiln *engine, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    KILN_FOR(engine, i, 10)
    {
        kiln_tensor *loss[1];
        fit_step(engine, in, loss, user);
    }
    out[0] = kiln_value(((struct fit *)user)->b);
}

/* Ten steps in a loop of the graph are ten calls, schedule and clipping included. */
static void a_loop_in_the_graph_does_the_same(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    struct fit f[2];
    float w[2][3];
    kiln_eager(k, !have_llvm());
    for (int i = 0; i < 2; i++) {
        fit_new(kiln_adam(k, 0), &schedules[4], &(kiln_clipping){.norm = 2, .global_norm = 3}, &f[i]);
        if (i) f[i].step = kiln_function_new(k, fit_epoch, &f[i], NULL);
        run(&f[i], i ? 2 : 20, w[i]);
    }
    assert_memory_equal(w[0], w[1], sizeof w[0]);
    kiln_eager(k, false);
}

/* Adam under a schedule, interrupted: the count of the schedule is part of the checkpoint. */
static void a_scheduled_run_goes_on(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    char folder[200], file[300];
    const char *dir = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/kiln-schedule-%ld", dir ? dir : "/tmp", (long)getpid());
    kiln_eager(k, !have_llvm());
    struct fit f[2];
    float w[2][3];
    for (int i = 0; i < 2; i++) {
        fit_new(kiln_adam(k, 0), &schedules[4], &(kiln_clipping){.global_norm = 1}, &f[i]);
        kiln_checkpoint *c = kiln_checkpoint_new(k, folder, 1);
        kiln_checkpoint_add(c, f[i].a), kiln_checkpoint_add(c, f[i].b), kiln_checkpoint_add_optimizer(c, f[i].o);
        if (i == 0) {
            run(&f[0], 6, w[0]);
            assert_true(kiln_checkpoint_save(c, 6));
        } else {
            assert_int_equal(kiln_checkpoint_restore_latest(c), 6);
        }
        run(&f[i], 20, w[i]);
    }
    assert_memory_equal(w[0], w[1], sizeof w[0]);
    kiln_eager(k, false);
    snprintf(file, sizeof file, "%s/ckpt-6.safetensors", folder);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(rmdir(folder), 0);
}

/* d sum(g clip(x)) / dx_i = most (g_i / n - x_i (g . x) / n^3), from long doubles, wherever x lies; most 2, g = (1, 3, -2). */
static void clipped_slopes_hold_far_out(void **state)
{
    static const double far[] = {1e-3, 1, 1e15, 3e28, 1e34, 1e38, 1e300};
    (void)state;
    for (int f64 = 0; f64 < 2; f64++)
        for (int all = 0; all < 2; all++)
            for (size_t j = 0; j < sizeof far / sizeof *far - (size_t)!f64; j++) {
                KILN_SCOPE(k);
                const kiln_dtype d = f64 ? KILN_F64 : KILN_F32;
                double v[3], dx[3];
                kiln_tensor *x = kiln_cast(kiln_mul(kiln_f64(k, KILN_SHAPE(3), 1, -2, 2), far[j]), d), *g = kiln_numbers(k, d, KILN_SHAPE(3), 1, 3, -2), *y = NULL;
                KILN_TAPE(k, tape);
                kiln_watch(tape, x);
                if (all)
                    kiln_clip_by_global_norm(KILN_IN(x), 2, &y);
                else
                    y = kiln_clip_by_norm(x, 2);
                kiln_tensor *slope = kiln_gradient(tape, kiln_sum(kiln_mul(y, g), KILN_ALL), x);
                kiln_read_doubles(x, v, 3);
                kiln_read_doubles(slope, dx, 3);
                const long double n = sqrtl((long double)v[0] * v[0] + (long double)v[1] * v[1] + (long double)v[2] * v[2]), gi[3] = {1, 3, -2};
                const long double dot = v[0] / n + 3 * (v[1] / n) - 2 * (v[2] / n);
                for (int i = 0; i < 3; i++) {
                    const long double want = n > 2 ? 2 * (gi[i] / n - v[i] / n * dot / n) : gi[i];
                    if (!(fabsl(dx[i] - want) <= 1e-5L * 6 / fmaxl(n, 2)))
                        fail_msg("%g, f64 %d, all %d: slope %d is %g, not %Lg", far[j], f64, all, i, dx[i], want);
                }
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ENGINE_TEST(schedules_follow_their_formulas), ENGINE_TEST(bad_schedules_are_named), ENGINE_TEST(norms_are_clipped),
        ENGINE_TEST(a_gradient_flows_through), ENGINE_TEST(optimisers_follow_schedule_and_clipping), ENGINE_TEST(a_scheduled_run_goes_on),
        ENGINE_TEST(a_loop_in_the_graph_does_the_same),
        ENGINE_TEST(clipped_slopes_hold_far_out),
    };
    return cmocka_run_group_tests_name("schedule", tests, NULL, NULL);
}
