/* kiln_profile: bytes and flops of known graphs exactly, which operations became a step and why others did not, how often
 * steps run in loops, products with what runs on their rows told as one, times that add up, variables that stay, wrong uses, and code
 * that without the wish is what it was. */
#define _GNU_SOURCE
#include "front.h"
#include "profiled.h"

#include "codegen/cost.h"
#include "codegen/host_marks.h"
#pragma push_macro("fail")
#undef fail
#include "frontend/engine/engine.h"
#pragma pop_macro("fail")

#include <math.h>

/* ---- asking for a report -------------------------------------------------------------------------------------------- */

static void profile(kiln_function *f, kiln_operands in, bool json)
{
    FILE *to = tmpfile();
    assert_true(kiln_profile(to, f, in, &(kiln_profile_options){.seconds = 1e-4, .json = json}));
    rewind(to);
    report[fread(report, 1, sizeof report - 1, to)] = 0;
    fclose(to);
}

static void assert_cost(const char *step, double read, double written, double flops)
{
    const char *at = step_of(step);
    if (number_at(at, "bytes_read") != read || number_at(at, "bytes_written") != written || number_at(at, "flops") != flops)
        fail_msg("%s: wanted %g read, %g written, %g flops, got %.200s", step, read, written, flops, at);
}

static void assert_says(const char *step, const char *text)
{
    const char *at = step_of(step), *found = strstr(at, text), *end = strchr(at, '\n');
    if (!found || (end && found > end)) fail_msg("%s does not say %s: %.600s", step, text, at);
}

/* ---- costs ----------------------------------------------------------------------------------------------------------- */

KILN_FUNCTION(shifted, k, x, b) { return kiln_relu(kiln_add(x, b)); }
KILN_FUNCTION(squares, k, x) { return kiln_sum(kiln_mul(x, x), KILN_AXES(1)); }
KILN_FUNCTION(scaled, k, x) { return kiln_sqrt(kiln_div(kiln_abs(x), 3.0)); }
KILN_FUNCTION(product, k, x, w) { return kiln_matmul(x, w); }
KILN_FUNCTION(layer, k, x, w, b) { return kiln_relu(kiln_add(kiln_matmul(x, w), b)); }
KILN_FUNCTION(taken, k, x, i) { return kiln_gather(x, i, 0); }
KILN_FUNCTION(seen, k, x) { return kiln_attention(x, x, x, &(kiln_attention_options){.causal = true}); }
KILN_FUNCTION(convolved, k, x, w) { return kiln_convolve(x, w, &(kiln_convolution){.same = true}); }

KILN_FUNCTION(turning, k, x)
{
    kiln_variable *v = kiln_local(k, x);
    KILN_FOR(k, i, 10)
        kiln_assign(v, kiln_add(kiln_mul(v, 0.5), kiln_sum(v, KILN_ALL)));
    return kiln_value(v);
}

static void costs_are_exact(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *x = filled(k, KILN_SHAPE(64, 100)), *b = filled(k, KILN_SHAPE(100)), *w = filled(k, KILN_SHAPE(100, 32));
    profile(KILN_FN(k, shifted), KILN_IN(x, b), true);
    assert_cost("shifted.relu_0", 64 * 100 * 4 + 100 * 4, 64 * 100 * 4, 64 * 100);
    assert_says("shifted.relu_0", "\"ops\": [\"broadcast\", \"add\", \"relu\"]");
    assert_says("shifted.relu_0", "test_profile.c\", \"line\": ");
    profile(KILN_FN(k, squares), KILN_IN(x), true);
    assert_cost("squares.sum_0", 64 * 100 * 4, 64 * 4, 2 * 64 * 100);
    profile(KILN_FN(k, scaled), KILN_IN(x), true);
    assert_cost("scaled.sqrt_0", 64 * 100 * 4, 64 * 100 * 4, 2 * 64 * 100); /* abs is none */
    profile(KILN_FN(k, product), KILN_IN(x, w), true);
    assert_cost("product.matmul_0", (64 * 100 + 100 * 32) * 4, 64 * 32 * 4, 2 * 64 * 100 * 32);
    profile(KILN_FN(k, product), KILN_IN(kiln_cast(x, KILN_F64), kiln_cast(w, KILN_F64)), true);
    assert_cost("product.matmul_0", (64 * 100 + 100 * 32) * 8, 64 * 32 * 8, 2 * 64 * 100 * 32);
    profile(KILN_FN(k, turning), KILN_IN(b), true);
    assert_int_equal(number_at(step_of("turning.loop"), "times"), 1);
    const char *add = step_of("turning.add_");
    assert_int_equal(number_at(add, "times"), 10);
    assert_int_equal(number_at(add, "depth"), 1);
    assert_int_equal(number_at(add, "flops"), 10 * 300); /* mul, add, the sum */
    assert_int_equal(number_at(add, "bytes_read"), 10 * 400);
}

