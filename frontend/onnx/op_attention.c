/* op_attention: ONNX's attention and what goes with it: rotary embeddings, caches of keys, recurrences in attention's place. Relies
 * on import.h. */
#include <math.h>

#include "import.h"

/* x [batch, n, heads d] as [batch, heads, n, d]; of rank 4 it is so already. */
static kiln_tensor *heads_apart(Call *c, kiln_tensor *x, int64_t heads, bool heads_last)
{
    if (!tensor_ok(x) || x->type.rank == 4) return x;
    if (x->type.rank != 3 || heads < 1)
        return unsupported(c, "rank %d with %lld heads", x->type.rank, (long long)heads), &c->t->k->poison;
    const Dim d = extent(c->t, c->at, EXTENT_EXACT, x->type.dim[2], heads);
    const Dim dim[4] = {x->type.dim[0], x->type.dim[1], heads, d};
    if (d == DIM_BAD) return &c->t->k->poison;
    x = reshape_to(c->t, c->at, x, dim, 4);
    return heads_last ? x : kiln_transpose_at(c->at, of(x), KILN_AXES(0, 2, 1, 3));
}

/* And back. */
static kiln_tensor *heads_joined(Call *c, kiln_tensor *x)
{
    x = kiln_transpose_at(c->at, of(x), KILN_AXES(0, 2, 1, 3));
    if (!tensor_ok(x)) return x;
    const Dim all = extent(c->t, c->at, EXTENT_MUL, x->type.dim[2], x->type.dim[3]);
    const Dim dim[3] = {x->type.dim[0], x->type.dim[1], all};
    return all == DIM_BAD ? &c->t->k->poison : reshape_to(c->t, c->at, x, dim, 3);
}

typedef struct Attention {
    kiln_tensor *q, *k, *v, *mask;
    kiln_tensor *offset;  /* keys before the first query: i64, a scalar or [batch, 1, 1, 1] */
    kiln_tensor *lengths; /* keys that there are, [batch, 1, 1, 1]; NULL: all */
    int64_t left, right;  /* how far a query sees; -1: any distance */
    bool causal;
} Attention;

/* A mask may have fewer keys than there are: what is missing is not seen. */
static kiln_tensor *whole_mask(Call *c, kiln_tensor *mask, Dim keys)
{
    if (!tensor_ok(mask) || mask->type.rank == 0) return mask;
    const int last = mask->type.rank - 1;
    const Dim have = mask->type.dim[last];
    if (have == keys || have == 1 || !dim_is_const(have) || !dim_is_const(keys)) return mask;
    kiln_shape low = {.rank = mask->type.rank}, high = low;
    high.size[1 + last] = keys - have;
    const bool bools = mask->type.dtype == DT_bool;
    return kiln_pad_at(c->at, of(mask), low, high, bools ? KILN_OPERAND(false) : KILN_OPERAND(-INFINITY));
}

/* 0, 1, ... up to a size, i64. */
static kiln_tensor *count(Call *c, Dim size)
{
    const Type row = {.dtype = DT_i64, .rank = 1, .dim = {size}};
    kiln_tensor *zero = kiln_full_at(c->at, c->t->k, KILN_I64, KILN_SHAPE(), KILN_OPERAND(0));
    return kiln_iota_along_at(c->at, of(broadcast_to(c->t, c->at, zero, &row)), 0, KILN_I64);
}

/* Whether query i, at place offset + i, sees key j: its place less j is at most `left`, and at least -right. */
static kiln_tensor *seen(Call *c, const Attention *a, int64_t left, int64_t right)
{
    kiln_tensor *i = kiln_expand_dims_at(c->at, of(count(c, a->q->type.dim[2])), KILN_AXES(-1)), *j = count(c, a->k->type.dim[2]);
    kiln_tensor *far = kiln_add_at(c->at, of(kiln_sub_at(c->at, of(i), of(j))), of(a->offset)), *all = NULL;
    if (left >= 0) all = kiln_le_at(c->at, of(far), KILN_OPERAND(left));
    if (right < 0) return all;
    kiln_tensor *ahead = kiln_ge_at(c->at, of(far), KILN_OPERAND(-right));
    return all ? kiln_and_at(c->at, of(all), of(ahead)) : ahead;
}

