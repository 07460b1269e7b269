/* import: a model's graph as operations of Kiln: what its files share. A graph is planned once, when it is first asked to run: each
 * name is a number, each node has its row of operators.def. Then its nodes run in order, eagerly or in a trace; what they are made
 * of is the same. Private to the room. Relies on model.h, ops. */
#ifndef KILN_FRONTEND_ONNX_IMPORT_H
#define KILN_FRONTEND_ONNX_IMPORT_H

#include <kiln/kiln.h>

#include "../ops/ops.h"
#include "model.h"

/* A number that is known while a function is traced: a plain one, or an expression of symbols; both of any sign. */
typedef int64_t Known;
#define KNOWN_SYMBOL ((int64_t)1 << 62)
#define KNOWN_BAD INT64_MIN          /* none: what an operation has no such number for */
#define KNOWN_FAR ((int64_t)1 << 40) /* its negative stands for all plain numbers down there, and is not computed with */
static inline Known known_of(Dim d) { return d >= 0 ? d : d - KNOWN_SYMBOL; }
static inline bool known_symbol(Known v) { return v < -KNOWN_SYMBOL / 2; }
static inline Dim known_dim(Known v) { return known_symbol(v) ? v + KNOWN_SYMBOL : v; }

/* What a name stands for while a graph runs; all empty: nothing, as of an input that was left out. */
typedef struct Held {
    kiln_tensor *t;          /* NULL: none, or sizes of which nobody has asked a tensor yet */
    bool constant;           /* t holds elements that can be asked in a trace, too */
    bool nothing;            /* an optional without an element; one with an element is that element */
    const Known *size;       /* numbers that are sizes or were computed of sizes; NULL: they are not known so */
    int sizes, rank;         /* how many; 0: one number, 1: a row, 2: rows of so many */
    int columns;             /* of rank 2 */
    int64_t over;            /* of floats: what the numbers are divided by; 0: nothing */
    double times;            /* of floats: what they are multiplied by, and rounded once; 0: nothing */
    uint8_t sort;            /* the dtype of sizes that have no t yet; DT_NONE: i64 */
    const struct Many *many; /* a sequence */
    bool unseen;             /* of a survey: nobody knows what this is */
    uint8_t narrow;          /* bits of its integers in the model, where these are fewer than the dtype has; else 0 */
} Held;

typedef struct Many {
    uint32_t n;
    const Held *at;
} Many;

typedef struct Call Call;
typedef bool OperatorFn(Call *c); /* false: recorded */

typedef struct Operator {
    const char *name;
    int64_t since;  /* the version of ai.onnx from which on it means this */
    OperatorFn *fn; /* NULL: that Kiln does not know */
    bool draws;     /* at random: no two calls give the same */
    uint8_t known;  /* a bit for each operand whose numbers must be known when a function is traced */
    union {         /* what fn is given */
        kiln_tensor *(*one)(kiln_site, kiln_operand);
        kiln_tensor *(*two)(kiln_site, kiln_operand, kiln_operand);
        kiln_tensor *(*over)(kiln_site, kiln_operand, kiln_axes);
        int64_t number;
    } with;
} Operator;
int64_t opset_version(const OnnxOpset *at, uint32_t n, Bytes domain); /* of those that are imported; 1: none */
const Operator *operator_of(Bytes domain, Bytes op, int64_t version); /* NULL: there is no such, or not in that version */

/* Of those that the node has the first that its operator, of that version, has not; NULL: none. */
const OnnxAttribute *attribute_undefined(const OnnxNode *n, int64_t version);
/* The first that is text and is no word that it may be; NULL: none. */
const OnnxAttribute *attribute_unworded(const OnnxNode *n);

/* ---- plans: of a graph, of one within a node, or of a function's body ---- */
typedef struct PlanNode {
    const OnnxNode *node;
    const Operator *op;
    int64_t version;
    uint32_t *in, *out;    /* numbers of names; UINT32_MAX: left out */
    struct Plan **inner;   /* per attribute: of the graph that it is; NULL: it has no such */
    struct Plan *function; /* of the model's own that it calls; op is NULL then */
    struct Fold *fold;     /* what was multiplied and added to its result goes into its operands (fold.c); NULL: nothing */
} PlanNode;

