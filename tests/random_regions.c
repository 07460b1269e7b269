/* random_regions: loops and branches of random graphs: bodies drawn like any graph, from parameters alone. Relies on random_graph.h. */
#include "random_graph.h"

#include <math.h>

static Maker open_body(const Maker *k, const char *what)
{
    Module *m = k->g->module;
    Maker b = *k;
    b.g = graph_new(m, arena_printf(m->arena, "%s%u", what, m->graph.len));
    b.body = true;
    b.depth++;
    b.size.at = NULL;
    b.size.len = b.size.cap = 0;
    return b;
}

static Dim made(const Graph *body)
{
    Module *m = body->module;
    return dim_made(&m->dims, arena_printf(m->arena, "T%u", body->index));
}

/* ---- loops that count ----------------------------------------------------------------------------------------------------- */
static bool can_stack(const Type *t)
{
    return t->rank >= 1 && t->dim[0] >= 0 && t->dim[0] <= 9;
}

/* A value of type t at the end of a body. */
static Value body_result(Maker *b, const Type *t)
{
    Value v = maker_want(b, t);
    return dtype_is_float((DType)t->dtype) && b->size.at[v] > 1 ? maker_append(b, OP_tanh, &v, 1, NULL, 0, 1) : v;
}

typedef struct ScanPlan {
    Value in[1 + 2 + 2 + 2];
    uint32_t nin, carries, xs;
    int64_t n;
    bool hidden;
} ScanPlan;

static void plan_scan(Maker *k, ScanPlan *s)
{
    s->n = random_chance(k->r, 5) ? 0 : 1 + random_below(k->r, 5);
    s->nin = 1;
    s->carries = (uint32_t)random_below(k->r, 3);
    for (uint32_t i = 0; i < s->carries; i++) {
        Type t = maker_shape(k, random_chance(k->r, 75) ? DT_f32 : maker_dtype(k));
        if (maker_elements(k, &t) > 600) t.rank = 0;
        t.rank = MIN_OF(t.rank, MAX_RANK - 1); /* the gradient stacks carries */
        s->in[s->nin++] = maker_want(k, &t);
    }
    uint32_t xs = (uint32_t)random_below(k->r, 3);
    for (uint32_t i = 0; i < xs; i++) {
        Value v = s->xs == 0 ? maker_pick(k, can_stack) : 0;
        Type t = v != 0 ? *graph_type(k->g, v) : maker_shape(k, maker_dtype(k));
        if (t.rank == 0) t.rank = 1;
        if (s->xs == 0) s->n = v != 0 ? t.dim[0] : s->n;
        t.dim[0] = s->n;
        if (maker_elements(k, &t) > 6000) t.rank = 1;
        s->in[s->nin++] = v != 0 ? v : maker_want(k, &t);
        s->xs++;
    }
    uint32_t fixed = (uint32_t)random_below(k->r, 3);
    for (uint32_t i = 0; i < fixed; i++) {
        Value v = maker_pick(k, NULL);
        if (v != 0 && maker_elements(k, graph_type(k->g, v)) <= 3000) s->in[s->nin++] = v;
    }
    s->in[0] = maker_append(k, random_chance(k->r, 50) ? OP_constant : OP_dim_size, NULL, 0, (int64_t[]){DT_i64, s->n}, 2, 10);
    if (s->in[0] == 0) s->in[0] = maker_append(k, OP_dim_size, NULL, 0, &s->n, 1, 10);
    s->hidden = s->xs == 0 && s->carries != 0 && random_chance(k->r, 30);
    if (s->hidden) /* a size that nobody could tell from the graph */
        s->in[0] = maker_append(k, OP_max, (Value[]){s->in[0], s->in[0]}, 2, NULL, 0, 10);
}

static void body_params(Maker *k, Maker *b, const ScanPlan *s)
{
    for (uint32_t i = 0; i < s->nin; i++) {
        Type t = *graph_type(k->g, s->in[i]);
        if (i > s->carries && i <= s->carries + s->xs) memmove(t.dim, t.dim + 1, --t.rank * sizeof *t.dim);
        Value v = graph_param(b->g, &t, (Loc){0});
        maker_note_size(b, v, i > 0 && i <= s->carries ? fmax(k->size.at[s->in[i]], 1) : i == 0 ? 10 : k->size.at[s->in[i]]);
    }
}

static Value make_scan(Maker *k)
{
    ScanPlan s = {.nin = 0};
    plan_scan(k, &s);
    for (uint32_t i = 0; i < s.nin; i++)
        if (s.in[i] == 0) return 0;
    Maker b = open_body(k, "body");
    body_params(k, &b, &s);
    if (!maker_fill(&b, 2 + (uint32_t)random_below(k->r, 8))) return 0;
    for (uint32_t i = 0; i < s.carries; i++) graph_result(b.g, body_result(&b, graph_type(k->g, s.in[1 + i])));
    uint32_t ys = s.hidden ? 0 : (uint32_t)random_below(k->r, 3) + (s.carries == 0);
    for (uint32_t i = 0; i < ys; i++) graph_result(b.g, maker_pick(&b, NULL));
    const int64_t attr[6] = {b.g->index, s.carries, s.xs, ys, random_below(k->r, 2), s.hidden ? made(b.g) : s.n};
    return maker_append(k, OP_loop, s.in, s.nin, attr, 6, 1e5);
}

/* ---- loops with a condition ---------------------------------------------------------------------------------------------------- */

static bool can_carry(const Type *t) { return t->rank < MAX_RANK; }

