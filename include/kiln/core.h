/* core.h: engines, scopes, errors, tensors and variables. Programs include kiln.h, which includes this; it compiles alone as C11
 * and C++17.
 *
 * Ownership. Every tensor that a call returns belongs to the calling thread's innermost scope and is freed when that scope closes;
 * kiln_keep moves it one scope out, kiln_own out of all scopes until kiln_release. Errors are sticky: a call that fails returns a
 * poisoned tensor, calls on poisoned tensors return poisoned tensors, and the thread keeps the first error until kiln_clear. An
 * error that nobody looked at is logged when the engine closes. Nothing here exits or aborts, and nothing is printed unasked except
 * the engine's log, which goes to stderr unless the options say otherwise. */
#ifndef KILN_CORE_H
#define KILN_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define KILN_VERSION_MAJOR 0
#define KILN_VERSION_MINOR 1
#define KILN_VERSION_PATCH 0
#define KILN_MAX_RANK 8

#if defined(__GNUC__)
#define KILN_API __attribute__((visibility("default")))
#define KILN_CLEANUP(f) __attribute__((cleanup(f), unused))
#define KILN_UNUSED __attribute__((unused))
#else
#error "Kiln's headers need gcc or clang"
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kiln kiln;                   /* an engine: devices, threads, caches, variables */
typedef struct kiln_tensor kiln_tensor;     /* an immutable value: dtype, shape, elements */
typedef struct kiln_variable kiln_variable; /* state: holds a tensor that assignments replace */

typedef enum kiln_dtype {
    KILN_NONE, KILN_BOOL, KILN_U8, KILN_I8, KILN_U16, KILN_I16, KILN_U32, KILN_I32, KILN_U64, KILN_I64,
    KILN_F16, KILN_BF16, KILN_F32, KILN_F64,
    KILN_F8_E4M3, /* OCP: largest 448, no infinity: larger values become NaN (with kiln_cast_saturated 448) */
    KILN_F8_E5M2  /* OCP: follows IEEE, largest 57344 */
} kiln_dtype;

/* ---- where a call stands in the user's source -------------------------------------------------------- */
typedef struct kiln_site { const char *file; int line; } kiln_site;
#ifdef __cplusplus
#define KILN_HERE (kiln_site{__FILE__, __LINE__})
#else
#define KILN_HERE ((kiln_site){__FILE__, __LINE__})
#endif

/* ---- shapes and axes as literals ------------------------------------------------------------------------
 * For example KILN_SHAPE(32, 784); KILN_SHAPE() is a scalar's shape. More than 8 sizes do not compile. */
typedef struct kiln_shape { int64_t rank, size[1 + KILN_MAX_RANK]; /* size[0] is unused */ } kiln_shape;
/* KILN_AXES(0, -1) names axes that the result lacks; KILN_KEEP(0, -1) axes that it keeps with size 1. KILN_ALL and KILN_KEEP_ALL
 * name every axis, KILN_AXES() none. count: how many axes are named; -1 means all. */
typedef struct kiln_axes { int keep, count, axis[1 + KILN_MAX_RANK]; /* axis[0] is unused */ } kiln_axes;

/* ---- engine ------------------------------------------------------------------------------------------------ */
/* When the code of a traced function is made. Calls give the same bits either way: without code the graph is interpreted, op by op,
 * as eager code would run it.
 *   KILN_WAIT        the first call with a signature compiles, and runs compiled code like all others
 *   KILN_BACKGROUND  a thread of the engine compiles while calls are interpreted, which run compiled code as soon as it is there
 *                    (kiln_function_wait); a loop that takes long goes on in compiled code within its call. What cannot be
 *                    compiled stays interpreted, and the log says so. Calls wait all the same while KILN_DUMP is set, and on
 *                    devices other than the CPU
 *   KILN_NEVER       every call is interpreted, and LLVM is not needed; kiln_check does without compiled code, kiln_compare compiles
 *                    all the same */
typedef enum kiln_compiling { KILN_WAIT = 1, KILN_BACKGROUND, KILN_NEVER } kiln_compiling;

