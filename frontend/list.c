/* list: the calls that take several operands as one list: tensors, variables and numbers in any mixture. Each resolves the list and
 * goes on to the call that takes an array. Relies on operand.h. */
#include <kiln/nn.h>

#include "function.h"
#include "operand.h"
#include "region.h"

kiln_operand operands_get(kiln_operands l, int i)
{
    if (l.kind == 1) return kiln_of_tensor(((kiln_tensor *const *)l.at)[i]);
    if (l.kind == 2) return kiln_of_variable(((kiln_variable *const *)l.at)[i]);
    return ((const kiln_operand *)l.at)[i];
}

Thread *operands_of_thread(kiln_operands l)
{
    for (int i = 0; l.at && i < l.count; i++) {
        kiln_operand o = operands_get(l, i);
        Thread *t = operands_thread(&o, 1);
        if (t) return t;
    }
    return thread_last();
}

/* ---- as an array ------------------------------------------------------------------------------------------------------ */
typedef struct Array {
    const kiln_operand *at;
    kiln_operand few[16], *many;
} Array;

static bool array_open(Thread *t, kiln_site at, const char *what, kiln_operands l, Array *a)
{
    const size_t n = (size_t)(l.count > 0 ? l.count : 0);
    a->many = NULL;
    a->at = l.at;
    if (l.count < 0 || (!l.at && n)) {
        fail(t, at, KILN_EVALUE, "%s: the list of operands is NULL, or its count below 0", what);
        return false;
    }
    if (l.kind == 0) return true;
    if (n > COUNT_OF(a->few) && !(a->many = mem_alloc(n * sizeof *a->many))) {
        fail(t, at, KILN_EMEMORY, "%s: no memory for %d operands", what, l.count);
        return false;
    }
    kiln_operand *to = a->many ? a->many : a->few;
    for (size_t i = 0; i < n; i++) to[i] = operands_get(l, (int)i);
    a->at = to;
    return true;
}

static void array_close(Array *a, kiln_operands l)
{
    if (a->many) mem_free(a->many, (size_t)l.count * sizeof *a->many);
}

/* ---- calls ------------------------------------------------------------------------------------------------------------- */
bool kiln_call_all_of_at(kiln_site at, kiln_function *f, kiln_operands in, kiln_tensor **out, int nout)
{
    Thread *t = f ? thread_of(f->k) : thread_last();
    Array a;
    if (!array_open(t, at, "call", in, &a)) return results_poison(t, out, nout);
    bool ok = kiln_call_all_at(at, f, a.at, in.count, out, nout);
    array_close(&a, in);
    return ok;
}

bool kiln_gradients_of_at(kiln_site at, kiln_tape *tape, kiln_operand y, kiln_operands x, kiln_tensor **dx)
{
    Thread *t = tape ? tape->t : thread_last();
    Array a;
    if (!array_open(t, at, "gradients", x, &a)) return results_poison(t, dx, x.count);
    kiln_tensor *of_y = y.kind == 1 || !t ? y.as.tensor : operand_named(t, at, "gradient", y, NULL);
    bool ok = kiln_gradients_at(at, tape, of_y, NULL, a.at, x.count, dx);
    array_close(&a, x);
    return ok;
}

/* The operands as tensors that fit the function, then `use` of them. */
typedef bool Use(kiln_site at, kiln_function *f, kiln_tensor *const *x, int n, void *user);

static bool with_arguments(kiln_site at, const char *what, kiln_function *f, kiln_operands in, Use *use, void *user)
{
    Thread *t = f ? thread_of(f->k) : thread_last();
    Array a;
    if (!f || !t || t->trace) {
        fail(t, at, KILN_ESTATE, "%s: %s", what, !f || !t ? "the function is NULL" : "inside a trace");
        return false;
    }
    if (!array_open(t, at, what, in, &a)) return false;
    ScratchMark mark = scratch_mark(&t->scratch);
    kiln_tensor **x = SCRATCH(t, at, kiln_tensor *, in.count);
    kiln_scope s = kiln_scope_open(f->k);
    bool ok = x && function_arguments(t, at, f, a.at, in.count, x) && use(at, f, x, in.count, user);
    kiln_scope_close(&s);
    scratch_reset(&t->scratch, mark);
    array_close(&a, in);
    return ok;
}

