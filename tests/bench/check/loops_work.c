/* By hand: calls, loops over few numbers, products, convolutions, small networks, sequences. */
#include "loops.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { LANES = 16, TILE = 4 };

/* ---- calls: the result in memory of its own, as Kiln's is ----------------------------------------------------- */
static void add_one(Hand *h)
{
    const float *x = h->in[0];
    float *y = malloc(4 * sizeof *y);
    if (!y) abort();
    for (int i = 0; i < 4; i++) y[i] = x[i] + 1;
    memcpy(h->out[0], y, 4 * sizeof *y);
    free(y);
}

static void add_two(Hand *h)
{
    const float *a = h->in[0], *b = h->in[1];
    float *y = malloc(4 * sizeof *y);
    if (!y) abort();
    for (int i = 0; i < 4; i++) y[i] = a[i] + b[i];
    memcpy(h->out[0], y, 4 * sizeof *y);
    free(y);
}

static void descent(Hand *h)
{
    const float a = *(const float *)h->in[0], b = *(const float *)h->in[1];
    float x = 0;
    for (int64_t i = 0; i < h->n[0]; i++) x -= 0.01f * (2 * a * x + b);
    h->out[0][0] = x;
}

/* ---- products ------------------------------------------------------------------------------------------------ */
static float dot(const float *restrict x, const float *restrict y, int64_t n)
{
    float lane[LANES] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) lane[j] += x[i + j] * y[i + j];
    for (int j = 0; j < LANES; j++) sum += lane[j];
    for (; i < n; i++) sum += x[i] * y[i];
    return sum;
}

/* out [m, n] += a [m, k] b [k, n], four rows at a time. */
static void multiply(int64_t m, int64_t n, int64_t k, const float *restrict a, const float *restrict b, float *restrict out)
{
    int64_t i = 0;
    for (; i + TILE <= m; i += TILE)
        for (int64_t p = 0; p < k; p++) {
            const float *x = a + i * k + p, w[TILE] = {x[0], x[k], x[2 * k], x[3 * k]};
            float *to = out + i * n;
            for (int64_t j = 0; j < n; j++) {
                const float y = b[p * n + j];
                to[j] += w[0] * y;
                to[n + j] += w[1] * y;
                to[2 * n + j] += w[2] * y;
                to[3 * n + j] += w[3] * y;
            }
        }
    for (; i < m; i++)
        for (int64_t p = 0; p < k; p++)
            for (int64_t j = 0; j < n; j++) out[i * n + j] += a[i * k + p] * b[p * n + j];
}

static void product(Hand *h)
{
    memset(h->out[0], 0, (size_t)(h->n[0] * h->n[1]) * sizeof(float));
    multiply(h->n[0], h->n[1], h->n[2], h->in[0], h->in[1], h->out[0]);
}

static void long_dot(Hand *h) { h->out[0][0] = dot(h->in[0], h->in[1], h->n[0]); }

static void power(Hand *h)
{
    const int64_t n = h->n[0];
    float *y = h->scratch, *next = h->scratch + n * n;
    memset(y, 0, (size_t)(n * n) * sizeof *y);
    for (int64_t i = 0; i < n; i++) y[i * n + i] = 1;
    for (int64_t step = 0; step < h->n[1]; step++) {
        memset(next, 0, (size_t)(n * n) * sizeof *next);
        multiply(n, n, n, h->in[0], y, next);
        float *last = y;
        y = next, next = last;
    }
    memcpy(h->out[0], y, (size_t)(n * n) * sizeof *y);
}

/* ---- networks ------------------------------------------------------------------------------------------------ */
/* out [rows, n] = x [rows, k] w + b, rectified where asked for */
static void dense(int64_t rows, int64_t n, int64_t k, const float *x, const float *w, const float *b, float *out, int rectified)
{
    for (int64_t i = 0; i < rows; i++) memcpy(out + i * n, b, (size_t)n * sizeof *b);
    multiply(rows, n, k, x, w, out);
    for (int64_t i = 0; rectified && i < rows * n; i++) out[i] = out[i] > 0 ? out[i] : 0;
}

static void mlp(Hand *h)
{
    const int64_t batch = h->n[0], hidden = h->n[1];
    dense(batch, hidden, 784, h->in[0], h->parameter[0], h->parameter[1], h->scratch, 1);
    dense(batch, 10, hidden, h->scratch, h->parameter[2], h->parameter[3], h->out[0], 0);
}

/* 3 x 3 taps without padding, rectified: x [side, side, from] to out [side - 2, side - 2, to] */
static void convolve(int64_t side, int64_t from, int64_t to, const float *restrict x, const float *restrict w,
    const float *restrict b, float *restrict out)
{
    for (int64_t i = 0; i < side - 2; i++)
        for (int64_t j = 0; j < side - 2; j++, out += to) {
            memcpy(out, b, (size_t)to * sizeof *b);
            for (int64_t tap = 0; tap < 9; tap++) {
                const float *at = x + ((i + tap / 3) * side + j + tap % 3) * from;
                for (int64_t c = 0; c < from; c++)
                    for (int64_t o = 0; o < to; o++) out[o] += at[c] * w[(tap * from + c) * to + o];
            }
            for (int64_t o = 0; o < to; o++) out[o] = out[o] > 0 ? out[o] : 0;
        }
}

