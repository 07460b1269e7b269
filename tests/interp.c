/* interp: see interp.h. */
#include "interp.h"

#include "conv_model.h"
#include "model.h"

#include "codegen/contract/contract.h"
#include "codegen/eager/block.h"
#include "codegen/effect.h"

typedef struct Interp {
    const Program *p;
    const DimTable *dims;
    int64_t *symbol; /* by position in the dim table */
    char **at;       /* per program buffer: first byte */
    char *work;
    int64_t loop[64];
    int64_t *room;        /* per program buffer: bytes of a stack */
    InterpBlocks *blocks; /* NULL: element by element */
    Status *st;
} Interp;

static int64_t value_of(const Interp *in, Dim d) { return d >= 0 ? d : dim_eval(in->dims, d, in->symbol); }

static int64_t bytes_of(const Interp *in, uint32_t buf)
{
    const Type *t = &in->p->buf.at[buf].type;
    int64_t n = (int64_t)dtype_bytes(t->dtype);
    for (uint32_t i = 0; i < t->rank; i++) n *= value_of(in, t->dim[i]);
    return n;
}

static char *address(const Interp *in, uint32_t buf)
{
    const Buf *b = &in->p->buf.at[buf];
    if (b->kind != BUF_SLICE) return in->at[buf];
    if (in->p->buf.at[b->of].kind == BUF_STACK) {
        int64_t bytes = (in->loop[b->loop] + 1) * value_of(in, b->stride) * (int64_t)dtype_bytes(b->type.dtype);
        if (bytes > in->room[b->of]) {
            char *at = mem_zeros((size_t)(2 * bytes), 1);
            if (in->room[b->of] != 0) memcpy(at, in->at[b->of], (size_t)in->room[b->of]);
            mem_free(in->at[b->of], (size_t)in->room[b->of]);
            in->at[b->of] = at;
            in->room[b->of] = 2 * bytes;
        }
    }
    return address(in, b->of) + in->loop[b->loop] * value_of(in, b->stride) * (int64_t)dtype_bytes(b->type.dtype);
}

static Scalar load(DType t, const void *at)
{
    return dtype_is_float(t) ? (Scalar){.f = dtype_load_f64(t, at)} : (Scalar){.i = dtype_load_i64(t, at)};
}

static void store(DType t, void *at, Scalar v)
{
    if (dtype_is_float(t))
        dtype_store_f64(t, at, v.f);
    else
        dtype_store_i64(t, at, v.i);
}

/* ---- kernels ------------------------------------------------------------------------------------- */

typedef struct KernelRun {
    Interp *in;
    const Kernel *k;
    const uint32_t *buf;
    int64_t extent[KERNEL_AXES], index[KERNEL_AXES];
    Scalar *val, *red;
    Scalar **row;
} KernelRun;

static void *element(KernelRun *r, const Stream *s, bool *skip)
{
    *skip = s->guard >= 0 && !r->val[s->guard].i;
    if (*skip) return NULL;
    int64_t at = value_of(r->in, s->base) + (s->dyn >= 0 ? r->val[s->dyn].i : 0);
    for (uint32_t a = 0; a < r->k->naxis; a++)
        if (s->coef[a] != 0) at += value_of(r->in, s->coef[a]) * r->index[a];
    int64_t size = (int64_t)dtype_bytes(s->type);
    uint32_t buf = r->buf[s->buf];
    if (at < 0 || (at + 1) * size > bytes_of(r->in, buf)) {
        status_fail(r->in->st, ST_INTERNAL, "%s: element %lld of buffer %u is outside", r->k->name, (long long)at, buf);
        *skip = true;
        return NULL;
    }
    return address(r->in, buf) + at * size;
}

