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

/* Attention: each query's mean of the values, weighed by the softmax of score = cap tanh(scale q.k / cap) + mask (without a cap:
 * scale q.k + mask) over the keys that it sees. A query that sees nothing, or only scores of minus infinity, gives 0. */
typedef struct kiln_attention_options {
    kiln_tensor *mask; /* broadcasts to [..., heads, queries, keys]: bools, true where a key is seen, or floats that are added; NULL: none */
    bool causal;       /* query i sees keys 0 to i + keys - queries: the last one sees all */
    double scale;      /* 0 stands for 1 / sqrt(d) */
    double cap;        /* 0: none */
} kiln_attention_options;
/* q [..., heads, queries, d], k [..., groups, keys, d], v [..., groups, keys, e] give [..., heads, queries, e]; of rank 2 there is one
 * head. heads is a multiple of groups; query head i uses key head i / (heads / groups). Floats, promoted to one dtype, computed in
 * f32 (f64) and rounded once; d and e up to 8192. It takes no memory for queries times keys, and neither does its gradient, which
 * flows to q, k, v and a mask of floats (for the mask, and at second order, it does take that memory). The order of its sums is its
 * own (docs/numerics.md, Order; Dao et al. 2022, FlashAttention). options may be NULL. */
KILN_API kiln_tensor *kiln_attention_sized(kiln_site at, kiln_operand q, kiln_operand k, kiln_operand v,
    const kiln_attention_options *options, size_t size);

#ifdef __cplusplus
}
#endif

/* ---- the calls as programs write them ---------------------------------------------------------------------------------- */
/* options: &(kiln_attention_options){...} or NULL */
#define kiln_attention(q, k, v, ...) \
    kiln_attention_sized(KILN_HERE, KILN_OPERAND(q), KILN_OPERAND(k), KILN_OPERAND(v), __VA_ARGS__, sizeof(kiln_attention_options))
/* Made of the prototypes above by frontend/ops/calls.sh. */
#define kiln_matmul(x, y) kiln_matmul_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y))
#define kiln_matmul_to(x, y, to) kiln_matmul_to_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y), (to))

#endif
