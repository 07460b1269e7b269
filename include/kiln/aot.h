/* aot.h: compiling traced functions ahead of time. The result, NAME.o and NAME.h, needs only libm: no Kiln, no LLVM, no BLAS, no
 * heap. Not part of kiln.h: include <kiln/aot.h> too. Compiles alone as C11 and C++17. */
#ifndef KILN_AOT_H
#define KILN_AOT_H

#include "function.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kiln_aot_options {
    /* Prefix of every name; neither a word of C or C++ nor a name of the C library. NULL: the last part of the path. */
    const char *symbol;
    const char *triple;   /* NULL: this machine's */
    const char *cpu;      /* NULL: this machine's, with its features; "" or "generic": the triple's baseline */
    const char *features;
    int64_t workspace_limit; /* in bytes; exceeding it is an error; 0: no limit */
    /* NULL: code for a CPU. An architecture of NVIDIA cards ("sm_90", any that NVRTC knows): a binary and PTX, run by this machine's
     * libcuda; "sm_90a" is for cards of 9.0 alone, with the bits that functions have on them; "emu": a module of emulated devices. See below. */
    const char *device;
    const char *about; /* lines for the comment at the header's top, such as what the arguments are called elsewhere; NULL: none */
    /* Captured tensors do not lie in the object but in PATH.weights, SYMBOL_WEIGHTS_BYTES of them, which the caller brings into memory (or
     * maps), 64-byte aligned, and hands to SYMBOL(state, const void *weights, in0, ...). For CPUs alone. */
    bool weights_file;
    /* Less code rather than faster code, for CPUs alone: loops are not unrolled, and there is one of each, also for large results and for
     * what lies turned. The bits are the same. */
    bool small;
} kiln_aot_options;

/* Writes PATH.o and PATH.h for f with the inputs that it declares or, if it declares none, with those of its latest call, eager or
 * compiled. The header declares, with the shapes in comments,
 *     int  SYMBOL(void *state, const T *in0, ..., [int64_t n_N, ...] T *out0, ..., void *workspace);
 *     void SYMBOL_init(void *state);                           sets the variables to their values at the time of compiling
 *     int  SYMBOL_needs([int64_t n_N, ...] int64_t *size);     stores the bytes of workspace, then the sizes of the outputs' axes
 * and SYMBOL_WORKSPACE_BYTES, SYMBOL_STATE_BYTES, SYMBOL_ALIGN, and the codes that SYMBOL returns: SYMBOL_OK (0), SYMBOL_ESHAPE (a
 * size is outside its bounds), SYMBOL_EVALUE (an assertion failed, or a loop went on after its bound). The caller owns state and
 * workspace, both 64-byte aligned. Captured tensors become constants in the object. The results have the bits of eager and compiled
 * code on the same CPU (of an engine without .blas). False after an error (KILN_EIO, KILN_EUNSUPPORTED ...); no file is then left half written.
 *
 * With .device the object holds code for a device and needs the NVIDIA driver alone when it runs. The header declares the same
 * functions over the device's memory, and what opens the driver:
 *     int  SYMBOL_open(SYMBOL_device *d, void *driver, int ordinal);    driver: of dlopen; NULL: libcuda.so.1 is opened
 *     int  SYMBOL_open_by(d, symbol, driver, ordinal);                  the driver's functions as symbol(driver, name) finds them
 *     void SYMBOL_close(d);
 *     int  SYMBOL_init(d, void *stream, void *state);
 *     int  SYMBOL(d, void *stream, void *state, const T *in0, ..., void *workspace);
 * The caller owns d, streams and all memory. A call returns once its work is in the stream; state is replaced in the stream's order.
 * Products are Kiln's own, whatever kiln_options.blas says: the object needs libcuda alone.
 * One more code: SYMBOL_EDEVICE, of which d->error says what the driver refused. A print shows nothing, as in all objects. */
KILN_API bool kiln_aot_sized(kiln_site at, kiln_function *f, const char *path, const kiln_aot_options *options, size_t size);
#define kiln_aot(f, path, ...) kiln_aot_sized(KILN_HERE, (f), (path), __VA_ARGS__, sizeof(kiln_aot_options))

/* The driver of emulated devices, for SYMBOL_open_by of objects made with .device = "emu":
 * SYMBOL_open_by(&d, kiln_emulated_driver, NULL, 0) opens emu:0. Finds a function by its name in libcuda; NULL: there is none. */
KILN_API void *kiln_emulated_driver(void *unused, const char *symbol);

/* The same for a module in text form (docs/ir.md), as KILN_DUMP=ir writes it: compiles its first graph, whose parameters all become
 * arguments. Without .symbol, names begin with the graph's name if the path's last part is no C identifier. Malformed text gives
 * KILN_EFORMAT with line and column. */
KILN_API bool kiln_aot_text_sized(kiln_site at, kiln *k, const char *text, size_t len, const char *path,
    const kiln_aot_options *options, size_t size);
#define kiln_aot_text(k, text, len, path, ...) \
    kiln_aot_text_sized(KILN_HERE, (k), (text), (len), (path), __VA_ARGS__, sizeof(kiln_aot_options))

/* Compiles a module in text form (an engine of .compile = KILN_NEVER interprets it) and runs its first graph once, on inputs for
 * every parameter in order. Stores at most cap results
 * in out; returns how many the graph has, or -1 after an error. A graph with print, assert or callback is KILN_EUNSUPPORTED,
 * because what they do is recorded only in the program that traced it. */
KILN_API int kiln_run_text_at(kiln_site at, kiln *k, const char *text, size_t len, kiln_operands in, kiln_tensor **out, int cap);
#define kiln_run_text(k, text, len, in, out, cap) kiln_run_text_at(KILN_HERE, (k), (text), (len), in, (out), (cap))
/* The same with values for dims that no input has as a size: kiln_run_text_with(k, text, len, in, out, cap,
 * &(kiln_run_options){.dims = d, .dims_count = 1}). A dim without a value, or with one outside its bounds, is KILN_ESHAPE. */
typedef struct kiln_run_dim { const char *name; int64_t size; } kiln_run_dim;
typedef struct kiln_run_options {
    const kiln_run_dim *dims;
    int dims_count;
} kiln_run_options;
KILN_API int kiln_run_text_sized(kiln_site at, kiln *k, const char *text, size_t len, kiln_operands in, kiln_tensor **out, int cap,
                                 const kiln_run_options *options, size_t size);
#define kiln_run_text_with(k, text, len, in, out, cap, ...) \
    kiln_run_text_sized(KILN_HERE, (k), (text), (len), in, (out), (cap), __VA_ARGS__, sizeof(kiln_run_options))

#ifdef __cplusplus
}
#endif

#endif
