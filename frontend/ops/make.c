/* make: tensors filled with one number or with indices. engine/tensor.c makes those of the user's memory. */
#include "ops.h"

kiln_tensor *kiln_full_at(kiln_site at, kiln *k, kiln_dtype d, kiln_shape s, kiln_operand number)
{
    Thread *t = thread_of(k);
    Type type;
    if (!t || !type_from_shape(t, at, "full", d, &s, &type)) return t ? &k->poison : NULL;
    if (!operand_is_number(number))
        return fail(t, at, KILN_EVALUE, "full: the value must be a number; kiln_broadcast repeats a tensor");
    return number_like(t, at, "full", &type, number);
}

kiln_tensor *kiln_iota_at(kiln_site at, kiln *k, kiln_dtype d, kiln_shape s, int axis)
{
    Thread *t = thread_of(k);
    Type type;
    if (!t || !type_from_shape(t, at, "iota", d, &s, &type)) return t ? &k->poison : NULL;
    if (!axis_of(t, at, "iota", axis, type.rank, &axis)) return &k->poison;
    return iota_of(t, at, &type, axis, NULL);
}
