/* lower_inplace: values written over values that die, so that a loop's carries need no copies. Relies on lower.h. Never changes what a
 * kernel computes: only which of its buffers are one. */
#include "lower.h"

static bool reads(const Program *p, const Step *st, uint32_t buf);

static bool any_reads(const Program *p, const Step *step, uint32_t n, uint32_t buf)
{
    for (uint32_t i = 0; i < n; i++)
        if (reads(p, &step[i], buf)) return true;
    return false;
}

static bool is_in(const Program *p, uint32_t b, uint32_t buf)
{
    while (b != buf && b != UINT32_MAX && p->buf.at[b].kind == BUF_SLICE) b = p->buf.at[b].of;
    return b == buf;
}

static bool names(const Program *p, uint32_t b, uint32_t buf) { return b != UINT32_MAX && is_in(p, b, buf); }

/* Touches, reading or writing. */
static bool reads(const Program *p, const Step *st, uint32_t buf)
{
    switch ((StepKind)st->kind) {
    case STEP_KERNEL:
        for (uint32_t i = 0; i < p->kernel.at[st->kernel].nbuf; i++)
            if (is_in(p, st->buf[i], buf)) return true;
        return false;
    case STEP_CONTRACT: return is_in(p, st->contract.a, buf) || is_in(p, st->contract.b, buf) || is_in(p, st->contract.c, buf);
    case STEP_COPY: return is_in(p, st->from, buf) || is_in(p, st->to, buf);
    case STEP_EFFECT:
        for (uint32_t i = 0; i < st->effect.nin + st->effect.nout; i++)
            if (is_in(p, st->buf[i], buf)) return true;
        return false;
    case STEP_LOOP:
    case STEP_BRANCH:
        for (uint32_t i = 0; i < st->nblock; i++)
            if (any_reads(p, st->block[i].step, st->block[i].n, buf)) return true;
        return names(p, st->selector, buf) || (st->kind == STEP_LOOP && (names(p, st->trip, buf) || names(p, st->index, buf) ||
                                                                         names(p, st->count, buf)));
    }
    return true;
}

static bool same_elements(const Stream *a, const Stream *b)
{
    return a->type == b->type && a->base == b->base && a->dyn < 0 && b->dyn < 0 && a->guard < 0 && b->guard < 0 &&
        memcmp(a->coef, b->coef, sizeof a->coef) == 0;
}

/* Stages in which the kernel's instructions read stream s: the last of them. */
static uint32_t last_read(const Kernel *k, uint32_t s)
{
    uint32_t last = 0;
    for (uint32_t i = 0; i < k->nstage; i++)
        for (uint32_t j = k->stage[i].first; j < k->stage[i].last; j++)
            if (k->instr[j].kind == I_LOAD && k->instr[j].ref == s) last = i;
    return last;
}

/* Kernel buffer `out` may be the same memory as `in`: every element is read, at its own index, before it is written. */
static bool may_share(const Kernel *k, uint32_t in, uint32_t out)
{
    if (k->writes[in]) return false;
    for (uint32_t g = 0; g < k->nstage; g++) {
        for (uint32_t j = k->stage[g].first_store; j < k->stage[g].last_store; j++) {
            const Stream *to = &k->stream[k->store[j].stream];
            if (to->buf != out) continue;
            if (k->store[j].add) return false;
            for (uint32_t s = 0; s < k->nstream; s++)
                if (k->stream[s].buf == in && (!same_elements(&k->stream[s], to) || last_read(k, s) > g)) return false;
        }
    }
    return true;
}

