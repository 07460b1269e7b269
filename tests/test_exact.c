/* test_exact: products of f16 and bf16 on a device with tensor cores, which emu:0 emulates: the same bits in eager code, in compiled code and
 * in calls that are interpreted; a function with .exact has the CPU's in all of them, and so have its gradients. Those of f32 have the CPU's
 * but in a function with .tf32, whose bits are the same in all of them, too. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <kiln/kiln.h>

#include "codegen/emu.h"

static void product(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_matmul(in[0], in[1]);
}

static void gradients(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    KILN_TAPE(k, tape);
    kiln_watch(tape, in[0]);
    kiln_watch(tape, in[1]);
    product(k, in, out, user);
    kiln_gradients(tape, kiln_sum(kiln_mul(out[0], out[0]), KILN_ALL), KILN_IN(in[0], in[1]), out + 1);
}

static void convolution(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_convolve(kiln_reshape(in[0], KILN_SHAPE(1, 6, 4, 40)), kiln_reshape(in[1], KILN_SHAPE(1, 1, 40, 16)),
        &(kiln_convolution){.pad = {{1, 1}}, .stride = {2, 1}});
}

static void attention(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    kiln_tensor *q = kiln_reshape(in[0], KILN_SHAPE(1, 1, 24, 40)), *v = kiln_reshape(in[1], KILN_SHAPE(1, 1, 16, 40));
    out[0] = kiln_attention(q, v, v, NULL);
}

/* What is added up comes twice, the second time with the other sign, so that what is left is what was lost, and little more. */
static void operands(kiln *k, kiln_dtype t, kiln_tensor **in)
{
    kiln_variable *chance = kiln_generator(k, 3);
    kiln_tensor *x = kiln_normal(chance, KILN_F32, KILN_SHAPE(24, 19), 0, 1), *w = kiln_normal(chance, KILN_F32, KILN_SHAPE(19, 16), 0, 1);
    kiln_tensor *few = kiln_mul(kiln_slice(x, 1, 0, 2, 1), 0x1p-11);
    in[0] = kiln_cast(kiln_concat(KILN_IN(x, x, few), 1), t);
    in[1] = kiln_cast(kiln_concat(KILN_IN(w, kiln_neg(w), kiln_slice(w, 0, 0, 2, 1)), 0), t);
    kiln_variable_free(chance);
}

static const char *on = "emu:0";

static bool same(kiln_tensor *x, kiln_tensor *y)
{
    const size_t bytes = kiln_bytes(x);
    char *a = malloc(bytes), *b = malloc(bytes);
    assert_int_equal(kiln_bytes(y), bytes);
    kiln_read(x, a, bytes);
    kiln_read(y, b, bytes);
    const bool equal = memcmp(a, b, bytes) == 0;
    free(a);
    free(b);
    return equal;
}

typedef enum Asked { NOTHING, EXACT, TF32 } Asked;

static kiln_function *function(kiln *k, kiln_body *body, int outputs, Asked asked, kiln_compiling how)
{
    return kiln_function_new(k, body, NULL, &(kiln_function_options){.name = "f", .outputs = outputs, .exact = asked == EXACT, .tf32 = asked == TF32, .compile = how});
}

static void called(kiln *k, kiln_body *body, int outputs, Asked asked, kiln_compiling how, kiln_tensor *const *in, kiln_tensor **out)
{
    kiln_function *f = function(k, body, outputs, asked, how);
    kiln_call_all(f, KILN_IN(in[0], in[1]), out, outputs);
    if (kiln_failed(k)) fail_msg("%s", kiln_error(k)->text);
    kiln_function_free(f);
}

static void one_kind(kiln *k, kiln_body *body, int outputs, kiln_dtype t)
{
    KILN_SCOPE(k);
    kiln_tensor *in[2], *there[2], *want[3], *eager[3], *got[3];
    operands(k, t, in);
    for (int i = 0; i < 2; i++) there[i] = kiln_to(in[i], on);
    body(k, in, want, NULL);
    body(k, there, eager, NULL);
    for (kiln_compiling how = KILN_WAIT; how <= KILN_NEVER; how += KILN_NEVER - KILN_WAIT) {
        called(k, body, outputs, NOTHING, how, there, got);
        for (int i = 0; i < outputs; i++) assert_true(same(got[i], eager[i]));
        called(k, body, outputs, EXACT, how, there, got);
        for (int i = 0; i < outputs; i++) assert_true(same(got[i], want[i]));
    }
    assert_false(same(eager[0], want[0]));
    for (int asked = NOTHING; asked <= EXACT; asked++) {
        kiln_function *f = function(k, body, outputs, (Asked)asked, 0);
        assert_int_equal(kiln_check(stderr, f, KILN_IN(there[0], there[1])), KILN_AGREE);
        kiln_function_free(f);
    }
}

