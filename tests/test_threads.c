/* The thread pool: every index once, whoever calls, nested, busy, hooked, forked, and without
 * memory. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "runtime/threads.h"
#include "failing.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sanitized.h"

/* Plain, not atomic: two threads on one index would be a race that the thread sanitizer sees. */
typedef struct Cover {
    int32_t *seen;
    int64_t n, grain;
    atomic_int_fast64_t chunks, wrong;
} Cover;

static void cover(void *arg, int64_t lo, int64_t hi)
{
    Cover *c = arg;
    int64_t expected = MIN_OF(c->grain, c->n - lo);
    if (lo < 0 || lo % c->grain != 0 || hi - lo != expected) atomic_fetch_add(&c->wrong, 1);
    for (int64_t i = lo; i < hi; i++) c->seen[i]++;
    atomic_fetch_add(&c->chunks, 1);
}

static void check_cover(ThreadPool *p, int64_t n, int64_t grain)
{
    Cover c = {.seen = mem_zeros((size_t)n, sizeof(int32_t)), .n = n, .grain = grain};
    for (int run = 1; run <= 3; run++) {
        threads_run(p, cover, &c, n, grain);
        for (int64_t i = 0; i < n; i++) assert_int_equal(c.seen[i], run);
        assert_int_equal(c.chunks, run * ((n + grain - 1) / grain));
    }
    assert_int_equal(c.wrong, 0);
    mem_free(c.seen, (size_t)n * sizeof(int32_t));
}

static void every_index_once(void **state)
{
    (void)state;
    static const int64_t sizes[] = {0, 1, 2, 7, 64, 65, 1000, 4099}, grains[] = {1, 2, 7, 64, 5000};
    for (int threads = 1; threads <= 5; threads++) {
        ThreadPool *p = threads_new(threads);
        assert_int_equal(threads_count(p), threads);
        for (size_t i = 0; i < COUNT_OF(sizes); i++)
            for (size_t j = 0; j < COUNT_OF(grains); j++) check_cover(p, sizes[i], grains[j]);
        threads_free(p);
    }
}

static void count_calls(void *arg, int64_t lo, int64_t hi) { atomic_fetch_add((atomic_int_fast64_t *)arg, hi - lo); }

/* Short jobs one upon the other: a late worker must not take a chunk of a job that is over. Pauses
 * let workers park. */
static void jobs_follow_each_other(void **state)
{
    (void)state;
    for (int threads = 2; threads <= 4; threads++) {
        ThreadPool *p = threads_new(threads);
        for (int i = 0; i < 3000; i++) {
            atomic_int_fast64_t calls = 0;
            threads_run(p, count_calls, &calls, 1 + i % 9, 1);
            assert_int_equal(calls, 1 + i % 9);
            if (i % 300 == 0) usleep(1000);
        }
        threads_free(p);
    }
}

typedef struct Meeting {
    atomic_int here;
    int wanted;
    atomic_bool stopped; /* a chunk gave up waiting */
} Meeting;

static void meet(void *arg, int64_t lo, int64_t hi)
{
    (void)lo, (void)hi;
    Meeting *m = arg;
    atomic_fetch_add(&m->here, 1);
    for (int i = 0; atomic_load(&m->here) < m->wanted; i++) {
        if (i == 20000) atomic_store(&m->stopped, true);
        if (atomic_load(&m->stopped)) return;
        usleep(100);
    }
}

/* As many chunks as threads, each waiting for the others: ends only if all threads work, awake or
 * parked before. */
static void all_threads_work(void **state)
{
    (void)state;
    ThreadPool *p = threads_new(4);
    for (int i = 0; i < 20; i++) {
        Meeting m = {.wanted = 4};
        threads_run(p, meet, &m, 4, 1);
        assert_false(m.stopped);
        if (i % 2 == 0) usleep(500);
    }
    threads_free(p);
}

typedef struct Shares {
    Meeting all;
    atomic_int at[4]; /* the chunks that threads began with */
    atomic_int done;
} Shares;

/* The first chunk of a thread waits for those of the others; chunk 0 then waits for all other chunks. */
static void note_first(void *arg, int64_t lo, int64_t hi)
{
    static _Thread_local const Shares *seen;
    Shares *s = arg;
    (void)hi;
    if (seen != s) {
        seen = s;
        atomic_fetch_add(&s->at[lo / 10], lo % 10 == 0 ? 1 : 100);
        meet(&s->all, lo, hi);
    }
    for (int i = 0; lo == 0 && atomic_load(&s->done) < 39 && i < 20000; i++) usleep(100);
    if (lo == 0 && atomic_load(&s->done) < 39) atomic_store(&s->all.stopped, true);
    atomic_fetch_add(&s->done, 1);
}

