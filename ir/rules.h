/* rules: what the inference rules of structured ops share (rules_*.c). infer_types has checked the
 * operand count and the attributes' number and kinds before a rule runs, and checks the results'
 * sizes after it. Relies on infer. */
#ifndef KILN_IR_RULES_H
#define KILN_IR_RULES_H

#include "infer.h"

static inline DimTable *rule_dims(const Infer *inf)
{
    return inf->module != NULL ? &inf->module->dims : NULL;
}

/* Each fails with its own text. */
bool rule_axis(Infer *inf, int64_t axis, uint32_t rank);
bool rule_axes(Infer *inf, uint32_t rank); /* all attributes: axes, strictly ascending */
bool rule_domain(Infer *inf, uint32_t operand, char domain); /* a letter of ops.def: N F I */
bool rule_scalar(Infer *inf, DType t, int64_t v);            /* attribute v is an element of t */
/* The attributes from number `first` on as a shape of dtype t. */
bool rule_shape(Infer *inf, uint32_t first, DType t, Type *out);

bool rule_room(Infer *inf, uint32_t n); /* n results, to be filled in; more than FEW_RESULTS only in a graph */
static inline bool rule_result(Infer *inf, const Type *type) /* one result; always true */
{
    inf->out[0] = *type;
    inf->nout = 1;
    return true;
}

/* Copies of a shape without, or with, some axes. */
static inline void shape_push(Type *t, Dim d) { t->dim[t->rank++] = d; }

#endif
