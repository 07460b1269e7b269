/* test_cuda_graph: graphs, lowered for CUDA: the cases of tests/lower.kiln and random ones,
 * compiled by NVRTC and executed on the host. What random ones
 * compute, eager code and CUDA's, is what the reference says. test_card.c has them on devices. */
#include "cases.h"
#include "codegen/cuda/run.h"
#include "codegen/emu.h"
#include "codegen/ref.h"
#include "cuda_check.h"

#include "graph_run.h"
#include "ir/text.h"
#include "passes/pass.h"
#include "random_graph.h"

static bool full(void) { return getenv("KILN_TEST_FULL") != NULL; }

static bool shares_rows = true; /* whether the target does */

static Program *lower(Arena *a, Module *m, const char *what)
{
    Status st = {0};
    LowerOptions o = {0};
    cuda_target(&o.target);
    if (!shares_rows) o.target.shared_row = 0;
    o.target.sums = SUMS_CHAINS; /* whose bits are compared */
    if (!graph_passes(m, &o.target, false, -1, &st)) fail_msg("%s: %s", what, st.text);
    Program *p = program_lower(a, m, &o, &st);
    if (p == NULL) fail_msg("%s: %s", what, st.text);
    return p;
}

/* The outputs; NULL: it does not run p. */
typedef void **CaseFn(Arena *a, const char *name, Program *p, void *const *in, const int64_t *symbol);

typedef struct Case {
    Arena arena;
    CaseFn *fn;
    char name[96];
    const char *text; /* of a module; NULL: the random graph of that seed */
    size_t len;
    uint64_t seed;
} Case;

enum { SYMBOLS = 64 }; /* all of one value */

static void text_case(void *arg)
{
    Case *c = arg;
    Arena *a = &c->arena;
    Status st = {0};
    int64_t symbol[SYMBOLS];
    Module *m = module_parse(a, c->text, c->len, &st);
    if (m == NULL) fail_msg("%s: %s", c->name, st.text);
    for (int i = 0; i < SYMBOLS; i++) symbol[i] = 5;
    const Graph *g = m->graph.at[0];
    void **in = ARENA_ARRAY(a, void *, g->param.len + 1);
    for (uint32_t i = 0; i < g->param.len; i++) {
        const Type *t = graph_type(g, g->param.at[i]);
        size_t n = 1;
        for (uint32_t d = 0; d < t->rank; d++) n *= (size_t)dim_eval(&m->dims, t->dim[d], symbol);
        in[i] = cuda_spread(a, (DType)t->dtype, n);
    }
    c->fn(a, c->name, lower(a, m, c->name), in, symbol);
}

static void random_case(void *arg)
{
    Case *c = arg;
    Arena *a = &c->arena;
    Status st = {0};
    RandomGraph rg;
    int64_t symbol[SYMBOLS];
    if (!random_graph(&rg, a, c->seed, c->seed % 2 == 0, &st)) fail_msg("%s: %s", c->name, st.text);
    void **in = ARENA_ARRAY(a, void *, rg.g->param.len + 1);
    for (uint32_t i = 0; i < rg.g->param.len; i++) in[i] = random_input(&rg, a, i);
    for (int i = 0; i < SYMBOLS; i++) symbol[i] = rg.symbol[0];
    RefTensor *all;
    void **eager, **out;
    GraphRun run = {.arena = a, .symbol = rg.symbol, .st = &st};
    if (!ref_run(a, rg.g, rg.symbol, (const void *const *)in, &all, &st) || !graph_run(&run, rg.g, (const void *const *)in, &eager))
        fail_msg("%s: %s", c->name, st.text);
    if ((out = c->fn(a, c->name, lower(a, rg.m, c->name), in, symbol)) == NULL) return;
    for (uint32_t i = 0; i < rg.g->result.len; i++) {
        RefVerdict v;
        const Value result = rg.g->result.at[i];
        if (!ref_compare(&all[result], eager[result], &v)) fail_msg("%s, eager result %u: %s", c->name, i, v.why);
        if (!ref_compare(&all[result], out[i], &v)) fail_msg("%s, result %u: %s", c->name, i, v.why);
    }
}

static void run_case(Case *c)
{
    Status st = {0};
    arena_init(&c->arena);
    if (!arena_try(&c->arena, &st, c->text != NULL ? text_case : random_case, c)) fail_msg("%s: %s", c->name, st.text);
    arena_free(&c->arena);
}

