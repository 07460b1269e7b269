/* jvp: tangents against finite differences and against gradients (u . (J t) = (J' u) . t), through loops and branches, in both modes. */
#include <math.h>
#include <stdlib.h>

#include "front.h"

#define BODY(name) static void name(kiln *k KILN_UNUSED, kiln_tensor *const *in, kiln_tensor **out, void *user KILN_UNUSED)
enum { N = 3 };

BODY(straight)
{
    out[0] = kiln_mul(kiln_exp(kiln_mul(in[0], 0.5)), in[1]);
    out[1] = kiln_sum(kiln_tanh(kiln_matmul(kiln_reshape(in[0], KILN_SHAPE(1, N)), kiln_reshape(in[1], KILN_SHAPE(N, 1)))), KILN_ALL);
}

BODY(loops)
{
    kiln_variable *x = kiln_local(k, in[0]);
    KILN_FOR(k, i, 4) kiln_assign(x, kiln_sin(kiln_add(x, kiln_mul(in[1], kiln_cast(i, KILN_F32)))));
    KILN_WHILE(k, kiln_less(kiln_sum(kiln_square(x), KILN_ALL), 50.0)) kiln_assign(x, kiln_add(kiln_mul(x, 1.5), in[1]));
    out[0] = kiln_value(x);
    out[1] = kiln_sum(kiln_mul(x, in[0]), KILN_ALL);
}

BODY(branches)
{
    kiln_variable *x = kiln_local(k, in[0]);
    KILN_IF(kiln_greater(kiln_sum(in[0], KILN_ALL), 0.0)) kiln_assign(x, kiln_mul(in[0], in[1]));
    KILN_ELSE(k) kiln_assign(x, kiln_square(in[1]));
    out[0] = kiln_value(x);
    out[1] = kiln_mean(kiln_cos(x), KILN_ALL);
}

BODY(partly) /* an input and an output of integers */
{
    out[0] = kiln_mul(in[0], kiln_cast(in[1], KILN_F32));
    out[1] = kiln_add(in[1], 1);
}

static const struct {
    const char *name;
    kiln_body *body;
} cases[] = {{"straight", straight}, {"loops", loops}, {"branches", branches}};

static const float at[2][2][N] = {{{0.5f, -0.25f, 1}, {0.75f, 0.5f, -0.5f}}, {{-0.5f, -1.25f, 0.25f}, {1.5f, 0.25f, 0.125f}}};
static const float along[2][N] = {{1, -0.5f, 0.25f}, {0.5f, 2, -1}};

typedef struct Pair {
    float y[N + 1], dy[N + 1];
} Pair;

static kiln_tensor *vector(kiln *k, const float *v) { return kiln_from(k, KILN_F32, KILN_SHAPE(N), v, N); }

static void values(kiln *k, kiln_function *f, int which, float step, float *y)
{
    KILN_SCOPE(k);
    float moved[2][N];
    kiln_tensor *out[2];
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < N; j++) moved[i][j] = at[which][i][j] + step * along[i][j];
    kiln_operand in[] = {kiln_of_tensor(vector(k, moved[0])), kiln_of_tensor(vector(k, moved[1]))};
    kiln_call_all(f, in, 2, out, 2);
    kiln_read(out[0], y, N * sizeof *y);
    y[N] = (float)kiln_item(out[1]);
}

static Pair tangents(kiln *k, kiln_function *f, int which)
{
    KILN_SCOPE(k);
    Pair p;
    kiln_tensor *out[4];
    kiln_operand in[4];
    for (int i = 0; i < 2; i++) {
        in[i] = kiln_of_tensor(vector(k, at[which][i]));
        in[2 + i] = kiln_of_tensor(vector(k, along[i]));
    }
    kiln_call_all(kiln_jvp(f), in, 4, out, 4);
    kiln_read(out[0], p.y, N * sizeof(float));
    kiln_read(out[2], p.dy, N * sizeof(float));
    p.y[N] = (float)kiln_item(out[1]);
    p.dy[N] = (float)kiln_item(out[3]);
    return p;
}

