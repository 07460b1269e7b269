/* test_beforehand: what of a function hangs on captured tensors alone is computed once (frontend/function/beforehand.c): what is, what is
 * not, the same bits in all ways of running, gradients to what was captured, several threads, and tensors that go. */
#include "front.h"

#include <kiln/nn.h>
#include <pthread.h>
#include <stdlib.h>

#define S KILN_SHAPE

static kiln *k;

typedef struct Given {
    kiln_tensor *filters, *spread, *weight, *bytes, *row;
    kiln_variable *v;
} Given;

static kiln_tensor *drawn(int64_t n, kiln_shape s)
{
    return kiln_reshape(kiln_sin(kiln_mul(kiln_iota(k, KILN_F32, S(n), 0), 0.7)), s);
}

static Given given(void)
{
    return (Given){drawn(8 * 4 * 9, S(8, 4, 3, 3)), kiln_add(kiln_abs(drawn(8, S(8))), 0.5), drawn(96, S(12, 8)), kiln_cast(kiln_mul(drawn(96, S(12, 8)), 20), KILN_I8),
        drawn(8, S(8)), kiln_variable_new(k, "v", drawn(8 * 4 * 9, S(8, 4, 3, 3)))};
}

static kiln_tensor *image(int64_t n) { return drawn(n * 4 * 36, S(n, 4, 6, 6)); }

static kiln_tensor *per_channel(kiln_tensor *x) { return kiln_reshape(x, S(1, -1, 1, 1)); }
static kiln_tensor *convolved(kiln_tensor *x, kiln_operand w)
{
    return kiln_convolve(x, kiln_transpose(w, KILN_AXES(2, 3, 1, 0)), &(kiln_convolution){.channels_first = true});
}

#define BODY(name, value)                                                                     \
    static void name(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)            \
    {                                                                                           \
        const Given *g = user;                                                                  \
        (void)e;                                                                                \
        out[0] = value;                                                                         \
    }

BODY(filters, convolved(in[0], kiln_of_tensor(g->filters)))
BODY(factors, kiln_mul(in[0], per_channel(kiln_slice(kiln_div(1, kiln_sqrt(g->spread)), 0, 0, 4, 1))))
BODY(both, kiln_mul(convolved(in[0], kiln_of_tensor(g->filters)), per_channel(kiln_rsqrt(g->spread))))
BODY(of_a_variable, convolved(in[0], kiln_of_variable(g->v)))
BODY(a_product, kiln_matmul(kiln_slice(kiln_reshape(in[0], S(-1, 12)), 0, 0, 12, 1), kiln_transpose(kiln_transpose(g->weight, KILN_ALL), KILN_ALL)))
BODY(widened, kiln_matmul(kiln_slice(kiln_reshape(in[0], S(-1, 12)), 0, 0, 12, 1), kiln_cast(g->bytes, KILN_F32)))
BODY(broadcast, kiln_add(kiln_sum(in[0], KILN_ALL), kiln_broadcast(g->row, S(300, 8))))
BODY(scaled, convolved(in[0], kiln_of_tensor(kiln_mul(g->filters, kiln_reshape(g->spread, S(8, 1, 1, 1))))))
BODY(outer, kiln_add(kiln_sum(in[0], KILN_ALL), kiln_mul(kiln_reshape(kiln_exp(g->spread), S(8, 1)), g->row)))
BODY(beyond, kiln_add(kiln_sum(in[0], KILN_ALL), kiln_sum(kiln_mul(kiln_broadcast(g->row, S(300, 8)), kiln_broadcast(g->row, S(300, 8))), KILN_ALL)))
BODY(result, ((void)in, kiln_exp(g->row)))
BODY(moved_result, ((void)in, kiln_transpose(g->weight, KILN_ALL)))

static const struct {
    const char *name;
    kiln_body *body;
    int64_t bytes; /* that are kept */
} rows[] = {{"filters", filters, 8 * 4 * 9 * 4}, {"factors", factors, 4 * 4}, {"both", both, 8 * 4 * 9 * 4 + 8 * 4}, {"of_a_variable", of_a_variable, 0}, {"a_product", a_product, 0},
    {"scaled", scaled, 8 * 4 * 9 * 4}, {"outer", outer, 8 * 4}, {"beyond", beyond, 0}, {"widened", widened, 0}, {"broadcast", broadcast, 0}, {"result", result, 8 * 4}, {"moved_result", moved_result, 0}};

