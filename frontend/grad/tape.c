/* tape: recording. In eager code a tape is a graph of its own, with the tensor behind each value; inside a trace it is a range of
 * the frame's graph. Taking gradients is gradient.c. */
#include "grad.h"

typedef struct Job { /* what an arena border runs */
    kiln_tape *tape;
    Op op;
    kiln_tensor *const *in, *const *out;
    uint32_t nin, nout;
    const int64_t *attr;
    uint32_t nattr;
    const RecordedCall *call; /* of OP_call: in place of attributes */
    Loc loc;
    TapeRead read;
} Job;

static bool run_job(kiln_tape *tape, void (*body)(void *), Job *job)
{
    Status st = {0};
    job->tape = tape;
    if (arena_try(&tape->arena, &st, body, job)) return true;
    kiln_tape_stop(tape); /* what it holds is incomplete: better no gradient than a wrong one */
    tape->used = true;
    fail_status(tape->t, (kiln_site){job->loc.file, job->loc.line}, &st);
    return false;
}

/* ---- opening, stopping, closing --------------------------------------------------------------------------- */
static void start_body(void *arg)
{
    kiln_tape *tape = ((Job *)arg)->tape;
    tape->module = module_new(&tape->arena);
    tape->g = graph_new(tape->module, "tape");
    tape->by_uid.arena = &tape->arena;
    *VEC_PUSH(&tape->arena, &tape->entry) = (TapeEntry){0}; /* value 0 is none */
}

static void count_recording(kiln_tape *tape, int change)
{
    if (!tape->frame) tape->t->recording += (uint32_t)change;
}

kiln_tape *kiln_tape_open_at(kiln_site at, kiln *k, bool persistent)
{
    Thread *t = thread_of(k);
    kiln_tape *tape = t ? mem_zeros(1, sizeof *tape) : NULL;
    if (!tape) {
        fail(t, at, KILN_EMEMORY, "tape: no memory");
        return NULL;
    }
    *tape = (kiln_tape){.k = k, .t = t, .persistent = persistent, .loc = loc_of(at), .scope = t->scopes - 1};
    arena_init(&tape->arena);
    tape->noted.arena = &tape->arena;
    if (t->trace) {
        tape->frame = t->trace->frame;
        tape->trace_id = t->trace->id;
        tape->first = tape->frame->g->node.len;
    } else {
        Job job = {.loc = tape->loc};
        if (!run_job(tape, start_body, &job)) {
            arena_free(&tape->arena);
            mem_free(tape, sizeof *tape);
            return NULL;
        }
    }
    tape->recording = true;
    count_recording(tape, 1);
    tape->outer = t->tape;
    t->tape = tape;
    Scope *s = &t->scope[tape->scope];
    tape->next = s->tapes;
    s->tapes = tape;
    return tape;
}

void kiln_tape_stop(kiln_tape *tape)
{
    if (tape && tape->recording) {
        tape->recording = false;
        if (tape->frame) tape->stopped = tape->frame->g->node.len;
        count_recording(tape, -1);
    }
}

static void gap_body(void *arg)
{
    kiln_tape *tape = ((Job *)arg)->tape;
    *VEC_PUSH(&tape->arena, &tape->gap) = (NodeRange){tape->stopped, tape->frame->g->node.len};
}

void tape_resume(kiln_tape *tape)
{
    Job job = {.loc = tape->loc};
    if (tape->frame && !run_job(tape, gap_body, &job)) return;
    tape->recording = true;
    count_recording(tape, 1);
}

static void unlink_from(kiln_tape **link, const kiln_tape *tape)
{
    while (*link && *link != tape) link = &(*link)->next;
    if (*link) *link = tape->next;
}

/* Frees all that the tape holds; afterwards it only knows whose it was. */
static void tape_clear(kiln_tape *tape)
{
    Thread *t = tape->t;
    kiln_tape_stop(tape);
    kiln_tape **link = &t->tape;
    while (*link && *link != tape) link = &(*link)->outer;
    if (*link) *link = tape->outer;
    unlink_from(&t->scope[tape->scope].tapes, tape);
    for (uint32_t i = 0; i < tape->entry.len; i++) buffer_release(tape->entry.at[i].held.buffer);
    for (uint32_t i = 0; i < tape->call.len; i++) tape->k->hooks->drop_call(tape->k, &tape->call.at[i]);
    for (uint32_t i = 0; i < tape->read.len; i++)
        if (tape->read.at[i].variable) variable_unpin(tape->read.at[i].variable);
    arena_free(&tape->arena);
    *tape = (kiln_tape){.k = tape->k, .t = t, .loc = tape->loc, .closed = true};
}

void tape_retire(kiln_tape *tape)
{
    Thread *t = tape->t;
    tape_clear(tape);
    tape->next = t->closed_tapes;
    t->closed_tapes = tape;
}

void tapes_free_closed(Thread *t)
{
    for (kiln_tape *tape = t->closed_tapes, *next; tape; tape = next) {
        next = tape->next;
        mem_free(tape, sizeof *tape);
    }
    t->closed_tapes = NULL;
}

