/* MobileNetV2 (Sandler et al. 2018) with two classes, trained by Adam: inverted residuals of a 1x1 convolution that widens, a depthwise
 * 3x3 one and a 1x1 one that narrows, each with batch normalisation. The images are waves, of which the net learns to tell upright ones from
 * level ones. As it stands it is a narrow, shallow net on 32 x 32 images, for some seconds; `mobilenet 1 1 96 100` trains the one of the paper
 * (width 1, all repeats) for 100 steps on 96 x 96 images. */
#include <kiln/kiln.h>
#include <kiln/nn.h>
#include <stdlib.h>

typedef struct Unit { /* convolution, normalisation and, unless it narrows, relu6 */
    kiln_variable *filters;
    kiln_batchnorm *norm;
    kiln_convolution how;
    bool bent;
} Unit;

typedef struct Block { Unit unit[3]; int units; bool beside; } Block; /* beside: what comes in is added */

enum { BLOCKS_MOST = 24 };
typedef struct Net {
    Unit first, last;
    Block block[BLOCKS_MOST];
    int blocks;
    kiln_dense *out;
    kiln_optimizer *adam;
    kiln_variable *chance;
    int64_t parameters;
} Net;

static Unit unit(kiln *k, Net *net, int64_t size, int64_t in, int64_t out, int64_t stride, bool depthwise, bool bent)
{
    const int64_t each = depthwise ? 1 : in; /* channels that a filter reads */
    Unit u = {.how = {.stride = {stride, stride}, .same = true, .groups = depthwise ? in : 1}, .bent = bent};
    kiln_tensor *drawn = kiln_normal(net->chance, KILN_F32, KILN_SHAPE(size, size, each, out), 0, 1);
    u.filters = kiln_variable_new(k, "filters", kiln_div(drawn, kiln_sqrt(kiln_scalar(k, KILN_F32, (double)(size * size * each) / 2))));
    u.norm = kiln_batchnorm_new(k, out, NULL);
    net->parameters += size * size * each * out + 2 * out;
    return u;
}

static kiln_tensor *apply(const Unit *u, kiln_tensor *x)
{
    x = kiln_batchnorm_apply(u->norm, kiln_convolve(x, u->filters, &u->how), true);
    return u->bent ? kiln_relu6(x) : x;
}

/* A number of channels: a multiple of 8 near this one, at least nine tenths of it. */
static int64_t channels(double n)
{
    int64_t c = (int64_t)(n + 4) / 8 * 8;
    if (c < 8) c = 8;
    return (double)c < 0.9 * n ? c + 8 : c;
}

static void build(kiln *k, Net *net, double width, bool whole)
{
    static const int rows[7][4] = {{1, 16, 1, 1}, {6, 24, 2, 2}, {6, 32, 3, 2}, {6, 64, 4, 2}, {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}}; /* widening, channels, repeats, stride */
    int64_t in = channels(32 * width), last = width > 1 ? channels(1280 * width) : whole ? 1280 : 64;
    net->first = unit(k, net, 3, 3, in, 2, false, true);
    for (int r = 0; r < 7; r++)
        for (int i = 0; i < (whole ? rows[r][2] : 1); i++) {
            Block *b = &net->block[net->blocks++];
            const int64_t out = channels(rows[r][1] * width), wide = in * rows[r][0], stride = i ? 1 : rows[r][3];
            if (wide != in) b->unit[b->units++] = unit(k, net, 1, in, wide, 1, false, true);
            b->unit[b->units++] = unit(k, net, 3, wide, wide, stride, true, true);
            b->unit[b->units++] = unit(k, net, 1, wide, out, 1, false, false);
            b->beside = stride == 1 && in == out;
            in = out;
        }
    net->last = unit(k, net, 1, in, last, 1, false, true);
    net->out = kiln_dense_new(k, last, 2, net->chance);
    net->parameters += 2 * last + 2;
    net->adam = kiln_adam(k, 0.003);
}

