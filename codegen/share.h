/* share: rows that several blocks of a device share: how they are cut into pieces, and how many blocks a launch has. What prints
 * kernels, what launches them and the walker of objects ask here. Relies on ir/tree.h. */
#ifndef KILN_CODEGEN_SHARE_H
#define KILN_CODEGEN_SHARE_H

#include "../ir/tree.h"

enum { SHARE_BLOCK = 256, SHARE_WARPS = SHARE_BLOCK / TREE_LANES, SHARE_ROWS = 128 /* that are shared at one time */ };

typedef struct ShareRows {
    int64_t from;  /* shorter rows are a warp's */
    int64_t units; /* the most pieces of a row */
    int64_t least; /* of fewer pieces a row is one block's */
    int64_t kept;  /* pieces whose elements a block keeps */
    int64_t lists; /* of a word for each piece, in which the blocks of a row put what they found */
} ShareRows;

/* How many blocks of TREE_ROW elements a warp takes one after the other, so that a row of n has no more pieces. */
static inline int64_t share_deep(const ShareRows *s, int64_t n)
{
    int64_t deep = 1;
    while (tree_blocks(n, deep * SHARE_WARPS * TREE_ROW) > s->units) deep *= 2;
    return deep;
}

static inline int64_t share_units(const ShareRows *s, int64_t n)
{
    return tree_blocks(n, share_deep(s, n) * SHARE_WARPS * TREE_ROW);
}

typedef struct ShareGrid {
    int64_t blocks; /* rows at one time */
    int64_t parts;  /* blocks that share a row; they wait for each other, if it is more than one */
    int64_t words;  /* of 64 bits in which they meet: the first, one for each block of `blocks`, are zeros before the launch */
} ShareGrid;

static inline int64_t share_words(const ShareRows *s, int64_t blocks, int64_t n)
{
    return blocks * (1 + 2 * s->lists * share_units(s, n));
}

/* What is enough for rows of up to n: a shorter one has more pieces where those of n are deeper. */
static inline int64_t share_words_most(const ShareRows *s, int64_t blocks, int64_t n)
{
    return blocks * (1 + 2 * s->lists * (share_deep(s, n) > 1 ? s->units : share_units(s, n)));
}

/* The grid that computes so many rows of n elements, where so many blocks may be at work at once; 0: none may wait for others. */
static inline ShareGrid share_grid(const ShareRows *s, int64_t rows, int64_t n, int64_t at_once)
{
    ShareGrid g = {rows, 1, 0};
    if (n < s->from) return (ShareGrid){tree_blocks(rows, SHARE_WARPS), 1, 0};
    const int64_t units = share_units(s, n);
    if (rows < 1 || units < s->least || 2 * rows > at_once) return g;
    int64_t most = rows < SHARE_ROWS ? rows : SHARE_ROWS;
    const int64_t whole = s->kept ? tree_blocks(units, s->kept) : at_once + 1; /* blocks that keep all of a row */
    if (whole <= at_once && most > at_once / whole) most = at_once / whole;
    g.blocks = tree_blocks(rows, tree_blocks(rows, most));
    const int64_t parts = at_once / g.blocks < units ? at_once / g.blocks : units;
    g.parts = tree_blocks(units, tree_blocks(units, parts)); /* as soon as with all of them */
    if (g.parts > 1) g.words = share_words(s, g.blocks, n);
    return g;
}

#endif
