/* export_node: nodes of ONNX and graphs of them, of which what nobody needs is left out. What an operator becomes is never said
 * here. Texts lie in lists of the export from their beginning, so that none is lost where memory ends. Fields' numbers are
 * onnx.proto's. */
#include "export.h"

/* ---- nodes ---------------------------------------------------------------------------------------------------------------- */
Named export_name(Export *x) { return arena_printf(x->arena, "v%u", ++x->names); }

static void put_attribute(Export *x, Text *node, const Given *g)
{
    Text a = {0};
    put_text(&a, 1, g->name);
    if (g->text) {
        put_text(&a, 4, g->text);
    } else if (g->graph) {
        put_message(&a, 6, &x->body.at[g->graph - 1]);
    } else if (g->ints) {
        for (uint32_t i = 0; i < g->n; i++) put_number(&a, 8, g->ints[i]);
    } else {
        put_number(&a, 3, g->i);
    }
    put_number(&a, 20, g->text ? 3 : g->graph ? 5 : g->ints ? 7 : 2);
    put_message(node, 5, &a);
}

bool export_node_to(
    Export *x, const char *op, const Named *in, uint32_t n, const Given *attr, uint32_t nattr, const Named *out, uint32_t nout)
{
    for (uint32_t i = 0; i < n; i++)
        if (!in[i]) return false;
    in = arena_copy(x->arena, in, n * sizeof *in);
    out = arena_copy(x->arena, out, nout * sizeof *out);
    Written *w = VEC_PUSH(x->arena, &x->node);
    *w = (Written){.in = in, .out = out, .nin = n, .nout = nout};
    for (uint32_t i = 0; i < n; i++) put_text(&w->text, 1, in[i]);
    for (uint32_t i = 0; i < nout; i++) put_text(&w->text, 2, out[i]);
    put_text(&w->text, 3, out[0]);
    put_bytes(&w->text, 4, op, strcspn(op, "."));
    for (uint32_t i = 0; i < nattr; i++) put_attribute(x, &w->text, &attr[i]);
    return true;
}

/* Operands of t as `as`, where the operator computes, and the result back. */
static Named widened(Export *x, const char *op, const Named *in, uint32_t n, const Given *attr, uint32_t nattr, DType t, DType as)
{
    Named *wide = arena_copy(x->arena, in, n * sizeof *in);
    for (uint32_t i = 0; i < n; i++)
        if (export_dtype(x, in[i]) == t) wide[i] = export_cast(x, in[i], as);
    const Named y = export_node(x, op, wide, n, attr, nattr);
    return y && export_dtype(x, y) == as ? export_converted(x, y, as, t, false) : y;
}

/* TopK has two results; of "TopK.1" the second is wanted. */
Named export_node(Export *x, const char *op, const Named *in, uint32_t n, const Given *attr, uint32_t nattr)
{
    for (uint32_t i = 0; i < n; i++)
        if (!in[i]) return NULL;
    const DType t = export_dtype(x, in[strcmp(op, "Where") == 0]), as = export_has(op, t);
    if (as != t) return widened(x, op, in, n, attr, nattr, t, as);
    const bool two = strncmp(op, "TopK", 4) == 0, second = strchr(op, '.');
    const Named out[2] = {export_name(x), two ? export_name(x) : NULL};
    export_is(x, out[second], export_meets(x, op, in, attr));
    export_node_to(x, op, in, n, attr, nattr, out, 1 + two);
    return out[second];
}

/* ---- what is used ----------------------------------------------------------------------------------------------------------- */
static bool is_used(const Export *x, Named name) { return map_get(&x->used, (uint64_t)(uintptr_t)name); }
static void use(Export *x, Named name) { map_put(&x->used, (uint64_t)(uintptr_t)name, 1); }

void export_keep(Export *x, Text *to, uint32_t first)
{
    for (uint32_t i = x->node.len; i-- > first;) {
        Written *w = &x->node.at[i];
        bool used = false;
        for (uint32_t j = 0; j < w->nout; j++) used = used || is_used(x, w->out[j]);
        if (!used) text_free(&w->text), w->nout = 0;
        for (uint32_t j = 0; used && j < w->nin; j++) use(x, w->in[j]);
    }
    for (uint32_t i = first; i < x->node.len; i++)
        if (x->node.at[i].nout != 0) put_message(to, 1, &x->node.at[i].text);
    x->node.len = first;
}

void export_keep_small(Export *x, Text *to)
{
    for (uint32_t i = 0; i < x->small.len; i++) {
        Written *w = &x->small.at[i];
        if (is_used(x, w->out[0])) put_message(to, 5, &w->text);
    }
}

void export_free(Export *x)
{
    for (uint32_t i = 0; i < x->node.len; i++) text_free(&x->node.at[i].text);
    for (uint32_t i = 0; i < x->small.len; i++) text_free(&x->small.at[i].text);
    for (uint32_t i = 0; i < x->body.len; i++) text_free(&x->body.at[i]);
}

/* ---- graphs ----------------------------------------------------------------------------------------------------------------- */
void export_open(Export *x, Level *f, const Graph *g)
{
    *f = (Level){.outer = x->at, .g = g, .name = ARENA_ARRAY(x->arena, Named, g->value.len), .size.arena = x->arena};
    x->at = f;
}

void export_close(Export *x) { x->at = x->at->outer; }

void export_type(Text *to, uint32_t field, const char *name, const DimTable *dims, const Type *t)
{
    Text value = {0}, type = {0}, array = {0}, shape = {0};
    for (uint32_t i = 0; i < t->rank; i++) {
        Text dim = {0};
        char text[128];
        if (t->dim[i] >= 0)
            put_number(&dim, 1, t->dim[i]);
        else
            dim_print(dims, t->dim[i], text, sizeof text), put_text(&dim, 2, text);
        put_message(&shape, 1, &dim);
    }
    put_number(&array, 1, export_number((DType)t->dtype));
    put_message(&array, 2, &shape);
    put_message(&type, 1, &array);
    put_text(&value, 1, name);
    put_message(&value, 2, &type);
    put_message(to, field, &value);
}

bool export_result(Export *x, Text *graph, Named is, Named name, const Type *t)
{
    if (!export_node_to(x, "Identity", &is, 1, NULL, 0, &name, 1)) return false;
    use(x, name);
    export_type(graph, 12, name, &x->at->g->module->dims, t);
    return true;
}

uint32_t export_body_begin(Export *x)
{
    *VEC_PUSH(x->arena, &x->body) = (Text){0};
    put_text(&x->body.at[x->body.len - 1], 2, "body");
    return x->body.len;
}

/* ---- initialisers ----------------------------------------------------------------------------------------------------------- */
void export_tensor_head(Text *to, const char *name, DType t, const int64_t *size, uint32_t rank)
{
    for (uint32_t i = 0; i < rank; i++) put_number(to, 1, size[i]);
    put_number(to, 2, export_number(t));
    put_text(to, 8, name);
}

Named export_small(Export *x, DType t, const void *data, size_t bytes, const int64_t *size, uint32_t rank)
{
    const Named name = export_name(x), *out = arena_copy(x->arena, &name, sizeof name);
    export_is(x, name, t);
    Written *w = VEC_PUSH(x->arena, &x->small);
    *w = (Written){.out = out, .nout = 1};
    export_tensor_head(&w->text, name, t, size, rank);
    put_bytes(&w->text, 9, data, bytes);
    return name;
}
