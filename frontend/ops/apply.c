/* apply: the one function through which every public op goes. It infers the result, then runs the op now or appends it to the
 * running trace, and open tapes record it. Never knows which op it is. */
#include "ops.h"

static kiln_tensor *poison_all(Thread *t, kiln_tensor **out, uint32_t nout)
{
    for (uint32_t i = 0; i < nout; i++) out[i] = &t->k->poison;
    return &t->k->poison;
}

/* A result that shares its operand's memory. */
static kiln_tensor *view_result(Thread *t, kiln_site at, const kiln_tensor *x, const View *v, const Type *type)
{
    kiln_tensor *out = tensor_of_buffer(t, at, type, buffer_retain(x->buffer));
    if (!out) return NULL;
    out->data = v->data;
    memcpy(out->stride, v->stride, type->rank * sizeof *out->stride);
    out->contiguous = view_contiguous(v);
    out->number = x->number, out->beside = x->beside;
    return out;
}

/* Constants are one element seen through strides of 0. */
static kiln_tensor *constant_result(Thread *t, kiln_site at, const Type *type, int64_t bits)
{
    Buffer *b = buffer_new(t->pool, 8);
    if (!b) {
        fail(t, at, KILN_EMEMORY, "constant: no memory");
        return NULL;
    }
    if (dtype_is_float(type->dtype))
        dtype_store_f64(type->dtype, b->data, attr_f64(bits));
    else
        dtype_store_i64(type->dtype, b->data, bits);
    kiln_tensor *x = tensor_of_buffer(t, at, type, b);
    if (!x) return NULL;
    x->number = true;
    for (int i = 0; i < type->rank; i++) {
        x->stride[i] = 0;
        x->contiguous = x->contiguous && type->dim[i] <= 1;
    }
    return x;
}

/* Counts distinct bytes: what strides of 0 repeat counts once. */
static uint64_t view_bytes(const View *v)
{
    uint64_t n = dtype_bytes((DType)v->dtype);
    for (int i = 0; i < v->rank; i++) n *= v->stride[i] ? (uint64_t)v->dim[i] : 1;
    return n;
}

static bool numbers(kiln_tensor *const *x, uint32_t nin)
{
    for (uint32_t i = 0; i < nin; i++)
        if (!x[i]->number) return false;
    return nin != 0;
}

/* Where a call runs that may run on another device than the host. One element of numbers alone is a number again, in the host's
 * memory, so that it goes along to any device. False: recorded. */
__attribute__((noinline)) static bool place_call(Thread *t, kiln_site at, Op op, kiln_tensor *const *x, uint32_t nin,
    const Type *type, uint32_t nout, uint32_t *device, bool *number)
{
    *number = numbers(x, nin);
    for (uint32_t i = 0; i < nout; i++) *number = *number && type_count(&type[i]) == 1;
    *device = HOST;
    return *number || one_device(t, at, op_def[op].name, x, nin, device);
}

/* in: the operands' views; x: the operands. elsewhere: whether the device may be another than the host. */
static bool run_eager(Thread *t, kiln_site at, Op op, View *in, kiln_tensor *const *x, uint32_t nin, const int64_t *attr,
    uint32_t nattr, const Type *type, kiln_tensor **out, uint32_t nout, bool elsewhere)
{
    View v[FEW_RESULTS];
    uint32_t device = HOST;
    bool number = false;
    CHECK(nout <= FEW_RESULTS);
    if (UNLIKELY(elsewhere) && !place_call(t, at, op, x, nin, type, nout, &device, &number)) return false;
    for (uint32_t i = 0; i < nout; i++) {
        out[i] = tensor_result(t, at, &type[i], NULL, device);
        if (!out[i]) return false;
        if (UNLIKELY(number)) out[i]->number = true, out[i]->beside = x[0]->beside;
        tensor_view(out[i], &v[i]);
    }
    t->kernels_run++;
    for (uint32_t i = 0; i < nin; i++) t->bytes_run += view_bytes(&in[i]);
    for (uint32_t i = 0; i < nout; i++) t->bytes_run += view_bytes(&v[i]);
    EagerCtx c = {.threads = t->k->threads,
        .kept = t->kept,
        .blas = t->k->options.blas && !t->own_products,
        .sums = t->sums,
        .panels = &t->k->panels};
    Status st;
    status_clear(&st);
    if (LIKELY(device == HOST)
            ? eager_run(&c, op, in, nin, attr, nattr, v, nout, &st)
            : run_there(t, device, &(OpCall){&c, op, in, nin, attr, nattr, v, nout, loc_of(at), t->k->store}, in, x, out, &st))
        return true;
    fail_status(t, at, &st);
    return false;
}

