/* KILN_PROFILE: engines tell of all that ran compiled when they close or the process ends, of what the process did itself, and without
 * calling the user's code under a lock; rests of loops are told, too. */
#define _GNU_SOURCE
#include "profiled.h"

#include <kiln/device.h>

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void body_of_rows(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_add(in[0], in[0]);
}

/* One costly value, read by kernels over different points. */
KILN_FUNCTION(shared, k, x)
{
    kiln_tensor *e = kiln_exp(x);
    return kiln_add(kiln_sum(kiln_matmul(e, e), KILN_ALL), kiln_sum(kiln_sum(e, KILN_AXES(0)), KILN_ALL));
}


static kiln_function *doubling(kiln *k, const char *name)
{
    return kiln_function_new(k, body_of_rows, NULL, &(kiln_function_options){.name = name, .inputs_count = 1});
}

static int closing(void)
{
    kiln *k = kiln_open(&(kiln_options){.compile = KILN_WAIT});
    if (!k) return 1;
    {
        KILN_SCOPE(k);
        kiln_tensor *x = filled(k, KILN_SHAPE(300, 300));
        kiln_function *f = doubling(k, "freed");
        for (int i = 0; i < 5; i++) kiln_call(f, x);
        kiln_function_free(f); /* what it did is told all the same */
        for (int i = 0; i < 7; i++) shared(k, x);
    }
    return kiln_close(k);
}

static int leaving_open(void)
{
    kiln *k = kiln_open(&(kiln_options){.compile = KILN_WAIT});
    kiln_call(doubling(k, "freed"), kiln_ones(k, KILN_F32, KILN_SHAPE(9)));
    exit(0);
}

/* What it tells in a process of its own, which ends as `run` ends it. */
static void told_by(int (*run)(void))
{
    int status;
    char path[] = "/tmp/kiln-profile-XXXXXX";
    close(mkstemp(path));
    unlink(path);
    pid_t p = fork();
    if (p == 0) {
        setenv("KILN_PROFILE", "json", 1);
        setenv("KILN_PROFILE_FILE", path, 1);
        alarm(60); /* rather than hang */
        _exit(run());
    }
    assert_int_equal(waitpid(p, &status, 0), p);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) fail_msg("ended with %x", status);
    FILE *f = fopen(path, "r");
    struct stat s;
    assert_non_null(f);
    assert_int_equal(fstat(fileno(f), &s), 0);
    assert_int_equal(s.st_mode & 0777, 0600);
    report[fread(report, 1, sizeof report - 1, f)] = 0;
    fclose(f);
    unlink(path);
}

static int times_told(const char *text)
{
    int n = 0;
    for (const char *at = report; (at = strstr(at, text)); at++) n++;
    return n;
}

static void engines_tell_as_they_close(void **state)
{
    (void)state;
    told_by(closing);
    assert_int_equal(number_at(step_of("freed.add_0"), "times"), 5);
    assert_int_equal(number_at(step_of("freed.add_0"), "bytes_written"), 5 * 300 * 300 * 4);
    for (const char *at = report; (at = strstr(at, "{\"function\": ")); at++) {
        const char *next = strstr(at + 1, "{\"function\": ");
        double sum = 0;
        assert_true(number_at(at, "calls") == 5 || number_at(at, "calls") == 7);
        for (const char *s = at; (s = strstr(s, "\n{\"name\": ")) && (!next || s < next);) sum += number_at(++s, "seconds");
        assert_true(sum > 0 && sum <= number_at(at, "seconds"));
    }
    told_by(leaving_open);
    assert_int_equal(number_at(step_of("freed.add_0"), "times"), 1);
}

static bool has_emulated(void)
{
    kiln_device_info all[16];
    const int n = kiln_devices(all, 16);
    for (int i = 0; i < n && i < 16; i++)
        if (strcmp(all[i].name, "emu:0") == 0) return true;
    return false;
}

/* One function on both devices, on the emulated one with two signatures; without a compiler for its kernels on the CPU alone. */
static int on_two_devices(void)
{
    kiln *k = kiln_open(&(kiln_options){.compile = KILN_WAIT});
    const bool both = has_emulated();
    kiln_function *f = doubling(k, both ? "both" : "alone");
    for (int i = 0; i < 3; i++) kiln_call(f, kiln_ones(k, KILN_F32, KILN_SHAPE(9)));
    for (int i = 0; i < 4 && both; i++) {
        KILN_DEVICE(k, "emu:0");
        kiln_call(f, filled(k, KILN_SHAPE(8 + i / 2)));
    }
    return kiln_close(k);
}

static void devices_are_told_apart(void **state)
{
    (void)state;
    told_by(on_two_devices);
    if (strstr(report, "alone")) {
        printf("skip: there is no emulated device\n");
        skip();
    }
    const char *there = strstr(report, "{\"roof\": {\"device\": \"emu:0\"");
    assert_int_equal(times_told("{\"roof\": "), 2);
    assert_int_equal(times_told("{\"function\": \"both\""), 3);
    assert_non_null(there);
    assert_true(strstr(report, "{\"roof\": {\"threads\": ") == report);
    assert_int_equal(number_at(strstr(report, "\"function\""), "calls"), 3);
    for (const char *at = there; (at = strstr(at, "{\"function\": ")); at++) {
        assert_int_equal(number_at(at, "calls"), 2);
        assert_true(number_at(strstr(at, "\n{\"name\": ") + 1, "seconds") > 0);
    }
}

