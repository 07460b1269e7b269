/* effects: what is printed and asserted happens in program order, in eager code, traced code and loops alike, with the same text; a call that
 * fails leaves every variable as it was. What needs compiling is skipped without the LLVM module. */
#include "effect_page.h"

#include <math.h>
#include <stdlib.h>

/* ---- order ----------------------------------------------------------------------------------------------------- */
static int note(const kiln_array *in, int nin, const kiln_array *o, int nout, void *user)
{
    (void)o;
    assert_int_equal(nout, 0);
    fprintf(page, "note %s %d", (const char *)user, nin);
    for (int i = 0; i < nin; i++)
        fprintf(page, " %s:%d:%g", kiln_dtype_name(in[i].dtype), in[i].rank, (double)((const float *)in[i].data)[0]);
    fprintf(page, "\n");
    return 0;
}

static void straight(kiln *k, kiln_tensor *const *in, kiln_tensor **o, void *user)
{
    kiln_variable *v = user;
    kiln_print(page, in[0]);
    kiln_tensor *y = kiln_mul(in[0], 2.0);
    kiln_callback(k, note, "a", (kiln_tensor *[]){kiln_sum(y, KILN_ALL), in[0]}, 2, NULL, NULL, 0);
    kiln_print(page, kiln_transpose(y, KILN_AXES(1, 0)));
    kiln_assert(kiln_gt(y, 0.0), "y is positive");
    kiln_assign(v, kiln_sum(y, KILN_ALL));
    kiln_print_text(k, page, "the sum: ");
    kiln_print(page, v);
    kiln_callback(k, note, "b", NULL, 0, NULL, NULL, 0);
    o[0] = kiln_add(y, v);
    kiln_print(page, kiln_reshape(o[0], KILN_SHAPE(4)));
}

static void effects_keep_their_order(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_variable *v = kiln_variable_new(k, "v", KILN_F32, 0);
    kiln_function *f = kiln_function_new(k, straight, v, NULL);
    prints_alike(k, f, kiln_f32(k, KILN_SHAPE(2, 2), 1, 2, 3, 4),
                 "[[1. 2.]\n [3. 4.]] f32[2,2]\nnote a 2 f32:0:20 f32:2:1\n[[2. 6.]\n [4. 8.]] f32[2,2]\nthe sum: 20.0 f32[]\nnote b 0\n"
                 "[22. 24. 26. 28.] f32[4]\n");
}

static void loop(kiln *k, kiln_tensor *const *in, kiln_tensor **o, void *user)
{
    kiln_variable *v = user, *sum = kiln_local(k, kiln_zeros(k, KILN_F32, KILN_SHAPE(2)));
    kiln_print_text(k, page, "begin\n");
    KILN_FOR(k, i, 3) {
        kiln_print(page, i);
        kiln_assign_add(v, 1.0);
        kiln_assign(sum, kiln_add(sum, kiln_mul(in[0], v)));
        KILN_FOR(k, j, 2) {
            kiln_print(page, kiln_add(kiln_mul(i, 10), j)); /* nothing is carried: the loop is there to print */
        }
        kiln_print(page, sum);
        kiln_assert_finite(sum);
    }
    kiln_print_text(k, page, "end\n");
    o[0] = kiln_value(sum);
}

static void loops_repeat_their_effects(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_variable *v = kiln_variable_new(k, "v", KILN_F32, 0);
    kiln_function *f = kiln_function_new(k, loop, v, NULL);
    kiln_tensor *x = kiln_f32(k, KILN_SHAPE(2), 1, 2);
    const char *want = "begin\n0 i64[]\n0 i64[]\n1 i64[]\n[1. 2.] f32[2]\n1 i64[]\n10 i64[]\n11 i64[]\n[3. 6.] f32[2]\n2 i64[]\n20 i64[]\n"
                       "21 i64[]\n[ 6. 12.] f32[2]\nend\n";
    for (int way = 0; way < 2; way++) {
        kiln_assign(v, 0.0);
        kiln_eager(k, way == 0);
        kiln_call(f, x);
        kiln_eager(k, false);
        assert_ok(k);
        read_out(text[0]);
        assert_string_equal(text[0], want);
    }
}