/* Elementwise of numbers is computed once: one element, seen through strides of 0 as they are, goes along to any device. */
__attribute__((noinline)) static bool is_number(Op op, kiln_tensor *const *x, uint32_t nin, View *in, const Type *type)
{
    if (!(op_def[op].flags & OPF_ELEMENTWISE) || !numbers(x, nin) || type_count(type) <= 1) return false;
    for (uint32_t i = 0; i < nin; i++) in[i].rank = 0;
    return true;
}

__attribute__((noinline)) static void spread(kiln_tensor *x, const Type *type)
{
    x->type = *type;
    x->contiguous = false;
    memset(x->stride, 0, type->rank * sizeof *x->stride);
}

/* types, v: room for the operands' types and views. */
static bool apply_viewed(Thread *t, kiln_site at, Op op, kiln_tensor *const *in, uint32_t nin, const int64_t *attr, uint32_t nattr,
    const Type **types, View *v, kiln_tensor **out, uint32_t *nout)
{
    uint32_t any = t->device;
    for (uint32_t i = 0; i < nin; i++) {
        any |= in[i]->device | in[i]->beside;
        types[i] = &in[i]->type;
        tensor_view(in[i], &v[i]);
    }
    Status st;
    status_clear(&st);
    Infer inf;
    infer_begin(&inf, op, types, nin, attr, nattr, &st);
    if (!infer_types(&inf)) {
        fail_status(t, at, &st);
        return false;
    }
    const Type *result = inf.out;
    *nout = inf.nout;
    if (op == OP_constant) return (out[0] = constant_result(t, at, &result[0], ATTRS(constant, attr)->value));
    if (op_def[op].flags & OPF_MOVES) {
        View moved = {.dtype = result[0].dtype, .rank = result[0].rank};
        if (nin == 1 && eager_view(op, v, attr, nattr, &result[0], &moved))
            return (out[0] = view_result(t, at, in[0], &moved, &result[0]));
    }
    Type one;
    const bool number = UNLIKELY(nin && in[0]->number) && is_number(op, in, nin, v, &result[0]);
    if (UNLIKELY(number)) one = (Type){.dtype = result[0].dtype};
    const bool ok = run_eager(t, at, op, v, in, nin, attr, nattr, number ? &one : result, out, inf.nout, number || any != HOST);
    if (UNLIKELY(number && ok)) spread(out[0], &result[0]);
    return ok;
}

#define FEW_OPERANDS 4
static bool apply_eager(Thread *t, kiln_site at, Op op, kiln_tensor *const *in, uint32_t nin, const int64_t *attr, uint32_t nattr,
    kiln_tensor **out, uint32_t *nout)
{
    const Type *few_types[FEW_OPERANDS];
    View few[FEW_OPERANDS];
    if (LIKELY(nin <= FEW_OPERANDS)) return apply_viewed(t, at, op, in, nin, attr, nattr, few_types, few, out, nout);
    ScratchMark mark = scratch_mark(&t->scratch);
    const Type **types = SCRATCH(t, at, const Type *, nin);
    View *v = SCRATCH(t, at, View, nin);
    bool ok = types && v && apply_viewed(t, at, op, in, nin, attr, nattr, types, v, out, nout);
    scratch_reset(&t->scratch, mark);
    return ok;
}

