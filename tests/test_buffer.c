/* Buffers and their pools: size classes, reuse, the cap, other threads, pools that go before their
 * buffers. */
#include "runtime/buffer.h"
#include "failing.h"

#include <pthread.h>

static uint64_t asked(void) { return memory_count().allocations; }

static void sizes_fit_closely(void **state)
{
    (void)state;
    BufferPool *p = pool_new(0);
    uint32_t last_class = 0;
    for (size_t bytes = 0; bytes < (size_t)9 << 20; bytes = bytes * 17 / 16 + 1) {
        Buffer *b = buffer_new(p, bytes);
        assert_non_null(b);
        assert_true(b->bytes >= bytes && b->bytes % BUFFER_ALIGN == 0);
        assert_true(b->bytes <= MAX_OF(bytes + 64, bytes + bytes / 4));
        assert_true((uintptr_t)b->data % (b->bytes >= 2 << 20 ? 2 << 20 : BUFFER_ALIGN) == 0);
        assert_true(b->size_class == last_class || b->size_class == last_class + 1);
        last_class = b->size_class;
        memset(b->data, 1, b->bytes);
        buffer_release(b);
        assert_int_equal(pool_idle_bytes(p), 0);
    }
    pool_free(p);
}

/* Each class ends exactly where the next one begins. */
static void classes_tile_the_sizes(void **state)
{
    (void)state;
    BufferPool *p = pool_new(0);
    size_t bytes = 64;
    for (uint32_t class = 0; class < 64; class ++) {
        Buffer *full = buffer_new(p, bytes), *more = buffer_new(p, bytes + 1);
        assert_int_equal(full->size_class, class);
        assert_int_equal(full->bytes, bytes);
        assert_int_equal(more->size_class, class + 1);
        bytes = more->bytes;
        buffer_release(full);
        buffer_release(more);
    }
    pool_free(p);
}

static void blocks_are_used_again(void **state)
{
    (void)state;
    BufferPool *p = pool_new(SIZE_MAX);
    Buffer *a = buffer_new(p, 1000), *b = buffer_new(p, 1000);
    void *data_a = a->data, *data_b = b->data;
    assert_true(data_a != data_b);
    buffer_retain(a);
    assert_false(buffer_unshared(a));
    buffer_release(a);
    assert_true(buffer_unshared(a));
    assert_int_equal(pool_idle_bytes(p), 0);
    buffer_release(a);
    buffer_release(b);
    assert_int_equal(pool_idle_bytes(p), 2048);
    uint64_t calls = asked();
    for (int i = 0; i < 100; i++) {
        Buffer *c = buffer_new(p, 900), *d = buffer_new(p, 1024);
        assert_true(
            (c->data == data_a && d->data == data_b) || (c->data == data_b && d->data == data_a));
        assert_true(buffer_unshared(c));
        buffer_release(c);
        buffer_release(d);
    }
    assert_int_equal(asked(), calls);
    buffer_release(NULL);
    pool_free(p);
    pool_free(NULL);
}

static void idle_memory_is_bounded(void **state)
{
    (void)state;
    size_t keep = 100000;
    BufferPool *p = pool_new(keep);
    Buffer *b[64];
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 64; i++) b[i] = buffer_new(p, (size_t)(i * 137 + round * 1000));
        for (int i = 0; i < 64; i++) {
            buffer_release(b[i]);
            assert_true(pool_idle_bytes(p) <= keep);
        }
        assert_true(pool_idle_bytes(p) > keep / 2); /* but it is used */
    }
    Buffer *large = buffer_new(p, keep + 1);
    size_t idle = pool_idle_bytes(p);
    buffer_release(large);
    assert_int_equal(pool_idle_bytes(p), idle);
    pool_free(p);
}

static void impossible_sizes_are_refused(void **state)
{
    (void)state;
    BufferPool *p = pool_new(1 << 20);
    assert_null(buffer_new(p, SIZE_MAX));
    assert_null(buffer_new(p, PTRDIFF_MAX));
    assert_null(buffer_new(p, ((size_t)1 << 46) + 1));
    pool_free(p);
}

/* ---- borrowed -------------------------------------------------------------------------------- */

static void note_release(void *data, void *user)
{
    ++*(int *)user;
    *(int *)data = 7;
}

static void borrowed_memory_is_given_back_once(void **state)
{
    (void)state;
    int data = 0, released = 0;
    Buffer *b = buffer_borrow(&data, sizeof data, note_release, &released);
    assert_ptr_equal(b->data, &data);
    assert_int_equal(b->bytes, sizeof data);
    buffer_retain(b);
    buffer_release(b);
    assert_int_equal(released, 0);
    buffer_release(b);
    assert_int_equal(released, 1);
    assert_int_equal(data, 7);
    buffer_release(buffer_borrow(&data, sizeof data, NULL, NULL));
}

