/* test_fold: folding and sharing in a rebuild. A graph is built by hand, rebuilt, and its
 * results are looked at. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ir/fold.h"

static Arena arena;
static Status st;
static Graph *g, *out;

#define F32(...) \
    ((Type){.dtype = DT_f32, .rank = COUNT_OF(((Dim[]){__VA_ARGS__})), .dim = {__VA_ARGS__}})
#define OF(t, ...) \
    ((Type){.dtype = t, .rank = COUNT_OF(((Dim[]){__VA_ARGS__})), .dim = {__VA_ARGS__}})

static int begin(void **state)
{
    (void)state;
    arena_init(&arena);
    st = (Status){0};
    g = graph_new(module_new(&arena), "main");
    return 0;
}

static int end(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

static Value param(Type t) { return graph_param(g, &t, (Loc){0}); }

static Value node(Op op, Value a, Value b, Value c, const int64_t *attr, uint32_t nattr)
{
    const Value in[3] = {a, b, c};
    Value v = graph_append(g, op, in, (a != 0) + (b != 0) + (c != 0), attr, nattr, (Loc){0}, &st);
    if (v == 0) fail_msg("%s", st.text);
    return v;
}

static Value op1(Op op, Value a) { return node(op, a, 0, 0, NULL, 0); }
static Value op2(Op op, Value a, Value b) { return node(op, a, b, 0, NULL, 0); }
#define ATTR(op, a, ...) \
    node(op, a, 0, 0, (int64_t[]){__VA_ARGS__}, COUNT_OF(((int64_t[]){__VA_ARGS__})))

static Value number(double v, Type like)
{
    int64_t attr[2 + MAX_RANK] = {
        like.dtype, dtype_is_float(like.dtype) ? attr_of_f64(v) : (int64_t)v};
    memcpy(attr + 2, like.dim, like.rank * sizeof *attr);
    return node(OP_constant, 0, 0, 0, attr, 2u + like.rank);
}

/* Rebuilds g with the result v; returns v's value in `out`. */
static Value folded(Value v)
{
    Rebuild rb;
    graph_result(g, v);
    rebuild_begin(&rb, g, &arena, &st);
    for (uint32_t i = 0; i < g->node.len; i++) rebuild_copy(&rb, i);
    out = rebuild_end(&rb);
    if (out == NULL) fail_msg("%s", st.text);
    return out->result.at[out->result.len - 1];
}

static void expect_param(Value v, uint32_t number_)
{
    Value r = folded(v);
    assert_int_equal(r, out->param.at[number_]);
}

static Scalar constant_of(Value v)
{
    Scalar s;
    Value r = folded(v);
    assert_true(value_is_constant(out, r, &s));
    return s;
}

static const char *made_by(Value v)
{
    Value r = folded(v);
    return op_def[graph_maker(out, r)->op].name;
}

static void float_identities(void **state)
{
    (void)state;
    Type t = F32(4);
    Value x = param(t), one = number(1, t), zero = number(0, t), minus_zero = number(-0.0, t);
    expect_param(op2(OP_mul, x, one), 0);
    expect_param(op2(OP_mul, one, x), 0);
    expect_param(op2(OP_div, x, one), 0);
    expect_param(op2(OP_sub, x, zero), 0);
    expect_param(op2(OP_add, x, minus_zero), 0);
    expect_param(op2(OP_add, minus_zero, x), 0);
    expect_param(op1(OP_neg, op1(OP_neg, x)), 0);
    expect_param(op2(OP_max, x, x), 0);
    expect_param(ATTR(OP_leaf, x, 1), 0);
    expect_param(ATTR(OP_cast, x, DT_f32), 0);
    expect_param(ATTR(OP_cast, ATTR(OP_cast, x, DT_f64), DT_f32), 0);
    Value twice = op1(OP_floor, op1(OP_floor, x)), r = folded(twice);
    assert_int_equal(graph_maker(out, r)->in[0], out->param.at[0]);
}

