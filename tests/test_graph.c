/* Building graphs: what each op's results are or why it is refused, appending, hashing, facts of
 * types. */
#include "failing.h"
#include "ir/infer.h"
#include "ir/text.h"

#include <stdio.h>

/* ---- inference: one row per case --------------------------------------------------------- */

typedef struct Case {
    const char *params, *node,
        *expected; /* the results' types, or "!" and the error without its place */
} Case;

/* Bodies for regions; K, N >= 1, M may be 0. */
static const char frame[] =
    "module { dims N in [1,256], M in [0,8], K in [3,9], T in loop, C in node N }\n"
    "graph @main(%s) -> () {\n%s\n}\n"
    "graph @step(%%1: i64[], %%2: f32[], %%3: f32[4]) -> (%%2, %%3) { }\n"
    "graph @count(%%1: i64[], %%2: f32[]) -> (%%2, %%1) { }\n"
    "graph @more(%%1: i64[], %%2: f32[], %%3: f32[4]) -> (%%3, %%2) { }\n"
    "graph @sums(%%1: f32[4], %%2: f32[4]) -> (%%3, %%1) { %%3 = add(%%1, %%2) }\n"
    "graph @mixed(%%1: f32[4], %%2: f32[4]) -> (%%1, %%3) { %%3 = lt(%%1, %%2) }\n"
    "graph @below(%%1: i64[], %%2: f32[], %%3: f32[4]) -> (%%5) { %%4 = constant() {f32, 1, []}\n%%5 = lt(%%2, %%4) }\n"
    "graph @unchanged(%%1: i64[], %%2: f32[], %%3: f32[4]) -> (%%2, %%2) { }\n"
    "graph @none() -> () { }\n";

