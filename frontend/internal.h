/* internal: the structures that the files of frontend/ share. The public face is include/kiln; the spine is compile.c.
 * Relies on everything below through its narrow headers. Never includes a backend's folder, LLVM or CUDA. */
#ifndef KILN_FRONTEND_INTERNAL_H
#define KILN_FRONTEND_INTERNAL_H

#include <kiln/kiln.h>
#include <pthread.h>

#include "../codegen/backend.h"
#include "../codegen/eager.h"
#include "../ir/infer.h"
#include "../passes/reach.h"
#include "../runtime/buffer.h"
#include "../runtime/scratch.h"
#include "../runtime/threads.h"

typedef struct Thread Thread;
typedef struct Row Row;
typedef struct Trace Trace;
typedef struct Frame Frame;

/* ---- tensors ------------------------------------------------------------------------------------------------------ */
/* STATIC: a static argument, a C value on its way to a body: no elements, no dtype; see function.h. MISSING: an input of a body that was not
 * given; one of the engine's few, whose place there is the input's number. */
typedef enum TensorState { TENSOR_FREE, TENSOR_EAGER, TENSOR_TRACED, TENSOR_POISON, TENSOR_STATIC, TENSOR_MISSING } TensorState;
#define MISSING_INPUTS 64

struct kiln_tensor {
    uint8_t state;           /* TensorState; FREE: in a free list, or closed for good in debug builds */
    bool contiguous;         /* eager */
    bool in_scope;           /* linked in a scope's list */
    bool released;           /* FREE: by its last owner, not by its scope */
    uint32_t owners;         /* kiln_own minus kiln_release */
    kiln *k;
    Thread *home;            /* whose headers it came from */
    uint64_t uid;            /* identity: never reused; aliases made by a tape share it */
    Type type;
    /* eager */
    Buffer *buffer;
    char *data;              /* element (0, ..., 0); STATIC: the text */
    int64_t stride[MAX_RANK]; /* elements; STATIC: the number's bits, then the operand's kind */
    uint64_t signature;      /* hash of dtype and dims; 0: not computed yet; several threads may compute it at once */
    /* traced */
    Frame *frame;            /* whose graph `value` is in; valid while trace_id is the running trace's */
    uint64_t trace_id;
    Value value;
    /* bookkeeping */
    kiln_tensor *prev, *next; /* scope list, or free list through next */
    uint32_t scope;           /* index in the thread's scope stack */
    bool region;              /* FREE: the scope that closed on it was a region's body */
    Loc made;
    Loc scope_opened;         /* FREE: where the scope that closed on it was opened; no file: not known */
};

struct kiln_variable {
    kiln *k;
    char *name;
    uint32_t id;              /* never reused within the engine */
    bool local;               /* freed with its scope; gradients flow through assignments */
    bool alive;
    Type type;
    kiln_tensor *value;       /* owned; eager. A local's is the very tensor that was assigned, so that tapes see through */
    kiln_variable *prev, *next; /* of the engine */
    kiln_variable *next_local;  /* of the scope */
    uint32_t pins;            /* tapes, optimisers and checkpoints that keep a pointer to it: freed, it is not made anew before they go */
    Frame *frame;             /* local made inside a trace: where; such a local has no eager value */
    uint64_t trace_id;
    Loc made;
};

/* ---- threads, scopes --------------------------------------------------------------------------------------------------- */
typedef struct Scope {
    uint64_t id;
    kiln_tensor *tensors;    /* list head */
    kiln_tape *tapes;
    kiln_variable *locals;
    Loc opened;              /* by the user; no file: by the library */
    bool region;             /* an iteration, a condition or a branch */
    Trace *trace;            /* of a KILN_EAGERLY block, as the next two: what its end brings back */
    uint32_t recording, eagerly;
} Scope;

/* A call in progress: what must not be freed under it. A row of NULL: still looking for one, or running the body. */
typedef struct Running {
    kiln_function *_Atomic f;
    Row *_Atomic row;
} Running;
#define CALLS_MAX 80 /* nested calls of one thread; bodies stop earlier */

typedef struct LastIf {      /* the KILN_IF that closed last: what a KILN_ELSE is the other case of */
    uint64_t scope;          /* id of the scope that it stood in; 0: none */
    Frame *frame;            /* traced: where `predicate` is; NULL: eager */
    uint64_t trace_id;
    uint32_t predicate;      /* a Value */
    bool taken;              /* eager */
} LastIf;

