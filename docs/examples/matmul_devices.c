/* Products of 1000 x 1000 matrices on the CPU and on every other device that there is: matmul_devices [PRODUCTS], 200 for a fair
 * picture. An emulated device (emu:0) runs each thread of a kernel in turn, to find mistakes and not to be fast, so its matrices
 * are small. */
#include <kiln/kiln.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void multiply(kiln *k, const char *device, int n, int products)
{
    KILN_SCOPE(k);
    KILN_DEVICE(k, device); /* draws have no operand but the generator, which is made here */
    kiln_variable *chance = kiln_generator(k, 1);
    kiln_tensor *x = kiln_uniform(chance, KILN_F32, KILN_SHAPE(n, n), 0, 1);
    kiln_matmul(x, x); /* the first one makes the device's code */
    kiln_sync(k, device);
    const double start = now();
    for (int i = 0; i < products; i++) {
        KILN_SCOPE(k);
        kiln_matmul(x, x);
    }
    kiln_sync(k, device); /* until now, products may only have been noted */
    if (kiln_failed(k))
        printf("%-6s %s\n", device, kiln_error(k)->text);
    else
        printf("%-6s %d x %d, %d products: %.4f s\n", device, n, n, products, now() - start);
    kiln_variable_free(chance);
}

int main(int argc, char **argv)
{
    const int products = argc > 1 ? atoi(argv[1]) : 20; /* a tenth, so that the tests stay short */
    kiln_device_info device[16];
    const int n = kiln_devices(device, 16);
    bool card = false, emulated = false;
    kiln *k = kiln_open(NULL);
    for (int i = 0; i < n && i < 16 && !kiln_failed(k); i++) {
        const bool emu = !strncmp(device[i].name, "emu:", 4);
        if (emu && emulated) continue; /* one is enough */
        emulated = emulated || emu;
        card = card || !strncmp(device[i].name, "gpu:", 4);
        multiply(k, device[i].name, emu ? 128 : 1000, emu ? 2 : products);
    }
    if (!card && !kiln_failed(k)) { /* what is missing */
        KILN_DEVICE(k, "gpu:0");
        printf("no card: %s\n", kiln_error(k)->text);
        kiln_clear(k);
    }
    if (emulated) puts("(emu:0 is an emulated card, which runs thread after thread: its time says nothing about a real one.)");
    return kiln_close(k);
}
