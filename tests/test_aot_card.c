/* aot_card: objects for NVIDIA cards, without a card: a C program runs one on a library that has libcuda's names and notes launches.
 * Kernels, blocks, threads, operands and order are those of the code that is compiled in the process for a device. Also what is said
 * where NVRTC is absent or does not know the architecture. Skipped without NVRTC. */
#include "aot_test.h"
#include "launches.h"

#include <kiln/aot.h>
#include <kiln/nn.h>

#include "codegen/cuda/api.h"
#include "codegen/cuda/schedule.h"

enum { IN = 20, HIDDEN = 33, OUT = 5, BATCH = 12, STEPS = 3 };

struct net { kiln_dense *hidden, *last; kiln_optimizer *adam; };

static void train(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    struct net *net = user;
    KILN_TAPE(k, tape);
    kiln_variable *y = kiln_local(k, kiln_relu(kiln_dense_apply(net->hidden, in[0])));
    KILN_FOR(k, i, 3) kiln_assign(y, kiln_add(y, kiln_mul(kiln_value(y), kiln_cast(i, KILN_F32))));
    out[0] = kiln_cross_entropy(kiln_dense_apply(net->last, kiln_value(y)), in[1]);
    kiln_optimizer_minimize(net->adam, tape, out[0]);
}

static kiln_function *step_function(kiln *k, struct net *net)
{
    kiln_variable *g = kiln_generator(k, 11);
    *net = (struct net){kiln_dense_new(k, IN, HIDDEN, g), kiln_dense_new(k, HIDDEN, OUT, g), kiln_adam(k, 0.1)};
    return kiln_function_new(k, train, net, &(kiln_function_options){.name = "step",
        .inputs = {KILN_SPEC(KILN_F32, KILN_DIM("N", 1, BATCH), IN), KILN_SPEC(KILN_I64, KILN_DIM("N", 1, BATCH))}});
}

