/* function: what the files of traced functions share: function.c (making, calling), derive.c, static_argument.c, signature.c (which
 * instance serves a call, and why none does), cache.c (instances, and when they may go), stats.c, compile.c (a call without an
 * instance), traced.c, build.c, call.c, interpret.c (a call without compiled code). */
#ifndef KILN_FRONTEND_FUNCTION_H
#define KILN_FRONTEND_FUNCTION_H

#include "../../codegen/host_stack.h"
#include "../grad/grad.h"
#include "told.h"

#include <stdatomic.h>

/* ---- functions
 * ------------------------------------------------------------------------------------------------------------------------------ */
/* Sizes that became symbols by themselves: group[argument * MAX_RANK + axis] is 0 or the number of a symbol, from 1. */
#define PLAN_GROUPS 4
typedef struct Plan {
    uint32_t groups;
    int64_t hi[PLAN_GROUPS]; /* the largest size of each group; the smallest is 1 */
    bool declared;           /* the user declared these sizes: where C reads one it gets its bound, as in the function itself */
    const uint8_t *group;
} Plan;

typedef struct Fixed { /* a static argument's value; kind 0: a tensor argument */
    uint32_t kind;     /* kiln_operand's: 7 integer, 8 double, 9 text */
    int64_t bits;
    const char *text;
} Fixed;

typedef struct Binding { /* where a call finds the value of a symbol; a symbol that several sizes share has one for each */
    uint32_t argument, axis;
    uint32_t symbol; /* its index in Program.symbol */
} Binding;

/* what a body became for arguments of these types; tracing, gradients, check and ahead-of-time compiling share it */
typedef struct Traced {
    uint32_t narg;
    Type *arg;    /* the arguments' types as traced: their dims are constants or symbols of `module` */
    Type *made;   /* the concrete types it was traced with */
    Fixed *fixed; /* per argument */
    Plan plan;
    uint8_t device; /* the device of the arguments, on which it runs; without arguments, the thread's own */
    bool exact;     /* sizes that are declared with bounds were nevertheless taken as constants */
    bool bounded;   /* some sizes are symbols, declared or planned */
    Source *source; /* per input of the entry */
    uint32_t nsource, nresult, noutput, nchanged; /* results: outputs, counts, then the changed variables' new values */
    /* Behind the outputs stand the sizes that nodes count and results have, i64[] each: those of these symbols */
    Dim *count;
    uint32_t ncount;
    kiln_variable **changed; /* a freed one may have been reused since for another variable, as its id tells */
    uint32_t *changed_id;
    Module *module; /* nobody changes it once it is traced: compiling works on a copy */
    Graph **graph;  /* its graphs, for gradients: the body is not run again. Those of a saving form are its instance's */
    TapeRead *read; /* the list of the trace */
    Value *saved;   /* values of graph[0] that are returned behind all other results, for the gradient (saving.c) */
    uint32_t ngraph, nread, nsaved;
    uint32_t ops;
    int64_t *told; /* ntold numbers (BodyTold) */
    uint32_t ntold;
    char *text; /* the graph as traced, for KILN_RETRACE */
    const Label *label;
    uint32_t nlabel;
    double seconds;
    Arena arena; /* holds all of this */
} Traced;

typedef struct Marked Marked; /* marked.h */

/* Of one graph, for whoever interprets it. */
typedef struct Lives {
    const uint32_t *last; /* per value: the node after which nobody reads it; LIVES_ON: it is a parameter or a result */
    const bool *own;      /* per result: a node made it, and it is no earlier result */
} Lives;
#define LIVES_ON UINT32_MAX

/* What of a code's graph hangs on captured tensors alone (beforehand.c); in the code's arena. */
typedef struct Beforehand {
    const Graph *graph; /* which computes it of the sources */
    uint32_t n;
    kiln_tensor **value; /* owned; the code's inputs behind the sources */
    Lives lives;
    size_t bytes;
    bool *reads; /* per source: something else reads it, too */
    _Atomic bool there;
    pthread_mutex_t making;
} Beforehand;

