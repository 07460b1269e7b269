/* test_cuda_model: training steps of the kind that the demo runs, as KILN_DUMP=cuda,ptx writes them:
 * every kernel compiles without a warning, and those of rows and products keep all they hold in registers. Skipped without NVRTC or
 * the LLVM module. */
#define _GNU_SOURCE
#include "cuda_check.h"

#include <dirent.h>
#include <unistd.h>

#include <kiln/kiln.h>
#include <kiln/nn.h>

#include "graph_run.h"

typedef struct Net {
    kiln_dense *hidden, *last;
    kiln_conv *first, *second;
    kiln_optimizer *optimizer;
} Net;

static void mlp(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    Net *n = user;
    KILN_TAPE(k, tape);
    kiln_tensor *h = kiln_relu(kiln_dense_apply(n->hidden, in[0]));
    out[0] = kiln_cross_entropy(kiln_dense_apply(n->last, h), in[1]);
    kiln_optimizer_minimize(n->optimizer, tape, out[0]);
}

static void convnet(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    Net *n = user;
    KILN_TAPE(k, tape);
    kiln_tensor *h = kiln_relu(kiln_conv_apply(n->first, in[0]));
    h = kiln_relu(kiln_conv_apply(n->second, h));
    out[0] = kiln_cross_entropy(kiln_dense_apply(n->last, kiln_global_avg_pool(h)), in[1]);
    kiln_optimizer_minimize(n->optimizer, tape, out[0]);
}

/* Rows as long as the lanes of a warp keep them, or those of a block, and too long for that. */
static void rows(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    (void)user;
    out[0] = kiln_softmax(in[0], -1);
    kiln_tensor *d = kiln_sub(in[1], kiln_mean(in[1], KILN_KEEP(1)));
    out[1] = kiln_div(d, kiln_sqrt(kiln_add(kiln_mean(kiln_mul(d, d), KILN_KEEP(1)), 1e-5)));
    out[2] = kiln_softmax(in[2], -1);
    out[3] = kiln_softmax(in[3], -1);
    out[4] = kiln_cast(kiln_argmax(in[2], 1), KILN_F32);
}

static void call_rows(kiln *k)
{
    KILN_SCOPE(k);
    kiln_function *f = kiln_function_new(k, rows, NULL, &(kiln_function_options){.name = "rows", .outputs = 5});
    kiln_call(f, kiln_ones(k, KILN_F32, KILN_SHAPE(8, 1024)), kiln_ones(k, KILN_F64, KILN_SHAPE(8, 500)),
        kiln_ones(k, KILN_F32, KILN_SHAPE(8, 50257)), kiln_ones(k, KILN_F32, KILN_SHAPE(8, 8192)));
    if (kiln_failed(k)) fail_msg("%s", kiln_error(k)->text);
    kiln_function_free(f);
}

/* Few and long: several blocks share each. */
static void long_rows(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    (void)user;
    kiln_tensor *d = kiln_sub(in[0], kiln_mean(in[0], KILN_KEEP(1)));
    out[0] = kiln_softmax(in[0], -1);
    out[1] = kiln_div(d, kiln_sqrt(kiln_add(kiln_mean(kiln_mul(d, d), KILN_KEEP(1)), 1e-5)));
    out[2] = kiln_sum(in[0], KILN_ALL);
    out[3] = kiln_argmax(in[0], 1);
    out[4] = kiln_softmax(kiln_cast(in[0], KILN_F64), -1);
    out[5] = kiln_prod(kiln_cast(in[0], KILN_I64), KILN_AXES(1));
}

static void call_long_rows(kiln *k, bool bounded)
{
    KILN_SCOPE(k);
    kiln_function_options o = {.name = bounded ? "bounded_rows" : "long_rows", .outputs = 6};
    if (bounded) o.inputs[0] = (kiln_spec)KILN_SPEC(KILN_F32, 2, KILN_DIM("N", 1, 1 << 24));
    kiln_function *f = kiln_function_new(k, long_rows, NULL, &o);
    kiln_call(f, kiln_ones(k, KILN_F32, KILN_SHAPE(2, bounded ? 100 : 1 << 20)));
    if (kiln_failed(k)) fail_msg("%s", kiln_error(k)->text);
    kiln_function_free(f);
}

