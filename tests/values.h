/* values: an engine per test case, and comparisons of tensors with numbers written out by hand.
 * Relies on the public headers and cmocka alone. */
#ifndef KILN_TESTS_VALUES_H
#define KILN_TESTS_VALUES_H

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>
#include <kiln/kiln.h>

#include "late.h"
#include <math.h>

static kiln *k;
static int64_t blocks_before; /* an emulated device that other helpers used keeps what it has */

static inline int open_engine(void **state)
{
    (void)state;
    blocks_before = kiln_memory_count().live_blocks;
    k = kiln_open(&(kiln_options){.threads = 2});
    return k == NULL;
}

static inline int close_engine(void **state)
{
    (void)state;
    kiln *old = k;
    k = NULL;
    int unseen = kiln_close(old);
    return unseen != 0 || (!late_keeps() && kiln_memory_count().live_blocks != blocks_before);
}

/* Of an engine that compiles nothing: kiln_check compares eager code with the reference alone, and costs little. */
static inline int open_uncompiled(void **state)
{
    (void)state;
    blocks_before = kiln_memory_count().live_blocks;
    k = kiln_open(&(kiln_options){.no_compile = true});
    return k == NULL;
}

#define UNCOMPILED_TEST(f) cmocka_unit_test_setup_teardown(f, open_uncompiled, close_engine)
#define ENGINE_TEST(f) cmocka_unit_test_setup_teardown(f, open_engine, close_engine)

static inline void has_shape(kiln_tensor *x, kiln_dtype d, kiln_shape s)
{
    if (kiln_failed(k)) print_error("%s\n", kiln_error(k)->text);
    assert_false(kiln_failed(k));
    assert_string_equal(kiln_dtype_name(kiln_dtype_of(x)), kiln_dtype_name(d));
    assert_int_equal(kiln_rank(x), s.rank);
    for (int i = 0; i < (int)s.rank; i++) assert_int_equal(kiln_dim(x, i), s.size[i + 1]);
}

static inline void equals(
    kiln_tensor *x, kiln_dtype d, kiln_shape s, const double *want, int n, double tolerance)
{
    has_shape(x, d, s);
    if (kiln_elements(x) != n) fail_msg("%lld elements, %d numbers given", (long long)kiln_elements(x), n);
    kiln_tensor *wide = kiln_cast(kiln_reshape(x, KILN_SHAPE(-1)), KILN_F64);
    const double *have = kiln_data(wide);
    for (int i = 0; i < n; i++) {
        if (have[i] == want[i] || (isnan(have[i]) && isnan(want[i]))) continue;
        if (fabs(have[i] - want[i]) <= tolerance * fmax(1, fabs(want[i]))) continue;
        fail_msg("element %d: %.17g instead of %.17g", i, have[i], want[i]);
    }
}

#define WANT(...) (double[]){__VA_ARGS__}, (int)(sizeof((double[]){__VA_ARGS__}) / sizeof(double))
/* EXACTLY(x, KILN_F32, KILN_SHAPE(2), 1, 2) */
#define EXACTLY(x, d, s, ...) equals((x), (d), s, WANT(__VA_ARGS__), 0)
#define NEAR(x, d, s, ...) equals((x), (d), s, WANT(__VA_ARGS__), 3e-7)

/* The error that the call before this made: its code, and the text up to the place, which must be
 * this line's file. */
static inline void fails_with(kiln_code code, const char *text, const char *file)
{
    const kiln_failure *e = kiln_error(k);
    size_t n = strlen(text);
    if (e->code != code || strncmp(e->text, text, n) != 0)
        fail_msg("error %d: %s\ninstead of %d: %s", e->code, e->text, code, text);
    assert_int_equal(strncmp(e->text + n, "  ", 2), 0);
    assert_non_null(e->file);
    assert_string_equal(e->file, file);
    kiln_clear(k);
}
#define FAILS(call, code, text) ((void)(call), fails_with((code), (text), __FILE__))

#endif