/* What a traced body is compiled to: immutable. */
typedef struct Code {
    Program *program;
    const Backend *backend;
    Compiled *compiled;
    EntryFn *entry;     /* NULL: only the instance's device can launch it */
    SizesFn *sizes;     /* code_measure */
    bool sized;         /* the program has symbols; else all sizes are constants */
    uint32_t nsize;     /* how many numbers code_measure writes */
    bool looks;         /* whoever launches it waits for what was computed on the way: which way to go, how often to turn */
    bool plain;         /* it runs on the host, calls nothing back and keeps no stacks, so a call needs only pointers */
    Beforehand *before; /* NULL: nothing */
    Binding *binding;
    uint32_t nbinding;
    int64_t *known; /* for each symbol of the program: its value, if its bounds allow only one, else -1 */
    double seconds;
    bool from_disk; /* it was found in the folder of compiled code */
    Marked
        *marked; /* of code with marks: where calls add how long its steps took; the engine's (marked_keep), or whose wish it was */
    size_t bytes; /* code, graphs and program */
    Arena arena;
} Code;

/* Takes what hangs on captured tensors alone out of m, a copy of what was traced. NULL: there is nothing, or st. */
Beforehand *beforehand_cut(const Traced *traced, Module *m, Status *st);
/* Computes it if nobody has yet. False: recorded. */
bool beforehand_there(Thread *t, kiln_site at, kiln_function *f, const Instance *inst, Beforehand *b);
void beforehand_free(Beforehand *b);

/* What a call with these symbols needs (program.h, `sizes`). Only of sized code. */
static inline void code_measure(const Code *code, const int64_t *dim, int64_t *out)
{
    if (LIKELY(code->sizes))
        code->sizes(dim, out);
    else
        program_measure(code->program, dim, out);
}

/* Something to be compiled by the engine's thread (background.c). */
typedef enum JobState { JOB_IDLE, JOB_WAITS, JOB_RUNS, JOB_DONE, JOB_FAILED } JobState;
typedef struct CodeJob {
    _Atomic uint8_t state;
    struct CodeJob *newer, *older; /* in the queue */
    kiln_function *f;
    Code *_Atomic *to;                               /* where its code goes */
    Code *(*build)(struct CodeJob *job, Status *st); /* NULL: st, or nobody wants it any longer */
    bool part;                                       /* the code is of a part of an instance (rest.c) */
} CodeJob;
typedef struct Background Background;
typedef struct Rest Rest;

struct Instance { /* one form of a traced body; immutable once published but for its code, the links and counts */
    Traced traced;
    Instance *_Atomic next; /* the next one in its bucket, or among the function's general instances */
    /* neighbours in the list of all instances, under the function's `compiling`; of a retired one, in its limbo */
    Instance *older, *newer;
    uint64_t key;             /* made of the concrete sizes and the device that it was compiled for */
    Instance *_Atomic saving; /* the form that runs while a tape records; itself: there is nothing to save; NULL: none yet */
    Instance *of;             /* of a saving form: the instance that it belongs to, whose literals it shares; else NULL */
    Code *_Atomic code;       /* NULL: there is none yet, and calls are interpreted */
    Type *result;
    Code *late;         /* of COMPILE_SWAP */
    const Lives *lives; /* per graph of traced.module */
    CodeJob job;
    Rest *_Atomic rest;  /* of its loops: code for what is left of them (rest.c) */
    bool loops;          /* one of its graphs has a loop */
    bool counted;        /* bytes counts the code */
    _Atomic bool unfit;  /* its symbols' bounds take too much workspace (compile.c) */
    size_t bytes;        /* code, graph, constants: what the cache counts */
    kiln_function *vjp;  /* made when it is first needed; under the function's `deriving` */
    _Atomic bool recent; /* used since the hand of the clock (the eviction order) last passed it */
    uint32_t held;       /* by recorded calls; under the engine's lock, as are the next two */
    bool retired;        /* it has left the cache and waits for its last user to finish */
    bool derived;        /* vjp exists; it may be freed already but still in use */
};

