/* nn.h: layers, optimisers, metrics. All are composites of public operations, so they run eagerly, under tapes and traced alike;
 * what changes from step to step (weights, moments, learning rates, counts) is held in variables. Not part of kiln.h: include
 * <kiln/nn.h> too. Compiles alone as C11 and C++17. */
#ifndef KILN_NN_H
#define KILN_NN_H

#include "core.h"
#include "function.h"
#include "ops.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- layers: objects that own their variables; their _free, or kiln_close, frees both. The variables are named dense/w, dense/b,
 * conv/filters, conv/b, lstm/w ...; those of the second layer of a kind dense_1/w ...: each layer takes the first name that no
 * living variable of the engine has. ---- */
typedef struct kiln_dense kiln_dense;
typedef struct kiln_conv kiln_conv;

/* y = x . w + b with w [inputs, units] and b [units], f32 (or another float dtype, kiln_dense_of_at). w starts uniform in +-sqrt(6
 * / (inputs + units)) (Glorot & Bengio 2010), drawn from the generator; NULL draws from the engine's own (seeded by kiln_options),
 * so that no two layers are alike; KILN_ZEROS makes it zeros. b starts at 0. */
KILN_API kiln_dense *kiln_dense_new_at(kiln_site at, kiln *k, int64_t inputs, int64_t units, kiln_variable *generator);
/* As kiln_dense_new_at with variables of that float dtype. If it is narrower than f32 (f16, bf16, 8 bits) the layer computes in f32
 * and rounds once; so do convolutions and recurrent layers. */
KILN_API kiln_dense *kiln_dense_of_at(kiln_site at, kiln *k, kiln_dtype dtype, int64_t inputs, int64_t units,
    kiln_variable *generator);
KILN_API kiln_tensor *kiln_dense_apply_at(kiln_site at, kiln_dense *layer, kiln_operand x); /* [..., inputs] -> [..., units] */
KILN_API kiln_variable *kiln_dense_weight(kiln_dense *layer);
KILN_API kiln_variable *kiln_dense_bias(kiln_dense *layer);
KILN_API void kiln_dense_free(kiln_dense *layer);

/* Convolution with bias of x [n, h, w, inputs] to [n, oh, ow, filters]. The window is as kiln_conv2d's, except that its size is the
 * filter's; it is copied. Filters [kh, kw, inputs, filters] start Glorot uniform with fan-in kh kw inputs and fan-out kh kw
 * filters; the generator is as for dense layers. */
KILN_API kiln_conv *kiln_conv_new_at(kiln_site at, kiln *k, int64_t inputs, int64_t filters, const kiln_window *window,
    kiln_variable *generator);
KILN_API kiln_conv *kiln_conv_of_at(kiln_site at, kiln *k, kiln_dtype dtype, int64_t inputs, int64_t filters,
    const kiln_window *window, kiln_variable *generator);
KILN_API kiln_tensor *kiln_conv_apply_at(kiln_site at, kiln_conv *layer, kiln_operand x);
KILN_API kiln_variable *kiln_conv_filters(kiln_conv *layer);
KILN_API kiln_variable *kiln_conv_bias(kiln_conv *layer);
KILN_API void kiln_conv_free(kiln_conv *layer);

/* Batch normalisation over all axes but that of the channels (Ioffe and Szegedy 2015): kiln_batchnorm_training's statistics in
 * training, and then running mean += momentum (mean - running mean), the variance likewise (divided by n - 1, as in PyTorch, unless
 * .biased, as in TensorFlow and ONNX; of one element it stays); else those running ones. The variables are [channels]:
 * batchnorm/scale (first 1), batchnorm/shift (0), which optimisers train, and batchnorm/mean (0), batchnorm/variance (1), of which
 * tapes take no notice. */
typedef struct kiln_batchnorm kiln_batchnorm;
typedef struct kiln_batchnorm_options {
    kiln_dtype dtype; /* of the variables; 0 stands for f32 */
    int axis;         /* of the channels; 0 stands for the last */
    double momentum;  /* in (0, 1]; 0 stands for 0.1 */
    double epsilon;   /* 0 stands for 1e-5 */
    bool biased;
} kiln_batchnorm_options;
/* options may be NULL. */
KILN_API kiln_batchnorm *kiln_batchnorm_new_sized(kiln_site at, kiln *k, int64_t channels, const kiln_batchnorm_options *options,
    size_t size);
