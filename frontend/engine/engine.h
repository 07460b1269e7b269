/* engine: what this room offers: engines, threads, errors, tensors, variables, scopes. The rooms above are reached through Hooks
 * alone. Relies on codegen and runtime through their narrow headers. Never includes a backend's folder, LLVM or CUDA. */
#ifndef KILN_FRONTEND_ENGINE_H
#define KILN_FRONTEND_ENGINE_H

#include <kiln/kiln.h>
#include <pthread.h>

#include "../../codegen/contract/keep.h"
#include "../../codegen/device.h"
#include "../../ir/infer.h"
#include "../../runtime/scratch.h"
#include "../../runtime/threads.h"

typedef struct Thread Thread;
typedef struct Instance Instance;
typedef struct Trace Trace;
typedef struct Frame Frame;
typedef struct Place Place;

/* ---- tensors ------------------------------------------------------------------------------------------------------ */
/* STATIC: a static argument, a C value on its way to a body: no elements, no dtype; see function.h. MISSING: an input of a body
 * that was not given; one of the engine's few, whose place there is the input's number. */
typedef enum TensorState { TENSOR_FREE, TENSOR_EAGER, TENSOR_TRACED, TENSOR_POISON, TENSOR_STATIC, TENSOR_MISSING } TensorState;
#define MISSING_INPUTS 64

struct kiln_tensor {
    uint8_t state;   /* TensorState; FREE: in a free list, or closed for good in debug builds */
    bool contiguous; /* eager */
    /* eager: the device that has its memory. The host reads elements through tensor_read or tensor_host (device.c). */
    uint8_t device;
    bool in_scope;   /* linked in a scope's list */
    uint32_t owners; /* kiln_own minus kiln_release */
    kiln *k;
    Thread *home; /* whose headers it came from */
    uint64_t uid; /* identity: never reused; aliases made by a tape share it */
    Type type;
    /* eager */
    Buffer *buffer;
    char *data;               /* element (0, ..., 0), in the device's memory; STATIC: the text */
    int64_t stride[MAX_RANK]; /* elements; STATIC: the number's bits, then the operand's kind */
    uint64_t signature;       /* hash of dtype and dims; 0: not computed yet; several threads may compute it at once */
    /* traced */
    Frame *frame; /* traced: the frame whose graph has `value`; valid while trace_id is that of the running trace */
    uint64_t trace_id;
    Value value;
    /* bookkeeping */
    kiln_tensor *prev, *next; /* scope list, or free list through next */
    uint32_t scope;           /* index in the thread's scope stack */
    bool released;            /* FREE: by its last owner, not by its scope */
    bool region;              /* FREE: the scope that closed on it was a region's body */
    bool number;              /* eager: a constant, or a view of one, which goes along to any device */
    uint8_t beside;           /* a number's: 1 + the device that a call of such alone runs on; 0: the thread's own */
    Loc made;
    Loc scope_opened; /* FREE: where the scope that closed on it was opened; without a file: unknown */
};

struct kiln_variable {
    kiln *k;
    char *name;
    uint32_t id; /* never reused within the engine */
    bool local;  /* freed with its scope; gradients flow through assignments */
    bool alive;
    bool unwatched; /* reading it makes no tape watch it: a running statistic, which no gradient is to train */
    Type type;
    kiln_tensor *value;         /* owned; eager. A local's is the very tensor that was assigned, so that tapes see through */
    kiln_variable *prev, *next; /* of the engine */
    kiln_variable *next_local;  /* of the scope */
    /* the number of tapes, optimisers and checkpoints that point to it: once freed, the struct is not reused before they go */
    uint32_t pins;
    Frame *frame; /* of a local made inside a trace: its frame there; such a local has no eager value */
    uint64_t trace_id;
    Loc made;
};

