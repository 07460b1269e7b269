/* threads: parallel-for over chunks. Relies on base.h, POSIX threads and the Linux futex. Never waits for a worker that has not
 * begun: the caller does the work itself meanwhile, and waits only for workers that joined.
 *
 * There is one job at a time. `gate` holds the open bit and the number of workers inside. The caller writes the job, opens the gate
 * and raises `epoch` to call the workers; they join while it is open and take chunks, of their own share first. When no chunk is
 * left the caller shuts the gate and waits until the last worker inside has left. A late worker finds the gate shut, or open for
 * the next job, which it then joins.
 *
 * Workers that are woken keep off the core of their caller. After fork() the child has no workers; there the caller does all
 * chunks. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "threads.h"

#include "thread_core.h"

#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MOST_THREADS 1024
/* Of one wait: threads that share a product finish some 0.1 ms apart, and a core that sleeps takes longer than that to wake. */
#define SPIN_NS 500000
#define KEEP_BYTES ((size_t)64 << 20)
#define OPEN ((uint32_t)1 << 31)
#define PARKED ((uint32_t)1 << 30) /* the caller sleeps until the last worker leaves */
#define INSIDE (PARKED - 1)

/* The chunks of a job that one thread takes first. What lies side by side in the memory of one job often does in that of the next:
 * who made it then finds it in its own core's cache. */
typedef struct Share {
    _Alignas(64) atomic_uint_fast64_t next;
    uint64_t end;
    ThreadPool *pool;
} Share;

struct ThreadPool {
    int count;   /* the caller included */
    int room;    /* threads asked for */
    bool spin;   /* whether there is a core for each thread */
    OffCore off; /* where workers run */
    ParallelFor hook;
    void *hook_user;
    BufferPool *memory;
    atomic_bool stop;
    atomic_flag busy;
    /* The job: written while the gate is shut and empty. */
    ChunkFn fn;
    void *arg;
    int64_t n, grain;
    int shares; /* into which its chunks are cut */
    _Alignas(64) atomic_uint gate;
    _Alignas(64) atomic_uint epoch;
    atomic_uint sleepers;
    pthread_t *worker; /* count - 1 */
    Share share[];     /* of each thread, the caller's first */
};

static size_t pool_bytes(int threads) { return sizeof(ThreadPool) + (size_t)threads * (sizeof(Share) + sizeof(pthread_t)); }

/* ---- waiting --------------------------------------------------------------------------------- */

static void futex_wait(atomic_uint *word, uint32_t expected)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0);
}

static void futex_wake(atomic_uint *word, int how_many) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, how_many, NULL, NULL, 0); }

