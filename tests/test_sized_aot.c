/* test_sized_aot: sizes that nodes count in objects: a C program gives room for the most that they may be and gets the sizes beside the
 * results, with the bits of the JIT. On an emulated device, too, in objects and in the process. Skipped without the LLVM module or a C compiler. */
#include "aot_test.h"

#include <kiln/aot.h>

static void body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    kiln_tensor *m = kiln_greater(in[0], 0.5);
    out[0] = kiln_mul(kiln_masked(in[0], m), 3);
    out[1] = kiln_sum(out[0], KILN_ALL);
    out[2] = kiln_nonzero(m);
}

static const char *const program =
    "#include <stdio.h>\n#include \"picks.h\"\n"
    "_Alignas(64) static unsigned char work[PICKS_WORKSPACE_BYTES], state[PICKS_STATE_BYTES];\n"
    "static float x[64], y[64], sum;\nstatic int64_t at[64], n;\n"
    "int main(int argc, char **argv)\n{\n"
    "    FILE *f = fopen(argv[1], \"rb\");\n"
    "    int64_t size[4];\n"
    "    if (argc < 2 || !f || fread(x, sizeof x, 1, f) != 1) return 2;\n"
    "    picks_init(state);\n"
    "    for (int64_t i = 1; i <= 64; i += 21) {\n"
    "        if (picks_needs(i, size) || size[1] != i || size[2] != 1 || size[3] != i) return 3;\n"
    "        if (picks(state, x, i, y, &sum, at, &n, work)) return 4;\n"
    "        fwrite(&n, sizeof n, 1, stdout), fwrite(&sum, sizeof sum, 1, stdout);\n"
    "        fwrite(y, sizeof *y, (size_t)n, stdout), fwrite(at, sizeof *at, (size_t)n, stdout);\n    }\n"
    "    return 0;\n}\n";

static const char *const device_program =
    "#include <stdio.h>\n#include <stdlib.h>\n#include \"picks.h\"\n"
    "void *kiln_emulated_driver(void *, const char *);\n"
    "static void *find(const char *name) { return kiln_emulated_driver(0, name); }\n"
    "static int use(void)\n"
    "{\n    void *c, *a = find(\"cuDevicePrimaryCtxRetain\"), *b = find(\"cuCtxPushCurrent_v2\");\n    int (*retain)(void **, int), (*push)(void *);\n"
    "    memcpy(&retain, &a, sizeof a);\n    memcpy(&push, &b, sizeof b);\n    return retain(&c, 0) + push(c);\n}\n"
    "static void *room(size_t n)\n"
    "{\n    void *p = 0, *a = find(\"cuMemAlloc_v2\");\n    int (*alloc)(void **, size_t);\n    memcpy(&alloc, &a, sizeof a);\n    if (alloc(&p, n)) exit(20);\n    return p;\n}\n"
    "static void put(void *to, const void *from, size_t n)\n"
    "{\n    void *a = find(\"cuMemcpyHtoD_v2\");\n    int (*in)(void *, const void *, size_t);\n    memcpy(&in, &a, sizeof a);\n    if (in(to, from, n)) exit(21);\n}\n"
    "static void get(void *to, const void *from, size_t n)\n"
    "{\n    void *a = find(\"cuMemcpyDtoH_v2\");\n    int (*out)(void *, const void *, size_t);\n    memcpy(&out, &a, sizeof a);\n    if (n && out(to, from, n)) exit(22);\n}\n"
    "static picks_device d;\nstatic float x[64], sum, y[64];\nstatic int64_t n, at[64];\n"
    "int main(int argc, char **argv)\n{\n"
    "    FILE *f = fopen(argv[1], \"rb\");\n"
    "    if (argc < 2 || !f || fread(x, sizeof x, 1, f) != 1 || use()) return 2;\n"
    "    if (picks_open_by(&d, kiln_emulated_driver, 0, 0)) return fprintf(stderr, \"%s\\n\", d.error), 3;\n"
    "    void *state = room(PICKS_STATE_BYTES), *work = room(PICKS_WORKSPACE_BYTES);\n"
    "    float *in = room(sizeof x), *all = room(4), *out = room(sizeof y);\n    int64_t *places = room(sizeof at), *count = room(8);\n"
    "    put(in, x, sizeof x);\n    if (picks_init(&d, 0, state)) return 4;\n"
    "    for (int64_t i = 1; i <= 64; i += 21) {\n"
    "        if (picks(&d, 0, state, in, i, out, all, places, count, work)) return fprintf(stderr, \"%s\\n\", d.error), 5;\n"
    "        get(&n, count, 8), get(&sum, all, 4), get(y, out, (size_t)n * 4), get(at, places, (size_t)n * 8);\n"
    "        fwrite(&n, sizeof n, 1, stdout), fwrite(&sum, sizeof sum, 1, stdout);\n"
    "        fwrite(y, sizeof *y, (size_t)n, stdout), fwrite(at, sizeof *at, (size_t)n, stdout);\n    }\n"
    "    picks_close(&d);\n    return 0;\n}\n";

