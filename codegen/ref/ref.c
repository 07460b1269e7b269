/* ref: frames (graphs with room for their values), the walk over nodes, and the comparison of an execution with the reference's
 * result. Relies on internal.h. Never knows what an op computes: ref_*.c do. */
#include "internal.h"

#include "../../ir/sizes.h"

#include <math.h>
#include <stdio.h>

/* ---- tensors ----------------------------------------------------------------------------------------- */

static Type concrete(const DimTable *dims, const Type *type, const int64_t *symbol)
{
    Type t = *type;
    for (uint32_t k = 0; k < t.rank; k++)
        t.dim[k] = dim_is_made(dims, t.dim[k]) ? 0 : dim_eval(dims, t.dim[k], symbol); /* its loop makes room */
    return t;
}

RefTensor ref_tensor(Arena *a, const Type *type)
{
    RefTensor t = {.type = *type, .count = 1};
    for (uint32_t k = 0; k < type->rank; k++) t.count *= type->dim[k];
    if (dtype_is_float((DType)type->dtype)) {
        t.f = ARENA_ARRAY(a, double, t.count);
        t.bound = ARENA_ARRAY(a, double, t.count);
    } else {
        t.i = ARENA_ARRAY(a, int64_t, t.count);
    }
    t.undecided = ARENA_ARRAY(a, uint8_t, t.count);
    return t;
}

static void fill(RefTensor *t, const void *bytes)
{
    DType type = (DType)t->type.dtype;
    const char *at = bytes;
    for (int64_t i = 0; i < t->count; i++, at += dtype_bytes(type)) {
        if (t->f)
            t->f[i] = dtype_load_f64(type, at);
        else
            t->i[i] = dtype_load_i64(type, at);
    }
}

RefTensor ref_load(Arena *arena, const Type *type, const void *bytes)
{
    RefTensor t = ref_tensor(arena, type);
    fill(&t, bytes);
    return t;
}

void ref_store(const RefTensor *t, void *bytes)
{
    DType type = (DType)t->type.dtype;
    char *at = bytes;
    for (int64_t i = 0; i < t->count; i++, at += dtype_bytes(type)) {
        if (t->f)
            dtype_store_f64(type, at, t->f[i]);
        else
            dtype_store_i64(type, at, t->i[i]);
    }
}

/* ---- running ------------------------------------------------------------------------------------------ */

static Frame *frame_new(Arena *a, const Graph *g, int64_t *symbol, bool *unsure);

static Frame **frames_of(Arena *a, const Module *m, const Node *n, int64_t *symbol, bool *unsure)
{
    if (!(op_def[n->op].flags & OPF_REGION)) return NULL;
    Frame **f = ARENA_ARRAY(a, Frame *, n->attr->len + 1);
    for (uint32_t i = 0; i < n->attr->len && n->op != OP_call; i++)
        if (op_attr_is_graph((Op)n->op, i)) f[i] = frame_new(a, m->graph.at[n->attr->at[i]], symbol, unsure);
    return f;
}

static Frame *frame_new(Arena *a, const Graph *g, int64_t *symbol, bool *unsure)
{
    Frame *f = ARENA_NEW(a, Frame);
    *f = (Frame){.g = g, .symbol = symbol, .unsure = unsure, .arena = a};
    f->value = ARENA_ARRAY(a, RefTensor, g->value.len);
    f->sub = ARENA_ARRAY(a, Frame **, g->node.len + 1);
    for (uint32_t v = 1; v < g->value.len; v++) {
        Type t = concrete(&g->module->dims, graph_type(g, v), symbol);
        f->value[v] = ref_tensor(a, &t);
    }
    for (uint32_t i = 0; i < g->node.len; i++) {
        const Node *n = &g->node.at[i];
        f->sub[i] = frames_of(a, g->module, n, symbol, unsure);
    }
    return f;
}

static bool (*const outside[OP_COUNT])(Run *r) = {
#define OUTSIDE(name) [OP_##name] = ref_##name,
#include "../../ir/outside.h"
};

static bool run_node(Run *r)
{
    const Op op = (Op)r->node->op;
    const OpDef *def = &op_def[op];
    for (uint32_t k = 0; k < r->node->nout; k++) memset(r->out[k].undecided, 0, (size_t)r->out[k].count);
    if (outside[op]) return outside[op](r);
    switch (op) {
    case OP_cast: return ref_cast(r);
    case OP_bitcast: return ref_bitcast(r);
    case OP_gather: return ref_gather(r);
    case OP_argmax:
    case OP_argmin: return ref_argextreme(r);
    case OP_constant:
    case OP_iota:
    case OP_dim_size:
    case OP_random_bits: return ref_source(r);
    case OP_custom: ref_copy_all(&r->out[0], r->in[0]); return true;
    default: break;
    }
    if (def->flags & OPF_ELEMENTWISE) return ref_elementwise(r);
    if (def->flags & OPF_MOVES) return ref_move(r);
    if (op_reduces((Op)r->node->op)) return ref_reduce(r);
    return status_fail(r->st, ST_UNSUPPORTED, "the reference interpreter cannot run %s", def->name);
}

