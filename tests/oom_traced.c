/* oom_traced: what test_oom.c starves of traced code: functions, gradients, calls under tapes, loops and branches, effects, comparing and checking. */
#include "oom_programs.h"

/* ---- traced ---------------------------------------------------------------------------------------------------------------------- */
KILN_FUNCTION(wave, k, x)
{
    return kiln_mul(kiln_sin(x), kiln_sum(kiln_exp(x), KILN_KEEP(-1)));
}

KILN_FUNCTION(nested, k, x, y)
{
    kiln_tensor *turned = kiln_transpose(y, KILN_AXES(1, 0));
    kiln_tensor *whole = kiln_matmul_to(kiln_cast(x, KILN_I8), kiln_cast(turned, KILN_I8), KILN_I32);
    return kiln_add(kiln_matmul(wave(k, x), turned), kiln_cast(whole, KILN_F32));
}

static kiln_tensor *captured;
static void several(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    kiln_variable *count = user;
    kiln_assign_add(count, 1);
    out[0] = kiln_softmax(kiln_mul(in[0], captured), 1);
    out[1] = kiln_mul(kiln_sum(in[0], KILN_AXES(0)), count);
}

static void traced_functions(kiln *k, OomDigest *d)
{
    kiln_tensor *x = kiln_iota(k, KILN_F32, KILN_SHAPE(2, 5), 1), *out[2];
    for (int i = 0; i < 3; i++)
        oom_take(d, nested(k, x, kiln_add(x, i)));
    kiln_variable *count = kiln_variable_new(k, "count", KILN_F32, 0.0);
    captured = kiln_full(k, KILN_F32, KILN_SHAPE(5), 0.5);
    kiln_function *f = kiln_function_new(k, several, count, &(kiln_function_options){.name = "several", .outputs = 2,
        .inputs = {KILN_SPEC(KILN_F32, KILN_DIM("N", 1, 8), 5)}});
    for (int n = 1; n <= 5; n += 2) {
        KILN_SCOPE(k);
        kiln_operand in = KILN_OPERAND(kiln_ones(k, KILN_F32, KILN_SHAPE(n, 5)));
        if (kiln_call_all(f, &in, 1, out, 2))
            oom_take(d, out[0]), oom_take(d, out[1]);
    }
    kiln_function_free(f);
    kiln_variable_free(count);
}

static void traced_gradients(kiln *k, OomDigest *d)
{
    kiln_tensor *x = kiln_iota(k, KILN_F64, KILN_SHAPE(5), 0), *both[2], *g;
    oom_take(d, kiln_call(kiln_grad(KILN_FN(k, wave)), x));
    kiln_operand in = KILN_OPERAND(x);
    if (kiln_call_all(kiln_value_and_grad(KILN_FN(k, wave)), &in, 1, both, 2))
        oom_take(d, both[0]), oom_take(d, both[1]);
    KILN_TAPE(k, outer);
    kiln_watch(outer, x);
    {
        KILN_TAPE(k, inner);
        kiln_watch(inner, x);
        g = kiln_gradient(inner, wave(k, x), x);
    }
    oom_take(d, kiln_gradient(outer, g, x));
}

/* A call under a tape gives its products, too, which the tape keeps and the gradient reads: when the form that gives them is compiled, when it is there,
 * and after the function was freed. */
static void one_layer(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    kiln_tensor *y = kiln_matmul(in[0], in[1]);
    out[0] = kiln_sum(kiln_mul(y, y), KILN_ALL);
}

