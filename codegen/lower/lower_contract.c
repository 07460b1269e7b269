/* lower_contract: lowers matmul to STEP_CONTRACT, and convolutions to STEP_CONV. Of a matmul it reads operands through transposes,
 * broadcasts, reshapes and slices where strides can express them, and copies them first where they cannot. Relies on lower.h. */
#include "lower.h"

#define PAIRS_PRODUCT ((int64_t)1 << 14)

/* An operand's elements lie at base + sum of stride * index, over the axes of the operand as the matmul sees it. */
typedef struct Operand {
    Value from;
    DType type;
    Dim base, stride[MAX_RANK];
} Operand;

static bool strides_of(Scope *s, const Type *t, Value from, const IndexMap *m, Operand *op)
{
    IndexEnv env;
    IndexExpr e;
    index_env_init(&env, s->lw->dims);
    env.naxis = t->rank;
    if (!index_linear(&env, m, &e) || e.minus != 0 || e.negative != 0 || e.dyn >= 0) return false;
    *op = (Operand){.from = from, .type = (DType)graph_type(s->g, from)->dtype, .base = e.base};
    for (uint32_t a = 0; a < t->rank; a++) op->stride[a] = e.coef[a];
    return true;
}

/* An axis of one element may have any stride. A BLAS requires rows at least as far apart as they are long, so the axis gets such a
 * stride. */
static void settle(const Type *t, Operand *op)
{
    uint32_t row = t->rank - 2u, col = t->rank - 1u;
    if (t->dim[col] == 1) op->stride[col] = op->stride[row] == 1 && t->dim[row] != 1 ? t->dim[row] : 1;
    if (t->dim[row] == 1) op->stride[row] = op->stride[col] == 1 ? t->dim[col] : 1;
}

static bool usable(const Type *t, const Operand *op)
{
    uint32_t row = t->rank - 2u, col = t->rank - 1u;
    if (op->stride[row] == 0 || op->stride[col] == 0) return false; /* broadcast inside the matrix */
    return op->stride[col] == 1 || op->stride[row] == 1;
}

/* Finds the earliest value over which strides can express the operand. Value v itself always can. The host's routine widens what it
 * reads, so that a cast to f32 of a narrower type is none of its own. */
static void resolve(Scope *s, Value v, bool host, Operand *op)
{
    const Type *t = graph_type(s->g, v);
    IndexEnv env;
    IndexMap m;
    IndexStep step;
    index_env_init(&env, s->lw->dims);
    env.affine = true;
    env.naxis = t->rank;
    memcpy(env.extent, t->dim, t->rank * sizeof *t->dim);
    index_root(&env, t->rank, &m);
    strides_of(s, t, v, &m, op);
    settle(t, op);
    index_normalise(&env, &m);
    for (Value at = v;;) {
        const Node *n = graph_maker(s->g, at);
        Operand further;
        const bool widens = host && node_widens(s->g, n);
        if (!widens && (op_def[n->op].role < ROLE_SAME || op_def[n->op].role > ROLE_VIEW)) return;
        if (!widens && !index_operand(&env, s->g, n, 0, &m, &step)) return;
        if (!widens) m = step.map;
        at = n->in[0];
        if (!strides_of(s, t, at, &m, &further)) return;
        settle(t, &further);
        if (usable(t, &further)) *op = further;
    }
}

#define LONG_DOT 512 /* for which the host's routine takes chains side by side */

/* Rows, columns and inner size so few that emitted code needs no help from the host's routine, which is several times faster with
 * matrices of small integers. */
static bool is_small(const DimTable *dims, const Dim *extent, bool pairs)
{
    int64_t work = 1, most = SMALL_PRODUCT;
    if (pairs && dim_hi(dims, extent[0]) > 1 && dim_hi(dims, extent[1]) > 1) most = PAIRS_PRODUCT;
    if (extent[0] == 1 && extent[1] == 1 && dim_hi(dims, extent[2]) > LONG_DOT) return false;
    for (int i = 0; i < 3; i++)
        if (__builtin_mul_overflow(work, MAX_OF(dim_hi(dims, extent[i]), 1), &work)) return false;
    return work <= most;
}

