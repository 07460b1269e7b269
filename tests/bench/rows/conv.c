/* Rows that are convolutions, alone and as a block of ResNet-50 (its normalisation folded into the biases). Channels are last. */
#include "row.h"

static void images(Bench *b, const int64_t *n) /* n, height and width, channels, taps a side, last two sizes of the filters */
{
    add_normal(b, KILN_SHAPE(n[0], n[1], n[1], n[2]));
    add_input(b, draw_normal(b, KILN_SHAPE(n[3], n[3], n[4], n[5]), 0.1, 0));
}

/* 1 x 1 to fewer channels, 3 x 3, 1 x 1 back: n, height and width, channels, fewer channels */
static void residual_block(Bench *b, const int64_t *n)
{
    const int64_t from[3] = {n[2], n[3], n[3]}, to[3] = {n[3], n[3], n[2]}, taps[3] = {1, 3, 1};
    add_normal(b, KILN_SHAPE(n[0], n[1], n[1], n[2]));
    for (int i = 0; i < 3; i++) {
        const kiln_window window = {.size = {taps[i], taps[i]}, .same = true};
        b->conv[i] = kiln_conv_new(b->k, from[i], to[i], &window, NULL);
        add_parameter(b, kiln_conv_filters(b->conv[i]), KILN_SHAPE(taps[i], taps[i], from[i], to[i]), i == 1 ? 0.04 : 0.08);
        add_parameter(b, kiln_conv_bias(b->conv[i]), KILN_SHAPE(to[i]), 0.01);
    }
}

static void residual_training(Bench *b, const int64_t *n)
{
    residual_block(b, n);
    use_sgd(b, BLOCK_RATE);
}

BODY(depthwise)
{
    const Bench *b = user;
    out[0] = kiln_convolve(in[0], in[1], &(kiln_convolution){.same = true, .groups = b->row->n[2]});
}

BODY(pointwise) { out[0] = kiln_convolve(in[0], in[1], NULL); }
BODY(twice_as_large)
{
    out[0] = kiln_convolve_transposed(in[0], in[1], &(kiln_convolution){.stride = {2, 2}, .pad = {{1, 1}, {1, 1}}});
}

static void image(Bench *b, const int64_t *n) { add_normal(b, KILN_SHAPE(n[0], n[1], n[1], n[2])); }

BODY(resize_linear) { out[0] = kiln_resize(in[0], KILN_AXES(1, 2), &(kiln_resizing){.scale = {2, 2}, .kind = KILN_RESIZE_LINEAR}); }
BODY(resize_nearest) { out[0] = kiln_resize(in[0], KILN_AXES(1, 2), &(kiln_resizing){.scale = {2, 2}}); }

static kiln_tensor *residual(Bench *b, kiln_tensor *x)
{
    kiln_tensor *h = kiln_relu(kiln_conv_apply(b->conv[0], x));
    h = kiln_relu(kiln_conv_apply(b->conv[1], h));
    return kiln_relu(kiln_add(x, kiln_conv_apply(b->conv[2], h)));
}

BODY(residual_forward) { out[0] = residual(user, in[0]); }

BODY(residual_step)
{
    Bench *b = user;
    KILN_TAPE(k, tape);
    kiln_tensor *y = residual(b, in[0]);
    out[0] = kiln_mean(kiln_mul(y, y), KILN_ALL);
    kiln_optimizer_minimize(b->optimizer, tape, out[0]);
}

const Row conv_rows[] = {
    {"depthwise", images, depthwise, {8, 56, 144, 3, 1, 144}, 0},
    {"pointwise", images, pointwise, {8, 56, 144, 1, 144, 144}, 0},
    {"conv_transposed", images, twice_as_large, {8, 28, 64, 4, 32, 64}, 0},
    {"resize_linear", image, resize_linear, {8, 56, 64}, 0},
    {"resize_nearest", image, resize_nearest, {8, 56, 64}, 0},
    {"resnet", residual_block, residual_forward, {4, 56, 256, 64}, 0},
    {"resnet_step", residual_training, residual_step, {4, 56, 256, 64}, 0},
    {0},
};