static kiln_function *function_of(kiln_body *body, const Given *g, kiln_compiling how)
{
    return kiln_function_new(k, body, (void *)(uintptr_t)g, &(kiln_function_options){.name = "beforehand", .compile = how, .inputs_count = 1});
}

static void same(const char *what, kiln_tensor *a, kiln_tensor *b)
{
    if (kiln_failed(k)) fail_msg("%s: %s", what, kiln_error(k)->text);
    const size_t n = kiln_bytes(a);
    assert_int_equal(n, kiln_bytes(b));
    char *x = calloc(2, n + 1), *y = x + n + 1;
    assert_true(kiln_read(a, x, n) && kiln_read(b, y, n));
    if (memcmp(x, y, n) != 0) fail_msg("%s: elements", what);
    free(x);
}

static void what_is_kept(void **state)
{
    k = *state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        KILN_SCOPE(k);
        const Given g = given();
        kiln_function *f = function_of(rows[i].body, &g, KILN_WAIT), *never = function_of(rows[i].body, &g, KILN_NEVER);
        for (int64_t n = 1; n < 4; n++) { /* the third size is a symbol's */
            kiln_tensor *x = image(n), *want = NULL;
            rows[i].body(k, &x, &want, (void *)(uintptr_t)&g);
            for (int again = 0; again < 3; again++) same(rows[i].name, kiln_call(f, x), want);
            same(rows[i].name, kiln_call(never, x), want);
        }
        kiln_function_bytes b;
        if (kiln_function_memory(f, &b) && b.beforehand != rows[i].bytes) fail_msg("%s: %lld bytes", rows[i].name, (long long)b.beforehand);
        kiln_function_free(never);
        kiln_function_free(f);
        kiln_variable_free(g.v);
    }
}

/* What is kept stands for what was captured: a gradient goes on into that. */
static void gradients_reach_what_was_captured(void **state)
{
    k = *state;
    KILN_SCOPE(k);
    Given g = given();
    kiln_tensor *x = image(2), *w = g.filters, *want, *got;
    {
        KILN_TAPE(k, tape);
        g.filters = kiln_watch(tape, w);
        kiln_tensor *y = NULL;
        both(k, &x, &y, &g);
        want = kiln_gradient(tape, kiln_sum(kiln_square(y), KILN_ALL), g.filters);
    }
    {
        KILN_TAPE(k, tape);
        g.filters = kiln_watch(tape, w);
        kiln_function *f = function_of(both, &g, KILN_WAIT);
        kiln_call(f, x);
        got = kiln_gradient(tape, kiln_sum(kiln_square(kiln_call(f, x)), KILN_ALL), g.filters);
        kiln_function_free(f);
    }
    same("the gradient", got, want);
    kiln_variable_free(g.v);
}

static void what_was_captured_may_not_go(void **state)
{
    k = *state;
    KILN_SCOPE(k);
    Given g = given();
    g.filters = kiln_own(g.filters);
    kiln_function *f = function_of(filters, &g, KILN_WAIT);
    kiln_tensor *x = image(1);
    kiln_call(f, x);
    assert_ok(k);
    kiln_release(g.filters);
    kiln_call(f, x);
    assert_error(k, KILN_ESTATE, "was released");
    kiln_function_free(f);
    kiln_variable_free(g.v);
}

typedef struct Caller {
    kiln_function *f;
    kiln_tensor *x;
    double total;
} Caller;

static void *calls(void *user)
{
    Caller *c = user;
    KILN_SCOPE(k);
    c->total = kiln_item(kiln_sum(kiln_call(c->f, c->x), KILN_ALL));
    return NULL;
}

static void several_threads_call_first(void **state)
{
    k = *state;
    KILN_SCOPE(k);
    const Given g = given();
    kiln_function *f = function_of(both, &g, KILN_WAIT);
    kiln_tensor *x = image(3);
    Caller c[4];
    pthread_t thread[4];
    for (int i = 0; i < 4; i++) {
        c[i] = (Caller){f, x, 0};
        assert_int_equal(pthread_create(&thread[i], NULL, calls, &c[i]), 0);
    }
    for (int i = 0; i < 4; i++) pthread_join(thread[i], NULL);
    for (int i = 1; i < 4; i++) assert_true(c[i].total == c[0].total && c[i].total != 0);
    kiln_function_free(f);
    kiln_variable_free(g.v);
    assert_ok(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {FRONT_TEST(what_is_kept), FRONT_TEST(gradients_reach_what_was_captured), FRONT_TEST(what_was_captured_may_not_go), FRONT_TEST(several_threads_call_first)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
