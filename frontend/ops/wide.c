/* wide: wide.h. Relies on ops.h. Never knows an operation. */
#include "wide.h"

enum { OPERANDS_MAX = 3 };

/* The operands that are tensors or variables, and the dtype that they promote to. False: recorded. */
static bool tensors_of(
    Thread *t, kiln_site at, const char *op, const kiln_operand *given, int n, WideTakes takes, kiln_tensor **x, DType *d)
{
    char a[160], b[160];
    const kiln_tensor *first = NULL;
    for (int i = 0; i < n; i++) {
        if (operand_is_number(given[i])) continue;
        x[i] = takes == WIDE_FLOATS ? operand_float(t, at, op, given[i]) : operand_named(t, at, op, given[i], NULL);
        if (!tensor_ok(x[i])) return false;
        const DType own = (DType)x[i]->type.dtype;
        if (own == DT_bool) {
            fail(t, at, KILN_EDTYPE, "%s: needs numbers, use kiln_cast: %s", op, tensor_text(x[i], a, sizeof a));
            return false;
        }
        *d = first ? dtype_promote(*d, own) : own;
        if (*d == DT_NONE) {
            fail(t, at, KILN_EDTYPE, "%s: dtypes of different kinds, use kiln_cast: %s x %s", op, tensor_text(first, a, sizeof a),
                tensor_text(x[i], b, sizeof b));
            return false;
        }
        if (!first) first = x[i];
    }
    return first || tensor_ok(operand_named(t, at, op, given[0], NULL)); /* numbers alone: the error */
}

kiln_tensor *wide_composite(kiln_site at, const char *op, const kiln_operand *given, int n, WideTakes takes, WideBody *body)
{
    kiln_tensor *x[OPERANDS_MAX] = {NULL}, *r = NULL;
    kiln_operand o[OPERANDS_MAX];
    DType own = DT_NONE;
    Thread *t = op_thread(given, n);
    if (!t) return NULL;
    if (!tensors_of(t, at, op, given, n, takes, x, &own)) return &t->k->poison;
    Composite s = composite_begin(t, op);
    const Type scalar = {.dtype = dtype_info[own].compute};
    for (int i = 0; i < n; i++)
        o[i] = of(x[i] ? cast_to(t, at, x[i], (DType)scalar.dtype) : number_like(t, at, op, &scalar, given[i]));
    r = body(t, at, o);
    if (tensor_ok(r) && r->type.dtype == scalar.dtype) r = cast_to(t, at, r, own);
    for (int i = 0; i < n; i++) r = result_of(t, at, r, o[i].as.tensor);
    return composite_end(t, &s, r);
}
