/* Rows bound by memory, or by elementary functions beside it: elementwise chains, rows, sums, moves, one large optimiser step. */
#include "row.h"

static void vector(Bench *b, const int64_t *n) /* elements, arrays */
{
    for (int i = 0; i < n[1]; i++) add_normal(b, KILN_SHAPE(n[0]));
    kiln_dtype t = b->row->how & F64 ? KILN_F64 : KILN_F32;
    if (b->row->how & INTO) b->target = kiln_variable_new(b->k, "target", kiln_zeros(b->k, t, KILN_SHAPE(n[0])));
}

static void page(Bench *b, const int64_t *n) /* rows, columns, further arrays of a row each */
{
    add_normal(b, KILN_SHAPE(n[0], n[1]));
    for (int i = 0; i < n[2]; i++) add_normal(b, KILN_SHAPE(n[1]));
}

static void logits(Bench *b, const int64_t *n)
{
    add_normal(b, KILN_SHAPE(n[0], n[1]));
    add_input(b, draw_labels(b, n[0], (uint32_t)n[1]));
    b->outputs = 2;
}

static void block(Bench *b, const int64_t *n) /* three sizes, or four */
{
    add_normal(b, n[3] ? KILN_SHAPE(n[0], n[1], n[2], n[3]) : KILN_SHAPE(n[0], n[1], n[2]));
}

static void parameters(Bench *b, const int64_t *n)
{
    add_parameter(b, kiln_variable_new(b->k, "p", kiln_zeros(b->k, KILN_F32, KILN_SHAPE(n[0]))), KILN_SHAPE(n[0]), 0.05);
    add_input(b, draw_normal(b, KILN_SHAPE(n[0]), 0.01, 0));
    use_adam(b);
    b->moments = true;
}

/* A result of its own, or in the target. */
static void result(kiln_tensor **out, kiln_tensor *y, Bench *b)
{
    out[0] = y;
    if (!b->target) return;
    kiln_assign(b->target, y);
    out[0] = kiln_scalar(b->k, KILN_F32, 0);
}

BODY(copy) { result(out, kiln_mul(in[0], 1.0), user); }

BODY(chain)
{
    kiln_tensor *x = in[0], *y = in[1];
    kiln_tensor *t = kiln_sub(kiln_mul(kiln_add(kiln_mul(x, 1.5), y), x), y);
    result(out, kiln_max(kiln_div(t, kiln_add(1.0, kiln_mul(x, x))), y), user);
}

BODY(gelu)
{
    kiln_tensor *x = in[0];
    kiln_tensor *cube = kiln_mul(kiln_mul(kiln_mul(x, 0.044715), x), x);
    kiln_tensor *t = kiln_tanh(kiln_mul(kiln_add(x, cube), 0.7978845608));
    result(out, kiln_mul(kiln_mul(x, 0.5), kiln_add(t, 1.0)), user);
}

BODY(softmax) { out[0] = kiln_softmax(in[0], -1); }
BODY(layernorm) { out[0] = kiln_layernorm(in[0], in[1], in[2], 1e-5); }

BODY(rmsnorm)
{
    kiln_tensor *r = kiln_rsqrt(kiln_add(kiln_mean(kiln_mul(in[0], in[0]), KILN_KEEP(-1)), 1e-6));
    out[0] = kiln_mul(kiln_mul(in[0], r), in[1]);
}

BODY(cross_entropy)
{
    KILN_TAPE(k, tape);
    kiln_watch(tape, in[0]);
    out[0] = kiln_cross_entropy(in[0], in[1]);
    out[1] = kiln_gradient(tape, out[0], in[0]);
}

BODY(sum_columns) { out[0] = kiln_sum(in[0], KILN_AXES(0)); }
BODY(sum_rows) { out[0] = kiln_sum(in[0], KILN_AXES(1)); }
BODY(variance_columns) { out[0] = kiln_variance(in[0], KILN_AXES(0)); }
BODY(variance_rows) { out[0] = kiln_variance(in[0], KILN_AXES(1)); }
BODY(transpose) { out[0] = kiln_transpose(in[0], KILN_ALL); }
BODY(swap_middle) { out[0] = kiln_transpose(in[0], KILN_AXES(0, 2, 1, 3)); }

BODY(adam)
{
    const Bench *b = user;
    kiln_optimizer_apply(b->optimizer, b->v, in, 1);
    out[0] = kiln_scalar(k, KILN_F32, 0);
}

const Row memory_rows[] = {
    {"copy16m_into", vector, copy, {16 * MI, 1}, INTO},
    {"chain1m", vector, chain, {MI, 2}, 0},
    {"chain1m_into", vector, chain, {MI, 2}, INTO},
    {"chain16m", vector, chain, {16 * MI, 2}, 0},
    {"chain16m_into", vector, chain, {16 * MI, 2}, INTO},
    {"chain4m_f64", vector, chain, {4 * MI, 2}, F64},
    {"gelu1m", vector, gelu, {MI, 1}, 0},
    {"gelu1m_into", vector, gelu, {MI, 1}, INTO},
    {"gelu16m", vector, gelu, {16 * MI, 1}, 0},
    {"gelu16m_into", vector, gelu, {16 * MI, 1}, INTO},
    {"softmax", page, softmax, {4096, 1024}, 0},
    {"softmax_wide", page, softmax, {64, 50257}, 0},
    {"layernorm", page, layernorm, {4096, 1024, 2}, 0},
    {"layernorm_wide", page, layernorm, {64, 50257, 2}, 0},
    {"rmsnorm", page, rmsnorm, {4096, 1024, 1}, 0},
    {"rmsnorm_wide", page, rmsnorm, {64, 50257, 1}, 0},
    {"xent", logits, cross_entropy, {4096, 1024}, 0},
    {"xent_wide", logits, cross_entropy, {64, 50257}, 0},
    {"sum0", page, sum_columns, {4096, 1024}, 0},
    {"sum1", page, sum_rows, {4096, 1024}, 0},
    {"var0", page, variance_columns, {4096, 1024}, 0},
    {"var1", page, variance_rows, {4096, 1024}, 0},
    {"transpose", page, transpose, {4096, 1024}, COPIED},
    {"permute0213", block, swap_middle, {32, 128, 12, 64}, COPIED},
    {"permute210", block, transpose, {128, 256, 128}, COPIED},
    {"adam25m", parameters, adam, {25000000}, 0},
    {0},
};
