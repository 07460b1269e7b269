/* test_vmap_sized: kiln_vmap of functions that count a size of each example (sized.h), against loops that call the function for each;
 * their gradients; in maps of maps, loops, branches and calls; and what has another size for each example, as an error. Objects of such
 * maps are in test_sized_aot.c. */
#include "mapped.h"

#define KEPT kiln_greater(in[0], 0)
#define ALL(x) kiln_sum((x), KILN_ALL)

/* The elements of c, with zeros behind up to the size of `like`. */
static kiln_tensor *filled_up(kiln_tensor *like, kiln_tensor *c)
{
    return kiln_scatter(kiln_mul(like, 0), kiln_iota_along(c, 0, KILN_I64), c, 0, KILN_SCATTER_ADD);
}

BODY(kept_sum, out[0] = ALL(kiln_compress(in[0], KEPT, 0)))
BODY(sorted, out[0] = filled_up(in[0], kiln_sort(kiln_compress(in[0], KEPT, 0), 0, 0)))
BODY(places_of, out[0] = kiln_sum(kiln_nonzero(KEPT), KILN_AXES(1)))
BODY(same_for_all, kiln_tensor *m = kiln_greater(in[1], 0); out[0] = ALL(kiln_compress(in[0], m, 0));
     out[1] = kiln_mul(ALL(kiln_compress(in[0], kiln_and(m, KEPT), 0)), out[0]))

static void different(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_tensor *u[2];
    (void)e, (void)user;
    kiln_unique_counts(kiln_round(kiln_mul(in[0], 3)), u);
    out[0] = ALL(kiln_iota_along(u[0], 0, KILN_I64));
    out[1] = kiln_reduce_max(u[1], KILN_ALL);
}

static void rows_kept(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_tensor *rows = kiln_masked(in[0], kiln_greater(kiln_sum(in[0], KILN_AXES(1)), 0));
    (void)e, (void)user;
    out[0] = kiln_sum(kiln_softmax(kiln_matmul(rows, in[1]), 1), KILN_AXES(0));
}

static void of_those_kept(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_tensor *c = kiln_compress(in[0], KEPT, 0);
    (void)e, (void)user;
    out[0] = ALL(kiln_square(kiln_compress(c, kiln_less(c, 0.5), 0)));
}

/* Two sizes that know nothing of each other, and sums of each that the other needs. */
static void crossed(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_tensor *a = kiln_compress(in[0], KEPT, 0), *b = kiln_compress(in[1], kiln_less(in[1], 0.25), 0), *p = ALL(a), *q = ALL(b);
    (void)e, (void)user;
    out[0] = ALL(kiln_mul(a, q));
    out[1] = ALL(kiln_mul(b, kiln_add(kiln_sin(p), 1)));
    out[2] = kiln_add(p, q);
}

/* Both in one value, though the second is counted later. */
static void joined(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_tensor *a = kiln_compress(in[0], KEPT, 0), *b = kiln_compress(in[1], kiln_less(in[1], 0.25), 0);
    (void)e, (void)user;
    out[0] = ALL(kiln_cumsum(kiln_concat(KILN_IN(a, b), 0), 0, 0));
}

/* What lies between two of them is done for all examples at once. */
static void in_a_row(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_tensor *s = ALL(kiln_compress(in[0], KEPT, 0)), *y = kiln_tanh(kiln_add(kiln_matmul(in[0], in[1]), s));
    (void)e, (void)user;
    out[0] = ALL(kiln_compress(y, kiln_greater(y, 0.3), 0));
    out[1] = y;
}

static kiln_tensor *above(kiln_tensor *x, double a) { return ALL(kiln_compress(x, kiln_greater(x, a), 0)); }

static void turning(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_variable *x = kiln_local(e, in[0]), *s = kiln_local(e, ALL(in[0]));
    (void)user;
    KILN_FOR(e, i, 3) {
        kiln_assign_add(s, above(kiln_value(x), 0.1));
        kiln_assign(x, kiln_sin(kiln_add(x, kiln_mul(s, kiln_cast(i, KILN_F64)))));
    }
    out[0] = kiln_value(s);
    out[1] = kiln_value(x);
}

/* Each example ends after turns of its own, and those that are done have no largest kept element: nobody asks them for it. */
static void until_none_is_left(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_variable *x = kiln_local(e, in[0]), *n = kiln_local(e, kiln_scalar(e, KILN_I64, 0));
    (void)user;
    KILN_WHILE(e, kiln_greater(kiln_count_nonzero(kiln_nonzero(kiln_greater(x, 0)), KILN_ALL), 0)) {
        kiln_tensor *v = kiln_value(x);
        kiln_assign(x, kiln_sub(v, kiln_add(kiln_mul(kiln_reduce_max(kiln_compress(v, kiln_greater(v, 0), 0), KILN_ALL), 0.5), 0.1)));
        kiln_assign(n, kiln_add(n, 1));
    }
    out[0] = kiln_value(x);
    out[1] = kiln_value(n);
}

