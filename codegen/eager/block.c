/* block: see block.h. This file runs the instructions and stages of one task. Reductions combine in the order that the kernel
 * states, whatever the layout, so that their bits never depend on it. Relies on block.h, block_fold.h. Allocates only what
 * block_prepare keeps. */
#include "block.h"

#include "block_fold.h"

/* ---- instructions ----------------------------------------------------------------------------- */

/* Primitives that are an op's whole expression share the op's loop. */
/* clang-format off */
static const uint16_t op_of[P_COUNT] = {
#define PRIM(name, args, result, domain, op) [P_##name] = OP_##op,
#include "../../ir/scalar.def"
#undef PRIM
};
/* clang-format on */

/* The loop of a primitive over elements of type t; NULL if there is none. */
static MapFn *loop_of(const Kernels *kernels, Prim p, DType t, DType to)
{
    const TypeKernels *k = kernels->type[t];
    return p == P_cvt ? k->cast[to] : op_of[p] != 0 ? k->map[op_of[p]] : k->prim[p];
}

static DType operand_type(const Kernel *k, const Instr *i) { return (DType)k->instr[i->prim == P_select ? i->b : i->a].type; }

/* Finds select(x < y, y, x), or with x > y, if it is the only use of the comparison. */
static void find_clamps(BlockKernel *b)
{
    const Kernel *k = b->k;
    for (uint32_t x = 0; x < k->ninstr; x++) {
        const Instr *i = &k->instr[x], *c = i->prim == P_select ? &k->instr[i->a] : i;
        if (i->kind != I_PRIM || c == i || c->kind != I_PRIM || (c->prim != P_lt && c->prim != P_gt) ||
            dtype_is_float((DType)i->type))
            continue;
        if (c->a != i->c || c->b != i->b) continue;
        uint32_t uses = 0;
        for (uint32_t y = 0; y < k->ninstr; y++) uses += k->instr[y].a == i->a || k->instr[y].b == i->a || k->instr[y].c == i->a;
        for (uint32_t s = 0; s < k->nstream; s++) uses += k->stream[s].guard == i->a;
        for (uint32_t s = 0; s < k->nstore; s++) uses += k->store[s].value == i->a;
        if (uses != 1) continue;
        b->clamp[x] = c->prim == P_lt ? CLAMP_MAX : CLAMP_MIN;
        b->clamp[i->a] = CLAMP_COMPARES;
    }
}

/* A stream that is the same in all rows, but for where a row begins. */
static bool plain_rows(const BlockKernel *b, const Stream *s)
{
    return s->guard < 0 && (s->dyn < 0 || !(b->axes[s->dyn] >> b->vector & 1));
}

static void find_copy(BlockKernel *b)
{
    const Kernel *k = b->k;
    uint32_t loads = 0, stores = 0;
    b->vector = (int)k->naxis - 1 - (k->sweep >= 0);
    for (uint32_t x = 0; x < k->ninstr && b->vector >= 0; x++) {
        if (!(b->axes[x] >> b->vector & 1)) continue;
        loads++;
        b->copy_load = (int)x;
    }
    for (uint32_t i = 0; i < k->nstore && b->vector >= 0; i++) {
        if (!(b->store[i] >> b->vector & 1)) continue;
        stores++;
        b->copy_store = (int)i;
    }
    const Instr *load = &k->instr[b->copy_load];
    const Store *store = &k->store[b->copy_store];
    if (loads == 1 && stores == 1 && k->nreduction == 0 && load->kind == I_LOAD && store->value == b->copy_load &&
        k->stream[store->stream].type == k->stream[load->ref].type && plain_rows(b, &k->stream[load->ref]) &&
        plain_rows(b, &k->stream[store->stream]))
        return;
    b->copy_load = b->copy_store = -1;
}