#define INSTANCE_BUCKETS 64
#define INSTANCE_MEMO 256
struct kiln_function {
    kiln *k;
    kiln_function *prev, *next;
    kiln_body *body;
    void *user;
    void (*free_user)(void *user);
    char *name;
    kiln_function_options options;
    kiln_compiling compile;     /* options.compile, or the engine's */
    kiln_spec *spec;            /* a copy of the declared inputs */
    uint32_t nspec, nspec_room; /* nspec 0: arguments are taken as they come, even if inputs were declared */
    /* the cache (cache.c): read without a lock, written under `compiling` */
    Instance *_Atomic bucket[INSTANCE_BUCKETS]; /* instances of constant sizes, by key */
    Instance *_Atomic general;                  /* instances with symbols */
    Instance *_Atomic memo[INSTANCE_MEMO];      /* by key of the concrete sizes: the instance that served them last */
    Instance *newest, *oldest;                  /* the ends of the list of all instances, in which the clock goes round */
    uint32_t ninstances;
    size_t cached;       /* the bytes of all instances */
    struct Rigid *rigid; /* sizes that could not be generalised */
    /* of a bounded instance's gradient: symbols from its first call on; the groups are its own, of preset_args arguments */
    Plan preset;
    uint32_t preset_args;
    Instance *limbo;           /* retired instances; under the engine's lock */
    pthread_mutex_t compiling; /* recursive */
    /* statistics (stats.c) */
    _Atomic uint64_t hits, interpreted, rests;
    LaunchCounts launched;
    pthread_mutex_t counting;
    kiln_function_statistics stats; /* under `counting`; without calls and hits */
    uint64_t warn_at;               /* the number of traces at which the log warns next */
    struct Latest *latest;          /* under `counting`: the latest call's types (latest.c) */
    _Atomic uint64_t latest_key;
    /* derived functions, each made once */
    pthread_mutex_t deriving; /* no body runs under it */
    kiln_function *grad, *value_and_grad, *jvp, *jacobian, *hvp, *recompute;
    kiln_function *children, *sibling; /* the functions derived from it, under its `deriving`; the next one of the same parent */
    /* of a derived function: what it was derived from, and the member of that one that points here, if one does */
    kiln_function *parent, **slot;
    Instance *inst; /* of a gradient: the parent's instance whose gradient it is */
    uint32_t held;  /* recorded calls and derived functions that need it; under the engine's lock */
    /* it goes with the last that holds it and the last running call; set under the engine's lock, like `held` */
    _Atomic bool freed;
    Loc loc;
    bool maps; /* its body must be traced (vmap.c, jacobian.c, recompute.c), also where others run eagerly */
    bool open; /* options.outputs is the most that there may be: the body sets the first few of them */
};

/* cache.c: every use of a function's instances lies between the two. False: recorded, nothing entered. */
bool call_enter(Thread *t, kiln_site at, kiln_function *f);
void call_leave(Thread *t);
/* compile.c: the instance for these arguments, traced and compiled; under `compiling`, and it stays until the call that
 * was entered ends. NULL: recorded. */
Instance *instance_new(Thread *t, kiln_site at, kiln_function *f, uint64_t key, kiln_tensor *const *in, int nin);
/* Another one in the place of one that is unfit, in which sizes are constants. NULL: recorded. */
Instance *instance_instead(
    Thread *t, kiln_site at, kiln_function *f, Instance *unfit, uint64_t key, kiln_tensor *const *in, int nin);
/* KILN_RETRACE: a new trace must spell the same graph; what differs was frozen from the host. False: recorded. */
bool retrace_agrees(Thread *t, kiln_site at, kiln_function *f, const Instance *inst, kiln_tensor *const *in, int nin);
/* traced.c: traces the body; sizes that traced->plan names become symbols. Compiles nothing. False: recorded; traced_free all the
 * same. */
