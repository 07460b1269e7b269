/* segments: kiln_for_every: a loop in segments, so that its gradient keeps what comes into each segment and runs the steps in it
 * again. Two nested kiln_for, the inner one with the outer one's index. Relies on public operations alone. */
#include "function.h"

typedef struct Segments {
    kiln_site at;
    kiln_body *body;
    void *user;
    int64_t every;
    int64_t known; /* the number of steps, if it was given as a plain number; -1: `count` has it */
    kiln_tensor *count;
    kiln_tensor *first; /* index of the running segment's first step */
    int n;
} Segments;

static void step(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const Segments *s = user;
    Thread *t = thread_of(k);
    ScratchMark mark = scratch_mark(&t->scratch);
    kiln_tensor **given = SCRATCH(t, s->at, kiln_tensor *, (size_t)s->n + 2);
    if (!given) return;
    given[0] = kiln_add_at(s->at, kiln_of_tensor(s->first), kiln_of_tensor(in[0]));
    for (int i = 1; i <= s->n + 1; i++) given[i] = in[i]; /* a NULL ends them */
    s->body(k, given, out, s->user);
    scratch_reset(&t->scratch, mark);
}

static void segment(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    Segments *s = user;
    kiln_operand steps = kiln_of_i(s->every);
    s->first = kiln_mul_at(s->at, kiln_of_tensor(in[0]), kiln_of_i(s->every));
    if (s->known < 0 || s->known % s->every) { /* the last segment may be shorter */
        kiln_operand all = s->known < 0 ? kiln_of_tensor(s->count) : kiln_of_i(s->known);
        kiln_tensor *left = kiln_sub_at(s->at, all, kiln_of_tensor(s->first));
        steps = kiln_of_tensor(kiln_min_at(s->at, kiln_of_tensor(left), kiln_of_i(s->every)));
    }
    kiln_for_at(s->at, k, steps, step, in + 1, s->n, out, s);
}

bool kiln_for_every_at(kiln_site at, kiln *k, kiln_operand count, int64_t every, kiln_body *body, kiln_tensor *const *carries,
    int n, kiln_tensor **out, void *user)
{
    Thread *t = thread_of(k);
    if (!t) return false;
    if (!list_there(t, at, "kiln_for_every", out, n)) return false;
    for (int i = 0; i < n; i++) out[i] = &t->k->poison;
    if (every < 1 || !body) {
        fail(t, at, KILN_EVALUE, "kiln_for_every: %s", !body ? "the body is NULL" : "every must be at least 1");
        return false;
    }
    Segments s = {.at = at, .body = body, .user = user, .every = every, .known = -1, .n = n};
    if (count.kind == 4) s.known = MAX_OF(count.as.i, 0);
    if (s.known >= 0) return kiln_for_at(at, k, kiln_of_i(s.known / every + (s.known % every != 0)), segment, carries, n, out, &s);
    const Type index = {.dtype = DT_i64};
    kiln_tensor *all = operand_named(t, at, "kiln_for_every", count, &index);
    if (!tensor_ok(all)) return false;
    if (all->type.rank || !dtype_is_int(all->type.dtype)) {
        char text[96];
        fail(
            t, at, KILN_EDTYPE, "kiln_for_every: the count must be an integer scalar, not %s", tensor_text(all, text, sizeof text));
        return false;
    }
    s.count = cast_to(t, at, all, DT_i64);
    kiln_tensor *up = kiln_add_at(at, kiln_of_tensor(s.count), kiln_of_i(every - 1));
    return kiln_for_at(
        at, k, kiln_of_tensor(kiln_floor_div_at(at, kiln_of_tensor(up), kiln_of_i(every))), segment, carries, n, out, &s);
}

bool kiln_for_every_of_at(
    kiln_site at, kiln *k, kiln_operand count, int64_t every, kiln_body *body, kiln_operands carries, kiln_tensor **out, void *user)
{
    Thread *t = thread_of(k);
    WITH_TENSORS(t, "kiln_for_every", carries, out, carries.count,
        kiln_for_every_at(at, k, count, every, body, x, carries.count, out, user));
}
