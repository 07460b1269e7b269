/* test_cuda_conv: convolutions on a CUDA device, which are products there: they read windows where these lie in the padded image, and their
 * results and gradients have the CPU's bits. Runs on emu:0. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <kiln/kiln.h>

#include "codegen/emu.h"

#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct Case {
    int space;
    int64_t in[3], taps[3], c, o; /* channels in all */
    kiln_convolution how;
    int products; /* of the result, and of both gradients */
} Case;

static void convolution(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const Case *x = user;
    KILN_TAPE(k, tape);
    kiln_watch(tape, in[0]);
    kiln_watch(tape, in[1]);
    out[0] = kiln_convolve(in[0], in[1], &x->how);
    kiln_gradients(tape, kiln_sum(kiln_mul(out[0], out[0]), KILN_ALL), KILN_IN(in[0], in[1]), out + 1);
}

static void operands(kiln *k, const Case *x, kiln_dtype t, int64_t images, kiln_tensor **in)
{
    kiln_shape image = {.rank = x->space + 2, .size = {0, images}}, w = {.rank = x->space + 2};
    const int64_t groups = x->how.groups ? x->how.groups : 1;
    for (int i = 0; i < x->space; i++) image.size[2 + i] = x->in[i], w.size[1 + i] = x->taps[i];
    image.size[2 + x->space] = x->c;
    w.size[1 + x->space] = x->c / groups;
    w.size[2 + x->space] = x->o;
    kiln_variable *chance = kiln_generator(k, 7);
    in[0] = kiln_normal(chance, t, image, 0, 1);
    in[1] = kiln_normal(chance, t, w, 0, 1);
    kiln_variable_free(chance);
}

static void same_bits(const Case *x, int output, kiln_tensor *got, kiln_tensor *want)
{
    char *have = malloc(kiln_bytes(want));
    assert_int_equal(kiln_elements(got), kiln_elements(want));
    kiln_read(got, have, kiln_bytes(want));
    if (memcmp(have, kiln_data(want), kiln_bytes(want)) != 0) fail_msg("%d axes, output %d: other bits than the CPU's", x->space, output);
    free(have);
}

/* What the dumped programs say. */
static void look(const char *folder, int *windows, int *products)
{
    char path[96], line[4096];
    *windows = *products = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        snprintf(path, sizeof path, "%s/%.48s", folder, e->d_name);
        FILE *text = e->d_name[0] == '.' ? NULL : fopen(path, "r");
        while (text && fgets(line, sizeof line, text)) {
            *windows += strncmp(line, "kernel window", 13) == 0;
            *products += strstr(line, "contract ") != NULL;
        }
        if (text) fclose(text), remove(path);
    }
    closedir(d);
    rmdir(folder);
}

static void run_case(kiln *k, const Case *x, kiln_dtype t, bool bounded)
{
    KILN_SCOPE(k);
    char folder[] = "/tmp/kiln-conv-XXXXXX";
    kiln_tensor *in[2], *want[3], *there[2], *got[3];
    int windows, products;
    operands(k, x, t, 2, in);
    convolution(k, in, want, (Case *)(uintptr_t)x);
    kiln_function_options o = {.name = "f", .compile = KILN_WAIT, .outputs = 3};
    if (bounded) {
        o.inputs[0] = (kiln_spec)KILN_SPEC(t, KILN_DIM("N", 1, 8), x->in[0], x->in[1], x->c);
        o.inputs[1] = (kiln_spec)KILN_SPEC(t, x->taps[0], x->taps[1], x->c, x->o);
    }
    assert_non_null(mkdtemp(folder));
    setenv("KILN_DUMP", "program", 1);
    setenv("KILN_DUMP_DIR", folder, 1);
    kiln_function *f = kiln_function_new(k, convolution, (Case *)(uintptr_t)x, &o);
    for (int i = 0; i < 2; i++) there[i] = kiln_to(in[i], "emu:0");
    kiln_call_all(f, KILN_IN(there[0], there[1]), got, 3);
    if (kiln_failed(k)) fail_msg("%d axes: %s", x->space, kiln_error(k)->text);
    for (int i = 0; i < 3; i++) same_bits(x, i, got[i], want[i]);
    kiln_function_free(f);
    unsetenv("KILN_DUMP");
    unsetenv("KILN_DUMP_DIR");
    look(folder, &windows, &products);
    assert_int_equal(windows, 0);
    assert_int_equal(products, x->products);
}

/* Steps, dilations, gaps between taps' channels, and images in which no neighbours of a window lie side by side. */
static const Case cases[] = {
    {1, {50}, {9}, 4, 3, {.pad = {{4, 4}}}, 3},
    {2, {11, 12}, {3, 3}, 1, 5, {.same = true}, 3},
    {2, {9, 10}, {2, 3}, 4, 6, {.pad = {{1, 2}, {0, 3}}, .dilation = {2, 1}}, 3},
    {2, {12, 13}, {3, 2}, 3, 4, {.stride = {2, 2}}, 6},
    {2, {12, 13}, {3, 3}, 1, 4, {.stride = {2, 2}, .dilation = {2, 2}}, 3},
    {2, {8, 7}, {3, 3}, 6, 9, {.groups = 3, .pad = {{1, 1}, {1, 1}}}, 3},
    {2, {8, 7}, {3, 3}, 5, 5, {.groups = 5, .stride = {1, 2}}, 4},
    {3, {5, 6, 4}, {3, 2, 3}, 4, 6, {.groups = 2, .dilation = {1, 2, 1}, .pad = {{1, 1}, {1, 0}, {1, 1}}}, 3},
};

static void convolutions_read_images_in_place(void **state)
{
    (void)state;
    if (!emu_driver(0, &(Status){0})) skip();
    kiln *k = kiln_open(NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) run_case(k, &cases[i], i == 2 ? KILN_F64 : KILN_F32, false);
    run_case(k, &cases[1], KILN_F32, true);
    assert_int_equal(kiln_close(k), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(convolutions_read_images_in_place)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
