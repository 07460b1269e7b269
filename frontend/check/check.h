/* check: what the files of this room share: telling results apart. */
#ifndef KILN_FRONTEND_CHECK_H
#define KILN_FRONTEND_CHECK_H

#include "../function/interpret.h"

/* How many elements differ in bits (NaN is one value); *largest grows to the largest absolute difference. */
int64_t tensors_differ(Thread *t, kiln_site at, kiln_tensor *a, kiln_tensor *b, double *largest);

/* What kiln_check compares, or a part of it. */
typedef struct CheckParts {
    bool reference, compiled; /* eager code with the reference interpreter, compiled code with eager code */
    /* NULL, or: is told now and then that `done` of `all` are compared, from 0 on for each of the two. */
    void (*progress)(void *user, uint32_t done, uint32_t all);
    void *user;
} CheckParts;
kiln_verdict check_parts(kiln_site at, FILE *report, kiln_function *f, kiln_tensor *const *in, int nin, const CheckParts *parts);
kiln_verdict check_parts_of(kiln_site at, FILE *report, kiln_function *f, kiln_operands in, const CheckParts *parts);

/* profile_engine.c: KILN_PROFILE, as an engine opens, and as it closes. */
void profile_open(kiln *k);
void profile_close(kiln *k);

/* units.c: "1.23 ms"; "4.1 MB", and the same of other units: of v as they count v, then of thousands, millions, thousand millions.
 */
const char *time_text(double seconds, char *buf, size_t cap);
const char *bytes_text(double bytes, char *buf, size_t cap);
const char *quantity_text(double v, const char *const unit[4], char *buf, size_t cap);

#endif
