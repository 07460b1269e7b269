/* cpu: what the files of the LLVM backend share. machine says what code is made for; gen is the small builder over LLVM's C API
 * that all emitters use; emit_* print kernels, contractions and the entry; object makes bytes of a module, and jit running code.
 * Relies on program.h and LLVM-C. Never knows graphs' nodes, passes or the front end. */
#ifndef KILN_CODEGEN_CPU_CPU_H
#define KILN_CODEGEN_CPU_CPU_H

#include "../backend.h"
#include "../rare.h"

#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>

/* ---- machine: facts of the CPU that code is made for ----------------------------------------- */
typedef struct Machine {
    bool native;                   /* this machine, whose description is kept */
    char *triple, *cpu, *features; /* LLVM's strings, freed by machine_free */
    uint32_t vector_bytes;
    uint32_t tile_bytes, registers; /* products: bytes of a vector, and how many vectors there are */
    bool fma;                       /* whether mad rounds only once */
    bool f16c;                      /* converts half floats in hardware */
    bool masked;                    /* masked moves of 4- and 8-byte elements in hardware */
    bool scale;                     /* a vector's elements times powers of two in one instruction (AVX-512) */
    bool past;                      /* stores past the caches, which need a fence (gen_fence) */
} Machine;

/* Starts those of LLVM's code generators that this module has; called once. */
void targets_start(void);
/* This machine, or the one that the options name. False after an error, which st tells; so below for NULL. */
bool machine_init(Machine *m, const CompileOptions *o, Status *st);
void machine_free(Machine *m);
/* Whether LLVM knows the CPU and every feature. If not, st names what it does not know. */
bool machine_known(const Machine *m, Status *st);
/* makes position-independent code, optimised at LLVM's default level; NULL: error */
LLVMTargetMachineRef machine_target(const Machine *m, Status *st);

typedef struct ContractFn ContractFn;

/* ---- gen: one module under construction ------------------------------------------------------ */
typedef struct Gen {
    LLVMContextRef ctx;
    LLVMModuleRef module;
    LLVMBuilderRef b;
    Arena *arena;
    const Machine *machine;
    const Program *p;
    bool flow;  /* the program has loops or branches */
    bool marks; /* CompileOptions.marks */
    Status *st; /* the unsupported thing, if any; emission goes on with poison */
    LLVMTypeRef i1, i8, i16, i32, i64, half, f32, f64, ptr, nothing;
    LLVMTypeRef kernel_type, rows_type; /* the types of KernelFn and RowsFn */
    LLVMValueRef *kernel_fn;            /* per kernel of the program; NULL if not emitted yet */
    LLVMValueRef *rows_fn;              /* the same, as a RowsFn: of whole rows, and of some columns (emit_rows) */
    ContractFn *contracts;              /* emitted so far */
    /* the function being emitted */
    LLVMValueRef fn;
    LLVMBuilderRef top;             /* builds at the end of the first block: allocas and loads done once */
    LLVMBasicBlockRef first, start; /* the first block ends in a jump to start */
    LLVMValueRef dim_arg;           /* pointer to the program's dims */
    LLVMValueRef *dim_value;        /* per Program.dim: its value if loaded already */
    LLVMValueRef *of_symbols;       /* per expression of the dim table: its value if computed already, else NULL */
} Gen;

