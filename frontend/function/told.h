/* told: functions whose number of outputs their bodies find out, and what bodies say in numbers beside their outputs. Numbers are
 * kept with what was traced, so that a call that runs no body has them, too. Rooms above may include this header alone. */
#ifndef KILN_FRONTEND_TOLD_H
#define KILN_FRONTEND_TOLD_H

#include "../engine/engine.h"

/* Of one function, for whoever calls it. All of it must follow from what the function's signature holds. */
typedef struct BodyTold {
    const kiln_function *f;
    int64_t *at; /* n numbers, which the body writes */
    uint32_t n;
} BodyTold;
static inline BodyTold *told_by(const Thread *t, const kiln_function *f) { return t->told && t->told->f == f ? t->told : NULL; }

/* Its number of outputs is open: .outputs is the most that there may be, and its body sets the first few of them. To be said before
 * its first call; nothing may be derived of it. */
void function_open(kiln_function *f);
/* As kiln_call_all_at. Of an open function the outputs that its body did not set are NULL. */
bool function_call_told(
    Thread *t, kiln_site at, kiln_function *f, const kiln_operand *in, int nin, kiln_tensor **out, int nout, BodyTold *told);

#endif
