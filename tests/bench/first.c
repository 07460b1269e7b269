/* First calls in a warm process: how long one takes whose code is made in the background, what compiling would have taken, and what a
 * later call takes; of x + 1, a step of SGD of an MLP, a step of a convnet, and a loop of 10^5 turns. Medians, in ms; trace included.
 *   usage: first [rounds]     (21) */
#include <kiln/kiln.h>
#include <kiln/nn.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef struct Net {
    kiln_conv *first, *second;
    kiln_dense *hidden, *out;
    kiln_optimizer *sgd;
} Net;

static void one_more(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_add(in[0], 1.0);
}

static void mlp(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    Net *net = user;
    KILN_TAPE(k, tape);
    kiln_tensor *logits = kiln_dense_apply(net->out, kiln_relu(kiln_dense_apply(net->hidden, in[0])));
    out[0] = kiln_cross_entropy(logits, in[1]);
    kiln_optimizer_minimize(net->sgd, tape, out[0]);
}

static void convnet(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    Net *net = user;
    KILN_TAPE(k, tape);
    kiln_tensor *h = kiln_relu(kiln_conv_apply(net->second, kiln_relu(kiln_conv_apply(net->first, in[0]))));
    out[0] = kiln_cross_entropy(kiln_dense_apply(net->out, kiln_global_avg_pool(h)), in[1]);
    kiln_optimizer_minimize(net->sgd, tape, out[0]);
}

static void loop(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    kiln_variable *x = kiln_local(k, in[0]);
    KILN_FOR(k, i, 100000) kiln_assign(x, kiln_add(kiln_mul(x, 0.5), kiln_sin(kiln_cast(i, KILN_F32))));
    out[0] = kiln_value(x);
}

typedef enum Kind { ONE, MLP, CONVNET, LOOP, KINDS } Kind;
static const struct {
    const char *name;
    kiln_body *body;
} work[KINDS] = {{"x + 1", one_more}, {"MLP step", mlp}, {"convnet step", convnet}, {"loop of 10^5", loop}};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* to: first call in the background, first call that waits, a later call. */
static void measure(kiln *k, Kind kind, double to[3])
{
    KILN_SCOPE(k);
    kiln_variable *chance = kiln_generator(k, 7);
    kiln_window window = {.size = {3, 3}};
    Net net = {kiln_conv_new(k, 1, 16, &window, chance), kiln_conv_new(k, 16, 16, &window, chance), kiln_dense_new(k, 784, 100, chance),
        kiln_dense_new(k, kind == MLP ? 100 : 16, 10, chance), kiln_sgd(k, 0.01, 0)};
    kiln_tensor *x = kind == ONE    ? kiln_ones(k, KILN_F32, KILN_SHAPE(4))
                     : kind == LOOP ? kiln_ones(k, KILN_F32, KILN_SHAPE(8))
                     : kind == MLP  ? kiln_uniform(chance, KILN_F32, KILN_SHAPE(32, 784), 0, 1)
                                    : kiln_uniform(chance, KILN_F32, KILN_SHAPE(32, 28, 28, 1), 0, 1);
    kiln_tensor *label = kiln_zeros(k, KILN_I64, KILN_SHAPE(32));
    for (int wait = 0; wait < 2; wait++) {
        kiln_function *f = kiln_function_new(k, work[kind].body, &net, &(kiln_function_options){.compile = wait ? KILN_WAIT : KILN_BACKGROUND});
        double start = now();
        kiln_call(f, x, label);
        to[wait] = now() - start;
        kiln_function_wait(f);
        start = now();
        kiln_call(f, x, label);
        to[2] = now() - start;
        kiln_function_free(f);
    }
    if (kiln_failed(k)) printf("%s: %s\n", work[kind].name, kiln_error(k)->text), exit(1);
}

int main(int argc, char **argv)
{
    const int rounds = argc > 1 ? atoi(argv[1]) : 21;
    double (*found)[KINDS][3] = calloc((size_t)rounds + 1, sizeof *found), *column = malloc((size_t)rounds * sizeof *column);
    kiln *k = kiln_open(NULL);
    for (int r = 0; r <= rounds; r++) /* round 0 warms the process */
        for (Kind kind = ONE; kind < KINDS; kind++) measure(k, kind, found[r][kind]);
    printf("%-16s%18s%18s%14s\n", "", "in the background", "compiled first", "later");
    for (Kind kind = ONE; kind < KINDS; kind++) {
        printf("%-16s", work[kind].name);
        for (int i = 0; i < 3; i++) {
            for (int r = 0; r < rounds; r++) column[r] = found[r + 1][kind][i];
            qsort(column, (size_t)rounds, sizeof *column, by_value);
            printf("%*.3f", i == 2 ? 14 : 18, column[rounds / 2]);
        }
        printf("\n");
    }
    free(found);
    free(column);
    return kiln_close(k);
}
