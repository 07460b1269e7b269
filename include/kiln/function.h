/* function.h: tapes and traced functions; loops and branches are control.h. Included by kiln.h; compiles alone as C11 and C++17. */
#ifndef KILN_FUNCTION_H
#define KILN_FUNCTION_H

#include "core.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- tapes: gradients of what was computed ------------------------------------------------------------------------
 * A tape records every op of its thread from its opening until its first gradient (a persistent tape: until kiln_tape_stop) or its
 * close, but not the ops of its own gradients. Reading a variable makes the tape watch it; kiln_watch makes it watch a tensor,
 * whatever handle that is used by. A kiln_local of floats that is read stands for the values that it held then: the gradient with
 * respect to it is the sum of theirs, and flows on to what they were computed from. The gradient is zeros with respect to what was
 * neither watched nor computed from something watched, even if it was used. Tapes nest: an outer tape records the gradient ops of
 * an inner one, which gives higher orders. */
typedef struct kiln_tape kiln_tape;
KILN_API kiln_tape *kiln_tape_open_at(kiln_site at, kiln *k, bool persistent); /* belongs to the innermost scope */
KILN_API void kiln_tape_stop(kiln_tape *tape);       /* records no more */
KILN_API void kiln_tape_close(kiln_tape **tape);     /* *tape may be NULL */
KILN_API kiln_tensor *kiln_watch_at(kiln_site at, kiln_tape *tape, kiln_tensor *x); /* returns x; floats only */
/* d sum(y) / d x for a tensor or variable x, with x's dtype and shape; zeros if y does not depend on x (kiln_grad_why says why). A
 * second gradient from a tape that is not persistent is an error. */
KILN_API kiln_tensor *kiln_gradient_at(kiln_site at, kiln_tape *tape, kiln_operand y, kiln_operand x);
/* The same for several x in one reverse sweep: kiln_gradients(tape, y, KILN_IN(w, b), dx) fills dx. seed is y's cotangent; NULL
 * means ones. */
KILN_API bool kiln_gradients_of_at(kiln_site at, kiln_tape *tape, kiln_operand y, kiln_operands x, kiln_tensor **dx);
KILN_API bool kiln_gradients_at(kiln_site at, kiln_tape *tape, kiln_tensor *y, kiln_tensor *seed, const kiln_operand *x, int count,
                                kiln_tensor **dx);
/* Says in one line why the last gradient with respect to x was zero, or what it came through; valid until the tape's next call. */
KILN_API const char *kiln_grad_why(kiln_tape *tape, kiln_operand x);
/* Stores at most cap of the variables (not locals) that the tape saw read, in the order of their first read; returns how many there
 * are. */
KILN_API int kiln_tape_variables(kiln_tape *tape, kiln_variable **v, int cap);
/* kiln_custom_gradient(y, KILN_IN(x, v), backward, user) returns y itself, but gradients flow as backward says, to the listed
 * tensors and variables, from which y was computed. backward(k, g, x, dx, user) is given y's cotangent g and the operands x, and
 * sets dx[i] to the cotangent of x[i], with its dtype and shape; no gradient flows to an x[i] whose dx[i] it leaves alone. Passing
 * an array of tensors and its count is the older way. */
KILN_API kiln_tensor *kiln_custom_gradient_of_at(kiln_site at, kiln_operand y, kiln_operands x,
    void (*backward)(kiln *k, kiln_tensor *g, kiln_tensor *const *x, kiln_tensor **dx, void *user), void *user);
KILN_API kiln_tensor *kiln_custom_gradient_at(kiln_site at, kiln_tensor *y, kiln_tensor *const *x, int count,
    void (*backward)(kiln *k, kiln_tensor *g, kiln_tensor *const *x, kiln_tensor **dx, void *user), void *user);

/* ---- traced functions ------------------------------------------------------------------------------------------------------
 * A body is ordinary C over tensors. The first call with a new signature (dtypes, sizes, static arguments) runs it once on symbols,
 * differentiates, fuses and compiles (on a thread of the engine, while calls are interpreted: kiln_compiling); later calls run the
 * compiled code. Tensors and variables from outside are implicit inputs,
 * read at each call. A function called inside another one's body is inlined there; one that calls itself must end by a decision of
 * C code (on static arguments or sizes). Any thread may call a function; each signature is compiled only once.
 *
 * Sizes that keep changing become symbols by themselves: when a call misses the cache for the third time because of one size alone
 * (which may stand in several places, as the rows of x and of y), it is compiled for every size from 1 to a bound of at least twice
 * the largest seen, and again for a larger bound when that is exceeded. Results have the same bits as those of code compiled for
 * one size. A body that reads the size as a C number (kiln_dim), or whose shapes do not allow it, is compiled for each size as
 * before; the log and the statistics say so. */
typedef struct kiln_function kiln_function;
/* in holds the inputs and then a NULL; reading an input that was not given is an error that names it. The body sets every
 * out[i]. */
typedef void kiln_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user);

/* One declared input. rank < 0 allows any shape of the dtype; KILN_SPEC_STATIC is a static argument. A size may be a bounded
 * symbol: KILN_DIM("N", 1, 256). From 0 on a call without elements gives what it gives eagerly, nothing, a value or an error. */
