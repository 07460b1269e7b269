/* op_effect: effects: print assert callback. What an effect does is the front end's: a record
 * with the number that the first attribute holds. Relies on family.
 *
 *   print     shows its operands, in order
 *   assert    the first operand is bool; if an element is false, the program stops with an error.
 *             The other operands are what the report is made of.
 *   callback  calls a C function with the operands. For each result the attributes hold dtype,
 *             rank and sizes, one result after the other. */
#include "family.h"

bool infer_print(Infer *inf)
{
    inf->nout = 0;
    return true;
}

bool infer_assert(Infer *inf)
{
    inf->nout = 0;
    if (inf->nin == 0) return infer_fail(inf, ST_VALUE, "needs an operand");
    return inf->in[0]->dtype == DT_bool || infer_fail(inf, ST_DTYPE, "the condition must be bool");
}

/* The type that starts at attribute `at`; how many attributes it takes, 0: none is there. */
static uint32_t declared_type(const Infer *inf, uint32_t at, Type *type)
{
    int64_t dtype = inf->attr[at], rank = at + 1 < inf->nattr ? inf->attr[at + 1] : -1;
    if (!dtype_known(dtype) || rank < 0 || rank > MAX_RANK || rank > (int64_t)inf->nattr - at - 2) return 0;
    *type = (Type){.dtype = (uint8_t)dtype, .rank = (uint8_t)rank};
    memcpy(type->dim, inf->attr + at + 2, (size_t)rank * sizeof *type->dim);
    return 2 + (uint32_t)rank;
}

bool infer_callback(Infer *inf)
{
    Type type;
    uint32_t n = 0;
    for (uint32_t at = ATTR_INDEX(callback, results), used; at < inf->nattr; at += used, n++)
        if ((used = declared_type(inf, at, &type)) == 0) return infer_fail(inf, ST_VALUE, "result %u has no type", n);
    if (!rule_room(inf, n)) return false;
    for (uint32_t at = ATTR_INDEX(callback, results), i = 0; i < n; i++) at += declared_type(inf, at, &inf->out[i]);
    return true;
}

/* No gradient flows through an effect, and a callback says so. */
void vjp_callback(Vjp *v)
{
    status_fail(v->st, ST_UNSUPPORTED,
        "callback: no gradient flows through C code (%s:%d); give one with kiln_custom_gradient, "
        "or stop it with kiln_stop_gradient",
        v->node->loc.file ? v->node->loc.file : "?", v->node->loc.line);
}