struct Thread {
    kiln *k;
    Thread *next;            /* of the engine */
    pthread_t self;
    uint64_t next_uid;       /* identities: the thread's number above, a counter below */
    BufferPool *pool;
    kiln_tensor *free;       /* headers */
    kiln_tensor *_Atomic foreign; /* headers released by other threads */
    struct Slab *slabs;
    Scope *scope;            /* stack; scope[0] is the root and lives until close */
    uint32_t scopes, scope_cap, eagerly; /* eagerly: the innermost KILN_EAGERLY block's scope, its index + 1; 0: none is open */
    kiln_tape *tape;         /* innermost open tape */
    kiln_tape *closed_tapes; /* closed by their scopes, handles perhaps still about */
    uint32_t recording;      /* open tapes that record eager code */
    Trace *trace;            /* innermost running trace; NULL: eager */
    LastIf last_if;
    struct BodyRun *body;    /* innermost running (body.h) */
    uint32_t body_depth;     /* bodies running on this thread, for recursion limits */
    bool too_deep;           /* the limit was met: nothing more is entered until the outermost body has ended */
    Running running[CALLS_MAX]; /* read by threads that evict rows or free functions (cache.c) */
    uint32_t calls;
    const char *called;      /* the composite that the user called, while it runs: the name that errors in it bear. NULL: none */
    uint32_t quiet;          /* what runs or is traced has happened already: no effects (effect.h) */
    Scratch scratch;         /* arrays whose length a caller chose: nothing of that kind lies on the C stack */
    void *work;              /* workspace for compiled calls */
    size_t work_bytes;
    bool work_busy;
    uint64_t kernels_run, bytes_run; /* eager kernels, and what they read and wrote; for kiln_compare */
    int64_t live_bytes, peak_bytes;  /* of eager tensors' memory */
    kiln_failure failure;
    bool seen;               /* kiln_error was asked while it stood */
    uint64_t failures;       /* every one, first or not: lets a trace see that something failed inside it */
    char text[640]; Status refused; /* the error's; what the host table refused compiled code */
};

struct kiln {
    kiln_options options;
    uint64_t serial;         /* of the process: what the thread cache compares */
    kiln *next_open;         /* all open engines */
    ThreadPool *threads;
    KilnHost host;
    pthread_mutex_t lock;    /* thread list, variables, functions, compiling */
    Thread *thread_list;
    kiln_variable *variables;
    uint32_t next_variable, freed, renamed; /* renamed: how often one that has a layer's name, perhaps, was freed */
    kiln_variable *freed_first, *freed_last; /* by `next`: handles perhaps still about; the oldest are made anew (variable.c) */
    struct NameHint { const char *stem; uint32_t n, newest, renamed; } hint[8]; /* nn/name.c: all numbers below n are taken, as of the newest */
    kiln_function *functions;
    kiln_function *freed_functions, *last_freed; /* by `next`: handles perhaps still about; the oldest are made anew (function.c) */
    uint32_t functions_freed;
    _Atomic bool pending;    /* a freed function or an evicted row waits for a running call to end */
    struct Object *objects;  /* layers, optimisers ... (object.h) */
    Map definitions;         /* kiln_definition * -> kiln_function * */
    kiln_tensor poison;      /* what failed calls return */
    kiln_tensor missing[MISSING_INPUTS], *missing_at[2 * MISSING_INPUTS]; /* pointers to them, then to the last */
    bool eager_only, retrace, checked;
    _Atomic bool starved;    /* a thread's state could not be made: the next one made records it */
    _Atomic uint64_t own_draws; /* from the engine's own generator (random.c) */
    uint32_t unseen_errors;  /* of threads that never cleared theirs, counted at close */
    struct CustomGradient *custom; /* callbacks of kiln_custom_gradient, by number */
    uint32_t ncustom, custom_cap, neffect, effect_cap;
    struct Effect **effect;   /* what compiled code prints, asserts and calls, by number (effect.h) */
};

typedef struct CustomGradient {
    void (*backward)(kiln *, kiln_tensor *, kiln_tensor *const *, kiln_tensor **, void *);
    void *user;
} CustomGradient;

