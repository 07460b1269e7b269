/* vmap: functions that run another one on many examples at once: where the examples' axis lies in what comes in and goes out. The
 * work is trace/vmap.c's. A derived function, as gradients are (derive.c). */
#include <stdio.h>

#include "function.h"

typedef struct Vmapped {
    kiln_function *f;
    int nin, nout;
    char *loops; /* of the last trace; its bytes are loops_bytes */
    size_t loops_bytes;
    int axis[]; /* of inputs, then of outputs */
} Vmapped;

static size_t vmapped_bytes(int nin, int nout) { return sizeof(Vmapped) + ((size_t)nin + (size_t)nout) * sizeof(int); }

static void free_vmapped(void *user)
{
    Vmapped *m = user;
    if (m->loops) mem_free(m->loops, m->loops_bytes);
    mem_free(m, vmapped_bytes(m->nin, m->nout));
}

/* ---- axes -------------------------------------------------------------------------------------------------------------- */
/* The axis goes to the front, or the first one to it. */
static kiln_tensor *moved(Thread *t, kiln_site at, kiln_tensor *x, int axis, bool back)
{
    int64_t from[MAX_RANK];
    if (axis == 0 || !tensor_ok(x)) return x;
    for (int i = 0; i < x->type.rank; i++)
        from[i] = back ? (i < axis ? i + 1 : i == axis ? 0 : i) : (i == 0 ? axis : i <= axis ? i - 1 : i);
    return apply1(t, at, OP_transpose, x, from, x->type.rank);
}

/* Input i with the examples in front. NULL: recorded. */
static kiln_tensor *brought(Thread *t, kiln_site at, const Vmapped *m, int i, kiln_tensor *x)
{
    int axis;
    char what[160];
    snprintf(what, sizeof what, "vmap of %s: input %d", m->f->name, i);
    if (x->type.rank == 0) {
        fail(
            t, at, KILN_ESHAPE, "%s has no axes, so no examples lie along one: KILN_SHARED says that it is the same for all", what);
        return NULL;
    }
    if (!axis_of(t, at, what, m->axis[i], x->type.rank, &axis)) return NULL;
    x = moved(t, at, x, axis, false);
    return tensor_ok(x) ? x : NULL;
}

/* With the examples' axis where the options want it. */
static kiln_tensor *given(Thread *t, kiln_site at, const Vmapped *m, int i, kiln_tensor *y, bool is, Dim n)
{
    int axis;
    char what[160];
    snprintf(what, sizeof what, "vmap of %s: output %d", m->f->name, i);
    if (!is) {
        Type all = y->type;
        if (all.rank == MAX_RANK) return fail(t, at, KILN_ESHAPE, "%s has no room for one more axis (allowed: %d)", what, MAX_RANK);
        memmove(all.dim + 1, all.dim, all.rank++ * sizeof *all.dim);
        all.dim[0] = n;
        y = broadcast_to(t, at, y, &all);
        if (!tensor_ok(y)) return y;
    }
    if (!axis_of(t, at, what, m->axis[m->nin + i], y->type.rank, &axis)) return &t->k->poison;
    return moved(t, at, y, axis, true);
}

/* ---- the body ------------------------------------------------------------------------------------------------------------ */
static bool run_one(Thread *t, kiln_site at, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const Vmapped *m = user;
    return function_inline(t, at, m->f, in, m->nin, out);
}

static void note_loops(void *user, const char *ops)
{
    Vmapped *m = user;
    const size_t bytes = strlen(ops) + 1;
    char *copy = mem_zeros(1, bytes);
    if (m->loops) mem_free(m->loops, m->loops_bytes);
    if (copy) memcpy(copy, ops, bytes);
    m->loops = copy;
    m->loops_bytes = bytes;
}

/* How many examples there are. False: recorded. */
static bool examples(Thread *t, kiln_site at, const Vmapped *m, kiln_tensor *const *x, const bool *many, Dim *n)
{
    int first = -1;
    for (int i = 0; i < m->nin; i++) {
        if (!many[i]) continue;
        if (first < 0) first = i, *n = x[i]->type.dim[0];
        if (x[i]->type.dim[0] == *n) continue;
        char a[96], b[96];
        fail(t, at, KILN_ESHAPE,
            "vmap of %s: inputs %d and %d have different numbers of examples: %s, %s (the examples' axis first)", m->f->name, first,
            i, tensor_text(x[first], a, sizeof a), tensor_text(x[i], b, sizeof b));
        return false;
    }
    if (first < 0) fail(t, at, KILN_EVALUE, "vmap of %s: no input has examples: all are KILN_SHARED or static", m->f->name);
    return first >= 0;
}

