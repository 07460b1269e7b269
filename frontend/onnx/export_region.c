/* export_region: loops as Loop, branches as If, and graphs that run as they are. A graph within a node sees the names around it, so
 * what a region's graph takes from outside is no input of the model's. Relies on export.h; layouts are op_region.c's. */
#include "export.h"

#include "../../ir/loop.h"

static Named number(Export *x, int64_t v) { return export_scalar(x, DT_i64, (Scalar){.i = v}); }
static const Graph *graph_at(const Export *x, int64_t i) { return x->at->g->module->graph.at[i]; }

/* The graph's nodes as they stand, with those parameters; its results. NULL: one of them could not be written. */
static const Named *applied(Export *x, const Graph *g, const Named *param)
{
    Level f;
    for (uint32_t i = 0; i < g->param.len; i++)
        if (!param[i]) return NULL;
    export_open(x, &f, g);
    for (uint32_t i = 0; i < g->param.len; i++) f.name[g->param.at[i]] = param[i];
    export_nodes(x);
    Named *result = ARENA_ARRAY(x->arena, Named, g->result.len + 1);
    bool ok = true;
    for (uint32_t i = 0; i < g->result.len; i++) ok = (result[i] = export_value(x, g->result.at[i])) && ok;
    export_close(x);
    return ok ? result : NULL;
}

static Named *operands(Export *x, const Node *n, uint32_t from)
{
    Named *in = ARENA_ARRAY(x->arena, Named, n->nin + 1);
    for (uint32_t i = from; i < n->nin; i++) in[i - from] = export_value(x, n->in[i]);
    return in;
}

static Named *new_names(Export *x, uint32_t n)
{
    Named *name = ARENA_ARRAY(x->arena, Named, n + 1);
    for (uint32_t i = 0; i < n; i++) name[i] = export_name(x);
    return name;
}

static void are_results(Export *x, const Node *n, const Named *name)
{
    for (uint32_t i = 0; name && i < n->nout; i++) {
        x->at->name[n->out + i] = name[i];
        export_is(x, name[i], (DType)type_of(x, n->out + i)->dtype);
    }
}

/* ---- branches -----------------------------------------------------------------------------------------------------------------
 */
typedef struct Branch {
    const Node *node;
    const Named *param;
    Named selector;
} Branch;

static const Named *chosen(Export *x, const Branch *b, uint32_t first, uint32_t end);

/* One of the graphs from first on as a body; 0: it could not be written. */
static uint32_t side(Export *x, const Branch *b, uint32_t first, uint32_t end)
{
    const uint32_t body = export_body_begin(x), from = x->node.len;
    Level f; /* names and sizes of its own, though it is of the same graph */
    export_open(x, &f, x->at->g);
    const Named *result = chosen(x, b, first, end);
    for (uint32_t i = 0; result && i < b->node->nout; i++)
        export_result(x, &x->body.at[body - 1], result[i], export_name(x), type_of(x, b->node->out + i));
    export_close(x);
    export_keep(x, &x->body.at[body - 1], from);
    return result ? body : 0;
}

static const Named *chosen(Export *x, const Branch *b, uint32_t first, uint32_t end)
{
    const int64_t *cases = ATTRS(branch, b->node->attr->at)->cases;
    if (end - first == 1) return applied(x, graph_at(x, cases[first]), b->param);
    const bool of_bool = type_of(x, b->node->in[0])->dtype == DT_bool;
    const DType t = (DType)type_of(x, b->node->in[0])->dtype;
    /* the selector is clamped to the graphs that there are */
    const Named takes_first =
        of_bool ? NODE(x, "Not", b->selector) : NODE(x, "LessOrEqual", b->selector, export_scalar(x, t, (Scalar){.i = first}));
    const uint32_t yes = side(x, b, first, first + 1), no = side(x, b, first + 1, end);
    if (!yes || !no || !takes_first) return NULL;
    const Named *name = new_names(x, b->node->nout);
    const Given attr[] = {{.name = "then_branch", .graph = yes}, {.name = "else_branch", .graph = no}};
    if (b->node->nout != 0) export_node_to(x, "If", &takes_first, 1, attr, 2, name, b->node->nout);
    for (uint32_t i = 0; i < b->node->nout; i++) export_is(x, name[i], (DType)type_of(x, b->node->out + i)->dtype);
    return name;
}

