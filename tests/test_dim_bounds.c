/* Bounds and identity of sizes against brute force: random expressions are built as handles and, beside
 * them, as their values at every point of the symbols' ranges. */
#include "failing.h"
#include "ir/dim.h"

#include <stdio.h>

#define SYMBOLS 3
#define POINTS (4 * 5 * 3)
#define DEEPEST 5

static const struct { const char *name; int64_t lo, hi; } symbols[SYMBOLS] = {{"N", 1, 4}, {"M", 0, 4}, {"K", 3, 5}};

typedef struct Pair { /* an expression both ways */
    Dim d;
    int64_t v[POINTS];
} Pair;

typedef struct World {
    Arena arena;
    DimTable t, fresh;
    Dim symbol[SYMBOLS];
    uint64_t seed;
    uint32_t checked, refused, exact;
} World;

static uint32_t draw(World *w, uint32_t n)
{
    w->seed = w->seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(w->seed >> 33) % n;
}

static void point(int p, int64_t *at)
{
    at[0] = symbols[0].lo + p % 4;
    at[1] = symbols[1].lo + p / 4 % 5;
    at[2] = symbols[2].lo + p / 20;
}

static int64_t floored(int64_t a, int64_t by) { return a / by - (a % by < 0); }

static Pair number(int64_t v)
{
    Pair x = {.d = v};
    for (int p = 0; p < POINTS; p++) x.v[p] = v;
    return x;
}

typedef enum Step { ADD, SUB, MUL, DIV, MAX, STEPS } Step;

static Pair join(World *w, Step s, const Pair *a, const Pair *b, int64_t by)
{
    Pair x;
    switch (s) {
    case ADD: x.d = dim_add(&w->t, a->d, b->d); break;
    case SUB: x.d = dim_sub(&w->t, a->d, b->d); break;
    case MUL: x.d = dim_mul(&w->t, a->d, b->d); break;
    case DIV: x.d = dim_floordiv(&w->t, a->d, by); break;
    default: x.d = dim_max(&w->t, a->d, b->d);
    }
    for (int p = 0; p < POINTS; p++) {
        int64_t u = a->v[p], v = b->v[p];
        x.v[p] = s == ADD ? u + v : s == SUB ? u - v : s == MUL ? u * v : s == DIV ? floored(u, by) : MAX_OF(u, v);
    }
    return x;
}

static Pair leaf(World *w)
{
    uint32_t i = draw(w, SYMBOLS + 1);
    if (i == SYMBOLS) return number(draw(w, 6));
    Pair x = {.d = w->symbol[i]};
    for (int p = 0; p < POINTS; p++) {
        int64_t at[SYMBOLS];
        point(p, at);
        x.v[p] = at[i];
    }
    return x;
}

static Pair random_pair(World *w, int depth)
{
    if (depth == 0 || draw(w, 5) == 0) return leaf(w);
    Pair a = random_pair(w, depth - 1), b = random_pair(w, depth - 1);
    return join(w, (Step)draw(w, STEPS), &a, &b, 1 + draw(w, 5));
}

static void span(const Pair *x, int64_t *lo, int64_t *hi)
{
    *lo = *hi = x->v[0];
    for (int p = 1; p < POINTS; p++) *lo = MIN_OF(*lo, x->v[p]), *hi = MAX_OF(*hi, x->v[p]);
}

/* The text read back in the same table is the same handle, and in a new one has the same bounds. */
static void text_keeps(World *w, Dim d)
{
    char text[2000];
    size_t used, len = dim_print(&w->t, d, text, sizeof text);
    if (len >= sizeof text) return;
    Dim same = dim_parse(&w->t, text, len, &used), there = dim_parse(&w->fresh, text, len, &used);
    if (dim_lo(&w->t, d) < 0 && same == DIM_BAD) return; /* on the way a sum may certainly be below zero */
    assert_int_equal(same, d);
    assert_int_equal(dim_lo(&w->fresh, there), dim_lo(&w->t, d));
    assert_int_equal(dim_hi(&w->fresh, there), dim_hi(&w->t, d));
}

