/* test_reverse: the reverse walk and the gradient rules. Elementwise columns are checked in
 * value, by folding them on constants against central differences; structured rules in their
 * shapes and structure, first and second order (their values: the table-driven suite, which has
 * interpreters). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ir/fold.h"
#include "ir/verify.h"
#include "passes/reverse.h"

static Arena arena;
static Status st;
static Graph *g;
static GraphEmit ge;
static Emit *e;

#define SHAPE(t, ...) \
    ((Type){.dtype = t, .rank = COUNT_OF(((Dim[]){__VA_ARGS__})), .dim = {__VA_ARGS__}})
#define F64(...) SHAPE(DT_f64, __VA_ARGS__)
#define I32(...) SHAPE(DT_i32, __VA_ARGS__)
#define ATTR(op, a, ...) \
    emit_attr(e, op, a, (int64_t[]){__VA_ARGS__}, COUNT_OF(((int64_t[]){__VA_ARGS__})))

static int begin(void **state)
{
    (void)state;
    arena_init(&arena);
    st = (Status){0};
    g = graph_new(module_new(&arena), "main");
    graph_emit_init(&ge, g, &st);
    e = &ge.e;
    return 0;
}

static int end(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

static Value param(Type t) { return graph_param(g, &t, (Loc){0}); }

/* dx of sum(y); fails the test after an error. */
static void gradient(Value y, const Value *x, uint32_t nx, Value *dx)
{
    if (y == 0) fail_msg("%s", st.text);
    Reverse r = {.e = e,
        .g = g,
        .last = g->node.len,
        .y = &y,
        .ny = 1,
        .x = x,
        .nx = nx,
        .dx = dx,
        .scratch = &arena,
        .st = &st};
    if (!reverse_walk(&r)) fail_msg("%s", st.text);
}

static Value gradient1(Value y, Value x)
{
    Value dx;
    gradient(y, &x, 1, &dx);
    return dx;
}

static void verified(void)
{
    Status bad = {0};
    if (!module_verify(g->module, &bad)) fail_msg("%s", bad.text);
}

/* ---- elementwise, in value ------------------------------------------------------------------ */

/* The element that v becomes when everything is folded. */
static double value_of(Value v)
{
    Rebuild rb;
    Scalar s = {0};
    g->result.len = 0;
    graph_result(g, v);
    rebuild_begin(&rb, g, &arena, &st);
    for (uint32_t i = 0; i < g->node.len; i++) rebuild_copy(&rb, i);
    const Graph *out = rebuild_end(&rb);
    if (out == NULL) fail_msg("%s", st.text);
    assert_true(value_is_constant(out, out->result.at[0], &s));
    return s.f;
}

static Value apply(Op op, const Value *x)
{
    const OpDef *def = &op_def[op];
    Value in[3] = {x[0], x[1], x[2]};
    if (op == OP_where) in[0] = emit2(e, OP_lt, x[1], x[2]);
    return e->op(e, op, in, (uint32_t)def->nin, NULL, 0);
}

/* order 1: d op / d x[k]; order 2: d (that) / d x[j], at the point p. */
static double derivative(Op op, const double *p, int k, int j, bool *connected)
{
    const Type scalar = {.dtype = DT_f64};
    Value x[3], d;
    begin(NULL);
    for (int i = 0; i < 3; i++) x[i] = emit_constant(e, p[i], &scalar);
    d = gradient1(apply(op, x), x[k]);
    if (d != 0 && j >= 0) d = gradient1(d, x[j]);
    *connected = d != 0;
    double v = d != 0 ? value_of(d) : 0;
    end(NULL);
    return v;
}

static double function_value(Op op, const double *p)
{
    const Type scalar = {.dtype = DT_f64};
    Value x[3];
    begin(NULL);
    for (int i = 0; i < 3; i++) x[i] = emit_constant(e, p[i], &scalar);
    double v = value_of(apply(op, x));
    end(NULL);
    return v;
}

static double difference(Op op, const double *p, int k, int j)
{
    const double h = 1e-6;
    double up[3] = {p[0], p[1], p[2]}, down[3] = {p[0], p[1], p[2]};
    bool connected;
    int moved = j >= 0 ? j : k;
    up[moved] += h;
    down[moved] -= h;
    if (j < 0) return (function_value(op, up) - function_value(op, down)) / (2 * h);
    return (derivative(op, up, k, -1, &connected) - derivative(op, down, k, -1, &connected)) /
           (2 * h);
}

