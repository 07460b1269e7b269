/* long functions: what compiling costs grows as the program does. No clock: emitted functions have a bounded length however many steps
 * there are, kernels compute a bounded number of values again, and the bits are those of the graph run node by node. */
#include "codegen/lower/lower.h"
#include "codegen/lower/memplan.h"
#include "failing.h"
#include "graph_run.h"
#include "ir/text.h"
#include "passes/pass.h"

#include <stdio.h>

enum {
    LONGEST = 12500, /* lines of LLVM in one function: a kernel of as many gathers as there may be, each of 72 lines */
    PER_STEP = 8     /* nodes in kernels for each turn of a program's loop */
};

typedef struct Run {
    Arena arena, scratch;
    Text text;
    Status st;
    uint32_t nodes, body_nodes, longest, functions; /* of the module, of all kernels, lines of LLVM */
    bool compare;
    float x[16], got[16], want[16];
} Run;

/* ---- programs -------------------------------------------------------------------------------------------------------------------- */

static void head(Text *t, const char *params, uint32_t result) { text_printf(t, "module {}\n\ngraph @main(%s) -> (%%%u) {\n", params, result); }

static void products(Text *t, uint32_t n)
{
    head(t, "%1: f32[4,4]", n + 1);
    for (uint32_t i = 1; i <= n; i++) text_printf(t, "  %%%u = matmul(%%%u, %%1)\n", i + 1, i);
    text_printf(t, "}\n");
}

/* Each sum is a kernel of its own, and each product of the last two could be computed again in every later kernel. */
static void sums(Text *t, uint32_t n)
{
    head(t, "%1: f32[16]", 3 * n + 1);
    for (uint32_t i = 0; i < n; i++)
        text_printf(t, "  %%%u = sum(%%%u) {[0]}\n  %%%u = broadcast(%%%u) {[16]}\n  %%%u = mul(%%%u, %%%u)\n", 3 * i + 2, 3 * i + 1, 3 * i + 3,
            3 * i + 2, 3 * i + 4, 3 * i + 1, 3 * i + 3);
    text_printf(t, "}\n");
}

static void gathers(Text *t, uint32_t n)
{
    head(t, "%1: f32[16]", n + 2);
    text_printf(t, "  %%2 = iota() {i64, 0, [16]}\n");
    for (uint32_t i = 0; i < n; i++) text_printf(t, "  %%%u = gather(%%%u, %%2) {0}\n", i + 3, i == 0 ? 1 : i + 2);
    text_printf(t, "}\n");
}

static void concat(Text *t, uint32_t n)
{
    head(t, "%1: f32[16]", 3);
    text_printf(t, "  %%2 = concat(");
    for (uint32_t i = 0; i < n; i++) text_printf(t, "%s%%1", i == 0 ? "" : ", ");
    text_printf(t, ") {0}\n  %%3 = slice(%%2) {[%u, 16, 1]}\n}\n", 16 * n - 23);
}

static void loops(Text *t, uint32_t n)
{
    head(t, "%1: f32[16]", 2 * n + 2);
    text_printf(t, "  %%2 = constant() {i64, 3, []}\n");
    for (uint32_t i = 0; i < n; i++)
        text_printf(t, "  %%%u = loop(%%2, %%%u) {@step, 1, 0, 0, 0, 3, []}\n  %%%u = tanh(%%%u)\n", 2 * i + 3, i == 0 ? 1 : 2 * i + 2, 2 * i + 4, 2 * i + 3);
    text_printf(t, "}\n\ngraph @step(%%1: i64[], %%2: f32[16]) -> (%%3) {\n  %%3 = sin(%%2)\n}\n");
}

static void branches(Text *t, uint32_t n)
{
    head(t, "%1: f32[16]", 3 * n + 2);
    text_printf(t, "  %%2 = constant() {f32, 2, []}\n");
    for (uint32_t i = 0; i < n; i++)
        text_printf(t, "  %%%u = sum(%%%u) {[0]}\n  %%%u = lt(%%%u, %%2)\n  %%%u = branch(%%%u, %%%u) {[@more, @less]}\n", 3 * i + 3,
            i == 0 ? 1 : 3 * i + 2, 3 * i + 4, 3 * i + 3, 3 * i + 5, 3 * i + 4, i == 0 ? 1 : 3 * i + 2);
    text_printf(t, "}\n\ngraph @more(%%1: f32[16]) -> (%%2) {\n  %%2 = exp(%%1)\n}\n\ngraph @less(%%1: f32[16]) -> (%%2) {\n  %%2 = sin(%%1)\n}\n");
}

