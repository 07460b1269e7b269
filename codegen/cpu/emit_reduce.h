/* emit_reduce: what the two files of it share: emit_reduce.c (steps, and sweeps without lanes)
 * and emit_lanes.c (sweeps along which lanes run). Relies on cpu.h. */
#ifndef KILN_CODEGEN_CPU_EMIT_REDUCE_H
#define KILN_CODEGEN_CPU_EMIT_REDUCE_H

#include "cpu.h"

static inline bool reduce_is_arg(const Reduction *r)
{
    return r->kind == R_ARGMAX || r->kind == R_ARGMIN;
}
/* What is accumulated; bool as 0 and 1 in u8. */
DType reduce_type(const Reduction *r);
uint32_t reduce_align(const Reduction *r);
LLVMValueRef reduce_identity(Gen *g, const Reduction *r);
LLVMValueRef reduce_op(Gen *g, const Reduction *r, LLVMValueRef acc, LLVMValueRef v);
LLVMValueRef reduce_result(
    Gen *g, const Reduction *r, LLVMValueRef v); /* in the type of its instruction */
LLVMValueRef reduce_iota(Gen *g, int64_t from, uint32_t lanes);
LLVMValueRef reduce_block_end(Gen *g, LLVMValueRef begin, LLVMValueRef end);
LLVMValueRef *reduce_offsets(KernelEmit *e); /* a copy of the streams' offsets */
LLVMValueRef reduce_lane(KernelEmit *e, const Accumulator *a, const Reduction *r, LLVMValueRef lane,
    uint32_t u); /* its address */
/* The lanes in memory into the running totals a->value: halves, or in order if the extent asks
 * for it when it runs. */
void reduce_memory(KernelEmit *e, const Reduction *r, Accumulator *a, LLVMValueRef extent);
void reduce_sweep_lanes(KernelEmit *e, const Stage *s);

#endif
