/* Eager against graph, and why: the table of time, kernels, bytes and memory, and whether the
 * results agree in every bit. */
#include <kiln/kiln.h>

static void block(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_softmax(kiln_gelu_tanh(kiln_add(kiln_mul(in[0], 2.0), in[1])), -1);
}

int main(void)
{
    kiln *k = kiln_open(NULL);
    {
        KILN_SCOPE(k);
        kiln_variable *chance = kiln_generator(k, 1);
        kiln_tensor *x = kiln_normal(chance, KILN_F32, KILN_SHAPE(256, 256), 0, 1);
        kiln_tensor *y = kiln_normal(chance, KILN_F32, KILN_SHAPE(256), 0, 1);
        kiln_function *f = kiln_function_new(k, block, NULL, &(kiln_function_options){.name = "block"});
        kiln_compare(stdout, f, KILN_IN(x, y), &(kiln_compare_options){.seconds = 0.1});
    }
    return kiln_close(k);
}
