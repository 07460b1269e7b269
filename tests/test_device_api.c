/* device_api: devices as users name them, on the two devices of late.h: blocks, copies and their gradients, where things lie that
 * are made, functions and their bodies, waiting, and what the errors say. test_device_use.c has what else a program does with
 * tensors there. */
#include <kiln/nn.h>

#include "front.h"

#define A "late:0"
#define B "late:1"
#define assert_on(x, name) assert_string_equal(kiln_device_of(x), (name))

static kiln_tensor *three(kiln *k) { return kiln_f32(k, KILN_SHAPE(3), 1, 2, 3); }
static double total(kiln_tensor *x) { return kiln_item(kiln_sum(x, KILN_ALL)); }

static void devices_are_listed(void **state)
{
    (void)state;
    kiln_device_info d[16];
    const int n = kiln_devices(d, 16);
    assert_true(n >= 3 && n <= 16);
    assert_int_equal(kiln_devices(NULL, 0), n);
    assert_string_equal(d[0].name, "cpu");
    int late = 0;
    for (int i = 0; i < n; i++) {
        late += !strcmp(d[i].name, A) || !strcmp(d[i].name, B);
        assert_true(d[i].text[0]);
    }
    assert_int_equal(late, 2);
}

static const char *inner(kiln *k, bool leave)
{
    KILN_DEVICE(k, B);
    if (leave) return kiln_device_of(three(k));
    kiln_tensor *x = three(k);
    return kiln_device_of(x);
}

static void blocks_say_where_things_are_made(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *out;
    const char *own = kiln_device_of(three(k));
    {
        KILN_DEVICE(k, A);
        out = three(k);
        assert_on(out, A);
        assert_on(kiln_iota(k, KILN_I32, KILN_SHAPE(4), 0), A);
        assert_string_equal(inner(k, true), B);
        assert_string_equal(inner(k, false), B);
        assert_on(three(k), A);
        for (int i = 0; i < 3; i++) {
            KILN_DEVICE(k, B);
            if (i == 1) break;
            if (i == 0) continue;
        }
        assert_on(three(k), A);
        {
            KILN_DEVICE(k, "cpu");
            assert_on(three(k), "cpu");
        }
        assert_on(kiln_numbers(k, KILN_F64, KILN_SHAPE(2), 1, 2), A);
        {
            KILN_SCOPE(k);
            assert_on(three(k), A);
        }
    }
    assert_on(three(k), own);
    assert_float_equal(total(out), 6, 0); /* it is no scope */
    assert_ok(k);
}

static void names_that_are_none(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    const char *own = kiln_device_of(three(k));
    {
        KILN_DEVICE(k, "tpu:0");
        assert_on(three(k), own); /* the block changes nothing */
    }
    assert_error(k, KILN_EDEVICE, "device: there is no device \"tpu:0\"; there are cpu");
    kiln_to(three(k), "late:7");
    assert_error(k, KILN_EDEVICE, "to: there is no device \"late:7\"");
    kiln_to(three(k), NULL);
    assert_error(k, KILN_EVALUE, "to: the device's name is NULL");
    assert_false(kiln_sync(k, "late"));
    assert_error(k, KILN_EDEVICE, "sync: there is no device \"late\"");
    assert_string_equal(kiln_device_of(NULL), "");
}

static void blocks_close_in_order(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    const char *own = kiln_device_of(three(k));
    kiln_device_block a = kiln_device_open_at(KILN_HERE, k, A), b = kiln_device_open_at(KILN_HERE, k, B);
    kiln_device_close(&a);
    assert_error(k, KILN_ESTATE, "device: a block is closed before one that was opened inside it");
    assert_on(three(k), own);
    kiln_device_close(&b);
    assert_error(k, KILN_ESTATE, "device: a block is closed twice");
    kiln_device_close(&b);
    assert_on(three(k), own);
    assert_ok(k);
}

