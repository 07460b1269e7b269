/* test_onnx_fold: batch normalisations and other constants that go into weights under kiln_onnx_fast (frontend/onnx/fold.c): which do,
 * how far the results are from the exact ones, that all ways of running have the same bits, and what stays as it is. */
#include "aot_test.h"

#include <kiln/aot.h>
#include <math.h>

#include "onnx_load.h"

static kiln *k;

/* ---- models: x -> t by a convolution or a product, then by what follows ------------------------------------------------------ */

static unsigned drawn;

static float draw(void) { return (float)((drawn = drawn * 1103515245u + 12345u) >> 8 & 0xffff) / 65536.f - 0.5f; }

/* An initialiser of drawn numbers about `middle`; sizes end in 0. */
static void weight(Message *g, const char *name, float middle, const int *size)
{
    float v[1024];
    int n = 1;
    Message w = {.n = 0};
    for (; *size; n *= *size++) integer(&w, 1, *size);
    for (int i = 0; i < n; i++) v[i] = middle + draw();
    integer(&w, 2, 1), text(&w, 8, name), bytes(&w, 9, v, (size_t)n * sizeof *v);
    message(g, 5, &w);
}
#define WEIGHT(g, name, middle, ...) weight((g), (name), (middle), (const int[]){__VA_ARGS__, 0})

/* Four numbers for each channel: scale, shift, mean and variance. */
static void statistics(Message *g, int channels)
{
    WEIGHT(g, "scale", 1, channels), WEIGHT(g, "shift", 0, channels);
    WEIGHT(g, "mean", 0, channels), WEIGHT(g, "variance", 1, channels);
}

#define NORM(in, out) node("BatchNormalization", in " scale shift mean variance", out)
#define NODES(g, ...)                                                                                                   \
    for (size_t node_i = 0; node_i < sizeof((const Message[]){__VA_ARGS__}) / sizeof(Message); node_i++)                \
    message(&(g), 1, &((const Message[]){__VA_ARGS__})[node_i])

static Message conv(void)
{
    Message g = {.n = 0};
    NODES(g, node("Conv", "x w", "a"), NORM("a", "b"), node("Mul", "b m", "c"), node("Add", "p c", "d"), node("Relu", "d", "y"));
    WEIGHT(&g, "w", 0, 6, 4, 3, 3), WEIGHT(&g, "m", 1, 6, 1, 1), WEIGHT(&g, "p", 0, 1, 6, 1, 1);
    return statistics(&g, 6), g;
}

static Message grouped(void)
{
    Message g = {.n = 0};
    NODES(g, with_integer(node("Conv", "x w v", "a"), "group", 2), NORM("a", "y"));
    WEIGHT(&g, "w", 0, 6, 2, 3, 3), WEIGHT(&g, "v", 0, 6);
    return statistics(&g, 6), g;
}

static Message transposed(void)
{
    Message g = {.n = 0};
    NODES(g, with_integer(node("ConvTranspose", "x w v", "a"), "group", 2), NORM("a", "y"));
    WEIGHT(&g, "w", 0, 4, 3, 3, 3), WEIGHT(&g, "v", 0, 6);
    return statistics(&g, 6), g;
}

/* Numbers of which another node makes numbers of channels. */
static Message unsqueezed(void)
{
    Message g = {.n = 0}, axes = {.n = 0};
    const int64_t at[2] = {1, 2};
    NODES(g, node("Conv", "x w v", "a"), node("Unsqueeze", "m axes", "m3"), node("Mul", "a m3", "y"));
    integer(&axes, 1, 2), integer(&axes, 2, 7), text(&axes, 8, "axes"), bytes(&axes, 9, at, sizeof at);
    message(&g, 5, &axes);
    WEIGHT(&g, "w", 0, 6, 4, 1, 1), WEIGHT(&g, "v", 0, 6), WEIGHT(&g, "m", 1, 6);
    return g;
}

