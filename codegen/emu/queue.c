/* queue: streams are lists of what was asked for. Nothing runs before somebody waits, or now and then: then the next task of one of
 * the streams that may go on, drawn from the device's seed, until what is waited for has come; so the same calls always run in the
 * same order. After an error that kills the context nothing runs any more. Relies on memory.c, fiber.c. */
#include "emulated.h"

#include <stdio.h>

#define PENDING 400 /* tasks that may wait before some are run */

struct Task {
    Task *next;
    CUresult (*run)(Emu *e, Task *t); /* NULL: a wait */
    CUstream after;                   /* it waits until that one has done so much; NULL: it does not */
    uint64_t at;
    CUdeviceptr to, from;
    void *host_to;
    const void *host_from;
    size_t bytes;
    unsigned word;
    CUfunction f;
    Grid grid;
    GraphLaunch *graph;
    uint64_t more[];
};

/* ---- running ------------------------------------------------------------------------------------------------------ */
static bool may_run(const Task *t) { return !t->after || t->after->done >= t->at; }

static void task_free(Task *t)
{
    if (t->graph) graph_drop(t->graph);
    free(t);
}

static CUstream ready(Emu *e, uint64_t skip, uint64_t *n)
{
    *n = 0;
    for (CUstream s = e->stream; s; s = s->next)
        if (s->first && may_run(s->first) && (*n)++ == skip) return s;
    return NULL;
}

static void step(Emu *e)
{
    uint64_t n;
    ready(e, UINT64_MAX, &n);
    CUstream s = ready(e, emu_draw(e, n), &n); /* there is one: a wait is for what was asked for before it */
    Task *t = s->first;
    const double start = clock_seconds();
    const CUresult wrong = t->run && e->dead == 0 ? t->run(e, t) : 0;
    s->busy += clock_seconds() - start;
    if (wrong != 0) e->dead = e->about = wrong;
    s->first = t->next;
    if (!s->first) s->last = &s->first;
    s->done++;
    for (CUevent v = e->event; v; v = v->next)
        if (v->timed && v->stream == s && v->at == s->done) v->when = s->busy;
    e->pending--;
    task_free(t);
}

void stream_drain(CUstream s, uint64_t until)
{
    while (s->done < until) step(s->emu);
}

void emu_drain(Emu *e)
{
    while (e->pending > 0) step(e);
}

void emu_some(Emu *e, uint64_t most)
{
    for (uint64_t n = emu_draw(e, most + 1); n > 0 && e->pending > 0; n--) step(e);
}

/* ---- streams and events ------------------------------------------------------------------------------------------- */
CUstream stream_take(Emu *e)
{
    CUstream s = e->stream;
    while (s && s->taken) s = s->next;
    if (!s && (s = calloc(1, sizeof *s))) {
        *s = (struct CUstream_st){.next = e->stream, .emu = e, .last = &s->first};
        e->stream = s;
    }
    if (s) s->taken = true;
    return s;
}

bool stream_known(Emu *e, CUstream *s)
{
    if (!*s && !e->null) e->null = stream_take(e);
    if (!*s) *s = e->null;
    CUstream known = e->stream;
    while (known && known != *s) known = known->next;
    return known && known->taken;
}

CUevent event_take(Emu *e)
{
    CUevent v = e->event;
    while (v && v->taken) v = v->next;
    if (!v && (v = calloc(1, sizeof *v))) {
        v->next = e->event;
        v->emu = e;
        e->event = v;
    }
    if (v) v->taken = true, v->stream = NULL;
    return v;
}

bool event_known(const Emu *e, CUevent v)
{
    CUevent known = e->event;
    while (known && known != v) known = known->next;
    return known && known->taken;
}

bool event_happened(CUevent v) { return !v->stream || v->stream->done >= v->at; }

void streams_clear(Emu *e)
{
    for (CUstream s = e->stream, next; s; s = next) {
        for (Task *t = s->first, *after; t; t = after) {
            after = t->next;
            task_free(t);
        }
        next = s->next;
        free(s);
    }
    for (CUevent v = e->event, next; v; v = next) {
        next = v->next;
        free(v);
    }
    e->stream = e->null = NULL;
    e->event = NULL;
    e->pending = 0;
}

/* ---- asking ------------------------------------------------------------------------------------------------------- */
static Task *task(size_t room)
{
    Task *t = malloc(sizeof *t + room);
    if (!t) return NULL;
    memset(t, 0, sizeof *t);
    return t;
}

/* It comes later; now and then something that was asked for before happens meanwhile. */
static CUresult ask(CUstream s, Task *t)
{
    Emu *e = s->emu;
    *s->last = t;
    s->last = &t->next;
    s->asked++;
    e->pending++;
    if (emu_draw(e, 8) == 0) emu_some(e, 12);
    while (e->pending > PENDING) step(e);
    return 0;
}

CUresult ask_wait(CUstream s, CUevent v)
{
    if (event_happened(v)) return 0;
    Task *t = task(0);
    if (!t) return CUDA_ERROR_OUT_OF_MEMORY;
    t->after = v->stream;
    t->at = v->at;
    return ask(s, t);
}

