/* profile: where the time of a compiled function goes, step by step. What was traced is compiled a second time, with marks between
 * the steps, and both codes are run in turn on the same inputs, so that what marks cost shows. Results are thrown away and
 * variables stay as they are, effects are left out. Relies on function/marked.h. */
#include "profile.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

enum { LEAST_CALLS = 5, MOST_CALLS = 1000 };

typedef struct Profile {
    Thread *t;
    kiln_site at;
    kiln_function *f;
    Instance *inst;
    kiln_tensor *const *in;
    const Code *plain;
    Code *own; /* without marks, where the engine's has some whose sums are not of these calls; NULL: it has none */
    Code *marked;
    kiln_tensor **result;
    uint32_t calls, most;
    double *sample; /* [most] of the plain code, [most] of that with marks, [most] of each step */
} Profile;

static bool run_once(Profile *p, const Code *code, double *seconds)
{
    kiln_scope scope = kiln_scope_open(p->t->k);
    const double start = clock_seconds();
    const Device *d = device_at(p->inst->traced.device);
    const bool ok = code_results(p->t, p->at, p->f, p->inst, code, p->in, p->result);
    if (d->sync) d->sync(d, NULL);
    *seconds = clock_seconds() - start;
    kiln_scope_close(&scope);
    return ok;
}

/* What the steps took is a sample of each; their sums begin anew. */
static void take_steps(Profile *p, uint32_t call)
{
    Marked *m = p->marked->marked;
    for (uint32_t i = 0; i < m->nstep; i++) {
        p->sample[(size_t)(2 + i) * p->most + call] = m->step[i].seconds;
        m->step[i].seconds = 0;
    }
}

static bool measure(Profile *p, double seconds)
{
    double *plain = p->sample, *marked = plain + p->most, none;
    bool ok = run_once(p, p->plain, &none) && run_once(p, p->marked, &none); /* not counted */
    Marked *m = p->marked->marked;
    m->calls = 0;
    for (uint32_t i = 0; i < m->nstep; i++) m->step[i].seconds = m->step[i].times = 0, m->step[i].sum = (Cost){0};
    const double end = clock_seconds() + seconds;
    for (; ok && p->calls < p->most && (p->calls < LEAST_CALLS || clock_seconds() < end); p->calls++) {
        ok = run_once(p, p->plain, &plain[p->calls]) && run_once(p, p->marked, &marked[p->calls]);
        take_steps(p, p->calls);
    }
    return ok;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_of(const Profile *p, size_t row)
{
    double *v = p->sample + row * p->most;
    qsort(v, p->calls, sizeof *v, by_value);
    return v[p->calls / 2];
}

static bool tell(Profile *p, FILE *to, bool json)
{
    Roof roof;
    Status st = {0};
    Text text = {0};
    Marked *m = p->marked->marked;
    const Device *d = device_at(p->inst->traced.device);
    if (d->moves ? !roof_of_device(d, &roof, &st) : !roof_measure(threads_count(p->t->k->threads), &roof, &st))
        return fail_status(p->t, p->at, &st), false;
    for (uint32_t i = 0; i < m->nstep; i++) m->step[i].seconds = median_of(p, 2 + i) * p->calls;
    const ProfileReport r = {.roof = &roof, .first = m, .plain = median_of(p, 0), .marked = median_of(p, 1)};
    locale_t before = plain_numbers_begin();
    (json ? profile_json : profile_table)(&text, &r);
    plain_numbers_end(before);
    const bool made = !text.failed, written = made && text.at && fputs(text.at, to) >= 0 && fflush(to) == 0;
    if (!made)
        fail(p->t, p->at, KILN_EMEMORY, "profile: no memory for the report");
    else if (!written)
        fail(p->t, p->at, KILN_EIO, "profile: the report cannot be written: %s", strerror(errno));
    text_free(&text);
    return written;
}

/* Fewer calls are measured where there are many steps, whose times take room. */
static bool make_room(Profile *p)
{
    const size_t rows = 2 + (size_t)p->marked->marked->nstep;
    p->most = (uint32_t)MAX_OF(MIN_OF((size_t)MOST_CALLS, ((size_t)1 << 20) / rows), (size_t)LEAST_CALLS);
    p->sample = SCRATCH(p->t, p->at, double, rows * p->most);
    p->result = SCRATCH(p->t, p->at, kiln_tensor *, p->inst->traced.nresult);
    return p->sample && p->result;
}

bool profile_instance(
    Thread *t, kiln_site at, FILE *to, kiln_function *f, Instance *inst, kiln_tensor *const *in, const kiln_profile_options *o)
{
    Profile p = {.t = t, .at = at, .f = f, .inst = inst, .in = in};
    Status st = {0};
    p.plain = instance_compiled(t, at, f, inst);
    if (p.plain && p.plain->marked) p.plain = p.own = code_build(f, &inst->traced, -1, 0, &st);
    p.marked = p.plain ? code_build(f, &inst->traced, -1, BUILD_MARKS, &st) : NULL;
    if (st.code) fail_status(t, at, &st);
    ScratchMark mark = scratch_mark(&t->scratch);
    t->quiet++;
    bool ok = p.marked && make_room(&p) && measure(&p, o->seconds > 0 ? o->seconds : 0.2) && tell(&p, to, o->json);
    t->quiet--;
    scratch_reset(&t->scratch, mark);
    if (p.marked) marked_free(p.marked->marked);
    code_free(p.marked);
    code_free(p.own);
    return ok;
}

static bool asks_well(Thread *t, kiln_site at, const kiln_function *f, FILE *to, const kiln_profile_options *o)
{
    if (!function_alive(t, at, f)) return false;
    if (!to) return fail(t, at, KILN_EVALUE, "profile: the file is NULL"), false;
    if (o->seconds >= 0 && !isinf(o->seconds)) return true;
    fail(t, at, KILN_EVALUE, "profile: seconds is %g; it must be a finite number, 0 or more", o->seconds);
    return false;
}

bool profile_function(kiln_site at, FILE *to, kiln_function *f, kiln_tensor *const *in, int nin, const kiln_profile_options *o)
{
    Thread *t = thread_of(f->k);
    if (!asks_well(t, at, f, to, o)) return false;
    const bool entered = call_enter(t, at, f);
    Instance *inst = entered ? function_instance(t, at, f, in, nin) : NULL;
    const bool ok = inst && profile_instance(t, at, to, f, inst, in, o);
    if (entered) call_leave(t);
    return ok;
}
