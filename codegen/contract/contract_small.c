/* contract_small: products cut into pieces, each of which packs for itself what is worth it: which pieces, on which threads. Relies
 * on panels, contract_tier, threads. The bits do not depend on the pieces, so these may suit the threads at hand. */
#include "panels.h"

#include <stdatomic.h>

/* Multiplications: below the first, threads do not pay; the second is what one takes at a time, some 10 us. */
#define WORTH_THREADS ((int64_t)1 << 20)
#define PIECE ((int64_t)1 << 19)
#define FEW_PIECES 2                  /* of few rows, that b be read in long lines */
#define PIECES 4                      /* for each thread, at least, where there is work for so many */
#define LONG_COLUMNS 512              /* of a piece whose runs need memory for their totals */
#define PART_CELLS ((int64_t)1 << 19) /* of all parts, where threads share k */

typedef struct Job {
    ThreadPool *threads;
    const HostContract *c;
    const ContractType *type;
    const Panels *panels; /* of b; NULL: there are none */
    Kind a_kind, b_kind;
    int64_t size;                           /* bytes of an element of c */
    int64_t batches, row_step, column_step; /* a piece: rows and columns of c */
    int64_t row_pieces, column_pieces;
    bool by_strips; /* pieces that follow each other read the same columns of b; else the same rows of a */
    bool few;
    int64_t parts, part;     /* of k: how many, and how long each but the last is */
    void *to;                /* parts of c, one after the other */
    bool along;              /* rows are seen to where they were made */
    _Atomic(int64_t) *left;  /* pieces that are missing, per block of rows; NULL: one makes them all */
    _Atomic(size_t) refused; /* bytes that were not there; 0: all were */
} Job;

/* Pieces are numbered row by row of them, whatever their order. */
static int64_t in_order(const Job *j, int64_t i)
{
    return j->by_strips ? i % j->row_pieces * j->column_pieces + i / j->row_pieces : i;
}

static Block piece(const Job *j, int64_t number)
{
    const HostContract *c = j->c;
    int64_t column = number % j->column_pieces * j->column_step;
    number /= j->column_pieces;
    int64_t row = number % j->row_pieces * j->row_step, batch = number / j->row_pieces;
    int64_t to = (batch * c->m + row) * c->n + column, k = batch / j->batches * j->part;
    int64_t a = row * c->a_row + k * c->a_col, b = column * c->b_col + k * c->b_row;
    int64_t a_batch, b_batch;
    batch_offsets(c, batch % j->batches, &a_batch, &b_batch);
    const Panels *p = j->panels;
    a += a_batch;
    b += b_batch;
    return (Block){.a = (const char *)c->a + a * j->a_kind.bytes,
        .b = (const char *)c->b + b * j->b_kind.bytes,
        .c = (char *)j->to + to * j->size,
        .m = MIN_OF(c->m - row, j->row_step),
        .n = MIN_OF(c->n - column, j->column_step),
        .k = MIN_OF(c->k - k, j->part),
        .a_row = c->a_row,
        .a_col = c->a_col,
        .b_row = c->b_row,
        .b_col = c->b_col,
        .c_row = c->n,
        .a_kind = j->a_kind,
        .b_kind = j->b_kind,
        .panels = p ? panels_at(p, c, batch % j->batches, column, k) : NULL,
        .panel = p ? p->groups : 0};
}

/* A block of the plain kernel; of several runs of k the subtrees one after the other (ir/tree.h).
 * 0, or the bytes that were not there. */
static size_t plain_block(const Job *j, const Block *g)
{
    if (g->k <= TREE_RUN) {
        (j->few ? j->type->few : j->type->block)(g);
        return 0;
    }
    Block left = *g, right = *g;
    size_t bytes = (size_t)(g->m * g->n * j->size);
    left.k = tree_left(tree_blocks(g->k, TREE_RUN)) * TREE_RUN;
    right.k -= left.k;
    right.a = (const char *)g->a + left.k * g->a_col * j->a_kind.bytes;
    right.b = (const char *)g->b + left.k * g->b_row * j->b_kind.bytes;
    right.c_row = g->n;
    if (g->panels) right.panels = (const char *)g->panels + left.k / j->type->group * j->type->wide * j->size;
    size_t refused = plain_block(j, &left);
    if (refused != 0) return refused;
    right.c = mem_alloc_aligned(bytes, 64);
    if (!right.c) return bytes;
    refused = plain_block(j, &right);
    if (refused == 0) j->type->add(g->c, g->c_row, right.c, g->m, g->n);
    mem_free_aligned(right.c, bytes, 64);
    return refused;
}