/* ---- failure --------------------------------------------------------------------------------- */

static bool once(void)
{
    BufferPool *p = pool_new(1 << 16);
    if (p == NULL) return false;
    bool fine = true;
    Buffer *kept[12] = {0};
    for (size_t i = 0; i < COUNT_OF(kept); i++) {
        kept[i] = i % 5 == 4 ? buffer_borrow(&p, sizeof p, NULL, NULL) : buffer_new(p, i << i);
        fine = fine && kept[i] != NULL;
        if (i % 3 == 2) buffer_release(kept[i]);
        if (i % 3 == 2) kept[i] = NULL;
    }
    for (size_t i = 0; i < COUNT_OF(kept); i++) buffer_release(kept[i]);
    pool_free(p);
    return fine;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    int failures = 0;
    for (int forever = 0; forever < 2; forever++) {
        for (uint64_t n = 1;; n++) {
            uint64_t start = asked();
            int64_t live = memory_count().live_bytes;
            memory_fail_at(n, forever);
            bool fine = once();
            memory_fail_at(0, false);
            assert_int_equal(memory_count().live_bytes, live);
            if (asked() - start < n) {
                assert_true(fine);
                break;
            }
            /* A single failure is cured where idle memory can be given back. */
            if (forever) assert_false(fine);
            failures += !fine;
        }
    }
    assert_true(failures > 20);
}

static void idle_memory_is_given_back_before_failing(void **state)
{
    (void)state;
    BufferPool *p = pool_new(SIZE_MAX);
    Buffer *idle = buffer_new(p, 5000);
    buffer_release(idle);
    memory_fail_at(2, false);
    Buffer *b = buffer_new(p, 300);
    assert_non_null(b);
    assert_int_equal(pool_idle_bytes(p), 0);
    memory_fail_at(1, true);
    assert_null(buffer_new(p, 5000));
    memory_fail_at(0, false);
    buffer_release(b);
    pool_free(p);
}

/* ---- other threads --------------------------------------------------------------------------- */

static void *release_all(void *arg)
{
    Buffer **b = arg;
    for (; *b != NULL; b++) buffer_release(*b);
    return NULL;
}

static void *take_some(void *arg)
{
    Buffer **b = arg;
    BufferPool *p = b[0]->pool;
    for (int i = 1; i < 10; i++) b[i] = buffer_new(p, 100);
    return NULL;
}

static void elsewhere(void *(*what)(void *), void *arg)
{
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, what, arg), 0);
    pthread_join(t, NULL);
}

static void foreign_releases_come_home(void **state)
{
    (void)state;
    BufferPool *p = pool_new(1280);
    Buffer *b[12] = {0};
    for (int i = 0; i < 11; i++) b[i] = buffer_new(p, 100);
    elsewhere(release_all, b);
    assert_int_equal(pool_idle_bytes(p), 1280); /* ten of 128; the cap holds there, too */
    uint64_t calls = asked();
    for (int i = 0; i < 10; i++) b[i] = buffer_new(p, 100);
    assert_int_equal(asked(), calls);
    assert_int_equal(pool_idle_bytes(p), 0);
    b[10] = NULL;
    release_all(b);
    assert_int_equal(pool_idle_bytes(p), 1280);
    pool_free(p);
}

static void foreign_threads_may_take(void **state)
{
    (void)state;
    BufferPool *p = pool_new(SIZE_MAX);
    Buffer *b[12] = {buffer_new(p, 64)};
    Buffer *gone[] = {buffer_new(p, 100), buffer_new(p, 7000), buffer_new(p, 16), NULL};
    elsewhere(release_all, gone); /* neither the seven kilobytes nor the few bytes fit: they stay */
    size_t idle = pool_idle_bytes(p);
    uint64_t calls = asked();
    elsewhere(take_some, b);
    assert_true(asked() - calls >= 2 * 8);
    for (int i = 1; i < 10; i++) assert_true(b[i]->bytes >= 100 && b[i]->bytes < 7000);
    for (int i = 0; i < 10; i++) memset(b[i]->data, i, b[i]->bytes);
    b[10] = NULL;
    release_all(b);
    assert_true(pool_idle_bytes(p) >= idle + 8 * 128);
    pool_free(p);
}

typedef struct Traffic {
    BufferPool *pool;
    _Atomic(Buffer *) slot[16];
    atomic_bool stop;
    atomic_int wrong;
} Traffic;

