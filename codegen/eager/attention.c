/* attention: the kernel of attention and of its gradient. A task is a tile of rows, or of the keys' gradient a block of keys; its
 * scores against one block never leave a core's cache, and nobody adds to what another task makes. Products are those of
 * codegen/contract, what happens between them is in kernels_attention.h. */
#include "../contract/contract_parts.h"
#include "../eager.h"
#include "kernels.h"

#include <math.h>
#include <stdatomic.h>

enum { TILE = 64 };                      /* rows of a task, and of one step of the keys' gradient */
#define WORTH_THREADS ((int64_t)1 << 18) /* products that occupy several threads */

typedef struct Job {
    ThreadPool *threads;
    const HostAttention *a;
    void *const *in; /* its operands */
    const ContractType *type;
    const ScoreFns *fns;
    int64_t size, period; /* of an element; rows that tiles do not reach beyond */
    size_t room;          /* bytes of a task's memory */
    atomic_bool refused;
} Job;

typedef struct Room { /* of one task; s and g are [TILE][SCORE_KEYS] */
    void *pack;
    char *s, *g, *product, *sums, *fade;
} Room;

static size_t product_bytes(const Job *j) { return (size_t)(TILE * MAX_OF(j->a->d, j->a->e) * j->size); }
static size_t tile_bytes(const Job *j) { return (size_t)(TILE * SCORE_KEYS * j->size); }

static Room room_in(const Job *j, char *at)
{
    Room r = {.pack = at, .s = at + ROOM_BYTES};
    r.g = r.s + tile_bytes(j);
    r.product = r.g + tile_bytes(j);
    r.sums = r.product + product_bytes(j);
    r.fade = r.sums + TILE * j->size;
    return r;
}

/* ---- products -------------------------------------------------------------------------------------- */

typedef struct Operand {
    const void *at;
    int64_t row, col;
} Operand;

/* c[m][n], rows c_row apart. */
static void multiply(const Job *j, const Room *r, Operand a, Operand b, int64_t m, int64_t n, int64_t k, void *c, int64_t c_row)
{
    const int bytes = (int)j->size;
    Block g = {.a = a.at,
        .b = b.at,
        .c = c,
        .m = m,
        .n = n,
        .k = k,
        .a_row = a.row,
        .a_col = a.col,
        .b_row = b.row,
        .b_col = b.col,
        .c_row = c_row,
        .a_kind = {0, bytes},
        .b_kind = {0, bytes}};
    const bool few = m <= FEW_ROWS;
    for (int64_t i = 0; k == 0 && i < m; i++) memset((char *)c + i * c_row * j->size, 0, (size_t)(n * j->size));
    if (k == 0 || n == 0) return;
    if (!few && j->type->packs(&g)) g.room = r->pack;
    (few ? j->type->few : j->type->block)(&g);
}

static const void *row_of(const Job *j, int operand, int64_t head, int64_t rows, int64_t row, int64_t length)
{
    return (const char *)j->in[operand] + (head * rows + row) * length * j->size;
}

/* What rows `row` and following of a head have with a block of keys. */
static Scores scores_of(const Job *j, int64_t head, int64_t row, int64_t rows, int64_t key)
{
    const HostAttention *a = j->a;
    const int64_t mask_row = a->mask[1] != 1 ? a->mask[2] : 0, mask_key = a->mask[2] != 1;
    const int64_t at = (a->mask[0] != 1 ? head * a->mask[1] * a->mask[2] : 0) + row * mask_row + key * mask_key;
    return (Scores){.rows = rows,
        .keys = MIN_OF(a->keys - key, SCORE_KEYS),
        .first = row,
        .period = a->period,
        .lead = a->after - a->before - key + 1,
        .causal = a->causal != 0,
        .scale = a->scale,
        .cap = a->cap,
        .mask = (const char *)j->in[3] + at * j->size,
        .mask_row = mask_row,
        .mask_key = mask_key};
}

