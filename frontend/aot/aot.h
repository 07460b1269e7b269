/* artifact: what ahead-of-time compiling writes: an object and its header. aot.c makes one from a traced function, the `kiln
 * compile` command from IR text. */
#ifndef KILN_FRONTEND_AOT_H
#define KILN_FRONTEND_AOT_H

#include <kiln/aot.h>

#include "../../codegen/devices.h"
#include "../function/function.h"

typedef enum PlaceKind { PLACE_ARGUMENT, PLACE_STATE, PLACE_CONSTANT } PlaceKind;

typedef struct Place { /* where one input of the entry comes from */
    PlaceKind kind;
    const char *name;   /* of the argument or variable; for comments */
    int64_t offset;     /* STATE, CONSTANT: the offset in its block, set by artifact_write */
    kiln_tensor *value; /* STATE, CONSTANT: the value at the time of compiling */
    bool unread;        /* CONSTANT: nothing reads it any more, so it takes no room */
} Place;

typedef struct Artifact {
    Module *module; /* traced; run through the pipeline by artifact_write */
    Arena *arena;   /* the module's */
    Thread *t;      /* the thread that records failures to write */
    kiln_site at;
    uint8_t sums;     /* ProductSums */
    const char *name; /* what it was, for the header's comment */
    Place *input;     /* per parameter of the entry graph */
    uint32_t noutput; /* the number of outputs; the results behind them are new values of state */
    const Dim *count; /* the last `ncount` outputs are the sizes, i64[], that nodes count and other outputs have: these symbols */
    uint32_t ncount;
    const char *about; /* lines for the header's comment; NULL: none */
    bool weights;      /* constants lie in a file of their own */
    uint32_t *changed; /* for each of those results: the input (a STATE) that it replaces */
} Artifact;

/* A module from outside: parsed, verified, of ops that traces make, with a first graph. NULL: st (aot_text.c). The arena's border
 * must be set. */
Module *text_module(Arena *arena, const char *text, size_t len, Status *st);
/* The dims that are given can have no other value from here on. False: st: there is none of that name, or that is none of its
 * values, as a second one never is; `called` begins the text. */
bool text_dims(Module *m, const char *called, const kiln_run_options *o, Status *st);
/* Compiles the first graph of such a module and hands its instance, with inputs that fit, to `use`, which gives its results or
 * leaves those alone. Returns how many there are, at most cap of which are stored in out; -1: recorded (run_text.c). */
typedef bool TextUse(
    Thread *t, kiln_site at, kiln_function *f, Instance *inst, kiln_tensor *const *in, kiln_tensor **result, void *user);
int text_use(kiln_site at, kiln *k, const char *called, const char *text, size_t len, kiln_operands in, const kiln_run_options *o,
    TextUse *use, void *user, kiln_tensor **out, int cap);
/* Compiles and writes PATH.o and PATH.h, both or neither. The arena's border must be set. */
bool artifact_write(Artifact *a, const char *path, const kiln_aot_options *o, Status *st);
/* The prefix of every name in both (artifact_name.c). */
bool artifact_symbol(const char *path, const kiln_aot_options *o, char *symbol, size_t cap, Status *st);
/* The header's text (artifact_header.c). */
void artifact_header(
    Text *out, const Artifact *a, const Program *p, const char *symbol, int64_t state_bytes, int64_t constant_bytes);
/* The same for a device: what runs it is the caller's libcuda (artifact_device.c). */
void artifact_device_header(Text *out, const Artifact *a, const Program *p, const char *symbol, int64_t state_bytes,
    int64_t constant_bytes, const char *device, const DeviceObject *is);
/* Parts that both headers have. */
void artifact_upper(const char *symbol, char *out, size_t cap);
void artifact_codes(Text *out, const char *big, bool device);
void artifact_prototype(Text *out, const Artifact *a, const Program *p, const char *begin);
void artifact_symbols(Text *out, const Program *p, const char *between);
void artifact_bounds(Text *out, const Program *p, const char *symbol);
/* The array of inputs and results, whose constants and workspace are at these addresses. */
void artifact_buffers(Text *out, const Artifact *a, const Program *p, const char *constants, const char *workspace);
int64_t artifact_new_state(const Program *p, uint32_t noutput, uint32_t i);
/* Bytes that the caller provides: the program's own, and new state until the call has succeeded. */
int64_t artifact_workspace(const Program *p, uint32_t noutput);
#define ARTIFACT_ALIGN 64
/* artifact_dims: bytes at the beginning of a device's workspace, for sizes that kernels read. */
static inline int64_t artifact_align(int64_t n) { return (n + ARTIFACT_ALIGN - 1) / ARTIFACT_ALIGN * ARTIFACT_ALIGN; }
static inline int64_t artifact_dims(const Program *p) { return artifact_align((int64_t)(p->dim.len * sizeof(int64_t))); }

#endif
