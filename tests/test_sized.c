/* test_sized: sizes that nodes count: what follows them, eagerly, compiled and interpreted, with equal bits; gradients; loops, branches
 * and conditions that count; and what they cannot be used for, as errors. The values themselves are in test_given_sized.c. */
#include "values.h"

#include <kiln/aot.h>
#include <kiln/transform.h>
#include <stdlib.h>

#define S KILN_SHAPE

/* ---- what follows ------------------------------------------------------------------------------------------------------- */
typedef kiln_tensor *Follow(kiln_tensor *c); /* c: f32 [m, 3] */
#define FOLLOW(name, value) \
    static kiln_tensor *name(kiln_tensor *c) { return value; }

FOLLOW(itself, c)
FOLLOW(sum_of_all, kiln_sum(c, KILN_ALL))
FOLLOW(sum_of_rows, kiln_sum(c, KILN_AXES(0)))
FOLLOW(mean_of_rows, kiln_mean(c, KILN_AXES(0)))
FOLLOW(product, kiln_prod(c, KILN_AXES(0)))
FOLLOW(along_rows, kiln_softmax(c, 1))
FOLLOW(squares, kiln_matmul(c, kiln_transpose(c, KILN_ALL)))
FOLLOW(gram, kiln_matmul(kiln_transpose(c, KILN_ALL), c))
FOLLOW(layer, kiln_relu(kiln_add(kiln_matmul(c, kiln_iota(kiln_engine(c), KILN_F32, S(3, 40), 1)), 0.5)))
FOLLOW(running, kiln_cumsum(c, 0, 0))
FOLLOW(products, kiln_cumprod(c, 0, 0))
FOLLOW(products_behind, kiln_cumprod(c, 0, KILN_REVERSE | KILN_EXCLUSIVE))
FOLLOW(recurring, kiln_recurrence(c, kiln_cos(c), 0, 0))
FOLLOW(recurring_back, kiln_recurrence(c, kiln_cos(c), 0, KILN_REVERSE))
FOLLOW(running_max, kiln_cummax(c, 0, 0, NULL))
FOLLOW(running_log, kiln_logcumsumexp(c, 0, 0))
FOLLOW(changes, kiln_diff(c, 0, 1, kiln_zeros(kiln_engine(c), KILN_F32, S(1, 3)), NULL))
FOLLOW(rolled, kiln_roll(c, S(2), KILN_AXES(0)))
FOLLOW(each_twice, kiln_repeat(c, 2, 0))
FOLLOW(tiled, kiln_tile(c, S(3, 1)))
FOLLOW(upper, kiln_triu(c, 0))
FOLLOW(outer_product, kiln_einsum("ia,jb->ij", KILN_IN(c, c)))
FOLLOW(ordered, kiln_sort(c, 0, 0))
FOLLOW(backwards, kiln_flip(c, KILN_AXES(0)))
FOLLOW(padded, kiln_pad(c, S(1, 0), S(2, 1), 7))
FOLLOW(twice, kiln_concat(KILN_IN(c, kiln_neg(c)), 0))
FOLLOW(flat, kiln_reshape(c, S(-1)))
FOLLOW(numbered, kiln_add(c, kiln_expand(kiln_iota_along(c, 0, KILN_F32), 1)))
FOLLOW(again, kiln_masked(c, kiln_greater(c, 0.25)))
FOLLOW(rows_again, kiln_compress(c, kiln_greater(kiln_sum(c, KILN_AXES(1)), 0), 0))
FOLLOW(places, kiln_nonzero(kiln_greater(c, 0)))
FOLLOW(different, kiln_unique_values(kiln_round(c)))
FOLLOW(met, kiln_unique(kiln_round(c), KILN_FLAT, KILN_FIRST_MET, NULL, NULL, NULL))
FOLLOW(different_rows, kiln_unique(kiln_floor(kiln_mul(c, 0.25)), 0, 0, NULL, NULL, NULL))
FOLLOW(different_columns, kiln_unique(kiln_sign(c), 1, KILN_FIRST_MET, NULL, NULL, NULL))
FOLLOW(large, kiln_sum(kiln_exp(kiln_broadcast(kiln_expand(c, 0), S(700, -1, -1))), KILN_AXES(0, 2)))
FOLLOW(turns, kiln_transpose(kiln_broadcast(kiln_expand(c, 2), S(-1, -1, 33)), KILN_AXES(2, 0, 1)))
FOLLOW(down_columns, kiln_softmax(c, 0))
FOLLOW(differences, kiln_diff(c, 0, 1, NULL, NULL))
FOLLOW(cubic, kiln_vector_norm(c, 3, KILN_AXES(0)))
FOLLOW(causal, kiln_attention(c, c, c, &(kiln_attention_options){.causal = true}))
FOLLOW(below, kiln_diagonal(c, -1, 0, 1))
FOLLOW(inside, kiln_slice(c, 0, 2, -1, 1))
FOLLOW(among, kiln_isin(kiln_ones(kiln_engine(c), KILN_F32, S(2, 2)), kiln_round(c)))
/* of a row at least */
FOLLOW(first, kiln_index(c, KILN_AT(0)))
FOLLOW(last, kiln_index(c, KILN_AT(-1)))
FOLLOW(middle, kiln_median(c, KILN_AXES(0)))
FOLLOW(best, kiln_top_k(c, 1, 0, NULL))
FOLLOW(mirrored, kiln_pad_with(c, S(2, 0), S(1, 0), KILN_PAD_SYMMETRIC))
FOLLOW(convolved, kiln_convolve(kiln_expand(c, 0), kiln_iota(kiln_engine(c), KILN_F32, S(2, 3, 2), 2), &(kiln_convolution){.pad = {{0, 1}}}))
FOLLOW(deviation, kiln_var(c, KILN_AXES(0), 0))
FOLLOW(log_of_sum, kiln_logsumexp(c, 0))
FOLLOW(largest, kiln_reduce_max(c, KILN_AXES(0)))
FOLLOW(where_largest, kiln_argmax(c, 0))
FOLLOW(first_row, kiln_gather(c, kiln_i64(kiln_engine(c), S(1), 0), 0))

