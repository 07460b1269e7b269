/* A linear layer of one unit from zero weights, mean squared error, 100 steps of SGD: eagerly, then
 * traced. Both end with the same weights, bit for bit, and the loss falls at each step. */
#include <kiln/nn.h>
#include <string.h>

typedef struct Model { kiln_dense *layer; kiln_optimizer *sgd; } Model;

static void step(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    Model *m = user;
    KILN_TAPE(k, tape);
    out[0] = kiln_mse(kiln_dense_apply(m->layer, in[0]), in[1]);
    kiln_optimizer_minimize(m->sgd, tape, out[0]); /* every variable that the tape saw */
}

/* Weights and bias after 100 steps; false if the loss once rose. */
static bool train(kiln *k, kiln_tensor *x, kiln_tensor *y, bool traced, float weights[4])
{
    Model m = {kiln_dense_new(k, 3, 1, KILN_ZEROS), kiln_sgd(k, 0.01, 0)};
    kiln_function *f = kiln_function_new(k, step, &m, &(kiln_function_options){.name = "linear_step"});
    double last = 1e30;
    bool falls = true;
    kiln_eager(k, !traced);
    for (int i = 0; i < 100; i++) {
        KILN_SCOPE(k);
        double loss = kiln_item(kiln_call(f, x, y));
        falls = falls && loss < last;
        last = loss;
    }
    kiln_read(kiln_dense_weight(m.layer), weights, 3 * sizeof *weights);
    kiln_read(kiln_dense_bias(m.layer), weights + 3, sizeof *weights);
    kiln_function_free(f);
    return falls;
}

int main(void)
{
    kiln *k = kiln_open(NULL);
    {
        KILN_SCOPE(k);
        kiln_tensor *x = kiln_f32(k, KILN_SHAPE(2, 3), 1, 2, 3, 4, 5, 6), *y = kiln_f32(k, KILN_SHAPE(2, 1), 10, 20);
        float eager[4], traced[4];
        printf("eager: the loss %s\n", train(k, x, y, false, eager) ? "falls" : "ROSE");
        printf("traced: the loss %s\n", train(k, x, y, true, traced) ? "falls" : "ROSE");
        printf("w %.4f %.4f %.4f, b %.4f\n", (double)eager[0], (double)eager[1], (double)eager[2], (double)eager[3]);
        printf("the weights are %s\n", memcmp(eager, traced, sizeof eager) ? "DIFFERENT" : "equal bit for bit");
    }
    return kiln_close(k);
}
