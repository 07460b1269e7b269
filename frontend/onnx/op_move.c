/* op_move: ONNX's operators that move elements, and those that make them; those that take parts or add to them: op_part.c. Relies
 * on import.h. */
#include "import.h"

/* ---- shapes ------------------------------------------------------------------------------------------ */

bool op_shape(Call *c)
{
    const kiln_tensor *x = tensor(c, 0);
    if (!tensor_ok(x)) return false;
    const int rank = x->type.rank;
    int64_t first = attr_int(c, "start", 0), end = attr_int(c, "end", rank);
    if (first < 0) first += rank;
    if (end < 0) end += rank;
    first = first < 0 ? 0 : MIN_OF(first, rank);
    end = end < first ? first : MIN_OF(end, rank);
    Known *size = ARENA_ARRAY(c->arena, Known, end - first + 1);
    for (int64_t i = first; i < end; i++) size[i - first] = known_of(x->type.dim[i]);
    c->out[0] = (Held){.size = size, .sizes = (int)(end - first), .rank = 1};
    return true;
}

bool op_size(Call *c)
{
    const kiln_tensor *x = tensor(c, 0);
    if (!tensor_ok(x)) return false;
    const Dim n = extent_product(c->t, c->at, x->type.dim, x->type.rank);
    if (n == DIM_BAD) return false;
    const Known k = known_of(n);
    c->out[0] = (Held){.size = arena_copy(c->arena, &k, sizeof k), .sizes = 1};
    return true;
}

/* Up to version 4 sizes are an attribute. */
static bool shape_given(Call *c, const Known **want, int *n)
{
    if (c->node->version >= 5) return sizes(c, 1, want, n);
    int64_t *at = ARENA_ARRAY(c->arena, int64_t, MAX_RANK);
    *want = at;
    return attr_ints(c, "shape", at, MAX_RANK, n) && (*n >= 0 || unsupported(c, "no shape"));
}

/* 0 stands for the operand's size unless allowzero, -1 for what is left. */
bool op_reshape(Call *c)
{
    const Known *want;
    Dim dim[MAX_RANK], known = 1;
    int n, rest = -1;
    kiln_tensor *x = tensor(c, 0);
    if (!tensor_ok(x) || !shape_given(c, &want, &n)) return false;
    if (n > MAX_RANK) return unsupported(c, "so many axes");
    for (int i = 0; i < n; i++) {
        if (want[i] == -1 && rest >= 0) return unsupported(c, "more than one size of -1");
        if (want[i] == -1)
            dim[i] = 1;
        else if (!known_size(c, want[i], &dim[i]))
            return false;
        if (want[i] == 0 && !attr_int(c, "allowzero", 0) && i < x->type.rank) dim[i] = x->type.dim[i];
        if (want[i] == -1)
            rest = i;
        else
            known = extent(c->t, c->at, EXTENT_MUL, known, dim[i]);
        if (known == DIM_BAD) return false;
    }
    if (rest >= 0) {
        const Dim all = extent_product(c->t, c->at, x->type.dim, x->type.rank);
        if (known == 0) return unsupported(c, "a size of -1 beside one of 0");
        char text[160];
        dim[rest] = all == DIM_BAD ? DIM_BAD : extent(c->t, c->at, EXTENT_EXACT, all, known);
        if (dim[rest] == DIM_BAD) {
            fail(c->t, c->at, KILN_ESHAPE, "onnx: no size in place of -1 gives as many elements as %s has",
                tensor_text(x, text, sizeof text));
            return false;
        }
    }
    return give(c, 0, reshape_to(c->t, c->at, x, dim, n));
}

bool op_flatten(Call *c)
{
    kiln_tensor *x = tensor(c, 0);
    if (!tensor_ok(x)) return false;
    int64_t axis = attr_int(c, "axis", 1);
    if (axis < 0) axis += x->type.rank;
    if (axis < 0 || axis > x->type.rank) return unsupported(c, "an axis out of range");
    const Dim dim[2] = {extent_product(c->t, c->at, x->type.dim, (int)axis),
        extent_product(c->t, c->at, x->type.dim + axis, x->type.rank - (int)axis)};
    return dim[0] != DIM_BAD && dim[1] != DIM_BAD && give(c, 0, reshape_to(c->t, c->at, x, dim, 2));
}