static void copies(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_to(three(k), "cpu"), *a = kiln_to(x, A), *b = kiln_to(a, B), *back = kiln_to(b, "cpu");
    assert_on(x, "cpu");
    assert_on(a, A);
    assert_on(b, B);
    assert_on(back, "cpu");
    assert_float_equal(total(kiln_mul(back, x)), 14, 0);
    kiln_tensor *same = kiln_to(a, A);
    assert_ptr_not_equal(same, a);
    assert_on(same, A);
    assert_on(kiln_to(kiln_transpose(kiln_reshape(a, KILN_SHAPE(3, 1)), KILN_ALL), B), B); /* a view */
    assert_float_equal(total(kiln_to(kiln_ones(k, KILN_F32, KILN_SHAPE(2, 2)), A)), 4, 0); /* a constant */
    assert_int_equal(kiln_elements(kiln_to(kiln_zeros(k, KILN_I64, KILN_SHAPE(0, 2)), B)), 0);
    kiln_variable *v = kiln_variable_new(k, "v", a);
    assert_on(kiln_to(v, B), B);
    kiln_add(a, b);
    assert_error(k, KILN_EDEVICE, "add: the operands are on different devices: f32[3] on late:0, f32[3] on late:1");
    assert_float_equal(total(kiln_add(kiln_to(a, B), b)), 12, 0);
    assert_ok(k);
}

static void gradients_copy_back(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_to(three(k), "cpu"), *w = kiln_to(three(k), A);
    KILN_TAPE(k, outer);
    kiln_watch(outer, x);
    KILN_TAPE_PERSISTENT(k, tape);
    kiln_watch(tape, x);
    kiln_watch(tape, w);
    kiln_tensor *y = kiln_mul(kiln_mul(kiln_to(x, A), w), kiln_to(x, A)); /* x^2 w */
    kiln_tensor *z = kiln_add(kiln_sum(kiln_to(y, B), KILN_ALL), 1);
    kiln_tensor *dx = kiln_gradient(tape, z, x), *dw = kiln_gradient(tape, z, w); /* 2 x w, x^2 */
    assert_on(dx, "cpu");
    assert_on(dw, A);
    assert_float_equal(total(dx), 2 * (1 + 4 + 9), 0);
    assert_float_equal(total(dw), 14, 0);
    kiln_tensor *dd = kiln_gradient(outer, kiln_sum(dx, KILN_ALL), x); /* 2 w */
    assert_on(dd, "cpu");
    assert_float_equal(total(dd), 12, 0);
    assert_ok(k);
}

/* Rules that make something of constants alone make it where the node ran. */
static void gradients_of_constants_lie_beside_their_operands(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    for (int i = 0; i < 3; i++) {
        const char *name = (const char *[]){"cpu", A, B}[i];
        kiln_tensor *x = kiln_to(kiln_reshape(kiln_f32(k, KILN_SHAPE(6), 1, 2, 3, 4, 5, 6), KILN_SHAPE(2, 3)), name);
        KILN_TAPE_PERSISTENT(k, tape);
        kiln_watch(tape, x);
        kiln_tensor *part = kiln_slice(x, 1, 1, 3, 1);
        kiln_tensor *y = kiln_sub(kiln_exp(part), kiln_pad(kiln_slice(x, 1, 0, 1, 1), KILN_SHAPE(0, 0), KILN_SHAPE(0, 1), 0.0));
        assert_on(kiln_gradient(tape, part, x), name);
        assert_on(kiln_gradient(tape, y, x), name);
        kiln_tensor *both = kiln_add(kiln_sum(kiln_to(x, B), KILN_ALL), kiln_to(kiln_sum(x, KILN_ALL), B));
        assert_float_equal(total(kiln_gradient(tape, both, x)), 12, 0);
    }
    assert_ok(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(devices_are_listed), FRONT_TEST(blocks_say_where_things_are_made),
        FRONT_TEST(names_that_are_none), FRONT_TEST(blocks_close_in_order), FRONT_TEST(copies), FRONT_TEST(gradients_copy_back),
        FRONT_TEST(gradients_of_constants_lie_beside_their_operands)};
    return cmocka_run_group_tests_name("device_api", tests, NULL, NULL);
}
