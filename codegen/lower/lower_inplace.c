/* lower_inplace: lets a value be written over one that nobody needs any more, so that a loop's carries need no copies. Relies on
 * lower.h. Never changes what a kernel computes, only which of its buffers share memory. */
#include "lower.h"

static bool is_in(const Program *p, uint32_t b, uint32_t buf)
{
    while (b != buf && p->buf.at[b].kind == BUF_SLICE) b = p->buf.at[b].of;
    return b == buf;
}

/* ---- which steps touch a buffer ------------------------------------------------------------------ */

typedef struct TouchList {
    VEC(uint32_t) step;
} TouchList; /* in order, without repetition */

typedef struct Touch {
    const Program *p;
    Arena *arena;
    Map list_of; /* buffer -> index into list */
    VEC(TouchList) list;
    Step **step; /* those of the block, and before them those of the blocks that it is the rest of (lower_set_size) */
    uint32_t n;
    bool *gone; /* per step: whether it has become superfluous */
} Touch;

typedef struct Steps {
    const uint32_t *at;
    uint32_t n;
} Steps;

static Steps steps_of(const Touch *t, uint32_t buf)
{
    const uint64_t *at = map_get(&t->list_of, buf);
    return !at ? (Steps){0} : (Steps){t->list.at[*at].step.at, t->list.at[*at].step.len};
}

/* Notes that step number `step` touches this buffer, and the buffers that it is a slice of. */
static void touch(Touch *t, uint32_t buf, uint32_t step)
{
    for (; buf != UINT32_MAX; buf = t->p->buf.at[buf].kind == BUF_SLICE ? t->p->buf.at[buf].of : UINT32_MAX) {
        const uint64_t *at = map_get(&t->list_of, buf);
        if (!at) {
            at = map_put(&t->list_of, buf, t->list.len);
            *VEC_PUSH(t->arena, &t->list) = (TouchList){0};
        }
        uint32_t len = t->list.at[*at].step.len;
        if (len == 0 || t->list.at[*at].step.at[len - 1] != step) *VEC_PUSH(t->arena, &t->list.at[*at].step) = step;
    }
}

static void touch_all(Touch *t, const Step *st, uint32_t step)
{
    uint32_t n = step_buffers(t->p, st);
    for (uint32_t i = 0; i < n; i++) touch(t, st->buf[i], step);
    if (st->kind == STEP_CONTRACT) {
        touch(t, st->contract.a, step);
        touch(t, st->contract.b, step);
        touch(t, st->contract.c, step);
    } else if (st->kind == STEP_COPY) {
        touch(t, st->from, step);
        touch(t, st->to, step);
    } else if (st->kind == STEP_SIZE) {
        touch(t, st->from, step);
    } else if (st->kind == STEP_BRANCH) {
        touch(t, st->selector, step);
    } else if (st->kind == STEP_LOOP) {
        touch(t, st->selector, step);
        touch(t, st->trip, step);
        touch(t, st->index, step);
        touch(t, st->count, step);
    }
    for (uint32_t i = 0; i < st->nblock; i++)
        for (uint32_t k = 0; k < st->block[i].n; k++) touch_all(t, &st->block[i].step[k], step);
}

/* ---- kernels whose buffers are one ---------------------------------------------------------------- */

static bool same_elements(const Stream *a, const Stream *b)
{
    return a->type == b->type && a->base == b->base && a->dyn < 0 && b->dyn < 0 && a->guard < 0 && b->guard < 0 &&
           memcmp(a->coef, b->coef, sizeof a->coef) == 0;
}

/* The last stage in which an instruction of the kernel reads stream s. */
static uint32_t last_read(const Kernel *k, uint32_t s)
{
    uint32_t last = 0;
    for (uint32_t i = 0; i < k->nstage; i++)
        for (uint32_t j = k->stage[i].first; j < k->stage[i].last; j++)
            if (k->instr[j].kind == I_LOAD && k->instr[j].ref == s) last = i;
    return last;
}