typedef struct kiln_size { int64_t lo, hi; const char *name; } kiln_size;
typedef struct kiln_spec { kiln_dtype dtype; int rank; kiln_size size[KILN_MAX_RANK]; } kiln_spec;

#define KILN_MAX_ARGS 16
#define KILN_NO_OUTPUTS (-1) /* kiln_call then returns NULL; the function has no gradient */
#define KILN_RANK_STATIC (-2)
typedef struct kiln_function_options {
    const char *name;      /* NULL: "function" */
    int inputs_count;      /* 0: as many as `inputs` declares, or any number */
    int outputs;           /* 0: 1; KILN_NO_OUTPUTS: none */
    kiln_spec inputs[KILN_MAX_ARGS]; /* dtype KILN_NONE ends the list; for more than KILN_MAX_ARGS see input_list */
    /* Products are emitted into this function's code, as in an object, and never a BLAS's (kiln_options.blas). Their bits are the
     * same either way in an engine without .blas. */
    bool no_blas;
    /* Compiled code, graphs and constants kept; 0 means 64 MiB. Beyond it the signatures called longest ago are dropped, except
     * those in use (running, or recorded on a tape). Derived functions have a cache of their own. */
    size_t cache_bytes;
    bool fixed_sizes;      /* each size is compiled by itself: none becomes a symbol unless declared */
    const kiln_spec *input_list; /* inputs_count specs in place of `inputs`, any number; copied */
    kiln_compiling compile;      /* 0: as the engine's (kiln_options). Functions derived from it do as it does */
    /* Products and convolutions of f16 and bf16 have the CPU's bits on every device. Without it those of a device with tensor cores are
     * the tensor cores' (docs/numerics.md). Functions derived from it, and those that it calls, do as it does. */
    bool exact;
    /* Products and convolutions of f32 run on the tensor cores of devices that have them (compute capability 8.0 and newer, and
     * emulated ones): operands are rounded to tf32, 11 significant bits, sums are in f32, and the error is that of docs/numerics.md.
     * Without it they have the CPU's bits. Nothing changes on the CPU, on older devices and for other dtypes. Not together with
     * .exact. Functions derived from it, and those that it calls, do as it does. */
    bool tf32;
} kiln_function_options;

#define kiln_function_new(k, body, user, ...) /* options: &(kiln_function_options){...} or NULL */                       \
    kiln_function_new_sized(KILN_HERE, (k), (body), (user), __VA_ARGS__, sizeof(kiln_function_options))
KILN_API kiln_function *kiln_function_new_sized(kiln_site at, kiln *k, kiln_body *body, void *user,
                                                const kiln_function_options *options, size_t size);
/* Frees f, as kiln_close does if this is never called. Calls that are running, on any thread, end as if nothing had happened. Tapes
 * that recorded a call still give gradients; no body runs again for that, so user data, and functions that the body calls, may be
 * freed too (but not what rules of custom gradients read). Calling a freed function is an error until 64 others were freed; after
 * that its handle may name a new function. */
KILN_API void kiln_function_free(kiln_function *f);
/* Waits until the compile thread has nothing left to do for f and the functions derived from it: until code is there for whatever
 * was called with .compile = KILN_BACKGROUND. False if something of f, a derived function or a loop, is not compiled (it is not to
 * be, or it could not be), or after an error. */
KILN_API bool kiln_function_wait_at(kiln_site at, kiln_function *f);
#define kiln_function_wait(f) kiln_function_wait_at(KILN_HERE, (f))
/* in lists operands, KILN_IN(x, y); out gets as many tensors as the function has outputs, poisoned after an error. An error in the
 * body fails the call, eagerly as in a trace, even if the body cleared it. If the body ran eagerly, what it assigned before the
 * error stays assigned. */
KILN_API bool kiln_call_all_of_at(kiln_site at, kiln_function *f, kiln_operands in, kiln_tensor **out, int nout);
KILN_API bool kiln_call_all_at(kiln_site at, kiln_function *f, const kiln_operand *in, int nin, kiln_tensor **out, int nout);
KILN_API kiln_tensor *kiln_call_at(kiln_site at, kiln_function *f, const kiln_operand *in, int nin); /* the first output */
/* ---- static arguments: kiln_call(f, x, KILN_STATIC(3), KILN_STATIC("relu"))
 * These C values are part of the signature: each distinct value is traced and compiled by itself. The body reads them from the
 * handle at their position, which may be passed on to another call but not to operations. Numbers and bools are read as integers or
 * doubles, text as a copy. (A plain number is an ordinary argument instead: a tensor of rank 0 whose value may change without a new
 * trace.) */
KILN_API int64_t kiln_static_i64_at(kiln_site at, const kiln_tensor *argument);    /* a double must be whole; 0 after an error */
KILN_API double kiln_static_f64_at(kiln_site at, const kiln_tensor *argument);     /* NaN after an error */
KILN_API const char *kiln_static_text_at(kiln_site at, const kiln_tensor *argument); /* valid while the body runs; "" on an error */

/* ---- what must not be traced: KILN_EAGERLY(k);
 * Until the end of the block operations run now, outside the current trace and unseen by tapes. Use it for first values of
 * variables that a body makes at its first call. Traced values cannot be used in it. The block is a scope of its own: keep what is
 * to live longer. A body, loop or branch that ends between kiln_eagerly_open and kiln_eagerly_close is an error. */
