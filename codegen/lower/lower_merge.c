/* lower_merge: makes one kernel of two that follow one another over the same points, where the later one reads at each point what
 * the earlier one made there, or both read the same buffer: values stay in registers, are computed once, and need no memory where
 * nobody else reads them. A cheap kernel over all elements of a buffer goes into the one that reads each of them once. The fuse
 * pass cannot see this: what gradients of slices add up to is cut into kernels only here. Relies on lower.h. Never changes what an
 * element is, only where it is computed. */
#include "lower.h"

enum { MOST_INSTR = 1024, MOST_BUFFERS = 20 };

typedef struct Half { /* one of the two */
    const Step *s;
    const Kernel *k;
    int32_t *is; /* what each of its instructions is in the kernel of both */
} Half;

typedef struct Merge {
    Lower *lw;
    uint32_t *uses; /* per program buffer: how often steps and slices name it */
    Half first, second;
    int32_t *found; /* per stream of the second: the instruction of `k` that is what it would load; -1: it is loaded */
    Kernel k;       /* that is being made: its arrays have room for all of both */
    uint32_t *buf;  /* program buffers of its slots */
} Merge;

/* ---- who uses what ---------------------------------------------------------------------------- */

static void use(Merge *m, uint32_t buf)
{
    if (buf != UINT32_MAX) m->uses[buf]++;
}

static void count_uses(Merge *m, const Step *s, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t buffers = step_buffers(m->lw->p, &s[i]);
        for (uint32_t j = 0; j < buffers; j++) use(m, s[i].buf[j]);
        if (s[i].kind == STEP_CONTRACT) use(m, s[i].contract.a), use(m, s[i].contract.b), use(m, s[i].contract.c);
        if (s[i].kind == STEP_COPY) use(m, s[i].from), use(m, s[i].to);
        if (s[i].kind == STEP_SIZE) use(m, s[i].from);
        if (s[i].kind == STEP_BRANCH || s[i].kind == STEP_LOOP) use(m, s[i].selector);
        if (s[i].kind == STEP_LOOP) use(m, s[i].trip), use(m, s[i].index), use(m, s[i].count);
        for (uint32_t j = 0; j < s[i].nblock; j++) count_uses(m, s[i].block[j].step, s[i].block[j].n);
    }
}

static uint32_t root(const Program *p, uint32_t buf)
{
    while (p->buf.at[buf].kind == BUF_SLICE) buf = p->buf.at[buf].of;
    return buf;
}

/* The two name different buffers that share memory, of which one is written. */
static bool overlap(const Merge *m)
{
    const Program *p = m->lw->p;
    const Half *x = &m->first, *y = &m->second;
    for (uint32_t i = 0; i < x->k->nbuf; i++)
        for (uint32_t j = 0; j < y->k->nbuf; j++)
            if (x->s->buf[i] != y->s->buf[j] && (x->k->writes[i] || y->k->writes[j]) &&
                root(p, x->s->buf[i]) == root(p, y->s->buf[j]))
                return true;
    return false;
}

/* ---- which elements --------------------------------------------------------------------------- */

static bool is_plain(const Kernel *k)
{
    if (k->sweep >= 0 || k->nstage != 1 || k->nreduction != 0 || k->nrow != 0 || k->turn >= 0 || k->chunk < 0) return false;
    for (uint32_t i = 0; i < k->nstore; i++)
        if (k->store[i].fold) return false;
    for (uint32_t i = 0; i < k->ninstr; i++)
        if (k->instr[i].kind == I_FETCH) return false;
    return true;
}

static bool same_points(const Kernel *x, const Kernel *y)
{
    return x->naxis == y->naxis && x->chunk == y->chunk && x->vector == y->vector &&
           memcmp(x->extent, y->extent, x->naxis * sizeof *x->extent) == 0;
}

static bool same_elements(const Stream *x, const Stream *y)
{
    return x->type == y->type && x->base == y->base && x->dyn < 0 && y->dyn < 0 && x->guard < 0 && y->guard < 0 &&
           memcmp(x->coef, y->coef, sizeof x->coef) == 0;
}

/* The first and last element of a stream, but for those axes that go from row to row (row 0: of the whole). False: they are not
 * known. */
