/* wide: composites of several operands that compute in one type and round once. */
#ifndef KILN_FRONTEND_OPS_WIDE_H
#define KILN_FRONTEND_OPS_WIDE_H

#include "ops.h"

/* x: the operands as tensors of one dtype, in which composites of it compute (f32 for narrower floats); numbers are scalars of it.
 * They are not broadcast. */
typedef kiln_tensor *WideBody(Thread *t, kiln_site at, const kiln_operand *x);
/* FLOATS and NUMBERS say which dtypes the operands may have. The result, of the operands' promoted dtype if it has the dtype of x,
 * is the body's, or poison. */
typedef enum WideTakes { WIDE_FLOATS, WIDE_NUMBERS } WideTakes;
kiln_tensor *wide_composite(kiln_site at, const char *op, const kiln_operand *given, int n, WideTakes takes, WideBody *body);

/* Within bodies: operations on operands that give operands. */
#define NUMBER(v) kiln_of_f(v)
#define OP1(name, x) of(kiln_##name##_at(at, x))
#define OP2(name, x, y) of(kiln_##name##_at(at, x, y))
#define PICK(condition, x, y) of(kiln_where_at(at, condition, x, y))

#endif
