/* lower: what the files of the lowering share. program_lower (lower.c) walks a graph and makes steps; lower_kernel.c makes one
 * Kernel of a Group; lower_known.c finds equal kernels that exist already; lower_schedule.c decides how a kernel runs; memplan.c
 * places temporaries. Relies on kernel, program, ir/index. Private to codegen/lower*.c and memplan.c. */
#ifndef KILN_CODEGEN_LOWER_H
#define KILN_CODEGEN_LOWER_H

#include "../../ir/index.h"
#include "../program.h"

#define NO_BUF UINT32_MAX

/* A kernel or body written as words: two of them are equal exactly if their words are. */
typedef VEC(uint64_t) Words;

typedef struct KnownThing {
    Words w;
    uint32_t kernel;
} KnownThing;

typedef struct Known { /* finds the kernel that was made for the same words */
    Map by_hash;
    VEC(KnownThing) thing;
} Known;

/* One of the kernels that compute a group together. */
typedef struct Piece {
    uint32_t kernel, nbuf;
    const uint32_t *buf; /* for each of the kernel's buffers, its number among the group's */
} Piece;
typedef VEC(Piece) Pieces;

typedef struct Lower {
    Arena *arena;   /* holds the program */
    Arena *scratch; /* freed after lowering */
    const Module *m;
    DimTable *dims;
    const LowerOptions *o;
    Program *p;
    Status *st;
    Known known; /* kernels, and kernel nodes' graphs with their axes; the latter's numbers index `body` */
    VEC(Pieces) body;
    Map dim_number;        /* Dim -> index in Program.dim + 1 */
    uint32_t clock;        /* steps so far, nested ones included */
    VEC(uint32_t) touched; /* buffers in the order in which steps touch them, so that those of a loop come last */
    uint32_t loops;
    const StepOrigin *origin; /* of the steps that are made now */
} Lower;

typedef struct Build Build;

/* A group is what one kernel computes: values of g over a common set of axes. */
typedef struct Group {
    const Graph *g;
    uint32_t naxis;
    Dim extent[INDEX_AXES];
    int sweep;
    const uint32_t *input; /* per value of g: the kernel buffer it is read from; NO_BUF if computed here */
    uint32_t nin, nout;    /* the kernel reads buffers [0, nin); one per result follows */
    const Value *out;
    const int64_t *layout; /* how each result lies in memory: index_layout */
    /* If not NULL, writes the kernel of this node by hand, in place of results, into kernel buffers nin and on. */
    bool (*draft)(Build *b, const void *with);
    const void *with;
    const Node *node; /* the kernel is named after this node's op */
} Group;

/* A loop's matrix [k, n] as it lies in `from`, an invariant, and in buffer `buf` in panels of `wide` columns; in the last one
 * columns may be missing. */
enum { PANEL_BASE, PANEL_ROW, PANEL_COLUMN, PANEL_K, PANEL_N, PANEL_WORDS };
typedef struct Panels {
    Value from; /* of the body */
    DType type;
    int64_t place[PANEL_WORDS]; /* where `from` begins, its strides, its sizes */
    int64_t wide;
    uint32_t buf;
} Panels;
typedef VEC(Panels) PanelsList;

typedef VEC(Step) StepList;

/* One graph being lowered: the entry, or the body of a loop. */
typedef struct Scope {
    Lower *lw;
    const Graph *g;
    uint32_t *buf;   /* the program buffer of each value, NO_BUF while it has none */
    uint32_t *input; /* room for Group.input */
    bool *needed;    /* per value: whether a step reads its buffer */
    /* per value: the last node that reads it, MAX for a result. Later values may lie in its buffer. NULL until it is known. */
    uint32_t *last;
    /* of a loop's body: so many parameters, from the second on, may be overwritten once nobody reads them */
    uint32_t carries;
    uint32_t invariants;      /* of a loop's body that may read panels: the first parameter that no turn changes; else 0 */
    const PanelsList *panels; /* that were laid out for it; NULL: none */
    StepList step;
    VEC(StepList) outer; /* lists that a size ended: all that follows is in the last step of each */
} Scope;

