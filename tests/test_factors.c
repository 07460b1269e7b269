/* test_factors: eigenvalues and singular values beyond a case's values: larger matrices put together again, the same bits by any number of
 * threads and in any batch, numbers that are none, what no object can have, errors, and a machine without LAPACK. */
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include <kiln/aot.h>

#include "front.h"

static bool there(kiln *k)
{
    if (kiln_dtype_of(kiln_svdvals(kiln_zeros(k, KILN_F64, KILN_SHAPE(1, 1)))) != KILN_NONE) return true;
    printf("skip: %s\n", kiln_error(k)->text);
    kiln_clear(k);
    return false;
}
#define NEEDS_LAPACK(k) \
    if (!there(k)) skip()

static kiln_tensor *drawn(kiln *k, kiln_dtype t, kiln_shape s)
{
    kiln_tensor *i = kiln_iota(k, KILN_F64, KILN_SHAPE(1 << 16), 0);
    int64_t n = 1;
    for (int a = 1; a <= s.rank; a++) n *= s.size[a];
    i = kiln_sin(kiln_mul(kiln_add(kiln_slice(i, 0, 0, n, 1), 1), kiln_add(kiln_slice(i, 0, 0, n, 1), 0.37)));
    return kiln_cast(kiln_reshape(i, s), t);
}

static double largest(kiln *k, kiln_tensor *x)
{
    const double v = kiln_item(kiln_reduce_max(kiln_abs(x), KILN_ALL));
    assert_ok(k);
    return v;
}

static kiln_tensor *times(kiln_tensor *u, kiln_tensor *s, kiln_tensor *vt) { return kiln_matmul(kiln_mul(u, kiln_expand(s, -2)), vt); }
static kiln_tensor *square_of(kiln_tensor *x) { return kiln_matmul(kiln_matrix_transpose(x), x); }

static void large_matrices_come_together_again(void **state)
{
    kiln *k = *state;
    NEEDS_LAPACK(k);
    static const int64_t shapes[][2] = {{70, 70}, {130, 40}, {40, 130}, {1, 90}};
    for (int wide = 0; wide < 2; wide++)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            KILN_SCOPE(k);
            const int64_t m = shapes[i][0], n = shapes[i][1];
            const double near = (wide ? 1e-12 : 1e-4);
            kiln_tensor *x = drawn(k, wide ? KILN_F64 : KILN_F32, KILN_SHAPE(2, m, n)), *s, *vt, *u = kiln_svd(x, 0, &s, &vt);
            assert_true(largest(k, kiln_sub(times(u, s, vt), x)) < near);
            assert_true(largest(k, kiln_sub(square_of(u), kiln_eye(k, kiln_dtype_of(x), kiln_dim(s, 1), kiln_dim(s, 1), 0))) < near);
            assert_true(largest(k, kiln_sub(kiln_svdvals(x), s)) < near * 10);
            u = kiln_svd(x, KILN_FULL, &s, &vt);
            assert_int_equal(kiln_dim(u, 2), m);
            assert_true(largest(k, kiln_sub(square_of(vt), kiln_eye(k, kiln_dtype_of(x), n, n, 0))) < near);
            assert_true(largest(k, kiln_sub(square_of(u), kiln_eye(k, kiln_dtype_of(x), m, m, 0))) < near);
            if (m != n) continue;
            kiln_tensor *both = kiln_add(x, kiln_matrix_transpose(x)), *v, *w = kiln_eigh(both, 0, &v);
            assert_true(largest(k, kiln_sub(times(v, w, kiln_matrix_transpose(v)), both)) < near);
            assert_true(largest(k, kiln_sub(kiln_eigvalsh(both, KILN_UPPER), w)) < near * 10);
        }
}

