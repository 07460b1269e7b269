/* integer: the reference interpreter's integers and bool, each in its own width. Relies on dtype, op. */
#ifndef KILN_CODEGEN_REF_INTEGER_H
#define KILN_CODEGEN_REF_INTEGER_H

#include "../../ir/op.h"

/* Computes x op y in t (unary ops ignore y). Values are held sign- or zero-extended, u64 as its bits. False: op does not apply to
 * integers. */
bool integer_element(Op op, DType t, int64_t x, int64_t y, int64_t *out);
bool integer_less(DType t, int64_t x, int64_t y);
int64_t integer_of_float(DType t, double v); /* truncates, saturates, NaN gives 0; bool: v != 0 */

#endif
