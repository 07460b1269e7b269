/* Gradients of composites far out are finite wherever the true ones are: sigmoid and its kin, and a GRU fed with 500. */
#include <kiln/kiln.h>
#include <kiln/nn.h>
#include <math.h>

KILN_FUNCTION(sigmoid, k, x) { return kiln_sigmoid(x); }
KILN_FUNCTION(gelu, k, x) { return kiln_gelu_tanh(x); }
KILN_FUNCTION(silu, k, x) { return kiln_silu(x); }

static bool gru_is_finite(kiln *k)
{
    kiln_variable *g = kiln_generator(k, 1);
    kiln_recurrent *gru = kiln_gru_new(k, 2, 3, g);
    kiln_tensor *x = kiln_full(k, KILN_F32, KILN_SHAPE(4, 1, 2), 500);
    KILN_TAPE(k, tape);
    kiln_watch(tape, x);
    kiln_tensor *dx = kiln_gradient(tape, kiln_recurrent_apply(gru, x, NULL), x);
    return isfinite(kiln_item(kiln_sum(kiln_abs(dx), KILN_ALL)));
}

int main(void)
{
    kiln *k = kiln_open(NULL);
    for (int traced = 0; traced < 2; traced++) {
        KILN_SCOPE(k);
        kiln_eager(k, !traced);
        kiln_tensor *h = kiln_cast(kiln_f32(k, KILN_SHAPE(2), -11, -12), KILN_F16);
        kiln_tensor *far = kiln_cast(kiln_f32(k, KILN_SHAPE(2), 300, -300), KILN_F16);
        kiln_print(stdout, kiln_call(kiln_grad(KILN_FN(k, sigmoid)), kiln_f32(k, KILN_SHAPE(3), -80, -89, -1000)));
        kiln_print(stdout, kiln_call(kiln_grad(KILN_FN(k, sigmoid)), h));
        kiln_print(stdout, sigmoid(k, h));
        kiln_print(stdout, kiln_call(kiln_grad(KILN_FN(k, gelu)), far));
        kiln_print(stdout, kiln_call(kiln_grad(KILN_FN(k, silu)), far));
        printf("GRU fed with 500: %s\n", gru_is_finite(k) ? "finite gradients" : "not finite");
    }
    return kiln_close(k);
}
