/* background: one compile thread per engine, and the jobs that wait for it. A job is part of what it compiles for; the thread puts
 * finished code where calls look for it and touches nothing else of a function but its counts. The newest job goes first, since it
 * is for what is being called now. Never frees an instance, never runs a body.
 *
 * The thread starts with the first job. It holds `busy` while it compiles, so that fork() waits for that and the child, which has
 * no such thread, finds every lock free; there the first call that wants code starts another. Closing the engine drops what waits
 * and waits for what is being compiled. */
#define _GNU_SOURCE
#include "background.h"

#include "../../runtime/thread_core.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct Background {
    pthread_mutex_t lock; /* of all below, and of the jobs' links */
    pthread_cond_t wanted, finished;
    CodeJob *newest;
    CodeJob *now; /* being compiled */
    pthread_t thread;
    OffCore off; /* where it runs: beside the caller, who interprets meanwhile */
    bool alive, stop;
    kiln *k;
    Background *next; /* of the process */
    pthread_mutex_t busy;
};

/* All of the process, so that fork() finds them. */
static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;
static Background *all;
static atomic_bool ending; /* the process is: nothing is compiled any longer */

/* ---- the queue; under the lock -------------------------------------------------------------------------------------- */
static void put(Background *b, CodeJob *job)
{
    job->older = b->newest;
    job->newer = NULL;
    if (b->newest) b->newest->newer = job;
    b->newest = job;
    atomic_store(&job->state, JOB_WAITS);
}

static void take(Background *b, CodeJob *job)
{
    if (job->newer)
        job->newer->older = job->older;
    else
        b->newest = job->older;
    if (job->older) job->older->newer = job->newer;
    job->newer = job->older = NULL;
}

/* ---- the thread ------------------------------------------------------------------------------------------------------- */
static void compile(kiln *k, CodeJob *job)
{
    Status st = {0};
    Code *code = job->build(job, &st);
    if (code) {
        if (!job->part) stats_compiled(job->f, code);
        atomic_store_explicit(job->to, code, memory_order_release);
    } else if (st.code) {
        stats_failed(job->f);
        log_line(k, "%s is not compiled, and %s interpreted: %s", job->f->name, job->part ? "a loop of it is" : "its calls are",
            st.text);
    }
    atomic_store(&job->state, code ? JOB_DONE : JOB_FAILED);
}

/* Takes the newest job, if one waits, and does it. */
static void work(Background *b)
{
    pthread_mutex_lock(&b->busy);
    pthread_mutex_lock(&b->lock);
    CodeJob *job = b->stop ? NULL : b->newest;
    if (job) {
        take(b, job);
        b->now = job;
        atomic_store(&job->state, JOB_RUNS);
    }
    pthread_mutex_unlock(&b->lock);
    if (job) compile(b->k, job);
    pthread_mutex_lock(&b->lock);
    b->now = NULL;
    atomic_store(&b->k->pending, true); /* what was not freed because of it can be */
    pthread_cond_broadcast(&b->finished);
    pthread_mutex_unlock(&b->lock);
    pthread_mutex_unlock(&b->busy);
}

static void *run(void *arg)
{
    Background *b = arg;
    for (;;) {
        pthread_mutex_lock(&b->lock);
        while (!b->newest && !b->stop) pthread_cond_wait(&b->wanted, &b->lock);
        const bool stop = b->stop;
        pthread_mutex_unlock(&b->lock);
        if (stop) return NULL;
        work(b);
    }
}

/* Signals are for the program's own threads. Under the lock. */
static bool awake(Background *b)
{
    sigset_t every, before;
    cpu_set_t cores;
    if (b->alive || atomic_load(&ending)) return b->alive;
    b->off = off_core(usable_cores(&cores) > 1, &cores);
    sigfillset(&every);
    pthread_sigmask(SIG_SETMASK, &every, &before);
    b->alive = pthread_create(&b->thread, NULL, run, b) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return b->alive;
}