static const struct {
    const char *name;
    Follow *follow;
    bool some, number; /* it needs a row; no gradient */
} follows[] = {
#define ANY(f) {#f, f, false, false}
#define SOME(f) {#f, f, true, false}
    ANY(itself), ANY(sum_of_all), ANY(sum_of_rows), SOME(mean_of_rows), ANY(product), ANY(along_rows), ANY(squares), ANY(gram), ANY(layer), ANY(running),
    ANY(products), ANY(products_behind), ANY(recurring), ANY(recurring_back), ANY(running_max), ANY(running_log), ANY(changes), ANY(rolled),
    ANY(each_twice), ANY(tiled), ANY(upper), ANY(outer_product), SOME(deviation), SOME(log_of_sum),
    ANY(ordered), ANY(backwards), ANY(padded), ANY(twice), ANY(flat), ANY(numbered), ANY(again), ANY(rows_again), {"places", places, false, true},
    ANY(different), ANY(met), ANY(different_rows), ANY(different_columns), ANY(large), ANY(turns), SOME(largest), {"where_largest", where_largest, true, true}, ANY(down_columns), SOME(first_row),
    ANY(differences), ANY(cubic), ANY(inside), ANY(causal), ANY(below), {"among", among, false, true}, SOME(first), SOME(last), SOME(middle), SOME(best), SOME(mirrored), SOME(convolved)};
#define FOLLOWS (int)(sizeof follows / sizeof *follows)

static kiln_tensor *positive_rows(kiln_tensor *x) { return kiln_compress(x, kiln_greater(kiln_squeeze(kiln_slice(x, 1, 0, 1, 1), 1), 0), 0); }

static void follow_body(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)e;
    out[0] = follows[*(int *)user].follow(positive_rows(in[0]));
}

static void loss_body(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_tensor *y;
    follow_body(e, in, &y, user);
    y = kiln_reshape(kiln_cast(y, KILN_F32), S(-1));
    out[0] = kiln_sum(kiln_mul(kiln_square(y), kiln_sin(kiln_iota_along(y, 0, KILN_F32))), KILN_ALL);
}

