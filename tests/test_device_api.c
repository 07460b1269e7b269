/* device_api: devices as users name them, on the two devices of late.h: blocks, copies and their gradients, where things lie that
 * are made, functions and their bodies, waiting, and what the errors say. test_device_use.c has what else a program does with
 * tensors there. */
#include <kiln/nn.h>

#include "front.h"

#include <pthread.h>
#include <stdlib.h>

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

/* ---- threads: each has blocks of its own --------------------------------------------------------------------------------- */
typedef struct Worker {
    kiln *k;
    const char *device;
    int wrong;
} Worker;

static void *works(void *arg)
{
    Worker *w = arg;
    const char *own = kiln_device_of(three(w->k));
    for (int i = 0; i < 100; i++) {
        KILN_SCOPE(w->k);
        KILN_DEVICE(w->k, w->device);
        kiln_tensor *x = kiln_mul(three(w->k), 2), *y = kiln_to(x, i & 1 ? A : B);
        w->wrong += strcmp(kiln_device_of(x), w->device) != 0 || total(y) != 12;
        if (i % 10 == 0) w->wrong += !kiln_sync(w->k, NULL);
    }
    w->wrong += strcmp(kiln_device_of(three(w->k)), own) != 0;
    return NULL;
}

static void threads_choose_for_themselves(void **state)
{
    kiln *k = *state;
    Worker w[4] = {{k, A, 0}, {k, B, 0}, {k, "cpu", 0}, {k, A, 0}};
    pthread_t t[4];
    KILN_DEVICE(k, B);
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&t[i], NULL, works, &w[i]), 0);
    for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
    for (int i = 0; i < 4; i++) assert_int_equal(w[i].wrong, 0);
    assert_ok(k);
}

static void devices_can_be_hidden(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_device_info d[4];
    const int all = kiln_devices(NULL, 0);
    kiln_tensor *a = kiln_to(three(k), A);
    assert_false(kiln_devices_visible(k, (const char *[]){B, "tpu:0"}, 2));
    assert_error(k, KILN_EDEVICE, "devices_visible: there is no device \"tpu:0\"");
    assert_int_equal(kiln_devices(NULL, 0), all);
    assert_true(kiln_devices_visible(k, (const char *[]){B}, 1));
    assert_int_equal(kiln_devices(d, 4), 2);
    assert_string_equal(d[0].name, "cpu");
    assert_string_equal(d[1].name, B);
    kiln_to(three(k), A);
    assert_error(k, KILN_EDEVICE,
        "to: device \"late:0\" is none of those that are visible (kiln_devices_visible, KILN_DEVICES): cpu, late:1");
    assert_float_equal(total(kiln_to(a, B)), 6, 0); /* what is there stays in use */
    assert_float_equal(total(kiln_to(a, "cpu")), 6, 0);
    assert_true(kiln_devices_visible(k, (const char *[]){NULL}, 0));
    assert_int_equal(kiln_devices(NULL, 0), 1);
    assert_true(kiln_devices_visible(k, NULL, 0));
    assert_int_equal(kiln_devices(NULL, 0), all);
    assert_ok(k);
}

/* ---- memory ------------------------------------------------------------------------------------------------------- */
#define MIB ((size_t)1 << 20)

static kiln_tensor *mebibytes(kiln *k, int n) { return kiln_to(kiln_full(k, KILN_F32, KILN_SHAPE(n << 18), 1), A); }

static void memory_is_counted(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    const kiln_device_memory before = kiln_device_memory_count(k, A), other = kiln_device_memory_count(k, B);
    kiln_tensor *x = kiln_own(mebibytes(k, 3));
    kiln_device_memory now = kiln_device_memory_count(k, A);
    assert_in_range(now.used, before.used + 3 * MIB, before.used + 4 * MIB);
    assert_true(now.peak >= now.used);
    kiln_release(x);
    const kiln_device_memory after = kiln_device_memory_count(k, A);
    assert_int_equal(after.used, before.used);
    assert_true(after.kept >= 3 * MIB && after.peak == now.peak);
    assert_int_equal(kiln_device_memory_count(k, B).used, other.used);
    assert_true(kiln_device_memory_count(k, "cpu").used > 0);
    assert_int_equal(kiln_device_memory_count(k, "none").used, 0);
    assert_error(k, KILN_EDEVICE, "device_memory: there is no device");
}

static void out_of_memory(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_variable *v = user;
    (void)k;
    kiln_assign_add(v, 1);
    out[0] = kiln_mul(in[0], 2);
}

