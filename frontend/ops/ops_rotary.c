/* ops_rotary: rotary position embeddings: pairs of elements turned by angles of their places. A composite of public operations; the
 * tables are computed by the host in f64. Relies on ops.h. */
#include "ops.h"

#include <math.h>

#define OP_NAME "rotary"
#define OP2(name, x, y) of(kiln_##name##_at(at, x, y))

static bool is_none(kiln_operand o) { return o.kind == 1 && !o.as.tensor; }

typedef struct Rotary {
    Thread *t;
    kiln_site at;
    kiln_rotary_options o;
    kiln_tensor *x, *angle[2]; /* cosines and sines, in the end such that they broadcast to halves of x */
    int64_t pairs;
} Rotary;

static bool misfit(const Rotary *r, const char *why)
{
    char a[160], b[160];
    fail(r->t, r->at, KILN_ESHAPE, OP_NAME ": %s: %s x %s", why, tensor_text(r->x, a, sizeof a),
        tensor_text(r->angle[0], b, sizeof b));
    return false;
}

/* The rows that positions name. False: recorded. */
static bool rows_at(Rotary *r, kiln_operand positions)
{
    char a[160];
    if (is_none(positions)) return true;
    if (r->angle[0]->type.rank != 2) return misfit(r, "tables of places must be [places, pairs]");
    kiln_tensor *p = operand_named(r->t, r->at, OP_NAME, positions, NULL);
    if (!tensor_ok(p)) return false;
    if (!dtype_is_int(p->type.dtype)) {
        fail(r->t, r->at, KILN_EDTYPE, OP_NAME ": positions must be integers: %s", tensor_text(p, a, sizeof a));
        return false;
    }
    for (int i = 0; i < 2; i++)
        if (!tensor_ok(r->angle[i] = kiln_gather_at(r->at, of(r->angle[i]), of(p), 0))) return false;
    return true;
}

/* Checks that the angles are [n, pairs] or [..., n, pairs] of x's sizes, and gives the latter an axis for the heads. False:
 * recorded. */
static bool angles_fit(Rotary *r)
{
    const Type *x = &r->x->type, *y = &r->angle[0]->type;
    const int heads = x->rank < 3 ? -1 : r->o.heads_last ? x->rank - 2 : x->rank - 3;
    const int own = y->rank;
    bool fits = own >= 2 && own <= x->rank - (heads >= 0);
    for (int i = 2; fits && i <= own; i++) {
        int axis = x->rank - i; /* of x, counted without heads */
        if (heads >= 0 && axis <= heads) axis--;
        fits = y->dim[own - i] == x->dim[axis] || (i > 2 && y->dim[own - i] == 1);
    }
    if (!fits) return misfit(r, "the angles must be [n, pairs] or [..., n, pairs], as x is [..., heads, n, d]");
    if (heads < 0 || (own == 2 && !r->o.heads_last)) return true;
    for (int i = 0; i < 2; i++)
        if (!tensor_ok(r->angle[i] = kiln_expand_at(r->at, of(r->angle[i]), r->o.heads_last ? -2 : -3))) return false;
    return true;
}

/* Elements i, i + step, ... of the first 2 * pairs along the last axis. */
static kiln_operand each(const Rotary *r, int64_t first, int64_t stop, int64_t step)
{
    return of(kiln_slice_at(r->at, of(r->x), -1, first, stop, step));
}

static kiln_tensor *turn(const Rotary *r)
{
    kiln_site at = r->at;
    const int64_t n = r->pairs, d = r->x->type.dim[r->x->type.rank - 1];
    const bool beside = r->o.interleaved;
    kiln_operand a = beside ? each(r, 0, 2 * n, 2) : each(r, 0, n, 1), b = beside ? each(r, 1, 2 * n, 2) : each(r, n, 2 * n, 1);
    kiln_operand c = of(r->angle[0]), s = of(r->angle[1]), first, second;
    if (r->o.back) s = of(kiln_neg_at(at, s));
    first = OP2(sub, OP2(mul, c, a), OP2(mul, s, b));
    second = OP2(add, OP2(mul, s, a), OP2(mul, c, b));
    if (!tensor_ok(first.as.tensor) || !tensor_ok(second.as.tensor)) return &r->t->k->poison;
    kiln_tensor *part[3] = {first.as.tensor, second.as.tensor};
    if (beside) {
        Type whole = r->x->type;
        whole.dim[whole.rank - 1] = 2 * n;
        part[0] = kiln_stack_at(at, part, 2, -1);
        if (!tensor_ok(part[0])) return part[0];
        part[0] = reshape_to(r->t, at, part[0], whole.dim, whole.rank);
    }
    int parts = beside ? 1 : 2;
    if (d > 2 * n) part[parts++] = each(r, 2 * n, d, 1).as.tensor;
    return parts == 1 ? part[0] : kiln_concat_at(at, part, parts, -1);
}