typedef struct Plan {
    const OnnxGraph *graph;       /* NULL: a function's body */
    const OnnxFunction *function; /* NULL: a graph */
    uint32_t names, nodes, inputs, outputs, initializers;
    PlanNode *node;
    uint32_t *input, *output, *initializer; /* numbers of names; of initialisers those that something reads */
    uint32_t *stated;                       /* per input of a graph: which it is there, where others have an initialiser */
    const OnnxTensor **value;               /* per initialiser */
    uint32_t weight;                        /* the first initialiser's number among the model's */
    uint32_t takes;                         /* values of the graph around it */
    uint32_t *taken, *from;                 /* their numbers here and there */
    uint8_t *narrow;                        /* per input of a graph: Held.narrow */
    bool *known;                            /* per name: sizes follow from its numbers, which must be known in a trace */
    uint8_t *use;                           /* per name: Use; NULL: the model has no variables */
    uint64_t steps;                         /* nodes, those of all that it calls included */
    struct Plan *next;                      /* in the model's list */
} Plan;

/* What its nodes take a name for, once weights are variables (variables.c). */
typedef enum Use { USE_WEIGHT = 1, USE_STATISTIC = 2, USE_NUMBER = 4 } Use;

typedef struct Missed {
    const OnnxNode *node;
    uint32_t at; /* its number in its graph */
    int64_t version;
    const OnnxAttribute *attribute; /* which its operator has not; NULL: it is the operator that is missing */
    bool word;                      /* it has the attribute, but not this value of it */
    Bytes within;                   /* a function of the model's own; none: a graph */
} Missed;
bool plan_model(kiln_onnx *m, Status *st);       /* what is missing is in m->missed */
bool plan_whole(const kiln_onnx *m, Status *st); /* nothing is */
void know_numbers(kiln_onnx *m, Plan *graph);    /* fills `known` */

/* ---- runs ---- */
typedef struct Run {
    Thread *t;
    const kiln_onnx *m;
    Arena *arena;
    uint64_t *written;     /* nodes of loops that were written out in the trace so far */
    struct Survey *survey; /* NULL: what fails ends the run */
} Run;

typedef struct Env { /* the values of a plan that runs */
    const Plan *plan;
    Held *value;
    const struct Env *caller; /* of a function: where it was called, by this node; within it the same holds of inner graphs */
    const PlanNode *call;
} Env;

struct Call {
    Thread *t;
    kiln_site at; /* none: a line of Kiln's source would mean nothing to whoever runs a model */
    const kiln_onnx *m;
    const PlanNode *node;
    Held *in, *out;
    uint32_t nin, nout;
    Arena *arena; /* for sizes, until the graph has run */
    uint64_t *written;
    const Env *env;
};

bool env_run(Run *r, const Env *e); /* all nodes. False: recorded */
typedef struct Lives Lives;
Lives *lives_begin(Run *r, const Env *e); /* NULL: all values stay as long as the scope around */
void lives_node(Lives *l, uint32_t i);    /* node i has run, in a scope of its own that is open yet */
bool env_node(Run *r, const Env *e, const PlanNode *n);
bool env_node_run(Run *r, const Env *e, const PlanNode *n); /* the same without a survey */
/* File, number, operator, name and version, for errors. */
void node_place(const Run *r, const Env *e, const PlanNode *n, char *to, size_t cap);
/* In place of env_node_run: notes what fails, and goes on with what is stated of its results. */
bool survey_node(Run *r, const Env *e, const PlanNode *n);
Env env_of(Run *r, const Plan *p);                                  /* with its initialisers */
kiln_tensor *env_tensor(Run *r, const Env *e, uint32_t i, Held *h); /* h, of output i, as a tensor; poison: recorded */

/* ---- operands and results of the node that runs */
bool read_sizes(Call *c, Held *h);          /* of constants: gives it its numbers, if they may be sizes. False: recorded */
kiln_tensor *held_tensor(Call *c, Held *h); /* of sizes, too; poison: recorded */
bool has(const Call *c, uint32_t i);
kiln_operand operand(Call *c, uint32_t i);      /* of a missing one: NULL, as optional operands of Kiln's are */
kiln_tensor *tensor(Call *c, uint32_t i);       /* poison: recorded */
kiln_tensor *scalar_of(Call *c, uint32_t i);    /* the same of one element, in no axis or one */
bool give(Call *c, uint32_t i, kiln_tensor *t); /* false: it is poison */
bool give_as(Call *c, uint32_t i, kiln_tensor *t, const kiln_tensor *like); /* in the dtype of `like` */
/* Integers that must be known while a function is traced. False: recorded, with who computes them. */
bool sizes(Call *c, uint32_t i, const Known **at, int *n);
bool known_size(Call *c, Known v, Dim *size);                       /* false: recorded, as it is below 0 */
bool numbers(Call *c, uint32_t i, int64_t *at, int most, int *n);   /* the same, plain numbers */
bool unsupported(Call *c, const char *what, ...) PRINTF_LIKE(2, 3); /* says what was met. Always false */
bool reals(Call *c, uint32_t i, double *at, int most, int *n);      /* as numbers, of floats */
/* One such number, of which `to` has what stands where the operand is missing. */
bool number(Call *c, uint32_t i, int64_t *to);
bool real(Call *c, uint32_t i, double *to);

