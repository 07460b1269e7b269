/* emit_launch: kernels that run side by side (Step.beside) as one function, whose indices are units of work: a part of a kernel's
 * chunk axis, or several small kernels. Tables that the function reads say which unit is what, and where each kernel's buffers lie,
 * so that its code grows with the number of different kernels alone. Bits depend on neither units nor threads. Relies on gen,
 * emit_kernel, emit_part. Never decides which kernels may run side by side. */
#include "emit_entry.h"

/* In units of Kernel.cost, as for a kernel alone (emit_step.c): what a unit is to cost, and how many of them are enough. */
enum { UNIT = 32768, MOST_UNITS = 256 };

/* A row of the table of kernels: the first unit, the indices of a unit, those of all; the first of its buffers in the table of
 * buffers, and how many they are; which function. */
enum { FIRST, EACH, ALL, BUFFERS, COUNT, FUNCTION, ROW };

/* Where a buffer's address is found: in the entry's argument, in the workspace, or among what the launch is given. An entry of the
 * table of buffers is a number of bytes there times WHERES, plus this. */
enum { IN_BUFS, IN_WORK, IN_ARGS, WHERES };

typedef struct Rows {
    Gen *g;
    const Step *s;
    uint32_t n, most;                  /* most buffers of a kernel */
    int64_t *row;                      /* [n][ROW] */
    uint32_t *kernel, kernels;         /* the different ones */
    LLVMValueRef first, rows, buffers; /* tables: per unit its first row, and one more; rows; buffers */
} Rows;

static const Kernel *kernel_of(const Gen *g, const Step *s) { return &g->p->kernel.at[s->kernel]; }

uint32_t launch_steps_from(const Gen *g, const Step *s, uint32_t n)
{
    uint32_t count = 1;
    int64_t work = kernel_work(kernel_of(g, s));
    for (; count < n && s[count].beside; count++) work += kernel_work(kernel_of(g, &s[count]));
    return count > 1 && work >= SHARED_WORK ? count : 1;
}

static uint32_t function_of(Rows *r, uint32_t kernel)
{
    uint32_t i = 0;
    while (i < r->kernels && r->kernel[i] != kernel) i++;
    r->kernel[i] = kernel;
    r->kernels = MAX_OF(r->kernels, i + 1);
    return i;
}

/* Returns the number of units. Kernels that are made for their whole extent are not cut. */
static int64_t find_rows(Rows *r)
{
    int64_t work = 0, units = 0, buffers = 0, in_unit = 0;
    for (uint32_t i = 0; i < r->n; i++) work += kernel_work(kernel_of(r->g, &r->s[i]));
    const int64_t most = MAX_OF(work / MOST_UNITS, UNIT);
    for (uint32_t i = 0; i < r->n; i++) {
        const Kernel *k = kernel_of(r->g, &r->s[i]);
        const int64_t all = k->chunk < 0 ? 1 : k->extent[k->chunk], own = kernel_work(k);
        const bool whole = k->chunk < 0 || step_stays_direct(r->g, k) || own <= most;
        const int64_t each = whole ? MAX_OF(all, 1) : step_grain(k, most), parts = MAX_OF((all + each - 1) / each, 1);
        const bool shares = parts == 1 && in_unit > 0 && in_unit + own <= most;
        const int64_t row[ROW] = {shares ? units - 1 : units, each, all, buffers, k->nbuf, function_of(r, r->s[i].kernel)};
        memcpy(r->row + (size_t)i * ROW, row, sizeof row);
        units += shares ? 0 : parts;
        in_unit = parts > 1 ? 0 : shares ? in_unit + own : own;
        buffers += k->nbuf;
        r->most = MAX_OF(r->most, k->nbuf);
    }
    return units;
}

static LLVMValueRef table(Gen *g, LLVMValueRef *v, size_t n)
{
    LLVMValueRef all = LLVMConstArray2(g->i64, v, n), to = LLVMAddGlobal(g->module, LLVMTypeOf(all), "launch");
    LLVMSetInitializer(to, all);
    LLVMSetGlobalConstant(to, true);
    LLVMSetLinkage(to, LLVMPrivateLinkage);
    LLVMSetAlignment(to, 64);
    return to;
}

