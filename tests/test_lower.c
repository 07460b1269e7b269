/* test_lower: graphs of tests/lower.kiln as programs, run by the interpreter of programs and judged by the reference interpreter of
 * graphs: unfused, fused, with the host's products and without; fused and unfused results must be equal in every bit. A case is
 *
 *     // case: NAME [; launches N] [; workspace N]      N: kernels and contractions when fused; bytes of temporaries
 *     a module; its entry is @main */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "cases.h"
#include "codegen/ref.h"
#include "graph_run.h"
#include "interp.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "passes/pass.h"
#include "random_graph.h"

#define SYMBOL 5 /* every symbol's value */

static const Target target = {.name = "cpu", .vector_bytes = 32, .row_cache_bytes = 16384, .fma = true, .digits = true, .turns = true, .past = true, .threads = true, .panel_bytes = 128};

typedef struct Outcome {
    uint32_t launches;
    int64_t workspace;
    void **out;
    size_t *bytes;
    uint32_t n;
} Outcome;

/* -1: not said */
static int said(const TextCase *c, const char *what)
{
    const char *at = strstr(c->title, what);
    return at != NULL ? atoi(at + strlen(what)) : -1;
}

static Module *parse(Arena *a, const TextCase *c)
{
    Status st = {0};
    Module *m = module_parse(a, c->text, c->len, &st);
    if (m == NULL) fail_msg("%s: %s", c->name, st.text);
    /* The entry comes first. */
    for (uint32_t i = 0; i < m->graph.len; i++)
        if (strcmp(m->graph.at[i]->name, "main") == 0 && i != 0) fail_msg("%s: @main must come first", c->name);
    return m;
}

static int64_t *symbols(Arena *a, const Module *m)
{
    int64_t *s = ARENA_ARRAY(a, int64_t, m->dims.expr.len + 1);
    for (uint32_t i = 0; i < m->dims.expr.len; i++) s[i] = SYMBOL;
    return s;
}

static size_t bytes_of(Arena *a, const Module *m, const Type *t)
{
    size_t n = dtype_bytes(t->dtype);
    for (uint32_t i = 0; i < t->rank; i++) n *= (size_t)dim_eval(&m->dims, t->dim[i], symbols(a, m));
    return n;
}

static void **make_inputs(Arena *a, const Module *m)
{
    const Graph *g = m->graph.at[0];
    void **in = ARENA_ARRAY(a, void *, g->param.len + 1);
    uint64_t seed = 88172645463325252u;
    for (uint32_t i = 0; i < g->param.len; i++) {
        const Type *t = graph_type(g, g->param.at[i]);
        size_t bytes = bytes_of(a, m, t), size = dtype_bytes(t->dtype);
        in[i] = arena_zeros(a, bytes + 1, 1);
        for (size_t k = 0; k < bytes / size; k++) {
            seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
            char *at = (char *)in[i] + k * size;
            if (dtype_is_float(t->dtype))
                dtype_store_f64(t->dtype, at, (double)(int64_t)(seed >> 40) / (1 << 23) * 2 - 2);
            else
                dtype_store_i64(t->dtype, at, t->dtype == DT_bool ? (int64_t)(seed >> 40 & 1) : (int64_t)(seed >> 40) % 9);
        }
    }
    return in;
}

static Program *lower(Arena *a, const TextCase *c, bool fuse, bool host)
{
    Module *m = parse(a, c);
    Arena scratch;
    Status st = {0};
    arena_init(&scratch);
    PassCtx ctx = {.scratch = &scratch, .target = &target, .host_products = host, .st = &st, .verify = true, .stop_after = fuse ? -1 : pass_count - 1};
    bool ok = pipeline_run(&ctx, m);
    arena_free(&scratch);
    if (!ok) fail_msg("%s: %s", c->name, st.text);
    LowerOptions o = {.target = target, .host_products = host};
    o.target.dear_guards = host || !fuse;
    Program *p = program_lower(a, m, &o, &st);
    if (p == NULL) fail_msg("%s: %s", c->name, st.text);
    if (getenv("KILN_SHOW") != NULL && strstr(c->name, getenv("KILN_SHOW")) != NULL) {
        Text t = {0};
        module_print(&t, m);
        program_print(&t, p);
        printf("%s\n", t.at);
        text_free(&t);
    }
    return p;
}

