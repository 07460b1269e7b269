/* ops_contract: matmul under NumPy's rules for ranks and leading axes, of floats and of integers. Relies on ops.h and apply. Never
 * multiplies. */
#include "ops.h"

static kiln_tensor *inner_sizes(Thread *t, kiln_site at, const kiln_tensor *x, const kiln_tensor *y)
{
    char a[160], b[160];
    return fail(
        t, at, KILN_ESHAPE, "matmul: inner sizes differ: %s x %s", tensor_text(x, a, sizeof a), tensor_text(y, b, sizeof b));
}

/* The op, whose sums are in `to`. */
static kiln_tensor *contract(Thread *t, kiln_site at, kiln_tensor *x, kiln_tensor *y, DType to)
{
    const int64_t sum = to;
    return apply2(t, at, OP_matmul, x, y, &sum, tensor_ok(x) && x->type.dtype != to);
}

/* x [..., m, k] . y [k, n] as one contraction of all rows at once. */
static kiln_tensor *rows_times(Thread *t, kiln_site at, kiln_tensor *x, kiln_tensor *y, DType to)
{
    int rank = x->type.rank;
    Type out = x->type;
    Dim rows[2] = {extent_product(t, at, x->type.dim, rank - 1), x->type.dim[rank - 1]};
    char why[64];
    if (rows[0] == DIM_BAD) return fail(t, at, KILN_ESHAPE, "matmul: the number of rows %s", extent_trouble(t, why, sizeof why));
    out.dim[rank - 1] = y->type.dim[1];
    kiln_tensor *flat = reshape_to(t, at, x, rows, 2);
    kiln_tensor *r = contract(t, at, flat, y, to);
    return tensor_ok(r) ? reshape_to(t, at, r, out.dim, rank) : r;
}

static Type matrix_like(const Type *leading, const Type *matrix)
{
    Type full = *leading;
    full.dim[full.rank++] = matrix->dim[matrix->rank - 2];
    full.dim[full.rank++] = matrix->dim[matrix->rank - 1];
    return full;
}

/* Leading axes broadcast against each other; both operands are matrices at least. */
static kiln_tensor *batched(Thread *t, kiln_site at, kiln_tensor *x, kiln_tensor *y, DType to)
{
    if (y->type.rank == 2 && x->type.rank > 2) return rows_times(t, at, x, y, to);
    kiln_tensor a = {.state = x->state, .k = x->k, .frame = x->frame, .type = x->type},
                b = {.state = y->state, .k = y->k, .frame = y->frame, .type = y->type};
    Type lead;
    a.type.rank -= 2;
    b.type.rank -= 2;
    if (!shapes_broadcast(t, at, "matmul: leading axes", &a, &b, &lead)) return &t->k->poison;
    Type xs = matrix_like(&lead, &x->type), ys = matrix_like(&lead, &y->type);
    return contract(t, at, broadcast_to(t, at, x, &xs), broadcast_to(t, at, y, &ys), to);
}

static kiln_tensor *without_axis(Thread *t, kiln_site at, kiln_tensor *x, int from_end)
{
    Dim dim[MAX_RANK];
    if (!tensor_ok(x)) return x;
    int rank = x->type.rank, axis = rank - from_end;
    for (int i = 0; i < rank - 1; i++) dim[i] = x->type.dim[i + (i >= axis)];
    return reshape_to(t, at, x, dim, rank - 1);
}

/* Of two vectors: the sum of their products, added up as a row is, 16-bit floats in f32. */
static kiln_tensor *dot(Thread *t, kiln_site at, kiln_tensor *x, kiln_tensor *y, DType to)
{
    const DType compute = (DType)dtype_info[to].compute;
    const int64_t axis = 0;
    x = cast_to(t, at, x, compute);
    y = cast_to(t, at, y, compute);
    kiln_tensor *r = tensor_ok(x) && tensor_ok(y) ? apply2(t, at, OP_mul, x, y, NULL, 0) : &t->k->poison;
    if (tensor_ok(r)) r = apply1(t, at, OP_sum, r, &axis, 1);
    return tensor_ok(r) ? cast_to(t, at, r, to) : r;
}