static void columns_agree_with_differences(void **state)
{
    (void)state;
    static const double point[][3] = {{0.6, 0.25, 0.4}, {0.3, 0.7, 0.2}};
    int checked = 0;
    end(NULL);
    for (int op = OP_none + 1; op < OP_COUNT; op++) {
        const OpDef *def = &op_def[op];
        if (!(def->flags & OPF_ELEMENTWISE) || def->flags & OPF_TO_BOOL ||
            !op_domain_has((Op)op, DT_f64))
            continue;
        int first = op == OP_where;
        for (int k = first; k < def->nin; k++)
            for (int j = -1; j < def->nin; j++)
                for (uint32_t i = 0; i < COUNT_OF(point) && (j < 0 || j >= first); i++, checked++) {
                    bool connected;
                    double is = derivative((Op)op, point[i], k, j, &connected),
                           want = difference((Op)op, point[i], k, j);
                    if (fabs(is - want) > 1e-6 * (1 + fabs(want)) && def->grad[k] != NULL)
                        fail_msg("%s: order %d, operand %d: %.12g, differences give %.12g",
                            def->name, j < 0 ? 1 : 2, k, is, want);
                }
    }
    assert_true(checked > 100);
    begin(NULL);
}

static void equal_operands_share(void **state)
{
    (void)state;
    static const double point[3] = {0.5, 0.5, 0};
    bool connected;
    end(NULL);
    assert_true(derivative(OP_max, point, 0, -1, &connected) == 0.5);
    assert_true(derivative(OP_min, point, 1, -1, &connected) == 0.5);
    begin(NULL);
}

/* ---- the walk ------------------------------------------------------------------------------- */

static uint32_t count(Op op)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->node.len; i++) n += g->node.at[i].op == op;
    return n;
}

static void walk_finds_paths(void **state)
{
    (void)state;
    const Type t = F64(3);
    Value x = param(t), other = param(t), index = param(I32(3));
    Value blocked = ATTR(OP_leaf, x, 1), open = ATTR(OP_leaf, x, 0);
    assert_int_equal(gradient1(emit1(e, OP_exp, other), x), 0);
    assert_int_equal(gradient1(emit1(e, OP_exp, blocked), x), 0);
    assert_int_not_equal(gradient1(emit1(e, OP_exp, blocked), blocked), 0);
    assert_int_not_equal(gradient1(emit1(e, OP_exp, open), x), 0);
    assert_int_equal(gradient1(emit_cast(e, emit_cast(e, x, DT_i32), DT_f64), x), 0);
    assert_int_equal(gradient1(emit1(e, OP_floor, x), x), 0);
    assert_int_equal(gradient1(emit1(e, OP_neg, index), index), 0);
    assert_int_equal(st.code, ST_OK);
}

static void a_value_is_its_own_gradient(void **state)
{
    (void)state;
    Value x = param(F64(3)), seed = param(F64(3)), dx[2];
    const Value xs[2] = {x, x};
    Reverse r = {.e = e,
        .g = g,
        .last = g->node.len,
        .y = &x,
        .seed = &seed,
        .ny = 1,
        .x = xs,
        .nx = 2,
        .dx = dx,
        .scratch = &arena,
        .st = &st};
    assert_true(reverse_walk(&r));
    assert_int_equal(dx[0], seed);
    assert_int_equal(dx[1], seed);
    Value ones = gradient1(x, x);
    Scalar s;
    assert_true(value_is_constant(g, ones, &s));
    assert_true(s.f == 1);
}

static void uses_add_up_in_order(void **state)
{
    (void)state;
    Value x = param(F64(3)), y = emit2(e, OP_mul, x, x);
    Value dx = gradient1(y, x);
    assert_int_equal(graph_maker(g, dx)->op, OP_add);
    assert_int_equal(count(OP_add), 1);
    /* A value in the middle is an x like any other, and the walk goes on below it. */
    Value z = emit1(e, OP_exp, y), d[2];
    gradient(z, (Value[]){y, x}, 2, d);
    assert_int_not_equal(d[0], 0);
    assert_int_not_equal(d[1], 0);
}

static void only_what_is_asked_is_made(void **state)
{
    (void)state;
    Value a = param(F64(2, 3)), b = param(F64(3, 4)), y = emit2(e, OP_matmul, a, b);
    gradient1(y, b);
    assert_int_equal(count(OP_matmul), 2);
    gradient1(emit2(e, OP_mul, param(F64(3)), param(F64(3))), a);
    assert_int_equal(count(OP_matmul), 2);
}