/* What would change a bit (of a zero, an infinity or a NaN) stays. */
static void float_non_identities(void **state)
{
    (void)state;
    Type t = F32(4);
    Value x = param(t), zero = number(0, t), minus_zero = number(-0.0, t);
    assert_string_equal(made_by(op2(OP_add, x, zero)), "add");
    assert_string_equal(made_by(op2(OP_sub, x, minus_zero)), "sub");
    assert_string_equal(made_by(op2(OP_mul, x, zero)), "mul");
    assert_string_equal(made_by(op2(OP_sub, x, x)), "sub");
    assert_string_equal(made_by(op2(OP_div, x, x)), "div");
    assert_string_equal(made_by(op2(OP_eq, x, x)), "eq");
    assert_string_equal(made_by(op2(OP_floor_div, x, number(1, t))), "floor_div");
    assert_string_equal(made_by(ATTR(OP_cast, ATTR(OP_cast, x, DT_f16), DT_f32)), "cast");
    assert_string_equal(made_by(ATTR(OP_sum, ATTR(OP_reshape, x, 1, 4), 0)), "sum");
}

static void integer_identities(void **state)
{
    (void)state;
    Type t = OF(DT_i32, 4);
    Value x = param(t), zero = number(0, t), one = number(1, t), ones = number(-1, t);
    expect_param(op2(OP_add, zero, x), 0);
    expect_param(op2(OP_mul, x, one), 0);
    expect_param(op2(OP_floor_div, x, one), 0);
    expect_param(op2(OP_and, x, ones), 0);
    expect_param(op2(OP_or, x, zero), 0);
    expect_param(op2(OP_xor, zero, x), 0);
    expect_param(op2(OP_shl, x, zero), 0);
    expect_param(op1(OP_not, op1(OP_not, x)), 0);
    expect_param(ATTR(OP_cast, ATTR(OP_cast, x, DT_i64), DT_i32), 0);
    assert_string_equal(made_by(ATTR(OP_cast, ATTR(OP_cast, x, DT_i16), DT_i32)), "cast");
    assert_int_equal(constant_of(op2(OP_mul, x, zero)).i, 0);
    assert_int_equal(constant_of(op2(OP_sub, x, x)).i, 0);
    assert_int_equal(constant_of(op2(OP_or, ones, x)).i, -1);
    assert_int_equal(constant_of(op2(OP_le, x, x)).i, 1);
    assert_int_equal(constant_of(op2(OP_ne, x, x)).i, 0);
    assert_int_equal(out->value.at[out->result.at[out->result.len - 1]].type.dtype, DT_bool);
}

static void choices(void **state)
{
    (void)state;
    Type t = F32(4), b = OF(DT_bool, 4);
    Value x = param(t), y = param(t), c = param(b);
    expect_param(node(OP_where, c, x, x, NULL, 0), 0);
    expect_param(node(OP_where, number(1, b), x, y, NULL, 0), 0);
    expect_param(node(OP_where, number(0, b), x, y, NULL, 0), 1);
    expect_param(node(OP_where, c, number(1, b), number(0, b), NULL, 0), 2);
    expect_param(op2(OP_and, c, number(1, b)), 2);
    assert_int_equal(constant_of(op2(OP_and, number(0, b), c)).i, 0);
}

static void constants(void **state)
{
    (void)state;
    Type t = F32(3), i = OF(DT_i8, 3), h = OF(DT_f16, 3);
    assert_true(
        constant_of(op2(OP_add, number(0.1f, t), number(0.2f, t))).f == (double)(0.1f + 0.2f));
    assert_true(constant_of(op2(OP_div, number(1, t), number(0, t))).f == HUGE_VAL);
    assert_true(signbit(constant_of(op1(OP_neg, number(0, t))).f));
    assert_true(isnan(constant_of(op1(OP_sqrt, number(-1, t))).f));
    assert_int_equal(constant_of(op2(OP_add, number(127, i), number(1, i))).i, -128);
    assert_int_equal(constant_of(ATTR(OP_cast, number(3.7f, t), DT_i32)).i, 3);
    assert_int_equal(constant_of(op2(OP_lt, number(1, t), number(2, t))).i, 1);
    assert_true(constant_of(op2(OP_add, number(2048, h), number(1, h))).f == 2048);
    assert_true(constant_of(op1(OP_sin, number(0, t))).f == 0);
    assert_int_equal(constant_of(ATTR(OP_dim_size, 0, 17)).i, 17);
}

