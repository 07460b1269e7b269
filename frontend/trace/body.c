/* body: running the user's bodies: what they are given, what they gave, and that an error in one is an error of the call, eagerly
 * as in a trace. Inputs that were not given are there all the same, as tensors that say so when they are used. Relies on trace.h.
 */
#include "trace.h"

#define DEPTH_MAX 64
/* Once bodies are nested too deep, nothing more is entered until the outermost one has ended. A body that calls itself twice would
 * otherwise make 2^64 calls before it comes back. */
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
    *b = (BodyRun){
        .outer = t->body, .name = name, .at = at, .nin = nin, .failures = t->failures, .since = t->next_uid, .called = t->called};
    if (t->body) b->placed = t->body->placed, b->device = t->body->device;
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
            "%s: its body cleared an error; an error in a body fails the call, eager or traced, so kiln_clear after the "
            "call",
            b->name);
    return ok;
}

/* ---- outputs -------------------------------------------------------------------------------------------------------- */
bool body_output(Thread *t, kiln_site at, const char *name, int i, kiln_tensor **out)
{
    kiln_tensor *x = *out;
    if (tensor_ok(x) && x->k == t->k) return true;
    if (x && x->k != t->k)
        *out = fail(t, at, KILN_ESTATE, "%s: output %d belongs to another engine", name, i);
    else if (!x)
        *out = fail(t, at, KILN_ESTATE, "%s: its body did not set output %d", name, i);
    else if (x->state == TENSOR_FREE)
        *out = fail(t, at, KILN_ESTATE,
            "%s: output %d, made at %s:%d, belongs to a scope or loop that has ended; kiln_keep it, or carry it in a kiln_local",
            name, i, x->made.file ? x->made.file : "?", x->made.line);
    else if (x->state == TENSOR_STATIC)
        *out = fail(t, at, KILN_EVALUE, "%s: output %d is a static argument, which is a C value: kiln_scalar makes a tensor of it",
            name, i);
    else if (x->state == TENSOR_MISSING)
        *out = fail(t, at, KILN_EVALUE, "%s: output %d is input %d, which was not given", name, i, missing_input(x));
    else
        *out = &t->k->poison;
    return false;
}
