/* ops: what this room offers: operands as tensors, the one function through which every operation goes, arithmetic on sizes,
 * composites, assignments. Never knows how an operation is traced or recorded. */
#ifndef KILN_FRONTEND_OPS_H
#define KILN_FRONTEND_OPS_H

#include "../engine/engine.h"

/* ---- operands ---------------------------------------------------------------------------------------------------------------- */
/* Makes a tensor of an operand: reads a variable, makes a constant of type `like` of a number (like NULL: numbers are an error).
 * op: whose operand it is, for messages. The result is usable, or poison; then an error was recorded unless the operand was
 * poison. */
kiln_tensor *operand_named(Thread *t, kiln_site at, const char *op, kiln_operand o, const Type *like);
/* The thread in which an operation on these operands runs, from the first tensor or variable. NULL: none of them names an engine,
 * or a thread could not be made. */
Thread *operands_thread(const kiln_operand *o, int n);
bool operand_is_number(kiln_operand o);
/* Two operands promoted and broadcast against each other. False: recorded (op is for the text). */
bool operand_pair(Thread *t, kiln_site at, const char *op, kiln_operand a, kiln_operand b, kiln_tensor *out[2]);
kiln_tensor *constant_of(Thread *t, kiln_site at, const Type *type, kiln_operand number); /* checks that the dtype holds it */

/* ---- the way to every operation ---------------------------------------------------------------------------------------------- */
/* Runs the op now, or appends it to the running trace; open tapes record it. in: live tensors or poison (then out is poison).
 * Returns out[0]; a failure is recorded and fills out with poison. */
kiln_tensor *apply(Thread *t, kiln_site at, Op op, kiln_tensor *const *in, uint32_t nin, const int64_t *attr, uint32_t nattr,
    kiln_tensor **out, uint32_t nout);
kiln_tensor *apply1(Thread *t, kiln_site at, Op op, kiln_tensor *x, const int64_t *attr, uint32_t nattr);
kiln_tensor *apply2(Thread *t, kiln_site at, Op op, kiln_tensor *x, kiln_tensor *y, const int64_t *attr, uint32_t nattr);
/* The same with tensors that are checked already, for gradients during their walk. */
Module *module_of(Thread *t); /* the running trace's, for dims; NULL in eager code */
kiln_tensor *broadcast_to(Thread *t, kiln_site at, kiln_tensor *x, const Type *shape); /* x itself if equal; dtype kept */
kiln_tensor *reshape_to(Thread *t, kiln_site at, kiln_tensor *x, const Dim *dim, int rank);
kiln_tensor *cast_to(Thread *t, kiln_site at, kiln_tensor *x, DType d);
/* A dim as a scalar tensor of the dtype: a constant, or read when the function runs. */
kiln_tensor *dim_tensor(Thread *t, kiln_site at, Dim d, DType type);

/* The thread of the first operand that names an engine, else of the engine that this thread used last; NULL: none. */
static inline Thread *op_thread(const kiln_operand *o, int n)
{
    Thread *t = operands_thread(o, n);
    return t ? t : thread_last();
}
static inline kiln_operand of(kiln_tensor *x) { return kiln_of_tensor(x); }

/* ---- lists and places for results that a caller gives: NULL, or a count below 0, is an error that says so. False: recorded. */
static inline bool list_there(Thread *t, kiln_site at, const char *what, const void *list, int64_t count)
{
    if (count >= 0 && (list || count == 0)) return true;
    fail(t, at, KILN_EVALUE, count < 0 ? "%s: the count is %lld; it must be 0 or more" : "%s: an array of %lld elements is NULL",
        what, (long long)count);
    return false;
}
/* Poisons all results after an error; out may be NULL. Returns false. */
static inline bool results_poison(Thread *t, kiln_tensor **out, int64_t n)
{
    for (int64_t i = 0; out && i < n; i++) out[i] = t ? &t->k->poison : NULL;
    return false;
}

/* ---- lists of operands (KILN_IN, kiln_tensors, kiln_variables) */
kiln_operand operands_get(kiln_operands l, int i);
Thread *operands_of_thread(kiln_operands l); /* as op_thread */
/* Makes tensors of the operands, in the thread's scratch: variables are read, and numbers, if allowed, become what kiln_local makes
 * of them. NULL: recorded, or one is poison. */
kiln_tensor **list_tensors(Thread *t, kiln_site at, const char *what, kiln_operands l, bool numbers);

