/* call_failed: the error to record when compiled code has ended with a code and recorded nothing itself. */
#include "../ops/effect.h"
#include "function.h"

static const Step *loop_of(const Step *s, uint32_t n, uint32_t id)
{
    const Step *found = NULL;
    for (uint32_t i = 0; i < n && !found; i++) {
        if (s[i].kind == STEP_LOOP && s[i].id == id) return &s[i];
        for (uint32_t k = 0; k < s[i].nblock && !found; k++) found = loop_of(s[i].block[k].step, s[i].block[k].n, id);
    }
    return found;
}

/* The loop that keeps slices in stack `number`; NULL: none. */
static const Step *loop_of_stack(const Program *p, uint32_t number)
{
    for (uint32_t i = 0; i < p->buf.len; i++) {
        const Buf *of = p->buf.at[i].kind == BUF_SLICE ? &p->buf.at[p->buf.at[i].of] : NULL;
        if (of && of->kind == BUF_STACK && of->index == number) return loop_of(p->step, p->nstep, p->buf.at[i].loop);
    }
    return NULL;
}

static bool told_of_stack(Thread *t, kiln_site at, const kiln_function *f, const Code *code, const HostStack *stack)
{
    for (uint32_t i = 0; stack && i < code->program->nstack; i++) {
        if (!stack[i].refused) continue;
        const Step *s = loop_of_stack(code->program, i);
        fail(t, at, KILN_EMEMORY, "%s: no memory for %lld bytes that the loop at %s:%d keeps of its steps for a gradient", f->name,
            (long long)stack[i].refused, s && s->loc.file ? s->loc.file : "?", s ? s->loc.line : 0);
        return true;
    }
    return false;
}

/* The words for a loop beyond its bound are those of eager code. */
static void tell(Thread *t, kiln_site at, const kiln_function *f, const Code *code, uint32_t rc, const HostStack *stack)
{
    const Program *p = code->program;
    const Step *s = rc >= ENTRY_LOOP ? loop_of(p->step, p->nstep, rc / ENTRY_LOOP - 1) : NULL;
    if (s)
        fail(t, (kiln_site){s->loc.file, s->loc.line}, KILN_EVALUE, BEYOND_BOUND, (long long)s->trip_dim);
    else if (t->refused.code)
        fail(t, at, (kiln_code)t->refused.code, "%s: %s", f->name, t->refused.text);
    else if (rc != ST_MEMORY || !told_of_stack(t, at, f, code, stack))
        fail(t, at, (kiln_code)(rc % ENTRY_LOOP), "%s: the compiled function failed", f->name);
}

/* Records why compiled code ended, if the code itself has not: an effect that fails says so itself, but knows no place in a model.
 */
void call_failed(Thread *t, kiln_site at, const kiln_function *f, const Call *c, uint32_t rc, bool silent, bool well)
{
    if (silent) tell(t, at, f, c->code, rc, c->stack);
    if (well) failure_at(t, at);
    t->refused.code = ST_OK;
}