void kiln_tape_close(kiln_tape **tape)
{
    if (!tape || !*tape) return;
    kiln_tape *gone = *tape;
    if (gone->closed)
        unlink_from(&gone->t->closed_tapes, gone);
    else
        tape_clear(gone);
    mem_free(gone, sizeof *gone);
    *tape = NULL;
}

Value tape_tracked(const kiln_tape *tape, const kiln_tensor *x)
{
    const uint64_t *v = map_get(&tape->by_uid, x->uid);
    return v && tape->entry.at[*v].tracked ? (Value)*v : 0;
}

/* ---- recording -------------------------------------------------------------------------------------------------- */
/* Keeps what value v was: the header's facts and a reference to its memory. Inside a border. */
static void hold(kiln_tape *tape, Value v, const kiln_tensor *x)
{
    while (tape->entry.len <= v) *VEC_PUSH(&tape->arena, &tape->entry) = (TapeEntry){0};
    map_put(&tape->by_uid, x->uid, v);
    TapeEntry *e = &tape->entry.at[v];
    e->held = *x;
    buffer_retain(x->buffer);
}

static Value new_param(kiln_tape *tape, const kiln_tensor *x, bool tracked, Loc loc)
{
    Value v = graph_param(tape->g, &x->type, loc);
    hold(tape, v, x);
    tape->entry.at[v].tracked = tracked;
    return v;
}

static Value operand_value(kiln_tape *tape, const kiln_tensor *x, Loc loc)
{
    const uint64_t *known = map_get(&tape->by_uid, x->uid);
    return known ? (Value)*known : new_param(tape, x, false, loc);
}

/* From now on x is tracked; what used it before has it as a constant. */
static Value leaf_value(kiln_tape *tape, const kiln_tensor *x, Loc loc)
{
    Value known = tape_tracked(tape, x);
    return known ? known : new_param(tape, x, true, loc);
}

static void record_body(void *arg)
{
    Job *j = arg;
    kiln_tape *tape = j->tape;
    Value few[4], *in = j->nin > COUNT_OF(few) ? ARENA_ARRAY(&tape->arena, Value, j->nin) : few;
    Type few_types[FEW_RESULTS], *types = j->nout > FEW_RESULTS ? ARENA_ARRAY(&tape->arena, Type, j->nout) : few_types;
    for (uint32_t i = 0; i < j->nin; i++) in[i] = operand_value(tape, j->in[i], j->loc);
    for (uint32_t i = 0; i < j->nout; i++) types[i] = j->out[i]->type;
    const int64_t number = tape->call.len;
    if (j->call) {
        *VEC_PUSH(&tape->arena, &tape->call) = *j->call;
        tape->k->hooks->hold_call(tape->k, j->call);
        j->attr = &number;
        j->nattr = 1;
    }
    Value first = graph_append_typed(tape->g, j->op, in, j->nin, j->attr, j->nattr, types, j->nout, j->loc);
    for (uint32_t i = 0; i < j->nout; i++) {
        hold(tape, first + i, j->out[i]);
        tape->entry.at[first + i].tracked = true;
    }
}

static bool tracks(const kiln_tape *tape, kiln_tensor *const *in, uint32_t nin)
{
    for (uint32_t i = 0; i < nin; i++)
        if (tape_tracked(tape, in[i])) return true;
    return false;
}

static void record(Thread *t, const Job *what)
{
    for (kiln_tape *tape = t->tape; tape; tape = tape->outer) {
        if (!tape->recording || tape->frame || !tracks(tape, what->in, what->nin)) continue;
        Job job = *what;
        run_job(tape, record_body, &job);
    }
}

void tape_record(Thread *t, kiln_site at, Op op, kiln_tensor *const *in, uint32_t nin, const int64_t *attr, uint32_t nattr,
    kiln_tensor *const *out, uint32_t nout)
{
    record(t, &(Job){.op = op, .in = in, .nin = nin, .attr = attr, .nattr = nattr, .out = out, .nout = nout, .loc = loc_of(at)});
}

void tape_record_call(
    Thread *t, kiln_site at, const RecordedCall *call, kiln_tensor *const *in, uint32_t nin, kiln_tensor *const *out, uint32_t nout)
{
    record(t, &(Job){.op = OP_call, .call = call, .in = in, .nin = nin, .out = out, .nout = nout, .loc = loc_of(at)});
}

const RecordedCall *tape_call(const kiln_tape *tape, const Node *n) { return &tape->call.at[ATTRS(call, n->attr->at)->number]; }

/* ---- leaves --------------------------------------------------------------------------------------------------------- */
static void note_body(void *arg)
{
    Job *j = arg;
    if (j->in) /* eager: the tensor itself becomes a leaf */
        j->read.leaf = leaf_value(j->tape, j->in[0], j->loc);
    if (j->read.variable && j->read.variable->local && j->read.leaf) {
        const uint64_t key = (uint64_t)j->read.variable->id << 32 | j->read.leaf;
        if (map_get(&j->tape->noted, key)) return; /* the same value, read again */
        map_put(&j->tape->noted, key, 1);
    }
    *VEC_PUSH(&j->tape->arena, &j->tape->read) = j->read;
    if (j->read.variable) variable_pin(j->read.variable);
}

