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

static bool run_attention(const Run *r)
{
    const HostRoutine *h = host_routine(r->op);
    HostAttention a = {.type = r->in->dtype, .part = h->which};
    const struct attention_attrs *attr = ATTRS(attention, r->attr);
    attention_numbers(r->attr, r->in[0].dim, r->in[1].dim, r->in[2].dim, r->in[3].dim, &a.n);
    a.scale = attr_f64(attr->scale);
    a.cap = attr_f64(attr->cap);
    Buffer *copy[8] = {NULL};
    bool ok = true;
    for (uint32_t i = 0; i < h->results; i++) a.buf[i] = r->out[i].data;
    for (uint32_t i = 0; i < h->operands && ok; i++) {
        a.buf[h->results + i] = (void *)(uintptr_t)in_order(r, &r->in[i], &copy[i]);
        ok = a.buf[h->results + i];
    }
    ok = ok && attention_run(r->threads, &a, r->st);
    for (uint32_t i = 0; i < h->operands; i++)
        if (copy[i]) buffer_release(copy[i]);
    return ok;
}

static bool run_factor(const Run *r)
{
    const HostRoutine *h = host_routine(r->op);
    HostFactor f = {.type = r->in->dtype, .part = h->which};
    const View *last = &r->in[h->operands - 1];
    Buffer *copy[2] = {NULL};
    bool ok = true;
    factor_numbers(NULL, r->op, r->attr, last->rank, last->dim, &f.n);
    for (uint32_t i = 0; i < h->results; i++) f.buf[i] = r->out[i].data;
    for (uint32_t i = 0; i < h->operands && ok; i++) {
        f.buf[h->results + i] = (void *)(uintptr_t)in_order(r, &r->in[i], &copy[i]);
        ok = f.buf[h->results + i];
    }
    ok = ok && factor_run(r->threads, &f, r->st);
    for (uint32_t i = 0; i < h->operands; i++)
        if (copy[i]) buffer_release(copy[i]);
    return ok;
}

static bool run_sort(const Run *r)
{
    HostSort s = {.type = r->in->dtype, .part = host_routine(r->op)->which, .buf = {r->out->data}};
    Buffer *copy = NULL;
    sort_numbers(NULL, r->attr, r->in->rank, r->in->dim, &s.lines);
    s.buf[1] = (void *)(uintptr_t)in_order(r, r->in, &copy);
    const bool ok = s.buf[1] && sort_run(r->threads, &s, r->st);
    if (copy) buffer_release(copy);
    return ok;
}

static bool run_argsort(const Run *r)
{
    int64_t n[4];
    sort_numbers(NULL, r->attr, r->in->rank, r->in->dim, n);
    return sort_by_pairs((DType)r->in->dtype, n[1], n[0] * n[2]) ? run_sort(r) : run_lowered(r);
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
    [OP_conv] = run_conv,
    [OP_conv_filter] = run_conv,
    [OP_attention] = run_attention,
    [OP_attention_query] = run_attention,
    [OP_attention_keys] = run_attention,
    [OP_eigh] = run_factor,
    [OP_eigvalsh] = run_factor,
    [OP_svd] = run_factor,
    [OP_svdvals] = run_factor,
    [OP_argsort] = run_argsort,
    [OP_sort] = run_sort,
    [OP_lu] = run_factor,
    [OP_triangular] = run_factor,
};

bool eager_run(const EagerCtx *c, Op op, const View *in, uint32_t nin, const int64_t *attr, uint32_t nattr, View *out,
    uint32_t nout, Status *st)
{
    (void)nout;
    const OpDef *def = &op_def[op];
    if (UNLIKELY((def->flags & (OPF_REGION | OPF_EFFECT)) || op == OP_param || op == OP_saved || op == OP_dim_size ||
                 op == OP_set_size || op == OP_custom))
        return status_fail(st, ST_UNSUPPORTED, "%s: only exists in graphs", def->name);
    const Run r = {c->threads, c->kept, c->blas, c->panels, op, in, nin, attr, nattr, out, st};
    return run_fn[op] ? run_fn[op](&r) : run_lowered(&r);
}
