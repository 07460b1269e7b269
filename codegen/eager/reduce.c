/* reduce: folds over runs of adjacent axes, in the orders of docs/numerics.md: one run after the
 * other, the innermost first; a run in lanes if no axis stands behind it and it has 32 elements,
 * else in order of the index. The order never depends on threads, strides or instruction sets.
 * Relies on ops.h. Allocates only results between two runs. */
#include "ops.h"

#include "../kernel.h"

typedef struct FoldJob {
    const FoldFns *fn;
    Reader in;
    int64_t run, inner; /* extents; outer is the chunks' */
    int64_t width;      /* columns of one task */
    void *out;
    DType type;
} FoldJob;

/* ---- long rows: blocks of lanes ----------------------------------------------------------- */

#define PARTS 256 /* blocks that threads fold before their results are combined */

typedef struct BlockJob {
    const FoldJob *fold;
    int64_t first; /* element */
    int64_t n;     /* elements from there on */
    ReadBuffer part;
} BlockJob;

static void fold_block(const FoldJob *j, int64_t from, int64_t n, void *out)
{
    _Alignas(64) char buf[REDUCE_BLOCK * 8];
    j->fn->lanes(out, reader_get(&j->in, from, n, buf), n);
}

static size_t computed_bytes(DType t) { return dtype_bytes((DType)dtype_info[t].compute); }

static void fold_blocks(void *arg, int64_t lo, int64_t hi)
{
    BlockJob *b = arg;
    for (; lo < hi; lo++) {
        int64_t at = lo * REDUCE_BLOCK;
        fold_block(b->fold, b->first + at, MIN_OF(b->n - at, REDUCE_BLOCK),
            b->part.bytes + (size_t)lo * computed_bytes(b->fold->type));
    }
}

static void fold_row(const FoldJob *j, ThreadPool *threads, int64_t row)
{
    uint64_t acc_room;
    void *acc = writer_at(j->out, j->type, row, &acc_room);
    j->fn->start(acc, 1);
    BlockJob b = {.fold = j};
    for (int64_t at = 0; at < j->run; at += PARTS * REDUCE_BLOCK) {
        b.first = row * j->run + at;
        b.n = MIN_OF(j->run - at, PARTS * REDUCE_BLOCK);
        int64_t blocks = (b.n + REDUCE_BLOCK - 1) / REDUCE_BLOCK;
        run_chunks(threads, fold_blocks, &b, blocks, 8);
        j->fn->columns(acc, b.part.bytes, 1, blocks, 1);
    }
    writer_put(j->out, j->type, row, 1, acc);
}

static void fold_long_rows(void *arg, int64_t lo, int64_t hi)
{
    const FoldJob *j = arg;
    for (; lo < hi; lo++) {
        if (j->run > REDUCE_BLOCK) {
            fold_row(j, NULL, lo);
            continue;
        }
        uint64_t acc[2];
        void *to = writer_at(j->out, j->type, lo, &acc[0]);
        fold_block(j, lo * j->run, j->run, &acc[1]);
        j->fn->start(to, 1);
        j->fn->columns(to, &acc[1], 1, 1, 1);
        writer_put(j->out, j->type, lo, 1, to);
    }
}

/* ---- short rows, and sums strictly in order ----------------------------------------------- */

static void fold_short_rows(void *arg, int64_t lo, int64_t hi)
{
    const FoldJob *j = arg;
    ReadBuffer buf, acc;
    int64_t most = j->in.direct && dtype_info[j->type].compute == j->type
                       ? hi - lo
                       : MAX_OF(READ_BLOCK / j->run, 1);
    for (int64_t rows; lo < hi; lo += rows) {
        rows = MIN_OF(hi - lo, most);
        void *to = writer_at(j->out, j->type, lo, &acc);
        if (j->in.direct || j->run <= READ_BLOCK) {
            j->fn->rows(to, reader_get(&j->in, lo * j->run, rows * j->run, &buf), rows, j->run);
        } else { /* most is 1 */
            j->fn->start(to, 1);
            for (int64_t at = 0; at < j->run; at += READ_BLOCK) {
                int64_t n = MIN_OF(j->run - at, READ_BLOCK);
                j->fn->columns(to, reader_get(&j->in, lo * j->run + at, n, &buf), 1, n, 1);
            }
        }
        writer_put(j->out, j->type, lo, rows, to);
    }
}