static const Case cases[] = {
    /* elementwise */
    {"%1: f32[2,3], %2: f32[2,3]", "%9 = add(%1, %2)", "f32[2,3]"},
    {"%1: f32[2,3], %2: f32[2,3]", "%9 = lt(%1, %2)", "bool[2,3]"},
    {"%1: f32[2,3], %2: f32[3,2]", "%9 = add(%1, %2)", "!add: shapes differ: f32[2,3] x f32[3,2]"},
    {"%1: f32[2], %2: i32[2]", "%9 = add(%1, %2)", "!add: dtypes differ: f32[2] x i32[2]"},
    {"%1: f32[N], %2: f32[M]", "%9 = mul(%1, %2)", "!mul: shapes differ: f32[N] x f32[M]"},
    {"%1: i32[3]", "%9 = sqrt(%1)", "!sqrt: needs floats, use kiln_cast: i32[3]"},
    {"%1: bool[3]", "%9 = neg(%1)", "!neg: needs numbers, not bool, use kiln_cast: bool[3]"},
    {"%1: f32[3]", "%9 = not(%1)", "!not: needs integers or bool, use kiln_cast: f32[3]"},
    {"%1: bool[3], %2: bool[3]", "%9 = shl(%1, %2)", "!shl: needs integers, use kiln_cast: bool[3] x bool[3]"},
    {"%1: f32[3]", "%9 = add(%1)", "!add: takes 2 operands, not 1: f32[3]"},
    {"%1: bool[N], %2: f64[N]", "%9 = where(%1, %2, %2)", "f64[N]"},
    {"%1: f32[N], %2: f64[N]", "%9 = where(%1, %2, %2)", "!where: the condition must be bool: f32[N] x f64[N] x f64[N]"},
    {"%1: bool[], %2: f64[2]", "%9 = where(%1, %2, %2)", "!where: shapes differ: bool[] x f64[2] x f64[2]"},
    {"%1: f32[2,3]", "%9 = cast(%1) {i64}", "i64[2,3]"},
    {"%1: f32[N,3]", "%9 = bitcast(%1) {u32}", "u32[N,3]"},
    {"%1: f32[2,3]", "%9 = bitcast(%1) {i64}", "!bitcast: the widths of the dtypes differ: f32[2,3]"},
    /* sources */
    {"", "%9 = constant() {f32, 0.5, [2, N]}", "f32[2,N]"},
    {"", "%9 = constant() {u8, 255, []}", "u8[]"},
    {"", "%9 = constant() {f32, 0, [281474976710656, 2]}", "!constant: the number of elements of the result is beyond 2^48"},
    {"", "%9 = constant() {f32, 0, [1,1,1,1,1,1,1,1,1]}", "!constant: the result would have 9 axes (allowed: 0 to 8)"},
    {"", "%9 = constant() {f32, 0, [M-1]}", "!constant: a size of the result, M-1, may be negative"},
    {"", "%9 = iota() {i32, 1, [2, N]}", "i32[2,N]"},
    {"", "%9 = iota() {i32, 2, [2, N]}", "!iota: axis 2 is out of range for rank 2 (allowed: 0 to 1)"},
    {"", "%9 = iota() {bool, 0, [2]}", "!iota: needs numbers, not bool"},
    {"", "%9 = dim_size() {N}", "i64[]"},
    {"%1: i64[]", "%9 = set_size(%1) {C}", "i64[]"},
    {"%1: i64[]", "%9 = set_size(%1) {N}", "!set_size: the size must be a symbol that a node counts: i64[]"},
    {"%1: i32[]", "%9 = set_size(%1) {C}", "!set_size: the operand must be i64[]: i32[]"},
    {"%1: i64[], %2: f32[N,4]", "%3 = set_size(%1) {C}\n%9 = slice(%2) {[0, C, 1, 1, 2, 1]}", "f32[C,2]"},
    {"%1: i64[], %2: f32[3]", "%3 = set_size(%1) {C}\n%4 = broadcast(%2) {[C, 3]}\n%9 = pad(%4) {0, [0, N-C, 0, 0]}", "f32[N,3]"},
    {"%1: i64[], %2: f32[3]", "%3 = set_size(%1) {C}\n%4 = broadcast(%2) {[C, 3]}\n%9 = reduce_max(%4) {[0]}", "f32[3]"},
    {"%1: u64[2]", "%9 = random_bits(%1) {[3, N]}", "u32[3,N]"},
    {"%1: i64[2]", "%9 = random_bits(%1) {[3]}", "!random_bits: the key must be u64[2]: i64[2]"},
    {"%1: f32[2]", "%9 = saved(%1, %1)", "f32[2]"},
    {"%1: f32[2], %2: f32[3]", "%9 = saved(%1, %2)", "!saved: the saved value has another dtype or shape: f32[2] x f32[3]"},
    {"%1: f32[2]", "%9 = leaf(%1) {1}", "f32[2]"},
    {"%1: f32[2]", "%9 = leaf(%1) {2}", "!leaf: the attribute must be 0 or 1: f32[2]"},
    /* movement */
    {"%1: f32[2,3]", "%9 = reshape(%1) {[6]}", "f32[6]"},
    {"%1: f32[N,4]", "%9 = reshape(%1) {[2, 2*N]}", "f32[2,2*N]"},
    {"%1: f32[2,3]", "%9 = reshape(%1) {[7]}", "!reshape: sizes differ, wanted [7]: f32[2,3]"},
    {"%1: f32[2,3,4]", "%9 = transpose(%1) {[2, 0, 1]}", "f32[4,2,3]"},
    {"%1: f32[2,3]", "%9 = transpose(%1) {[0]}", "!transpose: 1 axes named for rank 2: f32[2,3]"},
    {"%1: f32[2,3]", "%9 = transpose(%1) {[0, 0]}", "!transpose: axis 0 is named twice: f32[2,3]"},
    {"%1: f32[2,3]", "%9 = transpose(%1) {[0, 2]}", "!transpose: axis 2 is out of range for rank 2 (allowed: 0 to 1): f32[2,3]"},
    {"%1: f32[3,1]", "%9 = broadcast(%1) {[N, 3, 4]}", "f32[N,3,4]"},
    {"%1: f32[3]", "%9 = broadcast(%1) {[4]}", "!broadcast: cannot become [4]: f32[3]"},
    {"%1: f32[2,3]", "%9 = broadcast(%1) {[3]}", "!broadcast: cannot become [3]: f32[2,3]"},
    {"%1: f32[10,N]", "%9 = slice(%1) {[1, 3, 4, 1, N-1, 1]}", "f32[3,N-1]"},
    {"%1: f32[10]", "%9 = slice(%1) {[1, 3, 5]}", "!slice: 3 from 1 in steps of 5 does not provably lie within axis 0: f32[10]"},
    {"%1: f32[10]", "%9 = slice(%1) {[10, 0, 1]}", "f32[0]"},
    {"%1: f32[N]", "%9 = slice(%1) {[0, 2, 1]}", "!slice: 2 from 0 in steps of 1 does not provably lie within axis 0: f32[N]"},
    {"%1: f32[10]", "%9 = slice(%1) {[0, 2, 0]}", "!slice: the step of axis 0 must be a number of at least 1: f32[10]"},
    {"%1: f32[10]", "%9 = slice(%1) {[0, 2]}", "!slice: 2 attributes given; 3 per axis are needed (start, size, step): f32[10]"},
    {"%1: f32[2,3]", "%9 = flip(%1) {[0, 1]}", "f32[2,3]"},
    {"%1: f32[2,3]", "%9 = flip(%1) {[1, 0]}", "!flip: axes must be ascending: f32[2,3]"},
    {"%1: i32[2,N]", "%9 = pad(%1) {-1, [1, 0, 2, N]}", "i32[3,2*N+2]"},
    {"%1: i32[2]", "%9 = pad(%1) {0, [1]}", "!pad: 1 amounts given; 2 per axis are needed (before, after): i32[2]"},
    {"%1: f32[2,3], %2: f32[N,3]", "%9 = concat(%1, %2, %1) {0}", "f32[N+4,3]"},
    {"%1: f32[2,3], %2: f32[2,4]", "%9 = concat(%1, %2) {0}", "!concat: sizes of axis 1 differ: f32[2,3] x f32[2,4]"},
    {"%1: f32[2,3], %2: f32[2]", "%9 = concat(%1, %2) {0}", "!concat: ranks differ: f32[2,3] x f32[2]"},
    {"%1: f32[2], %2: f64[2]", "%9 = concat(%1, %2) {0}", "!concat: dtypes differ: f32[2] x f64[2]"},
    {"", "%9 = concat() {0}", "!concat: no operands to join"},
    /* windows */
    {"%1: f32[N,28,28,3]", "%9 = window(%1) {5, 3, 2, 1, 1, 2}", "f32[N,12,24,5,3,3]"},
    {"%1: f32[2,K,K,1]", "%9 = window(%1) {3, 3, 1, 1, 1, 1}", "f32[2,K-2,K-2,3,3,1]"},
    {"%1: f32[2,K,4,1]", "%9 = window(%1) {2, 2, 2, 2, 1, 1}", "f32[2,K/2,2,2,2,1]"},
    {"%1: f32[2,4,4,1]", "%9 = window(%1) {5, 1, 1, 1, 1, 1}",
        "!window: a window of 5 x 1, dilated by 1 x 1, is larger than the image: f32[2,4,4,1]"},
    {"%1: f32[2,M,4,1]", "%9 = window(%1) {1, 1, 1, 1, 1, 1}",
        "!window: a window of 1 x 1, dilated by 1 x 1, is larger than the image: f32[2,M,4,1]"},
    {"%1: f32[2,4,4]", "%9 = window(%1) {1, 1, 1, 1, 1, 1}", "!window: needs an image, [n, height, width, channels]: f32[2,4,4]"},
    {"%1: f32[2,4,4,1]", "%9 = window(%1) {1, 1, 0, 1, 1, 1}", "!window: the stride is 0 (allowed: 1 to 2^48): f32[2,4,4,1]"},
    {"%1: f32[N,12,24,5,3,3]", "%9 = window_add(%1) {5, 3, 2, 1, 1, 2, [28, 28]}", "f32[N,28,28,3]"},
    {"%1: f32[N,12,24,5,3,3]", "%9 = window_add(%1) {5, 3, 2, 1, 1, 2, [30, 28]}",
        "!window_add: these are not the windows of an image of that height and width: f32[N,12,24,5,3,3]"},
    {"%1: f32[N,12,24,5,3,3]", "%9 = window_add(%1) {5, 3, 2, 1, 1, 2, []}",
        "!window_add: needs the image's height and width: f32[N,12,24,5,3,3]"},
    /* indices */
    {"%1: f32[5,N,2], %2: i64[3,4]", "%9 = gather(%1, %2) {1}", "f32[5,3,4,2]"},
    {"%1: f32[5], %2: i32[]", "%9 = gather(%1, %2) {0}", "f32[]"},
    {"%1: f32[5], %2: f32[2]", "%9 = gather(%1, %2) {0}", "!gather: indices must be integers: f32[5] x f32[2]"},
    {"%1: f32[M], %2: i32[2]", "%9 = gather(%1, %2) {0}",
        "f32[2]"},
    {"%1: f32[0], %2: i32[0]", "%9 = gather(%1, %2) {0}", "f32[0]"},
    {"%1: f32[5], %2: i32[2]", "%9 = gather(%1, %2) {1}",
        "!gather: axis 1 is out of range for rank 1 (allowed: 0 to 0): f32[5] x i32[2]"},
    {"%1: f32[1,1,1,1,1], %2: i32[1,1,1,1,1]", "%9 = gather(%1, %2) {1}",
        "!gather: the result would have more than 8 axes: f32[1,1,1,1,1] x i32[1,1,1,1,1]"},
    {"%1: bf16[5,N]", "%9 = argsort(%1) {1, 1}", "i64[5,N]"},
    {"%1: bf16[5,N]", "%9 = sort(%1) {1, 1}", "bf16[5,N]"},
    {"%1: f32[5]", "%9 = sort(%1) {1, 0}", "!sort: axis 1 is out of range for rank 1 (allowed: 0 to 0): f32[5]"},
    {"%1: f32[5]", "%9 = argsort(%1) {0, 2}", "!argsort: descending must be 0 or 1: f32[5]"},
    {"%1: f32[5,N]", "%9 = cumsum(%1) {1, 0, 1}", "f32[5,N]"},
    {"%1: i32[5,N]", "%9 = cumprod(%1) {0, 1, 1}", "i32[5,N]"},
    {"%1: f32[5,N], %2: f32[5,N]", "%9 = recurrence(%1, %2) {1, 0}", "f32[5,N]"},
    {"%1: f32[5]", "%9 = cumsum(%1) {1, 0, 0}", "!cumsum: axis 1 is out of range for rank 1 (allowed: 0 to 0): f32[5]"},
    {"%1: f32[5]", "%9 = cumsum(%1) {0, 2, 0}", "!cumsum: attribute 1 must be 0 or 1: f32[5]"},
    {"%1: bf16[5]", "%9 = cumprod(%1) {0, 0, 0}", "!cumprod: cast 16-bit and 8-bit floats to f32 first: bf16[5]"},
    {"%1: f32[5], %2: f32[4]", "%9 = recurrence(%1, %2) {0, 0}", "!recurrence: the operands must have the same dtype and shape: f32[5] x f32[4]"},
    {"%1: f32[5,N,2], %2: i64[3,4], %3: f32[5,3,4,2]", "%9 = scatter(%1, %2, %3) {1, 0}", "f32[5,N,2]"},
    {"%1: f32[5,N,2], %2: i64[3,4], %3: f32[5,3,3,2]", "%9 = scatter(%1, %2, %3) {1, 0}",
        "!scatter: the updates must have the shape of x, with the indices' axes in place of axis 1: f32[5,N,2] x i64[3,4] x f32[5,3,3,2]"},
    {"%1: f32[2], %2: i64[3], %3: f64[3]", "%9 = scatter(%1, %2, %3) {0, 0}", "!scatter: the updates must have the dtype of x: f32[2] x i64[3] x f64[3]"},
    {"%1: f16[2], %2: i64[3], %3: f16[3]", "%9 = scatter(%1, %2, %3) {0, 1}", "!scatter: cast 16-bit and 8-bit floats to f32 before a product: f16[2] x i64[3] x f16[3]"},
    {"%1: f32[2], %2: i64[3], %3: f32[3]", "%9 = scatter(%1, %2, %3) {0, 5}", "!scatter: fold is 5 (allowed: 0 to 4): f32[2] x i64[3] x f32[3]"},
    /* reductions */
    {"%1: f32[2,N,4]", "%9 = sum(%1) {[0, 2]}", "f32[N]"},
    {"%1: f32[2,N,4]", "%9 = prod(%1) {[]}", "f32[2,N,4]"},
    {"%1: bool[2]", "%9 = sum(%1) {[0]}", "!sum: needs numbers, not bool, use kiln_cast: bool[2]"},
    {"%1: f32[2]", "%9 = sum(%1) {[1]}", "!sum: axis 1 is out of range for rank 1 (allowed: 0 to 0): f32[2]"},
    {"%1: f32[2,3]", "%9 = sum(%1) {[1, 1]}", "!sum: axes must be ascending: f32[2,3]"},
    {"%1: bool[2,3]", "%9 = reduce_max(%1) {[1]}", "bool[2]"},
    {"%1: f32[0,3]", "%9 = reduce_max(%1) {[0]}", "!reduce_max: axis 0 is empty: f32[0,3]"},
    {"%1: f32[0,3]", "%9 = reduce_min(%1) {[1]}", "f32[0]"},
    {"%1: f32[M,3]", "%9 = reduce_min(%1) {[0]}", "f32[3]"},
    {"%1: f32[2,3]", "%9 = argmax(%1) {1}", "i64[2]"},
    {"%1: f64[2,3]", "%9 = argmin(%1) {0}", "i64[3]"},
    {"%1: f32[2,3]", "%9 = argmin(%1) {2}", "!argmin: axis 2 is out of range for rank 2 (allowed: 0 to 1): f32[2,3]"},
    /* contraction */
    {"%1: f32[32,784], %2: f32[784,128]", "%9 = matmul(%1, %2)", "f32[32,128]"},
    {"%1: f32[N,2,K], %2: f32[N,K,5]", "%9 = matmul(%1, %2)", "f32[N,2,5]"},
    {"%1: f32[32,784], %2: f32[785,128]", "%9 = matmul(%1, %2)",
        "!matmul: inner sizes differ: f32[32,784] x f32[785,128]"},
    {"%1: f32[3], %2: f32[3,1]", "%9 = matmul(%1, %2)",
        "!matmul: operands must have at least 2 axes: f32[3] x f32[3,1]"},
    {"%1: f32[2,3,1], %2: f32[3,1]", "%9 = matmul(%1, %2)",
        "!matmul: leading axes differ: f32[2,3,1] x f32[3,1]"},
    {"%1: f32[3,1], %2: f64[1,3]", "%9 = matmul(%1, %2)",
        "!matmul: dtypes differ: f32[3,1] x f64[1,3]"},
    {"%1: i32[3,1], %2: i32[1,3]", "%9 = matmul(%1, %2)", "i32[3,3]"},
    {"%1: u64[N,1], %2: u64[1,3]", "%9 = matmul(%1, %2)", "u64[N,3]"},
    {"%1: i8[3,1], %2: i8[1,3]", "%9 = matmul(%1, %2) {i32}", "i32[3,3]"},
    {"%1: u8[2,3,1], %2: u8[2,1,3]", "%9 = matmul(%1, %2) {i32}", "i32[2,3,3]"},
    {"%1: i16[3,1], %2: i16[1,3]", "%9 = matmul(%1, %2) {i32}", "i32[3,3]"},
    {"%1: i8[3,1], %2: i8[1,3]", "%9 = matmul(%1, %2)",
        "!matmul: no sums in i8 (i8, u8 and i16 add up in i32, floats and other integers in their own dtype): i8[3,1] x i8[1,3]"},
    {"%1: u16[3,1], %2: u16[1,3]", "%9 = matmul(%1, %2) {i32}",
        "!matmul: no sums in i32 (i8, u8 and i16 add up in i32, floats and other integers in their own dtype): u16[3,1] x u16[1,3]"},
    {"%1: bf16[3,1], %2: bf16[1,3]", "%9 = matmul(%1, %2) {f32}",
        "!matmul: no sums in f32 (i8, u8 and i16 add up in i32, floats and other integers in their own dtype): bf16[3,1] x bf16[1,3]"},
    {"%1: f32[3,1], %2: f32[1,3]", "%9 = matmul(%1, %2) {f32}",
        "!matmul: the attribute must be a dtype that is not the operands': f32[3,1] x f32[1,3]"},
    {"%1: bool[3,1], %2: bool[1,3]", "%9 = matmul(%1, %2)",
        "!matmul: no sums in bool (i8, u8 and i16 add up in i32, floats and other integers in their own dtype): bool[3,1] x bool[1,3]"},
    {"%1: f32[N,28,28,4], %2: f32[5,3,2,6]", "%9 = conv(%1, %2) {1, 2, 1, 1, 1, 2, 0, 2, -1, 2, 1, 1, 1, [K, 9]}", "f32[N,K,9,6]"},
    {"%1: f32[2,K,3], %2: f32[7,3,1]", "%9 = conv(%1, %2) {1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 3, [3*K]}", "f32[2,3*K,1]"},
    {"%1: f32[2,9], %2: f32[7,3]", "%9 = conv(%1, %2) {1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, []}", "!conv: images must have 1 to 3 axes of space: f32[2,9] x f32[7,3]"},
    {"%1: f32[2,9,3], %2: f32[7,3]", "%9 = conv(%1, %2) {1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, [9]}", "!conv: ranks differ: f32[2,9,3] x f32[7,3]"},
    {"%1: f32[2,9,3], %2: f64[7,3,1]", "%9 = conv(%1, %2) {1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, [9]}", "!conv: dtypes differ: f32[2,9,3] x f64[7,3,1]"},
    {"%1: i32[2,9,3], %2: i32[7,3,1]", "%9 = conv(%1, %2) {1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, [9]}", "!conv: needs floats, use kiln_cast: i32[2,9,3] x i32[7,3,1]"},
    {"%1: f32[2,9,3], %2: f32[7,3,1]", "%9 = conv(%1, %2) {1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, [9]}", "!conv: the number of groups is 0 (allowed: 1 to 2^48): f32[2,9,3] x f32[7,3,1]"},
    {"%1: f32[2,9,3], %2: f32[7,3,1]", "%9 = conv(%1, %2) {1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1, [9]}", "!conv: the dilation is 0 (allowed: 1 to 2^48): f32[2,9,3] x f32[7,3,1]"},
    {"%1: f32[2,9,3], %2: f32[7,3,1]", "%9 = conv(%1, %2) {1, 2, 1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, [9]}", "!conv: the stride of an axis that is not there is 2, not 1: f32[2,9,3] x f32[7,3,1]"},
    {"%1: f32[2,9,3], %2: f32[7,3,1]", "%9 = conv(%1, %2) {1, 1, 1, 1, 1, 1, 0, 5, 0, 1, 1, 1, 1, [9]}", "!conv: the low padding of an axis that is not there is 5, not 0: f32[2,9,3] x f32[7,3,1]"},
    {"%1: f32[2,9,3], %2: f32[7,3,1]", "%9 = conv(%1, %2) {1, 1, 1, 1, 1, 1, 0, 0, 281474976710657, 1, 1, 1, 1, [9]}", "!conv: the low padding is 281474976710657 (allowed: -2^48 to 2^48): f32[2,9,3] x f32[7,3,1]"},
    {"%1: f32[2,9,3], %2: f32[7,3,1]", "%9 = conv(%1, %2) {1, 1, 2, 1, 1, 1, 0, 0, 0, 1, 1, 1, 2, [9]}", "!conv: stride and spread are both above 1: f32[2,9,3] x f32[7,3,1]"},
    {"%1: f32[2,9,3], %2: f32[7,3,1]", "%9 = conv(%1, %2) {1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, []}", "!conv: needs the sizes of the result's 1 axes of space: f32[2,9,3] x f32[7,3,1]"},
    {"%1: f32[2,9,3], %2: f32[K,3,1]", "%9 = conv(%1, %2) {1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, [9]}", "!conv: the filters' sizes must be known: f32[2,9,3] x f32[K,3,1]"},
    {"%1: f32[2,9,3], %2: f32[7,3,1]", "%9 = conv(%1, %2) {1, 1, 1, 1, 1, 1, 0, 0, 0, 2, 1, 1, 1, [9]}", "!conv: channels do not fit 2 groups: f32[2,9,3] x f32[7,3,1]"},
    {"%1: f32[2,9,3], %2: f32[0,3,1]", "%9 = conv(%1, %2) {1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, [9]}", "!conv: the number of taps is 0 (allowed: 1 to 2^48): f32[2,9,3] x f32[0,3,1]"},
    {"%1: f32[2,9,3], %2: f32[7,3,1]", "%9 = conv(%1, %2) {1, 1, 281474976710656, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, [3]}", "!conv: a position along axis 1 is out of range (allowed: -2^48 to 2^48): f32[2,9,3] x f32[7,3,1]"},
    {"%1: f32[2,9,3], %2: f32[7,3,1]", "%9 = conv(%1, %2) {1, 1, 1, 1, 1, 1, 0, 0, -281474976710656, 1, 1, 1, 1, [3]}", "!conv: a position along axis 1 is out of range (allowed: -2^48 to 2^48): f32[2,9,3] x f32[7,3,1]"},
    {"%1: f32[N,28,28,4], %2: f32[N,K,9,6]", "%9 = conv_filter(%1, %2) {1, 2, 1, 1, 1, 2, 0, 2, -1, 2, [5, 3]}", "f32[5,3,2,6]"},
    {"%1: f32[2,9,3], %2: f32[3,9,3]", "%9 = conv_filter(%1, %2) {1, 1, 1, 1, 1, 1, 0, 0, 0, 1, [5]}", "!conv_filter: numbers of images differ: f32[2,9,3] x f32[3,9,3]"},
    {"%1: f32[2,9,3], %2: f32[2,9,K]", "%9 = conv_filter(%1, %2) {1, 1, 1, 1, 1, 1, 0, 0, 0, 1, [5]}", "!conv_filter: the numbers of channels must be known: f32[2,9,3] x f32[2,9,K]"},
    {"%1: f32[2,9,3], %2: f32[2,9,4]", "%9 = conv_filter(%1, %2) {1, 1, 1, 1, 1, 1, 0, 0, 0, 3, [5]}", "!conv_filter: channels do not fit 3 groups: f32[2,9,3] x f32[2,9,4]"},
    {"%1: f32[2,9,3], %2: f32[2,9,4]", "%9 = conv_filter(%1, %2) {1, 1, 1, 1, 1, 1, 0, 0, 0, 1, []}", "!conv_filter: needs the numbers of taps of 1 axes: f32[2,9,3] x f32[2,9,4]"},
    {"%1: f32[2,N,5], %2: f32[2,K,5], %3: f32[2,K,7], %4: f32[1,1,K]", "%8, %9 = attention(%1, %2, %3, %4) {0.5, 0, 1, N, N, K}", "f32[2,N,7], f32[2,N]"},
    {"%1: f32[2,3,5], %2: f32[2,4,5], %3: f32[2,4,7], %4: f32[1,1,1]", "%8, %9 = attention(%1, %2, %3, %4) {0.5, -1, 1, 3, 0, 1}", "!attention: the cap is -1 (allowed: 0 and above): f32[2,3,5] x f32[2,4,5] x f32[2,4,7] x f32[1,1,1]"},
    {"%1: f32[2,3,5], %2: f32[2,4,5], %3: f32[2,4,7], %4: f32[1,1,1]", "%8, %9 = attention(%1, %2, %3, %4) {0.5, 0, 2, 3, 0, 1}", "!attention: causal is 2 (allowed: 0 and 1): f32[2,3,5] x f32[2,4,5] x f32[2,4,7] x f32[1,1,1]"},
    {"%1: f32[2,3,5], %2: f32[2,4,5], %3: f32[2,4,7], %4: f32[1,1,1]", "%8, %9 = attention(%1, %2, %3, %4) {0.5, 0, 1, 0, 0, 1}", "!attention: the period may be 0: f32[2,3,5] x f32[2,4,5] x f32[2,4,7] x f32[1,1,1]"},
    {"%1: f32[2,3,5], %2: f32[2,4,6], %3: f32[2,4,7], %4: f32[1,1,1]", "%8, %9 = attention(%1, %2, %3, %4) {0.5, 0, 1, 3, 0, 1}", "!attention: queries and keys differ in length: f32[2,3,5] x f32[2,4,6] x f32[2,4,7] x f32[1,1,1]"},
    {"%1: f32[2,3,5], %2: f32[2,4,5], %3: f32[2,3,7], %4: f32[1,1,1]", "%8, %9 = attention(%1, %2, %3, %4) {0.5, 0, 1, 3, 0, 1}", "!attention: there are not as many values as keys: f32[2,3,5] x f32[2,4,5] x f32[2,3,7] x f32[1,1,1]"},
    {"%1: f32[2,3,5], %2: f32[2,4,5], %3: f32[1,4,7], %4: f32[1,1,1]", "%8, %9 = attention(%1, %2, %3, %4) {0.5, 0, 1, 3, 0, 1}", "!attention: numbers of heads differ: f32[2,3,5] x f32[2,4,5] x f32[1,4,7] x f32[1,1,1]"},
    {"%1: f32[2,3,5], %2: f32[2,4,5], %3: f32[2,4,7], %4: f32[1,2,1]", "%8, %9 = attention(%1, %2, %3, %4) {0.5, 0, 1, 3, 0, 1}", "!attention: the mask does not fit: f32[2,3,5] x f32[2,4,5] x f32[2,4,7] x f32[1,2,1]"},
    {"%1: f32[2,3,5], %2: f32[2,4,5], %3: f32[2,4,7], %4: f32[1]", "%8, %9 = attention(%1, %2, %3, %4) {0.5, 0, 1, 3, 0, 1}", "!attention: operand 3 does not have 3 axes: f32[2,3,5] x f32[2,4,5] x f32[2,4,7] x f32[1]"},
    {"%1: f32[2,3,5], %2: f32[2,4,5], %3: f32[2,4,7], %4: f64[1,1,1]", "%8, %9 = attention(%1, %2, %3, %4) {0.5, 0, 1, 3, 0, 1}", "!attention: dtypes differ: f32[2,3,5] x f32[2,4,5] x f32[2,4,7] x f64[1,1,1]"},
    {"%1: bf16[2,3,5], %2: bf16[2,4,5], %3: bf16[2,4,7], %4: bf16[1,1,1]", "%8, %9 = attention(%1, %2, %3, %4) {0.5, 0, 1, 3, 0, 1}", "!attention: computes in f32 or f64: bf16[2,3,5] x bf16[2,4,5] x bf16[2,4,7] x bf16[1,1,1]"},
    {"%1: f32[2,3,9000], %2: f32[2,4,9000], %3: f32[2,4,7], %4: f32[1,1,1]", "%8, %9 = attention(%1, %2, %3, %4) {0.5, 0, 1, 3, 0, 1}", "!attention: a vector has up to 9000 elements (allowed: 8192): f32[2,3,9000] x f32[2,4,9000] x f32[2,4,7] x f32[1,1,1]"},
    {"%1: f32[2,3,5], %2: f32[2,4,5], %3: f32[2,4,7], %4: f32[1,1,1], %5: f32[2,3,7], %6: f32[2,3], %7: f32[2,3]", "%9 = attention_query(%1, %2, %3, %4, %5, %6, %7) {0.5, 0, 1, 3, 0, 1}", "f32[2,3,5]"},
    {"%1: f32[2,3,5], %2: f32[2,4,5], %3: f32[2,4,7], %4: f32[1,1,1], %5: f32[2,3,7], %6: f32[2,3], %7: f32[2,3]", "%9 = attention_keys(%1, %2, %3, %4, %5, %6, %7) {0.5, 0, 1, 3, 0, 1}", "f32[2,4,12]"},
    {"%1: f32[2,3,5], %2: f32[2,4,5], %3: f32[2,4,7], %4: f32[1,1,1], %5: f32[2,3,8], %6: f32[2,3], %7: f32[2,3]", "%9 = attention_keys(%1, %2, %3, %4, %5, %6, %7) {0.5, 0, 1, 3, 0, 1}", "!attention_keys: the cotangents do not fit: f32[2,3,5] x f32[2,4,5] x f32[2,4,7] x f32[1,1,1] x f32[2,3,8] x f32[2,3] x f32[2,3]"},
    {"%1: f32[N,3,3]", "%8, %9 = eigh(%1)", "f32[N,3], f32[N,3,3]"},
    {"%1: f64[0,0]", "%9 = eigvalsh(%1)", "f64[0]"},
    {"%1: f32[3,4]", "%8, %9 = eigh(%1)", "!eigh: needs square matrices: f32[3,4]"},
    {"%1: f32[3]", "%9 = eigvalsh(%1)", "!eigvalsh: needs matrices, the last two axes: f32[3]"},
    {"%1: f16[3,3]", "%9 = eigvalsh(%1)", "!eigvalsh: computes in f32 or f64: f16[3,3]"},
    {"%1: f64[N,5,3]", "%7, %8, %9 = svd(%1) {0}", "f64[N,5,3], f64[N,3], f64[N,3,3]"},
    {"%1: f64[3,5]", "%7, %8, %9 = svd(%1) {1}", "f64[3,3], f64[3], f64[5,5]"},
    {"%1: f64[3,5]", "%7, %8, %9 = svd(%1) {2}", "!svd: full is 2 (allowed: 0 and 1): f64[3,5]"},
    {"%1: f64[N,5]", "%9 = svdvals(%1)", "!svdvals: a matrix's sizes must be known: f64[N,5]"},
    {"%1: f64[5,0]", "%9 = svdvals(%1)", "f64[0]"},
    {"%1: f64[N,5,3]", "%8, %9 = lu(%1)", "f64[N,5,3], i64[N,5]"},
    {"%1: f32[3,3], %2: f32[4,5]", "%9 = triangular(%1, %2) {1, 0}", "!triangular: both sides have the same batches and rows: f32[3,3] x f32[4,5]"},
    {"%1: f32[N,3,3], %2: f32[N,3,5]", "%9 = triangular(%1, %2) {1, 0}", "f32[N,3,5]"},
    {"%1: f32[N,3,3]", "%9 = cholesky(%1)", "f32[N,3,3]"},
    /* regions */
    {"%1: f32[4]", "%8, %9 = kernel(%1, %1) {@sums, -1, []}", "f32[4], f32[4]"},
    {"%1: f32[5]", "%8, %9 = kernel(%1, %1) {@sums, -1, []}",
        "!kernel: parameter 0 of sums is f32[4], not f32[5]: f32[5] x f32[5]"},
    {"%1: f32[5]", "%8, %9 = kernel(%1) {@sums, -1, []}", "!kernel: sums has 2 parameters, not 1: f32[5]"},
    {"", "%9 = kernel() {@none, -1, []}", "!kernel: none has no results"},
    {"%1: i64[], %2: f32[], %3: f32[N,4]", "%8, %9 = loop(%1, %2, %3) {@step, 1, 1, 1, 0, N, []}", "f32[], f32[N,4]"},
    {"%1: i64[], %2: f32[], %3: f32[4]", "%8, %9 = loop(%1, %2, %3) {@step, 1, 0, 1, 0, 4, []}", "f32[], f32[4,4]"},
    {"%2: f32[], %3: f32[4]", "%1 = constant() {i64, 7, []}\n%8, %9 = loop(%1, %2, %3) {@step, 1, 0, 1, 0, 5, []}",
        "!loop: the trip count is 7, but the attribute says 5 steps: i64[] x f32[] x f32[4]"},
    {"%1: i64[], %2: f32[], %3: f32[4]", "%8, %9 = loop(%1, %2, %3) {@step, 1, 0, 1, 0, T, []}", "f32[], f32[T,4]"},
    {"%1: i64[], %2: f32[], %3: f32[4]",
        "%7, %8 = loop(%1, %2, %3) {@step, 1, 0, 1, 0, T, []}\n%9 = neg(%8)",
        "!neg: an operand is a loop's stack, whose length is known only when the loop runs: f32[T,4]"},
    {"%1: f32[], %2: f32[4]", "%3 = constant() {i64, 9223372036854775807, []}\n%7, %8, %9 = loop(%3, %1, %2) {@step, 1, 0, 1, 0, T, [@below]}", "f32[], f32[T,4], i64[]"},
    {"%1: f32[], %2: f32[4]", "%3 = constant() {i64, 9223372036854775807, []}\n%7, %8, %9 = loop(%3, %1, %2) {@step, 1, 0, 1, 0, N, [@below]}",
        "!loop: the steps of a loop with a condition are a size that it makes, or a constant bound: i64[] x f32[] x f32[4]"},
    {"%1: f32[], %2: f32[4]", "%3 = constant() {i64, 9, []}\n%7, %8, %9 = loop(%3, %1, %2) {@step, 1, 0, 1, 0, 9, [@below]}", "f32[], f32[9,4], i64[]"},
    {"%1: f32[], %2: f32[4]", "%3 = constant() {i64, 9223372036854775807, []}\n%7, %8, %9 = loop(%3, %1, %2) {@step, 1, 0, 1, 0, T, [@step]}",
        "!loop: step has 2 results, not 1: i64[] x f32[] x f32[4]"},
    {"%1: f32[], %2: f32[4]", "%3 = constant() {i64, 9223372036854775807, []}\n%7, %8 = loop(%3, %1, %2) {@unchanged, 2, 0, 0, 0, T, [@below]}",
        "!loop: carry 1 changes its dtype or shape in unchanged: i64[] x f32[] x f32[4]"},
    {"%1: f32[], %2: f32[4]", "%3 = constant() {i64, 8, []}\n%7, %8, %9 = loop(%3, %1, %2) {@step, 1, 0, 1, 0, 9, [@below]}",
        "!loop: the trip count of a loop with a condition must be the constant 9: i64[] x f32[] x f32[4]"},
    {"%1: f32[], %2: f32[4]", "%3 = constant() {i64, 9, []}\n%7, %8, %9 = loop(%3, %1, %2) {@step, 1, 0, 1, 1, 9, [@below]}",
        "!loop: a loop with a condition takes no stacked inputs and does not run in reverse: i64[] x f32[] x f32[4]"},
    {"%1: f32[], %2: f32[4]", "%3 = constant() {i64, 9, []}\n%7, %8 = loop(%3, %1, %2) {@step, 1, 0, 1, 0, 9, [@below, @below]}",
        "!loop: takes at most one condition: i64[] x f32[] x f32[4]"},
    {"%1: bool[], %2: f32[4], %3: f32[4]", "%8, %9 = branch(%1, %2, %3) {[@sums, @sums]}", "f32[4], f32[4]"},
    {"%1: i32[], %2: f32[4], %3: f32[4]", "%8, %9 = branch(%1, %2, %3) {[@sums, @sums, @sums]}", "f32[4], f32[4]"},
    {"%1: bool[], %2: f32[4], %3: f32[4]", "%8, %9 = branch(%1, %2, %3) {[@sums, @sums, @sums]}",
        "!branch: a bool selector chooses between 2 graphs, not 3: bool[] x f32[4] x f32[4]"},
    {"%1: f32[], %2: f32[4], %3: f32[4]", "%8, %9 = branch(%1, %2, %3) {[@sums, @sums]}",
        "!branch: the selector must be bool[] or an integer scalar: f32[] x f32[4] x f32[4]"},
    {"%1: bool[], %2: f32[4], %3: f32[4]", "%8, %9 = branch(%1, %2, %3) {[@sums, @mixed]}",
        "!branch: result 1 is f32[4] in sums and bool[4] in mixed: bool[] x f32[4] x f32[4]"},
    {"%2: f32[], %3: f32[4]", "%1 = dim_size() {N}\n%8, %9 = loop(%1, %2, %3) {@step, 1, 0, 1, 1, N, []}", "f32[], f32[N,4]"},
    {"%2: f32[]", "%1 = constant() {i64, 7, []}\n%8, %9 = loop(%1, %2) {@count, 1, 0, 1, 0, 7, []}", "f32[], i64[7]"},
    {"%1: i64[], %2: f32[], %3: f32[N,5]", "%8, %9 = loop(%1, %2, %3) {@step, 1, 1, 1, 0, N, []}",
        "!loop: parameter 2 of step is f32[4], not f32[5]: i64[] x f32[] x f32[N,5]"},
    {"%1: i32[], %2: f32[], %3: f32[N,4]", "%8, %9 = loop(%1, %2, %3) {@step, 1, 1, 1, 0, N, []}",
        "!loop: the trip count must be i64[]: i32[] x f32[] x f32[N,4]"},
    {"%1: i64[], %2: f32[], %3: f32[N,4]", "%8, %9 = loop(%1, %2, %3) {@more, 1, 1, 1, 0, N, []}",
        "!loop: carry 0 changes its dtype or shape in more: i64[] x f32[] x f32[N,4]"},
    {"%1: i64[], %2: f32[], %3: f32[4]", "%8, %9 = loop(%1, %2, %3) {@step, 1, 1, 0, 0, 4, []}",
        "!loop: step has 2 results, not 1: i64[] x f32[] x f32[4]"},
    {"%1: i64[], %2: f32[], %3: f32[4]", "%8, %9 = loop(%1, %2, %3) {@step, 2, 1, 0, 0, 4, []}",
        "!loop: 3 operands given, at least 4 needed: i64[] x f32[] x f32[4]"},
    {"%1: i64[], %2: f32[], %3: f32[4]", "%8, %9 = loop(%1, %2, %3) {@step, 1, -1, 1, 0, 4, []}",
        "!loop: attribute 3 is out of range: i64[] x f32[] x f32[4]"},
    {"%1: f32[N], %2: i32[]", "%9 = custom(%1, %2) {3}", "f32[N]"},
    {"", "%9 = custom() {3}", "!custom: needs an operand"},
    /* effects */
    {"%1: f32[N]", "print(%1) {0}", ""},
    {"%1: bool[N], %2: f32[]", "assert(%1, %2) {0}", ""},
    {"", "assert() {0}", "!assert: needs an operand"},
    {"%1: u8[]", "assert(%1) {0}", "!assert: the condition must be bool: u8[]"},
    {"%1: f32[N]", "%8, %9 = callback(%1) {3, [12, 2, N, 4, 1, 0]}", "f32[N,4], bool[]"},
    {"%1: f32[N]", "callback(%1) {3, []}", ""},
    {"", "%9 = callback() {3, [12, 2, 4]}", "!callback: result 0 has no type"},
    {"", "%9 = callback() {3, [12, 0, 99, 0]}", "!callback: result 1 has no type"},
    {"", "%9 = callback() {3, [12, 1, N-99]}", "!callback: a size of the result, N-99, may be negative"},
};