/* ---- threads, scopes --------------------------------------------------------------------------------------------------- */
typedef struct Scope {
    uint64_t id;
    kiln_tensor *tensors; /* list head */
    kiln_tape *tapes;
    kiln_variable *locals;
    Loc opened;   /* by the user; no file: by the library */
    bool region;  /* an iteration, a condition or a branch */
    Trace *trace; /* of a KILN_EAGERLY block, as the next two: what its end brings back */
    uint32_t recording, eagerly;
} Scope;

/* A call in progress: what must not be freed under it. An instance of NULL: still looking for one, or running the body. */
typedef struct Running {
    kiln_function *_Atomic f;
    Instance *_Atomic inst;
} Running;
#define CALLS_MAX 80 /* nested calls of one thread; bodies stop earlier */

typedef struct LastIf { /* the KILN_IF that closed last: what a KILN_ELSE is the other case of */
    uint64_t scope;     /* id of the scope that it stood in; 0: none */
    Frame *frame;       /* traced: where `predicate` is; NULL: eager */
    uint64_t trace_id;
    uint32_t predicate; /* a Value */
    bool taken;         /* eager */
} LastIf;

struct Thread {
    kiln *k;
    Thread *next; /* of the engine */
    pthread_t self;
    uint64_t next_uid;            /* identities: the thread's number above, a counter below */
    uint8_t device;               /* the device on which the thread makes tensors and runs ops without operands */
    uint8_t chosen;               /* what that is outside of bodies */
    uint32_t blocks;              /* open KILN_DEVICE blocks */
    struct BodyTold *told;        /* what the call that runs is told beside its outputs (told.h); NULL: nothing */
    BufferPool *pool;             /* of the host's memory */
    Place *place[DEVICES];        /* of other devices; NULL: not used yet */
    Kept *kept;                   /* kernels of eager ops */
    kiln_tensor *free;            /* headers */
    kiln_tensor *_Atomic foreign; /* headers released by other threads */
    struct Slab *slabs;
    Scope *scope;                        /* stack; scope[0] is the root and lives until close */
    uint32_t scopes, scope_cap, eagerly; /* eagerly: the innermost KILN_EAGERLY block's scope, its index + 1; 0: none is open */
    kiln_tape *tape;                     /* innermost open tape */
    kiln_tape *closed_tapes;             /* closed by their scopes, handles perhaps still about */
    uint32_t recording;                  /* the number of open tapes that record eager code */
    uint8_t sums;                        /* ProductSums of what runs */
    bool own_products;                   /* what runs has products of its own, whatever .blas says */
    bool alone;                          /* what is traced goes where no host table is: into an object */
    Trace *trace;                        /* innermost running trace; NULL: eager */
    LastIf last_if;
    struct BodyRun *body;       /* innermost running (trace/body.c) */
    uint32_t body_depth;        /* bodies running on this thread, for recursion limits */
    bool too_deep;              /* the limit was reached: no further body runs until the outermost one has ended */
    Running running[CALLS_MAX]; /* read by threads that evict instances or free functions (cache.c) */
    uint32_t calls;
    const char *called; /* the composite that the user called, while it runs: the name that errors in it bear, or a LateName.
                         * NULL: none */
    uint32_t quiet;     /* above 0: what runs or is traced repeats what has happened already, so effects are left out (effect.h) */
    Scratch scratch;    /* arrays whose length a caller chose: nothing of that kind lies on the C stack */
    void *work;         /* workspace for compiled calls */
    size_t work_bytes;
    bool work_busy;
    uint64_t kernels_run, bytes_run; /* eager kernels, and what they read and wrote; for kiln_compare */
    int64_t live_bytes, peak_bytes;  /* of eager tensors' memory */
    kiln_failure failure;
    bool seen;            /* kiln_error was called while the error was recorded */
    uint64_t failures;    /* counts all failures, also those after the first, so that a trace notices one inside it */
    char text[640];       /* the error's text */
    Buffer *const *input; /* memory of the compiled call that runs, where its products keep what they pack */
    uint32_t inputs;
    Status refused; /* why the host table refused what compiled code asked for */
};

