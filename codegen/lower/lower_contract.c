/* lower_contract: lowers matmul to STEP_CONTRACT, and convolutions, attention and factors of matrices to STEP_HOST. Of a matmul it
 * reads operands through transposes, broadcasts, reshapes, slices and windows where strides can express them, or digits where the
 * target reads those, and copies them first where they cannot. Relies on lower.h. */
#include "lower.h"

#define PAIRS_PRODUCT ((int64_t)1 << 14)
#define KEPT_PRODUCT ((int64_t)1 << 20) /* as SMALL_PRODUCT, of more than KEPT_ROWS rows, where the host keeps b packed */
#define KEPT_ROWS 8

/* Where an operand's elements lie: base, plus what the index of each batch axis, the row and the column add. */
typedef struct Operand {
    Value from;
    DType type;
    Dim base, batch[MAX_RANK];
    Strides row, col;
} Operand;

/* An operand as it is being resolved. Its axes are the batch's, those of the row's digits, and those of the column's. */
typedef struct Axes {
    IndexEnv env;
    uint32_t row, col; /* the first ones */
} Axes;

/* The axes from .. end - 1 as digits, of which neighbours that one stride counts are one. False: they are too many. */
static bool digits_of(const IndexEnv *env, const IndexExpr *e, uint32_t from, uint32_t end, Strides *d)
{
    *d = (Strides){0};
    for (uint32_t a = from; a < end; a++) {
        if (env->extent[a] == 1 && end - from > 1) continue;
        const bool joins = d->n != 0 && dim_mul(env->dims, env->extent[a], e->coef[a]) == strides_last(d);
        if (joins) {
            d->extent[d->n - 1] = dim_mul(env->dims, d->extent[d->n - 1], env->extent[a]);
        } else if (d->n++ == MOST_DIGITS) {
            return false;
        } else {
            d->extent[d->n - 1] = env->extent[a];
        }
        if (d->extent[d->n - 1] == DIM_BAD) return false;
        d->stride[d->n - 1] = e->coef[a];
    }
    if (d->n == 0) *d = strides_one(0);
    d->extent[0] = 0;
    return true;
}

static bool strides_of(Scope *s, Axes *x, Value from, const IndexMap *m, Operand *op)
{
    IndexExpr e;
    const Node *n = graph_maker(s->g, from);
    const Dim *own = n->op == OP_param && s->lw->o->stride ? s->lw->o->stride[ATTRS(param, n->attr->at)->number] : NULL;
    if (!(own ? index_strided(&x->env, m, graph_type(s->g, from), own, &e) : index_linear(&x->env, m, &e)) || e.minus != 0 ||
        e.negative != 0 || e.dyn >= 0)
        return false;
    *op = (Operand){.from = from, .type = (DType)graph_type(s->g, from)->dtype, .base = e.base};
    for (uint32_t a = 0; a < x->row; a++) op->batch[a] = e.coef[a];
    return digits_of(&x->env, &e, x->row, x->col, &op->row) && digits_of(&x->env, &e, x->col, x->env.naxis, &op->col);
}

/* An axis of one element may have any stride. A BLAS requires rows at least as far apart as they are long, so the axis gets such a
 * stride. */
static void settle(const Type *t, Operand *op)
{
    uint32_t row = t->rank - 2u, col = t->rank - 1u;
    if (t->dim[col] == 1) op->col = strides_one(strides_last(&op->row) == 1 && t->dim[row] != 1 ? t->dim[row] : 1);
    if (t->dim[row] == 1) op->row = strides_one(strides_last(&op->col) == 1 ? t->dim[col] : 1);
}

static bool reads_digits(const Scope *s) { return s->lw->o->target.digits && !s->lw->o->host_products; }

static bool usable(const Scope *s, const Operand *op)
{
    const Strides *row = &op->row, *col = &op->col;
    if (reads_digits(s) && s->lw->o->target.apart) return true;
    for (uint32_t i = 0; i < MOST_DIGITS; i++) /* broadcast inside the matrix */
        if ((i < row->n && row->stride[i] == 0) || (i < col->n && col->stride[i] == 0)) return false;
    return (strides_last(col) == 1 || strides_last(row) == 1) && (reads_digits(s) || (row->n == 1 && col->n == 1));
}

/* Splits the axis that a refused map named. False: that helps nothing. */
static bool split(Scope *s, Axes *x, IndexMap *m)
{
    const int axis = x->env.split_axis;
    const Dim inner = x->env.split_inner;
    if (!reads_digits(s) || axis < (int)x->row || dim_lo(s->lw->dims, inner) < 1) return false;
    if (!index_env_split(&x->env, (uint32_t)axis, inner)) return false;
    index_split(&x->env, m, (uint32_t)axis, inner);
    x->col += axis < (int)x->col;
    return true;
}

