/* test_onnx_control: graphs within nodes of an ONNX model: If, Loop, Scan. */
#include "onnx_load.h"

/* y = x w if c, else x + w: the condition is computed, x and w come from outside. */
static void branches(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    const Message then = GRAPH("", "p", node("Mul", "x w", "p")), otherwise = GRAPH("", "q", node("Add", "x w", "q"));
    kiln_onnx *m =
        LOAD("x w c", "y", with_graph(with_graph(node("If", "c", "y"), "then_branch", &then), "else_branch", &otherwise));
    kiln_tensor *x = kiln_f32(k, KILN_SHAPE(2), 3, 4), *w = kiln_f32(k, KILN_SHAPE(2), 10, 20), *y;
    BOTH(eager)
    {
        EXACTLY(call(m, KILN_IN(x, w, kiln_full(k, KILN_BOOL, KILN_SHAPE(), 1))), KILN_F32, KILN_SHAPE(2), 30, 80);
        EXACTLY(call(m, KILN_IN(x, w, kiln_full(k, KILN_BOOL, KILN_SHAPE(1), 0))), KILN_F32, KILN_SHAPE(2), 13, 24);
        KILN_TAPE(k, tape);
        kiln_watch(tape, x);
        y = call(m, KILN_IN(x, w, kiln_full(k, KILN_BOOL, KILN_SHAPE(), 1)));
        EXACTLY(kiln_gradient(tape, y, x), KILN_F32, KILN_SHAPE(2), 10, 20);
    }
    kiln_eager(k, false);
    kiln_onnx_free(m);
}

/* s = sum of i x for i below n: one loop of the graph serves all n. */
static void loops_that_count(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    const Message body = GRAPH("i go s", "go2 t", node("Identity", "go", "go2"), with_integer(node("Cast", "i", "f"), "to", 1),
        node("Mul", "f x", "ix"), node("Add", "s ix", "t"));
    kiln_onnx *m = LOAD("n x s0", "s", with_graph(node("Loop", "n _ s0", "s"), "body", &body));
    kiln_tensor *x = kiln_f32(k, KILN_SHAPE(2), 1, 10), *s = kiln_f32(k, KILN_SHAPE(2), 0, 5);
    BOTH(eager)
    {
        for (int64_t n = 0; n < 6; n++)
            EXACTLY(call(m, KILN_IN(kiln_i64(k, KILN_SHAPE(), n), x, s)), KILN_F32, KILN_SHAPE(2), (double)(n * (n - 1) / 2),
                (double)(5 * n * (n - 1) + 5));
    }
    kiln_eager(k, false);
    kiln_function_statistics stats;
    kiln_function_stats(kiln_onnx_function(m), &stats);
    assert_int_equal(stats.traces, 1);
    kiln_onnx_free(m);
}

/* x doubles until it is above most; what it was is stacked: as often as it turned, at most 8 times. */
static void loops_that_ask(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    const Message body = GRAPH("i go x", "more y was", node("Add", "x x", "y"), node("Identity", "x", "was"),
        node("Less", "y most", "less"), node("Squeeze", "less", "more"));
    kiln_onnx *m = LOAD("n x0 most", "x was", with_graph(node("Loop", "n _ x0", "x was"), "body", &body));
    kiln_tensor *x = kiln_f32(k, KILN_SHAPE(1), 1), *most = kiln_f32(k, KILN_SHAPE(1), 7), *y[2];
    BOTH(eager)
    {
        assert_true(kiln_onnx_call(m, KILN_IN(kiln_i64(k, KILN_SHAPE(), 8), x, most), y, 2));
        EXACTLY(y[0], KILN_F32, KILN_SHAPE(1), 8);
        EXACTLY(y[1], KILN_F32, KILN_SHAPE(3, 1), 1, 2, 4);
        assert_true(kiln_onnx_call(m, KILN_IN(kiln_i64(k, KILN_SHAPE(), 2), x, most), y, 2));
        EXACTLY(y[0], KILN_F32, KILN_SHAPE(1), 4);
        EXACTLY(y[1], KILN_F32, KILN_SHAPE(2, 1), 1, 2);
        assert_true(kiln_onnx_call(m, KILN_IN(kiln_i64(k, KILN_SHAPE(), 0), x, most), y, 2));
        EXACTLY(y[0], KILN_F32, KILN_SHAPE(1), 1);
        has_shape(y[1], KILN_F32, KILN_SHAPE(0, 1));
    }
    kiln_eager(k, false);
    kiln_onnx_free(m);
}

