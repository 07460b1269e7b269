/* base: what everything else stands on: status, the counted allocator, arenas, vectors and a hash map. Relies on the C library
 * alone. Never knows tensors, ops or devices, and never prints, exits or aborts (except CHECK in debug builds). */
#ifndef KILN_RUNTIME_BASE_H
#define KILN_RUNTIME_BASE_H

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_OF(a) (sizeof(a) / sizeof *(a))
/* Evaluates each operand once, because some are calls that go deep. */
#define MIN_OF(a, b) ONE_OF(a, <, b, __COUNTER__)
#define MAX_OF(a, b) ONE_OF(a, >, b, __COUNTER__)
#define ONE_OF(a, than, b, n) ONE_OF_(a, than, b, n)
#define ONE_OF_(a, than, b, n)                                          \
    __extension__({                                                     \
        __typeof__(1 ? (a) : (b)) one_of_a##n = (a), one_of_b##n = (b); \
        one_of_a##n than one_of_b##n ? one_of_a##n : one_of_b##n;       \
    })

#if defined(__GNUC__)
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#else
#define PRINTF_LIKE(f, a)
#define LIKELY(x) (x)
#define UNLIKELY(x) (x)
#endif

/* ---- our own bugs -------------------------------------------------------------------------------- */
#ifdef KILN_DEBUG
void check_failed(const char *what, const char *file, int line);
#define CHECK(x) ((x) ? (void)0 : check_failed(#x, __FILE__, __LINE__))
#else
#define CHECK(x) ((void)0)
#endif

/* ---- what went wrong ------------------------------------------------------------------------------
 * Codes equal the public KILN_E* of include/kiln/core.h; a static assertion in frontend/ keeps them so. */
typedef enum StatusCode {
    ST_OK,
    ST_SHAPE,       /* shapes or ranks do not fit */
    ST_DTYPE,       /* element types do not fit */
    ST_VALUE,       /* a number, index or option is out of range */
    ST_STATE,       /* used at the wrong time: closed, released, traced, finished */
    ST_MEMORY,      /* an allocation failed */
    ST_IO,          /* the operating system refused */
    ST_FORMAT,      /* bytes from outside are not what they claim to be */
    ST_DEVICE,      /* a device or its driver is absent or failed */
    ST_UNSUPPORTED, /* named by the caller, but not offered here */
    ST_INTERNAL     /* an invariant of Kiln is broken */
} StatusCode;

/* A failure of the outside world. Zero-initialised means none. Only the first failure is kept. */
typedef struct Status {
    StatusCode code;
    char text[492];
} Status;

/* Sets a status to none; cheaper than zeroing all of it, which matters in operations that take less time than that. */
static inline void status_clear(Status *st)
{
    st->code = ST_OK;
    st->text[0] = '\0';
}

/* Records the failure unless one is recorded already. Always returns false, so `return status_fail(...)`. */
bool status_fail(Status *st, StatusCode code, const char *format, ...) PRINTF_LIKE(3, 4);

double clock_seconds(void); /* seconds of a clock that never goes back (clock.c) */

/* ---- memory ----------------------------------------------------------------------------------------
 * Every byte that Kiln takes from the system goes through one replaceable, counted allocator. */
typedef struct Allocator {
    /* realloc-shaped: old NULL allocates, size 0 frees (and returns NULL); align is a power of two, and for
     * old != NULL equals what the block was allocated with. */
    void *(*resize)(void *user, void *old, size_t old_size, size_t size, size_t align);
    void *user;
} Allocator;

typedef struct MemoryCount {
    uint64_t allocations; /* calls that asked for memory, failed ones included */
    int64_t live_blocks;
    int64_t live_bytes;
    int64_t peak_bytes;
} MemoryCount;

/* Sets the allocator of the whole process, because this level knows no engine; call it before the first engine opens. NULL restores
 * malloc. */
void memory_set_allocator(const Allocator *a);
MemoryCount memory_count(void);
/* Test hook: the n-th allocation from now fails (n >= 1); forever: all later ones too. 0 disarms. */
void memory_fail_at(uint64_t n, bool forever);

void *mem_alloc(size_t bytes);                                 /* NULL on failure; 16-byte aligned; not zeroed */
void *mem_zeros(size_t count, size_t size);                    /* overflow-checked, zeroed */
void *mem_resize(void *p, size_t old_bytes, size_t new_bytes); /* on failure NULL, and p stays valid */
void mem_free(void *p, size_t bytes);                          /* bytes: exactly what was asked for */
void *mem_alloc_aligned(size_t bytes, size_t align);           /* large blocks: the caller advises huge pages */
void mem_free_aligned(void *p, size_t bytes, size_t align);
char *mem_strdup(const char *s); /* freed with mem_free(s, strlen(s) + 1) */

/* Checked size arithmetic; false on overflow. */
static inline bool size_mul(size_t a, size_t b, size_t *out) { return !__builtin_mul_overflow(a, b, out); }
static inline bool size_add(size_t a, size_t b, size_t *out) { return !__builtin_add_overflow(a, b, out); }

