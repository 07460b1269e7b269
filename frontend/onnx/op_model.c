/* op_model: ONNX's losses, and what counts or makes elements. Relies on import.h. */
#include <kiln/linalg.h>
#include <kiln/recurrent.h>
#include <kiln/sized.h>

#include "import.h"

/* ---- losses: of logits, or of logarithms of probabilities -------------------------------------------- */

bool op_loss(Call *c)
{
    const bool logarithms = c->node->op->with.number != 0;
    kiln_class_loss o = {.how = attr_is(c, "reduction", "sum")    ? KILN_LOSS_SUM
                                : attr_is(c, "reduction", "none") ? KILN_LOSS_EACH
                                                                  : KILN_LOSS_MEAN};
    if (has(c, 2)) o.weight = tensor(c, 2);
    o.ignores = attribute(c, "ignore_index");
    o.ignore = attr_int(c, "ignore_index", 0);
    if (!give(c, 0,
            (logarithms ? kiln_nll_sized : kiln_softmax_cross_entropy_sized)(c->at, operand(c, 0), operand(c, 1), &o, sizeof o)))
        return false;
    return c->nout < 2 || give(c, 1, kiln_log_softmax_at(c->at, operand(c, 0), 1));
}

/* ---- counted, scattered ------------------------------------------------------------------------------ */

bool op_nonzero(Call *c) { return give(c, 0, kiln_nonzero_at(c->at, operand(c, 0))); }

/* A condition may be shorter than the axis. */
bool op_compress(Call *c)
{
    kiln_tensor *x = tensor(c, 0), *mask = tensor(c, 1);
    if (!tensor_ok(x) || !tensor_ok(mask)) return false;
    const bool flat = !attribute(c, "axis");
    int64_t axis = attr_int(c, "axis", 0);
    if (flat) {
        const Dim all = extent_product(c->t, c->at, x->type.dim, x->type.rank);
        x = all == DIM_BAD ? &c->t->k->poison : reshape_to(c->t, c->at, x, &all, 1);
        if (!tensor_ok(x)) return false;
    }
    if (!axis_within(c, &axis, x->type.rank)) return false;
    if (mask->type.rank != 1) return unsupported(c, "a condition of rank %d", mask->type.rank);
    x = slice_axis(c->t, c->at, x, (int)axis, 0, mask->type.dim[0]);
    return give(c, 0, kiln_compress_at(c->at, of(x), of(mask), (int)axis));
}

bool op_scatter(Call *c)
{
    static const struct {
        const char *name;
        kiln_scatter_how how;
    } all[] = {{"add", KILN_SCATTER_ADD}, {"mul", KILN_SCATTER_MUL}, {"max", KILN_SCATTER_MAX}, {"min", KILN_SCATTER_MIN}};
    kiln_scatter_how how = KILN_SCATTER_SET;
    kiln_tensor *x = tensor(c, 0), *i = tensor(c, 1);
    if (!tensor_ok(x) || !tensor_ok(i)) return false;
    for (size_t a = 0; a < COUNT_OF(all); a++)
        if (attr_is(c, "reduction", all[a].name)) how = all[a].how;
    if (c->node->op->with.number)
        return give(c, 0, kiln_scatter_nd_at(c->at, of(x), of(rows_from_end(c, x, i, 0)), operand(c, 2), how));
    int64_t axis = attr_int(c, "axis", 0);
    if (axis < 0) axis += x->type.rank;
    return give(c, 0, kiln_scatter_along_at(c->at, of(x), of(from_end(c, x, i, (int)axis)), operand(c, 2), (int)axis, how));
}

/* ---- made -------------------------------------------------------------------------------------------- */