/* Per unit, and one more, the first row that is in it: of a unit that begins in no row, that of the unit before. */
static LLVMValueRef first_rows(Rows *r, int64_t units)
{
    LLVMValueRef *v = ARENA_ARRAY(r->g->arena, LLVMValueRef, (size_t)units + 1);
    uint32_t i = 0;
    for (int64_t u = 0; u < units; u++) {
        while (i + 1 < r->n && r->row[(size_t)i * ROW + FIRST] < u && r->row[(size_t)(i + 1) * ROW + FIRST] <= u) i++;
        v[u] = gen_i64(r->g, i);
    }
    v[units] = gen_i64(r->g, r->n);
    return table(r->g, v, (size_t)units + 1);
}

static LLVMValueRef at(Gen *g, LLVMValueRef base, LLVMValueRef index)
{
    return gen_load(g, g->i64, gen_at(g, g->i64, base, index), 8);
}

static LLVMValueRef least(Gen *g, LLVMValueRef a, LLVMValueRef b)
{
    return gen_select(g, LLVMBuildICmp(g->b, LLVMIntSLT, a, b, ""), a, b);
}

/* The address that the table's entry tells. */
static LLVMValueRef address(Gen *g, LLVMValueRef entry)
{
    LLVMValueRef args = LLVMGetParam(g->fn, 0), many = gen_i64(g, WHERES), at_all[2];
    LLVMValueRef bytes = LLVMBuildUDiv(g->b, entry, many, ""), where = LLVMBuildURem(g->b, entry, many, "");
    LLVMValueRef in_args = LLVMBuildICmp(g->b, LLVMIntEQ, where, gen_i64(g, IN_ARGS), "");
    LLVMValueRef base = gen_load(g, g->ptr, gen_at(g, g->ptr, args, gen_select(g, in_args, gen_i64(g, 0), where)), 8);
    LLVMValueRef there = gen_at(g, g->i8, gen_select(g, in_args, args, base), bytes);
    LLVMBasicBlockRef from[2] = {LLVMGetInsertBlock(g->b), gen_block(g, "indirect")}, next = gen_block(g, "next");
    LLVMBuildCondBr(g->b, LLVMBuildICmp(g->b, LLVMIntEQ, where, gen_i64(g, IN_WORK), ""), next, from[1]);
    gen_put(g, from[1]);
    at_all[0] = there;
    at_all[1] = gen_load(g, g->ptr, there, 8);
    LLVMBuildBr(g->b, next);
    gen_put(g, next);
    LLVMValueRef found = LLVMBuildPhi(g->b, g->ptr, "");
    LLVMAddIncoming(found, at_all, from, 2);
    return found;
}

/* Runs the row's kernel over its part that is this unit. buf: room for its buffers' addresses. */
static void run_row(Rows *r, LLVMValueRef row, LLVMValueRef unit, LLVMValueRef buf)
{
    Gen *g = r->g;
    Loop l;
    LLVMValueRef field[ROW];
    for (uint32_t i = 0; i < ROW; i++) field[i] = at(g, row, gen_i64(g, i));
    loop_begin(g, &l, gen_i64(g, 0), field[COUNT], 1, NULL, 0);
    gen_store(g, address(g, at(g, r->buffers, gen_add(g, field[BUFFERS], l.i))), gen_at(g, g->ptr, buf, l.i), 8);
    loop_end(g, &l);
    LLVMValueRef lo = gen_mul(g, LLVMBuildSub(g->b, unit, field[FIRST], ""), field[EACH]);
    LLVMValueRef args[4] = {buf, g->dim_arg, lo, least(g, gen_add(g, lo, field[EACH]), field[ALL])};
    LLVMBasicBlockRef first = gen_block(g, "kernel"), next = gen_block(g, "next");
    LLVMValueRef which = LLVMBuildSwitch(g->b, field[FUNCTION], first, r->kernels - 1);
    for (uint32_t i = 0; i < r->kernels; i++) {
        LLVMBasicBlockRef to = i == 0 ? first : gen_block(g, "kernel");
        if (i != 0) LLVMAddCase(which, gen_i64(g, i), to);
        gen_put(g, to);
        LLVMBuildCall2(g->b, g->kernel_type, g->kernel_fn[r->kernel[i]], args, 4, "");
        LLVMBuildBr(g->b, next);
    }
    gen_put(g, next);
}