typedef struct kiln_eagerly { kiln *k; kiln_scope scope; } kiln_eagerly;
KILN_API kiln_eagerly kiln_eagerly_open(kiln *k);
KILN_API void kiln_eagerly_close(kiln_eagerly *e);

/* A function of the same inputs whose outputs are the gradients of the first output's sum with respect to each of them; zero for
 * static inputs. */
KILN_API kiln_function *kiln_grad(kiln_function *f);
/* A function that returns the outputs of f, then the gradients. */
KILN_API kiln_function *kiln_value_and_grad(kiln_function *f);
/* Forward mode: a function of the inputs followed by a tangent for each, of the same dtype and shape (tangents of integers and
 * static arguments are ignored). Its outputs are those of f followed by their tangents J t (zeros for integers). f must declare its
 * number of inputs (inputs_count or inputs). It costs about as much as a second derivative: a reverse walk and its reverse. */
KILN_API kiln_function *kiln_jvp(kiln_function *f);

#define KILN_MISSES 8
typedef struct kiln_miss {  /* a call that no compiled signature fitted: how it differs from the nearest one */
    int argument, dim;       /* -1 if it is not about one argument, or one dimension */
    int64_t from, to;        /* sizes, where a dimension differs */
    char text[112];          /* "arg 1 dim 0: 32 -> 33" */
} kiln_miss;
typedef struct kiln_function_statistics {
    uint64_t calls, hits, traces, compiles;
    double trace_seconds, compile_seconds; /* summed */
    size_t code_bytes;          /* summed */
    uint32_t kernels, ops;      /* of the last signature compiled: kernels and contractions that it runs, ops traced */
    int64_t bytes_moved;        /* bytes that the last signature's kernels read and write */
    int64_t workspace_bytes;    /* the last signature's; if it is bounded, for the bound */
    char last_miss[160];        /* as in recent[0] */
    uint64_t misses, evictions;
    uint64_t generalisations;   /* sizes that became symbols, and bounds that grew */
    char general[160];          /* the last one: "arg 0 dim 0: 1 to 64", or why it failed; "" if there was none */
    uint32_t signatures;        /* in the cache now */
    size_t cache_bytes;         /* bytes that they take */
    kiln_miss recent[KILN_MISSES]; /* newest first */
    uint32_t recent_count;
    uint64_t interpreted;       /* calls answered by interpreting; those of the gradients of recorded calls are not among them */
    uint64_t failures;          /* compiles in the background that failed: what they were for stays interpreted */
    uint64_t loops;             /* loops of such calls that went on in code of their own, which is not counted among the compiles */
    uint32_t waiting;           /* what waits for the compile thread now, or is being compiled */
    uint64_t from_disk;         /* of `compiles`: found in the folder of compiled code (.cache_dir in kiln_options) */
    uint64_t recordings, replays; /* on devices whose driver has graphs: how often a call was recorded as one, for its sizes, and
                                   * how many calls such a graph served; calls of few kernels, with prints or with callbacks are
                                   * launched kernel by kernel */
} kiln_function_statistics;
#define kiln_function_stats(f, out) kiln_function_stats_sized((f), (out), sizeof(kiln_function_statistics))
KILN_API void kiln_function_stats_sized(kiln_function *f, kiln_function_statistics *out, size_t size);

/* Of the folder of compiled code that the engine uses. */
typedef struct kiln_cache_statistics {
    uint64_t hits, misses;              /* programs of this engine that were there, and that were compiled */
    uint64_t refused;                   /* misses because a file was not its owner's alone or was not what had been written */
    uint64_t evicted;                   /* files that this engine removed to make room */
    uint64_t bytes_read, bytes_written;
    uint64_t files, bytes, most;        /* in the folder now, as far as this engine knows; how much there may be */
} kiln_cache_statistics;
/* False, and zeros, if there is none. */
#define kiln_cache_stats(k, out) kiln_cache_stats_sized((k), (out), sizeof(kiln_cache_statistics))
KILN_API bool kiln_cache_stats_sized(kiln *k, kiln_cache_statistics *out, size_t size);

/* Bytes that the newest compiled signature of f takes. */
typedef struct kiln_function_bytes {
    int64_t workspace;     /* for what lives within a call; each thread has one workspace, as large as its largest call wants it */
    int64_t least;         /* the most of it that is in use at one time: no plan could do with less. In whole lines of 64 bytes */
    int64_t arguments, results;
    int64_t assigned;      /* new values of the variables that it assigns, beside their old ones until the call ends */
    int64_t variables, captured, constants; /* values of what else it reads: now, where they are there */
    int64_t panels;        /* what products keep packed of these values (kiln_panels_count) */
    bool bounded;          /* some sizes are bounded: workspace, arguments and results are for the bounds, and a call with smaller sizes takes less */
    int64_t beforehand;    /* what hangs on captured tensors alone, such as filters in another order: computed in the first call of the code, and kept */
} kiln_function_bytes;
/* False, and zeros, if nothing of f is compiled (yet: kiln_function_wait). It looks at variables' values, as a call does: nothing may
 * assign them meanwhile. */