/* Temporaries lie at multiples of 64 bytes inside the workspace, and those alive together lie apart. */
static void check_plan(const TextCase *c, const Program *p)
{
    for (uint32_t i = 0; i < p->buf.len; i++) {
        const Buf *x = &p->buf.at[i];
        if (x->kind != BUF_TEMP) continue;
        if (x->offset % 64 != 0 || x->offset < 0 || x->offset + x->bytes > p->workspace)
            fail_msg("%s: buffer %u lies at %lld", c->name, i, (long long)x->offset);
        for (uint32_t j = 0; j < i; j++) {
            const Buf *y = &p->buf.at[j];
            if (y->kind != BUF_TEMP || x->last < y->first || y->last < x->first) continue;
            if (x->offset < y->offset + y->bytes && y->offset < x->offset + x->bytes)
                fail_msg("%s: buffers %u and %u overlap", c->name, j, i);
        }
    }
}

static Outcome run(Arena *a, const TextCase *c, bool fuse, bool host, void **in)
{
    Program *p = lower(a, c, fuse, host);
    Status st = {0};
    Outcome r = {.launches = p->launches, .workspace = p->workspace, .n = p->noutput};
    void **buf = ARENA_ARRAY(a, void *, p->ninput + p->noutput + 1);
    r.out = buf + p->ninput;
    r.bytes = ARENA_ARRAY(a, size_t, p->noutput + 1);
    memcpy(buf, in, p->ninput * sizeof *buf);
    for (uint32_t i = 0; i < p->noutput; i++) {
        r.bytes[i] = bytes_of(a, p->module, &p->buf.at[p->ninput + i].type);
        r.out[i] = arena_alloc(a, r.bytes[i] + 1);
        memset(r.out[i], 0x7f, r.bytes[i] + 1);
    }
    check_plan(c, p);
    int64_t values[16];
    for (uint32_t i = 0; i < 16; i++) values[i] = SYMBOL;
    if (!interp_run(p, buf, values, &st)) fail_msg("%s: %s", c->name, st.text);
    return r;
}

static void judge(Arena *a, const TextCase *c, const Outcome *r, void **in, const char *how)
{
    const Module *m = parse(a, c);
    const Graph *g = m->graph.at[0];
    RefTensor *all;
    Status st = {0};
    if (!ref_run(a, g, symbols(a, m), (const void *const *)in, &all, &st)) fail_msg("%s: %s", c->name, st.text);
    for (uint32_t i = 0; i < g->result.len; i++) {
        RefVerdict v;
        if (!ref_compare(&all[g->result.at[i]], r->out[i], &v) || v.undecided > v.compared / 10)
            fail_msg("%s, %s, result %u: %s", c->name, how, i, v.why[0] ? v.why : ref_doubt_text(v.doubt));
    }
}

static void run_case(const TextCase *c)
{
    Arena a;
    arena_init(&a);
    void **in = make_inputs(&a, parse(&a, c));
    Outcome plain = run(&a, c, false, false, in), fused = run(&a, c, true, false, in), host = run(&a, c, true, true, in);
    printf("# %-40s %2u launches, %2u unfused\n", c->name, fused.launches, plain.launches);
    judge(&a, c, &plain, in, "unfused");
    judge(&a, c, &fused, in, "fused");
    judge(&a, c, &host, in, "fused, with the host's products");
    for (uint32_t i = 0; i < plain.n; i++)
        if (memcmp(plain.out[i], fused.out[i], plain.bytes[i]) != 0) fail_msg("%s: result %u: fusing changed its bits", c->name, i);
    if (said(c, "; launches ") >= 0) assert_int_equal(fused.launches, said(c, "; launches "));
    if (said(c, "; workspace ") >= 0) assert_int_equal(fused.workspace, said(c, "; workspace "));
    arena_free(&a);
}

