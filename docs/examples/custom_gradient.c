/* Gradients of one's own: one whose norm is clipped on its way back, and log(1 + e^x), whose
 * derivative as written is infinity over infinity for large x. */
#include <kiln/kiln.h>

/* x as it is; its gradient, scaled to norm 0.5 if it is longer. */
static void clip_backward(kiln *k, kiln_tensor *g, kiln_tensor *const *x, kiln_tensor **dx, void *user)
{
    (void)k, (void)x, (void)user;
    dx[0] = kiln_mul(g, kiln_min(kiln_div(0.5, kiln_norm(g)), 1.0));
}

KILN_FUNCTION(clipped, k, v)
{
    KILN_TAPE(k, tape);
    kiln_watch(tape, v);
    kiln_tensor *square = kiln_mul(v, v);
    return kiln_gradient(tape, kiln_custom_gradient(square, &square, 1, clip_backward, NULL), v);
}

KILN_FUNCTION(naive, k, x)
{
    KILN_TAPE(k, tape);
    kiln_watch(tape, x);
    return kiln_gradient(tape, kiln_log(kiln_add(kiln_exp(x), 1.0)), x);
}

/* 1 - 1 / (1 + e^x), which is 1 where e^x is infinite. */
static void log1pexp_backward(kiln *k, kiln_tensor *g, kiln_tensor *const *x, kiln_tensor **dx, void *user)
{
    (void)k, (void)user;
    dx[0] = kiln_mul(g, kiln_sub(1.0, kiln_div(1.0, kiln_add(kiln_exp(x[0]), 1.0))));
}

KILN_FUNCTION(careful, k, x)
{
    KILN_TAPE(k, tape);
    kiln_watch(tape, x);
    kiln_tensor *y = kiln_custom_gradient(kiln_log(kiln_add(kiln_exp(x), 1.0)), &x, 1, log1pexp_backward, NULL);
    return kiln_gradient(tape, y, x);
}

int main(void)
{
    kiln *k = kiln_open(NULL);
    for (int traced = 0; traced < 2; traced++) {
        KILN_SCOPE(k);
        kiln_eager(k, !traced);
        kiln_tensor *zero = kiln_scalar(k, KILN_F32, 0.0), *hundred = kiln_scalar(k, KILN_F32, 100.0);
        printf("%s\n", traced ? "traced" : "eager");
        printf("  clipped: %g\n", kiln_item(clipped(k, kiln_scalar(k, KILN_F32, 2.0))));
        printf("  naive:   %g at 0, %s at 100\n", kiln_item(naive(k, zero)),
            kiln_item(kiln_isnan(naive(k, hundred))) != 0 ? "nan" : "a number");
        printf("  custom:  %g at 0, %g at 100\n", kiln_item(careful(k, zero)), kiln_item(careful(k, hundred)));
    }
    return kiln_close(k);
}
