/* conv_places: pieces of convolutions that keep channels apart. Nothing is copied: a list says where the channels of each position
 * lie that windows cover, which is in x, or in a row of zeros where a window reaches beyond x. Relies on conv.h. Never computes the
 * gradient of filters, nor reads elements narrower than what they are computed in. */
#include "conv.h"

/* The positions that the windows of a piece's places cover along a line. */
static int64_t wide_of(const Conv *v)
{
    const Axis *x = &v->axis[2];
    return (v->width - 1) * x->stride + (x->taps - 1) * x->dilation + 1;
}

bool conv_by_places(const Conv *v) { return v->each && !v->c->filters && v->read == v->size && v->k > 0 && v->k <= TREE_PRODUCT; }

/* Zeros, the list, and where each line goes. False: too many to count. */
bool places_room(const Conv *v, int64_t *bytes)
{
    const int64_t lines = v->axis[0].taps * v->axis[1].taps;
    int64_t list;
    if (__builtin_mul_overflow(v->lines * lines, wide_of(v), &list) || __builtin_mul_overflow(list, (int64_t)sizeof(void *), &list))
        return false;
    *bytes = v->columns * v->size + 64;
    return !__builtin_add_overflow(*bytes, v->lines * (int64_t)sizeof(int64_t) + 64, bytes) &&
           !__builtin_add_overflow(*bytes, list, bytes);
}

/* at[wide]: of line (d, h) of image number `image`, from position `first` on. */
static void list_line(
    const Conv *v, const void **at, int64_t image, int64_t d, int64_t h, int64_t first, int64_t channel, const void *zeros)
{
    const Axis *x = v->axis;
    const int64_t all = v->c->groups * v->c->c, wide = wide_of(v);
    const bool there = d >= 0 && d < x[0].in && h >= 0 && h < x[1].in;
    const int64_t line = ((image * x[0].in + d) * x[1].in + h) * x[2].in;
    for (int64_t q = 0; q < wide; q++) {
        const int64_t w = first + q;
        at[q] = there && w >= 0 && w < x[2].in ? (const char *)v->c->x + ((line + w) * all + channel) * v->size : zeros;
    }
}

void places_run(const Conv *v, void *room, int64_t line, int64_t n, int64_t first, int64_t m, int64_t channel, int64_t channels)
{
    const Axis *x = v->axis;
    const int64_t all = v->c->groups * v->c->c, lines = x[0].taps * x[1].taps, wide = wide_of(v);
    char *zeros = room;
    int64_t *to = (int64_t *)(void *)(zeros + (channels * v->size + 63) / 64 * 64);
    const void **list = (const void **)(void *)(to + n), **at = list;
    memset(zeros, 0, (size_t)(channels * v->size));
    for (int64_t i = 0; i < n; i++) {
        const int64_t plane = (line + i) / x[1].out, h = (line + i) % x[1].out, d = plane % x[0].out;
        for (int64_t t = 0; t < lines; t++, at += wide)
            list_line(v, at, plane / x[0].out, d * x[0].stride - x[0].low + t / x[1].taps * x[0].dilation,
                h * x[1].stride - x[1].low + t % x[1].taps * x[1].dilation, first * x[2].stride - x[2].low, channel, zeros);
        to[i] = conv_position(v, line + i, first) * all + channel;
    }
    v->kernels->places(&(Places){.at = list,
        .b = (const char *)v->with + channel * v->size,
        .to = v->to,
        .run_to = to,
        .runs = n,
        .m = m,
        .n = channels,
        .lines = lines,
        .wide = wide,
        .taps = x[2].taps,
        .stride = x[2].stride,
        .dilation = x[2].dilation,
        .b_row = all,
        .to_row = (x[2].out > 1 ? x[2].to_step : 1) * all});
}