/* Finds the earliest value over which strides can express the operand. Value v itself always can. The host's routine widens what it
 * reads, so that a cast to f32 of a narrower type is none of its own. */
static void resolve(Scope *s, Value v, bool host, Operand *op)
{
    const Type *t = graph_type(s->g, v);
    Axes x = {.row = t->rank - 2u, .col = t->rank - 1u};
    IndexMap m;
    IndexStep step;
    index_env_init(&x.env, s->lw->dims);
    x.env.affine = true;
    x.env.naxis = t->rank;
    memcpy(x.env.extent, t->dim, t->rank * sizeof *t->dim);
    index_root(&x.env, t->rank, &m);
    strides_of(s, &x, v, &m, op);
    settle(t, op);
    index_normalise(&x.env, &m);
    for (Value at = v;;) {
        const Node *n = graph_maker(s->g, at);
        Operand further;
        const bool widens = host && node_widens(s->g, n);
        if (!widens && n->op != OP_window && (op_def[n->op].role < ROLE_SAME || op_def[n->op].role > ROLE_VIEW)) return;
        while (!widens && !index_operand(&x.env, s->g, n, 0, &m, &step))
            if (!split(s, &x, &m)) return;
        if (!widens) m = step.map;
        at = n->in[0];
        if (!strides_of(s, &x, at, &m, &further)) return;
        settle(t, &further);
        if (usable(s, &further)) *op = further;
    }
}

#define LONG_DOT 512 /* for which the host's routine takes chains side by side */

/* Rows, columns and inner size so few that emitted code needs no help from the host's routine, which is several times faster with
 * matrices of small integers. */
static bool is_small(const DimTable *dims, const Dim *extent, bool pairs, int64_t most)
{
    int64_t work = 1;
    if (pairs && dim_hi(dims, extent[0]) > 1 && dim_hi(dims, extent[1]) > 1) most = PAIRS_PRODUCT;
    if (extent[0] == 1 && extent[1] == 1 && dim_hi(dims, extent[2]) > LONG_DOT) return false;
    for (int i = 0; i < 3; i++)
        if (__builtin_mul_overflow(work, MAX_OF(dim_hi(dims, extent[i]), 1), &work)) return false;
    return work <= most;
}

/* It lies in an input of the program, with which the host keeps it packed, and would be moved or widened for each product. */
static bool is_better_kept(const Scope *s, const Operand *b)
{
    const Program *p = s->lw->p;
    if (strides_last(&b->col) == 1 && dtype_info[b->type].compute == b->type) return false;
    uint32_t buf = s->buf[scope_root(s->g, b->from)];
    while (buf != NO_BUF && p->buf.at[buf].kind == BUF_SLICE) buf = p->buf.at[buf].of;
    return buf != NO_BUF && p->buf.at[buf].kind == BUF_INPUT;
}

enum { PANEL_ROWS = 8, PANEL_MOST = 1 << 20 }; /* the fewest rows of a, and the most bytes of b */

/* What panels b would be read as: a matrix of known sizes that each turn of the loop multiplies some rows by, and that is neither
 * one panel nor so long that sums collect elsewhere first or so large that it comes from memory each time. */
static bool wants_panels(const Scope *s, const Operand *b, const Dim *extent, uint32_t batches, Panels *p)
{
    const DType t = b->type;
    const int64_t size = (int64_t)dtype_bytes(t), wide = (int64_t)s->lw->o->target.panel_bytes / size;
    const Node *from = graph_maker(s->g, b->from);
    if (s->invariants == 0 || wide == 0 || from->op != OP_param || (uint32_t)ATTRS(param, from->attr->at)->number < s->invariants)
        return false;
    *p = (Panels){.from = b->from, .type = t, .wide = wide};
    const Dim place[] = {b->base, b->row.stride[0], b->col.stride[0], extent[2], extent[1]};
    for (uint32_t i = 0; i < PANEL_WORDS; i++) {
        if (!dim_is_const(place[i])) return false;
        p->place[i] = place[i];
    }
    const int64_t k = extent[2], n = extent[1];
    return batches == 0 && b->row.n == 1 && b->col.n == 1 && dtype_info[t].compute == t && dtype_of_product(t) == t &&
           dim_hi(s->lw->dims, extent[0]) >= PANEL_ROWS && k > 0 && k <= TREE_RUN && n > wide && n <= PANEL_MOST / size / k;
}

