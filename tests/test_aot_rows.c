/* aot_rows: objects for emulated devices of programs whose rows several blocks share: a C program that links one gets the bits of the
 * CPU, by cooperative launches where the device has them and by others where it has none, and asks the device once. */
#include "aot_test.h"
#include "launches.h"

#include <kiln/aot.h>

#include "codegen/cuda/run.h"

enum { M = 2, N = 30000, SHORT = 5000, CALLS = 3 };
static const int length[CALLS] = {N, SHORT, 7}; /* of a row, in each call */

static void rows(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_softmax(in[0], 1);
    out[1] = kiln_argmax(in[0], 1);
    out[2] = kiln_sum(kiln_mul(in[0], in[0]), KILN_AXES(1));
}

static kiln_function *rows_function(kiln *k)
{
    return kiln_function_new(k, rows, NULL, &(kiln_function_options){.name = "rows", .outputs = 3, .inputs = {KILN_SPEC(KILN_F32, M, KILN_DIM("N", 1, N))}});
}

/* Says on stderr how many launches of each kind there were, and how often the device was asked what it runs at once. */
static const char program[] =
    "#include \"rows.h\"\n#include <stdio.h>\n#include <stdlib.h>\n"
    "void *kiln_emulated_driver(void *, const char *);\nstatic int alone, together, asked;\n"
    "static int (*launch)(void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void *, void **, void **);\n"
    "static int (*cooperate)(void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void *, void **);\n"
    "static int (*ask)(int *, void *, int, size_t);\n"
    "static int note_launch(void *f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned n, void *s, void **p, void **e)\n"
    "{\n    alone++;\n    return launch(f, gx, gy, gz, bx, by, bz, n, s, p, e);\n}\n"
    "static int note_together(void *f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned n, void *s, void **p)\n"
    "{\n    together++;\n    return gy > 1 ? cooperate(f, gx, gy, gz, bx, by, bz, n, s, p) : 1;\n}\n"
    "static int note_ask(int *n, void *f, int threads, size_t shared)\n{\n    asked++;\n    return ask(n, f, threads, shared);\n}\n"
    "static void *mine(void *was, void *at, const void *f)\n{\n    void *to;\n    memcpy(was, &at, sizeof at);\n    memcpy(&to, f, sizeof to);\n    return to;\n}\n"
    "static void *symbol(void *driver, const char *name)\n"
    "{\n    void *at = kiln_emulated_driver(driver, name);\n"
    "    int (*l)(void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void *, void **, void **) = note_launch;\n"
    "    int (*t)(void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void *, void **) = note_together;\n"
    "    int (*a)(int *, void *, int, size_t) = note_ask;\n"
    "    if (!strcmp(name, \"cuLaunchKernel\")) return mine(&launch, at, &l);\n"
    "    if (!strcmp(name, \"cuLaunchCooperativeKernel\")) return mine(&cooperate, at, &t);\n"
    "    if (!strcmp(name, \"cuOccupancyMaxActiveBlocksPerMultiprocessor\")) return mine(&ask, at, &a);\n    return at;\n}\n"
    "static int (*alloc)(void **, size_t), (*in)(void *, const void *, size_t), (*out)(void *, const void *, size_t), (*retain)(void **, int), (*push)(void *);\n"
    "static void find(void *to, const char *name)\n{\n    void *at = kiln_emulated_driver(0, name);\n    memcpy(to, &at, sizeof at);\n}\n"
    "static char got[2 * 30000 * 4];\n"
    "static int tell(void *from, size_t n)\n{\n    return out(got, from, n) || fwrite(got, n, 1, stdout) != 1;\n}\n"
    "int main(int argc, char **argv)\n"
    "{\n    static float x[2 * 30000];\n    rows_device d;\n    void *c, *to, *most, *place, *sum, *work;\n"
    "    FILE *f = fopen(argv[argc - 1], \"rb\");\n    if (!f) return 1;\n"
    "    find(&alloc, \"cuMemAlloc_v2\"), find(&in, \"cuMemcpyHtoD_v2\"), find(&out, \"cuMemcpyDtoH_v2\");\n"
    "    find(&retain, \"cuDevicePrimaryCtxRetain\"), find(&push, \"cuCtxPushCurrent_v2\");\n"
    "    if (retain(&c, 0) || push(c) || rows_open_by(&d, symbol, 0, 0)) return 2;\n"
    "    if (alloc(&to, sizeof x) || alloc(&most, sizeof x) || alloc(&place, 16) || alloc(&sum, 8) || alloc(&work, ROWS_WORKSPACE_BYTES)) return 3;\n"
    "    for (int n; fread(&n, sizeof n, 1, f) == 1;) {\n"
    "        if (fread(x, 8, (size_t)n, f) != (size_t)n || in(to, x, 8 * (size_t)n)) return 4;\n"
    "        if (rows(&d, 0, 0, to, n, most, place, sum, work)) return fprintf(stderr, \"%s\\n\", d.error), 5;\n"
    "        if (tell(most, 8 * (size_t)n) || tell(place, 16) || tell(sum, 8)) return 6;\n"
    "        fprintf(stderr, \"%d: %d together, %d alone, asked %d\\n\", n, together, alone, asked);\n        together = alone = asked = 0;\n    }\n"
    "    rows_close(&d);\n    return 0;\n}\n";

