/* index: index maps. Inside a kernel a value is demanded at a map from the kernel's axes to an element of the value, and movement
 * ops only change the map. A map speaks of a *view*: sizes whose row-major order is the value's own (a reshaping), and per size one
 * expression over the axes. Reshapes and elementwise ops pass maps through unchanged. Fusing (passes) and lowering (codegen) share
 * this file, so that what one joins the other can lower. Relies on graph. Never knows kernels. */
#ifndef KILN_IR_INDEX_H
#define KILN_IR_INDEX_H

#include "graph.h"
#include "tree.h"

#define INDEX_AXES 12
#define INDEX_DIMS 16

/* base - minus + sum of +-coef[a] * axis a + the value of `dyn`. */
typedef struct IndexExpr {
    Dim base, minus;
    Dim coef[INDEX_AXES];
    uint32_t negative; /* bit per axis: its term is subtracted */
    int32_t dyn;       /* an i64 value that is no affine function of the axes; -1: none */
} IndexExpr;

typedef struct IndexMap {
    uint32_t rank;
    Dim dim[INDEX_DIMS];
    IndexExpr at[INDEX_DIMS];
} IndexMap;

/* The axes, and who makes values that are not affine. */
typedef struct IndexEnv {
    DimTable *dims;
    uint32_t naxis;
    Dim extent[INDEX_AXES];
    int sweep;   /* the axis that reductions fold; -1: none yet */
    bool affine; /* refuse what needs a division, of the sweep's index excepted */
    void *user;
    int32_t (*prim)(void *user, Prim p, int32_t a, int32_t b); /* i64 arithmetic; comparisons give bool */
    int32_t (*dim)(void *user, Dim d);
    int32_t (*axis)(void *user, uint32_t axis);
    /* The element of v, an index, that is demanded at a map, as an i64 value clamped to 0 .. size - 1; -1: it cannot be had. */
    int32_t (*clamped)(void *user, Value v, const IndexMap *at, Dim size);
    /* After a refusal: splitting this axis into extent / split_inner by split_inner would have made it affine. -1: nothing would.
     */
    int split_axis;
    Dim split_inner;
} IndexEnv;

/* What an operand of a movement op is demanded at, given the result's map. */
typedef struct IndexGuard { /* the access is inside the operand only where 0 <= e < size */
    IndexExpr e;
    Dim size;
} IndexGuard;
#define INDEX_GUARDS 8
typedef struct IndexStep {
    IndexMap map;
    uint32_t nguard;
    IndexGuard guard[INDEX_GUARDS];
    bool outside; /* some guard holds nowhere */
    bool fills;   /* where the access is outside, the element is `fill` */
    int64_t fill;
} IndexStep;

void index_env_init(IndexEnv *env, DimTable *dims);
/* The identity on axes [0, n): the map of a value whose elements are the points. */
void index_root(const IndexEnv *env, uint32_t n, IndexMap *out);
/* The map of a value that lies over the axes in `layout` (index_layout); false if it names an axis that is not there. */
bool index_from_layout(const IndexEnv *env, int64_t layout, IndexMap *out);
/* A bijective map as 4 bits per view dim, outermost in the lowest bits: axis + 1. */
int64_t index_layout(const IndexMap *m);

/* Equal maps get equal forms: sizes of 1 go, sizes that axes tile exactly are split. All maps below are in this form. */
void index_normalise(IndexEnv *env, IndexMap *m);
/* The same elements seen through the sizes of `shape`, one expression per axis of it. */
bool index_regroup(IndexEnv *env, const IndexMap *in, const Dim *shape, uint32_t rank, IndexMap *out);
/* One linear index of the element: sum of expression * stride in the view. */
bool index_linear(IndexEnv *env, const IndexMap *m, IndexExpr *out);
/* The same where the elements of the value, of type t, lie `stride` elements apart along each axis. */
bool index_strided(IndexEnv *env, const IndexMap *m, const Type *t, const Dim *stride, IndexExpr *out);

/* Operand k of n, an op that may stand in a kernel and whose result is demanded at m; of a reduction with env->sweep as the folded
 * axis. */
bool index_operand(IndexEnv *env, const Graph *g, const Node *n, uint32_t k, const IndexMap *m, IndexStep *out);
/* Of a concat whose result is demanded at m, operands below the returned one and from *past on are never reached. */
uint32_t index_joined(IndexEnv *env, const Graph *g, const Node *n, const IndexMap *m, uint32_t *past);
/* What a rule of index maps, map_NAME, sees: that question. out->map is empty; it is normalised afterwards. */
typedef struct Mapping {
    IndexEnv *env;
    const Graph *g;
    const Node *n;
    uint32_t k;
    const IndexMap *m;
    IndexStep *out;
} Mapping;

/* Whether 0 <= e < size at the points of the axes. */
typedef enum IndexWithin { WITHIN_MAYBE, WITHIN_NEVER, WITHIN_ALWAYS } IndexWithin;
IndexWithin index_within(const IndexEnv *env, const IndexExpr *e, Dim size);

static inline bool node_reduces(const Node *n) { return op_reduces((Op)n->op); }
bool index_one_run(const Node *n); /* a reduction folds axes that lie side by side, as a kernel can */
Dim index_reduced_extent(const Graph *g, const Node *n);
/* How docs/numerics.md folds n. */
typedef enum FoldForm {
    FORM_INDEX, /* strictly in order of the index, or (argmax, argmin) in any order */
    FORM_CHAINS,
    FORM_ROW /* the folded axis is the operand's innermost and not known to be shorter than TREE_LANES */
} FoldForm;
FoldForm index_fold_form(const Graph *g, const Node *n);

/* True if the map takes the points of the axes in *axes to the value's elements one to one. */
bool index_bijective(const IndexEnv *env, const IndexMap *m, uint32_t *axes);
uint32_t index_axes(const IndexMap *m); /* axes that affine terms use */
bool index_has_dyn(const IndexMap *m);
void index_copy(IndexMap *to, const IndexMap *from); /* what lies beyond the rank is neither read nor written */
static inline size_t index_bytes(const IndexMap *m) { return offsetof(IndexMap, at) + m->rank * sizeof m->at[0]; }
bool index_equal(const IndexMap *a, const IndexMap *b);
uint64_t index_hash(const IndexMap *m);

/* Axis a becomes two, a (outer) and a + 1 (inner, of extent `inner`); later axes move up. Expressions of env's maps follow with
 * index_split. False: no room, or not divisible. */
bool index_env_split(IndexEnv *env, uint32_t a, Dim inner);
void index_split(IndexEnv *env, IndexMap *m, uint32_t a, Dim inner);
/* Axis a becomes perm[a]. */
void index_rename(IndexMap *m, const uint8_t *perm);

/* Expressions. */
IndexExpr index_const(Dim base);
IndexExpr index_axis(uint32_t axis, Dim coef);
bool index_add(IndexEnv *env, IndexExpr *to, const IndexExpr *e);
bool index_scale(IndexEnv *env, IndexExpr *e, Dim by);
bool index_negate(IndexEnv *env, IndexExpr *e); /* size - 1 - e etc. are built from this */
int32_t index_value(IndexEnv *env, const IndexExpr *e);

#endif
