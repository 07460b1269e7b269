/* update: the two ways to run a rule. In a trace, each op goes through apply. In eager code, the rule is recorded once per
 * parameter as a straight line of elementwise steps over slots and then run block by block, so that a step passes over memory once
 * and needs no memory beyond the blocks. Relies on eager.h, whose elementwise kernels on contiguous blocks cannot fail. Never reads
 * a variable after its first write. */
#include "update.h"

#include <stdatomic.h>

#define BLOCK ((int64_t)8192) /* elements */
#define CELLS 96
#define STEPS 64
#define WORKERS 64

/* ---- recording ----------------------------------------------------------------------------------------------- */
typedef enum Origin { OF_STATE, OF_GRADIENT, OF_SCALAR, OF_NUMBER, OF_STEP } Origin;

typedef struct Cell { /* one value of the rule */
    Type type;        /* rank 0 or 1: only whether it has an axis matters, not its size */
    uint8_t from;     /* Origin */
    uint32_t index;   /* the number of the state, the scalar or the slot */
    int last;         /* the last step that reads it */
    _Alignas(8) char number[8];
} Cell;

typedef struct RuleStep {
    Op op;
    uint32_t nin, nattr;
    Value in[3], out;
    int64_t attr;
} RuleStep;

typedef struct Line {
    Emit e; /* first: rules see an Emit */
    Cell cell[CELLS];
    RuleStep step[STEPS];
    int cells, steps, slots;
    Value next[UPDATE_STATES];
} Line;

static Value cell_new(Line *l, Cell c)
{
    if (l->cells == CELLS) return 0;
    l->cell[l->cells] = c;
    return (Value)l->cells++;
}

static const Type *line_type(Emit *e, Value v) { return &((Line *)e)->cell[v].type; }

static Value number(Line *l, const int64_t *attr)
{
    const struct constant_attrs *a = ATTRS(constant, attr);
    Cell c = {.type = {.dtype = (uint8_t)a->dtype, .rank = 1, .dim = {1}}, .from = OF_NUMBER};
    dtype_store_f64((DType)a->dtype, c.number, attr_f64(a->value));
    return cell_new(l, c);
}

static Value line_op(Emit *e, Op op, const Value *in, uint32_t nin, const int64_t *attr, uint32_t nattr)
{
    Line *l = (Line *)e;
    if (op == OP_constant) return number(l, attr);
    if (op == OP_broadcast) {
        Cell wide = l->cell[in[0]];
        wide.type.rank = 1;
        wide.type.dim[0] = 1;
        return cell_new(l, wide);
    }
    CHECK(op_def[op].flags & (OPF_ELEMENTWISE | OPF_CAST));
    if (l->steps == STEPS) return 0;
    RuleStep s = {.op = op, .nin = nin, .nattr = nattr, .attr = nattr ? attr[0] : 0};
    Cell out = {.type = l->cell[in[nin - 1]].type, .from = OF_STEP};
    if (op == OP_cast) out.type.dtype = (uint8_t)ATTRS(cast, attr)->to;
    if (op_def[op].flags & OPF_TO_BOOL) out.type.dtype = DT_bool;
    for (uint32_t i = 0; i < nin; i++) {
        s.in[i] = in[i];
        l->cell[in[i]].last = l->steps;
    }
    s.out = cell_new(l, out);
    if (s.out) l->step[l->steps++] = s;
    return s.out;
}

/* Assigns slots to the results of steps; a slot is free again after its last reader has run. */
static void place(Line *l)
{
    int free_slot[STEPS], nfree = 0;
    for (int i = 0; i < UPDATE_STATES; i++)
        if (l->next[i]) l->cell[l->next[i]].last = STEPS;
    for (int s = 0; s < l->steps; s++) {
        const RuleStep *step = &l->step[s];
        l->cell[step->out].index = (uint32_t)(nfree ? free_slot[--nfree] : l->slots++);
        for (uint32_t i = 0; i < step->nin; i++) {
            Cell *c = &l->cell[step->in[i]];
            if (c->from != OF_STEP || c->last != s) continue;
            c->last = STEPS; /* an operand that is named twice */
            free_slot[nfree++] = (int)c->index;
        }
    }
}

