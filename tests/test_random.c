/* Random graphs, every op of ops.def many times over: eager against the reference interpreter, node by node and over whole graphs;
 * odd layouts against plain ones; what the passes make of a graph, interpreted and compiled calls, and objects, against eager, bit for bit. Text round trips,
 * the verifier after every pass. KILN_TEST_FULL=1: many more graphs. KILN_TEST_SEED=n or n-m: those graphs alone.
 * KILN_TEST_DEPTH=n: a node that is wrong is shown with n steps of what it depends on. */
#include <math.h>
#include <setjmp.h>
#include <stdio.h>

#include <cmocka.h>

#include "codegen/ref.h"
#include "cuda_check.h"
#include "graph_run.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "late.h"
#include "random_coverage.h"
#include "text_run.h"

#define FIRST_SEED 1000
#define MOST_FAILURES 5

typedef enum Mode { MODE_PASSES, MODE_INTERPRETED, MODE_COMPILED, MODE_EMITTED, MODE_OBJECT, MODES } Mode;
static const char *const mode_name[MODES] = {"after the passes", "interpreted", "compiled", "compiled, its products emitted", "as an object"};

typedef struct Case {
    Arena *arena;
    RandomGraph rg;
    const void **in;
    void **eager; /* bytes of all values */
    Status st;
    Mode mode;
} Case;

static struct {
    uint32_t kernels, compiled, objects, failures;
    double elements, undecided, worst[DT_COUNT]; /* worst: ulps of one node on exact operands */
} total;
static RandomCoverage seen;

static ThreadPool *threads;
static kiln *interpreting;
static uint64_t running; /* seed, for when it crashes */

static GraphRun runner(Case *c, bool host_products, uint64_t odd)
{
    return (GraphRun){.arena = c->arena, .threads = threads, .symbol = c->rg.symbol, .host_products = host_products, .odd = odd, .st = &c->st};
}

/* ---- telling of a failure ----------------------------------------------------------------------------------- */

/* The nodes that v depends on through at most `depth` steps; what lies beyond becomes parameters, from[i] the value of g that
 * parameter i stands for. */
typedef struct Cut {
    Graph *sub;
    Value *map;
    VEC(Value) from;
} Cut;

static Value cut_value(Case *c, Cut *cut, Value v, int depth)
{
    const Graph *g = c->rg.g;
    const Node *n = graph_maker(g, v);
    if (cut->map[v] != 0) return cut->map[v];
    bool source = n->nin == 0 && n->op != OP_param;
    if (depth < 0 && !source) {
        *VEC_PUSH(c->arena, &cut->from) = v;
        return cut->map[v] = graph_param(cut->sub, graph_type(g, v), (Loc){0});
    }
    if (n->op == OP_param) return cut_value(c, cut, v, -1);
    Value *in = arena_zeros(c->arena, n->nin + 1u, sizeof *in);
    for (uint32_t k = 0; k < n->nin; k++) in[k] = cut_value(c, cut, n->in[k], depth - 1);
    Type *types = arena_zeros(c->arena, n->nout, sizeof *types);
    for (uint32_t k = 0; k < n->nout; k++) types[k] = *graph_type(g, n->out + k);
    Value out = graph_append_typed(cut->sub, (Op)n->op, in, n->nin, n->attr->at, n->attr->len, types, n->nout, (Loc){0});
    for (uint32_t k = 0; k < n->nout; k++) cut->map[n->out + k] = out + k;
    return cut->map[v];
}

static Cut cut_graph(Case *c, Value v, int depth)
{
    Module *m = c->rg.m;
    Cut cut = {.sub = graph_new(m, "main"), .map = arena_zeros(c->arena, c->rg.g->value.len, sizeof *cut.map)};
    m->graph.len--;
    cut.sub->index = 0;
    for (Value s = 1; s < v; s++) /* what counts sizes is no operand of what has them */
        if (graph_maker(c->rg.g, s)->op == OP_set_size) cut_value(c, &cut, s, INT16_MAX);
    graph_result(cut.sub, cut_value(c, &cut, v, depth));
    return cut;
}

/* The module with another entry, copied through its text. */
static Module *copy_with(Case *c, Graph *entry)
{
    Module *m = c->rg.m;
    m->graph.at[0] = entry;
    Module *copy = module_again(c->arena, m, &c->st);
    m->graph.at[0] = c->rg.g;
    return copy;
}