static kiln_tensor *matmul_of(Thread *t, kiln_site at, kiln_tensor *x, kiln_tensor *y, DType to)
{
    char a[160], b[160];
    int rx = x->type.rank, ry = y->type.rank;
    if (rx == 0 || ry == 0)
        return fail(t, at, KILN_ESHAPE, "matmul: a scalar has no rows, use kiln_mul: %s x %s", tensor_text(x, a, sizeof a),
            tensor_text(y, b, sizeof b));
    if (x->type.dim[rx - 1] != y->type.dim[ry == 1 ? 0 : ry - 2]) return inner_sizes(t, at, x, y);
    if (rx == 1 && ry == 1) return dot(t, at, x, y, to);
    if (rx == 1) x = reshape_to(t, at, x, (Dim[]){1, x->type.dim[0]}, 2);
    if (ry == 1) y = reshape_to(t, at, y, (Dim[]){y->type.dim[0], 1}, 2);
    if (!tensor_ok(x) || !tensor_ok(y)) return &t->k->poison;
    kiln_tensor *r = batched(t, at, x, y, to);
    if (ry == 1) r = without_axis(t, at, r, 1);
    if (rx == 1) r = without_axis(t, at, r, 2);
    return r;
}

/* Whether the op takes the integers as they are, to add up in i32. */
static bool is_small(DType t) { return dtype_of_product(t) == DT_i32 && t != DT_i32; }

/* What both operands become first. DT_NONE after an error. */
static DType meeting(Thread *t, kiln_site at, kiln_tensor *const *in, const kiln_dtype *to)
{
    const DType x = (DType)in[0]->type.dtype, y = (DType)in[1]->type.dtype, promoted = dtype_promote(x, y);
    char a[160], b[160];
    tensor_text(in[0], a, sizeof a);
    tensor_text(in[1], b, sizeof b);
    if (!to) {
        if (dtype_is_float(promoted)) return promoted;
        fail(t, at, KILN_EDTYPE, "matmul: needs floats, use kiln_matmul_to for integers, or kiln_cast: %s x %s", a, b);
    } else if (!dtype_is_int(x) || !dtype_is_int(y)) {
        fail(t, at, KILN_EDTYPE, "matmul_to: needs integers, use kiln_matmul for floats: %s x %s", a, b);
    } else if (!dtype_known((int)*to)) {
        fail(t, at, KILN_EDTYPE, "matmul_to: %d is not a dtype", (int)*to);
    } else if (!dtype_is_int((DType)*to) || dtype_bytes((DType)*to) < 4) {
        fail(t, at, KILN_EDTYPE, "matmul_to: the dtype is %s; it must be i32, u32, i64 or u64", dtype_info[*to].name);
    } else {
        return (DType)*to != DT_i32 || !is_small(x) || !is_small(y) ? (DType)*to : x == y ? x : DT_i16;
    }
    return DT_NONE;
}

/* to: what integers add up in; NULL: they are floats. */
static kiln_tensor *matmul(kiln_site at, const char *op, kiln_operand x, kiln_operand y, const kiln_dtype *to)
{
    kiln_operand o[2] = {x, y};
    kiln_tensor *in[2];
    Thread *t = op_thread(o, 2);
    if (!t) return NULL;
    for (int i = 0; i < 2; i++) in[i] = operand_named(t, at, op, o[i], NULL);
    if (!tensor_ok(in[0]) || !tensor_ok(in[1])) return &t->k->poison;
    const DType d = meeting(t, at, in, to);
    if (d == DT_NONE) return &t->k->poison;
    Composite s = composite_begin(t, op);
    for (int i = 0; i < 2; i++) in[i] = cast_to(t, at, in[i], d);
    kiln_tensor *r = tensor_ok(in[0]) && tensor_ok(in[1]) ? matmul_of(t, at, in[0], in[1], to ? (DType)*to : d) : &t->k->poison;
    return composite_end(t, &s, r);
}

kiln_tensor *kiln_matmul_at(kiln_site at, kiln_operand x, kiln_operand y) { return matmul(at, "matmul", x, y, NULL); }

kiln_tensor *kiln_matmul_to_at(kiln_site at, kiln_operand x, kiln_operand y, kiln_dtype to)
{
    return matmul(at, "matmul_to", x, y, &to);
}
