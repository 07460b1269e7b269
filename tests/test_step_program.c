/* test_step_program: what the program of a training step has to do, and what it need not, read where KILN_DUMP writes it: an activation's operand is not
 * kept for the gradient, cotangents of windows that tile an image are moved and not added up. Eager code, compiled code and the reference agree on each. */
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "front.h"

#define S KILN_SHAPE

/* ---- the dumped text ------------------------------------------------------------------------------------------------ */

typedef struct Text {
    char *at;
    size_t len;
} Text;

static void append(Text *t, const char *path)
{
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    for (size_t n = 1; n > 0; t->len += n) {
        t->at = realloc(t->at, t->len + 4097);
        assert_non_null(t->at);
        n = fread(t->at + t->len, 1, 4096, f);
        t->at[t->len + n] = 0;
    }
    fclose(f);
}

/* All that stages wrote into the folder, which goes. */
static Text dumped(const char *folder)
{
    Text t = {0};
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char path[600];
        if (e->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        append(&t, path);
        remove(path);
    }
    closedir(d);
    rmdir(folder);
    assert_non_null(t.at);
    return t;
}

/* How often the word, which is not part of a longer one, stands before `end`. */
static int occurrences(const char *text, const char *word, const char *end)
{
    int n = 0;
    const size_t len = strlen(word);
    for (; (text = strstr(text, word)) != NULL && (end == NULL || text < end); text += len)
        n += strchr(" (,", text[-1]) != NULL && strchr(" (,\n", text[len]) != NULL;
    return n;
}

/* f at x, compiled: what the stages were. Eager code has the same bits, and the reference agrees. */
static Text stages_of(kiln *k, kiln_function *f, const char *stages, kiln_tensor **x, int n, int outputs)
{
    KILN_SCOPE(k);
    char folder[] = "/tmp/kiln-step-XXXXXX";
    kiln_tensor *compiled[4], *eager[4];
    assert_non_null(mkdtemp(folder));
    setenv("KILN_DUMP", stages, 1);
    setenv("KILN_DUMP_DIR", folder, 1);
    kiln_call_all(f, kiln_tensors(x, n), compiled, outputs);
    unsetenv("KILN_DUMP");
    Text t = dumped(folder);
    kiln_eager(k, true);
    kiln_call_all(f, kiln_tensors(x, n), eager, outputs);
    kiln_eager(k, false);
    assert_ok(k);
    for (int i = 0; i < outputs; i++) assert_memory_equal(kiln_data(compiled[i]), kiln_data(eager[i]), kiln_bytes(eager[i]));
    assert_int_equal(kiln_check(NULL, f, x, n), KILN_AGREE);
    return t;
}

static Text gradient_stages(kiln *k, kiln_body *f, const kiln_function_options *options, const char *stages, kiln_tensor **x, int n)
{
    return stages_of(k, kiln_grad(kiln_function_new(k, f, NULL, options)), stages, x, n, n);
}

#define BODY(name) static void name(kiln *k KILN_UNUSED, kiln_tensor *const *in, kiln_tensor **out, void *user KILN_UNUSED)

/* ---- activations ---------------------------------------------------------------------------------------------------- */

BODY(hidden_layer)
{
    kiln_tensor *h = kiln_relu(kiln_add(kiln_matmul(in[0], in[1]), in[2]));
    out[0] = kiln_sum(kiln_square(kiln_matmul(h, in[3])), KILN_ALL);
}

/* The activation is made over what the first product writes: the gradient asks the activation. */
static void what_goes_into_relu_is_not_kept(void **state)
{
    kiln *k = *state;
    kiln_variable *draw = kiln_generator(k, 3);
    kiln_tensor *x[4] = {kiln_uniform(draw, KILN_F32, S(32, 48), -1, 1), kiln_uniform(draw, KILN_F32, S(48, 64), -1, 1),
                         kiln_uniform(draw, KILN_F32, S(64), -1, 1), kiln_uniform(draw, KILN_F32, S(64, 8), -1, 1)};
    Text t = gradient_stages(k, hidden_layer, &(kiln_function_options){.inputs_count = 4}, "program", x, 4);
    char product[16], over[64];
    const char *made = strstr(t.at, "  contract f32 [32,64] over 48"), *kernels = strstr(t.at, "\nkernel "), *next = NULL;
    assert_non_null(made);
    assert_non_null(kernels);
    assert_int_equal(sscanf(strstr(made, "-> "), "-> %15s", product), 1);
    snprintf(over, sizeof over, "-> %s %s, row by row\n", product, product);
    assert_non_null(next = strstr(strchr(made, '\n') + 1, "->"));
    assert_memory_equal(next, over, strlen(over));
    free(t.at);
}

BODY(choices) { out[0] = kiln_relu(kiln_max_pool(kiln_where(kiln_lt(in[0], 2), kiln_neg(in[0]), 2), &(kiln_window){.size = {2, 2}})); }

/* What only chooses among narrow floats has nothing to round. */
static void choices_are_not_rounded(void **state)
{
    kiln *k = *state;
    static const kiln_dtype dtypes[] = {KILN_BF16, KILN_F16, KILN_F8_E5M2};
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
        kiln_tensor *x = kiln_cast(kiln_uniform(kiln_generator(k, 3), KILN_F32, S(1, 4, 6, 3), -4, 4), dtypes[i]);
        Text t = stages_of(k, kiln_function_new(k, choices, NULL, NULL), "program", &x, 1, 1);
        assert_null(strstr(t.at, "floatbits"));
        free(t.at);
    }
}

