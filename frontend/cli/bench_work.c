/* bench_work: the workloads of `kiln bench`. Each body is ordinary C over public operations;
 * bench.c runs it eagerly and traced. Inputs come from seeded generators, so both copies of a job
 * hold the same bits. */
#include "bench.h"

typedef void Body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user);

static kiln_tensor *normal(Job *j, uint64_t seed, kiln_shape s)
{
    kiln_variable *g = kiln_generator(j->k, seed);
    kiln_tensor *x = kiln_normal(g, KILN_F32, s, 0, 1);
    kiln_variable_free(g);
    return x;
}

static void function(Job *j, const char *name, Body *body, int outputs)
{
    j->outputs = outputs;
    j->f = kiln_function_new(j->k, body, j, &(kiln_function_options){.name = name, .outputs = outputs});
}

/* The extent, or where the device is emulated the small one. */
static int64_t size(const Job *j, int64_t n, int64_t small) { return j->small ? small : n; }

/* ---- elementwise --------------------------------------------------------------------------------- */
#define MEBI (1 << 20)

/* Nine ops: x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))). */
static void gelu_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    kiln_tensor *x = in[0], *cube = kiln_mul(kiln_mul(x, x), x);
    kiln_tensor *inner = kiln_mul(kiln_add(x, kiln_mul(cube, 0.044715)), 0.7978845608);
    out[0] = kiln_mul(kiln_mul(x, 0.5), kiln_add(kiln_tanh(inner), 1.0));
}

static void gelu(Job *j)
{
    j->in[j->inputs++] = normal(j, 1, KILN_SHAPE(size(j, MEBI, 1000)));
    function(j, "gelu", gelu_body, 1);
}

/* Eight ops, none of which can be removed: max(((1.5 x + y) x - y) / (1 + x x), y). */
static void chain_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    kiln_tensor *x = in[0], *y = in[1];
    kiln_tensor *above = kiln_sub(kiln_mul(kiln_add(kiln_mul(x, 1.5), y), x), y);
    out[0] = kiln_max(kiln_div(above, kiln_add(kiln_mul(x, x), 1.0)), y);
}

static void chain(Job *j)
{
    j->in[j->inputs++] = normal(j, 1, KILN_SHAPE(size(j, MEBI, 1000)));
    j->in[j->inputs++] = normal(j, 2, KILN_SHAPE(size(j, MEBI, 1000)));
    function(j, "chain", chain_body, 1);
}

/* ---- rows, forward and backward ------------------------------------------------------------------ */
static void gradient_of(
    kiln *k, kiln_tensor *const *in, kiln_tensor **out, int inputs, kiln_tensor *(*value)(kiln_tensor *const *in))
{
    KILN_TAPE(k, tape);
    kiln_operand x[INPUTS_MAX];
    for (int i = 0; i < inputs; i++) {
        kiln_watch(tape, in[i]);
        x[i] = kiln_of_tensor(in[i]);
    }
    out[0] = value(in);
    kiln_gradients(tape, out[0], x, inputs, out + 1);
}

static kiln_tensor *softmax_value(kiln_tensor *const *in)
{
    kiln_tensor *p = kiln_softmax(in[0], -1);
    return kiln_sum(kiln_mul(p, p), KILN_ALL);
}

static void softmax_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    gradient_of(k, in, out, 1, softmax_value);
}

static kiln_shape rows(const Job *j) { return KILN_SHAPE(size(j, 4096, 4), size(j, 1024, 100)); }

static void softmax(Job *j)
{
    j->in[j->inputs++] = normal(j, 1, rows(j));
    function(j, "softmax", softmax_body, 2);
}

static kiln_tensor *layernorm_value(kiln_tensor *const *in)
{
    kiln_tensor *y = kiln_layernorm(in[0], in[1], in[2], 0);
    return kiln_mean(kiln_mul(y, y), KILN_ALL);
}

static void layernorm_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    gradient_of(k, in, out, 3, layernorm_value);
}

static void layernorm(Job *j)
{
    const int64_t columns = size(j, 1024, 100);
    j->in[j->inputs++] = normal(j, 1, rows(j));
    j->in[j->inputs++] = normal(j, 2, KILN_SHAPE(columns));
    j->in[j->inputs++] = normal(j, 3, KILN_SHAPE(columns));
    function(j, "layernorm", layernorm_body, 4);
}

static void cross_entropy_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    KILN_TAPE(k, tape);
    kiln_watch(tape, in[0]);
    out[0] = kiln_cross_entropy(in[0], in[1]);
    out[1] = kiln_gradient(tape, out[0], in[0]);
}

