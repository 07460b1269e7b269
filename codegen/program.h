/* program: a compiled function as a structured list of steps over buffers; cpu emits it whole as one entry, ref-like walkers and
 * cuda step through it. Relies on kernel, contract, host. Never knows LLVM, CUDA or the front end.
 *
 * ABI of the compiled entry:  int32_t entry(void *const *buf, const int64_t *dim, void *work, const KilnHost *host)
 * buf: inputs, then outputs, as the entry graph's parameters and results; dim: the values of the dim table's symbols, in order of
 * Program.symbol; work: Program.workspace bytes, 64-byte aligned. Returns 0, or a StatusCode; where a while goes on after its
 * bound, ST_VALUE + ENTRY_LOOP times the step's id + 1, so that its caller can say which.
 *
 * Beside it, void sizes(const int64_t *dim, int64_t *out) says what a call with these symbols needs: out[0] the bytes of `work`, at
 * most Program.workspace; then the sizes of all results' axes, result after result (program_sizes of them in all).
 *
 * Effects happen in order, between the steps that they stand between. Without a host, or without its `effect`, print does nothing,
 * an assert that fails returns ST_VALUE, and callback returns ST_STATE. */
#ifndef KILN_CODEGEN_PROGRAM_H
#define KILN_CODEGEN_PROGRAM_H

#include <stddef.h>

#include "host.h"
#include "kernel.h"

#define ENTRY_LOOP 256

/* Work, in units of Kernel.cost, that is worth sharing: handing out less costs more than it gains. */
#define SHARED_WORK ((int64_t)50000)

typedef enum BufKind {
    BUF_INPUT,  /* index: parameter */
    BUF_OUTPUT, /* index: result */
    BUF_TEMP,   /* offset: into the workspace */
    BUF_STACK,  /* index: stack number; grows as its loop turns (HostStack), so it has slices only */
    /* of buffer `of`: byte offset = loop index * stride (elements, Dim) * element size; loop: which enclosing loop step */
    BUF_SLICE
} BufKind;

typedef struct Buf {
    uint8_t kind;
    Type type;
    uint32_t index;       /* INPUT, OUTPUT, STACK */
    int64_t offset;       /* TEMP */
    int64_t bytes;        /* upper bound; 0: it needs no room, for another buffer took its place */
    uint32_t of, loop;    /* SLICE */
    Dim stride;           /* SLICE */
    const Type *room;     /* NULL, or of a type in which nodes count sizes: that with the most that they may be */
    uint32_t first, last; /* live range in steps, for the memory plan and reports */
} Buf;

typedef enum StepKind { STEP_KERNEL, STEP_CONTRACT, STEP_HOST, STEP_COPY, STEP_LOOP, STEP_BRANCH, STEP_EFFECT, STEP_SIZE } StepKind;

typedef struct Block { /* steps inside a step */
    struct Step *step;
    uint32_t n;
} Block;

/* How a product finds the elements along one axis of an operand: the index is written in digits, the outermost first, each but the
 * first below its extent; an element lies at the sum of digit times stride, in elements. A plain stride is one digit. */
#define MOST_DIGITS 4
typedef struct Strides {
    uint32_t n;
    Dim extent[MOST_DIGITS], stride[MOST_DIGITS]; /* extent[0] is 0: the first digit has no bound */
} Strides;

static inline Strides strides_one(Dim stride) { return (Strides){.n = 1, .stride = {stride}}; }
static inline Dim strides_last(const Strides *d) { return d->stride[d->n - 1]; } /* how far neighbours lie apart */
static inline bool strides_same(const Strides *x, const Strides *y)
{
    const size_t n = x->n * sizeof(Dim);
    return x->n == y->n && memcmp(x->extent, y->extent, n) == 0 && memcmp(x->stride, y->stride, n) == 0;
}

typedef struct StepOrigin { /* what a step was lowered from: nodes of the module after the passes */
    const Graph *g;
    uint32_t node;
    const struct StepOrigin *next;
} StepOrigin;