static void saved_products(kiln *k, OomDigest *d)
{
    kiln_function *f = kiln_function_new(k, one_layer, NULL, &(kiln_function_options){.name = "one_layer", .inputs_count = 2});
    kiln_tensor *x = kiln_iota(k, KILN_F32, KILN_SHAPE(4, 5), 0), *w = kiln_full(k, KILN_F32, KILN_SHAPE(5, 6), 0.1), *dx[2];
    for (int i = 0; i < 2; i++) {
        KILN_SCOPE(k);
        KILN_TAPE_PERSISTENT(k, tape);
        kiln_watch(tape, x), kiln_watch(tape, w);
        kiln_tensor *y = kiln_call(f, x, w);
        oom_take(d, y);
        if (i == 1) kiln_function_free(f);
        for (int again = 0; again < 2; again++)
            if (kiln_gradients(tape, y, KILN_IN(x, w), dx)) oom_take(d, dx[0]), oom_take(d, dx[1]);
    }
}

KILN_FUNCTION(series, k, x)
{
    kiln_variable *term = kiln_local(k, kiln_ones_like(x)), *sum = kiln_local(k, kiln_zeros_like(x));
    KILN_FOR(k, i, 4) {
        kiln_assign(term, kiln_mul(term, x));
        kiln_assign_add(sum, kiln_mul(term, kiln_cast(i, kiln_dtype_of(x))));
    }
    return kiln_value(sum);
}

/* Host kernels, then products in their place. */
static void convolved(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    KILN_TAPE(k, tape);
    kiln_watch(tape, in[0]);
    kiln_watch(tape, in[1]);
    kiln_tensor *y = kiln_convolve(in[0], in[1], (&(kiln_convolution){.groups = 2, .stride = {2, 1}, .pad = {{1, 0}, {1, 1}}}));
    kiln_tensor *z = kiln_attention(in[0], in[0], in[0], &(kiln_attention_options){.causal = true});
    kiln_gradients(tape, kiln_add(kiln_sum(kiln_mul(y, y), KILN_ALL), kiln_sum(z, KILN_ALL)), KILN_IN(in[0], in[1]), out);
}

static void convolutions(kiln *k, OomDigest *d)
{
    for (int no_blas = 0; no_blas < 2; no_blas++) {
        kiln_function *f = kiln_function_new(k, convolved, NULL, &(kiln_function_options){.outputs = 2, .inputs_count = 2, .no_blas = no_blas});
        kiln_tensor *out[2] = {NULL};
        kiln_call_all(f, KILN_IN(kiln_ones(k, KILN_F32, KILN_SHAPE(2, 5, 4, 4)), kiln_full(k, KILN_F32, KILN_SHAPE(2, 3, 2, 2), 0.5)), out, 2);
        for (int i = 0; i < 2; i++) oom_take(d, out[i]);
        kiln_function_free(f);
    }
}

static void loops(kiln *k, OomDigest *d)
{
    kiln_tensor *x = kiln_f32(k, KILN_SHAPE(3), 0.5, -1, 2);
    kiln_eager(k, true);
    oom_take(d, series(k, x));
    kiln_eager(k, false);
    oom_take(d, series(k, x));
    oom_take(d, kiln_call(kiln_grad(KILN_FN(k, series)), x));
}

static void squares_slice(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_add(in[1], in[2]);
    out[1] = kiln_square(out[0]);
}

/* Branches, a loop of unknown length and its gradient, a scan, a part of a local. */
KILN_FUNCTION(wandering, k, x)
{
    kiln_variable *y = kiln_local(k, x), *rows = kiln_local(k, kiln_zeros(k, KILN_F32, KILN_SHAPE(2, 3)));
    KILN_WHILE(k, kiln_less(kiln_sum(kiln_abs(y), KILN_ALL), 30.0)) {
        KILN_IF(kiln_less(kiln_sum(y, KILN_ALL), 4.0)) kiln_assign(y, kiln_add(kiln_mul(y, 2.0), 1.0));
        KILN_ELSE(k) kiln_assign(y, kiln_mul(y, 1.5));
    }
    kiln_tensor *first = kiln_zeros_like(x), *xs = kiln_stack((kiln_tensor *[]){x, kiln_value(y)}, 2, 0), *last, *ys;
    kiln_scan(k, squares_slice, &(kiln_scan_options){.carries = &first, .carries_count = 1, .xs = &xs, .xs_count = 1, .ys_count = 1}, &last,
        &ys, NULL);
    KILN_FOR(k, i, 2) kiln_assign_slice(rows, KILN_STARTS(i, 0), kiln_reshape(last, KILN_SHAPE(1, 3)));
    return kiln_add(kiln_sum(kiln_add(ys, rows), KILN_ALL), kiln_value(y));
}

