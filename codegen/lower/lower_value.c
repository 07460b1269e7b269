/* lower_value: makes instructions for a graph node's value at an index map: loads, elementwise expressions, reductions, and
 * movement ops as changed maps and guards. Relies on lower.h, ir/index. Never chooses how a kernel runs. */
#include "lower.h"

static int32_t fail(Build *b, const Node *n, const char *why)
{
    status_fail(b->lw->st, ST_UNSUPPORTED, "lowering %s (%s:%d): %s", op_def[n->op].name, n->loc.file ? n->loc.file : "?",
        n->loc.line, why);
    return -1;
}

/* ---- streams ------------------------------------------------------------------------------------- */

/* All conditions combined into one bool; -1 if there are none. */
static int32_t guards(Build *b)
{
    int32_t all = -1;
    for (uint32_t i = 0; i < b->guard.len; i++)
        all = all < 0 ? b->guard.at[i] : build_prim(b, P_and, DT_bool, all, b->guard.at[i], -1);
    return all;
}

static bool same_stream(const Stream *a, const Stream *b)
{
    return a->buf == b->buf && a->type == b->type && a->base == b->base && a->dyn == b->dyn && a->guard == b->guard &&
           memcmp(a->coef, b->coef, sizeof a->coef) == 0;
}

static uint32_t add_stream(Build *b, const Stream *s)
{
    uint64_t h = hash_mix(hash_mix(s->buf, s->type), hash_mix((uint64_t)s->base, (uint64_t)(int64_t)s->dyn));
    h = hash_key(hash_bytes(hash_mix(h, (uint64_t)(int64_t)s->guard), s->coef, sizeof s->coef));
    for (const uint64_t *at; (at = map_get(&b->streams, h)); h++)
        if (same_stream(&b->stream.at[*at - 1], s)) return (uint32_t)*at - 1;
    *VEC_PUSH(b->lw->scratch, &b->stream) = *s;
    map_put(&b->streams, h, b->stream.len);
    return b->stream.len - 1;
}

/* ok: e is the offset. */
static uint32_t stream_at(Build *b, uint32_t buf, DType type, bool ok, IndexExpr e)
{
    IndexExpr rest = index_const(0);
    if (!ok) {
        status_fail(b->lw->st, ST_UNSUPPORTED, "lowering: an offset is beyond the largest size, 2^48");
        return UINT32_MAX;
    }
    Stream s = {.buf = buf, .type = (uint8_t)type, .base = e.base, .dyn = e.dyn, .guard = guards(b)};
    /* A Dim cannot be negative, so an instruction subtracts the negative part. */
    rest.minus = e.minus;
    for (uint32_t a = 0; a < b->env.naxis; a++) {
        bool subtracted = e.negative >> a & 1;
        *(subtracted ? &rest.coef[a] : &s.coef[a]) = e.coef[a];
        if (subtracted) rest.negative |= 1u << a;
    }
    if (rest.minus != 0 || rest.negative != 0) {
        rest.dyn = e.dyn;
        s.dyn = index_value(&b->env, &rest);
    }
    return add_stream(b, &s);
}

uint32_t build_stream(Build *b, uint32_t buf, DType type, const IndexMap *m)
{
    IndexExpr e;
    bool ok = index_linear(&b->env, m, &e);
    return stream_at(b, buf, type, ok, e);
}

/* Where value v, which the kernel reads, lies in memory at map m. */
static uint32_t input_stream(Build *b, Value v, const IndexMap *m)
{
    IndexExpr e;
    const Node *n = graph_maker(b->g, v);
    const Type *t = graph_type(b->g, v);
    const Dim *const *stride = n->op == OP_param ? b->lw->o->stride : NULL;
    if (!stride || !stride[ATTRS(param, n->attr->at)->number]) return build_stream(b, b->group->input[v], (DType)t->dtype, m);
    bool ok = index_strided(&b->env, m, t, stride[ATTRS(param, n->attr->at)->number], &e);
    return stream_at(b, b->group->input[v], (DType)t->dtype, ok, e);
}