/* A KernelFn over the units. */
static LLVMValueRef emit_units(Rows *r)
{
    Gen *g = r->g;
    Loop unit, row;
    gen_function_begin(g, "launch", g->kernel_type, true);
    g->dim_arg = LLVMGetParam(g->fn, 1);
    LLVMValueRef buf = gen_alloca(g, g->ptr, MAX_OF(r->most, 1), 8), one = gen_i64(g, 1);
    loop_begin(g, &unit, LLVMGetParam(g->fn, 2), LLVMGetParam(g->fn, 3), 1, NULL, 0);
    LLVMValueRef from = at(g, r->first, unit.i), end = at(g, r->first, gen_add(g, unit.i, one));
    LLVMValueRef next = gen_add(g, from, one); /* of a kernel of several units, the next one begins in the same row */
    end = gen_select(g, LLVMBuildICmp(g->b, LLVMIntSGT, end, next, ""), end, next);
    loop_begin(g, &row, from, end, 1, NULL, 0);
    run_row(r, gen_at(g, g->i64, r->rows, gen_mul(g, row.i, gen_i64(g, ROW))), unit.i, buf);
    loop_end(g, &row);
    loop_end(g, &unit);
    LLVMBuildRetVoid(g->b);
    gen_function_end(g);
    return g->fn;
}

/* The function begins in the middle of another one, which then goes on. */
static LLVMValueRef emit_apart(Rows *r)
{
    Gen *g = r->g;
    const Gen was = *g;
    LLVMBasicBlockRef here = LLVMGetInsertBlock(g->b), top = LLVMGetInsertBlock(g->top);
    LLVMValueRef fn = emit_units(r);
    *g = was;
    LLVMPositionBuilderAtEnd(g->b, here);
    LLVMPositionBuilderAtEnd(g->top, top);
    return fn;
}

/* The table of buffers. What is neither an argument nor in the workspace is listed in `more`. */
static LLVMValueRef find_buffers(const Entry *e, const Rows *r, uint32_t *more, uint32_t *nmore)
{
    const Program *p = entry_program(e);
    uint32_t n = 0, j;
    int64_t bytes;
    for (uint32_t i = 0; i < r->n; i++) n += kernel_of(e->g, &r->s[i])->nbuf;
    LLVMValueRef *v = ARENA_ARRAY(e->g->arena, LLVMValueRef, n + 1);
    n = 0;
    for (uint32_t i = 0; i < r->n; i++)
        for (uint32_t k = 0; k < kernel_of(e->g, &r->s[i])->nbuf; k++) {
            const uint32_t number = r->s[i].buf[k];
            const Buf *b = &p->buf.at[number];
            int64_t where = IN_ARGS, at = 0;
            if (b->kind == BUF_INPUT) where = IN_BUFS, at = b->index;
            if (b->kind == BUF_OUTPUT && !part_on_stack(e, number, &bytes)) where = IN_BUFS, at = (int64_t)p->ninput + b->index;
            if (b->kind == BUF_TEMP && !part_on_stack(e, number, &bytes)) where = IN_WORK, at = b->offset;
            if (where == IN_ARGS) {
                for (j = 0; j < *nmore && more[j] != number; j++) continue;
                more[j] = number;
                *nmore = MAX_OF(*nmore, j + 1);
                at = 2 + (int64_t)j; /* behind the two that others begin at */
            }
            v[n++] = gen_i64(e->g, (where == IN_WORK ? at : at * (int64_t)sizeof(void *)) * WHERES + where);
        }
    return table(e->g, v, n);
}

LLVMValueRef emit_launch(Entry *e, const Step *s, uint32_t n, int64_t *units, LLVMValueRef *args)
{
    Gen *g = e->g;
    Rows r = {.g = g, .s = s, .n = n, .row = ARENA_ARRAY(g->arena, int64_t, (size_t)n * ROW)};
    r.kernel = ARENA_ARRAY(g->arena, uint32_t, n);
    *units = find_rows(&r);
    LLVMValueRef *v = ARENA_ARRAY(g->arena, LLVMValueRef, (size_t)n * ROW);
    for (size_t i = 0; i < (size_t)n * ROW; i++) v[i] = gen_i64(g, r.row[i]);
    r.rows = table(g, v, (size_t)n * ROW);
    r.first = first_rows(&r, *units);
    uint32_t *more = ARENA_ARRAY(g->arena, uint32_t, (size_t)n * r.most + 1), nmore = 0;
    r.buffers = find_buffers(e, &r, more, &nmore);
    *args = gen_alloca(g, g->ptr, 2 + nmore, 8);
    gen_store(g, e->bufs, gen_at(g, g->ptr, *args, gen_i64(g, IN_BUFS)), 8);
    gen_store(g, e->work, gen_at(g, g->ptr, *args, gen_i64(g, IN_WORK)), 8);
    for (uint32_t i = 0; i < nmore; i++)
        gen_store(g, part_address(e, more[i]), gen_at(g, g->ptr, *args, gen_i64(g, 2 + (int64_t)i)), 8);
    return emit_apart(&r);
}