/* A card on which memory is the host's and kernels do nothing. It takes no binary if REFUSE is set, and counts operands in PTX. */
static const char card[] =
    "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n"
    "typedef struct { char name[96]; int n, shared; } Kernel;\nstatic Kernel kernel[64];\nstatic int nkernel;\n"
    "int cuInit(unsigned f) { return (int)f; }\n"
    "int cuGetErrorName(int e, const char **t) { return *t = e == 209 ? \"NO_BINARY\" : \"SOME\", 0; }\n"
    "int cuDeviceGetAttribute(int *x, int a, int d) { return *x = a == 16, d; }\n"
    "int cuOccupancyMaxActiveBlocksPerMultiprocessor(int *n, void *k, int threads, size_t shared) { return *n = k && threads && !shared, 0; }\n"
    "int cuLaunchCooperativeKernel(void) { return 1; }\n"
    "int cuMemsetD32Async(void) { return 1; }\n"
    "int cuDeviceGet(int *d, int n) { return *d = n, n == 0 ? 0 : 101; }\n"
    "int cuDevicePrimaryCtxRetain(void **c, int d) { return *c = kernel, d; }\n"
    "int cuDevicePrimaryCtxRelease_v2(int d) { return printf(\"released\\n\"), d; }\n"
    "int cuCtxPushCurrent_v2(void *c) { return c != (void *)kernel; }\n"
    "int cuCtxPopCurrent_v2(void **c) { return *c = kernel, 0; }\n"
    "int cuModuleLoadData(void **m, const void *image)\n"
    "{\n    if (memcmp(image, \"\\177ELF\", 4) == 0) return *m = kernel, getenv(\"REFUSE\") ? 209 : 0;\n"
    "    if (!strstr(image, \".version\")) return 200;\n"
    "    for (const char *at = image; (at = strstr(at, \".entry \"));) {\n"
    "        at += 7;\n        Kernel *k = &kernel[nkernel++];\n        sprintf(k->name, \"%.*s\", (int)strcspn(at, \"(\"), at);\n"
    "        for (; *at != '{' && *at != ')'; at++) k->n += strncmp(at, \".param\", 6) == 0;\n    }\n    return *m = kernel, 0;\n}\n"
    "int cuModuleUnload(void *m) { return m != (void *)kernel; }\n"
    "int cuModuleGetFunction(void **f, void *m, const char *name)\n"
    "{\n    int i = 0;\n    (void)m;\n    while (i < nkernel && strcmp(kernel[i].name, name)) i++;\n"
    "    if (getenv(\"REFUSE\") && i == nkernel) return 500;\n    if (i == nkernel) strcpy(kernel[nkernel++].name, name);\n"
    "    return *f = &kernel[i], 0;\n}\n"
    "int cuMemAlloc_v2(void **at, size_t n) { return (*at = calloc(1, n)) ? 0 : 2; }\n"
    "int cuMemFree_v2(void *at) { return free(at), 0; }\n"
    "int cuMemcpyHtoDAsync_v2(void *to, const void *from, size_t n, void *s) { return memcpy(to, from, n), (void)s, 0; }\n"
    "int cuMemcpyDtoHAsync_v2(void *to, const void *from, size_t n, void *s) { return memcpy(to, from, n), (void)s, 0; }\n"
    "int cuMemcpyDtoDAsync_v2(void *to, const void *from, size_t n, void *s) { return memmove(to, from, n), (void)s, 0; }\n"
    "int cuStreamSynchronize(void *s) { return (void)s, 0; }\n"
    "int cuFuncSetAttribute(Kernel *k, int attribute, int value)\n"
    "{\n    if (attribute != 8 || value <= 49152) return 1;\n    return k->shared = value, printf(\"%s takes %d\\n\", k->name, value), 0;\n}\n"
    "int cuLaunchKernel(Kernel *k, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, void *s,\n"
    "    void **params, void **extra)\n"
    "{\n    static int calls;\n    if (getenv(\"FAIL\") && ++calls == atoi(getenv(\"FAIL\"))) return 719;\n"
    "    if (extra || shared != (unsigned)k->shared || s != (void *)5) return 1;\n"
    "    for (int i = 0; i < k->n; i++) { volatile char c = *(char *)params[i]; (void)c; }\n"
    "    return printf(\"%s %u,%u,%u %u,%u,%u %d\\n\", k->name, gx, gy, gz, bx, by, bz, k->n), 0;\n}\n";

static const char program[] =
    "#include \"step.h\"\n#include <stdio.h>\n#include <stdlib.h>\n"
    "int main(int argc, char **argv)\n"
    "{\n    step_device d;\n    void *driver = argc > 1 ? dlopen(argv[1], RTLD_NOW) : 0;\n    int64_t needs[1];\n"
    "    if (step_open(&d, driver, argc > 2)) return printf(\"%s\\n\", d.error), 1;\n"
    "    char *state = calloc(1, STEP_STATE_BYTES), *work = calloc(1, STEP_WORKSPACE_BYTES);\n"
    "    float *x = calloc(12 * 20, 4), loss;\n    int64_t *label = calloc(12, 8);\n"
    "    if (step_needs(12, needs) || needs[0] != STEP_WORKSPACE_BYTES || step_init(&d, (void *)5, state)) return 2;\n"
    "    for (int i = 0; i < 3; i++)\n"
    "        if (step(&d, (void *)5, state, x, label, i == 2 ? 7 : 12, &loss, work)) return printf(\"%s\\n\", d.error), 3;\n"
    "    step_close(&d);\n    free(state), free(work), free(x), free(label);\n    return 0;\n}\n";