/* With scratch that the caller gives back. */
static void vmap_into(Thread *t, Vmapped *m, kiln_tensor *const *in, kiln_tensor **out)
{
    const kiln_site at = {m->f->loc.file, m->f->loc.line};
    kiln_tensor **x = SCRATCH(t, at, kiln_tensor *, (size_t)m->nin + 1);
    bool *many = SCRATCH(t, at, bool, (size_t)m->nin + 1), *is = SCRATCH(t, at, bool, (size_t)m->nout + 1);
    VmapCall c = {
        .what = "kiln_vmap", .many = many, .nin = m->nin, .nout = m->nout, .run = run_one, .loops = note_loops, .user = m};
    if (!x || !many || !is) return;
    for (int i = 0; i < m->nin; i++) {
        many[i] = in[i]->state != TENSOR_STATIC && m->axis[i] != KILN_SHARED;
        if (!(x[i] = many[i] ? brought(t, at, m, i, in[i]) : in[i])) return;
    }
    note_loops(m, "");
    if (!examples(t, at, m, x, many, &c.n) || !trace_vmap(t, at, &c, x, out, is)) return;
    for (int i = 0; i < m->nout; i++) out[i] = given(t, at, m, i, out[i], is[i], c.n);
}

static void vmap_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    Thread *t = thread_of(k);
    ScratchMark mark = scratch_mark(&t->scratch);
    vmap_into(t, user, in, out);
    scratch_reset(&t->scratch, mark);
}

/* ---- making one ------------------------------------------------------------------------------------------------------------ */
static Vmapped *vmapped_new(Thread *t, kiln_site at, kiln_function *f, int nin, const kiln_vmap_options *o)
{
    const int nout = f->options.outputs;
    if (nin > KILN_MAX_ARGS || nout > KILN_MAX_ARGS) {
        fail(t, at, KILN_EUNSUPPORTED, "vmap of %s: it has %d inputs and %d outputs (allowed: %d of each)", f->name, nin, nout,
            KILN_MAX_ARGS);
        return NULL;
    }
    Vmapped *m = mem_zeros(1, vmapped_bytes(nin, nout));
    if (!m) {
        fail(t, at, KILN_EMEMORY, "vmap of %s: no memory", f->name);
        return NULL;
    }
    m->f = f, m->nin = nin, m->nout = nout;
    memcpy(m->axis, o->in, (size_t)nin * sizeof *m->axis);
    memcpy(m->axis + nin, o->out, (size_t)nout * sizeof *m->axis);
    return m;
}

kiln_function *kiln_vmap_sized(kiln_site at, kiln_function *f, const kiln_vmap_options *options, size_t size)
{
    Thread *t = f ? thread_of(f->k) : thread_last();
    kiln_vmap_options o = {0};
    char name[128];
    if (!f) fail(t, at, KILN_ESTATE, "vmap: the function is NULL");
    if (!f || !t || !function_alive(t, at, f)) return NULL;
    if (options) memcpy(&o, options, MIN_OF(size, sizeof o));
    const int nin = f->nspec ? (int)f->nspec : f->options.inputs_count;
    if (nin == 0 || f->options.outputs == 0) {
        fail(t, at, KILN_EVALUE,
            nin ? "vmap of %s: it has no outputs" : "vmap of %s: say how many inputs it has (inputs_count or inputs)", f->name);
        return NULL;
    }
    Vmapped *m = vmapped_new(t, at, f, nin, &o);
    if (!m) return NULL;
    snprintf(name, sizeof name, "%s_vmap", f->name);
    pthread_mutex_lock(&f->deriving);
    kiln_function *mapped = function_derived(at, f->k, name, vmap_body, m, free_vmapped, nin, f->options.outputs, f, false, NULL);
    if (mapped) mapped->maps = true;
    pthread_mutex_unlock(&f->deriving);
    if (!mapped) free_vmapped(m);
    return mapped;
}

const char *kiln_vmap_why(const kiln_function *f)
{
    if (!f || f->body != vmap_body) return "";
    const Vmapped *m = f->user;
    return m->loops ? m->loops : "";
}
