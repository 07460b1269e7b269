/* Smooth functions are smooth at any order: pow at 0 and softplus around 0. */
#include <kiln/kiln.h>

KILN_FUNCTION(powers, k, x) { return kiln_pow(x, kiln_iota(k, KILN_F32, KILN_SHAPE(3), 0)); }
KILN_FUNCTION(square, k, x) { return kiln_pow(x, 2.0); }
KILN_FUNCTION(softplus, k, x) { return kiln_softplus(x); }

int main(void)
{
    kiln *k = kiln_open(NULL);
    for (int traced = 0; traced < 2; traced++) {
        KILN_SCOPE(k);
        kiln_eager(k, !traced);
        kiln_tensor *z = kiln_f32(k, KILN_SHAPE(3), 0, 0, 0);
        kiln_print(stdout, kiln_call(kiln_grad(KILN_FN(k, powers)), z));
        kiln_print(stdout, kiln_call(kiln_grad(kiln_grad(kiln_grad(KILN_FN(k, square)))), z));
        kiln_print(stdout, kiln_call(kiln_grad(kiln_grad(KILN_FN(k, softplus))), kiln_f32(k, KILN_SHAPE(3), -1e-3, 0, 1e-3)));
    }
    return kiln_close(k);
}
