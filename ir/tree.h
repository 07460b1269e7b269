/* tree: the order in which reductions and products combine elements (docs/numerics.md, Order), in numbers. Elements are cut into
 * blocks, a block gives one total, and totals are combined pairwise: of more than one block, the first 2^p (the largest power of
 * two below their number) make one subtree, the rest the other. Eager code, LLVM, CUDA and the passes that cut folds into pieces
 * all take the order from here. Combining a whole subtree elsewhere, or padding behind the last element with the identity, changes
 * no bit.
 *
 * A loop over the blocks gets the same tree from a binary counter: level[l] holds the total of 2^l blocks where bit l of the number
 * of blocks done is set. When block i is done, its total takes level[0], level[1], ... as long as the bits of i are set, always as
 * second operand, and goes to the next level; at the end the levels that are left are taken from the lowest up. */
#ifndef KILN_IR_TREE_H
#define KILN_IR_TREE_H

#include "../runtime/base.h"

#define TREE_LANES 32                /* of a block in row form; rows shorter than this are folded as columns are */
#define TREE_ROW 1024                /* elements of a block in row form */
#define TREE_CHAIN 64                /* elements of a block of all other folds: one after the other, from the identity */
#define TREE_PRODUCT 128             /* of k in one chain of a product */
#define TREE_RUN (64 * TREE_PRODUCT) /* of k whose chains' totals are added in order: a block of the product's tree */
#define TREE_LEVELS 56               /* of a counter, whatever the size */

/* How many of that many blocks, which are at least two, make the first subtree. */
static inline int64_t tree_left(int64_t blocks) { return (int64_t)1 << (63 - __builtin_clzll((uint64_t)blocks - 1)); }

/* Levels of a counter of that many blocks. */
static inline uint32_t tree_levels(int64_t blocks) { return blocks <= 0 ? 0 : 64u - (uint32_t)__builtin_clzll((uint64_t)blocks); }

static inline int64_t tree_blocks(int64_t elements, int64_t block) { return elements / block + (elements % block != 0); }

#endif