static double by_gradient(kiln *k, kiln_function *f, int which) /* of the sum of the first output, times the direction */
{
    KILN_SCOPE(k);
    kiln_tensor *out[2];
    float d[2][N];
    double sum = 0;
    kiln_operand in[] = {kiln_of_tensor(vector(k, at[which][0])), kiln_of_tensor(vector(k, at[which][1]))};
    kiln_call_all(kiln_grad(f), in, 2, out, 2);
    for (int i = 0; i < 2; i++) {
        kiln_read(out[i], d[i], sizeof d[i]);
        for (int j = 0; j < N; j++) sum += (double)d[i][j] * along[i][j];
    }
    return sum;
}

static void near(const char *name, double got, double want, double within)
{
    if (!(fabs(got - want) <= within * (1 + fabs(want)))) fail_msg("%s: %.9g is not %.9g", name, got, want);
}

static void tangents_are_differences(void **state)
{
    kiln *k = *state;
    const float h = 1.0f / 512;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (int which = 0; which < 2; which++) {
            Pair p[2];
            float y[N + 1], lo[N + 1], hi[N + 1];
            kiln_function *f = kiln_function_new(k, cases[c].body, NULL,
                &(kiln_function_options){.name = cases[c].name, .inputs_count = 2, .outputs = 2});
            for (int mode = 0; mode < 2; mode++) {
                kiln_eager(k, mode == 0);
                p[mode] = tangents(k, f, which);
                if (kiln_failed(k)) fail_msg("%s: %s", cases[c].name, kiln_error(k)->text);
            }
            values(k, f, which, 0, y);
            values(k, f, which, -h, lo);
            values(k, f, which, h, hi);
            assert_memory_equal(p[0].y, y, sizeof y);
            assert_memory_equal(p[1].y, y, sizeof y);
            double sum = 0;
            for (int i = 0; i <= N; i++) {
                near(cases[c].name, p[1].dy[i], p[0].dy[i], 1e-5);
                near(cases[c].name, p[1].dy[i], (hi[i] - lo[i]) / (2 * h), 1e-2);
                if (i < N) sum += p[1].dy[i];
            }
            near(cases[c].name, sum, by_gradient(k, f, which), 1e-5);
            assert_ok(k);
            kiln_function_free(f);
        }
}

static void integers_have_no_tangents(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_function *f = kiln_function_new(k, partly, NULL, &(kiln_function_options){.inputs_count = 2, .outputs = 2});
    kiln_tensor *x = kiln_scalar(k, KILN_F32, 3), *n = kiln_scalar(k, KILN_I32, 4), *t = kiln_scalar(k, KILN_F32, 0.5), *out[4];
    kiln_operand in[] = {kiln_of_tensor(x), kiln_of_tensor(n), kiln_of_tensor(t), kiln_of_tensor(n)};
    assert_true(kiln_call_all(kiln_jvp(f), in, 4, out, 4));
    assert_true(kiln_item(out[0]) == 12 && kiln_item(out[1]) == 5 && kiln_item(out[2]) == 2 && kiln_item(out[3]) == 0);
    assert_ptr_equal(kiln_jvp(f), kiln_jvp(f));
    in[2] = kiln_of_tensor(kiln_f32(k, KILN_SHAPE(2), 1, 2));
    assert_false(kiln_call_all(kiln_jvp(f), in, 4, out, 4));
    assert_error(k, KILN_ESHAPE, "jvp: the tangent of f32[] is f32[2]");
    assert_null(kiln_jvp(kiln_function_new(k, partly, NULL, NULL)));
    assert_error(k, KILN_EVALUE, "say how many inputs");
}

int main(void)
{
    const struct CMUnitTest tests[] = {FRONT_TEST(tangents_are_differences), FRONT_TEST(integers_have_no_tangents)};
    return cmocka_run_group_tests_name("jvp", tests, front_needs_llvm, NULL);
}