bool function_trace(Thread *t, kiln_site at, kiln_function *f, kiln_tensor *const *in, int nin, Traced *traced);
/* The same of its declared inputs, or those of its latest call (ahead.c). `what` begins the text of errors. False: recorded. */
bool function_trace_ahead(Thread *t, kiln_site at, const char *what, kiln_function *f, Traced *traced);
Instance *instance_zeros(Thread *t, kiln_site at, const char *name, uint64_t key); /* nothing is traced yet. NULL: recorded */
/* Adds to the outputs of its graph the sizes that nodes count and outputs have; in its border. */
void traced_add_counts(Traced *traced, Graph *g);
void traced_init(Traced *traced); /* of zeros */
void traced_free(Traced *traced);
/* Makes values [from, to) of its graph extra results, but for stacks that a loop need not fill, or whose height only it knows, and
 * what has a size that a node counts. */
bool traced_add_results(Thread *t, kiln_site at, Traced *traced, Value from, Value to);
/* build.c: a traced module as a program for a target. NULL: st. */
typedef struct BuildOptions {
    Target target;
    bool host_products;   /* LowerOptions */
    int stop_after;       /* only that many passes; -1: all */
    const char *dump;     /* the name under which KILN_DUMP writes stages; NULL: nothing is written */
    const Backend *dumps; /* what dumps its own stages when it compiles the program; NULL: nothing does */
} BuildOptions;
Program *module_to_program(Module *m, Arena *arena, const BuildOptions *o, Status *st); /* the arena's border must be set */
/* Takes what was traced through its first stop_after passes (-1: all), lowering and backend. False: recorded. */
bool instance_build(Thread *t, kiln_site at, kiln_function *f, Instance *inst, int stop_after);
/* Ready to be run as f's .compile says. False: recorded. */
bool instance_begin(Thread *t, kiln_site at, kiln_function *f, Instance *inst);
/* Its code, compiled now if there is none, whatever .compile says. NULL: recorded. */
const Code *instance_compiled(Thread *t, kiln_site at, kiln_function *f, Instance *inst);
/* What was traced as code. NULL: st. */
enum {
    BUILD_DUMPS = 1, /* what KILN_DUMP asks for is written */
    BUILD_MARKS = 2  /* with marks; code->marked is the caller's */
};
Code *code_build(const kiln_function *f, const Traced *traced, int stop_after, unsigned wish, Status *st);
/* The same, with marks if the engine is to tell of its functions when it closes (KILN_PROFILE). */
Code *code_of_instance(const kiln_function *f, const Traced *traced, int stop_after, unsigned wish, Status *st);
void code_free(Code *code);            /* NULL allowed */
size_t instance_bytes(Instance *inst); /* of its code, too, if it is there, which then is counted */
/* saving.c: the form of the instance that runs while a tape records; made on demand, its own. NULL: recorded. */
Instance *instance_saving(Thread *t, kiln_site at, kiln_function *f, Instance *inst);
/* What the body of an open function told when it was traced; results are NULL until they are set. */
void told_again(const Thread *t, const kiln_function *f, const Traced *traced, kiln_tensor **results);
/* call.c: the instance for these arguments, from the cache or made now. */
Instance *function_instance(Thread *t, kiln_site at, kiln_function *f, kiln_tensor *const *in, int nin);
/* Gives all nresult results, by the instance's code or by interpreting. Stores nothing, records nothing. */
bool instance_results(Thread *t, kiln_site at, kiln_function *f, Instance *inst, kiln_tensor *const *in, kiln_tensor **result);
/* The same by this code of it. */
bool code_results(Thread *t, kiln_site at, kiln_function *f, const Instance *inst, const Code *code, kiln_tensor *const *in,
    kiln_tensor **result);
