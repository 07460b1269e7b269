/* eagerly: KILN_EAGERLY blocks: what is in them runs now, what follows them is traced again, and whatever ends inside one is an error that names
 * it, wherever that is: the trace and the tapes go on outside. */
#include "front.h"

#include "runtime/base.h"

#define BODY(name) static void name(kiln *k KILN_UNUSED, kiln_tensor *const *in KILN_UNUSED, kiln_tensor **out KILN_UNUSED, void *user KILN_UNUSED)

/* ---- what ends inside a block --------------------------------------------------------------------------------------------- */
static kiln_tensor *lost(kiln *k)
{
    kiln_eagerly_open(k);
    return kiln_ones(k, KILN_F32, KILN_SHAPE(2));
}

BODY(of_function) { out[0] = lost(k); }
BODY(of_function_twice)
{
    kiln_eagerly_open(k);
    kiln_scope_open(k);
    out[0] = lost(k);
}
BODY(of_cond) { kiln_cond(k, kiln_lt(kiln_sum(in[0], KILN_ALL), 0), of_function, of_function, KILN_IN(in[0]), out, 1, NULL); }
BODY(of_loop) { out[0] = lost(k); }
BODY(of_for) { kiln_for(k, 2, of_loop, KILN_IN(in[0]), out, NULL); }
BODY(of_if)
{
    KILN_IF(kiln_gt(kiln_sum(in[0], KILN_ALL), 0)) lost(k);
    out[0] = in[0];
}
BODY(of_else)
{
    kiln_variable *v = kiln_local(k, in[0]);
    KILN_IF(kiln_lt(kiln_sum(in[0], KILN_ALL), 0)) kiln_assign(v, 1);
    KILN_ELSE(k) lost(k);
    out[0] = in[0];
}
BODY(of_turn)
{
    KILN_FOR(k, i, 3) lost(k);
    out[0] = in[0];
}
BODY(of_break)
{
    KILN_FOR(k, i, 3) {
        lost(k);
        break;
    }
    out[0] = in[0];
}
BODY(of_while)
{
    kiln_variable *n = kiln_local(k, 0);
    KILN_WHILE(k, kiln_lt(n, 3)) {
        kiln_assign_add(n, 1);
        lost(k);
    }
    out[0] = in[0];
}
BODY(of_condition)
{
    KILN_WHILE(k, kiln_lt(kiln_sum(lost(k), KILN_ALL), 1)) continue;
    out[0] = in[0];
}

static void backward(kiln *k, kiln_tensor *g, kiln_tensor *const *x, kiln_tensor **dx, void *user)
{
    (void)x, (void)user;
    dx[0] = g;
    lost(k);
}
BODY(of_backward)
{
    kiln_variable *v = kiln_local(k, in[0]);
    KILN_TAPE(k, tape);
    kiln_tensor *x = kiln_value(v);
    out[0] = kiln_gradient(tape, kiln_custom_gradient(kiln_square(x), KILN_IN(x), backward, NULL), x);
}

static int called(const kiln_array *in, int nin, const kiln_array *out, int nout, void *user)
{
    (void)in, (void)nin, (void)nout;
    memset(out[0].data, 0, 2 * sizeof(float));
    lost(user);
    return 0;
}
BODY(of_callback) { kiln_callback(k, called, k, KILN_IN(in[0]), ((kiln_spec[]){KILN_SPEC(KILN_F32, 2)}), out, 1); }

static const struct {
    const char *name;
    kiln_body *body;
} cases[] = {
    {"function", of_function}, {"function", of_function_twice}, {"kiln_cond", of_cond}, {"kiln_for", of_for}, {"KILN_IF", of_if}, {"KILN_ELSE", of_else},
    {"KILN_FOR", of_turn}, {"KILN_FOR", of_break}, {"KILN_WHILE", of_while}, {"KILN_WHILE", of_condition}, {"custom gradient", of_backward},
    {"callback", of_callback},
};

static void what_ends_inside_a_block_is_an_error(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_variable *v = kiln_variable_new(k, "v", KILN_F32, 2.0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int eager = 1; eager >= !front_has_llvm(); eager--) {
            KILN_SCOPE(k);
            char want[128];
            kiln_tensor *x = kiln_ones(k, KILN_F32, KILN_SHAPE(2));
            kiln_function *f = kiln_function_new(k, cases[i].body, NULL, NULL);
            KILN_TAPE(k, tape);
            kiln_tensor *before = kiln_square(kiln_value(v));
            kiln_eager(k, eager);
            kiln_tensor *y = kiln_call(f, x);
            kiln_eager(k, false);
            snprintf(want, sizeof want, "%s: the body ended inside a KILN_EAGERLY block", cases[i].name);
            assert_error(k, KILN_ESTATE, want);
            assert_int_equal(kiln_dtype_of(y), KILN_NONE); /* poison */
            kiln_tensor *after = kiln_mul(before, v); /* the tape has not lost the thread */
            assert_float_equal(kiln_item(kiln_gradient(tape, after, v)), 12, 0);
            assert_ok(k);
            kiln_function_free(f);
        }
}

/* ---- what is right ---------------------------------------------------------------------------------------------------------- */
BODY(looks) { out[0] = kiln_add(in[0], 1); }

static void a_block_that_is_closed_ends_by_itself(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_function *f = kiln_function_new(k, looks, NULL, NULL);
    KILN_TAPE(k, tape);
    kiln_variable *v = kiln_variable_new(k, "v", KILN_F32, 2.0);
    kiln_tensor *y = kiln_square(kiln_value(v));
    {
        KILN_EAGERLY(k);
        KILN_IF(kiln_gt(v, 1)) kiln_mul(y, y);
        {
            KILN_EAGERLY(k);
            KILN_FOR(k, i, 2) kiln_call(f, y);
        }
        y = kiln_keep(kiln_mul(kiln_ones_like(y), 5)); /* unseen by the tape */
    }
    y = kiln_mul(y, v);
    assert_float_equal(kiln_item(kiln_gradient(tape, y, v)), 5, 0);
    assert_ok(k);
}

/* A block whose scope finds no memory is no block, and nothing is lost of what surrounds it. */
static void a_block_without_memory_is_none(void **state)
{
    kiln *k = *state;
    kiln_scope s[16];
    int n = 0;
    KILN_TAPE(k, tape);
    KILN_SCOPE(k);
    kiln_variable *v = kiln_variable_new(k, "v", KILN_F32, 2.0);
    kiln_tensor *y = kiln_square(kiln_value(v));
    for (bool failed = false; !failed;) {
        memory_fail_at(1, false);
        kiln_eagerly e = kiln_eagerly_open(k);
        memory_fail_at(0, false);
        failed = kiln_failed(k);
        kiln_eagerly_close(&e);
        if (failed) break;
        assert_true(n < 16);
        s[n++] = kiln_scope_open(k);
    }
    assert_error(k, KILN_EMEMORY, "scope: no memory");
    y = kiln_mul(y, v);
    assert_float_equal(kiln_item(kiln_gradient(tape, y, v)), 12, 0);
    while (n) kiln_scope_close(&s[--n]);
    assert_ok(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRONT_TEST(what_ends_inside_a_block_is_an_error), FRONT_TEST(a_block_that_is_closed_ends_by_itself), FRONT_TEST(a_block_without_memory_is_none),
    };
    return cmocka_run_group_tests_name("eagerly", tests, NULL, NULL);
}
