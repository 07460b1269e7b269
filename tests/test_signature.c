/* signature: which calls share compiled code, and what is said when they do not: static arguments, sizes that become symbols, declared
 * sizes, reasons of misses, the warning about retracing. Skipped without the LLVM module. */
#include "front.h"

#include <stdlib.h>

static kiln_function_statistics stats_of(kiln_function *f)
{
    kiln_function_statistics s;
    kiln_function_stats(f, &s);
    return s;
}

#define FUNCTION(k, body, ...) kiln_function_new((k), (body), NULL, &(kiln_function_options){.name = #body, __VA_ARGS__})

typedef struct Log { int lines; char text[8][1000]; } Log;
static void keep_line(void *user, const char *text)
{
    Log *log = user;
    if (log->lines < 8) snprintf(log->text[log->lines], sizeof log->text[0], "%s", text);
    log->lines++;
}

/* ---- static arguments ------------------------------------------------------------------------------------------ */
static void repeated(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    kiln_tensor *x = in[0];
    for (int64_t i = 0; i < kiln_static_i64(in[1]); i++)
        x = kiln_mul(x, kiln_static_f64(in[2]));
    out[0] = strcmp(kiln_static_text(in[3]), "minus") == 0 ? kiln_neg(x) : x;
}

static void static_arguments_are_signature(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_function *f = FUNCTION(k, repeated);
    kiln_tensor *x = kiln_f32(k, KILN_SHAPE(2), 1, 3);
    char text[8] = "minus";
    for (int round = 0; round < 2; round++) {
        assert_float_equal(((const float *)kiln_data(kiln_call(f, x, KILN_STATIC(3), KILN_STATIC(2.0), KILN_STATIC("plus"))))[1], 24, 0);
        assert_float_equal(((const float *)kiln_data(kiln_call(f, x, KILN_STATIC(2), KILN_STATIC(2.0), KILN_STATIC("plus"))))[1], 12, 0);
        assert_float_equal(((const float *)kiln_data(kiln_call(f, x, KILN_STATIC(2), KILN_STATIC(0.5f), KILN_STATIC("plus"))))[1], 0.75, 0);
        strcpy(text, "minus"); /* texts are compared and kept by value */
        assert_float_equal(((const float *)kiln_data(kiln_call(f, x, KILN_STATIC(2), KILN_STATIC(0.5), KILN_STATIC(text))))[1], -0.75, 0);
        strcpy(text, "");
        assert_ok(k);
    }
    kiln_function_statistics s = stats_of(f);
    assert_int_equal(s.traces, 4);
    assert_int_equal(s.hits, 4);
    assert_string_equal(s.recent[0].text, "arg 3 static: \"plus\" -> \"minus\"");
    assert_string_equal(s.recent[1].text, "arg 2 static: 2 -> 0.5");
    assert_string_equal(s.recent[2].text, "arg 1 static: 3 -> 2");
    assert_string_equal(s.recent[3].text, "first call");
    assert_int_equal(s.recent[2].argument, 1);
    assert_int_equal(s.recent[2].dim, -1);
}

static void misused_static_arguments(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_f32(k, KILN_SHAPE(2), 1, 3);
    kiln_function *f = FUNCTION(k, repeated);
    kiln_call(f, x, 3, KILN_STATIC(2.0), KILN_STATIC("plus")); /* a plain number is a tensor */
    assert_error(k, KILN_EVALUE, "static: the argument is f32[], not a C value");
    kiln_call(f, x, KILN_STATIC(2.5), KILN_STATIC(2.0), KILN_STATIC("plus"));
    assert_error(k, KILN_EVALUE, "2.5 is not an integer");
    kiln_call(f, x, KILN_STATIC(1), KILN_STATIC("a"), KILN_STATIC("plus"));
    assert_error(k, KILN_EVALUE, "\"a\" is not a number");
    kiln_call(f, x, KILN_STATIC(1), KILN_STATIC(1), KILN_STATIC(1));
    assert_error(k, KILN_EVALUE, "1 is not a text");
    kiln_call(f, x, KILN_STATIC(1), KILN_STATIC(1), KILN_STATIC((const char *)NULL));
    assert_error(k, KILN_EVALUE, "NULL");
    kiln_add(x, KILN_STATIC(1));
    assert_error(k, KILN_EVALUE, "KILN_STATIC goes to traced functions");
    assert_int_equal(stats_of(f).compiles, 0); /* a failed trace leaves nothing behind */
}

static void powers(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = in[0];
    for (int64_t i = 1; i < kiln_static_i64(in[1]); i++)
        out[0] = kiln_mul(out[0], in[0]);
}

