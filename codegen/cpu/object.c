/* object: makes bytes of a program: it decides what machine the code is for, makes the module and runs LLVM's code generator at its
 * default level, without IR passes before it, since kernels are vector code already. The same program gives the same bytes. Relies
 * on emit_entry. Never runs code. */
#include "cpu.h"

#include <llvm-c/Analysis.h>
#include <llvm-c/Transforms/PassBuilder.h>

#include <pthread.h>
#include <stdio.h>

/* ---- the machine ----------------------------------------------------------------------------- */

static bool has(const char *features, const char *name)
{
    size_t n = strlen(name);
    for (const char *at = features; (at = strstr(at, name)); at += n)
        if ((at == features || at[-1] == ',') && (at[n] == ',' || !at[n])) return true;
    return false;
}

/* A named CPU brings its own features; only those that decide what we emit are looked for. */
static bool cpu_implies(const char *cpu, int level)
{
    static const char *const names[] = {"x86-64-v4", "skylake-avx512", "icelake-server", "sapphirerapids", "znver4", "x86-64-v3",
        "haswell", "broadwell", "skylake", "alderlake", "znver1", "znver2", "znver3"};
    for (size_t i = 0; i < (level == 4 ? 5 : COUNT_OF(names)); i++)
        if (strcmp(cpu, names[i]) == 0) return true;
    return false;
}

static void facts(Machine *m, bool native)
{
    bool x86 = strncmp(m->triple, "x86_64", 6) == 0 || strncmp(m->triple, "i", 1) == 0;
    bool v3 = x86 && !native && cpu_implies(m->cpu, 3);
    bool avx2 = v3 || has(m->features, "+avx2"), fma = v3 || has(m->features, "+fma");
    bool v4 = (x86 && !native && cpu_implies(m->cpu, 4)) || (has(m->features, "+avx512f") && has(m->features, "+avx512vl") &&
                                                                has(m->features, "+avx512bw") && has(m->features, "+avx512dq"));
    m->vector_bytes = avx2 ? 32 : 16;
    m->tile_bytes = v4 && avx2 ? 64 : m->vector_bytes;
    m->registers = v4 || strncmp(m->triple, "aarch64", 7) == 0 ? 32 : 16;
    m->fma = x86 ? avx2 && fma : strncmp(m->triple, "aarch64", 7) == 0;
    m->f16c = v3 || has(m->features, "+f16c") || strncmp(m->triple, "aarch64", 7) == 0;
    m->masked = avx2;
    m->scale = v4;
    m->past = x86;
}

/* For a CPU that it has never heard of, LLVM assumes nothing, not even the 64-bit mode of the triple, and then ends the process. */
static char *named_features(const char *triple, const char *features)
{
    char both[1024];
    bool x86 = triple && strncmp(triple, "x86_64", 6) == 0;
    int n = snprintf(
        both, sizeof both, "%s%s%s", x86 ? "+64bit,+sse2" : "", x86 && features && *features ? "," : "", features ? features : "");
    return n < (int)sizeof both ? LLVMCreateMessage(both) : NULL;
}

static bool described(Machine *m, bool native, Status *st)
{
    if (!m->triple || !m->cpu || !m->features) {
        machine_free(m);
        return status_fail(st, ST_MEMORY, "llvm: no memory for the machine's description");
    }
    facts(m, native);
    return true;
}

/* Asking the CPU for its features takes as long as compiling a small kernel where a hypervisor answers, so it is asked once. */
static bool native_machine(Machine *m, Status *st)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static Machine kept;
    pthread_mutex_lock(&lock);
    if (!kept.triple) {
        kept = (Machine){.native = true,
            .triple = LLVMGetDefaultTargetTriple(),
            .cpu = LLVMGetHostCPUName(),
            .features = LLVMGetHostCPUFeatures()};
        described(&kept, true, st);
    }
    *m = kept;
    pthread_mutex_unlock(&lock);
    return m->triple;
}

bool machine_init(Machine *m, const CompileOptions *o, Status *st)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    const char *triple = o ? o->triple : NULL, *cpu = o ? o->cpu : NULL, *features = o ? o->features : NULL;
    if (cpu && !triple && strcmp(cpu, "native") == 0) cpu = NULL;
    pthread_once(&once, targets_start);
    if (!triple && !cpu && !features) return native_machine(m, st);
    m->triple = triple ? LLVMNormalizeTargetTriple(triple) : LLVMGetDefaultTargetTriple();
    m->cpu = LLVMCreateMessage(cpu ? cpu : "generic");
    m->features = named_features(m->triple, features);
    if (!described(m, false, st)) return false;
    if (machine_known(m, st)) return true;
    machine_free(m);
    return false;
}

