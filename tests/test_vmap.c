/* test_vmap: functions that work on many examples at once (transform.h), against loops that call the function for each; Jacobians and
 * Hessians against differences and formulas; what is refused. */
#include "mapped.h"

/* ---- what is mapped ---------------------------------------------------------------------------------------------------- */
BODY(add, out[0] = kiln_add(in[0], in[1]))
BODY(activation, out[0] = kiln_gelu(kiln_mul(in[0], kiln_exp(in[1]))))
BODY(chosen, out[0] = kiln_where(kiln_less(in[0], in[1]), in[0], kiln_sin(in[1])))
BODY(casts, out[0] = kiln_cast(kiln_cast(in[0], KILN_F16), KILN_F64))
BODY(product, out[0] = kiln_matmul(in[0], in[1]))
BODY(shapes, out[0] = kiln_reshape(kiln_transpose(kiln_broadcast(in[0], S(2, 3, 4)), KILN_AXES(2, 0, 1)), S(4, -1)))
BODY(parts, out[0] = kiln_slice(in[0], 1, 3, 0, -2); out[1] = kiln_pad(in[0], S(1, 0), S(0, 2), 7))
BODY(joined, out[0] = kiln_concat(KILN_IN(in[0], in[1]), 1); out[1] = kiln_stack(KILN_IN(in[0], in[1]), 0))
BODY(sums, out[0] = kiln_sum(in[0], KILN_AXES(0)); out[1] = kiln_variance(in[0], KILN_AXES(1)); out[2] = kiln_reduce_max(in[0], KILN_ALL))
BODY(places, out[0] = kiln_argmax(in[0], 1); out[1] = kiln_argsort(in[0], 0, 0))
BODY(running, out[0] = kiln_cumsum(in[0], 0, KILN_REVERSE); out[1] = kiln_cumprod(in[0], 1, 0); out[2] = kiln_recurrence(in[0], in[0], 0, 0))
BODY(gathered, out[0] = kiln_gather(in[0], in[1], 1))
BODY(scattered, out[0] = kiln_scatter(in[0], in[1], in[2], 1, KILN_SCATTER_ADD); out[1] = kiln_scatter(in[0], in[1], in[2], 1, KILN_SCATTER_MAX))
BODY(convolved, out[0] = kiln_conv2d(in[0], in[1], &(kiln_window){.same = true, .stride = {2, 1}}))
BODY(grouped, out[0] = kiln_conv2d(in[0], in[1], &(kiln_window){.groups = 2}))
BODY(pooled, out[0] = kiln_max_pool(in[0], &(kiln_window){.size = {2, 2}}); out[1] = kiln_avg_pool(in[0], &(kiln_window){.size = {3, 2}, .stride = {1, 2}, .pad = {{1, 1}}}))
BODY(attended, out[0] = kiln_attention(in[0], in[1], in[1], (&(kiln_attention_options){.causal = true})))
BODY(masked, out[0] = kiln_attention(in[0], in[0], in[0], (&(kiln_attention_options){.mask = in[1]})))
BODY(constant_too, out[0] = kiln_ones(e, KILN_F32, S(3)); out[1] = kiln_mul(in[0], 2))
BODY(random_key, out[0] = kiln_random_bits(kiln_concat(KILN_IN(kiln_cast(in[0], KILN_U64), kiln_zeros(e, KILN_U64, S(1))), 0), S(3)))

static void turning(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_variable *x = kiln_local(e, in[0]), *same = kiln_local(e, in[1]);
    (void)user;
    KILN_FOR(e, i, 4) {
        kiln_assign(x, kiln_add(kiln_sin(kiln_value(x)), kiln_mul(in[1], kiln_cast(i, KILN_F64))));
        kiln_assign(same, kiln_add(same, 1));
    }
    out[0] = kiln_value(x);
    out[1] = kiln_value(same);
}

static void growing(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user) /* each example ends when it is large */
{
    kiln_variable *x = kiln_local(e, in[0]), *n = kiln_local(e, kiln_scalar(e, KILN_I64, 0));
    (void)user;
    KILN_WHILE(e, kiln_less(kiln_value(x), 3)) {
        kiln_assign(x, kiln_add(kiln_mul(kiln_value(x), kiln_value(x)), 0.4));
        kiln_assign(n, kiln_add(n, 1));
    }
    out[0] = kiln_value(x);
    out[1] = kiln_value(n);
}

