/* device_ops: operations and their gradients give the same bits wherever operands lie and whatever device the thread is on: an
 * operation runs beside its operands, with all that it makes on the way. Eagerly, in a function, and in the same function run
 * eagerly. */
#include "front.h"

#define A late_name(0)
#define B late_name(1)

typedef struct In { /* f32[4,6], f32[6,4], f32[4], i64[4] in 0 ... 3; a number's tensor f32[1,1] */
    kiln_tensor *x, *w, *v, *i, *one;
} In;

static kiln_tensor *affine(kiln *k, In in) { return (void)k, kiln_add(kiln_matmul(in.x, in.w), in.v); }
static kiln_tensor *softmax(kiln *k, In in) { return (void)k, kiln_softmax(in.x, -1); }
static kiln_tensor *layernorm(kiln *k, In in) { return (void)k, kiln_layernorm(kiln_transpose(in.x, KILN_ALL), in.v, in.v, 1e-5); }
static kiln_tensor *norm(kiln *k, In in) { return (void)k, kiln_div(in.x, kiln_norm(in.x)); }
static kiln_tensor *variance(kiln *k, In in) { return (void)k, kiln_variance(in.x, KILN_AXES(0)); }
static kiln_tensor *centred(kiln *k, In in) { return (void)k, kiln_sub(in.x, kiln_mean(in.x, KILN_ALL)); }
static kiln_tensor *entropy(kiln *k, In in) { return (void)k, kiln_cross_entropy(in.x, in.i); }
static kiln_tensor *one_hot(kiln *k, In in) { return (void)k, kiln_mul(kiln_one_hot(in.i, 6, KILN_F32), in.x); }
static kiln_tensor *gathered(kiln *k, In in) { return (void)k, kiln_gather(in.x, in.i, 0); }
static kiln_tensor *along(kiln *k, In in) { return (void)k, kiln_take_along(in.x, kiln_expand(in.i, 1), 1); }
static kiln_tensor *scattered(kiln *k, In in)
{
    return (void)k, kiln_scatter(in.w, in.i, kiln_slice(in.x, 1, 0, 4, 1), 0, KILN_SCATTER_ADD);
}
static kiln_tensor *replaced(kiln *k, In in)
{
    return (void)k, kiln_scatter(kiln_transpose(in.x, KILN_ALL), in.i, kiln_slice(in.x, 1, 0, 4, 1), 0, KILN_SCATTER_SET);
}
static kiln_tensor *sorted(kiln *k, In in) { return (void)k, kiln_sort(in.x, 1, KILN_DESCENDING); }
static kiln_tensor *largest(kiln *k, In in) { return (void)k, kiln_top_k(in.x, 2, 1, NULL); }
static kiln_tensor *largest_of_many(kiln *k, In in)
{
    return (void)k, kiln_top_k(kiln_flatten(kiln_mul(kiln_reshape(in.x, KILN_SHAPE(1, 24)), kiln_reshape(in.w, KILN_SHAPE(24, 1)))),
                        2, 0, NULL);
}
static kiln_tensor *running(kiln *k, In in) { return (void)k, kiln_cumsum(kiln_cumprod(in.x, 0, 0), 1, 0); }
static kiln_tensor *pieces(kiln *k, In in)
{
    return (void)k, kiln_concat(KILN_IN(kiln_slice(in.x, 1, 0, 2, 1), kiln_pad(in.x, KILN_SHAPE(0, 1), KILN_SHAPE(0, 0), 2.0),
                                    kiln_transpose(in.w, KILN_ALL)),
                        1);
}
static kiln_tensor *attention(kiln *k, In in)
{
    kiln_tensor *q = kiln_reshape(in.x, KILN_SHAPE(1, 2, 4, 3)), *s = kiln_reshape(in.w, KILN_SHAPE(1, 2, 4, 3));
    return (void)k, kiln_attention(q, s, kiln_mul(s, 0.5), &(kiln_attention_options){.causal = true});
}
static kiln_tensor *convolved(kiln *k, In in)
{
    kiln_tensor *image = kiln_reshape(in.x, KILN_SHAPE(1, 4, 3, 2)),
                *filter = kiln_reshape(kiln_slice(in.w, 0, 0, 4, 1), KILN_SHAPE(2, 2, 2, 2));
    return (void)k, kiln_max_pool(kiln_conv2d(image, filter, NULL), &(kiln_window){.size = {2, 2}, .stride = {1, 1}});
}
static kiln_tensor *resized(kiln *k, In in)
{
    kiln_tensor *image = kiln_reshape(in.x, KILN_SHAPE(1, 4, 3, 2)), *i;
    kiln_tensor *y = kiln_pool_adaptive(image, KILN_POOL_AVERAGE, KILN_SHAPE(3, 2), 0, false);
    y = kiln_resize(y, KILN_AXES(1, 2), &(kiln_resizing){.scale = {2, 1.5}, .kind = KILN_RESIZE_LINEAR});
    kiln_tensor *top = kiln_pool_indices(y, &i, KILN_INDEX_PLANE, &(kiln_pooling){.size = {2, 2}, .pad = {{1, 1}}, .ceil = true});
    y = kiln_add(y, kiln_unpool(top, i, KILN_INDEX_PLANE, KILN_SHAPE(6, 3), false));
    kiln_tensor *grid = kiln_affine_grid(kiln_reshape(kiln_slice(in.x, 0, 0, 1, 1), KILN_SHAPE(1, 2, 3)), KILN_SHAPE(2, 3), false);
    return (void)k, kiln_grid_sample(y, grid, &(kiln_sampling){.kind = KILN_RESIZE_LINEAR});
}
static kiln_tensor *where(kiln *k, In in)
{
    return (void)k, kiln_where(kiln_gt(in.x, 0), in.x, kiln_mul(kiln_zeros_like(in.x), 3));
}
static kiln_tensor *constants(kiln *k, In in)
{
    kiln_tensor *two = kiln_add(kiln_ones_like(in.v), 1), *c = kiln_sqrt(kiln_scalar(k, KILN_F32, 2));
    return kiln_mul(kiln_mul(in.v, kiln_add(c, 1)), kiln_sum(two, KILN_ALL));
}
static kiln_tensor *single(kiln *k, In in)
{
    return (void)k, kiln_add(kiln_mul(kiln_exp(in.one), in.x), kiln_sqrt(kiln_mean(in.one, KILN_ALL)));
}
static kiln_tensor *less(kiln *k, In in) { return (void)k, kiln_sub(kiln_exp(in.v), kiln_sum(kiln_sub(2.0, in.x), KILN_AXES(1))); }
static kiln_tensor *powers(kiln *k, In in) { return (void)k, kiln_pow(kiln_abs(in.x), 2.5); }
static kiln_tensor *squares(kiln *k, In in) { return (void)k, kiln_mse(in.x, kiln_transpose(in.w, KILN_ALL)); }

