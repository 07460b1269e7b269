/* Rows over sequences: recurrent cells, attention, a layer of BERT. */
#include "row.h"

/* n: time, batch, inputs, units, whether with gradients: those of the layer's variables are results then. */
static void recurrent(Bench *b, const int64_t *n, kiln_recurrent *layer, int64_t gates)
{
    const int64_t wide = gates * n[3];
    const kiln_shape shape[4] = {KILN_SHAPE(n[2], wide), KILN_SHAPE(n[3], wide), KILN_SHAPE(wide), KILN_SHAPE(wide)};
    const double scale[4] = {0.1, 0.08, 0.05, 0.05};
    kiln_variable *v[4];
    b->recurrent = layer;
    add_normal(b, KILN_SHAPE(n[0], n[1], n[2]));
    const int count = kiln_recurrent_variables(layer, v, 4);
    for (int i = 0; i < count; i++) add_parameter(b, v[i], shape[i], scale[i]);
    if (n[4]) b->outputs = 1 + count;
}

static void lstm(Bench *b, const int64_t *n) { recurrent(b, n, kiln_lstm_new(b->k, n[2], n[3], NULL), 4); }
static void gru(Bench *b, const int64_t *n) { recurrent(b, n, kiln_gru_new(b->k, n[2], n[3], NULL), 3); }

static void queries(Bench *b, const int64_t *n) /* heads, keys, features, whether causal, whether with gradients */
{
    for (int i = 0; i < 3; i++) add_normal(b, KILN_SHAPE(n[0], n[1], n[2]));
    if (n[4]) b->outputs = 4;
}

static void bert_layer(Bench *b, const int64_t *n) /* positions, features, heads, features between */
{
    const int64_t d = n[1], f = n[3];
    const struct { int64_t from, to; } weight[4] = {{d, 3 * d}, {d, d}, {d, f}, {f, d}};
    add_normal(b, KILN_SHAPE(1, n[0], d));
    for (int i = 0; i < 4; i++) {
        add_input(b, draw_normal(b, KILN_SHAPE(weight[i].from, weight[i].to), 0.03, 0));
        add_input(b, draw_normal(b, KILN_SHAPE(weight[i].to), 0.01, 0));
        if (i % 2 == 0) continue;
        add_input(b, draw_normal(b, KILN_SHAPE(d), 0.02, 1)); /* of the normalisation: scale, shift */
        add_input(b, draw_normal(b, KILN_SHAPE(d), 0.02, 0));
    }
}

BODY(run) { out[0] = kiln_recurrent_apply(((Bench *)user)->recurrent, in[0], NULL); }

BODY(run_back)
{
    Bench *b = user;
    KILN_TAPE(k, tape);
    out[0] = kiln_mean(kiln_recurrent_apply(b->recurrent, in[0], NULL), KILN_ALL);
    kiln_operand of[4];
    for (int i = 0; i < b->parameters; i++) of[i] = KILN_OPERAND(b->v[i]);
    kiln_gradients(tape, out[0], of, b->parameters, out + 1);
}

BODY(attention) { out[0] = kiln_attention(in[0], in[1], in[2], &(kiln_attention_options){.causal = ((Bench *)user)->row->n[3]}); }

BODY(attention_back)
{
    kiln_operand of[3];
    KILN_TAPE(k, tape);
    for (int i = 0; i < 3; i++) of[i] = KILN_OPERAND(kiln_watch(tape, in[i]));
    attention(k, in, out, user);
    out[0] = kiln_mean(out[0], KILN_ALL);
    kiln_gradients(tape, out[0], of, 3, out + 1);
}

/* As a program writes it that does not know kiln_attention. */
BODY(bert)
{
    const int64_t *n = ((Bench *)user)->row->n, d = n[1], heads = n[2];
    kiln_tensor *x = in[0], *part[3], *all = kiln_add(kiln_matmul(x, in[1]), in[2]);
    for (int i = 0; i < 3; i++) {
        kiln_tensor *split = kiln_reshape(kiln_slice(all, -1, d * i, d * (i + 1), 1), KILN_SHAPE(1, n[0], heads, d / heads));
        part[i] = kiln_transpose(split, i == 1 ? KILN_AXES(0, 2, 3, 1) : KILN_AXES(0, 2, 1, 3));
    }
    kiln_tensor *weight = kiln_softmax(kiln_mul(kiln_matmul(part[0], part[1]), 0.125), -1);
    kiln_tensor *seen = kiln_reshape(kiln_transpose(kiln_matmul(weight, part[2]), KILN_AXES(0, 2, 1, 3)), KILN_SHAPE(1, n[0], d));
    x = kiln_layernorm(kiln_add(x, kiln_add(kiln_matmul(seen, in[3]), in[4])), in[5], in[6], 1e-5);
    kiln_tensor *h = kiln_gelu(kiln_add(kiln_matmul(x, in[7]), in[8]));
    out[0] = kiln_layernorm(kiln_add(x, kiln_add(kiln_matmul(h, in[9]), in[10])), in[11], in[12], 1e-5);
}

const Row sequence_rows[] = {
    {"lstm", lstm, run, {64, 32, 128, 128, false}, 0},
    {"lstm_back", lstm, run_back, {64, 32, 128, 128, true}, 0},
    {"gru", gru, run, {64, 32, 128, 128, false}, 0},
    {"gru_back", gru, run_back, {64, 32, 128, 128, true}, 0},
    {"attention", queries, attention, {8, 512, 64, false, false}, 0},
    {"attention_causal", queries, attention, {8, 512, 64, true, false}, 0},
    {"attention_back", queries, attention_back, {8, 512, 64, false, true}, 0},
    {"attention_causal_back", queries, attention_back, {8, 512, 64, true, true}, 0},
    {"bert", bert_layer, bert, {128, 768, 12, 3072}, 0},
    {0},
};
