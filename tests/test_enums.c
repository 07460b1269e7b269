/* test_enums: numbers that are none of an enum's, in every public function that takes one: an error, never an element of a table. Enums are
 * unsigned or signed as the compiler likes, and C casts whatever it is given. */
#include "front.h"

#include <limits.h>
#include <kiln/data.h>
#include <kiln/effect.h>
#include <kiln/nn.h>

static const long long outside[] = {-3, -1, INT_MIN, KILN_F8_E5M2 + 1, 100, 127, 128, 255, 256, 256 + KILN_F32, 65536 + KILN_F32, INT_MAX, -256 + KILN_F32, KILN_NONE};
enum { OUTSIDE = sizeof outside / sizeof *outside };

static float one = 1;
static kiln_variable *generator;

typedef void Uses(kiln *k, kiln_dtype d);
static void from(kiln *k, kiln_dtype d) { kiln_from_at(KILN_HERE, k, d, KILN_SHAPE(1), &one, 1); }
static void borrow(kiln *k, kiln_dtype d) { kiln_borrow_at(KILN_HERE, k, d, KILN_SHAPE(1), &one, NULL, NULL); }
static void full(kiln *k, kiln_dtype d) { kiln_full_at(KILN_HERE, k, d, KILN_SHAPE(2), KILN_OPERAND(1)); }
static void iota(kiln *k, kiln_dtype d) { kiln_iota_at(KILN_HERE, k, d, KILN_SHAPE(2), 0); }
static void doubles(kiln *k, kiln_dtype d) { kiln_from_doubles_at(KILN_HERE, k, d, KILN_SHAPE(1), (double[]){1}, 1); }
static void cast(kiln *k, kiln_dtype d) { kiln_cast_at(KILN_HERE, KILN_OPERAND(kiln_f32(k, KILN_SHAPE(1), 1)), d); }
static void one_hot(kiln *k, kiln_dtype d) { kiln_one_hot_at(KILN_HERE, KILN_OPERAND(kiln_i32(k, KILN_SHAPE(1), 1)), 3, d); }
static void uniform(kiln *k, kiln_dtype d) { (void)k; kiln_uniform_at(KILN_HERE, generator, d, KILN_SHAPE(2), 0, 1); }
static void normal(kiln *k, kiln_dtype d) { (void)k; kiln_normal_at(KILN_HERE, generator, d, KILN_SHAPE(2), 0, 1); }
static void dense(kiln *k, kiln_dtype d) { kiln_dense_of_at(KILN_HERE, k, d, 2, 2, NULL); }
static void conv(kiln *k, kiln_dtype d) { kiln_conv_of_at(KILN_HERE, k, d, 2, 2, &(kiln_window){.size = {1, 1}}, NULL); }
static void rnn(kiln *k, kiln_dtype d) { kiln_rnn_of_at(KILN_HERE, k, d, 2, 2, NULL); }
static void lstm(kiln *k, kiln_dtype d) { kiln_lstm_of_at(KILN_HERE, k, d, 2, 2, NULL, 0); }
static void gru(kiln *k, kiln_dtype d) { kiln_gru_of_at(KILN_HERE, k, d, 2, 2, NULL); }
static int fills(const kiln_array *in, int nin, const kiln_array *out, int nout, void *user)
{
    (void)in, (void)nin, (void)out, (void)nout, (void)user;
    return 0;
}
static void callback(kiln *k, kiln_dtype d)
{
    kiln_tensor *out;
    kiln_callback_at(KILN_HERE, k, fills, NULL, NULL, 0, &(kiln_spec){.dtype = d, .rank = 0}, &out, 1);
}
static void body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = in[0];
}
static void spec(kiln *k, kiln_dtype d)
{
    if (d == KILN_NONE) /* which ends the list */
        cast(k, d);
    else
        kiln_function_new(k, body, NULL, &(kiln_function_options){.inputs = {{.dtype = d, .rank = -1}}});
}

