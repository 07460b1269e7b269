/* test_bulk_functions: functions and objects whose products read operands by tensor maps, on an emulated device of compute capability
 * 9.0: recorded once, whatever addresses a call has; slices of loops, forwards, backwards and in loops; launched by the host where the
 * driver has no graphs with loops; and by the walker of an object. All with the bits of a device without maps. */
#include "aot_test.h"

#include <kiln/aot.h>

#include "codegen/cuda/run.h"
#include "codegen/emu.h"

enum { TURNS = 3, M = 40, K = 32, N = 24, CALLS = 6 };

static int needs_compiler(void **state)
{
    Status st = {0};
    record_least = 1;
    if (!emu_driver(1, &st) || !emu_driver(0, &st)) return printf("skip: %s\n", st.text), -1;
    return aot_set_up(state);
}

/* ---- functions ------------------------------------------------------------------------------------------------------ */
/* x [TURNS, M, K], w [K, N], v [2, N, N] */
static void turns(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    kiln_variable *sum = kiln_local(k, kiln_zeros(k, KILN_F16, KILN_SHAPE(M, N)));
    KILN_FOR (k, i, TURNS) {
        kiln_assign(sum, kiln_add(kiln_mul(sum, 0.5), kiln_matmul(kiln_gather(in[0], i, 0), in[1])));
        KILN_FOR (k, j, 2) kiln_assign(sum, kiln_add(kiln_matmul(sum, kiln_gather(in[2], j, 0)), 0.25));
    }
    out[0] = kiln_value(sum);
}

/* What the forward loop keeps is read by one backwards. */
static void learns(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    KILN_TAPE(k, tape);
    kiln_tensor *w = kiln_watch(tape, kiln_slice(in[2], 0, 0, 1, 1)), *square = kiln_reshape(w, KILN_SHAPE(N, N));
    kiln_variable *h = kiln_local(k, kiln_slice(kiln_reshape(in[0], KILN_SHAPE(-1, N)), 0, 0, M, 1));
    KILN_FOR (k, i, TURNS) kiln_assign(h, kiln_tanh(kiln_add(kiln_matmul(h, square), kiln_mul(kiln_cast(i, KILN_F16), 0.125))));
    out[0] = kiln_gradient(tape, kiln_sum(h, KILN_ALL), w);
}

/* Until the sum is large. */
static void grows(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    kiln_variable *h = kiln_local(k, kiln_reshape(kiln_slice(in[2], 0, 0, 1, 1), KILN_SHAPE(N, N)));
    kiln_tensor *w = kiln_reshape(kiln_slice(in[2], 0, 1, 2, 1), KILN_SHAPE(N, N));
    KILN_WHILE (k, kiln_less(kiln_sum(kiln_abs(kiln_cast(h, KILN_F32)), KILN_ALL), 600.0))
        kiln_assign(h, kiln_add(kiln_add(kiln_mul(kiln_matmul(h, w), 0.25), h), 0.125));
    out[0] = kiln_value(h);
}

static kiln_tensor *some(kiln *k, double from, int64_t a, int64_t b, int64_t c)
{
    kiln_tensor *i = kiln_iota(k, KILN_I64, KILN_SHAPE(a * b * c), 0);
    kiln_tensor *x = kiln_sub(kiln_div(kiln_cast(kiln_mod(kiln_mul(i, 7919), 61), KILN_F32), 61), from);
    return kiln_cast(a > 1 ? kiln_reshape(x, KILN_SHAPE(a, b, c)) : kiln_reshape(x, KILN_SHAPE(b, c)), KILN_F16);
}

static size_t call_on(kiln *k, kiln_function *f, const char *device, double from, void *to)
{
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_to(some(k, from, TURNS, M, K), device), *w = kiln_to(some(k, 0.5, 1, K, N), device), *v = kiln_to(some(k, 0.4, 2, N, N), device);
    kiln_tensor *y = kiln_call(f, x, w, v);
    if (kiln_error(k)->code != KILN_OK) fail_msg("%s", kiln_error(k)->text);
    assert_true(kiln_bytes(y) <= M * N * 2 && kiln_read(y, to, kiln_bytes(y)));
    return kiln_bytes(y);
}

static const struct {
    kiln_body *body;
    const char *name;
} cases[] = {{turns, "turns"}, {learns, "learns"}, {grows, "grows"}};

