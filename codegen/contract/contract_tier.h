/* contract_tier: what one instruction set offers to the product of two matrices: packing, cells of packed operands, whole small
 * blocks. Relies on base, ir/tree.h. Never knows threads. */
#ifndef KILN_CODEGEN_CONTRACT_TIER_H
#define KILN_CODEGEN_CONTRACT_TIER_H

#include "../../ir/tree.h"

#define MOST_ROWS 14            /* of a tile of any tier */
#define MOST_COLUMNS 32         /* of a panel */
#define FEW_ROWS 8              /* for which b is not worth packing */
#define FEW_TURNED 4            /* where its columns are turned on the way */
#define BLOCK_ROWS 140          /* most rows of a block */
#define NEAR_BYTES (1 << 20)    /* of a b that the second cache holds */
#define FAR_ROW (8 << 10)       /* bytes between rows of b that few rows of a had better read in long lines */
#define FAR_CELLS (1 << 17)     /* of a b that the second cache does not hold with all else */
#define ROOM_BYTES (224 << 10)  /* to pack a chain of a block's rows and some panels */
#define SELDOM_ROWS 28          /* of a block whose few tiles may as well read b where it lies */
#define FAR_BYTES (1 << 19)     /* between the first and the last row of a chain of b: for more rows a panel is worth packing */
#define SLAB (2 * TREE_PRODUCT) /* of k in one part of packed operands: a tile of a and a panel of b stay in the first cache */

/* Where the rows of a block and the links of their chains lie that a stride cannot tell, as those of windows: runs of rows, each
 * from its own element of a and c on. */
typedef struct Runs {
    int64_t count;
    const int64_t *a, *c; /* per run */
    const int64_t *k;     /* per link, what is added to the element of a */
} Runs;

/* How an operand's elements lie in memory: `narrow` is their DType where that is narrower than what is computed in, else 0. */
typedef struct Kind {
    int narrow, bytes;
} Kind;

/* c[m][n] of a[m][k] and b[k][n]; strides in elements; k > 0; c's columns lie side by side. */
typedef struct Block {
    const void *a, *b;
    void *c;
    int64_t m, n, k, a_row, a_col, b_row, b_col, c_row;
    Kind a_kind, b_kind;
    void *room;         /* `block` only, ROOM_BYTES, where `packs` says so; else NULL */
    const Runs *runs;   /* `block` and `each` only: m rows are in each, and a_col is not used; NULL: one run of rows */
    bool together;      /* all runs are one run of c, and are packed; BLOCK_ROWS rows at most */
    bool carry;         /* with runs: c is added to */
    const void *panels; /* `block` only: b, packed: panels of all columns, each of so many groups of k; NULL: it is not */
    int64_t panel;
} Block;

/* Windows of n channels that are kept apart: runs of m places, each to[n] the sum over `lines` of taps and the taps of each of x
 * times b[line, tap][n]. Where the channels of x's positions lie: for each run and each line of its taps at[wide], of which place
 * number r covers those from r * stride on, `dilation` apart. */
typedef struct Places {
    const void *const *at;
    const void *b;
    void *to;
    const int64_t *run_to; /* per run, elements */
    int64_t runs, m, n, lines, wide, taps, stride, dilation, b_row, to_row;
} Places;

/* A few rows of a, or columns of b: how far apart they lie, and elements of k. */
typedef struct Part {
    const void *at;
    int64_t line, deep;
    Kind kind;
} Part;

/* Some tiles of rows and some panels of columns of c[m][n], from packed operands: of a slab after slab of k, in each all tiles
 * [k][high]; of b all panels [b_panel][wide]. k counts groups here. */
typedef struct Cell {
    const void *a, *b;
    void *c;
    int64_t m, n, k, b_panel, c_row, tile, tile_end, panel, panel_end;
    bool carry; /* c is added to */
} Cell;

/* What elements are computed in: PAIRS are two elements of k side by side, i8, u8 or i16 as i16, whose products add up in i32. */
enum { IN_F32, IN_F64, IN_I32, IN_I64, IN_PAIRS, CONTRACT_TYPES };

typedef struct ContractType {
    int group;                                                 /* elements of k that are packed as one */
    int wide, high;                                            /* columns of a panel; rows that a packed tile has room for */
    bool (*packs)(const Block *g);                             /* whether `block` needs room */
    void (*block)(const Block *g);                             /* m <= BLOCK_ROWS, k <= TREE_RUN */
    void (*each)(const Block *g);                              /* n products of columns: c[m][n] of a[m][k][n] and b[k][n]; runs */
    void (*places)(const Places *g);                           /* lines * taps <= TREE_PRODUCT */
    void (*few)(const Block *g);                               /* m <= FEW_ROWS, k <= TREE_RUN */
    void (*cell)(const Cell *g);                               /* k <= TREE_RUN; NULL: nothing is packed */
    void (*pack_a)(void *to, Part a, int64_t rows, int64_t k); /* one tile of one slab */
    void (*pack_b)(void *to, Part b, int64_t k, int64_t n);    /* one panel of one slab */
    void (*add)(void *c, int64_t c_row, const void *x, int64_t m, int64_t n); /* c[m][n] += x[m][n], rows c_row and n apart */
} ContractType;
#define PACKED_TYPE(t, each, places)                                                                                    \
    {                                                                                                                   \
        group_of_##t, lanes_of_##t * 2, high_of_##t, packs_##t, block_##t, each, places, few_##t, cell_##t, pack_a_##t, \
            pack_b_##t, add_##t                                                                                         \
    }
#define PLAIN_TYPE(t)                                                                      \
    {                                                                                      \
        .group = 1, .packs = packs_##t, .block = block_##t, .few = few_##t, .add = add_##t \
    }

typedef struct ContractTier {
    void (*widen)(int type, void *to, const void *from, int64_t stride, int64_t n); /* f32 of that type */
    void (*narrow)(int type, void *to, const float *from, int64_t n);               /* rounds f32 to it */
    int rows; /* most of a tile: m rows are shared as evenly as can be by m / rows tiles, rounded up */
    const ContractType *type[CONTRACT_TYPES];
    const struct FactorType *const *factor; /* factor_tier.h: of f32, of f64 */
} ContractTier;

/* How many tiles share m rows, as evenly as can be, and which is the first row of tile number `tile`. */
static inline int64_t tile_count(int64_t rows, int64_t m) { return (m + rows - 1) / rows; }
static inline int64_t tile_first(int64_t rows, int64_t m, int64_t tile)
{
    int64_t tiles = tile_count(rows, m), each = m / tiles;
    return tile * each + MIN_OF(tile, m - tiles * each);
}

#define UNROLL _Pragma("GCC unroll 16")

extern const ContractTier contract_base, contract_avx2, contract_avx512, contract_vnni;
extern const ContractType contract_avx512_f32, contract_avx512_f64;
extern const struct FactorType *const factor_base[2], *const factor_avx2[2], *const factor_avx512[2];

#endif
