/* trace: appending to the graph of a running trace. Operands from outside become inputs; variables are slots that hold their
 * current value; regions are frames, each a graph of its own that takes what it uses from outside as parameters. Only appends: no
 * folding, no sharing. Never compiles. */
#include "trace.h"

#include "../../ir/sizes.h"
#include "../ops/effect.h"

bool frame_encloses(const Frame *outer, const Frame *inner)
{
    while (inner && inner != outer) inner = inner->parent;
    return inner;
}

/* ---- appending: inside a border ---------------------------------------------------------------------------------
 * The graph lives in an arena; running out of it must not cross the user's frames. Each function that others call sets one border
 * and asks within it. */
typedef struct Ask {
    Thread *t;
    kiln_site at;
    Frame *f;
    Op op;
    kiln_tensor *const *in;
    uint32_t nin;
    const int64_t *attr;
    uint32_t nattr;
    kiln_tensor *x;
    kiln_variable *variable;
    const Type *type;
    const char *text;
    Column column;
    Dim bound, size;
    Value value, out; /* out: 0 if nothing was asked for, or after a failure, which is recorded */
    bool ok;
} Ask;

static bool ask(Ask *a, void (*body)(void *)) { return bordered(a->t, a->at, a->t->trace->arena, body, a); }

static Value append(Thread *t, kiln_site at, Frame *f, Op op, const Value *in, uint32_t nin, const int64_t *attr, uint32_t nattr)
{
    Status st = {0};
    Value v = graph_append(f->g, op, in, nin, attr, nattr, loc_of(at), &st);
    if (!v) fail_status(t, at, &st);
    return v;
}

static Value source_param(Frame *f, const Source *source)
{
    Value p = graph_param(f->g, &source->type, source->loc);
    *VEC_PUSH(f->trace->arena, &f->trace->source) = *source;
    return p;
}

static Value column_param(Frame *f, const Type *type, Column c, Loc loc)
{
    Value p = graph_param(f->g, type, loc);
    *VEC_PUSH(f->trace->arena, &f->column) = c;
    return p;
}

static void param_body(void *arg)
{
    Ask *a = arg;
    a->out = column_param(a->f, a->type, a->column, loc_of(a->at));
}

Value frame_param(Thread *t, kiln_site at, Frame *f, const Type *type, Column c)
{
    Ask a = {.t = t, .at = at, .f = f, .type = type, .column = c};
    return ask(&a, param_body) ? a.out : 0;
}

/* ---- operands -------------------------------------------------------------------------------------------------- */
/* What value v of frame f stands for now: the tensor may have been watched since, by this handle or another one. */
static Value meaning(const Frame *f, Value v)
{
    const uint64_t *leaf;
    while ((leaf = map_get(&f->watched, v))) v = (Value)*leaf;
    return v;
}

/* The value v of frame `from` as a value of `f`, which `from` encloses; each frame on the way in gets a parameter for it. */
static Value bring_in(const Frame *from, Frame *f, Value v, Loc loc)
{
    if (f == from) return v;
    Value outside = bring_in(from, f->parent, v, loc);
    const uint64_t *known = map_get(&f->captured, outside);
    if (known) return (Value)*known;
    Type type = *graph_type(f->parent->g, outside);
    Value p = column_param(f, &type, (Column){COLUMN_FREE, outside, NULL}, loc);
    map_put(&f->captured, outside, p);
    return p;
}

static Frame *function_frame(Frame *f)
{
    while (f->parent) f = f->parent;
    return f;
}

/* The error for whatever would come into the frame of a gradient rule from outside. */
static Value closed_to(Thread *t, kiln_site at, const char *what)
{
    fail(t, at, KILN_EUNSUPPORTED,
        "custom gradient: its function, applied inside a loop or branch, uses %s from outside; "
        "give it to kiln_custom_gradient as an operand",
        what);
    return 0;
}

static bool made_here(const Thread *t, const kiln_tensor *x) { return x->home == t && x->uid >= t->trace->first_uid; }

static void alias_body(void *arg)
{
    const Ask *a = arg;
    Map *first = &a->t->trace->first;
    if (!map_get(first, a->x->uid)) map_put(first, a->x->uid, (uint64_t)(uintptr_t)a->x);
}

kiln_tensor *trace_alias(Thread *t, kiln_site at, kiln_tensor *x)
{
    Ask a = {.t = t, .at = at, .x = x};
    if (t->trace && x->state == TENSOR_EAGER && !made_here(t, x) && !ask(&a, alias_body)) return &t->k->poison;
    return tensor_alias(t, at, x);
}

static kiln_tensor *first_handle(const Trace *tr, kiln_tensor *x)
{
    const uint64_t *first = map_get(&tr->first, x->uid);
    kiln_tensor *f = first ? (kiln_tensor *)(uintptr_t)*first : x;
    return f->state == TENSOR_EAGER && f->uid == x->uid ? f : x;
}

