/* control_bodies: loops and branches with functions for blocks: the same bits eagerly and traced, gradients against finite differences, errors.
 * And parts of variables that are assigned. */
#include <math.h>
#include <stdlib.h>

#include "front.h"

#define BODY(name) static void name(kiln *k KILN_UNUSED, kiln_tensor *const *in, kiln_tensor **out, void *user KILN_UNUSED)

static kiln_function *function_of(kiln *k, kiln_body *body, const char *name)
{
    return kiln_function_new(k, body, NULL, &(kiln_function_options){.name = name, .inputs_count = 1});
}

/* ---- branches ------------------------------------------------------------------------------------------------------ */
BODY(doubles) { out[0] = kiln_mul(in[0], 2.0); }
BODY(squares) { out[0] = kiln_square(in[0]); }
BODY(sines) { out[0] = kiln_sin(kiln_mul(in[0], in[0])); }

BODY(conds)
{
    kiln_cond(k, kiln_less(in[0], 0.0), doubles, sines, (kiln_tensor *[]){in[0]}, 1, out, 1, NULL);
    out[0] = kiln_add(out[0], in[0]);
}

BODY(switches)
{
    kiln_body *const bodies[] = {doubles, squares, sines};
    kiln_tensor *which = kiln_cast(kiln_floor(in[0]), KILN_I32), *x = kiln_mul(in[0], 1.5);
    kiln_switch(k, which, bodies, 3, &x, 1, out, 1, NULL);
}

BODY(switches_far) /* to 2^64 - 1 */
{
    kiln_body *const bodies[] = {doubles, sines};
    kiln_switch(k, kiln_cast(kiln_mul(in[0], 1e30), KILN_U64), bodies, 2, in, 1, out, 1, NULL);
}

/* Captures on both sides, assigns on one. */
BODY(assigns)
{
    kiln_assign(user, kiln_mul(kiln_value((kiln_variable *)user), in[0]));
    out[0] = kiln_exp(in[0]);
}
BODY(reads) { out[0] = kiln_mul(in[0], (kiln_variable *)user); }
BODY(conds_assign)
{
    kiln_variable *v = kiln_local(k, kiln_mul(in[0], 3.0));
    kiln_tensor *y;
    kiln_cond(k, kiln_less(in[0], 0.5), assigns, reads, (kiln_tensor *[]){in[0]}, 1, &y, 1, v);
    out[0] = kiln_add(y, v);
}

/* ---- loops ----------------------------------------------------------------------------------------------------------- */
BODY(fibonacci)
{
    kiln_tensor *sum = kiln_add(in[1], in[2]);
    out[0] = in[2];
    out[1] = kiln_add(sum, kiln_mul(kiln_cast(in[0], KILN_F32), 0.125));
}
BODY(counts)
{
    kiln_tensor *y[2];
    kiln_for(k, 6, fibonacci, (kiln_tensor *[]){in[0], kiln_scalar(k, KILN_F32, 1)}, 2, y, NULL);
    out[0] = kiln_mul(y[0], y[1]);
}

BODY(small) { out[0] = kiln_and(kiln_less(kiln_abs(in[1]), 20.0), kiln_less(in[0], 12)); }
BODY(grows) { out[0] = kiln_mul(in[1], kiln_add(kiln_mul(kiln_value((kiln_variable *)user), 0.5), 1.25)); }
BODY(whiles)
{
    kiln_variable *rate = kiln_local(k, kiln_sigmoid(in[0]));
    kiln_while(k, small, grows, (kiln_tensor *[]){in[0]}, 1, out, rate);
}
BODY(whiles_bounded)
{
    kiln_variable *rate = kiln_local(k, kiln_sigmoid(in[0]));
    kiln_while_at_most(k, 12, small, grows, (kiln_tensor *[]){in[0]}, 1, out, rate);
}

