/* test_onnx_inspect: surveys of models: how many multiplications they make, and all nodes that Kiln does not run, at once. */
#include "values.h"

#include <kiln/onnx.h>
#include <stdlib.h>

#include "onnx_bytes.h"

static Message with_word(Message n, const char *name, const char *word)
{
    Message a = attribute_of(name, 3);
    text(&a, 4, word), message(&n, 5, &a);
    return n;
}

/* f32[N,size]; the field is that of a graph: an input, an output, a value between. */
static void stated(Message *graph, int field, const char *name, int64_t size)
{
    Message dim = {.n = 0}, rows = {.n = 0}, shape = {.n = 0}, array = {.n = 0}, type = {.n = 0}, v = {.n = 0};
    text(&rows, 2, "N"), integer(&dim, 1, size);
    message(&shape, 1, &rows), message(&shape, 1, &dim);
    integer(&array, 1, 1), message(&array, 2, &shape);
    message(&type, 1, &array);
    text(&v, 1, name), message(&v, 2, &type);
    message(graph, field, &v);
}

static Message weight_of(const char *name, int64_t rows, int64_t columns)
{
    static const uint8_t zeros[4096];
    Message t = {.n = 0};
    integer(&t, 1, rows), integer(&t, 1, columns), integer(&t, 2, 1), text(&t, 8, name);
    bytes(&t, 9, zeros, (size_t)(4 * rows * columns));
    return t;
}

static kiln_onnx *load(const Message *graph)
{
    const Message m = model_of(graph, 17);
    kiln_onnx *x = kiln_onnx_load_memory(k, m.at, m.n);
    if (!x) fail_msg("%s", kiln_error(k)->text);
    return x;
}

static char *inspected(kiln_onnx *m, bool json, const kiln_onnx_size *sizes, int n)
{
    char *said = NULL;
    size_t len;
    FILE *f = open_memstream(&said, &len);
    const bool ok = kiln_onnx_inspect(f, m, json, &(kiln_onnx_declaration){.sizes = sizes, .sizes_count = n});
    fclose(f);
    if (!ok) fail_msg("%s", kiln_error(k)->text);
    assert_false(kiln_failed(k));
    return said;
}

#define SAYS(said, what) \
    if (!strstr(said, what)) fail_msg("%s\nhas no %s", said, what)
#define SAYS_NOT(said, what) \
    if (strstr(said, what)) fail_msg("%s\nhas %s", said, what)

static void multiplications(void **state)
{
    (void)state;
    const Message w = weight_of("w", 3, 5), nodes[] = {node("MatMul", "x w", "t"), node("Relu", "t", "y")};
    Message g = {.n = 0};
    for (int i = 0; i < 2; i++) message(&g, 1, &nodes[i]);
    message(&g, 5, &w), stated(&g, 11, "x", 3), stated(&g, 12, "y", 5);
    kiln_onnx *m = load(&g);
    char *said = inspected(m, false, NULL, 0);
    SAYS(said, "\nmultiplies 15 by products and convolutions: MatMul 15\nsizes      N=1: not given\n");
    SAYS_NOT(said, "unsupported");
    free(said);
    said = inspected(m, true, &(kiln_onnx_size){"N", 8, 8}, 1);
    SAYS(said, "\"multiplies\": 120, \"multiplies_partly\": false, \"multiplies_by_operator\": {\"MatMul\": 120}");
    SAYS(said, "\"inputs\": [{\"name\": \"x\", \"dtype\": \"f32\", \"shape\": [\"N\", 3], \"fixed\": false}]");
    free(said);
    /* what was surveyed runs as it did */
    KILN_SCOPE(k);
    kiln_tensor *y;
    assert_true(kiln_onnx_call(m, KILN_IN(kiln_zeros(k, KILN_F32, KILN_SHAPE(2, 3))), &y, 1));
    assert_int_equal(kiln_dim(y, 1), 5);
    kiln_onnx_free(m);
}

static void all_at_once(void **state)
{
    (void)state;
    const Message w = weight_of("w", 3, 5),
                  nodes[] = {
                      node("Frob", "x", "a"),                                /* unknown, but what it gives is stated */
                      node("MatMul", "a w", "b"),                            /* so this is looked at */
                      node("Gone", "b", "c"),                                /* what this gives is not */
                      node("Relu", "c", "d"),                                /* so this is not */
                      with_word(node("Pad", "x p", "e"), "mode", "strange"), /* a value that the attribute has not */
                      with_integer(node("Relu", "x", "f"), "slope", 1),      /* an attribute that the operator has not */
                      node("MatMul", "x x", "y"),                            /* sizes that do not fit */
                  };
    Message g = {.n = 0}, pads = {.n = 0};
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++) message(&g, 1, &nodes[i]);
    const int64_t four[4] = {0, 0, 1, 1};
    integer(&pads, 1, 4), integer(&pads, 2, 7), text(&pads, 8, "p"), bytes(&pads, 9, four, sizeof four);
    message(&g, 5, &w), message(&g, 5, &pads);
    stated(&g, 11, "x", 3), stated(&g, 13, "a", 3), stated(&g, 12, "y", 5), stated(&g, 12, "d", 5);
    kiln_onnx *m = load(&g);
    char *said = inspected(m, false, &(kiln_onnx_size){"N", 2, 2}, 1);
    SAYS(said, "\nmultiplies 30 by");
    SAYS(said, "\n  0                                Frob 17                      Kiln does not have it, or not in this version\n");
    SAYS(said, "\n  2                                Gone 17 ");
    SAYS(said, "\n  4                                Pad 17                       mode strange: the attribute has no such value\n");
    SAYS(said, "\n  5                                Relu 17                      slope: the operator has no such attribute");
    SAYS(said, "\nfails with these sizes\n");
    SAYS(said, "\n  6                                MatMul 17                    inner sizes differ: f32[2,3] x f32[2,3]\n");
    SAYS_NOT(said, "\n  3 ");
    SAYS(said, "\nunseen     1 nodes");
    free(said);
    assert_null(kiln_onnx_function(m));
    SAYS(kiln_error(k)->text,
        "operators, or attributes of them, that Kiln does not have, or not in this version: Frob 17 (node 0), Gone 17 (node 2), "
        "Pad 17's mode 'strange' (node 4), Relu 17's attribute slope (node 5)");
    kiln_clear(k);
    kiln_onnx_free(m);
}

