/* random_ops: how each op is drawn: operands of fitting types, attributes, and an idea of how large the numbers become.
 * Relies on random_graph.h. */
#include "random_graph.h"

#include <math.h>

/* ---- elementwise ------------------------------------------------------------------------------------------- */

static Value constant_like(Maker *k, Value v, double c)
{
    const Type t = *graph_type(k->g, v);
    int64_t attr[2 + MAX_RANK] = {t.dtype, dtype_is_float((DType)t.dtype) ? attr_of_f64(c) : (int64_t)c};
    memcpy(attr + 2, t.dim, t.rank * sizeof *attr);
    return maker_append(k, OP_constant, NULL, 0, attr, 2u + t.rank, fabs(c));
}

static Value unary(Maker *k, Op op, Value x, double size)
{
    return x == 0 ? 0 : maker_append(k, op, &x, 1, NULL, 0, size);
}

/* |x| + 1/2: where logarithms, roots and quotients behave. */
static Value positive(Maker *k, Value x)
{
    Value a = unary(k, OP_abs, x, k->size.at[x]);
    return a == 0 ? 0 : maker_append(k, OP_add, (Value[]){a, constant_like(k, a, 0.5)}, 2, NULL, 0, k->size.at[x] + 0.5);
}

static Value within_domain(Maker *k, Op op, Value x)
{
    if (!k->sane || !dtype_is_float((DType)graph_type(k->g, x)->dtype)) return x;
    switch (op) {
    case OP_log:
    case OP_log2:
    case OP_log10:
    case OP_log1p:
    case OP_sqrt: return random_chance(k->r, 85) ? positive(k, x) : x;
    case OP_asin:
    case OP_acos:
    case OP_tan:
    case OP_atanh:
    case OP_erfinv: return random_chance(k->r, 85) ? unary(k, OP_tanh, x, 1) : x;
    case OP_logit: return random_chance(k->r, 85) ? unary(k, OP_sigmoid, x, 1) : x;
    case OP_lgamma:
    case OP_digamma:
    case OP_digamma_slope:
    case OP_trigamma_slope: return random_chance(k->r, 85) ? positive(k, x) : x;
    case OP_acosh:
        if (!random_chance(k->r, 85)) return x;
        x = positive(k, x);
        return x == 0 ? 0 : positive(k, x);
    default: return x;
    }
}

static double unary_size(Op op, double x)
{
    switch (op) {
    case OP_exp:
    case OP_expm1:
    case OP_sinh:
    case OP_cosh:
    case OP_i0:
    case OP_i1:
    case OP_i1_slope: return exp(fmin(x, 100));
    case OP_exp2: return exp2(fmin(x, 100));
    case OP_tan:
    case OP_digamma_slope:
    case OP_trigamma_slope: return 1e3;
    case OP_lgamma: return 4 + x * log(x + 2);
    case OP_erfinv: return 6;
    case OP_log:
    case OP_log2:
    case OP_log1p:
    case OP_log10:
    case OP_asinh:
    case OP_acosh:
    case OP_digamma: return 4 + log(x + 2);
    case OP_atanh:
    case OP_logit: return 40;
    case OP_sin:
    case OP_cos:
    case OP_tanh:
    case OP_erf:
    case OP_softsign:
    case OP_sign: return 1;
    case OP_erfc: return 2;
    case OP_asin:
    case OP_acos:
    case OP_atan: return 3.2;
    default: return x;
    }
}

static double binary_size(Op op, double x, double y)
{
    switch (op) {
    case OP_add:
    case OP_sub:
    case OP_hypot: return x + y;
    case OP_logaddexp: return fmax(x, y) + 1;
    case OP_hypot_slope: return 1;
    case OP_copysign: return x;
    case OP_mul: return x * y;
    case OP_div:
    case OP_floor_div: return 2 * x;
    case OP_mod: return y;
    case OP_fmod: return fmin(x, y);
    case OP_pow: return pow(x + 2, fmin(y, 20));
    case OP_pow_rise: return log(x + 2) * pow(x + 2, fmin(y, 20));
    case OP_pow_slope: return fmin(y, 20) * pow(x + 2, fmin(y, 20));
    case OP_atan2: return 3.2;
    default: return fmax(x, y);
    }
}

static DType dtype_for(Maker *k, Op op)
{
    for (int tries = 0; tries < 50; tries++) {
        DType t = maker_dtype(k);
        if (op_domain_has(op, t)) return t;
    }
    return op_def[op].domain == 'F' ? DT_f32 : op_def[op].domain == 'B' ? DT_bool : DT_i32;
}

