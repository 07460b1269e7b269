/* A label outside the classes: loss and gradient say the same about its row. */
#include <kiln/kiln.h>

KILN_FUNCTION(outside, k, x) { return kiln_cross_entropy(x, kiln_i64(k, KILN_SHAPE(1), -1)); }
KILN_FUNCTION(beside, k, x) { return kiln_cross_entropy(x, kiln_i64(k, KILN_SHAPE(2), 3, 1)); }

int main(void)
{
    kiln *k = kiln_open(NULL);
    for (int traced = 0; traced < 2; traced++) {
        KILN_SCOPE(k);
        kiln_eager(k, !traced);
        kiln_tensor *x = kiln_f32(k, KILN_SHAPE(1, 3), 1, 2, 3), *two = kiln_f32(k, KILN_SHAPE(2, 3), 1, 2, 3, 1, 2, 3);
        kiln_print(stdout, outside(k, x));
        kiln_print(stdout, kiln_call(kiln_grad(KILN_FN(k, outside)), x));
        kiln_print(stdout, beside(k, two));
        kiln_print(stdout, kiln_call(kiln_grad(KILN_FN(k, beside)), two));
    }
    return kiln_close(k);
}
