/* By hand: elementwise chains, rows, sums, moves, a large optimiser step. */
#include "loops.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

enum { LANES = 16, BLOCK = 16 }; /* sums that run side by side; squares of a transpose */

static float total(const float *lane)
{
    float sum = 0;
    for (int j = 0; j < LANES; j++) sum += lane[j];
    return sum;
}

static float row_sum(const float *restrict x, int64_t n)
{
    float lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) lane[j] += x[i + j];
    float sum = total(lane);
    for (; i < n; i++) sum += x[i];
    return sum;
}

static float row_spread(const float *restrict x, int64_t n, float mean) /* the sum of squared differences */
{
    float lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) lane[j] += (x[i + j] - mean) * (x[i + j] - mean);
    float sum = total(lane);
    for (; i < n; i++) sum += (x[i] - mean) * (x[i] - mean);
    return sum;
}

static float row_most(const float *restrict x, int64_t n)
{
    float lane[LANES];
    int64_t i = 0;
    for (int j = 0; j < LANES; j++) lane[j] = -INFINITY;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) lane[j] = x[i + j] > lane[j] ? x[i + j] : lane[j];
    float most = -INFINITY;
    for (int j = 0; j < LANES; j++) most = lane[j] > most ? lane[j] : most;
    for (; i < n; i++) most = x[i] > most ? x[i] : most;
    return most;
}

static void copy(Hand *h) { memcpy(h->out[0], h->in[0], (size_t)h->n[0] * sizeof(float)); }

static void chain(Hand *h)
{
    const float *restrict x = h->in[0], *restrict y = h->in[1];
    float *restrict out = h->out[0];
    for (int64_t i = 0; i < h->n[0]; i++) {
        float z = ((x[i] * 1.5f + y[i]) * x[i] - y[i]) / (1 + x[i] * x[i]);
        out[i] = z > y[i] ? z : y[i];
    }
}

static void gelu(Hand *h)
{
    const float *restrict x = h->in[0];
    float *restrict out = h->out[0];
    for (int64_t i = 0; i < h->n[0]; i++)
        out[i] = 0.5f * x[i] * (1 + tanhf(0.7978845608f * (x[i] + 0.044715f * x[i] * x[i] * x[i])));
}

static void softmax(Hand *h)
{
    const int64_t columns = h->n[1];
    for (int64_t i = 0; i < h->n[0]; i++) {
        const float *restrict x = (const float *)h->in[0] + i * columns;
        float *restrict out = h->out[0] + i * columns, most = row_most(x, columns);
        for (int64_t j = 0; j < columns; j++) out[j] = expf(x[j] - most);
        const float part = 1 / row_sum(out, columns);
        for (int64_t j = 0; j < columns; j++) out[j] *= part;
    }
}

static void layernorm(Hand *h)
{
    const int64_t columns = h->n[1];
    const float *restrict scale = h->in[1], *restrict shift = h->in[2];
    for (int64_t i = 0; i < h->n[0]; i++) {
        const float *restrict x = (const float *)h->in[0] + i * columns;
        float *restrict out = h->out[0] + i * columns;
        const float mean = row_sum(x, columns) / (float)columns;
        const float root = 1 / sqrtf(row_spread(x, columns, mean) / (float)columns + 1e-5f);
        for (int64_t j = 0; j < columns; j++) out[j] = (x[j] - mean) * root * scale[j] + shift[j];
    }
}

static void cross_entropy(Hand *h)
{
    const int64_t rows = h->n[0], columns = h->n[1], *label = h->in[1];
    double loss = 0;
    for (int64_t i = 0; i < rows; i++) {
        const float *restrict x = (const float *)h->in[0] + i * columns;
        float *restrict slope = h->out[1] + i * columns, most = row_most(x, columns);
        for (int64_t j = 0; j < columns; j++) slope[j] = expf(x[j] - most);
        const float sum = row_sum(slope, columns), part = 1 / (sum * (float)rows);
        for (int64_t j = 0; j < columns; j++) slope[j] *= part;
        slope[label[i]] -= 1 / (float)rows;
        loss += logf(sum) + most - x[label[i]];
    }
    h->out[0][0] = (float)(loss / (double)rows);
}

