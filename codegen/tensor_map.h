/* tensor_map: which operands of products the map of a bulk copy can tell of, and how the driver is asked for one: for who launches
 * products, in this process (codegen/cuda) and in objects (codegen/walk). Relies on base. Calls nothing but what it is given. */
#ifndef KILN_CODEGEN_TENSOR_MAP_H
#define KILN_CODEGEN_TENSOR_MAP_H

#include "../runtime/base.h"

enum { TENSOR_AXES = 5 };

/* An operand of elements of 16 bits: side by side along the first axis, then the lines, then batches. A copy takes `box` of the
 * first two axes and one of each other. */
typedef struct TensorBox {
    uint64_t address;
    uint32_t rank, box[2];
    int64_t extent[TENSOR_AXES], stride[TENSOR_AXES]; /* in elements; the first stride is 1 and not read */
} TensorBox;

typedef struct CUtensorMap { /* of cuda.h; only the driver and instructions look into it */
    _Alignas(64) uint64_t opaque[16];
} CUtensorMap;

/* What a product's launch brings along: maps of its operands, and of each whether there is one. Where it lies at a multiple of 128
 * bytes, so does all of it. As product_bulk.c has it. */
typedef struct ProductMaps {
    CUtensorMap map[2];
    uint64_t use[16];
} ProductMaps;

/* cuTensorMapEncodeTiled */
typedef int TensorMapEncode(CUtensorMap *map, int type, uint32_t rank, void *at, const uint64_t *extent, const uint64_t *stride,
    const uint32_t *box, const uint32_t *element_stride, int interleave, int swizzle, int promotion, int fill);

/* By what the driver's manual asks for; and lines do not overlap. How far the one line of an axis lies from others is no matter. */
static inline bool tensor_box_fits(const TensorBox *b)
{
    bool fits = b->address % 16 == 0;
    for (uint32_t i = 0; i < b->rank; i++) {
        const int64_t n = b->extent[i], far = b->stride[i];
        fits = fits && n >= 1 && n <= INT32_MAX;
        if (i > 0 && n != 1) fits = fits && far % 8 == 0 && far >= b->extent[0] && far < (int64_t)1 << 39;
    }
    return fits;
}

/* Makes the map of operand `which`. A driver without the function, operands that no map tells of, and those that the driver refuses
 * (CUDA_ERROR_INVALID_VALUE) have none, which is no error. Returns 0, or another error of the driver. */
static inline int tensor_map_make(TensorMapEncode *encode, ProductMaps *to, uint32_t which, const TensorBox *b)
{
    uint64_t extent[TENSOR_AXES], stride[TENSOR_AXES];
    uint32_t box[TENSOR_AXES], one[TENSOR_AXES];
    to->use[which] = 0;
    for (uint32_t i = 0; i < 16; i++) to->map[which].opaque[i] = 0;
    if (!encode || !tensor_box_fits(b)) return 0;
    for (uint32_t i = 0; i < b->rank; i++) {
        extent[i] = (uint64_t)b->extent[i];
        box[i] = i < 2 ? b->box[i] : 1;
        one[i] = 1;
        if (i > 0) stride[i - 1] = 2 * (uint64_t)(b->extent[i] == 1 ? (b->extent[0] + 7) / 8 * 8 : b->stride[i]);
    }
    const int swizzle = b->box[0] == 64 ? 3 : b->box[0] == 32 ? 2 : 1; /* lines of 128, 64 or 32 bytes */
    const int e = encode(&to->map[which], 1 /* 16 bits */, b->rank, (void *)(uintptr_t)b->address, extent, stride, box, one, 0,
        swizzle, 2 /* by 128 bytes into the second cache */, 0 /* zeros outside */);
    to->use[which] = e == 0;
    return e == 1 ? 0 : e;
}

#endif
