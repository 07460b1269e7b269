/* call: calling a function: its arguments, the look-up of the instance that serves them, and running it. Running gathers the
 * inputs' memory, makes outputs, calls the entry, then swaps the variables' new values in, so that a failed call leaves every
 * variable as it was. The hot path: no locks, no malloc beyond pooled headers and buffers. A call that finds no instance goes to
 * compile.c. */
#include "marked.h"

/* ---- running --------------------------------------------------------------------------------------------------------- */
bool sizes_disagree(Thread *t, kiln_site at, const kiln_function *f, const DimTable *dims, Dim symbol, int64_t is, int64_t have,
    uint32_t argument, uint32_t axis)
{
    fail(t, at, KILN_ESHAPE, "%s: dim %s is %lld in one argument, but %lld in argument %u, axis %u", f->name,
        dims->expr.at[-1 - symbol].name, (long long)is, (long long)have, argument, axis);
    return false;
}

/* Finds the values of the program's symbols, in its order. False, and recorded: two sizes disagree about one symbol. */
static bool code_bind(Thread *t, kiln_site at, const kiln_function *f, const Code *code, kiln_tensor *const *in, int64_t *dim)
{
    const Program *p = code->program;
    for (uint32_t i = 0; i < p->symbol.len; i++) dim[i] = code->known[i];
    for (uint32_t i = 0; i < code->nbinding; i++) {
        const Binding *b = &code->binding[i];
        int64_t have = in[b->argument]->type.dim[b->axis], *slot = &dim[b->symbol];
        if (UNLIKELY(*slot >= 0 && *slot != have))
            return sizes_disagree(t, at, f, &p->module->dims, p->symbol.at[b->symbol], *slot, have, b->argument, b->axis);
        *slot = have;
    }
    return true;
}

kiln_tensor *source_tensor(Thread *t, kiln_site at, const kiln_function *f, const Source *s, kiln_tensor *const *in)
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
        fail(t, at, KILN_ESTATE, "%s: a variable that its body uses at %s:%d was freed", f->name, s->loc.file ? s->loc.file : "?",
            s->loc.line);
        return NULL;
    }
    return NULL;
}

/* What joins any device, and what the body spells out, goes there. */
kiln_tensor *input_there(Thread *t, kiln_site at, const kiln_function *f, const Instance *inst, const Source *s, kiln_tensor *x)
{
    const uint32_t device = inst->traced.device;
    if (x->device == device || tensor_joins(x) || s->kind == FROM_LITERAL)
        x = x->device == device ? tensor_contiguous(t, at, x) : tensor_to(t, at, x, device);
    else
        x = fail(t, at, KILN_EDEVICE, "%s: the call runs on %s, but a value that its body uses at %s:%d is on %s", f->name,
            device_name(device), s->loc.file ? s->loc.file : "?", s->loc.line, device_name(x->device));
    return tensor_ok(x) ? x : NULL;
}

/* Each thread keeps one block; a call made from within another call (by a callback) gets a block of its own. */
static void *workspace(Thread *t, size_t bytes)
{
    if (UNLIKELY(t->work_busy)) return large_alloc(bytes);
    if (t->work_bytes >= bytes) return t->work;
    large_free(t->work, t->work_bytes);
    t->work = large_alloc(bytes);
    t->work_bytes = t->work ? bytes : 0;
    return t->work;
}

static bool gather_inputs(Thread *t, kiln_site at, kiln_function *f, const Instance *inst, kiln_tensor *const *in, Call *c)
{
    Beforehand *before = c->code->before;
    const uint32_t sources = inst->traced.nsource;
    if (UNLIKELY(before && !beforehand_there(t, at, f, inst, before))) return false;
    for (uint32_t i = 0; i < c->inputs; i++) {
        kiln_tensor *x = i < sources ? source_tensor(t, at, f, &inst->traced.source[i], in) : before->value[i - sources];
        if (!x) return false;
        if (UNLIKELY(!x->contiguous || x->device != inst->traced.device) &&
            !(x = input_there(t, at, f, inst, &inst->traced.source[i], x)))
            return false;
        c->buf[i] = x->data;
        if (c->input) c->input[i] = x->buffer;
        if (UNLIKELY(c->held)) c->nheld++, buffer_retain(x->buffer);
    }
    return true;
}

/* The type of the next result of a call, with the places of symbols filled in from *size (what code_measure wrote), which moves
 * on. Only of sized code. */
