/* test_fuse_order: large graphs of small, much shared values, in which many groups could join many others. Whatever fuse chooses, kernels and what is
 * outside of them must have an order in which they can run: a graph whose kernels need each other in a circle cannot be built, which the verifier sees.
 * test_passes holds what fuse should choose. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "passes/pass.h"
#include "random_graph.h"

static const Target target = {.name = "cpu", .vector_bytes = 32, .fma = true, .row_cache_bytes = 4096};
static const Loc nowhere = {"test", 1};

typedef struct Draw {
    Random r;
    Graph *g;
    Status st;
    Value vector[600];
    uint32_t n;
    uint32_t reach; /* how far back operands are taken from */
} Draw;

static Value one_of(Draw *d)
{
    uint32_t back = (uint32_t)random_below(&d->r, d->n < d->reach ? d->n : d->reach);
    return d->vector[random_chance(&d->r, 10) ? (uint32_t)random_below(&d->r, d->n) : d->n - 1 - back];
}

static Value append(Draw *d, Op op, Value a, Value b, const int64_t *attr, uint32_t nattr)
{
    Value in[2] = {a, b}, v = graph_append(d->g, op, in, b != 0 ? 2 : 1, attr, nattr, nowhere, &d->st);
    if (v == 0) fail_msg("%s", d->st.text);
    return v;
}

/* Elementwise, a reduction and what it is spread to, a product (outside of kernels), an effect with a result. */
static Value draw(Draw *d)
{
    const int64_t axis[1] = {0}, rows[2] = {4, 4}, sixteen[1] = {16}, seen[4] = {1, DT_f32, 1, 16};
    Value a = one_of(d), b = one_of(d);
    switch (random_below(&d->r, 8)) {
    case 0: return append(d, OP_broadcast, append(d, OP_sum, a, 0, axis, 1), 0, sixteen, 1);
    case 1:
        a = append(d, OP_matmul, append(d, OP_reshape, a, 0, rows, 2), append(d, OP_reshape, b, 0, rows, 2), NULL, 0);
        return append(d, OP_reshape, a, 0, sixteen, 1);
    case 2: return random_chance(&d->r, 30) ? append(d, OP_callback, a, 0, seen, 4) : append(d, OP_exp, a, 0, NULL, 0);
    case 3: return append(d, OP_exp, a, 0, NULL, 0);
    default: return append(d, random_chance(&d->r, 50) ? OP_mul : OP_atan2, a, b, NULL, 0);
    }
}

static void fused(void *arg)
{
    Draw *d = arg;
    Arena scratch, arena;
    arena_init(&scratch);
    arena_init(&arena);
    Module *m = module_new(&arena);
    d->g = graph_new(m, "f");
    const Type type = {.dtype = DT_f32, .rank = 1, .dim = {16}};
    for (d->n = 0; d->n < 4; d->n++) d->vector[d->n] = graph_param(d->g, &type, nowhere);
    for (; d->n < COUNT_OF(d->vector); d->n++) d->vector[d->n] = draw(d);
    for (uint32_t i = 0; i < 20; i++) graph_result(d->g, one_of(d));
    PassCtx ctx = {.scratch = &scratch, .target = &target, .st = &d->st, .verify = true, .only = "fuse", .stop_after = -1};
    if (!pipeline_run(&ctx, m)) fail_msg("%s", d->st.text);
    uint32_t kernels = 0;
    for (uint32_t i = 0; i < m->graph.at[0]->node.len; i++) kernels += m->graph.at[0]->node.at[i].op == OP_kernel;
    assert_true(kernels > 5);
    arena_free(&arena);
    arena_free(&scratch);
}

static void kernels_can_run_in_some_order(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        Draw d = {.r = {seed}, .reach = 3u << seed % 8};
        fused(&d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(kernels_can_run_in_some_order)};
    return cmocka_run_group_tests_name("fuse_order", tests, NULL, NULL);
}