/* ---- loops ----------------------------------------------------------------------------------------------------------------------
 */
typedef struct Loop {
    const Node *node;
    const struct loop_attrs *a;
    const Graph *body, *condition; /* condition may be NULL */
    Named trip;                    /* how often it turns at most; "": there is no bound */
    const Named *in;               /* first carries, stacked inputs, what does not change */
} Loop;

static bool is_bounded(const Loop *l) { return !l->condition || dim_is_const(l->a->steps); }

static Named index_of(Export *x, const Loop *l, Named turn)
{
    return l->a->reverse ? NODE(x, "Sub", NODE(x, "Sub", l->trip, number(x, 1)), turn) : turn;
}

/* What the loop's graphs take: the index, carries, a slice of each stacked input, what does not change. */
static const Named *taken(Export *x, const Loop *l, Named index, const Named *carry)
{
    const uint32_t carries = (uint32_t)l->a->carries, xs = (uint32_t)l->a->xs, n = l->node->nin;
    Named *param = ARENA_ARRAY(x->arena, Named, n + 1);
    param[0] = index;
    for (uint32_t i = 0; i < carries; i++) param[1 + i] = carry[i];
    for (uint32_t i = carries; i + 1 < n; i++)
        param[1 + i] =
            i >= carries + xs ? l->in[i] : export_node(x, "Gather", OPERANDS(l->in[i], index), &(Given){.name = "axis", .i = 0}, 1);
    return param;
}

static void input(Export *x, uint32_t body, Named name, const Type *t)
{
    export_is(x, name, (DType)t->dtype);
    export_type(&x->body.at[body - 1], 11, name, &x->at->g->module->dims, t);
}

static bool result(Export *x, uint32_t body, Named is, const Type *t)
{
    return is && export_result(x, &x->body.at[body - 1], is, export_name(x), t);
}

/* A turn's results: whether to go on, the next carries, slices; last, if it is asked for, how many turns there were. */
static bool turn_results(Export *x, const Loop *l, uint32_t body, Named turn, Named go_on, const Named *out)
{
    const Type flag = {.dtype = DT_bool}, count = {.dtype = DT_i64};
    const Named turns = l->condition ? NODE(x, "Add", turn, number(x, 1)) : NULL;
    if (l->condition) {
        const Named *said = applied(x, l->condition, taken(x, l, turns, out));
        go_on = said ? said[0] : NULL;
    }
    bool ok = result(x, body, go_on, &flag);
    const uint32_t carries = (uint32_t)l->a->carries;
    for (uint32_t i = 0; i < carries; i++) ok = result(x, body, out[i], graph_type(l->body, l->body->result.at[i])) && ok;
    if (l->condition) ok = result(x, body, turns, &count) && ok;
    for (uint32_t i = carries; i < l->body->result.len; i++)
        ok = result(x, body, out[i], graph_type(l->body, l->body->result.at[i])) && ok;
    return ok;
}

/* One turn; 0: it could not be written. */
static uint32_t turn_of(Export *x, const Loop *l)
{
    const uint32_t body = export_body_begin(x), from = x->node.len, carries = (uint32_t)l->a->carries;
    const Type flag = {.dtype = DT_bool}, count = {.dtype = DT_i64};
    Level f;
    export_open(x, &f, x->at->g);
    const Named *in = new_names(x, carries + 3);
    input(x, body, in[0], &count);
    input(x, body, in[1], &flag);
    for (uint32_t i = 0; i < carries; i++) input(x, body, in[2 + i], graph_type(l->body, l->body->param.at[1 + i]));
    if (l->condition) input(x, body, in[2 + carries], &count);
    const Named *out = applied(x, l->body, taken(x, l, index_of(x, l, in[0]), in + 2));
    const bool ok = out && turn_results(x, l, body, in[0], in[1], out);
    export_close(x);
    export_keep(x, &x->body.at[body - 1], from);
    return ok ? body : 0;
}