/* training is a C bool, or a bool scalar: then both are computed, and one trace serves training and use. */
KILN_API kiln_tensor *kiln_batchnorm_apply_at(kiln_site at, kiln_batchnorm *layer, kiln_operand x, kiln_operand training);
/* Stores at most cap of scale, shift, mean, variance; returns that there are 4. */
KILN_API int kiln_batchnorm_variables(kiln_batchnorm *layer, kiln_variable **v, int cap);
KILN_API void kiln_batchnorm_free(kiln_batchnorm *layer);

KILN_API kiln_tensor *kiln_global_avg_pool_at(kiln_site at, kiln_operand x); /* [n, h, w, c] -> [n, c] */

/* ---- recurrent layers: scans over time -----------------------------------------------------------------------------------------
 * x is [time, batch, inputs], states are [batch, units], of the variables' dtype. The weights are w [inputs, gates units], u
 * [units, gates units] and b [gates units], the gates side by side in the order given. Each gate's part of w and u starts Glorot
 * uniform with its own fans (the generator is as for dense layers), biases start at 0. x . w + b is computed once for all steps;
 * only h . u is in the loop. Below s is 1 / (1 + e^-a), and * is elementwise.
 * Simple, 1 gate: h = tanh(x w + b + h u) (Elman 1990).
 * LSTM, gates i f g o (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000; no peepholes): a = x w + b + h u;
 *     c = s(af) * c + s(ai) * tanh(ag), h = s(ao) * tanh(c). b of gate f starts at forget_bias, which is 1 in kiln_lstm_new.
 * GRU, gates r z n (Cho et al. 2014, with the reset gate after the recurrent product, as in PyTorch and with ONNX's
 * linear_before_reset=1), and a second bias bu [3 units]: p = h u + bu, r = s(xr + pr), z = s(xz + pz), n = tanh(xn + r * pn), h =
 * n + z * (h - n), where x stands for x w + b.
 * The variables are named lstm/w, lstm/u, lstm/b, gru/bu, rnn/w ... and numbered as dense ones. Gradients flow to x, all variables
 * and first states. */
typedef struct kiln_recurrent kiln_recurrent;
typedef struct kiln_recurrent_options {
    kiln_tensor *h, *c;            /* first states [batch, units] (of a variable: kiln_value); NULL: zeros. c is for LSTM only */
    kiln_tensor **last_h, **last_c; /* unless NULL, receive the states after the last step done (with reverse: step 0) */
    bool reverse;                  /* runs from the last step to the first; the result's rows still belong to x's */
} kiln_recurrent_options;
KILN_API kiln_recurrent *kiln_rnn_new_at(kiln_site at, kiln *k, int64_t inputs, int64_t units, kiln_variable *generator);
KILN_API kiln_recurrent *kiln_lstm_new_at(kiln_site at, kiln *k, int64_t inputs, int64_t units, kiln_variable *generator,
    double forget_bias);
KILN_API kiln_recurrent *kiln_gru_new_at(kiln_site at, kiln *k, int64_t inputs, int64_t units, kiln_variable *generator);
KILN_API kiln_recurrent *kiln_rnn_of_at(kiln_site at, kiln *k, kiln_dtype dtype, int64_t inputs, int64_t units,
    kiln_variable *generator);
KILN_API kiln_recurrent *kiln_lstm_of_at(kiln_site at, kiln *k, kiln_dtype dtype, int64_t inputs, int64_t units,
    kiln_variable *generator, double forget_bias);
KILN_API kiln_recurrent *kiln_gru_of_at(kiln_site at, kiln *k, kiln_dtype dtype, int64_t inputs, int64_t units,
    kiln_variable *generator);
/* Returns h of every step, [time, batch, units]; options may be NULL. There must be at least one step; time and batch may be
 * bounded sizes. In a trace the loop is one operation. The cost is 2 time batch (inputs + units) gates units flops; an eager
 * gradient also passes over x . w once per step (kiln_scan). */
KILN_API kiln_tensor *kiln_recurrent_apply_sized(kiln_site at, kiln_recurrent *layer, kiln_operand x,
    const kiln_recurrent_options *options, size_t size);
/* Stores at most cap of w, u, b and, for a GRU, bu; returns how many there are. */
KILN_API int kiln_recurrent_variables(kiln_recurrent *layer, kiln_variable **v, int cap);
KILN_API void kiln_recurrent_free(kiln_recurrent *layer);

