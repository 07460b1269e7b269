/* test_onnx_operators: what ONNX's own cases do not show of single operators: draws, gradients, elements of less than a byte, what
 * is refused. What operators compute: tests/conformance/test_onnx.c. */
#include "values.h"

#include <kiln/onnx.h>

#include "onnx_bytes.h"

/* ---- models of one node, y of x and w ---- */

static Message the_node;

static void begin(const char *op, const char *in2) { the_node = node_of(op, "x", in2, "y"); }

static void attribute(const char *name, int type, const void *at, size_t n)
{
    Message a = {.n = 0};
    text(&a, 1, name), integer(&a, 20, type);
    if (type == 1) varint(&a, 2 << 3 | 5), memcpy(a.at + a.n, at, n), a.n += n;
    if (type == 2) integer(&a, 3, *(const int64_t *)at);
    if (type == 3) bytes(&a, 4, at, n);
    if (type == 6) bytes(&a, 7, at, n);
    message(&the_node, 5, &a);
}

static void attribute_int(const char *name, int64_t v) { attribute(name, 2, &v, sizeof v); }
static void attribute_float(const char *name, float v) { attribute(name, 1, &v, sizeof v); }
static void attribute_text(const char *name, const char *s) { attribute(name, 3, s, strlen(s)); }

/* w: an initialiser, or NULL. */
static kiln_onnx *end(int64_t version, const Message *w)
{
    Message g = {.n = 0}, in = value_of("x"), out = {.n = 0};
    text(&out, 1, "y");
    message(&g, 1, &the_node);
    if (w) message(&g, 5, w);
    message(&g, 11, &in), message(&g, 12, &out);
    const Message m = model_of(&g, version);
    return kiln_onnx_load_memory(k, m.at, m.n);
}

static Message weight(int64_t type, int64_t n, const void *at, size_t size)
{
    Message w = {.n = 0};
    integer(&w, 1, n), integer(&w, 2, type), text(&w, 8, "w"), bytes(&w, 9, at, size);
    return w;
}

static Message numbers_of(const char *name, int64_t n, const int64_t *at)
{
    Message w = {.n = 0};
    integer(&w, 1, n), integer(&w, 2, 7), text(&w, 8, name), bytes(&w, 9, at, (size_t)n * sizeof *at);
    return w;
}

static kiln_tensor *called(kiln_onnx *m, kiln_tensor *x)
{
    kiln_tensor *y = NULL;
    kiln_onnx_call(m, KILN_IN(x), &y, 1);
    return y;
}

/* ---- draws ---- */

static void a_node_draws_anew_and_from_its_seed(void **state)
{
    (void)state;
    for (int eager = 0; eager < 2; eager++) {
        KILN_SCOPE(k);
        kiln_eager(k, eager);
        float first[2][64], next[64];
        for (int i = 0; i < 2; i++) {
            begin("RandomUniformLike", NULL), attribute_float("seed", 7), attribute_float("low", 2), attribute_float("high", 3);
            kiln_onnx *m = end(17, NULL);
            kiln_tensor *x = kiln_full(k, KILN_F32, KILN_SHAPE(8, 8), 0);
            kiln_read(called(m, x), first[i], sizeof first[i]);
            kiln_read(called(m, x), next, sizeof next);
            for (int j = 0; j < 64; j++) assert_true(first[i][j] >= 2 && first[i][j] < 3);
            assert_memory_not_equal(first[i], next, sizeof next);
            kiln_onnx_free(m);
        }
        assert_memory_equal(first[0], first[1], sizeof next);
    }
    kiln_eager(k, false);
}

/* Before version 7 an operator trains unless is_test says else. */
static void drop_out_of_old_models(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_full(k, KILN_F32, KILN_SHAPE(64, 64), 3);
    for (int test = 0; test < 2; test++) {
        begin("Dropout", NULL), attribute_int("is_test", test), attribute_float("ratio", 0.25F);
        kiln_onnx *m = end(6, NULL);
        kiln_tensor *y = called(m, x);
        const double zeros = kiln_item(kiln_mean(kiln_cast(kiln_eq(y, 0), KILN_F32), KILN_ALL));
        const double most = kiln_item(kiln_reduce_max(y, KILN_ALL));
        assert_true(test ? zeros == 0 && most == 3 : fabs(zeros - 0.25) < 0.05 && most == 4);
        kiln_onnx_free(m);
    }
}

