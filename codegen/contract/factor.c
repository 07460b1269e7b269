/* factor: LU with pivots, systems with triangles and Cholesky's factor, for eager and JIT-compiled code. Columns are halved as in
 * frontend/linalg/lu.c and triangle.c, whose loops and products objects and devices run: every element goes through the same
 * operations, so the bits are the same. Halves are products (contract_run), blocks of up to FACTOR_LEAF the tier's. Relies on
 * contract_parts, factor_tier. */
#include "../../ir/op.h"
#include "contract_parts.h"
#include "factor_tier.h"

#define SHARED_COLUMNS ((int64_t)1 << 19) /* steps of a system that are worth a second thread */

typedef struct Work { /* of one matrix */
    ThreadPool *threads;
    const FactorType *is;
    int type;
    int64_t across;                                      /* columns of the whole system, of which these may be a part */
    int64_t e;                                           /* bytes of an element */
    char *some, *column, *is_free, *row, *block, *other; /* some: for a product, or rows that move */
    int64_t *place;                                      /* for orders */
    Status *st;
} Work;

static int64_t half(int64_t n) { return (n / 2 + FACTOR_LEAF - 1) / FACTOR_LEAF * FACTOR_LEAF; }

/* w->some [m, n] = a [m, k] b [k, n]; rows: what is done with its rows. */
static bool product(const Work *w, const char *a, int64_t a_row, int64_t a_col, const char *b, int64_t b_row, int64_t m, int64_t n,
    int64_t k, const HostRows *rows)
{
    HostContract c = {.type = w->type,
        .m = m,
        .n = n,
        .k = k,
        .a = a,
        .b = b,
        .c = w->some,
        .a_row = a_row,
        .a_col = a_col,
        .b_row = b_row,
        .b_col = 1,
        .to = w->type};
    if (rows) c.rows = *rows;
    return contract_run(w->threads, &c, false, w->st);
}

/* buf: x, the product, the type; dim: elements between rows of x, columns, bytes of an element */
static void lose_rows(void *const *buf, const int64_t *dim, int64_t lo, int64_t hi, int64_t from, int64_t end)
{
    (void)from, (void)end;
    const FactorType *const *is = buf[2];
    (*is)->less((char *)buf[0] + lo * dim[0] * dim[2], dim[0], (char *)buf[1] + lo * dim[1] * dim[2], hi - lo, dim[1]);
}

/* x [m, n] -= a [m, k] b [k, n] */
static bool lose(const Work *w, char *x, int64_t x_row, const char *a, int64_t a_row, const char *b, int64_t b_row, int64_t m,
    int64_t n, int64_t k)
{
    const FactorType *is = w->is;
    void *buf[] = {x, w->some, &is};
    const int64_t dim[] = {x_row, n, w->e};
    return product(w, a, a_row, 1, b, b_row, m, n, k, &(HostRows){lose_rows, buf, dim, 1, 0});
}

/* ---- systems ---------------------------------------------------------------------------------------- */

/* The leaf's triangle as `inverse` wants it, lower, and its inverse; then the product with that. */
static bool solve_leaf(
    const Work *w, const char *a, int64_t a_row, char *x, int64_t x_row, int64_t n, int64_t c, bool upper, bool unit)
{
    for (int64_t i = 0; i < n && !upper; i++) memcpy(w->block + i * FACTOR_LEAF * w->e, a + i * a_row * w->e, (size_t)(n * w->e));
    if (upper) w->is->turn(w->block, FACTOR_LEAF, a, a_row, n, n);
    w->is->inverse(w->other, w->block, n, unit);
    if (!product(w, w->other, upper ? 1 : FACTOR_LEAF, upper ? FACTOR_LEAF : 1, x, x_row, n, c, n, NULL)) return false;
    for (int64_t i = 0; i < n; i++) memcpy(x + i * x_row * w->e, w->some + i * c * w->e, (size_t)(c * w->e));
    return true;
}

