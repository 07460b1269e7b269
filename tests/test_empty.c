/* test_empty: axes without elements: of a size that may be 0, a call gives what eager code gives, be it nothing or an error, and one
 * compile serves both, and so does an object; reductions of nothing have their documented values. Skipped without the LLVM module. */
#include "values.h"

#include <dlfcn.h>
#include <errno.h>
#include <kiln/aot.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define S KILN_SHAPE

/* ---- sizes from 0 on ---------------------------------------------------------------------------------------------------- */
typedef kiln_tensor *Of(kiln_tensor *x, kiln_tensor *i); /* x: f32 [N, 3], i: i64 [M] */
#define OF(name, value) \
    static kiln_tensor *name(kiln_tensor *x, kiln_tensor *i) { return (void)x, (void)i, value; }

static kiln_tensor *two(kiln_tensor *x) { return kiln_i64(kiln_engine(x), S(2), 0, 5); }
static kiln_tensor *line(kiln_tensor *x) { return kiln_sum(x, KILN_AXES(1)); }
static kiln_tensor *rows(kiln_tensor *i) { return kiln_broadcast(kiln_expand(kiln_cast(i, KILN_F32), 1), S(-1, 3)); }

static kiln_tensor *dynamic(kiln_tensor *x)
{
    kiln_tensor *scale, *zero, *y = kiln_quantise_dynamic(x, &scale, &zero);
    return kiln_mul(kiln_cast(y, KILN_F32), scale);
}

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
OF(cubic, kiln_vector_norm(x, 3, KILN_AXES(0)))
OF(inverse, kiln_vector_norm(x, -1, KILN_ALL))
OF(nearest_to_0, kiln_vector_norm(x, -INFINITY, KILN_AXES(0)))
OF(differences, kiln_diff(x, 0, 1, NULL, NULL))
OF(second_differences, kiln_diff(x, 0, 2, NULL, NULL))
OF(two_largest, kiln_top_k(x, 2, 0, NULL))
OF(least_of_sums, kiln_bottom_k(line(x), 1, 0, NULL))
OF(without_first, kiln_slice(x, 0, 1, KILN_END, 1))
OF(inside, kiln_slice(x, 0, 1, -1, 1))
OF(far_inside, kiln_slice(x, 0, 2, -2, 1))
OF(from_the_end, kiln_slice(x, 0, -2, 2, 1))
OF(backwards, kiln_slice(x, 0, -2, 0, -2))
OF(first, kiln_index(x, KILN_AT(0)))
OF(last_but_one, kiln_index(x, KILN_AT(-2), KILN_RANGE(0, 2)))
OF(part, kiln_index(x, KILN_FROM(kiln_sum(i, KILN_ALL), 2)))
OF(among, kiln_isin(kiln_floor(x), kiln_cast(i, KILN_F32)))
OF(in_order, kiln_searchsorted(kiln_sort(line(x), 0, 0), kiln_cast(i, KILN_F32), 0))
OF(windows, kiln_sliding_windows(x, KILN_AXES(0), S(2), S()))
OF(mirrored, kiln_pad_with(x, S(2, 0), S(1, 0), KILN_PAD_REFLECT))
OF(cut, kiln_pad(x, S(-1, 0), S(-1, 1), 7))
OF(bins, kiln_histogram(x, kiln_sub(kiln_cast(i, KILN_F32), 0.5)))
OF(convolved, kiln_convolve(kiln_expand(x, 0), kiln_ones(kiln_engine(x), KILN_F32, S(2, 3, 1)), NULL))
OF(pooled, kiln_pool(kiln_expand(x, 0), KILN_POOL_AVERAGE, &(kiln_pooling){.size = {3}, .stride = {1}, .pad = {{1, 0}}}))
OF(pooled_up, kiln_pool(kiln_expand(x, 0), KILN_POOL_MAX, &(kiln_pooling){.size = {2}, .ceil = true}))
OF(to_one, kiln_pool_adaptive(kiln_expand(x, 0), KILN_POOL_MAX, S(1), 0, false))
OF(above, kiln_diagonal(x, 1, 0, 1))
OF(below, kiln_trace(x, -2, 0, 1))
OF(causal, kiln_attention(x, x, x, &(kiln_attention_options){.causal = true}))
OF(attended, kiln_attention(kiln_sin(x), x, kiln_cos(x), NULL))
OF(unit, kiln_normalize(x, INFINITY, 0, 0))
OF(bytes, dynamic(x))
OF(losses, kiln_nll(kiln_gather(x, i, 0), i, NULL))
OF(resized, kiln_resize(x, KILN_AXES(0), &(kiln_resizing){.scale = {2}, .kind = KILN_RESIZE_LINEAR}))
OF(resized_to, kiln_resize(x, KILN_AXES(0), &(kiln_resizing){.size = {4}}))

static const struct {
    const char *name;
    Of *of;
} all[] = {
#define ROW(f) {#f, f}
    ROW(gathered), ROW(gathered_two), ROW(gathered_one), ROW(scattered), ROW(set), ROW(scattered_two), ROW(counted_rows), ROW(largest), ROW(smallest_of_all),
    ROW(largest_along_rows), ROW(place), ROW(place_of_least), ROW(any), ROW(sum), ROW(mean), ROW(product), ROW(running), ROW(sorted), ROW(order), ROW(soft),
    ROW(log_soft), ROW(log_sum), ROW(log_sum_of_all), ROW(median), ROW(quantile), ROW(along), ROW(classes), ROW(normed),
    ROW(cubic), ROW(inverse), ROW(nearest_to_0), ROW(differences), ROW(second_differences), ROW(two_largest), ROW(least_of_sums), ROW(without_first), ROW(inside),
    ROW(far_inside), ROW(from_the_end), ROW(backwards), ROW(first), ROW(last_but_one), ROW(part), ROW(among), ROW(in_order), ROW(windows), ROW(mirrored), ROW(cut),
    ROW(bins), ROW(convolved), ROW(pooled), ROW(pooled_up), ROW(to_one), ROW(resized), ROW(resized_to), ROW(unit), ROW(causal), ROW(attended), ROW(above), ROW(below), ROW(bytes), ROW(losses)};
