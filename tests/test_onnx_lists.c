/* test_onnx_lists: ONNX models whose inputs and outputs are sequences and optionals: called, traced, declared. Files of such
 * values: test_onnx_files.c; each operator in all modes: conformance/test_onnx.c. */
#include "onnx_load.h"

static kiln_onnx *load_typed(const char *in, const char *out, const Message *nodes, int n)
{
    Message g = graph_of("", "", nodes, n);
    typed_values(&g, 11, in), typed_values(&g, 12, out);
    const Message m = model_of(&g, 17);
    kiln_onnx *x = kiln_onnx_load_memory(k, m.at, m.n);
    if (!x) print_error("%s\n", kiln_error(k)->text);
    assert_non_null(x);
    return x;
}

#define TYPED(in, out, ...) \
    load_typed(in, out, (const Message[]){__VA_ARGS__}, (int)(sizeof((const Message[]){__VA_ARGS__}) / sizeof(Message)))
#define LIST(...)                                                                                                            \
    (kiln_onnx_list)                                                                                                         \
    {                                                                                                                        \
        .at = (kiln_tensor *[]){__VA_ARGS__}, .count = (int)(sizeof((kiln_tensor *[]){__VA_ARGS__}) / sizeof(kiln_tensor *)) \
    }
#define NOTHING ((kiln_onnx_list){.count = KILN_ONNX_NONE})
#define ROOM(n) ((kiln_onnx_list){.at = (kiln_tensor *[n]){0}, .cap = n})

static void refused(bool ok, kiln_code code, const char *what)
{
    assert_false(ok);
    says(NULL, code, what);
}

static kiln_tensor *row(double a) { return kiln_f32(k, KILN_SHAPE(2), (float)a, (float)a + 1); }

/* s with x behind it, how many these are, and s itself. */
static kiln_onnx *longer(void)
{
    return TYPED(
        "s:S x:", "t:S n: u:S", node("SequenceInsert", "s x", "t"), node("SequenceLength", "t", "n"), node("Identity", "s", "u"));
}

static void lists_go_in_and_come_out(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_onnx *m = longer();
    BOTH(eager)
    {
        kiln_onnx_list out[3] = {ROOM(4), ROOM(1), ROOM(4)};
        assert_true(
            kiln_onnx_call_lists(m, ((kiln_onnx_list[]){LIST(row(1), kiln_f32(k, KILN_SHAPE(1), 7)), LIST(row(3))}), 2, out, 3));
        assert_true(out[0].count == 3 && out[1].count == 1 && out[2].count == 2);
        EXACTLY(out[0].at[0], KILN_F32, KILN_SHAPE(2), 1, 2);
        EXACTLY(out[0].at[1], KILN_F32, KILN_SHAPE(1), 7);
        EXACTLY(out[0].at[2], KILN_F32, KILN_SHAPE(2), 3, 4);
        EXACTLY(out[1].at[0], KILN_I64, KILN_SHAPE(), 3);
        EXACTLY(out[2].at[1], KILN_F32, KILN_SHAPE(1), 7);
        /* an empty one */
        assert_true(kiln_onnx_call_lists(m, ((kiln_onnx_list[]){{.count = 0}, LIST(row(5))}), 2, out, 3));
        assert_true(out[0].count == 1 && out[2].count == 0);
        EXACTLY(out[0].at[0], KILN_F32, KILN_SHAPE(2), 5, 6);
        EXACTLY(out[1].at[0], KILN_I64, KILN_SHAPE(), 1);
        /* and again the first length, whose numbers are not traced anew */
        assert_true(
            kiln_onnx_call_lists(m, ((kiln_onnx_list[]){LIST(row(1), kiln_f32(k, KILN_SHAPE(1), 8)), LIST(row(3))}), 2, out, 3));
        assert_true(out[0].count == 3 && out[2].count == 2);
        EXACTLY(out[2].at[1], KILN_F32, KILN_SHAPE(1), 8);
    }
    kiln_eager(k, false);
    kiln_onnx_free(m);
}

