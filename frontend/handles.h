/* handles: arrays of a call whose length a caller chose, from the thread's scratch: none of them lies on the C stack. Included by internal.h. */
#ifndef KILN_FRONTEND_HANDLES_H
#define KILN_FRONTEND_HANDLES_H

#include "internal.h"

/* n of T that stay until the mark taken before is reset (scratch.h). NULL: recorded. */
static inline void *thread_scratch(Thread *t, kiln_site at, size_t n, size_t size)
{
    void *p = scratch_take(&t->scratch, n, size);
    if (UNLIKELY(!p)) fail(t, at, KILN_EMEMORY, "no memory for %zu handles of %zu bytes", n, size);
    return p;
}

/* tensor_empty for a result of function `of`, for the text of an error; NULL: of no function. */
kiln_tensor *tensor_result(Thread *t, kiln_site at, const Type *type, const char *of);

#define SCRATCH(t, at, T, n) ((T *)thread_scratch((t), (at), (size_t)(n), sizeof(T)))

/* Who keeps a pointer to a variable that may be freed (kiln_variable.pins). */
static inline void variable_pin(kiln_variable *v) { __atomic_add_fetch(&v->pins, 1, __ATOMIC_RELAXED); }
static inline void variable_unpin(kiln_variable *v) { __atomic_sub_fetch(&v->pins, 1, __ATOMIC_RELAXED); }

#endif
