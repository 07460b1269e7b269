/* compile: rows of bench-gpu that need NVRTC and no card. */
#ifndef KILN_TESTS_BENCH_GPU_COMPILE_H
#define KILN_TESTS_BENCH_GPU_COMPILE_H

#include "runtime/base.h"

/* Prints how long training steps take to compile for that architecture; returns how many rows failed, -1: st, nothing was printed. */
int compile_rows(int sm, int *passed, Status *st);

#endif