static kiln_tensor *subscripts(kiln *k, In in)
{
    (void)k;
    return kiln_add(kiln_index(in.w, KILN_AT(in.i), KILN_NEW, KILN_RANGE(3, 0, -1)), kiln_index(in.x, KILN_AT(in.i), KILN_AT(1), KILN_NEW, KILN_NEW));
}
static kiln_tensor *part_from(kiln *k, In in) { return (void)k, kiln_index(in.x, KILN_FROM(kiln_index(in.i, KILN_AT(3)), 2), KILN_FROM(9, 3)); }
static kiln_tensor *updated(kiln *k, In in)
{
    return (void)k, kiln_index_update(in.x, kiln_neg(in.v), KILN_SCATTER_MUL, KILN_RANGE(0, KILN_END, 2), KILN_RANGE(-1, 1, -1));
}
static kiln_tensor *updated_rows(kiln *k, In in) { return (void)k, kiln_index_update(in.w, in.v, KILN_SCATTER_ADD, KILN_AT(in.i)); }
static kiln_tensor *rolled(kiln *k, In in) { return (void)k, kiln_roll(kiln_roll(in.x, KILN_SHAPE(2), KILN_AXES(1)), KILN_SHAPE(5), KILN_ALL); }
static kiln_tensor *mirrored(kiln *k, In in)
{
    return (void)k, kiln_pad_with(kiln_pad_with(in.x, KILN_SHAPE(0, 9), KILN_SHAPE(1, -1), KILN_PAD_REFLECT), KILN_SHAPE(0, 1), KILN_SHAPE(0, 1), KILN_PAD_EDGE);
}
static kiln_tensor *triangles(kiln *k, In in) { return (void)k, kiln_add(kiln_tril(in.x, 1), kiln_triu(kiln_transpose(in.w, KILN_ALL), 0)); }
static kiln_tensor *diagonals(kiln *k, In in) { return (void)k, kiln_add(kiln_diag(kiln_diagonal(in.x, 1, 0, 1), -1), kiln_trace(in.w, 0, 0, 1)); }
static kiln_tensor *repeated(kiln *k, In in)
{
    kiln_tensor *counts = kiln_i32(k, KILN_SHAPE(4), 2, 0, 1, 1);
    return kiln_tile(kiln_repeat(kiln_repeat(in.x, counts, 0), 2, 1), KILN_SHAPE(2, 1));
}
static kiln_tensor *windows(kiln *k, In in) { return (void)k, kiln_sliding_windows(in.x, KILN_AXES(1, 0), KILN_SHAPE(3, 2), KILN_SHAPE()); }
static kiln_tensor *pairs(kiln *k, In in)
{
    kiln_tensor *i = kiln_stack(KILN_IN(in.i, in.i), 1);
    return (void)k, kiln_mul(kiln_scatter_nd(in.x, i, in.v, KILN_SCATTER_ADD), kiln_expand(kiln_gather_nd(in.x, i, 0), 1));
}
static kiln_tensor *put_along(kiln *k, In in)
{
    return (void)k, kiln_put(kiln_scatter_along(in.x, kiln_expand(in.i, 1), kiln_expand(in.v, 1), 1, KILN_SCATTER_SET), in.i, in.v);
}