/* Whether it is the host's routine that computes the product n. p: what it reads b as if that is panels; else p->from is 0. */
static bool resolve_both(Scope *s, const Node *n, Operand *a, Operand *b, Panels *p)
{
    const Type *t = graph_type(s->g, n->out), *x = graph_type(s->g, n->in[0]);
    const Dim extent[3] = {t->dim[t->rank - 2], t->dim[t->rank - 1], x->dim[x->rank - 1]};
    const bool pairs = t->dtype != x->dtype;
    bool host = s->lw->o->host_products && !is_small(s->lw->dims, extent, pairs, SMALL_PRODUCT);
    resolve(s, n->in[0], host, a);
    resolve(s, n->in[1], host, b);
    if (!host && wants_panels(s, b, extent, t->rank - 2u, p)) return false;
    p->from = 0;
    if (host || !s->lw->o->host_products || dim_lo(s->lw->dims, extent[0]) <= KEPT_ROWS) return host;
    if (is_small(s->lw->dims, extent, pairs, KEPT_PRODUCT) || !is_better_kept(s, b)) return false;
    resolve(s, n->in[0], true, a);
    resolve(s, n->in[1], true, b);
    return true;
}

bool contract_panels(Scope *s, const Node *n, Panels *p)
{
    Operand a, b;
    return !resolve_both(s, n, &a, &b, p) && p->from != 0;
}

void contract_needs(Scope *s, const Node *n)
{
    Operand a, b;
    Panels p;
    resolve_both(s, n, &a, &b, &p);
    s->needed[scope_root(s->g, a.from)] = true;
    s->needed[scope_root(s->g, b.from)] = true;
}

/* Their buffer, and b as it lies there. NO_BUF: they are not there. */
static uint32_t as_panels(const Scope *s, const Panels *like, Operand *b)
{
    const Panels *p = panels_find(s, like);
    if (!p) return NO_BUF;
    b->base = 0;
    b->row = strides_one(p->wide);
    b->col = (Strides){.n = 2, .extent = {0, p->wide}, .stride = {p->place[PANEL_K] * p->wide, 1}};
    return p->buf;
}

/* Whether some of its sizes make it a BLAS's, and it is a plain product of matrices. */
static bool may_be_blas(const Scope *s, const Step *step)
{
    const DimTable *t = s->lw->dims;
    const Strides *const each[] = {&step->contract.a_row, &step->contract.a_col, &step->contract.b_row, &step->contract.b_col};
    for (size_t i = 0; i < COUNT_OF(each); i++)
        if (each[i]->n > 1) return false;
    return s->lw->o->target.blas && step->contract.type == step->contract.to && step->contract.type == step->contract.b_type &&
           step->contract.sums != SUMS_CHAINS &&
           by_blas((DType)step->contract.to, dim_hi(t, step->contract.m), dim_hi(t, step->contract.n), dim_hi(t, step->contract.k));
}

bool lower_matmul(Scope *s, const Node *n)
{
    Operand a, b;
    Panels p;
    const Type *t = graph_type(s->g, n->out), *x = graph_type(s->g, n->in[0]);
    uint32_t batch = t->rank - 2u;
    const bool host = resolve_both(s, n, &a, &b, &p);
    uint32_t from_a = s->buf[scope_root(s->g, a.from)], from_b = s->buf[scope_root(s->g, b.from)], to = scope_result(s, n->out);
    if (p.from != 0) from_b = as_panels(s, &p, &b);
    if (from_a == NO_BUF || from_b == NO_BUF || to == NO_BUF)
        return status_fail(s->lw->st, ST_INTERNAL, "lowering %s: a matmul reads a value that was never computed", s->g->name);
    Step *step = scope_step(s, STEP_CONTRACT);
    step->loc = n->loc;
    step->contract.type = (uint8_t)a.type;
    step->contract.b_type = (uint8_t)b.type;
    step->contract.to = t->dtype;
    step->contract.nbatch = batch;
    memcpy(step->contract.batch, t->dim, batch * sizeof *t->dim);
    step->contract.m = t->dim[batch];
    step->contract.n = t->dim[batch + 1];
    step->contract.k = x->dim[batch + 1];
    step->contract.a = from_a;
    step->contract.b = from_b;
    step->contract.c = to;
    step->contract.a_base = a.base;
    step->contract.b_base = b.base;
    memcpy(step->contract.a_batch, a.batch, batch * sizeof *a.batch);
    memcpy(step->contract.b_batch, b.batch, batch * sizeof *b.batch);
    step->contract.a_row = a.row;
    step->contract.a_col = a.col;
    step->contract.b_row = b.row;
    step->contract.b_col = b.col;
    const Dim dims[] = {t->dim[batch], t->dim[batch + 1], x->dim[batch + 1], a.base, b.base};
    step->contract.host = host;
    step->contract.sums = s->lw->o->target.sums;
    s->lw->p->asks_host |= host;
    step->contract.blas = may_be_blas(s, step);
    for (uint32_t i = 0; i < COUNT_OF(dims); i++) lower_dim(s->lw, dims[i]);
    for (uint32_t i = 0; i < batch; i++) {
        lower_dim(s->lw, t->dim[i]);
        lower_dim(s->lw, a.batch[i]);
        lower_dim(s->lw, b.batch[i]);
    }
    const Strides *const digits[] = {&a.row, &a.col, &b.row, &b.col};
    for (uint32_t i = 0; i < COUNT_OF(digits); i++)
        for (uint32_t j = 0; j < digits[i]->n; j++) {
            lower_dim(s->lw, digits[i]->extent[j]);
            lower_dim(s->lw, digits[i]->stride[j]);
        }
    lower_read(s->lw, from_a);
    lower_read(s->lw, from_b);
    lower_read(s->lw, to);
    s->lw->p->launches++;
    return true;
}