/* c columns of x [n, w->across] become the solution. */
static bool solve(const Work *w, const char *a, int64_t a_row, char *x, int64_t x_row, int64_t n, int64_t c, bool upper, bool unit)
{
    if (n <= FACTOR_LEAF && w->across <= n) return w->is->few(x, x_row, a, a_row, n, c, upper, unit), true;
    if (n <= FACTOR_LEAF) return solve_leaf(w, a, a_row, x, x_row, n, c, upper, unit);
    const int64_t h = half(n), rest = n - h;
    const char *last = a + (h * a_row + h) * w->e;
    char *below = x + h * x_row * w->e;
    if (upper)
        return solve(w, last, a_row, below, x_row, rest, c, true, unit) &&
               lose(w, x, x_row, a + h * w->e, a_row, below, x_row, h, c, rest) && solve(w, a, a_row, x, x_row, h, c, true, unit);
    return solve(w, a, a_row, x, x_row, h, c, false, unit) &&
           lose(w, below, x_row, a + h * a_row * w->e, a_row, x, x_row, rest, c, h) &&
           solve(w, last, a_row, below, x_row, rest, c, false, unit);
}

typedef struct Columns { /* of one system, which threads share */
    const Work *w;
    const char *a;
    char *x;
    int64_t a_row, x_row, n, c, parts;
    bool upper, unit;
    _Atomic bool failed;
} Columns;

static void run_columns(void *arg, int64_t lo, int64_t hi)
{
    Columns *s = arg;
    for (; lo < hi; lo++) {
        const int64_t first = lo * s->c / s->parts, c = (lo + 1) * s->c / s->parts - first, leaf = FACTOR_LEAF * FACTOR_LEAF;
        Work w = *s->w;
        Status st = {0};
        w.threads = NULL, w.st = &st, w.across = s->c;
        w.some += first * s->n * w.e, w.block += lo * leaf * w.e, w.other += lo * leaf * w.e;
        if (!solve(&w, s->a, s->a_row, s->x + first * w.e, s->x_row, s->n, c, s->upper, s->unit)) s->failed = true;
    }
}

/* x [n, c] becomes the solution: in parts of its columns, which have nothing to do with one another. */
static bool solve_all(
    const Work *w, const char *a, int64_t a_row, char *x, int64_t x_row, int64_t n, int64_t c, bool upper, bool unit)
{
    Columns s = {w, a, x, a_row, x_row, n, c, 1, upper, unit, false};
    if (w->threads && n * n * c > SHARED_COLUMNS) s.parts = MAX_OF(MIN_OF(c / 16, threads_count(w->threads)), 1);
    if (s.parts > 1)
        contract_each(w->threads, run_columns, &s, s.parts);
    else
        run_columns(&s, 0, 1);
    return !s.failed;
}

/* ---- LU --------------------------------------------------------------------------------------------- */

/* m rows of n elements in that order. */
static void reorder(const Work *w, char *x, int64_t row, int64_t m, int64_t n, const int64_t *order)
{
    const size_t bytes = (size_t)(n * w->e);
    int64_t first = 0, end = m;
    while (first < end && order[first] == first) first++;
    while (first < end && order[end - 1] == end - 1) end--;
    for (int64_t i = first; i < end; i++) memcpy(w->some + (i - first) * n * w->e, x + order[i] * row * w->e, bytes);
    for (int64_t i = first; i < end; i++) memcpy(x + i * row * w->e, w->some + (i - first) * n * w->e, bytes);
}

static bool is_free(const Work *w, int64_t i)
{
    return w->e == 4 ? ((int32_t *)(void *)w->is_free)[i] : ((int64_t *)(void *)w->is_free)[i];
}

static void factor_leaf(const Work *w, char *x, int64_t row, int64_t m, int64_t n, int64_t *order)
{
    const int64_t line = (m + FACTOR_LANES - 1) / FACTOR_LANES * FACTOR_LANES;
    const FactorPanel p = {w->column, line, m, n, w->row, w->is_free, order};
    for (int64_t c = 0; c < n; c++) memset(w->column + (c * line + m) * w->e, 0, (size_t)((line - m) * w->e));
    memset(w->is_free, 0xff, (size_t)(m * w->e));
    memset(w->is_free + m * w->e, 0, (size_t)((line - m) * w->e));
    w->is->turn(w->column, line, x, row, m, n);
    w->is->panel(&p);
    for (int64_t j = 0; j < n; j++) memcpy(x + j * row * w->e, w->row + j * FACTOR_LEAF * w->e, (size_t)(n * w->e));
    int64_t next = n;
    for (int64_t i = 0; i < m; i++)
        if (is_free(w, i)) order[next++] = i;
    w->is->back(x + n * row * w->e, row, w->column, line, order + n, m - n, n);
}

