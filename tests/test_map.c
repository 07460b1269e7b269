/* Maps, hashes of bytes, and growing text. Every allocation in them fails once here. */
#include "failing.h"

#include <stdio.h>

/* ---- map ------------------------------------------------------------------------------------- */

static uint64_t random_state = 1;

static uint64_t random_u64(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return hash_mix(random_state, 7);
}

/* Random puts and removals beside a plain array, keys 0 .. 511, spread when `spread`. */
static void map_against_array(bool spread)
{
    Map m = {0};
    uint64_t value[512];
    bool there[512] = {false};
    uint32_t len = 0;
    for (int step = 0; step < 50000; step++) {
        uint32_t k = (uint32_t)(random_u64() % 512);
        uint64_t key = spread ? k * 0x123456789abcdefu : k, v = random_u64();
        bool remove = random_u64() % 100 < (step / 5000 % 2 != 0 ? 60u : 30u);
        if (remove) {
            assert_int_equal(map_remove(&m, key), there[k]);
            len -= there[k];
            there[k] = false;
        } else {
            uint64_t *at = map_put(&m, key, v);
            assert_true(at != NULL && *at == v);
            len += !there[k];
            there[k] = true;
            value[k] = v;
        }
        assert_int_equal(m.len, len);
        k = (uint32_t)(random_u64() % 512);
        uint64_t *got = map_get(&m, spread ? k * 0x123456789abcdefu : k);
        assert_int_equal(got != NULL, there[k]);
        if (got != NULL) assert_int_equal(*got, value[k]);
    }
    uint32_t at = 0, walked = 0;
    for (MapSlot s; map_next(&m, &at, &s); walked++) assert_ptr_equal(map_get(&m, s.key) != NULL, true);
    assert_int_equal(walked, len);
    assert_false(map_next(&m, &at, &(MapSlot){0}));
    map_free(&m);
    assert_null(map_get(&m, 1));
}

/* A copy has every entry, the one of key 0 too, and grows on its own. */
static void map_copies(void **state)
{
    (void)state;
    Arena a;
    Map m = {0}, copy, empty = {0};
    arena_init(&a);
    for (uint64_t k = 0; k < 12; k++) assert_non_null(map_put(&m, k, 100 + k)); /* as many as fit before it grows */
    map_copy(&copy, &m, &a);
    assert_int_equal(copy.len, m.len);
    for (uint64_t k = 12; k < 100; k++) map_put(&copy, k, 100 + k);
    for (uint64_t k = 0; k < 100; k++) {
        const uint64_t *at = map_get(&copy, k);
        assert_true(at != NULL && *at == 100 + k);
        assert_int_equal(map_get(&m, k) != NULL, k < 12);
    }
    map_free(&m);
    map_copy(&copy, &empty, &a);
    assert_null(map_get(&copy, 0));
    assert_non_null(map_put(&copy, 0, 1));
    arena_free(&a);
}

static void map_agrees_with_array(void **state)
{
    (void)state;
    map_against_array(false);
    map_against_array(true);
}

static bool heap_map_once(void)
{
    Map m = {0};
    bool fine = true;
    uint64_t key = 0;
    for (; fine && key < 1000; key++) fine = map_put(&m, key, key * 3) != NULL;
    uint64_t whole = fine ? key : key - 1; /* a failed put leaves the others */
    for (uint64_t k = 0; k < whole; k++) assert_int_equal(*map_get(&m, k), k * 3);
    assert_int_equal(m.len, whole);
    map_free(&m);
    return fine;
}

static void fill_arena_map(void *arg)
{
    Map m = {.arena = arg};
    for (uint64_t k = 0; k < 3000; k++) map_put(&m, k, k);
    assert_int_equal(m.len, 3000);
    map_free(&m);
}

static bool arena_map_once(void)
{
    Arena a;
    Status st = {0};
    arena_init(&a);
    bool fine = arena_try(&a, &st, fill_arena_map, &a);
    arena_free(&a);
    return fine;
}

static void map_survives_every_failure(void **state)
{
    (void)state;
    assert_int_equal(fail_each(heap_map_once, false), 8);
    assert_true(fail_each(arena_map_once, true) >= 5);
}

static void hash_sees_every_byte(void **state)
{
    (void)state;
    unsigned char data[40] = {0};
    Map seen = {0};
    for (size_t bytes = 0; bytes <= sizeof data; bytes++) {
        for (size_t i = 0; i <= bytes; i++) {
            if (i < bytes) data[i] = 1;
            uint64_t h = hash_bytes(5, data, bytes);
            assert_null(map_get(&seen, h));
            assert_non_null(map_put(&seen, h, 1));
            assert_int_equal(hash_bytes(5, data, bytes), h);
            assert_int_not_equal(hash_bytes(6, data, bytes), h);
            if (i < bytes) data[i] = 0;
        }
    }
    map_free(&seen);
}

/* ---- text ------------------------------------------------------------------------------------ */

static bool text_once(void)
{
    Text t = {0};
    char expected[5000] = "";
    for (int i = 0; i < 300; i++) {
        text_printf(&t, "%d,", i);
        text_add(&t, "ab", 2);
        sprintf(expected + strlen(expected), "%d,ab", i);
    }
    bool fine = !t.failed;
    if (fine) assert_string_equal(t.at, expected);
    if (t.at != NULL) assert_int_equal(strlen(t.at), t.len);
    if (t.at != NULL) assert_memory_equal(t.at, expected, t.len); /* no holes: it ends where it failed */
    text_free(&t);
    assert_true(t.at == NULL && t.len == 0);
    return fine;
}

static void text_grows(void **state)
{
    (void)state;
    assert_true(text_once());
    Text t = {0};
    text_add(&t, "", 0);
    assert_string_equal(t.at, "");
    text_printf(&t, "%0500d", 7);
    assert_int_equal(t.len, 500);
    text_add(&t, "x", SIZE_MAX - 3);
    assert_true(t.failed);
    text_free(&t);
}

static void text_survives_every_failure(void **state)
{
    (void)state;
    assert_true(fail_each(text_once, false) >= 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(map_agrees_with_array),
        TEST(map_copies),
        TEST(map_survives_every_failure),
        TEST(hash_sees_every_byte),
        TEST(text_grows),
        TEST(text_survives_every_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
