/* cache: how long compiled code lives, and what a function may do to itself: the bound on bytes, functions freed while something needs
 * them, recursion, gradients of many inputs, variables made by a body. Skipped without the LLVM module. */
#include "front.h"

static kiln_function_statistics stats_of(kiln_function *f)
{
    kiln_function_statistics s;
    kiln_function_stats(f, &s);
    return s;
}

#define FUNCTION(k, body, ...) kiln_function_new((k), (body), NULL, &(kiln_function_options){.name = #body, __VA_ARGS__})

static void twice(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_mul(in[0], 2);
}

/* ---- the bound on bytes, and what must stay ------------------------------------------------------------------------------------ */
static void the_cache_is_bounded(void **state)
{
    kiln *k = *state;
    kiln_function *f = FUNCTION(k, twice, .fixed_sizes = true, .cache_bytes = 100000);
    for (int round = 0; round < 2; round++)
        for (int64_t n = 1; n <= 20; n++) {
            KILN_SCOPE(k);
            assert_float_equal(kiln_item(kiln_sum(kiln_call(f, kiln_ones(k, KILN_F32, KILN_SHAPE(n))), KILN_ALL)), 2 * n, 0);
            kiln_call(f, kiln_ones(k, KILN_F32, KILN_SHAPE(1))); /* called all the time: the clock passes it by */
            assert_true(stats_of(f).cache_bytes <= 100000);
        }
    kiln_function_statistics s = stats_of(f);
    assert_true(s.signatures >= 2 && s.signatures < 20);
    assert_true(s.evictions > 20);
    assert_int_equal(s.evictions + s.signatures, s.compiles);
    assert_true(s.compiles <= 40);
    assert_ok(k);
    kiln_function *one = FUNCTION(k, twice, .fixed_sizes = true, .cache_bytes = 1); /* the newest always stays */
    for (int64_t n = 1; n <= 3; n++) {
        KILN_SCOPE(k);
        for (int i = 0; i < 3; i++) kiln_call(one, kiln_ones(k, KILN_F32, KILN_SHAPE(n)));
    }
    assert_int_equal(stats_of(one).compiles, 3);
    assert_int_equal(stats_of(one).hits, 6);
    assert_int_equal(stats_of(one).signatures, 1);
}

static void cubed(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_mul(in[0], kiln_mul(in[0], in[0]));
}

static void recorded_calls_outlive_eviction(void **state)
{
    kiln *k = *state;
    int64_t blocks[6];
    for (int round = 0; round < 6; round++) {
        KILN_SCOPE(k);
        kiln_function *f = FUNCTION(k, cubed, .fixed_sizes = true, .cache_bytes = 1);
        KILN_TAPE_PERSISTENT(k, tape);
        kiln_tensor *x[4], *y[4];
        for (int i = 0; i < 4; i++) {
            x[i] = kiln_full(k, KILN_F32, KILN_SHAPE(i + 1), i + 2);
            kiln_watch(tape, x[i]);
            y[i] = kiln_call(f, x[i]); /* each evicts what the tape does not hold */
        }
        for (int i = 0; i < 4; i++) {
            assert_float_equal(kiln_item(kiln_sum(kiln_gradient(tape, y[i], x[i]), KILN_ALL)), 3.0 * (i + 1) * (i + 2) * (i + 2), 1e-3);
            kiln_tensor *z = kiln_full(k, KILN_F32, KILN_SHAPE(20 + i), 1);
            kiln_call(f, z);
        }
        kiln_function_free(f); /* the tape still can */
        assert_float_equal(kiln_item(kiln_sum(kiln_gradient(tape, y[3], x[3]), KILN_ALL)), 3.0 * 4 * 25, 1e-3);
        assert_ok(k);
        kiln_tape_close(&tape);
        blocks[round] = kiln_memory_count().live_blocks;
    }
    /* With the tape everything went but the function's handle and name; debug builds use no header twice. A call that stayed would be dozens. */
    assert_in_range(blocks[5], 0, blocks[2] + 16);
}

typedef struct Suicide { kiln_function *f; } Suicide;
static void frees_itself(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    kiln_function_free(((Suicide *)user)->f);
    out[0] = kiln_add(in[0], 1);
}

