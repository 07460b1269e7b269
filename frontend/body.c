/* body: running the user's bodies: what they are given, what they gave, and that an error in one is an error of the call, eagerly as in a
 * trace. Inputs that were not given are there all the same, as tensors that say so when they are used. Relies on internal.h. */
#include "body.h"
#include "scope.h"

#define DEPTH_MAX 64
/* Once too deep, all that would be entered is refused: else a body that calls itself twice would take 2^64 calls to come back. */
static bool may_nest(Thread *t, kiln_site at, const char *name, uint32_t depth)
{
    if (!t->too_deep && depth < DEPTH_MAX) return true;
    t->too_deep = true;
    fail(t, at, KILN_ESTATE,
        "%s: bodies nested %d deep: does it call itself without end? In a trace only what C knows "
        "(static "
        "arguments, sizes) ends a recursion",
        name, DEPTH_MAX);
    return false;
}


bool frame_may_nest(Thread *t, kiln_site at, const char *name)
{
    uint32_t depth = 0;
    for (const Frame *f = t->trace->frame; f; f = f->parent) depth++;
    return may_nest(t, at, name, depth);
}

/* ---- inputs --------------------------------------------------------------------------------------------------------- */
void missing_inputs_init(kiln *k)
{
    for (int i = 0; i < MISSING_INPUTS; i++) {
        k->missing[i].state = TENSOR_MISSING;
        k->missing[i].k = k;
    }
    for (int i = 0; i < 2 * MISSING_INPUTS; i++) k->missing_at[i] = &k->missing[MIN_OF(i, MISSING_INPUTS - 1)];
}

int missing_input(const kiln_tensor *x) { return (int)(x - x->k->missing); }

void body_inputs(kiln *k, kiln_tensor **to, kiln_tensor *const *in, int nin)
{
    if (nin && to != in) memcpy(to, in, (size_t)nin * sizeof *to);
    _Static_assert(BODY_ROOM <= MISSING_INPUTS, "from any start there are as many pointers");
    memcpy(to + nin, k->missing_at + MIN_OF(nin, MISSING_INPUTS), BODY_ROOM * sizeof *to);
    to[nin] = NULL;
}

bool body_enter(Thread *t, kiln_site at, BodyRun *b, const char *name, int nin)
{
    if (!may_nest(t, at, name, t->body_depth)) return false;
    *b = (BodyRun){t->body, name, nin, t->failures, t->next_uid, t->called};
    t->body = b;
    t->called = NULL;
    t->body_depth++;
    return true;
}

bool body_leave(Thread *t, kiln_site at)
{
    const BodyRun *b = t->body;
    const bool ok = eagerly_ended(t, at, b->name, b->since) && t->failures == b->failures;
    t->body = b->outer;
    t->called = b->called;
    if (--t->body_depth == 0) t->too_deep = false;
    if (!ok && t->failure.code == KILN_OK)
        fail(t, at, KILN_ESTATE,
            "%s: an error in its body was cleared there; a call fails with its body, eagerly as in a trace: kiln_clear after the call",
            b->name);
    return ok;
}

/* ---- outputs -------------------------------------------------------------------------------------------------------- */
bool body_output(Thread *t, kiln_site at, const char *name, int i, kiln_tensor **out)
{
    kiln_tensor *x = *out;
    if (tensor_ok(x) && x->k == t->k) return true;
    if (x && x->k != t->k)
        *out = fail(t, at, KILN_ESTATE, "%s: output %d is of another engine", name, i);
    else if (!x)
        *out = fail(t, at, KILN_ESTATE, "%s: its body did not set output %d", name, i);
    else if (x->state == TENSOR_FREE)
        *out = fail(t, at, KILN_ESTATE,
            "%s: output %d, made at %s:%d, is of a scope or loop that has ended; kiln_keep it, or carry it in a kiln_local", name, i,
            x->made.file ? x->made.file : "?", x->made.line);
    else if (x->state == TENSOR_STATIC)
        *out = fail(t, at, KILN_EVALUE, "%s: output %d is a static argument, a C value and no tensor: kiln_scalar makes one of it", name, i);
    else if (x->state == TENSOR_MISSING)
        *out = fail(t, at, KILN_EVALUE, "%s: output %d is input %d, which was not given", name, i, missing_input(x));
    else
        *out = &t->k->poison;
    return false;
}

static bool sets_no_more(Thread *t, kiln_site at, const char *name, kiln_tensor *const *out, int n)
{
    uintptr_t any = 0; /* the usual answer comes of one pass without a branch */
    for (int i = n; i < n + SPARE_OUTPUTS; i++) any |= (uintptr_t)out[i];
    for (int i = n; any && i < n + SPARE_OUTPUTS; i++)
        if (out[i]) return fail(t, at, KILN_EVALUE, "%s: its body set output %d; it has %d", name, i, n), false;
    return true;
}

/* With scratch that the caller gives back. */
static bool inline_body(Thread *t, kiln_site at, kiln_function *f, kiln_tensor *const *in, int nin, kiln_tensor **out)
{
    const int n = f->options.outputs;
    kiln_tensor **args = SCRATCH(t, at, kiln_tensor *, (size_t)nin + BODY_ROOM),
                **set = SCRATCH(t, at, kiln_tensor *, (size_t)n + SPARE_OUTPUTS);
    BodyRun run;
    for (int i = 0; i < n; i++) out[i] = &t->k->poison;
    if (!args || !set || !body_enter(t, at, &run, f->name, nin)) return false;
    if (!scope_push(t)) {
        body_leave(t, at);
        fail(t, at, KILN_EMEMORY, "%s: no memory for a scope", f->name);
        return false;
    }
    body_inputs(t->k, args, in, nin);
    memset(set, 0, ((size_t)n + SPARE_OUTPUTS) * sizeof *set);
    f->body(f->k, args, set, f->user);
    bool ok = body_leave(t, at) && sets_no_more(t, at, f->name, set, n);
    for (int i = 0; i < n && ok; i++) {
        ok = body_output(t, at, f->name, i, &set[i]);
        /* Each output is a handle of its own, not that of another output, of an input, or of what lives on outside (which a trace captures as it is). */
        bool own = ok && ((t->trace && set[i]->state == TENSOR_EAGER) || (set[i]->in_scope && set[i]->home == t && set[i]->scope == t->scopes - 1));
        for (int j = 0; j < i && own; j++) own = set[j] != set[i];
        if (ok && !own) ok = tensor_ok(set[i] = tensor_alias(t, at, set[i]));
        if (ok && set[i]->in_scope && set[i]->scope == t->scopes - 1) scope_move_out(t, set[i]);
        if (ok) out[i] = set[i];
    }
    for (int i = 0; i < n && !ok; i++) out[i] = &t->k->poison;
    scope_pop(t);
    return ok;
}

bool function_inline(Thread *t, kiln_site at, kiln_function *f, kiln_tensor *const *in, int nin, kiln_tensor **out)
{
    ScratchMark mark = scratch_mark(&t->scratch);
    bool ok = inline_body(t, at, f, in, nin, out);
    scratch_reset(&t->scratch, mark);
    return ok;
}
