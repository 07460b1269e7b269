/* told: see told.h. */
#include "function.h"

void function_open(kiln_function *f) { f->open = true; }

void told_again(const Thread *t, const kiln_function *f, const Traced *traced, kiln_tensor **results)
{
    memset(results, 0, (size_t)f->options.outputs * sizeof *results);
    if (traced->told && told_by(t, f)) memcpy(t->told->at, traced->told, traced->ntold * sizeof *traced->told);
}

bool function_call_told(
    Thread *t, kiln_site at, kiln_function *f, const kiln_operand *in, int nin, kiln_tensor **out, int nout, BodyTold *told)
{
    BodyTold *outer = t->told;
    t->told = told;
    const bool ok = kiln_call_all_at(at, f, in, nin, out, nout);
    t->told = outer;
    return ok;
}