/* Mostly something that is there already. */
static Value operand_for(Maker *k, Op op)
{
    for (int tries = 0; tries < 12; tries++) {
        Value v = maker_pick(k, NULL);
        if (v != 0 && op_domain_has(op, (DType)graph_type(k->g, v)->dtype)) return v;
    }
    Type t = maker_shape(k, dtype_for(k, op));
    Value v = random_chance(k->r, 60) ? maker_pick(k, NULL) : 0;
    if (v == 0) return maker_want(k, &t);
    return maker_append(k, OP_cast, &v, 1, (int64_t[]){t.dtype}, 1, k->size.at[v]);
}

static Value elementwise(Maker *k, Op op)
{
    Value in[3] = {0};
    if (op == OP_where) {
        in[1] = operand_for(k, op);
        if (in[1] == 0) return 0;
        const Type t = *graph_type(k->g, in[1]);
        Type condition = t;
        condition.dtype = DT_bool;
        in[0] = maker_want(k, &condition);
        in[2] = maker_want(k, &t);
        return maker_append(k, op, in, 3, NULL, 0, fmax(k->size.at[in[1]], k->size.at[in[2]]));
    }
    in[0] = operand_for(k, op);
    if (in[0] == 0) return 0;
    if (op_def[op].nin == 1) {
        in[0] = within_domain(k, op, in[0]);
        return in[0] == 0 ? 0 : maker_append(k, op, in, 1, NULL, 0, unary_size(op, k->size.at[in[0]]));
    }
    const Type t = *graph_type(k->g, in[0]);
    in[1] = maker_want(k, &t);
    bool is_float = dtype_is_float((DType)t.dtype);
    if (is_float && k->sane && (op == OP_div || op == OP_mod || op == OP_fmod || op == OP_floor_div) && random_chance(k->r, 85))
        in[1] = positive(k, in[1]);
    if (is_float && k->sane && (op == OP_pow || op == OP_pow_slope || op == OP_pow_rise) && random_chance(k->r, 85)) in[0] = positive(k, in[0]);
    if (in[0] == 0 || in[1] == 0) return 0;
    return maker_append(k, op, in, 2, NULL, 0, binary_size(op, k->size.at[in[0]], k->size.at[in[1]]));
}

/* ---- sources -------------------------------------------------------------------------------------------------- */

static Value source(Maker *k, Op op)
{
    Type t = maker_shape(k, maker_dtype(k));
    int64_t attr[2 + MAX_RANK] = {t.dtype};
    memcpy(attr + 2, t.dim, t.rank * sizeof *attr);
    if (op == OP_dim_size) {
        Dim d = maker_extent(k);
        return maker_append(k, op, NULL, 0, &d, 1, 300);
    }
    if (op == OP_iota) {
        if (t.rank == 0) return 0;
        attr[1] = random_below(k->r, t.rank);
        return maker_append(k, op, NULL, 0, attr, 2u + t.rank, 20000);
    }
    attr[1] = t.dtype == DT_bool ? random_below(k->r, 2) : random_below(k->r, 100);
    if (dtype_is_float((DType)t.dtype)) attr[1] = attr_of_f64((double)random_below(k->r, 9) / 4 - 1);
    return maker_append(k, op, NULL, 0, attr, 2u + t.rank, 100);
}

static Value random_bits(Maker *k)
{
    const Type key = {.dtype = DT_u64, .rank = 1, .dim = {2}};
    Type t = maker_shape(k, DT_u32);
    Value v = maker_want(k, &key);
    return maker_append(k, OP_random_bits, &v, 1, t.dim, t.rank, 0x1p32);
}

/* ---- movement ---------------------------------------------------------------------------------------------------- */

static bool has_axes(const Type *t)
{
    return t->rank >= 1;
}

