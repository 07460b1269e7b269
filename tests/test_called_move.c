/* test_called_move: errors of movement, subscripts, indices and creation (move.h, make.h) bear the name of what was called. */
#include "called.h"

#include <math.h>

#define S KILN_SHAPE
#define AX KILN_AXES

static void axes(Bad *x)
{
    kiln_tensor *out[4];
    BAD("expand_dims", SHAPE, kiln_expand_dims(x->f, AX(0, 4)));
    BAD("expand_dims", SHAPE, kiln_expand_dims(x->f, AX(1, 1)));
    BAD("expand_dims", SHAPE, kiln_expand_dims(x->f, KILN_ALL));
    BAD("expand_dims", SHAPE, kiln_expand_dims(x->f, AX(0, 1, 2, 3, 4, 5, 6)));
    BAD("squeeze_dims", SHAPE, kiln_squeeze_dims(x->poor, AX(0, 1)));
    BAD("squeeze_dims", SHAPE, kiln_squeeze_dims(x->poor, AX(3)));
    BAD("moveaxis", SHAPE, kiln_moveaxis(x->f, AX(0, 1), AX(0)));
    BAD("moveaxis", SHAPE, kiln_moveaxis(x->f, AX(0, -2), AX(0, 1)));
    BAD("moveaxis", SHAPE, kiln_moveaxis(x->f, AX(0), AX(2)));
    BAD("swapaxes", SHAPE, kiln_swapaxes(x->f, 0, 2));
    BAD("flip", SHAPE, kiln_flip(x->f, AX(2)));
    BAD("flip", VALUE, kiln_flip(3, AX(0)));
    BAD("rot90", SHAPE, kiln_rot90(x->f, 1, 0, -2));
    BAD("rot90", SHAPE, kiln_rot90(x->s, 1, 0, 1));
    BAD("roll", SHAPE, kiln_roll(x->f, S(1, 2, 3), AX(0, 1)));
    BAD("roll", SHAPE, kiln_roll(x->f, S(1, 2), KILN_ALL));
    BAD("roll", SHAPE, kiln_roll(x->f, S(1), AX(-3)));
    BAD("broadcast_like", SHAPE, kiln_broadcast_like(x->f, x->g));
    BAD("broadcast_like", SHAPE, kiln_broadcast_like(x->f, x->s));
    BAD("broadcast_arrays", SHAPE, kiln_broadcast_arrays(KILN_IN(x->s, x->f, x->g), out));
    BAD("broadcast_arrays", VALUE, kiln_broadcast_arrays(KILN_IN(x->f, x->f), NULL));
    BAD("concat", SHAPE, kiln_concat(KILN_IN(x->f, x->s), 0));
    BAD("concat", DTYPE, kiln_concat(KILN_IN(x->f, x->i), KILN_FLAT));
    BAD("stack", SHAPE, kiln_stack(KILN_IN(x->f, x->f), KILN_FLAT));
}

static void sized(Bad *x)
{
    kiln_tensor *out[4];
    BAD("nonzero", SHAPE, kiln_nonzero(x->s));
    BAD("nonzero_within", VALUE, kiln_nonzero_within(x->f, -1));
    BAD("compress", DTYPE, kiln_compress(x->f, x->i, 0));
    BAD("compress", SHAPE, kiln_compress(x->f, kiln_less(x->f, 0), 0));
    BAD("compress_within", VALUE, kiln_compress_within(x->f, kiln_less(x->f, 0), 0, -1));
    BAD("masked", DTYPE, kiln_masked(x->f, x->i));
    BAD("masked", SHAPE, kiln_masked(x->f, kiln_less(x->s, 0)));
    BAD("masked_within", VALUE, kiln_masked_within(x->f, kiln_less(x->f, 0), -1));
    BAD("unique_values", VALUE, kiln_unique_values(3));
    BAD("unique_counts", VALUE, kiln_unique_counts(3, out));
    BAD("unique_inverse", VALUE, kiln_unique_inverse(3, out));
    BAD("unique_all", VALUE, kiln_unique_all(3, out));
    BAD("unique", VALUE, kiln_unique(3, 0, 0, NULL, NULL, NULL));
    BAD("unique", VALUE, kiln_unique(x->f, 0, KILN_DESCENDING, NULL, NULL, NULL));
    BAD("unique", SHAPE, kiln_unique(x->f, 7, 0, &out[0], &out[1], &out[2]));
    BAD("unique", SHAPE, kiln_unique(x->s, 0, KILN_FIRST_MET, NULL, NULL, NULL));
    BAD("non_max_suppression", SHAPE, kiln_non_max_suppression(x->f, x->f, 3, 0.5, 0, false));
    BAD("non_max_suppression", DTYPE, kiln_non_max_suppression(x->f, x->i, 3, 0.5, 0, false));
    BAD("index", DTYPE, kiln_index(x->f, KILN_MASK(x->f)));
}

