/* control_misuse: what cannot be traced, or not be meant, is an error with its line and what to write instead; the engine goes on. */
#include <stdlib.h>

#include "front.h"

static kiln_function *function_of(kiln *k, kiln_body *body, const char *name)
{
    return kiln_function_new(k, body, NULL, &(kiln_function_options){.name = name, .inputs_count = 1});
}

#define BODY(name) static void name(kiln *k KILN_UNUSED, kiln_tensor *const *in, kiln_tensor **out, void *user KILN_UNUSED)

BODY(good)
{
    kiln_variable *y = kiln_local(k, in[0]);
    KILN_FOR(k, i, 3)
    {
        KILN_IF(kiln_less(y, 2.0)) kiln_assign(y, kiln_mul(y, 3.0));
        KILN_ELSE(k) kiln_assign(y, kiln_sqrt(y));
    }
    out[0] = kiln_value(y);
}

static kiln_tensor *leaked;
static kiln_tape *stray;
static kiln_variable *state_variable;

BODY(breaks_for) { KILN_FOR(k, i, 3) break; out[0] = in[0]; }
BODY(breaks_while) { KILN_WHILE(k, kiln_less(in[0], 1.0)) break; out[0] = in[0]; }
BODY(breaks_if) { KILN_IF(kiln_less(in[0], 10.0)) break; out[0] = in[0]; }
BODY(returns_for) { out[0] = in[0]; KILN_FOR(k, i, 3) return; }
BODY(returns_while) { out[0] = in[0]; KILN_WHILE(k, kiln_less(in[0], 9.0)) return; }
BODY(returns_if) { out[0] = in[0]; KILN_IF(kiln_less(in[0], 9.0)) return; }
BODY(returns_else)
{
    out[0] = in[0];
    KILN_IF(kiln_less(9.0, in[0])) kiln_value(state_variable);
    KILN_ELSE(k) return;
}
BODY(jumps)
{
    out[0] = in[0];
    KILN_FOR(k, i, 3) { KILN_IF(kiln_less(in[0], 9.0)) { KILN_WHILE(k, kiln_less(in[0], 9.0)) goto end; } }
end:
    return;
}
BODY(leaks_scoped)
{
    KILN_FOR(k, i, 3) leaked = kiln_exp(in[0]);
    out[0] = kiln_add(leaked, 1.0);
}
BODY(leaks_kept)
{
    KILN_IF(kiln_less(in[0], 9.0)) leaked = kiln_keep(kiln_exp(in[0]));
    out[0] = kiln_add(leaked, 1.0);
}
static kiln_tensor *fibonacci(kiln *k, kiln_tensor *n)
{
    kiln_variable *y = kiln_local(k, n);
    KILN_IF(kiln_less(1.0, n)) kiln_assign(y, kiln_add(fibonacci(k, kiln_sub(n, 1.0)), fibonacci(k, kiln_sub(n, 2.0))));
    return kiln_keep(kiln_value(y));
}
BODY(recurses) { out[0] = fibonacci(k, in[0]); }
BODY(recurses_in_case)
{
    kiln_cond(k, kiln_less(in[0], 1e9), recurses_in_case, recurses_in_case, in, 1, out, 1, NULL);
    if (out[0]) kiln_cond(k, kiln_less(in[0], 1e9), recurses_in_case, recurses_in_case, in, 1, out, 1, NULL);
}
BODY(goes_on_after_error)
{
    kiln_exp(kiln_i32(k, KILN_SHAPE(1), 1));
    kiln_clear(k);
    out[0] = in[0];
}
BODY(local_of_block)
{
    kiln_variable *v = NULL;
    KILN_FOR(k, i, 2) v = kiln_local(k, in[0]);
    out[0] = kiln_value(v);
}
BODY(local_of_scope)
{
    kiln_variable *v;
    {
        KILN_SCOPE(k);
        v = kiln_local(k, in[0]);
    }
    kiln_assign(v, 1.0);
    out[0] = in[0];
}
BODY(changes_shape)
{
    kiln_variable *v = kiln_local(k, in[0]);
    KILN_FOR(k, i, 3) kiln_assign(v, kiln_add(v, kiln_f32(k, KILN_SHAPE(2), 1, 2)));
    out[0] = kiln_value(v);
}
BODY(changes_dtype)
{
    kiln_variable *v = kiln_local(k, in[0]);
    KILN_WHILE(k, kiln_less(v, 3.0)) kiln_assign(v, kiln_cast(kiln_add(v, 1.0), KILN_F64));
    out[0] = kiln_value(v);
}
BODY(branches_on_host)
{
    out[0] = in[0];
    if (kiln_item(in[0]) > 0) out[0] = kiln_neg(in[0]);
}
BODY(reads_on_host)
{
    float x;
    out[0] = in[0];
    KILN_FOR(k, i, 2) kiln_read(kiln_add(in[0], 1.0), &x, sizeof x);
}
BODY(if_number) { KILN_IF(in[0]) out[0] = in[0]; out[0] = in[0]; }
BODY(if_vector) { KILN_IF(kiln_less(kiln_f32(k, KILN_SHAPE(2), 1, 2), in[0])) out[0] = in[0]; out[0] = in[0]; }
BODY(while_number) { KILN_WHILE(k, in[0]) out[0] = in[0]; out[0] = in[0]; }
BODY(for_fraction) { KILN_FOR(k, i, in[0]) out[0] = in[0]; out[0] = in[0]; }
static kiln_tensor *counts(kiln *k)
{
    (void)k;
    kiln_assign_add(state_variable, 1.0);
    return kiln_less(state_variable, 3.0);
}
BODY(assigns_in_condition)
{
    KILN_WHILE(k, counts(k)) out[0] = in[0];
    out[0] = in[0];
}
BODY(lone_else) { out[0] = in[0]; KILN_ELSE(k) out[0] = in[0]; }
BODY(else_if)
{
    kiln_variable *v = kiln_local(k, in[0]);
    KILN_IF(kiln_less(in[0], -9.0)) kiln_assign(v, 0.0);
    KILN_ELSE(k) kiln_assign(v, 1.0);
    KILN_ELSE(k) kiln_assign(v, 2.0);
    out[0] = kiln_value(v);
}
BODY(asks_outer_tape)
{
    KILN_TAPE(k, tape);
    kiln_tensor *x = kiln_watch(tape, in[0]), *y = kiln_exp(x);
    KILN_IF(kiln_less(x, 9.0)) kiln_gradient(tape, y, x);
    out[0] = y;
}
BODY(watches_with_outer_tape)
{
    KILN_TAPE(k, tape);
    KILN_FOR(k, i, 2) kiln_watch(tape, kiln_exp(in[0]));
    out[0] = in[0];
}
BODY(asks_through_assigns)
{
    KILN_TAPE(k, tape);
    KILN_FOR(k, i, 2) kiln_assign(state_variable, kiln_mul(state_variable, in[0]));
    out[0] = kiln_gradient(tape, kiln_value(state_variable), state_variable);
}
BODY(asks_through_branch)
{
    KILN_TAPE(k, tape);
    kiln_variable *y = kiln_local(k, KILN_F32, 0.0);
    KILN_IF(kiln_less(in[0], 9.0))
    {
        kiln_assign(state_variable, in[0]);
        kiln_assign(y, kiln_square(state_variable));
    }
    out[0] = kiln_gradient(tape, kiln_value(y), state_variable);
}
BODY(asks_eager_tape)
{
    out[0] = kiln_exp(in[0]);
    kiln_gradient(stray, out[0], in[0]);
}

