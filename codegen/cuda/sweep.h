/* sweep: what the files that print sweeps share. cuda_reduce.c prints sweeps of single threads and what all forms have in common,
 * cuda_team.c those of warps and blocks. Private to them. */
#ifndef KILN_CODEGEN_CUDA_SWEEP_H
#define KILN_CODEGEN_CUDA_SWEEP_H

#include "print.h"

static inline bool sweep_is_arg(const Reduction *r) { return r->kind == R_ARGMAX || r->kind == R_ARGMIN; }
static inline DType sweep_type(const Reduction *r) { return r->type == DT_bool ? DT_u8 : (DType)dtype_info[r->type].compute; }
/* Whether its elements are cut into blocks, whose totals are combined pairwise. */
static inline bool sweep_in_blocks(const Reduction *r) { return !sweep_is_arg(r) && r->order != ORDER_INDEX; }
/* Whether it needs lanes; it does not if its extent, known now, calls for the order of the index. */
bool sweep_by_lanes(const Print *c, const Reduction *r);
const char *sweep_identity(Print *c, const Reduction *r);
const char *sweep_value(Print *c, const Reduction *r); /* the element */

int64_t sweep_block(Print *c, const Stage *s); /* elements of a block of the stage; 0: nothing in it is cut */
void sweep_open_blocks(Print *c, const Stage *s, int64_t block);
void sweep_push_total(Print *c, uint32_t reduction, int64_t block);
void sweep_close_totals(Print *c, const Stage *s, int64_t block);
/* Prints that the element, if it is better, is the best so far. */
void sweep_arg_step(Print *c, uint32_t reduction);
/* Prints how lanes become one value, in the order that the extent asks for. */
void sweep_close_lanes(Print *c, uint32_t reduction, void (*halves)(Print *, uint32_t), void (*in_order)(Print *, uint32_t));
/* A row that lanes keep stays in registers where every index into it is a number. */
void sweep_unroll_rows(Print *c);

void team_sweep(Print *c, const Stage *s); /* of a warp or a block (cuda_team.c) */
/* Parts of it: what lanes hold of a block of TREE_ROW, an element, and how the lanes of a warp become one. */
void team_open_lanes(Print *c, const Stage *s, bool lanes);
void team_element(Print *c, const Stage *s);
void team_halves(Print *c, uint32_t reduction);
void team_arg(Print *c, uint32_t reduction);
/* Prints that `other` at place `at` is the best so far, if it is. */
void team_better(Print *c, uint32_t reduction);

#endif