/* A recurrent cell: state h, inputs x_t, outputs. w is captured. */
BODY(cell)
{
    kiln_tensor *w = *(kiln_tensor **)user;
    out[0] = kiln_tanh(kiln_add(kiln_matmul(in[1], w), in[2]));
    out[1] = kiln_mul(out[0], kiln_cast(kiln_add(in[0], 1), KILN_F32));
    out[2] = kiln_sum(out[0], KILN_ALL);
}
static void recurrent(kiln *k, kiln_tensor *x, bool reverse, kiln_tensor **out)
{
    kiln_tensor *w = kiln_mul(kiln_f32(k, KILN_SHAPE(2, 2), 0.5f, -0.25f, 0.75f, 0.125f), x);
    kiln_tensor *xs = kiln_mul(kiln_f32(k, KILN_SHAPE(4, 1, 2), 1, 2, -1, 0.5f, 0.25f, -2, 1.5f, 0), x);
    kiln_tensor *h, *ys[2];
    kiln_scan(k, cell,
        &(kiln_scan_options){.carries = (kiln_tensor *[]){kiln_zeros(k, KILN_F32, KILN_SHAPE(1, 2))}, .carries_count = 1,
            .xs = &xs, .xs_count = 1, .ys_count = 2, .reverse = reverse},
        &h, ys, &w);
    kiln_tensor *weights = kiln_add(kiln_iota(k, KILN_F32, KILN_SHAPE(4, 1, 2), 0), 1.0);
    out[0] = kiln_add(kiln_sum(kiln_mul(ys[0], weights), KILN_ALL), kiln_sum(kiln_square(h), KILN_ALL));
    out[0] = kiln_add(out[0], kiln_sum(kiln_square(ys[1]), KILN_ALL));
}
BODY(scans) { recurrent(k, in[0], false, out); }
BODY(scans_back) { recurrent(k, in[0], true, out); }

BODY(adds) { out[0] = kiln_add(in[1], kiln_value((kiln_variable *)user)); out[1] = kiln_mul(out[0], in[1]); kiln_assign(user, kiln_mul(out[0], 0.5)); }
BODY(scans_steps) /* no slices, many stacked outputs, a variable carried beside */
{
    kiln_variable *v = kiln_local(k, kiln_mul(in[0], 0.25));
    kiln_tensor *h, *y;
    kiln_scan(k, adds, &(kiln_scan_options){.carries = (kiln_tensor *[]){in[0]}, .carries_count = 1, .ys_count = 1, .steps = 7}, &h, &y, v);
    out[0] = kiln_add(kiln_sum(kiln_sqrt(kiln_abs(y)), KILN_ALL), kiln_mul(h, v));
}

BODY(inner) /* a branch with blocks in a loop with functions */
{
    kiln_variable *v = kiln_local(k, in[1]);
    KILN_IF(kiln_equal(kiln_mod(in[0], 2), 0)) kiln_assign(v, kiln_mul(v, kiln_cos(in[1])));
    KILN_ELSE(k) kiln_assign_add(v, (kiln_variable *)user);
    out[0] = kiln_value(v);
}
BODY(mixes)
{
    kiln_variable *v = kiln_local(k, kiln_square(in[0]));
    kiln_for(k, 5, inner, in, 1, out, v);
}

/* ---- parts of variables --------------------------------------------------------------------------------------------------- */
BODY(bounded_macro)
{
    kiln_variable *v = kiln_local(k, in[0]);
    KILN_WHILE_AT_MOST(k, 7, kiln_less(kiln_square(v), 40.0)) kiln_assign(v, kiln_mul(v, kiln_add(kiln_square(in[0]), 1.5)));
    out[0] = kiln_value(v);
}

BODY(fills_rows)
{
    kiln_variable *table = kiln_local(k, kiln_zeros(k, KILN_F32, KILN_SHAPE(5, 3)));
    KILN_FOR(k, i, 5)
    {
        kiln_tensor *row = kiln_mul(kiln_add(kiln_iota(k, KILN_F32, KILN_SHAPE(1, 3), 1), kiln_cast(i, KILN_F32)), in[0]);
        kiln_assign_slice(table, KILN_STARTS(i, 0), row);
        kiln_assign_add_slice(table, KILN_STARTS(kiln_sub(4, i), 1), kiln_slice(row, 1, 1, 3, 1));
    }
    out[0] = kiln_sum(kiln_mul(kiln_square(table), kiln_iota(k, KILN_F32, KILN_SHAPE(5, 3), 0)), KILN_ALL);
}

