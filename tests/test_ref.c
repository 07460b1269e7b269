/* The reference interpreter's judgement: what it calls exact, what it allows and what it leaves undecided. Its values: test_random.c. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdio.h>

#include <cmocka.h>

#include "codegen/ref.h"
#include "ir/text.h"

static Arena arena;
static Status st;

static int begin(void **state)
{
    (void)state;
    arena_init(&arena);
    st = (Status){0};
    return 0;
}

static int end(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

/* Value number v of the graph, given its text. */
static RefTensor run_with(const char *dims, const char *params, const char *lines, int v, const void *const *in)
{
    char text[1000];
    int n = snprintf(text, sizeof text, "module {%s}\n\ngraph @main(%s) -> (%%%d) {\n%s\n}\n", dims, params, v, lines);
    RefTensor *all = NULL;
    Module *m = module_parse(&arena, text, (size_t)n, &st);
    if (m == NULL || !ref_run(&arena, m->graph.at[0], NULL, in, &all, &st)) fail_msg("%s", st.text);
    return all[m->graph.at[0]->result.at[0]];
}

static RefTensor run(const char *params, const char *lines, int v, const void *const *in) { return run_with("", params, lines, v, in); }

static bool accepts(const RefTensor *t, const void *bytes)
{
    RefVerdict v;
    return ref_compare(t, bytes, &v);
}

static void ieee_leaves_no_choice(void **state)
{
    (void)state;
    const float x[2] = {1.1f, -3.7f}, y[2] = {0.3f, 7.9f};
    const void *in[] = {x, y};
    static const char *const ops[] = {"add", "sub", "mul", "div", "max", "mod", "floor_div"};
    for (size_t i = 0; i < COUNT_OF(ops); i++) {
        char line[100];
        snprintf(line, sizeof line, "%%3 = %s(%%1, %%2) : f32[2]", ops[i]);
        RefTensor t = run("%1: f32[2], %2: f32[2]", line, 3, in);
        assert_true(t.bound[0] == 0 && t.bound[1] == 0);
        float right[2] = {(float)t.f[0], (float)t.f[1]}, wrong[2] = {right[0], nextafterf(right[1], 100)};
        assert_true(accepts(&t, right));
        assert_false(accepts(&t, wrong));
    }
}

static void functions_may_err_a_little(void **state)
{
    (void)state;
    const float x[1] = {1.3f};
    RefTensor t = run("%1: f32[1]", "%2 = exp(%1) : f32[1]", 2, (const void *[]){x});
    float v = (float)t.f[0], near = nextafterf(nextafterf(v, 9), 9), far = v;
    for (int i = 0; i < 5; i++) far = nextafterf(far, 9);
    assert_true(accepts(&t, &v) && accepts(&t, &near));
    assert_false(accepts(&t, &far));
    const float nan = NAN;
    assert_false(accepts(&t, &nan));
    const double edge[1] = {362.5}, slope[1] = {5.4772253746575367e-315}; /* 1 / cosh^2, where cosh 2x is beyond the largest number */
    t = run("%1: f64[1]", "%2 = tanh_slope(%1) : f64[1]", 2, (const void *[]){edge});
    assert_true(accepts(&t, slope));
}