int32_t build_load(Build *b, uint32_t stream)
{
    if (stream == UINT32_MAX) return -1;
    const Stream *s = &b->stream.at[stream];
    uint32_t level = 0, cost = 1;
    uint16_t axes = 0;
    for (uint32_t a = 0; a < b->env.naxis; a++)
        if (s->coef[a] != 0) axes |= (uint16_t)(1u << a);
    const int32_t from[2] = {s->dyn, s->guard};
    for (int i = 0; i < 2; i++) {
        if (from[i] < 0) continue;
        axes |= b->draft.at[from[i]].axes;
        level = MAX_OF(level, b->draft.at[from[i]].level);
        cost += b->draft.at[from[i]].cost;
    }
    if (s->buf & STREAM_ROW) axes |= (uint16_t)(1u << b->env.sweep);
    Instr i = {.kind = I_LOAD, .type = dtype_info[s->type].compute, .a = -1, .b = -1, .c = -1, .ref = stream};
    return build_instr(b, &i, level, axes, cost);
}

/* ---- movement ------------------------------------------------------------------------------------ */

/* The condition 0 <= e < size as a bool; -1 if it is known to hold. */
static int32_t condition(Build *b, const IndexGuard *g)
{
    int32_t v = index_value(&b->env, &g->e), c = -1;
    bool below_zero = g->e.minus != 0 || g->e.negative != 0 || g->e.dyn >= 0;
    if (below_zero) c = build_prim(b, P_ge, DT_bool, v, build_i64(b, 0), -1);
    int32_t top = build_prim(b, P_lt, DT_bool, v, build_dim(b, g->size), -1);
    return c < 0 ? top : build_prim(b, P_and, DT_bool, c, top, -1);
}

static int32_t conditions(Build *b, const IndexStep *s)
{
    int32_t all = -1;
    for (uint32_t i = 0; i < s->nguard; i++) {
        int32_t c = condition(b, &s->guard[i]);
        all = all < 0 ? c : build_prim(b, P_and, DT_bool, all, c, -1);
    }
    return all;
}

/* The value v at m, read only where c holds. */
static int32_t guarded(Build *b, Value v, const IndexMap *m, int32_t c)
{
    uint32_t before = b->guard.len;
    if (c >= 0) *VEC_PUSH(b->lw->scratch, &b->guard) = c;
    int32_t x = build_value(b, v, m);
    b->guard.len = before;
    return x;
}

static Scalar scalar_of(DType t, int64_t attr) { return dtype_is_float(t) ? (Scalar){.f = attr_f64(attr)} : (Scalar){.i = attr}; }

/* Where along one axis of the kernel the guard's answer changes. */
static void note_cuts(Build *b, const IndexGuard *g)
{
    DimTable *t = b->lw->dims;
    const IndexExpr *e = &g->e;
    uint32_t a = 0;
    while (a < b->env.naxis && e->coef[a] == 0) a++;
    if (a == b->env.naxis || (int)a == b->env.sweep || e->coef[a] != 1 || e->negative != 0 || e->dyn >= 0) return;
    for (uint32_t other = a + 1; other < b->env.naxis; other++)
        if (e->coef[other] != 0) return;
    const Dim at[2] = {dim_sub(t, e->minus, e->base), dim_sub(t, dim_add(t, g->size, e->minus), e->base)};
    for (int i = 0; i < 2; i++) {
        Dim rest = dim_sub(t, b->env.extent[a], at[i]);
        if (at[i] == DIM_BAD || rest == DIM_BAD || at[i] == 0 || rest == 0 || dim_lo(t, at[i]) < 0 || dim_lo(t, rest) < 0) continue;
        *VEC_PUSH(b->lw->scratch, &b->cut) = (Cut){(uint8_t)a, at[i]};
    }
}

__attribute__((noinline)) static int32_t moved(Build *b, const Node *n, const IndexMap *m)
{
    IndexStep step;
    const Type *t = graph_type(b->g, n->out);
    DType type = (DType)dtype_info[t->dtype].compute;
    int32_t result = -1;
    uint32_t first = 0, past = 1; /* of all joined operands, or of the one that moves */
    if (op_joins((Op)n->op)) first = index_joined(&b->env, b->g, n, m, &past);
    for (uint32_t k = past; k-- > first;) {
        if (!index_operand(&b->env, b->g, n, k, m, &step)) return fail(b, n, "an index that cannot be expressed");
        if (step.fills) result = build_const(b, type, scalar_of((DType)t->dtype, step.fill));
        if (step.outside) continue;
        if (step.nguard == 0) return build_value(b, n->in[k], &step.map);
        for (uint32_t i = 0; i < step.nguard; i++) note_cuts(b, &step.guard[i]);
        int32_t c = conditions(b, &step), x = guarded(b, n->in[k], &step.map, c);
        if (x < 0) return -1;
        result = result < 0 ? x : build_prim(b, P_select, type, c, x, result);
    }
    return result < 0 ? build_const(b, type, (Scalar){0}) : result; /* no operand is left: no point is read here */
}

