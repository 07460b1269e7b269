/* random_graph: the generator's core: types, values found or made, the draw, scan bodies, gradients, inputs. The ops one by one:
 * random_ops.c. Relies on random_graph.h, passes/reverse.h. */
#include "random_graph.h"

#include <math.h>

#include "ir/sizes.h"
#include "passes/reverse.h"

#define MOST_ELEMENTS 6000
#define MOST_PARAMS 10
#define MOST_BOUND 1000000 /* elements at the upper bounds, which is what compiled code has room for */

/* ---- types ------------------------------------------------------------------------------------------------ */

DType maker_dtype(Maker *k)
{
    static const uint8_t mostly[] = {DT_f32, DT_f32, DT_f32, DT_f32, DT_f32, DT_f32, DT_f64, DT_f64, DT_i32, DT_i64, DT_u8, DT_bool};
    if (random_chance(k->r, 8)) return (DType)(1 + random_below(k->r, DT_COUNT - 1));
    return (DType)mostly[random_below(k->r, COUNT_OF(mostly))];
}

int64_t maker_extent_of(const Maker *k, Dim d)
{
    return dim_eval(&k->g->module->dims, d, k->sizes);
}

int64_t maker_elements(const Maker *k, const Type *t)
{
    int64_t n = 1;
    for (uint32_t i = 0; i < t->rank; i++) n *= maker_extent_of(k, t->dim[i]);
    return n;
}

Dim maker_extent(Maker *k)
{
    static const int16_t some[] = {1, 1, 2, 3, 7, 7, 8, 8, 9, 9, 31, 32, 33, 33, 257};
    if (k->symbol != DIM_BAD && random_chance(k->r, 30)) return k->symbol;
    if (random_chance(k->r, 2)) return 0;
    return some[random_below(k->r, COUNT_OF(some))];
}

Type maker_shape(Maker *k, DType t)
{
    static const int32_t long_axis[] = {63, 65, 1023, 1025, 4095, 4097, 5000, 8193, 32769, 40001};
    Type type = {.dtype = (uint8_t)t};
    int64_t most = k->body ? 300 : MOST_ELEMENTS, n = 1, bound = 1;
    uint32_t rank = (uint32_t)random_below(k->r, random_chance(k->r, 5) ? MAX_RANK + 1 : 4);
    for (uint32_t i = 0; i < rank; i++) {
        Dim d = maker_extent(k);
        const DimTable *dims = &k->g->module->dims;
        if (n * maker_extent_of(k, d) > most || bound * dim_hi(dims, d) > MOST_BOUND) d = 1 + random_below(k->r, 2);
        n *= MAX_OF(maker_extent_of(k, d), 1);
        bound *= MAX_OF(dim_hi(dims, d), 1);
        type.dim[type.rank++] = d;
    }
    if (k->large && !k->body && random_chance(k->r, k->g->param.len == 0 ? 100 : 10)) {
        type.rank = (uint8_t)MAX_OF(MIN_OF(type.rank, 2), 1);
        for (uint32_t i = 0; i < type.rank; i++) type.dim[i] = 1 + random_below(k->r, 3);
        type.dim[random_below(k->r, type.rank)] = long_axis[random_below(k->r, COUNT_OF(long_axis))];
    }
    return type;
}

/* ---- values ----------------------------------------------------------------------------------------------- */

void maker_note_size(Maker *k, Value v, double size)
{
    while (k->size.len <= v) *VEC_PUSH(k->g->module->arena, &k->size) = 2;
    k->size.at[v] = size;
}

/* What asks for an element at least has none to ask for where a size was counted to 0. */
static bool asks_nothing(Maker *k, Op op, const Value *in, uint32_t nin, const int64_t *attr, uint32_t nattr)
{
    if (op != OP_gather && op != OP_scatter && op != OP_reduce_max && op != OP_reduce_min && op != OP_argmax && op != OP_argmin) return false;
    const Type *t = graph_type(k->g, in[0]);
    const uint32_t axes = op == OP_reduce_max || op == OP_reduce_min ? nattr : 1;
    for (uint32_t i = 0; i < axes && nin != 0; i++)
        if (attr[i] < t->rank && dim_is_counted(&k->g->module->dims, t->dim[attr[i]])) return true;
    return false;
}