/* Of equal values, too, whose vectors may turn. */
static void equal_values_come_together_again(void **state)
{
    kiln *k = *state;
    NEEDS_LAPACK(k);
    kiln_tensor *x = kiln_add(kiln_eye(k, KILN_F64, 6, 6, 0), kiln_ones(k, KILN_F64, KILN_SHAPE(6, 6))), *v, *w = kiln_eigh(x, 0, &v), *s, *vt;
    assert_true(largest(k, kiln_sub(times(v, w, kiln_matrix_transpose(v)), x)) < 1e-13);
    kiln_tensor *u = kiln_svd(x, 0, &s, &vt);
    assert_true(largest(k, kiln_sub(times(u, s, vt), x)) < 1e-13);
    kiln_tensor *zeros = kiln_zeros(k, KILN_F32, KILN_SHAPE(3, 2));
    u = kiln_svd(zeros, KILN_FULL, &s, &vt);
    assert_true(largest(k, s) == 0);
    assert_true(largest(k, kiln_sub(square_of(u), kiln_eye(k, KILN_F32, 3, 3, 0))) < 1e-6);
    assert_true(kiln_item(kiln_matrix_rank(zeros, NULL)) == 0);
    assert_true(largest(k, kiln_pinv(zeros, NULL)) == 0);
}

static void same_bits(kiln_tensor *a, kiln_tensor *b)
{
    assert_int_equal(kiln_elements(a), kiln_elements(b));
    const size_t n = (size_t)kiln_elements(a);
    double *x = calloc(2 * n + 1, sizeof *x);
    assert_true(kiln_read_doubles(a, x, (int64_t)n) && kiln_read_doubles(b, x + n, (int64_t)n));
    assert_memory_equal(x, x + n, n * sizeof *x);
    free(x);
}

/* By any number of threads, and alone or among others. */
static void bits_are_a_matrix_s_own(void **state)
{
    kiln *k = *state, *one = kiln_open(&(kiln_options){.threads = 1}), *four = kiln_open(&(kiln_options){.threads = 4});
    if (!there(k)) {
        kiln_close(one);
        kiln_close(four);
        skip();
    }
    kiln *const all[] = {one, four};
    kiln_tensor *u[2], *s[2], *vt[2], *w[2], *v[2];
    for (int e = 0; e < 2; e++) {
        kiln_tensor *x = drawn(all[e], KILN_F64, KILN_SHAPE(9, 24, 17));
        u[e] = kiln_svd(x, 0, &s[e], &vt[e]);
        w[e] = kiln_eigh(square_of(x), 0, &v[e]);
        kiln_tensor *alone = kiln_slice(x, 0, 5, 6, 1), *s1, *vt1, *u1 = kiln_svd(alone, 0, &s1, &vt1);
        same_bits(kiln_slice(u[e], 0, 5, 6, 1), u1);
        same_bits(kiln_slice(vt[e], 0, 5, 6, 1), vt1);
        assert_ok(all[e]);
    }
    same_bits(u[0], u[1]);
    same_bits(s[0], s[1]);
    same_bits(vt[0], vt[1]);
    same_bits(w[0], w[1]);
    same_bits(v[0], v[1]);
    kiln_close(one);
    kiln_close(four);
}

/* Only the matrix with NaN is NaN; what lies in the other triangle is not looked at. */
static void no_numbers_give_none(void **state)
{
    kiln *k = *state;
    NEEDS_LAPACK(k);
    const double bad[] = {1, INFINITY, 2, 3, 1, 2, NAN, 3}, none[] = {NAN, 1, 1, 1};
    kiln_tensor *x = kiln_from(k, KILN_F64, KILN_SHAPE(2, 2, 2), bad, 8), *v, *w = kiln_eigh(x, 0, &v);
    const double *values = kiln_data(w);
    assert_true(isfinite(values[0]) && isfinite(values[1]) && isnan(values[2]) && isnan(values[3]));
    assert_true(isnan(((const double *)kiln_data(v))[7]) && isfinite(((const double *)kiln_data(v))[0]));
    kiln_tensor *y = kiln_from(k, KILN_F64, KILN_SHAPE(2, 2), none, 4), *s, *vt, *u = kiln_svd(y, KILN_FULL, &s, &vt);
    assert_true(isnan(kiln_item(kiln_sum(u, KILN_ALL))) && isnan(kiln_item(kiln_sum(s, KILN_ALL))) && isnan(kiln_item(kiln_sum(vt, KILN_ALL))));
    assert_true(kiln_item(kiln_matrix_rank(y, NULL)) == 2);
    assert_true(isnan(kiln_item(kiln_sum(kiln_pinv(y, NULL), KILN_ALL))));
    assert_true(isnan(kiln_item(kiln_matrix_norm(y, 2, KILN_AXES(0, 1)))));
}