bool tape_note(kiln_tape *tape, kiln_variable *v, uint64_t uid, Value leaf)
{
    Job job = {.read = {v, uid, leaf}, .loc = tape->loc};
    return run_job(tape, note_body, &job);
}

bool tapes_note_leaf(Thread *t, const Frame *f, kiln_variable *v, Value leaf)
{
    for (kiln_tape *tape = t->tape; tape; tape = tape->outer)
        if (tape->recording && tape->frame == f && !tape_note(tape, v, 0, leaf)) return false;
    return true;
}

void tapes_block(Thread *t, const Frame *f, kiln_variable *v)
{
    for (kiln_tape *tape = t->tape; tape; tape = tape->outer)
        if (tape->recording && tape->frame && tape->frame != f && frame_encloses(tape->frame, f)) tape_note(tape, v, 0, 0);
}

bool tape_misses(const kiln_tape *tape, const kiln_variable *v)
{
    for (uint32_t i = 0; i < tape->read.len; i++)
        if (tape->read.at[i].variable == v && !tape->read.at[i].leaf) return true;
    return false;
}

void tape_note_read(Thread *t, kiln_variable *v, kiln_tensor *x)
{
    for (kiln_tape *tape = t->tape; tape; tape = tape->outer) {
        if (!tape->recording || tape->frame) continue;
        Job job = {.read = {v, x->uid, 0}, .in = &x, .nin = 1, .loc = x->made};
        run_job(tape, note_body, &job);
    }
}

static kiln_tensor *watch_traced(kiln_tape *tape, kiln_site at, kiln_tensor *x)
{
    Thread *t = tape->t;
    if (!t->trace || t->trace->frame != tape->frame)
        return fail(t, at, KILN_ESTATE,
            "watch: the tape was opened in another loop, branch or trace; open it in the block "
            "where it is used");
    const Value known = tape_computed(tape, x);
    if (known) return tape_note(tape, NULL, x->uid, known) ? x : &t->k->poison;
    kiln_tensor *leaf = apply1(t, at, OP_leaf, x, ATTRS_OF(leaf, .stops = false));
    if (!tensor_ok(leaf) || !tape_note(tape, NULL, x->uid, leaf->value)) return &t->k->poison;
    /* From now on every handle of the tensor means the leaf, so that a gradient with respect to it can be asked for. */
    if (!trace_repoint(t, at, x, leaf->value)) return &t->k->poison;
    if (x->state == TENSOR_TRACED && x->frame == tape->frame) x->value = leaf->value;
    return x;
}

kiln_tensor *kiln_watch_at(kiln_site at, kiln_tape *tape, kiln_tensor *x)
{
    Thread *t = tape ? tape->t : thread_last();
    if (!tape) return fail(t, at, KILN_ESTATE, "watch: the tape is NULL");
    if (!x || x->state == TENSOR_FREE) return fail(t, at, KILN_ESTATE, "watch: the tensor is %s", x ? "closed" : "NULL");
    char text[96];
    if (x->state >= TENSOR_STATIC) return fail(t, at, KILN_EVALUE, "watch: it is given %s", tensor_text(x, text, sizeof text));
    if (!tensor_ok(x)) return &t->k->poison;
    if (!dtype_is_float(x->type.dtype))
        return fail(t, at, KILN_EDTYPE, "watch: the tensor is %s; only floats have gradients", dtype_info[x->type.dtype].name);
    if (!tape->recording)
        return fail(t, at, KILN_ESTATE, tape->closed ? "watch: the tape's scope closed" : "watch: the tape no longer records");
    if (tape->frame) return watch_traced(tape, at, x);
    if (x->state == TENSOR_TRACED)
        return fail(t, at, KILN_ESTATE, "watch: a traced value cannot be watched by a tape opened outside its function");
    Job job = {.read = {NULL, x->uid, 0}, .in = &x, .nin = 1, .loc = loc_of(at)};
    return run_job(tape, note_body, &job) ? x : &t->k->poison;
}

int kiln_tape_variables(kiln_tape *tape, kiln_variable **v, int cap)
{
    int n = 0;
    if (!v && cap > 0) cap = list_there(tape ? tape->t : thread_last(), (kiln_site){NULL, 0}, "tape_variables", v, cap);
    for (uint32_t i = 0; tape && i < tape->read.len; i++) {
        kiln_variable *r = tape->read.at[i].variable;
        bool seen = !r || r->local;
        for (uint32_t j = 0; j < i && !seen; j++) seen = tape->read.at[j].variable == r;
        if (seen) continue;
        if (n < cap) v[n] = r;
        n++;
    }
    return n;
}
