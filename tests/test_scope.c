/* scope: ownership, stale handles, sticky errors, engines and threads. */
#include "front.h"

#include <pthread.h>

static void scopes_own_temporaries(void **state)
{
    kiln *k = *state;
    int64_t before;
    {
        KILN_SCOPE(k);
        kiln_tensor *x = kiln_ones(k, KILN_F32, KILN_SHAPE(1000));
        for (int i = 0; i < 3; i++)
            x = kiln_add(x, 1);
        before = kiln_memory_count().live_bytes;
    }
    for (int i = 0; i < 1000; i++) {
        KILN_SCOPE(k);
        kiln_tensor *x = kiln_ones(k, KILN_F32, KILN_SHAPE(1000));
        for (int j = 0; j < 3; j++)
            x = kiln_add(x, 1);
        assert_float_equal(kiln_item(kiln_sum(x, KILN_ALL)), 4000, 0);
    }
#ifndef KILN_DEBUG /* debug builds keep every header, to know stale handles */
    assert_true(kiln_memory_count().live_bytes <= before + 65536);
#else
    (void)before;
#endif
    assert_ok(k);
}

static void locals_of_the_root_go_with_the_engine(void **state)
{
    kiln *k = *state;
    kiln_variable_new(k, "before", KILN_F32, 1.0);
    kiln_variable *local = kiln_local(k, kiln_scalar(k, KILN_F32, 2));
    kiln_variable_new(k, "after", KILN_F32, 1.0);
    kiln_assign_add(local, 1);
    assert_float_equal(kiln_item(local), 3, 0);
    assert_ok(k);
}

static void keep_own_release_set(void **state)
{
    kiln *k = *state;
    kiln_tensor *kept, *owned, *slot = NULL;
    {
        KILN_SCOPE(k);
        {
            KILN_SCOPE(k);
            kept = kiln_keep(kiln_scalar(k, KILN_F32, 1));
            owned = kiln_own(kiln_scalar(k, KILN_F32, 2));
            kiln_set(&slot, kiln_scalar(k, KILN_F32, 3));
            kiln_set(&slot, kiln_scalar(k, KILN_F32, 4));
        }
        assert_float_equal(kiln_item(kept), 1, 0);
    }
    assert_float_equal(kiln_item(owned), 2, 0);
    assert_float_equal(kiln_item(slot), 4, 0);
    kiln_release(owned);
    kiln_release(slot);
    assert_ok(k);
}

static void stale_handles_are_errors(void **state)
{
    kiln *k = *state;
    kiln_tensor *x;
    {
        KILN_SCOPE(k);
        x = kiln_scalar(k, KILN_F32, 1);
    }
    KILN_SCOPE(k);
    assert_null(kiln_error(k)->text[0] ? kiln_error(k)->text : NULL);
    kiln_keep(x);
    assert_error(k, KILN_ESTATE, "keep: the tensor is used after its scope, opened at");
    kiln_tensor *owned = kiln_own(kiln_scalar(k, KILN_F32, 1));
    kiln_release(owned);
    kiln_release(owned);
    assert_error(k, KILN_ESTATE, "release: the tensor is used after it was released; it was made at");
    kiln_scope s = kiln_scope_open(k), copy = s;
    kiln_scope_close(&s);
    kiln_scope_close(&copy);
    assert_error(k, KILN_ESTATE, "closed twice");
}

static void errors_are_sticky_and_poison_flows(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *a = kiln_ones(k, KILN_F32, KILN_SHAPE(2, 3)), *b = kiln_ones(k, KILN_F32, KILN_SHAPE(2, 4));
    kiln_tensor *bad = kiln_add(a, b);
    int line = __LINE__ - 1;
    kiln_tensor *worse = kiln_matmul(bad, kiln_exp(bad));
    assert_int_equal(kiln_dtype_of(worse), KILN_NONE);
    assert_int_equal(kiln_error(k)->code, KILN_ESHAPE);
    assert_int_equal(kiln_error(k)->line, line);
    assert_non_null(strstr(kiln_error(k)->text, "f32[2,3]"));
    assert_non_null(strstr(kiln_error(k)->text, "f32[2,4]"));
    kiln_matmul(a, a);
    assert_non_null(strstr(kiln_error(k)->text, "add")); /* the first one stays */
    kiln_clear(k);
    kiln_matmul(a, a);
    assert_error(k, KILN_ESHAPE, "matmul");
    kiln_add((kiln_tensor *)NULL, a);
    assert_error(k, KILN_EVALUE, "NULL");
}

static void close_counts_unseen_errors(void **state)
{
    (void)state;
    kiln *k = kiln_open(NULL);
    kiln_full(k, KILN_F32, KILN_SHAPE(-1), 0);
    assert_int_equal(kiln_close(k), 1);
    kiln *clean = kiln_open(NULL);
    assert_int_equal(kiln_close(clean), 0);
}

