/* emit_entry: the whole program as one function of the entry ABI (program.h). It first emits kernels and products, then run-time
 * dims once, then the steps, in parts if they are many. Relies on gen, emit_kernel, emit_contract, emit_part. */
#include "emit_entry.h"

/* Below this Kernel.cost of all points, a kernel in a loop is inlined. */
enum { SMALL_COST = 512 };

static bool has_flow(const Program *p)
{
    for (uint32_t i = 0; i < p->nstep; i++)
        if (p->step[i].nblock != 0) return true;
    return false;
}

/* In a loop, calling such a kernel would cost as much as running it. */
static bool is_small(const Gen *g, const Kernel *k)
{
    int64_t cost = MAX_OF(k->cost, 1), n = 1;
    if (k->chunk >= 0 && (!gen_dim_const(g, k->extent[k->chunk], &n) || n > SMALL_COST)) return false;
    return cost <= SMALL_COST && n * cost <= SMALL_COST;
}

static void inline_always(const Gen *g, LLVMValueRef fn)
{
    unsigned id = LLVMGetEnumAttributeKindForName("alwaysinline", 12);
    LLVMAddAttributeAtIndex(fn, LLVMAttributeFunctionIndex, LLVMCreateEnumAttribute(g->ctx, id, 0));
}

/* ---- before the entry: every kernel and product ---------------------------------------------- */

static uint32_t emit_functions(Gen *g, const Step *s, uint32_t n)
{
    uint32_t most = 3;
    for (uint32_t i = 0; i < n; i++) {
        if (s[i].kind == STEP_KERNEL) {
            const Kernel *k = &g->p->kernel.at[s[i].kernel];
            if (i > 0 && step_joins_host(g, &s[i - 1], &s[i])) {
                LLVMValueRef *fn = step_rows_fn(g, &s[i]);
                if (!*fn) *fn = emit_rows(g, k, s[i].columns);
            } else if (!g->kernel_fn[s[i].kernel]) {
                g->kernel_fn[s[i].kernel] = emit_kernel(g, k, step_stays_direct(g, k));
                if (g->flow && is_small(g, k)) inline_always(g, g->kernel_fn[s[i].kernel]);
            }
            most = MAX_OF(most, k->nbuf);
            if (i > 0 && step_joins_pieces(g, &s[i - 1], &s[i]))
                emit_contract_joined(g, &s[i - 1], g->kernel_fn[s[i].kernel], s[i].joins);
        } else if (s[i].kind == STEP_CONTRACT && !s[i].contract.host) {
            emit_contract(g, &s[i], step_product_direct(g, &s[i]));
        }
        for (uint32_t k = 0; k < s[i].nblock; k++) most = MAX_OF(most, emit_functions(g, s[i].block[k].step, s[i].block[k].n));
    }
    return most;
}

static bool needs_host(const Program *p, const Step *s, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (s[i].kind == STEP_HOST || (s[i].kind == STEP_CONTRACT && s[i].contract.host)) return true;
        for (uint32_t k = 0; k < s[i].nblock; k++)
            if (needs_host(p, s[i].block[k].step, s[i].block[k].n)) return true;
    }
    return false;
}

/* Makes the frame where parts find slices of their callers' loops, and stacks; all are empty at first. */
static void open_frame(Entry *e)
{
    Gen *g = e->g;
    if (e->parts.cut) e->frame = gen_alloca(g, g->ptr, MAX_OF(e->parts.words, 1), 8);
    for (uint32_t i = 0; i < entry_program(e)->nstack; i++) {
        if (!e->parts.cut) {
            e->stack[i] = gen_alloca(g, g->ptr, 1, 8);
            e->stack_room[i] = gen_alloca(g, g->i64, 1, 8);
        }
        gen_store(g, LLVMConstNull(g->ptr), part_stack(e, i, false), 8);
        gen_store(g, gen_i64(g, 0), part_stack(e, i, true), 8);
    }
}

static void give_outputs(Entry *e)
{
    Gen *g = e->g;
    for (uint32_t i = 0; i < entry_program(e)->buf.len; i++) {
        const Buf *b = &entry_program(e)->buf.at[i];
        int64_t bytes;
        if (b->kind != BUF_OUTPUT || !part_on_stack(e, i, &bytes) || bytes == 0) continue;
        LLVMValueRef to = gen_load_once(g, g->ptr, e->bufs, (int64_t)entry_program(e)->ninput + b->index, 8);
        uint32_t align = (uint32_t)dtype_bytes((DType)b->type.dtype);
        LLVMBuildMemCpy(g->b, to, align, part_address(e, i), align, gen_i64(g, bytes));
    }
}

static void open_dims(Entry *e)
{
    Gen *g = e->g;
    uint32_t n = entry_program(e)->dim.len;
    e->dim = gen_alloca(g, g->i64, MAX_OF(n, 1), 8);
    for (uint32_t i = 0; i < n; i++) {
        if (dim_is_counted(&entry_program(e)->module->dims, entry_program(e)->dim.at[i])) continue;
        LLVMValueRef at = gen_i64(g, i), v = gen_dim_of_symbols(g, entry_program(e)->dim.at[i], e->symbol);
        g->dim_value[i] = v;
        LLVMSetAlignment(LLVMBuildStore(g->top, v, LLVMBuildGEP2(g->top, g->i64, e->dim, &at, 1, "")), 8);
    }
}

bool emit_entry(Gen *g, const char *symbol)
{
    const Program *p = g->p;
    Entry e = {.g = g, .at = ARENA_ARRAY(g->arena, LLVMValueRef, p->buf.len + 1)};
    e.in = ARENA_ARRAY(g->arena, uint32_t, p->buf.len + 1);
    e.stack = ARENA_ARRAY(g->arena, LLVMValueRef, p->nstack + 1);
    e.stack_room = ARENA_ARRAY(g->arena, LLVMValueRef, p->nstack + 1);
    g->flow = has_flow(p);
    e.most = emit_functions(g, p->step, p->nstep);
    parts_plan(&e);
    LLVMTypeRef four[6] = {g->ptr, g->ptr, g->ptr, g->ptr, g->i64, g->i64},
                six[6] = {g->ptr, g->ptr, g->ptr, g->ptr, g->ptr, g->ptr};
    e.run_type = LLVMFunctionType(g->nothing, four, 6, false);
    e.contract_type = LLVMFunctionType(g->i32, four, 2, false);
    e.part_type = LLVMFunctionType(g->i32, six, 6, false);
    gen_function_begin(g, symbol, LLVMFunctionType(g->i32, four, 4, false), false);
    e.bufs = LLVMGetParam(g->fn, 0);
    e.symbol = LLVMGetParam(g->fn, 1);
    e.work = LLVMGetParam(g->fn, 2);
    e.host = LLVMGetParam(g->fn, 3);
    emit_open_sizes(&e);
    open_dims(&e);
    open_frame(&e);
    e.hosted = p->nstack != 0 || g->marks || needs_host(p, p->step, p->nstep);
    if (e.hosted)
        step_leave(&e, LLVMBuildICmp(g->b, LLVMIntEQ, e.host, LLVMConstNull(g->ptr), ""), LLVMConstInt(g->i32, ST_STATE, false));
    part_steps(&e, p->step, p->nstep);
    give_outputs(&e);
    LLVMBuildRet(g->b, LLVMConstNull(g->i32));
    gen_function_end(g);
    return g->st->code == ST_OK;
}