static void nested(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_variable *x = kiln_local(e, in[0]), *turns = kiln_local(e, kiln_scalar(e, KILN_I64, 0));
    (void)user;
    KILN_WHILE(e, kiln_less(kiln_value(x), 10)) {
        kiln_assign(x, kiln_add(kiln_value(x), 2.5));
        kiln_variable *y = kiln_local(e, kiln_value(x));
        KILN_WHILE(e, kiln_greater(kiln_value(y), 1)) { /* without end for an example that is done: it would turn on and on */
            kiln_assign(y, kiln_mul(kiln_value(y), 0.5));
            kiln_assign(turns, kiln_add(turns, 1));
        }
        KILN_IF(kiln_greater(kiln_value(y), 0.7)) kiln_assign(x, kiln_add(kiln_value(x), kiln_value(y)));
    }
    out[0] = kiln_value(x);
    out[1] = kiln_value(turns);
}

static void counted(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user) /* as often as the example says */
{
    kiln_variable *x = kiln_local(e, in[0]);
    (void)user;
    KILN_FOR(e, i, in[1]) kiln_assign(x, kiln_add(kiln_mul(kiln_value(x), 1.5), kiln_cast(i, KILN_F64)));
    out[0] = kiln_value(x);
}

static void branching(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_variable *x = kiln_local(e, in[0]);
    (void)user;
    KILN_IF(kiln_greater(kiln_sum(in[0], KILN_ALL), 0)) kiln_assign(x, kiln_mul(kiln_value(x), 3));
    KILN_ELSE(e) kiln_assign(x, kiln_exp(kiln_value(x)));
    out[0] = kiln_value(x);
}

static void case_a(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user) { (void)e, (void)user, out[0] = kiln_mul(in[0], in[0]); }
static void case_b(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user) { (void)e, (void)user, out[0] = kiln_sin(in[0]); }
static void case_c(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user) { (void)e, (void)user, out[0] = kiln_neg(in[0]); }
static void switching(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    kiln_switch(e, kiln_sub(in[1], 1), ((kiln_body *[]){case_a, case_b, case_c}), 3, KILN_IN(in[0]), out, 1, NULL);
}

static void its_gradient(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    KILN_TAPE(e, tape);
    kiln_tensor *x = kiln_watch(tape, in[0]);
    kiln_variable *y = kiln_local(e, x);
    KILN_WHILE(e, kiln_less(kiln_reduce_max(kiln_value(y), KILN_ALL), 4)) kiln_assign(y, kiln_add(kiln_mul(kiln_value(y), kiln_value(y)), 0.5));
    out[0] = kiln_gradient(tape, kiln_sum(kiln_mul(kiln_value(y), in[1]), KILN_ALL), x);
}

static void thirds(kiln *e, kiln_tensor *g, kiln_tensor *const *x, kiln_tensor **dx, void *user)
{
    (void)e, (void)user;
    dx[0] = kiln_mul(kiln_mul(g, x[0]), 3); /* not what differentiation would give */
    dx[1] = kiln_sum(kiln_mul(g, x[0]), KILN_ALL);
}
static void with_own_gradient(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)e, (void)user;
    out[0] = kiln_custom_gradient(kiln_mul(in[0], in[1]), KILN_IN(in[0], in[1]), thirds, NULL);
}

static kiln_function *inner;
BODY(calls, out[0] = kiln_add(kiln_call(inner, in[0], in[1]), 1))
static void maps_itself(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user) /* rows of a matrix, with one vector */
{
    (void)e, (void)user;
    out[0] = kiln_call(kiln_vmap(inner, &(kiln_vmap_options){.in = {0, KILN_SHARED}}), in[0], in[1]);
}