static void hands_on(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    out[0] = kiln_call((kiln_function *)user, in[1], in[0]); /* the handle of a static argument, handed on */
}

static void uses_static(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_add(in[0], in[1]);
}

static void static_arguments_go_everywhere(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_scalar(k, KILN_F64, 2);
    kiln_function *f = FUNCTION(k, powers, .inputs = {KILN_SPEC(KILN_F64), KILN_SPEC_STATIC});
    kiln_function *outer = kiln_function_new(k, hands_on, f, &(kiln_function_options){.name = "outer", .inputs_count = 2});
    assert_float_equal(kiln_item(kiln_call(outer, KILN_STATIC(4), x)), 16, 0);
    kiln_eager(k, true);
    assert_float_equal(kiln_item(kiln_call(outer, KILN_STATIC(5), x)), 32, 0);
    kiln_eager(k, false);
    assert_float_equal(kiln_item(kiln_call(kiln_grad(f), x, KILN_STATIC(4))), 32, 0);
    kiln_operand in[2] = {KILN_OPERAND(KILN_STATIC(3)), KILN_OPERAND(x)};
    kiln_tensor *both[3];
    assert_true(kiln_call_all(kiln_value_and_grad(outer), in, 2, both, 3));
    assert_float_equal(kiln_item(both[0]), 8, 0);
    assert_float_equal(kiln_item(both[1]), 0, 0); /* nothing flows to a C value */
    assert_float_equal(kiln_item(both[2]), 12, 0);
    KILN_TAPE(k, tape);
    kiln_watch(tape, x);
    kiln_tensor *y = kiln_call(f, x, KILN_STATIC(3));
    assert_float_equal(kiln_item(kiln_gradient(tape, y, x)), 12, 0);
    assert_ok(k);
    kiln_call(f, x, x);
    assert_error(k, KILN_EVALUE, "argument 1 is f64[], but is declared static");
    kiln_call(f, KILN_STATIC(1), KILN_STATIC(1));
    assert_error(k, KILN_EVALUE, "argument 0 is a static value, but is declared a tensor");
    kiln_call(FUNCTION(k, uses_static), x, KILN_STATIC(1));
    assert_error(k, KILN_EVALUE, "a static argument is a C value");
}

/* ---- sizes --------------------------------------------------------------------------------------------------------- */
static void model(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    kiln_tensor *h = kiln_softmax(kiln_matmul(in[0], in[2]), 1);
    out[0] = kiln_mean(kiln_pow(kiln_sub(h, in[1]), 2), KILN_AXES(1));
    out[1] = kiln_mean(h, KILN_AXES(0));
}

typedef struct Data { kiln_tensor *x, *y, *w; } Data;
static Data data_for(kiln *k, int64_t n)
{
    kiln_tensor *x = kiln_div(kiln_cast(kiln_iota(k, KILN_I64, KILN_SHAPE(n, 7), 0), KILN_F32), 3);
    kiln_tensor *w = kiln_sin(kiln_cast(kiln_iota(k, KILN_I64, KILN_SHAPE(7, 5), 1), KILN_F32));
    return (Data){kiln_sin(x), kiln_cos(kiln_cast(kiln_iota(k, KILN_I64, KILN_SHAPE(n, 5), 1), KILN_F32)), w};
}

/* True if the two functions give the same bits for n rows. */
static bool same_bits(kiln *k, kiln_function *f, kiln_function *g, int64_t n)
{
    KILN_SCOPE(k);
    Data d = data_for(k, n);
    kiln_operand in[3] = {KILN_OPERAND(d.x), KILN_OPERAND(d.y), KILN_OPERAND(d.w)};
    kiln_tensor *a[2], *b[2];
    bool same = kiln_call_all(f, in, 3, a, 2) && kiln_call_all(g, in, 3, b, 2);
    for (int i = 0; i < 2 && same; i++)
        same = kiln_bytes(a[i]) == kiln_bytes(b[i]) && memcmp(kiln_data(a[i]), kiln_data(b[i]), kiln_bytes(a[i])) == 0;
    return same;
}

