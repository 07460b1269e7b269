/* Three layers written out, one-hot targets, summed squared error over the batch: the gradients of
 * all six parameters agree with finite differences; then they are applied. Everything in f64, so
 * that the differences mean something. */
#include <kiln/kiln.h>
#include <math.h>

enum { BATCH = 4, PARAMETERS = 6 };
static kiln_variable *parameter[PARAMETERS];

static kiln_tensor *loss_of(kiln_tensor *x, kiln_tensor *labels)
{
    kiln_tensor *h = kiln_tanh(kiln_add(kiln_matmul(x, parameter[0]), parameter[1]));
    h = kiln_tanh(kiln_add(kiln_matmul(h, parameter[2]), parameter[3]));
    kiln_tensor *y = kiln_add(kiln_matmul(h, parameter[4]), parameter[5]);
    kiln_tensor *error = kiln_square(kiln_sub(y, kiln_one_hot(labels, 3, KILN_F64)));
    return kiln_div(kiln_sum(error, KILN_ALL), (double)BATCH);
}

/* out: the loss, six gradients */
static void gradients(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    KILN_TAPE(k, tape);
    out[0] = loss_of(in[0], in[1]);
    kiln_gradients(tape, out[0], kiln_variables(parameter, PARAMETERS), out + 1);
}

static void loss_only(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = loss_of(in[0], in[1]);
}

/* The largest difference between a gradient and central differences of the loss, over all elements
 * of parameter p. */
static double worst(kiln *k, kiln_function *loss, kiln_operand const *in, int p, kiln_tensor *gradient)
{
    KILN_SCOPE(k);
    double value[64], slope[64], far = 0, h = 1e-6;
    kiln_tensor *now = kiln_value(parameter[p]);
    int n = (int)kiln_elements(now);
    kiln_read(now, value, sizeof *value * (size_t)n);
    kiln_read(gradient, slope, sizeof *slope * (size_t)n);
    for (int i = 0; i < n; i++) {
        double at[2], old = value[i];
        for (int side = 0; side < 2; side++) {
            KILN_SCOPE(k);
            value[i] = old + (side ? h : -h);
            kiln_assign(parameter[p], kiln_reshape(kiln_from(k, KILN_F64, KILN_SHAPE(n), value, n), kiln_rank(now) == 2
                ? KILN_SHAPE(kiln_dim(now, 0), kiln_dim(now, 1)) : KILN_SHAPE(n)));
            at[side] = kiln_item(kiln_call_at(KILN_HERE, loss, in, 2));
        }
        value[i] = old;
        far = fmax(far, fabs((at[1] - at[0]) / (2 * h) - slope[i]));
    }
    kiln_assign(parameter[p], now);
    return far;
}

int main(void)
{
    kiln *k = kiln_open(NULL);
    {
        KILN_SCOPE(k);
        static const int64_t size[4] = {5, 6, 4, 3};
        kiln_variable *chance = kiln_generator(k, 3);
        for (int i = 0; i < 3; i++) {
            parameter[2 * i] = kiln_variable_new(k, "w", kiln_normal(chance, KILN_F64, KILN_SHAPE(size[i], size[i + 1]), 0, 0.5));
            parameter[2 * i + 1] = kiln_variable_new(k, "b", kiln_normal(chance, KILN_F64, KILN_SHAPE(size[i + 1]), 0, 0.5));
        }
        kiln_operand in[2] = {kiln_of_tensor(kiln_normal(chance, KILN_F64, KILN_SHAPE(BATCH, 5), 0, 1)),
            kiln_of_tensor(kiln_i64(k, KILN_SHAPE(BATCH), 0, 2, 1, 2))};
        kiln_function *f = kiln_function_new(k, gradients, NULL, &(kiln_function_options){.name = "gradients", .outputs = 7});
        kiln_function *loss = kiln_function_new(k, loss_only, NULL, &(kiln_function_options){.name = "loss"});
        for (int traced = 0; traced < 2; traced++) {
            kiln_tensor *out[1 + PARAMETERS];
            double far = 0;
            kiln_eager(k, !traced);
            kiln_call_all(f, in, 2, out, 1 + PARAMETERS);
            for (int p = 0; p < PARAMETERS; p++)
                far = fmax(far, worst(k, loss, in, p, out[1 + p]));
            printf("%-6s six gradients %s finite differences\n", traced ? "traced" : "eager", far < 1e-7 ? "equal" : "DIFFER from");
            for (int p = 0; p < PARAMETERS; p++)
                kiln_assign_sub(parameter[p], kiln_mul(0.05, out[1 + p]));
            double after = kiln_item(kiln_call_at(KILN_HERE, loss, in, 2));
            printf("%-6s applied, the loss %s\n", traced ? "traced" : "eager", after < kiln_item(out[0]) ? "falls" : "does NOT fall");
        }
    }
    return kiln_close(k);
}
