/* lapack: eigenvalues and singular values by LAPACK's Fortran functions, which OpenBLAS carries: the one file that knows them. Each
 * matrix is copied to where its elements lie aligned alike, factored by one thread, and its vectors get their signs; so its bits
 * depend on the matrix alone. Fortran has its matrices by columns: what it sees is the transpose. Relies on contract_parts,
 * threads. */
#include "../../ir/op.h"
#include "contract_parts.h"

#include <math.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>

/* The lengths of the strings come last. */
typedef void Syevd(const char *vectors, const char *triangle, const int32_t *n, void *a, const int32_t *lda, void *w, void *work,
    const int32_t *lwork, int32_t *iwork, const int32_t *liwork, int32_t *info, size_t, size_t);
typedef void Gesdd(const char *vectors, const int32_t *m, const int32_t *n, void *a, const int32_t *lda, void *s, void *u,
    const int32_t *ldu, void *vt, const int32_t *ldvt, void *work, const int32_t *lwork, int32_t *iwork, int32_t *info, size_t);

static struct {
    Syevd *syevd[2]; /* of f32, f64 */
    Gesdd *gesdd[2];
    bool there;
    char why[256];
} lapack;

static void find_functions(void)
{
    char *why = lapack.why;
    const size_t cap = sizeof lapack.why;
    lapack.there = openblas_find("ssyevd_", &lapack.syevd[0], why, cap) && openblas_find("dsyevd_", &lapack.syevd[1], why, cap) &&
                   openblas_find("sgesdd_", &lapack.gesdd[0], why, cap) && openblas_find("dgesdd_", &lapack.gesdd[1], why, cap);
}

/* ---- one call ---------------------------------------------------------------------------------------- */

enum { PART_A, PART_VALUES, PART_LEFT, PART_RIGHT, PART_WORK, PART_INTEGERS, PARTS };

typedef struct Factoring {
    const HostFactor *f;
    bool wide, symmetric, vectors; /* wide: f64 */
    int32_t m, n, k, left, right;  /* left: columns of U; right: rows of VT */
    int32_t lwork, liwork;
    size_t at[PARTS], bytes; /* of a lane's memory */
    char *memory;
    int64_t lanes;
    struct Trouble { /* per lane: its first matrix for which LAPACK failed */
        int64_t matrix;
        int32_t info;
    } * trouble;
} Factoring;

static const char *name_of(const HostFactor *f) { return op_def[f->op].name; }

static size_t element(const Factoring *g) { return g->wide ? sizeof(double) : sizeof(float); }
static void *part(const Factoring *g, char *lane, int which) { return lane + g->at[which]; }
static double load(const Factoring *g, const void *x, int64_t i)
{
    return g->wide ? ((const double *)x)[i] : ((const float *)x)[i];
}

static int32_t run(const Factoring *g, char *lane, int32_t lwork, int32_t liwork)
{
    int32_t info = 0, *integers = part(g, lane, PART_INTEGERS);
    void *a = part(g, lane, PART_A), *values = part(g, lane, PART_VALUES), *work = part(g, lane, PART_WORK);
    if (g->symmetric) {
        lapack.syevd[g->wide](g->vectors ? "V" : "N", "U", &g->n, a, &g->n, values, work, &lwork, integers, &liwork, &info, 1, 1);
        return info;
    }
    const char *vectors = !g->vectors ? "N" : g->f->how ? "A" : "S";
    lapack.gesdd[g->wide](vectors, &g->n, &g->m, a, &g->n, values, part(g, lane, PART_RIGHT), &g->n, part(g, lane, PART_LEFT),
        &g->left, work, &lwork, integers, &info, 1);
    return info;
}

/* ---- memory ------------------------------------------------------------------------------------------ */

/* What LAPACK documents as the least; f32 rounds what it answers to a question, perhaps down. */
static double least_work(const Factoring *g)
{
    const double n = g->n, k = g->k, most = MAX_OF(g->m, g->n);
    if (g->symmetric) return g->vectors ? 1 + 6 * n + 2 * n * n : 2 * n + 1;
    return g->vectors ? 4 * k * k + 7 * k + most : 3 * k + MAX_OF(most, 7 * k);
}

/* Asks LAPACK how much memory it works fast with. False: too much for its integers. */
static bool plan_work(Factoring *g)
{
    struct Asks {
        double few[2], answer[2];
        int32_t integers[2];
    } asks = {{0}, {0}, {0}};
    Factoring asked = *g;
    memset(asked.at, 0, sizeof asked.at);
    asked.at[PART_WORK] = offsetof(struct Asks, answer);
    asked.at[PART_INTEGERS] = offsetof(struct Asks, integers);
    const double least = least_work(g), limit = INT32_MAX - 64;
    if (least > limit || (double)g->m * g->n > limit || run(&asked, (char *)&asks, -1, -1) != 0) return false;
    const double best = ceil(load(g, asks.answer, 0) * (g->wide ? 1 : 1 + 0x1p-22));
    g->lwork = (int32_t)(best >= least && best <= limit ? best : least);
    g->liwork = g->symmetric ? (g->vectors ? 3 + 5 * g->n : 1) : 8 * g->k;
    return true;
}

