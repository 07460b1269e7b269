/* aot_device: objects for emulated devices: a C program that links them, and Kiln for the emulated driver alone, gets the bits of the
 * CPU's code, with the launches of the code that is compiled in the process; what an object cannot have, or be made for, is named. */
#include "aot_test.h"
#include "launches.h"

#include <kiln/aot.h>
#include <kiln/nn.h>

enum { IN = 20, HIDDEN = 33, OUT = 5, BATCH = 12, STEPS = 4, N = 4, CALLS = 5 };

struct net { kiln_dense *hidden, *last; kiln_optimizer *sgd; kiln_tensor *scale; };

static void train(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    struct net *net = user;
    KILN_TAPE(k, tape);
    kiln_tensor *h = kiln_relu(kiln_dense_apply(net->hidden, kiln_mul(in[0], net->scale)));
    out[0] = kiln_cross_entropy(kiln_dense_apply(net->last, h), in[1]);
    kiln_optimizer_minimize(net->sgd, tape, out[0]);
}

static void net_make(kiln *k, struct net *net)
{
    kiln_variable *g = kiln_generator(k, 11);
    static float scale[IN];
    for (int i = 0; i < IN; i++) scale[i] = 1 + (float)i / 8;
    *net = (struct net){kiln_dense_new(k, IN, HIDDEN, g), kiln_dense_new(k, HIDDEN, OUT, g), kiln_sgd(k, 0.1, 0.9),
        kiln_from(k, KILN_F32, KILN_SHAPE(IN), scale, IN)};
}

static kiln_function *step_function(kiln *k, struct net *net)
{
    return kiln_function_new(k, train, net, &(kiln_function_options){.name = "step",
        .inputs = {KILN_SPEC(KILN_F32, KILN_DIM("N", 1, BATCH), IN), KILN_SPEC(KILN_I64, KILN_DIM("N", 1, BATCH))}});
}

/* x, and how often; keeps in a variable how often it halved. A count of 13 breaks a bound, one of 14 an assertion. */
static void wander(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_variable *halved = user, *y = kiln_local(k, in[0]), *root = kiln_local(k, KILN_F32, 1.0), *sum = kiln_local(k, KILN_F32, 0.0);
    kiln_assert(kiln_not_equal(in[1], 14), "not that often");
    KILN_FOR(k, i, in[1]) {
        KILN_IF(kiln_greater(kiln_sum(y, KILN_ALL), 20))
        {
            kiln_assign(y, kiln_mul(y, 0.5));
            kiln_assign_add(halved, 1);
        }
        KILN_ELSE(k) kiln_assign(y, kiln_add(y, kiln_cast(i, KILN_F32)));
    }
    KILN_FOR(k, i, 4) kiln_assign_add(sum, kiln_mul(kiln_gather(in[0], i, 0), kiln_add(kiln_cast(i, KILN_F32), 1)));
    KILN_WHILE_AT_MOST(k, 12, kiln_less(kiln_mul(root, root), kiln_cast(in[1], KILN_F32))) kiln_assign_add(root, kiln_cast(kiln_not_equal(in[1], 13), KILN_F32));
    out[0] = kiln_mul(y, kiln_add(root, sum));
}

static kiln_function *wander_function(kiln *k, kiln_variable *halved)
{
    return kiln_function_new(k, wander, halved, &(kiln_function_options){.name = "wander", .inputs = {KILN_SPEC(KILN_F32, N), KILN_SPEC(KILN_I32)}});
}

