/* graph: the SSA graph. Values are 32-bit handles, 0 is none; a node with n results owns n consecutive values; nodes lie in one
 * array in program order, operands before users. A module is a list of named graphs over one dim table and one arena.
 * Nothing here is ever edited in place: a pass builds a new graph (rebuild.h). Relies on base, dtype, dim. Never knows devices. */
#ifndef KILN_IR_GRAPH_H
#define KILN_IR_GRAPH_H

#include "dim.h"
#include "op.h"

#define MAX_RANK 8

typedef struct Type {
    uint8_t dtype; /* DType */
    uint8_t rank;
    Dim dim[MAX_RANK];
} Type;

typedef struct Attr { /* immutable, in the module's arena; layout per op as its row in ops.def says */
    uint32_t len;
    int64_t at[]; /* doubles as their bits (attr_f64) */
} Attr;

/* The attributes of each op by name: a struct per row of ops.def, laid over the numbers. ATTRS(pad, n->attr->at)->fill reads one.
 * Who makes a node gives the numbers and their count by ATTRS_OF(gather, .axis = 1). Where the attributes end in a list, s =
 * ATTRS_ROOM(slice, 3 * MAX_RANK) has zeros and room for so many numbers of it; ATTRS_TO(s, s->axis + rank) gives those in use. */
#define INT(name) int64_t name;
#define INT_PAIR(name) int64_t name[2];
#define INT_TRIPLE(name) int64_t name[3];
#define DIM(name) Dim name;
#define SCALAR(name) int64_t name;
#define DTYPE(name) int64_t name;
#define GRAPH(name) int64_t name;
#define INTS(name) int64_t name[];
#define DIMS(name) Dim name[];
#define DIM_ROWS(name, ...) \
    struct {                \
        Dim __VA_ARGS__;    \
    } name[];
#define GRAPHS(name) int64_t name[];
#define OPTION(name) int64_t name[];
#define DTYPE_OPTION(name) int64_t name[];
#define UNARY(...)
#define BINARY(...)
#define TERNARY(...)
#define OP(name, nin, nout, flags, role, vjp, vmap, fold, map, attrs) \
    struct name##_attrs {                                             \
        struct {                                                      \
        } first;                                                      \
        attrs                                                         \
    };
#include "ops.def"
#include "ops_undef.h"
#define ATTRS(op, numbers) ((const struct op##_attrs *)(numbers))
#define ATTRS_OF(op, ...) (const int64_t *)&(const struct op##_attrs){__VA_ARGS__}, sizeof(struct op##_attrs) / sizeof(int64_t)
#define ATTRS_ROOM(op, list) ((struct op##_attrs *)(int64_t[sizeof(struct op##_attrs) / sizeof(int64_t) + (list)]){0})
#define ATTRS_TO(attrs, end) (const int64_t *)(attrs), (uint32_t)((const int64_t *)(end) - (const int64_t *)(attrs))
#define ATTR_INDEX(op, name) (offsetof(struct op##_attrs, name) / sizeof(int64_t)) /* which number it is */

/* Both fill an ATTRS_ROOM for any rank: the constant of t's dtype and shape; all of t, to be changed. */
static inline struct constant_attrs *constant_typed(const Type *t, int64_t value, struct constant_attrs *c)
{
    c->dtype = t->dtype;
    c->value = value;
    memcpy(c->shape, t->dim, t->rank * sizeof *t->dim);
    return c;
}

static inline struct slice_attrs *slice_all(const Type *t, struct slice_attrs *s)
{
    for (uint32_t i = 0; i < t->rank; i++) {
        s->axis[i].size = t->dim[i];
        s->axis[i].step = 1;
    }
    return s;
}

typedef struct Loc { /* where the user wrote it */
    const char *file;
    int line;
} Loc;

typedef struct Node {
    uint16_t op;
    uint32_t nin, nout;
    Value out; /* first result */
    const Value *in;
    const Attr *attr; /* never NULL */
    Loc loc;
} Node;

