/* kernel_make: kernels and programs built by hand, for tests of backends. Relies on
 * codegen/backend.h and cmocka. */
#ifndef KILN_TESTS_KERNEL_MAKE_H
#define KILN_TESTS_KERNEL_MAKE_H

#include "codegen/backend.h"

typedef struct Make {
    Arena arena;
    jmp_buf border;
    Module *module;
    Program *p;
    Kernel k; /* being made */
    VEC(Instr) instr;
    VEC(Stream) stream;
    VEC(Reduction) reduction;
    VEC(Store) store;
    VEC(Stage) stage;
    VEC(Step) step;
} Make;

Make *make_new(void);
void make_free(Make *m);
/* Program buffers come first: inputs, then outputs, by make_input and make_output. */
uint32_t make_input(Make *m, DType t);
uint32_t make_output(Make *m, DType t);
uint32_t make_length(Make *m, uint32_t buf, Dim n); /* it is a vector of n elements; returns buf */
uint32_t make_buf(Make *m, Buf b);
Dim make_dim(Make *m, Dim d); /* d, listed among the run-time dims unless constant */
Dim make_symbol(Make *m, const char *name, int64_t lo, int64_t hi);
Dim make_minus_one(Make *m);

/* A kernel over extents e[0..n), with nbuf buffers. */
void make_kernel(Make *m, uint32_t n, const Dim *e, int sweep, int vector, int chunk,
    uint32_t unroll, uint32_t nbuf);
uint32_t make_row(Make *m, DType t);
/* coef[0..naxis) */
uint32_t make_stream(
    Make *m, uint32_t buf, DType t, Dim base, const Dim *coef, int32_t dyn, int32_t guard);
void make_stage(
    Make *m, bool sweep); /* instructions, stores and reductions that follow belong to it */
int32_t make_const(Make *m, DType t, Scalar v);
int32_t make_prim(Make *m, Prim p, DType t, int32_t a, int32_t b, int32_t c);
int32_t make_load(Make *m, uint32_t stream);
int32_t make_axis(Make *m, uint32_t axis);
int32_t make_reduced(Make *m, uint32_t reduction);
uint32_t make_reduce(Make *m, ReduceKind kind, ReduceOrder order, int32_t value);
void make_store(Make *m, uint32_t stream, int32_t value, uint8_t fold);
/* The kernel is done: into the program; its number. */
uint32_t make_kernel_end(Make *m);
/* A step that runs it on these program buffers (copied). */
Step make_run(Make *m, uint32_t kernel, uint32_t nbuf, const uint32_t *buf);
void make_step(Make *m, Step s);
const Program *make_program(Make *m); /* the program of all steps */

/* The CPU's backend, where its module is in $KILN_LIBDIR or build/; NULL after saying why. And what the module has itself. */
const Backend *llvm_backend(void);
const Backend *llvm_module(void);
/* Compiles, runs once on these buffers and symbols, releases. Fails the test on any error. */
void run_program(const Program *p, void *const *buf, const int64_t *dim, const KilnHost *host);

/* Bytes that end right before (or begin right after) a page that must not be touched. */
typedef struct Guarded {
    void *map;
    size_t size;
    char *at;
} Guarded;
Guarded guarded_new(size_t bytes, bool at_end);
void guarded_free(Guarded *g);

#endif