static bool factored(Work *w, char *x, int64_t row, int64_t m, int64_t n, int64_t *order);

static bool halves(Work *w, char *x, int64_t row, int64_t m, int64_t n, int64_t h, int64_t *order)
{
    char *right = x + h * w->e, *below = x + h * row * w->e, *last = right + h * row * w->e;
    if (!factored(w, x, row, m, h, order)) return false;
    reorder(w, right, row, m, n - h, order);
    if (!solve_all(w, x, row, right, row, h, n - h, false, true)) return false;
    if (m == h) return true;
    if (!lose(w, last, row, below, row, right, row, m - h, n - h, h)) return false;
    int64_t *moved = w->place, *of = w->place + (m - h);
    w->place += 2 * (m - h);
    const bool ok = factored(w, last, row, m - h, n - h, moved);
    if (ok) {
        reorder(w, below, row, m - h, h, moved);
        memcpy(of, order + h, (size_t)(m - h) * sizeof *of);
        for (int64_t i = 0; i < m - h; i++) order[h + i] = of[moved[i]];
    }
    w->place -= 2 * (m - h);
    return ok;
}

static bool factored(Work *w, char *x, int64_t row, int64_t m, int64_t n, int64_t *order)
{
    const int64_t k = MIN_OF(m, n);
    if (n > k) return halves(w, x, row, m, n, k, order);
    if (n > FACTOR_LEAF) return halves(w, x, row, m, n, half(n), order);
    return factor_leaf(w, x, row, m, n, order), true;
}

/* ---- Cholesky ---------------------------------------------------------------------------------------- */

static void root_leaf(const Work *w, char *x, int64_t row, int64_t n)
{
    memset(w->block, 0, (size_t)(n * FACTOR_LEAF * w->e));
    w->is->turn(w->block, FACTOR_LEAF, x, row, n, n);
    w->is->cholesky(w->block, n);
    w->is->turn(x, row, w->block, FACTOR_LEAF, n, n);
}

/* x [n, n], of which the lower triangle is read, becomes L. */
static bool root(const Work *w, char *x, int64_t row, int64_t n)
{
    if (n <= FACTOR_LEAF) return root_leaf(w, x, row, n), true;
    const int64_t h = half(n), rest = n - h;
    char *below = x + h * row * w->e, *last = below + h * w->e;
    if (!root(w, x, row, h)) return false;
    for (int64_t i = 0; i < h; i++) memset(x + (i * row + h) * w->e, 0, (size_t)(rest * w->e));
    w->is->turn(w->column, rest, below, row, rest, h);
    if (!solve_all(w, x, row, w->column, rest, h, rest, false, false)) return false;
    w->is->turn(below, row, w->column, rest, h, rest);
    return lose(w, last, row, below, row, w->column, rest, rest, rest, h) && root(w, last, row, rest);
}

/* ---- all matrices ----------------------------------------------------------------------------------- */

enum { PART_SOME, PART_COLUMN, PART_FREE, PART_ROW, PART_BLOCK, PART_OTHER, PART_PLACE, PARTS };

typedef struct Lanes {
    const HostFactor *f;
    Work first;
    size_t at[PARTS], bytes; /* of a lane's memory */
    char *memory;
    int64_t lanes;
    _Atomic bool failed;
} Lanes;

