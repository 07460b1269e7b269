/* emit_contract: what the files that emit a program's products share. emit_contract.c decides how and goes through batches, regions
 * and runs, emit_panel.c through one chain of a region, emit_tile.c emits the loops that work, emit_move.c copies. Private to them.
 */
#ifndef KILN_CODEGEN_CPU_EMIT_CONTRACT_H
#define KILN_CODEGEN_CPU_EMIT_CONTRACT_H

#include "cpu.h"

static inline LLVMValueRef element_at(Gen *g, DType t, LLVMValueRef base, LLVMValueRef index)
{
    return gen_at(g, gen_mem_type(g, t), base, index);
}

/* The type in which elements of an operand's type are multiplied and added. */
static inline DType tile_compute(DType t) { return (DType)dtype_info[dtype_of_product(t)].compute; }

/* Vectors in their compute type: of such elements in memory; loaded. Lanes that the mask leaves out, if there is one, are 0; such
 * elements have at least 4 bytes. */
LLVMValueRef tile_value(Gen *g, DType t, LLVMValueRef v);
LLVMValueRef tile_load(Gen *g, DType t, LLVMValueRef at, uint32_t width);
LLVMValueRef tile_load_some(Gen *g, DType t, LLVMValueRef at, uint32_t width, LLVMValueRef mask);
void tile_store_some(Gen *g, DType t, LLVMValueRef v, LLVMValueRef at, LLVMValueRef mask);

/* Columns of a strip, which is what a few rows of a product take from each row of b at a time, and the most of those rows. */
enum { STRIP = 1024, MOST_STRIP = 8 };

/* A tile: some rows times some vectors of c, which stay in registers for one chain. */
typedef struct TileShape {
    uint32_t width, vectors, rows; /* width: lanes of a vector */
    int64_t tiles, high;           /* how many tiles, and how many of them have that many rows, the others one less; -1: unknown */
} TileShape;
/* The one that suits m rows and n columns; -1: any number. */
TileShape tile_shape(const Machine *machine, DType t, int64_t m, int64_t n);

/* One chain of a tile, of elements of type t. Strides in elements. adds: c already holds the chains before; else this is the first.
 * Of the last `parts` vectors only those lanes count that lie before column n. */
typedef struct Tile {
    DType t;
    uint32_t width, vectors, rows, parts;
    bool adds;
    LLVMValueRef c, a, b, k, c_row, a_row, a_col, b_row, n;
} Tile;
void tile_chain(Gen *g, const Tile *x);

/* Strides as values, and how far index `at` of such an axis lies from index 0. */
typedef struct Axis {
    uint32_t n;
    LLVMValueRef extent[MOST_DIGITS], stride[MOST_DIGITS];
} Axis;
Axis axis_open(Gen *g, const Strides *s);
LLVMValueRef axis_at(Gen *g, const Axis *x, LLVMValueRef at);
static inline LLVMValueRef cell_at(Gen *g, const Axis *row, LLVMValueRef i, const Axis *column, LLVMValueRef j)
{
    return gen_add(g, axis_at(g, row, i), axis_at(g, column, j));
}

/* c[rows][n] takes one chain of a's rows and columns from row_at and k_at on and b[k][n], whose columns lie side by side; n <=
 * STRIP. a and b are of type t, c and the scratch room[rows][STRIP] of t's compute type. */
typedef struct Strip {
    DType t;
    uint32_t width, rows;
    LLVMValueRef c, a, row_at, k_at, b, room, k, c_row, b_row, n;
    Axis a_row, a_col;
} Strip;
void strip_chain(Gen *g, const Strip *x);

/* to[rows][columns], rows `to_row` apart, of a matrix of type t, from its row row_at and column column_at on, in its compute type.
 * Its columns lie side by side, or its rows, or neither. There are at most `most` columns; rows_even and columns_even divide their
 * numbers and where they begin. */
typedef enum MoveHow { MOVE_NONE, MOVE_COPY, MOVE_TURN, MOVE_GATHER } MoveHow;
typedef struct Move {
    MoveHow how;
    DType t;
    int64_t to_row, most;
    uint32_t rows_even, columns_even;
    LLVMValueRef to, from, rows, columns, row_at, column_at;
    Axis row, column;
} Move;
void move_matrix(Gen *g, const Move *x);

/* ---- products -------------------------------------------------------------------------------- */

typedef struct Operand {
    uint32_t param;
    Dim base;
    const Strides *row, *col;
    const Dim *batch;
} Operand;

/* A product as it will be computed. */
typedef struct Product {
    Gen *g;
    const Step *s;
    DType type, compute, to;
    Operand a_is, b_is;
    Dim rows, columns;
    TileShape tile;
    uint32_t wide;  /* columns of a panel */
    uint32_t strip; /* rows of a strip, of few rows times a long b; 0: tiles */
    bool through;   /* sums collect in memory of their own */
    bool adds;      /* there may be several chains */
    MoveHow move_a, move_b;
    bool if_many;                 /* b moves only where there are several tiles */
    uint32_t region, moved_tiles; /* tiles that are computed together, and whose rows of a move together */
    uint32_t columns_each;        /* of a piece, whose rows are those of a region; 0: a piece is a tile, of all columns */
    int64_t moved_row;            /* how far apart those rows are then */
    uint32_t k_even;              /* divides the lengths of all chains */
    LLVMValueRef a, b, c;
    LLVMValueRef m, n, k;
    Axis a_row, a_col, b_row, b_col;
    LLVMValueRef a_at, b_at, c_at;             /* where this batch begins */
    LLVMValueRef a_room, b_room, sums, levels; /* scratch */
} Product;

static inline bool known(const Product *p, Dim d, int64_t v)
{
    int64_t is;
    return gen_dim_const(p->g, d, &is) && is == v;
}

static inline bool has_digits(const Operand *x) { return x->row->n > 1 || x->col->n > 1; }
/* Where rows and columns both lie side by side, those of which there are more do so. MOVE_NONE: b lies in panels, to be read as it
 * is. */
MoveHow move_how(const Product *p, const Operand *x);

/* What is computed at once: tiles `first` .. end - 1, which are rows row .. row + rows - 1, and some columns. */
typedef struct Region {
    LLVMValueRef first, end, row, rows, column, columns, sums, sums_row;
} Region;

static inline LLVMValueRef less(Gen *g, LLVMValueRef a, LLVMValueRef b) { return LLVMBuildSub(g->b, a, b, ""); }

static inline LLVMValueRef least(Gen *g, LLVMValueRef a, LLVMValueRef b)
{
    return gen_select(g, LLVMBuildICmp(g->b, LLVMIntSLT, a, b, ""), a, b);
}

static inline LLVMValueRef most(Gen *g, LLVMValueRef a, LLVMValueRef b)
{
    return gen_select(g, LLVMBuildICmp(g->b, LLVMIntSGT, a, b, ""), a, b);
}

static inline LLVMValueRef times(Gen *g, LLVMValueRef a, int64_t b) { return gen_mul(g, a, gen_i64(g, b)); }
static inline LLVMValueRef pieces(Gen *g, LLVMValueRef n, int64_t each)
{
    return each == 1 ? n : LLVMBuildSDiv(g->b, gen_add(g, n, gen_i64(g, each - 1)), gen_i64(g, each), "");
}

/* The first row of a tile; of tile number tiles: how many rows there are. */
LLVMValueRef contract_row(Product *p, LLVMValueRef tile);
/* Adds the chain of k .. k + length - 1 to the sums of the region. */
void contract_chain(Product *p, const Region *q, LLVMValueRef k, LLVMValueRef length);

#endif
