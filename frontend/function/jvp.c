/* jvp: forward-mode derivatives by two reverse walks. The first gives J'u, which is linear in u; the second, of that with respect
 * to u with the tangents for seeds, gives J t, whatever u is. So no op needs a forward rule. A derived function, as gradients are
 * (derive.c). */
#include "function.h"

#include <limits.h>
#include <stdio.h>

typedef struct Jvp {
    kiln_function *f;
    int inputs;
} Jvp;

static void free_jvp(void *user) { mem_free(user, sizeof(Jvp)); }

/* Which inputs have tangents, as operands for the inner tape, and the tangents. */
static int watch_inputs(kiln_site at, kiln_tape *tape, kiln_tensor *const *in, int n, kiln_operand *x, kiln_tensor **tangent)
{
    int nx = 0;
    for (int i = 0; i < n; i++) {
        if (in[i]->state == TENSOR_STATIC || !dtype_is_float(in[i]->type.dtype)) continue;
        tangent[nx] = in[n + i];
        x[nx++] = kiln_of_tensor(kiln_watch_at(at, tape, in[i]));
    }
    return nx;
}

static bool tangents_fit(Thread *t, kiln_site at, const kiln_operand *x, kiln_tensor *const *tangent, int n)
{
    char a[96], b[96];
    for (int i = 0; i < n; i++) {
        if (!tensor_ok(x[i].as.tensor) || !tensor_ok(tangent[i])) return false;
        if (type_equal(&x[i].as.tensor->type, &tangent[i]->type)) continue;
        fail(t, at, KILN_ESHAPE, "jvp: the tangent of %s is %s; it must have the input's dtype and shape",
            tensor_text(x[i].as.tensor, a, sizeof a), tensor_text(tangent[i], b, sizeof b));
        return false;
    }
    return true;
}

typedef struct Pair { /* two tapes, the inner one's x and their tangents, the outer one's seeds */
    kiln_tape *outer, *inner;
    kiln_operand *x, *u;
    kiln_tensor **tangent, **dx, **y, **seed, **dy;
} Pair;

static bool pair_open(Thread *t, kiln_site at, Pair *p, int nin, int nout)
{
    const size_t n = 2 * (size_t)nin + 3 * (size_t)nout;
    kiln_tensor **at_slot = SCRATCH(t, at, kiln_tensor *, n);
    *p = (Pair){.x = SCRATCH(t, at, kiln_operand, nin), .u = SCRATCH(t, at, kiln_operand, nout)};
    if (!at_slot || !p->x || !p->u) return false;
    p->tangent = at_slot;
    p->dx = p->tangent + nin;
    p->y = p->dx + nin;
    p->seed = p->y + nout;
    p->dy = p->seed + nout;
    p->outer = kiln_tape_open_at(at, t->k, false);
    p->inner = kiln_tape_open_at(at, t->k, false);
    return p->outer && p->inner;
}

/* With scratch that the caller gives back. */
static void jvp_into(Thread *t, const Jvp *j, kiln_tensor *const *in, kiln_tensor **out)
{
    kiln_site at = {j->f->loc.file, j->f->loc.line};
    const int nout = j->f->options.outputs;
    uint32_t ny = 0;
    Pair p;
    if (!pair_open(t, at, &p, j->inputs, nout)) return;
    const int nx = watch_inputs(at, p.inner, in, j->inputs, p.x, p.tangent);
    if (!tangents_fit(t, at, p.x, p.tangent, nx) || !function_inline(t, at, j->f, in, j->inputs, out)) return;
    for (int i = 0; i < nout; i++) {
        out[nout + i] = constant_of(t, at, &out[i]->type, kiln_of_i(0));
        if (!dtype_is_float(out[i]->type.dtype)) continue;
        p.y[ny] = out[i];
        p.seed[ny] = kiln_watch_at(at, p.outer, constant_of(t, at, &out[i]->type, kiln_of_i(0)));
        p.u[ny] = kiln_of_tensor(p.seed[ny]);
        ny++;
    }
    if (!gradients(t, at, p.inner, p.y, p.seed, ny, p.x, nx, p.dx) ||
        !gradients(t, at, p.outer, p.dx, p.tangent, (uint32_t)nx, p.u, (int)ny, p.dy))
        return;
    for (int i = 0, n = 0; i < nout; i++)
        if (dtype_is_float(out[i]->type.dtype)) out[nout + i] = p.dy[n++];
    kiln_tape_close(&p.inner);
    kiln_tape_close(&p.outer);
}

static void jvp_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    Thread *t = thread_of(k);
    ScratchMark mark = scratch_mark(&t->scratch);
    jvp_into(t, user, in, out);
    scratch_reset(&t->scratch, mark);
}

static void derive_jvp(Thread *t, kiln_function *f)
{
    kiln_site at = {f->loc.file, f->loc.line};
    const int n = f->nspec ? (int)f->nspec : f->options.inputs_count;
    char name[128];
    if (!f->options.outputs) {
        fail(t, at, KILN_EVALUE, "jvp of %s: it has no outputs", f->name);
        return;
    }
    if (n <= 0 || n > INT_MAX / 2 || f->options.outputs > INT_MAX / 2) {
        fail(t, at, KILN_EVALUE, "jvp of %s: say how many inputs it has (inputs_count or inputs)", f->name);
        return;
    }
    Jvp *j = mem_zeros(1, sizeof *j);
    if (!j) {
        fail(t, at, KILN_EMEMORY, "jvp of %s: no memory", f->name);
        return;
    }
    *j = (Jvp){f, n};
    snprintf(name, sizeof name, "%s_jvp", f->name);
    if (!function_derived(at, f->k, name, jvp_body, j, free_jvp, 2 * n, 2 * f->options.outputs, f, false, &f->jvp)) free_jvp(j);
}

kiln_function *kiln_jvp(kiln_function *f)
{
    Thread *t = f ? thread_of(f->k) : NULL;
    if (!f) fail(thread_last(), (kiln_site){NULL, 0}, KILN_ESTATE, "jvp: the function is NULL");
    if (!t || !function_alive(t, (kiln_site){f->loc.file, f->loc.line}, f)) return NULL;
    pthread_mutex_lock(&f->deriving);
    if (!f->jvp) derive_jvp(t, f);
    kiln_function *derived = f->jvp;
    pthread_mutex_unlock(&f->deriving);
    return derived;
}