typedef struct kiln_options {
    /* How many threads in all; 0 means one per core this process may use. Kiln's own threads block all signals. If there is a core
     * for each, those that a call wakes do not run on its core (it is taken out of their affinity until another core's call wakes
     * them), nor ever on one that the thread which opened the engine could not use. Cores that the program gives them stand. */
    int threads;
    /* Traced functions run eagerly and LLVM is never entered. Calls that need it give KILN_ESTATE; kiln_check does without. */
    bool no_compile;
    /* On a CPU, products of f32 and f64 matrices of at least 96 rows, columns and inner size and more than 2^21 multiplications go to
     * OpenBLAS, called on one thread at a time, with sums in its own order (docs/numerics.md). The shared library libopenblas.so.0
     * is opened at the first such product, and its own threads are set to one; KILN_EUNSUPPORTED if it is not there.
     * On a CUDA device such products, of f16 and bf16 too, go to cuBLASLt where elements of both operands lie side by side along rows
     * or columns (f32 without TF32, but for functions of .tf32). libcublasLt.so, .so.13, .so.12 or .so.11 is opened at the first one, on
     * the library path or in the folders of CUDA, or the file that KILN_CUBLASLT names; KILN_EUNSUPPORTED if there is none, as on
     * emulated devices without KILN_CUBLASLT. One that it knows no way for is Kiln's own. Functions with such products are not
     * recorded as graphs. */
    bool blas;
    size_t cache_bytes;      /* idle tensor memory kept for reuse; 0: 1 GiB. Half as much again may go to kiln_panels_count's. */
    /* Replaces Kiln's workers: runs task(arg, i) for every i from 0 to tasks - 1 and returns when all are done. */
    void (*parallel_for)(void *user, void (*task)(void *arg, int64_t index), void *arg, int64_t tasks);
    void *parallel_user;
    /* Receives warnings, remarks on the machine, and errors that nobody looked at, one line each without its newline, from any
     * thread that uses the engine, and from the one that compiles. If it is NULL the lines go to stderr; .no_log silences them. */
    void (*log)(void *user, const char *text);
    void *log_user;
    /* Seeds the engine's own generator, from which layers made without a generator draw: the same seed and the same order of layers
     * give the same weights. */
    uint64_t seed;
    bool no_log;             /* no log at all: look at kiln_error yourself then */
    /* Makes indices out of range errors (move.h), as does KILN_CHECKED=1 in the environment. This is settled when the engine opens;
     * code compiled by the engine checks too, as do the objects that it writes (aot.h). */
    bool checked;
    /* Of the engine's functions, unless one says otherwise (kiln_function_options). 0: what KILN_COMPILE in the environment says
     * (wait, background, never), else KILN_BACKGROUND. */
    kiln_compiling compile;
    /* A folder in which compiled code is kept between runs: a function that was compiled before, on such a CPU and by this build and
     * this LLVM, is found there in about a millisecond and without loading LLVM. NULL: the folder that KILN_CACHE_DIR names, if any;
     * "": none. It is made if it is absent (its parent must be there), and must be its owner's alone, as must be the files in it:
     * what is not, or was changed, is told in the log and compiled anew, as if there were no folder. Any number of processes may
     * use it at once. A program that runs with others' rights (setuid) uses none. */
    const char *cache_dir;
    uint64_t cache_dir_bytes; /* of all files in it, about; what was used longest ago is removed. 0: 256 MiB */
    /* Where each thread's calls without operands make their results, and functions without arguments run, until KILN_DEVICE(k, ...)
     * (device.h) says otherwise: "cpu", "gpu:0", "emu:0". NULL: what KILN_DEVICE in the environment says, else "cpu"; so a program
     * that names no device runs on another one as it is. If there is none of that name the engine is open all the same, on "cpu",
     * and the opening thread's error is KILN_EDEVICE, which says what there is. */
    const char *device;
} kiln_options;

/* options may be NULL. Returns NULL only if memory ran out. A child made by fork() may go on with the engine if no other thread of the
 * parent was inside a call of Kiln at that time; otherwise it may wait for that thread for ever, and should exec or use no engine. */
#define kiln_open(...) kiln_open_sized(__VA_ARGS__, sizeof(kiln_options))
KILN_API kiln *kiln_open_sized(const kiln_options *options, size_t size);
/* Releases everything the engine owns, open scopes and tapes included. Tapes and tensors must not be used afterwards, so close the
 * engine in a block outside theirs. Returns how many threads have an error that was never cleared; 0 is a clean end. Errors that
 * kiln_error was not asked for are logged. Inside a call (in a body, in a kiln_callback) it is KILN_ESTATE, gives 1, and the engine
 * stays open. */
KILN_API int kiln_close(kiln *k);
KILN_API const char *kiln_version(void);

/* Replaces the allocator of the whole process; call it before the first engine opens. resize(user, old, old_bytes, bytes, align)
 * allocates if old is NULL and frees if bytes is 0. */
typedef struct kiln_allocator {
    void *(*resize)(void *user, void *old, size_t old_bytes, size_t bytes, size_t align);
    void *user;
} kiln_allocator;
KILN_API void kiln_set_allocator(const kiln_allocator *a);
typedef struct kiln_memory { uint64_t allocations; int64_t live_blocks, live_bytes, peak_bytes; } kiln_memory;
KILN_API kiln_memory kiln_memory_count(void);
/* Right operands of products, and filters of convolutions, that the engine keeps packed: from the second product that reads the same
 * elements of a tensor or variable in the same way, until these are written or released; borrowed memory never. They take up to half
 * of cache_bytes; what would take more is packed anew for each product. The bits are the same. */
