/* test_given_recurrent: recurrent networks (recurrent.h) against PyTorch and ONNX Runtime (tests/given/recurrent.py). */
#include "given.h"

typedef kiln_tensor *Network(kiln_site at, kiln_operand x, kiln_operand w, kiln_operand u, kiln_operand b, const kiln_recurrence *o, size_t size);

static void run(Network *f, bool cell, const Given *g, kiln_recurrence *o, kiln_tensor **out)
{
    o->h = X(4), o->last_h = &out[1];
    if (cell) o->c = X(5), o->last_c = &out[2];
    out[0] = f(KILN_HERE, KILN_OPERAND(X(0)), KILN_OPERAND(X(1)), KILN_OPERAND(X(2)), KILN_OPERAND(X(3)), o, sizeof *o);
}

/* numbers: direction, order, batch_first, joined, whether there are lengths */
static void torchs(Network *f, bool cell, const Given *g, kiln_tensor **out)
{
    kiln_recurrence o = {.direction = (kiln_direction)I(0), .order = (kiln_gate_order)I(1), .batch_first = I(2), .joined = I(3)};
    if (I(4)) o.lengths = X(5 + cell);
    run(f, cell, g, &o, out);
}

/* numbers: direction, whether there are lengths and peepholes, clip, input_forget, reset_first, then kinds of functions */
static void onnxs(Network *f, bool cell, const Given *g, kiln_tensor **out)
{
    kiln_recurrence o = {.direction = (kiln_direction)I(0), .order = KILN_GATES_ONNX, .clip = N(3), .input_forget = I(4), .reset_first = I(5)};
    if (I(1)) o.lengths = X(5 + cell);
    if (I(2)) o.peepholes = X(5 + cell + I(1));
    for (int i = 6; i < g->nn; i += 3)
        for (int d = 0; d < 2; d++)
            o.gate[d][i / 3 - 2] = (kiln_gate){.kind = (kiln_gate_kind)I(i), .alpha = N(i + 1), .beta = N(i + 2), .given = N(i + 1) != 0};
    run(f, cell, g, &o, out);
}

#define NETWORK(name, cell)                                                                                         \
    static void name(const Given *g, kiln_tensor **out) { torchs(kiln_##name##_sized, cell, g, out); }              \
    static void onnx_##name(const Given *g, kiln_tensor **out) { onnxs(kiln_##name##_sized, cell, g, out); }
NETWORK(rnn, false)
NETWORK(lstm, true)
NETWORK(gru, false)
GIVEN(reverse_sequence, kiln_reverse_sequence(X(0), X(1), I(0), I(1)))
GIVEN(reverse_first, kiln_reverse_sequence(X(0), X(1), I(0), I(1)))

/* The size that is a symbol is time: the first axis of x alone. */
#define GRAD GIVEN_GRAD
static const GivenRow rows[] = {ROW(rnn, 32, GRAD), ROW(lstm, 32, GRAD), ROW(gru, 32, GRAD), ROW(onnx_rnn, 64, 0), ROW(onnx_lstm, 64, 0),
    ROW(onnx_gru, 64, 0), ROW(reverse_sequence, 0, GIVEN_GRAD | GIVEN_SIZED), ROW(reverse_first, 0, GIVEN_GRAD)};

GIVEN_MAIN("recurrent", rows)