/* Axes are an attribute first, later an operand. */
static bool axes_of(Call *c, kiln_axes *axes)
{
    int64_t at[MAX_RANK];
    int n = -1;
    if (!attr_ints(c, "axes", at, MAX_RANK, &n) || (has(c, 1) && !numbers(c, 1, at, MAX_RANK, &n))) return false;
    *axes = (kiln_axes){.count = n};
    for (int i = 0; i < n; i++) axes->axis[1 + i] = (int)at[i];
    return true;
}

bool op_squeeze(Call *c)
{
    kiln_axes axes;
    kiln_tensor *x = tensor(c, 0);
    if (!tensor_ok(x) || !axes_of(c, &axes)) return false;
    if (axes.count < 0)
        for (int i = axes.count = 0; i < x->type.rank; i++)
            if (x->type.dim[i] == 1) axes.axis[1 + axes.count++] = i;
    return give(c, 0, kiln_squeeze_dims_at(c->at, of(x), axes));
}

bool op_unsqueeze(Call *c)
{
    kiln_axes axes;
    return axes_of(c, &axes) && give(c, 0, kiln_expand_dims_at(c->at, operand(c, 0), axes));
}

bool op_transpose(Call *c)
{
    int64_t at[MAX_RANK];
    int n;
    kiln_axes perm = KILN_ALL;
    if (!attr_ints(c, "perm", at, MAX_RANK, &n)) return false;
    if (n >= 0) perm.count = n;
    for (int i = 0; i < n; i++) perm.axis[1 + i] = (int)at[i];
    return give(c, 0, kiln_transpose_at(c->at, operand(c, 0), perm));
}

/* Both broadcast against each other. */
bool op_expand(Call *c)
{
    const Known *want;
    int n;
    kiln_tensor *x = tensor(c, 0);
    if (!tensor_ok(x) || !sizes(c, 1, &want, &n)) return false;
    if (n > MAX_RANK) return unsupported(c, "so many axes");
    Type to = x->type;
    to.rank = (uint8_t)MAX_OF(n, x->type.rank);
    for (int i = 0; i < to.rank; i++) {
        const int a = i - (to.rank - n), b = i - (to.rank - x->type.rank);
        Dim u = 1;
        if (a >= 0 && !known_size(c, want[a], &u)) return false;
        const Dim v = b < 0 ? 1 : x->type.dim[b];
        to.dim[i] = u == 1 ? v : u;
    }
    return give(c, 0, broadcast_to(c->t, c->at, x, &to));
}

bool op_tile(Call *c)
{
    const Known *times;
    Dim dim[MAX_RANK];
    int n;
    kiln_tensor *x = tensor(c, 0);
    if (!tensor_ok(x) || !sizes(c, 1, &times, &n)) return false;
    if (n > MAX_RANK) return unsupported(c, "so many axes");
    for (int i = 0; i < n; i++)
        if (!known_size(c, times[i], &dim[i])) return false;
    return give(c, 0, tile_by(c->t, c->at, x, dim, n));
}

/* Of version 1: along one axis. */
bool op_tile_axis(Call *c)
{
    int64_t times = 1, axis = 0;
    const kiln_tensor *x = tensor(c, 0);
    if (!tensor_ok(x) || !number(c, 1, &times) || !number(c, 2, &axis)) return false;
    kiln_shape all = {.rank = x->type.rank};
    if (axis < 0 || axis >= x->type.rank) return unsupported(c, "an axis out of range");
    for (int i = 0; i < all.rank; i++) all.size[1 + i] = i == axis ? times : 1;
    return give(c, 0, kiln_tile_at(c->at, operand(c, 0), all));
}

/* ---- parts ------------------------------------------------------------------------------------------- */

bool op_concat(Call *c)
{
    ScratchMark mark = scratch_mark(&c->t->scratch);
    kiln_tensor **x = thread_scratch(c->t, c->at, c->nin, sizeof *x);
    for (uint32_t i = 0; x && i < c->nin; i++) x[i] = tensor(c, i);
    const bool ok = x && give(c, 0, kiln_concat_at(c->at, x, (int)c->nin, (int)attr_int(c, "axis", 1)));
    scratch_reset(&c->t->scratch, mark);
    return ok;
}

