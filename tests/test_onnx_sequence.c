/* test_onnx_sequence: sequences and optionals within an ONNX model, and its training domain. */
#include "onnx_load.h"

static Message number(const char *name, int64_t v) { return with_integer(node("Constant", "", name), "value_int", v); }

static void sequences(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    /* [x, x + x, y] without the first, its length, its last */
    kiln_onnx *m = LOAD("x y", "z n last", node("Add", "x x", "xx"), node("SequenceConstruct", "x y", "s"), number("one", 1),
        number("zero", 0), node("SequenceInsert", "s xx one", "t"), node("SequenceErase", "t zero", "u"), number("end", -1),
        with_integer(node("ConcatFromSequence", "u", "z"), "axis", 0), node("SequenceLength", "u", "n"),
        node("SequenceAt", "u end", "last"));
    kiln_tensor *y[3];
    BOTH(eager)
    {
        assert_true(kiln_onnx_call(m, KILN_IN(kiln_f32(k, KILN_SHAPE(1), 3), kiln_f32(k, KILN_SHAPE(2), 5, 6)), y, 3));
        EXACTLY(y[0], KILN_F32, KILN_SHAPE(3), 6, 5, 6);
        EXACTLY(y[1], KILN_I64, KILN_SHAPE(), 2);
        EXACTLY(y[2], KILN_F32, KILN_SHAPE(2), 5, 6);
    }
    kiln_eager(k, false);
    kiln_onnx_free(m);
}

/* x split, each part negated by SequenceMap, and put together by a loop that carries a sequence. */
static void loops_of_sequences(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    const Message negate = GRAPH("part", "minus", node("Neg", "part", "minus")),
                  body = GRAPH("i go t", "go2 u", node("Identity", "go", "go2"), node("SequenceAt", "s i", "at"),
                      node("SequenceInsert", "t at", "u"));
    kiln_onnx *m = LOAD("x", "z", with_integer(node("SplitToSequence", "x", "parts"), "axis", 0),
        with_graph(node("SequenceMap", "parts", "s"), "body", &negate), node("SequenceLength", "s", "n"),
        node("SequenceEmpty", "", "t0"), with_graph(node("Loop", "n _ t0", "all"), "body", &body),
        with_integer(node("ConcatFromSequence", "all", "z"), "axis", 0));
    BOTH(eager) EXACTLY(call(m, KILN_IN(kiln_f32(k, KILN_SHAPE(3), 1, 2, 3))), KILN_F32, KILN_SHAPE(3), -1, -2, -3);
    kiln_eager(k, false);
    kiln_onnx_free(m);
}

static void what_sequences_are_not(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_f32(k, KILN_SHAPE(1), 3);
    kiln_onnx *m = LOAD("x", "y", node("SequenceConstruct", "x x", "s"), node("Neg", "s", "y"));
    BOTH(eager) says(call(m, KILN_IN(x)), KILN_EVALUE, "Neg (ai.onnx 17): input 0 is a sequence, not a tensor");
    kiln_onnx_free(m);
    m = LOAD("x", "y", node("Add", "x", "y"));
    BOTH(eager) says(call(m, KILN_IN(x)), KILN_EUNSUPPORTED, "Add (ai.onnx 17): a missing input 1 is not supported");
    kiln_onnx_free(m);
    m = LOAD("x", "y", node("SequenceLength", "x", "y"));
    BOTH(eager) says(call(m, KILN_IN(x)), KILN_EVALUE, "SequenceLength (ai.onnx 17): input 0 is not a sequence");
    kiln_onnx_free(m);
    m = LOAD("x", "y", number("far", 2), node("SequenceConstruct", "x x", "s"), node("SequenceAt", "s far", "y"));
    BOTH(eager) says(call(m, KILN_IN(x)), KILN_EVALUE, "SequenceAt (ai.onnx 17): the position 2 is outside of the sequence");
    kiln_onnx_free(m);
    m = LOAD("x", "y", node("Optional", "", "o"), node("OptionalGetElement", "o", "y"));
    BOTH(eager) says(call(m, KILN_IN(x)), KILN_EVALUE, "OptionalGetElement (ai.onnx 17): the optional has no element");
    kiln_onnx_free(m);
    kiln_eager(k, false);
}

