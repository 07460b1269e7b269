/* integer: integers and bool of the reference interpreter, each in its own width. Relies on dtype, op. */
#ifndef KILN_CODEGEN_REF_INTEGER_H
#define KILN_CODEGEN_REF_INTEGER_H

#include "../../ir/op.h"

/* x op y in t (unary: y ignored), held sign- or zero-extended, u64 as its bits. False: op is not for integers. */
bool integer_element(Op op, DType t, int64_t x, int64_t y, int64_t *out);
bool integer_less(DType t, int64_t x, int64_t y);
int64_t integer_of_float(DType t, double v); /* truncates, saturates, NaN gives 0; bool: v != 0 */

#endif
