/* conv: what the files of convolutions share: a convolution without spread (contract_conv.c), its pieces (conv_pieces.c), and the
 * lines of x that windows cover (conv_lines.c). Relies on contract_parts. */
#ifndef KILN_CODEGEN_CONTRACT_CONV_H
#define KILN_CODEGEN_CONTRACT_CONV_H

#include <stdatomic.h>

#include "panels.h"

typedef struct Axis {
    int64_t in, taps, out, stride, dilation, low;
    int64_t to_first, to_step; /* which elements of y are made */
} Axis;

typedef struct Conv {
    ThreadPool *threads;
    const HostConv *c; /* but for `with`, `to` and what the axes say */
    Axis axis[3];
    const void *with; /* f32 or f64 */
    char *to;         /* likewise */
    const ContractType *kernels;
    const Panels *panels;          /* of the filters, the right operand of `product`; NULL: there are none */
    HostContract product;          /* in which each batch is a group */
    int64_t read, size;            /* bytes of an element of x, and of these */
    bool copies;                   /* x is read in copies */
    bool each;                     /* every group has one channel and one filter: lanes run along the groups */
    bool places;                   /* and they are computed by conv_places.c */
    bool together;                 /* lines of a piece are packed */
    bool by_strips;                /* pieces that follow each other have the same columns; else the same lines */
    bool along;                    /* rows are seen to where they were made */
    bool single;                   /* windows have taps along the last axis alone */
    int64_t k, groups, across;     /* links of a chain; groups, and columns of one */
    int64_t lines, columns, width; /* of a piece: lines of y (or channels of x), columns, positions of a line */
    int64_t blocks, strips, widths, parts, part, pieces; /* into how many pieces that cuts; and k, each part but the last so long */
    _Atomic(int64_t) *left;                              /* pieces that are missing, per block of lines */
    int64_t runs, links, room;                           /* of a piece at most; bytes */
    _Atomic(size_t) refused;                             /* bytes that were not there */
} Conv;

/* How far apart neighbours are, in elements. */
typedef struct Lines {
    bool copies;         /* a copy is read, else x itself */
    int64_t channels;    /* that are read */
    int64_t first, wide; /* of a line's positions in x, without its padding: the first, and how many of a copy */
    int64_t tap[3];      /* from one tap to the next */
    int64_t line, next;  /* from one line of y to the next, and one position */
} Lines;

/* For the windows of n positions from number `first` on. */
void lines_of(Lines *at, const Conv *v, bool copies, int64_t channels, int64_t first, int64_t n);
/* Copies what the windows of lines first .. last of a plane of y cover; the end of the copy. */
char *copy_lines(const Lines *at, const Conv *v, int64_t plane, int64_t first, int64_t last, int64_t channel, char *to);
/* Where they begin in x, if nothing of them is padding. */
int64_t place_of(const Lines *at, const Conv *v, int64_t plane, int64_t line, int64_t channel);

/* The number of the position of y that is `first` of line `line` of all planes. */
int64_t conv_position(const Conv *v, int64_t line, int64_t first);

bool conv_by_places(const Conv *v);
bool places_room(const Conv *v, int64_t *bytes); /* false: too many to count */
/* Those channels of m places, from `first` on, of n lines of all planes. */
void places_run(const Conv *v, void *room, int64_t line, int64_t n, int64_t first, int64_t m, int64_t channel, int64_t channels);

bool conv_run(Conv *v, Status *st);

#endif
