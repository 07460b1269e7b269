/* aot_test: what tests of object files share: a folder of their own, shell commands that must succeed, programs around an object. */
#ifndef KILN_TESTS_AOT_TEST_H
#define KILN_TESTS_AOT_TEST_H

#include "front.h"

#include <stdlib.h>
#include <unistd.h>

static char dir[64];

/* In that folder; stands until the call after the next. */
static inline const char *path_of(const char *name)
{
    static char path[2][128];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s", dir, name);
    return path[turn];
}

static inline void run(const char *format, ...)
{
    char command[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    if (system(command) != 0) fail_msg("failed: %s", command);
}

/* At the end of that file of the folder. */
static inline void put(const char *name, const void *bytes, size_t n)
{
    FILE *f = fopen(path_of(name), "ab");
    assert_non_null(f);
    assert_true(fwrite(bytes, 1, n, f) == n);
    fclose(f);
}

/* What the program main.c around that object writes, of n bytes, when it gets that file of the folder, and arguments behind its name. */
static inline void program_gives(const char *flags, const char *object, const char *file, void *got, size_t n)
{
    run("cc -std=c11 -Wall -Wextra -Werror -O1 %s -o %s/main %s/main.c %s/%s -lm", flags, dir, dir, dir, object);
    run("%s/main %s/%s > %s/got", dir, dir, file, dir);
    FILE *f = fopen(path_of("got"), "rb");
    assert_non_null(f);
    assert_int_equal(fread(got, 1, n, f), n);
    assert_int_equal(fgetc(f), EOF);
    fclose(f);
}

/* Group setup: fails, with the reason that the runner shows, where nothing compiles or links. */
static inline int aot_set_up(void **state)
{
    if (front_needs_llvm(state) != 0) return -1;
    snprintf(dir, sizeof dir, "/tmp/kiln-aot-%d", (int)getpid());
    char command[160];
    snprintf(command, sizeof command, "mkdir -p '%s' && cc --version > /dev/null 2>&1", dir);
    if (system(command) == 0) return 0;
    printf("skip: no C compiler to link an object with\n");
    return -1;
}

static inline int aot_tear_down(void **state)
{
    (void)state;
    char command[160];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

#endif