bool block_prepare(Arena *arena, const Kernel *k, BlockKernel *out, Status *st)
{
    *out = (BlockKernel){.k = k,
        .axes = ARENA_ARRAY(arena, uint16_t, k->ninstr + 1),
        .fixed = ARENA_ARRAY(arena, bool, k->ninstr + 1),
        .clamp = ARENA_ARRAY(arena, uint8_t, k->ninstr + 1),
        .store = ARENA_ARRAY(arena, uint16_t, k->nstore + 1)};
    uint16_t stream[64];
    uint32_t most = BLOCK_INSTRS; /* their blocks lie on the stack */
    for (uint32_t i = 0; i < k->nreduction; i++)
        if (k->reduction[i].order >= ORDER_LANES) most = BLOCK_INSTRS / 4;
    if (k->nrow != 0 || k->nstream > COUNT_OF(stream) || k->ninstr > most)
        return status_fail(st, ST_UNSUPPORTED, "%s: its kernel cannot run block by block", k->name);
    memset(stream, 0, sizeof stream);
    for (uint32_t s = 0; s < k->nstream; s++)
        for (uint32_t a = 0; a < k->naxis; a++)
            if (k->stream[s].coef[a] != 0) stream[s] |= (uint16_t)(1u << a);
    for (uint32_t x = 0; x < k->ninstr; x++) {
        const Instr *i = &k->instr[x];
        const Stream *s = i->kind == I_LOAD || i->kind == I_FETCH ? &k->stream[i->ref] : NULL;
        const int32_t from[5] = {i->a, i->b, i->c, s ? s->dyn : -1, s ? s->guard : -1};
        uint16_t axes = s ? stream[i->ref] : i->kind == I_AXIS ? (uint16_t)(1u << i->ref) : 0;
        out->fixed[x] = i->kind == I_CONST || i->kind == I_DIM || i->kind == I_AXIS || i->kind == I_PRIM;
        for (size_t f = 0; f < COUNT_OF(from); f++) {
            if (from[f] < 0) continue;
            axes |= out->axes[from[f]];
            out->fixed[x] &= out->fixed[from[f]];
        }
        if (i->kind == I_FETCH) axes = (uint16_t)((1u << k->naxis) - 1);
        if (i->kind == I_REDUCED) axes = out->axes[k->reduction[i->ref].value] & (uint16_t) ~(1u << k->sweep);
        out->axes[x] = axes;
        if (i->kind == I_RANDOM && (out->axes[i->b] | out->axes[i->c]) != 0)
            return status_fail(st, ST_UNSUPPORTED, "%s: the key of a random number differs from element to element", k->name);
        bool copies = i->prim == P_bits || i->prim == P_floatbits;
        if (i->kind == I_PRIM && !copies && !loop_of(eager_kernels(), (Prim)i->prim, operand_type(k, i), (DType)i->type))
            return status_fail(st, ST_UNSUPPORTED, "%s: there is no loop for %s", k->name, prim_info[i->prim].name);
    }
    for (uint32_t i = 0; i < k->nstore; i++) {
        const Stream *s = &k->stream[k->store[i].stream];
        out->store[i] = stream[k->store[i].stream] | out->axes[k->store[i].value];
        if (s->dyn >= 0) out->store[i] |= out->axes[s->dyn];
        if (s->guard >= 0) out->store[i] |= out->axes[s->guard];
    }
    for (uint32_t s = 0; s < k->nstage; s++) /* a sweep stores for each of its indices */
        for (uint32_t i = k->stage[s].first_store; k->stage[s].sweep && i < k->stage[s].last_store; i++)
            out->store[i] |= (uint16_t)(1u << k->sweep);
    find_clamps(out);
    find_copy(out);
    BlockRun *run = out->run = ARENA_NEW(arena, BlockRun);
    run->k = k;
    run->b = out;
    run->stream = ARENA_ARRAY(arena, BlockStream, k->nstream + 1);
    run->class = ARENA_ARRAY(arena, uint8_t, k->ninstr + k->nstore + 1);
    run->task = ARENA_NEW(arena, Task);
    run->task->run = run;
    run->task->at = ARENA_ARRAY(arena, const char *, k->ninstr + 1);
    run->task->spread = ARENA_ARRAY(arena, int64_t, k->ninstr + 1);
    run->task->room = ARENA_ARRAY(arena, char, 2 * SMALL_BYTES * k->ninstr + 1);
    run->task->room_bytes = SMALL_BYTES;
    run->task->fold = ARENA_ARRAY(arena, char, SMALL_FOLD * k->nreduction + 1);
    for (uint32_t i = 0; i < k->ninstr; i++) run->size = MAX_OF(run->size, (uint8_t)dtype_bytes((DType)k->instr[i].type));
    return true;
}

static void put_scalar(DType t, Scalar v, char *to)
{
    if (dtype_is_float(t))
        dtype_store_f64(t, to, v.f);
    else if (dtype_bytes(t) == 8)
        memcpy(to, &v, 8);
    else
        dtype_store_i64(t, to, v.i);
}

