/* run: calling a compiled row. Gathers the inputs' memory, makes outputs, calls the entry, then swaps the variables' new values in, so that a
 * failed call leaves every variable as it was. The hot path: no locks, no malloc beyond pooled headers and buffers. */
#include "function.h"
#include "scope.h"

#include <stdio.h>

#include "../codegen/host_stack.h"

#define BUFS_MAX 1024 /* inputs and results of one compiled call: pointers on the stack */

/* The values of the row's symbols from the arguments' shapes, by position in the dim table. */
bool row_bind(Thread *t, kiln_site at, const kiln_function *f, const Row *row,
    kiln_tensor *const *in, int64_t *value)
{
    const DimTable *dims = &row->module->dims;
    memset(value, 0xff, dims->expr.len * sizeof *value);
    for (uint32_t i = 0; i < row->narg; i++) {
        for (int d = 0; d < row->arg[i].rank; d++) {
            Dim s = row->arg[i].dim[d];
            if (s >= 0) continue;
            int64_t have = in[i]->type.dim[d], *slot = &value[-1 - s];
            if (*slot >= 0 && *slot != have) {
                fail(t, at, KILN_ESHAPE,
                    "%s: %s is %lld in one argument and %lld in argument %u axis %d", f->name,
                    dims->expr.at[-1 - s].name, (long long)*slot, (long long)have, i, d);
                return false;
            }
            *slot = have;
        }
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
        if (s->variable->alive && s->variable->value) return s->variable->value;
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
    int64_t symbol[64], dim[64];
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

static bool make_results(Thread *t, kiln_site at, const Row *row, Call *c)
{
    for (uint32_t i = 0; i < row->nresult; i++) {
        Type type = row->result[i];
        for (int d = 0; d < type.rank; d++)
            if (UNLIKELY(type.dim[d] < 0))
                type.dim[d] = dim_eval(&row->module->dims, type.dim[d], c->symbol);
        kiln_tensor *x = tensor_empty(t, at, &type);
        if (!x) return false;
        c->result[i] = x;
        c->buf[row->nsource + i] = x->data;
    }
    return true;
}

/* The first of the loops that have a bound, and how many there are. */
static const Node *bounded_loop(const Module *m, uint32_t *count)
{
    const Node *first = NULL;
    *count = 0;
    for (uint32_t i = 0; i < m->graph.len; i++)
        for (uint32_t k = 0; k < m->graph.at[i]->node.len; k++) {
            const Node *n = &m->graph.at[i]->node.at[k];
            if (n->op != OP_while || !dim_is_const(n->attr->at[n->attr->len - 1])) continue;
            if (!first) first = n;
            ++*count;
        }
    return first;
}

/* Only a loop that exceeds its bound ends compiled code with that code; which one it was, the code does not say. */
static void failed_call(Thread *t, kiln_site at, const kiln_function *f, const Row *row, kiln_code code)
{
    uint32_t count = 0;
    const Node *n = code == KILN_EVALUE ? bounded_loop(row->module, &count) : NULL;
    if (!n) {
        fail(t, at, code, "%s: the compiled function failed", f->name);
        return;
    }
    fail(t, at, code, "%s: %s at %s:%d goes on after its bound of %lld steps", f->name,
        count == 1 ? "the loop" : "a loop with a bound, of which the first is", n->loc.file ? n->loc.file : "?",
        n->loc.line, (long long)n->attr->at[n->attr->len - 1]);
}

/* Loops whose gradients need memory that grows find it in a host table of the call's own. */
static int32_t enter_with_stacks(Thread *t, const Row *row, Call *c, void *work)
{
    const uint32_t n = row->program->nstack;
    HostStack stacks[n];
    KilnHost host = t->k->host;
    memset(stacks, 0, sizeof stacks);
    host.stacks = stacks;
    int32_t rc = row->entry(c->buf, c->dim, work, &host);
    host_stacks_free(stacks, n);
    return rc;
}

static bool enter(Thread *t, kiln_site at, const kiln_function *f, const Row *row, Call *c)
{
    void *work = NULL;
    if (row->program->workspace && !(work = workspace(t, (size_t)row->program->workspace))) {
        fail(t, at, KILN_EMEMORY, "%s: no memory for %lld bytes of workspace", f->name,
            (long long)row->program->workspace);
        return false;
    }
    for (uint32_t i = 0; i < row->program->symbol.len; i++)
        c->dim[i] = c->symbol[-1 - row->program->symbol.at[i]];
    uint64_t failures = t->failures;
    bool busy = t->work_busy;
    t->work_busy = true;
    int32_t rc = row->program->nstack ? enter_with_stacks(t, row, c, work) : row->entry(c->buf, c->dim, work, &t->k->host);
    t->work_busy = busy;
    if (UNLIKELY(busy) && work)
        mem_free_aligned(work, (size_t)row->program->workspace, BUFFER_ALIGN);
    if (rc && t->failures == failures) /* an effect that fails says so itself */
        failed_call(t, at, f, row, (kiln_code)rc);
    return rc == 0;
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

bool row_results(Thread *t, kiln_site at, kiln_function *f, Row *row, kiln_tensor *const *in,
    kiln_tensor **result, kiln_tensor **source)
{
    void *buf[BUFS_MAX];
    Buffer *held[BUFS_MAX];
    Call c; /* its sizes are set as far as the row has symbols: clearing them all would show */
    c.buf = buf;
    c.result = result;
    c.held = row->program->calls_back ? held : NULL;
    c.nheld = 0;
    if (UNLIKELY(row->nsource + row->nresult > BUFS_MAX ||
                 row->module->dims.expr.len > COUNT_OF(c.symbol))) {
        fail(t, at, KILN_EUNSUPPORTED,
            "%s: %u inputs and results (at most %d), or more than %zu size expressions, in one "
            "compiled function",
            f->name, row->nsource + row->nresult, BUFS_MAX, COUNT_OF(c.symbol));
        return false;
    }
    if (row->bounded && !row_bind(t, at, f, row, in, c.symbol)) return false;
    bool ok = gather_inputs(t, at, f, row, in, source, &c) && make_results(t, at, row, &c) &&
              enter(t, at, f, row, &c);
    while (UNLIKELY(c.nheld)) buffer_release(c.held[--c.nheld]);
    return ok;
}

bool row_run(Thread *t, kiln_site at, kiln_function *f, Row *row, kiln_tensor *const *in, int nin,
    kiln_tensor **out)
{
    (void)nin;
    kiln_tensor *result[BUFS_MAX], *sources[BUFS_MAX], **source = t->recording ? sources : NULL;
    if (source && row->nsource <= BUFS_MAX && !note_sources(at, row, source)) return false;
    if (!row_results(t, at, f, row, in, result, NULL)) return false;
    if (source) {
        for (uint32_t i = 0; i < row->nsource; i++)
            if (row->source[i].kind != FROM_VARIABLE)
                source[i] = source_tensor(t, at, f, &row->source[i], in);
        if (row->noutput > MAX_RESULTS)
            return fail(t, at, KILN_EUNSUPPORTED,
                       "%s: a tape records calls with at most %d outputs, this has %u; open the "
                       "tape "
                       "inside the function",
                       f->name, MAX_RESULTS, row->noutput),
                   false;
        int64_t attr[2] = {(int64_t)(intptr_t)f, (int64_t)(intptr_t)row};
        tape_record(t, at, OP_call, source, row->nsource, attr, 2, result, row->noutput);
    }
    for (uint32_t i = 0; i < row->noutput; i++) out[i] = result[i];
    store_changed(row, result);
    return true;
}
