/* test_onnx_mobilenet: an ONNX model of some size is trained: MobileNetV2 as torchvision exports it learns drawn images by heart,
 * batch norm with the batch's statistics, and then knows them with the running ones. A step has the same bits eagerly, compiled and
 * ahead of time. A narrow, shallow net, and with KILN_TEST_FULL the one of the paper. */
#include "aot_test.h"

#include <kiln/aot.h>
#include <kiln/nn.h>
#include <kiln/onnx.h>

#include <math.h>
#include <time.h>

#include "onnx_mobilenet.h"

enum { IMAGES = 64, CLASSES = 4, MOST = 400, SAME = 3 }; /* SAME: steps that are compared to the bit */

typedef struct Net {
    kiln_onnx *m;
    kiln_optimizer *adam;
    kiln_variable *v[MOST], *running[MOST]; /* running: what the results after the first are assigned to */
    int variables, outputs;
} Net;

static int image = 32; /* rows and columns */

static bool full(void) { return getenv("KILN_TEST_FULL") != NULL; }

/* In training mode the bounds of relu6 are nodes, otherwise initialisers, which must not become variables. */
static MobileNet how(bool training)
{
    MobileNet m = {.width = 0.25, .image = image, .classes = CLASSES, .repeats = 1, .last = 64};
    if (full()) m.width = 1, m.repeats = m.last = 0;
    m.training = training, m.bounds_inside = !training;
    m.momentum = 0.8, m.seed = 5;
    return m;
}

static kiln_variable *named(const Net *net, const char *name, size_t length)
{
    for (int i = 0; i < net->variables; i++)
        if (strlen(kiln_variable_name(net->v[i])) == length && memcmp(kiln_variable_name(net->v[i]), name, length) == 0)
            return net->v[i];
    fail_msg("no variable is called %.*s", (int)length, name);
    return NULL;
}

static void open_net(kiln *k, Net *net, MobileNet m)
{
    size_t n;
    uint8_t *bytes = mobilenet_bytes(&m, &n);
    kiln_onnx_value out[MOST];
    assert_non_null(bytes);
    *net = (Net){.m = kiln_onnx_load_memory(k, bytes, n), .adam = kiln_adam(k, 0.004)};
    free(bytes);
    assert_ok(k);
    net->variables = kiln_onnx_variables(net->m, net->v, MOST);
    net->outputs = kiln_onnx_outputs(net->m, out, MOST);
    assert_true(net->variables > 0 && net->variables <= MOST && net->outputs > 0 && net->outputs <= MOST);
    for (int i = 1; i < net->outputs; i++) net->running[i] = named(net, out[i].name, strlen(out[i].name) - strlen(".next"));
}

/* Gives the loss before the step, and how many images were right. */
static void step(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    Net *net = user;
    kiln_tensor *y[MOST];
    KILN_TAPE(k, tape);
    kiln_call_all(kiln_onnx_function(net->m), KILN_IN(in[0]), y, net->outputs);
    out[0] = kiln_cross_entropy(y[0], in[1]);
    out[1] = kiln_sum(kiln_cast(kiln_equal(kiln_argmax(y[0], 1), in[1]), KILN_F32), KILN_ALL);
    kiln_optimizer_minimize(net->adam, tape, out[0]);
    for (int i = 1; i < net->outputs; i++) kiln_assign(net->running[i], y[i]);
}

static kiln_function *training(kiln *k, Net *net)
{
    const MobileNet m = how(true);
    open_net(k, net, m);
    return kiln_function_new(k, step, net,
        &(kiln_function_options){.name = "step",
            .outputs = 2,
            .inputs = {KILN_SPEC(KILN_F32, IMAGES, 3, m.image, m.image), KILN_SPEC(KILN_I64, IMAGES)}});
}

