/* eager: runs one op now: chooses what runs it, and takes matmul to the shared contraction. Relies on ops.h,
 * codegen/contract/contract.h. */
#include "../eager.h"

#include "../contract/contract.h"
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
    return contract_run(r->threads, &c, r->blas, r->st);
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
};

bool eager_run(const EagerCtx *c, Op op, const View *in, uint32_t nin, const int64_t *attr, uint32_t nattr, View *out,
    uint32_t nout, Status *st)
{
    (void)nout;
    const OpDef *def = &op_def[op];
    if (UNLIKELY(
            (def->flags & (OPF_REGION | OPF_EFFECT)) || op == OP_param || op == OP_saved || op == OP_dim_size || op == OP_custom))
        return status_fail(st, ST_UNSUPPORTED, "%s: only exists in graphs", def->name);
    const Run r = {c->threads, c->kept, c->blas, op, in, nin, attr, nattr, out, st};
    return run_fn[op] ? run_fn[op](&r) : run_lowered(&r);
}
