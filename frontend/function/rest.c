/* rest: the rest of a loop, from some turn on, as code of its own, in which an interpreted loop goes on when it has come. The
 * module is the loop alone: its operands are the carries as they are, what is left of the stacked inputs, the other operands, and
 * the index at which it goes on, which is one more carry in place of the loop's own; it writes what is left of the stacked results
 * where they belong. Loops whose stacks have a height that the loop itself makes have no rest. Only for the host. */
#include "rest.h"

#include "../../codegen/host_marks.h"
#include "../../ir/loop.h"
#include "interpret.h"

/* ---- the module ----------------------------------------------------------------------------------------------------- */
typedef struct Make {
    Rest *rest;
    const Instance *inst;
    Status st;
    bool ok;
} Make;

static const Type i64_type = {.dtype = DT_i64};

static bool has_made(const DimTable *dims, const Type *type)
{
    bool any = false;
    for (uint32_t i = 0; i < type->rank; i++) any = any || dim_is_made(dims, type->dim[i]);
    return any;
}

bool rest_possible(const Graph *g, const Node *n)
{
    const struct loop_attrs *a = ATTRS(loop, n->attr->at);
    const Graph *condition = loop_condition(g->module, n->attr);
    const DimTable *dims = &g->module->dims;
    if (dims->counts) return false; /* a size that was counted outside would have to come along */
    bool ok = (!dim_is_made(dims, a->steps) && !condition) || (a->xs == 0 && a->ys == 0);
    ok = ok && !(condition && condition->effect); /* it is asked once more behind the rest */
    for (uint32_t i = 1; i < n->nin; i++) ok = ok && !has_made(dims, graph_type(g, n->in[i]));
    return ok;
}

static const char *new_name(const DimTable *dims, Arena *a)
{
    uint32_t number = 0;
    const char *name = "rest";
    while (dim_find(dims, name, strlen(name)) != DIM_BAD) name = arena_printf(a, "rest%u", number++);
    return name;
}

static void mark(const Module *m, uint32_t graph, bool *used)
{
    if (used[graph]) return;
    used[graph] = true;
    const Graph *g = m->graph.at[graph];
    for (uint32_t i = 0; i < g->node.len; i++) {
        const Node *n = &g->node.at[i];
        for (uint32_t k = 0; k < n->attr->len && op_def[n->op].flags & OPF_REGION; k++)
            if (op_attr_is_graph((Op)n->op, k)) mark(m, (uint32_t)n->attr->at[k], used);
    }
}

static Graph *empty_graph(Module *m, uint32_t index, const char *name)
{
    Graph *g = graph_new(m, name);
    m->graph.len--;
    g->index = index;
    return m->graph.at[index] = g;
}

/* The module with nothing in it but what the loop runs, and an empty entry. */
static Module *loop_alone(const Make *mk, Arena *a)
{
    const Module *from = mk->inst->traced.module;
    const Node *n = mk->rest->node;
    Module *m = module_copy(a, from->graph.at, from->graph.len, &from->dims);
    bool *used = ARENA_ARRAY(a, bool, m->graph.len);
    for (uint32_t k = 0; k < n->attr->len; k++)
        if (op_attr_is_graph(OP_loop, k)) mark(m, (uint32_t)n->attr->at[k], used);
    for (uint32_t i = 0; i < m->graph.len; i++)
        if (!used[i]) empty_graph(m, i, i ? "unused" : arena_printf(a, "%s_rest", m->graph.at[0]->name));
    return m;
}

/* The index becomes a carry, the first one, and the loop's own index is not looked at. */
static void carry_index(Graph *g)
{
    Arena *a = g->module->arena;
    const Value fresh = graph_append_typed(g, OP_param, NULL, 0, ATTRS_OF(param, .number = 0), &i64_type, 1, g->node.at[0].loc);
    Value *old = g->param.at;
    const uint32_t n = g->param.len;
    g->param.at = NULL;
    g->param.len = g->param.cap = 0;
    *VEC_PUSH(a, &g->param) = fresh;
    for (uint32_t i = 0; i < n; i++) *VEC_PUSH(a, &g->param) = old[i];
    for (uint32_t i = 0; i < g->param.len; i++) {
        Attr *number = arena_alloc(a, sizeof *number + sizeof(int64_t));
        number->len = 1;
        number->at[0] = i;
        g->node.at[g->value.at[g->param.at[i]].node].attr = number;
    }
}

static Value constant(Graph *g, int64_t value)
{
    return graph_append_typed(
        g, OP_constant, NULL, 0, ATTRS_OF(constant, .dtype = DT_i64, .value = value), &i64_type, 1, g->node.at[0].loc);
}

static Value both(Graph *g, Op op, Value x, Value y, const Type *type)
{
    return graph_append_typed(g, op, (Value[]){x, y}, 2, NULL, 0, type, 1, g->node.at[0].loc);
}

