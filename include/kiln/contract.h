/* contract.h: products of matrices and attention. ops.h includes it and says what operands are; it compiles alone as C11 and C++17. */
#ifndef KILN_CONTRACT_H
#define KILN_CONTRACT_H

#include "core.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- contraction ---------------------------------------------------------------------------------------------------------- */
/* x [..., m, k] . y [..., k, n] -> [..., m, n] for floats. Leading axes broadcast. A rank-1 x is a row and a rank-1 y a column, and
 * the result lacks that axis. A transposed operand is read in place. The cost is 2 m k n flops per batch entry. */
KILN_API kiln_tensor *kiln_matmul_at(kiln_site at, kiln_operand x, kiln_operand y);
/* The same for integers of any dtypes, with products and sums in `to`: i32, u32, i64 or u64. They are exact modulo 2^32 or 2^64, as if x
 * and y were cast to `to` first, and never saturate; in i32, k products of i8 or u8 cannot wrap up to k = 2^15. i8, u8 and i16 in i32 are
 * twice as fast as f32 on a CPU with AVX-512 VNNI, and no slower on others; all else is several times slower. Other dtypes are
 * KILN_EDTYPE. No gradient flows. */
KILN_API kiln_tensor *kiln_matmul_to_at(kiln_site at, kiln_operand x, kiln_operand y, kiln_dtype to);

/* Products and sums by labels, as NumPy's einsum: "ij,jk->ik" is a product of matrices, "bij,bjk->bik" many, "ii->i" a diagonal, "ij->"
 * a sum, "i,j->ij" an outer product. A label is a letter, in each operand one per axis; "..." stands for the axes that have none, which
 * broadcast. Labels that the part behind -> lacks are summed over; without -> it is "..." and the labels met once, in order of the
 * alphabet. An axis of size 1 broadcasts against the label's other axes. Numbers of one kind, promoted; integers wrap, and those of 8 and 16
 * bits have the bits of sums in their own dtype. Several operands are contracted two at a time in the order of the least products (by all
 * orders for up to 8, else the cheapest pair next), each a matmul if it can be, with transposes read in place. In a trace of bounded sizes
 * that order must be one for all of them; else it is KILN_EUNSUPPORTED. Each step of 16-bit floats adds up in f32 and rounds. Gradients
 * flow to all.
 * The operands are KILN_IN(x, y) or kiln_tensors(x, n). */
KILN_API kiln_tensor *kiln_einsum_at(kiln_site at, const char *labels, kiln_operands x);
/* The product of all matrices, x[0] . x[1] ..., in the order of the least products; the first and last may be vectors (a row, a
 * column). F; at least one operand. */
KILN_API kiln_tensor *kiln_multi_dot_at(kiln_site at, kiln_operands x);
/* Numbers, as kiln_einsum: the sum over pairs of axes, xa[i] of x and ya[i] of y, of equal sizes; the result has x's other axes and then
 * y's. KILN_AXES() gives all products; the last N of x with the first N of y, NumPy's axes=N, are KILN_AXES(-2, -1), KILN_AXES(0, 1). */
KILN_API kiln_tensor *kiln_tensordot_at(kiln_site at, kiln_operand x, kiln_operand y, kiln_axes xa, kiln_axes ya);
KILN_API kiln_tensor *kiln_vecdot_at(kiln_site at, kiln_operand x, kiln_operand y, int axis); /* N; sum(x * y) along the axis, after broadcasting */
KILN_API kiln_tensor *kiln_inner_at(kiln_site at, kiln_operand x, kiln_operand y); /* N; the sum over both last axes; a scalar scales */
KILN_API kiln_tensor *kiln_outer_at(kiln_site at, kiln_operand x, kiln_operand y); /* N; both flattened: [n], [m] -> [n, m] */
/* N; x and y have size 3 along the axis and broadcast along the others */
KILN_API kiln_tensor *kiln_cross_at(kiln_site at, kiln_operand x, kiln_operand y, int axis);
KILN_API kiln_tensor *kiln_kron_at(kiln_site at, kiln_operand x, kiln_operand y); /* N; blocks of y, each times an element of x; sizes multiply */
KILN_API kiln_tensor *kiln_matrix_transpose_at(kiln_site at, kiln_operand x);     /* A; the last two axes exchanged; at least rank 2 */

