/* numbers: makes tensors of any dtype from C doubles, and doubles of tensors. Every element is checked: a value that the dtype, or
 * a double, cannot hold is an error, never another number; only floats round, once, to nearest even. Relies on ops.h. */
#include "ops.h"

#include <math.h>

/* False: the dtype has no such number. */
static bool store(DType d, void *to, double v)
{
    const DTypeInfo *info = &dtype_info[d];
    if (dtype_is_float(d)) {
        dtype_store_f64(d, to, v);
        const double got = dtype_load_f64(d, to);
        return isfinite(got) || got == v || isnan(v);
    }
    /* 2^63 and 2^64 are doubles, the largest i64 and u64 are not. */
    double end = d == DT_u64 ? 0x1p64 : d == DT_i64 ? 0x1p63 : (double)info->hi + 1;
    if (!(v == floor(v)) || !(v >= (double)info->lo) || !(v < end)) return false;
    dtype_store_i64(d, to, d == DT_u64 ? (int64_t)(uint64_t)v : (int64_t)v);
    return true;
}

/* False: no double is that number. */
static bool load(DType d, const void *from, double *v)
{
    *v = dtype_load_f64(d, from);
    if (d != DT_i64 && d != DT_u64) return true;
    int64_t i = dtype_load_i64(d, from);
    if (d == DT_i64) return *v < 0x1p63 && (int64_t)*v == i;
    return *v < 0x1p64 && (uint64_t)*v == (uint64_t)i;
}

kiln_tensor *kiln_from_doubles_at(kiln_site at, kiln *k, kiln_dtype d, kiln_shape s, const double *v, int64_t count)
{
    Thread *t = thread_of(k);
    Type type;
    if (!t || !type_from_shape(t, at, "from_doubles", d, &s, &type)) return t ? &k->poison : NULL;
    if (count != type_count(&type))
        return fail(t, at, KILN_ESHAPE, "from_doubles: %lld elements given, but the shape has %lld", (long long)count,
            (long long)type_count(&type));
    if (!v && count) return fail(t, at, KILN_EVALUE, "from_doubles: the data pointer is NULL");
    kiln_tensor *x = tensor_empty(t, at, &type);
    if (!x) return &k->poison;
    char *to = x->data;
    for (int64_t i = 0; i < count; i++, to += dtype_bytes((DType)d))
        if (!store((DType)d, to, v[i]))
            return fail(t, at, KILN_EVALUE, "from_doubles: element %lld is %.17g, which is not a value of %s", (long long)i, v[i],
                dtype_info[d].name);
    return tensor_place(t, at, x);
}

bool kiln_read_doubles_at(kiln_site at, kiln_operand o, double *to, int64_t count)
{
    char text[160];
    Thread *t = op_thread(&o, 1);
    kiln_tensor *x = t ? operand_concrete(t, at, "read_doubles", o) : NULL;
    if (!x) return false;
    if (count != kiln_elements(x) || (!to && count)) {
        fail(t, at, KILN_EVALUE, "read_doubles: %s has %lld elements, but %s %lld", tensor_text(x, text, sizeof text),
            (long long)kiln_elements(x), to ? "the array has" : "the array is NULL and count is", (long long)count);
        return false;
    }
    kiln_scope s = kiln_scope_open(t->k);
    kiln_tensor *packed = tensor_host(t, at, x);
    bool ok = tensor_ok(packed);
    const DType d = (DType)x->type.dtype;
    for (int64_t i = 0; i < count && ok; i++) {
        const char *from = (const char *)packed->data + (size_t)i * dtype_bytes(d);
        ok = load(d, from, &to[i]);
        if (!ok)
            fail(t, at, KILN_EVALUE, "read_doubles: element %lld is %lld, which a double cannot hold exactly: %s", (long long)i,
                (long long)dtype_load_i64(d, from), tensor_text(x, text, sizeof text));
    }
    kiln_scope_close(&s);
    return ok;
}
