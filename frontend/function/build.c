/* build: what was traced becomes a program (passes, lowering) and an instance (the backend's code). module_to_program serves
 * compiling in the process, objects and what KILN_DUMP shows of CUDA alike. Never traces. */
#include "function.h"

#include "../../passes/pass.h"

typedef struct Build {
    kiln_function *f;
    Instance *inst;
    int stop_after;
    Status st;
} Build;

/* Which sizes of which arguments tell the symbols; one that can have a single value needs none. */
static void bind_symbols(Instance *inst)
{
    uint32_t n = 0;
    const Program *p = inst->program;
    inst->binding = ARENA_ARRAY(&inst->traced.arena, Binding, inst->sizes ? inst->traced.narg * MAX_RANK + 1 : 1);
    for (uint32_t i = 0; i < inst->traced.narg && inst->sizes; i++)
        for (uint32_t d = 0; d < inst->traced.arg[i].rank; d++)
            for (uint32_t s = 0; s < p->symbol.len && inst->traced.arg[i].dim[d] < 0; s++)
                if (p->symbol.at[s] == inst->traced.arg[i].dim[d]) inst->binding[n++] = (Binding){i, d, s};
    inst->nbinding = n;
    inst->known = ARENA_ARRAY(&inst->traced.arena, int64_t, p->symbol.len + 1);
    for (uint32_t s = 0; s < p->symbol.len; s++) {
        const DimExpr *e = &p->module->dims.expr.at[-1 - p->symbol.at[s]];
        inst->known[s] = e->lo == e->hi ? e->lo : -1;
    }
}

typedef struct Pipeline {
    PassCtx ctx;
    Module *module;
    bool ok;
} Pipeline;

static void pipeline_body(void *arg)
{
    Pipeline *p = arg;
    p->ok = pipeline_run(&p->ctx, p->module);
}

static void pipeline_border(void *arg) /* the module's arena may run out as well: the scratch is freed all the same */
{
    Pipeline *p = arg;
    arena_try(p->module->arena, p->ctx.st, pipeline_body, p);
}

static bool run_passes(Module *m, const BuildOptions *o, Status *st)
{
    Arena scratch;
    arena_init(&scratch);
    Pipeline p = {.module = m,
        .ctx = {.scratch = &scratch,
            .target = &o->target,
            .host_products = o->host_products,
            .st = st,
            .stop_after = o->stop_after,
            .verify = getenv("KILN_VERIFY")}};
    if (o->dump && dump_wants("ir")) dump_module((void *)(uintptr_t)o->dump, "ir", m);
    if (o->dump && dump_wants("passes")) p.ctx.dump = dump_module, p.ctx.dump_user = (void *)(uintptr_t)o->dump;
    bool ok = arena_try(&scratch, st, pipeline_border, &p) && p.ok;
    arena_free(&scratch);
    return ok;
}

Program *module_to_program(Module *m, Arena *arena, const BuildOptions *o, Status *st)
{
    if (!run_passes(m, o, st)) return NULL;
    Program *p = program_lower(arena, m, &(LowerOptions){.target = o->target, .host_products = o->host_products}, st);
    if (p && o->dump) dump_program(o->dump, arena, m, p);
    return p;
}

static void build_body(void *arg)
{
    Build *b = arg;
    Instance *inst = b->inst;
    BuildOptions o = {.stop_after = b->stop_after, .dump = b->f->name};
    inst->backend = device_backend(inst->traced.device, &b->st);
    if (!inst->backend || !inst->backend->target(&o.target, &b->st)) return;
    o.host_products = !b->f->options.no_blas && o.target.threads; /* where there is a host table */
    inst->program = module_to_program(inst->traced.module, &inst->traced.arena, &o, &b->st);
    if (!inst->program) return;
    CompileOptions c = {.dump = dump_stage, .dump_user = b->f->name, .want = getenv("KILN_DUMP")};
    inst->compiled = inst->backend->compile(inst->program, &c, &b->st);
    if (!inst->compiled) return;
    inst->entry = inst->backend->entry(inst->compiled);
    inst->sizes = inst->backend->sizes(inst->compiled);
    inst->plain = inst->traced.device == HOST && !inst->program->calls_back && !inst->program->nstack;
    inst->nsize = program_sizes(inst->program);
    bind_symbols(inst);
    const Graph *g = inst->traced.module->graph.at[0];
    inst->result = ARENA_ARRAY(&inst->traced.arena, Type, g->result.len);
    for (uint32_t i = 0; i < g->result.len; i++) inst->result[i] = *graph_type(g, g->result.at[i]);
}

bool instance_build(Thread *t, kiln_site at, kiln_function *f, Instance *inst, int stop_after)
{
    if (f->k->options.no_compile) return fail(t, at, KILN_ESTATE, "%s: the engine does not compile (.no_compile)", f->name), false;
    Build b = {.f = f, .inst = inst, .stop_after = stop_after};
    double start = clock_seconds();
    bool ok = arena_try(&inst->traced.arena, &b.st, build_body, &b) && !b.st.code && inst->entry;
    inst->compile_seconds = clock_seconds() - start;
    if (!ok) {
        if (!b.st.code) status_fail(&b.st, ST_INTERNAL, "%s: compiling failed without a reason", f->name);
        fail_status(t, at, &b.st);
    }
    return ok;
}

void instance_free(Instance *inst)
{
    if (!inst) return;
    device_wait(inst->traced.device); /* calls of it may still run there */
    if (inst->compiled) inst->backend->release(inst->compiled);
    if (inst->saving != inst) instance_free(inst->saving);
    if (inst->of) inst->traced.nsource = 0; /* the literals are the other's */
    traced_free(&inst->traced);
    mem_free(inst, sizeof *inst);
}
