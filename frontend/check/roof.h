/* roof: what this machine moves and computes at most, measured. */
#ifndef KILN_FRONTEND_ROOF_H
#define KILN_FRONTEND_ROOF_H

#include "../../codegen/device.h"
#include "../../runtime/threads.h"

enum { ROOF_SIZES = 4 };
extern const size_t roof_bytes[ROOF_SIZES]; /* of what is moved again and again, from what the first cache holds to beyond most */

typedef struct Roof {
    int threads;             /* with which it was measured; where one alone is faster, with one */
    double move[ROOF_SIZES]; /* bytes read and written per second, by size */
    double f32, f64;         /* flops per second of a product whose operands the caches hold; 0: not measured, as on devices */
    const char *device;      /* whose memory it is; NULL: the host's */
} Roof;

/* With so many threads, started for it and ended behind it: an engine's may be busy, or be the user's own. Takes some tens of ms
 * the first time in a process for this number. False: st. */
bool roof_measure(int threads, Roof *out, Status *st);
/* The same of a device: what it copies within its memory. Not kept. */
bool roof_of_device(const Device *d, Roof *out, Status *st);
/* Bytes per second for something that moves so many. */
double roof_rate(const Roof *r, double bytes);

#endif
