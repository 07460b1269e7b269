/* export_attention: attention and its two gradients as products and a softmax over all keys, of which ops.def says what they are.
 * Relies on export.h. */
#include "export.h"

static const int64_t turn[] = {0, 2, 1};

static Named number(Export *x, DType t, double v) { return export_scalar(x, t, (Scalar){.f = v}); }
static Named size_of(Export *x, Dim d) { return export_reshape(x, export_sizes(x, &d, 1), NULL, 0); }

static Named counted(Export *x, Dim n)
{
    return NODE(x, "Range", export_scalar(x, DT_i64, (Scalar){.i = 0}), size_of(x, n), export_scalar(x, DT_i64, (Scalar){.i = 1}));
}

/* Row r sees key j if r mod period + after >= j + before. */
static Named causal(Export *x, const Node *n, const struct attention_attrs *a, Named scores)
{
    const Dim rows = type_of(x, n->in[0])->dim[1];
    const Named place = NODE(x, "Mod", counted(x, rows), size_of(x, a->period));
    const Named row = export_reshape(x, NODE(x, "Add", place, size_of(x, a->after)), (const Dim[]){rows, 1}, 2);
    const Named key = NODE(x, "Add", counted(x, type_of(x, n->in[1])->dim[1]), size_of(x, a->before));
    return NODE(
        x, "Where", NODE(x, "GreaterOrEqual", row, key), scores, number(x, (DType)type_of(x, n->in[0])->dtype, -__builtin_inf()));
}

/* *tanh: of the capped scores, or NULL */
static Named scores_of(Export *x, const Node *n, Named *tanh)
{
    const struct attention_attrs *a = ATTRS(attention, n->attr->at);
    const DType t = (DType)type_of(x, n->in[0])->dtype;
    const double cap = attr_f64(a->cap);
    bool whole = true;
    Named s = NODE(x, "MatMul", export_value(x, n->in[0]), export_transpose(x, export_value(x, n->in[1]), turn, 3));
    s = NODE(x, "Mul", s, number(x, t, attr_f64(a->scale)));
    *tanh = cap != 0 ? NODE(x, "Tanh", NODE(x, "Div", s, number(x, t, cap))) : NULL;
    if (cap != 0) s = NODE(x, "Mul", *tanh, number(x, t, cap));
    s = NODE(x, "Add", s, export_loose(x, n->in[3], &whole));
    return a->causal ? causal(x, n, a, s) : s;
}

/* Whether each row sees a key: the mask is numbers that are known, and of causal ones the first key is seen by the first row. */
static bool sees_all(const Export *x, const Node *n)
{
    const struct attention_attrs *a = ATTRS(attention, n->attr->at);
    const Node *mask = graph_maker(x->at->g, n->in[3]);
    while (mask->op == OP_broadcast || mask->op == OP_reshape) mask = graph_maker(x->at->g, mask->in[0]);
    const bool finite = mask->op == OP_constant && attr_f64(ATTRS(constant, mask->attr->at)->value) > -__builtin_inf();
    return finite && (!a->causal || a->before == a->after || (a->before >= 0 && a->after >= a->before));
}

static Named over_keys(Export *x, const char *op, Named v)
{
    const int64_t last = -1;
    return NODE(x, op, v, export_numbers(x, &last, 1));
}

/* 0 where nothing is seen. */
static Named cleared(Export *x, DType t, Named highest, Named v)
{
    return NODE(x, "Where", NODE(x, "Equal", highest, number(x, t, -__builtin_inf())), number(x, t, 0), v);
}

/* The logarithms of the sums of exp(score), [n, rows]. */
static Named sums_of(Export *x, DType t, Named scores)
{
    const int64_t last = -1;
    const Named highest = over_keys(x, "ReduceMax", scores), top = cleared(x, t, highest, highest);
    const Named sums = NODE(x, "ReduceSum", NODE(x, "Exp", NODE(x, "Sub", scores, top)), export_numbers(x, &last, 1));
    const Named y = NODE(x, "Add", NODE(x, "Log", sums), top);
    return export_node(x, "Squeeze", OPERANDS(y, export_numbers(x, &last, 1)), NULL, 0);
}

void export_attended(Export *x, const Node *n)
{
    const DType t = (DType)type_of(x, n->in[0])->dtype;
    Named tanh;
    const Named scores = scores_of(x, n, &tanh);
    Named p = export_node(x, "Softmax", &scores, 1, &(Given){.name = "axis", .i = -1}, 1);
    if (!sees_all(x, n)) p = cleared(x, t, over_keys(x, "ReduceMax", scores), p);
    x->at->name[n->out] = NODE(x, "MatMul", p, export_value(x, n->in[2]));
    x->at->name[n->out + 1] = sums_of(x, t, scores);
}

/* [n, rows] beside scores */
static Named beside(Export *x, Named v)
{
    const int64_t last = -1;
    return NODE(x, "Unsqueeze", v, export_numbers(x, &last, 1));
}

Named export_attention(Export *x, const Node *n)
{
    const struct attention_attrs *a = ATTRS(attention, n->attr->at);
    const DType t = (DType)type_of(x, n->in[0])->dtype;
    const Named g = export_value(x, n->in[4]), sums = beside(x, export_value(x, n->in[5])), rest = export_value(x, n->in[6]);
    Named tanh;
    const Named scores = scores_of(x, n, &tanh);
    const Named p = NODE(x, "Exp", NODE(x, "Sub", scores, cleared(x, t, sums, sums)));
    const Named of_p = NODE(x, "MatMul", g, export_transpose(x, export_value(x, n->in[2]), turn, 3));
    Named ds = NODE(x, "Mul", NODE(x, "Mul", p, NODE(x, "Sub", of_p, beside(x, rest))), number(x, t, attr_f64(a->scale)));
    if (attr_f64(a->cap) != 0) ds = NODE(x, "Mul", ds, NODE(x, "Sub", number(x, t, 1), NODE(x, "Mul", tanh, tanh)));
    if (n->op == OP_attention_query) return NODE(x, "MatMul", ds, export_value(x, n->in[1]));
    const Named of_keys = NODE(x, "MatMul", export_transpose(x, ds, turn, 3), export_value(x, n->in[0]));
    const Named of_values = NODE(x, "MatMul", export_transpose(x, p, turn, 3), g);
    return export_node(x, "Concat", OPERANDS(of_keys, of_values), &(Given){.name = "axis", .i = 2}, 1);
}