static bool reach(const Kernel *k, const Stream *s, Dim row, Dim *low, Dim *high)
{
    *low = *high = s->base;
    if (s->dyn >= 0 || !dim_is_const(s->base) || s->base < 0) return false;
    for (uint32_t a = 0; a < k->naxis; a++) {
        if (s->coef[a] == 0) continue;
        if (!dim_is_const(s->coef[a]) || s->coef[a] < 0) return false;
        if (row != 0 && s->coef[a] % row == 0) continue;
        if (!dim_is_const(k->extent[a])) return false;
        *high = dim_add(NULL, *high, dim_mul(NULL, s->coef[a], MAX_OF(k->extent[a] - 1, 0)));
        if (*high == DIM_BAD) return false;
    }
    return true;
}

/* No element of the one stream is one of the other's, for they lie one behind the other: altogether, or at the same places of every
 * row. */
static bool apart_in_rows(const Kernel *k, const Stream *x, const Stream *y, Dim row)
{
    Dim low[2], high[2];
    if (!reach(k, x, row, &low[0], &high[0]) || !reach(k, y, row, &low[1], &high[1])) return false;
    if (high[0] >= low[1] && high[1] >= low[0]) return false;
    return row == 0 || (low[0] / row == high[0] / row && low[0] / row == low[1] / row && low[1] / row == high[1] / row);
}

static bool apart(const Kernel *k, const Stream *x, const Stream *y)
{
    if (apart_in_rows(k, x, y, 0)) return true;
    for (uint32_t a = 0; a < k->naxis; a++)
        if (dim_is_const(x->coef[a]) && x->coef[a] > 0 && apart_in_rows(k, x, y, x->coef[a])) return true;
    return false;
}

static bool stores(const Kernel *k, uint32_t stream)
{
    for (uint32_t i = 0; i < k->nstore; i++)
        if (k->store[i].stream == stream) return true;
    return false;
}

static uint32_t buf_of(const Half *h, const Stream *s) { return h->s->buf[s->buf]; }

/* What the first kernel stores where this stream of the second lies: an instruction; -1: nothing. */
static int32_t stored(const Merge *m, const Stream *s)
{
    const Kernel *k = m->first.k;
    int32_t value = -1;
    for (uint32_t i = 0; i < k->nstore; i++) {
        const Stream *to = &k->stream[k->store[i].stream];
        if (buf_of(&m->first, to) == buf_of(&m->second, s) && same_elements(to, s)) value = k->store[i].value;
    }
    return value;
}

/* Whether each point of the second kernel may follow the same point of the first, and should. */
static bool may_follow(const Merge *m)
{
    const Kernel *a = m->first.k, *b = m->second.k;
    bool related = false;
    for (uint32_t j = 0; j < b->nstream; j++) {
        const Stream *to = &b->stream[j];
        const int32_t value = stored(m, to);
        if (value >= 0 && a->instr[value].type != to->type) return false; /* it would be rounded in memory */
        for (uint32_t i = 0; i < a->nstream; i++) {
            const Stream *from = &a->stream[i];
            if (buf_of(&m->first, from) != buf_of(&m->second, to)) continue;
            const bool written = stores(a, i) || stores(b, j);
            if (written && !same_elements(from, to) && !apart(a, from, to)) return false;
            related = related || !stores(b, j);
        }
    }
    return related;
}

/* Nobody else names this buffer of the first kernel, which therefore reads nothing there, and the second has all that it reads
 * there from the first. */
static bool is_gone(const Merge *m, uint32_t buf)
{
    bool read = false;
    if (m->lw->p->buf.at[buf].kind != BUF_TEMP || m->uses[buf] != 2) return false;
    for (uint32_t i = 0; i < m->second.k->nstream; i++) {
        const Stream *s = &m->second.k->stream[i];
        if (buf_of(&m->second, s) != buf) continue;
        if (stores(m->second.k, i) || stored(m, s) < 0) return false;
        read = true;
    }
    return read;
}

/* ---- the kernel of both ----------------------------------------------------------------------- */

static uint32_t slot_of(Merge *m, uint32_t buf, bool writes)
{
    uint32_t i = 0;
    while (i < m->k.nbuf && m->buf[i] != buf) i++;
    if (i == m->k.nbuf) {
        m->buf[m->k.nbuf++] = buf;
        m->k.writes[i] = false;
    }
    m->k.writes[i] = m->k.writes[i] || writes;
    return i;
}

static uint32_t add_stream(Merge *m, const Half *h, uint32_t number)
{
    Stream s = h->k->stream[number];
    s.buf = slot_of(m, buf_of(h, &s), stores(h->k, number));
    if (s.dyn >= 0) s.dyn = h->is[s.dyn];
    if (s.guard >= 0) s.guard = h->is[s.guard];
    for (uint32_t i = 0; i < m->k.nstream; i++) {
        const Stream *o = &m->k.stream[i];
        if (o->buf == s.buf && o->type == s.type && o->base == s.base && o->dyn == s.dyn && o->guard == s.guard &&
            memcmp(o->coef, s.coef, sizeof s.coef) == 0)
            return i;
    }
    m->k.stream[m->k.nstream] = s;
    return m->k.nstream++;
}