static void next_index(Graph *body)
{
    carry_index(body);
    Value *old = body->result.at;
    const uint32_t n = body->result.len;
    body->result.at = NULL;
    body->result.len = body->result.cap = 0;
    graph_result(body, both(body, OP_add, body->param.at[1], constant(body, 1), &i64_type));
    for (uint32_t i = 0; i < n; i++) graph_result(body, old[i]);
}

/* Going on beyond the bound is told by whoever interprets, which asks once more. */
static void within_bound(Graph *condition, Dim steps)
{
    const Type truth = {.dtype = DT_bool};
    carry_index(condition);
    if (!dim_is_const(steps)) return;
    const Value below = both(condition, OP_lt, condition->param.at[1], constant(condition, steps), &truth);
    condition->result.at[0] = both(condition, OP_and, condition->result.at[0], below, &truth);
}

static Value trip(Make *mk, Graph *e, struct loop_attrs *a, bool asks)
{
    Module *m = e->module;
    Rest *rest = mk->rest;
    const Loc loc = rest->node->loc;
    const char *name = new_name(&m->dims, m->arena);
    const Dim steps = a->steps;
    a->steps = DIM_BAD;
    if (a->xs + a->ys > 0) {
        rest->left = a->steps = dim_symbol(&m->dims, name, 1, dim_hi(&m->dims, steps));
        return graph_append(e, OP_dim_size, NULL, 0, ATTRS_OF(dim_size, .dim = a->steps), loc, &mk->st);
    }
    a->steps = dim_made(&m->dims, name);
    if (asks)
        return graph_append_typed(
            e, OP_constant, NULL, 0, ATTRS_OF(constant, .dtype = DT_i64, .value = INT64_MAX), &i64_type, 1, loc);
    rest->counts = true;
    return graph_param(e, &i64_type, loc);
}

static void make_body(void *arg)
{
    Make *mk = arg;
    Rest *rest = mk->rest;
    const Node *n = rest->node;
    const Graph *g = rest->graph;
    Module *m = loop_alone(mk, &rest->traced.arena);
    Graph *e = m->graph.at[0], *condition = (Graph *)(uintptr_t)loop_condition(m, n->attr);
    int64_t *attr = arena_copy(m->arena, n->attr->at, n->attr->len * sizeof *attr);
    struct loop_attrs *a = (struct loop_attrs *)(void *)attr;
    Value *in = ARENA_ARRAY(m->arena, Value, n->nin + 2u);
    uint32_t nin = 0;
    if (condition) within_bound(condition, a->steps);
    in[nin++] = trip(mk, e, a, condition);
    if (a->steps == DIM_BAD || in[0] == 0) return;
    rest->indexed = !a->reverse;
    if (rest->indexed) {
        next_index(m->graph.at[a->body]);
        in[nin++] = graph_param(e, &i64_type, n->loc);
    }
    for (uint32_t i = 1; i < n->nin; i++) {
        Type type = *graph_type(g, n->in[i]);
        if (i > a->carries && i <= a->carries + a->xs) type.dim[0] = rest->left;
        in[nin++] = graph_param(e, &type, n->loc);
    }
    a->carries += rest->indexed;
    const Value out = graph_append(e, OP_loop, in, nin, attr, n->attr->len, n->loc, &mk->st);
    if (out == 0) return;
    for (uint32_t i = 0; i < a->carries + a->ys; i++) graph_result(e, out + i);
    rest->traced.module = m;
    mk->ok = true;
}

/* ---- making, finding, freeing ---------------------------------------------------------------------------------------- */
/* On the compile thread. */
static Code *build_job(CodeJob *job, Status *st)
{
    const Rest *rest = (Rest *)(void *)((char *)job - offsetof(Rest, job));
    return code_of_instance(job->f, &rest->traced, -1, 0, st);
}

static Rest *find(Instance *inst, const Node *n)
{
    Rest *rest = atomic_load_explicit(&inst->rest, memory_order_acquire);
    while (rest && rest->node != n) rest = rest->next;
    return rest;
}

static void free_one(Rest *rest)
{
    code_free(rest->code);
    arena_free(&rest->traced.arena);
    mem_free(rest, sizeof *rest);
}

static Rest *make(kiln_function *f, Instance *inst, const Graph *g, const Node *n)
{
    Rest *rest = mem_zeros(1, sizeof *rest);
    if (!rest) return NULL;
    *rest = (Rest){.job = {.f = f, .to = &rest->code, .build = build_job, .part = true}, .graph = g, .node = n, .left = DIM_BAD};
    traced_init(&rest->traced);
    rest->traced.device = HOST;
    Make mk = {.rest = rest, .inst = inst};
    if (arena_try(&rest->traced.arena, &mk.st, make_body, &mk) && mk.ok) return rest;
    free_one(rest);
    return NULL;
}