/* Turns a fixed number of times, or as long as a counter that it carries lasts. */
static Graph *condition(Maker *k, const Value *in, uint32_t nin, bool counts)
{
    const Type i64 = {.dtype = DT_i64};
    Maker c = open_body(k, "condition");
    Value index = graph_param(c.g, &i64, (Loc){0}), limit = 0;
    maker_note_size(&c, index, 10);
    for (uint32_t i = 0; i < nin; i++) {
        Type t = *graph_type(k->g, in[i]);
        Value p = graph_param(c.g, &t, (Loc){0});
        maker_note_size(&c, p, k->size.at[in[i]]);
        if (i == 0) limit = p;
    }
    int64_t turns[2] = {DT_i64, random_below(k->r, 5)};
    if (!counts) limit = maker_append(&c, OP_constant, NULL, 0, turns, 2, 10);
    Value zero = maker_append(&c, OP_constant, NULL, 0, (int64_t[]){DT_i64, 0}, 2, 1);
    graph_result(c.g, counts ? maker_append(&c, OP_gt, (Value[]){limit, zero}, 2, NULL, 0, 1)
                             : maker_append(&c, OP_lt, (Value[]){index, limit}, 2, NULL, 0, 1));
    return c.g;
}

static Value make_while(Maker *k)
{
    const bool counts = random_chance(k->r, 50);
    Value in[6];
    uint32_t nin = 0, carries;
    if (counts) in[nin++] = maker_append(k, OP_constant, NULL, 0, (int64_t[]){DT_i64, random_below(k->r, 6)}, 2, 10);
    for (uint32_t n = (uint32_t)random_below(k->r, 3) + !counts; n > 0; n--) {
        Value v = maker_pick(k, can_carry);
        if (v != 0 && maker_elements(k, graph_type(k->g, v)) <= 600) in[nin++] = v;
    }
    carries = nin;
    Value fixed = maker_pick(k, NULL);
    if (fixed != 0 && maker_elements(k, graph_type(k->g, fixed)) <= 3000) in[nin++] = fixed;
    for (uint32_t i = 0; i < nin; i++)
        if (in[i] == 0) return 0;
    Graph *c = condition(k, in, nin, counts);
    Maker b = open_body(k, "body");
    const Type i64 = {.dtype = DT_i64};
    maker_note_size(&b, graph_param(b.g, &i64, (Loc){0}), 10);
    for (uint32_t i = 0; i < nin; i++) {
        Type t = *graph_type(k->g, in[i]);
        maker_note_size(&b, graph_param(b.g, &t, (Loc){0}), fmax(k->size.at[in[i]], 1));
    }
    if (!maker_fill(&b, 2 + (uint32_t)random_below(k->r, 6))) return 0;
    for (uint32_t i = 0; i < carries; i++) {
        Value one = i == 0 && counts ? maker_append(&b, OP_constant, NULL, 0, (int64_t[]){DT_i64, 1}, 2, 1) : 0;
        graph_result(b.g, one != 0 ? maker_append(&b, OP_sub, (Value[]){b.g->param.at[1], one}, 2, NULL, 0, 10)
                                   : body_result(&b, graph_type(k->g, in[i])));
    }
    const int64_t attr[7] = {b.g->index, carries, 0, 0, 0, random_chance(k->r, 30) ? 8 : made(b.g), c->index};
    Value operand[7] = {maker_append(k, OP_constant, NULL, 0, (int64_t[]){DT_i64, attr[5] == 8 ? 8 : INT64_MAX}, 2, 10)};
    memcpy(operand + 1, in, nin * sizeof *in);
    return operand[0] != 0 ? maker_append(k, OP_loop, operand, nin + 1, attr, 7, 1e5) : 0;
}

/* ---- branch --------------------------------------------------------------------------------------------------- */

static bool can_select(const Type *t)
{
    return t->rank == 0 && (t->dtype == DT_bool || dtype_is_int((DType)t->dtype));
}

static Value make_branch(Maker *k)
{
    Value in[5];
    uint32_t nin = 1;
    Type result[3];
    in[0] = maker_pick(k, can_select);
    if (in[0] == 0) in[0] = maker_want(k, &(Type){.dtype = random_chance(k->r, 50) ? DT_bool : DT_i32});
    for (uint32_t n = 1 + (uint32_t)random_below(k->r, 4); n > 0; n--) {
        Value v = maker_pick(k, NULL);
        if (v != 0 && maker_elements(k, graph_type(k->g, v)) <= 6000) in[nin++] = v;
    }
    uint32_t cases = graph_type(k->g, in[0])->dtype == DT_bool ? 2 : 1 + (uint32_t)random_below(k->r, 4), results = 1 + (uint32_t)random_below(k->r, 3);
    int64_t attr[4];
    for (uint32_t c = 0; c < cases; c++) {
        Maker b = open_body(k, "case");
        maker_note_size(&b, 0, 0);
        for (uint32_t i = 1; i < nin; i++) {
            Type t = *graph_type(k->g, in[i]);
            maker_note_size(&b, graph_param(b.g, &t, (Loc){0}), k->size.at[in[i]]);
        }
        if (!maker_fill(&b, 1 + (uint32_t)random_below(k->r, 6))) return 0;
        for (uint32_t i = 0; i < results; i++) {
            Value v = c == 0 ? maker_pick(&b, NULL) : maker_want(&b, &result[i]);
            if (v == 0) return 0;
            result[i] = *graph_type(b.g, v);
            graph_result(b.g, v);
        }
        attr[c] = b.g->index;
    }
    return maker_append(k, OP_branch, in, nin, attr, cases, 1e5);
}

Value maker_region(Maker *k, Op op)
{
    return op == OP_branch ? make_branch(k) : random_chance(k->r, 50) ? make_scan(k) : make_while(k);
}
