/* aot_conv: convolutions in object files, which have no host to ask: strided, grouped and transposed ones and their gradients, for a number
 * of images that only the call knows, have the bits of eager code. */
#include "aot_test.h"

#include <kiln/aot.h>

enum { H = 7, W = 6, C = 4, MOST = 5, FILTERS = 3 * 2 * 2 * 6, Y = 4 * 6 * 6, UP = 13 * 11 * 2, RESULTS = MOST * (Y + H * W * C + UP) + FILTERS };

static void body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    KILN_TAPE(k, tape);
    kiln_watch(tape, in[0]);
    kiln_watch(tape, in[1]);
    out[0] = kiln_convolve(in[0], in[1], (&(kiln_convolution){.groups = 2, .stride = {2}, .dilation = {1, 2}, .pad = {{1, 2}, {0, 2}}}));
    kiln_gradients(tape, kiln_sum(kiln_mul(out[0], out[0]), KILN_ALL), KILN_IN(in[0], in[1]), out + 1);
    out[3] = kiln_convolve_transposed(in[0], kiln_reshape(kiln_slice(in[1], 3, 0, 4, 1), KILN_SHAPE(3, 2, 2, 4)),
        (&(kiln_convolution){.stride = {2, 2}, .pad = {{1, 1}, {1, 0}}}));
}

static const char *const program =
    "#include <stdio.h>\n#include <stdlib.h>\n#include \"conv.h\"\n"
    "int main(int argc, char **argv)\n{\n"
    "    static float x[5 * 7 * 6 * 4], w[72], r[8192];\n    FILE *f = fopen(argv[1], \"rb\");\n"
    "    void *work = aligned_alloc(64, (CONV_WORKSPACE_BYTES + 63) / 64 * 64 + 64);\n"
    "    for (int64_t n = 1; n <= 5; n += 2) {\n"
    "        if (argc < 2 || fread(x, 4 * 168, (size_t)n, f) != (size_t)n || fread(w, 4, 72, f) != 72) return 3;\n"
    "        float *y = r, *dx = y + n * 144, *dw = dx + n * 168, *up = dw + 72;\n"
    "        if (conv((void *)0, x, w, n, y, dx, dw, up, work)) return 4;\n"
    "        fwrite(r, 4, (size_t)(up - r + n * 286), stdout);\n    }\n    return 0;\n}\n";

static kiln_tensor *drawn(kiln *k, kiln_shape s, int64_t count, FILE *to)
{
    float at[MOST * H * W * C];
    static uint32_t seed = 7;
    for (int64_t i = 0; i < count; i++) at[i] = (float)(int)((seed = seed * 1664525 + 1013904223) >> 8 & 0xffff) * 0x1p-15f - 1;
    assert_int_equal(fwrite(at, sizeof *at, (size_t)count, to), count);
    return kiln_from(k, KILN_F32, s, at, count);
}

static void objects_have_eager_bits(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_function *f = kiln_function_new(k, body, NULL, &(kiln_function_options){.name = "conv", .outputs = 4,
        .inputs = {KILN_SPEC(KILN_F32, KILN_DIM("N", 1, MOST), H, W, C), KILN_SPEC(KILN_F32, 3, 2, 2, 6)}});
    assert_true(kiln_aot(f, path_of("conv"), NULL));
    FILE *data = fopen(path_of("data"), "wb"), *main_c = fopen(path_of("main.c"), "w"), *want = fopen(path_of("want"), "wb");
    assert_true(data && main_c && want && fputs(program, main_c) >= 0);
    fclose(main_c);
    for (int64_t n = 1; n <= MOST; n += 2) {
        kiln_tensor *in[2] = {drawn(k, KILN_SHAPE(n, H, W, C), n * H * W * C, data), drawn(k, KILN_SHAPE(3, 2, 2, 6), FILTERS, data)}, *out[4];
        body(k, in, out, NULL);
        assert_ok(k);
        const int64_t counts[4] = {n * Y, n * H * W * C, FILTERS, n * UP};
        for (int i = 0; i < 4; i++) {
            assert_int_equal(kiln_elements(out[i]), counts[i]);
            fwrite(kiln_data(out[i]), sizeof(float), (size_t)counts[i], want);
        }
    }
    fclose(data);
    fclose(want);
    run("cc -std=c11 -O1 -o %s/main %s/main.c %s/conv.o -lm", dir, dir, dir);
    run("%s/main %s/data > %s/got", dir, dir, dir);
    run("cmp %s/got %s/want", dir, dir);
    kiln_function_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {FRONT_TEST(objects_have_eager_bits)};
    return cmocka_run_group_tests_name("aot_conv", tests, aot_set_up, aot_tear_down);
}
