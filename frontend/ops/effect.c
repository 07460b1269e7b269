/* effect: the public calls: print, assertions, callbacks. In eager code they happen now; in a trace they become nodes that name a
 * record. Conditions are ordinary operations, computed unseen by any tape. Relies on ops.h, effect.h. Never says what an effect
 * does: effect_record.c does. */
#include "effect.h"

#include <math.h>

/* ---- now, or in the trace ------------------------------------------------------------------------------- */
/* Runs the effect now, with the tensors where the host reads them. */
static bool happens_here(Thread *t, const Effect *e, kiln_tensor *const *x, uint32_t n)
{
    kiln_tensor *here[1 + MAX_RANK];
    kiln_scope s = kiln_scope_open(t->k);
    bool ok = s.id != 0;
    for (uint32_t i = 0; i < n && ok; i++) ok = tensor_ok(here[i] = tensor_host(t, e->at, x[i]));
    ok = ok && effect_now(t, e, here, n, 0) == 0;
    kiln_scope_close(&s);
    return ok;
}

static bool happen(Thread *t, Op op, const Effect *e, kiln_tensor *const *x, uint32_t n)
{
    if (t->quiet) return true;
    if (!t->trace) return all_on_host(t, x, n) ? effect_now(t, e, x, n, 0) == 0 : happens_here(t, e, x, n);
    int64_t number = effect_number(t->k, e);
    if (number >= 0) return t->k->hooks->effect(t, e->at, op, x, n, ATTRS_OF(print, .record = number), NULL, 0);
    fail(t, e->at, KILN_EMEMORY, "%s: no memory", op_def[op].name);
    return false;
}

/* ---- print ------------------------------------------------------------------------------------------------ */
static bool has_file(Thread *t, kiln_site at, const char *what, const FILE *to)
{
    if (!to) fail(t, at, KILN_EVALUE, "%s: the file is NULL", what);
    return to;
}

void kiln_print_at(kiln_site at, FILE *to, kiln_operand o)
{
    Thread *t = op_thread(&o, 1);
    if (!t || !has_file(t, at, "print", to)) return;
    kiln_tensor *x = operand_named(t, at, "print", o, NULL);
    if (tensor_ok(x)) happen(t, OP_print, &(Effect){.kind = SHOW_TENSOR, .at = at, .to = to}, &x, 1);
}

void kiln_print_text_at(kiln_site at, kiln *k, FILE *to, const char *text)
{
    Thread *t = thread_of(k);
    if (!t || !has_file(t, at, "print_text", to)) return;
    Effect e = {.kind = SHOW_TEXT, .at = at, .to = to, .text = (char *)(uintptr_t)(text ? text : "")};
    happen(t, OP_print, &e, NULL, 0);
}

/* ---- assertions ------------------------------------------------------------------------------------------- */
/* Tapes do not record conditions, whose temporaries are freed at once. */
typedef struct Aside {
    Thread *t;
    uint32_t recording;
    kiln_scope scope;
} Aside;

static Aside aside_begin(Thread *t)
{
    Aside a = {t, t->recording, kiln_scope_open(t->k)};
    t->recording = 0;
    return a;
}

static bool aside_end(Aside *a, bool result)
{
    a->t->recording = a->recording;
    kiln_scope_close(&a->scope);
    return result;
}

static kiln_tensor *all_of(Thread *t, kiln_site at, kiln_tensor *x)
{
    int64_t axes[MAX_RANK];
    bool empty = false;
    const Type scalar = {.dtype = DT_bool};
    if (!tensor_ok(x) || !x->type.rank) return x;
    for (int i = 0; i < x->type.rank; i++) {
        axes[i] = i;
        empty |= extent_lo(t, x->type.dim[i]) < 1;
        if (x->type.dim[i] == 0) return number_like(t, at, "assert", &scalar, kiln_of_bool(true));
    }
    if (!empty) return apply1(t, at, OP_reduce_min, x, axes, x->type.rank);
    /* A reduction to an extreme fails on no elements, so the elements that do not hold are counted. */
    kiln_operand bad = of(cast_to(t, at, kiln_not_at(at, of(x)), DT_i32));
    return kiln_eq_at(at, of(kiln_sum_at(at, bad, KILN_ALL)), kiln_of_i(0));
}