/* ---- a program that uses the objects ------------------------------------------------------------------------------------ */
static const char program[] =
    "#include \"step.h\"\n#include \"wander.h\"\n#include <stdio.h>\n#include <stdlib.h>\n"
    "void *kiln_emulated_driver(void *, const char *);\n"
    "static struct { void *f; const char *name; } known[256];\nstatic int nknown;\n"
    "static int (*get)(void **, void *, const char *);\n"
    "static int (*launch)(void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void *, void **, void **);\n"
    "static int note_get(void **f, void *m, const char *name)\n"
    "{\n    int r = get(f, m, name);\n    known[nknown].f = *f;\n    known[nknown++].name = name;\n    return r;\n}\n"
    "static int note_launch(void *f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, void *s,\n"
    "    void **params, void **extra)\n"
    "{\n    int i = 0;\n    while (known[i].f != f) i++;\n"
    "    fprintf(stderr, \"%s %u,%u,%u %u,%u,%u\\n\", known[i].name, gx, gy, gz, bx, by, bz);\n"
    "    return launch(f, gx, gy, gz, bx, by, bz, shared, s, params, extra);\n}\n"
    "static void *symbol(void *driver, const char *name)\n"
    "{\n    void *at = kiln_emulated_driver(driver, name), *mine;\n"
    "    int (*g)(void **, void *, const char *) = note_get;\n"
    "    if (!strcmp(name, \"cuModuleGetFunction\")) return memcpy(&get, &at, sizeof at), memcpy(&mine, &g, sizeof mine), mine;\n"
    "    if (!strcmp(name, \"cuLaunchKernel\")) return memcpy(&launch, &at, sizeof at), (void *)note_launch;\n    return at;\n}\n"
    "static int use(void)\n"
    "{\n    void *c;\n    int (*retain)(void **, int), (*push)(void *);\n"
    "    void *a = kiln_emulated_driver(0, \"cuDevicePrimaryCtxRetain\"), *b = kiln_emulated_driver(0, \"cuCtxPushCurrent_v2\");\n"
    "    memcpy(&retain, &a, sizeof a);\n    memcpy(&push, &b, sizeof b);\n    return retain(&c, 0) + push(c);\n}\n"
    "static void *room(size_t n)\n"
    "{\n    void *p = 0, *a = kiln_emulated_driver(0, \"cuMemAlloc_v2\");\n    int (*alloc)(void **, size_t);\n"
    "    memcpy(&alloc, &a, sizeof a);\n    if (alloc(&p, n)) exit(20);\n    return p;\n}\n"
    "static void *put(const void *from, size_t n)\n"
    "{\n    void *p = room(n), *a = kiln_emulated_driver(0, \"cuMemcpyHtoD_v2\");\n    int (*in)(void *, const void *, size_t);\n"
    "    memcpy(&in, &a, sizeof a);\n    if (in(p, from, n)) exit(21);\n    return p;\n}\n"
    "static void tell(const void *from, size_t n)\n"
    "{\n    char to[4096];\n    void *a = kiln_emulated_driver(0, \"cuMemcpyDtoH_v2\");\n    int (*out)(void *, const void *, size_t);\n"
    "    memcpy(&out, &a, sizeof a);\n    if (out(to, from, n)) exit(22);\n    fwrite(to, n, 1, stdout);\n}\n"
    "static step_device d;\nstatic wander_device w;\n"
    "static int steps(FILE *f)\n"
    "{\n    static float x[12 * 20];\n    static int64_t label[12];\n    int64_t needs[2];\n"
    "    if (fread(x, sizeof x, 1, f) != 1 || fread(label, sizeof label, 1, f) != 1) return 2;\n"
    "    if (step_open_by(&d, symbol, 0, 0)) return fprintf(stderr, \"%s\\n\", d.error), 3;\n"
    "    void *state = room(STEP_STATE_BYTES), *work = room(STEP_WORKSPACE_BYTES);\n"
    "    float *in = put(x, sizeof x), *loss = room(4);\n    int64_t *labels = put(label, sizeof label);\n"
    "    if (step_init(&d, 0, state)) return 4;\n"
    "    if (step_needs(5, needs) || needs[0] > STEP_WORKSPACE_BYTES) return 5;\n"
    "    for (int i = 0; i < 4; i++) {\n"
    "        if (step(&d, 0, state, in, labels, i == 3 ? 7 : 12, loss, work)) return fprintf(stderr, \"%s\\n\", d.error), 6;\n"
    "        tell(loss, 4);\n    }\n"
    "    if (step(&d, 0, state, in, labels, 13, loss, work) != STEP_ESHAPE) return 7;\n    step_close(&d);\n    return 0;\n}\n"
    "static int wanders(void)\n"
    "{\n    const float x[4] = {1, -2, 3, 4};\n"
    "    if (wander_open_by(&w, symbol, 0, 0)) return 8;\n"
    "    void *state = room(WANDER_STATE_BYTES), *work = room(WANDER_WORKSPACE_BYTES);\n    float *in = put(x, sizeof x), *out = room(16);\n"
    "    if (wander_init(&w, 0, state)) return 9;\n"
    "    for (int32_t n = 0; n < 5; n++) {\n        int32_t turns = 3 * n;\n"
    "        if (wander(&w, 0, state, in, put(&turns, 4), out, work)) return fprintf(stderr, \"%s\\n\", w.error), 10;\n"
    "        tell(out, 16);\n        tell(state, 4);\n    }\n"
    "    fflush(stdout), fprintf(stderr, \"end\\n\");\n"
    "    int32_t bad = 13;\n    if (wander(&w, 0, state, in, put(&bad, 4), out, work) != WANDER_EVALUE) return 11;\n"
    "    bad = 14;\n    if (wander(&w, 0, state, in, put(&bad, 4), out, work) != WANDER_EVALUE) return 12;\n"
    "    tell(state, 4);\n    wander_close(&w);\n    return 0;\n}\n"
    "int main(int argc, char **argv)\n"
    "{\n    FILE *f = fopen(argv[1], \"rb\");\n    if (argc < 2 || !f || use()) return 1;\n    int wrong = steps(f);\n"
    "    return wrong ? wrong : wanders();\n}\n";