static void check(World *w, const Pair *x)
{
    int64_t lo, hi, symbol[5000] = {0};
    char why[64];
    if (x->d == DIM_BAD) {
        w->refused++;
        assert_non_null(dim_trouble(&w->t, why, sizeof why));
        return;
    }
    assert_in_range(w->t.expr.len, 0, COUNT_OF(symbol));
    span(x, &lo, &hi);
    assert_true(dim_lo(&w->t, x->d) <= lo && dim_hi(&w->t, x->d) >= hi);
    w->checked++;
    w->exact += dim_lo(&w->t, x->d) == lo && dim_hi(&w->t, x->d) == hi;
    for (int p = 0; p < POINTS; p++) {
        int64_t at[SYMBOLS];
        point(p, at);
        for (int i = 0; i < SYMBOLS; i++) symbol[-1 - w->symbol[i]] = at[i];
        assert_int_equal(dim_eval(&w->t, x->d, symbol), x->v[p]);
    }
    text_keeps(w, x->d);
}

/* What is equal by the laws of arithmetic is one handle, unless a limit was met on the way. */
static void laws(World *w, const Pair *a, const Pair *b, const Pair *c)
{
    DimTable *t = &w->t;
    Dim left = dim_mul(t, dim_add(t, a->d, b->d), c->d), right = dim_add(t, dim_mul(t, a->d, c->d), dim_mul(t, b->d, c->d));
    if (left != DIM_BAD && right != DIM_BAD) assert_int_equal(left, right);
    left = dim_max(t, a->d, dim_max(t, b->d, c->d)), right = dim_max(t, dim_max(t, c->d, a->d), b->d);
    if (left != DIM_BAD && right != DIM_BAD) {
        Pair bc = join(w, MAX, b, c, 1), all = join(w, MAX, a, &bc, 1);
        check(w, &all);
    }
    left = dim_sub(t, dim_add(t, a->d, b->d), b->d);
    if (left != DIM_BAD) assert_int_equal(left, a->d);
}

static void with_table(void *arg)
{
    World *w = arg;
    dim_table_init(&w->t, &w->arena);
    dim_table_init(&w->fresh, &w->arena);
    for (int i = 0; i < SYMBOLS; i++) {
        w->symbol[i] = dim_symbol(&w->t, symbols[i].name, symbols[i].lo, symbols[i].hi);
        dim_symbol(&w->fresh, symbols[i].name, symbols[i].lo, symbols[i].hi);
    }
    for (int round = 0; round < 12; round++) {
        Pair a = random_pair(w, DEEPEST), b = random_pair(w, 2), c = random_pair(w, 2);
        check(w, &a);
        if (b.d != DIM_BAD && c.d != DIM_BAD && a.d != DIM_BAD) laws(w, &a, &b, &c);
    }
}

static void random_expressions_keep_their_bounds(void **state)
{
    (void)state;
    uint32_t checked = 0, refused = 0, exact = 0, rounds = getenv("KILN_TEST_FULL") != NULL ? 20000 : 500;
    for (uint64_t seed = 0; seed < rounds; seed++) {
        World w = {.seed = seed * 0x9e3779b97f4a7c15u + 1};
        Status st = {0};
        arena_init(&w.arena);
        assert_true(arena_try(&w.arena, &st, with_table, &w));
        arena_free(&w.arena);
        checked += w.checked, refused += w.refused, exact += w.exact;
    }
    printf("# %u expressions, bounds of %u exact; %u refused\n", checked, exact, refused);
    assert_true(exact > checked * 3 / 4 && refused < checked);
}

/* ---- sizes as networks make them ------------------------------------------------------------- */

typedef struct Net {
    Arena arena;
    DimTable t;
    Dim n, h, w;
    void (*body)(struct Net *);
} Net;

static void in_net(void *arg)
{
    Net *x = arg;
    dim_table_init(&x->t, &x->arena);
    x->n = dim_symbol(&x->t, "n", 1, 64);
    x->h = dim_symbol(&x->t, "h", 9, 512);
    x->w = dim_symbol(&x->t, "w", 9, 512);
    x->body(x);
}

static void run(void (*body)(Net *))
{
    Net x = {.body = body};
    Status st = {0};
    arena_init(&x.arena);
    assert_true(arena_try(&x.arena, &st, in_net, &x));
    arena_free(&x.arena);
}

