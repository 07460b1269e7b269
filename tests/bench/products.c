/* Products of matrices, eagerly, beside OpenBLAS's where it is there, on the same threads and in turn: medians, and Kiln's rate as a
 * multiple of the rival's. Of bf16 and i8 the rival is Kiln's own product of the same numbers in f32. A single row is a matter of reading the
 * matrix, so its rate is of the matrix's bytes, and the rival is OpenBLAS's product of matrix and vector; a batch, which OpenBLAS has
 * no call for, is split over as many threads, each with calls of its own. `products N` takes N threads in place of one, then one per
 * core; several threads want a machine that does nothing else. Exit status 1 if results differ by more than rounding. Relies on the public headers, the thread pool and bench.h. */
#include <kiln/kiln.h>

#include <math.h>

#include "bench.h"
#include "codegen/eager.h"
#include "runtime/threads.h"

enum { ROUNDS = 11, OWN = 0, RIVAL = 1 };
#define ROUND 0.015    /* seconds */
#define BUSY_WAIT 40e6 /* nanoseconds; OpenBLAS's threads ask for work that long, 2^26 ticks, before they sleep */

typedef struct Case {
    kiln_dtype type;
    int batch, m, n, k;
    bool turned; /* x @ w^T */
} Case;

static const Case cases[] = {
    {KILN_F32, 1, 64, 64, 64, false},
    {KILN_F32, 1, 128, 128, 128, false},
    {KILN_F32, 1, 256, 256, 256, false},
    {KILN_F32, 1, 512, 512, 512, false},
    {KILN_F32, 1, 1024, 1024, 1024, false},
    {KILN_F32, 1, 512, 512, 512, true},
    {KILN_F64, 1, 512, 512, 512, false},
    {KILN_BF16, 1, 512, 512, 512, false},
    {KILN_I8, 1, 512, 512, 512, false},
    {KILN_I8, 1, 1024, 1024, 1024, false},
    {KILN_F32, 1, 1, 4096, 4096, false},
    {KILN_F32, 1, 1, 4096, 4096, true},
    {KILN_F32, 1, 64, 128, 784, false},
    {KILN_F32, 1, 64, 128, 784, true},
    {KILN_F32, 512, 32, 32, 32, false},
};

typedef struct Job {
    const Case *c;
    const Openblas *blas; /* NULL: not there */
    kiln *k;
    ThreadPool *pool;
    kiln_tensor *x, *w, *f32_x, *f32_w; /* the last two are the rival's, of bf16 and i8 */
    void *to;                           /* OpenBLAS's result */
} Job;

static bool of_own(const Case *c) { return c->type == KILN_BF16 || c->type == KILN_I8; }

static kiln_tensor *own(const Case *c, kiln_tensor *x, kiln_tensor *w)
{
    if (c->turned) w = kiln_transpose(w, KILN_ALL);
    return kiln_dtype_of(x) == KILN_I8 ? kiln_matmul_to(x, w, KILN_I32) : kiln_matmul(x, w);
}

static void by_openblas(void *arg, int64_t lo, int64_t hi)
{
    const Job *j = arg;
    const Openblas *b = j->blas;
    int m = j->c->m, n = j->c->n, k = j->c->k, turned = j->c->turned ? TRANSPOSED : PLAIN, w_row = j->c->turned ? k : n;
    for (; lo < hi; lo++) {
        const void *x = (const float *)kiln_data(j->x) + lo * m * k, *w = (const float *)kiln_data(j->w) + lo * k * n;
        float *to = (float *)j->to + lo * m * n;
        if (j->c->type == KILN_F64)
            b->dgemm(ROW_MAJOR, PLAIN, turned, m, n, k, 1, x, k, w, w_row, 0, j->to, n);
        else if (m == 1)
            b->sgemv(ROW_MAJOR, j->c->turned ? PLAIN : TRANSPOSED, j->c->turned ? n : k, w_row, 1, w, w_row, x, 1, 0, to, 1);
        else
            b->sgemm(ROW_MAJOR, PLAIN, turned, m, n, k, 1, x, k, w, w_row, 0, to, n);
    }
}

static void once(Job *j, int way)
{
    KILN_SCOPE(j->k);
    if (way == OWN)
        own(j->c, j->x, j->w);
    else if (of_own(j->c))
        own(j->c, j->f32_x, j->f32_w);
    else if (j->c->batch > 1)
        threads_run(j->pool, by_openblas, j, j->c->batch, 8);
    else
        by_openblas(j, 0, 1);
}

/* Seconds of one product; the first, which wakes threads and warms caches, does not count. One thread's are its own time. */
static double timed(Job *j, int way, int count)
{
    bool alone = threads_count(j->pool) == 1;
    if (!alone) nanosleep(&(struct timespec){.tv_nsec = (long)BUSY_WAIT}, NULL);
    once(j, way);
    double start = alone ? now_here() : now();
    for (int i = 0; i < count; i++) once(j, way);
    return ((alone ? now_here() : now()) - start) / count;
}