static void control(kiln *k, OomDigest *d)
{
    kiln_tensor *x = kiln_f32(k, KILN_SHAPE(3), 0.5, -1, 2);
    kiln_eager(k, true);
    oom_take(d, wandering(k, x));
    kiln_eager(k, false);
    oom_take(d, wandering(k, x));
    oom_take(d, kiln_call(kiln_grad(KILN_FN(k, wandering)), x));
}

static int doubled(const kiln_array *in, int nin, const kiln_array *out, int nout, void *user)
{
    (void)nin, (void)nout, (void)user;
    *(float *)out[0].data = 2 * *(const float *)in[0].data;
    return 0;
}

static void watched(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_variable *v = kiln_local(k, in[0]);
    KILN_FOR(k, i, 3) {
        kiln_tensor *now = kiln_value(v), *next = NULL;
        kiln_callback(k, doubled, NULL, &now, 1, (kiln_spec[]){KILN_SPEC(KILN_F32)}, &next, 1);
        kiln_print((FILE *)user, next);
        kiln_assert_finite(next);
        kiln_assert_close(next, kiln_mul(now, 2), 0);
        kiln_assign(v, next);
    }
    kiln_print_text(k, (FILE *)user, "done\n");
    out[0] = kiln_value(v);
}

static void effects(kiln *k, OomDigest *d)
{
    FILE *to = fopen("/dev/null", "w");
    kiln_function *f = kiln_function_new(k, watched, to, NULL);
    for (int i = 0; i < 2; i++) oom_take(d, kiln_call(f, kiln_scalar(k, KILN_F32, 1.5)));
    kiln_function_free(f);
    fclose(to);
}

/* ---- looking inside ------------------------------------------------------------------------------------------------------------------- */
static void comparing(kiln *k, OomDigest *d)
{
    FILE *to = tmpfile();
    kiln_tensor *x = kiln_iota(k, KILN_F32, KILN_SHAPE(2, 5), 1);
    bool agree = kiln_compare(to, KILN_FN(k, wave), &x, 1, &(kiln_compare_options){.seconds = 1e-6});
    fclose(to);
    oom_take_bytes(d, &agree, sizeof agree);
}

static void checking(kiln *k, OomDigest *d)
{
    kiln_tensor *x = kiln_iota(k, KILN_F32, KILN_SHAPE(2, 5), 1);
    bool agree = kiln_check(NULL, KILN_FN(k, wave), &x, 1);
    oom_take_bytes(d, &agree, sizeof agree);
}

static void profiling(kiln *k, OomDigest *d)
{
    FILE *to = tmpfile();
    kiln_tensor *x = kiln_iota(k, KILN_F32, KILN_SHAPE(2, 5), 1);
    bool done = kiln_profile(to, KILN_FN(k, wave), KILN_IN(x), &(kiln_profile_options){.seconds = 1e-6});
    fclose(to);
    oom_take_bytes(d, &done, sizeof done);
}

OomProgram oom_traced[] = {
    {"traced_functions", traced_functions, true, 0}, {"traced_gradients", traced_gradients, true, 0}, {"saved_products", saved_products, true, 0},
    {"convolutions", convolutions, true, 0}, {"loops", loops, true, 0}, {"control", control, true, 0}, {"effects", effects, true, 0}, {"comparing", comparing, true, 0}, {"checking", checking, true, 0}, {"profiling", profiling, true, 0}, {0},
};
