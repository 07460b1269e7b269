/* eager: runs one op now: chooses what runs it, and takes matmul to the shared contraction. Relies on ops.h,
 * codegen/contract/contract.h. */
#include "../eager.h"

#include "../contract/contract.h"
#include "../program.h"
#include "ops.h"

static bool run_matmul(const Run *r)
{
    const View *a = &r->in[0], *b = &r->in[1];
    int lead = a->rank - 2;
    HostContract c = {.type = a->dtype,
        .to = r->out->dtype,
        .nbatch = lead,
        .m = a->dim[lead],
        .n = b->dim[lead + 1],
        .k = a->dim[lead + 1],
        .a = a->data,
        .b = b->data,
        .c = r->out->data,
        .a_row = a->stride[lead],
        .a_col = a->stride[lead + 1],
        .b_row = b->stride[lead],
        .b_col = b->stride[lead + 1]};
    for (int i = 0; i < lead; i++) {
        c.batch[i] = a->dim[i];
        c.a_batch[i] = a->stride[i];
        c.b_batch[i] = b->stride[i];
    }
    Keep keep = {r->panels, r->panels ? b->buffer : NULL, NULL};
    c.keep = &keep;
    return contract_run(r->threads, &c, r->blas, r->st);
}

/* v's memory, or if its elements do not lie in order a copy of them. NULL: ST_MEMORY. */
static const void *in_order(const Run *r, const View *v, Buffer **copy)
{
    const size_t bytes = (size_t)MAX_OF(view_elements(v), 1) * dtype_bytes((DType)v->dtype);
    Status none = {0};
    if (view_contiguous(v)) return v->data;
    *copy = contract_memory(r->threads, bytes, &none);
    if (!*copy)
        return status_fail(r->st, ST_MEMORY, "%s: no memory for %zu bytes of an operand's copy", op_def[r->op].name, bytes), NULL;
    eager_copy(&(EagerCtx){.threads = r->threads}, v, (*copy)->data);
    return (*copy)->data;
}

static bool run_conv(const Run *r)
{
    const View *x = &r->in[0], *with = &r->in[1], *to = r->out;
    const bool filters = r->op == OP_conv_filter;
    HostConv c = {.type = x->dtype, .filters = filters, .to = to->data};
    conv_numbers(r->op, r->attr, x->rank, x->dim, (filters ? to : with)->dim, (filters ? with : to)->dim, &c.n);
    memcpy(c.low, ATTRS(conv, r->attr)->low, sizeof c.low);
    Buffer *copy[2] = {NULL};
    c.x = in_order(r, x, &copy[0]);
    c.with = c.x ? in_order(r, with, &copy[1]) : NULL;
    Keep keep = {r->panels, r->panels && !copy[1] ? with->buffer : NULL, NULL};
    c.keep = &keep;
    const bool ok = c.with && contract_convolve(r->threads, &c, r->st);
    for (int i = 0; i < 2; i++)
        if (copy[i]) buffer_release(copy[i]);
    return ok;
}

/* The buffers of a routine's struct: the results, then the operands, each contiguous. */
typedef struct Taken {
    const Run *r;
    Buffer *copy[8];
} Taken;

static bool take(Taken *t, void **buf)
{
    const Run *r = t->r;
    const uint32_t results = routine_results(r->op);
    for (uint32_t i = 0; i < results; i++) buf[i] = r->out[i].data;
    for (uint32_t i = 0; i < r->nin; i++) {
        buf[results + i] = (void *)(uintptr_t)in_order(r, &r->in[i], &t->copy[i]);
        if (!buf[results + i]) return false;
    }
    return true;
}

static bool done(const Taken *t, bool ok)
{
    for (uint32_t i = 0; i < t->r->nin; i++)
        if (t->copy[i]) buffer_release(t->copy[i]);
    return ok;
}

static bool run_attention(const Run *r)
{
    Taken t = {.r = r};
    HostAttention a = {.type = r->in->dtype, .op = (int32_t)r->op};
    const struct attention_attrs *attr = ATTRS(attention, r->attr);
    attention_numbers(r->attr, r->in[0].dim, r->in[1].dim, r->in[2].dim, r->in[3].dim, &a.n);
    a.scale = attr_f64(attr->scale);
    a.cap = attr_f64(attr->cap);
    return done(&t, take(&t, a.buf) && attention_run(r->threads, &a, r->st));
}

static bool run_factor(const Run *r)
{
    Taken t = {.r = r};
    HostFactor f = {.type = r->in->dtype, .op = (int32_t)r->op};
    const View *last = &r->in[r->nin - 1];
    factor_numbers(NULL, r->attr, r->nattr, last->rank, last->dim, &f.n);
    return done(&t, take(&t, f.buf) && factor_run(r->threads, &f, r->st));
}

static bool run_sort(const Run *r)
{
    Taken t = {.r = r};
    HostSort s = {.type = r->in->dtype, .op = (int32_t)r->op};
    sort_numbers(NULL, r->attr, r->in->rank, r->in->dim, &s.lines);
    if (!sort_on_host(r->op, (DType)s.type, s.size, s.lines * s.after)) return run_lowered(r);
    return done(&t, take(&t, s.buf) && sort_run(r->threads, &s, r->st));
}

typedef bool RunFn(const Run *r);

/* Ops with loops of their own. */
static RunFn *const run_fn[OP_COUNT] = {
#define UNARY(name, ...) [OP_##name] = run_elementwise,
#define BINARY(name, ...) [OP_##name] = run_elementwise,
#define TERNARY(name, ...) [OP_##name] = run_elementwise,
#define OP(...)
#include "../../ir/ops.def"
#include "../../ir/ops_undef.h"
    [OP_cast] = run_elementwise,
    [OP_bitcast] = run_bitcast,
    [OP_constant] = run_constant,
    [OP_leaf] = run_copy,
    [OP_reshape] = run_copy,
    [OP_transpose] = run_copy,
    [OP_broadcast] = run_copy,
    [OP_slice] = run_copy,
    [OP_flip] = run_copy,
    [OP_window] = run_copy,
    [OP_concat] = run_concat,
    [OP_sum] = run_reduce,
    [OP_prod] = run_reduce,
    [OP_reduce_max] = run_reduce,
    [OP_reduce_min] = run_reduce,
    [OP_matmul] = run_matmul,
};

static RunFn *const by_role[ROLE_SORT + 1] = {
    [ROLE_CONVOLVE] = run_conv, [ROLE_ATTEND] = run_attention, [ROLE_FACTOR] = run_factor, [ROLE_SORT] = run_sort};

bool eager_run(const EagerCtx *c, Op op, const View *in, uint32_t nin, const int64_t *attr, uint32_t nattr, View *out,
    uint32_t nout, Status *st)
{
    (void)nout;
    const OpDef *def = &op_def[op];
    if (UNLIKELY((def->flags & (OPF_REGION | OPF_EFFECT)) || op == OP_param || op == OP_saved || op == OP_dim_size ||
                 op == OP_set_size || op == OP_custom))
        return status_fail(st, ST_UNSUPPORTED, "%s: only exists in graphs", def->name);
    const Run r = {c->threads, c->kept, c->blas, c->panels, op, in, nin, attr, nattr, out, st};
    RunFn *const run = run_fn[op] ? run_fn[op] : op_is_outside(op) ? by_role[def->role] : NULL;
    return run ? run(&r) : run_lowered(&r);
}