static void freed_inside_its_own_body(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    for (int mode = 0; mode < 2; mode++) {
        Suicide s = {NULL};
        kiln_eager(k, mode == 0);
        s.f = kiln_function_new(k, frees_itself, &s, NULL);
        assert_float_equal(kiln_item(kiln_call(s.f, 1.0)), 2, 0);
    }
    assert_ok(k);
}

/* ---- recursion --------------------------------------------------------------------------------------------------------------------- */
static void factorial(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_function *self = *(kiln_function **)user;
    int64_t n = kiln_static_i64(in[1]);
    (void)k;
    out[0] = n <= 1 ? in[0] : kiln_mul(kiln_call(self, in[0], KILN_STATIC(n - 1)), n);
}

static void halves(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_function *self = *(kiln_function **)user;
    int64_t n = kiln_dim(in[0], 0); /* the end is decided by a size */
    (void)k;
    out[0] = n == 1 ? kiln_reshape(in[0], KILN_SHAPE())
                    : kiln_add(kiln_call(self, kiln_slice(in[0], 0, 0, n / 2, 1)), kiln_call(self, kiln_slice(in[0], 0, n / 2, n, 1)));
}

static void endless(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    out[0] = kiln_call(*(kiln_function **)user, in[0]);
}

static void recursion_ends_by_what_c_knows(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_function *f, *h, *e;
    f = kiln_function_new(k, factorial, &f, &(kiln_function_options){.name = "factorial"});
    h = kiln_function_new(k, halves, &h, &(kiln_function_options){.name = "halves"});
    e = kiln_function_new(k, endless, &e, &(kiln_function_options){.name = "endless"});
    for (int mode = 0; mode < 2; mode++) {
        kiln_eager(k, mode);
        assert_float_equal(kiln_item(kiln_call(f, 1.0, KILN_STATIC(6))), 720, 0);
        for (int n = 1; n < 17; n += 5)
            assert_float_equal(kiln_item(kiln_call(h, kiln_ones(k, KILN_F32, KILN_SHAPE(n)))), n, 0);
        assert_ok(k);
        kiln_call(e, 1.0);
        assert_error(k, KILN_ESTATE, "endless: bodies nested 64 deep: does it call itself without end?");
    }
    kiln_eager(k, false);
}

/* ---- compiled code that comes back to its own function ------------------------------------------------------------------------------- */
typedef struct Round { kiln *k; kiln_function *f; bool frees; int deepest; } Round;

/* n to n + f(n - 1), by a call of f from inside its compiled code; below zero without end. */
static int once_more(const kiln_array *in, int nin, const kiln_array *out, int nout, void *user)
{
    Round *r = user;
    KILN_SCOPE(r->k);
    float n = *(const float *)in[0].data, less = 0;
    (void)nin, (void)nout;
    r->deepest++;
    if (n == 1 && r->frees) kiln_function_free(r->f); /* under every call that runs */
    if (n != 0 && !(n == 1 && r->frees)) less = (float)kiln_item(kiln_call(r->f, n - 1));
    *(float *)out[0].data = n + less;
    return kiln_failed(r->k);
}

static void comes_back(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_callback(k, once_more, user, in, 1, (kiln_spec[]){KILN_SPEC(KILN_F32)}, out, 1);
}

static void compiled_code_is_reentrant(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    Round r = {.k = k};
    r.f = kiln_function_new(k, comes_back, &r, &(kiln_function_options){.name = "comes_back"});
    assert_float_equal(kiln_item(kiln_call(r.f, 6)), 21, 0);
    assert_ok(k);
    r.deepest = 0;
    kiln_call(r.f, -1); /* never ends by itself */
    assert_error(k, KILN_ESTATE, "comes_back: calls nested 80 deep: does it call itself without end?");
    assert_int_equal(r.deepest, 80);
    r.frees = true;
    assert_float_equal(kiln_item(kiln_call(r.f, 6)), 21, 0);
    assert_ok(k);
}

/* ---- many inputs --------------------------------------------------------------------------------------------------------------------- */
#define MANY 300 /* more than an op has results */
static void sums_variables(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    kiln_variable **v = user;
    out[0] = in[0];
    for (int i = 0; i < MANY; i++) out[0] = kiln_add(out[0], kiln_mul(v[i], i));
}

