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

enum { SYMBOLS = 64 }; /* all of one value */

typedef struct Case {
    Arena arena;
    CaseFn *fn;
    char name[96];
    const char *text; /* of a module; NULL: the random graph of that seed */
    size_t len;
    uint64_t seed;
    Program *p; /* once it is lowered */
    void **in;
    int64_t symbol[SYMBOLS];
    RandomGraph rg;
} Case;

static void text_case(Case *c)
{
    Arena *a = &c->arena;
    Status st = {0};
    Module *m = module_parse(a, c->text, c->len, &st);
    if (m == NULL) fail_msg("%s: %s", c->name, st.text);
    for (int i = 0; i < SYMBOLS; i++) c->symbol[i] = 5;
    const Graph *g = m->graph.at[0];
    c->in = ARENA_ARRAY(a, void *, g->param.len + 1);
    for (uint32_t i = 0; i < g->param.len; i++) {
        const Type *t = graph_type(g, g->param.at[i]);
        size_t n = 1;
        for (uint32_t d = 0; d < t->rank; d++) n *= (size_t)dim_eval(&m->dims, t->dim[d], c->symbol);
        c->in[i] = cuda_spread(a, (DType)t->dtype, n);
    }
    c->p = lower(a, m, c->name);
}

static void random_case(Case *c)
{
    Arena *a = &c->arena;
    Status st = {0};
    RandomGraph *rg = &c->rg;
    if (!random_graph(rg, a, c->seed, c->seed % 2 == 0, &st)) fail_msg("%s: %s", c->name, st.text);
    c->in = ARENA_ARRAY(a, void *, rg->g->param.len + 1);
    for (uint32_t i = 0; i < rg->g->param.len; i++) c->in[i] = random_input(rg, a, i);
    for (int i = 0; i < SYMBOLS; i++) c->symbol[i] = rg->symbol[0];
    c->p = lower(a, module_again(a, rg->m, &st), c->name);
}

static void prepare(void *arg)
{
    Case *c = arg;
    (c->text != NULL ? text_case : random_case)(c);
}

/* What a random one computes, eager code too, is what the reference says. */
static void judge(void *arg)
{
    Case *c = arg;
    Arena *a = &c->arena;
    Status st = {0};
    const RandomGraph *rg = &c->rg;
    RefTensor *all;
    void **eager, **out = c->fn(a, c->name, c->p, c->in, c->symbol);
    if (out == NULL || c->text != NULL) return;
    GraphRun run = {.arena = a, .symbol = c->rg.symbol, .st = &st};
    if (!ref_run(a, rg->g, rg->symbol, (const void *const *)c->in, &all, &st) || !graph_run(&run, rg->g, (const void *const *)c->in, &eager))
        fail_msg("%s: %s", c->name, st.text);
    for (uint32_t i = 0; i < rg->g->result.len; i++) {
        RefVerdict v;
        const Value result = rg->g->result.at[i];
        if (!ref_compare(&all[result], eager[result], &v)) fail_msg("%s, eager result %u: %s", c->name, i, v.why);
        if (!ref_compare(&all[result], out[i], &v)) fail_msg("%s, result %u: %s", c->name, i, v.why);
    }
}

static void in_arena(Case *c, void (*what)(void *))
{
    Status st = {0};
    if (!arena_try(&c->arena, &st, what, c)) fail_msg("%s: %s", c->name, st.text);
}

static void run_case(Case *c)
{
    arena_init(&c->arena);
    in_arena(c, prepare);
    in_arena(c, judge);
    arena_free(&c->arena);
}

/* ---- many cases ----------------------------------------------------------------------------------------------------- */
/* How their texts are compiled: for several of them as one, but for ALONE; BINARY: by NVRTC, and not run. */
typedef enum How { ALONE, PROGRAMS, GRAPHS, BINARY } How;

/* Cases that are compiled as one text. */
typedef struct Batch {
    Case c[HOST_TOGETHER];
    uint32_t n;
    How how;
} Batch;

