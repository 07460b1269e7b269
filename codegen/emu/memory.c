/* memory: a device's heap. It is one reserved range of addresses, of which pages are taken as they are written. The bounds of each
 * block are known to the byte; between two blocks lie bytes that belong to nobody, and what was freed is used again as late as can
 * be. New and freed memory holds bytes that are no number anyone expects. Relies on mmap. */
#define _GNU_SOURCE
#include "emulated.h"

#include <sys/mman.h>
#include <unistd.h>

#define ALIGN ((size_t)256) /* of blocks, and least distance between two */
#define SPACE ((size_t)1 << 34)
#define FILLED ((size_t)1 << 22) /* larger blocks are filled at both ends only */

static size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

/* ---- the range ---------------------------------------------------------------------------------------------------- */
static bool no_map(Heap *h)
{
    free(h->opened);
    h->opened = NULL;
    return false;
}

static bool map(Heap *h)
{
    if (h->handle) return true;
    const size_t space = MAX_OF(SPACE, round_up(4 * h->total, EMU_PART)), parts = space / EMU_PART;
    h->opened = calloc(parts, sizeof *h->opened + 1);
    if (!h->opened) return false;
    void *real = mmap(NULL, space, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (real == MAP_FAILED) return no_map(h);
    void *handle = mremap(real, 0, space, MREMAP_MAYMOVE); /* the same pages at a second place */
    if (handle == MAP_FAILED || mprotect(handle, space, PROT_NONE) != 0) {
        if (handle != MAP_FAILED) munmap(handle, space);
        munmap(real, space);
        return no_map(h);
    }
    h->open = (uint8_t *)(h->opened + parts);
    h->real = real;
    h->handle = handle;
    h->space = space;
    h->cursor = ALIGN;
    return true;
}

bool heap_open(Heap *h, size_t at, size_t bytes)
{
    for (size_t part = at / EMU_PART; part <= (at + bytes - 1) / EMU_PART; part++) {
        if (h->open[part]) continue;
        if (mprotect(h->handle + part * EMU_PART, EMU_PART, PROT_READ | PROT_WRITE) != 0) return false;
        h->open[part] = 1;
        h->opened[h->nopened++] = (uint32_t)part;
    }
    return true;
}

/* Parts that lie side by side at once. */
void heap_close(Heap *h)
{
    while (h->nopened > 0) {
        const uint32_t last = h->opened[--h->nopened];
        uint32_t first = last, end = last + 1;
        if (!h->open[last]) continue; /* closed with another */
        while (first > 0 && h->open[first - 1]) first--;
        while (end < h->space / EMU_PART && h->open[end]) end++;
        mprotect(h->handle + first * EMU_PART, (end - first) * EMU_PART, PROT_NONE);
        memset(h->open + first, 0, end - first);
    }
}

/* ---- blocks ------------------------------------------------------------------------------------------------------- */
uint32_t heap_from(const Heap *h, size_t at)
{
    uint32_t lo = 0, hi = h->n;
    while (lo < hi) {
        const uint32_t mid = lo + (hi - lo) / 2;
        if (h->block[mid].at < at)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static size_t after(const Block *b) { return round_up(b->at + b->bytes, ALIGN) + ALIGN; }

/* Room for so many bytes behind the cursor, or from the beginning on; *before: the block that it comes before. 0: none. */
static size_t find_room(const Heap *h, size_t bytes, uint32_t *before)
{
    uint32_t i = heap_from(h, h->cursor);
    size_t at = i > 0 ? MAX_OF(h->cursor, after(&h->block[i - 1])) : h->cursor;
    for (bool again = false;; i++) {
        const size_t end = i < h->n ? h->block[i].at : h->space;
        if (at + bytes + ALIGN <= end) return *before = i, at;
        if (i < h->n) {
            at = after(&h->block[i]);
        } else if (again) {
            return 0;
        } else {
            again = true;
            at = ALIGN;
            i = UINT32_MAX;
            if (h->n > 0 && h->block[0].at < at + bytes + ALIGN) at = after(&h->block[0]), i = 0;
        }
    }
}

static bool more_blocks(Heap *h)
{
    if (h->n < h->cap) return true;
    Block *all = realloc(h->block, (2 * h->cap + 64) * sizeof *all);
    if (!all) return false;
    h->block = all;
    h->cap = 2 * h->cap + 64;
    return true;
}

static void fill(char *at, size_t bytes, int with)
{
    if (bytes <= FILLED) {
        memset(at, with, bytes);
        return;
    }
    memset(at, with, FILLED / 2);
    memset(at + bytes - FILLED / 2, with, FILLED / 2);
}

CUresult heap_alloc(Emu *e, size_t bytes, bool born, CUdeviceptr *at)
{
    Heap *h = &e->heap;
    uint32_t i = 0;
    if (bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    if (bytes > h->total || round_up(bytes, ALIGN) > h->total - h->used || !map(h) || !more_blocks(h))
        return CUDA_ERROR_OUT_OF_MEMORY;
    const size_t place = find_room(h, bytes, &i);
    if (place == 0) return CUDA_ERROR_OUT_OF_MEMORY;
    memmove(h->block + i + 1, h->block + i, (h->n - i) * sizeof *h->block);
    h->block[i] = (Block){.at = place, .bytes = bytes, .born = born};
    h->n++;
    h->used += round_up(bytes, ALIGN);
    h->cursor = after(&h->block[i]);
    fill(h->real + place, bytes, 0xcd);
    *at = (CUdeviceptr)(uintptr_t)(h->handle + place);
    return 0;
}

static size_t place_of(const Heap *h, CUdeviceptr p) { return (size_t)(p - (CUdeviceptr)(uintptr_t)h->handle); }

Block *heap_block(const Emu *e, CUdeviceptr p)
{
    const Heap *h = &e->heap;
    const size_t at = place_of(h, p);
    const uint32_t i = heap_from(h, at);
    return h->handle && i < h->n && h->block[i].at == at ? &h->block[i] : NULL;
}

Block *heap_around(const Emu *e, CUdeviceptr p, size_t bytes)
{
    const Heap *h = &e->heap;
    const size_t at = place_of(h, p);
    if (!h->handle || at >= h->space) return NULL;
    const uint32_t i = heap_from(h, at + 1);
    Block *b = i > 0 ? &h->block[i - 1] : NULL;
    return b && at - b->at <= b->bytes && bytes <= b->bytes - (at - b->at) ? b : NULL;
}

char *heap_real(const Emu *e, CUdeviceptr p, size_t bytes)
{
    const Block *b = heap_around(e, p, bytes);
    return b && b->born ? e->heap.real + place_of(&e->heap, p) : NULL;
}

CUresult heap_free(Emu *e, CUdeviceptr p)
{
    Heap *h = &e->heap;
    Block *b = heap_block(e, p);
    if (!b) return CUDA_ERROR_INVALID_VALUE;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), from = round_up(b->at, page), to = (b->at + b->bytes) / page * page;
    if (from < to && to - from > FILLED) madvise(h->real + from, to - from, MADV_REMOVE);
    fill(h->real + b->at, b->bytes, 0xff); /* NaN */
    h->used -= round_up(b->bytes, ALIGN);
    h->n--;
    const size_t least = b > h->block ? b[-1].at + b[-1].bytes : 0, most = b < h->block + h->n ? b[1].at : h->space;
    shadow_free(e, MAX_OF(least, b->at / page * page), MIN_OF(most, round_up(b->at + b->bytes, page)));
    memmove(b, b + 1, (size_t)(h->block + h->n - b) * sizeof *b);
    return 0;
}

/* ---- memory of the host that copies need not wait for --------------------------------------------------------------- */
CUresult pinned_alloc(Emu *e, size_t bytes, void **at)
{
    if (bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    if (bytes > SIZE_MAX / 2) return CUDA_ERROR_OUT_OF_MEMORY;
    Pinned *p = calloc(1, sizeof *p);
    if (p) *p = (Pinned){e->pinned, aligned_alloc(4096, round_up(bytes, 4096)), bytes};
    if (!p || !p->at) {
        free(p);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    fill(p->at, bytes, 0xcd);
    e->pinned = p;
    *at = p->at;
    return 0;
}

CUresult pinned_free(Emu *e, void *at)
{
    for (Pinned **p = &e->pinned; *p; p = &(*p)->next) {
        Pinned *this = *p;
        if (this->at != at) continue;
        *p = this->next;
        free(this->at);
        free(this);
        return 0;
    }
    return CUDA_ERROR_INVALID_VALUE;
}

bool is_pinned(const Emu *e, const void *at, size_t bytes)
{
    for (const Pinned *p = e->pinned; p; p = p->next) {
        const size_t from = (size_t)((const char *)at - p->at);
        if (from < p->bytes && bytes <= p->bytes - from) return true;
    }
    return false;
}

void heap_clear(Emu *e)
{
    Heap *h = &e->heap;
    while (e->pinned) pinned_free(e, e->pinned->at);
    free(h->block);
    if (h->handle) {
        munmap(h->handle, h->space);
        munmap(h->real, h->space);
        no_map(h);
    }
    *h = (Heap){.total = h->total};
}
