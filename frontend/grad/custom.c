/* custom: gradients that the program gives: their list in the engine, the operation that stands for one, and what it is where its
 * operands are those of many examples. Calling them is gradient.c. */
#include "grad.h"

/* ---- the list ------------------------------------------------------------------------------------------------------------- */
/* Under the lock. -1: no memory. */
static int64_t custom_add(kiln *k, const CustomGradient *one)
{
    if (k->ncustom == k->custom_cap) {
        uint32_t cap = k->custom_cap ? 2 * k->custom_cap : 8;
        CustomGradient *c = mem_resize(k->custom, k->custom_cap * sizeof *c, cap * sizeof *c);
        if (!c) return -1;
        k->custom = c, k->custom_cap = cap;
    }
    k->custom[k->ncustom] = *one;
    return k->ncustom++;
}

CustomGradient custom_get(kiln *k, int64_t number)
{
    pthread_mutex_lock(&k->lock);
    const CustomGradient c = k->custom[number];
    pthread_mutex_unlock(&k->lock);
    return c;
}

static int64_t custom_number(
    kiln *k, void (*backward)(kiln *, kiln_tensor *, kiln_tensor *const *, kiln_tensor **, void *), void *user)
{
    pthread_mutex_lock(&k->lock);
    int64_t n = 0;
    while (n < k->ncustom && (k->custom[n].backward != backward || k->custom[n].user != user)) n++;
    if (n == k->ncustom) n = custom_add(k, &(CustomGradient){.backward = backward, .user = user});
    pthread_mutex_unlock(&k->lock);
    return n;
}

/* y itself as in[0], with a node of its own. */
static kiln_tensor *custom_apply(Thread *t, kiln_site at, kiln_tensor *const *in, uint32_t nin, int64_t number)
{
    if (t->trace) return trace_apply(t, at, OP_custom, in, nin, ATTRS_OF(custom, .gradient = number), NULL, 0);
    kiln_tensor *out = tensor_alias(t, at, in[0]);
    if (!tensor_ok(out)) return out;
    out->uid = ++t->next_uid;
    if (t->recording) tape_record(t, at, OP_custom, in, nin, ATTRS_OF(custom, .gradient = number), &out, 1);
    return out;
}

kiln_tensor *kiln_custom_gradient_at(kiln_site at, kiln_tensor *y, kiln_tensor *const *x, int count,
    void (*backward)(kiln *k, kiln_tensor *g, kiln_tensor *const *x, kiln_tensor **dx, void *user), void *user)
{
    Thread *t = y ? thread_of(y->k) : thread_last();
    if (!t || !tensor_ok(y)) return t ? fail(t, at, KILN_ESTATE, "custom gradient: y is NULL, closed or failed") : NULL;
    if (!list_there(t, at, "custom gradient", x, count)) return &t->k->poison;
    if (!backward) return fail(t, at, KILN_EVALUE, "custom gradient: the backward function is NULL");
    for (int i = 0; i < count; i++)
        if (!tensor_ok(x[i])) return fail(t, at, KILN_ESTATE, "custom gradient: operand %d is NULL, closed or failed", i);
    int64_t number = custom_number(t->k, backward, user);
    if (number < 0) return fail(t, at, KILN_EMEMORY, "custom gradient: no memory");
    ScratchMark mark = scratch_mark(&t->scratch);
    kiln_tensor **in = SCRATCH(t, at, kiln_tensor *, (size_t)count + 1), *out = &t->k->poison;
    if (in) {
        in[0] = y;
        if (count) memcpy(in + 1, x, (size_t)count * sizeof *in);
        out = custom_apply(t, at, in, (uint32_t)count + 1, number);
    }
    scratch_reset(&t->scratch, mark);
    return out;
}

kiln_tensor *kiln_custom_gradient_of_at(kiln_site at, kiln_operand y, kiln_operands x,
    void (*backward)(kiln *k, kiln_tensor *g, kiln_tensor *const *x, kiln_tensor **dx, void *user), void *user)
{
    Thread *t = op_thread(&y, 1);
    if (!t) return NULL;
    ScratchMark mark = scratch_mark(&t->scratch);
    kiln_tensor **in = list_tensors(t, at, "custom_gradient", x, false),
                *out = in ? operand_named(t, at, "custom_gradient", y, NULL) : NULL;
    out = tensor_ok(out) ? kiln_custom_gradient_at(at, out, in, x.count, backward, user) : &t->k->poison;
    scratch_reset(&t->scratch, mark);
    return out;
}

/* ---- many examples ----------------------------------------------------------------------------------------------------------- */
typedef struct Many { /* another custom gradient, for examples of the operands that are many; the first one is y */
    int64_t number;
    uint32_t n;
    bool many[];
} Many;

static size_t many_bytes(uint32_t n) { return sizeof(Many) + n * sizeof(bool); }

static void many_free(void *user) { mem_free(user, many_bytes(((Many *)user)->n)); }