static Message flat(Message first)
{
    Message g = {.n = 0};
    NODES(g, node("Flatten", "x", "f"), first, NORM("a", "y"));
    return statistics(&g, 6), g;
}
static Message gemm(void)
{
    Message g = flat(node("Gemm", "f w v", "a"));
    WEIGHT(&g, "w", 0, 100, 6), WEIGHT(&g, "v", 0, 1, 6);
    return g;
}
static Message gemm_turned(void)
{
    Message g = flat(with_integer(node("Gemm", "f w", "a"), "transB", 1));
    WEIGHT(&g, "w", 0, 6, 100);
    return g;
}

/* ---- that stay as they are --------------------------------------------------------------------------------------------------- */

static Message after(Message second, Message third)
{
    Message g = {.n = 0};
    NODES(g, node("Conv", "x w", "a"), second, third);
    WEIGHT(&g, "w", 0, 5, 4, 1, 1);
    return statistics(&g, 5), g;
}
static Message read_twice(void) { return after(NORM("a", "b"), node("Add", "a b", "y")); }
static Message training(void) { return after(with_integer(NORM("a", "b"), "training_mode", 1), node("Relu", "b", "y")); }
static Message scaled_by_columns(void)
{
    Message g = after(node("Mul", "a columns", "b"), node("Relu", "b", "y"));
    WEIGHT(&g, "columns", 1, 5);
    return g;
}
static Message scaled_by_itself(void) { return after(node("Mul", "a a", "b"), node("Relu", "b", "y")); }
static Message infinite(void)
{
    Message g = after(with_integer(NORM("a", "b"), "training_mode", 0), node("Mul", "b huge", "y"));
    WEIGHT(&g, "huge", 3e38f, 1);
    return g;
}

static const struct {
    const char *name;
    Message (*graph)(void);
    enum { STAYS, FOLDS, SHRINKS } how; /* shrinks: fewer operations are traced, too */
} rows[] = {{"conv", conv, SHRINKS}, {"grouped", grouped, SHRINKS}, {"transposed", transposed, SHRINKS}, {"unsqueezed", unsqueezed, FOLDS},
    {"gemm", gemm, SHRINKS}, {"gemm_turned", gemm_turned, SHRINKS}, {"read_twice", read_twice, STAYS}, {"training", training, STAYS},
    {"scaled_by_columns", scaled_by_columns, STAYS}, {"scaled_by_itself", scaled_by_itself, STAYS}, {"infinite", infinite, STAYS}};

static kiln_onnx *model(size_t i, bool fast)
{
    drawn = (unsigned)i + 1;
    Message g = rows[i].graph();
    Message in = {.n = 0}, out = {.n = 0};
    text(&in, 1, "x"), text(&out, 1, "y");
    message(&g, 11, &in), message(&g, 12, &out);
    const Message m = model_of(&g, 17);
    kiln_onnx *x = kiln_onnx_load_memory(k, m.at, m.n);
    assert_non_null(x);
    if (fast) assert_true(kiln_onnx_fast(x));
    return x;
}

static kiln_tensor *image(void) { return kiln_reshape(kiln_sin(kiln_iota(k, KILN_F32, KILN_SHAPE(100), 0)), KILN_SHAPE(1, 4, 5, 5)); }

static int elements(const char *row, kiln_tensor *x, float *to)
{
    if (kiln_failed(k)) fail_msg("%s: %s", row, kiln_error(k)->text);
    const int n = (int)kiln_elements(x);
    assert_true(n <= 1024 && kiln_read(x, to, (size_t)n * sizeof *to));
    return n;
}

