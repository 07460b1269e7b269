/* vmap: a body that is written for one example, run for many at once. It is traced for one, in a frame of its own; then the frame's
 * graph is appended to the one around it as it works on all of them (ir/vmap.h). Variables that it only reads are the same for all
 * examples. Relies on region.h. Never runs anything. */
#include "../../ir/vmap.h"
#include "region.h"

typedef struct Mapped {
    Thread *t;
    kiln_site at;
    const VmapCall *c;
    Frame *f, *parent;
    const Value *outer, *result; /* per input: its value in the parent; per output: in the frame */
    Value *map;                  /* per value of the frame: in the parent */
    bool *many;
    Status st;
    Text loops;
} Mapped;

/* ---- the body, for one example ------------------------------------------------------------------------------------ */
static kiln_tensor *example_of(Mapped *m, int i, kiln_tensor *x)
{
    if (x->state == TENSOR_STATIC) return x;
    Type type = *graph_type(m->parent->g, m->outer[i]);
    if (m->c->many[i]) memmove(type.dim, type.dim + 1, --type.rank * sizeof *type.dim);
    const Value p = frame_param(m->t, m->at, m->f, &type, (Column){COLUMN_CARRY, m->outer[i], NULL});
    return p ? tensor_traced(m->t, m->at, m->f, p) : &m->t->k->poison;
}

static bool trace_body(Mapped *m, kiln_tensor *const *in, Value *result)
{
    Thread *t = m->t;
    const VmapCall *c = m->c;
    kiln_tensor **x = SCRATCH(t, m->at, kiln_tensor *, (size_t)c->nin + 1), **out = SCRATCH(t, m->at, kiln_tensor *, c->nout);
    if (!x || !out) return false;
    for (int i = 0; i < c->nin; i++) {
        x[i] = example_of(m, i, in[i]);
        if (x[i]->state == TENSOR_POISON) return false;
    }
    x[c->nin] = NULL;
    if (!c->run(t, m->at, x, out, c->user)) return false;
    if (t->trace->frame != m->f) return false;
    for (int i = 0; i < c->nout; i++)
        if (!(result[i] = trace_value(t, m->at, out[i]))) return false;
    return true;
}

/* ---- its graph, for all --------------------------------------------------------------------------------------------- */
typedef struct Asking { /* what a rule of the front end is asked with */
    Thread *t;
} Asking;

static void custom(Vmap *v)
{
    const Asking *a = v->run->user;
    const int64_t number = a->t->k->hooks->custom_of_many(a->t, ATTRS(custom, v->node->attr->at)->gradient, v->many, v->node->nin);
    Value *in = ARENA_ARRAY(v->run->m->arena, Value, v->node->nin + 1);
    if (number < 0) {
        status_fail(v->run->st, ST_MEMORY, "custom gradient: no memory");
        return;
    }
    for (uint32_t i = 0; i < v->node->nin; i++) in[i] = i == 0 ? vmap_all(v, 0) : v->in[i];
    vmap_as(v, in, ATTRS_OF(custom, .gradient = number));
}

static void name_loops(Mapped *m, const VmapRun *run)
{
    const Loc *loc = &run->counted;
    for (int op = 0; op < OP_COUNT; op++) {
        if (!run->looped[op]) continue;
        text_printf(&m->loops, "%s%s", m->loops.len ? ", " : "", op_def[op].name);
        if (op == OP_set_size) text_printf(&m->loops, " (%s:%d)", loc->file ? loc->file : "?", loc->line);
    }
}

/* Inside the arena's border. */
static void map_body(void *arg)
{
    Mapped *m = arg;
    Arena *a = m->t->trace->arena;
    Frame *f = m->f;
    Asking asking = {m->t};
    VmapRun run = {.m = f->g->module, .n = m->c->n, .st = &m->st, .user = &asking, .custom = custom};
    GraphEmit to;
    m->map = ARENA_ARRAY(a, Value, f->g->value.len);
    m->many = ARENA_ARRAY(a, bool, f->g->value.len);
    for (uint32_t i = 0; i < f->slot.len; i++) /* a read of what came in is one of the parent's */
        if (f->slot.at[i].variable && f->slot.at[i].entry && !frame_assigns(f, &f->slot.at[i]))
            frame_pass_reads(f, f->slot.at[i].entry);
    for (uint32_t i = 0, given = 0; i < f->column.len; i++) {
        const Value p = f->g->param.at[i];
        const bool is_input = f->column.at[i].role == COLUMN_CARRY;
        while (is_input && !m->outer[given]) given++; /* of a static argument */
        m->map[p] = f->column.at[i].outer;
        m->many[p] = is_input && m->c->many[given++];
    }
    for (int i = 0; i < m->c->nout; i++) graph_result(f->g, m->result[i]);
    for (uint32_t i = 0; i < f->slot.len; i++)
        if (frame_assigns(f, &f->slot.at[i])) graph_result(f->g, f->slot.at[i].now);
    graph_emit_init(&to, m->parent->g, &m->st);
    to.e.loc = loc_of(m->at);
    if (vmap_graph(&run, &to, f->g, m->map, m->many)) name_loops(m, &run);
}

