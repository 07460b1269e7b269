/* fuzz text: whatever module_parse takes must hold before the verifier, print, parse again to the same bytes, and go through the pipeline
 * and the lowering; small ones without loops are compiled and compared, bit for bit, with the graph run node by node. */
#include "codegen/backend.h"
#include "graph_run.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "passes/pass.h"

#include <stdio.h>

enum { FEW_NODES = 24, FEW_ELEMENTS = 512 };

typedef struct Fuzz {
    Arena arena, scratch;
    const char *text;
    size_t len;
    Status st;
    Module *m;
    void (*body)(struct Fuzz *);
} Fuzz;

static void require(bool holds, const char *what, const Status *st)
{
    if (holds) return;
    fprintf(stderr, "fuzz_text: %s: %s\n", what, st->text);
    abort();
}

static void in_scratch(void *arg) { ((Fuzz *)arg)->body(arg); }
static void in_arena(void *arg) { arena_try(&((Fuzz *)arg)->scratch, &((Fuzz *)arg)->st, in_scratch, arg); }

/* Within both arenas' borders; false after an error. */
static bool within(Fuzz *f, void (*body)(Fuzz *))
{
    f->body = body;
    f->st = (Status){0};
    return arena_try(&f->arena, &f->st, in_arena, f) && f->st.code == ST_OK;
}

static void print_and_parse(Fuzz *f)
{
    Status st = {0};
    require(module_verify(f->m, &st), "what was parsed does not hold", &st);
    Text a = {0}, b = {0};
    module_print(&a, f->m);
    Module *again = module_parse(&f->arena, a.at, a.len, &st);
    require(again != NULL, "what was printed does not parse", &st);
    module_print(&b, again);
    require(a.len == b.len && memcmp(a.at, b.at, a.len) == 0, "printing again differs", &st);
    text_free(&a);
    text_free(&b);
}

static void through_the_pipeline(Fuzz *f)
{
    const Target target = {.name = "cpu", .vector_bytes = 32, .row_cache_bytes = 16 << 10, .fma = true};
    PassCtx ctx = {.scratch = &f->scratch, .target = &target, .st = &f->st, .stop_after = -1, .verify = true};
    if (!pipeline_run(&ctx, f->m)) {
        require(f->st.code != ST_INTERNAL, "the pipeline", &f->st);
        return;
    }
    if (program_lower(&f->arena, f->m, &(LowerOptions){.target = target}, &f->st) == NULL) require(f->st.code != ST_INTERNAL, "the lowering", &f->st);
}

/* Small, of known sizes, without loops, effects and recorded calls. */
static bool runs_quickly(const Module *m)
{
    const Graph *g = m->graph.at[0];
    if (m->graph.len != 1 || g->node.len > FEW_NODES || g->result.len == 0) return false;
    for (uint32_t i = 0; i < g->node.len; i++) {
        const Node *n = &g->node.at[i];
        if (op_def[n->op].flags & (OPF_REGION | OPF_EFFECT) || n->op == OP_call) return false;
        for (uint32_t k = 0; k < n->nout; k++) {
            Dim elements = type_elements((DimTable *)(uintptr_t)&m->dims, graph_type(g, n->out + k));
            if (!dim_is_const(elements) || elements > FEW_ELEMENTS) return false;
        }
    }
    return true;
}

static void compile_and_compare(Fuzz *f)
{
    const Graph *g = f->m->graph.at[0];
    GraphRun run = {.arena = &f->arena, .st = &f->st};
    Module *copy = module_again(&f->arena, f->m, &f->st);
    const void **in = ARENA_ARRAY(&f->arena, const void *, g->param.len + 1);
    void **all, **result = ARENA_ARRAY(&f->arena, void *, g->result.len + 1);
    for (uint32_t i = 0; i < g->param.len; i++) { /* small whole numbers, which are values of every dtype */
        int64_t bytes = graph_bytes(&run, g, g->param.at[i]);
        DType t = (DType)graph_type(g, g->param.at[i])->dtype;
        char *at = ARENA_ARRAY(&f->arena, char, bytes + 8);
        for (int64_t k = 0; k < bytes / (int64_t)dtype_bytes(t); k++) dtype_store_f64(t, at + k * (int64_t)dtype_bytes(t), (double)((k + i) % 2));
        in[i] = at;
    }
    if (copy == NULL || !graph_run(&run, g, in, &all) || !graph_compiled(&run, copy, in, result)) {
        require(f->st.code != ST_INTERNAL, "running", &f->st);
        return;
    }
    for (uint32_t i = 0; i < g->result.len; i++) {
        const Type *t = graph_type(g, g->result.at[i]);
        int64_t n = graph_bytes(&run, g, g->result.at[i]) / (int64_t)dtype_bytes(t->dtype);
        require(bytes_differ((DType)t->dtype, all[g->result.at[i]], result[i], n) < 0, "compiled and interpreted bits differ", &f->st);
    }
}

static void parse(Fuzz *f) { f->m = module_parse(&f->arena, f->text, f->len, &f->st); }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Fuzz f = {.text = (const char *)data, .len = size};
    arena_init(&f.arena);
    arena_init(&f.scratch);
    if (within(&f, parse) && f.m != NULL && f.m->graph.len != 0) {
        within(&f, print_and_parse);
        if (runs_quickly(f.m)) within(&f, compile_and_compare);
        within(&f, parse);
        within(&f, through_the_pipeline);
    }
    arena_free(&f.scratch);
    arena_free(&f.arena);
    return 0;
}
