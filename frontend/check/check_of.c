/* check_of: checking, comparing and profiling with the operands as one list. */
#include "profile.h"

/* The operands as tensors that fit the function, then `use` of them. */
typedef bool Use(kiln_site at, kiln_function *f, kiln_tensor *const *x, int n, void *user);

static bool with_arguments(kiln_site at, const char *what, kiln_function *f, kiln_operands in, Use *use, void *user)
{
    Thread *t = f ? thread_of(f->k) : thread_last();
    OperandArray a;
    if (!f || !t || t->trace) {
        fail(t, at, KILN_ESTATE, "%s: %s", what, !f || !t ? "the function is NULL" : "called inside a trace");
        return false;
    }
    if (!operand_array_open(t, at, what, in, &a)) return false;
    ScratchMark mark = scratch_mark(&t->scratch);
    kiln_tensor **x = SCRATCH(t, at, kiln_tensor *, in.count);
    kiln_scope s = kiln_scope_open(f->k);
    bool ok = x && function_arguments(t, at, f, a.at, in.count, x) && use(at, f, x, in.count, user);
    kiln_scope_close(&s);
    scratch_reset(&t->scratch, mark);
    operand_array_close(&a, in);
    return ok;
}

typedef struct Judge {
    FILE *report;
    const CheckParts *parts;
    kiln_verdict verdict;
} Judge;

static bool use_check(kiln_site at, kiln_function *f, kiln_tensor *const *x, int n, void *user)
{
    Judge *j = user;
    j->verdict = check_parts(at, j->report, f, x, n, j->parts);
    return j->verdict != KILN_DISAGREE;
}

kiln_verdict check_parts_of(kiln_site at, FILE *report, kiln_function *f, kiln_operands in, const CheckParts *parts)
{
    Judge j = {report, parts, KILN_DISAGREE};
    return with_arguments(at, "check", f, in, use_check, &j) ? j.verdict : KILN_DISAGREE;
}

kiln_verdict kiln_check_of_at(kiln_site at, FILE *report, kiln_function *f, kiln_operands in)
{
    return check_parts_of(at, report, f, in, &(CheckParts){.reference = true, .compiled = true});
}

typedef struct Profiled {
    FILE *to;
    kiln_profile_options o;
} Profiled;

static bool use_profile(kiln_site at, kiln_function *f, kiln_tensor *const *x, int n, void *user)
{
    const Profiled *p = user;
    return profile_function(at, p->to, f, x, n, &p->o);
}

bool kiln_profile_of_sized(
    kiln_site at, FILE *to, kiln_function *f, kiln_operands in, const kiln_profile_options *options, size_t size)
{
    Profiled p = {.to = to};
    if (options) memcpy(&p.o, options, MIN_OF(size, sizeof p.o));
    return with_arguments(at, "profile", f, in, use_profile, &p);
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
