/* test_beside: what an operation makes on its way, zeros, places and tables, lies beside its operands, on whatever device this thread makes
 * tensors: factors of matrices, transforms, windows, statistics, losses and their gradients, with operands on the host while the thread is
 * on late:0, on late:0 while it is on the host, and on late:0 while it is on late:1. Results are those of a thread that is where its operands
 * are. Operations of one kernel are in test_device_ops, which runs on emulated devices, too. */
#include "front.h"
#include "graph_run.h"

#include <math.h>

#include <kiln/fft.h>
#include <kiln/linalg.h>

#define A KILN_AXES
#define S KILN_SHAPE

typedef struct In { /* f32[4,6]; f32[5,5], positive definite; f32[2,5]; i64[4] in 0 ... 3 */
    kiln_tensor *x, *m, *v, *i;
} In;
typedef kiln_tensor *Of(kiln *k, In in);

#define OF(name, value) \
    static kiln_tensor *name(kiln *k, In in) { return (void)k, (void)in, value; }

static kiln_tensor *both(kiln_tensor *a, kiln_tensor *b) { return kiln_add(kiln_sum(a, KILN_ALL), kiln_sum(b, KILN_ALL)); }
static kiln_tensor *of_qr(kiln_tensor *x)
{
    kiln_tensor *r, *q = kiln_qr(x, &r);
    return both(q, kiln_mul(r, r));
}
static kiln_tensor *of_lu(kiln_tensor *x)
{
    kiln_tensor *order, *lu = kiln_lu(x, &order);
    return both(lu, kiln_cast(order, KILN_F32));
}
static kiln_tensor *of_eigh(kiln_tensor *x)
{
    kiln_tensor *vectors, *w = kiln_eigh(x, 0, &vectors);
    return both(w, kiln_abs(vectors));
}
static kiln_tensor *of_svd(kiln_tensor *x)
{
    kiln_tensor *s, *vt, *u = kiln_svd(x, 0, &s, &vt);
    return kiln_add(both(kiln_abs(u), kiln_abs(vt)), kiln_sum(s, KILN_ALL));
}
static kiln_tensor *of_slogdet(kiln_tensor *x)
{
    kiln_tensor *l, *s = kiln_slogdet(x, &l);
    return both(s, l);
}
static kiln_tensor *dynamic(kiln_tensor *x)
{
    kiln_tensor *scale, *zero, *y = kiln_quantise_dynamic(x, &scale, &zero);
    return kiln_mul(kiln_cast(y, KILN_F32), scale);
}
static kiln_tensor *of_line(kiln_tensor *x) { return kiln_sum(x, A(1)); }
static kiln_tensor *column(kiln_tensor *v) { return kiln_transpose(v, KILN_ALL); }
static kiln_tensor *image(kiln_tensor *x) { return kiln_reshape(x, S(1, 4, 6, 1)); }

