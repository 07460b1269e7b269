/* cpu: the LLVM backend's row of the backend table: what it offers, and the two symbols that its module exports. Relies on object,
 * jit. */
#include "cpu.h"

#include <stdio.h>

#include "kiln_config.h"

#define EXPORT __attribute__((visibility("default")))

static bool target(const void *there, Target *t, Status *st)
{
    (void)there;
    Machine m = {0};
    if (!machine_init(&m, NULL, st)) return false;
    *t = cpu_target(m.vector_bytes, m.fma);
    machine_free(&m);
    return true;
}

static bool object(const Program *p, const CompileOptions *o, const char *symbol, const char *sizes, const ObjectData *data,
    int ndata, ObjectSink *sink, void *user, Status *st)
{
    Machine m = {0};
    if (!machine_init(&m, o, st)) return false;
    const ObjectParts parts = {.symbol = symbol, .sizes = sizes, .data = data, .ndata = ndata};
    LLVMMemoryBufferRef b = object_emit(p, o, &m, &parts, st);
    machine_free(&m);
    if (!b) return false;
    sink(user, LLVMGetBufferStart(b), LLVMGetBufferSize(b));
    LLVMDisposeMemoryBuffer(b);
    return true;
}

static void describe(char *buf, size_t cap)
{
    unsigned major, minor, patch;
    Machine m = {0};
    Status st = {0};
    LLVMGetVersion(&major, &minor, &patch);
    if (!machine_init(&m, NULL, &st)) {
        snprintf(buf, cap, "LLVM %u.%u.%u, %s", major, minor, patch, st.text);
        return;
    }
    snprintf(buf, cap, "LLVM %u.%u.%u, %s, %u-byte vectors%s%s", major, minor, patch, m.cpu, m.vector_bytes, m.fma ? ", fma" : "",
        m.f16c ? ", f16c" : "");
    machine_free(&m);
}

/* codegen/module.c compares this before it uses anything else of the module. */
extern EXPORT const char kiln_llvm_mark[];
const char kiln_llvm_mark[] = KILN_CONFIG_MARK;

EXPORT const Backend *kiln_llvm_backend(void);
const Backend *kiln_llvm_backend(void)
{
    static const Backend backend = {
        .name = "cpu",
        .target = target,
        .compile = jit_compile,
        .entry = jit_entry,
        .sizes = jit_sizes,
        .code_bytes = jit_code_bytes,
        .release = jit_release,
        .object = object,
        .describe = describe,
    };
    return &backend;
}