#define R(title, run, ins, outs, letters, ...) {.name = title, .body = run, .nin = ins, .nout = outs, .dtype = letters, __VA_ARGS__}
static Row rows[] = {
    R("add", add, 2, 1, "ff", .shape = {S(3), S(3)}, .loops = ""),
    R("add of a scalar", add, 2, 1, "fF", .shape = {S(), S(2, 3)}),
    R("add along others", add, 2, 1, "ff", .shape = {S(2, 3), S(3)}, .axes = {{1, -1}, {-1}}),
    R("gelu", activation, 2, 1, "fF", .shape = {S(3), S(3)}),
    R("where", chosen, 2, 1, "ff", .shape = {S(3), S(3)}),
    R("casts", casts, 1, 1, "f", .shape = {S(2)}),
    R("vector . matrix", product, 2, 1, "fF", .shape = {S(4), S(4, 3)}, .loops = ""),
    R("matrix . matrix of all", product, 2, 1, "fF", .shape = {S(2, 4), S(4, 3)}),
    R("matrix of all . matrix", product, 2, 1, "Ff", .shape = {S(2, 4), S(4, 3)}),
    R("matrix . matrix", product, 2, 1, "ff", .shape = {S(2, 4), S(4, 3)}, .axes = {{2, 0}, {1}}),
    R("batched products", product, 2, 1, "fF", .shape = {S(2, 2, 4), S(2, 4, 3)}),
    R("shapes", shapes, 1, 1, "f", .shape = {S(3, 4)}, .loops = ""),
    R("slice, pad", parts, 1, 2, "f", .shape = {S(2, 4)}, .loops = ""),
    R("concat, stack", joined, 2, 2, "fF", .shape = {S(2, 3), S(2, 3)}, .loops = ""),
    R("sums", sums, 1, 3, "f", .shape = {S(3, 4)}, .axes = {{1}, {0, -1, 0}}, .loops = ""),
    R("argmax, argsort", places, 1, 2, "i", .shape = {S(3, 4)}, .loops = ""),
    R("running", running, 1, 3, "f", .shape = {S(3, 4)}, .loops = ""),
    R("gather", gathered, 2, 1, "fI", .shape = {S(2, 3, 2), S(4)}, .loops = ""),
    R("gather by own", gathered, 2, 1, "fi", .shape = {S(2, 3, 2), S(2, 2)}, .loops = ""),
    R("gather of one", gathered, 2, 1, "Fi", .shape = {S(2, 3, 2), S(4)}, .loops = ""),
    R("scatter", scattered, 3, 2, "fIf", .shape = {S(2, 3, 2), S(4), S(2, 4, 2)}, .loops = ""),
    R("scatter by own", scattered, 3, 2, "fif", .shape = {S(2, 3, 2), S(4), S(2, 4, 2)}, .loops = ""),
    R("scatter into one", scattered, 3, 2, "Fif", .shape = {S(2, 3, 2), S(4), S(2, 4, 2)}, .loops = ""),
    R("conv", convolved, 2, 1, "fF", .shape = {S(2, 5, 4, 2), S(3, 2, 2, 3)}, .loops = ""),
    R("conv with own filters", convolved, 2, 1, "ff", .shape = {S(2, 5, 4, 2), S(3, 2, 2, 3)}, .loops = ""),
    R("conv of one image", convolved, 2, 1, "Ff", .shape = {S(2, 5, 4, 2), S(3, 2, 2, 3)}, .loops = ""),
    R("groups", grouped, 2, 1, "ff", .shape = {S(2, 4, 4, 4), S(2, 2, 2, 6)}, .loops = ""),
    R("pools", pooled, 1, 2, "f", .shape = {S(2, 4, 4, 2)}, .loops = ""),
    R("attention", attended, 2, 1, "fF", .shape = {S(2, 3, 4), S(2, 5, 4)}, .loops = ""),
    R("attention, masks", masked, 2, 1, "ff", .shape = {S(2, 3, 4), S(3, 3)}),
    R("attention, one mask", masked, 2, 1, "fF", .shape = {S(2, 3, 4), S(2, 3, 3)}),
    R("constant", constant_too, 1, 2, "f", .shape = {S(3)}),
    R("random", random_key, 1, 1, "i", .shape = {S(1)}, .loops = "random_bits"),
    R("for", turning, 2, 2, "dD", .shape = {S(3), S(3)}, .loops = ""),
    R("while", growing, 1, 2, "d", .shape = {S()}, .loops = ""),
    R("nested", nested, 1, 2, "d", .shape = {S()}, .loops = ""),
    R("counted", counted, 2, 1, "di", .shape = {S(2), S()}, .loops = ""),
    R("if", branching, 1, 1, "d", .shape = {S(3)}, .loops = ""),
    R("switch", switching, 2, 1, "di", .shape = {S(3), S()}, .loops = ""),
    R("switch for all", switching, 2, 1, "dI", .shape = {S(3), S()}, .loops = ""),
    R("gradient", its_gradient, 2, 1, "dD", .shape = {S(2), S(2)}, .loops = ""),
    R("own gradient", with_own_gradient, 2, 1, "dd", .shape = {S(3), S()}),
    R("own gradient, shared", with_own_gradient, 2, 1, "dD", .shape = {S(3), S()}),
    R("calls", calls, 2, 1, "ff", .shape = {S(3), S(3)}),
    R("vmap of vmap", maps_itself, 2, 1, "ff", .shape = {S(4, 3), S(3)}),
};