/* Noise, and labels that have nothing to do with it: there is nothing to learn but each image. */
static void draw(kiln *k, kiln_tensor **x, kiln_tensor **y)
{
    kiln_variable *chance = kiln_generator(k, 21);
    *x = kiln_own(kiln_normal(chance, KILN_F32, KILN_SHAPE(IMAGES, 3, image, image), 0, 1));
    *y = kiln_own(kiln_cast(kiln_floor(kiln_uniform(chance, KILN_F32, KILN_SHAPE(IMAGES), 0, CLASSES)), KILN_I64));
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The running statistics stand for those of the batch: a model of the other mode, with what was learnt. */
static void knows(kiln *k, const Net *net, kiln_tensor *x, kiln_tensor *y, double trained)
{
    static Net other;
    double loss[2], right = 0;
    open_net(k, &other, how(false));
    assert_true(other.outputs == 1 && other.variables == net->variables);
    for (int i = 0; i < other.variables; i++) {
        const char *name = kiln_variable_name(other.v[i]);
        kiln_assign(other.v[i], kiln_value(named(net, name, strlen(name))));
    }
    for (int eager = 0; eager < 2; eager++) {
        kiln_tensor *classes = NULL;
        kiln_eager(k, eager);
        assert_true(kiln_onnx_call(other.m, KILN_IN(x), &classes, 1));
        loss[eager] = kiln_item(kiln_cross_entropy(classes, y));
        right = kiln_item(kiln_sum(kiln_cast(kiln_equal(kiln_argmax(classes, 1), y), KILN_F32), KILN_ALL));
        kiln_eager(k, false);
    }
    assert_ok(k);
    printf("with running statistics: %g of %d right, loss %.5f, in training %.5f\n", right, IMAGES, loss[0], trained);
    assert_memory_equal(&loss[0], &loss[1], sizeof loss[0]);
    assert_true(right == IMAGES);
    assert_true(fabs(loss[0] - trained) < 0.1 * trained);
    kiln_onnx_free(other.m);
}

static double train(kiln_function *f, kiln_tensor *x, kiln_tensor *y, double *right)
{
    kiln_tensor *out[2];
    assert_true(kiln_call_all(f, KILN_IN(x, y), out, 2));
    *right = kiln_item(out[1]);
    return kiln_item(out[0]);
}

static void it_learns_by_heart(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    static Net net;
    kiln_tensor *x, *y;
    image = full() ? 64 : 32;
    kiln_function *f = training(k, &net);
    double first = 0, loss = 0, right = 0, start = seconds(), once = 0;
    int steps = 0;
    draw(k, &x, &y);
    for (; steps < 200 && !(right == IMAGES && loss < 0.01); steps++) {
        KILN_SCOPE(k);
        loss = train(f, x, y, &right);
        if (steps == 0) first = loss, once = seconds();
    }
    printf("%d variables, images of %d x %d, %d steps: loss %.4f, then %.4f, %g of %d right; first step %.2f s, all %.2f s\n",
        net.variables, image, image, steps, first, loss, right, IMAGES, once - start, seconds() - start);
    assert_true(first > 1);
    assert_true(right == IMAGES && loss < 0.01);
    kiln_assign(kiln_optimizer_rate(net.adam), 0.0); /* the weights rest, until the running statistics are the batch's */
    for (int i = 0; i < 30; i++) {
        KILN_SCOPE(k);
        loss = train(f, x, y, &right);
    }
    knows(k, &net, x, y, loss);
    kiln_function_free(f);
    kiln_onnx_free(net.m);
    kiln_release(x), kiln_release(y);
}

/* ---- the same bits ---------------------------------------------------------------------------------------- */

static const char *const program = "#include <stdio.h>\n#include \"step.h\"\n"
                                   "static _Alignas(64) unsigned char work[STEP_WORKSPACE_BYTES], state[STEP_STATE_BYTES];\n"
                                   "static float x[IMAGES * 3 * SIZE * SIZE];\nstatic long long y[IMAGES];\n"
                                   "int main(int argc, char **argv)\n{\n"
                                   "    FILE *f = argc > 1 ? fopen(argv[1], \"rb\") : 0;\n"
                                   "    if (!f || fread(x, sizeof x, 1, f) != 1 || fread(y, sizeof y, 1, f) != 1) return 2;\n"
                                   "    step_init(state);\n"
                                   "    for (int i = 0; i < STEPS; i++) {\n        float out[2];\n"
                                   "        if (step(state, x, (void *)y, out, out + 1, work)) return 3;\n"
                                   "        fwrite(out, sizeof out, 1, stdout);\n    }\n    return 0;\n}\n";

static void ahead_of_time(kiln_tensor *x, kiln_tensor *y, float (*got)[2])
{
    put("main.c", program, strlen(program));
    put("data", kiln_data(x), kiln_bytes(x)), put("data", kiln_data(y), kiln_bytes(y));
    char sizes[96];
    snprintf(sizes, sizeof sizes, "-DIMAGES=%d -DSIZE=%d -DSTEPS=%d", IMAGES, image, SAME);
    program_gives(sizes, "step.o", "data", got, SAME * sizeof *got);
}

/* After so many steps: losses, and every variable. */
static void a_step_has_the_same_bits_in_all_modes(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    static Net net[2];
    float got[3][SAME][2];
    kiln_tensor *x, *y, *out[2];
    image = 32; /* a tape of the whole net holds gigabytes at 64 */
    draw(k, &x, &y);
    for (int mode = 0; mode < 2; mode++) {
        kiln_function *f = training(k, &net[mode]);
        if (mode == 1) assert_true(kiln_aot(f, path_of("step"), NULL)); /* before the first step: its state has the first values */
        kiln_eager(k, mode == 0);
        for (int i = 0; i < SAME; i++) {
            KILN_SCOPE(k);
            assert_true(kiln_call_all(f, KILN_IN(x, y), out, 2));
            for (int j = 0; j < 2; j++) got[mode][i][j] = (float)kiln_item(out[j]);
        }
        kiln_eager(k, false);
        assert_ok(k);
        kiln_function_free(f);
    }
    assert_memory_equal(got[0], got[1], sizeof got[0]);
    for (int i = 0; i < net[0].variables; i++) {
        kiln_tensor *a = kiln_value(net[0].v[i]), *b = kiln_value(net[1].v[i]);
        if (memcmp(kiln_data(a), kiln_data(b), kiln_bytes(a)) != 0) fail_msg("%s differs", kiln_variable_name(net[0].v[i]));
    }
    ahead_of_time(x, y, got[2]);
    assert_memory_equal(got[1], got[2], sizeof got[1]);
    for (int mode = 0; mode < 2; mode++) kiln_onnx_free(net[mode].m);
    kiln_release(x), kiln_release(y);
}

int main(void)
{
    const struct CMUnitTest tests[] = {WAIT_TEST(it_learns_by_heart), WAIT_TEST(a_step_has_the_same_bits_in_all_modes)};
    return cmocka_run_group_tests(tests, aot_set_up, aot_tear_down);
}
