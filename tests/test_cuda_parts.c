/* test_cuda_parts: a text that is compiled in parts, on as many threads as an engine has: the code of several modules does what one
 * does, on an emulated device; each function is in one part; what fails says so; the parts are kept together. By NVRTC, where it is
 * there, too. */
#define _GNU_SOURCE
#include "emu_use.h"
#include "remove_all.h"

#include <kiln/kiln.h>
#include <kiln/nn.h>

#include <stdatomic.h>
#include <stdlib.h>

#include "codegen/cuda/parts.h"
#include "codegen/devices.h"
#include "codegen/gpu.h"
#include "codegen/store.h"

enum { IN = 20, HIDDEN = 33, OUT = 5, BATCH = 12, STEPS = 3 };

/* ---- a device whose compiler is worth starting often ----------------------------------------------------------- */
static const CudaDriver *under;
static CudaDriver apart;
static atomic_int builds, marked, loads;
static const char *fails; /* a text that has this cannot be compiled */

static bool build(const CudaDriver *d, const char *source, const char *name, Text *image, Status *st)
{
    (void)d;
    if (strcmp(name, "step") != 0) return under->build(under, source, name, image, st);
    builds++;
    marked += strstr(source, "\n// part ") != NULL;
    if (fails && strstr(source, fails)) return status_fail(st, ST_INTERNAL, "no %s", fails);
    return under->build(under, source, name, image, st);
}

static CUresult load(CUmodule *m, const void *image)
{
    loads++;
    return under->ModuleLoadData(m, image);
}

static int open_apart(void **state)
{
    (void)state;
    Status st = {0};
    under = emu_driver(0, &st);
    apart = *under;
    apart.build = build;
    apart.store = NULL;
    apart.ModuleLoadData = load;
    apart.parts = true;
    const Device *d = gpu_open(&apart, "apart:0", (uint8_t)device_next(), &st);
    if (!d) return -1;
    device_add(d);
    return 0;
}

/* ---- a step of training, with a loop ---------------------------------------------------------------------------- */
typedef struct Net { kiln_dense *hidden, *last; kiln_optimizer *adam; } Net;

static void train(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    Net *net = user;
    KILN_TAPE(k, tape);
    kiln_variable *y = kiln_local(k, kiln_relu(kiln_dense_apply(net->hidden, in[0])));
    KILN_FOR(k, i, 3) kiln_assign(y, kiln_add(y, kiln_mul(kiln_value(y), kiln_cast(i, KILN_F32))));
    out[0] = kiln_cross_entropy(kiln_dense_apply(net->last, kiln_value(y)), in[1]);
    kiln_optimizer_minimize(net->adam, tape, out[0]);
}

/* The losses of some steps; false after an error. from_disk: NULL, or whether the code was there. */
static bool losses(const char *device, int threads, const char *folder, float *loss, bool *from_disk, char *said)
{
    kiln *k = kiln_open(&(kiln_options){.threads = threads, .compile = KILN_WAIT, .cache_dir = folder, .seed = 4});
    bool ok;
    {
        KILN_SCOPE(k);
        KILN_DEVICE(k, device);
        kiln_variable *g = kiln_generator(k, 11);
        Net net = {kiln_dense_new(k, IN, HIDDEN, g), kiln_dense_new(k, HIDDEN, OUT, g), kiln_adam(k, 0.1)};
        kiln_tensor *x = kiln_div(kiln_iota(k, KILN_F32, KILN_SHAPE(BATCH, IN), 1), 7), *label = kiln_ones(k, KILN_I64, KILN_SHAPE(BATCH));
        kiln_function *f = kiln_function_new(k, train, &net, &(kiln_function_options){.name = "step"});
        kiln_function_statistics s = {0};
        for (int i = 0; i < STEPS; i++) loss[i] = (float)kiln_item(kiln_call(f, x, label));
        kiln_function_stats(f, &s);
        if (from_disk) *from_disk = s.from_disk == 1;
        ok = !kiln_failed(k);
        if (said) snprintf(said, 500, "%s", kiln_error(k)->text);
        kiln_clear(k);
    }
    return kiln_close(k) == 0 && ok;
}

static void many_modules_do_what_one_does(void **state)
{
    (void)state;
    float want[STEPS], got[STEPS];
    assert_true(losses("emu:0", 2, "", want, NULL, NULL));
    assert_true(want[0] > want[STEPS - 1]);
    for (int threads = 1; threads < 4; threads++) {
        builds = marked = loads = 0;
        memset(got, 0, sizeof got);
        assert_true(losses("apart:0", threads, "", got, NULL, NULL));
        assert_memory_equal(got, want, sizeof want);
        assert_int_equal(builds, threads);
        assert_int_equal(marked, threads);
    }
}

