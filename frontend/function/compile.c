/* compile: what a call does that no instance serves. The function's body is traced (traced.c), what was traced is built (build.c:
 * passes, lowering, backend), and the instance is kept by its signature (cache.c), where later calls find it (call.c). */
#include "background.h"

#include <math.h>
#include <stdio.h>

Instance *instance_zeros(Thread *t, kiln_site at, const char *name, uint64_t key)
{
    Instance *inst = mem_zeros(1, sizeof *inst);
    if (!inst) return fail(t, at, KILN_EMEMORY, "%s: no memory", name), NULL;
    inst->key = key;
    traced_init(&inst->traced);
    return inst;
}

size_t instance_bytes(Instance *inst)
{
    const Code *code = inst->code ? inst->code : inst->late;
    size_t bytes = sizeof *inst + inst->traced.arena.used + (code ? code->bytes : 0);
    inst->counted = code;
    for (uint32_t i = 0; i < inst->traced.nsource && !inst->of; i++)
        if (inst->traced.source[i].kind == FROM_LITERAL) bytes += kiln_bytes(inst->traced.source[i].tensor);
    return bytes;
}

/* An instance for bounded sizes reserves workspace for its bounds. If that is more than this, the sizes stay constants instead. */
#define GENERAL_WORKSPACE ((int64_t)256 << 20)

static bool beyond_room(const Instance *inst, const Code *code)
{
    return inst->traced.plan.groups && !inst->traced.plan.declared && code->program->workspace > GENERAL_WORKSPACE;
}

/* On the compile thread. */
static Code *build_job(CodeJob *job, Status *st)
{
    Instance *inst = (Instance *)(void *)((char *)job - offsetof(Instance, job));
    Code *code = code_of_instance(job->f, &inst->traced, -1, 0, st);
    if (!code || !beyond_room(inst, code)) return code;
    code_free(code);
    atomic_store(&inst->unfit, true);
    return NULL;
}

bool instance_begin(Thread *t, kiln_site at, kiln_function *f, Instance *inst)
{
    if (f->compile == KILN_NEVER) return instance_ready(t, at, inst);
    if (f->compile == KILN_BACKGROUND && inst->traced.device == HOST && !getenv("KILN_DUMP")) {
        inst->job.f = f;
        inst->job.to = &inst->code;
        inst->job.build = build_job;
        return instance_ready(t, at, inst);
    }
    if (!instance_build(t, at, f, inst, -1)) return false;
    if (f->compile == COMPILE_SWAP) inst->late = atomic_exchange(&inst->code, NULL);
    return true;
}

const Code *instance_compiled(Thread *t, kiln_site at, kiln_function *f, Instance *inst)
{
    if (!inst->code && inst->job.f && background_ask(t->k, &inst->job)) background_wait(t->k, &inst->job, INFINITY);
    pthread_mutex_lock(&f->compiling);
    if (!inst->code && inst->job.f) background_drop(t->k, &inst->job); /* or both would make it */
    const Code *code = inst->code ? inst->code : inst->late;
    if (!code && instance_build(t, at, f, inst, -1)) {
        code = inst->code;
        stats_compiled(f, code);
        cache_settle(f);
    }
    pthread_mutex_unlock(&f->compiling);
    return code;
}

static Instance *make_instance(
    Thread *t, kiln_site at, kiln_function *f, uint64_t key, const Plan *plan, kiln_tensor *const *in, int nin, const Miss *miss)
{
    Instance *inst = instance_zeros(t, at, f->name, key);
    if (!inst) return NULL;
    if (plan) inst->traced.plan = *plan;
    double start = clock_seconds();
    bool ok = function_trace(t, at, f, in, nin, &inst->traced);
    inst->traced.seconds = clock_seconds() - start;
    stats_trace(t, f, inst->traced.seconds, miss);
    if (!ok || !instance_begin(t, at, f, inst)) {
        instance_free(inst);
        return NULL;
    }
    inst->bytes = instance_bytes(inst);
    return inst;
}

/* Makes an instance in which the sizes of the plan are symbols. NULL if that cannot be; then the reason is known, and no error is
 * left behind. */
static Instance *make_general(
    Thread *t, kiln_site at, kiln_function *f, uint64_t key, const Plan *plan, kiln_tensor *const *in, int nin, const Miss *miss)
{
    FailureAside before;
    char why[sizeof t->text];
    failure_aside(t, &before);
    Instance *inst = make_instance(t, at, f, key, plan, in, nin, miss);
    bool starved = failure_take(t, why, sizeof why) == KILN_EMEMORY && !inst;
    failure_back(t, &before);
    const Code *code = !inst ? NULL : inst->code ? inst->code : inst->late;
    if (code && beyond_room(inst, code)) {
        snprintf(why, sizeof why, "the bound would take %lld bytes of workspace", (long long)code->program->workspace);
        instance_free(inst);
        inst = NULL;
    }
    if (!inst && !starved) signature_rigid(f, plan, nin);
    stats_general(t, f, plan, nin, inst ? NULL : why, inst);
    return inst;
}

