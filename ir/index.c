/* index: expressions and views: sums, normal form, regrouping. Relies on index.h. The rules of single ops are map_NAME in op_*.c.
 */
#include "index.h"

/* ---- expressions --------------------------------------------------------------------------------- */

void index_env_init(IndexEnv *env, DimTable *dims) { *env = (IndexEnv){.dims = dims, .sweep = -1, .split_axis = -1}; }

IndexExpr index_const(Dim base)
{
    IndexExpr e = {.base = base, .dyn = -1};
    return e;
}

IndexExpr index_axis(uint32_t axis, Dim coef)
{
    IndexExpr e = index_const(0);
    e.coef[axis] = coef;
    return e;
}

static bool is_negative(const IndexExpr *e, uint32_t a) { return e->negative >> a & 1; }

/* Provably a >= b. */
static bool at_least(DimTable *t, Dim a, Dim b)
{
    Dim d = dim_sub(t, a, b);
    return d != DIM_BAD && dim_lo(t, d) >= 0;
}

/* base and minus have no common part left if it is known which of them is larger. */
static bool settle(IndexEnv *env, IndexExpr *e)
{
    if (e->base == DIM_BAD || e->minus == DIM_BAD) return false;
    if (e->base != 0 && e->minus != 0) {
        const Dim base = e->base, minus = e->minus;
        if (at_least(env->dims, base, minus))
            e->base = dim_sub(env->dims, base, minus), e->minus = 0;
        else if (at_least(env->dims, minus, base))
            e->minus = dim_sub(env->dims, minus, base), e->base = 0;
    }
    for (uint32_t a = 0; a < INDEX_AXES; a++) {
        if (e->coef[a] == DIM_BAD) return false;
        if (e->coef[a] == 0) e->negative &= ~(1u << a);
    }
    return true;
}

/* Terms of one axis with opposite signs. */
static bool cancel(IndexEnv *env, IndexExpr *to, uint32_t a, Dim c)
{
    Dim old = to->coef[a];
    bool less = dim_is_const(old) && dim_is_const(c) ? old < c : dim_lo(env->dims, old) < dim_hi(env->dims, c);
    if (less && !(dim_is_const(old) && dim_is_const(c))) return false;
    to->coef[a] = less ? c - old : dim_sub(env->dims, old, c);
    if (less) to->negative ^= 1u << a;
    return true;
}

bool index_add(IndexEnv *env, IndexExpr *to, const IndexExpr *e)
{
    to->base = dim_add(env->dims, to->base, e->base);
    to->minus = dim_add(env->dims, to->minus, e->minus);
    for (uint32_t a = 0; a < INDEX_AXES; a++) {
        if (e->coef[a] == 0) continue;
        if (to->coef[a] == 0) {
            to->coef[a] = e->coef[a];
            to->negative |= e->negative & 1u << a;
        } else if (is_negative(to, a) == is_negative(e, a)) {
            to->coef[a] = dim_add(env->dims, to->coef[a], e->coef[a]);
        } else if (!cancel(env, to, a, e->coef[a])) {
            return false;
        }
    }
    if (e->dyn >= 0) {
        if (to->dyn >= 0 && !env->prim) return false;
        to->dyn = to->dyn >= 0 ? env->prim(env->user, P_add, to->dyn, e->dyn) : e->dyn;
    }
    return settle(env, to);
}

bool index_scale(IndexEnv *env, IndexExpr *e, Dim by)
{
    e->base = dim_mul(env->dims, e->base, by);
    e->minus = dim_mul(env->dims, e->minus, by);
    for (uint32_t a = 0; a < INDEX_AXES; a++)
        if (e->coef[a] != 0) e->coef[a] = dim_mul(env->dims, e->coef[a], by);
    if (e->dyn >= 0 && by != 1) {
        if (!env->prim) return false;
        e->dyn = env->prim(env->user, P_mul, e->dyn, env->dim(env->user, by));
    }
    return settle(env, e);
}