/* ---- gradients ---- */

static void gradients_pass(void **state)
{
    (void)state;
    static const float scales[2] = {2, 1};
    const Message w = weight(1, 2, scales, sizeof scales);
    KILN_SCOPE(k);
    begin("Upsample", "w"), attribute_text("mode", "nearest");
    kiln_onnx *m = end(9, &w);
    kiln_tensor *x = kiln_numbers(k, KILN_F32, KILN_SHAPE(2, 3), 1, 2, 3, 4, 5, 6);
    EXACTLY(called(m, x), KILN_F32, KILN_SHAPE(4, 3), 1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6);
    EXACTLY(kiln_call(kiln_grad(kiln_onnx_function(m)), x), KILN_F32, KILN_SHAPE(2, 3), 2, 2, 2, 2, 2, 2);
    kiln_onnx_free(m);
    begin("LpNormalization", NULL), attribute_int("p", 1), attribute_int("axis", 1);
    m = end(17, NULL);
    x = kiln_numbers(k, KILN_F32, KILN_SHAPE(2, 3), 1, 2, 5, 0, 0, 0);
    EXACTLY(called(m, x), KILN_F32, KILN_SHAPE(2, 3), 0.125, 0.25, 0.625, 0, 0, 0);
    kiln_onnx_free(m);
}

/* ---- sizes that are symbols ---- */

/* Twice as many rows as x has, however many these are. */
static void sizes_computed_of_sizes(void **state)
{
    (void)state;
    static const int64_t twice[2] = {2, 1};
    Message w = weight(7, 2, twice, sizeof twice), g = {.n = 0}, in = value_of("x"), out = {.n = 0};
    const Message shape = node_of("Shape", "x", NULL, "s"), product = node_of("Mul", "s", "w", "sizes");
    begin("Resize", ""), text(&the_node, 1, ""), text(&the_node, 1, "sizes");
    attribute_text("coordinate_transformation_mode", "asymmetric"), attribute_text("nearest_mode", "floor");
    text(&out, 1, "y");
    message(&g, 1, &shape), message(&g, 1, &product), message(&g, 1, &the_node), message(&g, 5, &w), message(&g, 11, &in),
        message(&g, 12, &out);
    const Message model = model_of(&g, 13);
    kiln_onnx *m = kiln_onnx_load_memory(k, model.at, model.n);
    for (int64_t n = 1; n < 8; n++) {
        KILN_SCOPE(k);
        kiln_tensor *x = kiln_iota(k, KILN_F32, KILN_SHAPE(n, 3), 0), *y = called(m, x);
        has_shape(y, KILN_F32, KILN_SHAPE(2 * n, 3));
        EXACTLY(kiln_slice(y, 0, 2 * n - 2, 2 * n, 1), KILN_F32, KILN_SHAPE(2, 3), n - 1, n - 1, n - 1, n - 1, n - 1, n - 1);
    }
    kiln_function_statistics s;
    kiln_function_stats(kiln_onnx_function(m), &s);
    assert_true(s.compiles < 6);
    kiln_onnx_free(m);
}

/* As torch writes x.expand(2, -1, -1): a -1 of the wanted sizes is replaced by 1, which x's own size goes over. A size of x is among them, of
 * which it is known that it is not -1. */
