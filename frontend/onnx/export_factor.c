/* export_factor: factors of matrices as loops over columns or rows, by the steps of frontend/linalg. Traced functions that are
 * saved have those steps themselves; what is here is for modules in text form, whose nodes are the host's routines. Relies on
 * export.h. */
#include "export.h"

/* A loop over n numbers from 0 on that carries tensors. */
typedef struct Turns {
    Export *x;
    uint32_t body, from, n;
    Named index, carry[2]; /* within */
    Type type[2];
    Level level; /* sizes that are computed within stay there */
} Turns;

static Named whole(Export *x, int64_t v) { return export_scalar(x, DT_i64, (Scalar){.i = v}); }

static void turns_begin(Export *x, Turns *to, const Type *type, uint32_t n)
{
    static const Type count = {.dtype = DT_i64}, flag = {.dtype = DT_bool};
    *to = (Turns){.x = x, .body = export_body_begin(x), .from = x->node.len, .n = n, .index = export_name(x)};
    const DimTable *dims = &x->at->g->module->dims;
    const Named go_on = export_name(x);
    export_is(x, to->index, DT_i64), export_is(x, go_on, DT_bool);
    export_type(&x->body.at[to->body - 1], 11, to->index, dims, &count);
    export_type(&x->body.at[to->body - 1], 11, go_on, dims, &flag);
    for (uint32_t i = 0; i < n; i++) {
        to->carry[i] = export_name(x);
        to->type[i] = type[i];
        export_is(x, to->carry[i], (DType)type[i].dtype);
        export_type(&x->body.at[to->body - 1], 11, to->carry[i], dims, &type[i]);
    }
    export_result(x, &x->body.at[to->body - 1], go_on, export_name(x), &flag);
    export_open(x, &to->level, x->at->g);
}

/* next: what a turn gives; first: what the first turn takes; out: what the last one gave, and whether all of it could be written.
 */
static bool turns_end(Turns *t, const Named *next, const Named *first, int64_t turns, Named *out)
{
    Export *x = t->x;
    Named in[4] = {whole(x, turns), ""};
    bool ok = true;
    for (uint32_t i = 0; i < t->n; i++) {
        ok = next[i] && first[i] && export_result(x, &x->body.at[t->body - 1], next[i], export_name(x), &t->type[i]) && ok;
        in[2 + i] = first[i];
        out[i] = export_name(x);
        export_is(x, out[i], (DType)t->type[i].dtype);
    }
    export_close(x);
    export_keep(x, &x->body.at[t->body - 1], t->from);
    return ok && export_node_to(x, "Loop", in, 2 + t->n, &(Given){.name = "body", .graph = t->body}, 1, out, t->n);
}

/* ---- pieces --------------------------------------------------------------------------------------------------------------- */
static Named along(Export *x, const char *op, Named v, Named at, int64_t axis)
{
    return export_node(x, op, OPERANDS(v, at), &(Given){.name = "axis", .i = axis}, 1);
}

/* Row or column number `at` (axis -2, -1) as a matrix of one. */
static Named line(Export *x, Named v, Named at, int64_t axis)
{
    return NODE(x, "Unsqueeze", along(x, "Gather", v, at, axis), export_numbers(x, &axis, 1));
}

/* 0 to n - 1 beside the axis */
static Named places(Export *x, int64_t n, int64_t axis)
{
    int64_t *at = ARENA_ARRAY(x->arena, int64_t, n + 1);
    for (int64_t i = 0; i < n; i++) at[i] = i;
    const Named v = export_numbers(x, at, (uint32_t)n);
    return axis == -2 ? export_reshape(x, v, (const Dim[]){n, 1}, 2) : v;
}

static Named zeros(Export *x, const Type *t)
{
    return NODE(x, "Expand", export_scalar(x, (DType)t->dtype, (Scalar){.f = 0}), export_sizes(x, t->dim, t->rank));
}

static Named triangle(Export *x, Named v, bool upper)
{
    return export_node(x, "Trilu", &v, 1, &(Given){.name = "upper", .i = upper}, 1);
}

/* ---- the three
 * ------------------------------------------------------------------------------------------------------------------- */

/* Column j of L is what its products with the columns before leave of a's, by the root of its first number. */
static Named cholesky(Export *x, const Node *n)
{
    const Type *t = type_of(x, n->out);
    const int64_t size = t->dim[t->rank - 1];
    const Named a = export_value(x, n->in[0]), zero = export_scalar(x, (DType)t->dtype, (Scalar){.f = 0});
    const Named none = zeros(x, t);
    Turns turns;
    turns_begin(x, &turns, t, 1);
    const Named l = turns.carry[0], j = turns.index;
    int64_t turn[MAX_RANK];
    for (uint32_t i = 0; i < t->rank; i++) turn[i] = i;
    turn[t->rank - 2] = t->rank - 1, turn[t->rank - 1] = t->rank - 2;
    const Named before = export_transpose(x, line(x, l, j, -2), turn, t->rank);
    const Named left = NODE(x, "Sub", line(x, a, j, -1), NODE(x, "MatMul", l, before)), first = line(x, left, j, -2);
    const Named root = NODE(x, "Sqrt", first), under = NODE(x, "GreaterOrEqual", places(x, size, -2), j);
    const Named column = NODE(x, "Where", under, NODE(x, "Div", left, root), zero);
    const Named next = NODE(x, "Where", NODE(x, "Equal", places(x, size, -1), j), column, l);
    Named out;
    return turns_end(&turns, &next, &none, size, &out) ? out : NULL;
}

