/* shadow: judges each access of a kernel's threads, which modules announce because they are compiled as for a thread sanitizer. It
 * must lie in memory that is there, and what another thread of the launch did to the same bytes must come before it by a barrier, a
 * __syncwarp, or not at all: a race is found whatever order the threads took. Shuffles order nothing, as CUDA has it. Atomic
 * accesses are no races among themselves, and order nothing else either.
 *
 * For each 4 bytes of memory, or each byte of a page that was once used in smaller pieces, a cell tells who wrote last and who has
 * read since. Cells need no clearing: blocks are numbered through all launches, and what an earlier launch did is over. Relies on
 * watch.h. */
#define _GNU_SOURCE
#include "watch.h"

#include <stdio.h>
#include <sys/mman.h>

/* Who did it, from the highest bit: the block's number (32), the thread or one of the numbers below (11), atomic (1), when (20).
 * Nobody: 0, since no launch's first block is that. */
typedef uint64_t Mark;
enum { WHO = 21, ATOMIC = 1 << 20, TIMES = 1 << 20 };
enum { WARP = EMU_THREADS, WARPS = WARP + EMU_WARPS, BLOCKS, COLUMNS };
/* several of warp WARP + w, of several warps, of several blocks; in a cooperative launch: of one column, or of several */

typedef struct Cell {
    Mark wrote, read;
} Cell;

typedef struct Page { /* PAGE bytes of memory */
    Cell *cell;
    bool fine; /* a cell for each byte */
} Page;

#define PAGE ((size_t)4096)
#define QUICK __attribute__((always_inline)) /* on the way of each access */
#define CHUNK ((size_t)1 << 20)
#define WATCH_TIMES ((size_t)1 << 20) /* of a cooperative launch */

struct Shadow {
    Page *heap, *shared[EMU_RESIDENT];
    size_t heap_pages, shared_pages[EMU_RESIDENT];
    WatchTime *time;   /* NULL: no launch was cooperative */
    Cell *spare[2];    /* of no page, coarse and fine; each names the next */
    char *chunk, *cut; /* where more are cut from; its first word names the chunk before it */
};