bool index_negate(IndexEnv *env, IndexExpr *e)
{
    Dim base = e->base;
    e->base = e->minus;
    e->minus = base;
    for (uint32_t a = 0; a < INDEX_AXES; a++)
        if (e->coef[a] != 0) e->negative ^= 1u << a;
    if (e->dyn >= 0) {
        if (!env->prim) return false;
        e->dyn = env->prim(env->user, P_sub, env->dim(env->user, 0), e->dyn);
    }
    return true;
}

int32_t index_value(IndexEnv *env, const IndexExpr *e)
{
    int32_t sum = -1;
    for (uint32_t a = 0; a < INDEX_AXES; a++) {
        if (e->coef[a] == 0) continue;
        int32_t term = env->axis(env->user, a);
        if (e->coef[a] != 1) term = env->prim(env->user, P_mul, term, env->dim(env->user, e->coef[a]));
        if (is_negative(e, a))
            sum = env->prim(env->user, P_sub, sum >= 0 ? sum : env->dim(env->user, 0), term);
        else
            sum = sum >= 0 ? env->prim(env->user, P_add, sum, term) : term;
    }
    if (e->dyn >= 0) sum = sum >= 0 ? env->prim(env->user, P_add, sum, e->dyn) : e->dyn;
    if (e->base != 0 || (sum < 0 && e->minus == 0)) {
        int32_t base = env->dim(env->user, e->base);
        sum = sum >= 0 ? env->prim(env->user, P_add, sum, base) : base;
    }
    if (e->minus != 0) sum = env->prim(env->user, P_sub, sum >= 0 ? sum : env->dim(env->user, 0), env->dim(env->user, e->minus));
    return sum;
}

/* ---- questions ----------------------------------------------------------------------------------- */

static bool expr_equal(const IndexExpr *a, const IndexExpr *b)
{
    return a->base == b->base && a->minus == b->minus && a->negative == b->negative && a->dyn == b->dyn &&
           memcmp(a->coef, b->coef, sizeof a->coef) == 0;
}

void index_copy(IndexMap *to, const IndexMap *from) { memcpy(to, from, index_bytes(from)); }

bool index_equal(const IndexMap *a, const IndexMap *b)
{
    if (a->rank != b->rank || memcmp(a->dim, b->dim, a->rank * sizeof *a->dim) != 0) return false;
    for (uint32_t i = 0; i < a->rank; i++)
        if (!expr_equal(&a->at[i], &b->at[i])) return false;
    return true;
}

uint64_t index_hash(const IndexMap *m)
{
    uint64_t h = hash_bytes(m->rank, m->dim, m->rank * sizeof *m->dim);
    for (uint32_t i = 0; i < m->rank; i++) {
        const IndexExpr *e = &m->at[i];
        h = hash_mix(hash_mix(h, (uint64_t)e->base), (uint64_t)e->minus);
        h = hash_mix(hash_mix(h, e->negative), (uint64_t)e->dyn);
        h = hash_bytes(h, e->coef, sizeof e->coef);
    }
    return h;
}

static uint32_t expr_axes(const IndexExpr *e)
{
    uint32_t axes = 0;
    for (uint32_t a = 0; a < INDEX_AXES; a++)
        if (e->coef[a] != 0) axes |= 1u << a;
    return axes;
}

uint32_t index_axes(const IndexMap *m)
{
    uint32_t axes = 0;
    for (uint32_t i = 0; i < m->rank; i++) axes |= expr_axes(&m->at[i]);
    return axes;
}

bool index_has_dyn(const IndexMap *m)
{
    for (uint32_t i = 0; i < m->rank; i++)
        if (m->at[i].dyn >= 0) return true;
    return false;
}

static bool is_plain(const IndexExpr *e) { return e->minus == 0 && e->negative == 0 && e->dyn < 0; }

/* The axis whose own index the expression is; -1 none. */
static int bare_axis(const IndexExpr *e)
{
    uint32_t axes = expr_axes(e);
    if (!is_plain(e) || e->base != 0 || axes == 0 || (axes & (axes - 1)) != 0) return -1;
    int a = __builtin_ctz(axes);
    return e->coef[a] == 1 ? a : -1;
}

