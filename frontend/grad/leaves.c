/* leaves: what a gradient is taken with respect to, as values of the tape's graph; and why a gradient is zero. In eager code a tape
 * holds what depends on its leaves and nothing else; inside a trace that is found out by following the frame's graph, so that both
 * know the same tensors. Relies on passes/reach.h. */
#include "grad.h"

#include <stdio.h>

static const Graph *graph_of(const kiln_tape *tape) { return tape->frame ? tape->frame->g : tape->g; }

static const Reach *tape_reach(const kiln_tape *tape, Arena *arena, const Value *leaf, uint32_t leaves)
{
    const Graph *g = graph_of(tape);
    const uint32_t last = tape->frame && !tape->recording ? tape->stopped : g->node.len;
    return reach_from(arena, g, tape->first, last, tape->gap.at, tape->gap.len, leaf, leaves);
}

static bool stands_for(const TapeRead *r, kiln_operand x)
{
    if (!r->leaf) return false;
    return x.kind == 2 ? r->variable == x.as.variable : !r->variable && r->uid == x.as.tensor->uid;
}

static bool is_noted(const kiln_tape *tape, kiln_operand x)
{
    for (uint32_t i = 0; i < tape->read.len; i++)
        if (stands_for(&tape->read.at[i], x)) return true;
    return false;
}

const Reach *tape_reach_asked(const kiln_tape *tape, Arena *arena, const kiln_operand *x, int count)
{
    int noted = 0;
    while (tape->frame && noted < count && (x[noted].kind == 2 || is_noted(tape, x[noted]))) noted++;
    if (!tape->frame || noted == count) return NULL;
    Value *leaf = ARENA_ARRAY(arena, Value, tape->read.len + 1);
    uint32_t n = 0;
    for (uint32_t i = 0; i < tape->read.len; i++)
        if (tape->read.at[i].leaf) leaf[n++] = tape->read.at[i].leaf;
    return tape_reach(tape, arena, leaf, n);
}

/* The value of a tensor that was not watched itself, but computed from watched ones. */
static Value computed(const kiln_tape *tape, const kiln_tensor *x, const Reach *known)
{
    if (tape->frame)
        return x->state == TENSOR_TRACED && x->frame == tape->frame && known && known[x->value].how != REACH_NOT ? x->value : 0;
    return tape_tracked(tape, x);
}

typedef struct Computed {
    kiln_tape *tape;
    Arena scratch;
    kiln_operand x;
    Value v;
} Computed;

static void computed_body(void *arg)
{
    Computed *c = arg;
    c->v = computed(c->tape, c->x.as.tensor, tape_reach_asked(c->tape, &c->scratch, &c->x, 1));
}

/* The tensor is an input, or older than the tape. */
static bool is_given(const kiln_tape *tape, const kiln_tensor *x)
{
    if (!tape->read.len || x->state != TENSOR_TRACED || x->frame != tape->frame) return true;
    const uint32_t node = tape->frame->g->value.at[x->value].node;
    return node < tape->first || tape->frame->g->node.at[node].op == OP_param;
}

Value tape_computed(kiln_tape *tape, kiln_tensor *x)
{
    Status st = {0};
    Computed c = {.tape = tape, .x = kiln_of_tensor(x)};
    if (is_given(tape, x)) return 0;
    arena_init(&c.scratch);
    arena_try(&c.scratch, &st, computed_body, &c); /* without memory the tensor is watched anew */
    arena_free(&c.scratch);
    return c.v;
}

uint32_t tape_leaves(const kiln_tape *tape, kiln_operand x, const Reach *known, Value *leaf, uint32_t cap)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < tape->read.len; i++) {
        const TapeRead *r = &tape->read.at[i];
        if (!stands_for(r, x)) continue;
        if (n < cap) leaf[n] = r->leaf;
        n++;
        if (x.kind == 1) return n; /* watched twice: the first is the tensor itself */
    }
    if (n || x.kind != 1) return n;
    Value own = computed(tape, x.as.tensor, known);
    if (own && cap) leaf[0] = own;
    return own != 0;
}

const Type *tape_asked_type(kiln_operand x) { return x.kind == 2 ? &x.as.variable->type : &x.as.tensor->type; }

/* ---- why a gradient is zero --------------------------------------------------------------------------------------------- */
typedef struct Why {
    kiln_tape *tape;
    kiln_operand x;
    const char *text;
} Why;

static void why_body(void *arg)
{
    Why *w = arg;
    kiln_tape *tape = w->tape;
    const Reach *known = tape_reach_asked(tape, &tape->arena, &w->x, 1);
    uint32_t n = tape_leaves(tape, w->x, known, NULL, 0);
    Value *leaf = ARENA_ARRAY(&tape->arena, Value, n + 1);
    tape_leaves(tape, w->x, known, leaf, n);
    if (n == 0) {
        w->text = w->x.kind == 2 ? "the variable was not read while the tape recorded"
                                 : "the tensor was neither watched nor computed from what was while the tape recorded";
        return;
    }
    const Reach *reach = tape_reach(tape, &tape->arena, leaf, n);
    const Reach r = tape->last_y ? reach[tape->last_y] : (Reach){0};
    w->text = r.how == REACH_NOT ? "the result does not depend on it" : "a gradient flows";
    if (r.how != REACH_WITHOUT_GRADIENT) return;
    snprintf(tape->why, sizeof tape->why, "the result depends on it only through %s (%s:%d), which passes no gradient",
        op_def[r.stop->op].name, r.stop->loc.file ? r.stop->loc.file : "?", r.stop->loc.line);
    w->text = tape->why;
}

const char *kiln_grad_why(kiln_tape *tape, kiln_operand x)
{
    if (!tape) return "the tape is NULL";
    if (tape->closed) return "the tape's scope closed";
    if ((x.kind != 1 || !tensor_ok(x.as.tensor)) && (x.kind != 2 || !x.as.variable || !x.as.variable->alive))
        return "what is asked about is neither a live tensor nor a variable";
    if (!dtype_is_float(tape_asked_type(x)->dtype)) return "its elements are no floats: nothing flows to integers and bools";
    Why w = {tape, x, "no memory to find out"};
    bordered(tape->t, (kiln_site){tape->loc.file, tape->loc.line}, &tape->arena, why_body, &w);
    return w.text;
}