static void write_file(const char *path, const void *a, size_t an, const void *b, size_t bn)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_true(fwrite(a, 1, an, f) == an && fwrite(b, 1, bn, f) == bn);
    fclose(f);
}

static size_t read_file(const char *name, char *to, size_t most)
{
    FILE *f = fopen(path_of(name), "rb");
    assert_non_null(f);
    const size_t n = fread(to, 1, most, f);
    fclose(f);
    return n;
}

/* What both functions give, with the state after each call of the second. */
typedef struct Got { float loss[STEPS], y[CALLS][N + 1], last; } Got;

static void run_here(kiln *k, Got *got)
{
    struct net net;
    net_make(k, &net);
    kiln_variable *halved = kiln_variable_new(k, "halved", KILN_F32, 0.0);
    kiln_function *f = step_function(k, &net), *g = wander_function(k, halved);
    kiln_variable *x = kiln_generator(k, 5);
    kiln_tensor *in = kiln_normal(x, KILN_F32, KILN_SHAPE(BATCH, IN), 0, 1), *label = kiln_argmax(kiln_slice(in, 1, 0, OUT, 1), 1);
    launches_noted();
    for (int i = 0; i < STEPS; i++) {
        const int n = i == STEPS - 1 ? 7 : BATCH;
        got->loss[i] = (float)kiln_item(kiln_call(f, kiln_slice(in, 0, 0, n, 1), kiln_slice(label, 0, 0, n, 1)));
    }
    for (int n = 0; n < CALLS; n++) {
        kiln_read(kiln_call(g, kiln_f32(k, KILN_SHAPE(N), 1, -2, 3, 4), kiln_scalar(k, KILN_I32, 3 * n)), got->y[n], N * sizeof(float));
        got->y[n][N] = (float)kiln_item(halved);
    }
    got->last = got->y[CALLS - 1][N];
    assert_ok(k);
}

/* Without the count of operands, and without what single operations launch, whose kernels are of other programs. */
static void only_kernels(const char *lines, const char *known, char *to)
{
    char line[128];
    for (*to = 0; *lines; lines += strlen(line)) {
        snprintf(line, sizeof line, "%.*s", (int)strcspn(lines, "\n") + 1, lines);
        char *cut = strrchr(line, ' '), name[96];
        snprintf(name, sizeof name, "%.*s ", (int)strcspn(line, " "), line);
        if (strstr(known, name)) sprintf(to + strlen(to), "%.*s\n", (int)(cut - line), line);
    }
}