/* Of n rows, those with a bit of `which`. */
static kiln_tensor *rows_of(int n, unsigned which)
{
    float v[64 * 3];
    for (int i = 0; i < n; i++) {
        v[3 * i] = which >> i % 32 & 1 ? 0.5f + (float)i : -1.0f - (float)i;
        v[3 * i + 1] = (float)(i * 7 % 5) - 2.25f;
        v[3 * i + 2] = 0.125f * (float)i - 1;
    }
    return kiln_from(k, KILN_F32, S(n, 3), v, 3 * n);
}

static void same(const char *what, kiln_tensor *a, kiln_tensor *b)
{
    if (kiln_failed(k)) fail_msg("%s: %s", what, kiln_error(k)->text);
    if (kiln_rank(a) != kiln_rank(b) || kiln_dtype_of(a) != kiln_dtype_of(b)) fail_msg("%s: types", what);
    for (int i = 0; i < kiln_rank(a); i++)
        if (kiln_dim(a, i) != kiln_dim(b, i)) fail_msg("%s: axis %d is %lld, not %lld", what, i, (long long)kiln_dim(a, i), (long long)kiln_dim(b, i));
    const size_t n = kiln_bytes(a);
    char *x = calloc(2, n + 1), *y = x + n + 1;
    assert_true(kiln_read(a, x, n) && kiln_read(b, y, n));
    if (memcmp(x, y, n) != 0) {
        kiln_print(stderr, a);
        kiln_print(stderr, b);
        fail_msg("%s: elements", what);
    }
    free(x);
}

static kiln_function *function_of(kiln_body *body, void *user, kiln_compiling how, bool open)
{
    kiln_function_options o = {.name = "sized", .compile = how, .inputs_count = 1};
    if (open) o.inputs[0] = (kiln_spec)KILN_SPEC(KILN_F32, KILN_DIM("N", 1, 40), 3);
    return kiln_function_new(k, body, user, &o);
}

static const unsigned masks[] = {0x5a5a1234, 1, 0, 0x80000000, 0xffffffff};
#define MASKS (int)(sizeof masks / sizeof *masks)

static void what_follows_sees_the_true_size(void **state)
{
    (void)state;
    for (int i = 0; i < FOLLOWS; i++) {
        KILN_SCOPE(k);
        kiln_function *f[3] = {function_of(follow_body, &i, KILN_WAIT, false), function_of(follow_body, &i, KILN_NEVER, false), function_of(follow_body, &i, KILN_WAIT, true)};
        for (int m = 0; m < MASKS; m++) {
            KILN_SCOPE(k);
            kiln_tensor *x = rows_of(32, masks[m]), *want = NULL;
            if (follows[i].some && masks[m] == 0) continue;
            want = follows[i].follow(positive_rows(x));
            for (int j = 0; j < 3; j++) same(follows[i].name, kiln_call(f[j], x), want);
        }
        kiln_tensor *x = rows_of(17, 0x1357), *few = rows_of(1, 1);
        same(follows[i].name, kiln_call(f[2], x), follows[i].follow(positive_rows(x)));
        same(follows[i].name, kiln_call(f[2], few), follows[i].follow(positive_rows(few)));
        if (!late_keeps() && kiln_check(stderr, f[0], KILN_IN(rows_of(32, 0x0f0f))) == KILN_DISAGREE) fail_msg("%s: kiln_check", follows[i].name);
        for (int j = 0; j < 3; j++) kiln_function_free(f[j]);
    }
}