static kiln_tensor *both(Call *c, kiln_tensor *mask, kiln_tensor *see)
{
    if (!mask || !see) return mask ? mask : see;
    if (tensor_ok(mask) && mask->type.dtype == DT_bool) return kiln_and_at(c->at, of(mask), of(see));
    return kiln_where_at(c->at, of(see), of(mask), KILN_OPERAND(-INFINITY));
}

/* What a query may see, as one mask. NULL: all. */
static kiln_tensor *all_masks(Call *c, const Attention *a)
{
    kiln_tensor *mask = a->mask;
    if (a->left >= 0 || a->right >= 0) mask = both(c, mask, seen(c, a, a->left, a->right));
    if (a->causal) mask = both(c, mask, seen(c, a, -1, 0));
    if (!a->lengths) return mask;
    return both(c, mask, kiln_lt_at(c->at, of(count(c, a->k->type.dim[2])), of(a->lengths)));
}

/* The fourth result: scores at one stage: products, after the cap, with the masks, after the softmax. */
static bool give_scores(Call *c, const Attention *a, double scale, double cap)
{
    const int64_t stage = attr_int(c, "qk_matmul_output_mode", 0);
    if (c->nout < 4 || c->node->out[3] == UINT32_MAX) return true;
    const Dim heads = a->q->type.dim[1], groups = a->k->type.dim[1];
    kiln_tensor *k = a->k;
    if (heads != groups) {
        if (!dim_is_const(heads) || !dim_is_const(groups) || groups < 1)
            return unsupported(c, "scores where the heads are a symbol");
        k = kiln_repeat_at(c->at, of(k), KILN_OPERAND(heads / groups), 1);
    }
    const DType d = (DType)a->q->type.dtype, wide = wide_dtype(a->q);
    kiln_tensor *q = cast_to(c->t, c->at, a->q, wide), *s = kiln_matrix_transpose_at(c->at, of(cast_to(c->t, c->at, k, wide)));
    s = kiln_mul_at(c->at, of(kiln_matmul_at(c->at, of(q), of(s))), KILN_OPERAND(scale));
    if (cap > 0 && stage > 0)
        s = kiln_mul_at(c->at, of(kiln_tanh_at(c->at, of(kiln_div_at(c->at, of(s), KILN_OPERAND(cap))))), KILN_OPERAND(cap));
    kiln_tensor *mask = stage >= 2 ? all_masks(c, a) : NULL;
    if (mask && tensor_ok(mask) && mask->type.dtype == DT_bool)
        s = kiln_where_at(c->at, of(mask), of(s), KILN_OPERAND(-INFINITY));
    else if (mask)
        s = kiln_add_at(c->at, of(s), of(cast_to(c->t, c->at, mask, wide)));
    if (stage >= 3) {
        kiln_tensor *most = kiln_reduce_max_at(c->at, of(s), KILN_KEEP(-1));
        s = kiln_where_at(c->at, of(kiln_isneginf_at(c->at, of(most))), KILN_OPERAND(0), of(kiln_softmax_at(c->at, of(s), -1)));
    }
    return give(c, 3, tensor_ok(s) ? cast_to(c->t, c->at, s, d) : s);
}

/* Keys and values of before, and those that are new. */
static bool with_past(Call *c, Attention *a)
{
    kiln_tensor *before = has(c, 4) ? tensor(c, 4) : NULL, *values = has(c, 5) ? tensor(c, 5) : NULL;
    if (!before != !values) return unsupported(c, "past keys without past values, or these without those");
    if (before && (!tensor_ok(before) || before->type.rank != 4)) return unsupported(c, "past keys of other than four axes");
    a->offset = before ? dim_tensor(c->t, c->at, before->type.dim[2], DT_i64)
                       : kiln_full_at(c->at, c->t->k, KILN_I64, KILN_SHAPE(), KILN_OPERAND(0));
    if (before) {
        kiln_tensor *keys[2] = {before, a->k}, *all[2] = {values, a->v};
        a->k = kiln_concat_at(c->at, keys, 2, 2);
        a->v = kiln_concat_at(c->at, all, 2, 2);
    }
    if (!tensor_ok(a->k) || !tensor_ok(a->v) || !tensor_ok(a->offset)) return false;
    return (c->nout < 2 || give(c, 1, a->k)) && (c->nout < 3 || give(c, 2, a->v));
}