typedef struct kiln_panels {
    size_t bytes, most;    /* now, and allowed */
    uint64_t packed, used; /* how many were packed, and how many products found theirs */
} kiln_panels;
KILN_API kiln_panels kiln_panels_count(kiln *k); /* zeros if k is NULL or closed */

/* ---- errors -------------------------------------------------------------------------------------------------- */
typedef enum kiln_code {
    KILN_OK, KILN_ESHAPE, KILN_EDTYPE, KILN_EVALUE, KILN_ESTATE, KILN_EMEMORY, KILN_EIO, KILN_EFORMAT, KILN_EDEVICE,
    KILN_EUNSUPPORTED, KILN_EINTERNAL
} kiln_code;
typedef struct kiln_failure {
    kiln_code code;
    const char *text; /* "matmul: inner sizes differ: f32[32,784] x f32[785,128]  train.c:41" */
    const char *file;
    int line;
} kiln_failure;

KILN_API bool kiln_failed(kiln *k);                    /* this thread has an error */
/* the first error, valid until kiln_clear; if none, code KILN_OK and text "" */
KILN_API const kiln_failure *kiln_error(kiln *k);
KILN_API void kiln_clear(kiln *k);                     /* forgets the error */

/* ---- scopes ---------------------------------------------------------------------------------------------------- */
typedef struct kiln_scope { kiln *k; uint64_t id; } kiln_scope;
KILN_API kiln_scope kiln_scope_open(kiln *k);
KILN_API kiln_scope kiln_scope_open_at(kiln_site at, kiln *k); /* errors about it name `at` */
KILN_API void kiln_scope_close(kiln_scope *s);         /* scopes close in reverse order; out of order is an error */
KILN_API kiln_tensor *kiln_keep(kiln_tensor *t);       /* moves t to the scope outside the innermost; returns t */
KILN_API kiln_tensor *kiln_own(kiln_tensor *t);        /* makes the caller own t until kiln_release; returns t */
KILN_API void kiln_release(kiln_tensor *t);            /* NULL allowed; twice is an error */
KILN_API void kiln_set(kiln_tensor **slot, kiln_tensor *t); /* *slot = kiln_own(t); releases the old one */

/* ---- operands: a call that takes an operand accepts a tensor, a variable (which is read now) or a number ----------------- */
typedef struct kiln_operand {
    union { kiln_tensor *tensor; kiln_variable *variable; double f; int64_t i; uint64_t u; const char *text; } as;
    uint32_t kind; /* 1 tensor, 2 variable, 3 f, 4 i, 5 u, 6 bool (in i); static arguments: 7 i, 8 f, 9 text */
    uint32_t zero;
#ifdef __cplusplus
    kiln_operand(kiln_tensor *t) : kind(1), zero(0) { as.tensor = t; }
    kiln_operand(kiln_variable *v) : kind(2), zero(0) { as.variable = v; }
    kiln_operand(double v) : kind(3), zero(0) { as.f = v; }
    kiln_operand(float v) : kind(3), zero(0) { as.f = static_cast<double>(v); }
    kiln_operand(int v) : kind(4), zero(0) { as.i = v; }
    kiln_operand(long v) : kind(4), zero(0) { as.i = v; }
    kiln_operand(long long v) : kind(4), zero(0) { as.i = v; }
    kiln_operand(unsigned v) : kind(5), zero(0) { as.u = v; }
    kiln_operand(unsigned long v) : kind(5), zero(0) { as.u = v; }
    kiln_operand(unsigned long long v) : kind(5), zero(0) { as.u = v; }
    kiln_operand(bool v) : kind(6), zero(0) { as.i = v; }
    kiln_operand(decltype(nullptr)) : kind(1), zero(0) { as.tensor = nullptr; }
#endif
} kiln_operand;

/* kind says what `at` is an array of: 0 kiln_operand, 1 kiln_tensor *, 2 kiln_variable *. */
typedef struct kiln_operands { const void *at; int32_t count; uint32_t kind; } kiln_operands;
static inline kiln_operands kiln_operand_list(const kiln_operand *x, int count)
{
    kiln_operands l = {x, count, 0};
    return l;
}
static inline kiln_operands kiln_tensors(kiln_tensor *const *x, int count)
{
    kiln_operands l = {x, count, 1};
    return l;
}
static inline kiln_operands kiln_variables(kiln_variable *const *v, int count)
{
    kiln_operands l = {v, count, 2};
    return l;
}

/* ---- making tensors ------------------------------------------------------------------------------------------------ */
/* Copies `count` elements of the dtype (kiln_f32(k, KILN_SHAPE(2, 2), 1, 2, 3, 4) lists them; so do kiln_f64, kiln_i8 to kiln_i64, kiln_u8
 * to kiln_u64, kiln_bool, and kiln_numbers of any dtype); count must equal the product of the shape's sizes. */