static void check_case(const Case *c)
{
    char text[2000], got[512] = "";
    Arena a;
    Status st = {0};
    arena_init(&a);
    int len = snprintf(text, sizeof text, frame, c->params, c->node);
    Module *m = module_parse(&a, text, (size_t)len, &st);
    if (m == NULL) {
        const char *colon = strstr(st.text, ": ");
        snprintf(got, sizeof got, "!%s", colon != NULL ? colon + 2 : st.text);
    } else {
        const Graph *g = m->graph.at[0];
        const Node *n = &g->node.at[g->node.len - 1];
        for (uint32_t i = 0; i < n->nout; i++) {
            char type[200];
            type_print(&m->dims, graph_type(g, n->out + i), type, sizeof type);
            snprintf(got + strlen(got), sizeof got - strlen(got), "%s%s", i == 0 ? "" : ", ", type);
        }
    }
    arena_free(&a);
    assert_string_equal(got, c->expected);
}

static void inference(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) check_case(&cases[i]);
}

static void every_structured_op_has_a_case(void **state)
{
    (void)state;
    for (int op = OP_none + 1; op < OP_COUNT; op++) {
        char call[64];
        bool found = op_def[op].flags & OPF_ELEMENTWISE || op == OP_param || op == OP_call;
        snprintf(call, sizeof call, "%s%s(", op_def[op].nout == 0 ? "" : "= ", op_def[op].name);
        for (size_t i = 0; i < COUNT_OF(cases); i++)
            found |= strstr(cases[i].node, call) != NULL && cases[i].expected[0] != '!';
        if (!found) fail_msg("no case for %s", op_def[op].name);
    }
}

