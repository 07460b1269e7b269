/* scan_order: first-order gradients through kiln_scan have the bits of eager code, whatever of the carry is stacked as well and however often it
 * is used: recurrent layers and bodies of many kinds, forwards and backwards, at sizes known and bounded, traced once and at every call. The
 * reference says the same of both. Skipped without the LLVM module. */
#include "front.h"

#include <kiln/nn.h>
#include <stdlib.h>

enum { WIDTH = 3, MOST = 8, DRAWS = 12 };

typedef struct Kind {
    const char *name;
    kiln_body *step; /* NULL: a layer */
    int ys;
} Kind;

typedef struct Given {
    const Kind *kind;
    kiln_recurrent *layer;
    kiln_variable *w; /* of the steps */
    bool reverse;
} Given;

/* ---- steps: index, h, x ----------------------------------------------------------------------------------------------- */
#define STEP(name) static void name(kiln *k KILN_UNUSED, kiln_tensor *const *in KILN_UNUSED, kiln_tensor **out, void *user KILN_UNUSED)
#define H in[1]
#define XS in[2]
#define WV (((Given *)user)->w)

STEP(tanh_once) { out[0] = out[1] = kiln_tanh(kiln_add(H, XS)); }
STEP(gate) { out[0] = out[1] = kiln_add(kiln_tanh(XS), kiln_mul(kiln_sigmoid(XS), H)); }
STEP(gate_of_h) { out[0] = out[1] = kiln_add(kiln_tanh(kiln_add(H, XS)), kiln_mul(kiln_sigmoid(kiln_add(XS, H)), H)); }
STEP(twice) { out[0] = out[1] = kiln_add(kiln_mul(XS, H), kiln_sin(H)); }
STEP(three_times) { out[0] = out[1] = kiln_add(kiln_add(kiln_mul(XS, H), kiln_sin(H)), kiln_mul(kiln_cos(kiln_mul(H, -0.3)), WV)); }
STEP(like_gru)
{
    kiln_tensor *n = kiln_tanh(kiln_add(XS, kiln_mul(kiln_sigmoid(H), H)));
    out[0] = out[1] = kiln_add(n, kiln_mul(kiln_sigmoid(kiln_add(XS, H)), kiln_sub(H, n)));
}
STEP(stacked_twice)
{
    out[0] = out[1] = kiln_add(kiln_mul(XS, H), kiln_sin(kiln_mul(H, WV)));
    out[2] = out[0];
}
STEP(stacked_twice_used_once)
{
    out[0] = out[1] = out[2] = kiln_sin(kiln_mul(H, XS));
}
STEP(before_after_and_once)
{
    out[0] = out[1] = kiln_sin(kiln_mul(H, XS));
    out[2] = H;
}
STEP(stacked_before_and_after)
{
    out[0] = out[1] = kiln_add(kiln_mul(XS, H), kiln_sin(H));
    out[2] = H;
}
STEP(inside_is_stacked)
{
    kiln_tensor *a = kiln_sin(H);
    out[1] = kiln_add(kiln_mul(XS, H), a);
    out[2] = a;
    out[0] = kiln_mul(kiln_cos(out[1]), kiln_add(a, out[1]));
}
STEP(watched)
{
    KILN_TAPE(k, tape);
    kiln_watch(tape, H);
    kiln_tensor *y = kiln_add(kiln_mul(XS, H), kiln_sin(H));
    out[0] = out[1] = kiln_add(y, kiln_mul(kiln_gradient(tape, y, H), 0.1));
}
STEP(in_a_branch)
{
    kiln_variable *a = kiln_local(k, kiln_mul(XS, 0.5));
    KILN_IF(kiln_gt(kiln_sum(XS, KILN_ALL), 0.0)) { kiln_assign(a, kiln_add(kiln_mul(XS, H), kiln_sin(H))); }
    out[0] = out[1] = kiln_add(a, kiln_mul(kiln_cos(H), 0.7));
}
STEP(in_a_loop)
{
    kiln_variable *a = kiln_local(k, kiln_mul(XS, 0.5));
    KILN_FOR(k, i, 2) { kiln_assign(a, kiln_add(kiln_mul(kiln_sin(a), H), kiln_sin(H))); }
    out[0] = out[1] = kiln_add(a, kiln_mul(kiln_cos(H), 0.7));
}

static const Kind kinds[] = {{"rnn", NULL, 1}, {"lstm", NULL, 1}, {"gru", NULL, 1}, {"tanh_once", tanh_once, 1}, {"gate", gate, 1},
    {"gate_of_h", gate_of_h, 1}, {"twice", twice, 1}, {"three_times", three_times, 1}, {"like_gru", like_gru, 1},
    {"stacked_twice", stacked_twice, 2}, {"stacked_twice_used_once", stacked_twice_used_once, 2}, {"before_after_and_once", before_after_and_once, 2}, {"stacked_before_and_after", stacked_before_and_after, 2}, {"inside_is_stacked", inside_is_stacked, 2},
    {"watched", watched, 1}, {"in_a_branch", in_a_branch, 1}, {"in_a_loop", in_a_loop, 1}};