/* Row by row: what the rows before leave, by the number on the diagonal. */
static Named triangular(Export *x, const Node *n)
{
    const struct triangular_attrs *how = ATTRS(triangular, n->attr->at);
    const Type *t = type_of(x, n->out);
    const int64_t size = t->dim[t->rank - 2];
    const Named a = triangle(x, export_value(x, n->in[0]), how->upper), b = export_value(x, n->in[1]);
    const Named none = zeros(x, t);
    Turns turns;
    turns_begin(x, &turns, t, 1);
    const Named i = how->upper ? NODE(x, "Sub", whole(x, size - 1), turns.index) : turns.index, row = line(x, a, i, -2);
    Named left = NODE(x, "Sub", line(x, b, i, -2), NODE(x, "MatMul", row, turns.carry[0]));
    if (!how->unit) left = NODE(x, "Div", left, line(x, row, i, -1));
    const Named next = NODE(x, "Where", NODE(x, "Equal", places(x, size, -2), i), left, turns.carry[0]);
    Named out;
    return turns_end(&turns, &next, &none, size, &out) ? out : NULL;
}

/* Rows stay where they are, and which was the pivot of which column is remembered (frontend/linalg/lu.c, eliminate). */
static void eliminated(Export *x, Turns *turns, const Type *t, int64_t pivots, Named *next)
{
    const int64_t m = t->dim[t->rank - 2], n = t->dim[t->rank - 1];
    const DType type = (DType)t->dtype;
    const Named a = turns->carry[0], place = turns->carry[1], j = turns->index;
    const Named column = along(x, "Gather", a, j, -1), is_free = NODE(x, "GreaterOrEqual", place, whole(x, pivots));
    const Named size = NODE(x, "Where", is_free, NODE(x, "Abs", column), export_scalar(x, type, (Scalar){.f = -1}));
    const Named row =
        export_node(x, "ArgMax", &size, 1, (const Given[]){{.name = "axis", .i = -1}, {.name = "keepdims", .i = 1}}, 2);
    const Named is = NODE(x, "Equal", places(x, m, -1), row);
    Dim one[MAX_RANK];
    memcpy(one, t->dim, sizeof one);
    one[t->rank - 2] = 1;
    const int64_t last = -1;
    const Named at = NODE(x, "Expand", NODE(x, "Unsqueeze", row, export_numbers(x, &last, 1)), export_sizes(x, one, t->rank));
    const Named pivot_row = along(x, "GatherElements", a, at, -2), pivot = along(x, "Gather", pivot_row, j, -1);
    const Named below = NODE(x, "And", is_free, NODE(x, "Not", is)), zero = export_scalar(x, type, (Scalar){.f = 0});
    Named factor = NODE(x, "Where", NODE(x, "Equal", pivot, zero), column, NODE(x, "Div", column, pivot));
    factor = NODE(x, "Unsqueeze", factor, export_numbers(x, &last, 1));
    Named left = NODE(x, "Sub", a, NODE(x, "Mul", factor, pivot_row));
    left = NODE(x, "Where", NODE(x, "Equal", places(x, n, -1), j), factor, left);
    const Named lower = NODE(x, "Unsqueeze", below, export_numbers(x, &last, 1));
    next[0] = NODE(x, "Where", NODE(x, "And", lower, NODE(x, "GreaterOrEqual", places(x, n, -1), j)), left, a);
    next[1] = NODE(x, "Where", is, j, place);
}

static void lu(Export *x, const Node *n)
{
    const Type t[2] = {*type_of(x, n->out), *type_of(x, n->out + 1)};
    const int64_t m = t[0].dim[t[0].rank - 2], pivots = MIN_OF(m, t[0].dim[t[0].rank - 1]), last = -1;
    const Named rows = NODE(x, "Add", places(x, m, -1), whole(x, pivots));
    const Named first[2] = {export_value(x, n->in[0]), NODE(x, "Expand", rows, export_sizes(x, t[1].dim, t[1].rank))};
    Turns turns;
    turns_begin(x, &turns, t, 2);
    Named next[2], out[2];
    eliminated(x, &turns, &t[0], pivots, next);
    if (!turns_end(&turns, next, first, pivots, out)) return;
    const Named order = export_node(x, "TopK.1", OPERANDS(out[1], export_numbers(x, &m, 1)),
        (const Given[]){{.name = "axis", .i = -1}, {.name = "largest", .i = 0}}, 2);
    const Named at =
        NODE(x, "Expand", NODE(x, "Unsqueeze", order, export_numbers(x, &last, 1)), export_sizes(x, t[0].dim, t[0].rank));
    x->at->name[n->out] = along(x, "GatherElements", out[0], at, -2);
    x->at->name[n->out + 1] = order;
}

void export_factor(Export *x, const Node *n)
{
    switch ((Op)n->op) {
    case OP_lu: lu(x, n); return;
    case OP_cholesky: x->at->name[n->out] = cholesky(x, n); return;
    case OP_triangular: x->at->name[n->out] = triangular(x, n); return;
    default: export_wrong(x, op_def[n->op].name, "ONNX has no eigenvalues or singular values");
    }
}
