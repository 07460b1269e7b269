/* build: what was traced becomes a program (passes, lowering) and an instance (the backend's code). module_to_program serves
 * compiling in the process, objects and what KILN_DUMP shows of CUDA alike. Never traces. */
#include "marked.h"
#include "rest.h"

#include "../../passes/pass.h"

typedef struct Build {
    const kiln_function *f;
    const Traced *traced;
    Code *code;
    int stop_after;
    unsigned wish;
    Status *st;
} Build;

/* Which sizes of which arguments tell the symbols; one that can have a single value needs none. */
static void bind_symbols(const Traced *traced, Code *code)
{
    uint32_t n = 0;
    const Program *p = code->program;
    code->binding = ARENA_ARRAY(&code->arena, Binding, code->sized ? traced->narg * MAX_RANK + 1 : 1);
    for (uint32_t i = 0; i < traced->narg && code->sized; i++)
        for (uint32_t d = 0; d < traced->arg[i].rank; d++)
            for (uint32_t s = 0; s < p->symbol.len && traced->arg[i].dim[d] < 0; s++)
                if (p->symbol.at[s] == traced->arg[i].dim[d]) code->binding[n++] = (Binding){i, d, s};
    code->nbinding = n;
    code->known = ARENA_ARRAY(&code->arena, int64_t, p->symbol.len + 1);
    for (uint32_t s = 0; s < p->symbol.len; s++) {
        const DimExpr *e = &p->module->dims.expr.at[-1 - p->symbol.at[s]];
        code->known[s] = e->lo == e->hi ? e->lo : -1;
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
    const Module *traced = o->dump ? module_copy(arena, m->graph.at, m->graph.len, &m->dims) : NULL;
    if (!run_passes(m, o, st)) return NULL;
    Program *p = program_lower(arena, m, &(LowerOptions){.target = o->target, .host_products = o->host_products}, st);
    if (p && traced) dump_program(o, arena, traced, p);
    return p;
}

/* Whether what the steps compute says which of them run. */
static bool looks(const Step *s, uint32_t n)
{
    bool yes = false;
    for (uint32_t i = 0; i < n && !yes; i++) {
        yes = s[i].kind == STEP_BRANCH || s[i].kind == STEP_SIZE ||
              (s[i].kind == STEP_LOOP && (s[i].selector != UINT32_MAX || s[i].trip != UINT32_MAX));
        for (uint32_t k = 0; k < s[i].nblock && !yes; k++) yes = looks(s[i].block[k].step, s[i].block[k].n);
    }
    return yes;
}

static void build_body(void *arg)
{
    Build *b = arg;
    Code *code = b->code;
    const Traced *traced = b->traced;
    const bool dumps = b->wish & BUILD_DUMPS, marks = b->wish & BUILD_MARKS;
    const void *there = device_at(traced->device)->there;
    BuildOptions o = {.stop_after = b->stop_after, .dump = dumps ? b->f->name : NULL};
    code->backend = device_backend(traced->device, b->st);
    if (!code->backend || !code->backend->target(there, &o.target, b->st)) return;
    o.dumps = code->backend;
    o.target.sums = function_sums(b->f);
    o.target.blas = b->f->k->options.blas && !b->f->options.no_blas && traced->device != HOST;
    o.host_products = !b->f->options.no_blas && o.target.threads; /* where there is a host table */
    Module *m = module_copy(&code->arena, traced->module->graph.at, traced->module->graph.len, &traced->module->dims);
    code->before = beforehand_cut(traced, m, b->st);
    if (b->st->code) return;
    code->program = module_to_program(m, &code->arena, &o, b->st);
    if (!code->program) return;
    CompileOptions c = {.there = there,
        .dump = dump_stage,
        .dump_user = b->f->name,
        .want = dumps ? getenv("KILN_DUMP") : NULL,
        .store = b->f->k->store,
        .threads = b->f->k->threads,
        .host_products = o.host_products,
        .marks = marks,
        .from_store = &code->from_disk};
    if (marks && !(code->marked = marked_new(b->f, code->program, traced->device, b->st))) return;
    code->compiled = code->backend->compile(code->program, &c, b->st);
    if (!code->compiled) return;
    if (code->backend->entry) code->entry = code->backend->entry(code->compiled);
    if (code->backend->sizes) code->sizes = code->backend->sizes(code->compiled);
    code->sized = code->program->symbol.len != 0 || code->program->counted.len != 0;
    const bool at_once = code->backend->at_once && code->backend->at_once(code->compiled);
    code->looks = !at_once && looks(code->program->step, code->program->nstep);
    code->plain = traced->device == HOST && !marks && !code->program->calls_back && !code->program->nstack;
    code->nsize = program_sizes(code->program);
    bind_symbols(traced, code);
    code->bytes = code->arena.used + code->backend->code_bytes(code->compiled) + (code->before ? code->before->bytes : 0);
}

void code_free(Code *code)
{
    if (!code) return;
    if (code->compiled) code->backend->release(code->compiled);
    beforehand_free(code->before);
    arena_free(&code->arena);
    mem_free(code, sizeof *code);
}

Code *code_build(const kiln_function *f, const Traced *traced, int stop_after, unsigned wish, Status *st)
{
    Code *code = mem_zeros(1, sizeof *code);
    if (!code) return status_fail(st, ST_MEMORY, "%s: no memory", f->name), NULL;
    arena_init(&code->arena);
    Build b = {.f = f, .traced = traced, .code = code, .stop_after = stop_after, .wish = wish, .st = st};
    double start = clock_seconds();
    bool ok = arena_try(&code->arena, st, build_body, &b) && !st->code && code->compiled;
    code->seconds = clock_seconds() - start;
    if (ok) return code;
    marked_free(code->marked);
    if (!st->code) status_fail(st, ST_INTERNAL, "%s: compiling failed without a reason", f->name);
    code_free(code);
    return NULL;
}

Code *code_of_instance(const kiln_function *f, const Traced *traced, int stop_after, unsigned wish, Status *st)
{
    const bool marks = f->k->profiling && (traced->device == HOST || device_at(traced->device)->moves);
    if (f->k->profiling && !marks)
        log_line(f->k, "KILN_PROFILE: %s runs on %s, where steps are not timed", f->name, device_name(traced->device));
    Code *code = code_build(f, traced, stop_after, wish | (marks ? BUILD_MARKS : 0), st);
    if (code && marks) marked_keep(f->k, code->marked);
    return code;
}

bool instance_build(Thread *t, kiln_site at, kiln_function *f, Instance *inst, int stop_after)
{
    if (f->k->options.no_compile) return fail(t, at, KILN_ESTATE, "%s: the engine does not compile (.no_compile)", f->name), false;
    Status st = {0};
    const bool ready = inst->lives || instance_ready(t, at, inst);
    Code *code = ready ? code_of_instance(f, &inst->traced, stop_after, BUILD_DUMPS, &st) : NULL;
    if (st.code) fail_status(t, at, &st);
    atomic_store_explicit(&inst->code, code, memory_order_release);
    return code;
}

void instance_free(Instance *inst)
{
    if (!inst) return;
    rests_free(inst);
    if (inst->job.f) background_drop(inst->job.f->k, &inst->job);
    device_wait(inst->traced.device); /* calls of it may still run there */
    code_free(inst->code);
    code_free(inst->late);
    if (inst->saving != inst) instance_free(inst->saving);
    if (inst->of) inst->traced.nsource = 0; /* the literals are the other's */
    traced_free(&inst->traced);
    mem_free(inst, sizeof *inst);
}
