/* print: what the files that print kernels as CUDA C share. The text includes no header:
 * cuda_prelude.c opens it.
 *
 * A kernel `name` of n buffers and a product are printed as
 *     extern "C" __global__ void name(T0 *b0, ..., Tn-1 *bn-1, const Dims dim)  dim: Program.dim
 * and cover all their points whatever the grid is, in blocks of CUDA_BLOCK threads. There is no
 * [lo, hi): a device is not shared out. If lanes run along the sweep axis, a warp works on each
 * point, lane j on the elements i mod 32 = j; else a thread on each point. Buffers may overlap
 * where the program says so (values written in place): nothing is declared restrict.
 *
 * In a program that is to be recorded as a graph (record.h) a kernel finds its buffers by a table: a parameter is the address of
 * the place where the buffer's address lies, `T0 *const *at_b0`, and the function begins with `T0 *b0 = *at_b0;`. Nothing else
 * differs. */
#ifndef KILN_CODEGEN_CUDA_PRINT_H
#define KILN_CODEGEN_CUDA_PRINT_H

#include "../cuda.h"
#include "../share.h"

#define CUDA_BLOCK 256 /* threads */
/* How a kernel's text begins; its name follows. One block to a multiprocessor is enough: the compiler would rather spill than take
 * the registers that an eighth one lacks. */
#define CUDA_HEAD "extern \"C\" __global__ void __launch_bounds__(256, 1) "
/* Most blocks in one launch; if there are more than CUDA_BLOCK * CUDA_GRID points, each thread takes several. */
#define CUDA_GRID (1 << 23)
extern int64_t cuda_grid_most; /* CUDA_GRID; tests take fewer */
/* Up to so many run-time dims are an argument, an array by value; more lie in memory, and the argument is `const i64 *dim`. */
#define CUDA_DIMS 31
#define CUDA_BUFFERS 480 /* of a kernel: with those dims 4 KB of arguments */

/* A row of more elements than this is shared by several blocks, where rows are few; and how many pieces it has at least and at
 * most, in each of which a block's warps take blocks of TREE_ROW that lie side by side. Tests take less. */
#define CUDA_LONG_ROW 65536
extern int64_t cuda_long_row, cuda_least_units, cuda_most_units;

#define CUDA_SQUARE 32
/* How a kernel's points are shared out among threads. */
typedef struct CudaShape {
    uint32_t block; /* threads */
    uint32_t team;  /* threads that work on one point together: 1, the lanes of a warp, or the whole block */
    uint32_t wide;  /* points side by side that a thread takes at once */
    bool square;    /* a block takes squares of CUDA_SQUARE x CUDA_SQUARE points, and turns what lies the other way */
    bool several;   /* rows may be several blocks' each (cuda_long.c), which are blockIdx.y of gridDim.y; `team` is the block */
    ShareRows rows; /* of `several` */
} CudaShape;
CudaShape cuda_shape(const Program *p, const Kernel *k);
/* Bytes in which the blocks of one launch meet, at most. */
int64_t cuda_meeting(const Program *p);
/* Whether so many points side by side have elements of the stream that are, in the same places of aligned groups. */
bool cuda_is_wide(const Program *p, const Kernel *k, const Stream *s, uint32_t wide);
/* How many elements of a row of n a thread keeps. */
static inline int64_t cuda_kept(const CudaShape *s, int64_t n)
{
    const int64_t lanes = TREE_LANES, turn = s->team * lanes;
    return s->team == 1 ? n : s->team == TREE_LANES ? (n + lanes - 1) / lanes : (n + turn - 1) / turn * (TREE_ROW / lanes);
}
/* How many points a block takes at once. */
static inline uint32_t cuda_points(const CudaShape *s)
{
    return s->square ? CUDA_SQUARE * CUDA_SQUARE : s->block / s->team * s->wide;
}
/* Whether a square of the kernel turns what it loads of the stream. */
bool cuda_is_turned(const Kernel *k, const Stream *s, const CudaShape *shape);

typedef struct Print {
    const Program *p;
    const Kernel *k; /* NULL in a product */
    Text *out;
    Arena *arena; /* of strings; has a border */
    Status *st;
    uint32_t depth;
    int sm; /* what it is for (api.h) */
    CudaShape shape;
    bool table;                 /* buffers are found by a table */
    const char *params, *loads; /* of the function that is being printed */
    const struct CudaFunctions *text;
    const char *block, *blocks; /* the number of the block among those that share the kernel's points, and how many they are */
    uint32_t given;             /* 1 + the buffer whose element a product has in `x`; 0: none */
    bool *dim_used;             /* per Program.dim: read by this kernel */
    const Stage *stage;         /* of a row of several blocks; keeps: and of a piece whose elements are kept */
    bool keeps;
} Print;

static inline bool cuda_has_lanes(const Print *c) { return c->shape.team > 1; }
static inline bool cuda_is_block(const Print *c) { return c->shape.team > TREE_LANES; }

/* What stands before `text`, the rest of the program. */
void cuda_prelude(const char *text, Text *out);
extern const char cuda_meet_prelude[];
static inline bool cuda_dims_by_value(const Program *p) { return p->dim.len != 0 && p->dim.len <= CUDA_DIMS; }

