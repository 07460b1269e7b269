/* freed: tapes that recorded a call are asked when the function, what its body calls and what its body reads have been freed: the gradients are
 * those of eager code, bit for bit, to the second order, and no body runs again. Handles of freed functions are told from live ones. Skipped
 * without the LLVM module. */
#include "front.h"

#include <kiln/aot.h>
#include <kiln/nn.h>
#include <stdlib.h>
#include <unistd.h>

static int runs;

/* What a body is given by its user; freed with the function. */
typedef struct Given {
    kiln_function *inner;
    kiln_variable *v;
    kiln_tensor *captured;
    double scale;
} Given;

static void wave(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    out[0] = kiln_mul(kiln_sin(in[0]), ((Given *)user)->scale);
}

static void calls_another(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    out[0] = kiln_mul(kiln_call(((Given *)user)->inner, in[0]), in[0]);
}

static void spells_out(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const Given *u = user;
    kiln_tensor *w = kiln_f32(k, KILN_SHAPE(3), 0.5, -2, 3);
    out[0] = kiln_mul(kiln_mul(kiln_exp(in[0]), w), kiln_add(u->captured, u->scale));
}

static void reads_and_assigns(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const Given *u = user;
    (void)k;
    kiln_tensor *y = kiln_mul(in[0], u->v);
    kiln_assign(u->v, kiln_mul(kiln_add(u->v, y), u->scale));
    out[0] = kiln_mul(kiln_tanh(kiln_mul(y, u->v)), u->v);
}

static void turns(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const Given *u = user;
    kiln_variable *x = kiln_local(k, in[0]), *n = kiln_local(k, KILN_I64, 0);
    KILN_WHILE(k, kiln_lt(n, 3)) {
        KILN_IF(kiln_gt(kiln_sum(x, KILN_ALL), 0.0)) { kiln_assign(x, kiln_mul(kiln_sin(x), u->v)); }
        KILN_ELSE(k) { kiln_assign(x, kiln_mul(kiln_cos(x), u->scale)); }
        kiln_assign(n, kiln_add(n, 1));
    }
    KILN_FOR(k, i, kiln_add(kiln_mul(n, 0), 2)) { kiln_assign(x, kiln_add(kiln_mul(x, in[0]), kiln_cast(i, KILN_F32))); }
    out[0] = kiln_value(x);
}

static void five_times(kiln *k, kiln_tensor *g, kiln_tensor *const *x, kiln_tensor **dx, void *user)
{
    (void)k, (void)user;
    dx[0] = kiln_mul(kiln_mul(g, 5.0), x[0]);
}

static void has_a_rule(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_mul(kiln_custom_gradient(kiln_abs(in[0]), in, 1, five_times, NULL), in[0]);
}

static void counted(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    void **both = user;
    runs++;
    ((kiln_body *)both[0])(k, in, out, both[1]);
}

typedef struct Case {
    const char *name;
    kiln_body *body;
    bool variable; /* the gradient of u->v is asked for too */
} Case;
static const Case cases[] = {{"wave", wave, false}, {"calls_another", calls_another, false}, {"spells_out", spells_out, false},
    {"reads_and_assigns", reads_and_assigns, true}, {"turns", turns, true}, {"has_a_rule", has_a_rule, false}};

typedef struct Answer { float dx[3], dv[3], ddx[3]; } Answer;

