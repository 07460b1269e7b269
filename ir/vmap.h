/* vmap: a graph as it works on many examples at once. A value that differs from example to example has one axis more, the first;
 * all others are as they are. Each op's rule, named by its row of ops.def, says how the op does so; an op without one runs in a
 * loop over the examples, and so does what has a size that each example counts for itself. Relies on sizes and emit. Never knows a
 * front end, but for custom gradients, which are asked of it. */
#ifndef KILN_IR_VMAP_H
#define KILN_IR_VMAP_H

#include "emit.h"
#include "sizes.h"

typedef struct Vmap Vmap;
typedef struct VmapWalk VmapWalk;

typedef struct VmapRun { /* one map of a graph and of those that it runs */
    Module *m;
    Dim n; /* how many examples */
    Status *st;
    bool looped[OP_COUNT]; /* out: these ops ran in a loop over the examples */
    Loc counted;           /* out: set_size is one of them, because of a size that is counted there */
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
    VmapWalk *walk;     /* through it */
    const Value *in;    /* values of `to` */
    const bool *many;   /* per operand: it has the examples' axis */
    Value *out;
    bool *out_many; /* true when the rule begins */
    bool within;    /* it has no value for all examples: vmap_each has put it into a loop */
};

/* Appends to `to` the nodes of `from`, each for all examples. map and many: per value of `from`; those of the parameters are given.
 * A stack that a loop makes, whose height nobody knows before, has the examples' axis behind its first. What has a size that each
 * example counts for itself maps to 0, even if it is a result of `from`. False: st. */
bool vmap_graph(VmapRun *run, GraphEmit *to, const Graph *from, Value *map, bool *many);

/* ---- for rules */
Value vmap_all(const Vmap *v, uint32_t i);         /* operand i with the examples' axis */
Type vmap_type(const Vmap *v, uint32_t i);         /* of operand i of one example */
Type vmap_with_axis(const Vmap *v, const Type *t); /* of all examples; fails in st where there are MAX_RANK axes already */
Value vmap_front(Emit *e, Value x, uint32_t axis); /* the axis comes first */
Value vmap_back(Emit *e, Value x, uint32_t axis);  /* the first axis goes there */
/* [n, a, ...] as [n a, ...], and back: a cannot be told from the product where there are no examples */
Value vmap_merge(const Vmap *v, Value x);
Value vmap_split(const Vmap *v, Value x, Dim a);
Dim vmap_first(const Vmap *v, uint32_t result);               /* the first size of that result of one example */
Value vmap_spread(GraphEmit *to, Value x, Dim n, bool stack); /* x for each of n examples; stack: behind its first axis */
Value vmap_where(Emit *e, Value active, Value x, Value y);    /* active bool[n]; x and y [n, ...] */
/* The op itself with these attributes, on these operands. */
void vmap_as(Vmap *v, const Value *in, const int64_t *attr, uint32_t nattr);
/* In a loop over the examples: the op alone; or the op, which counts a size, and all that has such a size. */
void vmap_by_loop(Vmap *v);
void vmap_each(Vmap *v);
/* A graph of the parameters and results of that one; what it gives are zeros. NULL: st. */
Graph *vmap_zeros_like(const VmapRun *run, Loc loc, const Graph *of);
/* Which values of g may differ from example to example; those of the parameters are given, and those of nodes that are done (NULL:
 * none). */
void vmap_reach(const Graph *g, const SizeNeeds *needs, const bool *done, bool *many);

/* Rules that several ops share: those of one axis, which comes first among the attributes; those whose attributes are axes; those
 * that are the same for every element. */
void vmap_axis(Vmap *v);
void vmap_axes(Vmap *v);
void vmap_elements(Vmap *v);

/* ---- for the walk itself */
struct VmapWalk { /* through a graph, in its order but for what vmap_each needs earlier */
    VmapRun *run;
    GraphEmit *to;
    const Graph *from;
    const SizeNeeds *needs; /* NULL: nothing is counted */
    bool *done;             /* per node */
    Value *map;
    bool *many;
};
bool vmap_one(VmapWalk *w, uint32_t node);   /* it for all examples */
bool vmap_is_stack(const Graph *g, Value x); /* of as many steps as a loop finds itself */
/* What is done once for all, or by a loop's rule alone, is refused. */
bool vmap_allows(const VmapRun *run, const Graph *g, const Node *n, const bool *many);

#endif