static void result_type(const Instance *inst, uint32_t i, const int64_t **size, Type *out)
{
    out->dtype = inst->result[i].dtype;
    out->rank = inst->result[i].rank;
    for (int d = 0; d < out->rank; d++) out->dim[d] = *(*size)++;
}

static bool make_results(Thread *t, kiln_site at, const kiln_function *f, const Instance *inst, Call *c)
{
    const int64_t *size = c->size + 1;
    for (uint32_t i = 0; i < inst->traced.nresult; i++) {
        kiln_tensor *x;
        if (UNLIKELY(c->size)) {
            Type type;
            result_type(inst, i, &size, &type);
            x = tensor_result(t, at, &type, f->name, inst->traced.device);
        } else {
            x = tensor_result(t, at, &inst->result[i], f->name, inst->traced.device);
        }
        if (!x) return false;
        c->result[i] = x;
        c->buf[c->inputs + i] = x->data;
    }
    return true;
}

static bool no_workspace(Thread *t, kiln_site at, const kiln_function *f, size_t bytes, uint32_t device)
{
    char room[160];
    if (device_failed(t, at, device)) return false;
    fail(t, at, KILN_EMEMORY, "%s: no memory for %zu bytes of workspace%s", f->name, bytes, room_text(device, room, sizeof room));
    return false;
}

/* On another device than the host. Only a program whose end tells whether the call succeeds is waited for. -1: recorded. */
static int32_t launch(Thread *t, kiln_site at, const kiln_function *f, const Instance *inst, Call *c, const KilnHost *host)
{
    const uint32_t buffers = c->inputs + inst->traced.nresult;
    const size_t bytes = (size_t)(c->size ? c->size[0] : c->code->program->workspace);
    Buffer *work = bytes ? buffer_there(t, inst->traced.device, bytes) : NULL;
    if (bytes && !work) return no_workspace(t, at, f, bytes, inst->traced.device), -1;
    for (uint32_t i = 0; i < inst->traced.nresult; i++) c->held[c->inputs + i] = c->result[i]->buffer;
    c->held[buffers] = work;
    const Launch l = {.compiled = c->code->compiled,
        .entry = c->code->entry,
        .buf = c->buf,
        .nbuf = buffers,
        .nin = c->inputs,
        .dim = c->dim,
        .ndim = c->code->sized ? c->code->program->symbol.len : 0,
        .work = work ? work->data : NULL,
        .host = host,
        .counts = (LaunchCounts *)(uintptr_t)&f->launched, /* counting changes nothing that a call reads */
        .at = {at.file, at.line},
        .now = c->marks || c->code->program->may_fail || c->code->program->nstack != 0 || (c->code->looks && !c->code->entry)};
    Status st = {0};
    const int32_t rc = launch_there(t, inst->traced.device, &l, c->held, buffers + (work ? 1 : 0), &st);
    buffer_release(work);
    if (rc < 0) fail_status(t, at, &st);
    return rc;
}

static inline int32_t run_here(Thread *t, kiln_site at, const kiln_function *f, Call *c, const KilnHost *host)
{
    void *work = NULL;
    size_t bytes = (size_t)(c->size ? c->size[0] : c->code->program->workspace);
    if (bytes && !(work = workspace(t, bytes))) return no_workspace(t, at, f, bytes, HOST), -1;
    bool busy = t->work_busy;
    Buffer *const *outer = t->input;
    const uint32_t outers = t->inputs;
    t->work_busy = true;
    t->input = c->input;
    t->inputs = c->input ? c->inputs : 0;
    int32_t rc = c->code->entry(c->buf, c->dim, work, host);
    t->input = outer;
    t->inputs = outers;
    t->work_busy = busy;
    if (UNLIKELY(busy) && work) large_free(work, bytes);
    return rc;
}

/* A loop whose gradient needs memory that grows, and marks, find it in a host table that belongs to this call; what runs later
 * finds the engine's. */
