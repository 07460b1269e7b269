/* test_draw_modes: draws are the same eagerly, compiled and with a symbol for a size, to the bit, and leave the generator at the same
 * count; which gradients flow through them, and which do not. */
#include "values.h"

#include "codegen/emu.h"

#include <stdlib.h>

#define S KILN_SHAPE

static kiln_variable *g;

/* x: f32[n,5], numbers above 0 */
typedef kiln_tensor *Drawn(kiln_tensor *x);
#define DRAW(name, value) \
    static kiln_tensor *name(kiln_tensor *x) { return (void)x, (value); }
DRAW(randint, kiln_randint(g, KILN_I32, S(70), -7, 900))
DRAW(randint_far, kiln_randint(g, KILN_I64, S(7), INT64_MIN, INT64_MAX))
DRAW(bernoulli, kiln_bernoulli(g, kiln_div(x, 4), S(-1, -1)))
DRAW(permutation, kiln_permutation(g, 100))
DRAW(shuffle, kiln_shuffle(g, x, 0))
DRAW(choice, kiln_choice(g, x, 7, 0, NULL, 0))
DRAW(choice_distinct, kiln_choice(g, x, 2, 0, NULL, KILN_DISTINCT))
DRAW(choice_weights, kiln_choice(g, x, 7, 1, kiln_mean(x, KILN_AXES(0)), 0))
DRAW(categorical, kiln_categorical(g, x, 4, 0))
DRAW(categorical_distinct, kiln_categorical(g, x, 4, KILN_DISTINCT))
DRAW(exponential, kiln_exponential(g, KILN_F32, S(33), 3))
DRAW(exponential_f16, kiln_exponential(g, KILN_F16, S(33), 3))
DRAW(gumbel, kiln_gumbel(g, KILN_F32, S(33), 1, 2))
DRAW(laplace, kiln_laplace(g, KILN_F32, S(33), 1, 2))
DRAW(logistic, kiln_logistic(g, KILN_F32, S(33), 1, 2))
DRAW(cauchy, kiln_cauchy(g, KILN_F32, S(33), 1, 2))
DRAW(truncated_normal, kiln_truncated_normal(g, KILN_F32, S(33), 1, 2, 0, INFINITY))
DRAW(truncated_tail, kiln_truncated_normal(g, KILN_BF16, S(33), 0, 1, -INFINITY, -3))
DRAW(gamma_, kiln_gamma(g, KILN_F32, S(-1, -1), x))
DRAW(beta, kiln_beta(g, KILN_F32, S(-1, -1), x, kiln_div(1, x)))
DRAW(dirichlet, kiln_dirichlet(g, KILN_F32, S(-1, -1), x))
DRAW(poisson, kiln_poisson(g, KILN_I32, S(-1, -1), kiln_mul(x, 5)))
DRAW(poisson_f64, kiln_poisson(g, KILN_F64, S(20), 40))
DRAW(dropout_on, kiln_dropout_if(x, 0.4, true, g))
DRAW(dropout_off, kiln_dropout_if(x, 0.4, false, g))

static const struct {
    const char *name;
    Drawn *draw;
} draws[] = {{"randint", randint}, {"randint_far", randint_far}, {"bernoulli", bernoulli}, {"permutation", permutation}, {"shuffle", shuffle}, {"choice", choice},
    {"choice_distinct", choice_distinct}, {"choice_weights", choice_weights}, {"categorical", categorical}, {"categorical_distinct", categorical_distinct},
    {"exponential", exponential}, {"exponential_f16", exponential_f16}, {"gumbel", gumbel}, {"laplace", laplace}, {"logistic", logistic}, {"cauchy", cauchy},
    {"truncated_normal", truncated_normal}, {"truncated_tail", truncated_tail}, {"gamma", gamma_}, {"beta", beta}, {"dirichlet", dirichlet}, {"poisson", poisson},
    {"poisson_f64", poisson_f64}, {"dropout_on", dropout_on}, {"dropout_off", dropout_off}};
#define DRAWS (int)(sizeof draws / sizeof *draws)

static void body(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)e;
    out[0] = draws[*(const int *)user].draw(in[0]);
}