Value maker_append(Maker *k, Op op, const Value *in, uint32_t nin, const int64_t *attr, uint32_t nattr, double size)
{
    for (uint32_t i = 0; i < nin; i++)
        if (in[i] == 0) return 0;
    if (asks_nothing(k, op, in, nin, attr, nattr)) return 0;
    *k->st = (Status){0};
    Infer inf;
    if (!infer_node(&inf, k->g, op, in, nin, attr, nattr, k->st)) return 0;
    for (uint32_t i = 0; i < inf.nout; i++) {
        DimTable *dims = &k->g->module->dims;
        if (maker_elements(k, &inf.out[i]) > 70000 || dim_hi(dims, type_elements(dims, &inf.out[i])) > MOST_BOUND) return 0;
    }
    Value v = graph_append(k->g, op, in, nin, attr, nattr, (Loc){0}, k->st);
    if (v == 0) return 0;
    k->drawn[op]++;
    for (uint32_t i = 0; i < inf.nout; i++) maker_note_size(k, v + i, size);
    return v;
}

Value maker_pick(Maker *k, bool (*fits)(const Type *))
{
    /* Recent ones first, so that graphs grow deep. */
    for (int tries = 0; tries < 40 && k->g->value.len > 1; tries++) {
        int64_t n = k->g->value.len - 1, back = tries < 20 ? random_below(k->r, MIN_OF(n, 8)) : random_below(k->r, n);
        Value v = (Value)(n - back);
        if (fits == NULL || fits(graph_type(k->g, v))) return v;
    }
    return 0;
}

static Value new_constant(Maker *k, const Type *t)
{
    int64_t attr[2 + MAX_RANK] = {t->dtype, random_below(k->r, 3)};
    uint64_t room = 0;
    if (t->dtype == DT_bool) attr[1] &= 1;
    if (dtype_is_float((DType)t->dtype)) {
        dtype_store_f64((DType)t->dtype, &room, random_chance(k->r, 50) ? 4 * random_unit(k->r) - 2 : (double)random_below(k->r, 5) - 2);
        attr[1] = attr_of_f64(dtype_load_f64((DType)t->dtype, &room));
    }
    memcpy(attr + 2, t->dim, t->rank * sizeof *attr);
    return maker_append(k, OP_constant, NULL, 0, attr, 2u + t->rank, 2);
}

static Value same_type(Maker *k, const Type *t)
{
    Value found[64];
    uint32_t n = 0;
    for (Value v = k->g->value.len - 1; v > 0 && n < COUNT_OF(found); v--)
        if (type_equal(graph_type(k->g, v), t)) found[n++] = v;
    return n == 0 ? 0 : found[random_below(k->r, n)];
}

static bool same_shape(const Type *a, const Type *b)
{
    return a->rank == b->rank && memcmp(a->dim, b->dim, a->rank * sizeof *a->dim) == 0;
}

/* Something of another dtype, or of fewer axes, made to fit. */
static Value adapted(Maker *k, const Type *t)
{
    for (int tries = 0; tries < 20; tries++) {
        Value v = maker_pick(k, NULL);
        if (v == 0) return 0;
        const Type x = *graph_type(k->g, v);
        Type wide = {.dtype = x.dtype};
        if (!same_shape(&x, t) && (!shape_broadcast(&k->g->module->dims, &x, t, &wide) || !same_shape(&wide, t))) continue;
        if (x.dtype != t->dtype) v = maker_append(k, OP_cast, &v, 1, (int64_t[]){t->dtype}, 1, k->size.at[v]);
        if (v != 0 && !same_shape(&x, t)) v = maker_append(k, OP_broadcast, &v, 1, t->dim, t->rank, k->size.at[v]);
        if (v != 0) return v;
    }
    return 0;
}

