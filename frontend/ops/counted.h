/* counted: sizes that a tensor tells, for operations beside those of include/kiln/sized.h. Relies on ops.h. */
#ifndef KILN_FRONTEND_OPS_COUNTED_H
#define KILN_FRONTEND_OPS_COUNTED_H

#include "ops.h"

/* A size that n, i64[], counts, moved into 0 to the bound: its number, or in a trace a symbol. DIM_BAD: recorded. */
Dim size_counted(Thread *t, kiln_site at, kiln_tensor *n, Dim bound);
/* kiln_attention of in[3], causal, of which no query sees a key from `seen`, i64[], on: query i sees keys 0 to i + seen - queries.
 * Time goes with `seen`, not with the keys that there are. */
kiln_tensor *attention_upto(
    Thread *t, kiln_site at, const kiln_operand in[3], const kiln_attention_options *options, kiln_tensor *seen);

#endif
