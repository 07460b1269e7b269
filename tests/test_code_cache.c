/* Compiled code kept in a folder, through the public interface: what one engine compiled another finds, with the same bits, in a process
 * that then never loads LLVM; other programs, options and torn files are compiled; processes that run at once do not disturb each other. */
#include "remove_all.h"
#include "front.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "codegen/native/map.h"
#include "runtime/base.h"

static char folder[64], logged[2000];
static const char *self;

static void log_to(void *user, const char *text)
{
    (void)user;
    snprintf(logged, sizeof logged, "%s", text);
}

static int setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/kiln-code-XXXXXX");
    *logged = 0;
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    remove_all(folder);
    return 0;
}

static kiln *engine_or_null(void) { return kiln_open(&(kiln_options){.threads = 2, .compile = KILN_WAIT, .cache_dir = folder, .log = log_to}); }

static kiln *engine(void)
{
    kiln *k = engine_or_null();
    assert_non_null(k);
    return k;
}

/* ---- programs of all kinds -------------------------------------------------------------------------------------------- */
KILN_FUNCTION(plus_one, k, x) { return (void)k, kiln_add(x, 1); }
KILN_FUNCTION(soft, k, x) { return (void)k, kiln_log(kiln_softmax(kiln_mul(x, x), 1)); }
KILN_FUNCTION(layer, k, x) { return (void)k, kiln_relu(kiln_matmul(x, kiln_transpose(x, KILN_AXES(1, 0)))); }
KILN_FUNCTION(tangens, k, x) { return (void)k, kiln_tan(kiln_cast(x, KILN_F64)); }
KILN_FUNCTION(sorted, k, x) { return (void)k, kiln_sort(x, 1, false); }
KILN_FUNCTION(turning, k, x)
{
    kiln_variable *v = kiln_local(k, x);
    KILN_FOR(k, i, 5) { kiln_assign(v, kiln_add(kiln_mul(v, 0.5), kiln_cast(i, KILN_F32))); }
    KILN_IF(kiln_less(kiln_sum(v, KILN_ALL), 100)) { kiln_assign(v, kiln_neg(v)); }
    return kiln_value(v);
}
KILN_FUNCTION(checking, k, x)
{
    (void)k;
    kiln_assert(kiln_less(kiln_reduce_max(x, KILN_ALL), 1000), "too large");
    return kiln_mul(x, 3);
}

#define PROGRAMS 7
static kiln_function *program(kiln *k, int i)
{
    kiln_function *all[PROGRAMS] = {KILN_FN(k, plus_one), KILN_FN(k, soft), KILN_FN(k, layer), KILN_FN(k, tangens), KILN_FN(k, sorted),
        KILN_FN(k, turning), KILN_FN(k, checking)};
    return all[i];
}

static uint64_t digest(uint64_t h, kiln_tensor *x)
{
    const void *at = kiln_data(x);
    return at ? hash_bytes(h, at, kiln_bytes(x)) : 0;
}

/* Runs them all; how many came from the folder is added up. */
static uint64_t run_all(kiln *k, uint64_t *compiles, uint64_t *from_disk)
{
    KILN_SCOPE(k);
    uint64_t h = 1;
    kiln_tensor *x = kiln_div(kiln_iota(k, KILN_F32, KILN_SHAPE(6, 9), 1), 7);
    *compiles = *from_disk = 0;
    for (int i = 0; i < PROGRAMS; i++) {
        kiln_function_statistics s;
        kiln_function *f = program(k, i);
        h = digest(h, kiln_call(f, x));
        kiln_function_stats(f, &s);
        *compiles += s.compiles;
        *from_disk += s.from_disk;
    }
    kiln_function *g = kiln_grad(KILN_FN(k, soft));
    kiln_function_statistics s;
    h = digest(h, kiln_call(kiln_grad(KILN_FN(k, soft)), x));
    kiln_function_stats(g, &s);
    *compiles += s.compiles;
    *from_disk += s.from_disk;
    assert_ok(k);
    return h;
}

