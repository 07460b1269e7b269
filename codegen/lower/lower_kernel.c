/* lower_kernel: makes a kernel of one group, or several (lower_parts.c): it drafts the results at their maps, then lays the drafts
 * out in stages. Relies on lower.h. */
#include "lower.h"

/* ---- index values as instructions ---------------------------------------------------------------- */

static int32_t env_prim(void *user, Prim p, int32_t x, int32_t y)
{
    bool compares = prim_info[p].result == 'B';
    return build_prim(user, p, compares ? DT_bool : build_type(user, x), x, y, -1);
}

static int32_t env_dim(void *user, Dim d) { return build_dim(user, d); }
static int32_t env_axis(void *user, uint32_t axis) { return build_axis(user, axis); }
static int32_t env_clamped(void *user, Value v, const IndexMap *at, Dim size)
{
    int32_t index = build_value(user, v, at);
    return index < 0 ? -1 : build_clamped(user, index, size);
}

static void begin(Build *b, Lower *lw, const Group *group, const Part *part, bool caches)
{
    Arena *a = lw->scratch;
    *b = (Build){.lw = lw, .group = group, .g = group->g, .part = *part, .caches = caches};
    b->shared.arena = b->streams.arena = b->values.arena = a;
    index_env_init(&b->env, lw->dims);
    b->env.naxis = group->naxis;
    memcpy(b->env.extent, part->extent, sizeof part->extent);
    b->env.sweep = group->sweep;
    b->env.user = b;
    b->env.prim = env_prim;
    b->env.dim = env_dim;
    b->env.axis = env_axis;
    b->env.clamped = env_clamped;
}

/* Finds, for each value, how many reductions follow one another on the way to it. */
static uint16_t *levels(Lower *lw, const Group *group)
{
    const Graph *g = group->g;
    uint16_t *level = ARENA_ARRAY(lw->scratch, uint16_t, g->value.len);
    for (uint32_t i = 0; i < g->node.len && group->sweep >= 0; i++) {
        const Node *n = &g->node.at[i];
        uint16_t l = 0;
        for (uint32_t k = 0; k < n->nin; k++) l = MAX_OF(l, level[n->in[k]]);
        if (group->input[n->out] != NO_BUF) continue;
        for (uint32_t k = 0; k < n->nout; k++) level[n->out + k] = (uint16_t)(l + node_reduces(n));
    }
    return level;
}

/* ---- results ------------------------------------------------------------------------------------- */

static bool add_store(Build *b, uint32_t stream, int32_t x, uint8_t fold, uint32_t stage)
{
    if (stream == UINT32_MAX || x < 0) return false;
    if (b->draft.at[x].i.sweeps && !(stage & 1))
        return status_fail(
            b->lw->st, ST_INTERNAL, "lowering %s: a result that exists once per point differs along the sweep", b->g->name);
    *VEC_PUSH(b->lw->scratch, &b->store) = (DraftStore){{.stream = stream, .value = x, .fold = fold}, (uint16_t)stage};
    return true;
}

bool build_store(Build *b, uint32_t stream, int32_t x, uint8_t fold)
{
    return add_store(b, stream, x, fold, b->env.sweep >= 0 ? 2 * b->sweep_stage + 1 : 0);
}

int32_t build_sum(Build *b, int32_t x)
{
    const Draft *d = &b->draft.at[x];
    const uint16_t axes = (uint16_t)(d->axes & ~(1u << b->env.sweep));
    *VEC_PUSH(b->lw->scratch, &b->reduction) = (DraftReduction){.r = {R_SUM, d->i.type, ORDER_INDEX, x}, .axes = axes};
    Instr i = {.kind = I_REDUCED, .type = build_type(b, x), .a = -1, .b = -1, .c = -1, .ref = b->reduction.len - 1};
    return build_instr(b, &i, 1, axes, 1);
}

bool build_store_after(Build *b, uint32_t stream, int32_t x) { return add_store(b, stream, x, 0, 2); }

int32_t build_fetch(Build *b, uint32_t stream, int32_t plus, int32_t times)
{
    if (stream == UINT32_MAX) return -1;
    const DType type = (DType)dtype_info[b->stream.at[stream].type].compute;
    Draft d = {.axes = (uint16_t)((1u << b->env.naxis) - 1), .stage = (uint16_t)(2 * b->sweep_stage + 1), .cost = 4};
    d.i = (Instr){.kind = I_FETCH, .type = (uint8_t)type, .sweeps = true, .a = plus, .b = times, .c = -1, .ref = stream};
    *VEC_PUSH(b->lw->scratch, &b->draft) = d;
    return (int32_t)b->draft.len - 1;
}

