/* test_onnx_save_nets: what networks are made of as files of ONNX: attention with its masks, recurrent layers, normalisations, losses and
 * their gradients, with open sizes. Read again they compute the same to within the order of sums. */
#include "onnx_round.h"

#include <kiln/nn.h>

#define HEADS kiln_reshape(X, S(1, 2, -1, 4))
static kiln_tensor *w, *u, *b;

BODY(attended, kiln_attention(HEADS, HEADS, HEADS, NULL))
BODY(capped, kiln_attention(HEADS, HEADS, HEADS, &(kiln_attention_options){.causal = true, .cap = 2, .scale = 0.7}))
BODY(masked, kiln_attention(HEADS, HEADS, HEADS, &(kiln_attention_options){.mask = kiln_greater(kiln_sum(HEADS, KILN_KEEP(-1)), 0)}))
BODY(none_seen, kiln_attention(HEADS, HEADS, HEADS, &(kiln_attention_options){.mask = kiln_less(kiln_sum(HEADS, KILN_KEEP(-1)), -1e9)}))
BODY(some_lengths, kiln_attention(HEADS, HEADS, HEADS, &(kiln_attention_options){.causal = true, .lengths = kiln_i64(e, S(1, 1, 1, 1), 2)}))
BODY(first, kiln_attention(HEADS, kiln_slice(HEADS, 2, 1, kiln_dim(HEADS, 2), 1), kiln_slice(HEADS, 2, 1, kiln_dim(HEADS, 2), 1), &(kiln_attention_options){.causal = true}))
BODY(grouped, kiln_attention(HEADS, kiln_slice(HEADS, 1, 0, 1, 1), kiln_slice(HEADS, 1, 0, 1, 1), &(kiln_attention_options){.causal = true}))
BODY(lstm, kiln_lstm(kiln_expand_dims(X, KILN_AXES(1)), kiln_reshape(w, S(1, 12, 8)), u, NULL, &(kiln_recurrence){.direction = KILN_BACKWARD}))
BODY(gru, kiln_gru(kiln_expand_dims(X, KILN_AXES(1)), kiln_slice(kiln_reshape(w, S(1, 12, 8)), 1, 0, 9, 1), kiln_slice(u, 1, 0, 9, 1), NULL, NULL))
BODY(layernorm, kiln_layernorm(X, kiln_slice(b, 0, 0, 8, 1), kiln_slice(b, 0, 0, 8, 1), 1e-5))
BODY(rmsnorm, kiln_rmsnorm(X, KILN_AXES(-1), kiln_slice(b, 0, 0, 8, 1), 1e-5))
BODY(softmax_loss, kiln_cross_entropy(X, kiln_argmax(X, 1)))
BODY(gelu_net, kiln_gelu(kiln_matmul(kiln_silu(kiln_matmul(X, w)), kiln_transpose(w, KILN_ALL))))
BODY(variance, kiln_add(kiln_var(X, KILN_AXES(1), 1), kiln_logsumexp(X, 1)))
BODY(embedded, kiln_gather(w, kiln_argmax(X, 1), 0))
BODY(sorted, kiln_sort(X, 1, KILN_DESCENDING))
BODY(running, kiln_mul(kiln_cumsum(X, 0, 0), kiln_cumprod(kiln_mul(X, 0.5), 1, 0)))
BODY(pooled, kiln_max_pool(kiln_reshape(X, S(1, -1, 8, 1)), &(kiln_window){.size = {2, 2}}))
BODY(chosen, kiln_where(kiln_greater(X, 0), kiln_square(X), kiln_exp(X)))

typedef struct Row {
    const char *name;
    kiln_body *body;
    bool open, gradient;
} Row;
#define ROW(name, open, gradient) {#name, name, open, gradient}
static const Row row[] = {ROW(attended, true, true), ROW(capped, true, true), ROW(masked, true, true), ROW(none_seen, true, true),
    ROW(some_lengths, true, true), ROW(first, false, true), ROW(grouped, true, true), ROW(lstm, true, true), ROW(gru, true, true),
    ROW(layernorm, true, true), ROW(rmsnorm, true, true), ROW(softmax_loss, true, true), ROW(gelu_net, true, true), ROW(variance, true, true),
    ROW(embedded, true, false), ROW(sorted, true, true), ROW(running, true, true), ROW(pooled, false, true), ROW(chosen, true, true)};
enum { ROWS = sizeof row / sizeof *row };

static void gradient(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    KILN_TAPE(e, tape);
    kiln_watch(tape, in[0]);
    kiln_tensor *y = NULL;
    ((const Row *)user)->body(e, in, &y, NULL);
    out[0] = kiln_keep(kiln_gradient(tape, kiln_sum(kiln_mul(y, kiln_sin(y)), KILN_ALL), in[0]));
}

/* At several sizes where they are open. */
static void goes_round(const Row *r, bool grad, bool open)
{
    char name[64];
    KILN_SCOPE(k);
    snprintf(name, sizeof name, "%s%s%s", open ? "open_" : "", grad ? "grad_" : "", r->name);
    w = filled(S(8, 12)), u = filled(S(1, 12, 3)), b = filled(S(12));
    kiln_function_options o = {.name = name, .inputs = {KILN_SPEC(KILN_F32, 6, 8)}};
    if (open) o.inputs[0].size[0] = KILN_DIM("N", 2, 100);
    kiln_function *f = kiln_function_new(k, grad ? gradient : r->body, (void *)(uintptr_t)r, &o);
    written(name, f);
    for (int call = 0; call < (open ? 3 : 1); call++) read_again(name, call, f, KILN_IN(kiln_mul(filled(S(open ? 2 + 35 * call : 6, 8)), 0.5)), 1, 1e-5);
    kiln_function_free(f);
}

static void all(bool grad, bool open)
{
    for (int i = 0; i < ROWS; i++)
        if ((!grad || row[i].gradient) && (!open || row[i].open)) goes_round(&row[i], grad, open);
}

static void values_go_round(void **state)
{
    open_folder(*state);
    all(false, false);
    all(false, true);
}

static void gradients_go_round(void **state)
{
    open_folder(*state);
    all(true, false);
    all(true, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {FRONT_TEST(values_go_round), NEVER_TEST(gradients_go_round)};
    return cmocka_run_group_tests_name("onnx_save_nets", tests, NULL, close_folder);
}