static void costs_of_routines_are_exact(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *image = filled(k, KILN_SHAPE(1, 8, 8, 2)), *filters = filled(k, KILN_SHAPE(3, 3, 2, 3));
    profile(KILN_FN(k, convolved), KILN_IN(image, filters), true);
    assert_cost("convolved.conv", (8 * 8 * 2 + 3 * 3 * 2 * 3) * 4, 8 * 8 * 3 * 4, 2 * 2 * 3 * 22 * 22); /* an axis: 8 places of 3 taps but 2 */
    profile(KILN_FN(k, seen), KILN_IN(filled(k, KILN_SHAPE(2, 5, 4))), true);
    const char *at = step_of("seen.attention");
    assert_int_equal(number_at(at, "flops"), 2 * 2 * 15 * (4 + 4)); /* 2 heads, 1 + 2 + 3 + 4 + 5 pairs */
    assert_int_equal(number_at(at, "bytes_written"), (2 * 5 * 4 + 2 * 5) * 4);
}

/* Every pair of a place and a tap, asked for the element that it meets. */
static double meetings_by_hand(const HostConv *c)
{
    int64_t n = 0;
    for (int64_t o = 0; o < c->out[0]; o++)
        for (int64_t t = 0; t < c->taps[0]; t++) {
            const int64_t at = o * c->stride[0] + t * c->dilation[0] - c->low[0];
            n += at >= 0 && at % c->spread[0] == 0 && at / c->spread[0] < c->in[0];
        }
    return (double)n;
}

/* Along one axis, whatever the windows leave out or reach beyond; stride or spread is 1. */
static void meetings_are_counted(void **state)
{
    (void)state;
    static const int64_t step[][2] = {{1, 1}, {2, 1}, {3, 1}, {4, 1}, {7, 1}, {1, 2}, {1, 3}, {1, 4}, {1, 6}};
    for (size_t s = 0; s < sizeof step / sizeof *step; s++)
        for (int64_t in = 0; in < 10; in += 3)
            for (int64_t taps = 0; taps < 5; taps++)
                for (int64_t out = 0; out < 24; out++)
                    for (int64_t dilation = 1; dilation < 5; dilation++)
                        for (int64_t low = -11; low < 12; low++) {
                            const HostConv c = {.in = {in}, .taps = {taps}, .out = {out}, .stride = {step[s][0]}, .dilation = {dilation},
                                .spread = {step[s][1]}, .low = {low}};
                            if (conv_meetings(&c, 0) != meetings_by_hand(&c))
                                fail_msg("in %ld, taps %ld, out %ld, stride %ld, dilation %ld, spread %ld, low %ld: %g, not %g", (long)in, (long)taps,
                                    (long)out, (long)step[s][0], (long)dilation, (long)step[s][1], (long)low, conv_meetings(&c, 0), meetings_by_hand(&c));
                        }
    const HostConv large = {.in = {200000}, .taps = {20000}, .out = {180001}, .stride = {1}, .dilation = {1}, .spread = {1}};
    assert_true(conv_meetings(&large, 0) == 180001. * 20000);
}

/* Of a whole call: groups, pads, strides and what transposed convolutions add at the end. */
static kiln_convolution windows;
static void windowed(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    out[0] = *(bool *)user ? kiln_convolve_transposed(in[0], in[1], &windows) : kiln_convolve(in[0], in[1], &windows);
}