#define SIZES 512
static void declared_sizes_compile_once(void **state)
{
    kiln *k = *state;
    kiln_function *bounded = FUNCTION(k, model, .outputs = 2,
        .inputs = {KILN_SPEC(KILN_F32, KILN_DIM("N", 1, SIZES), 7), KILN_SPEC(KILN_F32, KILN_DIM("N", 1, SIZES), 5), KILN_SPEC(KILN_F32, 7, 5)});
    kiln_function *fixed = FUNCTION(k, model, .outputs = 2, .fixed_sizes = true, .cache_bytes = 1 << 20);
    bool all = getenv("KILN_TEST_FULL") != NULL;
    int64_t tried = 0;
    for (int64_t n = 1; n <= SIZES; n++) {
        KILN_SCOPE(k);
        Data d = data_for(k, n);
        assert_int_equal(kiln_dim(kiln_call(bounded, d.x, d.y, d.w), 0), n);
        if (all || n < 20 || n % 37 == 0 || n == SIZES) { /* a static compile takes its time */
            assert_true(same_bits(k, bounded, fixed, n));
            tried++;
        }
    }
    kiln_function_statistics s = stats_of(bounded), t = stats_of(fixed);
    assert_int_equal(s.compiles, 1);
    assert_int_equal(s.traces, 1);
    assert_int_equal(s.calls, SIZES + tried);
    assert_int_equal(s.hits, SIZES + tried - 1);
    assert_int_equal(t.compiles, tried);
    assert_ok(k);
}

static void sizes_that_change_become_symbols(void **state)
{
    kiln *k = *state;
    kiln_function *f = FUNCTION(k, model, .outputs = 2), *fixed = FUNCTION(k, model, .outputs = 2, .fixed_sizes = true);
    static const int64_t n[] = {12, 9, 10, 11, 1, 13, 24, 7, 25, 31, 48, 49, 12, 2};
    for (size_t i = 0; i < sizeof n / sizeof *n; i++)
        assert_true(same_bits(k, f, fixed, n[i]));
    assert_ok(k);
    kiln_function_statistics s = stats_of(f);
    assert_int_equal(s.traces, 5); /* 12, 9, 10, then the symbol, then its larger bound */
    assert_int_equal(s.generalisations, 2);
    assert_string_equal(s.general, "arg 0 dim 0, arg 1 dim 0: 1 to 128");
    assert_string_equal(s.last_miss, "arg 0 dim 0: 48 is beyond the bound 32");
    assert_int_equal(s.signatures, 4);
    s = stats_of(fixed);
    assert_int_equal(s.traces, 13);
    assert_int_equal(s.generalisations, 0);
}

static void outer_sum(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_add(kiln_sum(in[0], KILN_AXES(1)), kiln_static_i64(in[1]));
}

static void two_sizes_become_two_symbols(void **state)
{
    kiln *k = *state;
    kiln_function *f = FUNCTION(k, outer_sum);
    for (int64_t m = 2; m < 9; m++)
        for (int64_t n = 3; n < 9; n++)
            for (int64_t c = 0; c < 2; c++) {
                KILN_SCOPE(k);
                kiln_tensor *y = kiln_call(f, kiln_ones(k, KILN_F32, KILN_SHAPE(n, m)), KILN_STATIC(c));
                assert_int_equal(kiln_dim(y, 0), n);
                assert_float_equal(kiln_item(kiln_sum(y, KILN_ALL)), n * (m + c), 0);
            }
    assert_ok(k);
    kiln_function_statistics s = stats_of(f);
    assert_string_equal(s.general, "arg 0 dim 0: 1 to 16; arg 0 dim 1: 1 to 16");
    assert_true(s.traces < 40);
    assert_int_equal(s.calls, 84);
}

static void reads_size(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_mul(in[0], kiln_dim(in[0], 0)); /* the size as a C number */
}

static void adds_five(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    out[0] = kiln_add(in[0], (kiln_tensor *)user); /* five wide: only sizes 1 and 5 go with it */
}

static void sizes_that_cannot_be_symbols_stay(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_function *f = FUNCTION(k, reads_size);
    for (int64_t n = 1; n < 12; n++)
        assert_float_equal(kiln_item(kiln_sum(kiln_call(f, kiln_ones(k, KILN_F32, KILN_SHAPE(n))), KILN_ALL)), n * n, 0);
    assert_ok(k);
    kiln_function_statistics s = stats_of(f);
    assert_int_equal(s.compiles, 11);
    assert_int_equal(s.traces, 12); /* tried once */
    assert_int_equal(s.generalisations, 0);
    assert_non_null(strstr(s.general, "arg 0 dim 0 stays a constant: the body reads the size of axis 0 as a C number"));
    kiln_tensor *five = kiln_ones(k, KILN_F32, KILN_SHAPE(5));
    kiln_function *g = kiln_function_new(k, adds_five, five, &(kiln_function_options){.name = "adds_five"});
    assert_int_equal(kiln_dim(kiln_call(g, kiln_ones(k, KILN_F32, KILN_SHAPE(1))), 0), 5);
    assert_int_equal(kiln_dim(kiln_call(g, kiln_ones(k, KILN_F32, KILN_SHAPE(5))), 0), 5);
    assert_ok(k);
    kiln_call(g, kiln_ones(k, KILN_F32, KILN_SHAPE(3)));
    assert_error(k, KILN_ESHAPE, "");
    assert_int_equal(stats_of(g).compiles, 2);
}

