/* trace: appending to the graph of a running trace. Operands from outside become inputs; variables are slots that hold their current
 * value; regions are frames, each a graph of its own that takes what it uses from outside as parameters. Only appends: no folding, no
 * sharing. Never compiles. */
#include "trace.h"

bool frame_encloses(const Frame *outer, const Frame *inner)
{
    while (inner && inner != outer) inner = inner->parent;
    return inner != NULL;
}

/* ---- borders: the graph lives in an arena; running out of it must not cross the user's frames -------------- */
typedef struct Append {
    Frame *f;
    Op op;
    const Value *in;
    uint32_t nin;
    const int64_t *attr;
    uint32_t nattr;
    Loc loc;
    const Type *type; /* a parameter */
    const Source *source;
    kiln_variable *variable;
    Column column; /* of a region's parameter */
    TapeRead read;
    Status *st;
    Value out;
} Append;

static void append_body(void *arg)
{
    Append *a = arg;
    a->out = graph_append(a->f->g, a->op, a->in, a->nin, a->attr, a->nattr, a->loc, a->st);
}

static Value append(Thread *t, kiln_site at, Frame *f, Op op, const Value *in, uint32_t nin,
    const int64_t *attr, uint32_t nattr)
{
    Status st = {0};
    Append a = {.f = f,
        .op = op,
        .in = in,
        .nin = nin,
        .attr = attr,
        .nattr = nattr,
        .loc = loc_of(at),
        .st = &st};
    if (!arena_try(f->trace->arena, &st, append_body, &a) || !a.out) {
        fail_status(t, at, &st);
        return 0;
    }
    return a.out;
}

static void param_body(void *arg)
{
    Append *a = arg;
    Frame *f = a->f;
    a->out = graph_param(f->g, a->type, a->loc);
    if (a->source)
        *VEC_PUSH(f->trace->arena, &f->trace->source) = *a->source;
    else
        *VEC_PUSH(f->trace->arena, &f->column) = a->column;
}

static Value add_param(Thread *t, kiln_site at, Append *a)
{
    Status st = {0};
    a->st = &st;
    a->loc = loc_of(at);
    if (arena_try(a->f->trace->arena, &st, param_body, a)) return a->out;
    fail_status(t, at, &st);
    return 0;
}

static Value source_param(
    Thread *t, kiln_site at, Frame *f, const Type *type, const Source *source)
{
    return add_param(t, at, &(Append){.f = f, .type = type, .source = source});
}

Value frame_param(Thread *t, kiln_site at, Frame *f, const Type *type, Column c)
{
    return add_param(t, at, &(Append){.f = f, .type = type, .column = c});
}

typedef struct PutMap {
    Map *map;
    uint64_t key, value;
} PutMap;
static void put_body(void *arg)
{
    PutMap *p = arg;
    map_put(p->map, p->key, p->value);
}

static bool put_in(Thread *t, kiln_site at, const Frame *f, Map *map, uint64_t key, Value v)
{
    Status st = {0};
    PutMap p = {map, key, v};
    if (arena_try(f->trace->arena, &st, put_body, &p)) return true;
    fail_status(t, at, &st);
    return false;
}

static bool put(Thread *t, kiln_site at, Frame *f, uint64_t key, Value v) { return put_in(t, at, f, &f->captured, key, v); }

/* ---- operands -------------------------------------------------------------------------------------------------- */
/* What v of f means by now: it may have been watched, by this handle or another one. */
static Value meaning(const Frame *f, Value v)
{
    const uint64_t *leaf;
    while ((leaf = map_get(&f->watched, v)) != NULL) v = (Value)*leaf;
    return v;
}

/* The value v of frame `from` as a value of `f`, which `from` encloses: a parameter per frame on the way in. */
static Value bring_in(Thread *t, kiln_site at, const Frame *from, Frame *f, Value v)
{
    if (f == from) return v;
    Value outside = bring_in(t, at, from, f->parent, v);
    if (!outside) return 0;
    const uint64_t *known = map_get(&f->captured, outside);
    if (known) return (Value)*known;
    Type type = *graph_type(f->parent->g, outside);
    Value p = frame_param(t, at, f, &type, (Column){COLUMN_FREE, outside, NULL});
    return p && put(t, at, f, outside, p) ? p : 0;
}