void scope_begin(Lower *lw, Scope *s, const Graph *g);
Block scope_end(Scope *s);                 /* all its steps */
Value scope_root(const Graph *g, Value v); /* through reshapes, the value whose buffer holds v */
bool scope_run(Scope *s);
uint32_t scope_result(Scope *s, Value v); /* v's buffer, made if there is none yet */
Step *scope_step(Scope *s, StepKind kind);
/* Makes the buffers touched since then live from step `first` to step `last`. */
void lower_lives(Lower *lw, uint32_t since, uint32_t first, uint32_t last);
void lower_read(Lower *lw, uint32_t buf);                      /* notes a read at the present clock */
uint32_t lower_buf(Lower *lw, BufKind kind, const Type *type); /* NO_BUF after an error, which st tells */
void scope_copy(Scope *s, uint32_t from, uint32_t to);
bool scope_fill(Scope *s, const Type *t, double number, Loc loc, uint32_t buf); /* buf is of type t */
void contract_needs(Scope *s, const Node *n);                                   /* marks the values that a contraction reads */
/* Whether the product n of a loop's body is one that reads its second operand as panels, and of what. */
bool contract_panels(Scope *s, const Node *n, Panels *p);
/* Lays out, in s, what products of the body of loop n read as panels. */
bool lower_panels(Scope *s, const Node *n, const Graph *body, uint32_t invariants, PanelsList *list);
const Panels *panels_find(const Scope *s, const Panels *like); /* NULL: there are none */
bool loop_reads_trip(const Scope *s, const Node *n);           /* the loop reads its trip count from memory */

/* lower_NAME lowers an op that is OUTSIDE of kernels, or ALONE where none has it; those of a routine's role have one. */
#define OUTSIDE(name) bool lower_##name(Scope *s, const Node *n);
#define ROUTINE(name, role) OUTSIDE(role)
#include "../../ir/outside.h"
bool lower_single(Scope *s, const Node *n); /* any other op, as a kernel of its own */

/* For a kernel written by hand (Group.draft): the node's operands become its first buffers, except sources, which each kernel makes
 * itself, and there is room for `more` buffers behind them. Between these two calls the group's kernels can ask for the operands'
 * values. */
uint32_t *scope_operands(Scope *s, const Node *n, Group *group, uint32_t more);
void scope_operands_end(Scope *s, const Node *n);
bool scope_kernel(Scope *s, const Group *group, const uint32_t *buf);
/* A step of the host table's routine for the op (program.h); dim, word: its numbers, which stay. */
bool lower_routine(Scope *s, const Node *n, const Dim *dim, const int64_t *word);
void group_axes(const Type *t, Group *group, int64_t *layout); /* adds those of a value of type t, and how it lies on them */
bool scope_write(Scope *s, Value v, Group group, const uint32_t *buf); /* copies operand v into the group's kernel buffer nin */

/* Ends a block: each result of s->g goes to its buffer `to`. The block may read a late buffer until its end; then all late ones
 * change at once. Results are computed in place where no reader can notice. */
bool scope_results(Scope *s, const uint32_t *to, const bool *late);

/* Whether kernel buffer `out` may share the memory of `in`, which holds if every element is read, at its own index, before it is
 * written; and the kernel with `in` in place of `out`, so that emitters know that the two are one. */
bool kernel_may_share(const Kernel *k, uint32_t in, uint32_t out);
uint32_t lower_share(Lower *lw, uint32_t kernel, uint32_t in, uint32_t out);
void join_steps(Lower *lw, Step *s, uint32_t n); /* lower_join.c */
void end_steps(Lower *lw, Step *s, uint32_t n);
void merge_steps(Lower *lw);   /* lower_merge.c */
bool spread_copies(Lower *lw); /* lower_copy.c */
void launch_steps(Lower *lw);  /* lower_launch.c */
/* Makes the buffers of this kernel step live from step `first` to step `last`, if they do not yet. */
void lower_lives_of(Lower *lw, const Step *s, uint32_t first, uint32_t last);

uint32_t lower_dim(Lower *lw, Dim d); /* index in Program.dim */
/* Lowers the group as one kernel, or as one for each part of its axes in which no guard is left (lower_parts.c). False after an
 * error, which st tells; so below, where another value is named for it. */
bool lower_group(Lower *lw, const Group *group, Pieces *out);
uint32_t lower_add_kernel(Lower *lw, Kernel *k); /* its index in Program.kernel; equal kernels become one */
void memory_plan(Lower *lw);

/* ---- one kernel in the making (lower_kernel.c, lower_value.c, lower_scalar.c, lower_schedule.c) ---- */

/* Stage 2k runs once per point and may read the reductions of level k; stage 2k + 1 sweeps and makes the reductions of level k +
 * 1. */
typedef struct Draft {
    Instr i;
    uint16_t stage, level;
    uint16_t axes;  /* axes that it depends on */
    uint8_t narrow; /* a narrow float type that is known to hold it, 0: none */
    uint32_t cost;  /* cost of computing it again, with its operands */
} Draft;

typedef struct DraftReduction {
    Reduction r;
    uint16_t level; /* folded in stage 2 * level + 1 */
    uint16_t axes;
} DraftReduction;

typedef struct DraftFold { /* a reduction, and the map at which it was asked for */
    Value v;
    uint16_t level;
    IndexMap map;
} DraftFold;