/* holds: one bool. about: what the report needs. */
static bool assert_that(Thread *t, const Effect *e, kiln_tensor *holds, kiln_tensor *const *about, uint32_t n)
{
    kiln_tensor *x[1 + MAX_RANK] = {holds};
    if (!tensor_ok(holds)) return false;
    for (uint32_t i = 0; i < n; i++) {
        if (!tensor_ok(about[i])) return false;
        x[1 + i] = about[i];
    }
    bool yes = false;
    if (!t->trace && !tensor_read(t, e->at, holds, &yes)) return false;
    if (yes) return true;
    return happen(t, OP_assert, e, x, 1 + n);
}

bool effect_indices(Thread *t, kiln_site at, const char *op, kiln_tensor *indices, Dim size)
{
    Effect e = {.kind = ASSERT_INDEX, .at = at, .text = (char *)(uintptr_t)op};
    if (!t->k->checked || t->quiet) return true;
    Aside a = aside_begin(t);
    kiln_tensor *about[2] = {indices, dim_tensor(t, at, size, DT_i64)};
    kiln_tensor *holds = all_of(t, at, is_index(t, at, indices, size));
    return aside_end(&a, assert_that(t, &e, holds, about, 2));
}

bool effect_holds(Thread *t, kiln_site at, kiln_tensor *holds, const char *text)
{
    return assert_that(t, &(Effect){.kind = ASSERT_HOLDS, .at = at, .text = (char *)(uintptr_t)text}, holds, NULL, 0);
}

bool effect_least(Thread *t, kiln_site at, const char *op, const kiln_tensor *x, int axis, Dim least)
{
    char type[160], size[64], lacks[96] = "is empty", text[640], called[320];
    const Dim n = x->type.dim[axis];
    if (extent_reaches(t, at, n, least)) return true;
    dim_print(module_of(t) ? &module_of(t)->dims : NULL, least, size, sizeof size);
    if (least != 1) snprintf(lacks, sizeof lacks, "has fewer than %s elements", size);
    tensor_text(x, type, sizeof type);
    if (extent_hi(t, n) < extent_lo(t, least)) return fail(t, at, KILN_ESHAPE, "%s: axis %d %s: %s", op, axis, lacks, type), false;
    if (t->called) op = called_text(t, called, sizeof called);
    snprintf(text, sizeof text, "%s: axis %d %s: %s", op, axis, lacks, type);
    kiln_tensor *wanted = dim_tensor(t, at, least, DT_i64);
    return effect_holds(t, at, apply2(t, at, OP_ge, dim_tensor(t, at, n, DT_i64), wanted, NULL, 0), text);
}

bool kiln_assert_at(kiln_site at, kiln_operand o, const char *text)
{
    char type[160];
    Thread *t = op_thread(&o, 1);
    Effect e = {.kind = ASSERT_HOLDS, .at = at, .text = (char *)(uintptr_t)(text ? text : "it does not hold")};
    if (!t) return false;
    if (operand_is_number(o)) {
        if (o.kind == 3 ? o.as.f != 0 : o.as.i != 0) return true;
        fail(t, at, KILN_EVALUE, "assert: %s", e.text);
        return false;
    }
    Aside a = aside_begin(t);
    kiln_tensor *x = operand_named(t, at, "assert", o, NULL);
    if (!tensor_ok(x)) return aside_end(&a, false);
    if (x->type.dtype != DT_bool) {
        fail(t, at, KILN_EDTYPE, "assert: the condition must be bool, not %s", tensor_text(x, type, sizeof type));
        return aside_end(&a, false);
    }
    return aside_end(&a, assert_that(t, &e, all_of(t, at, x), &x, x->type.rank != 0));
}

