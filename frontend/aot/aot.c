/* aot: a traced function ahead of time. Traces it for its declared inputs (or those of its latest call), turns what the trace found
 * outside into state and constants, and lets artifact.c write the rest. */
#include "aot.h"

typedef struct Job {
    Artifact a;
    Traced *traced;
    Beforehand *before; /* what hangs on captured tensors alone lies in the object as it comes out; NULL: nothing */
    const char *path;
    const kiln_aot_options *o;
    Status st;
    bool ok;
} Job;

static void place_source(Place *p, const Source *s)
{
    p->kind = s->kind == FROM_ARGUMENT ? PLACE_ARGUMENT : s->kind == FROM_VARIABLE ? PLACE_STATE : PLACE_CONSTANT;
    p->name = s->kind == FROM_VARIABLE ? s->variable->name : "";
    p->value = s->kind == FROM_VARIABLE ? s->variable->value : s->tensor;
}

/* A variable that the body only writes is state all the same: an input that nothing reads. */
static uint32_t state_input(Job *j, Graph *g, Place *input, uint32_t *n, kiln_variable *v)
{
    for (uint32_t i = 0; i < j->traced->nsource; i++)
        if (j->traced->source[i].kind == FROM_VARIABLE && j->traced->source[i].variable == v) return i;
    graph_param(g, &v->type, (Loc){0});
    input[*n] = (Place){.kind = PLACE_STATE, .name = v->name, .value = v->value};
    return (*n)++;
}

static void cut_body(void *arg)
{
    Job *j = arg;
    j->before = beforehand_cut(j->traced, j->traced->module, &j->st);
}

static bool compute_beforehand(Thread *t, kiln_site at, kiln_function *f, Job *j)
{
    const Instance inst = {.traced = *j->traced};
    if (!arena_try(&j->traced->arena, &j->st, cut_body, j) || j->st.code) return false;
    return !j->before || beforehand_there(t, at, f, &inst, j->before);
}

static void job_body(void *arg)
{
    Job *j = arg;
    Traced *traced = j->traced;
    Graph *g = traced->module->graph.at[0];
    const Beforehand *before = j->before;
    uint32_t n = traced->nsource;
    Place *input = ARENA_ARRAY(&traced->arena, Place, traced->nsource + (before ? before->n : 0) + traced->nchanged);
    for (uint32_t i = 0; i < traced->nsource; i++) {
        place_source(&input[i], &traced->source[i]);
        input[i].unread = before && input[i].kind == PLACE_CONSTANT && !before->reads[i];
    }
    for (uint32_t i = 0; before && i < before->n; i++)
        input[n++] = (Place){.kind = PLACE_CONSTANT, .name = "", .value = before->value[i]};
    j->a.changed = ARENA_ARRAY(&traced->arena, uint32_t, traced->nchanged + 1);
    for (uint32_t i = 0; i < traced->nchanged; i++) j->a.changed[i] = state_input(j, g, input, &n, traced->changed[i]);
    j->a.input = input;
    j->ok = artifact_write(&j->a, j->path, j->o, &j->st);
}

bool kiln_aot_sized(kiln_site at, kiln_function *f, const char *path, const kiln_aot_options *options, size_t size)
{
    Thread *t = f ? thread_of(f->k) : thread_last();
    kiln_aot_options o = {0};
    if (options) memcpy(&o, options, MIN_OF(size, sizeof o));
    if (!f || !path || !t || t->trace) {
        fail(t, at, KILN_ESTATE, "aot: %s", !f ? "the function is NULL" : !path ? "the path is NULL" : "called inside a trace");
        return false;
    }
    if (!function_alive(t, at, f)) return false;
    if (f->k->options.no_compile) return fail(t, at, KILN_ESTATE, "aot: the engine does not compile (.no_compile)"), false;
    Traced traced = {0};
    traced_init(&traced);
    ScratchMark mark = scratch_mark(&t->scratch);
    kiln_scope scope = kiln_scope_open(f->k);
    Job j = {.traced = &traced, .path = path, .o = &o};
    bool entered = call_enter(t, at, f), ok = entered;
    ok = ok && function_trace_ahead(t, at, "aot", f, &traced);
    if (ok) {
        j.a = (Artifact){.t = t,
            .at = at,
            .module = traced.module,
            .arena = &traced.arena,
            .sums = function_sums(f),
            .name = f->name,
            .noutput = traced.noutput + traced.ncount,
            .count = traced.count,
            .ncount = traced.ncount};
        if (!compute_beforehand(t, at, f, &j) || !arena_try(&traced.arena, &j.st, job_body, &j)) j.ok = false;
        if (!j.ok && j.st.code) fail_status(t, at, &j.st);
    }
    if (entered) call_leave(t);
    beforehand_free(j.before);
    traced_free(&traced);
    kiln_scope_close(&scope);
    scratch_reset(&t->scratch, mark);
    return j.ok;
}

void *kiln_emulated_driver(void *unused, const char *symbol)
{
    (void)unused;
    return device_emulated(symbol);
}