/* Indices below 0 count from the end. */
kiln_tensor *from_end(Call *c, kiln_tensor *x, kiln_tensor *i, int axis)
{
    if (!tensor_ok(x) || !tensor_ok(i) || axis < 0 || axis >= x->type.rank) return i;
    if (!indices_within(c, 1, &x->type.dim[axis], 1)) return &c->t->k->poison;
    i = cast_to(c->t, c->at, i, DT_i64);
    kiln_tensor *turned = kiln_add_at(c->at, of(i), of(dim_tensor(c->t, c->at, x->type.dim[axis], DT_i64)));
    return kiln_where_at(c->at, of(kiln_lt_at(c->at, of(i), KILN_OPERAND(0))), of(turned), of(i));
}

kiln_tensor *rows_from_end(Call *c, kiln_tensor *x, kiln_tensor *i, int64_t first)
{
    if (!tensor_ok(x) || !tensor_ok(i) || i->type.rank < 1 || first < 0) return i;
    const Dim n = i->type.dim[i->type.rank - 1];
    if (!dim_is_const(n) || n < 1 || n > x->type.rank - first) return i; /* an error of what it is for */
    if (!indices_within(c, 1, x->type.dim + first, n)) return &c->t->k->poison;
    Known *size = ARENA_ARRAY(c->arena, Known, n);
    for (int64_t a = 0; a < n; a++) size[a] = known_of(x->type.dim[first + a]);
    Held held = {.size = size, .sizes = (int)n, .rank = 1};
    i = cast_to(c->t, c->at, i, DT_i64);
    kiln_tensor *turned = kiln_add_at(c->at, of(i), of(held_tensor(c, &held)));
    return kiln_where_at(c->at, of(kiln_lt_at(c->at, of(i), KILN_OPERAND(0))), of(turned), of(i));
}

/* x without what indices that are shorter on other axes than theirs do not reach. */
static kiln_tensor *reached(Call *c, kiln_tensor *x, const kiln_tensor *i, int64_t axis)
{
    if (!tensor_ok(i) || i->type.rank != x->type.rank) return x;
    for (int a = 0; a < i->type.rank && tensor_ok(x); a++)
        if (a != axis && x->type.dim[a] != i->type.dim[a] && extent_hi(c->t, i->type.dim[a]) <= extent_lo(c->t, x->type.dim[a]))
            x = slice_axis(c->t, c->at, x, a, 0, i->type.dim[a]);
    return x;
}

bool op_gather(Call *c)
{
    kiln_tensor *x = tensor(c, 0), *i = tensor(c, 1);
    if (!tensor_ok(x)) return false;
    const int64_t batch = attr_int(c, "batch_dims", 0);
    if (c->node->op->with.number == 2)
        return give(c, 0, kiln_gather_nd_at(c->at, of(x), of(rows_from_end(c, x, i, batch)), (int)batch));
    int64_t axis = attr_int(c, "axis", 0);
    if (axis < 0) axis += x->type.rank;
    i = from_end(c, x, i, (int)axis);
    if (c->node->op->with.number == 0) return give(c, 0, kiln_gather_at(c->at, of(x), of(i), (int)axis));
    return give(c, 0, kiln_take_along_at(c->at, of(reached(c, x, i, axis)), of(i), (int)axis));
}

bool op_depth(Call *c)
{
    const kiln_depth_order order = attr_is(c, "mode", "CRD") ? KILN_CRD : KILN_DCR;
    return give(c, 0,
        (c->node->op->with.number ? kiln_space_to_depth_at : kiln_depth_to_space_at)(
            c->at, operand(c, 0), attr_int(c, "blocksize", 0), 1, order));
}

/* The columns of a matrix, and its rows, moved by k. */
static void diagonal(Call *c, const kiln_tensor *x, Known k, kiln_operand *column, kiln_operand *row)
{
    const Dim *size = x->type.dim + x->type.rank - 2;
    Held by = {.size = &k, .sizes = 1};
    *row = of(iota_of(c->t, c->at, &(Type){.dtype = DT_i64, .rank = 2, .dim = {size[0], 1}}, 0, x));
    *row = of(kiln_add_at(c->at, *row, of(held_tensor(c, &by))));
    *column = of(iota_of(c->t, c->at, &(Type){.dtype = DT_i64, .rank = 2, .dim = {1, size[1]}}, 1, x));
}