/* exp(log(x)) is x but for rounding: nobody can say on which side of x it falls, or of a whole number. */
static void ties_are_undecided(void **state)
{
    (void)state;
    const float x[2] = {3, 2.5f};
    const void *in[] = {x};
    static const char *const lines[] = {"%4 = lt(%3, %1) : bool[2]", "%4 = floor(%3) : f32[2]", "%4 = cast(%3) {i32} : i32[2]"};
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        char text[200];
        snprintf(text, sizeof text, "%%2 = log(%%1) : f32[2]\n%%3 = exp(%%2) : f32[2]\n%s", lines[i]);
        RefTensor t = run("%1: f32[2]", text, 4, in);
        assert_int_equal(t.undecided[0], 1);
        assert_int_equal(t.undecided[1], i == 0);
    }
    RefTensor t = run("%1: f32[2]", "%2 = log(%1) : f32[2]\n%3 = exp(%2) : f32[2]\n%4 = concat(%1, %3) {0} : f32[4]\n"
                      "%5 = argmax(%4) {0} : i64[]", 5, in);
    assert_int_equal(t.undecided[0], 1);
    /* An undecided integer makes what it is multiplied with undecided, and nothing else. */
    t = run("%1: f32[2]", "%2 = log(%1) : f32[2]\n%3 = exp(%2) : f32[2]\n%4 = cast(%3) {i64} : i64[2]\n%5 = reshape(%4) {[2, 1]} : i64[2,1]\n"
                      "%6 = constant() {i64, 5, [1, 2]} : i64[1,2]\n%7 = matmul(%5, %6) : i64[2,2]", 7, in);
    assert_true(t.undecided[0] && t.undecided[1] && !t.undecided[2] && !t.undecided[3] && t.i[2] == 10);
    t = run("%1: f32[2]", "%2 = log(%1) : f32[2]\n%3 = exp(%2) : f32[2]\n%4 = concat(%1, %3) {0} : f32[4]\n%5 = argmax(%4) {0} : i64[]", 5, in);
    const int64_t any = 77;
    RefVerdict v;
    assert_true(ref_compare(&t, &any, &v)); /* nobody can say that it is wrong */
    assert_true(v.undecided == 1 && v.compared == 0 && v.doubt == DOUBT_STEP);
}

/* A weight is exp(score - sums): of scores so large that their last place is beyond what exp can tell, nobody knows it, not even that zero
 * times it is zero. */
static void vast_scores_leave_weights_open(void **state)
{
    (void)state;
    const float large = 4e9f, mask = 0, sums[2] = {1.6e19f - 0x1p40f, 3}, g = 0, small = 1;
    for (int i = 0; i < 2; i++) {
        const float *q = i == 0 ? &large : &small;
        const void *in[] = {q, q, &g, &mask, &g, &sums[i], &g};
        RefTensor t = run("%1: f32[1,1,1], %2: f32[1,1,1], %3: f32[1,1,1], %4: f32[1,1,1], %5: f32[1,1,1], %6: f32[1,1], %7: f32[1,1]",
            "%8 = attention_keys(%1, %2, %3, %4, %5, %6, %7) {1.0, 0, 0, 1, 0, 0} : f32[1,1,2]", 8, in);
        assert_true(i == 0 ? t.undecided[0] && t.undecided[1] : !t.undecided[0] && !t.undecided[1] && t.f[1] == 0);
    }
}

/* Whoever counts another number of elements has other results of what has that size, whatever they are made of. */
static void sizes_may_be_undecided(void **state)
{
    (void)state;
    const float x[3] = {3, 2.5f, 1}, above[3] = {3, 2, 0.5f}, sure[3] = {3.5f, 2, 0.5f};
    static const char *const lines = "%3 = log(%1) : f32[3]\n%4 = exp(%3) : f32[3]\n%5 = gt(%4, %2) : bool[3]\n%6 = cast(%5) {i64} : i64[3]\n"
                                     "%7 = sum(%6) {[0]} : i64[]\n%8 = set_size(%7) {M} : i64[]\n%9 = constant() {f32, 2.0, [M]} : f32[M]\n"
                                     "%10 = sum(%9) {[0]} : f32[]\n%11 = neg(%10) : f32[]\n%12 = dim_size() {M} : i64[]";
    for (int i = 0; i < 2; i++) {
        const void *in[] = {x, i == 0 ? above : sure};
        RefTensor sum = run_with("\n  dims M in node 3\n", "%1: f32[3], %2: f32[3]", lines, 11, in);
        RefTensor size = run_with("\n  dims M in node 3\n", "%1: f32[3], %2: f32[3]", lines, 12, in);
        assert_int_equal(sum.undecided[0] != 0, i == 0);
        assert_int_equal(size.undecided[0] != 0, i == 0);
        if (i == 1) assert_true(sum.f[0] == -4 && size.i[0] == 2);
    }
}

