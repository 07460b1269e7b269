/* KILN_PERF=1: /tmp/perf-PID.map names each compiled function by program, operation and line, also of code that was found in a folder; the
 * file is its owner's alone, and what lies there already, a link above all, is neither followed nor changed. Each case is a process. */
#define _GNU_SOURCE
#include "front.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "codegen/native/map.h"

static char logged[400], path[64], folder[64];
static int line_of_sum, line_of_product;

static void log_to(void *user, const char *text)
{
    (void)user;
    snprintf(logged, sizeof logged, "%s", text);
}

static void body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    kiln_tensor *y = kiln_matmul(in[0], in[0]); line_of_product = __LINE__;
    out[0] = kiln_sum(kiln_tanh(y), KILN_AXES(1)); line_of_sum = __LINE__;
}

static void run(kiln *k)
{
    KILN_SCOPE(k);
    kiln_function *f = kiln_function_new(k, body, NULL, &(kiln_function_options){.name = "step", .inputs_count = 1, .fixed_sizes = true});
    kiln_call(f, kiln_full(k, KILN_F32, KILN_SHAPE(20, 20), 0.1));
    kiln_function_free(f);
}

static bool has(const char *text, const char *name, int line)
{
    char whole[100];
    snprintf(whole, sizeof whole, " %s@test_perf.c:%d\n", name, line);
    return strstr(text, whole);
}

/* The child's whole answer: 0, or which expectation failed. */
static int names(void)
{
    char text[8192] = "";
    struct stat s;
    for (int i = 0; i < 2; i++) { /* compiled, then found */
        kiln *k = kiln_open(&(kiln_options){.threads = 1, .compile = KILN_WAIT, .log = log_to, .cache_dir = folder});
        run(k);
        if (kiln_close(k)) return 1;
    }
    FILE *f = fopen(path, "r");
    if (!f || fstat(fileno(f), &s) || (s.st_mode & 0777) != 0600) return 2;
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    char *second = strstr(text, " step\n");
    if (!second || !has(text, "step.matmul_0", line_of_product)) return 3;
    if (!has(text, "step.sum_0", line_of_sum)) return 4;
    second = strstr(second + 1, " step\n"); /* of the code from the folder */
    unsigned long long at;
    unsigned len;
    if (!second || sscanf(text, "%llx %x ", &at, &len) != 2 || at == 0 || len == 0) return 5;
    return *logged ? 6 : 0;
}

static int a_link_is_not_followed(void)
{
    char target[128];
    snprintf(target, sizeof target, "%s/target", folder);
    if (symlink(target, path)) return 1;
    kiln *k = kiln_open(&(kiln_options){.threads = 1, .compile = KILN_WAIT, .log = log_to});
    run(k);
    if (kiln_close(k)) return 2;
    if (access(target, F_OK) == 0) return 3;
    return strstr(logged, "cannot be made: File exists") ? 0 : 4;
}

static int nobody_asks(void)
{
    kiln *k = kiln_open(&(kiln_options){.threads = 1, .compile = KILN_WAIT});
    run(k);
    kiln_close(k);
    return access(path, F_OK) == 0;
}

static int in_process(int (*what)(void), const char *wish)
{
    int status;
    snprintf(folder, sizeof folder, "/tmp/kiln-perf-XXXXXX");
    assert_non_null(mkdtemp(folder));
    pid_t p = fork();
    if (p == 0) {
        snprintf(path, sizeof path, "/tmp/perf-%ld.map", (long)getpid());
        unlink(path); /* of an earlier process of that number */
        setenv("KILN_PERF", wish, 1);
        int got = what();
        unlink(path);
        _exit(got);
    }
    assert_int_equal(waitpid(p, &status, 0), p);
    char command[100];
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void functions_are_named(void **state)
{
    (void)state;
    assert_int_equal(in_process(names, "1"), 0);
}

static void links_are_not_followed(void **state)
{
    (void)state;
    assert_int_equal(in_process(a_link_is_not_followed, "1"), 0);
}

static void without_a_wish_there_is_no_file(void **state)
{
    (void)state;
    assert_int_equal(in_process(nobody_asks, "0"), 0);
}

static int needs_loader(void **state)
{
    (void)state;
    if (image_runs_here() && getenv("KILN_LIBDIR")) return 0;
    printf("skip: functions are named on x86-64, with the LLVM module at hand\n");
    return -1;
}

int main(void)
{
    unsetenv("KILN_CACHE_DIR");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(functions_are_named), cmocka_unit_test(links_are_not_followed), cmocka_unit_test(without_a_wish_there_is_no_file),
    };
    return cmocka_run_group_tests(tests, needs_loader, NULL);
}