/* The calling thread's state in k; NULL (and nothing to record it in) only if memory ran out. */
Thread *thread_of(kiln *k);
Thread *thread_last(void); /* of the engine that this thread used last; NULL: none */

/* ---- errors: each returns the poison tensor so that `return fail(...)` reads well ------------------------------------------ */
kiln_tensor *fail(Thread *t, kiln_site at, kiln_code code, const char *format, ...) PRINTF_LIKE(4, 5);
kiln_tensor *fail_status(Thread *t, kiln_site at, const Status *st);
void log_open(kiln *k); /* settles where its log goes */
void log_line(kiln *k, const char *format, ...) PRINTF_LIKE(2, 3); /* to the engine's log, after "kiln: " */
const char *tensor_text(const kiln_tensor *x, char *buf, size_t cap); /* f32[2,3], or what is wrong with it */
const char *tensor_end_text(const kiln_tensor *x, char *buf, size_t cap); /* of a FREE one: "it was released", "its scope, opened at a.c:3, closed" */

/* ---- tensor headers ------------------------------------------------------------------------------------------------------------ */
kiln_tensor *tensor_new(Thread *t, kiln_site at);       /* header in the innermost scope; NULL: no memory (recorded) */
/* Contiguous, allocated, not filled. The type's dims are constants. NULL: recorded. */
kiln_tensor *tensor_empty(Thread *t, kiln_site at, const Type *type);
kiln_tensor *tensor_of_buffer(Thread *t, kiln_site at, const Type *type, Buffer *b); /* takes the reference; contiguous */
kiln_tensor *tensor_traced(Thread *t, kiln_site at, Frame *f, Value v);
kiln_tensor *tensor_alias(Thread *t, kiln_site at, const kiln_tensor *x);  /* a second handle, same uid, in the innermost scope */
kiln_tensor *tensor_contiguous(Thread *t, kiln_site at, kiln_tensor *x);   /* x itself, or a packed copy */
void tensor_drop(kiln_tensor *x);                        /* the header goes if no scope and no owner holds it */
void tensor_view(const kiln_tensor *x, View *v);
uint64_t tensor_signature(kiln_tensor *x);
static inline bool tensor_ok(const kiln_tensor *x) { return x && (x->state == TENSOR_EAGER || x->state == TENSOR_TRACED); }
int64_t type_count(const Type *type);                    /* constant dims only */
bool type_from_shape(Thread *t, kiln_site at, const char *op, kiln_dtype d, const kiln_shape *s, Type *out); /* checks everything; false: recorded */

/* ---- operands ------------------------------------------------------------------------------------------------------------------- */
/* What stands for a tensor, as one: a variable is read, a number becomes a constant of type `like`; NULL: numbers are an error. op: whose
 * operand it is, for messages. Usable, or poison: recorded unless the operand was poison. */
kiln_tensor *operand_named(Thread *t, kiln_site at, const char *op, kiln_operand o, const Type *like);
/* The thread that an operation on these operands runs in: from the first tensor or variable; NULL: none of them names an engine, or a thread
 * could not be made. */
Thread *operands_thread(const kiln_operand *o, int n);
bool operand_is_number(kiln_operand o);
/* Two operands promoted and broadcast against each other. False: recorded (op is for the text). */
bool operand_pair(Thread *t, kiln_site at, const char *op, kiln_operand a, kiln_operand b, kiln_tensor *out[2]);
kiln_tensor *constant_of(Thread *t, kiln_site at, const Type *type, kiln_operand number); /* checks that the dtype holds it */

/* ---- the one door ------------------------------------------------------------------------------------------------------------------ */
/* Runs the op now, or appends it to the running trace; open tapes record it. in: live tensors or poison (then out is poison).
 * Returns out[0]; on failure records, fills out with poison. */
kiln_tensor *apply(Thread *t, kiln_site at, Op op, kiln_tensor *const *in, uint32_t nin, const int64_t *attr, uint32_t nattr,
                   kiln_tensor **out, uint32_t nout);
