/* eager_test: arrays of every element type with values worth testing, views of them in odd layouts,
 * and eager_run on them. Relies on codegen/eager.h. */
#ifndef KILN_TESTS_EAGER_TEST_H
#define KILN_TESTS_EAGER_TEST_H

#include "codegen/eager.h"
#include "codegen/eager/kernels.h"

#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <cmocka.h>

static inline uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 17 ^ *state << 31;
}

static inline Scalar scalar_load(DType t, const void *data, int64_t i)
{
    const char *at = (const char *)data + i * (int64_t)dtype_bytes(t);
    return dtype_is_float(t) ? (Scalar){.f = dtype_load_f64(t, at)}
                             : (Scalar){.i = dtype_load_i64(t, at)};
}

static inline void scalar_store(DType t, void *data, int64_t i, Scalar v)
{
    char *at = (char *)data + i * (int64_t)dtype_bytes(t);
    if (dtype_is_float(t))
        dtype_store_f64(t, at, v.f);
    else if (dtype_bytes(t) == 8)
        memcpy(at, &v.i, 8);
    else
        dtype_store_i64(t, at, v.i);
}

static inline bool same_element(DType t, const void *a, int64_t i, const void *b, int64_t j)
{
    size_t n = dtype_bytes(t);
    if (memcmp((const char *)a + (size_t)i * n, (const char *)b + (size_t)j * n, n) == 0)
        return true;
    if (!dtype_is_float(t)) return false;
    Scalar x = scalar_load(t, a, i), y = scalar_load(t, b, j);
    return x.f != x.f && y.f != y.f;
}

/* Edges of the type first, then values of all sizes. */
static inline Scalar test_value(DType t, int64_t i, uint64_t *state)
{
    static const double edges[] = {0.0, -0.0, 1, -1, 0.5, -0.5, 1.5, 2.5, -2.5, INFINITY, -INFINITY,
        NAN, 0x1p-149, -0x1p-130, 0x1p-126, 0x1.fffffep127, 3.25, -7, 88.7, -104, 0x1p31, -0x1p31,
        0x1p63, -0x1p63, 0x1p64, 127.5, 255.9, 1e-30};
    uint64_t r = next_random(state);
    if (dtype_is_float(t)) {
        double v = i < (int64_t)COUNT_OF(edges)
                       ? edges[i]
                       : ldexp((double)(int64_t)(r >> 8) * 0x1p-54 - 1, (int)(r % 40) - 20);
        uint64_t room = 0;
        dtype_store_f64(t, &room, v);
        return (Scalar){.f = dtype_load_f64(t, &room)};
    }
    if (t == DT_bool) return (Scalar){.i = (int64_t)(r >> 5 & 1)};
    const int64_t few[] = {0, 1, -1, 2, -2, 7, 3, -3, 8, 31, 32, 63, 64, dtype_info[t].lo,
        dtype_info[t].hi, INT64_MIN, -1};
    int64_t v = i < (int64_t)COUNT_OF(few) ? few[i] : (int64_t)(r >> (r % 60)), fit;
    dtype_store_i64(t, &fit, v);
    return (Scalar){.i = dtype_load_i64(t, &fit)};
}

static inline void fill_random(DType t, void *data, int64_t n, uint64_t seed)
{
    for (int64_t i = 0; i < n; i++)
        scalar_store(t, data, i, test_value(t, (int64_t)COUNT_OF(((char[64]){0})), &seed));
}

static inline View view_of(DType t, void *data, int rank, const int64_t *dim)
{
    View v = {.dtype = (uint8_t)t, .rank = (uint8_t)rank, .data = data};
    int64_t stride = 1;
    for (int i = rank; i-- > 0; stride *= dim[i]) {
        v.dim[i] = dim[i];
        v.stride[i] = stride;
    }
    return v;
}
#define DIMS(...) \
    (const int64_t[]) { __VA_ARGS__ }

static inline void must_run(ThreadPool *threads, Op op, const View *in, uint32_t nin,
    const int64_t *attr, uint32_t nattr, View *out)
{
    Status st = {0};
    EagerCtx c = {.threads = threads};
    if (!eager_run(&c, op, in, nin, attr, nattr, out, 1, &st)) fail_msg("%s", st.text);
}

#endif
