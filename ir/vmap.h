/* vmap: a graph as it works on many examples at once. A value that differs from example to example has one axis more, the first;
 * all others are as they are. Each op's rule, named by its row of ops.def, says how the op does so; an op without one runs in a
 * loop over the examples. Relies on emit. Never knows a front end, but for custom gradients, which are asked of it. */
#ifndef KILN_IR_VMAP_H
#define KILN_IR_VMAP_H

#include "emit.h"

typedef struct Vmap Vmap;

typedef struct VmapRun { /* one map of a graph and of those that it runs */
    Module *m;
    Dim n; /* how many examples */
    Status *st;
    bool looped[OP_COUNT]; /* out: these ops ran in a loop over the examples */
    /* Inside of what not all examples run: bool[n] of the graph that is appended to, those that do; 0: all. What the others compute
     * there is never used, asserts nothing, and ends no loop and keeps none going. */
    Value active;
    void *user;
    void (*custom)(Vmap *v); /* the rule of `custom` */
} VmapRun;

/* What a rule sees of its node, of which at least one operand is many. It sets out. */
struct Vmap {
    VmapRun *run;
    GraphEmit *to; /* where it is appended */
    Emit *e;       /* the same */
    const Node *node;
    const Graph *graph; /* the node's */
    const Value *in;    /* values of `to` */
    const bool *many;   /* per operand: it has the examples' axis */
    Value *out;
    bool *out_many; /* true when the rule begins */
};

/* Appends to `to` the nodes of `from`, each for all examples. map and many: per value of `from`; those of the parameters are given.
 * A stack that a loop makes, whose height nobody knows before, has the examples' axis behind its first. False: st. */
bool vmap_graph(VmapRun *run, GraphEmit *to, const Graph *from, Value *map, bool *many);

/* ---- for rules */
Value vmap_all(const Vmap *v, uint32_t i);         /* operand i with the examples' axis */
Type vmap_type(const Vmap *v, uint32_t i);         /* of operand i of one example */
Type vmap_with_axis(const Vmap *v, const Type *t); /* of all examples; fails in st where there are MAX_RANK axes already */
Value vmap_front(Emit *e, Value x, uint32_t axis); /* the axis comes first */
Value vmap_back(Emit *e, Value x, uint32_t axis);  /* the first axis goes there */
/* [n, a, ...] as [n a, ...], and back */
Value vmap_merge(const Vmap *v, Value x);
Value vmap_split(const Vmap *v, Value x);
Value vmap_spread(GraphEmit *to, Value x, Dim n, bool stack); /* x for each of n examples; stack: behind its first axis */
Value vmap_where(Emit *e, Value active, Value x, Value y);    /* active bool[n]; x and y [n, ...] */
/* The op itself with these attributes, on these operands. */
void vmap_as(Vmap *v, const Value *in, const int64_t *attr, uint32_t nattr);
void vmap_by_loop(Vmap *v);

/* Rules that several ops share: those of one axis, which comes first among the attributes; those whose attributes are axes; those
 * that are the same for every element. */
void vmap_axis(Vmap *v);
void vmap_axes(Vmap *v);
void vmap_elements(Vmap *v);

#endif
