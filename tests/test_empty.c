/* test_empty: axes without elements: of a size that may be 0, a call gives what eager code gives, be it nothing or an error, and one
 * compile serves both; reductions of nothing have their documented values. Skipped without the LLVM module. */
#include "values.h"

#include <kiln/aot.h>
#include <stdlib.h>

#define S KILN_SHAPE

/* ---- sizes from 0 on ---------------------------------------------------------------------------------------------------- */
typedef kiln_tensor *Of(kiln_tensor *x, kiln_tensor *i); /* x: f32 [N, 3], i: i64 [M] */
#define OF(name, value) \
    static kiln_tensor *name(kiln_tensor *x, kiln_tensor *i) { return (void)x, (void)i, value; }

static kiln_tensor *two(kiln_tensor *x) { return kiln_i64(kiln_engine(x), S(2), 0, 5); }
static kiln_tensor *line(kiln_tensor *x) { return kiln_sum(x, KILN_AXES(1)); }
static kiln_tensor *rows(kiln_tensor *i) { return kiln_broadcast(kiln_expand(kiln_cast(i, KILN_F32), 1), S(-1, 3)); }

OF(gathered, kiln_gather(x, i, 0))
OF(gathered_two, kiln_gather(kiln_mul(x, 2), two(x), 0))
OF(gathered_one, kiln_add(kiln_gather(line(x), kiln_i64(kiln_engine(x), S(), 3), 0), 1))
OF(scattered, kiln_scatter(x, i, rows(i), 0, KILN_SCATTER_ADD))
OF(set, kiln_scatter(x, i, rows(i), 0, KILN_SCATTER_SET))
OF(scattered_two, kiln_scatter(x, two(x), kiln_ones(kiln_engine(x), KILN_F32, S(2, 3)), 0, KILN_SCATTER_MAX))
OF(counted_rows, kiln_gather(kiln_compress(x, kiln_greater(line(x), 1), 0), i, 0))
OF(largest, kiln_reduce_max(x, KILN_AXES(0)))
OF(smallest_of_all, kiln_reduce_min(x, KILN_ALL))
OF(largest_along_rows, kiln_reduce_max(x, KILN_AXES(1)))
OF(place, kiln_argmax(x, 0))
OF(place_of_least, kiln_argmin(line(x), 0))
OF(any, kiln_any(x, KILN_AXES(0)))
OF(sum, kiln_sum(x, KILN_AXES(0)))
OF(mean, kiln_mean(x, KILN_AXES(0)))
OF(product, kiln_prod(x, KILN_ALL))
OF(running, kiln_cumsum(x, 0, 0))
OF(sorted, kiln_sort(x, 0, KILN_DESCENDING))
OF(order, kiln_argsort(x, 0, 0))
OF(soft, kiln_softmax(x, 0))
OF(log_soft, kiln_log_softmax(x, 0))
OF(log_sum, kiln_logsumexp(x, 0))
OF(log_sum_of_all, kiln_reduce_logsumexp(x, KILN_ALL))
OF(median, kiln_median(x, KILN_AXES(0)))
OF(quantile, kiln_quantile(x, 0.3, KILN_AXES(0), KILN_LINEAR))
OF(along, kiln_take_along(x, kiln_argsort(x, 0, 0), 0))
OF(classes, kiln_cross_entropy(kiln_transpose(x, KILN_ALL), kiln_i64(kiln_engine(x), S(3), 0, 0, 0)))
OF(normed, kiln_vector_norm(x, 2, KILN_AXES(0)))

static const struct {
    const char *name;
    Of *of;
} all[] = {
#define ROW(f) {#f, f}
    ROW(gathered), ROW(gathered_two), ROW(gathered_one), ROW(scattered), ROW(set), ROW(scattered_two), ROW(counted_rows), ROW(largest), ROW(smallest_of_all),
    ROW(largest_along_rows), ROW(place), ROW(place_of_least), ROW(any), ROW(sum), ROW(mean), ROW(product), ROW(running), ROW(sorted), ROW(order), ROW(soft),
    ROW(log_soft), ROW(log_sum), ROW(log_sum_of_all), ROW(median), ROW(quantile), ROW(along), ROW(classes), ROW(normed)};
#define ALL (int)(sizeof all / sizeof *all)