kiln_tensor *apply1(Thread *t, kiln_site at, Op op, kiln_tensor *x, const int64_t *attr, uint32_t nattr);
kiln_tensor *apply2(Thread *t, kiln_site at, Op op, kiln_tensor *x, kiln_tensor *y, const int64_t *attr, uint32_t nattr);
/* The same with the tensors already checked: what gradients use while walking. */
Module *module_of(Thread *t); /* the running trace's, for dims; NULL in eager code */
kiln_tensor *broadcast_to(Thread *t, kiln_site at, kiln_tensor *x, const Type *shape); /* x itself if equal; dtype kept */
kiln_tensor *reshape_to(Thread *t, kiln_site at, kiln_tensor *x, const Dim *dim, int rank);
kiln_tensor *cast_to(Thread *t, kiln_site at, kiln_tensor *x, DType d);
/* A dim as a scalar tensor of the dtype: a constant, or read when the function runs. */
kiln_tensor *dim_tensor(Thread *t, kiln_site at, Dim d, DType type);

/* ---- traces ---------------------------------------------------------------------------------------------------------------------------- */
typedef enum SourceKind { FROM_ARGUMENT, FROM_CAPTURE, FROM_LITERAL, FROM_VARIABLE } SourceKind;

typedef struct Source {      /* of one input of the compiled function, in the order of the graph's parameters */
    uint8_t kind;
    uint32_t argument;
    kiln_tensor *tensor;     /* CAPTURE: weak, checked by uid at each call; LITERAL: owned */
    uint64_t uid;
    kiln_variable *variable;
    Type type;
    Loc loc;                 /* where the body first used it */
} Source;

typedef struct Slot {        /* a variable's or local's value while a frame is traced */
    kiln_variable *variable;
    Value now;
    Value entry;             /* the frame's parameter that holds the value at its start; 0: assigned before read */
    bool assigned;
    bool read_after;         /* a variable, not a local: read after it was assigned */
} Slot;

typedef enum FrameKind { FRAME_FUNCTION, FRAME_BODY, FRAME_CONDITION, FRAME_CASE, FRAME_RULE } FrameKind;
typedef enum ColumnRole { COLUMN_INDEX, COLUMN_CARRY, COLUMN_SLICE, COLUMN_FREE } ColumnRole;

typedef struct Column {      /* what one parameter of a region's frame stands for */
    uint8_t role;            /* ColumnRole; those before FREE are there from the start */
    Value outer;             /* the parent's value: the operand; none for the index */
    kiln_variable *variable; /* whose value at entry it is; NULL: a value given or captured */
} Column;
struct Frame {               /* one graph being traced: the function's, or a region's inside it */
    Trace *trace;
    Frame *parent;           /* NULL: the function's own */
    Graph *g;
    Map watched;             /* value -> the leaf that its handles mean since it was watched */
    Map captured;            /* parent frame: value -> parameter here; function frame: tensor uid -> value */
    VEC(Slot) slot;
    Map slot_of;             /* variable -> index into slot, where that slot still names it */
    VEC(Column) column;      /* region: of each parameter, in order of g->param */
    uint8_t kind;            /* FrameKind. RULE: the graph of a gradient rule, closed: nothing comes in from outside */
    const char *what;        /* region: "KILN_FOR", for messages */
    Loc loc;
};

typedef struct TapeRead {    /* a variable read, or a watched tensor */
    kiln_variable *variable; /* NULL: watched */
    uint64_t uid;
    Value leaf;              /* 0: read where a tape around it cannot see it (region.c) */
} TapeRead;

struct Trace {
    Trace *outer;            /* the trace that was running when this one began (a derived function compiled inside a trace) */
    Thread *t;
    uint64_t id;
    uint64_t first_uid;      /* tensors with this uid or more were made by the body */
    Arena *arena;
    Module *module;
    Frame *frame;            /* innermost */
    bool automatic;          /* sizes became symbols unasked: reading one as a C number ends the trace */
    VEC(Source) source;
    VEC(TapeRead) read;      /* what a tape around the whole body notes of variables; locals are left out */
    Status st;
};

bool frame_encloses(const Frame *outer, const Frame *inner); /* or is it */
/* A traced tensor for operand x in the innermost frame; 0 after recording why not. */
Value trace_value(Thread *t, kiln_site at, kiln_tensor *x);
kiln_tensor *trace_apply(Thread *t, kiln_site at, Op op, kiln_tensor *const *in, uint32_t nin, const int64_t *attr, uint32_t nattr,
                         kiln_tensor **out, uint32_t nout);
/* Appends an effect: nout results, or none. False: recorded. */
bool trace_effect(Thread *t, kiln_site at, Op op, kiln_tensor *const *in, uint32_t nin, const int64_t *attr, uint32_t nattr, kiln_tensor **out,
                  uint32_t nout);
