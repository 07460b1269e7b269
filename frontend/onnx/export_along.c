/* export_along: what goes along axes as nodes of ONNX: folds, running folds, orders. Relies on export.h. */
#include "export.h"

/* ---- folds and orders ------------------------------------------------------------------------------------------------------ */
static Named reduced(Export *x, const char *op, const Node *n)
{
    if (n->attr->len == 0) return export_value(x, n->in[0]); /* ONNX takes no axes for all */
    return export_node(x, op, OPERANDS(export_value(x, n->in[0]), export_numbers(x, n->attr->at, n->attr->len)),
        &(Given){.name = "keepdims", .i = 0}, 1);
}

static Named largest(Export *x, const char *op, const Node *n)
{
    const Named in = export_value(x, n->in[0]);
    return export_node(x, op, &in, 1, (const Given[]){{.name = "axis", .i = n->attr->at[0]}, {.name = "keepdims", .i = 0}}, 2);
}

static Named summed_up(Export *x, const Node *n)
{
    const struct cumsum_attrs *a = ATTRS(cumsum, n->attr->at);
    const Named axis = export_scalar(x, DT_i64, (Scalar){.i = a->axis});
    return export_node(x, "CumSum", OPERANDS(export_value(x, n->in[0]), axis),
        (const Given[]){{.name = "exclusive", .i = a->exclusive}, {.name = "reverse", .i = a->reverse}}, 2);
}

/* TopK has two results, of which one is wanted. */
static Named sorted(Export *x, const Node *n, bool places)
{
    const struct sort_attrs *a = ATTRS(sort, n->attr->at);
    const Dim size = type_of(x, n->in[0])->dim[a->axis];
    return export_node(x, places ? "TopK.1" : "TopK", OPERANDS(export_value(x, n->in[0]), export_sizes(x, &size, 1)),
        (const Given[]){{.name = "axis", .i = a->axis}, {.name = "largest", .i = a->descending}}, 2);
}

/* ---- what one element hands to the next ----------------------------------------------------------------------------------------
 */

/* One step: from the state and a slice of each operand to the next state and a slice of the result. */
typedef struct Handed {
    Op op;
    DType t;
    bool exclusive;
} Handed;

static uint32_t step_of(Export *x, const Handed *s, const Type *slice, uint32_t operands)
{
    const uint32_t body = export_body_begin(x), from = x->node.len;
    Named in[3];
    for (uint32_t i = 0; i <= operands; i++) {
        in[i] = export_name(x);
        export_is(x, in[i], s->t);
        export_type(&x->body.at[body - 1], 11, in[i], &x->at->g->module->dims, slice);
    }
    Named next = NODE(x, "Mul", in[0], in[1]);
    if (s->op == OP_recurrence) next = NODE(x, "Add", next, in[2]);
    const bool ok = export_result(x, &x->body.at[body - 1], next, export_name(x), slice) &&
                    export_result(x, &x->body.at[body - 1], s->exclusive ? in[0] : next, export_name(x), slice);
    export_keep(x, &x->body.at[body - 1], from);
    return ok ? body : 0;
}

/* Floats of fewer bits than f32 are added up in f32, and rounded once. */
static Named scanned(Export *x, const Node *n, int64_t axis, int64_t reverse, bool exclusive)
{
    const Type *t = type_of(x, n->out);
    const DType own = (DType)t->dtype;
    Handed s = {(Op)n->op, dtype_is_float(own) && dtype_bytes(own) < 4 ? DT_f32 : own, exclusive};
    Type slice = *t;
    slice.dtype = (uint8_t)s.t;
    slice.rank--;
    for (uint32_t i = (uint32_t)axis; i < slice.rank; i++) slice.dim[i] = t->dim[i + 1];
    const int64_t axes[2] = {axis, axis}, ways[2] = {reverse, reverse};
    const double first = n->op == OP_cumprod;
    const Scalar start = dtype_is_float(s.t) ? (Scalar){.f = first} : (Scalar){.i = (int64_t)first};
    Named in[3] = {export_scalar(x, s.t, start)};
    if (slice.rank != 0) in[0] = NODE(x, "Expand", in[0], export_sizes(x, slice.dim, slice.rank));
    for (uint32_t i = 0; i < n->nin; i++) {
        in[1 + i] = export_value(x, n->in[i]);
        if (in[1 + i] && s.t != own) in[1 + i] = export_cast(x, in[1 + i], s.t);
    }
    const Given attr[] = {{.name = "body", .graph = step_of(x, &s, &slice, n->nin)}, {.name = "num_scan_inputs", .i = n->nin},
        {.name = "scan_input_axes", .ints = axes, .n = n->nin}, {.name = "scan_input_directions", .ints = ways, .n = n->nin},
        {.name = "scan_output_axes", .ints = axes, .n = 1}, {.name = "scan_output_directions", .ints = ways, .n = 1}};
    const Named out[2] = {export_name(x), export_name(x)};
    if (!attr[0].graph || !export_node_to(x, "Scan", in, 1 + n->nin, attr, 6, out, 2)) return NULL;
    export_is(x, out[1], s.t);
    return s.t == own ? out[1] : export_converted(x, out[1], s.t, own, false);
}

Named export_along(Export *x, const Node *n)
{
    const int64_t *at = n->attr->at;
    switch ((Op)n->op) {
    case OP_sum: return reduced(x, "ReduceSum", n);
    case OP_prod: return reduced(x, "ReduceProd", n);
    case OP_reduce_max: return reduced(x, "ReduceMax", n);
    case OP_reduce_min: return reduced(x, "ReduceMin", n);
    case OP_argmax: return largest(x, "ArgMax", n);
    case OP_argmin: return largest(x, "ArgMin", n);
    case OP_cumsum: return summed_up(x, n);
    case OP_cumprod: return scanned(x, n, at[0], ATTRS(cumprod, at)->reverse, ATTRS(cumprod, at)->exclusive);
    case OP_recurrence: return scanned(x, n, at[0], ATTRS(recurrence, at)->reverse, false);
    case OP_sort: return sorted(x, n, false);
    default: return sorted(x, n, true);
    }
}