static bool record(Line *l, UpdateRule *rule, const void *user, const Update *u)
{
    *l = (Line){.e = {.op = line_op, .type = line_type}, .cells = 1};
    UpdateIn in = {.e = &l->e, .user = user};
    Cell c = {.type = {.rank = 1, .dim = {1}}};
    for (int i = 0; i < u->states; i++) {
        c.type.dtype = u->state[i]->type.dtype;
        c.from = OF_STATE;
        c.index = (uint32_t)i;
        in.state[i] = cell_new(l, c);
    }
    c.from = OF_GRADIENT;
    c.type.dtype = u->gradient->type.dtype;
    in.gradient = cell_new(l, c);
    for (int i = 0; i < u->scalars; i++) {
        c.from = OF_SCALAR;
        c.type.dtype = u->scalar[i]->type.dtype;
        c.index = (uint32_t)i;
        in.scalar[i] = cell_new(l, c);
    }
    rule(&in, l->next);
    place(l);
    for (int i = 0; i < u->states; i++)
        if (!l->next[i] || l->cell[l->next[i]].type.dtype != u->state[i]->type.dtype) return false;
    return true;
}

/* ---- running it ---------------------------------------------------------------------------------------------- */
typedef struct WorkerSlots {
    char *at;
    size_t bytes, each; /* the bytes of all slots, and of one */
    int slots, workers;
    atomic_flag taken[WORKERS];
} WorkerSlots;

typedef struct Job {
    const Line *line;
    const Update *u;
    const char *gradient;
    char *to[UPDATE_STATES];
    WorkerSlots *scratch;
} Job;

static View view_of(const Job *j, const Cell *c, char *slots, int64_t lo, int64_t n)
{
    const size_t bytes = dtype_bytes((DType)c->type.dtype);
    View v = {.dtype = c->type.dtype, .rank = 1, .dim = {n}, .stride = {1}};
    switch (c->from) {
    case OF_STATE: v.data = j->u->state[c->index]->value->data + (size_t)lo * bytes; break;
    case OF_GRADIENT: v.data = (char *)(uintptr_t)j->gradient + (size_t)lo * bytes; break;
    case OF_SCALAR:
        v.data = j->u->scalar[c->index]->data;
        v.stride[0] = 0;
        break;
    case OF_NUMBER:
        v.data = (char *)(uintptr_t)c->number;
        v.stride[0] = 0;
        break;
    default: v.data = slots + c->index * j->scratch->each; break;
    }
    return v;
}

static int slots_take(WorkerSlots *s)
{
    for (int i = 0;; i = (i + 1) % s->workers)
        if (!atomic_flag_test_and_set_explicit(&s->taken[i], memory_order_acquire)) return i;
}

static void run_block(void *arg, int64_t lo, int64_t hi)
{
    const Job *j = arg;
    const int worker = slots_take(j->scratch);
    char *slots = j->scratch->at + (size_t)worker * (size_t)j->scratch->slots * j->scratch->each;
    const EagerCtx alone = {0};
    for (; lo < hi; lo += BLOCK) {
        const int64_t n = MIN_OF(hi - lo, BLOCK);
        for (int s = 0; s < j->line->steps; s++) {
            const RuleStep *step = &j->line->step[s];
            View in[3], out = view_of(j, &j->line->cell[step->out], slots, lo, n);
            Status st = {0};
            for (uint32_t i = 0; i < step->nin; i++) in[i] = view_of(j, &j->line->cell[step->in[i]], slots, lo, n);
            bool ok = eager_run(&alone, step->op, in, step->nin, &step->attr, step->nattr, &out, 1, &st);
            CHECK(ok);
            (void)ok;
        }
        for (int i = 0; i < j->u->states; i++) {
            const View from = view_of(j, &j->line->cell[j->line->next[i]], slots, lo, n);
            const size_t bytes = dtype_bytes((DType)from.dtype);
            memcpy(j->to[i] + (size_t)lo * bytes, from.data, (size_t)n * bytes);
        }
    }
    atomic_flag_clear_explicit(&j->scratch->taken[worker], memory_order_release);
}