static void print_cut(Case *c, const Cut *cut)
{
    Text text = {0};
    c->rg.m->graph.at[0] = cut->sub;
    module_print(&text, c->rg.m);
    c->rg.m->graph.at[0] = c->rg.g;
    fprintf(stderr, "%s\n", text.at);
    text_free(&text);
}

static void failed(Case *c, const char *what, const char *detail)
{
    total.failures++;
    fprintf(stderr, "\n---- seed %llu%s%s, N = %lld: %s: %s\n", (unsigned long long)c->rg.seed, c->rg.gradient ? ", with gradients" : "",
            c->rg.specials ? ", special values" : "", (long long)c->rg.symbol[0], what, detail);
}

static void print_element(const char *who, DType t, const void *bytes, int64_t i)
{
    const char *at = (const char *)bytes + i * (int64_t)dtype_bytes(t);
    if (dtype_is_float(t))
        fprintf(stderr, "  %s: element %lld is %a\n", who, (long long)i, dtype_load_f64(t, at));
    else
        fprintf(stderr, "  %s: element %lld is %lld\n", who, (long long)i, (long long)dtype_load_i64(t, at));
}

/* ---- the ways to run a graph whole ------------------------------------------------------------------------------ */

/* The reference, too, runs what the passes made: regions and all. */
static void check_passed(Case *c, const Graph *g, const int64_t *symbol, void *const *result)
{
    RefTensor *all;
    for (uint32_t i = 0; i < g->node.len; i++) total.kernels += g->node.at[i].op == OP_kernel;
    if (!ref_run(c->arena, g, symbol, c->in, &all, &c->st)) {
        failed(c, "reference after the passes", c->st.text);
        return;
    }
    for (uint32_t i = 0; i < g->result.len; i++) {
        RefVerdict v;
        if (!ref_compare(&all[g->result.at[i]], result[i], &v)) failed(c, "reference after the passes", v.why);
    }
}

/* For a copy of the module: N, and of sizes that nodes count what they were eagerly. */
static int64_t *symbols_in(Case *c, const Module *m)
{
    const DimTable *dims = &c->rg.m->dims;
    int64_t *symbol = arena_zeros(c->arena, COUNT_OF(c->rg.symbol), sizeof *symbol);
    for (uint32_t i = 0; i < dims->expr.len; i++) {
        const char *name = dims->expr.at[i].name;
        const Dim d = dims->expr.at[i].kind == DIM_SYMBOL ? dim_find(&m->dims, name, strlen(name)) : DIM_BAD;
        if (d != DIM_BAD) symbol[-1 - d] = c->rg.symbol[i];
    }
    return symbol;
}

/* Results of the module's entry in that mode; the module is used up. */
static bool run_mode(Case *c, Mode mode, Module *m, const void *const *in, void **result)
{
    GraphRun r = runner(c, mode != MODE_EMITTED, 0);
    int64_t *symbol = r.symbol = symbols_in(c, m);
    if (mode == MODE_INTERPRETED) return text_run(&r, interpreting, m, in, result);
    if (mode == MODE_OBJECT) return graph_as_object(&r, m, in, result);
    if (mode != MODE_PASSES) return graph_compiled(&r, m, in, result);
    static const Target target = {.name = "cpu", .vector_bytes = 32, .row_cache_bytes = 16 << 10, .fma = true, .threads = true};
    void **all;
    if (!graph_passes(m, &target, false, -1, &c->st) || !graph_run(&r, m->graph.at[0], in, &all)) return false;
    for (uint32_t i = 0; i < m->graph.at[0]->result.len; i++) result[i] = all[m->graph.at[0]->result.at[i]];
    if (in == c->in) check_passed(c, m->graph.at[0], symbol, result);
    return true;
}

static int64_t first_difference(Case *c, Value v, const void *bytes)
{
    const Type *t = graph_type(c->rg.g, v);
    GraphRun r = runner(c, true, 0);
    int64_t n = graph_bytes(&r, c->rg.g, v) / (int64_t)dtype_bytes((DType)t->dtype);
    return bytes_differ((DType)t->dtype, c->eager[v], bytes, n);
}