kiln_tensor *trace_read(Thread *t, kiln_site at, kiln_variable *v);
bool trace_assign(Thread *t, kiln_site at, kiln_variable *v, kiln_tensor *x);
/* From here on, inside the innermost frame, the tensor x from outside means value v. */
bool trace_repoint(Thread *t, kiln_site at, kiln_tensor *x, Value v);
Slot *frame_slot(Frame *f, kiln_variable *v, bool make); /* NULL if absent and !make */
/* A parameter of a region's frame; 0: recorded. */
Value frame_param(Thread *t, kiln_site at, Frame *f, const Type *type, Column c);
/* Reads of the value that a variable came into the frame with let gradients through to it: it is the caller's to differentiate. */
void frame_pass_reads(const Frame *f, Value entry);
bool trace_note(Thread *t, kiln_site at, kiln_variable *v, Value leaf); /* one more of Trace.read; false: no memory, recorded */
void trace_forget(Thread *t, const kiln_variable *v);    /* v is about to go: no slot names it any longer */

/* ---- tapes --------------------------------------------------------------------------------------------------------------------------------- */
typedef struct TapeEntry {   /* eager: what a value of the tape's graph was */
    kiln_tensor held;        /* a copy of the header, its buffer retained */
    bool tracked;            /* a leaf, or computed from one; else only an operand of such */
} TapeEntry;

struct kiln_tape {
    kiln *k;
    Thread *t;
    kiln_tape *outer;        /* of the thread: next outer open tape */
    kiln_tape *next;         /* of its scope */
    uint32_t scope;
    bool persistent, recording, used;
    bool closed;             /* by its scope: the struct stays, so that a stale handle is known, until the user closes it or the engine goes */
    Loc loc;
    Frame *frame;            /* opened inside a trace: where; NULL: eager */
    uint64_t trace_id;
    uint32_t first;          /* traced: first node of the frame's graph that belongs to it */
    uint32_t stopped;        /* traced, not recording: the first node that it does not record */
    VEC(NodeRange) gap;      /* traced: what was made while it did not record */
    Arena arena;
    Module *module;          /* eager: its own graph */
    Graph *g;
    Map by_uid;              /* eager: tensor uid -> value */
    VEC(TapeEntry) entry;    /* eager: per value */
    VEC(TapeRead) read;
    Map noted;               /* locals: id and leaf of those among `read`, which stand there once */
    Value last_y;            /* of the last gradient, for kiln_grad_why */
    char why[256];
};

/* Called by apply for eager ops while some tape records: nodes are added to each tape that tracks an operand. */
void tape_record(Thread *t, kiln_site at, Op op, kiln_tensor *const *in, uint32_t nin, const int64_t *attr, uint32_t nattr,
                 kiln_tensor *const *out, uint32_t nout);
void tape_note_read(Thread *t, kiln_variable *v, kiln_tensor *x); /* eager: x is what the read returned; every recording tape notes it */
bool tape_note(kiln_tape *tape, kiln_variable *v, uint64_t uid, Value leaf); /* false: no memory, recorded */
/* Whether regions inside what it records read the variable where the tape cannot see it (region.c): then it has no gradient. */
bool tape_misses(const kiln_tape *tape, const kiln_variable *v);
/* leaves.c: the leaves that stand for operand x, at most cap, and how many there are. known: what tape_reach_asked gave for all operands that are
 * asked about at once, NULL if it was not needed. */
uint32_t tape_leaves(const kiln_tape *tape, kiln_operand x, const Reach *known, Value *leaf, uint32_t cap);
/* In a trace: the value of a tensor that was not watched, but computed from what was; 0: it was not. Cost: the ops of the tape so far. */
Value tape_computed(kiln_tape *tape, kiln_tensor *x);
Value tape_tracked(const kiln_tape *tape, const kiln_tensor *x); /* eager: its value if it is a leaf or computed from one, else 0 */
const Reach *tape_reach_asked(const kiln_tape *tape, Arena *arena, const kiln_operand *x, int count);
const Reach *tape_reach(const kiln_tape *tape, Arena *arena, const Value *leaf, uint32_t leaves);
const Type *tape_asked_type(kiln_operand x);
void tape_resume(kiln_tape *tape);           /* after kiln_tape_stop */
void tape_retire(kiln_tape *tape);           /* its scope closes: everything goes but the struct */
void tapes_free_closed(Thread *t);
/* Several outputs with cotangents (NULL or poison-free tensors); what kiln_gradients_at does for one. */
bool gradients(Thread *t, kiln_site at, kiln_tape *tape, kiln_tensor *const *y, kiln_tensor *const *seed, uint32_t ny, const kiln_operand *x, int count, kiln_tensor **dx);
/* The cotangents of a compiled call's inputs (call_gradient.c); dx[i] NULL: none. wanted: which are asked for. */
bool call_gradient(Thread *t, kiln_site at, kiln_function *f, Row *row, kiln_tensor *const *in, uint32_t nin, kiln_tensor *const *g,
                   uint32_t ng, const bool *wanted, kiln_tensor **dx);
