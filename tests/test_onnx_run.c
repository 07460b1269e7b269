/* test_onnx_run: an ONNX model as a function: any size, gradients, several models, what is missing. What operators compute:
 * tests/conformance/test_onnx.c. */
#include "values.h"

#include <kiln/aot.h>
#include <kiln/onnx.h>
#include <stdio.h>
#include <stdlib.h>

#include "onnx_bytes.h"

/* y = relu(x w + b), with w [3, 2] of ones and b [2]. */
static kiln_onnx *small(const char *last, int64_t version)
{
    static const float ones[6] = {1, 1, 1, 1, 1, 1}, shift[2] = {-1, -20};
    Message w = {.n = 0}, b = {.n = 0}, g = {.n = 0}, in = value_of("x"), out = value_of("y");
    const Message product = node_of("MatMul", "x", "w", "t"), sum = node_of("Add", "t", "b", "u"),
                  relu = node_of(last, "u", NULL, "y");
    integer(&w, 1, 3), integer(&w, 1, 2), integer(&w, 2, 1), text(&w, 8, "w"), bytes(&w, 9, ones, sizeof ones);
    integer(&b, 1, 2), integer(&b, 2, 1), text(&b, 8, "b"), bytes(&b, 4, shift, sizeof shift);
    message(&g, 1, &product), message(&g, 1, &sum), message(&g, 1, &relu);
    message(&g, 5, &w), message(&g, 5, &b), message(&g, 11, &in), message(&g, 12, &out);
    const Message m = model_of(&g, version);
    return kiln_onnx_load_memory(k, m.at, m.n);
}

static void any_size(void **state)
{
    (void)state;
    kiln_onnx *m = small("Relu", 17);
    for (int eager = 0; eager < 2; eager++)
        for (int64_t n = 1; n < 9; n++) {
            KILN_SCOPE(k);
            kiln_eager(k, eager);
            kiln_tensor *y, *x = kiln_full(k, KILN_F32, KILN_SHAPE(n, 3), 2);
            assert_true(kiln_onnx_call(m, KILN_IN(x), &y, 1));
            EXACTLY(kiln_slice(y, 0, n - 1, n, 1), KILN_F32, KILN_SHAPE(1, 2), 5, 0);
            has_shape(y, KILN_F32, KILN_SHAPE(n, 2));
        }
    kiln_function_statistics s;
    kiln_function_stats(kiln_onnx_function(m), &s);
    assert_true(s.compiles < 6); /* sizes that keep changing became symbols */
    kiln_onnx_free(m);
}

static void gradients(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_onnx *m = small("Relu", 17);
    kiln_tensor *x = kiln_full(k, KILN_F32, KILN_SHAPE(2, 3), 2), *y;
    EXACTLY(kiln_call(kiln_grad(kiln_onnx_function(m)), x), KILN_F32, KILN_SHAPE(2, 3), 1, 1, 1, 1, 1, 1);
    KILN_TAPE(k, tape);
    kiln_watch(tape, x);
    assert_true(kiln_onnx_call(m, KILN_IN(x), &y, 1));
    EXACTLY(kiln_gradient(tape, y, x), KILN_F32, KILN_SHAPE(2, 3), 1, 1, 1, 1, 1, 1);
    /* The model is freed when the engine closes. */
}

static void what_is_missing_is_named(void **state)
{
    (void)state;
    kiln_tensor *y, *x = kiln_full(k, KILN_F32, KILN_SHAPE(2, 3), 2);
    kiln_onnx *m = small("Frobnicate", 17);
    FAILS((kiln_onnx_call(m, KILN_IN(x), &y, 1), y), KILN_EUNSUPPORTED,
        "onnx: a model in memory: operators that Kiln does not have, or not in this version: Frobnicate 17 (node 2)");
    FAILS((kiln_onnx_call(m, KILN_IN(x), &y, 1), y), KILN_EUNSUPPORTED,
        "onnx: a model in memory: operators that Kiln does not have, or not in this version: Frobnicate 17 (node 2)"); /* and again
                                                                                                                        */
    kiln_onnx_free(m);
    m = small("Mish", 17); /* came with 18 */
    FAILS((kiln_onnx_call(m, KILN_IN(x), &y, 1), y), KILN_EUNSUPPORTED,
        "onnx: a model in memory: operators that Kiln does not have, or not in this version: Mish 17 (node 2)");
    kiln_onnx_free(m);
    m = small("Relu", 29); /* nobody knows yet what that will mean */
    FAILS((kiln_onnx_call(m, KILN_IN(x), &y, 1), y), KILN_EUNSUPPORTED,
        "onnx: a model in memory: operators that Kiln does not have, or not in this version: MatMul 29 (node 0), Add 29 "
        "(node 1), Relu 29 (node 2)");
    kiln_onnx_free(m);
}