#define kiln_function_memory(f, out) kiln_function_memory_sized((f), (out), sizeof(kiln_function_bytes))
KILN_API bool kiln_function_memory_sized(kiln_function *f, kiln_function_bytes *out, size_t size);

KILN_API void kiln_eager(kiln *k, bool on);            /* on: functions run their bodies eagerly, for debugging */

/* ---- the decorator -------------------------------------------------------------------------------------------------------------
 * KILN_FUNCTION(f, k, w) { ... return y; }  defines  kiln_tensor *f(kiln *k, kiln_tensor *w), traced. It takes up to 8 tensors.
 * KILN_RESULTS(f, out, 2, k, w) { ... out[0] = y; out[1] = z; }  defines  bool f(kiln *k, kiln_tensor *w, kiln_tensor **out), with
 * several results. It returns false, and poisons out, after an error.
 * KILN_PROCEDURE(f, k, w) { ... }  defines  bool f(kiln *k, kiln_tensor *w), without results: it is called for its assignments and
 * effects.
 * KILN_FN(k, f) is the kiln_function of f in engine k. */
typedef struct kiln_definition { const char *name; kiln_body *body; int inputs, outputs; kiln_site at; } kiln_definition;
KILN_API kiln_function *kiln_definition_function(kiln *k, const kiln_definition *d);
KILN_API kiln_tensor *kiln_definition_call(kiln_site at, kiln *k, const kiln_definition *d, kiln_tensor *const *in);
KILN_API bool kiln_definition_call_all(kiln_site at, kiln *k, const kiln_definition *d, kiln_tensor *const *in, kiln_tensor **out);
#define KILN_FN(k, f) kiln_definition_function((k), &f##_definition)

/* ---- looking inside ---------------------------------------------------------------------------------------------------------- */
/* Runs f eagerly and compiled on the inputs and prints a table of time, kernels, bytes, memory and the largest difference. */
typedef struct kiln_compare_options { double seconds; /* measured per mode; 0: 0.2 */ bool json; } kiln_compare_options;
KILN_API bool kiln_compare_of_sized(kiln_site at, FILE *to, kiln_function *f, kiln_operands in, const kiln_compare_options *options,
    size_t size);
KILN_API bool kiln_compare_sized(kiln_site at, FILE *to, kiln_function *f, kiln_tensor *const *in, int nin,
                                 const kiln_compare_options *options, size_t size);
/* Runs f compiled on the inputs, warm and many times, and prints where the time of a call goes: for each step of the compiled code
 * (kernel, product, routine, copy; in loops how often they turn) its median time and share, the bytes and flops that it needs by
 * definition, what part that is of what this machine can do at most (measured once in a process for a number of threads, so that a
 * step may come to more than 100 % of it), what operations became that step, and which values it reads from other kernels, with the
 * reason why they are not one. Shares need not add up to 100 %: the rest is the call itself. Steps are named as KILN_PERF names them.
 * docs/tour.md says how to read it. Variables stay as they are; effects are left out, and a function with a callback that returns
 * something is an error. On a CUDA device steps are launched one by one, not as the graph that calls replay, and timed by its
 * events; they are held against what the device copies within its memory. False: an error, which it also is that `to` cannot be
 * written. */
typedef struct kiln_profile_options { double seconds; /* measured; 0: 0.2 */ bool json; } kiln_profile_options;
KILN_API bool kiln_profile_of_sized(kiln_site at, FILE *to, kiln_function *f, kiln_operands in, const kiln_profile_options *options,
    size_t size);
/* Compares every value of f's graph, in loops at each step: eager results with the reference interpreter's on the same operands,
 * and compiled code with eager code, bit for bit. The report (NULL: none) says what was found; it names the first value that
 * differs and, in compiled code, the pass that changed it. An engine with .no_compile is checked without compiled code. A body that
 * reads changing host state is reported as such. The reference costs tens of ns per element.
 *   KILN_AGREE        all values agree, within the reference's error bounds and bit for bit
 *   KILN_CANNOT_TELL  all values that the reference decides agree, but of some elements it cannot say what is right: a sum may
 *   overflow in one order and not in another. The report says how many, where the first is, and why
 *   KILN_DISAGREE     a value differs; or, with an error (kiln_failed), f could not be run. It is 0, so that if (!kiln_check(...))
 *   asks whether something is wrong */
typedef enum kiln_verdict { KILN_DISAGREE, KILN_AGREE, KILN_CANNOT_TELL } kiln_verdict;
KILN_API kiln_verdict kiln_check_of_at(kiln_site at, FILE *report, kiln_function *f, kiln_operands in);
KILN_API kiln_verdict kiln_check_at(kiln_site at, FILE *report, kiln_function *f, kiln_tensor *const *in, int nin);

