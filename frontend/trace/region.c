/* region: a loop or branch of a trace. Each of its graphs is a frame; when they are done, their parameters are matched, ordered as
 * the op wants them (ir/op_region.c), and one node of the parent runs them: what they assigned is carried, what they only read is
 * invariant. Relies on trace.c. Never runs anything. */
#include "../../ir/loop.h"
#include "../ops/effect.h"
#include "region.h"

const Type index_type = {.dtype = DT_i64};
const Type truth_type = {.dtype = DT_bool};

kiln_scope region_scope(kiln *k, kiln_site at)
{
    kiln_scope s = kiln_scope_open_at(at, k);
    Thread *t = s.id ? thread_of(k) : NULL;
    if (t) t->scope[t->scopes - 1].region = true;
    return s;
}

/* ---- frames --------------------------------------------------------------------------------------------------- */
typedef struct Open {
    Trace *tr;
    Frame *f;
} Open;

static void open_body(void *arg)
{
    Open *o = arg;
    Frame *f = ARENA_NEW(o->tr->arena, Frame);
    f->trace = o->tr;
    f->parent = o->tr->frame;
    f->g = graph_new(o->tr->module, arena_printf(o->tr->arena, "region%u", o->tr->module->graph.len));
    f->captured.arena = f->watched.arena = f->slot_of.arena = o->tr->arena;
    o->f = f;
}

Frame *frame_open(Thread *t, kiln_site at, FrameKind kind, const char *what)
{
    if (!frame_may_nest(t, at, what)) return NULL;
    Open o = {.tr = t->trace};
    if (!bordered(t, at, t->trace->arena, open_body, &o)) return NULL;
    o.f->kind = (uint8_t)kind;
    o.f->what = what;
    o.f->loc = loc_of(at);
    t->trace->frame = o.f;
    return o.f;
}

void frame_leave(Thread *t, const Frame *f)
{
    if (t->trace && frame_encloses(f, t->trace->frame)) t->trace->frame = f->parent;
}

/* ---- closing: inside the arena's border -------------------------------------------------------------------------- */
typedef struct Match { /* one parameter of the node's graphs, and its operand */
    Column column;
    bool carried;   /* it is a variable that some graph assigns */
    uint32_t place; /* if carried: its index in Close.carried */
    Value *param;   /* per frame: its parameter there; 0: that graph does not use it */
} Match;

typedef struct Close {
    const Region *r;
    Arena *arena;
    Frame *parent;
    VEC(Match) match;
    Map free;           /* columns of role FREE: key_of -> index into match */
    VEC(Match *) order; /* the matches in the order of the op's operands */
    kiln_variable **carried;
    bool *blocked; /* per carried variable: whether tapes outside cannot see all its reads */
    uint32_t ncarried;
    Value out;
    Status st;
} Close;

bool frame_assigns(const Frame *f, const Slot *s)
{
    if (!s->assigned) return false; /* or forgotten: a local that went */
    return s->variable->frame != f || s->variable->trace_id != f->trace->id;
}

static uint64_t key_of(const kiln_variable *variable, Value outer) /* pointers are even */
{
    return variable ? (uintptr_t)variable : 2 * (uint64_t)outer + 1;
}

static Match *free_match(const Close *c, uint64_t key)
{
    const uint64_t *at = map_get(&c->free, key);
    return at ? &c->match.at[*at] : NULL;
}

static Match *match_for(Close *c, const Frame *f, uint32_t i)
{
    const Column *column = &f->column.at[i];
    /* The parameters that a frame is given stand in the same places in all frames of the node, whatever else the frames have in
     * common. */
    if (column->role != COLUMN_FREE && i < c->match.len) return &c->match.at[i];
    const uint64_t key = key_of(column->variable, column->outer);
    if (column->role == COLUMN_FREE && free_match(c, key)) return free_match(c, key);
    if (column->role == COLUMN_FREE) map_put(&c->free, key, c->match.len);
    Match *m = VEC_PUSH(c->arena, &c->match);
    *m = (Match){.column = *column, .param = ARENA_ARRAY(c->arena, Value, c->r->frames)};
    return m;
}