/* ---- caches of keys and values: what attention sees of the tokens before, while a text is made token by token ---------------------
 * Two variables, kv/keys [batch, heads, capacity, key_size] and kv/values [batch, heads, capacity, value_size], and how many keys are in them,
 * an i64 variable of rank 0 (kv/length), numbered as layers are. That number is one at run time: a traced function that attends is
 * compiled once for each number of new keys, not for each length. */
typedef struct kiln_kv_cache kiln_kv_cache;
KILN_API kiln_kv_cache *kiln_kv_cache_new_at(kiln_site at, kiln *k, kiln_dtype dtype, int64_t batch, int64_t heads, int64_t capacity,
    int64_t key_size, int64_t value_size);
/* Puts keys [batch, heads, n, key_size] and values [batch, heads, n, value_size], of the cache's dtype, behind what is there. Where they
 * have no room it is KILN_EVALUE, eagerly and compiled, and nothing changes. Compiled code copies the variables once for a call. */
KILN_API void kiln_kv_cache_append_at(kiln_site at, kiln_kv_cache *cache, kiln_operand keys, kiln_operand values);
/* The same, and then kiln_attention of queries [batch, a multiple of heads, n, key_size] over all that is there: query i is at the place
 * of key i, and sees the keys up to it. options (NULL: none) as there, but for causal, offset, first and lengths; a mask broadcasts to
 * [batch, heads, n, capacity]. */
KILN_API kiln_tensor *kiln_kv_cache_attend_sized(kiln_site at, kiln_kv_cache *cache, kiln_operand queries, kiln_operand keys,
    kiln_operand values, const kiln_attention_options *options, size_t size);
KILN_API void kiln_kv_cache_reset_at(kiln_site at, kiln_kv_cache *cache); /* nothing is in it any more */
/* Stores at most cap of keys, values, length; returns that there are 3. */
KILN_API int kiln_kv_cache_variables(kiln_kv_cache *cache, kiln_variable **v, int cap);
KILN_API void kiln_kv_cache_free(kiln_kv_cache *cache);

/* ---- optimisers ----------------------------------------------------------------------------------------------------------------
 * The learning rate is an f64 variable (kiln_optimizer_rate), which can be changed without a new trace; numbers and f32 tensors can
 * be assigned to it. Moments are made for a variable at its first step. For f32 and narrower variables a step computes in f32 and
 * the moments are f32; for f64 variables both are f64. Powers of the betas are f64; a variable's new value rounds once. Gradients
 * are floats of any type that broadcast to their variable. A new moment below the normal numbers of its type (1.2e-38 in f32) is 0:
 * moments of gradients that went to 0 reach 0, where they would stay at numbers with which CPUs are slow. A step happens to all its
 * variables or to none, eagerly too: everything that can fail comes before the first write, so a call that fails leaves variables,
 * moments and counts as they were. Eagerly a step passes over memory once, in place, and threads share all its variables. Beside the
 * state it needs a few blocks of 8192 elements for each thread, a copy of each gradient that is not contiguous (with clipping by
 * norms: of the largest gradient and its squares), and a new value of each variable whose old value is still held (by tensors read
 * from it, or a tape). */
typedef struct kiln_optimizer kiln_optimizer;
/* v = momentum v + g; w -= rate v (with momentum 0: w -= rate g). Rates are finite, here and below, and 0 <= momentum <= 1. NULL
 * after an error. */
KILN_API kiln_optimizer *kiln_sgd_at(kiln_site at, kiln *k, double rate, double momentum);
/* Adam (Kingma & Ba 2015, algorithm 1). An argument of 0 takes its default: beta1 0.9, beta2 0.999, epsilon 1e-8. Betas are below
 * 1. */
KILN_API kiln_optimizer *kiln_adam_at(kiln_site at, kiln *k, double rate, double beta1, double beta2, double epsilon);
KILN_API kiln_variable *kiln_optimizer_rate(kiln_optimizer *o); /* f64[] */
/* Keeps an f32 master copy (optimizer/master/VARIABLE) of each variable narrower than f32, so that steps too small for the variable
 * add up; the variable is the copy, rounded. An element of the variable that differs from its rounded copy, because another value
 * was assigned since, replaces the copy's. Call it before the first step and kiln_optimizer_prepare; later it is KILN_ESTATE. */