static kiln_tensor *parameters(void)
{
    return kiln_add(kiln_abs(kiln_sin(kiln_reshape(kiln_iota(k, KILN_F32, S(20), 0), S(4, 5)))), 0.25);
}

static void rewind_to(uint64_t count) { kiln_assign(g, kiln_from(k, KILN_U64, S(2), ((uint64_t[]){9, count}), 2)); }

static void same_bytes(const char *name, const char *how, kiln_tensor *have, kiln_tensor *want)
{
    if (kiln_failed(k)) fail_msg("%s, %s: %s", name, how, kiln_error(k)->text);
    assert_int_equal(kiln_bytes(have), kiln_bytes(want));
    assert_int_equal(kiln_dtype_of(have), kiln_dtype_of(want));
    if (memcmp(kiln_data(have), kiln_data(want), kiln_bytes(want)) == 0) return;
    kiln_print(stderr, have);
    kiln_print(stderr, want);
    fail_msg("%s, %s: other bits", name, how);
}

static void modes_agree(void **state)
{
    (void)state;
    g = kiln_generator(k, 9);
    for (int i = 0; i < DRAWS; i++) {
        KILN_SCOPE(k);
        kiln_tensor *x = parameters();
        rewind_to(i);
        kiln_tensor *want = draws[i].draw(x), *after = kiln_value(g);
        for (int open = 0; open < 2; open++) {
            kiln_function_options o = {.name = draws[i].name};
            o.inputs[0] = (kiln_spec){.dtype = KILN_F32, .rank = 2};
            o.inputs[0].size[0] = open ? kiln_dim_of("N", 2, 40) : kiln_size_of(4);
            o.inputs[0].size[1] = kiln_size_of(5);
            kiln_function *f = kiln_function_new(k, body, &i, &o);
            rewind_to(i);
            kiln_tensor *have = kiln_call(f, x);
            same_bytes(draws[i].name, open ? "a symbol" : "compiled", have, want);
            same_bytes(draws[i].name, "generator", kiln_value(g), after);
            kiln_function_free(f);
        }
    }
}

/* The gradient of sum(weights * draw) by a tape. */
static kiln_tensor *slope(Drawn *draw, kiln_tensor *x, kiln_tensor *weights)
{
    KILN_TAPE(k, tape);
    kiln_watch(tape, x);
    kiln_tensor *y = kiln_sum(kiln_mul(weights, draw(x)), KILN_ALL);
    return kiln_keep(kiln_gradient(tape, y, x));
}

static void sums_into(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)e;
    kiln_tensor *draw = ((Drawn *)user)(in[0]);
    out[0] = kiln_sum(kiln_mul(draw, in[0]), KILN_ALL);
}

static void gradients(void **state)
{
    (void)state;
    g = kiln_generator(k, 9);
    kiln_tensor *x = parameters(), *w = kiln_reshape(kiln_iota(k, KILN_F32, S(20), 0), S(4, 5));
    rewind_to(1);
    kiln_tensor *moved = kiln_shuffle(g, w, 0); /* row i of the draw is row p[i] of x: the gradient puts row i at p[i] */
    rewind_to(1);
    kiln_tensor *back = slope(shuffle, x, moved);
    EXACTLY(kiln_all(kiln_equal(back, w), KILN_ALL), KILN_BOOL, S(), 1);
    EXACTLY(kiln_all(kiln_equal(slope(gamma_, x, w), 0), KILN_ALL), KILN_BOOL, S(), 1);
    /* In a trace too the draw is a constant of the gradient, loop and all. */
    kiln_function *f = kiln_function_new(k, sums_into, (void *)gamma_, &(kiln_function_options){.inputs_count = 1});
    rewind_to(5);
    kiln_tensor *draw = gamma_(x);
    rewind_to(5);
    EXACTLY(kiln_all(kiln_equal(kiln_call(kiln_grad(f), x), draw), KILN_ALL), KILN_BOOL, S(), 1);
}

static void dropped(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)e;
    (void)user;
    out[0] = kiln_dropout_if(in[0], 0.5, in[1], g);
}

