/* beforehand: what of a graph hangs on captured tensors alone is computed once, before the first run of its code, not in each call:
 * filters in the order in which convolutions read them, factors of a batch norm. The bits are the same, since whoever computes
 * does. The code has the results as inputs behind its others; being buffers that stay, they also keep panels. Relies on
 * ir/rebuild.h and interpret_call.c. Never changes what was traced: interpreted calls and gradients know nothing of it. */
#include "background.h"
#include "interpret.h"

#include "../../ir/rebuild.h"

typedef struct Cut {
    const Graph *g;
    bool *fixed;    /* per value: nothing but captured tensors and constants goes into it */
    bool *captured; /* and a captured tensor does */
    bool *computed; /* and more than moves made it */
    bool *handed;   /* it becomes an input: something else reads it */
    bool *read;     /* something that stays reads it as it is */
    int64_t *worth; /* bytes of it, or of what it is made of where these are fewer: then it is not kept */
    int64_t most;   /* bytes of the largest captured tensor: nothing on the way to what is kept is larger */
} Cut;

static int64_t bytes_of(const Graph *g, Value v)
{
    const Type *t = graph_type(g, v);
    int64_t n = (int64_t)dtype_bytes((DType)t->dtype);
    for (uint32_t i = 0; i < t->rank; i++) {
        if (t->dim[i] < 0) return INT64_MAX;
        n *= t->dim[i];
    }
    return n;
}

/* Bytes of what goes into it: a broadcast, or a widened weight, counts as what it was made of. */
static int64_t made_of(const Cut *c, const Node *n)
{
    int64_t in = 0;
    for (uint32_t i = 0; i < n->nin; i++) in += c->worth[n->in[i]];
    return in;
}

/* All that it gives; INT64_MAX: a size of a call is in it. */
static int64_t bytes_out(const Graph *g, const Node *n)
{
    int64_t out = 0;
    for (uint32_t i = 0; i < n->nout; i++) {
        const int64_t bytes = bytes_of(g, n->out + i);
        if (bytes == INT64_MAX) return bytes;
        out += bytes;
    }
    return out;
}

static bool moves_only(Op op) { return op_def[op].role >= ROLE_SAME && op_def[op].role <= ROLE_MOVE; }

static void see_node(const Cut *c, const Node *n)
{
    const OpDef *def = &op_def[n->op];
    bool fixed = !(def->flags & (OPF_EFFECT | OPF_REGION)), captured = false, computed = !moves_only((Op)n->op);
    if (n->op == OP_param || n->op == OP_call || n->op == OP_dim_size) return;
    if (n->op == OP_constant) {
        c->worth[n->out] = bytes_of(c->g, n->out);
        c->fixed[n->out] = c->worth[n->out] != INT64_MAX; /* else a call's sizes are in it */
        return;
    }
    for (uint32_t i = 0; i < n->nin; i++) {
        fixed = fixed && c->fixed[n->in[i]];
        captured = captured || c->captured[n->in[i]];
        computed = computed || c->computed[n->in[i]];
    }
    if (!fixed || !captured) return;
    const int64_t in = made_of(c, n), out = bytes_out(c->g, n);
    if (out > MAX_OF(in, c->most)) return;
    for (uint32_t i = 0; i < n->nout; i++) {
        const Value v = n->out + i;
        c->fixed[v] = c->captured[v] = true, c->computed[v] = computed;
        c->worth[v] = out <= in ? bytes_of(c->g, v) : in;
    }
}

/* Products read what was only moved as it lies; convolutions want their filters in their own order. */
static bool hands(const Cut *c, Value v, const Node *reader)
{
    if (c->worth[v] < bytes_of(c->g, v)) return false;
    return c->captured[v] && graph_maker(c->g, v)->op != OP_param && (c->computed[v] || (reader && op_convolves((Op)reader->op)));
}

static void reads(const Cut *c, Value v, const Node *reader)
{
    if (hands(c, v, reader))
        c->handed[v] = true;
    else
        c->read[v] = true;
}

/* Once all readers of what it gives are seen. */
static bool stays(const Cut *c, const Node *n)
{
    bool so = n->nout == 0 || (!c->captured[n->out] && n->op != OP_param);
    for (uint32_t k = 0; k < n->nout; k++) so = so || (c->read[n->out + k] && !c->handed[n->out + k]);
    return so;
}

static void look(Cut *c, const Traced *traced)
{
    const Graph *g = c->g;
    for (uint32_t i = 0; i < traced->nsource; i++) {
        const Value p = g->param.at[i];
        const uint8_t kind = traced->source[i].kind;
        c->fixed[p] = c->captured[p] = (kind == FROM_CAPTURE || kind == FROM_LITERAL) && bytes_of(g, p) != INT64_MAX;
        if (!c->fixed[p]) continue;
        c->worth[p] = bytes_of(g, p);
        c->most = MAX_OF(c->most, c->worth[p]);
    }
    for (uint32_t i = 0; i < g->node.len; i++) see_node(c, &g->node.at[i]);
    for (uint32_t i = 0; i < g->result.len; i++) reads(c, g->result.at[i], NULL);
    for (uint32_t i = g->node.len; i-- > 0;) {
        const Node *n = &g->node.at[i];
        if (!stays(c, n)) continue;
        for (uint32_t k = 0; k < n->nin; k++) reads(c, n->in[k], n);
    }
}