KILN_API kiln_tensor *kiln_from_at(kiln_site at, kiln *k, kiln_dtype t, kiln_shape s, const void *data, int64_t count);
/* Uses the memory itself without copying or writing, until release(data, user) is called, once. If release is NULL, keep the memory
 * alive yourself. The elements are row-major and aligned. */
KILN_API kiln_tensor *kiln_borrow_at(kiln_site at, kiln *k, kiln_dtype t, kiln_shape s, const void *data,
                                     void (*release)(void *data, void *user), void *user);
/* As kiln_from, from C doubles whatever the dtype; kiln_numbers(k, KILN_BF16, KILN_SHAPE(2, 2), 1, 0.5, -3, 4) lists them. Floats
 * round to nearest even. KILN_EVALUE, with the number's place, follows a fraction for an integer, a number out of range, and a
 * number for a bool that is neither 0 nor 1. */
KILN_API kiln_tensor *kiln_from_doubles_at(kiln_site at, kiln *k, kiln_dtype t, kiln_shape s, const double *v, int64_t count);
/* One number at every place takes no memory, however many there are, until a result needs it element by element; results of traced
 * functions lie in memory. */
KILN_API kiln_tensor *kiln_full_at(kiln_site at, kiln *k, kiln_dtype t, kiln_shape s, kiln_operand number);
/* each element's index along the axis */
KILN_API kiln_tensor *kiln_iota_at(kiln_site at, kiln *k, kiln_dtype t, kiln_shape s, int axis);

/* ---- looking at tensors ---------------------------------------------------------------------------------------------- */
KILN_API kiln_dtype kiln_dtype_of(const kiln_tensor *t);  /* KILN_NONE if poisoned or NULL */
KILN_API int kiln_rank(const kiln_tensor *t);
/* A negative axis counts from the end. In a trace of a bounded size this is the upper bound. 0 if t is poisoned or NULL, or after
 * an error (no such axis). */
KILN_API int64_t kiln_dim(const kiln_tensor *t, int axis);
KILN_API int64_t kiln_elements(const kiln_tensor *t);
KILN_API size_t kiln_bytes(const kiln_tensor *t);
KILN_API const char *kiln_dtype_name(kiln_dtype t);
KILN_API size_t kiln_dtype_bytes(kiln_dtype t);
KILN_API kiln *kiln_engine(const kiln_tensor *t);
/* Copies the elements out, row-major; bytes must equal kiln_bytes(t). False after an error (a wrong size, a poisoned tensor, a
 * traced value). */
KILN_API bool kiln_read_at(kiln_site at, kiln_operand t, void *to, size_t bytes);
/* Copies the elements out as doubles, row-major; count must equal kiln_elements(t). False after an error: those of kiln_read, and
 * an i64 or u64 beyond 2^53 that no double holds exactly, named with its place. */
KILN_API bool kiln_read_doubles_at(kiln_site at, kiln_operand t, double *to, int64_t count);
/* The elements, row-major, of the tensor itself or of a contiguous copy, valid as long as t. NULL after an error, such as
 * KILN_EDEVICE where the elements lie on a device that C cannot look into (kiln_read copies them out). */
KILN_API const void *kiln_data_at(kiln_site at, kiln_tensor *t);
/* The only element of a tensor, as a double or an int64; NaN or 0 after an error. */
KILN_API double kiln_item_at(kiln_site at, kiln_operand t);
KILN_API int64_t kiln_item_i64_at(kiln_site at, kiln_operand t);
/* Prints as NumPy does, then " f32[2,2]" and a newline. A traced function prints each time it runs, in program order (effect.h). */
KILN_API void kiln_print_at(kiln_site at, FILE *to, kiln_operand t);

/* ---- variables --------------------------------------------------------------------------------------------------------
 * A variable lives until kiln_variable_free or kiln_close. Its dtype and shape never change. Callers serialise assignments.
 *     kiln_variable_new(k, "w", x)               x is a tensor or variable, whose dtype and shape it takes, or a C integer (i64[])
 *     or bool (bool[])
 *     kiln_variable_new(k, "w", KILN_F32, 0.5)   a number of that dtype; a C double without a dtype is an error: f32 or f64 could
 *     be meant
 * kiln_local takes the same forms. */
KILN_API kiln_variable *kiln_variable_new_at(kiln_site at, kiln *k, const char *name, kiln_operand init);
KILN_API kiln_variable *kiln_variable_of_at(kiln_site at, kiln *k, const char *name, kiln_dtype dtype, kiln_operand number);
KILN_API void kiln_variable_free(kiln_variable *v);
KILN_API const char *kiln_variable_name(const kiln_variable *v);
/* The variable's value now. Under a tape each read is a gradient leaf; a gradient with respect to the variable sums over its
 * reads. */