#ifdef __cplusplus
}
struct kiln_tape_guard {
    kiln_tape *tape;
    kiln_tape_guard(kiln_site at, kiln *k, bool persistent) : tape(kiln_tape_open_at(at, k, persistent)) {}
    ~kiln_tape_guard() { kiln_tape_close(&tape); }
    kiln_tape_guard(const kiln_tape_guard &) = delete;
    kiln_tape_guard &operator=(const kiln_tape_guard &) = delete;
    operator kiln_tape *() const { return tape; }
};
#define KILN_TAPE(k, name) kiln_tape_guard name(KILN_HERE, (k), false)
#define KILN_TAPE_PERSISTENT(k, name) kiln_tape_guard name(KILN_HERE, (k), true)
struct kiln_eagerly_guard {
    kiln_eagerly e;
    explicit kiln_eagerly_guard(kiln *k) : e(kiln_eagerly_open(k)) {}
    ~kiln_eagerly_guard() { kiln_eagerly_close(&e); }
    kiln_eagerly_guard(const kiln_eagerly_guard &) = delete;
    kiln_eagerly_guard &operator=(const kiln_eagerly_guard &) = delete;
};
#define KILN_EAGERLY(k) kiln_eagerly_guard KILN_CAT(kiln_eagerly_, __COUNTER__)(k)
template <class T> inline kiln_operand kiln_static_of(T number)
{
    kiln_operand o(number);
    o.kind = o.kind == 3 ? 8 : 7;
    return o;
}
inline kiln_operand kiln_static_of(const char *text)
{
    kiln_operand o(0);
    o.as.text = text;
    o.kind = 9;
    return o;
}
inline kiln_operand kiln_static_of(char *text) { return kiln_static_of(static_cast<const char *>(text)); }
#define KILN_STATIC(x) kiln_static_of(x)
#define KILN_SPEC_STATIC kiln_spec{KILN_I64, KILN_RANK_STATIC, {}}
#define KILN_SIZE_CONST(n) kiln_size{(n), (n), nullptr}
#else
#define KILN_TAPE(k, name) kiln_tape *name KILN_CLEANUP(kiln_tape_close) = kiln_tape_open_at(KILN_HERE, (k), false)
#define KILN_TAPE_PERSISTENT(k, name)                                                                                 \
    kiln_tape *name KILN_CLEANUP(kiln_tape_close) = kiln_tape_open_at(KILN_HERE, (k), true)
#define KILN_EAGERLY(k) kiln_eagerly KILN_CAT(kiln_eagerly_, __COUNTER__) KILN_CLEANUP(kiln_eagerly_close) = kiln_eagerly_open(k)
static inline kiln_operand kiln_static_of_i(int64_t v) { return (kiln_operand){{.i = v}, 7, 0}; }
static inline kiln_operand kiln_static_of_f(double v) { return (kiln_operand){{.f = v}, 8, 0}; }
static inline kiln_operand kiln_static_of_text(const char *v) { return (kiln_operand){{.text = v}, 9, 0}; }
#define KILN_STATIC(x)                                                                                                 \
    _Generic((x), char *: kiln_static_of_text, const char *: kiln_static_of_text, float: kiln_static_of_f,             \
             double: kiln_static_of_f, default: kiln_static_of_i)(x)
#define KILN_SPEC_STATIC {KILN_I64, KILN_RANK_STATIC, {{0, 0, NULL}}}
#endif

/* ---- sizes and specs: KILN_SPEC(KILN_F32, KILN_DIM("N", 1, 256), 784)
 * --------------------------------------------------------- */
static inline kiln_size kiln_size_of(int64_t n)
{
    kiln_size s = {n, n, NULL};
    return s;
}
static inline kiln_size kiln_dim_of(const char *name, int64_t lo, int64_t hi)
{
    kiln_size s = {lo, hi, name};
    return s;
}
static inline kiln_size kiln_size_same(kiln_size s) { return s; }
#define KILN_DIM(name, lo, hi) kiln_dim_of((name), (lo), (hi))

#ifdef __cplusplus
inline kiln_size kiln_to_size(int64_t n) { return kiln_size_of(n); }
inline kiln_size kiln_to_size(int n) { return kiln_size_of(n); }
inline kiln_size kiln_to_size(kiln_size s) { return s; }
inline kiln_spec kiln_spec_of(kiln_dtype t, std::initializer_list<kiln_size> s)
{
    kiln_spec out = {};
    out.dtype = t;
    for (kiln_size d : s)
        if (out.rank < KILN_MAX_RANK)
            out.size[out.rank++] = d;
    return out;
}
#define KILN_SZ(x) kiln_to_size(x)
#define KILN_SPEC(...) KILN_CAT(KILN_SPEC_, KILN_COUNT(__VA_ARGS__))(__VA_ARGS__)
#define KILN_SPEC_MAKE(t, n, ...) kiln_spec_of((t), {__VA_ARGS__})
#define KILN_SPEC_1(t) kiln_spec_of((t), {})
#else
#define KILN_SZ(x) _Generic((x), kiln_size: kiln_size_same, default: kiln_size_of)(x)
#define KILN_SPEC(...) KILN_CAT(KILN_SPEC_, KILN_COUNT(__VA_ARGS__))(__VA_ARGS__)
#define KILN_SPEC_MAKE(t, n, ...) {(t), (n), {__VA_ARGS__}}
#define KILN_SPEC_1(t) {(t), 0, {{0, 0, NULL}}}
#endif
#define KILN_SPEC_2(t, a) KILN_SPEC_MAKE(t, 1, KILN_SZ(a))
#define KILN_SPEC_3(t, a, b) KILN_SPEC_MAKE(t, 2, KILN_SZ(a), KILN_SZ(b))
#define KILN_SPEC_4(t, a, b, c) KILN_SPEC_MAKE(t, 3, KILN_SZ(a), KILN_SZ(b), KILN_SZ(c))
#define KILN_SPEC_5(t, a, b, c, d) KILN_SPEC_MAKE(t, 4, KILN_SZ(a), KILN_SZ(b), KILN_SZ(c), KILN_SZ(d))
#define KILN_SPEC_6(t, a, b, c, d, e) KILN_SPEC_MAKE(t, 5, KILN_SZ(a), KILN_SZ(b), KILN_SZ(c), KILN_SZ(d), KILN_SZ(e))
#define KILN_SPEC_7(t, a, b, c, d, e, p)                                                                               \
    KILN_SPEC_MAKE(t, 6, KILN_SZ(a), KILN_SZ(b), KILN_SZ(c), KILN_SZ(d), KILN_SZ(e), KILN_SZ(p))
