/* epoch: a training function that holds the whole epoch, its loop over batches in the graph and the optimiser's state in variables, gives
 * the bits of the same steps called one by one, traced and eager. Skipped without the LLVM module. */
#include "front.h"

#include <kiln/nn.h>

enum { ROWS = 96, BATCH = 16, BATCHES = ROWS / BATCH, IN = 20, HIDDEN = 24, OUT = 5, EPOCHS = 3, PARTS = 24 };

typedef struct Net {
    kiln_dense *hidden, *last;
    kiln_optimizer *o;
    kiln_tensor *x, *labels; /* all rows */
    kiln_variable *total;    /* sum of the losses */
} Net;

static void make_net(Net *net, kiln *k, bool adam)
{
    kiln_variable *random = kiln_generator(k, 7);
    net->hidden = kiln_dense_new(k, IN, HIDDEN, random);
    net->last = kiln_dense_new(k, HIDDEN, OUT, random);
    net->o = adam ? kiln_adam(k, 0.01) : kiln_sgd(k, 0.1, 0.9);
    net->x = kiln_own(kiln_normal(random, KILN_F32, KILN_SHAPE(ROWS, IN), 0, 1));
    net->labels = kiln_own(kiln_cast(kiln_mod(kiln_iota(k, KILN_I64, KILN_SHAPE(ROWS), 0), OUT), KILN_I64));
    net->total = kiln_variable_new(k, "total", KILN_F32, 0.0);
}

static void free_net(Net *net)
{
    kiln_dense_free(net->hidden);
    kiln_dense_free(net->last);
    kiln_optimizer_free(net->o);
    kiln_release(net->x);
    kiln_release(net->labels);
}

/* One step on batch number `index` (i64[]). */
static kiln_tensor *step(kiln *k, Net *net, kiln_tensor *index)
{
    KILN_TAPE(k, tape);
    kiln_tensor *rows = kiln_add(kiln_mul(index, BATCH), kiln_iota(k, KILN_I64, KILN_SHAPE(BATCH), 0));
    kiln_tensor *x = kiln_gather(net->x, rows, 0), *labels = kiln_gather(net->labels, rows, 0);
    kiln_tensor *h = kiln_relu(kiln_dense_apply(net->hidden, x));
    kiln_tensor *loss = kiln_cross_entropy(kiln_dense_apply(net->last, h), labels);
    kiln_optimizer_minimize(net->o, tape, loss);
    kiln_assign_add(net->total, loss);
    return loss;
}

static void one_step(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user) { out[0] = step(k, user, in[0]); }

static void whole_epoch(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    Net *net = user;
    (void)in;
    KILN_FOR(k, index, BATCHES) step(k, net, index);
    out[0] = kiln_value(net->total);
}

/* Everything that training leaves, as bytes. */
static size_t look(Net *net, float *to)
{
    kiln_variable *v[PARTS] = {kiln_dense_weight(net->hidden), kiln_dense_bias(net->hidden), kiln_dense_weight(net->last),
                               kiln_dense_bias(net->last), net->total};
    int n = 5 + kiln_optimizer_variables(net->o, v + 5, PARTS - 5);
    size_t at = 0;
    for (int i = 0; i < n; i++) {
        kiln_tensor *t = kiln_value(v[i]);
        size_t bytes = kiln_bytes(t);
        kiln_read(t, to + at, bytes);
        at += bytes / sizeof *to;
    }
    return at;
}

typedef enum Way { EAGER_STEPS, TRACED_STEPS, EAGER_EPOCHS, TRACED_EPOCHS, WAYS } Way;

static size_t train(kiln *k, bool adam, Way way, float *to)
{
    KILN_SCOPE(k);
    Net net;
    bool steps = way == EAGER_STEPS || way == TRACED_STEPS;
    kiln_eager(k, way == EAGER_STEPS || way == EAGER_EPOCHS);
    make_net(&net, k, adam);
    kiln_function *f = kiln_function_new(k, steps ? one_step : whole_epoch, &net, &(kiln_function_options){.name = "train"});
    for (int e = 0; e < EPOCHS; e++) {
        KILN_SCOPE(k);
        for (int i = 0; i < (steps ? BATCHES : 1); i++) {
            KILN_SCOPE(k);
            if (steps)
                kiln_call(f, kiln_scalar(k, KILN_I64, i));
            else
                kiln_call(f);
        }
    }
    assert_ok(k);
    size_t n = look(&net, to);
    assert_ok(k);
    kiln_eager(k, false);
    kiln_function_free(f);
    free_net(&net);
    return n;
}

static void every_way_is_the_same(void **state)
{
    kiln *k = *state;
    static float result[WAYS][8192];
    for (int adam = 0; adam < 2; adam++) {
        size_t n[WAYS];
        for (int way = 0; way < WAYS; way++) {
            n[way] = train(k, adam, (Way)way, result[way]);
            assert_int_equal(n[way], n[0]);
            assert_memory_equal(result[way], result[0], n[0] * sizeof(float));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {FRONT_TEST(every_way_is_the_same)};
    return cmocka_run_group_tests(tests, front_needs_llvm, NULL);
}
