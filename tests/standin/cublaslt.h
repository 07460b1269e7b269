/* cublaslt: what the stand-in for cuBLASLt tells the test that opened it. */
#ifndef KILN_TESTS_STANDIN_CUBLASLT_H
#define KILN_TESTS_STANDIN_CUBLASLT_H

#include <stddef.h>
#include <stdint.h>

typedef struct StandinProduct { /* columns after columns: d[i, j] = the sum over l of a[i, l] b[l, j] */
    int type, compute, scale;
    int64_t m, n, k, batch;
    int64_t a_row, a_col, a_batch, b_row, b_col, b_batch, d_col, d_batch; /* in elements */
    int a_turned, b_turned;
    uint32_t alignment[4]; /* of a, b, c, d, as the heuristic was told */
    uint64_t most;         /* bytes of workspace that it may use */
    const void *a, *b;
    void *d, *workspace;
    size_t bytes;
    void *stream;
} StandinProduct;

typedef struct Standin {
    void (*run)(const StandinProduct *x); /* what multiplies */
    int handles, descriptors;             /* that are there */
    int no_way, refuses;                  /* the heuristic finds nothing; the product is refused with this status */
    size_t workspace;                     /* that the heuristic asks for */
} Standin;

#endif
