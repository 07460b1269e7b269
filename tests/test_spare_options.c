/* test_spare_options: options and lists that say something of axes that the data does not have are errors, eagerly and traced, which name
 * the option. */
#include "values.h"

#define S KILN_SHAPE

typedef kiln_tensor *Call(kiln_tensor *x); /* x: f32[1,6,5,2] */
#define CALL(name, value) \
    static kiln_tensor *name(kiln_tensor *x) { return value; }
#define ONES(...) kiln_ones(kiln_engine(x), KILN_F32, S(__VA_ARGS__))
#define BY(...) &(kiln_convolution){__VA_ARGS__}
#define POOL(...) &(kiln_pooling){.size = {2, 2}, __VA_ARGS__}
#define TO(...) &(kiln_resizing){__VA_ARGS__}

CALL(conv_stride, kiln_convolve(x, ONES(2, 2, 2, 3), BY(.stride = {1, 1, 2})))
CALL(conv_dilation, kiln_convolve(x, ONES(2, 2, 2, 3), BY(.dilation = {1, 1, 1})))
CALL(conv_pad, kiln_convolve(x, ONES(2, 2, 2, 3), BY(.pad = {{0}, {0}, {0, 1}})))
CALL(conv_same_pad, kiln_convolve(x, ONES(2, 2, 2, 3), BY(.same = true, .pad = {{0}, {0}, {1}})))
CALL(conv_more, kiln_convolve(x, ONES(2, 2, 2, 3), BY(.stride = {2, 2}, .output_pad = {0, 1})))
CALL(line_stride, kiln_convolve(kiln_index(x, KILN_ALL_OF, KILN_AT(0)), ONES(2, 2, 3), BY(.stride = {1, 2})))
CALL(transposed_stride, kiln_convolve_transposed(x, ONES(2, 2, 3, 2), BY(.stride = {2, 2, 2})))
CALL(transposed_more, kiln_convolve_transposed(x, ONES(2, 2, 3, 2), BY(.stride = {2, 2}, .output_pad = {0, 0, 1})))
CALL(integer_dilation, kiln_convolve_integer(kiln_cast(x, KILN_I8), kiln_cast(ONES(2, 2, 2, 3), KILN_I8), 0, 0, BY(.dilation = {0, 0, 2})))
CALL(pool_size, kiln_pool(x, KILN_POOL_MAX, &(kiln_pooling){.size = {2, 2, 2}}))
CALL(pool_stride, kiln_pool(x, KILN_POOL_AVERAGE, POOL(.stride = {0, 0, 1})))
CALL(pool_pad, kiln_pool(x, KILN_POOL_LP, POOL(.pad = {{0}, {0}, {1}})))
CALL(unfold_dilation, kiln_unfold(x, POOL(.dilation = {1, 1, 2})))
CALL(fold_stride, kiln_fold(kiln_unfold(x, POOL(.ceil = false)), S(6, 5), POOL(.stride = {0, 0, 2})))
CALL(resize_size, kiln_resize(x, KILN_AXES(1, 2), TO(.size = {3, 3, 4})))
CALL(resize_scale, kiln_resize(x, KILN_AXES(1), TO(.scale = {2, 2})))
CALL(resize_region, kiln_resize(x, KILN_AXES(1), TO(.scale = {2}, .rule = KILN_RESIZE_CROP, .roi = {{0, 1}, {0, 1}})))
CALL(roll_by, kiln_roll(x, S(1, 2), KILN_AXES(0)))
CALL(pad_more, kiln_pad(x, S(0, 0, 0, 0, 1), S(0, 0, 0, 0), 0))
CALL(pad_with_more, kiln_pad_with(x, S(0, 0, 0, 0, 1), S(0, 0, 0, 0, 1), KILN_PAD_EDGE))
CALL(windows_of_more, kiln_sliding_windows(x, KILN_AXES(1), S(2, 2), S(1)))
CALL(steps_of_more, kiln_sliding_windows(x, KILN_AXES(1), S(2), S(1, 3)))
CALL(flip_more, kiln_flip(x, KILN_AXES(4)))
CALL(fold_to_more, kiln_fold(kiln_unfold(x, POOL(.ceil = false)), S(6, 5, 1), POOL(.ceil = false)))
CALL(adaptive_to_more, kiln_pool_adaptive(x, KILN_POOL_MAX, S(2, 2, 2), 2, false))
CALL(grid_of_more, kiln_affine_grid(ONES(1, 2, 3), S(2, 2, 2), false))
CALL(transform_of_more, kiln_fftn(kiln_reshape(x, S(6, 5, 2)), S(6, 5), KILN_AXES(0), KILN_FFT_BACKWARD))

static const struct {
    Call *call;
    const char *text;
} rows[] = {
    {conv_stride, "convolve: stride[2] is given, but the data has 2 axes of space: leave it 0"},
    {conv_dilation, "convolve: dilation[2] is given, but the data has 2 axes of space"},
    {conv_pad, "convolve: pad[2] is given, but the data has 2 axes of space"},
    {conv_same_pad, "convolve: pad[2] is given"},
    {conv_more, "convolve: output_pad[1] is given, which is convolve_transposed's: leave it 0"},
    {line_stride, "convolve: stride[1] is given, but the data has 1 axis of space"},
    {transposed_stride, "convolve_transposed: stride[2] is given"},
    {transposed_more, "convolve_transposed: output_pad[2] is given"},
    {integer_dilation, "convolve_integer: dilation[2] is given"},
    {pool_size, "pool: size[2] is given, but the data has 2 axes of space"},
    {pool_stride, "pool: stride[2] is given"},
    {pool_pad, "pool: pad[2] is given"},
    {unfold_dilation, "unfold: dilation[2] is given"},
    {fold_stride, "fold: stride[2] is given"},
    {resize_size, "resize: size[2] is given, but 2 axes are named: leave it 0"},
    {resize_scale, "resize: scale[1] is given, but 1 axis is named"},
    {resize_region, "resize: roi[1] is given"},
    {roll_by, "roll: "},
    {pad_more, "pad: "},
    {pad_with_more, "pad"},
    {windows_of_more, "sliding_windows: "},
    {steps_of_more, "sliding_windows: "},
    {flip_more, "flip: "},
    {fold_to_more, "fold: "},
    {adaptive_to_more, "pool_adaptive: "},
    {grid_of_more, "affine_grid: "},
    {transform_of_more, "fftn: "},
};

static void body(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)e;
    out[0] = rows[*(const int *)user].call(in[0]);
}

static void fails_so(int i, const char *mode)
{
    const kiln_failure *had = kiln_error(k);
    if (!kiln_failed(k)) fail_msg("row %d (%s), %s: no error", i, rows[i].text, mode);
    if ((had->code != KILN_EVALUE && had->code != KILN_ESHAPE) || !strstr(had->text, rows[i].text)) fail_msg("row %d, %s: %s", i, mode, had->text);
    kiln_clear(k);
}

static void are_errors(void **state)
{
    (void)state;
    for (int i = 0; i < (int)(sizeof rows / sizeof *rows); i++) {
        KILN_SCOPE(k);
        kiln_tensor *x = kiln_iota(k, KILN_F32, S(1, 6, 5, 2), 1), *y;
        rows[i].call(x);
        fails_so(i, "eager");
        kiln_function *f = kiln_function_new(k, body, &i, &(kiln_function_options){.name = "spare", .inputs_count = 1});
        assert_false(kiln_call_all(f, KILN_IN(x), &y, 1));
        fails_so(i, "traced");
        kiln_function_free(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {ENGINE_TEST(are_errors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