/* As the process ends, the user's log may use any engine, and the user's parallel_for, whose threads may be gone, is not called. */
static kiln *open_to_the_end[2];
static bool ending;
static void ask_all(void *user, const char *text)
{
    (void)user, (void)text;
    for (int i = 0; i < 2; i++) kiln_failed(open_to_the_end[i]);
}

static void one_by_one(void *user, void (*task)(void *arg, int64_t index), void *arg, int64_t tasks)
{
    (void)user;
    if (ending) _exit(3);
    for (int64_t i = 0; i < tasks; i++) task(arg, i);
}

static int with_the_users_own(void)
{
    for (int i = 0; i < 2; i++) /* one of them has nothing to tell, and says so in the log */
        open_to_the_end[i] = kiln_open(&(kiln_options){.compile = KILN_WAIT, .threads = 2, .log = ask_all, .parallel_for = one_by_one});
    kiln_call(doubling(open_to_the_end[0], "own"), kiln_ones(open_to_the_end[0], KILN_F32, KILN_SHAPE(9)));
    kiln_failed(open_to_the_end[1]);
    kiln_failed(open_to_the_end[0]); /* the other one's state is to be looked up */
    ending = true;
    exit(0);
}

static void telling_holds_nothing_of_the_users(void **state)
{
    (void)state;
    told_by(with_the_users_own);
    assert_int_equal(number_at(step_of("own.add_0"), "times"), 1);
}

static int forking(void)
{
    int status;
    kiln *k = kiln_open(&(kiln_options){.compile = KILN_WAIT, .threads = 1});
    kiln_call(doubling(k, "once"), kiln_ones(k, KILN_F32, KILN_SHAPE(9)));
    pid_t p = fork();
    if (p == 0) {
        kiln_close(k);
        kiln *own = kiln_open(&(kiln_options){.compile = KILN_WAIT, .threads = 1});
        kiln_call(doubling(own, "forked"), kiln_ones(own, KILN_F32, KILN_SHAPE(9)));
        exit(0);
    }
    return waitpid(p, &status, 0) != p || status != 0 || kiln_close(k) != 0;
}

static void a_process_tells_what_it_did_itself(void **state)
{
    (void)state;
    told_by(forking);
    assert_int_equal(times_told("{\"function\": \"once\""), 1);
    assert_int_equal(times_told("{\"function\": \"forked\""), 1);
}

static int asking_as_well(void)
{
    FILE *to = tmpfile();
    kiln *k = kiln_open(&(kiln_options){.compile = KILN_WAIT});
    kiln_function *f = doubling(k, "twice");
    kiln_tensor *x = kiln_ones(k, KILN_F32, KILN_SHAPE(9));
    for (int i = 0; i < 2; i++) kiln_call(f, x);
    const bool ok = kiln_profile(to, f, KILN_IN(x), &(kiln_profile_options){.seconds = 1e-4});
    fclose(to);
    return !ok || kiln_close(k) != 0;
}

static void calls_of_kiln_profile_are_not_told(void **state)
{
    (void)state;
    told_by(asking_as_well);
    assert_int_equal(number_at(strstr(report, "{\"function\": \"twice\""), "calls"), 2);
}

static void long_loop(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    kiln_variable *x = kiln_local(k, in[0]);
    KILN_FOR(k, i, in[1]) kiln_assign(x, kiln_add(kiln_mul(x, 0.5), kiln_sin(kiln_cast(i, KILN_F32))));
    out[0] = kiln_value(x);
}

static int going_on(void)
{
    kiln *k = kiln_open(&(kiln_options){.compile = KILN_BACKGROUND});
    kiln_call(kiln_function_new(k, long_loop, NULL, &(kiln_function_options){.name = "long_loop"}),
              kiln_ones(k, KILN_F32, KILN_SHAPE(4)), kiln_scalar(k, KILN_I64, 3000000));
    return kiln_close(k);
}

/* A call that began without code went on in code. */
static void rests_of_loops_are_told(void **state)
{
    (void)state;
    told_by(going_on);
    const char *at = strstr(report, "{\"function\": \"long_loop_rest\"");
    assert_non_null(at);
    assert_int_equal(number_at(at, "calls"), 1);
    assert_true(number_at(step_of("long_loop_rest.loop"), "seconds") > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(engines_tell_as_they_close), cmocka_unit_test(devices_are_told_apart), cmocka_unit_test(telling_holds_nothing_of_the_users),
        cmocka_unit_test(a_process_tells_what_it_did_itself), cmocka_unit_test(rests_of_loops_are_told), cmocka_unit_test(calls_of_kiln_profile_are_not_told),
    };
    return cmocka_run_group_tests(tests, front_needs_llvm, NULL);
}