/* ---- columns ------------------------------------------------------------------------------ */

static void fold_column_block(const FoldJob *j, int64_t outer, int64_t first, int64_t n)
{
    ReadBuffer buf, room;
    int64_t to = outer * j->inner + first, from = outer * j->run * j->inner + first;
    void *acc = writer_at(j->out, j->type, to, &room);
    j->fn->start(acc, n);
    if (j->in.direct) {
        j->fn->columns(acc, j->in.data + from * j->in.bytes, j->inner, j->run, n);
    } else {
        int64_t most = n == j->inner ? READ_BLOCK / n : 1;
        for (int64_t r = 0; r < j->run; r += most) {
            int64_t rows = MIN_OF(j->run - r, most);
            j->fn->columns(
                acc, reader_get(&j->in, from + r * j->inner, rows * n, &buf), n, rows, n);
        }
    }
    writer_put(j->out, j->type, to, n, acc);
}

static void fold_columns(void *arg, int64_t lo, int64_t hi)
{
    const FoldJob *j = arg;
    int64_t tasks = (j->inner + j->width - 1) / j->width;
    for (; lo < hi; lo++) {
        int64_t first = lo % tasks * j->width;
        fold_column_block(j, lo / tasks, first, MIN_OF(j->inner - first, j->width));
    }
}

/* ---- one run ------------------------------------------------------------------------------ */