KILN_API kiln_tensor *kiln_value_at(kiln_site at, kiln_operand variable);
/* The value has the variable's shape or is a number; it has the variable's dtype or one that this holds without loss (f32 into
 * f64). */
KILN_API void kiln_assign_at(kiln_site at, kiln_variable *v, kiln_operand value);
KILN_API void kiln_assign_add_at(kiln_site at, kiln_variable *v, kiln_operand value);
KILN_API void kiln_assign_sub_at(kiln_site at, kiln_variable *v, kiln_operand value);
/* A local holds state of the block that makes it and is freed with the innermost scope; gradients flow through its assignments.
 * Under a tape a read makes its value a leaf, so that gradients can be taken with respect to a local as well (function.h). */
KILN_API kiln_variable *kiln_local_at(kiln_site at, kiln *k, kiln_operand init);
KILN_API kiln_variable *kiln_local_of_at(kiln_site at, kiln *k, kiln_dtype dtype, kiln_operand number);

#ifdef __cplusplus
} /* extern "C" */

#include <initializer_list>
inline kiln_shape kiln_shape_of(std::initializer_list<int64_t> s)
{
    kiln_shape out = {};
    out.rank = static_cast<int64_t>(s.size());
    int64_t i = 1;
    for (int64_t d : s)
        if (i <= KILN_MAX_RANK)
            out.size[i++] = d;
    return out;
}
inline kiln_axes kiln_axes_of(int keep, std::initializer_list<int> s)
{
    kiln_axes out = {};
    out.keep = keep;
    out.count = static_cast<int>(s.size());
    int i = 1;
    for (int d : s)
        if (i <= KILN_MAX_RANK)
            out.axis[i++] = d;
    return out;
}
#define KILN_SHAPE(...) kiln_shape_of({__VA_ARGS__})
#define KILN_AXES(...) kiln_axes_of(0, {__VA_ARGS__})
#define KILN_KEEP(...) kiln_axes_of(1, {__VA_ARGS__})
#define KILN_ALL (kiln_axes{0, -1, {}})
#define KILN_KEEP_ALL (kiln_axes{1, -1, {}})
#define KILN_OPERAND(x) kiln_operand(x)
#define KILN_OPERANDS(n, ...) std::initializer_list<kiln_operand>{__VA_ARGS__}.begin()
template <class T, kiln_dtype D>
inline kiln_tensor *kiln_from_list(kiln *k, kiln_shape s, std::initializer_list<T> v, kiln_site at)
{
    return kiln_from_at(at, k, D, s, v.begin(), static_cast<int64_t>(v.size()));
}
/* The parentheses are needed: a template's comma would separate arguments of kiln_call. */
#define kiln_f32(k, s, ...) (kiln_from_list<float, KILN_F32>((k), (s), {__VA_ARGS__}, KILN_HERE))
#define kiln_f64(k, s, ...) (kiln_from_list<double, KILN_F64>((k), (s), {__VA_ARGS__}, KILN_HERE))
#define kiln_i32(k, s, ...) (kiln_from_list<int32_t, KILN_I32>((k), (s), {__VA_ARGS__}, KILN_HERE))
#define kiln_i64(k, s, ...) (kiln_from_list<int64_t, KILN_I64>((k), (s), {__VA_ARGS__}, KILN_HERE))
#define kiln_u8(k, s, ...) (kiln_from_list<uint8_t, KILN_U8>((k), (s), {__VA_ARGS__}, KILN_HERE))
#define kiln_i8(k, s, ...) (kiln_from_list<int8_t, KILN_I8>((k), (s), {__VA_ARGS__}, KILN_HERE))
#define kiln_i16(k, s, ...) (kiln_from_list<int16_t, KILN_I16>((k), (s), {__VA_ARGS__}, KILN_HERE))
#define kiln_u16(k, s, ...) (kiln_from_list<uint16_t, KILN_U16>((k), (s), {__VA_ARGS__}, KILN_HERE))
#define kiln_u32(k, s, ...) (kiln_from_list<uint32_t, KILN_U32>((k), (s), {__VA_ARGS__}, KILN_HERE))
#define kiln_u64(k, s, ...) (kiln_from_list<uint64_t, KILN_U64>((k), (s), {__VA_ARGS__}, KILN_HERE))
#define kiln_bool(k, s, ...) (kiln_from_list<bool, KILN_BOOL>((k), (s), {__VA_ARGS__}, KILN_HERE))
template <class... T> inline kiln_tensor *kiln_numbers_of(kiln_site at, kiln *k, kiln_dtype t, kiln_shape s, T... number)
{
    const double v[] = {static_cast<double>(number)...};
    return kiln_from_doubles_at(at, k, t, s, v, static_cast<int64_t>(sizeof...(number)));
}
#define kiln_numbers(k, t, s, ...) kiln_numbers_of(KILN_HERE, (k), (t), (s), __VA_ARGS__)
struct kiln_scope_guard {
    kiln_scope s;
    kiln_scope_guard(kiln *k, kiln_site at) : s(kiln_scope_open_at(at, k)) {}
    ~kiln_scope_guard() { kiln_scope_close(&s); }
    kiln_scope_guard(const kiln_scope_guard &) = delete;
    kiln_scope_guard &operator=(const kiln_scope_guard &) = delete;
};
#define KILN_SCOPE(k) kiln_scope_guard KILN_CAT(kiln_scope_, __COUNTER__)((k), KILN_HERE)
#else
#define KILN_SHAPE(...)                                                                                               \
    ((kiln_shape){(int64_t)(sizeof((int64_t[]){0, __VA_ARGS__}) / sizeof(int64_t)) - 1, {0, __VA_ARGS__}})