/* The kernel with its buffer `out` replaced by `in`, so that emitters know of the sharing. */
static uint32_t shared_kernel(Lower *lw, uint32_t kernel, uint32_t in, uint32_t out)
{
    Kernel k = lw->p->kernel.at[kernel];
    k.writes = arena_copy(lw->arena, k.writes, k.nbuf * sizeof *k.writes);
    k.writes[in] = true;
    k.writes[out] = false;
    k.stream = arena_copy(lw->arena, k.stream, k.nstream * sizeof *k.stream);
    for (uint32_t i = 0; i < k.nstream; i++)
        if (k.stream[i].buf == out) k.stream[i].buf = in;
    return lower_add_kernel(lw, &k);
}

static uint32_t kernel_slot(const Kernel *k, const Step *st, uint32_t buf, bool written)
{
    for (uint32_t i = 0; i < k->nbuf; i++)
        if (st->buf[i] == buf && k->writes[i] == written) return i;
    return NO_BUF;
}

static uint32_t uses(const Kernel *k, const Step *st, uint32_t buf)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < k->nbuf; i++) n += st->buf[i] == buf;
    return n;
}

/* Buffer `from`, made by step `made`, becomes `to` throughout the body; `to` is read by no later step but the copy that goes. */
static bool merge(Scope *s, uint32_t made, uint32_t from, uint32_t to)
{
    Lower *lw = s->lw;
    Step *st = &s->step.at[made];
    if (st->kind == STEP_KERNEL) {
        const Kernel *k = &lw->p->kernel.at[st->kernel];
        uint32_t in = kernel_slot(k, st, to, false), out = kernel_slot(k, st, from, true);
        if (out == NO_BUF) return false;
        if (in != NO_BUF) {
            if (uses(k, st, to) != 1 || uses(k, st, from) != 1 || !may_share(k, in, out)) return false;
            st->kernel = shared_kernel(lw, st->kernel, in, out);
        }
    } else if (st->kind != STEP_CONTRACT || st->contract.c != from || is_in(lw->p, st->contract.a, to) || is_in(lw->p, st->contract.b, to)) {
        return false;
    }
    for (uint32_t i = made; i < s->step.len; i++) {
        Step *at = &s->step.at[i];
        uint32_t *buf = (uint32_t *)at->buf;
        uint32_t n = at->kind == STEP_KERNEL ? lw->p->kernel.at[at->kernel].nbuf : at->kind == STEP_EFFECT ? at->effect.nin + at->effect.nout : 0;
        for (uint32_t j = 0; j < n; j++)
            if (buf[j] == from) buf[j] = to;
        if (at->kind == STEP_CONTRACT && at->contract.a == from) at->contract.a = to;
        if (at->kind == STEP_CONTRACT && at->contract.b == from) at->contract.b = to;
        if (at->kind == STEP_CONTRACT && at->contract.c == from) at->contract.c = to;
        if (at->kind == STEP_COPY && at->from == from) at->from = to;
    }
    return true;
}

void loop_in_place(Scope *s, uint32_t from, uint32_t to, uint32_t first_copy)
{
    const Program *p = s->lw->p;
    uint32_t made = UINT32_MAX, copy = UINT32_MAX, copies = 0;
    if (p->buf.at[from].kind != BUF_TEMP) return;
    for (uint32_t i = 0; i < s->step.len; i++) {
        const Step *st = &s->step.at[i];
        if (st->nblock != 0 && reads(p, st, from)) return; /* its steps would have to follow */
        if (i >= first_copy && st->from == from) {
            copies++;
            if (st->to == to) copy = i;
        } else if (made == UINT32_MAX && reads(p, st, from)) {
            made = i;
        }
    }
    if (made == UINT32_MAX || copy == UINT32_MAX || copies != 1) return;
    for (uint32_t i = made + 1; i < s->step.len; i++)
        if (i != copy && reads(p, &s->step.at[i], to)) return;
    if (!merge(s, made, from, to)) return;
    s->lw->p->buf.at[from].bytes = 0; /* nobody's any more: it needs no room */
    memmove(&s->step.at[copy], &s->step.at[copy + 1], (s->step.len - copy - 1) * sizeof *s->step.at);
    s->step.len--;
}
