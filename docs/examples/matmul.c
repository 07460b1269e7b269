/* A product of matrices, at once and traced; a vector is a row or a column as it stands. */
#include <kiln/kiln.h>

KILN_FUNCTION(product, k, a, b)
{
    return kiln_matmul(a, b);
}

int main(void)
{
    kiln *k = kiln_open(NULL);
    {
        KILN_SCOPE(k);
        kiln_tensor *a = kiln_f32(k, KILN_SHAPE(1, 1), 2);
        kiln_print(stdout, kiln_matmul(a, a));
        kiln_print(stdout, product(k, a, a));

        kiln_tensor *m = kiln_f32(k, KILN_SHAPE(2, 3), 1, 2, 3, 4, 5, 6);
        kiln_tensor *v = kiln_f32(k, KILN_SHAPE(3), 1, 0, -1);
        kiln_print(stdout, kiln_matmul(m, v));
        kiln_print(stdout, kiln_matmul(m, kiln_transpose(m, KILN_AXES(1, 0))));
        kiln_print(stdout, product(k, m, v));
    }
    return kiln_close(k);
}
