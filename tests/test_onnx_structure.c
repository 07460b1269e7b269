/* test_onnx_structure: what an ONNX model is made of beside its graph: functions of its own. */
#include "values.h"

#include <pthread.h>
#include <stdlib.h>

#include <kiln/onnx.h>

#include "onnx_bytes.h"

static Message with_float(const char *name, float value)
{
    Message a = attribute_of(name, 1);
    varint(&a, 2 << 3 | 5);
    memcpy(a.at + a.n, &value, 4);
    a.n += 4;
    return a;
}

static Message with_reference(const char *name, const char *to)
{
    Message a = attribute_of(name, 1);
    text(&a, 21, to);
    return a;
}

static void opset(Message *to, int field, const char *domain, int64_t version)
{
    Message o = {.n = 0};
    text(&o, 1, domain), integer(&o, 2, version);
    message(to, field, &o);
}

static Message in_own(Message node)
{
    text(&node, 7, "own");
    return node;
}

/* A model of y = call(x), with the functions added by the caller. */
static Message model_calling(const Message *call)
{
    Message g = {.n = 0}, in = value_of("x"), out = value_of("y");
    message(&g, 1, call), message(&g, 11, &in), message(&g, 12, &out);
    Message m = model_of(&g, 17);
    opset(&m, 8, "own", 1);
    return m;
}

static Message function_of(const char *name)
{
    Message f = {.n = 0};
    text(&f, 1, name), text(&f, 10, "own"), text(&f, 4, "a"), text(&f, 4, "b"), text(&f, 5, "c");
    opset(&f, 9, "", 17), opset(&f, 9, "own", 1);
    return f;
}

static void functions_are_called(void **state)
{
    (void)state;
    /* twice(a, b) = leaky(leaky(a)), of which the slope of one is the call's, and that of the other 0.5 if the call has none */
    Message inner = function_of("leaky"), outer = function_of("twice");
    Message relu = node_of("LeakyRelu", "a", NULL, "c"), first = in_own(node_of("leaky", "a", NULL, "t")),
            second = in_own(node_of("leaky", "t", "", "c")), call = in_own(node_of("twice", "x", NULL, "y"));
    const Message slope = with_reference("alpha", "slope"), first_slope = with_reference("slope", "first"),
                  half = with_float("slope", 0.5f), quarter = with_float("first", 0.25f);
    message(&relu, 5, &slope), message(&inner, 7, &relu), message(&inner, 11, &half);
    message(&first, 5, &first_slope), message(&outer, 7, &first), message(&outer, 7, &second);
    message(&call, 5, &quarter);
    Message m = model_calling(&call);
    message(&m, 25, &outer), message(&m, 25, &inner);
    kiln_onnx *x = kiln_onnx_load_memory(k, m.at, m.n);
    KILN_SCOPE(k);
    for (int eager = 0; eager < 2; eager++) {
        kiln_tensor *y;
        kiln_eager(k, eager);
        assert_true(kiln_onnx_call(x, KILN_IN(kiln_f32(k, KILN_SHAPE(1, 3), -8, 0, 8)), &y, 1));
        EXACTLY(y, KILN_F32, KILN_SHAPE(1, 3), -1, 0, 8);
    }
    kiln_eager(k, false);
    kiln_onnx_free(x);
}

/* Domain and name are compared each by itself, and of two functions of one name the first is meant. */
static void functions_are_found(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    static const char *const made[][3] = {{"ow", "nbc", "Abs"}, {"own", "bc", "Neg"}, {"own", "bc", "Relu"}, {"ownb", "c", "Abs"}};
    const Message call = in_own(node_of("bc", "x", NULL, "y"));
    Message m = model_calling(&call);
    for (int i = 0; i < 4; i++) {
        Message f = {.n = 0}, go = node_of(made[i][2], "a", NULL, "c");
        text(&f, 10, made[i][0]), text(&f, 1, made[i][1]), text(&f, 4, "a"), text(&f, 5, "c"), opset(&f, 9, "", 17);
        message(&f, 7, &go), message(&m, 25, &f);
    }
    kiln_onnx *x = kiln_onnx_load_memory(k, m.at, m.n);
    kiln_tensor *y;
    assert_true(kiln_onnx_call(x, KILN_IN(kiln_f32(k, KILN_SHAPE(1, 3), -8, 0, 8)), &y, 1));
    EXACTLY(y, KILN_F32, KILN_SHAPE(1, 3), 8, 0, -8);
    kiln_onnx_free(x);
}

static void functions_do_not_call_themselves(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    Message first = function_of("first"), second = function_of("second");
    const Message one = in_own(node_of("second", "a", NULL, "c")), two = in_own(node_of("first", "a", NULL, "c")),
                  call = in_own(node_of("first", "x", NULL, "y"));
    message(&first, 7, &one), message(&second, 7, &two);
    Message m = model_calling(&call);
    message(&m, 25, &first), message(&m, 25, &second);
    kiln_onnx *x = kiln_onnx_load_memory(k, m.at, m.n);
    kiln_tensor *y, *in = kiln_f32(k, KILN_SHAPE(1, 3), -8, 0, 8);
    FAILS((kiln_onnx_call(x, KILN_IN(in), &y, 1), y), KILN_EFORMAT, "onnx: a model in memory: function 0, 'first', calls itself");
    kiln_onnx_free(x);
}

