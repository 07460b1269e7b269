/* A body that reads past its inputs gets an error that says which one is missing: eagerly, traced, and ahead of time. */
#include <kiln/aot.h>
#include <kiln/kiln.h>

static void body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user, (void)k;
    out[0] = kiln_square(in[7]);
    for (int i = 1; i < 7; i++) out[0] = kiln_add(out[0], in[i]);
}

int main(void)
{
    kiln *k = kiln_open(NULL);
    for (int way = 0; way < 3; way++) {
        KILN_SCOPE(k);
        kiln_eager(k, way == 0);
        kiln_function *f = kiln_function_new(k, body, NULL, NULL);
        if (way < 2)
            kiln_call(f, kiln_scalar(k, KILN_F32, 1));
        else
            kiln_aot(f, "few_inputs", NULL);
        printf("%s\n", kiln_error(k)->text);
        kiln_clear(k);
    }
    return kiln_close(k);
}
