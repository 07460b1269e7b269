/* Rows that are small networks: inference, a step of training, and the first call of one. */
#include "row.h"

static void mlp(Bench *b, const int64_t *n) /* batch, hidden units */
{
    const int64_t batch = n[0], hidden = n[1];
    add_input(b, draw_uniform(b, KILN_SHAPE(batch, 784)));
    add_input(b, draw_labels(b, batch, 10));
    b->dense[0] = kiln_dense_new(b->k, 784, hidden, NULL);
    b->dense[1] = kiln_dense_new(b->k, hidden, 10, NULL);
    add_parameter(b, kiln_dense_weight(b->dense[0]), KILN_SHAPE(784, hidden), 0.05);
    add_parameter(b, kiln_dense_bias(b->dense[0]), KILN_SHAPE(hidden), 0.01);
    add_parameter(b, kiln_dense_weight(b->dense[1]), KILN_SHAPE(hidden, 10), 0.1);
    add_parameter(b, kiln_dense_bias(b->dense[1]), KILN_SHAPE(10), 0.01);
}

static void unlabelled(Bench *b) { b->inputs = 1; } /* labels are drawn all the same, as on the other sides */
static void mlp_alone(Bench *b, const int64_t *n) { mlp(b, n), unlabelled(b); }
static void mlp_adam(Bench *b, const int64_t *n) { mlp(b, n), use_adam(b); }
static void mlp_sgd(Bench *b, const int64_t *n) { mlp(b, n), use_sgd(b, SGD_RATE); }

static void conv_layer(Bench *b, int i, int64_t from, int64_t to, double scale)
{
    const kiln_window window = {.size = {3, 3}};
    b->conv[i] = kiln_conv_new(b->k, from, to, &window, NULL);
    add_parameter(b, kiln_conv_filters(b->conv[i]), KILN_SHAPE(3, 3, from, to), scale);
    add_parameter(b, kiln_conv_bias(b->conv[i]), KILN_SHAPE(to), 0.01);
}

static void convnet(Bench *b, const int64_t *n) /* batch, channels of both convolutions, inputs of the last layer */
{
    add_input(b, draw_uniform(b, KILN_SHAPE(n[0], 28, 28, 1)));
    add_input(b, draw_labels(b, n[0], 10));
    conv_layer(b, 0, 1, n[1], 0.3);
    conv_layer(b, 1, n[1], n[2], 0.1);
    b->dense[1] = kiln_dense_new(b->k, n[3], 10, NULL);
    add_parameter(b, kiln_dense_weight(b->dense[1]), KILN_SHAPE(n[3], 10), n[3] > 16 ? 0.03 : 0.2);
    add_parameter(b, kiln_dense_bias(b->dense[1]), KILN_SHAPE(10), 0.01);
}

static void convnet_alone(Bench *b, const int64_t *n) { convnet(b, n), unlabelled(b); }
static void convnet_adam(Bench *b, const int64_t *n) { convnet(b, n), use_adam(b); }

static kiln_tensor *apply_mlp(Bench *b, kiln_tensor *x)
{
    return kiln_dense_apply(b->dense[1], kiln_relu(kiln_dense_apply(b->dense[0], x)));
}

static kiln_tensor *apply_convnet(Bench *b, kiln_tensor *x)
{
    kiln_tensor *h = kiln_relu(kiln_conv_apply(b->conv[0], x));
    return kiln_dense_apply(b->dense[1], kiln_global_avg_pool(kiln_relu(kiln_conv_apply(b->conv[1], h))));
}

/* As in Keras's example for MNIST, but for its dropout. */
static kiln_tensor *apply_pooled(Bench *b, kiln_tensor *x)
{
    const kiln_window half = {.size = {2, 2}};
    kiln_tensor *h = kiln_max_pool(kiln_relu(kiln_conv_apply(b->conv[0], x)), &half);
    h = kiln_max_pool(kiln_relu(kiln_conv_apply(b->conv[1], h)), &half);
    return kiln_dense_apply(b->dense[1], kiln_flatten(h));
}

typedef kiln_tensor *Net(Bench *b, kiln_tensor *x);

static void train(kiln *k, kiln_tensor *const *in, kiln_tensor **out, Bench *b, Net *net)
{
    KILN_TAPE(k, tape);
    out[0] = kiln_cross_entropy(net(b, in[0]), in[1]);
    kiln_optimizer_minimize(b->optimizer, tape, out[0]);
}

BODY(mlp_infer) { out[0] = apply_mlp(user, in[0]); }
BODY(mlp_train) { train(k, in, out, user, apply_mlp); }
BODY(convnet_infer) { out[0] = apply_convnet(user, in[0]); }
BODY(convnet_train) { train(k, in, out, user, apply_convnet); }
BODY(pooled_train) { train(k, in, out, user, apply_pooled); }

const Row model_rows[] = {
    {"mlp_b1", mlp_alone, mlp_infer, {1, 128}, 0},
    {"mlp_b1_object", mlp_alone, mlp_infer, {1, 128}, OBJECT},
    {"mlp_b64", mlp_alone, mlp_infer, {64, 128}, 0},
    {"mlp_sgd", mlp_sgd, mlp_train, {64, 128}, 0},
    {"mlp_adam", mlp_adam, mlp_train, {32, 100}, 0},
    {"conv_b1", convnet_alone, convnet_infer, {1, 16, 16, 16}, 0},
    {"conv_adam", convnet_adam, convnet_train, {32, 16, 16, 16}, 0},
    {"keras_conv", convnet_adam, pooled_train, {64, 32, 64, 1600}, 0},
    {"first_mlp", mlp_sgd, mlp_train, {64, 128}, ANSWERED},
    {"first_mlp_compiled", mlp_sgd, mlp_train, {64, 128}, COMPILED},
    {"first_mlp_disk", mlp_sgd, mlp_train, {64, 128}, KEPT},
    {"first_conv", convnet_adam, convnet_train, {32, 16, 16, 16}, ANSWERED},
    {"first_conv_compiled", convnet_adam, convnet_train, {32, 16, 16, 16}, COMPILED},
    {"first_conv_disk", convnet_adam, convnet_train, {32, 16, 16, 16}, KEPT},
    {0},
};