static const struct Case {
    const char *name;
    kiln_tensor *(*f)(kiln *k, In in);
} cases[] = {{"affine", affine}, {"softmax", softmax}, {"layernorm", layernorm}, {"norm", norm}, {"variance", variance},
    {"centred", centred}, {"entropy", entropy}, {"one_hot", one_hot}, {"gathered", gathered}, {"along", along},
    {"scattered", scattered}, {"replaced", replaced}, {"sorted", sorted}, {"largest", largest},
    {"largest_of_many", largest_of_many}, {"running", running}, {"pieces", pieces}, {"attention", attention},
    {"convolved", convolved}, {"resized", resized}, {"where", where}, {"constants", constants}, {"single", single}, {"less", less}, {"powers", powers},
    {"squares", squares}, {"subscripts", subscripts}, {"part_from", part_from}, {"updated", updated}, {"updated_rows", updated_rows}, {"rolled", rolled},
    {"mirrored", mirrored}, {"triangles", triangles}, {"diagonals", diagonals}, {"repeated", repeated}, {"windows", windows},
    {"pairs", pairs}, {"put_along", put_along}};
#define CASES (sizeof cases / sizeof *cases)
#define OUT 5

static void body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const struct Case *c = user;
    In x = {in[0], in[1], in[2], in[3], in[4]};
    KILN_TAPE(k, tape);
    for (int i = 0; i < 5; i++)
        if (i != 3) kiln_watch(tape, in[i]);
    out[0] = c->f(k, x);
    kiln_tensor *d[4];
    kiln_gradients(tape, kiln_sum(kiln_mul(out[0], out[0]), KILN_ALL), KILN_IN(in[0], in[1], in[2], in[4]), d);
    for (int i = 0; i < 4; i++) out[1 + i] = d[i];
}