/* ---- fork ------------------------------------------------------------------------------------------------------------- */
static void before_fork(void)
{
    pthread_mutex_lock(&all_lock);
    for (Background *b = all; b; b = b->next) {
        pthread_mutex_lock(&b->busy);
        pthread_mutex_lock(&b->lock);
    }
}

static void after_fork(bool child)
{
    for (Background *b = all; b; b = b->next) {
        if (child) {
            b->alive = false;
            pthread_cond_init(&b->wanted, NULL); /* who waited is not here */
            pthread_cond_init(&b->finished, NULL);
        }
        pthread_mutex_unlock(&b->lock);
        pthread_mutex_unlock(&b->busy);
    }
    pthread_mutex_unlock(&all_lock);
}

static void in_parent(void) { after_fork(false); }
static void in_child(void) { after_fork(true); }
static void watch_forks(void) { pthread_atfork(before_fork, in_parent, in_child); }

/* ---- the end of the process ---------------------------------------------------------------------------------------------- */

/* Under the lock. */
static void drop_all(Background *b)
{
    b->stop = true;
    for (CodeJob *job; (job = b->newest);) {
        take(b, job);
        atomic_store(&job->state, JOB_IDLE);
    }
    pthread_cond_signal(&b->wanted);
    pthread_cond_broadcast(&b->finished); /* for what was dropped */
}

/* What waits is dropped, and what is being compiled is waited for, because LLVM must not be taken down while a thread is in it.
 * Other threads may go on calling meanwhile, so nothing may be compiled after that either. */
static void settle(void *none)
{
    (void)none;
    atomic_store(&ending, true);
    pthread_mutex_lock(&all_lock);
    for (Background *b = all; b; b = b->next) {
        pthread_mutex_lock(&b->lock);
        drop_all(b);
        while (b->now) pthread_cond_wait(&b->finished, &b->lock);
        pthread_mutex_unlock(&b->lock);
    }
    pthread_mutex_unlock(&all_lock);
}

/* Handlers of atexit run too late: after the destructors of what LLVM made while it compiled. Those of a thread's own objects run
 * before, so the main thread, by whose end processes end, gets one. After fork() that is the one that called it. */
extern int __cxa_thread_atexit_impl(void (*fn)(void *), void *object, void *dso) __attribute__((weak));
extern void *__dso_handle;

static void watch_end(void)
{
    static _Thread_local bool watched;
    if (watched || getpid() != (pid_t)syscall(SYS_gettid) || !__cxa_thread_atexit_impl) return;
    watched = __cxa_thread_atexit_impl(settle, NULL, &__dso_handle) == 0;
}

/* ---- from outside -------------------------------------------------------------------------------------------------------- */
bool background_open(kiln *k)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_mutex_lock(&k->lock);
    Background *b = k->background ? NULL : mem_zeros(1, sizeof *b);
    if (!b) {
        const bool there = k->background;
        pthread_mutex_unlock(&k->lock);
        return there;
    }
    b->k = k;
    pthread_mutex_init(&b->lock, NULL);
    pthread_mutex_init(&b->busy, NULL);
    pthread_cond_init(&b->wanted, NULL);
    pthread_cond_init(&b->finished, NULL);
    pthread_once(&once, watch_forks);
    pthread_mutex_lock(&all_lock);
    b->next = all;
    all = b;
    pthread_mutex_unlock(&all_lock);
    k->background = b;
    pthread_mutex_unlock(&k->lock);
    return true;
}

void background_close(kiln *k)
{
    Background *b = k->background;
    if (!b) return;
    pthread_mutex_lock(&b->lock);
    drop_all(b);
    const bool alive = b->alive;
    pthread_mutex_unlock(&b->lock);
    if (alive) pthread_join(b->thread, NULL);
    pthread_mutex_lock(&all_lock);
    Background **link = &all;
    while (*link != b) link = &(*link)->next;
    *link = b->next;
    pthread_mutex_unlock(&all_lock);
    pthread_cond_destroy(&b->wanted);
    pthread_cond_destroy(&b->finished);
    pthread_mutex_destroy(&b->busy);
    pthread_mutex_destroy(&b->lock);
    mem_free(b, sizeof *b);
    k->background = NULL;
}