static Value reshape(Maker *k)
{
    Value v = maker_pick(k, NULL);
    if (v == 0) return 0;
    Type t = *graph_type(k->g, v);
    DimTable *dims = &k->g->module->dims;
    uint32_t at = t.rank != 0 ? (uint32_t)random_below(k->r, t.rank) : 0;
    int64_t kind = random_below(k->r, 4);
    if (kind == 0 && t.rank >= 2 && at + 1 < t.rank) { /* merge two axes */
        t.dim[at] = dim_mul(dims, t.dim[at], t.dim[at + 1]);
        memmove(t.dim + at + 1, t.dim + at + 2, (t.rank - at - 2u) * sizeof *t.dim);
        t.rank--;
    } else if (kind == 1 && t.rank >= 1 && t.rank < MAX_RANK && t.dim[at] > 1) { /* split one */
        int64_t by = 2 + random_below(k->r, 8);
        if (t.dim[at] % by != 0) by = t.dim[at];
        memmove(t.dim + at + 1, t.dim + at, (t.rank - at) * sizeof *t.dim);
        t.dim[at + 1] = by;
        t.dim[at] /= by;
        t.rank++;
    } else if (kind == 2 && t.rank < MAX_RANK) { /* an axis of one */
        memmove(t.dim + at + 1, t.dim + at, (t.rank - at) * sizeof *t.dim);
        t.dim[at] = 1;
        t.rank++;
    } else {
        t.dim[0] = type_elements(dims, &t);
        t.rank = 1;
    }
    return maker_append(k, OP_reshape, &v, 1, t.dim, t.rank, k->size.at[v]);
}

static Value transpose(Maker *k, Value v, uint32_t rank)
{
    int64_t perm[MAX_RANK];
    for (uint32_t i = 0; i < rank; i++) perm[i] = i;
    for (uint32_t i = rank; i > 1; i--) {
        uint32_t j = (uint32_t)random_below(k->r, i);
        int64_t swap = perm[j];
        perm[j] = perm[i - 1];
        perm[i - 1] = swap;
    }
    return maker_append(k, OP_transpose, &v, 1, perm, rank, k->size.at[v]);
}

static Value broadcast(Maker *k)
{
    Value v = maker_pick(k, NULL);
    if (v == 0) return 0;
    Type t = *graph_type(k->g, v);
    int64_t room = 6000 / MAX_OF(maker_elements(k, &t), 1);
    for (uint32_t i = 0; i < t.rank; i++)
        if (t.dim[i] == 1 && random_chance(k->r, 50)) {
            Dim d = maker_extent(k);
            if (maker_extent_of(k, d) <= room) {
                t.dim[i] = d;
                room /= MAX_OF(maker_extent_of(k, d), 1);
            }
        }
    if (t.rank < MAX_RANK && random_chance(k->r, 60)) {
        Dim d = maker_extent(k);
        if (maker_extent_of(k, d) > room) d = 1;
        memmove(t.dim + 1, t.dim, t.rank * sizeof *t.dim);
        t.dim[0] = d;
        t.rank++;
    }
    return maker_append(k, OP_broadcast, &v, 1, t.dim, t.rank, k->size.at[v]);
}

static Value slice(Maker *k, Value v)
{
    const Type *t = graph_type(k->g, v);
    int64_t attr[3 * MAX_RANK];
    for (uint32_t i = 0; i < t->rank; i++) {
        Dim n = t->dim[i], first = 0, size = n, step = 1;
        if (n > 0 && random_chance(k->r, 60)) {
            first = random_below(k->r, n);
            step = 1 + random_below(k->r, 3);
            size = random_chance(k->r, 5) ? 0 : 1 + random_below(k->r, (n - first - 1) / step + 1);
        }
        memcpy(attr + 3 * i, (int64_t[]){first, size, step}, 3 * sizeof *attr);
    }
    return maker_append(k, OP_slice, &v, 1, attr, 3u * t->rank, k->size.at[v]);
}

static uint32_t some_axes(Maker *k, uint32_t rank, int percent, int64_t *axes)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < rank; i++)
        if (random_chance(k->r, percent)) axes[n++] = i;
    return n;
}

static Value flip(Maker *k, Value v)
{
    int64_t axes[MAX_RANK];
    uint32_t n = some_axes(k, graph_type(k->g, v)->rank, 50, axes);
    return maker_append(k, OP_flip, &v, 1, axes, n, k->size.at[v]);
}

static Value pad(Maker *k, Value v)
{
    const Type *t = graph_type(k->g, v);
    int64_t attr[1 + 2 * MAX_RANK] = {dtype_is_float((DType)t->dtype) ? attr_of_f64((double)random_below(k->r, 3)) : random_below(k->r, 2)};
    for (uint32_t i = 1; i <= 2u * t->rank; i++) attr[i] = random_chance(k->r, 40) ? random_below(k->r, 4) : 0;
    return maker_append(k, OP_pad, &v, 1, attr, 1u + 2u * t->rank, k->size.at[v] + 2);
}

