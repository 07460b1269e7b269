/* bench-gpu: rows on a card, beside the copy bandwidth that was measured there: [DEVICE (gpu:0)] [--small] [--seconds S] [--json FILE].
 * --compile [sm]: how long NVRTC takes for training steps (compile.c), which needs no card, and nothing else.
 * Chains and rows of at least 256 MiB per operand, products in bf16, training steps, tiny dependent operations, and how long a step
 * keeps the host. --small is for trying the program where there is no card: its figures say nothing. Ends in the line that tests end
 * in; where there is no such device, in one skip with its reason. Relies on tests/bench/rows, codegen/devices.h and cuda/api.h. */
#include "../rows/row.h"
#include "compile.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "codegen/cuda/api.h"
#include "codegen/devices.h"

static struct {
    const char *device;
    uint32_t number;
    kiln *k;
    bool small;
    int compile; /* for this architecture; 0: it was not asked for */
    double seconds, copy; /* for each row; bytes that a copy moves in a second, reads and writes together */
    FILE *json;
    int passed, failed;
} run = {.device = "gpu:0", .seconds = 1};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* ---- measuring --------------------------------------------------------------------------------------------------------- */
typedef struct Work {
    void (*call)(void *user); /* asks for it */
    void (*wait)(void *user); /* until all that was asked for is done */
    void *user;
} Work;

/* Seconds of a call, the median of rounds; *host: those that the host spent asking for it. */
static double measure(const Work *w, double *host)
{
    enum { ROUNDS = 25 };
    double all[ROUNDS], asked[ROUNDS], start = now();
    int calls = 1, n = 0;
    for (int i = 0; i < 2; i++) w->call(w->user); /* compiles, and takes memory */
    w->wait(w->user);
    for (double took = 0; took < 0.02 && calls < 4096; calls *= 2) {
        start = now();
        for (int i = 0; i < calls; i++) w->call(w->user);
        w->wait(w->user);
        took = now() - start;
    }
    for (const double until = now() + run.seconds; n < ROUNDS && (n < 3 || now() < until); n++) {
        start = now();
        for (int i = 0; i < calls; i++) w->call(w->user);
        asked[n] = (now() - start) / calls;
        w->wait(w->user);
        all[n] = (now() - start) / calls;
    }
    qsort(all, (size_t)n, sizeof *all, by_size);
    qsort(asked, (size_t)n, sizeof *asked, by_size);
    *host = asked[n / 2];
    return all[n / 2];
}

static bool fine(const char *name)
{
    if (!run.k || kiln_error(run.k)->code == KILN_OK) return run.passed++, true;
    printf("%-16s failed: %s\n", name, kiln_error(run.k)->text);
    kiln_clear(run.k);
    return run.failed++, false;
}

static void tell(const char *name, double seconds, double host, double bytes, double flops)
{
    printf("%-16s %12.1f us  host %8.1f us", name, 1e6 * seconds, 1e6 * host);
    if (bytes != 0) printf("  %8.1f GB/s, %5.1f %% of a copy's", 1e-9 * bytes / seconds, 100 * bytes / seconds / run.copy);
    if (flops != 0) printf("  %8.2f Tflop/s", 1e-12 * flops / seconds);
    printf("\n");
    fflush(stdout);
    if (!run.json) return;
    fprintf(run.json, "{\"row\": \"%s\", \"device\": \"%s\", \"small\": %s, \"seconds\": %.9g, \"host\": %.9g, \"bytes\": %.0f, \"flops\": %.0f}\n", name,
        run.device, run.small ? "true" : "false", seconds, host, bytes, flops);
    fflush(run.json);
}

static void wait_device(void *user) { (void)user, kiln_sync(run.k, run.device); }

/* ---- a copy ------------------------------------------------------------------------------------------------------------- */
typedef struct Copy {
    const CudaDriver *d;
    CUdeviceptr from, to;
    size_t bytes;
    CUstream s;
    CUresult wrong;
} Copy;

static void copy_call(void *user)
{
    Copy *c = user;
    c->wrong |= c->d->MemcpyDtoDAsync(c->to, c->from, c->bytes, c->s);
}
static void copy_wait(void *user)
{
    Copy *c = user;
    c->wrong |= c->d->StreamSynchronize(c->s);
}