typedef struct Call { /* of code */
    const Code *code;
    void **buf; /* pointers to the inputs, then to the results */
    kiln_tensor **result;
    Buffer **input; /* the inputs' memory, for products to keep there what they pack; NULL: there are none, and it is not held */
    uint32_t inputs;
    /* Not of a plain instance: the same, which a callback may assign or release, and room for the results' and the workspace. */
    Buffer **held;
    uint32_t nheld;
    int64_t *dim; /* values of the program's symbols */
    HostStack *stack;
    struct HostMark *marks; /* of code with marks: one per step */
    int64_t *size;          /* the numbers that code_measure wrote; NULL: all sizes are constants */
} Call;
/* counted.c: results that came with room for the most that they may have get the sizes that the call counted. False: recorded. */
bool counts_settle(Thread *t, kiln_site at, const kiln_function *f, const Instance *inst, Call *c);
/* Runs the code on what was gathered; inst says on which device. False: recorded. */
bool code_enter(Thread *t, kiln_site at, const kiln_function *f, const Instance *inst, Call *c);
/* interpret_call.c: the same without code. */
bool instance_interpreted(Thread *t, kiln_site at, kiln_function *f, Instance *inst, kiln_tensor *const *in, kiln_tensor **result);
/* What running it by whichever way needs beside its code: the results' types, the lives of values. False: recorded. */
bool instance_ready(Thread *t, kiln_site at, Instance *inst);
/* The tensor behind one input; NULL: recorded. */
kiln_tensor *source_tensor(Thread *t, kiln_site at, const kiln_function *f, const Source *s, kiln_tensor *const *in);
/* An input that is no row-major memory of the instance's device, as one that is. NULL: recorded. */
kiln_tensor *input_there(Thread *t, kiln_site at, const kiln_function *f, const Instance *inst, const Source *s, kiln_tensor *x);
/* Records that arguments have two sizes, `is` and `have`, for one symbol; false. */
bool sizes_disagree(Thread *t, kiln_site at, const kiln_function *f, const DimTable *dims, Dim symbol, int64_t is, int64_t have,
    uint32_t argument, uint32_t axis);
/* Runs the instance; out gets noutput tensors. */
bool instance_run(Thread *t, kiln_site at, kiln_function *f, Instance *inst, kiln_tensor *const *in, kiln_tensor **out);
/* The body, eagerly or inside the running trace, in a scope of its own; results move to the caller's scope. */
bool function_inline(Thread *t, kiln_site at, kiln_function *f, kiln_tensor *const *in, int nin, kiln_tensor **out);
int function_outputs(const kiln_function *f);
/* nin operands as live tensors (or static arguments) that fit the declaration. False: recorded, or poison. */
bool function_arguments(Thread *t, kiln_site at, kiln_function *f, const kiln_operand *in, int nin, kiln_tensor **x);
void function_hold(kiln_function *f); /* stays, though freed, until function_drop */
void function_drop(kiln_function *f);
void instance_hold(Instance *inst, kiln *k); /* stays, though evicted, until instance_drop */
void instance_drop(Instance *inst, kiln *k);
void instance_free(Instance *inst);
/* call_gradient.c: what tapes ask about a recorded call (Hooks). */
void recorded_call_hold(kiln *k, const RecordedCall *call);
void recorded_call_drop(kiln *k, const RecordedCall *call);
/* Appends the instance's graph to the running frame's, without effects. in: tensors of its sources' types, whose sizes its symbols
 * get; given: what stands for them there. Returns what became of each of its values. NULL: recorded. */
Value *graph_again(Thread *t, kiln_site at, const Instance *inst, kiln_tensor *const *in, Value *given);
/* Whatever reads a value of g reads map's, if that is not 0, from now on. False: recorded. */
bool graph_reads(Thread *t, kiln_site at, Graph *g, Value *map);
/* The cotangents of its inputs; dx[i] NULL: none. wanted: which are asked for. False: recorded. */
bool recorded_call_gradient(Thread *t, kiln_site at, const RecordedCall *call, kiln_tensor *const *in, kiln_tensor *const *out,
    kiln_tensor *const *g, const bool *wanted, kiln_tensor **dx);