/* A chain of effects crosses what fusion would like to put into one kernel. */
static void woven(kiln *k, kiln_tensor *const *in, kiln_tensor **o, void *user)
{
    (void)user;
    kiln_tensor *a = kiln_exp(in[0]), *b = kiln_mul(in[0], 3.0);
    kiln_print(page, kiln_sum(a, KILN_ALL));
    kiln_tensor *c = plus_one_of(k, in[0], "one");
    kiln_print(page, b);
    kiln_tensor *d = plus_one_of(k, kiln_add(c, b), "two");
    o[0] = kiln_add(kiln_add(a, c), kiln_mul(d, b));
    kiln_print(page, kiln_sub(a, a));
}

static void fusion_moves_no_effect(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_function *f = kiln_function_new(k, woven, NULL, NULL);
    kiln_tensor *x = kiln_f32(k, KILN_SHAPE(2), 0, 1);
    prints_alike(k, f, x, "3.7182817 f32[]\none\n[0. 3.] f32[2]\ntwo\n[0. 0.] f32[2]\n");
    float y[2];
    kiln_read(kiln_call(f, x), y, sizeof y);
    assert_true(y[0] == 2 && fabsf(y[1] - (2.7182817f + 2 + 18)) < 1e-5f);
    read_out(text[0]);
}

/* ---- assertions -------------------------------------------------------------------------------------------------- */
typedef struct State { kiln_variable *a, *b; int line; int64_t bad; } State;

static void failing_loop(kiln *k, kiln_tensor *const *in, kiln_tensor **o, void *user)
{
    State *s = user;
    kiln_assign(s->a, kiln_mul(s->a, 2.0));
    KILN_FOR(k, i, 6) {
        kiln_assign_add(s->b, in[0]);
        kiln_print(page, i);
        s->line = __LINE__ + 1;
        kiln_assert(kiln_ne(i, s->bad), "never the unlucky one");
    }
    o[0] = kiln_add(s->a, s->b);
}

static void failed_calls_change_nothing(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    State s = {kiln_variable_new(k, "a", kiln_f32(k, KILN_SHAPE(3), 1, 2, 3)), kiln_variable_new(k, "b", kiln_zeros(k, KILN_F32, KILN_SHAPE(3))), 0, 3};
    kiln_function *f = kiln_function_new(k, failing_loop, &s, NULL);
    kiln_tensor *one = kiln_ones(k, KILN_F32, KILN_SHAPE(3));
    float a[3], b[3];
    for (int again = 0; again < 2; again++) {
        kiln_tensor *y = kiln_call(f, one);
        assert_int_equal(kiln_dtype_of(y), KILN_NONE);
        read_out(text[0]);
        assert_string_equal(text[0], "0 i64[]\n1 i64[]\n2 i64[]\n3 i64[]\n");
        assert_int_equal(kiln_error(k)->line, s.line);
        assert_non_null(strstr(kiln_error(k)->file, "test_effects.c"));
        assert_error(k, KILN_EVALUE, "assert: never the unlucky one  ");
        kiln_read(s.a, a, sizeof a);
        kiln_read(s.b, b, sizeof b);
        assert_true(a[0] == 1 && a[2] == 3 && b[0] == 0 && b[2] == 0);
        assert_ok(k);
    }
    s.bad = 100;
    kiln_function *fine = kiln_function_new(k, failing_loop, &s, NULL);
    kiln_call(fine, one);
    kiln_read(s.b, b, sizeof b);
    assert_true(b[1] == 6);
    assert_ok(k);
    read_out(text[0]);
}

typedef struct Case { const char *name; kiln_body *body; kiln_tensor *x; kiln_code code; const char *want; } Case;

