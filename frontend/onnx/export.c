/* export: nodes, small initialisers and sizes, as all operators' files need them. What an operator becomes is said in
 * export_scalar.c and export_moves.c, the model around them is save.c's. Fields' numbers are onnx.proto's. */
#include "export.h"

#include "model.h"

/* ---- small things ------------------------------------------------------------------------------------------------------- */
int export_number(DType t)
{
    for (int i = 1; onnx_dtype(i); i++)
        if (onnx_dtype(i)->dtype == t && (size_t)onnx_dtype(i)->bits == 8 * dtype_bytes(t)) return i;
    return 0;
}

Named export_wrong(Export *x, const char *what, const char *why)
{
    const char *text = arena_printf(x->arena, "%s (%s)", what, why);
    for (uint32_t i = 0; i < x->wrong.len; i++)
        if (strcmp(x->wrong.at[i], text) == 0) return NULL;
    *VEC_PUSH(x->arena, &x->wrong) = text;
    return NULL;
}

static Named new_name(Export *x) { return arena_printf(x->arena, "v%u", ++x->names); }

static void put_attribute(Text *node, const Given *g)
{
    Text a = {0};
    put_text(&a, 1, g->name);
    if (g->text) {
        put_text(&a, 4, g->text);
    } else if (g->ints) {
        for (uint32_t i = 0; i < g->n; i++) put_number(&a, 8, g->ints[i]);
    } else {
        put_number(&a, 3, g->i);
    }
    put_number(&a, 20, g->text ? 3 : g->ints ? 7 : 2);
    put_message(node, 5, &a);
}

/* TopK has two results; of "TopK.1" the second is wanted. */
Named export_node(Export *x, const char *op, const Named *in, uint32_t n, const Given *attr, uint32_t nattr)
{
    for (uint32_t i = 0; i < n; i++)
        if (!in[i]) return NULL;
    const size_t length = strcspn(op, ".");
    const bool two = strncmp(op, "TopK", 4) == 0;
    Named out[2] = {new_name(x), two ? new_name(x) : NULL};
    export_is(x, out[op[length] != '\0'], export_meets(x, op, in, attr));
    Text node = {0};
    for (uint32_t i = 0; i < n; i++) put_text(&node, 1, in[i]);
    for (int i = 0; i < 1 + two; i++) put_text(&node, 2, out[i]);
    put_text(&node, 3, out[0]);
    put_bytes(&node, 4, op, length);
    for (uint32_t i = 0; i < nattr; i++) put_attribute(&node, &attr[i]);
    put_message(&x->node, 1, &node);
    return out[op[length] != '\0'];
}

/* ---- initialisers --------------------------------------------------------------------------------------------------------- */
void export_tensor_head(Text *to, const char *name, DType t, const int64_t *size, uint32_t rank)
{
    for (uint32_t i = 0; i < rank; i++) put_number(to, 1, size[i]);
    put_number(to, 2, export_number(t));
    put_text(to, 8, name);
}

static Named small_tensor(Export *x, DType t, const void *data, size_t bytes, const int64_t *size, uint32_t rank)
{
    Text tensor = {0};
    const Named name = new_name(x);
    export_is(x, name, t);
    export_tensor_head(&tensor, name, t, size, rank);
    put_bytes(&tensor, 9, data, bytes);
    put_message(&x->weight, 5, &tensor);
    return name;
}

Named export_numbers(Export *x, const int64_t *v, uint32_t n)
{
    const int64_t size = n;
    return small_tensor(x, DT_i64, v, n * sizeof *v, &size, 1);
}

Named export_scalar(Export *x, DType t, Scalar v)
{
    uint64_t room = 0;
    if (dtype_is_float(t))
        dtype_store_f64(t, &room, v.f);
    else
        dtype_store_i64(t, &room, v.i);
    if (export_number(t) == 0) return export_wrong(x, dtype_info[t].name, "ONNX has no such dtype");
    return small_tensor(x, t, &room, dtype_bytes(t), NULL, 0);
}

/* ---- sizes ------------------------------------------------------------------------------------------------------------------- */
static Named size_of(Export *x, Dim d);

/* An input that has the symbol for a size tells it. */
static Named symbol_size(Export *x, Dim d)
{
    for (uint32_t i = 0; i < x->g->param.len; i++) {
        const Value p = x->g->param.at[i];
        for (uint32_t k = 0; k < type_of(x, p)->rank; k++) {
            if (type_of(x, p)->dim[k] != d) continue;
            const Named in = export_value(x, p);
            return export_node(x, "Shape", &in, 1, (const Given[]){{.name = "start", .i = k}, {.name = "end", .i = k + 1}}, 2);
        }
    }
    return export_wrong(x, "a size", "no input has it, since a node counts it");
}

static Named computed_size(Export *x, const DimExpr *e)
{
    switch ((DimKind)e->kind) {
    case DIM_ADD: return NODE(x, "Add", size_of(x, e->a), size_of(x, e->b));
    case DIM_MUL: return NODE(x, "Mul", size_of(x, e->a), size_of(x, e->b));
    case DIM_FLOORDIV: return NODE(x, "Div", size_of(x, e->a), export_numbers(x, &e->b, 1));
    case DIM_MAX2: return NODE(x, "Max", size_of(x, e->a), size_of(x, e->b));
    case DIM_NEGATIVE: return export_numbers(x, &e->lo, 1);
    default: return NULL;
    }
}