typedef struct ValueDef {
    Type type;
    uint32_t node;   /* who makes it */
    uint32_t result; /* which of its results */
} ValueDef;

typedef struct Module Module;

/* A kernel node's operand that another kernel makes, and why this one does not compute it (passes/stop.h). For reports: no part of
 * what the graph means, and a pass that rebuilds the graph drops it. */
typedef struct Stop {
    Value kernel; /* its first result */
    uint32_t operand;
    uint8_t why;
} Stop;

typedef struct Graph {
    Module *module;
    const char *name;
    uint32_t index; /* in the module */
    VEC(Node) node;
    VEC(ValueDef) value; /* value.at[0] is the none value */
    VEC(Value) param;
    VEC(Value) result;
    VEC(Stop) stop;
    bool kernel; /* it is the body of a kernel node */
    /* one of its nodes is an effect, or runs a graph that has one; known as nodes are appended, so that asking costs nothing */
    bool effect;
} Graph;

struct Module {
    Arena *arena; /* everything below lives here */
    DimTable dims;
    VEC(Graph *) graph; /* graph.at[0] is the entry */
};

Module *module_new(Arena *arena);
Graph *graph_new(Module *m, const char *name); /* appended to the module */
/* A module of the n graphs as they are, which lived in one with these sizes: what is appended to either is not in the other. It
 * shares what never changes, so the first has to stay. */
Module *module_copy(Arena *arena, Graph *const *graph, uint32_t n, const DimTable *dims);

static inline const Type *graph_type(const Graph *g, Value v) { return &g->value.at[v].type; }
static inline const Node *graph_maker(const Graph *g, Value v) { return &g->node.at[g->value.at[v].node]; }
/* A cast to f32 of what has fewer bits, which a product may read as it is. */
static inline bool node_widens(const Graph *g, const Node *n)
{
    return n->op == OP_cast && graph_type(g, n->out)->dtype == DT_f32 && dtype_widens((DType)graph_type(g, n->in[0])->dtype);
}

/* Appends one node; infers its result types. The attributes are copied. Returns the first result (of an effect without results:
 * where one would be), 0 on a user mistake, which st then names (op, operand types, reason). Only appends: no sharing, no folding.
 */
Value graph_append(Graph *g, Op op, const Value *in, uint32_t nin, const int64_t *attr, uint32_t nattr, Loc loc, Status *st);
/* The same for an op whose result types nothing in the graph tells (`call`, `param`): no inference. */
Value graph_append_typed(
    Graph *g, Op op, const Value *in, uint32_t nin, const int64_t *attr, uint32_t nattr, const Type *out, uint32_t nout, Loc loc);
Value graph_param(Graph *g, const Type *type, Loc loc); /* appended; also listed in g->param */
void graph_result(Graph *g, Value v);

bool type_equal(const Type *a, const Type *b);
/* DIM_BAD on overflow; of a stack whose height its loop makes: of one slice */
Dim type_elements(DimTable *t, const Type *type);
size_t type_print(const DimTable *t, const Type *type, char *buf, size_t cap); /* f32[32,784] */
uint64_t node_hash(const Graph *g, const Node *n);                             /* op, attributes, operand handles: for sharing */

/* An effect of the node itself or of a graph that it runs: never shared, dropped or reordered against another. */
bool node_has_effect(const Module *m, const Node *n);

/* False, with a word about the graph, if the module stands for far more operations than it has: each node that runs a graph stands
 * for all of that graph's, once for each time it is named, which is what compiling costs. */
bool module_expands_fairly(const Module *m, uint32_t *graph, Status *st);

static inline double attr_f64(int64_t bits)
{
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}
static inline int64_t attr_of_f64(double d)
{
    int64_t b;
    memcpy(&b, &d, sizeof b);
    return b;
}

#endif
