/* Gradients of a tensor that nobody watched, and of a local under a tape: alike in both modes. */
#include <kiln/kiln.h>

KILN_FUNCTION(slope, k, x)
{
    KILN_TAPE(k, t);
    return kiln_gradient(t, kiln_square(x), x);
}

int main(void)
{
    kiln *k = kiln_open(NULL);
    for (int traced = 0; traced < 2; traced++) {
        KILN_SCOPE(k);
        kiln_eager(k, !traced);
        printf("%g\n", kiln_item(slope(k, kiln_scalar(k, KILN_F32, 3))));
        kiln_variable *x = kiln_local(k, kiln_scalar(k, KILN_F32, 3));
        KILN_TAPE(k, tape);
        printf("%g\n", kiln_item(kiln_gradient(tape, kiln_square(x), x)));
    }
    return kiln_close(k);
}
