/* Backtracking line search (Armijo 1966) inside the function: the whole descent is two nested loops of one compiled function, and the host
 * reads the result. line_search.c is the same with the decisions on the host. */
#include <kiln/kiln.h>

/* Rosenbrock's valley: (1 - x)^2 + 10 (y - x^2)^2. */
static kiln_tensor *valley(kiln_tensor *p)
{
    kiln_tensor *x = kiln_slice(p, 0, 0, 1, 1), *y = kiln_slice(p, 0, 1, 2, 1);
    kiln_tensor *a = kiln_square(kiln_sub(1.0, x)), *b = kiln_square(kiln_sub(y, kiln_square(x)));
    return kiln_sum(kiln_add(a, kiln_mul(10.0, b)), KILN_ALL);
}

static kiln_tensor *moved(kiln_variable *p, kiln_tensor *slope, kiln_variable *step)
{
    return kiln_sub(p, kiln_mul(slope, step));
}

/* The value after each step: whatever `steps` is, one trace. */
static void descend(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    kiln_variable *p = kiln_local(k, in[0]), *worst = kiln_local(k, KILN_F32, -1.0);
    KILN_FOR(k, i, in[1])
    {
        KILN_TAPE(k, tape);
        kiln_tensor *now = kiln_watch(tape, kiln_value(p));
        kiln_tensor *value = valley(now), *slope = kiln_gradient(tape, value, now);
        kiln_tensor *promised = kiln_mul(0.1, kiln_sum(kiln_square(slope), KILN_ALL));
        kiln_variable *step = kiln_local(k, KILN_F32, 1.0);
        KILN_WHILE(k, kiln_and(kiln_greater(step, 1e-6),
                          kiln_greater(valley(moved(p, slope, step)), kiln_sub(value, kiln_mul(step, promised)))))
            kiln_assign(step, kiln_mul(step, 0.5));
        kiln_assign(p, moved(p, slope, step));
        kiln_assign(worst, kiln_max(worst, kiln_sub(valley(kiln_value(p)), value)));
    }
    out[0] = valley(kiln_value(p));
    out[1] = kiln_value(worst);
}

int main(void)
{
    kiln *k = kiln_open(NULL);
    double end[2], worst[2];
    kiln_function *f = kiln_function_new(k, descend, NULL, &(kiln_function_options){.name = "descend", .outputs = 2});
    for (int traced = 0; traced < 2; traced++) {
        KILN_SCOPE(k);
        kiln_tensor *out[2];
        kiln_eager(k, !traced);
        kiln_call_all(f, KILN_IN(kiln_f32(k, KILN_SHAPE(2), -1, 1.5), kiln_scalar(k, KILN_I32, 60)), out, 2);
        end[traced] = kiln_item(out[0]);
        worst[traced] = kiln_item(out[1]);
    }
    printf("the value %s at every step\n", worst[1] < 0 ? "falls" : "does NOT fall");
    printf("it ends %s\n", end[1] < 0.5 ? "below 0.5" : "TOO HIGH");
    printf("eager and traced are %s\n", end[0] == end[1] && worst[0] == worst[1] ? "equal" : "DIFFERENT");
    return kiln_close(k);
}