static void body(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)e;
    out[0] = all[*(int *)user].of(in[0], in[1]);
}

static bool alike(kiln_tensor *a, kiln_tensor *b)
{
    char x[4096], y[4096];
    const size_t n = kiln_bytes(a);
    if (kiln_rank(a) != kiln_rank(b) || kiln_dtype_of(a) != kiln_dtype_of(b) || n != kiln_bytes(b)) return false;
    for (int d = 0; d < kiln_rank(a); d++)
        if (kiln_dim(a, d) != kiln_dim(b, d)) return false;
    return kiln_read(a, x, n) && kiln_read(b, y, n) && memcmp(x, y, n) == 0;
}

static void one_compile_serves_none_and_some(void **state)
{
    (void)state;
    for (int f = 0; f < ALL; f++)
        for (int compiled = 0; compiled < 2; compiled++) {
            kiln_function_options o = {.name = all[f].name, .compile = compiled ? KILN_WAIT : KILN_NEVER,
                .inputs = {KILN_SPEC(KILN_F32, KILN_DIM("N", 0, 9), 3), KILN_SPEC(KILN_I64, KILN_DIM("M", 0, 6))}};
            kiln_function *fn = kiln_function_new(k, body, &f, &o);
            for (int n = 0; n < 4; n++)
                for (int m = 0; m < 3; m++) {
                    KILN_SCOPE(k);
                    kiln_tensor *x = kiln_sin(kiln_add(kiln_reshape(kiln_iota(k, KILN_F32, S(3 * n), 0), S(n, 3)), 1)), *in[2] = {x, kiln_iota(k, KILN_I64, S(m), 0)}, *want = NULL;
                    body(k, in, &want, &f);
                    const bool refused = kiln_failed(k);
                    kiln_clear(k);
                    kiln_tensor *have = kiln_call(fn, in[0], in[1]);
                    if (kiln_failed(k) != refused) fail_msg("%s of [%d, 3] and [%d]: %s", all[f].name, n, m, refused ? "no error" : kiln_error(k)->text);
                    if (!refused && !alike(want, have)) {
                        kiln_print(stderr, want);
                        kiln_print(stderr, have);
                        fail_msg("%s of [%d, 3] and [%d]", all[f].name, n, m);
                    }
                    kiln_clear(k);
                }
            kiln_function_free(fn);
        }
}

/* ---- values of nothing -------------------------------------------------------------------------------------------------- */
static void reductions_of_nothing_have_their_values(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_zeros(k, KILN_F32, S(2, 0)), *y = kiln_zeros(k, KILN_F32, S(0, 2));
    equals(kiln_logsumexp(x, 1), KILN_F32, S(2), (double[]){-INFINITY, -INFINITY}, 2, 0);
    equals(kiln_reduce_logsumexp(x, KILN_KEEP(1)), KILN_F32, S(2, 1), (double[]){-INFINITY, -INFINITY}, 2, 0);
    equals(kiln_sum(x, KILN_AXES(1)), KILN_F32, S(2), (double[]){0, 0}, 2, 0);
    equals(kiln_prod(x, KILN_AXES(1)), KILN_F32, S(2), (double[]){1, 1}, 2, 0);
    has_shape(kiln_softmax(x, 1), KILN_F32, S(2, 0));
    has_shape(kiln_log_softmax(y, 0), KILN_F32, S(0, 2));
    has_shape(kiln_logsumexp(y, 1), KILN_F32, S(0));
    has_shape(kiln_reduce_max(y, KILN_AXES(1)), KILN_F32, S(0));
    assert_false(kiln_failed(k));
    kiln_reduce_max(x, KILN_AXES(1));
    assert_true(kiln_failed(k));
    kiln_clear(k);
    {
        KILN_TAPE(k, tape);
        kiln_tensor *w = kiln_watch(tape, kiln_full(k, KILN_F32, S(2, 3), -INFINITY));
        equals(kiln_gradient(tape, kiln_sum(kiln_logsumexp(w, 1), KILN_ALL), w), KILN_F32, S(2, 3), (double[6]){0}, 6, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {ENGINE_TEST(one_compile_serves_none_and_some), ENGINE_TEST(reductions_of_nothing_have_their_values)};
    return cmocka_run_group_tests_name("empty", tests, NULL, NULL);
}
