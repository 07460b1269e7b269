/* stats: what a function counts and says about itself: misses with their reasons, and the warning when traces pile up. Never
 * decides anything. */
#include "background.h"

#include <stdio.h>

#define WARN_AT 5 /* traces; then at every doubling */

static void lock(kiln_function *f) { pthread_mutex_lock(&f->counting); }
static void unlock(kiln_function *f) { pthread_mutex_unlock(&f->counting); }

void stats_miss(kiln_function *f, const Miss *m)
{
    lock(f);
    kiln_function_statistics *s = &f->stats;
    s->misses++;
    memmove(&s->recent[1], &s->recent[0], sizeof s->recent - sizeof s->recent[0]);
    s->recent[0] = (kiln_miss){.argument = m->argument, .dim = m->dim, .from = m->from, .to = m->to};
    snprintf(s->recent[0].text, sizeof s->recent[0].text, "%.*s", (int)sizeof s->recent[0].text - 1, m->text);
    s->recent_count = MIN_OF(s->recent_count + 1, (uint32_t)KILN_MISSES);
    snprintf(s->last_miss, sizeof s->last_miss, "%s", m->text);
    unlock(f);
}

/* ---- the warning ---------------------------------------------------------------------------------------------- */
static const char *advice(const kiln_function *f, const Miss *m, char *buf, size_t cap)
{
    long long bound = 2;
    bool size = m->kind == MISS_SIZE || m->kind == MISS_BOUND || m->kind == MISS_OTHER;
    if (size && f->rigid) return "Pad to one size, or change what keeps the size a constant";
    switch (m->kind) {
    case MISS_SIZE:
    case MISS_BOUND:
    case MISS_OTHER:
        while (bound < m->to && bound < DIM_MAX) bound *= 2;
        snprintf(buf, cap,
            "Declare the size in .inputs, as KILN_DIM(\"N\", 1, %lld), and one compiled function "
            "serves all sizes; or pad to one size",
            bound);
        return buf;
    case MISS_STATIC:
        return "Each value of a static argument is compiled by itself: pass a plain number or a "
               "tensor where the body need not know it in C";
    case MISS_DTYPE: return "Call it with one dtype: kiln_cast the argument";
    case MISS_RANK: return "Call it with one rank: kiln_reshape the argument";
    default:
        return f->stats.compiles ? "Call it with arguments of the same kind"
                                 : "None of its traces has succeeded: kiln_error says why";
    }
}

static void warn(Thread *t, kiln_function *f, uint64_t traces, const Miss *m, const char *why)
{
    uint32_t same = 0, n = f->stats.recent_count;
    char how[240];
    for (uint32_t i = 0; i < n; i++) same += f->stats.recent[i].argument == m->argument && f->stats.recent[i].dim == m->dim;
    log_line(t->k,
        "%s (%s:%d) was traced %llu times, %u of its last %u misses for one cause: %s. "
        "%s%s%s%s",
        f->name, f->loc.file ? f->loc.file : "?", f->loc.line, (unsigned long long)traces, same, n, m->text,
        advice(f, m, how, sizeof how), *why ? " (" : "", why, *why ? ")" : "");
}

void stats_trace(Thread *t, kiln_function *f, double seconds, const Miss *m)
{
    lock(f);
    uint64_t n = ++f->stats.traces;
    f->stats.trace_seconds += seconds;
    /* The gradient of an instance is traced for each set of results that is asked about: nobody calls it otherwise, so there is
     * nothing to advise. */
    bool due = n >= WARN_AT && n >= f->warn_at && t->k->options.log && !f->inst;
    if (due) f->warn_at = 2 * n;
    char why[sizeof f->stats.general];
    memcpy(why, f->rigid ? f->stats.general : "", f->rigid ? sizeof why : 1);
    unlock(f);
    if (due) warn(t, f, n, m, why);
}

/* ---- counting ----------------------------------------------------------------------------------------------------- */
void stats_compiled(kiln_function *f, const Code *code)
{
    lock(f);
    kiln_function_statistics *s = &f->stats;
    s->compiles++;
    s->from_disk += code->from_disk;
    s->compile_seconds += code->seconds;
    s->code_bytes += code->backend->code_bytes(code->compiled);
    s->kernels = code->program->launches;
    s->bytes_moved = code->program->moved;
    s->workspace_bytes = code->program->workspace;
    unlock(f);
}

void stats_failed(kiln_function *f)
{
    lock(f);
    f->stats.failures++;
    unlock(f);
}

uint64_t stats_failures(kiln_function *f)
{
    lock(f);
    const uint64_t n = f->stats.failures;
    unlock(f);
    return n;
}

void stats_instance(kiln_function *f, const Instance *inst)
{
    const Code *code = inst->code ? inst->code : inst->late;
    if (code) stats_compiled(f, code);
    lock(f);
    f->stats.ops = inst->traced.ops;
    unlock(f);
}

void stats_evicted(kiln_function *f, size_t cached, uint32_t instances, uint32_t evictions)
{
    lock(f);
    f->stats.cache_bytes = cached;
    f->stats.signatures = instances;
    f->stats.evictions += evictions;
    unlock(f);
}

void stats_general(Thread *t, kiln_function *f, const Plan *plan, int nin, const char *why_not, const Instance *inst)
{
    char where[80], text[600];
    size_t len = 0;
    text[0] = 0;
    for (uint32_t g = 1; g <= plan->groups && len < sizeof text; g++) {
        plan_text(plan, nin, g, where, sizeof where);
        len += (size_t)snprintf(
            text + len, sizeof text - len, "%s%s: 1 to %lld", g > 1 ? "; " : "", where, (long long)plan->hi[g - 1]);
    }
    if (why_not) snprintf(text, sizeof text, "%s stays a constant: %s", where, why_not);
    lock(f);
    f->stats.generalisations += !why_not;
    snprintf(f->stats.general, sizeof f->stats.general, "%.*s", (int)sizeof f->stats.general - 1, text);
    unlock(f);
    const Code *code = !inst ? NULL : inst->code ? inst->code : inst->late;
    if (why_not)
        log_line(t->k, "%s: each size is compiled by itself, %s", f->name, text);
    else if (code)
        log_line(t->k, "%s: sizes became symbols: %s; %lld bytes of workspace", f->name, text, (long long)code->program->workspace);
    else
        log_line(t->k, "%s: sizes became symbols: %s", f->name, text);
}

void kiln_function_stats_sized(kiln_function *f, kiln_function_statistics *out, size_t size)
{
    if (!f || !out) return;
    if (pthread_mutex_trylock(&f->compiling) == 0) { /* else what the cache takes is told as it was last */
        if (!f->freed) cache_settle(f);
        pthread_mutex_unlock(&f->compiling);
    }
    lock(f);
    kiln_function_statistics s = f->stats;
    unlock(f);
    s.hits = atomic_load_explicit(&f->hits, memory_order_relaxed);
    s.calls = s.hits + s.misses;
    s.waiting = background_waiting(f->k, f);
    s.loops = atomic_load_explicit(&f->rests, memory_order_relaxed);
    s.recordings = atomic_load_explicit(&f->launched.recorded, memory_order_relaxed);
    s.replays = atomic_load_explicit(&f->launched.replayed, memory_order_relaxed);
    s.interpreted = atomic_load_explicit(&f->interpreted, memory_order_relaxed);
    memcpy(out, &s, MIN_OF(size, sizeof s));
}