bool kiln_assert_finite_at(kiln_site at, kiln_operand o)
{
    Thread *t = op_thread(&o, 1);
    Effect e = {.kind = ASSERT_FINITE, .at = at};
    if (!t) return false;
    Aside a = aside_begin(t);
    kiln_tensor *x = operand_float(t, at, "assert_finite", o);
    if (!tensor_ok(x)) return aside_end(&a, false);
    kiln_tensor *holds = all_of(t, at, kiln_isfinite_at(at, of(x)));
    return aside_end(&a, assert_that(t, &e, holds, &x, 1));
}

/* An operand as it is before it is broadcast, in the dtype of the comparison. */
static kiln_tensor *unspread(Thread *t, kiln_site at, kiln_operand o, DType d)
{
    const Type scalar = {.dtype = (uint8_t)d};
    if (operand_is_number(o)) return number_like(t, at, "assert_close", &scalar, o);
    return cast_to(t, at, o.as.tensor, d);
}

static bool assert_close(Thread *t, const Effect *e, kiln_operand *o)
{
    char type[160];
    kiln_site at = e->at;
    kiln_tensor *x[2], *about[2];
    for (int i = 0; i < 2; i++)
        if (!operand_is_number(o[i])) /* variables are read once */
            o[i] = of(operand_named(t, at, "assert_close", o[i], NULL));
    if (!operand_pair(t, at, "assert_close", o[0], o[1], x) || !tensor_ok(x[0]) || !tensor_ok(x[1])) return false;
    DType d = (DType)x[0]->type.dtype;
    if (!dtype_is_float(d)) {
        fail(t, at, KILN_EDTYPE, "assert_close: needs floats, not %s", tensor_text(x[0], type, sizeof type));
        return false;
    }
    kiln_operand gap = of(kiln_abs_at(at, of(apply2(t, at, OP_sub, x[0], x[1], NULL, 0))));
    kiln_operand near = of(kiln_le_at(at, gap, kiln_of_f(e->tolerance)));
    kiln_tensor *holds = all_of(t, at, kiln_or_at(at, near, of(apply2(t, at, OP_eq, x[0], x[1], NULL, 0))));
    for (int i = 0; i < 2; i++) about[i] = unspread(t, at, o[i], d);
    return assert_that(t, e, holds, about, 2);
}

bool kiln_assert_close_at(kiln_site at, kiln_operand x, kiln_operand y, double tolerance)
{
    kiln_operand o[2] = {x, y};
    Thread *t = op_thread(o, 2);
    Effect e = {.kind = ASSERT_CLOSE, .at = at, .tolerance = tolerance};
    if (!t) return false;
    if (!(tolerance >= 0)) {
        fail(t, at, KILN_EVALUE, "assert_close: the tolerance is %g; it must be 0 or more", tolerance);
        return false;
    }
    Aside a = aside_begin(t);
    return aside_end(&a, assert_close(t, &e, o));
}

/* Checks what is known of the shape now. False: recorded. later: some size is known only when the function runs. */
static bool shape_known(Thread *t, kiln_site at, const kiln_tensor *x, const kiln_shape *s, bool *later)
{
    char type[160];
    *later = false;
    if (x->type.rank != s->rank) {
        fail(t, at, KILN_ESHAPE, "assert_shape: rank %d, not %lld: %s", x->type.rank, (long long)s->rank,
            tensor_text(x, type, sizeof type));
        return false;
    }
    for (int i = 0; i < x->type.rank; i++) {
        Dim d = x->type.dim[i];
        int64_t want = s->size[1 + i];
        if (want < -1) {
            fail(t, at, KILN_EVALUE, "assert_shape: the size asked for axis %d is %lld; it must be 0 or more, or -1 for any", i,
                (long long)want);
            return false;
        }
        if (want < 0 || d == want) continue;
        if (dim_is_const(d)) {
            fail(t, at, KILN_ESHAPE, "assert_shape: axis %d is %lld, not %lld: %s", i, (long long)d, (long long)want,
                tensor_text(x, type, sizeof type));
            return false;
        }
        *later = true;
    }
    return true;
}

