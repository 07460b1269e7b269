/* lower_scalar: makes instructions of scalar expressions: it numbers equal values, folds constants and expands the op and math
 * tables. Relies on lower.h. Never knows graphs. */
#include "lower.h"

/* ---- instructions -------------------------------------------------------------------------------- */

static uint64_t instr_hash(const Instr *i, uint32_t stage)
{
    uint64_t h = hash_mix(hash_mix(i->kind, i->prim), hash_mix(i->type, stage));
    h = hash_mix(hash_mix(h, (uint64_t)(int64_t)i->a), (uint64_t)(int64_t)i->b);
    h = hash_mix(hash_mix(h, (uint64_t)(int64_t)i->c), i->ref);
    return hash_mix(h, i->value.u);
}

static bool same_instr(const Draft *d, const Instr *i, uint32_t stage)
{
    const Instr *o = &d->i;
    return o->kind == i->kind && o->prim == i->prim && o->type == i->type && d->stage == stage && o->a == i->a && o->b == i->b &&
           o->c == i->c && o->ref == i->ref && o->value.u == i->value.u;
}

int32_t build_instr(Build *b, const Instr *i, uint32_t level, uint16_t axes, uint32_t cost)
{
    Draft d = {.i = *i, .level = (uint16_t)level, .axes = axes, .cost = cost};
    d.i.sweeps = b->env.sweep >= 0 && (axes >> b->env.sweep & 1);
    d.stage = (uint16_t)(d.i.sweeps ? 2 * b->sweep_stage + 1 : 2 * level);
    uint64_t key = hash_key(instr_hash(i, d.stage));
    for (const uint64_t *at; (at = map_get(&b->shared, key)); key++)
        if (same_instr(&b->draft.at[*at - 1], i, d.stage)) return (int32_t)*at - 1;
    *VEC_PUSH(b->lw->scratch, &b->draft) = d;
    map_put(&b->shared, key, b->draft.len);
    return (int32_t)b->draft.len - 1;
}

/* An instruction whose stage follows from its operands. */
static int32_t derived(Build *b, Instr i, uint32_t cost)
{
    const int32_t arg[3] = {i.a, i.b, i.c};
    uint32_t level = 0;
    uint16_t axes = 0;
    for (int k = 0; k < 3; k++) {
        if (arg[k] < 0) continue;
        const Draft *d = &b->draft.at[arg[k]];
        level = MAX_OF(level, d->level);
        axes |= d->axes;
        cost = MIN_OF(cost + d->cost, 100000u);
    }
    return build_instr(b, &i, level, axes, cost);
}

int32_t build_const(Build *b, DType type, Scalar v)
{
    if (type == DT_f32) v.f = (double)(float)v.f;
    return derived(b, (Instr){.kind = I_CONST, .type = (uint8_t)type, .a = -1, .b = -1, .c = -1, .value = v}, 0);
}

int32_t build_i64(Build *b, int64_t v) { return build_const(b, DT_i64, (Scalar){.i = v}); }

int32_t build_dim(Build *b, Dim d)
{
    if (dim_is_const(d)) return build_i64(b, d);
    return derived(b, (Instr){.kind = I_DIM, .type = DT_i64, .a = -1, .b = -1, .c = -1, .ref = lower_dim(b->lw, d)}, 0);
}

int32_t build_axis(Build *b, uint32_t axis)
{
    Instr i = {.kind = I_AXIS, .type = DT_i64, .a = -1, .b = -1, .c = -1, .ref = axis};
    return build_instr(b, &i, 0, (uint16_t)(1u << axis), 1);
}

static bool is_const(const Build *b, int32_t x) { return x < 0 || b->draft.at[x].i.kind == I_CONST; }

static Scalar const_of(const Build *b, int32_t x) { return x < 0 ? (Scalar){0} : b->draft.at[x].i.value; }

static bool is_int(const Build *b, int32_t x, int64_t v)
{
    return x >= 0 && b->draft.at[x].i.kind == I_CONST && !dtype_is_float(build_type(b, x)) && b->draft.at[x].i.value.i == v;
}

/* Applies identities that integer index arithmetic often meets; -1 if none applies. */
static int32_t identity(const Build *b, Prim p, int32_t x, int32_t y)
{
    switch (p) {
    case P_add: return is_int(b, y, 0) ? x : is_int(b, x, 0) ? y : -1;
    case P_sub: return is_int(b, y, 0) ? x : -1;
    case P_mul: return is_int(b, y, 1) ? x : is_int(b, x, 1) ? y : -1;
    case P_idiv: return is_int(b, y, 1) ? x : -1;
    case P_and:
        if (build_type(b, x) != DT_bool) return -1;
        return is_int(b, y, 1) ? x : is_int(b, x, 1) ? y : -1;
    default: return -1;
    }
}