static void all_cases(void **state)
{
    (void)state;
    Arena a;
    arena_init(&a);
    const char *at = cases_read(&a, LOWER_CASES), *only = getenv("KILN_CASE");
    TextCase c;
    while (cases_next(&at, CASE_MARK, &c))
        if (only == NULL || strstr(c.name, only) != NULL) run_case(&c);
    arena_free(&a);
}

/* A loop that writes its carry over itself needs no memory but the result's. */
static void carry_in_place(void **state)
{
    static const char text[] = "module {}\n"
                               "graph @main(%1: f32[1000]) -> (%3) {\n"
                               "  %2 = constant() {i64, 3, []} : i64[]\n"
                               "  %3 = loop(%2, %1) {@body, 1, 0, 0, 0, 3, []} : f32[1000]\n"
                               "}\n"
                               "graph @body(%1: i64[], %2: f32[1000]) -> (%3) {\n"
                               "  %3 = tanh(%2) : f32[1000]\n"
                               "}\n";
    const TextCase c = {.name = "carry in place", .text = text, .len = sizeof text - 1};
    (void)state;
    Arena a;
    arena_init(&a);
    assert_int_equal(lower(&a, &c, true, false)->workspace, 0);
    arena_free(&a);
}

/* ---- random graphs: programs, element by element, in blocks and compiled, against eager kernels, bit for bit, and those against ref ---  */

typedef struct Task {
    Arena *arena;
    uint64_t seed;
    uint32_t launches, nodes, beside;
    InterpBlocks blocks;
    Kept *kept; /* of all graphs, so that their shapes meet */
} Task;

/* Values of sizes, wherever N stands in the table. */
static int64_t *all_of(Arena *a, int64_t n)
{
    int64_t *symbol = ARENA_ARRAY(a, int64_t, 4096);
    for (int i = 0; i < 4096; i++) symbol[i] = n;
    return symbol;
}

/* The first result that differs, -1: none. */
static int64_t run_random(Task *task, RandomGraph *rg, const void **in, void **eager, int stop_after, bool blocks)
{
    Arena *a = task->arena;
    Status st = {0};
    int64_t *symbol = all_of(a, rg->symbol[0]);
    GraphRun r = {.arena = a, .symbol = rg->symbol, .st = &st};
    Module *m = module_again(a, rg->m, &st);
    if (m == NULL || !graph_passes(m, &target, task->seed % 4 == 0, stop_after, &st)) fail_msg("seed %llu: %s", (unsigned long long)task->seed, st.text);
    LowerOptions o = {.target = target, .host_products = task->seed % 4 == 0};
    if (blocks) o.target.row_cache_bytes = 0, o.target.dear_guards = true;
    Program *p = program_lower(a, m, &o, &st);
    if (p == NULL && st.code == ST_VALUE) return -1; /* its symbol's upper bound is beyond any memory */
    if (p == NULL) fail_msg("seed %llu: %s", (unsigned long long)task->seed, st.text);
    if (p->workspace > GRAPH_WORKSPACE) return -1;
    void **buf = ARENA_ARRAY(a, void *, p->ninput + p->noutput + 1);
    memcpy(buf, in, p->ninput * sizeof *buf);
    for (uint32_t i = 0; i < p->noutput; i++) {
        const size_t bytes = graph_room(p, i, symbol);
        buf[p->ninput + i] = memset(arena_alloc(a, bytes + 1), 0x7f, bytes + 1);
    }
    if (!interp_blocks(p, buf, rg->symbol, blocks ? &task->blocks : NULL, &st))
        fail_msg("seed %llu: %s", (unsigned long long)task->seed, st.text);
    task->launches += p->launches;
    for (uint32_t i = 0; i < p->nstep; i++) task->beside += p->step[i].beside;
    for (uint32_t i = 0; i < p->noutput; i++) {
        DType t = (DType)graph_type(rg->g, rg->g->result.at[i])->dtype;
        int64_t n = graph_bytes(&r, rg->g, rg->g->result.at[i]) / (int64_t)dtype_bytes(t);
        if (bytes_differ(t, eager[rg->g->result.at[i]], buf[p->ninput + i], n) >= 0) return i;
    }
    return -1;
}