static int32_t run_other(Thread *t, kiln_site at, const kiln_function *f, const Instance *inst, Call *c)
{
    const Program *p = c->code->program;
    KilnHost host = t->k->host;
    HostMarks marks = {.at = c->marks};
    if (c->stack) host.stacks = memset(c->stack, 0, p->nstack * sizeof *c->stack);
    if (c->marks) host.marks = &marks, memset(c->marks, 0, p->nnumber * sizeof *c->marks);
    const KilnHost *table = c->stack || c->marks ? &host : &t->k->host;
    const double start = c->marks ? clock_seconds() : 0;
    int32_t rc = inst->traced.device != HOST ? launch(t, at, f, inst, c, table) : run_here(t, at, f, c, table);
    if (c->marks) host_marks_end(&marks);
    if (c->marks && rc == 0) marked_add(c->code->marked, p, c->dim, c->marks, marks.since - start);
    if (c->stack) host_stacks_free(c->stack, p->nstack);
    return rc;
}

bool code_enter(Thread *t, kiln_site at, const kiln_function *f, const Instance *inst, Call *c)
{
    const uint64_t failures = t->failures;
    const bool well = t->failure.code == KILN_OK;
    int32_t rc = LIKELY(c->code->plain) ? run_here(t, at, f, c, &t->k->host) : run_other(t, at, f, inst, c);
    if (UNLIKELY(rc != 0)) call_failed(t, at, f, c, (uint32_t)rc, t->failures == failures, well);
    return rc == 0;
}

static bool changed_there(Thread *t, kiln_site at, const kiln_function *f, const Instance *inst)
{
    for (uint32_t i = 0; i < inst->traced.nchanged; i++) {
        const kiln_variable *v = inst->traced.changed[i];
        const bool there = v->id == inst->traced.changed_id[i] && v->alive;
        if (LIKELY(there && (!v->value || v->value->device == inst->traced.device || tensor_joins(v->value)))) continue;
        if (there)
            fail(t, at, KILN_EDEVICE, "%s: the call runs on %s, but variable %s, which its body assigns, is on %s", f->name,
                device_name(inst->traced.device), v->name, device_name(v->value->device));
        else
            fail(t, at, KILN_ESTATE, "%s: a variable that its body assigns was freed", f->name);
        return false;
    }
    return true;
}

static void store_changed(const Instance *inst, kiln_tensor *const *result)
{
    for (uint32_t i = 0; i < inst->traced.nchanged; i++) {
        kiln_tensor *now = kiln_own(result[inst->traced.noutput + inst->traced.ncount + i]), *old = inst->traced.changed[i]->value;
        inst->traced.changed[i]->value = now;
        if (old) kiln_release(old);
    }
}

/* Under a tape the caller reads what the body read: each variable becomes a leaf. */
static bool note_sources(kiln_site at, const Instance *inst, kiln_tensor **source)
{
    for (uint32_t i = 0; i < inst->traced.nsource; i++)
        if (inst->traced.source[i].kind == FROM_VARIABLE) {
            source[i] = kiln_value_at(at, kiln_of_variable(inst->traced.source[i].variable));
            if (!tensor_ok(source[i])) return false;
        }
    return true;
}

/* Takes all arrays of the call as one piece of scratch. */
static bool call_arrays(Thread *t, kiln_site at, const Instance *inst, Call *c)
{
    const Code *code = c->code;
    const uint32_t inputs = inst->traced.nsource + (code->before ? code->before->n : 0);
    const uint32_t buffers = inputs + inst->traced.nresult, symbols = code->sized ? code->program->symbol.len : 0;
    size_t slots = (size_t)buffers + symbols + (code->sized ? code->nsize : 0);
    if (UNLIKELY(!code->plain))
        slots += buffers + 1 + code->program->nstack * (sizeof(HostStack) / sizeof(int64_t)) +
                 (code->marked ? code->program->nnumber * (sizeof(HostMark) / sizeof(int64_t)) : 0);
    else if (code->program->asks_host)
        slots += inputs;
    int64_t *at_slot = SCRATCH(t, at, int64_t, slots);
    if (UNLIKELY(!at_slot)) return false;
    _Static_assert(
        sizeof(void *) == sizeof(int64_t) && sizeof(HostStack) % sizeof(int64_t) == 0 && sizeof(HostMark) % sizeof(int64_t) == 0,
        "all in one array");
    c->buf = (void **)at_slot;
    c->dim = at_slot + buffers;
    at_slot = c->dim + symbols;
    c->size = NULL;
    c->held = NULL;
    c->stack = NULL;
    c->marks = NULL;
    c->nheld = 0;
    if (UNLIKELY(code->sized)) c->size = at_slot, at_slot += code->nsize;
    c->input = code->program->asks_host || !code->plain ? (Buffer **)at_slot : NULL;
    c->inputs = inputs;
    if (LIKELY(code->plain)) return true;
    c->held = c->input;
    at_slot += buffers + 1;
    if (code->program->nstack) c->stack = (HostStack *)at_slot;
    at_slot += code->program->nstack * (sizeof(HostStack) / sizeof(int64_t));
    if (code->marked) c->marks = (HostMark *)at_slot;
    return true;
}