/* The list as an array of operands, whatever it was given as. False: recorded, and nothing has to be closed. */
typedef struct OperandArray {
    const kiln_operand *at;
    kiln_operand few[16], *many;
} OperandArray;
bool operand_array_open(Thread *t, kiln_site at, const char *what, kiln_operands l, OperandArray *a);
void operand_array_close(OperandArray *a, kiln_operands l);

/* The tensors of l while `call` stands; out is poisoned if they are none. */
#define WITH_TENSORS(t, what, l, out, nout, call)                        \
    do {                                                                 \
        if (!(t)) return false;                                          \
        ScratchMark mark = scratch_mark(&(t)->scratch);                  \
        kiln_tensor **x = list_tensors((t), at, (what), (l), true);      \
        const bool ok = x ? (call) : results_poison((t), (out), (nout)); \
        scratch_reset(&(t)->scratch, mark);                              \
        return ok;                                                       \
    } while (0)

/* ---- operands: each returns a usable tensor, or poison (recorded unless the operand was poison) */
kiln_tensor *operand_float(Thread *t, kiln_site at, const char *op, kiln_operand x); /* floats only */
/* Both in the dtype that they promote to. False: poison, or recorded. */
bool operands_alike(Thread *t, kiln_site at, const char *op, kiln_tensor *x[2]);
/* An eager tensor, whose elements can be read. NULL: poison, or recorded. */
kiln_tensor *operand_concrete(Thread *t, kiln_site at, const char *op, kiln_operand o);
/* The number as the attribute bits of a constant of dtype d. False: recorded. */
bool number_bits(Thread *t, kiln_site at, const char *op, DType d, kiln_operand number, int64_t *bits);
/* A number as a tensor of that dtype and shape (in eager code one element, read with strides of 0). */
kiln_tensor *number_like(Thread *t, kiln_site at, const char *op, const Type *shape, kiln_operand number);
kiln_tensor *number_beside(
    Thread *t, kiln_site at, const char *op, const kiln_tensor *x, kiln_operand number); /* x's, and beside x */
/* r, or a new handle if r is the operand x itself: a result is another tensor than its operand. */
kiln_tensor *result_of(Thread *t, kiln_site at, kiln_tensor *r, kiln_tensor *x);

/* ---- sizes: constants or, in a trace, expressions. DIM_BAD, passed on: no such size ---------- */
typedef enum ExtentOp {
    EXTENT_ADD,
    EXTENT_SUB,
    EXTENT_MUL,
    EXTENT_FLOORDIV,
    EXTENT_MAX,
    EXTENT_EXACT,
    EXTENT_ANY_ADD, /* from here on: numbers of any sign, in a trace only (dim_any_add) */
    EXTENT_ANY_SUB,
    EXTENT_ANY_MUL,
    EXTENT_ANY_FLOORDIV
} ExtentOp;
Dim extent(Thread *t, kiln_site at, ExtentOp op, Dim a, Dim b);
static inline int64_t extent_lo(Thread *t, Dim d) { return dim_is_const(d) ? d : dim_lo(&module_of(t)->dims, d); }
static inline int64_t extent_hi(Thread *t, Dim d) { return dim_is_const(d) ? d : dim_hi(&module_of(t)->dims, d); }
bool extent_reaches(Thread *t, kiln_site at, Dim n, Dim least); /* n is no less, whatever the symbols are */
/* a node counts it while the function runs */
static inline bool extent_counted(Thread *t, Dim d) { return !dim_is_const(d) && dim_is_counted(&module_of(t)->dims, d); }
/* The indices of the elements of mask, bool[n], that are true, in order, i64[m]; at most `most` of them, -1: n. Poison:
 * recorded. */
kiln_tensor *mask_places(Thread *t, kiln_site at, const char *op, kiln_tensor *mask, int64_t most);
/* Of elements at these places, i64[m], in a tensor of that type seen as one axis: the indices along one of its axes. */
kiln_tensor *place_along(Thread *t, kiln_site at, const Type *x, kiln_tensor *place, int axis);
/* x, whose axis has so many elements, and may be taken to: an error now if it has fewer; where it may have fewer, an assertion of
 * the running trace, behind which its size is the larger of both. Poison: recorded. */
kiln_tensor *axis_at_least(Thread *t, kiln_site at, const char *op, kiln_tensor *x, int axis, Dim least);
/* the reason for the last DIM_BAD, such as "is a sum of more than 32 terms" */
const char *extent_trouble(Thread *t, char *buf, size_t cap);
Dim extent_product(Thread *t, kiln_site at, const Dim *d, int n);
bool shapes_broadcast(Thread *t, kiln_site at, const char *op, const kiln_tensor *a, const kiln_tensor *b, Type *out);

