/* fuse_build: the new graph: a `kernel` node and its body graph per group, all else copied. Relies on fuse.h. Decides nothing. */
#include "fuse.h"

typedef struct BuildGraph {
    Fuse *f;
    Rebuild rb;
    bool *made;     /* per group: whether its kernel node has been made */
    uint32_t *last; /* per group: its last node */
    bool *effected; /* per node: whether it is an effect that has been made */
    /* Room for the members of Body of the same names, which are all zero between two bodies. */
    bool *inside;
    Value *map;
} BuildGraph;

static void emit(BuildGraph *b, Value v);

/* ---- bodies -------------------------------------------------------------------------------------- */

typedef struct Body {
    BuildGraph *b;
    uint32_t group;
    uint32_t *node, nnode; /* its nodes and those that make its operands, in order */
    bool *inside;          /* per node of the old graph: whether the body has it */
    Value *map;            /* per value of the old graph: its value in the body, 0: none */
    VEC(Value) input;      /* values of the old graph */
    VEC(Value) output;
} Body;

static bool computed_here(const Body *body, Value v)
{
    const Fuse *f = body->b->f;
    uint32_t node = f->g->value.at[v].node;
    if (fuse_find(f, f->home[node]) == body->group) return true;
    if (!fuse_in_all(f, node) && !f->copied[node]) return false;
    const Use *u = fuse_use(f, v, body->group);
    return u && !u->read;
}

/* Walks from the group's results back to the values that it has to read. */
static void collect(Body *body)
{
    const Fuse *f = body->b->f;
    const Group *g = f->group.at[body->group];
    body->node = ARENA_ARRAY(f->ctx->scratch, uint32_t, g->use.len + 1);
    for (uint32_t i = 0; i < g->use.len; i++) {
        Value v = g->use.at[i]->v;
        uint32_t node = body->node[i] = f->g->value.at[v].node;
        if (f->result[v] && fuse_find(f, f->home[node]) == body->group) body->inside[node] = true;
    }
    fuse_sort(body->node, g->use.len);
    for (uint32_t i = 0; i < g->use.len; i++)
        if (i == 0 || body->node[i] != body->node[body->nnode - 1]) body->node[body->nnode++] = body->node[i];
    for (uint32_t i = body->nnode; i-- > 0;) {
        const Node *at = &f->g->node.at[body->node[i]];
        for (uint32_t k = 0; body->inside[body->node[i]] && k < fuse_operand_count(at); k++)
            if (computed_here(body, at->in[k])) body->inside[f->g->value.at[at->in[k]].node] = true;
    }
}

static void add_input(Body *body, Graph *to, Value v)
{
    const Graph *from = body->b->f->g;
    if (body->map[v] != 0) return;
    body->map[v] = graph_param(to, graph_type(from, v), graph_maker(from, v)->loc);
    *VEC_PUSH(body->b->f->ctx->scratch, &body->input) = v;
}

static bool copy_node(Body *body, Graph *to, const Node *n)
{
    Status *st = body->b->f->ctx->st;
    if (op_def[n->op].role == ROLE_SAME) {
        body->map[n->out] = body->map[n->in[0]];
        return true;
    }
    Value *in = ARENA_ARRAY(body->b->f->ctx->scratch, Value, n->nin + 1);
    for (uint32_t k = 0; k < n->nin; k++) in[k] = body->map[n->in[k]];
    Value v = graph_append(to, (Op)n->op, in, n->nin, n->attr->at, n->attr->len, n->loc, st);
    for (uint32_t k = 0; k < n->nout; k++) body->map[n->out + k] = v + k;
    return v != 0;
}

static Graph *make_body(Body *body)
{
    Fuse *f = body->b->f;
    Module *m = f->g->module;
    Graph *to = graph_new(m, arena_printf(f->ctx->scratch, "%s.k%u", f->g->name, m->graph.len));
    for (uint32_t i = 0; i < body->nnode; i++) {
        const Node *n = &f->g->node.at[body->node[i]];
        for (uint32_t k = 0; body->inside[body->node[i]] && k < fuse_operand_count(n); k++)
            if (!computed_here(body, n->in[k])) add_input(body, to, n->in[k]);
    }
    for (uint32_t i = 0; i < body->nnode; i++) {
        uint32_t at = body->node[i];
        const Node *n = &f->g->node.at[at];
        if (!body->inside[at]) continue;
        if (!copy_node(body, to, n)) return NULL;
        if (f->home[at] == NO_GROUP || fuse_find(f, f->home[at]) != body->group || !f->result[n->out]) continue;
        graph_result(to, body->map[n->out]);
        *VEC_PUSH(f->ctx->scratch, &body->output) = n->out;
    }
    return to;
}

const char *stop_words(uint8_t why)
{
    static const char *const words[] = {
        "",
#define STOP(name, words) words,
#include "stop.def"
    };
    return why < STOP_COUNT ? words[why] : "";
}

/* kernel: the first result of the node that the body became. */
static void note_stops(const Body *body, Graph *to, Value kernel)
{
    const Fuse *f = body->b->f;
    for (uint32_t i = 0; i < body->input.len; i++) {
        const Value v = body->input.at[i];
        const Use *u = fuse_use(f, v, body->group);
        if (!u || u->why == STOP_none || f->home[f->g->value.at[v].node] == NO_GROUP) continue;
        *VEC_PUSH(to->module->arena, &to->stop) = (Stop){.kernel = kernel, .operand = i, .why = u->why};
    }
}

