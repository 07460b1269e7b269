/* op_recurrent: ONNX's RNN, LSTM and GRU, whose weights and gates lie as kiln_rnn and its kin take them. Relies on import.h. */
#include <kiln/recurrent.h>

#include "import.h"

/* The activations that take an alpha, and those that take a beta: each takes the next number of the list. */
static const struct {
    const char *name;
    kiln_gate_kind kind;
    bool takes_alpha, takes_beta;
    double alpha, beta;
} gates[] = {{"Sigmoid", KILN_GATE_SIGMOID, false, false, 0, 0}, {"Tanh", KILN_GATE_TANH, false, false, 0, 0},
    {"Relu", KILN_GATE_RELU, false, false, 0, 0}, {"Softsign", KILN_GATE_SOFTSIGN, false, false, 0, 0},
    {"Softplus", KILN_GATE_SOFTPLUS, false, false, 0, 0}, {"Affine", KILN_GATE_AFFINE, true, true, 1, 0},
    {"LeakyRelu", KILN_GATE_LEAKY_RELU, true, false, 0.01, 0}, {"ThresholdedRelu", KILN_GATE_THRESHOLDED, true, false, 1, 0},
    {"ScaledTanh", KILN_GATE_SCALED_TANH, true, true, 1, 1}, {"HardSigmoid", KILN_GATE_HARD_SIGMOID, true, true, 0.2, 0.5},
    {"Elu", KILN_GATE_ELU, true, false, 1, 0}};

/* Names are compared without regard to case, as the operator's definition has it. */
static bool same_name(Bytes name, const char *text)
{
    if (name.n != strlen(text)) return false;
    for (size_t i = 0; i < name.n; i++)
        if ((name.at[i] | 32) != (text[i] | 32)) return false;
    return true;
}

static bool gates_of(Call *c, kiln_recurrence *o, int each)
{
    const OnnxAttribute *names = attribute(c, "activations");
    const int directions = o->direction == KILN_BOTH ? 2 : 1;
    double alpha[6], beta[6];
    int alphas, betas, a = 0, b = 0;
    if (!attr_floats(c, "activation_alpha", alpha, 6, &alphas) || !attr_floats(c, "activation_beta", beta, 6, &betas)) return false;
    if (!names || names->strings.n == 0)
        return alphas <= 0 && betas <= 0 ? true : unsupported(c, "an alpha or beta of no activation");
    if (names->strings.n != (uint32_t)(each * directions))
        return unsupported(c, "%u activations, where %d are wanted,", names->strings.n, each * directions);
    for (int i = 0; i < each * directions; i++) {
        size_t g = 0;
        while (g < COUNT_OF(gates) && !same_name(names->strings.at[i], gates[g].name)) g++;
        if (g == COUNT_OF(gates)) return unsupported(c, "activation '%s'", shown(names->strings.at[i]).text);
        kiln_gate *to = &o->gate[i / each][i % each];
        *to = (kiln_gate){.kind = gates[g].kind, .alpha = gates[g].alpha, .beta = gates[g].beta, .given = true};
        if (gates[g].takes_alpha && a < alphas) to->alpha = alpha[a++];
        if (gates[g].takes_beta && b < betas) to->beta = beta[b++];
    }
    return true;
}

bool op_recurrent(Call *c)
{
    enum { RNN, LSTM, GRU };
    const int64_t kind = c->node->op->with.number;
    const bool both = attr_is(c, "direction", "bidirectional"), back = attr_is(c, "direction", "reverse");
    kiln_tensor *h = NULL, *cell = NULL;
    kiln_recurrence o = {.direction = both   ? KILN_BOTH
                                      : back ? KILN_BACKWARD
                                             : KILN_FORWARD,
        .order = KILN_GATES_ONNX,
        .lengths = has(c, 4) ? tensor(c, 4) : NULL,
        .h = has(c, 5) ? tensor(c, 5) : NULL,
        .c = kind == LSTM && has(c, 6) ? tensor(c, 6) : NULL,
        .peepholes = kind == LSTM && has(c, 7) ? tensor(c, 7) : NULL,
        .input_forget = kind == LSTM && attr_int(c, "input_forget", 0),
        .reset_first = kind == GRU && !attr_int(c, "linear_before_reset", 0),
        .clip = attr_float(c, "clip", 0),
        .batch_first = attr_int(c, "layout", 0) != 0,
        .last_h = &h,
        .last_c = kind == LSTM ? &cell : NULL};
    if (!gates_of(c, &o, kind == RNN ? 1 : kind == LSTM ? 3 : 2)) return false;
    static kiln_tensor *(*const all[])(kiln_site, kiln_operand, kiln_operand, kiln_operand, kiln_operand, const kiln_recurrence *,
        size_t) = {kiln_rnn_sized, kiln_lstm_sized, kiln_gru_sized};
    kiln_tensor *y = all[kind](c->at, operand(c, 0), operand(c, 1), operand(c, 2), operand(c, 3), &o, sizeof o);
    return give(c, 0, y) && (c->nout < 2 || give(c, 1, h)) && (c->nout < 3 || give(c, 2, cell));
}