/* Parts of lower rank: a scalar into one element, a row into a matrix, a matrix into a block. */
BODY(fills_elements)
{
    kiln_variable *block = kiln_local(k, kiln_zeros(k, KILN_F32, KILN_SHAPE(3, 4, 2)));
    KILN_FOR(k, i, 3)
    {
        kiln_tensor *x = kiln_mul(kiln_add(kiln_cast(i, KILN_F32), 1.0), in[0]);
        kiln_assign_slice(block, KILN_STARTS(i, i, 1), x);
        kiln_assign_add_slice(block, KILN_STARTS(i, 3, 0), kiln_mul(x, kiln_f32(k, KILN_SHAPE(2), 2, 3)));
        kiln_assign_add_slice(block, KILN_STARTS(1, 0, i), kiln_broadcast(x, KILN_SHAPE(4, 1)));
    }
    out[0] = kiln_sum(kiln_mul(kiln_square(block), kiln_iota(k, KILN_F32, KILN_SHAPE(3, 4, 2), 1)), KILN_ALL);
}

static const struct {
    const char *name;
    kiln_body *body;
    float at[2];
} cases[] = {
    {"conds", conds, {-0.5f, 0.75f}},
    {"switches", switches, {-0.5f, 1.75f}},
    {"switches", switches, {0.5f, 2.75f}},
    {"switches_far", switches_far, {-0.5f, 0.75f}},
    {"conds_assign", conds_assign, {-0.5f, 0.75f}},
    {"counts", counts, {-0.5f, 0.75f}},
    {"whiles", whiles, {-0.5f, 0.75f}},
    {"whiles_bounded", whiles_bounded, {-0.5f, 0.75f}},
    {"scans", scans, {-0.5f, 0.75f}},
    {"scans_back", scans_back, {-0.5f, 0.75f}},
    {"scans_steps", scans_steps, {0.5f, 0.75f}},
    {"bounded_macro", bounded_macro, {-0.5f, 0.75f}},
    {"mixes", mixes, {-0.5f, 0.75f}},
    {"fills_rows", fills_rows, {-0.5f, 0.75f}},
    {"fills_elements", fills_elements, {-0.5f, 0.75f}},
};

typedef struct Pair {
    float y, dy;
} Pair;

static Pair taped(kiln *k, kiln_function *f, float at)
{
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_scalar(k, KILN_F32, at);
    KILN_TAPE(k, tape);
    kiln_watch(tape, x);
    kiln_tensor *y = kiln_call(f, x);
    Pair r = {(float)kiln_item(y), (float)kiln_item(kiln_gradient(tape, y, x))};
    return r;
}

static void same(const char *name, float a, float b)
{
    if (memcmp(&a, &b, sizeof a)) fail_msg("%s: %.9g is not %.9g", name, (double)a, (double)b);
}

static void near(const char *name, double got, double want, double within)
{
    if (!(fabs(got - want) <= within * (1 + fabs(want)))) fail_msg("%s: %.9g is not %.9g", name, got, want);
}

static void one_source_two_modes(void **state)
{
    kiln *k = *state;
    const float h = 1.0f / 256;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        kiln_function *f = function_of(k, cases[c].body, cases[c].name);
        for (int i = 0; i < 2; i++) {
            float at = cases[c].at[i];
            kiln_eager(k, true);
            Pair e = taped(k, f, at), lo = taped(k, f, at - h), hi = taped(k, f, at + h);
            if (kiln_failed(k)) fail_msg("%s: %s", cases[c].name, kiln_error(k)->text);
            kiln_eager(k, false);
            Pair t = taped(k, f, at);
            if (kiln_failed(k)) fail_msg("%s: %s", cases[c].name, kiln_error(k)->text);
            same(cases[c].name, e.y, t.y);
            same(cases[c].name, e.dy, t.dy);
            near(cases[c].name, e.dy, (hi.y - lo.y) / (2 * h), 1e-2);
            KILN_SCOPE(k);
            kiln_tensor *x = kiln_scalar(k, KILN_F32, at);
            near(cases[c].name, kiln_item(kiln_call(kiln_grad(f), x)), t.dy, 0);
            assert_ok(k);
        }
        kiln_function_free(f);
    }
}