static void zero_is_no_size_of_a_symbol(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_function *f = FUNCTION(k, outer_sum);
    for (int64_t n = 6; n >= 0; n--)
        assert_int_equal(kiln_dim(kiln_call(f, kiln_ones(k, KILN_F32, KILN_SHAPE(n, 2)), KILN_STATIC(1)), 0), n);
    assert_ok(k);
    assert_int_equal(stats_of(f).traces, 5);
    assert_string_equal(stats_of(f).last_miss, "arg 0 dim 0: 3 -> 0");
}

static void gradients_of_changing_sizes(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_function *f = FUNCTION(k, outer_sum, .inputs_count = 2), *d = kiln_grad(f);
    for (int64_t n = 1; n < 10; n++) {
        kiln_tensor *x = kiln_full(k, KILN_F32, KILN_SHAPE(n, 3), 2);
        kiln_tensor *dx = kiln_call(d, x, KILN_STATIC(1));
        assert_float_equal(kiln_item(kiln_sum(dx, KILN_ALL)), 3 * n, 0);
        KILN_TAPE(k, tape);
        kiln_watch(tape, x);
        kiln_tensor *y = kiln_call(f, x, KILN_STATIC(1));
        assert_float_equal(kiln_item(kiln_sum(kiln_gradient(tape, y, x), KILN_ALL)), 3 * n, 0);
    }
    assert_ok(k);
    assert_true(stats_of(d).traces <= 6);
}

static void gradients_of_declared_sizes(void **state)
{
    (void)state;
    Log log = {0};
    kiln *k = kiln_open(&(kiln_options){.log = keep_line, .log_user = &log});
    kiln_function_options o = {.name = "model", .outputs = 2,
        .inputs = {KILN_SPEC(KILN_F32, KILN_DIM("N", 1, 64), 7), KILN_SPEC(KILN_F32, KILN_DIM("N", 1, 64), 5), KILN_SPEC(KILN_F32, 7, 5)}};
    kiln_function *bounded = kiln_function_new(k, model, NULL, &o), *fixed = FUNCTION(k, model, .outputs = 2, .fixed_sizes = true);
    for (int64_t n = 3; n < 20; n += 4) {
        KILN_SCOPE(k);
        Data d = data_for(k, n);
        kiln_tensor *dx[2];
        for (int i = 0; i < 2; i++) { /* of the first output: the other one's cotangent is zeros of its size */
            KILN_TAPE(k, tape);
            kiln_watch(tape, d.x);
            kiln_tensor *y = kiln_call(i ? fixed : bounded, d.x, d.y, d.w);
            dx[i] = kiln_gradient(tape, y, d.x);
        }
        assert_int_equal(kiln_dim(dx[0], 0), n);
        assert_memory_equal(kiln_data(dx[0]), kiln_data(dx[1]), kiln_bytes(dx[1]));
    }
    assert_ok(k);
    assert_int_equal(stats_of(bounded).traces, 1);
    int general = 0; /* its gradient was traced once, too */
    for (int i = 0; i < log.lines && i < 8; i++) general += !strncmp(log.text[i], "kiln: model_vjp: sizes became symbols", 36);
    assert_int_equal(general, 1);
    assert_int_equal(kiln_close(k), 0);
}

/* ---- what is said -------------------------------------------------------------------------------------------------------- */
static void twice(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_mul(in[0], 2);
}

static void step(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_mul(in[0], kiln_static_i64(in[1]));
}