static const Code *swapped_in(const kiln_function *f, const Instance *inst)
{
    return f->compile == COMPILE_SWAP && swap_draw(f->k, 2) ? inst->late : NULL;
}

bool code_results(
    Thread *t, kiln_site at, kiln_function *f, const Instance *inst, const Code *code, kiln_tensor *const *in, kiln_tensor **result)
{
    Call c;
    c.code = code;
    ScratchMark mark = scratch_mark(&t->scratch);
    if (!call_arrays(t, at, inst, &c)) return false;
    c.result = result;
    bool ok = true;
    if (UNLIKELY(c.code->sized)) {
        ok = code_bind(t, at, f, c.code, in, c.dim);
        if (ok) code_measure(c.code, c.dim, c.size);
    }
    ok = ok && gather_inputs(t, at, f, inst, in, &c) && make_results(t, at, f, inst, &c) && code_enter(t, at, f, inst, &c);
    if (UNLIKELY(inst->traced.ncount)) ok = ok && counts_settle(t, at, f, inst, &c);
    while (UNLIKELY(c.nheld)) buffer_release(c.held[--c.nheld]);
    scratch_reset(&t->scratch, mark);
    return ok;
}

bool instance_results(Thread *t, kiln_site at, kiln_function *f, Instance *inst, kiln_tensor *const *in, kiln_tensor **result)
{
    const Code *code = atomic_load_explicit(&inst->code, memory_order_acquire);
    if (UNLIKELY(!code) && !(code = swapped_in(f, inst))) return instance_interpreted(t, at, f, inst, in, result);
    return code_results(t, at, f, inst, code, in, result);
}

/* Records the call on the open tapes. Its inputs are the leaves of the variables and the arguments; what was saved for its gradient
 * is recorded as further outputs. */
static bool run_recorded(
    Thread *t, kiln_site at, kiln_function *f, Instance *inst, Instance *form, kiln_tensor *const *in, kiln_tensor **result)
{
    const Traced *traced = &form->traced;
    const uint32_t nout = traced->noutput + traced->nsaved;
    kiln_tensor **source = SCRATCH(t, at, kiln_tensor *, traced->nsource), **out = SCRATCH(t, at, kiln_tensor *, nout);
    if (!source || !out || !note_sources(at, form, source) || !instance_results(t, at, f, form, in, result)) return false;
    for (uint32_t i = 0; i < traced->nsource; i++)
        if (traced->source[i].kind != FROM_VARIABLE) source[i] = source_tensor(t, at, f, &traced->source[i], in);
    kiln_tensor **saved = result + traced->nresult - traced->nsaved;
    for (uint32_t i = 0; i < nout; i++) out[i] = i < traced->noutput ? result[i] : saved[i - traced->noutput];
    tape_record_call(t, at, &(RecordedCall){f, inst}, source, traced->nsource, out, nout);
    for (uint32_t i = 0; i < traced->nsaved; i++) { /* the tapes hold their memory */
        scope_unlink(saved[i]);
        tensor_drop(saved[i]);
    }
    return note_own_reads(t, inst, false);
}

bool instance_run(Thread *t, kiln_site at, kiln_function *f, Instance *inst, kiln_tensor *const *in, kiln_tensor **out)
{
    const bool recorded = UNLIKELY(t->recording != 0);
    Instance *form = recorded ? instance_saving(t, at, f, inst) : inst;
    if (UNLIKELY(!form)) return false;
    ScratchMark mark = scratch_mark(&t->scratch);
    const bool more = form->traced.nresult > form->traced.noutput;
    kiln_tensor **result = more ? SCRATCH(t, at, kiln_tensor *, form->traced.nresult) : out;
    bool ok = result && changed_there(t, at, f, form) &&
              (recorded ? run_recorded(t, at, f, inst, form, in, result) : instance_results(t, at, f, form, in, result));
    if (ok && more) {
        for (uint32_t i = 0; i < form->traced.noutput; i++) out[i] = result[i];
        store_changed(form, result);
        for (uint32_t i = 0; i < form->traced.ncount; i++) { /* the outputs have these sizes now */
            scope_unlink(result[form->traced.noutput + i]);
            tensor_drop(result[form->traced.noutput + i]);
        }
    }
    scratch_reset(&t->scratch, mark);
    return ok;
}