static void gradients_of_many_variables(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_variable *v[MANY];
    for (int i = 0; i < MANY; i++) v[i] = kiln_variable_new(k, "v", kiln_scalar(k, KILN_F32, i));
    kiln_function *f = kiln_function_new(k, sums_variables, v, &(kiln_function_options){.name = "sums_variables"});
    KILN_TAPE(k, tape);
    kiln_tensor *y = kiln_call(f, 1.0);
    kiln_operand x[MANY];
    kiln_tensor *dx[MANY];
    for (int i = 0; i < MANY; i++) x[i] = KILN_OPERAND(v[i]);
    assert_true(kiln_gradients(tape, y, x, MANY, dx));
    for (int i = 0; i < MANY; i++) assert_float_equal(kiln_item(dx[i]), i, 0);
    assert_ok(k);
    KILN_TAPE(k, outer); /* records the gradient's own call, with an output per variable */
    {
        KILN_TAPE(k, inner);
        kiln_gradients(inner, kiln_call(f, 1.0), x, MANY, dx);
    }
    for (int i = 0; i < MANY; i++) assert_float_equal(kiln_item(dx[i]), i, 0);
    assert_ok(k);
}

/* ---- variables made by a body ------------------------------------------------------------------------------------------------------------ */
typedef struct Net { kiln_variable *w, *b, *g; int made; } Net;
static void makes_variables(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    Net *net = user;
    if (!net->w) {
        KILN_EAGERLY(k);
        net->made++;
        net->g = kiln_generator(k, 5);
        net->w = kiln_variable_new(k, "w", kiln_normal(net->g, KILN_F32, KILN_SHAPE(3), 0, 1));
    }
    if (!net->b) net->b = kiln_variable_new(k, "b", KILN_F32, 1.5); /* a number needs no block */
    out[0] = kiln_add(kiln_mul(in[0], net->w), net->b);
    kiln_assign_add(net->b, 1);
}

static void variables_made_at_the_first_call(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    float y[2][3];
    for (int mode = 0; mode < 2; mode++) {
        Net net = {0};
        kiln_eager(k, mode);
        kiln_function *f = kiln_function_new(k, makes_variables, &net, &(kiln_function_options){.name = "makes_variables"});
        kiln_call(f, kiln_ones(k, KILN_F32, KILN_SHAPE(3)));
        kiln_tensor *last = kiln_call(f, kiln_ones(k, KILN_F32, KILN_SHAPE(3)));
        kiln_call(f, kiln_ones(k, KILN_F32, KILN_SHAPE(2, 3))); /* traced again: no second one */
        assert_ok(k);
        assert_int_equal(net.made, 1);
        assert_float_equal(kiln_item(net.b), 4.5, 0);
        assert_true(kiln_read(last, y[mode], sizeof y[mode]));
    }
    kiln_eager(k, false);
    assert_memory_equal(y[0], y[1], sizeof y[0]);
}

static void from_traced(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    out[0] = kiln_value(kiln_variable_new(k, "late", kiln_exp(in[0])));
}

static void outside_uses_traced(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    KILN_EAGERLY(k);
    out[0] = kiln_exp(in[0]);
}

static void what_cannot_be_a_first_value(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_call(FUNCTION(k, from_traced), 1.0);
    assert_error(k, KILN_ESTATE, "variable late: its first value is a traced tensor; make it in a KILN_EAGERLY block");
    kiln_call(FUNCTION(k, outside_uses_traced), 1.0);
    assert_error(k, KILN_ESTATE, "outside its function's body");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WAIT_TEST(the_cache_is_bounded),
        FRONT_TEST(recorded_calls_outlive_eviction),
        FRONT_TEST(freed_inside_its_own_body),
        FRONT_TEST(recursion_ends_by_what_c_knows),
        FRONT_TEST(compiled_code_is_reentrant),
        FRONT_TEST(gradients_of_many_variables),
        FRONT_TEST(variables_made_at_the_first_call),
        FRONT_TEST(what_cannot_be_a_first_value),
    };
    return cmocka_run_group_tests_name("cache", tests, front_needs_llvm, NULL);
}