static void each_function(bool graphs, bool maps)
{
    emu_architecture(1, 90);
    kiln *k = kiln_open(&(kiln_options){.compile = KILN_WAIT});
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        kiln_function *f = kiln_function_new(k, cases[i].body, NULL, &(kiln_function_options){.name = cases[i].name});
        kiln_function_statistics s;
        for (int n = 0; n < CALLS; n++) {
            static uint16_t got[M * N], want[M * N];
            const uint64_t before = emu_boxes(1);
            const size_t bytes = call_on(k, f, "emu:1", 0.5 - 0.05 * n, got);
            if ((emu_boxes(1) > before) != maps) fail_msg("%s: %llu boxes", cases[i].name, (unsigned long long)(emu_boxes(1) - before));
            if (n % 3 != 0) continue; /* the other device takes long enough */
            assert_int_equal(call_on(k, f, "emu:2", 0.5 - 0.05 * n, want), bytes);
            for (size_t e = 0; e < bytes / 2; e++)
                if (got[e] != want[e]) fail_msg("%s, call %d: element %zu is %04x, not %04x", cases[i].name, n, e, got[e], want[e]);
        }
        kiln_function_stats(f, &s);
        assert_int_equal(s.recordings, graphs ? 2 : 0); /* on both devices */
        kiln_function_free(f);
    }
    assert_int_equal(kiln_close(k), 0);
}

static void functions_are_replayed(void **state)
{
    (void)state;
    each_function(true, true);
}

static void older_drivers_are_driven(void **state)
{
    (void)state;
    emu_version(12000); /* maps, but no loops in graphs */
    each_function(false, true);
    emu_version(11080);
    each_function(false, false);
    emu_version(EMU_NEWEST);
}

/* Whose sizes and strides are told at each call; views begin anywhere. */
static void single_operations_have_maps(void **state)
{
    (void)state;
    emu_architecture(1, 90);
    kiln *k = kiln_open(NULL);
    for (int i = 0; i < 4; i++) {
        KILN_SCOPE(k);
        static uint16_t got[2][M * N];
        for (int d = 0; d < 2; d++) {
            kiln_tensor *x = kiln_to(some(k, 0.5, TURNS, M, K), d ? "emu:2" : "emu:1"), *w = kiln_to(some(k, 0.25, 1, i == 1 ? N : K, i == 1 ? K : N), d ? "emu:2" : "emu:1");
            if (i == 1) w = kiln_transpose(w, KILN_ALL);
            if (i == 2) x = kiln_slice(x, 2, 8, K, 1), w = kiln_slice(w, 0, 8, K, 1);
            if (i == 3) x = kiln_slice(x, 2, 9, K, 1), w = kiln_slice(w, 0, 9, K, 1); /* where no map can begin */
            const uint64_t before = emu_boxes(1);
            kiln_tensor *y = kiln_matmul(kiln_reshape(kiln_slice(x, 0, 1, 2, 1), KILN_SHAPE(M, -1)), w);
            assert_true(kiln_read(y, got[d], sizeof got[d]));
            if (d == 0 && (emu_boxes(1) > before) != (i < 3)) fail_msg("case %d: %llu boxes", i, (unsigned long long)(emu_boxes(1) - before));
        }
        assert_memory_equal(got[0], got[1], sizeof got[0]);
    }
    assert_int_equal(kiln_close(k), 0);
}