static Value capture(Thread *t, kiln_site at, kiln_tensor *x)
{
    Trace *tr = t->trace;
    Frame *top = function_frame(tr->frame);
    if (top->kind == FRAME_RULE) return closed_to(t, at, "a tensor");
    const uint64_t *known = map_get(&top->captured, x->uid);
    if (known) return (Value)*known;
    const bool own = made_here(t, x);
    Source s = {.kind = own ? FROM_LITERAL : FROM_CAPTURE,
        .tensor = first_handle(tr, x),
        .uid = x->uid,
        .type = x->type,
        .loc = loc_of(at)};
    Value p = graph_param(top->g, &s.type, s.loc);
    map_put(&top->captured, x->uid, p);
    *VEC_PUSH(tr->arena, &tr->source) = s; /* last: a literal among them has an owner, which comes now */
    if (own) kiln_own(x);                  /* concrete data that the body spells out: part of the function from now on */
    return p;
}

static Value outside_its_trace(Thread *t, kiln_site at, const kiln_tensor *x)
{
    fail(t, at, KILN_ESTATE, "a value traced at %s:%d is used outside its trace; return it from the function",
        x->made.file ? x->made.file : "?", x->made.line);
    return 0;
}

static Value value_of(Thread *t, kiln_site at, kiln_tensor *x)
{
    Trace *tr = t->trace;
    if (x->state == TENSOR_EAGER) {
        Value v = capture(t, at, x);
        return v ? bring_in(function_frame(tr->frame), tr->frame, v, loc_of(at)) : 0;
    }
    if (x->trace_id != tr->id) return outside_its_trace(t, at, x);
    if (frame_encloses(x->frame, tr->frame)) return bring_in(x->frame, tr->frame, meaning(x->frame, x->value), loc_of(at));
    if (function_frame(tr->frame)->kind == FRAME_RULE) return closed_to(t, at, "a value");
    fail(t, at, KILN_ESTATE,
        "a value made inside a %s (%s:%d) is used outside it; assign it there to a kiln_local made "
        "before, and read that",
        x->frame->what, x->made.file ? x->made.file : "?", x->made.line);
    return 0;
}

static void value_body(void *arg)
{
    Ask *a = arg;
    a->out = value_of(a->t, a->at, a->x);
}

Value trace_value(Thread *t, kiln_site at, kiln_tensor *x)
{
    Ask a = {.t = t, .at = at, .x = x};
    if (!t->trace) return outside_its_trace(t, at, x);
    return ask(&a, value_body) ? a.out : 0;
}

static void repoint_body(void *arg)
{
    Ask *a = arg;
    kiln_tensor *x = a->x;
    Frame *f = a->t->trace->frame, *top = function_frame(f);
    if (x->state == TENSOR_TRACED && x->frame == f) {
        map_put(&f->watched, x->value, a->value);
    } else if (x->state == TENSOR_TRACED) {
        map_put(&f->captured, bring_in(x->frame, f->parent, x->value, loc_of(a->at)), a->value);
    } else if (f == top) {
        map_put(&top->captured, x->uid, a->value);
    } else {
        Value outside = capture(a->t, a->at, x);
        if (!outside) return;
        map_put(&f->captured, bring_in(top, f->parent, outside, loc_of(a->at)), a->value);
    }
    a->ok = true;
}

bool trace_repoint(Thread *t, kiln_site at, kiln_tensor *x, Value v)
{
    Ask a = {.t = t, .at = at, .x = x, .value = v};
    return ask(&a, repoint_body) && a.ok;
}

static void op_body(void *arg)
{
    Ask *a = arg;
    Value *v = SCRATCH(a->t, a->at, Value, a->nin);
    for (uint32_t i = 0; v && i < a->nin; i++)
        if (!(v[i] = value_of(a->t, a->at, a->in[i]))) return;
    if (v) a->out = append(a->t, a->at, a->t->trace->frame, a->op, v, a->nin, a->attr, a->nattr);
}

/* Appends the node to the running trace's innermost frame; 0: recorded. */
static Value append_op(Thread *t, kiln_site at, Op op, kiln_tensor *const *in, uint32_t nin, const int64_t *attr, uint32_t nattr)
{
    uint32_t stray = 0;
    while (!t->trace && in[stray]->state != TENSOR_TRACED) stray++;
    if (!t->trace) return outside_its_trace(t, at, in[stray]);
    ScratchMark mark = scratch_mark(&t->scratch);
    Ask a = {.t = t, .at = at, .op = op, .in = in, .nin = nin, .attr = attr, .nattr = nattr};
    if (!ask(&a, op_body)) a.out = 0;
    scratch_reset(&t->scratch, mark);
    return a.out;
}