void machine_free(Machine *m)
{
    char *all[] = {m->triple, m->cpu, m->features};
    if (m->native) return;
    for (size_t i = 0; i < COUNT_OF(all); i++)
        if (all[i]) LLVMDisposeMessage(all[i]);
    *m = (Machine){0};
}

LLVMTargetMachineRef machine_target(const Machine *m, Status *st)
{
    LLVMTargetRef t;
    char *why = NULL;
    if (LLVMGetTargetFromTriple(m->triple, &t, &why)) {
        status_fail(st, ST_UNSUPPORTED, "llvm: there is no target %s: %s", m->triple, why);
        LLVMDisposeMessage(why);
        return NULL;
    }
    LLVMTargetMachineRef tm =
        LLVMCreateTargetMachine(t, m->triple, m->cpu, m->features, LLVMCodeGenLevelDefault, LLVMRelocPIC, LLVMCodeModelDefault);
    if (!tm) status_fail(st, ST_UNSUPPORTED, "llvm: cannot make code for %s (%s)", m->triple, m->cpu);
    return tm;
}

/* Target machines of this machine that no thread uses now. Each knows what it found out about the CPU's instructions. */
static pthread_mutex_t idle_lock = PTHREAD_MUTEX_INITIALIZER;
static LLVMTargetMachineRef idle[8];
static uint32_t nidle;

static LLVMTargetMachineRef borrow_target(const Machine *m, Status *st)
{
    LLVMTargetMachineRef tm = NULL;
    pthread_mutex_lock(&idle_lock);
    if (m->native && nidle != 0) tm = idle[--nidle];
    pthread_mutex_unlock(&idle_lock);
    return tm ? tm : machine_target(m, st);
}

static void return_target(const Machine *m, LLVMTargetMachineRef tm)
{
    pthread_mutex_lock(&idle_lock);
    bool keep = m->native && nidle < COUNT_OF(idle);
    if (keep) idle[nidle++] = tm;
    pthread_mutex_unlock(&idle_lock);
    if (!keep) LLVMDisposeTargetMachine(tm);
}

/* ---- the module ------------------------------------------------------------------------------ */

static void gen_init(Gen *g, LLVMContextRef ctx)
{
    g->ctx = ctx;
    g->module = LLVMModuleCreateWithNameInContext("kiln", ctx);
    g->b = LLVMCreateBuilderInContext(ctx);
    g->top = LLVMCreateBuilderInContext(ctx);
    g->i1 = LLVMInt1TypeInContext(ctx);
    g->i8 = LLVMInt8TypeInContext(ctx);
    g->i16 = LLVMInt16TypeInContext(ctx);
    g->i32 = LLVMInt32TypeInContext(ctx);
    g->i64 = LLVMInt64TypeInContext(ctx);
    g->half = LLVMHalfTypeInContext(ctx);
    g->f32 = LLVMFloatTypeInContext(ctx);
    g->f64 = LLVMDoubleTypeInContext(ctx);
    g->ptr = LLVMPointerTypeInContext(ctx, 0);
    g->nothing = LLVMVoidTypeInContext(ctx);
    LLVMTypeRef params[6] = {g->ptr, g->ptr, g->i64, g->i64, g->i64, g->i64};
    g->kernel_type = LLVMFunctionType(g->nothing, params, 4, false);
    g->rows_type = LLVMFunctionType(g->nothing, params, 6, false);
}

static bool wants(const CompileOptions *o, const char *stage) { return o && o->dump && o->want && has(o->want, stage); }

static void dump_llvm(const Gen *g, const CompileOptions *o)
{
    if (!wants(o, "llvm")) return;
    char *text = LLVMPrintModuleToString(g->module);
    o->dump(o->dump_user, "llvm", g->p->name, text, strlen(text));
    LLVMDisposeMessage(text);
}

/* Uses a copy, because code generation rewrites the module. */
static void dump_asm(const Gen *g, const CompileOptions *o, LLVMTargetMachineRef tm)
{
    LLVMMemoryBufferRef text;
    char *why = NULL;
    if (!wants(o, "asm")) return;
    LLVMModuleRef copy = LLVMCloneModule(g->module);
    if (LLVMTargetMachineEmitToMemoryBuffer(tm, copy, LLVMAssemblyFile, &why, &text)) {
        LLVMDisposeMessage(why);
    } else {
        o->dump(o->dump_user, "asm", g->p->name, LLVMGetBufferStart(text), LLVMGetBufferSize(text));
        LLVMDisposeMemoryBuffer(text);
    }
    LLVMDisposeModule(copy);
}