/* Cases of tests/lower.kiln. */
static void each_case(CaseFn *fn)
{
    const char *only = getenv("KILN_CASE");
    Arena a;
    arena_init(&a);
    const char *at = cases_read(&a, LOWER_CASES);
    TextCase t;
    while (cases_next(&at, CASE_MARK, &t)) {
        Case c = {.fn = fn, .text = t.text, .len = t.len};
        memcpy(c.name, t.name, sizeof c.name);
        if (only == NULL || strstr(c.name, only) != NULL) run_case(&c);
    }
    arena_free(&a);
}

static void each_random(CaseFn *fn, int count)
{
    int first = 1;
    const char *only = getenv("KILN_CASE"), *which = getenv("KILN_GRAPHS"); /* FIRST:COUNT, for several processes */
    if (which) sscanf(which, "%d:%d", &first, &count);
    for (int seed = first; seed < first + count; seed++) {
        Case c = {.fn = fn, .seed = (uint64_t)seed};
        snprintf(c.name, sizeof c.name, "random graph %d", seed);
        if (only == NULL || strstr(c.name, only) != NULL) run_case(&c);
    }
}

static void **run_on_host(Arena *a, const char *name, Program *p, void *const *in, const int64_t *symbol)
{
    return cuda_agrees(a, p, in, symbol, cuda_host_run, name);
}

static uint32_t recorded, walked, seen;

/* As a graph, where the rule allows one; without KILN_TEST_FULL every other program. */
static void **replay_on_host(Arena *a, const char *name, Program *p, void *const *in, const int64_t *symbol)
{
    const bool records = cuda_records(p, emu_driver(0, &(Status){0}));
    if (seen++ % 2 != 0 && !full()) return NULL;
    *(records ? &recorded : &walked) += 1;
    return records ? cuda_agrees(a, p, in, symbol, cuda_graph_run, name) : NULL;
}

static void **compile_case(Arena *a, const char *name, Program *p, void *const *in, const int64_t *symbol)
{
    (void)a, (void)name, (void)in, (void)symbol;
    cuda_compiles(p);
    return NULL;
}

static int few;

/* What graphs need besides compiles for cards, and keeps everything in registers: a product that computes what follows it, then loops
 * and branches, then a loop with a condition. */
static void **compile_control(Arena *a, const char *name, Program *p, void *const *in, const int64_t *symbol)
{
    Status st = {0};
    Text source = {0};
    bool needs[CONTROLS];
    (void)a, (void)in, (void)symbol;
    control_needs(p, needs);
    bool ends = false;
    for (uint32_t i = 0; i < p->nstep; i++) ends = ends || (p->step[i].kind == STEP_CONTRACT && step_end(&p->step[i]));
    const bool wanted = few == 3 ? ends : few == 2 ? needs[C_TURN] && needs[C_CHOOSE] && needs[C_COPY] : few == 1 && needs[C_DECIDE];
    if (!wanted) return NULL;
    few--;
    if (!cuda_graph_text(p, 80, &source, &st)) fail_msg("%s", st.text);
    cuda_source_compiles(source.at, name);
    cuda_fits_registers(source.at, name);
    text_free(&source);
    return NULL;
}

static void control_compiles(void **state)
{
    NEED_NVRTC();
    few = 3;
    for (int i = 0; i < 3; i++) each_case(compile_control);
    assert_int_equal(few, 0);
}

static void graphs_run(void **state)
{
    NEED_HOST();
    each_case(run_on_host);
}

static void random_graphs_run(void **state)
{
    NEED_HOST();
    each_random(run_on_host, full() ? 300 : 6);
}

static void graphs_are_replayed(void **state)
{
    NEED_HOST();
    const uint32_t least = record_least;
    record_least = 1;
    each_case(replay_on_host);
    each_random(replay_on_host, full() ? 300 : 6);
    print_message("%u programs as graphs, %u not\n", recorded, walked);
    assert_true(recorded > 10);
    record_least = least;
}