static void limits_hold_and_nothing_is_lost(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_own(mebibytes(k, 2));
    kiln_variable *v = kiln_variable_new(k, "v", kiln_to(three(k), A));
    const size_t used = kiln_device_memory_count(k, A).used;
    assert_true(kiln_device_limit(k, A, used + 3 * MIB));
    assert_int_equal(kiln_device_memory_count(k, A).limit, used + 3 * MIB);
    kiln_function *f =
        kiln_function_new(k, out_of_memory, v, &(kiln_function_options){.name = "f", .inputs_count = 1, .compile = KILN_NEVER});
    kiln_tensor *y = kiln_own(kiln_add(x, 1)); /* 1 MiB is left */
    char want[160];
    snprintf(want, sizeof want,
        "tensor: no memory for f32[524288] (2097152 bytes) on late:0: %zu bytes are in use, 0 kept for reuse, and the limit is %zu",
        kiln_device_memory_count(k, A).used, used + 3 * MIB);
    kiln_mul(x, y);
    assert_error(k, KILN_EMEMORY, want);
    kiln_call(f, x);
    assert_error(k, KILN_EMEMORY, "on late:0: ");
    assert_float_equal(total(kiln_value(v)), 6, 0);
    mebibytes(k, 2);
    assert_error(k, KILN_EMEMORY, "on late:0: ");
    assert_float_equal(total(y), 2.0 * (2 << 18), 0);
    kiln_release(y);
    assert_float_equal(kiln_item(kiln_slice(kiln_call(f, x), 0, 0, 1, 1)), 2, 0); /* in what y gave back */
    assert_float_equal(total(kiln_value(v)), 9, 0);
    assert_true(kiln_device_limit(k, A, 0));
    assert_float_equal(total(mebibytes(k, 8)), 8.0 * (1 << 18), 0);
    kiln_release(x);
    assert_ok(k);
    assert_false(kiln_device_limit(k, "cpu", MIB));
    assert_error(k, KILN_EUNSUPPORTED, "device_limit: the CPU's memory has no limit here");
}

static void kept_memory_makes_room(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_release(kiln_own(mebibytes(k, 4)));
    assert_true(kiln_device_limit(k, A, kiln_device_memory_count(k, A).used + 6 * MIB));
    assert_float_equal(total(mebibytes(k, 5)), 5.0 * (1 << 18), 0); /* another size */
    assert_true(kiln_device_limit(k, A, 0));
    assert_ok(k);
}

static void *beside(void *arg)
{
    kiln *k = arg;
    KILN_SCOPE(k);
    return strcmp(kiln_device_of(three(k)), B) ? arg : NULL;
}

/* The options' device goes before the environment's; threads and functions begin there. */
static void an_engine_has_a_device(void **state)
{
    (void)state;
    setenv("KILN_DEVICE", A, 1);
    for (int own = 0; own < 2; own++) {
        kiln *k = kiln_open(&(kiln_options){.device = own ? B : NULL});
        void *wrong = NULL;
        {
            KILN_SCOPE(k);
            assert_on(three(k), own ? B : A);
            assert_on(kiln_value(kiln_variable_new(k, "v", KILN_F32, 2.0)), own ? B : A);
            KILN_DEVICE(k, "cpu");
            assert_on(three(k), "cpu");
        }
        assert_ok(k);
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, beside, k), 0);
        pthread_join(thread, &wrong);
        assert_int_equal(wrong != NULL, !own);
        assert_int_equal(kiln_close(k), 0);
    }
    unsetenv("KILN_DEVICE");
    setenv("KILN_DEVICE", "tpu:0", 1);
    for (int own = 0; own < 2; own++) {
        kiln *k = kiln_open(&(kiln_options){.device = own ? "late:7" : NULL});
        assert_error(k, KILN_EDEVICE, own ? "kiln_open: .device: there is no device \"late:7\"" : "KILN_DEVICE: there is no device \"tpu:0\"");
        {
            KILN_SCOPE(k);
            assert_float_equal(total(three(k)), 6, 0);
        }
        assert_int_equal(kiln_close(k), 0);
    }
    unsetenv("KILN_DEVICE");
}

static void what_cannot_be_split(void **state)
{
    kiln *k = *state;
    assert_false(kiln_device_split(k, "cpu", ((size_t[]){MIB, MIB}), 2));
    assert_error(k, KILN_EUNSUPPORTED, "device_split: cpu cannot be split");
    assert_false(kiln_device_split(k, "tpu:0", ((size_t[]){MIB}), 1));
    assert_error(k, KILN_EDEVICE, "device_split: there is no device \"tpu:0\"");
    assert_false(kiln_device_split(k, A, ((size_t[]){MIB, 0}), 2));
    assert_error(k, KILN_EVALUE, "device_split: part 1 has 0 bytes");
    assert_false(kiln_device_split(k, A, NULL, 2));
    assert_error(k, KILN_EVALUE, "device_split: the name or the list of sizes is NULL");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(devices_are_listed), FRONT_TEST(blocks_say_where_things_are_made),
        FRONT_TEST(names_that_are_none), FRONT_TEST(blocks_close_in_order), FRONT_TEST(copies), FRONT_TEST(gradients_copy_back),
        FRONT_TEST(gradients_of_constants_lie_beside_their_operands), FRONT_TEST(threads_choose_for_themselves),
        FRONT_TEST(devices_can_be_hidden), FRONT_TEST(memory_is_counted), FRONT_TEST(limits_hold_and_nothing_is_lost),
        FRONT_TEST(kept_memory_makes_room), FRONT_TEST(what_cannot_be_split), cmocka_unit_test(an_engine_has_a_device)};
    return cmocka_run_group_tests_name("device_api", tests, NULL, NULL);
}
