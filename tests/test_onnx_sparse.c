/* test_onnx_sparse: initialisers and constants of which a model lists the elements that are not 0, and what is refused of them. */
#include "onnx_load.h"

/* A tensor of onnx.proto's type `type` by its sizes and bytes. */
static Message tensor_of(const char *name, int type, const int64_t *size, int rank, const void *at, size_t n)
{
    Message t = {.n = 0};
    for (int i = 0; i < rank; i++) integer(&t, 1, size[i]);
    integer(&t, 2, type), text(&t, 8, name), bytes(&t, 9, at, n);
    return t;
}

typedef struct Sparse {
    int64_t size[2];
    int rank;
    float value[3];
    int values, type; /* of the indices: 7 is i64 */
    int64_t index[6], places[2];
    int axes; /* of the indices */
} Sparse;

static Message sparse_of(const Sparse *x)
{
    Message s = {.n = 0};
    const int64_t values = x->values;
    int64_t places = 1;
    for (int i = 0; i < x->axes; i++) places *= x->places[i];
    const Message v = tensor_of("w", 1, &values, 1, x->value, sizeof(float) * (size_t)values),
                  at = tensor_of("", x->type, x->places, x->axes, x->index, sizeof(int64_t) * (size_t)places);
    message(&s, 1, &v), message(&s, 2, &at);
    for (int i = 0; i < x->rank; i++) integer(&s, 3, x->size[i]);
    return s;
}

/* y = x + w */
static kiln_onnx *adding(const Sparse *x)
{
    const Message add = node_of("Add", "x", "w", "y"), s = sparse_of(x);
    Message g = graph_of("x", "y", &add, 1);
    message(&g, 15, &s);
    const Message m = model_of(&g, 17);
    return kiln_onnx_load_memory(k, m.at, m.n);
}

static void initialisers_are_made_whole(void **state)
{
    (void)state;
    static const Sparse few[] = {
        {{2, 3}, 2, {1, 2, 3}, 3, 7, {0, 2, 5}, {3}, 1},                /* by places in order */
        {{2, 3}, 2, {1, 2, 3}, 3, 7, {0, 0, 0, 2, 1, 2}, {3, 2}, 2},    /* by rows of coordinates */
        {{3, 0}, 1, {1, 2}, 2, 7, {0, 2}, {2}, 1},
        {{3, 0}, 1, {1, 2}, 2, 7, {0, 2}, {2, 1}, 2},
        {{2, 3}, 2, {0}, 0, 7, {0}, {0}, 1},
    };
    static const double want[][6] = {{1, 0, 2, 0, 0, 3}, {1, 0, 2, 0, 0, 3}, {1, 0, 2, 1, 0, 2}, {1, 0, 2, 1, 0, 2}, {0}};
    for (size_t i = 0; i < sizeof few / sizeof few[0]; i++)
        BOTH(eager) {
            KILN_SCOPE(k);
            kiln_onnx *m = adding(&few[i]);
            if (!m) fail_msg("%s", kiln_error(k)->text);
            equals(call(m, KILN_IN(kiln_zeros(k, KILN_F32, KILN_SHAPE(2, 3)))), KILN_F32, KILN_SHAPE(2, 3), want[i], 6, 0);
            kiln_onnx_free(m);
        }
    kiln_eager(k, false);
}

static void constants_are_made_whole(void **state)
{
    (void)state;
    const Sparse x = {{2, 3}, 2, {1, 2, 3}, 3, 7, {0, 2, 5}, {3}, 1};
    Message a = attribute_of("sparse_value", 11), c = node("Constant", "", "w"), s = sparse_of(&x);
    message(&a, 22, &s), message(&c, 5, &a);
    BOTH(eager) {
        KILN_SCOPE(k);
        kiln_onnx *m = LOAD("x", "y", c, node("Mul", "x w", "y"));
        EXACTLY(call(m, KILN_IN(kiln_full(k, KILN_F32, KILN_SHAPE(2, 3), 2))), KILN_F32, KILN_SHAPE(2, 3), 2, 0, 4, 0, 0, 6);
        kiln_onnx_free(m);
    }
    kiln_eager(k, false);
}

static void hostile_ones_are_refused(void **state)
{
    (void)state;
    static const struct {
        Sparse x;
        const char *why;
    } bad[] = {
        {{{2, 3}, 2, {1, 2, 3}, 3, 7, {0, 2, 6}, {3}, 1}, "tensor 'w': index 6 of its value 2 is not in [0, 6)"},
        {{{2, 3}, 2, {1, 2, 3}, 3, 7, {-1, 2, 5}, {3}, 1}, "tensor 'w': index -1 of its value 0 is not in [0, 6)"},
        {{{2, 3}, 2, {1, 2, 3}, 3, 7, {0, 0, 0, 3, 1, 2}, {3, 2}, 2}, "tensor 'w': index 3 of its value 1 is not in [0, 3)"},
        {{{2, 3}, 2, {1, 2, 3}, 3, 7, {2, 0, 5}, {3}, 1}, "the indices of its values 0 and 1 are not in ascending order"},
        {{{2, 3}, 2, {1, 2, 3}, 3, 7, {0, 2, 2}, {3}, 1}, "the indices of its values 1 and 2 are not in ascending order"},
        {{{2, 3}, 2, {1, 2, 3}, 3, 7, {0, 2}, {2}, 1}, "its indices are not one number, or one for each of 2 axes, for each of 3 values"},
        {{{2, 3}, 2, {1, 2}, 2, 7, {0, 0, 0, 1, 1, 1}, {2, 3}, 2}, "its indices are not one number, or one for each of 2 axes"},
        {{{2, 3}, 2, {1, 2, 3}, 3, 11, {0, 2, 5}, {3}, 1}, "its indices are double, not int64"},
        {{{1, 2}, 2, {1, 2, 3}, 3, 7, {0, 1, 1}, {3}, 1}, "it lists 3 of 2 elements"},
        {{{(int64_t)1 << 40, (int64_t)1 << 40}, 2, {1}, 1, 7, {0}, {1}, 1}, "the product of its sizes does not fit into 60 bits"},
        {{{(int64_t)1 << 20, (int64_t)1 << 20}, 2, {1}, 1, 7, {0}, {1}, 1}, "it is sparse, and 1 elements are too few of 1099511627776 for Kiln to make it whole"},
        {{{-1, 2}, 2, {1}, 1, 7, {0}, {1}, 1}, "a size is below 0"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        KILN_SCOPE(k);
        kiln_onnx *m = adding(&bad[i].x);
        if (m) call(m, KILN_IN(kiln_zeros(k, KILN_F32, KILN_SHAPE(2, 3))));
        if (!strstr(kiln_error(k)->text, bad[i].why)) fail_msg("%s\ninstead of %s", kiln_error(k)->text, bad[i].why);
        kiln_clear(k);
        if (m) kiln_onnx_free(m);
    }
}

static void without_values(void **state)
{
    (void)state;
    const Message add = node_of("Add", "x", "w", "y");
    Message g = graph_of("x", "y", &add, 1), s = {.n = 0};
    integer(&s, 3, 2), message(&g, 15, &s);
    const Message m = model_of(&g, 17);
    assert_null(kiln_onnx_load_memory(k, m.at, m.n));
    assert_non_null(strstr(kiln_error(k)->text, "it is sparse and has no values"));
    kiln_clear(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {ENGINE_TEST(initialisers_are_made_whole), ENGINE_TEST(constants_are_made_whole),
        ENGINE_TEST(hostile_ones_are_refused), ENGINE_TEST(without_values)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