Rest *rest_of(kiln_function *f, Instance *inst, const Graph *g, const Node *n)
{
    Rest *rest = find(inst, n), *head;
    if (rest || !(rest = make(f, inst, g, n))) return rest;
    do { /* another thread may be as far */
        head = atomic_load(&inst->rest);
        Rest *theirs = find(inst, n);
        if (theirs) {
            free_one(rest);
            return theirs;
        }
        rest->next = head;
    } while (!atomic_compare_exchange_strong(&inst->rest, &head, rest));
    return rest;
}

Rest *rest_known(Instance *inst, const Node *n) { return find(inst, n); }

const Code *rest_now(Rest *rest)
{
    Status st = {0};
    Code *code = code_of_instance(rest->job.f, &rest->traced, -1, 0, &st), *none = NULL;
    if (code && !atomic_compare_exchange_strong(&rest->code, &none, code)) code_free(code);
    return rest->code;
}

size_t rests_bytes(Instance *inst)
{
    size_t bytes = 0;
    for (Rest *rest = inst->rest; rest; rest = rest->next) {
        const Code *code = rest->code;
        if (!code || rest->counted) continue;
        rest->counted = true;
        bytes += sizeof *rest + rest->traced.arena.used + code->bytes;
    }
    return bytes;
}

void rests_free(Instance *inst)
{
    for (Rest *rest = inst->rest, *next; rest; rest = next) {
        next = rest->next;
        background_drop(rest->job.f->k, &rest->job);
        free_one(rest);
    }
    inst->rest = NULL;
}

/* ---- running ---------------------------------------------------------------------------------------------------------------- */
/* The memory of each input; what is not row-major is packed, and the copy stays in the innermost scope. */
static bool gather(Interpreter *r, const Rest *rest, RestCall *c, void **buf)
{
    uint32_t n = 0;
    if (rest->counts) buf[n++] = &c->left;
    if (rest->indexed) buf[n++] = &c->index;
    for (uint32_t p = 1; p < c->nin; p++) {
        kiln_tensor *x = p <= c->carries ? c->carry[p - 1] : c->in[p];
        x = tensor_contiguous(r->t, r->at, x);
        if (!tensor_ok(x)) return false;
        const bool sliced = p > c->carries && p <= c->carries + c->xs && x->type.dim[0] > 0;
        const int64_t each = sliced ? type_count(&x->type) / x->type.dim[0] * (int64_t)dtype_bytes((DType)x->type.dtype) : 0;
        buf[n++] = x->data + c->skip * each;
    }
    return true;
}

/* The values of the program's symbols, and what `sizes` says of them. */
static bool measure(Interpreter *r, const Rest *rest, const RestCall *c, Call *call)
{
    const Program *p = call->code->program;
    call->dim = SCRATCH(r->t, r->at, int64_t, p->symbol.len);
    call->size = call->code->sized ? SCRATCH(r->t, r->at, int64_t, call->code->nsize) : NULL;
    if (!call->dim || (call->code->sized && !call->size)) return false;
    for (uint32_t i = 0; i < p->symbol.len; i++)
        call->dim[i] = p->symbol.at[i] == rest->left ? c->left : r->symbol[-1 - p->symbol.at[i]];
    if (call->size) code_measure(call->code, call->dim, call->size);
    return true;
}

/* With scratch that the caller gives back. */
static bool run(Interpreter *r, const Rest *rest, const Code *code, RestCall *c)
{
    const Program *p = code->program;
    Call call = {.code = code};
    call.buf = SCRATCH(r->t, r->at, void *, p->ninput + p->noutput);
    call.stack = p->nstack ? SCRATCH(r->t, r->at, HostStack, p->nstack) : NULL;
    call.marks = code->marked ? SCRATCH(r->t, r->at, HostMark, p->nnumber) : NULL;
    kiln_tensor **next = SCRATCH(r->t, r->at, kiln_tensor *, c->carries);
    if (!call.buf || !next || (p->nstack && !call.stack) || (code->marked && !call.marks) || !gather(r, rest, c, call.buf) ||
        !measure(r, rest, c, &call))
        return false;
    void **out = call.buf + p->ninput;
    int64_t index = c->index;
    if (rest->indexed) *out++ = &index;
    for (uint32_t i = 0; i < c->carries; i++) {
        if (!(next[i] = tensor_result(r->t, r->at, &c->carry[i]->type, r->name, HOST))) return false;
        *out++ = next[i]->data;
    }
    memcpy(out, c->y, c->ys * sizeof *out);
    r->t->recording = r->recording;
    const bool ok = code_enter(r->t, r->at, r->f, r->inst, &call);
    r->t->recording = 0;
    if (!ok) return false;
    for (uint32_t i = 0; i < c->carries; i++) {
        interpret_drop(c->carry[i]);
        c->carry[i] = next[i];
    }
    c->index = index;
    return true;
}

bool rest_run(Interpreter *r, const Rest *rest, const Code *code, RestCall *c)
{
    ScratchMark mark = scratch_mark(&r->t->scratch);
    const bool ok = run(r, rest, code, c);
    scratch_reset(&r->t->scratch, mark);
    return ok;
}
