/* recurrence_cells: one step of each recurrent network: gates and what they go through. Composites of public operations inside a
 * scan; knows nothing of time, directions or how results are laid out. Relies on recurrence.h. */
#include "recurrence.h"

#include <math.h>

#define OP1(name, x) of(kiln_##name##_at(s->at, x))
#define OP2(name, x, y) of(kiln_##name##_at(s->at, x, y))

/* ---- functions of gates: ONNX's formulas --------------------------------------------------------------- */
static const struct {
    double alpha, beta;
} usual[] = {
    [KILN_GATE_AFFINE] = {1, 0},
    [KILN_GATE_LEAKY_RELU] = {0.01, 0},
    [KILN_GATE_THRESHOLDED] = {1, 0},
    [KILN_GATE_SCALED_TANH] = {1, 1},
    [KILN_GATE_HARD_SIGMOID] = {0.2, 0.5},
    [KILN_GATE_ELU] = {1, 0},
};

bool cell_gates_ok(Thread *t, kiln_site at, const CellKind *kind, const kiln_recurrence *o)
{
    for (int i = 0; i < 6; i++) {
        const kiln_gate *g = &o->gate[i / 3][i % 3];
        if ((unsigned)g->kind > KILN_GATE_ELU) {
            fail(t, at, KILN_EVALUE, "%s: gate[%d][%d] has kind %d (allowed: KILN_GATE_USUAL to KILN_GATE_ELU)", kind->name, i / 3,
                i % 3, (int)g->kind);
            return false;
        }
        if (g->given && !(isfinite(g->alpha) && isfinite(g->beta))) {
            fail(t, at, KILN_EVALUE, "%s: gate[%d][%d] has alpha %g and beta %g; they must be finite numbers", kind->name, i / 3,
                i % 3, g->alpha, g->beta);
            return false;
        }
    }
    if (o->clip >= 0 && isfinite(o->clip)) return true;
    fail(t, at, KILN_EVALUE, "%s: clip is %g; it must be a finite number, 0 (none) or more", kind->name, o->clip);
    return false;
}

/* which: 0 to 2, in ONNX's order f, g, h. */
static kiln_operand through(const Cell *s, int which, kiln_gate_kind standard, kiln_operand x)
{
    const kiln_gate *g = &s->o->gate[s->direction][which];
    const kiln_gate_kind kind = g->kind ? g->kind : standard;
    const kiln_operand alpha = kiln_of_f(g->given || kind < KILN_GATE_AFFINE ? g->alpha : usual[kind].alpha),
                       beta = kiln_of_f(g->given || kind < KILN_GATE_AFFINE ? g->beta : usual[kind].beta);
    if (g->function) return of(g->function(s->at, x));
    switch (kind) {
    case KILN_GATE_USUAL:
    case KILN_GATE_TANH: return OP1(tanh, x);
    case KILN_GATE_SIGMOID: return OP1(sigmoid, x);
    case KILN_GATE_RELU: return OP1(relu, x);
    case KILN_GATE_SOFTSIGN: return OP1(softsign, x);
    case KILN_GATE_SOFTPLUS: return OP1(softplus, x);
    case KILN_GATE_AFFINE: return OP2(add, OP2(mul, x, alpha), beta);
    case KILN_GATE_LEAKY_RELU: return OP2(leaky_relu, x, alpha);
    case KILN_GATE_THRESHOLDED: return of(kiln_threshold_at(s->at, x, alpha, kiln_of_i(0)));
    case KILN_GATE_SCALED_TANH: return OP2(mul, OP1(tanh, OP2(mul, x, beta)), alpha);
    case KILN_GATE_HARD_SIGMOID: return of(kiln_hardsigmoid_at(s->at, x, alpha, beta));
    case KILN_GATE_ELU: return OP2(elu, x, alpha);
    }
    return x;
}

static kiln_operand clipped(const Cell *s, kiln_operand x)
{
    if (s->o->clip == 0) return x;
    return of(kiln_clip_at(s->at, x, kiln_of_f(-s->o->clip), kiln_of_f(s->o->clip)));
}

static kiln_operand part(const Cell *s, kiln_operand x, int64_t i)
{
    return of(kiln_slice_at(s->at, x, 1, i * s->units, (i + 1) * s->units, 1));
}

