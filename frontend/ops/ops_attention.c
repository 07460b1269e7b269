/* ops_attention: scaled dot-product attention as a program states it: any leading axes, grouped heads, a mask. All heads that share
 * keys become one matrix of rows, which the op takes (ir/ops.def). Relies on counted.h. */
#include "counted.h"

#include <float.h>
#include <math.h>

#define OP_NAME "attention"

typedef struct Heads {
    int rank;
    Dim n, groups, each, queries, keys, d, e; /* n: of matrices; groups: heads of keys in each; each: heads of queries per group */
    const Type *q;
} Heads;

static kiln_tensor *misfit(Thread *t, kiln_site at, const char *why, kiln_tensor *const x[3])
{
    char a[160], b[160], c[160];
    return fail(t, at, KILN_ESHAPE, OP_NAME ": %s: queries %s, keys %s, values %s", why, tensor_text(x[0], a, sizeof a),
        tensor_text(x[1], b, sizeof b), tensor_text(x[2], c, sizeof c));
}

static bool heads_of(Thread *t, kiln_site at, kiln_tensor *const x[3], Heads *h)
{
    const Type *q = &x[0]->type, *k = &x[1]->type, *v = &x[2]->type;
    const int rank = q->rank;
    const char *why = NULL;
    if (rank < 2) why = "needs [..., queries, d]";
    if (!why && (k->rank != rank || v->rank != rank)) why = "ranks differ";
    for (int i = 0; !why && i < rank - 2; i++) {
        if (k->dim[i] != v->dim[i]) why = "leading axes of keys and values differ";
        if (i < rank - 3 && q->dim[i] != k->dim[i]) why = "leading axes differ";
    }
    if (!why && q->dim[rank - 1] != k->dim[rank - 1]) why = "the last axes of queries and keys differ";
    if (!why && k->dim[rank - 2] != v->dim[rank - 2]) why = "there are not as many values as keys";
    if (why) return misfit(t, at, why, x), false;
    const Dim heads = rank > 2 ? q->dim[rank - 3] : 1, groups = rank > 2 ? k->dim[rank - 3] : 1;
    *h = (Heads){rank, extent_product(t, at, k->dim, rank - 2), groups, 1, q->dim[rank - 2], k->dim[rank - 2], q->dim[rank - 1],
        v->dim[rank - 1], q};
    if (heads != groups) {
        if (!dim_is_const(heads) || !dim_is_const(groups) || groups == 0 || heads % groups != 0)
            return misfit(t, at, "the heads of queries are no multiple of those of keys", x), false;
        h->each = heads / groups;
    }
    char trouble[64];
    if (h->n == DIM_BAD)
        return fail(t, at, KILN_ESHAPE, OP_NAME ": the number of heads %s", extent_trouble(t, trouble, sizeof trouble)), false;
    return true;
}

static kiln_tensor *as_matrices(Thread *t, kiln_site at, kiln_tensor *x, Dim n, Dim rows, Dim length)
{
    return tensor_ok(x) ? reshape_to(t, at, x, (Dim[]){n, rows, length}, 3) : x;
}

/* What is added to the scores, of x's dtype: of a mask of bools, 0 where it is true and else minus infinity. */
static kiln_tensor *added(Thread *t, kiln_site at, kiln_tensor *mask, DType d)
{
    char text[160];
    Type one = {.dtype = (uint8_t)d};
    if (dtype_is_float((DType)mask->type.dtype)) return cast_to(t, at, mask, d);
    if (mask->type.dtype != DT_bool)
        return fail(t, at, KILN_EDTYPE, OP_NAME ": the mask must be bools or floats: %s", tensor_text(mask, text, sizeof text));
    return kiln_where_at(at, of(mask), of(number_like(t, at, OP_NAME, &one, kiln_of_f(0))),
        of(number_like(t, at, OP_NAME, &one, kiln_of_f(-INFINITY))));
}

/* What a mask is made of besides the one that was given: whether key j lies below a number. */
static kiln_tensor *below(Thread *t, kiln_site at, const Heads *h, const char *what, kiln_tensor *number, bool causal)
{
    char text[160];
    if (!tensor_ok(number)) return number;
    if (!dtype_is_int(number->type.dtype))
        return fail(t, at, KILN_EDTYPE, OP_NAME ": %s must be integers: %s", what, tensor_text(number, text, sizeof text));
    const Type keys = {.dtype = DT_i64, .rank = 1, .dim = {h->keys}},
               queries = {.dtype = DT_i64, .rank = 2, .dim = {h->queries, 1}};
    kiln_operand end = of(cast_to(t, at, number, DT_i64));
    if (causal) end = of(kiln_add_at(at, of(kiln_add_at(at, of(iota_of(t, at, &queries, 0, number)), end)), kiln_of_i(1)));
    return kiln_lt_at(at, of(iota_of(t, at, &keys, 0, number)), end);
}