static bool assert_sizes(Thread *t, const Effect *e, const kiln_tensor *x)
{
    kiln_site at = e->at;
    kiln_tensor *size[MAX_RANK], *holds = NULL;
    for (int i = 0; i < x->type.rank; i++) {
        int64_t want = e->shape.size[1 + i];
        size[i] = dim_tensor(t, at, x->type.dim[i], DT_i64);
        if (want < 0 || dim_is_const(x->type.dim[i])) continue;
        kiln_tensor *fits = kiln_eq_at(at, of(size[i]), kiln_of_i(want));
        holds = holds ? kiln_and_at(at, of(holds), of(fits)) : fits;
    }
    return assert_that(t, e, holds, size, x->type.rank);
}

bool kiln_assert_shape_at(kiln_site at, kiln_operand o, kiln_shape shape)
{
    Thread *t = op_thread(&o, 1);
    Effect e = {.kind = ASSERT_SHAPE, .at = at, .shape = shape};
    bool later;
    if (!t) return false;
    if (shape.rank < 0 || shape.rank > MAX_RANK) {
        fail(t, at, KILN_ESHAPE, "assert_shape: the shape has %lld axes (allowed: 0 to %d)", (long long)shape.rank, MAX_RANK);
        return false;
    }
    Aside a = aside_begin(t);
    kiln_tensor *x = operand_named(t, at, "assert_shape", o, NULL);
    if (!tensor_ok(x) || !shape_known(t, at, x, &shape, &later)) return aside_end(&a, false);
    e.dtype = x->type.dtype;
    return aside_end(&a, !later || assert_sizes(t, &e, x));
}

/* ---- callbacks -------------------------------------------------------------------------------------------- */
typedef struct Call {
    Thread *t;
    Effect e;
    kiln_tensor *const *in;
    uint32_t nin, nout;
    Type *type; /* of the results */
    struct callback_attrs *attr;
    int64_t *end; /* of attr */
} Call;

static bool fault(const Call *c, kiln_code code, int output, const char *what)
{
    fail(c->t, c->e.at, code, "callback: output %d: %s", output, what);
    return false;
}

static bool declare(Call *c, int output, const kiln_spec *s)
{
    Type *type = &c->type[output];
    if (!dtype_known((int)s->dtype)) return fault(c, KILN_EDTYPE, output, "the dtype is unknown");
    if (s->rank < 0 || s->rank > MAX_RANK) return fault(c, KILN_ESHAPE, output, "the rank must be 0 to 8");
    *type = (Type){.dtype = (uint8_t)s->dtype, .rank = (uint8_t)s->rank};
    *c->end++ = type->dtype;
    *c->end++ = type->rank;
    for (int i = 0; i < s->rank; i++) {
        bool same = s->size[i].lo == -1 && s->size[i].hi == -1;
        if (same && (!c->nin || i >= c->in[0]->type.rank))
            return fault(c, KILN_ESHAPE, output, "a size is -1, but the first input has no such axis");
        if (!same && (s->size[i].lo != s->size[i].hi || s->size[i].lo < 0 || s->size[i].lo > DIM_MAX))
            return fault(c, KILN_ESHAPE, output, "a size must be a number, or -1 for that of the first input");
        type->dim[i] = *c->end++ = same ? c->in[0]->type.dim[i] : s->size[i].lo;
    }
    return true;
}