static int32_t add_instr(Merge *m, const Instr *x)
{
    for (uint32_t i = 0; i < m->k.ninstr; i++) {
        const Instr *o = &m->k.instr[i];
        if (o->kind == x->kind && o->prim == x->prim && o->type == x->type && o->sweeps == x->sweeps && o->lanes == x->lanes &&
            o->a == x->a && o->b == x->b && o->c == x->c && o->ref == x->ref && o->value.u == x->value.u)
            return (int32_t)i;
    }
    m->k.instr[m->k.ninstr] = *x;
    return (int32_t)m->k.ninstr++;
}

static int32_t operand(const Half *h, int32_t x) { return x < 0 ? x : h->is[x]; }

static void add_instrs(Merge *m, const Half *h, const int32_t *found)
{
    for (uint32_t i = 0; i < h->k->ninstr; i++) {
        Instr x = h->k->instr[i];
        if (x.kind == I_LOAD && found && found[x.ref] >= 0) {
            h->is[i] = found[x.ref];
            continue;
        }
        if (x.kind == I_LOAD) x.ref = add_stream(m, h, x.ref);
        x.a = operand(h, x.a);
        x.b = operand(h, x.b);
        x.c = operand(h, x.c);
        h->is[i] = add_instr(m, &x);
    }
}

static void add_stores(Merge *m, const Half *h)
{
    for (uint32_t i = 0; i < h->k->nstore; i++) {
        Store x = h->k->store[i];
        if (h == &m->first && is_gone(m, buf_of(h, &h->k->stream[x.stream]))) continue;
        x.stream = add_stream(m, h, x.stream);
        x.value = h->is[x.value];
        m->k.store[m->k.nstore++] = x;
    }
}

/* times: how often the first one's instructions may come. */
static void open_kernel(Merge *m, uint32_t times)
{
    Arena *a = m->lw->arena;
    const Kernel *x = m->first.k, *y = m->second.k;
    m->k = *y;
    m->k.nbuf = m->k.ninstr = m->k.nstream = m->k.nstore = 0;
    m->k.unroll = MIN_OF(x->unroll, y->unroll);
    m->k.instr = ARENA_ARRAY(a, Instr, times * x->ninstr + y->ninstr);
    m->k.stream = ARENA_ARRAY(a, Stream, times * x->nstream + y->nstream);
    m->k.store = ARENA_ARRAY(a, Store, x->nstore + y->nstore);
    m->k.writes = ARENA_ARRAY(a, bool, x->nbuf + y->nbuf);
    m->k.stage = ARENA_ARRAY(a, Stage, 1);
    m->buf = ARENA_ARRAY(a, uint32_t, x->nbuf + y->nbuf);
    m->first.is = ARENA_ARRAY(m->lw->scratch, int32_t, x->ninstr + 1);
    m->second.is = ARENA_ARRAY(m->lw->scratch, int32_t, y->ninstr + 1);
    m->found = ARENA_ARRAY(m->lw->scratch, int32_t, y->nstream + 1);
}

/* Nodes of which either was made. */
static const StepOrigin *origin_of_both(Arena *a, const StepOrigin *first, const StepOrigin *second)
{
    for (const StepOrigin *o = second; first && o; o = o->next)
        if (o->g == first->g && o->node == first->node) return origin_of_both(a, first->next, second);
    if (!first) return second;
    StepOrigin *o = ARENA_NEW(a, StepOrigin);
    *o = *first;
    o->next = origin_of_both(a, first->next, second);
    return o;
}