static void plan_memory(Factoring *g)
{
    const bool both = !g->symmetric && g->vectors;
    const size_t m = (size_t)g->m, n = (size_t)g->n, e = element(g);
    const size_t bytes[PARTS] = {m * n * e, (size_t)g->k * e, both ? m * (size_t)g->left * e : 0,
        both ? n * (size_t)g->right * e : 0, (size_t)g->lwork * e, (size_t)g->liwork * sizeof(int32_t)};
    for (int i = 0; i < PARTS; i++) {
        g->at[i] = g->bytes;
        g->bytes += (bytes[i] + BUFFER_ALIGN) / BUFFER_ALIGN * BUFFER_ALIGN;
    }
}

/* ---- results ----------------------------------------------------------------------------------------- */

/* The vector's elements lie `step` apart. Whether its sign is to be turned: the first element that is about as large as any. */
static bool turns(const Factoring *g, const void *x, int64_t n, int64_t step)
{
    double most = 0;
    for (int64_t i = 0; i < n; i++) most = fmax(most, fabs(load(g, x, i * step)));
    for (int64_t i = 0; i < n; i++)
        if (fabs(load(g, x, i * step)) >= 0.9 * most) return load(g, x, i * step) < 0;
    return false;
}

static void turn(const Factoring *g, void *x, int64_t n, int64_t step)
{
    for (int64_t i = 0; i < n; i++)
        if (g->wide)
            ((double *)x)[i * step] = -((double *)x)[i * step];
        else
            ((float *)x)[i * step] = -((float *)x)[i * step];
}

static void *at_row(const Factoring *g, void *x, int64_t row, int64_t columns)
{
    return (char *)x + (size_t)(row * columns) * element(g);
}

/* Row j of `from` is eigenvector j; in `to` they are columns. */
static void put_vectors(const Factoring *g, void *from, void *to)
{
    const int64_t n = g->n;
    for (int64_t j = 0; j < n; j++)
        if (turns(g, at_row(g, from, j, n), n, 1)) turn(g, at_row(g, from, j, n), n, 1);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            if (g->wide)
                ((double *)to)[i * n + j] = ((double *)from)[j * n + i];
            else
                ((float *)to)[i * n + j] = ((float *)from)[j * n + i];
}

static void sign_factors(const Factoring *g, void *left, void *right)
{
    for (int64_t j = 0; j < g->left; j++) {
        if (!turns(g, at_row(g, left, j, 1), g->m, g->left)) continue;
        turn(g, at_row(g, left, j, 1), g->m, g->left);
        if (j < g->k) turn(g, at_row(g, right, j, g->n), g->n, 1);
    }
    for (int64_t j = g->k; j < g->right; j++)
        if (turns(g, at_row(g, right, j, g->n), g->n, 1)) turn(g, at_row(g, right, j, g->n), g->n, 1);
}

static int64_t result_elements(const Factoring *g, int which)
{
    const int value = g->symmetric ? 0 : g->vectors ? 1 : 0;
    if (which == value) return g->k;
    return g->symmetric ? (int64_t)g->n * g->n : which == 0 ? (int64_t)g->m * g->left : (int64_t)g->n * g->right;
}

static int results(const Factoring *g) { return !g->vectors ? 1 : g->symmetric ? 2 : 3; }

static void *result_at(const Factoring *g, int which, int64_t matrix)
{
    return at_row(g, g->f->buf[which], matrix, result_elements(g, which));
}

static void put_nan(const Factoring *g, int64_t matrix)
{
    for (int r = 0; r < results(g); r++)
        for (int64_t i = 0; i < result_elements(g, r); i++)
            if (g->wide)
                ((double *)result_at(g, r, matrix))[i] = NAN;
            else
                ((float *)result_at(g, r, matrix))[i] = NAN;
}

static void put_results(const Factoring *g, char *lane, int64_t matrix)
{
    const int from[2][3] = {{PART_VALUES, PART_A, 0}, {PART_LEFT, PART_VALUES, PART_RIGHT}};
    if (g->symmetric && g->vectors) put_vectors(g, part(g, lane, PART_A), result_at(g, 1, matrix));
    if (!g->symmetric && g->vectors) sign_factors(g, part(g, lane, PART_LEFT), part(g, lane, PART_RIGHT));
    for (int r = 0; r < results(g); r++) {
        const int which = g->vectors ? from[!g->symmetric][r] : PART_VALUES;
        if (which != PART_A) memcpy(result_at(g, r, matrix), part(g, lane, which), (size_t)result_elements(g, r) * element(g));
    }
}

/* ---- all matrices ------------------------------------------------------------------------------------ */

/* Of symmetric ones the lower triangle alone counts. */
static bool all_finite(const Factoring *g, const void *x)
{
    for (int64_t i = 0; i < g->m; i++)
        for (int64_t j = 0; j < (g->symmetric ? i + 1 : g->n); j++)
            if (!isfinite(load(g, x, i * g->n + j))) return false;
    return true;
}