/* ---- numbers that are known (whole.c); KNOWN_BAD: there is none */
int64_t known_lo(const Call *c, Known v); /* bounds over all values of its symbols */
int64_t known_hi(const Call *c, Known v);
Known known_add(const Call *c, Known x, Known y);
Known known_sub(const Call *c, Known x, Known y);
Known known_mul(const Call *c, Known x, Known y);
Known known_max(const Call *c, Known x, Known y);
Known known_min(const Call *c, Known x, Known y);
Known known_floordiv(const Call *c, Known x, int64_t by); /* by > 0 */
Known known_div(const Call *c, Known x, Known y);         /* towards 0, as ONNX divides integers */
Known known_mod(const Call *c, Known x, Known y);         /* of y's sign */
Known known_negative(const Call *c, Known x);             /* whether x is below 0: 1 or 0, or a symbol that is one of them */
Known known_less(const Call *c, Known x, Known y);        /* the same */
Known known_equal(const Call *c, Known x, Known y);
Known known_chosen(const Call *c, Known on, Known x, Known y); /* x where `on`, which is 1 or 0, is 1 */

/* x's parts of these sizes along the axis, which they make up (op_part.c). False: recorded. */
bool split_by(Call *c, kiln_tensor *x, int axis, const Known *size, uint32_t n, kiln_tensor **out);

/* What places and states are computed in beside x: f64, or else f32. */
static inline DType at_least_f32(const kiln_tensor *x) { return x->type.dtype == DT_f64 ? DT_f64 : DT_f32; }
/* Of an operand that is indices, those that are known lie in [-size, size): of rows of n, each in its own. False: recorded. */
bool indices_within(Call *c, uint32_t input, const Dim *size, int64_t n);
kiln_tensor *from_end(
    Call *c, kiln_tensor *x, kiln_tensor *i, int axis); /* operand 1, indices of which those below 0 count from x's end */
/* The same of rows of coordinates, which i's last axis has: in x's axes from `first` on. */
kiln_tensor *rows_from_end(Call *c, kiln_tensor *x, kiln_tensor *i, int64_t first);

/* Counted from the end if it is below 0. False: recorded, as it is not within the rank. */
bool axis_within(Call *c, int64_t *axis, int rank);

/* ---- graphs within nodes (inner.c) */
const Plan *inner_plan(Call *c, const char *attribute); /* NULL: there is none, recorded */
/* Runs it in the node's arena, or in r's; out: as many as it has, what it has. False: recorded. */
bool inner_run(const Call *c, Run *r, const Plan *p, const Held *in, uint32_t nin, Held *out);
/* Within the body of a region, which gives tensors: runs fn(r, arg) with an arena of its own. False: recorded. */
bool inner_try(const Call *c, bool (*fn)(Run *r, void *arg), void *arg);
Run inner_here(const Call *c);
Held held_copy(const Call *c, const Held *h, bool own); /* with handles of its own, which are owned, or else of this scope */
void held_release(const Held *h);                       /* what is owned */
/* One number, or bool, if it is known. False: an error, recorded. */
bool known_number(Call *c, uint32_t i, bool *known, int64_t *v);
Held held_bool(const Call *c, bool v); /* a constant */

/* ---- attributes */
const OnnxAttribute *attribute(const Call *c, const char *name); /* NULL: absent */
int64_t attr_int(const Call *c, const char *name, int64_t absent);
double attr_float(const Call *c, const char *name, double absent);
bool attr_is(const Call *c, const char *name, const char *text); /* a string; false if it is absent */
/* False: recorded; absent: *n is -1. */
bool attr_ints(Call *c, const char *name, int64_t *at, int most, int *n);
bool attr_floats(Call *c, const char *name, double *at, int most, int *n);

/* A dtype of Kiln's, which the attribute names, or else `absent` does; NULL: recorded, with what it names. */
const OnnxDType *attr_dtype(Call *c, const char *name, int64_t absent);
const OnnxDType *attr_float_dtype(Call *c, const char *name, int64_t absent);
/* As unsupported, of the attribute's text. */
bool unsupported_word(Call *c, const char *name, const char *allowed);

