/* window: window_add, the sum of windows back into the image that they were cut from. Its lowered
 * kernel divides for each tap of each element, which costs many times what this does. Relies on
 * ops.h. Never allocates. */
#include "ops.h"

typedef struct WindowJob {
    Reader in;
    const struct window_add_attrs *w;
    int64_t rows, columns, channels; /* rows and columns of windows */
    void *out;
    DType type;
} WindowJob;

/* Which window along one axis has its tap number `tap` at `place`; -1: none. */
static int64_t window_at(int64_t place, int64_t tap, int64_t stride, int64_t dilation, int64_t windows)
{
    int64_t from = place - tap * dilation;
    return from >= 0 && from % stride == 0 && from / stride < windows ? from / stride : -1;
}

/* Channels [first, first + n) of one pixel: the windows that cover it in order of the source's
 * index, so the last tap comes first. */
static void add_pixel(
    const WindowJob *j, const FoldFns *sum, int64_t image, int64_t y, int64_t x, int64_t first, int64_t n, void *acc)
{
    const struct window_add_attrs *w = j->w;
    ReadBuffer buf;
    sum->start(acc, n);
    for (int64_t kh = w->size[0]; kh-- > 0;) {
        int64_t row = window_at(y, kh, w->stride[0], w->dilation[0], j->rows);
        if (row < 0) continue;
        for (int64_t kw = w->size[1]; kw-- > 0;) {
            int64_t column = window_at(x, kw, w->stride[1], w->dilation[1], j->columns);
            if (column < 0) continue;
            int64_t from =
                ((((image * j->rows + row) * j->columns + column) * w->size[0] + kh) * w->size[1] + kw) * j->channels + first;
            sum->columns(acc, reader_get(&j->in, from, n, &buf), n, 1, n);
        }
    }
}

static void window_chunk(void *arg, int64_t lo, int64_t hi)
{
    const WindowJob *j = arg;
    const FoldFns *sum = &eager_kernels()->type[dtype_info[j->type].compute]->fold[FOLD_SUM];
    int64_t height = j->w->image[0], width = j->w->image[1];
    ReadBuffer room;
    for (; lo < hi; lo++)
        for (int64_t first = 0; first < j->channels; first += READ_BLOCK) {
            int64_t n = MIN_OF(j->channels - first, READ_BLOCK), to = lo * j->channels + first;
            void *acc = writer_at(j->out, j->type, to, &room);
            add_pixel(j, sum, lo / (height * width), lo / width % height, lo % width, first, n, acc);
            writer_put(j->out, j->type, to, n, acc);
        }
}

bool run_window_add(const Run *r)
{
    const View *in = r->in;
    int64_t n = view_elements(r->out);
    if (n == 0) return true;
    WindowJob j = {.w = ATTRS(window_add, r->attr),
        .rows = in->dim[1],
        .columns = in->dim[2],
        .channels = in->dim[5],
        .out = r->out->data,
        .type = (DType)in->dtype};
    reader_init(&j.in, in);
    int64_t taps = j.w->size[0] * j.w->size[1];
    run_chunks(r->threads, window_chunk, &j, n / j.channels, MAX_OF(MOVE_GRAIN / 8 / (taps * (j.channels + 16)), 1));
    return true;
}