static void what_is_folded(void **state)
{
    k = *state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        KILN_SCOPE(k);
        kiln_onnx *exact = model(i, false), *fast = model(i, true);
        float want[1024], got[1024], again[1024];
        const int n = elements(rows[i].name, call(exact, KILN_IN(image())), want);
        double off = 0;
        BOTH(eager) for (int twice = 0; twice < 2; twice++)
        {
            assert_int_equal(elements(rows[i].name, call(fast, KILN_IN(image())), eager || twice ? again : got), n);
            if ((eager || twice) && memcmp(got, again, (size_t)n * sizeof *got) != 0) fail_msg("%s: other bits, eager %d", rows[i].name, eager);
        }
        kiln_eager(k, false);
        for (int j = 0; j < n; j++) off = fmax(off, fabs((double)got[j] - want[j]));
        const bool same = memcmp(got, want, (size_t)n * sizeof *got) == 0;
        if (rows[i].how == STAYS ? !same : same || !(off < 1e-5)) fail_msg("%s: %g off", rows[i].name, off);
        kiln_function_statistics a, b;
        kiln_function_stats(kiln_onnx_function(exact), &a);
        kiln_function_stats(kiln_onnx_function(fast), &b);
        if (rows[i].how == SHRINKS ? b.ops >= a.ops : b.ops != a.ops) fail_msg("%s: %u operations, %u without", rows[i].name, b.ops, a.ops);
        kiln_onnx_free(exact);
        kiln_onnx_free(fast);
    }
}

/* Weights that are trained must not change their meaning. */
static void variables_stay(void **state)
{
    k = *state;
    KILN_SCOPE(k);
    kiln_onnx *exact = model(0, false), *fast = model(0, true);
    float want[1024], got[1024];
    assert_int_equal(kiln_onnx_variables(fast, NULL, 0), 7);
    const int n = elements("variables", call(exact, KILN_IN(image())), want);
    assert_int_equal(elements("variables", call(fast, KILN_IN(image())), got), n);
    assert_memory_equal(got, want, (size_t)n * sizeof *got);
    assert_false(kiln_onnx_fast(exact));
    assert_error(k, KILN_ESTATE, "the model has a function already");
    kiln_onnx_free(exact);
    kiln_onnx_free(fast);
}

static const char *const program =
    "#include <stdio.h>\n#include <stdlib.h>\n#include \"net.h\"\n"
    "int main(int argc, char **argv)\n{\n"
    "    static _Alignas(64) unsigned char state[NET_STATE_BYTES + 64], work[NET_WORKSPACE_BYTES + 64];\n"
    "    static float x[100], y[1024];\n    FILE *f = fopen(argv[1], \"rb\");\n    (void)argc;\n"
    "    if (!f || fread(x, 1, sizeof x, f) != sizeof x) return 2;\n"
    "    net_init(state);\n    if (net(state, x, y, work) != NET_OK) return 3;\n"
    "    return fwrite(y, 1, atoi(argv[2]), stdout) == (size_t)atoi(argv[2]) ? 0 : 4;\n}\n";

static long size_of(const char *name)
{
    FILE *f = fopen(path_of(name), "rb");
    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    const long n = ftell(f);
    fclose(f);
    return n;
}

/* Whether its code is to be fast or little. */
static void an_object_has_the_same_bits(void **state)
{
    k = *state;
    KILN_SCOPE(k);
    kiln_onnx *fast = model(0, true);
    float x[1024], want[1024], got[1024];
    char arguments[32];
    long bytes[2];
    elements("object", image(), x);
    const size_t n = (size_t)elements("object", call(fast, KILN_IN(image())), want) * sizeof *want;
    put("main.c", program, strlen(program));
    put("x", x, 400);
    snprintf(arguments, sizeof arguments, "x %zu", n);
    for (int small = 0; small < 2; small++) {
        assert_true(kiln_aot(kiln_onnx_function(fast), path_of("net"), &(kiln_aot_options){.small = small}));
        program_gives("", "net.o", arguments, got, n);
        assert_memory_equal(got, want, n);
        bytes[small] = size_of("net.o");
    }
    if (bytes[1] >= bytes[0]) fail_msg("%ld bytes, %ld without .small", bytes[1], bytes[0]);
    kiln_onnx_free(fast);
}

int main(void)
{
    const struct CMUnitTest tests[] = {FRONT_TEST(what_is_folded), FRONT_TEST(variables_stay)},
                            objects[] = {FRONT_TEST(an_object_has_the_same_bits)};
    return cmocka_run_group_tests(tests, NULL, NULL) + cmocka_run_group_tests(objects, aot_set_up, aot_tear_down);
}
