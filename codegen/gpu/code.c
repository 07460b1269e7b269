/* code: what single ops were compiled to, kept per device by key (lower_op.h) and shared by all threads. One thread compiles what
 * several want; they wait for it. What was not asked for longest goes when all takes too many bytes. Relies on parts.h. */
#include "../../passes/pass.h"
#include "parts.h"

size_t code_most = (size_t)64 << 20;

/* ---- making ------------------------------------------------------------------------------------ */

typedef struct Making {
    Gpu *g;
    OpCode *code;
    const OpKey *key;
    bool passes, ok;
    struct CodeStore *store;
    Arena scratch;
    Module *module;
    Status *st;
} Making;

static void target_of(const Making *m, Target *t)
{
    cuda_target(t);
    if (m->g->own.driver->together == 0) t->shared_row = 0;
    t->sums = m->key->sums;
    t->blas = m->key->blas;
}

static void run_passes(void *arg)
{
    Making *m = arg;
    Target target;
    target_of(m, &target);
    PassCtx ctx = {.scratch = &m->scratch, .target = &target, .st = m->st, .stop_after = -1};
    m->ok = pipeline_run(&ctx, m->module);
}

static const Program *lower_passed(Making *m)
{
    Arena *arena = &m->code->arena;
    LowerOptions o = {0};
    target_of(m, &o.target);
    if (!(m->module = op_module(arena, m->code->word, m->st))) return NULL;
    arena_init(&m->scratch);
    const bool ok = arena_try(&m->scratch, m->st, run_passes, m) && m->ok;
    arena_free(&m->scratch);
    return ok ? program_lower(arena, m->module, &o, m->st) : NULL;
}

/* The program's symbols are those of the key's values, which were made first and in their order; passes may have dropped some. */
static void find_values(OpCode *code)
{
    const DimTable *t = &code->program->module->dims;
    code->value = ARENA_ARRAY(&code->arena, uint32_t, code->program->symbol.len + 1);
    for (uint32_t i = 0; i < code->program->symbol.len; i++)
        for (uint32_t k = 0; - 1 - (Dim)k > code->program->symbol.at[i]; k++) code->value[i] += t->expr.at[k].kind == DIM_SYMBOL;
}

static void make_program(void *arg)
{
    Making *m = arg;
    OpCode *code = m->code;
    Target target;
    target_of(m, &target);
    code->program = m->passes ? lower_passed(m) : op_program(&code->arena, code->word, &target, m->st);
    if (code->program) find_values(code);
}

static bool compile(Making *m)
{
    const CompileOptions o = {.there = m->g->row.there, .store = m->store, .alone = true};
    OpCode *code = m->code;
    if (!arena_try(&code->arena, m->st, make_program, m) || !code->program) return false;
    code->compiled = cuda_backend()->compile(code->program, &o, m->st);
    code->bytes = sizeof *code + code->arena.used + (code->compiled ? code->compiled->bytes : 0);
    return code->compiled;
}

/* Without the lock. With sizes as numbers what cannot be lowered may succeed, or say why not. */
static bool make(Gpu *g, OpCode *code, const OpKey *key, struct CodeStore *store, bool passes, bool exact, Status *st)
{
    Status why = {0};
    Making m = {.g = g, .code = code, .key = key, .passes = passes, .store = store, .st = &why};
    if (!gpu_enter(g, st)) return false;
    const bool ok = compile(&m);
    if (!ok) gpu_failed(g, &why);
    gpu_leave(g);
    code->exact = !ok && !exact && !code->program && why.code != ST_MEMORY && key->values != 0;
    return ok || code->exact || status_fail(st, why.code, "%s on %s: %s", op_def[key->word[0]].name, g->name, why.text);
}

/* ---- the table --------------------------------------------------------------------------------- */

static void drop(OpCode *code)
{
    cuda_release(code->compiled);
    arena_free(&code->arena);
    mem_free(code, sizeof *code + code->words * sizeof *code->word);
}

static void unlink_code(Codes *all, OpCode *code)
{
    OpCode **at = &all->set[code->hash % CODE_SETS];
    while (*at != code) at = &(*at)->next;
    *at = code->next;
    all->bytes -= code->bytes;
}

