/* move: copies elements from place to place: makes views contiguous, reshapes, fills constants. Relies on ops.h. Never
 * allocates. */
#include "ops.h"

/* ---- copies ------------------------------------------------------------------------------- */

typedef struct CopyJob {
    Reader in;
    char *to;
    int tall; /* the result of reader_tall_axis */
} CopyJob;

static void copy_chunk(void *arg, int64_t lo, int64_t hi)
{
    const CopyJob *j = arg;
    reader_copy(&j->in, lo, hi - lo, j->to + lo * j->in.bytes);
}

/* A tile of a transpose goes through a small square, so that each line of memory is read and written once, even if strides map all
 * lines to one set of the cache. */
#define TILE 16
#define COPY_TILE(T)                                                            \
    do {                                                                        \
        T square[TILE][TILE];                                                   \
        for (int64_t c = 0; c < columns; c++) {                                 \
            if (rows == TILE)                                                   \
                memcpy(square[c], from + c * stride, TILE * sizeof(T));         \
            else                                                                \
                memcpy(square[c], from + c * stride, (size_t)rows * sizeof(T)); \
        }                                                                       \
        for (int64_t r = 0; r < rows; r++) {                                    \
            T *o = (T *)(void *)(to + r * to_stride);                           \
            if (columns == TILE)                                                \
                for (int64_t c = 0; c < TILE; c++) o[c] = square[c][r];         \
            else                                                                \
                for (int64_t c = 0; c < columns; c++) o[c] = square[c][r];      \
        }                                                                       \
    } while (0)

/* to[r][c] = from[c][r]; bytes: `stride` between from's lines, `to_stride` between to's. */
static void copy_tile(char *to, int64_t to_stride, const char *from, int64_t stride, int64_t rows, int64_t columns, unsigned bytes)
{
    switch (bytes) {
    case 1: COPY_TILE(uint8_t); break;
    case 2: COPY_TILE(uint16_t); break;
    case 4: COPY_TILE(uint32_t); break;
    default: COPY_TILE(uint64_t); break;
    }
}

/* A strip has several tiles, so that a page of either side serves more than one. */
#define STRIP (4 * TILE)

static void copy_strip(const Reader *r, char *to, int64_t to_stride, const char *from, int64_t rows)
{
    int last = r->rank - 1;
    int64_t stride = r->stride[last], bytes = r->bytes;
    for (int64_t c = 0; c < r->dim[last]; c += TILE) {
        for (int64_t ahead = c + TILE; ahead < MIN_OF(c + 2 * TILE, r->dim[last]); ahead++)
            for (int64_t i = 0; i < rows * bytes; i += 64) __builtin_prefetch(from + ahead * stride + i);
        for (int64_t i = 0; i < rows; i += TILE)
            copy_tile(to + i * to_stride + c * bytes, to_stride, from + i * bytes + c * stride, stride, MIN_OF(rows - i, TILE),
                MIN_OF(r->dim[last] - c, TILE), r->bytes);
    }
}

/* Chunks are strips of the tall axis, in all planes of the other axes. */
static void transpose_chunk(void *arg, int64_t lo, int64_t hi)
{
    const CopyJob *j = arg;
    const Reader *r = &j->in;
    int last = r->rank - 1;
    int64_t strips = (r->dim[j->tall] + STRIP - 1) / STRIP, stride[MAX_RANK];
    stride[last] = r->bytes;
    for (int i = last; i-- > 0;) stride[i] = stride[i + 1] * r->dim[i + 1];
    for (; lo < hi; lo++) {
        int64_t first = lo % strips * STRIP, plane = lo / strips;
        const char *from = r->data + first * r->stride[j->tall];
        char *to = j->to + first * stride[j->tall];
        for (int i = last; i-- > 0;) {
            if (i == j->tall) continue;
            from += plane % r->dim[i] * r->stride[i];
            to += plane % r->dim[i] * stride[i];
            plane /= r->dim[i];
        }
        const int64_t rows = MIN_OF(r->dim[j->tall] - first, STRIP);
        if (r->stride[j->tall] < 0) /* from the other end, where they lie the usual way */
            copy_strip(r, to + (rows - 1) * stride[j->tall], -stride[j->tall], from + (rows - 1) * r->stride[j->tall], rows);
        else
            copy_strip(r, to, stride[j->tall], from, rows);
    }
}

int reader_tall_axis(const Reader *r)
{
    int last = r->rank - 1;
    if (r->stride[last] == r->bytes || r->stride[last] == 0 || r->dim[last] < 4) return -1;
    for (int i = 0; i < last; i++)
        if ((r->stride[i] == r->bytes || r->stride[i] == -(int64_t)r->bytes) && r->dim[i] >= 4) return i;
    return -1;
}

void eager_copy(const EagerCtx *c, const View *from, void *to)
{
    int64_t n = view_elements(from);
    if (n == 0) return;
    CopyJob j = {.to = to};
    reader_init(&j.in, from);
    j.tall = reader_tall_axis(&j.in);
    if (j.tall < 0) {
        run_chunks(c->threads, copy_chunk, &j, n, MOVE_GRAIN);
        return;
    }
    int64_t tall = j.in.dim[j.tall], tasks = n / (tall * j.in.dim[j.in.rank - 1]) * ((tall + STRIP - 1) / STRIP);
    run_chunks(c->threads, transpose_chunk, &j, tasks, MAX_OF(MOVE_GRAIN * tasks / n, 1));
}

bool run_copy(const Run *r)
{
    View v;
    if (r->op == OP_reshape) {
        v = *r->in;
    } else {
        Type type = {.dtype = r->out->dtype, .rank = r->out->rank};
        memcpy(type.dim, r->out->dim, sizeof type.dim);
        if (!eager_view(r->op, r->in, r->attr, r->nattr, &type, &v))
            return status_fail(r->st, ST_INTERNAL, "%s: it cannot be a view", op_def[r->op].name);
    }
    eager_copy(&(EagerCtx){.threads = r->threads}, &v, r->out->data);
    return true;
}

/* As it lies in memory; but narrow floats as in kernels, which make their NaNs quiet. */
bool run_bitcast(const Run *r)
{
    View v = *r->in;
    if (dtype_info[v.dtype].compute != v.dtype || dtype_info[r->out->dtype].compute != r->out->dtype) return run_lowered(r);
    v.dtype = r->out->dtype;
    eager_copy(&(EagerCtx){.threads = r->threads}, &v, r->out->data);
    return true;
}

/* ---- constants ----------------------------------------------------------- */

/* The bits of a constant's value (`attr`: a double's or an integer's) in type t. */
static void value_bits(DType t, int64_t attr, void *to)
{
    if (dtype_is_float(t))
        dtype_store_f64(t, to, attr_f64(attr));
    else if (t == DT_u64)
        memcpy(to, &attr, sizeof attr);
    else
        dtype_store_i64(t, to, attr);
}

static void fill(ThreadPool *threads, const View *out, int64_t attr)
{
    uint64_t value;
    value_bits((DType)out->dtype, attr, &value);
    View v = *out;
    v.data = &value;
    memset(v.stride, 0, sizeof v.stride);
    eager_copy(&(EagerCtx){.threads = threads}, &v, out->data);
}

bool run_constant(const Run *r)
{
    fill(r->threads, r->out, ATTRS(constant, r->attr)->value);
    return true;
}