static void another_engine_finds_it(void **state)
{
    (void)state;
    uint64_t h[3], made[3], found[3];
    kiln_cache_statistics c;
    for (int i = 0; i < 3; i++) {
        kiln *k = i == 2 ? kiln_open(&(kiln_options){.threads = 2, .compile = KILN_WAIT, .cache_dir = ""}) : engine();
        h[i] = run_all(k, &made[i], &found[i]);
        assert_int_equal(made[i], PROGRAMS + 1);
        assert_int_equal(kiln_cache_stats(k, &c), i != 2);
        if (i == 0) assert_true(found[i] == 0 && c.hits == 0 && c.misses == made[0] && c.files == made[0] && c.bytes == c.bytes_written);
        if (i == 1) assert_true(found[i] == made[i] && c.hits == made[i] && c.misses == 0 && c.bytes_written == 0 && c.bytes_read == c.bytes);
        if (i == 2) assert_true(found[i] == 0 && c.most == 0);
        kiln_close(k);
    }
    assert_true(h[0] == h[1] && h[0] == h[2]);
    assert_string_equal(logged, "");
}

/* Effects of code from the folder are this engine's own. */
static void a_failing_assertion_is_the_same(void **state)
{
    (void)state;
    char text[2][300];
    for (int i = 0; i < 2; i++) {
        kiln *k = engine();
        {
            KILN_SCOPE(k);
            kiln_call(KILN_FN(k, checking), kiln_full(k, KILN_F32, KILN_SHAPE(3), 2000));
            assert_int_equal(kiln_error(k)->code, KILN_EVALUE);
            snprintf(text[i], sizeof text[i], "%s", kiln_error(k)->text);
            kiln_clear(k);
        }
        kiln_close(k);
    }
    assert_string_equal(text[0], text[1]);
}

static void bounded(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_concat(KILN_IN(kiln_mul(in[0], 2), in[1]), 0);
    out[1] = kiln_sum(kiln_matmul(in[0], kiln_transpose(in[1], KILN_AXES(1, 0))), KILN_AXES(0));
}

/* Two sizes, whose order in the entry's arguments must be that of the program that uses the code. */
static void sizes_find_their_places(void **state)
{
    (void)state;
    for (int way = 0; way < 3; way++) {
        kiln *k = engine();
        {
            KILN_SCOPE(k);
            const char *one = way < 2 ? "N" : "M", *two = way < 2 ? "M" : "N";
            kiln_function_options o = {.name = "bounded", .outputs = 2,
                .inputs = {KILN_SPEC(KILN_F32, KILN_DIM(one, 1, 50), 4), KILN_SPEC(KILN_F32, KILN_DIM(two, 1, 50), 4)}};
            kiln_function *f = kiln_function_new(k, bounded, NULL, &o);
            for (int n = 1; n < 9; n += 3) {
                kiln_tensor *a = kiln_full(k, KILN_F32, KILN_SHAPE(n, 4), 1.5), *b = kiln_full(k, KILN_F32, KILN_SHAPE(2 * n + 1, 4), 2);
                kiln_operand in[] = {kiln_of_tensor(a), kiln_of_tensor(b)};
                kiln_tensor *out[2];
                assert_true(kiln_call_all(f, in, 2, out, 2));
                assert_true(kiln_dim(out[0], 0) == 3 * n + 1 && kiln_dim(out[1], 0) == 2 * n + 1);
                assert_true(kiln_item(kiln_sum(out[0], KILN_ALL)) == 12 * n + 8 * (2 * n + 1));
                assert_true(kiln_item(kiln_sum(out[1], KILN_ALL)) == 12.0 * n * (2 * n + 1));
            }
            kiln_function_statistics s;
            kiln_function_stats(f, &s);
            assert_true(s.compiles == 1 && s.from_disk == (way == 1 || (way == 2 && s.from_disk)));
        }
        assert_int_equal(kiln_close(k), 0);
    }
}