int32_t build_clamped(Build *b, int32_t index, Dim size)
{
    DType t = build_type(b, index);
    int32_t last = build_prim(b, P_sub, DT_i64, build_dim(b, size), build_i64(b, 1), -1);
    if (dim_lo(b->lw->dims, size) < 1) { /* whoever uses the index then reads and writes nothing, or has memory for more */
        int32_t none = build_i64(b, 0);
        last = build_prim(b, P_select, DT_i64, build_prim(b, P_lt, DT_bool, last, none, -1), none, last);
    }
    if (t == DT_u64) { /* compared before the cast, which makes 2^63 and more negative */
        int32_t most = build_prim(b, P_cvt, DT_u64, last, -1, -1);
        int32_t high = build_prim(b, P_gt, DT_bool, index, most, -1);
        return build_prim(b, P_cvt, DT_i64, build_prim(b, P_select, DT_u64, high, most, index), -1, -1);
    }
    int32_t i = build_prim(b, P_cvt, DT_i64, index, -1, -1), zero = build_i64(b, 0);
    i = build_prim(b, P_select, DT_i64, build_prim(b, P_lt, DT_bool, i, zero, -1), zero, i);
    return build_prim(b, P_select, DT_i64, build_prim(b, P_gt, DT_bool, i, last, -1), last, i);
}

/* ---- reductions ---------------------------------------------------------------------------------- */

static ReduceOrder reduce_order(const Build *b, const Node *n)
{
    Dim extent = index_reduced_extent(b->g, n);
    switch (index_fold_form(b->g, n)) {
    case FORM_INDEX: return ORDER_INDEX;
    case FORM_CHAINS: return ORDER_CHAINS;
    default: return dim_is_const(extent) ? ORDER_LANES : ORDER_RUNTIME;
    }
}

_Static_assert(ROLE_ARGMIN - ROLE_SUM == R_ARGMIN, "roles that reduce stand in the order of ReduceKind");

/* The fold itself, in its sweeping stage. */
static uint32_t fold(Build *b, const Node *n, const IndexStep *step, uint32_t level)
{
    /* A sweep without points has nothing to read, not even once before it, where a place that no axis moves is read. */
    const bool nothing = step->outside || b->env.extent[b->env.sweep] == 0;
    int32_t c = nothing ? -1 : conditions(b, step);
    DType type = (DType)dtype_info[graph_type(b->g, n->in[0])->dtype].compute;
    int32_t x = nothing ? build_const(b, type, (Scalar){0}) : guarded(b, n->in[0], &step->map, c);
    if (x >= 0 && c >= 0) x = build_prim(b, P_select, type, c, x, build_const(b, type, (Scalar){0}));
    if (x < 0) return UINT32_MAX;
    uint16_t axes = (uint16_t)(b->draft.at[x].axes & ~(1u << b->env.sweep));
    DraftReduction r = {.r = {(uint8_t)(op_def[n->op].role - ROLE_SUM), (uint8_t)type, (uint8_t)reduce_order(b, n), x},
        .level = (uint16_t)level,
        .axes = axes};
    for (uint32_t i = 0; i < b->reduction.len; i++) {
        const DraftReduction *o = &b->reduction.at[i];
        if (o->level == level && o->r.kind == r.r.kind && o->r.order == r.r.order && o->r.value == x) return i;
    }
    *VEC_PUSH(b->lw->scratch, &b->reduction) = r;
    return b->reduction.len - 1;
}

