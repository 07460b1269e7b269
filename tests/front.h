/* front: what tests of the public interface share: an engine per test, and looking at the sticky error. */
#ifndef KILN_TESTS_FRONT_H
#define KILN_TESTS_FRONT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <kiln/kiln.h>

#include "late.h"

static inline int front_setup(void **state)
{
    return (*state = kiln_open(NULL)) ? 0 : -1;
}

/* For tests that ask about compiled code: an engine whose functions wait for it, whatever KILN_COMPILE says. */
static inline int front_setup_waiting(void **state)
{
    return (*state = kiln_open(&(kiln_options){.compile = KILN_WAIT})) ? 0 : -1;
}

static inline int front_teardown(void **state)
{
    return kiln_close(*state); /* non-zero: an error that the test did not expect */
}

static inline void front_doubles(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    (void)user;
    out[0] = kiln_add(in[0], in[0]);
}

/* Whether traced functions compile here: the LLVM module is at hand. */
static inline bool front_has_llvm(void)
{
    kiln *k = kiln_open(&(kiln_options){.compile = KILN_WAIT});
    kiln_call(kiln_function_new(k, front_doubles, NULL, NULL), kiln_scalar(k, KILN_F32, 1));
    bool there = kiln_error(k)->code != KILN_EDEVICE;
    kiln_clear(k);
    kiln_close(k);
    return there;
}

/* A group setup that fails, with the reason that the runner shows, where nothing compiles. */
static inline int front_needs_llvm(void **state)
{
    (void)state;
    if (front_has_llvm()) return 0;
    printf("skip: the LLVM module is not at hand\n");
    return -1;
}

#define FRONT_TEST(f) cmocka_unit_test_setup_teardown(f, front_setup, front_teardown)
#define WAIT_TEST(f) cmocka_unit_test_setup_teardown(f, front_setup_waiting, front_teardown)

#define assert_ok(k)                                                                                                  \
    do                                                                                                                \
        if (kiln_failed(k))                                                                                           \
            fail_msg("unexpected error: %s", kiln_error(k)->text);                                                    \
    while (0)

/* The thread's error has this code and this text in it; it is cleared. */
#define assert_error(k, want, text_part)                                                                              \
    do {                                                                                                              \
        const kiln_failure *front_error = kiln_error(k);                                                              \
        if (front_error->code != (want) || !strstr(front_error->text, (text_part)))                                   \
            fail_msg("wanted code %d with \"%s\", got code %d: %s", (int)(want), (text_part), (int)front_error->code, front_error->text); \
        kiln_clear(k);                                                                                                \
    } while (0)

#endif