/* What is carried grows from turn to turn, so that its turns are written out. */
static void loops_that_grow(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    const Message body =
        GRAPH("i go x", "go2 y", node("Identity", "go", "go2"), with_integer(node("Concat", "x x", "y"), "axis", 0));
    kiln_onnx *m = LOAD(
        "x0", "x", with_integer(node("Constant", "", "n"), "value_int", 3), with_graph(node("Loop", "n _ x0", "x"), "body", &body));
    BOTH(eager) EXACTLY(call(m, KILN_IN(kiln_f32(k, KILN_SHAPE(1), 2))), KILN_F32, KILN_SHAPE(8), 2, 2, 2, 2, 2, 2, 2, 2);
    kiln_eager(k, false);
    kiln_onnx_free(m);
    m = LOAD("n x0", "x", with_graph(node("Loop", "n _ x0", "x"), "body", &body));
    kiln_tensor *n = kiln_i64(k, KILN_SHAPE(), 3), *x = kiln_f32(k, KILN_SHAPE(1), 2);
    says(call(m, KILN_IN(n, x)), KILN_EUNSUPPORTED,
        "Loop (ai.onnx 17): a value whose sizes change in a loop that turns as often as is computed is not supported");
    kiln_onnx_free(m);
}

/* Running sums of the columns of x from the last one on. */
static void scans(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    const Message body = GRAPH("s column", "t z", node("Add", "s column", "t"), node("Identity", "t", "z"));
    Message scan = with_integer(with_graph(node("Scan", "s0 x", "last y"), "body", &body), "num_scan_inputs", 1);
    scan = with_integers(with_integers(scan, "scan_input_axes", 1), "scan_input_directions", 1);
    kiln_onnx *m = LOAD("s0 x", "last y", scan);
    kiln_tensor *y[2];
    BOTH(eager)
    {
        assert_true(
            kiln_onnx_call(m, KILN_IN(kiln_f32(k, KILN_SHAPE(2), 100, 0), kiln_f32(k, KILN_SHAPE(2, 3), 1, 2, 3, 4, 5, 6)), y, 2));
        EXACTLY(y[0], KILN_F32, KILN_SHAPE(2), 106, 15);
        EXACTLY(y[1], KILN_F32, KILN_SHAPE(3, 2), 103, 6, 105, 11, 106, 15);
    }
    kiln_eager(k, false);
    kiln_onnx_free(m);
}

static void what_cannot_be(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_f32(k, KILN_SHAPE(1), 2);
    const Message body = GRAPH("i go x", "go2 y", node("Identity", "go", "go2"), node("Neg", "x", "y")),
                  few = GRAPH("i", "go", with_integer(node("Cast", "i", "go"), "to", 9)),
                  none = GRAPH("", "x0", node("Neg", "x0", "z"));
    kiln_onnx *m = LOAD("x0", "x", with_graph(node("Loop", "_ _ x0", "x"), "body", &body));
    BOTH(eager) says(call(m, KILN_IN(x)), KILN_EUNSUPPORTED, "Loop (ai.onnx 17): a loop without an end is not supported");
    kiln_onnx_free(m);
    m = LOAD("x0", "x", with_graph(node("Loop", "_ _ x0", "x"), "body", &few));
    says(call(m, KILN_IN(x)), KILN_EFORMAT, "Loop (ai.onnx 17): its graph has 1 inputs and 1 outputs for 1 values that are carried");
    kiln_onnx_free(m);
    m = LOAD("c x0", "x", with_graph(node("If", "c", "x"), "then_branch", &none));
    says(call(m, KILN_IN(kiln_full(k, KILN_BOOL, KILN_SHAPE(), 1), x)), KILN_EFORMAT, "If (ai.onnx 17): it has no graph 'else_branch'");
    kiln_onnx_free(m);
}

/* ---- attention ----------------------------------------------------------------------------------------- */

static Message of_preview(Message n)
{
    text(&n, 7, "ai.onnx.preview");
    return n;
}

