/* lower_launch: finds kernels that may run side by side, so that threads share all of them at once: steps none of which writes what
 * another reads or writes. They stand together, moved past other steps where that changes nothing, and say so (Step.beside); what
 * they read and write lives from the first of them to the last, so that the memory plan gives none of them another's memory. Relies
 * on lower.h. Never changes a kernel, or the order of steps that depend on one another; who ignores it runs them one by one. */
#include "lower.h"

/* Kernels that would not be side by side otherwise may take this much memory, or as much as the program needs at its worst. */
#define FREE_BYTES ((int64_t)1 << 18)

/* Others stay where they are: what they read may be in a cache there, and they are worth sharing alone. */
#define MOVED_WORK (4 * SHARED_WORK)
#define MOST_PASSED 64 /* steps that others are moved past */

int64_t launch_least = SHARED_WORK;

typedef struct Launches {
    Lower *lw;
    int64_t *alive, *born; /* per clock: bytes of the temporaries that live then, and of those that begin to */
    int64_t most;          /* what a launch may need */
    /* The launch that is being made: steps [first, last) of the block, and those after it, which were passed. */
    Step *s;
    uint32_t first, last, end;
    uint32_t low, high; /* clocks of its steps */
    bool moves, stays;  /* all its kernels may be moved; a step behind it must stay there */
    /* per buffer that is no slice: the last launch that reads it, that writes it, and whose passed steps do; 0: none */
    uint32_t *reads, *writes, *passed_reads, *passed_writes, launch;
} Launches;

static void find_lives(Launches *l)
{
    const Program *p = l->lw->p;
    const uint32_t end = l->lw->clock + 1;
    l->alive = ARENA_ARRAY(l->lw->scratch, int64_t, (size_t)end + 2);
    l->born = ARENA_ARRAY(l->lw->scratch, int64_t, (size_t)end + 2);
    for (uint32_t i = 0; i < p->buf.len; i++) {
        const Buf *b = &p->buf.at[i];
        if (b->kind != BUF_TEMP || b->first == UINT32_MAX) continue;
        l->born[b->first] += b->bytes;
        l->alive[b->first] += b->bytes;
        l->alive[b->last + 1] -= b->bytes;
    }
    l->most = FREE_BYTES;
    for (uint32_t t = 0; t <= end; t++) {
        if (t > 0) l->alive[t] += l->alive[t - 1];
        l->most = MAX_OF(l->most, l->alive[t]);
    }
}

/* ---- what steps read and write --------------------------------------------------------------------------------------- */

typedef void Visit(Launches *l, uint32_t buf, bool writes, bool *answer);

static uint32_t root(const Program *p, uint32_t buf)
{
    while (p->buf.at[buf].kind == BUF_SLICE) buf = p->buf.at[buf].of;
    return buf;
}

static void visit(Launches *l, const Step *s, Visit *to, bool *answer)
{
    const Program *p = l->lw->p;
    const uint32_t n = step_buffers(p, s), results = s->kind == STEP_HOST ? routine_results((Op)s->host.op) : 0;
    for (uint32_t i = 0; i < n; i++)
        to(l, root(p, s->buf[i]), s->kind == STEP_KERNEL ? p->kernel.at[s->kernel].writes[i] : i < results, answer);
    if (s->kind == STEP_CONTRACT) {
        to(l, root(p, s->contract.a), false, answer);
        to(l, root(p, s->contract.b), false, answer);
        to(l, root(p, s->contract.c), true, answer);
    }
    if (s->kind == STEP_COPY) {
        to(l, root(p, s->from), false, answer);
        to(l, root(p, s->to), true, answer);
    }
}

static void note_member(Launches *l, uint32_t buf, bool writes, bool *answer)
{
    (void)answer;
    (writes ? l->writes : l->reads)[buf] = l->launch;
}

static void note_passed(Launches *l, uint32_t buf, bool writes, bool *answer)
{
    (void)answer;
    (writes ? l->passed_writes : l->passed_reads)[buf] = l->launch;
}

static void meets_member(Launches *l, uint32_t buf, bool writes, bool *answer)
{
    *answer |= l->writes[buf] == l->launch || (writes && l->reads[buf] == l->launch);
}

static void meets_passed(Launches *l, uint32_t buf, bool writes, bool *answer)
{
    *answer |= l->passed_writes[buf] == l->launch || (writes && l->passed_reads[buf] == l->launch);
}

static bool meets(Launches *l, const Step *s, Visit *whom)
{
    bool answer = false;
    visit(l, s, whom, &answer);
    return answer;
}

