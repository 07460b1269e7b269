/* roof: see roof.h. Memory is read, and copied; whichever moves more bytes counts. Each measurement is the best of several rounds,
 * since others only ever take time away. */
#include "roof.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "../../codegen/contract/contract.h"

const size_t roof_bytes[ROOF_SIZES] = {(size_t)32 << 10, (size_t)512 << 10, (size_t)8 << 20, (size_t)128 << 20};

enum { ROUNDS = 5, SIDE = 192 };

static bool no_memory(Status *st, size_t bytes)
{
    return status_fail(st, ST_MEMORY, "profile: no memory for %zu bytes to measure the machine with", bytes);
}

/* ---- moving ------------------------------------------------------------------------------------------------------------ */
typedef struct Move {
    char *at;
    size_t each, times; /* bytes of a thread's share, gone through so often */
    bool copies;        /* the share's first half to its second */
} Move;

typedef int64_t Words __attribute__((vector_size(64), may_alias));

static void move_share(void *arg, int64_t lo, int64_t hi)
{
    const Move *m = arg;
    for (int64_t share = lo; share < hi; share++)
        for (size_t n = 0; n < m->times; n++) {
            char *at = m->at + (size_t)share * m->each;
            Words sum[4] = {{0}};
            if (m->copies) memcpy(at + m->each / 2, at, m->each / 2);
            for (size_t i = 0; !m->copies && i < m->each; i += sizeof sum)
                for (int j = 0; j < 4; j++) sum[j] ^= ((const Words *)(const void *)(at + i))[j];
            sum[0] ^= sum[1] ^ sum[2] ^ sum[3];
            __asm__ volatile("" : : "g"(&sum), "g"(at) : "memory"); /* as if somebody looked */
        }
}

static double best_move(ThreadPool *threads, char *at, size_t bytes, int shares, bool copies)
{
    const size_t times = MAX_OF(((size_t)4 << 20) / bytes, 1);
    Move m = {.at = at, .each = bytes / (size_t)shares / 512 * 512, .times = times, .copies = copies};
    const double moved = (double)m.each * (double)shares * (double)times;
    double best = 0;
    for (int i = 0; i < ROUNDS && m.each != 0; i++) {
        const double start = clock_seconds();
        threads_run(threads, move_share, &m, shares, 1);
        best = MAX_OF(best, moved / MAX_OF(clock_seconds() - start, 1e-9));
    }
    return best;
}

static bool measure_moves(ThreadPool *threads, Roof *r, Status *st)
{
    const size_t most = roof_bytes[ROOF_SIZES - 1];
    char *at = large_alloc(most);
    if (!at) return no_memory(st, most);
    memset(at, 1, most);
    for (int i = 0; i < ROOF_SIZES; i++)
        for (int way = 0; way < 4; way++) {
            const double rate = best_move(threads, at, roof_bytes[i], way & 1 ? r->threads : 1, way & 2);
            r->move[i] = MAX_OF(r->move[i], rate);
        }
    large_free(at, most);
    return true;
}

/* ---- computing --------------------------------------------------------------------------------------------------------- */
typedef struct Multiply {
    DType type;
    char *at;
    size_t each;
    atomic_bool refused;
} Multiply;

/* Each share is a product of its own, of one thread. */
static void multiply_share(void *arg, int64_t lo, int64_t hi)
{
    Multiply *m = arg;
    const size_t bytes = SIDE * SIDE * dtype_bytes(m->type);
    for (int64_t share = lo; share < hi; share++) {
        char *at = m->at + (size_t)share * m->each;
        const HostContract c = {.type = m->type,
            .to = m->type,
            .m = SIDE,
            .n = SIDE,
            .k = SIDE,
            .a = at,
            .b = at + bytes,
            .c = at + 2 * bytes,
            .a_row = SIDE,
            .a_col = 1,
            .b_row = SIDE,
            .b_col = 1};
        if (!contract_run(NULL, &c, false, &(Status){0})) atomic_store(&m->refused, true);
    }
}

static bool measure_products(ThreadPool *threads, Roof *r, DType type, double *to, Status *st)
{
    const size_t each = 3 * SIDE * SIDE * dtype_bytes(type), most = each * (size_t)r->threads;
    const double flops = 2.0 * SIDE * SIDE * SIDE;
    Multiply m = {.type = type, .at = large_alloc(most), .each = each};
    if (!m.at) return no_memory(st, most);
    memset(m.at, 0, most);
    for (int i = 0; i < 2 * ROUNDS; i++)
        for (int shares = 1; shares <= r->threads; shares += MAX_OF(r->threads - 1, 1)) {
            const double start = clock_seconds();
            threads_run(threads, multiply_share, &m, shares, 1);
            *to = MAX_OF(*to, flops * shares / MAX_OF(clock_seconds() - start, 1e-9));
        }
    large_free(m.at, most);
    return !m.refused || no_memory(st, most);
}

static bool measure(int threads, Roof *r, Status *st)
{
    ThreadPool *own = threads_new(threads);
    if (!own) return status_fail(st, ST_MEMORY, "profile: no memory for threads to measure the machine with");
    *r = (Roof){.threads = threads_count(own)};
    const bool ok =
        measure_moves(own, r, st) && measure_products(own, r, DT_f32, &r->f32, st) && measure_products(own, r, DT_f64, &r->f64, st);
    threads_free(own);
    return ok;
}

bool roof_measure(int threads, Roof *out, Status *st)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static Roof kept; /* of the latest number of threads that was asked for; 0: none */
    pthread_mutex_lock(&lock);
    Roof r;
    const bool ok = kept.threads == threads || measure(threads, &r, st);
    if (ok && kept.threads != threads) kept = r;
    *out = kept;
    pthread_mutex_unlock(&lock);
    return ok;
}

bool roof_of_device(const Device *d, Roof *out, Status *st)
{
    *out = (Roof){.device = d->name};
    for (int i = 0; i < ROOF_SIZES; i++)
        if (!d->moves(d, roof_bytes[i] / 2, &out->move[i], st)) return false;
    return true;
}

double roof_rate(const Roof *r, double bytes)
{
    int i = 0;
    while (i + 1 < ROOF_SIZES && bytes > 4 * (double)roof_bytes[i]) i++; /* sizes lie 16 times apart */
    return r->move[i];
}