/* ---- the table --------------------------------------------------------------------------- */

static void the_table_is_whole(void **state)
{
    (void)state;
    for (int op = OP_none + 1; op < OP_COUNT; op++) {
        const OpDef *d = &op_def[op];
        assert_int_equal(op_parse(d->name, strlen(d->name)), op);
        assert_non_null(d->attrs);
        bool elementwise = d->flags & OPF_ELEMENTWISE;
        assert_int_equal(elementwise, d->infer == NULL);
        assert_int_equal(elementwise, d->value_f != NULL || d->value_i != NULL);
        for (int t = DT_NONE + 1; t < DT_COUNT && elementwise; t++)
            if (op_domain_has((Op)op, (DType)t))
                assert_non_null(dtype_is_float((DType)t) ? d->value_f : d->value_i);
    }
    assert_int_equal(op_parse("add", 2), OP_none);
    assert_null(op_def[OP_sign].grad[0]);
    assert_null(op_def[OP_sqrt].value_i);
    const GradTok *g = op_def[OP_mul].grad[1];
    assert_true(g[0].kind == GK_OP && g[0].op == OP_mul && g[1].kind == GK_G && g[2].kind == GK_X &&
                g[3].kind == GK_END);
    assert_true(op_def[OP_sub].value_f[0].prim == P_sub && op_def[OP_sub].value_f[3].prim == P_END);
    assert_int_equal(op_def[OP_lt].flags, OPF_ELEMENTWISE | OPF_TO_BOOL);
}