#define KILN_AXES(...) ((kiln_axes){0, (int)(sizeof((int[]){0, __VA_ARGS__}) / sizeof(int)) - 1, {0, __VA_ARGS__}})
#define KILN_KEEP(...) ((kiln_axes){1, (int)(sizeof((int[]){0, __VA_ARGS__}) / sizeof(int)) - 1, {0, __VA_ARGS__}})
#define KILN_ALL ((kiln_axes){0, -1, {0}})
#define KILN_KEEP_ALL ((kiln_axes){1, -1, {0}})
static inline kiln_operand kiln_of_tensor(kiln_tensor *t) { return (kiln_operand){{.tensor = t}, 1, 0}; }
static inline kiln_operand kiln_of_variable(kiln_variable *v) { return (kiln_operand){{.variable = v}, 2, 0}; }
static inline kiln_operand kiln_of_f(double v) { return (kiln_operand){{.f = v}, 3, 0}; }
static inline kiln_operand kiln_of_i(int64_t v) { return (kiln_operand){{.i = v}, 4, 0}; }
static inline kiln_operand kiln_of_u(uint64_t v) { return (kiln_operand){{.u = v}, 5, 0}; }
static inline kiln_operand kiln_of_bool(bool v) { return (kiln_operand){{.i = v}, 6, 0}; }
static inline kiln_operand kiln_of_operand(kiln_operand v) { return v; }
static inline kiln_operand kiln_of_null(void *v) { return (kiln_operand){{.tensor = (kiln_tensor *)v}, 1, 0}; }
#define KILN_OPERANDS(n, ...) (kiln_operand[n]){__VA_ARGS__}
/* The operand's text stands only once, because nested _Generic would double it at each level; its name is fresh for -Wshadow. */
#define KILN_OPERAND(x) KILN_OPERAND_(x, KILN_CAT(kiln_operand_, __COUNTER__))
#define KILN_OPERAND_(x, v)                                                                                           \
    __extension__({                                                                                                   \
        __auto_type v = (x);                                                                                          \
        _Generic(v, kiln_tensor *: kiln_of_tensor, kiln_variable *: kiln_of_variable, kiln_operand: kiln_of_operand,   \
                 void *: kiln_of_null, float: kiln_of_f, double: kiln_of_f, bool: kiln_of_bool, char: kiln_of_i,       \
                 signed char: kiln_of_i, short: kiln_of_i, int: kiln_of_i, long: kiln_of_i, long long: kiln_of_i,      \
                 unsigned char: kiln_of_u, unsigned short: kiln_of_u, unsigned: kiln_of_u, unsigned long: kiln_of_u,   \
                 unsigned long long: kiln_of_u)(v);                                                                   \
    })
#define KILN_LIST(k, T, D, s, ...)                                                                                    \
    kiln_from_at(KILN_HERE, (k), (D), (s), (T[]){__VA_ARGS__}, (int64_t)(sizeof((T[]){__VA_ARGS__}) / sizeof(T)))
#define kiln_f32(k, s, ...) KILN_LIST(k, float, KILN_F32, s, __VA_ARGS__)
#define kiln_f64(k, s, ...) KILN_LIST(k, double, KILN_F64, s, __VA_ARGS__)
#define kiln_i32(k, s, ...) KILN_LIST(k, int32_t, KILN_I32, s, __VA_ARGS__)
#define kiln_i64(k, s, ...) KILN_LIST(k, int64_t, KILN_I64, s, __VA_ARGS__)
#define kiln_u8(k, s, ...) KILN_LIST(k, uint8_t, KILN_U8, s, __VA_ARGS__)
#define kiln_i8(k, s, ...) KILN_LIST(k, int8_t, KILN_I8, s, __VA_ARGS__)
#define kiln_i16(k, s, ...) KILN_LIST(k, int16_t, KILN_I16, s, __VA_ARGS__)
#define kiln_u16(k, s, ...) KILN_LIST(k, uint16_t, KILN_U16, s, __VA_ARGS__)
#define kiln_u32(k, s, ...) KILN_LIST(k, uint32_t, KILN_U32, s, __VA_ARGS__)
#define kiln_u64(k, s, ...) KILN_LIST(k, uint64_t, KILN_U64, s, __VA_ARGS__)
#define kiln_bool(k, s, ...) KILN_LIST(k, bool, KILN_BOOL, s, __VA_ARGS__)
#define kiln_numbers(k, t, s, ...)                                                                                    \
    kiln_from_doubles_at(KILN_HERE, (k), (t), (s), (double[]){__VA_ARGS__}, \
        (int64_t)(sizeof((double[]){__VA_ARGS__}) / sizeof(double)))