/* The same, compiled. */
static int64_t run_compiled(Task *task, RandomGraph *rg, const void **in, void **eager)
{
    Arena *a = task->arena;
    Status st = {0};
    Module *m = module_again(a, rg->m, &st);
    GraphRun r = {.arena = a, .symbol = all_of(a, rg->symbol[0]), .st = &st};
    void **result = ARENA_ARRAY(a, void *, rg->g->result.len + 1);
    if (m == NULL || !graph_compiled(&r, m, in, result)) {
        if (st.code == ST_VALUE) return -1; /* more memory at its bounds than a test may take; functions keep such sizes constant */
        fail_msg("seed %llu, compiled: %s", (unsigned long long)task->seed, st.text);
    }
    r.symbol = rg->symbol;
    for (uint32_t i = 0; i < rg->g->result.len; i++) {
        DType t = (DType)graph_type(rg->g, rg->g->result.at[i])->dtype;
        int64_t n = graph_bytes(&r, rg->g, rg->g->result.at[i]) / (int64_t)dtype_bytes(t);
        if (bytes_differ(t, eager[rg->g->result.at[i]], result[i], n) >= 0) return i;
    }
    return -1;
}

static void check_random(void *arg)
{
    Task *task = arg;
    RandomGraph rg;
    Status st = {0};
    void **eager;
    if (!random_graph(&rg, task->arena, task->seed, task->seed % 2 == 1, &st)) fail_msg("%s", st.text);
    if (rg.specials && getenv("KILN_EMULATED") != NULL) return; /* valgrind compares NaNs its own way (test_eager.c) */
    const void **in = ARENA_ARRAY(task->arena, const void *, rg.g->param.len + 1);
    for (uint32_t i = 0; i < rg.g->param.len; i++) in[i] = random_input(&rg, task->arena, i);
    GraphRun r = {.arena = task->arena, .symbol = rg.symbol, .kept = task->kept, .st = &st};
    if (!graph_run(&r, rg.g, in, &eager)) fail_msg("%s", st.text);
    RefTensor *all;
    if (!ref_run(task->arena, rg.g, rg.symbol, in, &all, &st)) fail_msg("seed %llu: %s", (unsigned long long)task->seed, st.text);
    for (uint32_t i = 0; i < rg.g->result.len; i++) {
        RefVerdict v;
        if (!ref_compare(&all[rg.g->result.at[i]], eager[rg.g->result.at[i]], &v))
            fail_msg("seed %llu, eager against the reference: %s", (unsigned long long)task->seed, v.why);
    }
    task->nodes += rg.g->node.len;
    /* Before the row of decompose some reductions have no lowering; fuse is the last row. */
    const int stops[] = {pass_count - 1, -1};
    for (uint32_t i = 0; i < 2 * COUNT_OF(stops); i++) {
        int64_t at = run_random(task, &rg, in, eager, stops[i % 2], i >= 2);
        if (at >= 0)
            fail_msg("seed %llu, %s%s: result %lld differs", (unsigned long long)task->seed, i % 2 ? "fused" : "unfused",
                i >= 2 ? ", in blocks" : "", (long long)at);
    }
    if (getenv("KILN_EMULATED") != NULL) return; /* valgrind does not know all instructions that LLVM emits */
    int64_t at = graph_can_compile() ? run_compiled(task, &rg, in, eager) : -1;
    if (at >= 0) fail_msg("seed %llu, compiled: result %lld differs", (unsigned long long)task->seed, (long long)at);
}