/* The mask that the options make, if they do: of offset, lengths and the one given. Poison: recorded. */
static kiln_tensor *mask_whole(Thread *t, kiln_site at, const Heads *h, const kiln_attention_options *o)
{
    kiln_tensor *seen = o->causal && o->offset ? below(t, at, h, "offset", o->offset, true) : NULL;
    if (o->lengths && (!seen || tensor_ok(seen))) {
        kiln_tensor *there = below(t, at, h, "lengths", o->lengths, false);
        seen = seen ? kiln_and_at(at, of(seen), of(there)) : there;
    }
    if (!seen || !o->mask || !tensor_ok(seen)) return seen ? seen : o->mask;
    if (!tensor_ok(o->mask)) return o->mask;
    if (o->mask->type.dtype == DT_bool) return kiln_and_at(at, of(o->mask), of(seen));
    return kiln_where_at(at, of(seen), of(o->mask), kiln_of_f(-INFINITY));
}

/* [n or 1, rows or 1, keys or 1] for the op, from a mask that broadcasts to [..., heads, queries, keys]. */
static kiln_tensor *mask_of(Thread *t, kiln_site at, const Heads *h, kiln_tensor *mask, DType d, Dim rows)
{
    char text[160];
    if (!mask) return number_like(t, at, OP_NAME, &(Type){.dtype = (uint8_t)d, .rank = 3, .dim = {1, 1, 1}}, kiln_of_f(0));
    if (!tensor_ok(mask)) return mask;
    Type whole = *h->q;
    const int rank = h->rank, more = rank - mask->type.rank;
    whole.dim[rank - 1] = h->keys;
    bool fits = more >= 0, shared = true; /* by all matrices */
    for (int i = 0; fits && i < mask->type.rank; i++) {
        const bool one = mask->type.dim[i] == 1;
        fits = one || mask->type.dim[i] == whole.dim[more + i];
        if (more + i < rank - 2) shared &= one;
    }
    if (!fits)
        return fail(t, at, KILN_ESHAPE, OP_NAME ": the mask does not broadcast to [..., heads, queries, keys]: %s",
            tensor_text(mask, text, sizeof text));
    mask = added(t, at, mask, d);
    if (!tensor_ok(mask)) return mask;
    const bool alike = more > rank - 2 || mask->type.dim[rank - 2 - more] == 1; /* for all queries */
    const bool lone = more > rank - 1 || mask->type.dim[rank - 1 - more] == 1;  /* for all keys */
    if (lone) whole.dim[rank - 1] = 1;
    whole.dtype = (uint8_t)d;
    if (shared && (alike || h->each == 1)) {
        Dim dim[3] = {1, alike ? 1 : h->queries, whole.dim[rank - 1]};
        return reshape_to(t, at, mask, dim, 3);
    }
    /* What is the same for all queries, and for all heads that share keys, needs one row for each matrix; what is the same for all
     * matrices one matrix. */
    const bool grouped = h->each == 1 || more > rank - 3 || mask->type.dim[rank - 3 - more] == 1;
    if (alike && grouped) {
        whole.dim[rank - 2] = 1;
        if (rank > 2) whole.dim[rank - 3] = h->groups;
        return as_matrices(t, at, broadcast_to(t, at, mask, &whole), h->n, 1, whole.dim[rank - 1]);
    }
    if (shared) {
        Type one = {.dtype = (uint8_t)d, .rank = 3, .dim = {h->each, h->queries, whole.dim[rank - 1]}};
        kiln_tensor *m = reshape_to(t, at, mask, (Dim[]){1, alike ? 1 : h->queries, whole.dim[rank - 1]}, 3);
        return tensor_ok(m) ? as_matrices(t, at, broadcast_to(t, at, m, &one), 1, rows, whole.dim[rank - 1]) : m;
    }
    return as_matrices(t, at, broadcast_to(t, at, mask, &whole), h->n, rows, whole.dim[rank - 1]);
}