/* Takes whatever is in a random slot, checks its mark, and releases it. */
static void *consume(void *arg)
{
    Traffic *t = arg;
    for (uint32_t i = 0, seed = 1; !atomic_load(&t->stop); i++) {
        seed = seed * 1664525 + 1013904223;
        Buffer *b = atomic_exchange(&t->slot[seed >> 28], NULL);
        if (b == NULL) continue;
        if (*(uint64_t *)b->data != (uintptr_t)b->data) atomic_fetch_add(&t->wrong, 1);
        memset(b->data, 0xee, 64);
        buffer_release(b);
        if (i % 4 != 0) continue;
        b = buffer_new(t->pool, seed % 3000);
        if (b == NULL) continue;
        *(uint64_t *)b->data = (uintptr_t)b->data;
        buffer_release(atomic_exchange(&t->slot[seed >> 28], b));
    }
    return NULL;
}

static void many_threads_share_a_pool(void **state)
{
    (void)state;
    Traffic t = {.pool = pool_new(20000)};
    pthread_t thread[3];
    for (int i = 0; i < 3; i++) assert_int_equal(pthread_create(&thread[i], NULL, consume, &t), 0);
    for (uint32_t i = 0, seed = 9; i < 60000; i++) {
        seed = seed * 1664525 + 1013904223;
        Buffer *b = buffer_new(t.pool, seed % 3000);
        *(uint64_t *)b->data = (uintptr_t)b->data;
        Buffer *old = atomic_exchange(&t.slot[seed >> 28], buffer_retain(b));
        if (b->bytes < seed % 3000) atomic_fetch_add(&t.wrong, 1);
        buffer_release(old);
        buffer_release(b);
    }
    atomic_store(&t.stop, true);
    for (int i = 0; i < 3; i++) pthread_join(thread[i], NULL);
    for (int i = 0; i < 16; i++) buffer_release(t.slot[i]);
    assert_int_equal(t.wrong, 0);
    assert_true(pool_idle_bytes(t.pool) <= 20000 + 3 * 4096);
    pool_free(t.pool);
}

/* ---- orphans --------------------------------------------------------------------------------- */

static void buffers_outlive_their_pool(void **state)
{
    (void)state;
    BufferPool *p = pool_new(SIZE_MAX);
    Buffer *b[5] = {0};
    for (int i = 0; i < 4; i++) b[i] = buffer_new(p, 4000);
    buffer_release(buffer_new(p, 50));
    Buffer *returned[2] = {b[3], NULL};
    elsewhere(release_all, returned);
    b[3] = NULL;
    pool_free(p);
    for (int i = 0; i < 3; i++) memset(b[i]->data, i, b[i]->bytes);
    buffer_release(b[0]);
    elsewhere(release_all, &b[1]);
}

/* Buffers come back from another thread at the very moment the pool goes. */
static void pool_goes_while_buffers_come(void **state)
{
    (void)state;
    for (int round = 0; round < 200; round++) {
        BufferPool *p = pool_new(SIZE_MAX);
        Buffer *b[41] = {0};
        for (int i = 0; i < 40; i++) b[i] = buffer_new(p, 64);
        pthread_t t;
        assert_int_equal(pthread_create(&t, NULL, release_all, b), 0);
        for (volatile int wait = 0; wait < round * 100; wait = wait + 1) {
        }
        pool_free(p);
        pthread_join(t, NULL);
    }
}

/* What no pool keeps lies as a pool's blocks do, is counted, and fails as they do. */
static void large_blocks(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 63, 64, 4096, ((size_t)2 << 20) - 1, (size_t)2 << 20, ((size_t)5 << 20) + 7};
    const int64_t before = memory_count().live_blocks;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        char *at = large_alloc(sizes[i]);
        assert_non_null(at);
        assert_int_equal((uintptr_t)at % (sizes[i] >= (size_t)2 << 20 ? (size_t)2 << 20 : BUFFER_ALIGN), 0);
        at[0] = at[sizes[i] - 1] = 1;
        assert_int_equal(memory_count().live_blocks, before + 1);
        large_free(at, sizes[i]);
        memory_fail_at(1, false);
        assert_null(large_alloc(sizes[i]));
        memory_fail_at(0, false);
    }
    large_free(NULL, 0);
    assert_int_equal(memory_count().live_blocks, before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(sizes_fit_closely),
        TEST(classes_tile_the_sizes),
        TEST(blocks_are_used_again),
        TEST(idle_memory_is_bounded),
        TEST(impossible_sizes_are_refused),
        TEST(borrowed_memory_is_given_back_once),
        TEST(every_allocation_may_fail),
        TEST(idle_memory_is_given_back_before_failing),
        TEST(foreign_releases_come_home),
        TEST(foreign_threads_may_take),
        TEST(many_threads_share_a_pool),
        TEST(buffers_outlive_their_pool),
        TEST(pool_goes_while_buffers_come),
        TEST(large_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