/* A stack as high as the attribute says, in the order of indices. Turns that there were not leave zeros at its end. */
static Named stacked(Export *x, const Loop *l, Named v, const Type *t)
{
    const int64_t zero = 0, back = -1, end = INT64_MIN + 1;
    const Value trip = l->node->in[0];
    if (l->a->reverse)
        v = NODE(x, "Slice", v, export_numbers(x, &back, 1), export_numbers(x, &end, 1), export_numbers(x, &zero, 1),
            export_numbers(x, &back, 1));
    if (dim_is_made(&x->at->g->module->dims, l->a->steps) || loop_trip(x->at->g, trip) == l->a->steps) return v;
    Dim pads[2 * MAX_RANK] = {0};
    Named before = export_numbers(x, pads, t->rank), rest = export_numbers(x, pads, t->rank - 1u);
    const Named turned = export_node(x, "Shape", &v, 1, (const Given[]){{.name = "start", .i = 0}, {.name = "end", .i = 1}}, 2);
    const Named more = NODE(x, "Sub", export_sizes(x, &l->a->steps, 1), turned);
    before = export_node(x, "Concat", OPERANDS(before, more, rest), &(Given){.name = "axis", .i = 0}, 1);
    const DType type = (DType)t->dtype;
    return NODE(x, "Pad", v, before, export_scalar(x, type, dtype_is_float(type) ? (Scalar){.f = 0} : (Scalar){.i = 0}));
}

static void looped(Export *x, const Node *n)
{
    const struct loop_attrs *a = ATTRS(loop, n->attr->at);
    const bool asks = n->attr->len > ATTR_INDEX(loop, condition);
    const uint32_t carries = (uint32_t)a->carries;
    Loop l = {n, a, graph_at(x, a->body), asks ? graph_at(x, a->condition[0]) : NULL, "", operands(x, n, 1)};
    Named go_on = "";
    if (is_bounded(&l)) l.trip = export_value(x, n->in[0]);
    if (!l.condition && a->ys + a->xs != 0 && !dim_is_made(&x->at->g->module->dims, a->steps))
        l.trip = NODE(x, "Min", l.trip, export_reshape(x, export_sizes(x, &a->steps, 1), NULL, 0));
    if (asks) {
        const Named *said = applied(x, l.condition, taken(x, &l, number(x, 0), l.in));
        go_on = said ? said[0] : NULL;
    }
    const uint32_t body = turn_of(x, &l);
    Named *in = ARENA_ARRAY(x->arena, Named, carries + 3), *out = new_names(x, n->nout);
    in[0] = l.trip, in[1] = go_on;
    memcpy(in + 2, l.in, carries * sizeof *in);
    if (asks) in[2 + carries] = number(x, 0);
    /* in the graph the count comes last, and in the model carries do before stacks */
    Named *order = arena_copy(x->arena, out, (n->nout + 1) * sizeof *out);
    if (asks) {
        memmove(order + carries + 1, out + carries, (size_t)a->ys * sizeof *out);
        order[carries] = out[n->nout - 1];
    }
    const Given attr = {.name = "body", .graph = body};
    if (!body || !export_node_to(x, "Loop", in, 2 + carries + asks, &attr, 1, order, n->nout)) return;
    are_results(x, n, out);
    for (uint32_t i = carries; i < carries + a->ys; i++) x->at->name[n->out + i] = stacked(x, &l, out[i], type_of(x, n->out + i));
}

void export_region(Export *x, const Node *n)
{
    switch ((Op)n->op) {
    case OP_loop: looped(x, n); return;
    case OP_branch: {
        const Branch b = {n, operands(x, n, 1), export_value(x, n->in[0])};
        are_results(x, n, chosen(x, &b, 0, n->attr->len));
        return;
    }
    case OP_kernel: are_results(x, n, applied(x, graph_at(x, ATTRS(kernel, n->attr->at)->body), operands(x, n, 0))); return;
    default: export_wrong(x, op_def[n->op].name, "a tape's record of a call, which no model has");
    }
}