#define KILN_SPEC_8(t, a, b, c, d, e, p, q)                                                                            \
    KILN_SPEC_MAKE(t, 7, KILN_SZ(a), KILN_SZ(b), KILN_SZ(c), KILN_SZ(d), KILN_SZ(e), KILN_SZ(p), KILN_SZ(q))
#define KILN_SPEC_9(t, a, b, c, d, e, p, q, r)                                                                         \
    KILN_SPEC_MAKE(t, 8, KILN_SZ(a), KILN_SZ(b), KILN_SZ(c), KILN_SZ(d), KILN_SZ(e), KILN_SZ(p), KILN_SZ(q), KILN_SZ(r))

/* kiln_call(f, x, y, ...) takes up to 8 operands and returns the first output. kiln_call_all(f, KILN_IN(x, y), out, nout) takes and
 * returns any number. */
#define kiln_call(...) KILN_CAT(KILN_CALL_, KILN_COUNT(__VA_ARGS__))(__VA_ARGS__)
#define KILN_CALL_1(f) kiln_call_at(KILN_HERE, (f), NULL, 0)
#define KILN_CALL_2(f, a) kiln_call_at(KILN_HERE, (f), KILN_OPERANDS(1, KILN_OPERAND(a)), 1)
#define KILN_CALL_3(f, a, b) kiln_call_at(KILN_HERE, (f), KILN_OPERANDS(2, KILN_OPERAND(a), KILN_OPERAND(b)), 2)
#define KILN_CALL_4(f, a, b, c)                                                                                        \
    kiln_call_at(KILN_HERE, (f), KILN_OPERANDS(3, KILN_OPERAND(a), KILN_OPERAND(b), KILN_OPERAND(c)), 3)
#define KILN_CALL_5(f, a, b, c, d)                                                                                     \
    kiln_call_at(KILN_HERE, (f), KILN_OPERANDS(4, KILN_OPERAND(a), KILN_OPERAND(b), KILN_OPERAND(c), KILN_OPERAND(d)), 4)
#define KILN_CALL_6(f, a, b, c, d, e)                                                                                  \
    kiln_call_at(KILN_HERE, (f), KILN_OPERANDS(5, KILN_OPERAND(a), KILN_OPERAND(b), KILN_OPERAND(c), KILN_OPERAND(d),  \
                                              KILN_OPERAND(e)), 5)
#define KILN_CALL_7(f, a, b, c, d, e, p)                                                                               \
    kiln_call_at(KILN_HERE, (f), KILN_OPERANDS(6, KILN_OPERAND(a), KILN_OPERAND(b), KILN_OPERAND(c), KILN_OPERAND(d),  \
                                              KILN_OPERAND(e), KILN_OPERAND(p)), 6)
#define KILN_CALL_8(f, a, b, c, d, e, p, q)                                                                            \
    kiln_call_at(KILN_HERE, (f), KILN_OPERANDS(7, KILN_OPERAND(a), KILN_OPERAND(b), KILN_OPERAND(c), KILN_OPERAND(d),  \
                                              KILN_OPERAND(e), KILN_OPERAND(p), KILN_OPERAND(q)), 7)
#define KILN_CALL_9(f, a, b, c, d, e, p, q, r)                                                                         \
    kiln_call_at(KILN_HERE, (f), KILN_OPERANDS(8, KILN_OPERAND(a), KILN_OPERAND(b), KILN_OPERAND(c), KILN_OPERAND(d),  \
                                              KILN_OPERAND(e), KILN_OPERAND(p), KILN_OPERAND(q), KILN_OPERAND(r)), 8)
/* Calls that take several operands take them as KILN_IN(x, w), kiln_tensors(x, n) or kiln_variables(v, n). The older form of the
 * same calls takes two arguments: an array (of tensors; of kiln_operand for kiln_call_all and kiln_gradients) and its count. */
#define kiln_call_all(...) KILN_CAT(KILN_CALL_ALL_, KILN_FEW(__VA_ARGS__))(__VA_ARGS__)
#define KILN_CALL_ALL_4(f, in, out, nout) kiln_call_all_of_at(KILN_HERE, (f), in, (out), (nout))
#define KILN_CALL_ALL_M(...) kiln_call_all_at(KILN_HERE, __VA_ARGS__)

