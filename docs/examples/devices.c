/* Devices: which there are, where tensors are made and calls run, copies, and memory: growth, limits, one card as two, and which
 * of them the program sees. Runs on a card if there is one, else on an emulated one, else it says what is missing. */
#include <kiln/kiln.h>
#include <string.h>

#define MIB ((size_t)1 << 20)

static void list(void)
{
    kiln_device_info device[16];
    const int n = kiln_devices(device, 16);
    for (int i = 0; i < n && i < 16; i++) printf("%s: %s\n", device[i].name, device[i].text);
}

static void memory(kiln *k, const char *device, const char *when)
{
    const kiln_device_memory m = kiln_device_memory_count(k, device);
    printf("%s: %zu KiB in use, at most %zu so far", when, m.used >> 10, m.peak >> 10);
    printf(m.limit ? ", limit %zu\n" : "\n", m.limit >> 10);
}

static void pin(kiln *k, const char *device)
{
    KILN_SCOPE(k);
    kiln_tensor *here, *there;
    {
        KILN_DEVICE(k, "cpu"); /* what is made until the end of the block lies on the CPU */
        here = kiln_f32(k, KILN_SHAPE(2, 2), 1, 2, 3, 4);
        printf("a product of tensors on the CPU is on %s\n", kiln_device_of(kiln_matmul(here, here)));
    }
    {
        KILN_DEVICE(k, device);
        there = kiln_f32(k, KILN_SHAPE(2, 2), 1, 2, 3, 4);
        printf("and there it is on %s\n", kiln_device_of(kiln_matmul(there, there)));
    }
    kiln_matmul(here, there); /* which of the two? */
    if (kiln_failed(k)) printf("error: %s\n", kiln_error(k)->text);
    kiln_clear(k);
    kiln_tensor *copy = kiln_to(here, device), *back = kiln_to(kiln_matmul(copy, there), "cpu");
    printf("a copy is on %s, and on its way back:\n", kiln_device_of(copy));
    kiln_print(stdout, back);
}

static void limit(kiln *k, const char *device)
{
    KILN_SCOPE(k);
    memory(k, device, "at first");
    kiln_tensor *x = kiln_to(kiln_ones(k, KILN_F32, KILN_SHAPE(1 << 18)), device); /* 1 MiB; memory grows as it is needed */
    memory(k, device, "with a tensor of 1 MiB");
    kiln_device_limit(k, device, kiln_device_memory_count(k, device).used + MIB / 2);
    kiln_add(x, 1);
    printf("error: %s\n", kiln_error(k)->text);
    kiln_clear(k);
    kiln_device_limit(k, device, 0);
    memory(k, device, "without a limit again");
    printf("x[0] + 1 = %g\n", kiln_item(kiln_add(kiln_slice(x, 0, 0, 1, 1), 1))); /* nothing was lost */
}

static void split(kiln *k, const char *device)
{
    KILN_SCOPE(k);
    char name[2][32];
    if (!kiln_device_split(k, device, ((size_t[]){4 * MIB, 8 * MIB}), 2)) return;
    for (int i = 0; i < 2; i++) {
        snprintf(name[i], sizeof name[i], "%s/%d", device, i);
        KILN_DEVICE(k, name[i]);
        kiln_tensor *x = kiln_iota(k, KILN_F32, KILN_SHAPE(4), 0);
        printf("%s has its own %zu KiB and computes %g\n", name[i], kiln_device_memory_count(k, name[i]).limit >> 10,
            kiln_item(kiln_sum(x, KILN_ALL)));
    }
    kiln_add(kiln_to(kiln_ones(k, KILN_F32, KILN_SHAPE(2)), name[0]), kiln_to(kiln_ones(k, KILN_F32, KILN_SHAPE(2)), name[1]));
    printf("error: %s\n", kiln_error(k)->text); /* two devices, although it is one card */
    kiln_clear(k);
}

int main(void)
{
    static const char *const wanted[] = {"gpu:0", "emu:0"};
    const char *device = NULL;
    list();
    kiln *k = kiln_open(NULL);
    for (int i = 0; i < 2 && !device; i++) {
        KILN_DEVICE(k, wanted[i]); /* opens it */
        if (kiln_failed(k))
            printf("%s: %s\n", wanted[i], kiln_error(k)->text);
        else
            device = wanted[i];
        kiln_clear(k);
    }
    if (!device) puts("there is only the CPU here: a card needs its maker's driver (libcuda.so.1), an emulated one a C++ compiler");
    pin(k, device ? device : "cpu");
    if (device) {
        limit(k, device);
        split(k, device);
        puts("after hiding the others:");
        kiln_devices_visible(k, &device, 1); /* before the first use, KILN_DEVICES=gpu:0 does the same */
        list();
    }
    return kiln_close(k);
}