typedef struct BodyRun { /* one of the user's bodies, running */
    struct BodyRun *outer;
    const char *name;
    kiln_site at; /* the call: the place of errors in it that have none of their own, as in a model's nodes */
    bool derived; /* what calls its function was made of it, as a gradient is: `at` is where it was made, not a call */
    int nin;
    uint64_t failures;  /* the thread's when it began */
    uint64_t since;     /* its next_uid then: scopes opened in it have larger ids */
    const char *called; /* the thread's: errors in the user's code bear the names of its own calls */
    bool placed;        /* it is part of a function's body, all of which runs on `device` */
    uint8_t device;
} BodyRun;

typedef struct RecordedCall { /* of a compiled function, on a tape */
    kiln_function *f;
    Instance *inst;
} RecordedCall;

/* What the rooms below ask of the rooms above. open.c says who answers. */
typedef struct Hooks {
    /* traces (trace/trace.c): while one runs, or of what one made */
    kiln_tensor *(*apply)(Thread *t, kiln_site at, Op op, kiln_tensor *const *in, uint32_t nin, const int64_t *attr, uint32_t nattr,
        kiln_tensor **out, uint32_t nout);
    bool (*effect)(Thread *t, kiln_site at, Op op, kiln_tensor *const *in, uint32_t nin, const int64_t *attr, uint32_t nattr,
        kiln_tensor **out, uint32_t nout);
    kiln_tensor *(*read)(Thread *t, kiln_site at, kiln_variable *v);
    bool (*assign)(Thread *t, kiln_site at, kiln_variable *v, kiln_tensor *x);
    /* v, a new one, lives in the trace and holds x */
    bool (*begin_local)(Thread *t, kiln_site at, kiln_variable *v, kiln_tensor *x);
    void (*forget)(Thread *t, const kiln_variable *v);
    kiln_tensor *(*alias)(Thread *t, kiln_site at, kiln_tensor *x); /* tensor_alias while a trace runs */
    bool (*is_current)(const Thread *t, const kiln_tensor *x);      /* x is of the running trace */
    Module *(*module)(const Trace *trace);
    Module *(*module_of)(const kiln_tensor *x);
    Dim (*count)(
        Thread *t, kiln_site at, kiln_tensor *n, Dim bound); /* in a trace: a size that n, i64[], counts; DIM_BAD: recorded */
    int64_t (*size)(const kiln_tensor *x, int axis);         /* one that the trace does not know, as a C number */
    /* tapes (grad/tape.c): while one is open */
    void (*record)(Thread *t, kiln_site at, Op op, kiln_tensor *const *in, uint32_t nin, const int64_t *attr, uint32_t nattr,
        kiln_tensor *const *out, uint32_t nout);
    void (*note_read)(Thread *t, kiln_variable *v, kiln_tensor *x);
    bool (*note_leaf)(Thread *t, const Frame *f, kiln_variable *v, Value leaf); /* by the tapes that record frame f */
    /* tapes around frame f learn that they cannot see all its reads of v */
    void (*block)(Thread *t, const Frame *f, kiln_variable *v);
    void (*retire)(kiln_tape *tape);
    /* a custom gradient (grad/vmap_custom.c) for many examples of those operands that are many; -1: no memory */
    int64_t (*custom_of_many)(Thread *t, int64_t number, const bool *many, uint32_t n);
    /* effects of compiled code (ops/effect_record.c) */
    int32_t (*effect_happens)(const KilnHost *h, int64_t number, int64_t nin, int64_t nout, void *const *buf, const int64_t *type);
    /* recorded calls (function/call_gradient.c) */
    void (*hold_call)(kiln *k, const RecordedCall *call);
    void (*drop_call)(kiln *k, const RecordedCall *call);
    bool (*call_gradient)(Thread *t, kiln_site at, const RecordedCall *call, kiln_tensor *const *in, kiln_tensor *const *out,
        kiln_tensor *const *g, const bool *wanted, kiln_tensor **dx);
} Hooks;

