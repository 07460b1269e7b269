/* kept: runs ops as what they are lowered to. A call's key (lower_op.h) finds the program that an earlier call of that key left, or
 * else the op is lowered; the block interpreter then runs it. A call that finds its program allocates nothing. Each thread has its
 * own table, so nothing is locked. Relies on lower_op.h, block.h. Compiles nothing. */
#include "../lower_op.h"

#include "block.h"
#include "ops.h"

typedef struct Lowered {
    Arena arena;         /* holds all below */
    uint64_t hash, used; /* used: the table's clock at the last call */
    uint32_t words;
    const int64_t *word;
    bool exact; /* not lowered: the key of such calls must contain the sizes themselves */
    const Program *p;
    BlockKernel *kernel;     /* for each kernel of p */
    int64_t *call;           /* the last call, as same_call reads it */
    int64_t *symbol, *value; /* from the last call: values of the program's symbols and of all expressions of its dim table */
    size_t *temp, room;      /* from the last call: each temporary buffer's place, in so many bytes */
    bool called;
    size_t bytes;
} Lowered;

#define KEPT_SETS 64
#define KEPT_WAYS 4
#define KEPT_LAST 128
#define KEPT_BYTES ((size_t)4 << 20) /* bytes of all programs of one thread */

struct Kept {
    Lowered *at[KEPT_SETS][KEPT_WAYS];
    Lowered *last[KEPT_LAST]; /* the program that ran last, by last_of: a call that repeats it makes no key */
    uint64_t clock;
    uint32_t hand; /* where eviction goes on */
    size_t bytes;
    /* a kept program is running; what else runs on this thread meanwhile (in a program's own parallel-for) keeps nothing here */
    bool running;
};

Kept *kept_new(void) { return mem_zeros(1, sizeof(Kept)); }

static void drop(Lowered *l)
{
    if (!l) return;
    arena_free(&l->arena);
    mem_free(l, sizeof *l);
}

void kept_free(Kept *k)
{
    if (!k) return;
    for (int i = 0; i < KEPT_SETS * KEPT_WAYS; i++) drop(k->at[i / KEPT_WAYS][i % KEPT_WAYS]);
    mem_free(k, sizeof *k);
}

/* ---- the last call ---------------------------------------------------------------------------- */

static uint32_t last_of(const Run *r)
{
    uint64_t h = r->op * 5u + (r->nattr != 0 ? (uint64_t)r->attr[0] : 0);
    if (r->nin != 0) h += 3u * r->in[0].rank + 7u * (uint64_t)(r->in[0].rank != 0 ? r->in[0].dim[0] : 0);
    return h % KEPT_LAST;
}

static int64_t head_of(const View *v) { return v->dtype | v->rank << 8; }

/* Writes down everything about a call but the addresses of its operands. */
static void note_call(int64_t *to, const Run *r)
{
    for (uint32_t i = 0; i < r->nattr; i++) *to++ = r->attr[i];
    for (uint32_t i = 0; i < r->nin; i++) {
        *to++ = head_of(&r->in[i]);
        for (uint32_t a = 0; a < r->in[i].rank; a++, to += 2) to[0] = r->in[i].dim[a], to[1] = r->in[i].stride[a];
    }
}

/* Whether l's last call was this one. */
static bool same_call(const Lowered *l, const Run *r)
{
    const int64_t *was = l->call;
    int64_t differ = 0;
    if (!l->called || l->word[0] != r->op || l->word[1] != r->nin || l->word[2] != r->nattr) return false;
    for (uint32_t i = 0; i < r->nattr; i++) differ |= *was++ ^ r->attr[i];
    for (uint32_t i = 0; i < r->nin; i++) {
        if (*was++ != head_of(&r->in[i])) return false;
        for (uint32_t a = 0; a < r->in[i].rank; a++, was += 2) differ |= (was[0] ^ r->in[i].dim[a]) | (was[1] ^ r->in[i].stride[a]);
    }
    return differ == 0;
}

/* ---- the table -------------------------------------------------------------------------------- */