/* ---- long scans, flat memory ------------------------------------------------------------------------------------------------- */
BODY(next_square)
{
    out[0] = kiln_add(in[1], 1);
    out[1] = kiln_square(in[1]);
    out[2] = kiln_mul(in[2], 3);
}

static void long_scans_stack_in_groups(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    enum { N = 1000 };
    static int64_t got[2][N];
    kiln_tensor *xs = kiln_iota(k, KILN_I64, KILN_SHAPE(N), 0), *first = kiln_scalar(k, KILN_I64, 0), *last, *ys[2];
    assert_true(kiln_scan(k, next_square,
        &(kiln_scan_options){.carries = &first, .carries_count = 1, .xs = &xs, .xs_count = 1, .ys_count = 2}, &last, ys, NULL));
    for (int i = 0; i < 2; i++) assert_true(kiln_read(ys[i], got[i], sizeof got[i]));
    assert_int_equal(kiln_item_i64(last), N);
    for (int64_t i = 0; i < N; i++) {
        assert_int_equal(got[0][i], i * i);
        assert_int_equal(got[1][i], 3 * i);
    }
    kiln_memory before = kiln_memory_count();
    for (int i = 0; i < 2; i++) { /* a loop holds what it carries, not what it made */
        KILN_SCOPE(k);
        kiln_tensor *y[2];
        kiln_for(k, 3000, fibonacci, (kiln_tensor *[]){kiln_zeros(k, KILN_F32, KILN_SHAPE(64)), kiln_zeros(k, KILN_F32, KILN_SHAPE(64))}, 2, y,
            NULL);
        assert_ok(k);
    }
#ifndef KILN_DEBUG /* whose headers are never used again */
    assert_true(kiln_memory_count().peak_bytes < before.peak_bytes + (1 << 18));
#else
    (void)before;
#endif
}

/* ---- errors ------------------------------------------------------------------------------------------------------------------- */
BODY(longer) { out[0] = kiln_concat((kiln_tensor *[]){in[1], in[1]}, 2, 0); }
BODY(wider) { out[0] = kiln_cast(in[1], KILN_F64); }
BODY(nothing) { (void)in; (void)out; }
BODY(number) { out[0] = in[1]; }
BODY(fine) { out[0] = in[1]; }
BODY(vector) { out[0] = kiln_f32(k, KILN_SHAPE(2), 1, 2); (void)in; }

