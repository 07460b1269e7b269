/* Sizes: constants, canonical forms, bounds, exact division, evaluation, text and back. */
#include "failing.h"
#include "ir/dim.h"

typedef struct World {
    Arena arena;
    DimTable t;
    Dim n, m, k;
    bool (*body)(struct World *);
    bool result;
} World;

static void build(void *arg)
{
    World *w = arg;
    dim_table_init(&w->t, &w->arena);
    w->n = dim_symbol(&w->t, "N", 1, 256);
    w->m = dim_symbol(&w->t, "M", 0, 100);
    w->k = dim_symbol(&w->t, "K", 2, 8);
    w->result = w->body(w);
}

static bool with_world(bool (*body)(World *))
{
    World w = {.body = body};
    Status st = {0};
    arena_init(&w.arena);
    bool ok = arena_try(&w.arena, &st, build, &w);
    arena_free(&w.arena);
    return ok && w.result;
}

#define WORLD(name)                           \
    static bool name##_body(World *w);        \
    static void name(void **state)            \
    {                                         \
        (void)state;                          \
        assert_true(with_world(name##_body)); \
    }                                         \
    static bool name##_body(World *w)

/* The text is parsed; what it prints as must be `text`, and parse to the same handle. */
static void prints(World *w, const char *from, const char *text)
{
    char buf[200];
    size_t used;
    Dim d = dim_parse(&w->t, from, strlen(from), &used);
    assert_int_equal(used, strlen(from));
    assert_int_not_equal(d, DIM_BAD);
    size_t len = dim_print(&w->t, d, buf, sizeof buf);
    assert_string_equal(buf, text);
    assert_int_equal(len, strlen(text));
    assert_int_equal(dim_parse(&w->t, buf, strlen(buf), &used), d);
}

static void constants_need_no_table(void **state)
{
    (void)state;
    Dim q;
    size_t used;
    assert_int_equal(dim_add(NULL, 2, 3), 5);
    assert_int_equal(dim_sub(NULL, 5, 3), 2);
    assert_int_equal(dim_sub(NULL, 3, 5), DIM_BAD);
    assert_int_equal(dim_mul(NULL, 6, 7), 42);
    assert_int_equal(dim_floordiv(NULL, 7, 2), 3);
    assert_int_equal(dim_max(NULL, 7, 2), 7);
    assert_int_equal(dim_add(NULL, DIM_MAX, 1), DIM_BAD);
    assert_int_equal(dim_mul(NULL, DIM_MAX, 2), DIM_BAD);
    assert_int_equal(dim_mul(NULL, DIM_MAX, DIM_MAX), DIM_BAD);
    assert_int_equal(dim_mul(NULL, DIM_BAD, 2), DIM_BAD);
    assert_int_equal(dim_floordiv(NULL, 4, 0), DIM_BAD);
    assert_true(dim_divides(NULL, 12, 4, &q) && q == 3);
    assert_false(dim_divides(NULL, 12, 5, &q));
    assert_false(dim_divides(NULL, 0, 0, &q));
    assert_int_equal(dim_parse(NULL, "4*3+1,", 6, &used), 13);
    assert_int_equal(used, 5);
    assert_int_equal(dim_parse(NULL, "N", 1, &used), DIM_BAD);
}

WORLD(equal_sizes_are_equal_handles)
{
    DimTable *t = &w->t;
    Dim n = w->n, m = w->m;
    assert_int_equal(dim_add(t, n, m), dim_add(t, m, n));
    assert_int_equal(dim_mul(t, n, m), dim_mul(t, m, n));
    assert_int_equal(dim_sub(t, dim_add(t, n, m), n), m);
    assert_int_equal(dim_sub(t, n, n), 0);
    assert_int_equal(dim_add(t, n, n), dim_mul(t, 2, n));
    assert_int_equal(dim_mul(t, dim_add(t, n, 1), dim_add(t, m, 2)),
        dim_add(t, dim_add(t, dim_mul(t, n, m), dim_mul(t, n, 2)), dim_add(t, m, 2)));
    assert_int_equal(dim_add(t, dim_sub(t, n, 1), 1), n);
    assert_int_equal(dim_mul(t, n, 0), 0);
    assert_int_equal(dim_symbol(t, "N", 1, 256), n);
    return true;
}

WORLD(text_is_canonical)
{
    prints(w, "N", "N");
    prints(w, "N*4", "4*N");
    prints(w, "1+N+M", "M+N+1");
    prints(w, "N-1", "N-1");
    prints(w, "10-K", "-K+10");
    prints(w, "N*M+M*M+3", "M*M+M*N+3");
    prints(w, "2*(N+1)", "2*N+2");
    prints(w, "(N+1)/2", "(N+1)/2");
    prints(w, "N/2", "N/2");
    prints(w, "4*(N/2)", "4*(N/2)");
    prints(w, "N*(M/2)", "N*(M/2)");
    prints(w, "(3*N)/2", "N+N/2");
    prints(w, "(4*N+6)/8", "(N+1)/2");
    prints(w, "N/2/3", "N/6");
    prints(w, "(N/2+1)/3", "(N+2)/6");
    prints(w, "(N+5)/2", "(N+1)/2+2");
    prints(w, "(10-K)/2", "-K+K/2+5");
    prints(w, "max(N,0)", "N");
    prints(w, "max(M,N)", "max(M,N)");
    prints(w, "max(N,max(M,K))", "max(max(K,M),N)");
    prints(w, "max(N+1,N)", "N+1");
    prints(w, "(K+2)/20", "0");
    prints(w, "((((N))))", "N");
    return true;
}

WORLD(floor_division_agrees_with_numbers)
{
    static const char *const text[] = {
        "(3*N+5)/4", "(7*N-3*K+40)/6", "((N+1)/2+M)/3", "(N*K-K)/4", "max(N,K*3)/2", "(N-1)/2+1", "((N+3)/4+2)/5"};
    int64_t symbol[64] = {0};
    for (size_t i = 0; i < COUNT_OF(text); i++) {
        size_t used;
        Dim d = dim_parse(&w->t, text[i], strlen(text[i]), &used);
        assert_int_not_equal(d, DIM_BAD);
        for (int64_t n = 1; n <= 256; n += 5)
            for (int64_t k = 2; k <= 8; k++) {
                int64_t m = (n * k) % 101;
                symbol[-1 - w->n] = n, symbol[-1 - w->m] = m, symbol[-1 - w->k] = k;
                int64_t x = n * k - k;
                const int64_t expected[] = {(3 * n + 5) / 4, (7 * n - 3 * k + 40 + 600) / 6 - 100, ((n + 1) / 2 + m) / 3, x / 4,
                    MAX_OF(n, 3 * k) / 2, (n - 1) / 2 + 1, ((n + 3) / 4 + 2) / 5};
                int64_t v = dim_eval(&w->t, d, symbol);
                assert_int_equal(v, expected[i]);
                assert_true(v >= dim_lo(&w->t, d) && v <= dim_hi(&w->t, d));
            }
    }
    return true;
}

WORLD(bounds)
{
    DimTable *t = &w->t;
    Dim d = dim_sub(t, w->n, 1);
    assert_int_equal(dim_lo(t, d), 0);
    assert_int_equal(dim_hi(t, d), 255);
    assert_int_equal(dim_hi(t, dim_mul(t, w->n, w->k)), 2048);
    assert_int_equal(dim_sub(t, 1, dim_add(t, w->n, 1)), DIM_BAD); /* never a size */
    assert_int_equal(dim_lo(t, dim_sub(t, w->m, 1)), -1);
    Dim big = dim_symbol(t, "B", 1, (int64_t)1 << 40);
    assert_int_equal(dim_mul(t, big, big), DIM_BAD);
    assert_int_equal(dim_add(t, dim_mul(t, big, big), 1), DIM_BAD);
    return true;
}

WORLD(exact_division)
{
    DimTable *t = &w->t;
    Dim q, n1 = dim_add(t, w->n, 1), product = dim_mul(t, n1, dim_add(t, w->m, 3));
    assert_true(dim_divides(t, dim_mul(t, n1, 4), 4, &q) && q == n1);
    assert_true(dim_divides(t, dim_mul(t, n1, 4), n1, &q) && q == 4);
    assert_true(dim_divides(t, dim_mul(t, w->n, w->m), w->m, &q) && q == w->n);
    assert_true(dim_divides(t, product, n1, &q) && q == dim_add(t, w->m, 3));
    assert_true(dim_divides(t, w->n, w->n, &q) && q == 1);
    assert_false(dim_divides(t, n1, 2, &q));
    assert_false(dim_divides(t, product, w->n, &q));
    assert_false(dim_divides(t, 12, w->n, &q));
    return true;
}

WORLD(symbols_are_checked)
{
    DimTable *t = &w->t;
    assert_int_equal(dim_symbol(t, "N", 1, 255), DIM_BAD);
    assert_int_equal(dim_symbol(t, "bad name", 1, 2), DIM_BAD);
    assert_int_equal(dim_symbol(t, "", 1, 2), DIM_BAD);
    assert_int_equal(dim_symbol(t, "1x", 1, 2), DIM_BAD);
    assert_int_equal(dim_symbol(t, "P", -1, 2), DIM_BAD);
    assert_int_equal(dim_symbol(t, "P", 3, 2), DIM_BAD);
    assert_int_equal(dim_symbol(t, "P", 3, DIM_MAX + 1), DIM_BAD);
    assert_int_equal(dim_find(t, "N", 1), w->n);
    assert_int_equal(dim_find(t, "Q", 1), DIM_BAD);
    return true;
}

WORLD(mistakes_are_refused)
{
    static const char *const text[] = {"", "+", "N+", "(N", "N/0", "N/M", "N**2", "Q", "max(N)", "max(N,", "3-N-300", "-N",
        "99999999999999999999", "N*281474976710656", "-"};
    size_t used;
    for (size_t i = 0; i < COUNT_OF(text); i++) assert_int_equal(dim_parse(&w->t, text[i], strlen(text[i]), &used), DIM_BAD);
    char deep[500];
    memset(deep, '(', sizeof deep);
    assert_int_equal(dim_parse(&w->t, deep, sizeof deep, &used), DIM_BAD);
    return true;
}

/* Doubling a tree by sharing must end in an error, not in walks that never end. */
WORLD(growth_is_bounded)
{
    Dim d = w->n;
    int steps = 0;
    for (; d != DIM_BAD && steps < 100; steps++)
        d = dim_floordiv(&w->t, dim_add(&w->t, dim_mul(&w->t, d, 3), dim_floordiv(&w->t, dim_add(&w->t, d, 1), 3)), 2);
    assert_int_equal(d, DIM_BAD);
    assert_true(steps < 100);
    return true;
}

WORLD(printing_respects_the_room)
{
    char buf[4];
    Dim d = dim_add(&w->t, w->n, 100);
    assert_int_equal(dim_print(&w->t, d, buf, sizeof buf), 5);
    assert_string_equal(buf, "N+1");
    assert_int_equal(dim_print(&w->t, d, NULL, 0), 5);
    return true;
}

static bool some_arithmetic(World *w)
{
    for (int64_t i = 0; i < 200; i++)
        if (dim_floordiv(&w->t, dim_mul(&w->t, dim_add(&w->t, w->n, i), w->m), 3 + i) == DIM_BAD) return false;
    return true;
}

static bool once(void) { return with_world(some_arithmetic); }

WORLD(counted_sizes_lie_below_their_bounds)
{
    const Dim all = dim_mul(&w->t, w->n, 3), a = dim_counted(&w->t, "A", all), b = dim_counted(&w->t, "B", dim_add(&w->t, a, w->m));
    assert_int_equal(dim_counted(&w->t, "A", all), a);
    assert_int_equal(dim_counted(&w->t, "A", w->n), DIM_BAD);
    assert_int_equal(dim_counted(&w->t, "N", w->n), DIM_BAD);
    assert_int_equal(dim_counted(&w->t, "C", dim_made(&w->t, "T")), DIM_BAD);
    assert_true(dim_is_counted(&w->t, dim_add(&w->t, b, 1)) && !dim_is_counted(&w->t, all) && !dim_is_counted(&w->t, 7));
    assert_int_equal(dim_lo(&w->t, a), 0);
    assert_int_equal(dim_hi(&w->t, a), 768);
    assert_int_equal(dim_lo(&w->t, dim_sub(&w->t, all, a)), 0);
    assert_int_equal(dim_lo(&w->t, dim_sub(&w->t, dim_add(&w->t, all, w->m), b)), 0);
    assert_true(dim_lo(&w->t, dim_sub(&w->t, w->n, a)) < 0);
    assert_int_equal(dim_most(&w->t, a), all);
    assert_int_equal(dim_most(&w->t, b), dim_add(&w->t, all, w->m));
    assert_int_equal(dim_most(&w->t, dim_add(&w->t, dim_sub(&w->t, all, a), 5)), dim_add(&w->t, all, 5));
    assert_int_equal(dim_most(&w->t, dim_floordiv(&w->t, dim_add(&w->t, a, 1), 2)), dim_floordiv(&w->t, dim_add(&w->t, all, 1), 2));
    assert_int_equal(dim_most(&w->t, dim_mul(&w->t, a, w->k)), dim_mul(&w->t, all, w->k));
    assert_int_equal(dim_most(&w->t, w->n), w->n);
    return true;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    assert_true(fail_each(once, false) > 3);
}

/* Each text with other symbols, with fewer, and with numbers. */
WORLD(replaced_in_another_table)
{
    static const char *text[] = {
        "N", "N+1", "2*N-1", "N*M-4*N-4*M+16", "(N+1)/2", "((N-1)/2+3)*M*K", "max(N-4,0)*K-K", "max(M,N-K)/3+7", "N*N*K-N"};
    bool ok = true;
    for (size_t i = 0; i < COUNT_OF(text); i++) {
        char a[200], b[200];
        size_t used;
        const Dim d = dim_parse(&w->t, text[i], strlen(text[i]), &used);
        DimTable to;
        dim_table_init(&to, &w->arena);
        const int64_t value[3] = {9, 11, 3};
        const Dim other[3] = {dim_symbol(&to, "N", 1, 256), dim_symbol(&to, "M", 0, 100), dim_symbol(&to, "K", 2, 8)};
        Dim *size = ARENA_ARRAY(&w->arena, Dim, w->t.expr.len);
        int64_t *now = ARENA_ARRAY(&w->arena, int64_t, w->t.expr.len);
        for (int k = 0; k < 3; k++) {
            const Dim symbol = k == 0 ? w->n : k == 1 ? w->m : w->k;
            size[-1 - symbol] = other[k];
            now[-1 - symbol] = value[k];
        }
        const Dim same = dim_replace(&to, &w->t, d, size);
        dim_print(&w->t, d, a, sizeof a);
        dim_print(&to, same, b, sizeof b);
        ok = ok && used == strlen(text[i]) && strcmp(a, b) == 0 && dim_lo(&to, same) == dim_lo(&w->t, d) &&
             dim_hi(&to, same) == dim_hi(&w->t, d);
        for (int k = 0; k < 3; k++) size[-1 - (k == 0 ? w->n : k == 1 ? w->m : w->k)] = value[k];
        ok = ok && dim_replace(&to, &w->t, d, size) == dim_eval(&w->t, d, now);
        size[-1 - w->m] = size[-1 - w->n] = other[0];
        const Dim fewer = dim_replace(&to, &w->t, d, size);
        int64_t *there = ARENA_ARRAY(&w->arena, int64_t, to.expr.len + 1);
        there[-1 - other[0]] = now[-1 - w->m] = value[0];
        if (!ok || dim_eval(&to, fewer, there) != dim_eval(&w->t, d, now)) fail_msg("%s: %s, %s", text[i], a, b);
    }
    /* what is certainly below zero is no size */
    Dim *size = ARENA_ARRAY(&w->arena, Dim, w->t.expr.len);
    size[-1 - w->n] = 2;
    return ok && dim_replace(&w->t, &w->t, dim_sub(&w->t, w->n, 4), size) == DIM_BAD && dim_replace(&w->t, &w->t, 7, size) == 7;
}

/* Whatever the hashes are: with none kept, the first key is 0, whose entry lies apart in a map. */
WORLD(copies_find_the_same_handles)
{
    DimTable copy;
    const uint64_t kept = hash_kept;
    hash_kept = 0;
    dim_table_init(&w->t, &w->arena);
    Dim n = dim_symbol(&w->t, "N", 1, 256), d[20];
    for (int i = 0; i < 10; i++) d[i] = dim_add(&w->t, n, i + 1);
    dim_table_copy(&copy, &w->t, &w->arena);
    bool same = dim_find(&copy, "N", 1) == n;
    for (int i = 0; i < 10; i++) same = same && dim_add(&copy, n, i + 1) == d[i];
    for (int i = 10; i < 20; i++) d[i] = dim_add(&copy, n, i + 1); /* it grows */
    for (int i = 0; i < 20; i++) same = same && dim_add(&copy, n, i + 1) == d[i];
    same = same && dim_find(&copy, "N", 1) == n;
    hash_kept = kept;
    return same;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(constants_need_no_table),
        TEST(equal_sizes_are_equal_handles),
        TEST(text_is_canonical),
        TEST(floor_division_agrees_with_numbers),
        TEST(bounds),
        TEST(exact_division),
        TEST(symbols_are_checked),
        TEST(mistakes_are_refused),
        TEST(growth_is_bounded),
        TEST(printing_respects_the_room),
        TEST(counted_sizes_lie_below_their_bounds),
        TEST(every_allocation_may_fail),
        TEST(replaced_in_another_table),
        TEST(copies_find_the_same_handles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
