/* jacobian: functions that give matrices of derivatives, and products with them: a backward pass for each element of an output, all
 * at once (trace/vmap.c), as cotangents of many examples. Derived functions, as gradients are (derive.c). */
#include <limits.h>
#include <stdio.h>

#include "function.h"

typedef struct Derivative {
    kiln_function *f;
    int nin; /* of f */
} Derivative;

static void free_derivative(void *user) { mem_free(user, sizeof(Derivative)); }

/* ---- one output's rows ------------------------------------------------------------------------------------------------------ */
typedef struct Rows {
    const Derivative *d;
    int output, nx; /* nx: inputs that are floats */
} Rows;

/* f on a tape, and the gradient for this cotangent, the last input. With scratch that trace_vmap's caller gives back. */
static bool one_row(Thread *t, kiln_site at, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const Rows *r = user;
    const int nin = r->d->nin, have = r->d->f->options.outputs;
    kiln_operand *x = SCRATCH(t, at, kiln_operand, (size_t)nin + 1);
    kiln_tensor **y = SCRATCH(t, at, kiln_tensor *, (size_t)have), *seed = in[nin];
    kiln_tape *tape = x && y ? kiln_tape_open_at(at, t->k, false) : NULL;
    int nx = 0;
    if (!tape) return false;
    for (int i = 0; i < nin; i++)
        if (in[i]->state != TENSOR_STATIC && dtype_is_float(in[i]->type.dtype))
            x[nx++] = kiln_of_tensor(kiln_watch_at(at, tape, in[i]));
    const bool ok = function_inline(t, at, r->d->f, in, nin, y) && gradients(t, at, tape, &y[r->output], &seed, 1, x, nx, out);
    kiln_tape_close(&tape);
    return ok;
}

/* A row for each element of y: 1 there, 0 elsewhere; [elements, y's shape]. */
static kiln_tensor *seeds(Thread *t, kiln_site at, const Type *y, Dim elements)
{
    struct iota_attrs *a = ATTRS_ROOM(iota, 2);
    Type rows = {.dtype = y->dtype, .rank = (uint8_t)(y->rank + 1)};
    a->dtype = DT_i64;
    a->shape[0] = a->shape[1] = elements;
    kiln_tensor *row = apply(t, at, OP_iota, NULL, 0, ATTRS_TO(a, a->shape + 2), NULL, 0);
    a->axis = 1;
    kiln_tensor *column = apply(t, at, OP_iota, NULL, 0, ATTRS_TO(a, a->shape + 2), NULL, 0);
    kiln_tensor *one = cast_to(t, at, apply2(t, at, OP_eq, row, column, NULL, 0), (DType)y->dtype);
    rows.dim[0] = elements;
    memcpy(rows.dim + 1, y->dim, y->rank * sizeof *y->dim);
    return reshape_to(t, at, one, rows.dim, rows.rank);
}

/* A block of y's shape followed by x's. */
static kiln_tensor *block_of(Thread *t, kiln_site at, kiln_tensor *dx, bool many, const Type *y, const Type *x)
{
    Type shape = {.dtype = x->dtype, .rank = (uint8_t)(y->rank + x->rank)};
    memcpy(shape.dim, y->dim, y->rank * sizeof *y->dim);
    memcpy(shape.dim + y->rank, x->dim, x->rank * sizeof *x->dim);
    if (!dx) return constant_of(t, at, &shape, kiln_of_i(0));
    return many ? reshape_to(t, at, dx, shape.dim, shape.rank) : broadcast_to(t, at, dx, &shape);
}

static bool fits(Thread *t, kiln_site at, const Derivative *d, const Type *y, const Type *x)
{
    if (y->rank < MAX_RANK && y->rank + x->rank <= MAX_RANK) return true;
    fail(t, at, KILN_EUNSUPPORTED, "jacobian of %s: an output of rank %d and an input of rank %d are %d axes (allowed: %d)",
        d->f->name, y->rank, x->rank, y->rank + x->rank, MAX_RANK);
    return false;
}

