/* matrix: matrices as operands, their parts and joints, and gradients by rule. Relies on matrix.h. Never factors. */
#include "matrix.h"

/* ---- operands --------------------------------------------------------------------------------------------------------------- */
kiln_tensor *matrix_of(const Linear *c, const char *name, kiln_operand o, int64_t *m, int64_t *n)
{
    char text[96];
    kiln_tensor *x = operand_float(c->t, c->at, name, o);
    if (!tensor_ok(x)) return NULL;
    if (x->type.rank < 2) {
        fail(c->t, c->at, KILN_ESHAPE, "%s: needs matrices, the last two axes: %s", name, tensor_text(x, text, sizeof text));
        return NULL;
    }
    *m = x->type.dim[x->type.rank - 2], *n = x->type.dim[x->type.rank - 1];
    if (*m < 0 || *n < 0) {
        fail(c->t, c->at, KILN_EUNSUPPORTED, "%s: a matrix's size is known only when the function runs: %s", name,
            tensor_text(x, text, sizeof text));
        return NULL;
    }
    composite_beside(c->t, x);
    x = cast_to(c->t, c->at, x, wide_dtype(x));
    return tensor_ok(x) ? x : NULL;
}

kiln_tensor *square_of(const Linear *c, const char *name, kiln_operand o, int64_t *n)
{
    char text[96];
    int64_t m = 0;
    kiln_tensor *x = matrix_of(c, name, o, &m, n);
    if (!x || m == *n) return x;
    fail(c->t, c->at, KILN_ESHAPE, "%s: needs square matrices: %s", name, tensor_text(x, text, sizeof text));
    return NULL;
}

kiln_tensor *matrix_narrowed(const Linear *c, kiln_tensor *x, kiln_operand a, kiln_operand b)
{
    kiln_tensor *one = operand_named(c->t, c->at, "", a, NULL), *other = operand_named(c->t, c->at, "", b, NULL);
    if (!tensor_ok(x) || !tensor_ok(one) || !tensor_ok(other)) return &c->t->k->poison;
    const DType d = dtype_promote((DType)one->type.dtype, (DType)other->type.dtype);
    return d == DT_NONE ? x : cast_to(c->t, c->at, x, d);
}

int64_t matrix_size(const kiln_tensor *x, int axis_from_end)
{
    return tensor_ok(x) ? x->type.dim[x->type.rank + axis_from_end] : 0;
}

/* ---- parts --------------------------------------------------------------------------------------------------------------------
 */
kiln_tensor *matrix_turned(const Linear *c, kiln_tensor *x)
{
    int perm[MAX_RANK];
    if (!tensor_ok(x)) return x;
    const int rank = x->type.rank;
    for (int i = 0; i < rank; i++) perm[i] = i < rank - 2 ? i : i == rank - 2 ? rank - 1 : rank - 2;
    return transpose_to(c->t, c->at, x, perm);
}

static kiln_tensor *along(const Linear *c, kiln_tensor *x, int axis_from_end, int64_t first, int64_t size)
{
    if (!tensor_ok(x) || size == matrix_size(x, axis_from_end)) return x;
    return slice_axis(c->t, c->at, x, x->type.rank + axis_from_end, first, size);
}

kiln_tensor *matrix_rows(const Linear *c, kiln_tensor *x, int64_t row, int64_t rows) { return along(c, x, -2, row, rows); }

kiln_tensor *matrix_columns(const Linear *c, kiln_tensor *x, int64_t column, int64_t columns)
{
    return along(c, x, -1, column, columns);
}

kiln_tensor *matrix_part(const Linear *c, kiln_tensor *x, int64_t row, int64_t rows, int64_t column, int64_t columns)
{
    return matrix_columns(c, matrix_rows(c, x, row, rows), column, columns);
}

kiln_tensor *matrix_over(const Linear *c, kiln_tensor *above, kiln_tensor *below)
{
    return kiln_concat_of_at(c->at, KILN_IN(above, below), -2);
}

kiln_tensor *matrix_beside(const Linear *c, kiln_tensor *left, kiln_tensor *right)
{
    return kiln_concat_of_at(c->at, KILN_IN(left, right), -1);
}

kiln_tensor *matrix_places(const Linear *c, int64_t n, const kiln_tensor *beside)
{
    return iota_of(c->t, c->at, &(Type){.dtype = DT_i64, .rank = 1, .dim = {n}}, 0, beside);
}

kiln_tensor *matrix_zeros(const Linear *c, kiln_tensor *like, int64_t m, int64_t n)
{
    if (!tensor_ok(like)) return like;
    Type t = like->type;
    t.dim[t.rank - 2] = m, t.dim[t.rank - 1] = n;
    return constant_of(c->t, c->at, &t, kiln_of_i(0));
}

/* Whether the column is at least, or beyond, the row; bool[m, n] */
static kiln_tensor *in_upper(const Linear *c, const kiln_tensor *x, bool diagonal)
{
    kiln_tensor *row = la_expand(c, matrix_places(c, matrix_size(x, -2), x), 1), *column = matrix_places(c, matrix_size(x, -1), x);
    return diagonal ? la_le(c, row, column) : la_lt(c, row, column);
}

