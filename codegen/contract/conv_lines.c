/* conv_lines: where the lines of x lie that windows cover: in x itself or in a copy, padded and widened, that a core's own cache
 * holds. Never multiplies. */
#include "conv.h"

int64_t conv_position(const Conv *v, int64_t line, int64_t first)
{
    const Axis *x = v->axis;
    const int64_t plane = line / x[1].out, h = line % x[1].out * x[1].to_step + x[1].to_first;
    const int64_t depth = plane / x[0].out * v->c->out[0] + plane % x[0].out * x[0].to_step + x[0].to_first;
    return (depth * v->c->out[1] + h) * v->c->out[2] + first * x[2].to_step + x[2].to_first;
}

void lines_of(Lines *at, const Conv *v, bool copies, int64_t channels, int64_t first, int64_t n)
{
    const Axis *x = v->axis;
    int64_t near = copies ? channels : v->c->groups * v->c->c;
    at->copies = copies;
    at->channels = channels;
    at->first = first * x[2].stride - x[2].low;
    at->wide = (n - 1) * x[2].stride + (x[2].taps - 1) * x[2].dilation + 1;
    const int64_t row = (copies ? at->wide : x[2].in) * near, line = copies ? x[0].taps * row : row;
    at->tap[0] = copies ? row : x[0].dilation * x[1].in * row;
    at->tap[1] = x[1].dilation * line;
    at->tap[2] = x[2].dilation * near;
    at->line = x[1].stride * line;
    at->next = x[2].stride * near;
}

/* to[wide][channels] = one line of x, or zeros if there is none. */
static void copy_line(const Lines *at, const Conv *v, const char *line, int64_t channel, char *to)
{
    int64_t all = v->c->groups * v->c->c, in = v->axis[2].in, bytes = at->channels * v->size;
    int64_t before = MIN_OF(MAX_OF(-at->first, 0), at->wide), from = MAX_OF(at->first, 0);
    int64_t n = line ? MAX_OF(MIN_OF(at->wide - before, in - from), 0) : 0, together = at->channels == all ? n : 1;
    memset(to, 0, (size_t)(before * bytes));
    to += before * bytes;
    if (n > 0) line += (from * all + channel) * v->read;
    for (int64_t i = 0; i < n; i += together, to += together * bytes, line += together * all * v->read) {
        if (v->read == v->size)
            memcpy(to, line, (size_t)(together * bytes));
        else
            contract_tier()->widen(v->c->type, to, line, 1, together * at->channels);
    }
    memset(to, 0, (size_t)((at->wide - before - n) * bytes));
}

char *copy_lines(const Lines *at, const Conv *v, int64_t plane, int64_t first, int64_t last, int64_t channel, char *to)
{
    const Axis *x = v->axis;
    int64_t image = plane / x[0].out, depth = plane % x[0].out * x[0].stride - x[0].low;
    int64_t bytes = v->c->groups * v->c->c * x[2].in * v->read;
    int64_t h = first * x[1].stride - x[1].low, end = last * x[1].stride - x[1].low + (x[1].taps - 1) * x[1].dilation + 1;
    for (; h < end; h++)
        for (int64_t t = 0; t < x[0].taps; t++, to += at->wide * at->channels * v->size) {
            int64_t d = depth + t * x[0].dilation;
            bool there = d >= 0 && d < x[0].in && h >= 0 && h < x[1].in;
            copy_line(at, v, there ? (const char *)v->c->x + ((image * x[0].in + d) * x[1].in + h) * bytes : NULL, channel, to);
        }
    return to;
}

int64_t place_of(const Lines *at, const Conv *v, int64_t plane, int64_t line, int64_t channel)
{
    const Axis *x = v->axis;
    int64_t image = plane / x[0].out, depth = plane % x[0].out * x[0].stride - x[0].low;
    int64_t row = (image * x[0].in + depth) * x[1].in + line * x[1].stride - x[1].low;
    return (row * x[2].in + at->first) * v->c->groups * v->c->c + channel;
}