/* ---- kernels and products (cuda_shape.c, cuda_text.c, cuda_reduce.c, cuda_contract.c, cuda_launch.c) ----------- */
const char *cuda_kernel_name(Arena *a, const Program *p, uint32_t kernel);
void cuda_line(Print *c, const char *format, ...) PRINTF_LIKE(2, 3);
/* Prints a line that ends in {; what follows is inside. */
void cuda_open(Print *c, const char *format, ...) PRINTF_LIKE(2, 3);
void cuda_close(Print *c);
bool cuda_dim_const(const Program *p, Dim d, int64_t *out);
const char *cuda_dim(Print *c, Dim d); /* as an i64 operand */
const char *cuda_operand(Print *c, int32_t instr);
const char *cuda_buffer_type(const Kernel *k, uint32_t buf); /* in memory; void: no stream is there */
const char *cuda_buffer(Print *c, const Stream *s);          /* a pointer to elements of the stream's type */
const char *cuda_offset(Print *c, const Stream *s);          /* in elements */
/* Of a kernel: (cuda_points.c) in order, (cuda_square.c) by squares; what rows of several blocks have of their own (cuda_long.c).
 */
void cuda_points_body(Print *c);
void cuda_square_body(Print *c);
void cuda_long_open(Print *c); /* before the points, and at each of them */
void cuda_long_point(Print *c);
void cuda_long_stages(Print *c);
/* An element of the stream, which lies at `at`, as a load of the stage finds it that is being printed. */
const char *cuda_long_load(Print *c, const Stream *s, const char *at);
bool cuda_is_kept(const Kernel *k, uint32_t stream); /* read by several sweeps alike */
bool cuda_fits_32(const Print *c);                   /* the number of points */
bool cuda_uses_axis(const Kernel *k, uint32_t axis); /* its index */
/* Prints those instructions of the stage that sweep, or those that do not. */
void cuda_instrs(Print *c, const Stage *s, bool sweeps);
void cuda_stores(Print *c, const Stage *s);
void cuda_sweep(Print *c, const Stage *s);
const char *cuda_folded(Print *c, const Reduction *r, const char *total, const char *x); /* of the reduction's kind and type */
const char *cuda_reduced(Print *c, uint32_t reduction);                                  /* its result as an operand */

typedef VEC(const Step *) Products; /* distinct contractions of a program, in order */
void cuda_products(Arena *a, const Step *step, uint32_t n, Products *out);
uint32_t cuda_product_of(const Products *all, const Step *step);
/* The buffers that its function takes, in order: operands, then the result, or those of the kernel that is computed in its place.
 */
#define CUDA_OPERANDS 64
uint32_t cuda_product_operands(const Program *p, const Step *s, uint32_t *buf);
void cuda_product_body(Print *c, const Step *step);
void cuda_products_prelude(const Print *c, const Products *all);
extern const char cuda_product_prelude[], cuda_mma_prelude[];
#define CUDA_GROUP_COLUMNS 128 /* at most, of one instruction of four warps */
/* used: by bf16, and by columns: those instructions there are. bulk: and bulk copies. */
void cuda_wgmma_prelude(Text *out, const bool used[2][CUDA_GROUP_COLUMNS + 1], bool bulk);
void cuda_bulk_prelude(Text *out);

/* Kernels side by side that are one launch; its operands are their buffers, one kernel's after the other's. */
typedef struct CudaLaunch {
    const Step *first; /* of n steps that stand together */
    uint32_t n, nbuf, *buf;
    const Step **step; /* the instances of a kernel one after the other */
    int64_t blocks;
} CudaLaunch;
typedef VEC(CudaLaunch) CudaLaunches;
void cuda_launches(Arena *a, const Program *p, const Step *step, uint32_t n, CudaLaunches *out);
uint32_t cuda_launch_at(const CudaLaunches *all, const Step *s); /* the number of the one that begins there; all->len: none */
/* Notes the kernels that some step needs beside the launches. */
void cuda_launched_alone(const CudaLaunches *all, const Step *step, uint32_t n, bool *alone);
void cuda_launch_body(Print *c, const CudaLaunch *l);

/* What a program's text has, in this order: kernels, products, launches. */
typedef struct CudaFunctions {
    Products products;
    CudaLaunches launches;
    uint32_t n, first_launch;
    const char **name; /* "": nobody asks for the kernel alone, and there is no such function */
} CudaFunctions;
void cuda_functions(Arena *a, const Program *p, CudaFunctions *out);
/* The part that each is of (cuda_parts.c, parts.h), and how many there are. */
uint8_t *cuda_share_out(Arena *a, const Program *p, const CudaFunctions *text, uint32_t *parts);

/* Prelude and functions, for devices of the architecture `sm` (api.h). */
bool cuda_program_text(const Program *p, int sm, Text *out, Status *st);
/* The same of kernels that find their buffers by a table, and what a graph needs besides (control.c). */
bool cuda_graph_text(const Program *p, int sm, Text *out, Status *st);

/* ---- scalars (cuda_scalar.c) ----------------------------------------------------------------- */
const char *cuda_type(DType t); /* in registers */
const char *cuda_memory_type(DType t);
const char *cuda_literal(Arena *a, DType t, Scalar v);
/* widen_T, narrow_T and Io_T of a narrow float (ir/narrow.def). */
void cuda_narrow(Arena *a, Text *out, DType t);
const char *cuda_from_memory(Arena *a, DType t, const char *x);
const char *cuda_to_memory(Arena *a, DType t, const char *x);
/* The primitive on operands of type t; NULL if that type has none. */
const char *cuda_prim(Arena *a, Prim p, DType t, DType to, const char *x, const char *y, const char *z);

#endif
