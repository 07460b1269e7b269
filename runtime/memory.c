/* memory: the one allocator. Counts every block and byte, and fails on request for the tests. Relies on base.h and the C library.
 * Keeps no block: what is freed goes to the system. */
#include "base.h"

#include <stdatomic.h>

#define PLAIN_ALIGN 16
#define FAIL_FOREVER ((uint64_t)1 << 63)

static void *system_resize(void *user, void *old, size_t old_size, size_t size, size_t align)
{
    (void)user;
    if (size == 0) {
        free(old);
        return NULL;
    }
    if (align <= PLAIN_ALIGN) return realloc(old, size);
    void *fresh = NULL;
    if (posix_memalign(&fresh, align, size) != 0) return NULL;
    if (old) memcpy(fresh, old, MIN_OF(old_size, size));
    free(old);
    return fresh;
}

static Allocator allocator = {system_resize, NULL};

static atomic_uint_fast64_t allocations;
static atomic_int_fast64_t live_blocks, live_bytes, peak_bytes;
/* How many calls are left until one fails, that one included; 0: disarmed. FAIL_FOREVER is a flag beside the number. */
static atomic_uint_fast64_t fail_in;

void memory_set_allocator(const Allocator *a) { allocator = a ? *a : (Allocator){system_resize, NULL}; }

MemoryCount memory_count(void)
{
    return (MemoryCount){
        .allocations = atomic_load_explicit(&allocations, memory_order_relaxed),
        .live_blocks = atomic_load_explicit(&live_blocks, memory_order_relaxed),
        .live_bytes = atomic_load_explicit(&live_bytes, memory_order_relaxed),
        .peak_bytes = atomic_load_explicit(&peak_bytes, memory_order_relaxed),
    };
}

void memory_fail_at(uint64_t n, bool forever)
{
    atomic_store(&fail_in, n == 0 ? 0 : (n & ~FAIL_FOREVER) | (forever ? FAIL_FOREVER : 0));
}

static bool told_to_fail(void)
{
    uint_fast64_t now = atomic_load_explicit(&fail_in, memory_order_relaxed);
    while (UNLIKELY(now != 0)) {
        if (now == (FAIL_FOREVER | 1)) return true;
        if (atomic_compare_exchange_weak(&fail_in, &now, now - 1)) return now == 1;
    }
    return false;
}

static void count(int64_t blocks, int64_t bytes)
{
    atomic_fetch_add_explicit(&live_blocks, blocks, memory_order_relaxed);
    int_fast64_t live = atomic_fetch_add_explicit(&live_bytes, bytes, memory_order_relaxed) + bytes;
    int_fast64_t peak = atomic_load_explicit(&peak_bytes, memory_order_relaxed);
    while (live > peak &&
           !atomic_compare_exchange_weak_explicit(&peak_bytes, &peak, live, memory_order_relaxed, memory_order_relaxed)) {
    }
}

/* Size 0 means "free" to the allocator, so a block of no bytes takes one byte. */
static size_t real_size(size_t bytes) { return bytes != 0 ? bytes : 1; }

static void *resize(void *old, size_t old_bytes, size_t bytes, size_t align)
{
    atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
    size_t before = old ? real_size(old_bytes) : 0;
    size_t after = real_size(bytes);
    if (told_to_fail() || after > PTRDIFF_MAX) return NULL;
    void *p = allocator.resize(allocator.user, old, before, after, align);
    if (p) count(!old, (int64_t)after - (int64_t)before);
    return p;
}

void *mem_alloc(size_t bytes) { return resize(NULL, 0, bytes, PLAIN_ALIGN); }

void *mem_zeros(size_t number, size_t size)
{
    size_t bytes;
    if (!size_mul(number, size, &bytes)) bytes = SIZE_MAX;
    void *p = mem_alloc(bytes);
    if (p) memset(p, 0, bytes);
    return p;
}

void *mem_resize(void *p, size_t old_bytes, size_t new_bytes) { return resize(p, old_bytes, new_bytes, PLAIN_ALIGN); }

void mem_free(void *p, size_t bytes) { mem_free_aligned(p, bytes, PLAIN_ALIGN); }

void *mem_alloc_aligned(size_t bytes, size_t align)
{
    CHECK(align != 0 && (align & (align - 1)) == 0);
    return resize(NULL, 0, bytes, MAX_OF(align, PLAIN_ALIGN));
}

void mem_free_aligned(void *p, size_t bytes, size_t align)
{
    if (!p) return;
    size_t size = real_size(bytes);
    count(-1, -(int64_t)size);
    allocator.resize(allocator.user, p, size, 0, MAX_OF(align, PLAIN_ALIGN));
}

char *mem_strdup(const char *s)
{
    size_t bytes = strlen(s) + 1;
    char *copy = mem_alloc(bytes);
    return copy ? memcpy(copy, s, bytes) : NULL;
}