BODY(grows_shape) { kiln_tensor *v = kiln_reshape(in[0], KILN_SHAPE(1)); kiln_for(k, 2, longer, &v, 1, out, NULL); }
BODY(grows_dtype) { kiln_for(k, 2, wider, in, 1, out, NULL); }
BODY(sets_nothing) { kiln_for(k, 2, nothing, in, 1, out, NULL); }
BODY(asks_number) { kiln_while(k, number, fine, in, 1, out, NULL); }
BODY(counts_number) { kiln_for(k, in[0], fine, in, 1, out, NULL); }
BODY(cond_number) { kiln_cond(k, in[0], doubles, squares, in, 1, out, 1, NULL); }
BODY(cases_differ) { kiln_cond(k, kiln_less(in[0], 1.0), doubles, vector, in, 1, out, 1, NULL); }
BODY(no_body) { kiln_cond(k, kiln_less(in[0], 1.0), NULL, doubles, in, 1, out, 1, NULL); }
BODY(beyond_bound) { kiln_while_at_most(k, 3, small, grows, in, 1, out, user); }
BODY(beyond_macro)
{
    kiln_variable *v = kiln_local(k, in[0]);
    KILN_WHILE_AT_MOST(k, 3, kiln_less(v, 9.0)) kiln_assign_add(v, 1.0);
    out[0] = kiln_value(v);
}
BODY(bound_below_zero) { kiln_while_at_most(k, -1, small, grows, in, 1, out, user); }
BODY(macro_below_zero)
{
    kiln_variable *v = kiln_local(k, in[0]);
    KILN_WHILE_AT_MOST(k, -3, kiln_less(v, 9.0)) kiln_assign_add(v, 1.0);
    out[0] = kiln_value(v);
}
BODY(no_steps)
{
    kiln_tensor *y;
    kiln_scan(k, adds, &(kiln_scan_options){.carries = in, .carries_count = 1, .ys_count = 1}, out, &y, NULL);
}
BODY(unequal_lengths)
{
    kiln_tensor *xs[] = {kiln_zeros(k, KILN_F32, KILN_SHAPE(3)), kiln_zeros(k, KILN_F32, KILN_SHAPE(4))};
    kiln_scan(k, fine, &(kiln_scan_options){.carries = in, .carries_count = 1, .xs = xs, .xs_count = 2}, out, NULL, NULL);
}
BODY(slice_dtype)
{
    kiln_variable *v = kiln_local(k, kiln_zeros(k, KILN_F32, KILN_SHAPE(3)));
    kiln_assign_slice(v, KILN_STARTS(0), kiln_i32(k, KILN_SHAPE(1), 1));
    out[0] = in[0];
}
BODY(slice_longer)
{
    kiln_variable *v = kiln_local(k, kiln_zeros(k, KILN_F32, KILN_SHAPE(3, 2)));
    kiln_assign_slice(v, KILN_STARTS(0, 0), kiln_ones(k, KILN_F32, KILN_SHAPE(3)));
    out[0] = in[0];
}
BODY(slice_more_axes)
{
    kiln_variable *v = kiln_local(k, kiln_zeros(k, KILN_F32, KILN_SHAPE(3)));
    kiln_assign_slice(v, KILN_STARTS(0), kiln_ones(k, KILN_F32, KILN_SHAPE(1, 1)));
    out[0] = in[0];
}
BODY(slice_rank)
{
    kiln_variable *v = kiln_local(k, kiln_zeros(k, KILN_F32, KILN_SHAPE(3)));
    kiln_assign_slice(v, KILN_STARTS(0, 0), kiln_f32(k, KILN_SHAPE(1), 1));
    out[0] = in[0];
}
BODY(slice_size)
{
    kiln_variable *v = kiln_local(k, kiln_zeros(k, KILN_F32, KILN_SHAPE(3)));
    kiln_assign_add_slice(v, KILN_STARTS(0), kiln_zeros(k, KILN_F32, KILN_SHAPE(4)));
    out[0] = in[0];
}

