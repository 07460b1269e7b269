/* backend: what a code generator offers, behind one narrow struct; backends.c lists them, one line each. Absent is NULL. */
#ifndef KILN_CODEGEN_BACKEND_H
#define KILN_CODEGEN_BACKEND_H

#include <stdatomic.h>

#include "program.h"

typedef struct Compiled Compiled; /* the backend's own; immutable and re-entrant once made */

typedef struct LaunchCounts { /* of a device whose driver has graphs */
    atomic_uint_fast64_t recorded, replayed;
} LaunchCounts;

/* What a stage produced, for KILN_DUMP: stage is "llvm", "asm", "cuda", "ptx". */
typedef void DumpFn(void *user, const char *stage, const char *name, const char *text, size_t len);

typedef struct CompileOptions {
    const void *there; /* the device that the code is for, as its row says (Device.there); NULL: one that the backend chooses */
    DumpFn *dump;      /* NULL: nobody asked */
    void *dump_user;
    const char *want;                    /* comma-separated stages that dump wants */
    const char *triple, *cpu, *features; /* objects for elsewhere; NULL: this machine */
    struct CodeStore *store;             /* of compiled code, where the backend looks first (store.h); NULL: none */
    bool host_products;                  /* as in LowerOptions: it is part of what code is kept under */
    struct ThreadPool *threads;          /* that may help to compile; NULL: none */
    bool *from_store;                    /* NULL, or becomes true if the code was there */
    bool alone;                          /* of a single op: where others are recorded as graphs, it is launched kernel by kernel */
    bool marks;                          /* the code says which step it is in (KilnHost.mark), and then always needs a host */
} CompileOptions;

typedef struct ObjectData { /* bytes that an object carries under a symbol of their own, aligned to 64; 0 bytes: none */
    const char *symbol;
    const void *bytes;
    size_t len;
    bool held; /* of a device's object: it lies in the device's memory, too, as long as the object is open */
} ObjectData;

typedef struct DeviceObject {
    int64_t room;    /* bytes that the caller keeps for it */
    int64_t meeting; /* bytes of the device's memory before the workspace of a call */
    bool ptx;        /* beside an image there is PTX, for devices that the image does not suit */
} DeviceObject;

typedef void ObjectSink(void *user, const void *bytes, size_t len); /* bytes are valid during the call */

typedef struct Backend {
    const char *name;
    /* Facts of what it compiles for, `there` as in CompileOptions; false and st if this machine lacks what it needs. */
    bool (*target)(const void *there, Target *t, Status *st);
    Compiled *(*compile)(const Program *p, const CompileOptions *o, Status *st);
    /* NULL: the backend has no code that this process can call; its devices launch what was compiled (Device.launch), and the
     * program must still be there then. */
    EntryFn *(*entry)(const Compiled *c);
    /* NULL where the program has no symbols, and all sizes are constants, or where the backend has no code for it
     * (program_measure). */
    SizesFn *(*sizes)(const Compiled *c);
    /* A launch is one request, whatever the steps compute on the way: nobody waits for it. NULL: none is. */
    bool (*at_once)(const Compiled *c);
    size_t (*code_bytes)(const Compiled *c);
    void (*release)(Compiled *c);
    /* A relocatable object whose public symbols are `symbol`, with the entry ABI of program.h, `sizes` (NULL: none) and the data's;
     * handed to sink, which may copy or write it. NULL: not offered. */
    bool (*object)(const Program *p, const CompileOptions *o, const char *symbol, const char *sizes, const ObjectData *data,
        int ndata, ObjectSink *sink, void *user, Status *st);
    /* The same for a device (`there`), where entry and sizes are those of codegen/walk.h under names that begin with `prefix`;
     * before it hands the object to sink it says what the header must tell. NULL: not offered. */
    bool (*device_object)(const Program *p, const CompileOptions *o, const char *prefix, const ObjectData *data, int ndata,
        DeviceObject *is, ObjectSink *sink, void *user, Status *st);
    int64_t (*meeting)(const Program *p); /* DeviceObject.meeting */
    /* One of the stages of its row, of a program that was lowered for what `assumed` says of a device; needs none. Both NULL:
     * compile dumps the stages as it goes. What is appended is complete unless false came back. */
    void (*assumed)(Target *t);
    bool (*print)(const char *stage, const Program *p, Text *out, Status *st);
    /* One line on itself for `kiln info`. */
    void (*describe)(char *buf, size_t cap);
} Backend;

/* What is so of the CPU, for the library, which lowers, and for the module, which compiles. */
static inline Target cpu_target(uint32_t vector_bytes, bool fma)
{
    return (Target){.name = "cpu",
        .vector_bytes = vector_bytes,
        .row_cache_bytes = 16 << 10,
        .fma = fma,
        .threads = true,
        .digits = true,
        .panel_bytes = vector_bytes >= 32 ? 128 : 0,
        .turns = true,
        .past = true};
}

/* The rows of backends.c, in order; NULL beyond the last. Nothing is loaded. */
typedef struct BackendRow {
    const char *name, *title, *key; /* as devices name it, as `kiln info` does, and in its JSON */
    const char *stage[3];           /* of KILN_DUMP; NULL ends them */
} BackendRow;
const BackendRow *backend_row(uint32_t i);
/* The backend by name; NULL and st if there is none. What it needs from outside it loads at the first compile. */
const Backend *backend_get(const char *name, Status *st);
typedef const Backend *BackendExport(void);

#endif
