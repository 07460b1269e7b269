/* stop: what the fuse pass says of the edges of its kernels (Graph.stop). Relies on nothing. */
#ifndef KILN_PASSES_STOP_H
#define KILN_PASSES_STOP_H

#include <stdint.h>

typedef enum StopWhy {
    STOP_none, /* it is no other kernel that makes it */
#define STOP(name, words) STOP_##name,
#include "stop.def"
    STOP_COUNT
} StopWhy;

const char *stop_words(uint8_t why);

#endif
