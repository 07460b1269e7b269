/* ending: a program may return from main without closing its engine, whatever is being compiled then. */
#include "front.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sanitized.h"
#include "waves.h"

static void end_after(unsigned microseconds)
{
    alarm(60);
    if (!freopen("/dev/null", "w", stdout)) _exit(2); /* the runner's lines, which exit would write a second time */
    kiln *k = kiln_open(&(kiln_options){.compile = KILN_BACKGROUND, .threads = 2});
    for (int i = 0; i < 6; i++) kiln_call(waves_new(k, i), kiln_f32(k, KILN_SHAPE(2), 0.5, 1));
    usleep(microseconds);
    exit(0);
}

static void ends_without_closing(void **state)
{
    (void)state;
#ifdef UNDER_TSAN
    print_message("skip: the thread sanitizer allows no new threads after a fork\n");
    skip();
#endif
    for (unsigned round = 0; round < 20; round++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) end_after(1500 * round);
        int status = -1;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(ends_without_closing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