static void sums_in_any_order(void **state)
{
    (void)state;
    float x[1000], up = 0, down = 0;
    for (int i = 0; i < 1000; i++) x[i] = (float)((i * 7919) % 1000) / 3 - 100;
    for (int i = 0; i < 1000; i++) up += x[i], down += x[999 - i];
    RefTensor t = run("%1: f32[1000]", "%2 = sum(%1) {[0]} : f32[]", 2, (const void *[]){x});
    assert_true(accepts(&t, &up) && accepts(&t, &down));
    up += 10;
    assert_false(accepts(&t, &up));
}

static void overflow_is_seen(void **state)
{
    (void)state;
    /* In another order the sum passes through infinity. */
    const float x[3] = {FLT_MAX, FLT_MAX, -FLT_MAX};
    RefTensor t = run("%1: f32[3]", "%2 = sum(%1) {[0]} : f32[]", 2, (const void *[]){x});
    assert_int_equal(t.undecided[0], DOUBT_OVERFLOW);
    const float y[1] = {200};
    t = run("%1: f32[1]", "%2 = exp(%1) : f32[1]", 2, (const void *[]){y});
    const float inf = INFINITY, big = FLT_MAX;
    assert_true(accepts(&t, &inf));
    assert_false(accepts(&t, &big));
}

/* Whole numbers, and whatever is a small multiple of one power of two, add up without rounding; infinities do too. */
static void some_sums_are_exact(void **state)
{
    (void)state;
    const float x[4] = {3, 5, -2, 4096.25f}, inf[4] = {1, INFINITY, 2, 0.1f}, big[4] = {16777216, 1, 1, 1};
    RefTensor t = run("%1: f32[4]", "%2 = sum(%1) {[0]} : f32[]", 2, (const void *[]){x});
    assert_true(t.f[0] == 4102.25 && t.bound[0] == 0 && !t.undecided[0]);
    t = run("%1: f32[4]", "%2 = sum(%1) {[0]} : f32[]\n%3 = cast(%2) {i64} : i64[]", 3, (const void *[]){x});
    assert_true(t.i[0] == 4102 && !t.undecided[0]);
    t = run("%1: f32[4]", "%2 = sum(%1) {[0]} : f32[]", 2, (const void *[]){inf});
    assert_true(t.f[0] == INFINITY && !t.undecided[0]);
    t = run("%1: f32[4]", "%2 = sum(%1) {[0]} : f32[]", 2, (const void *[]){big});
    assert_true(t.bound[0] > 0);
    t = run("%1: f32[1,4], %2: f32[4,1]", "%3 = matmul(%1, %2) : f32[1,1]", 3, (const void *[]){x, x});
    assert_true(t.bound[0] > 0); /* 4096.25 squared has too many digits */
    const float few[4] = {3, 5, -2, 0.5f};
    t = run("%1: f32[1,4], %2: f32[4,1]", "%3 = matmul(%1, %2) : f32[1,1]", 3, (const void *[]){few, few});
    assert_true(t.f[0] == 38.25 && t.bound[0] == 0);
}

/* An infinity in one column of filters has every product looked at by itself; the other results, and their bounds, are the same. */
static void sums_side_by_side_are_those_by_themselves(void **state)
{
    (void)state;
    enum { C = 5, OUT = 6 };
    float x[4 * 4 * C], w[3 * 3 * C * OUT];
    for (int i = 0; i < 4 * 4 * C; i++) x[i] = (float)(i * 37 % 11 - 5) / (float)(1 + i % 3);
    for (int i = 0; i < 3 * 3 * C * OUT; i++) w[i] = i % OUT == 1 ? (float)(i % 5) : (float)(i * 53 % 17 - 8) / (float)(1 + i % 7);
    static const char line[] = "%3 = conv(%1, %2) {1, 2, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, [2, 4]} : f32[1,2,4,6]";
    for (int conv = 0; conv < 2; conv++) {
        RefTensor t[2];
        for (int i = 0; i < 2; i++) {
            w[OUT - 1] = i ? INFINITY : 1;
            t[i] = conv ? run("%1: f32[1,4,4,5], %2: f32[3,3,5,6]", line, 3, (const void *[]){x, w})
                        : run("%1: f32[5,9], %2: f32[9,6]", "%3 = matmul(%1, %2) : f32[5,6]", 3, (const void *[]){x, w});
        }
        for (int64_t i = 0; i < t[0].count; i++) {
            if (i % OUT == OUT - 1) continue;
            assert_true(t[0].f[i] == t[1].f[i] && t[0].bound[i] == t[1].bound[i] && !t[0].undecided[i] && !t[1].undecided[i]);
            assert_true(i % OUT == 1 || t[0].bound[i] > 0);
        }
    }
}

