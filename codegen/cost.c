/* cost: see cost.h. */
#include "cost.h"

#include "../ir/scalar.h"

typedef struct Env {
    const Program *p;
    const int64_t *symbol;
    uint32_t within;
} Env;

static double value(const Env *e, Dim d) { return d >= 0 ? (double)d : (double)dim_eval(&e->p->module->dims, d, e->symbol); }

static double elements(const Env *e, const Type *t)
{
    double n = 1;
    for (uint32_t i = 0; i < t->rank; i++)
        if (!dim_is_made(&e->p->module->dims, t->dim[i])) n *= value(e, t->dim[i]);
    return n;
}

static double bytes(const Env *e, uint32_t buf)
{
    const Type *t = &e->p->buf.at[buf].type;
    return elements(e, t) * (double)dtype_bytes((DType)t->dtype);
}

/* ---- kernels --------------------------------------------------------------------------------- */

/* What each primitive counts where it is of floats; those that are not named count nothing. */
static const uint8_t prim_flops[P_COUNT] = {
    [P_add] = 1, [P_sub] = 1, [P_mul] = 1, [P_div] = 1, [P_fmod] = 1, [P_sqrt] = 1, [P_mad] = 2, [P_scale] = 1};

static double points(const Env *e, const Kernel *k, uint32_t axes)
{
    double n = 1;
    for (uint32_t a = 0; a < k->naxis; a++)
        if (axes >> a & 1) n *= value(e, k->extent[a]);
    return n;
}

static uint32_t all_axes(const Kernel *k) { return (1u << k->naxis) - 1; }
static uint32_t row_axes(const Kernel *k) { return all_axes(k) & ~(k->sweep >= 0 ? 1u << k->sweep : 0u); }

static uint32_t axes_of(const Kernel *k, const Stream *s, const uint32_t *depends)
{
    uint32_t axes = s->dyn >= 0 ? depends[s->dyn] : 0;
    for (uint32_t a = 0; a < k->naxis; a++) axes |= (s->coef[a] != 0) << a;
    return axes;
}

/* The axes along which each instruction differs. */
static void find_axes(const Kernel *k, uint32_t *depends)
{
    for (uint32_t i = 0; i < k->ninstr; i++) {
        const Instr *x = &k->instr[i];
        const int32_t operand[3] = {x->a, x->b, x->c};
        uint32_t axes = x->kind == I_AXIS ? 1u << x->ref : x->kind == I_FETCH ? all_axes(k) : 0;
        if (x->kind == I_REDUCED) axes = row_axes(k);
        if (x->kind == I_LOAD) axes = axes_of(k, &k->stream[x->ref], depends);
        for (int j = 0; j < 3; j++)
            if (operand[j] >= 0) axes |= depends[operand[j]];
        depends[i] = axes;
    }
}

enum { READ = 1, WRITTEN = 2 };

/* Of one of the kernel's buffers, in all streams of which `touched` says that they do this. */
static double touched_bytes(
    const Env *e, const Step *s, uint32_t slot, const uint32_t *touched, uint32_t what, const uint32_t *depends)
{
    const Kernel *k = &e->p->kernel.at[s->kernel];
    double n = 0;
    size_t size = 0;
    for (uint32_t i = 0; i < k->nstream; i++) {
        if (!(touched[i] & what) || k->stream[i].buf != slot) continue;
        n += points(e, k, axes_of(k, &k->stream[i], depends));
        size = dtype_bytes((DType)k->stream[i].type);
    }
    if (what == READ && s->buf[slot] == e->within) return 0;
    return MIN_OF(n, elements(e, &e->p->buf.at[s->buf[slot]].type)) * (double)size;
}

static void find_streams(const Kernel *k, uint32_t *touched)
{
    memset(touched, 0, k->nstream * sizeof *touched);
    for (uint32_t i = 0; i < k->ninstr; i++) {
        const Instr *x = &k->instr[i];
        if (x->kind == I_LOAD || x->kind == I_FETCH) touched[x->ref] |= x->kind == I_LOAD ? READ : READ | WRITTEN;
    }
    for (uint32_t i = 0; i < k->nstore; i++) touched[k->store[i].stream] |= k->store[i].fold ? READ | WRITTEN : WRITTEN;
}

static double kernel_flops(const Env *e, const Kernel *k)
{
    const double all = points(e, k, all_axes(k)), rows = points(e, k, row_axes(k));
    double n = 0;
    for (uint32_t i = 0; i < k->ninstr; i++) {
        const Instr *x = &k->instr[i];
        const double each = x->kind == I_PRIM ? prim_flops[x->prim] : 0;
        if (dtype_is_float((DType)x->type)) n += each * (x->sweeps ? all : rows);
    }
    for (uint32_t i = 0; i < k->nreduction; i++) {
        const Reduction *r = &k->reduction[i];
        if ((r->kind == R_SUM || r->kind == R_PROD) && dtype_is_float((DType)r->type)) n += all;
    }
    for (uint32_t i = 0; i < k->nstore; i++) {
        const Store *s = &k->store[i];
        const bool adds = s->fold == 1 + R_SUM || s->fold == 1 + R_PROD;
        if (adds && dtype_is_float((DType)k->stream[s->stream].type)) n += all;
    }
    return n;
}

static Cost kernel_cost(const Env *e, const Step *s, uint32_t *room)
{
    const Kernel *k = &e->p->kernel.at[s->kernel];
    uint32_t *depends = room, *touched = room + k->ninstr;
    Cost c = {.flops = kernel_flops(e, k)};
    find_axes(k, depends);
    find_streams(k, touched);
    for (uint32_t i = 0; i < k->nbuf; i++) {
        c.read += touched_bytes(e, s, i, touched, READ, depends);
        c.written += touched_bytes(e, s, i, touched, WRITTEN, depends);
    }
    return c;
}

