/* trace: what this room offers: the graph of a running trace, the user's bodies. Regions are in region.h. Never compiles. */
#ifndef KILN_FRONTEND_TRACE_H
#define KILN_FRONTEND_TRACE_H

#include "../ops/ops.h"

/* ---- traces
 * ---------------------------------------------------------------------------------------------------------------------------- */
typedef enum SourceKind { FROM_ARGUMENT, FROM_CAPTURE, FROM_LITERAL, FROM_VARIABLE } SourceKind;

typedef struct Source { /* of one input of the compiled function, in the order of the graph's parameters */
    uint8_t kind;
    uint32_t argument;
    kiln_tensor *tensor; /* CAPTURE: not owned, so each call compares its uid; LITERAL: owned */
    uint64_t uid;
    kiln_variable *variable;
    Type type;
    Loc loc; /* where the body first used it */
} Source;

typedef struct Slot { /* a variable's or local's value while a frame is traced */
    kiln_variable *variable;
    Value now;
    Value entry; /* the frame's parameter that holds the value at its start; 0: none, as it is assigned before it is read */
    bool assigned;
    bool read_after; /* a variable (not a local) that was read after it was assigned */
} Slot;

typedef enum FrameKind { FRAME_FUNCTION, FRAME_BODY, FRAME_CONDITION, FRAME_CASE, FRAME_RULE } FrameKind;
typedef enum ColumnRole { COLUMN_INDEX, COLUMN_CARRY, COLUMN_SLICE, COLUMN_FREE } ColumnRole;

typedef struct Column {      /* what one parameter of a region's frame stands for */
    uint8_t role;            /* ColumnRole; columns of the roles before FREE exist from the start */
    Value outer;             /* the operand, a value of the parent frame; 0 for the index */
    kiln_variable *variable; /* whose value at entry it is; NULL: a value given or captured */
} Column;
struct Frame { /* one graph being traced: the function's, or a region's inside it */
    Trace *trace;
    Frame *parent; /* NULL: this is the function's own frame */
    Graph *g;
    Map watched;  /* value -> the leaf that its handles mean since it was watched */
    Map captured; /* a region's frame: value of the parent -> parameter here; the function's frame: uid of a tensor -> value */
    VEC(Slot) slot;
    Map slot_of;        /* variable -> index into slot, as long as that slot still names the variable */
    VEC(Column) column; /* of a region: one for each parameter, in the order of g->param */
    uint8_t kind;       /* FrameKind. RULE: the graph of a gradient rule, closed: nothing comes in from outside */
    const char *what;   /* of a region: its name in messages, such as "KILN_FOR" */
    Loc loc;
};

typedef struct TapeRead {    /* a variable read, or a watched tensor */
    kiln_variable *variable; /* NULL: watched */
    uint64_t uid;
    Value leaf; /* 0: it was read where a tape around the trace cannot see the read (region.c) */
} TapeRead;

/* What a graph's values are made for, from one on, until the graph's next label: a node of a model. For reports. */
typedef struct Label {
    const Graph *g;
    Value from;
    const char *text; /* NULL: nothing that has a name */
} Label;

struct Trace {
    Trace *outer; /* the trace that was running when this one began (a derived function compiled inside a trace) */
    Thread *t;
    uint64_t id;
    uint64_t first_uid; /* tensors with this uid or more were made by the body */
    Arena *arena;
    Module *module;
    Frame *frame; /* innermost */
    /* some sizes became symbols although nobody declared them: if the body reads one as a C number, the trace ends */
    bool automatic;
    VEC(Source) source;
    Map first; /* uid of a tensor from outside that has a second handle -> the first, which lives as long as the tensor is to */
    VEC(Label) label;
    VEC(TapeRead) read; /* the reads of variables that a tape around the whole body notes; reads of locals are left out */
    Status st;
};

bool frame_encloses(const Frame *outer, const Frame *inner); /* or is it */
/* A traced tensor for operand x in the innermost frame; 0 after recording why not. */
Value trace_value(Thread *t, kiln_site at, kiln_tensor *x);
kiln_tensor *trace_apply(Thread *t, kiln_site at, Op op, kiln_tensor *const *in, uint32_t nin, const int64_t *attr, uint32_t nattr,
    kiln_tensor **out, uint32_t nout);