/* What has a size that was counted just now gets room. */
static void sized(Frame *f, Dim symbol)
{
    const Graph *g = f->g;
    const DimTable *dims = &g->module->dims;
    for (uint32_t v = 1; v < g->value.len; v++) {
        const Type *type = graph_type(g, v);
        bool named = false;
        for (uint32_t k = 0; k < type->rank; k++) named |= size_named(dims, type->dim[k], symbol);
        if (!named) continue;
        const Type t = concrete(dims, type, f->symbol);
        f->value[v] = ref_tensor(f->arena, &t);
    }
    for (uint32_t i = 0; i < g->node.len; i++)
        for (uint32_t k = 0; f->sub[i] && k < g->node.at[i].attr->len; k++)
            if (f->sub[i][k]) sized(f->sub[i][k], symbol);
}

static bool size_unsure(const Frame *f, const DimTable *dims, Dim d)
{
    bool any = false;
    for (uint32_t i = 0; i < dims->expr.len && dims->counts; i++) any |= f->unsure[i] && size_named(dims, d, -1 - (Dim)i);
    return any;
}

/* What has, or is made of what has, a size that may honestly be another is undecided throughout. */
static void doubt_sizes(Frame *f, const Node *n)
{
    const DimTable *dims = &f->g->module->dims;
    bool unsure = n->op == OP_dim_size && size_unsure(f, dims, ATTRS(dim_size, n->attr->at)->dim);
    for (uint32_t i = 0; i < n->nin + n->nout; i++) {
        const Type *type = graph_type(f->g, i < n->nin ? n->in[i] : n->out + (i - n->nin));
        for (uint32_t k = 0; k < type->rank; k++) unsure |= size_unsure(f, dims, type->dim[k]);
    }
    for (uint32_t k = 0; unsure && k < n->nout; k++)
        memset(f->value[n->out + k].undecided, DOUBT_CHOICE, (size_t)f->value[n->out + k].count);
}

static void count_size(Frame *f, const Node *n)
{
    const DimTable *dims = &f->g->module->dims;
    const Dim d = ATTRS(set_size, n->attr->at)->size;
    const int64_t most = dim_eval(dims, dims->expr.at[-1 - d].bound, f->symbol);
    f->unsure[-1 - d] = f->value[n->in[0]].undecided[0] != 0;
    f->symbol[-1 - d] = MAX_OF(MIN_OF(f->value[n->in[0]].i[0], most), 0);
    sized(f, d);
}

bool frame_run(Frame *f, Status *st)
{
    const Graph *g = f->g;
    for (uint32_t i = 0; i < g->node.len; i++) {
        const Node *n = &g->node.at[i];
        if (n->op == OP_param) continue;
        const RefTensor *few[16], **in = few;
        if (n->nin > COUNT_OF(few) && !(in = mem_alloc(n->nin * sizeof *in)))
            return status_fail(st, ST_MEMORY, "no memory for %u operands", n->nin);
        for (uint32_t k = 0; k < n->nin; k++) in[k] = &f->value[n->in[k]];
        Run r = {.node = n,
            .dims = &g->module->dims,
            .symbol = f->symbol,
            .in = in,
            .out = &f->value[n->out],
            .body = f->sub[i],
            .arena = f->arena,
            .st = st};
        bool ok = run_node(&r);
        if (in != few) mem_free(in, n->nin * sizeof *in);
        if (!ok) return false;
        if (g->module->dims.counts) doubt_sizes(f, n);
        if (n->op == OP_set_size) count_size(f, n);
    }
    return true;
}

typedef struct Call {
    Arena *arena;
    const Graph *g;
    const int64_t *symbol;
    const void *const *in;
    uint32_t node;
    bool tf32;
    const RefTensor *const *operand;
    RefTensor **result;
    Status *st;
    bool ok;
} Call;

static void run_graph(void *arg)
{
    Call *c = arg;
    const DimTable *dims = &c->g->module->dims;
    int64_t *symbol = ARENA_ARRAY(c->arena, int64_t, dims->expr.len + 1);
    for (uint32_t i = 0; i < dims->expr.len; i++)
        if (dims->expr.at[i].kind == DIM_SYMBOL) symbol[i] = dims->expr.at[i].counted ? 0 : c->symbol[i];
    Frame *f = frame_new(c->arena, c->g, symbol, ARENA_ARRAY(c->arena, bool, dims->expr.len + 1));
    for (uint32_t i = 0; i < c->g->param.len; i++) fill(&f->value[c->g->param.at[i]], c->in[i]);
    c->ok = frame_run(f, c->st);
    *c->result = f->value;
}