/* ---- one launch ------------------------------------------------------------------------------------------------------ */

/* Unknown numbers of chunks are not laid side by side. */
static bool may_be_beside(const Launches *l, const Step *s)
{
    if (s->kind != STEP_KERNEL || s->joins != 0 || s->ends) return false;
    const Kernel *k = &l->lw->p->kernel.at[s->kernel];
    return k->chunk < 0 || dim_is_const(k->extent[k->chunk]);
}

static int64_t work_of(const Launches *l, const Step *s) { return kernel_work(&l->lw->p->kernel.at[s->kernel]); }

/* What lives at any time of the launch with this step will live all the time. */
static bool has_room(const Launches *l, const Step *s)
{
    const uint32_t low = MIN_OF(l->low, s->clock), high = MAX_OF(l->high, s->clock);
    int64_t bytes = l->alive[low];
    for (uint32_t t = low + 1; t <= high; t++) bytes += l->born[t];
    return bytes <= l->most;
}

static void enter(Launches *l, const Step *s)
{
    l->low = MIN_OF(l->low, s->clock);
    l->high = MAX_OF(l->high, s->clock);
    l->moves = l->moves && work_of(l, s) < MOVED_WORK;
    visit(l, s, note_member, NULL);
}

static void begin(Launches *l, uint32_t at)
{
    l->launch++;
    l->first = at;
    l->last = l->end = at + 1;
    l->low = l->high = l->s[at].clock;
    l->moves = true;
    l->stays = false;
    enter(l, &l->s[at]);
}

static void finish(Launches *l)
{
    int64_t work = l->lw->o->target.launches ? launch_least : 0;
    for (uint32_t i = l->first; i < l->last; i++) work += work_of(l, &l->s[i]);
    for (uint32_t i = l->first; i < l->last && l->last - l->first > 1; i++) {
        l->s[i].beside = i > l->first && work >= launch_least;
        lower_lives_of(l->lw, &l->s[i], l->low, l->high);
    }
    l->first = l->last = l->end;
}

/* Moves step `from` to place `to` before it; those between go one further. */
static void move_up(Step *s, uint32_t from, uint32_t to)
{
    const Step moved = s[from];
    memmove(&s[to + 1], &s[to], (from - to) * sizeof *s);
    s[to] = moved;
}

/* Whether the next step has become part of the launch: it, or the launch, goes past what is between. */
static bool take(Launches *l)
{
    Step *next = &l->s[l->end];
    const uint32_t passed = l->end - l->last;
    if (meets(l, next, meets_member) || !has_room(l, next)) return false;
    if (passed == 0 || (work_of(l, next) < MOVED_WORK && !meets(l, next, meets_passed))) {
        enter(l, next);
        move_up(l->s, l->end++, l->last++);
        return true;
    }
    if (!l->moves || l->stays) return false;
    for (uint32_t i = 0; i < passed; i++) move_up(l->s, l->last + i, l->first + i);
    l->first += passed;
    l->last = l->end + 1;
    enter(l, next);
    l->end++;
    return true;
}

/* ---- lists of steps -------------------------------------------------------------------------------------------------- */

static void find_launches(Launches *l, Step *s, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t b = 0; b < s[i].nblock; b++) find_launches(l, s[i].block[b].step, s[i].block[b].n);
    l->s = s;
    l->first = l->last = l->end = 0;
    while (l->end < n) {
        const Step *next = &s[l->end];
        const bool open = l->first < l->last, able = may_be_beside(l, next);
        if (able && open && take(l)) continue;
        if (open && (able || next->nblock != 0 || next->kind == STEP_EFFECT || l->end - l->last == MOST_PASSED)) finish(l);
        if (able) {
            begin(l, l->end);
            continue;
        }
        if (l->first < l->last) {
            l->stays = l->stays || meets(l, next, meets_member);
            visit(l, next, note_passed, NULL);
        } else {
            l->first = l->last = l->end + 1;
        }
        l->end++;
    }
    if (l->first < l->last) finish(l);
}

void launch_steps(Lower *lw)
{
    Program *p = lw->p;
    Launches l = {.lw = lw};
    uint32_t **const marks[] = {&l.reads, &l.writes, &l.passed_reads, &l.passed_writes};
    for (int i = 0; i < 4; i++) *marks[i] = ARENA_ARRAY(lw->scratch, uint32_t, p->buf.len + 1);
    find_lives(&l);
    find_launches(&l, p->step, p->nstep);
}
