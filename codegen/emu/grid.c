/* grid: runs the blocks of a launch: one after the other, in an order drawn from the device's seed; those of a cooperative launch
 * all at once, each until none of its threads can go on without other blocks. The module has one shared memory, which the running
 * block has: what the others' holds is kept aside. Relies on crew.h, mmap. */
#define _GNU_SOURCE
#include "crew.h"

#include <stdio.h>
#include <sys/mman.h>

/* ---- crews -------------------------------------------------------------------------------------------------------- */
static const size_t STACKS = (size_t)EMU_STACK * EMU_THREADS;

static size_t crew_bytes(void) { return STACKS + sizeof(Crew); }

static void *map(size_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

static Crew *crew_make(Emu *e, uint32_t i)
{
    if (e->crew[i]) return e->crew[i];
    /* Not of the allocator, whose end would be a launch's that was taken. The stacks come first. */
    char *stacks = map(crew_bytes());
    if (!stacks) return NULL;
    Crew *c = (Crew *)(void *)(stacks + STACKS);
    c->emu = e;
    c->stacks = stacks;
    return e->crew[i] = c;
}

static bool keep_shared(Crew *c, size_t bytes)
{
    if (bytes <= c->shared_bytes) return true;
    char *more = map(bytes);
    if (!more) return false;
    if (c->shared) munmap(c->shared, c->shared_bytes);
    c->shared = more;
    c->shared_bytes = bytes;
    return true;
}

void crews_free(Emu *e)
{
    for (uint32_t i = 0; i < EMU_RESIDENT; i++) {
        Crew *c = e->crew[i];
        if (c && c->shared) munmap(c->shared, c->shared_bytes);
        if (c) munmap(c->stacks, crew_bytes());
        e->crew[i] = NULL;
    }
}

/* ---- launches ----------------------------------------------------------------------------------------------------- */
static uint64_t without_common(uint64_t a, uint64_t b)
{
    while (b != 0) {
        const uint64_t r = a % b;
        a = b;
        b = r;
    }
    return a;
}

static void prepare(Crew *c, CUfunction f, const Grid *g, void **params)
{
    c->f = f;
    c->params = params;
    c->side = f->module->is->side;
    c->threads = g->block.x * g->block.y * g->block.z;
    c->together = g->together;
    c->result = 0;
}

/* The module's threads are this crew's from now on. */
static void enter(Crew *c, const Grid *g)
{
    *c->side = (EmuSide){.block = c->at,
        .grid = g->grid,
        .threads = g->block,
        .shared = g->shared,
        .calls = crew_calls,
        .self = c,
        .stacks = c->stacks,
        .stack_bytes = STACKS};
}

static EmuDim3 place_of(const Grid *g, uint64_t at)
{
    return (EmuDim3){(unsigned)(at % g->grid.x), (unsigned)(at / g->grid.x % g->grid.y), (unsigned)(at / g->grid.x / g->grid.y)};
}

static CUresult run_block(Crew *c, const Grid *g, uint64_t at)
{
    c->at = place_of(g, at);
    enter(c, g);
    watch_block(&c->watch, 0);
    crew_begin(c);
    const CUresult r = crew_go(c);
    return r != 0 || c->left == 0 ? r : crew_stuck(c);
}

/* ---- all at once -------------------------------------------------------------------------------------------------- */
static bool in_column(const Crew *a, const Crew *b) { return a->at.x == b->at.x && a->at.z == b->at.z; }

/* The last one that comes lets the others go on; what any of them did is before what any does from now on. */
void grid_meet(Crew *c, void *at, unsigned blocks)
{
    Emu *e = c->emu;
    unsigned here = 1;
    if (blocks > 1 && !c->together) crew_calls.misuse(c, "waits for other blocks in a launch that is not cooperative");
    if (!c->together) return;
    for (uint32_t i = 0; i < EMU_RESIDENT; i++) {
        const Crew *other = e->crew[i];
        if (!other || other == c || !other->begun || other->meets != at) continue;
        if (!in_column(c, other)) crew_calls.misuse(c, "meets a block of another column of the grid");
        here++;
    }
    c->meets = at;
    c->meeter = c->self;
    if (here < blocks) {
        crew_wait(c, "blocks_meet");
        return;
    }
    for (uint32_t i = 0; i < EMU_RESIDENT; i++) {
        Crew *other = e->crew[i];
        if (!other || !other->begun || other->meets != at) continue;
        other->meets = NULL;
        watch_met(&other->watch);
        if (other != c) crew_wake(other, other->meeter);
    }
}

/* Draws a block whose threads can go on; n: none can. */
static uint32_t next_block(Emu *e, uint32_t n)
{
    uint32_t some = 0, found = n;
    for (uint32_t i = 0; i < n; i++)
        if (e->crew[i]->left > 0 && crew_can_go(e->crew[i]) && emu_draw(e, ++some) == 0) found = i;
    return found;
}

static CUresult run_together(Emu *e, const Grid *g, CUmodule m, uint32_t n)
{
    CUresult r = 0;
    for (uint32_t i = 0; i < n; i++) {
        Crew *c = e->crew[i];
        c->at = place_of(g, i);
        c->begun = true;
        watch_block(&c->watch, 1 + c->at.x + c->at.z * g->grid.x);
        crew_begin(c);
    }
    for (uint32_t i; r == 0 && (i = next_block(e, n)) < n;) {
        Crew *c = e->crew[i];
        enter(c, g);
        memcpy(m->shared, c->shared, m->shared_bytes);
        r = crew_go(c);
        memcpy(c->shared, m->shared, m->shared_bytes);
    }
    for (uint32_t i = 0; i < n; i++) {
        e->crew[i]->begun = false;
        if (r == 0 && e->crew[i]->left > 0) r = crew_stuck(e->crew[i]);
    }
    return r;
}

CUresult grid_run(Emu *e, CUfunction f, const Grid *g, void **params)
{
    const uint64_t n = (uint64_t)g->grid.x * g->grid.y * g->grid.z;
    const uint32_t crews = g->together ? (uint32_t)n : 1;
    for (uint32_t i = 0; i < crews; i++) {
        Crew *c = crew_make(e, i);
        if (!c || (g->together && !keep_shared(c, f->module->shared_bytes))) return CUDA_ERROR_OUT_OF_MEMORY;
        prepare(c, f, g, params);
        const CUresult r = watch_launch(e, &c->watch, f->module, i, i == 0 ? n : 0, g->together);
        if (r != 0) return r;
    }
    if (g->together) return run_together(e, g, f->module, crews);
    CUresult r = 0;
    uint64_t at = emu_draw(e, n), step = 1 + emu_draw(e, n); /* goes through all blocks if it shares no factor with n */
    while (without_common(step, n) != 1) step++;
    for (uint64_t i = 0; i < n && r == 0; i++, at = (at + step) % n) r = run_block(e->crew[0], g, at);
    return r;
}