static void lengths(Bad *x)
{
    kiln_tensor *out[4];
    const int64_t sizes[3] = {1, -1, -1}, more[2] = {3, 1}, rest[2] = {4, -1};
    const int64_t huge = INT64_C(1) << 60;
    BAD("pad", SHAPE, kiln_pad(x->f, S(-1, 0), S(-2, 0), 0));
    BAD("pad", SHAPE, kiln_pad(x->f, S(INT64_MIN, 0), S(0, 0), 0));
    BAD("pad_with", SHAPE, kiln_pad_with(x->f, S(1), S(1), KILN_PAD_EDGE));
    BAD("pad_with", SHAPE, kiln_pad_with(x->f, S(0, -4), S(0, 0), KILN_PAD_EDGE));
    BAD("pad_with", SHAPE, kiln_pad_with(x->f, S(huge, 0), S(0, 0), KILN_PAD_WRAP));
    BAD("pad_with", VALUE, kiln_pad_with(x->f, S(0, 0), S(1, 0), (kiln_padding)4));
    BAD("pad_with", VALUE, kiln_pad_with(x->f, S(-2, 0), S(1, 0), KILN_PAD_REFLECT));
    BAD("tile", VALUE, kiln_tile(x->f, S(1, -1)));
    BAD("tile", SHAPE, kiln_tile(x->f, S(1 << 24, 1 << 24)));
    BAD("tile", SHAPE, kiln_tile(x->f, ((kiln_shape){.rank = 9})));
    BAD("repeat", SHAPE, kiln_repeat(x->f, 2, 2));
    BAD("repeat", VALUE, kiln_repeat(x->f, -2, 0));
    BAD("repeat", SHAPE, kiln_repeat(x->f, huge >> 12, 0));
    BAD("repeat", DTYPE, kiln_repeat(x->f, 2.5, 0));
    BAD("repeat", DTYPE, kiln_repeat(x->f, x->s, 0));
    BAD("repeat", SHAPE, kiln_repeat(x->f, x->i, 0));
    BAD("repeat", VALUE, kiln_repeat(x->f, kiln_i64(x->k, S(2), 1, -1), 0));
    BAD("split", VALUE, kiln_split(x->f, 1, sizes, 3, out));
    BAD("split", SHAPE, kiln_split(x->f, 1, more, 2, out));
    BAD("split", SHAPE, kiln_split(x->f, 1, rest, 2, out));
    BAD("split", SHAPE, kiln_split(x->f, 1, NULL, 2, out));
    BAD("split", SHAPE, kiln_split(x->f, 2, NULL, 1, out));
    BAD("split", VALUE, kiln_split(x->f, 1, NULL, 3, NULL));
    BAD("split", VALUE, kiln_split(x->f, 1, NULL, 0, out));
    BAD("unstack", SHAPE, kiln_unstack(x->f, 1, 2, out));
    BAD("unstack", SHAPE, kiln_unstack(x->s, 0, 1, out));
    BAD("sliding_windows", SHAPE, kiln_sliding_windows(x->f, AX(1), S(4), S()));
    BAD("sliding_windows", SHAPE, kiln_sliding_windows(x->f, AX(1), S(2, 2), S()));
    BAD("sliding_windows", VALUE, kiln_sliding_windows(x->f, AX(1), S(2), S(0)));
    BAD("sliding_windows", VALUE, kiln_sliding_windows(x->f, AX(1), S(0), S()));
    BAD("depth_to_space", SHAPE, kiln_depth_to_space(x->image, 2, -1, KILN_DCR));
    BAD("depth_to_space", SHAPE, kiln_depth_to_space(x->f, 2, 1, KILN_DCR));
    BAD("depth_to_space", VALUE, kiln_depth_to_space(x->image, 0, 1, KILN_DCR));
    BAD("space_to_depth", SHAPE, kiln_space_to_depth(x->image, 3, -1, KILN_CRD));
    BAD("space_to_depth", VALUE, kiln_space_to_depth(x->image, 2, -1, (kiln_depth_order)2));
}

