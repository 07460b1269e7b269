/* sizes: which nodes need the sizes that others count (set_size). Such a size is named in types and attributes, not in operands, so
 * whoever orders nodes or drops them asks here. Relies on graph. */
#ifndef KILN_IR_SIZES_H
#define KILN_IR_SIZES_H

#include "graph.h"

typedef struct SizeNeeds {
    const uint32_t *first, *maker; /* node i needs the set_size nodes maker[first[i]] up to where i + 1 begins */
} SizeNeeds;

/* NULL: no node of g counts a size. A node that runs graphs needs what they need and do not count themselves. */
const SizeNeeds *size_needs(const Graph *g, Arena *arena);
/* Whether every size that a node of g names is counted by an earlier one or, unless g is the entry, by none of g; else *node is the
 * first that is not so. */
bool sizes_follow(const Graph *g, Arena *scratch, uint32_t *node);
/* The size up to `bound` that a node of g counts by a value that is surely n; DIM_BAD: there is none. */
Dim size_counted_as(const Graph *g, Value n, Dim bound);
bool size_named(const DimTable *t, Dim d, Dim symbol); /* d names it */
bool size_of_own(const Graph *g, const Type *type);    /* it names a size that a node of g counts */
/* The counted symbols in d are flagged in `named`, per expression of the table. */
void size_names(const DimTable *t, Dim d, bool *named);

#endif