static Scalar eval(KernelRun *r, const Instr *i)
{
    Scalar x[3] = {{0}, {0}, {0}};
    const int32_t arg[3] = {i->a, i->b, i->c};
    for (int k = 0; k < 3; k++)
        if (arg[k] >= 0) x[k] = r->val[arg[k]];
    switch ((InstrKind)i->kind) {
    case I_CONST: return i->value;
    case I_PRIM: {
        DType from = (DType)r->k->instr[i->prim == P_select ? i->b : i->a].type;
        return prim_eval((Prim)i->prim, from, (DType)i->type, x[0], x[1], x[2]);
    }
    case I_RANDOM: {
        uint32_t c[4] = {(uint32_t)(x[0].u >> 2), (uint32_t)(x[0].u >> 34), (uint32_t)x[2].u, (uint32_t)(x[2].u >> 32)};
        uint32_t k[2] = {(uint32_t)x[1].u, (uint32_t)(x[1].u >> 32)};
        for (int round = 0; round < 10; round++, k[0] += 0x9E3779B9u, k[1] += 0xBB67AE85u) {
            const uint64_t p = (uint64_t)c[0] * 0xD2511F53u, q = (uint64_t)c[2] * 0xCD9E8D57u;
            c[0] = (uint32_t)(q >> 32) ^ c[1] ^ k[0], c[1] = (uint32_t)q, c[2] = (uint32_t)(p >> 32) ^ c[3] ^ k[1],
            c[3] = (uint32_t)p;
        }
        return (Scalar){.i = c[x[0].u & 3]};
    }
    case I_LOAD: {
        const Stream *s = &r->k->stream[i->ref];
        bool skip;
        if (s->buf & STREAM_ROW) return r->row[s->buf & ~STREAM_ROW][r->index[r->k->sweep]];
        const void *at = element(r, s, &skip);
        return skip ? (Scalar){0} : load((DType)s->type, at);
    }
    case I_AXIS: return (Scalar){.i = r->index[i->ref]};
    case I_DIM: return (Scalar){.i = value_of(r->in, r->in->p->dim.at[i->ref])};
    case I_REDUCED: return r->red[i->ref];
    case I_FETCH: {
        const Stream *s = &r->k->stream[i->ref];
        const DType t = (DType)i->type;
        bool skip;
        void *at = element(r, s, &skip);
        if (skip) return (Scalar){0};
        Scalar old = load((DType)s->type, at), v = old;
        if (i->b >= 0) v = prim_eval(P_mul, t, t, v, r->val[i->b], v);
        if (i->a >= 0) v = prim_eval(P_add, t, t, v, r->val[i->a], v);
        store((DType)s->type, at, v);
        return old;
    }
    }
    return (Scalar){0};
}

static Scalar step(const Reduction *r, Scalar total, Scalar x)
{
    static const Op op[] = {OP_add, OP_mul, OP_max, OP_min};
    const OpDef *d = &op_def[op[r->kind]];
    return scalar_eval(dtype_is_float(r->type) ? d->value_f : d->value_i, (DType)r->type, (DType)r->type, (Scalar[]){total, x});
}

static Scalar identity(const Reduction *r)
{
    bool f = dtype_is_float(r->type);
    switch (r->kind) {
    case R_PROD: return f ? (Scalar){.f = 1} : (Scalar){.i = 1};
    case R_MAX: return f ? (Scalar){.f = -__builtin_inf()} : (Scalar){.i = dtype_info[r->type].lo};
    case R_MIN: return f ? (Scalar){.f = __builtin_inf()} : (Scalar){.i = r->type == DT_u64 ? -1 : dtype_info[r->type].hi};
    default: return (Scalar){0};
    }
}

static Scalar fold_arg(const Reduction *r, const Scalar *x, int64_t n)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++) {
        Prim p = r->kind == R_ARGMAX ? P_gt : P_lt;
        bool nan = dtype_is_float(r->type) && x[best].f != x[best].f, now_nan = dtype_is_float(r->type) && x[i].f != x[i].f;
        if (!nan && (now_nan || prim_eval(p, (DType)r->type, DT_bool, x[i], x[best], x[i]).i)) best = i;
    }
    return (Scalar){.i = best};
}

static Scalar model_step(const void *of, Scalar total, Scalar x) { return step(of, total, x); }