/* The blocks of output y. False: recorded. */
static bool rows_of(Thread *t, kiln_site at, const Rows *r, kiln_tensor *y, kiln_tensor *const *in, kiln_tensor **out)
{
    const int nin = r->d->nin;
    kiln_tensor **x = SCRATCH(t, at, kiln_tensor *, (size_t)nin + 1), **dx = SCRATCH(t, at, kiln_tensor *, (size_t)r->nx + 1);
    bool *many = SCRATCH(t, at, bool, (size_t)nin + 1), *is = SCRATCH(t, at, bool, (size_t)r->nx + 1);
    const bool flows = dtype_is_float(y->type.dtype) && r->nx > 0;
    if (!x || !dx || !many || !is) return false;
    for (int i = 0; i < nin; i++)
        if (in[i]->state != TENSOR_STATIC && !fits(t, at, r->d, &y->type, &in[i]->type)) return false;
    if (flows) {
        const Dim n = type_elements(&module_of(t)->dims, &y->type);
        memcpy(x, in, (size_t)nin * sizeof *x);
        memset(many, 0, ((size_t)nin + 1) * sizeof *many);
        many[nin] = true;
        if (n == DIM_BAD || !tensor_ok(x[nin] = seeds(t, at, &y->type, n))) return false;
        const VmapCall c = {.what = "kiln_jacobian",
            .n = n,
            .many = many,
            .nin = nin + 1,
            .nout = r->nx,
            .run = one_row,
            .user = (void *)(uintptr_t)r};
        if (!trace_vmap(t, at, &c, x, dx, is)) return false;
    }
    for (int i = 0, k = 0; i < nin; i++) {
        const bool floats = flows && in[i]->state != TENSOR_STATIC && dtype_is_float(in[i]->type.dtype);
        const Type number = {.dtype = DT_f32};
        out[i] = block_of(
            t, at, floats ? dx[k] : NULL, floats && is[k], &y->type, in[i]->state == TENSOR_STATIC ? &number : &in[i]->type);
        k += floats;
        if (!tensor_ok(out[i])) return false;
    }
    return true;
}

/* ---- the bodies ------------------------------------------------------------------------------------------------------------- */
/* With scratch that the caller gives back. */
static void jacobian_into(Thread *t, const Derivative *d, kiln_tensor *const *in, kiln_tensor **out)
{
    const kiln_site at = {d->f->loc.file, d->f->loc.line};
    const int nout = d->f->options.outputs;
    kiln_tensor **y = SCRATCH(t, at, kiln_tensor *, (size_t)nout);
    int nx = 0;
    if (!y || !function_inline(t, at, d->f, in, d->nin, y)) return;
    for (int i = 0; i < d->nin; i++) nx += in[i]->state != TENSOR_STATIC && dtype_is_float(in[i]->type.dtype);
    for (int i = 0; i < nout; i++)
        if (!rows_of(t, at, &(Rows){d, i, nx}, y[i], in, out + i * d->nin)) return;
}

static void jacobian_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    Thread *t = thread_of(k);
    ScratchMark mark = scratch_mark(&t->scratch);
    jacobian_into(t, user, in, out);
    scratch_reset(&t->scratch, mark);
}

