/* A persistent tape gives as many gradients as are asked; an ordinary one gives one, and says so. */
#include <kiln/kiln.h>

static void both(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    KILN_TAPE_PERSISTENT(k, tape);
    kiln_watch(tape, in[0]);
    kiln_tensor *y = kiln_mul(in[0], in[0]), *z = kiln_mul(y, y);
    out[0] = kiln_gradient(tape, z, in[0]);
    out[1] = kiln_gradient(tape, y, in[0]);
}

int main(void)
{
    kiln *k = kiln_open(NULL);
    {
        KILN_SCOPE(k);
        kiln_tensor *x = kiln_scalar(k, KILN_F32, 3.0);
        kiln_function *f = kiln_function_new(k, both, NULL, &(kiln_function_options){.name = "both", .outputs = 2});
        for (int traced = 0; traced < 2; traced++) {
            kiln_tensor *out[2];
            kiln_eager(k, !traced);
            kiln_call_all(f, KILN_IN(x), out, 2);
            printf("%-6s dz/dx %g, dy/dx %g\n", traced ? "traced" : "eager", kiln_item(out[0]), kiln_item(out[1]));
        }
        KILN_TAPE(k, tape);
        kiln_watch(tape, x);
        kiln_tensor *y = kiln_mul(x, x);
        printf("once: %g\n", kiln_item(kiln_gradient(tape, y, x)));
        kiln_gradient(tape, y, x);
        printf("twice is %s\n", kiln_failed(k) ? "an error" : "no error?");
        fprintf(stderr, "%s\n", kiln_error(k)->text);
        kiln_clear(k);
    }
    return kiln_close(k);
}