/* Recording tapes are to miss what the body reads of variables after it has assigned them. False: no memory, recorded. */
bool note_own_reads(Thread *t, const Instance *inst, bool sources);

void marked_free_all(kiln *k);  /* that the engine keeps (marked.h); nothing runs any more */
void background_close(kiln *k); /* before anything is freed */
void functions_free_all(kiln *k);
void function_destroy(kiln_function *f); /* at once: nothing may use it any longer; unlinked by the caller */
bool function_gone(Thread *t, kiln_site at, const kiln_function *f);               /* records that it was freed; false */
static inline bool function_alive(Thread *t, kiln_site at, const kiln_function *f) /* false: it was freed, recorded */
{
    return LIKELY(!f->freed) || function_gone(t, at, f);
}
/* A function of ours whose body is ordinary internal code; free_user and slot may be NULL. declared: it takes the inputs that
 * `like` declares. Under the deriving lock of `like`. NULL:
 * recorded. */
kiln_function *function_derived(kiln_site at, kiln *k, const char *name, kiln_body *body, void *user, void (*free_user)(void *),
    int inputs, int outputs, kiln_function *like, bool declared, kiln_function **slot);

/* ---- static_argument.c ------------------------------------------------------------------------------------------------ */
kiln_tensor *static_argument(Thread *t, kiln_site at, kiln_operand o); /* the handle that a body reads; NULL: recorded */
static inline bool operand_is_static(kiln_operand o) { return o.kind >= 7 && o.kind <= 9; }
static inline kiln_operand fixed_operand(const Fixed *v)
{
    kiln_operand o = {{.i = v->bits}, v->kind, 0};
    if (v->kind == 9) o.as.text = v->text;
    return o;
}
/* latest.c: the types of a function's latest call */
typedef struct Latest {
    size_t bytes;
    uint32_t narg;
    Type *made;   /* sizes are constants */
    Fixed *fixed; /* per argument; kind 0: a tensor */
} Latest;
void latest_note(kiln_function *f, uint64_t key, kiln_tensor *const *in, int nin);
Latest *latest_copy(kiln_function *f, bool *failed);                 /* NULL: never called, or no memory (failed) */
void latest_argument(const Latest *l, uint32_t i, kiln_tensor *arg); /* arg: zeroed */
void latest_free(Latest *l);

Fixed static_value(const kiln_tensor *x); /* kind 0 if x is no static argument; the text is x's own */
bool fixed_equal(const Fixed *a, const Fixed *b);
const char *fixed_text(const Fixed *v, char *buf, size_t cap);

/* ---- signature.c --------------------------------------------------------------------------------------------------------- */
typedef enum MissKind {
    MISS_FIRST,
    MISS_COUNT,
    MISS_DTYPE,
    MISS_RANK,
    MISS_SIZE,
    MISS_BOUND,
    MISS_STATIC,
    MISS_DEVICE,
    MISS_OTHER
} MissKind;
typedef struct Miss { /* how a call missed the instance nearest to it */
    MissKind kind;
    int argument, dim; /* -1: none */
    int64_t from, to;  /* sizes */
    uint32_t differences;
    char text[160];
} Miss;