/* Whether both ways give the same but for rounding: the operands are of size 1, and bf16 is rounded once at the end. */
static bool agree(Job *j)
{
    const Case *c = j->c;
    int64_t n = (int64_t)c->batch * c->m * c->n, apart = 0;
    kiln_tensor *result = own(c, j->x, j->w);
    const double *y = kiln_data(kiln_cast(result, KILN_F64));
    once(j, RIVAL);
    const double *z = of_own(c) ? kiln_data(kiln_cast(own(c, j->f32_x, j->f32_w), KILN_F64)) : NULL;
    for (int64_t i = 0; y && i < n; i++) {
        double other = of_own(c) ? z[i] : c->type == KILN_F64 ? ((double *)j->to)[i] : (double)((float *)j->to)[i];
        apart += !(fabs(y[i] - other) <= (of_own(c) ? fabs(other) / 256 : 0) + 1e-6 * c->k * (c->type == KILN_F64 ? 1e-9 : 1));
    }
    if (apart) printf("  DIFFERENT: %lld of %lld elements\n", (long long)apart, (long long)n);
    return y && !apart;
}

static void operands(Job *j)
{
    const Case *c = j->c;
    kiln_variable *chance = kiln_generator(j->k, 1);
    int64_t rows = c->turned ? c->n : c->k, columns = c->turned ? c->k : c->n;
    const bool whole = c->type == KILN_I8; /* of a size whose sums f32 holds exactly */
    const kiln_dtype drawn = whole ? KILN_F32 : c->type;
    const double size = whole ? 20 : 1;
    if (c->batch > 1) {
        j->x = kiln_normal(chance, drawn, KILN_SHAPE(c->batch, c->m, c->k), 0, size);
        j->w = kiln_normal(chance, drawn, KILN_SHAPE(c->batch, rows, columns), 0, size);
    } else {
        j->x = kiln_normal(chance, drawn, KILN_SHAPE(c->m, c->k), 0, size);
        j->w = kiln_normal(chance, drawn, KILN_SHAPE(rows, columns), 0, size);
    }
    j->x = kiln_cast(j->x, c->type);
    j->w = kiln_cast(j->w, c->type);
    j->f32_x = kiln_cast(j->x, KILN_F32);
    j->f32_w = kiln_cast(j->w, KILN_F32);
}

static void name(const Case *c, char *to, size_t cap)
{
    char batch[16] = "";
    if (c->batch > 1) snprintf(batch, sizeof batch, "%d,", c->batch);
    snprintf(to, cap, "%s [%s%d,%d] @ [%s%d,%d]%s", kiln_dtype_name(c->type), batch, c->m,
        c->k, batch, c->turned ? c->n : c->k, c->turned ? c->k : c->n, c->turned ? "^T" : "");
}

static bool line(Job *j)
{
    const Case *c = j->c;
    KILN_SCOPE(j->k);
    operands(j);
    j->to = calloc((size_t)c->batch * (size_t)c->m * (size_t)c->n, sizeof(double));
    int ways = j->blas || of_own(c) ? 2 : 1, count[2];
    bool fine = j->to && !kiln_failed(j->k) && (ways == 1 || agree(j));
    double spent[2][ROUNDS], rate[2], work = 2e-9 * c->batch * c->m * c->n * c->k;
    if (c->m == 1) work *= 2; /* 4 bytes for each pair of a multiplication and an addition */
    for (int way = 0; fine && way < ways; way++) count[way] = 1 + (int)(ROUND / timed(j, way, 3));
    for (int round = 0; fine && round < ROUNDS; round++)
        for (int way = 0; way < ways; way++) spent[way][round] = timed(j, way, count[way]);
    for (int way = 0; fine && way < ways; way++) rate[way] = work / median(spent[way], ROUNDS);
    free(j->to);
    if (!fine) return false;
    char text[64];
    name(c, text, sizeof text);
    printf("  %-32s Kiln %7.1f %s", text, rate[OWN], c->m == 1 ? "GB/s" : "GF/s");
    if (ways == 2) printf("   %-8s %7.1f   %.2f", of_own(c) ? "own f32" : "OpenBLAS", rate[RIVAL], rate[OWN] / rate[RIVAL]);
    printf("\n");
    fflush(stdout);
    return true;
}

static bool table(const Openblas *blas, int threads)
{
    Job j = {.blas = blas, .k = kiln_open(&(kiln_options){.threads = threads, .compile = KILN_WAIT}), .pool = threads_new(threads)};
    bool fine = j.k && j.pool;
    if (fine) {
        printf("%d thread%s\n", threads, threads == 1 ? "" : "s");
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            j.c = &cases[i];
            if (blas) blas->set_threads(j.c->batch > 1 ? 1 : threads);
            fine = line(&j) && fine;
        }
        if (kiln_failed(j.k)) printf("%s\n", kiln_error(j.k)->text);
    }
    threads_free(j.pool);
    return kiln_close(j.k) == 0 && fine;
}

int main(int argc, char **argv)
{
    int given = argc > 1 ? atoi(argv[1]) : 0;
    ThreadPool *all = threads_new(0);
    int cores = all ? threads_count(all) : 1;
    threads_free(all);
    printf("Kiln %s, %s, %d core%s, eager %s\n", kiln_version(), processor(), cores, cores == 1 ? "" : "s", eager_tier());
    const Openblas *blas = openblas();
    if (blas) printf("%s, its kernels those for %s\n", blas->config(), blas->core());
    if (given > 0) return !table(blas, given);
    bool fine = table(blas, 1);
    return !((cores == 1 || table(blas, cores)) && fine);
}
