/* run: calling a compiled row. Gathers the inputs' memory, makes outputs, calls the entry, then swaps the variables' new values in, so that a
 * failed call leaves every variable as it was. The hot path: no locks, no malloc beyond pooled headers and buffers. */
#include "../ops/effect.h"
#include "function.h"

#include <stdio.h>

#include "../../codegen/host_stack.h"

bool row_bind(Thread *t, kiln_site at, const kiln_function *f, const Row *row,
    kiln_tensor *const *in, int64_t *dim)
{
    for (uint32_t i = 0; i < row->program->symbol.len; i++) dim[i] = row->known[i];
    for (uint32_t i = 0; i < row->nbinding; i++) {
        const Binding *b = &row->binding[i];
        int64_t have = in[b->argument]->type.dim[b->axis], *slot = &dim[b->symbol];
        if (UNLIKELY(*slot >= 0 && *slot != have)) {
            fail(t, at, KILN_ESHAPE,
                "%s: %s is %lld in one argument and %lld in argument %u axis %u", f->name,
                row->module->dims.expr.at[-1 - row->program->symbol.at[b->symbol]].name,
                (long long)*slot, (long long)have, b->argument, b->axis);
            return false;
        }
        *slot = have;
    }
    return true;
}

/* The tensor behind one input; NULL: recorded. */
static kiln_tensor *source_tensor(
    Thread *t, kiln_site at, const kiln_function *f, const Source *s, kiln_tensor *const *in)
{
    switch ((SourceKind)s->kind) {
    case FROM_ARGUMENT: return in[s->argument];
    case FROM_LITERAL: return s->tensor;
    case FROM_CAPTURE:
        if (s->tensor->state == TENSOR_EAGER && s->tensor->uid == s->uid) return s->tensor;
        fail(t, at, KILN_ESTATE,
            "%s: the tensor that its body uses at %s:%d was released or its scope closed; kiln_own "
            "it, or make it an argument",
            f->name, s->loc.file ? s->loc.file : "?", s->loc.line);
        return NULL;
    case FROM_VARIABLE:
        if (s->variable->id == s->uid && s->variable->alive && s->variable->value) return s->variable->value;
        fail(t, at, KILN_ESTATE, "%s: a variable that its body uses at %s:%d was freed", f->name,
            s->loc.file ? s->loc.file : "?", s->loc.line);
        return NULL;
    }
    return NULL;
}

/* One block per thread, kept; a call made from within another call (a callback) gets its own. */
static void *workspace(Thread *t, size_t bytes)
{
    if (UNLIKELY(t->work_busy)) return mem_alloc_aligned(bytes, BUFFER_ALIGN);
    if (t->work_bytes >= bytes) return t->work;
    mem_free_aligned(t->work, t->work_bytes, BUFFER_ALIGN);
    t->work = mem_alloc_aligned(bytes, BUFFER_ALIGN);
    t->work_bytes = t->work ? bytes : 0;
    return t->work;
}

typedef struct Call {
    void **buf; /* inputs, then results */
    kiln_tensor **result;
    Buffer **held; /* the inputs' memory, where a callback may assign or release them; NULL: not */
    uint32_t nheld;
    int64_t *dim;  /* values of the program's symbols */
    HostStack *stack;
    int64_t *size; /* what row->sizes says; NULL: nothing, all is constant */
} Call;

static bool gather_inputs(Thread *t, kiln_site at, const kiln_function *f, const Row *row,
    kiln_tensor *const *in, kiln_tensor **source, Call *c)
{
    for (uint32_t i = 0; i < row->nsource; i++) {
        kiln_tensor *x = source_tensor(t, at, f, &row->source[i], in);
        if (!x) return false;
        if (source) source[i] = x;
        if (UNLIKELY(!x->contiguous) && !(x = tensor_contiguous(t, at, x))->data) return false;
        c->buf[i] = x->data;
        if (UNLIKELY(c->held != NULL)) c->held[c->nheld++] = buffer_retain(x->buffer);
    }
    return true;
}

static bool make_results(Thread *t, kiln_site at, const kiln_function *f, const Row *row, Call *c)
{
    const int64_t *size = c->size + 1;
    for (uint32_t i = 0; i < row->nresult; i++) {
        kiln_tensor *x;
        if (UNLIKELY(c->size != NULL)) {
            Type type;
            row_result_type(row, i, &size, &type);
            x = tensor_result(t, at, &type, f->name);
        } else {
            x = tensor_result(t, at, &row->result[i], f->name);
        }
        if (!x) return false;
        c->result[i] = x;
        c->buf[row->nsource + i] = x->data;
    }
    return true;
}