/* Of f32: the CPU's bits on the device, and with .tf32 its own, within the reference's bound, which CPU's are not the only ones to keep. */
static void in_tf32(kiln *k, kiln_body *body, int outputs)
{
    KILN_SCOPE(k);
    kiln_tensor *in[2], *there[2], *want[3], *got[3], *own[3];
    operands(k, KILN_F32, in);
    for (int i = 0; i < 2; i++) there[i] = kiln_to(in[i], "emu:0");
    body(k, in, want, NULL);
    called(k, body, outputs, NOTHING, KILN_WAIT, there, got);
    for (int i = 0; i < outputs; i++) assert_true(same(got[i], want[i]));
    called(k, body, outputs, TF32, KILN_WAIT, in, got); /* on the CPU */
    for (int i = 0; i < outputs; i++) assert_true(same(got[i], want[i]));
    called(k, body, outputs, TF32, KILN_WAIT, there, own);
    assert_false(same(own[0], want[0]));
    called(k, body, outputs, TF32, KILN_NEVER, there, got);
    for (int i = 0; i < outputs; i++) assert_true(same(got[i], own[i]));
    kiln_function *f = function(k, body, outputs, TF32, 0);
    assert_int_equal(kiln_check(stderr, f, KILN_IN(there[0], there[1])), KILN_AGREE);
    KILN_EAGERLY(k);
    kiln_call_all(f, KILN_IN(there[0], there[1]), got, outputs);
    for (int i = 0; i < outputs; i++) assert_true(same(got[i], own[i]));
}

static void f32_is_rounded_where_asked(void **state)
{
    (void)state;
    if (!emu_driver(0, &(Status){0})) skip();
    kiln *k = kiln_open(&(kiln_options){.no_log = true});
    in_tf32(k, gradients, 3);
    in_tf32(k, convolution, 1);
    in_tf32(k, attention, 1);
    assert_null(kiln_function_new(k, product, NULL, &(kiln_function_options){.exact = true, .tf32 = true}));
    assert_non_null(strstr(kiln_error(k)->text, ".exact asks for the CPU's bits and .tf32 for others"));
    kiln_clear(k);
    assert_int_equal(kiln_close(k), 0);
}

static void bits_are_the_devices_or_the_cpus(void **state)
{
    (void)state;
    if (!emu_driver(0, &(Status){0})) skip();
    kiln *k = kiln_open(NULL);
    one_kind(k, gradients, 3, KILN_F16);
    one_kind(k, product, 1, KILN_BF16);
    one_kind(k, convolution, 1, KILN_BF16);
    if (!emu_driver(1, &(Status){0})) fail();
    emu_architecture(1, 90); /* whose products are other instructions */
    on = "emu:1";
    one_kind(k, gradients, 3, KILN_F16);
    on = "emu:0";
    assert_int_equal(kiln_close(k), 0);
}

/* What f's gradient runs, and a function that f calls, is exact as f is; that f itself runs as C code changes nothing. */
static void inner_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    out[0] = kiln_call(user, in[0], in[1]);
}

static void it_reaches_what_is_called(void **state)
{
    (void)state;
    if (!emu_driver(0, &(Status){0})) skip();
    kiln *k = kiln_open(&(kiln_options){.compile = KILN_WAIT});
    kiln_tensor *in[2], *there[2], *want[1];
    operands(k, KILN_F16, in);
    for (int i = 0; i < 2; i++) there[i] = kiln_to(in[i], "emu:0");
    product(k, in, want, NULL);
    kiln_function *inner = kiln_function_new(k, product, NULL, NULL);
    kiln_function *f = kiln_function_new(k, inner_body, inner, &(kiln_function_options){.exact = true});
    assert_true(same(kiln_call(f, there[0], there[1]), want[0]));
    {
        KILN_EAGERLY(k);
        assert_true(same(kiln_call(f, there[0], there[1]), want[0]));
        assert_false(same(kiln_call(inner, there[0], there[1]), want[0]));
    }
    assert_int_equal(kiln_close(k), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bits_are_the_devices_or_the_cpus), cmocka_unit_test(it_reaches_what_is_called), cmocka_unit_test(f32_is_rounded_where_asked)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
