/* forest: decision trees of ONNX's domain ai.onnx.ml, read from attributes in either form and checked: every node has one place,
 * every path ends in a leaf. Private to the room. Relies on ml.h. */
#ifndef KILN_FRONTEND_ONNX_FOREST_H
#define KILN_FRONTEND_ONNX_FOREST_H

#include "ml.h"

typedef enum Branch {
    BRANCH_LEQ,
    BRANCH_LT,
    BRANCH_GTE,
    BRANCH_GT,
    BRANCH_EQ,
    BRANCH_NEQ,
    BRANCH_MEMBER,
    BRANCHES
} Branch; /* v5's numbers */

/* Nodes of all trees. A leaf is its own child on either side. */
typedef struct Forest {
    int64_t nodes, trees, depth, targets;
    int64_t *root;               /* per tree */
    int64_t *feature, *yes, *no; /* per node */
    int64_t *mode;               /* per node: Branch, or -1: a leaf */
    double *split, *missing;     /* per node; missing: 1 where NaN goes to `yes` */
    double *weight;              /* [nodes, targets]: a leaf's; of others 0 */
    bool *scored;                /* [nodes, targets]: it has one */
    bool misses;                 /* some `missing` is 1 */
    double *member;              /* [nodes, most]: what BRANCH_MEMBER looks for, then NaN; NULL: no node does */
    int64_t most;
} Forest;

/* trees, nodes, targets and weights of a node's lists, which begin with `target` or `class`. False: recorded. */
bool forest_lists(Call *c, const char *weights, int64_t targets, int64_t features, Forest *f);
bool forest_leaves(Call *c, int64_t features, Forest *f); /* of a TreeEnsemble */

#endif
