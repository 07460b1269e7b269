/* lower_op: one op alone as a program, for eager code. What is lowered is a key: it says all that the lowering may look at, so that
 * calls of equal keys share one program. Sizes and strides are not in it, but for 0 and 1: they are run-time dims, which a call
 * brings with it. Relies on program, eager. Never runs anything. */
#ifndef KILN_CODEGEN_LOWER_OP_H
#define KILN_CODEGEN_LOWER_OP_H

#include "eager.h"
#include "program.h"

#define OP_KEY_OPERANDS 3
#define OP_KEY_ATTRS 12
#define OP_KEY_WORDS (2 + OP_KEY_OPERANDS * (1 + 2 * MAX_RANK) + OP_KEY_ATTRS)
#define OP_KEY_VALUES (OP_KEY_OPERANDS * 2 * MAX_RANK + OP_KEY_ATTRS)

/* word: op; operands and attributes; per operand its dtype, its rank and whether it is strided, its sizes, and its strides if it
 * is; the attributes. A size or stride is the number 0 or 1, or -1 - (16 * n + c): value n of the call, of class c. */
typedef struct OpKey {
    uint32_t words, values;
    int64_t word[OP_KEY_WORDS];
    int64_t value[OP_KEY_VALUES]; /* what the program's symbols are in this call, in their order; no part of the key */
} OpKey;

/* exact: sizes are in the key as they are, for ops whose sizes hang together by more than being equal. False: too many operands. */
bool op_key(OpKey *key, Op op, const View *in, uint32_t nin, const int64_t *attr, uint32_t nattr, bool exact);
Program *op_program(Arena *arena, const int64_t *word, Status *st); /* NULL: st */

#endif