static const Step *loop_of(const Step *s, uint32_t n, uint32_t id)
{
    const Step *found = NULL;
    for (uint32_t i = 0; i < n && !found; i++) {
        if (s[i].kind == STEP_LOOP && s[i].id == id) return &s[i];
        for (uint32_t k = 0; k < s[i].nblock && !found; k++) found = loop_of(s[i].block[k].step, s[i].block[k].n, id);
    }
    return found;
}

/* The loop that keeps slices in stack `number`; NULL: none. */
static const Step *loop_of_stack(const Program *p, uint32_t number)
{
    for (uint32_t i = 0; i < p->buf.len; i++) {
        const Buf *of = p->buf.at[i].kind == BUF_SLICE ? &p->buf.at[p->buf.at[i].of] : NULL;
        if (of && of->kind == BUF_STACK && of->index == number) return loop_of(p->step, p->nstep, p->buf.at[i].loop);
    }
    return NULL;
}

static bool told_of_stack(Thread *t, kiln_site at, const kiln_function *f, const Row *row, const HostStack *stack)
{
    for (uint32_t i = 0; stack && i < row->program->nstack; i++) {
        if (!stack[i].refused) continue;
        const Step *s = loop_of_stack(row->program, i);
        fail(t, at, KILN_EMEMORY, "%s: no memory for %lld bytes that the loop at %s:%d keeps of its steps for a gradient", f->name,
            (long long)stack[i].refused, s && s->loc.file ? s->loc.file : "?", s ? s->loc.line : 0);
        return true;
    }
    return false;
}

/* What ends compiled code and has not said so itself. The words for a loop are those of eager code. */
static void failed_call(Thread *t, kiln_site at, const kiln_function *f, const Row *row, uint32_t rc, const HostStack *stack)
{
    const Program *p = row->program;
    const Step *s = rc >= ENTRY_LOOP ? loop_of(p->step, p->nstep, rc / ENTRY_LOOP - 1) : NULL;
    if (s)
        fail(t, (kiln_site){s->loc.file, s->loc.line}, KILN_EVALUE, BEYOND_BOUND, (long long)s->trip_dim);
    else if (t->refused.code)
        fail(t, at, (kiln_code)t->refused.code, "%s: %s", f->name, t->refused.text);
    else if (rc != ST_MEMORY || !told_of_stack(t, at, f, row, stack))
        fail(t, at, (kiln_code)(rc % ENTRY_LOOP), "%s: the compiled function failed", f->name);
}

/* Loops whose gradients need memory that grows find it in a host table of the call's own. */
static int32_t enter_with_stacks(Thread *t, const Row *row, Call *c, void *work)
{
    const uint32_t n = row->program->nstack;
    HostStack *stacks = c->stack;
    KilnHost host = t->k->host;
    memset(stacks, 0, n * sizeof *stacks);
    host.stacks = stacks;
    int32_t rc = row->entry(c->buf, c->dim, work, &host);
    host_stacks_free(stacks, n);
    return rc;
}

static bool enter(Thread *t, kiln_site at, const kiln_function *f, const Row *row, Call *c)
{
    void *work = NULL;
    size_t bytes = (size_t)(c->size ? c->size[0] : row->program->workspace);
    if (bytes && !(work = workspace(t, bytes))) {
        fail(t, at, KILN_EMEMORY, "%s: no memory for %zu bytes of workspace", f->name, bytes);
        return false;
    }
    uint64_t failures = t->failures;
    bool busy = t->work_busy;
    t->work_busy = true;
    int32_t rc = c->stack ? enter_with_stacks(t, row, c, work) : row->entry(c->buf, c->dim, work, &t->k->host);
    t->work_busy = busy;
    if (UNLIKELY(busy) && work) mem_free_aligned(work, bytes, BUFFER_ALIGN);
    if (UNLIKELY(rc != 0)) {
        if (t->failures == failures) failed_call(t, at, f, row, (uint32_t)rc, c->stack); /* an effect that fails says so itself */
        t->refused.code = ST_OK;
    }
    return rc == 0;
}

static bool changed_there(Thread *t, kiln_site at, const kiln_function *f, const Row *row)
{
    for (uint32_t i = 0; i < row->nchanged; i++) {
        if (LIKELY(row->changed[i]->id == row->changed_id[i] && row->changed[i]->alive)) continue;
        fail(t, at, KILN_ESTATE, "%s: a variable that its body assigns was freed", f->name);
        return false;
    }
    return true;
}