/* ---- building ---------------------------------------------------------------------------- */

static const Loc here = {"test.c", 7};
static const Type f32_3 = {.dtype = DT_f32, .rank = 1, .dim = {3}};

static void append_body(void *arg)
{
    Status st = {0};
    Module *m = module_new(arg);
    Graph *g = graph_new(m, "main");
    Value x = graph_param(g, &f32_3, here), y = graph_param(g, &f32_3, here);
    Value s = graph_append(g, OP_add, (Value[]){x, y}, 2, NULL, 0, here, &st);
    Value again = graph_append(g, OP_add, (Value[]){x, y}, 2, NULL, 0, here, &st);
    assert_int_equal(x, 1);
    assert_int_equal(again, s + 1); /* never shared */
    assert_int_equal(node_hash(g, graph_maker(g, s)), node_hash(g, graph_maker(g, again)));
    Value swapped = graph_append(g, OP_add, (Value[]){y, x}, 2, NULL, 0, here, &st);
    Value difference = graph_append(g, OP_sub, (Value[]){x, y}, 2, NULL, 0, here, &st);
    assert_int_not_equal(node_hash(g, graph_maker(g, s)), node_hash(g, graph_maker(g, swapped)));
    assert_int_not_equal(node_hash(g, graph_maker(g, s)), node_hash(g, graph_maker(g, difference)));
    int64_t axis = 0;
    Value sum = graph_append(g, OP_sum, &s, 1, &axis, 1, here, &st),
          none = graph_append(g, OP_sum, &s, 1, NULL, 0, here, &st);
    axis = 5; /* the attribute was copied */
    assert_int_equal(graph_maker(g, sum)->attr->at[0], 0);
    assert_int_equal(graph_maker(g, none)->attr->len, 0);
    assert_int_not_equal(node_hash(g, graph_maker(g, sum)), node_hash(g, graph_maker(g, none)));
    assert_int_equal(graph_type(g, sum)->rank, 0);
    assert_int_equal(graph_maker(g, sum)->loc.line, 7);
    const Type out[2] = {f32_3, {.dtype = DT_i64}};
    Value call = graph_append_typed(g, OP_call, &s, 1, (int64_t[]){4}, 1, out, 2, here);
    assert_true(type_equal(graph_type(g, call + 1), &out[1]));
    assert_int_equal(g->value.at[call + 1].result, 1);
    uint32_t nodes = g->node.len;
    assert_int_equal(graph_append(g, OP_matmul, (Value[]){x, y}, 2, NULL, 0, here, &st), 0);
    assert_string_equal(st.text, "matmul: operands must have at least 2 axes: f32[3] x f32[3]");
    st = (Status){0};
    assert_int_equal(graph_append(g, OP_neg, (Value[]){99}, 1, NULL, 0, here, &st), 0);
    assert_int_equal(st.code, ST_INTERNAL);
    assert_int_equal(g->node.len, nodes);
    graph_result(g, sum);
    assert_int_equal(g->result.len, 1);
}

