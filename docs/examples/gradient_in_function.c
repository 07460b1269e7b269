/* A traced function with a tape inside and two results: the slope and the value of x^2 - 2 x + 1. */
#include <kiln/kiln.h>

KILN_RESULTS(slope_and_value, out, 2, k, x) /* bool slope_and_value(kiln *k, kiln_tensor *x, kiln_tensor **out) */
{
    KILN_TAPE(k, tape);
    kiln_watch(tape, x);
    kiln_tensor *y = kiln_add(kiln_sub(kiln_pow(x, 2), kiln_mul(2.0, x)), 1.0);
    out[0] = kiln_gradient(tape, y, x);
    out[1] = y;
}

int main(void)
{
    kiln *k = kiln_open(NULL);
    {
        KILN_SCOPE(k);
        for (int traced = 0; traced < 2; traced++)
            for (int x = 0; x < 2; x++) {
                kiln_tensor *out[2];
                kiln_eager(k, !traced);
                slope_and_value(k, kiln_scalar(k, KILN_F32, x), out);
                printf("%s x = %d: (%g, %g)\n", traced ? "traced" : "eager ", x, kiln_item(out[0]), kiln_item(out[1]));
            }
        kiln_function_statistics s;
        kiln_function_stats(KILN_FN(k, slope_and_value), &s);
        printf("traced calls: %d, traces: %d\n", (int)s.calls, (int)s.traces);
    }
    return kiln_close(k);
}