/* ---- one function of xs and the first h: the stacks' values, then all gradients ---------------------------------------------- */
static void body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const Given *u = user;
    kiln_variable *v[4] = {u->w};
    int nv = u->layer ? kiln_recurrent_variables(u->layer, v, 4) : 1;
    KILN_TAPE(k, tape);
    kiln_watch(tape, in[0]);
    kiln_watch(tape, in[1]);
    kiln_tensor *last, *ys[2], *xs = kiln_mul(in[0], 1.5), *h = in[1];
    if (u->layer) {
        ys[0] = kiln_recurrent_apply(u->layer, xs, &(kiln_recurrent_options){.h = h, .reverse = u->reverse, .last_h = &last});
    } else {
        kiln_scan_options o = {.carries = &h, .carries_count = 1, .xs = &xs, .xs_count = 1, .ys_count = u->kind->ys, .reverse = u->reverse};
        kiln_scan(k, u->kind->step, &o, &last, ys, user);
    }
    kiln_tensor *y = kiln_sum(kiln_mul(kiln_cos(ys[0]), ys[0]), KILN_ALL);
    if (u->kind->ys > 1) y = kiln_add(y, kiln_sum(kiln_mul(kiln_sin(ys[1]), 0.3), KILN_ALL));
    out[0] = kiln_add(y, kiln_sum(kiln_mul(kiln_tanh(last), last), KILN_ALL));
    kiln_operand x[6] = {kiln_of_tensor(in[0]), kiln_of_tensor(in[1])};
    for (int i = 0; i < nv; i++) x[2 + i] = kiln_of_variable(v[i]);
    kiln_gradients(tape, out[0], x, 2 + nv, out + 1);
}

static void same_bits(const Given *u, int results, int64_t steps, kiln_tensor *const *want, kiln_tensor *const *have)
{
    for (int i = 0; i < results; i++) {
        const float *a = kiln_data(want[i]), *b = kiln_data(have[i]);
        assert_int_equal(kiln_bytes(want[i]), kiln_bytes(have[i]));
        for (size_t j = 0; j < kiln_bytes(want[i]) / sizeof *a; j++)
            if (memcmp(&a[j], &b[j], sizeof *a))
                fail_msg("%s%s, %lld steps: result %d, element %zu: %.9g eagerly, %.9g traced", u->kind->name, u->reverse ? " backwards" : "",
                    (long long)steps, i, j, a[j], b[j]);
    }
}

static void compare(kiln *k, Given *u, bool bounded, bool reference, kiln_variable *g)
{
    const int results = 3 + (u->layer ? kiln_recurrent_variables(u->layer, NULL, 0) : 1);
    kiln_function_options o = {.name = u->kind->name, .inputs_count = 2, .outputs = results, .no_blas = true};
    if (bounded && u->layer) o.inputs[0] = (kiln_spec)KILN_SPEC(KILN_F32, KILN_DIM("N", 1, MOST), 2, WIDTH), o.inputs[1] = (kiln_spec)KILN_SPEC(KILN_F32, 2, WIDTH);
    if (bounded && !u->layer) o.inputs[0] = (kiln_spec)KILN_SPEC(KILN_F32, KILN_DIM("N", 0, MOST), WIDTH), o.inputs[1] = (kiln_spec)KILN_SPEC(KILN_F32, WIDTH);
    kiln_function *f = kiln_function_new(k, body, u, &o);
    for (int draw = 0; draw < DRAWS; draw++) {
        KILN_SCOPE(k);
        const int64_t n = draw < 2 ? 1 : bounded ? 1 + draw % MOST : 5;
        kiln_tensor *x = kiln_normal(g, KILN_F32, u->layer ? KILN_SHAPE(n, 2, WIDTH) : KILN_SHAPE(n, WIDTH), 0, 1), *want[8], *have[8];
        kiln_tensor *h = kiln_normal(g, KILN_F32, u->layer ? KILN_SHAPE(2, WIDTH) : KILN_SHAPE(WIDTH), 0, 1);
        kiln_eager(k, true);
        kiln_call_all(f, KILN_IN(x, h), want, results);
        kiln_eager(k, false);
        kiln_call_all(f, KILN_IN(x, h), have, results);
        if (kiln_failed(k)) fail_msg("%s: %s", u->kind->name, kiln_error(k)->text);
        same_bits(u, results, n, want, have);
        if (reference && draw % 8 == 0 && !kiln_check(stderr, f, KILN_IN(x, h))) fail_msg("%s: the reference disagrees", u->kind->name);
    }
    kiln_function_free(f);
}

static void all_kinds(bool bounded, bool retrace)
{
    if (retrace) setenv("KILN_RETRACE", "1", 1);
    kiln *k = kiln_open(NULL);
    unsetenv("KILN_RETRACE");
    kiln_variable *g = kiln_generator(k, 5);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        for (int reverse = 0; reverse < 2; reverse++) {
            Given u = {.kind = &kinds[i], .reverse = reverse};
            if (!kinds[i].step) u.layer = i == 0 ? kiln_rnn_new(k, WIDTH, WIDTH, g) : i == 1 ? kiln_lstm_new(k, WIDTH, WIDTH, g) : kiln_gru_new(k, WIDTH, WIDTH, g);
            KILN_SCOPE(k);
            u.w = kiln_variable_new(k, "w", kiln_f32(k, KILN_SHAPE(WIDTH), 0.7, -1.1, 0.4));
            compare(k, &u, bounded, !bounded && !retrace /* which knows all sizes */, g);
            kiln_variable_free(u.w);
            if (u.layer) kiln_recurrent_free(u.layer);
        }
    assert_int_equal(kiln_close(k), 0);
}

static void sizes_known(void **state) { (void)state, all_kinds(false, false); }
static void sizes_bounded(void **state) { (void)state, all_kinds(true, false); }
static void traced_at_every_call(void **state) { (void)state, all_kinds(false, true); }
static void bounded_at_every_call(void **state) { (void)state, all_kinds(true, true); }

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sizes_known), cmocka_unit_test(sizes_bounded), cmocka_unit_test(traced_at_every_call),
        cmocka_unit_test(bounded_at_every_call)};
    return cmocka_run_group_tests_name("scan_order", tests, front_needs_llvm, NULL);
}