static void convnet(Hand *h) /* of one image */
{
    const int64_t first = h->n[1], second = h->n[2];
    float *const *p = h->parameter, *a = h->scratch, *b = a + 26 * 26 * first, *mean = b + 24 * 24 * second;
    convolve(28, 1, first, h->in[0], p[0], p[1], a);
    convolve(26, first, second, a, p[2], p[3], b);
    memset(mean, 0, (size_t)second * sizeof *mean);
    for (int64_t i = 0; i < 24 * 24; i++)
        for (int64_t c = 0; c < second; c++) mean[c] += b[i * second + c];
    for (int64_t c = 0; c < second; c++) mean[c] /= 24 * 24;
    dense(1, 10, second, mean, p[4], p[5], h->out[0], 0);
}

static void depthwise(Hand *h) /* 3 x 3 with a border of zeros */
{
    const int64_t side = h->n[1], c = h->n[2];
    const float *restrict w = h->in[1];
    float *restrict out = h->out[0];
    for (int64_t image = 0; image < h->n[0]; image++)
        for (int64_t i = 0; i < side; i++)
            for (int64_t j = 0; j < side; j++, out += c) {
                memset(out, 0, (size_t)c * sizeof *out);
                for (int64_t tap = 0; tap < 9; tap++) {
                    const int64_t y = i + tap / 3 - 1, x = j + tap % 3 - 1;
                    if (y < 0 || y >= side || x < 0 || x >= side) continue;
                    const float *restrict at = (const float *)h->in[0] + ((image * side + y) * side + x) * c;
                    for (int64_t o = 0; o < c; o++) out[o] += at[o] * w[tap * c + o];
                }
            }
}

/* ---- sequences ----------------------------------------------------------------------------------------------- */
static float sigmoid(float x) { return 1 / (1 + expf(-x)); }

static void lstm(Hand *h)
{
    const int64_t time = h->n[0], batch = h->n[1], inputs = h->n[2], units = h->n[3], wide = 4 * units;
    float *const *p = h->parameter, *all = h->scratch, *cell = all + time * batch * wide;
    dense(time * batch, wide, inputs, h->in[0], p[0], p[2], all, 0);
    memset(cell, 0, (size_t)(batch * units) * sizeof *cell);
    for (int64_t t = 0; t < time; t++) {
        float *a = all + t * batch * wide, *to = h->out[0] + t * batch * units;
        if (t > 0) multiply(batch, wide, units, to - batch * units, p[1], a);
        for (int64_t i = 0; i < batch; i++)
            for (int64_t j = 0; j < units; j++) {
                const float *g = a + i * wide + j;
                float *c = cell + i * units + j;
                *c = sigmoid(g[units]) * *c + sigmoid(g[0]) * tanhf(g[2 * units]);
                to[i * units + j] = sigmoid(g[3 * units]) * tanhf(*c);
            }
    }
}

static void attention(Hand *h)
{
    const int64_t keys = h->n[1], d = h->n[2];
    for (int64_t row = 0; row < h->n[0] * keys; row++) {
        const int64_t head = row / keys * keys * d;
        const float *q = (const float *)h->in[0] + row * d, *k = (const float *)h->in[1] + head;
        const float *restrict v = (const float *)h->in[2] + head;
        float *restrict out = h->out[0] + row * d, *weight = h->scratch, most = -INFINITY, sum = 0;
        for (int64_t j = 0; j < keys; j++) {
            weight[j] = dot(q, k + j * d, d) * 0.125f;
            most = weight[j] > most ? weight[j] : most;
        }
        for (int64_t j = 0; j < keys; j++) sum += weight[j] = expf(weight[j] - most);
        memset(out, 0, (size_t)d * sizeof *out);
        for (int64_t j = 0; j < keys; j++)
            for (int64_t i = 0; i < d; i++) out[i] += weight[j] * v[j * d + i];
        for (int64_t i = 0; i < d; i++) out[i] /= sum;
    }
}

const Loop work_loops[] = {
    {"call1", add_one, 1, 0, 0},
    {"add2x2", add_two, 1, 0, 0},
    {"power100", power, 1, 1e-4, 200},
    {"sgdloop", descent, 1, 1e-4, 0},
    {"mm64", product, 1, 1e-5, 0},
    {"mm512", product, 1, 1e-5, 0},
    {"gemv", product, 1, 1e-4, 0},
    {"skinny", product, 1, 1e-5, 0},
    {"dot4m", long_dot, 1, 1e-4, 0},
    {"depthwise", depthwise, 1, 1e-5, 0},
    {"conv_b1", convnet, 1, 1e-4, 26 * 26 * 16 + 24 * 24 * 16 + 16},
    {"mlp_b1", mlp, 1, 1e-4, 128},
    {"lstm", lstm, 1, 1e-4, 64 * 32 * 512 + 32 * 128},
    {"attention", attention, 1, 1e-4, 512},
    {0},
};