kiln_tensor *matrix_upper(const Linear *c, kiln_tensor *x, bool diagonal)
{
    return tensor_ok(x) ? la_where(c, in_upper(c, x, diagonal), x, KILN_OPERAND(0)) : x;
}

kiln_tensor *matrix_lower(const Linear *c, kiln_tensor *x, bool diagonal)
{
    return tensor_ok(x) ? kiln_where_at(c->at, of(in_upper(c, x, !diagonal)), KILN_OPERAND(0), of(x)) : x;
}

kiln_tensor *matrix_unit(const Linear *c, kiln_tensor *like, int64_t n)
{
    kiln_tensor *i = matrix_places(c, n, like);
    return tensor_ok(i) ? cast_to(c->t, c->at, la_eq(c, la_expand(c, i, 1), i), (DType)like->type.dtype) : i;
}

kiln_tensor *matrix_diagonal(const Linear *c, kiln_tensor *x)
{
    if (!tensor_ok(x)) return x;
    const int64_t n = matrix_size(x, -1);
    Type flat = x->type;
    flat.dim[--flat.rank - 1] = n * n;
    if (n == 0) return la_sum(c, x, -1);
    return kiln_slice_at(c->at, of(reshape_to(c->t, c->at, x, flat.dim, flat.rank)), -1, 0, n * n, n + 1);
}

kiln_tensor *matrix_ordered(const Linear *c, kiln_tensor *x, kiln_tensor *order)
{
    if (!tensor_ok(x) || !tensor_ok(order)) return &c->t->k->poison;
    if (order->type.rank == 1) return la_pick(c, x, order, x->type.rank - 2);
    Type t = order->type, all = t;
    /* one order may be that of several matrices */
    for (int i = 0; i < x->type.rank; i++) all.dim[i] = x->type.dim[i];
    all.rank = x->type.rank;
    all.dim[all.rank - 2] = t.dim[t.rank - 1];
    return take_along(c->t, c->at, x, broadcast_to(c->t, c->at, la_expand(c, order, -1), &all), x->type.rank - 2);
}

/* ---- batches
 * ----------------------------------------------------------------------------------------------------------------------- */
kiln_tensor *matrix_summed(const Linear *c, kiln_tensor *x, const kiln_tensor *like)
{
    kiln_axes gone = {0, 0, {0}}, once = {1, 0, {0}};
    if (!tensor_ok(x) || !tensor_ok(like)) return &c->t->k->poison;
    const int more = x->type.rank - like->type.rank;
    for (int i = 0; i < more; i++) gone.axis[++gone.count] = i;
    for (int i = 0; i < like->type.rank; i++)
        if (like->type.dim[i] == 1 && x->type.dim[more + i] != 1) once.axis[++once.count] = i;
    if (gone.count) x = kiln_sum_at(c->at, of(x), gone);
    return once.count ? kiln_sum_at(c->at, of(x), once) : x;
}

kiln_tensor *matrix_batched(const Linear *c, kiln_tensor *x, const kiln_tensor *order)
{
    Type all = x->type;
    const int more = order->type.rank + 1 - all.rank, batches = order->type.rank - 1;
    if (more > 0) {
        memmove(all.dim + more, all.dim, all.rank * sizeof *all.dim);
        memcpy(all.dim, order->type.dim, (size_t)more * sizeof *all.dim);
        all.rank = (uint8_t)(all.rank + more);
    }
    for (int i = 0; i < batches; i++) {
        Dim *d = &all.dim[all.rank - 2 - batches + i];
        if (*d == 1) *d = order->type.dim[i];
    }
    return broadcast_to(c->t, c->at, x, &all);
}

/* ---- gradients, loops
 * --------------------------------------------------------------------------------------------------------------- */
static void by_rule(kiln *k, kiln_tensor *g, kiln_tensor *const *x, kiln_tensor **dx, void *user)
{
    const MatrixRule *rule = user;
    const Linear c = {thread_of(k), {g->made.file, g->made.line}};
    rule->run(&c, rule->how, g, x, dx);
}

kiln_tensor *matrix_ruled(const Linear *c, kiln_tensor *y, kiln_tensor *const *x, int n, const MatrixRule *rule)
{
    return kiln_custom_gradient_at(c->at, y, x, n, by_rule, (void *)(uintptr_t)rule);
}

bool matrix_turns(
    const Linear *c, int64_t n, kiln_body *body, kiln_tensor *const *carry, int carries, kiln_tensor **out, void *user)
{
    for (int i = 0; i < carries; i++)
        if (!tensor_ok(carry[i])) return results_poison(c->t, out, carries);
    for (int i = 0; i < carries && n == 0; i++)
        out[i] = carry[i]; /* in a trace the body would ask for elements that are not there */
    if (n == 0) return true;
    return kiln_for_at(c->at, c->t->k, kiln_of_i(n), body, carry, carries, out, user);
}
