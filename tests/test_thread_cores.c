/* On which cores the workers of a thread pool run: never on that of the caller who wakes them, where there is one for each thread, and
 * where others put them, if they did. The thread that compiles keeps off its caller's, too. */
#define _GNU_SOURCE
#include <kiln/kiln.h>

#include "sanitized.h"
#include "runtime/threads.h"
#include "failing.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What a worker meets in a job of two chunks, of which it does one. */
typedef struct Place {
    pthread_t caller, worker;
    pid_t tid; /* the worker's */
    int core;
    cpu_set_t cores;
    atomic_bool seen;
} Place;

static void look_around(void *arg, int64_t lo, int64_t hi)
{
    (void)lo, (void)hi;
    Place *at = arg;
    if (pthread_equal(at->caller, pthread_self())) {
        for (int i = 0; i < 20000 && !atomic_load(&at->seen); i++) usleep(100);
        return;
    }
    at->worker = pthread_self();
    at->tid = (pid_t)syscall(SYS_gettid);
    at->core = sched_getcpu();
    sched_getaffinity(0, sizeof at->cores, &at->cores);
    atomic_store(&at->seen, true);
}

static bool is_asleep(pid_t tid)
{
    char path[64], state = 0;
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)tid);
    FILE *f = fopen(path, "r");
    bool read = f && fscanf(f, "%*d (%*[^)]) %c", &state) == 1;
    if (f) fclose(f);
    return read && state == 'S';
}

/* Runs a job after the worker, if it is known, has gone to sleep. */
static Place wake_worker(ThreadPool *p, pid_t worker)
{
    Place at = {.caller = pthread_self()};
    for (int i = 0; worker && i < 5000 && !is_asleep(worker); i++) usleep(1000);
    threads_run(p, look_around, &at, 2, 1);
    assert_true(at.seen);
    return at;
}

/* Some two cores of those that this thread may use. */
static bool two_cores(cpu_set_t *all, size_t core[2])
{
    int count = 0;
    if (sched_getaffinity(0, sizeof *all, all) != 0) CPU_ZERO(all);
    for (size_t i = 0; i < CPU_SETSIZE && count < 2; i++)
        if (CPU_ISSET(i, all)) core[count++] = i;
    return count == 2;
}

static cpu_set_t only(size_t core)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    return set;
}

static void stay_on(cpu_set_t set) { assert_int_equal(pthread_setaffinity_np(pthread_self(), sizeof set, &set), 0); }

#define NEED_TWO_CORES(all, core) \
    do { \
        if (!two_cores(all, core)) { \
            print_message("skip: this process may use one core only\n"); \
            skip(); \
        } \
    } while (0)

static void a_woken_worker_keeps_off_the_callers_core(void **state)
{
    (void)state;
    cpu_set_t all;
    size_t core[2];
    NEED_TWO_CORES(&all, core);
    ThreadPool *p = threads_new(2);
    pid_t worker = wake_worker(p, 0).tid;
    for (int i = 0; i < 8; i++) {
        size_t mine = core[i / 2 % 2]; /* twice in a row on each */
        stay_on(only(mine));
        Place at = wake_worker(p, worker);
        cpu_set_t expected = all;
        CPU_CLR(mine, &expected);
        assert_int_not_equal(at.core, mine);
        assert_true(CPU_EQUAL(&at.cores, &expected));
    }
    stay_on(all);
    threads_free(p);
}

static void more_threads_than_cores_run_anywhere(void **state)
{
    (void)state;
    cpu_set_t all, both;
    size_t core[2];
    NEED_TWO_CORES(&all, core);
    both = only(core[0]);
    CPU_SET(core[1], &both);
    stay_on(both);
    ThreadPool *p = threads_new(3);
    Place at = wake_worker(p, 0); /* one of the two */
    for (int i = 0; i < 4; i++) {
        stay_on(only(core[i % 2]));
        at = wake_worker(p, at.tid);
        assert_true(CPU_EQUAL(&at.cores, &both));
    }
    stay_on(all);
    threads_free(p);
}

static void cores_that_others_chose_stand(void **state)
{
    (void)state;
    cpu_set_t all;
    size_t core[2];
    NEED_TWO_CORES(&all, core);
    ThreadPool *p = threads_new(2);
    stay_on(only(core[0]));
    Place at = wake_worker(p, 0);
    cpu_set_t chosen = only(core[0]); /* no set that the pool can have left */
    assert_int_equal(pthread_setaffinity_np(at.worker, sizeof chosen, &chosen), 0);
    for (int i = 0; i < 4; i++) {
        stay_on(only(core[(i + 1) % 2]));
        at = wake_worker(p, at.tid);
        assert_true(CPU_EQUAL(&at.cores, &chosen));
    }
    stay_on(all);
    threads_free(p);
}

static void twice(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_add(in[0], in[0]);
}

/* The one thread of this process beside this one. */
static pid_t the_other(void)
{
    pid_t found = 0;
    DIR *d = opendir("/proc/self/task");
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        const pid_t tid = (pid_t)atoi(e->d_name);
        if (tid == 0 || tid == getpid()) continue;
        assert_int_equal(found, 0);
        found = tid;
    }
    closedir(d);
    return found;
}

static void so_does_the_thread_that_compiles(void **state)
{
    (void)state;
    cpu_set_t all, has;
    size_t core[2];
#ifdef UNDER_TSAN
    print_message("skip: the thread sanitizer has a thread of its own, which the_other would find\n");
    skip();
#endif
    NEED_TWO_CORES(&all, core);
    kiln *k = kiln_open(&(kiln_options){.threads = 1, .compile = KILN_BACKGROUND});
    for (int i = 0; i < 6; i++) {
        KILN_SCOPE(k);
        kiln_function *f = kiln_function_new(k, twice, NULL, NULL);
        if (i > 0) stay_on(only(core[i % 2])); /* not before it has its maker's cores */
        const size_t mine = i > 0 ? core[i % 2] : CPU_SETSIZE;
        kiln_call(f, kiln_ones(k, KILN_F32, KILN_SHAPE(4)));
        assert_int_equal(sched_getaffinity(the_other(), sizeof has, &has), 0);
        if (mine < CPU_SETSIZE) {
            cpu_set_t expected = all;
            CPU_CLR(mine, &expected);
            assert_true(CPU_EQUAL(&has, &expected));
        } else {
            assert_int_equal(CPU_COUNT(&has), CPU_COUNT(&all) - 1);
        }
        kiln_function_wait(f);
        kiln_function_free(f);
    }
    stay_on(all);
    assert_int_equal(kiln_failed(k), 0);
    kiln_close(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_woken_worker_keeps_off_the_callers_core),
        TEST(more_threads_than_cores_run_anywhere),
        TEST(cores_that_others_chose_stand),
        TEST(so_does_the_thread_that_compiles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