static bool result(Build *b, uint32_t r)
{
    Value v = b->group->out[r];
    IndexMap m;
    if (!index_from_layout(&b->env, b->group->layout[r], &m))
        return status_fail(
            b->lw->st, ST_INTERNAL, "lowering %s: result %u lies on an axis that the kernel does not have", b->g->name, r);
    for (uint32_t i = 0; i < m.rank; i++) {
        const uint32_t axis = (uint32_t)(b->group->layout[r] >> 4 * i & 15) - 1;
        m.dim[i] = b->group->extent[axis];
        m.at[i].base = b->part.first[axis];
    }
    b->sweep_stage = b->level[v];
    int32_t x = build_value(b, v, &m);
    if (x < 0) return false;
    bool sweeps = b->env.sweep >= 0 && (index_axes(&m) >> b->env.sweep & 1);
    uint32_t stage = sweeps ? 2 * b->sweep_stage + 1 : 2u * b->draft.at[x].level;
    return add_store(b, build_stream(b, b->group->nin + r, (DType)graph_type(b->g, v)->dtype, &m), x, 0, stage);
}

/* A row cache can be read only if the stage that fills it is drafted first. `before`: the reductions of a draft without caches. */
static bool draft(Build *b, const Build *before)
{
    if (b->group->draft) return b->group->draft(b, b->group->with);
    for (uint32_t level = 0; before && level < 64; level++) {
        for (uint32_t i = 0; i < before->fold.len; i++) {
            const DraftFold *f = &before->fold.at[i];
            if (f->level != level) continue;
            b->sweep_stage = level + 1;
            if (build_value(b, f->v, &f->map) < 0) return false;
        }
    }
    for (uint32_t r = 0; r < b->group->nout; r++)
        if (!result(b, r)) return false;
    return true;
}

/* ---- layout -------------------------------------------------------------------------------------- */

typedef struct Layout {
    const Build *b;
    Kernel *k;
    uint16_t *axes;          /* per instruction */
    int32_t *instr, *stream; /* draft -> final, -1 unused */
    int32_t *reduction;
} Layout;

static void use_stream(Layout *l, bool *used, uint32_t stream)
{
    const Stream *s = &l->b->stream.at[stream];
    if (l->stream[stream] >= 0) return;
    l->stream[stream] = 0;
    if (s->dyn >= 0) used[s->dyn] = true;
    if (s->guard >= 0) used[s->guard] = true;
}

/* Marks the drafts that something depends on. Users come after what they use. */
static bool *used_drafts(Layout *l)
{
    const Build *b = l->b;
    bool *used = ARENA_ARRAY(b->lw->scratch, bool, b->draft.len + 1);
    for (uint32_t i = 0; i < b->store.len; i++) {
        used[b->store.at[i].s.value] = true;
        use_stream(l, used, b->store.at[i].s.stream);
    }
    for (uint32_t i = 0; i < b->reduction.len; i++) used[b->reduction.at[i].r.value] = true;
    for (uint32_t i = 0; i < b->draft.len; i++) used[i] |= b->draft.at[i].i.kind == I_FETCH;
    for (uint32_t i = b->draft.len; i-- > 0;) {
        const Instr *d = &b->draft.at[i].i;
        if (!used[i]) continue;
        if (d->a >= 0) used[d->a] = true;
        if (d->b >= 0) used[d->b] = true;
        if (d->c >= 0) used[d->c] = true;
        if (d->kind == I_LOAD || d->kind == I_FETCH) use_stream(l, used, d->ref);
    }
    return used;
}

static int32_t renamed(const int32_t *map, int32_t x) { return x < 0 ? -1 : map[x]; }

static void lay_streams(Layout *l)
{
    const Build *b = l->b;
    Kernel *k = l->k;
    k->stream = ARENA_ARRAY(b->lw->arena, Stream, b->stream.len + 1);
    for (uint32_t i = 0; i < b->stream.len; i++) {
        if (l->stream[i] < 0) continue;
        l->stream[i] = (int32_t)k->nstream;
        k->stream[k->nstream++] = b->stream.at[i];
    }
}

