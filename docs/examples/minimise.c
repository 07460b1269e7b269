/* The lowest point of y = x^2 - 2 x + 1 by 1000 steps of gradient descent, the loop in C: the update
 * written out, and by an optimiser, each eagerly and as a traced step. */
#include <kiln/nn.h>

static kiln_variable *x;
static kiln_optimizer *sgd;

static kiln_tensor *parabola(void)
{
    return kiln_add(kiln_sub(kiln_square(x), kiln_mul(2.0, x)), 1.0);
}

static void by_hand(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)in, (void)user;
    KILN_TAPE(k, tape);
    out[0] = parabola();
    kiln_assign_sub(x, kiln_mul(0.01, kiln_gradient(tape, out[0], x)));
}

static void by_optimiser(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)in, (void)user;
    KILN_TAPE(k, tape);
    out[0] = parabola();
    kiln_optimizer_minimize(sgd, tape, out[0]); /* every variable that the tape saw */
}

static void minimise(kiln *k, const char *name, kiln_body *body)
{
    kiln_function *step = kiln_function_new(k, body, NULL, &(kiln_function_options){.name = name});
    for (int traced = 0; traced < 2; traced++) {
        KILN_SCOPE(k);
        double y = 0;
        kiln_eager(k, !traced);
        kiln_assign(x, 0.0);
        for (int i = 0; i < 1000; i++) {
            KILN_SCOPE(k);
            y = kiln_item(kiln_call(step));
        }
        printf("%s, %s: y %.6f at x %.8f\n", name, traced ? "traced" : "eager", y, kiln_item(x));
    }
}

int main(void)
{
    kiln *k = kiln_open(NULL);
    {
        KILN_SCOPE(k);
        x = kiln_variable_new(k, "x", kiln_scalar(k, KILN_F32, 0.0));
        sgd = kiln_sgd(k, 0.01, 0);
        minimise(k, "by hand", by_hand);
        minimise(k, "by optimiser", by_optimiser);
    }
    return kiln_close(k);
}
