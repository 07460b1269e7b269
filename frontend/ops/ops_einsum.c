/* ops_einsum: sums of products by labels. Operands lose the labels that nobody else has, and are then contracted two at a time, in
 * the order of the least products, each pair by a matmul of transposed views where it can be. Relies on einsum.h and the public
 * operations. Never multiplies and adds up by itself. */
#include "einsum.h"

#include <math.h>

#define OP2(name, x, y) of(kiln_##name##_at(at, x, y))

/* ---- one operand -------------------------------------------------------------------------------- */

static void term_reshape(Thread *t, kiln_site at, Labelled *x, const Dim *dim, int rank)
{
    if (tensor_ok(x->x)) x->x = reshape_to(t, at, x->x, dim, rank);
}

/* perm: which of the term's axes comes where. */
static void turn(Thread *t, kiln_site at, Labelled *x, const int *perm)
{
    uint8_t old[MAX_RANK];
    bool same = true;
    memcpy(old, x->label, sizeof old);
    for (int i = 0; i < x->n; i++) {
        x->label[i] = old[perm[i]];
        same = same && perm[i] == i;
    }
    if (!same) x->x = transpose_to(t, at, x->x, perm);
}

/* Without the axes of size 1 whose labels have another size elsewhere. */
static void squeeze(Thread *t, kiln_site at, const Einsum *e, Labelled *x)
{
    Dim dim[MAX_RANK];
    int n = 0;
    for (int i = 0; i < x->n; i++) {
        if (x->x->type.dim[i] != e->size[x->label[i]]) continue;
        dim[n] = x->x->type.dim[i];
        x->label[n++] = x->label[i];
    }
    x->n = n;
    term_reshape(t, at, x, dim, n);
}

/* x [..., n, n], the elements of one index along both: every (n + 1)th of the two axes as one. A size that is a symbol has no such
 * step; there all others are taken for 0 and added. */
static kiln_tensor *diagonal(Thread *t, kiln_site at, kiln_tensor *x)
{
    Dim dim[MAX_RANK];
    if (!tensor_ok(x)) return x;
    const int last = x->type.rank - 2;
    const Dim n = x->type.dim[last];
    memcpy(dim, x->type.dim, (size_t)x->type.rank * sizeof *dim);
    if (!dim_is_const(n)) {
        const Type square = {.dtype = DT_i64, .rank = 2, .dim = {n, n}};
        const kiln_operand on = OP2(eq, of(iota_of(t, at, &square, 0, x)), of(iota_of(t, at, &square, 1, x)));
        return kiln_sum_at(at, of(kiln_where_at(at, on, of(x), kiln_of_i(0))), KILN_AXES(-1));
    }
    if (n == 0) return reshape_to(t, at, x, dim, last + 1);
    dim[last] = dim_mul(NULL, n, n);
    x = reshape_to(t, at, x, dim, last + 1);
    if (!tensor_ok(x)) return x;
    struct slice_attrs *s = slice_all(&x->type, ATTRS_ROOM(slice, 3 * MAX_RANK));
    s->axis[last].first = 0, s->axis[last].size = n, s->axis[last].step = n + 1;
    return apply1(t, at, OP_slice, x, ATTRS_TO(s, s->axis + last + 1));
}

/* Labels that the term has twice become one axis, the last. */
static void diagonals(Thread *t, kiln_site at, Labelled *x)
{
    for (int a = 0; a < x->n; a++)
        for (int b = a + 1; b < x->n; b++) {
            int perm[MAX_RANK], k = 0;
            if (x->label[a] != x->label[b]) continue;
            for (int i = 0; i < x->n; i++)
                if (i != a && i != b) perm[k++] = i;
            perm[k] = a, perm[k + 1] = b;
            turn(t, at, x, perm);
            x->x = diagonal(t, at, x->x);
            x->n--;
            a = -1;
            break;
        }
}

/* Without the labels that neither others nor the result have: their sum. */
static void sum_lone(kiln_site at, Labelled *x, uint64_t wanted)
{
    kiln_axes axes = {0, 0, {0}};
    int n = 0;
    for (int i = 0; i < x->n; i++)
        if (wanted >> x->label[i] & 1)
            x->label[n++] = x->label[i];
        else
            axes.axis[++axes.count] = i;
    x->n = n;
    if (axes.count > 0) x->x = kiln_sum_at(at, of(x->x), axes);
}

