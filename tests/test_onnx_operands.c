/* test_onnx_operands: operands as ONNX allows them and ONNX's own cases do not have them: integers where Kiln's functions take
 * floats, several dtypes in one node, indices that count from the end or are shorter than what they are for. */
#include "values.h"

#include <kiln/onnx.h>

#include "onnx_bytes.h"

static bool same(kiln_tensor *a, kiln_tensor *b)
{
    return kiln_dtype_of(a) == kiln_dtype_of(b) && kiln_item(kiln_all(kiln_equal(a, b), KILN_ALL)) != 0;
}

/* What a node gives of x and w (NULL: of x), eagerly and compiled. */
static kiln_tensor *given(Message node, int64_t version, kiln_tensor *x, kiln_tensor *w)
{
    const Message g = graph_of(w ? "x w" : "x", "y", &node, 1), model = model_of(&g, version);
    kiln_onnx *m = kiln_onnx_load_memory(k, model.at, model.n);
    kiln_tensor *y[2] = {NULL};
    for (int eager = 0; eager < 2; eager++) {
        kiln_eager(k, eager);
        if (!kiln_onnx_call(m, w ? KILN_IN(x, w) : KILN_IN(x), &y[eager], 1)) fail_msg("%s", kiln_error(k)->text);
    }
    kiln_eager(k, false);
    assert_true(same(y[0], y[1]));
    kiln_onnx_free(m);
    return y[0];
}

static kiln_tensor *of_two(const char *op, int64_t version, kiln_tensor *x, kiln_tensor *w)
{
    return given(node(op, "x w", "y"), version, x, w);
}

/* ---- indices ---- */

static void rows_of_indices_count_from_the_end(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_numbers(k, KILN_F32, KILN_SHAPE(2, 3), 0, 1, 2, 10, 11, 12);
    kiln_tensor *i = kiln_numbers(k, KILN_I64, KILN_SHAPE(3, 2), -1, 0, 0, -1, -2, -3);
    EXACTLY(of_two("GatherND", 13, x, i), KILN_F32, KILN_SHAPE(3), 10, 2, 0);
    i = kiln_numbers(k, KILN_I64, KILN_SHAPE(2, 1), -1, 1);
    EXACTLY(of_two("GatherND", 13, x, i), KILN_F32, KILN_SHAPE(2, 3), 10, 11, 12, 10, 11, 12);
    EXACTLY(given(with_integer(node("GatherND", "x w", "y"), "batch_dims", 1), 13, x, i), KILN_F32, KILN_SHAPE(2), 2, 11);
}

static void updates_go_to_rows_from_the_end(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    const Message scatter = node("ScatterND", "x w u", "y"), g = graph_of("x w u", "y", &scatter, 1), model = model_of(&g, 13);
    kiln_onnx *m = kiln_onnx_load_memory(k, model.at, model.n);
    kiln_tensor *x = kiln_zeros(k, KILN_F32, KILN_SHAPE(2, 3)), *i = kiln_numbers(k, KILN_I64, KILN_SHAPE(2, 2), -1, 0, 0, -1),
                *u = kiln_numbers(k, KILN_F32, KILN_SHAPE(2), 5, 7), *y;
    for (int eager = 0; eager < 2; eager++) {
        kiln_eager(k, eager);
        assert_true(kiln_onnx_call(m, KILN_IN(x, i, u), &y, 1));
        EXACTLY(y, KILN_F32, KILN_SHAPE(2, 3), 0, 0, 7, 5, 0, 0);
    }
    kiln_eager(k, false);
    kiln_onnx_free(m);
}

static void indices_may_be_shorter(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_numbers(k, KILN_F32, KILN_SHAPE(2, 3), 0, 1, 2, 10, 11, 12);
    kiln_tensor *i = kiln_numbers(k, KILN_I64, KILN_SHAPE(3, 2), 1, 0, -1, -2, 0, 0);
    EXACTLY(of_two("GatherElements", 13, x, i), KILN_F32, KILN_SHAPE(3, 2), 10, 1, 10, 1, 0, 1);
}

/* ---- integers ---- */

static kiln_tensor *reduced(const char *op, kiln_tensor *x)
{
    return given(with_integer(with_integers(node(op, "x", "y"), "axes", 1), "keepdims", 0), 13, x, NULL);
}

