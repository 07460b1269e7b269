/* Finding code generators by name: what is absent is named with the places looked at; what is found stays, for all threads. */
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "codegen/backend.h"

static void unknown_names(void **state)
{
    (void)state;
    Status st = {0};
    assert_null(backend_get("abacus", &st));
    assert_int_equal(st.code, ST_UNSUPPORTED);
    assert_non_null(strstr(st.text, "abacus"));
}

static void nobody(void *user, const void *bytes, size_t len) { (void)user, (void)bytes, (void)len; }

/* An installed module may be found all the same. */
static void places_are_named(void **state)
{
    (void)state;
    Status st = {0};
    const char *dir = getenv("KILN_LIBDIR");
    char *keep = dir != NULL ? strdup(dir) : NULL;
    setenv("KILN_LIBDIR", "/nowhere/at/all", 1);
    const Backend *b = backend_get("cpu", &st);
    const bool there = b->object(&(Program){0}, NULL, "f", NULL, NULL, 0, nobody, NULL, &st);
    if (keep != NULL) setenv("KILN_LIBDIR", keep, 1);
    else unsetenv("KILN_LIBDIR");
    free(keep);
    if (there || strstr(st.text, "is of another build")) return;
    assert_int_equal(st.code, ST_DEVICE);
    assert_non_null(strstr(st.text, "libkiln-llvm.so"));
    assert_non_null(strstr(st.text, "/nowhere/at/all"));
}

static bool module_there(void)
{
    char path[4096];
    const char *dir = getenv("KILN_LIBDIR");
    snprintf(path, sizeof path, "%s/libkiln-llvm.so", dir != NULL ? dir : "build");
    return dir != NULL && access(path, F_OK) == 0;
}

/* The backend, if it can tell of the compiler that it loads. */
static void *get(void *arg)
{
    char text[300];
    Status st = {0};
    (void)arg;
    const Backend *b = backend_get("cpu", &st);
    b->describe(text, sizeof text);
    return strncmp(text, "LLVM", 4) == 0 ? (void *)(uintptr_t)b : NULL;
}

static void one_for_all_threads(void **state)
{
    (void)state;
    pthread_t t[4];
    void *found[4];
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&t[i], NULL, get, NULL), 0);
    for (int i = 0; i < 4; i++) pthread_join(t[i], &found[i]);
    for (int i = 1; i < 4; i++) assert_ptr_equal(found[i], found[0]);
    assert_ptr_equal(get(NULL), found[0]);
    if (found[0] == NULL && module_there()) fail_msg("the module is there, but is not taken");
    if (found[0] == NULL) skip();
    char text[300];
    Target target;
    Status st = {0};
    const Backend *b = found[0];
    b->describe(text, sizeof text);
    assert_non_null(strstr(text, "LLVM"));
    assert_true(b->target(NULL, &target, &st));
    assert_string_equal(target.name, "cpu");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unknown_names), cmocka_unit_test(places_are_named), cmocka_unit_test(one_for_all_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