static uint64_t hash_of(const OpKey *key)
{
    uint64_t h = key->words;
    for (uint32_t i = 0; i < key->words; i++) h = (h + (uint64_t)key->word[i]) * 0xff51afd7ed558ccdu;
    return hash_mix(h, h >> 32);
}

static Lowered *find(Kept *k, const OpKey *key, uint64_t hash)
{
    Lowered **set = k->at[hash % KEPT_SETS];
    for (int i = 0; i < KEPT_WAYS; i++) {
        Lowered *l = set[i];
        if (!l || l->hash != hash || l->words != key->words || memcmp(l->word, key->word, key->words * sizeof *l->word) != 0)
            continue;
        l->used = ++k->clock;
        return l;
    }
    return NULL;
}

static void evict(Kept *k, Lowered **at)
{
    if (!*at) return;
    k->bytes -= (*at)->bytes;
    for (int i = 0; i < KEPT_LAST; i++)
        if (k->last[i] == *at) k->last[i] = NULL;
    drop(*at);
    *at = NULL;
}

/* Takes the place in its set that was used longest ago; other programs are dropped until all fit. */
static void keep(Kept *k, Lowered *l)
{
    Lowered **set = k->at[l->hash % KEPT_SETS], **at = &set[0];
    for (int i = 1; i < KEPT_WAYS; i++)
        if (*at && (!set[i] || set[i]->used < (*at)->used)) at = &set[i];
    evict(k, at);
    for (; k->bytes + l->bytes > KEPT_BYTES && k->bytes != 0; k->hand++)
        evict(k, &k->at[k->hand / KEPT_WAYS % KEPT_SETS][k->hand % KEPT_WAYS]);
    *at = l;
    l->used = ++k->clock;
    k->bytes += l->bytes;
}

/* ---- lowering --------------------------------------------------------------------------------- */

typedef struct Making {
    Lowered *l;
    const OpKey *key;
    Status *st;
    bool ok;
} Making;

static void make(void *arg)
{
    Making *m = arg;
    Lowered *l = m->l;
    l->words = m->key->words;
    l->word = arena_copy(&l->arena, m->key->word, l->words * sizeof *l->word);
    Status refused = {0};
    l->p = op_program(&l->arena, l->word, &(Target){.name = "eager", .dear_guards = true}, &refused);
    if (!l->p) {
        /* With sizes as numbers lowering may succeed, or say why it cannot. */
        l->exact = refused.code != ST_MEMORY && m->key->values != 0;
        m->ok = l->exact || status_fail(m->st, refused.code, "%s", refused.text);
        return;
    }
    l->kernel = ARENA_ARRAY(&l->arena, BlockKernel, l->p->kernel.len + 1);
    l->call = ARENA_ARRAY(&l->arena, int64_t, m->key->room + 1);
    l->symbol = ARENA_ARRAY(&l->arena, int64_t, m->key->values + 1);
    l->value = ARENA_ARRAY(&l->arena, int64_t, l->p->module->dims.expr.len + 1);
    l->temp = ARENA_ARRAY(&l->arena, size_t, l->p->buf.len + 1);
    m->ok = true;
    for (uint32_t i = 0; i < l->p->kernel.len && m->ok; i++)
        m->ok = block_prepare(&l->arena, &l->p->kernel.at[i], &l->kernel[i], m->st);
    for (uint32_t i = 0; i < l->p->nstep && m->ok; i++)
        if (l->p->step[i].kind != STEP_KERNEL && (l->p->step[i].kind != STEP_LOOP || !dim_is_const(l->p->step[i].trip_dim)))
            m->ok = status_fail(m->st, ST_INTERNAL, "an op was lowered to more than kernels");
}

static Lowered *lower(const OpKey *key, uint64_t hash, Status *st)
{
    Lowered *l = mem_zeros(1, sizeof *l);
    Making m = {l, key, st, false};
    if (!l) {
        status_fail(st, ST_MEMORY, "no memory for %zu bytes of an op's kernel", sizeof *l);
        return NULL;
    }
    l->hash = hash;
    if (!arena_try(&l->arena, st, make, &m) || !m.ok) {
        drop(l);
        return NULL;
    }
    l->bytes = sizeof *l + l->arena.used;
    return l;
}