/* Whether the cut alone goes wrong; tell: print how. */
static bool cut_fails(Case *c, const Cut *cut, Mode mode, Value v, bool tell)
{
    void *result[1] = {NULL};
    for (uint32_t i = 0; i < cut->from.len; i++) { /* a stack of a loop cannot come from outside */
        const Type *t = graph_type(c->rg.g, cut->from.at[i]);
        if (t->rank != 0 && dim_is_made(&c->rg.m->dims, t->dim[0])) return false;
        for (uint32_t k = 0; k < t->rank; k++)
            if (dim_is_counted(&c->rg.m->dims, t->dim[k])) return false;
    }
    const void **in = arena_zeros(c->arena, cut->from.len + 1u, sizeof *in);
    c->st = (Status){0};
    for (uint32_t i = 0; i < cut->from.len; i++) in[i] = c->eager[cut->from.at[i]];
    Module *m = copy_with(c, cut->sub);
    bool ran = m != NULL && run_mode(c, mode, m, in, result);
    int64_t at = ran ? first_difference(c, v, result[0]) : -1;
    if (!tell) return !ran || at >= 0;
    if (!ran) {
        fprintf(stderr, "  %s\n", c->st.text);
    } else if (at >= 0) {
        DType t = (DType)graph_type(c->rg.g, v)->dtype;
        print_element("eager", t, c->eager[v], at);
        print_element(mode_name[mode], t, result[0], at);
    }
    return !ran || at >= 0;
}

/* The first node of the program that goes wrong with all that it depends on, then with as little of that as suffices. */
static void shrink(Case *c, Mode mode)
{
    const Graph *g = c->rg.g;
    for (uint32_t i = 0; i < g->node.len; i++) {
        const Node *n = &g->node.at[i];
        for (uint32_t k = 0; k < n->nout && n->op != OP_param; k++) {
            Cut whole = cut_graph(c, n->out + k, INT16_MAX);
            if (!cut_fails(c, &whole, mode, n->out + k, false)) continue;
            int depth = 0;
            for (; depth < 6; depth++) {
                Cut less = cut_graph(c, n->out + k, depth);
                if (cut_fails(c, &less, mode, n->out + k, false)) break;
            }
            Cut least = cut_graph(c, n->out + k, depth < 6 ? depth : INT16_MAX);
            print_cut(c, &least);
            cut_fails(c, &least, mode, n->out + k, true);
            return;
        }
    }
    fprintf(stderr, "  each value alone is right\n");
}

/* On a device whose bits docs/numerics.md leaves to it. False: they are the CPU's, too. */
static bool check_allowed(Case *c, void *const *result)
{
    const int is = cuda_allows(c->arena, copy_with(c, c->rg.g), c->rg.symbol, c->in, result, &c->st);
    if (is < 0) failed(c, "on the device", c->st.text);
    return is != 0;
}

static void check_mode(Case *c, Mode mode)
{
    Graph *g = c->rg.g;
    void **result = arena_zeros(c->arena, g->result.len + 1u, sizeof *result);
    const uint32_t before = total.failures;
    c->st = (Status){0};
    total.objects += mode == MODE_OBJECT;
    Module *m = copy_with(c, g);
    if (m == NULL || !run_mode(c, mode, m, c->in, result)) {
        /* more memory at its bounds than a test may take: functions keep such sizes constant */
        if (c->st.code != ST_VALUE) failed(c, mode_name[mode], c->st.text);
        total.objects -= mode == MODE_OBJECT;
    } else if (mode != MODE_INTERPRETED || !late_keeps() || !check_allowed(c, result)) {
        for (uint32_t i = 0; i < g->result.len && total.failures == before; i++) {
            Value v = g->result.at[i];
            int64_t at = first_difference(c, v, result[i]);
            if (at < 0) continue;
            char detail[80];
            snprintf(detail, sizeof detail, "result %u differs at element %lld", i, (long long)at);
            failed(c, mode_name[mode], detail);
            print_element("eager", (DType)graph_type(g, v)->dtype, c->eager[v], at);
            print_element(mode_name[mode], (DType)graph_type(g, v)->dtype, result[i], at);
        }
    }
    if (total.failures != before) shrink(c, mode);
}

/* ---- eager ----------------------------------------------------------------------------------------------------------- */

static void fail_at_node(Case *c, uint32_t node, const char *what, const char *detail)
{
    failed(c, what, detail);
    const char *depth = getenv("KILN_TEST_DEPTH");
    Cut cut = cut_graph(c, c->rg.g->node.at[node].out, depth != NULL ? atoi(depth) : 0);
    print_cut(c, &cut);
}