/* Whether it is the host's routine that computes the product n. */
static bool resolve_both(Scope *s, const Node *n, Operand *a, Operand *b)
{
    const Type *t = graph_type(s->g, n->out), *x = graph_type(s->g, n->in[0]);
    const Dim extent[3] = {t->dim[t->rank - 2], t->dim[t->rank - 1], x->dim[x->rank - 1]};
    const bool host = s->lw->o->host_products && !is_small(s->lw->dims, extent, t->dtype != x->dtype);
    resolve(s, n->in[0], host, a);
    resolve(s, n->in[1], host, b);
    return host;
}

void contract_needs(Scope *s, const Node *n)
{
    Operand a, b;
    resolve_both(s, n, &a, &b);
    s->needed[scope_root(s->g, a.from)] = true;
    s->needed[scope_root(s->g, b.from)] = true;
}

bool lower_matmul(Scope *s, const Node *n)
{
    Operand a, b;
    const Type *t = graph_type(s->g, n->out), *x = graph_type(s->g, n->in[0]);
    uint32_t batch = t->rank - 2u;
    const bool host = resolve_both(s, n, &a, &b);
    uint32_t from_a = s->buf[scope_root(s->g, a.from)], from_b = s->buf[scope_root(s->g, b.from)], to = scope_result(s, n->out);
    if (from_a == NO_BUF || from_b == NO_BUF || to == NO_BUF)
        return status_fail(s->lw->st, ST_INTERNAL, "lowering %s: a matmul reads a value that was never computed", s->g->name);
    Step *step = scope_step(s, STEP_CONTRACT);
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
    memcpy(step->contract.a_batch, a.stride, batch * sizeof *a.stride);
    memcpy(step->contract.b_batch, b.stride, batch * sizeof *b.stride);
    step->contract.a_row = a.stride[batch];
    step->contract.a_col = a.stride[batch + 1];
    step->contract.b_row = b.stride[batch];
    step->contract.b_col = b.stride[batch + 1];
    const Dim dims[] = {t->dim[batch], t->dim[batch + 1], x->dim[batch + 1], a.base, b.base};
    step->contract.host = host;
    for (uint32_t i = 0; i < COUNT_OF(dims); i++) lower_dim(s->lw, dims[i]);
    for (uint32_t i = 0; i < t->rank; i++) {
        lower_dim(s->lw, t->dim[i]);
        lower_dim(s->lw, a.stride[i]);
        lower_dim(s->lw, b.stride[i]);
    }
    lower_read(s->lw, from_a);
    lower_read(s->lw, from_b);
    lower_read(s->lw, to);
    s->lw->p->launches++;
    return true;
}

/* ---- convolutions -------------------------------------------------------------------------------- */

/* A convolution of x with filters of type w; y: what it makes, or of the filters' gradient the other operand. */
static bool lower_convolution(Scope *s, const Node *n, const Type *w, const Type *y)
{
    const Type *x = graph_type(s->g, n->in[0]);
    if (!s->lw->o->host_products)
        return status_fail(s->lw->st, ST_UNSUPPORTED,
            "lowering %s: no kernels for it on this target (the decompose pass expands it)", op_def[n->op].name);
    uint32_t *buf = ARENA_ARRAY(s->lw->arena, uint32_t, 3);
    for (uint32_t i = 0; i < 2; i++) buf[i] = s->buf[scope_root(s->g, n->in[i])];
    buf[2] = scope_result(s, n->out);
    for (uint32_t i = 0; i < 3; i++)
        if (buf[i] == NO_BUF)
            return status_fail(
                s->lw->st, ST_INTERNAL, "lowering %s: a convolution reads a value that was never computed", s->g->name);
    Step *step = scope_step(s, STEP_CONV);
    step->buf = buf;
    step->conv.type = x->dtype;
    step->conv.filters = n->op == OP_conv_filter;
    memcpy(step->conv.low, ATTRS(conv, n->attr->at)->low, sizeof step->conv.low);
    Dim *dim = step->conv.dim;
    conv_numbers((Op)n->op, n->attr->at, x->rank, x->dim, w->dim, y->dim, dim);
    for (uint32_t i = 0; i < CONV_DIMS; i++) lower_dim(s->lw, dim[i]);
    for (uint32_t i = 0; i < 3; i++) lower_read(s->lw, buf[i]);
    s->lw->p->launches++;
    return true;
}

bool lower_conv(Scope *s, const Node *n) { return lower_convolution(s, n, graph_type(s->g, n->in[1]), graph_type(s->g, n->out)); }
bool lower_conv_filter(Scope *s, const Node *n)
{
    return lower_convolution(s, n, graph_type(s->g, n->out), graph_type(s->g, n->in[1]));
}