static void integers_are_reduced(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_numbers(k, KILN_I32, KILN_SHAPE(2, 3), 3, 4, 1, -3, -4, 0);
    EXACTLY(reduced("ReduceMean", x), KILN_I32, KILN_SHAPE(2), 2, -2); /* -7 / 3, cut off */
    EXACTLY(reduced("ReduceL2", x), KILN_I32, KILN_SHAPE(2), 5, 5);
    EXACTLY(reduced("ReduceLogSumExp", x), KILN_I32, KILN_SHAPE(2), 4, 0);
    x = kiln_numbers(k, KILN_I64, KILN_SHAPE(1, 2), 100, 50);
    EXACTLY(reduced("ReduceLogSum", x), KILN_I64, KILN_SHAPE(1), 5);
    x = kiln_add(kiln_numbers(k, KILN_I64, KILN_SHAPE(1, 2), 1, 3), (int64_t)1 << 60); /* more than f64 tells apart */
    EXACTLY(kiln_sub(reduced("ReduceMean", x), (int64_t)1 << 60), KILN_I64, KILN_SHAPE(1), 2);
}

static void integers_are_multiplied(void **state)
{
    (void)state;
    static const kiln_dtype all[] = {KILN_I32, KILN_U32, KILN_I64, KILN_U64};
    for (int d = 0; d < 4; d++) {
        KILN_SCOPE(k);
        kiln_tensor *x = kiln_numbers(k, all[d], KILN_SHAPE(2, 2), 1, 2, 3, 4),
                    *w = kiln_numbers(k, all[d], KILN_SHAPE(2, 1), 5, 6);
        EXACTLY(of_two("MatMul", 9, x, w), all[d], KILN_SHAPE(2, 1), 17, 39);
        EXACTLY(given(with_integer(node("Gemm", "x w", "y"), "transA", 1), 11, x, w), all[d], KILN_SHAPE(2, 1), 23, 34);
    }
}

static void integers_are_shrunk(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_numbers(k, KILN_I32, KILN_SHAPE(4), -2, 0, 1, 3);
    EXACTLY(given(node("Shrink", "x", "y"), 9, x, NULL), KILN_I32, KILN_SHAPE(4), -2, 0, 1, 3);
    EXACTLY(of_two("PRelu", 16, x, kiln_numbers(k, KILN_I32, KILN_SHAPE(1), 3)), KILN_I32, KILN_SHAPE(4), -6, 0, 1, 3);
}

/* ---- several dtypes ---- */

/* A result has the dtype that ONNX states for it, whatever the others are. */
static void results_have_the_stated_dtype(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_numbers(k, KILN_BF16, KILN_SHAPE(1, 2), 3, 3), *one = kiln_full(k, KILN_F32, KILN_SHAPE(2), 1);
    EXACTLY(of_two("RMSNormalization", 23, x, one), KILN_F32, KILN_SHAPE(1, 2), 1, 1);
    EXACTLY(of_two("RMSNormalization", 23, kiln_cast(x, KILN_F32), kiln_cast(one, KILN_F16)), KILN_F16, KILN_SHAPE(1, 2), 1, 1);
    EXACTLY(given(node("BatchNormalization", "x w w w w", "y"), 15, x, one), KILN_BF16, KILN_SHAPE(1, 2), 3, 3);
    x = kiln_full(k, KILN_F16, KILN_SHAPE(1, 1, 2, 2), 3);
    EXACTLY(of_two("GridSample", 20, x, kiln_zeros(k, KILN_F32, KILN_SHAPE(1, 1, 1, 2))), KILN_F16, KILN_SHAPE(1, 1, 1, 1), 3);
    kiln_tensor *v = kiln_full(k, KILN_F32, KILN_SHAPE(1, 1, 2, 2), 5);
    EXACTLY(given(node("Attention", "x x w", "y"), 23, x, v), KILN_F16, KILN_SHAPE(1, 1, 2, 2), 5, 5, 5, 5);
    x = kiln_numbers(k, KILN_F64, KILN_SHAPE(1, 2), 1, 3);
    one = kiln_full(k, KILN_F64, KILN_SHAPE(2), 1);
    EXACTLY(given(node("LayerNormalization", "x w", "z y"), 17, x, one), KILN_F32, KILN_SHAPE(1, 1), 2); /* the mean: stash_type */
}

/* y = node(x, w), where w is an input, or a constant of the model. */
static kiln_onnx *indexing(Message node, bool constant, const int64_t *index, int rank, const int64_t *size)
{
    Message g = graph_of(constant ? "x" : "x w", "y", &node, 1), w = {.n = 0};
    int64_t count = 1;
    for (int i = 0; i < rank; i++) integer(&w, 1, size[i]), count *= size[i];
    integer(&w, 2, 7), text(&w, 8, "w"), bytes(&w, 9, index, sizeof *index * (size_t)count);
    if (constant) message(&g, 5, &w);
    const Message m = model_of(&g, 17);
    kiln_onnx *x = kiln_onnx_load_memory(k, m.at, m.n);
    if (!x) fail_msg("%s", kiln_error(k)->text);
    return x;
}