#define SPREAD(T)                                                 \
    do {                                                          \
        const T v = *(const T *)(const void *)from;               \
        for (int64_t i = 0; i < n; i++) ((T *)(void *)to)[i] = v; \
    } while (0)

const char *task_spread(Task *t, int32_t x, uint32_t class, int64_t r)
{
    const BlockRun *run = t->run;
    uint32_t c = class_of_operand(run, x);
    int64_t n = class_points(t, class), size = (int64_t)dtype_bytes((DType)run->k->instr[x].type);
    const char *from = t->at[x] + (c == 1 ? r * size : 0);
    char *to = task_room(t, (uint32_t)x) + t->room_bytes;
    if (n == 1) return from;
    if (c == 1 ? t->spread[x] == -1 - r : t->spread[x] >= n) return to;
    t->spread[x] = c == 1 ? -1 - r : n;
    switch (size) {
    case 1: SPREAD(uint8_t); break;
    case 2: SPREAD(uint16_t); break;
    case 4: SPREAD(uint32_t); break;
    default: SPREAD(uint64_t); break;
    }
    return to;
}

static void eval_prim(Task *t, uint32_t x, uint32_t class, int64_t r)
{
    const Kernel *k = t->run->k;
    const Instr *i = &k->instr[x];
    const BlockClamp clamp = (BlockClamp)t->run->b->clamp[x];
    const int32_t arg[3] = {clamp != CLAMP_NONE ? i->c : i->a, i->b, i->c};
    const void *in[3] = {NULL};
    for (int n = 0; n < (clamp != CLAMP_NONE ? 2 : 3); n++)
        if (arg[n] >= 0) in[n] = task_operand(t, arg[n], class, r);
    if (i->prim == P_bits || i->prim == P_floatbits) {
        t->at[x] = in[0];
        return;
    }
    t->at[x] = task_room(t, x);
    MapFn *loop = clamp == CLAMP_NONE ? loop_of(t->run->kernels, (Prim)i->prim, operand_type(k, i), (DType)i->type)
                                      : t->run->kernels->type[i->type]->map[clamp == CLAMP_MAX ? OP_max : OP_min];
    loop(task_room(t, x), in, class_points(t, class));
}

/* Consecutive words are computed together. */
static void eval_random(Task *t, uint32_t x, uint32_t class, int64_t r)
{
    const Instr *i = &t->run->k->instr[x];
    const int64_t *element = (const int64_t *)(const void *)task_operand(t, i->a, class, r), n = class_points(t, class);
    uint32_t *to = (uint32_t *)(void *)task_room(t, x), word[4 * PHILOX_BLOCKS];
    uint64_t key[2];
    memcpy(&key[0], t->at[i->b], sizeof key[0]);
    memcpy(&key[1], t->at[i->c], sizeof key[1]);
    int64_t others = 0;
    for (int64_t at = 0; at < n; at++) others |= element[at] ^ (element[0] + at);
    for (int64_t at = 0, some; at < n; at += some) {
        const int64_t skip = element[at] & 3;
        some = others != 0 ? 1 : MIN_OF(n - at, 4 * PHILOX_BLOCKS - skip);
        uint32_t *whole = some == 4 * PHILOX_BLOCKS ? to + at : word;
        t->run->kernels->philox(whole, key[0], key[1], (uint64_t)element[at] >> 2);
        if (whole == word) memcpy(to + at, word + skip, (size_t)some * sizeof *word);
    }
}

static void eval(Task *t, uint32_t x, uint32_t class, int64_t r)
{
    const BlockRun *run = t->run;
    const Instr *i = &run->k->instr[x];
    char *room = task_room(t, x);
    int64_t v;
    t->spread[x] = 0;
    switch ((InstrKind)i->kind) {
    case I_PRIM: eval_prim(t, x, class, r); return;
    case I_LOAD: block_load(t, x, class, r); return;
    case I_REDUCED: t->at[x] = fold_result(t, i->ref); return;
    case I_CONST: put_scalar((DType)i->type, i->value, room); break;
    case I_DIM:
        v = run->dim[i->ref];
        v = v >= 0 ? v : run->value[-1 - v];
        memcpy(room, &v, sizeof v);
        break;
    case I_AXIS:
        if (class == 0) {
            memcpy(room, &t->index[i->ref], sizeof v);
        } else {
            int64_t unit[KERNEL_AXES] = {0};
            unit[i->ref] = 1;
            span_offsets(run, &t->span[class - 1], unit, (int64_t *)(void *)room);
        }
        break;
    case I_RANDOM: eval_random(t, x, class, r); break;
    case I_FETCH: block_fetch(t, x, class, r); break;
    }
    t->at[x] = room;
}