static void dtypes(void **state)
{
    kiln *k = *state;
    static const struct {
        const char *name;
        Uses *use;
    } use[] = {{"from", from}, {"borrow", borrow}, {"full", full}, {"iota", iota}, {"doubles", doubles}, {"cast", cast}, {"one_hot", one_hot},
               {"uniform", uniform}, {"normal", normal}, {"callback", callback}, {"spec", spec}, {"dense", dense}, {"conv", conv},
               {"rnn", rnn}, {"lstm", lstm}, {"gru", gru}};
    generator = kiln_generator(k, 1);
    for (int i = 0; i < OUTSIDE; i++) {
        const kiln_dtype d = (kiln_dtype)outside[i];
        assert_string_equal(kiln_dtype_name(d), "none");
        assert_int_equal(kiln_dtype_bytes(d), 0);
        for (size_t u = 0; u < sizeof use / sizeof *use; u++) {
            KILN_SCOPE(k);
            use[u].use(k, d);
            const kiln_code code = kiln_error(k)->code;
            if (code != KILN_EDTYPE && code != KILN_EVALUE) fail_msg("%s of dtype %lld: %s", use[u].name, outside[i], kiln_error(k)->text);
            kiln_clear(k);
        }
    }
}

static void dtypes_of_numbers(void **state)
{
    kiln *k = *state;
    for (int i = 0; i < OUTSIDE; i++) {
        if (outside[i] == KILN_NONE) continue; /* the number's own */
        assert_null(kiln_variable_of_at(KILN_HERE, k, "v", (kiln_dtype)outside[i], KILN_OPERAND(1)));
        assert_error(k, KILN_EDTYPE, "is not a dtype");
        KILN_SCOPE(k);
        assert_null(kiln_local_of_at(KILN_HERE, k, (kiln_dtype)outside[i], KILN_OPERAND(1)));
        assert_error(k, KILN_EDTYPE, "is not a dtype");
    }
}

static void schedules(void **state)
{
    kiln *k = *state;
    for (int i = 0; i < OUTSIDE; i++) {
        if (outside[i] == KILN_RATE_CONSTANT) continue;
        KILN_SCOPE(k);
        kiln_schedule s = {.kind = (kiln_schedule_kind)outside[i], .rate = 0.1, .steps = 10, .decay = 0.5};
        kiln_schedule_rate_sized(KILN_HERE, &s, sizeof s, KILN_OPERAND(kiln_scalar(k, KILN_I64, 1)));
        assert_error(k, KILN_EVALUE, "the kind is unknown");
    }
}

static void operands(void **state)
{
    kiln *k = *state;
    static const uint32_t kind[] = {0, 10, 11, 255, 256 + 1, 0x80000001, UINT32_MAX};
    for (size_t i = 0; i < sizeof kind / sizeof *kind; i++) {
        KILN_SCOPE(k);
        kiln_operand o = KILN_OPERAND(kiln_f32(k, KILN_SHAPE(1), 1)), bad = o;
        bad.kind = kind[i];
        kiln_tensor *out;
        kiln_function *f = kiln_function_new(k, body, NULL, NULL);
        kiln_add_at(KILN_HERE, o, bad);
        assert_error(k, KILN_EVALUE, "an operand is not a tensor, variable or number");
        kiln_exp_at(KILN_HERE, bad);
        assert_error(k, KILN_EVALUE, "an operand is not a tensor, variable or number");
        kiln_call_all_at(KILN_HERE, f, &bad, 1, &out, 1);
        assert_error(k, KILN_EVALUE, "an operand is not a tensor, variable or number");
        KILN_TAPE(k, tape);
        kiln_gradient_at(KILN_HERE, tape, o, bad);
        assert_error(k, KILN_EVALUE, "gradient: an x is a number");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {FRONT_TEST(dtypes), FRONT_TEST(dtypes_of_numbers), FRONT_TEST(schedules), FRONT_TEST(operands)};
    return cmocka_run_group_tests_name("enums", tests, NULL, NULL);
}