/* Per value: something that is handed over hangs on it. */
static bool *needed(const Cut *c, Arena *scratch)
{
    const Graph *g = c->g;
    bool *need = ARENA_ARRAY(scratch, bool, g->value.len);
    for (uint32_t i = g->node.len; i-- > 0;) {
        const Node *n = &g->node.at[i];
        bool any = false;
        for (uint32_t k = 0; k < n->nout; k++) any = any || need[n->out + k] || c->handed[n->out + k];
        for (uint32_t k = 0; k < n->nout; k++) need[n->out + k] = any;
        for (uint32_t k = 0; any && k < n->nin; k++) need[n->in[k]] = true;
    }
    return need;
}

/* The graph of what is handed over: all parameters, the nodes that hang on captured tensors, and what is handed for results. */
static const Graph *first_part(const Cut *c, Arena *scratch, Status *st)
{
    Rebuild rb;
    const bool *need = needed(c, scratch);
    rebuild_begin(&rb, c->g, scratch, st);
    for (uint32_t i = 0; i < c->g->node.len && !st->code; i++) {
        const Node *n = &c->g->node.at[i];
        if (n->op != OP_param && n->nout != 0 && need[n->out]) rebuild_copy(&rb, i);
    }
    for (Value v = 1; v < c->g->value.len && !st->code; v++)
        if (c->handed[v]) graph_result(rb.to, rb.map[v]);
    return rb.to;
}

static Graph *second_part(const Cut *c, Arena *scratch, Status *st)
{
    const Graph *g = c->g;
    Rebuild rb;
    rebuild_begin(&rb, g, scratch, st);
    for (Value v = 1; v < g->value.len; v++)
        if (c->handed[v]) rebuild_set(&rb, v, graph_param(rb.to, graph_type(g, v), graph_maker(g, v)->loc));
    for (uint32_t i = 0; i < g->node.len && !st->code; i++)
        if (g->node.at[i].op != OP_param && stays(c, &g->node.at[i])) rebuild_copy(&rb, i);
    return rebuild_end(&rb);
}

Beforehand *beforehand_cut(const Traced *traced, Module *m, Status *st)
{
    Arena *a = m->arena;
    const Graph *g = m->graph.at[0];
    const uint32_t n = g->value.len;
    Cut c = {.g = g};
    bool **const marks[] = {&c.fixed, &c.captured, &c.computed, &c.handed, &c.read};
    for (size_t i = 0; i < COUNT_OF(marks); i++) *marks[i] = ARENA_ARRAY(a, bool, n);
    c.worth = ARENA_ARRAY(a, int64_t, n);
    if (traced->nsource == 0) return NULL;
    look(&c, traced);
    Beforehand *b = ARENA_NEW(a, Beforehand);
    for (Value v = 1; v < n; v++) {
        b->n += c.handed[v];
        if (c.handed[v]) b->bytes += (size_t)bytes_of(g, v);
    }
    if (b->n == 0) return NULL;
    b->value = ARENA_ARRAY(a, kiln_tensor *, b->n);
    b->graph = first_part(&c, a, st);
    b->lives = graph_lives(a, b->graph);
    b->reads = ARENA_ARRAY(a, bool, traced->nsource);
    for (uint32_t i = 0; i < traced->nsource; i++) b->reads[i] = c.read[g->param.at[i]];
    if (!st->code) m->graph.at[0] = second_part(&c, a, st);
    if (st->code) return NULL;
    pthread_mutex_init(&b->making, NULL);
    return b;
}

bool beforehand_there(Thread *t, kiln_site at, kiln_function *f, const Instance *inst, Beforehand *b)
{
    if (LIKELY(atomic_load_explicit(&b->there, memory_order_acquire))) return true;
    pthread_mutex_lock(&b->making);
    bool ok = atomic_load(&b->there);
    if (!ok) {
        kiln_scope scope = kiln_scope_open(f->k);
        kiln_tensor **made = SCRATCH(t, at, kiln_tensor *, b->n);
        ok = made && graph_interpreted(t, at, f, inst, b->graph, &b->lives, made);
        for (uint32_t i = 0; i < b->n && ok; i++) b->value[i] = kiln_own(made[i]);
        kiln_scope_close(&scope);
        atomic_store(&b->there, ok);
    }
    pthread_mutex_unlock(&b->making);
    return ok;
}

void beforehand_free(Beforehand *b)
{
    if (!b) return;
    for (uint32_t i = 0; i < b->n; i++)
        if (b->value[i]) kiln_release(b->value[i]);
    pthread_mutex_destroy(&b->making);
}
