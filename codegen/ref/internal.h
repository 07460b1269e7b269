/* internal: what the interpreter's files share. Relies on codegen/ref.h, ir. Never used outside codegen/ref. */
#ifndef KILN_CODEGEN_REF_INTERNAL_H
#define KILN_CODEGEN_REF_INTERNAL_H

#include "../ref.h"

/* A frame is a graph with room for all its values; it is made once and run any number of times. */
typedef struct Frame {
    const Graph *g;
    int64_t *symbol;     /* shared by all frames of a run, since sizes are counted on the way */
    bool *unsure;        /* shared, too: per size, whether its count was undecided */
    RefTensor *value;    /* per value */
    struct Frame ***sub; /* per node: of its graphs, in order; NULL if it has none */
    Arena *arena;
} Frame;

/* One node being run. */
typedef struct Run {
    const Node *node;
    const DimTable *dims;
    const int64_t *symbol;
    bool tf32; /* operands of a product of f32 may be rounded to tf32; not in regions */
    const RefTensor *const *in;
    RefTensor *out; /* per result */
    Frame **body;   /* of a region's graphs, else NULL */
    Arena *arena;   /* for stacks of loops whose length is known only as they run */
    Status *st;
} Run;

bool frame_run(Frame *f, Status *st); /* parameters are filled already */

/* ---- each runs a family of ops; false after an error, which st tells */
bool ref_elementwise(Run *r);
bool ref_cast(Run *r);
bool ref_bitcast(Run *r);
bool ref_move(Run *r);
bool ref_gather(Run *r);
bool ref_source(Run *r);
bool ref_reduce(Run *r);
bool ref_argextreme(Run *r);
/* ref_NAME runs an op that is OUTSIDE of kernels, or ALONE where none has it. */
#define OUTSIDE(name) bool ref_##name(Run *r);
#include "../../ir/outside.h"
RefTensor ref_tensor(Arena *a, const Type *type); /* zeros; constant dims */

/* ---- elements */
double ref_ulp(DType t, double v);    /* the distance to the next element of t above |v| */
double ref_largest(DType t);          /* finite element of t */
int ref_lowest(DType t);              /* exponent of the smallest number above 0 of t */
double ref_unit(DType t);             /* the unit roundoff of the type in which t is computed */
int64_t ref_wrap(DType t, int64_t v); /* wraps to the width of t; bool: v != 0 */
/* Sets element i to v, rounded. A correct execution may be `err` away from v before it rounds, and `ulps` more by an approximation.
 * The element is undecided if such a value might or might not overflow. */
void ref_set(RefTensor *t, int64_t i, double v, double err, double ulps);
void ref_set_integer(RefTensor *t, int64_t i, DType from, int64_t v); /* sets an exact value, rounded once; u64 as its bits */
void ref_copy(RefTensor *to, int64_t i, const RefTensor *from, int64_t j);
void ref_copy_all(RefTensor *to, const RefTensor *from);
int ref_lowest_bit(double v); /* the exponent of the lowest bit that is set; v is finite and not 0 */
/* Multiples of 2^lowest whose absolute values add up to `size` are added without rounding in any order. */
bool ref_exact_sum(DType t, double size, int lowest);

/* ---- indices */
static inline void unravel(const Type *t, int64_t flat, int64_t *index)
{
    for (int k = t->rank; k-- > 0; flat /= t->dim[k]) index[k] = flat % t->dim[k];
}
static inline int64_t ravel(const Type *t, const int64_t *index)
{
    int64_t flat = 0;
    for (uint32_t k = 0; k < t->rank; k++) flat = flat * t->dim[k] + index[k];
    return flat;
}
int64_t ref_clamped(const RefTensor *indices, int64_t i, int64_t extent); /* index i, clamped to the range */
/* Splits an index of [before..., indices..., after...] into an index of the indexed tensor of that rank, with the indexed axis left
 * open, and returns which of the indices it is. */
int64_t ref_split(const RefTensor *indices, const int64_t *index, uint32_t rank, uint32_t axis, int64_t *at);
static inline int64_t run_dim(const Run *r, Dim d) { return dim_eval(r->dims, d, r->symbol); }

#endif
