/* test_onnx_save: traced functions as files of ONNX: read again they compute the same, of all kinds of operators and with open sizes; what
 * ONNX does not have is named, all of it, and no file is left. */
#include "onnx_round.h"

#include <kiln/linalg.h>
#include <kiln/nn.h>

static kiln_tensor *w, *filters, *rows;
static kiln_variable *v;

BODY(arithmetic, kiln_div(kiln_sub(kiln_mul(X, 3), kiln_add(X, 1)), kiln_sqrt(kiln_add(kiln_square(X), 2))))
BODY(functions, kiln_add(kiln_exp(X), kiln_add(kiln_log1p(kiln_abs(X)), kiln_add(kiln_sin(X), kiln_add(kiln_erf(X), kiln_exp2(X))))))
BODY(activations, kiln_add(kiln_gelu(X), kiln_add(kiln_silu(X), kiln_add(kiln_relu(X), kiln_add(kiln_sigmoid(X), kiln_softplus(X))))))
BODY(choices, kiln_where(kiln_greater(X, 0), kiln_max(X, 0.5), kiln_min(kiln_floor(X), -1)))
BODY(conditions, kiln_cast(kiln_or(kiln_not(kiln_greater(X, 1)), kiln_not_equal(X, 2)), KILN_F32))
BODY(integers, kiln_add(kiln_mod(kiln_cast(kiln_mul(X, 10), KILN_I32), 7), kiln_floor_div(kiln_cast(kiln_mul(X, 10), KILN_I32), 4)))
BODY(bytes, kiln_add(kiln_cast(kiln_cast(kiln_mul(X, 300), KILN_U8), KILN_F32), kiln_cast(kiln_cast(kiln_sqrt(X), KILN_I32), KILN_F32)))
BODY(longs, kiln_add(kiln_cast(kiln_cast(kiln_mul(X, 1e19), KILN_I64), KILN_F32), kiln_cast(kiln_cast(kiln_mul(X, 1e19), KILN_U64), KILN_F32)))
BODY(eighths, kiln_cast(kiln_isnan(kiln_cast(kiln_cast(kiln_mul(X, 300), KILN_F8_E4M3), KILN_F32)), KILN_F32))
BODY(saturated, kiln_cast(kiln_cast_saturated(kiln_mul(X, 300), KILN_F8_E4M3), KILN_F32))
BODY(softmax, kiln_softmax(X, -1))
BODY(layernorm, kiln_layernorm(X, rows, rows, 1e-5))
BODY(reductions, kiln_concat(KILN_IN(kiln_sum(X, KILN_AXES(0)), kiln_reduce_max(X, KILN_AXES(0)), kiln_prod(X, KILN_AXES(0)), kiln_cast(kiln_argmax(X, 0), KILN_F32)), 0))
BODY(moves, kiln_concat(KILN_IN(kiln_pad(kiln_flip(kiln_transpose(X, KILN_ALL), KILN_AXES(1)), S(1, 0), S(0, 2), 0.5), kiln_zeros(e, KILN_F32, S(1, 8))), 0))
BODY(slices, kiln_slice(X, 1, 1, 6, 2))
BODY(gathered, kiln_gather(X, kiln_i64(e, S(2, 2), 1, 0, 3, 3), 1))
BODY(scattered, kiln_scatter(X, kiln_i64(e, S(2), 4, 1), kiln_slice(X, 1, 0, 2, 1), 1, KILN_SCATTER_ADD))
BODY(ordered, kiln_add(kiln_sort(X, 1, KILN_DESCENDING), kiln_cast(kiln_argsort(X, 0, 0), KILN_F32)))
BODY(running, kiln_cumsum(X, 1, KILN_REVERSE | KILN_EXCLUSIVE))
BODY(product, kiln_add(kiln_matmul(X, w), v))
BODY(spread, kiln_add(kiln_broadcast(kiln_sum(X, KILN_AXES(1)), S(6, -1)), kiln_expand(kiln_iota(e, KILN_F32, S(6), 0), 1)))

static const struct {
    const char *name;
    kiln_body *body;
} rows_of[] = {{"arithmetic", arithmetic}, {"functions", functions}, {"activations", activations}, {"choices", choices}, {"conditions", conditions}, {"integers", integers}, {"bytes", bytes}, {"longs", longs}, {"eighths", eighths}, {"saturated", saturated},
    {"softmax", softmax}, {"layernorm", layernorm}, {"reductions", reductions}, {"moves", moves}, {"slices", slices}, {"gathered", gathered}, {"scattered", scattered},
    {"ordered", ordered}, {"running", running}, {"product", product}, {"spread", spread}};

enum { ONCE = 0 };

static void goes_round(const char *name, int call, kiln_function *f, kiln_operands in)
{
    if (call == ONCE) written(name, f);
    read_again(name, call, f, in, 1, 2e-6);
}

