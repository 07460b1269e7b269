/* sizes: image networks with batch, height and width as symbols: what is padded, strided and pooled infers, and eager and traced
 * code agree bit for bit at several sizes, gradients included. */
#include "front.h"

enum { STAGES = 4, BLOCKS = 2, WIDTH = 4, CLASSES = 10, WEIGHTS = 200 };

typedef struct Net {
    kiln_variable *generator, *weight[WEIGHTS];
    int made, used; /* the first run makes the weights, every other one uses them in the same order */
} Net;

static kiln_variable *weight(kiln *k, Net *net, kiln_shape s)
{
    if (net->used == net->made) net->weight[net->made++] = kiln_variable_new(k, NULL, kiln_uniform(net->generator, KILN_F32, s, -0.5, 0.5));
    return net->weight[net->used++];
}

static kiln_tensor *conv(kiln *k, Net *net, kiln_tensor *x, int64_t channels, int64_t out, int64_t size, int64_t stride, bool same)
{
    kiln_variable *f = weight(k, net, KILN_SHAPE(size, size, channels, out));
    return kiln_conv2d(x, f, &(kiln_window){.stride = {stride, stride}, .same = same});
}

static kiln_tensor *normalised(kiln *k, Net *net, kiln_tensor *x, int64_t channels)
{
    kiln_tensor *d = kiln_sub(x, kiln_mean(x, KILN_AXES(0, 1, 2))), *v = kiln_mean(kiln_mul(d, d), KILN_AXES(0, 1, 2));
    kiln_variable *scale = weight(k, net, KILN_SHAPE(channels)), *shift = weight(k, net, KILN_SHAPE(channels));
    return kiln_add(kiln_mul(kiln_mul(d, kiln_rsqrt(kiln_add(v, 1e-3))), scale), shift);
}

static kiln_tensor *block(kiln *k, Net *net, kiln_tensor *x, int64_t in, int64_t mid, int64_t stride)
{
    kiln_tensor *y = kiln_relu(normalised(k, net, conv(k, net, x, in, mid, 1, 1, true), mid)), *skip = x;
    y = kiln_relu(normalised(k, net, conv(k, net, y, mid, mid, 3, stride, true), mid));
    y = normalised(k, net, conv(k, net, y, mid, 4 * mid, 1, 1, true), 4 * mid);
    if (in != 4 * mid || stride != 1) skip = normalised(k, net, conv(k, net, x, in, 4 * mid, 1, stride, true), 4 * mid);
    return kiln_relu(kiln_add(y, skip));
}

/* The shape of ResNet-50 (He et al. 2015) with few channels and blocks. */
static void resnet(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    Net *net = user;
    int64_t channels = WIDTH;
    net->used = 0;
    kiln_tensor *x = kiln_relu(normalised(k, net, conv(k, net, in[0], 3, channels, 7, 2, true), channels));
    x = kiln_max_pool(x, &(kiln_window){.size = {3, 3}, .stride = {2, 2}, .same = true});
    for (int s = 0; s < STAGES; s++)
        for (int b = 0; b < BLOCKS; b++) {
            x = block(k, net, x, channels, WIDTH << s, s != 0 && b == 0 ? 2 : 1);
            channels = 4 * (WIDTH << s);
        }
    out[0] = kiln_matmul(kiln_mean(x, KILN_AXES(1, 2)), weight(k, net, KILN_SHAPE(channels, CLASSES)));
}

static void resnet_loss(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    resnet(k, in, out, user);
    out[0] = kiln_mean(kiln_square(out[0]), KILN_ALL);
}

static void strided(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    Net *net = user;
    net->used = 0;
    out[0] = kiln_sum(conv(k, net, in[0], 3, 4, 3, 2, true), KILN_ALL);
}

static void valid_twice(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    Net *net = user;
    net->used = 0;
    out[0] = kiln_sum(kiln_square(conv(k, net, conv(k, net, in[0], 3, 4, 3, 1, false), 4, 5, 3, 1, false)), KILN_ALL);
}