static void compile_batch(const Batch *b)
{
    const Program *p[HOST_TOGETHER];
    Status st = {0};
    Text source = {0};
    for (uint32_t i = 0; i < b->n; i++) p[i] = b->c[i].p;
    if (!(b->how == BINARY ? cuda_texts_together(p, b->n, 80, false, &source, &st) : cuda_host_together(p, b->n, b->how == GRAPHS, &st)))
        fail_msg("%s and more: %s", b->c[0].name, st.text);
    if (b->how == BINARY && b->n > 0) cuda_source_compiles(source.at, b->c[0].name);
    text_free(&source);
}

static void run_batch(Batch *b)
{
    Status st = {0};
    if (b->how != ALONE) compile_batch(b);
    for (uint32_t i = 0; i < b->n; i++) {
        if (b->how != BINARY) in_arena(&b->c[i], judge);
        arena_free(&b->c[i].arena);
    }
    b->n = 0;
    cuda_host_together(NULL, 0, false, &st);
}

/* Whether a case is one that is asked for. */
typedef bool ChosenFn(const Program *p);
static void add_case(Batch *b, const Case *one, ChosenFn *chosen)
{
    const char *only = getenv("KILN_CASE");
    if (only != NULL && !strstr(one->name, only)) return;
    Case *c = &b->c[b->n];
    *c = *one;
    arena_init(&c->arena);
    in_arena(c, prepare);
    if (chosen && !chosen(c->p))
        arena_free(&c->arena);
    else if (++b->n == HOST_TOGETHER)
        run_batch(b);
}

/* Cases of tests/lower.kiln. */
static void each_case(CaseFn *fn, How how, ChosenFn *chosen)
{
    Arena a;
    arena_init(&a);
    const char *at = cases_read(&a, LOWER_CASES);
    Batch *b = calloc(1, sizeof *b);
    TextCase t;
    b->how = how;
    while (cases_next(&at, CASE_MARK, &t)) {
        Case c = {.fn = fn, .text = t.text, .len = t.len};
        memcpy(c.name, t.name, sizeof c.name);
        add_case(b, &c, chosen);
    }
    run_batch(b);
    free(b);
    arena_free(&a);
}

static void each_random(CaseFn *fn, How how, ChosenFn *chosen, int count)
{
    int first = 1;
    const char *which = getenv("KILN_GRAPHS"); /* FIRST:COUNT, for several processes */
    if (which) sscanf(which, "%d:%d", &first, &count);
    Batch *b = calloc(1, sizeof *b);
    b->how = how;
    for (int seed = first; seed < first + count; seed++) {
        Case c = {.fn = fn, .seed = (uint64_t)seed};
        snprintf(c.name, sizeof c.name, "random graph %d", seed);
        add_case(b, &c, chosen);
    }
    run_batch(b);
    free(b);
}

static void **run_on_host(Arena *a, const char *name, Program *p, void *const *in, const int64_t *symbol)
{
    return cuda_agrees(a, p, in, symbol, cuda_host_run, name);
}

static uint32_t recorded, walked, seen;

/* Where the rule allows a graph; without KILN_TEST_FULL every other program. */
static bool is_replayed(const Program *p)
{
    const bool records = cuda_records(p, emu_driver(0, &(Status){0}));
    if (seen++ % 2 != 0 && !full()) return false;
    *(records ? &recorded : &walked) += 1;
    return records;
}

static void **replay_on_host(Arena *a, const char *name, Program *p, void *const *in, const int64_t *symbol)
{
    return cuda_agrees(a, p, in, symbol, cuda_graph_run, name);
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
    for (int i = 0; i < 3; i++) each_case(compile_control, ALONE, NULL);
    assert_int_equal(few, 0);
}

static void graphs_run(void **state)
{
    NEED_HOST();
    each_case(run_on_host, PROGRAMS, NULL);
}

static void random_graphs_run(void **state)
{
    NEED_HOST();
    each_random(run_on_host, PROGRAMS, NULL, full() ? 300 : 6);
}

static void graphs_are_replayed(void **state)
{
    NEED_HOST();
    const uint32_t least = record_least;
    record_least = 1;
    each_case(replay_on_host, GRAPHS, is_replayed);
    each_random(replay_on_host, GRAPHS, is_replayed, full() ? 300 : 6);
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
    each_case(NULL, BINARY, NULL);
}

static void random_graphs_compile(void **state)
{
    NEED_NVRTC();
    each_random(NULL, BINARY, NULL, full() ? 100 : 4);
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