static void operators_go_round(void **state)
{
    open_folder(*state);
    KILN_SCOPE(k);
    w = drawn(48, S(8, 6)), rows = drawn(8, S(8));
    v = kiln_variable_new(k, "bias", drawn(6, S(6)));
    for (size_t i = 0; i < sizeof rows_of / sizeof *rows_of; i++) {
        KILN_SCOPE(k);
        kiln_tensor *x = drawn(48, S(6, 8));
        kiln_function *f = kiln_function_new(k, rows_of[i].body, NULL, &(kiln_function_options){.name = rows_of[i].name, .inputs = {KILN_SPEC(KILN_F32, 6, 8)}});
        goes_round(rows_of[i].name, ONCE, f, KILN_IN(x));
        kiln_function_free(f);
    }
    kiln_variable_free(v);
}

/* ONNX leaves open what Cast gives of floats beyond all integers, and saturates those of 8 bits. */
static void casts_say_what_they_do(void **state)
{
    open_folder(*state);
    static const struct {
        const char *name;
        kiln_body *body;
        const char *word;
    } all[] = {{"bytes", bytes, "Clip"}, {"longs", longs, "GreaterOrEqual"}, {"eighths", eighths, "saturate"}};
    for (int i = 0; i < 3; i++) {
        kiln_function *f = kiln_function_new(k, all[i].body, NULL, &(kiln_function_options){.name = all[i].name, .inputs = {KILN_SPEC(KILN_F32, 6, 8)}});
        assert_true(kiln_onnx_save(f, path_of(all[i].name)));
        assert_true(model_has(all[i].name, all[i].word));
        kiln_function_free(f);
    }
}

BODY(sines, kiln_sin(X))
BODY(sums, kiln_add(X, X))
BODY(turned, kiln_transpose(X, KILN_ALL))
BODY(biggest_first, kiln_sort(X, 1, KILN_DESCENDING))
BODY(of_wider, kiln_cast(kiln_sin(kiln_cast(X, KILN_F32)), KILN_BF16))

/* Readers of opset 20 get it of whatever it has. */
static void opset_is_the_lowest(void **state)
{
    open_folder(*state);
    static const struct {
        const char *name;
        kiln_body *body;
        kiln_dtype dtype;
        uint8_t format, opset;
    } all[] = {{"sines", sines, KILN_F32, 9, 20}, {"bf16_sines", sines, KILN_BF16, 10, 22}, {"bf16_sums", sums, KILN_BF16, 9, 20},
        {"bf16_of_wider", of_wider, KILN_BF16, 9, 20}, {"f8_turned", turned, KILN_F8_E4M3, 10, 21}, {"bf16_turned", turned, KILN_BF16, 9, 20},
        {"bf16_sorted", biggest_first, KILN_BF16, 12, 24}, {"f32_sorted", biggest_first, KILN_F32, 9, 20}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        /* A model begins with the format; its opset is field 8: of no domain, and the version. */
        const uint8_t head[2] = {0x08, all[i].format}, set[6] = {0x42, 4, 0x0a, 0, 0x10, all[i].opset};
        uint8_t at[1 << 12];
        bool has = false;
        kiln_function *f = kiln_function_new(k, all[i].body, NULL, &(kiln_function_options){.name = all[i].name, .inputs = {KILN_SPEC(all[i].dtype, 6, 8)}});
        if (!kiln_onnx_save(f, path_of(all[i].name))) fail_msg("%s: %s", all[i].name, kiln_error(k)->text);
        FILE *file = fopen(path_of(all[i].name), "rb");
        assert_non_null(file);
        const size_t n = fread(at, 1, sizeof at, file);
        fclose(file);
        for (size_t j = 0; j + sizeof set <= n; j++) has |= !memcmp(at + j, set, sizeof set);
        if (!has || memcmp(at, head, 2)) fail_msg("%s: format %d, and not of opset %d", all[i].name, at[1], all[i].opset);
        kiln_function_free(f);
    }
}

BODY(open_sizes, kiln_softmax(kiln_reshape(kiln_concat(KILN_IN(X, kiln_mul(X, 2)), 0), S(-1, 4)), 0))
BODY(counted_up, kiln_add(X, kiln_expand(kiln_iota_along(X, 0, KILN_F32), 1)))

static void sizes_stay_open(void **state)
{
    open_folder(*state);
    KILN_SCOPE(k);
    kiln_body *const body[] = {open_sizes, counted_up};
    for (int i = 0; i < 2; i++) {
        const char *name = i ? "counted_up" : "open";
        kiln_function *f = kiln_function_new(k, body[i], NULL, &(kiln_function_options){.name = name, .inputs = {KILN_SPEC(KILN_F32, KILN_DIM("N", 1, 64), 8)}});
        for (int call = 0; call < 4; call++) goes_round(name, call, f, KILN_IN(filled(S(1 + 9 * call, 8))));
        kiln_function_free(f);
    }
}