static Frame *function_frame(Frame *f)
{
    while (f->parent) f = f->parent;
    return f;
}

/* What a rule's frame says of all that would come in. */
static Value closed_to(Thread *t, kiln_site at, const char *what)
{
    fail(t, at, KILN_EUNSUPPORTED,
        "custom gradient: its function, applied inside a loop or branch, uses %s from outside; "
        "give it to kiln_custom_gradient as an operand",
        what);
    return 0;
}

static Value capture(Thread *t, kiln_site at, kiln_tensor *x)
{
    Trace *tr = t->trace;
    Frame *top = function_frame(tr->frame);
    if (top->kind == FRAME_RULE) return closed_to(t, at, "a tensor");
    const uint64_t *known = map_get(&top->captured, x->uid);
    if (known) return (Value)*known;
    bool made_here = x->home == t && x->uid >= tr->first_uid;
    Source s = {.kind = made_here ? FROM_LITERAL : FROM_CAPTURE,
        .tensor = x,
        .uid = x->uid,
        .type = x->type,
        .loc = loc_of(at)};
    Value p = source_param(t, at, top, &x->type, &s);
    if (!p || !put(t, at, top, x->uid, p)) return 0;
    if (made_here)
        kiln_own(x); /* concrete data that the body spells out: part of the function from now on */
    return p;
}

Value trace_value(Thread *t, kiln_site at, kiln_tensor *x)
{
    Trace *tr = t->trace;
    if (x->state == TENSOR_EAGER) {
        Value v = capture(t, at, x);
        return v ? bring_in(t, at, function_frame(tr->frame), tr->frame, v) : 0;
    }
    if (!tr || x->trace_id != tr->id) {
        fail(t, at, KILN_ESTATE,
            "a value traced at %s:%d is used outside its trace; return it from the function",
            x->made.file ? x->made.file : "?", x->made.line);
        return 0;
    }
    if (frame_encloses(x->frame, tr->frame))
        return bring_in(t, at, x->frame, tr->frame, meaning(x->frame, x->value));
    if (function_frame(tr->frame)->kind == FRAME_RULE) return closed_to(t, at, "a value");
    fail(t, at, KILN_ESTATE,
        "a value made inside a %s (%s:%d) is used outside it; assign it there to a kiln_local made "
        "before, and read that",
        x->frame->what, x->made.file ? x->made.file : "?", x->made.line);
    return 0;
}

bool trace_repoint(Thread *t, kiln_site at, kiln_tensor *x, Value v)
{
    Frame *f = t->trace->frame, *top = function_frame(f);
    if (x->state == TENSOR_TRACED && x->frame == f) return put_in(t, at, f, &f->watched, x->value, v);
    if (x->state == TENSOR_TRACED) {
        Value outside = bring_in(t, at, x->frame, f->parent, x->value);
        return outside && put(t, at, f, outside, v);
    }
    if (f == top) return put(t, at, top, x->uid, v);
    Value outside = capture(t, at, x);
    outside = outside ? bring_in(t, at, top, f->parent, outside) : 0;
    return outside && put(t, at, f, outside, v);
}

/* Appends the node to the running trace's innermost frame; 0: recorded. */
static Value append_op(Thread *t, kiln_site at, Op op, kiln_tensor *const *in, uint32_t nin, const int64_t *attr,
    uint32_t nattr)
{
    ScratchMark mark = scratch_mark(&t->scratch);
    Value *v = SCRATCH(t, at, Value, nin), r = 0;
    uint32_t i = 0;
    for (; v && i < nin; i++)
        if (!(v[i] = trace_value(t, at, in[i]))) break;
    if (v && i == nin && t->trace) r = append(t, at, t->trace->frame, op, v, nin, attr, nattr);
    scratch_reset(&t->scratch, mark);
    return r;
}

