/* random_contract: how products, convolutions, attention and factors of matrices are drawn. Relies on random_graph.h. */
#include "random_graph.h"

static bool is_matrix(const Type *t)
{
    return t->rank >= 2 && t->dtype != DT_bool && t->dtype != DT_u16;
}

Value maker_matmul(Maker *k)
{
    Value a = random_chance(k->r, 60) ? maker_pick(k, is_matrix) : 0;
    static const uint8_t drawn[] = {DT_f32, DT_f32, DT_f32, DT_f64, DT_i8, DT_u8, DT_i16, DT_i64};
    Type t = {.dtype = drawn[random_below(k->r, COUNT_OF(drawn))], .rank = 2, .dim = {maker_extent(k), maker_extent(k)}};
    if (a == 0) {
        if (random_chance(k->r, 30)) {
            t.rank = 3;
            t.dim[2] = t.dim[1];
            t.dim[1] = t.dim[0];
            t.dim[0] = 1 + random_below(k->r, 3);
        }
        a = maker_want(k, &t);
    }
    if (a == 0) return 0;
    Type u = *graph_type(k->g, a);
    double inner = (double)maker_extent_of(k, u.dim[u.rank - 1]);
    u.dim[u.rank - 2] = u.dim[u.rank - 1];
    u.dim[u.rank - 1] = maker_extent(k);
    /* A few hundred thousand products at most. */
    if (maker_elements(k, graph_type(k->g, a)) * maker_extent_of(k, u.dim[u.rank - 1]) > 600000) u.dim[u.rank - 1] = 3;
    if (maker_elements(k, &u) > 70000) return 0;
    Value b = maker_want(k, &u);
    const bool small = u.dtype == DT_i8 || u.dtype == DT_u8 || u.dtype == DT_i16;
    return maker_append(k, OP_matmul, (Value[]){a, b}, 2, (int64_t[]){DT_i32}, small, inner * k->size.at[a] * k->size.at[b]);
}

/* A small size, perhaps a symbol. */
static Dim side(Maker *k)
{
    Dim d = maker_extent(k);
    return maker_extent_of(k, d) <= 9 ? d : 1 + random_below(k->r, 9);
}

/* Any sizes fit: what lies outside of the image counts as zeros. */
Value maker_convolution(Maker *k, Op op)
{
    static const uint8_t types[] = {DT_f32, DT_f32, DT_f32, DT_f32, DT_f64, DT_bf16};
    const uint32_t space = 1 + (uint32_t)random_below(k->r, 3), rank = space + 2;
    const int64_t groups = 1 + random_below(k->r, 3), c = random_chance(k->r, 10) ? 50 : 1 + random_below(k->r, 4), o = 1 + random_below(k->r, 3);
    const bool spreads = op == OP_conv && random_chance(k->r, 50);
    Type x = {.dtype = types[random_below(k->r, COUNT_OF(types))], .rank = (uint8_t)rank}, w = x, y = x;
    int64_t attr[16] = {1, 1, 1, 1, 1, 1, 0, 0, 0, groups, 1, 1, 1};
    uint32_t n = op == OP_conv ? 13 : 10;
    double inner = (double)c;
    x.dim[0] = y.dim[0] = random_chance(k->r, 70) ? 1 + random_below(k->r, 2) : side(k);
    for (uint32_t i = 0; i < space; i++) {
        const uint32_t j = 3 - space + i;
        x.dim[1 + i] = side(k);
        y.dim[1 + i] = side(k);
        w.dim[i] = 1 + random_below(k->r, 3);
        attr[(spreads ? 10 : 0) + j] = 1 + random_below(k->r, 3);
        attr[3 + j] = 1 + random_below(k->r, 3);
        attr[6 + j] = random_below(k->r, 6) - 2;
        attr[n++] = op == OP_conv ? y.dim[1 + i] : w.dim[i];
        inner *= (double)w.dim[i];
    }
    x.dim[rank - 1] = groups * c, w.dim[rank - 2] = c, w.dim[rank - 1] = y.dim[rank - 1] = groups * o;
    if (op == OP_conv_filter) inner = (double)maker_elements(k, &y);
    if ((double)maker_elements(k, op == OP_conv ? &y : &w) * inner > 300000) return 0;
    Value a = maker_want(k, &x), b = maker_want(k, op == OP_conv ? &w : &y);
    if (a == 0 || b == 0) return 0;
    return maker_append(k, op, (Value[]){a, b}, 2, attr, n, inner * k->size.at[a] * k->size.at[b]);
}

/* A size around the blocks, or a symbol. */
static Dim length(Maker *k)
{
    Dim d = random_chance(k->r, 50) ? maker_extent(k) : 60 + random_below(k->r, 80);
    return maker_extent_of(k, d) <= 140 ? d : 1 + random_below(k->r, 70);
}