/* ---- routines of the host ------------------------------------------------------------------------ */

bool lower_routine(Scope *s, const Node *n, const Dim *dim, const int64_t *word)
{
    const HostRoutine *h = host_routine((Op)n->op);
    const uint32_t results = routine_results((Op)n->op), count = routine_buffers((Op)n->op);
    if (!s->lw->o->host_products && !h->alone)
        return status_fail(s->lw->st, ST_UNSUPPORTED,
            "lowering %s: no kernels for it on this target (the decompose pass expands it)", op_def[n->op].name);
    uint32_t *buf = ARENA_ARRAY(s->lw->arena, uint32_t, count);
    for (uint32_t i = 0; i < n->nin; i++) buf[results + i] = s->buf[scope_root(s->g, n->in[i])];
    for (uint32_t i = 0; i < results; i++) buf[i] = scope_result(s, n->out + i);
    for (uint32_t i = 0; i < count; i++)
        if (buf[i] == NO_BUF)
            return status_fail(
                s->lw->st, ST_INTERNAL, "lowering %s: %s reads a value that was never computed", s->g->name, op_def[n->op].name);
    Step *step = scope_step(s, STEP_HOST);
    step->buf = buf;
    step->host.op = n->op;
    s->lw->p->asks_host = true;
    step->host.type = graph_type(s->g, n->in[0])->dtype;
    step->host.dim = dim;
    step->host.word = word;
    for (uint32_t i = 0; i < h->dims; i++) lower_dim(s->lw, dim[i]);
    for (uint32_t i = 0; i < count; i++) lower_read(s->lw, buf[i]);
    s->lw->p->launches++;
    return true;
}

/* ---- convolutions -------------------------------------------------------------------------------- */

bool lower_convolve(Scope *s, const Node *n)
{
    const bool filters = n->op == OP_conv_filter;
    const Type *x = graph_type(s->g, n->in[0]), *with = graph_type(s->g, n->in[1]), *to = graph_type(s->g, n->out);
    Dim *dim = ARENA_ARRAY(s->lw->arena, Dim, host_routine((Op)n->op)->dims);
    conv_numbers((Op)n->op, n->attr->at, x->rank, x->dim, (filters ? to : with)->dim, (filters ? with : to)->dim, dim);
    return lower_routine(s, n, dim, ATTRS(conv, n->attr->at)->low);
}

/* ---- attention ----------------------------------------------------------------------------------- */

bool lower_attend(Scope *s, const Node *n)
{
    const Type *of[4];
    for (uint32_t i = 0; i < 4; i++) of[i] = graph_type(s->g, n->in[i]);
    Dim *dim = ARENA_ARRAY(s->lw->arena, Dim, host_routine((Op)n->op)->dims);
    attention_numbers(n->attr->at, of[0]->dim, of[1]->dim, of[2]->dim, of[3]->dim, dim);
    return lower_routine(s, n, dim, &ATTRS(attention, n->attr->at)->scale);
}

/* ---- factors of matrices ------------------------------------------------------------------------- */

bool lower_factor(Scope *s, const Node *n)
{
    const Type *x = graph_type(s->g, n->in[n->nin - 1]);
    Dim *dim = ARENA_ARRAY(s->lw->arena, Dim, host_routine((Op)n->op)->dims);
    if (!factor_numbers(s->lw->dims, n->attr->at, n->attr->len, x->rank, x->dim, dim))
        return status_fail(s->lw->st, ST_SHAPE, "lowering %s: too many matrices", op_def[n->op].name);
    return lower_routine(s, n, dim, NULL);
}
