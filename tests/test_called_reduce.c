/* test_called_reduce: an error bears the name of what the program called: reductions, order and contractions. test_called has the others. */
#include "called.h"

#include <math.h>

static void over_axes(Bad *x)
{
    BAD("count_nonzero", SHAPE, kiln_count_nonzero(x->f, KILN_AXES(2)));
    BAD("ptp", SHAPE, kiln_ptp(kiln_zeros(x->k, KILN_F32, KILN_SHAPE(2, 0)), KILN_AXES(1)));
    BAD("ptp", DTYPE, kiln_ptp(x->b, KILN_ALL));
    BAD("reduce_l1", DTYPE, kiln_reduce_l1(x->b, KILN_ALL));
    BAD("reduce_l2", DTYPE, kiln_reduce_l2(x->i, KILN_ALL));
    BAD("reduce_sum_square", SHAPE, kiln_reduce_sum_square(x->f, KILN_AXES(0, 0)));
    BAD("reduce_log_sum", DTYPE, kiln_reduce_log_sum(x->i, KILN_ALL));
    BAD("reduce_logsumexp", SHAPE, kiln_reduce_logsumexp(x->f, KILN_AXES(0, -2)));
    BAD("var", DTYPE, kiln_var(x->i, KILN_ALL, 1));
    BAD("var", VALUE, kiln_var(x->f, KILN_ALL, INFINITY));
    BAD("std", SHAPE, kiln_std(x->f, KILN_AXES(7), 1));
    BAD("average", SHAPE, kiln_average(x->f, x->g, KILN_ALL));
    BAD("average", SHAPE, kiln_average(x->s, x->f, KILN_ALL));
    BAD("average", DTYPE, kiln_average(x->f, x->i, KILN_ALL));
    BAD("nansum", DTYPE, kiln_nansum(x->i, KILN_ALL));
    BAD("nanprod", SHAPE, kiln_nanprod(x->f, KILN_AXES(3)));
    BAD("nanmean", DTYPE, kiln_nanmean(x->b, KILN_ALL));
    BAD("nanmax", SHAPE, kiln_nanmax(kiln_zeros(x->k, KILN_F32, KILN_SHAPE(0)), KILN_ALL));
    BAD("nanmin", VALUE, kiln_nanmin(NULL, KILN_ALL));
    BAD("vector_norm", DTYPE, kiln_vector_norm(x->i, 2, KILN_ALL));
    BAD("vector_norm", VALUE, kiln_vector_norm(x->f, NAN, KILN_ALL));
    BAD("matrix_norm", SHAPE, kiln_matrix_norm(x->s, 1, KILN_ALL));
    BAD("matrix_norm", SHAPE, kiln_matrix_norm(x->image, 1, KILN_AXES(1)));
    BAD("matrix_norm", VALUE, kiln_matrix_norm(x->f, 3, KILN_ALL));
    BAD("quantile", VALUE, kiln_quantile(x->f, 1.5, KILN_ALL, KILN_LINEAR));
    BAD("quantile", VALUE, kiln_quantile(x->f, 0.5, KILN_ALL, (kiln_quantile_method)11));
    BAD("quantile", SHAPE, kiln_quantile(x->f, x->g, KILN_ALL, KILN_LINEAR));
    BAD("quantile", DTYPE, kiln_quantile(x->f, x->i, KILN_ALL, KILN_LINEAR));
    BAD("median", DTYPE, kiln_median(x->i, KILN_ALL));
    BAD("median", SHAPE, kiln_median(kiln_zeros(x->k, KILN_F32, KILN_SHAPE(2, 0)), KILN_AXES(1)));
    BAD("argmax_over", VALUE, kiln_argmax_over(x->f, KILN_ALL, 1));
    BAD("argmin_over", SHAPE, kiln_argmin_over(kiln_zeros(x->k, KILN_F32, KILN_SHAPE(2, 0)), KILN_ALL, 0));
}