typedef struct Step {
    uint8_t kind;
    uint32_t clock;           /* when it runs: of the live ranges */
    uint32_t number;          /* among all steps of the program, before those inside it: how marks name it */
    const StepOrigin *origin; /* for reports; NULL: no node alone asked for it */
    /* KERNEL */
    uint32_t kernel; /* into Program.kernel */
    /* kernel buffer -> program buffer; EFFECT: operands, then results; HOST: results, then operands */
    const uint32_t *buf;
    /* KERNEL: not 0: it may run on any row of what the step before makes as soon as that is there, and so many indices of its chunk
     * axis are one row. */
    int64_t joins;
    int64_t columns; /* KERNEL that joins: of a row, if each of its points needs one of them, so that it may run on some; else 0 */
    /* KERNEL: it may run at the same time as the steps before it, back to the nearest that does not say so: none of them writes
     * what another reads or writes. Together they are one launch, whose chunks threads share. */
    bool beside;
    bool ends; /* KERNEL: the step before is ended by it (contract.ended), so who computes it there passes it by */
    /* EFFECT: print, assert or callback; its operands' and results' types, which need not be those of the buffers (reshapes) */
    struct {
        uint16_t op;
        int64_t number; /* the front end's record: KilnHost.effect */
        uint32_t nin, nout;
        const Type *type;
    } effect;
    /* CONTRACT: c[batch..., m, n] = a[batch..., m, k] . b[batch..., k, n]; strides in elements, 0 where broadcast */
    struct {
        uint8_t type, b_type, to; /* DType of a, b and c, whose compute type the sums have; of emitted products a and b have one */
        uint8_t sums;             /* ProductSums */
        bool blas;                /* the device's BLAS computes it where by_blas takes its sizes and a BLAS its strides */
        bool host;                /* the host table's product; else one that is emitted, with the same bits */
        uint32_t nbatch;
        Dim batch[MAX_RANK], m, n, k;
        uint32_t a, b, c; /* program buffers */
        Dim a_base, b_base;
        Dim a_batch[MAX_RANK], b_batch[MAX_RANK]; /* c is contiguous */
        bool ended;       /* the step after it is a kernel that may be computed in its place (Target.ends): each of its points */
        uint32_t product; /* reads the product's element there, as the kernel's buffer of this number, and nobody else does */
        Strides a_row, a_col, b_row, b_col; /* one digit each, unless the target reads more (Target.digits) */
    } contract;
    /* HOST: an op that the host table computes by a routine (host_routine): the numbers of its struct that may be symbolic, then
     * those that are not */
    struct {
        uint16_t op;
        uint8_t type;
        const Dim *dim;
        const int64_t *word;
    } host;
    /* COPY: whole buffers of equal type */
    uint32_t from, to;
    /* LOOP: block[0] runs `trip` times; index goes to buffer `index` (i64[], UINT32_MAX: not needed) before each; counts down if
     * reverse. Of a loop with a condition, block[1] runs before each and leaves in `selector` whether to go on; how often it did
     * goes to buffer `count`; after trip_dim steps (DIM_BAD: no bound) going on ends the program with ST_VALUE; `loc` is where the
     * user wrote it, as it is of a CONTRACT. */
    uint32_t id;   /* the number that BUF_SLICE.loop names */
    uint32_t trip; /* buffer (i64[]), or UINT32_MAX: trip_dim */
    Dim trip_dim;  /* beside a buffer: no more than that, since its stacks have no more slices (DIM_BAD: no bound) */
    uint32_t index, count;
    bool reverse;
    Loc loc;
    /* BRANCH: block[selector] runs; selector is a buffer: bool[], or an integer scalar that is clamped to the blocks there are */
    uint32_t selector; /* UINT32_MAX: a LOOP without a condition */
    Block *block;
    uint32_t nblock;
    /* SIZE: from here on `size`, a symbol that is counted, is the number in buffer `from` (i64[]), moved into 0 to its bound;
     * block[0] has all steps that follow in the list. */
    Dim size;
} Step;

