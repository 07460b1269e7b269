/* test_kv_cache: caches of keys and values (nn.h): token by token as all at once, eagerly and traced, with no new trace as they fill; and what
 * happens when they are full. */
#include <kiln/nn.h>

#include "front.h"

#include <math.h>

enum { BATCH = 2, HEADS = 4, GROUPS = 2, TOKENS = 7, SIZE = 4, OUT = 3 };

static kiln_tensor *drawn(kiln *k, int seed, int64_t heads, int64_t size)
{
    return kiln_normal(kiln_generator(k, (uint64_t)seed), KILN_F32, KILN_SHAPE(BATCH, heads, TOKENS, size), 0, 1);
}

static kiln_tensor *some(kiln_tensor *x, int64_t from, int64_t count) { return kiln_slice(x, 2, from, from + count, 1); }

typedef struct Model {
    kiln_kv_cache *cache;
} Model;

static void attend(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    out[0] = kiln_kv_cache_attend(((Model *)user)->cache, in[0], in[1], in[2], &(kiln_attention_options){.scale = 0.25});
}

/* Two at first, then one by one, against causal attention over all; eager and traced calls give equal bits. */
static void token_by_token(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    Model m = {kiln_kv_cache_new(k, KILN_F32, BATCH, GROUPS, TOKENS + 2, SIZE, OUT)};
    kiln_tensor *q = drawn(k, 1, HEADS, SIZE), *key = drawn(k, 2, GROUPS, SIZE), *value = drawn(k, 3, GROUPS, OUT), *step[TOKENS];
    kiln_tensor *want = kiln_attention(q, key, value, &(kiln_attention_options){.causal = true, .scale = 0.25}), *eager = NULL;
    for (int traced = 0; traced < 2; traced++) {
        kiln_function *f = kiln_function_new(k, attend, &m, &(kiln_function_options){.name = "attend", .fixed_sizes = true});
        kiln_eager(k, !traced);
        int n = 0;
        for (int at = 0; at < TOKENS; at += n == 1 ? 2 : 1) {
            const int count = at == 0 ? 2 : 1;
            step[n++] = kiln_call(f, some(q, at, count), some(key, at, count), some(value, at, count));
            assert_ok(k);
        }
        kiln_tensor *all = kiln_concat(step, n, 2);
        assert_true(kiln_assert_close(all, want, 1e-6));
        if (traced) {
            kiln_function_statistics s;
            kiln_function_stats(f, &s);
            assert_int_equal(s.traces, 2); /* for two tokens, and for one */
            assert_true(kiln_assert_close(all, eager, 0));
        }
        eager = all;
        kiln_eager(k, false);
        kiln_variable *v[3];
        assert_int_equal(kiln_kv_cache_variables(m.cache, v, 3), 3);
        assert_int_equal(kiln_item_i64(v[2]), TOKENS);
        kiln_kv_cache_reset(m.cache);
        kiln_function_free(f);
    }
    kiln_kv_cache_free(m.cache);
    assert_ok(k);
}

/* Nothing of it changes. */
static void a_full_cache_is_an_error(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    Model m = {kiln_kv_cache_new(k, KILN_F32, BATCH, GROUPS, TOKENS + 1, SIZE, OUT)};
    kiln_tensor *q = drawn(k, 1, HEADS, SIZE), *key = drawn(k, 2, GROUPS, SIZE), *value = drawn(k, 3, GROUPS, OUT);
    kiln_variable *v[3];
    kiln_kv_cache_variables(m.cache, v, 3);
    kiln_kv_cache_append(m.cache, key, value);
    assert_ok(k);
    kiln_tensor *before = kiln_value(v[0]);
    for (int traced = 0; traced < 2; traced++) {
        kiln_function *f = kiln_function_new(k, attend, &m, &(kiln_function_options){.name = "attend"});
        kiln_eager(k, !traced);
        kiln_call(f, some(q, 0, 2), some(key, 0, 2), some(value, 0, 2));
        assert_error(k, KILN_EVALUE, "the cache of keys and values is full");
        kiln_eager(k, false);
        assert_int_equal(kiln_item_i64(v[2]), TOKENS);
        assert_true(kiln_assert_close(v[0], before, 0));
        kiln_function_free(f);
    }
    assert_non_null(kiln_kv_cache_attend(m.cache, some(q, 0, 1), some(key, 0, 1), some(value, 0, 1), NULL));
    kiln_kv_cache_free(m.cache);
    assert_ok(k);
}

