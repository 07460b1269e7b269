/* test_onnx_train: an ONNX model whose weights are variables: gradients against finite differences, fine-tuning in both modes, and
 * a training step ahead of time; what among its initialisers is no weight. A net of some size: test_onnx_mobilenet.c. */
#include "aot_test.h"

#include <kiln/aot.h>
#include <kiln/nn.h>
#include <kiln/onnx.h>

#include <math.h>

#include "onnx_bytes.h"

enum { BATCH = 4, STEPS = 8, WEIGHTS = 5 };

/* An initialiser of doubles that look drawn. */
static void weight(Message *g, const char *name, const int64_t *dim, int rank, double scale)
{
    Message w = {.n = 0};
    double v[64];
    int n = 1;
    for (int i = 0; i < rank; i++) n *= (int)dim[i], integer(&w, 1, dim[i]);
    for (int i = 0; i < n; i++) v[i] = scale * (fmod(7.3 * (i + 1) + rank, 2) - 1);
    integer(&w, 2, 11), text(&w, 8, name), bytes(&w, 9, v, (size_t)n * sizeof *v);
    message(g, 5, &w);
}

static Message node_of_three(const char *op, const char *a, const char *b, const char *c, const char *out)
{
    Message n = {.n = 0};
    text(&n, 1, a), text(&n, 1, b), text(&n, 1, c), text(&n, 2, out), text(&n, 4, op);
    return n;
}

/* x [N, 1, 4, 4] -> convolution 3 x 3 with bias -> tanh -> flattened -> gemm with bias, and a scale that is no weight of the
 * graph's shape: y [N, 3]. */
static kiln_onnx *net(kiln *k)
{
    Message g = {.n = 0}, x = {.n = 0}, y = {.n = 0};
    const Message conv = node_of_three("Conv", "x", "w1", "b1", "a"), tanh = node_of("Tanh", "a", NULL, "b"),
                  flat = node_of("Flatten", "b", NULL, "c"), gemm = node_of_three("Gemm", "c", "w2", "b2", "d"),
                  mul = node_of("Mul", "d", "scale", "y");
    text(&x, 1, "x"), text(&y, 1, "y");
    message(&g, 1, &conv), message(&g, 1, &tanh), message(&g, 1, &flat), message(&g, 1, &gemm), message(&g, 1, &mul);
    weight(&g, "w1", (int64_t[]){2, 1, 3, 3}, 4, 0.5), weight(&g, "b1", (int64_t[]){2}, 1, 0.1);
    weight(&g, "w2", (int64_t[]){8, 3}, 2, 0.5), weight(&g, "b2", (int64_t[]){3}, 1, 0.1),
        weight(&g, "scale", (int64_t[]){1}, 1, 1);
    message(&g, 11, &x), message(&g, 12, &y);
    const Message m = model_of(&g, 17);
    return kiln_onnx_load_memory(k, m.at, m.n);
}

static kiln_tensor *some(kiln *k, uint64_t seed, kiln_shape s)
{
    kiln_variable *g = kiln_generator(k, seed);
    return kiln_normal(g, KILN_F64, s, 0, 1);
}

/* Such numbers in v's shape. */
static kiln_tensor *like(kiln *k, kiln_variable *v, const double *numbers)
{
    kiln_tensor *x = kiln_value(v);
    kiln_shape s = {.rank = kiln_rank(x)};
    for (int i = 0; i < kiln_rank(x); i++) s.size[1 + i] = kiln_dim(x, i);
    return kiln_from_doubles(k, KILN_F64, s, numbers, kiln_elements(x));
}

static double loss_of(kiln_function *f, kiln_tensor *x)
{
    kiln_tensor *y = kiln_call(f, x);
    return kiln_item(kiln_sum(kiln_mul(y, y), KILN_ALL));
}

