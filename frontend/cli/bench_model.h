/* bench_model: what `kiln bench MODEL.onnx` is told, and what it found. */
#ifndef KILN_FRONTEND_CLI_BENCH_MODEL_H
#define KILN_FRONTEND_CLI_BENCH_MODEL_H

#include "value.h"

typedef struct BenchModel {
    ModelOptions model;
    const char *device;
    long threads, seconds, seed;
    bool json;
} BenchModel;

typedef enum Way { WAY_EAGER, WAY_COMPILED, WAY_OBJECT, WAYS } Way;

/* What a process of its own found out, from its start on. */
typedef struct Told {
    int status;     /* an Exit */
    double seconds; /* until there was a first result; of what makes the object: until it was linked */
    int64_t peak;   /* bytes of memory at most, all that was mapped and read included */
    int64_t object_bytes, weights_bytes;
    char why[400]; /* there is no result of it; "": there is */
} Told;

typedef struct BenchFound {
    Told first[WAYS], making; /* making: of the object */
    bool has[WAYS];
    double p50[WAYS], p90[WAYS], p99[WAYS]; /* seconds of a call */
    long calls[WAYS];
    bool equal;   /* bit for bit */
    bool partial; /* the object's results were not compared: it counts their sizes */
    char sizes[500];
} BenchFound;

int bench_model(const BenchModel *o); /* an Exit */
void bench_report(kiln *k, const BenchModel *o, const BenchFound *found);

#endif
