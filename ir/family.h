/* family: what the files of the families of ops share: ir/op_NAME.c, in which all that ir knows of a few structured ops stands side
 * by side. As their rows of ops.def say: infer_NAME, the result types; vjp_NAME, the gradient; vmap_NAME, how it works on many
 * examples; fold_NAME, what a node is worth without running it; map_NAME, where operands are demanded inside a kernel. infer_types
 * has checked the operand count and the attributes' number and kinds before infer_NAME runs, and checks the results' sizes after
 * it. Private to op*.c, infer.c and fold.c. */
#ifndef KILN_IR_FAMILY_H
#define KILN_IR_FAMILY_H

#include "emit.h"
#include "fold.h"
#include "index.h"
#include "infer.h"
#include "vmap.h"

#define UNARY(...)
#define BINARY(...)
#define TERNARY(...)
#define OP(name, nin, nout, flags, role, vjp, vmap, fold, map, attrs) \
    bool infer_##name(Infer *);                                       \
    void vjp_##vjp(Vjp *);                                            \
    void vmap_##vmap(Vmap *);                                         \
    Value fold_##fold(const Folding *);                               \
    bool map_##map(const Mapping *);
#include "ops.def"
#include "ops_undef.h"
bool infer_elementwise(Infer *inf); /* of the ops whose rows hold the rest */
Value fold_elementwise(const Folding *f);

/* ---- for inference */

static inline DimTable *rule_dims(const Infer *inf) { return inf->module ? &inf->module->dims : NULL; }

/* Each fails with its own text. */
bool rule_axis(Infer *inf, int64_t axis, uint32_t rank);
bool rule_axes(Infer *inf, uint32_t rank);                   /* all attributes: axes, strictly ascending */
bool rule_domain(Infer *inf, uint32_t operand, char domain); /* a letter of ops.def */
bool rule_scalar(Infer *inf, DType t, int64_t v);            /* attribute v is an element of t */
/* The attributes from number `first` on as a shape of dtype t. */
bool rule_shape(Infer *inf, uint32_t first, DType t, Type *out);

bool rule_room(Infer *inf, uint32_t n);                      /* n results, to be filled in; more than FEW_RESULTS only in a graph */
static inline bool rule_result(Infer *inf, const Type *type) /* one result; always true */
{
    inf->out[0] = *type;
    inf->nout = 1;
    return true;
}

/* Copies of a shape without, or with, some axes. */
static inline void shape_push(Type *t, Dim d) { t->dim[t->rank++] = d; }

/* ---- for index maps */

static inline const Type *mapped_result(const Mapping *p) { return graph_type(p->g, p->n->out); }
static inline const Type *mapped_operand(const Mapping *p, uint32_t k) { return graph_type(p->g, p->n->in[k]); }
static inline void map_push(IndexMap *m, Dim dim, const IndexExpr *e)
{
    m->dim[m->rank] = dim;
    m->at[m->rank++] = *e;
}
static inline bool map_guard(const Mapping *p, const IndexExpr *e, Dim size) /* only where 0 <= e < size */
{
    const IndexWithin within = index_within(p->env, e, size);
    p->out->outside |= within == WITHIN_NEVER;
    if (within != WITHIN_MAYBE) return true;
    if (p->out->nguard == INDEX_GUARDS) return false;
    p->out->guard[p->out->nguard++] = (IndexGuard){*e, size};
    return true;
}

#endif