static void appending(void **state)
{
    (void)state;
    Arena a;
    Status st = {0};
    arena_init(&a);
    assert_true(arena_try(&a, &st, append_body, &a));
    arena_free(&a);
}

static bool build_once(void)
{
    static const char text[] =
        "module { dims N in [1,256] } graph @main(%1: f32[N,3]) -> (%3) {"
        "%2 = sum(%1) {[0]} %3 = add(%2, %2) %4 = reshape(%1) {[3*N]} %5 = concat(%4, %4) {0} }";
    Arena a;
    Status st = {0};
    arena_init(&a);
    Module *m = module_parse(&a, text, sizeof text - 1, &st);
    arena_free(&a);
    assert_true(m != NULL || st.code == ST_MEMORY);
    return m != NULL;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    assert_true(fail_each(build_once, false) > 0);
}

/* ---- types, and eager inference ---------------------------------------------------------- */

static void types(void **state)
{
    (void)state;
    Type a = {.dtype = DT_f32, .rank = 2, .dim = {3, 1}},
         b = {.dtype = DT_f32, .rank = 3, .dim = {2, 1, 4}}, out = {.dtype = DT_i8};
    assert_true(shape_broadcast(NULL, &a, &b, &out));
    char text[64];
    assert_int_equal(type_print(NULL, &out, text, sizeof text), 9);
    assert_string_equal(text, "i8[2,3,4]");
    b.dim[1] = 2;
    assert_false(shape_broadcast(NULL, &a, &b, &out));
    assert_int_equal(type_print(NULL, &b, text, 5), 10);
    assert_string_equal(text, "f32[");
    assert_int_equal(type_elements(NULL, &b), 16);
    b.dim[0] = DIM_MAX;
    assert_int_equal(type_elements(NULL, &b), DIM_BAD);
    assert_false(type_equal(&a, &b));
}