static void write_file(const char *path, const void *a, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(a, 1, n, f), n);
    fclose(f);
}

static void object_for(kiln *k, const char *device)
{
    KILN_SCOPE(k);
    float x[64];
    for (int i = 0; i < 64; i++) x[i] = (float)(i * 37 % 64) / 32 - 0.75f;
    kiln_function *f = kiln_function_new(k, body, NULL, &(kiln_function_options){.name = "picks", .outputs = 3, .inputs = {KILN_SPEC(KILN_F32, KILN_DIM("N", 1, 64))}});
    assert_true(kiln_aot(f, path_of("picks"), &(kiln_aot_options){.symbol = "picks", .device = device}));
    run("grep -q 'int64_t .n_[a-z0-9]* /. the size, at most N ./' %s && grep -q 'with room for f32.N.' %s", path_of("picks.h"), path_of("picks.h"));
    write_file(path_of("x"), x, sizeof x);
    write_file(path_of("main.c"), device ? device_program : program, strlen(device ? device_program : program));
    const char *library = device ? "-L\"$KILN_LIBDIR\" -lkiln -Wl,-rpath,\"$KILN_LIBDIR\" -ldl ${KILN_SANITIZE:+-fsanitize=$KILN_SANITIZE}" : "";
    run("cc -std=c11 -D_DEFAULT_SOURCE -Wall -Wextra -Werror -o %s/main %s/main.c %s/picks.o %s -lm", dir, dir, dir, library);
    run("%s/main %s/x > %s/result", dir, dir, dir);
    FILE *result = fopen(path_of("result"), "rb");
    assert_non_null(result);
    for (int64_t i = 1; i <= 64; i += 21) {
        kiln_tensor *out[3];
        int64_t n, at[64];
        float sum, y[64], want[64];
        assert_true(kiln_call_all(f, KILN_IN(kiln_from(k, KILN_F32, KILN_SHAPE(i), x, i)), out, 3));
        assert_int_equal(fread(&n, sizeof n, 1, result), 1);
        assert_int_equal(n, kiln_dim(out[0], 0));
        assert_true(fread(&sum, sizeof sum, 1, result) == 1 && fread(y, sizeof *y, (size_t)n, result) == (size_t)n);
        assert_int_equal(fread(at, sizeof *at, (size_t)n, result), n);
        assert_true((float)kiln_item(out[1]) == sum && kiln_read(out[0], want, (size_t)n * sizeof *want));
        assert_memory_equal(y, want, (size_t)n * sizeof *y);
        int64_t places[64];
        assert_true(kiln_read(out[2], places, (size_t)n * sizeof *places));
        assert_memory_equal(at, places, (size_t)n * sizeof *at);
    }
    assert_int_equal(fgetc(result), EOF);
    fclose(result);
    kiln_function_free(f);
}

/* What each of many examples counts for itself is a loop of the object. */
static void each_counts(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    kiln_tensor *c = kiln_sort(kiln_masked(in[0], kiln_greater(in[0], 0)), 0, 0);
    out[0] = kiln_scatter(kiln_mul(in[0], 0), kiln_iota_along(c, 0, KILN_I64), c, 0, KILN_SCATTER_ADD);
    out[1] = kiln_sum(c, KILN_ALL);
}