/* (x - x_zero) . (y - y_zero) in i32, for i8 and u8 (ONNX MatMulInteger). A zero point is NULL (0), a number, or a tensor of its operand's
 * dtype: a scalar, or one for each row of x ([m] or [..., m, 1]), or each column of y ([n] or [..., 1, n]). Zero points cost two sums beside
 * the product of bytes. No gradient. */
KILN_API kiln_tensor *kiln_matmul_integer_at(kiln_site at, kiln_operand x, kiln_operand y, kiln_operand x_zero, kiln_operand y_zero);
/* The same product, scaled and rounded to zero's dtype, i8 or u8 (ONNX QLinearMatMul): round(product * (x_scale * y_scale / scale)) to
 * even, plus zero, saturated. Scales are f32, numbers or shaped as zero points; scale and zero are scalars. */
KILN_API kiln_tensor *kiln_matmul_quantised_at(kiln_site at, kiln_operand x, kiln_operand x_scale, kiln_operand x_zero, kiln_operand y,
    kiln_operand y_scale, kiln_operand y_zero, kiln_operand scale, kiln_operand zero);

/* Attention: each query's mean of the values, weighed by the softmax of score = cap tanh(scale q.k / cap) + mask (without a cap:
 * scale q.k + mask) over the keys that it sees. A query that sees nothing, or only scores of minus infinity, gives 0. */
typedef struct kiln_attention_options {
    kiln_tensor *mask; /* broadcasts to [..., heads, queries, keys]: bools, true where a key is seen, or floats that are added; NULL: none */
    bool causal;       /* query i sees keys 0 to i + keys - queries: the last one sees all */
    double scale;      /* 0 stands for 1 / sqrt(d) */
    double cap;        /* 0: none */
    /* With causal, query i sees keys 0 to i + offset: integers that broadcast to [..., heads, queries, keys], such as a scalar or [batch, 1, 1,
     * 1]; they may be below 0. NULL: keys - queries, or 0 if .first. As these are numbers, a cache of keys that grows needs no new trace; for
     * more than one query it takes the memory of a mask of queries times keys. */
    kiln_tensor *offset;
    bool first;        /* with causal: query 0 is at key 0, as is_causal of PyTorch, and of ONNX without past keys, has it */
    kiln_tensor *lengths; /* integers, shaped as offset: keys from there on are not seen (ONNX nonpad_kv_seqlen); NULL: all are */
} kiln_attention_options;
/* q [..., heads, queries, d], k [..., groups, keys, d], v [..., groups, keys, e] give [..., heads, queries, e]; of rank 2 there is one
 * head. heads is a multiple of groups; query head i uses key head i / (heads / groups). Floats, promoted to one dtype, computed in
 * f32 (f64) and rounded once; d and e up to 8192. It takes no memory for queries times keys, and neither does its gradient, which
 * flows to q, k, v and a mask of floats (for the mask, and at second order, it does take that memory). The order of its sums is its
 * own (docs/numerics.md, Order; Dao et al. 2022, FlashAttention). options may be NULL. */
KILN_API kiln_tensor *kiln_attention_sized(kiln_site at, kiln_operand q, kiln_operand k, kiln_operand v,
    const kiln_attention_options *options, size_t size);

/* Rotary position embeddings (Su et al. 2021; ONNX's RotaryEmbedding): the first 2 r elements of each vector of x [..., heads, n, d], or [n,
 * d], are r pairs, of which the one at place p is turned by the angles whose cosines and sines are [p's row, r]; the others stay. */
