/* test_cuda_end: elementwise kernels that alone read a product are computed where it is made, on a CUDA device: the CPU's bits, no launch of
 * their own, and no memory for the product. Runs on emu:0. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <kiln/kiln.h>

#include "codegen/emu.h"

#include <dirent.h>
#include <unistd.h>

/* x f32[3,70,33], w f32[33,66], b f32[66], r f32[3,70,66] */
typedef kiln_tensor *Layer(kiln_tensor *const *in);

static kiln_tensor *product(kiln_tensor *const *in) { return kiln_matmul(in[0], in[1]); }
static kiln_tensor *bias(kiln_tensor *const *in) { return kiln_relu(kiln_add(product(in), in[2])); }
static kiln_tensor *smooth(kiln_tensor *const *in) { return kiln_gelu(kiln_add(product(in), in[2])); }
static kiln_tensor *residual(kiln_tensor *const *in) { return kiln_add(kiln_mul(product(in), 0.5), in[3]); }
static kiln_tensor *compared(kiln_tensor *const *in) { return kiln_gt(product(in), in[2]); }
static kiln_tensor *rows(kiln_tensor *const *in) { return kiln_mul(product(in), kiln_slice(in[0], 2, 0, 1, 1)); }
static kiln_tensor *square(kiln_tensor *const *in)
{
    kiln_tensor *p = product(in);
    return kiln_mul(p, p);
}
static kiln_tensor *strip(kiln_tensor *const *in)
{
    return kiln_tanh(kiln_add(kiln_matmul(kiln_reshape(kiln_slice(in[0], 1, 0, 3, 1), KILN_SHAPE(9, 33)), in[1]), in[2]));
}
static kiln_tensor *image(kiln_tensor *const *in)
{
    kiln_tensor *x = kiln_reshape(kiln_slice(in[0], 1, 0, 64, 1), KILN_SHAPE(3, 8, 8, 33));
    return kiln_relu(kiln_add(kiln_conv2d(x, kiln_reshape(in[1], KILN_SHAPE(1, 1, 33, 66)), &(kiln_window){.pad = {{1, 1}, {1, 1}}}), in[2]));
}
static kiln_tensor *turned(kiln_tensor *const *in) { return kiln_sub(kiln_transpose(product(in), KILN_AXES(0, 2, 1)), 1); }
static kiln_tensor *summed(kiln_tensor *const *in) { return kiln_sum(product(in), KILN_AXES(2)); }

static void body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    Layer *layer;
    (void)k;
    memcpy(&layer, user, sizeof layer);
    out[0] = layer(in);
}

static void operands(kiln *k, kiln_dtype t, kiln_tensor **in)
{
    kiln_variable *chance = kiln_generator(k, 5);
    in[0] = kiln_cast(kiln_normal(chance, KILN_F32, KILN_SHAPE(3, 70, 33), 0, 1), t);
    in[1] = kiln_cast(kiln_normal(chance, KILN_F32, KILN_SHAPE(33, 66), 0, 1), t);
    in[2] = kiln_cast(kiln_normal(chance, KILN_F32, KILN_SHAPE(66), 0, 1), t);
    in[3] = kiln_cast(kiln_normal(chance, KILN_F32, KILN_SHAPE(3, 70, 66), 0, 1), t);
    kiln_variable_free(chance);
}

/* How often a line of the dumped programs says so. */
static int said(const char *folder, const char *what)
{
    char path[96], line[4096];
    int n = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        snprintf(path, sizeof path, "%s/%.48s", folder, e->d_name);
        FILE *text = e->d_name[0] == '.' ? NULL : fopen(path, "r");
        while (text && fgets(line, sizeof line, text)) n += strstr(line, what) != NULL;
        if (text) fclose(text), remove(path);
    }
    closedir(d);
    rmdir(folder);
    return n;
}