static void gradients_are_those_of_finite_differences(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_variable *v[WEIGHTS];
    kiln_onnx *m = net(k);
    assert_int_equal(kiln_onnx_variables(m, v, WEIGHTS), WEIGHTS);
    assert_string_equal(kiln_variable_name(v[0]), "w1");
    kiln_function *f = kiln_onnx_function(m);
    kiln_tensor *x = some(k, 3, KILN_SHAPE(BATCH, 1, 4, 4)), *dx[WEIGHTS];
    KILN_TAPE(k, tape);
    kiln_tensor *y = kiln_call(f, x);
    assert_true(
        kiln_gradients_of_at(KILN_HERE, tape, KILN_OPERAND(kiln_sum(kiln_mul(y, y), KILN_ALL)), kiln_variables(v, WEIGHTS), dx));
    assert_ok(k);
    for (int i = 0; i < WEIGHTS; i++) {
        double was[64], now[64], slope[64];
        const int64_t n = kiln_elements(kiln_value(v[i]));
        kiln_read_doubles(kiln_value(v[i]), was, n);
        kiln_read_doubles(dx[i], slope, n);
        for (int64_t j = 0; j < n; j++) {
            double at[2];
            for (int side = 0; side < 2; side++) {
                memcpy(now, was, sizeof now);
                now[j] += side ? 1e-5 : -1e-5;
                kiln_assign(v[i], like(k, v[i], now));
                at[side] = loss_of(f, x);
            }
            assert_true(fabs((at[1] - at[0]) / 2e-5 - slope[j]) < 1e-6 * (1 + fabs(slope[j])));
        }
        kiln_assign(v[i], like(k, v[i], was));
    }
    assert_ok(k);
    kiln_onnx_free(m);
}

typedef struct Trained {
    kiln_onnx *m;
    kiln_optimizer *sgd;
} Trained;

static void step(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    Trained *t = user;
    KILN_TAPE(k, tape);
    kiln_tensor *off = kiln_sub(kiln_call(kiln_onnx_function(t->m), in[0]), in[1]);
    out[0] = kiln_mean(kiln_mul(off, off), KILN_ALL);
    kiln_optimizer_minimize(t->sgd, tape, out[0]);
}

static kiln_function *training(kiln *k, Trained *t)
{
    *t = (Trained){net(k), kiln_sgd(k, 0.05, 0.9)};
    assert_int_equal(kiln_onnx_variables(t->m, NULL, 0), WEIGHTS);
    return kiln_function_new(k, step, t,
        &(kiln_function_options){.name = "step", .inputs = {KILN_SPEC(KILN_F64, BATCH, 1, 4, 4), KILN_SPEC(KILN_F64, BATCH, 3)}});
}

static const char *const program = "#include <stdio.h>\n#include \"step.h\"\n"
                                   "static _Alignas(64) unsigned char work[STEP_WORKSPACE_BYTES], state[STEP_STATE_BYTES];\n"
                                   "static double x[4 * 16], y[4 * 3];\n"
                                   "int main(int argc, char **argv)\n{\n"
                                   "    FILE *f = argc > 1 ? fopen(argv[1], \"rb\") : 0;\n"
                                   "    if (!f || fread(x, sizeof x, 1, f) != 1 || fread(y, sizeof y, 1, f) != 1) return 2;\n"
                                   "    step_init(state);\n"
                                   "    for (int i = 0; i < 8; i++) {\n        double loss;\n"
                                   "        if (step(state, x, y, &loss, work)) return 3;\n"
                                   "        fwrite(&loss, sizeof loss, 1, stdout);\n    }\n    return 0;\n}\n";