static void sizes_are_chosen(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    static const int64_t two[1] = {2}, ones[3] = {1, 1, 1}, minus[3] = {-1, -1, -1}, zero[1] = {0};
    const Message nodes[] = {node("Shape", "x", "s"), node("Gather", "s zero", "rows"), with_integer(node("Concat", "two rows rest", "wanted"), "axis", 0),
        node("Reshape", "wanted rest", "row"), node("Equal", "row minus", "open"), node("Where", "open ones row", "sizes"), node("Expand", "x sizes", "y")};
    Message g = {.n = 0}, in = value_of("x"), out = {.n = 0}, w[5] = {numbers_of("two", 1, two), numbers_of("ones", 3, ones),
        numbers_of("minus", 3, minus), numbers_of("rest", 1, minus), numbers_of("zero", 1, zero)};
    text(&out, 1, "y");
    for (int i = 0; i < 7; i++) message(&g, 1, &nodes[i]);
    for (int i = 0; i < 5; i++) message(&g, 5, &w[i]);
    message(&g, 11, &in), message(&g, 12, &out);
    const Message model = model_of(&g, 17);
    kiln_onnx *m = kiln_onnx_load_memory(k, model.at, model.n);
    kiln_function *f = kiln_onnx_declared(m, &(kiln_onnx_declaration){.sizes = &(kiln_onnx_size){"N", 1, 64}, .sizes_count = 1});
    for (int64_t n = 1; n < 4; n++) {
        kiln_tensor *y = kiln_call(f, kiln_iota(k, KILN_F32, KILN_SHAPE(n, 3), 0));
        has_shape(y, KILN_F32, KILN_SHAPE(2, n, 3));
        EXACTLY(kiln_slice(y, 1, n - 1, n, 1), KILN_F32, KILN_SHAPE(2, 1, 3), n - 1, n - 1, n - 1, n - 1, n - 1, n - 1);
    }
    kiln_onnx_free(m);
}

/* 1 to the number of rows, as models count positions: one function for all numbers of rows. */
static void ranges_end_at_sizes(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    const Message nodes[] = {node("Shape", "x", "s"), with_integer(node("Constant", "", "zero"), "value_int", 0),
        with_integer(node("Constant", "", "one"), "value_int", 1), node("Gather", "s zero", "rows"),
        node("Range", "one rows one", "y")};
    Message g = {.n = 0}, in = value_of("x"), out = {.n = 0};
    text(&out, 1, "y");
    for (int i = 0; i < 5; i++) message(&g, 1, &nodes[i]);
    message(&g, 11, &in), message(&g, 12, &out);
    const Message model = model_of(&g, 17);
    kiln_onnx *m = kiln_onnx_load_memory(k, model.at, model.n);
    kiln_function *f = kiln_onnx_declared(m, &(kiln_onnx_declaration){.sizes = &(kiln_onnx_size){"N", 1, 64}, .sizes_count = 1});
    has_shape(kiln_call(f, kiln_zeros(k, KILN_F32, KILN_SHAPE(1, 3))), KILN_I64, KILN_SHAPE(0));
    EXACTLY(kiln_call(f, kiln_zeros(k, KILN_F32, KILN_SHAPE(4, 3))), KILN_I64, KILN_SHAPE(3), 1, 2, 3);
    kiln_onnx_free(m);
}

/* ---- less than a byte ---- */

/* The zero point says how many bits there are: -8 to 7. */
static void integers_of_four_bits(void **state)
{
    (void)state;
    static const uint8_t packed[2] = {0xf1, 0x07}; /* 1, -1, 7 */
    static const float ones[3] = {1, 1, 1};
    Message zero = weight(22, 3, packed, sizeof packed), g = {.n = 0}, s = {.n = 0}, in = value_of("x"), out = {.n = 0};
    integer(&s, 1, 3), integer(&s, 2, 1), text(&s, 8, "s"), bytes(&s, 9, ones, sizeof ones);
    begin("QuantizeLinear", "s"), text(&the_node, 1, "w");
    text(&out, 1, "y");
    message(&g, 1, &the_node), message(&g, 5, &zero), message(&g, 5, &s), message(&g, 11, &in), message(&g, 12, &out);
    const Message model = model_of(&g, 21);
    kiln_onnx *m = kiln_onnx_load_memory(k, model.at, model.n);
    for (int eager = 0; eager < 2; eager++) {
        KILN_SCOPE(k);
        kiln_eager(k, eager);
        kiln_tensor *y = called(m, kiln_numbers(k, KILN_F32, KILN_SHAPE(2, 3), 2, 100, 1, -100, -3, -20));
        EXACTLY(y, KILN_I8, KILN_SHAPE(2, 3), 3, 7, 7, -8, -4, -8);
    }
    kiln_eager(k, false);
    kiln_onnx_free(m);
    begin("Cast", NULL), attribute_int("to", 21);
    m = end(21, NULL);
    EXACTLY(called(m, kiln_numbers(k, KILN_F32, KILN_SHAPE(1, 3), 3, 15, 16)), KILN_U8, KILN_SHAPE(1, 3), 3, 15, 0);
    kiln_onnx_free(m);
}

/* ---- what is refused, by name ---- */