Instance *instance_new(Thread *t, kiln_site at, kiln_function *f, uint64_t key, kiln_tensor *const *in, int nin)
{
    Miss miss;
    Plan plan;
    Instance *grown, *inst = NULL;
    signature_miss(f, in, nin, &miss);
    stats_miss(f, &miss);
    if (signature_generalise(f, in, nin, &plan, &grown)) {
        inst = make_general(t, at, f, key, &plan, in, nin, &miss);
        mem_free((void *)(uintptr_t)plan.group, (size_t)nin * MAX_RANK);
    }
    if (!inst) {
        grown = NULL;
        inst = make_instance(t, at, f, key, NULL, in, nin, &miss);
    }
    if (!inst) return NULL;
    stats_instance(f, inst);
    cache_add(f, inst, grown);
    return inst;
}

Instance *instance_instead(
    Thread *t, kiln_site at, kiln_function *f, Instance *unfit, uint64_t key, kiln_tensor *const *in, int nin)
{
    const Plan *plan = &unfit->traced.plan;
    pthread_mutex_lock(&f->compiling);
    if (cache_remove(f, unfit)) {
        char why[96];
        snprintf(why, sizeof why, "the bound would take more than %lld bytes of workspace", (long long)GENERAL_WORKSPACE);
        signature_rigid(f, plan, nin);
        stats_general(t, f, plan, nin, why, NULL);
    }
    Instance *inst = cache_find(f, key, in, nin);
    if (!inst) inst = instance_new(t, at, f, key, in, nin);
    if (inst) call_uses(t, inst);
    pthread_mutex_unlock(&f->compiling);
    return inst;
}

static bool literal_agrees(Thread *t, kiln_site at, const Source *s, const Source *now)
{
    kiln_tensor *a = tensor_host(t, at, s->tensor), *b = tensor_host(t, at, now->tensor);
    return tensor_ok(a) && tensor_ok(b) && memcmp(a->data, b->data, kiln_bytes(a)) == 0;
}

/* Whether two traces take the same from outside: the same tensors and variables, and the same constants. */
static bool sources_agree(Thread *t, kiln_site at, const kiln_function *f, const Traced *was, const Traced *again)
{
    for (uint32_t i = 0; i < was->nsource && i < again->nsource; i++) {
        const Source *s = &was->source[i], *now = &again->source[i];
        const char *what = s->kind != now->kind       ? "what its body uses"
                           : s->kind == FROM_CAPTURE  ? "the tensor that its body uses"
                           : s->kind == FROM_VARIABLE ? "the variable that its body uses"
                                                      : "the elements that its body spells out";
        bool same = s->kind == now->kind && (s->kind == FROM_CAPTURE       ? s->uid == now->uid
                                                : s->kind == FROM_VARIABLE ? s->variable == now->variable
                                                : s->kind == FROM_LITERAL  ? literal_agrees(t, at, s, now)
                                                                           : true);
        if (same) continue;
        fail(t, at, KILN_ESTATE, "%s: a second trace differs in %s at %s:%d; something that the body reads from the host changed",
            f->name, what, now->loc.file ? now->loc.file : "?", now->loc.line);
        return false;
    }
    return true;
}

/* KILN_RETRACE: a new trace must give the same graph. Whatever differs was read from the host and frozen into the first one. */
bool retrace_agrees(Thread *t, kiln_site at, kiln_function *f, const Instance *inst, kiln_tensor *const *in, int nin)
{
    Traced again = {.plan = inst->traced.plan};
    traced_init(&again);
    bool ok = function_trace(t, at, f, in, nin, &again);
    if (ok && inst->traced.text && again.text && strcmp(inst->traced.text, again.text)) {
        const char *a = inst->traced.text, *b = again.text, *la = a, *lb = b;
        for (; *a && *a == *b; a++, b++)
            if (*a == '\n') la = a + 1, lb = b + 1;
        fail(t, at, KILN_ESTATE,
            "%s: a second trace differs: `%.*s` was `%.*s`; something that the body reads from "
            "the host changed",
            f->name, (int)strcspn(lb, "\n"), lb, (int)strcspn(la, "\n"), la);
        ok = false;
    }
    ok = ok && sources_agree(t, at, f, &inst->traced, &again);
    traced_free(&again);
    return ok;
}