/* exact: with the CPU's bits; else with those of the same operations, one by one. */
static void check(kiln *k, const char *name, Layer *layer, kiln_dtype t, bool exact, int ends)
{
    KILN_SCOPE(k);
    char folder[] = "/tmp/kiln-end-XXXXXX";
    kiln_tensor *in[4], *there[4], *want, *got;
    operands(k, t, in);
    for (int i = 0; i < 4; i++) there[i] = kiln_to(in[i], "emu:0");
    want = layer(exact ? in : there);
    assert_non_null(mkdtemp(folder));
    setenv("KILN_DUMP", "program", 1);
    setenv("KILN_DUMP_DIR", folder, 1);
    kiln_function *f = kiln_function_new(k, body, &layer, &(kiln_function_options){.name = "f", .compile = KILN_WAIT, .exact = exact});
    got = kiln_call(f, there[0], there[1], there[2], there[3]);
    unsetenv("KILN_DUMP");
    unsetenv("KILN_DUMP_DIR");
    const size_t bytes = kiln_bytes(want);
    char *a = malloc(bytes), *b = malloc(bytes);
    kiln_read(got, a, bytes);
    kiln_read(want, b, bytes);
    if (kiln_failed(k)) fail_msg("%s: %s", name, kiln_error(k)->text);
    if (memcmp(a, b, bytes) != 0) fail_msg("%s: other bits", name);
    free(a);
    free(b);
    kiln_function_free(f);
    const int n = said(folder, "at the end of the product before");
    if (n != ends) fail_msg("%s: %d kernels, not %d, are computed in the product's place", name, n, ends);
}

static void kernels_end_products(void **state)
{
    (void)state;
    if (!emu_driver(0, &(Status){0})) skip();
    kiln *k = kiln_open(NULL);
    check(k, "bias", bias, KILN_F32, true, 1);
    check(k, "smooth", smooth, KILN_F64, true, 1);
    check(k, "residual", residual, KILN_F32, true, 1);
    check(k, "compared", compared, KILN_F32, true, 1);
    check(k, "rows", rows, KILN_F32, true, 1);
    check(k, "square", square, KILN_F32, true, 1);
    check(k, "strip", strip, KILN_F32, true, 1);
    check(k, "image", image, KILN_F32, true, 1);
    check(k, "turned", turned, KILN_F32, true, 0);
    check(k, "summed", summed, KILN_F32, true, 0);
    check(k, "bias of f16", bias, KILN_F16, true, 1);
    check(k, "bias on tensor cores", bias, KILN_F16, false, 1);
    check(k, "strip on tensor cores", strip, KILN_BF16, false, 1);
    assert_int_equal(kiln_close(k), 0);
}

/* What somebody else reads is stored as well, by a product without an end. */
static void twice(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = product(in);
    out[1] = kiln_relu(kiln_add(out[0], in[2]));
}

static void products_that_are_read_stay(void **state)
{
    (void)state;
    if (!emu_driver(0, &(Status){0})) skip();
    kiln *k = kiln_open(&(kiln_options){.compile = KILN_WAIT});
    kiln_tensor *in[4], *there[3], *want[2], *got[2];
    operands(k, KILN_F32, in);
    twice(k, in, want, NULL);
    for (int i = 0; i < 3; i++) there[i] = kiln_to(in[i], "emu:0");
    kiln_function *f = kiln_function_new(k, twice, NULL, &(kiln_function_options){.outputs = 2});
    kiln_call_all(f, KILN_IN(there[0], there[1], there[2]), got, 2);
    for (int i = 0; i < 2; i++) {
        char *a = malloc(kiln_bytes(want[i]));
        kiln_read(got[i], a, kiln_bytes(want[i]));
        assert_memory_equal(a, kiln_data(want[i]), kiln_bytes(want[i]));
        free(a);
    }
    assert_int_equal(kiln_close(k), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(kernels_end_products), cmocka_unit_test(products_that_are_read_stay)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
