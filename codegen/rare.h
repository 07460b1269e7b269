/* rare: which instructions of a kernel are needed only where a condition holds that seldom does (P_rare of ir/scalar.def), so that
 * emitters may branch around them. Leaving them out changes no bit: what they compute is not chosen. Relies on kernel.h. Stateless:
 * the module that compiles has a copy. */
#ifndef KILN_CODEGEN_RARE_H
#define KILN_CODEGEN_RARE_H

#include "kernel.h"

typedef struct Rare {
    uint32_t *under; /* per instruction: 1 + the P_rare instruction without which nobody needs it; 0: it is always needed */
    uint32_t *at; /* per P_rare instruction: 1 + the select before which what is under it must be there; 0: nothing is under it */
} Rare;

/* What is under a condition is a primitive of its stage, sweeps and has lanes as the condition does, and uses nothing that comes
 * after its select but what is under it, too, and constants. */
Rare rare_find(Arena *a, const Kernel *k);
/* Whether something outside, one of its selects, uses instruction i, which is under one. */
bool rare_leaves(const Kernel *k, const Rare *r, uint32_t i);

#endif