static bool is_counted(const Maker *k, const Type *t)
{
    bool any = false;
    for (uint32_t i = 0; i < t->rank; i++) any |= dim_is_counted(&k->g->module->dims, t->dim[i]);
    return any;
}

Value maker_want(Maker *k, const Type *t)
{
    Value v = 0;
    if (random_chance(k->r, 75)) v = same_type(k, t);
    if (v == 0 && (k->body || random_chance(k->r, 60))) v = adapted(k, t);
    if (v == 0 && !k->body && k->g->param.len < MOST_PARAMS && random_chance(k->r, 80) && !is_counted(k, t)) {
        v = graph_param(k->g, t, (Loc){0});
        k->drawn[OP_param]++;
        maker_note_size(k, v, dtype_is_float((DType)t->dtype) ? 2 : 10);
    }
    return v != 0 ? v : new_constant(k, t);
}

Value maker_tame(Maker *k, Value v)
{
    if (v == 0) return 0;
    const Type t = *graph_type(k->g, v);
    double size = k->size.at[v];
    if (!dtype_is_float((DType)t.dtype) || size <= 8 || !k->sane) return v;
    if (size > 1e4 || random_chance(k->r, 50)) return maker_append(k, OP_tanh, &v, 1, NULL, 0, 1);
    int64_t attr[2 + MAX_RANK] = {t.dtype, attr_of_f64(ldexp(1, -(int)ceil(log2(size))))};
    memcpy(attr + 2, t.dim, t.rank * sizeof *attr);
    Value scale = maker_append(k, OP_constant, NULL, 0, attr, 2u + t.rank, 1);
    return maker_append(k, OP_mul, (Value[]){v, scale}, 2, NULL, 0, 1);
}

/* ---- the draw ------------------------------------------------------------------------------------------------- */

bool random_factors, random_counts;

const char *random_cannot(Op op)
{
    if (op_def[op].flags & OPF_EFFECT) return "an effect, whose record is the front end's";
    switch (op) {
    case OP_none: return "no op";
    case OP_kernel: return "passes make it";
    case OP_call: return "it is on tapes alone";
    case OP_custom: return "a callback of the front end";
    case OP_saved: return "gradients of compiled calls make it";
    default: return op_by_lapack(op) && !random_factors ? "no LAPACK" : NULL;
    }
}

/* A loop is one of two kinds, and comes up as often as two ops. */
static uint64_t drawn(const Maker *k, Op op) { return op == OP_loop ? k->drawn[op] / 2 : k->drawn[op]; }

/* The rarest of a few: all come up alike, whatever else they are made for. Bodies are short, so what is nested deeper has a chance of
 * its own there. */
static Op draw(Maker *k)
{
    Op best = OP_none;
    if (k->depth > 0 && k->depth < 3 && random_chance(k->r, 8)) return random_chance(k->r, 50) ? OP_loop : OP_branch;
    for (int i = 0; i < 3; i++) {
        Op op = (Op)(1 + random_below(k->r, OP_COUNT - 1));
        bool can = random_can_draw(op) && op != OP_param && !(op_def[op].flags & OPF_REGION && k->depth >= 3);
        if (can && (best == OP_none || drawn(k, op) < drawn(k, best))) best = op;
    }
    return best;
}

bool maker_fill(Maker *k, uint32_t nodes)
{
    uint32_t last = k->g->node.len + nodes;
    for (uint32_t tries = 0; k->g->node.len < last && tries < 20 * nodes; tries++) {
        const Op op = draw(k);
        const uint32_t before = k->g->node.len;
        if (op == OP_none) continue;
        if (op == OP_set_size || random_chance(k->r, k->depth == 0 ? 8 : 2)) {
            maker_tame(k, maker_composed(k, op == OP_set_size));
            last += k->g->node.len - before; /* which leaves as much for others */
        } else {
            maker_tame(k, op_def[op].flags & OPF_REGION ? maker_region(k, op) : maker_build(k, op));
        }
        if (k->st->code == ST_INTERNAL || k->st->code == ST_MEMORY) return false;
    }
    return true;
}

