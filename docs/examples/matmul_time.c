/* Products of 1000 x 1000 matrices, timed: matmul_time [PRODUCTS], 200 for a fair picture. */
#include <kiln/kiln.h>
#include <stdlib.h>
#include <time.h>

KILN_FUNCTION(product, k, a, b)
{
    return kiln_matmul(a, b);
}

static double now(void)
{
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(int argc, char **argv)
{
    int products = argc > 1 ? atoi(argv[1]) : 20; /* a tenth, so that the tests stay short */
    kiln *k = kiln_open(NULL);
    {
        KILN_SCOPE(k);
        kiln_variable *chance = kiln_generator(k, 1);
        kiln_tensor *x = kiln_uniform(chance, KILN_F32, KILN_SHAPE(1000, 1000), 0, 1);
        for (int traced = 0; traced < 2; traced++) {
            kiln_eager(k, !traced);
            double start = now();
            for (int i = 0; i < products; i++) {
                KILN_SCOPE(k);
                product(k, x, x);
            }
            printf("cpu, %s: %d products in %.3f s\n", traced ? "traced" : "eager", products, now() - start);
        }
    }
    return kiln_close(k);
}
