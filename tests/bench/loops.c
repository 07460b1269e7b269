/* loops: training and powers inside one function, eager and traced: 1000 steps of gradient descent on a parabola (the gradient by a tape
 * in the loop), power(x, 100) of a 10 x 10 matrix as 99 products, and an epoch of an MLP against its steps called one by one. One line per
 * workload: name, microseconds (the median of many calls), checksum. tests/bench/peers.py runs it in turn with others. Relies on the
 * public headers. */
#include <kiln/nn.h>

#include "bench.h"

enum { STEPS = 1000, SIDE = 10, POWER = 100, MOST = 301, BATCHES = 32, BATCH = 32, IN = 64, HIDDEN = 32, OUT = 10 };

static kiln_variable *x;

/* ---- 1000 steps down a parabola ----------------------------------------------------------------- */
static kiln_tensor *parabola(void) { return kiln_add(kiln_sub(kiln_pow(x, 2), kiln_mul(2.0, x)), 1.0); }

static void descend(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    kiln_assign(x, 0.0);
    KILN_FOR(k, i, in[0]) {
        KILN_TAPE(k, tape);
        kiln_tensor *y = parabola();
        kiln_assign_sub(x, kiln_mul(0.01, kiln_gradient(tape, y, x)));
    }
    out[0] = kiln_value(x);
}

/* ---- power(x, 100) -------------------------------------------------------------------------------- */
static void power(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    kiln_variable *y = kiln_local(k, in[0]);
    KILN_FOR(k, i, POWER - 1) kiln_assign(y, kiln_matmul(y, in[0]));
    out[0] = kiln_value(y);
}

/* ---- an epoch ----------------------------------------------------------------------------------------- */
typedef struct Net {
    kiln_dense *hidden, *last;
    kiln_optimizer *o;
    kiln_tensor *x, *labels;
} Net;

static kiln_tensor *step(kiln *k, Net *n, kiln_tensor *index)
{
    KILN_TAPE(k, tape);
    kiln_tensor *rows = kiln_add(kiln_mul(index, BATCH), kiln_iota(k, KILN_I64, KILN_SHAPE(BATCH), 0));
    kiln_tensor *h = kiln_relu(kiln_dense_apply(n->hidden, kiln_gather(n->x, rows, 0)));
    kiln_tensor *loss = kiln_cross_entropy(kiln_dense_apply(n->last, h), kiln_gather(n->labels, rows, 0));
    kiln_optimizer_minimize(n->o, tape, loss);
    return loss;
}

static void one_step(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user) { out[0] = step(k, user, in[0]); }

static void epoch(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)in;
    kiln_variable *last = kiln_local(k, KILN_F32, 0.0);
    KILN_FOR(k, i, BATCHES) kiln_assign(last, step(k, user, i));
    out[0] = kiln_value(last);
}

/* ---- measuring ----------------------------------------------------------------------------------------- */
static double once(kiln_function *f, kiln_tensor *arg, int repeat, double *sum)
{
    kiln *k = kiln_engine(arg);
    double start = now();
    for (int i = 0; i < repeat; i++) {
        KILN_SCOPE(k);
        kiln_tensor *in = repeat > 1 ? kiln_scalar(k, KILN_I64, i) : arg;
        kiln_tensor *y = kiln_call(f, in);
        if (i + 1 == repeat) *sum = kiln_item(kiln_sum(y, KILN_ALL));
    }
    return 1e6 * (now() - start);
}

static void line(const char *name, kiln_function *f, kiln_tensor *arg, int repeat, int calls)
{
    double t[MOST], sum = 0;
    for (int i = 0; i < 5; i++) once(f, arg, repeat, &sum);
    for (int i = 0; i < calls; i++) t[i] = once(f, arg, repeat, &sum);
    printf("%-28s %12.2f us   %.7g\n", name, median(t, calls), sum);
}

int main(void)
{
    kiln *k = kiln_open(&(kiln_options){.threads = 1, .compile = KILN_WAIT});
    {
        KILN_SCOPE(k);
        x = kiln_variable_new(k, "x", KILN_F32, 0.0);
        kiln_tensor *steps = kiln_scalar(k, KILN_I32, STEPS), *m = kiln_full(k, KILN_F32, KILN_SHAPE(SIDE, SIDE), 0.1), *none = kiln_scalar(k, KILN_I64, 0);
        kiln_variable *random = kiln_generator(k, 1);
        Net net = {kiln_dense_new(k, IN, HIDDEN, random), kiln_dense_new(k, HIDDEN, OUT, random), kiln_sgd(k, 0.01, 0.9),
                   kiln_normal(random, KILN_F32, KILN_SHAPE(BATCHES * BATCH, IN), 0, 1), kiln_mod(kiln_iota(k, KILN_I64, KILN_SHAPE(BATCHES * BATCH), 0), OUT)};
        kiln_function *sgd = kiln_function_new(k, descend, NULL, NULL), *pow100 = kiln_function_new(k, power, NULL, NULL),
                      *by_step = kiln_function_new(k, one_step, &net, NULL), *whole = kiln_function_new(k, epoch, &net, NULL);
        line("sgd1000 traced", sgd, steps, 1, MOST);
        line("power100 traced", pow100, m, 1, MOST);
        line("epoch, a step a call", by_step, none, BATCHES, 51);
        line("epoch, one call", whole, none, 1, 51);
        kiln_eager(k, true);
        line("sgd1000 eager", sgd, steps, 1, 11);
        line("power100 eager", pow100, m, 1, 51);
        if (kiln_failed(k)) printf("%s\n", kiln_error(k)->text);
    }
    return kiln_close(k);
}
