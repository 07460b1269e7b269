/* demo: what the files of `kiln demo` share: options, data, one trained pair of networks. */
#ifndef KILN_FRONTEND_CLI_DEMO_H
#define KILN_FRONTEND_CLI_DEMO_H

#include "nets.h"

typedef struct DemoOptions {
    const char *data, *out; /* the folder of the images, NULL: digits that Kiln draws; the file for the chart */
    const char *device;     /* where the networks are */
    long images;            /* to train with, at most; 0: all */
    bool emulated;          /* the device is so slow that things are measured a few times only */
    long epochs, batch, threads;
    bool quick;
} DemoOptions;

typedef struct Digits {
    /* f32[n, 28, 28, 1] in 0 ... 1, i64[n], on the CPU; they belong to the scope that loaded them */
    kiln_tensor *images, *labels;
    kiln_tensor *test_images, *test_labels;
    int64_t train, test;
} Digits;

/* Two copies of a network, of the same body and seed, one eager and one traced. They take their steps in turn. */
typedef struct Pair {
    Net net[2];         /* 0 eager, 1 traced */
    float *loss[2];     /* per step */
    double *seconds[2]; /* per step; the first steps of each signature are left out of medians */
    long steps, cap;
    long equal;                 /* how many steps, from the first on, had losses of the same bits */
    double step[2], forward[2]; /* medians, seconds */
    double first_call;          /* seconds of the first traced step, which traces and compiles */
    uint32_t kernels, ops;
    double accuracy[2];
} Pair;

bool digits_load(kiln *k, const DemoOptions *o, Digits *d);
bool pair_open(Pair *p, kiln *k, const NetOptions *o, long steps);
bool pair_train(Pair *p, const Digits *d, const DemoOptions *o, const char *name);
bool pair_measure(Pair *p, const Digits *d, const DemoOptions *o);
void pair_close(Pair *p);

#endif
