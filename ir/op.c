/* op: the table of what each op is, expanded from ops.def: values, gradients, then the rows that
 * point at them. Relies on op.h and the token headers. Never knows what a rule does. */
#include "family.h"

#include <math.h>

/* Not every row has every column. */
#define COLUMN(type, name) static const __attribute__((unused)) type name[]

/* ---- values: scalar algebra -------------------------------------------------------------- */
#include "scalar_tok.h"
/* clang-format off */
#define NONE { P_NONE, DT_NONE, 0, 0 }
#define END_ { P_END, DT_NONE, 0, 0 }
/* clang-format on */
#define VALUES(name) COLUMN(ScalarTok, name)
#define UNARY(name, domain, result, f, i, gx) \
    VALUES(f_##name) = {f, END_};             \
    VALUES(i_##name) = {i, END_};
#define BINARY(name, flags, domain, result, f, i, gx, gy) \
    VALUES(f_##name) = {f, END_};                         \
    VALUES(i_##name) = {i, END_};
#define TERNARY(name, domain, value, gx, gy, gz) VALUES(f_##name) = {value, END_};
#define OP(...)
#include "ops.def"
#undef UNARY
#undef BINARY
#undef TERNARY
#undef END_
#include "scalar_undef.h"

/* ---- gradients: graph ops ---------------------------------------------------------------- */
#include "grad_tok.h"
/* clang-format off */
#define END_ { GK_END, 0, 0 }
/* clang-format on */
#define GRAD(name) COLUMN(GradTok, name)
#define UNARY(name, domain, result, f, i, gx) GRAD(gx_##name) = {gx, END_};
#define BINARY(name, flags, domain, result, f, i, gx, gy) \
    GRAD(gx_##name) = {gx, END_};                         \
    GRAD(gy_##name) = {gy, END_};
#define TERNARY(name, domain, value, gx, gy, gz) \
    GRAD(gx_##name) = {gx, END_};                \
    GRAD(gy_##name) = {gy, END_};                \
    GRAD(gz_##name) = {gz, END_};
#include "ops.def"
#include "ops_undef.h"
#undef GRAD
#undef END_
#include "scalar_undef.h"

/* ---- the rows ---------------------------------------------------------------------------- */

/* NULL where a column says NONE: IS_NONE makes the second argument NULL, anything else leaves the
 * array there. */
#define IS_NONE ~, NULL
#define SECOND_(a, b, ...) b
#define SECOND(...) SECOND_(__VA_ARGS__, ~)
#define UNLESS_NONE(column, array) SECOND(IS_##column, array)

enum { OPF_0 = 0, OPF_ALONE = 0, RESULT_T = 0, RESULT_B = OPF_TO_BOOL };
#define vjp_0 NULL /* no rule */
#define vmap_0 NULL
#define fold_0 NULL
#define map_0 NULL

/* Attributes as letters. */
#define INT(name) "i"
#define INT_PAIR(name) "ii"
#define INT_TRIPLE(name) "iii"
#define DIM(name) "d"
#define SCALAR(name) "v"
#define DTYPE(name) "t"
#define GRAPH(name) "g"
#define INTS(name) "I"
#define DIMS(name) "D"
#define DIM_ROWS(...) "D"
#define GRAPHS(name) "G"
#define OPTION(name) "?"
#define DTYPE_OPTION(name) "T"

/* clang-format off */
const OpDef op_def[OP_COUNT] = {
    [OP_none] = {.name = "none"},
#define UNARY(n, d, result, f, i, gx)                                                                             \
    [OP_##n] = {.name = #n, .nin = 1, .nout = 1, .role = ROLE_COMPUTE, .flags = OPF_ELEMENTWISE | RESULT_##result, .domain = #d[0],       \
                .value_f = UNLESS_NONE(f, f_##n), .value_i = UNLESS_NONE(i, i_##n), .grad = {UNLESS_NONE(gx, gx_##n)}, \
                .attrs = ""},
#define BINARY(n, flag, d, result, f, i, gx, gy)                                                                  \
    [OP_##n] = {.name = #n, .nin = 2, .nout = 1, .role = ROLE_COMPUTE, .flags = OPF_ELEMENTWISE | OPF_##flag | RESULT_##result,          \
                .domain = #d[0], .value_f = UNLESS_NONE(f, f_##n), .value_i = UNLESS_NONE(i, i_##n),                  \
                .grad = {UNLESS_NONE(gx, gx_##n), UNLESS_NONE(gy, gy_##n)}, .attrs = ""},
#define TERNARY(n, d, value, gx, gy, gz)                                                                          \
    [OP_##n] = {.name = #n, .nin = 3, .nout = 1, .role = ROLE_COMPUTE, .flags = OPF_ELEMENTWISE, .domain = #d[0], .value_f = f_##n,       \
                .value_i = f_##n, .attrs = "",                                                                        \
                .grad = {UNLESS_NONE(gx, gx_##n), UNLESS_NONE(gy, gy_##n), UNLESS_NONE(gz, gz_##n)}},
#define OP(n, in, out, flag, r, v, many, f, m, schema)                                                          \
    [OP_##n] = {.name = #n, .nin = in, .nout = out, .flags = OPF_##flag, .role = ROLE_##r, .attrs = "" schema,     \
                .infer = infer_##n, .vjp = vjp_##v, .vmap = vmap_##many, .fold = fold_##f, .map = map_##m},
/* clang-format on */
#include "ops.def"
};

Op op_parse(const char *name, size_t len)
{
    for (int op = OP_none + 1; op < OP_COUNT; op++)
        if (strlen(op_def[op].name) == len && memcmp(op_def[op].name, name, len) == 0) return (Op)op;
    return OP_none;
}

bool domain_has(char domain, DType t)
{
    if (t == DT_NONE || t >= DT_COUNT) return false;
    switch (domain) {
    case 'N': return t != DT_bool;
    case 'F': return dtype_is_float(t);
    case 'I': return dtype_is_int(t);
    case 'L': return dtype_is_int(t) || t == DT_bool;
    case 'B': return t == DT_bool;
    default: return true; /* A, and structured ops, whose rules decide */
    }
}