struct kiln {
    kiln_options options;
    const Hooks *hooks;
    uint64_t serial; /* of the process: what the thread cache compares */
    kiln *next_open; /* all open engines */
    ThreadPool *threads;
    PanelCache panels;       /* what products packed of buffers' elements */
    struct CodeStore *store; /* compiled code on disk; NULL: none */
    KilnHost host;
    pthread_mutex_t lock; /* thread list, variables, functions, compiling */
    Thread *thread_list;
    kiln_variable *variables;
    uint32_t next_variable, freed, renamed;  /* renamed: how often one that has a layer's name, perhaps, was freed */
    kiln_variable *freed_first, *freed_last; /* by `next`: handles perhaps still about; the oldest are made anew (variable.c) */
    /* nn/name.c: all numbers below n are taken, as of the newest */
    struct NameHint {
        const char *stem;
        uint32_t n, newest, renamed;
    } hint[8];
    kiln_function *functions;
    kiln_function *freed_functions, *last_freed; /* by `next`: handles perhaps still about; the oldest are made anew (function.c) */
    uint32_t functions_freed;
    _Atomic bool pending;   /* a freed function or an evicted instance waits for a running call to end */
    struct Object *objects; /* layers, optimisers ... (object.c) */
    Map definitions;        /* kiln_definition * -> kiln_function * */
    kiln_tensor poison;     /* what failed calls return */
    kiln_tensor missing[MISSING_INPUTS], *missing_at[2 * MISSING_INPUTS]; /* pointers to them, then to the last */
    bool eager_only, retrace, checked;
    uint8_t profiling;                     /* Profiling: KILN_PROFILE */
    pid_t profiled_by;                     /* the process that opened it */
    struct Marked *marked;                 /* compiled programs of which the engine tells when it closes (function/marked.h) */
    kiln_compiling compile;                /* of functions that do not say */
    uint8_t device;                        /* on which threads begin */
    struct Background *_Atomic background; /* the compile thread (function/background.c); NULL: there is none yet */
    _Atomic uint64_t swaps;                /* COMPILE_SWAP: of what is drawn next */
    _Atomic bool starved;                  /* a thread's state could not be made: the next one made records it */
    _Atomic uint64_t own_draws;            /* from the engine's own generator (random.c) */
    uint32_t unseen_errors;                /* of threads that never cleared theirs, counted at close */
    void *fft_tables;                      /* of ops/fft.c; NULL: none yet */
    void (*fft_free)(void *tables);
    struct CustomGradient *custom; /* callbacks of kiln_custom_gradient, by number */
    uint32_t ncustom, custom_cap, neffect, effect_cap;
    struct Effect **effect; /* what compiled code prints, asserts and calls, by number (effect.h) */
};

typedef struct CustomGradient {
    void (*backward)(kiln *, kiln_tensor *, kiln_tensor *const *, kiln_tensor **, void *);
    void *user;
    void (*free_user)(void *user); /* with the engine; NULL: it is the program's */
} CustomGradient;

typedef enum Profiling { PROFILE_OFF, PROFILE_TEXT, PROFILE_JSON } Profiling;

static inline bool compiling_known(kiln_compiling c) { return (unsigned)c <= KILN_NEVER; }
/* What KILN_COMPILE=swap asks for, to test: code is made at once, but calls and turns of loops pretend at random that it is not
 * there yet. */
#define COMPILE_SWAP ((kiln_compiling)4)
static inline bool swap_draw(kiln *k, uint64_t one_in) { return hash_mix(1, atomic_fetch_add(&k->swaps, 1)) % one_in == 0; }

/* The calling thread's state in k; NULL (and nothing to record it in) only if memory ran out. */
Thread *thread_of(kiln *k);
Thread *thread_inside(kiln *k); /* the calling thread's, if it is in a call of a function of k; else NULL */
Thread *thread_last(void);      /* of the engine that this thread used last; NULL: none */