static void as_a_loop_does(void **state)
{
    (void)state;
    inner = kiln_function_new(k, activation, NULL, &(kiln_function_options){.name = "inner", .inputs_count = 2});
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        KILN_SCOPE(k);
        const Row *r = &rows[i];
        kiln_function *f = kiln_function_new(k, r->body, NULL, &(kiln_function_options){.name = "each", .inputs_count = r->nin, .outputs = r->nout});
        like_a_loop(r, f, r->nout, 0, true);
        kiln_function_free(f);
    }
}

static bool floats(const Row *r)
{
    return strspn(r->dtype, "fdFD") == strlen(r->dtype) && r->body != its_gradient && r->body != casts;
}

static void gradients_of_both(void **state)
{
    (void)state;
    inner = kiln_function_new(k, activation, NULL, &(kiln_function_options){.name = "inner", .inputs_count = 2});
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        KILN_SCOPE(k);
        const Row *r = &rows[i];
        if (!floats(r)) continue;
        kiln_function *f = kiln_function_new(k, r->body, NULL, &(kiln_function_options){.name = "each", .inputs_count = r->nin, .outputs = r->nout});
        gradients_like_a_loop(r, f);
        kiln_function_free(f);
    }
}

/* One trace for any number of examples. */
static void any_number_of_examples(void **state)
{
    (void)state;
    kiln_function *f = kiln_function_new(k, growing, NULL, &(kiln_function_options){.name = "grow", .inputs_count = 1, .outputs = 2});
    kiln_function *all = kiln_vmap(f, NULL);
    kiln_function_statistics s;
    for (int n = 2; n < 12; n++) {
        KILN_SCOPE(k);
        kiln_tensor *out[2], *x = kiln_div(kiln_iota(k, KILN_F64, S(n), 0), 3);
        assert_true(kiln_call_all(all, KILN_IN(x), out, 2));
        for (int e = 0; e < n; e++) {
            kiln_tensor *one[2];
            assert_true(kiln_call_all(f, KILN_IN(one_of(x, 0, e)), one, 2));
            assert_true(kiln_item(one_of(out[0], 0, e)) == kiln_item(one[0]) && kiln_item(one_of(out[1], 0, e)) == kiln_item(one[1]));
        }
    }
    kiln_function_stats(all, &s);
    assert_true(s.traces <= 4);
}

/* Of none the results have their shapes. */
static void no_examples(void **state)
{
    (void)state;
    inner = kiln_function_new(k, activation, NULL, &(kiln_function_options){.name = "inner", .inputs_count = 2});
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        KILN_SCOPE(k);
        const Row *r = &rows[i];
        kiln_tensor *x[MOST], *none[MOST], *one[MOST], *out[MOST], *want[MOST];
        kiln_function *f = kiln_function_new(k, r->body, NULL, &(kiln_function_options){.name = "each", .inputs_count = r->nin, .outputs = r->nout});
        arguments(r, x);
        for (int n = 0; n < r->nin; n++) {
            none[n] = shared(r->dtype[n]) ? x[n] : kiln_slice(x[n], r->axes.in[n], 0, 0, 1);
            one[n] = shared(r->dtype[n]) ? x[n] : one_of(x[n], r->axes.in[n], 0);
        }
        if (!kiln_call_all(f, kiln_tensors(one, r->nin), want, r->nout) || !kiln_call_all(mapped(r, f, false), kiln_tensors(none, r->nin), out, r->nout))
            fail_msg("%s: %s", r->name, kiln_error(k)->text);
        for (int n = 0; n < r->nout; n++) {
            assert_true(kiln_rank(out[n]) == kiln_rank(want[n]) + 1 && kiln_dim(out[n], 0) == 0);
            for (int a = 0; a < kiln_rank(want[n]); a++) assert_int_equal(kiln_dim(out[n], a + 1), kiln_dim(want[n], a));
        }
        kiln_function_free(f);
    }
}