static kiln_tensor *rotary(Rotary *r, const kiln_operand in[3], kiln_operand positions)
{
    Thread *t = r->t;
    kiln_site at = r->at;
    char a[160], b[160];
    kiln_tensor *x[3];
    for (int i = 0; i < 3; i++)
        if (!tensor_ok(x[i] = operand_float(t, at, OP_NAME, in[i]))) return x[i];
    r->x = x[0], r->angle[0] = x[1], r->angle[1] = x[2];
    Type same = x[2]->type;
    same.dtype = x[1]->type.dtype;
    if (!type_equal(&same, &x[1]->type))
        return fail(t, at, KILN_ESHAPE, OP_NAME ": cosines and sines must have one shape: %s x %s", tensor_text(x[1], a, sizeof a),
            tensor_text(x[2], b, sizeof b));
    const Type *q = &x[0]->type, *w = &x[1]->type;
    if (q->rank < 2 || w->rank < 2 || !dim_is_const(q->dim[q->rank - 1]) || !dim_is_const(w->dim[w->rank - 1]))
        return misfit(r, "needs [..., n, d] and [..., pairs], of which d and pairs are known"), &t->k->poison;
    r->pairs = w->dim[w->rank - 1];
    if (r->pairs > q->dim[q->rank - 1] / 2) return misfit(r, "there are more pairs than vectors have"), &t->k->poison;
    const DType own = (DType)q->dtype;
    DType wide = dtype_promote(dtype_promote(own, (DType)w->dtype), (DType)x[2]->type.dtype);
    wide = (DType)dtype_info[wide].compute;
    r->x = cast_to(t, at, x[0], wide);
    for (int i = 0; i < 2; i++)
        if (!tensor_ok(r->angle[i] = cast_to(t, at, x[1 + i], wide))) return r->angle[i];
    if (!rows_at(r, positions) || !angles_fit(r)) return &t->k->poison;
    kiln_tensor *y = turn(r);
    return tensor_ok(y) ? result_of(t, at, cast_to(t, at, y, own), x[0]) : y;
}

kiln_tensor *kiln_rotary_sized(kiln_site at, kiln_operand x, kiln_operand cosines, kiln_operand sines, kiln_operand positions,
    const kiln_rotary_options *options, size_t size)
{
    const kiln_operand in[3] = {x, cosines, sines};
    Rotary r = {.t = op_thread(in, 3), .at = at};
    if (!r.t) return NULL;
    if (options) memcpy(&r.o, options, MIN_OF(size, sizeof r.o));
    Composite c = composite_begin(r.t, OP_NAME);
    return composite_end(r.t, &c, rotary(&r, in, positions));
}

/* ---- tables ----------------------------------------------------------------------------------------------------- */
static bool tables(Thread *t, kiln_site at, kiln_dtype d, int64_t places, int64_t pairs, double base, kiln_tensor **out)
{
    static const char op[] = "rotary_tables";
    if (d <= KILN_NONE || d > KILN_F64 || !dtype_is_float((DType)d))
        return fail(t, at, KILN_EDTYPE, "%s: the dtype is %s; it must be a float", op, kiln_dtype_name(d)), false;
    if (places < 0 || pairs < 0 || (pairs > 0 && places > ((int64_t)1 << 32) / pairs))
        return fail(t, at, KILN_EVALUE, "%s: %lld places of %lld pairs; they must be 0 or more, with at most 2^32 angles", op,
                   (long long)places, (long long)pairs),
               false;
    if (!(base > 0) || !isfinite(base))
        return fail(t, at, KILN_EVALUE, "%s: the base is %g; it must be a finite number above 0, or 0 for 10000", op, base), false;
    const size_t n = (size_t)(places * pairs) + 1;
    double *v = mem_zeros(n, 2 * sizeof *v);
    if (!v) return fail(t, at, KILN_EMEMORY, "%s: no memory", op), false;
    for (int64_t i = 0; i < pairs; i++) {
        const double speed = pow(base, -(double)i / (double)pairs);
        for (int64_t p = 0; p < places; p++) {
            v[p * pairs + i] = cos((double)p * speed);
            v[(int64_t)n + p * pairs + i] = sin((double)p * speed);
        }
    }
    for (int i = 0; i < 2; i++)
        out[i] = kiln_from_doubles_at(at, t->k, d, KILN_SHAPE(places, pairs), v + (size_t)i * n, places * pairs);
    mem_free(v, n * 2 * sizeof *v);
    return tensor_ok(out[0]) && tensor_ok(out[1]);
}

bool kiln_rotary_tables_at(
    kiln_site at, kiln *k, kiln_dtype d, int64_t places, int64_t pairs, double base, kiln_tensor **cosines, kiln_tensor **sines)
{
    Thread *t = thread_of(k);
    kiln_tensor *out[2] = {t ? &t->k->poison : NULL, t ? &t->k->poison : NULL};
    const bool there = cosines && sines;
    if (t && !there) fail(t, at, KILN_EVALUE, "rotary_tables: %s is NULL", cosines ? "sines" : "cosines");
    const bool ok = t && there && tables(t, at, d, places, pairs, base == 0 ? 10000 : base, out);
    for (int i = 0; i < 2 && t && !ok; i++) out[i] = &t->k->poison;
    if (cosines) *cosines = out[0];
    if (sines) *sines = out[1];
    return ok;
}