static void holds(kiln *k, kiln_tensor *const *in, kiln_tensor **o, void *user)
{
    (void)k, (void)user;
    kiln_assert(kiln_lt(in[0], 3.0), "below three");
    o[0] = kiln_mul(in[0], 2.0);
}

static void is_finite(kiln *k, kiln_tensor *const *in, kiln_tensor **o, void *user)
{
    (void)k, (void)user;
    kiln_assert_finite(kiln_log(in[0]));
    o[0] = kiln_mul(in[0], 2.0);
}

static void close_to_two(kiln *k, kiln_tensor *const *in, kiln_tensor **o, void *user)
{
    (void)k, (void)user;
    kiln_assert_close(in[0], 2, 0.5);
    o[0] = kiln_mul(in[0], 2.0);
}

static void close_to_row(kiln *k, kiln_tensor *const *in, kiln_tensor **o, void *user)
{
    (void)user;
    kiln_assert_close(kiln_mul(in[0], 2.0), kiln_f32(k, KILN_SHAPE(2), 2, 4), 0.001);
    o[0] = kiln_mul(in[0], 2.0);
}

static void shaped(kiln *k, kiln_tensor *const *in, kiln_tensor **o, void *user)
{
    (void)k, (void)user;
    kiln_assert_shape(in[0], KILN_SHAPE(-1, 2));
    o[0] = kiln_mul(in[0], 2.0);
}

static void three_rows(kiln *k, kiln_tensor *const *in, kiln_tensor **o, void *user)
{
    (void)k, (void)user;
    kiln_assert_shape(kiln_concat((kiln_tensor *[]){in[0], in[0]}, 2, 0), KILN_SHAPE(6, 2));
    o[0] = kiln_mul(in[0], 2.0);
}