/* Each thread begins with a part of the job of its own, the caller with the first; who is done takes what others have left. */
static void each_begins_with_its_share(void **state)
{
    (void)state;
    ThreadPool *p = threads_new(4);
    Shares s = {.all = {.wanted = 4}};
    threads_run(p, note_first, &s, 40, 1);
    assert_false(s.all.stopped);
    for (int i = 0; i < 4; i++) assert_int_equal(s.at[i], 1);
    assert_int_equal(s.done, 40);
    threads_free(p);
}

/* ---- runs that are serial -------------------------------------------------------------------- */

typedef struct Order {
    pthread_t thread;
    int64_t next;
    bool wrong;
} Order;

static void in_order(void *arg, int64_t lo, int64_t hi)
{
    Order *o = arg;
    if (lo != o->next || !pthread_equal(o->thread, pthread_self())) o->wrong = true;
    o->next = hi;
}

static bool runs_serially(ThreadPool *p, int64_t n, int64_t grain)
{
    Order o = {.thread = pthread_self()};
    threads_run(p, in_order, &o, n, grain);
    return !o.wrong && o.next == n;
}

typedef struct Nest {
    ThreadPool *pool;
    atomic_int wrong;
} Nest;

static void nest(void *arg, int64_t lo, int64_t hi)
{
    Nest *n = arg;
    if (hi != lo + 1 || !runs_serially(n->pool, 100, 7)) atomic_fetch_add(&n->wrong, 1);
}

static void nested_runs_are_serial(void **state)
{
    (void)state;
    Nest n = {.pool = threads_new(3)};
    threads_run(n.pool, nest, &n, 50, 1);
    assert_int_equal(n.wrong, 0);
    threads_free(n.pool);
}

static void small_runs_are_serial(void **state)
{
    (void)state;
    ThreadPool *p = threads_new(3), *alone = threads_new(1);
    assert_true(runs_serially(p, 64, 64));
    assert_true(runs_serially(p, 10, INT64_MAX));
    assert_true(runs_serially(alone, 1000, 3));
    threads_run(p, in_order, NULL, 0, 4);
    threads_run(p, in_order, NULL, -5, 4);
    threads_free(p);
    threads_free(alone);
    threads_free(NULL);
}

typedef struct Busy {
    ThreadPool *pool;
    atomic_bool inside, leave;
} Busy;

static void occupy(void *arg, int64_t lo, int64_t hi)
{
    (void)lo, (void)hi;
    Busy *b = arg;
    atomic_store(&b->inside, true);
    while (!atomic_load(&b->leave)) usleep(100);
}

static void *run_occupied(void *arg)
{
    Busy *b = arg;
    threads_run(b->pool, occupy, b, 2, 1);
    return NULL;
}

static void a_busy_pool_runs_here(void **state)
{
    (void)state;
    Busy b = {.pool = threads_new(2)};
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, run_occupied, &b), 0);
    while (!atomic_load(&b.inside)) usleep(100);
    assert_true(runs_serially(b.pool, 100, 9));
    atomic_store(&b.leave, true);
    pthread_join(t, NULL);
    check_cover(b.pool, 1000, 10);
    threads_free(b.pool);
}

static void *run_often(void *arg)
{
    Busy *b = arg;
    for (int i = 0; i < 1000; i++) {
        atomic_int_fast64_t calls = 0;
        threads_run(b->pool, count_calls, &calls, 40, 3);
        if (calls != 40) atomic_store(&b->leave, true);
    }
    return NULL;
}

static void callers_share_the_pool(void **state)
{
    (void)state;
    Busy b = {.pool = threads_new(3)};
    pthread_t t[3];
    for (int i = 0; i < 3; i++) assert_int_equal(pthread_create(&t[i], NULL, run_often, &b), 0);
    for (int i = 0; i < 3; i++) pthread_join(t[i], NULL);
    assert_false(b.leave);
    threads_free(b.pool);
}

/* ---- the world around ------------------------------------------------------------------------ */

static void backwards(void *user, void (*task)(void *arg, int64_t index), void *arg, int64_t tasks)
{
    *(int64_t *)user += tasks;
    while (tasks-- > 0) task(arg, tasks);
}