static const char *const program_of_many =
    "#include <stdio.h>\n#include \"many.h\"\n"
    "_Alignas(64) static unsigned char work[MANY_WORKSPACE_BYTES + 1], state[MANY_STATE_BYTES + 1];\n"
    "static float x[35], y[35], sum[7];\n"
    "int main(int argc, char **argv)\n{\n"
    "    FILE *f = fopen(argv[1], \"rb\");\n"
    "    if (argc < 2 || !f || fread(x, sizeof x, 1, f) != 1) return 2;\n"
    "    many_init(state);\n"
    "    if (many(state, x, y, sum, work)) return 4;\n"
    "    fwrite(y, sizeof y, 1, stdout), fwrite(sum, sizeof sum, 1, stdout);\n"
    "    return 0;\n}\n";

static void objects_count_for_each_example(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *out[2];
    float x[35], have[42], want[42];
    for (int i = 0; i < 35; i++) x[i] = (float)(i * 37 % 35) / 32 - 0.5f;
    kiln_function_options o = {.name = "each", .outputs = 2, .inputs = {KILN_SPEC(KILN_F32, 5)}};
    kiln_function *f = kiln_function_new(k, each_counts, NULL, &o), *many = kiln_vmap(f, NULL);
    assert_true(kiln_call_all(many, KILN_IN(kiln_from(k, KILN_F32, KILN_SHAPE(7, 5), x, 35)), out, 2));
    assert_true(kiln_read(out[0], want, 35 * sizeof *want) && kiln_read(out[1], want + 35, 7 * sizeof *want));
    assert_true(kiln_aot(many, path_of("many"), &(kiln_aot_options){.symbol = "many"}));
    write_file(path_of("x"), x, sizeof x);
    write_file(path_of("many_main.c"), program_of_many, strlen(program_of_many));
    run("cc -std=c11 -Wall -Wextra -Werror -o %s/many_main %s/many_main.c %s/many.o -lm", dir, dir, dir);
    run("%s/many_main %s/x > %s/result", dir, dir, dir);
    FILE *result = fopen(path_of("result"), "rb");
    assert_true(result && fread(have, sizeof have, 1, result) == 1);
    fclose(result);
    assert_memory_equal(have, want, sizeof have);
    kiln_function_free(f);
}

static void objects_tell_the_sizes(void **state) { object_for(*state, NULL); }
static void objects_for_devices_tell_them_too(void **state) { object_for(*state, "emu"); }

/* On an emulated device a call reads the word and goes on; eager code and compiled code give the CPU's bits. */
static void devices_count_too(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_function *f = kiln_function_new(k, body, NULL, &(kiln_function_options){.name = "picks", .outputs = 3, .inputs_count = 1});
    for (int i = 0; i < 3; i++) {
        kiln_tensor *x = kiln_sub(kiln_mul(kiln_iota(k, KILN_F32, KILN_SHAPE(40), 0), 0.25), 4.0 * i), *there = kiln_to(x, "emu:0"), *want[3], *have[2][3];
        body(k, &x, want, NULL);
        body(k, &there, have[0], NULL);
        assert_true(kiln_call_all(f, KILN_IN(there), have[1], 3));
        for (int j = 0; j < 6; j++) {
            char a[512], b[512];
            kiln_tensor *y = have[j / 3][j % 3];
            const size_t n = kiln_bytes(want[j % 3]);
            assert_true(kiln_bytes(y) == n && kiln_rank(y) == kiln_rank(want[j % 3]) && kiln_read(y, a, n) && kiln_read(want[j % 3], b, n));
            assert_memory_equal(a, b, n);
        }
    }
    kiln_function_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {WAIT_TEST(objects_tell_the_sizes), WAIT_TEST(objects_for_devices_tell_them_too), WAIT_TEST(devices_count_too),
        WAIT_TEST(objects_count_for_each_example)};
    return cmocka_run_group_tests(tests, aot_set_up, aot_tear_down);
}
