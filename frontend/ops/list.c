/* list: several operands given as one list, which may mix tensors, variables and numbers. Calls that take such a list are with the
 * operations that they call. */
#include "ops.h"

kiln_operand operands_get(kiln_operands l, int i)
{
    if (l.kind == 1) return kiln_of_tensor(((kiln_tensor *const *)l.at)[i]);
    if (l.kind == 2) return kiln_of_variable(((kiln_variable *const *)l.at)[i]);
    return ((const kiln_operand *)l.at)[i];
}

Thread *operands_of_thread(kiln_operands l)
{
    for (int i = 0; l.at && i < l.count; i++) {
        kiln_operand o = operands_get(l, i);
        Thread *t = operands_thread(&o, 1);
        if (t) return t;
    }
    return thread_last();
}

/* ---- as an array ------------------------------------------------------------------------------------------------------ */
bool operand_array_open(Thread *t, kiln_site at, const char *what, kiln_operands l, OperandArray *a)
{
    const size_t n = (size_t)(l.count > 0 ? l.count : 0);
    a->many = NULL;
    a->at = l.at;
    if (l.count < 0 || (!l.at && n)) {
        fail(t, at, KILN_EVALUE, "%s: the list of operands is NULL, or its count is negative", what);
        return false;
    }
    if (l.kind == 0) return true;
    if (n > COUNT_OF(a->few) && !(a->many = mem_alloc(n * sizeof *a->many))) {
        fail(t, at, KILN_EMEMORY, "%s: no memory for %d operands", what, l.count);
        return false;
    }
    kiln_operand *to = a->many ? a->many : a->few;
    for (size_t i = 0; i < n; i++) to[i] = operands_get(l, (int)i);
    a->at = to;
    return true;
}

void operand_array_close(OperandArray *a, kiln_operands l)
{
    if (a->many) mem_free(a->many, (size_t)l.count * sizeof *a->many);
}

/* ---- what takes tensors ------------------------------------------------------------------------------------------------ */
/* Makes a tensor of a number as kiln_local does. */
static kiln_tensor *listed(Thread *t, kiln_site at, const char *what, kiln_operand o, bool numbers)
{
    Type own = {.dtype = o.kind == 6 ? DT_bool : DT_i64};
    if (numbers && o.kind == 3)
        return fail(t, at, KILN_EDTYPE, "%s: %g is a C double, which could be f32 or f64 here: kiln_scalar(k, KILN_F32, %g)", what,
            o.as.f, o.as.f);
    return operand_named(t, at, what, o, numbers ? &own : NULL);
}

kiln_tensor **list_tensors(Thread *t, kiln_site at, const char *what, kiln_operands l, bool numbers)
{
    if (l.count < 0 || (!l.at && l.count)) {
        fail(t, at, KILN_EVALUE, "%s: the list of operands is NULL, or its count is negative", what);
        return NULL;
    }
    kiln_tensor **x = SCRATCH(t, at, kiln_tensor *, (size_t)l.count + 1);
    for (int i = 0; x && i < l.count; i++)
        if (!tensor_ok(x[i] = listed(t, at, what, operands_get(l, i), numbers))) return NULL;
    return x;
}