static int64_t tasks_per_chunk(int64_t elements_per_task)
{
    return MAX_OF(MOVE_GRAIN / MAX_OF(elements_per_task, 1), 1);
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

static void fold_run(ThreadPool *threads, FoldJob *j, int64_t outer, bool lanes)
{
    if (outer * j->inner == 0) return;
    if (j->run == 0) {
        fold_nothing(j, outer * j->inner);
    } else if (j->inner > 1) {
        bool wide = j->inner >= 4 * READ_BLOCK;
        j->width = MIN_OF(j->inner, wide ? READ_BLOCK : READ_BLOCK / 4);
        int64_t tasks = (j->inner + j->width - 1) / j->width;
        run_chunks(threads, fold_columns, j, outer * tasks, tasks_per_chunk(j->run * j->width));
    } else if (!lanes || j->run < REDUCE_LANES) {
        run_chunks(threads, fold_short_rows, j, outer, tasks_per_chunk(j->run * 4));
    } else if (outer < 8 && j->run >= 16 * REDUCE_BLOCK) {
        for (int64_t row = 0; row < outer; row++) fold_row(j, threads, row);
    } else {
        run_chunks(threads, fold_long_rows, j, outer, tasks_per_chunk(j->run));
    }
}

/* ---- all runs ----------------------------------------------------------------------------- */

static void contiguous(View *v)
{
    int64_t stride = 1;
    for (int i = v->rank; i-- > 0; stride *= v->dim[i]) v->stride[i] = stride;
}

/* Folds axes [first, first + count) of `in` into `to`; makes `in` the result. */
static void fold_axes(ThreadPool *threads, const FoldFns *fn, View *in, uint32_t first,
    uint32_t count, void *to, bool lanes)
{
    FoldJob j = {.fn = fn, .run = 1, .inner = 1, .out = to, .type = (DType)in->dtype};
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
    fold_run(threads, &j, outer, lanes && first + count == in->rank);
    for (uint32_t i = first; i + count < in->rank; i++) in->dim[i] = in->dim[i + count];
    in->rank -= (uint8_t)count;
    in->data = to;
    contiguous(in);
}

static FoldKind kind_of(Op op)
{
    return op == OP_prod         ? FOLD_PROD
           : op == OP_reduce_max ? FOLD_MAX
           : op == OP_reduce_min ? FOLD_MIN
                                 : FOLD_SUM;
}

bool run_reduce(const Run *r)
{
    View in = *r->in;
    const FoldFns *fn = &eager_kernels()->type[dtype_info[in.dtype].compute]->fold[kind_of(r->op)];
    if (fn->start == NULL)
        return status_fail(r->st, ST_DTYPE, "%s: not defined for %s", op_def[r->op].name,
            dtype_info[in.dtype].name);
    void *temp[MAX_RANK];
    size_t bytes[MAX_RANK];
    int temps = 0;
    bool ok = true;
    uint32_t left = r->nattr;
    if (left == 0) eager_copy(&(EagerCtx){r->threads}, &in, r->out->data);
    while (left > 0 && ok) {
        uint32_t count = 1;
        while (count < left && r->attr[left - count - 1] == r->attr[left - count] - 1) count++;
        left -= count;
        void *to = r->out->data;
        uint32_t first = (uint32_t)r->attr[left];
        if (left > 0) {
            size_t n = dtype_bytes((DType)in.dtype);
            for (uint32_t i = 0; i < in.rank; i++)
                if (i < first || i >= first + count) n *= (size_t)in.dim[i];
            bytes[temps] = MAX_OF(n, 1);
            to = mem_alloc(bytes[temps]);
            if (to == NULL) {
                ok = status_fail(
                    r->st, ST_MEMORY, "%s: no memory for %zu bytes", op_def[r->op].name, n);
                break;
            }
            temp[temps++] = to;
        }
        fold_axes(r->threads, fn, &in, first, count, to, r->op != OP_sum_in_order);
    }
    while (temps-- > 0) mem_free(temp[temps], bytes[temps]);
    return ok;
}

/* ---- argmax, argmin ----------------------------------------------------------------------- */

typedef struct ArgJob {
    ArgFn *fn;
    Reader in;
    int64_t run, inner;
    int64_t *out;
} ArgJob;

static void arg_chunk(void *arg, int64_t lo, int64_t hi)
{
    const ArgJob *j = arg;
    ReadBuffer best, buf;
    int64_t tasks = (j->inner + READ_BLOCK - 1) / READ_BLOCK;
    for (; lo < hi; lo++) {
        int64_t outer = lo / tasks, first = lo % tasks * READ_BLOCK,
                n = MIN_OF(j->inner - first, READ_BLOCK);
        int64_t *index = j->out + outer * j->inner + first,
                from = outer * j->run * j->inner + first;
        for (int64_t i = 0; i < n; i++) index[i] = -1;
        memset(&best, 0, (size_t)n * 8);
        int64_t most = n == j->inner ? READ_BLOCK / n : 1;
        for (int64_t r = 0, rows; r < j->run; r += rows) {
            rows = MIN_OF(j->run - r, most);
            j->fn(index, &best, reader_get(&j->in, from + r * j->inner, rows * n, &buf), n, r, rows,
                n);
        }
    }
}

bool run_arg(const Run *r)
{
    const View *in = r->in;
    const TypeKernels *k = eager_kernels()->type[dtype_info[in->dtype].compute];
    ArgJob j = {.fn = r->op == OP_argmax ? k->arg_max : k->arg_min,
        .run = in->dim[r->attr[0]],
        .inner = 1,
        .out = r->out->data};
    reader_init(&j.in, in);
    int64_t outer = 1;
    for (int i = 0; i < in->rank; i++) {
        if (i < r->attr[0]) outer *= in->dim[i];
        if (i > r->attr[0]) j.inner *= in->dim[i];
    }
    if (outer * j.inner == 0) return true;
    if (j.run == 0)
        return status_fail(r->st, ST_SHAPE, "%s: the axis is empty", op_def[r->op].name);
    int64_t tasks = (j.inner + READ_BLOCK - 1) / READ_BLOCK;
    run_chunks(r->threads, arg_chunk, &j, outer * tasks,
        tasks_per_chunk(4 * j.run * MIN_OF(j.inner, READ_BLOCK)));
    return true;
}
