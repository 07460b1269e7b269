/* y = a x^2 + b x + c at x = 0: first derivatives with respect to a variable and to watched
 * tensors, and the second by nested tapes: the outer one sees the operations by which the inner one
 * made its gradient. */
#include <kiln/kiln.h>

static kiln_variable *x;

static kiln_tensor *parabola(kiln_tensor *a, kiln_tensor *b, kiln_tensor *c)
{
    return kiln_add(kiln_add(kiln_mul(a, kiln_pow(x, 2)), kiln_mul(b, x)), c);
}

/* in: a, b, c; out: dy/dx, dy/da, dy/dc, d2y/dx2 */
static void derivatives(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    KILN_TAPE(k, outer); /* records until its gradient is taken, kiln_tape_stop, or the end of the block */
    KILN_TAPE_PERSISTENT(k, inner);
    kiln_watch(inner, in[0]);
    kiln_watch(inner, in[2]);
    kiln_tensor *y = parabola(in[0], in[1], in[2]);
    out[0] = kiln_gradient(inner, y, x);
    out[1] = kiln_gradient(inner, y, in[0]);
    out[2] = kiln_gradient(inner, y, in[2]);
    out[3] = kiln_gradient(outer, out[0], x);
}

int main(void)
{
    kiln *k = kiln_open(NULL);
    {
        KILN_SCOPE(k);
        x = kiln_variable_new(k, "x", KILN_F32, 0.0);
        kiln_tensor *abc[3];
        double value[3] = {1, -2, 1};
        for (int i = 0; i < 3; i++)
            abc[i] = kiln_scalar(k, KILN_F32, value[i]);
        kiln_function *f = kiln_function_new(k, derivatives, NULL, &(kiln_function_options){.name = "derivatives", .outputs = 4});
        for (int traced = 0; traced < 2; traced++) {
            KILN_SCOPE(k);
            kiln_tensor *d[4];
            kiln_eager(k, !traced);
            kiln_call_all(f, kiln_tensors(abc, 3), d, 4);
            printf("%-6s dy/dx %g, dy/da %g, dy/dc %g, d2y/dx2 %g\n", traced ? "traced" : "eager", kiln_item(d[0]), kiln_item(d[1]),
                kiln_item(d[2]), kiln_item(d[3]));
        }
        if (kiln_failed(k)) fprintf(stderr, "%s\n", kiln_error(k)->text);
    }
    return kiln_close(k);
}