static void same_errors_eager_and_compiled(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *m = kiln_f32(k, KILN_SHAPE(2, 2), 1, 2, 3, 4), *s = kiln_scalar(k, KILN_F32, 5);
    kiln_tensor *half = kiln_cast(kiln_f32(k, KILN_SHAPE(3), 1.5, 2.5, 2.501), KILN_F16);
    const Case cases[] = {
        {"holds", holds, m, KILN_EVALUE, "assert: below three: element [1,0] of bool[2,2] does not hold  "},
        {"holds", holds, kiln_transpose(m, KILN_AXES(1, 0)), KILN_EVALUE, "assert: below three: element [0,1] of bool[2,2] does not hold  "},
        {"holds", holds, s, KILN_EVALUE, "assert: below three  "},
        {"finite", is_finite, kiln_f32(k, KILN_SHAPE(3), 1, 0, -1), KILN_EVALUE, "assert_finite: element [1] is -inf: f32[3]  "},
        {"finite", is_finite, kiln_f64(k, KILN_SHAPE(), -1), KILN_EVALUE, "assert_finite: the value is nan: f64[]  "},
        {"close", close_to_two, m, KILN_EVALUE, "assert_close: element [0,0]: 1 and 2 differ by 1, more than 0.5: f32[2,2]  "},
        {"close", close_to_two, s, KILN_EVALUE, "assert_close: the values: 5 and 2 differ by 3, more than 0.5: f32[]  "},
        {"close", close_to_two, half, KILN_EVALUE, "assert_close: element [2]: 2.50195 and 2 differ by 0.501953, more than 0.5: f16[3]  "},
        {"close", close_to_row, m, KILN_EVALUE, "assert_close: element [1,0]: 6 and 2 differ by 4, more than 0.001: f32[2,2]  "},
        {"shaped", shaped, kiln_ones(k, KILN_F32, KILN_SHAPE(2, 3)), KILN_ESHAPE, "assert_shape: axis 1 is 3, not 2: f32[2,3]  "},
        {"shaped", shaped, s, KILN_ESHAPE, "assert_shape: rank 0, not 2: f32[]  "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char first[512];
        kiln_function *f = kiln_function_new(k, cases[i].body, NULL, &(kiln_function_options){.name = cases[i].name});
        for (int way = 0; way < 2; way++) {
            kiln_eager(k, way == 0);
            kiln_call(f, cases[i].x);
            kiln_eager(k, false);
            if (way == 0)
                snprintf(first, sizeof first, "%s", kiln_error(k)->text);
            else
                assert_string_equal(first, kiln_error(k)->text);
            assert_error(k, cases[i].code, cases[i].want);
        }
    }
}

static void bounded_sizes(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_function_options o = {.inputs = {KILN_SPEC(KILN_F32, KILN_DIM("N", 0, 8), 2)}};
    kiln_body *bodies[] = {three_rows, close_to_row, shaped, is_finite};
    kiln_function *f[4];
    for (int i = 0; i < 4; i++) f[i] = kiln_function_new(k, bodies[i], NULL, &o);
    kiln_tensor *three = kiln_f32(k, KILN_SHAPE(3, 2), 1, 2, 1, 2, 1, 2), *none = kiln_zeros(k, KILN_F32, KILN_SHAPE(0, 2));
    for (int i = 0; i < 4; i++) {
        kiln_call(f[i], three);
        assert_ok(k);
        if (i) kiln_call(f[i], none);
        assert_ok(k);
    }
    char eager[256];
    kiln_tensor *two = kiln_f32(k, KILN_SHAPE(2, 2), 1, 2, 1, 3);
    for (int i = 0; i < 2; i++) {
        kiln_eager(k, true);
        kiln_call(f[i], two);
        kiln_eager(k, false);
        snprintf(eager, sizeof eager, "%s", kiln_error(k)->text);
        kiln_clear(k);
        kiln_call(f[i], two);
        assert_string_equal(eager, kiln_error(k)->text);
        assert_error(k, i ? KILN_EVALUE : KILN_ESHAPE,
                     i ? "element [1,1]: 6 and 4 differ by 2, more than 0.001: f32[2,2]" : "assert_shape: axis 0 is 4, not 6: f32[4,2]");
    }
    kiln_function_statistics st;
    kiln_function_stats(f[0], &st);
    assert_int_equal(st.compiles, 1);
}

static void misuse_is_named(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_ones(k, KILN_F32, KILN_SHAPE(2)), *y;
    kiln_assert(x, "no bool");
    assert_error(k, KILN_EDTYPE, "assert: the condition must be bool, not f32[2]");
    assert_true(kiln_assert(kiln_rank(x) == 1, "a vector"));
    assert_false(kiln_assert(kiln_rank(x) == 2, "a matrix"));
    assert_error(k, KILN_EVALUE, "assert: a matrix");
    kiln_assert_close(x, 1, -1);
    assert_error(k, KILN_EVALUE, "tolerance");
    kiln_assert_close(kiln_i32(k, KILN_SHAPE(), 1), 1, 0);
    assert_error(k, KILN_EDTYPE, "assert_close: needs floats, not i32[]");
    kiln_assert_finite((kiln_tensor *)NULL);
    assert_error(k, KILN_EVALUE, "assert_finite: a tensor is NULL");
    kiln_callback(k, plus_one, NULL, &x, 1, (kiln_spec[]){KILN_SPEC(KILN_F32, 2, -1)}, &y, 1);
    assert_error(k, KILN_ESHAPE, "output 0: a size is -1");
    kiln_callback(k, plus_one, NULL, &x, 1, (kiln_spec[]){KILN_SPEC(KILN_F32, KILN_DIM("N", 1, 3))}, &y, 1);
    assert_error(k, KILN_ESHAPE, "a size must be a number");
    kiln_callback(k, NULL, NULL, &x, 1, NULL, NULL, 0);
    assert_error(k, KILN_EVALUE, "callback: the function is NULL");
    kiln_print_text(k, NULL, "x");
    assert_error(k, KILN_EVALUE, "the file is NULL");
}

/* ---- the other ways -------------------------------------------------------------------------------------------------------- */
static void records_are_the_same_when_traced_again(void **state)
{
    (void)state;
    setenv("KILN_RETRACE", "1", 1);
    kiln *k = kiln_open(NULL);
    unsetenv("KILN_RETRACE");
    {
        KILN_SCOPE(k);
        kiln_variable *v = kiln_variable_new(k, "v", KILN_F32, 0);
        kiln_function *f = kiln_function_new(k, straight, v, NULL);
        for (int i = 0; i < 3; i++) kiln_call(f, kiln_ones(k, KILN_F32, KILN_SHAPE(2, 2)));
        assert_ok(k);
        read_out(text[0]);
    }
    assert_int_equal(kiln_close(k), 0);
}

static void without_a_compiler(void **state)
{
    (void)state;
    kiln *k = kiln_open(&(kiln_options){.no_compile = true});
    {
        KILN_SCOPE(k);
        kiln_function *f = kiln_function_new(k, woven, NULL, NULL);
        kiln_call(f, kiln_f32(k, KILN_SHAPE(2), 0, 1));
        assert_ok(k);
        read_out(text[0]);
        assert_string_equal(text[0], "3.7182817 f32[]\none\n[0. 3.] f32[2]\ntwo\n[0. 0.] f32[2]\n");
        kiln_assert_finite(kiln_log(kiln_f32(k, KILN_SHAPE(2), 1, -1)));
        assert_error(k, KILN_EVALUE, "assert_finite: element [1] is nan: f32[2]");
    }
    assert_int_equal(kiln_close(k), 0);
}

static int closes(const kiln_array *in, int nin, const kiln_array *out, int nout, void *user)
{
    (void)in, (void)nin, (void)out, (void)nout;
    assert_int_equal(kiln_close(user), 1);
    return 0;
}

static void closed_by_callback(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    kiln_callback(k, closes, k, NULL, 0, NULL, NULL, 0);
    out[0] = kiln_add(in[0], 1.0);
}

static void closed_by_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    assert_int_equal(kiln_close(k), 1);
    out[0] = kiln_add(in[0], 1.0);
}

