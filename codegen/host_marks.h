/* host_marks: where a running call of code with marks is, and how long it was in each step. Relies on host.h. Never shared between
 * calls. */
#ifndef KILN_CODEGEN_HOST_MARKS_H
#define KILN_CODEGEN_HOST_MARKS_H

#include "host.h"

typedef struct HostMark { /* of one step, without those inside it */
    double seconds;
    int64_t times; /* that it began */
} HostMark;

typedef struct HostMarks {
    double since;
    HostMark *now; /* the step that the call is in; NULL: none yet */
    HostMark *at;  /* per number of a step */
} HostMarks;

void host_mark(const KilnHost *h, int64_t number); /* KilnHost.mark */
void host_marks_end(HostMarks *m);                 /* the call has come back */

#endif
