/* ahead: a trace that no call asks for: of a function's declared inputs, or those of its latest call, without what only the host
 * has. Objects and files of other formats are made of it. Never compiles. */
#include "function.h"

typedef struct Ahead {
    Thread *t;
    kiln_site at;
    const char *what; /* who asks, for messages */
    kiln_function *f;
    const Latest *latest;
    Traced *traced;
} Ahead;

/* Types to trace with: symbols at their upper bounds (function_trace puts the symbols in). Static arguments as in the latest call.
 */
static bool declared_types(const Ahead *a, kiln_tensor *arg)
{
    for (uint32_t i = 0; i < a->f->nspec; i++) {
        const kiln_spec *s = &a->f->spec[i];
        if (s->rank == KILN_RANK_STATIC && a->latest) {
            latest_argument(a->latest, i, &arg[i]);
            continue;
        }
        if (s->rank < 0) {
            fail(a->t, a->at, KILN_EVALUE,
                s->rank == KILN_RANK_STATIC ? "%s: %s declares input %u static; call it once before"
                                            : "%s: %s declares input %u without a rank; an object needs one, see KILN_SPEC",
                a->what, a->f->name, i);
            return false;
        }
        arg[i].type = (Type){.dtype = (uint8_t)s->dtype, .rank = (uint8_t)s->rank};
        for (int d = 0; d < s->rank; d++) arg[i].type.dim[d] = s->size[d].hi;
    }
    return true;
}

static bool input_types(const Ahead *a, kiln_tensor *arg, int nin)
{
    if (a->f->nspec) return declared_types(a, arg);
    if (!a->latest && a->f->options.inputs_count) {
        fail(a->t, a->at, KILN_ESTATE,
            "%s: %s declares no inputs and was never called, so their types are unknown; give "
            ".inputs, or call it once before",
            a->what, a->f->name);
        return false;
    }
    for (int i = 0; i < nin; i++) latest_argument(a->latest, (uint32_t)i, &arg[i]);
    return true;
}

/* Neither declared nor called, it was taken for a function of no arguments; says so if its body then failed. */
static bool trace_now(const Ahead *a, kiln_tensor **in, int nin)
{
    Thread *t = a->t;
    bool failed = t->failure.code != KILN_OK;
    if (function_trace(t, a->at, a->f, in, nin, a->traced)) return true;
    if (failed || a->f->nspec || a->latest || t->failure.code == KILN_EMEMORY) return false;
    char why[sizeof t->text];
    kiln_code code = failure_take(t, why, sizeof why);
    fail(t, a->at, code,
        "%s: %s declares no inputs and was never called, so it was traced without any, and that "
        "failed; give .inputs, or call it once before: %.300s",
        a->what, a->f->name, why);
    return false;
}

/* Under `compiling`. */
static bool trace_inputs(const Ahead *a)
{
    const int nin = a->f->nspec ? (int)a->f->nspec : a->latest ? (int)a->latest->narg : 0;
    kiln_tensor *arg = SCRATCH(a->t, a->at, kiln_tensor, nin), **in = SCRATCH(a->t, a->at, kiln_tensor *, nin);
    if (!arg || !in) return false;
    memset(arg, 0, (size_t)nin * sizeof *arg);
    for (int i = 0; i < nin; i++) in[i] = &arg[i];
    return input_types(a, arg, nin) && trace_now(a, in, nin);
}

bool function_trace_ahead(Thread *t, kiln_site at, const char *what, kiln_function *f, Traced *traced)
{
    bool starved = false;
    Latest *latest = latest_copy(f, &starved);
    if (starved) return fail(t, at, KILN_EMEMORY, "%s: no memory", what), false;
    ScratchMark mark = scratch_mark(&t->scratch);
    pthread_mutex_lock(&f->compiling);
    t->alone = true;
    const bool ok = trace_inputs(&(Ahead){t, at, what, f, latest, traced});
    t->alone = false;
    pthread_mutex_unlock(&f->compiling);
    scratch_reset(&t->scratch, mark);
    latest_free(latest);
    return ok;
}
