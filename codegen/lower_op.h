/* lower_op: one op alone as a program, for eager code. What is lowered is a key: it says all that the lowering may look at, so that
 * calls of equal keys share one program. Sizes and strides are not in it, but for 0 and 1: they are run-time dims, which a call
 * brings with it. Relies on program, view. Never runs anything. */
#ifndef KILN_CODEGEN_LOWER_OP_H
#define KILN_CODEGEN_LOWER_OP_H

#include "program.h"
#include "view.h"

/* word: op; how many operands and attributes; per operand its dtype, its rank and whether it is strided, its sizes, and its strides
 * if it is; the attributes. A size or stride is the number 0 or 1, or -1 - (16 * n + c): value n of the call, of class c. */
typedef struct OpKey {
    uint32_t words, values;
    size_t room;           /* of either: op_key_room of the call */
    uint8_t sums;          /* Target.sums of its program; the last word says both, if they are not the usual, but not op_key's */
    bool blas;             /* Target.blas of its program */
    int64_t *word, *value; /* value: what the program's symbols are in this call, in their order; no part of the key */
} OpKey;

size_t op_key_room(const View *in, uint32_t nin, uint32_t nattr); /* as many there are at most, of either */
/* word and value have that room. exact: sizes are in the key as they are, for ops whose sizes hang together by more than being
 * equal. */
void op_key(OpKey *key, Op op, const View *in, uint32_t nin, const int64_t *attr, uint32_t nattr, bool exact);
/* The op as a graph of its own, whose parameters' strides are lost, and as a program for a target that runs it as it is, which
 * reads them. NULL: st. */
Module *op_module(Arena *arena, const int64_t *word, Status *st);
Program *op_program(Arena *arena, const int64_t *word, const Target *target, Status *st);

#endif