static void store_changed(const Row *row, kiln_tensor *const *result)
{
    for (uint32_t i = 0; i < row->nchanged; i++) {
        kiln_tensor *now = kiln_own(result[row->noutput + i]), *old = row->changed[i]->value;
        row->changed[i]->value = now;
        if (old) kiln_release(old);
    }
}

/* Under tapes, what the body read is read by the caller: each variable a leaf. */
static bool note_sources(kiln_site at, const Row *row, kiln_tensor **source)
{
    for (uint32_t i = 0; i < row->nsource; i++)
        if (row->source[i].kind == FROM_VARIABLE) {
            source[i] = kiln_value_at(at, kiln_of_variable(row->source[i].variable));
            if (!tensor_ok(source[i])) return false;
        }
    return true;
}

/* All arrays of the call, as one piece of scratch. */
static bool call_arrays(Thread *t, kiln_site at, const Row *row, Call *c)
{
    const uint32_t buffers = row->nsource + row->nresult, symbols = row->sizes ? row->program->symbol.len : 0;
    size_t slots = (size_t)buffers + symbols + (row->sizes ? row->nsize : 0);
    slots += (row->program->calls_back ? row->nsource : 0) + row->program->nstack * (sizeof(HostStack) / sizeof(int64_t));
    int64_t *at_slot = SCRATCH(t, at, int64_t, slots);
    if (UNLIKELY(!at_slot)) return false;
    _Static_assert(sizeof(void *) == sizeof(int64_t) && sizeof(HostStack) % sizeof(int64_t) == 0, "all in one array");
    c->buf = (void **)at_slot;
    c->dim = at_slot + buffers;
    at_slot = c->dim + symbols;
    c->size = NULL;
    c->held = NULL;
    c->stack = NULL;
    c->nheld = 0;
    if (UNLIKELY(row->sizes != NULL)) c->size = at_slot, at_slot += row->nsize;
    if (UNLIKELY(row->program->calls_back)) c->held = (Buffer **)at_slot, at_slot += row->nsource;
    if (UNLIKELY(row->program->nstack)) c->stack = (HostStack *)at_slot;
    return true;
}

bool row_results(Thread *t, kiln_site at, kiln_function *f, Row *row, kiln_tensor *const *in,
    kiln_tensor **result, kiln_tensor **source)
{
    Call c;
    ScratchMark mark = scratch_mark(&t->scratch);
    if (!call_arrays(t, at, row, &c)) return false;
    c.result = result;
    bool ok = true;
    if (UNLIKELY(row->sizes != NULL)) {
        ok = row_bind(t, at, f, row, in, c.dim);
        if (ok) row->sizes(c.dim, c.size);
    }
    ok = ok && gather_inputs(t, at, f, row, in, source, &c) && make_results(t, at, f, row, &c) &&
         enter(t, at, f, row, &c);
    while (UNLIKELY(c.nheld)) buffer_release(c.held[--c.nheld]);
    scratch_reset(&t->scratch, mark);
    return ok;
}

/* Notes the call on the tapes; its inputs' tensors are what the variables' leaves and the arguments are. */
static bool run_recorded(Thread *t, kiln_site at, kiln_function *f, Row *row, kiln_tensor *const *in,
    kiln_tensor **result)
{
    kiln_tensor **source = SCRATCH(t, at, kiln_tensor *, row->nsource);
    if (!source || !note_sources(at, row, source) || !row_results(t, at, f, row, in, result, NULL))
        return false;
    for (uint32_t i = 0; i < row->nsource; i++)
        if (row->source[i].kind != FROM_VARIABLE)
            source[i] = source_tensor(t, at, f, &row->source[i], in);
    int64_t attr[2] = {(int64_t)(intptr_t)f, (int64_t)(intptr_t)row};
    tape_record(t, at, OP_call, source, row->nsource, attr, 2, result, row->noutput);
    return note_own_reads(t, row, false);
}

bool row_run(Thread *t, kiln_site at, kiln_function *f, Row *row, kiln_tensor *const *in,
    kiln_tensor **out)
{
    ScratchMark mark = scratch_mark(&t->scratch);
    kiln_tensor **result = row->nchanged ? SCRATCH(t, at, kiln_tensor *, row->nresult) : out;
    bool ok = result && changed_there(t, at, f, row) && (UNLIKELY(t->recording) ? run_recorded(t, at, f, row, in, result)
                                                : row_results(t, at, f, row, in, result, NULL));
    if (ok && row->nchanged) {
        for (uint32_t i = 0; i < row->noutput; i++) out[i] = result[i];
        store_changed(row, result);
    }
    scratch_reset(&t->scratch, mark);
    return ok;
}