/* Odd windows, dilation, pooling of both kinds, groups, and steps of 3. */
static void mixed(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    Net *net = user;
    net->used = 0;
    kiln_tensor *x = kiln_conv2d(in[0], weight(k, net, KILN_SHAPE(2, 4, 3, 6)), &(kiln_window){.stride = {1, 3}, .same = true});
    x = kiln_avg_pool(x, &(kiln_window){.size = {3, 2}, .stride = {2, 1}, .same = true});
    x = kiln_conv2d(x, weight(k, net, KILN_SHAPE(3, 3, 2, 6)), &(kiln_window){.dilation = {2, 2}, .groups = 3, .same = true});
    x = kiln_max_pool(kiln_tanh(x), &(kiln_window){.size = {2, 2}});
    x = conv(k, net, x, 6, 2, 3, 1, false);
    out[0] = kiln_sum(kiln_square(x), KILN_ALL);
}

/* ---- eager and traced at several sizes ------------------------------------------------------------------------------------------ */

static void agree(kiln *k, kiln_function *f, kiln_tensor *x)
{
    KILN_SCOPE(k);
    kiln_tensor *y = kiln_call(f, x);
    assert_ok(k);
    kiln_eager(k, true);
    kiln_tensor *z = kiln_call(f, x);
    kiln_eager(k, false);
    assert_ok(k);
    assert_int_equal(kiln_bytes(y), kiln_bytes(z));
    assert_memory_equal(kiln_data(y), kiln_data(z), kiln_bytes(y));
}

static void everywhere(kiln *k, kiln_body *body, bool gradient, kiln_size h, kiln_size w)
{
    KILN_SCOPE(k);
    static const int64_t at[][3] = {{2, 33, 40}, {1, 64, 47}, {3, 35, 35}, {1, 32, 32}};
    Net net = {.generator = kiln_generator(k, 7)};
    kiln_function *f = kiln_function_new(k, body, &net, &(kiln_function_options){.inputs = {KILN_SPEC(KILN_F32, KILN_DIM("n", 1, 16), h, w, 3)}});
    if (gradient) f = kiln_grad(f);
    bool square = h.name != NULL && w.name != NULL && strcmp(h.name, w.name) == 0;
    kiln_function_statistics stats;
    kiln_eager(k, true);
    kiln_call(f, kiln_uniform(net.generator, KILN_F32, KILN_SHAPE(1, 32, 32, 3), -1, 1)); /* makes the weights */
    kiln_eager(k, false);
    for (size_t i = 0; i < sizeof at / sizeof *at; i++)
        if (!square || at[i][1] == at[i][2])
            agree(k, f, kiln_uniform(net.generator, KILN_F32, KILN_SHAPE(at[i][0], at[i][1], at[i][2], 3), -1, 1));
    kiln_function_stats(f, &stats);
    assert_int_equal(stats.misses, 1);
    kiln_function_free(f);
}

static void both(kiln *k, kiln_body *body, kiln_body *loss)
{
    kiln_size h = KILN_DIM("h", 32, 512), w = KILN_DIM("w", 32, 512);
    everywhere(k, body, false, h, w);
    everywhere(k, loss, true, h, w);
    everywhere(k, loss, true, h, h);
}

static void same_padding_in_steps_of_two(void **state) { both(*state, strided, strided); }

static void two_valid_convolutions(void **state) { both(*state, valid_twice, valid_twice); }

static void windows_of_all_kinds(void **state) { both(*state, mixed, mixed); }

static void a_residual_network(void **state) { both(*state, resnet, resnet_loss); }

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRONT_TEST(same_padding_in_steps_of_two),
        FRONT_TEST(two_valid_convolutions),
        FRONT_TEST(windows_of_all_kinds),
        FRONT_TEST(a_residual_network),
    };
    return cmocka_run_group_tests(tests, front_needs_llvm, NULL);
}
