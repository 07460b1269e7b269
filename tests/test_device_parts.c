/* device_parts: one card as several devices, on an emulated one: each part has its own bound and its own errors, the whole stays
 * what it is. And what a program sees of kinds of devices: names, numbers, and what is missing. */
#include "front.h"

#define MIB ((size_t)1 << 20)
#define CARD "emu:3"

static kiln_tensor *ones(kiln *k, const char *device, int64_t n) { return kiln_to(kiln_ones(k, KILN_F32, KILN_SHAPE(n)), device); }
static double total(kiln_tensor *x) { return kiln_item(kiln_sum(kiln_to(x, "cpu"), KILN_ALL)); } /* takes no memory there */

/* Skips where nothing compiles the kernels of emulated devices. */
static void needs_card(kiln *k)
{
    KILN_DEVICE(k, CARD);
    if (kiln_error(k)->code == KILN_OK) return;
    printf("skip: %s\n", kiln_error(k)->text);
    kiln_clear(k);
    skip();
}

static void a_card_is_split(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    needs_card(k);
    const int before = kiln_devices(NULL, 0);
    kiln_to(ones(k, "cpu", 2), CARD "/0");
    assert_error(k, KILN_EDEVICE, "to: there is no device \"emu:3/0\"; there are cpu, emu:0");
    assert_false(
        kiln_device_split(k, CARD, ((size_t[]){MIB, MIB, MIB, MIB, MIB, MIB, MIB, MIB, MIB, MIB, MIB, MIB, MIB, MIB, MIB}), 15));
    assert_error(k, KILN_EDEVICE, "device_split: emu:3 into 15 parts: there are at most 16 devices");
    assert_int_equal(kiln_devices(NULL, 0), before);
    assert_true(kiln_device_split(k, CARD, ((size_t[]){2 * MIB + 4096, 4 * MIB}), 2));
    assert_false(kiln_device_split(k, CARD, ((size_t[]){MIB}), 1));
    assert_error(k, KILN_ESTATE, "device_split: emu:3 was split before");
    kiln_device_info d[24];
    assert_int_equal(kiln_devices(d, 24), before + 2);
    assert_string_equal(d[before + 1].name, CARD "/1");
    assert_string_equal(d[before + 1].text, "a part of emu:3, 4194304 bytes");

    kiln_tensor *a = ones(k, CARD "/0", 1 << 18), *b = ones(k, CARD "/1", 1 << 18); /* 1 MiB each */
    kiln_add(a, b);
    assert_error(k, KILN_EDEVICE, "add: the operands are on different devices: f32[262144] on emu:3/0, f32[262144] on emu:3/1");
    assert_int_equal(kiln_device_memory_count(k, CARD "/0").limit, 2 * MIB + 4096);
    kiln_tensor *c = kiln_add(a, 1);
    kiln_add(a, 2);
    assert_error(k, KILN_EMEMORY, "on emu:3/0: 2097152 bytes are in use, 0 kept for reuse, and the limit is 2101248");
    kiln_tensor *e = kiln_add(b, 2), *f = kiln_add(b, 3); /* the other part has its own memory */
    assert_true(total(c) == 2 << 18 && total(e) == 3 << 18 && total(f) == 4 << 18);
    assert_true(total(ones(k, CARD, 1 << 20)) == 1 << 20); /* as has the whole */
    assert_true(kiln_devices_visible(k, (const char *[]){CARD}, 1));
    assert_int_equal(kiln_devices(d, 24), 4); /* with its parts */
    assert_true(kiln_devices_visible(k, NULL, 0));
    assert_ok(k);
}

static void names_and_numbers(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    needs_card(k);
    static const char *const wrong[] = {"emu", "emu:", "emu:x", "emu:00", "emu:4", "emu:1/0", "emu:0 ", ":0", ""};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char want[64];
        kiln_sync(k, wrong[i]);
        snprintf(want, sizeof want, "sync: there is no device \"%s\"; there are cpu", wrong[i]);
        assert_error(k, KILN_EDEVICE, want);
    }
    kiln_device_info d[24];
    bool card = false;
    const int n = kiln_devices(d, 24);
    for (int i = 0; i < n; i++) card = card || !strcmp(d[i].name, "gpu:0");
    if (card) return;
    kiln_to(ones(k, "cpu", 2), "gpu:0");
    assert_error(k, KILN_EDEVICE, "to: gpu:0 cannot be had here: cuda: ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {FRONT_TEST(names_and_numbers), FRONT_TEST(a_card_is_split)};
    return cmocka_run_group_tests_name("device_parts", tests, NULL, NULL);
}