static void special_values_are_exact(void **state)
{
    (void)state;
    const float x[5] = {-INFINITY, 0, INFINITY, 1, -0.0f};
    const void *in[] = {x};
    RefTensor t = run("%1: f32[5]", "%2 = exp(%1) : f32[5]\n%3 = log(%2) : f32[5]", 3, in);
    for (int i = 0; i < 5; i++) assert_true(!t.undecided[i] && (i == 3 || t.bound[i] == 0));
    assert_true(t.f[0] == -INFINITY && t.f[1] == 0 && t.f[2] == INFINITY);
}

/* atan2's slope at infinity is 0, and the formula gives it a sign that means nothing, nor what takes it. */
static void signs_of_some_zeros_are_open(void **state)
{
    (void)state;
    const double x[1] = {-INFINITY}, least = -INFINITY, most = INFINITY, zero = -0.0;
    RefTensor t = run("%1: f64[1]", "%2 = atan2_slope(%1, %1) : f64[1]", 2, (const void *[]){x});
    assert_true(accepts(&t, &zero));
    t = run("%1: f64[1]", "%2 = atan2_slope(%1, %1) : f64[1]\n%3 = copysign(%1, %2) : f64[1]", 3, (const void *[]){x});
    assert_true(accepts(&t, &least) && accepts(&t, &most));
}

static void integers_are_exact(void **state)
{
    (void)state;
    const int32_t x[4] = {INT32_MIN, -7, 7, 5}, y[4] = {-1, 2, -2, 0};
    const int32_t quotient[4] = {INT32_MIN, -4, -4, 0}, rest[4] = {0, 1, -1, 0};
    const void *in[] = {x, y};
    RefTensor q = run("%1: i32[4], %2: i32[4]", "%3 = floor_div(%1, %2) : i32[4]", 3, in);
    RefTensor r = run("%1: i32[4], %2: i32[4]", "%3 = mod(%1, %2) : i32[4]", 3, in);
    assert_true(accepts(&q, quotient) && accepts(&r, rest));
    int32_t off[4] = {INT32_MIN, -4, -3, 0};
    assert_false(accepts(&q, off));
}

/* Random123 1.09, kat_vectors: philox4x32 10, counter and key all zeros, and all ones. */
static void philox_is_the_published_one(void **state)
{
    (void)state;
    const uint64_t zeros[2] = {0, 0};
    const uint32_t want[4] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
    RefTensor t = run("%1: u64[2]", "%2 = random_bits(%1) {[4]} : u32[4]", 2, (const void *[]){zeros});
    assert_true(accepts(&t, want));
}

int main(void)
{
#define REF_TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        REF_TEST(ieee_leaves_no_choice), REF_TEST(functions_may_err_a_little), REF_TEST(ties_are_undecided), REF_TEST(signs_of_some_zeros_are_open), REF_TEST(vast_scores_leave_weights_open), REF_TEST(sizes_may_be_undecided), REF_TEST(sums_in_any_order),
        REF_TEST(overflow_is_seen),      REF_TEST(integers_are_exact),         REF_TEST(philox_is_the_published_one),
        REF_TEST(some_sums_are_exact),   REF_TEST(special_values_are_exact),
        REF_TEST(sums_side_by_side_are_those_by_themselves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