/* y = reshape(x, s): s is an input, and part of what is traced. */
static void inputs_that_sizes_follow_from(void **state)
{
    (void)state;
    Message g = {.n = 0}, in = value_of("x"), s = {.n = 0}, out = value_of("y");
    const Message reshape = node_of("Reshape", "x", "s", "y");
    text(&s, 1, "s");
    message(&g, 1, &reshape), message(&g, 11, &in), message(&g, 11, &s), message(&g, 12, &out);
    const Message bytes_of = model_of(&g, 17);
    kiln_onnx *m = kiln_onnx_load_memory(k, bytes_of.at, bytes_of.n);
    KILN_SCOPE(k);
    kiln_tensor *y, *x = kiln_full(k, KILN_F32, KILN_SHAPE(2, 3), 2);
    for (int eager = 0; eager < 2; eager++) {
        kiln_eager(k, eager);
        assert_true(kiln_onnx_call(m, KILN_IN(x, kiln_i64(k, KILN_SHAPE(2), 3, -1)), &y, 1));
        has_shape(y, KILN_F32, KILN_SHAPE(3, 2));
        assert_true(kiln_onnx_call(m, KILN_IN(x, kiln_i64(k, KILN_SHAPE(3), 1, 0, 2)), &y, 1));
        has_shape(y, KILN_F32, KILN_SHAPE(1, 3, 2));
        assert_false(kiln_onnx_call(m, KILN_IN(x, kiln_i64(k, KILN_SHAPE(1), 7)), &y, 1));
        FAILS(y, KILN_ESHAPE, "onnx: a model in memory: node 0, Reshape (ai.onnx 17): sizes differ, wanted [7]: f32[2,3]");
        assert_false(kiln_onnx_call(m, KILN_IN(x, kiln_i64(k, KILN_SHAPE(2), 3, -2)), &y, 1)); /* once taken for a symbol */
        assert_non_null(strstr(kiln_error(k)->text, "Reshape (ai.onnx 17): a size is -2"));
        kiln_clear(k);
    }
    kiln_eager(k, false);
    kiln_onnx_free(m);
}

/* The error is in a node, which its text names, and its place is the call: a line of Kiln's own would say nothing. */
static void is_at(int line, kiln_code code, const char *node)
{
    const kiln_failure *e = kiln_error(k);
    if (e->code != code || !strstr(e->text, node)) fail_msg("error %d: %s", e->code, e->text);
    assert_non_null(e->file);
    assert_string_equal(e->file, __FILE__);
    assert_int_equal(e->line, line);
    assert_non_null(strstr(e->text, "test_onnx_run.c:"));
    kiln_clear(k);
}

static int inner_line;
static void calls_the_model(kiln *engine, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)engine;
    inner_line = __LINE__ + 1;
    kiln_onnx_call(user, KILN_IN(in[0]), out, 1);
}

static void errors_are_at_the_call(void **state)
{
    (void)state;
    static const uint8_t broken[2] = {0x3a, 0x7f};
    KILN_SCOPE(k);
    kiln_onnx *m = small("Relu", 17);
    kiln_tensor *y, *x = kiln_full(k, KILN_F32, KILN_SHAPE(2, 4), 2);
    const kiln_onnx_size n = {"N", 1, 8};
    assert_null(kiln_onnx_load_memory(k, broken, sizeof broken));
    is_at(__LINE__ - 1, KILN_EFORMAT, "onnx: a model in memory: ");
    for (int eager = 0; eager < 2; eager++) {
        kiln_eager(k, eager);
        assert_false(kiln_onnx_call(m, KILN_IN(x), &y, 1));
        is_at(__LINE__ - 1, KILN_ESHAPE, "node 0, MatMul (ai.onnx 17): ");
        kiln_call(kiln_grad(kiln_onnx_function(m)), x);
        is_at(__LINE__ - 1, KILN_ESHAPE, "node 0, MatMul (ai.onnx 17): ");
        kiln_function *f = kiln_function_new(k, calls_the_model, m, NULL);
        kiln_call(f, x); /* the innermost call is the model's own */
        is_at(inner_line, KILN_ESHAPE, "node 0, MatMul (ai.onnx 17): ");
        kiln_function_free(f);
    }
    kiln_eager(k, false);
    assert_false(kiln_aot(kiln_onnx_function(m), "build/tests/none", NULL));
    is_at(__LINE__ - 1, KILN_ESHAPE, "node 0, MatMul (ai.onnx 17): ");
    kiln_onnx_free(m);
    m = small("Softmin", 17);
    assert_null(kiln_onnx_declared(m, &(kiln_onnx_declaration){.sizes = &n, .sizes_count = 1}));
    is_at(__LINE__ - 1, KILN_EUNSUPPORTED, "Softmin 17 (node 2)");
    kiln_onnx_free(m);
}

