/* outside: OUTSIDE(name) for each op of role OUTSIDE or flag ALONE in ops.def, and ROUTINE(name, role) for each that the host has a
 * routine for (if it is not defined: OUTSIDE, too), then undefines both. No include guard. */
#ifndef ROUTINE
#define ROUTINE(name, role) OUTSIDE(name)
#endif
#define OF_CONVOLVE(name) ROUTINE(name, convolve)
#define OF_ATTEND(name) ROUTINE(name, attend)
#define OF_FACTOR(name) ROUTINE(name, factor)
#define OF_SORT(name) ROUTINE(name, sort)
#define SECOND_(a, b, ...) b
#define SECOND(...) SECOND_(__VA_ARGS__)
#define ROLE_IS_OUTSIDE ~, OUTSIDE
#define ROLE_IS_CONVOLVE ~, OF_CONVOLVE
#define ROLE_IS_ATTEND ~, OF_ATTEND
#define ROLE_IS_FACTOR ~, OF_FACTOR
#define ROLE_IS_SORT ~, OF_SORT
#define FLAG_IS_ALONE ~, OUTSIDE
#define NOTHING(name)
#define UNARY(...)
#define BINARY(...)
#define TERNARY(...)
#define OP(name, nin, nout, flags, role, ...) SECOND(ROLE_IS_##role, SECOND(FLAG_IS_##flags, NOTHING, ~), ~)(name)
#include "ops.def"
#include "ops_undef.h"
#undef OUTSIDE
#undef ROUTINE
#undef OF_CONVOLVE
#undef OF_ATTEND
#undef OF_FACTOR
#undef OF_SORT
#undef SECOND_
#undef SECOND
#undef ROLE_IS_OUTSIDE
#undef ROLE_IS_CONVOLVE
#undef ROLE_IS_ATTEND
#undef ROLE_IS_FACTOR
#undef ROLE_IS_SORT
#undef FLAG_IS_ALONE
#undef NOTHING