__attribute__((noinline)) static int32_t reduced(Build *b, const Node *n, const IndexMap *m)
{
    IndexStep step;
    uint32_t level = b->level[n->in[0]], outer_stage = b->sweep_stage;
    const Guards outer = b->guard;
    if (b->env.sweep < 0) return fail(b, n, "a reduction in a kernel that sweeps nothing");
    if (index_axes(m) >> b->env.sweep & 1) return fail(b, n, "a reduction within a reduction");
    /* What is folded is built without the result's guards: they may depend on the swept element, or on an index that a later stage
     * makes. Fusing joins reductions only where their maps are one to one, so every folded element exists. */
    b->guard = (Guards){0};
    b->sweep_stage = level; /* the map, too, may hold instructions */
    bool ok = index_operand(&b->env, b->g, n, 0, m, &step);
    uint32_t r = ok ? fold(b, n, &step, level) : UINT32_MAX;
    b->guard = outer;
    b->sweep_stage = outer_stage;
    if (!ok) return fail(b, n, "an index that cannot be expressed");
    if (r == UINT32_MAX) return -1;
    if (outer.len == 0) {
        DraftFold *f = VEC_PUSH(b->lw->scratch, &b->fold);
        f->v = n->out;
        f->level = (uint16_t)level;
        index_copy(&f->map, m);
    }
    DType type = (DType)dtype_info[graph_type(b->g, n->out)->dtype].compute;
    Instr i = {.kind = I_REDUCED, .type = (uint8_t)type, .a = -1, .b = -1, .c = -1, .ref = r};
    int32_t x = build_instr(b, &i, level + 1, b->reduction.at[r].axes, 1);
    return build_round(b, (DType)graph_type(b->g, n->out)->dtype, x);
}

/* ---- sources ------------------------------------------------------------------------------------- */

static int32_t constant(Build *b, const Node *n, const IndexMap *m)
{
    (void)m;
    const DType t = (DType)graph_type(b->g, n->out)->dtype;
    return build_const(b, (DType)dtype_info[t].compute, scalar_of(t, ATTRS(constant, n->attr->at)->value));
}

static int32_t dim_size(Build *b, const Node *n, const IndexMap *m)
{
    (void)m;
    return build_dim(b, ATTRS(dim_size, n->attr->at)->dim);
}

__attribute__((noinline)) static int32_t iota(Build *b, const Node *n, const IndexMap *m)
{
    const Type *t = graph_type(b->g, n->out);
    IndexMap seen;
    if (!index_regroup(&b->env, m, t->dim, t->rank, &seen)) return fail(b, n, "an index that cannot be expressed");
    return build_cast(b, DT_i64, (DType)t->dtype, false, index_value(&b->env, &seen.at[ATTRS(iota, n->attr->at)->axis]));
}

__attribute__((noinline)) static int32_t random_bits(Build *b, const Node *n, const IndexMap *m)
{
    IndexExpr e;
    int32_t key[2];
    for (Dim i = 0; i < 2; i++) {
        IndexMap at = {.rank = 1, .dim = {2}, .at = {index_const(i)}};
        key[i] = build_value(b, n->in[0], &at);
        if (key[i] < 0) return -1;
    }
    if (!index_linear(&b->env, m, &e)) return fail(b, n, "an index that cannot be expressed");
    return build_random(b, key[0], key[1], index_value(&b->env, &e));
}

static int32_t (*const made[OP_COUNT])(Build *b, const Node *n, const IndexMap *m) = {
    [OP_constant] = constant, [OP_iota] = iota, [OP_dim_size] = dim_size, [OP_random_bits] = random_bits};

/* ---- a value ------------------------------------------------------------------------------------- */

static int32_t elementwise(Build *b, const Node *n, const IndexMap *m)
{
    int32_t arg[3] = {-1, -1, -1};
    for (uint32_t i = 0; i < n->nin; i++)
        if ((arg[i] = build_value(b, n->in[i], m)) < 0) return -1;
    DType in = (DType)graph_type(b->g, n->in[n->nin - 1])->dtype, out = (DType)graph_type(b->g, n->out)->dtype;
    if (n->op == OP_bitcast) return build_bitcast(b, in, out, arg[0]);
    return op_def[n->op].flags & OPF_CAST ? build_cast(b, in, out, n->attr->len > 1, arg[0])
                                          : build_elementwise(b, n, in, out, arg);
}

static int32_t compute(Build *b, Value v, const IndexMap *m)
{
    const Node *n = graph_maker(b->g, v);
    const unsigned flags = op_def[n->op].flags;
    const Type *t = graph_type(b->g, v);
    if (b->group->input[v] != NO_BUF && type_elements(b->lw->dims, t) == 0) /* no point is read here, hoisted or not */
        return build_const(b, (DType)dtype_info[t->dtype].compute, (Scalar){0});
    if (b->group->input[v] != NO_BUF) return build_load(b, input_stream(b, v, m));
    if (flags & (OPF_ELEMENTWISE | OPF_CAST)) return elementwise(b, n, m);
    if (node_reduces(n)) return reduced(b, n, m);
    if (made[n->op]) return made[n->op](b, n, m);
    return op_def[n->op].role != ROLE_OUTSIDE ? moved(b, n, m) : fail(b, n, "not available in a kernel");
}