/* An attribute of another type than its operator has is no attribute that is absent. */
static void attributes_of_a_wrong_type(void **state)
{
    (void)state;
    Message g = {.n = 0}, in = value_of("x"), out = value_of("y"), a = {.n = 0}, n = node_of("Softmax", "x", NULL, "y");
    text(&a, 1, "axis"), text(&a, 4, "first"), integer(&a, 20, 3);
    message(&n, 5, &a), message(&g, 1, &n), message(&g, 11, &in), message(&g, 12, &out);
    const Message m = model_of(&g, 17);
    kiln_onnx *x = kiln_onnx_load_memory(k, m.at, m.n);
    kiln_tensor *y;
    for (int eager = 0; eager < 2; eager++) {
        kiln_eager(k, eager);
        assert_false(kiln_onnx_call(x, KILN_IN(kiln_full(k, KILN_F32, KILN_SHAPE(2, 3), 2)), &y, 1));
        assert_non_null(strstr(kiln_error(k)->text, "Softmax (ai.onnx 17): attribute axis has the type 3, not 2"));
        kiln_clear(k);
    }
    kiln_eager(k, false);
    kiln_onnx_free(x);
}

/* ---- nodes that are watched, and named --------------------------------------------------------------- */

typedef struct Watched {
    char text[400];
    double total;
} Watched;

static void see(const kiln_onnx_seen *seen, void *user)
{
    Watched *w = user;
    const size_t n = strlen(w->text);
    snprintf(w->text + n, sizeof w->text - n, "%d %s %s %s;", (int)seen->node, seen->op, seen->name, seen->output);
    w->total += kiln_item(kiln_sum(seen->x, KILN_ALL));
}

/* y = sum(-x), n = the number of axes of x. */
static kiln_onnx *totals(void)
{
    const Message less = node_of("Neg", "x", NULL, "a"), sum = node_of("ReduceSum", "a", NULL, "y"),
                  shape = node_of("Shape", "x", NULL, "n");
    Message g = {.n = 0}, named = sum;
    Message in = {.n = 0}, y = {.n = 0}, n = {.n = 0};
    text(&named, 3, "total"), text(&in, 1, "x"), text(&y, 1, "y"), text(&n, 1, "n");
    message(&g, 1, &less), message(&g, 1, &named), message(&g, 1, &shape), message(&g, 11, &in), message(&g, 12, &y),
        message(&g, 12, &n);
    const Message m = model_of(&g, 17);
    kiln_onnx *x = kiln_onnx_load_memory(k, m.at, m.n);
    assert_non_null(x);
    return x;
}

static void nodes_are_watched(void **state)
{
    (void)state;
    kiln_onnx *m = totals();
    kiln_tensor *x = kiln_f32(k, KILN_SHAPE(2), 3, -4), *y[2];
    Watched w = {.total = 0};
    kiln_onnx_watch(m, see, &w);
    assert_true(kiln_onnx_call(m, KILN_IN(x), y, 2)); /* compiled: nobody sees */
    assert_string_equal(w.text, "");
    kiln_eager(k, true);
    assert_true(kiln_onnx_call(m, KILN_IN(x), y, 2));
    assert_string_equal(w.text, "0 Neg  a;1 ReduceSum total y;2 Shape  n;");
    assert_true(w.total == 1 + 1 + 2);
    kiln_onnx_watch(m, NULL, NULL);
    assert_true(kiln_onnx_call(m, KILN_IN(x), y, 2));
    assert_true(w.total == 4);
    kiln_eager(k, false);
    kiln_onnx_free(m);
}

/* A report on a function names the model's nodes. */
static void reports_name_nodes(void **state)
{
    (void)state;
    kiln_onnx *m = totals();
    kiln_tensor *x = kiln_f32(k, KILN_SHAPE(4), 3e38, 3e38, -3e38, -3e38);
    char *report = NULL;
    size_t n;
    FILE *to = open_memstream(&report, &n);
    const kiln_verdict v = kiln_check(to, kiln_onnx_function(m), KILN_IN(x));
    fclose(to);
    assert_int_equal(v, KILN_CANNOT_TELL);
    if (!strstr(report, " = sum : f32[") || !strstr(report, "(ReduceSum 'total')")) fail_msg("%s", report);
    free(report);
    kiln_onnx_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {ENGINE_TEST(any_size), ENGINE_TEST(gradients), ENGINE_TEST(what_is_missing_is_named),
        ENGINE_TEST(inputs_that_sizes_follow_from), ENGINE_TEST(errors_are_at_the_call),
        ENGINE_TEST(attributes_of_a_wrong_type), ENGINE_TEST(nodes_are_watched),
        ENGINE_TEST(reports_name_nodes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