/* The second step runs the kernel. */
static void close_kernel(Merge *m, const Step *first, Step *second)
{
    Program *p = m->lw->p;
    m->k.stage[0] = (Stage){.last = m->k.ninstr, .last_store = m->k.nstore};
    for (uint32_t i = 0; i < m->k.ninstr; i++)
        for (uint32_t j = 0; j < m->k.nstore && m->k.instr[i].kind == I_LOAD; j++)
            if (m->k.stream[m->k.instr[i].ref].buf == m->k.stream[m->k.store[j].stream].buf) m->k.store[j].past = 0;
    for (uint32_t i = 0; i < m->first.k->nbuf; i++) {
        Buf *b = &p->buf.at[first->buf[i]];
        bool named = false;
        for (uint32_t j = 0; j < m->k.nbuf; j++) named = named || m->buf[j] == first->buf[i];
        if (named) continue;
        p->moved -= 2 * b->bytes;
        b->bytes = 0; /* nobody uses it any more: it needs no room */
    }
    lower_lives_of(m->lw, first, first->clock, second->clock); /* while the step runs that the two become */
    lower_lives_of(m->lw, second, first->clock, second->clock);
    for (uint32_t i = 0; i < m->first.k->nbuf; i++) m->uses[first->buf[i]]--;
    for (uint32_t i = 0; i < m->second.k->nbuf; i++) m->uses[second->buf[i]]--;
    for (uint32_t i = 0; i < m->k.nbuf; i++) m->uses[m->buf[i]]++;
    second->origin = origin_of_both(m->lw->arena, first->origin, second->origin);
    second->buf = m->buf;
    second->kernel = lower_add_kernel(m->lw, &m->k);
    p->launches--;
}

static void merge(Merge *m, const Step *first, Step *second)
{
    open_kernel(m, 1);
    m->k.cost += m->first.k->cost;
    add_instrs(m, &m->first, NULL);
    for (uint32_t i = 0; i < m->second.k->nstream; i++) {
        const int32_t value = stored(m, &m->second.k->stream[i]);
        m->found[i] = value < 0 ? -1 : m->first.is[value];
    }
    add_stores(m, &m->first);
    add_instrs(m, &m->second, m->found);
    add_stores(m, &m->second);
    close_kernel(m, first, second);
}

/* ---- a kernel over all elements of a buffer ---------------------------------------------------- */

/* Points, if all extents are known; else 0. */
static int64_t points(const Kernel *k)
{
    Dim n = 1;
    for (uint32_t a = 0; a < k->naxis; a++)
        n = dim_is_const(k->extent[a]) && n != DIM_BAD ? dim_mul(NULL, n, k->extent[a]) : DIM_BAD;
    return n == DIM_BAD ? 0 : n;
}

/* It makes element after element of one buffer, of elements at the same place in others. */
static bool is_flat(const Kernel *k)
{
    if (k->naxis != 1 || k->nstore != 1) return false;
    for (uint32_t i = 0; i < k->nstream; i++) {
        const Stream *s = &k->stream[i];
        if (s->dyn >= 0 || s->guard >= 0 || s->base != 0 || s->coef[0] != 1) return false;
    }
    for (uint32_t i = 0; i < k->ninstr; i++)
        if (k->instr[i].kind == I_AXIS) return false;
    return k->instr[k->store[0].value].type == k->stream[k->store[0].stream].type && k->instr[k->store[0].value].lanes;
}

/* How many streams of the second kernel read what the flat first one makes, if all do so along the vectors; else 0. */
static uint32_t readers(const Merge *m, uint32_t made)
{
    const Kernel *k = m->second.k;
    uint32_t n = 0;
    for (uint32_t i = 0; i < k->nstream; i++) {
        const Stream *s = &k->stream[i];
        if (buf_of(&m->second, s) != made) continue;
        if (s->dyn >= 0 || s->guard >= 0 || k->vector < 0 || s->coef[k->vector] != 1 || stores(k, i)) return 0;
        n++;
    }
    return n;
}

/* The second kernel writes none of the first one's operands. */
static bool leaves_operands(const Merge *m)
{
    for (uint32_t i = 0; i < m->first.k->nbuf; i++)
        for (uint32_t j = 0; j < m->second.k->nbuf; j++)
            if (m->second.k->writes[j] && m->first.s->buf[i] == m->second.s->buf[j]) return false;
    return true;
}

static uint32_t made_by(const Half *h) { return buf_of(h, &h->k->stream[h->k->store[0].stream]); }

/* How many streams would become its instructions; 0: the first kernel stays. */
static uint32_t goes_into(const Merge *m)
{
    if (!is_plain(m->first.k) || !is_plain(m->second.k) || !is_flat(m->first.k)) return 0;
    const uint32_t made = made_by(&m->first), n = readers(m, made);
    const int64_t elements = points(m->first.k), each = points(m->second.k);
    const bool fits = n > 0 && each > 0 && each <= elements / n && n * m->first.k->ninstr + m->second.k->ninstr <= MOST_INSTR &&
                      m->first.k->nbuf + m->second.k->nbuf <= MOST_BUFFERS;
    return fits && m->lw->p->buf.at[made].kind == BUF_TEMP && m->uses[made] == 2 && leaves_operands(m) && !overlap(m) ? n : 0;
}