static void match_all(Close *c)
{
    for (uint32_t k = 0; k < c->r->frames; k++) {
        const Frame *f = c->r->frame[k];
        for (uint32_t i = 0; i < f->column.len; i++) match_for(c, f, i)->param[k] = f->g->param.at[i];
    }
    for (uint32_t k = 0; k < c->r->frames; k++) {
        const Frame *f = c->r->frame[k];
        for (uint32_t i = 0; i < f->slot.len; i++) {
            const Slot *s = &f->slot.at[i];
            Match *m = frame_assigns(f, s) ? free_match(c, key_of(s->variable, 0)) : NULL;
            if (m) m->carried = true;
        }
    }
}

static bool in_group(const Match *m, ColumnRole role, bool carried) { return m->column.role == role && m->carried == carried; }

/* Orders parameters as the op wants them: index, carries (given ones, then variables), slices, the rest. */
static void order_all(Close *c)
{
    static const struct {
        ColumnRole role;
        bool carried;
    } group[] = {{COLUMN_INDEX, false}, {COLUMN_CARRY, false}, {COLUMN_FREE, true}, {COLUMN_SLICE, false}, {COLUMN_FREE, false}};
    for (uint32_t k = 0; k < COUNT_OF(group); k++)
        for (uint32_t i = 0; i < c->match.len; i++)
            if (in_group(&c->match.at[i], group[k].role, group[k].carried)) *VEC_PUSH(c->arena, &c->order) = &c->match.at[i];
}

static void order_params(Close *c, uint32_t k)
{
    Graph *g = c->r->frame[k]->g;
    for (uint32_t i = 0; i < c->order.len; i++) {
        Match *m = c->order.at[i];
        if (m->param[k]) continue;
        Type type = *graph_type(c->parent->g, m->column.outer);
        m->param[k] = graph_param(g, &type, c->r->frame[k]->loc);
    }
    for (uint32_t i = 0; i < c->order.len; i++) {
        Attr *number = arena_alloc(c->arena, sizeof(Attr) + sizeof(int64_t));
        number->len = 1;
        number->at[0] = i;
        g->param.at[i] = c->order.at[i]->param[k];
        g->node.at[g->value.at[g->param.at[i]].node].attr = number;
    }
}

static void set_results(Close *c, uint32_t k)
{
    const Region *r = c->r;
    Frame *f = r->frame[k];
    const uint32_t given = f->kind == FRAME_CONDITION ? 1 : r->carries;
    for (uint32_t i = 0; i < given; i++) graph_result(f->g, r->result[k][i]);
    if (f->kind == FRAME_CONDITION) return;
    for (uint32_t i = 0; i < c->order.len; i++) {
        const Match *m = c->order.at[i];
        if (!m->carried) continue;
        const Slot *s = frame_slot(f, m->column.variable);
        graph_result(f->g, s && frame_assigns(f, s) ? s->now : m->param[k]);
    }
    for (uint32_t i = 0; i < r->stacked; i++) graph_result(f->g, r->result[k][given + i]);
}

/* A tape outside finds a variable through the reads that it saw. The value of a variable at entry is what was read outside, so its
 * reads in here let gradients through, unless that parameter stands for another value in each step (a carry of a loop). No tape
 * sees reads of a value that was assigned in here. */
static void settle_reads(Close *c)
{
    const bool loop = c->r->op != OP_branch;
    for (uint32_t i = 0; i < c->order.len; i++) {
        if (!c->order.at[i]->carried) continue;
        c->order.at[i]->place = c->ncarried;
        c->carried[c->ncarried++] = c->order.at[i]->column.variable;
    }
    for (uint32_t k = 0; k < c->r->frames; k++) {
        const Frame *f = c->r->frame[k];
        for (uint32_t i = 0; i < f->slot.len; i++) {
            const Slot *s = &f->slot.at[i];
            if (!s->variable) continue;
            const Match *m = free_match(c, key_of(s->variable, 0));
            const bool carried = m && m->carried;
            if (s->entry && (!loop || !carried)) frame_pass_reads(f, s->entry);
            if (carried && (loop || s->read_after)) c->blocked[m->place] = true;
        }
    }
}

/* The trip count as a size: known, or one that the loop makes. */
static Dim steps_of(const Close *c)
{
    const Region *r = c->r;
    const Graph *g = c->parent->g;
    if (r->op == OP_branch) return DIM_BAD;
    const Dim known = r->n != DIM_BAD || !r->selector ? r->n : loop_trip(g, r->selector);
    return known != DIM_BAD ? known : dim_made(&g->module->dims, arena_printf(g->module->arena, "steps%u", g->module->graph.len));
}