/* i64[1] */
static Named size_of(Export *x, Dim d)
{
    if (d >= 0) return export_numbers(x, &d, 1);
    const uint64_t *known = map_get(&x->size, (uint64_t)d);
    if (known) return (Named)(uintptr_t)*known;
    const DimExpr *e = &x->g->module->dims.expr.at[-1 - d];
    const Named made = e->kind == DIM_SYMBOL ? symbol_size(x, d) : computed_size(x, e);
    if (made) map_put(&x->size, (uint64_t)d, (uint64_t)(uintptr_t)made);
    return made;
}

Named export_sizes(Export *x, const Dim *d, uint32_t n)
{
    bool known = true;
    for (uint32_t i = 0; i < n; i++) known = known && d[i] >= 0;
    if (known) return export_numbers(x, d, n);
    Named *part = ARENA_ARRAY(x->arena, Named, n);
    for (uint32_t i = 0; i < n; i++) part[i] = size_of(x, d[i]);
    return export_node(x, "Concat", part, n, &(Given){.name = "axis", .i = 0}, 1);
}

/* ---- what many need ------------------------------------------------------------------------------------------------------- */
Named export_reshape(Export *x, Named v, const Dim *d, uint32_t n)
{
    bool none = false;
    for (uint32_t i = 0; i < n; i++) none = none || d[i] == 0;
    return export_node(x, "Reshape", OPERANDS(v, v ? export_sizes(x, d, n) : NULL), &(Given){.name = "allowzero", .i = 1}, none);
}

Named export_cast(Export *x, Named v, DType to)
{
    if (export_number(to) == 0) return export_wrong(x, dtype_info[to].name, "ONNX has no such dtype");
    return export_node(x, "Cast", &v, 1, &(Given){.name = "to", .i = export_number(to)}, 1);
}

Named export_transpose(Export *x, Named v, const int64_t *from, uint32_t rank)
{
    if (!v) return NULL;
    const uint64_t *at = map_get(&x->turned, (uint64_t)(uintptr_t)v);
    Turned now = {v, rank, arena_copy(x->arena, from, rank * sizeof *from)};
    if (at) {
        const Turned *before = &x->turns.at[*at - 1];
        int64_t *both = ARENA_ARRAY(x->arena, int64_t, rank + 1);
        for (uint32_t i = 0; i < rank; i++) both[i] = before->from[from[i]];
        now = (Turned){before->of, rank, both};
    }
    bool moves = false;
    for (uint32_t i = 0; i < rank; i++) moves = moves || now.from[i] != i;
    if (!moves) return now.of;
    const Named y = export_node(x, "Transpose", &now.of, 1, &(Given){.name = "perm", .ints = now.from, .n = rank}, 1);
    if (!y) return NULL;
    *VEC_PUSH(x->arena, &x->turns) = now;
    map_put(&x->turned, (uint64_t)(uintptr_t)y, x->turns.len);
    return y;
}

/* ---- values ----------------------------------------------------------------------------------------------------------------- */
static Named counted_up(Export *x, const Node *n)
{
    const struct iota_attrs *a = ATTRS(iota, n->attr->at);
    const Type *t = type_of(x, n->out);
    const Dim size = t->dim[a->axis];
    Dim beside[MAX_RANK];
    for (uint32_t i = 0; i < t->rank; i++) beside[i] = i == (uint32_t)a->axis ? size : 1;
    const Named end = size >= 0 ? export_scalar(x, DT_i64, (Scalar){.i = size}) : export_reshape(x, size_of(x, size), NULL, 0);
    Named y = NODE(x, "Range", export_scalar(x, DT_i64, (Scalar){.i = 0}), end, export_scalar(x, DT_i64, (Scalar){.i = 1}));
    y = export_reshape(x, export_cast(x, y, (DType)t->dtype), beside, t->rank);
    return NODE(x, "Expand", y, export_sizes(x, t->dim, t->rank));
}

static Named constant(Export *x, const Node *n)
{
    const struct constant_attrs *a = ATTRS(constant, n->attr->at);
    const DType t = (DType)a->dtype;
    return export_scalar(x, t, dtype_is_float(t) ? (Scalar){.f = attr_f64(a->value)} : (Scalar){.i = a->value});
}

/* What is written only when somebody asks for it. */
static Named late(Export *x, Value v, const Node *n, bool loose)
{
    const Type *t = type_of(x, v);
    Named y;
    switch ((Op)n->op) {
    case OP_constant: y = constant(x, n); break;
    case OP_broadcast: y = export_value(x, n->in[0]); break;
    case OP_iota: return counted_up(x, n);
    case OP_dim_size: return export_reshape(x, size_of(x, ATTRS(dim_size, n->attr->at)->dim), NULL, 0);
    default: return NULL; /* a node that could not be written */
    }
    return loose || t->rank == 0 ? y : NODE(x, "Expand", y, export_sizes(x, t->dim, t->rank));
}

Named export_value(Export *x, Value v)
{
    if (!x->name[v]) x->name[v] = late(x, v, graph_maker(x->g, v), false);
    return x->name[v];
}

Named export_loose(Export *x, Value v, bool *whole)
{
    const Node *n = graph_maker(x->g, v);
    if (n->op == OP_constant || n->op == OP_broadcast) return late(x, v, n, true);
    *whole = true;
    return export_value(x, v);
}

void export_nodes(Export *x)
{
    for (uint32_t i = 0; i < x->g->node.len; i++) {
        const Node *n = &x->g->node.at[i];
        const Op op = (Op)n->op;
        if (op == OP_param || op == OP_constant || op == OP_broadcast || op == OP_iota || op == OP_dim_size) continue;
        const Named y = op_def[op].flags & OPF_ELEMENTWISE && op != OP_cast ? export_elementwise(x, n) : export_structured(x, n);
        if (n->nout != 0) x->name[n->out] = y;
    }
}
