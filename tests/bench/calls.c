/* What a cached call of a compiled function costs: x + 1 on f32[2,2], with constant sizes, with sizes that are declared or have become symbols,
 * with a size that differs from call to call, and from two threads at once. Nanoseconds, the best of many rounds; a scope per call included.
 * Exit status 1 if a call compiled that should not have. Relies on the public headers. */
#include <kiln/kiln.h>

#include <pthread.h>

#include "bench.h"

enum { ROUNDS = 60, CALLS = 5000, SIZES = 200 };

static void add_one(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_add(in[0], 1.0);
}

static double best(kiln_function *f, kiln_tensor *const *x, int count)
{
    double least = 1e9;
    for (int r = 0; r < ROUNDS; r++) {
        double start = now();
        for (int i = 0; i < CALLS; i++) {
            KILN_SCOPE(kiln_engine(x[0]));
            kiln_call(f, x[i % count]);
        }
        double each = (now() - start) / CALLS;
        least = each < least ? each : least;
    }
    return 1e9 * least;
}

static void *beside(void *arg)
{
    kiln_function *f = ((void **)arg)[0];
    kiln *k = ((void **)arg)[1];
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_f32(k, KILN_SHAPE(2, 2), 1, 2, 3, 4);
    *(double *)((void **)arg)[2] = best(f, &x, 1);
    return NULL;
}

static double together(kiln *k, kiln_function *f)
{
    double own, other;
    void *arg[3] = {f, k, &other}, *mine[3] = {f, k, &own};
    pthread_t thread;
    if (pthread_create(&thread, NULL, beside, arg)) return 0;
    beside(mine);
    pthread_join(thread, NULL);
    return own > other ? own : other;
}

int main(void)
{
    kiln *k = kiln_open(&(kiln_options){.compile = KILN_WAIT});
    uint64_t compiles = 0;
    {
        KILN_SCOPE(k);
        kiln_function *f[3] = {
            kiln_function_new(k, add_one, NULL, &(kiln_function_options){.name = "constant"}),
            kiln_function_new(k, add_one, NULL, &(kiln_function_options){.name = "declared",
                .inputs = {KILN_SPEC(KILN_F32, KILN_DIM("N", 1, 512), 2)}}),
            kiln_function_new(k, add_one, NULL, &(kiln_function_options){.name = "by itself"})};
        kiln_tensor *x = kiln_ones(k, KILN_F32, KILN_SHAPE(2, 2)), *sizes[SIZES];
        for (int n = 0; n < SIZES; n++) sizes[n] = kiln_ones(k, KILN_F32, KILN_SHAPE(n + 1, 2));
        for (int64_t n = SIZES; n > 2; n--) kiln_call(f[2], kiln_ones(k, KILN_F32, KILN_SHAPE(n, 2)));
        for (int i = 0; i < 3; i++) printf("%-10s %6.1f ns\n", i == 0 ? "constant" : i == 1 ? "declared" : "by itself", best(f[i], &x, 1));
        printf("%-10s %6.1f ns, sizes 1 to %d in turn\n", "declared", best(f[1], sizes, SIZES), SIZES);
        printf("%-10s %6.1f ns, sizes 1 to %d in turn\n", "by itself", best(f[2], sizes, SIZES), SIZES);
        printf("%-10s %6.1f ns, two threads\n", "constant", together(k, f[0]));
        for (int i = 0; i < 3; i++) {
            kiln_function_statistics s;
            kiln_function_stats(f[i], &s);
            compiles += s.compiles;
        }
    }
    bool failed = kiln_failed(k);
    if (failed) puts(kiln_error(k)->text);
    return kiln_close(k) || failed || compiles != 1 + 1 + 4;
}
