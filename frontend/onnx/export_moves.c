/* export_moves: operators that are not elementwise as nodes of ONNX. Relies on export.h. */
#include "export.h"

static Named with_axis(Export *x, const char *op, int64_t axis, const Named *in, uint32_t n)
{
    return export_node(x, op, in, n, &(Given){.name = "axis", .i = axis}, 1);
}

/* ---- moves ------------------------------------------------------------------------------------------------------------ */
static Named sliced(Export *x, const Node *n)
{
    const struct slice_attrs *a = ATTRS(slice, n->attr->at);
    const Type *t = type_of(x, n->in[0]);
    DimTable *dims = &x->at->g->module->dims;
    Dim first[MAX_RANK], end[MAX_RANK];
    int64_t step[MAX_RANK], axis[MAX_RANK];
    uint32_t k = 0;
    for (uint32_t i = 0; i < t->rank; i++) {
        if (a->axis[i].first == 0 && a->axis[i].step == 1 && a->axis[i].size == t->dim[i]) continue;
        first[k] = a->axis[i].first;
        end[k] = dim_add(dims, first[k], dim_mul(dims, a->axis[i].size, a->axis[i].step)); /* ONNX cuts it off at the axis' end */
        step[k] = a->axis[i].step;
        axis[k++] = i;
    }
    const Named in = export_value(x, n->in[0]);
    if (k == 0) return in;
    return NODE(
        x, "Slice", in, export_sizes(x, first, k), export_sizes(x, end, k), export_numbers(x, axis, k), export_numbers(x, step, k));
}

static Named flipped(Export *x, const Node *n)
{
    int64_t from[MAX_RANK], to[MAX_RANK], step[MAX_RANK];
    const uint32_t k = n->attr->len;
    for (uint32_t i = 0; i < k; i++) from[i] = -1, to[i] = INT64_MIN + 1, step[i] = -1;
    return NODE(x, "Slice", export_value(x, n->in[0]), export_numbers(x, from, k), export_numbers(x, to, k),
        export_numbers(x, n->attr->at, k), export_numbers(x, step, k));
}

static Named padded(Export *x, const Node *n)
{
    const struct pad_attrs *a = ATTRS(pad, n->attr->at);
    const Type *t = type_of(x, n->in[0]);
    const DType type = (DType)t->dtype;
    Dim pads[2 * MAX_RANK];
    for (uint32_t i = 0; i < t->rank; i++) pads[i] = a->axis[i].low, pads[t->rank + i] = a->axis[i].high;
    const Scalar fill = dtype_is_float(type) ? (Scalar){.f = attr_f64(a->fill)} : (Scalar){.i = a->fill};
    return NODE(x, "Pad", export_value(x, n->in[0]), export_sizes(x, pads, 2u * t->rank), export_scalar(x, type, fill));
}

static Named joined(Export *x, const Node *n)
{
    Named *in = ARENA_ARRAY(x->arena, Named, n->nin);
    for (uint32_t i = 0; i < n->nin; i++) in[i] = export_value(x, n->in[i]);
    return with_axis(x, "Concat", ATTRS(concat, n->attr->at)->axis, in, n->nin);
}

/* [places, taps] of one axis: where each place's taps lie. */
static Named taps_of(Export *x, Dim places, const struct window_attrs *w, uint32_t axis)
{
    const int64_t size = w->size[axis];
    int64_t *at = ARENA_ARRAY(x->arena, int64_t, size + 1);
    for (int64_t i = 0; i < size; i++) at[i] = i * w->dilation[axis];
    const Scalar zero = {.i = 0}, one = {.i = 1}, stride = {.i = w->stride[axis]};
    const Named all = export_reshape(x, export_sizes(x, &places, 1), NULL, 0);
    const Named place = NODE(x, "Range", export_scalar(x, DT_i64, zero), all, export_scalar(x, DT_i64, one));
    const Named first = export_reshape(x, NODE(x, "Mul", place, export_scalar(x, DT_i64, stride)), (const Dim[]){places, 1}, 2);
    return NODE(x, "Add", first, export_numbers(x, at, (uint32_t)size));
}