static CUresult lost(Emu *e, const char *what)
{
    snprintf(e->fault, sizeof e->fault, "%s: the memory is not there", what);
    return CUDA_ERROR_ILLEGAL_ADDRESS;
}

static CUresult copy_now(Emu *e, Task *t)
{
    char *to = t->host_to ? t->host_to : heap_real(e, t->to, t->bytes);
    const char *from = t->host_from ? t->host_from : heap_real(e, t->from, t->bytes);
    if (!to || !from) return lost(e, "a copy");
    memmove(to, from, t->bytes);
    return 0;
}

CUresult ask_copy(CUstream s, CUdeviceptr to, CUdeviceptr from, size_t bytes)
{
    Task *t = task(0);
    if (!t) return CUDA_ERROR_OUT_OF_MEMORY;
    t->run = copy_now;
    t->to = to;
    t->from = from;
    t->bytes = bytes;
    return ask(s, t);
}

/* Pageable memory is read at once: its owner may write it again when the call returns. */
CUresult ask_copy_in(CUstream s, CUdeviceptr to, const void *from, size_t bytes)
{
    const bool later = is_pinned(s->emu, from, bytes);
    Task *t = task(later ? 0 : bytes);
    if (!t) return CUDA_ERROR_OUT_OF_MEMORY;
    if (!later) memcpy(t->more, from, bytes);
    t->run = copy_now;
    t->to = to;
    t->host_from = later ? from : t->more;
    t->bytes = bytes;
    return ask(s, t);
}

/* Pageable memory is written before the call returns. */
CUresult ask_copy_out(CUstream s, void *to, CUdeviceptr from, size_t bytes)
{
    Task *t = task(0);
    if (!t) return CUDA_ERROR_OUT_OF_MEMORY;
    t->run = copy_now;
    t->host_to = to;
    t->from = from;
    t->bytes = bytes;
    const CUresult r = ask(s, t);
    if (!is_pinned(s->emu, to, bytes)) stream_drain(s, s->asked);
    return r;
}

static CUresult fill_now(Emu *e, Task *t)
{
    char *to = heap_real(e, t->to, t->bytes);
    if (!to) return lost(e, "a fill");
    for (size_t i = 0; i < t->bytes; i += sizeof t->word) memcpy(to + i, &t->word, sizeof t->word);
    return 0;
}

CUresult ask_fill(CUstream s, CUdeviceptr to, unsigned word, size_t n)
{
    Task *t = task(0);
    if (!t) return CUDA_ERROR_OUT_OF_MEMORY;
    t->run = fill_now;
    t->to = to;
    t->bytes = n * sizeof word;
    t->word = word;
    return ask(s, t);
}

static CUresult born_now(Emu *e, Task *t)
{
    Block *b = heap_block(e, t->to);
    if (!b) return lost(e, "an allocation");
    b->born = true;
    return 0;
}

static CUresult free_now(Emu *e, Task *t)
{
    Block *b = heap_block(e, t->to);
    return b && b->born ? heap_free(e, t->to) : lost(e, "freeing");
}

static CUresult ask_of_block(CUstream s, CUresult (*run)(Emu *e, Task *t), CUdeviceptr at)
{
    Task *t = task(0);
    if (!t) return CUDA_ERROR_OUT_OF_MEMORY;
    t->run = run;
    t->to = at;
    return ask(s, t);
}

CUresult ask_born(CUstream s, CUdeviceptr at) { return ask_of_block(s, born_now, at); }
CUresult ask_free(CUstream s, CUdeviceptr at) { return ask_of_block(s, free_now, at); }

/* Parameters lie in `more` one after the other, in whole words. */
static CUresult launch_now(Emu *e, Task *t)
{
    const EmuKernel *k = t->f->kernel;
    const uint64_t *at = t->more + k->nparam;
    void **params = (void **)(void *)t->more;
    for (unsigned i = 0; i < k->nparam; i++) {
        params[i] = (void *)(uintptr_t)at;
        at += (k->bytes[i] + 7) / 8;
    }
    return grid_run(e, t->f, &t->grid, params);
}

CUresult ask_launch(CUstream s, CUfunction f, const Grid *g, void **params)
{
    const EmuKernel *k = f->kernel;
    size_t words = k->nparam;
    for (unsigned i = 0; i < k->nparam; i++) words += (k->bytes[i] + 7u) / 8;
    Task *t = task(words * sizeof(uint64_t));
    if (!t) return CUDA_ERROR_OUT_OF_MEMORY;
    uint64_t *at = t->more + k->nparam;
    for (unsigned i = 0; i < k->nparam; i++) {
        memcpy(at, params[i], k->bytes[i]);
        at += (k->bytes[i] + 7) / 8;
    }
    t->run = launch_now;
    t->f = f;
    t->grid = *g;
    return ask(s, t);
}

static CUresult graph_now(Emu *e, Task *t) { return graph_play(e, t->graph); }

CUresult ask_graph(CUstream s, GraphLaunch *l, CUstream other, uint64_t at)
{
    Task *t = task(0);
    if (!t) return CUDA_ERROR_OUT_OF_MEMORY;
    t->run = graph_now;
    t->graph = l;
    if (other != s) t->after = other;
    t->at = at;
    return ask(s, t);
}
