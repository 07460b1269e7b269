/* Newton's method as one function: a loop that ends when it has converged, derivatives by a tape inside it; and the solution's own derivative,
 * by reverse mode through the loop. x solves cos(x) = x + a, so that dx/da = -1 / (1 + sin x). */
#include <kiln/kiln.h>
#include <math.h>

KILN_FUNCTION(solve, k, a)
{
    kiln_variable *x = kiln_local(k, KILN_F32, 0.5);
    KILN_WHILE(k, kiln_greater(kiln_abs(kiln_sub(kiln_sub(kiln_cos(x), x), a)), 1e-6))
    {
        KILN_TAPE(k, tape);
        kiln_tensor *now = kiln_watch(tape, kiln_value(x));
        kiln_tensor *f = kiln_sub(kiln_sub(kiln_cos(now), now), a);
        kiln_assign_sub(x, kiln_div(f, kiln_gradient(tape, f, now)));
    }
    return kiln_value(x);
}

int main(void)
{
    kiln *k = kiln_open(NULL);
    const double as[] = {-0.5, 0, 0.25};
    float found[2][2][3];
    for (int traced = 0; traced < 2; traced++)
        for (int i = 0; i < 3; i++) {
            KILN_SCOPE(k);
            kiln_eager(k, !traced);
            kiln_tensor *a = kiln_scalar(k, KILN_F32, as[i]);
            KILN_TAPE(k, tape);
            kiln_tensor *x = solve(k, kiln_watch(tape, a));
            found[traced][0][i] = (float)kiln_item(x);
            found[traced][1][i] = (float)kiln_item(kiln_gradient(tape, x, a));
        }
    for (int i = 0; i < 3; i++) {
        double x = (double)found[1][0][i], dx = (double)found[1][1][i];
        printf("a %5.2f: x %.5f, dx/da %.5f, by the formula %.5f\n", as[i], x, dx, -1 / (1 + sin(x)));
    }
    bool equal = true;
    for (int i = 0; i < 6; i++) equal = equal && found[0][i / 3][i % 3] == found[1][i / 3][i % 3];
    printf("eager and traced are %s\n", equal ? "equal" : "DIFFERENT");
    return kiln_close(k);
}