static void options_of_ranks(void **state)
{
    kiln *k = *state;
    NEEDS_LAPACK(k);
    const double d[] = {4, 0, 0, 0, -1, 0, 0, 0, 0.5};
    kiln_tensor *x = kiln_from(k, KILN_F64, KILN_SHAPE(3, 3), d, 9), *rank, *values;
    kiln_tensor *two = kiln_stack(KILN_IN(x, kiln_mul(x, 3)), 0), *at = kiln_from(k, KILN_F64, KILN_SHAPE(2), (const double[]){0.75, 0.75}, 2);
    const kiln_rank_options each = {.tolerance = at, .rank = &rank, .values = &values};
    kiln_tensor *p = kiln_pinv(two, &each);
    assert_true(((const int64_t *)kiln_data(rank))[0] == 2 && ((const int64_t *)kiln_data(rank))[1] == 3);
    assert_true(((const double *)kiln_data(values))[1] == 1 && ((const double *)kiln_data(values))[3] == 12);
    assert_true(((const double *)kiln_data(p))[8] == 0 && ((const double *)kiln_data(p))[17] > 0.66);
    const kiln_rank_options symmetric = {.symmetric = true, .atol = 0.75, .values = &values};
    assert_true(kiln_item(kiln_matrix_rank(x, &symmetric)) == 2);
    assert_true(((const double *)kiln_data(values))[0] == -1);
    assert_true(kiln_data(kiln_lstsq(x, kiln_ones(k, KILN_F64, KILN_SHAPE(3)), &symmetric)) != NULL);
    kiln_tensor *half = kiln_lstsq(kiln_cast(x, KILN_F16), kiln_ones(k, KILN_F16, KILN_SHAPE(3)), NULL);
    assert_int_equal(kiln_dtype_of(half), KILN_F16);
    assert_ok(k);
}

static void mistakes_are_errors(void **state)
{
    kiln *k = *state;
    kiln_tensor *x = kiln_zeros(k, KILN_F32, KILN_SHAPE(2, 3)), *square = kiln_zeros(k, KILN_F32, KILN_SHAPE(3, 3)), *s, *vt;
    kiln_eigh(x, 0, &s);
    assert_error(k, KILN_ESHAPE, "eigh: needs square matrices: f32[2,3]");
    kiln_eigvalsh(square, 3);
    assert_error(k, KILN_EVALUE, "eigvalsh: how is 3 (allowed: 0, KILN_UPPER)");
    kiln_svd(x, KILN_UPPER, &s, &vt);
    assert_error(k, KILN_EVALUE, "svd: how is 16 (allowed: 0, KILN_FULL)");
    kiln_svdvals(kiln_zeros(k, KILN_F32, KILN_SHAPE(3)));
    assert_error(k, KILN_ESHAPE, "svdvals: needs matrices, the last two axes: f32[3]");
    kiln_svdvals(kiln_zeros(k, KILN_I32, KILN_SHAPE(3, 3)));
    assert_error(k, KILN_EDTYPE, "svdvals: ");
    kiln_pinv(x, (&(kiln_rank_options){.rtol = -1}));
    assert_error(k, KILN_EVALUE, "pinv: rtol is -1 and atol 0; they must be finite, 0 or above");
    kiln_matrix_rank(x, (&(kiln_rank_options){.atol = NAN}));
    assert_error(k, KILN_EVALUE, "matrix_rank: rtol is 0 and atol nan; they must be finite, 0 or above");
    kiln_pinv(x, (&(kiln_rank_options){.symmetric = true}));
    assert_error(k, KILN_ESHAPE, "pinv: needs square matrices: f32[2,3]");
    kiln_lstsq(x, kiln_zeros(k, KILN_F32, KILN_SHAPE(3)), NULL);
    assert_error(k, KILN_ESHAPE, "lstsq: the rows of the matrix and of the other side differ: f32[2,3], f32[3,1]");
    kiln_condition(x, 1);
    assert_error(k, KILN_ESHAPE, "condition: needs square matrices: f32[2,3]");
    kiln_condition(kiln_zeros(k, KILN_F32, KILN_SHAPE(0, 3)), 2);
    assert_error(k, KILN_ESHAPE, "condition: a matrix without elements has no condition: f32[0,3]");
    kiln_matrix_norm(x, 3, KILN_ALL);
    assert_error(k, KILN_EVALUE, "matrix_norm: p is 3 (allowed: KILN_FROBENIUS, KILN_NUCLEAR, 1, -1, 2, -2, INFINITY, -INFINITY)");
}