static void sum_columns(Hand *h)
{
    float *restrict out = h->out[0];
    memset(out, 0, (size_t)h->n[1] * sizeof *out);
    for (int64_t i = 0; i < h->n[0]; i++) {
        const float *restrict x = (const float *)h->in[0] + i * h->n[1];
        for (int64_t j = 0; j < h->n[1]; j++) out[j] += x[j];
    }
}

static void sum_rows(Hand *h)
{
    for (int64_t i = 0; i < h->n[0]; i++) h->out[0][i] = row_sum((const float *)h->in[0] + i * h->n[1], h->n[1]);
}

static void variance_rows(Hand *h)
{
    const int64_t columns = h->n[1];
    for (int64_t i = 0; i < h->n[0]; i++) {
        const float *x = (const float *)h->in[0] + i * columns;
        h->out[0][i] = row_spread(x, columns, row_sum(x, columns) / (float)columns) / (float)columns;
    }
}

static void transpose(Hand *h) /* whose sizes are multiples of a block */
{
    const int64_t rows = h->n[0], columns = h->n[1];
    const float *restrict x = h->in[0];
    float *restrict out = h->out[0];
    for (int64_t i = 0; i < rows; i += BLOCK)
        for (int64_t j = 0; j < columns; j += BLOCK)
            for (int64_t b = 0; b < BLOCK; b++)
                for (int64_t a = 0; a < BLOCK; a++) out[(j + b) * rows + i + a] = x[(i + a) * columns + j + b];
}

static void swap_middle(Hand *h)
{
    const int64_t *n = h->n;
    for (int64_t a = 0; a < n[0]; a++)
        for (int64_t c = 0; c < n[2]; c++)
            for (int64_t b = 0; b < n[1]; b++) {
                const float *from = (const float *)h->in[0] + ((a * n[1] + b) * n[2] + c) * n[3];
                memcpy(h->out[0] + ((a * n[2] + c) * n[1] + b) * n[3], from, (size_t)n[3] * sizeof *from);
            }
}

static void adam(Hand *h)
{
    const float *restrict g = h->in[0];
    float *restrict p = h->parameter[0], *restrict m = h->out[0], *restrict v = h->out[1];
    const double t = h->calls + 1;
    const float first = (float)(1 / (1 - pow(0.9, t))), second = (float)(1 / (1 - pow(0.999, t)));
    for (int64_t i = 0; i < h->n[0]; i++) {
        m[i] = 0.9f * m[i] + 0.1f * g[i];
        v[i] = 0.999f * v[i] + 0.001f * g[i] * g[i];
        p[i] -= 1e-6f * (m[i] * first) / (sqrtf(v[i] * second) + 1e-10f);
    }
}

const Loop memory_loops[] = {
    {"copy16m_into", copy, 1, 0, 0},
    {"chain1m", chain, 1, 1e-5, 0},
    {"chain16m_into", chain, 1, 1e-5, 0},
    {"gelu1m", gelu, 1, 1e-5, 0},
    {"softmax", softmax, 1, 1e-5, 0},
    {"softmax_wide", softmax, 1, 1e-4, 0},
    {"layernorm", layernorm, 1, 1e-5, 0},
    {"xent", cross_entropy, 2, 1e-5, 0},
    {"sum0", sum_columns, 1, 1e-4, 0},
    {"sum1", sum_rows, 1, 1e-4, 0},
    {"var1", variance_rows, 1, 1e-5, 0},
    {"transpose", transpose, 1, 0, 0},
    {"permute0213", swap_middle, 1, 0, 0},
    {"adam25m", adam, 2, 1e-5, 0},
    {0},
};