static void diagonals(Bad *x)
{
    BAD("triu", SHAPE, kiln_triu(x->s, 0));
    BAD("tril", SHAPE, kiln_tril(kiln_gather(x->f, 0, 0), 0));
    BAD("diag", SHAPE, kiln_diag(x->s, 0));
    BAD("diag", SHAPE, kiln_diag(x->f, INT64_MIN));
    BAD("diagonal", SHAPE, kiln_diagonal(x->f, 0, 1, -1));
    BAD("diagonal", SHAPE, kiln_diagonal(x->f, 0, 0, 2));
    BAD("trace", SHAPE, kiln_trace(x->s, 0, 0, 1));
}

static void subscripts(Bad *x)
{
    kiln_tensor *one = kiln_zeros(x->k, KILN_I64, S(2)), *three = kiln_zeros(x->k, KILN_I64, S(3));
    const kiln_subscript none = {99, 0, 0, 0, KILN_OPERAND(0)};
    BAD("index", SHAPE, kiln_index(x->f, KILN_AT(0), KILN_AT(0), KILN_AT(0)));
    BAD("index", SHAPE, kiln_index(x->f, KILN_REST, KILN_REST));
    BAD("index", VALUE, kiln_index(x->f, KILN_AT(2)));
    BAD("index", VALUE, kiln_index(x->f, KILN_AT(INT64_MIN)));
    BAD("index", VALUE, kiln_index(x->f, KILN_ALL_OF, KILN_AT(-4)));
    BAD("index", DTYPE, kiln_index(x->f, KILN_AT(0.5)));
    BAD("index", DTYPE, kiln_index(x->f, KILN_AT((bool)1)));
    BAD("index", DTYPE, kiln_index(x->f, KILN_AT(x->b)));
    BAD("index", SHAPE, kiln_index(x->f, KILN_AT(one), KILN_AT(three)));
    BAD("index", VALUE, kiln_index(x->f, KILN_RANGE(0, 1, 0)));
    BAD("index", SHAPE, kiln_index(x->f, KILN_FROM(0, 3)));
    BAD("index", SHAPE, kiln_index(x->f, KILN_FROM(one, 1)));
    BAD("index", DTYPE, kiln_index(x->f, KILN_FROM(x->s, 1)));
    BAD("index", VALUE, kiln_index(NULL, KILN_AT(0)));
    BAD("index", VALUE, kiln_index_at(KILN_HERE, KILN_OPERAND(x->f), kiln_subscript_list(&none, 1)));
    BAD("index", VALUE, kiln_index_at(KILN_HERE, KILN_OPERAND(x->f), kiln_subscript_list(NULL, 1)));
    BAD("index", SHAPE, kiln_index(kiln_zeros(x->k, KILN_F32, S(1, 1, 1, 1, 1, 1, 1, 1)), KILN_NEW));
    BAD("index", SHAPE, kiln_index(kiln_zeros(x->k, KILN_F32, S(0, 3)), KILN_AT(one)));
    BAD("index_update", SHAPE, kiln_index_update(x->f, x->g, KILN_SCATTER_SET, KILN_AT(0)));
    BAD("index_update", SHAPE, kiln_index_update(x->f, x->f, KILN_SCATTER_SET, KILN_AT(0)));
    BAD("index_update", DTYPE, kiln_index_update(x->f, x->i, KILN_SCATTER_SET, KILN_ALL_OF));
    BAD("index_update", DTYPE, kiln_index_update(x->b, true, KILN_SCATTER_MAX, KILN_ALL_OF));
    BAD("index_update", VALUE, kiln_index_update(x->f, 0, (kiln_scatter_how)5, KILN_ALL_OF));
    BAD("index_update", VALUE, kiln_index_update(x->f, 0, KILN_SCATTER_ADD, KILN_AT(7)));
}