/* Recording tapes are to miss what the body reads of variables after it has assigned them. False: no memory, recorded. */
bool note_own_reads(Thread *t, const Row *row, bool sources);

/* ---- functions ------------------------------------------------------------------------------------------------------------------------------ */
/* Sizes that became symbols by themselves: group[argument * MAX_RANK + axis] is 0 or the number of a symbol, from 1. */
#define PLAN_GROUPS 4
typedef struct Plan {
    uint32_t groups;
    int64_t hi[PLAN_GROUPS]; /* each is 1 to hi */
    bool declared;           /* the user knows: reading such a size in C gives its bound, as in the function itself */
    const uint8_t *group;
} Plan;

typedef struct Fixed {       /* a static argument's value; kind 0: a tensor argument */
    uint32_t kind;           /* kiln_operand's: 7 integer, 8 double, 9 text */
    int64_t bits;
    const char *text;
} Fixed;

typedef struct Binding {     /* where a call finds the value of a symbol; a symbol that several sizes share has one for each */
    uint32_t argument, axis;
    uint32_t symbol;         /* of Program.symbol */
} Binding;

struct Row {                 /* one compiled signature; immutable once published but for the links and counts */
    Row *_Atomic next;       /* in its bucket, or among the function's general rows */
    Row *older, *newer;      /* all rows of the function; under its `compiling`. Retired: the function's limbo */
    uint64_t key;            /* of the concrete sizes that it was made for */
    uint32_t narg;
    Type *arg;               /* as traced: dims constant or symbols of `module` */
    Type *made;              /* the concrete types it was made for */
    Fixed *fixed;            /* per argument */
    Plan plan;
    bool bounded;            /* some sizes are symbols, declared or planned */
    Source *source;          /* per input of the entry */
    uint32_t nsource, nresult, noutput, nchanged; /* results: outputs, then the changed variables' new values */
    Type *result;
    Binding *binding;
    uint32_t nbinding;
    int64_t *known;          /* of each symbol of the program: its value, if its bounds allow one alone, else -1 */
    kiln_variable **changed; /* freed ones may have been made anew since: an id tells */
    uint32_t *changed_id;
    Module *module;          /* after the pipeline */
    Program *program;
    const Backend *backend;
    Compiled *compiled;
    EntryFn *entry;
    SizesFn *sizes;          /* NULL: no symbols, all sizes are in `result` */
    uint32_t nsize;          /* numbers that it writes */
    Arena arena;
    char *trace_text;        /* the graph as traced, for KILN_RETRACE */
    Graph **traced;          /* the module's graphs before the pipeline, which gradients are taken of: the body is not run again */
    TapeRead *read;          /* the trace's */
    uint32_t ntraced, nread;
    uint32_t ops;
    double trace_seconds, compile_seconds;
    size_t bytes;            /* code, graph, constants: what the cache counts */
    kiln_function *vjp;      /* derived on demand; under the function's `deriving` */
    _Atomic bool recent;     /* hit since the clock's hand came by */
    uint32_t held;           /* by recorded calls; under the engine's lock, as are the next two */
    bool retired;            /* out of the cache, waiting for its last user */
    bool derived;            /* vjp exists, perhaps freed but still in use */
};

