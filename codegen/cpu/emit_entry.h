/* emit_entry: what the files that emit a program's steps share. emit_entry.c makes the entry, emit_part.c decides into which
 * function each step is emitted, emit_step.c emits one step. Private to them. */
#ifndef KILN_CODEGEN_CPU_EMIT_ENTRY_H
#define KILN_CODEGEN_CPU_EMIT_ENTRY_H

#include "cpu.h"

/* Most steps in a function, in units of a plain kernel call. Code generation takes time quadratic in a function's length, so longer
 * lists of steps are cut into functions that call one another and find what they read from their arguments. */
enum { PART_WEIGHT = 128, PART_PIECES = 32 };
#define PART_NONE UINT32_MAX
#define PART_MANY (UINT32_MAX - 1)

/* Most bytes of a value that loops keep in registers. */
enum { SMALL_BYTES = 64 };

typedef struct Parts {
    bool cut;                /* whether there is more than one part */
    uint32_t count;          /* parts so far, numbered as they begin */
    uint32_t *home;          /* per buffer: the only part that uses it; PART_NONE, PART_MANY */
    uint32_t *slot;          /* per slice that several parts use: the frame's word that holds its address */
    uint32_t *slice, *after; /* each loop's first slice, and each slice's next one in its loop; PART_NONE ends */
    uint32_t words;          /* words in the frame: slots, then address and room of each stack */
} Parts;

typedef struct Entry {
    Gen *g;
    Parts parts;
    uint32_t part;                                     /* the one being emitted; the entry is 0 */
    bool hosted;                                       /* there is a host table: the entry has looked */
    uint32_t most;                                     /* most buffers of one kernel */
    LLVMValueRef bufs, symbol, work, host, dim, frame; /* arguments of the part; frame is NULL unless the program is cut */
    LLVMValueRef *at;                                  /* per program buffer: its address in part `in` */
    uint32_t *in;
    LLVMValueRef *stack, *stack_room; /* per stack, unless the program is cut: where its address and its bytes are kept */
    LLVMValueRef args;                /* scratch: buffers of the kernel being called */
    LLVMValueRef contract;            /* scratch: a HostContract or the struct of a routine, NULL: none yet */
    LLVMTypeRef run_type, contract_type, part_type;
} Entry;

static inline const Program *entry_program(const Entry *e) { return e->g->p; }

/* emit_part */
void parts_plan(Entry *e);
/* a small value of a program with loops, which LLVM takes into registers */
bool part_on_stack(const Entry *e, uint32_t buf, int64_t *bytes);
LLVMValueRef part_address(Entry *e, uint32_t buf);             /* of a program buffer */
void part_open_slice(Entry *e, uint32_t buf, LLVMValueRef at); /* from here on the slice lies there */
LLVMValueRef part_stack(Entry *e, uint32_t number, bool room); /* where a stack's address, or its bytes, are kept */
void part_steps(Entry *e, const Step *s, uint32_t n);          /* emits steps here, or in parts that are called here */
void part_block(Entry *e, const Step *s, uint32_t block);      /* the steps inside one */

/* emit_launch */
/* How many of these n steps, of which the first is a kernel, are one launch that is worth sharing; 1: the first alone. */
uint32_t launch_steps_from(const Gen *g, const Step *s, uint32_t n);
/* Their kernels as a KernelFn over so many units; args: its buffers, which the entry has made. */
LLVMValueRef emit_launch(Entry *e, const Step *s, uint32_t n, int64_t *units, LLVMValueRef *args);

/* emit_size */
void emit_open_sizes(Entry *e);          /* before all steps: room for the sizes that they find */
void emit_size(Entry *e, const Step *s); /* the size is what the step's buffer says; parts that begin from here on know it */

/* emit_step */
/* Indices of the kernel's chunk axis that cost about so much. */
int64_t step_grain(const Kernel *k, int64_t cost);
bool step_stays_direct(const Gen *g, const Kernel *k); /* no thread could help, so the kernel is made for its whole extent */
bool step_product_direct(Gen *g, const Step *s);       /* likewise */
/* the kernel of the next step runs on each piece's rows of the emitted product */
bool step_joins_pieces(Gen *g, const Step *s, const Step *next);
/* Whether the host runs the kernel of the next step on the rows of this one, and where its function is noted then. */
bool step_joins_host(const Gen *g, const Step *s, const Step *next);
LLVMValueRef *step_rows_fn(const Gen *g, const Step *s);
void step_leave(Entry *e, LLVMValueRef when, LLVMValueRef code); /* ends the entry with that code */
void emit_steps(Entry *e, const Step *s, uint32_t n);

#endif
