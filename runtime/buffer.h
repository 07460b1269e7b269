/* buffer: refcounted bytes on one device, and the size-class free lists that hand them out again. Memory of a device
 * other than the host is an address that the host never reads. Relies on base. Never knows shapes, dtypes or ops. */
#ifndef KILN_RUNTIME_BUFFER_H
#define KILN_RUNTIME_BUFFER_H

#include "base.h"
#include <stdatomic.h>

#define BUFFER_ALIGN 64

typedef struct BufferPool BufferPool;
struct Queue; /* of a device, codegen/device.h: opaque here */

/* Where a pool's blocks come from and go to. */
typedef struct BufferMemory {
    uint8_t device;                                                           /* the device's number, which its buffers carry */
    void *(*alloc)(const struct BufferMemory *m, size_t bytes, size_t align); /* NULL: no memory */
    /* last: the queue that used the block last (NULL: none). The memory is freed when that queue has finished its work so far. */
    void (*free)(const struct BufferMemory *m, void *data, size_t bytes, size_t align, struct Queue *last);
} BufferMemory;
extern const BufferMemory host_memory; /* device 0 */

/* Of one device, in bytes, over all pools that count there. */
typedef struct MemoryUse {
    atomic_size_t used, taken; /* by buffers that are held; of the device, idle blocks included */
    atomic_size_t peak;        /* of `used` */
    atomic_size_t most;        /* that may be taken; 0: whatever there is */
} MemoryUse;

/* A block of the host that no pool keeps, at a multiple of BUFFER_ALIGN, on huge pages if it is as large as one. */
void *large_alloc(size_t bytes); /* NULL: no memory */
void large_free(void *data, size_t bytes);

/* What was made of a buffer's elements and is kept until they are written or the buffer is released. */
typedef struct Attachment {
    struct Attachment *next;
    void (*free)(struct Attachment *d);
} Attachment;

typedef struct Buffer {
    void *data;
    size_t bytes; /* usable */
    atomic_uint refs;
    uint16_t size_class; /* free list it returns to; UINT16_MAX: not pooled */
    uint8_t device;      /* BufferMemory.device */
    BufferPool *pool;    /* NULL for borrowed memory */
    union {
        struct { /* borrowed memory: called once at the end; may be NULL */
            void (*release)(void *data, void *user);
            void *user;
        };
        struct {                 /* of a pooled buffer of another device, of device.c */
            struct Queue *queue; /* that used it last, by which work is ordered; NULL: none */
            uint64_t mark;       /* what wrote it last, as the device counts; 0: nothing that may still fail */
        };
    };
    struct Buffer *next; /* in a free list */
    /* Of a pooled buffer of the host: a list that any reader of the elements may add to, and what readers wanted to find there, a
     * bit for each thing, or for several. */
    _Atomic(Attachment *) attached;
    atomic_uint_fast64_t wanted;
} Buffer;

/* One per thread-state of an engine plus a shared one. The thread that makes a pool owns it and needs no lock;
 * any other thread may use it as well, more slowly. Blocks return to the pool they came from; a release on a
 * foreign thread goes through a lock-free stack that the owner drains. */
/* a pool of host memory; NULL on failure; idle memory above keep_bytes goes back to the system */
BufferPool *pool_new(size_t keep_bytes);
BufferPool *pool_new_of(size_t keep_bytes, const BufferMemory *m, MemoryUse *use); /* use: NULL: nobody counts */
/* Closes the pool; NULL allowed. Buffers still alive are freed on their last release, on whatever thread. Called by the owner, or
 * after the owner has stopped using pool and buffers; nobody may ask the pool for a buffer any more. */
void pool_free(BufferPool *p);
size_t pool_idle_bytes(const BufferPool *p);

/* At least `bytes` bytes (0 allowed), 64-byte aligned, not zeroed; blocks of 2 MiB and up are huge-page advised. NULL: no memory.
 */
Buffer *buffer_new(BufferPool *p, size_t bytes);
/* Makes a buffer of memory that someone else owns. If release is NULL, the caller keeps the memory alive. */
Buffer *buffer_borrow(void *data, size_t bytes, void (*release)(void *, void *), void *user);

static inline Buffer *buffer_retain(Buffer *b)
{
    atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}
void buffer_release(Buffer *b); /* NULL allowed */
/* Comes before elements are written of which others may have made something: nobody reads them meanwhile. */
void buffer_changes(Buffer *b);
static inline bool buffer_unshared(Buffer *b) { return atomic_load_explicit(&b->refs, memory_order_acquire) == 1; }

#endif