static void gradients_have_zeros_elsewhere(void **state)
{
    (void)state;
    for (int i = 0; i < FOLLOWS; i++) {
        KILN_SCOPE(k);
        if (follows[i].number) continue;
        kiln_function *f = function_of(loss_body, &i, KILN_WAIT, false), *open = function_of(loss_body, &i, KILN_WAIT, true),
                      *g = function_of(follow_body, &i, KILN_WAIT, false);
        for (int m = 0; m < MASKS; m += 2) {
            KILN_SCOPE(k);
            if (follows[i].some && masks[m] == 0) continue;
            kiln_tensor *x = rows_of(32, masks[m]), *eager, *compiled;
            {
                KILN_TAPE(k, tape);
                kiln_tensor *w = kiln_watch(tape, x), *y = NULL;
                loss_body(k, &w, &y, &i);
                eager = kiln_gradient(tape, y, w);
            }
            compiled = kiln_call(kiln_grad(f), x);
            same(follows[i].name, compiled, eager);
            same(follows[i].name, kiln_call(kiln_grad(open), x), eager);
            KILN_TAPE(k, around); /* a call whose result has a size that it counts */
            kiln_tensor *w = kiln_watch(around, x);
            kiln_tensor *y = kiln_reshape(kiln_cast(kiln_call(g, w), KILN_F32), S(-1));
            y = kiln_sum(kiln_mul(kiln_square(y), kiln_sin(kiln_iota_along(y, 0, KILN_F32))), KILN_ALL);
            same(follows[i].name, kiln_gradient(around, y, w), eager);
        }
        kiln_function_free(g);
        kiln_function_free(open);
        kiln_function_free(f);
    }
}

/* ---- loops and branches --------------------------------------------------------------------------------------------------- */
/* Each turn counts anew; a branch counts in one case; a condition counts. */
static void winding(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    kiln_variable *x = kiln_local(e, in[0]), *sum = kiln_local(e, KILN_F32, 0.0);
    KILN_FOR(e, i, 4)
    {
        kiln_tensor *c = kiln_masked(x, kiln_greater(x, kiln_cast(i, KILN_F32)));
        kiln_assign_add(sum, kiln_sum(kiln_mul(kiln_square(c), kiln_iota_along(c, 0, KILN_F32)), KILN_ALL));
        kiln_assign(x, kiln_mul(x, 1.25));
    }
    KILN_IF(kiln_greater(sum, 100)) kiln_assign_add(sum, kiln_sum(kiln_square(kiln_masked(x, kiln_less(x, 2))), KILN_ALL));
    KILN_WHILE_AT_MOST(e, 9, kiln_greater(kiln_sum(kiln_cast(kiln_unique_values(kiln_floor(x)), KILN_F32), KILN_ALL), 3.5))
    kiln_assign(x, kiln_mul(x, 0.5));
    out[0] = kiln_add(sum, kiln_sum(x, KILN_ALL));
}

static void regions_count_inside(void **state)
{
    (void)state;
    kiln_function *f = kiln_function_new(k, winding, NULL, &(kiln_function_options){.name = "winding", .inputs_count = 1, .compile = KILN_WAIT});
    kiln_function *slow = kiln_function_new(k, winding, NULL, &(kiln_function_options){.name = "winding", .inputs_count = 1, .compile = KILN_NEVER});
    for (int i = 0; i < 3; i++) {
        KILN_SCOPE(k);
        kiln_tensor *x = kiln_sub(kiln_mul(kiln_iota(k, KILN_F32, S(9), 0), 0.75), 2.0 * i), *y = NULL;
        winding(k, &x, &y, NULL);
        same("winding", kiln_call(f, x), y);
        same("winding, interpreted", kiln_call(slow, x), y);
        KILN_TAPE(k, tape);
        kiln_tensor *w = kiln_watch(tape, x);
        winding(k, &w, &y, NULL);
        kiln_tensor *eager = kiln_gradient(tape, y, w), *compiled = kiln_call(kiln_grad(f), x);
        double a[9], b[9];
        assert_true(kiln_read_doubles(kiln_cast(eager, KILN_F64), a, 9) && kiln_read_doubles(kiln_cast(compiled, KILN_F64), b, 9));
        for (int j = 0; j < 9; j++)
            if (fabs(a[j] - b[j]) > 1e-4 * fabs(a[j])) fail_msg("d/dx[%d] is %g, eagerly %g", j, b[j], a[j]);
    }
    kiln_function_free(slow);
    kiln_function_free(f);
}

/* ---- what is an error ------------------------------------------------------------------------------------------------------ */
static void two_masks(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)e, (void)user;
    out[0] = kiln_add(kiln_masked(in[0], kiln_greater(in[0], 0)), kiln_masked(in[0], kiln_less(in[0], 0)));
}

static void one_mask(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)e, (void)user;
    out[0] = kiln_add(kiln_masked(in[0], kiln_greater(in[0], 0)), kiln_masked(kiln_mul(in[0], 2), kiln_greater(in[0], 0)));
}