static bool call_eager(Call *c, kiln_tensor **out)
{
    Thread *t = c->t;
    kiln_tensor **x = SCRATCH(t, c->e.at, kiln_tensor *, (size_t)c->nin + c->nout), **made = x ? x + c->nin : NULL;
    uint32_t device;
    if (!x || !one_device(t, c->e.at, "callback", c->in, c->nin, &device)) return false;
    for (uint32_t i = 0; i < c->nin; i++)
        if (!tensor_ok(x[i] = tensor_host(t, c->e.at, c->in[i]))) return false;
    for (uint32_t i = 0; i < c->nout; i++)
        if (!(made[i] = tensor_empty(t, c->e.at, &c->type[i]))) return false;
    if (effect_now(t, &c->e, x, c->nin, c->nout)) return false;
    for (uint32_t i = 0; i < c->nout; i++)
        if (!tensor_ok(out[i] = made[i] = tensor_place_on(t, c->e.at, made[i], device))) return false;
    if (t->recording && c->nout)
        t->k->hooks->record(t, c->e.at, OP_callback, c->in, c->nin, ATTRS_TO(c->attr, c->end), made, c->nout);
    return true;
}

static bool call_traced(Call *c, kiln_tensor **out)
{
    c->attr->record = effect_number(c->t->k, &c->e);
    if (c->attr->record >= 0)
        return c->t->k->hooks->effect(c->t, c->e.at, OP_callback, c->in, c->nin, ATTRS_TO(c->attr, c->end), out, c->nout);
    fail(c->t, c->e.at, KILN_EMEMORY, "callback: no memory");
    return false;
}

static bool call(Call *c, const kiln_spec *types, kiln_tensor **out)
{
    for (uint32_t i = 0; i < c->nout; i++)
        if (!declare(c, (int)i, &types[i])) return false;
    if (!c->t->quiet) return c->t->trace ? call_traced(c, out) : call_eager(c, out);
    if (!c->nout) return true;
    fail(c->t, c->e.at, KILN_EUNSUPPORTED,
        "callback: the gradient of a compiled call runs its body again, but C code is called once; "
        "open the tape inside the function");
    return false;
}

/* With scratch that the caller gives back. */
static bool callback_with(
    Thread *t, kiln_site at, Effect e, kiln_tensor *const *in, int nin, const kiln_spec *types, kiln_tensor **out, int nout)
{
    kiln_tensor **x = SCRATCH(t, at, kiln_tensor *, nin);
    Type *type = SCRATCH(t, at, Type, nout);
    int64_t *attr = SCRATCH(t, at, int64_t, 1 + (2 + (size_t)MAX_RANK) * (size_t)nout);
    if (!x || !type || !attr) return false;
    for (int i = 0; i < nin; i++)
        if (!tensor_ok(x[i] = operand_named(t, at, "callback", of(in[i]), NULL))) return false;
    Call c = {.t = t, .e = e, .in = x, .nin = (uint32_t)nin, .nout = (uint32_t)nout, .type = type, .attr = (void *)attr};
    c.attr->record = 0;
    c.end = c.attr->results;
    return call(&c, types, out);
}

bool kiln_callback_at(kiln_site at, kiln *k, kiln_callback_fn *fn, void *user, kiln_tensor *const *in, int nin,
    const kiln_spec *types, kiln_tensor **out, int nout)
{
    Thread *t = thread_of(k);
    results_poison(t, out, nout);
    if (!t) return false;
    if (!list_there(t, at, "callback", in, nin) || !list_there(t, at, "callback", types, nout) ||
        !list_there(t, at, "callback", out, nout))
        return false;
    if (!fn) {
        fail(t, at, KILN_EVALUE, "callback: the function is NULL");
        return false;
    }
    ScratchMark mark = scratch_mark(&t->scratch);
    bool ok = callback_with(t, at, (Effect){.kind = CALL_BACK, .at = at, .fn = fn, .user = user}, in, nin, types, out, nout);
    scratch_reset(&t->scratch, mark);
    return ok;
}

bool kiln_callback_of_at(
    kiln_site at, kiln *k, kiln_callback_fn *fn, void *user, kiln_operands in, const kiln_spec *types, kiln_tensor **out, int nout)
{
    Thread *t = thread_of(k);
    WITH_TENSORS(t, "callback", in, out, nout, kiln_callback_at(at, k, fn, user, x, in.count, types, out, nout));
}
