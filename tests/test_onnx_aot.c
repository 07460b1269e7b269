/* test_onnx_aot: an ONNX model ahead of time: sizes that are symbols, inputs that are fixed, weights in a file. That objects have
 * the bits of compiled code for each operator: tests/conformance/test_onnx.c. */
#include "aot_test.h"

#include <kiln/aot.h>
#include <kiln/onnx.h>

#include "onnx_bytes.h"

/* y = reshape(x w + b, s): x [N, 3], w [3, 2] of ones, b [2], s an input. */
static kiln_onnx *reshaping(kiln *k)
{
    static const float ones[6] = {1, 1, 1, 1, 1, 1}, shift[2] = {-1, -20};
    Message w = {.n = 0}, b = {.n = 0}, g = {.n = 0}, in = value_of("x"), s = {.n = 0}, out = value_of("y");
    const Message product = node_of("MatMul", "x", "w", "t"), sum = node_of("Add", "t", "b", "u"),
                  reshape = node_of("Reshape", "u", "s", "y");
    integer(&w, 1, 3), integer(&w, 1, 2), integer(&w, 2, 1), text(&w, 8, "w"), bytes(&w, 9, ones, sizeof ones);
    integer(&b, 1, 2), integer(&b, 2, 1), text(&b, 8, "b"), bytes(&b, 4, shift, sizeof shift);
    text(&s, 1, "s");
    message(&g, 1, &product), message(&g, 1, &sum), message(&g, 1, &reshape);
    message(&g, 5, &w), message(&g, 5, &b), message(&g, 11, &in), message(&g, 11, &s), message(&g, 12, &out);
    const Message m = model_of(&g, 17);
    return kiln_onnx_load_memory(k, m.at, m.n);
}

static void what_goes_in_is_told(void **state)
{
    kiln *k = *state;
    kiln_onnx *m = reshaping(k);
    kiln_onnx_value in[3], out[1];
    assert_int_equal(kiln_onnx_inputs(m, in, 3), 2);
    assert_int_equal(kiln_onnx_outputs(m, out, 1), 1);
    assert_string_equal(in[0].name, "x");
    assert_true(in[0].dtype == KILN_F32 && in[0].rank == 2 && in[0].size[0] == -1 && in[0].size[1] == 3 && !in[0].fixed);
    assert_string_equal(in[0].size_name[0], "N");
    assert_true(in[1].fixed && in[1].rank == -1 && in[1].dtype == KILN_NONE);
    assert_string_equal(out[0].name, "y");
    kiln_onnx_free(m);
}

static void what_is_missing_is_named(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_onnx *m = reshaping(k);
    kiln_onnx_fixed s = {"s", kiln_i64(k, KILN_SHAPE(2), 2, -1)}, other = {"z", s.value};
    kiln_onnx_size n = {"N", 1, 8}, none = {"M", 1, 8};
    assert_null(kiln_onnx_declared(m, NULL));
    assert_error(k, KILN_EVALUE, "sizes follow from the numbers of an input, which must be fixed: s");
    assert_null(kiln_onnx_declared(m, &(kiln_onnx_declaration){.fixed = &s, .fixed_count = 1}));
    assert_error(k, KILN_EVALUE, "sizes that the model leaves open: N");
    assert_null(kiln_onnx_declared(m, &(kiln_onnx_declaration){.fixed = &other, .fixed_count = 1}));
    assert_error(k, KILN_EVALUE, "there is no input to fix that is called z");
    assert_null(kiln_onnx_declared(m, &(kiln_onnx_declaration){.fixed = (kiln_onnx_fixed[]){s, s}, .fixed_count = 2}));
    assert_error(k, KILN_EVALUE, "there are two values for input s");
    assert_null(kiln_onnx_declared(
        m, &(kiln_onnx_declaration){.fixed = &s, .fixed_count = 1, .sizes = (kiln_onnx_size[]){n, none}, .sizes_count = 2}));
    assert_error(k, KILN_EVALUE, "no input leaves a size open that is called M");
    kiln_onnx_free(m);
}

static kiln_function *two_rows(kiln *k, kiln_onnx *m)
{
    const kiln_onnx_fixed s = {"s", kiln_i64(k, KILN_SHAPE(2), 2, -1)};
    const kiln_onnx_size n = {"N", 1, 8};
    return kiln_onnx_declared(m, &(kiln_onnx_declaration){.fixed = &s, .fixed_count = 1, .sizes = &n, .sizes_count = 1});
}