static void breathe(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Spins until (word & mask) differs from value, for a while. Returns whether it does. */
static bool spin_while(const ThreadPool *p, const atomic_uint *word, uint32_t mask, uint32_t value)
{
    if (!p->spin) return (atomic_load_explicit(word, memory_order_acquire) & mask) != value;
    int64_t until = now_ns() + SPIN_NS;
    do {
        for (int i = 0; i < 32; i++) {
            if ((atomic_load_explicit(word, memory_order_acquire) & mask) != value) return true;
            breathe();
        }
    } while (now_ns() < until);
    return false;
}

/* ---- workers --------------------------------------------------------------------------------- */

static void do_chunk(ChunkFn fn, void *arg, int64_t n, int64_t grain, int64_t index)
{
    int64_t lo = index * grain;
    fn(arg, lo, grain < n - lo ? lo + grain : n);
}

/* Those of the thread's own share, then what the others have left of theirs. */
static void do_chunks(ThreadPool *p, int thread)
{
    ChunkFn fn = p->fn;
    void *arg = p->arg;
    int64_t n = p->n, grain = p->grain;
    const int shares = p->shares;
    for (int i = 0; i < shares; i++) {
        Share *s = &p->share[(thread + i) % shares];
        while (atomic_load_explicit(&s->next, memory_order_relaxed) < s->end) {
            const uint64_t c = atomic_fetch_add_explicit(&s->next, 1, memory_order_relaxed);
            if (c < s->end) do_chunk(fn, arg, n, grain, (int64_t)c);
        }
    }
}

static void help(ThreadPool *p, int thread)
{
    uint32_t gate = atomic_load_explicit(&p->gate, memory_order_relaxed);
    do {
        if ((gate & OPEN) == 0) return;
    } while (!atomic_compare_exchange_weak_explicit(&p->gate, &gate, gate + 1, memory_order_acquire, memory_order_relaxed));
    do_chunks(p, thread);
    gate = atomic_fetch_sub_explicit(&p->gate, 1, memory_order_release);
    if (gate == (PARKED | 1)) futex_wake(&p->gate, 1);
}

static void await_epoch(ThreadPool *p, uint32_t seen)
{
    if (spin_while(p, &p->epoch, UINT32_MAX, seen)) return;
    /* The worker announces its sleep before the kernel compares `epoch`; the caller raises `epoch` before it looks for sleepers,
     * and so misses none. */
    atomic_fetch_add(&p->sleepers, 1);
    while (atomic_load(&p->epoch) == seen) futex_wait(&p->epoch, seen);
    atomic_fetch_sub(&p->sleepers, 1);
}

static void *work(void *arg)
{
    const Share *own = arg;
    ThreadPool *p = own->pool;
    const int thread = (int)(own - p->share);
    for (uint32_t seen = 0;;) {
        await_epoch(p, seen);
        seen = atomic_load(&p->epoch);
        if (atomic_load(&p->stop)) return NULL;
        help(p, thread);
    }
}

static void call_workers(ThreadPool *p, uint64_t useful)
{
    atomic_fetch_add(&p->epoch, 1);
    uint64_t sleepers = atomic_load(&p->sleepers);
    if (sleepers == 0) return;
    keep_off_callers_core(&p->off, p->worker, p->count - 1);
    futex_wake(&p->epoch, (int)MIN_OF(sleepers, useful));
}

/* ---- the pool -------------------------------------------------------------------------------- */

/* Signals belong to the program's own threads. */
static void start_workers(ThreadPool *p, int threads)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    while (p->count < threads && pthread_create(&p->worker[p->count - 1], NULL, work, &p->share[p->count]) == 0) p->count++;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

ThreadPool *threads_new(int threads)
{
    cpu_set_t set;
    int cores = usable_cores(&set);
    if (threads <= 0) threads = cores;
    threads = MIN_OF(threads, MOST_THREADS);
    ThreadPool *p = mem_alloc_aligned(pool_bytes(threads), _Alignof(ThreadPool));
    if (!p) return NULL;
    memset(p, 0, pool_bytes(threads));
    atomic_flag_clear(&p->busy);
    p->count = 1;
    p->room = threads;
    p->worker = (pthread_t *)(void *)(p->share + threads);
    for (int i = 0; i < threads; i++) p->share[i].pool = p;
    p->spin = threads <= cores;
    p->off = off_core(p->spin, &set);
    p->memory = pool_new(KEEP_BYTES);
    if (!p->memory) {
        mem_free_aligned(p, pool_bytes(threads), _Alignof(ThreadPool));
        return NULL;
    }
    start_workers(p, threads);
    return p;
}

void threads_free(ThreadPool *p)
{
    if (!p) return;
    atomic_store(&p->stop, true);
    call_workers(p, MOST_THREADS);
    for (int i = 0; i < p->count - 1 && p->off.maker == getpid(); i++) pthread_join(p->worker[i], NULL);
    pool_free(p->memory);
    mem_free_aligned(p, pool_bytes(p->room), _Alignof(ThreadPool));
}

int threads_count(const ThreadPool *p) { return p->count; }

BufferPool *threads_memory(ThreadPool *p) { return p->memory; }

void threads_set_hook(ThreadPool *p, ParallelFor hook, void *user)
{
    p->hook = hook;
    p->hook_user = user;
}

/* ---- running --------------------------------------------------------------------------------- */

static void await_workers(ThreadPool *p)
{
    uint32_t inside = atomic_fetch_and_explicit(&p->gate, ~OPEN, memory_order_acquire) & INSIDE;
    while (inside != 0) {
        if (spin_while(p, &p->gate, INSIDE, inside)) {
            inside = atomic_load_explicit(&p->gate, memory_order_acquire);
        } else if (atomic_compare_exchange_strong(&p->gate, &inside, inside | PARKED)) {
            futex_wait(&p->gate, inside | PARKED);
            inside = atomic_fetch_and_explicit(&p->gate, ~PARKED, memory_order_acquire) & INSIDE;
        }
    }
}

static void run_parallel(ThreadPool *p, ChunkFn fn, void *arg, int64_t n, int64_t grain, uint64_t chunks)
{
    p->fn = fn;
    p->arg = arg;
    p->n = n;
    p->grain = grain;
    p->shares = (int)MIN_OF((uint64_t)p->count, chunks);
    const uint64_t each = chunks / (uint64_t)p->shares, more = chunks % (uint64_t)p->shares;
    uint64_t first = 0;
    for (int i = 0; i < p->shares; i++, first = p->share[i - 1].end) {
        p->share[i].end = first + each + ((uint64_t)i < more);
        atomic_store_explicit(&p->share[i].next, first, memory_order_relaxed);
    }
    atomic_store_explicit(&p->gate, OPEN, memory_order_release);
    call_workers(p, chunks - 1);
    do_chunks(p, 0);
    await_workers(p);
}

typedef struct HookJob {
    ChunkFn fn;
    void *arg;
    int64_t n, grain;
} HookJob;

static void hook_task(void *arg, int64_t index)
{
    const HookJob *job = arg;
    do_chunk(job->fn, job->arg, job->n, job->grain, index);
}

void threads_run(ThreadPool *p, ChunkFn fn, void *arg, int64_t n, int64_t grain)
{
    if (n <= 0) return;
    if (grain < 1) grain = 1;
    int64_t chunks = (n - 1) / grain + 1;
    bool alone = chunks == 1 || (p->count == 1 && !p->hook);
    if (alone || atomic_flag_test_and_set_explicit(&p->busy, memory_order_acquire)) {
        for (int64_t i = 0; i < chunks; i++) do_chunk(fn, arg, n, grain, i);
        return;
    }
    if (p->hook)
        p->hook(p->hook_user, hook_task, &(HookJob){fn, arg, n, grain}, chunks);
    else
        run_parallel(p, fn, arg, n, grain, (uint64_t)chunks);
    atomic_flag_clear_explicit(&p->busy, memory_order_release);
}