bool kernel_may_share(const Kernel *k, uint32_t in, uint32_t out)
{
    if (k->writes[in]) return false;
    for (uint32_t g = 0; g < k->nstage; g++) {
        for (uint32_t j = k->stage[g].first_store; j < k->stage[g].last_store; j++) {
            const Stream *to = &k->stream[k->store[j].stream];
            if (to->buf != out) continue;
            if (k->store[j].fold) return false;
            for (uint32_t s = 0; s < k->nstream; s++)
                if (k->stream[s].buf == in && (!same_elements(&k->stream[s], to) || last_read(k, s) > g)) return false;
        }
    }
    return true;
}

uint32_t lower_share(Lower *lw, uint32_t kernel, uint32_t in, uint32_t out)
{
    Kernel k = lw->p->kernel.at[kernel];
    k.writes = arena_copy(lw->arena, k.writes, k.nbuf * sizeof *k.writes);
    k.writes[in] = true;
    k.writes[out] = false;
    k.stream = arena_copy(lw->arena, k.stream, k.nstream * sizeof *k.stream);
    k.store = arena_copy(lw->arena, k.store, k.nstore * sizeof *k.store);
    for (uint32_t i = 0; i < k.nstore; i++)
        if (k.stream[k.store[i].stream].buf == out) k.store[i].past = 0; /* reading it has brought it into a cache */
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

/* ---- the end of a block --------------------------------------------------------------------------- */

/* Replaces buffer `from`, which step `made` writes, by `to` in all steps that touch it. No later step may touch `to`, except the
 * copy that becomes superfluous. */
static bool merge(Lower *lw, const Touch *t, Steps touching, uint32_t made, uint32_t from, uint32_t to)
{
    Step *st = t->step[made];
    if (st->kind == STEP_KERNEL) {
        const Kernel *k = &lw->p->kernel.at[st->kernel];
        uint32_t in = kernel_slot(k, st, to, false), out = kernel_slot(k, st, from, true);
        if (out == NO_BUF) return false;
        if (in != NO_BUF) {
            if (uses(k, st, to) != 1 || uses(k, st, from) != 1 || !kernel_may_share(k, in, out)) return false;
            st->kernel = lower_share(lw, st->kernel, in, out);
        }
    } else if (st->kind == STEP_HOST) {
        const uint32_t results = routine_results((Op)st->host.op);
        bool made_here = false;
        for (uint32_t i = 0; i < results; i++) made_here |= st->buf[i] == from;
        for (uint32_t i = results; i < routine_buffers((Op)st->host.op); i++) made_here &= !is_in(lw->p, st->buf[i], to);
        if (!made_here) return false;
    } else if (st->kind != STEP_CONTRACT || st->contract.c != from || is_in(lw->p, st->contract.a, to) ||
               is_in(lw->p, st->contract.b, to)) {
        return false;
    }
    for (uint32_t i = 0; i < touching.n; i++) {
        Step *at = t->step[touching.at[i]];
        uint32_t *buf = (uint32_t *)at->buf;
        uint32_t n = step_buffers(lw->p, at);
        for (uint32_t j = 0; j < n; j++)
            if (buf[j] == from) buf[j] = to;
        if (at->kind == STEP_CONTRACT && at->contract.a == from) at->contract.a = to;
        if (at->kind == STEP_CONTRACT && at->contract.b == from) at->contract.b = to;
        if (at->kind == STEP_CONTRACT && at->contract.c == from) at->contract.c = to;
        if (at->kind == STEP_COPY && at->from == from) at->from = to;
    }
    return true;
}

/* Removes copy number `copy` by computing its source directly in its destination, if no other step needs either. */
static void make_in_place(Scope *s, Touch *t, uint32_t copy, uint32_t first_copy)
{
    const Program *p = s->lw->p;
    uint32_t made = UINT32_MAX, from = t->step[copy]->from, to = t->step[copy]->to;
    Steps touching = steps_of(t, from), there = steps_of(t, to);
    if (p->buf.at[from].kind != BUF_TEMP) return;
    for (uint32_t i = 0; i < touching.n; i++) {
        const Step *st = t->step[touching.at[i]];
        if (st->nblock != 0) return; /* its nested steps would have to change, too */
        if (touching.at[i] == copy || t->gone[touching.at[i]]) continue;
        if (touching.at[i] >= first_copy && st->from == from) return; /* two results are this value */
        if (made == UINT32_MAX) made = touching.at[i];
    }
    if (made >= copy) return;
    for (uint32_t i = 0; i < there.n; i++)
        if (there.at[i] > made && there.at[i] != copy && !t->gone[there.at[i]]) return;
    if (!merge(s->lw, t, touching, made, from, to)) return;
    s->lw->p->buf.at[from].bytes = 0; /* nobody uses it any more: it needs no room */
    t->gone[copy] = true;
    for (uint32_t i = 0; i < touching.n; i++) touch(t, to, touching.at[i]);
}

static Touch touches(const Scope *s)
{
    Arena *a = s->lw->scratch;
    Touch t = {.p = s->lw->p, .arena = a, .list_of = {.arena = a}};
    uint32_t room = s->step.len + 1;
    for (uint32_t i = 0; i < s->outer.len; i++) room += s->outer.at[i].len;
    t.step = ARENA_ARRAY(a, Step *, room);
    t.gone = ARENA_ARRAY(a, bool, room);
    for (uint32_t i = 0; i <= s->outer.len; i++) {
        const StepList *l = i < s->outer.len ? &s->outer.at[i] : &s->step;
        for (uint32_t j = 0; j < l->len; j++) t.step[t.n++] = &l->at[j];
    }
    for (uint32_t i = 0; i < t.n; i++) touch_all(&t, t.step[i], i);
    return t;
}

static void make_all_in_place(Scope *s, uint32_t first_copy, const bool *shared)
{
    uint32_t kept = first_copy;
    if (first_copy == s->step.len) return;
    Touch t = touches(s);
    const uint32_t before = t.n - s->step.len; /* steps of other blocks */
    for (uint32_t i = first_copy; i < s->step.len; i++)
        if (!shared[i - first_copy]) make_in_place(s, &t, before + i, before + first_copy);
    for (uint32_t i = first_copy; i < s->step.len; i++)
        if (!t.gone[before + i]) s->step.at[kept++] = s->step.at[i];
    s->step.len = kept;
}

bool scope_results(Scope *s, const uint32_t *to, const bool *late)
{
    const Graph *g = s->g;
    Arena *a = s->lw->scratch;
    uint32_t n = g->result.len, *from = ARENA_ARRAY(a, uint32_t, n + 1);
    bool *shared = ARENA_ARRAY(a, bool, n + 1);
    Map taken = {.arena = a}; /* buffers of results map to 1 if they change late, else to 0 */
    for (uint32_t i = 0; i < n; i++) {
        from[i] = s->buf[scope_root(g, g->result.at[i])];
        if (from[i] == NO_BUF) return status_fail(s->lw->st, ST_INTERNAL, "lowering %s: result %u was never computed", g->name, i);
        if (from[i] != to[i] && !late[i]) scope_copy(s, from[i], to[i]);
        map_put(&taken, to[i], late[i]);
    }
    for (uint32_t i = 0; i < n; i++) {
        const uint64_t *other = map_get(&taken, from[i]);
        if (from[i] == to[i] || !late[i] || !other || !*other) continue;
        uint32_t wait = lower_buf(s->lw, BUF_TEMP, graph_type(g, g->result.at[i]));
        if (wait == NO_BUF) return false;
        scope_copy(s, from[i], wait);
        from[i] = wait;
    }
    uint32_t first_copy = s->step.len;
    for (uint32_t i = 0; i < n; i++) {
        if (from[i] == to[i] || !late[i]) continue;
        shared[s->step.len - first_copy] = map_get(&taken, from[i]);
        scope_copy(s, from[i], to[i]);
    }
    make_all_in_place(s, first_copy, shared);
    return true;
}
