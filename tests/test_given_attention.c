/* test_given_attention: attention and rotary embeddings (contract.h) against PyTorch's and ONNX's (tests/given/attention.py). */
#include "given.h"

GIVEN(torch, kiln_attention(X(0), X(1), X(2), &(kiln_attention_options){.mask = I(0) ? X(3) : NULL, .causal = I(1), .first = I(1), .scale = N(2)}))
/* numbers: 1 an offset, 2 lengths, 3 both; causal; cap; whether a mask comes last */
GIVEN(onnx, kiln_attention(X(0), X(1), X(2), &(kiln_attention_options){.causal = I(1), .cap = N(2), .lengths = I(0) >= 2 ? X(3) : NULL,
    .offset = I(0) == 1 ? X(3) : I(0) == 3 ? X(4) : NULL, .mask = I(3) ? X(g->nin - 1) : NULL}))
GIVEN(rotary, kiln_rotary(X(0), X(1), X(2), g->nin > 3 ? X(3) : NULL, &(kiln_rotary_options){.interleaved = I(0), .heads_last = I(1)}))
GIVEN(rotary_shared, kiln_rotary(X(0), X(1), X(2), g->nin > 3 ? X(3) : NULL, &(kiln_rotary_options){.interleaved = I(0), .heads_last = I(1)}))

static void tables(const Given *g, kiln_tensor **out)
{
    kiln_rotary_tables(k, KILN_F64, (int64_t)N(0), (int64_t)N(1), N(2), &out[0], &out[1]);
}

/* Turned and turned back. */
static void turns_back(void **state)
{
    kiln_tensor *cosines, *sines;
    (void)state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_normal(kiln_generator(k, 3), KILN_F64, KILN_SHAPE(2, 3, 5, 8), 0, 1);
    assert_true(kiln_rotary_tables(k, KILN_F64, 9, 3, 0, &cosines, &sines));
    for (int i = 0; i < 4; i++) {
        kiln_rotary_options o = {.interleaved = i & 1, .heads_last = i >> 1};
        kiln_tensor *at = kiln_iota(k, KILN_I32, KILN_SHAPE(o.heads_last ? 3 : 5), 0), *y = kiln_rotary(x, cosines, sines, at, &o);
        o.back = true;
        assert_true(kiln_assert_close(kiln_rotary(y, cosines, sines, at, &o), x, 1e-14));
    }
}

static const GivenRow rows[] = {ROW(torch, 32, GIVEN_GRAD | GIVEN_BATCH | GIVEN_SIZED), ROW(onnx, 32, GIVEN_GRAD | GIVEN_SIZED), ROW(rotary, 4, GIVEN_GRAD | GIVEN_SIZED), ROW(rotary_shared, 4, GIVEN_GRAD), ROW(tables, 2, 0)};

int main(void)
{
    const struct CMUnitTest tests[] = {ENGINE_TEST(given_agree), ENGINE_TEST(turns_back)};
    given_rows = rows, given_count = (int)(sizeof rows / sizeof *rows);
    given_file = "attention";
    return cmocka_run_group_tests_name("attention", tests, NULL, NULL);
}
