/* ref_move: ops that only move elements: for each element of the result, where it comes from. Relies on internal.h. */
#include "internal.h"

/* Where an element of the result comes from. */
typedef struct Source {
    uint32_t operand;
    int64_t flat; /* -1: the fill */
} Source;

static Source broadcast_source(const Run *r, const int64_t *index)
{
    const Type *x = &r->in[0]->type;
    int64_t at[MAX_RANK];
    uint32_t skip = r->out[0].type.rank - x->rank;
    for (uint32_t k = 0; k < x->rank; k++) at[k] = x->dim[k] == 1 ? 0 : index[skip + k];
    return (Source){0, ravel(x, at)};
}

static Source transpose_source(const Run *r, const int64_t *index)
{
    const Type *x = &r->in[0]->type;
    int64_t at[MAX_RANK];
    for (uint32_t k = 0; k < x->rank; k++) at[ATTRS(transpose, r->node->attr->at)->from[k]] = index[k];
    return (Source){0, ravel(x, at)};
}

static Source slice_source(const Run *r, const int64_t *index)
{
    const Type *x = &r->in[0]->type;
    const struct slice_attrs *s = ATTRS(slice, r->node->attr->at);
    int64_t at[MAX_RANK];
    for (uint32_t k = 0; k < x->rank; k++) at[k] = run_dim(r, s->axis[k].first) + index[k] * s->axis[k].step;
    return (Source){0, ravel(x, at)};
}

static Source flip_source(const Run *r, const int64_t *index)
{
    const Type *x = &r->in[0]->type;
    int64_t at[MAX_RANK];
    for (uint32_t k = 0; k < x->rank; k++) at[k] = index[k];
    for (uint32_t k = 0; k < r->node->attr->len; k++) {
        int64_t axis = ATTRS(flip, r->node->attr->at)->axes[k];
        at[axis] = x->dim[axis] - 1 - index[axis];
    }
    return (Source){0, ravel(x, at)};
}

static Source pad_source(const Run *r, const int64_t *index)
{
    const Type *x = &r->in[0]->type;
    int64_t at[MAX_RANK];
    for (uint32_t k = 0; k < x->rank; k++) {
        at[k] = index[k] - run_dim(r, ATTRS(pad, r->node->attr->at)->axis[k].low);
        if (at[k] < 0 || at[k] >= x->dim[k]) return (Source){0, -1};
    }
    return (Source){0, ravel(x, at)};
}

static Source concat_source(const Run *r, const int64_t *index)
{
    int64_t at[MAX_RANK], axis = ATTRS(concat, r->node->attr->at)->axis;
    uint32_t i = 0;
    memcpy(at, index, sizeof at);
    while (at[axis] >= r->in[i]->type.dim[axis]) at[axis] -= r->in[i++]->type.dim[axis];
    return (Source){i, ravel(&r->in[i]->type, at)};
}

/* [n, oh, ow, kh, kw, c] of x[n, h, w, c]. */
static Source window_source(const Run *r, const int64_t *index)
{
    const struct window_attrs *w = ATTRS(window, r->node->attr->at);
    int64_t at[4] = {index[0], index[1] * w->stride[0] + index[3] * w->dilation[0],
        index[2] * w->stride[1] + index[4] * w->dilation[1], index[5]};
    return (Source){0, ravel(&r->in[0]->type, at)};
}

static Source source_of(const Run *r, const int64_t *index)
{
    switch (r->node->op) {
    case OP_broadcast: return broadcast_source(r, index);
    case OP_transpose: return transpose_source(r, index);
    case OP_slice: return slice_source(r, index);
    case OP_flip: return flip_source(r, index);
    case OP_pad: return pad_source(r, index);
    case OP_concat: return concat_source(r, index);
    default: return window_source(r, index);
    }
}

bool ref_move(Run *r)
{
    RefTensor *out = &r->out[0];
    const Op op = (Op)r->node->op;
    if (op == OP_reshape || op == OP_leaf) {
        ref_copy_all(out, r->in[0]);
        return true;
    }
    for (int64_t i = 0; i < out->count; i++) {
        int64_t index[MAX_RANK] = {0};
        unravel(&out->type, i, index);
        Source s = source_of(r, index);
        if (s.flat >= 0)
            ref_copy(out, i, r->in[s.operand], s.flat);
        else if (out->f)
            ref_set(out, i, attr_f64(ATTRS(pad, r->node->attr->at)->fill), 0, 0);
        else
            out->i[i] = ATTRS(pad, r->node->attr->at)->fill;
    }
    return true;
}