static void write_text(const char *name, const char *text)
{
    FILE *f = fopen(path_of(name), "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

/* What the program prints with that environment and these arguments. */
static const char *prints(const char *set, const char *args, int status)
{
    static char all[1 << 16];
    char command[400];
    snprintf(command, sizeof command, "cd %s && %s ./main %s", dir, set, args);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    all[fread(all, 1, sizeof all - 1, f)] = 0;
    assert_int_equal(pclose(f) >> 8, status);
    return all;
}

/* Lines whose kernel the other text has too; single operations launch others. counts: with the number of operands. */
static void filter(const char *lines, const char *known, bool counts, char *to)
{
    char line[160], name[96];
    for (*to = 0; *lines; lines += strcspn(lines, "\n") + 1) {
        snprintf(line, sizeof line, "%.*s", (int)strcspn(lines, "\n"), lines);
        snprintf(name, sizeof name, "%.*s ", (int)strcspn(line, " "), line);
        if (!strstr(known, name)) continue;
        if (!counts) *strrchr(line, ' ') = 0;
        sprintf(to + strlen(to), "%s\n", line);
    }
}

static void launches_are_those_of_the_jit(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    static char jit[1 << 16], here[1 << 16], there[1 << 16];
    struct net net, on;
    if (!launches_device()) {
        printf("skip: there is no emulated device here\n");
        skip();
    }
    assert_true(kiln_aot(step_function(k, &net), path_of("step"), &(kiln_aot_options){.device = "sm_80"}));
    assert_ok(k);
    {
        KILN_DEVICE(k, "noted:0");
        kiln_function *f = step_function(k, &on);
        kiln_tensor *x = kiln_full(k, KILN_F32, KILN_SHAPE(BATCH, IN), 0.5), *label = kiln_full(k, KILN_I64, KILN_SHAPE(BATCH), 1);
        assert_true(kiln_sync(k, "noted:0"));
        launches_noted();
        for (int i = 0; i < STEPS; i++) {
            const int n = i == STEPS - 1 ? 7 : BATCH;
            kiln_item(kiln_call(f, kiln_slice(x, 0, 0, n, 1), kiln_slice(label, 0, 0, n, 1)));
        }
        assert_ok(k);
        snprintf(jit, sizeof jit, "%s", launches_noted());
    }
    write_text("card.c", card);
    write_text("main.c", program);
    run("test -z \"$(nm -u %s/step.o | grep ' U ')\"", dir);
    run("cd %s && cc -shared -fPIC -O1 -o libcard.so card.c && cc -std=c11 -D_DEFAULT_SOURCE -Wall -Wextra -Werror -Wpedantic -O1 -o main main.c step.o -ldl", dir);
    run("cd %s && printf '#include \"step.h\"\\nint use(step_device *d) { return step_open(d, 0, 0); }\\n' > also.cc && c++ -std=c++17 -Wall -Wextra -Werror -c -o also.o also.cc", dir);

    const char *got = prints("REFUSE=1", "./libcard.so", 0); /* PTX, which says how many operands there are */
    assert_non_null(strstr(got, "released"));
    filter(got, got, true, there);
    filter(jit, got, true, here);
    assert_true(strlen(there) > 1000);
    assert_string_equal(there, here);
    got = prints("", "./libcard.so", 0); /* the binary */
    filter(jit, got, false, here);
    filter(got, got, false, there);
    assert_string_equal(there, here);
}

/* After the case before, which made the program. */
static void what_fails_is_named(void **state)
{
    (void)state;
    assert_non_null(strstr(prints("FAIL=2", "./libcard.so", 3), "cuLaunchKernel of k"));
    assert_non_null(strstr(prints("", "./libcard.so 1", 1), "cuDeviceGet: SOME"));
    assert_non_null(strstr(prints("", "", 1), "libcuda.so.1"));
    run("cd %s && sed s/cuStreamSynchronize/cuOther/ card.c > old.c && cc -shared -fPIC -o libold.so old.c", dir);
    assert_non_null(strstr(prints("", "./libold.so", 1), "too old: it has no cuStreamSynchronize"));
}

KILN_FUNCTION(plain, k, x) { return (void)k, kiln_add(x, 1); }

KILN_FUNCTION(squared, k, x) { return (void)k, kiln_matmul(x, x); }

/* Code for sm_90a alone, where something in it needs that; sm_90 is for all cards of 9.x. */
static void kinds_of_an_architecture_differ(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_function *f = KILN_FN(k, squared);
    kiln_call(f, kiln_cast(kiln_ones(k, KILN_F32, KILN_SHAPE(72, 72)), KILN_BF16));
    product_large = 1; /* the tile that takes more shared memory than every block has */
    assert_true(kiln_aot(f, path_of("own"), &(kiln_aot_options){.device = "sm_90a"}));
    product_large = 1 << 20;
    assert_true(kiln_aot(f, path_of("other"), &(kiln_aot_options){.device = "sm_90"}));
    run("cd %s && grep -q 'for sm_90a' own.h && grep -aq 'target sm_90a' own.o && grep -aq wgmma.mma_async own.o", dir);
    write_text("card.c", card);
    write_text("own.c", "#include \"own.h\"\n#include <stdio.h>\n"
        "int main(void)\n{\n    own_device d;\n    static uint16_t x[72 * 72], y[72 * 72];\n"
        "    if (own_open(&d, dlopen(\"./libcard.so\", RTLD_NOW), 0)) return printf(\"%s\\n\", d.error), 1;\n"
        "    if (own(&d, (void *)5, (void *)0, x, y, (void *)0)) return printf(\"%s\\n\", d.error), 2;\n    own_close(&d);\n    return 0;\n}\n");
    run("cd %s && cc -shared -fPIC -O1 -o libcard.so card.c && cc -std=c11 -D_DEFAULT_SOURCE -O1 -o main own.c own.o -ldl", dir);
    assert_non_null(strstr(prints("", "", 0), "product0 takes 131104\nproduct0 1,1,1 256,1,1"));
    run("cd %s && ! grep -q 'for sm_90a' other.h && ! grep -aq 'target sm_90a' other.o && grep -aq mma.sync other.o", dir);
}

static void unknown_architectures_are_named(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_function *f = KILN_FN(k, plain);
    kiln_call(f, kiln_f32(k, KILN_SHAPE(2), 1, 2));
    assert_false(kiln_aot(f, path_of("wrong"), &(kiln_aot_options){.device = "sm_12"}));
    assert_error(k, KILN_EUNSUPPORTED, "does not compile for sm_12; it knows sm_");
    assert_true(kiln_aot(f, path_of("right"), &(kiln_aot_options){.device = "sm_90"}));
    run("grep -q 'for sm_90' %s/right.h", dir);
}

/* A process without NVRTC. */
static int without(void)
{
    kiln *k = kiln_open(&(kiln_options){.compile = KILN_NEVER});
    kiln_function *f = KILN_FN(k, plain);
    kiln_call(f, kiln_f32(k, KILN_SHAPE(2), 1, 2));
    if (kiln_aot(f, "/tmp/none", &(kiln_aot_options){.device = "sm_90"})) return 1;
    const int wrong = !strstr(kiln_error(k)->text, "KILN_NVRTC") || !strstr(kiln_error(k)->text, "sm_90");
    kiln_clear(k);
    return kiln_close(k) + wrong;
}

static const char *self;
static void the_compiler_may_be_absent(void **state)
{
    (void)state;
    run("KILN_NVRTC=/nowhere/libnvrtc.so KILN_TEST_WITHOUT=1 %s", self);
}

int main(int argc, char **argv)
{
    Status st = {0};
    (void)argc;
    self = realpath(argv[0], NULL);
    if (getenv("KILN_TEST_WITHOUT")) return without();
    if (!cuda_nvrtc(&st)) return printf("skip: %s\n", st.text), 77;
    const struct CMUnitTest tests[] = {WAIT_TEST(launches_are_those_of_the_jit), cmocka_unit_test(what_fails_is_named),
        WAIT_TEST(unknown_architectures_are_named), WAIT_TEST(kinds_of_an_architecture_differ), cmocka_unit_test(the_compiler_may_be_absent)};
    return cmocka_run_group_tests(tests, aot_set_up, aot_tear_down);
}