/* Gradients of a call, asked when everything of the function has gone, or (eager) before. */
static void answer(kiln *k, const Case *c, bool eager, Answer *a)
{
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_f32(k, KILN_SHAPE(3), 0.3, -1.1, 2.7), *d[2] = {0};
    Given *u = malloc(sizeof *u);
    void **both = malloc(2 * sizeof *both);
    *u = (Given){.scale = 1.7, .captured = kiln_f32(k, KILN_SHAPE(3), 1, 2, 3)};
    both[0] = (void *)c->body;
    both[1] = u;
    kiln_function_options inner = {.name = "an_inner_function_of_a_rather_long_name"};
    u->inner = kiln_function_new(k, wave, u, &inner);
    u->v = kiln_variable_new(k, "v", kiln_f32(k, KILN_SHAPE(3), 0.9, 1.2, -0.4));
    kiln_function *f = kiln_function_new(k, counted, both, &(kiln_function_options){.name = c->name});
    kiln_variable *v = u->v;
    kiln_eager(k, eager);
    runs = 0;
    KILN_TAPE(k, outer);
    kiln_watch(outer, x);
    KILN_TAPE(k, tape);
    kiln_watch(tape, x);
    kiln_tensor *y = kiln_call(f, x);
    if (!eager) {
        kiln_function_free(u->inner);
        kiln_function_free(f);
        memset(u, 0xa5, sizeof *u);
        free(u);
        memset(both, 0xa5, 2 * sizeof *both);
        free(both);
    }
    kiln_gradients(tape, y, KILN_IN(x, v), d);
    kiln_read(d[0], a->dx, sizeof a->dx);
    kiln_read(d[1], a->dv, sizeof a->dv);
    kiln_read(kiln_gradient(outer, d[0], x), a->ddx, sizeof a->ddx);
    if (kiln_failed(k)) fail_msg("%s: %s", c->name, kiln_error(k)->text);
    assert_int_equal(runs, 1);
    kiln_eager(k, false);
    kiln_tape_close(&tape);
    kiln_tape_close(&outer);
    if (eager) {
        kiln_function_free(u->inner);
        kiln_function_free(f);
        free(u);
        free(both);
    }
    kiln_variable_free(v);
}

static void gradients_after_all_was_freed(void **state)
{
    kiln *k = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Answer want, have;
        answer(k, &cases[i], true, &want);
        answer(k, &cases[i], false, &have);
        for (int j = 0; j < 3; j++) {
            if (memcmp(&want.dx[j], &have.dx[j], sizeof(float)) || memcmp(&want.dv[j], &have.dv[j], sizeof(float)))
                fail_msg("%s: element %d: dx %.9g, want %.9g; dv %.9g, want %.9g", cases[i].name, j, have.dx[j], want.dx[j], have.dv[j], want.dv[j]);
            assert_float_equal(want.ddx[j], have.ddx[j], 1e-4 + 1e-5 * (want.ddx[j] < 0 ? -want.ddx[j] : want.ddx[j]));
        }
        for (int j = 0; j < 3; j++) assert_true(!cases[i].variable || want.dv[j] != 0);
    }
}

/* A persistent tape, asked often, of a function of symbolic sizes, whose results' sizes are expressions. */
static void halves(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user, (void)k;
    runs++;
    kiln_tensor *x = in[0], *rows = kiln_concat(KILN_IN(x, kiln_slice(x, 0, 1, KILN_END, 2)), 0);
    out[0] = kiln_square(rows);
    out[1] = kiln_matmul(x, kiln_transpose(in[1], KILN_AXES(1, 0)));
}

static void symbolic_sizes(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_function *f = kiln_function_new(k, halves, NULL,
        &(kiln_function_options){.name = "halves", .outputs = 2,
            .inputs = {KILN_SPEC(KILN_F32, KILN_DIM("N", 2, 64), 3), KILN_SPEC(KILN_F32, KILN_DIM("M", 1, 8), 3)}});
    runs = 0;
    KILN_TAPE_PERSISTENT(k, tape);
    kiln_tensor *x[4], *w[4], *y[4][2], *d[2];
    for (int i = 0; i < 4; i++) {
        x[i] = kiln_full(k, KILN_F32, KILN_SHAPE(2 + 3 * i, 3), 2 + i);
        w[i] = kiln_full(k, KILN_F32, KILN_SHAPE(1 + i, 3), 0.5);
        kiln_watch(tape, x[i]);
        kiln_watch(tape, w[i]);
        kiln_call_all(f, KILN_IN(x[i], w[i]), y[i], 2);
    }
    assert_int_equal(runs, 1);
    kiln_function_free(f);
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 4; i++) {
            const int n = 2 + 3 * i;
            kiln_gradients(tape, y[i][round], KILN_IN(x[i], w[i]), d);
            assert_ok(k);
            const double rows = n + n / 2, each = 2.0 * (2 + i);
            assert_float_equal(kiln_item(kiln_sum(d[0], KILN_ALL)), round ? 3.0 * n * (1 + i) * 0.5 : 3 * rows * each, 1e-3);
            assert_float_equal(kiln_item(kiln_sum(d[1], KILN_ALL)), round ? 3.0 * n * (1 + i) * (2 + i) : 0, 1e-3);
        }
    assert_int_equal(runs, 1);
}