KILN_API bool kiln_optimizer_master_at(kiln_site at, kiln_optimizer *o, bool on);
/* One step on every variable that the tape saw, against the gradient of sum(loss). */
KILN_API void kiln_optimizer_minimize_at(kiln_site at, kiln_optimizer *o, kiln_tape *tape, kiln_operand loss);
KILN_API void kiln_optimizer_apply_at(kiln_site at, kiln_optimizer *o, kiln_variable *const *v, kiln_tensor *const *gradient,
    int count);
/* ---- learning rates over steps: rate(n) in f64, where n counts the steps done before; after the warmup steps u = n - warmup
 * ---- */
typedef enum kiln_schedule_kind {
    KILN_RATE_CONSTANT,    /* rate */
    KILN_RATE_EXPONENTIAL, /* rate decay^(u / steps); staircase rounds the exponent down, so that the rate falls every `steps` */
    KILN_RATE_COSINE,      /* rate (least + (1 - least) (1 + cos(pi min(u / steps, 1))) / 2), Loshchilov & Hutter 2017 */
    KILN_RATE_LINEAR,      /* rate (least + (1 - least) (1 - min(u / steps, 1))) */
    KILN_RATE_PIECEWISE    /* rate before boundary[0], then rates[i] from boundary[i] on */
} kiln_schedule_kind;
#define KILN_PIECES 16
typedef struct kiln_schedule {
    kiln_schedule_kind kind;
    double rate, decay;
    int64_t steps;
    double least;    /* the least rate, as a part of rate in [0, 1] */
    int64_t warmup;  /* in the first `warmup` steps the rate is (n + 1) / warmup of what it is at u = 0 */
    bool staircase;
    int64_t boundary[KILN_PIECES]; /* rising, from 1; 0 ends the list */
    double rates[KILN_PIECES];
} kiln_schedule;
/* Returns the rate at a step, which is a tensor or variable of any number type: f32 of the step's shape, or f64 if the step is f64.
 * One trace serves all steps. */
KILN_API kiln_tensor *kiln_schedule_rate_sized(kiln_site at, const kiln_schedule *s, size_t size, kiln_operand step);
/* From now on each step first sets the rate variable to the schedule's rate, by a count of its own (i64 optimizer/updates, part of
 * the state). Call it before the first step; later it is KILN_ESTATE. The schedule is copied. */
KILN_API bool kiln_optimizer_schedule_sized(kiln_site at, kiln_optimizer *o, const kiln_schedule *s, size_t size);

/* ---- clipping ---------------------------------------------------------------------------------------------------------------- */
/* x most / max(norm(x), most), where norm(x) = sqrt(sum x x) is kiln_norm's; for floats and 0 < most <= 1e19. Gradients flow, and
 * are finite at 0. */
KILN_API kiln_tensor *kiln_clip_by_norm_at(kiln_site at, kiln_operand x, double most);
/* The same with the norm of all tensors together. out (which may be x) gets count tensors. Returns that norm before clipping, f32,
 * or f64 if one x is. */
KILN_API kiln_tensor *kiln_clip_by_global_norm_of_at(kiln_site at, kiln_operands x, double most, kiln_tensor **out);
KILN_API kiln_tensor *kiln_clip_by_global_norm_at(kiln_site at, kiln_tensor *const *x, int count, double most, kiln_tensor **out);
/* What an optimiser does to gradients before it uses them, in this order (0: nothing): limit elements to [-value, value], each
 * tensor's norm, the norm of all. Call it before the first step only. */
typedef struct kiln_clipping { double value, norm, global_norm; } kiln_clipping;
KILN_API bool kiln_optimizer_clip_sized(kiln_site at, kiln_optimizer *o, const kiln_clipping *c, size_t size);

/* Makes the moments of these float variables now, as zeros, rather than at their first step, so that they can be restored or looked
 * at. */
KILN_API bool kiln_optimizer_prepare_at(kiln_site at, kiln_optimizer *o, kiln_variable *const *v, int count);
/* Stores at most cap variables of the optimiser's state, to be saved or looked at; returns how many there are. They are named
 * optimizer/rate, optimizer/step, optimizer/first/VARIABLE, optimizer/second/VARIABLE, optimizer/master/VARIABLE,
 * optimizer/updates. */
KILN_API int kiln_optimizer_variables(kiln_optimizer *o, kiln_variable **v, int cap);
KILN_API void kiln_optimizer_free(kiln_optimizer *o);

