/* nets: the MLP and the convolutional networks of the demo and the benchmarks. The bodies are what a user would write; nothing here
 * knows in which mode they run. */
#include "nets.h"

static kiln_tensor *logits_of(Net *n, kiln_tensor *x)
{
    if (n->kind == MLP) {
        kiln_tensor *h = kiln_relu(kiln_dense_apply(n->hidden, kiln_flatten(x)));
        return kiln_dense_apply(n->out, h);
    }
    kiln_window two = {.size = {2, 2}};
    kiln_tensor *h = kiln_relu(kiln_conv_apply(n->first, x));
    if (n->kind == POOLED) h = kiln_max_pool(h, &two);
    h = kiln_relu(kiln_conv_apply(n->second, h));
    h = n->kind == POOLED ? kiln_flatten(kiln_max_pool(h, &two)) : kiln_global_avg_pool(h);
    return kiln_dense_apply(n->out, h);
}

static void forward(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    out[0] = logits_of(user, in[0]);
}

static void step(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    Net *n = user;
    KILN_TAPE(k, tape);
    kiln_tensor *logits = logits_of(n, in[0]);
    if (kiln_rank(logits) != 2 || kiln_dim(logits, 0) != kiln_dim(in[0], 0) || kiln_dim(logits, 1) != n->classes)
        n->shapes_fit = false;
    out[0] = kiln_cross_entropy(logits, in[1]);
    kiln_optimizer_minimize(n->optimizer, tape, out[0]);
}

static void layers(Net *n, const NetOptions *o)
{
    kiln *k = n->k;
    kiln_variable *chance = kiln_generator(k, o->seed);
    if (n->kind == MLP) {
        n->hidden = kiln_dense_new(k, o->inputs, o->hidden, chance);
        n->out = kiln_dense_new(k, o->hidden, o->classes, chance);
    } else {
        kiln_window window = {.size = {3, 3}};
        int64_t filters = n->kind == POOLED ? 32 : 16; /* the sides of its images are 28, 26, 13, 11 and 5 */
        n->first = kiln_conv_new(k, 1, 16, &window, chance);
        n->second = kiln_conv_new(k, 16, filters, &window, chance);
        n->out = kiln_dense_new(k, n->kind == POOLED ? 5 * 5 * filters : filters, o->classes, chance);
    }
    kiln_variable_free(chance);
    n->optimizer = o->sgd ? kiln_sgd(k, o->rate, 0) : kiln_adam(k, o->rate);
    kiln_schedule falling = {.kind = KILN_RATE_COSINE, .rate = o->rate, .steps = o->steps};
    if (o->steps) kiln_optimizer_schedule(n->optimizer, &falling);
}

bool net_open(Net *n, kiln *k, const NetOptions *o)
{
    *n = (Net){.k = k, .kind = o->kind, .inputs = o->inputs, .classes = o->classes, .shapes_fit = true};
    layers(n, o);
    kiln_size batch = o->fixed ? kiln_size_of(o->batch) : KILN_DIM("N", 1, o->batch);
    kiln_function_options f = {.name = o->kind == MLP ? "mlp_step" : "convnet_step",
        .inputs = {KILN_SPEC(KILN_F32, batch, o->inputs), KILN_SPEC(KILN_I64, batch)}};
    if (o->images) f.inputs[0] = (kiln_spec)KILN_SPEC(KILN_F32, batch, 28, 28, 1);
    n->step = kiln_function_new(k, step, n, &f);
    f.name = o->kind == MLP ? "mlp_forward" : "convnet_forward";
    f.inputs[1] = (kiln_spec){0};
    n->forward = kiln_function_new(k, forward, n, &f);
    return !kiln_failed(k);
}

void net_close(Net *n)
{
    kiln_function_free(n->step);
    kiln_function_free(n->forward);
    kiln_dense_free(n->hidden);
    kiln_dense_free(n->out);
    kiln_conv_free(n->first);
    kiln_conv_free(n->second);
    kiln_optimizer_free(n->optimizer);
}
