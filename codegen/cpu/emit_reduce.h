/* emit_reduce: what its three files share: emit_reduce.c (steps, and sweeps without lanes), emit_lanes.c (sweeps along which lanes
 * run) and emit_tree.c (totals of blocks). Relies on cpu.h. */
#ifndef KILN_CODEGEN_CPU_EMIT_REDUCE_H
#define KILN_CODEGEN_CPU_EMIT_REDUCE_H

#include "cpu.h"

static inline bool reduce_is_arg(const Reduction *r) { return r->kind == R_ARGMAX || r->kind == R_ARGMIN; }
/* The type that is accumulated; bool counts as 0 and 1 in u8. */
DType reduce_type(const Reduction *r);
uint32_t reduce_align(const Reduction *r);
LLVMValueRef reduce_identity(Gen *g, const Reduction *r);
LLVMValueRef reduce_op(Gen *g, const Reduction *r, LLVMValueRef acc, LLVMValueRef v);
LLVMValueRef reduce_result(Gen *g, const Reduction *r, LLVMValueRef v); /* in the type of its instruction */
LLVMValueRef reduce_iota(Gen *g, int64_t from, uint32_t lanes);
LLVMValueRef reduce_block_end(Gen *g, LLVMValueRef begin, LLVMValueRef end, int64_t block);
LLVMValueRef reduce_lane(KernelEmit *e, const Accumulator *a, const Reduction *r, LLVMValueRef lane, uint32_t u); /* its address */
/* Makes the block's total a->value of the lanes in memory: by halves, or in order if the extent at run time calls for it. */
void reduce_memory(KernelEmit *e, const Reduction *r, Accumulator *a, LLVMValueRef extent);
void reduce_sweep_lanes(KernelEmit *e, const Stage *s);

/* The counter of ir/tree.h. value holds the total of the block that begins at that element, and after tree_close the total of all
 * blocks of the extent. */
typedef struct Counter {
    Gen *g;
    const Reduction *r; /* kind and type */
    uint32_t slots;     /* values that are combined side by side */
    LLVMValueRef *value, level;
} Counter;
/* Room for the levels. */
LLVMValueRef tree_levels_open(Gen *g, LLVMTypeRef t, uint32_t slots, Dim extent, int64_t block);
void tree_push(const Counter *c, LLVMValueRef begin, int64_t block);
void tree_close(const Counter *c, LLVMValueRef extent, int64_t block);

#endif