/* Each stream that would read the buffer becomes the first kernel's instructions at its elements. */
static void go_into(Merge *m, uint32_t n, const Step *first, Step *second)
{
    const Kernel *x = m->first.k, *y = m->second.k;
    const uint32_t made = made_by(&m->first);
    Kernel there = *x;
    open_kernel(m, n);
    m->k.unroll = y->unroll;
    m->k.cost += x->cost * (points(x) / MAX_OF(y->extent[y->chunk], 1));
    there.stream = ARENA_ARRAY(m->lw->scratch, Stream, x->nstream);
    for (uint32_t i = 0; i < y->nstream; i++) {
        m->found[i] = -1;
        if (buf_of(&m->second, &y->stream[i]) != made) continue;
        for (uint32_t j = 0; j < x->nstream; j++) {
            there.stream[j] = y->stream[i];
            there.stream[j].buf = x->stream[j].buf;
            there.stream[j].type = x->stream[j].type;
        }
        add_instrs(m, &(Half){first, &there, m->first.is}, NULL);
        m->found[i] = m->first.is[x->store[0].value];
    }
    add_instrs(m, &m->second, m->found);
    add_stores(m, &m->second);
    close_kernel(m, first, second);
}

/* ---- steps -------------------------------------------------------------------------------------- */

static bool merges(const Merge *m)
{
    return is_plain(m->first.k) && is_plain(m->second.k) && same_points(m->first.k, m->second.k) &&
           m->first.k->ninstr + m->second.k->ninstr <= MOST_INSTR && m->first.k->nbuf + m->second.k->nbuf <= MOST_BUFFERS &&
           !overlap(m) && may_follow(m);
}

/* Whether the second step now does what both did. */
static bool become_one(Merge *m, const Step *first, Step *second, bool flat)
{
    const Program *p = m->lw->p;
    if (first->kind != STEP_KERNEL || second->kind != STEP_KERNEL) return false;
    m->first = (Half){.s = first, .k = &p->kernel.at[first->kernel]};
    m->second = (Half){.s = second, .k = &p->kernel.at[second->kernel]};
    const uint32_t n = flat ? goes_into(m) : 0;
    if (flat ? n == 0 : !merges(m)) return false;
    if (flat)
        go_into(m, n, first, second);
    else
        merge(m, first, second);
    return true;
}

/* Returns how many steps there are then. flat: flat kernels go into those that follow, which by then read them in one place. */
static uint32_t merge_block(Merge *m, Step *s, uint32_t n, bool flat)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t b = 0; b < s[i].nblock; b++) s[i].block[b].n = merge_block(m, s[i].block[b].step, s[i].block[b].n, flat);
        while (kept > 0 && become_one(m, &s[kept - 1], &s[i], flat)) kept--;
        s[kept++] = s[i];
    }
    return kept;
}

/* Gives the kernels that steps run numbers in the order of these; to: per kernel its new number + 1, or 0. */
static void number_kernels(Program *p, Step *s, uint32_t n, uint32_t *to, uint32_t *kept)
{
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t b = 0; b < s[i].nblock; b++) number_kernels(p, s[i].block[b].step, s[i].block[b].n, to, kept);
        if (s[i].kind != STEP_KERNEL) continue;
        if (to[s[i].kernel] == 0) to[s[i].kernel] = ++*kept;
        s[i].kernel = to[s[i].kernel] - 1;
    }
}

static void drop_unused(Lower *lw)
{
    Program *p = lw->p;
    const Kernel *old = arena_copy(lw->scratch, p->kernel.at, p->kernel.len * sizeof *old);
    uint32_t *to = ARENA_ARRAY(lw->scratch, uint32_t, p->kernel.len + 1), kept = 0;
    number_kernels(p, p->step, p->nstep, to, &kept);
    for (uint32_t i = 0; i < p->kernel.len; i++)
        if (to[i] != 0) p->kernel.at[to[i] - 1] = old[i];
    p->kernel.len = kept;
}

void merge_steps(Lower *lw)
{
    Program *p = lw->p;
    Merge m = {.lw = lw, .uses = ARENA_ARRAY(lw->scratch, uint32_t, p->buf.len + 1)};
    for (uint32_t i = 0; i < p->buf.len; i++)
        if (p->buf.at[i].kind == BUF_SLICE) m.uses[p->buf.at[i].of]++;
    count_uses(&m, p->step, p->nstep);
    p->nstep = merge_block(&m, p->step, p->nstep, false);
    p->nstep = merge_block(&m, p->step, p->nstep, true);
    drop_unused(lw);
}