static void what_has_no_room_is_counted(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_onnx *m = longer();
    BOTH(eager)
    {
        kiln_onnx_list out[3] = {ROOM(2), {.cap = 0}, ROOM(1)};
        out[0].at[1] = NULL, out[2].cap = 0;
        assert_true(kiln_onnx_call_lists(m, ((kiln_onnx_list[]){LIST(row(1), row(2), row(3)), LIST(row(4))}), 2, out, 3));
        assert_true(out[0].count == 4 && out[1].count == 1 && out[2].count == 3);
        EXACTLY(out[0].at[1], KILN_F32, KILN_SHAPE(2), 2, 3);
        assert_null(out[2].at[0]);
        assert_true(kiln_onnx_call_lists(m, ((kiln_onnx_list[]){LIST(row(1)), LIST(row(4))}), 2, out, 1)); /* the first alone */
        assert_int_equal(out[0].count, 2);
    }
    kiln_eager(k, false);
    kiln_onnx_free(m);
}

static void optionals(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_onnx *m = TYPED("o: p:OS", "there: q:OS", node("OptionalHasElement", "p", "there"), node("Identity", "p", "q")), *t;
    kiln_onnx_list out[2] = {ROOM(1), ROOM(4)};
    BOTH(eager)
    {
        assert_true(kiln_onnx_call_lists(m, ((kiln_onnx_list[]){LIST(row(1)), NOTHING}), 2, out, 2));
        EXACTLY(out[0].at[0], KILN_BOOL, KILN_SHAPE(), 0);
        assert_int_equal(out[1].count, KILN_ONNX_NONE);
        assert_true(kiln_onnx_call_lists(m, ((kiln_onnx_list[]){LIST(row(1)), {.count = 0}}), 2, out, 2));
        EXACTLY(out[0].at[0], KILN_BOOL, KILN_SHAPE(), 1);
        assert_int_equal(out[1].count, 0);
        assert_true(kiln_onnx_call_lists(m, ((kiln_onnx_list[]){LIST(row(1)), LIST(row(2), row(6))}), 2, out, 2));
        assert_int_equal(out[1].count, 2);
        EXACTLY(out[1].at[1], KILN_F32, KILN_SHAPE(2), 6, 7);
    }
    kiln_onnx_free(m);
    t = TYPED("o:O", "y:", node("OptionalGetElement", "o", "x"), node("Neg", "x", "y"));
    BOTH(eager)
    {
        assert_true(kiln_onnx_call_lists(t, &LIST(row(1)), 1, out, 1));
        EXACTLY(out[0].at[0], KILN_F32, KILN_SHAPE(2), -1, -2);
        refused(kiln_onnx_call_lists(t, &NOTHING, 1, out, 1), KILN_EVALUE, "OptionalGetElement (ai.onnx 17): the optional has no element");
        assert_int_equal(out[0].count, 0);
    }
    kiln_eager(k, false);
    kiln_onnx_free(t);
}

/* How many parts there are follows from a size: one function, whose instances each have a number of their own. */
static void counts_that_follow_from_sizes(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_onnx *m = TYPED("x:", "s:S", with_integer(node("SplitToSequence", "x", "s"), "axis", 0));
    kiln_onnx_list out = ROOM(8);
    BOTH(eager)
    for (int round = 0; round < 3; round++)
        for (int n = 2; n < 6; n++) {
            kiln_tensor *x = kiln_arange(k, KILN_F32, 0, n, 1);
            assert_true(kiln_onnx_call_lists(m, &LIST(x), 1, &out, 1));
            assert_int_equal(out.count, n);
            EXACTLY(out.at[n - 1], KILN_F32, KILN_SHAPE(1), n - 1);
        }
    kiln_eager(k, false);
    kiln_onnx_free(m);
}

/* The shape of s's first tensor is that of what comes out. */
static void lists_from_which_sizes_follow(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    Message first = {.n = 0};
    first = with_integer(node("Constant", "", "first"), "value_int", 0);
    kiln_onnx *m = TYPED("s:S x:", "y:", first, node("SequenceAt", "s first", "shape"), node("Reshape", "x shape", "y"));
    kiln_onnx_list out = ROOM(1);
    kiln_tensor *x = kiln_arange(k, KILN_F32, 0, 4, 1);
    BOTH(eager)
    {
        assert_true(kiln_onnx_call_lists(m, ((kiln_onnx_list[]){LIST(kiln_i64(k, KILN_SHAPE(2), 2, 2)), LIST(x)}), 2, &out, 1));
        EXACTLY(out.at[0], KILN_F32, KILN_SHAPE(2, 2), 0, 1, 2, 3);
        assert_true(kiln_onnx_call_lists(m, ((kiln_onnx_list[]){LIST(kiln_i64(k, KILN_SHAPE(2), 4, 1)), LIST(x)}), 2, &out, 1));
        EXACTLY(out.at[0], KILN_F32, KILN_SHAPE(4, 1), 0, 1, 2, 3);
    }
    kiln_eager(k, false);
    kiln_onnx_free(m);
}