typedef struct kiln_rotary_options {
    bool interleaved; /* pairs are neighbours, 0 with 1, ...; else one from each half, 0 with r, ... */
    bool heads_last;  /* x is [..., n, heads, d] */
    bool back;        /* turns back: by the negative angles */
} kiln_rotary_options;
/* cosines and sines are tables [places, r] of which integers positions, [n] or [..., n] without the axis of heads, name rows (out of range as
 * kiln_gather), or if positions is NULL, [n, r] or [..., n, r] themselves. Floats; 16-bit ones compute in f32 and round once. The result has
 * x's dtype. Gradients flow to x and to the tables. options may be NULL. */
KILN_API kiln_tensor *kiln_rotary_sized(kiln_site at, kiln_operand x, kiln_operand cosines, kiln_operand sines, kiln_operand positions,
    const kiln_rotary_options *options, size_t size);
/* The usual tables: of place p and pair i the cosine and the sine of p base^(-i / pairs), [places, pairs] (base 0: 10000), computed in f64
 * and rounded once. False after an error: both are poison. */
KILN_API bool kiln_rotary_tables_at(kiln_site at, kiln *k, kiln_dtype t, int64_t places, int64_t pairs, double base, kiln_tensor **cosines,
    kiln_tensor **sines);

#ifdef __cplusplus
}
#endif

/* ---- the calls as programs write them ---------------------------------------------------------------------------------- */
/* x: KILN_IN(...), kiln_tensors(...) */
#define kiln_einsum(labels, ...) kiln_einsum_at(KILN_HERE, (labels), __VA_ARGS__)
#define kiln_multi_dot(...) kiln_multi_dot_at(KILN_HERE, __VA_ARGS__)
/* options: &(kiln_attention_options){...} or NULL */
#define kiln_attention(q, k, v, ...) \
    kiln_attention_sized(KILN_HERE, KILN_OPERAND(q), KILN_OPERAND(k), KILN_OPERAND(v), __VA_ARGS__, sizeof(kiln_attention_options))
/* options: &(kiln_rotary_options){...} or NULL */
#define kiln_rotary(x, cosines, sines, positions, ...)                                                                             \
    kiln_rotary_sized(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(cosines), KILN_OPERAND(sines), KILN_OPERAND(positions), __VA_ARGS__, \
        sizeof(kiln_rotary_options))
#define kiln_rotary_tables(k, t, places, pairs, base, cosines, sines) \
    kiln_rotary_tables_at(KILN_HERE, (k), (t), (places), (pairs), (base), (cosines), (sines))
/* Made of the prototypes above by frontend/ops/calls.sh. */
#define kiln_matmul(x, y) kiln_matmul_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y))
#define kiln_matmul_to(x, y, to) kiln_matmul_to_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y), (to))
#define kiln_tensordot(x, y, xa, ya) kiln_tensordot_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y), xa, ya)
#define kiln_vecdot(x, y, axis) kiln_vecdot_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y), (axis))
#define kiln_inner(x, y) kiln_inner_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y))
#define kiln_outer(x, y) kiln_outer_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y))
#define kiln_cross(x, y, axis) kiln_cross_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y), (axis))
#define kiln_kron(x, y) kiln_kron_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y))
#define kiln_matrix_transpose(x) kiln_matrix_transpose_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_matmul_integer(x, y, x_zero, y_zero) kiln_matmul_integer_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y), KILN_OPERAND(x_zero), KILN_OPERAND(y_zero))
#define kiln_matmul_quantised(x, x_scale, x_zero, y, y_scale, y_zero, scale, zero) kiln_matmul_quantised_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(x_scale), KILN_OPERAND(x_zero), KILN_OPERAND(y), KILN_OPERAND(y_scale), KILN_OPERAND(y_zero), KILN_OPERAND(scale), KILN_OPERAND(zero))

#endif
