/* test_check: the verdicts of kiln_check. Exact integers, infinities, long loops and comparisons of what was computed are decided; an element
 * that honest code may compute either way is "cannot tell", which is no disagreement. */
#include "frontend/check/check.h"

#include "front.h"

#include <math.h>
#include <stdlib.h>

KILN_FUNCTION(count, k, m) { return kiln_cast(kiln_sum(kiln_cast(m, KILN_F32), KILN_ALL), KILN_I64); }
KILN_FUNCTION(far, k, x) { return kiln_log(kiln_exp(x)); }
KILN_FUNCTION(unit, k, x)
{
    kiln_variable *a = kiln_local(k, x);
    KILN_FOR(k, i, 40) kiln_assign(a, kiln_div(a, kiln_norm(a)));
    return kiln_value(a);
}
KILN_FUNCTION(long_loop, k, x)
{
    kiln_variable *a = kiln_local(k, x);
    KILN_WHILE(k, kiln_less(kiln_reduce_max(a, KILN_ALL), 100.0)) kiln_assign(a, kiln_mul(a, 1.01));
    return kiln_floor(kiln_value(a));
}
KILN_FUNCTION(ties, k, x)
{
    kiln_tensor *y = kiln_exp(kiln_log(x)); /* x but for rounding */
    return kiln_add(kiln_where(kiln_less(y, x), y, x), kiln_cast(kiln_argmax(kiln_concat((kiln_tensor *[]){x, y}, 2, 0), 0), KILN_F32));
}
KILN_FUNCTION(total, k, x) { return kiln_sum(x, KILN_ALL); }
KILN_FUNCTION(looped_total, k, x)
{
    kiln_variable *a = kiln_local(k, kiln_scalar(k, KILN_F32, 0));
    KILN_FOR(k, i, 3) kiln_assign(a, kiln_sum(x, KILN_ALL));
    return kiln_value(a);
}

/* The verdict and its report. */
static kiln_verdict judged(kiln *k, kiln_function *f, kiln_tensor *x, char *report, size_t cap)
{
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    kiln_verdict v = kiln_check(to, f, &x, 1);
    fclose(to);
    snprintf(report, cap, "%s", text);
    free(text);
    assert_ok(k);
    return v;
}

static void what_can_be_decided_is(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    char report[1000];
    kiln_tensor *m = kiln_bool(k, KILN_SHAPE(4), 1, 0, 1, 1), *x = kiln_f32(k, KILN_SHAPE(3), -INFINITY, INFINITY, 2), *t = kiln_f32(k, KILN_SHAPE(2), 3, 4);
    const struct {
        kiln_function *f;
        kiln_tensor *x;
    } c[] = {{KILN_FN(k, count), m}, {KILN_FN(k, far), x}, {KILN_FN(k, unit), t}, {KILN_FN(k, long_loop), t}, {KILN_FN(k, ties), t}, {KILN_FN(k, total), x}};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++)
        if (judged(k, c[i].f, c[i].x, report, sizeof report) != KILN_AGREE || !strstr(report, "equal bit for bit, both within the reference's bounds"))
            fail_msg("case %zu: %s", i, report);
}

static void what_cannot_be_decided_is_no_disagreement(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    char report[1000];
    kiln_tensor *x = kiln_f32(k, KILN_SHAPE(4), 3e38f, 3e38f, -3e38f, -3e38f);
    assert_int_equal(judged(k, KILN_FN(k, total), x, report, sizeof report), KILN_CANNOT_TELL);
    assert_non_null(strstr(report, "total: cannot tell: the reference leaves 1 of 1 elements undecided, first of %2 = sum : f32[]"));
    assert_non_null(strstr(report, "it may overflow or not, by the order in which it is computed"));
    assert_int_equal(judged(k, KILN_FN(k, looped_total), x, report, sizeof report), KILN_CANNOT_TELL);
    assert_non_null(strstr(report, "undecided, first of"));
    assert_non_null(strstr(report, "leaves 3 of"));
}

static int calls;
static void from_host(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_add(in[0], calls++);
}

static void disagreements_and_errors_are_zero(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    char report[1000];
    kiln_function *f = kiln_function_new(k, from_host, NULL, &(kiln_function_options){.inputs_count = 1});
    assert_int_equal(judged(k, f, kiln_f32(k, KILN_SHAPE(1), 1), report, sizeof report), KILN_DISAGREE);
    assert_int_equal(KILN_DISAGREE, 0);
    assert_int_equal(kiln_check(NULL, f, NULL, 1), KILN_DISAGREE);
    assert_error(k, KILN_ESTATE, "check: argument 0 is NULL");
}

typedef struct Told {
    uint32_t calls, all, last;
} Told;

static void told(void *user, uint32_t done, uint32_t all)
{
    Told *t = user;
    assert_true(done < all && (!t->calls || done > t->last));
    *t = (Told){t->calls + 1, all, done};
}

KILN_FUNCTION(chain, k, x)
{
    kiln_tensor *y = x;
    for (int i = 0; i < 10; i++) y = kiln_sqrt(kiln_add(y, 1.5));
    return kiln_add(kiln_sum(y, KILN_ALL), y);
}

/* Either half alone, with news of how far it is. */
static void a_half_can_be_asked_for(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_f32(k, KILN_SHAPE(3), 1, 2, 4);
    for (int reference = 0; reference < 2; reference++) {
        char *text = NULL;
        size_t len = 0;
        Told t = {0};
        FILE *to = open_memstream(&text, &len);
        const CheckParts parts = {.reference = reference, .compiled = !reference, .progress = told, .user = &t};
        assert_int_equal(check_parts(KILN_HERE, to, KILN_FN(k, chain), &x, 1, &parts), KILN_AGREE);
        fclose(to);
        if (!strstr(text, reference ? "values: eager within the reference's bounds\n" : "values: eager and compiled equal bit for bit\n")) fail_msg("%s", text);
        assert_true(reference ? t.calls >= 20 && t.all > t.calls : t.calls == 1);
        free(text);
    }
    assert_ok(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WAIT_TEST(what_can_be_decided_is),
        FRONT_TEST(what_cannot_be_decided_is_no_disagreement),
        WAIT_TEST(disagreements_and_errors_are_zero),
        WAIT_TEST(a_half_can_be_asked_for),
    };
    return cmocka_run_group_tests_name("check", tests, front_needs_llvm, NULL);
}