/* ---- in other functions ------------------------------------------------------------------------------- */

static void product_of_parts(kiln *k_, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k_;
    kiln_onnx_list parts = ROOM(4);
    if (kiln_onnx_call_lists(user, &LIST(in[0]), 1, &parts, 1) && parts.count == 3)
        out[0] = kiln_mul(kiln_mul(parts.at[0], parts.at[1]), parts.at[2]);
}

static void lists_within_a_trace_have_gradients(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_onnx *m = TYPED("x:", "s:S", node("Mul", "x x", "xx"), with_integer(node("SplitToSequence", "xx", "s"), "axis", 0));
    kiln_function *f = kiln_function_new(k, product_of_parts, m, &(kiln_function_options){.inputs_count = 1}), *g = kiln_grad(f);
    kiln_tensor *x = kiln_f32(k, KILN_SHAPE(3), 1, 2, 3);
    BOTH(eager)
    {
        EXACTLY(kiln_call(f, x), KILN_F32, KILN_SHAPE(1), 36);
        EXACTLY(kiln_call(g, x), KILN_F32, KILN_SHAPE(3), 72, 36, 24);
        KILN_TAPE(k, tape);
        kiln_watch(tape, x);
        kiln_onnx_list parts = ROOM(4);
        assert_true(kiln_onnx_call_lists(m, &LIST(x), 1, &parts, 1));
        kiln_tensor *y = kiln_add(kiln_mul(parts.at[0], 5), parts.at[2]);
        EXACTLY(kiln_gradient(tape, y, x), KILN_F32, KILN_SHAPE(3), 10, 0, 6);
    }
    kiln_eager(k, false);
    kiln_function_free(f);
    kiln_onnx_free(m);
}

/* ---- what is wrong ------------------------------------------------------------------------------------ */

static void lists_that_do_not_fit(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_onnx *m = TYPED("s:S x: o:O", "y:", node("Neg", "x", "y"));
    kiln_onnx_list one = LIST(row(1)), two = LIST(row(1), row(2)), none = NOTHING, huge = {.at = one.at, .count = 1 << 30},
                   nowhere = {.count = 1}, below = {.count = -2}, out = ROOM(1);
#define CALL(...) kiln_onnx_call_lists(m, ((kiln_onnx_list[]){__VA_ARGS__}), 3, &out, 1)
    assert_true(CALL(two, one, none));
    refused(CALL(none, one, one), KILN_EVALUE, "input 0, 's', is a sequence: no list of -1 tensors (KILN_ONNX_NONE)");
    refused(CALL(two, two, one), KILN_EVALUE, "input 1, 'x', is a tensor: no list of 2 tensors");
    refused(CALL(two, one, two), KILN_EVALUE, "input 2, 'o', is an optional: no list of 2 tensors");
    refused(CALL(below, one, one), KILN_EVALUE, "input 0, 's', is a sequence: no list of -2 tensors");
    refused(CALL(huge, one, one), KILN_EVALUE, "with input 0, 's', of 1073741824 tensors there are more than 4096");
    refused(CALL(nowhere, one, one), KILN_EVALUE, "input 0, 's', is a list of 1 tensors, but its array is NULL");
    refused(kiln_onnx_call_lists(m, &one, 1, &out, 1), KILN_EVALUE, "called with 1 inputs, but the model has 3");
    refused(kiln_onnx_call_lists(m, ((kiln_onnx_list[]){two, one, one}), 3, ((kiln_onnx_list[]){ROOM(1), ROOM(1)}), 2), KILN_EVALUE,
        "2 outputs asked for, of 1 that the model has");
    out.at = NULL;
    refused(CALL(two, one, one), KILN_EVALUE, "or a list of them has no array");
    kiln_tensor *y;
    refused(kiln_onnx_call(m, KILN_IN(row(1), row(1), row(1)), &y, 1), KILN_EUNSUPPORTED,
        "input 0, 's', is a sequence: kiln_onnx_call_lists calls the model");
    assert_null(kiln_onnx_function(m));
    says(NULL, KILN_EUNSUPPORTED, "kiln_onnx_declared makes a function of it");
    kiln_onnx_free(m);
}