kiln_tensor *trace_apply(Thread *t, kiln_site at, Op op, kiln_tensor *const *in, uint32_t nin,
    const int64_t *attr, uint32_t nattr, kiln_tensor **out, uint32_t nout)
{
    Value r = append_op(t, at, op, in, nin, attr, nattr);
    kiln_tensor *first = r ? tensor_traced(t, at, t->trace->frame, r) : &t->k->poison;
    for (uint32_t j = 0; j < nout; j++)
        out[j] = !r ? &t->k->poison : j ? tensor_traced(t, at, t->trace->frame, r + j) : first;
    return first;
}

bool trace_effect(Thread *t, kiln_site at, Op op, kiln_tensor *const *in, uint32_t nin,
    const int64_t *attr, uint32_t nattr, kiln_tensor **out, uint32_t nout)
{
    Value r = append_op(t, at, op, in, nin, attr, nattr);
    for (uint32_t j = 0; j < nout; j++)
        out[j] = r ? tensor_traced(t, at, t->trace->frame, r + j) : &t->k->poison;
    return r != 0;
}

/* ---- slots: variables and locals -------------------------------------------------------------------------------- */
static Slot *find_slot(Frame *f, const kiln_variable *v)
{
    const uint64_t *at = map_get(&f->slot_of, (uintptr_t)v);
    return at && f->slot.at[*at].variable == v ? &f->slot.at[*at] : NULL;
}

static void slot_body(void *arg)
{
    Append *a = arg;
    *VEC_PUSH(a->f->trace->arena, &a->f->slot) = (Slot){.variable = a->variable};
    map_put(&a->f->slot_of, (uintptr_t)a->variable, a->f->slot.len - 1);
}

static Slot *add_slot(Thread *t, kiln_site at, Frame *f, kiln_variable *v)
{
    Status st = {0};
    Append a = {.f = f, .variable = v};
    if (arena_try(f->trace->arena, &st, slot_body, &a)) return &f->slot.at[f->slot.len - 1];
    fail_status(t, at, &st);
    return NULL;
}

Slot *frame_slot(Frame *f, kiln_variable *v, bool make)
{
    Slot *s = find_slot(f, v);
    return s || !make ? s : add_slot(f->trace->t, (kiln_site){f->loc.file, f->loc.line}, f, v);
}

void trace_forget(Thread *t, const kiln_variable *v)
{
    for (Trace *tr = t->trace; tr; tr = tr->outer)
        for (Frame *f = tr->frame; f; f = f->parent) {
            Slot *s = find_slot(f, v);
            if (s) *s = (Slot){0};
        }
}

static Value read_in(Thread *t, kiln_site at, Frame *f, kiln_variable *v);

/* The value that the variable has when the frame begins, as a parameter of the frame. */
static Value entry_value(Thread *t, kiln_site at, Frame *f, kiln_variable *v)
{
    if (f->parent) {
        Value outside = read_in(t, at, f->parent, v);
        Type type = v->type;
        return outside ? frame_param(t, at, f, &type, (Column){COLUMN_FREE, outside, v}) : 0;
    }
    if (f->kind == FRAME_RULE) return closed_to(t, at, "a variable");
    if (v->trace_id && v->trace_id != f->trace->id) {
        fail(t, at, KILN_ESTATE, "read: the local was made inside another trace");
        return 0;
    }
    Source s = {
        .kind = FROM_VARIABLE, .variable = v, .uid = v->id, .type = v->type, .loc = loc_of(at)};
    return source_param(t, at, f, &v->type, &s);
}

static void note_body(void *arg)
{
    const Append *a = arg;
    Trace *tr = a->f->trace;
    *VEC_PUSH(tr->arena, &tr->read) = a->read;
}

bool trace_note(Thread *t, kiln_site at, kiln_variable *v, Value leaf)
{
    Status st = {0};
    Append a = {.f = t->trace->frame, .read = {v, 0, leaf}};
    if (arena_try(t->trace->arena, &st, note_body, &a)) return true;
    fail_status(t, at, &st);
    return false;
}

