/* schedule: how products run on a device, by architecture, types and extents. The printer prints what the row says, and whoever
 * launches it takes the grid from here. Relies on program. */
#ifndef KILN_CODEGEN_CUDA_SCHEDULE_H
#define KILN_CODEGEN_CUDA_SCHEDULE_H

#include "../program.h"

typedef enum ProductKind {
    PRODUCT_FMA,  /* chains of FMA: the CPU's bits */
    PRODUCT_MMA,  /* tensor cores take 16 of k at a time, 8 of tf32: bits of their own, which type, k and architecture decide */
    PRODUCT_WGMMA /* the same, with four warps for 64 rows at once: the tile's rows are 128, and its columns those of one
                     instruction */
} ProductKind;

typedef struct ProductPlan {
    uint16_t rows, columns; /* that a block makes */
    uint8_t down, across;   /* of them, that one of its CUDA_BLOCK threads makes, or with PRODUCT_MMA one of its warps */
    uint8_t deep, stages;   /* a block copies so many of k at a time into shared memory, and holds so many of these steps there */
    uint8_t kind;
    bool bulk; /* by maps of its operands where they have some (maps.h): the lines of a step in shared memory are as copies of boxes
                  lay them out */
} ProductPlan;

/* Blocks that run at the same time should read few rows and few columns: tiles are counted down so many of them, then across. */
#define PRODUCT_BAND 8

extern int64_t product_large; /* elements of the result that are worth large tiles; tests take fewer */
/* sm: the architecture (api.h). Never NULL. Bits depend on the kind alone, which extents do not decide. */
const ProductPlan *product_plan(const Program *p, const Step *s, int sm);
/* Bytes of shared memory that the steps of a product by tensor cores of 16 bits take; the barriers of bulk copies lie behind them.
 */
static inline uint32_t product_steps(const ProductPlan *p)
{
    return (uint32_t)(p->rows + p->columns) * p->deep * p->stages * (uint32_t)sizeof(uint16_t);
}
/* Bytes that a launch of it must ask for; 0: its function has what every block may have, 48 KB, or less. */
static inline uint32_t product_shared(const ProductPlan *p)
{
    const uint32_t bytes = product_steps(p) + (p->bulk ? p->stages * (uint32_t)sizeof(uint64_t) : 0);
    return p->kind == PRODUCT_WGMMA && bytes > 48 << 10 ? bytes : 0;
}
/* How many blocks one matrix of a batch takes. */
static inline int64_t product_tiles(const ProductPlan *p, int64_t m, int64_t n)
{
    return (m + p->rows - 1) / p->rows * ((n + p->columns - 1) / p->columns);
}

#endif