/* ---- errors (error.c): each returns the poison tensor so that `return fail(...)` reads well -------------------------------
 * In comments here and in the rooms above, "NULL: recorded" and "false: recorded" mean that the function, where it returns that,
 * has called fail() already, so that its caller has nothing to add. Likewise "NULL: st": the Status that it was given says why. */
kiln_tensor *fail(Thread *t, kiln_site at, kiln_code code, const char *format, ...) PRINTF_LIKE(4, 5);
/* What Thread.called may point to: a name that takes longer to write than what bears it takes to run, so that it is written for
 * errors alone. No other name is empty. */
typedef struct LateName {
    char empty; /* 0; `called` points here */
    void (*write)(const struct LateName *name, char *to, size_t cap);
} LateName;
const char *called_text(const Thread *t, char *to, size_t cap); /* the name, perhaps in `to`; of a thread that has one */
kiln_tensor *fail_status(Thread *t, kiln_site at, const Status *st);
bool bordered(Thread *t, kiln_site at, Arena *a, void (*body)(void *), void *arg); /* arena_try whose failure is recorded */
/* Gives the recorded error a place, if it has none: it was recorded by code of a model that was called at `at`. */
void failure_at(Thread *t, kiln_site at);
/* forgets the recorded error, if any: its code, and its text into text */
kiln_code failure_take(Thread *t, char *text, size_t cap);
/* What is recorded, set aside while something is tried whose errors are nobody's, and put back. */
typedef struct FailureAside {
    kiln_failure failure;
    uint64_t failures;
    bool seen;
    char text[sizeof((Thread *)0)->text];
} FailureAside;
void failure_aside(Thread *t, FailureAside *f);
void failure_back(Thread *t, const FailureAside *f);
void log_open(kiln *k);                                            /* settles where its log goes */
void log_line(kiln *k, const char *format, ...) PRINTF_LIKE(2, 3); /* to the engine's log, after "kiln: " */
/* The same to the log of an engine that was opened with these, and may be closed by now. */
void log_of(const kiln_options *o, const char *format, ...) PRINTF_LIKE(2, 3);
static inline int missing_input(const kiln_tensor *x) { return (int)(x - x->k->missing); } /* its number */
const char *tensor_text(const kiln_tensor *x, char *buf, size_t cap);                      /* f32[2,3], or what is wrong with it */
/* of a FREE one: "it was released", "its scope, opened at a.c:3, closed" */
const char *tensor_end_text(const kiln_tensor *x, char *buf, size_t cap);

/* ---- tensor headers ------------------------------------------------------------------------------------------------------------
 */
kiln_tensor *tensor_new(Thread *t, kiln_site at); /* header in the innermost scope; NULL: no memory (recorded) */
/* Contiguous, in the host's memory, not filled: what the host writes there goes to the thread's own device by tensor_place. The
 * type's dims are constants. NULL: recorded. */
kiln_tensor *tensor_empty(Thread *t, kiln_site at, const Type *type);
kiln_tensor *tensor_of_buffer(Thread *t, kiln_site at, const Type *type, Buffer *b); /* takes the reference; contiguous */
kiln_tensor *tensor_alias(Thread *t, kiln_site at, const kiln_tensor *x); /* a second handle, same uid, in the innermost scope */
kiln_tensor *tensor_contiguous(Thread *t, kiln_site at, kiln_tensor *x);  /* x itself, or a packed copy */
void tensor_drop(kiln_tensor *x);                                         /* the header goes if no scope and no owner holds it */
void tensor_view(const kiln_tensor *x, View *v);
uint64_t tensor_signature(kiln_tensor *x);
static inline bool tensor_ok(const kiln_tensor *x) { return x && (x->state == TENSOR_EAGER || x->state == TENSOR_TRACED); }
int64_t type_count(const Type *type); /* constant dims only */
/* checks everything; false: recorded */
bool type_from_shape(Thread *t, kiln_site at, const char *op, kiln_dtype d, const kiln_shape *s, Type *out);

