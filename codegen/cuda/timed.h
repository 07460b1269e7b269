/* timed: how long a run's steps take on the device. Relies on run.h, host_marks.h. */
#ifndef KILN_CODEGEN_CUDA_TIMED_H
#define KILN_CODEGEN_CUDA_TIMED_H

#include "../host_marks.h"
#include "run.h"

#define TIMED_EVENTS 64

typedef struct Timed { /* zeros; without marks nothing is timed */
    HostMarks *marks;
    uint32_t n, made; /* events that stand in the stream, and that there are */
    CUevent event[TIMED_EVENTS];
    int64_t step[TIMED_EVENTS]; /* that begins there, or goes on */
} Timed;

/* Step `number` begins in the stream; below 0: step -1 - number goes on. False: st. */
bool timed_mark(Timed *t, CudaQueue *q, int64_t number, Status *st);
/* Waits for the stream, and adds the times up. False: st. */
bool timed_end(Timed *t, CudaQueue *q, Status *st);
void timed_free(Timed *t, const CudaDriver *d);

#endif
