/* A function that is written for one example, on many: the loss of a row of data, its gradient for each row (as differential privacy
 * and influence functions ask for), a solver in which each example stops when it is done, and a Hessian. */
#include <kiln/kiln.h>

/* in: weights [3], a row [3], its target; the squared error */
static void loss(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_square(kiln_sub(kiln_matmul(in[0], in[1]), in[2]));
}

/* The square root of a number by Newton's method, and how many steps it took. */
static void root(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_variable *x = kiln_local(k, in[0]), *steps = kiln_local(k, kiln_scalar(k, KILN_I32, 0));
    (void)user;
    KILN_WHILE(k, kiln_greater(kiln_abs(kiln_sub(kiln_square(x), in[0])), 1e-3)) {
        kiln_assign(x, kiln_mul(kiln_add(x, kiln_div(in[0], x)), 0.5));
        kiln_assign_add(steps, 1);
    }
    out[0] = kiln_value(x);
    out[1] = kiln_value(steps);
}

int main(void)
{
    kiln *k = kiln_open(NULL);
    {
        KILN_SCOPE(k);
        kiln_tensor *w = kiln_f32(k, KILN_SHAPE(3), 1, -1, 2);
        kiln_tensor *rows = kiln_f32(k, KILN_SHAPE(4, 3), 1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 1);
        kiln_tensor *targets = kiln_f32(k, KILN_SHAPE(4), 0, 1, 2, 3);
        kiln_function *f = kiln_function_new(k, loss, NULL, &(kiln_function_options){.name = "loss", .inputs_count = 3});

        const kiln_vmap_options each_row = {.in = {KILN_SHARED, 0, 0}};
        kiln_tensor *slope[3];
        kiln_print(stdout, kiln_call(kiln_vmap(f, &each_row), w, rows, targets));
        kiln_call_all(kiln_vmap(kiln_grad(f), &each_row), KILN_IN(w, rows, targets), slope, 3);
        kiln_print(stdout, slope[0]); /* of each row, with respect to the weights */

        kiln_function *newton = kiln_function_new(k, root, NULL, &(kiln_function_options){.name = "root", .inputs_count = 1, .outputs = 2});
        kiln_tensor *out[2];
        kiln_call_all(kiln_vmap(newton, NULL), KILN_IN(kiln_f32(k, KILN_SHAPE(4), 1, 2, 100, 9)), out, 2);
        kiln_print(stdout, out[0]);
        kiln_print(stdout, out[1]);

        kiln_tensor *block[9];
        kiln_call_all(kiln_hessian(f), KILN_IN(w, kiln_f32(k, KILN_SHAPE(3), 1, 2, 3), kiln_f32(k, KILN_SHAPE(), 5)), block, 9);
        kiln_print(stdout, block[0]); /* with respect to the weights, twice */
    }
    return kiln_close(k);
}