/* ---- two operands ------------------------------------------------------------------------------- */

/* A part of the labels of a pair, in order. */
typedef struct Part {
    int n;
    uint8_t label[MAX_RANK];
} Part;

static Part part_of(const Labelled *x, uint64_t these)
{
    Part p = {0};
    for (int i = 0; i < x->n; i++)
        if (these >> x->label[i] & 1) p.label[p.n++] = x->label[i];
    return p;
}

/* The number of the result's labels before this one. */
static int place_of(const Einsum *e, uint8_t label)
{
    int i = 0;
    while (i < e->nout && e->out[i] != label) i++;
    return i;
}

static void sort_as_result(const Einsum *e, Part *p)
{
    for (int i = 1; i < p->n; i++)
        for (int j = i; j > 0 && place_of(e, p->label[j - 1]) > place_of(e, p->label[j]); j--) {
            const uint8_t l = p->label[j];
            p->label[j] = p->label[j - 1];
            p->label[j - 1] = l;
        }
}

/* x as [batch..., a, b], with each of the parts a and b as one axis. */
static void as_matrix(Thread *t, kiln_site at, const Einsum *e, Labelled *x, const Part *batch, const Part *a, const Part *b)
{
    const Part *parts[3] = {batch, a, b};
    int perm[MAX_RANK], n = 0;
    Dim dim[MAX_RANK + 2];
    char why[64];
    for (int p = 0; p < 3; p++)
        for (int i = 0; i < parts[p]->n; i++)
            for (int axis = 0; axis < x->n; axis++)
                if (x->label[axis] == parts[p]->label[i]) perm[n++] = axis;
    turn(t, at, x, perm);
    for (int i = 0; i < batch->n; i++) dim[i] = e->size[batch->label[i]];
    for (int p = 1; p < 3; p++) {
        Dim all = 1;
        for (int i = 0; i < parts[p]->n; i++) all = extent(t, at, EXTENT_MUL, all, e->size[parts[p]->label[i]]);
        dim[batch->n + p - 1] = all;
        if (all == DIM_BAD)
            x->x = fail(t, at, KILN_ESHAPE, "%s: the number of elements %s", e->op, extent_trouble(t, why, sizeof why));
    }
    term_reshape(t, at, x, dim, batch->n + 2);
}

/* Integers wrap in their own dtype, whatever their products are added up in. */
static kiln_tensor *matrices(Thread *t, kiln_site at, kiln_tensor *x, kiln_tensor *y)
{
    if (!tensor_ok(x) || !dtype_is_int((DType)x->type.dtype)) return kiln_matmul_at(at, of(x), of(y));
    const DType d = (DType)x->type.dtype;
    return cast_to(t, at, kiln_matmul_to_at(at, of(x), of(y), dtype_bytes(d) < 4 ? KILN_I32 : (kiln_dtype)d), d);
}

/* [..., 1, k] each: the sum of products, added up as a row is, 16-bit floats in f32. */
static kiln_tensor *dots(Thread *t, kiln_site at, kiln_tensor *x, kiln_tensor *y)
{
    if (!tensor_ok(x) || !tensor_ok(y)) return &t->k->poison;
    const DType own = (DType)x->type.dtype, wide = wide_dtype(x);
    const kiln_operand p = OP2(mul, of(cast_to(t, at, x, wide)), of(cast_to(t, at, y, wide)));
    return cast_to(t, at, kiln_sum_at(at, p, KILN_AXES(-1)), own);
}

