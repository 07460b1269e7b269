/* special: functions that the C library has not, in long double, from their textbook series and not from the rows of
 * ir/math_rows.def: what the reference interpreter and the tests of those rows judge by. Good to some units in the last place of
 * long double. */
#ifndef KILN_CODEGEN_REF_SPECIAL_H
#define KILN_CODEGEN_REF_SPECIAL_H

#include "../../ir/op.h"

/* The derivative of log gamma (digamma, order 0), and its derivatives, of order 1 and 2. Of a whole number from 0 down: infinite,
 * or NaN where the signs of its sides differ, but for digamma and order 2 of a zero, which has a sign. */
long double special_psi(int order, long double x);
/* The inverse of erf. */
long double special_erfinv(long double x);
/* The modified Bessel functions of the first kind of order 0 and 1, and the derivative of the latter; infinite beyond 800. */
long double special_i0(long double x);
long double special_i1(long double x);
long double special_i1_slope(long double x);

/* Elementwise ops of one and of two operands whose second meaning lies in ref_special.c; NaN if it does not. */
double special_unary(Op op, double x);
double special_binary(Op op, double x, double y);
double special_hypot_slope(double x, double y);
/* Whether the op is computed by the rows of math_rows.def, and by how much it may err beside some ulps of its value, where it has
 * zeros. */
bool special_rows(Op op);
bool special_poles(Op op); /* whether it has poles at whole numbers from 0 down */
double special_error(Op op, double x);

#endif
