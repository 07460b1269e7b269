/* reduce: folds over runs of adjacent axes, in the orders of docs/numerics.md: one run after another, the innermost first. A run is
 * folded in row form if no axis follows it and it has at least 32 elements, else by chains. The order never depends on threads,
 * strides or instruction sets. Sums and products of 16-bit floats stay in f32 until the last run. Relies on ops.h, ir/tree.h.
 * Allocates only results between two runs. */
#include "ops.h"

#include "../../ir/tree.h"

typedef struct FoldJob {
    const FoldFns *fn;
    Reader in;
    int64_t run, inner; /* extents; chunks divide `outer` */
    int64_t block;      /* elements: TREE_ROW or TREE_CHAIN */
    int64_t width;      /* columns in one task; 1 for rows */
    void *out;
    DType type; /* of out */
} FoldJob;

/* A strip is some columns of one outer index; a row is one column. */
typedef struct Strip {
    const FoldJob *job;
    int64_t outer, first, n;
} Strip;

/* ---- the tree ----------------------------------------------------------------------------- */

/* One call of a kernel folds so many blocks of a strip: a power of two, so that they are a subtree. */
static int64_t together(const FoldJob *j) { return j->block == TREE_ROW && j->in.direct ? 1024 : 1; }

static void fold_leaf(const Strip *s, int64_t block, int64_t blocks, void *out)
{
    const FoldJob *j = s->job;
    ReadBuffer buf;
    int64_t from = block * j->block, rows = MIN_OF(j->run - from, blocks * j->block), most = rows;
    int64_t at = (s->outer * j->run + from) * j->inner + s->first;
    if (j->block == TREE_ROW) {
        j->fn->lanes(out, reader_get(&j->in, at, rows, &buf), rows);
        return;
    }
    j->fn->start(out, s->n);
    if (!j->in.direct) most = s->n == j->inner ? READ_BLOCK / s->n : 1;
    for (int64_t r = 0, some; r < rows; r += some) {
        some = MIN_OF(rows - r, most);
        int64_t here = at + r * j->inner;
        if (j->in.direct)
            j->fn->columns(out, j->in.data + here * j->in.bytes, j->inner, some, s->n);
        else
            j->fn->columns(out, reader_get(&j->in, here, some * s->n, &buf), s->n, some, s->n);
    }
}

static void fold_tree(const Strip *s, int64_t block, int64_t blocks, void *out)
{
    if (blocks <= together(s->job)) {
        fold_leaf(s, block, blocks, out);
        return;
    }
    ReadBuffer right;
    int64_t left = tree_left(blocks);
    fold_tree(s, block, left, out);
    fold_tree(s, block + left, blocks - left, &right);
    s->job->fn->columns(out, &right, s->n, 1, s->n);
}

static void fold_strip(const Strip *s)
{
    const FoldJob *j = s->job;
    ReadBuffer room;
    int64_t at = s->outer * j->inner + s->first;
    void *to = writer_at(j->out, j->type, at, &room);
    fold_tree(s, 0, tree_blocks(j->run, j->block), to);
    writer_put(j->out, j->type, at, s->n, to);
}

static void fold_strips(void *arg, int64_t lo, int64_t hi)
{
    const FoldJob *j = arg;
    int64_t tasks = tree_blocks(j->inner, j->width);
    for (; lo < hi; lo++) {
        int64_t first = lo % tasks * j->width;
        fold_strip(&(Strip){j, lo / tasks, first, MIN_OF(j->inner - first, j->width)});
    }
}

/* ---- few long runs: threads share each ---------------------------------------------------- */

#define PARTS 64 /* at most so many parts of a run, each a whole subtree except the last */

typedef struct PartJob {
    Strip strip;
    int64_t blocks, each; /* elements in all, and in a part */
    ReadBuffer total;     /* n totals per part */
} PartJob;

static void *total_of(PartJob *p, int64_t part)
{
    return p->total.bytes + (size_t)(part * p->strip.n) * dtype_bytes((DType)dtype_info[p->strip.job->type].compute);
}

static void fold_parts(void *arg, int64_t lo, int64_t hi)
{
    PartJob *p = arg;
    for (; lo < hi; lo++) fold_tree(&p->strip, lo * p->each, MIN_OF(p->blocks - lo * p->each, p->each), total_of(p, lo));
}

static void join_parts(PartJob *p, int64_t part, int64_t parts)
{
    if (parts == 1) return;
    int64_t left = tree_left(parts), n = p->strip.n;
    join_parts(p, part, left);
    join_parts(p, part + left, parts - left);
    p->strip.job->fn->columns(total_of(p, part), total_of(p, part + left), n, 1, n);
}

static int64_t most_parts(const FoldJob *j) { return MIN_OF(READ_BLOCK / j->inner, PARTS); }

static void fold_long_run(const FoldJob *j, ThreadPool *threads, int64_t outer)
{
    PartJob p = {.strip = {j, outer, 0, j->inner}, .blocks = tree_blocks(j->run, j->block), .each = 1};
    while (tree_blocks(p.blocks, p.each) > most_parts(j)) p.each *= 2;
    int64_t parts = tree_blocks(p.blocks, p.each);
    run_chunks(threads, fold_parts, &p, parts, 1);
    join_parts(&p, 0, parts);
    int64_t at = outer * j->inner;
    void *to = writer_at(j->out, j->type, at, p.total.bytes);
    if (to != p.total.bytes) memcpy(to, p.total.bytes, (size_t)j->inner * dtype_bytes(j->type));
    writer_put(j->out, j->type, at, j->inner, p.total.bytes);
}

/* ---- one run ------------------------------------------------------------------------------ */

