/* export: values, small numbers and sizes, as all operators' files need them. What an operator becomes is said in the files that
 * export.h names, the model around them is save.c's. */
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
    const Loc *at = x->at && x->at->now ? &x->at->now->loc : NULL;
    const char *text = at && at->file ? arena_printf(x->arena, "%s (%s) at %s:%d", what, why, at->file, at->line)
                                      : arena_printf(x->arena, "%s (%s)", what, why);
    for (uint32_t i = 0; i < x->wrong.len; i++)
        if (strcmp(x->wrong.at[i], text) == 0) return NULL;
    *VEC_PUSH(x->arena, &x->wrong) = text;
    return NULL;
}

/* ---- initialisers --------------------------------------------------------------------------------------------------------- */
Named export_numbers(Export *x, const int64_t *v, uint32_t n)
{
    const int64_t size = n;
    return export_small(x, DT_i64, v, n * sizeof *v, &size, 1);
}

Named export_scalar(Export *x, DType t, Scalar v)
{
    uint64_t room = 0;
    if (dtype_is_float(t))
        dtype_store_f64(t, &room, v.f);
    else
        dtype_store_i64(t, &room, v.i);
    if (export_number(t) == 0) return export_wrong(x, dtype_info[t].name, "ONNX has no such dtype");
    return export_small(x, t, &room, dtype_bytes(t), NULL, 0);
}

/* ---- sizes ------------------------------------------------------------------------------------------------------------------- */
static Named size_of(Export *x, Dim d);

/* Element k of the value's shape. */
static Named size_along(Export *x, Named of, uint32_t k)
{
    return export_node(x, "Shape", &of, 1, (const Given[]){{.name = "start", .i = k}, {.name = "end", .i = k + 1}}, 2);
}

/* 0, 1 ... below a scalar i64 */
static Named places_below(Export *x, Named end)
{
    return NODE(x, "Range", export_scalar(x, DT_i64, (Scalar){.i = 0}), end, export_scalar(x, DT_i64, (Scalar){.i = 1}));
}

/* A value that is there and has the symbol for a size tells it: an input, or where a loop makes the size, any. */
static Named told_by_value(Export *x, const Level *f, Dim d, bool any)
{
    for (uint32_t i = 0; i < (any ? f->g->value.len : f->g->param.len); i++) {
        const Value v = any ? i : f->g->param.at[i];
        const Type *t = graph_type(f->g, v);
        for (uint32_t k = 0; f->name[v] && k < t->rank; k++)
            if (t->dim[k] == d) return size_along(x, f->name[v], k);
    }
    return NULL;
}

/* The node that counts it: how many of as many places as there may be lie below the count. A runtime that plans memory takes that
 * of NonZero, and reads no numbers to know sizes. */
static Named told_by_count(Export *x, const Level *f, Dim d)
{
    const Dim bound = x->at->g->module->dims.expr.at[-1 - d].bound;
    for (uint32_t i = 0; i < f->g->node.len; i++) {
        const Node *n = &f->g->node.at[i];
        if (n->op != OP_set_size || ATTRS(set_size, n->attr->at)->size != d || !f->name[n->out]) continue;
        Named end = export_reshape(x, size_of(x, bound), NULL, 0);
        return size_along(x, NODE(x, "NonZero", NODE(x, "Less", places_below(x, end), f->name[n->out])), 1);
    }
    return NULL;
}

static Named symbol_size(Export *x, Dim d)
{
    const DimTable *dims = &x->at->g->module->dims;
    for (const Level *f = x->at; f; f = f->outer) {
        Named y = dim_is_counted(dims, d) ? told_by_count(x, f, d) : NULL;
        if (!y) y = told_by_value(x, f, d, dim_is_made(dims, d) || dim_is_counted(dims, d));
        if (y) return y;
    }
    return export_wrong(x, "a size", "no input has it");
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
    if (d == DIM_BAD) return export_wrong(x, "a size", "below 0, or too large");
    for (const Level *f = x->at; f; f = f->outer) {
        const uint64_t *known = map_get(&f->size, (uint64_t)d);
        if (known) return (Named)(uintptr_t)*known;
    }
    const DimExpr *e = &x->at->g->module->dims.expr.at[-1 - d];
    const Named made = e->kind == DIM_SYMBOL ? symbol_size(x, d) : computed_size(x, e);
    if (made) map_put(&x->at->size, (uint64_t)d, (uint64_t)(uintptr_t)made);
    return made;
}