/* Products of q and k, and if wanted of g and v, of these rows with the block of keys. */
static void products(const Job *j, const Room *r, int64_t head, const Scores *x, int64_t key, bool cotangents)
{
    const HostAttention *a = j->a;
    const Operand q = {row_of(j, 0, head, a->rows, x->first, a->d), a->d, 1}, k = {row_of(j, 1, head, a->keys, key, a->d), 1, a->d};
    multiply(j, r, q, k, x->rows, x->keys, a->d, r->s, SCORE_KEYS);
    if (!cotangents) return;
    const Operand g = {row_of(j, 4, head, a->rows, x->first, a->e), a->e, 1}, v = {row_of(j, 2, head, a->keys, key, a->e), 1, a->e};
    multiply(j, r, g, v, x->rows, x->keys, a->e, r->g, SCORE_KEYS);
}

/* Of rows of one period: how many see nothing of the block, and the others' scores. */
static int64_t rows_seeing(const Job *j, int64_t head, int64_t first, int64_t rows, int64_t key, Scores *x)
{
    int64_t skip = 0;
    *x = scores_of(j, head, first, rows, key);
    while (skip < rows && scores_seen(x, skip) == 0) skip++;
    if (skip != rows) *x = scores_of(j, head, first + skip, rows - skip, key);
    return skip;
}

/* ---- tiles of rows -------------------------------------------------------------------------------- */

static void forward_tile(const Job *j, const Room *r, int64_t head, int64_t first, int64_t rows)
{
    const HostAttention *a = j->a;
    char *to = (char *)a->buf[0] + (head * a->rows + first) * a->e * j->size;
    char *largest = (char *)a->buf[1] + (head * a->rows + first) * j->size;
    memset(to, 0, (size_t)(rows * a->e * j->size));
    memset(r->sums, 0, (size_t)(rows * j->size));
    for (int64_t i = 0; i < rows; i++) dtype_store_f64((DType)a->type, largest + i * j->size, -INFINITY);
    for (int64_t key = 0; key < a->keys; key += SCORE_KEYS) {
        Scores x;
        const int64_t skip = rows_seeing(j, head, first, rows, key, &x);
        if (skip == rows) break;
        products(j, r, head, &x, key, false);
        j->fns->weights(&x, r->s, largest + skip * j->size, r->sums + skip * j->size, r->fade);
        const Operand p = {r->s, SCORE_KEYS, 1}, v = {row_of(j, 2, head, a->keys, key, a->e), a->e, 1};
        multiply(j, r, p, v, x.rows, a->e, x.keys, r->product, a->e);
        j->fns->add(to + skip * a->e * j->size, a->e, r->product, r->fade, x.rows, a->e, x.keys == SCORE_KEYS);
    }
    j->fns->end(rows, to, largest, r->sums, a->e);
}

static void query_tile(const Job *j, const Room *r, int64_t head, int64_t first, int64_t rows)
{
    const HostAttention *a = j->a;
    char *to = (char *)a->buf[0] + (head * a->rows + first) * a->d * j->size;
    memset(to, 0, (size_t)(rows * a->d * j->size));
    for (int64_t key = 0; key < a->keys; key += SCORE_KEYS) {
        Scores x;
        const int64_t skip = rows_seeing(j, head, first, rows, key, &x);
        if (skip == rows) break;
        products(j, r, head, &x, key, true);
        j->fns->slopes(&x, r->s, r->g, row_of(j, 5, head, a->rows, x.first, 1), row_of(j, 6, head, a->rows, x.first, 1));
        const Operand ds = {r->g, SCORE_KEYS, 1}, k = {row_of(j, 1, head, a->keys, key, a->d), a->d, 1};
        multiply(j, r, ds, k, x.rows, a->d, x.keys, r->product, a->d);
        j->fns->add(to + skip * a->d * j->size, a->d, r->product, NULL, x.rows, a->d, x.keys == SCORE_KEYS);
    }
}

/* ---- blocks of keys ------------------------------------------------------------------------------- */

static bool any_seen(const Scores *x)
{
    for (int64_t i = 0; i < x->rows; i++)
        if (scores_seen(x, i) != 0) return true;
    return false;
}

