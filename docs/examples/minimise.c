/* The lowest point of y = x^2 - 2 x + 1 by 1000 steps of gradient descent. With the loop in C: the update written out, and by an
 * optimiser. With the loop in the function: 1000 steps, and as many as a tensor says. Each eagerly and traced. */
#include <kiln/nn.h>

static kiln_variable *x;
static kiln_optimizer *sgd;

static kiln_tensor *parabola(void)
{
    kiln_tensor *twice = kiln_mul(2.0, x); /* not an argument below: C would leave open which of them reads x first */
    return kiln_add(kiln_sub(kiln_square(x), twice), 1.0);
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

static void in_one_function(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    KILN_FOR(k, i, 1000) by_hand(k, in, out, user);
    out[0] = parabola();
}

KILN_FUNCTION(train, k, epochs) /* one trace for every number of epochs */
{
    KILN_FOR(k, i, epochs)
    {
        kiln_tensor *loss;
        by_optimiser(k, NULL, &loss, NULL);
    }
    return parabola();
}

static void in_the_graph(kiln *k)
{
    kiln_function *all = kiln_function_new(k, in_one_function, NULL, &(kiln_function_options){.name = "all"});
    for (int traced = 0; traced < 2; traced++) {
        KILN_SCOPE(k);
        const char *mode = traced ? "traced" : "eager";
        kiln_eager(k, !traced);
        kiln_assign(x, 0.0);
        double y = kiln_item(kiln_call(all));
        printf("a loop of 1000, %s: y %.6f at x %.8f\n", mode, y, kiln_item(x));
        kiln_assign(x, 0.0);
        for (int epochs = 100; epochs <= 900; epochs += 800) y = kiln_item(train(k, kiln_scalar(k, KILN_I32, epochs)));
        printf("train(100), train(900), %s: y %.6f at x %.8f\n", mode, y, kiln_item(x));
    }
    kiln_function_statistics s;
    kiln_function_wait(KILN_FN(k, train)); /* it is compiled while its first call is interpreted */
    kiln_function_stats(KILN_FN(k, train), &s);
    printf("train was compiled %s\n", s.compiles == 1 ? "once" : "AGAIN");
}

int main(void)
{
    kiln *k = kiln_open(NULL);
    {
        KILN_SCOPE(k);
        x = kiln_variable_new(k, "x", KILN_F32, 0.0);
        sgd = kiln_sgd(k, 0.01, 0);
        minimise(k, "by hand", by_hand);
        minimise(k, "by optimiser", by_optimiser);
        in_the_graph(k);
    }
    return kiln_close(k);
}