/* ---- cells -------------------------------------------------------------------------------------------------------- */
static void *map(size_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

static size_t cells_of(bool fine) { return fine ? PAGE : PAGE / 4; }

static Cell *take_cells(Shadow *s, bool fine)
{
    const size_t bytes = cells_of(fine) * sizeof(Cell);
    Cell *c = s->spare[fine];
    if (c) {
        s->spare[fine] = *(Cell **)(void *)c;
        memset(c, 0, bytes); /* its page may have been in use in this very launch */
        return c;
    }
    if (!s->chunk || s->cut + bytes > s->chunk + CHUNK) {
        char *more = map(CHUNK);
        if (!more) return NULL;
        memcpy(more, &s->chunk, sizeof s->chunk);
        s->chunk = more;
        s->cut = more + cells_of(false) * sizeof(Cell);
    }
    c = (Cell *)(void *)s->cut;
    s->cut += bytes;
    return c;
}

static void give_cells(Shadow *s, Page *p)
{
    if (!p->cell) return;
    *(Cell **)(void *)p->cell = s->spare[p->fine];
    s->spare[p->fine] = p->cell;
    *p = (Page){0};
}

static bool make_fine(Shadow *s, Page *p)
{
    Cell *fine = take_cells(s, true);
    if (!fine) return false;
    for (size_t i = 0; i < PAGE; i++) fine[i] = p->cell[i / 4];
    give_cells(s, p);
    *p = (Page){fine, true};
    return true;
}

static bool shadow_make(Emu *e)
{
    const size_t pages = e->heap.space / PAGE + 1; /* the heap may be younger */
    if (e->shadow && e->shadow->heap_pages == pages) return true;
    shadow_clear(e);
    Shadow *s = map(sizeof *s); /* a launch that was taken may not fail for a block of the allocator */
    if (s) s->heap_pages = pages;
    if (s) s->heap = map(s->heap_pages * sizeof *s->heap);
    if (s && !s->heap) munmap(s, sizeof *s), s = NULL;
    e->shadow = s;
    return s;
}

static bool shared_make(Shadow *s, uint32_t slot, size_t bytes)
{
    const size_t pages = bytes / PAGE + 2;
    if (pages <= s->shared_pages[slot]) return true;
    Page *all = map(pages * sizeof *all);
    if (!all) return false;
    if (s->shared[slot]) {
        memcpy(all, s->shared[slot], s->shared_pages[slot] * sizeof *all);
        munmap(s->shared[slot], s->shared_pages[slot] * sizeof *all);
    }
    s->shared[slot] = all;
    s->shared_pages[slot] = pages;
    return true;
}

void shadow_free(Emu *e, size_t from, size_t to)
{
    Shadow *s = e->shadow;
    for (size_t p = (from + PAGE - 1) / PAGE; s && (p + 1) * PAGE <= to; p++) give_cells(s, &s->heap[p]);
}

void shadow_clear(Emu *e)
{
    Shadow *s = e->shadow;
    if (!s) return;
    for (char *c = s->chunk, *before; c; c = before) {
        memcpy(&before, c, sizeof before);
        munmap(c, CHUNK);
    }
    munmap(s->heap, s->heap_pages * sizeof *s->heap);
    for (uint32_t i = 0; i < EMU_RESIDENT; i++)
        if (s->shared[i]) munmap(s->shared[i], s->shared_pages[i] * sizeof *s->shared[i]);
    if (s->time) munmap(s->time, WATCH_TIMES * sizeof *s->time);
    munmap(s, sizeof *s);
    e->shadow = NULL;
}

/* ---- order -------------------------------------------------------------------------------------------------------- */
CUresult watch_launch(Emu *e, Watch *w, CUmodule m, uint32_t slot, uint64_t blocks, bool together)
{
    if (e->serial + blocks * 2 + WATCH_TIMES > UINT32_MAX) shadow_clear(e), e->serial = 0;
    w->last = &e->serial;
    w->first = e->serial + 1;
    w->slot = slot;
    memset(w->recent, 0, sizeof w->recent);
    if (!shadow_make(e) || !shared_make(e->shadow, slot, m->shared_bytes)) return CUDA_ERROR_OUT_OF_MEMORY;
    if (together && !e->shadow->time) e->shadow->time = map(WATCH_TIMES * sizeof *w->time);
    w->time = together ? e->shadow->time : NULL;
    return together && !w->time ? CUDA_ERROR_OUT_OF_MEMORY : 0;
}

static void new_time(Watch *w)
{
    w->serial = ++*w->last;
    w->now = w->all = 0;
    memset(w->warp, 0, sizeof w->warp);
    if (w->time) w->time[w->serial % WATCH_TIMES] = w->at;
}

void watch_block(Watch *w, uint32_t column)
{
    w->at = (WatchTime){.column = column};
    new_time(w);
    w->block = w->serial;
}

void watch_met(Watch *w)
{
    w->at.met++;
    new_time(w);
}

/* When a block has no more times, what was done is held for ordered, as if this were another launch. */
void watch_synced(Watch *w, uint32_t warp, bool all)
{
    if (++w->now == TIMES) {
        new_time(w);
        w->first = w->serial;
    }
    if (all)
        w->all = w->now;
    else
        w->warp[warp] = w->now;
}

QUICK static inline uint32_t who(Mark m) { return m >> WHO & 0x7ff; }

static inline const WatchTime *time_of(const Watch *w, Mark m) { return &w->time[(m >> 32) % WATCH_TIMES]; }

/* Of a cooperative launch: by blocks of the same column, before they met last; or so long ago that it is held for ordered. */
static bool is_met(const Watch *w, Mark m)
{
    if (*w->last - (uint32_t)(m >> 32) >= WATCH_TIMES) return true;
    return who(m) != COLUMNS && time_of(w, m)->column == w->at.column && time_of(w, m)->met < w->at.met;
}

/* first: the first block whose doings are not over. */
QUICK static inline bool is_before(const Watch *w, uint32_t first, Mark m, uint32_t t)
{
    const uint32_t serial = (uint32_t)(m >> 32), by = who(m), at = m & (TIMES - 1);
    if (serial < first) return true;
    if (serial != w->serial) return w->time && is_met(w, m);
    if (by >= BLOCKS) return false;
    if (at < w->all || by == t) return true;
    return (by < WARP ? by / EMU_LANES : by - WARP) == t / EMU_LANES && at < w->warp[t / EMU_LANES];
}

/* Both of two that nothing orders; the second is of thread t. */
static Mark joined(const Watch *w, Mark m, Mark mine, uint32_t t)
{
    const uint32_t by = who(m), warp = t / EMU_LANES;
    uint32_t all = WARPS;
    if (w->time && (by == COLUMNS || time_of(w, m)->column != w->at.column))
        all = COLUMNS;
    else if (m >> 32 != mine >> 32 || by == BLOCKS)
        all = BLOCKS;
    else if ((by < WARP ? by / EMU_LANES : by - WARP) == warp)
        all = WARP + warp;
    if (w->time && all >= BLOCKS && time_of(w, m)->met > w->at.met) mine = m; /* the later of the two */
    return (mine & ~((Mark)0x7ff << WHO)) | (Mark)all << WHO;
}

static Mark with(const Watch *w, uint32_t first, Mark m, Mark mine, uint32_t t)
{
    return is_before(w, first, m, t) ? mine : joined(w, m, mine, t);
}

/* Nothing that this access changes or could find: the thread has done it since its last barrier, or what it reads was written
 * before this launch and is known to be read by several blocks. Most accesses of a product are so. */
QUICK static inline bool is_old_news(const Watch *w, uint32_t first, const Cell *c, Mark mine, unsigned how)
{
    if (how & EMU_WRITE) return c->wrote == mine && c->read == 0;
    if (c->read == mine) return c->wrote == mine || c->wrote >> 32 < first;
    return c->wrote >> 32 < first && who(c->read) == (w->time ? COLUMNS : BLOCKS) && c->read >> 32 >= first;
}

/* 0, or what nothing orders it with; *wrote: that was a write. */
QUICK static inline Mark cell_access(const Watch *w, uint32_t first, Cell *c, uint32_t t, unsigned how, bool *wrote)
{
    const Mark mine = (Mark)w->serial << 32 | (Mark)t << WHO | (how & EMU_ATOMIC ? ATOMIC : 0) | w->now;
    if (is_old_news(w, first, c, mine, how)) return 0;
    *wrote = true;
    if (c->wrote != mine && !is_before(w, first, c->wrote, t) && !(c->wrote & mine & ATOMIC)) return c->wrote;
    if (!(how & EMU_WRITE)) {
        if (c->read != mine) c->read = with(w, first, c->read, mine, t);
        return 0;
    }
    *wrote = false;
    if (c->read != mine && !is_before(w, first, c->read, t)) return c->read;
    c->wrote = how & EMU_ATOMIC ? with(w, first, c->wrote, mine, t) : mine;
    c->read = 0;
    return 0;
}

/* ---- what is wrong ------------------------------------------------------------------------------------------------ */
typedef struct Access {
    Emu *e;
    Watch *w;
    CUfunction f;
    uint32_t thread, bytes;
    unsigned how;
    const char *at;
} Access;

static const char *does(unsigned how) { return how & EMU_ATOMIC ? "changes" : how & EMU_WRITE ? "writes" : "reads"; }

static void begin_fault(const Access *a, Text *t)
{
    const EmuDim3 b = a->f->module->is->side->block;
    text_printf(t, "%s: block %u", a->f->kernel->name, b.x);
    if (b.y + b.z > 0) text_printf(t, ",%u,%u", b.y, b.z);
    text_printf(
        t, ", thread %u %s %u byte%s at %p", a->thread, does(a->how), a->bytes, a->bytes == 1 ? "" : "s", (const void *)a->at);
}

static CUresult end_fault(const Access *a, Text *t, CUresult e)
{
    snprintf(a->e->fault, sizeof a->e->fault, "%s", t->at ? t->at : "no memory to say what");
    text_free(t);
    return e;
}

static CUresult out_of_bounds(const Access *a)
{
    Text t = {0};
    const Heap *h = &a->e->heap;
    const size_t at = (size_t)(a->at - h->handle);
    begin_fault(a, &t);
    const uint32_t i = at < h->space ? heap_from(h, at + 1) : 0;
    const Block *before = i > 0 ? &h->block[i - 1] : NULL, *behind = at < h->space && i < h->n ? &h->block[i] : NULL;
    if (before && (!behind || at - before->at - MIN_OF(before->bytes, at - before->at) <= behind->at - at)) {
        const size_t past = at - before->at;
        if (past >= before->bytes)
            text_printf(&t, ", %zu bytes behind", past - before->bytes);
        else
            text_printf(&t, ", byte %zu and on, %s", past, before->born ? "of" : "before its stream made it, of");
        text_printf(&t, " the %zu bytes that were allocated at %p", before->bytes, (void *)(h->handle + before->at));
    } else if (behind) {
        text_printf(&t, ", %zu bytes before the %zu bytes that were allocated at %p", behind->at - at, behind->bytes,
            (void *)(h->handle + behind->at));
    } else {
        text_printf(&t, ", which is no memory of this device");
    }
    return end_fault(a, &t, CUDA_ERROR_ILLEGAL_ADDRESS);
}

static void where(const Access *a, Text *t)
{
    const Block *b = heap_around(a->e, (CUdeviceptr)(uintptr_t)a->at, 1);
    if (b)
        text_printf(t, ": byte %zu of the %zu that were allocated at %p", (size_t)(a->at - a->e->heap.handle) - b->at, b->bytes,
            (void *)(a->e->heap.handle + b->at));
    else
        text_printf(t, ": byte %zu of the module's shared memory", (size_t)(a->at - a->f->module->shared));
}

static CUresult race(const Access *a, Mark m, bool wrote)
{
    Text t = {0};
    const uint32_t by = who(m);
    begin_fault(a, &t);
    if (by >= BLOCKS || m >> 32 != a->w->serial)
        text_printf(&t, ", and another block");
    else if (by >= WARPS)
        text_printf(&t, ", and several threads of the block");
    else if (by >= WARP)
        text_printf(&t, ", and several threads of warp %u", by - WARP);
    else
        text_printf(&t, ", and thread %u", by);
    text_printf(&t, " %s there, and nothing orders the two", wrote ? "wrote" : "read");
    where(a, &t);
    return end_fault(a, &t, CUDA_ERROR_LAUNCH_FAILED);
}

static CUresult unwritten(const Access *a)
{
    Text t = {0};
    begin_fault(a, &t);
    text_printf(&t, ", which no thread of the block has written");
    where(a, &t);
    return end_fault(a, &t, CUDA_ERROR_LAUNCH_FAILED);
}

static CUresult misaligned(const Access *a)
{
    Text t = {0};
    begin_fault(a, &t);
    text_printf(&t, ", which is no multiple of %u", a->bytes);
    where(a, &t);
    return end_fault(a, &t, CUDA_ERROR_MISALIGNED_ADDRESS);
}

/* ---- an access ---------------------------------------------------------------------------------------------------- */
QUICK static inline bool inside(Emu *e, Watch *w, size_t at, uint32_t bytes)
{
    const size_t slot = at / PAGE % COUNT_OF(w->recent);
    if (at >= w->recent[slot].from && at + bytes <= w->recent[slot].to) return true;
    const Block *b = heap_around(e, (CUdeviceptr)(uintptr_t)(e->heap.handle + at), bytes);
    if (!b || !b->born) return false;
    w->recent[slot].from = b->at;
    w->recent[slot].to = b->at + b->bytes;
    return true;
}

/* `at` counts from where the pages begin. */
QUICK static inline CUresult in_page(const Access *a, Page *pages, size_t at, uint32_t bytes, bool shared)
{
    Page *p = &pages[at / PAGE];
    if (!p->cell && !(p->cell = take_cells(a->e->shadow, p->fine))) return CUDA_ERROR_OUT_OF_MEMORY;
    if (!p->fine && (at | bytes) % 4 != 0 && !make_fine(a->e->shadow, p)) return CUDA_ERROR_OUT_OF_MEMORY;
    const unsigned shift = p->fine ? 0 : 2;
    Cell *c = p->cell + (at % PAGE >> shift);
    for (uint32_t i = bytes >> shift; i > 0; i--, c++) {
        bool wrote;
        if (shared && !(a->how & EMU_WRITE) && c->wrote >> 32 < a->w->block) return unwritten(a);
        const Mark other = cell_access(a->w, shared ? a->w->block : a->w->first, c, a->thread, a->how, &wrote);
        if (other != 0) return race(a, other, wrote);
        if (a->how & EMU_LATE) c->wrote = 0;
    }
    return 0;
}

QUICK static inline CUresult in_pages(const Access *a, Page *pages, size_t at, bool shared)
{
    const uint32_t here = (uint32_t)MIN_OF((size_t)a->bytes, PAGE - at % PAGE);
    const CUresult r = in_page(a, pages, at, here, shared);
    return r != 0 || here == a->bytes ? r : in_page(a, pages, at + here, a->bytes - here, shared);
}

CUresult watch_access(Emu *e, Watch *w, CUfunction f, uint32_t thread, const void *p, uint32_t bytes, unsigned how)
{
    const Access a = {e, w, f, thread, bytes, how, p};
    const size_t at = (size_t)(a.at - e->heap.handle), shared = (size_t)(a.at - f->module->shared);
    const bool even = bytes > 16 || ((uintptr_t)p & (bytes - 1)) == 0; /* an access of more bytes is of several */
    if (at < e->heap.space) {
        if (!inside(e, w, at, bytes)) return out_of_bounds(&a);
        if (!even) return misaligned(&a);
        const CUresult r = in_pages(&a, e->shadow->heap, at, false);
        if (r != 0 || (e->heap.open[at / EMU_PART] && at % EMU_PART + bytes <= EMU_PART)) return r;
        return heap_open(&e->heap, at, bytes) ? 0 : CUDA_ERROR_OPERATING_SYSTEM;
    }
    if (shared < f->module->shared_bytes) return !even ? misaligned(&a) : in_pages(&a, e->shadow->shared[w->slot], shared, true);
    return out_of_bounds(&a);
}