static Scalar fold(const Reduction *r, const Scalar *x, int64_t n)
{
    if (r->kind == R_ARGMAX || r->kind == R_ARGMIN) return fold_arg(r, x, n);
    const ModelFold f = {identity(r), model_step, r};
    if (r->order == ORDER_INDEX) return model_index(&f, x, n);
    if (r->order == ORDER_LANES) return model_lanes(&f, x, n);
    return r->order == ORDER_CHAINS ? model_chains(&f, x, n) : model_row(&f, x, n);
}

static void run_stores(KernelRun *r, const Stage *s)
{
    for (uint32_t i = s->first_store; i < s->last_store; i++) {
        const Store *to = &r->k->store[i];
        const Stream *t = &r->k->stream[to->stream];
        bool skip;
        if (t->buf & STREAM_ROW) {
            r->row[t->buf & ~STREAM_ROW][r->index[r->k->sweep]] = r->val[to->value];
            continue;
        }
        void *at = element(r, t, &skip);
        if (skip) continue;
        Scalar v = r->val[to->value];
        DType compute = (DType)dtype_info[t->type].compute;
        if (to->fold && to->fold != STORE_SETS)
            v = step(&(Reduction){.kind = (uint8_t)(to->fold - 1), .type = (uint8_t)compute}, load((DType)t->type, at), v);
        store((DType)t->type, at, v);
    }
}

static void run_stage(KernelRun *r, const Stage *s)
{
    const Kernel *k = r->k;
    for (uint32_t i = s->first; i < s->last; i++)
        if (!s->sweep || !k->instr[i].sweeps) r->val[i] = eval(r, &k->instr[i]);
    if (!s->sweep) {
        run_stores(r, s);
        return;
    }
    uint32_t nred = s->last_reduction - s->first_reduction;
    int64_t n = r->extent[k->sweep];
    Scalar *seen = mem_zeros((size_t)(nred * n + 1), sizeof *seen);
    for (int64_t x = 0; x < n; x++) {
        r->index[k->sweep] = x;
        for (uint32_t i = s->first; i < s->last; i++)
            if (k->instr[i].sweeps) r->val[i] = eval(r, &k->instr[i]);
        for (uint32_t i = 0; i < nred; i++) seen[i * n + x] = r->val[k->reduction[s->first_reduction + i].value];
        run_stores(r, s);
    }
    for (uint32_t i = 0; i < nred; i++)
        r->red[s->first_reduction + i] = fold(&k->reduction[s->first_reduction + i], seen + i * n, n);
    mem_free(seen, (size_t)(nred * n + 1) * sizeof *seen);
}

static void run_points(KernelRun *r, uint32_t axis)
{
    if (axis == r->k->naxis) {
        for (uint32_t s = 0; s < r->k->nstage; s++) run_stage(r, &r->k->stage[s]);
        return;
    }
    if ((int)axis == r->k->sweep) {
        run_points(r, axis + 1);
        return;
    }
    for (r->index[axis] = 0; r->index[axis] < r->extent[axis]; r->index[axis]++) run_points(r, axis + 1);
}

typedef struct InBlocks {
    Interp *in;
    const Step *s;
    Arena arena;
    bool ran;
} InBlocks;

static void run_in_blocks(void *arg)
{
    InBlocks *b = arg;
    Interp *in = b->in;
    const Kernel *k = &in->p->kernel.at[b->s->kernel];
    BlockKernel kernel;
    Status refused = {0};
    b->ran = block_prepare(&b->arena, k, &kernel, &refused);
    *(b->ran ? &in->blocks->ran : &in->blocks->refused) += 1;
    if (!b->ran) return;
    uint32_t n = in->dims->expr.len;
    int64_t *value = ARENA_ARRAY(&b->arena, int64_t, n + 1);
    char **buf = ARENA_ARRAY(&b->arena, char *, k->nbuf + 1);
    for (uint32_t i = 0; i < n; i++) value[i] = dim_eval(in->dims, -1 - (Dim)i, in->symbol);
    for (uint32_t i = 0; i < k->nbuf; i++) buf[i] = address(in, b->s->buf[i]);
    block_run(in->blocks->threads, &kernel, buf, value, in->p->dim.at, false);
}