/* Of the concrete types. Its highest byte is the device of the call, exactly, if that is the host; else call.c puts it there. */
#define KEY_DEVICE 56
static inline uint64_t signature_key(const Thread *t, kiln_tensor *const *in, int nin)
{
    uint64_t h = (uint64_t)nin + 1;
    uint32_t any = t->device;
    for (int i = 0; i < nin; i++) {
        any |= in[i]->device;
        h = hash_mix(h, tensor_signature(in[i]));
    }
    return h >> (64 - KEY_DEVICE) | (uint64_t)any << KEY_DEVICE;
}
bool declared_symbol(const kiln_function *f, int arg, int axis);
/* How products of what the function runs are added up. */
static inline uint8_t function_sums(const kiln_function *f)
{
    return f->options.exact ? SUMS_CHAINS : f->options.tf32 ? SUMS_TF32 : SUMS_USUAL;
}
bool instance_fits(const Instance *r, uint64_t key, kiln_tensor *const *in, int nin);
void signature_miss(const kiln_function *f, kiln_tensor *const *in, int nin, Miss *out);
/* Whether the call is the one after which a size becomes a symbol, and how; *grown: the instance that the new one replaces, or
 * NULL. The plan's groups are the caller's to free: nin * MAX_RANK bytes. Under `compiling`. */
bool signature_generalise(kiln_function *f, kiln_tensor *const *in, int nin, Plan *plan, Instance **grown);
void signature_rigid(kiln_function *f, const Plan *plan, int nin); /* that plan cannot be traced: not again */
void rigid_free(kiln_function *f);
/* "arg 0 dim 0, arg 1 dim 0": where group `which` of the plan is. */
void plan_text(const Plan *plan, int nin, uint32_t which, char *buf, size_t cap);

/* ---- cache.c --------------------------------------------------------------------------------------------------------------- */
Instance *cache_find(kiln_function *f, uint64_t key, kiln_tensor *const *in, int nin); /* no lock is taken unless the memo learns */
void cache_add(kiln_function *f, Instance *inst, Instance *replaced); /* then evicts what is beyond the bound; under `compiling` */
void cache_sweep(kiln *k);                                            /* frees what no running call needs any longer */
/* Counts the bytes of code that has come since, and evicts what is beyond the bound; under `compiling`. */
void cache_settle(kiln_function *f);
bool cache_remove(kiln_function *f, Instance *inst);             /* false: it was gone already; under `compiling` */
void cache_grow(kiln_function *f, Instance *inst, size_t bytes); /* it takes so many bytes more; under `compiling` */
void cache_free_instances(kiln_function *f);
static inline void call_uses(Thread *t, Instance *inst) /* the call that was entered runs this instance */
{
    atomic_store_explicit(&t->running[t->calls - 1].inst, inst, memory_order_release);
}

/* silent: nothing was recorded in it, though it failed; well: no error was recorded before it. */
void call_failed(Thread *t, kiln_site at, const kiln_function *f, const Call *c, uint32_t rc, bool silent, bool well);
/* ---- call.c --------------------------------------------------------------------------------------------------------------- */

/* ---- stats.c ---------------------------------------------------------------------------------------------------------------- */
void stats_miss(kiln_function *f, const Miss *m);
void stats_trace(Thread *t, kiln_function *f, double seconds, const Miss *m); /* warns when traces pile up */
void stats_instance(kiln_function *f, const Instance *inst);
void stats_compiled(kiln_function *f, const Code *code);
void stats_failed(kiln_function *f); /* a compile in the background */
uint64_t stats_failures(kiln_function *f);
void stats_evicted(kiln_function *f, size_t cached, uint32_t instances, uint32_t evictions);
/* why_not NULL: it is done */
void stats_general(Thread *t, kiln_function *f, const Plan *plan, int nin, const char *why_not, const Instance *inst);

/* What KILN_DUMP asks for: writes one file per stage into the folder KILN_DUMP_DIR (default: the current one). */
void dump_open(kiln *k); /* the log tells of words in KILN_DUMP that name no stage */
bool dump_wants(const char *stage);
void dump_module(void *function, const char *stage, const Module *m); /* its name; PassCtx.dump */
/* its name; CompileOptions.dump */
void dump_stage(void *function, const char *stage, const char *name, const char *text, size_t len);
/* Stage program; and those of backends that do not compile it: what they would make of the module after the passes, whether or not
 * there is a device. What goes wrong is what the file says. */
void dump_program(const BuildOptions *o, Arena *arena, const Module *traced, const Program *p);

#endif