static void values(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_svdvals(in[0]);
}

static void objects_have_none(void **state)
{
    kiln *k = *state;
    if (!front_has_llvm()) {
        printf("skip: the LLVM module is not at hand\n");
        skip();
    }
    kiln_function *f = kiln_function_new(k, values, NULL, (&(kiln_function_options){.inputs = {KILN_SPEC(KILN_F64, 3, 3)}}));
    assert_false(kiln_aot(f, "/tmp/kiln_no_such_object", NULL));
    assert_non_null(strstr(kiln_error(k)->text, "aot: the body computes svdvals (tests/test_factors.c:"));
    assert_error(k, KILN_EUNSUPPORTED, "aot: ");
}

static void halved(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_tensor *s, *vt, *u = kiln_svd(kiln_mul(in[0], 0.5), 0, &s, &vt);
    (void)k, (void)user;
    out[0] = kiln_mul(kiln_matmul(kiln_mul(u, kiln_expand(s, -2)), vt), 2);
    out[1] = kiln_eigvalsh(kiln_matmul(kiln_matrix_transpose(in[0]), in[0]), 0);
}

/* The routine is the host's also where products and convolutions are compiled, and on a device. */
static void without_blas_and_on_devices(void **state)
{
    kiln *k = *state;
    NEEDS_LAPACK(k);
    LATE_SKIP(LATE_STARVES);
    kiln_tensor *x = drawn(k, KILN_F64, KILN_SHAPE(2, 5, 3)), *want[2], *got[2];
    halved(k, &x, want, NULL);
    kiln_function *f = kiln_function_new(k, halved, NULL, (&(kiln_function_options){.no_blas = true, .compile = KILN_WAIT, .outputs = 2}));
    if (front_has_llvm()) {
        assert_true(kiln_call_all(f, kiln_tensors(&x, 1), got, 2));
        for (int i = 0; i < 2; i++) same_bits(got[i], want[i]);
    }
    kiln_tensor *there = kiln_to(x, "emu:0");
    if (kiln_failed(k)) {
        printf("skip: %s\n", kiln_error(k)->text);
        kiln_clear(k);
        skip();
    }
    same_bits(kiln_svdvals(there), kiln_svdvals(x));
    same_bits(kiln_svdvals(kiln_matrix_transpose(there)), kiln_svdvals(kiln_matrix_transpose(x)));
    assert_true(kiln_call_all(f, kiln_tensors(&there, 1), got, 2));
    for (int i = 0; i < 2; i++) same_bits(got[i], want[i]);
    assert_ok(k);
}

static void a_missing_library_is_named(void **state)
{
    kiln *k = *state;
    LATE_SKIP(LATE_STARVES);
    kiln_tensor *x = kiln_ones(k, KILN_F64, KILN_SHAPE(3, 3));
    kiln_svdvals(x);
    assert_non_null(strstr(kiln_error(k)->text, "libopenblas.so.0: ")); /* the loader's own words */
    assert_error(k, KILN_EUNSUPPORTED, "svdvals: LAPACK computes it, out of OpenBLAS, which is not there: ");
    kiln_function *f = kiln_function_new(k, values, NULL, (&(kiln_function_options){.compile = KILN_WAIT}));
    if (front_has_llvm()) {
        kiln_data(kiln_call(f, x));
        assert_error(k, KILN_EUNSUPPORTED, "");
    }
    assert_true(kiln_elements(kiln_svdvals(kiln_ones(k, KILN_F64, KILN_SHAPE(3, 0)))) == 0); /* nothing to compute */
    assert_ok(k);
}