int32_t build_prim(Build *b, Prim p, DType type, int32_t x, int32_t y, int32_t z)
{
    if (p == P_cvt && build_type(b, x) == type) return x;
    if (p == P_select && is_const(b, x)) return const_of(b, x).i != 0 ? y : z;
    if (is_const(b, x) && is_const(b, y) && is_const(b, z)) {
        DType from = build_type(b, p == P_select ? y : x);
        return build_const(b, type, prim_eval(p, from, type, const_of(b, x), const_of(b, y), const_of(b, z)));
    }
    int32_t same = y >= 0 && z < 0 ? identity(b, p, x, y) : -1;
    if (same >= 0) return same;
    uint32_t cost = p == P_div || p == P_sqrt || p == P_fmod ? 5 : p == P_idiv || p == P_irem ? 10 : p == P_ipow ? 64 : 1;
    return derived(b, (Instr){.kind = I_PRIM, .prim = (uint8_t)p, .type = (uint8_t)type, .a = x, .b = y, .c = z}, cost);
}

/* ---- expressions --------------------------------------------------------------------------------- */

static Term term(const Build *b, int32_t at) { return (Term){.type = at < 0 ? DT_NONE : build_type(b, at), .as = {.at = at}}; }

static Term term_const(void *to, DType type, Scalar v) { return term(to, build_const(to, type, v)); }

static Term term_prim(void *to, Prim p, DType type, const Term *in)
{
    const int n = prim_info[p].args;
    return term(to, build_prim(to, p, type, in[0].as.at, n > 1 ? in[1].as.at : -1, n > 2 ? in[2].as.at : -1));
}

static int32_t build_expr(Build *b, const ScalarTok *expr, DType type, DType to, const int32_t *arg, uint32_t nargs)
{
    const ScalarSink sink = {b, term_const, term_prim};
    Term in[3];
    for (uint32_t i = 0; i < nargs; i++) in[i] = term(b, arg[i]);
    return scalar_expand(&sink, expr, type, to, in).as.at;
}

int32_t build_elementwise(Build *b, const Node *n, DType in, DType out, const int32_t *arg)
{
    const OpDef *def = &op_def[n->op];
    DType type = (DType)dtype_info[in].compute;
    const ScalarTok *value = dtype_is_float(in) ? def->value_f : def->value_i;
    if (!value) {
        status_fail(b->lw->st, ST_DTYPE, "%s: not defined for %s", def->name, dtype_info[in].name);
        return -1;
    }
    return build_round(b, out, build_expr(b, value, type, (DType)dtype_info[out].compute, arg, (uint32_t)def->nin));
}

/* ---- casts and narrow floats --------------------------------------------------------------------- */

static bool holds(DType type, double v)
{
    uint64_t room = 0;
    dtype_store_f64(type, &room, v);
    return dtype_load_f64(type, &room) == v;
}

/* Whether the narrow type holds the value, so that rounding would not change it, as an op that only chooses among its operands
 * shows: the operands have been asked before. */
static bool is_held(const Build *b, DType type, int32_t x, int depth)
{
    const Draft *d = &b->draft.at[x];
    if (d->narrow == type) return true;
    if (depth == 0) return false;
    switch (d->i.kind) {
    case I_CONST: return holds(type, d->i.value.f);
    case I_LOAD: return b->stream.at[d->i.ref].type == type;
    case I_REDUCED: { /* one of its elements, or the identity, which is infinite */
        const Reduction *r = &b->reduction.at[d->i.ref].r;
        return (r->kind == R_MAX || r->kind == R_MIN) && dtype_info[type].infinite && is_held(b, type, r->value, depth - 1);
    }
    case I_PRIM:
        if (d->i.prim == P_select) return is_held(b, type, d->i.b, depth - 1) && is_held(b, type, d->i.c, depth - 1);
        return (d->i.prim == P_neg || d->i.prim == P_abs || d->i.prim == P_copysign) && is_held(b, type, d->i.a, depth - 1);
    default: return false;
    }
}

int32_t build_round(Build *b, DType type, int32_t x)
{
    const ScalarTok *round = narrow_fns[type].round;
    if (x < 0 || !round) return x;
    if (!is_held(b, type, x, 3)) x = build_expr(b, round, DT_f32, DT_f32, &x, 1);
    if (x >= 0) b->draft.at[x].narrow = (uint8_t)type;
    return x;
}

