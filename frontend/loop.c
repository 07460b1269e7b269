/* loop: KILN_FOR. In eager code it iterates; in a trace the block is traced once into a frame of its own, which becomes a scan node:
 * what the block assigned is carried, what it read from outside is invariant. */
#include "../ir/rebuild.h"
#include "internal.h"
#include "scope.h"

enum {
    LOOP_START,
    LOOP_BODY,
    LOOP_ENDED_BODY,
    LOOP_DONE
}; /* kiln_loop.state; the macro turns BODY into ENDED_BODY */

static const Type index_type = {.dtype = DT_i64};

/* ---- eager ------------------------------------------------------------------------------------------------- */
static bool next_eager(Thread *t, kiln_loop *l)
{
    bool broke = l->state == LOOP_BODY;
    if (l->state != LOOP_START) kiln_scope_close(&l->scope);
    l->state = LOOP_DONE;
    if (broke || l->at >= l->count) return false;
    l->scope = kiln_scope_open(l->k);
    l->index = constant_of(t, (kiln_site){NULL, 0}, &index_type, kiln_of_i(l->at));
    l->at++;
    l->state = LOOP_BODY;
    return true;
}

/* ---- traced -------------------------------------------------------------------------------------------------- */
typedef struct Close { /* of a region, inside the arena's border */
    Thread *t;
    Frame *f;
    Value trip;
    Status st;
    Value out;
    uint32_t ncarry;
    kiln_variable **carried;
} Close;

static void open_body(void *arg)
{
    Close *c = arg;
    Trace *tr = c->t->trace;
    Frame *f = ARENA_NEW(tr->arena, Frame);
    f->trace = tr;
    f->parent = tr->frame;
    f->g = graph_new(tr->module, arena_printf(tr->arena, "for%u", tr->module->graph.len));
    f->captured.arena = tr->arena;
    graph_param(f->g, &index_type, (Loc){0});
    *VEC_PUSH(tr->arena, &f->outer) = 0;
    c->f = f;
}

static bool carries(const Frame *f, const Slot *s)
{
    if (!s->assigned) /* or forgotten: a local that went */
        return false;
    return s->variable->frame != f || s->variable->trace_id != f->trace->id;
}

static uint32_t param_of(const Graph *g, Value v)
{
    uint32_t i = 0;
    while (g->param.at[i] != v) i++;
    return i;
}

/* The trip count as a size: known, or one that the loop makes. */
static Dim steps(const Graph *g, Value trip)
{
    const Node *n = graph_maker(g, trip);
    if (n->op == OP_dim_size) return n->attr->at[0];
    if (n->op == OP_constant && n->attr->at[1] <= DIM_MAX) return MAX_OF(n->attr->at[1], 0);
    return dim_made(&g->module->dims, arena_printf(g->module->arena, "steps%u", g->module->graph.len));
}

/* Parameters in the order that scan wants: index, carries, the rest. Operands alike. */
static void close_body(void *arg)
{
    Close *c = arg;
    Frame *f = c->f;
    Arena *a = f->trace->arena;
    Graph *g = f->g;
    uint32_t n = g->param.len, at = 1;
    Value *param = ARENA_ARRAY(a, Value, n), *operand = ARENA_ARRAY(a, Value, n);
    bool *placed = ARENA_ARRAY(a, bool, n);
    c->carried = ARENA_ARRAY(a, kiln_variable *, f->slot.len + 1);
    param[0] = g->param.at[0];
    operand[0] = c->trip;
    placed[0] = true;
    for (uint32_t i = 0; i < f->slot.len; i++) {
        const Slot *s = &f->slot.at[i];
        if (!carries(f, s)) {
            if (s->entry)
                frame_pass_reads(f, s); /* of a variable that the block turned out not to assign */
            continue;
        }
        uint32_t p = param_of(g, s->entry);
        param[at] = s->entry;
        operand[at++] = f->outer.at[p];
        placed[p] = true;
        graph_result(g, s->now);
        c->carried[c->ncarry++] = s->variable;
    }
    for (uint32_t i = 1; i < n; i++)
        if (!placed[i]) {
            param[at] = g->param.at[i];
            operand[at++] = f->outer.at[i];
        }
    for (uint32_t i = 0; i < n; i++) {
        Attr *number = arena_alloc(a, sizeof(Attr) + sizeof(int64_t));
        number->len = 1;
        number->at[0] = i;
        g->param.at[i] = param[i];
        g->node.at[g->value.at[param[i]].node].attr = number;
    }
    bool acts = false; /* a loop may be there for its effects alone */
    for (uint32_t i = 0; i < g->node.len; i++) acts |= node_has_effect(g->module, &g->node.at[i]);
    if (c->ncarry || acts)
        c->out = graph_append(f->parent->g, OP_scan, operand, n,
            (int64_t[]){g->index, c->ncarry, 0, 0, 0, steps(f->parent->g, c->trip)}, 6, f->loc, &c->st);
}