static void order(Bad *x)
{
    BAD("cumsum", VALUE, kiln_cumsum(x->f, 0, KILN_EXCLUSIVE | KILN_INITIAL));
    BAD("cumprod", VALUE, kiln_cumprod(x->f, 0, 4));
    BAD("cummax", VALUE, kiln_cummax(x->f, 0, KILN_EXCLUSIVE, NULL));
    BAD("cummin", SHAPE, kiln_cummin(x->f, 2, 0, NULL));
    BAD("logcumsumexp", DTYPE, kiln_logcumsumexp(x->i, 0, 0));
    BAD("diff", SHAPE, kiln_diff(x->f, 0, 1, x->g, NULL));
    BAD("diff", VALUE, kiln_diff(x->f, 0, -1, NULL, NULL));
    BAD("bottom_k", VALUE, kiln_bottom_k(x->f, 4, 1, NULL));
    BAD("searchsorted", SHAPE, kiln_searchsorted(x->f, x->f, 0));
    BAD("searchsorted", DTYPE, kiln_searchsorted(kiln_zeros(x->k, KILN_F32, KILN_SHAPE(3)), x->i, 0));
    BAD("searchsorted", VALUE, kiln_searchsorted(kiln_zeros(x->k, KILN_F32, KILN_SHAPE(3)), x->f, 1));
    BAD("isin", DTYPE, kiln_isin(x->f, x->i));
    BAD("histogram", SHAPE, kiln_histogram(x->f, x->s));
    BAD("histogram", DTYPE, kiln_histogram(x->b, x->s));
    BAD("histogram_range", VALUE, kiln_histogram_range(x->f, 0, 0, 1));
    BAD("histogram_range", VALUE, kiln_histogram_range(x->f, INT64_MAX, 0, 1));
    BAD("histogram_range", VALUE, kiln_histogram_range(x->f, 3, 1, 1));
    BAD("bincount", DTYPE, kiln_bincount(x->f, 3, NULL));
    BAD("bincount", VALUE, kiln_bincount(x->i, -1, NULL));
    BAD("bincount", SHAPE, kiln_bincount(x->i, 3, x->g));
    kiln_tensor *two = kiln_zeros(x->k, KILN_I32, KILN_SHAPE(2));
    BAD("segment_sum", SHAPE, kiln_segment_sum(x->f, x->i, 3));
    BAD("segment_prod", DTYPE, kiln_segment_prod(x->b, two, 3));
    BAD("segment_max", DTYPE, kiln_segment_max(x->f, x->f, 3));
    BAD("segment_min", VALUE, kiln_segment_min(x->f, two, -3));
    BAD("segment_min", SHAPE, kiln_segment_min(kiln_zeros(x->k, KILN_F32, KILN_SHAPE(2, 1 << 20)), two, (int64_t)1 << 40));
    BAD("segment_mean", DTYPE, kiln_segment_mean(x->i, two, 3));
}