static void key_block(const Job *j, const Room *r, int64_t head, int64_t key)
{
    const HostAttention *a = j->a;
    const int64_t both = a->d + a->e, keys = MIN_OF(a->keys - key, SCORE_KEYS);
    char *to = (char *)a->buf[0] + (head * a->keys + key) * both * j->size;
    memset(to, 0, (size_t)(keys * both * j->size));
    for (int64_t first = 0; first < a->rows; first += TILE) {
        const Scores x = scores_of(j, head, first, MIN_OF(a->rows - first, TILE), key);
        const bool whole = x.rows == TILE;
        if (!any_seen(&x)) continue;
        products(j, r, head, &x, key, true);
        j->fns->slopes(&x, r->s, r->g, row_of(j, 5, head, a->rows, first, 1), row_of(j, 6, head, a->rows, first, 1));
        const Operand ds = {r->g, 1, SCORE_KEYS}, q = {row_of(j, 0, head, a->rows, first, a->d), a->d, 1};
        multiply(j, r, ds, q, keys, a->d, x.rows, r->product, a->d);
        j->fns->add(to, both, r->product, NULL, keys, a->d, whole);
        const Operand p = {r->s, 1, SCORE_KEYS}, g = {row_of(j, 4, head, a->rows, first, a->e), a->e, 1};
        multiply(j, r, p, g, keys, a->e, x.rows, r->product, a->e);
        j->fns->add(to + a->d * j->size, both, r->product, NULL, keys, a->e, whole);
    }
}

/* ---- tasks ---------------------------------------------------------------------------------------- */

static void run_task(const Job *j, const Room *r, int64_t task)
{
    const HostAttention *a = j->a;
    if (a->op == OP_attention_keys) {
        const int64_t blocks = tree_blocks(a->keys, SCORE_KEYS);
        key_block(j, r, task / blocks, task % blocks * SCORE_KEYS);
        return;
    }
    const int64_t tiles = tree_blocks(j->period, TILE), periods = tree_blocks(a->rows, j->period);
    const int64_t tile = task % tiles * TILE, first = task / tiles % periods * j->period + tile;
    const int64_t rows = MIN_OF(MIN_OF(j->period - tile, TILE), a->rows - first);
    if (rows > 0) (a->op == OP_attention ? forward_tile : query_tile)(j, r, task / tiles / periods, first, rows);
}

static void run_tasks(void *arg, int64_t lo, int64_t hi)
{
    Job *j = arg;
    Status none;
    Buffer *memory = contract_memory(j->threads, j->room, &none);
    if (!memory) {
        atomic_store(&j->refused, true);
        return;
    }
    const Room r = room_in(j, memory->data);
    for (; lo < hi; lo++) run_task(j, &r, lo);
    buffer_release(memory);
}

bool attention_run(ThreadPool *threads, const HostAttention *a, Status *st)
{
    Job j = {.threads = threads,
        .a = a,
        .in = a->buf + (a->op == OP_attention ? 2 : 1),
        .type = contract_tier()->type[a->type == DT_f32 ? IN_F32 : IN_F64],
        .fns = eager_kernels()->scores[a->type],
        .size = (int64_t)dtype_bytes((DType)a->type),
        .period = MAX_OF(a->causal ? a->period : a->rows, 1)};
    j.room = ROOM_BYTES + 2 * tile_bytes(&j) + product_bytes(&j) + 2 * (size_t)(TILE * j.size);
    const int64_t tasks = a->op == OP_attention_keys ? a->n * tree_blocks(a->keys, SCORE_KEYS)
                                                     : a->n * tree_blocks(j.period, TILE) * tree_blocks(a->rows, j.period);
    const double work = (double)a->n * (double)a->rows * (double)a->keys * (double)(a->d + a->e);
    if (tasks == 0) return true;
    if (threads && work >= WORTH_THREADS)
        threads_run(threads, run_tasks, &j, tasks, 1);
    else
        run_tasks(&j, 0, tasks);
    return !atomic_load(&j.refused) ||
           status_fail(st, ST_MEMORY, "attention: no memory for %zu bytes of scores and packed operands", j.room);
}
