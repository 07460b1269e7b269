/* A tape records what is computed and gives gradients of it: of a product, and of a sum squared. */
#include <kiln/kiln.h>

KILN_FUNCTION(square_gradient, k, w)
{
    KILN_TAPE(k, tape);
    kiln_watch(tape, w); /* variables are watched by being read, tensors by asking */
    return kiln_gradient(tape, kiln_mul(w, w), w);
}

KILN_FUNCTION(sum_squared_gradient, k, x)
{
    KILN_TAPE(k, tape);
    kiln_watch(tape, x);
    kiln_tensor *y = kiln_sum(x, KILN_ALL);
    return kiln_gradient(tape, kiln_mul(y, y), x);
}

int main(void)
{
    kiln *k = kiln_open(NULL);
    for (int traced = 0; traced < 2; traced++) {
        KILN_SCOPE(k);
        kiln_eager(k, !traced); /* the same bodies, at once or compiled */
        printf("%s\n", traced ? "traced" : "eager");
        kiln_print(stdout, square_gradient(k, kiln_f32(k, KILN_SHAPE(1, 1), 1)));
        kiln_print(stdout, sum_squared_gradient(k, kiln_ones(k, KILN_F32, KILN_SHAPE(2, 2))));
    }
    return kiln_close(k);
}
