/* interpret: runs the nodes of a traced graph in order: operations through apply, as eager code does, branches as their selector
 * says, effects as compiled code reaches them. A value is freed after its last use. Never records on tapes, never compiles. */
#include "interpret.h"

#include "../ops/effect.h"

bool interpret_integer(Interpreter *r, kiln_tensor *x, int64_t *to)
{
    uint64_t room = 0;
    const DType d = (DType)x->type.dtype;
    if (!tensor_read(r->t, r->at, x, &room)) return false;
    *to = dtype_load_i64(d, &room);
    if (d == DT_u64 && *to < 0) *to = INT64_MAX;
    return true;
}

Type interpret_type(const Interpreter *r, const Graph *g, Value v)
{
    Type type = *graph_type(g, v);
    for (uint32_t i = 0; i < type.rank; i++)
        if (type.dim[i] < 0) type.dim[i] = dim_eval(&g->module->dims, type.dim[i], r->symbol);
    return type;
}

kiln_tensor *interpret_alias(Interpreter *r, const kiln_tensor *x)
{
    kiln_tensor *y = tensor_alias(r->t, r->at, x);
    return tensor_ok(y) ? y : NULL;
}

/* ---- effects ---------------------------------------------------------------------------------------------------- */
static bool all_hold(const kiln_tensor *x)
{
    for (int64_t i = 0, n = type_count(&x->type); i < n; i++)
        if (!x->data[i]) return false;
    return true;
}

/* What KilnHost.effect wants to know of the tensors: returns the end of their types. */
static int64_t *describe(kiln_tensor *const *x, uint32_t n, void **buf, int64_t *type)
{
    for (uint32_t i = 0; i < n; i++) {
        buf[i] = x[i]->data;
        *type++ = x[i]->type.dtype;
        *type++ = x[i]->type.rank;
        memcpy(type, x[i]->type.dim, x[i]->type.rank * sizeof *type);
        type += x[i]->type.rank;
    }
    return type;
}

/* x: the operands where the host reads them, then the results. */
static bool effect_comes(Interpreter *r, const Node *n, kiln_tensor *const *x)
{
    Thread *t = r->t;
    const uint32_t all = n->nin + n->nout;
    if (n->op == OP_assert && all_hold(x[0])) return true;
    void **buf = SCRATCH(t, r->at, void *, all);
    int64_t *type = SCRATCH(t, r->at, int64_t, (size_t)all * (2 + MAX_RANK));
    if (!buf || !type) return false;
    describe(x, all, buf, type);
    const uint64_t failures = t->failures;
    t->recording = r->recording;
    const int32_t rc = effect_happens(&t->k->host, ATTRS(print, n->attr->at)->record, n->nin, n->nout, buf, type);
    t->recording = 0;
    if (rc && t->failures == failures) fail(t, r->at, (kiln_code)rc, "%s: an effect failed", r->name);
    return rc == 0;
}

static bool run_effect(Interpreter *r, const Graph *g, const Node *n, kiln_tensor *const *in, kiln_tensor **out)
{
    Thread *t = r->t;
    kiln_tensor **x = SCRATCH(t, r->at, kiln_tensor *, n->nin + n->nout);
    if (!x) return false;
    if (r->judge) {
        const Loc *loc = &n->loc;
        fail(t, r->at, KILN_EUNSUPPORTED, "check: the body calls C code (%s:%d), which cannot be checked",
            loc->file ? loc->file : "?", loc->line);
        return false;
    }
    for (uint32_t i = 0; i < n->nin; i++)
        if (!tensor_ok(x[i] = tensor_host(t, r->at, in[i]))) return false;
    for (uint32_t i = 0; i < n->nout; i++) {
        const Type type = interpret_type(r, g, n->out + i);
        if (!(x[n->nin + i] = tensor_empty(t, r->at, &type))) return false;
    }
    if (!effect_comes(r, n, x)) return false;
    for (uint32_t i = 0; i < n->nin; i++)
        if (x[i] != in[i]) interpret_drop(x[i]);
    for (uint32_t i = 0; i < n->nout; i++)
        if (!tensor_ok(out[i] = tensor_place(t, r->at, x[n->nin + i]))) return false;
    return true;
}

/* ---- nodes -------------------------------------------------------------------------------------------------------- */
static bool run_graph(Interpreter *r, const Graph *g, kiln_tensor *const *in, kiln_tensor **out)
{
    kiln_tensor **value = SCRATCH(r->t, r->at, kiln_tensor *, g->value.len);
    if (!value) return false;
    for (uint32_t i = 0; i < g->param.len; i++) value[g->param.at[i]] = in[i];
    return interpret_results(r, g, value, out);
}

static bool run_branch(Interpreter *r, const Graph *g, const Node *n, kiln_tensor *const *in, kiln_tensor **out)
{
    int64_t which;
    if (!interpret_integer(r, in[0], &which)) return false;
    return run_graph(r, g->module->graph.at[n->attr->at[MIN_OF(MAX_OF(which, 0), (int64_t)n->attr->len - 1)]], in + 1, out);
}

static bool run_kernel(Interpreter *r, const Graph *g, const Node *n, kiln_tensor *const *in, kiln_tensor **out)
{
    return run_graph(r, g->module->graph.at[ATTRS(kernel, n->attr->at)->body], in, out);
}