/* ---- the instance ----------------------------------------------------------------------------------------------------- */
/* A key whose device is still to be found. False: recorded. */
static bool key_there(Thread *t, kiln_site at, const kiln_function *f, kiln_tensor *const *in, int nin, uint64_t *key)
{
    uint32_t device;
    if (!one_device(t, at, f->name, in, (uint32_t)nin, &device)) return false;
    *key = *key << (64 - KEY_DEVICE) >> (64 - KEY_DEVICE) | (uint64_t)device << KEY_DEVICE;
    return true;
}

Instance *function_instance(Thread *t, kiln_site at, kiln_function *f, kiln_tensor *const *in, int nin)
{
    uint64_t key = signature_key(t, in, nin);
    if (UNLIKELY(key >> KEY_DEVICE) && !key_there(t, at, f, in, nin, &key)) return NULL;
    latest_note(f, key, in, nin);
    Instance *inst = cache_find(f, key, in, nin);
    if (UNLIKELY(!inst)) {
        pthread_mutex_lock(&f->compiling); /* one compile per signature, whoever comes first */
        inst = cache_find(f, key, in, nin);
        if (!inst) {
            inst = instance_new(t, at, f, key, in, nin);
            if (inst) call_uses(t, inst);
            pthread_mutex_unlock(&f->compiling);
            return inst;
        }
        pthread_mutex_unlock(&f->compiling);
    }
    call_uses(t, inst);
    atomic_fetch_add_explicit(&f->hits, 1, memory_order_relaxed);
    if (UNLIKELY(atomic_load_explicit(&inst->unfit, memory_order_relaxed))) return instance_instead(t, at, f, inst, key, in, nin);
    if (UNLIKELY(f->k->retrace) && !retrace_agrees(t, at, f, inst, in, nin)) return NULL;
    return inst;
}

/* ---- calling ------------------------------------------------------------------------------------------------------ */
static bool spec_fits(Thread *t, kiln_site at, const kiln_function *f, uint32_t i, const kiln_tensor *x)
{
    const kiln_spec *s = &f->spec[i];
    char text[96], declared[48];
    declared[0] = 0;
    if ((s->rank == KILN_RANK_STATIC) != (x->state == TENSOR_STATIC)) {
        fail(t, at, KILN_EVALUE, "%s: argument %u is %s, but is declared %s", f->name, i, tensor_text(x, text, sizeof text),
            s->rank == KILN_RANK_STATIC ? "static: pass KILN_STATIC(value)" : "a tensor");
        return false;
    }
    if (x->state == TENSOR_STATIC) return true;
    if ((int)x->type.dtype != (int)s->dtype || (s->rank >= 0 && x->type.rank != s->rank)) {
        if (s->rank >= 0) snprintf(declared, sizeof declared, " of rank %d", s->rank);
        fail(t, at, (int)x->type.dtype != (int)s->dtype ? KILN_EDTYPE : KILN_ESHAPE, "%s: argument %u is %s, but is declared %s%s",
            f->name, i, tensor_text(x, text, sizeof text), kiln_dtype_name(s->dtype), declared);
        return false;
    }
    for (int d = 0; d < s->rank; d++) {
        Dim n = x->type.dim[d];
        if (dim_is_const(n) && (n < s->size[d].lo || n > s->size[d].hi)) {
            if (s->size[d].lo != s->size[d].hi) snprintf(declared, sizeof declared, " to %lld", (long long)s->size[d].hi);
            fail(t, at, KILN_ESHAPE, "%s: argument %u is %s, but axis %d is declared %lld%s", f->name, i,
                tensor_text(x, text, sizeof text), d, (long long)s->size[d].lo, declared);
            return false;
        }
    }
    return true;
}

