/* A convolutional network on images of digits: two convolutions 3x3x16, global average pooling, a
 * dense layer; Adam, shuffled batches of 32, the logits' shape asserted inside the step. A few
 * steps only, eagerly and traced. `convnet loss.svg` draws the loss. Averaging over the whole image
 * forgets where things are, so it learns slowly; `kiln demo` trains one that pools and flattens. */
#include <kiln/data.h>
#include <kiln/kiln.h>
#include <kiln/nn.h>
#include <string.h>

typedef struct Net { kiln_conv *first, *second; kiln_dense *out; kiln_optimizer *adam; } Net;

static void step(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    Net *net = user;
    KILN_TAPE(k, tape);
    kiln_tensor *h = kiln_relu(kiln_conv_apply(net->first, in[0]));
    h = kiln_relu(kiln_conv_apply(net->second, h));
    kiln_tensor *logits = kiln_dense_apply(net->out, kiln_global_avg_pool(h));
    kiln_assert_shape(logits, KILN_SHAPE(32, 10));
    out[0] = kiln_cross_entropy(logits, in[1]);
    kiln_optimizer_minimize(net->adam, tape, out[0]);
}

enum { STEPS = 24 };

static void train(kiln *k, kiln_dataset *data, bool traced, float loss[STEPS])
{
    KILN_SCOPE(k);
    kiln_variable *chance = kiln_generator(k, 7);
    kiln_window window = {.size = {3, 3}};
    Net net = {kiln_conv_new(k, 1, 16, &window, chance), kiln_conv_new(k, 16, 16, &window, chance),
        kiln_dense_new(k, 16, 10, chance), kiln_adam(k, 0.01)};
    kiln_function *f = kiln_function_new(k, step, &net, &(kiln_function_options){.name = "convnet"});
    kiln_eager(k, !traced);
    for (kiln_batch b = kiln_batches(data, 32, 5); kiln_next(&b);) {
        KILN_SCOPE(k);
        kiln_read(kiln_call(f, b.x, b.y), &loss[b.index], sizeof *loss);
    }
    kiln_function_free(f);
}

static double mean(const float *v, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += (double)v[i];
    return sum / n;
}

/* The loss, from 0 to 3, as an SVG file. */
static bool draw(const char *path, const float loss[STEPS])
{
    FILE *f = fopen(path, "w");
    if (!f) return false;
    fprintf(f, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 480 300\">\n"
               "<polyline fill=\"none\" stroke=\"#d62728\" points=\"");
    for (int i = 0; i < STEPS; i++)
        fprintf(f, "%d,%.1f ", 480 * i / STEPS, 300 - 100 * (double)loss[i]);
    fputs("\"/>\n</svg>\n", f);
    return fclose(f) == 0;
}

int main(int argc, char **argv)
{
    static float loss[2][STEPS];
    kiln *k = kiln_open(NULL);
    {
        KILN_SCOPE(k);
        kiln_tensor *x, *y;
        kiln_digits(k, STEPS * 32, 1, &x, &y);
        x = kiln_reshape(kiln_div(kiln_cast(x, KILN_F32), 255.0), KILN_SHAPE(-1, 28, 28, 1));
        kiln_dataset *data = kiln_dataset_new(k, x, kiln_cast(y, KILN_I64));
        train(k, data, false, loss[0]);
        train(k, data, true, loss[1]);
        printf("the logits are %s\n", kiln_failed(k) ? kiln_error(k)->text : "[32, 10]");
        printf("eager and traced losses are %s\n", memcmp(loss[0], loss[1], sizeof loss[0]) ? "DIFFERENT" : "equal bit for bit");
        printf("the loss %s\n", mean(loss[1] + STEPS - 8, 8) < mean(loss[1], 8) ? "falls" : "does NOT fall");
        if (argc > 1 && !draw(argv[1], loss[1])) perror(argv[1]);
    }
    return kiln_close(k);
}
