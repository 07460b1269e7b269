/* recurrence: what recurrence.c (operands, directions, results) and recurrence_cells.c (one step) share. */
#ifndef KILN_FRONTEND_NN_RECURRENCE_H
#define KILN_FRONTEND_NN_RECURRENCE_H

#include "../ops/ops.h"

typedef struct Cell Cell;
typedef struct CellKind {
    const char *name;
    int gates, states;                                                      /* states: h, or h and c */
    void (*step)(const Cell *s, kiln_tensor *const *in, kiln_tensor **out); /* (h, [c], x's product) -> (h, [c]) */
} CellKind;

struct Cell { /* what one step of one direction captures; all of a type that computes */
    kiln_site at;
    const CellKind *kind;
    const kiln_recurrence *o;
    int direction; /* 0 or 1, of o->gate */
    int64_t units;
    kiln_tensor *u;       /* [units, gates units], of a GRU that resets first without the new gate's part: */
    kiln_tensor *u_new;   /* [units, units] */
    kiln_tensor *b_new;   /* [units]: the new gate's second bias, of a GRU that resets last; NULL: none */
    kiln_tensor *peep[3]; /* [units] of input, output and forget gate; NULL: none */
    kiln_tensor *lengths; /* i64 [batch, 1]; NULL: all steps count */
};

extern const CellKind cell_rnn, cell_lstm, cell_gru;

/* A body of kiln_scan over a Cell: (index, h, [c], x's product) -> (h, [c], result). */
void cell_step(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user);
bool cell_gates_ok(Thread *t, kiln_site at, const CellKind *kind, const kiln_recurrence *o); /* false: recorded */

#endif