static void a_hook_takes_over(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 2; threads++) {
        int64_t tasks = 0;
        Nest n = {.pool = threads_new(threads)};
        threads_set_hook(n.pool, backwards, &tasks);
        check_cover(n.pool, 100, 7);
        assert_int_equal(tasks, 3 * 15);
        check_cover(n.pool, 7, 7);
        assert_int_equal(tasks, 3 * 15); /* a single chunk needs no hook */
        threads_run(n.pool, nest, &n, 5, 1);
        assert_int_equal(n.wrong, 0);
        assert_int_equal(tasks, 3 * 15 + 5);
        threads_set_hook(n.pool, NULL, NULL);
        check_cover(n.pool, 100, 7);
        assert_int_equal(tasks, 3 * 15 + 5);
        threads_free(n.pool);
    }
}

static void zero_means_usable_cores(void **state)
{
    (void)state;
    ThreadPool *p = threads_new(0);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    assert_in_range(threads_count(p), 1, online);
    check_cover(p, 1000, 3);
    threads_free(p);
}

static void no_memory_no_pool(void **state)
{
    (void)state;
    memory_fail_at(1, false);
    assert_null(threads_new(3));
    ThreadPool *p = threads_new(3);
    assert_non_null(p);
    memory_fail_at(1, true); /* running takes none */
    atomic_int_fast64_t calls = 0;
    threads_run(p, count_calls, &calls, 100, 1);
    assert_int_equal(calls, 100);
    memory_fail_at(0, false);
    threads_free(p);
}

static atomic_int wrong_thread, open_mask;
static pthread_t signal_thread;
static _Thread_local volatile sig_atomic_t in_pool;

/* Asks for the pool's threads alone: a library that the program loads may have others, which block nothing. */
static void on_signal(int number)
{
    (void)number;
    if (in_pool) atomic_fetch_add(&wrong_thread, 1);
}

static void signal_process(void *arg, int64_t lo, int64_t hi)
{
    (void)arg, (void)lo, (void)hi;
    if (!pthread_equal(pthread_self(), signal_thread)) {
        sigset_t mask;
        in_pool = 1;
        pthread_sigmask(SIG_BLOCK, NULL, &mask);
        if (!sigismember(&mask, SIGUSR1) || !sigismember(&mask, SIGINT) || !sigismember(&mask, SIGCHLD))
            atomic_fetch_add(&open_mask, 1);
    }
    kill(getpid(), SIGUSR1);
    usleep(100); /* so that workers get chunks, too */
}

static void signals_are_left_to_the_program(void **state)
{
    (void)state;
    signal_thread = pthread_self();
    void (*old)(int) = signal(SIGUSR1, on_signal);
    ThreadPool *p = threads_new(3);
    threads_run(p, signal_process, NULL, 100, 1);
    threads_free(p);
    signal(SIGUSR1, old);
    assert_int_equal(open_mask, 0);
    assert_int_equal(wrong_thread, 0);
}

static int in_child(ThreadPool *p)
{
    cpu_set_t before, after;
    atomic_int_fast64_t calls = 0;
    sched_getaffinity(0, sizeof before, &before);
    for (int i = 0; i < 100; i++) threads_run(p, count_calls, &calls, 10, 1);
    sched_getaffinity(0, sizeof after, &after);
    if (!CPU_EQUAL(&before, &after)) return 3;
    threads_free(p);
    p = threads_new(2);
    if (p == NULL) return 1;
    threads_run(p, count_calls, &calls, 10, 1);
    threads_free(p);
    return calls == 1010 ? 0 : 2;
}

/* The child has no workers; the pool still does what it is told, and a new one has workers again.
 */
static void a_fork_goes_on(void **state)
{
    (void)state;
#ifdef UNDER_TSAN
    print_message("skip: the thread sanitizer allows no new threads after a fork\n");
    skip();
#endif
    for (int round = 0; round < 10; round++) {
        ThreadPool *p = threads_new(2 + round / 4 % 2); /* on two cores, as many and more */
        atomic_int_fast64_t calls = 0;
        if (round / 2 % 2 == 0) threads_run(p, count_calls, &calls, 10, 1);
        if (round % 2 != 0) usleep(2000); /* fork while workers spin, and while they are parked */
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            alarm(20);
            _exit(in_child(p));
        }
        int status = -1;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        check_cover(p, 100, 3);
        threads_free(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_index_once),
        TEST(jobs_follow_each_other),
        TEST(all_threads_work),
        TEST(each_begins_with_its_share),
        TEST(nested_runs_are_serial),
        TEST(small_runs_are_serial),
        TEST(a_busy_pool_runs_here),
        TEST(callers_share_the_pool),
        TEST(a_hook_takes_over),
        TEST(zero_means_usable_cores),
        TEST(no_memory_no_pool),
        TEST(signals_are_left_to_the_program),
        TEST(a_fork_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