/* ---- matrices of derivatives --------------------------------------------------------------------------------------------- */
static void two_by_two(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)e, (void)user;
    out[0] = kiln_mul(kiln_matmul(in[0], in[1]), kiln_sum(in[1], KILN_ALL)); /* [2], of [2, 3] and [3] */
    out[1] = kiln_sum(kiln_exp(in[1]), KILN_ALL);
}

static void jacobians(void **state)
{
    (void)state;
    kiln_function *f = kiln_function_new(k, two_by_two, NULL, &(kiln_function_options){.name = "f", .inputs_count = 2, .outputs = 2});
    kiln_function *j = kiln_jacobian(f);
    assert_ptr_equal(j, kiln_jacobian(f));
    for (int eager = 0; eager < 2; eager++) {
        KILN_SCOPE(k);
        kiln_tensor *block[4], *a = filled('d', S(2, 3)), *x = filled('d', S(3));
        kiln_eager(k, eager);
        assert_true(kiln_call_all(j, KILN_IN(a, x), block, 4));
        kiln_eager(k, false);
        kiln_tensor *s = kiln_sum(x, KILN_ALL), *eye = kiln_cast(kiln_equal(kiln_iota(k, KILN_I64, S(2, 2), 0), kiln_iota(k, KILN_I64, S(2, 2), 1)), KILN_F64);
        same_bits("dy/da", block[0], kiln_mul(kiln_mul(kiln_expand(eye, 2), x), s), 1e-12);
        same_bits("dy/dx", block[1], kiln_add(kiln_mul(a, s), kiln_expand(kiln_matmul(a, x), 1)), 1e-12);
        same_bits("dz/da", block[2], kiln_zeros(k, KILN_F64, S(2, 3)), 0);
        same_bits("dz/dx", block[3], kiln_exp(x), 1e-12);
    }
}

static void cubes(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)e, (void)user;
    out[0] = kiln_sum(kiln_mul(kiln_mul(in[0], kiln_square(in[0])), in[1]), KILN_ALL); /* sum x^3 y */
}

static void hessians(void **state)
{
    (void)state;
    kiln_function *f = kiln_function_new(k, cubes, NULL, &(kiln_function_options){.name = "f", .inputs_count = 2});
    kiln_function *h = kiln_hessian(f), *hvp = kiln_hvp(f);
    for (int eager = 0; eager < 2; eager++) {
        KILN_SCOPE(k);
        kiln_tensor *block[4], *v[2], *x = filled('d', S(3)), *y = filled('d', S(3)), *u = filled('d', S(3)), *w = filled('d', S(3));
        kiln_eager(k, eager);
        assert_true(kiln_call_all(h, KILN_IN(x, y), block, 4) && kiln_call_all(hvp, KILN_IN(x, y, u, w), v, 2));
        kiln_eager(k, false);
        kiln_tensor *eye = kiln_cast(kiln_equal(kiln_iota(k, KILN_I64, S(3, 3), 0), kiln_iota(k, KILN_I64, S(3, 3), 1)), KILN_F64);
        kiln_tensor *xx = kiln_mul(eye, kiln_mul(kiln_mul(x, y), 6)), *xy = kiln_mul(eye, kiln_mul(kiln_square(x), 3));
        same_bits("xx", block[0], xx, 1e-12);
        same_bits("xy", block[1], xy, 1e-12);
        same_bits("yx", block[2], xy, 1e-12);
        same_bits("yy", block[3], kiln_zeros(k, KILN_F64, S(3, 3)), 0);
        same_bits("hvp x", v[0], kiln_add(kiln_matmul(xx, u), kiln_matmul(xy, w)), 1e-12);
        same_bits("hvp y", v[1], kiln_matmul(xy, u), 1e-12);
    }
}