static void one_that_fails_says_so(void **state)
{
    (void)state;
    float loss[STEPS];
    char said[500];
    fails = " graph_place("; /* in one part alone */
    builds = 0;
    assert_false(losses("apart:0", 2, "", loss, NULL, said));
    assert_non_null(strstr(said, "no  graph_place("));
    assert_int_equal(builds % 2, 0);
    fails = NULL;
}

static void they_are_kept_together(void **state)
{
    (void)state;
    char folder[] = "/tmp/kiln-parts-XXXXXX";
    float want[STEPS], got[STEPS];
    bool there = true;
    assert_non_null(mkdtemp(folder));
    assert_true(losses("apart:0", 2, folder, want, &there, NULL));
    assert_false(there);
    builds = 0;
    assert_true(losses("apart:0", 2, folder, got, &there, NULL));
    assert_true(there);
    assert_int_equal(builds, 0);
    assert_memory_equal(got, want, sizeof want);
    assert_true(losses("apart:0", 1, folder, got, &there, NULL)); /* by whatever threads they were made */
    assert_true(there);
    assert_int_equal(builds, 0);
    assert_memory_equal(got, want, sizeof want);
    remove_all(folder);
}

/* ---- texts ----------------------------------------------------------------------------------------------------------- */
static bool keep_text(const CudaDriver *d, const char *source, const char *name, Text *image, Status *st)
{
    (void)d, (void)name, (void)st;
    text_printf(image, "%s", source);
    return true;
}

static const char in_parts[] = "all\n// part 1\none\n// part 0\nnone\n// part 2\ntwo // part 9\n// part 1\nagain\n";

static void each_function_is_in_one_part(void **state)
{
    (void)state;
    static const char *const want[4][3] = {{NULL}, {"all\n// part 1\none\n// part 0\nnone\n// part 2\ntwo // part 9\n// part 1\nagain\n"},
        {"all\n// part 0\nnone\n// part 2\ntwo // part 9\n", "all\n// part 1\none\n// part 1\nagain\n"},
        {"all\n// part 0\nnone\n", "all\n// part 1\none\n// part 1\nagain\n", "all\n// part 2\ntwo // part 9\n"}};
    const CudaDriver d = {.build = keep_text};
    ThreadPool *pool = threads_new(2);
    assert_int_equal(parts_of("all\n"), 1);
    assert_int_equal(parts_of(in_parts), 3);
    for (uint32_t n = 1; n < 4; n++) {
        Text image = {0};
        Status st = {0};
        uint32_t there;
        assert_true(parts_build(&d, pool, n, in_parts, "text", &image, &st));
        for (uint32_t i = 0; i < n; i++) {
            assert_string_equal(parts_image(image.at, image.len, i, &there), want[n][i]);
            assert_int_equal(there, n);
        }
        assert_null(parts_image(image.at, 192, n - 1, &there)); /* cut short */
        text_free(&image);
    }
    threads_free(pool);
}

/* ---- NVRTC ------------------------------------------------------------------------------------------------------------- */
static void cubins_do_not_depend_on_when(void **state)
{
    (void)state;
    Status st = {0};
    if (!cuda_nvrtc(&st)) {
        print_message("skip: %s\n", st.text);
        skip();
    }
    static const char text[] = "typedef float f32;\n"
                               "// part 0\nextern \"C\" __global__ void f(f32 *x) { *x = 1; }\n"
                               "// part 1\nextern \"C\" __global__ void g(f32 *x) { *x = 2; }\n";
    const CudaDriver d = {.build = nvrtc_build, .compiler = nvrtc_compiler, .capability = 90, .parts = true};
    ThreadPool *pool = threads_new(2);
    Text image[2] = {{0}};
    for (int i = 0; i < 2; i++)
        if (!cuda_images(&d, NULL, pool, text, "two", NULL, &image[i], &st)) fail_msg("%s", st.text);
    assert_int_equal(image[0].len, image[1].len);
    assert_memory_equal(image[0].at, image[1].at, image[0].len);
    uint32_t n;
    assert_memory_equal(parts_image(image[0].at, image[0].len, 1, &n), "\177ELF", 4);
    assert_int_equal(n, 2);
    for (int i = 0; i < 2; i++) text_free(&image[i]);
    threads_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_function_is_in_one_part), cmocka_unit_test(many_modules_do_what_one_does),
        cmocka_unit_test(one_that_fails_says_so), cmocka_unit_test(they_are_kept_together), cmocka_unit_test(cubins_do_not_depend_on_when)};
    Status st = {0};
    if (!emu_driver(0, &st)) return print_message("skip: %s\n", st.text), 77;
    return cmocka_run_group_tests(tests, open_apart, NULL);
}
