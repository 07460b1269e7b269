/* KILN_FUNCTION makes a C function a traced one: traced once per signature, then one native call;
 * and its gradient. */
#include <kiln/kiln.h>

KILN_FUNCTION(func, k, w) /* defines  kiln_tensor *func(kiln *k, kiln_tensor *w) */
{
    return kiln_sqrt(kiln_add(kiln_exp(w), 1.0));
}

static double by_tape(kiln *k, kiln_tensor *w)
{
    KILN_TAPE(k, tape);
    kiln_watch(tape, w);
    return kiln_item(kiln_gradient(tape, func(k, w), w));
}

int main(void)
{
    kiln *k = kiln_open(NULL);
    {
        KILN_SCOPE(k);
        kiln_tensor *w = kiln_scalar(k, KILN_F32, 2.0);
        kiln_eager(k, true);
        printf("eager:  value %.6f, gradient %.6f\n", kiln_item(func(k, w)), by_tape(k, w));
        kiln_eager(k, false);
        printf("traced: value %.6f, gradient %.6f\n", kiln_item(func(k, w)), by_tape(k, w)); /* first call: trace, compile */
        kiln_function *gradient = kiln_grad(KILN_FN(k, func)); /* a function itself */
        printf("kiln_grad: %.6f\n", kiln_item(kiln_call(gradient, w)));
    }
    return kiln_close(k);
}
