/* test_called_models: test_called for recurrent networks, attention's numbers, rotary embeddings, caches, quantisation and windows; and what
 * they say of operands that almost fit. */
#define CALLED_LEAST 70
#include "called.h"

#include <kiln/nn.h>
#include <math.h>

static kiln_tensor *zeros(const Bad *x, kiln_shape s) { return kiln_zeros(x->k, KILN_F32, s); }

static void recurrent(Bad *x)
{
    kiln_tensor *in = zeros(x, KILN_SHAPE(3, 2, 4)), *w = zeros(x, KILN_SHAPE(1, 20, 4)), *u = zeros(x, KILN_SHAPE(1, 20, 5)), *b = zeros(x, KILN_SHAPE(1, 40));
    kiln_tensor *none = NULL, *out;
    BAD("lstm", DTYPE, kiln_lstm(x->i, w, u, b, NULL));
    BAD("lstm", DTYPE, kiln_lstm(in, w, u, kiln_cast(b, KILN_F64), NULL));
    BAD("lstm", SHAPE, kiln_lstm(x->f, w, u, b, NULL));
    BAD("lstm", SHAPE, kiln_lstm(in, u, u, b, NULL));
    BAD("lstm", SHAPE, kiln_lstm(in, w, w, b, NULL));
    BAD("lstm", SHAPE, kiln_lstm(in, w, u, x->f, NULL));
    BAD("lstm", SHAPE, kiln_lstm(in, w, u, b, &(kiln_recurrence){.direction = KILN_BOTH}));
    BAD("lstm", VALUE, kiln_lstm(in, w, u, b, &(kiln_recurrence){.direction = (kiln_direction)7}));
    BAD("lstm", VALUE, kiln_lstm(in, w, u, b, &(kiln_recurrence){.clip = -1}));
    BAD("lstm", VALUE, kiln_lstm(in, w, u, b, &(kiln_recurrence){.gate[0][0].kind = (kiln_gate_kind)40}));
    BAD("lstm", VALUE, kiln_lstm(in, w, u, b, &(kiln_recurrence){.gate[1][2] = {.given = true, .alpha = (double)NAN}}));
    BAD("lstm", VALUE, kiln_lstm(in, w, u, b, &(kiln_recurrence){.reset_first = true}));
    BAD("lstm", SHAPE, kiln_lstm(in, w, u, b, &(kiln_recurrence){.h = x->f}));
    BAD("lstm", SHAPE, kiln_lstm(in, w, u, b, &(kiln_recurrence){.peepholes = x->f}));
    BAD("lstm", DTYPE, kiln_lstm(in, w, u, b, &(kiln_recurrence){.lengths = x->s}));
    BAD("lstm", SHAPE, kiln_lstm(in, w, u, b, &(kiln_recurrence){.lengths = x->i}));
    BAD("gru", SHAPE, kiln_gru(in, w, u, NULL, NULL));
    BAD("gru", VALUE, kiln_gru(in, w, u, NULL, &(kiln_recurrence){.c = x->f}));
    BAD("gru", VALUE, kiln_gru(in, w, u, NULL, &(kiln_recurrence){.peepholes = x->f}));
    BAD("rnn", VALUE, kiln_rnn(in, w, u, NULL, &(kiln_recurrence){.input_forget = true}));
    BAD("rnn", VALUE, kiln_rnn(in, w, u, NULL, &(kiln_recurrence){.last_c = &out}));
    BAD("rnn", VALUE, kiln_rnn(in, none, u, NULL, NULL));
    BAD("reverse_sequence", DTYPE, kiln_reverse_sequence(x->f, x->f, 0, 1));
    BAD("reverse_sequence", SHAPE, kiln_reverse_sequence(x->f, x->i, 0, 1));
    BAD("reverse_sequence", VALUE, kiln_reverse_sequence(x->f, kiln_value(x->count), 1, -1));
    BAD("reverse_sequence", SHAPE, kiln_reverse_sequence(x->f, kiln_value(x->count), 2, 0));
}

static void attention(Bad *x)
{
    kiln_tensor *table = zeros(x, KILN_SHAPE(9, 1)), *a, *b;
    BAD("attention", DTYPE, kiln_attention(x->f, x->f, x->f, &(kiln_attention_options){.causal = true, .offset = x->s}));
    BAD("attention", DTYPE, kiln_attention(x->f, x->f, x->f, &(kiln_attention_options){.lengths = x->s}));
    BAD("attention", SHAPE, kiln_attention(x->f, x->f, x->f, &(kiln_attention_options){.lengths = kiln_cast(x->image, KILN_I32)}));
    BAD("rotary", DTYPE, kiln_rotary(x->i, table, table, NULL, NULL));
    BAD("rotary", DTYPE, kiln_rotary(x->f, table, table, x->f, NULL));
    BAD("rotary", SHAPE, kiln_rotary(x->f, table, x->f, NULL, NULL));
    BAD("rotary", SHAPE, kiln_rotary(x->f, table, table, NULL, NULL));
    BAD("rotary", SHAPE, kiln_rotary(x->f, x->g, x->g, x->i, NULL));
    BAD("rotary", SHAPE, kiln_rotary(x->s, table, table, NULL, NULL));
    BAD("rotary", SHAPE, kiln_rotary(x->f, x->poor, x->poor, x->i, NULL));
    BAD("rotary_tables", DTYPE, kiln_rotary_tables(x->k, KILN_I32, 4, 2, 0, &a, &b));
    BAD("rotary_tables", VALUE, kiln_rotary_tables(x->k, KILN_F32, -1, 2, 0, &a, &b));
    BAD("rotary_tables", VALUE, kiln_rotary_tables(x->k, KILN_F32, INT64_MAX / 2, 8, 0, &a, &b));
    BAD("rotary_tables", VALUE, kiln_rotary_tables(x->k, KILN_F32, 4, 2, -3, &a, &b));
    BAD("rotary_tables", VALUE, kiln_rotary_tables(x->k, KILN_F32, 4, 2, 0, &a, NULL));
}