bool print_to(Thread *t, kiln_site at, FILE *to, const kiln_tensor *x); /* print.c; false: recorded */
/* "axis 3 is out of range for rank 2 (allowed: -2 to 1)" */
const char *axis_trouble(int axis, int rank, char *buf, size_t cap);
/* A negative axis counts from the end of `rank` axes. False: recorded. */
bool axis_of(Thread *t, kiln_site at, const char *op, int axis, int rank, int *out);

/* ---- devices: the one door between tensors and their memory (device.c) ---- */
const char *device_name(uint32_t device);
bool device_failed(Thread *t, kiln_site at, uint32_t device);   /* it had failed, which is recorded: why there is no memory */
Buffer *buffer_there(Thread *t, uint32_t device, size_t bytes); /* of a device that is not the host. NULL: no memory */
/* What goes on the end of an error about memory: how much of the device's is in use. Of the host's nothing. */
const char *room_text(uint32_t device, char *buf, size_t cap);
bool tensor_joins(const kiln_tensor *x); /* one element, whatever the shape, in the host's memory: it goes along to any device */
/* The device of a call on these tensors: theirs, but for those that join any; if there are no others, the host, or for numbers
 * alone the one that the first of them lies beside, else the thread's own. False: two differ, recorded. */
bool one_device(Thread *t, kiln_site at, const char *what, kiln_tensor *const *in, uint32_t nin, uint32_t *device);
static inline bool all_on_host(const Thread *t, kiln_tensor *const *in, uint32_t nin)
{
    uint32_t any = t->device;
    for (uint32_t i = 0; i < nin; i++) any |= in[i]->device | in[i]->beside;
    return LIKELY(!any);
}
/* Work for a device that is not the host. v: the call's own views of `in`; single elements of the host's join. False, -1: st. */
bool run_there(Thread *t, uint32_t device, const OpCall *c, View *v, kiln_tensor *const *in, kiln_tensor *const *out, Status *st);
int32_t launch_there(Thread *t, uint32_t device, const Launch *l, Buffer *const *use, uint32_t n, Status *st);
void tensor_pack(Thread *t, const kiln_tensor *x, kiln_tensor *out, Status *st); /* into out, contiguous and on the same device */
bool tensor_read(Thread *t, kiln_site at, kiln_tensor *x, void *to); /* its elements, row-major: waits for them. False: recorded */
/* its elements row-major where the host reads them: x, or a copy. Poison: recorded */
kiln_tensor *tensor_host(Thread *t, kiln_site at, kiln_tensor *x);
/* x itself if it is there, else a packed copy. Poison: recorded */
kiln_tensor *tensor_to(Thread *t, kiln_site at, kiln_tensor *x, uint32_t device);
/* What the host made, a moment ago and for nobody else, on the thread's own device; NULL stays NULL. Poison: recorded. */
kiln_tensor *tensor_place(Thread *t, kiln_site at, kiln_tensor *x);
kiln_tensor *tensor_place_on(Thread *t, kiln_site at, kiln_tensor *x, uint32_t device); /* on that one */
void engine_device(Thread *t); /* settles the engine's device, by its options or the environment, for it and this thread */
/* The device of that name. False: recorded, for `what`. */
bool device_find(Thread *t, kiln_site at, const char *what, const char *name, uint32_t *number);
/* The body of a function runs on one device. Whether its code is running, and not a KILN_EAGERLY block in it. */
bool inside_body(const Thread *t);
/* Whether what runs may use the device: any but in such a body. False: recorded. */
bool may_use(Thread *t, kiln_site at, const char *what, uint32_t device);
/* What is asked from here on runs where x lies, if x is eager and joins no other device; gives the thread's device back. */
uint8_t device_beside(Thread *t, const kiln_tensor *x);
void device_wait(uint32_t device); /* for all that was asked of it */
void places_free(Thread *t);