static void convolutions_count_what_meets(void **state)
{
    static const struct { bool transposed; int64_t groups, stride, dilation, low, high, output_pad; } cases[] = {
        {false, 1, 1, 1, 0, 0, 0}, {false, 1, 2, 1, 1, 0, 0}, {false, 2, 3, 2, 2, 3, 0}, {false, 2, 2, 3, 4, 1, 0},
        {true, 1, 1, 1, 0, 0, 0}, {true, 1, 2, 1, 1, 0, 1}, {true, 2, 3, 2, 2, 1, 2}, {true, 2, 2, 3, 0, 4, 1},
    };
    kiln *k = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        KILN_SCOPE(k);
        const int64_t in = 17, taps = 4, groups = cases[i].groups, reach = (taps - 1) * cases[i].dilation, pads = cases[i].low + cases[i].high;
        bool transposed = cases[i].transposed;
        windows = (kiln_convolution){.groups = groups, .stride = {cases[i].stride}, .dilation = {cases[i].dilation},
            .pad = {{cases[i].low, cases[i].high}}, .output_pad = {cases[i].output_pad}};
        kiln_function *f = kiln_function_new(k, windowed, &transposed, &(kiln_function_options){.name = "windowed", .inputs_count = 2});
        profile(f, KILN_IN(filled(k, KILN_SHAPE(1, in, 4)), filled(k, transposed ? KILN_SHAPE(taps, 6 / groups, 4) : KILN_SHAPE(taps, 4 / groups, 6))), true);
        const HostConv c = {.in = {in}, .taps = {taps}, .stride = {transposed ? 1 : cases[i].stride}, .dilation = {cases[i].dilation},
            .spread = {transposed ? cases[i].stride : 1}, .low = {transposed ? reach - cases[i].low : cases[i].low},
            .out = {transposed ? (in - 1) * cases[i].stride - pads + reach + 1 + cases[i].output_pad : (in + pads - reach - 1) / cases[i].stride + 1}};
        assert_true(number_at(step_of("windowed.conv"), "flops") == 2 * 4 * 6 / (double)groups * meetings_by_hand(&c));
        kiln_function_free(f);
    }
}

/* Of a row that an index chooses, what is chosen counts, and never more than there is. */
static void chosen_elements_count_once(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *x = filled(k, KILN_SHAPE(50, 16));
    profile(KILN_FN(k, taken), KILN_IN(x, kiln_zeros(k, KILN_I64, KILN_SHAPE(3))), true);
    const char *at = strstr(report, "\"kind\": \"kernel\"");
    assert_int_equal(number_at(at, "bytes_read"), 3 * 16 * 4 + 3 * 8);
    profile(KILN_FN(k, taken), KILN_IN(x, kiln_zeros(k, KILN_I64, KILN_SHAPE(500))), true);
    at = strstr(report, "\"kind\": \"kernel\"");
    assert_int_equal(number_at(at, "bytes_read"), 50 * 16 * 4 + 500 * 8);
}

/* What runs on the rows of a product is told with it: the product's result never reaches memory. */
static void what_joins_a_product_is_one_step(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    const int64_t m = 512, n = 512, p = 256;
    kiln_tensor *x = filled(k, KILN_SHAPE(512, 256)), *w = filled(k, KILN_SHAPE(256, 512)), *b = filled(k, KILN_SHAPE(512));
    profile(KILN_FN(k, layer), KILN_IN(x, w, b), true);
    assert_cost("layer.matmul", (double)(m * p + p * n + n) * 4, (double)(m * n) * 4, (double)(2 * m * n * p + m * n));
    assert_says("layer.matmul", "\"with\": [{\"name\": \"layer.relu_0\"");
    profile(KILN_FN(k, layer), KILN_IN(x, w, b), false);
    assert_non_null(strstr(report, " + relu_0@test_profile.c:"));
}

/* Two sums of squares that have nothing to do with one another. */
KILN_FUNCTION(two_sums, k, x, y)
{
    kiln_tensor *a = kiln_sum(kiln_mul(x, x), KILN_AXES(1)), *b = kiln_sum(kiln_mul(y, y), KILN_AXES(1));
    return kiln_matmul(kiln_reshape(a, KILN_SHAPE(400, 1)), kiln_reshape(b, KILN_SHAPE(1, 300)));
}

