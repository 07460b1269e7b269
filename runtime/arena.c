/* arena: memory of one lifetime in growing blocks, with exhaustion as a jump to a border; and
 * vectors in it. Relies on base.h. Never frees a single piece, never returns NULL. */
#include "base.h"
#include "poison.h"

#include <stdio.h>

#define ARENA_ALIGN 16
#ifndef FIRST_BLOCK /* a test has blocks of one piece each, so that each may fail */
#define FIRST_BLOCK ((size_t)4 << 10)
#define LARGEST_BLOCK ((size_t)1 << 20)
#endif

struct ArenaBlock {
    ArenaBlock *older;
    size_t bytes; /* this header included */
};
_Static_assert(sizeof(ArenaBlock) % ARENA_ALIGN == 0, "what follows the header is aligned");

static _Noreturn void exhausted(Arena *a)
{
    CHECK(a->border);
    longjmp(*a->border, 1);
}

void arena_init(Arena *a) { *a = (Arena){0}; }

void arena_free(Arena *a)
{
    for (ArenaBlock *b = a->block, *older; b; b = older) {
        older = b->older;
        UNPOISON(b, b->bytes);
        mem_free(b, b->bytes);
    }
    *a = (Arena){.border = a->border};
}

static ArenaBlock *new_block(Arena *a, size_t bytes)
{
    ArenaBlock *b = mem_alloc(bytes);
    if (!b) exhausted(a);
    *b = (ArenaBlock){NULL, bytes};
    POISON(b + 1, bytes - sizeof *b);
    return b;
}

/* A piece too large for the next regular block gets one of its own, and the open block stays open.
 */
static void *alloc_slow(Arena *a, size_t bytes)
{
    size_t regular = a->block ? MIN_OF(2 * a->block->bytes, LARGEST_BLOCK) : FIRST_BLOCK;
    if (bytes > regular - sizeof(ArenaBlock)) {
        ArenaBlock *b = new_block(a, bytes + sizeof *b);
        if (a->block) {
            b->older = a->block->older;
            a->block->older = b;
        } else {
            a->block = b;
        }
        return b + 1;
    }
    ArenaBlock *b = new_block(a, regular);
    b->older = a->block;
    a->block = b;
    a->at = (char *)(b + 1) + bytes;
    a->end = (char *)b + regular;
    return b + 1;
}

void *arena_alloc(Arena *a, size_t bytes)
{
    if (bytes > PTRDIFF_MAX - FIRST_BLOCK) exhausted(a);
    size_t taken = (MAX_OF(bytes, 1) + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    void *p = a->at;
    if (LIKELY(taken <= (size_t)(a->end - a->at)))
        a->at += taken;
    else
        p = alloc_slow(a, taken);
    a->used += taken;
    UNPOISON(p, bytes);
    return p;
}

void *arena_zeros(Arena *a, size_t count, size_t size)
{
    size_t bytes;
    if (!size_mul(count, size, &bytes)) exhausted(a);
    return memset(arena_alloc(a, bytes), 0, bytes);
}

void *arena_copy(Arena *a, const void *from, size_t bytes)
{
    void *p = arena_alloc(a, bytes);
    return bytes != 0 ? memcpy(p, from, bytes) : p;
}

char *arena_printf(Arena *a, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = plain_vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0) exhausted(a);
    char *text = arena_alloc(a, (size_t)n + 1);
    va_start(args, format);
    plain_vsnprintf(text, (size_t)n + 1, format, args);
    va_end(args);
    return text;
}

bool arena_try(Arena *a, Status *st, void (*body)(void *arg), void *arg)
{
    jmp_buf here;
    jmp_buf *volatile outer = a->border;
    if (setjmp(here) != 0) {
        a->border = outer;
        return status_fail(st, ST_MEMORY, "out of memory");
    }
    a->border = &here;
    body(arg);
    a->border = outer;
    return true;
}

void *vec_grow(Arena *a, void *at, uint32_t len, uint32_t *cap, size_t size)
{
    if (*cap > UINT32_MAX / 2) exhausted(a);
    uint32_t more = *cap != 0 ? 2 * *cap : 8;
    size_t bytes;
    if (!size_mul(more, size, &bytes)) exhausted(a);
    void *fresh = arena_alloc(a, bytes);
    if (len != 0) memcpy(fresh, at, len * size);
    *cap = more;
    return fresh;
}
