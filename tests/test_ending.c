/* ending: a program may return from main without closing its engine, whatever is being compiled then. */
#include "front.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sanitized.h"
#include "waves.h"

/* In a process of its own, so many times. */
static void ends_well(void (*end)(unsigned round), unsigned rounds)
{
    for (unsigned round = 0; round < rounds; round++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) end(round);
        int status = -1;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
}

static void end_after(unsigned round)
{
    alarm(60);
    if (!freopen("/dev/null", "w", stdout)) _exit(2); /* the runner's lines, which exit would write a second time */
    kiln *k = kiln_open(&(kiln_options){.compile = KILN_BACKGROUND, .threads = 2});
    for (int i = 0; i < 6; i++) kiln_call(waves_new(k, i), kiln_f32(k, KILN_SHAPE(2), 0.5, 1));
    usleep(1500 * round);
    exit(0);
}

static void ends_without_closing(void **state)
{
    (void)state;
#ifdef UNDER_TSAN
    print_message("skip: the thread sanitizer allows no new threads after a fork\n");
    skip();
#endif
    ends_well(end_after, 20);
}

static void *goes_on(void *k)
{
    for (int i = 0;; i++) {
        KILN_SCOPE(k);
        kiln_function *f = waves_new(k, i);
        kiln_call(f, kiln_f32(k, KILN_SHAPE(2), 0.5, 1));
        kiln_function_wait(f);
    }
    return NULL;
}

static void linger(void)
{
    usleep(30000);
}

/* Another thread goes on calling. */
static void end_meanwhile(unsigned round)
{
    (void)round;
    pthread_t id;
    alarm(60);
    if (!freopen("/dev/null", "w", stdout)) _exit(2);
    atexit(linger); /* it will run when LLVM has been taken down, since that is loaded later */
    kiln *k = kiln_open(&(kiln_options){.compile = KILN_BACKGROUND, .threads = 1});
    kiln_function *f = waves_new(k, 1);
    kiln_call(f, kiln_f32(k, KILN_SHAPE(2), 0.5, 1));
    kiln_function_wait(f);
    if (pthread_create(&id, NULL, goes_on, k) == 0) usleep(20000);
    exit(0);
}

static void nothing_is_compiled_while_it_ends(void **state)
{
    (void)state;
    LATE_SKIP("the devices of tests end with the process, too");
#ifdef UNDER_TSAN
    print_message("skip: the thread sanitizer allows no new threads after a fork\n");
    skip();
#endif
    ends_well(end_meanwhile, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(ends_without_closing), cmocka_unit_test(nothing_is_compiled_while_it_ends)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