/* Each node on the operands that it had, against the reference. */
static void check_nodes(Case *c)
{
    const Graph *g = c->rg.g;
    for (uint32_t i = 0; i < g->node.len && total.failures < MOST_FAILURES; i++) {
        const Node *n = &g->node.at[i];
        if (n->op == OP_param) continue;
        RefTensor *loaded = arena_zeros(c->arena, n->nin + 1u, sizeof *loaded), *out;
        const RefTensor **in = arena_zeros(c->arena, n->nin + 1u, sizeof *in);
        for (uint32_t k = 0; k < n->nin; k++) {
            Type t = *graph_type(g, n->in[k]);
            for (uint32_t d = 0; d < t.rank; d++) t.dim[d] = dim_eval(&g->module->dims, t.dim[d], c->rg.symbol);
            loaded[k] = ref_load(c->arena, &t, c->eager[n->in[k]]);
            in[k] = &loaded[k];
        }
        if (!ref_run_node(c->arena, g, i, c->rg.symbol, false, in, &out, &c->st)) {
            fail_at_node(c, i, "reference", c->st.text);
            return;
        }
        for (uint32_t k = 0; k < n->nout; k++) {
            RefVerdict v;
            if (!ref_compare(&out[k], c->eager[n->out + k], &v)) fail_at_node(c, i, "eager against the reference, one node", v.why);
            double *worst = &total.worst[out[k].type.dtype];
            if (op_def[n->op].flags & OPF_ELEMENTWISE) *worst = fmax(*worst, v.worst_ulps);
        }
    }
}

/* The whole graph, errors adding up. */
static void check_whole(Case *c)
{
    const Graph *g = c->rg.g;
    RefTensor *all;
    if (!ref_run(c->arena, g, c->rg.symbol, c->in, &all, &c->st)) {
        failed(c, "reference", c->st.text);
        return;
    }
    for (uint32_t i = 0; i < g->node.len; i++)
        for (Value x = g->node.at[i].out; x < g->node.at[i].out + g->node.at[i].nout; x++) {
            RefVerdict v;
            bool fine = ref_compare(&all[x], c->eager[x], &v);
            total.elements += (double)all[x].count;
            total.undecided += (double)v.undecided;
            if (fine) continue;
            fail_at_node(c, i, "eager against the reference, whole graph", v.why);
            return;
        }
}

static void check_layouts(Case *c)
{
    const Graph *g = c->rg.g;
    GraphRun r = runner(c, true, c->rg.seed);
    for (uint32_t i = 0; i < g->node.len && total.failures < MOST_FAILURES; i++) {
        const Node *n = &g->node.at[i];
        void **out = arena_zeros(c->arena, n->nout + 1u, sizeof *out), **in = arena_zeros(c->arena, n->nin + 1u, sizeof *in);
        if (n->op == OP_param) continue;
        for (uint32_t k = 0; k < n->nin; k++) in[k] = c->eager[n->in[k]];
        if (!graph_run_node(&r, g, i, in, out)) {
            fail_at_node(c, i, "eager on odd layouts", c->st.text);
            return;
        }
        for (uint32_t k = 0; k < n->nout; k++) {
            char detail[80];
            int64_t at = first_difference(c, n->out + k, out[k]);
            if (at < 0) continue;
            snprintf(detail, sizeof detail, "element %lld differs", (long long)at);
            fail_at_node(c, i, "eager on odd layouts against plain ones", detail);
            print_element("plain", (DType)graph_type(g, n->out + k)->dtype, c->eager[n->out + k], at);
            print_element("odd", (DType)graph_type(g, n->out + k)->dtype, out[k], at);
        }
    }
}

/* ---- one graph ------------------------------------------------------------------------------------------------------ */

typedef struct Task {
    uint64_t seed;
    bool compile, object;
    Arena *arena;
} Task;

static bool run_eagerly(Case *c)
{
    GraphRun r = runner(c, true, 0);
    if (graph_run(&r, c->rg.g, c->in, &c->eager)) return true;
    failed(c, "eager", c->st.text);
    return false;
}