static void piece_made(const Job *j, int64_t number)
{
    const HostContract *c = j->c;
    int64_t block = number / j->column_pieces, column = number % j->column_pieces * j->column_step;
    int64_t row = block % j->row_pieces * j->row_step, first = block / j->row_pieces * c->m + row;
    int64_t end = first + MIN_OF(c->m - row, j->row_step);
    if (!j->along) return;
    if (c->rows.columns > 0)
        contract_columns(&c->rows, first, end, column, MIN_OF(c->n - column, j->column_step));
    else if (!j->left || atomic_fetch_sub(&j->left[block], 1) == 1)
        contract_rows(&c->rows, first, end);
}

static void run_pieces(void *arg, int64_t lo, int64_t hi)
{
    Job *j = arg;
    Block g = piece(j, in_order(j, lo));
    Buffer *room = NULL;
    if (!j->few && j->type->packs(&g)) {
        Status st;
        room = contract_memory(j->threads, ROOM_BYTES, &st);
        if (!room) {
            j->refused = ROOM_BYTES;
            return;
        }
    }
    for (; lo < hi; lo++) {
        const int64_t number = in_order(j, lo);
        g = piece(j, number);
        g.room = room ? room->data : NULL;
        size_t refused = plain_block(j, &g);
        if (refused != 0)
            j->refused = refused;
        else
            piece_made(j, number);
    }
    buffer_release(room);
}

#define ROWS_MOVED 16 /* multiplications that take as long as moving an element of the rows to where a strip reads them */

/* Of a b that is read where it lies or whose panels are kept: blocks of rows, which each read all of it, and strips of columns,
 * such that all pieces take the least time, the last ones together. */
static void best_cut(Job *j, int threads, int64_t least, int64_t wanted)
{
    const HostContract *c = j->c;
    const int64_t step = 2 * MOST_COLUMNS, rows = tree_blocks(c->m, 2 * MOST_ROWS), widest = j->column_step;
    double best = 0;
    for (int64_t blocks = least; blocks <= MAX_OF(least, MIN_OF(rows, least + wanted)); blocks++)
        for (int64_t strips = 1; strips <= wanted; strips++) {
            const int64_t columns = MIN_OF(tree_blocks(tree_blocks(c->n, strips), step) * step, widest),
                          height = tree_blocks(c->m, blocks);
            const int64_t pieces = tree_blocks(c->m, height) * tree_blocks(c->n, columns) * j->batches;
            double time =
                (double)((height + MOVED) * MIN_OF(columns, c->n) + ROWS_MOVED * height) * (double)tree_blocks(pieces, threads);
            if (pieces < wanted * j->batches / 2) time *= SCARCE;
            if (best > 0 && time >= best) continue;
            best = time;
            j->row_step = height;
            j->column_step = columns;
        }
}

/* Blocks of rows, all of a height. Where a block has to pack b for itself, threads share strips of columns, of two panels or more,
 * because a block of rows packs the columns of b anew, and a strip only the rows of a. */
static void cut(Job *j, int threads)
{
    const HostContract *c = j->c;
    const int64_t blocks = tree_blocks(c->m, BLOCK_ROWS), least = 2 * MOST_COLUMNS;
    const int64_t wanted = tree_blocks((j->few && c->b_col == 1 ? FEW_PIECES : PIECES) * (int64_t)threads, j->batches);
    const bool near = c->b_col == 1 && MIN_OF(c->k, TREE_PRODUCT) * c->b_row * j->b_kind.bytes <= FAR_BYTES;
    j->row_step = tree_blocks(c->m, blocks);
    j->column_step = c->k > TREE_RUN ? MIN_OF(c->n, LONG_COLUMNS) : c->n;
    if (threads == 1) return;
    if ((near || j->panels) && !j->few) {
        best_cut(j, threads, blocks, wanted);
        return;
    }
    const int64_t strips = tree_blocks(wanted, blocks);
    if (strips > 1) j->column_step = MIN_OF(j->column_step, tree_blocks(tree_blocks(c->n, strips), least) * least);
}