/* ---- whole graphs ------------------------------------------------------------------------------------------------ */

static bool is_float(const Graph *g, Value v)
{
    return dtype_is_float((DType)graph_type(g, v)->dtype);
}

/* Per value: a float that comes from a float parameter through floats. */
static bool *reached(const Graph *g)
{
    bool *from_param = ARENA_ARRAY(g->module->arena, bool, g->value.len);
    for (uint32_t i = 0; i < g->node.len; i++) {
        const Node *n = &g->node.at[i];
        bool any = n->op == OP_param;
        for (uint32_t k = 0; k < n->nin; k++) any |= from_param[n->in[k]];
        for (uint32_t k = 0; k < n->nout; k++) from_param[n->out + k] = any && is_float(g, n->out + k);
    }
    return from_param;
}

/* Cotangents of some float parameters, given ones at the last few float values. */
static bool add_gradient(RandomGraph *rg, Status *st)
{
    Graph *g = rg->g;
    Value x[MOST_PARAMS + 2], dx[MOST_PARAMS + 2], y[4];
    uint32_t nx = 0, ny = 0;
    const bool *flows = reached(g);
    for (uint32_t i = 0; i < g->param.len && nx < COUNT_OF(x); i++)
        if (is_float(g, g->param.at[i])) x[nx++] = g->param.at[i];
    for (Value v = g->value.len - 1; v > 0 && ny < COUNT_OF(y); v--)
        if (flows[v] && graph_maker(g, v)->nin != 0) y[ny++] = v;
    GraphEmit ge;
    graph_emit_init(&ge, g, st);
    Reverse r = {.e = &ge.e, .g = g, .last = g->node.len, .y = y, .ny = ny, .x = x, .nx = nx, .dx = dx,
                 .scratch = rg->m->arena, .st = st};
    if (!reverse_walk(&r)) return false;
    for (uint32_t i = 0; i < nx; i++)
        if (dx[i] != 0) graph_result(g, dx[i]);
    return true;
}

/* As traces do: the sizes that results have and nodes count are results, too. */
static void add_counts(Graph *g)
{
    const DimTable *dims = &g->module->dims;
    const uint32_t results = g->result.len;
    bool *named = arena_zeros(g->module->arena, dims->expr.len + 1u, sizeof *named);
    for (uint32_t i = 0; i < results; i++)
        for (uint32_t d = 0; d < graph_type(g, g->result.at[i])->rank; d++) size_names(dims, graph_type(g, g->result.at[i])->dim[d], named);
    for (uint32_t i = 0; i < dims->expr.len; i++)
        if (named[i]) graph_result(g, graph_append(g, OP_dim_size, NULL, 0, (int64_t[]){-1 - (int64_t)i}, 1, (Loc){0}, &(Status){0}));
}

static bool may_result(const Maker *k, Value v) { return random_counts || !is_counted(k, graph_type(k->g, v)); }

static void choose_results(Maker *k)
{
    Graph *g = k->g;
    Value last = g->value.len - 1;
    while (last > 1 && !may_result(k, last)) last--;
    graph_result(g, last);
    for (int i = (int)random_below(k->r, 4); i > 0; i--) {
        const Value v = maker_pick(k, NULL);
        if (may_result(k, v)) graph_result(g, v);
    }
    for (uint32_t i = 0; i + 1 < g->result.len; i++)
        for (uint32_t j = i + 1; j < g->result.len; j++)
            if (g->result.at[i] == g->result.at[j]) g->result.at[j--] = g->result.at[--g->result.len];
    add_counts(g);
}