#define KILN_SCOPE(k)                                                                                                  \
    kiln_scope KILN_CAT(kiln_scope_, __COUNTER__) KILN_CLEANUP(kiln_scope_close) = kiln_scope_open_at(KILN_HERE, (k))
#endif

#define KILN_CAT_(a, b) a##b
#define KILN_CAT(a, b) KILN_CAT_(a, b)
#define KILN_COUNT(...) KILN_COUNT_(0, __VA_ARGS__, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)
#define KILN_COUNT_(z, a, b, c, d, e, f, g, h, i, j, n, ...) n
/* The number of arguments up to 4; M for more (up to 64). */
#define KILN_FEW(...) KILN_MANY_(__VA_ARGS__, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, \
    M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, \
    4, 3, 2, 1, 0)
/* L if there are exactly 6, 7 or 8 arguments (a list is one argument), M if more, up to 64 (an array and its count). */
#define KILN_JUST_6(...) KILN_MANY(__VA_ARGS__, KILN_M_50, M, M, M, M, M, M, M, M, L, M, M, M, M, M, 0)
#define KILN_JUST_7(...) KILN_MANY(__VA_ARGS__, KILN_M_50, M, M, M, M, M, M, M, L, M, M, M, M, M, M, 0)
#define KILN_JUST_8(...) KILN_MANY(__VA_ARGS__, KILN_M_50, M, M, M, M, M, M, L, M, M, M, M, M, M, M, 0)
#define KILN_M_50 KILN_M_10, KILN_M_10, KILN_M_10, KILN_M_10, KILN_M_10
#define KILN_M_10 M, M, M, M, M, M, M, M, M, M
#define KILN_MANY(...) KILN_MANY_(__VA_ARGS__)
#define KILN_MANY_(a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19, a20, a21, \
    a22, a23, a24, a25, a26, a27, a28, a29, a30, a31, a32, a33, a34, a35, a36, a37, a38, a39, a40, a41, a42, a43, \
    a44, a45, a46, a47, a48, a49, a50, a51, a52, a53, a54, a55, a56, a57, a58, a59, a60, a61, a62, a63, a64, \
    n, ...) n

/* ---- lists of operands: KILN_IN(x, w, 0.5) lists up to 10 tensors, variables and numbers. kiln_tensors(x, n) and
 * kiln_variables(v, n) pass arrays, which need only last for the call. ---- */
#define KILN_IN(...) KILN_CAT(KILN_IN_, KILN_COUNT(__VA_ARGS__))(__VA_ARGS__)
#define KILN_IN_1(a) kiln_operand_list(KILN_OPERANDS(1, KILN_OPERAND(a)), 1)
#define KILN_IN_2(a, b) kiln_operand_list(KILN_OPERANDS(2, KILN_OPERAND(a), KILN_OPERAND(b)), 2)
#define KILN_IN_3(a, b, c) kiln_operand_list(KILN_OPERANDS(3, KILN_OPERAND(a), KILN_OPERAND(b), KILN_OPERAND(c)), 3)
#define KILN_IN_4(a, b, c, d) kiln_operand_list(KILN_OPERANDS(4, KILN_OPERAND(a), KILN_OPERAND(b), KILN_OPERAND(c), \
    KILN_OPERAND(d)), 4)
#define KILN_IN_5(a, b, c, d, e) kiln_operand_list(KILN_OPERANDS(5, KILN_OPERAND(a), KILN_OPERAND(b), \
    KILN_OPERAND(c), KILN_OPERAND(d), KILN_OPERAND(e)), 5)
#define KILN_IN_6(a, b, c, d, e, f) kiln_operand_list(KILN_OPERANDS(6, KILN_OPERAND(a), KILN_OPERAND(b), \
    KILN_OPERAND(c), KILN_OPERAND(d), KILN_OPERAND(e), KILN_OPERAND(f)), 6)