static void branching(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_variable *y = kiln_local(e, ALL(in[0]));
    (void)user;
    KILN_IF(kiln_any(KEPT, KILN_ALL)) kiln_assign(y, kiln_reduce_max(kiln_compress(in[0], KEPT, 0), KILN_ALL));
    KILN_ELSE(e) kiln_assign(y, kiln_mul(y, 2));
    out[0] = kiln_value(y);
}

static void its_gradient(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    KILN_TAPE(e, tape);
    kiln_watch(tape, in[0]);
    kiln_tensor *c = kiln_compress(in[0], KEPT, 0), *y = ALL(kiln_mul(kiln_square(c), kiln_cumsum(c, 0, 0)));
    out[0] = kiln_gradient(tape, y, in[0]);
}

static void boxes_left(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_tensor *b = kiln_abs(in[0]), *s = kiln_expand(kiln_expand(in[1], 0), 0);
    (void)e, (void)user;
    kiln_tensor *taken = kiln_non_max_suppression(kiln_expand(b, 0), s, 3, 0.3, -0.5, true);
    out[0] = ALL(kiln_gather(in[1], kiln_squeeze(kiln_slice(taken, 1, 2, 3, 1), 1), 0));
    out[1] = kiln_sum(taken, KILN_AXES(0));
}

static void steep(kiln *e, kiln_tensor *g, kiln_tensor *const *x, kiln_tensor **dx, void *user)
{
    (void)e, (void)user;
    dx[0] = kiln_mul(g, kiln_square(x[0]));
}

static void with_own_gradient(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_tensor *c = kiln_compress(in[0], KEPT, 0);
    (void)user;
    out[0] = ALL(kiln_mul(kiln_custom_gradient(kiln_sin(c), KILN_IN(c), steep, NULL), in[1]));
    (void)e;
}

static void asserting(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    kiln_tensor *c = kiln_compress(in[0], KEPT, 0);
    KILN_IF(kiln_any(KEPT, KILN_ALL)) kiln_assert(kiln_less(kiln_reduce_max(c, KILN_ALL), 3), "too much");
    out[0] = ALL(c);
    (void)e;
}

static kiln_function *inner;
static void calls(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)e, (void)user;
    out[0] = kiln_mul(kiln_call(inner, in[0]), 2);
}

static void maps_itself(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)e, (void)user;
    out[0] = kiln_call(kiln_vmap(inner, NULL), in[0]);
}


#define R(name, body, nin, nout, types, ...) {name, body, nin, nout, .dtype = types, __VA_ARGS__}
static const Row rows[] = {
    R("sum", kept_sum, 1, 1, "d", .shape = {S(6)}),
    R("sorted", sorted, 1, 1, "f", .shape = {S(7)}),
    R("places", places_of, 1, 1, "f", .shape = {S(3, 4)}, .axes = {{2}}),
    R("one size for all", same_for_all, 2, 2, "dD", .shape = {S(6), S(6)}),
    R("different", different, 1, 2, "f", .shape = {S(8)}),
    R("rows", rows_kept, 2, 1, "dD", .shape = {S(5, 3), S(3, 4)}),
    R("twice", of_those_kept, 1, 1, "d", .shape = {S(9)}),
    R("crossed", crossed, 2, 3, "dd", .shape = {S(6), S(4)}),
    R("joined", joined, 2, 1, "dd", .shape = {S(6), S(4)}),
    R("in a row", in_a_row, 2, 2, "dD", .shape = {S(6), S(6, 6)}),
    R("for", turning, 1, 2, "d", .shape = {S(6)}),
    R("while", until_none_is_left, 1, 2, "d", .shape = {S(6)}),
    R("if", branching, 1, 1, "d", .shape = {S(2)}),
    R("gradient", its_gradient, 1, 1, "d", .shape = {S(6)}),
    R("boxes", boxes_left, 2, 2, "ff", .shape = {S(6, 4), S(6)}),
    R("own gradient", with_own_gradient, 2, 1, "dD", .shape = {S(6), S()}),
    R("assertion", asserting, 1, 1, "f", .shape = {S(6)}),
    R("calls", calls, 1, 1, "d", .shape = {S(6)}),
    R("vmap of vmap", maps_itself, 1, 1, "d", .shape = {S(3, 6)}),
};

static kiln_function *function_of(const Row *r)
{
    return kiln_function_new(k, r->body, NULL, &(kiln_function_options){.name = "each", .inputs_count = r->nin, .outputs = r->nout});
}

