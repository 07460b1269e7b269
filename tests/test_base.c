/* The ground floor: status, counted memory, arenas and vectors. Every allocation in arenas fails
 * once here. */
#include "failing.h"

#include <pthread.h>

/* ---- status ---------------------------------------------------------------------------------- */

static void the_larger_is_found_in_one_look(void **state)
{
    (void)state;
    int n = 5, m = 5;
    assert_int_equal(MAX_OF(n++, 3), 5);
    assert_int_equal(MIN_OF(3, m++), 3);
    assert_int_equal(n, 6);
    assert_int_equal(m, 6);
    assert_int_equal(MAX_OF(MIN_OF(n++, 9), MAX_OF(m++, 1)), 6);
    assert_true(n == 7 && m == 7);
}

static void status_keeps_the_first(void **state)
{
    (void)state;
    Status st = {0};
    assert_false(status_fail(&st, ST_SHAPE, "rows: %d", 3));
    assert_false(status_fail(&st, ST_DTYPE, "later"));
    assert_int_equal(st.code, ST_SHAPE);
    assert_string_equal(st.text, "rows: 3");
    assert_false(status_fail(NULL, ST_IO, "nobody listens"));
}

static void status_marks_a_cut(void **state)
{
    (void)state;
    Status st = {0};
    char text[2000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    status_fail(&st, ST_VALUE, "%s", text);
    assert_int_equal(strlen(st.text), sizeof st.text - 1);
    assert_string_equal(st.text + sizeof st.text - 6, "xx...");
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void memory_counts_exactly(void **state)
{
    (void)state;
    MemoryCount start = memory_count();
    char *a = mem_alloc(100), *b = mem_zeros(7, 9), *c = mem_alloc_aligned(500, 256),
         *d = mem_alloc(0);
    char *e = mem_strdup("hello");
    assert_true((uintptr_t)a % 16 == 0 && (uintptr_t)b % 16 == 0 && (uintptr_t)c % 256 == 0);
    assert_non_null(d);
    for (int i = 0; i < 63; i++) assert_int_equal(b[i], 0);
    memset(a, 1, 100);
    assert_string_equal(e, "hello");
    MemoryCount now = memory_count();
    assert_int_equal(now.allocations - start.allocations, 5);
    assert_int_equal(now.live_blocks - start.live_blocks, 5);
    assert_int_equal(now.live_bytes - start.live_bytes, 100 + 63 + 500 + 1 + 6);
    a = mem_resize(a, 100, 1000);
    for (int i = 0; i < 100; i++) assert_int_equal(a[i], 1);
    assert_int_equal(memory_count().live_bytes - now.live_bytes, 900);
    assert_int_equal(memory_count().live_blocks, now.live_blocks);
    assert_true(memory_count().peak_bytes >= memory_count().live_bytes);
    int64_t peak = memory_count().peak_bytes;
    mem_free(a, 1000);
    mem_free(b, 63);
    mem_free_aligned(c, 500, 256);
    mem_free(d, 0);
    mem_free(e, 6);
    mem_free(NULL, 12);
    mem_free_aligned(NULL, 12, 64);
    assert_int_equal(memory_count().live_bytes, start.live_bytes);
    assert_int_equal(memory_count().live_blocks, start.live_blocks);
    assert_int_equal(memory_count().peak_bytes, peak);
}

static void memory_refuses_the_impossible(void **state)
{
    (void)state;
    MemoryCount start = memory_count();
    assert_null(mem_zeros(SIZE_MAX / 2, 3));
    assert_null(mem_alloc(SIZE_MAX));
    assert_null(mem_alloc((size_t)PTRDIFF_MAX + 1));
    assert_null(mem_alloc_aligned(SIZE_MAX - 8, 64));
    char *p = mem_alloc(8);
    memcpy(p, "1234567", 8);
    assert_null(mem_resize(p, 8, SIZE_MAX));
    assert_string_equal(p, "1234567");
    mem_free(p, 8);
    assert_int_equal(memory_count().live_bytes, start.live_bytes);
    assert_int_equal(memory_count().allocations - start.allocations, 6);
    size_t out;
    assert_true(size_mul(SIZE_MAX / 2, 2, &out) && out == SIZE_MAX - 1);
    assert_false(size_mul(SIZE_MAX / 2 + 1, 2, &out));
    assert_true(size_add(SIZE_MAX - 1, 1, &out) && out == SIZE_MAX);
    assert_false(size_add(SIZE_MAX, 1, &out));
}

static void memory_fails_when_told(void **state)
{
    (void)state;
    memory_fail_at(3, false);
    void *a = mem_alloc(1), *b = mem_alloc_aligned(1, 64), *c = mem_strdup("x"),
         *d = mem_zeros(1, 1);
    assert_true(a != NULL && b != NULL && c == NULL && d != NULL);
    memory_fail_at(2, true);
    void *e = mem_resize(a, 1, 50);
    assert_non_null(e);
    assert_null(mem_resize(e, 50, 100));
    assert_null(mem_alloc(1));
    assert_null(mem_zeros(1, 1));
    assert_null(mem_alloc_aligned(1, 64));
    memory_fail_at(0, false);
    mem_free(e, 50);
    mem_free_aligned(b, 1, 64);
    mem_free(d, 1);
    mem_free(mem_alloc(1), 1);
}

typedef struct Ledger {
    int64_t bytes;
    int calls;
    size_t last_align;
} Ledger;

static void *ledger_resize(void *user, void *old, size_t old_size, size_t size, size_t align)
{
    Ledger *l = user;
    l->calls++;
    l->bytes += (int64_t)size - (old != NULL ? (int64_t)old_size : 0);
    l->last_align = align;
    if (size == 0) {
        free(old);
        return NULL;
    }
    return align <= 16 ? realloc(old, size)
                       : aligned_alloc(align, (size + align - 1) / align * align);
}

static void memory_takes_another_allocator(void **state)
{
    (void)state;
    Ledger ledger = {0};
    memory_set_allocator(&(Allocator){ledger_resize, &ledger});
    void *a = mem_alloc(10);
    assert_int_equal(ledger.last_align, 16);
    a = mem_resize(a, 10, 20);
    void *b = mem_alloc_aligned(40, 128);
    assert_int_equal(ledger.last_align, 128);
    assert_int_equal(ledger.bytes, 60);
    mem_free(a, 20);
    mem_free_aligned(b, 40, 128);
    assert_int_equal(ledger.last_align, 128);
    assert_int_equal(ledger.bytes, 0);
    assert_int_equal(ledger.calls, 5);
    memory_set_allocator(NULL);
    mem_free(mem_alloc(10), 10);
    assert_int_equal(ledger.calls, 5);
}

static void *allocate_a_lot(void *arg)
{
    (void)arg;
    for (int i = 1; i <= 2000; i++) {
        void *a = mem_alloc((size_t)i), *b = mem_alloc_aligned((size_t)i, 64);
        a = mem_resize(a, (size_t)i, 2 * (size_t)i);
        mem_free(a, 2 * (size_t)i);
        mem_free_aligned(b, (size_t)i, 64);
    }
    return NULL;
}

static void memory_counts_under_threads(void **state)
{
    (void)state;
    MemoryCount start = memory_count();
    pthread_t t[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&t[i], NULL, allocate_a_lot, NULL), 0);
    for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
    assert_int_equal(memory_count().allocations - start.allocations, 4 * 2000 * 3);
    assert_int_equal(memory_count().live_bytes, start.live_bytes);
    assert_int_equal(memory_count().live_blocks, start.live_blocks);
}

/* ---- arena ----------------------------------------------------------------------------------- */

typedef struct Pieces {
    Arena arena;
    uint64_t inner_failures;
} Pieces;

static void take_pieces(void *arg)
{
    Arena *a = &((Pieces *)arg)->arena;
    char *piece[300];
    size_t size[300];
    for (size_t i = 0; i < 300; i++) {
        size[i] = i % 50 == 49 ? 100000 * i : i * 7 % 400;
        piece[i] = arena_alloc(a, size[i]);
        assert_int_equal((uintptr_t)piece[i] % 16, 0);
        memset(piece[i], (int)(i & 127), size[i]);
    }
    for (size_t i = 0; i < 300; i++)
        for (size_t j = 0; j < size[i]; j += 97) assert_int_equal(piece[i][j], (int)(i & 127));
}

static void arena_pieces_are_apart(void **state)
{
    (void)state;
    Pieces p;
    Status st = {0};
    arena_init(&p.arena);
    for (int round = 0; round < 2; round++) {
        assert_true(arena_try(&p.arena, &st, take_pieces, &p));
        assert_int_equal(st.code, ST_OK);
        assert_true(p.arena.used > 0);
        arena_free(&p.arena);
        assert_int_equal(p.arena.used, 0);
    }
}

/* Around the end of the first block: a piece that just fits, and one that just does not. */
static void take_edges(void *arg)
{
    Arena *a = &((Pieces *)arg)->arena;
    for (size_t bytes = 4096 - 64; bytes < 4096 + 64; bytes++) {
        arena_free(a);
        memset(arena_alloc(a, bytes), 1, bytes);
        assert_true(a->at <= a->end);
        memset(arena_alloc(a, 1), 1, 1);
        memset(arena_alloc(a, bytes), 1, bytes);
        assert_true(a->at <= a->end);
    }
}

static void arena_blocks_end_where_they_end(void **state)
{
    (void)state;
    Pieces p;
    Status st = {0};
    arena_init(&p.arena);
    assert_true(arena_try(&p.arena, &st, take_edges, &p));
    arena_free(&p.arena);
}

static void take_small(void *arg)
{
    Arena *a = &((Pieces *)arg)->arena;
    for (int i = 0; i < 64 * 1024; i++) arena_alloc(a, 64);
}

static void arena_blocks_grow_geometrically(void **state)
{
    (void)state;
    Pieces p;
    Status st = {0};
    arena_init(&p.arena);
    MemoryCount before = memory_count();
    assert_true(arena_try(&p.arena, &st, take_small, &p));
    MemoryCount after = memory_count();
    assert_int_equal(p.arena.used, 64 * 64 * 1024);
    assert_in_range(
        after.live_blocks - before.live_blocks, 11, 13); /* 4 KiB ... 1 MiB, then four of 1 MiB */
    assert_in_range(after.live_bytes - before.live_bytes, 4 << 20, 6 << 20);
    arena_free(&p.arena);
}

static void take_text(void *arg)
{
    Arena *a = &((Pieces *)arg)->arena;
    assert_string_equal(arena_printf(a, "%s-%05d", "ab", 42), "ab-00042");
    assert_string_equal(arena_copy(a, "copied", 7), "copied");
    int *n = ARENA_ARRAY(a, int, 5000);
    for (int i = 0; i < 5000; i++) assert_int_equal(n[i], 0);
    assert_non_null(arena_copy(a, NULL, 0));
    VEC(int64_t) v = {0};
    for (int i = 0; i < 10000; i++) *VEC_PUSH(a, &v) = (int64_t)i * i;
    assert_int_equal(v.len, 10000);
    for (int i = 0; i < 10000; i++) assert_int_equal(v.at[i], (int64_t)i * i);
}

static bool text_once(void)
{
    Pieces p;
    Status st = {0};
    arena_init(&p.arena);
    bool fine = arena_try(&p.arena, &st, take_text, &p);
    assert_int_equal(st.code, fine ? ST_OK : ST_MEMORY);
    assert_null(p.arena.border);
    arena_free(&p.arena);
    return fine;
}

static void arena_survives_every_failure(void **state)
{
    (void)state;
    assert_true(text_once());
    assert_true(fail_each(text_once, false) >= 5);
    assert_true(fail_each(text_once, true) >= 5);
}

static void take_too_much(void *arg) { arena_alloc(&((Pieces *)arg)->arena, SIZE_MAX - 3); }

static void take_overflow(void *arg) { arena_zeros(&((Pieces *)arg)->arena, SIZE_MAX / 4, 8); }

static void grow_full_vector(void *arg)
{
    uint32_t cap = (uint32_t)1 << 31;
    vec_grow(&((Pieces *)arg)->arena, NULL, 0, &cap, 1);
}

static void inner_borders(void *arg)
{
    Pieces *p = arg;
    void (*bodies[])(void *) = {take_too_much, take_overflow, grow_full_vector};
    for (size_t i = 0; i < COUNT_OF(bodies); i++) {
        Status st = {0};
        jmp_buf *mine = p->arena.border;
        p->inner_failures += !arena_try(&p->arena, &st, bodies[i], p) && st.code == ST_MEMORY;
        assert_ptr_equal(p->arena.border, mine);
    }
    strcpy(arena_alloc(&p->arena, 6), "alive");
    take_too_much(p);
    p->inner_failures = 1000;
}

static void arena_borders_nest(void **state)
{
    (void)state;
    Pieces p = {0};
    Status st = {0};
    arena_init(&p.arena);
    assert_false(arena_try(&p.arena, &st, inner_borders, &p));
    assert_int_equal(st.code, ST_MEMORY);
    assert_int_equal(p.inner_failures, 3);
    arena_free(&p.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_larger_is_found_in_one_look),
        TEST(status_keeps_the_first),
        TEST(status_marks_a_cut),
        TEST(memory_counts_exactly),
        TEST(memory_refuses_the_impossible),
        TEST(memory_fails_when_told),
        TEST(memory_takes_another_allocator),
        TEST(memory_counts_under_threads),
        TEST(arena_pieces_are_apart),
        TEST(arena_blocks_end_where_they_end),
        TEST(arena_blocks_grow_geometrically),
        TEST(arena_survives_every_failure),
        TEST(arena_borders_nest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