static void row_copy(size_t bytes)
{
    Copy c = {.d = device_at(run.number)->there, .bytes = bytes};
    CUcontext before;
    double host;
    c.wrong = c.d->CtxPushCurrent(c.d->context);
    c.wrong |= c.d->MemAlloc(&c.from, bytes) | c.d->MemAlloc(&c.to, bytes) | c.d->StreamCreate(&c.s, CU_STREAM_NON_BLOCKING);
    const double seconds = c.wrong ? 1 : measure(&(Work){copy_call, copy_wait, &c}, &host);
    run.copy = 2 * (double)bytes / seconds;
    if (c.from) c.d->MemFree(c.from);
    if (c.to) c.d->MemFree(c.to);
    if (c.s) c.d->StreamDestroy(c.s);
    c.d->CtxPopCurrent(&before);
    if (!c.wrong && fine("copy"))
        tell("copy", seconds, host, 2 * (double)bytes, 0);
    else
        printf("copy: the driver refuses: %d\n", c.wrong), run.failed += c.wrong != 0;
}

/* ---- functions ---------------------------------------------------------------------------------------------------------- */
KILN_FUNCTION(chain, k, x)
{
    (void)k;
    kiln_tensor *y = kiln_relu(kiln_add(kiln_mul(x, 1.5), 0.5));
    for (int i = 0; i < 4; i++) y = kiln_max(kiln_sub(kiln_mul(y, 0.75), x), -1);
    return y;
}
KILN_FUNCTION(axpy, k, x, y) { return (void)k, kiln_add(kiln_mul(x, 1.5), y); }
KILN_FUNCTION(soft, k, x) { return (void)k, kiln_softmax(x, 1); }
KILN_FUNCTION(norm, k, x)
{
    const int64_t n = kiln_dim(x, 1);
    return kiln_layernorm(x, kiln_full(k, KILN_F32, KILN_SHAPE(n), 1.5), kiln_full(k, KILN_F32, KILN_SHAPE(n), 0.5), 1e-5);
}
KILN_FUNCTION(product, k, x, y) { return (void)k, kiln_matmul(x, y); }
#define TINY 1000
KILN_FUNCTION(tiny, k, x, w)
{
    (void)k;
    for (int i = 0; i < TINY; i++) x = kiln_matmul(x, w);
    return x;
}

typedef struct Call {
    kiln_function *f;
    kiln_tensor *in[2];
    int n;
} Call;

static void function_call(void *user)
{
    const Call *c = user;
    KILN_SCOPE(run.k);
    if (c->n == 2)
        kiln_call(c->f, c->in[0], c->in[1]);
    else
        kiln_call(c->f, c->in[0]);
}

static void row_function(const char *name, kiln_function *f, kiln_tensor *x, kiln_tensor *y, double bytes, double flops, int parts)
{
    double host = 0;
    Call c = {f, {x, y}, y ? 2 : 1};
    const double seconds = measure(&(Work){function_call, wait_device, &c}, &host);
    if (fine(name)) tell(name, seconds / parts, host / parts, bytes, flops);
}

static void rows_memory(int64_t rows, int64_t columns)
{
    KILN_SCOPE(run.k);
    const double bytes = 4.0 * (double)rows * (double)columns;
    kiln_variable *g = kiln_generator(run.k, 1);
    kiln_tensor *x = kiln_uniform(g, KILN_F32, KILN_SHAPE(rows, columns), 0, 1), *y = kiln_uniform(g, KILN_F32, KILN_SHAPE(rows, columns), 0, 1);
    row_function("chain", KILN_FN(run.k, chain), x, NULL, 2 * bytes, 0, 1);
    row_function("axpy", KILN_FN(run.k, axpy), x, y, 3 * bytes, 0, 1);
    row_function("softmax", KILN_FN(run.k, soft), x, NULL, 2 * bytes, 0, 1);
    row_function("layernorm", KILN_FN(run.k, norm), x, NULL, 2 * bytes, 0, 1);
}

static void row_product(const char *name, int64_t n)
{
    KILN_SCOPE(run.k);
    kiln_variable *g = kiln_generator(run.k, 1);
    kiln_tensor *x = kiln_cast(kiln_uniform(g, KILN_F32, KILN_SHAPE(n, n), -1, 1), KILN_BF16);
    kiln_tensor *y = kiln_cast(kiln_uniform(g, KILN_F32, KILN_SHAPE(n, n), -1, 1), KILN_BF16);
    row_function(name, KILN_FN(run.k, product), x, y, 0, 2 * (double)n * (double)n * (double)n, 1);
}

