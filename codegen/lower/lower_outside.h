/* lower_outside: LOWER_OUTSIDE(name) for each op whose role in ops.def is OUTSIDE, then undefines it. No include guard. */
#define LOWER_SECOND(a, b, ...) b
#define LOWER_PICK(...) LOWER_SECOND(__VA_ARGS__)
#define LOWER_ROLE_OUTSIDE ~, LOWER_OUTSIDE
#define LOWER_NOTHING(name)
#define UNARY(...)
#define BINARY(...)
#define TERNARY(...)
#define OP(name, nin, nout, flags, role, ...) LOWER_PICK(LOWER_ROLE_##role, LOWER_NOTHING, ~)(name)
#include "../../ir/ops.def"
#include "../../ir/ops_undef.h"
#undef LOWER_OUTSIDE
#undef LOWER_SECOND
#undef LOWER_PICK
#undef LOWER_ROLE_OUTSIDE
#undef LOWER_NOTHING