/* Blocks of 64 keys behind what is there are not looked at, so that time goes with the keys that there are, not with the capacity. */
static void what_lies_behind_is_not_looked_at(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    enum { CAPACITY = 200 };
    Model m = {kiln_kv_cache_new(k, KILN_F32, BATCH, GROUPS, CAPACITY, SIZE, OUT)};
    kiln_tensor *q = drawn(k, 1, HEADS, SIZE), *key = drawn(k, 2, GROUPS, SIZE), *value = drawn(k, 3, GROUPS, OUT);
    kiln_tensor *want = kiln_attention(q, key, value, &(kiln_attention_options){.causal = true, .scale = 0.25}), *y;
    kiln_variable *v[3];
    kiln_kv_cache_variables(m.cache, v, 3);
    kiln_tensor *behind = kiln_expand(kiln_greater_equal(kiln_iota(k, KILN_I64, KILN_SHAPE(CAPACITY), 0), 64), 1);
    for (int traced = 0; traced < 2; traced++) {
        kiln_function *f = kiln_function_new(k, attend, &m, &(kiln_function_options){.name = "attend", .compile = KILN_WAIT});
        for (int i = 0; i < 2; i++) kiln_assign(v[i], kiln_where(behind, NAN, kiln_zeros_like(v[i])));
        kiln_eager(k, !traced);
        y = kiln_call(f, q, key, value);
        assert_true(kiln_assert_close(y, want, 1e-6));
        y = kiln_call(f, some(q, 0, 1), some(key, 0, 1), some(value, 0, 1));
        assert_true(kiln_item(kiln_all(kiln_isfinite(y), KILN_ALL)) == 1);
        kiln_eager(k, false);
        kiln_kv_cache_reset(m.cache);
        kiln_function_free(f);
    }
    kiln_kv_cache_free(m.cache);
    assert_ok(k);
}

static void decode(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_variable *last = kiln_local(k, in[0]);
    KILN_FOR(k, i, kiln_scalar(k, KILN_I64, 3)) {
        kiln_tensor *now = kiln_value(last);
        kiln_assign(last, kiln_kv_cache_attend(((Model *)user)->cache, now, now, now, NULL));
    }
    out[0] = kiln_value(last);
}

/* Its variables are written where they are, though each turn counts how far they are filled. */
static void a_loop_copies_no_cache(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    enum { CAPACITY = 1024 };
    Model m = {kiln_kv_cache_new(k, KILN_F32, 1, 1, CAPACITY, SIZE, SIZE)};
    kiln_tensor *x = kiln_ones(k, KILN_F32, KILN_SHAPE(1, 1, 1, SIZE)), *want = NULL;
    kiln_function *f = kiln_function_new(k, decode, &m, &(kiln_function_options){.name = "decode", .compile = KILN_WAIT});
    decode(k, &x, &want, &m);
    kiln_kv_cache_reset(m.cache);
    assert_true(kiln_assert_close(kiln_call(f, x), want, 0));
    kiln_function_bytes bytes;
    assert_true(kiln_function_memory(f, &bytes));
    if (!late_is_emulated()) assert_true(bytes.workspace < CAPACITY * SIZE * (int64_t)sizeof(float)); /* devices have attention as a loop */
    kiln_kv_cache_free(m.cache);
    assert_ok(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {FRONT_TEST(token_by_token), FRONT_TEST(a_full_cache_is_an_error),
        FRONT_TEST(what_lies_behind_is_not_looked_at), FRONT_TEST(a_loop_copies_no_cache)};
    return cmocka_run_group_tests_name("kv_cache", tests, front_needs_llvm, NULL);
}
