/* How long compiling takes per operation as functions double in size: what is linear prints the same figure down a column.
 *   usage: compile [largest [name]]     largest: operations (8192); name: of one program */
#include <kiln/kiln.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SMALL = 16 };

typedef struct Job { int ops; } Job;

static void chain(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    const Job *j = user;
    kiln_tensor *x = in[0];
    for (int i = 0; i < j->ops; i++) x = kiln_tanh(x);
    out[0] = kiln_sum(x, KILN_ALL);
}

/* Many kernels that cannot be one: each sum is a kernel of its own. */
static void kernels(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    const Job *j = user;
    kiln_tensor *x = in[0];
    for (int i = 0; i + 1 < j->ops; i += 2) x = kiln_mul(x, kiln_sum(x, KILN_ALL));
    out[0] = x;
}

/* As above, each with a constant of its own, so that no two kernels are alike. */
static void different(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    const Job *j = user;
    kiln_tensor *x = in[0];
    for (int i = 0; i + 2 < j->ops; i += 3) x = kiln_mul(x, kiln_sum(kiln_add(x, i), KILN_ALL));
    out[0] = x;
}

static void products(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    const Job *j = user;
    kiln_tensor *x = kiln_expand(in[0], 0), *w = kiln_matmul(kiln_expand(in[0], 1), x);
    for (int i = 0; i < j->ops; i++) x = kiln_matmul(x, w);
    out[0] = kiln_sum(x, KILN_ALL);
}

static void wide(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    const Job *j = user;
    kiln_tensor **x = malloc((size_t)j->ops * sizeof *x);
    for (int i = 0; i < j->ops; i++) x[i] = i % 2 ? in[0] : kiln_mul(in[0], 2 + i % 7);
    out[0] = kiln_concat(x, j->ops, 0);
    free(x);
}

/* One value with as many users. */
static void fan(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    const Job *j = user;
    kiln_tensor *x = kiln_tanh(in[0]), *sum = in[0];
    for (int i = 0; i + 1 < j->ops; i += 2) sum = kiln_add(sum, kiln_mul(x, i));
    out[0] = sum;
}

static void branches(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const Job *j = user;
    kiln_variable *x = kiln_local(k, in[0]);
    for (int i = 0; i + 3 < j->ops; i += 4) {
        KILN_IF(kiln_less(kiln_sum(x, KILN_ALL), i)) kiln_assign(x, kiln_add(x, 1.0));
    }
    out[0] = kiln_value(x);
}

/* A loop over as many variables. */
static void carries(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const Job *j = user;
    kiln_variable **x = malloc((size_t)j->ops * sizeof(kiln_variable *));
    for (int i = 0; i < j->ops; i++) x[i] = kiln_local(k, in[0]);
    KILN_FOR(k, step, 3) {
        for (int i = 0; i < j->ops; i++) kiln_assign(x[i], kiln_mul(x[(i + 1) % j->ops], 0.5));
    }
    out[0] = kiln_value(x[0]);
    free(x);
}

static kiln_tensor *square(kiln *k, kiln_tensor *x)
{
    (void)k;
    return kiln_mul(x, x);
}

/* Functions called in functions, each inlined. */
static void calls(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const Job *j = user;
    kiln_tensor *x = in[0];
    for (int i = 0; i < j->ops; i++) x = square(k, x);
    out[0] = x;
}

static const struct { const char *name; kiln_body *body; bool gradient; } programs[] = {
    {"tanh chain", chain, false}, {"tanh chain, gradient", chain, true}, {"equal kernels", kernels, false},
    {"kernels, gradient", kernels, true}, {"different kernels", different, false}, {"products", products, false},
    {"products, gradient", products, true}, {"concat", wide, false}, {"concat, gradient", wide, true}, {"fan", fan, false}, {"fan, gradient", fan, true},
    {"branches", branches, false}, {"carries", carries, false}, {"calls", calls, false},
};

static void measure(size_t i, int n)
{
    kiln *k = kiln_open(&(kiln_options){.compile = KILN_WAIT});
    {
        KILN_SCOPE(k);
        Job j = {.ops = n};
        kiln_function_statistics s;
        kiln_function_options o = {.inputs_count = 1, .fixed_sizes = true, .cache_bytes = (size_t)1 << 34};
        kiln_function *f = kiln_function_new(k, programs[i].body, &j, &o);
        if (programs[i].gradient) f = kiln_grad(f);
        kiln_call(f, kiln_full(k, KILN_F32, KILN_SHAPE(SMALL), 0.5));
        kiln_function_stats(f, &s);
        printf("%9.1f%9.1f", 1e6 * s.trace_seconds / n, 1e6 * s.compile_seconds / n);
        if (kiln_failed(k)) printf(" %s", kiln_error(k)->text), kiln_clear(k);
        fflush(stdout);
    }
    kiln_close(k);
}

int main(int argc, char **argv)
{
    int largest = argc > 1 ? atoi(argv[1]) : 8192;
    printf("microseconds per operation: trace, compile\n%-24s", "operations");
    for (int n = largest / 8; n <= largest; n *= 2) printf("%18d", n);
    printf("\n");
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
        if (argc > 2 && strcmp(argv[2], programs[i].name) != 0) continue;
        printf("%-24s", programs[i].name);
        for (int n = largest / 8; n <= largest; n *= 2) measure(i, n);
        printf("\n");
    }
    return 0;
}