/* ---- windows --------------------------------------------------------------------------------------------------------- */

#define POOLED(name, pool, ...) \
    BODY(name) { out[0] = kiln_sum(kiln_square(pool(kiln_relu(in[0]), &(kiln_window){__VA_ARGS__})), KILN_ALL); }
POOLED(largest, kiln_max_pool, .size = {2, 2})
POOLED(largest_of_six, kiln_max_pool, .size = {3, 2})
POOLED(largest_padded, kiln_max_pool, .size = {2, 2}, .pad = {{1, 2}, {0, 1}})
POOLED(largest_of_few, kiln_max_pool, .size = {1, 1}, .dilation = {2, 3})
POOLED(mean, kiln_avg_pool, .size = {2, 2})
POOLED(mean_padded, kiln_avg_pool, .size = {2, 3}, .same = true)
POOLED(largest_overlapping, kiln_max_pool, .size = {3, 3}, .stride = {2, 2})
POOLED(mean_apart, kiln_avg_pool, .size = {2, 2}, .stride = {3, 3})
POOLED(mean_dilated, kiln_avg_pool, .size = {2, 2}, .dilation = {2, 2})

/* How often the gradient's graphs add windows up. */
static int added(kiln *k, kiln_body *f, const kiln_function_options *options, kiln_tensor *x)
{
    Text t = gradient_stages(k, f, options, "ir,passes", &x, 1);
    int n = occurrences(t.at, "window_add", NULL);
    free(t.at);
    return n;
}

static void windows_that_tile_are_moved(void **state)
{
    kiln *k = *state;
    static const struct { kiln_dtype dtype; int64_t height, width; } images[] = {
        {KILN_F32, 6, 6}, {KILN_F32, 7, 9}, {KILN_F16, 6, 6}, {KILN_F16, 7, 6}, {KILN_BF16, 6, 8}, {KILN_F64, 7, 9}};
    static kiln_body *const tiling[] = {largest, largest_of_six, largest_padded, largest_of_few, mean, mean_padded};
    static kiln_body *const others[] = {largest_overlapping, mean_apart, mean_dilated};
    const kiln_function_options one = {.inputs_count = 1, .fixed_sizes = true};
    kiln_variable *draw = kiln_generator(k, 5);
    for (size_t i = 0; i < sizeof images / sizeof *images; i++) {
        KILN_SCOPE(k);
        kiln_tensor *x = kiln_round(kiln_uniform(draw, KILN_F32, S(2, images[i].height, images[i].width, 3), -3, 4)); /* with equal ones */
        x = kiln_cast(x, images[i].dtype);
        for (size_t f = 0; f < sizeof tiling / sizeof *tiling; f++) assert_int_equal(added(k, tiling[f], &one, x), 0);
        for (size_t f = 0; i == 0 && f < sizeof others / sizeof *others; f++) assert_true(added(k, others[f], &one, x) > 0);
    }
}

BODY(symbolic_rows) { out[0] = kiln_sum(kiln_square(kiln_max_pool(kiln_reshape(in[0], S(1, -1, 6, 2)), &(kiln_window){.size = {2, 3}})), KILN_ALL); }
BODY(twice_as_many) { out[0] = kiln_sum(kiln_square(kiln_avg_pool(kiln_reshape(in[0], S(1, -1, 3, 2)), &(kiln_window){.size = {2, 2}})), KILN_ALL); }

/* The image's height is a symbol n, of which the last window may leave a row, or 2 n, of which none is left. */
static void symbols_of_any_size_tile(void **state)
{
    kiln *k = *state;
    const kiln_function_options any_rows = {.inputs = {KILN_SPEC(KILN_F32, KILN_DIM("n", 2, 64), 12)}};
    for (int64_t n = 2; n < 8; n++) {
        KILN_SCOPE(k);
        kiln_tensor *x = kiln_uniform(kiln_generator(k, 5), KILN_F32, S(n, 12), -1, 1);
        assert_int_equal(added(k, symbolic_rows, &any_rows, x), 0);
        assert_int_equal(added(k, twice_as_many, &any_rows, x), 0);
    }
}

/* Each cotangent in its place, shared by equal elements; 0 where windows do not reach. */
static void moved_by_hand(void **state)
{
    kiln *k = *state;
    static const float want[] = {0, 10, 4.0f / 3, 4.0f / 3, 0, 0, 0, 4.0f / 3, 0, 0, 0, 0, 0, 0, 0};
    kiln_tensor *x = kiln_f32(k, S(1, 3, 5, 1), 1, 5, 2, 2, 9, 4, 3, 2, 1, 9, 7, 7, 7, 7, 7);
    kiln_tensor *dx = kiln_call(kiln_grad(kiln_function_new(k, largest, NULL, &(kiln_function_options){.inputs_count = 1})), x);
    assert_ok(k);
    assert_memory_equal(kiln_data(dx), want, sizeof want);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        WAIT_TEST(what_goes_into_relu_is_not_kept),
        WAIT_TEST(choices_are_not_rounded),
        WAIT_TEST(windows_that_tile_are_moved),
        WAIT_TEST(symbols_of_any_size_tile),
        FRONT_TEST(moved_by_hand),
    };
    return cmocka_run_group_tests(tests, front_needs_llvm, NULL);
}