typedef struct Judge {
    FILE *report;
    kiln_verdict verdict;
} Judge;

static bool use_check(kiln_site at, kiln_function *f, kiln_tensor *const *x, int n, void *user)
{
    Judge *j = user;
    j->verdict = kiln_check_at(at, j->report, f, x, n);
    return j->verdict != KILN_DISAGREE;
}

kiln_verdict kiln_check_of_at(kiln_site at, FILE *report, kiln_function *f, kiln_operands in)
{
    Judge j = {report, KILN_DISAGREE};
    return with_arguments(at, "check", f, in, use_check, &j) ? j.verdict : KILN_DISAGREE;
}

typedef struct Compare {
    FILE *to;
    const kiln_compare_options *options;
    size_t size;
} Compare;

static bool use_compare(kiln_site at, kiln_function *f, kiln_tensor *const *x, int n, void *user)
{
    const Compare *c = user;
    return kiln_compare_sized(at, c->to, f, x, n, c->options, c->size);
}

bool kiln_compare_of_sized(
    kiln_site at, FILE *to, kiln_function *f, kiln_operands in, const kiln_compare_options *options, size_t size)
{
    Compare c = {to, options, size};
    return with_arguments(at, "compare", f, in, use_compare, &c);
}

/* ---- what takes tensors ------------------------------------------------------------------------------------------------ */
/* A number as kiln_local takes it. */
static kiln_tensor *listed(Thread *t, kiln_site at, const char *what, kiln_operand o, bool numbers)
{
    Type own = {.dtype = o.kind == 6 ? DT_bool : DT_i64};
    if (numbers && o.kind == 3)
        return fail(t, at, KILN_EDTYPE, "%s: %g is a C double, which could be f32 or f64 here: kiln_scalar(k, KILN_F32, %g)", what, o.as.f, o.as.f);
    return operand_named(t, at, what, o, numbers ? &own : NULL);
}

kiln_tensor **list_tensors(Thread *t, kiln_site at, const char *what, kiln_operands l, bool numbers)
{
    if (l.count < 0 || (!l.at && l.count)) {
        fail(t, at, KILN_EVALUE, "%s: the list of operands is NULL, or its count below 0", what);
        return NULL;
    }
    kiln_tensor **x = SCRATCH(t, at, kiln_tensor *, (size_t)l.count + 1);
    for (int i = 0; x && i < l.count; i++)
        if (!tensor_ok(x[i] = listed(t, at, what, operands_get(l, i), numbers))) return NULL;
    return x;
}

/* The tensors of l while `call` stands; out is poisoned if they are none. */
#define WITH_TENSORS(t, what, l, out, nout, call)                           \
    do {                                                                    \
        if (!(t)) return false;                                             \
        ScratchMark mark = scratch_mark(&(t)->scratch);                     \
        kiln_tensor **x = list_tensors((t), at, (what), (l), true);         \
        const bool ok = x ? (call) : results_poison((t), (out), (nout));        \
        scratch_reset(&(t)->scratch, mark);                                 \
        return ok;                                                          \
    } while (0)

bool kiln_cond_of_at(kiln_site at, kiln *k, kiln_operand condition, kiln_body *then, kiln_body *otherwise, kiln_operands in,
    kiln_tensor **out, int nout, void *user)
{
    Thread *t = thread_of(k);
    WITH_TENSORS(t, "kiln_cond", in, out, nout, kiln_cond_at(at, k, condition, then, otherwise, x, in.count, out, nout, user));
}

