/* aot_order: object files add up in the order that docs/numerics.md states: a C program that links an object and libm alone, at extents around
 * every border of blocks, runs and chains, against the plain model of tests/model.c, bit for bit. */
#include "aot_test.h"
#include "model.h"

#include <kiln/aot.h>

enum { MOST = 100000, A = 3, B = 2 };
static const int64_t extents[] = {1, 2, 31, 32, 33, 63, 64, 65, 127, 128, 129, 1023, 1024, 1025, 2049, 4097, 8191, 8192, 8193, 16385, MOST};
enum { EXTENTS = sizeof extents / sizeof *extents, RESULTS = A + B + A * B + 1 };

/* x [N, A], y [B, N]: chains over leading axes, rows over trailing ones, y . x, and the sum over all of x. */
static void sums(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_sum(in[0], KILN_AXES(0));
    out[1] = kiln_sum(in[1], KILN_AXES(1));
    out[2] = kiln_matmul(in[1], in[0]);
    out[3] = kiln_sum(in[0], KILN_ALL);
}

static const char *const program =
    "#include <stdio.h>\n#include <stdlib.h>\n#include \"order.h\"\n"
    "int main(int argc, char **argv)\n{\n"
    "    int64_t n;\n    FILE *f = fopen(argv[1], \"rb\");\n"
    "    element *x = malloc(3 * 100000 * sizeof *x), *y = malloc(2 * 100000 * sizeof *y), r[12];\n"
    "    void *work = aligned_alloc(64, (ORDER_WORKSPACE_BYTES + 63) / 64 * 64 + 64);\n"
    "    if (argc < 2 || !f) return 2;\n"
    "    while (fread(&n, sizeof n, 1, f) == 1) {\n"
    "        if (fread(x, sizeof *x, (size_t)(3 * n), f) != (size_t)(3 * n) || fread(y, sizeof *y, (size_t)(2 * n), f) != (size_t)(2 * n)) return 3;\n"
    "        if (CALL) return 4;\n"
    "        fwrite(r, sizeof *r, 12, stdout);\n    }\n    return 0;\n}\n";

static void fill(kiln_dtype d, void *x, int64_t n, uint64_t s)
{
    for (int64_t i = 0; i < n; i++) {
        s ^= s << 13, s ^= s >> 7, s ^= s << 17;
        double v = (double)(s >> 40) * 0x1p-24 - (s % 5 == 0);
        dtype_store_f64((DType)d, (char *)x + (size_t)i * dtype_bytes((DType)d), s % 9 == 0 ? v * 1e-5 : v);
    }
}

static double product(DType t, const char *y, const char *x, int64_t n)
{
    Scalar *v = malloc(2 * (size_t)n * sizeof *v);
    for (int64_t i = 0; i < n; i++) {
        v[i].f = dtype_load_f64(t, y + (size_t)i * dtype_bytes(t));
        v[n + i].f = dtype_load_f64(t, x + (size_t)(i * A) * dtype_bytes(t));
    }
    const double r = model_product((DType)dtype_info[t].compute, v, v + n, n).f;
    free(v);
    return r;
}

/* The results in their order, in the dtype. */
static void model(DType t, const char *x, const char *y, int64_t n, char *r)
{
    const size_t size = dtype_bytes(t);
    for (int a = 0; a < A; a++, r += size) dtype_store_f64(t, r, model_sum(t, x + (size_t)a * size, n, A, false));
    for (int b = 0; b < B; b++, r += size) dtype_store_f64(t, r, model_sum(t, y + (size_t)(b * n) * size, n, 1, true));
    for (int i = 0; i < A * B; i++, r += size) dtype_store_f64(t, r, product(t, y + (size_t)(i / A * n) * size, x + (size_t)(i % A) * size, n));
    dtype_store_f64(t, r, model_sum(t, x, n * A, 1, true));
}

/* fixed: 0, or the extent that the object is compiled for. */
static void object_follows_the_model(kiln *k, kiln_dtype d, const char *element, int64_t fixed)
{
    KILN_SCOPE(k);
    const DType t = (DType)d;
    const size_t size = dtype_bytes(t);
    kiln_spec x = {.dtype = d, .rank = 2, .size = {{1, MOST, "N"}, {A, A, NULL}}}, y = {.dtype = d, .rank = 2, .size = {{B, B, NULL}, {1, MOST, "N"}}};
    if (fixed) x.size[0] = y.size[1] = (kiln_size){fixed, fixed, NULL};
    kiln_function *f = kiln_function_new(k, sums, NULL, &(kiln_function_options){.name = "order", .outputs = 4, .inputs = {x, y}});
    assert_true(kiln_aot(f, path_of("order"), NULL));
    assert_ok(k);
    FILE *to = fopen(path_of("data"), "wb"), *main_c = fopen(path_of("main.c"), "w");
    assert_true(to && main_c && fputs(program, main_c) >= 0);
    fclose(main_c);
    char *in = malloc((A + B) * MOST * size), want[EXTENTS][RESULTS * 8], got[RESULTS * 8];
    for (int e = 0; e < EXTENTS; e++) {
        const int64_t n = fixed ? fixed : extents[e];
        fill(d, in, (A + B) * n, 88172645463325252u + (uint64_t)e);
        fwrite(&n, sizeof n, 1, to);
        fwrite(in, size, (size_t)((A + B) * n), to);
        model(t, in, in + (size_t)(A * n) * size, n, want[e]);
        if (fixed) break;
    }
    fclose(to);
    run("cc -std=c11 -O1 -Delement=%s -D'CALL=order((void *)0, x, y, %sr, r + 3, r + 5, r + 11, work)' -o %s/main %s/main.c %s/order.o -lm", element,
        fixed ? "" : "n, ", dir, dir, dir);
    run("%s/main %s/data > %s/got", dir, dir, dir);
    FILE *from = fopen(path_of("got"), "rb");
    assert_non_null(from);
    for (int e = 0; e < (fixed ? 1 : EXTENTS); e++) {
        assert_int_equal(fread(got, size, RESULTS, from), RESULTS);
        for (int i = 0; i < RESULTS; i++)
            if (memcmp(got + (size_t)i * size, want[e] + (size_t)i * size, size) != 0)
                fail_msg("%s, extent %lld, result %d: %.9g, not %.9g", kiln_dtype_name(d), (long long)(fixed ? fixed : extents[e]), i,
                    dtype_load_f64(t, got + (size_t)i * size), dtype_load_f64(t, want[e] + (size_t)i * size));
    }
    fclose(from);
    free(in);
    kiln_function_free(f);
}

static void objects_follow_the_model(void **state)
{
    kiln *k = *state;
    object_follows_the_model(k, KILN_F32, "float", 0);
    object_follows_the_model(k, KILN_F64, "double", 0);
    object_follows_the_model(k, KILN_BF16, "uint16_t", 0);
    object_follows_the_model(k, KILN_F8_E5M2, "uint8_t", 0);
    for (int e = 1; e < EXTENTS; e += 4) object_follows_the_model(k, KILN_F32, "float", extents[e]);
    assert_ok(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {FRONT_TEST(objects_follow_the_model)};
    return cmocka_run_group_tests_name("aot_order", tests, aot_set_up, aot_tear_down);
}
