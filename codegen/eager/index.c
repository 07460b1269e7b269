/* index: gather, scatter_add and window_add. Indices clamp into their axis. Relies on ops.h. Never
 * allocates. */
#include "ops.h"

/* ---- gather ------------------------------------------------------------------------------- */

typedef struct IndexJob {
    Reader in, index;
    int64_t size;  /* of the indexed axis */
    int64_t count; /* indices */
    int64_t inner; /* elements behind the indexed axis */
    void *out;
    DType type;
} IndexJob;

/* Clamped indices [from, from + n), n <= READ_BLOCK. */
static void get_indices(const IndexJob *j, int64_t from, int64_t n, int64_t *to)
{
    ReadBuffer buf;
    const void *at[1] = {reader_get(&j->index, from, n, &buf)};
    eager_kernels()->type[j->index.dtype]->cast[DT_i64](to, at, n);
    for (int64_t i = 0; i < n; i++) {
        bool huge = j->index.dtype == DT_u64 && to[i] < 0;
        to[i] = huge || to[i] >= j->size ? j->size - 1 : MAX_OF(to[i], 0);
    }
}

#define PICK(T) \
    for (int64_t i = 0; i < n; i++) ((T *)to)[i] = ((const T *)from)[index[i]]

static void pick(void *to, const void *from, const int64_t *index, int64_t n, unsigned bytes)
{
    switch (bytes) {
    case 1: PICK(uint8_t); break;
    case 2: PICK(uint16_t); break;
    case 4: PICK(uint32_t); break;
    default: PICK(uint64_t); break;
    }
}

/* Chunks are indices, of all outer rows: lo and hi count outer * count. */
static void gather_chunk(void *arg, int64_t lo, int64_t hi)
{
    const IndexJob *j = arg;
    int64_t index[READ_BLOCK], bytes = j->in.bytes, line = j->inner * bytes;
    bool contiguous = j->in.rank == 1 && j->in.stride[0] == bytes;
    while (lo < hi) {
        int64_t outer = lo / j->count, first = lo % j->count;
        int64_t n = MIN_OF(MIN_OF(hi - lo, j->count - first), READ_BLOCK);
        get_indices(j, first, n, index);
        char *to = (char *)j->out + lo * line;
        int64_t from = outer * j->size * j->inner;
        if (contiguous && j->inner == 1) {
            pick(to, j->in.data + from * bytes, index, n, j->in.bytes);
        } else {
            for (int64_t i = 0; i < n; i++, to += line) {
                int64_t at = from + index[i] * j->inner;
                if (contiguous)
                    memcpy(to, j->in.data + at * bytes, (size_t)line);
                else
                    reader_copy(&j->in, at, j->inner, to);
            }
        }
        lo += n;
    }
}

bool run_gather(const Run *r)
{
    const View *x = &r->in[0], *index = &r->in[1];
    int64_t axis = r->attr[0];
    IndexJob j = {.size = x->dim[axis],
        .count = view_elements(index),
        .inner = 1,
        .out = r->out->data,
        .type = (DType)x->dtype};
    int64_t n = view_elements(r->out), outer = 1;
    if (n == 0) return true;
    reader_init(&j.in, x);
    reader_init(&j.index, index);
    for (int64_t i = 0; i < axis; i++) outer *= x->dim[i];
    for (int64_t i = axis + 1; i < x->rank; i++) j.inner *= x->dim[i];
    run_chunks(r->threads, gather_chunk, &j, outer * j.count, MAX_OF(MOVE_GRAIN / 4 / j.inner, 1));
    return true;
}

/* ---- scatter_add -------------------------------------------------------------------------- */

/* to[0..n) += from[0..n), each rounded to type t. */
static void add_to(const Kernels *k, DType t, void *to, const void *from, int64_t n)
{
    MapFn *add = k->type[dtype_info[t].compute]->map[OP_add];
    if (dtype_info[t].compute == t) {
        add(to, (const void *const[]){to, from}, n);
        return;
    }
    float wide[READ_BLOCK];
    k->widen[t](wide, to, n);
    add(wide, (const void *const[]){wide, from}, n);
    writer_put(to, t, 0, n, wide);
}

