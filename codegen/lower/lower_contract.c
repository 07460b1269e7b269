/* lower_contract: lowers matmul to STEP_CONTRACT. It reads operands through transposes, broadcasts, reshapes and slices where
 * strides can express them, and copies them first where they cannot. Relies on lower.h. */
#include "lower.h"

#define PAIRS_PRODUCT ((int64_t)1 << 14)

/* An operand's elements lie at base + sum of stride * index, over the axes of the operand as the matmul sees it. */
typedef struct Operand {
    Value from;
    Dim base, stride[MAX_RANK];
} Operand;

static bool strides_of(Scope *s, const Type *t, Value from, const IndexMap *m, Operand *op)
{
    IndexEnv env;
    IndexExpr e;
    index_env_init(&env, s->lw->dims);
    env.naxis = t->rank;
    if (!index_linear(&env, m, &e) || e.minus != 0 || e.negative != 0 || e.dyn >= 0) return false;
    *op = (Operand){.from = from, .base = e.base};
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

/* Finds the earliest value over which strides can express the operand. Value v itself always can. */
static void resolve(Scope *s, Value v, Operand *op)
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
        if (op_def[n->op].role < ROLE_SAME || op_def[n->op].role > ROLE_VIEW) return;
        if (!index_operand(&env, s->g, n, 0, &m, &step)) return;
        m = step.map;
        at = n->in[0];
        if (!strides_of(s, t, at, &m, &further)) return;
        settle(t, &further);
        if (usable(t, &further)) *op = further;
    }
}

static void resolve_both(Scope *s, const Node *n, Operand *a, Operand *b)
{
    resolve(s, n->in[0], a);
    resolve(s, n->in[1], b);
}

void contract_needs(Scope *s, const Node *n)
{
    Operand a, b;
    resolve_both(s, n, &a, &b);
    s->needed[scope_root(s->g, a.from)] = true;
    s->needed[scope_root(s->g, b.from)] = true;
}

/* Rows, columns and inner size so few that emitted code needs no help from the host's routine, which is several times faster with
 * matrices of small integers. */
static bool is_small(const DimTable *dims, const Dim *extent, bool pairs)
{
    int64_t work = 1, most = SMALL_PRODUCT;
    if (pairs && dim_hi(dims, extent[0]) > 1 && dim_hi(dims, extent[1]) > 1) most = PAIRS_PRODUCT;
    for (int i = 0; i < 3; i++)
        if (__builtin_mul_overflow(work, MAX_OF(dim_hi(dims, extent[i]), 1), &work)) return false;
    return work <= most;
}

bool lower_matmul(Scope *s, const Node *n)
{
    Operand a, b;
    const Type *t = graph_type(s->g, n->out), *x = graph_type(s->g, n->in[0]);
    uint32_t batch = t->rank - 2u;
    resolve_both(s, n, &a, &b);
    uint32_t from_a = s->buf[scope_root(s->g, a.from)], from_b = s->buf[scope_root(s->g, b.from)], to = scope_result(s, n->out);
    if (from_a == NO_BUF || from_b == NO_BUF || to == NO_BUF)
        return status_fail(s->lw->st, ST_INTERNAL, "lowering %s: a matmul reads a value that was never computed", s->g->name);
    Step *step = scope_step(s, STEP_CONTRACT);
    step->contract.type = x->dtype;
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
    step->contract.host = s->lw->o->host_products && !is_small(s->lw->dims, dims, t->dtype != x->dtype);
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