/* The sizes that memory is planned for. */
static inline const Type *buf_room(const Buf *b) { return b->room ? b->room : &b->type; }

/* The kernel that is computed in a contraction's place; NULL: there is none. */
static inline const Step *step_end(const Step *s) { return s->contract.ended ? s + 1 : NULL; }

/* Products of these extents go to a BLAS on devices, where the engine asks for one (kiln_options.blas) and strides allow it. */
static inline bool by_blas(DType t, int64_t m, int64_t n, int64_t k)
{
    return (t == DT_f32 || t == DT_f64 || t == DT_f16 || t == DT_bf16) && m >= 96 && n >= 96 && k >= 96 &&
           m > SMALL_PRODUCT / k / n;
}

/* Of two contractions: whether all but the buffers is the same. */
static inline bool step_same_product(const Step *x, const Step *y)
{
    const size_t n = x->contract.nbatch * sizeof(Dim);
    if (x->contract.type != y->contract.type || x->contract.to != y->contract.to || x->contract.nbatch != y->contract.nbatch ||
        x->contract.sums != y->contract.sums || x->contract.blas != y->contract.blas)
        return false;
    if (memcmp(x->contract.batch, y->contract.batch, n) != 0) return false;
    if (x->contract.ended != y->contract.ended || x->contract.product != y->contract.product) return false;
    if (x->contract.ended && step_end(x)->kernel != step_end(y)->kernel) return false;
    if (memcmp(x->contract.a_batch, y->contract.a_batch, n) != 0 || memcmp(x->contract.b_batch, y->contract.b_batch, n) != 0)
        return false;
    if (!strides_same(&x->contract.a_row, &y->contract.a_row) || !strides_same(&x->contract.a_col, &y->contract.a_col))
        return false;
    if (!strides_same(&x->contract.b_row, &y->contract.b_row) || !strides_same(&x->contract.b_col, &y->contract.b_col))
        return false;
    const Dim a[] = {x->contract.m, x->contract.n, x->contract.k, x->contract.a_base, x->contract.b_base};
    const Dim b[] = {y->contract.m, y->contract.n, y->contract.k, y->contract.a_base, y->contract.b_base};
    return memcmp(a, b, sizeof a) == 0;
}

typedef struct Program {
    const char *name;
    const Module *module; /* for dims */
    uint32_t ninput, noutput;
    bool calls_back;    /* has a callback step */
    bool asks_host;     /* has products or convolutions that the host table computes */
    bool may_fail;      /* has an effect, or a while with a bound: only its end tells whether the call succeeds */
    VEC(Buf) buf;       /* inputs, outputs, then the rest */
    VEC(Kernel) kernel; /* no two are equal */
    Step *step;
    uint32_t nstep, nnumber; /* nnumber: of all steps, those inside steps, too */
    VEC(Dim) symbol;         /* the entry's dim argument, in order */
    VEC(Dim) counted; /* symbols whose values steps find (STEP_SIZE): who runs the program keeps them behind those of `symbol` */
    /* run-time values that kernels and steps read (I_DIM, coefs, extents): evaluated once at entry; constants are not here */
    VEC(Dim) dim;
    int64_t workspace; /* bytes */
    int64_t live;    /* most bytes of temporaries that live at one time: no plan takes less. At the upper bounds, as `workspace` */
    int64_t moved;   /* bytes read and written by all steps at the upper bounds, loops counted once */
    uint32_t nstack; /* buffers of kind BUF_STACK */
    uint32_t launches; /* kernels and contractions that one call runs (loops counted once) */
} Program;

/* What the host table computes, one for each role of such ops, and the struct of host.h that tells it what: the DType, which of the
 * ops, `dims` numbers that may be symbolic and `words` that are not, the addresses of results and operands, HostRows if it `joins`.
 */