/* Whether the operands can be used together: alive, of this engine. False: poison, or an error was recorded. */
static bool operands_fit(Thread *t, kiln_site at, Op op, kiln_tensor *const *in, uint32_t nin, bool *traced)
{
    for (uint32_t i = 0; i < nin; i++) {
        const kiln_tensor *x = in[i];
        if (UNLIKELY(!x || x->state == TENSOR_FREE)) {
            fail(t, at, KILN_ESTATE, "%s: operand %u is %s", op_def[op].name, i,
                x ? "a tensor whose scope closed, or that was released" : "NULL");
            return false;
        }
        if (UNLIKELY(x->state >= TENSOR_STATIC)) {
            char text[96];
            fail(t, at, KILN_EVALUE, "%s: operand %u is %s", op_def[op].name, i, tensor_text(x, text, sizeof text));
            return false;
        }
        if (UNLIKELY(x->state == TENSOR_POISON)) return false;
        if (UNLIKELY(x->k != t->k)) {
            fail(t, at, KILN_ESTATE, "%s: operand %u belongs to another engine", op_def[op].name, i);
            return false;
        }
        *traced = *traced || x->state == TENSOR_TRACED;
    }
    return true;
}

kiln_tensor *apply(Thread *t, kiln_site at, Op op, kiln_tensor *const *in, uint32_t nin, const int64_t *attr, uint32_t nattr,
    kiln_tensor **out, uint32_t nout)
{
    kiln_tensor *results[FEW_RESULTS];
    uint32_t made = 0;
    bool traced = t->trace;
    if (!operands_fit(t, at, op, in, nin, &traced)) return poison_all(t, out, nout);
    if (traced) return t->k->hooks->apply(t, at, op, in, nin, attr, nattr, out, nout);
    if (!apply_eager(t, at, op, in, nin, attr, nattr, results, &made)) return poison_all(t, out, nout);
    if (t->recording) t->k->hooks->record(t, at, op, in, nin, attr, nattr, results, made);
    for (uint32_t i = 0; i < nout; i++) out[i] = results[i];
    return results[0];
}

kiln_tensor *apply1(Thread *t, kiln_site at, Op op, kiln_tensor *x, const int64_t *attr, uint32_t nattr)
{
    return apply(t, at, op, &x, 1, attr, nattr, NULL, 0);
}

kiln_tensor *apply2(Thread *t, kiln_site at, Op op, kiln_tensor *x, kiln_tensor *y, const int64_t *attr, uint32_t nattr)
{
    kiln_tensor *in[2] = {x, y};
    return apply(t, at, op, in, 2, attr, nattr, NULL, 0);
}

/* ---- the few ops that other ops are made with ------------------------------------------------------------ */
Module *module_of(Thread *t) { return t->trace ? t->k->hooks->module(t->trace) : NULL; }

static bool same_shape(const Type *a, const Type *b)
{
    return a->rank == b->rank && !memcmp(a->dim, b->dim, a->rank * sizeof *a->dim);
}

kiln_tensor *broadcast_to(Thread *t, kiln_site at, kiln_tensor *x, const Type *shape)
{
    if (!tensor_ok(x)) return &t->k->poison;
    return same_shape(&x->type, shape) ? x : apply1(t, at, OP_broadcast, x, shape->dim, shape->rank);
}

kiln_tensor *reshape_to(Thread *t, kiln_site at, kiln_tensor *x, const Dim *dim, int rank)
{
    if (!tensor_ok(x)) return &t->k->poison;
    if (x->type.rank == rank && !memcmp(x->type.dim, dim, (size_t)rank * sizeof *dim)) return x;
    return apply1(t, at, OP_reshape, x, dim, (uint32_t)rank);
}

kiln_tensor *cast_to(Thread *t, kiln_site at, kiln_tensor *x, DType d)
{
    if (!tensor_ok(x)) return &t->k->poison;
    return x->type.dtype == d ? x : apply1(t, at, OP_cast, x, ATTRS_OF(cast, .to = d));
}

kiln_tensor *dim_tensor(Thread *t, kiln_site at, Dim d, DType type)
{
    if (dim_is_const(d)) {
        int64_t bits = dtype_is_float(type) ? attr_of_f64((double)d) : d;
        return apply(t, at, OP_constant, NULL, 0, ATTRS_OF(constant, .dtype = type, .value = bits), NULL, 0);
    }
    return cast_to(t, at, apply(t, at, OP_dim_size, NULL, 0, ATTRS_OF(dim_size, .dim = d), NULL, 0), type);
}
