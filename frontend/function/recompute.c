/* recompute: functions whose inner values no gradient keeps. The body is run in two loops of one turn, one in the other: the
 * gradient of a loop keeps what comes into a turn and the products made in it, and runs the rest again (ir/op_loop_grad.c); of a
 * loop in a loop it keeps what comes into the outer one alone. The passes find nothing to share between what runs first and again,
 * since they lie in graphs of their own. Relies on kiln_scan. */
#include "function.h"

#include <stdio.h>

typedef struct Recompute {
    kiln_function *f;
} Recompute;

typedef struct Turn {
    kiln_function *f;
    kiln_site at;
    kiln_tensor *const *in;
    int nin;
} Turn;

static void free_recompute(void *user) { mem_free(user, sizeof(Recompute)); }

static void inner_turn(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const Turn *u = user;
    (void)in; /* the index */
    function_inline(thread_of(k), u->at, u->f, u->in, u->nin, out);
}

/* The results of a loop of one turn. With scratch that the caller gives back. */
static void one_turn(Thread *t, Turn *u, kiln_body *body, kiln_tensor **out)
{
    const int nout = u->f->options.outputs;
    kiln_tensor **y = SCRATCH(t, u->at, kiln_tensor *, (size_t)nout);
    const kiln_scan_options one = {.ys_count = nout, .steps = 1};
    if (!y || !kiln_scan_sized(u->at, t->k, body, &one, NULL, y, u, sizeof one)) return;
    for (int i = 0; i < nout; i++) out[i] = kiln_squeeze_at(u->at, kiln_of_tensor(y[i]), 0);
}

static void outer_turn(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    Thread *t = thread_of(k);
    ScratchMark mark = scratch_mark(&t->scratch);
    (void)in;
    one_turn(t, user, inner_turn, out);
    scratch_reset(&t->scratch, mark);
}

static void recompute_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    Thread *t = thread_of(k);
    ScratchMark mark = scratch_mark(&t->scratch);
    const Recompute *r = user;
    Turn u = {.f = r->f, .at = {r->f->loc.file, r->f->loc.line}, .in = in};
    while (in[u.nin]) u.nin++;
    one_turn(t, &u, outer_turn, out);
    scratch_reset(&t->scratch, mark);
}

/* In f->recompute, under the deriving lock. */
static void derive(Thread *t, kiln_site at, kiln_function *f)
{
    char name[128];
    if (f->options.outputs <= 0) {
        fail(t, at, KILN_EVALUE, "recompute of %s: it has no outputs", f->name);
        return;
    }
    Recompute *r = mem_zeros(1, sizeof *r);
    if (!r) {
        fail(t, at, KILN_EMEMORY, "recompute of %s: no memory", f->name);
        return;
    }
    *r = (Recompute){f};
    snprintf(name, sizeof name, "%s_recompute", f->name);
    const int nin = f->nspec ? (int)f->nspec : f->options.inputs_count;
    if (function_derived(at, f->k, name, recompute_body, r, free_recompute, nin, f->options.outputs, f, true, &f->recompute))
        f->recompute->maps = true;
    else
        free_recompute(r);
}

kiln_function *kiln_recompute(kiln_function *f)
{
    Thread *t = f ? thread_of(f->k) : NULL;
    if (!f) fail(thread_last(), (kiln_site){NULL, 0}, KILN_ESTATE, "recompute: the function is NULL");
    const kiln_site at = {f ? f->loc.file : NULL, f ? f->loc.line : 0};
    if (!t || !function_alive(t, at, f)) return NULL;
    pthread_mutex_lock(&f->deriving);
    if (!f->recompute) derive(t, at, f);
    kiln_function *made = f->recompute;
    pthread_mutex_unlock(&f->deriving);
    return made;
}
