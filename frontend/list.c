/* list: the calls that take several operands as one list: tensors, variables and numbers in any mixture. Each resolves the list and
 * goes on to the call that takes an array. Relies on operand.h. */
#include "function.h"
#include "operand.h"

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
static void poison_all(Thread *t, kiln_tensor **out, int n)
{
    for (int i = 0; i < n; i++) out[i] = t ? &t->k->poison : NULL;
}

bool kiln_call_all_of_at(kiln_site at, kiln_function *f, kiln_operands in, kiln_tensor **out, int nout)
{
    Thread *t = f ? thread_of(f->k) : thread_last();
    Array a;
    if (!array_open(t, at, "call", in, &a)) return poison_all(t, out, nout), false;
    bool ok = kiln_call_all_at(at, f, a.at, in.count, out, nout);
    array_close(&a, in);
    return ok;
}

bool kiln_gradients_of_at(kiln_site at, kiln_tape *tape, kiln_operand y, kiln_operands x, kiln_tensor **dx)
{
    Thread *t = tape ? tape->t : thread_last();
    Array a;
    if (!array_open(t, at, "gradients", x, &a)) return poison_all(t, dx, x.count), false;
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
