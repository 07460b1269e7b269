/* emit_entry: what the files that emit a program's steps share. emit_entry.c makes the entry, emit_part.c says which
 * function each step is emitted into, emit_step.c emits one. Private to them. */
#ifndef KILN_CODEGEN_CPU_EMIT_ENTRY_H
#define KILN_CODEGEN_CPU_EMIT_ENTRY_H

#include "cpu.h"

/* Steps of a function, in units of a plain kernel call. Code generation takes time with the square of a function's length, so that
 * longer lists of steps are cut into functions that call one another; and what a function reads is found from its arguments. */
enum { PART_WEIGHT = 128, PART_PIECES = 32 };
#define PART_NONE UINT32_MAX
#define PART_MANY (UINT32_MAX - 1)

/* Bytes of a value that loops keep in registers. */
enum { SMALL_BYTES = 64 };

typedef struct Parts {
    bool cut;                /* there is more than one */
    uint32_t count;          /* so far; numbered as they are begun */
    uint32_t *home;          /* per buffer: the only part that uses it; PART_NONE, PART_MANY */
    uint32_t *slot;          /* per slice that several parts use: the word of the frame with its address */
    uint32_t *slice, *after; /* per loop its first slice, per slice the next one of its loop; PART_NONE */
    uint32_t words;          /* of the frame: slots, then address and room of each stack */
} Parts;

typedef struct Entry {
    Gen *g;
    Parts parts;
    uint32_t part;                      /* the one being emitted; the entry is 0 */
    uint32_t most;                      /* buffers of one kernel */
    LLVMValueRef bufs, symbol, work, host, dim, frame; /* arguments of the part; frame is NULL unless the program is cut */
    LLVMValueRef *at;                   /* per program buffer: its address in part `in` */
    uint32_t *in;
    LLVMValueRef *stack, *stack_room;   /* per stack, unless the program is cut: where its address and its bytes are kept */
    LLVMValueRef args;                  /* scratch: buffers of the kernel being called */
    LLVMValueRef contract;              /* scratch: a HostContract, NULL: none yet */
    LLVMTypeRef run_type, contract_type, part_type;
} Entry;

static inline const Program *entry_program(const Entry *e) { return e->g->p; }

/* emit_part */
void parts_plan(Entry *e);
bool part_on_stack(const Entry *e, uint32_t buf, int64_t *bytes); /* a small value of a program with loops: LLVM takes it into registers */
LLVMValueRef part_address(Entry *e, uint32_t buf);               /* of a program buffer */
void part_open_slice(Entry *e, uint32_t buf, LLVMValueRef at);   /* a slice lies there from here on */
LLVMValueRef part_stack(Entry *e, uint32_t number, bool room);   /* where a stack's address, or its bytes, are kept */
void part_steps(Entry *e, const Step *s, uint32_t n);            /* here, or in parts of their own that are called here */
void part_block(Entry *e, const Step *s, uint32_t block);        /* the steps inside one */

/* emit_step */
bool step_stays_direct(const Gen *g, const Kernel *k); /* no thread could help: the kernel is made for its whole extent */
void step_leave(Entry *e, LLVMValueRef when, LLVMValueRef code); /* ends the entry with that code */
void emit_steps(Entry *e, const Step *s, uint32_t n);

#endif
