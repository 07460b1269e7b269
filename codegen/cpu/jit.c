/* jit: runs code on CPUs for which codegen/native lays out no objects. One LLJIT links objects of object.c into this process; they
 * reach libm and memcpy through a fixed list of names, and nothing else. Each program has a resource tracker, through which its
 * code is freed. Threads may compile at the same time: only linking is locked. Relies on object. Never sees kernels. */
#include "../imports.h"
#include "cpu.h"

#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>

#include <pthread.h>
#include <stdio.h>

struct Compiled {
    EntryFn *entry;
    SizesFn *sizes;
    size_t bytes;
    LLVMOrcResourceTrackerRef tracker;
};

typedef struct Jit {
    LLVMOrcLLJITRef jit;
    uint64_t count; /* counts the symbols made so far, whose names must differ */
} Jit;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Jit the; /* lives until the process ends: code may outlast any engine */

static bool failed(LLVMErrorRef e, const char *what, Status *st)
{
    if (!e) return false;
    char *text = LLVMGetErrorMessage(e);
    status_fail(st, ST_INTERNAL, "llvm: %s: %.300s", what, text);
    LLVMDisposeErrorMessage(text);
    return true;
}

static LLVMOrcCSymbolMapPair symbol(const char *name, void *address)
{
    LLVMJITSymbolFlags flags = {LLVMJITSymbolGenericFlagsExported | LLVMJITSymbolGenericFlagsCallable, 0};
    LLVMOrcCSymbolMapPair p = {LLVMOrcLLJITMangleAndIntern(the.jit, name), {(LLVMOrcExecutorAddress)(uintptr_t)address, flags}};
    return p;
}

static bool define_symbols(LLVMOrcJITDylibRef lib, Status *st)
{
    const uint32_t count = import_count();
    uint32_t n = 0;
    LLVMOrcCSymbolMapPair *all = mem_zeros(count, sizeof *all);
    if (!all) return status_fail(st, ST_MEMORY, "llvm: no memory for the symbols of libm");
    for (uint32_t i = 0; i < count; i++)
        if (import_address(i)) all[n++] = symbol(import_name(i), import_address(i));
    bool ok = !failed(LLVMOrcJITDylibDefine(lib, LLVMOrcAbsoluteSymbols(all, n)), "defining the symbols of libm", st);
    mem_free(all, count * sizeof *all);
    return ok;
}

static bool start(Status *st)
{
    if (the.jit) return true;
    if (failed(LLVMOrcCreateLLJIT(&the.jit, NULL), "creating the just-in-time linker", st)) {
        the.jit = NULL;
        return false;
    }
    if (define_symbols(LLVMOrcLLJITGetMainJITDylib(the.jit), st)) return true;
    LLVMErrorRef e = LLVMOrcDisposeLLJIT(the.jit);
    if (e) LLVMConsumeError(e);
    the.jit = NULL;
    return false;
}

/* Takes ownership of the object. */
static bool link_object(Compiled *c, LLVMMemoryBufferRef object, const ObjectParts *parts, Status *st)
{
    LLVMOrcExecutorAddress at = 0, sizes = 0;
    pthread_mutex_lock(&lock);
    c->tracker = LLVMOrcJITDylibCreateResourceTracker(LLVMOrcLLJITGetMainJITDylib(the.jit));
    bool ok = !failed(LLVMOrcLLJITAddObjectFileWithRT(the.jit, c->tracker, object), "linking", st) &&
              !failed(LLVMOrcLLJITLookup(the.jit, &at, parts->symbol), "linking", st) &&
              (!parts->sizes || !failed(LLVMOrcLLJITLookup(the.jit, &sizes, parts->sizes), "linking", st));
    pthread_mutex_unlock(&lock);
    c->entry = (EntryFn *)(uintptr_t)at;
    c->sizes = (SizesFn *)(uintptr_t)sizes;
    return ok;
}

Compiled *jit_compile(const Program *p, const CompileOptions *o, Status *st)
{
    Machine m = {0};
    char name[48], sizes[48];
    const ObjectParts parts = {.symbol = name, .sizes = p->symbol.len ? sizes : NULL};
    Compiled *c = mem_zeros(1, sizeof *c);
    if (!c) return status_fail(st, ST_MEMORY, "llvm: no memory for a program"), NULL;
    LLVMMemoryBufferRef object = NULL;
    if (machine_init(&m, NULL, st)) {
        pthread_mutex_lock(&lock);
        bool ok = start(st);
        snprintf(name, sizeof name, "kiln_entry_%llu", (unsigned long long)the.count);
        snprintf(sizes, sizeof sizes, "kiln_sizes_%llu", (unsigned long long)the.count++);
        pthread_mutex_unlock(&lock);
        if (ok) object = object_emit(p, o, &m, &parts, st);
        machine_free(&m);
    }
    if (object) c->bytes = LLVMGetBufferSize(object);
    if (object && link_object(c, object, &parts, st)) return c;
    jit_release(c);
    return NULL;
}

EntryFn *jit_entry(const Compiled *c) { return c->entry; }
SizesFn *jit_sizes(const Compiled *c) { return c->sizes; }
size_t jit_code_bytes(const Compiled *c) { return c->bytes; }

void jit_release(Compiled *c)
{
    if (!c) return;
    if (c->tracker) {
        pthread_mutex_lock(&lock);
        LLVMErrorRef e = LLVMOrcResourceTrackerRemove(c->tracker);
        if (e) LLVMConsumeError(e);
        LLVMOrcReleaseResourceTracker(c->tracker);
        pthread_mutex_unlock(&lock);
    }
    mem_free(c, sizeof *c);
}