/* ---- composites: their temporaries live in a scope of their own, and their errors bear the name of the outermost one -------- */
typedef struct Composite {
    kiln_scope scope;
    const char *outer;
    uint64_t failures; /* the thread's, before the composite began */
    uint8_t device;    /* the thread's, before: composite_end gives it back */
} Composite;

/* op: what the user called, for errors. Every way out goes through composite_end. */
static inline Composite composite_begin(Thread *t, const char *op)
{
    Composite c = {.outer = t->called, .failures = t->failures, .device = t->device};
    if (!t->called) t->called = op;
    c.scope = kiln_scope_open(t->k);
    return c;
}

/* What it makes from here on, zeros, places and tables, lies beside x, on whatever device the thread is. */
static inline void composite_beside(Thread *t, const kiln_tensor *x) { device_beside(t, x); }

/* Whether nothing failed in it, not even making its scope; only then may it write variables. */
static inline bool composite_well(const Thread *t, const Composite *c) { return t->failures == c->failures; }

/* Moves a result to the caller's scope. */
static inline void composite_keep(Thread *t, kiln_tensor *r)
{
    if (r && r->in_scope && r->home == t && r->scope + 1 == t->scopes) kiln_keep(r);
}

/* r: the result, or NULL. Returns r. */
static inline kiln_tensor *composite_end(Thread *t, Composite *c, kiln_tensor *r)
{
    composite_keep(t, r);
    kiln_scope_close(&c->scope);
    t->called = c->outer;
    t->device = c->device;
    return r;
}

/* The type in which composites of x compute, so as to round once: f32 for 16-bit floats. */
static inline DType wide_dtype(const kiln_tensor *x) { return (DType)dtype_info[x->type.dtype].compute; }
/* sqrt(sum of squares) over all elements of all x: a scalar of f32, or of f64 if one x is. It is right wherever the result is in
 * that range. Its gradient at 0 is 0. */
kiln_tensor *norm_of(Thread *t, kiln_site at, kiln_tensor *const *x, int count);
/* Powers of two that bring squares whose sums are `sum` back into the type's range; nearly always 1. */
kiln_operand norm_scale(kiln_site at, kiln_operand sum, DType d);

/* ---- assignments made together: all of them or, after an error, none. Values have their variables' types. False: recorded.
 * ---- */
typedef struct Assignment {
    kiln_variable *to;
    kiln_tensor *value;
} Assignment;
bool assign_all(Thread *t, kiln_site at, const Assignment *a, int count);
/* Takes a variable's value, to be kept (back false) or put back once it is known whether what follows succeeds; neither needs
 * memory. NULL: there is nothing to put back, as in a trace, which stores nothing if it fails. */
kiln_tensor *variable_remember(const Thread *t, const kiln_variable *v);
void variable_recall(kiln_variable *v, kiln_tensor *value, bool back);

/* The thread and the tensor of an operation's first operand, which may be no number. NULL: there is no thread; else usable or
 * poison. */
kiln_tensor *first_operand(kiln_site at, const char *op, kiln_operand o, Thread **t);
/* The axes in the order named, none of them twice; KILN_ALL: all. Their number, or -1: recorded. */
int axes_listed(Thread *t, kiln_site at, const char *op, const kiln_axes *axes, int rank, int out[MAX_RANK]);
/* Tensors of integers, or a number as one of i64. Poison: recorded. */
kiln_tensor *operand_index(Thread *t, kiln_site at, const char *op, kiln_operand o);
/* ---- axes that a reduction is over ----------------------------------------------------------- */
typedef struct Axes {
    uint32_t n;
    int64_t at[MAX_RANK]; /* ascending */
} Axes;
bool reduced_axes(Thread *t, kiln_site at, const char *op, const kiln_axes *axes, int rank, Axes *out); /* false: recorded */
Type kept_of(const kiln_tensor *x, const Axes *axes); /* the shape of x with the axes of size 1 */
/* How many elements the axes hold, as a scalar of the dtype. */
kiln_tensor *axes_count(Thread *t, kiln_site at, const char *op, const kiln_tensor *x, const Axes *axes, DType type);

/* x with the axes as its last one, in their order; poison: recorded. */
kiln_tensor *axes_last(Thread *t, kiln_site at, const char *op, kiln_tensor *x, const Axes *axes);