static void the_bits_of_the_cpu_and_the_launches_of_the_jit(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    static char launched[1 << 16], here[1 << 16];
    Got want, there, got;
    struct net net;
    if (!launches_device()) {
        printf("skip: there is no emulated device here\n");
        skip();
    }
    run_here(k, &want);
    net_make(k, &net);
    kiln_tensor *x = kiln_normal(kiln_generator(k, 5), KILN_F32, KILN_SHAPE(BATCH, IN), 0, 1);
    kiln_tensor *label = kiln_argmax(kiln_slice(x, 1, 0, OUT, 1), 1);
    const kiln_aot_options emu = {.device = "emu"};
    assert_true(kiln_aot(step_function(k, &net), path_of("step"), &emu));
    assert_true(kiln_aot(wander_function(k, kiln_variable_new(k, "halved", KILN_F32, 0.0)), path_of("wander"), &emu));
    assert_ok(k);

    write_file(path_of("main.c"), program, strlen(program), "", 0);
    write_file(path_of("data"), kiln_data(x), kiln_bytes(x), kiln_data(label), kiln_bytes(label));
    run("test -z \"$(nm -u %s/step.o %s/wander.o | grep ' U ')\"", dir, dir);
    run("cc -std=c11 -D_DEFAULT_SOURCE -Wall -Wextra -Werror -O1 -o %s/main %s/main.c %s/step.o %s/wander.o -L\"$KILN_LIBDIR\" -lkiln "
        "-Wl,-rpath,\"$KILN_LIBDIR\" -ldl ${KILN_SANITIZE:+-fsanitize=$KILN_SANITIZE}", dir, dir, dir, dir);
    run("%s/main %s/data > %s/got 2> %s/launched || { cat %s/launched; false; }", dir, dir, dir, dir, dir);
    assert_int_equal(read_file("got", (char *)&got, sizeof got), sizeof got);
    assert_memory_equal(&got, &want, sizeof got);

    KILN_DEVICE(k, "noted:0");
    net_make(k, &net); /* variables and constants of a device are read for the object */
    assert_true(kiln_aot(step_function(k, &net), path_of("there"), &(kiln_aot_options){.device = "emu", .symbol = "step"}));
    run("cmp %s/step.o %s/there.o", dir, dir);
    run_here(k, &there);
    assert_memory_equal(&there, &want, sizeof want);
    launched[read_file("launched", launched, sizeof launched - 1)] = 0;
    char *end = strstr(launched, "end\n");
    assert_non_null(end);
    *end = 0;
    only_kernels(launches_noted(), launched, here);
    assert_true(strlen(here) > 1000);
    assert_string_equal(launched, here);
}

static void multiply(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user) { (void)k, (void)user, out[0] = kiln_matmul(in[0], in[0]); }

/* Tensor cores have bits of their own; a function that asks for the CPU's, or for tf32, has what it asks for in its object, too. */
static void an_exact_function_stays_exact(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    for (int exact = 0; exact < 3; exact++) {
        kiln_function *f = kiln_function_new(k, multiply, NULL, &(kiln_function_options){.name = "multiply", .exact = exact > 0, .inputs = {KILN_SPEC(KILN_BF16, 64, 64)}});
        assert_true(kiln_aot(f, path_of((const char *[]){"fast", "exact", "again"}[exact]), &(kiln_aot_options){.device = "emu", .symbol = "multiply"}));
    }
    for (int tf32 = 0; tf32 < 2; tf32++) {
        kiln_function *f = kiln_function_new(k, multiply, NULL, &(kiln_function_options){.name = "multiply", .tf32 = tf32, .inputs = {KILN_SPEC(KILN_F32, 64, 64)}});
        assert_true(kiln_aot(f, path_of(tf32 ? "tf32" : "f32"), &(kiln_aot_options){.device = "emu", .symbol = "multiply"}));
    }
    assert_ok(k);
    run("cmp -s %s/exact.o %s/again.o && ! cmp -s %s/exact.o %s/fast.o && ! cmp -s %s/f32.o %s/tf32.o", dir, dir, dir, dir, dir, dir);
}