/* The host changes between the call and the question: the gradient is that of what ran. */
static void host_changes(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    Given u = {.scale = 2};
    kiln_function *f = kiln_function_new(k, wave, &u, &(kiln_function_options){.name = "wave"});
    kiln_tensor *x = kiln_scalar(k, KILN_F32, 0);
    KILN_TAPE(k, tape);
    kiln_watch(tape, x);
    kiln_tensor *y = kiln_call(f, x);
    u.scale = 3;
    assert_true(kiln_item(kiln_gradient(tape, y, x)) == 2);
}

/* Layers and variables that the body uses go with it: nobody can ask for theirs any longer, but for the rest. */
typedef struct Model {
    kiln_dense *dense;
    kiln_recurrent *gru;
    kiln_variable *scale;
} Model;
static void model(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const Model *m = user;
    (void)k;
    out[0] = kiln_mul(kiln_recurrent_apply(m->gru, kiln_tanh(kiln_dense_apply(m->dense, in[0])), NULL), m->scale);
}

static void layers_may_go_too(void **state)
{
    kiln *k = *state;
    float dx[2][2 * 3 * 4], ddx[2][2 * 3 * 4];
    for (int eager = 0; eager < 2; eager++) {
        KILN_SCOPE(k);
        kiln_variable *g = kiln_generator(k, 7), *scale = kiln_variable_new(k, "scale", KILN_F32, 1.5);
        kiln_tensor *x = kiln_normal(g, KILN_F32, KILN_SHAPE(2, 3, 4), 0, 1), *d;
        Model m = {kiln_dense_new(k, 4, 5, g), kiln_gru_new(k, 5, 2, g), scale};
        kiln_function *f = kiln_function_new(k, model, &m, &(kiln_function_options){.name = "model", .no_blas = true});
        kiln_eager(k, eager);
        KILN_TAPE(k, outer);
        kiln_watch(outer, x);
        KILN_TAPE(k, tape);
        kiln_watch(tape, x);
        kiln_tensor *y = kiln_call(f, x);
        if (!eager) {
            kiln_function_free(f);
            kiln_dense_free(m.dense);
            kiln_recurrent_free(m.gru);
            kiln_variable_free(m.scale);
            memset(&m, 0xa5, sizeof m);
            kiln_gradient(tape, y, scale);
            assert_error(k, KILN_ESTATE, "gradient: an x is NULL, freed or closed");
        }
        kiln_read(d = kiln_gradient(tape, y, x), dx[eager], sizeof dx[eager]);
        kiln_read(kiln_gradient(outer, d, x), ddx[eager], sizeof ddx[eager]);
        assert_ok(k);
        kiln_eager(k, false);
        if (eager) kiln_function_free(f);
    }
    assert_memory_equal(dx[0], dx[1], sizeof dx[0]);
    for (size_t i = 0; i < sizeof ddx[0] / sizeof *ddx[0]; i++) assert_float_equal(ddx[0][i], ddx[1][i], 1e-4);
}

static void expect_gone(kiln *k, kiln_function *f, kiln_tensor *x, const char *path)
{
    static const char says[] = "gone_by_now: the function was freed";
    assert_null(kiln_grad(f));
    assert_error(k, KILN_ESTATE, says);
    assert_null(kiln_value_and_grad(f));
    assert_error(k, KILN_ESTATE, says);
    assert_null(kiln_jvp(f));
    assert_error(k, KILN_ESTATE, says);
    kiln_call(f, x);
    assert_error(k, KILN_ESTATE, says);
    assert_false(kiln_aot(f, path, NULL));
    assert_error(k, KILN_ESTATE, says);
    assert_int_equal(access(path, F_OK), -1);
    assert_false(kiln_compare(stdout, f, KILN_IN(x)));
    assert_error(k, KILN_ESTATE, says);
    assert_int_equal(kiln_check(NULL, f, KILN_IN(x)), KILN_DISAGREE);
    assert_error(k, KILN_ESTATE, says);
    kiln_function_free(f);
    assert_ok(k);
}