/* What is folded in a trace to a constant that an operator made itself lives as long as the trace. */
static void whether_there_is_nothing(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_onnx *m = LOAD("x", "y z", node("Optional", "", "o"), node("OptionalHasElement", "o", "y"), node("Not", "y", "z"));
    kiln_tensor *y[2];
    BOTH(eager)
    {
        assert_true(kiln_onnx_call(m, KILN_IN(kiln_f32(k, KILN_SHAPE(1), 3)), y, 2));
        EXACTLY(y[0], KILN_BOOL, KILN_SHAPE(), 0);
        EXACTLY(y[1], KILN_BOOL, KILN_SHAPE(), 1);
    }
    kiln_eager(k, false);
    kiln_onnx_free(m);
}

/* ---- training ------------------------------------------------------------------------------------------ */

static Message with_strings(Message n, const char *name, const char *values)
{
    Message a = attribute_of(name, 8);
    texts(&a, 9, values), message(&n, 5, &a);
    return n;
}

static Message with_string(Message n, const char *name, const char *value)
{
    Message a = attribute_of(name, 3);
    text(&a, 4, value), message(&n, 5, &a);
    return n;
}

static kiln_onnx *training(const char *in, const char *out, const Message *nodes, int n)
{
    Message g = graph_of(in, out, nodes, n), opset = {.n = 0}, m = model_of(&g, 17);
    text(&opset, 1, "ai.onnx.preview.training"), integer(&opset, 2, 1), message(&m, 8, &opset);
    return kiln_onnx_load_memory(k, m.at, m.n);
}

static Message in_training(Message n)
{
    text(&n, 7, "ai.onnx.preview.training");
    return n;
}

/* y = x x z; its gradient by x, and the gradient of that: 2 z. */
static void gradients_of_gradients(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    const Message first = with_string(with_strings(with_strings(node("Gradient", "x z", "dx"), "xs", "x"), "zs", "z"), "y", "y"),
                  second = with_string(with_strings(with_strings(node("Gradient", "x z", "ddx"), "xs", "x"), "zs", "z"), "y", "dx");
    const Message nodes[] = {node("Mul", "x x", "xx"), node("Mul", "xx z", "y"), in_training(first), in_training(second)};
    kiln_onnx *m = training("x z", "y dx ddx", nodes, 4);
    kiln_tensor *y[3];
    BOTH(eager)
    {
        assert_true(kiln_onnx_call(m, KILN_IN(kiln_f32(k, KILN_SHAPE(2), 3, 4), kiln_f32(k, KILN_SHAPE(2), 5, 6)), y, 3));
        EXACTLY(y[1], KILN_F32, KILN_SHAPE(2), 30, 48);
        EXACTLY(y[2], KILN_F32, KILN_SHAPE(2), 10, 12);
    }
    kiln_eager(k, false);
    kiln_onnx_free(m);
}

static void attributes_that_there_are_not(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_f32(k, KILN_SHAPE(1), 3);
    kiln_onnx *m =
        LOAD("x", "y", with_integer(node("Relu", "x", "t"), "slope", 1), with_integer(node("Softmax", "t", "y"), "axes", 1));
    says(call(m, KILN_IN(x)), KILN_EUNSUPPORTED,
        "attributes, or values of them, that Kiln does not have, or not in this version: Relu 17's attribute slope (node 0), "
        "Softmax 17's attribute axes (node 1)");
    kiln_onnx_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {ENGINE_TEST(sequences), ENGINE_TEST(loops_of_sequences), ENGINE_TEST(what_sequences_are_not),
        ENGINE_TEST(whether_there_is_nothing), ENGINE_TEST(gradients_of_gradients), ENGINE_TEST(attributes_that_there_are_not)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
