/* emit_part: decides into which function a step is emitted. Code generation takes time quadratic in a function's length, so a long
 * list of steps, at any depth, is cut into parts: functions called one after the other, whose steps are cut again until each is
 * short. What a part needs from its callers is in memory. It finds buffers from the entry's arguments, and the addresses of stacks
 * and of slices opened by loops around it in a frame that the entry makes. The same instructions run in the same order however the
 * program is cut. Relies on emit_step. */
#include "emit_entry.h"

#include <stdio.h>

/* ---- lengths ------------------------------------------------------------------------------------- */

static uint32_t list_weight(const Program *p, const Step *s, uint32_t n, uint32_t most);

static uint32_t step_weight(const Program *p, const Step *s)
{
    uint32_t w = s->kind == STEP_CONTRACT || s->kind == STEP_HOST ? 4
                 : s->kind == STEP_KERNEL                         ? 1 + p->kernel.at[s->kernel].nbuf / 8
                 : s->kind == STEP_EFFECT                         ? 4 + (s->effect.nin + s->effect.nout) / 2
                                                                  : 1;
    for (uint32_t i = 0; i < s->nblock && w <= PART_WEIGHT; i++)
        w += 1 + list_weight(p, s->block[i].step, s->block[i].n, PART_WEIGHT);
    return w;
}

/* Counts the steps up to `most` or a little more, which is all that matters. */
static uint32_t list_weight(const Program *p, const Step *s, uint32_t n, uint32_t most)
{
    uint32_t w = 0;
    for (uint32_t i = 0; i < n && w <= most; i++) w += step_weight(p, &s[i]);
    return w;
}

/* Where the part that begins at `first` ends: after `piece` steps, and no kernel is cut off the product that it joins. */
static uint32_t part_end(const Step *s, uint32_t n, uint32_t first, uint32_t piece)
{
    uint32_t end = MIN_OF(piece, n - first) + first;
    while (end < n && s[end].joins != 0) end++;
    return end;
}

/* Steps per part, or a few more; n means that they stay together. */
static uint32_t piece_of(const Entry *e, const Step *s, uint32_t n)
{
    uint32_t weight = e->parts.cut ? list_weight(e->g->p, s, n, UINT32_MAX / 2) : 0;
    if (n < 2 || weight <= PART_WEIGHT) return n;
    uint32_t least = MAX_OF((uint32_t)((uint64_t)n * PART_WEIGHT / weight), 1), pieces = (n + least - 1) / least;
    const uint32_t piece = MIN_OF(least * ((pieces + PART_PIECES - 1) / PART_PIECES), n - 1);
    return part_end(s, n, 0, piece) < n ? piece : n;
}

/* A branch of many cases is long even if each case is short; and a single step cannot be cut, but the steps in it can become
 * parts. */
static bool stands_apart(const Entry *e, const Step *s, uint32_t block)
{
    const Block *b = &s->block[block];
    if (s->kind == STEP_SIZE) return b->n != 0; /* a part looks at sizes when it begins */
    if (!e->parts.cut || b->n == 0) return false;
    return b->n > 1 ? s->nblock > PART_PIECES / 4 : list_weight(e->g->p, b->step, 1, PART_WEIGHT) > PART_WEIGHT / 2;
}

/* ---- who uses what: the same walk as emitting, made beforehand -------------------------------------- */

static void use(Entry *e, uint32_t buf)
{
    if (buf == UINT32_MAX) return;
    uint32_t *home = &e->parts.home[buf];
    if (*home == PART_NONE) *home = e->part;
    if (*home != e->part) *home = PART_MANY;
}

static void walk(Entry *e, const Step *s, uint32_t n);

static void walk_apart(Entry *e, const Step *s, uint32_t n)
{
    uint32_t outer = e->part;
    e->part = ++e->parts.count;
    walk(e, s, n);
    e->part = outer;
}