static bool has_condition(const Region *r) { return r->op == OP_loop && r->frames == 2; }

static void append_node(Close *c)
{
    const Region *r = c->r;
    Graph *g = c->parent->g;
    const Loc loc = r->frame[0]->loc;
    Value *operand = ARENA_ARRAY(c->arena, Value, c->order.len + 1);
    int64_t *attr = ARENA_ARRAY(c->arena, int64_t, r->frames + ATTR_INDEX(loop, condition));
    uint32_t nin = 0, nattr = 0, slices = 0;
    const Dim n = steps_of(c);
    const int64_t most = r->n != DIM_BAD ? r->n : INT64_MAX;
    operand[nin++] = r->selector;
    if (has_condition(r))
        operand[0] = graph_append(g, OP_constant, NULL, 0, ATTRS_OF(constant, .dtype = DT_i64, .value = most), loc, &c->st);
    for (uint32_t i = 0; i < c->order.len; i++) {
        const Column *column = &c->order.at[i]->column;
        if (column->role != COLUMN_INDEX) operand[nin++] = column->outer;
        slices += column->role == COLUMN_SLICE;
    }
    if (r->op == OP_loop) {
        *(struct loop_attrs *)attr = (struct loop_attrs){.body = r->frame[r->frames - 1]->g->index,
            .carries = r->carries + c->ncarried,
            .xs = slices,
            .ys = r->stacked,
            .reverse = r->reverse,
            .steps = n};
        nattr = ATTR_INDEX(loop, condition);
    }
    for (uint32_t k = 0; k < r->frames - (r->op == OP_loop); k++) attr[nattr++] = r->frame[k]->g->index;
    if (operand[0]) c->out = graph_append(g, r->op, operand, nin, attr, nattr, loc, &c->st);
}

static void close_body(void *arg)
{
    Close *c = arg;
    c->free.arena = c->arena;
    region_slices(c->r, steps_of(c), c->arena);
    match_all(c);
    order_all(c);
    c->carried = ARENA_ARRAY(c->arena, kiln_variable *, c->order.len + 1);
    c->blocked = ARENA_ARRAY(c->arena, bool, c->order.len + 1);
    for (uint32_t k = 0; k < c->r->frames; k++) {
        order_params(c, k);
        set_results(c, k);
    }
    settle_reads(c);
    append_node(c);
}

bool frame_block(Thread *t, kiln_site at, const Frame *f, kiln_variable *v)
{
    if (t->tape) t->k->hooks->block(t, f, v);
    return v->local || trace_note(t, at, v, 0);
}

/* To go on after the bound is an error of the running program, also where nothing else of the loop is used. */
static bool hold_bound(Thread *t, kiln_site at, const Region *r, Frame *parent, Value out)
{
    if (!has_condition(r) || r->n == DIM_BAD) return true;
    const uint32_t last = graph_maker(parent->g, out)->nout - 1u;
    kiln_tensor *steps = tensor_traced(t, at, parent, out + last), *bound = constant_of(t, at, &index_type, kiln_of_i(r->n));
    return effect_holds(t, at, apply2(t, at, OP_le, steps, bound, NULL, 0), "a loop goes on after its bound");
}

bool region_close(Thread *t, kiln_site at, const Region *r, kiln_tensor **out)
{
    Frame *first = r->frame[0], *parent = first->parent;
    Close c = {.r = r, .arena = t->trace->arena, .parent = parent};
    bool ok = arena_try(c.arena, &c.st, close_body, &c) && !c.st.code;
    for (uint32_t k = 0; k < r->frames; k++) frame_leave(t, r->frame[k]);
    if (!ok) {
        fail_status(t, at, &c.st);
        return false;
    }
    if (!hold_bound(t, at, r, parent, c.out)) return false;
    for (uint32_t i = 0; i < c.ncarried; i++) {
        if (c.blocked[i] && !frame_block(t, at, first, c.carried[i])) return false;
        kiln_tensor *now = tensor_traced(t, at, parent, c.out + r->carries + i);
        if (!tensor_ok(now) || !trace_assign(t, at, c.carried[i], now)) return false;
    }
    for (uint32_t i = 0; i < r->carries + r->stacked; i++)
        out[i] = tensor_traced(t, at, parent, c.out + i + (i < r->carries ? 0 : c.ncarried));
    return true;
}