/* Output i would have another size for each example. */
static void refuse_size(Mapped *m, int i)
{
    const Graph *g = m->f->g;
    const Type *type = graph_type(g, m->result[i]);
    const Node *by = graph_maker(g, m->result[i]), *counter = by;
    char text[128];
    type_print(&g->module->dims, type, text, sizeof text);
    for (uint32_t k = 0; k < g->node.len; k++)
        for (uint32_t d = 0; d < type->rank && g->node.at[k].op == OP_set_size; d++)
            if (size_named(&g->module->dims, type->dim[d], ATTRS(set_size, g->node.at[k].attr->at)->size)) counter = &g->node.at[k];
    fail(m->t, m->at, KILN_EUNSUPPORTED,
        "%s: output %d, %s, would have another size for each example, counted at %s:%d (by compress, nonzero, unique or their "
        "like); "
        "give out what has one size for all: a sum of it, or zeros of its bound into which it is scattered; or count outside of "
        "the map",
        m->c->what, i, text, counter->loc.file ? counter->loc.file : "?", counter->loc.line);
}

static bool give_variables(Mapped *m)
{
    Thread *t = m->t;
    for (uint32_t i = 0; i < m->f->slot.len; i++) {
        const Slot *s = &m->f->slot.at[i];
        if (!frame_assigns(m->f, s)) continue;
        if (m->many[s->now]) {
            const Loc loc = graph_maker(m->f->g, s->now)->loc;
            fail(t, m->at, KILN_EUNSUPPORTED, "%s: variable %s would get another value for each example (%s:%d)", m->c->what,
                s->variable->name, loc.file ? loc.file : "?", loc.line);
            return false;
        }
        if (s->read_after && !frame_block(t, m->at, m->f, s->variable)) return false;
        kiln_tensor *now = tensor_traced(t, m->at, m->parent, m->map[s->now]);
        if (!tensor_ok(now) || !trace_assign(t, m->at, s->variable, now)) return false;
    }
    return true;
}

static bool mapped(Mapped *m, kiln_tensor *const *in, Value *outer, Value *result, kiln_tensor **out, bool *many)
{
    Thread *t = m->t;
    for (int i = 0; i < m->c->nin; i++)
        if (in[i]->state != TENSOR_STATIC && !(outer[i] = trace_value(t, m->at, in[i]))) return false;
    m->outer = outer, m->result = result;
    if (!(m->f = frame_open(t, m->at, FRAME_BODY, m->c->what))) return false;
    kiln_scope scope = region_scope(t->k, m->at);
    const uint64_t failures = t->failures;
    const bool traced = scope.id && trace_body(m, in, result);
    frame_leave(t, m->f);
    kiln_scope_close(&scope);
    if (!traced && t->failures == failures) fail(t, m->at, KILN_ESTATE, "%s: its body could not be traced", m->c->what);
    if (!traced) return false;
    const bool ok = arena_try(t->trace->arena, &m->st, map_body, m) && !m->st.code;
    if (!ok) {
        fail_status(t, m->at, &m->st);
        return false;
    }
    if (m->c->loops && m->loops.at) m->c->loops(m->c->user, m->loops.at);
    if (!give_variables(m)) return false;
    for (int i = 0; i < m->c->nout; i++) {
        many[i] = m->many[result[i]];
        if (m->map[result[i]] == 0) return refuse_size(m, i), false;
        out[i] = tensor_traced(t, m->at, m->parent, m->map[result[i]]);
        if (!tensor_ok(out[i])) return false;
    }
    return true;
}

bool trace_vmap(Thread *t, kiln_site at, const VmapCall *c, kiln_tensor *const *in, kiln_tensor **out, bool *many)
{
    Mapped m = {.t = t, .at = at, .c = c, .parent = t->trace->frame};
    ScratchMark mark = scratch_mark(&t->scratch);
    Value *outer = SCRATCH(t, at, Value, (size_t)c->nin + 1), *result = SCRATCH(t, at, Value, (size_t)c->nout + 1);
    if (outer) memset(outer, 0, ((size_t)c->nin + 1) * sizeof *outer);
    const bool ok = outer && result && mapped(&m, in, outer, result, out, many);
    for (int i = 0; i < c->nout && !ok; i++) out[i] = &t->k->poison;
    text_free(&m.loops);
    scratch_reset(&t->scratch, mark);
    return ok;
}