static void uses_outside(kiln *k, kiln_tensor *g, kiln_tensor *const *x, kiln_tensor **dx, void *user)
{
    (void)k;
    (void)x;
    (void)user;
    dx[0] = kiln_mul(g, state_variable);
}
BODY(rule_uses_outside)
{
    KILN_TAPE(k, tape);
    kiln_tensor *x = kiln_watch(tape, in[0]);
    kiln_variable *y = kiln_local(k, x);
    KILN_FOR(k, i, 2)
    {
        kiln_tensor *now = kiln_value(y);
        kiln_assign(y, kiln_custom_gradient(kiln_exp(now), &now, 1, uses_outside, NULL));
    }
    out[0] = kiln_gradient(tape, kiln_value(y), x);
}

static const struct {
    kiln_body *body;
    kiln_code code;
    const char *text, *advice;
    bool eager_too; /* else the eager mode does what C says */
} misuse[] = {
    {recurses, KILN_ESTATE, "KILN_IF: bodies nested 64 deep", "only what C knows", false},
    {recurses_in_case, KILN_ESTATE, "kiln_cond: bodies nested 64 deep", "only what C knows", true},
    {goes_on_after_error, KILN_ESTATE, "its body cleared an error", "kiln_clear after the call", true},
    {local_of_block, KILN_ESTATE, "read: the block in which this kiln_local was made", "before the block", true},
    {local_of_scope, KILN_ESTATE, "assign: the block in which this kiln_local was made", "before the block", true},
    {breaks_for, KILN_ESTATE, "break out of a traced KILN_FOR", "KILN_WHILE", false},
    {breaks_while, KILN_ESTATE, "break out of a traced KILN_WHILE", "condition", false},
    {breaks_if, KILN_ESTATE, "break inside KILN_IF", "KILN_WHILE", true},
    {returns_for, KILN_ESTATE, "return or goto out of a traced KILN_FOR", "kiln_local", false},
    {returns_while, KILN_ESTATE, "return or goto out of a traced KILN_WHILE", "kiln_local", false},
    {returns_if, KILN_ESTATE, "return or goto out of a traced KILN_IF", "kiln_local", false},
    {returns_else, KILN_ESTATE, "return or goto out of a traced KILN_ELSE", "kiln_local", false},
    {jumps, KILN_ESTATE, "return or goto out of a traced KILN_WHILE", "kiln_local", false},
    {leaks_scoped, KILN_ESTATE, "the iteration or branch of", "kiln_local", true},
    {leaks_kept, KILN_ESTATE, "a value made inside a KILN_IF", "kiln_local", false},
    {changes_shape, KILN_ESHAPE, "variable local is f32[], but the value is f32[2]", "", true},
    {changes_dtype, KILN_EDTYPE, "variable local is f32[], but the value is f64[]", "", true},
    {branches_on_host, KILN_ESTATE, "is traced", "KILN_IF, KILN_WHILE or kiln_where", false},
    {reads_on_host, KILN_ESTATE, "is traced", "KILN_IF, KILN_WHILE or kiln_where", false},
    {if_number, KILN_EDTYPE, "KILN_IF: the condition must be a bool scalar", "not f32[]", true},
    {if_vector, KILN_ESHAPE, "not bool[2]", "kiln_where", true},
    {while_number, KILN_EDTYPE, "KILN_WHILE: the condition must be a bool scalar", "not f32[]", true},
    {for_fraction, KILN_EDTYPE, "integer scalar", "not f32[]", true},
    {assigns_in_condition, KILN_ESTATE, "variable state is assigned in the condition of a KILN_WHILE", "assign it in the body", false},
    {lone_else, KILN_ESTATE, "no KILN_IF stands right before it", "KILN_ELSE(k) { KILN_IF(b)", true},
    {else_if, KILN_ESTATE, "no KILN_IF stands right before it", "KILN_ELSE(k) { KILN_IF(b)", true},
    {asks_outer_tape, KILN_ESTATE, "gradient: the tape was opened in another loop, branch or trace", "open it in the block", false},
    {watches_with_outer_tape, KILN_ESTATE, "watch: the tape was opened in another loop, branch or trace", "open it in the block", false},
    {asks_through_assigns, KILN_EUNSUPPORTED, "variable state is assigned in a loop", "kiln_local", false},
    {asks_through_branch, KILN_EUNSUPPORTED, "variable state is assigned in a loop", "kiln_local", false},
    {rule_uses_outside, KILN_EUNSUPPORTED, "custom gradient: its function, applied inside a loop or branch, uses a variable from outside",
        "as an operand", false},
    {asks_eager_tape, KILN_ESTATE, "tape was opened outside", "open it in the block", false},
};