bool op_one_hot(Call *c)
{
    const Known *depth;
    int n;
    Dim classes;
    kiln_tensor *i = tensor(c, 0), *values = tensor(c, 2);
    if (!tensor_ok(i) || !tensor_ok(values) || !sizes(c, 1, &depth, &n)) return false;
    if (n != 1) return unsupported(c, "other than one depth");
    if (!known_size(c, *depth, &classes)) return false;
    i = cast_to(c->t, c->at, i, DT_i64);
    i = kiln_where_at(c->at, of(kiln_lt_at(c->at, of(i), KILN_OPERAND(0))),
        of(kiln_add_at(c->at, of(i), of(dim_tensor(c->t, c->at, classes, DT_i64)))), of(i));
    if (!tensor_ok(i)) return false;
    kiln_tensor *hot =
        dim_is_const(classes) ? kiln_one_hot_at(c->at, of(i), classes, KILN_BOOL) : is_class(c->t, c->at, i, classes);
    const int64_t axis = attr_int(c, "axis", -1), own = axis < 0 ? axis + i->type.rank + 1 : axis;
    hot = kiln_moveaxis_at(c->at, of(hot), KILN_AXES(-1), KILN_AXES((int)own));
    kiln_tensor *off = slice_axis(c->t, c->at, values, 0, 0, 1), *on = slice_axis(c->t, c->at, values, 0, 1, 1);
    return give(c, 0, kiln_where_at(c->at, of(hot), of(on), of(off)));
}

/* Whole numbers from or to one that depends on a symbol, in plain steps. *y is NULL: it is none such. */
static bool range_of_sizes(Call *c, const kiln_tensor *x, kiln_tensor **y)
{
    const Known *v;
    Known each[3];
    int n;
    bool open = false;
    *y = NULL;
    for (uint32_t i = 0; i < 3; i++) open |= has(c, i) && c->in[i].sizes == 1 && known_symbol(c->in[i].size[0]);
    for (uint32_t i = 0; open && i < 3; i++) {
        if (!sizes(c, i, &v, &n)) return false;
        if (n != 1 || (i == 2 && (known_symbol(v[0]) || v[0] == 0))) return true;
        each[i] = v[0];
    }
    if (!open) return true;
    const Known step = each[2], by = step < 0 ? -step : step,
                there = step < 0 ? known_sub(c, each[0], each[1]) : known_sub(c, each[1], each[0]),
                many = known_max(c, known_floordiv(c, known_add(c, there, by - 1), by), 0);
    Type to = {.dtype = x->type.dtype, .rank = 1, .dim = {known_dim(many)}};
    if (many == KNOWN_BAD) return unsupported(c, "a size that has no such form");
    *y = iota_of(c->t, c->at, &to, 0, x);
    if (step != 1) *y = kiln_mul_at(c->at, of(*y), KILN_OPERAND(step));
    Held first = {.size = &each[0], .sizes = 1, .sort = x->type.dtype};
    if (each[0] != 0) *y = kiln_add_at(c->at, of(*y), of(held_tensor(c, &first)));
    return true;
}

/* Numbers that must be known: the result's size follows from them. */
bool op_range(Call *c)
{
    const kiln_tensor *x = tensor(c, 0);
    kiln_tensor *y;
    if (!tensor_ok(x) || !range_of_sizes(c, x, &y)) return false;
    if (y) return give(c, 0, y);
    if (dtype_is_float((DType)x->type.dtype)) {
        double r[3] = {0};
        for (uint32_t i = 0; i < 3; i++)
            if (!real(c, i, &r[i])) return false;
        return give(c, 0,
            kiln_arange_at(c->at, c->t->k, (kiln_dtype)x->type.dtype, KILN_OPERAND(r[0]), KILN_OPERAND(r[1]), KILN_OPERAND(r[2])));
    }
    int64_t v[3] = {0};
    for (uint32_t i = 0; i < 3; i++)
        if (!number(c, i, &v[i])) return false;
    return give(c, 0,
        kiln_arange_at(c->at, c->t->k, (kiln_dtype)x->type.dtype, KILN_OPERAND(v[0]), KILN_OPERAND(v[1]), KILN_OPERAND(v[2])));
}

bool op_det(Call *c) { return give(c, 0, kiln_det_at(c->at, operand(c, 0))); }

bool op_reverse_sequence(Call *c)
{
    return give(c, 0,
        kiln_reverse_sequence_at(
            c->at, operand(c, 0), operand(c, 1), (int)attr_int(c, "time_axis", 0), (int)attr_int(c, "batch_axis", 1)));
}