static void eager_inference_needs_no_module(void **state)
{
    (void)state;
    Type x = {.dtype = DT_f32, .rank = 2, .dim = {3, 4}};
    const Type *in[] = {&x, &x};
    Status st = {0};
    Infer inf = {.op = OP_sum,
        .in = in,
        .nin = 1,
        .attr = (int64_t[]){1},
        .nattr = 1,
        .st = &st};
    assert_true(infer_types(&inf));
    assert_true(inf.nout == 1 && inf.out[0].rank == 1 && inf.out[0].dim[0] == 3);
    inf.op = OP_kernel; /* graph 1 of no module */
    inf.attr = (int64_t[]){1, -1};
    inf.nattr = 2;
    assert_false(infer_types(&inf));
    assert_string_equal(st.text, "kernel: attribute 1 is out of range: f32[3,4]");
    Status bad_dim = {0};
    inf = (Infer){.op = OP_reshape,
        .in = in,
        .nin = 1, .attr = (int64_t[]){-1}, .nattr = 1, .st = &bad_dim};
    assert_false(infer_types(&inf));
    Status inexact = {0};
    int64_t constant[] = {DT_f32, attr_of_f64(0.1)};
    inf = (Infer){.op = OP_constant, .attr = constant, .nattr = 2, .st = &inexact};
    assert_false(infer_types(&inf));
    assert_string_equal(inexact.text, "constant: 0.10000000000000001 is not a value of f32");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(inference),
        TEST(every_structured_op_has_a_case),
        TEST(the_table_is_whole),
        TEST(appending),
        TEST(every_allocation_may_fail),
        TEST(types),
        TEST(eager_inference_needs_no_module),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