/* ---- arena -----------------------------------------------------------------------------------------
 * Memory of one lifetime: a trace, a compile, a pass. Allocation never returns NULL: on exhaustion it jumps to
 * the innermost border (ARENA_BORDER), which fails with ST_MEMORY. Only our own frames may lie between. */
typedef struct ArenaBlock ArenaBlock;
typedef struct Arena {
    ArenaBlock *block; /* newest first */
    char *at, *end;
    jmp_buf *border; /* where exhaustion jumps to; must be set while allocating */
    size_t used;     /* bytes handed out, for reports */
} Arena;

void arena_init(Arena *a);
void arena_free(Arena *a);                 /* all memory; the arena may be used again */
void *arena_alloc(Arena *a, size_t bytes); /* 16-byte aligned, not zeroed */
void *arena_zeros(Arena *a, size_t count, size_t size);
char *arena_printf(Arena *a, const char *format, ...) PRINTF_LIKE(2, 3);
void *arena_copy(Arena *a, const void *from, size_t bytes);
#define ARENA_NEW(a, T) ((T *)arena_zeros((a), 1, sizeof(T)))
#define ARENA_ARRAY(a, T, n) ((T *)arena_zeros((a), (size_t)(n), sizeof(T)))

/* Runs body(arg) with a border on `a`; false and ST_MEMORY if memory ran out inside. Borders nest. */
bool arena_try(Arena *a, Status *st, void (*body)(void *arg), void *arg);

/* ---- vector in an arena ----------------------------------------------------------------------------
 * VEC(T) v = {0}; *VEC_PUSH(arena, &v) = x; v.at[i]; v.len. Old storage stays in the arena. */
#define VEC(T)             \
    struct {               \
        T *at;             \
        uint32_t len, cap; \
    }
void *vec_grow(Arena *a, void *at, uint32_t len, uint32_t *cap, size_t size);
#define VEC_PUSH(a, v)                                                                                          \
    ((v)->len == (v)->cap ? ((v)->at = vec_grow((a), (v)->at, (v)->len, &(v)->cap, sizeof *(v)->at)) : (v)->at, \
        &(v)->at[(v)->len++])

/* Storage of its own for a vector that was copied with its struct. */
#define VEC_COPY(a, v) ((v)->at = arena_copy((a), (v)->at, (v)->len * sizeof *(v)->at), (v)->cap = (v)->len)

/* ---- hash map: 64-bit key -> 64-bit value, open addressing, arena or heap -----------------------------
 * Keys are full hashes or identities, any value; one entry per key. Equality beyond the key is the caller's
 * (hash_key, or chain through the value). */
typedef struct MapSlot {
    uint64_t key, value;
} MapSlot;
typedef struct Map {
    Arena *arena; /* NULL: heap, freed by map_free */
    MapSlot *slot;
    uint32_t len, cap;
} Map;

uint64_t *map_get(const Map *m, uint64_t key);           /* NULL if absent */
uint64_t *map_put(Map *m, uint64_t key, uint64_t value); /* inserts or overwrites; heap maps: NULL on failure */
bool map_remove(Map *m, uint64_t key);                   /* true if it was there */
/* Walks all entries in no particular order: start with *at = 0; false after the last. Nothing may be put or removed meanwhile. */
bool map_next(const Map *m, uint32_t *at, MapSlot *out);
void map_free(Map *m);
void map_copy(Map *to, const Map *from, Arena *arena); /* in that arena */

static inline uint64_t hash_mix(uint64_t h, uint64_t x)
{
    h ^= x + 0x9e3779b97f4a7c15u + (h << 6) + (h >> 2);
    h *= 0xff51afd7ed558ccdu;
    return h ^ (h >> 32);
}
uint64_t hash_bytes(uint64_t seed, const void *data, size_t bytes);

/* The first key under which a thing of hash h is searched. Another thing may have that key; then go on to the next key. Tests keep
 * fewer bits to make hashes collide. */
extern uint64_t hash_kept;
static inline uint64_t hash_key(uint64_t h) { return h & hash_kept; }

/* ---- growing text ------------------------------------------------------------------------------------ */
typedef struct Text {
    char *at; /* always terminated once anything was written; NULL before */
    size_t len, cap;
    bool failed; /* an allocation failed: content is incomplete */
} Text;
void text_printf(Text *t, const char *format, ...) PRINTF_LIKE(2, 3);
void text_add(Text *t, const char *bytes, size_t n);
void text_free(Text *t);

/* Between these two calls this thread's C library writes and reads numbers with a point, whatever the program's locale. Text made
 * from formats here and in messages needs no such calls: it uses plain_vsnprintf. */
locale_t plain_numbers_begin(void);
void plain_numbers_end(locale_t before);
int plain_vsnprintf(char *buf, size_t cap, const char *format, va_list args);
int plain_snprintf(char *buf, size_t cap, const char *format, ...) PRINTF_LIKE(3, 4);

#endif
