/* derive: functions made of other functions: the gradient, the value with the gradient, and what call_gradient.c asks for. Each is
 * made once, whoever asks first, and holds the function that its body runs. Relies on tapes inside traces. */
#include "function.h"

#include <stdio.h>

kiln_function *function_derived(kiln_site at, kiln *k, const char *name, kiln_body *body, void *user, void (*free_user)(void *),
    int inputs, int outputs, kiln_function *like, bool declared, kiln_function **slot)
{
    kiln_function_options o = {.name = name,
        .inputs_count = inputs,
        .outputs = outputs,
        .no_blas = like->options.no_blas,
        .exact = like->options.exact,
        .tf32 = like->options.tf32,
        .cache_bytes = like->options.cache_bytes,
        .fixed_sizes = like->options.fixed_sizes,
        .compile = like->options.compile};
    if (declared && inputs == (int)like->nspec) o.input_list = like->spec;
    kiln_function *f = kiln_function_new_sized(at, k, body, user, &o, sizeof o);
    if (!f) return NULL;
    f->free_user = free_user;
    f->parent = like; /* its body runs the other's */
    f->slot = slot;
    f->sibling = like->children;
    like->children = f;
    pthread_mutex_lock(&k->lock);
    like->held++;
    if (slot) *slot = f;
    pthread_mutex_unlock(&k->lock);
    return f;
}

typedef struct Derived {
    kiln_function *f;
    bool value;
} Derived;

static void free_derived(void *user) { mem_free(user, sizeof(Derived)); }

/* With scratch that the caller gives back. */
static void grad_into(Thread *t, const Derived *d, kiln_tensor *const *in, int nin, kiln_tensor **out)
{
    kiln_site at = {d->f->loc.file, d->f->loc.line};
    const int have = d->f->options.outputs, nout = d->value ? have : 0;
    kiln_operand *x = SCRATCH(t, at, kiln_operand, nin);
    kiln_tensor **dx = SCRATCH(t, at, kiln_tensor *, nin), **y = SCRATCH(t, at, kiln_tensor *, have);
    kiln_tape *tape = x && dx && y ? kiln_tape_open_at(at, t->k, false) : NULL;
    int nx = 0;
    if (!tape) return;
    for (int i = 0; i < nin; i++)
        if (in[i]->state != TENSOR_STATIC)
            x[nx++] = kiln_of_tensor(dtype_is_float(in[i]->type.dtype) ? kiln_watch_at(at, tape, in[i]) : in[i]);
    if (!function_inline(t, at, d->f, in, nin, y)) return;
    for (int i = 0; i < nout; i++) out[i] = y[i];
    kiln_gradients_at(at, tape, y[0], NULL, x, nx, dx);
    for (int i = 0, j = 0; i < nin; i++)
        out[nout + i] = in[i]->state == TENSOR_STATIC ? constant_of(t, at, &(Type){.dtype = DT_f32}, kiln_of_i(0)) : dx[j++];
    kiln_tape_close(&tape);
}

static void grad_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    Thread *t = thread_of(k);
    ScratchMark mark = scratch_mark(&t->scratch);
    int nin = 0;
    while (in[nin]) nin++;
    grad_into(t, user, in, nin, out);
    scratch_reset(&t->scratch, mark);
}

static void derive_new(Thread *t, kiln_function *f, bool value, kiln_function **slot)
{
    kiln_site at = {f->loc.file, f->loc.line};
    int nin = f->nspec ? (int)f->nspec : f->options.inputs_count;
    if (!nin) {
        fail(t, at, KILN_EVALUE, "grad of %s: say how many inputs it has (inputs_count or inputs)", f->name);
        return;
    }
    if (!f->options.outputs) {
        fail(t, at, KILN_EVALUE, "grad of %s: it has no outputs", f->name);
        return;
    }
    Derived *d = mem_zeros(1, sizeof *d);
    if (!d) {
        fail(t, at, KILN_EMEMORY, "grad of %s: no memory", f->name);
        return;
    }
    *d = (Derived){f, value};
    char name[128];
    snprintf(name, sizeof name, "%s_%s", f->name, value ? "value_and_grad" : "grad");
    if (!function_derived(at, f->k, name, grad_body, d, free_derived, nin, (value ? f->options.outputs : 0) + nin, f, true, slot))
        free_derived(d);
}

/* Made once, whoever asks first. */
static kiln_function *derive(kiln_function *f, bool value, kiln_function **slot)
{
    Thread *t = f ? thread_of(f->k) : NULL;
    if (!f) fail(thread_last(), (kiln_site){NULL, 0}, KILN_ESTATE, "grad: the function is NULL");
    if (!t || !function_alive(t, (kiln_site){f->loc.file, f->loc.line}, f)) return NULL;
    pthread_mutex_lock(&f->deriving);
    if (!*slot) derive_new(t, f, value, slot);
    kiln_function *derived = *slot;
    pthread_mutex_unlock(&f->deriving);
    return derived;
}

kiln_function *kiln_grad(kiln_function *f) { return derive(f, false, f ? &f->grad : NULL); }

kiln_function *kiln_value_and_grad(kiln_function *f) { return derive(f, true, f ? &f->value_and_grad : NULL); }
