/* aot_moves: sorting, running sums, recurrences, scatters, resizing and pooling in an object file, over sizes known and not: a C program that links the object and
 * libm alone has the bits of eager code. */
#include "aot_test.h"

#include <kiln/aot.h>

enum { MOST = 3000 };

static void moves(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_sort(in[0], 0, KILN_DESCENDING);
    out[1] = kiln_cumsum(in[0], 0, KILN_EXCLUSIVE);
    out[2] = kiln_recurrence(kiln_tanh(in[0]), in[0], 0, KILN_REVERSE);
    out[3] = kiln_scatter(in[0], in[1], kiln_cumprod(in[0], 0, 0), 0, KILN_SCATTER_SET);
    out[4] = kiln_scatter(in[0], in[1], in[0], 0, KILN_SCATTER_ADD);
    out[5] = kiln_take_along(in[0], kiln_argsort(in[1], 0, 0), 0);
    kiln_tensor *y = kiln_resize(kiln_reshape(in[0], KILN_SHAPE(1, -1, 1)), KILN_AXES(1), &(kiln_resizing){.scale = {2}, .kind = KILN_RESIZE_CUBIC});
    out[6] = kiln_reshape(kiln_pool(y, KILN_POOL_AVERAGE, &(kiln_pooling){.size = {3}, .stride = {2}, .pad = {{1, 0}}}), KILN_SHAPE(-1));
}

static const char *const program =
    "#include <stdio.h>\n#include \"moves.h\"\n"
    "static float x[3000], r[7][3000];\nstatic int32_t at[3000];\n"
    "static _Alignas(64) char work[MOVES_WORKSPACE_BYTES + 64];\n"
    "int main(int argc, char **argv)\n{\n"
    "    int64_t n;\n    FILE *f = fopen(argv[1], \"rb\");\n"
    "    if (argc < 2 || !f) return 2;\n"
    "    while (fread(&n, sizeof n, 1, f) == 1) {\n"
    "        if (fread(x, sizeof *x, (size_t)n, f) != (size_t)n || fread(at, sizeof *at, (size_t)n, f) != (size_t)n) return 3;\n"
    "        if (CALL) return 4;\n"
    "        for (int i = 0; i < 7; i++) fwrite(r[i], sizeof *r[i], (size_t)n, stdout);\n    }\n    return 0;\n}\n";

/* fixed: 0, or the size that the object is compiled for. */
static void object_has_eager_bits(kiln *k, int64_t fixed)
{
    static const int64_t sizes[] = {1, 2, 63, 64, 65, 200, 257, MOST};
    static float x[MOST], got[7 * MOST];
    static int32_t at[MOST];
    kiln_spec a = {.dtype = KILN_F32, .rank = 1, .size = {{1, MOST, "N"}}}, b = a;
    if (fixed) a.size[0] = (kiln_size){fixed, fixed, NULL};
    b = a;
    b.dtype = KILN_I32;
    kiln_function *f = kiln_function_new(k, moves, NULL, &(kiln_function_options){.name = "moves", .outputs = 7, .inputs = {a, b}});
    assert_true(kiln_aot(f, path_of("moves"), NULL));
    assert_ok(k);
    FILE *main_c = fopen(path_of("main.c"), "w"), *to = fopen(path_of("data"), "wb");
    assert_true(main_c && to && fputs(program, main_c) >= 0);
    fclose(main_c);
    uint32_t seed = 3;
    for (int i = 0; i < MOST; i++) {
        x[i] = (float)((int)((seed = seed * 1664525u + 1013904223u) >> 20) - 2048) / 2048;
        at[i] = (int32_t)((seed >> 8) % MOST) - 5;
    }
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        const int64_t n = fixed ? fixed : sizes[s];
        fwrite(&n, sizeof n, 1, to);
        fwrite(x, sizeof *x, (size_t)n, to);
        fwrite(at, sizeof *at, (size_t)n, to);
    }
    fclose(to);
    run("cc -std=c11 -O1 -D'CALL=moves((void *)0, x, at, %sr[0], r[1], r[2], r[3], r[4], r[5], r[6], work)' -o %s/main %s/main.c %s/moves.o -lm", fixed ? "" : "n, ", dir,
        dir, dir);
    run("%s/main %s/data > %s/got", dir, dir, dir);
    FILE *from = fopen(path_of("got"), "rb");
    assert_non_null(from);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        KILN_SCOPE(k);
        const int64_t n = fixed ? fixed : sizes[s];
        kiln_tensor *in[2] = {kiln_from(k, KILN_F32, KILN_SHAPE(n), x, n), kiln_from(k, KILN_I32, KILN_SHAPE(n), at, n)}, *out[7];
        moves(k, in, out, NULL);
        assert_int_equal(fread(got, sizeof *got, (size_t)(7 * n), from), 7 * n);
        for (int i = 0; i < 7; i++)
            if (memcmp(got + i * n, kiln_data(out[i]), (size_t)n * sizeof *got) != 0) fail_msg("result %d of size %d differs", i, (int)n);
    }
    fclose(from);
    assert_ok(k);
    kiln_function_free(f);
}

static void objects_have_eager_bits(void **state)
{
    object_has_eager_bits(*state, 0);
    object_has_eager_bits(*state, 64);
    object_has_eager_bits(*state, 777);
}

int main(void)
{
    const struct CMUnitTest tests[] = {FRONT_TEST(objects_have_eager_bits)};
    return cmocka_run_group_tests_name("aot_moves", tests, aot_set_up, aot_tear_down);
}
