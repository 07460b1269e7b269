/* cuda_check: how programs as CUDA C are judged: by NVRTC, which must have nothing to say, and by
 * the interpreter of programs, whose bits they must have. Relies on cuda_host.h, interp.h and
 * cmocka. */
#ifndef KILN_TESTS_CUDA_CHECK_H
#define KILN_TESTS_CUDA_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "codegen/cuda/api.h"
#include "cuda_host.h"
#include "ir/op.h"

#define SKIP(...)                            \
    do {                                     \
        print_message("skip: " __VA_ARGS__); \
        print_message("\n");                 \
        skip();                              \
    } while (0)
#define NEED_HOST()                                                                             \
    do {                                                                                        \
        (void)state;                                                                            \
        if (!cuda_host_compiles()) SKIP("no C++ compiler to run printed kernels on the host");  \
        if (!cpu_has_fma()) SKIP("this CPU has no FMA, so its bits are not those of a device"); \
    } while (0)
#define NEED_NVRTC()                                              \
    do {                                                          \
        Status absent = {0};                                      \
        (void)state;                                              \
        if (cuda_nvrtc(&absent) == NULL) SKIP("%s", absent.text); \
    } while (0)

typedef bool RunFn(const Program *p, void *const *buf, const int64_t *symbol, Status *st);
bool cuda_device_run(const Program *p, void *const *buf, const int64_t *symbol, Status *st);

/* Compiles for three architectures without a warning; every kernel is in the PTX. Fails the test
 * otherwise. */
void cuda_compiles(const Program *p);
/* Compiles for three architectures: no kernel that a warp runs, and no product, keeps anything but in registers. Prints what the
 * largest takes. */
void cuda_fits_registers(const char *source, const char *name);
void cuda_program_fits(const Program *p);
/* The same of text for an architecture (codegen/cuda/api.h); for sm_90a it is compiled for that alone. */
void cuda_compiles_for(const Program *p, int sm);
void cuda_program_fits_for(const Program *p, int sm);
void cuda_source_compiles(const char *source, const char *name);

/* Runs p by `run` and by the interpreter; all outputs must have equal bits, NaN aside, and are
 * given back. symbol: by place in the table of dims (and, all being equal, in order of
 * Program.symbol). Fails the test, naming `what`. */
void **cuda_agrees(Arena *a, const Program *p, void *const *in, const int64_t *symbol, RunFn *run, const char *what);

/* Whose bits are the device's own (docs/numerics.md): products that its tensor cores may add. */
bool cuda_may_use_tensor_cores(const Program *p);
/* 0: no bits of the module's entry are a device's own; 1: some are, and the results are what the reference allows; -1: they are not,
 * or something failed, st. Uses the module up. */
int cuda_allows(Arena *a, Module *m, int64_t *symbol, const void *const *in, void *const *result, Status *st);

/* n elements: numbers that often repeat, a NaN here and there. */
void *cuda_spread(Arena *a, DType t, size_t n);

#endif