/* The lock is held for moments, and while the thread compiles it is free. */
bool background_ask(kiln *k, CodeJob *job)
{
    Background *b = k->background;
    watch_end();
    pthread_mutex_lock(&b->lock);
    const uint8_t state = atomic_load(&job->state);
    const bool ok = state == JOB_DONE || state == JOB_FAILED || (!b->stop && awake(b));
    if (ok && (state == JOB_IDLE || state == JOB_WAITS)) {
        if (state == JOB_WAITS) take(b, job);
        put(b, job);
        keep_off_callers_core(&b->off, &b->thread, 1);
        pthread_cond_signal(&b->wanted);
    }
    pthread_mutex_unlock(&b->lock);
    return ok;
}

void background_wait(kiln *k, CodeJob *job, double most)
{
    Background *b = k->background;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    const double end = (double)until.tv_nsec + 1e9 * MIN_OF(most, 1e6);
    until.tv_sec += (time_t)(end / 1e9);
    until.tv_nsec = (long)fmod(end, 1e9);
    pthread_mutex_lock(&b->lock);
    while (atomic_load(&job->state) == JOB_WAITS || b->now == job)
        if (!awake(b) || pthread_cond_clockwait(&b->finished, &b->lock, CLOCK_MONOTONIC, &until) == ETIMEDOUT) break;
    pthread_mutex_unlock(&b->lock);
}

void background_drop(kiln *k, CodeJob *job)
{
    Background *b = k->background;
    if (!b) return;
    pthread_mutex_lock(&b->lock);
    if (atomic_load(&job->state) == JOB_WAITS) take(b, job);
    while (b->now == job) pthread_cond_wait(&b->finished, &b->lock);
    if (atomic_load(&job->state) != JOB_DONE) atomic_store(&job->state, JOB_FAILED);
    pthread_mutex_unlock(&b->lock);
}

static bool belongs(const CodeJob *job, const kiln_function *f)
{
    const kiln_function *g = job->f;
    while (g && g != f) g = g->parent;
    return g;
}

static uint32_t count(const Background *b, const kiln_function *f, bool derived)
{
    uint32_t n = b->now && (derived ? belongs(b->now, f) : b->now->f == f);
    for (const CodeJob *job = b->newest; job; job = job->older) n += derived ? belongs(job, f) : job->f == f;
    return n;
}

uint32_t background_waiting(kiln *k, const kiln_function *f)
{
    Background *b = k->background;
    if (!b) return 0;
    pthread_mutex_lock(&b->lock);
    const uint32_t n = count(b, f, false);
    pthread_mutex_unlock(&b->lock);
    return n;
}

bool background_compiles(kiln *k, const kiln_function *f)
{
    Background *b = k->background;
    if (!b) return false;
    pthread_mutex_lock(&b->lock);
    const bool yes = b->now && b->now->f == f;
    pthread_mutex_unlock(&b->lock);
    return yes;
}

static bool is_compiled(kiln_function *f)
{
    bool yes = f->compile != KILN_NEVER && stats_failures(f) == 0;
    pthread_mutex_lock(&f->deriving);
    for (kiln_function *g = f->children; yes && g; g = g->sibling) yes = is_compiled(g);
    pthread_mutex_unlock(&f->deriving);
    return yes;
}

bool kiln_function_wait_at(kiln_site at, kiln_function *f)
{
    Thread *t = f ? thread_of(f->k) : thread_last();
    if (!f || !t || t->trace) {
        fail(t, at, KILN_ESTATE, "function_wait: %s", f ? "called inside a trace" : "the function is NULL");
        return false;
    }
    if (!function_alive(t, at, f)) return false;
    Background *b = f->k->background;
    if (!b) return f->compile == KILN_WAIT;
    pthread_mutex_lock(&b->lock);
    while (count(b, f, true) && awake(b)) pthread_cond_wait(&b->finished, &b->lock);
    pthread_mutex_unlock(&b->lock);
    return is_compiled(f);
}