/* A long k of few rows and columns is cut into whole subtrees of runs. */
static void cut_k(Job *j, int threads)
{
    const HostContract *c = j->c;
    int64_t runs = tree_blocks(c->k, TREE_RUN), cells = j->batches * c->m * c->n, each = 1;
    int64_t most = MIN_OF(PART_CELLS / MAX_OF(cells, 1), 4 * (int64_t)threads);
    if (most < 2 || j->batches * j->row_pieces * j->column_pieces >= 2 * threads) return;
    while (tree_blocks(runs, each) > most) each *= 2;
    if (each >= runs) return;
    j->part = each * TREE_RUN;
    j->parts = tree_blocks(runs, each);
}

static void join_parts(const Job *j, int64_t first, int64_t n)
{
    int64_t cells = j->batches * j->c->m * j->c->n, left = n > 1 ? tree_left(n) : 0;
    if (n == 1) return;
    join_parts(j, first, left);
    join_parts(j, first + left, n - left);
    char *to = (char *)j->to + (size_t)(first * cells * j->size);
    j->type->add(to, cells, to + (size_t)(left * cells * j->size), 1, cells);
}

static bool run_job(ThreadPool *threads, Job *j)
{
    int64_t n = j->parts * j->batches * j->row_pieces * j->column_pieces, work = j->row_step * j->column_step * j->part;
    if (threads)
        threads_run(threads, run_pieces, j, n, MAX_OF(PIECE / work, 1));
    else
        run_pieces(j, 0, n);
    if (!j->refused) join_parts(j, 0, j->parts);
    return !j->refused;
}

/* Where several pieces make a row that is done at once, each is counted; without memory for that, rows wait for the end. */
static Buffer *count_pieces(ThreadPool *threads, Job *j)
{
    Status none;
    int64_t blocks = j->batches * j->row_pieces;
    j->along = j->c->rows.fn && j->parts == 1;
    if (!j->along || j->column_pieces == 1 || j->c->rows.columns > 0) return NULL;
    Buffer *b = contract_memory(threads, (size_t)blocks * sizeof *j->left, &none);
    j->along = b;
    j->left = b ? b->data : NULL;
    for (int64_t i = 0; b && i < blocks; i++) atomic_init(&j->left[i], j->column_pieces);
    return b;
}

bool contract_small(ThreadPool *threads, const HostContract *c, int64_t batches, void *to, Status *st)
{
    Job j = {.threads = threads,
        .c = c,
        .type = contract_type(c),
        .panels = c->keep ? c->keep->panels : NULL,
        .batches = batches,
        .few = is_few(c),
        .parts = 1,
        .part = c->k,
        .to = to};
    j.a_kind = contract_kind(c, (DType)c->type);
    j.b_kind = contract_kind(c, contract_b(c));
    j.size = (int64_t)dtype_bytes(contract_compute(c));
    bool together = threads && batches * c->m * c->n >= WORTH_THREADS / c->k;
    cut(&j, together ? threads_count(threads) : 1);
    j.row_pieces = tree_blocks(c->m, j.row_step);
    j.column_pieces = tree_blocks(c->n, j.column_step);
    if (together) cut_k(&j, threads_count(threads));
    j.by_strips = batches == 1 && j.parts == 1 && contract_by_strips(c->m * c->k, c->k * c->n, c->m * c->n);
    size_t one = (size_t)(batches * c->m * c->n * j.size), bytes = 0;
    if (j.parts > 1) {
        bytes = (size_t)j.parts * one;
        j.to = mem_alloc_aligned(bytes, 64);
    }
    Buffer *counts = count_pieces(threads, &j);
    bool ok = j.to && run_job(together ? threads : NULL, &j);
    buffer_release(counts);
    if (ok && j.parts > 1) memcpy(to, j.to, one);
    if (bytes > 0 && j.to) mem_free_aligned(j.to, bytes, 64);
    if (ok && !j.along) contract_all_rows(threads, &c->rows, batches * c->m);
    return ok || status_fail(
                     st, ST_MEMORY, "matmul: no memory for %zu bytes of packed operands or partial sums", j.to ? j.refused : bytes);
}
