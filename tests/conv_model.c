/* conv_model: see conv_model.h. */
#include "conv_model.h"

#include "model.h"

typedef struct Sum {
    const HostConv *c;
    Scalar *x, *y;
    int64_t n;
} Sum;

static Scalar element(const HostConv *c, const void *of, int64_t at)
{
    return (Scalar){.f = dtype_load_f64((DType)c->type, (const char *)of + at * (int64_t)dtype_bytes((DType)c->type))};
}

/* What tap t of place p meets in image n, times element `with`. */
static void meet(Sum *s, int64_t n, const int64_t *p, const int64_t *t, int64_t channel, int64_t with)
{
    const HostConv *c = s->c;
    int64_t pixel = n;
    bool outside = false;
    for (int j = 0; j < 3; j++) {
        const int64_t at = p[j] * c->stride[j] + t[j] * c->dilation[j] - c->low[j];
        if (at % c->spread[j] != 0) return; /* a gap */
        outside |= at < 0 || at / c->spread[j] >= c->in[j];
        pixel = pixel * c->in[j] + at / c->spread[j];
    }
    s->x[s->n] = outside ? (Scalar){.f = 0} : element(c, c->x, pixel * c->groups * c->c + channel);
    s->y[s->n++] = element(c, c->with, with);
}

static void put(Sum *s, int64_t at)
{
    const DType t = (DType)s->c->type;
    dtype_store_f64(t, (char *)s->c->to + at * (int64_t)dtype_bytes(t), model_product((DType)dtype_info[t].compute, s->x, s->y, s->n).f);
    s->n = 0;
}

#define EACH(v, of) \
    for (int64_t v[3] = {0}; v[0] < (of)[0]; v[0]++) \
        for (v[1] = 0; v[1] < (of)[1]; v[1]++) \
            for (v[2] = 0; v[2] < (of)[2]; v[2]++)

static void make_results(Sum *s)
{
    const HostConv *c = s->c;
    int64_t to = 0;
    for (int64_t n = 0; n < c->n; n++)
        EACH(p, c->out)
            for (int64_t o = 0; o < c->groups * c->o; o++) {
                int64_t tap = 0;
                EACH(t, c->taps) {
                    for (int64_t i = 0; i < c->c; i++) meet(s, n, p, t, o / c->o * c->c + i, (tap * c->c + i) * c->groups * c->o + o);
                    tap++;
                }
                put(s, to++);
            }
}

static void make_filters(Sum *s)
{
    const HostConv *c = s->c;
    int64_t to = 0;
    EACH(t, c->taps)
        for (int64_t i = 0; i < c->c; i++)
            for (int64_t o = 0; o < c->groups * c->o; o++) {
                int64_t place = 0;
                for (int64_t n = 0; n < c->n; n++)
                    EACH(p, c->out) meet(s, n, p, t, o / c->o * c->c + i, place++ * c->groups * c->o + o);
                put(s, to++);
            }
}

void conv_model(const HostConv *c)
{
    int64_t k = c->filters ? c->n * c->out[0] * c->out[1] * c->out[2] : c->taps[0] * c->taps[1] * c->taps[2] * c->c;
    Scalar *v = mem_zeros((size_t)(2 * k) + 1, sizeof *v);
    Sum s = {c, v, v + k, 0};
    if (c->filters)
        make_filters(&s);
    else
        make_results(&s);
    mem_free(v, ((size_t)(2 * k) + 1) * sizeof *v);
}