/* The attributes with numbers for sizes; n's own where there are none among them. NULL: recorded. */
static const int64_t *numbers(Interpreter *r, const Graph *g, const Node *n)
{
    bool any = false;
    for (uint32_t i = 0; i < n->attr->len; i++) any = any || n->attr->at[i] < 0;
    if (!any) return n->attr->at;
    const char *letter = op_def[n->op].attrs;
    int64_t *to = SCRATCH(r->t, r->at, int64_t, n->attr->len);
    for (uint32_t i = 0; to && i < n->attr->len; i++) {
        to[i] = n->attr->at[i];
        if (*letter == 'd' || *letter == 'D') to[i] = dim_eval(&g->module->dims, to[i], r->symbol);
        letter += *letter >= 'a'; /* a capital stands for all that follow */
    }
    return to;
}

static bool run_op(Interpreter *r, const Graph *g, const Node *n, kiln_tensor *const *in, kiln_tensor **out)
{
    const int64_t *attr = g->module->dims.expr.len ? numbers(r, g, n) : n->attr->at;
    if (!attr) return false;
    return tensor_ok(apply(r->t, r->at, (Op)n->op, in, n->nin, attr, n->attr->len, out, n->nout));
}

/* From here on the size is what the operand says. */
static bool set_size(Interpreter *r, const Graph *g, const Node *n, kiln_tensor *x)
{
    const DimTable *dims = &g->module->dims;
    const Dim d = ATTRS(set_size, n->attr->at)->size;
    int64_t count;
    if (!interpret_integer(r, x, &count)) return false;
    r->symbol[-1 - d] = MAX_OF(MIN_OF(count, dim_eval(dims, dims->expr.at[-1 - d].bound, r->symbol)), 0);
    return true;
}

/* With scratch that the caller gives back. */
static bool run_node(Interpreter *r, const Graph *g, const Node *n, kiln_tensor *const *in, kiln_tensor **out)
{
    switch (n->op) {
    case OP_loop: return interpret_loop(r, g, n, in, out);
    case OP_branch: return run_branch(r, g, n, in, out);
    case OP_kernel: return run_kernel(r, g, n, in, out);
    case OP_custom: return (out[0] = interpret_alias(r, in[0])); /* its gradient is in the graph already */
    case OP_saved: return (out[0] = interpret_alias(r, in[1]));
    case OP_set_size: return set_size(r, g, n, in[0]) && (out[0] = interpret_alias(r, in[0]));
    case OP_dim_size: {
        const Dim d = ATTRS(dim_size, n->attr->at)->dim;
        const int64_t v = dim_eval(&g->module->dims, d, r->symbol); /* a term such as n - 1 may be below 0, and is no size then */
        return tensor_ok(out[0] = constant_of(r->t, r->at, &(Type){.dtype = DT_i64}, kiln_of_i(v)));
    }
    default: return op_def[n->op].flags & OPF_EFFECT ? run_effect(r, g, n, in, out) : run_op(r, g, n, in, out);
    }
}

static bool left_out(Interpreter *r, const Node *n)
{
    return n->op == OP_param || (r->judge && op_def[n->op].flags & OPF_EFFECT && n->nout == 0);
}

static bool judged(Interpreter *r, const Graph *g, uint32_t node, kiln_tensor *const *in, kiln_tensor *const *out)
{
    const Op op = (Op)g->node.at[node].op;
    if (!r->judge || op == OP_custom || op_def[op].flags & (OPF_REGION | OPF_EFFECT)) return true;
    r->wrong = !r->judge(r->user, g, node, in, out);
    return !r->wrong;
}

static void drop_dead(const Lives *l, const Node *n, uint32_t node, kiln_tensor **value)
{
    for (uint32_t i = 0; i < n->nin; i++) {
        kiln_tensor **x = &value[n->in[i]];
        if (l->last[n->in[i]] != node || !*x) continue;
        interpret_drop(*x);
        *x = NULL; /* it may be an operand twice */
    }
    for (uint32_t i = 0; i < n->nout; i++)
        if (l->last[n->out + i] == node) interpret_drop(value[n->out + i]);
}

bool interpret(Interpreter *r, const Graph *g, kiln_tensor **value)
{
    const Lives *lives = r->lives ? &r->lives[g->index] : NULL;
    for (uint32_t i = 0; i < g->node.len; i++) {
        const Node *n = &g->node.at[i];
        if (left_out(r, n)) continue;
        ScratchMark mark = scratch_mark(&r->t->scratch);
        kiln_tensor **in = SCRATCH(r->t, r->at, kiln_tensor *, n->nin);
        for (uint32_t k = 0; in && k < n->nin; k++) in[k] = value[n->in[k]];
        const bool ok = in && run_node(r, g, n, in, &value[n->out]) && judged(r, g, i, in, &value[n->out]);
        scratch_reset(&r->t->scratch, mark);
        if (!ok) return false;
        if (lives) drop_dead(lives, n, i, value);
    }
    return true;
}

bool interpret_results(Interpreter *r, const Graph *g, kiln_tensor **value, kiln_tensor **out)
{
    const Lives *lives = r->lives ? &r->lives[g->index] : NULL;
    if (!interpret(r, g, value)) return false;
    for (uint32_t i = 0; i < g->result.len; i++) {
        kiln_tensor *x = value[g->result.at[i]];
        out[i] = lives && lives->own[i] ? x : interpret_alias(r, x);
        if (!out[i]) return false;
    }
    return true;
}