/* Chunks are blocks of `inner` of one outer row, so that no two of them add to one element. */
static void scatter_chunk(void *arg, int64_t lo, int64_t hi)
{
    const IndexJob *j = arg;
    const Kernels *k = eager_kernels();
    int64_t index[READ_BLOCK], tasks = (j->inner + READ_BLOCK - 1) / READ_BLOCK;
    size_t bytes = dtype_bytes(j->type);
    ReadBuffer buf;
    for (; lo < hi; lo++) {
        int64_t outer = lo / tasks, first = lo % tasks * READ_BLOCK,
                n = MIN_OF(j->inner - first, READ_BLOCK);
        char *to = (char *)j->out + (size_t)(outer * j->size * j->inner + first) * bytes;
        int64_t from = outer * j->count * j->inner + first;
        for (int64_t at = 0; at < j->count; at += READ_BLOCK) {
            int64_t some = MIN_OF(j->count - at, READ_BLOCK);
            get_indices(j, at, some, index);
            for (int64_t i = 0; i < some; i++)
                add_to(k, j->type, to + (size_t)(index[i] * j->inner) * bytes,
                    reader_get(&j->in, from + (at + i) * j->inner, n, &buf), n);
        }
    }
}

bool run_scatter_add(const Run *r)
{
    const View *g = &r->in[0], *index = &r->in[1];
    int64_t axis = r->attr[0], n = view_elements(r->out), outer = 1;
    IndexJob j = {.size = r->attr[1],
        .count = view_elements(index),
        .inner = 1,
        .out = r->out->data,
        .type = (DType)g->dtype};
    memset(r->out->data, 0, (size_t)n * dtype_bytes(j.type));
    if (n == 0 || j.count == 0) return true;
    reader_init(&j.in, g);
    reader_init(&j.index, index);
    for (int64_t i = 0; i < axis; i++) outer *= g->dim[i];
    for (int64_t i = axis + index->rank; i < g->rank; i++) j.inner *= g->dim[i];
    int64_t tasks = (j.inner + READ_BLOCK - 1) / READ_BLOCK;
    run_chunks(r->threads, scatter_chunk, &j, outer * tasks,
        MAX_OF(MOVE_GRAIN / 4 / (j.count * MIN_OF(j.inner, READ_BLOCK)), 1));
    return true;
}

/* ---- window_add --------------------------------------------------------------------------- */

typedef struct WindowJob {
    Reader in;
    const int64_t *at;               /* kh kw, stride h w, dilation h w, h, w */
    int64_t rows, columns, channels; /* rows and columns of windows */
    void *out;
    DType type;
} WindowJob;

/* Which window along one axis has its tap number `tap` at `place`; -1: none. */
static int64_t window_at(
    int64_t place, int64_t tap, int64_t stride, int64_t dilation, int64_t windows)
{
    int64_t from = place - tap * dilation;
    return from >= 0 && from % stride == 0 && from / stride < windows ? from / stride : -1;
}

/* Channels [first, first + n) of one pixel: the windows that cover it in order of the source's
 * index, so the last tap comes first. */
static void add_pixel(const WindowJob *j, const FoldFns *sum, int64_t image, int64_t y, int64_t x,
    int64_t first, int64_t n, void *acc)
{
    const int64_t *at = j->at;
    ReadBuffer buf;
    sum->start(acc, n);
    for (int64_t kh = at[0]; kh-- > 0;) {
        int64_t row = window_at(y, kh, at[2], at[4], j->rows);
        if (row < 0) continue;
        for (int64_t kw = at[1]; kw-- > 0;) {
            int64_t column = window_at(x, kw, at[3], at[5], j->columns);
            if (column < 0) continue;
            int64_t from =
                ((((image * j->rows + row) * j->columns + column) * at[0] + kh) * at[1] + kw) *
                    j->channels +
                first;
            sum->columns(acc, reader_get(&j->in, from, n, &buf), n, 1, n);
        }
    }
}

static void window_chunk(void *arg, int64_t lo, int64_t hi)
{
    const WindowJob *j = arg;
    const FoldFns *sum = &eager_kernels()->type[dtype_info[j->type].compute]->fold[FOLD_SUM];
    int64_t height = j->at[6], width = j->at[7];
    ReadBuffer room;
    for (; lo < hi; lo++)
        for (int64_t first = 0; first < j->channels; first += READ_BLOCK) {
            int64_t n = MIN_OF(j->channels - first, READ_BLOCK), to = lo * j->channels + first;
            void *acc = writer_at(j->out, j->type, to, &room);
            add_pixel(
                j, sum, lo / (height * width), lo / width % height, lo % width, first, n, acc);
            writer_put(j->out, j->type, to, n, acc);
        }
}

bool run_window_add(const Run *r)
{
    const View *in = r->in;
    int64_t n = view_elements(r->out);
    if (n == 0) return true;
    WindowJob j = {.at = r->attr,
        .rows = in->dim[1],
        .columns = in->dim[2],
        .channels = in->dim[5],
        .out = r->out->data,
        .type = (DType)in->dtype};
    reader_init(&j.in, in);
    int64_t taps = r->attr[0] * r->attr[1];
    run_chunks(r->threads, window_chunk, &j, n / j.channels,
        MAX_OF(MOVE_GRAIN / 8 / (taps * (j.channels + 16)), 1));
    return true;
}
