/* rules_move: result types of the ops that only move elements: reshape transpose broadcast slice
 * flip pad concat leaf. Relies on rules. */
#include "rules.h"

bool infer_saved(Infer *inf)
{
    return type_equal(inf->in[0], inf->in[1]) ? rule_result(inf, inf->in[1])
                                              : infer_fail(inf, ST_SHAPE, "what was kept has another type");
}

bool infer_leaf(Infer *inf)
{
    if (inf->attr[0] != 0 && inf->attr[0] != 1)
        return infer_fail(inf, ST_VALUE, "the attribute is 0 or 1");
    return rule_result(inf, inf->in[0]);
}

static bool fail_to(Infer *inf, const char *why, const Type *to)
{
    char text[160];
    type_print(rule_dims(inf), to, text, sizeof text);
    return infer_fail(inf, ST_SHAPE, "%s %s", why, strchr(text, '['));
}

bool infer_reshape(Infer *inf)
{
    Type to;
    if (!rule_shape(inf, 0, inf->in[0]->dtype, &to)) return false;
    Dim have = type_elements(rule_dims(inf), inf->in[0]), want = type_elements(rule_dims(inf), &to);
    if (have != want || want == DIM_BAD) return fail_to(inf, "sizes differ, wanted", &to);
    return rule_result(inf, &to);
}

bool infer_transpose(Infer *inf)
{
    const Type *x = inf->in[0];
    if (inf->nattr != x->rank)
        return infer_fail(inf, ST_VALUE, "%u axes given for rank %u", inf->nattr, x->rank);
    Type out = *x;
    uint32_t seen = 0;
    for (uint32_t i = 0; i < x->rank; i++) {
        int64_t from = inf->attr[i];
        if (!rule_axis(inf, from, x->rank)) return false;
        if (seen >> from & 1)
            return infer_fail(inf, ST_VALUE, "axis %lld comes twice", (long long)from);
        seen |= 1u << from;
        out.dim[i] = x->dim[from];
    }
    return rule_result(inf, &out);
}

bool infer_broadcast(Infer *inf)
{
    const Type *x = inf->in[0];
    Type to;
    if (!rule_shape(inf, 0, x->dtype, &to)) return false;
    if (to.rank < x->rank) return fail_to(inf, "cannot become", &to);
    for (uint32_t i = 0; i < x->rank; i++)
        if (x->dim[i] != 1 && x->dim[i] != to.dim[to.rank - x->rank + i])
            return fail_to(inf, "cannot become", &to);
    return rule_result(inf, &to);
}

/* first + (size - 1) * step < whole, provably: size is at most what fits, (whole - first + step - 1) / step. */
static bool slice_fits(DimTable *t, Dim whole, Dim first, Dim size, Dim step)
{
    if (size == 0) return dim_lo(t, dim_sub(t, whole, first)) >= 0;
    Dim most = dim_floordiv(t, dim_sub(t, dim_add(t, whole, step - 1), first), step);
    return dim_lo(t, dim_sub(t, most, size)) >= 0;
}

bool infer_slice(Infer *inf)
{
    const Type *x = inf->in[0];
    DimTable *t = rule_dims(inf);
    if (inf->nattr != 3u * x->rank)
        return infer_fail(inf, ST_VALUE, "%u numbers given, 3 per axis needed", inf->nattr);
    Type out = *x;
    for (uint32_t i = 0; i < x->rank; i++) {
        Dim first = inf->attr[3 * i], size = inf->attr[3 * i + 1], step = inf->attr[3 * i + 2];
        if (step < 1)
            return infer_fail(
                inf, ST_VALUE, "the step of axis %u must be a number of at least 1", i);
        if (dim_lo(t, first) < 0 || !slice_fits(t, x->dim[i], first, size, step)) {
            char a[64], b[64];
            dim_print(t, first, a, sizeof a);
            dim_print(t, size, b, sizeof b);
            return infer_fail(inf, ST_VALUE,
                "%s from %s in steps of %lld does not provably lie within axis %u", b, a,
                (long long)step, i);
        }
        out.dim[i] = size;
    }
    return rule_result(inf, &out);
}

bool infer_flip(Infer *inf)
{
    return rule_axes(inf, inf->in[0]->rank) && rule_result(inf, inf->in[0]);
}

bool infer_pad(Infer *inf)
{
    const Type *x = inf->in[0];
    DimTable *t = rule_dims(inf);
    if (inf->nattr != 1 + 2u * x->rank)
        return infer_fail(inf, ST_VALUE, "%u sizes given, 2 per axis needed", inf->nattr - 1);
    if (!rule_scalar(inf, (DType)x->dtype, inf->attr[0])) return false;
    Type out = *x;
    for (uint32_t i = 0; i < x->rank; i++) {
        Dim low = inf->attr[1 + 2 * i], high = inf->attr[2 + 2 * i];
        if (dim_lo(t, low) < 0 || dim_lo(t, high) < 0)
            return infer_fail(inf, ST_VALUE, "the padding of axis %u may be negative", i);
        out.dim[i] = dim_add(t, out.dim[i], dim_add(t, low, high));
    }
    return rule_result(inf, &out);
}

bool infer_concat(Infer *inf)
{
    if (inf->nin == 0) return infer_fail(inf, ST_VALUE, "nothing to join");
    uint32_t axis = (uint32_t)inf->attr[0];
    if (!rule_axis(inf, inf->attr[0], inf->in[0]->rank)) return false;
    Type out = *inf->in[0];
    for (uint32_t i = 1; i < inf->nin; i++) {
        const Type *x = inf->in[i];
        if (x->dtype != out.dtype) return infer_fail(inf, ST_DTYPE, "dtypes differ");
        if (x->rank != out.rank) return infer_fail(inf, ST_SHAPE, "ranks differ");
        for (uint32_t k = 0; k < out.rank; k++)
            if (k != axis && x->dim[k] != out.dim[k])
                return infer_fail(inf, ST_SHAPE, "sizes of axis %u differ", k);
        out.dim[axis] = dim_add(rule_dims(inf), out.dim[axis], x->dim[axis]);
    }
    return rule_result(inf, &out);
}