/* Tapes outside the loop cannot tell the iterations' reads of an assigned variable apart. */
static void note_assigned(Thread *t, const Frame *f, kiln_variable *v)
{
    for (kiln_tape *tape = t->tape; tape && !v->local; tape = tape->outer)
        if (tape->recording && tape->frame && tape->frame != f && frame_encloses(tape->frame, f))
            tape_note(tape, v, 0, 0);
}

static void close_frame(Thread *t, kiln_loop *l)
{
    Trace *tr = t->trace;
    Frame *f = tr->frame;
    kiln_site at = {f->loc.file, f->loc.line};
    Close c = {.t = t, .f = f, .trip = (Value)l->count};
    bool ok = arena_try(tr->arena, &c.st, close_body, &c) && !c.st.code;
    tr->frame = f->parent;
    if (!ok) {
        fail_status(t, at, &c.st);
        return;
    }
    for (uint32_t i = 0; i < c.ncarry; i++) {
        note_assigned(t, f, c.carried[i]);
        trace_assign(t, at, c.carried[i], tensor_traced(t, at, f->parent, c.out + i));
    }
}

static bool next_traced(Thread *t, kiln_loop *l)
{
    if (l->state == LOOP_START) {
        Close c = {.t = t};
        l->state = LOOP_DONE;
        if (!arena_try(t->trace->arena, &c.st, open_body, &c)) {
            fail_status(t, (kiln_site){NULL, 0}, &c.st);
            return false;
        }
        c.f->loc = (Loc){l->site.file, l->site.line};
        t->trace->frame = c.f;
        l->scope = kiln_scope_open(l->k);
        l->index = tensor_traced(t, (kiln_site){NULL, 0}, c.f, c.f->g->param.at[0]);
        l->state = LOOP_BODY;
        return true;
    }
    bool broke = l->state == LOOP_BODY;
    l->state = LOOP_DONE;
    if (broke) {
        fail(t, (kiln_site){t->trace->frame->loc.file, t->trace->frame->loc.line}, KILN_ESTATE,
            "break out of a traced loop: the number of iterations cannot depend on the host; mask "
            "with kiln_where");
        t->trace->frame = t->trace->frame->parent;
    } else {
        close_frame(t, l);
    }
    kiln_scope_close(&l->scope);
    return false;
}

/* ---- what the macro calls -------------------------------------------------------------------------------------- */
kiln_loop kiln_for_begin_at(kiln_site at, kiln *k, kiln_operand count)
{
    kiln_loop l = {.k = k, .state = LOOP_DONE, .site = at};
    Thread *t = thread_of(k);
    kiln_tensor *n = t ? operand_tensor(t, at, count, &index_type) : NULL;
    if (!tensor_ok(n)) return l;
    if (n->type.rank || !dtype_is_int(n->type.dtype)) {
        char text[96];
        fail(t, at, KILN_EDTYPE, "for: the number of iterations is an integer scalar, not %s",
            tensor_text(n, text, sizeof text));
        return l;
    }
    if (t->trace) {
        n = cast_to(t, at, n, DT_i64);
        l.count = tensor_ok(n) ? trace_value(t, at, n) : 0;
        if (!l.count) return l;
        l.id = t->trace->id;
    } else {
        l.count = kiln_item_i64_at(at, kiln_of_tensor(n));
    }
    l.state = LOOP_START;
    return l;
}

bool kiln_for_next(kiln_loop *l)
{
    Thread *t = l->state == LOOP_DONE ? NULL : thread_of(l->k);
    if (!t) return false;
    return l->id ? next_traced(t, l) : next_eager(t, l);
}

void kiln_for_end(kiln_loop *l)
{
    if (l->state != LOOP_BODY && l->state != LOOP_ENDED_BODY) return; /* ended by kiln_for_next */
    Thread *t = thread_of(l->k);
    if (l->id && t && t->trace && t->trace->id == l->id) {
        fail(t, (kiln_site){t->trace->frame->loc.file, t->trace->frame->loc.line}, KILN_ESTATE,
            "return or goto out of a traced loop; let the block end, and return a kiln_local's "
            "value after it");
        t->trace->frame = t->trace->frame->parent ? t->trace->frame->parent : t->trace->frame;
    }
    kiln_scope_close(&l->scope);
    l->state = LOOP_DONE;
}
