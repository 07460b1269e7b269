/* outside: OUTSIDE(name) for each op whose role in ops.def is OUTSIDE, then undefines it. No include guard. */
#define SECOND_(a, b, ...) b
#define SECOND(...) SECOND_(__VA_ARGS__)
#define ROLE_IS_OUTSIDE ~, OUTSIDE
#define NOTHING(name)
#define UNARY(...)
#define BINARY(...)
#define TERNARY(...)
#define OP(name, nin, nout, flags, role, ...) SECOND(ROLE_IS_##role, NOTHING, ~)(name)
#include "ops.def"
#include "ops_undef.h"
#undef OUTSIDE
#undef SECOND_
#undef SECOND
#undef ROLE_IS_OUTSIDE
#undef NOTHING
