/* read: tells what tensors are, and copies their elements out. Relies on ops.h. Never changes a value. */
#include "ops.h"

#include <math.h>

/* ---- looking -------------------------------------------------------------------------------- */

kiln_dtype kiln_dtype_of(const kiln_tensor *x) { return tensor_ok(x) ? (kiln_dtype)x->type.dtype : KILN_NONE; }

int kiln_rank(const kiln_tensor *x) { return tensor_ok(x) ? x->type.rank : 0; }

/* A symbolic size as its upper bound. */
static int64_t size_of(const kiln_tensor *x, int axis)
{
    Dim d = x->type.dim[axis];
    if (dim_is_const(d)) return d;
    return x->k->hooks->size(x, axis);
}

int64_t kiln_dim(const kiln_tensor *x, int axis)
{
    if (!tensor_ok(x)) return 0;
    const int i = axis < 0 ? axis + x->type.rank : axis;
    if (i >= 0 && i < x->type.rank) return size_of(x, i);
    char text[96];
    fail(thread_of(x->k), (kiln_site){x->made.file, x->made.line}, KILN_ESHAPE, "kiln_dim: %s; the tensor was made at",
        axis_trouble(axis, x->type.rank, text, sizeof text));
    return 0;
}

int64_t kiln_elements(const kiln_tensor *x)
{
    if (!tensor_ok(x)) return 0;
    int64_t n = 1;
    for (int i = 0; i < x->type.rank; i++) n *= size_of(x, i);
    return n;
}

size_t kiln_bytes(const kiln_tensor *x) { return (size_t)kiln_elements(x) * kiln_dtype_bytes(kiln_dtype_of(x)); }

const char *kiln_dtype_name(kiln_dtype d) { return dtype_info[dtype_known((int)d) ? (int)d : DT_NONE].name; }

size_t kiln_dtype_bytes(kiln_dtype d) { return dtype_known((int)d) ? dtype_bytes((DType)d) : 0; }

kiln *kiln_engine(const kiln_tensor *x) { return x ? x->k : NULL; }

/* ---- elements ------------------------------------------------------------------------------- */

kiln_tensor *operand_concrete(Thread *t, kiln_site at, const char *op, kiln_operand o)
{
    char text[160];
    kiln_tensor *x = operand_named(t, at, op, o, NULL);
    if (!tensor_ok(x) || x->state == TENSOR_EAGER) return tensor_ok(x) ? x : NULL;
    fail(t, at, KILN_ESTATE,
        "%s: %s, made at %s:%d, is traced: it has no elements while the function's body runs, so C "
        "cannot branch on it; write KILN_IF, KILN_WHILE or kiln_where, or return it",
        op, tensor_text(x, text, sizeof text), x->made.file ? x->made.file : "?", x->made.line);
    return NULL;
}

bool kiln_read_at(kiln_site at, kiln_operand o, void *to, size_t bytes)
{
    char text[160];
    Thread *t = op_thread(&o, 1);
    kiln_tensor *x = t ? operand_concrete(t, at, "read", o) : NULL;
    if (!x) return false;
    if (bytes != kiln_bytes(x) || (!to && bytes != 0)) {
        fail(t, at, KILN_EVALUE, "read: %s has %zu bytes, but %s %zu", tensor_text(x, text, sizeof text), kiln_bytes(x),
            to ? "the array has" : "the array is NULL and bytes is", bytes);
        return false;
    }
    return tensor_read(t, at, x, to);
}

const void *kiln_data_at(kiln_site at, kiln_tensor *handle)
{
    kiln_operand o = of(handle);
    Thread *t = op_thread(&o, 1);
    kiln_tensor *x = t ? operand_concrete(t, at, "data", o) : NULL;
    if (!x) return NULL;
    if (x->device != HOST) {
        char text[160];
        fail(t, at, KILN_EDEVICE, "data: %s is on %s, which C cannot read directly; kiln_read copies it",
            tensor_text(x, text, sizeof text), device_name(x->device));
        return NULL;
    }
    if (x->contiguous) return x->data;
    kiln_tensor *packed = tensor_contiguous(t, at, x);
    if (!tensor_ok(packed)) return NULL;
    /* The same value in other memory; the copy lives as long as the handle. */
    Buffer *old = x->buffer;
    x->buffer = buffer_retain(packed->buffer);
    x->data = packed->data;
    memcpy(x->stride, packed->stride, sizeof x->stride);
    x->contiguous = true;
    buffer_release(old);
    return x->data;
}

/* Copies the tensor's one element to `element`. NULL: recorded. */
static kiln_tensor *single(kiln_site at, const char *op, kiln_operand o, Thread **t, uint64_t *element)
{
    char text[160];
    *t = op_thread(&o, 1);
    kiln_tensor *x = *t ? operand_concrete(*t, at, op, o) : NULL;
    if (!x || kiln_elements(x) == 1) return x && tensor_read(*t, at, x, element) ? x : NULL;
    fail(*t, at, KILN_ESHAPE, "%s: needs a tensor of one element, not %s", op, tensor_text(x, text, sizeof text));
    return NULL;
}

double kiln_item_at(kiln_site at, kiln_operand o)
{
    Thread *t;
    uint64_t element;
    kiln_tensor *x = single(at, "item", o, &t, &element);
    return x ? dtype_load_f64((DType)x->type.dtype, &element) : NAN;
}

int64_t kiln_item_i64_at(kiln_site at, kiln_operand o)
{
    Thread *t;
    char text[160];
    uint64_t element;
    kiln_tensor *x = single(at, "item_i64", o, &t, &element);
    if (!x) return 0;
    DType d = (DType)x->type.dtype;
    double f = dtype_load_f64(d, &element);
    int64_t i = dtype_load_i64(d, &element);
    if (dtype_is_float(d) ? f == floor(f) && fabs(f) < 0x1p63 : d != DT_u64 || i >= 0) return i;
    fail(t, at, KILN_EVALUE, "item_i64: %.9g is not an int64: %s", f, tensor_text(x, text, sizeof text));
    return 0;
}