/* ---- a call ----------------------------------------------------------------------------------- */

/* Computes all expressions of the table: operands stand before what is made of them. */
static void evaluate(const DimTable *t, const int64_t *symbol, int64_t *value)
{
    uint32_t symbols = 0;
    for (uint32_t i = 0; i < t->expr.len; i++) {
        const DimExpr *e = &t->expr.at[i];
        int64_t a = e->a >= 0 ? e->a : e->a == DIM_BAD ? 0 : value[-1 - e->a];
        int64_t b = e->b >= 0 ? e->b : e->b == DIM_BAD ? 0 : value[-1 - e->b];
        switch ((DimKind)e->kind) {
        case DIM_SYMBOL: value[i] = symbol[symbols++]; break;
        case DIM_ADD: value[i] = a + b; break;
        case DIM_MUL: value[i] = a * b; break;
        case DIM_FLOORDIV: value[i] = a / b; break;
        case DIM_MAX2: value[i] = MAX_OF(a, b); break;
        case DIM_NEGATIVE: value[i] = e->lo; break;
        }
    }
}

/* Places temporaries side by side, as large as they are in this call. The program's own plan is for the largest call that shares
 * it. */
static bool place_temps(Lowered *l)
{
    l->room = 0;
    for (uint32_t i = 0; i < l->p->buf.len; i++) {
        const Buf *b = &l->p->buf.at[i];
        size_t bytes = dtype_bytes(b->type.dtype);
        if (b->kind != BUF_TEMP) continue;
        for (uint32_t a = 0; a < b->type.rank; a++) {
            Dim d = b->type.dim[a];
            if (!size_mul(bytes, (size_t)(d >= 0 ? d : l->value[-1 - d]), &bytes)) return false;
        }
        if (bytes > SIZE_MAX / 4 || l->room > SIZE_MAX / 4) return false;
        l->temp[i] = l->room;
        l->room += (bytes + 63) & ~(size_t)63;
    }
    return true;
}

/* again: the kernels ran with these sizes before. */
static void run_steps(const Run *r, const Lowered *l, char *room, const Block *steps, bool again)
{
    for (uint32_t i = 0; i < steps->n; i++) {
        const Step *s = &steps->step[i];
        for (int64_t at = 0; s->kind == STEP_LOOP && at < s->trip_dim; at++) {
            const int64_t index = s->reverse ? s->trip_dim - 1 - at : at;
            memcpy(room + l->temp[s->index], &index, sizeof index);
            run_steps(r, l, room, &s->block[0], again || at != 0);
        }
        if (s->kind == STEP_LOOP) continue;
        char *buf[l->p->kernel.at[s->kernel].nbuf + 1];
        for (uint32_t b = 0; b < l->p->kernel.at[s->kernel].nbuf; b++) {
            const Buf *from = &l->p->buf.at[s->buf[b]];
            buf[b] = from->kind == BUF_INPUT    ? r->in[from->index].data
                     : from->kind == BUF_OUTPUT ? r->out->data
                                                : room + l->temp[s->buf[b]];
        }
        block_run(r->threads, &l->kernel[s->kernel], buf, l->value, l->p->dim.at, again);
    }
}

static bool run_program(const Run *r, Lowered *l, bool again)
{
    char *room = l->room == 0 || l->room == SIZE_MAX ? NULL : mem_alloc_aligned(l->room, 64);
    if (l->room != 0 && !room) {
        l->called = false;
        return status_fail(r->st, ST_MEMORY, "%s: no memory for intermediate results", op_def[r->op].name);
    }
    run_steps(r, l, room, &(Block){l->p->step, l->p->nstep}, again);
    if (room) mem_free_aligned(room, l->room, 64);
    return true;
}