Named export_sizes(Export *x, const Dim *d, uint32_t n)
{
    bool known = true;
    for (uint32_t i = 0; i < n; i++) known = known && d[i] >= 0;
    if (known) return export_numbers(x, d, n);
    Named *part = ARENA_ARRAY(x->arena, Named, n);
    for (uint32_t i = 0; i < n; i++) part[i] = size_of(x, d[i]);
    return n == 1 ? part[0] : export_node(x, "Concat", part, n, &(Given){.name = "axis", .i = 0}, 1);
}

/* ---- what many need ------------------------------------------------------------------------------------------------------- */
Named export_reshape(Export *x, Named v, const Dim *d, uint32_t n)
{
    bool none = false;
    for (uint32_t i = 0; i < n; i++) none = none || (d[i] != DIM_BAD && dim_lo(&x->at->g->module->dims, d[i]) == 0);
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
    Named y = places_below(x, end);
    y = (DType)t->dtype == DT_i64 ? y : export_cast(x, y, (DType)t->dtype);
    if (t->rank == 1) return y;
    y = export_reshape(x, y, beside, t->rank);
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
    if (!x->at->name[v]) x->at->name[v] = late(x, v, graph_maker(x->at->g, v), false);
    return x->at->name[v];
}

Named export_loose(Export *x, Value v, bool *whole)
{
    const Node *n = graph_maker(x->at->g, v);
    if (n->op == OP_constant || n->op == OP_broadcast) return late(x, v, n, true);
    *whole = true;
    return export_value(x, v);
}

/* What results, effects and sizes follow from. */
static bool *needed(Export *x)
{
    const Graph *g = x->at->g;
    bool *is = ARENA_ARRAY(x->arena, bool, g->value.len);
    for (uint32_t i = 0; i < g->result.len; i++) is[g->result.at[i]] = true;
    for (uint32_t i = g->node.len; i-- > 0;) {
        const Node *n = &g->node.at[i];
        bool any = n->op == OP_set_size || (n->op != OP_assert && node_has_effect(g->module, n));
        for (uint32_t k = 0; k < n->nout; k++) any = any || is[n->out + k];
        for (uint32_t k = 0; k < n->nout; k++) is[n->out + k] = any;
        for (uint32_t k = 0; any && k < n->nin; k++) is[n->in[k]] = true;
    }
    return is;
}

void export_nodes(Export *x)
{
    const bool *is = needed(x);
    for (uint32_t i = 0; i < x->at->g->node.len; i++) {
        const Node *n = &x->at->g->node.at[i];
        const Op op = (Op)n->op;
        if (op == OP_param || op == OP_constant || op == OP_broadcast || op == OP_iota || op == OP_dim_size) continue;
        if (op == OP_assert || (n->nout != 0 && !is[n->out])) continue; /* no model has assertions */
        x->at->now = n;
        void (*const several)(Export *, const Node *) = op == OP_attention               ? export_attended
                                                        : op_def[op].role == ROLE_FACTOR ? export_factor
                                                        : op_def[op].flags & OPF_REGION  ? export_region
                                                                                         : NULL;
        if (several) {
            several(x, n);
            continue;
        }
        const Named y = op_def[op].flags & OPF_ELEMENTWISE && !(op_def[op].flags & OPF_CAST) ? export_elementwise(x, n)
                                                                                             : export_structured(x, n);
        if (n->nout != 0) x->at->name[n->out] = y;
    }
    x->at->now = NULL;
}