typedef struct HostRoutine {
    uint16_t from; /* Op: the struct counts its ops from this one */
    uint32_t dims, words;
    bool joins;
    bool alone;          /* no kernels stand for it, so it is this routine's in every program */
    size_t call;         /* the function's place in KilnHost */
    const char *numbers; /* the numbers' names, for reports */
} HostRoutine;
const HostRoutine *host_routine(Op op); /* NULL: there is none */
static inline int32_t routine_which(Op op) { return (int32_t)op - (int32_t)host_routine(op)->from; }
static inline uint32_t routine_results(Op op) { return (uint32_t)op_def[op].nout; }
static inline uint32_t routine_buffers(Op op) { return routine_results(op) + (uint32_t)op_def[op].nin; }
/* The symbolic numbers of conv and conv_filter with these attributes. x, w, y: the sizes of images, filters and results. */
void conv_numbers(Op op, const int64_t *attr, uint32_t rank, const Dim *x, const Dim *w, const Dim *y, Dim *to);
/* The symbolic numbers of the ops of attention; the sizes of their first operands. The two words are scale and cap. */
void attention_numbers(const int64_t *attr, const Dim *q, const Dim *k, const Dim *v, const Dim *mask, Dim *to);

/* What all of a kernel costs whose chunk axis has a known extent. */
static inline int64_t kernel_work(const Kernel *k)
{
    const int64_t n = k->chunk < 0 ? 1 : k->extent[k->chunk], most = (int64_t)1 << 53, cost = MAX_OF(k->cost, 1);
    return n == 0 || cost <= most / n ? n * cost : most;
}

/* How many buffers the step lists in `buf`. */
static inline uint32_t step_buffers(const Program *p, const Step *s)
{
    return s->kind == STEP_KERNEL   ? p->kernel.at[s->kernel].nbuf
           : s->kind == STEP_EFFECT ? s->effect.nin + s->effect.nout
           : s->kind == STEP_HOST   ? routine_buffers((Op)s->host.op)
                                    : 0;
}

/* The numbers of sort and argsort, of sizes x. False: the number of lines is no size. */
bool sort_numbers(DimTable *t, const int64_t *attr, uint32_t rank, const Dim *x, Dim *to);
/* Whether the host table sorts such lines: argsort's it does in pairs of keys and places, and of a single long line the kernels are
 * quicker. */
static inline bool sort_on_host(Op op, DType t, int64_t size, int64_t lines)
{
    return op == OP_sort || (dtype_bytes(t) <= 4 && size <= (lines >= 4 ? SORT_PLACES : SORT_PLACES / 8));
}
/* The numbers of the ops that factor matrices, of sizes x: those of the last operand. False: the number of matrices is no size. */
bool factor_numbers(DimTable *t, const int64_t *attr, uint32_t nattr, uint32_t rank, const Dim *x, Dim *to);

#include "../ir/target.h"

typedef struct LowerOptions {
    Target target;
    bool
        host_products; /* contractions, but for small ones, go through the host table; else all are emitted, and there is no conv */
    /* per parameter: its strides in elements, NULL: row-major; NULL: all are. Of a graph of one op only */
    const Dim *const *stride;
} LowerOptions;

extern int64_t launch_least; /* kernels side by side have this much work: SHARED_WORK; tests take less */
/* The module's entry graph, fused (passes/fuse.c), as a program in the arena. NULL: st. */
Program *program_lower(Arena *arena, const Module *m, const LowerOptions *o, Status *st);
uint32_t program_sizes(const Program *p); /* how many numbers `sizes` writes */
/* What `sizes` writes, for code that has no such function; and one size. symbol: the symbols' values, in order of Program.symbol.
 */
void program_measure(const Program *p, const int64_t *symbol, int64_t *out);
int64_t program_size(
    const Program *p, Dim d, const int64_t *symbol);                 /* behind them, where d names such, those of Program.counted */
static inline uint32_t program_counted(const Program *p, Dim symbol) /* its index in Program.counted; beyond the last: it is none */
{
    uint32_t i = 0;
    while (i < p->counted.len && p->counted.at[i] != symbol) i++;
    return i;
}
void program_print(Text *out, const Program *p);

#endif