static int64_t tasks_per_chunk(int64_t elements_per_task) { return MAX_OF(MOVE_GRAIN / MAX_OF(elements_per_task, 1), 1); }

/* Folds the rows of one chain. */
static void fold_short_rows(void *arg, int64_t lo, int64_t hi)
{
    const FoldJob *j = arg;
    ReadBuffer buf, acc;
    int64_t most = j->in.direct && dtype_info[j->type].compute == j->type ? hi - lo : MAX_OF(READ_BLOCK / j->run, 1);
    for (int64_t rows; lo < hi; lo += rows) {
        rows = MIN_OF(hi - lo, most);
        void *to = writer_at(j->out, j->type, lo, &acc);
        j->fn->rows(to, reader_get(&j->in, lo * j->run, rows * j->run, &buf), rows, j->run);
        writer_put(j->out, j->type, lo, rows, to);
    }
}

static void fold_nothing(const FoldJob *j, int64_t n)
{
    ReadBuffer buf;
    for (int64_t at = 0; at < n; at += READ_BLOCK) {
        int64_t some = MIN_OF(n - at, READ_BLOCK);
        void *to = writer_at(j->out, j->type, at, &buf);
        j->fn->start(to, some);
        writer_put(j->out, j->type, at, some, to);
    }
}

static void fold_run(ThreadPool *threads, FoldJob *j, int64_t outer, bool row)
{
    if (outer * j->inner == 0) return;
    j->block = row && j->run >= TREE_LANES ? TREE_ROW : TREE_CHAIN;
    j->width = MIN_OF(j->inner, j->inner >= 4 * READ_BLOCK ? READ_BLOCK : READ_BLOCK / 4);
    int64_t tasks = outer * tree_blocks(j->inner, j->width);
    if (j->run == 0)
        fold_nothing(j, outer * j->inner);
    else if (j->inner == 1 && j->block == TREE_CHAIN && j->run <= TREE_CHAIN)
        run_chunks(threads, fold_short_rows, j, outer, tasks_per_chunk(j->run * 4));
    else if (threads && tasks < 8 && most_parts(j) >= 2 && j->run * j->inner >= MOVE_GRAIN)
        for (int64_t i = 0; i < outer; i++) fold_long_run(j, threads, i);
    else
        run_chunks(threads, fold_strips, j, tasks, tasks_per_chunk(j->run * j->width));
}

/* ---- all runs ----------------------------------------------------------------------------- */

static void contiguous(View *v)
{
    int64_t stride = 1;
    for (int i = v->rank; i-- > 0; stride *= v->dim[i]) v->stride[i] = stride;
}

/* Folds axes [first, first + count) of `in` into `to`, of that type; `in` becomes the result. */
static void fold_axes(ThreadPool *threads, const FoldFns *fn, View *in, uint32_t first, uint32_t count, void *to, DType type)
{
    FoldJob j = {.fn = fn, .run = 1, .inner = 1, .out = to, .type = type};
    reader_init(&j.in, in);
    int64_t outer = 1;
    for (uint32_t i = 0; i < in->rank; i++) {
        if (i < first)
            outer *= in->dim[i];
        else if (i < first + count)
            j.run *= in->dim[i];
        else
            j.inner *= in->dim[i];
    }
    fold_run(threads, &j, outer, first + count == in->rank);
    for (uint32_t i = first; i + count < in->rank; i++) in->dim[i] = in->dim[i + count];
    in->rank -= (uint8_t)count;
    in->data = to;
    in->dtype = (uint8_t)type;
    contiguous(in);
}

static FoldKind kind_of(Op op)
{
    return op == OP_prod ? FOLD_PROD : op == OP_reduce_max ? FOLD_MAX : op == OP_reduce_min ? FOLD_MIN : FOLD_SUM;
}

bool run_reduce(const Run *r)
{
    View in = *r->in;
    const FoldKind kind = kind_of(r->op);
    const DType last = (DType)in.dtype, compute = (DType)dtype_info[last].compute,
                between = kind == FOLD_SUM || kind == FOLD_PROD ? compute : last;
    const FoldFns *fn = &eager_kernels()->type[compute]->fold[kind];
    if (!fn->start) return status_fail(r->st, ST_DTYPE, "%s: not defined for %s", op_def[r->op].name, dtype_info[in.dtype].name);
    void *temp[MAX_RANK];
    size_t bytes[MAX_RANK];
    int temps = 0;
    bool ok = true;
    const int64_t *axes = r->attr; /* ATTRS(sum) is the axes alone, and there may be none */
    uint32_t left = r->nattr;
    if (left == 0) eager_copy(&(EagerCtx){.threads = r->threads}, &in, r->out->data);
    while (left > 0 && ok) {
        uint32_t count = 1;
        while (count < left && axes[left - count - 1] == axes[left - count] - 1) count++;
        left -= count;
        void *to = r->out->data;
        uint32_t first = (uint32_t)axes[left];
        if (left > 0) {
            size_t n = dtype_bytes(between);
            for (uint32_t i = 0; i < in.rank; i++)
                if (i < first || i >= first + count) n *= (size_t)in.dim[i];
            bytes[temps] = MAX_OF(n, 1);
            to = mem_alloc(bytes[temps]);
            if (!to) {
                ok = status_fail(r->st, ST_MEMORY, "%s: no memory for %zu bytes", op_def[r->op].name, n);
                break;
            }
            temp[temps++] = to;
        }
        fold_axes(r->threads, fn, &in, first, count, to, left > 0 ? between : last);
    }
    while (temps-- > 0) mem_free(temp[temps], bytes[temps]);
    return ok;
}