/* Evaluates what is ready and no load, in the task that stays. */
static void eval_fixed(Task *t)
{
    const BlockRun *run = t->run;
    for (uint32_t x = 0; x < run->k->ninstr; x++) {
        const size_t size = dtype_bytes((DType)run->k->instr[x].type);
        if (!run->b->fixed[x] || run->class[x] == CLASS_NEVER || !(run->class[x] & CLASS_READY)) continue;
        eval(t, x, class_of_operand(run, (int32_t)x), 0);
        for (size_t at = size; (run->class[x] & CLASS_SPREAD) && at < SMALL_BYTES; at += size)
            memcpy(task_room(t, x) + at, t->at[x], size);
    }
}

/* ---- stages ----------------------------------------------------------------------------------- */

/* Runs the stage's instructions of one of these classes; in a sweeping stage either those that sweep or the others. */
static void eval_classes(Task *t, const Stage *s, uint32_t classes, bool sweeps, int64_t r)
{
    const BlockRun *run = t->run;
    for (uint32_t x = s->first; x < s->last; x++)
        if ((classes >> run->class[x] & 1) && run->k->instr[x].sweeps == sweeps) eval(t, x, run->class[x], r);
}

static void store_classes(Task *t, const Stage *s, uint32_t classes, int64_t r)
{
    const BlockRun *run = t->run;
    const uint8_t *class = run->class + run->k->ninstr;
    for (uint32_t i = s->first_store; i < s->last_store; i++)
        if (classes >> class[i] & 1) block_store(t, &run->k->store[i], class[i], r);
}

#define FLAT 7   /* classes that are whole blocks: all but 3 */
#define POINTS 3 /* those without lanes */
#define ROWS 8

static bool has_rows(const BlockRun *run, const Stage *s)
{
    for (uint32_t x = s->first; x < s->last; x++)
        if (run->class[x] == 3) return true;
    for (uint32_t i = s->first_store; i < s->last_store; i++)
        if (run->class[run->k->ninstr + i] == 3) return true;
    return false;
}

static void run_points(Task *t, const Stage *s)
{
    const uint32_t flat = t->run->copies ? POINTS : FLAT;
    eval_classes(t, s, flat, false, 0);
    store_classes(t, s, flat, 0);
    if (t->run->copies) {
        uint32_t store = (uint32_t)t->run->b->copy_store;
        if (store >= s->first_store && store < s->last_store) block_rows(t);
        return;
    }
    if (!has_rows(t->run, s)) return;
    for (int64_t r = 0; r < t->span[0].n; r++) {
        eval_classes(t, s, ROWS, false, r);
        store_classes(t, s, ROWS, r);
    }
}

/* A result may lie in memory that a reduction reads, each element where it was read, so reductions come before stores. */
static void sweep_block(Task *t, const Stage *s, bool each)
{
    for (int64_t r = 0; r < t->span[0].n; r++) {
        if (each) eval_classes(t, s, ROWS, true, r);
        for (uint32_t i = s->first_reduction; i < s->last_reduction; i++) fold_row(t, i, r);
        if (each) store_classes(t, s, ROWS, r);
    }
    store_classes(t, s, FLAT, 0);
}

/* The rows are the sweep's indices: the totals of the lanes take in one row after the other. */
static void sweep_rows(Task *t, const Stage *s)
{
    Span *rows = &t->span[0];
    bool each = has_rows(t->run, s), direct = each && fold_direct(t, s);
    for (uint32_t i = s->first_reduction; i < s->last_reduction; i++) fold_begin(t, i);
    for (rows->first = 0; rows->first < rows->points; rows->first += rows->n) {
        rows->n = MIN_OF(t->run->block[0], rows->points - rows->first);
        eval_classes(t, s, FLAT, true, 0);
        if (t->run->copies)
            block_rows(t);
        else if (direct)
            fold_block(t, s->first_reduction);
        else
            sweep_block(t, s, each);
    }
    for (uint32_t i = s->first_reduction; i < s->last_reduction; i++) fold_end(t, i, 0);
}