static void walk_step(Entry *e, const Step *s)
{
    const uint32_t one[3] = {s->kind == STEP_CONTRACT ? s->contract.a : s->from, s->kind == STEP_CONTRACT ? s->contract.b : s->to,
        s->kind == STEP_CONTRACT ? s->contract.c : UINT32_MAX};
    uint32_t n = step_buffers(e->g->p, s);
    for (uint32_t i = 0; i < n; i++) use(e, s->buf[i]);
    for (uint32_t i = 0; i < 3 && (s->kind == STEP_CONTRACT || s->kind == STEP_COPY); i++) use(e, one[i]);
    if (s->kind == STEP_SIZE) use(e, s->from);
    if (s->nblock == 0) return;
    use(e, s->selector);
    if (s->kind == STEP_LOOP) {
        use(e, s->trip);
        use(e, s->index);
        use(e, s->count);
        for (uint32_t i = e->parts.slice[s->id]; i != PART_NONE; i = e->parts.after[i]) {
            use(e, e->g->p->buf.at[i].of);
            use(e, i);
        }
    }
    for (uint32_t i = 0; i < s->nblock; i++) /* a loop's condition comes first */
    {
        uint32_t at = s->kind == STEP_LOOP ? s->nblock - 1 - i : i;
        (stands_apart(e, s, at) ? walk_apart : walk)(e, s->block[at].step, s->block[at].n);
    }
}

static void walk(Entry *e, const Step *s, uint32_t n)
{
    uint32_t piece = piece_of(e, s, n);
    for (uint32_t i = 0; i < n && piece == n; i++) walk_step(e, &s[i]);
    for (uint32_t i = 0, end; i < n && piece < n; i = end) {
        end = part_end(s, n, i, piece);
        walk_apart(e, s + i, end - i);
    }
}

static uint32_t count_loops(const Program *p)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->buf.len; i++)
        if (p->buf.at[i].kind == BUF_SLICE) n = MAX_OF(n, p->buf.at[i].loop + 1);
    return n;
}

static uint32_t count_ids(const Step *s, uint32_t n)
{
    uint32_t ids = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (s[i].kind == STEP_LOOP) ids = MAX_OF(ids, s[i].id + 1);
        for (uint32_t k = 0; k < s[i].nblock; k++) ids = MAX_OF(ids, count_ids(s[i].block[k].step, s[i].block[k].n));
    }
    return ids;
}

void parts_plan(Entry *e)
{
    const Program *p = e->g->p;
    Parts *x = &e->parts;
    uint32_t loops = MAX_OF(count_loops(p), count_ids(p->step, p->nstep));
    x->home = ARENA_ARRAY(e->g->arena, uint32_t, p->buf.len + 1);
    x->slot = ARENA_ARRAY(e->g->arena, uint32_t, p->buf.len + 1);
    x->after = ARENA_ARRAY(e->g->arena, uint32_t, p->buf.len + 1);
    x->slice = ARENA_ARRAY(e->g->arena, uint32_t, loops + 1);
    memset(x->home, 0xff, (p->buf.len + 1) * sizeof *x->home);
    memset(x->slice, 0xff, (loops + 1) * sizeof *x->slice);
    for (uint32_t i = p->buf.len; i-- > 0;) { /* a slice of a slice comes after what it slices */
        if (p->buf.at[i].kind != BUF_SLICE) continue;
        x->after[i] = x->slice[p->buf.at[i].loop];
        x->slice[p->buf.at[i].loop] = i;
    }
    x->cut = p->counted.len != 0 || list_weight(p, p->step, p->nstep, PART_WEIGHT) > PART_WEIGHT;
    walk(e, p->step, p->nstep);
    x->count = 0;
    for (uint32_t i = 0; i < p->buf.len; i++)
        x->slot[i] = p->buf.at[i].kind == BUF_SLICE && x->home[i] == PART_MANY ? x->words++ : PART_NONE;
    x->words += 2 * p->nstack;
}

/* ---- buffers ------------------------------------------------------------------------------------- */

bool part_on_stack(const Entry *e, uint32_t buf, int64_t *bytes)
{
    const Buf *b = &e->g->p->buf.at[buf];
    int64_t n;
    *bytes = (int64_t)dtype_bytes((DType)b->type.dtype);
    if (!e->g->flow || (b->kind != BUF_TEMP && (b->kind != BUF_OUTPUT || e->parts.cut))) return false;
    if (e->parts.home[buf] == PART_MANY) return false;
    for (uint32_t i = 0; i < b->type.rank; i++) {
        if (!gen_dim_const(e->g, b->type.dim[i], &n) || n > SMALL_BYTES) return false;
        *bytes *= n;
        if (*bytes > SMALL_BYTES) return false;
    }
    return true;
}

