/* half: products that tensor cores take, made and run on the emulated device 0 as it is, and judged by exact sums. What fails fails the test.
 * Relies on cuda_check.h, kernel_make.h. */
#ifndef KILN_TESTS_HALF_H
#define KILN_TESTS_HALF_H

#include "cuda_check.h"
#include "kernel_make.h"

typedef struct Half { /* a product, and how its operands lie: 0: along k, 1: along rows (columns), 2: neither, 3: k in digits, 4: rows in digits */
    DType t;
    int64_t batch, m, n, k;
    int a, b;
} Half;

Make *half_make(const Half *x, bool chains);          /* chains: of FMA; else those of f32 are of tf32 */
char *half_run(Arena *a, const Half *x, bool chains); /* the product's elements */
void half_judge(const Half *x, const char *got);      /* against exact sums, by the bound of docs/numerics.md */

#endif