bool op_attention(Call *c)
{
    kiln_tensor *q = tensor(c, 0), *k = tensor(c, 1), *v = tensor(c, 2);
    if (!tensor_ok(q) || !tensor_ok(k) || !tensor_ok(v)) return false;
    const bool flat = q->type.rank == 3;
    const int64_t heads = attr_int(c, "q_num_heads", 0), groups = attr_int(c, "kv_num_heads", 0);
    Attention a = {.q = heads_apart(c, q, heads, false),
        .k = heads_apart(c, k, groups, false),
        .v = heads_apart(c, v, groups, false),
        .mask = has(c, 3) ? tensor(c, 3) : NULL,
        .left = attr_int(c, "left_window_size", -1),
        .right = attr_int(c, "right_window_size", -1),
        .causal = attr_int(c, "is_causal", 0) != 0};
    if (!tensor_ok(a.q) || !tensor_ok(a.k) || !tensor_ok(a.v) || !with_past(c, &a)) return false;
    if (a.mask) a.mask = whole_mask(c, a.mask, a.k->type.dim[2]);
    if (has(c, 6)) {
        a.lengths = kiln_expand_dims_at(c->at, of(kiln_cast_at(c->at, operand(c, 6), KILN_I64)), KILN_AXES(1, 2, 3));
        if (!has(c, 4)) a.offset = kiln_sub_at(c->at, of(a.lengths), of(dim_tensor(c->t, c->at, a.q->type.dim[2], DT_i64)));
    }
    const Dim d = a.q->type.dim[3];
    if (!dim_is_const(d)) return unsupported(c, "a size of heads that is a symbol");
    const double scale = attr_float(c, "scale", 1 / sqrt((double)d)), cap = attr_float(c, "softcap", 0);
    kiln_attention_options o = {.mask = a.mask, .scale = scale, .cap = cap, .causal = a.causal, .lengths = a.lengths};
    if (o.causal) o.first = !has(c, 4) && !has(c, 6);
    if (o.causal && !o.first) o.offset = a.offset;
    if (a.left >= 0 || a.right >= 0) o.mask = both(c, a.mask, seen(c, &a, a.left, a.right));
    if (o.mask && !tensor_ok(o.mask)) return false;
    kiln_tensor *y = kiln_attention_sized(c->at, of(a.q), of(a.k), of(a.v), &o, sizeof o);
    return give_as(c, 0, flat ? heads_joined(c, y) : y, q) && give_scores(c, &a, scale, cap);
}

bool op_rotary(Call *c)
{
    kiln_tensor *x = tensor(c, 0), *wide;
    if (!tensor_ok(x)) return false;
    const kiln_rotary_options o = {.interleaved = attr_int(c, "interleaved", 0) != 0, .heads_last = x->type.rank == 3};
    wide = heads_apart(c, x, attr_int(c, "num_heads", 0), true);
    kiln_tensor *y = kiln_rotary_sized(c->at, of(wide), operand(c, 1), operand(c, 2), operand(c, 3), &o, sizeof o);
    return give(c, 0, tensor_ok(y) ? reshape_to(c->t, c->at, y, x->type.dim, x->type.rank) : y);
}

/* New slices of a cache, from a place on that each batch names; in a circular one they go on at its start. */
bool op_tensor_scatter(Call *c)
{
    kiln_tensor *x = tensor(c, 0), *update = tensor(c, 1);
    if (!tensor_ok(x) || !tensor_ok(update)) return false;
    int64_t axis = attr_int(c, "axis", -2);
    if (!axis_within(c, &axis, x->type.rank)) return false;
    if (axis == 0) return unsupported(c, "the axis of the batch");
    if (update->type.rank != x->type.rank)
        return unsupported(c, "an update of rank %d to a cache of rank %d", update->type.rank, x->type.rank);
    kiln_axes behind = {.count = x->type.rank - 1}, own = {.count = x->type.rank - 1 - (int)axis};
    for (int i = 0; i < behind.count; i++) behind.axis[1 + i] = 1 + i;
    for (int i = 0; i < own.count; i++) own.axis[1 + i] = 1 + i;
    kiln_tensor *at = kiln_expand_dims_at(c->at, of(count(c, update->type.dim[axis])), own);
    if (has(c, 2)) {
        kiln_tensor *from = kiln_expand_dims_at(c->at, of(kiln_cast_at(c->at, operand(c, 2), KILN_I64)), behind);
        at = kiln_add_at(c->at, of(at), of(from));
    }
    if (attr_is(c, "mode", "circular")) at = kiln_mod_at(c->at, of(at), of(dim_tensor(c->t, c->at, x->type.dim[axis], DT_i64)));
    if (tensor_ok(at)) at = broadcast_to(c->t, c->at, at, &update->type);
    return give(c, 0, kiln_scatter_along_at(c->at, of(x), of(at), of(update), (int)axis, KILN_SCATTER_SET));
}