/* threads: how many may share a system. */
static void plan(Lanes *g, int64_t threads)
{
    const HostFactor *f = g->f;
    const bool lu = f->op == OP_lu;
    const size_t e = (size_t)g->first.e, m = (size_t)f->rows, n = (size_t)f->columns, leaf = FACTOR_LEAF * FACTOR_LEAF * e,
                 leaves = leaf * (g->lanes == 1 ? (size_t)threads : 1);
    const size_t h = f->op == OP_cholesky && n > FACTOR_LEAF ? (size_t)half(f->columns) : 0, line = lu ? (m + FACTOR_LANES) * e : 0;
    size_t levels = 2; /* on each, orders of less than m rows, twice */
    for (int64_t i = f->columns; i > FACTOR_LEAF; i = half(i)) levels++;
    const size_t bytes[PARTS] = {m * n * e, line * MIN_OF(n, FACTOR_LEAF) + h * (n - h) * e, line, leaf, leaves, leaves,
        lu ? levels * 2 * m * sizeof(int64_t) : 0};
    for (int i = 0; i < PARTS; i++) {
        g->at[i] = g->bytes;
        g->bytes += (bytes[i] + BUFFER_ALIGN) / BUFFER_ALIGN * BUFFER_ALIGN;
    }
}

static bool run_one(Work *w, const HostFactor *f, int64_t i)
{
    const int64_t m = f->rows, n = f->columns;
    const size_t bytes = (size_t)(m * n * w->e);
    const char *from = (const char *)f->buf[f->op == OP_cholesky ? 1 : 2] + (size_t)i * bytes;
    char *to = (char *)f->buf[0] + (size_t)i * bytes;
    memcpy(to, from, bytes);
    if (f->op == OP_lu) return factored(w, to, n, m, n, (int64_t *)f->buf[1] + i * m);
    if (f->op == OP_cholesky) return root(w, to, n, n);
    const char *a = (const char *)f->buf[1] + (size_t)(i * m * m * w->e);
    return solve_all(w, a, m, to, n, m, n, f->how & 1, f->how & 2);
}

static void run_lanes(void *arg, int64_t lo, int64_t hi)
{
    Lanes *g = arg;
    for (; lo < hi; lo++) {
        Work w = g->first;
        Status st = {0};
        char *lane = g->memory + (size_t)lo * g->bytes;
        if (g->lanes > 1) w.threads = NULL, w.st = &st; /* its own threads are busy with the other lanes */
        w.some = lane + g->at[PART_SOME], w.column = lane + g->at[PART_COLUMN], w.is_free = lane + g->at[PART_FREE];
        w.row = lane + g->at[PART_ROW], w.block = lane + g->at[PART_BLOCK], w.other = lane + g->at[PART_OTHER];
        w.place = (int64_t *)(void *)(lane + g->at[PART_PLACE]);
        for (int64_t i = lo * g->f->n / g->lanes; i < (lo + 1) * g->f->n / g->lanes; i++)
            if (!run_one(&w, g->f, i)) g->failed = true;
    }
}

bool factor_own(ThreadPool *threads, const HostFactor *f, Status *st)
{
    const char *name = op_def[f->op].name;
    const bool wide = f->type == DT_f64;
    Lanes g = {
        .f = f, .first = {.threads = threads, .is = contract_tier()->factor[wide], .type = f->type, .e = wide ? 8 : 4, .st = st}};
    if (f->n == 0 || f->rows == 0 || f->columns == 0) return true;
    const double work = (double)f->n * (double)f->rows * (double)f->columns * (double)f->rows;
    const int64_t most = threads ? threads_count(threads) : 1;
    g.lanes = work < 5e4 ? 1 : MIN_OF(f->n, most);
    if (g.lanes < most && f->rows > FACTOR_LEAF) g.lanes = 1; /* one after the other, by all threads */
    plan(&g, most);
    Buffer *memory =
        g.bytes > SIZE_MAX / 2 / (size_t)g.lanes ? NULL : contract_memory(threads, (size_t)g.lanes * g.bytes, &(Status){0});
    if (!memory) return status_fail(st, ST_MEMORY, "%s: no memory for %zu bytes of work", name, g.bytes);
    g.memory = memory->data;
    if (g.lanes > 1)
        contract_each(threads, run_lanes, &g, g.lanes);
    else
        run_lanes(&g, 0, 1);
    buffer_release(memory);
    if (!g.failed) return true;
    return st->code != ST_OK ? false : status_fail(st, ST_MEMORY, "%s: no memory for a product", name);
}
