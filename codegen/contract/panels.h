/* panels: right operands of products, packed once and kept with the buffer that they lie in (Buffer.attached), for the products
 * that follow. They are made for the second product that wants the same layout, never of borrowed memory, and go when the buffer is
 * written or released, so that what is found there is always what packing would give. Any thread may look and make some. Relies on
 * contract_parts.h. */
#ifndef KILN_CODEGEN_CONTRACT_PANELS_H
#define KILN_CODEGEN_CONTRACT_PANELS_H

#include "contract_parts.h"
#include "keep.h"

/* Panel after panel of `wide` columns, all of k in each, in groups as the type has them; matrix after matrix of those batch axes
 * along which b is not one and the same. */
struct Panels {
    Attachment attached;
    Buffer *memory; /* in which this lies as well */
    PanelCache *cache;
    size_t bytes;
    const char *at;
    int64_t groups;        /* of k */
    int64_t panel, matrix; /* bytes */
};

/* Those of c's right operand, kept or kept from now on; NULL: there are none, and the product packs what it needs for itself. */
const Panels *panels_of(ThreadPool *threads, const HostContract *c);
/* Where those of this batch begin, of column `column` (the first of a panel) and of element `k` (the first of a group). */
const char *panels_at(const Panels *p, const HostContract *c, int64_t batch, int64_t column, int64_t k);

#endif