/* What cannot be done with an axis that has no elements is an error of the running program where it may have none. */
static bool holds_elements(Thread *t, kiln_site at, Op op, kiln_tensor *const *in, const int64_t *attr, uint32_t nattr)
{
    const bool extreme = (op == OP_reduce_max || op == OP_reduce_min) && in[0]->type.dtype != DT_bool,
               place = op == OP_argmax || op == OP_argmin;
    const bool indexed = op == OP_gather || op == OP_scatter;
    DimTable *dims = t->trace ? &t->trace->module->dims : NULL;
    if (!(extreme || place || indexed) || !dims) return true;
    const Dim indices = indexed ? type_elements(dims, &in[1]->type) : 1;
    for (uint32_t i = 0; i < (extreme ? nattr : 1); i++) {
        const Dim n = attr[i] >= 0 && attr[i] < in[0]->type.rank ? in[0]->type.dim[attr[i]] : 1;
        if (dim_lo(dims, n) > 0 || dim_hi(dims, n) < 1) continue;
        kiln_tensor *size = dim_tensor(t, at, n, DT_i64), *none = constant_of(t, at, &(Type){.dtype = DT_i64}, kiln_of_i(0));
        kiln_tensor *holds = apply2(t, at, OP_gt, size, none, NULL, 0);
        if (indexed && indices != DIM_BAD && dim_lo(dims, indices) < 1)
            holds = apply2(t, at, OP_or, holds, apply2(t, at, OP_eq, dim_tensor(t, at, indices, DT_i64), none, NULL, 0), NULL, 0);
        const char *text =
            indexed ? "the indexed axis has no elements" : "the axis has no elements, so there is no largest or smallest";
        if (!effect_holds(t, at, holds, text)) return false;
    }
    return true;
}

kiln_tensor *trace_apply(Thread *t, kiln_site at, Op op, kiln_tensor *const *in, uint32_t nin, const int64_t *attr, uint32_t nattr,
    kiln_tensor **out, uint32_t nout)
{
    const bool goes = holds_elements(t, at, op, in, attr, nattr);
    Value r = goes ? append_op(t, at, op, in, nin, attr, nattr) : 0;
    kiln_tensor *first = r ? tensor_traced(t, at, t->trace->frame, r) : &t->k->poison;
    for (uint32_t j = 0; j < nout; j++) out[j] = !r ? &t->k->poison : j ? tensor_traced(t, at, t->trace->frame, r + j) : first;
    return first;
}

bool trace_effect(Thread *t, kiln_site at, Op op, kiln_tensor *const *in, uint32_t nin, const int64_t *attr, uint32_t nattr,
    kiln_tensor **out, uint32_t nout)
{
    Value r = append_op(t, at, op, in, nin, attr, nattr);
    for (uint32_t j = 0; j < nout; j++) out[j] = r ? tensor_traced(t, at, t->trace->frame, r + j) : &t->k->poison;
    return r != 0;
}

/* ---- slots: variables and locals -------------------------------------------------------------------------------- */
static Slot *find_slot(Frame *f, const kiln_variable *v)
{
    const uint64_t *at = map_get(&f->slot_of, (uintptr_t)v);
    return at && f->slot.at[*at].variable == v ? &f->slot.at[*at] : NULL;
}

static Slot *make_slot(Frame *f, kiln_variable *v)
{
    Slot *s = find_slot(f, v);
    if (s) return s;
    *VEC_PUSH(f->trace->arena, &f->slot) = (Slot){.variable = v};
    map_put(&f->slot_of, (uintptr_t)v, f->slot.len - 1);
    return &f->slot.at[f->slot.len - 1];
}

const Slot *frame_slot(Frame *f, const kiln_variable *v) { return find_slot(f, v); }

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
        return outside ? column_param(f, &type, (Column){COLUMN_FREE, outside, v}, loc_of(at)) : 0;
    }
    if (f->kind == FRAME_RULE) return closed_to(t, at, "a variable");
    if (v->trace_id && v->trace_id != f->trace->id) {
        fail(t, at, KILN_ESTATE, "read: the local was made inside another trace");
        return 0;
    }
    Source s = {.kind = FROM_VARIABLE, .variable = v, .uid = v->id, .type = v->type, .loc = loc_of(at)};
    return source_param(f, &s);
}

static void note_body(void *arg)
{
    const Ask *a = arg;
    Trace *tr = a->t->trace;
    *VEC_PUSH(tr->arena, &tr->read) = (TapeRead){a->variable, 0, a->value};
}

bool trace_note(Thread *t, kiln_site at, kiln_variable *v, Value leaf)
{
    Ask a = {.t = t, .at = at, .variable = v, .value = leaf};
    return ask(&a, note_body);
}

/* The variable's value in frame f, as something that tapes can ask about: a fresh leaf where gradients stop, or for a local the
 * value itself. */