static void scopes_may_outlive_their_engine(void **state)
{
    (void)state;
    kiln *k = kiln_open(NULL);
    KILN_SCOPE(k); /* closes after the engine: the block of a main that forgot its inner braces */
    kiln_ones(k, KILN_F32, KILN_SHAPE(3));
    assert_int_equal(kiln_close(k), 0);
    assert_int_equal(kiln_close(k), 0);
}

static void engines_do_not_mix(void **state)
{
    kiln *k = *state, *other = kiln_open(NULL);
    kiln_tensor *a = kiln_ones(k, KILN_F32, KILN_SHAPE(2)), *b = kiln_ones(other, KILN_F32, KILN_SHAPE(2));
    kiln_add(a, b);
    assert_error(k, KILN_ESTATE, "different engines");
    kiln_close(other);
}

static void *thread_main(void *arg)
{
    kiln *k = arg;
    KILN_SCOPE(k);
    double sum = 0;
    for (int i = 0; i < 200; i++) {
        KILN_SCOPE(k);
        sum += kiln_item(kiln_sum(kiln_full(k, KILN_F64, KILN_SHAPE(100), i), KILN_ALL));
    }
    kiln_add(kiln_ones(k, KILN_F32, KILN_SHAPE(2)), kiln_ones(k, KILN_F32, KILN_SHAPE(3))); /* this thread's error */
    bool failed = kiln_failed(k);
    kiln_clear(k);
    return failed && sum == 100.0 * 199 * 200 / 2 ? arg : NULL;
}

static void threads_have_scopes_and_errors_of_their_own(void **state)
{
    kiln *k = *state;
    pthread_t t[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&t[i], NULL, thread_main, k), 0);
    for (int i = 0; i < 4; i++) {
        void *result;
        pthread_join(t[i], &result);
        assert_ptr_equal(result, k);
    }
    assert_false(kiln_failed(k));
}

static void freed(void *data, void *user)
{
    (void)data;
    ++*(int *)user;
}

static void borrowed_memory_is_given_back_once(void **state)
{
    LATE_SKIP(LATE_BORROWS);
    kiln *k = *state;
    static const float data[4] = {1, 2, 3, 4};
    int count = 0;
    {
        KILN_SCOPE(k);
        kiln_tensor *x = kiln_borrow(k, KILN_F32, KILN_SHAPE(2, 2), data, freed, &count);
        kiln_tensor *row = kiln_slice(x, 0, 1, 2, 1);
        assert_ptr_equal(kiln_data(x), data);
        assert_float_equal(kiln_item(kiln_sum(row, KILN_ALL)), 7, 0);
        kiln_variable *v = kiln_variable_new(k, "v", x); /* a variable never keeps foreign memory */
        kiln_variable_free(v);
        assert_int_equal(count, 0);
    }
    assert_int_equal(count, 1);
    kiln_borrow(k, KILN_F32, KILN_SHAPE(1), (const char *)data + 1, NULL, NULL);
    assert_error(k, KILN_EVALUE, "not a multiple of the element size");
}

static void hostile_shapes(void **state)
{
    kiln *k = *state;
    int64_t big = INT64_MAX;
    kiln_full(k, KILN_F32, KILN_SHAPE(big), 0);
    assert_error(k, KILN_ESHAPE, "size");
    kiln_full(k, KILN_F32, KILN_SHAPE((int64_t)1 << 40, (int64_t)1 << 40), 0);
    assert_error(k, KILN_ESHAPE, "bytes");
    float x = 0;
    kiln_from(k, KILN_F32, KILN_SHAPE(2), &x, 1);
    assert_error(k, KILN_ESHAPE, "elements");
    kiln_from(k, (kiln_dtype)99, KILN_SHAPE(1), &x, 1);
    assert_error(k, KILN_EDTYPE, "99");
    kiln_from(k, KILN_F32, KILN_SHAPE(2), NULL, 2);
    assert_error(k, KILN_EVALUE, "NULL");
    kiln_tensor *empty = kiln_full(k, KILN_F32, KILN_SHAPE(0, (int64_t)1 << 40), 1);
    assert_int_equal(kiln_elements(empty), 0);
    assert_ok(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRONT_TEST(scopes_own_temporaries), FRONT_TEST(locals_of_the_root_go_with_the_engine), FRONT_TEST(keep_own_release_set), FRONT_TEST(stale_handles_are_errors),
        FRONT_TEST(errors_are_sticky_and_poison_flows), FRONT_TEST(close_counts_unseen_errors), FRONT_TEST(scopes_may_outlive_their_engine), FRONT_TEST(engines_do_not_mix),
        FRONT_TEST(threads_have_scopes_and_errors_of_their_own), FRONT_TEST(borrowed_memory_is_given_back_once), FRONT_TEST(hostile_shapes),
    };
    return cmocka_run_group_tests_name("scope", tests, NULL, NULL);
}
