/* test_kv_cache: caches of keys and values (nn.h): token by token as all at once, eagerly and traced, with no new trace as they fill; and what
 * happens when they are full. */
#include <kiln/nn.h>

#include "front.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {FRONT_TEST(token_by_token), FRONT_TEST(a_full_cache_is_an_error)};
    return cmocka_run_group_tests_name("kv_cache", tests, front_needs_llvm, NULL);
}
