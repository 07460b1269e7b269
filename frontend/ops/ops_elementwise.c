/* ops_elementwise: the public elementwise operations, one per row of ops.def, where and cast. Relies on ops.h and apply. Computes
 * nothing: each checks its operands and calls apply. */
#include "ops.h"

/* What is whole already. */
static bool rounds(Op op) { return op == OP_floor || op == OP_ceil || op == OP_trunc || op == OP_round; }

static kiln_tensor *unary(kiln_site at, Op op, kiln_operand o)
{
    Thread *t = op_thread(&o, 1);
    if (!t) return NULL;
    const char *name = op_def[op].name;
    const bool whole = rounds(op), floats = op_def[op].domain == 'F' && !whole;
    kiln_tensor *x = floats ? operand_float(t, at, name, o) : operand_named(t, at, name, o, NULL);
    if (whole && tensor_ok(x) && dtype_is_int((DType)x->type.dtype)) return result_of(t, at, x, x);
    return apply1(t, at, op, x, NULL, 0);
}

kiln_tensor *binary(kiln_site at, Op op, kiln_operand x, kiln_operand y)
{
    kiln_operand o[2] = {x, y};
    kiln_tensor *in[2];
    Thread *t = op_thread(o, 2);
    if (UNLIKELY(!t)) return NULL;
    if (UNLIKELY(!operand_pair(t, at, op_def[op].name, x, y, in))) return &t->k->poison;
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
    in[0] = operand_named(t, at, "where", cond, &(Type){.dtype = DT_bool});
    if (operand_is_number(x) && operand_is_number(y))
        return fail(
            t, at, KILN_EVALUE, "where: x and y are numbers, which have no dtype: make one of them a tensor, as by kiln_scalar");
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

kiln_tensor *kiln_bitcast_at(kiln_site at, kiln_operand o, kiln_dtype to)
{
    char text[160];
    Thread *t = op_thread(&o, 1);
    if (!t) return NULL;
    kiln_tensor *x = operand_named(t, at, "bitcast", o, NULL);
    if (!tensor_ok(x)) return x;
    if (!dtype_known((int)to)) return fail(t, at, KILN_EDTYPE, "bitcast: %d is not a dtype", (int)to);
    const size_t from = dtype_bytes((DType)x->type.dtype), bytes = dtype_bytes((DType)to);
    if (from != bytes)
        return fail(t, at, KILN_EDTYPE, "bitcast: %s has elements of %zu bytes, those of %s have %zu",
            tensor_text(x, text, sizeof text), from, dtype_info[to].name, bytes);
    if ((DType)to == DT_bool && x->type.dtype != DT_bool)
        return fail(t, at, KILN_EDTYPE, "bitcast: not all bytes are bools, so %s cannot be: compare it with 0",
            tensor_text(x, text, sizeof text));
    kiln_tensor *r = x->type.dtype == to ? x : apply1(t, at, OP_bitcast, x, ATTRS_OF(bitcast, .to = to));
    return result_of(t, at, r, x);
}