/* One loop of a long body that reads a stacked input, stacks an output, and holds a loop: slices and carries cross parts. */
static void long_body(Text *t, uint32_t n)
{
    head(t, "%1: f32[16]", 8);
    text_printf(t, "  %%2 = constant() {i64, 4, []}\n  %%3 = reshape(%%1) {[4,4]}\n  %%4 = slice(%%1) {[3, 4, 1]}\n  %%5, %%6 = loop(%%2, %%4, %%3) {@body, 1, 1, 1, 0, 4, []}\n");
    text_printf(t, "  %%7 = broadcast(%%5) {[4,4]}\n  %%9 = add(%%7, %%6)\n  %%8 = reshape(%%9) {[16]}\n}\n\n");
    text_printf(t, "graph @body(%%1: i64[], %%2: f32[4], %%3: f32[4]) -> (%%%u, %%%u) {\n  %%4 = constant() {i64, 2, []}\n  %%5 = add(%%2, %%3)\n", 3 * n + 5, 3 * n + 2);
    for (uint32_t i = 0; i < n; i++)
        text_printf(t, "  %%%u = sum(%%%u) {[0]}\n  %%%u = broadcast(%%%u) {[4]}\n  %%%u = loop(%%4, %%%u) {@inner, 1, 0, 0, 0, 2, []}\n", 3 * i + 6, 3 * i + 5,
            3 * i + 7, 3 * i + 6, 3 * i + 8, i % 3 == 0 ? 3 * i + 7 : 3 * i + 5);
    text_printf(t, "}\n\ngraph @inner(%%1: i64[], %%2: f32[4]) -> (%%3) {\n  %%3 = sin(%%2)\n}\n");
}

/* Loops in loops, to the depth that text allows: each is walked once, not once more per loop around it. */
static void deep(Text *t, uint32_t n)
{
    head(t, "%1: f32[16]", 4);
    text_printf(t, "  %%2 = constant() {i64, 1, []}\n  %%3 = loop(%%2, %%1) {@deep1, 1, 0, 0, 0, 1, []}\n  %%4 = cos(%%3)\n}\n");
    for (uint32_t i = 1; i <= n; i++) {
        text_printf(t, "\ngraph @deep%u(%%1: i64[], %%2: f32[16]) -> (%%5) {\n  %%3 = constant() {i64, 1, []}\n", i);
        text_printf(t, i < n ? "  %%4 = loop(%%3, %%2) {@deep%u, 1, 0, 0, 0, 1, []}\n" : "  %%4 = exp(%%2)\n", i + 1);
        text_printf(t, "  %%5 = sin(%%4)\n}\n");
    }
}

/* Of run-time sizes, which the function beside the entry tells. */
static void results(Text *t, uint32_t n)
{
    text_printf(t, "module {\n  dims N in [1,99]\n}\n\ngraph @main(%%1: f32[N,2,3,4]) -> (");
    for (uint32_t i = 0; i < n; i++) text_printf(t, "%s%%%u", i == 0 ? "" : ", ", i + 2);
    text_printf(t, ") {\n");
    for (uint32_t i = 0; i < n; i++) text_printf(t, "  %%%u = neg(%%%u)\n", i + 2, i + 1);
    text_printf(t, "}\n");
}

/* ---- counting -------------------------------------------------------------------------------------------------------------------- */

static void count_lines(void *user, const char *stage, const char *name, const char *text, size_t len)
{
    (void)stage, (void)name;
    Run *r = user;
    uint32_t lines = 0;
    for (const char *at = text; at < text + len; at = strchr(at, '\n') + 1) {
        if (strncmp(at, "define", 6) == 0) {
            lines = 0;
            r->functions++;
        }
        r->longest = MAX_OF(r->longest, ++lines);
    }
}

static void compile(Run *r, const Target *target)
{
    const Backend *b = backend_get("cpu", &r->st);
    Module *m = module_parse(&r->arena, r->text.at, r->text.len, &r->st);
    PassCtx ctx = {.scratch = &r->scratch, .target = target, .host_products = true, .st = &r->st, .stop_after = -1};
    if (m == NULL || !pipeline_run(&ctx, m)) return;
    for (uint32_t i = 1; i < m->graph.len; i++) r->body_nodes += m->graph.at[i]->node.len;
    LowerOptions o = {.target = *target, .host_products = true};
    Program *p = program_lower(&r->arena, m, &o, &r->st);
    Compiled *c = p != NULL ? b->compile(p, &(CompileOptions){.dump = count_lines, .dump_user = r, .want = "llvm"}, &r->st) : NULL;
    if (c != NULL) b->release(c);
}