/* ---- steps ----------------------------------------------------------------------------------------------- */
static void rnn_step(const Cell *s, kiln_tensor *const *in, kiln_tensor **out)
{
    kiln_operand a = OP2(add, of(in[1]), OP2(matmul, of(in[0]), of(s->u)));
    out[0] = through(s, 0, KILN_GATE_TANH, clipped(s, a)).as.tensor;
}

/* The sum of a gate, and a peephole: which of s->peep, at the cell c. */
static kiln_operand lstm_sum(const Cell *s, kiln_operand a, int64_t at, int peep, kiln_operand c)
{
    kiln_operand x = part(s, a, at);
    if (peep >= 0 && s->peep[peep]) x = OP2(add, x, OP2(mul, of(s->peep[peep]), c));
    return clipped(s, x);
}

static void lstm_step(const Cell *s, kiln_tensor *const *in, kiln_tensor **out)
{
    static const int places[2][4] = {{0, 1, 2, 3}, {0, 2, 3, 1}}; /* of i, f, g, o */
    const int *at = places[s->o->order == KILN_GATES_ONNX];
    kiln_operand a = OP2(add, of(in[2]), OP2(matmul, of(in[0]), of(s->u))), old = of(in[1]);
    kiln_operand i = through(s, 0, KILN_GATE_SIGMOID, lstm_sum(s, a, at[0], 0, old));
    kiln_operand f =
        s->o->input_forget ? OP2(sub, kiln_of_i(1), i) : through(s, 0, KILN_GATE_SIGMOID, lstm_sum(s, a, at[1], 2, old));
    kiln_operand g = through(s, 1, KILN_GATE_TANH, lstm_sum(s, a, at[2], -1, old));
    kiln_operand c = OP2(add, OP2(mul, f, old), OP2(mul, i, g));
    kiln_operand o = through(s, 0, KILN_GATE_SIGMOID, lstm_sum(s, a, at[3], 1, c));
    out[1] = c.as.tensor;
    out[0] = OP2(mul, o, through(s, 2, KILN_GATE_TANH, c)).as.tensor;
}

static void gru_step(const Cell *s, kiln_tensor *const *in, kiln_tensor **out)
{
    const bool onnx = s->o->order == KILN_GATES_ONNX;
    kiln_operand h = of(in[0]), x = of(in[1]), p = OP2(matmul, h, of(s->u));
    kiln_operand r = OP2(add, part(s, x, onnx), part(s, p, onnx)), z = OP2(add, part(s, x, !onnx), part(s, p, !onnx)), n;
    r = through(s, 0, KILN_GATE_SIGMOID, clipped(s, r));
    z = through(s, 0, KILN_GATE_SIGMOID, clipped(s, z));
    if (s->o->reset_first) {
        n = OP2(matmul, OP2(mul, r, h), of(s->u_new));
    } else {
        n = part(s, p, 2);
        if (s->b_new) n = OP2(add, n, of(s->b_new));
        n = OP2(mul, r, n);
    }
    n = through(s, 1, KILN_GATE_TANH, clipped(s, OP2(add, part(s, x, 2), n)));
    out[0] = OP2(add, n, OP2(mul, z, OP2(sub, h, n))).as.tensor;
}

const CellKind cell_rnn = {"rnn", 1, 1, rnn_step}, cell_lstm = {"lstm", 4, 2, lstm_step}, cell_gru = {"gru", 3, 1, gru_step};

void cell_step(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const Cell *s = user;
    Thread *t = thread_of(k);
    const char *outer = t->called;
    const int n = s->kind->states;
    t->called = s->kind->name;
    s->kind->step(s, in + 1, out);
    out[n] = out[0];
    if (s->lengths) { /* behind the last step that counts states stay, and results are 0 */
        kiln_operand counts = OP2(gt, of(s->lengths), of(in[0]));
        out[n] = kiln_where_at(s->at, counts, of(out[0]), kiln_of_i(0));
        for (int i = 0; i < n; i++) out[i] = kiln_where_at(s->at, counts, of(out[i]), of(in[1 + i]));
    }
    t->called = outer;
}
