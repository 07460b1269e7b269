/* export: a traced function as a file of ONNX: nodes, inputs, weights, results, and the file. What an operator becomes is said in
 * export_scalar.c and export_moves.c. Fields' numbers are onnx.proto's. */
#include "export.h"

#include <stdlib.h>

#include "../engine/file.h"
#include "model.h"

/* ---- small things ------------------------------------------------------------------------------------------------------- */
/* onnx.proto's number; 0: there is none */
static int number_of(DType t)
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
/* Of a tensor without its data, which follow. */
static void put_tensor_head(Text *to, const char *name, DType t, const int64_t *size, uint32_t rank)
{
    for (uint32_t i = 0; i < rank; i++) put_number(to, 1, size[i]);
    put_number(to, 2, number_of(t));
    put_text(to, 8, name);
}

static Named small_tensor(Export *x, DType t, const void *data, size_t bytes, const int64_t *size, uint32_t rank)
{
    Text tensor = {0};
    const Named name = new_name(x);
    put_tensor_head(&tensor, name, t, size, rank);
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
    if (number_of(t) == 0) return export_wrong(x, dtype_info[t].name, "ONNX has no such dtype");
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
    if (number_of(to) == 0) return export_wrong(x, dtype_info[to].name, "ONNX has no such dtype");
    return export_node(x, "Cast", &v, 1, &(Given){.name = "to", .i = number_of(to)}, 1);
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

static void write_nodes(Export *x)
{
    for (uint32_t i = 0; i < x->g->node.len; i++) {
        const Node *n = &x->g->node.at[i];
        const Op op = (Op)n->op;
        if (op == OP_param || op == OP_constant || op == OP_broadcast || op == OP_iota || op == OP_dim_size) continue;
        const Named y = op_def[op].flags & OPF_ELEMENTWISE && op != OP_cast ? export_elementwise(x, n) : export_structured(x, n);
        if (n->nout != 0) x->name[n->out] = y;
    }
}

/* ---- the model ------------------------------------------------------------------------------------------------------------ */
typedef struct Job {
    Thread *t;
    kiln_site at;
    const char *path;
    const kiln_function *f;
    Traced *traced;
    Export x;
    Text graph;       /* but for the weights of sources */
    Text *head;       /* per source: of the tensor that it is in the file; empty: it is an input */
    uint64_t weights; /* bytes of those, with their heads */
    Status st;
} Job;

static bool is_weight(const Source *s) { return s->kind != FROM_ARGUMENT; }
static const kiln_tensor *value_of(const Source *s) { return s->kind == FROM_VARIABLE ? s->variable->value : s->tensor; }

static void put_value(Text *to, uint32_t field, const char *name, const Graph *g, const Type *t)
{
    Text value = {0}, type = {0}, array = {0}, shape = {0};
    for (uint32_t i = 0; i < t->rank; i++) {
        Text dim = {0};
        char text[128];
        if (t->dim[i] >= 0)
            put_number(&dim, 1, t->dim[i]);
        else
            dim_print(&g->module->dims, t->dim[i], text, sizeof text), put_text(&dim, 2, text);
        put_message(&shape, 1, &dim);
    }
    put_number(&array, 1, number_of((DType)t->dtype));
    put_message(&array, 2, &shape);
    put_message(&type, 1, &array);
    put_text(&value, 1, name);
    put_message(&value, 2, &type);
    put_message(to, field, &value);
}

static void name_sources(Job *j)
{
    Export *x = &j->x;
    for (uint32_t i = 0; i < j->traced->nsource; i++) {
        const Source *s = &j->traced->source[i];
        const bool variable = s->kind == FROM_VARIABLE && s->variable->name && *s->variable->name;
        x->name[x->g->param.at[i]] =
            is_weight(s) ? arena_printf(x->arena, variable ? "%s.%u" : "%sw%u", variable ? s->variable->name : "", i)
                         : arena_printf(x->arena, "x%u", s->argument);
        if (number_of((DType)s->type.dtype) == 0) export_wrong(x, dtype_info[s->type.dtype].name, "ONNX has no such dtype");
    }
}

/* A result is a value under a name of its own, since one may be a result twice, or an input. */
static void put_results(Job *j)
{
    Export *x = &j->x;
    for (uint32_t i = 0; i < j->traced->noutput; i++) {
        const Value v = x->g->result.at[i];
        const Named is = export_value(x, v), name = arena_printf(x->arena, "y%u", i);
        Text node = {0};
        if (!is) continue;
        put_text(&node, 1, is);
        put_text(&node, 2, name);
        put_text(&node, 4, "Identity");
        put_message(&x->node, 1, &node);
        put_value(&j->graph, 12, name, x->g, type_of(x, v));
    }
}

static void job_body(void *arg)
{
    Job *j = arg;
    Export *x = &j->x;
    x->name = ARENA_ARRAY(x->arena, Named, x->g->value.len);
    j->head = ARENA_ARRAY(x->arena, Text, j->traced->nsource + 1);
    put_text(&j->graph, 2, x->g->name);
    name_sources(j);
    write_nodes(x);
    put_results(j);
    for (uint32_t i = 0; i < j->traced->nsource; i++) {
        const Source *s = &j->traced->source[i];
        const char *name = x->name[x->g->param.at[i]];
        if (!is_weight(s)) {
            put_value(&j->graph, 11, name, x->g, &s->type);
            continue;
        }
        const uint64_t bytes = kiln_bytes(value_of(s));
        put_tensor_head(&j->head[i], name, (DType)s->type.dtype, s->type.dim, s->type.rank);
        put_head(&j->head[i], 9, bytes);
        Text begin = {0};
        put_head(&begin, 5, j->head[i].len + bytes);
        j->weights += begin.len + j->head[i].len + bytes;
        j->graph.failed |= j->head[i].failed || begin.failed;
        text_free(&begin);
    }
}

static bool told(Job *j)
{
    char all[400] = "";
    size_t n = 0;
    for (uint32_t i = 0; i < j->x.wrong.len && n + 4 < sizeof all; i++)
        n += (size_t)snprintf(all + n, sizeof all - n, "%s%s", i ? ", " : "", j->x.wrong.at[i]);
    if (j->x.wrong.len != 0)
        return fail(j->t, j->at, KILN_EUNSUPPORTED, "onnx: %s cannot be a model of ONNX: %s", j->f->name, all), false;
    if (j->traced->nchanged != 0)
        return fail(j->t, j->at, KILN_EUNSUPPORTED, "onnx: %s assigns variable %s, which a model of ONNX cannot", j->f->name,
                   j->traced->changed[0]->name),
               false;
    if (j->graph.len + j->x.node.len + j->x.weight.len + j->weights > INT32_MAX - 1024)
        return fail(j->t, j->at, KILN_EUNSUPPORTED, "onnx: %s: a file of protobuf has less than 2 GiB", j->f->name), false;
    return true;
}

static bool put_weights(Job *j, FileOut *out)
{
    bool ok = true;
    for (uint32_t i = 0; i < j->traced->nsource && ok; i++) {
        const Source *s = &j->traced->source[i];
        if (!is_weight(s)) continue;
        kiln_tensor *x = tensor_host(j->t, j->at, (kiln_tensor *)(uintptr_t)value_of(s));
        x = tensor_ok(x) ? tensor_contiguous(j->t, j->at, x) : x;
        if (!tensor_ok(x)) return false;
        Text begin = {0};
        put_head(&begin, 5, j->head[i].len + kiln_bytes(x));
        ok = !begin.failed && file_write(out, begin.at, begin.len) && file_write(out, j->head[i].at, j->head[i].len) &&
             file_write(out, x->data, kiln_bytes(x));
        text_free(&begin);
    }
    return ok;
}

static bool write_file(Job *j)
{
    Text model = {0}, opset = {0};
    FileOut out;
    put_number(&model, 1, EXPORT_IR);
    put_text(&model, 2, "kiln");
    put_text(&opset, 1, "");
    put_number(&opset, 2, EXPORT_OPSET);
    put_message(&model, 8, &opset);
    put_head(&model, 7, j->x.node.len + j->x.weight.len + j->graph.len + j->weights);
    bool ok = !model.failed && !j->x.node.failed && !j->x.weight.failed && !j->graph.failed;
    if (!ok) fail(j->t, j->at, KILN_EMEMORY, "onnx: no memory");
    ok = ok && file_begin(&out, j->t, j->at, "onnx", j->path, NULL);
    if (ok) {
        ok = file_write(&out, model.at, model.len) && file_write(&out, j->x.node.at, j->x.node.len) &&
             file_write(&out, j->x.weight.at, j->x.weight.len) && file_write(&out, j->graph.at, j->graph.len) &&
             put_weights(j, &out);
        if (ok)
            ok = file_commit(&out);
        else
            file_abandon(&out);
    }
    text_free(&model);
    return ok;
}

static bool save_traced(Job *j)
{
    if (!function_trace_ahead(j->t, j->at, "onnx", (kiln_function *)(uintptr_t)j->f, j->traced)) return false;
    j->x = (Export){.arena = &j->traced->arena, .g = j->traced->module->graph.at[0]};
    j->x.size.arena = j->x.turned.arena = j->x.arena;
    bool ok = arena_try(j->x.arena, &j->st, job_body, j);
    if (!ok) fail_status(j->t, j->at, &j->st);
    ok = ok && told(j) && write_file(j);
    for (uint32_t i = 0; j->head && i < j->traced->nsource; i++) text_free(&j->head[i]);
    text_free(&j->graph);
    text_free(&j->x.node);
    text_free(&j->x.weight);
    return ok;
}

bool kiln_onnx_save_at(kiln_site at, kiln_function *f, const char *path)
{
    Thread *t = f ? thread_of(f->k) : thread_last();
    if (!f || !t) return fail(t, at, KILN_ESTATE, "onnx: the function is NULL"), false;
    if (!file_allowed(t, at, "onnx", path) || !function_alive(t, at, f) || !call_enter(t, at, f)) return false;
    Traced traced = {0};
    traced_init(&traced);
    kiln_scope scope = kiln_scope_open(f->k);
    Job j = {.t = t, .at = at, .path = path, .f = f, .traced = &traced};
    const bool ok = save_traced(&j);
    call_leave(t);
    traced_free(&traced);
    kiln_scope_close(&scope);
    return ok;
}