/* The gradient of the gradient's product with the vectors. */
static void hvp_into(Thread *t, const Derivative *d, kiln_tensor *const *in, kiln_tensor **out)
{
    const kiln_site at = {d->f->loc.file, d->f->loc.line};
    kiln_operand *x = SCRATCH(t, at, kiln_operand, (size_t)d->nin);
    kiln_tensor **y = SCRATCH(t, at, kiln_tensor *, (size_t)d->f->options.outputs),
                **dx = SCRATCH(t, at, kiln_tensor *, (size_t)d->nin), **v = SCRATCH(t, at, kiln_tensor *, (size_t)d->nin),
                **dv = SCRATCH(t, at, kiln_tensor *, (size_t)d->nin);
    if (!x || !y || !dx || !v || !dv) return;
    kiln_tape *outer = kiln_tape_open_at(at, t->k, false), *inner = kiln_tape_open_at(at, t->k, false);
    int n = 0;
    if (!outer || !inner) return;
    for (int i = 0; i < d->nin; i++) {
        if (in[i]->state == TENSOR_STATIC || !dtype_is_float(in[i]->type.dtype)) continue;
        char a[96], b[96];
        v[n] = in[d->nin + i];
        if (!type_equal(&v[n]->type, &in[i]->type)) {
            fail(t, at, KILN_ESHAPE, "hvp: the vector of %s is %s; it must have the input's dtype and shape",
                tensor_text(in[i], a, sizeof a), tensor_text(v[n], b, sizeof b));
            return;
        }
        x[n++] = kiln_of_tensor(kiln_watch_at(at, inner, kiln_watch_at(at, outer, in[i])));
    }
    bool ok = function_inline(t, at, d->f, in, d->nin, y) && gradients(t, at, inner, y, NULL, 1, x, n, dx);
    ok = ok && gradients(t, at, outer, dx, v, (uint32_t)n, x, n, dv);
    for (int i = 0, k = 0; i < d->nin && ok; i++) {
        const bool floats = in[i]->state != TENSOR_STATIC && dtype_is_float(in[i]->type.dtype);
        const Type number = {.dtype = DT_f32};
        out[i] = floats ? dv[k++] : constant_of(t, at, in[i]->state == TENSOR_STATIC ? &number : &in[i]->type, kiln_of_i(0));
    }
    kiln_tape_close(&inner);
    kiln_tape_close(&outer);
}

static void hvp_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    Thread *t = thread_of(k);
    ScratchMark mark = scratch_mark(&t->scratch);
    hvp_into(t, user, in, out);
    scratch_reset(&t->scratch, mark);
}

/* ---- making them --------------------------------------------------------------------------------------------------------------
 */
/* In *slot, under the deriving lock. */
static void derive(Thread *t, kiln_site at, kiln_function *f, const char *what, kiln_body *body, kiln_function **slot)
{
    const int n = f->nspec ? (int)f->nspec : f->options.inputs_count, nout = f->options.outputs;
    char name[128];
    if (n <= 0 || nout <= 0 || n > INT_MAX / 2 / nout) {
        fail(t, at, KILN_EVALUE,
            nout <= 0 ? "%s of %s: it has no outputs" : "%s of %s: say how many inputs it has (inputs_count or inputs)", what,
            f->name);
        return;
    }
    Derivative *d = mem_zeros(1, sizeof *d);
    if (!d) {
        fail(t, at, KILN_EMEMORY, "%s of %s: no memory", what, f->name);
        return;
    }
    *d = (Derivative){f, n};
    snprintf(name, sizeof name, "%s_%s", f->name, what);
    const bool vectors = body == hvp_body;
    if (function_derived(at, f->k, name, body, d, free_derivative, vectors ? 2 * n : n, vectors ? n : n * nout, f, !vectors, slot))
        (*slot)->maps = !vectors;
    else
        free_derivative(d);
}

static kiln_function *derived(kiln_function *f, const char *what, kiln_body *body, kiln_function **slot)
{
    Thread *t = f ? thread_of(f->k) : NULL;
    if (!f) fail(thread_last(), (kiln_site){NULL, 0}, KILN_ESTATE, "%s: the function is NULL", what);
    const kiln_site at = {f ? f->loc.file : NULL, f ? f->loc.line : 0};
    if (!t || !function_alive(t, at, f)) return NULL;
    pthread_mutex_lock(&f->deriving);
    if (!*slot) derive(t, at, f, what, body, slot);
    kiln_function *made = *slot;
    pthread_mutex_unlock(&f->deriving);
    return made;
}

kiln_function *kiln_jacobian(kiln_function *f) { return derived(f, "jacobian", jacobian_body, f ? &f->jacobian : NULL); }

kiln_function *kiln_hessian(kiln_function *f)
{
    kiln_function *g = kiln_grad(f);
    return g ? kiln_jacobian(g) : NULL;
}

kiln_function *kiln_hvp(kiln_function *f) { return derived(f, "hvp", hvp_body, f ? &f->hvp : NULL); }