/* Kernels side by side are one launch, whose time and cost are told once, with their names. */
static void what_runs_side_by_side_is_one_step(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *x = filled(k, KILN_SHAPE(400, 256)), *y = filled(k, KILN_SHAPE(300, 128));
    profile(KILN_FN(k, two_sums), KILN_IN(x, y), true);
    const double elements = 400 * 256 + 300 * 128;
    assert_cost("two_sums.sum_0", elements * 4, 700 * 4, 2 * elements);
    assert_says("two_sums.sum_0", "\"with\": [{\"name\": \"two_sums.sum_1\"");
    profile(KILN_FN(k, two_sums), KILN_IN(x, y), false);
    assert_non_null(strstr(report, " + sum_1@test_profile.c:"));
}

/* Sizes with bounds: what counts is what the call has. */
static void body_of_rows(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_add(in[0], in[0]);
}

static void costs_follow_the_sizes_of_the_call(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_function *f = kiln_function_new(k, body_of_rows, NULL, &(kiln_function_options){.name = "rows", .inputs = {KILN_SPEC(KILN_F32, KILN_DIM("N", 1, 100), 8)}});
    for (int64_t n = 3; n < 100; n += 47) {
        profile(f, KILN_IN(filled(k, KILN_SHAPE(n, 8))), true);
        assert_cost("rows.add_0", (double)n * 32, (double)n * 32, (double)n * 8);
    }
}

/* ---- what stops kernels ------------------------------------------------------------------------------------------------ */

KILN_FUNCTION(crossed, k, x) { return kiln_sum(kiln_exp(kiln_sub(x, kiln_sum(x, KILN_AXES(0)))), KILN_AXES(1)); }
KILN_FUNCTION(folded, k, x) { return kiln_reduce_max(kiln_exp(kiln_sub(x, kiln_reduce_max(x, KILN_AXES(0)))), KILN_AXES(1)); }
KILN_FUNCTION(spread, k, x) { return kiln_mul(kiln_ones(k, KILN_F32, KILN_SHAPE(300, 300)), kiln_exp(x)); }
KILN_FUNCTION(mirrored, k, x) { return kiln_add(kiln_exp(x), kiln_transpose(kiln_exp(x), KILN_AXES(1, 0))); }
KILN_FUNCTION(deep, k, x) { return kiln_softmax(kiln_softmax(kiln_softmax(x, -1), -1), -1); }
/* One costly value, read by kernels over different points. */
KILN_FUNCTION(shared, k, x)
{
    kiln_tensor *e = kiln_exp(x);
    return kiln_add(kiln_sum(kiln_matmul(e, e), KILN_ALL), kiln_sum(kiln_sum(e, KILN_AXES(0)), KILN_ALL));
}

KILN_FUNCTION(lengthy, k, x)
{
    kiln_tensor *y = x;
    for (int i = 0; i < 800; i++) y = kiln_mul(kiln_add(y, 0.5), 0.75);
    return y;
}

static void reasons_are_told(void **state)
{
    static const struct {
        const char *why;
        int64_t rows, columns;
        int which;
    } cases[] = {
        {"it is folded over another axis", 300, 300, 0},
        {"it is folded over another axis", 300, 200, 1},
        {"each of its elements would be computed several times", 1, 300, 2},
        {"it is read at several places", 300, 300, 3},
        {"the rows would be gone through too many times", 20, 5000, 4},
        {"the kernel would become too long", 300, 300, 5},
    };
    kiln *k = *state;
    kiln_function *const f[] = {KILN_FN(k, crossed), KILN_FN(k, folded), KILN_FN(k, spread), KILN_FN(k, mirrored), KILN_FN(k, deep), KILN_FN(k, lengthy)};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        KILN_SCOPE(k);
        char text[160];
        profile(f[cases[i].which], KILN_IN(filled(k, KILN_SHAPE(cases[i].rows, cases[i].columns))), true);
        snprintf(text, sizeof text, "\"why\": \"%s", cases[i].why);
        if (!strstr(report, text)) fail_msg("nothing says %s: %s", text, report);
    }
    KILN_SCOPE(k);
    kiln_tensor *x = filled(k, KILN_SHAPE(300, 300));
    profile(KILN_FN(k, shifted), KILN_IN(x, x), true);
    assert_says("shifted.relu_0", "\"reads\": []");
    profile(KILN_FN(k, crossed), KILN_IN(x), false);
    assert_non_null(strstr(report, "           reads sum@test_profile.c:"));
    assert_non_null(strstr(report, "           is broadcast, sub, exp, sum\n"));
}

