/* timed: see timed.h. An event stands before each step; what passes between two is the time of the step between them. After so many
 * the stream is waited for, so that they can be used again. */
#include "timed.h"

static bool next_event(Timed *t, CudaQueue *q, Status *st)
{
    const CudaDriver *d = q->driver;
    if (t->n == t->made) {
        if (!cuda_ok(d, d->EventCreate(&t->event[t->n], 0), st, "an event")) return false;
        t->made++;
    }
    return cuda_ok(d, d->EventRecord(t->event[t->n], q->stream), st, "timing a step");
}

/* The time between all events that stand in the stream, the last of which stays. */
static bool add_up(Timed *t, CudaQueue *q, Status *st)
{
    const CudaDriver *d = q->driver;
    if (t->n > 0 && !cuda_ok(d, d->EventSynchronize(t->event[t->n - 1]), st, "waiting for a step")) return false;
    for (uint32_t i = 0; i + 1 < t->n; i++) {
        float ms = 0;
        const int64_t s = t->step[i];
        if (!cuda_ok(d, d->EventElapsedTime(&ms, t->event[i], t->event[i + 1]), st, "how long a step took")) return false;
        t->marks->at[s < 0 ? -1 - s : s].seconds += 1e-3 * (double)ms;
    }
    if (t->n < 2) return true;
    const CUevent last = t->event[t->n - 1];
    t->event[t->n - 1] = t->event[0];
    t->event[0] = last;
    t->step[0] = t->step[t->n - 1];
    t->n = 1;
    return true;
}

bool timed_mark(Timed *t, CudaQueue *q, int64_t number, Status *st)
{
    if (!t->marks) return true;
    if (t->n == TIMED_EVENTS && !add_up(t, q, st)) return false;
    if (!next_event(t, q, st)) return false;
    t->step[t->n++] = number;
    if (number >= 0) t->marks->at[number].times++;
    return true;
}

bool timed_end(Timed *t, CudaQueue *q, Status *st) { return !t->marks || (timed_mark(t, q, -1, st) && add_up(t, q, st)); }

void timed_free(Timed *t, const CudaDriver *d)
{
    for (uint32_t i = 0; i < t->made; i++) d->EventDestroy(t->event[i]);
    t->made = 0;
}
