/* block_fold: see block_fold.h. Never allocates. */
#include "block_fold.h"

/* One reduction's place in Task.fold: its totals so far, its counter's levels, and the results. */
typedef struct Fold {
    int64_t width;    /* totals side by side: the number of lanes, or 1 */
    int64_t in_block; /* elements in the open block */
    int64_t done;     /* elements folded so far; for argmax */
    int64_t blocks;   /* complete blocks */
    int64_t unit;     /* bytes of one level */
    char *acc, *level, *result;
} Fold;

static bool is_arg(const Reduction *r) { return r->kind >= R_ARGMAX; }

static bool lanes_sweep(const BlockRun *run) { return run->k->sweep >= 0 && (run->span[1].mask >> run->k->sweep & 1); }

static ReduceOrder order_of(const Reduction *r, int64_t extent)
{
    if (r->order != ORDER_RUNTIME) return (ReduceOrder)r->order;
    return extent >= TREE_LANES ? ORDER_LANES : ORDER_CHAINS;
}

bool fold_by_lanes(const Reduction *r, int64_t extent) { return !is_arg(r) && order_of(r, extent) == ORDER_LANES; }

static int64_t unit_of(const BlockRun *run) { return lanes_sweep(run) ? 8 : run->block[1] * 8; }

int64_t fold_bytes(const BlockRun *run)
{
    int64_t unit = unit_of(run), results = MAX_OF(run->block[0], run->block[1]) * 8;
    return ((int64_t)sizeof(Fold) + (run->levels + 2) * unit + results + 63) & ~(int64_t)63;
}

static Fold *fold_of(const Task *t, uint32_t reduction) { return (Fold *)(void *)(t->fold + reduction * t->run->fold_bytes); }

const char *fold_result(const Task *t, uint32_t reduction) { return fold_of(t, reduction)->result; }

static const FoldFns *fns(const Task *t, const Reduction *r)
{
    static const uint8_t kind[] = {[R_SUM] = FOLD_SUM, [R_PROD] = FOLD_PROD, [R_MAX] = FOLD_MAX, [R_MIN] = FOLD_MIN};
    return &t->run->kernels->type[r->type]->fold[kind[r->kind]];
}

void fold_begin(Task *t, uint32_t reduction)
{
    const Reduction *r = &t->run->k->reduction[reduction];
    Fold *f = fold_of(t, reduction);
    *f = (Fold){.width = lanes_sweep(t->run) ? 1 : t->span[1].n, .unit = unit_of(t->run), .acc = (char *)(f + 1)};
    f->level = f->acc + f->unit;
    f->result = f->level + (t->run->levels + 1) * f->unit;
    if (!is_arg(r)) {
        fns(t, r)->start(f->acc, f->width);
        return;
    }
    for (int64_t i = 0; i < f->width; i++) ((int64_t *)(void *)f->level)[i] = -1;
    memset(f->acc, 0, (size_t)f->width * 8);
}

/* Puts the open block's total into the counter. */
static void push(Fold *f, const FoldFns *fn, size_t size)
{
    const char *total = f->acc;
    int64_t l = 0;
    for (int64_t done = f->blocks++; done & 1; done >>= 1, l++) {
        fn->columns(f->level + l * f->unit, total, f->width, 1, f->width);
        total = f->level + l * f->unit;
    }
    memcpy(f->level + l * f->unit, total, (size_t)f->width * size);
    f->in_block = 0;
}

/* Folds in `rows` rows of the totals' width, `stride` elements apart. */
static void meet(Task *t, uint32_t reduction, const char *x, int64_t stride, int64_t rows)
{
    const BlockRun *run = t->run;
    const Reduction *r = &run->k->reduction[reduction];
    const TypeKernels *k = run->kernels->type[r->type];
    Fold *f = fold_of(t, reduction);
    int64_t size = (int64_t)dtype_bytes((DType)r->type);
    if (is_arg(r)) {
        int64_t *index = (int64_t *)(void *)f->level;
        (r->kind == R_ARGMAX ? k->arg_max : k->arg_min)(index, f->acc, x, stride, f->done, rows, f->width);
        f->done += rows;
        return;
    }
    const FoldFns *fn = fns(t, r);
    ReduceOrder order = order_of(r, run->extent[run->k->sweep]);
    if (order == ORDER_LANES) { /* a block of lanes is whole blocks of the tree, except the last one */
        fn->lanes(f->acc, x, rows);
        push(f, fn, (size_t)size);
        return;
    }
    for (int64_t some; rows > 0; rows -= some, x += some * stride * size) {
        some = order == ORDER_INDEX ? rows : MIN_OF(rows, TREE_CHAIN - f->in_block);
        fn->columns(f->acc, x, stride, some, f->width);
        f->in_block += some;
        if (order == ORDER_INDEX || f->in_block < TREE_CHAIN) continue;
        push(f, fn, (size_t)size);
        fn->start(f->acc, f->width);
    }
}

void fold_row(Task *t, uint32_t reduction, int64_t r)
{
    meet(t, reduction, task_operand(t, t->run->k->reduction[reduction].value, 3, r), t->span[1].n, 1);
}

void fold_lanes(Task *t, uint32_t reduction, int64_t r)
{
    meet(t, reduction, task_operand(t, t->run->k->reduction[reduction].value, 3, r), 1, t->span[1].n);
}

bool fold_direct(const Task *t, const Stage *s)
{
    const BlockRun *run = t->run;
    uint32_t each = 0;
    for (uint32_t x = s->first; x < s->last; x++) each += run->class[x] == 3;
    for (uint32_t i = s->first_reduction; i < s->last_reduction; i++) {
        const Reduction *r = &run->k->reduction[i];
        const Instr *v = &run->k->instr[r->value];
        const Stream *from = v->kind == I_LOAD ? &run->k->stream[v->ref] : NULL;
        if (!from || from->guard >= 0 || from->dyn >= 0 || from->type != v->type || run->k->writes[from->buf]) return false;
        const BlockStream *b = &run->stream[v->ref];
        if (!b->linear[0] || !b->linear[1] || b->step[1] != 1) return false;
    }
    return each == 1 && s->last_reduction == s->first_reduction + 1 && s->last_store == s->first_store;
}

void fold_block(Task *t, uint32_t reduction)
{
    const Reduction *r = &t->run->k->reduction[reduction];
    block_load(t, (uint32_t)r->value, 3, 0);
    meet(t, reduction, t->at[r->value], t->run->stream[t->run->k->instr[r->value].ref].step[0], t->span[0].n);
}

void fold_end(Task *t, uint32_t reduction, int64_t r)
{
    const Reduction *red = &t->run->k->reduction[reduction];
    Fold *f = fold_of(t, reduction);
    size_t size = is_arg(red) ? 8 : dtype_bytes((DType)red->type);
    const char *total = is_arg(red) ? f->level : f->acc;
    if (!is_arg(red) && f->in_block != 0 && f->blocks != 0) push(f, fns(t, red), size);
    if (f->blocks != 0) {
        int64_t l = __builtin_ctzll((uint64_t)f->blocks);
        total = f->level + l * f->unit;
        for (l++; f->blocks >> l != 0; l++) {
            if (!(f->blocks >> l & 1)) continue;
            fns(t, red)->columns(f->level + l * f->unit, total, f->width, 1, f->width);
            total = f->level + l * f->unit;
        }
    }
    memcpy(f->result + (lanes_sweep(t->run) ? r * (int64_t)size : 0), total, (size_t)f->width * size);
}
