/* caps: what a program may nest, stack and share inside compiled code has no bound that breaks it: what once was an error, a loss of fusion or a
 * compile time that doubles with each level is tried beyond the old bound, bit for bit with eager code. Skipped without the LLVM module. */
#include "front.h"

#include <kiln/aot.h>
#include <stdlib.h>

#include "ir/text.h"

static int many;

static void both_ways(kiln *k, kiln_body *body, int n, int outputs, uint32_t kernels_most)
{
    KILN_SCOPE(k);
    many = n;
    kiln_tensor **out[2] = {calloc((size_t)outputs, sizeof(kiln_tensor *)), calloc((size_t)outputs, sizeof(kiln_tensor *))};
    kiln_function *f = kiln_function_new(k, body, NULL, &(kiln_function_options){.outputs = outputs, .inputs_count = 1, .fixed_sizes = true});
    kiln_tensor *x = kiln_mul(kiln_iota(k, KILN_F32, KILN_SHAPE(30), 0), 0.01);
    for (int eager = 0; eager < 2; eager++) {
        kiln_eager(k, eager);
        assert_true(kiln_call_all_of_at(KILN_HERE, f, kiln_tensors(&x, 1), out[eager], outputs));
        assert_ok(k);
    }
    kiln_eager(k, false);
    for (int i = 0; i < outputs; i++) {
        assert_int_equal(kiln_bytes(out[0][i]), kiln_bytes(out[1][i]));
        assert_memory_equal(kiln_data(out[0][i]), kiln_data(out[1][i]), (size_t)kiln_bytes(out[0][i]));
    }
    kiln_function_statistics s;
    kiln_function_stats(f, &s);
    if (s.kernels > kernels_most) fail_msg("%u kernels, wanted at most %u", s.kernels, kernels_most);
    kiln_function_free(f);
    free(out[0]);
    free(out[1]);
}

/* ---- pads and concats on top of each other ------------------------------------------------------------------------------ */
static void pads(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    kiln_tensor *x = in[0];
    for (int i = 0; i < many; i++) x = kiln_slice(kiln_pad(x, KILN_SHAPE(1), KILN_SHAPE(1), 0.5 + i), 0, i % 3, i % 3 + 30, 1);
    out[0] = kiln_exp(x);
}

static void concats(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    kiln_tensor *x = in[0];
    for (int i = 0; i < many; i++) {
        kiln_tensor *both[2] = {kiln_neg(kiln_slice(x, 0, 1, KILN_END, 1)), kiln_slice(in[0], 0, i % 30, i % 30 + 1, 1)};
        x = kiln_concat(both, 2, 0);
    }
    out[0] = x;
}

static void sums_of_pads(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    pads(k, in, out, user);
    kiln_tensor *row = kiln_sum(kiln_exp(out[0]), KILN_KEEP_ALL);
    out[0] = kiln_mul(out[0], row);
}

static void movement_stacks_without_bound(void **state)
{
    static const int counts[] = {31, 33, 120};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        both_ways(*state, pads, counts[i], 1, 1);
        both_ways(*state, sums_of_pads, counts[i], 1, 3);
        both_ways(*state, concats, counts[i], 1, 3);
    }
}

/* ---- a value that many read ------------------------------------------------------------------------------------------------ */
static void readers(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    kiln_tensor *x = kiln_exp(in[0]);
    for (int i = 0; i < many; i++) out[i] = kiln_tanh(kiln_mul(x, 1.0 + i));
}

/* Kernels of at most 16 results: the readers beyond the 64th are joined as the others are. */
static void all_readers_of_a_value_are_joined(void **state)
{
    both_ways(*state, readers, 16, 16, 2);
    both_ways(*state, readers, 64, 64, 6);
    both_ways(*state, readers, 200, 200, 16);
}

/* ---- bodies in bodies ------------------------------------------------------------------------------------------------------ */
static void nest(kiln *k, kiln_variable *v, int depth)
{
    if (depth == 0)
        kiln_assign(v, kiln_mul(v, 1.5));
    else
        KILN_FOR(k, i, 1) nest(k, v, depth - 1);
}

static void nested(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    kiln_variable *v = kiln_local(k, in[0]);
    nest(k, v, many);
    out[0] = kiln_value(v);
}

/* Each level took twice the time of the one inside it. */
static void sixty_loops_in_loops(void **state) { both_ways(*state, nested, 60, 1, 3); }

/* ---- text -------------------------------------------------------------------------------------------------------------------- */
static void text_with_600_dims(void **state)
{
    (void)state;
    Arena a;
    Text t = {0}, again = {0};
    Status st = {0};
    arena_init(&a);
    text_printf(&t, "module {\n  dims ");
    for (int i = 0; i < 600; i++) text_printf(&t, "%sn%d in [1,%d]", i ? ", " : "", i, i + 2);
    text_printf(&t, "\n}\n\ngraph @f(");
    for (int i = 0; i < 600; i++) text_printf(&t, "%s%%%d: f32[n%d]", i ? ", " : "", i + 1, i);
    text_printf(&t, ") -> (%%1) {\n}\n");
    const Module *m = module_parse(&a, t.at, t.len, &st);
    if (!m) fail_msg("%s", st.text);
    module_print(&again, m);
    assert_non_null(strstr(again.at, "n599 in [1,601]"));
    text_free(&t);
    text_free(&again);
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRONT_TEST(movement_stacks_without_bound), FRONT_TEST(all_readers_of_a_value_are_joined), FRONT_TEST(sixty_loops_in_loops),
        cmocka_unit_test(text_with_600_dims),
    };
    return cmocka_run_group_tests_name("caps", tests, front_needs_llvm, NULL);
}