/* What decides about the code, but is not in the graph's text. */
static void other_options_are_other_code(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        kiln *k = engine();
        {
            KILN_SCOPE(k);
            kiln_function_statistics s[2];
            kiln_tensor *x = kiln_full(k, KILN_F32, KILN_SHAPE(200, 200), 0.5);
            for (int no_blas = 0; no_blas < 2; no_blas++) {
                kiln_function *f = kiln_function_new(k, layer_definition.body, NULL,
                    &(kiln_function_options){.name = "layer", .inputs_count = 1, .no_blas = no_blas, .fixed_sizes = true});
                kiln_call(f, x);
                kiln_function_stats(f, &s[no_blas]);
                assert_int_equal(s[no_blas].from_disk, i);
            }
            kiln_cache_statistics c;
            assert_true(kiln_cache_stats(k, &c) && c.files == 2);
        }
        assert_int_equal(kiln_close(k), 0);
    }
}

/* ---- what may be wrong with the folder ---------------------------------------------------------------------------------- */
static void torn_files_are_compiled_anew(void **state)
{
    (void)state;
    char command[200];
    uint64_t want, h, made, found;
    kiln *k = engine();
    want = run_all(k, &made, &found);
    kiln_close(k);
    static const char *const harm[] = {"truncate -s 100 %s/*.kiln", "truncate -s 0 %s/*.kiln", "chmod 644 %s/*.kiln",
        "for f in %s/*.kiln; do printf x | dd of=$f bs=1 seek=5000 conv=notrunc status=none; done", "rm %s/*.kiln"};
    for (size_t i = 0; i < COUNT_OF(harm); i++) {
        snprintf(command, sizeof command, harm[i], folder);
        assert_int_equal(system(command), 0);
        *logged = 0;
        for (int again = 0; again < 2; again++) {
            kiln_cache_statistics c;
            k = engine();
            h = run_all(k, &made, &found);
            kiln_cache_stats(k, &c);
            kiln_close(k);
            assert_true(h == want && found == (again ? made : 0));
            assert_int_equal(c.refused, again || i == 4 ? 0 : made);
        }
        if (i != 4) assert_non_null(strstr(logged, "is not used: "));
    }
    assert_int_equal(chmod(folder, 0755), 0);
    k = engine();
    assert_non_null(strstr(logged, "the folder is not its owner's alone"));
    h = run_all(k, &made, &found);
    kiln_close(k);
    assert_true(h == want && found == 0);
}

static void memory_may_run_out(void **state)
{
    (void)state;
    LATE_SKIP(LATE_STARVES);
    int failed = 0, good = 0, from_disk = 0;
    kiln *k = engine();
    kiln_call(KILN_FN(k, plus_one), kiln_ones(k, KILN_F32, KILN_SHAPE(10)));
    assert_int_equal(kiln_close(k), 0);
    for (uint64_t n = 1; n < 300; n++) {
        const int64_t before = memory_count().live_blocks;
        memory_fail_at(n, false);
        k = engine_or_null();
        bool right = false;
        if (k) {
            KILN_SCOPE(k);
            kiln_function_statistics s = {0};
            kiln_function *f = KILN_FN(k, plus_one);
            kiln_tensor *y = kiln_call(f, kiln_ones(k, KILN_F32, KILN_SHAPE(10)));
            memory_fail_at(0, false);
            right = !kiln_failed(k) && kiln_item(kiln_sum(y, KILN_ALL)) == 20;
            assert_true(right || kiln_error(k)->code == KILN_EMEMORY);
            if (f) kiln_function_stats(f, &s);
            from_disk += s.from_disk != 0;
            kiln_clear(k);
        }
        memory_fail_at(0, false);
        if (k) kiln_close(k);
        failed += !right;
        good += right;
        assert_int_equal(memory_count().live_blocks, before);
    }
    assert_true(failed > 5 && good > 5 && from_disk > 5);
}

/* ---- processes ------------------------------------------------------------------------------------------------------------ */
static bool maps_llvm(void)
{
    FILE *f = fopen("/proc/self/maps", "r");
    bool found = false;
    for (char line[1024]; f && fgets(line, sizeof line, f);) found |= strstr(line, "LLVM") != NULL;
    if (f) fclose(f);
    return found;
}

