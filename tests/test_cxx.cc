/* cxx: the programs of docs/examples in C++17: values at once, tapes and higher order, traced functions, a training
 * step with captured state and a bounded batch, a loop. The same names and macros as in C; blocks end by destructors,
 * options are named structs. Relies on the public headers alone. */
#include <kiln/data.h>
#include <kiln/io.h>
#include <kiln/kiln.h>
#include <kiln/nn.h>

#include <cmath>
#include <csetjmp>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

extern "C" {
#include <cmocka.h>
}

#include "chain.h"

namespace {

int setup(void **state)
{
    kiln *k = kiln_open(nullptr);
    *state = k;
    return k ? 0 : -1;
}

int teardown(void **state) { return kiln_close(static_cast<kiln *>(*state)); }

void assert_ok(kiln *k)
{
    if (kiln_failed(k))
        fail_msg("unexpected error: %s", kiln_error(k)->text);
}

/* ---- 1: eager ------------------------------------------------------------------------------------------------- */
std::string printed(kiln_tensor *t)
{
    char *text = nullptr;
    std::size_t bytes = 0;
    std::FILE *to = open_memstream(&text, &bytes);
    kiln_print(to, t);
    std::fclose(to);
    std::string s(text, bytes);
    std::free(text);
    return s;
}

void values_at_once(void **state)
{
    kiln *k = static_cast<kiln *>(*state);
    KILN_SCOPE(k);
    kiln_tensor *a = kiln_i32(k, KILN_SHAPE(2, 2), 1, 2, 3, 4);
    kiln_tensor *b = kiln_add(a, 1);
    assert_string_equal(printed(kiln_mul(a, b)).c_str(), "[[ 2  6]\n [12 20]] i32[2,2]\n");
    std::int32_t c[4];
    assert_true(kiln_read(b, c, sizeof c));
    for (int i = 0; i < 4; i++)
        assert_int_equal(c[i], i + 2);
    assert_int_equal(kiln_rank(kiln_sum(a, KILN_AXES(-1))), 1);
    assert_int_equal(kiln_rank(kiln_sum(a, KILN_KEEP(-1))), 2);
    assert_int_equal(kiln_rank(kiln_sum(a, KILN_ALL)), 0);
    kiln_tensor *pair[] = {a, b};
    assert_int_equal(kiln_dim(kiln_concat(pair, 2, 0), 0), 4);
    assert_ok(k);
}

void errors_stick(void **state)
{
    kiln *k = static_cast<kiln *>(*state);
    KILN_SCOPE(k);
    kiln_tensor *bad = kiln_matmul(kiln_ones(k, KILN_F32, KILN_SHAPE(2, 3)), kiln_ones(k, KILN_F32, KILN_SHAPE(4, 2)));
    kiln_add(bad, 1);
    assert_true(kiln_failed(k));
    assert_int_equal(kiln_error(k)->code, KILN_ESHAPE);
    assert_non_null(std::strstr(kiln_error(k)->text, "test_cxx.cc"));
    kiln_clear(k);
}

kiln_tensor *kept(kiln *k)
{
    KILN_SCOPE(k); /* closed by return */
    return kiln_keep(kiln_full(k, KILN_F32, KILN_SHAPE(3), 2.5));
}

void scopes_close_by_destructors(void **state)
{
    kiln *k = static_cast<kiln *>(*state);
    KILN_SCOPE(k);
    kiln_tensor *t = kept(k);
    for (int i = 0; i < 3; i++) {
        KILN_SCOPE(k);
        if (i == 1)
            continue;
        kiln_exp(t);
    }
    assert_true(kiln_item(kiln_sum(t, KILN_ALL)) == 7.5);
    assert_ok(k);
}

void sixty_deep(void **state)
{
    kiln *k = static_cast<kiln *>(*state);
    KILN_SCOPE(k);
    kiln_tensor *one = kiln_ones(k, KILN_F32, KILN_SHAPE(2));
    assert_true(kiln_item(kiln_sum(CHAIN_60(one), KILN_ALL)) == 2 * (1 + CHAIN_SUM));
    assert_ok(k);
}

/* ---- 2: tape, variables, higher order --------------------------------------------------------------------------- */
void tapes_and_higher_order(void **state)
{
    kiln *k = static_cast<kiln *>(*state);
    KILN_SCOPE(k);
    kiln_variable *x = kiln_variable_new(k, "x", kiln_scalar(k, KILN_F32, 0.0));
    KILN_TAPE(k, outer);
    KILN_TAPE(k, inner);
    kiln_tensor *y = kiln_add(kiln_sub(kiln_pow(x, 2), kiln_mul(2.0, x)), 1.0);
    kiln_tensor *dy = kiln_gradient(inner, y, x);
    kiln_tensor *d2 = kiln_gradient(outer, dy, x);
    assert_true(kiln_item(dy) == -2);
    assert_true(kiln_item(d2) == 2);
    KILN_TAPE_PERSISTENT(k, twice);
    kiln_tensor *w = kiln_watch(twice, kiln_scalar(k, KILN_F64, 3));
    kiln_tensor *cube = kiln_mul(kiln_mul(w, w), w);
    assert_true(kiln_item(kiln_gradient(twice, cube, w)) == 27);
    assert_true(kiln_item(kiln_gradient(twice, kiln_mul(cube, 2), w)) == 54);
    assert_ok(k);
}

/* ---- 3: the decorator ---------------------------------------------------------------------------------------------- */
KILN_FUNCTION(func, k, w)
{
    return kiln_sqrt(kiln_add(kiln_exp(w), 1.0));
}

KILN_FUNCTION(affine, k, x, w, b)
{
    return kiln_add(kiln_matmul(x, w), b);
}

void decorator(void **state)
{
    kiln *k = static_cast<kiln *>(*state);
    KILN_SCOPE(k);
    kiln_tensor *w = kiln_scalar(k, KILN_F32, 2);
    kiln_eager(k, true);
    double eager = kiln_item(func(k, w));
    kiln_eager(k, false);
    for (int i = 0; i < 3; i++)
        assert_true(kiln_item(func(k, w)) == eager);
    kiln_function_statistics s;
    kiln_function_stats(KILN_FN(k, func), &s);
    assert_int_equal(s.traces, 1);
    assert_int_equal(s.hits, 2);
    assert_float_equal(kiln_item(kiln_call(kiln_grad(KILN_FN(k, func)), w)), 1.2755646, 1e-6);
    kiln_tensor *y = affine(k, kiln_ones(k, KILN_F32, KILN_SHAPE(2, 3)), kiln_ones(k, KILN_F32, KILN_SHAPE(3, 4)),
                            kiln_full(k, KILN_F32, KILN_SHAPE(4), 0.5));
    assert_true(kiln_item(kiln_mean(y, KILN_ALL)) == 3.5);
    assert_ok(k);
}

/* ---- 4: a training step ------------------------------------------------------------------------------------------------ */
struct net { kiln_dense *hidden, *out; kiln_optimizer *adam; };

void step(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    net *n = static_cast<net *>(user);
    KILN_TAPE(k, tape);
    kiln_tensor *h = kiln_relu(kiln_dense_apply(n->hidden, in[0]));
    out[0] = kiln_cross_entropy(kiln_dense_apply(n->out, h), in[1]);
    kiln_optimizer_minimize(n->adam, tape, out[0]);
}

/* 4 epochs of 50 pairs in batches of 16, the last one shorter. */
void train(kiln *k, bool eager, float loss[16], kiln_function_statistics *stats)
{
    KILN_SCOPE(k);
    kiln_eager(k, eager);
    kiln_variable *g = kiln_generator(k, 5);
    net n = {kiln_dense_new(k, 10, 20, g), kiln_dense_new(k, 20, 4, g), kiln_adam(k, 0.02)};
    kiln_tensor *x = kiln_normal(g, KILN_F32, KILN_SHAPE(50, 10), 0, 1);
    kiln_tensor *label = kiln_argmax(kiln_slice(x, 1, 0, 4, 1), 1);
    kiln_dataset *data = kiln_dataset_new(k, x, label);
    kiln_function_options options = {};
    options.name = "train_step";
    options.inputs[0] = KILN_SPEC(KILN_F32, KILN_DIM("N", 1, 32), 10);
    options.inputs[1] = KILN_SPEC(KILN_I64, KILN_DIM("N", 1, 32));
    kiln_function *f = kiln_function_new(k, step, &n, &options);
    int at = 0;
    for (std::uint64_t epoch = 1; epoch <= 4; epoch++)
        for (kiln_batch b = kiln_batches(data, 16, epoch); kiln_next(&b);) {
            KILN_SCOPE(k);
            loss[at++] = static_cast<float>(kiln_item(kiln_call(f, b.x, b.y)));
        }
    assert_int_equal(at, 16);
    kiln_function_stats(f, stats);
    kiln_dataset_free(data);
    kiln_eager(k, false);
    assert_ok(k);
}

void training_step_with_bounded_batch(void **state)
{
    kiln *k = static_cast<kiln *>(*state);
    float loss[2][16];
    kiln_function_statistics stats = {};
    train(k, true, loss[0], &stats);
    train(k, false, loss[1], &stats);
    assert_memory_equal(loss[0], loss[1], sizeof loss[0]);
    assert_true(loss[1][15] < loss[1][0]);
    assert_int_equal(stats.traces, 1); /* batches of 16 and of 2 */
}

/* ---- static arguments and what is not traced ------------------------------------------------------------------------------- */
kiln_variable *bias;
void powers(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *)
{
    if (!bias) {
        KILN_EAGERLY(k);
        bias = kiln_variable_new(k, "bias", kiln_full(k, KILN_F32, KILN_SHAPE(), 0.5));
    }
    out[0] = kiln_mul(in[0], kiln_static_f64(in[2]));
    for (int64_t i = 0; i < kiln_static_i64(in[1]); i++)
        out[0] = kiln_mul(out[0], in[0]);
    if (!std::strcmp(kiln_static_text(in[3]), "minus"))
        out[0] = kiln_neg(out[0]);
    out[0] = kiln_add(out[0], bias);
}

void static_arguments(void **state)
{
    kiln *k = static_cast<kiln *>(*state);
    KILN_SCOPE(k);
    kiln_function_options o = {};
    o.name = "powers";
    o.inputs[0] = KILN_SPEC(KILN_F32);
    o.inputs[1] = o.inputs[2] = o.inputs[3] = KILN_SPEC_STATIC;
    bias = nullptr;
    kiln_function *f = kiln_function_new(k, powers, nullptr, &o);
    char sign[] = "minus";
    assert_true(kiln_item(kiln_call(f, 2.0, KILN_STATIC(0), KILN_STATIC(0.5f), KILN_STATIC("plus"))) == 1.5);
    assert_true(kiln_item(kiln_call(f, kiln_f32(k, KILN_SHAPE(), 2), KILN_STATIC(0), KILN_STATIC(0.5f), KILN_STATIC("plus"))) == 1.5);
    assert_true(kiln_item(kiln_call(f, 2.0, KILN_STATIC(2), KILN_STATIC(1), KILN_STATIC(sign))) == -7.5);
    assert_ok(k);
}

/* ---- 5: a loop from the same source --------------------------------------------------------------------------------------- */
kiln_variable *where_to;

KILN_FUNCTION(minimise, k, epochs)
{
    KILN_FOR(k, i, epochs) {
        KILN_TAPE(k, tape);
        kiln_tensor *y = kiln_square(kiln_sub(where_to, 3.0));
        kiln_assign_sub(where_to, kiln_mul(0.125, kiln_gradient(tape, y, where_to)));
    }
    return kiln_square(kiln_sub(where_to, 3.0));
}

void loops(void **state)
{
    kiln *k = static_cast<kiln *>(*state);
    KILN_SCOPE(k);
    where_to = kiln_variable_new(k, "where_to", kiln_scalar(k, KILN_F32, 1));
    for (int mode = 0; mode < 2; mode++) { /* each step keeps three quarters of the distance */
        kiln_assign(where_to, 1.0);
        kiln_eager(k, mode == 0);
        assert_true(kiln_item(minimise(k, kiln_scalar(k, KILN_I32, 2))) == 4 * 0.31640625);
        assert_true(kiln_item(minimise(k, kiln_scalar(k, KILN_I32, 1))) == 4 * 0.31640625 * 0.5625);
    }
    kiln_function_statistics s;
    kiln_function_stats(KILN_FN(k, minimise), &s);
    assert_int_equal(s.traces, 1);
    assert_ok(k);
}

/* ---- 5: branches and loops of unknown length -------------------------------------------------------------------------------- */
KILN_FUNCTION(wander, k, x)
{
    kiln_variable *y = kiln_local(k, x), *steps = kiln_local(k, KILN_F32, 0.0);
    KILN_WHILE(k, kiln_less(y, 10.0))
    {
        KILN_IF(kiln_less(y, 1.0)) kiln_assign(y, kiln_add(y, 1.5));
        KILN_ELSE(k)
        {
            kiln_assign(y, kiln_mul(y, 2.0));
            continue;
        }
        kiln_assign_add(steps, 1.0);
    }
    return kiln_add(y, steps);
}

KILN_FUNCTION(leaves, k, x)
{
    KILN_IF(kiln_less(x, 10.0)) return x;
    return kiln_add(x, 1.0);
}

void branches(void **state)
{
    kiln *k = static_cast<kiln *>(*state);
    KILN_SCOPE(k);
    for (int mode = 0; mode < 2; mode++) {
        kiln_eager(k, mode == 0);
        assert_true(kiln_item(wander(k, kiln_scalar(k, KILN_F32, 0.5))) == 20);
        assert_true(kiln_item(wander(k, kiln_scalar(k, KILN_F32, 4))) == 18);
        assert_ok(k);
        leaves(k, kiln_scalar(k, KILN_F32, 1));
        assert_true(kiln_failed(k) == (mode == 1));
        kiln_clear(k);
    }
}

kiln_variable *bumped;

KILN_RESULTS(twice, out, 2, k, x)
{
    out[0] = kiln_mul(x, 2);
    out[1] = kiln_mul(out[0], 2);
}

KILN_PROCEDURE(bump, k, x) { kiln_assign_add(bumped, x); }

void results_and_procedures(void **state)
{
    kiln *k = static_cast<kiln *>(*state);
    KILN_SCOPE(k);
    kiln_tensor *out[2], *x = kiln_scalar(k, KILN_F32, 3);
    bumped = kiln_variable_new(k, "bumped", KILN_F32, 1);
    kiln_eager(k, true);
    assert_true(twice(k, x, out) && kiln_item(out[1]) == 12);
    assert_true(bump(k, x) && kiln_item(bumped) == 4);
    assert_null(kiln_call(KILN_FN(k, bump), x));
    kiln_eager(k, false);
    assert_ok(k);
}

void doubled_step(kiln *, kiln_tensor *const *in, kiln_tensor **out, void *)
{
    out[0] = kiln_mul(in[1], 2);
}

void same_back(kiln *, kiln_tensor *g, kiln_tensor *const *, kiln_tensor **dx, void *)
{
    dx[0] = kiln_mul(g, 3);
}

void first_of(kiln *, kiln_tensor *const *in, kiln_tensor **out, void *)
{
    out[0] = kiln_mul(in[0], in[1]);
}

void lists_in_control_flow(void **state)
{
    kiln *k = static_cast<kiln *>(*state);
    KILN_SCOPE(k);
    kiln_variable *v = kiln_variable_new(k, "v", 5);
    kiln_tensor *out[1], *old[1] = {kiln_value(v)};
    assert_true(kiln_for(k, 3, doubled_step, KILN_IN(v), out, nullptr) && kiln_item(out[0]) == 40);
    assert_true(kiln_for(k, 3, doubled_step, old, 1, out, nullptr) && kiln_item(out[0]) == 40);
    assert_true(kiln_cond(k, true, first_of, first_of, KILN_IN(v, 2), out, 1, nullptr) && kiln_item(out[0]) == 10);
    kiln_operand first[] = {v};
    kiln_scan_options o = {};
    o.carries_in = kiln_operand_list(first, 1);
    o.steps = 2;
    assert_true(kiln_scan(k, doubled_step, &o, out, nullptr, nullptr) && kiln_item(out[0]) == 20);
    kiln_variable *w = kiln_variable_new(k, "w", KILN_F32, 2.0);
    KILN_TAPE(k, tape);
    kiln_tensor *y = kiln_custom_gradient(kiln_mul(w, w), KILN_IN(w), same_back, nullptr);
    assert_true(kiln_item(kiln_gradient(tape, y, w)) == 3);
    assert_ok(k);
}

void numbers_of_any_dtype(void **state)
{
    kiln *k = static_cast<kiln *>(*state);
    KILN_SCOPE(k);
    double out[3];
    kiln_tensor *x = kiln_numbers(k, KILN_F16, KILN_SHAPE(3), 1, 0.5, -2);
    assert_int_equal(kiln_dtype_of(x), KILN_F16);
    assert_true(kiln_read_doubles(kiln_add(x, kiln_local(k, KILN_F16, 0.5)), out, 3));
    assert_true(out[0] == 1.5 && out[1] == 1 && out[2] == -1.5);
    assert_true(*static_cast<const uint64_t *>(kiln_data(kiln_u64(k, KILN_SHAPE(1), UINT64_MAX))) == UINT64_MAX);
    assert_true(static_cast<const int8_t *>(kiln_data(kiln_i8(k, KILN_SHAPE(2), 1, -128)))[1] == -128);
    assert_int_equal(kiln_dtype_of(kiln_value(kiln_variable_new(k, "n", 3))), KILN_I64);
    assert_int_equal(kiln_dtype_of(kiln_value(kiln_local(k, true))), KILN_BOOL);
    kiln_variable *v = kiln_variable_new(k, "v", x);
    assert_int_equal(kiln_dim(kiln_concat(KILN_IN(x, v), 0), 0), 6);
    kiln_tensor *list[] = {x, x}, *dx[2];
    assert_int_equal(kiln_dim(kiln_stack(kiln_tensors(list, 2), 0), 0), 2);
    {
        KILN_TAPE(k, tape);
        kiln_watch(tape, x);
        kiln_variable *loss = kiln_local(k, kiln_mul(x, v));
        assert_true(kiln_gradients(tape, loss, KILN_IN(x, v), dx));
        assert_true(kiln_read_doubles(dx[0], out, 3) && out[1] == 0.5);
    }
    kiln_dense *layer = kiln_dense_new(k, 2, 2, KILN_ZEROS);
    assert_true(kiln_item(kiln_norm(kiln_dense_weight(layer))) == 0);
    assert_ok(k);
}

/* ---- devices: blocks end by destructors ------------------------------------------------------------------------ */
const char *made_on(kiln *k, const char *device)
{
    KILN_DEVICE(k, device);
    for (int i = 0; i < 2; i++) {
        KILN_DEVICE(k, "cpu");
        if (i) return kiln_device_of(kiln_i32(k, KILN_SHAPE(2), 1, 2));
    }
    return "";
}

void devices(void **state)
{
    kiln *k = static_cast<kiln *>(*state);
    KILN_SCOPE(k);
    kiln_device_info info[8];
    assert_true(kiln_devices(info, 8) >= 1 && std::string(info[0].name) == "cpu");
    assert_true(std::string(made_on(k, "cpu")) == "cpu");
    kiln_tensor *x = kiln_to(kiln_i32(k, KILN_SHAPE(2), 1, 2), "cpu");
    kiln_variable *v = kiln_variable_new(k, "v", x);
    assert_true(kiln_sync(k, nullptr) && kiln_item(kiln_sum(kiln_to(v, "cpu"), KILN_ALL)) == 3);
    assert_ok(k);
    {
        KILN_DEVICE(k, "none:0");
        assert_int_equal(kiln_error(k)->code, KILN_EDEVICE);
        kiln_clear(k);
    }
}

} // namespace

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main()
{
    const CMUnitTest tests[] = {
        CASE(values_at_once), CASE(lists_in_control_flow), CASE(errors_stick), CASE(scopes_close_by_destructors), CASE(sixty_deep), CASE(tapes_and_higher_order),
        CASE(decorator), CASE(training_step_with_bounded_batch), CASE(static_arguments), CASE(loops), CASE(branches), CASE(numbers_of_any_dtype), CASE(results_and_procedures), CASE(devices),
    };
    return cmocka_run_group_tests_name("cxx", tests, nullptr, nullptr);
}
