/* test_onnx_save_conv: convolutions, transposed ones and their gradients as files of ONNX: read again they compute the same bits, of one to
 * three axes, with strides, dilations, groups, padding on either side and open sizes. */
#include "onnx_round.h"

typedef struct Row {
    const char *name;
    bool transposed;
    kiln_convolution o;
    kiln_shape x, w;
} Row;

static const Row row[] = {
    {"plain_2d", false, {.stride = {2, 1}, .pad = {{1, 1}, {0, 2}}, .dilation = {1, 2}, .groups = 2, .channels_first = true}, {4, {4, 2, 4, 9, 11}}, {4, {4, 3, 3, 2, 6}}},
    {"plain_1d", false, {.stride = {3}, .pad = {{2, 1}}}, {3, {3, 2, 10, 3}}, {3, {3, 4, 3, 5}}},
    {"plain_3d", false, {.stride = {1, 2, 1}, .pad = {{1, 0}, {0, 0}, {0, 1}}}, {5, {5, 1, 4, 5, 3, 2}}, {5, {5, 2, 3, 2, 2, 4}}},
    {"plain_pads", false, {.pad = {{5, 6}, {4, 0}}}, {4, {4, 1, 3, 4, 2}}, {4, {4, 2, 2, 2, 3}}}, /* more than the filters reach */
    {"plain_same", false, {.stride = {2, 2}, .same = true}, {4, {4, 1, 7, 8, 3}}, {4, {4, 3, 3, 3, 4}}},
    {"back_2d", true, {.stride = {2, 3}, .pad = {{1, 0}, {2, 1}}, .output_pad = {1, 2}}, {4, {4, 2, 4, 5, 6}}, {4, {4, 3, 4, 3, 6}}},
    {"back_groups", true, {.stride = {2, 2}, .dilation = {1, 2}, .groups = 2, .channels_first = true}, {4, {4, 2, 6, 4, 5}}, {4, {4, 3, 2, 2, 6}}},
    {"back_1d", true, {.stride = {3}, .groups = 3}, {3, {3, 2, 5, 6}}, {3, {3, 4, 1, 6}}},
    {"back_3d", true, {.stride = {2, 1, 2}, .pad = {{0, 1}, {1, 1}, {0, 0}}}, {5, {5, 1, 3, 4, 3, 2}}, {5, {5, 2, 3, 2, 3, 2}}},
    {"back_ones", true, {.stride = {2, 2}}, {4, {4, 1, 3, 3, 2}}, {4, {4, 1, 1, 4, 2}}},
    {"back_same", true, {.stride = {2, 2}, .same = true}, {4, {4, 1, 4, 3, 2}}, {4, {4, 3, 3, 4, 2}}},
    {"back_unit", true, {.pad = {{1, 1}, {1, 0}}}, {4, {4, 1, 4, 3, 2}}, {4, {4, 3, 3, 4, 2}}}};

#define ROWS (int)(sizeof row / sizeof *row)

static kiln_tensor *convolved(const Row *r, kiln_tensor *x, kiln_tensor *w)
{
    return r->transposed ? kiln_convolve_transposed(x, w, &r->o) : kiln_convolve(x, w, &r->o);
}

static void value(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)e;
    out[0] = convolved(user, in[0], in[1]);
}

/* A first derivative along both, and the second one of the first along the filters. */
static void gradient(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    KILN_TAPE(e, outer);
    kiln_watch(outer, in[1]);
    {
        KILN_TAPE(e, inner);
        kiln_watch(inner, in[0]), kiln_watch(inner, in[1]);
        kiln_tensor *y = convolved(user, in[0], in[1]);
        assert_true(kiln_gradients(inner, kiln_sum(kiln_mul(y, kiln_square(y)), KILN_ALL), KILN_IN(in[0], in[1]), out));
        kiln_keep(out[0]), kiln_keep(out[1]);
    }
    out[2] = kiln_gradient(outer, out[0], in[1]);
    for (int i = 0; i < 3; i++) kiln_keep(out[i]);
}

/* open: the number of images, and the sizes of the last axis of space. */
static kiln_function *made(const char *name, kiln_body *body, const Row *r, int results, bool open)
{
    kiln_function_options o = {.name = name, .outputs = results};
    const kiln_shape *s[2] = {&r->x, &r->w};
    for (int i = 0; i < 2; i++) {
        o.inputs[i].dtype = KILN_F32, o.inputs[i].rank = (int)s[i]->rank;
        for (int a = 0; a < (int)s[i]->rank; a++) o.inputs[i].size[a] = kiln_size_of(s[i]->size[1 + a]);
    }
    if (open) {
        o.inputs[0].size[0] = KILN_DIM("N", 1, 9);
        o.inputs[0].size[s[0]->rank - (r->o.channels_first ? 1 : 2)] = KILN_DIM("W", 4, 40);
    }
    return kiln_function_new(k, body, (void *)(uintptr_t)r, &o);
}

/* Filters' gradients are added up place by place in a Conv, and here image by image. */
static double off_of(int results) { return results > 1 ? 1e-5 : 0; }

static void go_round(const char *kind, kiln_body *body, int results)
{
    for (int i = 0; i < ROWS; i++) {
        KILN_SCOPE(k);
        char name[64];
        snprintf(name, sizeof name, "%s%s", kind, row[i].name);
        kiln_function *f = made(name, body, &row[i], results, false);
        written(name, f);
        read_again(name, 0, f, KILN_IN(filled(row[i].x), filled(row[i].w)), results, off_of(results));
        kiln_function_free(f);
    }
}

static void open_sizes(const char *kind, kiln_body *body, int results)
{
    for (int i = 0; i < ROWS; i++) {
        KILN_SCOPE(k);
        char name[64];
        snprintf(name, sizeof name, "%s%s", kind, row[i].name);
        kiln_function *f = made(name, body, &row[i], results, true);
        written(name, f);
        for (int call = 0; call < 4; call++) {
            kiln_shape x = row[i].x;
            x.size[1] = 1 + call % 2, x.size[x.rank - !row[i].o.channels_first] = 5 + 3 * call;
            read_again(name, call, f, KILN_IN(filled(x), filled(row[i].w)), results, off_of(results));
        }
        kiln_function_free(f);
    }
}

static void values_go_round(void **state)
{
    open_folder(*state);
    go_round("", value, 1);
}

static void gradients_go_round(void **state)
{
    open_folder(*state);
    go_round("grad_", gradient, 3);
}

static void open_sizes_go_round(void **state)
{
    open_folder(*state);
    open_sizes("open_", value, 1);
    open_sizes("open_grad_", gradient, 3);
}

/* What the graph turned for its own sake is not turned back at run time: the filters are the node's own, but for their layout. */
static void filters_are_not_turned_twice(void **state)
{
    open_folder(*state);
    kiln_function *f = made("once", value, &row[5], 1, false);
    written("once", f);
    assert_true(model_has("once", "ConvTranspose"));
    assert_false(model_has("once", "Slice"));
    assert_false(model_has("once", "Reshape"));
    kiln_function_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {FRONT_TEST(values_go_round), FRONT_TEST(gradients_go_round), FRONT_TEST(open_sizes_go_round),
        FRONT_TEST(filters_are_not_turned_twice)};
    return cmocka_run_group_tests_name("onnx_save_conv", tests, NULL, close_folder);
}