/* Appends an effect: nout results, or none. False: recorded. */
bool trace_effect(Thread *t, kiln_site at, Op op, kiln_tensor *const *in, uint32_t nin, const int64_t *attr, uint32_t nattr,
    kiln_tensor **out, uint32_t nout);
kiln_tensor *trace_read(Thread *t, kiln_site at, kiln_variable *v);
bool trace_assign(Thread *t, kiln_site at, kiln_variable *v, kiln_tensor *x);
/* A second handle of x. A body's own handle of a tensor from outside goes with the body; what is captured is the tensor outside. */
kiln_tensor *trace_alias(Thread *t, kiln_site at, kiln_tensor *x);
/* From here on, inside the innermost frame, the tensor x from outside means value v. */
bool trace_repoint(Thread *t, kiln_site at, kiln_tensor *x, Value v);
const Slot *frame_slot(Frame *f, const kiln_variable *v); /* NULL: it has none */
/* A parameter of a region's frame; 0: recorded. */
Value frame_param(Thread *t, kiln_site at, Frame *f, const Type *type, Column c);
/* Reads of the value that a variable came into the frame with let gradients through to it: it is the caller's to differentiate. */
void frame_pass_reads(const Frame *f, Value entry);
bool trace_note(Thread *t, kiln_site at, kiln_variable *v, Value leaf); /* one more of Trace.read; false: no memory, recorded */
bool trace_begin_local(Thread *t, kiln_site at, kiln_variable *v, kiln_tensor *x);
bool trace_is_current(const Thread *t, const kiln_tensor *x);
Module *trace_module(const Trace *trace);
Module *traced_module(const kiln_tensor *x);
Dim trace_count(Thread *t, kiln_site at, kiln_tensor *n, Dim bound);
int64_t traced_size(const kiln_tensor *x, int axis);
void trace_label(Thread *t, kiln_site at, const char *text); /* of what the innermost frame appends from now on; copied, or NULL */
void trace_forget(Thread *t, const kiln_variable *v);        /* v is about to go: no slot names it any longer */

kiln_tensor *tensor_traced(Thread *t, kiln_site at, Frame *f, Value v);

/* ---- many examples (vmap.c) ---- */
typedef struct VmapCall {
    const char *what; /* as messages name it */
    Dim n;            /* examples */
    const bool *many; /* per input: it has the examples' axis, as its first; else it is the same for all */
    int nin, nout;
    bool (*run)(Thread *t, kiln_site at, kiln_tensor *const *in, kiln_tensor **out, void *user); /* for one. False: recorded */
    void (*loops)(void *user, const char *ops); /* NULL, or: is told which ops run in a loop over the examples, if any */
    void *user;
} VmapCall;
/* In a trace. many: per output, whether it has the examples' axis. False: recorded. */
bool trace_vmap(Thread *t, kiln_site at, const VmapCall *c, kiln_tensor *const *in, kiln_tensor **out, bool *many);

/* ---- bodies ---- */
/* What a body is given: nin inputs, a NULL, then tensors that say that they were not given when they are used. `to` has room for
 * nin + BODY_ROOM and may be `in`. */
#define BODY_ROOM 32
void body_inputs(kiln *k, kiln_tensor **to, kiln_tensor *const *in, int nin);
/* Around every body; false, and recorded: nested too deep; something failed in it. Frames count by themselves: C code recurses
 * through KILN_IF too. */
bool body_enter(Thread *t, kiln_site at, BodyRun *b, const char *name, int nin);
bool body_leave(Thread *t, kiln_site at);
/* Output i as it was set: live, else recorded, unless it is poison, and *out poison. What bodies set has SPARE_OUTPUTS to spare, so
 * that one more than there are is an error. */
#define SPARE_OUTPUTS 16
bool body_output(Thread *t, kiln_site at, const char *name, int i, kiln_tensor **out);
bool frame_may_nest(Thread *t, kiln_site at, const char *name); /* another region in the running trace */

#endif
