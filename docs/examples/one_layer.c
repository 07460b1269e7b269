/* One layer of a network as a traced function: the example that docs/design.md follows through the stages of compiling. */
#include <kiln/kiln.h>

KILN_FUNCTION(layer, k, x, w, b)
{
    return kiln_relu(kiln_add(kiln_matmul(x, w), b));
}

int main(void)
{
    kiln *k = kiln_open(NULL);
    {
        KILN_SCOPE(k);
        kiln_tensor *x = kiln_iota(k, KILN_F32, KILN_SHAPE(2, 3), 1), *w = kiln_ones(k, KILN_F32, KILN_SHAPE(3, 4));
        kiln_print(stdout, layer(k, x, w, kiln_f32(k, KILN_SHAPE(4), -4, -3, -2, -1)));
    }
    return kiln_close(k);
}