/* ---- metrics: running means in variables ------------------------------------------------------------------------------------- */
typedef struct kiln_metric kiln_metric;
KILN_API kiln_metric *kiln_mean_metric_at(kiln_site at, kiln *k);
KILN_API kiln_metric *kiln_accuracy_metric_at(kiln_site at, kiln *k);
/* A mean metric adds every element of x (a number too). An accuracy metric takes logits [..., classes] and integer labels [...],
 * whose shape is the logits' without the last axis (KILN_ESHAPE: nothing broadcasts). A label that is no class counts as wrong; in
 * a checked engine (move.h) it is an error. */
KILN_API void kiln_metric_update_at(kiln_site at, kiln_metric *m, kiln_operand x, kiln_operand labels);
KILN_API double kiln_metric_result_at(kiln_site at, kiln_metric *m); /* NaN before the first update */
KILN_API void kiln_metric_reset(kiln_metric *m);
KILN_API void kiln_metric_free(kiln_metric *m);

#ifdef __cplusplus
}
#endif

/* A layer's constructor may take a float dtype after the engine, as in kiln_dense_new(k, KILN_F64, inputs, units, generator);
 * without one its variables are f32. */
#define kiln_dense_new(...) KILN_CAT(KILN_DENSE_, KILN_COUNT(__VA_ARGS__))(__VA_ARGS__)
#define KILN_DENSE_4(k, inputs, units, generator) kiln_dense_new_at(KILN_HERE, (k), (inputs), (units), (generator))
#define KILN_DENSE_5(k, t, inputs, units, generator) kiln_dense_of_at(KILN_HERE, (k), (t), (inputs), (units), (generator))
#define kiln_dense_apply(layer, x) kiln_dense_apply_at(KILN_HERE, (layer), KILN_OPERAND(x))
#define kiln_conv_new(...) KILN_CAT(KILN_CONV_, KILN_COUNT(__VA_ARGS__))(__VA_ARGS__)
#define KILN_CONV_5(k, inputs, filters, window, generator) \
    kiln_conv_new_at(KILN_HERE, (k), (inputs), (filters), (window), (generator))
#define KILN_CONV_6(k, t, inputs, filters, window, generator) \
    kiln_conv_of_at(KILN_HERE, (k), (t), (inputs), (filters), (window), (generator))
#define kiln_conv_apply(layer, x) kiln_conv_apply_at(KILN_HERE, (layer), KILN_OPERAND(x))
/* kiln_batchnorm_new(k, channels, NULL) or (k, channels, &(kiln_batchnorm_options){.axis = 1}), whence variadic */
#define kiln_batchnorm_new(k, channels, ...) \
    kiln_batchnorm_new_sized(KILN_HERE, (k), (channels), __VA_ARGS__, sizeof(kiln_batchnorm_options))
#define kiln_batchnorm_apply(layer, x, training) \
    kiln_batchnorm_apply_at(KILN_HERE, (layer), KILN_OPERAND(x), KILN_OPERAND(training))
#define kiln_global_avg_pool(x) kiln_global_avg_pool_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_rnn_new(...) KILN_CAT(KILN_RNN_, KILN_COUNT(__VA_ARGS__))(__VA_ARGS__)
#define KILN_RNN_4(k, inputs, units, generator) kiln_rnn_new_at(KILN_HERE, (k), (inputs), (units), (generator))
#define KILN_RNN_5(k, t, inputs, units, generator) kiln_rnn_of_at(KILN_HERE, (k), (t), (inputs), (units), (generator))
#define kiln_lstm_new(...) KILN_CAT(KILN_LSTM_, KILN_COUNT(__VA_ARGS__))(__VA_ARGS__)
#define KILN_LSTM_4(k, inputs, units, generator) kiln_lstm_new_at(KILN_HERE, (k), (inputs), (units), (generator), 1)
#define KILN_LSTM_5(k, t, inputs, units, generator) kiln_lstm_of_at(KILN_HERE, (k), (t), (inputs), (units), (generator), 1)
#define kiln_gru_new(...) KILN_CAT(KILN_GRU_, KILN_COUNT(__VA_ARGS__))(__VA_ARGS__)
#define KILN_GRU_4(k, inputs, units, generator) kiln_gru_new_at(KILN_HERE, (k), (inputs), (units), (generator))
#define KILN_GRU_5(k, t, inputs, units, generator) kiln_gru_of_at(KILN_HERE, (k), (t), (inputs), (units), (generator))
/* kiln_recurrent_apply(layer, x, NULL) or (layer, x, &(kiln_recurrent_options){.h = h, .last_h = &h}), whence variadic */
#define kiln_recurrent_apply(layer, x, ...) \
    kiln_recurrent_apply_sized(KILN_HERE, (layer), KILN_OPERAND(x), __VA_ARGS__, sizeof(kiln_recurrent_options))