/* ---- objects --------------------------------------------------------------------------------------------------------- */
static const char program[] =
    "#include \"turns.h\"\n#include <stdio.h>\n#include <stdlib.h>\n#include <stdint.h>\n"
    "void *kiln_emulated_driver(void *, const char *);\n"
    "typedef int Encode(void *, int, uint32_t, void *, const uint64_t *, const uint64_t *, const uint32_t *, const uint32_t *, int, int, int, int);\n"
    "static Encode *encode;\nstatic int calls, fail, absent;\n"
    "static int counted(void *m, int t, uint32_t r, void *at, const uint64_t *e, const uint64_t *s, const uint32_t *b, const uint32_t *x, int i, int w, int p, int f)\n"
    "{\n    return calls++, fail ? 999 : encode(m, t, r, at, e, s, b, x, i, w, p, f);\n}\n"
    "static void *symbol(void *driver, const char *name)\n"
    "{\n    void *at = kiln_emulated_driver(driver, name);\n    Encode *c = counted;\n"
    "    if (strcmp(name, \"cuTensorMapEncodeTiled\")) return at;\n"
    "    memcpy(&encode, &at, sizeof at), memcpy(&at, &c, sizeof at);\n    return absent ? 0 : at;\n}\n"
    "static void find(void *to, const char *name) { void *at = kiln_emulated_driver(0, name); memcpy(to, &at, sizeof at); }\n"
    "int main(int argc, char **argv)\n"
    "{\n    static turns_device d;\n    void *c, *at[5];\n    static char data[1 << 14];\n"
    "    const size_t bytes[5] = {3 * 40 * 32 * 2, 32 * 24 * 2, 2 * 24 * 24 * 2, 40 * 24 * 2, TURNS_WORKSPACE_BYTES};\n"
    "    int (*alloc)(void **, size_t), (*in)(void *, const void *, size_t), (*out)(void *, const void *, size_t), (*retain)(void **, int), (*push)(void *);\n"
    "    FILE *f = fopen(argv[1], \"rb\");\n    absent = argc > 2 && *argv[2] == 'a', fail = argc > 2 && *argv[2] == 'f';\n"
    "    find(&alloc, \"cuMemAlloc_v2\"), find(&in, \"cuMemcpyHtoD_v2\"), find(&out, \"cuMemcpyDtoH_v2\");\n"
    "    find(&retain, \"cuDevicePrimaryCtxRetain\"), find(&push, \"cuCtxPushCurrent_v2\");\n"
    "    if (!f || retain(&c, 0) || push(c) || turns_open_by(&d, symbol, 0, 0)) return 1;\n"
    "    for (int i = 0; i < 5; i++)\n"
    "        if (alloc(&at[i], bytes[i]) || (i < 3 && (fread(data, bytes[i], 1, f) != 1 || in(at[i], data, bytes[i])))) return 2;\n"
    "    if (turns(&d, 0, 0, at[0], at[1], at[2], at[3], at[4])) return fprintf(stderr, \"%s\\n\", d.error), 3;\n"
    "    if (out(data, at[3], bytes[3])) return 4;\n    fwrite(data, bytes[3], 1, stdout);\n    turns_close(&d);\n"
    "    return (calls == 0) != absent;\n}\n";

static void append(FILE *f, kiln_tensor *x) { assert_true(fwrite(kiln_data(x), kiln_bytes(x), 1, f) == 1); }

static void objects_have_the_bits_of_functions(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    static uint16_t want[M * N], got[M * N];
    kiln_function *f = kiln_function_new(k, turns, NULL,
        &(kiln_function_options){.name = "turns", .inputs = {KILN_SPEC(KILN_F16, TURNS, M, K), KILN_SPEC(KILN_F16, K, N), KILN_SPEC(KILN_F16, 2, N, N)}});
    emu_architecture(0, 90);
    assert_true(kiln_aot(f, path_of("turns"), &(kiln_aot_options){.device = "emu"}));
    emu_architecture(0, EMU_SM);
    call_on(k, f, "emu:2", 0.5, want);
    FILE *c = fopen(path_of("main.c"), "w"), *data = fopen(path_of("data"), "wb");
    assert_true(c && data && fputs(program, c) >= 0);
    append(data, some(k, 0.5, TURNS, M, K)), append(data, some(k, 0.5, 1, K, N)), append(data, some(k, 0.4, 2, N, N));
    fclose(c), fclose(data);
    run("cc -std=c11 -D_DEFAULT_SOURCE -Wall -Wextra -Werror -O1 -o %s/main %s/main.c %s/turns.o -L\"$KILN_LIBDIR\" -lkiln "
        "-Wl,-rpath,\"$KILN_LIBDIR\" -ldl ${KILN_SANITIZE:+-fsanitize=$KILN_SANITIZE}", dir, dir, dir);
    static const char *const way[] = {"", "absent"};
    for (int i = 0; i < 2; i++) {
        run("KILN_EMU_SM=90 %s/main %s/data %s > %s/got", dir, dir, way[i], dir);
        FILE *r = fopen(path_of("got"), "rb");
        assert_true(r && fread(got, sizeof got, 1, r) == 1);
        fclose(r);
        assert_memory_equal(got, want, sizeof got);
    }
    run("KILN_EMU_SM=90 %s/main %s/data fail 2> %s/said; test $? = 3 && grep -q 'cuTensorMapEncodeTiled of product' %s/said", dir, dir, dir, dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(functions_are_replayed),
        cmocka_unit_test(older_drivers_are_driven),
        cmocka_unit_test(single_operations_have_maps),
        cmocka_unit_test_setup_teardown(objects_have_the_bits_of_functions, front_setup_waiting, front_teardown),
    };
    if (getenv("KILN_ONLY") != NULL) cmocka_set_test_filter(getenv("KILN_ONLY"));
    return cmocka_run_group_tests(tests, needs_compiler, aot_tear_down);
}