static bool ran_in_blocks(Interp *in, const Step *s)
{
    InBlocks b = {.in = in, .s = s};
    if (in->blocks == NULL) return false;
    bool ok = arena_try(&b.arena, in->st, run_in_blocks, &b);
    arena_free(&b.arena);
    return ok && b.ran;
}

static void run_kernel(Interp *in, const Step *s)
{
    if (ran_in_blocks(in, s)) return;
    KernelRun r = {.in = in, .k = &in->p->kernel.at[s->kernel], .buf = s->buf};
    int64_t row = 1;
    for (uint32_t a = 0; a < r.k->naxis; a++) r.extent[a] = value_of(in, r.k->extent[a]);
    if (r.k->sweep >= 0) row += r.extent[r.k->sweep];
    r.val = mem_zeros(r.k->ninstr + 1, sizeof *r.val);
    r.red = mem_zeros(r.k->nreduction + 1, sizeof *r.red);
    r.row = mem_zeros(r.k->nrow + 1, sizeof *r.row);
    for (uint32_t i = 0; i < r.k->nrow; i++) r.row[i] = mem_zeros((size_t)row, sizeof **r.row);
    run_points(&r, 0);
    for (uint32_t i = 0; i < r.k->nrow; i++) mem_free(r.row[i], (size_t)row * sizeof **r.row);
    mem_free(r.row, (r.k->nrow + 1) * sizeof *r.row);
    mem_free(r.red, (r.k->nreduction + 1) * sizeof *r.red);
    mem_free(r.val, (r.k->ninstr + 1) * sizeof *r.val);
}

/* ---- steps --------------------------------------------------------------------------------------- */

static int64_t digits_at(Interp *in, const Strides *d, int64_t index)
{
    int64_t at = 0;
    for (uint32_t i = d->n; i-- > 1;) {
        const int64_t extent = value_of(in, d->extent[i]);
        at += index % extent * value_of(in, d->stride[i]);
        index /= extent;
    }
    return at + index * value_of(in, d->stride[0]);
}

static Scalar cell(Interp *in, const Step *s, int64_t a, int64_t b, int64_t i, int64_t j)
{
    DType t = (DType)s->contract.type, compute = (DType)dtype_info[s->contract.to].compute;
    int64_t size = (int64_t)dtype_bytes(t), n = value_of(in, s->contract.k);
    Scalar *x = mem_zeros((size_t)(2 * n + 1), sizeof *x), *y = x + n;
    for (int64_t k = 0; k < n; k++) {
        int64_t at = a + digits_at(in, &s->contract.a_row, i) + digits_at(in, &s->contract.a_col, k);
        int64_t bt = b + digits_at(in, &s->contract.b_row, k) + digits_at(in, &s->contract.b_col, j);
        x[k] = load(t, address(in, s->contract.a) + at * size);
        y[k] = load(t, address(in, s->contract.b) + bt * size);
    }
    Scalar sum = model_product(compute, x, y, n);
    mem_free(x, (size_t)(2 * n + 1) * sizeof *x);
    return sum;
}

static void run_contract(Interp *in, const Step *s, uint32_t axis, int64_t a, int64_t b, int64_t c)
{
    int64_t m = value_of(in, s->contract.m), n = value_of(in, s->contract.n);
    if (axis < s->contract.nbatch) {
        int64_t extent = value_of(in, s->contract.batch[axis]);
        for (int64_t i = 0; i < extent; i++)
            run_contract(in, s, axis + 1, a + i * value_of(in, s->contract.a_batch[axis]),
                b + i * value_of(in, s->contract.b_batch[axis]), c * extent + i);
        return;
    }
    DType t = (DType)s->contract.to;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++)
            store(t, address(in, s->contract.c) + ((c * m + i) * n + j) * (int64_t)dtype_bytes(t), cell(in, s, a, b, i, j));
}