bool op_trilu(Call *c)
{
    static const Known none = 0;
    const Known *k = &none;
    int n = 1;
    kiln_operand column, row;
    kiln_tensor *x = tensor(c, 0);
    const bool upper = attr_int(c, "upper", 1) != 0;
    if (!tensor_ok(x) || (has(c, 1) && !sizes(c, 1, &k, &n))) return false;
    if (n != 1) return unsupported(c, "other than one k");
    if (!known_symbol(*k)) return give(c, 0, (upper ? kiln_triu_at : kiln_tril_at)(c->at, of(x), *k));
    if (x->type.rank < 2) return unsupported(c, "an operand of rank %d, where 2 is the least,", x->type.rank);
    diagonal(c, x, *k, &column, &row);
    kiln_operand kept = of((upper ? kiln_ge_at : kiln_le_at)(c->at, column, row));
    return give(c, 0, kiln_where_at(c->at, kept, of(x), KILN_OPERAND(0)));
}

/* ---- made -------------------------------------------------------------------------------------------- */

bool op_eye_like(Call *c)
{
    const kiln_tensor *x = tensor(c, 0);
    if (!tensor_ok(x)) return false;
    const bool named = attr_int(c, "dtype", 0) != 0;
    const OnnxDType *d = named ? attr_dtype(c, "dtype", 0) : NULL;
    if (named && !d) return false;
    const kiln_dtype t = (kiln_dtype)(d ? d->dtype : x->type.dtype);
    const Dim *size = x->type.dim;
    const int64_t k = attr_int(c, "k", 0);
    kiln_operand column, row;
    if (x->type.rank != 2) return unsupported(c, "an operand of rank %d, where 2 is allowed,", x->type.rank);
    if (dim_is_const(size[0]) && dim_is_const(size[1])) return give(c, 0, kiln_eye_at(c->at, c->t->k, t, size[0], size[1], k));
    diagonal(c, x, MAX_OF(MIN_OF(k, DIM_MAX), -DIM_MAX), &column, &row);
    return give(c, 0, kiln_cast_at(c->at, of(kiln_eq_at(c->at, column, row)), t));
}

bool op_constant(Call *c)
{
    const OnnxAttribute *a = attribute(c, "value"), *f = attribute(c, "value_float"), *i = attribute(c, "value_int");
    int64_t whole[64];
    int n = -1;
    if (a && a->t) {
        c->out[0].narrow = narrow_bits(a->t->type);
        return give(c, 0, tensor_value(c->t, c->at, c->m, a->t));
    }
    const OnnxAttribute *few = attribute(c, "sparse_value");
    if (few && few->sparse) {
        const OnnxTensor spread = sparse_whole(few->sparse);
        c->out[0].narrow = narrow_bits(spread.type);
        return give(c, 0, tensor_value(c->t, c->at, c->m, &spread));
    }
    if (f) return give(c, 0, kiln_full_at(c->at, c->t->k, KILN_F32, KILN_SHAPE(), KILN_OPERAND((double)f->f)));
    if (i) return give(c, 0, kiln_full_at(c->at, c->t->k, KILN_I64, KILN_SHAPE(), KILN_OPERAND(i->i)));
    if (!attr_ints(c, "value_ints", whole, 64, &n)) return false;
    if (n >= 0) return give(c, 0, kiln_from_at(c->at, c->t->k, KILN_I64, KILN_SHAPE(n), whole, n));
    a = attribute(c, "value_floats");
    if (a)
        return give(c, 0,
            kiln_from_at(c->at, c->t->k, KILN_F32, KILN_SHAPE((int64_t)a->floats.n / 4), a->floats.at, (int64_t)a->floats.n / 4));
    return unsupported(c, "%s", c->node->node->attribute.n ? shown(c->node->node->attribute.at[0].name).text : "no value");
}

bool op_constant_of_shape(Call *c)
{
    const Known *want;
    int n;
    const OnnxAttribute *a = attribute(c, "value");
    if (!sizes(c, 0, &want, &n)) return false;
    if (n > MAX_RANK) return unsupported(c, "so many axes");
    kiln_tensor *x =
        a && a->t ? tensor_value(c->t, c->at, c->m, a->t) : kiln_full_at(c->at, c->t->k, KILN_F32, KILN_SHAPE(), KILN_OPERAND(0));
    if (!tensor_ok(x)) return false;
    Type to = {.dtype = x->type.dtype, .rank = (uint8_t)n};
    for (int i = 0; i < n; i++)
        if (!known_size(c, want[i], &to.dim[i])) return false;
    if (x->type.rank == 1) x = reshape_to(c->t, c->at, x, NULL, 0);
    return give(c, 0, tensor_ok(x) ? broadcast_to(c->t, c->at, x, &to) : x);
}