static void random_graphs(void **state)
{
    (void)state;
    const char *one = getenv("KILN_TEST_SEED");
    char *dash = NULL;
    uint64_t first = one != NULL ? strtoull(one, &dash, 10) : 1, n = getenv("KILN_TEST_FULL") != NULL ? 5000 : 120;
    if (one != NULL) n = *dash == '-' ? strtoull(dash + 1, NULL, 10) - first + 1 : 1;
    Task task = {.kept = kept_new()};
    for (uint64_t i = 0; i < n + (one == NULL); i++) {
        const uint64_t seed = i < n ? first + i : 1805; /* a kernel that writes over what it reads, and hands that on, too */
        Arena a;
        Status st = {0};
        arena_init(&a);
        task.arena = &a;
        task.seed = seed;
        if (!arena_try(&a, &st, check_random, &task)) fail_msg("%s", st.text);
        arena_free(&a);
    }
    printf("# %u nodes, %u kernels and contractions, unfused and fused together; %u kernels in blocks, %u refused; %u beside others\n", task.nodes,
        task.launches, task.blocks.ran, task.blocks.refused, task.beside);
    kept_free(task.kept);
    assert_true(task.blocks.ran > 20 * task.blocks.refused);
    assert_true(one || task.beside > 100);
}

/* ---- hashes that collide ----------------------------------------------------------------------------- */

/* The program of a case (c) or of a random graph, as text, when only these bits of each hash are kept. */
static char *text_kept(Arena *a, const TextCase *c, uint64_t seed, uint64_t kept)
{
    RandomGraph rg;
    Status st = {0};
    Text t = {0};
    Program *p = NULL;
    hash_kept = kept;
    if (c != NULL) {
        p = lower(a, c, true, false);
    } else {
        LowerOptions o = {.target = target};
        if (!random_graph(&rg, a, seed, true, &st) || !graph_passes(rg.m, &target, false, -1, &st)) fail_msg("%s", st.text);
        p = program_lower(a, rg.m, &o, &st);
    }
    hash_kept = UINT64_MAX;
    if (p != NULL) program_print(&t, p);
    char *text = arena_printf(a, "%s", t.at != NULL ? t.at : st.text);
    text_free(&t);
    return text;
}

static void same_text(Arena *a, const TextCase *c, uint64_t seed, const char *name)
{
    const uint64_t few[] = {0, 3};
    const char *with_all = text_kept(a, c, seed, UINT64_MAX);
    for (uint32_t i = 0; i < COUNT_OF(few); i++) {
        const char *with_few = text_kept(a, c, seed, few[i]);
        if (strcmp(with_all, with_few) != 0)
            fail_msg("%s: hashes that collide made another program:\n%s\n---- instead of\n%s", name, with_few, with_all);
    }
}

static void same_random(void *arg)
{
    Task *task = arg;
    same_text(task->arena, NULL, task->seed, arena_printf(task->arena, "seed %llu", (unsigned long long)task->seed));
}

/* A hash finds what may be the same thing; whether it is, the thing itself tells: programs do not depend on hashes. */
static void hashes_collide(void **state)
{
    (void)state;
    Arena a;
    Status st = {0};
    TextCase c;
    arena_init(&a);
    for (const char *at = cases_read(&a, LOWER_CASES); cases_next(&at, CASE_MARK, &c);) same_text(&a, &c, 0, c.name);
    for (Task task = {.arena = &a, .seed = 1}; task.seed <= 40; task.seed++)
        if (!arena_try(&a, &st, same_random, &task)) fail_msg("%s", st.text);
    arena_free(&a);
    hash_kept = 1;
    all_cases(state);
    hash_kept = UINT64_MAX;
}

int main(void)
{
    random_factors = graph_has_lapack();
    random_counts = true;
    launch_least = 0; /* kernels are small here, and are to be side by side all the same */
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_cases), cmocka_unit_test(carry_in_place),
        cmocka_unit_test(random_graphs), cmocka_unit_test(hashes_collide)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