bool ref_run(Arena *arena, const Graph *g, const int64_t *symbol, const void *const *in, RefTensor **all, Status *st)
{
    Call c = {.arena = arena, .g = g, .symbol = symbol, .in = in, .result = all, .st = st};
    return arena_try(arena, st, run_graph, &c) && c.ok;
}

static void run_one(void *arg)
{
    Call *c = arg;
    const Graph *g = c->g;
    const Node *n = &g->node.at[c->node];
    RefTensor *out = ARENA_ARRAY(c->arena, RefTensor, n->nout);
    for (uint32_t k = 0; k < n->nout; k++) {
        Type t = concrete(&g->module->dims, graph_type(g, n->out + k), c->symbol);
        out[k] = ref_tensor(c->arena, &t);
    }
    bool *unsure = ARENA_ARRAY(c->arena, bool, g->module->dims.expr.len + 1);
    Run r = {.node = n,
        .dims = &g->module->dims,
        .symbol = c->symbol,
        .tf32 = c->tf32,
        .in = c->operand,
        .out = out,
        .body = frames_of(c->arena, g->module, n, (int64_t *)(uintptr_t)c->symbol, unsure),
        .arena = c->arena,
        .st = c->st};
    c->ok = run_node(&r);
    *c->result = out;
}

bool ref_run_node(Arena *arena, const Graph *g, uint32_t node, const int64_t *symbol, bool tf32, const RefTensor *const *in,
    RefTensor **out, Status *st)
{
    Call c = {.arena = arena, .g = g, .symbol = symbol, .node = node, .tf32 = tf32, .operand = in, .result = out, .st = st};
    return arena_try(arena, st, run_one, &c) && c.ok;
}

/* ---- judging ------------------------------------------------------------------------------------------ */

static void place(const RefTensor *t, int64_t i, char *text, size_t cap)
{
    int64_t index[MAX_RANK];
    size_t len = (size_t)snprintf(text, cap, "[");
    unravel(&t->type, i, index);
    for (uint32_t k = 0; k < t->type.rank && len < cap; k++)
        len += (size_t)snprintf(text + len, cap - len, k == 0 ? "%lld" : ",%lld", (long long)index[k]);
    if (len < cap) snprintf(text + len, cap - len, "]");
}

/* The distance of v from element i in units of its last place; good: whether it is within its bound. */
static double distance(const RefTensor *t, int64_t i, double v, bool *good)
{
    double f = t->f[i], d = fabs(v - f);
    *good = true;
    if (f == v || (f != f && v != v)) return 0;
    if (d <= t->bound[i]) return d / ref_ulp((DType)t->type.dtype, f);
    *good = false;
    return isfinite(d) ? d / ref_ulp((DType)t->type.dtype, f) : HUGE_VAL;
}

static bool element_agrees(const RefTensor *t, int64_t i, const char *element, RefVerdict *v)
{
    const DType type = (DType)t->type.dtype;
    double x = 0, ulps = 0;
    int64_t n = 0;
    bool good = true;
    char at[128];
    if (t->f) {
        x = dtype_load_f64(type, element);
        ulps = distance(t, i, x, &good);
        v->worst_ulps = fmax(v->worst_ulps, ulps);
    } else {
        n = dtype_load_i64(type, element);
        good = n == t->i[i];
    }
    if (good || v->why[0] != '\0') return good;
    place(t, i, at, sizeof at);
    if (t->f)
        plain_snprintf(
            v->why, sizeof v->why, "element %.60s is %.17g, not %.17g +- %.3g (%.3g ulp)", at, x, t->f[i], t->bound[i], ulps);
    else
        snprintf(v->why, sizeof v->why, "element %.60s is %lld, not %lld", at, (long long)n, (long long)t->i[i]);
    return false;
}

bool ref_compare(const RefTensor *t, const void *bytes, RefVerdict *v)
{
    bool fine = true;
    *v = (RefVerdict){0};
    for (int64_t i = 0; i < t->count; i++) {
        v->undecided += t->undecided[i] != 0;
        v->doubt |= t->undecided[i];
        if (t->undecided[i]) continue;
        v->compared++;
        fine &= element_agrees(t, i, (const char *)bytes + (size_t)i * dtype_bytes((DType)t->type.dtype), v);
    }
    return fine;
}

const char *ref_doubt_text(uint8_t doubt)
{
    if (doubt & DOUBT_STEP) return "a comparison, floor, cast or argmax has operands that differ by less than they may err";
    if (doubt & DOUBT_OVERFLOW) return "it may overflow or not, by the order in which it is computed";
    if (doubt & DOUBT_EDGE) return "an operand is as near to a pole, a branch cut or a zero as it may err";
    return "a selector, an index or a condition is undecided";
}