static float plain(kiln *k, kiln_function *f)
{
    KILN_SCOPE(k);
    return (float)kiln_item(kiln_call(f, kiln_scalar(k, KILN_F32, 0.5)));
}

static void misuse_is_named(void **state)
{
    kiln *k = *state;
    state_variable = kiln_variable_new(k, "state", KILN_F32, 1.0);
    kiln_function *fine = function_of(k, good, "good");
    kiln_eager(k, true);
    float want = plain(k, fine);
    kiln_eager(k, false);
    for (size_t i = 0; i < sizeof misuse / sizeof *misuse; i++) {
        KILN_SCOPE(k);
        KILN_TAPE(k, eager_tape);
        stray = eager_tape;
        kiln_function *f = function_of(k, misuse[i].body, "f");
        kiln_tensor *x = kiln_scalar(k, KILN_F32, 0.5);
        kiln_call(f, x);
        const kiln_failure *e = kiln_error(k);
        if (e->code != misuse[i].code || !strstr(e->text, misuse[i].text) || !strstr(e->text, misuse[i].advice))
            fail_msg("%zu: wanted code %d, \"%s\" and \"%s\", got %d: %s", i, misuse[i].code, misuse[i].text, misuse[i].advice, e->code, e->text);
        if (!e->file || !strstr(e->file, "test_control_misuse.c")) fail_msg("%zu: no place: %s", i, e->text);
        kiln_clear(k);
        kiln_assign(state_variable, 1.0);
        kiln_eager(k, true);
        kiln_call(f, x);
        if (misuse[i].eager_too) {
            if (!strstr(kiln_error(k)->text, misuse[i].text)) fail_msg("%zu, eagerly: %s", i, kiln_error(k)->text);
            kiln_clear(k);
        } else if (misuse[i].body != asks_eager_tape) {
            assert_ok(k);
        }
        kiln_clear(k);
        kiln_eager(k, false);
        assert_float_equal(plain(k, fine), want, 0);
        assert_ok(k);
        kiln_function_free(f);
    }
}

/* What failed traces and abandoned regions made is gone with the engine. */
static int nothing_is_left(void **state)
{
    (void)state;
    kiln_memory m = kiln_memory_count();
    if (m.live_blocks) printf("%lld blocks, %lld bytes are left\n", (long long)m.live_blocks, (long long)m.live_bytes);
    return m.live_blocks && !late_keeps() ? -1 : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {FRONT_TEST(misuse_is_named)};
    return cmocka_run_group_tests_name("control_misuse", tests, front_needs_llvm, nothing_is_left);
}