#define KILN_IN_7(a, b, c, d, e, f, g) kiln_operand_list(KILN_OPERANDS(7, KILN_OPERAND(a), KILN_OPERAND(b), \
    KILN_OPERAND(c), KILN_OPERAND(d), KILN_OPERAND(e), KILN_OPERAND(f), KILN_OPERAND(g)), 7)
#define KILN_IN_8(a, b, c, d, e, f, g, h) kiln_operand_list(KILN_OPERANDS(8, KILN_OPERAND(a), KILN_OPERAND(b), \
    KILN_OPERAND(c), KILN_OPERAND(d), KILN_OPERAND(e), KILN_OPERAND(f), KILN_OPERAND(g), KILN_OPERAND(h)), 8)
#define KILN_IN_9(a, b, c, d, e, f, g, h, i) kiln_operand_list(KILN_OPERANDS(9, KILN_OPERAND(a), KILN_OPERAND(b), \
    KILN_OPERAND(c), KILN_OPERAND(d), KILN_OPERAND(e), KILN_OPERAND(f), KILN_OPERAND(g), KILN_OPERAND(h), \
    KILN_OPERAND(i)), 9)
#define KILN_IN_10(a, b, c, d, e, f, g, h, i, j) kiln_operand_list(KILN_OPERANDS(10, KILN_OPERAND(a), \
    KILN_OPERAND(b), KILN_OPERAND(c), KILN_OPERAND(d), KILN_OPERAND(e), KILN_OPERAND(f), KILN_OPERAND(g), \
    KILN_OPERAND(h), KILN_OPERAND(i), KILN_OPERAND(j)), 10)

/* ---- the same calls with the site filled in (C and C++ alike) ---------------------------------------------------------- */
#define kiln_from(k, t, s, ...) kiln_from_at(KILN_HERE, (k), (t), s, __VA_ARGS__) /* data, count: data may be a compound literal */
#define kiln_from_doubles(k, t, s, ...) kiln_from_doubles_at(KILN_HERE, (k), (t), s, __VA_ARGS__)
#define kiln_borrow(k, t, s, ...) kiln_borrow_at(KILN_HERE, (k), (t), s, __VA_ARGS__) /* data, release, user */
#define kiln_full(k, t, s, v) kiln_full_at(KILN_HERE, (k), (t), (s), KILN_OPERAND(v))
#define kiln_zeros(k, t, s) kiln_full_at(KILN_HERE, (k), (t), (s), KILN_OPERAND(0))
#define kiln_ones(k, t, s) kiln_full_at(KILN_HERE, (k), (t), (s), KILN_OPERAND(1))
#define kiln_scalar(k, t, v) kiln_full_at(KILN_HERE, (k), (t), KILN_SHAPE(), KILN_OPERAND(v))
#define kiln_iota(k, t, s, axis) kiln_iota_at(KILN_HERE, (k), (t), (s), (axis))
#define kiln_read(t, to, bytes) kiln_read_at(KILN_HERE, KILN_OPERAND(t), (to), (bytes))
#define kiln_read_doubles(t, to, count) kiln_read_doubles_at(KILN_HERE, KILN_OPERAND(t), (to), (count))
#define kiln_data(t) kiln_data_at(KILN_HERE, (t))
#define kiln_item(t) kiln_item_at(KILN_HERE, KILN_OPERAND(t))
#define kiln_item_i64(t) kiln_item_i64_at(KILN_HERE, KILN_OPERAND(t))
#define kiln_print(file, t) kiln_print_at(KILN_HERE, (file), KILN_OPERAND(t))
#define kiln_variable_new(...) KILN_CAT(KILN_VARIABLE_, KILN_COUNT(__VA_ARGS__))(__VA_ARGS__)
#define KILN_VARIABLE_3(k, name, init) kiln_variable_new_at(KILN_HERE, (k), (name), KILN_OPERAND(init))
#define KILN_VARIABLE_4(k, name, t, number) kiln_variable_of_at(KILN_HERE, (k), (name), (t), KILN_OPERAND(number))
#define kiln_value(v) kiln_value_at(KILN_HERE, KILN_OPERAND(v))
#define kiln_assign(v, x) kiln_assign_at(KILN_HERE, (v), KILN_OPERAND(x))
#define kiln_assign_add(v, x) kiln_assign_add_at(KILN_HERE, (v), KILN_OPERAND(x))
#define kiln_assign_sub(v, x) kiln_assign_sub_at(KILN_HERE, (v), KILN_OPERAND(x))
#define kiln_local(...) KILN_CAT(KILN_LOCAL_, KILN_COUNT(__VA_ARGS__))(__VA_ARGS__)
#define KILN_LOCAL_2(k, init) kiln_local_at(KILN_HERE, (k), KILN_OPERAND(init))
#define KILN_LOCAL_3(k, t, number) kiln_local_of_at(KILN_HERE, (k), (t), KILN_OPERAND(number))

#endif