/* ---- times, state, wrong uses -------------------------------------------------------------------------------------------- */

static int printed;
static int counts(const kiln_array *in, int nin, const kiln_array *out, int nout, void *user)
{
    (void)in, (void)nin, (void)out, (void)nout, (void)user;
    printed++;
    return 0;
}

typedef struct State { kiln_variable *n; } State;
static void counting_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    State *s = user;
    kiln_assign(s->n, kiln_add(kiln_value(s->n), 1.0));
    kiln_callback(k, counts, NULL, KILN_IN(in[0]), NULL, NULL, 0); /* without results */
    out[0] = kiln_mul(in[0], kiln_value(s->n));
}

/* An effect has no results: the next node's numbers are not its own. */
KILN_FUNCTION(watched, k, x)
{
    kiln_tensor *most = kiln_reduce_max(x, KILN_AXES(0));
    kiln_callback(k, counts, NULL, KILN_IN(most), NULL, NULL, 0);
    return kiln_sum(kiln_exp(kiln_sub(x, most)), KILN_AXES(1));
}

static int gives(const kiln_array *in, int nin, const kiln_array *out, int nout, void *user)
{
    (void)in, (void)nin, (void)nout, (void)user;
    memset(out[0].data, 0, 4 * sizeof(float));
    return 0;
}

KILN_FUNCTION(asking, k, x)
{
    kiln_tensor *y;
    kiln_callback(k, gives, NULL, KILN_IN(x), (&(kiln_spec)KILN_SPEC(KILN_F32, 4)), &y, 1);
    return kiln_add(x, y);
}

static void effects_are_steps(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    profile(KILN_FN(k, watched), KILN_IN(filled(k, KILN_SHAPE(300, 200))), true);
    assert_cost("watched.callback", 0, 0, 0);
    assert_says("watched.sum_1", "\"value\": \"reduce_max\"");
    assert_false(kiln_profile(stdout, KILN_FN(k, asking), KILN_IN(filled(k, KILN_SHAPE(4)))));
    assert_error(k, KILN_EUNSUPPORTED, "kiln_profile do not call C functions");
}

static void variables_stay_and_effects_are_left_out(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    State s = {kiln_variable_new(k, "n", kiln_scalar(k, KILN_F32, 7))};
    kiln_function *f = kiln_function_new(k, counting_body, &s, &(kiln_function_options){.inputs_count = 1});
    printed = 0;
    profile(f, KILN_IN(filled(k, KILN_SHAPE(4))), true);
    assert_int_equal(printed, 0);
    assert_true(kiln_item(kiln_value(s.n)) == 7);
    kiln_call(f, filled(k, KILN_SHAPE(4)));
    assert_int_equal(printed, 1);
    assert_true(kiln_item(kiln_value(s.n)) == 8);
}

static void times_are_positive_and_add_up(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    profile(KILN_FN(k, shared), KILN_IN(filled(k, KILN_SHAPE(200, 200))), true);
    double sum = 0, shares = 0;
    for (const char *at = report; (at = strstr(at, "\n{\"name\": "));) {
        at++;
        assert_true(number_at(at, "seconds") > 0);
        assert_true(number_at(at, "of_roof") >= 0);
        sum += number_at(at, "seconds");
        shares += number_at(at, "share");
    }
    assert_true(number_at(report, "f32_flops_per_second") > 1e6);
    const double whole = number_at(strstr(report, "\"function\""), "seconds");
    assert_true(sum > 0 && sum < 1.5 * whole); /* medians of parts, and of the whole */
    assert_true(fabs(shares - sum / whole) < 0.01);
}

