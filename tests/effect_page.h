/* effect_page: a page that the bodies of a test print to, read back as text; and a callback that adds one. Relies on front.h. */
#ifndef KILN_TESTS_EFFECT_PAGE_H
#define KILN_TESTS_EFFECT_PAGE_H

#include "front.h"

static FILE *page; /* what the bodies print to */
static char text[2][8192];

static inline void read_out(char *to)
{
    long n = ftell(page);
    rewind(page);
    to[fread(to, 1, (size_t)n, page)] = 0;
    rewind(page);
}

/* The body eagerly, then traced twice (compiled once): the same text each time. */
static inline void prints_alike(kiln *k, kiln_function *f, kiln_tensor *x, const char *want)
{
    for (int way = 0; way < 3; way++) {
        kiln_eager(k, way == 0);
        kiln_call(f, x);
        kiln_eager(k, false);
        assert_ok(k);
        read_out(text[way > 0]);
        assert_string_equal(text[way > 0], want);
    }
}

static inline int plus_one(const kiln_array *in, int nin, const kiln_array *o, int nout, void *user)
{
    const float *x = in[0].data;
    float *y = o[0].data;
    int64_t n = 1;
    assert_true(nin == 1 && nout == 1 && in[0].dtype == KILN_F32 && o[0].dtype == KILN_F32 && o[0].rank == in[0].rank);
    for (int i = 0; i < in[0].rank; i++) {
        assert_int_equal(in[0].size[i], o[0].size[i]);
        n *= in[0].size[i];
    }
    for (int64_t i = 0; i < n; i++) y[i] = x[i] + 1;
    if (user) fprintf(page, "%s\n", (const char *)user);
    return 0;
}

static inline kiln_tensor *plus_one_of(kiln *k, kiln_tensor *x, const char *say)
{
    kiln_tensor *y;
    kiln_callback(k, plus_one, (void *)(uintptr_t)say, &x, 1, (kiln_spec[]){KILN_SPEC(KILN_F32, -1)}, &y, 1);
    return y;
}

KILN_FUNCTION(probe, k, x)
{
    return kiln_neg(x);
}

/* The LLVM module is at hand. */
static inline bool effects_compile(void)
{
    kiln *k = kiln_open(NULL);
    bool compiles;
    {
        KILN_SCOPE(k);
        probe(k, kiln_ones(k, KILN_F32, KILN_SHAPE(2)));
        compiles = kiln_error(k)->code == KILN_OK;
        kiln_clear(k);
    }
    kiln_close(k);
    return compiles;
}

static inline int open_page(void **state)
{
    (void)state;
    page = tmpfile();
    return page ? 0 : -1;
}

static inline int close_page(void **state)
{
    (void)state;
    return fclose(page);
}

#endif
