/* buffer: refcounted blocks, and the pools that hand them out again. A pooled Buffer header and its data stay together for life.
 * Relies on base.h and the Linux page hints. Never waits: the owner's lists need no lock, and all other threads use a lock-free
 * stack.
 *
 * The thread that made a pool owns it and alone touches `idle`. Every other thread returns blocks to, and takes blocks from, the
 * `returned` stack, which is only pushed to or taken whole, so that there is no ABA problem. */
#include "buffer.h"
#include "poison.h"

#include <pthread.h>
#include <sys/mman.h>

#define HUGE_PAGE ((size_t)2 << 20)
#define LARGEST_BLOCK ((size_t)1 << 46)
#define CLASSES 156 /* class_of(LARGEST_BLOCK) + 1 */
#define NOT_POOLED UINT16_MAX
#define NOBODY ((uintptr_t)0)

struct BufferPool {
    atomic_uintptr_t owner;
    size_t keep;
    const BufferMemory *memory;
    MemoryUse *use;
    atomic_size_t idle_bytes; /* bytes in `idle`; only the owner writes it */
    uint32_t hand;            /* the class where trimming goes on */
    Buffer *idle[CLASSES];
    _Alignas(64) _Atomic(Buffer *) returned; /* CLOSED once the pool is gone */
    atomic_size_t returned_bytes;
    atomic_size_t refs; /* one for the pool itself, one for each block in existence */
};

/* The value of `returned` when no block may come back any more: a block that is released then goes to the system. */
static Buffer closed_mark;
#define CLOSED (&closed_mark)

/* ---- size classes: multiples of 64 bytes up to 256, then four for each power of two ---------- */

static uint32_t class_of(size_t bytes)
{
    size_t units = (bytes + BUFFER_ALIGN - 1) / BUFFER_ALIGN;
    if (units <= 4) return units != 0 ? (uint32_t)units - 1 : 0;
    uint32_t log2 = 63 - (uint32_t)__builtin_clzll(units - 1);
    return 4 * (log2 - 1) + (uint32_t)((units - 1) >> (log2 - 2) & 3);
}

static size_t class_bytes(uint32_t class)
{
    if (class < 4) return (class + (size_t)1) * BUFFER_ALIGN;
    return ((size_t)(class & 3) + 5) * BUFFER_ALIGN << (class / 4 - 1);
}

static size_t align_of(size_t bytes) { return bytes >= HUGE_PAGE ? HUGE_PAGE : BUFFER_ALIGN; }

/* ---- the host's memory ----------------------------------------------------------------------- */

static void *host_alloc(const BufferMemory *m, size_t bytes, size_t align)
{
    (void)m;
    void *data = mem_alloc_aligned(bytes, align);
    if (data && bytes >= HUGE_PAGE) madvise(data, bytes, MADV_HUGEPAGE); /* a hint: if refused, only speed is lost */
    return data;
}

static void host_free(const BufferMemory *m, void *data, size_t bytes, size_t align, struct Queue *last)
{
    (void)m, (void)last;
    mem_free_aligned(data, bytes, align);
}

const BufferMemory host_memory = {.device = 0, .alloc = host_alloc, .free = host_free};

void *large_alloc(size_t bytes) { return host_alloc(&host_memory, bytes, align_of(bytes)); }
void large_free(void *data, size_t bytes) { host_free(&host_memory, data, bytes, align_of(bytes), NULL); }

/* ---- blocks from and to the system ----------------------------------------------------------- */

static void unref_pool(BufferPool *p)
{
    if (atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) == 1) mem_free_aligned(p, sizeof *p, _Alignof(BufferPool));
}

/* False: there is a bound, and it would be passed. */
static bool may_take(MemoryUse *u, size_t bytes)
{
    size_t now = atomic_load_explicit(&u->taken, memory_order_relaxed);
    const size_t most = atomic_load_explicit(&u->most, memory_order_relaxed);
    do {
        if (most && (now > most || bytes > most - now)) return false;
    } while (!atomic_compare_exchange_weak_explicit(&u->taken, &now, now + bytes, memory_order_relaxed, memory_order_relaxed));
    return true;
}

static void take_back(MemoryUse *u, size_t bytes)
{
    if (u) atomic_fetch_sub_explicit(&u->taken, bytes, memory_order_relaxed);
}

__attribute__((noinline)) static void count_used(MemoryUse *u, size_t bytes)
{
    const size_t now = atomic_fetch_add_explicit(&u->used, bytes, memory_order_relaxed) + bytes;
    size_t peak = atomic_load_explicit(&u->peak, memory_order_relaxed);
    while (peak < now && !atomic_compare_exchange_weak_explicit(&u->peak, &peak, now, memory_order_relaxed, memory_order_relaxed)) {
    }
}

