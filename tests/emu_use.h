/* emu_use: an emulated CUDA device as tests use one, by its table of functions. What fails fails the test. Relies on codegen/emu.h and
 * cmocka. */
#ifndef KILN_TESTS_EMU_USE_H
#define KILN_TESTS_EMU_USE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "codegen/cuda/api.h"
#include "codegen/emu.h"

enum { OUT_OF_MEMORY = CUDA_ERROR_OUT_OF_MEMORY, INVALID = 1, BAD_IMAGE = 200, BAD_HANDLE = 400, NOT_FOUND = 500, ILLEGAL = 700, MISALIGNED = 716, FAILED = 719 };


extern const char emu_source[]; /* the kernels fill, twice, more, turn, where, apart */

/* As in a new process, with seed 1, and the one context of this thread. */
const CudaDriver *emu_use(int ordinal);
CUmodule emu_load(const CudaDriver *d, const char *source);
CUfunction emu_function(const CudaDriver *d, const char *name); /* of emu_source, in a module of its own */
CUdeviceptr emu_memory(const CudaDriver *d, size_t bytes);
CUstream emu_stream(const CudaDriver *d);
CUresult emu_launch(const CudaDriver *d, CUfunction f, unsigned grid, unsigned threads, CUstream s, void **params);

/* Runs the tests, or skips them where there is no compiler. */
#define EMU_TESTS(tests)                                                                 \
    do {                                                                                 \
        Status st = {0};                                                                 \
        if (!emu_driver(0, &st)) return print_message("skip: %s\n", st.text), 77;        \
        if (getenv("KILN_ONLY") != NULL) cmocka_set_test_filter(getenv("KILN_ONLY"));    \
        return cmocka_run_group_tests(tests, NULL, NULL);                                \
    } while (0)

#endif