static void moves(void **state)
{
    (void)state;
    Value x = param(F32(2, 3, 4));
    expect_param(ATTR(OP_reshape, x, 2, 3, 4), 0);
    expect_param(ATTR(OP_reshape, ATTR(OP_reshape, x, 24), 2, 3, 4), 0);
    expect_param(ATTR(OP_transpose, ATTR(OP_transpose, x, 1, 2, 0), 2, 0, 1), 0);
    expect_param(ATTR(OP_broadcast, x, 2, 3, 4), 0);
    expect_param(ATTR(OP_slice, x, 0, 2, 1, 0, 3, 1, 0, 4, 1), 0);
    expect_param(ATTR(OP_pad, x, 0, 0, 0, 0, 0, 0, 0), 0);
    expect_param(ATTR(OP_flip, ATTR(OP_flip, x, 0, 2), 0, 2), 0);
    expect_param(ATTR(OP_concat, x, 1), 0);
    Value s = folded(
        ATTR(OP_slice, ATTR(OP_slice, x, 0, 2, 1, 1, 2, 1, 0, 2, 2), 1, 1, 1, 1, 1, 1, 1, 1, 3));
    const Node *n = graph_maker(out, s);
    assert_int_equal(n->in[0], out->param.at[0]);
    assert_memory_equal(n->attr->at, ((int64_t[]){1, 1, 1, 2, 1, 1, 2, 1, 6}), 9 * sizeof(int64_t));
}

static void moves_of_constants(void **state)
{
    (void)state;
    Value x = number(2.5, F32(2, 3)), index = param(OF(DT_i32, 5));
    const int64_t fill = attr_of_f64(2.5);
    assert_true(constant_of(ATTR(OP_reshape, x, 6)).f == 2.5);
    assert_true(constant_of(ATTR(OP_transpose, x, 1, 0)).f == 2.5);
    assert_true(constant_of(ATTR(OP_broadcast, x, 4, 2, 3)).f == 2.5);
    assert_true(constant_of(ATTR(OP_slice, x, 0, 1, 1, 0, 2, 2)).f == 2.5);
    assert_true(constant_of(ATTR(OP_pad, x, fill, 1, 1, 0, 0)).f == 2.5);
    assert_string_equal(made_by(ATTR(OP_pad, x, 0, 1, 1, 0, 0)), "pad");
    const int64_t axis = 0;
    assert_true(constant_of(node(OP_concat, x, number(2.5, F32(1, 3)), 0, &axis, 1)).f == 2.5);
    assert_true(constant_of(node(OP_gather, x, index, 0, &axis, 1)).f == 2.5);
    const Type *t = graph_type(out, out->result.at[out->result.len - 1]);
    assert_int_equal(t->rank, 2);
    assert_int_equal(t->dim[0], 5);
    assert_int_equal(t->dim[1], 3);
}

static void sharing(void **state)
{
    (void)state;
    Type t = F32(4);
    Value x = param(t), y = param(t);
    Value a = op2(OP_add, x, y), b = op2(OP_add, y, x), c = op2(OP_sub, x, y),
          d = op2(OP_sub, y, x);
    Value m = op2(OP_max, x, y), n = op2(OP_max, y, x);
    Value e = op1(OP_exp, a), f = op1(OP_exp, b);
    const Value all[] = {a, b, c, d, m, n, e, f};
    for (uint32_t i = 0; i < COUNT_OF(all) - 1; i++) graph_result(g, all[i]);
    folded(f);
    const Value *r = out->result.at;
    assert_int_equal(r[0], r[1]);
    assert_int_not_equal(r[2], r[3]);
    assert_int_not_equal(r[4], r[5]); /* of two zeros max takes the second */
    assert_int_equal(r[6], r[7]);
    assert_int_equal(out->node.len, 2 + 6);
}

static void order_follows_results(void **state)
{
    (void)state;
    Value x = param(F32(4)), late = op1(OP_exp, x), early = op1(OP_sin, x), unused = op1(OP_cos, x);
    (void)unused;
    graph_result(g, op2(OP_add, early, late));
    uint32_t *order = ARENA_ARRAY(&arena, uint32_t, g->node.len);
    assert_int_equal(graph_canonical_order(g, order, &arena), 4);
    assert_int_equal(g->node.at[order[1]].op, OP_sin);
    assert_int_equal(g->node.at[order[2]].op, OP_exp);
    assert_int_equal(g->node.at[order[3]].op, OP_add);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(float_identities),
        TEST(float_non_identities),
        TEST(integer_identities),
        TEST(choices),
        TEST(constants),
        TEST(moves),
        TEST(moves_of_constants),
        TEST(sharing),
        TEST(order_follows_results),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
