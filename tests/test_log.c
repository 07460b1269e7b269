/* The log: stderr by default, a callback where the options have one, nothing with no_log; errors that nobody looked at are told when
 * the engine closes, those that somebody did are not told again. */
#include "front.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static char said[4096];
static int kept;

/* What stderr gets between the two. */
static void listen(void)
{
    fflush(stderr);
    kept = dup(2);
    FILE *f = tmpfile();
    dup2(fileno(f), 2);
    fclose(f);
}

static const char *heard(void)
{
    fflush(stderr);
    lseek(2, 0, SEEK_SET);
    ssize_t n = read(2, said, sizeof said - 1);
    said[n > 0 ? n : 0] = 0;
    dup2(kept, 2);
    close(kept);
    return said;
}

static kiln_tensor *wrong(kiln *k, int64_t n) { return kiln_add(kiln_ones(k, KILN_F32, KILN_SHAPE(n)), kiln_ones(k, KILN_F32, KILN_SHAPE(n + 1))); }

/* README's first program, with a shape that does not fit. */
static int forgetful(const kiln_options *o)
{
    kiln *k = kiln_open(o);
    {
        KILN_SCOPE(k);
        kiln_tensor *a = kiln_i32(k, KILN_SHAPE(2, 2), 1, 2, 3, 4);
        kiln_tensor *b = kiln_add(a, kiln_i32(k, KILN_SHAPE(3), 1, 2, 3));
        kiln_print(stdout, kiln_mul(a, b));
    }
    return kiln_close(k);
}

static void a_program_that_never_looks_is_told_why(void **state)
{
    (void)state;
    kiln_close(kiln_open(&(kiln_options){.no_log = true})); /* what the first engine says of the machine is not this test's */
    for (int options = 0; options < 2; options++) {
        listen();
        int left = forgetful(options ? &(kiln_options){.threads = 1} : NULL);
        const char *text = heard();
        assert_int_equal(left, 1);
        assert_non_null(strstr(text, "kiln: add: "));
        assert_non_null(strstr(text, "test_log.c:"));
        assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1); /* one line */
    }
}

static void keep_line(void *user, const char *text) { snprintf(user, 200, "%s", text); }

static void a_callback_or_silence(void **state)
{
    (void)state;
    char line[200] = "";
    listen();
    int left = forgetful(&(kiln_options){.log = keep_line, .log_user = line});
    int silent = forgetful(&(kiln_options){.no_log = true, .log = keep_line, .log_user = said});
    const char *text = heard();
    assert_string_equal(text, "");
    assert_int_equal(left, 1);
    assert_int_equal(silent, 1);
    assert_non_null(strstr(line, "kiln: add: "));
    assert_null(strchr(line, '\n'));
}

static void what_was_seen_is_not_told_again(void **state)
{
    (void)state;
    listen();
    kiln *k = kiln_open(NULL);
    wrong(k, 2);
    bool seen = kiln_error(k)->code == KILN_ESHAPE;
    int left = kiln_close(k);
    k = kiln_open(NULL);
    wrong(k, 2);
    kiln_clear(k);
    int none = kiln_close(k);
    assert_string_equal(heard(), "");
    assert_true(seen);
    assert_int_equal(left, 1);
    assert_int_equal(none, 0);
    listen();
    k = kiln_open(NULL);
    wrong(k, 2);
    (void)kiln_error(k);
    kiln_clear(k);
    wrong(k, 7); /* another one, after the look */
    bool failed = kiln_failed(k); /* that there is one is not yet what it is */
    kiln_close(k);
    assert_non_null(strstr(heard(), "f32[7]"));
    assert_true(failed);
}

static void *worker(void *k)
{
    wrong(k, 5);
    return NULL;
}

static void other_threads_errors_are_told(void **state)
{
    (void)state;
    listen();
    kiln *k = kiln_open(NULL);
    pthread_t t;
    int made = pthread_create(&t, NULL, worker, k);
    pthread_join(t, NULL);
    int left = kiln_close(k);
    assert_non_null(strstr(heard(), "f32[5]"));
    assert_int_equal(made, 0);
    assert_int_equal(left, 1);
}

static void twice(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_mul(in[0], 2);
}

static void dumps_that_come_to_nothing_are_told(void **state)
{
    (void)state;
    setenv("KILN_DUMP", "ir,irr", 1);
    setenv("KILN_DUMP_DIR", "/nowhere/at/all", 1);
    listen();
    kiln *k = kiln_open(&(kiln_options){.compile = KILN_WAIT});
    kiln_call(kiln_function_new(k, twice, NULL, &(kiln_function_options){.name = "twice"}), kiln_ones(k, KILN_F32, KILN_SHAPE(2)));
    bool absent = kiln_failed(k);
    kiln_clear(k);
    kiln_close(k);
    const char *text = heard();
    unsetenv("KILN_DUMP");
    unsetenv("KILN_DUMP_DIR");
    assert_non_null(strstr(text, "kiln: KILN_DUMP: there is no stage irr (allowed: ir,"));
    if (!absent) assert_non_null(strstr(text, "kiln: KILN_DUMP: /nowhere/at/all/000-twice.ir: cannot create: "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_program_that_never_looks_is_told_why), cmocka_unit_test(a_callback_or_silence),
        cmocka_unit_test(what_was_seen_is_not_told_again),        cmocka_unit_test(other_threads_errors_are_told),
        cmocka_unit_test(dumps_that_come_to_nothing_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