/* ---- what is refused -------------------------------------------------------------------------------------------------------- */
static kiln_variable *outside;
BODY(assigns, kiln_assign(outside, kiln_sum(in[0], KILN_ALL)); out[0] = in[0])
BODY(assigns_the_same, kiln_assign_add(outside, 2); out[0] = kiln_mul(in[0], kiln_value(outside)))
BODY(prints, kiln_print(stderr, in[0]); out[0] = in[0])
BODY(asserts, kiln_assert(kiln_all(kiln_less(in[0], 3), KILN_ALL), "too much"); out[0] = kiln_add(in[0], 1))
BODY(eight, out[0] = kiln_reshape(in[0], S(1, 1, 1, 1, 1, 1, 1, -1)))

static kiln_function *of(Body *b, int nin) { return kiln_function_new(k, b, NULL, &(kiln_function_options){.name = "f", .inputs_count = nin}); }

static void refused(kiln_function *f, kiln_operands in, kiln_code code, const char *text)
{
    kiln_tensor *out = NULL;
    assert_false(kiln_call_all(f, in, &out, 1));
    if (kiln_error(k)->code != code || !strstr(kiln_error(k)->text, text)) fail_msg("%s, not %s", kiln_error(k)->text, text);
    kiln_clear(k);
}

static void errors(void **state)
{
    (void)state;
    kiln_tensor *x = kiln_ones(k, KILN_F64, S(4, 2));
    outside = kiln_variable_new(k, "outside", KILN_F64, 1);
    refused(kiln_vmap(of(assigns, 1), NULL), KILN_IN(x), KILN_EUNSUPPORTED, "variable outside would get another value for each example (");
    refused(kiln_vmap(of(prints, 1), NULL), KILN_IN(x), KILN_EUNSUPPORTED, "vmap: print (");
    refused(kiln_vmap(of(add, 2), NULL), KILN_IN(x, kiln_ones(k, KILN_F64, S(3, 2))), KILN_ESHAPE, "different numbers of examples: f64[4,2], f64[3,2]");
    refused(kiln_vmap(of(add, 2), NULL), KILN_IN(x, kiln_ones(k, KILN_F64, S())), KILN_ESHAPE, "input 1 has no axes");
    refused(kiln_vmap(of(add, 2), &(kiln_vmap_options){.in = {2}}), KILN_IN(x, x), KILN_ESHAPE, "axis 2 is out of range for rank 2");
    refused(kiln_vmap(of(add, 2), &(kiln_vmap_options){.in = {KILN_SHARED, KILN_SHARED}}), KILN_IN(x, x), KILN_EVALUE, "all are KILN_SHARED");
    refused(kiln_vmap(of(eight, 1), NULL), KILN_IN(x), KILN_ESHAPE, "8 axes already");
    assert_null(kiln_vmap(of(add, 0), NULL));
    kiln_clear(k);
    assert_null(kiln_vmap(NULL, NULL));
    kiln_clear(k);
    kiln_function *holds = kiln_vmap(of(asserts, 1), NULL);
    EXACTLY(kiln_call(holds, x), KILN_F64, S(4, 2), 2, 2, 2, 2, 2, 2, 2, 2);
    refused(holds, KILN_IN(kiln_mul(x, kiln_iota(k, KILN_F64, S(4, 2), 0))), KILN_EVALUE, "too much");
    EXACTLY(kiln_call(kiln_vmap(of(assigns_the_same, 1), NULL), kiln_ones(k, KILN_F64, S(2))), KILN_F64, S(2), 3, 3);
    assert_true(kiln_item(outside) == 3);
    kiln_variable_free(outside);
}

int main(void)
{
    const struct CMUnitTest tests[] = {ENGINE_TEST(as_a_loop_does), ENGINE_TEST(gradients_of_both), ENGINE_TEST(any_number_of_examples), ENGINE_TEST(no_examples),
        ENGINE_TEST(jacobians), ENGINE_TEST(hessians), ENGINE_TEST(errors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
