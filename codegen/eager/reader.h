/* reader: reads any view in row-major order as runs of contiguous elements of its compute type, in place if possible, else through
 * a small buffer; and writes outputs back. Relies on eager.h, kernels.h. Never allocates. */
#ifndef KILN_CODEGEN_EAGER_READER_H
#define KILN_CODEGEN_EAGER_READER_H

#include "../eager.h"
#include "kernels.h"

#define READ_BLOCK 1024 /* elements that fit a ReadBuffer */
typedef struct ReadBuffer {
    _Alignas(64) unsigned char bytes[READ_BLOCK * 8];
} ReadBuffer;

typedef struct Reader {
    const char *data;
    uint8_t dtype;
    uint8_t bytes;                           /* bytes per element in memory */
    bool convert;                            /* a narrow float */
    bool direct;                             /* contiguous, no conversion: the whole is one run */
    bool fixed;                              /* one element, repeated (all strides 0) */
    int rank;                                /* number of axes, those that lie on one line merged; at least 1 */
    int64_t dim[MAX_RANK], stride[MAX_RANK]; /* strides in bytes */
} Reader;

void reader_init(Reader *r, const View *v);
/* Reads n elements from number `from` on. If they do not lie side by side it fills and returns buf, which has room for n elements
 * of the compute type. */
const void *reader_get(const Reader *r, int64_t from, int64_t n, void *buf);
/* Copies n elements, unconverted, to memory. */
void reader_copy(const Reader *r, int64_t from, int64_t n, void *to);

/* Where output elements of type t from number `from` on may be computed: in place, or in buf if they need conversion first. */
static inline void *writer_at(void *data, DType t, int64_t from, void *buf)
{
    return dtype_info[t].compute == t ? (char *)data + (size_t)from * dtype_bytes(t) : buf;
}
/* Writes n elements computed at `at` to their place, unless they are there. */
void writer_put(void *data, DType t, int64_t from, int64_t n, const void *at);

#endif
