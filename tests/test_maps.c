/* maps: an eager program, training and large products included, never maps LLVM; the first traced call does. Neither maps a BLAS. A
 * program whose tensors and functions live on a device maps none of them, even if it asks for a BLAS. A program of its own, so that
 * nothing before it opened the module. Relies on /proc/self/maps. */
#include "front.h"

#include <kiln/nn.h>

static int mapped(const char *part)
{
    FILE *f = fopen("/proc/self/maps", "r");
    if (!f) {
        printf("skip: no /proc/self/maps\n");
        skip();
    }
    int n = 0;
    for (char line[1024]; fgets(line, sizeof line, f);)
        n += strstr(line, part) != NULL;
    fclose(f);
    return n;
}

struct net { kiln_dense *hidden, *out; kiln_optimizer *adam; };

static void step(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    struct net *net = user;
    KILN_TAPE(k, tape);
    kiln_tensor *h = kiln_relu(kiln_dense_apply(net->hidden, in[0]));
    out[0] = kiln_cross_entropy(kiln_dense_apply(net->out, h), in[1]);
    kiln_optimizer_minimize(net->adam, tape, out[0]);
}

KILN_FUNCTION(square, k, x)
{
    (void)k;
    return kiln_matmul(x, x);
}

/* Before anything runs on the CPU. */
static void a_device_needs_neither(void **state)
{
    kiln_device_info device[32];
    bool there = false;
    (void)state;
    kiln *k = kiln_open(&(kiln_options){.compile = KILN_BACKGROUND, .blas = true});
    assert_non_null(k);
    for (int i = kiln_devices(device, 32) - 1; i >= 0; i--) there |= strcmp(device[i].name, "emu:0") == 0;
    if (there) {
        KILN_DEVICE(k, "emu:0");
        KILN_SCOPE(k);
        kiln_variable *g = kiln_generator(k, 1);
        struct net net = {kiln_dense_new(k, 12, 16, g), kiln_dense_new(k, 16, 3, g), kiln_adam(k, 0.01)};
        kiln_tensor *x = kiln_normal(g, KILN_F32, KILN_SHAPE(20, 12), 0, 1);
        kiln_tensor *label = kiln_argmax(kiln_slice(x, 1, 0, 3, 1), 1);
        kiln_function *f = kiln_function_new(k, step, &net, &(kiln_function_options){.inputs_count = 2});
        const double first = kiln_item(kiln_call(f, x, label));
        assert_true(kiln_item(kiln_call(f, x, label)) < first);
        kiln_call(KILN_FN(k, square), kiln_matmul(x, kiln_transpose(x, KILN_AXES(1, 0))));
        assert_true(kiln_sync(k, "emu:0"));
        assert_ok(k);
        assert_int_equal(mapped("LLVM"), 0);
        assert_int_equal(mapped("libkiln-llvm"), 0);
        assert_int_equal(mapped("blas"), 0);
    }
    assert_int_equal(kiln_close(k), 0);
    if (there) return;
    printf("skip: there is no emulated device here\n");
    skip();
}

static void eager_maps_no_llvm_and_tracing_does(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_variable *g = kiln_generator(k, 1);
    struct net net = {kiln_dense_new(k, 12, 16, g), kiln_dense_new(k, 16, 3, g), kiln_adam(k, 0.01)};
    kiln_tensor *x = kiln_normal(g, KILN_F32, KILN_SHAPE(20, 12), 0, 1);
    kiln_tensor *label = kiln_argmax(kiln_slice(x, 1, 0, 3, 1), 1);
    kiln_function *f = kiln_function_new(k, step, &net, &(kiln_function_options){.inputs_count = 2});
    kiln_eager(k, true);
    double first = 0, last = 0;
    for (int i = 0; i < 20; i++) {
        KILN_SCOPE(k);
        kiln_tensor *in[] = {x, label}, *out[1];
        step(k, in, out, &net);
        last = kiln_item(kiln_call(f, x, label)); /* eager too */
        first = i ? first : last;
    }
    kiln_tensor *large = kiln_full(k, KILN_F32, KILN_SHAPE(300, 300), 0.1);
    kiln_matmul(large, large);
    FILE *to = tmpfile();
    kiln_print(to, kiln_softmax(kiln_dense_apply(net.hidden, x), 1));
    fclose(to);
    assert_ok(k);
    assert_true(last < first);
    assert_int_equal(mapped("LLVM"), 0);
    assert_int_equal(mapped("libkiln-llvm"), 0);
    assert_true(mapped("libc") > 0); /* the search finds what is there */

    kiln_eager(k, false);
    kiln_call(f, x, label);
    kiln_call(KILN_FN(k, square), large);
    assert_int_equal(mapped("blas"), 0);
    if (kiln_error(k)->code == KILN_EDEVICE) {
        kiln_clear(k);
        printf("skip: the LLVM module is not at hand\n");
        skip();
    }
    assert_ok(k);
    if (late_keeps())
        assert_int_equal(mapped("libkiln-llvm"), 0); /* what lives on a device needs neither */
    else
        assert_true(mapped("libkiln-llvm") > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_device_needs_neither), WAIT_TEST(eager_maps_no_llvm_and_tracing_does)};
    return cmocka_run_group_tests_name("maps", tests, NULL, NULL);
}