/* ---- before the first write ---------------------------------------------------------------------------------- */
typedef struct Staging {
    Line *line;           /* the steps of the update at hand */
    kiln_tensor **staged; /* per update and state: the tensor of the new value; NULL: it is written in place */
    kiln_tensor **also;   /* per assignment: the tensor of the new value */
    char *gradient;       /* room for a gradient that is not contiguous */
    size_t gradient_bytes;
    WorkerSlots scratch;
    int count, nalso;
} Staging;

static bool no_memory(Thread *t, kiln_site at)
{
    fail(t, at, KILN_EMEMORY, "optimizer: no memory");
    return false;
}

/* Whether nobody else sees the buffer. */
static bool writable(const kiln_variable *v) { return !v->local && v->value->owners == 1 && buffer_unshared(v->value->buffer); }

static bool stage(Thread *t, kiln_site at, const Update *u, kiln_tensor **staged)
{
    for (int i = 0; i < u->states; i++) {
        if (writable(u->state[i])) continue;
        kiln_tensor *x = tensor_empty(t, at, &u->state[i]->type);
        if (!x) return false;
        staged[i] = kiln_own(x);
    }
    return true;
}

static bool stage_scalar(Thread *t, kiln_site at, const Assignment *a, kiln_tensor **staged)
{
    kiln_tensor *x = tensor_empty(t, at, &a->to->type);
    if (!x) return false;
    *staged = kiln_own(x);
    View v;
    tensor_view(a->value, &v);
    eager_copy(&(EagerCtx){0}, &v, x->data);
    return true;
}

static bool slots_new(Thread *t, kiln_site at, Staging *p, const Update *u)
{
    WorkerSlots *s = &p->scratch;
    int64_t most = 1;
    for (int i = 0; i < p->count; i++) {
        const int64_t n = type_count(&u[i].state[0]->type);
        const size_t bytes = (size_t)n * dtype_bytes((DType)u[i].gradient->type.dtype);
        most = MAX_OF(most, n);
        if (!u[i].gradient->contiguous) p->gradient_bytes = MAX_OF(p->gradient_bytes, bytes);
    }
    s->workers = (int)MIN_OF(MIN_OF((most + BLOCK - 1) / BLOCK, WORKERS), t->k->threads ? threads_count(t->k->threads) : 1);
    for (int i = 0; i < s->workers; i++) atomic_flag_clear(&s->taken[i]);
    s->each = ((size_t)MIN_OF(most, BLOCK) * 8 + 63) / 64 * 64;
    s->bytes = s->each * (size_t)s->slots * (size_t)s->workers;
    s->at = mem_alloc_aligned(MAX_OF(s->bytes, 1), 64);
    p->gradient = p->gradient_bytes ? mem_alloc(p->gradient_bytes) : NULL;
    return (s->at && (p->gradient || !p->gradient_bytes)) || no_memory(t, at);
}

static bool plan_make(
    Thread *t, kiln_site at, Staging *p, UpdateRule *rule, const void *user, const Update *u, const Assignment *also)
{
    const size_t n = (size_t)p->count;
    p->line = mem_alloc(sizeof *p->line);
    p->staged = mem_zeros(n * UPDATE_STATES + 1, sizeof *p->staged);
    p->also = mem_zeros((size_t)p->nalso + 1, sizeof *p->also);
    if (!p->line || !p->staged || !p->also) return no_memory(t, at);
    for (int i = 0; i < p->count; i++) {
        if (!record(p->line, rule, user, &u[i])) {
            fail(t, at, KILN_EINTERNAL, "optimizer: no rule for variable \"%s\"", u[i].state[0]->name);
            return false;
        }
        p->scratch.slots = MAX_OF(p->scratch.slots, p->line->slots);
        if (!stage(t, at, &u[i], p->staged + i * UPDATE_STATES)) return false;
    }
    for (int i = 0; i < p->nalso; i++)
        if (!stage_scalar(t, at, &also[i], &p->also[i])) return false;
    return slots_new(t, at, p, u);
}