bool index_bijective(const IndexEnv *env, const IndexMap *m, uint32_t *axes)
{
    *axes = 0;
    for (uint32_t i = 0; i < m->rank; i++) {
        int a = bare_axis(&m->at[i]);
        if (a < 0 || env->extent[a] != m->dim[i] || (*axes >> a & 1)) return false;
        *axes |= 1u << a;
    }
    return true;
}

int64_t index_layout(const IndexMap *m)
{
    int64_t layout = 0;
    for (uint32_t i = 0; i < m->rank; i++) layout |= (int64_t)(bare_axis(&m->at[i]) + 1) << 4 * i;
    return layout;
}

bool index_from_layout(const IndexEnv *env, int64_t layout, IndexMap *out)
{
    *out = (IndexMap){0};
    for (; layout != 0; layout >>= 4) {
        uint32_t a = (uint32_t)(layout & 15) - 1;
        if (a >= env->naxis || out->rank == INDEX_AXES) return false;
        out->dim[out->rank] = env->extent[a];
        out->at[out->rank++] = index_axis(a, 1);
    }
    return true;
}

void index_root(const IndexEnv *env, uint32_t n, IndexMap *out)
{
    *out = (IndexMap){.rank = n};
    for (uint32_t a = 0; a < n; a++) {
        out->dim[a] = env->extent[a];
        out->at[a] = index_axis(a, 1);
    }
}

/* ---- views --------------------------------------------------------------------------------------- */

/* base, or minus, and the most that the terms of that sign add to it. */
static Dim most(const IndexEnv *env, const IndexExpr *e, bool negative)
{
    Dim sum = negative ? e->minus : e->base;
    for (uint32_t a = 0; a < INDEX_AXES; a++) {
        if (e->coef[a] == 0 || is_negative(e, a) != negative) continue;
        sum = dim_add(env->dims, sum, dim_sub(env->dims, dim_mul(env->dims, e->coef[a], env->extent[a]), e->coef[a]));
    }
    return sum;
}

IndexWithin index_within(const IndexEnv *env, const IndexExpr *e, Dim size)
{
    DimTable *t = env->dims;
    if (e->dyn >= 0) return WITHIN_MAYBE;
    const Dim up = most(env, e, false), down = most(env, e, true), past = dim_add(t, up, 1);
    if (at_least(t, e->base, dim_add(t, down, size)) || at_least(t, e->minus, past)) return WITHIN_NEVER;
    return at_least(t, e->base, down) && at_least(t, dim_add(t, size, e->minus), past) ? WITHIN_ALWAYS : WITHIN_MAYBE;
}

static bool fits(const IndexEnv *env, const IndexExpr *e, Dim size)
{
    return is_plain(e) && index_within(env, e, size) == WITHIN_ALWAYS;
}

static void insert(IndexMap *m, Dim dim, const IndexExpr *e)
{
    m->dim[m->rank] = dim;
    m->at[m->rank++] = *e;
}

/* Appends (dim, e) in as many sizes as its terms tile exactly. */
static void append_split(IndexEnv *env, IndexMap *m, Dim dim, IndexExpr e)
{
    bool again = true;
    while (again && is_plain(&e) && e.base == 0 && m->rank + 2 < INDEX_DIMS) {
        again = false;
        for (uint32_t a = 0; a < env->naxis && !again; a++) {
            Dim c = e.coef[a];
            IndexExpr rest = e;
            rest.coef[a] = 0;
            if (c == 0 || c == 1 || dim_mul(env->dims, c, env->extent[a]) != dim) continue;
            if (expr_axes(&rest) != 0 && !fits(env, &rest, c)) continue;
            const IndexExpr digit = index_axis(a, 1);
            if (env->extent[a] != 1) insert(m, env->extent[a], &digit);
            dim = c;
            e = rest;
            again = true;
        }
    }
    if (dim != 1) insert(m, dim, &e);
}