static void indices(Bad *x)
{
    kiln_tensor *i = kiln_zeros(x->k, KILN_I64, S(4, 3)), *j = kiln_zeros(x->k, KILN_I64, S(2, 1));
    BAD("gather_nd", SHAPE, kiln_gather_nd(x->f, i, 0));
    BAD("gather_nd", SHAPE, kiln_gather_nd(x->f, j, 2));
    BAD("gather_nd", SHAPE, kiln_gather_nd(x->g, j, 1));
    BAD("gather_nd", SHAPE, kiln_gather_nd(x->f, j, -1));
    BAD("gather_nd", SHAPE, kiln_gather_nd(x->f, 0, 0));
    BAD("gather_nd", DTYPE, kiln_gather_nd(x->f, x->f, 0));
    BAD("scatter_nd", SHAPE, kiln_scatter_nd(x->f, j, x->g, KILN_SCATTER_SET));
    BAD("scatter_nd", DTYPE, kiln_scatter_nd(x->f, j, x->i, KILN_SCATTER_SET));
    BAD("scatter_nd", VALUE, kiln_scatter_nd(x->f, j, 1, (kiln_scatter_how)9));
    BAD("scatter_along", SHAPE, kiln_scatter_along(x->f, i, 1, 1, KILN_SCATTER_SET));
    BAD("scatter_along", SHAPE, kiln_scatter_along(x->f, j, x->g, 1, KILN_SCATTER_ADD));
    BAD("scatter_along", SHAPE, kiln_scatter_along(x->f, x->i, x->f, 2, KILN_SCATTER_ADD));
    BAD("scatter_along", DTYPE, kiln_scatter_along(x->b, j, true, 1, KILN_SCATTER_ADD));
    BAD("put", SHAPE, kiln_put(x->f, j, x->f));
    BAD("put", DTYPE, kiln_put(x->f, j, x->i));
    BAD("put", DTYPE, kiln_put(x->f, x->f, 1));
}

static void creation(Bad *x)
{
    kiln_tensor *out[10];
    kiln *k = x->k;
    BAD("arange", VALUE, kiln_arange(k, KILN_I32, 0, 3, 0));
    BAD("arange", VALUE, kiln_arange(k, KILN_F32, 0, 3, 0));
    BAD("arange", VALUE, kiln_arange(k, KILN_F32, 0, INFINITY, 1));
    BAD("arange", VALUE, kiln_arange(k, KILN_I32, 0, 3, 0.5));
    BAD("arange", VALUE, kiln_arange(k, KILN_U8, 0, 257, 1));
    BAD("arange", DTYPE, kiln_arange(k, KILN_BOOL, 0, 1, 1));
    BAD("arange", DTYPE, kiln_arange(k, (kiln_dtype)77, 0, 1, 1));
    BAD("arange", VALUE, kiln_arange(k, KILN_F32, 0, x->s, 1));
    BAD("arange", SHAPE, kiln_arange(k, KILN_F32, 0, 1e300, 1));
    BAD("arange", SHAPE, kiln_arange(k, KILN_I64, INT64_MIN, INT64_MAX, 1));
    BAD("linspace", VALUE, kiln_linspace(k, KILN_F32, 0, 1, -1, true));
    BAD("linspace", DTYPE, kiln_linspace(k, KILN_I32, 0, 1, 3, true));
    BAD("logspace", DTYPE, kiln_logspace(k, KILN_BOOL, 0, 1, 3, 10));
    BAD("eye", SHAPE, kiln_eye(k, KILN_F32, -1, 2, 0));
    BAD("eye", SHAPE, kiln_eye(k, KILN_F32, 1 << 26, 1 << 26, 0));
    BAD("eye", DTYPE, kiln_eye(k, (kiln_dtype)-1, 2, 2, 0));
    BAD("full_like", VALUE, kiln_full_like(x->f, x->s));
    BAD("full_like", DTYPE, kiln_full_like(x->i, 0.5));
    BAD("iota_along", SHAPE, kiln_iota_along(x->f, 2, KILN_I64));
    BAD("iota_along", DTYPE, kiln_iota_along(x->f, 1, (kiln_dtype)99));
    BAD("meshgrid", SHAPE, kiln_meshgrid(KILN_IN(x->s, x->f), false, out));
    BAD("meshgrid", SHAPE, kiln_meshgrid(KILN_IN(x->s, x->s, x->s, x->s, x->s, x->s, x->s, x->s, x->s), false, out));
    BAD("meshgrid", DTYPE, kiln_meshgrid(KILN_IN(x->s, 0.5), false, out));
}

void everything(Bad *x)
{
    axes(x);
    sized(x);
    lengths(x);
    diagonals(x);
    subscripts(x);
    indices(x);
    creation(x);
}

CALLED_MAIN
