/* update: the two ways to run a rule. In a trace, each op goes through apply. In eager code, the rule is recorded once for each
 * kind of parameter, and all parameters' blocks run side by side (line.c). Never reads a variable after its first write, but for
 * one that is in the list twice, or with its moments. */
#include "line.h"

/* ---- before the first write ---------------------------------------------------------------------------------- */
typedef struct Staging {
    LineJob *job; /* per update */
    Line **line;  /* recorded so far, one for each kind of update */
    int count, nline, nalso;
    bool *again;          /* per update: one before it in its run changes the same variable, so that it begins another run */
    kiln_tensor **staged; /* per update and state: the tensor of the new value; NULL: it is written in place */
    kiln_tensor **also;   /* per assignment: the tensor of the new value */
    char *gradient;       /* room for the gradients that are not contiguous */
    size_t gradient_bytes;
    LineRoom room;
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

/* The line of this update: one that is there, or a new one. */
static const Line *line_for(Thread *t, kiln_site at, Staging *p, UpdateRule *rule, const void *user, const Update *u)
{
    bool memory;
    for (int i = p->nline; i-- > 0;)
        if (line_fits(p->line[i], u)) return p->line[i];
    Line *l = line_new(rule, user, u, &memory);
    if (l) return p->line[p->nline++] = l;
    if (memory)
        fail(t, at, KILN_EINTERNAL, "optimizer: no rule for variable \"%s\"", u->state[0]->name);
    else
        no_memory(t, at);
    return NULL;
}

static size_t packed_bytes(const kiln_tensor *x)
{
    return ((size_t)type_count(&x->type) * dtype_bytes((DType)x->type.dtype) + 63) / 64 * 64;
}

/* Packs the gradients that are not contiguous. */
static bool pack_gradients(Thread *t, kiln_site at, Staging *p, const Update *u)
{
    size_t used = 0;
    for (int i = 0; i < p->count; i++)
        if (!u[i].gradient->contiguous) p->gradient_bytes += packed_bytes(u[i].gradient);
    if (p->gradient_bytes && !(p->gradient = mem_alloc_aligned(p->gradient_bytes, 64))) return no_memory(t, at);
    for (int i = 0; i < p->count; i++) {
        View v;
        p->job[i].gradient = u[i].gradient->data;
        if (u[i].gradient->contiguous) continue;
        tensor_view(u[i].gradient, &v);
        eager_copy(&(EagerCtx){.threads = t->k->threads}, &v, p->gradient + used);
        p->job[i].gradient = p->gradient + used;
        used += packed_bytes(u[i].gradient);
    }
    return true;
}

static bool meets(const Map *seen, const Update *u)
{
    bool any = false;
    for (int s = 0; s < u->states; s++) any = any || map_get(seen, (uint64_t)(uintptr_t)u->state[s]);
    return any;
}

/* Updates of one run change different variables. Moments and masters belong to one variable each, but may be in the list
 * themselves. */
static bool find_runs(Thread *t, kiln_site at, Staging *p, const Update *u)
{
    Map seen = {0};
    bool ok = true;
    for (int i = 0; i < p->count && ok; i++) {
        p->again[i] = meets(&seen, &u[i]);
        if (p->again[i]) map_free(&seen), seen = (Map){0};
        for (int s = 0; s < u[i].states && ok; s++) ok = map_put(&seen, (uint64_t)(uintptr_t)u[i].state[s], 1);
    }
    map_free(&seen);
    return ok || no_memory(t, at);
}

static bool plan_make(
    Thread *t, kiln_site at, Staging *p, UpdateRule *rule, const void *user, const Update *u, const Assignment *also)
{
    const size_t n = (size_t)p->count + 1;
    int64_t blocks = 0, most = 0;
    int slots = 0;
    p->job = mem_zeros(n, sizeof *p->job);
    p->line = mem_zeros(n, sizeof *p->line);
    p->again = mem_zeros(n, sizeof *p->again);
    p->staged = mem_zeros(n * UPDATE_STATES, sizeof *p->staged);
    p->also = mem_zeros((size_t)p->nalso + 1, sizeof *p->also);
    if (!p->job || !p->line || !p->again || !p->staged || !p->also) return no_memory(t, at);
    for (int i = 0; i < p->count; i++) {
        LineJob *j = &p->job[i];
        *j = (LineJob){.line = line_for(t, at, p, rule, user, &u[i]), .u = &u[i], .count = type_count(&u[i].state[0]->type)};
        if (!j->line || !stage(t, at, &u[i], p->staged + i * UPDATE_STATES)) return false;
        blocks += line_blocks(j->count);
        most = MAX_OF(most, j->count);
        slots = MAX_OF(slots, line_slots(j->line));
    }
    for (int i = 0; i < p->nalso; i++)
        if (!stage_scalar(t, at, &also[i], &p->also[i])) return false;
    if (!find_runs(t, at, p, u) || !pack_gradients(t, at, p, u)) return false;
    return line_room(&p->room, blocks, most, slots, t->k->threads ? threads_count(t->k->threads) : 1) || no_memory(t, at);
}

static void plan_free(Staging *p)
{
    const size_t n = (size_t)p->count + 1;
    for (int i = 0; p->staged && i < p->count * UPDATE_STATES; i++)
        if (p->staged[i]) kiln_release(p->staged[i]);
    for (int i = 0; p->also && i < p->nalso; i++)
        if (p->also[i]) kiln_release(p->also[i]);
    for (int i = 0; i < p->nline; i++) line_free(p->line[i]);
    mem_free(p->job, p->job ? n * sizeof *p->job : 0);
    mem_free(p->line, p->line ? n * sizeof *p->line : 0);
    mem_free(p->again, p->again ? n * sizeof *p->again : 0);
    mem_free(p->staged, p->staged ? n * UPDATE_STATES * sizeof *p->staged : 0);
    mem_free(p->also, p->also ? ((size_t)p->nalso + 1) * sizeof *p->also : 0);
    if (p->gradient) mem_free_aligned(p->gradient, p->gradient_bytes, 64);
    line_room_free(&p->room);
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

/* Updates [first, last), which have different variables. */
static void run_some(Thread *t, Staging *p, int first, int last)
{
    for (int i = first; i < last; i++) {
        LineJob *j = &p->job[i];
        for (int s = 0; s < j->u->states; s++) {
            kiln_tensor *to = p->staged[i * UPDATE_STATES + s], *value = j->u->state[s]->value;
            j->to[s] = to ? to->data : value->data;
            if (!to) buffer_changes(value->buffer);
        }
        t->kernels_run += (uint64_t)line_steps(j->line);
    }
    line_run(t->k->threads, p->job + first, last - first, &p->room);
    for (int i = first; i < last; i++)
        for (int s = 0; s < p->job[i].u->states; s++) swap_in(p->job[i].u->state[s], &p->staged[i * UPDATE_STATES + s]);
}

static bool run_eagerly(
    Thread *t, kiln_site at, UpdateRule *rule, const void *user, const Update *u, const Assignment *also, Staging p)
{
    kiln_scope scope = kiln_scope_open_at(at, t->k);
    bool ok = scope.id && plan_make(t, at, &p, rule, user, u, also);
    for (int first = 0, last; ok && first < p.count; first = last) {
        for (last = first + 1; last < p.count && !p.again[last];) last++;
        run_some(t, &p, first, last);
    }
    for (int i = 0; ok && i < p.nalso; i++) swap_in(also[i].to, &p.also[i]);
    plan_free(&p);
    kiln_scope_close(&scope);
    return ok;
}

/* ---- traced ---------------------------------------------------------------------------------------------------- */
#define APPLIED 96 /* most values of a rule */

typedef struct Applied {
    Emit e; /* first: rules see an Emit */
    Thread *t;
    kiln_site at;
    kiln_tensor *value[APPLIED];
    int values;
} Applied;

static Value applied_new(Applied *a, kiln_tensor *x)
{
    if (!tensor_ok(x) || a->values == APPLIED) return 0;
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

/* What the variable will hold once the n assignments are made. */
static kiln_tensor *value_after(kiln_site at, kiln_variable *v, const Assignment *done, int n)
{
    while (n-- > 0)
        if (done[n].to == v) return done[n].value;
    return kiln_value_at(at, kiln_of_variable(v));
}

/* Computes the new values of u's states by operations, after the n assignments before `to`, which are yet to be made. */
static bool apply_one(Thread *t, kiln_site at, UpdateRule *rule, const void *user, const Update *u, Assignment *to, int n)
{
    Applied a = {.e = {.op = applied_op, .type = applied_type, .module = module_of(t)}, .t = t, .at = at, .values = 1};
    UpdateIn in = {.e = &a.e, .user = user};
    Value next[UPDATE_STATES] = {0};
    const Type *shape = &u->state[0]->type;
    for (int i = 0; i < u->states; i++) in.state[i] = applied_new(&a, value_after(at, u->state[i], to - n, n));
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
        if (!apply_one(t, at, rule, user, &u[i], to, 0)) return false;
        for (int s = 0; s < u[i].states; s++) kiln_assign_at(at, to[s].to, kiln_of_tensor(to[s].value));
    }
    return true;
}

/* ---- on a device that the host does not reach: by operations, too, with all values there before the first is put in */
static bool on_host(const Update *u, int count, const Assignment *also, int nalso)
{
    for (int i = 0; i < count; i++) {
        uint32_t any = u[i].gradient->device;
        for (int s = 0; s < u[i].states; s++) any |= u[i].state[s]->value->device;
        for (int s = 0; s < u[i].scalars; s++) any |= u[i].scalar[s]->device;
        if (any != HOST) return false;
    }
    for (int i = 0; i < nalso; i++)
        if (also[i].to->value->device != HOST || also[i].value->device != HOST) return false;
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
    for (int i = 0; i < count && ok; n += u[i++].states) ok = apply_one(t, at, rule, user, &u[i], to + n, n);
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
    if (!t->trace && on_host(u, count, also, nalso))
        return run_eagerly(t, at, rule, user, u, also, (Staging){.count = count, .nalso = nalso});
    if (!t->trace) return apply_all(t, at, rule, user, u, count, also, nalso);
    const uint64_t failures = t->failures;
    if (!trace_all(t, at, rule, user, u, count)) return false;
    for (int i = 0; i < nalso; i++) kiln_assign_at(at, also[i].to, kiln_of_tensor(also[i].value));
    return t->failures == failures;
}