static void check_graph(void *arg)
{
    const Task *task = arg;
    Case c = {.arena = task->arena};
    if (!random_graph(&c.rg, c.arena, task->seed, task->seed % 2 == 1, &c.st) || !module_verify(c.rg.m, &c.st)) {
        failed(&c, "making the graph", c.st.text);
        return;
    }
    coverage_add(&seen, &c.rg);
    c.in = arena_zeros(c.arena, c.rg.g->param.len + 1u, sizeof *c.in);
    for (uint32_t i = 0; i < c.rg.g->param.len; i++) c.in[i] = random_input(&c.rg, c.arena, i);
    if (!run_eagerly(&c)) return;
    check_nodes(&c);
    check_whole(&c);
    check_layouts(&c);
    check_mode(&c, MODE_PASSES);
    check_mode(&c, MODE_INTERPRETED);
    if (!task->compile) return;
    total.compiled++;
    check_mode(&c, MODE_COMPILED);
    check_mode(&c, MODE_EMITTED);
    if (task->object) check_mode(&c, MODE_OBJECT);
}

static void one_seed(uint64_t seed, bool compile, bool object)
{
    Arena arena;
    Status st = {0};
    running = seed;
    arena_init(&arena);
    Task task = {.seed = seed, .compile = compile, .object = object, .arena = &arena};
    if (!arena_try(&arena, &st, check_graph, &task)) fail_msg("seed %llu: %s", (unsigned long long)seed, st.text);
    arena_free(&arena);
    running = 0;
}

static void report(void)
{
    printf("%u graphs (%u with gradients), %u nodes, %u compiled, %u objects; %.2f %% of the elements undecided\n", seen.graphs, seen.gradients,
           seen.nodes, total.compiled, total.objects, 100 * total.undecided / fmax(total.elements, 1));
    printf("worst elementwise error in ulp: f32 %.2f, f64 %.2f, f16 %.2f, bf16 %.2f\n", total.worst[DT_f32], total.worst[DT_f64],
           total.worst[DT_f16], total.worst[DT_bf16]);
    printf("%u fused kernels\n", total.kernels);
    coverage_print(&seen);
}

static void random_graphs(void **state)
{
    (void)state;
    const char *one = getenv("KILN_TEST_SEED");
    const bool full = getenv("KILN_TEST_FULL") != NULL, elsewhere = getenv("KILN_TEST_DEVICE") != NULL;
    const bool compiler = !elsewhere && graph_can_compile();
    const bool linker = compiler && system("${CC:-cc} --version > /dev/null 2>&1") == 0;
    const uint64_t graphs = elsewhere ? (full ? 1000 : 30) : full ? 8000 : 200, every = full ? 1 : 3, each = full ? 3 : 6; /* compiled, and linked */
    threads = threads_new(2);
    random_counts = true;
    if (!(random_factors = graph_has_lapack())) printf("no LAPACK: it is not drawn\n");
    interpreting = kiln_open(&(kiln_options){.threads = 2, .compile = elsewhere ? KILN_WAIT : KILN_NEVER}); /* other tests run ops */
    if (one != NULL) {
        char *dash;
        uint64_t first = strtoull(one, &dash, 10), last = *dash == '-' ? strtoull(dash + 1, NULL, 10) : first;
        for (uint64_t seed = first; seed <= last && total.failures < MOST_FAILURES; seed++) one_seed(seed, compiler, linker);
        report();
        assert_int_equal(total.failures, 0);
        threads_free(threads);
        kiln_close(interpreting);
        return;
    }
    if (!compiler && !elsewhere) printf("no LLVM module: nothing is compiled\n");
    for (uint64_t i = 0; (i < graphs || (!elsewhere && i < 4 * graphs && coverage_lacks(&seen, full) != NULL)) && total.failures < MOST_FAILURES; i++)
        one_seed(FIRST_SEED + i, compiler && i / 2 % every == 0, linker && i / 2 % each == 0);
    threads_free(threads);
    kiln_close(interpreting);
    report();
    if (total.failures != 0) fail_msg("%u failures", total.failures);
    if (elsewhere) return;
    const char *lacks = coverage_lacks(&seen, full);
    if (lacks != NULL) fail_msg("%s", lacks);
    assert_true(total.kernels >= 20);
    if (full) assert_true(seen.graphs - seen.nested[0] >= 2000 && (!linker || total.objects >= 2000));
    assert_true(total.undecided < 0.1 * total.elements);
}

static int tell_crash(void **state)
{
    (void)state;
    if (running != 0) fprintf(stderr, "seed %llu was running\n", (unsigned long long)running);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_teardown(random_graphs, tell_crash)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
