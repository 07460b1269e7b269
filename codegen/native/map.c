/* map: brings an image into memory: written while it may not run, then run while it may not be written to. Relies on image.h. Never
 * trusts a block: it is opened, and so checked, first. */
#define _GNU_SOURCE
#include "map.h"

#include <elf.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__x86_64__)
#define HERE EM_X86_64
#else
#define HERE EM_NONE
#endif

bool image_runs_here(void) { return HERE != EM_NONE; }

/* ---- opening --------------------------------------------------------------------------------- */

static bool symbols_fit(const Image *m)
{
    const ImageHead *h = m->head;
    if (h->names != 0 && m->names[h->names - 1] != '\0') return false;
    for (uint32_t i = 0; i < h->nsymbol; i++) {
        const ImageSymbol *s = &m->symbol[i];
        if (s->at > h->code || s->len > h->code - s->at || s->name >= h->names) return false;
    }
    return true;
}

static bool imports_fit(const Image *m)
{
    const ImageHead *h = m->head;
    for (uint32_t i = 0; i < h->nimport; i++) {
        const ImageImport *at = &m->import[i];
        if (at->which >= import_count() || !import_address(at->which)) return false;
        if (at->at % 8 != 0 || at->at < h->code || (uint64_t)at->at + 8 > h->bytes) return false;
    }
    return true;
}

bool image_open(const char *block, size_t len, Image *out)
{
    const ImageHead *h = (const void *)block;
    if (len < sizeof *h || len > IMAGE_MOST || h->machine != HERE) return false;
    if (h->start % IMAGE_ALIGN != 0 || h->start > len || h->bytes != len - h->start || h->code > h->bytes) return false;
    if (h->entry >= h->code || (h->sizes != IMAGE_NONE && h->sizes >= h->code)) return false;
    /* Sums of 32-bit numbers times small sizes do not overflow here. */
    const uint64_t symbol = sizeof *h + (uint64_t)h->nimport * sizeof(ImageImport);
    const uint64_t names = symbol + (uint64_t)h->nsymbol * sizeof(ImageSymbol);
    if (names + h->names > h->start) return false;
    *out = (Image){.head = h,
        .import = (const void *)(block + sizeof *h),
        .symbol = (const void *)(block + symbol),
        .names = block + names,
        .bytes = block + h->start};
    return symbols_fit(out) && imports_fit(out);
}

/* ---- mapping --------------------------------------------------------------------------------- */

static void fill(const Image *m, char *at)
{
    memcpy(at, m->bytes, m->head->bytes);
    for (uint32_t i = 0; i < m->head->nimport; i++) {
        void *to = import_address(m->import[i].which);
        memcpy(at + m->import[i].at, &to, sizeof to);
    }
}

bool image_map(const Image *m, Mapped *out, Status *st)
{
    const ImageHead *h = m->head;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (h->code % page != 0)
        return status_fail(st, ST_UNSUPPORTED, "code for pages of another size than %zu cannot be loaded", page);
    char *at = mmap(NULL, h->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) return status_fail(st, ST_MEMORY, "no memory for %u bytes of compiled code", (unsigned)h->bytes);
    *out = (Mapped){.at = at, .bytes = h->bytes};
    fill(m, at);
    __builtin___clear_cache(at, at + h->code);
    if (mprotect(at, h->code, PROT_READ | PROT_EXEC) == 0 &&
        (h->code == h->bytes || mprotect(at + h->code, h->bytes - h->code, PROT_READ) == 0))
        return true;
    image_unmap(out);
    return status_fail(st, ST_DEVICE, "the system does not let memory be executed that was written to before");
}

void image_unmap(Mapped *m)
{
    if (m->at) munmap(m->at, m->bytes);
    *m = (Mapped){0};
}