/* x becomes the product of x and y, summed over what `wanted` (the labels of the others and the result) lacks. */
static void contract_pair(Thread *t, kiln_site at, const Einsum *e, Labelled *x, Labelled *y, uint64_t wanted)
{
    const uint64_t both = labels_of(x) & labels_of(y);
    Part batch = part_of(x, both & wanted), left = part_of(x, ~both), right = part_of(y, ~both), none = {0};
    const Part sum = part_of(x, both & ~wanted);
    Dim dim[MAX_RANK];
    if (left.n && right.n && place_of(e, right.label[0]) < place_of(e, left.label[0])) { /* so that the result need not be turned */
        const Labelled old = *x;
        const Part part = left;
        *x = *y, *y = old;
        left = right, right = part;
    }
    if (batch.n + left.n + right.n > MAX_RANK || batch.n + 2 > MAX_RANK) {
        x->x = fail(t, at, KILN_ESHAPE, "%s: a product of two operands has %d axes, %d of them in common (allowed: 8, and 6)",
            e->op, batch.n + left.n + right.n, batch.n);
        return;
    }
    sort_as_result(e, &batch);
    const bool dot = left.n == 0 && right.n == 0 && sum.n > 0;
    as_matrix(t, at, e, x, &batch, &left, &sum);
    as_matrix(t, at, e, y, &batch, dot || sum.n == 0 ? &none : &sum, dot ? &sum : &right);
    x->x = dot ? dots(t, at, x->x, y->x) : sum.n == 0 ? kiln_mul_at(at, of(x->x), of(y->x)) : matrices(t, at, x->x, y->x);
    const Part *parts[3] = {&batch, &left, &right};
    x->n = 0;
    for (int p = 0; p < 3; p++)
        for (int i = 0; i < parts[p]->n; i++) {
            dim[x->n] = e->size[parts[p]->label[i]];
            x->label[x->n++] = parts[p]->label[i];
        }
    term_reshape(t, at, x, dim, x->n);
}

/* ---- the order of many --------------------------------------------------------------------------- */

enum { MOST_SEARCHED = 8 };

typedef struct Order {
    double cost[1 << MOST_SEARCHED];     /* of the contraction of a set of terms */
    uint8_t first[1 << MOST_SEARCHED];   /* the part of the set that is contracted apart from the rest */
    uint64_t labels[1 << MOST_SEARCHED]; /* of the product */
} Order;

/* How many products there are, where all symbols are `size`, or their bound nearest to it. */
static double products(Thread *t, const Einsum *e, uint64_t labels, int64_t size)
{
    double n = 1;
    for (int l = 0; l < LABELS; l++)
        if (labels >> l & 1) n *= (double)MIN_OF(MAX_OF(size, extent_lo(t, e->size[l])), extent_hi(t, e->size[l]));
    return n;
}

static uint64_t result_labels(const Einsum *e)
{
    const Labelled out = {.n = e->nout};
    Labelled r = out;
    memcpy(r.label, e->out, (size_t)e->nout);
    return labels_of(&r);
}

/* Of all terms but those in the set, and of the result. */
static uint64_t wanted_beside(const Einsum *e, uint64_t set)
{
    uint64_t all = result_labels(e);
    for (int i = 0; i < e->count; i++)
        if (!(set >> i & 1)) all |= labels_of(&e->term[i]);
    return all;
}

static void find_order(Thread *t, const Einsum *e, Order *o, int64_t size)
{
    for (unsigned set = 1; set < 1u << e->count; set++) {
        const unsigned lowest = set & (0u - set);
        if (set == lowest) {
            o->cost[set] = 0;
            o->labels[set] = labels_of(&e->term[__builtin_ctz(set)]);
            continue;
        }
        o->cost[set] = INFINITY;
        o->first[set] = (uint8_t)lowest;
        for (unsigned a = (set - 1) & set; a > 0; a = (a - 1) & set) {
            if (!(a & lowest)) continue;
            const uint64_t labels = o->labels[a] | o->labels[set ^ a], kept = labels & wanted_beside(e, set);
            o->labels[set] = kept;
            if (__builtin_popcountll(kept) > MAX_RANK) break;
            const double cost = o->cost[a] + o->cost[set ^ a] + products(t, e, labels, size);
            if (!(cost < o->cost[set])) continue;
            o->cost[set] = cost;
            o->first[set] = (uint8_t)a;
        }
    }
}

/* The product of the set, in the place of its lowest term. */
static Labelled *contract_set(Thread *t, kiln_site at, Einsum *e, const Order *o, unsigned set, const uint64_t *wanted)
{
    Labelled *x = &e->term[__builtin_ctz(set)];
    if ((set & (set - 1)) == 0) return x;
    const unsigned a = o->first[set];
    contract_set(t, at, e, o, a, wanted);
    contract_pair(t, at, e, x, contract_set(t, at, e, o, set ^ a, wanted), wanted[set]);
    return x;
}

