/* Two constants and their sum, at once and as a traced function. */
#include <kiln/kiln.h>

KILN_FUNCTION(total, k, a, b)
{
    return kiln_add(a, b);
}

int main(void)
{
    kiln *k = kiln_open(NULL);
    {
        KILN_SCOPE(k);
        kiln_tensor *a = kiln_scalar(k, KILN_F32, 2.0);
        kiln_tensor *b = kiln_scalar(k, KILN_F32, 4.0);
        kiln_print(stdout, kiln_add(a, b));
        kiln_print(stdout, total(k, a, b));
    }
    return kiln_close(k);
}