/* What counts these sizes stands before who needs them. */
static void emit_counters(BuildGraph *b, uint64_t sizes)
{
    const Fuse *f = b->f;
    for (uint64_t all = sizes; all != 0; all &= all - 1) emit(b, f->g->node.at[f->counter[__builtin_ctzll(all)]].out);
}

/* ---- kernels ------------------------------------------------------------------------------------- */

static void emit_group(BuildGraph *b, uint32_t group)
{
    Fuse *f = b->f;
    Arena *a = f->ctx->scratch;
    Body body = {.b = b, .group = group, .inside = b->inside, .map = b->map};
    if (b->made[group]) return;
    b->made[group] = true;
    collect(&body);
    Graph *to = make_body(&body);
    if (!to) return;
    uint64_t sizes = 0;
    for (uint32_t i = 0; i < body.nnode; i++) {
        const Node *n = &f->g->node.at[body.node[i]];
        if (f->sizes && b->inside[body.node[i]]) sizes |= f->sizes[body.node[i]];
        b->inside[body.node[i]] = false;
        memset(b->map + n->out, 0, n->nout * sizeof *b->map);
    }
    emit_counters(b, sizes);
    const Group *g = f->group.at[group];
    Value *in = ARENA_ARRAY(a, Value, body.input.len + 1);
    for (uint32_t i = 0; i < body.input.len; i++) {
        emit(b, body.input.at[i]);
        in[i] = b->rb.map[body.input.at[i]];
    }
    const uint32_t naxis = g->env.naxis;
    struct kernel_attrs *k = arena_alloc(a, sizeof *k + (naxis + body.output.len) * sizeof *k->axes);
    k->body = to->index;
    k->sweep = g->env.sweep;
    memcpy(k->axes, g->env.extent, naxis * sizeof *k->axes);
    for (uint32_t i = 0; i < body.output.len; i++) k->axes[naxis + i] = index_layout(fuse_use(f, body.output.at[i], group)->map[0]);
    Loc loc = graph_maker(f->g, body.output.at[body.output.len - 1])->loc;
    Value v = rebuild_op(&b->rb, OP_kernel, in, body.input.len, ATTRS_TO(k, k->axes + naxis + body.output.len), loc);
    for (uint32_t i = 0; v != 0 && i < body.output.len; i++) rebuild_set(&b->rb, body.output.at[i], v + i);
    if (v != 0) note_stops(&body, b->rb.to, v);
}

static void emit_node(BuildGraph *b, uint32_t node)
{
    const Node *n = &b->f->g->node.at[node];
    uint32_t before = b->f->effect[node];
    if (before != node) { /* effects keep their order */
        if (b->effected[node]) return;
        b->effected[node] = true;
        if (before != NO_EFFECT) emit_node(b, before);
    }
    if (b->f->sizes) emit_counters(b, b->f->sizes[node]);
    for (uint32_t k = 0; k < fuse_operand_count(n); k++) emit(b, n->in[k]);
    if (op_def[n->op].role == ROLE_SAME)
        rebuild_set(&b->rb, n->out, b->rb.map[n->in[0]]);
    else
        rebuild_copy(&b->rb, node);
}

static void emit(BuildGraph *b, Value v)
{
    uint32_t node = b->f->g->value.at[v].node, home = fuse_find(b->f, b->f->home[node]);
    if (b->rb.map[v] != 0 || b->rb.st->code != ST_OK) return;
    if (home != NO_GROUP && b->f->result[v])
        emit_group(b, home);
    else
        emit_node(b, node);
}

Graph *fuse_build(Fuse *f)
{
    BuildGraph b = {.f = f};
    const Graph *g = f->g;
    Arena *a = f->ctx->scratch;
    rebuild_begin(&b.rb, g, a, f->ctx->st);
    b.made = ARENA_ARRAY(a, bool, f->group.len + 1);
    b.last = ARENA_ARRAY(a, uint32_t, f->group.len + 1);
    b.inside = ARENA_ARRAY(a, bool, g->node.len + 1);
    b.effected = ARENA_ARRAY(a, bool, g->node.len + 1);
    b.map = ARENA_ARRAY(a, Value, g->value.len);
    for (uint32_t i = 0; i < g->node.len; i++)
        if (f->home[i] != NO_GROUP) b.last[fuse_find(f, f->home[i])] = i;
    for (uint32_t i = 0; i < g->node.len && b.rb.st->code == ST_OK; i++) {
        const Node *n = &g->node.at[i];
        uint32_t home = fuse_find(f, f->home[i]);
        bool wanted = n->op == OP_set_size;
        for (uint32_t k = 0; k < n->nout; k++) wanted |= f->outside[n->out + k];
        if (f->effect[i] != i)
            emit_node(&b, i);
        else if (home != NO_GROUP && b.last[home] == i)
            emit_group(&b, home);
        else if (home == NO_GROUP && f->role[i] == ROLE_OUTSIDE && wanted)
            emit(&b, n->out);
    }
    for (uint32_t i = 0; i < g->result.len; i++) emit(&b, g->result.at[i]);
    return rebuild_end(&b.rb);
}
