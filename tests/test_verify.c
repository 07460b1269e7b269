/* The verifier: a sound module passes, and each broken invariant is found and named. */
#include "failing.h"
#include "ir/text.h"
#include "ir/verify.h"

static const char sound[] = "module { dims N in [1,256] }\n"
                            "graph @main(%1: f32[N,4], %2: f32[4]) -> (%6, %4) {\n"
                            "  %3 = broadcast(%2) {[N, 4]}\n"
                            "  %4 = add(%1, %3)\n"
                            "  %5 = kernel(%4) {@body, -1, []}\n"
                            "  %6 = sum(%5) {[0]}\n"
                            "  %7 = call(%6) {3} : f32[]\n"
                            "}\n"
                            "graph @body(%1: f32[N,4]) -> (%2) { %2 = neg(%1) }\n";

/* Breaks one thing in the module; the graph is its first. Node i makes value i + 1. */
typedef struct Fault {
    void (*inject)(Module *m, Graph *g);
    const char *text;
} Fault;

static void unknown_op(Module *m, Graph *g)
{
    (void)m;
    g->node.at[3].op = OP_COUNT;
}
static void late_operand(Module *m, Graph *g)
{
    (void)m;
    ((Value *)g->node.at[3].in)[1] = 5;
}
static void own_operand(Module *m, Graph *g)
{
    (void)m;
    ((Value *)g->node.at[3].in)[0] = 4;
}
static void none_operand(Module *m, Graph *g)
{
    (void)m;
    ((Value *)g->node.at[3].in)[0] = 0;
}
static void shifted_results(Module *m, Graph *g)
{
    (void)m;
    g->node.at[3].out = 5;
}
static void many_results(Module *m, Graph *g)
{
    (void)m;
    g->node.at[3].nout = 9;
}
static void no_results(Module *m, Graph *g)
{
    (void)m;
    g->node.at[3].nout = 0;
}
static void wrong_maker(Module *m, Graph *g)
{
    (void)m;
    g->value.at[4].node = 2;
}
static void wrong_result(Module *m, Graph *g)
{
    (void)m;
    g->value.at[4].result = 1;
}
static void wrong_dtype(Module *m, Graph *g)
{
    (void)m;
    g->value.at[4].type.dtype = DT_f64;
}
static void wrong_shape(Module *m, Graph *g)
{
    (void)m;
    g->value.at[6].type.dim[0] = 5;
}
static void bad_dtype(Module *m, Graph *g)
{
    (void)m;
    g->value.at[7].type.dtype = 99;
}
static void bad_rank(Module *m, Graph *g)
{
    (void)m;
    g->value.at[1].type.rank = MAX_RANK + 1;
}
static void bad_dim(Module *m, Graph *g)
{
    (void)m;
    g->value.at[1].type.dim[0] = -99;
}
static void no_attr(Module *m, Graph *g)
{
    (void)m;
    g->node.at[3].attr = NULL;
}
static void bad_axis(Module *m, Graph *g)
{
    (void)m;
    ((int64_t *)g->node.at[5].attr->at)[0] = 2;
}
static void bad_graph(Module *m, Graph *g)
{
    (void)m;
    ((int64_t *)g->node.at[4].attr->at)[0] = 2;
}
static void recursion(Module *m, Graph *g)
{
    (void)m;
    ((int64_t *)g->node.at[4].attr->at)[0] = 0;
}
static void bad_result(Module *m, Graph *g)
{
    (void)m;
    g->result.at[0] = 8;
}
static void none_result(Module *m, Graph *g)
{
    (void)m;
    g->result.at[1] = 0;
}
static void bad_param(Module *m, Graph *g)
{
    (void)m;
    g->param.at[1] = 3;
}
static void swapped_params(Module *m, Graph *g)
{
    (void)m;
    g->param.at[0] = 2, g->param.at[1] = 1;
}
static void extra_value(Module *m, Graph *g) { *VEC_PUSH(m->arena, &g->value) = (ValueDef){0}; }
static void wrong_index(Module *m, Graph *g)
{
    (void)m;
    g->index = 1;
}
static void broken_body(Module *m, Graph *g)
{
    (void)g;
    m->graph.at[1]->value.at[2].type.dtype = DT_f64;
}

static const Fault faults[] = {
    {unknown_op, "graph main, node 3 (?): no such op"},
    {late_operand, "graph main, node 3 (add): an operand is not defined before its use"},
    {own_operand, "graph main, node 3 (add): an operand is not defined before its use"},
    {none_operand, "graph main, node 3 (add): an operand is not defined before its use"},
    {shifted_results,
        "graph main, node 3 (add): its results are not numbered on from the node before"},
    {many_results, "graph main, node 3 (add): wrong count of results"},
    {no_results, "graph main, node 3 (add): wrong count of results"},
    {wrong_maker, "graph main, node 3 (add): a result names another maker"},
    {wrong_result, "graph main, node 3 (add): a result names another maker"},
    {wrong_dtype, "graph main, node 3 (add): a result's type is not what inference says"},
    {wrong_shape, "graph main, node 5 (sum): a result's type is not what inference says"},
    {bad_dtype, "graph main, node 6 (call): a result's type is malformed"},
    {bad_rank, "graph main, node 0 (param): a result's type is malformed"},
    {bad_dim, "graph main, node 0 (param): a result's type is malformed"},
    {no_attr, "graph main, node 3 (add): no attributes"},
    {bad_axis, "graph main, node 5 (sum): sum: axis 2 is out of range for rank 2 (allowed: 0 to 1): f32[N,4]"},
    {bad_graph, "graph main, node 4 (kernel): no such graph"},
    {recursion, "graph main, node 4 (kernel): a graph runs itself"},
    {bad_result, "graph main: result 0 is not a value"},
    {none_result, "graph main: result 1 is not a value"},
    {bad_param, "graph main, node 1 (param): not where its number says in the parameters"},
    {swapped_params, "graph main, node 0 (param): not where its number says in the parameters"},
    {extra_value, "graph main: values that no node makes"},
    {wrong_index, "graph main is not number 0 of this module"},
    {broken_body, "graph body, node 1 (neg): a result's type is not what inference says"},
};

typedef struct Run {
    const Fault *fault;
    Module *m;
} Run;

static void inject(void *arg)
{
    Run *r = arg;
    r->fault->inject(r->m, r->m->graph.at[0]);
}

static void each_fault_is_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(faults); i++) {
        Arena a;
        Status st = {0};
        arena_init(&a);
        Run r = {&faults[i], module_parse(&a, sound, sizeof sound - 1, &st)};
        assert_string_equal(st.text, "");
        assert_true(module_verify(r.m, &st));
        assert_true(arena_try(&a, &st, inject, &r));
        bool passed = module_verify(r.m, &st);
        arena_free(&a);
        assert_string_equal(st.text, faults[i].text);
        assert_false(passed);
        assert_int_equal(st.code, ST_INTERNAL);
    }
}

static void an_empty_module_is_sound(void **state)
{
    (void)state;
    Arena a;
    Status st = {0};
    arena_init(&a);
    Module *m = module_parse(&a, "module {}", 9, &st);
    assert_true(module_verify(m, &st));
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(each_fault_is_found), TEST(an_empty_module_is_sound)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
