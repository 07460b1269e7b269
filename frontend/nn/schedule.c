/* schedule: learning rates as functions of a step count, computed in f64 by composites of public ops over the step, so that a
 * traced step follows its schedule without a new trace. Never keeps state: the caller has the count. */
#include "optimizer.h"

#include <math.h>

#include "../ops/ops.h"

#define OP1(name, x) of(kiln_##name##_at(at, x))
#define OP2(name, x, y) of(kiln_##name##_at(at, x, y))
#define NUMBER(v) kiln_of_f(v)

static int boundaries(const kiln_schedule *s)
{
    int n = 0;
    while (n < KILN_PIECES && s->boundary[n]) n++;
    return n;
}

static bool rate_ok(double r) { return isfinite(r) && r >= 0 && r <= 3e38; }

bool schedule_check(Thread *t, kiln_site at, const kiln_schedule *s)
{
    bool timed = s->kind != KILN_RATE_CONSTANT && s->kind != KILN_RATE_PIECEWISE;
    const char *why = (unsigned)s->kind > KILN_RATE_PIECEWISE ? "the kind is unknown"
                      : !rate_ok(s->rate)                     ? "rate must be a finite number, 0 or more"
                      : timed && s->steps <= 0                ? "steps must be positive"
                      : s->warmup < 0                         ? "warmup must be 0 or more"
                      : !(s->least >= 0 && s->least <= 1)     ? "least must lie in [0, 1]"
                      : s->kind == KILN_RATE_EXPONENTIAL && !(isfinite(s->decay) && s->decay > 0) ? "decay must be positive"
                                                                                                  : NULL;
    for (int i = 0; !why && s->kind == KILN_RATE_PIECEWISE && i < boundaries(s); i++)
        why = !rate_ok(s->rates[i])                            ? "each of rates must be a finite number, 0 or more"
              : s->boundary[i] <= (i ? s->boundary[i - 1] : 0) ? "the boundaries must increase, the first at least 1"
                                                               : NULL;
    if (!why) return true;
    fail(t, at, KILN_EVALUE, "schedule: %s", why);
    return false;
}

/* u / steps, at most 1 */
static kiln_operand progress(kiln_site at, const kiln_schedule *s, kiln_operand u)
{
    return OP2(min, OP2(div, u, NUMBER((double)s->steps)), NUMBER(1));
}

/* rate * (least + (1 - least) * x) */
static kiln_operand above_least(kiln_site at, const kiln_schedule *s, kiln_operand x)
{
    return OP2(add, OP2(mul, x, NUMBER(s->rate * (1 - s->least))), NUMBER(s->rate * s->least));
}

static kiln_operand piecewise(kiln_site at, const kiln_schedule *s, kiln_operand u)
{
    kiln_operand r = OP2(add, OP2(mul, u, NUMBER(0)), NUMBER(s->rate));
    for (int i = 0; i < boundaries(s); i++)
        r = of(kiln_where_at(at, OP2(ge, u, NUMBER((double)s->boundary[i])), NUMBER(s->rates[i]), r));
    return r;
}

/* The rate u steps after the warm-up. */
static kiln_operand rate_of(kiln_site at, const kiln_schedule *s, kiln_operand u)
{
    kiln_operand x;
    switch (s->kind) {
    case KILN_RATE_EXPONENTIAL:
        x = OP2(div, u, NUMBER((double)s->steps));
        if (s->staircase) x = OP1(floor, x);
        return OP2(mul, OP2(pow, NUMBER(s->decay), x), NUMBER(s->rate));
    case KILN_RATE_COSINE:
        x = OP1(cos, OP2(mul, progress(at, s, u), NUMBER(M_PI)));
        return above_least(at, s, OP2(mul, OP2(add, x, NUMBER(1)), NUMBER(0.5)));
    case KILN_RATE_LINEAR: return above_least(at, s, OP2(sub, NUMBER(1), progress(at, s, u)));
    default: return piecewise(at, s, u); /* a constant has no boundaries */
    }
}

kiln_tensor *kiln_schedule_rate_sized(kiln_site at, const kiln_schedule *schedule, size_t size, kiln_operand step)
{
    Thread *t = op_thread(&step, 1);
    if (!t) return NULL;
    if (!schedule) return fail(t, at, KILN_EVALUE, "schedule: the schedule is NULL");
    kiln_tensor *count = operand_named(t, at, "schedule", step, NULL);
    if (!tensor_ok(count)) return &t->k->poison;
    kiln_schedule s = {.rate = 0};
    memcpy(&s, schedule, MIN_OF(size, sizeof s));
    if (s.kind == KILN_RATE_CONSTANT) memset(s.boundary, 0, sizeof s.boundary);
    if (!schedule_check(t, at, &s)) return &t->k->poison;
    Composite scope = composite_begin(t, "schedule");
    kiln_operand n = of(kiln_cast_at(at, of(count), KILN_F64)), u = n;
    if (s.warmup) u = OP2(max, OP2(sub, n, NUMBER((double)s.warmup)), NUMBER(0));
    kiln_operand r = rate_of(at, &s, u);
    if (s.warmup) {
        kiln_operand share = OP2(div, OP2(add, n, NUMBER(1)), NUMBER((double)s.warmup));
        r = OP2(mul, r, OP2(min, share, NUMBER(1)));
    }
    return composite_end(t, &scope, kiln_cast_at(at, r, count->type.dtype == DT_f64 ? KILN_F64 : KILN_F32));
}