#define ALL (int)(sizeof all / sizeof *all)

static void body(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)e;
    out[0] = all[*(int *)user].of(in[0], in[1]);
}

static kiln_tensor *example(int n)
{
    return kiln_sin(kiln_add(kiln_reshape(kiln_iota(k, KILN_F32, S(3 * n), 0), S(n, 3)), 1));
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
                    kiln_tensor *in[2] = {example(n), kiln_iota(k, KILN_I64, S(m), 0)}, *want = NULL;
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

/* ---- objects -------------------------------------------------------------------------------------------------------------- */
typedef int Object(const float *x, const int64_t *i, int64_t n, int64_t m, void *out, int64_t *size, void *work);
static char folder[64];

static const char *in_folder(const char *name, const char *end)
{
    static char path[2][160];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s%s", folder, name, end);
    return path[turn];
}

/* One library of all the objects, each behind a call of one type. NULL: there is no C compiler. */
static void *library_of_objects(void)
{
    char command[512], symbol[64];
    snprintf(folder, sizeof folder, "/tmp/kiln-empty-%d", (int)getpid());
    if (mkdir(folder, 0700) != 0) fail_msg("%s: %s", folder, strerror(errno));
    FILE *c = fopen(in_folder("calls", ".c"), "w");
    assert_non_null(c);
    for (int f = 0; f < ALL; f++) {
        KILN_SCOPE(k);
        kiln_function *fn = kiln_function_new(k, body, &f,
            &(kiln_function_options){.name = all[f].name, .inputs = {KILN_SPEC(KILN_F32, KILN_DIM("N", 0, 9), 3), KILN_SPEC(KILN_I64, KILN_DIM("M", 0, 6))}});
        snprintf(symbol, sizeof symbol, "of_%s", all[f].name);
        if (!kiln_aot(fn, in_folder(symbol, ""), &(kiln_aot_options){.symbol = symbol})) fail_msg("%s: %s", symbol, kiln_error(k)->text);
        kiln_function_free(fn);
        fprintf(c, "#include \"%s.h\"\nint call_%s(const float *x, const int64_t *i, int64_t n, int64_t m, void *out, int64_t *size, void *work)\n"
                   "{\n    const int rc = %s_needs(n, m, size);\n    return rc ? rc : %s(0, x, i, n, m, out, work);\n}\n", symbol, all[f].name, symbol, symbol);
    }
    fclose(c);
    snprintf(command, sizeof command, "cd %s && ${CC:-cc} -std=c11 -shared -fPIC -o calls.so calls.c of_*.o -lm", folder);
    void *library = system(command) == 0 ? dlopen(in_folder("calls", ".so"), RTLD_NOW | RTLD_LOCAL) : NULL;
    snprintf(command, sizeof command, "rm -r %s", folder);
    if (system(command) != 0) fail_msg("%s stays", folder);
    return library;
}

static void compare_object(Object *call, int f, int n, int m, void *work)
{
    KILN_SCOPE(k);
    kiln_tensor *in[2] = {example(n), kiln_iota(k, KILN_I64, S(m), 0)}, *want = NULL;
    int64_t size[16] = {0}, i[2] = {0, 1};
    float x[9];
    char out[4096], wanted[4096];
    assert_true(kiln_read(in[0], x, (size_t)(3 * n) * sizeof *x));
    memset(out, 0x5a, sizeof out);
    body(k, in, &want, &f);
    const bool refused = kiln_failed(k);
    kiln_clear(k);
    const int rc = call(x, i, n, m, out, size, work);
    if (refused != (rc != 0)) fail_msg("%s of [%d, 3] and [%d]: an object gives %d", all[f].name, n, m, rc);
    if (refused) return;
    const size_t bytes = kiln_bytes(want);
    for (int d = 0; d < kiln_rank(want); d++)
        if (size[1 + d] != kiln_dim(want, d)) fail_msg("%s of [%d, 3] and [%d]: axis %d of an object's result is %lld", all[f].name, n, m, d, (long long)size[1 + d]);
    assert_true(kiln_read(want, wanted, bytes));
    if (memcmp(out, wanted, bytes) != 0) fail_msg("%s of [%d, 3] and [%d]: an object's elements", all[f].name, n, m);
    for (size_t b = bytes; b < sizeof out; b++) assert_int_equal(out[b], 0x5a);
}

static void objects_serve_none_and_some(void **state)
{
    (void)state;
    char symbol[64];
    static _Alignas(64) char work[1 << 20];
    void *library = library_of_objects();
    if (!library) {
        printf("skip: no C compiler to link an object with\n");
        skip();
    }
    for (int f = 0; f < ALL; f++) {
        Object *call;
        snprintf(symbol, sizeof symbol, "call_%s", all[f].name);
        void *at = dlsym(library, symbol);
        assert_non_null(at);
        memcpy(&call, &at, sizeof call);
        for (int n = 0; n < 4; n++)
            for (int m = 0; m < 3; m++) compare_object(call, f, n, m, work);
    }
    dlclose(library);
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
    const struct CMUnitTest tests[] = {ENGINE_TEST(one_compile_serves_none_and_some), ENGINE_TEST(objects_serve_none_and_some),
        ENGINE_TEST(reductions_of_nothing_have_their_values)};
    return cmocka_run_group_tests_name("empty", tests, NULL, NULL);
}