/* This program once more, in front of it a file of OpenBLAS's name: none, or one whose functions give up. */
static int run_with(const char *word, const char *make)
{
    char folder[] = "/tmp/kiln-lapack-XXXXXX", self[3000], command[8192];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n < 0 || !mkdtemp(folder)) return 1;
    self[n] = 0;
    snprintf(command, sizeof command, "cd '%s' && %s && cd '%s' && LD_LIBRARY_PATH='%s'${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} '%s' %s; e=$?; rm -r '%s'; exit $e",
        folder, make, getenv("PWD") ? getenv("PWD") : ".", folder, self, word, folder);
    return system(command);
}

/* Where LAPACK finds no solution, eager and compiled calls fail alike. */
static void giving_up_is_an_error(void **state)
{
    kiln *k = *state;
    LATE_SKIP(LATE_STARVES);
    kiln_tensor *x = kiln_add(kiln_iota(k, KILN_F32, KILN_SHAPE(4, 3, 2), 0), 1); /* the third is refused */
    kiln_svdvals(x);
    assert_error(k, KILN_EVALUE, "svdvals: LAPACK's sgesdd found no solution for matrix 2 of 4, f32[3,2] (info 7)");
    kiln_eigh(kiln_ones(k, KILN_F64, KILN_SHAPE(2, 2)), 0, NULL);
    assert_error(k, KILN_EVALUE, "eigh: LAPACK's dsyevd found no solution for matrix 0 of 1, f64[2,2] (info 5)");
    if (!front_has_llvm()) return;
    kiln_function *f = kiln_function_new(k, values, NULL, (&(kiln_function_options){.compile = KILN_WAIT}));
    kiln_data(kiln_call(f, x));
    assert_non_null(strstr(kiln_error(k)->text, "found no solution for matrix 2 of 4"));
    assert_error(k, KILN_EVALUE, "");
}

#define STAND_IN \
    "printf '%s\\n' 'void openblas_set_num_threads(int n) { (void)n; }'" \
    " 'void sgesdd_(char *j, int *m, int *n, float *a, int *l, float *s, void *u, int *x, void *v, int *y, float *w, int *k, int *i, int *info)'" \
    " '{ *info = 0; if (*k < 0) { *w = 100; return; } s[0] = s[1] = 1; if (a[0] == 3) *info = 7; }'" \
    " 'void dsyevd_(char *j, char *t, int *n, double *a, int *l, double *e, double *w, int *k, int *i, int *z, int *info)'" \
    " '{ *info = 0; if (*k < 0) { *w = 100; return; } *info = 5; }'" \
    " 'void dgesdd_(void) {} void ssyevd_(void) {}' > s.c && cc -w -shared -fPIC -o libopenblas.so.0 s.c"

int main(int argc, char **argv)
{
    const struct CMUnitTest without[] = {FRONT_TEST(a_missing_library_is_named)};
    const struct CMUnitTest fails[] = {FRONT_TEST(giving_up_is_an_error)};
    const struct CMUnitTest tests[] = {FRONT_TEST(large_matrices_come_together_again), FRONT_TEST(equal_values_come_together_again),
        FRONT_TEST(bits_are_a_matrix_s_own), FRONT_TEST(no_numbers_give_none), FRONT_TEST(options_of_ranks), FRONT_TEST(mistakes_are_errors),
        FRONT_TEST(objects_have_none), FRONT_TEST(without_blas_and_on_devices)};
    if (argc > 1 && !strcmp(argv[1], "without")) return cmocka_run_group_tests_name("factors, without LAPACK", without, NULL, NULL);
    if (argc > 1) return cmocka_run_group_tests_name("factors that are none", fails, NULL, NULL);
    int failed = run_with("without", ": > libopenblas.so.0") != 0;
    if (system("command -v cc > /dev/null") == 0) failed |= run_with("fails", STAND_IN) != 0;
    return cmocka_run_group_tests_name("factors", tests, NULL, NULL) || failed;
}