void index_normalise(IndexEnv *env, IndexMap *m)
{
    IndexMap out;
    out.rank = 0;
    for (uint32_t i = 0; i < m->rank; i++)
        if (m->dim[i] != 1) append_split(env, &out, m->dim[i], m->at[i]);
    index_copy(m, &out);
}

bool index_linear(IndexEnv *env, const IndexMap *m, IndexExpr *out)
{
    Dim stride = 1;
    *out = index_const(0);
    for (uint32_t i = m->rank; i-- > 0;) {
        IndexExpr e = m->at[i];
        if (!index_scale(env, &e, stride) || !index_add(env, out, &e)) return false;
        stride = dim_mul(env->dims, stride, m->dim[i]);
        if (stride == DIM_BAD) return false;
    }
    return true;
}

/* e = outer * size + inner, 0 <= inner < size. */
static bool divide(IndexEnv *env, const IndexExpr *e, Dim size, IndexExpr *outer, IndexExpr *inner)
{
    Dim q;
    *outer = *inner = index_const(0);
    if (is_plain(e)) {
        for (uint32_t a = 0; a < INDEX_AXES; a++) {
            if (e->coef[a] == 0) continue;
            if (dim_divides(env->dims, e->coef[a], size, &q))
                outer->coef[a] = q;
            else
                inner->coef[a] = e->coef[a];
        }
        if (dim_divides(env->dims, e->base, size, &q))
            outer->base = q;
        else if (dim_is_const(e->base) && dim_is_const(size))
            outer->base = e->base / size, inner->base = e->base % size;
        else
            inner->base = e->base;
        if (fits(env, inner, size)) return true;
        int bare = bare_axis(e);
        if (bare >= 0 && dim_divides(env->dims, env->extent[bare], size, &q)) {
            env->split_axis = bare;
            env->split_inner = size;
        }
    }
    /* Inside the sweep an index may be divided: that happens once per step and costs little, since lanes seldom run along the sweep
     * where it is a window's. */
    bool cheap = is_plain(e) && env->sweep >= 0 && expr_axes(e) == 1u << env->sweep;
    if ((env->affine && !cheap) || !env->prim) return false;
    int32_t v = index_value(env, e), by = env->dim(env->user, size);
    *outer = *inner = index_const(0);
    outer->dyn = env->prim(env->user, P_idiv, v, by);
    inner->dyn = env->prim(env->user, P_irem, v, by);
    return true;
}

/* The sizes do not line up: makes one linear index and divides it. */
static bool regroup_linear(IndexEnv *env, const IndexMap *rest, const Dim *shape, uint32_t rank, IndexMap *out)
{
    IndexExpr e;
    if (!index_linear(env, rest, &e)) return false;
    for (uint32_t j = rank; j-- > 0;) {
        if (shape[j] == 1) continue;
        bool outermost = true;
        for (uint32_t i = 0; i < j; i++) outermost &= shape[i] == 1;
        IndexExpr outer = e;
        if (outermost)
            out->at[j] = e;
        else if (!divide(env, &e, shape[j], &outer, &out->at[j]))
            return false;
        e = outer;
    }
    return true;
}

/* Takes factors from the end of rest until they make up size `want`; false: no factors line up with it. */
static bool take(IndexEnv *env, IndexMap *rest, Dim want, IndexExpr *out, bool *lined_up)
{
    Dim stride = 1, q;
    *lined_up = true;
    while (want != 1) {
        if (rest->rank == 0) return *lined_up = false;
        Dim *dim = &rest->dim[rest->rank - 1];
        IndexExpr e = rest->at[rest->rank - 1];
        Dim taken = *dim;
        if (dim_divides(env->dims, want, *dim, &q)) {
            rest->rank--;
        } else if (dim_divides(env->dims, *dim, want, &q)) {
            IndexExpr outer, inner;
            if (!divide(env, &e, want, &outer, &inner)) return false;
            *dim = q;
            rest->at[rest->rank - 1] = outer;
            e = inner;
            taken = want;
            q = 1;
        } else {
            return *lined_up = false;
        }
        if (!index_scale(env, &e, stride) || !index_add(env, out, &e)) return false;
        stride = dim_mul(env->dims, stride, taken);
        want = q;
    }
    return true;
}