static void largest_of_none(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)e, (void)user;
    out[0] = kiln_reduce_max(kiln_masked(in[0], kiln_greater(in[0], 0)), KILN_ALL);
}

static void given_out(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    kiln_variable *x = kiln_local(e, in[0]);
    KILN_FOR(e, i, 3) kiln_assign(x, kiln_masked(x, kiln_greater(x, kiln_cast(i, KILN_F32))));
    out[0] = kiln_value(x);
}

static void stacked_out(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)e, (void)user;
    out[0] = kiln_masked(in[1], kiln_greater(in[1], 0));
}

static void stacks(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    kiln_scan(e, stacked_out, (&(kiln_scan_options){.xs_in = KILN_IN(in[0]), .ys_count = 1}), NULL, out, NULL);
}

static void fails(kiln_body *body, kiln_tensor *x, kiln_code code, const char *part)
{
    kiln_function *f = kiln_function_new(k, body, NULL, &(kiln_function_options){.name = "fails", .compile = KILN_WAIT});
    kiln_call(f, x);
    if (kiln_error(k)->code != code || !strstr(kiln_error(k)->text, part)) fail_msg("%d: %s", (int)kiln_error(k)->code, kiln_error(k)->text);
    kiln_clear(k);
    kiln_function_free(f);
}

static void what_cannot_be_says_so(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_f32(k, S(4), -1, 2, -3, 4), *none = kiln_f32(k, S(2), -1, -2), *out[1];
    fails(two_masks, x, KILN_ESHAPE, "add: ");
    fails(largest_of_none, none, KILN_EVALUE, "there is no largest");
    fails(given_out, x, KILN_ESHAPE, "assign: variable local is f32[4]");
    fails(stacks, kiln_reshape(x, S(2, 2)), KILN_EUNSUPPORTED, "counted inside");
    kiln_function *f = kiln_function_new(k, one_mask, NULL, &(kiln_function_options){.name = "one", .inputs_count = 1});
    EXACTLY(kiln_call(f, x), KILN_F32, S(2), 6, 12);
    kiln_call_all(kiln_vmap(f, NULL), KILN_IN(kiln_reshape(x, S(2, 2))), out, 1);
    assert_int_equal(kiln_error(k)->code, KILN_EUNSUPPORTED);
    assert_non_null(strstr(kiln_error(k)->text, "kiln_vmap: output 0, f32[count"));
    assert_non_null(strstr(kiln_error(k)->text, "would have another size for each example, counted at"));
    assert_non_null(strstr(kiln_error(k)->text, "test_sized.c"));
    kiln_clear(k);
    kiln_function_free(f);
    FAILS(kiln_nonzero(kiln_f32(k, S(), 1)), KILN_ESHAPE, "nonzero: a scalar has no axes along which its place could be told: f32[]");
    FAILS(kiln_compress(x, kiln_f32(k, S(4), 1, 0, 0, 1), 0), KILN_EDTYPE, "compress: the mask must be bool, not f32[4]");
    FAILS(kiln_compress(x, kiln_greater(kiln_iota(k, KILN_F32, S(5), 0), 2), 0), KILN_ESHAPE, "compress: the mask is longer than the axis, or may be: bool[5] of f32[4]");
    FAILS(kiln_masked(x, kiln_greater(none, 0)), KILN_ESHAPE, "masked: the mask does not have the shape of the first axes: bool[2] of f32[4]");
    FAILS(kiln_nonzero_within(x, -2), KILN_EVALUE, "nonzero_within: most is -2 (allowed: 0 to 2^48 - 1)");
}

/* ---- masks as subscripts ---------------------------------------------------------------------------------------------------- */
static void subscripts(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)e, (void)user;
    kiln_tensor *x = in[0], *rows = kiln_greater(kiln_sum(x, KILN_AXES(1)), 10);
    out[0] = kiln_index(x, KILN_MASK(kiln_greater(x, 6)));
    out[1] = kiln_index(x, KILN_MASK(rows), KILN_RANGE(1, KILN_END));
    out[2] = kiln_index(x, KILN_MASK(rows), KILN_AT(2));
    out[3] = kiln_index_update(x, -1, KILN_SCATTER_SET, KILN_MASK(kiln_greater(x, 6)));
    out[4] = kiln_index_update(x, 10, KILN_SCATTER_ADD, KILN_MASK(rows), KILN_AT(0));
}