/* The lanes are the sweep's indices: each row has a total of its own. */
static void sweep_lanes(Task *t, const Stage *s)
{
    Span *lanes = &t->span[1];
    bool each = has_rows(t->run, s);
    for (int64_t r = 0; r < t->span[0].n; r++) {
        for (uint32_t i = s->first_reduction; i < s->last_reduction; i++) fold_begin(t, i);
        for (lanes->first = 0; lanes->first < lanes->points; lanes->first += lanes->n) {
            lanes->n = MIN_OF(t->run->block[1], lanes->points - lanes->first);
            if (r == 0 || lanes->n != lanes->points) eval_classes(t, s, FLAT, true, r);
            if (each) eval_classes(t, s, ROWS, true, r);
            for (uint32_t i = s->first_reduction; i < s->last_reduction; i++) fold_lanes(t, i, r);
            store_classes(t, s, r == 0 ? FLAT | ROWS : ROWS, r);
        }
        for (uint32_t i = s->first_reduction; i < s->last_reduction; i++) fold_end(t, i, r);
    }
}

/* ---- tasks ------------------------------------------------------------------------------------ */

static void run_task(Task *t, int64_t task)
{
    const BlockRun *run = t->run;
    const Kernel *k = run->k;
    for (uint32_t s = 2; s-- > 0;) {
        int64_t blocks = run->blocks[s], first = 0;
        if (blocks != 1) {
            first = task % blocks * run->block[s];
            task /= blocks;
        }
        t->span[s].first = first;
        t->span[s].n = MIN_OF(run->block[s], run->span[s].points - first);
    }
    for (uint32_t i = run->outer.naxis; i-- > 0;) {
        t->index[run->outer.axis[i]] = task % run->extent[run->outer.axis[i]];
        task /= run->extent[run->outer.axis[i]];
    }
    for (uint32_t i = 0; i < k->nstage; i++) {
        const Stage *s = &k->stage[i];
        if (s->sweep) eval_classes(t, s, FLAT, false, 0);
        if (!s->sweep)
            run_points(t, s);
        else if (run->span[0].mask >> k->sweep & 1)
            sweep_rows(t, s);
        else
            sweep_lanes(t, s);
    }
}

static void run_tasks(void *arg, int64_t lo, int64_t hi)
{
    const BlockRun *run = arg;
    _Alignas(64) char room[2 * run->k->ninstr * run->room_bytes + 64];
    _Alignas(64) char fold[run->k->nreduction * run->fold_bytes + 64];
    const char *at[run->k->ninstr + 1];
    int64_t spread[run->k->ninstr + 1];
    Task t;
    t.run = run, t.at = at, t.room = room, t.room_bytes = run->room_bytes, t.spread = spread, t.fold = fold;
    if (run->ready) { /* what a task evaluates sets these itself */
        memcpy(at, run->task->at, run->k->ninstr * sizeof *at);
        memset(spread, 0, run->k->ninstr * sizeof *spread);
    }
    for (int s = 0; s < 2; s++) t.span[s] = run->span[s];
    for (; lo < hi; lo++) run_task(&t, lo);
}

/* ---- a run ------------------------------------------------------------------------------------ */

void block_run(ThreadPool *threads, const BlockKernel *b, char *const *buf, const int64_t *value, const Dim *dim, bool again)
{
    BlockRun *run = b->run;
    run->value = value;
    run->dim = dim;
    run->kernels = eager_kernels();
    if (!again) block_lay_out(run);
    if (!again && run->tasks != 0) eval_fixed(run->task);
    for (uint32_t s = 0; s < run->k->nstream; s++) {
        BlockStream *stream = &run->stream[s];
        stream->base = buf[run->k->stream[s].buf] + stream->first;
        if (stream->ready >= 0) {
            run->task->at[stream->ready] = stream->base;
            run->task->spread[stream->ready] = 0;
        }
    }
    if (run->direct && run->copies)
        block_rows(run->task);
    else if (run->direct)
        block_store(run->task, run->k->store, run->class[run->k->ninstr], 0);
    else if (run->small)
        run_task(run->task, 0);
    else if (run->tasks == 1)
        run_tasks(run, 0, 1);
    else if (run->tasks != 0)
        run_chunks(threads, run_tasks, run, run->tasks, run->grain);
}