Value maker_attention(Maker *k, Op op)
{
    const uint8_t t = random_chance(k->r, 70) ? DT_f32 : DT_f64;
    const Dim n = 1 + random_below(k->r, 2), rows = length(k), keys = length(k), d = 1 + random_below(k->r, 5), e = 1 + random_below(k->r, 5);
    const bool causal = random_chance(k->r, 50);
    const Dim period = random_chance(k->r, 50) && maker_extent_of(k, rows) > 0 ? rows : 1 + random_below(k->r, 9);
    const int64_t attr[6] = {attr_of_f64((double)random_below(k->r, 5) / 4 - 0.5), attr_of_f64(random_chance(k->r, 30) ? 2 : 0), causal, period,
        random_chance(k->r, 50) ? 0 : 1 + random_below(k->r, 9), random_chance(k->r, 50) ? keys : random_below(k->r, 9)};
    const Type q = {t, 3, {n, rows, d}}, key = {t, 3, {n, keys, d}}, value = {t, 3, {n, keys, e}}, row = {t, 2, {n, rows}}, g = {t, 3, {n, rows, e}};
    const Type mask = {t, 3, {random_chance(k->r, 50) ? 1 : n, random_chance(k->r, 50) ? 1 : rows, random_chance(k->r, 50) ? 1 : keys}};
    Value in[7] = {maker_want(k, &q), maker_want(k, &key), maker_want(k, &value), maker_want(k, &mask)};
    for (int i = 0; i < 4; i++)
        if (in[i] == 0 || k->size.at[in[i]] > 50) in[i] = in[i] == 0 ? 0 : maker_tame(k, in[i]);
    const double small = in[0] != 0 && in[1] != 0 ? k->size.at[in[0]] * k->size.at[in[1]] * (double)d + k->size.at[in[3]] : 0;
    const Value o = maker_append(k, OP_attention, in, 4, attr, 6, k->size.at[in[2]] + small + 10);
    if (op == OP_attention || o == 0) return o;
    in[4] = maker_want(k, &g), in[5] = o + 1, in[6] = maker_want(k, &row);
    const double ds = (double)e * k->size.at[in[4]] * k->size.at[in[2]] + k->size.at[in[6]];
    if (op == OP_attention_query) return maker_append(k, op, in, 7, attr, 6, ds * k->size.at[in[1]]);
    return maker_append(k, op, in, 7, attr, 6, 140 * (ds * k->size.at[in[0]] + k->size.at[in[4]]));
}

static Value triangular(Maker *k)
{
    const Dim n = 1 + random_below(k->r, 5), c = 1 + random_below(k->r, 7), many = 1 + random_below(k->r, 3);
    Type a = {random_chance(k->r, 70) ? DT_f32 : DT_f64, 3, {many, n, n}}, x = {a.dtype, 3, {many, n, c}};
    Value in[2] = {maker_want(k, &a), maker_want(k, &x)};
    const int64_t attr[2] = {random_below(k->r, 2), random_below(k->r, 2)};
    if (in[0] == 0 || in[1] == 0) return 0;
    return maker_append(k, OP_triangular, in, 2, attr, 2, 1e3 * k->size.at[in[1]] + 1);
}

/* Of x xT mostly, which has a root. */
static Value root(Maker *k, Value x)
{
    int64_t perm[MAX_RANK];
    const double size = x == 0 ? 0 : k->size.at[x];
    if (x == 0 || random_chance(k->r, 10)) return x == 0 ? 0 : maker_append(k, OP_cholesky, &x, 1, NULL, 0, size + 1);
    const Type *t = graph_type(k->g, x);
    for (int i = 0; i < t->rank; i++) perm[i] = i < t->rank - 2 ? i : 2 * t->rank - 3 - i;
    const uint32_t rank = t->rank;
    const Value turned = maker_append(k, OP_transpose, &x, 1, perm, rank, size);
    const Value square = turned == 0 ? 0 : maker_append(k, OP_matmul, (Value[]){x, turned}, 2, NULL, 0, 5 * size * size);
    return square == 0 ? 0 : maker_append(k, OP_cholesky, &square, 1, NULL, 0, 3 * size + 1);
}

Value maker_factor(Maker *k, Op op)
{
    if (op == OP_triangular) return triangular(k);
    const bool square = op == OP_eigh || op == OP_eigvalsh || op == OP_cholesky, many = random_chance(k->r, 40);
    const Dim n = 1 + random_below(k->r, 5), m = square ? n : 1 + random_below(k->r, 5);
    Type t = {random_chance(k->r, 70) ? DT_f32 : DT_f64, 2, {m, n}};
    if (many) t = (Type){t.dtype, 3, {1 + random_below(k->r, 3), m, n}};
    Value x = maker_want(k, &t);
    if (x != 0 && k->size.at[x] > 1e6) x = maker_tame(k, x);
    if (op == OP_cholesky) return root(k, x);
    const int64_t full = random_below(k->r, 2);
    return x == 0 ? 0 : maker_append(k, op, &x, 1, &full, op == OP_svd, 6 * k->size.at[x] + 1);
}