static void masks_are_subscripts(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_reshape(kiln_iota(k, KILN_F32, S(12), 0), S(3, 4)), *out[5], *compiled[5];
    subscripts(k, &x, out, NULL);
    EXACTLY(out[0], KILN_F32, S(5), 7, 8, 9, 10, 11);
    EXACTLY(out[1], KILN_F32, S(2, 3), 5, 6, 7, 9, 10, 11);
    EXACTLY(out[2], KILN_F32, S(2), 6, 10);
    EXACTLY(out[3], KILN_F32, S(3, 4), 0, 1, 2, 3, 4, 5, 6, -1, -1, -1, -1, -1);
    EXACTLY(out[4], KILN_F32, S(3, 4), 0, 1, 2, 3, 14, 5, 6, 7, 18, 9, 10, 11);
    kiln_function *f = kiln_function_new(k, subscripts, NULL, &(kiln_function_options){.name = "subscripts", .outputs = 5, .compile = KILN_WAIT});
    assert_true(kiln_call_all(f, KILN_IN(x), compiled, 5));
    for (int i = 0; i < 5; i++) same("subscripts", compiled[i], out[i]);
    kiln_function_free(f);
    FAILS(kiln_index(x, KILN_MASK(x)), KILN_EDTYPE, "index: KILN_MASK takes bools of at least one axis, not f32[3,4]");
    FAILS(kiln_index(x, KILN_ALL_OF, KILN_MASK(kiln_greater(x, 1))), KILN_ESHAPE, "index: 3 subscripts for axes, and KILN_REST 0 times (allowed: once): f32[3,4]");
    FAILS(kiln_index(x, KILN_MASK(kiln_greater(kiln_slice(x, 1, 0, 2, 1), 1))), KILN_ESHAPE, "index: the mask does not have the sizes of the axes from 0 on: bool[3,2] of f32[3,4]");
}

/* ---- as text ------------------------------------------------------------------------------------------------------------------ */
static void text_names_counted_sizes(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    const char *text = "module {\n  dims N in [1,8], M in node N\n}\n\n"
                       "graph @main(%1: f32[N], %2: i64[]) -> (%5, %4) {\n"
                       "  %3 = set_size(%2) {M} : i64[]\n"
                       "  %4 = constant() {f32, 2.0, [M]} : f32[M]\n"
                       "  %5 = slice(%1) {[0, M, 1]} : f32[M]\n}\n";
    kiln_tensor *x = kiln_iota(k, KILN_F32, S(5), 0), *out[2];
    for (int64_t n = -1; n <= 9; n += 2) {
        const int have = n < 0 ? 0 : n > 5 ? 5 : (int)n;
        kiln_tensor *count = kiln_i64(k, S(), n);
        assert_int_equal(kiln_run_text(k, text, strlen(text), KILN_IN(x, count), out, 2), 2);
        has_shape(out[0], KILN_F32, S(have));
        has_shape(out[1], KILN_F32, S(have));
        same("slice", out[0], kiln_slice(x, 0, 0, have, 1));
    }
    const char *early = "module {\n  dims M in node 8\n}\n\ngraph @main(%1: i64[]) -> (%2) {\n"
                        "  %2 = constant() {f32, 2.0, [M]} : f32[M]\n  %3 = set_size(%1) {M} : i64[]\n}\n";
    assert_int_equal(kiln_run_text(k, early, strlen(early), KILN_IN(kiln_i64(k, S(), 1)), out, 1), -1);
    assert_non_null(strstr(kiln_error(k)->text, "names a size that no node before counts"));
    kiln_clear(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {ENGINE_TEST(what_follows_sees_the_true_size), ENGINE_TEST(gradients_have_zeros_elsewhere),
        ENGINE_TEST(regions_count_inside), ENGINE_TEST(what_cannot_be_says_so), ENGINE_TEST(masks_are_subscripts), ENGINE_TEST(text_names_counted_sizes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