/* By the kernel: its order is stated a second time by the pass that expands it. */
static void run_attention(Interp *in, const Step *s)
{
    const HostRoutine *h = host_routine((Op)s->host.op);
    HostAttention a = {.type = s->host.type, .op = s->host.op};
    int64_t *number = &a.n;
    for (uint32_t i = 0; i < h->dims; i++) number[i] = value_of(in, s->host.dim[i]);
    a.scale = attr_f64(s->host.word[0]);
    a.cap = attr_f64(s->host.word[1]);
    for (uint32_t i = 0; i < routine_buffers((Op)s->host.op); i++) a.buf[i] = address(in, s->buf[i]);
    attention_run(NULL, &a, in->st);
}

static void run_factor(Interp *in, const Step *s)
{
    const HostRoutine *h = host_routine((Op)s->host.op);
    HostFactor f = {.type = s->host.type, .op = s->host.op};
    int64_t *number = &f.n;
    for (uint32_t i = 0; i < h->dims; i++) number[i] = value_of(in, s->host.dim[i]);
    for (uint32_t i = 0; i < routine_buffers((Op)s->host.op); i++) f.buf[i] = address(in, s->buf[i]);
    factor_run(NULL, &f, in->st);
}

static void run_conv(Interp *in, const Step *s)
{
    const HostRoutine *h = host_routine((Op)s->host.op);
    HostConv c = {.type = s->host.type, .filters = routine_which((Op)s->host.op), .to = address(in, s->buf[0]), .x = address(in, s->buf[1]), .with = address(in, s->buf[2])};
    int64_t *number = &c.n;
    for (uint32_t i = 0; i < h->dims; i++) number[i] = value_of(in, s->host.dim[i]);
    memcpy(c.low, s->host.word, sizeof c.low);
    conv_model(&c);
}

/* Without a host. */
static void run_effect(Interp *in, const Step *s)
{
    uint32_t n = s->effect.nin + s->effect.nout, at = 0;
    void *buf[64];
    int64_t type[64 * (2 + MAX_RANK)];
    if (n > 64) {
        status_fail(in->st, ST_UNSUPPORTED, "an effect of %u buffers", n);
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        const Type *t = &s->effect.type[i];
        buf[i] = address(in, s->buf[i]);
        type[at++] = t->dtype;
        type[at++] = t->rank;
        for (uint32_t k = 0; k < t->rank; k++) type[at++] = value_of(in, t->dim[k]);
    }
    int32_t code = effect_run(NULL, s, buf, type);
    if (code != 0) status_fail(in->st, (StatusCode)code, "%s failed", op_def[s->effect.op].name);
}

static void run_steps(Interp *in, const Step *step, uint32_t n);

static void run_loop(Interp *in, const Step *s)
{
    int64_t n = s->trip == UINT32_MAX ? value_of(in, s->trip_dim) : dtype_load_i64(DT_i64, address(in, s->trip));
    if (s->trip != UINT32_MAX && s->trip_dim != DIM_BAD) n = MIN_OF(n, value_of(in, s->trip_dim));
    for (int64_t i = 0; i < n; i++) {
        in->loop[s->id] = s->reverse ? n - 1 - i : i;
        if (s->index != UINT32_MAX) dtype_store_i64(DT_i64, address(in, s->index), in->loop[s->id]);
        run_steps(in, s->block[0].step, s->block[0].n);
    }
}

static void run_while(Interp *in, const Step *s)
{
    int64_t i = 0;
    for (; in->st->code == ST_OK; i++) {
        in->loop[s->id] = i;
        if (s->index != UINT32_MAX) dtype_store_i64(DT_i64, address(in, s->index), i);
        run_steps(in, s->block[1].step, s->block[1].n);
        if (!dtype_load_i64(DT_bool, address(in, s->selector))) break;
        if (s->trip_dim != DIM_BAD && i == s->trip_dim) {
            status_fail(in->st, ST_VALUE, "more than %lld steps", (long long)i);
            break;
        }
        run_steps(in, s->block[0].step, s->block[0].n);
    }
    dtype_store_i64(DT_i64, address(in, s->count), i);
}

