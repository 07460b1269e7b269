/* random_coverage: what came up in random graphs: ops, public functions, dtypes, sizes, nesting. Relies on random_graph.h. */
#ifndef KILN_TESTS_RANDOM_COVERAGE_H
#define KILN_TESTS_RANDOM_COVERAGE_H

#include "random_graph.h"

typedef struct RandomCoverage {
    uint32_t graphs, nodes, gradients;
    uint32_t special; /* graphs with NaN and infinities among their inputs */
    uint32_t drawn[OP_COUNT], composed[RANDOM_COMPOSED];
    uint32_t dtype[DT_COUNT]; /* values */
    uint32_t nested[4];       /* graphs, by how deep regions lie in regions */
    uint32_t extent[12];      /* axes of values, by size */
} RandomCoverage;

void coverage_add(RandomCoverage *c, const RandomGraph *rg);
void coverage_print(const RandomCoverage *c);
/* NULL: nothing is rarer than a run of so many graphs should have it; full: of 2,000 and more. Else a sentence that names it, which
 * stands until the next call. */
const char *coverage_lacks(const RandomCoverage *c, bool full);

#endif