static void lay_stage(Layout *l, const bool *used, uint32_t s)
{
    const Build *b = l->b;
    Kernel *k = l->k;
    Stage st = {.sweep = s & 1, .first = k->ninstr, .first_reduction = k->nreduction, .first_store = k->nstore};
    for (uint32_t i = 0; i < b->draft.len; i++) {
        if (!used[i] || b->draft.at[i].stage != s) continue;
        Instr d = b->draft.at[i].i;
        d.a = renamed(l->instr, d.a);
        d.b = renamed(l->instr, d.b);
        d.c = renamed(l->instr, d.c);
        if (d.kind == I_LOAD || d.kind == I_FETCH) d.ref = (uint32_t)l->stream[d.ref];
        if (d.kind == I_REDUCED) d.ref = (uint32_t)l->reduction[d.ref];
        l->axes[k->ninstr] = b->draft.at[i].axes;
        l->instr[i] = (int32_t)k->ninstr;
        k->instr[k->ninstr++] = d;
    }
    for (uint32_t i = 0; i < b->reduction.len; i++) {
        if (2u * b->reduction.at[i].level + 1 != s) continue;
        l->reduction[i] = (int32_t)k->nreduction;
        k->reduction[k->nreduction] = b->reduction.at[i].r;
        k->reduction[k->nreduction++].value = l->instr[b->reduction.at[i].r.value];
    }
    for (uint32_t i = 0; i < b->store.len; i++) {
        if (b->store.at[i].stage != s) continue;
        Store to = b->store.at[i].s;
        k->store[k->nstore++] = (Store){.stream = (uint32_t)l->stream[to.stream], .value = l->instr[to.value], .fold = to.fold};
    }
    st.last = k->ninstr, st.last_reduction = k->nreduction, st.last_store = k->nstore;
    if (st.last > st.first || st.last_reduction > st.first_reduction || st.last_store > st.first_store) k->stage[k->nstage++] = st;
}

static uint32_t stage_count(const Build *b)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->draft.len; i++) n = MAX_OF(n, b->draft.at[i].stage + 1u);
    for (uint32_t i = 0; i < b->store.len; i++) n = MAX_OF(n, b->store.at[i].stage + 1u);
    return n;
}

static Kernel *lay_out(const Build *b, uint16_t **axes)
{
    Arena *a = b->lw->arena, *scratch = b->lw->scratch;
    Kernel *k = ARENA_NEW(a, Kernel);
    Layout l = {.b = b, .k = k};
    k->naxis = b->env.naxis;
    memcpy(k->extent, b->env.extent, sizeof k->extent);
    k->sweep = (int8_t)b->env.sweep;
    k->nbuf = b->group->nin + b->group->nout;
    k->writes = ARENA_ARRAY(a, bool, k->nbuf + 1);
    for (uint32_t i = b->group->nin; i < k->nbuf; i++) k->writes[i] = true;
    k->instr = ARENA_ARRAY(a, Instr, b->draft.len + 1);
    k->reduction = ARENA_ARRAY(a, Reduction, b->reduction.len + 1);
    k->store = ARENA_ARRAY(a, Store, b->store.len + 1);
    uint32_t stages = stage_count(b);
    k->stage = ARENA_ARRAY(a, Stage, stages + 1);
    k->nrow = b->row_type.len;
    k->row_type = arena_copy(a, b->row_type.at, k->nrow);
    *axes = l.axes = ARENA_ARRAY(scratch, uint16_t, b->draft.len + 1);
    l.instr = ARENA_ARRAY(scratch, int32_t, b->draft.len + 1);
    l.reduction = ARENA_ARRAY(scratch, int32_t, b->reduction.len + 1);
    l.stream = ARENA_ARRAY(scratch, int32_t, b->stream.len + 1);
    memset(l.stream, 0xff, (b->stream.len + 1) * sizeof *l.stream);
    const bool *used = used_drafts(&l);
    lay_streams(&l);
    for (uint32_t s = 0; s < stages; s++) lay_stage(&l, used, s);
    for (uint32_t i = 0; i < k->nstream; i++) {
        k->stream[i].dyn = renamed(l.instr, k->stream[i].dyn);
        k->stream[i].guard = renamed(l.instr, k->stream[i].guard);
    }
    return k;
}

