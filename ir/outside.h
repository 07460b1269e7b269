/* outside: OUTSIDE(name) for each op of role OUTSIDE or flag ALONE in ops.def, then undefines it. No include guard. */
#define SECOND_(a, b, ...) b
#define SECOND(...) SECOND_(__VA_ARGS__)
#define ROLE_IS_OUTSIDE ~, OUTSIDE
#define FLAG_IS_ALONE ~, OUTSIDE
#define NOTHING(name)
#define UNARY(...)
#define BINARY(...)
#define TERNARY(...)
#define OP(name, nin, nout, flags, role, ...) SECOND(ROLE_IS_##role, SECOND(FLAG_IS_##flags, NOTHING, ~), ~)(name)
#include "ops.def"
#include "ops_undef.h"
#undef OUTSIDE
#undef SECOND_
#undef SECOND
#undef ROLE_IS_OUTSIDE
#undef FLAG_IS_ALONE
#undef NOTHING