/* seen: how many keys the last query sees; NULL: all. */
static kiln_tensor *attention(Thread *t, kiln_site at, kiln_tensor *x[3], const kiln_attention_options *o, kiln_tensor *seen)
{
    Heads h;
    char why[64];
    const DType d = (DType)dtype_info[x[0]->type.dtype].compute;
    if (!heads_of(t, at, x, &h)) return &t->k->poison;
    const Dim rows = extent(t, at, EXTENT_MUL, h.queries, h.each);
    if (rows == DIM_BAD) return fail(t, at, KILN_ESHAPE, OP_NAME ": the number of rows %s", extent_trouble(t, why, sizeof why));
    if (o->scale == 0 && !dim_is_const(h.d))
        return fail(t, at, KILN_EUNSUPPORTED, OP_NAME ": give the scale where the length of vectors is a symbol");
    const double scale = o->scale != 0 ? o->scale : 1 / sqrt((double)h.d);
    const int64_t bits[2] = {attr_of_f64(d == DT_f32 ? (float)scale : scale), attr_of_f64(d == DT_f32 ? (float)o->cap : o->cap)};
    kiln_tensor *in[4] = {as_matrices(t, at, cast_to(t, at, x[0], d), h.n, rows, h.d),
        as_matrices(t, at, cast_to(t, at, x[1], d), h.n, h.keys, h.d),
        as_matrices(t, at, cast_to(t, at, x[2], d), h.n, h.keys, h.e), mask_of(t, at, &h, mask_whole(t, at, &h, o), d, rows)};
    /* Unless .first says otherwise the last query sees all keys. */
    const bool causal = o->causal && !o->offset && (o->first || seen || h.queries != 1);
    const Dim last = seen ? size_counted(t, at, seen, h.keys) : h.keys;
    kiln_tensor *out[2];
    if (last == DIM_BAD) return &t->k->poison;
    apply(t, at, OP_attention, in, 4,
        ATTRS_OF(attention, .scale = bits[0], .cap = bits[1], .causal = causal,
            .period = causal ? extent(t, at, EXTENT_MAX, h.queries, 1) : 1, .before = causal ? h.queries : 0,
            .after = !causal    ? 0
                     : o->first ? h.queries
                                : last),
        out, 2);
    if (!tensor_ok(out[0])) return out[0];
    Type result = x[0]->type;
    result.dim[h.rank - 1] = h.e;
    return cast_to(t, at, reshape_to(t, at, out[0], result.dim, h.rank), (DType)x[0]->type.dtype);
}

kiln_tensor *attention_upto(Thread *t, kiln_site at, const kiln_operand in[3], const kiln_attention_options *o, kiln_tensor *seen)
{
    char text[160];
    if (!(o->cap >= 0) || o->cap > FLT_MAX || !(fabs(o->scale) <= FLT_MAX))
        return fail(
            t, at, KILN_EVALUE, OP_NAME ": scale is %g and cap %g; they must be finite in f32, cap 0 or above", o->scale, o->cap);
    Composite s = composite_begin(t, OP_NAME);
    kiln_tensor *x[3];
    bool ok = true;
    for (int i = 0; i < 3 && ok; i++) ok = tensor_ok(x[i] = operand_named(t, at, OP_NAME, in[i], NULL));
    DType d =
        ok ? dtype_promote(dtype_promote((DType)x[0]->type.dtype, (DType)x[1]->type.dtype), (DType)x[2]->type.dtype) : DT_NONE;
    if (ok && !dtype_is_float(d)) {
        fail(t, at, KILN_EDTYPE, OP_NAME ": needs floats, use kiln_cast: %s", tensor_text(x[0], text, sizeof text));
        ok = false;
    }
    for (int i = 0; i < 3 && ok; i++) ok = tensor_ok(x[i] = cast_to(t, at, x[i], d));
    return composite_end(t, &s, ok ? attention(t, at, x, o, seen) : &t->k->poison);
}

kiln_tensor *kiln_attention_sized(
    kiln_site at, kiln_operand q, kiln_operand k, kiln_operand v, const kiln_attention_options *options, size_t size)
{
    const kiln_operand all[3] = {q, k, v};
    kiln_attention_options o = {0};
    Thread *t = op_thread(all, 3);
    if (!t) return NULL;
    if (options) memcpy(&o, options, MIN_OF(size, sizeof o));
    return attention_upto(t, at, all, &o, NULL);
}