/* Computed from the part's arguments, in its first block. */
static LLVMValueRef found(Entry *e, uint32_t buf)
{
    Gen *g = e->g;
    const Buf *b = &g->p->buf.at[buf];
    LLVMValueRef offset = gen_i64(g, b->offset);
    int64_t bytes;
    if (part_on_stack(e, buf, &bytes)) return gen_alloca(g, g->i8, (uint64_t)MAX_OF(bytes, 1), SMALL_BYTES);
    switch ((BufKind)b->kind) {
    case BUF_INPUT: return gen_load_once(g, g->ptr, e->bufs, b->index, 8);
    case BUF_OUTPUT: return gen_load_once(g, g->ptr, e->bufs, (int64_t)g->p->ninput + b->index, 8);
    case BUF_TEMP: return LLVMBuildGEP2(g->top, g->i8, e->work, &offset, 1, "");
    default: status_fail(g->st, ST_INTERNAL, "llvm: a step reads a slice outside its loop"); return LLVMConstNull(g->ptr);
    }
}

static LLVMValueRef word(Entry *e, uint32_t i) { return gen_at(e->g, e->g->ptr, e->frame, gen_i64(e->g, i)); }

LLVMValueRef part_address(Entry *e, uint32_t buf)
{
    if (e->parts.slot[buf] != PART_NONE) return gen_load(e->g, e->g->ptr, word(e, e->parts.slot[buf]), 8);
    if (!e->at[buf] || e->in[buf] != e->part) {
        e->at[buf] = found(e, buf);
        e->in[buf] = e->part;
    }
    return e->at[buf];
}

void part_open_slice(Entry *e, uint32_t buf, LLVMValueRef at)
{
    if (e->parts.slot[buf] != PART_NONE) gen_store(e->g, at, word(e, e->parts.slot[buf]), 8);
    e->at[buf] = at;
    e->in[buf] = e->part;
}

LLVMValueRef part_stack(Entry *e, uint32_t number, bool room)
{
    if (!e->parts.cut) return room ? e->stack_room[number] : e->stack[number];
    return word(e, e->parts.words - 2 * (e->g->p->nstack - number) + room);
}

/* ---- parts --------------------------------------------------------------------------------------- */

static void begin_part(Entry *e)
{
    char name[32];
    e->part = ++e->parts.count;
    snprintf(name, sizeof name, "part%u", e->part);
    gen_function_begin(e->g, name, e->part_type, true);
    LLVMValueRef *const argument[6] = {&e->bufs, &e->symbol, &e->work, &e->host, &e->dim, &e->frame};
    for (unsigned i = 0; i < 6; i++) *argument[i] = LLVMGetParam(e->g->fn, i);
    e->g->dim_arg = e->dim;
    e->args = e->contract = NULL;
}

/* Emits the steps as a function of their own, and a call of it. */
static void steps_apart(Entry *e, const Step *s, uint32_t n)
{
    Gen *g = e->g;
    Entry outer = *e;
    const Gen was = *g;
    LLVMBasicBlockRef at = LLVMGetInsertBlock(g->b), top = LLVMGetInsertBlock(g->top);
    begin_part(e);
    part_steps(e, s, n);
    LLVMBuildRet(g->b, LLVMConstNull(g->i32));
    gen_function_end(g);
    LLVMValueRef fn = g->fn;
    outer.parts.count = e->parts.count;
    *e = outer;
    g->fn = was.fn;
    g->first = was.first;
    g->start = was.start;
    g->dim_arg = was.dim_arg;
    g->dim_value = was.dim_value;
    LLVMPositionBuilderAtEnd(g->b, at);
    LLVMPositionBuilderAtEnd(g->top, top);
    LLVMValueRef args[6] = {e->bufs, e->symbol, e->work, e->host, e->dim, e->frame};
    LLVMValueRef code = LLVMBuildCall2(g->b, e->part_type, fn, args, 6, "");
    step_leave(e, LLVMBuildICmp(g->b, LLVMIntNE, code, LLVMConstNull(g->i32), ""), code);
}

void part_steps(Entry *e, const Step *s, uint32_t n)
{
    uint32_t piece = piece_of(e, s, n);
    if (piece == n) emit_steps(e, s, n);
    for (uint32_t i = 0, end; i < n && piece < n; i = end) {
        end = part_end(s, n, i, piece);
        steps_apart(e, s + i, end - i);
    }
}

void part_block(Entry *e, const Step *s, uint32_t block)
{
    (stands_apart(e, s, block) ? steps_apart : part_steps)(e, s->block[block].step, s->block[block].n);
}