static void contractions(Bad *x)
{
    BAD("einsum", SHAPE, kiln_einsum("ij,jk->ik", KILN_IN(x->f, x->g)));
    BAD("einsum", SHAPE, kiln_einsum("ijk->i", KILN_IN(x->f)));
    BAD("einsum", SHAPE, kiln_einsum("ii", KILN_IN(x->f)));
    BAD("einsum", DTYPE, kiln_einsum("ij->", KILN_IN(x->b)));
    BAD("einsum", DTYPE, kiln_einsum("ij,ij", KILN_IN(x->f, x->i)));
    BAD("einsum", VALUE, kiln_einsum("ij,ij", KILN_IN(x->f)));
    BAD("einsum", VALUE, kiln_einsum("ij->ik", KILN_IN(x->f)));
    BAD("einsum", VALUE, kiln_einsum("ij->ii", KILN_IN(x->f)));
    BAD("einsum", VALUE, kiln_einsum("i1->i", KILN_IN(x->f)));
    BAD("einsum", VALUE, kiln_einsum("ij-i", KILN_IN(x->f)));
    BAD("einsum", VALUE, kiln_einsum("ij->i,j", KILN_IN(x->f)));
    BAD("einsum", VALUE, kiln_einsum("...i...->i", KILN_IN(x->f)));
    BAD("einsum", VALUE, kiln_einsum("...i->i", KILN_IN(x->f)));
    BAD("einsum", VALUE, kiln_einsum(NULL, KILN_IN(x->f)));
    BAD("einsum", VALUE, kiln_einsum("", kiln_tensors(NULL, 0)));
    BAD("einsum", VALUE, kiln_einsum("abcdefghi", KILN_IN(x->f)));
    BAD("einsum", SHAPE, kiln_einsum("abcd,efgh,ijkl", KILN_IN(x->image, x->image, x->image)));
    BAD("multi_dot", SHAPE, kiln_multi_dot(KILN_IN(x->f, x->g)));
    BAD("multi_dot", SHAPE, kiln_multi_dot(KILN_IN(x->f, x->s)));
    BAD("tensordot", SHAPE, kiln_tensordot(x->f, x->g, KILN_AXES(0), KILN_AXES(0)));
    BAD("tensordot", SHAPE, kiln_tensordot(x->f, x->g, KILN_AXES(0), KILN_AXES()));
    BAD("tensordot", SHAPE, kiln_tensordot(x->f, x->f, KILN_AXES(0, 0), KILN_AXES(0, 1)));
    BAD("tensordot", DTYPE, kiln_tensordot(x->f, x->i, KILN_AXES(0), KILN_AXES(0)));
    BAD("vecdot", SHAPE, kiln_vecdot(x->f, x->g, -1));
    BAD("vecdot", SHAPE, kiln_vecdot(x->f, x->s, -1));
    BAD("inner", SHAPE, kiln_inner(x->f, x->g));
    BAD("outer", DTYPE, kiln_outer(x->b, x->b));
    BAD("cross", SHAPE, kiln_cross(x->f, x->f, 0));
    BAD("kron", DTYPE, kiln_kron(x->f, x->i));
    BAD("matrix_transpose", SHAPE, kiln_matrix_transpose(x->s));
    kiln_tensor *q = kiln_zeros(x->k, KILN_I8, KILN_SHAPE(3, 3)), *z = kiln_zeros(x->k, KILN_I8, KILN_SHAPE());
    BAD("matmul_integer", DTYPE, kiln_matmul_integer(x->i, q, NULL, NULL));
    BAD("matmul_integer", DTYPE, kiln_matmul_integer(q, q, x->s, NULL));
    BAD("matmul_integer", SHAPE, kiln_matmul_integer(q, q, q, NULL));
    BAD("matmul_integer", SHAPE, kiln_matmul_integer(q, kiln_zeros(x->k, KILN_U8, KILN_SHAPE(2, 2)), NULL, NULL));
    BAD("matmul_integer", SHAPE, kiln_matmul_integer(q, kiln_reshape(q, KILN_SHAPE(-1)), NULL, NULL));
    kiln_tensor *bytes = kiln_cast(x->image, KILN_I8), *filter = kiln_zeros(x->k, KILN_I8, KILN_SHAPE(2, 2, 2, 1));
    BAD("convolve_integer", DTYPE, kiln_convolve_integer(x->image, filter, NULL, NULL, NULL));
    BAD("convolve_integer", DTYPE, kiln_convolve_integer(bytes, filter, x->s, NULL, NULL));
    BAD("convolve_integer", SHAPE, kiln_convolve_integer(bytes, q, NULL, NULL, NULL));
    BAD("convolve_integer", SHAPE, kiln_convolve_integer(bytes, filter, bytes, NULL, NULL));
    BAD("matmul_quantised", DTYPE, kiln_matmul_quantised(q, 1, NULL, q, 1, NULL, 1, x->s));
    BAD("matmul_quantised", DTYPE, kiln_matmul_quantised(q, z, NULL, q, 1, NULL, 1, z));
    BAD("matmul_quantised", SHAPE, kiln_matmul_quantised(q, 1, NULL, q, x->f, NULL, 1, z));
}

void everything(Bad *x)
{
    over_axes(x);
    order(x);
    contractions(x);
}

CALLED_MAIN
