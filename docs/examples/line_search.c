/* Backtracking line search (Armijo 1966): the host decides with `while` on values that it reads,
 * the function that it minimises and its gradient are traced. */
#include <kiln/kiln.h>

/* Rosenbrock's valley: (1 - x)^2 + 10 (y - x^2)^2. */
KILN_FUNCTION(valley, k, p)
{
    kiln_tensor *x = kiln_slice(p, 0, 0, 1, 1), *y = kiln_slice(p, 0, 1, 2, 1);
    kiln_tensor *a = kiln_square(kiln_sub(1.0, x)), *b = kiln_square(kiln_sub(y, kiln_square(x)));
    return kiln_sum(kiln_add(a, kiln_mul(10.0, b)), KILN_ALL);
}

/* Halves the step until the value falls by a tenth of what the slope promises; the new point. */
static kiln_tensor *search(kiln *k, kiln_tensor *p)
{
    KILN_TAPE(k, tape);
    kiln_watch(tape, p);
    kiln_tensor *value = valley(k, p), *slope = kiln_gradient(tape, value, p);
    double start = kiln_item(value), steep = kiln_item(kiln_sum(kiln_square(slope), KILN_ALL)), step = 1;
    kiln_tensor *next = kiln_sub(p, kiln_mul(slope, step));
    while (step > 1e-6 && kiln_item(valley(k, next)) > start - 0.1 * step * steep) {
        step /= 2;
        next = kiln_sub(p, kiln_mul(slope, step));
    }
    return next;
}

static double minimise(kiln *k, bool traced, bool *falls)
{
    KILN_SCOPE(k);
    kiln_tensor *p = NULL; /* kiln_set keeps it beyond the scope of an iteration */
    kiln_set(&p, kiln_f32(k, KILN_SHAPE(2), -1, 1.5));
    kiln_eager(k, !traced);
    double value = kiln_item(valley(k, p));
    for (int i = 0; i < 60 && *falls; i++) {
        KILN_SCOPE(k);
        kiln_set(&p, search(k, p));
        double now = kiln_item(valley(k, p));
        *falls = now < value;
        value = now;
    }
    kiln_set(&p, NULL);
    return value;
}

int main(void)
{
    kiln *k = kiln_open(NULL);
    bool falls = true;
    double eager = minimise(k, false, &falls), traced = minimise(k, true, &falls);
    printf("the value %s at every step\n", falls ? "falls" : "does NOT fall");
    printf("it ends %s\n", eager < 0.5 ? "below 0.5" : "TOO HIGH");
    printf("eager and traced are %s\n", eager == traced ? "equal" : "DIFFERENT");
    return kiln_close(k);
}
