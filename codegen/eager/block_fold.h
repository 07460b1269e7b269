/* block_fold: reductions of a block, in the orders that kernel.h states (ir/tree.h). Relies on block.h. */
#ifndef KILN_CODEGEN_EAGER_BLOCK_FOLD_H
#define KILN_CODEGEN_EAGER_BLOCK_FOLD_H

#include "block.h"

#include "../../ir/tree.h"

bool fold_by_lanes(const Reduction *r, int64_t extent); /* in row form, when so many elements are folded */
int64_t fold_bytes(const BlockRun *run);                /* per reduction, in Task.fold */
void fold_begin(Task *t, uint32_t reduction);
void fold_row(Task *t, uint32_t reduction, int64_t r);   /* folds the value at row r into the lanes' totals */
void fold_lanes(Task *t, uint32_t reduction, int64_t r); /* folds the lanes' values, in order, into row r's total */
/* Whether all reductions of the stage read what lies side by side in memory; fold_block then reads all rows of the block there. */
bool fold_direct(const Task *t, const Stage *s);
void fold_block(Task *t, uint32_t reduction);
void fold_end(Task *t, uint32_t reduction, int64_t r); /* makes the total an operand; r: the row if the lanes sweep */
const char *fold_result(const Task *t, uint32_t reduction);

#endif
