/* draw: the inputs of rows and the values that their parameters start with. Integer hashes, rounded once: peers/draw.py has the
 * same bits. Never timed. */
#include <stdlib.h>

#include "row.h"

static uint32_t hash(uint32_t seed, uint32_t i)
{
    uint32_t x = i + seed * 0x9E3779B9u;
    x ^= x >> 16, x *= 0x7FEB352Du;
    x ^= x >> 15, x *= 0x846CA68Bu;
    return x ^ x >> 16;
}

static int64_t elements(kiln_shape s)
{
    int64_t n = 1;
    for (int i = 1; i <= s.rank; i++) n *= s.size[i];
    return n;
}

static void *memory(int64_t count, size_t size)
{
    void *at = malloc((size_t)count * size);
    if (!at) abort(); /* a benchmark that has no memory has nothing to say */
    return at;
}

static kiln_tensor *tensor(Bench *b, kiln_dtype t, kiln_shape s, void *at)
{
    kiln_tensor *x = kiln_from(b->k, t, s, at, elements(s));
    free(at);
    return x;
}

kiln_tensor *draw_normal(Bench *b, kiln_shape s, double scale, double plus)
{
    const int64_t n = elements(s);
    const uint32_t seed = ++b->drawn;
    const float times = (float)(scale / 37837.2); /* the deviation of the sum below */
    float *at = memory(n, sizeof *at);
    for (int64_t i = 0; i < n; i++) {
        uint32_t x = hash(seed, (uint32_t)(2 * i)), y = hash(seed, (uint32_t)(2 * i + 1));
        at[i] = (float)((int32_t)((x & 0xFFFF) + (x >> 16) + (y & 0xFFFF) + (y >> 16)) - 131070) * times;
        if (plus != 0) at[i] += (float)plus;
    }
    return tensor(b, KILN_F32, s, at);
}

static float *uniforms(Bench *b, int64_t n)
{
    const uint32_t seed = ++b->drawn;
    float *at = memory(n, sizeof *at);
    for (int64_t i = 0; i < n; i++) at[i] = (float)(hash(seed, (uint32_t)i) >> 8) * 0x1p-24f;
    return at;
}

kiln_tensor *draw_uniform(Bench *b, kiln_shape s) { return tensor(b, KILN_F32, s, uniforms(b, elements(s))); }

kiln_tensor *draw_labels(Bench *b, int64_t n, uint32_t classes)
{
    const uint32_t seed = ++b->drawn;
    int64_t *at = memory(n, sizeof *at);
    for (int64_t i = 0; i < n; i++) at[i] = hash(seed, (uint32_t)i) % classes;
    return tensor(b, KILN_I64, KILN_SHAPE(n), at);
}

kiln_tensor *draw_whole(Bench *b, kiln_shape s)
{
    const int64_t n = elements(s);
    const uint32_t seed = ++b->drawn;
    int8_t *at = memory(n, sizeof *at);
    for (int64_t i = 0; i < n; i++) at[i] = (int8_t)((int)(hash(seed, (uint32_t)i) % 41) - 20);
    return tensor(b, KILN_I8, s, at);
}

kiln_tensor *draw_stochastic(Bench *b, int64_t n)
{
    float *at = uniforms(b, n * n);
    for (int64_t i = 0; i < n; i++) {
        double sum = 0;
        for (int64_t j = 0; j < n; j++) sum += (double)at[i * n + j] + 1e-3;
        for (int64_t j = 0; j < n; j++) at[i * n + j] = (float)(((double)at[i * n + j] + 1e-3) / sum);
    }
    return tensor(b, KILN_F32, KILN_SHAPE(n, n), at);
}

/* A permutation of the numbers below 2^24, of which the first n are taken. */
kiln_tensor *draw_distinct(Bench *b, kiln_shape s)
{
    const int64_t n = elements(s);
    const uint32_t seed = ++b->drawn, below = (1u << 24) - 1;
    float *at = memory(n, sizeof *at);
    for (int64_t i = 0; i < n; i++) {
        uint32_t x = ((uint32_t)i + seed * 0x9E3779u) & below;
        x ^= x >> 12, x = x * 0x6CA68Bu & below;
        x ^= x >> 11, x = x * 0x7FEB35u & below;
        at[i] = (float)(x ^ x >> 12) * 0x1p-24f;
    }
    return tensor(b, KILN_F32, s, at);
}

/* Each the mean of a matrix and its transpose, with n more on the diagonal. */
kiln_tensor *draw_definite(Bench *b, int64_t count, int64_t n)
{
    float *u = uniforms(b, count * n * n), *at = memory(count * n * n, sizeof *at);
    for (int64_t c = 0; c < count; c++)
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < n; j++)
                at[(c * n + i) * n + j] = (u[(c * n + i) * n + j] + u[(c * n + j) * n + i]) * 0.5f + (i == j ? (float)n : 0);
    free(u);
    return tensor(b, KILN_F32, count > 1 ? KILN_SHAPE(count, n, n) : KILN_SHAPE(n, n), at);
}

void add_input(Bench *b, kiln_tensor *x) { b->in[b->inputs++] = b->row->how & F64 ? kiln_cast(x, KILN_F64) : x; }

void add_normal(Bench *b, kiln_shape s) { add_input(b, draw_normal(b, s, 1, 0)); }

void add_parameter(Bench *b, kiln_variable *v, kiln_shape s, double scale)
{
    kiln_tensor *t = draw_normal(b, s, scale, 0);
    kiln_assign(v, t);
    b->start[b->parameters] = memory((int64_t)kiln_bytes(t), 1);
    kiln_read(t, b->start[b->parameters], kiln_bytes(t));
    b->v[b->parameters++] = v;
}

void use_adam(Bench *b)
{
    b->optimizer = kiln_adam_at(KILN_HERE, b->k, ADAM_RATE, 0, 0, ADAM_EPSILON);
    b->rate = ADAM_RATE, b->steps = 3;
}

void use_sgd(Bench *b, double rate)
{
    b->optimizer = kiln_sgd(b->k, rate, 0);
    b->rate = rate, b->steps = 3;
}