static Value read_in(Thread *t, kiln_site at, Frame *f, kiln_variable *v)
{
    Slot *s = make_slot(f, v);
    if (!s->now) {
        Value entry = entry_value(t, at, f, v);
        s = find_slot(f, v);
        s->now = s->entry = entry;
        if (!entry) return 0;
    }
    s->read_after = s->read_after || s->assigned;
    Value leaf = v->local ? meaning(f, s->now) : append(t, at, f, OP_leaf, &s->now, 1, ATTRS_OF(leaf, .stops = true));
    if (!leaf || v->unwatched || (v->local && !dtype_is_float(v->type.dtype))) return leaf;
    if (!v->local && f->kind == FRAME_FUNCTION) *VEC_PUSH(f->trace->arena, &f->trace->read) = (TapeRead){v, 0, leaf};
    return !t->tape || t->k->hooks->note_leaf(t, f, v, leaf) ? leaf : 0;
}

void frame_pass_reads(const Frame *f, Value entry)
{
    static const struct {
        uint32_t len;
        struct leaf_attrs at;
    } through = {1, {.stops = false}}; /* an Attr */
    _Static_assert(offsetof(Attr, at) == 8 && sizeof through == 16, "laid out as an Attr");
    for (uint32_t i = 0; i < f->g->node.len; i++) {
        Node *n = &f->g->node.at[i];
        if (n->op == OP_leaf && n->in[0] == entry && ATTRS(leaf, n->attr->at)->stops == 1) n->attr = (Attr *)(uintptr_t)&through;
    }
}

static void read_body(void *arg)
{
    Ask *a = arg;
    a->out = read_in(a->t, a->at, a->t->trace->frame, a->variable);
}

kiln_tensor *trace_read(Thread *t, kiln_site at, kiln_variable *v)
{
    Ask a = {.t = t, .at = at, .variable = v};
    return ask(&a, read_body) && a.out ? tensor_traced(t, at, t->trace->frame, a.out) : &t->k->poison;
}

static void assign_body(void *arg)
{
    Ask *a = arg;
    kiln_variable *v = a->variable;
    Frame *f = a->t->trace->frame;
    const bool own = v->frame == f && v->trace_id == f->trace->id;
    Value now = value_of(a->t, a->at, a->x);
    if (!now) return;
    Slot *s = make_slot(f, v);
    if (f->parent && !s->entry && !own) { /* the region carries it: it needs a value to begin with */
        Value entry = entry_value(a->t, a->at, f, v);
        s = find_slot(f, v);
        if (!(s->entry = entry)) return;
    }
    s->now = now;
    s->assigned = a->ok = true;
}

bool trace_assign(Thread *t, kiln_site at, kiln_variable *v, kiln_tensor *x)
{
    const Frame *f = t->trace->frame;
    const bool own = v->frame == f && v->trace_id == f->trace->id;
    if (f->kind == FRAME_CONDITION && !own) {
        fail(t, at, KILN_ESTATE,
            "assign: variable %s is assigned in the condition of a %s (%s:%d); conditions only read: assign "
            "it in the body",
            v->name, f->what, f->loc.file ? f->loc.file : "?", f->loc.line);
        return false;
    }
    Ask a = {.t = t, .at = at, .variable = v, .x = x};
    return ask(&a, assign_body) && a.ok;
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

/* What counts the same has the same size. */
static void count_body(void *arg)
{
    Ask *a = arg;
    Trace *tr = a->t->trace;
    DimTable *dims = &tr->module->dims;
    const Value n = value_of(a->t, a->at, a->x);
    if (!n) return;
    a->size = size_counted_as(tr->frame->g, n, a->bound);
    if (a->size != DIM_BAD) return;
    a->size = dim_counted(dims, dim_fresh(dims, tr->arena, "count"), a->bound);
    if (!append(a->t, a->at, tr->frame, OP_set_size, &n, 1, ATTRS_OF(set_size, .size = a->size))) a->size = DIM_BAD;
}

Dim trace_count(Thread *t, kiln_site at, kiln_tensor *n, Dim bound)
{
    Ask a = {.t = t, .at = at, .x = n, .bound = bound, .size = DIM_BAD};
    return ask(&a, count_body) ? a.size : DIM_BAD;
}

static void label_body(void *arg)
{
    const Ask *a = arg;
    Trace *tr = a->t->trace;
    const char *text = a->text ? arena_copy(tr->arena, a->text, strlen(a->text) + 1) : NULL;
    *VEC_PUSH(tr->arena, &tr->label) = (Label){tr->frame->g, tr->frame->g->value.len, text};
}

void trace_label(Thread *t, kiln_site at, const char *text) { ask(&(Ask){.t = t, .at = at, .text = text}, label_body); }

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
