/* fault: what went wrong on a device, at once or later, and what was running then. An error after which the context works no more
 * is kept for good: every later use answers it. Relies on parts.h. */
#include "parts.h"

void gpu_leave(Gpu *g)
{
    CUcontext current;
    g->own.driver->CtxPopCurrent(&current);
}

void gpu_launched(CudaQueue *c, const char *kernel, const char *program, Loc at)
{
    Queue *q = (Queue *)c;
    const uint64_t n = atomic_load_explicit(&q->launches, memory_order_relaxed);
    q->launch[n % KEPT_LAUNCHES] = (Launched){kernel, program, at};
    atomic_store_explicit(&q->launches, n + 1, memory_order_release);
}

/* Adds the queue's launches that nobody has seen finish, the newest first. */
static void tell_launches(const Queue *q, Text *t)
{
    const uint64_t n = atomic_load(&q->launches), done = atomic_load(&q->finished);
    for (uint64_t i = n; i > done && n - i < KEPT_LAUNCHES; i--) {
        const Launched *l = &q->launch[(i - 1) % KEPT_LAUNCHES];
        text_printf(t, "%s %s of %s", t->len != 0 ? "," : "", l->kernel, l->program ? l->program : "a program");
        if (l->at.file) text_printf(t, " (%s:%d)", l->at.file, l->at.line);
    }
    if (n > done + KEPT_LAUNCHES) text_printf(t, " and %llu before", (unsigned long long)(n - done - KEPT_LAUNCHES));
}

/* Under the lock. */
static void tell(const Gpu *g, CUresult e, Status *st)
{
    const CudaDriver *d = g->own.driver;
    const char *name = NULL, *text = NULL;
    Text running = {0};
    if (d->GetErrorName(e, &name) != 0) name = NULL;
    if (d->GetErrorString(e, &text) != 0) text = NULL;
    for (const Queue *q = g->queues; q; q = q->next) tell_launches(q, &running);
    status_fail(st, e == CUDA_ERROR_OUT_OF_MEMORY ? ST_MEMORY : ST_DEVICE, "%s: %s (%s)%s%.250s", g->name,
        name ? name : "an unknown error", text ? text : "no text", running.len != 0 ? ", found when these had been launched:" : "",
        running.at ? running.at : "");
    text_free(&running);
}

/* For good, because of e. */
static void die(Gpu *g, CUresult e)
{
    pthread_mutex_lock(&g->lock);
    tell(g, e, &g->death); /* the first is kept */
    pthread_mutex_unlock(&g->lock);
    atomic_store_explicit(&g->dead, true, memory_order_release);
}

static bool is_dead(const Gpu *g) { return atomic_load_explicit(&g->dead, memory_order_acquire); }

/* Whether the context, which is current, still works, now that it said e. */
static bool alive(Gpu *g, CUresult e)
{
    if (is_dead(g)) return false;
    if (g->own.driver->CtxSynchronize() == 0) return true;
    die(g, e);
    return false;
}

bool gpu_enter(Gpu *g, Status *st)
{
    const CudaDriver *d = g->own.driver;
    if (LIKELY(!is_dead(g))) {
        if (LIKELY(d->CtxPushCurrent(d->context) == 0)) return true;
        const CUresult e = d->CtxPushCurrent(d->context);
        if (e == 0) return true;
        die(g, e);
    }
    return status_fail(st, g->death.code, "%s", g->death.text);
}

bool gpu_ok(Gpu *g, CUresult e, Status *st, const char *doing)
{
    if (LIKELY(e == 0)) return true;
    if (e == CUDA_ERROR_OUT_OF_MEMORY) return status_fail(st, ST_MEMORY, "%s: no memory for %s", g->name, doing);
    if (!alive(g, e)) return status_fail(st, g->death.code, "%s", g->death.text);
    return cuda_ok(g->own.driver, e, st, "%s: %s", g->name, doing);
}

bool gpu_failed(Gpu *g, Status *st)
{
    /* What the driver said is text by now. */
    if (st->code == ST_DEVICE && !alive(g, g->own.driver->CtxSynchronize())) *st = g->death;
    return false;
}

void gpu_keep(Gpu *g, const Status *st)
{
    if (st->code == ST_OK || st->code == ST_MEMORY) return;
    pthread_mutex_lock(&g->lock);
    status_fail(&g->fault, st->code, "%s", st->text);
    pthread_mutex_unlock(&g->lock);
}

void gpu_late(Gpu *g, CUresult e)
{
    if (e == 0 || !alive(g, e)) return;
    pthread_mutex_lock(&g->lock);
    tell(g, e, &g->fault);
    pthread_mutex_unlock(&g->lock);
}

/* ---- what is lost ------------------------------------------------------------------------------ */

#define MARK_BITS 40 /* of a mark: what the queue was asked for; above them its number */

uint64_t gpu_mark(Queue *q) { return (uint64_t)q->number << MARK_BITS | atomic_load(&q->asked); }

/* Under the lock. */
static void lose(Gpu *g, const Queue *q, uint64_t after, uint64_t to, const Status *why)
{
    const uint32_t n = atomic_load(&g->losses);
    Lost *l = &g->lost[n % LOSSES];
    *l = (Lost){.queue = q->number, .after = after, .to = to, .why = *why};
    atomic_store(&g->losses, n + 1);
}

void gpu_lose(Gpu *g, CUresult e)
{
    Status why = {0};
    gpu_late(g, e);
    if (e == 0 || is_dead(g)) return;
    pthread_mutex_lock(&g->lock);
    tell(g, e, &why);
    for (const Queue *q = g->queues; q; q = q->next) {
        const uint64_t asked = atomic_load(&q->asked), done = atomic_load(&q->done);
        if (asked > done) lose(g, q, done, asked, &why);
    }
    pthread_mutex_unlock(&g->lock);
}

bool gpu_lost(const Device *d, uint64_t mark, Status *st)
{
    Gpu *g = (Gpu *)(uintptr_t)d;
    const uint32_t n = atomic_load(&g->losses);
    if (UNLIKELY(is_dead(g))) return !status_fail(st, g->death.code, "%s", g->death.text);
    if (LIKELY(n == 0)) return false;
    const uint64_t queue = mark >> MARK_BITS, at = mark & (((uint64_t)1 << MARK_BITS) - 1);
    bool found = false;
    pthread_mutex_lock(&g->lock);
    for (uint32_t i = 0; i < MIN_OF(n, (uint32_t)LOSSES) && !found; i++) {
        const Lost *l = &g->lost[i];
        if (l->queue != queue || at <= l->after || at > l->to) continue;
        found = !status_fail(st, l->why.code, "%s", l->why.text);
        status_clear(&g->fault); /* it is told */
    }
    pthread_mutex_unlock(&g->lock);
    return found;
}

bool gpu_fault(const Device *d, Status *st)
{
    Gpu *g = (Gpu *)(uintptr_t)d;
    pthread_mutex_lock(&g->lock);
    const Status *why = is_dead(g) ? &g->death : &g->fault;
    const bool was = why->code != ST_OK;
    if (was) status_fail(st, why->code, "%s", why->text);
    status_clear(&g->fault);
    pthread_mutex_unlock(&g->lock);
    return was;
}
