/* test_onnx_save_more: functions of many kinds as files of ONNX: elementary functions, orders, sums along axes, sizes that nodes count,
 * pools, products, attention, Fourier transforms. Read again they compute the same, bit for bit but where a row says how far off. */
#include "onnx_round.h"

#include <kiln/fft.h>
#include <kiln/linalg.h>
#include <kiln/nn.h>

#define P kiln_add(kiln_abs(X), 0.25) /* above 0 */
#define U kiln_mul(X, 0.45)           /* within 1 */
#define I kiln_cast(kiln_mul(X, 3), KILN_I32)
#define B kiln_greater(X, 0.3)
#define F(x) kiln_cast(x, KILN_F32)

/* ---- one operand, element by element */
BODY(lgamma_, kiln_lgamma(P))
BODY(digamma_, kiln_digamma(P))
BODY(cbrt_, kiln_cbrt(X))
BODY(erfc_, kiln_erfc(kiln_mul(X, 3)))
BODY(erfinv_, kiln_erfinv(U))
BODY(i0_, kiln_i0(X))
BODY(i1_, kiln_i1(X))
BODY(logit_, kiln_logit(kiln_sigmoid(X)))
BODY(expm1_, kiln_expm1(kiln_mul(X, 1e-4)))
BODY(log1p_, kiln_log1p(kiln_mul(X, 1e-4)))
BODY(log2_, kiln_add(kiln_log2(P), kiln_log10(P)))
BODY(trigonometric, kiln_add(kiln_tan(U), kiln_add(kiln_asin(U), kiln_add(kiln_acos(U), kiln_atan(X)))))
BODY(hyperbolic, kiln_add(kiln_sinh(X), kiln_add(kiln_cosh(X), kiln_add(kiln_asinh(X), kiln_add(kiln_acosh(kiln_add(P, 1)), kiln_atanh(U))))))
BODY(rounded, kiln_add(kiln_round(kiln_mul(X, 2)), kiln_add(kiln_trunc(X), kiln_add(kiln_ceil(X), kiln_floor(X)))))
BODY(tanhshrink_, kiln_tanhshrink(X))
BODY(activations_more, kiln_add(kiln_mish(X), kiln_add(kiln_elu(X, 1), kiln_add(kiln_hardswish(X), kiln_add(kiln_gelu_tanh(X), kiln_softsign(X))))))
BODY(logsigmoid_, kiln_logsigmoid(X))
BODY(infinite, kiln_add(F(kiln_isinf(kiln_log(kiln_relu(X)))), kiln_add(F(kiln_isfinite(kiln_log(X))), F(kiln_signbit(X)))))
/* ---- two operands */
BODY(atan2_, kiln_atan2(X, kiln_flip(X, KILN_AXES(0))))
BODY(hypot_, kiln_hypot(X, kiln_flip(X, KILN_AXES(0))))
BODY(logaddexp_, kiln_logaddexp(X, kiln_flip(X, KILN_AXES(0))))
BODY(copysign_, kiln_copysign(P, X))
BODY(remainders, kiln_add(kiln_mod(X, 0.7), kiln_add(kiln_fmod(X, 0.7), kiln_floor_div(X, 0.7))))
BODY(powers, kiln_add(kiln_pow(P, X), kiln_pow(X, 3)))
BODY(nextafter_, kiln_nextafter(X, 9))
BODY(xlogy_, kiln_xlogy(P, P))
/* ---- integers and bits */
BODY(bits, kiln_xor(kiln_and(I, 6), kiln_or(kiln_not(I), 8)))
BODY(shifts, kiln_add(kiln_shl(I, 3), kiln_shr(I, 1)))
BODY(unsigned_shifts, kiln_add(kiln_shl(kiln_cast(P, KILN_U8), 3), kiln_shr(kiln_cast(kiln_mul(P, 99), KILN_U8), 1)))
BODY(popcount_, kiln_popcount(kiln_cast(kiln_mul(P, 99), KILN_U32)))
BODY(integer_powers, kiln_pow(I, 3))
BODY(small_integers, kiln_add(kiln_sum(kiln_cast(X, KILN_I8), KILN_AXES(1)), kiln_prod(kiln_cast(X, KILN_I8), KILN_AXES(1))))
BODY(small_order, kiln_add(kiln_reduce_max(kiln_cast(I, KILN_I16), KILN_AXES(0)), kiln_reduce_min(kiln_cast(I, KILN_I16), KILN_AXES(0))))
BODY(small_sums, kiln_cumsum(kiln_cast(I, KILN_I8), 1, 0))
BODY(unsigned_sign, kiln_add(kiln_relu(kiln_cast(P, KILN_U32)), kiln_neg(kiln_cast(P, KILN_U32))))
BODY(integer_division, kiln_add(kiln_floor_div(I, kiln_add(kiln_abs(I), 1)), kiln_mod(I, 5)))
/* ---- bools */
BODY(bool_order, kiln_concat(KILN_IN(kiln_max(B, kiln_not(B)), kiln_min(B, B)), 0))
BODY(bool_compare, kiln_concat(KILN_IN(kiln_less(B, kiln_flip(B, KILN_AXES(0))), kiln_le(B, kiln_flip(B, KILN_AXES(0)))), 0))
BODY(bool_folds, kiln_concat(KILN_IN(kiln_any(B, KILN_AXES(0)), kiln_all(B, KILN_AXES(0))), 0))
BODY(bool_places, kiln_add(kiln_argmax(B, 0), kiln_argsort(kiln_cast(B, KILN_I32), 0, 0)))
BODY(counts, kiln_count_nonzero(X, KILN_AXES(0)))
BODY(bool_moves, kiln_pad(kiln_concat(KILN_IN(B, kiln_flip(B, KILN_AXES(1))), 0), S(1, 0), S(0, 2), 1))
/* ---- along axes */
BODY(cumprod_, kiln_cumprod(X, 1, 0))
BODY(cumprod_back, kiln_cumprod(X, 0, KILN_REVERSE | KILN_EXCLUSIVE))
BODY(cummax_, kiln_cummax(X, 1, 0, NULL))
BODY(logcumsumexp_, kiln_logcumsumexp(X, 1, 0))
BODY(recurrence_, kiln_recurrence(U, X, 1, 0))
BODY(recurrence_back, kiln_recurrence(U, X, 0, KILN_REVERSE))
BODY(sorted_bits, kiln_sort(kiln_round(X), 1, 0))
BODY(arg_ties, kiln_concat(KILN_IN(kiln_argmax(kiln_round(X), 1), kiln_argmin(kiln_round(X), 1)), 0))
BODY(order_ties, kiln_argsort(kiln_round(X), 1, KILN_DESCENDING))
BODY(top_k_, kiln_top_k(X, 3, 1, NULL))
BODY(median_, kiln_median(X, KILN_AXES(1)))
BODY(moments, kiln_add(kiln_var(X, KILN_AXES(0), 1), kiln_logsumexp(kiln_transpose(X, KILN_ALL), 1)))
BODY(searched, kiln_searchsorted(kiln_sort(kiln_reshape(X, S(-1)), 0, 0), X, 0))
BODY(binned, kiln_bincount(kiln_reshape(kiln_cast(P, KILN_I64), S(-1)), 5, NULL))
BODY(histogram_, kiln_histogram_range(X, 5, -2, 2))
/* ---- places and moves */
BODY(taken_along, kiln_take_along(X, kiln_argsort(X, 1, 0), 1))
BODY(gathered_nd, kiln_gather_nd(X, kiln_i64(e, S(3, 2), 0, 1, 3, 2, 2, 5), 0))
BODY(scattered_nd, kiln_scatter_nd(X, kiln_i64(e, S(2, 2), 0, 1, 3, 2), kiln_full(e, KILN_F32, S(2), 9), KILN_SCATTER_ADD))
BODY(scattered_most, kiln_scatter(X, kiln_i64(e, S(3), 1, 1, 0), kiln_slice(X, 0, 0, 3, 1), 0, KILN_SCATTER_MAX))
BODY(triangles, kiln_add(kiln_triu(X, 1), kiln_tril(X, 0)))
BODY(diagonals, kiln_diag(kiln_diagonal(X, 0, 0, 1), 0))
BODY(rolled, kiln_roll(X, S(2), KILN_AXES(1)))
BODY(tiled, kiln_tile(X, S(2, 3)))
BODY(repeated, kiln_repeat(X, 3, 1))
BODY(one_hot_, kiln_one_hot(kiln_argmax(X, 1), 6, KILN_F32))
BODY(reflected, kiln_pad_with(X, S(2, 1), S(0, 3), KILN_PAD_REFLECT))
BODY(indexed, kiln_slice(kiln_flip(X, KILN_AXES(1)), 1, 1, 6, 2))
/* ---- products, windows, transforms */
BODY(einsum_, kiln_einsum("ij,kj->ik", KILN_IN(X, X)))
BODY(outer_, kiln_outer(kiln_sum(X, KILN_AXES(0)), kiln_sum(X, KILN_AXES(1))))
BODY(byte_product, kiln_matmul_integer(kiln_cast(X, KILN_I8), kiln_cast(kiln_transpose(X, KILN_ALL), KILN_I8), 1, NULL))
BODY(short_product, kiln_matmul_integer(kiln_cast(X, KILN_I8), kiln_cast(kiln_transpose(kiln_abs(X), KILN_ALL), KILN_U8), NULL, NULL))
BODY(average_pool, kiln_pool(kiln_reshape(X, S(1, 4, 6, 1)), KILN_POOL_AVERAGE, &(kiln_pooling){.size = {3, 2}, .stride = {1, 2}, .pad = {{1, 1}}}))
BODY(pool_places, kiln_pool_indices(kiln_reshape(X, S(1, 1, 4, 6)), &out[0], KILN_INDEX_WHOLE, &(kiln_pooling){.size = {2, 2}, .channels_first = true}))
BODY(resized, kiln_resize(kiln_reshape(X, S(1, 4, 6, 1)), KILN_AXES(1, 2), &(kiln_resizing){.size = {7, 9}}))
BODY(transformed, kiln_sum(kiln_square(kiln_rfft(X, 0, 1, KILN_FFT_BACKWARD)), KILN_AXES(-1)))
BODY(normed, kiln_normalize(X, 2, 1, 1e-5))
BODY(cross_entropy_, kiln_cross_entropy(X, kiln_argmax(kiln_flip(X, KILN_AXES(1)), 1)))
/* ---- sizes that nodes count */
BODY(nonzero_, kiln_nonzero(kiln_relu(X)))
BODY(compressed, kiln_compress(X, kiln_greater(kiln_sum(X, KILN_AXES(0)), 0), 1))
BODY(compressed_sum, kiln_sum(kiln_square(kiln_compress(kiln_reshape(X, S(-1)), kiln_reshape(B, S(-1)), 0)), KILN_ALL))
BODY(unique_, kiln_unique_values(kiln_round(X)))
BODY(masked_, kiln_masked(X, B))
BODY(suppressed, kiln_non_max_suppression(kiln_reshape(kiln_concat(KILN_IN(X, X), 0), S(1, 12, 4)), kiln_reshape(kiln_slice(kiln_reshape(X, S(-1)), 0, 0, 12, 1), S(1, 1, 12)), 4, 0.5, 0.1, 0))
/* ---- matrices */
#define M4 kiln_add(kiln_matmul(X, kiln_transpose(X, KILN_ALL)), kiln_mul(kiln_eye(e, KILN_F32, 4, 4, 0), 3))
BODY(cholesky_, kiln_cholesky(M4))
BODY(solved, kiln_solve(M4, X))
BODY(inverted, kiln_inverse(M4))
BODY(determinant, kiln_det(M4))