/* The condition always holds, so the loop goes on after its bound, and the code says which loop it was. */
static void **beyond_its_bound(Arena *a, const char *name, Program *p, void *const *in, const int64_t *symbol)
{
    Status st = {0};
    char want[64];
    (void)name, (void)in;
    const Step *loop = p->step;
    while (loop->kind != STEP_LOOP) loop++;
    snprintf(want, sizeof want, "the program returned %u", ST_VALUE + ENTRY_LOOP * (loop->id + 1));
    for (int graph = 0; graph < 2; graph++) {
        RunFn *run = graph ? cuda_graph_run : cuda_host_run;
        status_clear(&st);
        assert_false(run(p, (void *[]){arena_zeros(a, 4, 1), arena_zeros(a, 4, 1), arena_zeros(a, 8, 1)}, symbol, &st));
        assert_int_equal(st.code, ST_VALUE);
        assert_string_equal(st.text, want);
    }
    return NULL;
}

static void loop_beyond_its_bound(void **state)
{
    NEED_HOST();
    static const char text[] = "module {}\n"
                               "graph @main(%1: f32[]) -> (%3, %4) {\n"
                               "  %2 = constant() {i64, 3, []} : i64[]\n"
                               "  %3, %4 = loop(%2, %1) {@step, 1, 0, 0, 0, 3, [@always]} : f32[], i64[]\n"
                               "}\n"
                               "graph @always(%1: i64[], %2: f32[]) -> (%3) {\n  %3 = eq(%2, %2) : bool[]\n}\n"
                               "graph @step(%1: i64[], %2: f32[]) -> (%3) {\n  %3 = sin(%2) : f32[]\n}\n";
    Case c = {.fn = beyond_its_bound, .name = "beyond its bound", .text = text, .len = sizeof text - 1};
    run_case(&c);
}

static int64_t most_points(const Program *p)
{
    int64_t most = 0;
    for (uint32_t i = 0; i < p->kernel.len; i++) {
        int64_t points = 1;
        for (uint32_t d = 0; d < p->kernel.at[i].naxis; d++)
            if ((int)d != p->kernel.at[i].sweep) points *= p->kernel.at[i].extent[d];
        most = MAX_OF(most, points);
    }
    return most;
}

/* Many blocks share a long fold; the bits are those of eager code all the same. */
static void long_fold(void *arena)
{
    enum { N = 1300037 };
    static const char text[] = "module {}\n"
                               "graph @main(%1: f32[1300037]) -> (%2) {\n  %2 = sum(%1) {[0]} : f32[]\n}\n";
    Status st = {0};
    float *x = arena_zeros(arena, N, sizeof *x);
    for (int i = 0; i < N; i++) x[i] = 1 + (float)(i % 97) / 128;
    void *in[] = {x}, **eager, **out;
    GraphRun run = {.arena = arena, .st = &st};
    Module *m = module_parse(arena, text, sizeof text - 1, &st);
    assert_true(m && graph_run(&run, m->graph.at[0], (const void *const *)in, &eager));
    const float want = *(float *)eager[m->graph.at[0]->result.at[0]];
    for (int cut = 0; cut < 2; cut++) {
        shares_rows = !cut;
        const Program *p = lower(arena, module_parse(arena, text, sizeof text - 1, &st), "a long fold");
        if (cut)
            assert_in_range(most_points(p), 256, 1024);
        else
            assert_true(p->kernel.len == 1 && cuda_shape(p, p->kernel.at).several);
        out = cuda_agrees(arena, p, in, NULL, cuda_host_run, "a long fold");
        assert_memory_equal(out[0], &want, sizeof want);
    }
    shares_rows = true;
}

static void long_folds_are_shared(void **state)
{
    NEED_HOST();
    Arena a;
    arena_init(&a);
    assert_true(arena_try(&a, &(Status){0}, long_fold, &a));
    arena_free(&a);
}

static void graphs_compile(void **state)
{
    NEED_NVRTC();
    each_case(compile_case);
}

static void random_graphs_compile(void **state)
{
    NEED_NVRTC();
    each_random(compile_case, full() ? 100 : 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(graphs_compile),
        cmocka_unit_test(random_graphs_compile),
        cmocka_unit_test(control_compiles),
        cmocka_unit_test(graphs_run),
        cmocka_unit_test(random_graphs_run),
        cmocka_unit_test(graphs_are_replayed),
        cmocka_unit_test(loop_beyond_its_bound),
        cmocka_unit_test(long_folds_are_shared),
    };
    if (getenv("KILN_ONLY") != NULL) cmocka_set_test_filter(getenv("KILN_ONLY"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