/* The loss falls; eager, compiled and ahead of time alike. */
static void fine_tuning(void **state)
{
    kiln *k = *state;
    double loss[3][STEPS];
    kiln_tensor *x = kiln_own(some(k, 5, KILN_SHAPE(BATCH, 1, 4, 4))), *y = kiln_own(some(k, 6, KILN_SHAPE(BATCH, 3)));
    for (int mode = 0; mode < 2; mode++) {
        KILN_SCOPE(k);
        Trained t;
        kiln_variable *moments[16];
        kiln_function *f = training(k, &t);
        if (mode == 1) { /* before the first step, so that state has the first values */
            assert_true(kiln_aot(f, path_of("step"), NULL));
            assert_int_equal(kiln_optimizer_variables(t.sgd, moments, 16), WEIGHTS + 1);
        }
        kiln_eager(k, mode == 0);
        for (int i = 0; i < STEPS; i++) loss[mode][i] = kiln_item(kiln_call(f, x, y));
        kiln_eager(k, false);
        assert_ok(k);
        kiln_function_free(f);
        kiln_onnx_free(t.m);
    }
    assert_memory_equal(loss[0], loss[1], sizeof loss[0]);
    assert_true(loss[0][STEPS - 1] < 0.7 * loss[0][0]);
    put("main.c", program, strlen(program));
    put("data", kiln_data(x), kiln_bytes(x)), put("data", kiln_data(y), kiln_bytes(y));
    program_gives("", "step.o", "data", loss[2], sizeof loss[2]);
    assert_memory_equal(loss[2], loss[1], sizeof loss[1]);
    kiln_release(x), kiln_release(y);
}

/* x [N, 3] -> batch norm of running statistics -> clip, all of whose numbers are initialisers: y. */
static kiln_onnx *clipped(kiln *k)
{
    Message g = {.n = 0}, x = {.n = 0}, y = {.n = 0};
    const int64_t three = 3;
    const Message norm = node("BatchNormalization", "x scale shift mean variance", "a"), clip = node("Clip", "a least most", "y");
    text(&x, 1, "x"), text(&y, 1, "y");
    message(&g, 1, &norm), message(&g, 1, &clip);
    weight(&g, "scale", &three, 1, 0.5), weight(&g, "shift", &three, 1, 0.1), weight(&g, "mean", &three, 1, 0.1);
    weight(&g, "variance", &three, 1, 1.5), weight(&g, "least", NULL, 0, -3), weight(&g, "most", NULL, 0, 3);
    message(&g, 11, &x), message(&g, 12, &y);
    const Message m = model_of(&g, 17);
    return kiln_onnx_load_memory(k, m.at, m.n);
}

/* In inference mode a step leaves running statistics as they are; bounds are no variables. */
static void what_is_no_weight_is_not_trained(void **state)
{
    static const char *const name[] = {"scale", "shift", "mean", "variance"};
    kiln *k = *state;
    KILN_SCOPE(k);
    for (int eager = 0; eager < 2; eager++) {
        kiln_onnx *m = clipped(k);
        kiln_variable *v[8];
        double was[4][3], now[3];
        kiln_eager(k, eager);
        assert_int_equal(kiln_onnx_variables(m, v, 8), 4);
        for (int i = 0; i < 4; i++) {
            assert_string_equal(kiln_variable_name(v[i]), name[i]);
            if (i == 3) kiln_assign(v[i], kiln_abs(kiln_value(v[i])));
            kiln_read_doubles(kiln_value(v[i]), was[i], 3);
        }
        {
            KILN_TAPE(k, tape);
            kiln_tensor *y = kiln_call(kiln_onnx_function(m), some(k, 4, KILN_SHAPE(8, 3)));
            kiln_optimizer_minimize(kiln_sgd(k, 0.1, 0), tape, kiln_sum(kiln_exp(y), KILN_ALL));
        }
        assert_ok(k);
        for (int i = 0; i < 4; i++) {
            kiln_read_doubles(kiln_value(v[i]), now, 3);
            assert_int_equal(memcmp(now, was[i], sizeof now) == 0, i >= 2);
        }
        kiln_eager(k, false);
        kiln_onnx_free(m);
    }
}

static void too_late(void **state)
{
    kiln *k = *state;
    kiln_onnx *m = net(k);
    assert_non_null(kiln_onnx_function(m));
    assert_int_equal(kiln_onnx_variables(m, NULL, 0), -1);
    assert_error(k, KILN_ESTATE, "the model has a function already");
    kiln_onnx_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {WAIT_TEST(gradients_are_those_of_finite_differences), WAIT_TEST(fine_tuning),
        WAIT_TEST(what_is_no_weight_is_not_trained), WAIT_TEST(too_late)};
    return cmocka_run_group_tests(tests, aot_set_up, aot_tear_down);
}