static void no_call_closes_its_engine(void **state)
{
    kiln_body *const by[] = {closed_by_callback, closed_by_body};
    kiln *k = *state;
    for (int i = 0; i < 4; i++) {
        kiln_tensor *one = kiln_ones(k, KILN_F32, KILN_SHAPE(2));
        kiln_eager(k, i / 2 == 0);
        kiln_call(kiln_function_new(k, by[i % 2], NULL, NULL), one);
        assert_error(k, KILN_ESTATE, "kiln_close: called inside a call of a function");
        assert_float_equal(((const float *)kiln_data(kiln_add(one, 1.0)))[1], 2, 0);
    }
    kiln_eager(k, false);
}

int main(void)
{
    const struct CMUnitTest eager[] = {
        FRONT_TEST(misuse_is_named),
        cmocka_unit_test(without_a_compiler),
    };
    const struct CMUnitTest compiled[] = {
        FRONT_TEST(effects_keep_their_order),
        FRONT_TEST(loops_repeat_their_effects),
        FRONT_TEST(fusion_moves_no_effect),
        FRONT_TEST(failed_calls_change_nothing),
        FRONT_TEST(no_call_closes_its_engine),
        FRONT_TEST(same_errors_eager_and_compiled),
        WAIT_TEST(bounded_sizes),
        cmocka_unit_test(records_are_the_same_when_traced_again),
    };
    int failed = cmocka_run_group_tests_name("effects, eager", eager, open_page, close_page);
    if (!effects_compile()) {
        printf("skip: the LLVM module is not at hand\n");
        return failed ? failed : 77;
    }
    return failed + cmocka_run_group_tests_name("effects, compiled", compiled, open_page, close_page);
}