__attribute__((noinline)) static void count_unused(MemoryUse *u, size_t bytes)
{
    atomic_fetch_sub_explicit(&u->used, bytes, memory_order_relaxed);
}

static Buffer *create(BufferPool *p, uint32_t class)
{
    size_t bytes = class_bytes(class);
    if (p->use && !may_take(p->use, bytes)) return NULL;
    Buffer *b = mem_alloc(sizeof *b);
    void *data = b ? p->memory->alloc(p->memory, bytes, align_of(bytes)) : NULL;
    if (!data) {
        if (b) mem_free(b, sizeof *b);
        take_back(p->use, bytes);
        return NULL;
    }
    *b = (Buffer){.data = data, .bytes = bytes, .size_class = (uint16_t) class, .device = p->memory->device, .pool = p};
    atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
    return b;
}

static void destroy(BufferPool *p, Buffer *b)
{
    UNPOISON(b->data, b->bytes);
    p->memory->free(p->memory, b->data, b->bytes, align_of(b->bytes), b->queue);
    take_back(p->use, b->bytes);
    mem_free(b, sizeof *b);
    unref_pool(p);
}

/* ---- the owner's lists ----------------------------------------------------------------------- */

static bool is_owner(BufferPool *p) { return atomic_load_explicit(&p->owner, memory_order_relaxed) == (uintptr_t)pthread_self(); }

static void count_idle(BufferPool *p, size_t more)
{
    size_t now = atomic_load_explicit(&p->idle_bytes, memory_order_relaxed);
    atomic_store_explicit(&p->idle_bytes, now + more, memory_order_relaxed);
}

static void push_idle(BufferPool *p, Buffer *b)
{
    b->next = p->idle[b->size_class];
    p->idle[b->size_class] = b;
    count_idle(p, b->bytes);
}

static Buffer *pop_idle(BufferPool *p, uint32_t class)
{
    Buffer *b = p->idle[class];
    if (!b) return NULL;
    p->idle[class] = b->next;
    count_idle(p, 0 - b->bytes);
    return b;
}

/* Frees idle blocks, class after class from where the last trim stopped, until at most `most` bytes
 * are idle. */
static void trim(BufferPool *p, size_t most)
{
    for (uint32_t tried = 0; tried <= CLASSES; tried++) {
        while (atomic_load_explicit(&p->idle_bytes, memory_order_relaxed) > most) {
            Buffer *b = pop_idle(p, p->hand);
            if (!b) break;
            destroy(p, b);
        }
        if (atomic_load_explicit(&p->idle_bytes, memory_order_relaxed) <= most) return;
        p->hand = (p->hand + 1) % CLASSES;
    }
}

/* ---- the stack that other threads use -------------------------------------------------------- */

static void push_returned(BufferPool *p, Buffer *b)
{
    size_t bytes = b->bytes;
    size_t before = atomic_fetch_add_explicit(&p->returned_bytes, bytes, memory_order_relaxed);
    before += atomic_load_explicit(&p->idle_bytes, memory_order_relaxed);
    Buffer *top = atomic_load_explicit(&p->returned, memory_order_relaxed);
    bool full = bytes > p->keep || before > p->keep - bytes;
    while (!full && top != CLOSED) {
        b->next = top;
        /* Once it is pushed, the pool may be gone. */
        if (atomic_compare_exchange_weak_explicit(&p->returned, &top, b, memory_order_release, memory_order_relaxed)) return;
    }
    atomic_fetch_sub_explicit(&p->returned_bytes, bytes, memory_order_relaxed);
    destroy(p, b);
}

static Buffer *take_returned(BufferPool *p, Buffer *left_there)
{
    if (atomic_load_explicit(&p->returned, memory_order_relaxed) == left_there) return NULL;
    return atomic_exchange_explicit(&p->returned, left_there, memory_order_acquire);
}

/* For the owner: makes idle what others returned. */
static void drain(BufferPool *p)
{
    for (Buffer *b = take_returned(p, NULL), *next; b; b = next) {
        next = b->next;
        atomic_fetch_sub_explicit(&p->returned_bytes, b->bytes, memory_order_relaxed);
        push_idle(p, b);
    }
    trim(p, p->keep);
}