static void wrong_uses_are_errors(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *x = filled(k, KILN_SHAPE(4));
    kiln_function *f = KILN_FN(k, squares);
    assert_false(kiln_profile(NULL, f, KILN_IN(x)));
    assert_error(k, KILN_EVALUE, "profile: the file is NULL");
    assert_false(kiln_profile(stdout, f, KILN_IN(x), &(kiln_profile_options){.seconds = NAN}));
    assert_error(k, KILN_EVALUE, "profile: seconds is");
    assert_false(kiln_profile(stdout, f, KILN_IN(x, x, x)));
    kiln_clear(k);
    assert_false(kiln_profile(stdout, (kiln_function *)NULL, KILN_IN(x)));
    assert_error(k, KILN_ESTATE, "profile: the function is NULL");
}

static void a_full_disk_is_an_error(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    for (int buffered = 0; buffered < 2; buffered++) {
        FILE *full = fopen("/dev/full", "w");
        if (!full) skip();
        if (!buffered) setvbuf(full, NULL, _IONBF, 0);
        assert_false(kiln_profile(full, KILN_FN(k, squares), KILN_IN(filled(k, KILN_SHAPE(4, 4))), &(kiln_profile_options){.seconds = 1e-4}));
        assert_error(k, KILN_EIO, "profile: the report cannot be written: No space left");
        fclose(full);
    }
}

/* By marks, as here: the code is the CPU's. */
static void elsewhere_is_timed_too(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    profile(KILN_FN(k, shifted), KILN_IN(filled(k, KILN_SHAPE(4, 4)), filled(k, KILN_SHAPE(4))), true);
    assert_ok(k);
    assert_true(number_at(strstr(report, "\n{\"name\": ") + 1, "seconds") > 0);
}

/* ---- code ------------------------------------------------------------------------------------------------------------------ */

/* Without the wish code never asks for marks, with it it always does; neither changes a bit of what is computed. */
static int marks;
static void count_marks(const KilnHost *h, int64_t number) { (void)h, (void)number, marks++; }

static void only_who_asks_gets_marks(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    k->host.mark = NULL;
    kiln_tensor *x = filled(k, KILN_SHAPE(100)), *y[2];
    y[0] = turning(k, x);
    assert_ok(k);
    k->profiling = PROFILE_TEXT;
    kiln_function *f = kiln_function_new(k, turning_step, NULL, &(kiln_function_options){.inputs_count = 1, .name = "turning"});
    k->host.mark = count_marks;
    y[1] = kiln_call(f, x);
    assert_ok(k);
    assert_true(marks >= 20); /* the loop, its steps and its turns */
    assert_memory_equal(kiln_data(y[0]), kiln_data(y[1]), 400);
    k->profiling = PROFILE_OFF;
    k->host.mark = host_mark;
}

int main(void)
{
    unsetenv("KILN_PROFILE");
    const struct CMUnitTest away[] = {WAIT_TEST(elsewhere_is_timed_too)};
    const struct CMUnitTest tests[] = {
        WAIT_TEST(costs_are_exact), WAIT_TEST(costs_of_routines_are_exact),
        cmocka_unit_test(meetings_are_counted), WAIT_TEST(convolutions_count_what_meets), WAIT_TEST(chosen_elements_count_once),
        WAIT_TEST(what_joins_a_product_is_one_step), WAIT_TEST(what_runs_side_by_side_is_one_step), WAIT_TEST(costs_follow_the_sizes_of_the_call), WAIT_TEST(reasons_are_told),
        WAIT_TEST(effects_are_steps), WAIT_TEST(variables_stay_and_effects_are_left_out), WAIT_TEST(times_are_positive_and_add_up), WAIT_TEST(wrong_uses_are_errors),
        WAIT_TEST(only_who_asks_gets_marks), WAIT_TEST(a_full_disk_is_an_error),
    };
    return late_is_own() ? cmocka_run_group_tests(away, front_needs_llvm, NULL) : cmocka_run_group_tests(tests, front_needs_llvm, NULL);
}
