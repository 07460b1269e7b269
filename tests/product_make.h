/* product_make: what tests of emitted products share: operands, the model's answer for one element, a host that runs chunks backwards, and
 * the other CPUs whose code can run here. Relies on kernel_make.h, model.h and cmocka. */
#ifndef KILN_TESTS_PRODUCT_MAKE_H
#define KILN_TESTS_PRODUCT_MAKE_H

#include "kernel_make.h"
#include "model.h"

#define NEED_LLVM()                  \
    do {                             \
        (void)state;                 \
        if (!llvm_backend()) skip(); \
    } while (0)

/* What is added up in: the integers that i16 holds in i32. */
static inline DType product_result(DType t) { return t == DT_i8 || t == DT_u8 || t == DT_i16 ? DT_i32 : t; }

void product_fill(DType t, char *at, int64_t n);
/* Element `index` of an axis with these strides, all constants. */
int64_t product_place(const Strides *s, int64_t index);
/* A row of a times a column of b, of n elements that lie so from number a_at and b_at on. */
double product_cell(
    DType t, int64_t n, const void *a, int64_t a_at, const Strides *a_col, const void *b, int64_t b_at, const Strides *b_row);

extern int product_chunks; /* that the next one has run */
void product_run_backwards(const KilnHost *h, KernelFn *fn, void *const *buf, const int64_t *dim, int64_t n, int64_t grain);

/* Compiles what `make` makes for older CPUs, whose vectors and registers are fewer, and runs it here if it can. */
void products_on_other_cpus(void (*make)(Make *m), void (*check)(EntryFn *entry));

#endif