/* ---- structured rules, in shape ------------------------------------------------------------- */

static Value square(Value v) { return emit2(e, OP_mul, v, v); }

/* y = f(x), squared so that second orders do not vanish: dx and ddx have x's type, and the graph
 * verifies. */
static void shapes_hold(Value y, Value x)
{
    Value d = gradient1(square(y), x);
    assert_int_not_equal(d, 0);
    assert_true(type_equal(graph_type(g, d), graph_type(g, x)));
    Value dd = gradient1(square(d), x);
    assert_int_not_equal(dd, 0);
    assert_true(type_equal(graph_type(g, dd), graph_type(g, x)));
    verified();
}

static void moves(void **state)
{
    (void)state;
    Value x = param(F64(2, 3, 8));
    shapes_hold(ATTR(OP_reshape, x, 6, 8), x);
    shapes_hold(ATTR(OP_transpose, x, 1, 2, 0), x);
    shapes_hold(ATTR(OP_broadcast, x, 5, 2, 3, 8), x);
    shapes_hold(ATTR(OP_slice, x, 0, 1, 1, 1, 2, 1, 2, 3, 1), x);
    shapes_hold(ATTR(OP_slice, x, 0, 2, 1, 0, 2, 2, 1, 3, 3), x);
    shapes_hold(ATTR(OP_slice, x, 0, 2, 1, 0, 3, 1, 7, 1, 5), x);
    shapes_hold(ATTR(OP_flip, x, 0, 2), x);
    shapes_hold(ATTR(OP_pad, x, attr_of_f64(1), 0, 0, 1, 2, 3, 0), x);
    shapes_hold(ATTR(OP_leaf, x, 0), x);
    Value one = param(F64(2, 1, 8)), pair[2] = {x, one};
    shapes_hold(ATTR(OP_broadcast, one, 2, 5, 8), one);
    const int64_t axis = 1;
    Value joined = e->op(e, OP_concat, pair, 2, &axis, 1);
    shapes_hold(joined, one);
    shapes_hold(joined, x);
    Value single = param(SHAPE(DT_f32, 4));
    shapes_hold(emit_cast(e, single, DT_f64), single);
}

static void moves_of_symbolic_sizes(void **state)
{
    (void)state;
    DimTable *t = &g->module->dims;
    Dim n = dim_symbol(t, "N", 1, 64);
    Value x = param(F64(n, 3));
    shapes_hold(ATTR(OP_slice, x, 0, n, 1, 1, 2, 1), x);
    shapes_hold(ATTR(OP_reshape, x, dim_mul(t, n, 3)), x);
    shapes_hold(ATTR(OP_pad, x, 0, 1, n, 0, 0), x);
    shapes_hold(ATTR(OP_sum, x, 0), x);
    shapes_hold(ATTR(OP_prod, x, 0), x);
    shapes_hold(ATTR(OP_reduce_max, x, 0), x);
    Value two = param(F64(dim_mul(t, n, 2)));
    shapes_hold(ATTR(OP_slice, two, 1, n, 2), two);
}

static void reductions(void **state)
{
    (void)state;
    Value x = param(F64(2, 3, 4));
    shapes_hold(ATTR(OP_sum, x, 0, 2), x);
    shapes_hold(ATTR(OP_prod, x, 1), x);
    shapes_hold(ATTR(OP_prod, x, 0, 2), x);
    shapes_hold(ATTR(OP_reduce_max, x, 0, 1, 2), x);
    shapes_hold(ATTR(OP_reduce_min, x, 2), x);
    Value empty = param(F64(3, 0));
    shapes_hold(ATTR(OP_prod, empty, 1), empty);
}

static void contractions_and_indices(void **state)
{
    (void)state;
    Value a = param(F64(5, 2, 3)), b = param(F64(5, 3, 4)), y = emit2(e, OP_matmul, a, b);
    shapes_hold(y, a);
    shapes_hold(y, b);
    Value index = param(I32(6)), in[2] = {a, index};
    const int64_t axis = 1;
    Value taken = e->op(e, OP_gather, in, 2, &axis, 1);
    shapes_hold(taken, a);
    Value image = param(F64(2, 9, 8, 3)), windows = ATTR(OP_window, image, 3, 2, 2, 1, 1, 2);
    shapes_hold(windows, image);
    Value back = ATTR(OP_window_add, windows, 3, 2, 2, 1, 1, 2, 9, 8);
    shapes_hold(back, image);
}

