/* maps: which products read their operands by tensor maps (product_bulk.c), and what the maps say. Relies on print.h, schedule.h,
 * api.h. */
#ifndef KILN_CODEGEN_CUDA_MAPS_H
#define KILN_CODEGEN_CUDA_MAPS_H

#include "api.h"
#include "print.h"
#include "schedule.h"

/* An operand as a map has it: k and the rows (of b: columns) first, the one whose elements lie side by side before the other, then
 * the axes of the batch along which it changes. */
typedef struct OperandMap {
    uint32_t buf;  /* of the program */
    Dim base;      /* elements from where that begins */
    uint32_t rank; /* 2 to TENSOR_AXES */
    uint32_t box[2];
    Dim extent[TENSOR_AXES], stride[TENSOR_AXES]; /* in elements; the first stride is 1 */
    uint8_t batch[TENSOR_AXES];                   /* which axis of the batch each from number 2 on is */
} OperandMap;

/* Whether an operand lies along k in shared memory. It does along its rows only where neighbours surely lie side by side there, and
 * not along k. */
bool product_along_k(const Program *p, const Strides *outer, const Strides *inner);
/* Whether the plan says that the product may, and nothing that is known now keeps maps from telling of its operands. The kernel
 * then takes Maps, which say whether sizes and addresses let it. */
bool product_maps(const Program *p, const Step *s, const ProductPlan *plan, OperandMap map[2]);
bool products_maps(const Program *p, const Products *all, int sm); /* whether one of them does */

/* The maps for these sizes (as an entry's dim) and the addresses of operands a and b. Where one says that there is none, the
 * product copies otherwise. False: st. */
bool cuda_maps(const CudaDriver *d, const Program *p, const OperandMap map[2], const int64_t *dim, const CUdeviceptr at[2],
    ProductMaps *out, Status *st);

/* ---- in a recording -------------------------------------------------------------------------- */

/* The maps of a step lie in the recording's memory, and get addresses where the table gets them (control.h). */
typedef struct RecordedMap {
    const Step *s;
    OperandMap map[2];
    bool there[2]; /* but for the address, sizes let there be one */
    uint32_t word; /* where its ProductMaps begins */
} RecordedMap;
typedef VEC(RecordedMap) RecordedMaps;
enum { MAP_WORDS = sizeof(ProductMaps) / 8 };

/* Finds those of all steps, blocks of loops and branches included. */
void recorded_maps(Arena *a, const Program *p, int sm, const Step *s, uint32_t n, RecordedMaps *out);
const RecordedMap *recorded_map(const RecordedMaps *all, const Step *s); /* NULL: the step has none */
/* Makes them at the beginning of `word`, for any address, as `some`. False: st. */
bool recorded_maps_make(
    const CudaDriver *d, const Program *p, const int64_t *dim, CUdeviceptr some, RecordedMaps *all, int64_t *word, Status *st);

#endif