/* ---- in attention's place --------------------------------------------------------------------------------- */

/* A convolution of each channel over what was before, whose last elements are the second result. */
bool op_causal_conv(Call *c)
{
    kiln_tensor *x = tensor(c, 0), *w = tensor(c, 1);
    if (!tensor_ok(x) || !tensor_ok(w)) return false;
    if (x->type.rank != 3 || w->type.rank != 3 || !dim_is_const(w->type.dim[2]) || w->type.dim[2] < 1 ||
        !dim_is_const(w->type.dim[0]))
        return unsupported(c, "other than images [batch, channels, length] and weights [channels, 1, taps]");
    const int64_t before = w->type.dim[2] - 1;
    const kiln_convolution o = {.groups = w->type.dim[0], .channels_first = true};
    if (has(c, 3)) {
        kiln_tensor *all[2] = {tensor(c, 3), x};
        x = kiln_concat_at(c->at, all, 2, 2);
    } else {
        x = kiln_pad_at(c->at, of(x), KILN_SHAPE(0, 0, before), KILN_SHAPE(0, 0, 0), KILN_OPERAND(0));
    }
    w = kiln_transpose_at(c->at, of(w), KILN_AXES(2, 1, 0));
    kiln_tensor *y = kiln_convolve_sized(c->at, of(x), of(w), &o, sizeof o);
    if (has(c, 2)) y = kiln_add_at(c->at, of(y), of(kiln_expand_dims_at(c->at, operand(c, 2), KILN_AXES(1))));
    if (attr_is(c, "activation", "silu") || attr_is(c, "activation", "swish")) y = kiln_silu_at(c->at, of(y));
    if (!give(c, 0, y) || !tensor_ok(x)) return false;
    const Dim first = extent(c->t, c->at, EXTENT_SUB, x->type.dim[2], before);
    return c->nout < 2 || (first != DIM_BAD && give(c, 1, slice_axis(c->t, c->at, x, 2, first, before)));
}

/* state = exp(decay) state + key x (beta (value - state' key), or value); the result is query . state, of each step. */
typedef struct Rule {
    bool gated, delta;
} Rule;
static const Rule rules[4] = {
    {false, false}, {false, true}, {true, false}, {true, true}}; /* a gradient may ask for steps again, later */

static void rule_step(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const Rule *r = user;
    const kiln_site at = {0};
    kiln_tensor *s = in[1], *q = in[2], *key = in[3],
                *v = in[4]; /* in[0]: which step; q [b, heads, groups, d], key [b, heads, d] */
    kiln_tensor *const *more = in + 5;
    (void)k;
    if (r->gated) s = kiln_mul_at(at, of(s), of(kiln_expand_dims_at(at, of(kiln_exp_at(at, of(*more++))), KILN_AXES(-1))));
    if (r->delta) {
        kiln_tensor *had =
            kiln_sum_at(at, of(kiln_mul_at(at, of(s), of(kiln_expand_dims_at(at, of(key), KILN_AXES(-1))))), KILN_AXES(2));
        v = kiln_mul_at(at, of(kiln_sub_at(at, of(v), of(had))), of(*more));
    }
    kiln_tensor *outer =
        kiln_mul_at(at, of(kiln_expand_dims_at(at, of(key), KILN_AXES(-1))), of(kiln_expand_dims_at(at, of(v), KILN_AXES(-2))));
    out[0] = kiln_add_at(at, of(s), of(outer));
    out[1] = kiln_matmul_at(at, of(q), of(out[0]));
}

/* x [batch, n, heads d] with the steps first, [n, batch, heads, d], in f32, or f64 if it is. */
static kiln_tensor *steps_first(Call *c, uint32_t i, int64_t heads)
{
    kiln_tensor *x = heads_apart(c, tensor(c, i), heads, true);
    x = kiln_transpose_at(c->at, of(x), KILN_AXES(1, 0, 2, 3));
    return tensor_ok(x) ? cast_to(c->t, c->at, x, at_least_f32(x)) : x;
}