/* The owner's release. Older idle blocks make room for the block. */
static void keep_idle(BufferPool *p, Buffer *b)
{
    if (UNLIKELY(b->bytes > p->keep)) {
        destroy(p, b);
        return;
    }
    if (UNLIKELY(pool_idle_bytes(p) > p->keep - b->bytes)) {
        drain(p);
        trim(p, p->keep - b->bytes);
    }
    push_idle(p, b);
}

static Buffer *pop_returned(BufferPool *p, uint32_t class)
{
    Buffer *found = NULL;
    for (Buffer *b = take_returned(p, NULL), *next; b; b = next) {
        next = b->next;
        atomic_fetch_sub_explicit(&p->returned_bytes, b->bytes, memory_order_relaxed);
        if (!found && b->size_class == class)
            found = b;
        else
            push_returned(p, b);
    }
    return found;
}

/* ---- pools ----------------------------------------------------------------------------------- */

BufferPool *pool_new(size_t keep_bytes) { return pool_new_of(keep_bytes, &host_memory, NULL); }

BufferPool *pool_new_of(size_t keep_bytes, const BufferMemory *m, MemoryUse *use)
{
    BufferPool *p = mem_alloc_aligned(sizeof *p, _Alignof(BufferPool));
    if (!p) return NULL;
    memset(p, 0, sizeof *p);
    p->keep = keep_bytes;
    p->memory = m;
    p->use = use;
    atomic_init(&p->owner, (uintptr_t)pthread_self());
    atomic_init(&p->refs, 1);
    return p;
}

void pool_free(BufferPool *p)
{
    if (!p) return;
    atomic_store_explicit(&p->owner, NOBODY, memory_order_relaxed);
    for (Buffer *b = take_returned(p, CLOSED), *next; b; b = next) {
        next = b->next;
        destroy(p, b);
    }
    trim(p, 0);
    unref_pool(p);
}

size_t pool_idle_bytes(const BufferPool *p)
{
    return atomic_load_explicit(&p->idle_bytes, memory_order_relaxed) +
           atomic_load_explicit(&p->returned_bytes, memory_order_relaxed);
}

/* ---- buffers --------------------------------------------------------------------------------- */

/* No block of this class is idle: allocates one. If memory is short it first gives idle blocks back to the system. */
static Buffer *new_slow(BufferPool *p, uint32_t class, bool owner)
{
    if (owner) drain(p);
    Buffer *b = owner ? pop_idle(p, class) : pop_returned(p, class);
    if (!b) b = create(p, class);
    if (!b && owner && atomic_load_explicit(&p->idle_bytes, memory_order_relaxed) != 0) {
        trim(p, 0);
        b = create(p, class);
    }
    return b;
}

Buffer *buffer_new(BufferPool *p, size_t bytes)
{
    if (UNLIKELY(bytes > LARGEST_BLOCK)) return NULL;
    uint32_t class = class_of(bytes);
    bool owner = is_owner(p);
    Buffer *b = owner ? pop_idle(p, class) : NULL;
    if (UNLIKELY(!b)) {
        b = new_slow(p, class, owner);
        if (!b) return NULL;
    }
    UNPOISON(b->data, b->bytes);
    if (UNLIKELY(p->use)) count_used(p->use, b->bytes);
    atomic_store_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

Buffer *buffer_borrow(void *data, size_t bytes, void (*release)(void *, void *), void *user)
{
    Buffer *b = mem_alloc(sizeof *b);
    if (!b) return NULL;
    *b = (Buffer){.data = data, .bytes = bytes, .size_class = NOT_POOLED, .release = release, .user = user};
    atomic_init(&b->refs, 1);
    return b;
}

void buffer_changes(Buffer *b)
{
    atomic_store_explicit(&b->wanted, 0, memory_order_relaxed);
    for (Attachment *d = atomic_exchange_explicit(&b->attached, NULL, memory_order_acquire), *next; d; d = next) {
        next = d->next;
        d->free(d);
    }
}

static void release_last(Buffer *b)
{
    BufferPool *p = b->pool;
    if (!p) {
        if (b->release) b->release(b->data, b->user);
        mem_free(b, sizeof *b);
        return;
    }
    if (UNLIKELY(atomic_load_explicit(&b->wanted, memory_order_relaxed))) buffer_changes(b);
    POISON(b->data, b->bytes);
    if (UNLIKELY(p->use)) count_unused(p->use, b->bytes);
    if (LIKELY(is_owner(p)))
        keep_idle(p, b);
    else
        push_returned(p, b);
}

void buffer_release(Buffer *b)
{
    if (!b) return;
    /* The only holder needs no locked instruction, because nobody else could retain the buffer. */
    if (buffer_unshared(b) || atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1) release_last(b);
}