/* Of more terms than are searched the cheapest pair, which becomes one. */
static void contract_cheapest(Thread *t, kiln_site at, Einsum *e)
{
    double least = INFINITY;
    int a = 0, b = 1;
    for (int i = 0; i < e->count; i++)
        for (int j = i + 1; j < e->count; j++) {
            const double cost = products(t, e, labels_of(&e->term[i]) | labels_of(&e->term[j]), 1);
            if (cost < least) least = cost, a = i, b = j;
        }
    contract_pair(t, at, e, &e->term[a], &e->term[b], wanted_beside(e, (uint64_t)1 << a | (uint64_t)1 << b));
    e->term[b] = e->term[--e->count];
}

/* Whether both contract the set in the same order. */
static bool same_order(const Order *a, const Order *b, unsigned set)
{
    if ((set & (set - 1)) == 0) return true;
    const unsigned first = a->first[set];
    return first == b->first[set] && same_order(a, b, first) && same_order(a, b, set ^ first);
}

/* The order is one for all sizes that symbols may have, since all modes add up in the same order. False: recorded. */
static bool order_for_all(Thread *t, kiln_site at, const Einsum *e, const Order *o)
{
    int64_t most = 1;
    Order other;
    for (int l = 0; l < LABELS; l++)
        if (e->met[l] && !dim_is_const(e->size[l])) most = MAX_OF(most, extent_hi(t, e->size[l]));
    for (int64_t size = 2; size < 2 * most && e->count > 2; size *= 2) {
        find_order(t, e, &other, size);
        if (same_order(o, &other, (1u << e->count) - 1)) continue;
        fail(t, at, KILN_EUNSUPPORTED,
            "%s: the order of the least products depends on a size that is known only when the function runs; contract two "
            "operands at "
            "a time",
            e->op);
        return false;
    }
    return true;
}

static void contract_all(Thread *t, kiln_site at, Einsum *e)
{
    Order o;
    uint64_t wanted[1 << MOST_SEARCHED];
    if (e->count > MOST_SEARCHED && t->trace) {
        for (int l = 0; l < LABELS; l++)
            if (e->met[l] && !dim_is_const(e->size[l])) {
                e->term[0].x = fail(t, at, KILN_EUNSUPPORTED,
                    "%s: more than %d operands need sizes that are known before the function runs", e->op, MOST_SEARCHED);
                return;
            }
    }
    while (e->count > MOST_SEARCHED) contract_cheapest(t, at, e);
    find_order(t, e, &o, 1);
    if (!order_for_all(t, at, e, &o)) {
        e->term[0].x = &t->k->poison;
        return;
    }
    for (unsigned set = 1; set < 1u << e->count; set++) wanted[set] = wanted_beside(e, set);
    contract_set(t, at, e, &o, (1u << e->count) - 1, wanted);
}

kiln_tensor *einsum_run(Thread *t, kiln_site at, Einsum *e)
{
    int perm[MAX_RANK];
    Labelled *x = &e->term[0];
    for (int i = 0; i < e->count; i++) {
        squeeze(t, at, e, &e->term[i]);
        diagonals(t, at, &e->term[i]);
    }
    for (int i = 0; i < e->count; i++) sum_lone(at, &e->term[i], wanted_beside(e, (uint64_t)1 << i));
    if (e->count > 1) contract_all(t, at, e);
    if (!tensor_ok(x->x)) return &t->k->poison;
    for (int i = 0; i < e->nout; i++)
        for (int a = 0; a < x->n; a++)
            if (x->label[a] == e->out[i]) perm[i] = a;
    turn(t, at, x, perm);
    return x->x;
}

/* ---- the call ------------------------------------------------------------------------------------ */