static const struct {
    kiln_body *body;
    kiln_code code;
    const char *text;
    bool traced_only;
} misuse[] = {
    {grows_shape, KILN_ESHAPE, "kiln_for: carry 0 is f32[1], but its next value is f32[2]", false},
    {grows_dtype, KILN_EDTYPE, "kiln_for: carry 0 is f32[], but its next value is f64[]", false},
    {sets_nothing, KILN_ESTATE, "kiln_for: its body did not set output 0", false},
    {asks_number, KILN_EDTYPE, "kiln_while: the condition must give a bool scalar, not f32[]", false},
    {counts_number, KILN_EDTYPE, "kiln_for: needs an integer scalar, not f32[]", false},
    {cond_number, KILN_EDTYPE, "kiln_cond: needs a bool scalar, not f32[]", false},
    {cases_differ, KILN_ESHAPE, "kiln_cond: output 0 is f32[2] in case 0 and f32[] in case 1", true},
    {no_body, KILN_EVALUE, "kiln_cond: a body is NULL", false},
    {beyond_bound, KILN_EVALUE, "goes on after its bound of", false},
    {beyond_macro, KILN_EVALUE, "goes on after its bound of", false},
    {bound_below_zero, KILN_EVALUE, "kiln_while: the bound must be at least 1 step", false},
    {macro_below_zero, KILN_EVALUE, "KILN_WHILE_AT_MOST: the bound must be at least 1 step", false},
    {no_steps, KILN_EVALUE, "kiln_scan: with no steps", false},
    {unequal_lengths, KILN_ESHAPE, "does not have the length of the first of the xs", false},
    {slice_dtype, KILN_EDTYPE, "assign_slice: the variable is f32[3], the part i32[1]", false},
    {slice_longer, KILN_ESHAPE, "assign_slice: the variable is f32[3,2], the part f32[3]; the part must have the same dtype, no more axes", false},
    {slice_more_axes, KILN_ESHAPE, "assign_slice: the variable is f32[3], the part f32[1,1]; the part must", false},
    {slice_rank, KILN_ESHAPE, "assign_slice: 2 starts given for f32[3]", false},
    {slice_size, KILN_ESHAPE, "assign_add_slice: the variable is f32[3], the part f32[4]", false},
};

static void misuse_is_named(void **state)
{
    kiln *k = *state;
    for (size_t i = 0; i < sizeof misuse / sizeof *misuse; i++)
        for (int mode = misuse[i].traced_only; mode < 2; mode++) {
            KILN_SCOPE(k);
            kiln_eager(k, mode == 0);
            kiln_variable *rate = kiln_local(k, KILN_F32, 1.0);
            kiln_function *f = kiln_function_new(k, misuse[i].body, rate, NULL);
            kiln_call(f, kiln_scalar(k, KILN_F32, 0.5));
            const kiln_failure *e = kiln_error(k);
            if (e->code != misuse[i].code || !strstr(e->text, misuse[i].text))
                fail_msg("%zu, mode %d: wanted code %d, \"%s\", got %d: %s", i, mode, misuse[i].code, misuse[i].text, e->code, e->text);
            if (!strstr(e->text, "test_control_bodies.c")) fail_msg("%zu: no place: %s", i, e->text);
            kiln_clear(k);
            kiln_function_free(f);
        }
}

static void checks_itself(void **state)
{
    kiln *k = *state;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        KILN_SCOPE(k);
        kiln_function *f = function_of(k, cases[c].body, cases[c].name);
        kiln_tensor *x = kiln_scalar(k, KILN_F32, cases[c].at[1]);
        if (!kiln_check(stdout, f, &x, 1) || !kiln_check(stdout, kiln_grad(f), &x, 1))
            fail_msg("%s: %s", cases[c].name, kiln_error(k)->text);
        kiln_function_free(f);
    }
}

static void parts_of_lower_rank_go_where_they_should(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    static const float want[6] = {7, 0, 8, 9, 10, 0};
    float got[6];
    kiln_variable *v = kiln_variable_new(k, "v", kiln_zeros(k, KILN_F32, KILN_SHAPE(3, 2)));
    kiln_assign_slice(v, KILN_STARTS(0, 0), kiln_scalar(k, KILN_F32, 7));
    kiln_assign_slice(v, KILN_STARTS(1, 5), kiln_f32(k, KILN_SHAPE(2), 8, 9)); /* a start is clamped */
    kiln_assign_add_slice(v, KILN_STARTS(2, 0), kiln_variable_new(k, "ten", kiln_scalar(k, KILN_F32, 10)));
    assert_true(kiln_read(v, got, sizeof got));
    assert_memory_equal(got, want, sizeof got);
    assert_ok(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRONT_TEST(one_source_two_modes),
        FRONT_TEST(checks_itself),
        FRONT_TEST(parts_of_lower_rank_go_where_they_should),
        FRONT_TEST(long_scans_stack_in_groups),
        FRONT_TEST(misuse_is_named),
    };
    return cmocka_run_group_tests_name("control_bodies", tests, front_needs_llvm, NULL);
}
