/* reader: reads strided views as runs. Relies on reader.h. Never allocates. */
#include "reader.h"

void reader_init(Reader *r, const View *v)
{
    r->data = v->data;
    r->dtype = v->dtype;
    r->bytes = (uint8_t)dtype_bytes((DType)v->dtype);
    r->convert = dtype_info[v->dtype].compute != v->dtype;
    int rank = 0;
    for (int i = 0; i < v->rank; i++) {
        if (v->dim[i] == 1) continue;
        int64_t stride = v->stride[i] * r->bytes;
        if (rank > 0 && r->stride[rank - 1] == stride * v->dim[i]) {
            r->dim[rank - 1] *= v->dim[i];
            r->stride[rank - 1] = stride;
        } else {
            r->dim[rank] = v->dim[i];
            r->stride[rank++] = stride;
        }
    }
    if (rank == 0) {
        r->dim[0] = 1;
        r->stride[0] = r->bytes;
        rank = 1;
    }
    r->rank = rank;
    r->direct = rank == 1 && r->stride[0] == r->bytes && !r->convert;
    r->fixed = rank == 1 && r->stride[0] == 0;
}

/* ---- one line ----------------------------------------------------------------------------- */

/* The user's memory, which kiln_read fills, need not be aligned. */
#define COPY_LINE(T)                                                                              \
    do {                                                                                          \
        typedef T Loose __attribute__((aligned(1)));                                              \
        Loose *o = to;                                                                            \
        if (stride == 0) {                                                                        \
            T v = *(const T *)(const void *)from;                                                 \
            for (int64_t i = 0; i < n; i++) o[i] = v;                                             \
        } else {                                                                                  \
            for (int64_t i = 0; i < n; i++) o[i] = *(const T *)(const void *)(from + i * stride); \
        }                                                                                         \
    } while (0)

static void copy_line(void *to, const char *from, int64_t stride, int64_t n, unsigned bytes)
{
    if (stride == (int64_t)bytes) {
        memcpy(to, from, (size_t)n * bytes);
        return;
    }
    switch (bytes) {
    case 1: COPY_LINE(uint8_t); break;
    case 2: COPY_LINE(uint16_t); break;
    case 4: COPY_LINE(uint32_t); break;
    default: COPY_LINE(uint64_t); break;
    }
}

/* ---- many --------------------------------------------------------------------------------- */

/* Repeats one line: lines are doubled from what is there already. */
static void copy_repeated(const Reader *r, int64_t from, int64_t n, char *to)
{
    int64_t line = r->dim[1], first = MIN_OF(n, line - from % line), have = 0;
    memcpy(to, r->data + from % line * r->bytes, (size_t)(first * r->bytes));
    to += first * r->bytes;
    n -= first;
    for (int64_t some; n > 0; n -= some, have += some) {
        some = MIN_OF(n, have == 0 ? line : have);
        memcpy(to + have * r->bytes, have == 0 ? r->data : to, (size_t)(some * r->bytes));
    }
}

void reader_copy(const Reader *r, int64_t from, int64_t n, void *to)
{
    if (r->rank == 2 && r->stride[0] == 0 && r->stride[1] == r->bytes) {
        copy_repeated(r, from, n, to);
        return;
    }
    int last = r->rank - 1;
    int64_t at[MAX_RANK];
    const char *data = r->data;
    for (int i = last; i >= 0; i--) {
        at[i] = i == 0 ? from : from % r->dim[i];
        from = i == 0 ? 0 : from / r->dim[i];
        data += at[i] * r->stride[i];
    }
    char *out = to;
    for (;;) {
        int64_t line = MIN_OF(n, r->dim[last] - at[last]);
        copy_line(out, data, r->stride[last], line, r->bytes);
        n -= line;
        if (n <= 0) return;
        out += line * r->bytes;
        data -= at[last] * r->stride[last];
        at[last] = 0;
        for (int i = last - 1; i >= 0; i--) {
            data += r->stride[i];
            if (++at[i] < r->dim[i] || i == 0) break;
            data -= at[i] * r->stride[i];
            at[i] = 0;
        }
    }
}

/* The address of elements [from, from + n) if they lie side by side, else NULL. */
static const char *in_place(const Reader *r, int64_t from, int64_t n)
{
    int last = r->rank - 1;
    if (r->stride[last] != r->bytes) return NULL;
    if (last == 0) return r->data + from * r->bytes;
    int64_t at = from % r->dim[last];
    if (at + n > r->dim[last]) return NULL;
    const char *data = r->data + at * r->bytes;
    from /= r->dim[last];
    for (int i = last - 1; i >= 0; i--) {
        data += (i == 0 ? from : from % r->dim[i]) * r->stride[i];
        from /= r->dim[i];
    }
    return data;
}

const void *reader_get(const Reader *r, int64_t from, int64_t n, void *buf)
{
    const char *there = in_place(r, from, n);
    if (!r->convert) {
        if (!there) reader_copy(r, from, n, buf);
        return !there ? buf : there;
    }
    const Kernels *k = eager_kernels();
    if (there) {
        k->widen[r->dtype](buf, there, n);
        return buf;
    }
    uint16_t narrow[READ_BLOCK]; /* the widest narrow float */
    for (int64_t i = 0; i < n; i += READ_BLOCK) {
        int64_t some = MIN_OF(n - i, READ_BLOCK);
        reader_copy(r, from + i, some, narrow);
        k->widen[r->dtype]((float *)buf + i, narrow, some);
    }
    return buf;
}

void writer_put(void *data, DType t, int64_t from, int64_t n, const void *at)
{
    if (dtype_info[t].compute == t) return;
    eager_kernels()->narrow[t]((char *)data + (size_t)from * dtype_bytes(t), at, n);
}