/* KILN_PARAMS(k, a, b) lists the parameters, KILN_GIVEN(k, a, b) the tensors and a final NULL; KILN_HANDED_3 is what a body of k
 * and two tensors is passed. */
#define KILN_PARAMS(...) KILN_CAT(KILN_PARAMS_, KILN_COUNT(__VA_ARGS__))(__VA_ARGS__)
#define KILN_PARAMS_1(k) kiln *k KILN_UNUSED
#define KILN_PARAMS_2(k, a) KILN_PARAMS_1(k), kiln_tensor *a
#define KILN_PARAMS_3(k, a, b) KILN_PARAMS_2(k, a), kiln_tensor *b
#define KILN_PARAMS_4(k, a, b, c) KILN_PARAMS_3(k, a, b), kiln_tensor *c
#define KILN_PARAMS_5(k, a, b, c, d) KILN_PARAMS_4(k, a, b, c), kiln_tensor *d
#define KILN_PARAMS_6(k, a, b, c, d, e) KILN_PARAMS_5(k, a, b, c, d), kiln_tensor *e
#define KILN_PARAMS_7(k, a, b, c, d, e, f) KILN_PARAMS_6(k, a, b, c, d, e), kiln_tensor *f
#define KILN_PARAMS_8(k, a, b, c, d, e, f, g) KILN_PARAMS_7(k, a, b, c, d, e, f), kiln_tensor *g
#define KILN_PARAMS_9(k, a, b, c, d, e, f, g, h) KILN_PARAMS_8(k, a, b, c, d, e, f, g), kiln_tensor *h
#define KILN_HANDED_1 kiln_k
#define KILN_HANDED_2 KILN_HANDED_1, kiln_in[0]
#define KILN_HANDED_3 KILN_HANDED_2, kiln_in[1]
#define KILN_HANDED_4 KILN_HANDED_3, kiln_in[2]
#define KILN_HANDED_5 KILN_HANDED_4, kiln_in[3]
#define KILN_HANDED_6 KILN_HANDED_5, kiln_in[4]
#define KILN_HANDED_7 KILN_HANDED_6, kiln_in[5]
#define KILN_HANDED_8 KILN_HANDED_7, kiln_in[6]
#define KILN_HANDED_9 KILN_HANDED_8, kiln_in[7]
#define KILN_GIVEN(...) KILN_CAT(KILN_GIVEN_, KILN_COUNT(__VA_ARGS__))(__VA_ARGS__)
#define KILN_GIVEN_1(k) NULL
#define KILN_GIVEN_2(k, a) a, NULL
#define KILN_GIVEN_3(k, a, b) a, b, NULL
#define KILN_GIVEN_4(k, a, b, c) a, b, c, NULL
#define KILN_GIVEN_5(k, a, b, c, d) a, b, c, d, NULL
#define KILN_GIVEN_6(k, a, b, c, d, e) a, b, c, d, e, NULL
#define KILN_GIVEN_7(k, a, b, c, d, e, f) a, b, c, d, e, f, NULL
#define KILN_GIVEN_8(k, a, b, c, d, e, f, g) a, b, c, d, e, f, g, NULL
#define KILN_GIVEN_9(k, a, b, c, d, e, f, g, h) a, b, c, d, e, f, g, h, NULL
#define KILN_FIRST(...) KILN_FIRST_(__VA_ARGS__, 0)
#define KILN_FIRST_(k, ...) k
#define KILN_STEP(f) f##_step(kiln *kiln_k, kiln_tensor *const *kiln_in KILN_UNUSED, kiln_tensor **kiln_out KILN_UNUSED, \
    void *kiln_user KILN_UNUSED)