/* ---- many sizes ---------------------------------------------------------------------------------------------------------- */
enum { TENSORS = 36, SIZES = 3 * TENSORS }; /* more than a launch brings along */

static void add_all(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    kiln_tensor *sum = kiln_full(k, KILN_F32, KILN_SHAPE(1), 0.0);
    for (int i = 0; i < TENSORS; i++) sum = kiln_add(sum, kiln_mul(kiln_sum(in[i], KILN_ALL), i + 1));
    out[0] = sum;
    out[1] = kiln_mul(in[TENSORS - 1], 2.0);
}

static int64_t size_of(int i) { return 2 + i % 3; }

/* A program that calls it. */
static void write_many(FILE *f)
{
    const int last = (int)(4 * size_of(SIZES - 3) * size_of(SIZES - 2) * size_of(SIZES - 1));
    fprintf(f, "#include \"many.h\"\n#include <stdio.h>\n#include <stdlib.h>\nvoid *kiln_emulated_driver(void *, const char *);\n"
               "static int (*alloc)(void **, size_t), (*in)(void *, const void *, size_t), (*out)(void *, const void *, size_t), (*retain)(void **, int), (*push)(void *);\n"
               "static void find(void *to, const char *name) { void *at = kiln_emulated_driver(0, name); memcpy(to, &at, sizeof at); }\n"
               "int main(void)\n{\n    many_device d;\n    void *c, *x, *sum, *last, *work;\n    float one[64], got[1 + 64];\n    int64_t needs[5];\n"
               "    find(&alloc, \"cuMemAlloc_v2\"), find(&in, \"cuMemcpyHtoD_v2\"), find(&out, \"cuMemcpyDtoH_v2\");\n"
               "    find(&retain, \"cuDevicePrimaryCtxRetain\"), find(&push, \"cuCtxPushCurrent_v2\");\n"
               "    for (int i = 0; i < 64; i++) one[i] = (float)i;\n"
               "    if (retain(&c, 0) || push(c) || many_open_by(&d, kiln_emulated_driver, 0, 0) || many_needs(");
    for (int i = 0; i < SIZES; i++) fprintf(f, "%d, ", (int)size_of(i));
    fprintf(f, "needs)) return 1;\n    if (needs[0] > MANY_WORKSPACE_BYTES || needs[1] != 1 || needs[2] != %d) return 2;\n", (int)size_of(SIZES - 3));
    fprintf(f, "    if (alloc(&x, sizeof one) || alloc(&sum, 4) || alloc(&last, 4 * 64) || alloc(&work, (size_t)needs[0]) || in(x, one, sizeof one)) return 3;\n"
               "    if (many(&d, 0, 0, ");
    for (int i = 0; i < TENSORS; i++) fprintf(f, "x, ");
    for (int i = 0; i < SIZES; i++) fprintf(f, "%d, ", (int)size_of(i));
    fprintf(f, "sum, last, work)) return 4;\n    if (out(got, sum, 4) || out(got + 1, last, %d)) return 5;\n    fwrite(got, %d, 1, stdout);\n    many_close(&d);\n    return 0;\n}\n",
        last, 4 + last);
}