static void step(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    Net *net = user;
    KILN_TAPE(k, tape);
    kiln_tensor *x = apply(&net->first, in[0]);
    for (int i = 0; i < net->blocks; i++) {
        const Block *b = &net->block[i];
        kiln_tensor *y = x;
        for (int j = 0; j < b->units; j++)
            y = apply(&b->unit[j], y);
        x = b->beside ? kiln_add(x, y) : y;
    }
    kiln_tensor *logits = kiln_dense_apply(net->out, kiln_global_avg_pool(apply(&net->last, x)));
    out[0] = kiln_cross_entropy(logits, in[1]);
    out[1] = kiln_mean(kiln_cast(kiln_equal(kiln_argmax(logits, 1), in[1]), KILN_F32), KILN_ALL);
    kiln_optimizer_minimize(net->adam, tape, out[0]);
}

/* Waves of drawn lengths and phases, level for label 0 and upright for label 1, and noise: [n, size, size, 3] and [n]. */
static void images(kiln *k, kiln_variable *chance, int64_t n, int64_t size, kiln_tensor **x, kiln_tensor **y)
{
    const kiln_shape each = KILN_SHAPE(n, 1, 1, 3);
    kiln_tensor *label = kiln_cast(kiln_bernoulli(chance, 0.5, KILN_SHAPE(n, 1, 1, 1)), KILN_F32);
    kiln_tensor *row = kiln_iota(k, KILN_F32, KILN_SHAPE(1, size, 1, 1), 1), *column = kiln_iota(k, KILN_F32, KILN_SHAPE(1, 1, size, 1), 2);
    kiln_tensor *place = kiln_add(kiln_mul(label, column), kiln_mul(kiln_sub(1, label), row));
    kiln_tensor *wave = kiln_sin(kiln_add(kiln_mul(place, kiln_uniform(chance, KILN_F32, each, 0.4, 1.2)), kiln_uniform(chance, KILN_F32, each, 0, 6.28)));
    *x = kiln_add(wave, kiln_normal(chance, KILN_F32, KILN_SHAPE(n, size, size, 3), 0, 0.1));
    *y = kiln_cast(kiln_reshape(label, KILN_SHAPE(n)), KILN_I64);
}

int main(int argc, char **argv)
{
    const double width = argc > 1 ? atof(argv[1]) : 0.25;
    const bool whole = argc > 2 && atoi(argv[2]);
    const int64_t size = argc > 3 ? atoi(argv[3]) : 32;
    const int steps = argc > 4 ? atoi(argv[4]) : 100;
    kiln *k = kiln_open(NULL);
    {
        KILN_SCOPE(k);
        Net net = {.chance = kiln_generator(k, 11)};
        build(k, &net, width, whole);
        kiln_function *train = kiln_function_new(k, step, &net, &(kiln_function_options){.name = "mobilenet", .outputs = 2});
        double loss[2] = {0}, right = 0; /* of the first and the last third of the steps */
        for (int i = 0; i < steps; i++) {
            KILN_SCOPE(k);
            kiln_tensor *x, *y, *out[2];
            images(k, net.chance, 16, size, &x, &y);
            if (!kiln_call_all(train, KILN_IN(x, y), out, 2)) break;
            if (argc > 4) printf("step %d: loss %.4f\n", i, kiln_item(out[0]));
            if (i < steps / 3) loss[0] += kiln_item(out[0]);
            if (i >= steps - steps / 3) loss[1] += kiln_item(out[0]), right += kiln_item(out[1]) / (steps / 3);
        }
        printf("%lld parameters in %d blocks\n", (long long)net.parameters, net.blocks);
        printf("the loss %s\n", loss[1] < loss[0] / 2 ? "falls" : "does NOT fall");
        printf("in the end %s\n", right > 0.8 ? "more than four images of five are told apart" : "images are NOT told apart");
    }
    return kiln_close(k);
}
