/* view: how single ops see a tensor's elements: eager code runs on views, and lower_op.h makes keys of them. Relies on ir/graph.h.
 */
#ifndef KILN_CODEGEN_VIEW_H
#define KILN_CODEGEN_VIEW_H

#include "../ir/graph.h"

typedef struct View {
    uint8_t dtype, rank;
    int64_t dim[MAX_RANK], stride[MAX_RANK]; /* strides in elements, may be 0 or negative */
    void *data;                              /* element (0, ..., 0) */
    struct Buffer *buffer;                   /* in which they lie; NULL: unknown */
} View;

static inline int64_t view_elements(const View *v)
{
    int64_t n = 1;
    for (int i = 0; i < v->rank; i++) n *= v->dim[i];
    return n;
}

static inline bool view_contiguous(const View *v)
{
    int64_t want = 1;
    for (int i = v->rank; i-- > 0;) {
        if (v->dim[i] != 1 && v->stride[i] != want) return false;
        want *= v->dim[i];
    }
    return true;
}

#endif