static kiln_tensor *numbers(kiln *k, int n)
{
    return kiln_cast(kiln_remainder(kiln_mul(kiln_reshape(kiln_iota(k, KILN_F64, KILN_SHAPE(M * n), 0), KILN_SHAPE(M, n)), 0.37), 1.9), KILN_F32);
}

static void write_all(const char *path, const void *at, size_t n, const char *mode)
{
    FILE *f = fopen(path, mode);
    assert_non_null(f);
    assert_true(fwrite(at, 1, n, f) == n);
    fclose(f);
}

/* Builds the program, with what it reads and what the CPU computes of it in files beside it. */
static void build(kiln *k)
{
    assert_true(kiln_aot(rows_function(k), path_of("rows"), &(kiln_aot_options){.device = "emu"}));
    write_all(path_of("main.c"), program, strlen(program), "w");
    kiln_function *f = rows_function(k);
    for (int i = 0; i < CALLS; i++) {
        kiln_tensor *x = numbers(k, length[i]), *out[3];
        kiln_call_all(f, KILN_IN(x), out, 3);
        assert_ok(k);
        write_all(path_of("data"), &length[i], sizeof length[i], "a");
        write_all(path_of("data"), kiln_data(x), kiln_bytes(x), "a");
        for (int j = 0; j < 3; j++) write_all(path_of("want"), kiln_data(out[j]), kiln_bytes(out[j]), "a");
    }
    run("cc -std=c11 -D_DEFAULT_SOURCE -Wall -Wextra -Werror -O1 -o %s/main %s/main.c %s/rows.o -L\"$KILN_LIBDIR\" -lkiln -Wl,-rpath,\"$KILN_LIBDIR\" "
        "-ldl ${KILN_SANITIZE:+-fsanitize=$KILN_SANITIZE}", dir, dir, dir);
}

static void shared_rows_in_an_object(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    if (!launches_device()) {
        printf("skip: there is no emulated device here\n");
        skip();
    }
    cuda_long_row = 4000, cuda_least_units = 2;
    build(k);
    for (int apart = 0; apart < 2; apart++) {
        run("KILN_EMU_APART=%d %s/main %s/data > %s/got 2> %s/said || { cat %s/said; false; }", apart, dir, dir, dir, dir, dir);
        run("cmp %s/got %s/want || { cat %s/said; false; }", dir, dir, dir);
        run("grep -q '^%d: %s alone, asked 1' %s/said || { cat %s/said; false; }", N, apart ? "0 together, 2" : "1 together, 1", dir, dir);
        run("grep -q '^%d: 0 together, [1-9] alone, asked 0' %s/said || { cat %s/said; false; }", length[CALLS - 1], dir, dir);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {WAIT_TEST(shared_rows_in_an_object)};
    return cmocka_run_group_tests(tests, aot_set_up, aot_tear_down);
}