OF(cholesky, kiln_cholesky(in.m))
OF(triangular, kiln_triangular_solve(in.m, column(in.v), KILN_UPPER))
OF(triangular_unit, kiln_triangular_solve(in.m, column(in.v), KILN_UNIT | KILN_TRANSPOSED))
OF(lu, of_lu(in.m))
OF(solve, kiln_solve(in.m, column(in.v)))
OF(inverse, kiln_inverse(in.m))
OF(det, kiln_det(in.m))
OF(slogdet, of_slogdet(in.m))
OF(qr_wide, of_qr(in.x))
OF(qr_tall, of_qr(kiln_transpose(in.x, KILN_ALL)))
OF(matrix_power, kiln_matrix_power(in.m, -3))
OF(no_power, kiln_matrix_power(in.m, 0))
OF(expm, kiln_expm(kiln_mul(in.m, 0.125)))
OF(eigh, of_eigh(in.m))
OF(eigvalsh, kiln_eigvalsh(in.m, 0))
OF(svd, of_svd(in.x))
OF(svdvals, kiln_svdvals(in.x))
OF(condition, kiln_condition(in.m, 1))
OF(rank, kiln_matrix_rank(in.m, NULL))
OF(pinv, kiln_pinv(in.x, NULL))
OF(lstsq, kiln_lstsq(kiln_transpose(in.x, KILN_ALL), kiln_exp(kiln_index(kiln_transpose(in.x, KILN_ALL), KILN_RANGE(0, KILN_END, 1), KILN_RANGE(0, 2, 1))), NULL))
OF(matrix_norm, kiln_matrix_norm(in.m, -1, A(0, 1)))
OF(fft, kiln_fft(kiln_stack(KILN_IN(in.x, in.x), 2), 7, 1, KILN_FFT_BACKWARD))
OF(rfft, kiln_rfft(in.x, 5, 1, KILN_FFT_ORTHO))
OF(irfft, kiln_irfft(kiln_reshape(in.x, S(4, 3, 2)), 5, 1, KILN_FFT_BACKWARD))
OF(hfft, kiln_hfft(kiln_reshape(in.x, S(4, 3, 2)), 0, 1, KILN_FFT_BACKWARD))
OF(shifted, kiln_fftshift(in.x, KILN_ALL))
OF(stft, kiln_stft(kiln_reshape(in.x, S(24)), kiln_index(in.x, KILN_AT(0)), 2))
OF(istft, kiln_istft(kiln_stft(kiln_reshape(in.x, S(24)), kiln_index(in.m, KILN_AT(0)), 2), kiln_index(in.m, KILN_AT(0)), 2))
OF(median, kiln_median(in.x, A(1)))
OF(quantile, kiln_quantile(in.x, 0.3, A(0), KILN_LINEAR))
OF(cummax, kiln_cummax(in.x, 1, 0, NULL))
OF(logcumsumexp, kiln_logcumsumexp(in.x, 1, 0))
OF(recurrence, kiln_recurrence(kiln_mul(in.x, 0.5), in.x, 0, 0))
OF(diff, kiln_diff(in.x, 1, 2, NULL, NULL))
OF(searchsorted, kiln_searchsorted(kiln_sort(kiln_reshape(in.x, S(24)), 0, 0), in.m, 0))
OF(isin, kiln_isin(in.i, kiln_add(in.i, 2)))
OF(histogram, kiln_histogram(in.x, kiln_sort(kiln_index(in.x, KILN_AT(0)), 0, 0)))
OF(histogram_range, kiln_histogram_range(in.x, 5, -2, 2))
OF(bincount, kiln_bincount(in.i, 6, of_line(in.x)))
OF(segments, kiln_segment_mean(in.x, in.i, 5))
OF(segments_most, kiln_segment_max(in.x, in.i, 5))
OF(argmax_over, kiln_argmax_over(in.x, KILN_ALL, 0))
OF(nanmean, kiln_nanmean(kiln_where(kiln_gt(in.x, 1), NAN, in.x), A(1)))
OF(average, kiln_average(in.x, kiln_abs(in.x), A(0)))
OF(unfolded, kiln_sliding_windows(in.x, A(1), S(3), S(2)))
OF(kron, kiln_kron(in.x, in.v))
OF(cross, kiln_cross(kiln_reshape(in.x, S(8, 3)), kiln_flip(kiln_reshape(in.x, S(8, 3)), KILN_ALL), 1))
OF(einsum, kiln_einsum("ij,kl,jl,ll->ki", KILN_IN(kiln_index(in.m, KILN_RANGE(0, 3, 1)), in.v, in.m, in.m)))
OF(rotated, kiln_rot90(in.x, 3, 0, 1))
OF(blocks, kiln_depth_to_space(kiln_reshape(in.x, S(1, 2, 3, 4)), 2, -1, 0))
OF(unique, kiln_unique_values(in.i))
OF(masked, kiln_compress(in.x, kiln_gt(of_line(in.x), 0), 0))
OF(places, kiln_nonzero(kiln_gt(in.x, 0)))
OF(focal, kiln_huber(in.x, kiln_flip(in.x, KILN_ALL), 1, 0))
OF(nll, kiln_nll(kiln_log_softmax(in.x, 1), in.i, NULL))
OF(hardmax, kiln_hardmax(in.x, 1))
OF(groups, kiln_groupnorm(image(in.x), 1, 3, kiln_ones(k, KILN_F32, S(1)), kiln_zeros(k, KILN_F32, S(1)), 1e-5))
OF(quantised, dynamic(in.x))
OF(patched, kiln_conv2d(image(in.x), kiln_reshape(kiln_slice(in.m, 0, 0, 4, 1), S(2, 2, 1, 5)), NULL))
OF(spans, kiln_add(in.x, kiln_expand(kiln_cast(kiln_iota_along(in.x, 0, KILN_I64), KILN_F32), 1)))
OF(placed, kiln_scatter(kiln_zeros_like(in.x), in.i, in.x, 0, KILN_SCATTER_ADD))
OF(padded_zeros, kiln_add(kiln_pad(kiln_zeros_like(in.x), S(1, 0), S(-1, 0), 2), in.x))
OF(cumulated_ones, kiln_add(kiln_cumsum(kiln_ones_like(in.x), 1, 0), in.x))
OF(zeros_products, kiln_add(kiln_matmul(kiln_ones_like(in.m), kiln_ones_like(in.m)), in.m))