/* ---- the kernel ---------------------------------------------------------------------------------- */

static void name_kernel(const Lower *lw, const Group *group, Kernel *k)
{
    const Graph *g = group->g;
    Value v = group->draft ? group->node->out : group->out[group->nout - 1];
    while (group->input[v] == NO_BUF && op_in_order((Op)graph_maker(g, v)->op)) v = graph_maker(g, v)->in[0];
    k->name = arena_printf(lw->arena, "%s_%u", op_def[graph_maker(g, v)->op].name, lw->p->kernel.len);
    k->loc = graph_maker(g, v)->loc;
}

static void note_dims(Lower *lw, const Kernel *k)
{
    for (uint32_t i = 0; i < k->naxis; i++) lower_dim(lw, k->extent[i]);
    for (uint32_t s = 0; s < k->nstream; s++) {
        lower_dim(lw, k->stream[s].base);
        for (uint32_t i = 0; i < k->naxis; i++) lower_dim(lw, k->stream[s].coef[i]);
    }
}

uint32_t lower_add_kernel(Lower *lw, Kernel *k)
{
    uint64_t key;
    const Words w = kernel_words(lw, k);
    uint32_t known = known_kernel(&lw->known, &w, &key);
    if (known != NO_BUF) return known;
    note_dims(lw, k);
    *VEC_PUSH(lw->arena, &lw->p->kernel) = *k;
    know_kernel(lw, &lw->known, &w, key, lw->p->kernel.len - 1);
    return lw->p->kernel.len - 1;
}

bool build_draft(Build *b, Lower *lw, const Group *group, const Part *part)
{
    begin(b, lw, group, part, false);
    b->level = levels(lw, group);
    return draft(b, NULL);
}

/* Keeps only those buffers of the group that the kernel touches. */
static void number_buffers(Lower *lw, Kernel *k, Piece *p)
{
    uint32_t *buf = ARENA_ARRAY(lw->scratch, uint32_t, k->nbuf + 1), *number = ARENA_ARRAY(lw->scratch, uint32_t, k->nbuf + 1);
    bool *touched = ARENA_ARRAY(lw->scratch, bool, k->nbuf + 1);
    for (uint32_t s = 0; s < k->nstream; s++)
        if (!(k->stream[s].buf & STREAM_ROW)) touched[k->stream[s].buf] = true;
    for (uint32_t i = 0; i < k->nbuf; i++) {
        if (!touched[i]) continue;
        k->writes[p->nbuf] = k->writes[i];
        number[i] = p->nbuf;
        buf[p->nbuf++] = i;
    }
    for (uint32_t s = 0; s < k->nstream; s++)
        if (!(k->stream[s].buf & STREAM_ROW)) k->stream[s].buf = number[k->stream[s].buf];
    k->nbuf = p->nbuf;
    p->buf = buf;
}

static bool add_piece(const Build *plain, Pieces *out)
{
    Lower *lw = plain->lw;
    Build cached;
    uint16_t *axes;
    Piece p = {0};
    Kernel *k = lay_out(plain, &axes);
    if (plain->fold.len != 0 && lw->o->target.row_cache_bytes != 0 && kernel_sweeps_lanes(k, axes)) {
        begin(&cached, lw, plain->group, &plain->part, true);
        cached.level = plain->level;
        if (!draft(&cached, plain)) return false;
        if (cached.row_type.len != 0) k = lay_out(&cached, &axes);
    }
    number_buffers(lw, k, &p);
    kernel_schedule(lw, k, axes);
    name_kernel(lw, plain->group, k);
    p.kernel = lower_add_kernel(lw, k);
    *VEC_PUSH(lw->scratch, out) = p;
    return true;
}

bool lower_group(Lower *lw, const Group *group, Pieces *out)
{
    Part all = {{0}, {0}};
    Parts parts = {0};
    Build b;
    memcpy(all.extent, group->extent, sizeof group->extent);
    if (!build_draft(&b, lw, group, &all)) return false;
    if (b.cut.len == 0 || !build_parts(&b, &parts)) return add_piece(&b, out);
    for (uint32_t i = 0; i < parts.len; i++)
        if (!build_draft(&b, lw, group, &parts.at[i]) || !add_piece(&b, out)) return false;
    return true;
}