static Named windowed(Export *x, const Node *n)
{
    const struct window_attrs *w = ATTRS(window, n->attr->at);
    const Type *out = type_of(x, n->out);
    Named v = with_axis(x, "Gather", 1, OPERANDS(export_value(x, n->in[0]), taps_of(x, out->dim[1], w, 0)));
    v = with_axis(x, "Gather", 3, OPERANDS(v, taps_of(x, out->dim[2], w, 1)));
    return export_transpose(x, v, (const int64_t[]){0, 1, 3, 2, 4, 5}, 6);
}

/* [n, h, w, kh, kw, c] summed up into an image [n, height, width, c]: Col2Im has channels and windows beside each other. */
static Named windows_added(Export *x, const Node *n)
{
    const struct window_add_attrs *w = ATTRS(window_add, n->attr->at);
    DimTable *dims = &x->at->g->module->dims;
    const Type *t = type_of(x, n->in[0]), *out = type_of(x, n->out);
    const Dim block = dim_mul(dims, dim_mul(dims, t->dim[5], w->size[0]), w->size[1]), many = dim_mul(dims, t->dim[1], t->dim[2]);
    for (uint32_t i = 0; i < 2; i++) {
        const Dim reach = (w->size[i] - 1) * w->dilation[i] + 1;
        const Dim places = dim_add(dims, dim_floordiv(dims, dim_sub(dims, out->dim[1 + i], reach), w->stride[i]), 1);
        if (places != t->dim[1 + i]) return export_wrong(x, "window_add", "into an image that has room for more windows");
    }
    Named v = export_transpose(x, export_value(x, n->in[0]), (const int64_t[]){0, 5, 3, 4, 1, 2}, 6);
    v = export_reshape(x, v, (const Dim[]){t->dim[0], block, many}, 3);
    v = export_node(x, "Col2Im", OPERANDS(v, export_sizes(x, out->dim + 1, 2), export_numbers(x, w->size, 2)),
        (const Given[]){{.name = "strides", .ints = w->stride, .n = 2}, {.name = "dilations", .ints = w->dilation, .n = 2}}, 2);
    return export_transpose(x, v, (const int64_t[]){0, 2, 3, 1}, 4);
}

/* ---- places --------------------------------------------------------------------------------------------------------------- */

/* Whether they are less than size: what counts or orders as many elements, or came from outside, for which the caller is asked. */
static bool within(const Export *x, Value at, Dim size)
{
    for (;;) {
        const Node *n = graph_maker(x->at->g, at);
        const Type *in = n->nin != 0 ? type_of(x, n->in[0]) : NULL;
        switch ((Op)n->op) {
        case OP_param: return true;
        case OP_constant: return ATTRS(constant, n->attr->at)->value >= 0 && ATTRS(constant, n->attr->at)->value < size;
        case OP_iota: return type_of(x, at)->dim[ATTRS(iota, n->attr->at)->axis] == size;
        case OP_argsort:
        case OP_argmax:
        case OP_argmin: return in->dim[n->attr->at[0]] == size;
        case OP_reshape:
        case OP_transpose:
        case OP_broadcast:
        case OP_slice:
        case OP_flip:
        case OP_leaf: at = n->in[0]; break;
        default: return false;
        }
    }
}

/* Indices into so many elements, moved into them as Kiln does. Those of u64 may be beyond i64. */
static Named indices(Export *x, Value at, Dim size)
{
    const DType t = (DType)type_of(x, at)->dtype;
    const Scalar zero = {.i = 0}, one = {.i = 1}, last = {.i = size - 1};
    Named v = export_value(x, at), most = NULL;
    if (within(x, at, size)) return t == DT_i64 ? v : export_cast(x, v, DT_i64);
    if (size > 0)
        most = export_scalar(x, DT_i64, last);
    else
        most = NODE(x, "Sub", export_reshape(x, export_sizes(x, &size, 1), NULL, 0), export_scalar(x, DT_i64, one));
    if (t == DT_u64) v = NODE(x, "Min", v, export_cast(x, most, t));
    if (t != DT_i64) v = export_cast(x, v, DT_i64);
    return t == DT_u64 ? v : NODE(x, "Clip", v, export_scalar(x, DT_i64, zero), most);
}