/* Function i calls function i + 1, `times` times; the last one is a Relu. */
static kiln_onnx *chain(int n, int times)
{
    char name[16], next[16];
    const Message call = in_own(node_of("f0", "x", NULL, "y"));
    Message m = model_calling(&call);
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof name, "f%d", i), snprintf(next, sizeof next, "f%d", i + 1);
        Message f = function_of(name);
        for (int j = 0; j < times; j++) {
            char to[16];
            snprintf(to, sizeof to, "t%d", j);
            const Message go =
                i + 1 < n ? in_own(node_of(next, "a", NULL, j ? to : "c")) : node_of("Relu", "a", NULL, j ? to : "c");
            message(&f, 7, &go);
        }
        message(&m, 25, &f);
    }
    return kiln_onnx_load_memory(k, m.at, m.n);
}

static void functions_have_bounds(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_tensor *y, *in = kiln_f32(k, KILN_SHAPE(1, 3), -8, 0, 8);
    kiln_onnx *x = chain(50, 1);
    assert_true(kiln_onnx_call(x, KILN_IN(in), &y, 1));
    EXACTLY(y, KILN_F32, KILN_SHAPE(1, 3), 0, 0, 8);
    kiln_onnx_free(x);
    x = chain(120, 1);
    FAILS((kiln_onnx_call(x, KILN_IN(in), &y, 1), y), KILN_EFORMAT,
        "onnx: a model in memory: functions and graphs lie too deep within each other (allowed: 100)");
    kiln_onnx_free(x);
    x = chain(40, 2); /* 2^40 Relus */
    FAILS((kiln_onnx_call(x, KILN_IN(in), &y, 1), y), KILN_EUNSUPPORTED,
        "onnx: a model in memory: with its functions it has more than 263088 nodes, made of 59");
    kiln_onnx_free(x);
}

/* ---- what is long ------------------------------------------------------------------------------------- */

typedef struct Long { /* a graph in the making */
    uint8_t *at;
    size_t n;
} Long;

static void longer(Long *g, int field, const Message *part)
{
    Message m = {.n = 0};
    message(&m, field, part);
    memcpy(g->at + g->n, m.at, m.n);
    g->n += m.n;
}

static kiln_onnx *load_long(Long *g)
{
    Message head = {.n = 0}, x = value_of("x"), y = value_of("y");
    longer(g, 11, &x), longer(g, 12, &y);
    integer(&head, 1, 8);
    opset(&head, 8, "", 17);
    varint(&head, 7 << 3 | 2), varint(&head, g->n);
    uint8_t *all = malloc(head.n + g->n);
    memcpy(all, head.at, head.n), memcpy(all + head.n, g->at, g->n);
    kiln_onnx *m = kiln_onnx_load_memory(k, all, head.n + g->n);
    free(all), free(g->at);
    assert_non_null(m);
    return m;
}

/* On a stack that has no room for a frame for each node of a chain: eagerly, traced, and for an object. */
static void *call_chain(void *user)
{
    KILN_SCOPE(k);
    kiln_onnx *m = user;
    float result[3];
    for (int eager = 0; eager < 2; eager++) {
        kiln_tensor *y = NULL;
        kiln_eager(k, eager);
        kiln_onnx_call(m, KILN_IN(kiln_f32(k, KILN_SHAPE(3), 1, 2, -1)), &y, 1);
        kiln_eager(k, false);
        if (!y || kiln_failed(k) || !kiln_read(y, result, sizeof result) || result[0] != 20001 || result[2] != -20001) return "a call";
    }
    FILE *nowhere = fopen("/dev/null", "w");
    const bool seen = nowhere && kiln_onnx_inspect(nowhere, m, true, NULL);
    if (nowhere) fclose(nowhere);
    return seen ? NULL : "an inspection";
}

static void a_chain_takes_no_stack(void **state)
{
    (void)state;
    enum { LINKS = 40000 };
    Long g = {malloc((size_t)LINKS * 64), 0};
    for (int i = 0; i < LINKS; i++) {
        char before[16] = "x", name[16] = "y";
        if (i) snprintf(before, sizeof before, "v%d", i - 1);
        if (i < LINKS - 1) snprintf(name, sizeof name, "v%d", i);
        const Message n = i % 2 ? node_of("Add", before, "x", name) : node_of("Identity", before, NULL, name);
        longer(&g, 1, &n);
    }
    kiln_onnx *m = load_long(&g);
    pthread_attr_t small;
    pthread_t thread;
    void *why = NULL;
    pthread_attr_init(&small);
    assert_int_equal(pthread_attr_setstacksize(&small, 512 << 10), 0);
    assert_int_equal(pthread_create(&thread, &small, call_chain, m), 0);
    pthread_join(thread, &why);
    pthread_attr_destroy(&small);
    if (why) fail_msg("%s", (char *)why);
    kiln_onnx_free(m);
}

/* As old models have it each initialiser is an input, too; looking for each among all would take minutes. */
static void many_inputs_have_initialisers(void **state)
{
    (void)state;
    enum { MANY = 200000 };
    Long g = {malloc((size_t)MANY * 96), 0};
    Message neg = node_of("Neg", "x", NULL, "y");
    for (int i = 0; i < MANY; i++) {
        char name[16];
        snprintf(name, sizeof name, "w%d", i);
        Message t = {.n = 0}, in = {.n = 0};
        bytes(&t, 1, "\0", 1), integer(&t, 2, 1), text(&t, 8, name), text(&in, 1, name);
        longer(&g, 5, &t), longer(&g, 11, &in);
    }
    longer(&g, 1, &neg);
    kiln_onnx *m = load_long(&g);
    kiln_onnx_value v;
    assert_int_equal(kiln_onnx_inputs(m, &v, 1), 1);
    assert_string_equal(v.name, "x");
    kiln_onnx_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ENGINE_TEST(functions_are_called), ENGINE_TEST(functions_are_found), ENGINE_TEST(functions_do_not_call_themselves), ENGINE_TEST(functions_have_bounds),
        ENGINE_TEST(a_chain_takes_no_stack), ENGINE_TEST(many_inputs_have_initialisers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
