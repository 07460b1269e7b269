/* test_onnx_gradients: gradients through imported models against central differences: ONNX's own cases (tests/conformance/onnx), an
 * operator or two each, called with their inputs in f64, eagerly and compiled. Models whose weights are trained: test_onnx_train.c.
 */
#include "front.h"

#include <kiln/onnx.h>

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

enum { MOST = 16, PLACES = 12 }; /* PLACES: of each input, elements that are looked at */

typedef struct Row {
    const char *name;
    int outputs; /* the float ones are summed */
    int first;   /* how many inputs have gradients, from the first on: the others are sizes, masks, or no numbers */
    bool moved;  /* inputs lie on corners, where there is no gradient: they are moved off them */
} Row;

static const Row row[] = {
    {"test_basic_conv_without_padding", 1, 2, false},
    {"test_convtranspose_autopad_same", 1, 2, false},
    {"test_convtranspose_output_shape", 1, 2, false},
    {"test_deform_conv_with_multiple_offset_groups", 1, 3, true},
    {"test_causal_conv_with_state_silu", 2, 4, false},
    {"test_batchnorm_example", 1, 5, false},
    {"test_group_normalization_epsilon", 1, 3, false},
    {"test_instancenorm_example", 1, 3, false},
    {"test_rms_normalization_3d_axis1_epsilon", 1, 2, false},
    {"test_lpnormalization_default", 1, 1, false},
    {"test_mvn", 1, 1, false},
    {"test_averagepool_2d_ceil", 1, 1, false},
    {"test_MaxPool2d", 1, 1, false},
    {"test_AvgPool2d", 1, 1, false},
    {"test_globalmaxpool_precomputed", 1, 1, false},
    {"test_lstm_with_peepholes", 1, 4, false},
    {"test_gru_seq_length", 1, 4, false},
    {"test_simple_rnn_batchwise", 2, 3, false},
    {"test_attention_4d_causal_nonpad_continued_prefill", 1, 3, false},
    {"test_attention_local_window_ext_cache_rank4_batch_mask", 1, 3, false},
    {"test_linear_attention_gated_delta_gqa", 2, 4, false},
    {"test_rotary_embedding_interleaved", 1, 3, false},
    {"test_einsum_inner_prod", 1, 2, false},
    {"test_matmul_2d", 1, 2, false},
    {"test_gemm_default_scalar_bias", 1, 3, false},
    {"test_det_2d", 1, 1, false},
    {"test_gridsample_bicubic", 1, 2, false},
    {"test_roialign_aligned_true", 1, 1, false},
    {"test_resize_downsample_scales_cubic_A_n0p5_exclude_outside", 1, 1, false},
    {"test_affine_grid_2d_align_corners", 1, 1, false},
    {"test_col2im_dilations", 1, 1, false},
    {"test_dft_inverse", 1, 1, false},
    {"test_stft_with_window", 1, 1, false},
    {"test_softmax_example", 1, 1, false},
    {"test_logsoftmax_example_1", 1, 1, false},
    {"test_sce_sum", 1, 1, false},
    {"test_nllloss_NC", 1, 1, false},
    {"test_cumsum_1d", 1, 1, false},
    {"test_cumprod_2d_negative_axis", 1, 1, false},
    {"test_scan9_sum", 2, 2, false},
    {"test_scatter_with_axis", 1, 1, false},
    {"test_gather_negative_indices", 1, 1, false},
    {"test_where_example", 1, 3, false},
    {"test_prelu_broadcast", 1, 2, false},
    {"test_celu", 1, 1, false},
    {"test_tile_precomputed", 1, 1, false},
    {"test_resize_tf_crop_and_resize", 1, 1, false},
    {"test_depthtospace_example", 1, 1, false},
    {"test_swiglu_alpha", 1, 1, false},
    {"test_top_k", 1, 1, false},
    {"test_gradient_of_add_and_mul", 3, 2, false},
    {"test_loop11", 2, 3, false},
};

typedef struct Case {
    kiln_onnx *m;
    const Row *row;
    kiln_tensor *in[MOST];
    int n;
} Case;

static kiln_shape shape_of(kiln_tensor *x)
{
    kiln_shape s = {.rank = kiln_rank(x)};
    for (int i = 0; i < kiln_rank(x); i++) s.size[1 + i] = kiln_dim(x, i);
    return s;
}

static bool is_float(kiln_tensor *x) { return kiln_dtype_of(x) == KILN_F32 || kiln_dtype_of(x) == KILN_F64; }

/* 0, 1, 2 and so on in x's shape. */
static kiln_tensor *numbered(kiln *k, kiln_tensor *x)
{
    return kiln_reshape(kiln_arange(k, KILN_F64, 0, (double)kiln_elements(x), 1), shape_of(x));
}