static void cross_entropy(Job *j)
{
    j->in[j->inputs++] = normal(j, 1, rows(j));
    j->in[j->inputs++] = kiln_mod(kiln_iota(j->k, KILN_I64, KILN_SHAPE(size(j, 4096, 4)), 0), size(j, 1000, 100));
    function(j, "cross_entropy", cross_entropy_body, 2);
}

/* ---- products -------------------------------------------------------------------------------------- */
static void matmul_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_matmul(in[0], in[1]);
}

static void product(Job *j, kiln_shape a, kiln_shape b)
{
    for (int i = 1; i <= 3 && j->small; i++) {
        a.size[i] = a.size[i] < 20 ? a.size[i] : 20;
        b.size[i] = b.size[i] < 20 ? b.size[i] : 20;
    }
    j->in[j->inputs++] = normal(j, 1, a);
    j->in[j->inputs++] = normal(j, 2, b);
    function(j, "product", matmul_body, 1);
}

static void product_64(Job *j) { product(j, KILN_SHAPE(64, 64), KILN_SHAPE(64, 64)); }
static void product_256(Job *j) { product(j, KILN_SHAPE(256, 256), KILN_SHAPE(256, 256)); }
static void product_1024(Job *j) { product(j, KILN_SHAPE(1024, 1024), KILN_SHAPE(1024, 1024)); }
static void product_layer(Job *j) { product(j, KILN_SHAPE(64, 784), KILN_SHAPE(784, 128)); }
static void product_batch(Job *j) { product(j, KILN_SHAPE(96, 128, 64), KILN_SHAPE(96, 64, 128)); }
static void product_vector(Job *j) { product(j, KILN_SHAPE(1, 2048), KILN_SHAPE(2048, 2048)); }

/* The second operand read through a transpose, as gradients do. */
static void matmul_nt_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_matmul(in[0], kiln_transpose(in[1], KILN_AXES(1, 0)));
}

static void product_nt(Job *j)
{
    j->in[j->inputs++] = normal(j, 1, KILN_SHAPE(size(j, 512, 20), size(j, 768, 30)));
    j->in[j->inputs++] = normal(j, 2, KILN_SHAPE(size(j, 512, 20), size(j, 768, 30)));
    function(j, "product_nt", matmul_nt_body, 1);
}

/* ---- order and places ---------------------------------------------------------------------------- */
static void sort_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_sort(in[0], -1, 0);
}

static void sort(Job *j)
{
    j->in[j->inputs++] = normal(j, 1, KILN_SHAPE(size(j, 1024, 4), size(j, 1024, 100)));
    function(j, "sort", sort_body, 1);
}

static void cumsum_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_cumsum(in[0], -1, 0);
}

static void cumsum(Job *j)
{
    j->in[j->inputs++] = normal(j, 1, KILN_SHAPE(size(j, 1024, 4), size(j, 1024, 100)));
    function(j, "cumsum", cumsum_body, 1);
}

/* Rows all over the table, some of them named several times. */
static kiln_tensor *places(Job *j, int64_t n, int64_t rows)
{
    return kiln_mod(kiln_mul(kiln_iota(j->k, KILN_I64, KILN_SHAPE(n), 0), 2654435761), rows);
}

static void gather_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_gather(in[0], in[1], 0);
}

static void gather(Job *j)
{
    j->in[j->inputs++] = normal(j, 1, KILN_SHAPE(size(j, 50000, 100), 16));
    j->in[j->inputs++] = places(j, size(j, 65536, 64), size(j, 50000, 100));
    function(j, "gather", gather_body, 1);
}

static void scatter_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_scatter(in[0], in[1], in[2], 0, KILN_SCATTER_ADD);
}

static void scatter(Job *j)
{
    j->in[j->inputs++] = normal(j, 1, KILN_SHAPE(size(j, 50000, 100), 16));
    j->in[j->inputs++] = places(j, size(j, 65536, 64), size(j, 50000, 100));
    j->in[j->inputs++] = normal(j, 2, KILN_SHAPE(size(j, 65536, 64), 16));
    function(j, "scatter", scatter_body, 1);
}

/* ---- a call under a tape ------------------------------------------------------------------------- */
static void layer_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    kiln_tensor *y = kiln_relu(kiln_add(kiln_matmul(in[0], in[1]), in[2]));
    out[0] = kiln_mean(kiln_mul(y, y), KILN_ALL);
}