static void a_fixed_input_has_one_value(void **state)
{
    kiln *k = *state;
    kiln_onnx *m = reshaping(k);
    KILN_SCOPE(k);
    kiln_function *f = two_rows(k, m);
    assert_ok(k);
    for (int eager = 0; eager < 2; eager++) {
        kiln_eager(k, eager);
        kiln_tensor *y = kiln_call(f, kiln_full(k, KILN_F32, KILN_SHAPE(4, 3), 2), kiln_i64(k, KILN_SHAPE(2), 2, -1));
        assert_ok(k);
        assert_true(kiln_rank(y) == 2 && kiln_dim(y, 0) == 2 && kiln_dim(y, 1) == 4);
        kiln_call(f, kiln_full(k, KILN_F32, KILN_SHAPE(4, 3), 2), kiln_i64(k, KILN_SHAPE(2), 4, -1));
        assert_true(kiln_error(k)->file && !strcmp(kiln_error(k)->file, __FILE__) && kiln_error(k)->line == __LINE__ - 1);
        assert_error(k, KILN_EVALUE, "an input that is fixed has another value");
    }
    kiln_eager(k, false);
    kiln_onnx_free(m);
}

static const char *const program =
    "#include <stdio.h>\n#include <stdlib.h>\n#include \"net.h\"\n"
    "int main(int argc, char **argv)\n{\n"
    "    static _Alignas(64) unsigned char state[NET_STATE_BYTES], work[NET_WORKSPACE_BYTES];\n"
    "    static float x[24], y[16];\n    int64_t s[2] = {2, -1}, size[3];\n"
    "#ifdef NET_WEIGHTS_BYTES\n"
    "    static _Alignas(64) unsigned char w[NET_WEIGHTS_BYTES];\n    FILE *f = argc > 1 ? fopen(argv[1], \"rb\") : NULL;\n"
    "    if (!f || fread(w, 1, sizeof w, f) != sizeof w || fgetc(f) != EOF) return 2;\n"
    "#define W w,\n#else\n#define W\n    (void)argc;\n    (void)argv;\n#endif\n"
    "    net_init(state);\n"
    "    for (int n = 1; n <= 8; n++) {\n"
    "        for (int i = 0; i < 3 * n; i++) x[i] = (float)(i + n);\n"
    "        if (net_needs(n, size) || size[1] != 2 || size[2] != n) return 3;\n"
    "        if (net(state, W x, s, n, y, work) != NET_OK) return 4;\n"
    "        for (int i = 0; i < n; i++) {\n            const float sum = x[3 * i] + x[3 * i + 1] + x[3 * i + 2];\n"
    "            if (y[2 * i] != sum - 1 || y[2 * i + 1] != sum - 20) return 5;\n        }\n    }\n"
    "    if (net(state, W x, s, 9, y, work) != NET_ESHAPE) return 6;\n"
    "    s[1] = 1;\n    if (net(state, W x, s, 2, y, work) != NET_EVALUE) return 7;\n"
    "    return 0;\n}\n";

/* Any size within the bounds, nothing but the fixed value; weights in the object, and in a file. */
static void objects_serve_any_size(void **state)
{
    kiln *k = *state;
    kiln_onnx *m = reshaping(k);
    KILN_SCOPE(k);
    kiln_function *f = two_rows(k, m);
    FILE *c = fopen(path_of("main.c"), "w");
    assert_non_null(c);
    fputs(program, c);
    fclose(c);
    for (int file = 0; file < 2; file++) {
        assert_true(
            kiln_aot(f, path_of("net"), &(kiln_aot_options){.weights_file = file, .about = "in0 is x\nin1 is s */ [2, -1]"}));
        assert_ok(k);
        run("cc -std=c11 -Wall -Wextra -Werror -O1 -o %s/main %s/main.c %s/net.o -lm", dir, dir, dir);
        run("%s/main %s/net.weights", dir, dir);
        run("grep -q '^ [*] in1 is s ?/ .2, -1.$' %s/net.h", dir);
        run("test %d = $(ls %s | grep -c weights)", file, dir);
    }
    kiln_onnx_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {WAIT_TEST(what_goes_in_is_told), WAIT_TEST(what_is_missing_is_named),
        WAIT_TEST(a_fixed_input_has_one_value), WAIT_TEST(objects_serve_any_size)};
    return cmocka_run_group_tests(tests, aot_set_up, aot_tear_down);
}