static void retracing_is_warned_about(void **state)
{
    (void)state;
    Log log = {0};
    kiln *k = kiln_open(&(kiln_options){.log = keep_line, .log_user = &log, .compile = KILN_WAIT});
    kiln_function *f = FUNCTION(k, twice, .fixed_sizes = true);
    for (int64_t n = 1; n <= 25; n++) {
        KILN_SCOPE(k);
        kiln_call(f, kiln_ones(k, KILN_F32, KILN_SHAPE(4, n)));
        if (n == 4) assert_int_equal(log.lines, 0);
    }
    assert_int_equal(log.lines, 3); /* at the 5th, 10th and 20th trace */
    assert_non_null(strstr(log.text[0], "kiln: twice ("));
    assert_non_null(strstr(log.text[0], "test_signature.c:"));
    assert_non_null(strstr(log.text[0], "was traced 5 times, 4 of its last 5 misses for one cause: arg 0 dim 1: 4 -> 5."));
    assert_non_null(strstr(log.text[0], "Declare the size in .inputs, as KILN_DIM(\"N\", 1, 8)"));
    assert_non_null(strstr(log.text[2], "was traced 20 times, 8 of its last 8"));
    kiln_function *g = FUNCTION(k, step);
    log.lines = 0;
    for (int i = 1; i <= 5; i++) {
        KILN_SCOPE(k);
        kiln_call(g, kiln_ones(k, KILN_F32, KILN_SHAPE(4)), KILN_STATIC(i));
    }
    assert_int_equal(log.lines, 1);
    assert_non_null(strstr(log.text[0], "kiln: step ("));
    assert_non_null(strstr(log.text[0], "for one cause: arg 1 static: 4 -> 5. Each value of a static argument is compiled by itself: pass a plain number"));
    kiln_function *h = FUNCTION(k, twice);
    log.lines = 0;
    for (int64_t n = 1; n <= 8; n++) {
        KILN_SCOPE(k);
        kiln_call(h, kiln_ones(k, KILN_F32, KILN_SHAPE(n)));
    }
    assert_int_equal(log.lines, 1);
    assert_string_equal(log.text[0], "kiln: twice: sizes became symbols: arg 0 dim 0: 1 to 8; 0 bytes of workspace");
    kiln_function *r = FUNCTION(k, reads_size);
    log.lines = 0;
    for (int64_t n = 1; n <= 5; n++) {
        KILN_SCOPE(k);
        kiln_call(r, kiln_ones(k, KILN_F32, KILN_SHAPE(n)));
    }
    assert_int_equal(log.lines, 2);
    assert_non_null(strstr(log.text[0], "kiln: reads_size: each size is compiled by itself, arg 0 dim 0 stays a constant: the body reads the size"));
    assert_non_null(strstr(log.text[1], "Pad to one size, or change what keeps the size a constant"));
    assert_int_equal(kiln_close(k), 0);
}

static void misses_name_their_reason(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_function *f = FUNCTION(k, twice);
    kiln_tensor *x = kiln_ones(k, KILN_F32, KILN_SHAPE(2, 3));
    kiln_call(f, x);
    assert_string_equal(stats_of(f).last_miss, "first call");
    kiln_call(f, kiln_ones(k, KILN_F64, KILN_SHAPE(2, 3)));
    assert_string_equal(stats_of(f).last_miss, "arg 0 dtype: f32 -> f64");
    kiln_call(f, kiln_ones(k, KILN_F32, KILN_SHAPE(2)));
    assert_string_equal(stats_of(f).last_miss, "arg 0 rank: 2 -> 1");
    kiln_call(f, x, x);
    assert_string_equal(stats_of(f).last_miss, "1 arguments -> 2");
    kiln_call(f, x, kiln_ones(k, KILN_F32, KILN_SHAPE(2, 4)));
    assert_string_equal(stats_of(f).last_miss, "arg 1 dim 1: 3 -> 4");
    kiln_function_statistics s = stats_of(f);
    assert_int_equal(s.recent[0].argument, 1);
    assert_int_equal(s.recent[0].dim, 1);
    assert_int_equal(s.recent[0].from, 3);
    assert_int_equal(s.recent[0].to, 4);
    assert_int_equal(s.misses, 5);
    for (int i = 0; i < 4; i++) kiln_call(f, i + 0.5); /* plain numbers are arguments: one signature */
    assert_int_equal(stats_of(f).misses, 6);
    assert_ok(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRONT_TEST(static_arguments_are_signature),
        FRONT_TEST(misused_static_arguments),
        FRONT_TEST(static_arguments_go_everywhere),
        WAIT_TEST(declared_sizes_compile_once),
        WAIT_TEST(sizes_that_change_become_symbols),
        WAIT_TEST(two_sizes_become_two_symbols),
        WAIT_TEST(sizes_that_cannot_be_symbols_stay),
        FRONT_TEST(zero_is_no_size_of_a_symbol),
        FRONT_TEST(gradients_of_changing_sizes),
        cmocka_unit_test(gradients_of_declared_sizes),
        cmocka_unit_test(retracing_is_warned_about),
        FRONT_TEST(misses_name_their_reason),
    };
    return cmocka_run_group_tests_name("signature", tests, front_needs_llvm, NULL);
}
