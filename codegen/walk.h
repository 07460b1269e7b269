/* walk: programs for devices ahead of time: the table that says what a program does, what is known of the walker that goes through
 * it, and the object that holds both. Relies on backend. Never knows what prints or compiles kernels.
 *
 * A table is words of 64 bits, the head first; other numbers in it are words, too, and say where in the table something is. A Dim
 * is a size, or below 0 the number -1 - d of an expression; all are computed at the beginning of a call. A buffer is a number, and
 * -1 is none. A step begins with its kind and the words that it takes; a list of steps is its words and then the steps. */
#ifndef KILN_CODEGEN_WALK_H
#define KILN_CODEGEN_WALK_H

#include "backend.h"

#define WALK_MAGIC 0x316b6c61776e6c6b

typedef struct WalkHead {
    int64_t magic;
    int64_t nexpr, expr;         /* of 3 words each: kind (DimKind), and two Dims; a symbol's first is its place in `dim` */
    int64_t nsymbol;             /* that a call brings */
    int64_t ndim, dim, by_value; /* what kernels read: an array that a launch brings along, or one in the device's memory */
    int64_t nbuf, buf;           /* of 2 words each: kind (BufKind), and its place among the call's, or in the workspace */
    int64_t ntemp, temp;         /* temporaries, for `sizes`: the end of the workspace before them, bytes of an element, dims */
    int64_t nresult, result;     /* of each result: how many axes, and their Dims */
    int64_t nfunction, function; /* of each: where in the names its own, which may be empty, begins, in bytes */
    int64_t names;
    int64_t most;      /* operands of one launch */
    int64_t step;      /* a list of steps */
    int64_t constants; /* bytes that lie on the device as long as the object is open */
    int64_t meeting;   /* bytes before the workspace in which blocks meet */
} WalkHead;

typedef enum WalkStep {
    /* function, threads of a block, bytes of shared memory to ask for, groups, { what their product is divided by, Dims, the Dims
     * }, operands, the most blocks, the buffers, 0 or 2 maps (tensor_map.h), { buffer, Dim where it begins, axes, the two extents
     * of a box, { extent, stride } }. There are as many blocks as the product of all groups says, each rounded up. */
    WALK_LAUNCH,
    WALK_COPY, /* from, to, bytes of an element, Dims, the Dims */
    /* trip buffer, trip Dim (INT64_MAX: none), index buffer, whether it counts down, slices, { buffer, of which one, bytes of an
     * element, stride }, the body */
    WALK_LOOP,
    /* selector, index buffer, count buffer, bound (INT64_MAX: none), code beyond it, slices as above, the condition, the body */
    WALK_WHILE,
    WALK_BRANCH, /* selector, its bytes, whether it has a sign, cases, the lists of their steps */
    WALK_CHECK,  /* an assertion: buffer, Dims, the Dims */
    /* a launch whose rows several blocks may share: function, the words of a ShareRows (share.h), elements of a row (a Dim), Dims,
     * the Dims of which the product is the number of rows, operands, the most blocks, the buffers; what blocks meet in comes
     * after them */
    WALK_ROWS,
    WALK_SIZE /* a size that is counted: its Dim, the most that it may be, the buffer that says it, and the list of what follows */
} WalkStep;

/* Where the walker keeps what it needs from one call to the next, and during one: the caller's memory. Headers of objects restate
 * how it begins. */
typedef struct Walk {
    char error[256];    /* what went wrong last */
    uint64_t constants; /* where they are on the device */
    const WalkHead *head;
    void *call[24]; /* the driver's functions */
    void *context, *module;
    int64_t device;
    int64_t word[]; /* of functions; what was asked of each; then of a call: expressions, dims, addresses, operands */
} Walk;

static inline int64_t walk_words(const WalkHead *h) { return 2 * h->nfunction + h->nexpr + h->ndim + h->nbuf + h->most + 3; }

/* Appends an object for this machine that has the walker's functions as PREFIX_begin, PREFIX_end, PREFIX_entry, PREFIX_copy and
 * PREFIX_sizes, and the data under their own symbols. It refers to nothing outside. False: st. */
bool walk_object(const char *prefix, const ObjectData *data, int n, Text *out, Status *st);

#endif