/* ---- scopes ---- */
bool scope_push(Thread *t); /* false: no memory (not recorded) */
void scope_pop(Thread *t);  /* the innermost: tapes, locals, tensors go */
/* Ends the KILN_EAGERLY blocks that are open and were opened since t->next_uid, or the last scope's id, was that (0: none were):
 * `what` ends inside them. False: there were some, recorded. Comes before anything is done with the trace. */
bool eagerly_ended(Thread *t, kiln_site at, const char *what, uint64_t since);
void scope_link(Thread *t, kiln_tensor *x, uint32_t scope);
void scope_unlink(kiln_tensor *x);
void scope_move_out(Thread *t, kiln_tensor *x); /* one scope out */
void scope_drop(kiln_tensor *x);                /* as the end of its scope will, now; nobody may ask for it again */
void tensor_slabs_free(Thread *t);
kiln *engine_new(const kiln_options *options, size_t size, const Hooks *hooks);
/* An open one of which `what`, called under the lock of their list, says true; false: there is none. */
bool engines_any(bool (*what)(kiln *k, void *arg), void *arg);
bool engine_unlist(kiln *k); /* false: it was closed before, or never an engine */
void thread_free(Thread *t); /* its scopes are gone */
void engine_free(kiln *k);
void local_free(Thread *t, kiln_variable *v);
/* A variable without a value. NULL: recorded. */
kiln_variable *variable_make(Thread *t, kiln_site at, const char *name, const Type *type);
void variable_discard(kiln_variable *v); /* one that nobody was given: nothing of it is left */
/* x as v keeps it: contiguous, in memory of ours, on the device that v is on, or a new one's first value decides. NULL: recorded */
kiln_tensor *variable_settle(Thread *t, kiln_site at, const kiln_variable *v, kiln_tensor *x);
void variable_put(kiln_variable *v, const kiln_tensor *x, kiln_tensor *own); /* own: x, settled. Nothing can fail here */
void variables_free_all(kiln *k);   /* locals of open scopes lose their values and go with their scopes */
void variables_free_freed(kiln *k); /* last of all: the handles of those that were freed */

/* ---- things that an engine frees at close unless the user freed them before: layers, optimisers, metrics, data sets ---- */
typedef struct Object { /* first member of such a thing */
    kiln *k;
    struct Object *prev, *next;
    size_t bytes;
    void (*clean)(struct Object *o); /* what it holds beyond its own bytes and variables; may be NULL */
} Object;

void *object_new(kiln_site at, kiln *k, size_t bytes, void (*clean)(Object *)); /* zeroed; NULL: recorded */
void object_free(Object *o);                                                    /* NULL allowed */
void objects_free_all(kiln *k);

/* ---- arrays of a call whose length a caller chose, from the thread's scratch: none of them lies on the C stack ---- */
/* n of T that stay until the mark taken before is reset (scratch.h). NULL: recorded. */
static inline void *thread_scratch(Thread *t, kiln_site at, size_t n, size_t size)
{
    void *p = scratch_take(&t->scratch, n, size);
    if (UNLIKELY(!p)) fail(t, at, KILN_EMEMORY, "no memory for %zu handles of %zu bytes", n, size);
    return p;
}

/* The same on any device, for a result of function `of`, for the text of an error; NULL: of no function. */
kiln_tensor *tensor_result(Thread *t, kiln_site at, const Type *type, const char *of, uint32_t device);

#define SCRATCH(t, at, T, n) ((T *)thread_scratch((t), (at), (size_t)(n), sizeof(T)))

/* Who keeps a pointer to a variable that may be freed (kiln_variable.pins). */
static inline void variable_pin(kiln_variable *v) { __atomic_add_fetch(&v->pins, 1, __ATOMIC_RELAXED); }
static inline void variable_unpin(kiln_variable *v) { __atomic_sub_fetch(&v->pins, 1, __ATOMIC_RELAXED); }

static inline Loc loc_of(kiln_site at)
{
    Loc l = {at.file, at.line};
    return l;
}

#endif
