/* recurrent.h: recurrent networks as functions of their weights, with the meanings of ONNX's RNN, LSTM and GRU and of PyTorch's; layers that
 * own their weights are in nn.h. ops.h includes it and says what operands are; it compiles alone as C11 and C++17. */
#ifndef KILN_RECURRENT_H
#define KILN_RECURRENT_H

#include "core.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The order of the gates in weights and biases. */
typedef enum kiln_gate_order {
    KILN_GATES_TORCH, /* LSTM: input, forget, cell, output; GRU: reset, update, new. kiln_recurrent's (nn.h) is the same */
    KILN_GATES_ONNX   /* LSTM: input, output, forget, cell; GRU: update, reset, hidden */
} kiln_gate_order;
typedef enum kiln_direction { KILN_FORWARD, KILN_BACKWARD, KILN_BOTH } kiln_direction;
/* What a gate's sum goes through, with ONNX's names and formulas; alpha and beta are ONNX's defaults unless .given. */
typedef enum kiln_gate_kind {
    KILN_GATE_USUAL,      /* the place's own: sigmoid or tanh */
    KILN_GATE_SIGMOID, KILN_GATE_TANH, KILN_GATE_RELU, KILN_GATE_SOFTSIGN, KILN_GATE_SOFTPLUS,
    KILN_GATE_AFFINE,       /* alpha x + beta; 1, 0 */
    KILN_GATE_LEAKY_RELU,   /* x where x > 0, else alpha x; 0.01 */
    KILN_GATE_THRESHOLDED,  /* x where x > alpha, else 0; 1 */
    KILN_GATE_SCALED_TANH,  /* alpha tanh(beta x); 1, 1 */
    KILN_GATE_HARD_SIGMOID, /* alpha x + beta between 0 and 1; 0.2, 0.5 */
    KILN_GATE_ELU           /* x where x > 0, else alpha (e^x - 1); 1 */
} kiln_gate_kind;
typedef struct kiln_gate {
    kiln_gate_kind kind;
    double alpha, beta;
    bool given;                                                /* alpha and beta are */
    kiln_tensor *(*function)(kiln_site at, kiln_operand x);    /* any other, such as kiln_gelu_at, in place of kind; NULL: none */
} kiln_gate;
typedef struct kiln_recurrence {
    kiln_direction direction;      /* KILN_BACKWARD: from the last step to the first; results still belong to x's steps */
    kiln_gate_order order;
    kiln_tensor *h, *c;            /* first states [directions, batch, units]; NULL: zeros. c: LSTM only */
    kiln_tensor *lengths;          /* integers [batch]: steps that count, the first ones; NULL: all. Results behind them are 0, the last states
                                    * those after the last step that counts; backwards runs from that one. What x has there is not looked at */
    kiln_tensor *peepholes;        /* LSTM: [directions, 3 units], of the input, output and forget gate in this order (ONNX's P); NULL: none */
    bool input_forget;             /* LSTM: the forget gate is 1 - the input gate */
    bool reset_first;              /* GRU: the reset gate multiplies h before its product (ONNX linear_before_reset=0); else after it (PyTorch) */
    double clip;                   /* above 0: sums are brought into [-clip, clip] before functions of gates; not the cell's for h */
    kiln_gate gate[2][3];          /* per direction: RNN's f; LSTM's f, g, h; GRU's f, g, in ONNX's letters */
    bool batch_first;              /* x is [batch, time, inputs], h and c [batch, directions, units], the results as these (ONNX layout=1) */
    bool joined;                   /* the result is [time, batch, directions units] (PyTorch), or with batch_first [batch, time, ...] */
    kiln_tensor **last_h, **last_c; /* unless NULL, receive the last states, shaped as h */
} kiln_recurrence;
/* x [time, batch, inputs] with, for each of one or two directions, weights w [directions, gates units, inputs] and u [directions, gates units,
 * units], and b, NULL (zeros) or [directions, 2 gates units]: the biases of x's products, then those of h's. Each direction's are what
 * torch.nn.RNN, LSTM and GRU have, and ONNX's W, R and B. The result is h of every step, [time, directions, batch, units] (ONNX's Y), or
 * [batch, time, directions, units] with batch_first. With a = x w' + h u' + b, all of one dtype; floats, of which 16-bit ones compute in f32
 * and round once:
 *   RNN   h = f(a); f is tanh
 *   LSTM  i = f(ai + pi c), f = f(af + pf c) or 1 - i, c = f c + i g(ag), o = f(ao + po c), h = o h(c); sigmoid, tanh, tanh
 *   GRU   z = f(az), r = f(ar), n = g(xn + r (h un' + bn)), or with reset_first g(xn + (r h) un' + bn); h = n + z (h - n); sigmoid, tanh
 * x w' is computed once for all steps; only h u' is in the loop, which in a trace is one operation. Time and batch may be bounded sizes; no
 * steps give last states that are the first ones. Gradients flow to x, w, u, b, h, c and peepholes; that of KILN_GATE_THRESHOLDED and other
 * kinks as their operations say. options may be NULL. Hochreiter and Schmidhuber 1997; Gers and Schmidhuber 2000 (peepholes); Cho et al. 2014. */
KILN_API kiln_tensor *kiln_rnn_sized(kiln_site at, kiln_operand x, kiln_operand w, kiln_operand u, kiln_operand b, const kiln_recurrence *options,
    size_t size);
KILN_API kiln_tensor *kiln_lstm_sized(kiln_site at, kiln_operand x, kiln_operand w, kiln_operand u, kiln_operand b, const kiln_recurrence *options,
    size_t size);
KILN_API kiln_tensor *kiln_gru_sized(kiln_site at, kiln_operand x, kiln_operand w, kiln_operand u, kiln_operand b, const kiln_recurrence *options,
    size_t size);
/* The first lengths[b] elements along the axis of time in reverse order, for each b along the axis of batches, and the others as they are
 * (ONNX's ReverseSequence). Any dtype; lengths are integers [batch], taken into [0, time]. Gradient to x. */
KILN_API kiln_tensor *kiln_reverse_sequence_at(kiln_site at, kiln_operand x, kiln_operand lengths, int time, int batch);

#ifdef __cplusplus
}
#endif

/* ---- the calls as programs write them ---------------------------------------------------------------------------------- */
/* options: &(kiln_recurrence){...} or NULL */
#define kiln_rnn(x, w, u, b, ...) \
    kiln_rnn_sized(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(w), KILN_OPERAND(u), KILN_OPERAND(b), __VA_ARGS__, sizeof(kiln_recurrence))
#define kiln_lstm(x, w, u, b, ...) \
    kiln_lstm_sized(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(w), KILN_OPERAND(u), KILN_OPERAND(b), __VA_ARGS__, sizeof(kiln_recurrence))
#define kiln_gru(x, w, u, b, ...) \
    kiln_gru_sized(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(w), KILN_OPERAND(u), KILN_OPERAND(b), __VA_ARGS__, sizeof(kiln_recurrence))
/* Made of the prototypes above by frontend/ops/calls.sh. */
#define kiln_reverse_sequence(x, lengths, time, batch) kiln_reverse_sequence_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(lengths), (time), (batch))

#endif