/* The same by cuBLASLt, the option blas, in an engine of its own. */
static void row_blas(const char *name, int64_t n)
{
    kiln *own = run.k;
    run.k = kiln_open(&(kiln_options){.compile = KILN_WAIT, .blas = true});
    if (run.k) {
        KILN_SCOPE(run.k);
        kiln_tensor *x = kiln_cast(kiln_uniform(kiln_generator(run.k, 1), KILN_F32, KILN_SHAPE(n, n), -1, 1), KILN_BF16);
        kiln_matmul(x, x);
    }
    if (run.k && kiln_error(run.k)->code == KILN_EUNSUPPORTED) {
        printf("%-16s left out: %s\n", name, kiln_error(run.k)->text);
        kiln_clear(run.k);
    } else if (run.k) {
        row_product(name, n);
    }
    run.failed += !run.k || kiln_close(run.k) != 0;
    run.k = own;
}

static void row_tiny(void)
{
    KILN_SCOPE(run.k);
    kiln_tensor *x = kiln_full(run.k, KILN_F32, KILN_SHAPE(16, 16), 0.5), *w = kiln_full(run.k, KILN_F32, KILN_SHAPE(16, 16), 1.0 / 16);
    row_function("tiny_op", KILN_FN(run.k, tiny), x, w, 0, 0, TINY);
}

/* ---- training steps ------------------------------------------------------------------------------------------------------ */
static void bench_asks(void *user) { bench_call(user); }
static void bench_waits(void *user) { kiln_sync(((Bench *)user)->k, run.device); }

static void row_bench(const char *name)
{
    Bench b;
    double host = 0;
    kiln *k = run.k;
    const bool open = bench_open(&b, row_named(name), 0);
    run.k = b.k;
    const double seconds = open ? measure(&(Work){bench_asks, bench_waits, &b}, &host) : 0;
    if (open && fine(name))
        tell(name, seconds, host, 0, 0);
    else if (!open)
        run.failed++;
    bench_close(&b);
    run.k = k;
}

/* ---- all ------------------------------------------------------------------------------------------------------------------ */
static int usage(void) { return fprintf(stderr, "bench-gpu: [DEVICE] [--small] [--seconds S] [--json FILE] [--compile [SM]]\n"), 2; }

static bool read_arguments(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--small") == 0)
            run.small = true;
        else if (strcmp(argv[i], "--compile") == 0)
            run.compile = i + 1 < argc && atoi(argv[i + 1]) ? atoi(argv[++i]) : 90;
        else if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc)
            run.seconds = strtod(argv[++i], NULL);
        else if (strcmp(argv[i], "--json") == 0 && i + 1 < argc) {
            if (!(run.json = fopen(argv[++i], "w"))) return perror(argv[i]), false;
        } else if (argv[i][0] != '-')
            run.device = argv[i];
        else
            return false;
    }
    return true;
}

static int compile(int sm)
{
    Status st = {0};
    const int failed = compile_rows(sm, &run.passed, &st);
    if (failed < 0) printf("skip: %s\n", st.text);
    printf("%d passed, %d failed, %d skipped\n", run.passed, failed < 0 ? 0 : failed, failed < 0);
    return failed > 0;
}

int main(int argc, char **argv)
{
    Status st = {0};
    if (!read_arguments(argc, argv)) return usage();
    if (run.compile) return compile(run.compile);
    if (!device_named(run.device, &run.number, &st)) {
        printf("skip: %s\n0 passed, 0 failed, 1 skipped\n", st.text);
        return 0;
    }
    device_prefer(run.number);
    run.k = kiln_open(&(kiln_options){.compile = KILN_WAIT});
    if (!run.k) return 1;
    if (run.small) printf("small sizes: no figure here says anything\n");
    row_copy(run.small ? 1 << 16 : (size_t)256 << 20);
    rows_memory(run.small ? 16 : 1 << 16, run.small ? 64 : 1024);
    row_tiny();
    row_bench(run.small ? "mlp_adam" : "conv_adam");
    if (!run.small) row_bench("keras_conv"), row_bench("lstm_back");
    row_product("bf16_4096", run.small ? 32 : 4096);
    row_product("bf16_8192", run.small ? 48 : 8192);
    row_blas("bf16_4096_blas", run.small ? 136 : 4096);
    row_blas("bf16_8192_blas", run.small ? 144 : 8192);
    run.failed += kiln_close(run.k) != 0;
    printf("%d passed, %d failed, 0 skipped\n", run.passed, run.failed);
    if (run.json) fclose(run.json);
    return run.failed != 0;
}
