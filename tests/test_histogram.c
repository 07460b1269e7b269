/* test_histogram: bins of equal width, found by a quotient, against the same edges searched one by one: at each edge and beside it,
 * beyond the ends, NaN; in all modes and several dtypes. */
#include "values.h"

#include <math.h>

typedef struct Range {
    int64_t bins;
    double low, high;
} Range;

static const Range range[] = {{1, 0, 1}, {3, -1, 2}, {256, -3, 3}, {1000, 0.1, 0.3}, {77, -1e30, 1e30}, {10, 1e-33, 1e-32}, {4000, 5, 5.5}, {64, 1e6, 1e6 + 1}};

static void ranged(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)e;
    const Range *r = user;
    out[0] = kiln_histogram_range(in[0], r->bins, r->low, r->high);
}

static void searched(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)e, (void)user;
    out[0] = kiln_histogram(in[0], in[1]);
}

static void as_by_edges(void **state)
{
    (void)state;
    static const kiln_dtype type[] = {KILN_F32, KILN_F64, KILN_BF16};
    for (size_t r = 0; r < sizeof range / sizeof *range; r++)
        for (size_t d = 0; d < sizeof type / sizeof *type; d++) {
            KILN_SCOPE(k);
            const Range *at = &range[r];
            const double wide = (at->high - at->low) / (double)at->bins;
            const int64_t bins = at->bins;
            kiln_tensor *i = kiln_iota(k, KILN_F64, KILN_SHAPE(bins + 1), 0), *edge = kiln_add(kiln_mul(i, wide), at->low);
            edge = kiln_cast(kiln_where(kiln_eq(i, (double)bins), at->high, edge), type[d]);
            kiln_tensor *beside = kiln_concat(KILN_IN(edge, kiln_nextafter(edge, INFINITY), kiln_nextafter(edge, -INFINITY)), 0);
            kiln_tensor *far = kiln_cast(kiln_f64(k, KILN_SHAPE(6), NAN, INFINITY, -INFINITY, 0, at->low - wide, at->high + wide), type[d]);
            kiln_tensor *drawn = kiln_cast(kiln_add(kiln_mul(kiln_sin(kiln_iota(k, KILN_F64, KILN_SHAPE(5000), 0)), at->high - at->low), at->low), type[d]);
            kiln_tensor *x = kiln_concat(KILN_IN(beside, far, drawn), 0);
            kiln_function *near = kiln_function_new(k, ranged, (void *)at, &(kiln_function_options){.name = "ranged", .outputs = 1});
            kiln_function *by = kiln_function_new(k, searched, NULL, &(kiln_function_options){.name = "searched", .outputs = 1});
            const int64_t *want = kiln_data(kiln_call(by, x, edge));
            for (int eager = 0; eager < 2; eager++) {
                kiln_eager(k, eager);
                assert_memory_equal(kiln_data(kiln_call(near, x)), want, (size_t)bins * sizeof *want);
            }
            kiln_eager(k, false);
            kiln_function_free(near), kiln_function_free(by);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {ENGINE_TEST(as_by_edges)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
