/* ending: a program may return from main without closing its engine, whatever is being compiled then. */
#include "front.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN
#endif
#endif

/* Enough operations that compiling takes a while; user: a number that makes functions differ. */
static void waves(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_variable *x = kiln_local(k, in[0]);
    for (int i = 0; i < 12; i++) kiln_assign(x, kiln_add(kiln_sin(kiln_value(x)), kiln_tanh(kiln_mul(kiln_value(x), 0.25 * i))));
    KILN_FOR(k, i, 3) kiln_assign(x, kiln_mul(kiln_value(x), kiln_cos(kiln_value(x))));
    out[0] = kiln_add(kiln_value(x), (double)(intptr_t)user);
}

static void end_after(unsigned microseconds)
{
    alarm(60);
    if (!freopen("/dev/null", "w", stdout)) _exit(2); /* the runner's lines, which exit would write a second time */
    kiln *k = kiln_open(&(kiln_options){.compile = KILN_BACKGROUND, .threads = 2});
    for (intptr_t i = 0; i < 6; i++)
        kiln_call(kiln_function_new(k, waves, (void *)i, &(kiln_function_options){.name = "waves", .inputs_count = 1}), kiln_f32(k, KILN_SHAPE(2), 0.5, 1));
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