BODY(conv, kiln_convolve(X, filters, &(kiln_convolution){.channels_first = true, .stride = {2, 1}, .pad = {{1, 1}, {0, 2}}, .dilation = {1, 2}, .groups = 2}))
BODY(pooled, kiln_max_pool(X, &(kiln_window){.size = {3, 2}, .stride = {2, 2}}))
BODY(attended, kiln_attention(X, X, X, &(kiln_attention_options){.causal = true}))

static void images_and_attention(void **state)
{
    open_folder(*state);
    KILN_SCOPE(k);
    filters = drawn(3 * 3 * 2 * 6, S(3, 3, 2, 6));
    kiln_function *f = kiln_function_new(k, conv, NULL, &(kiln_function_options){.name = "conv", .inputs = {KILN_SPEC(KILN_F32, 2, 4, 9, 11)}});
    goes_round("conv", ONCE, f, KILN_IN(drawn(2 * 4 * 99, S(2, 4, 9, 11))));
    kiln_function_free(f);
    f = kiln_function_new(k, pooled, NULL, &(kiln_function_options){.name = "pooled", .inputs = {KILN_SPEC(KILN_F32, 2, 9, 8, 3)}});
    goes_round("pooled", ONCE, f, KILN_IN(drawn(2 * 72 * 3, S(2, 9, 8, 3))));
    kiln_function_free(f);
    f = kiln_function_new(k, attended, NULL, &(kiln_function_options){.name = "attended", .inputs = {KILN_SPEC(KILN_F32, 2, 3, 70, 8)}});
    goes_round("attended", ONCE, f, KILN_IN(drawn(2 * 3 * 70 * 8, S(2, 3, 70, 8))));
    kiln_function_free(f);
}

static void factors(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)e, (void)user;
    out[0] = kiln_add(kiln_eigvalsh(in[0], 0), kiln_svdvals(in[0]));
}

static void assigns(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)e;
    kiln_assign((kiln_variable *)user, in[0]);
    out[0] = in[0];
}

BODY(raised, kiln_pow(X, X))

static void what_cannot_be_is_named(void **state)
{
    open_folder(*state);
    KILN_SCOPE(k);
    kiln_function *f = kiln_function_new(k, factors, NULL, &(kiln_function_options){.name = "factors", .inputs = {KILN_SPEC(KILN_F32, 3, 3)}});
    assert_false(kiln_onnx_save(f, path_of("factors")));
    assert_non_null(strstr(kiln_error(k)->text, "eigvalsh ("));
    assert_error(k, KILN_EUNSUPPORTED, "svdvals (");
    assert_int_equal(access(path_of("factors"), F_OK), -1);
    kiln_function_free(f);
    f = kiln_function_new(k, raised, NULL, &(kiln_function_options){.name = "raised", .inputs = {KILN_SPEC(KILN_U8, 3)}});
    assert_false(kiln_onnx_save(f, path_of("raised")));
    assert_error(k, KILN_EUNSUPPORTED, "pow (of integers");
    kiln_function_free(f);
    kiln_variable *to = kiln_variable_new(k, "memory", kiln_zeros(k, KILN_F32, S(3)));
    f = kiln_function_new(k, assigns, to, &(kiln_function_options){.name = "assigns", .inputs = {KILN_SPEC(KILN_F32, 3)}});
    assert_false(kiln_onnx_save(f, path_of("assigns")));
    assert_error(k, KILN_EUNSUPPORTED, "assigns variable memory");
    kiln_function_free(f);
    f = kiln_function_new(k, arithmetic, NULL, &(kiln_function_options){.name = "undeclared", .inputs_count = 1});
    assert_false(kiln_onnx_save(f, path_of("undeclared")));
    assert_error(k, KILN_ESTATE, "onnx: undeclared declares no inputs and was never called");
    kiln_call(f, drawn(4, S(4)));
    assert_true(kiln_onnx_save(f, path_of("undeclared")));
    assert_false(kiln_onnx_save(f, "/nowhere/at/all.onnx"));
    assert_error(k, KILN_EIO, "/nowhere/at/all.onnx");
    kiln_function_free(f);
    kiln_variable_free(to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {FRONT_TEST(operators_go_round), FRONT_TEST(casts_say_what_they_do), FRONT_TEST(opset_is_the_lowest), FRONT_TEST(sizes_stay_open), FRONT_TEST(images_and_attention), FRONT_TEST(what_cannot_be_is_named)};
    return cmocka_run_group_tests_name("onnx_save", tests, NULL, close_folder);
}