static void dropout_by_a_flag(void **state)
{
    (void)state;
    g = kiln_generator(k, 9);
    kiln_tensor *x = parameters(), *on = kiln_bool(k, S(), true), *off = kiln_bool(k, S(), false);
    kiln_function *f = kiln_function_new(k, dropped, NULL, NULL);
    kiln_tensor *y = kiln_call(f, x, on), *same = kiln_call(f, x, off);
    EXACTLY(kiln_value(g), KILN_U64, S(2), 9, 2);
    rewind_to(0);
    same_bytes("dropout_if", "on", y, kiln_dropout(x, 0.5, g));
    same_bytes("dropout_if", "off", same, x);
    same_bytes("dropout_if", "false", kiln_dropout_if(x, 0.5, false, g), x);
    EXACTLY(kiln_value(g), KILN_U64, S(2), 9, 1);
    FAILS(kiln_dropout_if(x, 0.5, x, g), KILN_EDTYPE, "dropout: whether it is training must be a bool scalar, not f32[4,5]");
    FAILS(kiln_dropout_if(x, 2, false, g), KILN_EVALUE, "dropout: the rate is 2; it must lie in [0, 1)");
}

static void of_a_row(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user) /* f32[5] */
{
    (void)e;
    (void)user;
    out[0] = kiln_gamma(g, KILN_F32, S(5), in[0]);
    out[1] = kiln_poisson(g, KILN_I32, S(5), kiln_mul(in[0], 9));
    out[2] = kiln_categorical(g, in[0], 3, 0);
    out[3] = kiln_shuffle(g, in[0], 0);
}

/* Mapped over rows, each has what it draws alone with the words that all share. */
static void rows_agree(void **state)
{
    (void)state;
    g = kiln_generator(k, 9);
    kiln_function *f = kiln_function_new(k, of_a_row, NULL, &(kiln_function_options){.name = "of_a_row", .inputs_count = 1, .outputs = 4});
    kiln_tensor *x = parameters(), *all[4], *one[4];
    rewind_to(3);
    assert_true(kiln_call_all(kiln_vmap(f, NULL), kiln_tensors(&x, 1), all, 4));
    for (int i = 0; i < 4; i++) {
        KILN_SCOPE(k);
        kiln_tensor *row = kiln_squeeze(kiln_slice(x, 0, i, i + 1, 1), 0);
        rewind_to(3);
        kiln_call_all(f, kiln_tensors(&row, 1), one, 4);
        for (int j = 0; j < 4; j++) same_bytes("a row", "of all", kiln_squeeze(kiln_slice(all[j], 0, i, i + 1, 1), 0), one[j]);
    }
    kiln_function_free(f);
}

/* On an emulated device, whose code the host's C++ compiler makes: words, integers, a logarithm, a loop of tries. */
static void devices_agree(void **state)
{
    (void)state;
    static const char *const chosen[] = {"randint", "bernoulli", "choice", "gumbel", "gamma"};
    Status st = {0};
    if (!emu_driver(0, &st)) {
        printf("skip: %s\n", st.text);
        skip();
    }
    k = kiln_open(&(kiln_options){.compile = KILN_WAIT});
    for (int c = 0; c < 5; c++) {
        KILN_SCOPE(k);
        int i = 0;
        while (strcmp(draws[i].name, chosen[c]) != 0) i++;
        kiln_tensor *out[2];
        for (int there = 0; there < 2; there++) {
            KILN_DEVICE(k, there ? "emu:0" : "cpu");
            kiln_function_options o = {.name = draws[i].name, .inputs_count = 1};
            g = kiln_generator(k, 9);
            kiln_function *f = kiln_function_new(k, body, &i, &o);
            out[there] = kiln_call(f, kiln_to(parameters(), there ? "emu:0" : "cpu"));
            kiln_function_free(f);
            kiln_variable_free(g);
        }
        if (kiln_failed(k)) fail_msg("%s: %s", chosen[c], kiln_error(k)->text);
        same_bytes(chosen[c], "emu:0", kiln_to(out[1], "cpu"), out[0]);
    }
    assert_int_equal(kiln_close(k), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ENGINE_TEST(modes_agree),
        ENGINE_TEST(gradients),
        ENGINE_TEST(dropout_by_a_flag),
        ENGINE_TEST(rows_agree),
        cmocka_unit_test(devices_agree),
    };
    return cmocka_run_group_tests_name("draw modes", tests, NULL, NULL);
}