/* Steps with their groups of queries apart: [n, batch, key heads, groups, d]. */
static kiln_tensor *queries(Call *c, int64_t heads, int64_t groups, double *scale)
{
    kiln_tensor *q = steps_first(c, 0, heads);
    if (!tensor_ok(q)) return q;
    const Dim *d = q->type.dim;
    if (!dim_is_const(d[3])) return unsupported(c, "a size of heads that is a symbol"), &c->t->k->poison;
    if (*scale == 0) *scale = 1 / sqrt((double)d[3]);
    const Dim dim[5] = {d[0], d[1], groups, heads / groups, d[3]};
    q = reshape_to(c->t, c->at, q, dim, 5);
    return kiln_mul_at(c->at, of(q), KILN_OPERAND(*scale));
}

bool op_linear_attention(Call *c)
{
    const int64_t heads = attr_int(c, "q_num_heads", 0), groups = attr_int(c, "kv_num_heads", 0);
    const bool given = attribute(c, "update_rule"), usual = !given || attr_is(c, "update_rule", "gated_delta");
    const bool gated = usual || attr_is(c, "update_rule", "gated"), delta = usual || attr_is(c, "update_rule", "delta");
    if (heads < 1 || groups < 1 || heads % groups != 0)
        return unsupported(c, "q_num_heads=%lld with kv_num_heads=%lld", (long long)heads, (long long)groups);
    if (gated != has(c, 4) || delta != has(c, 5)) return unsupported(c, "a decay or beta that the rule has not, or lacks");
    double scale = attr_float(c, "scale", 0);
    kiln_tensor *xs[5] = {queries(c, heads, groups, &scale), steps_first(c, 1, groups), steps_first(c, 2, groups)}, *s, *ys;
    const kiln_tensor *x = tensor(c, 0), *past = has(c, 3) ? tensor(c, 3) : NULL;
    int n = 3;
    if (!tensor_ok(xs[0]) || !tensor_ok(xs[1]) || !tensor_ok(xs[2]) || (past && !tensor_ok(past))) return false;
    if (gated) xs[n++] = steps_first(c, 4, groups); /* [n, batch, heads, 1 or d] */
    if (delta) {
        const kiln_tensor *beta = tensor(c, 5);
        if (!tensor_ok(beta) || beta->type.rank != 3) return unsupported(c, "a beta of other than three axes");
        xs[n++] = steps_first(c, 5, beta->type.dim[2] == 1 ? 1 : groups);
    }
    const DType wide = at_least_f32(x);
    const Type state = {.dtype = wide, .rank = 4, .dim = {x->type.dim[0], groups, xs[1]->type.dim[3], xs[2]->type.dim[3]}};
    kiln_tensor *zero = kiln_full_at(c->at, c->t->k, (kiln_dtype)wide, KILN_SHAPE(), KILN_OPERAND(0));
    s = past ? kiln_cast_at(c->at, operand(c, 3), (kiln_dtype)wide) : broadcast_to(c->t, c->at, zero, &state);
    kiln_scan_options o = {.carries = &s, .carries_count = 1, .xs = xs, .xs_count = n, .ys_count = 1};
    kiln_tensor *last;
    if (!kiln_scan_sized(c->at, c->t->k, rule_step, &o, &last, &ys, (void *)(uintptr_t)&rules[2 * gated + delta], sizeof o))
        return false;
    /* [n, batch, key heads, groups, d] as [batch, n, all] */
    ys = kiln_transpose_at(c->at, of(ys), KILN_AXES(1, 0, 2, 3, 4));
    if (!tensor_ok(ys)) return false;
    const Dim all = extent_product(c->t, c->at, ys->type.dim + 2, 3), dim[3] = {ys->type.dim[0], ys->type.dim[1], all};
    if (all == DIM_BAD || !give(c, 0, cast_to(c->t, c->at, reshape_to(c->t, c->at, ys, dim, 3), (DType)x->type.dtype)))
        return false;
    return c->nout < 2 || give(c, 1, cast_to(c->t, c->at, last, (DType)(past ? past : x)->type.dtype));
}