static Named scattered(Export *x, const Node *n)
{
    static const char *const folds[] = {"add", "mul", "max", "min", "none"};
    const struct scatter_attrs *a = ATTRS(scatter, n->attr->at);
    const uint32_t rank = type_of(x, n->in[0])->rank, places = type_of(x, n->in[1])->rank, axis = (uint32_t)a->axis;
    int64_t front[MAX_RANK], back[MAX_RANK], updates[2 * MAX_RANK];
    uint32_t k = 0;
    front[k++] = axis;
    for (uint32_t i = 0; i < rank; i++)
        if (i != axis) front[k++] = i;
    for (uint32_t i = 0; i < rank; i++) back[front[i]] = i;
    k = 0;
    for (uint32_t i = 0; i < places; i++) updates[k++] = axis + i;
    for (uint32_t i = 0; i < rank - 1 + places; i++)
        if (i < axis || i >= axis + places) updates[k++] = i;
    const int64_t last = -1;
    const Named to = export_transpose(x, export_value(x, n->in[0]), front, rank),
                at = NODE(x, "Unsqueeze", indices(x, n->in[1], type_of(x, n->in[0])->dim[axis]), export_numbers(x, &last, 1));
    Named y = export_node(x, "ScatterND", OPERANDS(to, at, export_transpose(x, export_value(x, n->in[2]), updates, k)),
        &(Given){.name = "reduction", .text = folds[a->fold]}, 1);
    return export_transpose(x, y, back, rank);
}

/* ---- products ----------------------------------------------------------------------------------------------------------- */
/* Sums of i32: of bytes ONNX has them, other integers are widened before. */
static Named multiplied(Export *x, const Node *n)
{
    const DType t = (DType)type_of(x, n->in[0])->dtype, to = (DType)type_of(x, n->out)->dtype;
    const bool bytes = t == DT_i8 || t == DT_u8;
    Named a = export_value(x, n->in[0]), b = export_value(x, n->in[1]);
    if (t != to && !bytes) a = export_cast(x, a, to), b = export_cast(x, b, to);
    return NODE(x, t != to && bytes ? "MatMulInteger" : "MatMul", a, b);
}

/* Integers of one width have each other's bits by a Cast, which all opsets have. */
static Named bits_of(Export *x, const Node *n)
{
    const DType from = (DType)type_of(x, n->in[0])->dtype, to = (DType)type_of(x, n->out)->dtype;
    const Named v = export_value(x, n->in[0]);
    if (from == to) return v;
    if (dtype_is_int(from) && dtype_is_int(to)) return export_cast(x, v, to);
    return export_node(x, "BitCast", &v, 1, &(Given){.name = "to", .i = export_number(to)}, 1);
}

Named export_structured(Export *x, const Node *n)
{
    const int64_t *at = n->attr->at;
    switch ((Op)n->op) {
    case OP_cast:
        return export_converted(
            x, export_value(x, n->in[0]), (DType)type_of(x, n->in[0])->dtype, (DType)ATTRS(cast, at)->to, n->attr->len > 1);
    case OP_bitcast: return bits_of(x, n);
    case OP_leaf:
    case OP_set_size:
    case OP_custom: return export_value(x, n->in[0]);
    case OP_saved: return export_value(x, n->in[1]);
    case OP_reshape: return export_reshape(x, export_value(x, n->in[0]), at, n->attr->len);
    case OP_transpose: return export_transpose(x, export_value(x, n->in[0]), at, n->attr->len);
    case OP_slice: return sliced(x, n);
    case OP_flip: return flipped(x, n);
    case OP_pad: return padded(x, n);
    case OP_concat: return joined(x, n);
    case OP_window: return windowed(x, n);
    case OP_window_add: return windows_added(x, n);
    case OP_gather:
        return with_axis(
            x, "Gather", at[0], OPERANDS(export_value(x, n->in[0]), indices(x, n->in[1], type_of(x, n->in[0])->dim[at[0]])));
    case OP_scatter: return scattered(x, n);
    case OP_sum:
    case OP_prod:
    case OP_reduce_max:
    case OP_reduce_min:
    case OP_argmax:
    case OP_argmin:
    case OP_cumsum:
    case OP_cumprod:
    case OP_recurrence:
    case OP_sort:
    case OP_argsort: return export_along(x, n);
    case OP_matmul: return multiplied(x, n);
    case OP_conv: return export_conv(x, n);
    case OP_conv_filter: return export_conv_filter(x, n);
    case OP_attention_query:
    case OP_attention_keys: return export_attention(x, n);
    default: return export_wrong(x, op_def[n->op].name, "ONNX has no such operator");
    }
}