#define kiln_kv_cache_new(k, dtype, batch, heads, capacity, key_size, value_size) \
    kiln_kv_cache_new_at(KILN_HERE, (k), (dtype), (batch), (heads), (capacity), (key_size), (value_size))
#define kiln_kv_cache_append(cache, keys, values) kiln_kv_cache_append_at(KILN_HERE, (cache), KILN_OPERAND(keys), KILN_OPERAND(values))
/* options: &(kiln_attention_options){...} or NULL */
#define kiln_kv_cache_attend(cache, queries, keys, values, ...)                                                                    \
    kiln_kv_cache_attend_sized(KILN_HERE, (cache), KILN_OPERAND(queries), KILN_OPERAND(keys), KILN_OPERAND(values), __VA_ARGS__, \
        sizeof(kiln_attention_options))
#define kiln_kv_cache_reset(cache) kiln_kv_cache_reset_at(KILN_HERE, (cache))
#define kiln_sgd(k, rate, momentum) kiln_sgd_at(KILN_HERE, (k), (rate), (momentum))
#define kiln_adam(k, rate) kiln_adam_at(KILN_HERE, (k), (rate), 0, 0, 0)
#define kiln_optimizer_master(o, on) kiln_optimizer_master_at(KILN_HERE, (o), (on))
#define kiln_optimizer_minimize(o, tape, loss) kiln_optimizer_minimize_at(KILN_HERE, (o), (tape), KILN_OPERAND(loss))
/* Variadic, because the options may be compound literals: kiln_optimizer_schedule(o, &(kiln_schedule){.kind = KILN_RATE_COSINE,
 * .rate = 0.1, .steps = 1000}). The same holds for lists in kiln_optimizer_prepare (variables, count) and kiln_optimizer_apply
 * (variables, gradients, count). */
#define kiln_optimizer_schedule(o, ...) kiln_optimizer_schedule_sized(KILN_HERE, (o), __VA_ARGS__, sizeof(kiln_schedule))
#define kiln_optimizer_clip(o, ...) kiln_optimizer_clip_sized(KILN_HERE, (o), __VA_ARGS__, sizeof(kiln_clipping))
#define kiln_schedule_rate(schedule, step) \
    kiln_schedule_rate_sized(KILN_HERE, (schedule), sizeof(kiln_schedule), KILN_OPERAND(step))
#define kiln_clip_by_value(x, lo, hi) kiln_clip(x, lo, hi)
#define kiln_clip_by_norm(x, most) kiln_clip_by_norm_at(KILN_HERE, KILN_OPERAND(x), (most))
/* kiln_clip_by_global_norm(KILN_IN(x, y), most, out), or with an array of tensors and its count: (x, count, most, out) */
#define kiln_clip_by_global_norm(...) KILN_CAT(KILN_GLOBAL_NORM_, KILN_FEW(__VA_ARGS__))(__VA_ARGS__)
#define KILN_GLOBAL_NORM_3(x, most, out) kiln_clip_by_global_norm_of_at(KILN_HERE, x, (most), (out))
#define KILN_GLOBAL_NORM_4(...) KILN_GLOBAL_NORM_M(__VA_ARGS__)
#define KILN_GLOBAL_NORM_M(...) kiln_clip_by_global_norm_at(KILN_HERE, __VA_ARGS__)
#define kiln_optimizer_prepare(o, ...) kiln_optimizer_prepare_at(KILN_HERE, (o), __VA_ARGS__)
#define kiln_optimizer_apply(o, ...) kiln_optimizer_apply_at(KILN_HERE, (o), __VA_ARGS__)
#define kiln_mean_metric(k) kiln_mean_metric_at(KILN_HERE, (k))
#define kiln_accuracy_metric(k) kiln_accuracy_metric_at(KILN_HERE, (k))
#define kiln_metric_update(m, x) kiln_metric_update_at(KILN_HERE, (m), KILN_OPERAND(x), KILN_OPERAND(0))
#define kiln_metric_update_labels(m, logits, labels) \
    kiln_metric_update_at(KILN_HERE, (m), KILN_OPERAND(logits), KILN_OPERAND(labels))
#define kiln_metric_result(m) kiln_metric_result_at(KILN_HERE, (m))

#endif