typedef struct Row {
    const char *name;
    kiln_body *body;
    double off;
} Row;
static const Row row[] = {
#define ROW(name, off) {#name, name, off}
    ROW(lgamma_, 3e-6), ROW(digamma_, 3e-6), ROW(cbrt_, 1e-6), ROW(erfc_, 1e-6), ROW(erfinv_, 3e-6), ROW(i0_, 3e-6), ROW(i1_, 3e-6), ROW(logit_, 3e-6), ROW(expm1_, 1e-6), ROW(log1p_, 1e-6), ROW(log2_, 1e-6),
    ROW(trigonometric, 1e-6), ROW(hyperbolic, 1e-6), ROW(rounded, 0), ROW(tanhshrink_, 1e-6), ROW(activations_more, 1e-6), ROW(logsigmoid_, 1e-6), ROW(infinite, 0), ROW(atan2_, 1e-6), ROW(hypot_, 1e-6), ROW(logaddexp_, 1e-6), ROW(copysign_, 0), ROW(remainders, 1e-6), ROW(powers, 1e-6), ROW(nextafter_, 0), ROW(xlogy_, 1e-6),
    ROW(bits, 0), ROW(shifts, 0), ROW(unsigned_shifts, 0), ROW(popcount_, 0), ROW(integer_powers, 0), ROW(small_integers, 0), ROW(small_order, 0), ROW(small_sums, 0), ROW(unsigned_sign, 0), ROW(integer_division, 0),
    ROW(bool_order, 0), ROW(bool_compare, 0), ROW(bool_folds, 0), ROW(bool_places, 0), ROW(counts, 0), ROW(bool_moves, 0),
    ROW(cumprod_, 2e-6), ROW(cumprod_back, 2e-6), ROW(cummax_, 0), ROW(logcumsumexp_, 2e-6), ROW(recurrence_, 2e-6), ROW(recurrence_back, 2e-6), ROW(sorted_bits, 0), ROW(arg_ties, 0), ROW(order_ties, 0), ROW(top_k_, 0), ROW(median_, 0), ROW(moments, 1e-6), ROW(searched, 0), ROW(binned, 0), ROW(histogram_, 0),
    ROW(taken_along, 0), ROW(gathered_nd, 0), ROW(scattered_nd, 0), ROW(scattered_most, 0), ROW(triangles, 0), ROW(diagonals, 0), ROW(rolled, 0), ROW(tiled, 0), ROW(repeated, 0), ROW(one_hot_, 0), ROW(reflected, 0), ROW(indexed, 0),
    ROW(einsum_, 0), ROW(outer_, 0), ROW(byte_product, 0), ROW(short_product, 0), ROW(average_pool, 1e-6), ROW(pool_places, 0), ROW(resized, 1e-6), ROW(transformed, 1e-5), ROW(normed, 1e-6), ROW(cross_entropy_, 1e-6),
    ROW(nonzero_, 0), ROW(compressed, 0), ROW(compressed_sum, 0), ROW(unique_, 0), ROW(masked_, 0), ROW(suppressed, 0), ROW(cholesky_, 1e-5), ROW(solved, 1e-5), ROW(inverted, 1e-5), ROW(determinant, 1e-5)};
enum { ROWS = sizeof row / sizeof *row };

static void all_go_round(void **state)
{
    open_folder(*state);
    for (int i = 0; i < ROWS; i++) {
        KILN_SCOPE(k);
        kiln_function *f = kiln_function_new(k, row[i].body, NULL, &(kiln_function_options){.name = row[i].name, .inputs = {KILN_SPEC(KILN_F32, 4, 6)}});
        written(row[i].name, f);
        read_again(row[i].name, 0, f, KILN_IN(filled(S(4, 6))), 1, row[i].off);
        kiln_function_free(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {FRONT_TEST(all_go_round)};
    return cmocka_run_group_tests_name("onnx_save_more", tests, NULL, close_folder);
}
