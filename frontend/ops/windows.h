/* windows: the geometry of windows over one to three axes of space, which convolution and pooling share, and windows as tensors.
 * Relies on ops.h. */
#ifndef KILN_FRONTEND_OPS_WINDOWS_H
#define KILN_FRONTEND_OPS_WINDOWS_H

#include "ops.h"

#define WINDOW_SPACE 3 /* axes of space at most */

typedef struct Geometry {
    const char *op;
    int space, first; /* how many axes of space, and the first of them */
    int64_t size[WINDOW_SPACE], stride[WINDOW_SPACE], dilation[WINDOW_SPACE], groups;
    bool ceil, lower;                            /* rounds the number of windows up; same padding has its odd element before */
    Dim pad[WINDOW_SPACE][2], out[WINDOW_SPACE]; /* out: how many windows there are */
    Dim beyond[WINDOW_SPACE];                    /* what the last window of `ceil` needs behind the padding */
    bool padded;                                 /* by any of the two */
} Geometry;

/* x, along whose axes one window fits at least; where that is open, the running trace asserts it (axis_at_least). What is wrong
 * anyway is left to window_geometry. */
kiln_tensor *window_room(Thread *t, kiln_site at, const Geometry *g, const kiln_convolution *w, kiln_tensor *x, bool pooling);
/* Entries of an option behind those of the axes of space, `each` for an axis, must be 0. False: recorded. */
bool window_spares(Thread *t, kiln_site at, const char *op, const char *option, const int64_t *entry, int each, int space);
/* Fills in what the options leave out; op, space, first, size and ceil are known. False: recorded. */
bool window_geometry(Thread *t, kiln_site at, Geometry *g, const kiln_convolution *w, const kiln_tensor *x, bool pooling);

/* x [n, space..., channels] or [n, channels, space...] as [outer, space..., inner]: windows never look at channels, so channels
 * first are more images. */
typedef struct Frame {
    Thread *t;
    kiln_site at;
    const kiln_tensor *x; /* as it was given */
    Geometry g;
    bool channels_first;
    Dim outer, inner;
    Composite body; /* between frame_begin and frame_end */
} Frame;

/* The composite's body, whose tables and numbers lie where x does. */
static inline void frame_begin(Frame *f)
{
    f->body = composite_begin(f->t, f->g.op);
    composite_beside(f->t, f->x);
}
static inline kiln_tensor *frame_end(Frame *f, kiln_tensor *r) { return composite_end(f->t, &f->body, r); }

/* The operand, images of one to three axes of space, and its frame, in which g.op is known. Poison: recorded. */
kiln_tensor *frame_operand(Frame *f, kiln_operand o, bool floats);
/* The options, of which size may leave out the last; then the geometry. False: recorded. */
kiln_pooling pooling_of(const kiln_pooling *options, size_t size);
/* x: the operand, as window_room has it; NULL: there is none. */
bool frame_geometry(Frame *f, const kiln_pooling *w, kiln_tensor **x);
kiln_tensor *frame_padded(const Frame *f, kiln_tensor *x, int64_t fill); /* fill: a number of x's dtype, as attribute bits */
Dim frame_extent(const Frame *f, int axis);                              /* of a padded axis of space */
/* The windows of a padded x along the axes of space a and b, or of a alone (b = a), seen as [outer, a, b, inner]: [outer, windows
 * of a, of b, size of a, of b, inner]. g.out becomes what the op says of their numbers: of symbols one number has several
 * expressions. */
kiln_tensor *frame_windows(Frame *f, kiln_tensor *x, int a, int b, Dim outer, Dim inner);
/* [outer, windows of each axis..., inner] as the result, of x's rank. */
kiln_tensor *frame_result(const Frame *f, kiln_tensor *x);
/* All windows of a padded x: [outer, windows of each axis..., sizes of each axis..., inner]. */
kiln_tensor *frame_all(Frame *f, kiln_tensor *x);
/* What a p-norm sums up, and the root of the sum, of which a sum of 0 has no slope. */
kiln_tensor *pool_powers(kiln_site at, kiln_tensor *x, double p);
kiln_tensor *pool_root(kiln_site at, kiln_tensor *sum, double p);
bool pool_kind_ok(Thread *t, kiln_site at, const char *op, kiln_pool_kind kind, double p); /* false: recorded */
int64_t lowest_bits(DType d); /* the least number of the dtype that is finite, or minus infinity, as attribute bits */

#endif