static void net_open(Net *n, kiln *k)
{
    kiln_variable *chance = kiln_generator(k, 7);
    kiln_window window = {.size = {3, 3}};
    n->hidden = kiln_dense_new(k, 28 * 28, 32, chance);
    n->last = kiln_dense_new(k, 32, 10, chance);
    n->first = kiln_conv_new(k, 1, 16, &window, chance);
    n->second = kiln_conv_new(k, 16, 32, &window, chance);
    n->optimizer = kiln_adam(k, 0.001);
    kiln_variable_free(chance);
}

static void net_close(Net *n)
{
    kiln_dense_free(n->hidden);
    kiln_dense_free(n->last);
    kiln_conv_free(n->first);
    kiln_conv_free(n->second);
    kiln_optimizer_free(n->optimizer);
}

/* One call, so that it is compiled, with a bounded batch and with a fixed one. */
static void train(kiln *k, Net *n, kiln_body *body, const char *name, bool images, bool bounded)
{
    KILN_SCOPE(k);
    kiln_size batch = bounded ? KILN_DIM("N", 1, 64) : kiln_size_of(8);
    kiln_function_options f = {.name = name, .inputs = {KILN_SPEC(KILN_F32, batch, 28 * 28), KILN_SPEC(KILN_I64, batch)}};
    if (images) f.inputs[0] = (kiln_spec)KILN_SPEC(KILN_F32, batch, 28, 28, 1);
    kiln_function *step = kiln_function_new(k, body, n, &f);
    kiln_tensor *x = kiln_ones(k, KILN_F32, KILN_SHAPE(8, 28 * 28));
    if (images) x = kiln_reshape(x, KILN_SHAPE(8, 28, 28, 1));
    kiln_call(step, x, kiln_zeros(k, KILN_I64, KILN_SHAPE(8)));
    if (kiln_failed(k)) fail_msg("%s", kiln_error(k)->text);
    kiln_function_free(step);
}

static char *read_file(const char *folder, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    size_t n = (size_t)ftell(f);
    rewind(f);
    char *text = malloc(n + 1);
    assert_int_equal(fread(text, 1, n, f), n);
    text[n] = '\0';
    fclose(f);
    unlink(path);
    return text;
}

static bool full(void) { return getenv("KILN_TEST_FULL") != NULL; }

static int count(const char *text, const char *what)
{
    int n = 0;
    for (; (text = strstr(text, what)) != NULL; text++) n++;
    return n;
}

/* Kernels in all dumped sources, which must be those in all dumped PTX. */
static int judge(const char *folder)
{
    int sources = 0, kernels = 0, entries = 0;
    struct dirent *e;
    DIR *d = opendir(folder);
    assert_non_null(d);
    while ((e = readdir(d)) != NULL) {
        if (e->d_name[0] == '.') continue;
        char *text = read_file(folder, e->d_name);
        if (strstr(e->d_name, ".ptx") != NULL) entries += count(text, ".visible .entry ");
        if (strstr(e->d_name, ".cuda") != NULL) {
            sources++;
            if (count(text, " __global__ ") == 0) fail_msg("%s has no kernel:\n%s", e->d_name, text);
            kernels += count(text, " __global__ ");
            if (full()) cuda_source_compiles(text, e->d_name); /* what was dumped was compiled for the oldest */
            cuda_fits_registers(text, e->d_name);
        }
        free(text);
    }
    closedir(d);
    assert_int_equal(sources, full() ? 7 : 6);
    assert_int_equal(entries, kernels);
    return kernels;
}

static void training_steps_compile(void **state)
{
    NEED_NVRTC();
    if (!graph_can_compile()) SKIP("no LLVM module");
    char folder[] = "/tmp/kiln-dump-XXXXXX";
    assert_non_null(mkdtemp(folder));
    setenv("KILN_DUMP", "cuda,ptx", 1);
    setenv("KILN_DUMP_DIR", folder, 1);
    kiln *k = kiln_open(NULL);
    Net n;
    net_open(&n, k);
    for (int bounded = 0; bounded < 2; bounded++) {
        train(k, &n, mlp, "mlp", false, bounded);
        if (!bounded || full()) train(k, &n, convnet, "convnet", true, bounded);
    }
    call_rows(k);
    for (int bounded = 0; bounded < 2; bounded++) call_long_rows(k, bounded);
    net_close(&n);
    assert_int_equal(kiln_close(k), 0);
    unsetenv("KILN_DUMP");
    print_message("%d kernels and products\n", judge(folder));
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(training_steps_compile)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