/* ---- ops that other files build on ---------------------------------------------------------- */
kiln_tensor *binary(kiln_site at, Op op, kiln_operand x, kiln_operand y);
kiln_tensor *transpose_to(Thread *t, kiln_site at, kiln_tensor *x, const int *perm); /* perm: x's rank of axes */
kiln_tensor *iota_of(
    Thread *t, kiln_site at, const Type *type, int axis, const kiln_tensor *beside); /* where that lies, if not NULL */
/* Along one axis, first >= 0, step 1, in range. */
kiln_tensor *slice_axis(Thread *t, kiln_site at, kiln_tensor *x, int axis, Dim first, Dim size);
kiln_tensor *slice_steps(Thread *t, kiln_site at, kiln_tensor *x, int axis, Dim first, Dim size, int64_t step); /* step >= 1 */
/* kiln_tile, kiln_pad_with along one axis, kiln_top_k (how: KILN_DESCENDING) and kiln_bottom_k (0) with sizes that may be symbols.
 * Which are no less than 0. */
kiln_tensor *tile_by(Thread *t, kiln_site at, kiln_tensor *x, const Dim *times, int n);
kiln_tensor *pad_with_axis(Thread *t, kiln_site at, kiln_tensor *x, int axis, Dim low, Dim high, kiln_padding how);
/* floor(by * n), or `up`, its ceil, with the product as a double or, `single`, as a float, as whole numbers: (over n + more) /
 * under. DIM_BAD: n has too many values for that to be looked up, or there are no such numbers. by > 0. */
Dim extent_scaled(Thread *t, kiln_site at, Dim n, double by, bool single, bool up);
/* kiln_resize; size: of each axis, which may be 0, too. NULL: the options have it. */
kiln_tensor *resize_to(kiln_site at, kiln_operand x, kiln_axes axes, const kiln_resizing *options, const Dim *size);
kiln_tensor *first_few(kiln_site at, const char *name, kiln_operand x, Dim count, int axis, int how, kiln_tensor **indices);
/* Draws uniform numbers in [lo, hi) from the engine's own generator, which any thread may use at any time. */
kiln_tensor *uniform_own(Thread *t, kiln_site at, kiln_dtype d, kiln_shape shape, double lo, double hi);
/* For each of the integers, whether it lies in [0, size). */
kiln_tensor *is_index(Thread *t, kiln_site at, kiln_tensor *i, Dim size);
kiln_tensor *flip_axis(Thread *t, kiln_site at, kiln_tensor *x, int axis);
/* i as i64, moved into [0, size). */
kiln_tensor *index_clamped(Thread *t, kiln_site at, kiln_tensor *i, Dim size);
/* The elements' indices in x seen as one axis: the index along this axis, and the element's own index along each other axis, times
 * their strides. */
kiln_tensor *flat_index(Thread *t, kiln_site at, const Type *x, kiln_tensor *i, int axis);
/* The sum, and `by` times i; sum NULL: nothing yet. */
kiln_tensor *index_sum(Thread *t, kiln_site at, kiln_tensor *sum, kiln_tensor *i, Dim by);
/* x with the updates, in the shape of the indices, at indices into x seen as one axis, which are in range. */
kiln_tensor *scatter_flat(Thread *t, kiln_site at, kiln_tensor *x, kiln_tensor *flat, kiln_operand updates, kiln_scatter_how how);
/* The elements of x along the axis at indices i, which are i64 and in range; i has x's shape except along the axis. */
kiln_tensor *take_along(Thread *t, kiln_site at, kiln_tensor *x, kiln_tensor *i, int axis);
/* x with `low` elements before and `high` behind it along the axis; fill: a number of x's dtype. */
kiln_tensor *pad_axis(Thread *t, kiln_site at, kiln_tensor *x, int axis, Dim low, Dim high, kiln_operand fill);
/* The largest float of x over the axes, which are kept, or the smallest; where there may be none to choose from, `none` is one
 * more. */
kiln_operand extreme_or(Thread *t, kiln_site at, kiln_operand x, kiln_axes axes, double none, bool least);
/* The largest, where there are none minus infinity. */
kiln_operand largest_or_none(Thread *t, kiln_site at, kiln_operand x, kiln_axes axes);
/* The least value of the dtype, or with `most` the largest, which are infinite where it has infinities. */
kiln_operand extreme_of(DType d, bool most);
/* One-hot rows as bool, [..., classes], of integer indices. */
kiln_tensor *is_class(Thread *t, kiln_site at, kiln_tensor *indices, Dim classes);

#endif