static void run_lanes(void *arg, int64_t lo, int64_t hi)
{
    const Factoring *g = arg;
    const size_t bytes = (size_t)g->m * (size_t)g->n * element(g);
    for (; lo < hi; lo++) {
        char *lane = g->memory + (size_t)lo * g->bytes;
        struct Trouble *t = &g->trouble[lo];
        for (int64_t i = lo * g->f->n / g->lanes; i < (lo + 1) * g->f->n / g->lanes; i++) {
            const void *x = (const char *)g->f->buf[results(g)] + (size_t)i * bytes;
            if (!all_finite(g, x)) {
                put_nan(g, i);
                continue;
            }
            memcpy(part(g, lane, PART_A), x, bytes);
            const int32_t info = run(g, lane, g->lwork, g->liwork);
            if (info == 0) put_results(g, lane, i);
            if (info != 0 && t->info == 0) *t = (struct Trouble){i, info};
        }
    }
}

static bool settled(const Factoring *g, Status *st)
{
    for (int64_t i = 0; i < g->lanes; i++) {
        const struct Trouble *t = &g->trouble[i];
        if (t->info == 0) continue;
        return status_fail(st, ST_VALUE, "%s: LAPACK's %c%s found no solution for matrix %lld of %lld, %s[%d,%d] (info %d)",
            name_of(g->f), g->wide ? 'd' : 's', g->symmetric ? "syevd" : "gesdd", (long long)t->matrix, (long long)g->f->n,
            g->wide ? "f64" : "f32", (int)g->m, (int)g->n, (int)t->info);
    }
    return true;
}

/* Of matrices without rows or columns: no values, and vectors that are the unit matrix. */
static void put_units(const Factoring *g, const HostFactor *f)
{
    for (int r = 0; r < results(g); r++) {
        const int64_t side = r == 0 ? f->rows : f->columns, each = side * side;
        if (g->symmetric || !g->vectors || !f->how || r == 1) continue;
        memset(f->buf[r], 0, (size_t)(f->n * each) * element(g));
        for (int64_t i = 0; i < f->n; i++)
            for (int64_t j = 0; j < side; j++)
                if (g->wide)
                    ((double *)f->buf[r])[i * each + j * side + j] = 1;
                else
                    ((float *)f->buf[r])[i * each + j * side + j] = 1;
    }
}

static bool run_all(ThreadPool *threads, Factoring *g, Status *st)
{
    /* work worth a thread: about 20 us */
    const double work = (double)g->f->n * g->m * g->n * (g->k + 20);
    g->lanes = !threads || work < 1e5 ? 1 : MIN_OF(g->f->n, threads_count(threads));
    const size_t most = SIZE_MAX / 2 / (size_t)g->lanes;
    if (g->bytes > most) return status_fail(st, ST_MEMORY, "%s: no memory for %zu bytes", name_of(g->f), g->bytes);
    const size_t troubles = (size_t)g->lanes * sizeof *g->trouble;
    Buffer *memory = contract_memory(threads, (size_t)g->lanes * g->bytes + troubles, &(Status){0});
    if (!memory)
        return status_fail(st, ST_MEMORY, "%s: no memory for %zu bytes of work", name_of(g->f), (size_t)g->lanes * g->bytes);
    g->memory = memory->data;
    g->trouble = (struct Trouble *)(void *)(g->memory + (size_t)g->lanes * g->bytes);
    memset(g->trouble, 0, troubles);
    contract_each(threads, run_lanes, g, g->lanes);
    const bool ok = settled(g, st);
    buffer_release(memory);
    return ok;
}

bool factor_run(ThreadPool *threads, const HostFactor *f, Status *st)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    Factoring g = {.f = f, .wide = f->type == DT_f64, .symmetric = f->op == OP_eigh || f->op == OP_eigvalsh};
    g.vectors = op_def[f->op].nout > 1;
    if (!op_by_lapack((Op)f->op)) return factor_own(threads, f, st);
    if (f->n == 0) return true;
    if (f->rows == 0 || f->columns == 0) return put_units(&g, f), true;
    pthread_once(&once, find_functions);
    if (!lapack.there)
        return status_fail(
            st, ST_UNSUPPORTED, "%s: LAPACK computes it, out of OpenBLAS, which is not there: %s", name_of(f), lapack.why);
    g.m = (int32_t)MIN_OF(f->rows, INT32_MAX), g.n = (int32_t)MIN_OF(f->columns, INT32_MAX);
    g.k = MIN_OF(g.m, g.n);
    g.left = f->how ? g.m : g.k;
    g.right = f->how ? g.n : g.k;
    if (!plan_work(&g))
        return status_fail(st, ST_UNSUPPORTED, "%s: a matrix [%lld,%lld] is too large for LAPACK's integers of 32 bits", name_of(f),
            (long long)f->rows, (long long)f->columns);
    plan_memory(&g);
    return run_all(threads, &g, st);
}