static void quantisation(Bad *x)
{
    kiln_tensor *bytes = kiln_cast(x->f, KILN_U8), *s, *three = kiln_ones(x->k, KILN_F32, KILN_SHAPE(3));
    BAD("quantise", DTYPE, kiln_quantise(x->b, 1.0, NULL, NULL));
    BAD("quantise", DTYPE, kiln_quantise(x->f, x->i, NULL, NULL));
    BAD("quantise", DTYPE, kiln_quantise(x->f, x->s, kiln_scalar(x->k, KILN_I32, 0), NULL));
    BAD("quantise", DTYPE, kiln_quantise(x->f, x->s, NULL, &(kiln_quantisation){.dtype = KILN_F32}));
    BAD("quantise", SHAPE, kiln_quantise(x->f, three, NULL, NULL));
    BAD("quantise", SHAPE, kiln_quantise(x->f, three, kiln_scalar(x->k, KILN_I8, 0), &(kiln_quantisation){.axis = 1}));
    BAD("quantise", SHAPE, kiln_quantise(x->f, x->f, NULL, &(kiln_quantisation){.axis = 1, .block = 2}));
    BAD("quantise", SHAPE, kiln_quantise(x->f, three, NULL, &(kiln_quantisation){.axis = 2}));
    BAD("quantise", VALUE, kiln_quantise(x->f, three, NULL, &(kiln_quantisation){.block = -1}));
    BAD("dequantise", DTYPE, kiln_dequantise(x->f, 1.0, NULL, NULL));
    BAD("dequantise", DTYPE, kiln_dequantise(bytes, x->s, kiln_scalar(x->k, KILN_I8, 0), NULL));
    BAD("dequantise", SHAPE, kiln_dequantise(bytes, three, NULL, NULL));
    BAD("quantise_dynamic", DTYPE, kiln_quantise_dynamic(x->i, &s, &s));
    BAD("quantise_dynamic", VALUE, kiln_quantise_dynamic(x->f, &s, NULL));
    BAD("fake_quantise", DTYPE, kiln_fake_quantise(x->i, 1.0, NULL, 0, 255, NULL));
    BAD("fake_quantise", VALUE, kiln_fake_quantise(x->f, 1.0, NULL, 3, 2, NULL));
    BAD("fake_quantise", VALUE, kiln_fake_quantise(x->f, 1.0, NULL, 0.5, 2, NULL));
    BAD("fake_quantise", SHAPE, kiln_fake_quantise(x->f, three, NULL, 0, 1, NULL));
    BAD("shrink", DTYPE, kiln_shrink(x->i, 1, 1));
    BAD("hann_window", DTYPE, kiln_hann_window(x->k, KILN_I32, 4, true));
    BAD("hamming_window", VALUE, kiln_hamming_window(x->k, KILN_F32, -1, true));
    BAD("blackman_window", VALUE, kiln_blackman_window(x->k, KILN_F32, INT64_MAX, true));
    BAD("cosine_window", VALUE, kiln_cosine_window(x->k, KILN_F32, 4, true, 1, (double)NAN, 0));
    BAD("mel_weights", DTYPE, kiln_mel_weights(x->k, KILN_BOOL, 4, 16, 8000, 0, 4000));
    BAD("mel_weights", VALUE, kiln_mel_weights(x->k, KILN_F32, 0, 16, 8000, 0, 4000));
    BAD("mel_weights", VALUE, kiln_mel_weights(x->k, KILN_F32, 4, 16, 8000, 0, 5000));
    BAD("mel_weights", VALUE, kiln_mel_weights(x->k, KILN_F32, INT64_MAX / 2, INT64_MAX / 2, 8000, 0, 4000));
}

static void caches(Bad *x)
{
    kiln_kv_cache *c;
    {
        KILN_EAGERLY(x->k);
        BAD("kv_cache", VALUE, kiln_kv_cache_new(x->k, KILN_F32, 1, 2, 0, 3, 5));
        BAD("kv_cache", DTYPE, kiln_kv_cache_new(x->k, KILN_I32, 1, 2, 4, 3, 5));
        c = kiln_kv_cache_new(x->k, KILN_F32, 1, 2, 4, 3, 5);
    }
    kiln_tensor *key = zeros(x, KILN_SHAPE(1, 2, 1, 3)), *value = zeros(x, KILN_SHAPE(1, 2, 1, 5));
    BAD("kv_cache", DTYPE, kiln_kv_cache_append(c, kiln_cast(key, KILN_F64), value));
    BAD("kv_cache", SHAPE, kiln_kv_cache_append(c, key, key));
    BAD("kv_cache", SHAPE, kiln_kv_cache_append(c, x->f, value));
    BAD("kv_cache", SHAPE, kiln_kv_cache_attend(c, value, key, value, NULL));
    kiln_kv_cache_free(c);
}

void everything(Bad *x)
{
    recurrent(x);
    attention(x);
    quantisation(x);
    caches(x);
}

CALLED_MAIN