static void as_a_loop_does(void **state)
{
    (void)state;
    inner = kiln_function_new(k, kept_sum, NULL, &(kiln_function_options){.name = "inner", .inputs_count = 1});
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        KILN_SCOPE(k);
        const Row *r = &rows[i];
        kiln_function *f = function_of(r), *all = mapped(r, f, true);
        kiln_tensor *x[MOST], *out[MOST];
        like_a_loop(r, f, r->nout, 0, true);
        arguments(r, x);
        assert_true(kiln_call_all(all, kiln_tensors(x, r->nin), out, r->nout));
        if (!strstr(kiln_vmap_why(all), "set_size (")) fail_msg("%s: in a loop: %s", r->name, kiln_vmap_why(all));
        kiln_function_free(f);
    }
}

static void gradients_of_both(void **state)
{
    (void)state;
    inner = kiln_function_new(k, kept_sum, NULL, &(kiln_function_options){.name = "inner", .inputs_count = 1});
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        KILN_SCOPE(k);
        const Row *r = &rows[i];
        if (strspn(r->dtype, "dD") != strlen(r->dtype)) continue;
        kiln_function *f = function_of(r);
        gradients_like_a_loop(r, f);
        kiln_function_free(f);
    }
}

/* Few traces for any number of examples, none among them. */
static void any_number_of_examples(void **state)
{
    (void)state;
    kiln_function *f = kiln_function_new(k, sorted, NULL, &(kiln_function_options){.name = "sorted", .inputs_count = 1});
    kiln_function *all = kiln_vmap(f, NULL);
    kiln_function_statistics s;
    for (int n = 0; n < 12; n++) {
        KILN_SCOPE(k);
        kiln_tensor *x = kiln_sin(kiln_mul(kiln_iota(k, KILN_F32, S(n * 5), 0), 3)), *y = kiln_call(all, x = kiln_reshape(x, S(n, 5)));
        has_shape(y, KILN_F32, S(n, 5));
        for (int e = 0; e < n; e++) same_bits("any number", one_of(y, 0, e), kiln_call(f, one_of(x, 0, e)), 0);
    }
    kiln_function_stats(all, &s);
    assert_true(s.traces <= 6); /* of 0 to 3, then of a symbol to 8 and to 32 */
    kiln_function_free(f);
}

/* ---- what is refused ------------------------------------------------------------------------------------------------------ */
static kiln_variable *outside;
BODY(second_is_counted, out[0] = ALL(in[0]); out[1] = kiln_exp(kiln_compress(in[0], KEPT, 0)))
BODY(prints, kiln_tensor *c = kiln_compress(in[0], KEPT, 0); kiln_print(stderr, c); out[0] = ALL(c))
BODY(assigns, kiln_assign(outside, ALL(kiln_compress(in[0], KEPT, 0))); out[0] = ALL(in[0]))
BODY(of_none, out[0] = kiln_reduce_max(kiln_compress(in[0], KEPT, 0), KILN_ALL))
BODY(lets_out, out[0] = kiln_unique_values(in[0]))

static void refused(Body *body, int outputs, kiln_tensor *x, kiln_code code, const char *text, const char *more)
{
    kiln_tensor *out[2] = {NULL, NULL};
    kiln_function *f = kiln_function_new(k, body, NULL, &(kiln_function_options){.name = "f", .inputs_count = 1, .outputs = outputs});
    assert_false(kiln_call_all(kiln_vmap(f, NULL), KILN_IN(x), out, outputs));
    const char *had = kiln_error(k)->text;
    if (kiln_error(k)->code != code || !strstr(had, text) || !strstr(had, more)) fail_msg("%s, not %s ... %s", had, text, more);
    kiln_clear(k);
    kiln_function_free(f);
}

static void errors(void **state)
{
    (void)state;
    char line[64];
    kiln_tensor *x = kiln_sub(kiln_iota(k, KILN_F64, S(4, 2), 0), 1);
    outside = kiln_variable_new(k, "outside", KILN_F64, 1);
    snprintf(line, sizeof line, "counted at %s:", __FILE__);
    refused(second_is_counted, 2, x, KILN_EUNSUPPORTED, "kiln_vmap: output 1, f64[count", line);
    refused(lets_out, 1, x, KILN_EUNSUPPORTED, "kiln_vmap: output 0, f64[count", "zeros of its bound into which it is scattered");
    refused(prints, 1, x, KILN_EUNSUPPORTED, "vmap: print (", "would happen once for all examples");
    refused(assigns, 1, x, KILN_EUNSUPPORTED, "variable outside would get another value for each example (", "test_vmap_sized.c");
    refused(asserting, 1, kiln_mul(x, 2), KILN_EVALUE, "too much", "");
    refused(of_none, 1, x, KILN_EVALUE, "", ""); /* code says that there is no largest, an interpreter that the axis is empty */
    kiln_variable_free(outside);
}

int main(void)
{
    const struct CMUnitTest tests[] = {ENGINE_TEST(any_number_of_examples), ENGINE_TEST(errors), ENGINE_TEST(as_a_loop_does), ENGINE_TEST(gradients_of_both)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