bool index_regroup(IndexEnv *env, const IndexMap *in, const Dim *shape, uint32_t rank, IndexMap *out)
{
    IndexMap rest;
    out->rank = rank;
    index_copy(&rest, in);
    env->split_axis = -1;
    bool empty = false;
    for (uint32_t j = 0; j < rank; j++) {
        out->dim[j] = shape[j];
        out->at[j] = index_const(0);
        empty |= shape[j] == 0;
    }
    for (uint32_t i = 0; i < in->rank; i++) empty |= in->dim[i] == 0;
    if (empty) return true; /* no point is ever reached */
    for (uint32_t j = rank; j-- > 0;) {
        IndexMap before;
        bool lined_up;
        index_copy(&before, &rest);
        if (take(env, &rest, shape[j], &out->at[j], &lined_up)) continue;
        if (lined_up) return false;
        out->at[j] = index_const(0);
        return regroup_linear(env, &before, shape, j + 1, out);
    }
    return true;
}

bool index_strided(IndexEnv *env, const IndexMap *m, const Type *t, const Dim *stride, IndexExpr *out)
{
    IndexMap seen;
    *out = index_const(0);
    if (!index_regroup(env, m, t->dim, t->rank, &seen)) return false;
    for (uint32_t i = 0; i < t->rank; i++)
        if (!index_scale(env, &seen.at[i], stride[i]) || !index_add(env, out, &seen.at[i])) return false;
    return true;
}

/* ---- axes ---------------------------------------------------------------------------------------- */

bool index_env_split(IndexEnv *env, uint32_t a, Dim inner)
{
    Dim outer;
    if (env->naxis == INDEX_AXES || !dim_divides(env->dims, env->extent[a], inner, &outer)) return false;
    memmove(env->extent + a + 2, env->extent + a + 1, (env->naxis - a - 1) * sizeof *env->extent);
    env->extent[a] = outer;
    env->extent[a + 1] = inner;
    env->naxis++;
    if (env->sweep > (int)a) env->sweep++;
    return true;
}

void index_split(IndexEnv *env, IndexMap *m, uint32_t a, Dim inner)
{
    for (uint32_t i = 0; i < m->rank; i++) {
        IndexExpr *e = &m->at[i];
        uint32_t low = e->negative & ((2u << a) - 1), high = e->negative & ~((2u << a) - 1);
        memmove(e->coef + a + 2, e->coef + a + 1, (INDEX_AXES - a - 2) * sizeof *e->coef);
        e->coef[a + 1] = e->coef[a];
        e->coef[a] = dim_mul(env->dims, e->coef[a], inner);
        e->negative = low | high << 1 | (low >> a & 1) << (a + 1);
    }
    index_normalise(env, m);
}

void index_rename(IndexMap *m, const uint8_t *perm)
{
    for (uint32_t i = 0; i < m->rank; i++) {
        IndexExpr e = m->at[i];
        memset(m->at[i].coef, 0, sizeof m->at[i].coef);
        m->at[i].negative = 0;
        for (uint32_t a = 0; a < INDEX_AXES; a++) {
            if (e.coef[a] == 0) continue;
            m->at[i].coef[perm[a]] = e.coef[a];
            if (is_negative(&e, a)) m->at[i].negative |= 1u << perm[a];
        }
    }
}

bool index_operand(IndexEnv *env, const Graph *g, const Node *n, uint32_t k, const IndexMap *m, IndexStep *out)
{
    const Mapping p = {env, g, n, k, m, out};
    const OpDef *def = &op_def[n->op];
    out->map.rank = out->nguard = 0;
    out->fills = out->outside = false;
    env->split_axis = -1;
    if (!def->map) {
        index_copy(&out->map, m);
        return !op_is_outside((Op)n->op);
    }
    if (!def->map(&p)) return false;
    index_normalise(env, &out->map);
    return true;
}