bool function_arguments(Thread *t, kiln_site at, kiln_function *f, const kiln_operand *in, int nin, kiln_tensor **x)
{
    int want = f->nspec ? (int)f->nspec : f->options.inputs_count;
    if ((want && nin != want) || nin < 0) {
        fail(t, at, KILN_EVALUE, "%s: called with %d arguments, but it takes %d", f->name, nin, want);
        return false;
    }
    if (UNLIKELY(nin && !in)) return list_there(t, at, f->name, in, nin);
    for (int i = 0; i < nin; i++) {
        Type like = {.dtype = f->nspec ? (uint8_t)f->spec[i].dtype : DT_f32};
        x[i] = LIKELY(in[i].kind == 1)    ? in[i].as.tensor
               : operand_is_static(in[i]) ? static_argument(t, at, in[i])
                                          : operand_named(t, at, f->name, in[i], &like);
        if (UNLIKELY(!x[i] || x[i]->state == TENSOR_FREE || x[i]->state == TENSOR_MISSING || x[i]->k != f->k)) {
            char text[96];
            fail(t, at, KILN_ESTATE, "%s: argument %d is %s", f->name, i,
                !x[i]                           ? "NULL"
                : x[i]->k != f->k               ? "a tensor of another engine"
                : x[i]->state == TENSOR_MISSING ? tensor_text(x[i], text, sizeof text)
                                                : "a tensor whose scope closed, or that was released");
            return false;
        }
        if (UNLIKELY(x[i]->state == TENSOR_POISON)) return false;
        if (UNLIKELY(x[i]->state == TENSOR_TRACED && !t->trace)) {
            fail(t, at, KILN_ESTATE, "%s: argument %d is a traced value outside its trace", f->name, i);
            return false;
        }
        if (f->nspec && !spec_fits(t, at, f, (uint32_t)i, x[i])) return false;
    }
    return true;
}

static bool has_outputs(Thread *t, kiln_site at, const kiln_function *f, int n)
{
    if (LIKELY((unsigned)n <= (unsigned)f->options.outputs)) return true;
    fail(t, at, KILN_EVALUE, "%s: %d outputs asked for, but it has %d", f->name, n, f->options.outputs);
    return false;
}

bool kiln_call_all_at(kiln_site at, kiln_function *f, const kiln_operand *in, int nin, kiln_tensor **out, int nout)
{
    Thread *t = f ? thread_of(f->k) : thread_last();
    if (!f || !t) {
        fail(t, at, KILN_ESTATE, "call: the function is NULL");
        return results_poison(t, out, nout);
    }
    if (UNLIKELY(nout > 0 && !out)) return list_there(t, at, "call", out, nout);
    bool entered = call_enter(t, at, f), ok = entered;
    int have = f->options.outputs;
    ScratchMark mark = scratch_mark(&t->scratch);
    const size_t given = (size_t)MAX_OF(nin, 0);
    kiln_tensor **x = SCRATCH(t, at, kiln_tensor *, given + (size_t)have), **results = x ? x + given : NULL;
    ok = ok && x && function_alive(t, at, f) && function_arguments(t, at, f, in, nin, x) && has_outputs(t, at, f, nout);
    if (ok && (t->trace || (f->k->eager_only && !f->maps))) {
        if (!t->trace) latest_note(f, signature_key(t, x, nin), x, nin);
        ok = function_inline(t, at, f, x, nin, results);
    } else if (ok) {
        Instance *inst = function_instance(t, at, f, x, nin);
        if (UNLIKELY(f->open) && inst) told_again(t, f, &inst->traced, results);
        ok = inst && instance_run(t, at, f, inst, x, results);
    }
    if (entered) call_leave(t);
    for (int i = 0; i < nout; i++) out[i] = ok ? results[i] : &t->k->poison;
    scratch_reset(&t->scratch, mark);
    return ok;
}

kiln_tensor *kiln_call_at(kiln_site at, kiln_function *f, const kiln_operand *in, int nin)
{
    kiln_tensor *out = NULL;
    kiln_call_all_at(at, f, in, nin, &out, f && f->options.outputs == 0 ? 0 : 1);
    return out;
}

bool kiln_call_all_of_at(kiln_site at, kiln_function *f, kiln_operands in, kiln_tensor **out, int nout)
{
    Thread *t = f ? thread_of(f->k) : thread_last();
    OperandArray a;
    if (!operand_array_open(t, at, "call", in, &a)) return results_poison(t, out, nout);
    bool ok = kiln_call_all_at(at, f, a.at, in.count, out, nout);
    operand_array_close(&a, in);
    return ok;
}
