/* counted: results of sizes that nodes count (set_size). Code is given memory for the most that they may have and says in further
 * results, which stand behind the outputs, how much it is. Relies on function.h. Never runs code. */
#include "function.h"

/* The values of all symbols, by their places in the table of sizes. NULL: recorded. */
static const int64_t *values(Thread *t, kiln_site at, const Instance *inst, const Call *c)
{
    const Program *p = c->code->program;
    const Traced *traced = &inst->traced;
    int64_t *value = SCRATCH(t, at, int64_t, p->module->dims.expr.len);
    for (uint32_t i = 0; value && i < p->symbol.len; i++) value[-1 - p->symbol.at[i]] = c->dim[i];
    for (uint32_t i = 0; value && i < traced->ncount; i++)
        if (!tensor_read(t, at, c->result[traced->noutput + i], &value[-1 - traced->count[i]])) return NULL;
    return value;
}

/* The first elements of x's memory as a tensor of that type. Where much of it would lie idle, they move to memory of their own. */
static kiln_tensor *cut(Thread *t, kiln_site at, const kiln_function *f, kiln_tensor *x, const Type *type)
{
    kiln_tensor *part = tensor_of_buffer(t, at, type, buffer_retain(x->buffer));
    const bool idle = part && type_count(type) < type_count(&x->type) / 2;
    kiln_tensor *own = idle ? tensor_result(t, at, type, f->name, x->device) : part;
    Status st = {0};
    if (own && idle) tensor_pack(t, part, own, &st);
    if (st.code) fail_status(t, at, &st);
    if (idle) {
        scope_unlink(part);
        tensor_drop(part);
    }
    if (!own || st.code) return NULL;
    scope_unlink(x);
    tensor_drop(x);
    return own;
}

bool counts_settle(Thread *t, kiln_site at, const kiln_function *f, const Instance *inst, Call *c)
{
    const DimTable *dims = &inst->traced.module->dims;
    const int64_t *value = values(t, at, inst, c);
    for (uint32_t i = 0; value && i < inst->traced.noutput; i++) {
        Type type = inst->result[i];
        bool counted = false;
        for (uint32_t d = 0; d < type.rank; d++) {
            counted |= dim_is_counted(dims, type.dim[d]);
            if (type.dim[d] < 0) type.dim[d] = dim_eval(dims, type.dim[d], value);
        }
        if (counted && !(c->result[i] = cut(t, at, f, c->result[i], &type))) return false;
    }
    return value;
}