static OpCode *oldest(const Codes *all)
{
    OpCode *found = NULL;
    for (size_t i = 0; i < CODE_SETS; i++)
        for (OpCode *code = all->set[i]; code; code = code->next)
            if (code->held == 0 && code->made && (!found || code->used < found->used)) found = code;
    return found;
}

/* Under the lock. What is dropped may still be running, so the device is waited for. */
static void make_room(Gpu *g)
{
    Codes *all = &g->codes;
    if (all->bytes <= code_most || !gpu_enter(g, &(Status){0})) return;
    gpu_late(g, g->own.driver->CtxSynchronize());
    for (OpCode *code; all->bytes > code_most / 4 * 3 && (code = oldest(all));) {
        unlink_code(all, code);
        drop(code);
    }
    gpu_leave(g);
}

static uint64_t hash_of(const OpKey *key, bool passes)
{
    uint64_t h = key->words + (passes ? 1u << 20 : 0u);
    for (uint32_t i = 0; i < key->words; i++) h = (h + (uint64_t)key->word[i]) * 0xff51afd7ed558ccdu;
    return hash_mix(h, h >> 32);
}

/* Under the lock; of what is being made as well. */
static OpCode *find(const Codes *all, const OpKey *key, uint64_t hash)
{
    OpCode *code = all->set[hash % CODE_SETS];
    while (code &&
           (code->hash != hash || code->words != key->words || memcmp(code->word, key->word, key->words * sizeof *key->word) != 0))
        code = code->next;
    return code;
}

/* Under the lock, which is open while it is made. NULL: st. */
static OpCode *add(Gpu *g, const OpKey *key, struct CodeStore *store, uint64_t hash, bool passes, bool exact, Status *st)
{
    Codes *all = &g->codes;
    OpCode *code = mem_zeros(1, sizeof *code + key->words * sizeof *key->word);
    if (!code) return status_fail(st, ST_MEMORY, "no memory for an op's code"), NULL;
    *code = (OpCode){.next = all->set[hash % CODE_SETS], .hash = hash, .words = key->words, .held = 1};
    memcpy(code->word, key->word, key->words * sizeof *key->word);
    arena_init(&code->arena);
    all->set[hash % CODE_SETS] = code;
    pthread_mutex_unlock(&all->lock);
    const bool ok = make(g, code, key, store, passes, exact, st);
    pthread_mutex_lock(&all->lock);
    all->bytes += code->bytes;
    code->made = true;
    if (!ok) unlink_code(all, code), drop(code);
    pthread_cond_broadcast(&all->made);
    if (ok) make_room(g);
    return ok ? code : NULL;
}

static OpCode *find_or_make(Gpu *g, const OpKey *key, struct CodeStore *store, bool passes, bool exact, Status *st)
{
    Codes *all = &g->codes;
    const uint64_t hash = hash_of(key, passes);
    pthread_mutex_lock(&all->lock);
    OpCode *code;
    while ((code = find(all, key, hash)) && !code->made) pthread_cond_wait(&all->made, &all->lock); /* it may fail, and be gone */
    if (code)
        code->held++;
    else
        code = add(g, key, store, hash, passes, exact, st);
    if (code) code->used = ++all->clock;
    pthread_mutex_unlock(&all->lock);
    return code;
}

void code_release(Gpu *g, OpCode *code)
{
    if (!code) return;
    pthread_mutex_lock(&g->codes.lock);
    code->held--;
    pthread_mutex_unlock(&g->codes.lock);
}

OpCode *code_of(Gpu *g, const OpCall *c, bool passes, bool exact, int64_t *scratch, int64_t *symbol, Status *st)
{
    OpKey key = {.room = op_key_room(c->in, c->nin, c->nattr) + 1,
        .sums = c->c ? c->c->sums : SUMS_USUAL,
        .blas = c->c && c->c->blas && c->op == OP_matmul,
        .word = scratch};
    key.value = scratch + key.room;
    op_key(&key, c->op, c->in, c->nin, c->attr, c->nattr, exact);
    if (key.sums != SUMS_USUAL || key.blas) key.word[key.words++] = key.sums + 16 * key.blas;
    OpCode *code = find_or_make(g, &key, c->store, passes, exact, st);
    if (code && code->exact) {
        code_release(g, code);
        return code_of(g, c, passes, true, scratch, symbol, st);
    }
    for (uint32_t i = 0; code && i < code->program->symbol.len; i++) symbol[i] = key.value[code->value[i]];
    return code;
}