static void compare(Run *r)
{
    const void *in[1] = {r->x};
    void *got[1], **all;
    GraphRun run = {.arena = &r->arena, .st = &r->st};
    Module *m = module_parse(&r->arena, r->text.at, r->text.len, &r->st);
    if (m == NULL || !graph_run(&run, m->graph.at[0], in, &all)) return;
    memcpy(r->want, all[m->graph.at[0]->result.at[0]], sizeof r->want);
    if (graph_compiled(&run, m, in, got)) memcpy(r->got, got[0], sizeof r->got);
}

static void with_scratch(void *arg)
{
    Run *r = arg;
    Target target;
    const Backend *b = backend_get("cpu", &r->st);
    if (b == NULL || !b->target(NULL, &target, &r->st)) return;
    if (r->compare)
        compare(r);
    else
        compile(r, &target);
}

static void with_arena(void *arg) { arena_try(&((Run *)arg)->scratch, &((Run *)arg)->st, with_scratch, arg); }

static void start(Run *r, void (*program)(Text *, uint32_t), uint32_t n, bool compare_bits)
{
    *r = (Run){.compare = compare_bits};
    for (int i = 0; i < 16; i++) r->x[i] = 0.02f * (float)(i + 1);
    program(&r->text, n);
    arena_init(&r->arena);
    arena_init(&r->scratch);
    arena_try(&r->arena, &r->st, with_arena, r);
    arena_free(&r->scratch);
    arena_free(&r->arena);
    text_free(&r->text);
    if (r->st.code != ST_OK) fail_msg("%s", r->st.text);
}

static void stays_short(void (*program)(Text *, uint32_t), uint32_t n)
{
    Run r, half;
    if (!graph_can_compile()) {
        printf("skip: the LLVM module is not at hand\n");
        skip();
    }
    start(&half, program, n / 2, false);
    start(&r, program, n, false);
    if (r.longest > LONGEST) fail_msg("a function of %u lines, of %u for half as many operations", r.longest, half.longest);
    if (r.body_nodes > 5 * half.body_nodes / 2 || r.body_nodes > PER_STEP * n)
        fail_msg("kernels of %u nodes for half, %u for all", half.body_nodes, r.body_nodes);
}

static void stays_short_and_right(void (*program)(Text *, uint32_t), uint32_t n)
{
    Run r;
    stays_short(program, n);
    start(&r, program, n / 4, true);
    assert_memory_equal(r.got, r.want, sizeof r.want);
}

static void many_results(void **state)
{
    (void)state;
    stays_short(results, 2000);
}

#define LONG(name, n)                         \
    static void long_##name(void **state)     \
    {                                         \
        (void)state;                          \
        stays_short_and_right(name, n);       \
    }
LONG(products, 800)
LONG(sums, 800)
LONG(gathers, 800)
LONG(concat, 3000)
LONG(loops, 400)
LONG(branches, 400)
LONG(long_body, 360)
LONG(deep, 60)

/* ---- the workspace ---------------------------------------------------------------------------------------------------------------- */

enum { MANY = 6000 };

/* However many there are: no two that live at one time overlap, and the room is little more than what lives at the worst moment. */
static void place_many(void *arg)
{
    Run *r = arg;
    Program p = {0};
    uint64_t seed = 5, alive[MANY + 64] = {0}, peak = 0;
    for (uint32_t i = 0; i < MANY; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        uint32_t first = i, last = i + (seed >> 33) % (i % 50 == 0 ? 60 : 9), bytes = 64u << (seed >> 50) % 5;
        *VEC_PUSH(&r->arena, &p.buf) = (Buf){.kind = BUF_TEMP, .bytes = bytes - (seed >> 40) % 60, .first = first, .last = last};
        for (uint32_t k = first; k <= last; k++) peak = MAX_OF(peak, alive[k] += bytes);
    }
    Lower lw = {.arena = &r->arena, .scratch = &r->arena, .p = &p};
    memory_plan(&lw);
    for (uint32_t i = 0; i < MANY; i++)
        for (uint32_t k = i + 1; k < MIN_OF(i + 70, MANY); k++) {
            const Buf *a = &p.buf.at[i], *b = &p.buf.at[k];
            assert_true(a->offset % PLAN_ALIGN == 0);
            assert_true(b->first > a->last || b->offset >= a->offset + a->bytes || a->offset >= b->offset + b->bytes);
        }
    assert_true(p.workspace >= (int64_t)peak - 64 && p.workspace <= (int64_t)(2 * peak));
}

static void thousands_of_temporaries(void **state)
{
    (void)state;
    Run r = {0};
    arena_init(&r.arena);
    assert_true(arena_try(&r.arena, &r.st, place_many, &r));
    arena_free(&r.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(long_products), TEST(long_sums), TEST(long_gathers), TEST(long_concat), TEST(long_loops), TEST(long_branches), TEST(long_long_body), TEST(long_deep),
        TEST(many_results), TEST(thousands_of_temporaries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