bool random_graph(RandomGraph *rg, Arena *arena, uint64_t seed, bool gradient, Status *st)
{
    Random r = {seed};
    Status refused = {0};
    *rg = (RandomGraph){.m = module_new(arena), .seed = seed, .gradient = gradient};
    rg->g = graph_new(rg->m, "main");
    Maker k = {.r = &r, .g = rg->g, .st = &refused, .drawn = rg->drawn, .symbol = DIM_BAD, .sizes = rg->symbol, .composed = rg->composed, .given = &rg->given};
    static const int16_t lengths[] = {1, 7, 8, 9, 31, 32, 33, 257};
    rg->specials = random_chance(&r, 12);
    k.sane = random_chance(&r, 85);
    k.large = random_chance(&r, 10);
    if (random_chance(&r, 20)) {
        k.symbol = dim_symbol(&rg->m->dims, "N", 1, 300);
        k.symbol_value = rg->symbol[0] = lengths[random_below(&r, COUNT_OF(lengths))];
    }
    maker_note_size(&k, 0, 0);
    for (int i = 0; i < 2; i++) {
        Type t = maker_shape(&k, i == 0 ? DT_f32 : maker_dtype(&k));
        maker_note_size(&k, graph_param(rg->g, &t, (Loc){0}), dtype_is_float((DType)t.dtype) ? 2 : 10);
        rg->drawn[OP_param]++;
    }
    if (!maker_fill(&k, 5 + (uint32_t)random_below(&r, random_chance(&r, 50) ? 15 : 56)))
        return status_fail(st, refused.code, "%s", refused.text);
    choose_results(&k);
    if (rg->m->dims.expr.len + 64 > COUNT_OF(rg->symbol)) return status_fail(st, ST_UNSUPPORTED, "too many sizes");
    rg->forward = rg->g->node.len;
    return !gradient || add_gradient(rg, st);
}

/* ---- inputs ---------------------------------------------------------------------------------------------------- */

static double special(Random *r, DType t)
{
    const double some[] = {NAN, dtype_most(t), -dtype_most(t), -0.0, 0.0};
    int64_t i = random_below(r, COUNT_OF(some) + 1);
    if (i < (int64_t)COUNT_OF(some)) return some[i];
    return ldexp(1, dtype_least_exponent(t) - 2); /* a denormal number */
}

static double one_float(const RandomGraph *rg, Random *r, DType t, bool coarse)
{
    if (rg->specials && random_chance(r, 5)) return special(r, t);
    return coarse ? (double)random_below(r, 5) - 2 : 4 * random_unit(r) - 2;
}

static int64_t one_integer(Random *r, DType t, bool small)
{
    if (t == DT_bool) return random_below(r, 2);
    if (!small) return (int64_t)random_next(r);
    return random_below(r, 21) - (dtype_info[t].kind == DK_INT ? 10 : 0);
}

void *random_input(const RandomGraph *rg, Arena *arena, uint32_t i)
{
    if (i < rg->given.len && rg->given.at[i] != NULL) return (void *)(uintptr_t)rg->given.at[i];
    const Type *type = graph_type(rg->g, rg->g->param.at[i]);
    DType t = (DType)type->dtype;
    Random r = {rg->seed * 1000003 + i};
    int64_t n = 1;
    for (uint32_t d = 0; d < type->rank; d++) n *= dim_eval(&rg->m->dims, type->dim[d], rg->symbol);
    bool coarse = random_chance(&r, 15), small = random_chance(&r, 85);
    char *bytes = arena_alloc(arena, (size_t)n * dtype_bytes(t) + 1);
    for (int64_t k = 0; k < n; k++) {
        if (dtype_is_float(t))
            dtype_store_f64(t, bytes + (size_t)k * dtype_bytes(t), one_float(rg, &r, t, coarse));
        else
            dtype_store_i64(t, bytes + (size_t)k * dtype_bytes(t), one_integer(&r, t, small));
    }
    return bytes;
}
