/* onnx_mobilenet: MobileNetV2 (Sandler et al. 2018) as an ONNX model, built and named as torchvision's, with drawn weights. Relies
 * on the C library alone. */
#ifndef KILN_TESTS_ONNX_MOBILENET_H
#define KILN_TESTS_ONNX_MOBILENET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct MobileNet {
    double width;
    int image, classes; /* images are [N, 3, image, image], results [N, classes] */
    int repeats;        /* at most so many blocks of one kind; 0: as many as the paper has */
    int last;           /* channels before the classifier; 0: 1280, times the width above 1 */
    /* Batch norm with the statistics of the batch; after the classes come the new running ones, two for each normalisation, each by
     * the name of the old one and ".next". Otherwise with the running statistics. */
    bool training;
    double momentum;    /* the part of the old statistics in the new ones */
    bool bounds_inside; /* 0 and 6 are initialisers, as newer exporters write them; otherwise constants */
    uint64_t seed;
} MobileNet;

/* The model's bytes, for the caller to free; NULL: no memory. The same ones for the same options on every machine. */
uint8_t *mobilenet_bytes(const MobileNet *how, size_t *n);

#endif
