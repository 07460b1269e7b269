/* lower: what the files of the lowering share. program_lower (lower.c) walks a graph and makes steps; lower_kernel.c makes one
 * Kernel of one Group; lower_known.c knows those that are there; lower_schedule.c says how it runs; memplan.c places temporaries.
 * Relies on kernel, program, ir/index. Private to codegen/lower*.c and memplan.c. */
#ifndef KILN_CODEGEN_LOWER_H
#define KILN_CODEGEN_LOWER_H

#include "../../ir/index.h"
#include "../program.h"

#define NO_BUF UINT32_MAX

/* A thing written as words, so that two things are equal exactly if their words are. */
typedef VEC(uint64_t) Words;

typedef struct KnownThing {
    Words w;
    uint32_t kernel;
} KnownThing;

typedef struct Known {  /* which kernel computes a thing */
    Map by_hash;
    VEC(KnownThing) thing;
} Known;

/* One of the kernels that compute a group together. */
typedef struct Piece {
    uint32_t kernel, nbuf;
    const uint32_t *buf;    /* per buffer of the kernel: which of the group's it is */
} Piece;
typedef VEC(Piece) Pieces;

typedef struct Lower {
    Arena *arena;           /* of the program */
    Arena *scratch;         /* freed after lowering */
    const Module *m;
    DimTable *dims;
    const LowerOptions *o;
    Program *p;
    Status *st;
    Known known;            /* kernels, and kernel nodes' graphs with their axes: those are numbers in `body` */
    VEC(Pieces) body;
    Map dim_number;         /* Dim -> index in Program.dim + 1 */
    uint32_t clock;         /* steps so far, nested ones counted */
    VEC(uint32_t) touched;  /* buffers in the order in which steps read and write them, so that a loop's are at the end */
    uint32_t loops;
} Lower;

typedef struct Build Build;

/* What one kernel computes: values of g over a common set of axes. */
typedef struct Group {
    const Graph *g;
    uint32_t naxis;
    Dim extent[INDEX_AXES];
    int sweep;
    const uint32_t *input;  /* per value of g: the kernel buffer that it is read from; NO_BUF: computed here */
    uint32_t nin, nout;     /* kernel buffers: nin read ones, then one per result */
    const Value *out;
    const int64_t *layout;  /* per result: index_layout */
    /* Instead of results: what the kernel does for this node, written by hand into kernel buffers nin and on. NULL: results. */
    bool (*draft)(Build *b, const void *with);
    const void *with;
    const Node *node;       /* the kernel bears the name of its op */
} Group;

/* One graph being lowered: the entry, or the body of a loop. */
typedef struct Scope {
    Lower *lw;
    const Graph *g;
    uint32_t *buf;          /* per value: program buffer, NO_BUF while it has none */
    uint32_t *input;        /* room for Group.input */
    bool *needed;           /* per value: somebody reads its buffer */
    uint32_t *last;         /* per value whose buffer others may lie in: the last node that reads it, MAX if it is a result; NULL: not known yet */
    uint32_t carries;       /* of a loop's body: parameters from the second on whose buffers it may write, once nobody reads them */
    VEC(Step) step;
} Scope;

void scope_begin(Lower *lw, Scope *s, const Graph *g);
Value scope_root(const Graph *g, Value v);                 /* the value whose buffer v's elements lie in: through reshapes */
bool scope_run(Scope *s);
uint32_t scope_result(Scope *s, Value v);                  /* the buffer that v is written to, made if there is none yet */
Step *scope_step(Scope *s, StepKind kind);
void lower_lives(Lower *lw, uint32_t since, uint32_t first, uint32_t last); /* makes the buffers touched since then live from step
                                                                             * `first` to step `last` */
void lower_read(Lower *lw, uint32_t buf);                  /* at the present clock */
uint32_t lower_buf(Lower *lw, BufKind kind, const Type *type); /* NO_BUF: st */
void scope_copy(Scope *s, uint32_t from, uint32_t to);
bool scope_fill(Scope *s, const Type *t, double number, Loc loc, uint32_t buf); /* buf is of type t */
void contract_needs(Scope *s, const Node *n);              /* marks the values that a contraction reads */

/* Ops that are OUTSIDE of kernels are lowered by lower_NAME, each in a file of its kind. */
#define OUTSIDE(name) bool lower_##name(Scope *s, const Node *n);
#include "../../ir/outside.h"
bool lower_window_add(Scope *s, const Node *n);
bool lower_single(Scope *s, const Node *n); /* any other op, as a kernel of its own */

/* A kernel step of one's own (Group.draft): the node's operands become its first buffers, sources aside, which kernels make themselves;
 * there is room for `more` behind them. Between the two calls the group's kernels can ask for the operands' values. */
uint32_t *scope_operands(Scope *s, const Node *n, Group *group, uint32_t more);
void scope_operands_end(Scope *s, const Node *n);
bool scope_kernel(Scope *s, const Group *group, const uint32_t *buf);
bool scope_write(Scope *s, Value v, Group group, const uint32_t *buf); /* operand v as it is into the group's kernel buffer nin */

/* Writes a loop's next carry, or what an elementwise kernel makes of a dying value, in place where nothing can tell. */
/* The end of a block: each result of s->g goes to its buffer `to`. Those that are late may be read in the block until its end and
 * then change all at once, each made in place where it can be. */
bool scope_results(Scope *s, const uint32_t *to, const bool *late);

uint32_t lower_dim(Lower *lw, Dim d);                 /* index in Program.dim */
/* The group as one kernel, or as one for each part of its axes in which no guard is left (lower_parts.c). False: st. */
bool lower_group(Lower *lw, const Group *group, Pieces *out);
uint32_t lower_add_kernel(Lower *lw, Kernel *k);      /* index in Program.kernel; equal ones are one */
void memory_plan(Lower *lw);