static Value concat(Maker *k, Value v)
{
    Type t = *graph_type(k->g, v);
    uint32_t n = 1 + (uint32_t)random_below(k->r, 3);
    int64_t axis = random_below(k->r, t.rank);
    Value in[3] = {v};
    double size = k->size.at[v];
    for (uint32_t i = 1; i < n; i++) {
        if (random_chance(k->r, 40)) t.dim[axis] = random_below(k->r, 10);
        in[i] = maker_want(k, &t);
        size = fmax(size, k->size.at[in[i]]);
    }
    return maker_append(k, OP_concat, in, n, &axis, 1, size);
}

static bool is_image(const Type *t)
{
    return t->rank == 4 && t->dim[1] >= 3 && t->dim[2] >= 3;
}

static Value window(Maker *k)
{
    Value v = maker_pick(k, is_image);
    if (v == 0) {
        static const uint8_t side[] = {3, 7, 8, 9};
        Type t = {.dtype = (uint8_t)(random_chance(k->r, 80) ? DT_f32 : maker_dtype(k)), .rank = 4,
                  .dim = {1 + random_below(k->r, 2), side[random_below(k->r, 4)], side[random_below(k->r, 4)], 1 + random_below(k->r, 4)}};
        v = maker_want(k, &t);
    }
    int64_t attr[6];
    for (int i = 0; i < 6; i++) attr[i] = 1 + random_below(k->r, i < 2 ? 3 : 2);
    return maker_append(k, OP_window, &v, 1, attr, 6, k->size.at[v]);
}

static Value window_add(Maker *k)
{
    Value w = window(k);
    if (w == 0) return 0;
    const Node n = *graph_maker(k->g, w);
    const Type image = *graph_type(k->g, n.in[0]), t = *graph_type(k->g, w);
    int64_t attr[8];
    memcpy(attr, n.attr->at, 6 * sizeof *attr);
    attr[6] = image.dim[1];
    attr[7] = image.dim[2];
    Value v = maker_want(k, &t);
    return maker_append(k, OP_window_add, &v, 1, attr, 8, 9 * k->size.at[v]);
}

static Value indices(Maker *k, uint32_t most_rank)
{
    static const uint8_t types[] = {DT_i32, DT_i64, DT_i32, DT_u8, DT_i64};
    Type t = maker_shape(k, (DType)types[random_below(k->r, COUNT_OF(types))]);
    if (t.rank > most_rank) t.rank = (uint8_t)most_rank;
    if (maker_elements(k, &t) > 600) t.rank = MIN_OF(t.rank, 1);
    if (maker_elements(k, &t) > 600) t.rank = 0;
    return maker_want(k, &t);
}

static Value gather(Maker *k, Value v)
{
    int64_t axis = random_below(k->r, graph_type(k->g, v)->rank);
    Value i = indices(k, 2);
    return maker_append(k, OP_gather, (Value[]){v, i}, 2, &axis, 1, k->size.at[v]);
}

static Value scatter(Maker *k)
{
    Value i = indices(k, 2);
    if (i == 0) return 0;
    Type t = *graph_type(k->g, i);
    t.dtype = (uint8_t)(random_chance(k->r, 70) ? DT_f32 : maker_dtype(k));
    const uint32_t rank = t.rank;
    int64_t axis = 0;
    if (random_chance(k->r, 50) && t.rank < 3) t.dim[t.rank++] = 1 + random_below(k->r, 9);
    if (random_chance(k->r, 40) && t.rank < 4) {
        memmove(t.dim + 1, t.dim, t.rank++ * sizeof *t.dim);
        t.dim[0] = 1 + random_below(k->r, 3);
        axis = 1;
    }
    Value g = maker_want(k, &t);
    double n = fmax((double)maker_elements(k, &t), 1);
    Type to = {.dtype = t.dtype, .rank = (uint8_t)(t.rank - rank + 1)};
    memcpy(to.dim, t.dim, (size_t)axis * sizeof *t.dim);
    to.dim[axis] = 1 + random_below(k->r, 33);
    memcpy(to.dim + axis + 1, t.dim + axis + rank, (t.rank - rank - (uint32_t)axis) * sizeof *t.dim);
    Value x = maker_want(k, &to);
    const bool narrow = dtype_info[t.dtype].compute != t.dtype;
    int64_t fold = random_chance(k->r, 60) ? 0 : 1 + random_below(k->r, 4);
    if (fold == 1 && narrow) fold = 0;
    double size = fold == 1 ? pow(fmax(k->size.at[g], 1), n) * k->size.at[x] : n * k->size.at[g] + k->size.at[x];
    return maker_append(k, OP_scatter, (Value[]){x, i, g}, 3, (int64_t[]){axis, fold}, 2, size);
}