LLVMTypeRef gen_type(const Gen *g, DType t);          /* in registers: bool is i1, 16-bit floats are float */
LLVMTypeRef gen_mem_type(const Gen *g, DType t);      /* in memory: bool is i8, 16-bit floats are i16 */
LLVMTypeRef gen_lanes(LLVMTypeRef t, uint32_t lanes); /* lanes 1: t itself */
uint32_t gen_lanes_of(LLVMValueRef v);                /* lanes 1: a scalar */
LLVMValueRef gen_i64(const Gen *g, int64_t v);
LLVMValueRef gen_const(Gen *g, DType t, Scalar v);
/* v itself if it is a vector, or lanes is 1 */
LLVMValueRef gen_splat(Gen *g, LLVMValueRef v, uint32_t lanes);
LLVMValueRef gen_lane(Gen *g, LLVMValueRef v, uint32_t lane); /* v itself if it is a scalar */
LLVMValueRef gen_set_lane(Gen *g, LLVMValueRef v, LLVMValueRef x, uint32_t lane);
/* These functions fold constants that decide the result. */
LLVMValueRef gen_select(Gen *g, LLVMValueRef c, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef gen_and(Gen *g, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef gen_or(Gen *g, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef gen_add(Gen *g, LLVMValueRef a, LLVMValueRef b); /* i64 */
LLVMValueRef gen_mul(Gen *g, LLVMValueRef a, LLVMValueRef b); /* i64 */
bool gen_is_int(LLVMValueRef v, int64_t *out);                /* a constant integer scalar */
/* Calls an intrinsic overloaded on ntype types. */
LLVMValueRef gen_intrinsic(Gen *g, const char *name, LLVMTypeRef *types, uint32_t ntype, LLVMValueRef *args, uint32_t nargs);
LLVMValueRef gen_alloca(Gen *g, LLVMTypeRef t, uint64_t count, uint32_t align);
/* &base[index], elements of t */
LLVMValueRef gen_at(Gen *g, LLVMTypeRef t, LLVMValueRef base, LLVMValueRef index);
LLVMValueRef gen_load(Gen *g, LLVMTypeRef t, LLVMValueRef at, uint32_t align);
void gen_store(Gen *g, LLVMValueRef v, LLVMValueRef at, uint32_t align);
/* Stores a vector past the caches, at a multiple of its bytes. Others may not see it before a fence. */
void gen_store_past(Gen *g, LLVMValueRef v, LLVMValueRef at, uint32_t align);
void gen_fence(Gen *g);
/* loads base[index] in the first block */
LLVMValueRef gen_load_once(Gen *g, LLVMTypeRef t, LLVMValueRef base, int64_t index, uint32_t align);
LLVMBasicBlockRef gen_block(Gen *g, const char *name);
void gen_put(Gen *g, LLVMBasicBlockRef b); /* continues in block b */

/* Adds a function of that type; the builder then stands in its start block. */
void gen_function_begin(Gen *g, const char *name, LLVMTypeRef type, bool internal);
void gen_function_end(Gen *g);                   /* after its last terminator */
void gen_prefer_vectors(Gen *g, uint32_t bytes); /* in this function */

LLVMValueRef gen_combine(LLVMBuilderRef b, const DimExpr *x, LLVMValueRef l, LLVMValueRef r); /* of the values of its parts */
/* The value of a dim: a constant, a run-time dim of the program, or an expression of those. */
LLVMValueRef gen_dim(Gen *g, Dim d);
bool gen_dim_const(const Gen *g, Dim d, int64_t *out);
/* An expression over the entry's symbols, to whose values `symbol` points. */
LLVMValueRef gen_dim_of_symbols(Gen *g, Dim d, LLVMValueRef symbol);

/* for (i = start; i < end; i += step) with values carried from turn to turn. carry[] holds what enters, then inside the loop what
 * the current turn sees; what it holds at loop_end goes into the next turn; afterwards it holds what leaves. A single constant turn
 * makes no loop. */
typedef struct Loop {
    bool once;
    LLVMValueRef i, next, *carry, *phi;
    uint32_t ncarry;
    LLVMBasicBlockRef head, exit;
} Loop;
void loop_begin(Gen *g, Loop *l, LLVMValueRef start, LLVMValueRef end, int64_t step, LLVMValueRef *carry, uint32_t ncarry);
void loop_end(Gen *g, Loop *l);
/* how many turns: 0 or 1 if that is certain, -1 if unknown or more */
int loop_turns(LLVMValueRef start, LLVMValueRef end, int64_t step);

/* Where whole steps end: from + (end - from) / step * step. */
LLVMValueRef gen_whole_steps(Gen *g, LLVMValueRef from, LLVMValueRef end, int64_t step);
/* A mask of the vector's lanes at `index` that lie before end; there is at least one. */
LLVMValueRef gen_lanes_left(Gen *g, uint32_t width, LLVMValueRef index, LLVMValueRef end);

/* ---- emit_scalar ----------------------------------------------------------------------------- */
/* Emits one primitive on operands of compute type t (for select: the type of its second operand), scalars or vectors. */
LLVMValueRef emit_prim(Gen *g, Prim p, DType t, DType to, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c);
/* Convert between memory and registers, exactly except that 16-bit floats round to nearest even. */
LLVMValueRef emit_from_memory(Gen *g, DType t, LLVMValueRef v);
LLVMValueRef emit_to_memory(Gen *g, DType t, LLVMValueRef v);

/* ---- kernels --------------------------------------------------------------------------------- */
typedef struct Divisor { /* what a sweep divides by */
    bool wanted;
    LLVMValueRef b, y, range; /* as vectors: itself, 1 / b, and how far what it divides may lie above the span; 0: nothing may */
} Divisor;

typedef struct KernelEmit {
    Gen *g;
    const Kernel *k;
    uint32_t width;                  /* lanes of a vector; 1: scalar code */
    uint32_t unroll;                 /* of the step being emitted */
    uint32_t unroll_max;             /* stride of val and red */
    uint32_t square;                 /* rows of a square (emit_turn.c); 0: nothing is turned */
    bool in_square;                  /* u counts the rows of a square, not vectors */
    bool past;                       /* stores that may (Store.past) go past the caches */
    bool *turned;                    /* per instruction: differs along the turn axis */
    LLVMValueRef mask;               /* a mask of the lanes that exist; NULL: all do */
    LLVMValueRef columns_left;       /* of a square under a mask */
    LLVMValueRef lo, hi;             /* of the chunk axis */
    LLVMValueRef from, end;          /* of the vector axis, if that is another one; NULL: all of it */
    LLVMValueRef *buf;               /* per kernel buffer */
    LLVMValueRef *row;               /* per row cache */
    uint32_t row_lanes;              /* elements per sweep index in a row cache */
    LLVMValueRef index[KERNEL_AXES]; /* the index of each open axis; of the vector axis that of lane 0 */
    LLVMValueRef *offset;            /* per stream: its base with the offsets of the open axes so far */
    LLVMValueRef *val;               /* per instruction and unrolled vector */
    LLVMValueRef *splat;             /* per instruction: its scalar as a vector, if vectors need it */
    LLVMValueRef *random;            /* per I_RANDOM: where its words for all unrolled vectors lie */
    bool *wants_splat;
    Rare rare;               /* what a branch goes around */
    Divisor *divisor;        /* per instruction */
    LLVMValueRef *red;       /* per reduction and unrolled vector */
    struct Accumulator *acc; /* per reduction, during the sweep of its stage */
    LLVMValueRef zero, sink; /* the place that loads and stores use in place of elements whose guard fails */
} KernelEmit;

/* Emits the kernel as an internal function. whole: it is always called over its whole chunk axis, of constant extent. */
LLVMValueRef emit_kernel(Gen *g, const Kernel *k, bool whole);
/* The same as a RowsFn, for Step.columns; of a kernel of one axis without a look at them. */
LLVMValueRef emit_rows(Gen *g, const Kernel *k, int64_t columns);
/* Emits the stage's instructions that sweep (or those that do not) for every unrolled vector; with stores and reductions if
 * `sinks`. */
void emit_body(KernelEmit *e, const Stage *s, bool sweeps, bool sinks);
void emit_open_axis(KernelEmit *e, int axis, LLVMValueRef index, const Stage *only);
LLVMValueRef *emit_offsets(KernelEmit *e);                        /* a copy of the streams' offsets, */
void emit_offsets_back(KernelEmit *e, const LLVMValueRef *saved); /* which stand again */
void emit_point(KernelEmit *e);                                   /* all stages, at the indices that are open */
void emit_vector_axis(KernelEmit *e, LLVMValueRef from, LLVMValueRef end);
/* An operand for vector u; if `lanes`, as a vector of e->width. */
LLVMValueRef emit_operand(KernelEmit *e, int32_t instr, uint32_t u, bool lanes);

/* emit_divide */
void divide_plan(KernelEmit *e);                                   /* finds divisors */
void divide_open(KernelEmit *e, uint32_t i, LLVMValueRef b);       /* b is instruction i, a scalar */
LLVMValueRef divide_by(KernelEmit *e, uint32_t i, LLVMValueRef a); /* a vector by instruction i, with the bits of a division */

/* emit_random */
LLVMValueRef emit_random(KernelEmit *e, const Instr *in, uint32_t u);

/* emit_turn */
/* Turns blocks of n lanes, a power of two: what lane j of a block was in v[i], its lane i then is in v[j]. */
void turn_blocks(Gen *g, LLVMValueRef *v, uint32_t n);
/* The low halves (high: 0) or high ones (1) of x and y, each of n lanes, element after element of both; n divides the lanes of
 * vectors, whose blocks of n are such halves each. */
LLVMValueRef turn_interleaved(Gen *g, LLVMValueRef x, LLVMValueRef y, uint32_t n, uint32_t high);
void turn_plan(KernelEmit *e); /* sets e->square, e->turned */
/* Runs the kernel over these rows of the turn axis and columns of the vector axis. */
void emit_turned(KernelEmit *e, LLVMValueRef row, LLVMValueRef row_end, LLVMValueRef column, LLVMValueRef column_end);
void emit_turned_load(KernelEmit *e, const Stream *s, LLVMValueRef *v); /* all rows of the square */
void emit_turned_store(KernelEmit *e, const Stream *s, int32_t value);  /* the same */
/* Whether the sweep goes in squares, of it and of a whole vector. */
bool sweeps_in_squares(const KernelEmit *e);

/* emit_stream */
enum { STRIDE_OTHER = INT32_MAX };
/* The elements from one lane to the next, if a small constant. */
int64_t emit_stream_stride(const KernelEmit *e, const Stream *s);
LLVMValueRef emit_stream_at(KernelEmit *e, const Stream *s, uint32_t u, uint32_t lane); /* the element's address */
LLVMValueRef emit_stream_load(KernelEmit *e, const Stream *s, uint32_t u, bool lanes);
LLVMValueRef emit_stream_fetch(KernelEmit *e, const Instr *in, uint32_t u); /* of I_FETCH */
void emit_stream_stores(KernelEmit *e, const Stage *stage, uint32_t u);     /* all of the stage */
/* Whether this call's results are so large, and so lie, that they are written past the caches; NULL: never. */
LLVMValueRef emit_stream_past(KernelEmit *e);

/* ---- emit_zip.c */
/* False: the store is to be done alone. */
bool emit_zipped(KernelEmit *e, const Stage *stage, const Store *st, uint32_t u);

/* emit_reduce */
typedef struct Accumulator {
    uint32_t slots;                    /* vectors in use; arg reductions carry as many vectors of indices behind them */
    LLVMValueRef *value;               /* their slots in the stage's flat array */
    LLVMValueRef memory, memory_index; /* where lanes lie in memory; NULL if they do not */
    LLVMValueRef level;                /* totals of whole subtrees of blocks, and the slots of each */
    bool lanes;                        /* whether TREE_LANES lanes sum it */
    LLVMValueRef *nan;                 /* lanes at which an extreme has met a NaN, kept apart from its values; NULL: it is not */
    LLVMValueRef unseen;               /* a vector that was not asked for NaN yet */
} Accumulator;
void emit_sweep(KernelEmit *e, const Stage *s);
/* Folds vector u of the current value into reduction r. */
void emit_accumulate(KernelEmit *e, const Stage *s, uint32_t r, uint32_t u);

/* ---- emit_contract, emit_entry --------------------------------------------------------------- */
/* Emits the product as a KernelFn over its pieces; buf: a, b, c. whole: it is always called over all of them, of known number. */
LLVMValueRef emit_contract(Gen *g, const Step *s, bool whole);
/* How many pieces there are, if each is a tile of whole rows and their number is known; else -1. And the product that runs the
 * kernel on each piece's rows as soon as they are there, so many of its indices for a row; buf: a, b, c, then the kernel's. */
int64_t emit_contract_tiles(Gen *g, const Step *s);
LLVMValueRef emit_contract_joined(Gen *g, const Step *s, LLVMValueRef kernel, int64_t each);
/* How many pieces there are, and what one costs in units of Kernel.cost. */
void emit_contract_pieces(Gen *g, const Step *s, LLVMValueRef *pieces, LLVMValueRef *cost);
/* Emits a print, assert or callback in the entry; at: the addresses of its operands and results. */
void emit_effect(Gen *g, const Step *s, LLVMValueRef const *at, LLVMValueRef host);
bool emit_entry(Gen *g, const char *symbol);
bool emit_sizes(Gen *g, const char *symbol); /* emit_sizes.c: SizesFn */

/* ---- object, jit ----------------------------------------------------------------------------- */
typedef struct ObjectParts {
    const char *symbol;     /* of the entry */
    const char *sizes;      /* the function that says what a call needs; NULL: none */
    const ObjectData *data; /* read-only, each under its own symbol */
    int ndata;
} ObjectParts;
/* Emits the program as a relocatable object whose public symbols are those of its parts. NULL: error. */
LLVMMemoryBufferRef object_emit(const Program *p, const CompileOptions *o, const Machine *m, const ObjectParts *parts, Status *st);
Compiled *jit_compile(const Program *p, const CompileOptions *o, Status *st);
EntryFn *jit_entry(const Compiled *c);
SizesFn *jit_sizes(const Compiled *c);
size_t jit_code_bytes(const Compiled *c);
void jit_release(Compiled *c);

#endif