static void attention_that_graphs_change(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    const Message twice = GRAPH("s", "t", node("Add", "s s", "t")), less = GRAPH("s", "t", node("ReduceMax", "s", "t")),
                  plain = of_preview(node("FlexAttention", "q k v", "y"));
    kiln_tensor *q = kiln_reshape(kiln_arange(k, KILN_F32, 0, 16, 1), KILN_SHAPE(1, 4, 2, 2)),
                *two = kiln_reshape(kiln_arange(k, KILN_F32, 0, 8, 1), KILN_SHAPE(1, 2, 2, 2));
    kiln_onnx *m = LOAD("q k v", "y z", plain, with_graph(of_preview(node("FlexAttention", "q k v", "z")), "prob_mod", &twice));
    kiln_tensor *y[2];
    BOTH(eager)
    {
        assert_true(kiln_onnx_call(m, KILN_IN(q, two, two), y, 2)); /* two heads of queries for each of keys */
        has_shape(y[0], KILN_F32, KILN_SHAPE(1, 4, 2, 2));
        EXACTLY(kiln_all(kiln_equal(kiln_mul(y[0], 2), y[1]), KILN_ALL), KILN_BOOL, KILN_SHAPE(), 1);
        kiln_tensor *one = kiln_gather(q, kiln_scalar(k, KILN_I64, 3), 1),
                    *scores =
                        kiln_matmul(one, kiln_transpose(kiln_gather(two, kiln_scalar(k, KILN_I64, 1), 1), KILN_AXES(0, 2, 1)));
        kiln_tensor *want =
            kiln_matmul(kiln_softmax(kiln_mul(scores, 0.70710678), 2), kiln_gather(two, kiln_scalar(k, KILN_I64, 1), 1));
        assert_true(
            kiln_item(kiln_sum(kiln_abs(kiln_sub(want, kiln_gather(y[0], kiln_scalar(k, KILN_I64, 3), 1))), KILN_ALL)) < 1e-5);
        says((kiln_onnx_call(m, KILN_IN(q, q, kiln_zeros(k, KILN_F32, KILN_SHAPE(2))), y, 2), y[0]), KILN_EUNSUPPORTED,
            "FlexAttention (ai.onnx.preview 1): other than four axes");
        says((kiln_onnx_call(m, KILN_IN(two, q, q), y, 2), y[0]), KILN_EUNSUPPORTED, "is no multiple of that of the keys");
    }
    kiln_onnx_free(m);
    m = LOAD("q k v", "y", with_graph(plain, "score_mod", &less));
    BOTH(eager) says(call(m, KILN_IN(q, q, q)), KILN_ESHAPE, "its graph score_mod changes the dtype or the sizes");
    kiln_eager(k, false);
    kiln_onnx_free(m);
}

/* A loop over constants alone is run while the model is traced: z, three times or never, is what it was. */
static void loops_of_constants(void **state)
{
    (void)state;
    const Message body = GRAPH("i go a", "go2 b", node("Identity", "go", "go2"), node("Identity", "a", "b"));
    for (int64_t turns = 0; turns < 4; turns += 3) {
        KILN_SCOPE(k);
        Message g = GRAPH("x", "y", with_integer(node("Constant", "", "n"), "value_int", turns), with_graph(node("Loop", "n _ z", "l"), "body", &body),
            node("Identity", "l", "y"));
        Message z = {.n = 0};
        const float value = 2.5f;
        integer(&z, 2, 1), text(&z, 8, "z"), bytes(&z, 9, &value, sizeof value), message(&g, 5, &z);
        const Message whole = model_of(&g, 17);
        kiln_onnx *m = kiln_onnx_load_memory(k, whole.at, whole.n);
        assert_non_null(m);
        BOTH(eager) EXACTLY(call(m, KILN_IN(kiln_f32(k, KILN_SHAPE(1), 2))), KILN_F32, KILN_SHAPE(), 2.5);
        kiln_eager(k, false);
        kiln_onnx_free(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {ENGINE_TEST(branches), ENGINE_TEST(loops_that_count), ENGINE_TEST(loops_that_ask),
        ENGINE_TEST(loops_that_grow), ENGINE_TEST(scans), ENGINE_TEST(loops_of_constants), ENGINE_TEST(what_cannot_be), ENGINE_TEST(attention_that_graphs_change)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