static void values_of_other_kinds(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_onnx_list out = ROOM(1);
    kiln_onnx *m = TYPED("s:SS x:", "y:", node("Neg", "x", "y"));
    refused(kiln_onnx_call_lists(m, ((kiln_onnx_list[]){LIST(row(1)), LIST(row(1))}), 2, &out, 1), KILN_EUNSUPPORTED,
        "input 0, 's', is a value of another kind: Kiln has tensors, sequences of them, and optionals of either");
    kiln_onnx_free(m);
    m = TYPED("x:", "y:S", node("Neg", "x", "y"));
    BOTH(eager)
    refused(
        kiln_onnx_call_lists(m, &LIST(row(1)), 1, &out, 1), KILN_EVALUE, "output 0, 'y', is to be a sequence, but it is a tensor");
    kiln_onnx_free(m);
    m = TYPED("x:", "y:S", node("SequenceConstruct", "x", "s"), node("Optional", "", "y"));
    BOTH(eager)
    refused(kiln_onnx_call_lists(m, &LIST(row(1)), 1, &out, 1), KILN_EVALUE,
        "output 0, 'y', is to be a sequence, but it is an empty optional");
    kiln_eager(k, false);
    kiln_onnx_free(m);
    m = TYPED("x:", "y:S z:S", with_integer(node("SplitToSequence", "x", "y"), "axis", 0), node("Identity", "y", "z"));
    kiln_onnx_list many[2] = {{.cap = 0}, {.cap = 0}};
    refused(kiln_onnx_call_lists(m, &LIST(kiln_zeros(k, KILN_F32, KILN_SHAPE(3000))), 1, many, 2), KILN_EUNSUPPORTED,
        "output 1, 'z': its list makes all outputs more than 4096 tensors");
    kiln_onnx_free(m);
}

/* ---- declared ----------------------------------------------------------------------------------------- */

static void kinds_are_told(void **state)
{
    (void)state;
    kiln_onnx *m = TYPED("a:2 b:S1 c:O0 d:OS e:SO", "y:", node("Neg", "a", "y"));
    kiln_onnx_value in[5];
    assert_int_equal(kiln_onnx_inputs(m, in, 5), 5);
    assert_true(in[0].kind == KILN_ONNX_TENSOR && in[1].kind == KILN_ONNX_SEQUENCE && in[2].kind == KILN_ONNX_OPTIONAL);
    assert_true(in[3].kind == KILN_ONNX_OPTIONAL_SEQUENCE && in[4].kind == KILN_ONNX_OTHER);
    assert_true(in[1].rank == 1 && in[1].dtype == KILN_F32 && in[2].rank == 0 && in[3].rank == -1);
    kiln_onnx_free(m);
}

static void lists_that_are_declared(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_onnx *m = TYPED("s:S1 x:1", "t:S n:", node("SequenceInsert", "s x", "t"), node("SequenceLength", "t", "n"));
    const kiln_onnx_size sizes[] = {{"s", 2, 2}, {"s.0.0", 1, 8}, {"s.1.0", 3, 3}, {"x.0", 2, 2}};
    kiln_function *f = kiln_onnx_declared(m, &(kiln_onnx_declaration){.sizes = sizes, .sizes_count = 4});
    kiln_onnx_value v[5];
    kiln_tensor *y[4], *in[3] = {row(1), kiln_f32(k, KILN_SHAPE(3), 7, 8, 9), row(2)};
    assert_non_null(f);
    assert_int_equal(kiln_onnx_declared_inputs(m, f, v, 5), 3);
    assert_string_equal(v[0].name, "s.0");
    assert_string_equal(v[1].name, "s.1");
    assert_string_equal(v[2].name, "x");
    assert_int_equal(kiln_onnx_declared_outputs(m, f, v, 5), 4);
    assert_string_equal(v[2].name, "t.2");
    assert_string_equal(v[3].name, "n");
    assert_true(kiln_call_all_of_at(KILN_HERE, f, kiln_tensors(in, 3), y, 4));
    EXACTLY(y[1], KILN_F32, KILN_SHAPE(3), 7, 8, 9);
    EXACTLY(y[2], KILN_F32, KILN_SHAPE(2), 2, 3);
    EXACTLY(y[3], KILN_I64, KILN_SHAPE(), 3);
    assert_int_equal(kiln_onnx_declared_inputs(m, NULL, v, 5), -1);
    says(NULL, KILN_EVALUE, "the function is none that kiln_onnx_declared made of this model");
    kiln_onnx_free(m);
}