static void indices_that_are_known_lie_within(void **state)
{
    (void)state;
    static const struct {
        const char *op;
        int64_t index[4], size[2];
        const char *why; /* NULL: it is right */
    } c[] = {
        {"Gather", {1, -3}, {2, 1}, "Gather (ai.onnx 17): index -3, of input 1, is not in [-2, 2)"},
        {"Gather", {0, 2}, {2, 1}, "Gather (ai.onnx 17): index 2, of input 1, is not in [-2, 2)"},
        {"Gather", {1, -2}, {2, 1}, NULL},
        {"GatherElements", {0, 1, 5, 0}, {2, 2}, "GatherElements (ai.onnx 17): index 5, of input 1, is not in [-2, 2)"},
        {"GatherND", {0, 2, 1, 3}, {2, 2}, "GatherND (ai.onnx 17): index 3, of input 1, is not in [-3, 3)"},
        {"GatherND", {-2, -3, 1, 2}, {2, 2}, NULL},
    };
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_numbers(k, KILN_F32, KILN_SHAPE(2, 3), 0, 1, 2, 10, 11, 12), *y;
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++)
        for (int how = 0; how < 4; how++) { /* compiled, where constants are known, and eagerly, where what lies on the host is */
            const bool constant = how & 1, eager = how & 2;
            const int rank = c[i].op[6] ? 2 : 1;
            kiln_onnx *m = indexing(node(c[i].op, "x w", "y"), constant, c[i].index, rank, c[i].size);
            kiln_tensor *w = kiln_from(k, KILN_I64, rank == 2 ? KILN_SHAPE(c[i].size[0], c[i].size[1]) : KILN_SHAPE(c[i].size[0]), c[i].index,
                c[i].size[0] * c[i].size[1]);
            kiln_eager(k, eager);
            const bool ok = constant ? kiln_onnx_call(m, KILN_IN(x), &y, 1) : kiln_onnx_call(m, KILN_IN(x, w), &y, 1);
            if (!eager || !late_is_own()) assert_int_equal(ok, !c[i].why || (!constant && !eager)); /* nobody waits for a device to ask */
            if (!ok && (!c[i].why || !strstr(kiln_error(k)->text, c[i].why))) fail_msg("%s", kiln_error(k)->text);
            if (!ok) assert_int_equal(kiln_error(k)->code, KILN_EVALUE);
            kiln_clear(k);
            kiln_onnx_free(m);
        }
    kiln_eager(k, false);
}

static void bits_are_cast(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_f32(k, KILN_SHAPE(2), 1, -2.5), *y;
    EXACTLY(given(with_integer(node("BitCast", "x", "y"), "to", 6), 26, x, NULL), KILN_I32, KILN_SHAPE(2), 1065353216, -1071644672);
    EXACTLY(given(with_integer(node("BitCast", "x", "y"), "to", 1), 26, kiln_i32(k, KILN_SHAPE(1), -1071644672), NULL), KILN_F32,
        KILN_SHAPE(1), -2.5);
    EXACTLY(given(with_integer(node("BitCast", "x", "y"), "to", 5), 26, kiln_cast(x, KILN_F16), NULL), KILN_I16, KILN_SHAPE(2), 0x3c00,
        -0x3f00);
    static const struct {
        int64_t to;
        const char *why;
    } bad[] = {{7, "from f32 of 32 bits to int64"}, {8, "from f32 of 32 bits to string"}, {99, "from f32 of 32 bits to no dtype"}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const Message n = with_integer(node("BitCast", "x", "y"), "to", bad[i].to), g = graph_of("x", "y", &n, 1), m = model_of(&g, 26);
        kiln_onnx *one = kiln_onnx_load_memory(k, m.at, m.n);
        assert_false(kiln_onnx_call(one, KILN_IN(x), &y, 1));
        if (!strstr(kiln_error(k)->text, bad[i].why)) fail_msg("%s", kiln_error(k)->text);
        kiln_clear(k);
        kiln_onnx_free(one);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {ENGINE_TEST(rows_of_indices_count_from_the_end),
        ENGINE_TEST(updates_go_to_rows_from_the_end), ENGINE_TEST(indices_may_be_shorter), ENGINE_TEST(integers_are_reduced),
        ENGINE_TEST(integers_are_multiplied), ENGINE_TEST(integers_are_shrunk), ENGINE_TEST(results_have_the_stated_dtype),
        ENGINE_TEST(bits_are_cast),
        ENGINE_TEST(indices_that_are_known_lie_within)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