/* ---- reductions ----------------------------------------------------------------------------------------------------- */

static Value reduce(Maker *k, Op op, Value v)
{
    const Type t = *graph_type(k->g, v);
    int64_t axes[MAX_RANK];
    bool one = op == OP_argmax || op == OP_argmin;
    uint32_t count = one ? 1 : some_axes(k, t.rank, 55, axes);
    if (one) axes[0] = random_below(k->r, t.rank);
    double n = 1, size = k->size.at[v];
    for (uint32_t i = 0; i < count; i++) n *= (double)maker_extent_of(k, t.dim[axes[i]]);
    if (op == OP_sum) size *= fmax(n, 1);
    if (op == OP_prod) size = pow(fmax(size, 1), fmin(n, 100));
    if (one) size = n;
    return maker_append(k, op, &v, 1, axes, count, size);
}

static bool has_wide_axes(const Type *t) { return has_axes(t) && t->dtype != DT_bool && dtype_info[t->dtype].compute == t->dtype; }

static Value cumulate(Maker *k, Op op)
{
    Value v = maker_pick(k, op == OP_argsort || op == OP_sort ? has_axes : has_wide_axes);
    if (v == 0) return 0;
    const Type t = *graph_type(k->g, v);
    const int64_t attr[3] = {random_below(k->r, t.rank), random_below(k->r, 2), random_below(k->r, 2)};
    const double n = fmax((double)maker_extent_of(k, t.dim[attr[0]]), 1), size = k->size.at[v];
    if (op == OP_argsort || op == OP_sort) return maker_append(k, op, &v, 1, attr, 2, op == OP_sort ? size : n);
    if (op == OP_cumsum) return maker_append(k, op, &v, 1, attr, 3, n * size);
    if (op == OP_cumprod) return maker_append(k, op, &v, 1, attr, 3, pow(fmax(size, 1), fmin(n, 100)));
    Value b = maker_want(k, &t);
    return b == 0 ? 0 : maker_append(k, op, (Value[]){v, b}, 2, attr, 2, pow(fmax(size, 1), fmin(n, 100)) * n * k->size.at[b]);
}

/* ---- by op ------------------------------------------------------------------------------------------------------------ */

static Value move(Maker *k, Op op, Value v)
{
    switch (op) {
    case OP_transpose: return transpose(k, v, graph_type(k->g, v)->rank);
    case OP_slice: return slice(k, v);
    case OP_flip: return flip(k, v);
    case OP_pad: return pad(k, v);
    case OP_concat: return concat(k, v);
    case OP_gather: return gather(k, v);
    default: return reduce(k, op, v);
    }
}

static Value with_axes(Maker *k, Op op)
{
    Value v = maker_pick(k, has_axes);
    if (v == 0) {
        Type t = maker_shape(k, maker_dtype(k));
        v = maker_want(k, &t);
        if (v == 0 || graph_type(k->g, v)->rank == 0) return 0;
    }
    return move(k, op, v);
}

Value maker_build(Maker *k, Op op)
{
    const OpDef *def = &op_def[op];
    if (def->flags & OPF_ELEMENTWISE) return elementwise(k, op);
    switch (op) {
    case OP_constant:
    case OP_iota:
    case OP_dim_size: return source(k, op);
    case OP_random_bits: return random_bits(k);
    case OP_cast:
    case OP_leaf: {
        Value v = maker_pick(k, NULL);
        const int64_t attr[2] = {op == OP_cast ? (int64_t)maker_dtype(k) : random_below(k->r, 2), 1};
        const bool saturate = op == OP_cast && dtype_is_float((DType)attr[0]) && random_chance(k->r, 25);
        return v == 0 ? 0 : maker_append(k, op, &v, 1, attr, saturate ? 2 : 1, k->size.at[v]);
    }
    case OP_bitcast: return maker_bits(k);
    case OP_reshape: return reshape(k);
    case OP_broadcast: return broadcast(k);
    case OP_window: return window(k);
    case OP_window_add: return window_add(k);
    case OP_scatter: return scatter(k);
    case OP_argsort:
    case OP_sort:
    case OP_cumsum:
    case OP_cumprod:
    case OP_recurrence: return cumulate(k, op);
    case OP_matmul: return maker_matmul(k);
    case OP_conv:
    case OP_conv_filter: return maker_convolution(k, op);
    case OP_attention:
    case OP_attention_query:
    case OP_attention_keys: return maker_attention(k, op);
    default: return op_factors(op) ? maker_factor(k, op) : with_axes(k, op);
    }
}
