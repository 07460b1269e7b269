/* inline: a function's body run as part of what runs: eagerly, or into the running trace. */
#include "function.h"

static bool sets_no_more(Thread *t, kiln_site at, const char *name, kiln_tensor *const *out, int n)
{
    uintptr_t any = 0; /* the usual answer comes of one pass without a branch */
    for (int i = n; i < n + SPARE_OUTPUTS; i++) any |= (uintptr_t)out[i];
    for (int i = n; any && i < n + SPARE_OUTPUTS; i++)
        if (out[i]) return fail(t, at, KILN_EVALUE, "%s: its body set output %d, but it has %d outputs", name, i, n), false;
    return true;
}

/* The thread's, and what a body may change of it. */
typedef struct Placing {
    uint8_t device, chosen;
    uint8_t sums;
    bool own_products;
    uint32_t blocks;
} Placing;

/* The body runs on one device: that of its trace, or of its arguments. False: recorded. */
static bool place_body(Thread *t, kiln_site at, const kiln_function *f, kiln_tensor *const *in, int nin, Placing *was)
{
    uint32_t device = t->device;
    *was = (Placing){t->device, t->chosen, t->sums, t->own_products, t->blocks};
    if (!t->trace && !all_on_host(t, in, (uint32_t)nin) && !one_device(t, at, f->name, in, (uint32_t)nin, &device)) return false;
    t->device = (uint8_t)device;
    if (!t->trace && !t->body->outer) { /* a function that it calls does as it does, as in a trace */
        t->sums = function_sums(f);
        t->own_products = f->options.no_blas;
    }
    t->body->device = (uint8_t)device;
    return t->body->placed = true;
}

static void place_back(Thread *t, kiln_site at, const kiln_function *f, const Placing *was)
{
    if (t->blocks != was->blocks)
        fail(t, at, KILN_ESTATE, "%s: the body ended inside a KILN_DEVICE block: a kiln_device_open has no kiln_device_close",
            f->name);
    t->device = was->device;
    t->chosen = was->chosen;
    t->blocks = was->blocks;
    t->sums = was->sums;
    t->own_products = was->own_products;
}

/* With scratch that the caller gives back. */
static bool inline_body(Thread *t, kiln_site at, kiln_function *f, kiln_tensor *const *in, int nin, kiln_tensor **out)
{
    int n = f->options.outputs;
    kiln_tensor **args = SCRATCH(t, at, kiln_tensor *, (size_t)nin + BODY_ROOM),
                **set = SCRATCH(t, at, kiln_tensor *, (size_t)n + SPARE_OUTPUTS);
    BodyRun run;
    Placing was;
    for (int i = 0; i < n; i++) out[i] = &t->k->poison;
    if (!args || !set || !body_enter(t, at, &run, f->name, nin)) return false;
    if (!scope_push(t)) {
        body_leave(t, at);
        fail(t, at, KILN_EMEMORY, "%s: no memory for a scope", f->name);
        return false;
    }
    body_inputs(t->k, args, in, nin);
    run.derived = at.file == f->loc.file && at.line == f->loc.line;
    memset(set, 0, ((size_t)n + SPARE_OUTPUTS) * sizeof *set);
    if (place_body(t, at, f, in, nin, &was)) {
        f->body(f->k, args, set, f->user);
        place_back(t, at, f, &was);
    }
    bool ok = body_leave(t, at) && sets_no_more(t, at, f->name, set, n);
    const int most = n;
    for (int i = 0; f->open && i < n; i++)
        if (!set[i]) n = i;
    if (ok) memset(out + n, 0, (size_t)(most - n) * sizeof *out);
    for (int i = 0; i < n && ok; i++) {
        ok = body_output(t, at, f->name, i, &set[i]);
        /* Each output becomes a handle of its own, different from the other outputs, the inputs, and what lives on outside (which a
         * trace captures as it is). */
        bool own = ok && ((t->trace && set[i]->state == TENSOR_EAGER) ||
                             (set[i]->in_scope && set[i]->home == t && set[i]->scope == t->scopes - 1));
        for (int j = 0; j < i && own; j++) own = set[j] != set[i];
        if (ok && !own) ok = tensor_ok(set[i] = trace_alias(t, at, set[i]));
        if (ok && set[i]->in_scope && set[i]->scope == t->scopes - 1) scope_move_out(t, set[i]);
        if (ok) out[i] = set[i];
    }
    for (int i = 0; i < n && !ok; i++) out[i] = &t->k->poison;
    scope_pop(t);
    return ok;
}

bool function_inline(Thread *t, kiln_site at, kiln_function *f, kiln_tensor *const *in, int nin, kiln_tensor **out)
{
    ScratchMark mark = scratch_mark(&t->scratch);
    bool ok = inline_body(t, at, f, in, nin, out);
    scratch_reset(&t->scratch, mark);
    return ok;
}