typedef struct Case {
    const char *name;
    Of *of;
} Case;
#define ROW(f) {#f, f}
static const Case cases[] = {ROW(cholesky), ROW(triangular), ROW(triangular_unit), ROW(lu), ROW(solve), ROW(inverse), ROW(det), ROW(slogdet), ROW(qr_wide),
    ROW(qr_tall), ROW(matrix_power), ROW(no_power), ROW(expm), ROW(condition), ROW(matrix_norm), ROW(fft), ROW(rfft), ROW(irfft),
    ROW(hfft), ROW(shifted), ROW(stft), ROW(istft), ROW(median), ROW(quantile), ROW(cummax), ROW(logcumsumexp), ROW(recurrence),
    ROW(diff), ROW(searchsorted), ROW(isin), ROW(histogram), ROW(histogram_range), ROW(bincount), ROW(segments),
    ROW(segments_most), ROW(argmax_over), ROW(nanmean), ROW(average), ROW(unfolded), ROW(kron), ROW(cross), ROW(einsum),
    ROW(rotated), ROW(blocks), ROW(unique), ROW(masked), ROW(places), ROW(focal), ROW(nll), ROW(hardmax), ROW(groups),
    ROW(quantised), ROW(patched), ROW(spans), ROW(placed), ROW(padded_zeros), ROW(cumulated_ones), ROW(zeros_products)};
static const Case by_lapack[] = {ROW(eigh), ROW(eigvalsh), ROW(svd), ROW(svdvals), ROW(rank), ROW(pinv), ROW(lstsq)};
#define OUT 4

/* The case's result, and where it has one its gradient. */
static void body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const Case *c = user;
    KILN_TAPE(k, tape);
    for (int i = 0; i < OUT - 1; i++) kiln_watch(tape, in[i]);
    out[0] = c->of(k, (In){in[0], in[1], in[2], in[3]});
    kiln_tensor *loss = kiln_sum(kiln_cast(out[0], KILN_F32), KILN_ALL);
    kiln_gradients(tape, kiln_mul(loss, loss), KILN_IN(in[0], in[1], in[2]), out + 1);
}

static void inputs(kiln *k, const char *device, kiln_tensor **in)
{
    float x[24], m[25], v[10];
    for (int i = 0; i < 24; i++) x[i] = (float)((i * 7) % 11 - 5) / 4 + (float)i / 64;
    for (int i = 0; i < 25; i++) m[i] = i % 6 == 0 ? 4 + (float)i / 8 : (float)((i / 5 + i % 5) % 3) / 4;
    for (int i = 0; i < 10; i++) v[i] = (float)((i * 5) % 13 - 6) / 8;
    in[0] = kiln_to(kiln_from(k, KILN_F32, S(4, 6), x, 24), device);
    in[1] = kiln_to(kiln_from(k, KILN_F32, S(5, 5), m, 25), device);
    in[2] = kiln_to(kiln_from(k, KILN_F32, S(2, 5), v, 10), device);
    in[3] = kiln_to(kiln_i64(k, S(4), 2, 0, 3, 1), device);
}

static void beside(kiln *k, const Case *c, const char *there, const char *on)
{
    KILN_SCOPE(k);
    kiln_tensor *in[4], *want[OUT], *have[OUT];
    inputs(k, there, in);
    {
        KILN_DEVICE(k, there);
        body(k, in, want, (void *)(uintptr_t)c);
        if (kiln_failed(k)) fail_msg("%s, all on %s: %s", c->name, there, kiln_error(k)->text);
    }
    {
        KILN_DEVICE(k, on);
        body(k, in, have, (void *)(uintptr_t)c);
        if (kiln_failed(k)) fail_msg("%s, operands on %s, thread on %s: %s", c->name, there, on, kiln_error(k)->text);
    }
    for (int i = 0; i < OUT; i++) {
        char a[4096], b[4096];
        const size_t n = kiln_bytes(want[i]);
        assert_true(n <= sizeof a && kiln_bytes(have[i]) == n && kiln_read(want[i], a, n) && kiln_read(have[i], b, n));
        if (memcmp(a, b, n) != 0) fail_msg("%s, operands on %s, thread on %s: result %d differs", c->name, there, on, i);
    }
}

static void all(kiln *k, const Case *c, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        beside(k, &c[i], "cpu", late_name(0));
        beside(k, &c[i], late_name(0), "cpu");
        beside(k, &c[i], late_name(0), late_name(1));
    }
}

static void all_lies_beside_operands(void **state) { all(*state, cases, sizeof cases / sizeof *cases); }

static void factors_by_lapack_lie_beside_operands(void **state)
{
    if (!graph_has_lapack()) {
        printf("skip: no LAPACK\n");
        skip();
    }
    all(*state, by_lapack, sizeof by_lapack / sizeof *by_lapack);
}

int main(void)
{
    const struct CMUnitTest tests[] = {FRONT_TEST(all_lies_beside_operands), FRONT_TEST(factors_by_lapack_lie_beside_operands)};
    return cmocka_run_group_tests_name("beside", tests, NULL, NULL);
}