static void values_of_attributes(void **state)
{
    (void)state;
    const Message nodes[] = {with_word(node("BitShift", "x x", "t"), "direction", "UP"), node("Identity", "t", "y")};
    const Message g = graph_of("x", "y", nodes, 2);
    kiln_onnx *m = load(&g);
    assert_null(kiln_onnx_function(m));
    SAYS(kiln_error(k)->text,
        "attributes, or values of them, that Kiln does not have, or not in this version: BitShift 17's direction 'UP' (node 0)");
    kiln_clear(k);
    kiln_onnx_free(m);
}

/* Of each kind the first nodes, by name or number; what has no room is counted. */
static void more_than_a_text_has_room_for(void **state)
{
    (void)state;
    Message g = {.n = 0};
    char name[40], result[8];
    for (int i = 0; i < 30; i++) {
        snprintf(result, sizeof result, "a%d", i);
        Message n = node("Frob", "x", result);
        if (i % 2) snprintf(name, sizeof name, "frob_%d", i), text(&n, 3, name);
        message(&g, 1, &n);
    }
    stated(&g, 11, "x", 3), stated(&g, 12, "a0", 3);
    kiln_onnx *m = load(&g);
    assert_null(kiln_onnx_function(m));
    SAYS(kiln_error(k)->text, "version: Frob 17 (nodes 0, 'frob_1', 2, 'frob_3' and 26 more) (kiln inspect lists all)");
    kiln_clear(k);
    kiln_onnx_free(m);
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "AnOperatorWithALongName%02d", i);
        snprintf(result, sizeof result, "b%d", i);
        Message n = node(name, "x", result);
        text(&n, 7, "com.lib"), message(&g, 1, &n);
    }
    m = load(&g);
    assert_null(kiln_onnx_function(m));
    SAYS(kiln_error(k)->text, "and 26 more), com.lib.AnOperatorWithALongName00 1 (node 30), ");
    SAYS(kiln_error(k)->text, "com.lib.AnOperatorWithALongName05 1 (node 35), and 14 nodes more (kiln inspect lists all)");
    kiln_clear(k);
    kiln_onnx_free(m);
}

static void misuse(void **state)
{
    (void)state;
    const Message nodes[] = {node("Relu", "x", "y")}, g = graph_of("x", "y", nodes, 1);
    kiln_onnx *m = load(&g);
    KILN_SCOPE(k);
    const kiln_onnx_fixed none = {"z", kiln_zeros(k, KILN_F32, KILN_SHAPE(1))};
    assert_false(kiln_onnx_inspect(stdout, m, false, &(kiln_onnx_declaration){.fixed = &none, .fixed_count = 1}));
    SAYS(kiln_error(k)->text, "there is no input to fix that is called z");
    kiln_clear(k);
    assert_false(kiln_onnx_inspect(NULL, m, false, NULL));
    assert_false(kiln_onnx_inspect(stdout, NULL, false, NULL));
    char *said = inspected(m, false, NULL, 0); /* an input of no stated type is seen by nobody */
    SAYS(said, "\nunseen     1 nodes, which take what these would give, or an input that is not given\n");
    free(said);
    kiln_onnx_free(m);
}

/* A size whose name holds a byte 0 has none: what was left of it, nothing, was looked for in the text of what was assumed until
 * memory ended. */
static void a_size_that_nobody_can_name(void **state)
{
    (void)state;
    kiln_onnx *m = kiln_onnx_load(k, "tests/fuzz/corpus/onnx/nameless_size.onnx");
    assert_non_null(m);
    kiln_onnx_value in[8];
    const int n = kiln_onnx_inputs(m, in, 8);
    int open = 0;
    for (int i = 0; i < n && i < 8; i++)
        for (int j = 0; j < in[i].rank; j++) {
            open += in[i].size[j] < 0;
            assert_null(in[i].size_name[j]);
        }
    assert_true(open > 0);
    FILE *f = fopen("/dev/null", "w");
    kiln_onnx_inspect(f, m, false, NULL); /* an error, or not; its nodes are as odd */
    fclose(f);
    kiln_clear(k);
    kiln_onnx_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {ENGINE_TEST(multiplications), ENGINE_TEST(all_at_once), ENGINE_TEST(values_of_attributes),
        ENGINE_TEST(more_than_a_text_has_room_for), ENGINE_TEST(misuse),
        ENGINE_TEST(a_size_that_nobody_can_name)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