/* Tracing for the number of outputs makes the nodes' generators. */
static void declared_draws(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_onnx *m =
        TYPED("x:1", "s:S", node("RandomNormalLike", "x", "y"), with_integer(node("SplitToSequence", "y", "s"), "axis", 0));
    const kiln_onnx_fixed example = {"x", row(1)};
    kiln_function *f = kiln_onnx_declared(m, &(kiln_onnx_declaration){.examples = &example, .examples_count = 1});
    assert_non_null(f);
    assert_int_equal(kiln_onnx_declared_outputs(m, f, NULL, 0), 2);
    has_shape(kiln_call(f, row(1)), KILN_F32, KILN_SHAPE(1));
    kiln_onnx_free(m);
}

static void undeclared(kiln_onnx *m, const kiln_onnx_declaration *d, kiln_code code, const char *what)
{
    assert_null(kiln_onnx_declared(m, d));
    says(NULL, code, what);
}

static void what_of_lists_is_not_declared(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_onnx *m = TYPED("s:S o:O1", "t:S", node("Identity", "s", "t"));
    const kiln_onnx_size s = {"s", 1, 1}, o = {"o", KILN_ONNX_NONE, KILN_ONNX_NONE};
    const kiln_onnx_fixed example = {"s.0", row(1)}, other = {"s.1", row(1)};
#define SIZES(...) \
    .sizes = (kiln_onnx_size[]){__VA_ARGS__}, .sizes_count = sizeof((kiln_onnx_size[]){__VA_ARGS__}) / sizeof(kiln_onnx_size)
    undeclared(m, NULL, KILN_EVALUE, "the number of its tensors must be told, as a size of its name, of input s");
    undeclared(m, &(kiln_onnx_declaration){SIZES(s)}, KILN_EVALUE,
        "the number of its tensors must be told, as a size of its name, of input o");
    undeclared(m, &(kiln_onnx_declaration){SIZES({"s", 1, 2}, o)}, KILN_EVALUE, "there cannot be so many tensors in input s");
    undeclared(m, &(kiln_onnx_declaration){SIZES({"s", INT64_C(1) << 40, INT64_C(1) << 40}, o)}, KILN_EVALUE,
        "so many tensors in input s");
    undeclared(m, &(kiln_onnx_declaration){SIZES(s, {"o", 2, 2})}, KILN_EVALUE, "there cannot be so many tensors in input o");
    undeclared(
        m, &(kiln_onnx_declaration){SIZES(s, o)}, KILN_EUNSUPPORTED, "the model does not state a rank, of at most 8, of input s.0");
    undeclared(m, &(kiln_onnx_declaration){SIZES(s, o), .examples = &other, .examples_count = 1}, KILN_EVALUE,
        "there is no input to give an example of that is called s.1");
    undeclared(m, &(kiln_onnx_declaration){SIZES(s, o), .as_called = true}, KILN_EUNSUPPORTED,
        "how many tensors it has may follow from sizes, so these must be declared, of output t");
    kiln_function *f = kiln_onnx_declared(m, &(kiln_onnx_declaration){SIZES(s, o), .examples = &example, .examples_count = 1});
    EXACTLY(kiln_call(f, row(4)), KILN_F32, KILN_SHAPE(2), 4, 5);
    kiln_onnx_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {ENGINE_TEST(lists_go_in_and_come_out), ENGINE_TEST(what_has_no_room_is_counted),
        ENGINE_TEST(optionals), ENGINE_TEST(counts_that_follow_from_sizes), ENGINE_TEST(lists_from_which_sizes_follow),
        ENGINE_TEST(lists_within_a_trace_have_gradients), ENGINE_TEST(lists_that_do_not_fit), ENGINE_TEST(values_of_other_kinds),
        ENGINE_TEST(kinds_are_told), ENGINE_TEST(lists_that_are_declared), ENGINE_TEST(declared_draws),
        ENGINE_TEST(what_of_lists_is_not_declared)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
