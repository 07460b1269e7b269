/* failing: makes every allocation of a piece of code fail once, and sees that nothing is lost.
 * Relies on runtime/base.h and cmocka. */
#ifndef KILN_TESTS_FAILING_H
#define KILN_TESTS_FAILING_H

#include "runtime/base.h"

#include <cmocka.h>

static int64_t live_before;

static int remember_live(void **state)
{
    (void)state;
    live_before = memory_count().live_bytes;
    return 0;
}

static int nothing_lost(void **state)
{
    (void)state;
    memory_fail_at(0, false);
    return memory_count().live_bytes == live_before ? 0 : -1;
}

/* Runs `once` with its 1st, 2nd ... allocation failing, until it makes fewer. It must report each
 * failure, and lose nothing. Returns how many there were. */
static inline int fail_each(bool (*once)(void), bool forever)
{
    for (int n = 1;; n++) {
        MemoryCount before = memory_count();
        memory_fail_at((uint64_t)n, forever);
        bool fine = once();
        memory_fail_at(0, false);
        assert_int_equal(memory_count().live_blocks, before.live_blocks);
        assert_int_equal(memory_count().live_bytes, before.live_bytes);
        bool reached = memory_count().allocations - before.allocations >= (uint64_t)n;
        assert_int_equal(fine, !reached);
        if (!reached) return n - 1;
    }
}

/* A test that must leave as many bytes alive as it found. */
#define TEST(f) cmocka_unit_test_setup_teardown(f, remember_live, nothing_lost)

#endif