typedef struct Demand { /* a value that was asked for at a map, where all guards hold */
    Value v;
    uint32_t stage, nguard; /* stage: IN_ROW, or the sweep_stage that made it */
    const int32_t *guard;
    const IndexMap *map;
    uint64_t hash; /* of all fields above but the stage */
    uint32_t is;   /* the number of the draft, or if IN_ROW of the row cache */
} Demand;
#define IN_ROW UINT32_MAX

typedef struct DraftStore {
    Store s;
    uint16_t stage;
} DraftStore;

typedef VEC(int32_t) Guards;

typedef struct Part { /* a box of points: extent[a] of them from first[a] on, along each axis */
    Dim first[INDEX_AXES], extent[INDEX_AXES];
} Part;
typedef VEC(Part) Parts;

typedef struct Cut { /* along this axis a guard's answer changes at `at` */
    uint8_t axis;
    Dim at;
} Cut;

struct Build {
    Lower *lw;
    const Group *group;
    const Graph *g;
    IndexEnv env;
    uint16_t *level;   /* per value of g */
    Part part;         /* what the kernel computes */
    VEC(Cut) cut;      /* where the part may be cut */
    bool caches;       /* whether row caches may be made */
    int64_t row_bytes; /* that the row caches take */
    VEC(Draft) draft;
    VEC(Stream) stream;
    VEC(DraftReduction) reduction;
    VEC(DraftStore) store;
    VEC(uint8_t) row_type;
    VEC(DraftFold) fold;
    Map shared;  /* hash of an instruction -> draft + 1 */
    Map streams; /* hash of a stream -> stream + 1 */
    Map values;  /* hash of a demand -> demand + 1 */
    VEC(Demand) demand;
    uint32_t sweep_stage; /* the level whose sweeping stage is being written */
    Guards guard;         /* what is being written is read only where these conditions hold */
};

bool build_draft(Build *b, Lower *lw, const Group *group, const Part *part);
bool build_parts(const Build *whole, Parts *out); /* false: the kernel is better left whole */
int32_t build_instr(Build *b, const Instr *i, uint32_t level, uint16_t axes, uint32_t cost);
int32_t build_prim(Build *b, Prim p, DType type, int32_t x, int32_t y, int32_t z);
int32_t build_const(Build *b, DType type, Scalar v);
int32_t build_i64(Build *b, int64_t v);
int32_t build_dim(Build *b, Dim d);
int32_t build_axis(Build *b, uint32_t axis);
int32_t build_round(Build *b, DType type, int32_t x); /* rounds an f32 to what the narrow float holds */
int32_t build_cast(Build *b, DType from, DType to, bool saturate, int32_t x);
int32_t build_bitcast(Build *b, DType from, DType to, int32_t x); /* of one width */
int32_t build_elementwise(Build *b, const Node *n, DType in, DType out, const int32_t *arg);
int32_t build_random(Build *b, int32_t key0, int32_t key1, int32_t element);
static inline DType build_type(const Build *b, int32_t x) { return (DType)b->draft.at[x].i.type; }

uint32_t build_stream(Build *b, uint32_t buf, DType type, const IndexMap *m); /* UINT32_MAX: error */
/* build_sum: the sum of x along the sweep, in order, for instructions that run once per point after it. build_store_after stores
 * such a value. */
int32_t build_sum(Build *b, int32_t x);
bool build_store_after(Build *b, uint32_t stream, int32_t x);
int32_t build_value(Build *b, Value v, const IndexMap *m); /* -1: error */
int32_t build_clamped(Build *b, int32_t index, Dim size);
/* Stores in the sweep, if there is one; fold is Store.fold. */
bool build_store(Build *b, uint32_t stream, int32_t x, uint8_t fold);
int32_t build_load(Build *b, uint32_t stream);                               /* -1: error */
int32_t build_fetch(Build *b, uint32_t stream, int32_t plus, int32_t times); /* an I_FETCH, never shared; -1: error */

/* Removes axes of extent 1, joins axes that lie side by side in all streams, chooses the vector axis, lanes, chunk, unroll and
 * cost. axes: per instruction of k, the axes that it depends on. */
void kernel_schedule(Lower *lw, Kernel *k, uint16_t *axes);
bool kernel_sweeps_lanes(const Kernel *k, const uint16_t *axes); /* whether vectors will lie along the sweep axis */

/* Equal kernels, and equal bodies over equal axes, become one kernel: a network's layers are lowered once. */
Words kernel_words(Lower *lw, const Kernel *k); /* all that an emitter reads except names */
Words body_words(Lower *lw, const Node *n, const Graph *body);
uint32_t known_kernel(const Known *known, const Words *w, uint64_t *key); /* NO_BUF: none; know_kernel then takes *key */
void know_kernel(Lower *lw, Known *known, const Words *w, uint64_t key, uint32_t kernel);

#endif