/* ---- values */
static inline uint8_t narrow_bits(int64_t type) /* of onnx.proto: Held.narrow */
{
    const OnnxDType *d = onnx_dtype(type);
    return d && d->dtype != DT_NONE && d->bits < 8 ? d->bits : 0;
}
kiln_shape shape_of(const Type *t);
/* What x holds, which is not sparse, into room for its elements. */
bool tensor_elements(const kiln_onnx *m, const OnnxTensor *x, char *room, Status *st);
kiln_tensor *sparse_value(Thread *t, kiln_site at, const kiln_onnx *m, const OnnxTensor *x); /* of one that is; poison: recorded */
kiln_tensor *tensor_value(Thread *t, kiln_site at, const kiln_onnx *m, const OnnxTensor *x); /* poison: recorded */
/* The operand as text that a static argument may be, and back. NULL, poison: recorded. The caller frees the text. */
char *known_text(Thread *t, kiln_site at, kiln_operand o, size_t *bytes);
kiln_tensor *known_tensor(Thread *t, kiln_site at, const char *text);
/* ---- what is put into weights (fold.c) */
typedef struct Fold Fold;
bool fold_operands(Call *c); /* of a node that has a fold: its weights and its bias are to be those. False: recorded */
/* onnx_ready, of a model that is to have a function: folded, if it may be. */
bool onnx_to_call(Thread *t, kiln_site at, kiln_onnx *m);
void onnx_forget_folds(kiln_onnx *m);
bool batchnorm_is_known(const Call *c); /* it computes with statistics that are operands, one for each channel */
/* ---- the whole model */
bool onnx_ready(Thread *t, kiln_site at, kiln_onnx *m); /* planned, with weights; under m->lock. False: recorded */
/* The same of a model that lacks something: weights of a dtype that there is not are NULL. */
bool onnx_half_ready(Thread *t, kiln_site at, kiln_onnx *m);
enum { MOST_TENSORS = 4096 }; /* of all input lists, and of all output lists */
typedef struct ModelRun {
    kiln_tensor *const *in; /* the tensors of all inputs */
    const int *count;       /* per input: how many of them are its, or KILN_ONNX_NONE; NULL: one each */
    kiln_tensor *const
        *given; /* per tensor: its value, which is known, NULL where it is not; NULL: known ones are static arguments */
    kiln_tensor **out;
    int most;              /* how many there may be in out */
    int64_t *counts;       /* per output: how many are its, or KILN_ONNX_NONE; NULL: one each */
    struct Survey *survey; /* NULL: none. A survey has one input for each of the model's, and gives no outputs */
} ModelRun;
void onnx_run(Thread *t, kiln_onnx *m, const ModelRun *run); /* what fails is recorded */
/* What a call gives to a model's function: what must be known while that is traced becomes text. False: recorded. */
typedef struct Given {
    kiln_operand *at;
    char **text;
    size_t *bytes;
    int n;
} Given;
bool given_open(Thread *t, kiln_site at, int most, Given *g); /* with scratch that the caller gives back */
bool given_add(Thread *t, kiln_site at, Given *g, kiln_operand x, bool known);
void given_close(Given *g);
void onnx_called(kiln_onnx *m); /* after a call */
/* Whether its inputs and outputs are tensors, or at least, with lists, none is KILN_ONNX_OTHER. False: recorded, with the first
 * that is not. */
bool onnx_takes(Thread *t, kiln_site at, const kiln_onnx *m, bool lists);
const char *kind_name(kiln_onnx_kind kind);       /* "a sequence" */
void onnx_signature(kiln_onnx *m, const Plan *p); /* m->value, while it is planned */
void onnx_forget_variables(kiln_onnx *m);
void onnx_forget_declared(kiln_onnx *m);         /* functions of declare.c */
void onnx_forget_listed(kiln_onnx *m);           /* functions of call_lists.c */
void describe_json(Text *t, const kiln_onnx *m); /* an object that is still open */
void generators_free(kiln_onnx *m);              /* of the nodes that draw */
bool sizes_run(Call *c);                         /* the node computes sizes of sizes, and has; false: it is like any other */
bool sizes_put(Call *c, uint32_t i, const Known *v, Held like); /* like's count and rank, and what it says of them. False: v has a
                                                                 * KNOWN_BAD, or what its dtype does not hold */
bool sizes_move(Call *c);                                       /* sizes_run, of nodes that only move them (sizes_rows.c) */

#endif