/* ---- products ---------------------------------------------------------------------------------- */

/* One operand, of rows times columns: what it reads, at most the whole buffer. */
static double operand_bytes(
    const Env *e, const Step *s, uint32_t buf, const Dim *batch, const Strides *row, Dim rows, const Strides *col, Dim cols)
{
    const Type *t = &e->p->buf.at[buf].type;
    double n = 1;
    for (uint32_t i = 0; i < s->contract.nbatch; i++)
        if (batch[i] != 0) n *= value(e, s->contract.batch[i]);
    if (row->n != 1 || row->stride[0] != 0) n *= value(e, rows);
    if (col->n != 1 || col->stride[0] != 0) n *= value(e, cols);
    return MIN_OF(n, elements(e, t)) * (double)dtype_bytes((DType)t->dtype);
}

static Cost contract_cost(const Env *e, const Step *s)
{
    double n = 1;
    for (uint32_t i = 0; i < s->contract.nbatch; i++) n *= value(e, s->contract.batch[i]);
    Cost c = {.written = bytes(e, s->contract.c),
        .flops = 2 * n * value(e, s->contract.m) * value(e, s->contract.n) * value(e, s->contract.k)};
    c.read = operand_bytes(
                 e, s, s->contract.a, s->contract.a_batch, &s->contract.a_row, s->contract.m, &s->contract.a_col, s->contract.k) +
             operand_bytes(
                 e, s, s->contract.b, s->contract.b_batch, &s->contract.b_row, s->contract.k, &s->contract.b_col, s->contract.n);
    return c;
}

static int64_t quotient_up(int64_t x, int64_t by) { return x / by + (x % by > 0); }

/* A tap meets elements at o * stride + from, of places o, where that is a multiple of spread within in * spread. Stride and spread
 * are not both above 1: either every place counts, or one out of spread, the first one being `first`. */
double conv_meetings(const HostConv *c, int i)
{
    const int64_t stride = c->stride[i], spread = c->spread[i];
    double n = 0;
    for (int64_t t = 0; t < c->taps[i]; t++) {
        const int64_t from = t * c->dilation[i] - c->low[i], first = (spread - from % spread) % spread;
        const int64_t begin = MAX_OF(quotient_up(-from, stride), 0);
        const int64_t end = MIN_OF(quotient_up(c->in[i] * spread - from, stride), c->out[i]);
        if (begin < end) n += (double)(quotient_up(end - first, spread) - quotient_up(begin - first, spread));
    }
    return n;
}

static double conv_flops(const Env *e, const Step *s)
{
    HostConv c;
    int64_t *to = &c.n;
    for (uint32_t i = 0; i < 22; i++) to[i] = (int64_t)value(e, s->host.dim[i]);
    for (uint32_t i = 0; i < 3; i++) c.low[i] = s->host.word[i];
    double n = 2 * (double)c.n * (double)c.groups * (double)c.c * (double)c.o;
    for (int i = 0; i < 3; i++) n *= conv_meetings(&c, i);
    return n;
}

static double attention_flops(const Env *e, const Step *s)
{
    HostAttention a;
    int64_t *to = &a.n;
    for (uint32_t i = 0; i < 12; i++) to[i] = (int64_t)value(e, s->host.dim[i]);
    double pairs = 0;
    for (int64_t r = 0; r < a.rows; r++) {
        const int64_t sees = a.causal ? r % a.period + a.after - a.before + 1 : a.keys;
        pairs += (double)MAX_OF(MIN_OF(sees, a.keys), 0);
    }
    /* scores and means; scores, what g has with v, sums of ds k; scores, g with v, sums of ds q and of p g */
    const double d = (double)a.d, v = (double)a.e,
                 each = s->host.op == OP_attention         ? d + v
                        : s->host.op == OP_attention_query ? 2 * d + v
                                                           : 2 * d + 2 * v;
    return 2 * (double)a.n * pairs * each;
}

static Cost host_cost(const Env *e, const Step *s)
{
    const Op op = (Op)s->host.op;
    Cost c = {0};
    if (op_convolves(op)) c.flops = conv_flops(e, s);
    if (op_attends(op)) c.flops = attention_flops(e, s);
    if (op_factors(op)) c.flops = op_factor_flops(op, value(e, s->host.dim[0]), value(e, s->host.dim[1]), value(e, s->host.dim[2]));
    /* A sort compares. */
    for (uint32_t i = 0; i < routine_buffers(op); i++) *(i < routine_results(op) ? &c.written : &c.read) += bytes(e, s->buf[i]);
    return c;
}

/* ---- any step ---------------------------------------------------------------------------------- */

Cost step_cost(const Program *p, const Step *s, const int64_t *symbol, uint32_t within, uint32_t *room)
{
    const Env e = {p, symbol, within};
    switch ((StepKind)s->kind) {
    case STEP_KERNEL: return kernel_cost(&e, s, room);
    case STEP_CONTRACT: return contract_cost(&e, s);
    case STEP_HOST: return host_cost(&e, s);
    case STEP_COPY: return (Cost){.read = bytes(&e, s->from), .written = bytes(&e, s->to)};
    default: return (Cost){0};
    }
}

size_t step_cost_room(const Program *p)
{
    size_t most = 1;
    for (uint32_t i = 0; i < p->kernel.len; i++) most = MAX_OF(most, (size_t)p->kernel.at[i].ninstr + p->kernel.at[i].nstream);
    return most;
}

uint32_t step_product(const Step *s) { return s->kind == STEP_CONTRACT ? s->contract.c : s->buf[0]; }
