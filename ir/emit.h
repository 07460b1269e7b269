/* emit: the one narrow door through which gradient rules make ops. graph.c implements it by
 * appending to a graph, the front end by running the op (eager) or tracing it. A Value here is
 * whatever the implementation's handles are. Relies on graph. */
#ifndef KILN_IR_EMIT_H
#define KILN_IR_EMIT_H

#include "graph.h"

typedef struct Emit {
    /* One op; first result, 0 after a failure (which the implementation has recorded; later
     * calls may then get 0 operands and must return 0). */
    Value (*op)(struct Emit *e, Op op, const Value *in, uint32_t nin, const int64_t *attr, uint32_t nattr);
    const Type *(*type)(struct Emit *e, Value v);
    Module *module; /* for dims; NULL in eager code */
    Loc loc;        /* given to what is made */
} Emit;

/* An Emit that appends to g. */
typedef struct GraphEmit {
    Emit e;
    Graph *g;
    Status *st;
} GraphEmit;
void graph_emit_init(GraphEmit *ge, Graph *g, Status *st);

/* Short forms for rules; each returns 0 if an operand is 0. */
Value emit1(Emit *e, Op op, Value a);
Value emit2(Emit *e, Op op, Value a, Value b);
Value emit3(Emit *e, Op op, Value a, Value b, Value c);
Value emit_attr(Emit *e, Op op, Value a, const int64_t *attr, uint32_t nattr);
Value emit_constant(Emit *e, double v, const Type *like);  /* splat of like's dtype and shape */
Value emit_iota(Emit *e, const Type *like, int64_t axis);  /* the place along the axis, i64 of like's shape */
Value emit_extent(Emit *e, Dim d);                         /* a size, i64[] */
Value emit_reshape(Emit *e, Value a, const Type *shape);   /* only shape->rank, dim are read; a itself if equal */
Value emit_broadcast(Emit *e, Value a, const Type *shape); /* a itself if equal */
Value emit_sum_to(Emit *e, Value a, const Type *shape);    /* adjoint of broadcast: sums a down to shape */
Value emit_transpose(Emit *e, Value a, const int64_t *perm, uint32_t n);
Value emit_swap_last(Emit *e, Value a);      /* transpose of the last two axes */
Value emit_cast(Emit *e, Value a, DType to); /* a itself if equal */
/* cast to the type that its dtype computes in: f32 for 16-bit floats */
Value emit_wide(Emit *e, Value a);
Value emit_reduce(Emit *e, Op op, Value a, const int64_t *axes, uint32_t n);
Value emit_slice(Emit *e, Value a, uint32_t axis, Dim first, Dim size);          /* along one axis, step 1 */
Value emit_pad(Emit *e, Value a, uint32_t axis, Dim low, Dim high, double fill); /* along one axis */

/* The dim table of e: NULL in eager code. */
static inline DimTable *emit_dims(const Emit *e) { return e->module ? &e->module->dims : NULL; }

/* What a vjp rule sees. dx[i] starts 0 (no gradient); the rule sets what flows. g[j] may be 0:
 * nothing arrives at result j. */
typedef struct Vjp {
    Emit *e;
    const Node *node;
    const Graph *graph;    /* the node's */
    const Value *in, *out; /* operands and results, as handles of e */
    const Value *g;        /* cotangent per result */
    const bool *wanted;    /* per operand: somebody asks */
    Value *dx;             /* per operand */
    const Value *sum;      /* of a region: per operand, its cotangent so far, 0 for none */
    /* per operand, starts false; a rule sets it if dx already includes sum, because it added to sum step by step, as code without
     * the region would have */
    bool *total;
    Status *st;
    void *user;                     /* the caller of the walk, for `foreign` */
    void (*foreign)(struct Vjp *v); /* the rule of `call` and `custom`, which belong to the front end; NULL: an error */
    /* The reverse walk itself, for the bodies of regions (it lies above ir): appends to g
     * through e the cotangents of x, given those of y. dx gets 0 where nothing flows. */
    bool (*walk)(struct Vjp *v, Emit *e, const Graph *g, const Value *y, const Value *seed, uint32_t ny, const Value *x,
        uint32_t nx, Value *dx);
} Vjp;

/* The gradient of one node by its table row or rule; false if an elementwise column or rule
 * failed (st). */
bool vjp_node(Vjp *v);

#endif
