/* aot_attention: attention and its gradients over as many tokens as only the call knows have the bits of eager code, compiled in this
 * process and in an object file, which has no host to ask. */
#include "aot_test.h"

#include <kiln/aot.h>

enum { HEADS = 4, GROUPS = 2, D = 6, E = 5, MOST = 140, PER_TOKEN = HEADS * D + GROUPS * D + GROUPS * E, RESULTS = HEADS * E + PER_TOKEN };

static const int64_t tokens[] = {1, 63, 64, 65, 140};

static void body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    KILN_TAPE(k, tape);
    for (int i = 0; i < 3; i++) kiln_watch(tape, in[i]);
    out[0] = kiln_attention(in[0], in[1], in[2], &(kiln_attention_options){.causal = true, .cap = 4});
    kiln_gradients(tape, kiln_sum(kiln_mul(out[0], out[0]), KILN_ALL), KILN_IN(in[0], in[1], in[2]), out + 1);
}

static const char *const program =
    "#include <stdio.h>\n#include <stdlib.h>\n#include \"attend.h\"\n"
    "int main(int argc, char **argv)\n{\n"
    "    static float x[140 * 46], r[140 * 66];\n    static const int64_t tokens[] = {1, 63, 64, 65, 140};\n"
    "    FILE *f = argc > 1 ? fopen(argv[1], \"rb\") : NULL;\n"
    "    void *work = aligned_alloc(64, (ATTEND_WORKSPACE_BYTES + 63) / 64 * 64 + 64);\n"
    "    for (int i = 0; i < 5 && f; i++) {\n        int64_t n = tokens[i];\n"
    "        if (fread(x, 4 * 46, (size_t)n, f) != (size_t)n) return 3;\n"
    "        float *y = r, *dq = y + n * 20, *dk = dq + n * 24, *dv = dk + n * 12;\n"
    "        if (attend((void *)0, x, x + n * 24, x + n * 36, n, y, dq, dk, dv, work)) return 4;\n"
    "        fwrite(r, 4, (size_t)(n * 66), stdout);\n    }\n    return 0;\n}\n";

static kiln_tensor *drawn(kiln *k, kiln_shape s, int64_t count, FILE *to)
{
    static float at[MOST * HEADS * D];
    static uint32_t seed = 7;
    for (int64_t i = 0; i < count; i++) at[i] = (float)(int)((seed = seed * 1664525 + 1013904223) >> 8 & 0xffff) * 0x1p-14f - 2;
    assert_int_equal(fwrite(at, sizeof *at, (size_t)count, to), count);
    return kiln_from(k, KILN_F32, s, at, count);
}

static void objects_have_eager_bits(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_function *f = kiln_function_new(k, body, NULL, &(kiln_function_options){.name = "attend", .outputs = 4,
        .inputs = {KILN_SPEC(KILN_F32, HEADS, KILN_DIM("N", 1, MOST), D), KILN_SPEC(KILN_F32, GROUPS, KILN_DIM("N", 1, MOST), D),
            KILN_SPEC(KILN_F32, GROUPS, KILN_DIM("N", 1, MOST), E)}});
    assert_true(kiln_aot(f, path_of("attend"), NULL));
    FILE *data = fopen(path_of("data"), "wb"), *main_c = fopen(path_of("main.c"), "w"), *want = fopen(path_of("want"), "wb");
    assert_true(data && main_c && want && fputs(program, main_c) >= 0);
    fclose(main_c);
    for (int t = 0; t < 5; t++) {
        const int64_t n = tokens[t];
        kiln_tensor *in[3] = {drawn(k, KILN_SHAPE(HEADS, n, D), n * HEADS * D, data), drawn(k, KILN_SHAPE(GROUPS, n, D), n * GROUPS * D, data),
            drawn(k, KILN_SHAPE(GROUPS, n, E), n * GROUPS * E, data)}, *out[4], *compiled[4];
        body(k, in, out, NULL);
        assert_true(kiln_call_all(f, KILN_IN(in[0], in[1], in[2]), compiled, 4));
        assert_ok(k);
        for (int i = 0; i < 4; i++) {
            assert_memory_equal(kiln_data(compiled[i]), kiln_data(out[i]), kiln_bytes(out[i]));
            fwrite(kiln_data(out[i]), 1, kiln_bytes(out[i]), want);
        }
    }
    fclose(data);
    fclose(want);
    assert_ok(k);
    run("cc -std=c11 -O1 -o %s/main %s/main.c %s/attend.o -lm", dir, dir, dir);
    run("%s/main %s/data > %s/got", dir, dir, dir);
    run("cmp %s/got %s/want", dir, dir);
    kiln_function_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {FRONT_TEST(objects_have_eager_bits)};
    return cmocka_run_group_tests_name("aot_attention", tests, aot_set_up, aot_tear_down);
}