static void open_case(kiln *k, const Row *r, Case *c)
{
    char path[300];
    snprintf(path, sizeof path, "tests/conformance/onnx/%s/model.onnx", r->name);
    *c = (Case){.m = kiln_onnx_load(k, path), .row = r};
    for (; c->n < MOST; c->n++) {
        snprintf(path, sizeof path, "tests/conformance/onnx/%s/test_data_set_0/input_%d.pb", r->name, c->n);
        if (access(path, F_OK) != 0) break;
        kiln_tensor *x = kiln_onnx_tensor(k, path);
        c->in[c->n] = is_float(x) ? kiln_cast(x, KILN_F64) : x;
        if (r->moved) c->in[c->n] = kiln_add(c->in[c->n], kiln_mul(0.2, kiln_cos(numbered(k, x))));
    }
    assert_ok(k);
}

/* Each result in a direction of its own, so that none of its parts can be another's. */
static kiln_tensor *seen(kiln *k, const Case *c)
{
    kiln_tensor *out[MOST], *sum = kiln_scalar(k, KILN_F64, 0);
    if (!kiln_onnx_call(c->m, kiln_tensors(c->in, c->n), out, c->row->outputs)) return sum;
    for (int i = 0; i < c->row->outputs; i++) {
        if (!is_float(out[i])) continue;
        assert_int_equal(kiln_dtype_of(out[i]), KILN_F64);
        sum = kiln_add(sum, kiln_sum(kiln_mul(out[i], kiln_cos(kiln_add(numbered(k, out[i]), i))), KILN_ALL));
    }
    return sum;
}

static double at(kiln *k, const Case *c, int input, int64_t element, double off)
{
    KILN_SCOPE(k);
    Case other = *c;
    const int64_t n = kiln_elements(c->in[input]);
    double *v = malloc((size_t)n * sizeof *v);
    assert_non_null(v);
    kiln_read_doubles(c->in[input], v, n);
    v[element] += off;
    other.in[input] = kiln_from_doubles(k, KILN_F64, shape_of(c->in[input]), v, n);
    free(v);
    return kiln_item(seen(k, &other));
}

static int gradients(kiln *k, const Case *c, double (*slope)[PLACES])
{
    kiln_tensor *x[MOST], *dx[MOST];
    int n = 0;
    KILN_TAPE(k, tape);
    for (int i = 0; i < c->n && i < c->row->first; i++)
        if (is_float(c->in[i])) x[n++] = kiln_watch(tape, c->in[i]);
    kiln_tensor *y = seen(k, c);
    if (!kiln_gradients_of_at(KILN_HERE, tape, KILN_OPERAND(y), kiln_tensors(x, n), dx)) return -1;
    for (int i = 0; i < n; i++) {
        const int64_t count = kiln_elements(dx[i]);
        double *v = malloc((size_t)count * sizeof *v);
        assert_non_null(v);
        kiln_read_doubles(dx[i], v, count);
        for (int j = 0; j < PLACES; j++) slope[i][j] = v[(count - 1) * j / (PLACES - 1)];
        free(v);
    }
    return n;
}

/* Of how many places the slopes are others. */
static int compare(kiln *k, const Case *c, double (*slope)[MOST][PLACES])
{
    int wrong = 0;
    for (int i = 0, g = 0; i < c->n && i < c->row->first; i++) {
        if (!is_float(c->in[i])) continue;
        for (int j = 0; j < PLACES; j++) {
            const int64_t element = (kiln_elements(c->in[i]) - 1) * j / (PLACES - 1);
            const double by = (at(k, c, i, element, 1e-5) - at(k, c, i, element, -1e-5)) / 2e-5;
            for (int eager = 0; eager < 2; eager++) {
                if (fabs(by - slope[eager][g][j]) < 1e-6 * (1 + fabs(by))) continue;
                print_error("%s, %s: input %d, element %lld: %.9g, not %.9g\n", c->row->name, eager ? "eager" : "compiled", i,
                    (long long)element, slope[eager][g][j], by);
                wrong++;
            }
        }
        g++;
    }
    return wrong;
}

static int check(kiln *k, const Row *r)
{
    KILN_SCOPE(k);
    Case c;
    double slope[2][MOST][PLACES];
    int n = 0;
    open_case(k, r, &c);
    for (int eager = 0; eager < 2; eager++) {
        kiln_eager(k, eager);
        n = gradients(k, &c, slope[eager]);
    }
    int wrong = n < 1;
    if (n == 0) print_error("%s: no input is of floats\n", r->name);
    if (kiln_failed(k)) {
        print_error("%s: %s\n", r->name, kiln_error(k)->text);
        kiln_clear(k);
    } else {
        wrong += compare(k, &c, slope);
        assert_ok(k);
    }
    kiln_eager(k, false);
    kiln_onnx_free(c.m);
    return wrong;
}

static void gradients_are_those_of_central_differences(void **state)
{
    int wrong = 0;
    const int n = (int)(sizeof row / sizeof *row);
    for (int i = 0; i < n; i++) wrong += check(*state, &row[i]);
    printf("gradients of %d models\n", n);
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {WAIT_TEST(gradients_are_those_of_central_differences)};
    return cmocka_run_group_tests(tests, front_needs_llvm, NULL);
}