bool kiln_switch_of_at(kiln_site at, kiln *k, kiln_operand selector, kiln_body *const *bodies, int count, kiln_operands in, kiln_tensor **out,
    int nout, void *user)
{
    Thread *t = thread_of(k);
    WITH_TENSORS(t, "kiln_switch", in, out, nout, kiln_switch_at(at, k, selector, bodies, count, x, in.count, out, nout, user));
}

bool kiln_for_of_at(kiln_site at, kiln *k, kiln_operand count, kiln_body *body, kiln_operands carries, kiln_tensor **out, void *user)
{
    Thread *t = thread_of(k);
    WITH_TENSORS(t, "kiln_for", carries, out, carries.count, kiln_for_at(at, k, count, body, x, carries.count, out, user));
}

bool kiln_for_every_of_at(
    kiln_site at, kiln *k, kiln_operand count, int64_t every, kiln_body *body, kiln_operands carries, kiln_tensor **out, void *user)
{
    Thread *t = thread_of(k);
    WITH_TENSORS(t, "kiln_for_every", carries, out, carries.count, kiln_for_every_at(at, k, count, every, body, x, carries.count, out, user));
}

bool kiln_while_of_at(
    kiln_site at, kiln *k, int64_t at_most, kiln_body *condition, kiln_body *body, kiln_operands carries, kiln_tensor **out, void *user)
{
    Thread *t = thread_of(k);
    WITH_TENSORS(t, "kiln_while", carries, out, carries.count, kiln_while_at(at, k, at_most, condition, body, x, carries.count, out, user));
}

bool kiln_callback_of_at(kiln_site at, kiln *k, kiln_callback_fn *fn, void *user, kiln_operands in, const kiln_spec *types, kiln_tensor **out, int nout)
{
    Thread *t = thread_of(k);
    WITH_TENSORS(t, "callback", in, out, nout, kiln_callback_at(at, k, fn, user, x, in.count, types, out, nout));
}

bool list_scan(Thread *t, kiln_site at, kiln_scan_options *o)
{
    const kiln_operands carries = o->carries_in, xs = o->xs_in;
    if (carries.at || carries.count) {
        o->carries_count = carries.count;
        if (!(o->carries = list_tensors(t, at, "kiln_scan", carries, true))) return false;
    }
    if (!xs.at && !xs.count) return true;
    o->xs_count = xs.count;
    return (o->xs = list_tensors(t, at, "kiln_scan", xs, true)) != NULL;
}

kiln_tensor *kiln_custom_gradient_of_at(kiln_site at, kiln_operand y, kiln_operands x,
    void (*backward)(kiln *k, kiln_tensor *g, kiln_tensor *const *x, kiln_tensor **dx, void *user), void *user)
{
    Thread *t = op_thread(&y, 1);
    if (!t) return NULL;
    ScratchMark mark = scratch_mark(&t->scratch);
    kiln_tensor **in = list_tensors(t, at, "custom_gradient", x, false), *out = in ? operand_named(t, at, "custom_gradient", y, NULL) : NULL;
    out = tensor_ok(out) ? kiln_custom_gradient_at(at, out, in, x.count, backward, user) : &t->k->poison;
    scratch_reset(&t->scratch, mark);
    return out;
}

kiln_tensor *kiln_clip_by_global_norm_of_at(kiln_site at, kiln_operands x, double most, kiln_tensor **out)
{
    Thread *t = operands_of_thread(x);
    if (!t) return NULL;
    ScratchMark mark = scratch_mark(&t->scratch);
    kiln_tensor **in = list_tensors(t, at, "clip_by_global_norm", x, false), *norm = &t->k->poison;
    if (in)
        norm = kiln_clip_by_global_norm_at(at, in, x.count, most, out);
    else if (out)
        results_poison(t, out, x.count);
    scratch_reset(&t->scratch, mark);
    return norm;
}