static bool verified(const Gen *g)
{
    char *why = NULL;
#ifndef KILN_DEBUG
    if (!getenv("KILN_VERIFY")) return true;
#endif
    bool bad = LLVMVerifyModule(g->module, LLVMReturnStatusAction, &why);
    if (bad) status_fail(g->st, ST_INTERNAL, "llvm: the generated module is invalid: %.300s", why);
    LLVMDisposeMessage(why);
    return !bad;
}

typedef struct Job {
    Gen g;
    const CompileOptions *o;
    const ObjectParts *parts;
    LLVMTargetMachineRef tm;
    LLVMMemoryBufferRef out;
} Job;

static void diagnose(LLVMDiagnosticInfoRef info, void *user)
{
    if (LLVMGetDiagInfoSeverity(info) != LLVMDSError) return;
    char *text = LLVMGetDiagInfoDescription(info);
    status_fail(user, ST_INTERNAL, "llvm: %.300s", text);
    LLVMDisposeMessage(text);
}

static void add_data(const Gen *g, const ObjectData *d)
{
    if (d->len == 0) return;
    LLVMValueRef bytes = LLVMConstStringInContext2(g->ctx, d->bytes, d->len, true);
    LLVMValueRef v = LLVMAddGlobal(g->module, LLVMTypeOf(bytes), d->symbol);
    LLVMSetInitializer(v, bytes);
    LLVMSetGlobalConstant(v, true);
    LLVMSetAlignment(v, 64);
}

/* Prepares loops over small values: their kernels are inlined, their values become registers, and what no turn changes leaves the
 * loop. None of these passes trades one rounding for another. */
static bool tighten(Job *j)
{
    static const char passes[] =
        "always-inline,globaldce,function(sroa,early-cse<memssa>,simplifycfg,instcombine<no-verify-fixpoint>,"
        "loop-mssa(loop-rotate,licm),sroa,early-cse<memssa>,simplifycfg)";
    if (!j->g.flow) return true;
    LLVMPassBuilderOptionsRef o = LLVMCreatePassBuilderOptions();
    LLVMErrorRef e = LLVMRunPasses(j->g.module, passes, j->tm, o);
    LLVMDisposePassBuilderOptions(o);
    if (!e) return true;
    char *why = LLVMGetErrorMessage(e);
    status_fail(j->g.st, ST_INTERNAL, "llvm: %.300s", why);
    LLVMDisposeErrorMessage(why);
    return false;
}

static void work(void *arg)
{
    Job *j = arg;
    Gen *g = &j->g;
    char *why = NULL;
    g->kernel_fn = ARENA_ARRAY(g->arena, LLVMValueRef, g->p->kernel.len + 1);
    g->rows_fn = ARENA_ARRAY(g->arena, LLVMValueRef, 2 * (size_t)g->p->kernel.len + 1);
    if (!emit_entry(g, j->parts->symbol)) return;
    if (j->parts->sizes && !emit_sizes(g, j->parts->sizes)) return;
    for (int i = 0; i < j->parts->ndata; i++) add_data(g, &j->parts->data[i]);
    if (!verified(g) || !tighten(j)) return;
    dump_llvm(g, j->o);
    dump_asm(g, j->o, j->tm);
    if (!LLVMTargetMachineEmitToMemoryBuffer(j->tm, g->module, LLVMObjectFile, &why, &j->out)) return;
    status_fail(g->st, ST_INTERNAL, "llvm: %.300s", why);
    LLVMDisposeMessage(why);
}

LLVMMemoryBufferRef object_emit(const Program *p, const CompileOptions *o, const Machine *m, const ObjectParts *parts, Status *st)
{
    Arena arena;
    Status mine = {0};
    Job j = {.g = {.arena = &arena, .machine = m, .p = p, .marks = o && o->marks, .st = &mine},
        .o = o,
        .parts = parts,
        .tm = borrow_target(m, st)};
    if (!j.tm) return NULL;
    arena_init(&arena);
    LLVMContextRef ctx = LLVMContextCreate();
    LLVMContextSetDiagnosticHandler(ctx, diagnose, &mine);
    gen_init(&j.g, ctx);
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(j.tm);
    LLVMSetModuleDataLayout(j.g.module, layout);
    LLVMSetTarget(j.g.module, m->triple);
    arena_try(&arena, &mine, work, &j);
    LLVMDisposeTargetData(layout);
    LLVMDisposeBuilder(j.g.b);
    LLVMDisposeBuilder(j.g.top);
    LLVMDisposeModule(j.g.module);
    return_target(m, j.tm);
    LLVMContextDispose(ctx);
    arena_free(&arena);
    if (mine.code == ST_OK) return j.out;
    if (j.out) LLVMDisposeMemoryBuffer(j.out);
    status_fail(st, mine.code, "%s", mine.text);
    return NULL;
}