/* odd_wide_i64 and odd_wide_u64 of ir/element.h. */
static int32_t odd_wide(Build *b, DType t, int32_t x)
{
    const int64_t limit = (int64_t)1 << 53;
    int32_t low = build_const(b, t, (Scalar){.i = 0x7ff}), zero = build_const(b, t, (Scalar){0});
    int32_t large = build_prim(b, P_gt, DT_bool, x, build_const(b, t, (Scalar){.i = limit}), -1);
    if (t == DT_i64) large = build_prim(b, P_or, DT_bool, large, build_prim(b, P_lt, DT_bool, x, build_i64(b, -limit), -1), -1);
    int32_t rest = build_prim(b, P_ne, DT_bool, build_prim(b, P_and, t, x, low, -1), zero, -1);
    int32_t odd = build_prim(b, P_and, t, x, build_const(b, t, (Scalar){.i = ~(int64_t)0x7ff}), -1);
    odd = build_prim(b, P_or, t, odd, build_const(b, t, (Scalar){.i = 0x800}), -1);
    return build_prim(b, P_cvt, DT_f64, build_prim(b, P_select, t, build_prim(b, P_and, DT_bool, large, rest, -1), odd, x), -1, -1);
}

/* Converts to f32, rounded to odd where f32 does not hold the value: odd_f64 of ir/element.h. */
static int32_t odd_f32(Build *b, DType from, int32_t x)
{
    if (dtype_bytes(from) < 4 || from == DT_f32) return build_prim(b, P_cvt, DT_f32, x, -1, -1);
    x = from == DT_i64 || from == DT_u64 ? odd_wide(b, from, x) : build_prim(b, P_cvt, DT_f64, x, -1, -1);
    int32_t f = build_prim(b, P_cvt, DT_f32, x, -1, -1), back = build_prim(b, P_cvt, DT_f64, f, -1, -1);
    int32_t over =
        build_prim(b, P_gt, DT_bool, build_prim(b, P_abs, DT_f64, back, -1, -1), build_prim(b, P_abs, DT_f64, x, -1, -1), -1);
    int32_t u = build_prim(b, P_bits, DT_u32, f, -1, -1);
    u = build_prim(b, P_sub, DT_u32, u, build_prim(b, P_cvt, DT_u32, over, -1, -1), -1);
    u = build_prim(b, P_or, DT_u32, u, build_prim(b, P_cvt, DT_u32, build_prim(b, P_ne, DT_bool, back, x, -1), -1, -1), -1);
    return build_prim(b, P_floatbits, DT_f32, u, -1, -1);
}

/* x, of the compute type of `to`, clamped to the largest numbers of `to`. NaN stays. */
static int32_t within_largest(Build *b, DType to, int32_t x)
{
    const DType compute = (DType)dtype_info[to].compute;
    int32_t most = build_const(b, compute, (Scalar){.f = dtype_info[to].largest}), size = build_prim(b, P_abs, compute, x, -1, -1);
    int32_t beyond = build_prim(b, P_gt, DT_bool, size, most, -1);
    return build_prim(b, P_select, compute, beyond, build_prim(b, P_copysign, compute, most, x, -1), x);
}

int32_t build_cast(Build *b, DType from, DType to, bool saturate, int32_t x)
{
    const DType compute = (DType)dtype_info[to].compute;
    if (from == to && !saturate) return x;
    x = compute != to ? odd_f32(b, from, x) : build_prim(b, P_cvt, compute, x, -1, -1);
    return build_round(b, to, saturate ? within_largest(b, to, x) : x);
}

static DType bits_dtype(DType t) /* unsigned, of t's width */
{
    static const DType of[9] = {[1] = DT_u8, [2] = DT_u16, [4] = DT_u32, [8] = DT_u64};
    return of[dtype_bytes(t)];
}

int32_t build_bitcast(Build *b, DType from, DType to, int32_t x)
{
    const DType bits = bits_dtype(to);
    if (from == to || x < 0) return x;
    if (narrow_fns[from].narrow)
        x = build_expr(b, narrow_fns[from].narrow, DT_f32, DT_u32, &x, 1);
    else if (dtype_is_float(from))
        x = build_prim(b, P_bits, bits, x, -1, -1);
    if (!dtype_is_float(to)) return x < 0 ? x : build_prim(b, P_cvt, to, x, -1, -1);
    if (x >= 0) x = build_prim(b, P_cvt, bits, x, -1, -1);
    if (!narrow_fns[to].widen) return x < 0 ? x : build_prim(b, P_floatbits, to, x, -1, -1);
    if (x >= 0) x = build_prim(b, P_cvt, DT_u32, x, -1, -1);
    if (x >= 0) x = build_expr(b, narrow_fns[to].widen, DT_u32, DT_f32, &x, 1);
    if (x >= 0) b->draft.at[x].narrow = (uint8_t)to;
    return x;
}

int32_t build_random(Build *b, int32_t key0, int32_t key1, int32_t element)
{
    return derived(b, (Instr){.kind = I_RANDOM, .type = DT_u32, .a = element, .b = key0, .c = key1}, 40);
}