#define KILN_FUNCTION(f, ...) KILN_FUNCTION_(f, KILN_COUNT(__VA_ARGS__), __VA_ARGS__)
#define KILN_FUNCTION_(f, n, ...)                                                                                      \
    static kiln_tensor *f##_body(KILN_PARAMS(__VA_ARGS__));                                                           \
    static void KILN_STEP(f) { kiln_out[0] = f##_body(KILN_CAT(KILN_HANDED_, n)); }                                   \
    static const kiln_definition f##_definition = {#f, f##_step, n - 1, 1, {__FILE__, __LINE__}};                     \
    static __attribute__((unused)) kiln_tensor *f(KILN_PARAMS(__VA_ARGS__))                                           \
    {                                                                                                                 \
        kiln_tensor *const kiln_in[n] = {KILN_GIVEN(__VA_ARGS__)};                                                    \
        return kiln_definition_call(KILN_HERE, KILN_FIRST(__VA_ARGS__), &f##_definition, kiln_in);                    \
    }                                                                                                                 \
    static kiln_tensor *f##_body(KILN_PARAMS(__VA_ARGS__))

#define KILN_RESULTS(f, out, outputs, ...) KILN_RESULTS_(f, out, outputs, KILN_COUNT(__VA_ARGS__), __VA_ARGS__)
#define KILN_RESULTS_(f, out, outputs, n, ...)                                                                         \
    static void f##_body(kiln_tensor **out, KILN_PARAMS(__VA_ARGS__));                                                \
    static void KILN_STEP(f) { f##_body(kiln_out, KILN_CAT(KILN_HANDED_, n)); }                                       \
    static const kiln_definition f##_definition = {#f, f##_step, n - 1, outputs, {__FILE__, __LINE__}};               \
    static __attribute__((unused)) bool f(KILN_PARAMS(__VA_ARGS__), kiln_tensor **out)                                \
    {                                                                                                                 \
        kiln_tensor *const kiln_in[n] = {KILN_GIVEN(__VA_ARGS__)};                                                    \
        return kiln_definition_call_all(KILN_HERE, KILN_FIRST(__VA_ARGS__), &f##_definition, kiln_in, out);           \
    }                                                                                                                 \
    static void f##_body(kiln_tensor **out, KILN_PARAMS(__VA_ARGS__))

#define KILN_PROCEDURE(f, ...) KILN_PROCEDURE_(f, KILN_COUNT(__VA_ARGS__), __VA_ARGS__)
#define KILN_PROCEDURE_(f, n, ...)                                                                                     \
    static void f##_body(KILN_PARAMS(__VA_ARGS__));                                                                   \
    static void KILN_STEP(f) { f##_body(KILN_CAT(KILN_HANDED_, n)); }                                                 \
    static const kiln_definition f##_definition = {#f, f##_step, n - 1, KILN_NO_OUTPUTS, {__FILE__, __LINE__}};       \
    static __attribute__((unused)) bool f(KILN_PARAMS(__VA_ARGS__))                                                   \
    {                                                                                                                 \
        kiln_tensor *const kiln_in[n] = {KILN_GIVEN(__VA_ARGS__)};                                                    \
        return kiln_definition_call_all(KILN_HERE, KILN_FIRST(__VA_ARGS__), &f##_definition, kiln_in, NULL);          \
    }                                                                                                                 \
    static void f##_body(KILN_PARAMS(__VA_ARGS__))

#define kiln_static_i64(argument) kiln_static_i64_at(KILN_HERE, (argument))
#define kiln_static_f64(argument) kiln_static_f64_at(KILN_HERE, (argument))
#define kiln_static_text(argument) kiln_static_text_at(KILN_HERE, (argument))

#define kiln_watch(tape, x) kiln_watch_at(KILN_HERE, (tape), (x))
#define kiln_gradient(tape, y, x) kiln_gradient_at(KILN_HERE, (tape), KILN_OPERAND(y), KILN_OPERAND(x))
#define kiln_gradients(...) KILN_CAT(KILN_GRADIENTS_, KILN_FEW(__VA_ARGS__))(__VA_ARGS__)
#define KILN_GRADIENTS_4(tape, y, x, dx) kiln_gradients_of_at(KILN_HERE, (tape), KILN_OPERAND(y), x, (dx))
#define KILN_GRADIENTS_M(tape, y, ...) kiln_gradients_at(KILN_HERE, (tape), (y), NULL, __VA_ARGS__)
#define kiln_custom_gradient(...) KILN_CAT(KILN_CUSTOM_, KILN_FEW(__VA_ARGS__))(__VA_ARGS__)
#define KILN_CUSTOM_4(y, x, backward, user) kiln_custom_gradient_of_at(KILN_HERE, KILN_OPERAND(y), x, (backward), (user))
#define KILN_CUSTOM_M(y, ...) kiln_custom_gradient_at(KILN_HERE, (y), __VA_ARGS__)
/* kiln_compare(stdout, f, KILN_IN(x, y)), or with options as a fourth argument; a literal with several fields needs parentheses. */
#define kiln_compare(...) KILN_CAT(KILN_COMPARE_, KILN_FEW(__VA_ARGS__))(__VA_ARGS__)
#define KILN_COMPARE_3(to, f, in) KILN_COMPARE_4(to, f, in, NULL)
#define KILN_COMPARE_4(to, f, in, options) kiln_compare_of_sized(KILN_HERE, (to), (f), in, options, sizeof(kiln_compare_options))
#define KILN_COMPARE_M(to, f, ...) kiln_compare_sized(KILN_HERE, (to), (f), __VA_ARGS__, sizeof(kiln_compare_options))
/* kiln_profile(stdout, f, KILN_IN(x, y)), or with options as a fourth argument */
#define kiln_profile(...) KILN_CAT(KILN_PROFILE_, KILN_FEW(__VA_ARGS__))(__VA_ARGS__)
#define KILN_PROFILE_3(to, f, in) KILN_PROFILE_4(to, f, in, NULL)
#define KILN_PROFILE_4(to, f, in, options) kiln_profile_of_sized(KILN_HERE, (to), (f), in, options, sizeof(kiln_profile_options))
#define KILN_PROFILE_M(to, f, in, ...) kiln_profile_of_sized(KILN_HERE, (to), (f), in, __VA_ARGS__, sizeof(kiln_profile_options))
#define kiln_check(...) KILN_CAT(KILN_CHECK_, KILN_FEW(__VA_ARGS__))(__VA_ARGS__)
#define KILN_CHECK_3(report, f, in) kiln_check_of_at(KILN_HERE, (report), (f), in)
#define KILN_CHECK_4(report, f, in, nin) kiln_check_at(KILN_HERE, (report), (f), in, nin)
#define KILN_CHECK_M(report, f, ...) kiln_check_at(KILN_HERE, (report), (f), __VA_ARGS__)

#include "control.h" /* last: it needs kiln_body */

#endif