static void many_sizes_lie_in_memory(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    static char name[SIZES][8];
    kiln_spec spec[TENSORS];
    float one[64], want[1 + 64], got[1 + 64];
    kiln_tensor *in[TENSORS], *out[2];
    const int64_t last = size_of(SIZES - 3) * size_of(SIZES - 2) * size_of(SIZES - 1);
    for (int i = 0; i < 64; i++) one[i] = (float)i;
    for (int i = 0; i < SIZES; i++) snprintf(name[i], sizeof name[i], "s%d", i);
    for (int i = 0; i < TENSORS; i++) {
        spec[i] = (kiln_spec)KILN_SPEC(KILN_F32, KILN_DIM(name[3 * i], 1, 4), KILN_DIM(name[3 * i + 1], 1, 4), KILN_DIM(name[3 * i + 2], 1, 4));
        const int64_t *n = (const int64_t[]){size_of(3 * i), size_of(3 * i + 1), size_of(3 * i + 2)};
        in[i] = kiln_from(k, KILN_F32, KILN_SHAPE(n[0], n[1], n[2]), one, n[0] * n[1] * n[2]);
    }
    kiln_function *f = kiln_function_new(k, add_all, NULL,
        &(kiln_function_options){.name = "many", .input_list = spec, .inputs_count = TENSORS, .outputs = 2});
    assert_true(kiln_aot(f, path_of("many"), &(kiln_aot_options){.device = "emu"}));
    kiln_call_all(f, kiln_tensors(in, TENSORS), out, 2);
    kiln_read(out[0], want, sizeof *want);
    kiln_read(out[1], want + 1, (size_t)last * sizeof *want);
    assert_ok(k);
    FILE *c = fopen(path_of("many.c"), "w");
    assert_non_null(c);
    write_many(c);
    fclose(c);
    run("cc -std=c11 -D_DEFAULT_SOURCE -Wall -Wextra -Werror -O1 -o %s/many %s/many.c %s/many.o -L\"$KILN_LIBDIR\" -lkiln -Wl,-rpath,\"$KILN_LIBDIR\" -ldl ${KILN_SANITIZE:+-fsanitize=$KILN_SANITIZE}", dir, dir, dir);
    run("grep -q 'char .work = (char .)workspace + [3-9][0-9][0-9];' %s/many.h", dir); /* more than 31 of 8 bytes */
    run("%s/many > %s/got", dir, dir);
    const size_t bytes = (size_t)(1 + last) * sizeof *want;
    assert_int_equal(read_file("got", (char *)got, sizeof got), bytes);
    assert_memory_equal(got, want, bytes);
}

/* ---- what cannot be ------------------------------------------------------------------------------------------------------- */
KILN_FUNCTION(plain, k, x) { return (void)k, kiln_add(x, 1); }

static int tell_host(const kiln_array *in, int nin, const kiln_array *out, int nout, void *user) { return (void)in, (void)nin, (void)out, (void)nout, (void)user, 0; }
KILN_FUNCTION(calls, k, x)
{
    kiln_callback(k, tell_host, NULL, KILN_IN(x), NULL, NULL, 0);
    return kiln_add(x, 1);
}

static void what_cannot_be_is_named(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    static const char *const wrong[] = {"", "gpu:0", "sm_", "sm_9x", "sm_90abc", "sm_12345", "emu:0", "cpu"};
    kiln_function *f = KILN_FN(k, plain);
    kiln_call(f, kiln_f32(k, KILN_SHAPE(2), 1, 2));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char named[80];
        snprintf(named, sizeof named, ".device = \"%s\"", wrong[i]);
        assert_false(kiln_aot(f, path_of("wrong"), &(kiln_aot_options){.device = wrong[i]}));
        assert_error(k, KILN_EVALUE, named);
    }
    assert_false(kiln_aot(f, path_of("wrong"), &(kiln_aot_options){.device = "emu", .triple = "aarch64-linux-gnu"}));
    assert_error(k, KILN_EUNSUPPORTED, "no .triple");
    assert_false(kiln_aot(f, path_of("wrong"), &(kiln_aot_options){.device = "emu", .workspace_limit = 0, .symbol = "main"}));
    assert_error(k, KILN_EVALUE, "main");
    kiln_function *g = KILN_FN(k, calls);
    kiln_call(g, kiln_f32(k, KILN_SHAPE(2), 1, 2));
    assert_false(kiln_aot(g, path_of("wrong"), &(kiln_aot_options){.device = "emu"}));
    assert_error(k, KILN_EUNSUPPORTED, "kiln_callback");
    assert_int_not_equal(access(path_of("wrong.o"), F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {WAIT_TEST(the_bits_of_the_cpu_and_the_launches_of_the_jit), WAIT_TEST(an_exact_function_stays_exact), WAIT_TEST(many_sizes_lie_in_memory),
        WAIT_TEST(what_cannot_be_is_named)};
    return cmocka_run_group_tests(tests, aot_set_up, aot_tear_down);
}