/* The operands in one dtype. False: poison, or recorded. */
static bool einsum_terms(Thread *t, kiln_site at, Einsum *e, kiln_operands l)
{
    char a[160], b[160];
    DType d = DT_NONE;
    for (int i = 0; i < l.count; i++) {
        const kiln_operand o = operands_get(l, i);
        if (operand_is_number(o)) {
            fail(t, at, KILN_EVALUE, "%s: operand %d is a number; it must be a tensor or a variable", e->op, i);
            return false;
        }
        kiln_tensor *x = e->term[i].x = operand_named(t, at, e->op, o, NULL);
        if (!tensor_ok(x)) return false;
        if (x->type.dtype == DT_bool) {
            fail(t, at, KILN_EDTYPE, "%s: needs numbers, not bool, use kiln_cast: %s", e->op, tensor_text(x, a, sizeof a));
            return false;
        }
        d = i == 0 ? (DType)x->type.dtype : dtype_promote(d, (DType)x->type.dtype);
        if (d != DT_NONE) continue;
        fail(t, at, KILN_EDTYPE, "%s: dtypes of different kinds, use kiln_cast: %s x %s", e->op,
            tensor_text(e->term[0].x, a, sizeof a), tensor_text(x, b, sizeof b));
        return false;
    }
    for (int i = 0; i < l.count; i++)
        if (!tensor_ok(e->term[i].x = cast_to(t, at, e->term[i].x, d))) return false;
    return true;
}

/* labels NULL: a chain of products of matrices, whose ends may be vectors. */
static bool einsum_labels(Thread *t, kiln_site at, Einsum *e, const char *labels, bool chain)
{
    char a[160];
    if (!chain) return einsum_read(t, at, e, labels) && einsum_sizes(t, at, e);
    for (int i = 0; i < e->count; i++) {
        Labelled *x = &e->term[i];
        const int rank = x->x->type.rank;
        const bool end = i == 0 || i == e->count - 1;
        if (rank != 2 && !(rank == 1 && end && e->count > 1)) {
            fail(t, at, KILN_ESHAPE, "%s: operand %d must be a matrix%s: %s", e->op, i, end ? ", or a vector beside others" : "",
                tensor_text(x->x, a, sizeof a));
            return false;
        }
        if (rank == 2 || i > 0) x->label[x->n++] = (uint8_t)i;
        if (rank == 2 || i == 0) x->label[x->n++] = (uint8_t)(i + 1);
        if (rank == 2 && i == 0) e->out[e->nout++] = 0;
        if (rank == 2 && i == e->count - 1) e->out[e->nout++] = (uint8_t)(i + 1);
        const kiln_tensor *before = i > 0 ? e->term[i - 1].x : x->x;
        if (i == 0 || before->type.dim[before->type.rank - 1] == x->x->type.dim[0]) continue;
        fail(t, at, KILN_ESHAPE, "%s: the last size of operand %d is not the first of operand %d: %s", e->op, i - 1, i,
            tensor_text(x->x, a, sizeof a));
        return false;
    }
    return einsum_sizes(t, at, e);
}

static kiln_tensor *einsum(kiln_site at, const char *op, const char *labels, bool chain, kiln_operands l)
{
    Thread *t = operands_of_thread(l);
    if (!t) return NULL;
    const int most = chain ? LABELS - 1 : INT16_MAX;
    if (!l.at || l.count <= 0 || l.count > most)
        return fail(t, at, KILN_EVALUE, "%s: %d operands are given (allowed: 1 to %d)", op, l.at ? l.count : 0, most);
    Einsum e = {.op = op, .count = l.count};
    const size_t bytes = (size_t)l.count * sizeof *e.term;
    if (!(e.term = mem_alloc(bytes))) return fail(t, at, KILN_EMEMORY, "%s: no memory for %d operands", op, l.count);
    memset(e.term, 0, bytes);
    Labelled *all = e.term;
    Composite s = composite_begin(t, op);
    kiln_tensor *r = &t->k->poison;
    if (einsum_terms(t, at, &e, l)) {
        kiln_tensor *first = e.term[0].x;
        if (einsum_labels(t, at, &e, labels, chain)) r = result_of(t, at, einsum_run(t, at, &e), first);
    }
    mem_free(all, bytes);
    return composite_end(t, &s, r);
}

kiln_tensor *kiln_einsum_at(kiln_site at, const char *labels, kiln_operands x) { return einsum(at, "einsum", labels, false, x); }

kiln_tensor *kiln_multi_dot_at(kiln_site at, kiln_operands x) { return einsum(at, "multi_dot", NULL, true, x); }
