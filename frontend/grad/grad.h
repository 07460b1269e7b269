/* grad: what this room offers: tapes and gradients. */
#ifndef KILN_FRONTEND_GRAD_H
#define KILN_FRONTEND_GRAD_H

#include "../../passes/reach.h"
#include "../trace/trace.h"

/* ---- tapes
 * ---------------------------------------------------------------------------------------------------------------------------------
 */
typedef struct TapeEntry { /* eager: what a value of the tape's graph was */
    kiln_tensor held;      /* a copy of the header, its buffer retained */
    bool tracked;          /* it is a leaf or computed from one; if not, it is only an operand of such a value */
} TapeEntry;

struct kiln_tape {
    kiln *k;
    Thread *t;
    kiln_tape *outer; /* the next outer open tape of the thread */
    kiln_tape *next;  /* the next tape of the same scope */
    uint32_t scope;
    bool persistent, recording, used;
    /* by its scope: the struct stays, so that a stale handle is known, until the user closes it or the engine goes */
    bool closed;
    Loc loc;
    Frame *frame; /* the frame in which it was opened; NULL: eager code */
    uint64_t trace_id;
    uint32_t first;     /* traced: the first node of the frame's graph that belongs to the tape */
    uint32_t stopped;   /* traced, and not recording: the first node that the tape does not record */
    VEC(NodeRange) gap; /* traced: the nodes that were made while the tape did not record */
    Arena arena;
    Module *module; /* eager: the module of the tape's own graph */
    Graph *g;
    Map by_uid;           /* eager: tensor uid -> value */
    VEC(TapeEntry) entry; /* eager: one for each value of the graph */
    VEC(TapeRead) read;
    VEC(RecordedCall) call; /* eager: the calls that the OP_call nodes of the graph name by number */
    Map noted;              /* id and leaf of the locals among `read`, each of which is in the list once */
    Value last_y;           /* the y of the last gradient, for kiln_grad_why */
    char why[256];
};

/* Called by apply for eager ops while some tape records: nodes are added to each tape that tracks an operand. */
void tape_record(Thread *t, kiln_site at, Op op, kiln_tensor *const *in, uint32_t nin, const int64_t *attr, uint32_t nattr,
    kiln_tensor *const *out, uint32_t nout);
void tape_record_call(Thread *t, kiln_site at, const RecordedCall *call, kiln_tensor *const *in, uint32_t nin,
    kiln_tensor *const *out, uint32_t nout);
const RecordedCall *tape_call(const kiln_tape *tape, const Node *n); /* of an OP_call */
/* eager: x is what the read returned; every recording tape notes it */
void tape_note_read(Thread *t, kiln_variable *v, kiln_tensor *x);
bool tape_note(kiln_tape *tape, kiln_variable *v, uint64_t uid, Value leaf); /* false: no memory, recorded */
/* by the tapes that record frame f; false: recorded */
bool tapes_note_leaf(Thread *t, const Frame *f, kiln_variable *v, Value leaf);
/* the tapes around frame f learn that they cannot see all its reads of v */
void tapes_block(Thread *t, const Frame *f, kiln_variable *v);
/* Whether regions inside what it records read the variable where the tape cannot see it (region.c): then it has no gradient. */
bool tape_misses(const kiln_tape *tape, const kiln_variable *v);
/* leaves.c: the leaves that stand for operand x, at most cap, and how many there are. known: what tape_reach_asked gave for all
 * operands that are asked about at once, NULL if it was not needed. */
uint32_t tape_leaves(const kiln_tape *tape, kiln_operand x, const Reach *known, Value *leaf, uint32_t cap);
/* In a trace: the value of a tensor that was not watched, but computed from what was; 0: it was not. Cost: the ops of the tape so
 * far. */
Value tape_computed(kiln_tape *tape, kiln_tensor *x);
Value tape_tracked(const kiln_tape *tape, const kiln_tensor *x); /* eager: its value if it is a leaf or computed from one, else 0 */
const Reach *tape_reach_asked(const kiln_tape *tape, Arena *arena, const kiln_operand *x, int count);
const Type *tape_asked_type(kiln_operand x);
void tape_resume(kiln_tape *tape); /* after kiln_tape_stop */
void tape_retire(kiln_tape *tape); /* its scope closes: everything goes but the struct */
void tapes_free_closed(Thread *t);
/* Several outputs with cotangents (NULL or poison-free tensors); what kiln_gradients_at does for one. */
bool gradients(Thread *t, kiln_site at, kiln_tape *tape, kiln_tensor *const *y, kiln_tensor *const *seed, uint32_t ny,
    const kiln_operand *x, int count, kiln_tensor **dx);
/* custom.c: the number-th of the engine's, which another thread may be adding to; Hooks.custom_of_many */
CustomGradient custom_get(kiln *k, int64_t number);
int64_t custom_of_many(Thread *t, int64_t number, const bool *many, uint32_t n);
#endif
