/* test_onnx_save_open: functions of open sizes, and of sizes that nodes count, as files of ONNX: read again they are traced with the same
 * open sizes, and give the same bits at each size from none on, compiled and eagerly. */
#include "onnx_round.h"

static kiln_tensor *w;

static kiln_tensor *positive(kiln_tensor *x) { return kiln_masked(x, kiln_greater(x, 0)); }

BODY(nonzero, kiln_nonzero(kiln_greater(X, 0)))
BODY(masked, positive(X))
BODY(summed, kiln_cumsum(positive(X), 0, 0))
BODY(sorted, kiln_sort(positive(X), 0, 0))
BODY(unique, kiln_unique_values(X))
BODY(reshaped, kiln_matmul(kiln_reshape(kiln_transpose(X, KILN_AXES(1, 0)), S(3, -1)), kiln_mul(X, 2)))

static void step(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)e, (void)user;
    out[0] = out[1] = kiln_tanh(kiln_add(kiln_mul(in[1], w), in[2]));
}
static void scanned(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_tensor *h = kiln_zeros(e, KILN_F32, S(3)), *last;
    kiln_scan(e, step, &(kiln_scan_options){.carries = &h, .carries_count = 1, .xs = &X, .xs_count = 1, .ys_count = 1}, &last, out, user);
}

static const struct {
    const char *name;
    kiln_body *body;
    int64_t least;
} functions[] = {{"nonzero", nonzero, 0}, {"masked", masked, 0}, {"summed", summed, 0}, {"sorted", sorted, 0}, {"unique", unique, 0},
    {"reshaped", reshaped, 0}, {"scanned", scanned, 1}};

static void of_model(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)e;
    kiln_onnx_call(user, KILN_IN(X), out, 1);
}

static void goes_round(const char *name, kiln_body *body, int64_t least)
{
    KILN_SCOPE(k);
    kiln_function_options o = {.name = name, .inputs = {KILN_SPEC(KILN_F32, KILN_DIM("N", least, 9), 3)}};
    kiln_function *f = kiln_function_new(k, body, NULL, &o);
    written(name, f);
    kiln_onnx *m = kiln_onnx_load(k, path_of(name));
    if (!m) fail_msg("%s: %s", name, kiln_error(k)->text);
    kiln_function *g = kiln_function_new(k, of_model, m, &o);
    for (int64_t n = least; n <= 9; n += n < 2 ? 1 : 3)
        for (int way = 0; way < 3; way++) {
            kiln_tensor *x = filled(S(n, 3)), *eager;
            if (way != 0) x = kiln_sub(kiln_round(x), way == 1 ? 0 : 9); /* numbers that come twice, and none that is counted */
            kiln_tensor *want = kiln_call(f, x), *got = kiln_call(g, x);
            near_enough(name, got, want, 0);
            kiln_onnx_call(m, KILN_IN(x), &eager, 1);
            near_enough(name, eager, want, 0);
        }
    kiln_function_free(g), kiln_onnx_free(m), kiln_function_free(f);
}

static void open_sizes_stay_open(void **state)
{
    open_folder(*state);
    KILN_SCOPE(k);
    w = kiln_f32(k, S(3), 0.5, -1.5, 2);
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) goes_round(functions[i].name, functions[i].body, functions[i].least);
}

int main(void)
{
    const struct CMUnitTest tests[] = {FRONT_TEST(open_sizes_stay_open)};
    return cmocka_run_group_tests_name("onnx_save_open", tests, NULL, close_folder);
}