/* For one example: g, then the operands; gives the cotangents of those that are floats. */
static bool one_backward(Thread *t, kiln_site at, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const Many *m = user;
    const CustomGradient c = custom_get(t->k, m->number);
    const uint32_t n = m->n - 1;
    kiln_tensor **x = SCRATCH(t, at, kiln_tensor *, (size_t)n + BODY_ROOM),
                **dx = SCRATCH(t, at, kiln_tensor *, (size_t)n + SPARE_OUTPUTS);
    if (!x || !dx) return false;
    body_inputs(t->k, x, in + 1, (int)n);
    memset(dx, 0, ((size_t)n + SPARE_OUTPUTS) * sizeof *dx);
    c.backward(t->k, in[0], x, dx, c.user);
    for (uint32_t i = n; i < n + SPARE_OUTPUTS; i++)
        if (dx[i]) return fail(t, at, KILN_EVALUE, "custom gradient: cotangent %u was set, but there are %u operands", i, n), false;
    for (uint32_t i = 0, k = 0; i < n; i++) {
        if (!dtype_is_float(in[1 + i]->type.dtype)) continue;
        out[k] = dx[i] ? dx[i] : constant_of(t, at, &in[1 + i]->type, kiln_of_i(0));
        if (tensor_ok(out[k]) && out[k]->k != t->k)
            return fail(t, at, KILN_ESTATE, "custom gradient: cotangent %u belongs to another engine", i), false;
        if (!tensor_ok(out[k])) return false;
        if (!type_equal(&out[k]->type, &in[1 + i]->type))
            return fail(t, at, KILN_ESHAPE, "custom gradient: cotangent %u has another dtype or shape than its operand", i), false;
        k++;
    }
    return true;
}

/* A cotangent as its operand is: of each example, or the sum over them. */
static kiln_tensor *as_operand(Thread *t, kiln_site at, kiln_tensor *dx, bool is, bool wanted, Dim n)
{
    if (is && wanted) return dx;
    Type all = dx->type;
    if (!is) {
        if (all.rank == MAX_RANK) return fail(t, at, KILN_ESHAPE, "custom gradient: a cotangent has no room for one more axis");
        memmove(all.dim + 1, all.dim, all.rank++ * sizeof *all.dim);
        all.dim[0] = n;
        dx = broadcast_to(t, at, dx, &all);
    }
    return wanted || !tensor_ok(dx) ? dx : apply1(t, at, OP_sum, dx, (int64_t[]){0}, 1);
}

static void many_backward(kiln *k, kiln_tensor *g, kiln_tensor *const *x, kiln_tensor **dx, void *user)
{
    const Many *m = user;
    Thread *t = thread_of(k);
    const kiln_site at = {g->made.file, g->made.line};
    ScratchMark mark = scratch_mark(&t->scratch);
    kiln_tensor **in = SCRATCH(t, at, kiln_tensor *, m->n), **out = SCRATCH(t, at, kiln_tensor *, m->n);
    bool *is = SCRATCH(t, at, bool, m->n), *many = SCRATCH(t, at, bool, m->n);
    int nout = 0;
    if (!in || !out || !is || !many) {
        scratch_reset(&t->scratch, mark);
        return;
    }
    for (uint32_t i = 0; i < m->n; i++) {
        in[i] = i == 0 ? g : x[i - 1];
        many[i] = i == 0 || m->many[i];
        nout += i > 0 && dtype_is_float(in[i]->type.dtype);
    }
    const VmapCall c = {.what = "custom gradient",
        .n = g->type.dim[0],
        .many = many,
        .nin = (int)m->n,
        .nout = nout,
        .run = one_backward,
        .user = user};
    if (!t->trace)
        fail(t, at, KILN_EUNSUPPORTED, "custom gradient: of many examples, outside of a trace");
    else if (trace_vmap(t, at, &c, in, out, is))
        for (uint32_t i = 1, o = 0; i < m->n; i++)
            if (dtype_is_float(in[i]->type.dtype)) dx[i - 1] = as_operand(t, at, out[o], is[o], many[i], c.n), o++;
    scratch_reset(&t->scratch, mark);
}

static bool same_many(const CustomGradient *c, int64_t number, const bool *many, uint32_t n)
{
    const Many *m = c->user;
    return c->backward == many_backward && m->number == number && m->n == n && !memcmp(m->many, many, n * sizeof *many);
}

int64_t custom_of_many(Thread *t, int64_t number, const bool *many, uint32_t n)
{
    kiln *k = t->k;
    int64_t at = 0;
    pthread_mutex_lock(&k->lock);
    while (at < k->ncustom && !same_many(&k->custom[at], number, many, n)) at++;
    Many *m = at < k->ncustom ? NULL : mem_zeros(1, many_bytes(n));
    if (m) {
        m->number = number;
        m->n = n;
        memcpy(m->many, many, n * sizeof *many);
        at = custom_add(k, &(CustomGradient){many_backward, m, many_free});
        if (at < 0) many_free(m);
    } else if (at == k->ncustom) {
        at = -1;
    }
    pthread_mutex_unlock(&k->lock);
    return at;
}