static void plan_free(Staging *p)
{
    for (int i = 0; p->staged && i < p->count * UPDATE_STATES; i++)
        if (p->staged[i]) kiln_release(p->staged[i]);
    for (int i = 0; p->also && i < p->nalso; i++)
        if (p->also[i]) kiln_release(p->also[i]);
    mem_free(p->line, p->line ? sizeof *p->line : 0);
    mem_free(p->staged, p->staged ? ((size_t)p->count * UPDATE_STATES + 1) * sizeof *p->staged : 0);
    mem_free(p->also, p->also ? ((size_t)p->nalso + 1) * sizeof *p->also : 0);
    mem_free(p->gradient, p->gradient ? p->gradient_bytes : 0);
    if (p->scratch.at) mem_free_aligned(p->scratch.at, MAX_OF(p->scratch.bytes, 1), 64);
}

/* ---- from the first write on ---------------------------------------------------------------------------------- */
static void swap_in(kiln_variable *v, kiln_tensor **staged)
{
    kiln_tensor *old = v->value;
    if (!*staged) return;
    v->value = *staged;
    *staged = NULL;
    kiln_release(old);
}

static void run_one(Thread *t, Staging *p, UpdateRule *rule, const void *user, int i, const Update *u)
{
    kiln_tensor **staged = p->staged + i * UPDATE_STATES;
    const int64_t n = type_count(&u->state[0]->type);
    record(p->line, rule, user, u); /* as it did before */
    Job j = {.line = p->line, .u = u, .gradient = u->gradient->data, .scratch = &p->scratch};
    if (!u->gradient->contiguous) {
        View v;
        tensor_view(u->gradient, &v);
        eager_copy(&(EagerCtx){.threads = t->k->threads}, &v, p->gradient);
        j.gradient = p->gradient;
    }
    for (int s = 0; s < u->states; s++) {
        j.to[s] = staged[s] ? staged[s]->data : u->state[s]->value->data;
        if (!staged[s]) buffer_changes(u->state[s]->value->buffer);
    }
    if (n > BLOCK && t->k->threads)
        threads_run(t->k->threads, run_block, &j, n, BLOCK);
    else if (n > 0)
        run_block(&j, 0, n);
    for (int s = 0; s < u->states; s++) swap_in(u->state[s], &staged[s]);
    t->kernels_run += (uint64_t)p->line->steps;
}

static bool run_eagerly(
    Thread *t, kiln_site at, UpdateRule *rule, const void *user, const Update *u, const Assignment *also, Staging p)
{
    kiln_scope scope = kiln_scope_open_at(at, t->k);
    bool ok = scope.id && plan_make(t, at, &p, rule, user, u, also);
    for (int i = 0; ok && i < p.count; i++) run_one(t, &p, rule, user, i, &u[i]);
    for (int i = 0; ok && i < p.nalso; i++) swap_in(also[i].to, &p.also[i]);
    plan_free(&p);
    kiln_scope_close(&scope);
    return ok;
}

/* ---- traced ---------------------------------------------------------------------------------------------------- */
typedef struct Applied {
    Emit e; /* first: rules see an Emit */
    Thread *t;
    kiln_site at;
    kiln_tensor *value[CELLS];
    int values;
} Applied;

static Value applied_new(Applied *a, kiln_tensor *x)
{
    if (!tensor_ok(x) || a->values == CELLS) return 0;
    a->value[a->values] = x;
    return (Value)a->values++;
}

