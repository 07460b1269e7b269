/* resize: an axis that is resized, and the way where its size is a symbol. Relies on ops.h. */
#ifndef KILN_FRONTEND_OPS_RESIZE_H
#define KILN_FRONTEND_OPS_RESIZE_H

#include "ops.h"

/* One axis: of each new element `taps` places in x and, but for the nearest, their weights. */
typedef struct Along {
    int axis, taps;
    Dim n, out;
    double given, scale, wide; /* given: as an option, or 0; wide: the scaled size, which need not be whole */
    double roi[2];
    int64_t *at;    /* [out][taps] */
    double *weight; /* the same */
    bool *outside;  /* [out]; NULL: none is */
} Along;

/* Whether an axis can be resized whose size n, or `out`, is a symbol; finds `out` unless it is sized. False: recorded. */
bool resize_open_fits(Thread *t, kiln_site at, const kiln_tensor *x, const kiln_resizing *r, bool sized, Along *a);
/* Along such an axis, to the bit what tables would give. */
kiln_tensor *resize_open(Thread *t, kiln_site at, kiln_tensor *x, const kiln_resizing *r, const Along *a);

#endif
