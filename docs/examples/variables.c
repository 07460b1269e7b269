/* A variable holds a value that assignments replace; a traced function reads and writes it as the eager program does. */
#include <kiln/kiln.h>

static kiln_variable *v;

KILN_FUNCTION(advance, k, by)
{
    kiln_assign_add(v, by);
    return kiln_value(v);
}

int main(void)
{
    kiln *k = kiln_open(NULL);
    {
        KILN_SCOPE(k);
        v = kiln_variable_new(k, "v", kiln_scalar(k, KILN_F32, 2));
        kiln_print(stdout, kiln_value(v));
        kiln_assign(v, 3);
        kiln_print(stdout, kiln_value(v));
        kiln_assign_add(v, 2);
        kiln_print(stdout, kiln_value(v));
        kiln_assign_sub(v, 1);
        kiln_print(stdout, kiln_value(v));

        kiln_tensor *ten = kiln_scalar(k, KILN_F32, 10);
        kiln_print(stdout, advance(k, ten));
        kiln_print(stdout, advance(k, ten));
        kiln_print(stdout, kiln_value(v));
    }
    return kiln_close(k);
}
