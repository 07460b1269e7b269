/* view: movement ops as views of their operand, with new dims, strides and start; no element is touched. Relies on eager.h. */
#include "../eager.h"

/* Finds the strides with which `in`, read in row-major order, has new dims; false if there are none. Axes are matched in groups of
 * equal element counts; the old axes of a group must lie on one line. */
static bool reshape(const View *in, View *out)
{
    int64_t dim[MAX_RANK], stride[MAX_RANK];
    int n = 0, i = 0;
    for (int a = 0; a < in->rank; a++)
        if (in->dim[a] != 1) {
            dim[n] = in->dim[a];
            stride[n++] = in->stride[a];
        }
    for (int a = 0; a < out->rank;) {
        if (out->dim[a] == 1) {
            out->stride[a++] = 0;
            continue;
        }
        int from = a, old = i++;
        int64_t have = dim[old], want = out->dim[a++];
        while (have != want) {
            if (have < want) {
                if (stride[i - 1] != stride[i] * dim[i]) return false;
                have *= dim[i++];
            } else {
                want *= out->dim[a++];
            }
        }
        int64_t step = stride[i - 1];
        for (int b = a; b-- > from; step *= out->dim[b]) out->stride[b] = out->dim[b] == 1 ? 0 : step;
    }
    return true;
}

static bool empty(const View *v)
{
    for (int i = 0; i < v->rank; i++)
        if (v->dim[i] == 0) return true;
    return false;
}

static void *moved(const View *v, int64_t elements) { return (char *)v->data + elements * (int64_t)dtype_bytes((DType)v->dtype); }

static void transpose(const View *in, const int64_t *axis, View *out)
{
    for (int i = 0; i < out->rank; i++) out->stride[i] = in->stride[axis[i]];
}

static void broadcast(const View *in, View *out)
{
    int more = out->rank - in->rank;
    for (int i = 0; i < out->rank; i++)
        out->stride[i] = i < more || (in->dim[i - more] == 1 && out->dim[i] != 1) ? 0 : in->stride[i - more];
}

static void slice(const View *in, const struct slice_attrs *s, View *out)
{
    int64_t start = 0;
    for (int i = 0; i < out->rank; i++) {
        out->stride[i] = in->stride[i] * s->axis[i].step;
        start += in->stride[i] * s->axis[i].first;
    }
    out->data = empty(out) ? in->data : moved(in, start);
}

static void flip(const View *in, const int64_t *axis, uint32_t n, View *out)
{
    int64_t start = 0;
    for (int i = 0; i < out->rank; i++) out->stride[i] = in->stride[i];
    for (uint32_t i = 0; i < n; i++) {
        out->stride[axis[i]] = -in->stride[axis[i]];
        start += (in->dim[axis[i]] - 1) * in->stride[axis[i]];
    }
    out->data = empty(out) ? in->data : moved(in, start);
}

static void window(const View *in, const struct window_attrs *w, View *out)
{
    const int64_t *s = in->stride;
    int64_t stride[6] = {s[0], s[1] * w->stride[0], s[2] * w->stride[1], s[1] * w->dilation[0], s[2] * w->dilation[1], s[3]};
    memcpy(out->stride, stride, sizeof stride);
}

bool eager_view(Op op, const View *in, const int64_t *attr, uint32_t nattr, const Type *type, View *out)
{
    View v = {.dtype = type->dtype, .rank = type->rank, .data = in->data};
    for (int i = 0; i < v.rank; i++) v.dim[i] = type->dim[i];
    switch (op) {
    case OP_leaf: memcpy(v.stride, in->stride, sizeof v.stride); break;
    case OP_reshape:
        if (empty(&v)) break;
        if (!reshape(in, &v)) return false;
        break;
    case OP_transpose: transpose(in, ATTRS(transpose, attr)->from, &v); break;
    case OP_broadcast: broadcast(in, &v); break;
    case OP_slice: slice(in, ATTRS(slice, attr), &v); break;
    case OP_flip: flip(in, ATTRS(flip, attr)->axes, nattr, &v); break;
    case OP_window: window(in, ATTRS(window, attr), &v); break;
    default: return false;
    }
    *out = v;
    return true;
}