static In inputs(kiln *k, const char *device, const char *one)
{
    float x[24], w[24];
    for (int i = 0; i < 24; i++) x[i] = (float)((i * 7) % 11 - 5) / 4, w[i] = (float)((i * 5) % 13 - 6) / 8;
    kiln_tensor *v = kiln_f32(k, KILN_SHAPE(4), 0.5f, -1, 2, 0.25f), *i = kiln_i64(k, KILN_SHAPE(4), 2, 0, 3, 1),
                *n = kiln_f32(k, KILN_SHAPE(1, 1), 0.75f);
    return (In){kiln_to(kiln_from(k, KILN_F32, KILN_SHAPE(4, 6), x, 24), device),
        kiln_to(kiln_from(k, KILN_F32, KILN_SHAPE(6, 4), w, 24), device), kiln_to(v, device), kiln_to(i, device), kiln_to(n, one)};
}

static void expect(
    kiln *k, const struct Case *c, const char *how, kiln_tensor *const *want, kiln_tensor *const *got, const char *device)
{
    if (kiln_failed(k)) fail_msg("%s, %s: %s", c->name, how, kiln_error(k)->text);
    for (int i = 0; i < OUT; i++) {
        unsigned char a[4096], b[4096];
        const size_t n = kiln_bytes(want[i]);
        if (strcmp(kiln_device_of(got[i]), device) != 0 && kiln_elements(kiln_to(got[i], "cpu")) > 1 &&
            strcmp(kiln_device_of(got[i]), "cpu") != 0)
            fail_msg("%s, %s: result %d is on %s", c->name, how, i, kiln_device_of(got[i]));
        assert_true(n <= sizeof a && kiln_bytes(got[i]) == n);
        assert_true(kiln_read(want[i], a, n) && kiln_read(got[i], b, n));
        if (memcmp(a, b, n) != 0) fail_msg("%s, %s: result %d differs", c->name, how, i);
    }
}

/* Operands on `device`, its single element on `one`; the thread on `on`. */
static void everywhere(
    kiln *k, const struct Case *c, kiln_function *f, kiln_tensor *const *want, const char *device, const char *one, const char *on)
{
    KILN_SCOPE(k);
    KILN_DEVICE(k, on);
    In in = inputs(k, device, one);
    kiln_tensor *x[5] = {in.x, in.w, in.v, in.i, in.one}, *out[OUT];
    char how[96];
    snprintf(how, sizeof how, "operands on %s, the number on %s, thread on %s", device, one, on);
    body(k, x, out, (void *)(uintptr_t)c);
    expect(k, c, how, want, out, device);
    for (int eagerly = 0; eagerly < 2; eagerly++) {
        kiln_eager(k, eagerly);
        strncat(how, eagerly ? ", as a body" : ", traced", sizeof how - strlen(how) - 1);
        kiln_call_all(f, kiln_tensors(x, 5), out, OUT);
        expect(k, c, how, want, out, device);
    }
    kiln_eager(k, false);
}

static void results_are_the_same_everywhere(void **state)
{
    kiln *k = *state;
    for (size_t i = 0; i < CASES; i++) {
        KILN_SCOPE(k);
        kiln_function *f = kiln_function_new(k, body, (void *)(uintptr_t)&cases[i],
            &(kiln_function_options){.name = cases[i].name, .inputs_count = 5, .outputs = OUT, .compile = KILN_NEVER});
        kiln_tensor *want[OUT];
        {
            KILN_DEVICE(k, "cpu");
            In in = inputs(k, "cpu", "cpu");
            body(k, (kiln_tensor *[]){in.x, in.w, in.v, in.i, in.one}, want, (void *)(uintptr_t)&cases[i]);
            assert_ok(k);
        }
        everywhere(k, &cases[i], f, want, A, A, "cpu");
        everywhere(k, &cases[i], f, want, A, "cpu", "cpu");
        everywhere(k, &cases[i], f, want, A, A, A);
        everywhere(k, &cases[i], f, want, A, A, B);
        everywhere(k, &cases[i], f, want, "cpu", "cpu", A);
        kiln_function_free(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {FRONT_TEST(results_are_the_same_everywhere)};
    return cmocka_run_group_tests_name("device_ops", tests, NULL, NULL);
}