/* The variable's value in frame f, which tapes can ask for: a fresh leaf, where gradients stop; a local's is the value itself. */
static Value read_in(Thread *t, kiln_site at, Frame *f, kiln_variable *v)
{
    Slot *s = frame_slot(f, v, true);
    if (!s) return 0;
    if (!s->now) {
        Value entry = entry_value(t, at, f, v);
        s = find_slot(f, v);
        s->now = s->entry = entry;
        if (!entry) return 0;
    }
    s->read_after = s->read_after || s->assigned;
    Value leaf = v->local ? meaning(f, s->now) : append(t, at, f, OP_leaf, &s->now, 1, (int64_t[]){1}, 1);
    if (!leaf || (v->local && !dtype_is_float(v->type.dtype))) return leaf;
    if (!v->local && f->kind == FRAME_FUNCTION && !trace_note(t, at, v, leaf)) return 0;
    return !t->tape || t->k->hooks->note_leaf(t, f, v, leaf) ? leaf : 0;
}

void frame_pass_reads(const Frame *f, Value entry)
{
    static const struct {
        uint32_t len;
        int64_t at[1];
    } through = {1, {0}}; /* an Attr */
    _Static_assert(offsetof(Attr, at) == 8 && sizeof through == 16, "laid out as an Attr");
    for (uint32_t i = 0; i < f->g->node.len; i++) {
        Node *n = &f->g->node.at[i];
        if (n->op == OP_leaf && n->in[0] == entry && n->attr->at[0] == 1)
            n->attr = (Attr *)(uintptr_t)&through;
    }
}

kiln_tensor *trace_read(Thread *t, kiln_site at, kiln_variable *v)
{
    Frame *f = t->trace->frame;
    Value x = read_in(t, at, f, v);
    return x ? tensor_traced(t, at, f, x) : &t->k->poison;
}

bool trace_assign(Thread *t, kiln_site at, kiln_variable *v, kiln_tensor *x)
{
    Frame *f = t->trace->frame;
    const bool own = v->frame == f && v->trace_id == f->trace->id;
    if (f->kind == FRAME_CONDITION && !own) {
        fail(t, at, KILN_ESTATE,
            "assign: variable %s, in the condition of a %s (%s:%d): conditions only read; assign "
            "it in the body",
            v->name, f->what, f->loc.file ? f->loc.file : "?", f->loc.line);
        return false;
    }
    Value now = trace_value(t, at, x);
    Slot *s = now ? frame_slot(f, v, true) : NULL;
    if (!s) return false;
    if (f->parent && !s->entry && !own) {
        Value entry =
            entry_value(t, at, f, v); /* the region carries it: it needs a value to begin with */
        s = find_slot(f, v);
        if (!(s->entry = entry)) return false;
    }
    s->now = now;
    s->assigned = true;
    return true;
}

/* ---- what the rooms below ask ------------------------------------------------------------------------------------- */
bool trace_begin_local(Thread *t, kiln_site at, kiln_variable *v, kiln_tensor *x)
{
    v->frame = t->trace->frame;
    v->trace_id = t->trace->id;
    if (trace_assign(t, at, v, x)) return true;
    trace_forget(t, v);
    return false;
}

bool trace_is_current(const Thread *t, const kiln_tensor *x) { return t->trace->id == x->trace_id; }

Module *trace_module(const Trace *trace) { return trace->module; }

Module *traced_module(const kiln_tensor *x) { return x->frame->trace->module; }

int64_t traced_size(const kiln_tensor *x, int axis)
{
    const Dim d = x->type.dim[axis];
    Trace *tr = x->frame->trace;
    if (tr->automatic)
        fail(tr->t, (kiln_site){x->made.file, x->made.line}, KILN_ESTATE,
            "the body reads the size of axis %d as a C number, of the tensor made at", axis);
    return dim_hi(&tr->module->dims, d);
}

kiln_tensor *tensor_traced(Thread *t, kiln_site at, Frame *f, Value v)
{
    kiln_tensor *x = tensor_new(t, at);
    if (!x) return &t->k->poison;
    x->state = TENSOR_TRACED;
    x->frame = f;
    x->trace_id = f->trace->id;
    x->value = v;
    x->type = *graph_type(f->g, v);
    return x;
}
