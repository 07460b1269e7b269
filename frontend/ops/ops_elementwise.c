/* ops_elementwise: the public elementwise operations, one per row of ops.def, where and cast. Relies on ops.h and apply. Computes
 * nothing: each checks its operands and calls apply. */
#include "ops.h"

static kiln_tensor *unary(kiln_site at, Op op, kiln_operand o)
{
    Thread *t = op_thread(&o, 1);
    if (!t) return NULL;
    const char *name = op_def[op].name;
    kiln_tensor *x = op_def[op].domain == 'F' ? operand_float(t, at, name, o) : operand_named(t, at, name, o, NULL);
    return apply1(t, at, op, x, NULL, 0);
}

/* Integers get a text that helps, because pow of integers has no rounding that everybody expects. */
static kiln_tensor *integer_pow(Thread *t, kiln_site at, kiln_tensor *const x[2])
{
    char a[160], b[160];
    return fail(t, at, KILN_EDTYPE, "pow: needs floats; for integer squares use kiln_square, else kiln_cast: %s x %s",
        tensor_text(x[0], a, sizeof a), tensor_text(x[1], b, sizeof b));
}

kiln_tensor *binary(kiln_site at, Op op, kiln_operand x, kiln_operand y)
{
    kiln_operand o[2] = {x, y};
    kiln_tensor *in[2];
    Thread *t = op_thread(o, 2);
    if (UNLIKELY(!t)) return NULL;
    if (UNLIKELY(!operand_pair(t, at, op_def[op].name, x, y, in))) return &t->k->poison;
    if (UNLIKELY(op == OP_pow) && tensor_ok(in[0]) && tensor_ok(in[1]) && !dtype_is_float(in[0]->type.dtype))
        return integer_pow(t, at, in);
    return apply2(t, at, op, in[0], in[1], NULL, 0);
}

#define UNARY(name, ...) \
    kiln_tensor *kiln_##name##_at(kiln_site at, kiln_operand x) { return unary(at, OP_##name, x); }
#define BINARY(name, ...) \
    kiln_tensor *kiln_##name##_at(kiln_site at, kiln_operand x, kiln_operand y) { return binary(at, OP_##name, x, y); }
#define TERNARY(name, ...)
#define OP(name, ...)
#define OPS_PUBLIC
#include "../../ir/ops.def"
#undef OPS_PUBLIC
#include "../../ir/ops_undef.h"

kiln_tensor *kiln_where_at(kiln_site at, kiln_operand cond, kiln_operand x, kiln_operand y)
{
    kiln_operand o[3] = {cond, x, y};
    char text[160];
    Thread *t = op_thread(o, 3);
    if (!t) return NULL;
    kiln_tensor *in[3], *out = NULL;
    Type shape;
    in[0] = operand_named(t, at, "where", cond, NULL);
    if (!operand_pair(t, at, "where", x, y, in + 1)) return &t->k->poison;
    if (!tensor_ok(in[0]) || !tensor_ok(in[1]) || !tensor_ok(in[2])) return &t->k->poison;
    if (in[0]->type.dtype != DT_bool)
        return fail(t, at, KILN_EDTYPE, "where: the condition must be bool, not %s", tensor_text(in[0], text, sizeof text));
    if (!shapes_broadcast(t, at, "where", in[0], in[1], &shape)) return &t->k->poison;
    for (int i = 0; i < 3; i++) in[i] = broadcast_to(t, at, in[i], &shape);
    return apply(t, at, OP_where, in, 3, NULL, 0, &out, 1);
}

static kiln_tensor *cast(kiln_site at, const char *op, kiln_operand o, kiln_dtype to, bool saturate)
{
    Thread *t = op_thread(&o, 1);
    if (!t) return NULL;
    kiln_tensor *x = operand_named(t, at, op, o, NULL);
    if (!tensor_ok(x)) return x;
    if (!dtype_known((int)to)) return fail(t, at, KILN_EDTYPE, "%s: %d is not a dtype", op, (int)to);
    if (saturate && !dtype_is_float((DType)to))
        return fail(t, at, KILN_EDTYPE, "%s: needs a float dtype, not %s", op, dtype_info[to].name);
    struct cast_attrs *a = ATTRS_ROOM(cast, 1);
    a->to = to;
    a->saturates[0] = true;
    kiln_tensor *r = saturate ? apply1(t, at, OP_cast, x, ATTRS_TO(a, a->saturates + 1)) : cast_to(t, at, x, (DType)to);
    return result_of(t, at, r, x);
}

kiln_tensor *kiln_cast_at(kiln_site at, kiln_operand o, kiln_dtype to) { return cast(at, "cast", o, to, false); }

kiln_tensor *kiln_cast_saturated_at(kiln_site at, kiln_operand o, kiln_dtype to) { return cast(at, "cast_saturated", o, to, true); }