static void refused(kiln_onnx *m, const char *why)
{
    kiln_tensor *x = kiln_full(k, KILN_F32, KILN_SHAPE(2, 3), 1), *y;
    for (int eager = 0; eager < 2; eager++) {
        kiln_eager(k, eager);
        assert_false(kiln_onnx_call(m, KILN_IN(x), &y, 1));
        if (!strstr(kiln_error(k)->text, why)) fail_msg("%s", kiln_error(k)->text);
        kiln_clear(k);
    }
    kiln_eager(k, false);
    kiln_onnx_free(m);
}

static void what_is_refused_is_named(void **state)
{
    (void)state;
    static const float scales[2] = {2, 1}, three[3] = {1, 1, 1};
    static const int64_t four[2] = {4, -1};
    const Message w = weight(1, 2, scales, sizeof scales), more = weight(1, 3, three, sizeof three),
                  sizes = weight(7, 2, four, sizeof four);
    begin("Upsample", "w"), attribute_text("mode", "wavy");
    refused(end(9, &w), "Upsample 9's mode 'wavy' (node 0)");
    begin("Upsample", "w");
    refused(end(9, &more), "Upsample (ai.onnx 9): other than one scale for each axis is not supported");
    begin("Cast", NULL), attribute_int("to", 18);
    refused(end(21, NULL), "Cast (ai.onnx 21): to=18, which is float8e4m3fnuz, is not supported");
    begin("Cast", NULL), attribute_int("to", 77);
    refused(end(21, NULL), "Cast (ai.onnx 21): to=77, which is no dtype, is not supported");
    begin("Cast", NULL), attribute_text("to", "COMPLEX64");
    refused(end(5, NULL), "Cast (ai.onnx 5): to='COMPLEX64' is not supported");
    begin("EyeLike", NULL), attribute_int("dtype", 14);
    refused(end(9, NULL), "EyeLike (ai.onnx 9): dtype=14, which is complex64, is not supported");
    begin("SplitToSequence", NULL), attribute_int("axis", -3);
    refused(end(11, NULL), "SplitToSequence (ai.onnx 11): axis -3 of 2 is not supported");
    begin("Reshape", "w");
    refused(end(13, &sizes), "Reshape (ai.onnx 13): no size in place of -1 gives as many elements as f32[2,3] has");
    begin("MaxRoiPool", "w"), attribute_float("spatial_scale", 1);
    refused(end(21, &w), "MaxRoiPool (ai.onnx 21): other than images [n, c, height, width] and regions [r, 5]");
}

/* ---- first versions ---- */

static void operands_along_an_axis(void **state)
{
    (void)state;
    static const float two[2] = {10, 20};
    const Message w = weight(1, 2, two, sizeof two);
    KILN_SCOPE(k);
    begin("Greater", "w"), attribute_int("broadcast", 1), attribute_int("axis", 0);
    kiln_onnx *m = end(1, &w);
    EXACTLY(called(m, kiln_numbers(k, KILN_F32, KILN_SHAPE(2, 3), 9, 10, 11, 19, 20, 21)), KILN_BOOL, KILN_SHAPE(2, 3), 0, 0, 1, 0,
        0, 1);
    kiln_onnx_free(m);
    begin("Pad", NULL);
    Message a = {.n = 0};
    text(&a, 1, "paddings"), integer(&a, 20, 7);
    for (int i = 0; i < 4; i++) integer(&a, 8, i == 1 || i == 2); /* one before axis 1, one behind axis 0 */
    message(&the_node, 5, &a);
    m = end(1, NULL);
    EXACTLY(called(m, kiln_full(k, KILN_F32, KILN_SHAPE(1, 3), 4)), KILN_F32, KILN_SHAPE(2, 4), 0, 4, 4, 4, 0, 0, 0, 0);
    kiln_onnx_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {ENGINE_TEST(a_node_draws_anew_and_from_its_seed), ENGINE_TEST(drop_out_of_old_models),
        ENGINE_TEST(gradients_pass), ENGINE_TEST(sizes_computed_of_sizes), ENGINE_TEST(ranges_end_at_sizes), ENGINE_TEST(sizes_are_chosen),
        ENGINE_TEST(integers_of_four_bits), ENGINE_TEST(what_is_refused_is_named), ENGINE_TEST(operands_along_an_axis)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