static void run_branch(Interp *in, const Step *s)
{
    int64_t k = dtype_load_i64((DType)in->p->buf.at[s->selector].type.dtype, address(in, s->selector));
    if (in->p->buf.at[s->selector].type.dtype == DT_u64 && k < 0) k = INT64_MAX;
    const Block *b = &s->block[MIN_OF(MAX_OF(k, 0), (int64_t)s->nblock - 1)];
    run_steps(in, b->step, b->n);
}

/* Kernels that may run side by side, the last one first: none may notice. Returns how many follow the first. */
static uint32_t run_launch(Interp *in, const Step *s, uint32_t n)
{
    uint32_t more = 0;
    while (more + 1 < n && s[more + 1].beside) more++;
    for (uint32_t i = more + 1; i-- > 0;) run_kernel(in, &s[i]);
    return more;
}

static void run_steps(Interp *in, const Step *step, uint32_t n)
{
    for (uint32_t i = 0; i < n && in->st->code == ST_OK; i++) {
        const Step *s = &step[i];
        switch ((StepKind)s->kind) {
        case STEP_KERNEL: i += run_launch(in, s, n - i); break;
        case STEP_CONTRACT: run_contract(in, s, 0, value_of(in, s->contract.a_base), value_of(in, s->contract.b_base), 0); break;
        case STEP_HOST:
            if (op_factors((Op)s->host.op))
                run_factor(in, s);
            else
                op_attends((Op)s->host.op) ? run_attention(in, s) : run_conv(in, s);
            break;
        case STEP_COPY: memmove(address(in, s->to), address(in, s->from), (size_t)bytes_of(in, s->to)); break;
        case STEP_LOOP: s->selector != UINT32_MAX ? run_while(in, s) : run_loop(in, s); break;
        case STEP_BRANCH: run_branch(in, s); break;
        case STEP_EFFECT: run_effect(in, s); break;
        case STEP_SIZE:
            in->symbol[-1 - s->size] = dtype_load_i64(DT_i64, address(in, s->from));
            in->symbol[-1 - s->size] = MAX_OF(MIN_OF(in->symbol[-1 - s->size], value_of(in, in->dims->expr.at[-1 - s->size].bound)), 0);
            run_steps(in, s->block[0].step, s->block[0].n);
            break;
        }
    }
}

bool interp_run(const Program *p, void *const *buf, const int64_t *symbol, Status *st)
{
    return interp_blocks(p, buf, symbol, NULL, st);
}

bool interp_blocks(const Program *p, void *const *buf, const int64_t *symbol, InterpBlocks *blocks, Status *st)
{
    uint32_t n = p->buf.len, nexpr = p->module->dims.expr.len;
    Interp in = {.p = p, .dims = &p->module->dims, .blocks = blocks, .st = st};
    in.symbol = mem_zeros(nexpr + 1, sizeof *in.symbol);
    in.at = mem_zeros(n + 1, sizeof *in.at);
    in.room = mem_zeros(n + 1, sizeof *in.room);
    in.work = mem_alloc((size_t)p->workspace + 1);
    memset(in.work, 0x7f, (size_t)p->workspace + 1); /* whoever reads what was never written shall see it */
    for (uint32_t i = 0; i < p->symbol.len; i++) in.symbol[-1 - p->symbol.at[i]] = symbol[i];
    for (uint32_t i = 0, io = 0; i < n; i++) {
        if (p->buf.at[i].kind == BUF_INPUT || p->buf.at[i].kind == BUF_OUTPUT)
            in.at[i] = buf[io++];
        else if (p->buf.at[i].kind == BUF_TEMP)
            in.at[i] = in.work + p->buf.at[i].offset;
    }
    run_steps(&in, p->step, p->nstep);
    for (uint32_t i = 0; i < n; i++) mem_free(in.room[i] != 0 ? in.at[i] : NULL, (size_t)in.room[i]);
    mem_free(in.room, (n + 1) * sizeof *in.room);
    mem_free(in.work, (size_t)p->workspace + 1);
    mem_free(in.at, (n + 1) * sizeof *in.at);
    mem_free(in.symbol, (nexpr + 1) * sizeof *in.symbol);
    return st->code == ST_OK;
}
