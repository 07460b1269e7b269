/* scope: the stack of scopes of a thread, as the rest of the front end opens and closes it. */
#ifndef KILN_FRONTEND_SCOPE_H
#define KILN_FRONTEND_SCOPE_H

#include "internal.h"

bool scope_push(Thread *t);                 /* false: no memory (not recorded) */
void scope_pop(Thread *t);                  /* the innermost: tapes, locals, tensors go */
/* Ends the KILN_EAGERLY blocks that are open and were opened since t->next_uid, or the last scope's id, was that (0: none were): `what` ends inside them. False:
 * there were some, recorded. Comes before anything is done with the trace. */
bool eagerly_ended(Thread *t, kiln_site at, const char *what, uint64_t since);
void scope_link(Thread *t, kiln_tensor *x, uint32_t scope);
void scope_unlink(kiln_tensor *x);
void scope_move_out(Thread *t, kiln_tensor *x); /* one scope out */
void tensor_slabs_free(Thread *t);
void local_free(Thread *t, kiln_variable *v);
void variables_free_all(kiln *k);   /* locals of open scopes lose their values and go with their scopes */
void variables_free_freed(kiln *k); /* last of all: the handles of those that were freed */

#endif
