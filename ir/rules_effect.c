/* rules_effect: result types of effects. What an effect does is the front end's: a record
 * with the number that the first attribute holds. Relies on rules.
 *
 *   print     shows its operands, in order
 *   assert    the first operand is bool; if an element is false, the program stops with an error.
 *             The other operands are what the report is made of.
 *   callback  calls a C function with the operands. For each result the attributes hold dtype,
 *             rank and sizes, one result after the other. */
#include "rules.h"

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

bool infer_callback(Infer *inf)
{
    inf->nout = 0;
    for (uint32_t at = 1; at < inf->nattr; inf->nout++) {
        int64_t dtype = inf->attr[at], rank = at + 1 < inf->nattr ? inf->attr[at + 1] : -1;
        if (inf->nout == MAX_RESULTS)
            return infer_fail(inf, ST_UNSUPPORTED, "more than %d results", MAX_RESULTS);
        if (!dtype_known(dtype) || rank < 0 || rank > MAX_RANK ||
            rank > (int64_t)inf->nattr - at - 2)
            return infer_fail(inf, ST_VALUE, "result %u has no type", inf->nout);
        Type *t = &inf->out[inf->nout];
        *t = (Type){.dtype = (uint8_t)dtype, .rank = (uint8_t)rank};
        memcpy(t->dim, inf->attr + at + 2, (size_t)rank * sizeof *t->dim);
        at += 2 + (uint32_t)rank;
    }
    return true;
}