#define ROW_BUCKETS 64
#define ROW_MEMO 256
struct kiln_function {
    kiln *k;
    kiln_function *prev, *next;
    kiln_body *body;
    void *user;
    void (*free_user)(void *user);
    char *name;
    kiln_function_options options;
    kiln_spec *spec;         /* declared inputs, its own */
    uint32_t nspec, nspec_room; /* nspec 0: taken as they come, though declared */
    /* the cache (cache.c): read without a lock, written under `compiling` */
    Row *_Atomic bucket[ROW_BUCKETS]; /* rows of constant sizes, by key */
    Row *_Atomic general;    /* rows with symbols */
    Row *_Atomic memo[ROW_MEMO]; /* by key of the concrete sizes: the row that served them last */
    Row *newest, *oldest;    /* all rows, for the clock */
    uint32_t nrows;
    size_t cached;           /* bytes */
    struct Rigid *rigid;     /* sizes that could not be generalised */
    Plan preset;             /* of a bounded row's gradient: symbols from its first call on; the groups are its own, of preset_args arguments */
    uint32_t preset_args;
    Row *limbo;              /* retired rows; under the engine's lock */
    pthread_mutex_t compiling; /* recursive */
    /* statistics (stats.c) */
    _Atomic uint64_t hits;
    pthread_mutex_t counting;
    kiln_function_statistics stats; /* under `counting`; without calls and hits */
    uint64_t warn_at;        /* traces */
    struct Latest *latest;   /* under `counting`: the latest call's types (latest.c) */
    _Atomic uint64_t latest_key;
    /* derived functions, each made once */
    pthread_mutex_t deriving; /* no body runs under it */
    kiln_function *grad, *value_and_grad, *jvp;
    kiln_function *children, *sibling; /* all derived from it, under its `deriving`; next of the parent's */
    kiln_function *parent, **slot; /* derived: from which, and where that one keeps it */
    Row *row;                /* of the parent, whose gradient it is */
    uint32_t held;           /* recorded calls and derived functions that need it; under the engine's lock */
    _Atomic bool freed;      /* goes with the last of them, and of the calls that run; set under the engine's lock, with `held` */
    Loc loc;
};

/* cache.c: every use of a function's rows lies between the two. False: recorded, nothing entered. */
bool call_enter(Thread *t, kiln_site at, kiln_function *f);
void call_leave(Thread *t);
/* compile.c, THE SPINE: the row for these arguments, traced and compiled now if need be; it stays until the call that was entered ends. NULL:
 * recorded. */
Row *function_row(Thread *t, kiln_site at, kiln_function *f, kiln_tensor *const *in, int nin);
/* Traces the body into a module of row->arena; sizes that row->plan names become symbols. Compiles nothing. */
bool function_trace(Thread *t, kiln_site at, kiln_function *f, kiln_tensor *const *in, int nin, Row *row);
/* Takes a traced row through the pipeline (its first stop_after passes; -1: all), lowering and backend. False: recorded. */
bool row_build(Thread *t, kiln_site at, kiln_function *f, Row *row, int stop_after);
/* Makes values [from, to) of a traced row's graph extra results, but for stacks that a loop need not fill, or whose height only it knows. */
bool row_add_results(Thread *t, kiln_site at, Row *row, Value from, Value to);
/* Runs the row's code and gives all nresult results; source (NULL: not wanted) gets the inputs' tensors. Stores nothing, records nothing. */
bool row_results(Thread *t, kiln_site at, kiln_function *f, Row *row, kiln_tensor *const *in, kiln_tensor **result, kiln_tensor **source);
/* Runs the row's code; out gets noutput tensors. */
bool row_run(Thread *t, kiln_site at, kiln_function *f, Row *row, kiln_tensor *const *in, kiln_tensor **out);
/* The body, eagerly or inside the running trace, in a scope of its own; results move to the caller's scope. */
bool function_inline(Thread *t, kiln_site at, kiln_function *f, kiln_tensor *const *in, int nin, kiln_tensor **out);
int function_outputs(const kiln_function *f);
/* nin operands as live tensors (or static arguments) that fit the declaration. False: recorded, or poison. */
bool function_arguments(Thread *t, kiln_site at, kiln_function *f, const kiln_operand *in, int nin, kiln_tensor **x);
void function_hold(kiln_function *f); /* stays, though freed, until function_drop */
void function_drop(kiln_function *f);
void row_hold(Row *row, kiln *k); /* stays, though evicted, until row_drop */
void row_drop(Row *row, kiln *k);
void row_free(Row *row);

static inline Loc loc_of(kiln_site at)
{
    Loc l = {at.file, at.line};
    return l;
}

#include "handles.h"

#endif