/* What the program does when it is run with an argument: exits with 0 if its code came from the folder without LLVM. */
static int child(const char *from)
{
    snprintf(folder, sizeof folder, "%s", from);
    uint64_t made, found;
    kiln *k = kiln_open(&(kiln_options){.compile = KILN_WAIT}); /* KILN_CACHE_DIR says where */
    run_all(k, &made, &found);
    kiln_cache_statistics c;
    kiln_cache_stats(k, &c);
    kiln_close(k);
    return made == found && c.refused == 0 && !maps_llvm() ? 0 : 1 + (int)(made - found);
}

static pid_t start(void)
{
    pid_t p = fork();
    if (p != 0) return p;
    setenv("KILN_CACHE_DIR", folder, 1);
    execl(self, self, folder, (char *)NULL);
    _exit(126);
}

static int status_of(pid_t p)
{
    int status;
    assert_int_equal(waitpid(p, &status, 0), p);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void a_process_without_llvm(void **state)
{
    (void)state;
    assert_int_equal(status_of(start()), 1 + PROGRAMS + 1);
    assert_int_equal(status_of(start()), 0);
}

static void processes_at_once(void **state)
{
    (void)state;
    pid_t p[4];
    for (int i = 0; i < 4; i++) p[i] = start();
    for (int i = 0; i < 4; i++) assert_in_range(status_of(p[i]), 0, 1 + PROGRAMS + 1);
    assert_int_equal(status_of(start()), 0);
}

/* A program that anybody starts, but that runs with another's rights, believes no folder. */
static void with_others_rights_there_is_none(void **state)
{
    (void)state;
    char copy[128], command[5000];
    snprintf(copy, sizeof copy, "%s.setuid", folder);
    snprintf(command, sizeof command, "cp %s %s && chown 65533 %s && chmod 4755 %s", self, copy, copy, copy);
    if (geteuid() != 0 || system(command) != 0) {
        printf("skip: only root can make such a program\n");
        skip();
    }
    pid_t p = fork();
    if (p == 0) {
        setenv("KILN_CACHE_DIR", folder, 1);
        if (setgid(65534) || setuid(65534)) _exit(125);
        execl(copy, copy, "secure", (char *)NULL);
        _exit(126);
    }
    int got = status_of(p);
    unlink(copy);
    if (got == 3) {
        printf("skip: this file system gives no rights\n");
        skip();
    }
    assert_int_equal(got, 0);
}

static int secure_child(void)
{
    if (geteuid() == getuid()) return 3;
    kiln_cache_statistics c;
    kiln *k = kiln_open(&(kiln_options){.log = log_to, .threads = 1, .compile = KILN_WAIT});
    bool there = kiln_cache_stats(k, &c);
    kiln_close(k);
    return there || !strstr(logged, "not used by a program that runs with others' rights");
}

static int needs_loader(void **state)
{
    if (!image_runs_here()) {
        printf("skip: code is kept on x86-64 only\n");
        return -1;
    }
    return front_needs_llvm(state);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "secure") == 0) _exit(secure_child()); /* nobody looks for leaks with others' rights */
    if (argc > 1) return child(argv[1]);
    unsetenv("KILN_CACHE_DIR");
    self = "/proc/self/exe";
    static char path[4096];
    if (readlink(self, path, sizeof path - 1) > 0) self = path;
#define CACHE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CACHE_TEST(another_engine_finds_it), CACHE_TEST(a_failing_assertion_is_the_same), CACHE_TEST(sizes_find_their_places),
        CACHE_TEST(other_options_are_other_code), CACHE_TEST(torn_files_are_compiled_anew), CACHE_TEST(memory_may_run_out),
        CACHE_TEST(a_process_without_llvm), CACHE_TEST(processes_at_once), CACHE_TEST(with_others_rights_there_is_none),
    };
    return cmocka_run_group_tests(tests, needs_loader, NULL);
}