static Dim parsed(Net *x, const char *text)
{
    size_t used;
    Dim d = dim_parse(&x->t, text, strlen(text), &used);
    assert_int_equal(used, strlen(text));
    return d;
}

static void bounded(Net *x, const char *text, int64_t lo, int64_t hi)
{
    Dim d = parsed(x, text);
    assert_int_not_equal(d, DIM_BAD);
    assert_int_equal(dim_lo(&x->t, d), lo);
    assert_int_equal(dim_hi(&x->t, d), hi);
}

static void products(Net *x)
{
    bounded(x, "(h-2)*(w-2)", 49, 510 * 510);
    bounded(x, "h*w-2*h-2*w+4", 49, 510 * 510);
    assert_int_equal(parsed(x, "(h-2)*(w-2)"), parsed(x, "h*w-2*h-2*w+4"));
    bounded(x, "n*(h-4)*(w-4)", 25, (int64_t)64 * 508 * 508);
    bounded(x, "n*(h-9)*(h-9)", 0, (int64_t)64 * 503 * 503);
    bounded(x, "(512-h)*(w-9)", 0, 503 * 503);
    bounded(x, "n*(h-2)*(h-2)*(h-2)*(w-1)", 7 * 7 * 7 * 8, (int64_t)64 * 510 * 510 * 510 * 511);
}

static void same_padding(Net *x)
{
    bounded(x, "2*((h+1)/2)-h", 0, 1);
    bounded(x, "max(h,2*((h+1)/2)+5)-h", 5, 6);
    bounded(x, "(h+3)/4-2*((h+7)/8)+1", 0, 1);
    bounded(x, "(h+15)/16-2*((h+31)/32)+1", 0, 1);
    bounded(x, "(2*((h+1)/2)-h)*(2*((w+1)/2)-w)", 0, 1);
    bounded(x, "max(h,w)-h", 0, 503);
    bounded(x, "h+w-max(h,w)", 9, 512);
    assert_int_equal(parsed(x, "max(h,2*((h+1)/2)-1)"), x->h); /* what a 1x1 window in steps of 2 reaches */
}

static void networks(void **state)
{
    (void)state;
    run(products);
    run(same_padding);
}

/* ---- limits, each named ---------------------------------------------------------------------- */

static void refuses(Net *x, Dim d, const char *why)
{
    char text[64];
    assert_int_equal(d, DIM_BAD);
    assert_string_equal(dim_trouble(&x->t, text, sizeof text), why);
}

static Dim power(Net *x, Dim d, int n)
{
    Dim p = 1;
    while (n-- > 0) p = dim_mul(&x->t, p, d);
    return p;
}

static void limits(Net *x)
{
    DimTable *t = &x->t;
    Dim sum = 0, deep = x->h, bit = dim_symbol(t, "b", 0, 1);
    refuses(x, dim_mul(t, power(x, x->h, 5), x->h), "is beyond 2^48");
    refuses(x, dim_add(t, DIM_MAX, x->h), "is beyond 2^48");
    refuses(x, dim_mul(t, DIM_MAX, 2), "is beyond 2^48");
    refuses(x, dim_sub(t, 3, x->h), "is below zero");
    refuses(x, dim_mul(t, power(x, bit, DIM_FACTORS), bit), "is a product of more than 16 factors");
    for (int i = 0; i <= DIM_TERMS; i++) {
        char name[8];
        snprintf(name, sizeof name, "x%d", i);
        sum = dim_add(t, sum, dim_symbol(t, name, 0, 4));
    }
    refuses(x, sum, "is a sum of more than 32 terms");
    for (int i = 0; i < 40 && deep != DIM_BAD; i++)
        deep = dim_floordiv(t, dim_add(t, deep, dim_floordiv(t, dim_add(t, dim_mul(t, deep, 2), 1), 3)), 2);
    refuses(x, deep, "is an expression of more than 1000 parts");
}

static void each_limit_has_its_name(void **state)
{
    (void)state;
    run(limits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(random_expressions_keep_their_bounds),
        TEST(networks),
        TEST(each_limit_has_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
