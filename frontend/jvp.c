/* jvp: forward-mode derivatives by two reverse walks. The first gives J'u, which is linear in u; the second, of that with respect to u with
 * the tangents for seeds, gives J t, whatever u is. So no op needs a forward rule. A derived function, as gradients are (derive.c). */
#include "function.h"

#include <stdio.h>

typedef struct Jvp {
    kiln_function *f;
    int inputs;
} Jvp;

static void free_jvp(void *user) { mem_free(user, sizeof(Jvp)); }

/* Which inputs have tangents, as operands for the inner tape, and the tangents. */
static int watch_inputs(
    kiln_site at, kiln_tape *tape, kiln_tensor *const *in, int n, kiln_operand *x, kiln_tensor **tangent)
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
        fail(t, at, KILN_ESHAPE, "jvp: the tangent of %s is %s; it has the input's dtype and shape",
            tensor_text(x[i].as.tensor, a, sizeof a), tensor_text(tangent[i], b, sizeof b));
        return false;
    }
    return true;
}

static void jvp_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const Jvp *j = user;
    kiln_site at = {j->f->loc.file, j->f->loc.line};
    Thread *t = thread_of(k);
    const int nout = j->f->options.outputs;
    kiln_tape *outer = kiln_tape_open_at(at, k, false), *inner = kiln_tape_open_at(at, k, false);
    kiln_operand x[KILN_MAX_ARGS], u[FUNCTION_OUTPUTS];
    kiln_tensor *tangent[KILN_MAX_ARGS], *dx[KILN_MAX_ARGS], *args[KILN_MAX_ARGS + 1];
    kiln_tensor *y[FUNCTION_OUTPUTS], *seed[FUNCTION_OUTPUTS], *dy[FUNCTION_OUTPUTS];
    uint32_t ny = 0;
    if (!outer || !inner) return;
    memcpy(args, in, (size_t)j->inputs * sizeof *args);
    const int nx = watch_inputs(at, inner, in, j->inputs, x, tangent);
    if (!tangents_fit(t, at, x, tangent, nx) || !function_inline(t, at, j->f, args, j->inputs, out)) return;
    for (int i = 0; i < nout; i++) {
        out[nout + i] = constant_of(t, at, &out[i]->type, kiln_of_i(0));
        if (!dtype_is_float(out[i]->type.dtype)) continue;
        y[ny] = out[i];
        seed[ny] = kiln_watch_at(at, outer, constant_of(t, at, &out[i]->type, kiln_of_i(0)));
        u[ny] = kiln_of_tensor(seed[ny]);
        ny++;
    }
    if (!gradients(t, at, inner, y, seed, ny, x, nx, dx) ||
        !gradients(t, at, outer, dx, tangent, (uint32_t)nx, u, (int)ny, dy))
        return;
    for (int i = 0, n = 0; i < nout; i++)
        if (dtype_is_float(out[i]->type.dtype)) out[nout + i] = dy[n++];
    kiln_tape_close(&inner);
    kiln_tape_close(&outer);
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
    if (n <= 0 || 2 * n > KILN_MAX_ARGS || 2 * f->options.outputs > FUNCTION_OUTPUTS) {
        fail(t, at, KILN_EVALUE,
            n > 0 ? "jvp of %s: it has more than %d inputs, or too many outputs"
                  : "jvp of %s: say how many inputs it has (inputs_count or inputs)",
            f->name, KILN_MAX_ARGS / 2);
        return;
    }
    Jvp *j = mem_zeros(1, sizeof *j);
    if (!j) {
        fail(t, at, KILN_EMEMORY, "jvp of %s: no memory", f->name);
        return;
    }
    *j = (Jvp){f, n};
    snprintf(name, sizeof name, "%s_jvp", f->name);
    if (!function_derived(at, f->k, name, jvp_body, j, free_jvp, 2 * n, 2 * f->options.outputs, f, &f->jvp))
        free_jvp(j);
}

kiln_function *kiln_jvp(kiln_function *f)
{
    Thread *t = f ? thread_of(f->k) : NULL;
    if (!t) return NULL;
    pthread_mutex_lock(&f->deriving);
    if (!f->jvp) derive_jvp(t, f);
    kiln_function *derived = f->jvp;
    pthread_mutex_unlock(&f->deriving);
    return derived;
}
