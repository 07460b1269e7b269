/* tensor: whether the tensors of a model hold what their sizes say. Every product of sizes is checked before anything is made of
 * it. Relies on model.h. */
#include "model.h"

#include <unistd.h>

static const OnnxDType types[] = {{NULL, 0, 0}, {"float", DT_f32, 32}, {"uint8", DT_u8, 8}, {"int8", DT_i8, 8},
    {"uint16", DT_u16, 16}, {"int16", DT_i16, 16}, {"int32", DT_i32, 32}, {"int64", DT_i64, 64}, {"string", 0, 0},
    {"bool", DT_bool, 8}, {"float16", DT_f16, 16}, {"double", DT_f64, 64}, {"uint32", DT_u32, 32}, {"uint64", DT_u64, 64},
    {"complex64", 0, 64}, {"complex128", 0, 128}, {"bfloat16", DT_bf16, 16}, {"float8e4m3fn", DT_f8_e4m3, 8},
    {"float8e4m3fnuz", 0, 8}, {"float8e5m2", DT_f8_e5m2, 8}, {"float8e5m2fnuz", 0, 8}, {"uint4", DT_u8, 4}, {"int4", DT_i8, 4},
    {"float4e2m1", 0, 4}, {"float8e8m0", 0, 8}, {"uint2", DT_u8, 2}, {"int2", DT_i8, 2}, {"float6e2m3", 0, 6},
    {"float6e3m2", 0, 6}};

const OnnxDType *onnx_dtype(int64_t type) { return type > 0 && type < (int64_t)COUNT_OF(types) ? &types[type] : NULL; }

bool tensor_shape(const OnnxTensor *x, Type *type, uint64_t *elements, Status *st)
{
    Wire w = wire_of(x->dims);
    uint64_t size;
    const OnnxDType *d = onnx_dtype(x->type);
    if (!d) return status_fail(st, ST_FORMAT, "its type is %lld, which is none", (long long)x->type);
    *type = (Type){.dtype = d->dtype};
    *elements = 1;
    bool fits = true;
    while (wire_varint(&w, &size)) {
        if (size > INT64_MAX) return status_fail(st, ST_FORMAT, "a size is below 0");
        if (type->rank == MAX_RANK) return status_fail(st, ST_UNSUPPORTED, "it has more than %d axes", MAX_RANK);
        type->dim[type->rank++] = (Dim)size;
        fits = fits && !__builtin_mul_overflow(*elements, size, elements);
        if (size == 0) *elements = 0, fits = true;
    }
    if (w.bad) return status_fail(st, ST_FORMAT, "in its sizes %s", w.bad);
    for (uint32_t i = 0; i < type->rank; i++)
        if (type->dim[i] == 0) *elements = 0, fits = true;
    return (fits && *elements < ((uint64_t)1 << 60)) ||
           status_fail(st, ST_FORMAT, "the product of its sizes does not fit into 60 bits");
}

static bool in_other_file(const kiln_onnx *m, const OnnxTensor *x, uint64_t bytes, Status *st)
{
    External e;
    uint64_t size;
    if (!external_of(x, &e, st)) return false;
    const int fd = external_open(m, e.location, &size, st);
    if (fd < 0) return false;
    close(fd);
    if (e.offset > size || bytes > size - e.offset || (e.length != UINT64_MAX && e.length != bytes))
        return status_fail(st, ST_FORMAT,
            "it has %llu bytes, from byte %llu of '%s' on, which has %llu; its length is said to be %lld",
            (unsigned long long)bytes, (unsigned long long)e.offset, shown(e.location).text, (unsigned long long)size,
            (long long)e.length);
    return true;
}

/* How many elements stand in the list of the type; -1: a number is broken. */
static int64_t listed(const OnnxTensor *x)
{
    switch (x->type) {
    case 1: return (int64_t)(x->floats.n / 4);
    case 14: return (int64_t)(x->floats.n / 8); /* two of each */
    case 11: return (int64_t)(x->doubles.n / 8);
    case 15: return (int64_t)(x->doubles.n / 16);
    case 7: return numbers_count(x->longs);
    case 12:
    case 13: return numbers_count(x->unsigneds);
    case 8: return x->strings.n;
    default: return numbers_count(x->ints);
    }
}

bool tensor_check(const kiln_onnx *m, const OnnxTensor *x, Status *st)
{
    Type t;
    uint64_t n;
    if (x->sparse) return sparse_check(m, x, st);
    if (!tensor_shape(x, &t, &n, st)) return false;
    const OnnxDType *d = onnx_dtype(x->type);
    if (d->bits != 0 && n > (UINT64_MAX - 7) / d->bits) return status_fail(st, ST_FORMAT, "its bytes do not fit into 64 bits");
    const uint64_t bytes = (n * d->bits + 7) / 8; /* a string has none */
    if (x->segment.n != 0) return status_fail(st, ST_UNSUPPORTED, "it is a segment of a tensor, which Kiln does not read");
    if (x->floats.n % 4 != 0 || x->doubles.n % 8 != 0) return status_fail(st, ST_FORMAT, "a number in its list is cut off");
    if (x->location == 1)
        return d->bits != 0 ? in_other_file(m, x, bytes, st) : status_fail(st, ST_FORMAT, "strings lie in no other file");
    if (x->location != 0) return status_fail(st, ST_FORMAT, "where it lies is %lld (allowed: 0 and 1)", (long long)x->location);
    if (x->raw.n != 0)
        return (d->bits != 0 && x->raw.n == bytes) ||
               status_fail(st, ST_FORMAT, "it holds %zu bytes in place of %llu", x->raw.n, (unsigned long long)bytes);
    const int64_t have = listed(x);
    const uint64_t want = d->bits != 0 && d->bits < 8 ? bytes : n; /* two or more in one number */
    return have == (int64_t)want ||
           status_fail(st, ST_FORMAT, "it lists %lld elements in place of %llu", (long long)have, (unsigned long long)want);
}