/* ---- values made before --------------------------------------------------------------------------------------- */

static bool same_demand(const Demand *a, const Demand *b)
{
    return a->v == b->v && a->stage == b->stage && a->nguard == b->nguard && index_equal(a->map, b->map) &&
           (a->nguard == 0 || memcmp(a->guard, b->guard, a->nguard * sizeof *a->guard) == 0);
}

/* NULL if there is none; *key is then where it will be kept. */
static const Demand *known(const Build *b, const Demand *d, uint64_t *key)
{
    const uint64_t *at;
    for (*key = hash_key(hash_mix(d->hash, d->stage)); (at = map_get(&b->values, *key)); ++*key)
        if (same_demand(&b->demand.at[*at - 1], d)) return &b->demand.at[*at - 1];
    return NULL;
}

/* Looks its place up again, because computing the value may have filled the place. */
static void remember(Build *b, Demand d, uint32_t is)
{
    Arena *a = b->lw->scratch;
    uint64_t key;
    if (known(b, &d, &key)) return;
    d.is = is;
    d.guard = arena_copy(a, d.guard, d.nguard * sizeof *d.guard);
    d.map = arena_copy(a, d.map, index_bytes(d.map));
    *VEC_PUSH(a, &b->demand) = d;
    map_put(&b->values, key, b->demand.len);
}

/* ---- row caches ---------------------------------------------------------------------------------- */

#define ROW_COST 12 /* recomputing more than this costs more than a store and a load */

/* Gives the row cache that keeps draft x, which a sweeping stage made. UINT32_MAX: keeping it is not worth it, or there is no
 * room. */
static uint32_t row_of(Build *b, Demand d, int32_t x, DType type)
{
    uint64_t key;
    d.stage = IN_ROW;
    const Demand *there = known(b, &d, &key);
    if (there) return there->is;
    Dim extent = b->env.extent[b->env.sweep];
    if (!dim_is_const(extent)) return UINT32_MAX;
    int64_t bytes = extent * (int64_t)dtype_bytes(type);
    if (b->row_bytes + bytes > (int64_t)b->lw->o->target.row_cache_bytes) return UINT32_MAX;
    b->row_bytes += bytes;
    *VEC_PUSH(b->lw->scratch, &b->row_type) = (uint8_t)type;
    uint32_t row = b->row_type.len - 1;
    remember(b, d, row);
    Stream s = {.buf = STREAM_ROW | row, .type = (uint8_t)type, .dyn = -1, .guard = -1};
    DraftStore store = {.s = {.stream = add_stream(b, &s), .value = x}, .stage = b->draft.at[x].stage};
    *VEC_PUSH(b->lw->scratch, &b->store) = store;
    return row;
}

/* The value that an earlier sweeping stage kept; -1 if none did, or if computing it again is cheap. */
static int32_t from_row(Build *b, Demand want, DType type)
{
    uint32_t now = want.stage;
    uint64_t key;
    for (want.stage = 0; want.stage < now; want.stage++) {
        const Demand *there = known(b, &want, &key);
        if (!there) continue;
        int32_t x = (int32_t)there->is;
        const Draft *d = &b->draft.at[x];
        if (!d->i.sweeps || d->stage != 2 * want.stage + 1 || d->cost < ROW_COST) continue;
        uint32_t row = row_of(b, want, x, type);
        if (row == UINT32_MAX) return -1;
        Stream read = {.buf = STREAM_ROW | row, .type = (uint8_t)type, .dyn = -1, .guard = -1};
        return build_load(b, add_stream(b, &read));
    }
    return -1;
}

int32_t build_value(Build *b, Value v, const IndexMap *m)
{
    Demand want = {.v = v, .stage = b->sweep_stage, .nguard = b->guard.len, .guard = b->guard.at, .map = m};
    want.hash = hash_bytes(hash_mix(index_hash(m), v), b->guard.at, b->guard.len * sizeof *b->guard.at);
    uint64_t key;
    const Demand *there = known(b, &want, &key);
    if (there) return (int32_t)there->is;
    int32_t x = b->caches ? from_row(b, want, (DType)graph_type(b->g, v)->dtype) : -1;
    if (x < 0) x = compute(b, v, m);
    if (x >= 0) remember(b, want, (uint32_t)x);
    return x;
}