/* While a tape holds it, and after. */
static void handles_are_told(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    char path[64];
    snprintf(path, sizeof path, "/tmp/kiln-freed-%d.o", (int)getpid());
    kiln_tensor *x = kiln_scalar(k, KILN_F32, 3);
    for (int held = 0; held < 2; held++) {
        kiln_function *f = kiln_function_new(k, front_doubles, NULL, &(kiln_function_options){.name = "gone_by_now", .inputs_count = 1});
        KILN_TAPE(k, tape);
        if (held) kiln_watch(tape, x);
        kiln_tensor *y = kiln_call(f, x);
        kiln_function_free(f);
        for (int i = 0; i < 50; i++) {
            kiln_function *other = kiln_function_new(k, front_doubles, NULL, &(kiln_function_options){.name = "other"});
            assert_ptr_not_equal(other, f);
            kiln_function_free(other);
        }
        expect_gone(k, f, x, path);
        if (held) assert_true(kiln_item(kiln_gradient(tape, y, x)) == 2);
        kiln_tape_close(&tape);
        expect_gone(k, f, x, path);
    }
}

/* Handles are made anew: memory does not grow with the functions that came and went. */
static void memory_is_bounded(void **state)
{
    kiln *k = *state;
    int64_t before = 0;
    for (int i = 0; i < 400; i++) {
        KILN_SCOPE(k);
        if (i == 200) before = kiln_memory_count().live_bytes;
        kiln_function *f = kiln_function_new(k, front_doubles, NULL, &(kiln_function_options){.name = "brief"});
        if (i % 100 == 0) kiln_call(f, kiln_scalar(k, KILN_F32, 1));
        kiln_function_free(f);
    }
    assert_ok(k);
#ifndef KILN_DEBUG
    assert_true(kiln_memory_count().live_bytes <= before + 4096);
#else
    (void)before;
#endif
}

/* ---- what a body reads of a variable that it has assigned ----------------------------------------------------------- */
static void assigns_first(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    kiln_assign(user, kiln_mul(in[0], 3.0));
    out[0] = kiln_mul(in[0], kiln_square((kiln_variable *)user));
}

static void reads_too(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    kiln_tensor *a = kiln_mul(in[0], (kiln_variable *)user);
    kiln_assign(user, kiln_sin(a));
    out[0] = kiln_mul(a, kiln_cos((kiln_variable *)user));
}

/* No tape around the call has that value: asking through it is an error, never another number than eager code's. */
static void own_reads_are_named(void **state)
{
    kiln *k = *state;
    for (int read = 0; read < 2; read++) {
        KILN_SCOPE(k);
        kiln_variable *v = kiln_variable_new(k, "v", KILN_F32, 0.3);
        kiln_function *f = kiln_function_new(k, read ? reads_too : assigns_first, v, NULL);
        KILN_TAPE_PERSISTENT(k, outer);
        kiln_tensor *x = kiln_watch(outer, kiln_scalar(k, KILN_F32, 0.6)), *d[2], *e;
        KILN_TAPE_PERSISTENT(k, tape);
        kiln_tensor *y = kiln_call(f, x);
        if (read) {
            kiln_gradients(tape, y, KILN_IN(x, v), d);
            assert_ok(k);
            assert_float_equal(kiln_item(d[1]), 0.5583567, 1e-6); /* of both reads */
            e = kiln_gradient(outer, d[0], x);
            assert_ok(k);
            kiln_gradient(outer, d[0], v);
        } else {
            e = kiln_gradient(tape, y, x);
            assert_ok(k);
            kiln_gradient(tape, y, v);
        }
        (void)e;
        assert_error(k, KILN_EUNSUPPORTED, "variable v is assigned");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRONT_TEST(gradients_after_all_was_freed), FRONT_TEST(symbolic_sizes), FRONT_TEST(host_changes), FRONT_TEST(layers_may_go_too), FRONT_TEST(handles_are_told),
        FRONT_TEST(memory_is_bounded), FRONT_TEST(own_reads_are_named),
    };
    return cmocka_run_group_tests_name("freed", tests, front_needs_llvm, NULL);
}