static Value applied_op(Emit *e, Op op, const Value *in, uint32_t nin, const int64_t *attr, uint32_t nattr)
{
    Applied *a = (Applied *)e;
    kiln_tensor *x[3];
    for (uint32_t i = 0; i < nin; i++) x[i] = a->value[in[i]];
    return applied_new(a, apply(a->t, a->at, op, x, nin, attr, nattr, NULL, 0));
}

static const Type *applied_type(Emit *e, Value v) { return &((Applied *)e)->value[v]->type; }

/* Computes the new values of u's states by operations. */
static bool apply_one(Thread *t, kiln_site at, UpdateRule *rule, const void *user, const Update *u, Assignment *to)
{
    Applied a = {.e = {.op = applied_op, .type = applied_type, .module = module_of(t)}, .t = t, .at = at, .values = 1};
    UpdateIn in = {.e = &a.e, .user = user};
    Value next[UPDATE_STATES] = {0};
    const Type *shape = &u->state[0]->type;
    for (int i = 0; i < u->states; i++) in.state[i] = applied_new(&a, kiln_value_at(at, kiln_of_variable(u->state[i])));
    in.gradient = applied_new(&a, u->gradient);
    for (int i = 0; i < u->scalars; i++) in.scalar[i] = applied_new(&a, broadcast_to(t, at, u->scalar[i], shape));
    for (int i = 0; i < u->states; i++)
        if (!in.state[i]) return false;
    for (int i = 0; i < u->scalars; i++)
        if (!in.scalar[i]) return false;
    rule(&in, next);
    for (int i = 0; i < u->states; i++) {
        if (!next[i]) return false;
        to[i] = (Assignment){u->state[i], a.value[next[i]]};
    }
    return true;
}

static bool trace_all(Thread *t, kiln_site at, UpdateRule *rule, const void *user, const Update *u, int count)
{
    for (int i = 0; i < count; i++) {
        Assignment to[UPDATE_STATES];
        if (!apply_one(t, at, rule, user, &u[i], to)) return false;
        for (int s = 0; s < u[i].states; s++) kiln_assign_at(at, to[s].to, kiln_of_tensor(to[s].value));
    }
    return true;
}

/* ---- on a device that the host does not reach: by operations, too, with all values there before the first is put in */
static bool on_host(const Update *u, int count)
{
    for (int i = 0; i < count; i++)
        for (int s = 0; s < u[i].states; s++)
            if (u[i].state[s]->value->device != HOST || u[i].gradient->device != HOST) return false;
    return true;
}

static bool apply_all(
    Thread *t, kiln_site at, UpdateRule *rule, const void *user, const Update *u, int count, const Assignment *also, int nalso)
{
    ScratchMark mark = scratch_mark(&t->scratch);
    Assignment *to = SCRATCH(t, at, Assignment, (size_t)count * UPDATE_STATES + (size_t)nalso);
    kiln_scope scope = kiln_scope_open_at(at, t->k);
    const uint32_t recording = t->recording;
    bool ok = to && scope.id;
    int n = 0;
    t->recording = 0;
    for (int i = 0; i < count && ok; n += u[i++].states) ok = apply_one(t, at, rule, user, &u[i], to + n);
    if (ok && nalso) memcpy(to + n, also, (size_t)nalso * sizeof *also);
    ok = ok && assign_all(t, at, to, n + nalso);
    t->recording = recording;
    kiln_scope_close(&scope);
    scratch_reset(&t->scratch, mark);
    return ok;
}

bool update_run(
    Thread *t, kiln_site at, UpdateRule *rule, const void *user, const Update *u, int count, const Assignment *also, int nalso)
{
    if (!t->trace && on_host(u, count)) return run_eagerly(t, at, rule, user, u, also, (Staging){.count = count, .nalso = nalso});
    if (!t->trace) return apply_all(t, at, rule, user, u, count, also, nalso);
    const uint64_t failures = t->failures;
    if (!trace_all(t, at, rule, user, u, count)) return false;
    for (int i = 0; i < nalso; i++) kiln_assign_at(at, also[i].to, kiln_of_tensor(also[i].value));
    return t->failures == failures;
}