/* Runs a call of this key, and notes it as the program's last one. */
static bool run_call(const Run *r, Lowered *l, const OpKey *key)
{
    const bool again = l->called && memcmp(l->symbol, key->value, key->values * sizeof *l->symbol) == 0;
    note_call(l->call, r);
    if (!again) {
        l->called = true;
        memcpy(l->symbol, key->value, key->values * sizeof *l->symbol);
        evaluate(&l->p->module->dims, l->symbol, l->value);
        if (!place_temps(l)) l->room = SIZE_MAX;
    }
    return run_program(r, l, again);
}

/* exact: the key holds the sizes as numbers. *again is set if it has to. */
static bool run_key(const Run *r, Kept *kept, OpKey *key, bool exact, bool *again)
{
    op_key(key, r->op, r->in, r->nin, r->attr, r->nattr, exact);
    const uint64_t hash = hash_of(key);
    Lowered *l = kept ? find(kept, key, hash) : NULL, *made = NULL;
    if (!l && !(l = made = lower(key, hash, r->st))) return false;
    if (made && kept) keep(kept, made);
    *again = l->exact;
    if (kept && !*again) kept->last[last_of(r)] = l;
    bool ok = *again || run_call(r, l, key);
    if (!kept) drop(made);
    return ok;
}

static bool run_new(const Run *r, Kept *kept)
{
    int64_t few[256], *room = few;
    const size_t n = op_key_room(r->in, r->nin, r->nattr), bytes = 2 * n * sizeof *room;
    bool again = false;
    if (2 * n > COUNT_OF(few) && !(room = mem_alloc(bytes)))
        return status_fail(r->st, ST_MEMORY, "%s: no memory for the key of its kernel", op_def[r->op].name);
    OpKey key = {.room = n, .word = room, .value = room + n};
    bool ok = run_key(r, kept, &key, false, &again) && (!again || run_key(r, kept, &key, true, &again));
    if (room != few) mem_free(room, bytes);
    return ok;
}

bool run_lowered(const Run *r)
{
    Kept *kept = r->kept && !r->kept->running ? r->kept : NULL;
    if (!kept) return run_new(r, NULL);
    Lowered *l = kept->last[last_of(r)];
    kept->running = true;
    const bool same = l && same_call(l, r);
    if (same) l->used = ++kept->clock;
    const bool ok = same ? run_program(r, l, true) : run_new(r, kept);
    kept->running = false;
    return ok;
}

/* ---- joins of many ---------------------------------------------------------------------------- */

#define JOINED_AT_ONCE 32

/* Joins operands [first, first + some->nin) of all at `data`; *to is the result. */
static bool join_some(const Run *all, Run *some, uint32_t first, View *to, char *data)
{
    const uint32_t axis = (uint32_t)ATTRS(concat, all->attr)->axis;
    *some = *all;
    some->in = all->in + first;
    some->nin = MIN_OF(all->nin - first, JOINED_AT_ONCE);
    some->out = to;
    *to = *all->out;
    to->data = data;
    to->dim[axis] = 0;
    for (uint32_t k = 0; k < some->nin; k++) to->dim[axis] += some->in[k].dim[axis];
    for (uint32_t a = axis; a-- > 0;) to->stride[a] = to->stride[a + 1] * to->dim[a + 1];
    return run_lowered(some);
}

bool run_concat(const Run *r)
{
    const uint32_t n = (r->nin + JOINED_AT_ONCE - 1) / JOINED_AT_ONCE;
    const size_t size = dtype_bytes((DType)r->out->dtype), bytes = (size_t)view_elements(r->out) * size + 1;
    if (r->nin <= JOINED_AT_ONCE) return run_lowered(r);
    View *joined = mem_zeros(n, sizeof *joined);
    char *room = mem_alloc(bytes), *at = room;
    Run some, all = *r;
    bool ok = (joined && room) || status_fail(r->st, ST_MEMORY, "concat: no memory for %zu bytes", bytes);
    for (uint32_t i = 0; i < n && ok; i++) {
        ok = join_some(r, &some, i * JOINED_AT_ONCE, &joined[i], at);
        at += (size_t)view_elements(&joined[i]) * size;
    }
    all.in = joined;
    all.nin = n;
    ok = ok && run_concat(&all);
    mem_free(room, bytes);
    mem_free(joined, n * sizeof *joined);
    return ok;
}