static void call_gradient(Job *j)
{
    const int64_t in = size(j, 784, 40), out = size(j, 128, 20);
    j->in[j->inputs++] = normal(j, 1, KILN_SHAPE(size(j, 64, 4), in));
    j->in[j->inputs++] = normal(j, 2, KILN_SHAPE(in, out));
    j->in[j->inputs++] = normal(j, 3, KILN_SHAPE(out));
    function(j, "layer", layer_body, 1);
    j->taped = true;
    j->outputs = 1 + j->inputs;
}

/* ---- training steps ------------------------------------------------------------------------------ */
static void network(Job *j, const NetOptions *o, kiln_tensor *x)
{
    j->has_net = true;
    if (!net_open(&j->net, j->k, o)) return;
    j->in[j->inputs++] = x;
    j->in[j->inputs++] = kiln_mod(kiln_iota(j->k, KILN_I64, KILN_SHAPE(o->batch), 0), o->classes);
    j->f = j->net.step;
    j->outputs = 1;
}

static void mlp(Job *j)
{
    NetOptions o = {.kind = MLP,
        .inputs = 784,
        .hidden = 128,
        .classes = 10,
        .batch = size(j, 64, 2),
        .fixed = true,
        .sgd = true,
        .rate = 0.01,
        .seed = 7};
    network(j, &o, normal(j, 1, KILN_SHAPE(o.batch, 784)));
}

static void small_mlp(Job *j)
{
    NetOptions o = {
        .kind = MLP, .inputs = 16, .hidden = 16, .classes = 4, .batch = 8, .fixed = true, .sgd = true, .rate = 0.01, .seed = 7};
    network(j, &o, normal(j, 1, KILN_SHAPE(8, 16)));
}

static void convnet(Job *j)
{
    NetOptions o = {.kind = CONVNET,
        .images = true,
        .inputs = 784,
        .classes = 10,
        .batch = size(j, 32, 1),
        .fixed = true,
        .rate = 0.001,
        .seed = 7};
    network(j, &o, normal(j, 1, KILN_SHAPE(o.batch, 28, 28, 1)));
}

/* ---- overheads ----------------------------------------------------------------------------------- */
static void add_one_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_add(in[0], 1.0);
}

static void add_one(Job *j)
{
    j->in[j->inputs++] = kiln_f32(j->k, KILN_SHAPE(2, 2), 1, 2, 3, 4);
    function(j, "add_one", add_one_body, 1);
}

static void add_scalars(Job *j)
{
    j->in[j->inputs++] = kiln_scalar(j->k, KILN_F32, 1.5);
    j->in[j->inputs++] = kiln_scalar(j->k, KILN_F32, 2.5);
}

const Workload workloads[] = {
    {"gelu", "tanh-GELU as nine ops, f32[1048576]", gelu, false},
    {"chain", "eight ops that cannot be folded, f32[1048576]", chain, false},
    {"softmax", "softmax, forward and backward, f32[4096,1024]", softmax, false},
    {"layernorm", "layernorm, forward and backward, f32[4096,1024]", layernorm, false},
    {"cross_entropy", "cross-entropy, forward and backward, f32[4096,1024]", cross_entropy, false},
    {"product_64", "product f32[64,64] x f32[64,64]", product_64, false},
    {"product_256", "product f32[256,256] x f32[256,256]", product_256, false},
    {"product_1024", "product f32[1024,1024] x f32[1024,1024]", product_1024, false},
    {"product_layer", "product f32[64,784] x f32[784,128]", product_layer, false},
    {"product_nt", "product f32[512,768] x transposed f32[512,768]", product_nt, false},
    {"product_batch", "96 products f32[128,64] x f32[64,128]", product_batch, false},
    {"product_vector", "product f32[1,2048] x f32[2048,2048]", product_vector, false},
    {"sort", "sort of rows, f32[1024,1024]", sort, false},
    {"cumsum", "running sums of rows, f32[1024,1024]", cumsum, false},
    {"gather", "gather of 65536 rows of f32[50000,16]", gather, false},
    {"scatter", "scatter-add of 65536 rows to f32[50000,16]", scatter, false},
    {"call_gradient", "layer's loss called under a tape, and gradients, f32[64,784] x f32[784,128]", call_gradient, false},
    {"mlp", "MLP 784-128-10, batch 64, SGD step", mlp, false},
    {"mlp_small", "MLP 16-16-4, batch 8, SGD step", small_mlp, false},
    {"convnet", "MNIST convnet, batch 32, Adam step", convnet, false},
    {"call", "call of x + 1 on f32[2,2]", add_one, false},
    {"add", "add of two f32 scalars", add_scalars, true},
    {NULL, NULL, NULL, false},
};