/* ---- regions -------------------------------------------------------------------------------- */

/* carry' = sin(carry * x_i + w), y_i = carry' * w; one integer carry counts. */
static Graph *recurrence(bool stacked)
{
    Graph *body = graph_new(g->module, "body");
    GraphEmit be;
    graph_emit_init(&be, body, &st);
    const Type i64 = {.dtype = DT_i64}, row = F64(4);
    Value index = graph_param(body, &i64, (Loc){0}), c = graph_param(body, &row, (Loc){0});
    Value counter = graph_param(body, &i64, (Loc){0});
    Value x = stacked ? graph_param(body, &row, (Loc){0}) : 0,
          w = graph_param(body, &row, (Loc){0});
    Value next =
        emit1(&be.e, OP_sin, emit2(&be.e, OP_add, emit2(&be.e, OP_mul, c, stacked ? x : c), w));
    graph_result(body, next);
    graph_result(body, emit2(&be.e, OP_add, counter, index));
    if (stacked) graph_result(body, emit2(&be.e, OP_mul, next, w));
    return body;
}

static void scans(void **state)
{
    (void)state;
    const Type i64 = {.dtype = DT_i64}, row = F64(4);
    Value c = param(row), xs = param(F64(7, 4)), w = param(row), n = emit_constant(e, 7, &i64);
    Value in[5] = {n, c, emit_constant(e, 0, &i64), xs, w};
    const Graph *body = recurrence(true);
    const int64_t attr[6] = {body->index, 2, 1, 1, 0, 7};
    Value r = e->op(e, OP_loop, in, 5, attr, 6);
    shapes_hold(r, c);
    shapes_hold(r, w);
    shapes_hold(r + 2, xs);
    Value y = emit2(e, OP_add, ATTR(OP_sum, r + 2, 0), r), d[3];
    gradient(square(y), (Value[]){c, xs, w}, 3, d);
    for (int i = 0; i < 3; i++) assert_int_not_equal(d[i], 0);
    verified();
}

static void loops(void **state)
{
    (void)state;
    const Type i64 = {.dtype = DT_i64}, row = F64(4);
    const Graph *body = recurrence(false);
    Value c = param(row), w = param(row), known = emit_constant(e, 5, &i64), unknown = param(i64);
    Value in[4] = {known, c, emit_constant(e, 0, &i64), w};
    int64_t attr[6] = {body->index, 2, 0, 0, 0, 5};
    Value r = e->op(e, OP_loop, in, 4, attr, 6), d[2];
    shapes_hold(r, c);
    shapes_hold(r, w);
    in[0] = unknown; /* the saved carries become a stack of the loop's own height */
    attr[5] = dim_made(&g->module->dims, "T");
    r = e->op(e, OP_loop, in, 4, attr, 6);
    gradient(square(r), (Value[]){c, w}, 2, d);
    assert_int_not_equal(d[0], 0);
    assert_int_not_equal(d[1], 0);
    verified();
}

static void double_it(Vjp *v)
{
    ++*(int *)v->user;
    v->dx[1] = emit2(v->e, OP_add, v->g[0], v->g[0]);
}

static void foreign_rules_are_asked(void **state)
{
    (void)state;
    Value a = param(F64(3)), b = param(F64(3)), in[2] = {a, b}, dx;
    const int64_t number = 4;
    int calls = 0;
    Value y = e->op(e, OP_custom, in, 2, &number, 1);
    Reverse r = {.e = e,
        .g = g,
        .last = g->node.len,
        .y = &y,
        .ny = 1,
        .x = &b,
        .nx = 1,
        .dx = &dx,
        .scratch = &arena,
        .st = &st,
        .user = &calls,
        .foreign = double_it};
    assert_true(reverse_walk(&r));
    assert_int_equal(calls, 1);
    assert_int_equal(graph_maker(g, dx)->op, OP_add);
    r.foreign = NULL;
    assert_false(reverse_walk(&r));
    assert_non_null(strstr(st.text, "custom"));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(columns_agree_with_differences),
        TEST(equal_operands_share),
        TEST(walk_finds_paths),
        TEST(a_value_is_its_own_gradient),
        TEST(uses_add_up_in_order),
        TEST(only_what_is_asked_is_made),
        TEST(moves),
        TEST(moves_of_symbolic_sizes),
        TEST(reductions),
        TEST(contractions_and_indices),
        TEST(scans),
        TEST(loops),
        TEST(foreign_rules_are_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