/* ---- one kernel in the making (lower_kernel.c, lower_value.c, lower_scalar.c, lower_schedule.c) ---- */

/* Stage 2k runs once per point and may read the reductions of level k; stage 2k + 1 sweeps and makes those of level k + 1. */
typedef struct Draft {
    Instr i;
    uint16_t stage, level;
    uint16_t axes;          /* axes that it depends on */
    uint32_t cost;          /* of computing it again, operands included */
} Draft;

typedef struct DraftReduction {
    Reduction r;
    uint16_t level;         /* folded in stage 2 * level + 1 */
    uint16_t axes;
} DraftReduction;

typedef struct DraftFold { /* a reduction as it was demanded */
    Value v;
    uint16_t level;
    IndexMap map;
} DraftFold;

typedef struct Demand { /* a value at a map, wherever all guards hold */
    Value v;
    uint32_t stage, nguard; /* stage: IN_ROW, or the sweep_stage that made it */
    const int32_t *guard;
    const IndexMap *map;
    uint64_t hash;          /* of all that, the stage excepted */
    uint32_t is;            /* the draft; IN_ROW: the row cache */
} Demand;
#define IN_ROW UINT32_MAX

typedef struct DraftStore {
    Store s;
    uint16_t stage;
} DraftStore;

typedef VEC(int32_t) Guards;

typedef struct Part { /* some of the points: along each axis those from `first` on */
    Dim first[INDEX_AXES], extent[INDEX_AXES];
} Part;
typedef VEC(Part) Parts;

typedef struct Cut { /* a guard's answer changes between the points below `at` of this axis and the others */
    uint8_t axis;
    Dim at;
} Cut;

struct Build {
    Lower *lw;
    const Group *group;
    const Graph *g;
    IndexEnv env;
    uint16_t *level;        /* per value of g */
    Part part;              /* what the kernel computes */
    VEC(Cut) cut;           /* where the part may be cut */
    bool caches;            /* row caches may be made */
    int64_t row_bytes;      /* of those made */
    VEC(Draft) draft;
    VEC(Stream) stream;
    VEC(DraftReduction) reduction;
    VEC(DraftStore) store;
    VEC(uint8_t) row_type;
    VEC(DraftFold) fold;
    Map shared;             /* hash of an instruction -> draft + 1 */
    Map streams;            /* hash of a stream -> stream + 1 */
    Map values;             /* hash of a demand -> demand + 1 */
    VEC(Demand) demand;
    uint32_t sweep_stage;   /* level whose sweeping stage is being written */
    Guards guard;           /* conditions under which what is being written is read at all */
};

bool build_draft(Build *b, Lower *lw, const Group *group, const Part *part); /* false: st */
bool build_parts(const Build *whole, Parts *out); /* false: it is better left whole */
int32_t build_instr(Build *b, const Instr *i, uint32_t level, uint16_t axes, uint32_t cost);
int32_t build_prim(Build *b, Prim p, DType type, int32_t x, int32_t y, int32_t z);
int32_t build_const(Build *b, DType type, Scalar v);
int32_t build_i64(Build *b, int64_t v);
int32_t build_dim(Build *b, Dim d);
int32_t build_axis(Build *b, uint32_t axis);
int32_t build_round(Build *b, DType type, int32_t x);    /* f32 to what a narrow float can hold */
int32_t build_cast(Build *b, DType from, DType to, bool saturate, int32_t x);
int32_t build_elementwise(Build *b, const Node *n, DType in, DType out, const int32_t *arg);
int32_t build_random(Build *b, int32_t key0, int32_t key1, int32_t element);
static inline DType build_type(const Build *b, int32_t x) { return (DType)b->draft.at[x].i.type; }

uint32_t build_stream(Build *b, uint32_t buf, DType type, const IndexMap *m); /* UINT32_MAX: st */
/* The sum of x along the sweep, in order, for what runs once per point after it; a store of that. */
int32_t build_sum(Build *b, int32_t x);
bool build_store_after(Build *b, uint32_t stream, int32_t x);
int32_t build_load(Build *b, uint32_t stream);
int32_t build_value(Build *b, Value v, const IndexMap *m); /* -1: st */
int32_t build_clamped(Build *b, int32_t index, Dim size);
/* In the sweep, if there is one; fold as Store.fold. False: st. */
bool build_store(Build *b, uint32_t stream, int32_t x, uint8_t fold);
int32_t build_load(Build *b, uint32_t stream); /* -1: st */
int32_t build_fetch(Build *b, uint32_t stream, int32_t plus, int32_t times); /* I_FETCH, anew each time; -1: st */

/* Axes of one extent or side by side in all streams vanish, the vector axis is chosen, lanes, chunk, unroll and cost follow.
 * axes: per instruction of k, the axes that it depends on. */
void kernel_schedule(Lower *lw, Kernel *k, uint16_t *axes);
bool kernel_sweeps_lanes(const Kernel *k, const uint16_t *axes); /* the vector axis will be the sweep axis */

/* Equal kernels, and equal bodies over equal axes, are one kernel: a network's layers are lowered once. */
Words kernel_words(Lower *lw, const Kernel *k); /* all that an emitter reads, names excepted */
Words body_words(Lower *lw, const Node *n, const Graph *body);
uint32_t known_kernel(const Known *known, const Words *w, uint64_t *key); /* NO_BUF: none; then *key is where know_kernel puts it */
void know_kernel(Lower *lw, Known *known, const Words *w, uint64_t key, uint32_t kernel);

#endif
