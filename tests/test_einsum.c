/* test_einsum: what an einsum costs: the order in which it contracts, and that transposed operands of a product are read where they lie; and many
 * operands, labels that are wrong, and orders that depend on a symbol. Values are in test_given_contract. */
#include "values.h"

#define S KILN_SHAPE

static kiln_tensor *counting(kiln_dtype t, kiln_shape s) { return kiln_sub(kiln_mod(kiln_iota(k, t, s, (int)s.rank - 1), 7), 3); }

/* Bytes beyond those at its beginning that the call had at once. */
#define MOST_BYTES(call)                                                                   \
    ({                                                                                     \
        const int64_t before = kiln_memory_count().live_bytes;                             \
        (void)(call);                                                                      \
        assert_false(kiln_failed(k));                                                      \
        kiln_memory_count().peak_bytes - before;                                           \
    })

static void cheap_orders(void **state)
{
    (void)state;
    /* The other order would have a product of 4000 x 4000, 64 MB. */
    kiln_tensor *tall = counting(KILN_F32, S(4000, 2)), *wide = counting(KILN_F32, S(2, 4000));
    assert_true(MOST_BYTES(kiln_multi_dot(KILN_IN(tall, wide, tall))) < 8 << 20);
    assert_true(MOST_BYTES(kiln_einsum("ab,bc,cd->ad", KILN_IN(tall, wide, tall))) < 8 << 20);
    assert_true(MOST_BYTES(kiln_einsum("cd,ab,bc->ad", KILN_IN(tall, tall, wide))) < 8 << 20);
    /* Labels that one operand alone has are summed first. */
    assert_true(MOST_BYTES(kiln_einsum("ab,cd->bc", KILN_IN(tall, wide))) < 8 << 20);
    EXACTLY(kiln_einsum("ab,cd->bc", KILN_IN(counting(KILN_I64, S(3, 2)), counting(KILN_I64, S(2, 4)))), KILN_I64, S(2, 2), 54, 54, 36, 36);
}

static void many_operands(void **state)
{
    (void)state;
    kiln_tensor *x[11], *y = NULL;
    for (int i = 0; i < 11; i++) {
        x[i] = counting(KILN_I64, S(1 + i % 4, 1 + (i + 1) % 4));
        y = i == 0 ? x[0] : kiln_matmul_to(y, x[i], KILN_I64);
    }
    int64_t a, b;
    kiln_tensor *chain = kiln_multi_dot(kiln_tensors(x, 11));
    kiln_tensor *labels = kiln_einsum("ab,bc,cd,de,ef,fg,gh,hi,ij,jk,kl->al", kiln_tensors(x, 11));
    assert_int_equal(kiln_elements(y), 4);
    for (int i = 0; i < 4; i++) {
        a = kiln_item_i64(kiln_slice(kiln_reshape(y, S(-1)), 0, i, i + 1, 1));
        b = kiln_item_i64(kiln_slice(kiln_reshape(chain, S(-1)), 0, i, i + 1, 1));
        assert_true(a == b);
        assert_true(a == kiln_item_i64(kiln_slice(kiln_reshape(labels, S(-1)), 0, i, i + 1, 1)));
    }
}

static void chain(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    out[0] = kiln_multi_dot(KILN_IN(in[0], kiln_ones(e, KILN_F32, S(3, 50)), kiln_ones(e, KILN_F32, S(50, 20))));
}

static void star(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    out[0] = kiln_einsum("bn,bm,nm->b", KILN_IN(in[0], kiln_neg(in[0]), kiln_ones(e, KILN_F32, S(3, 3))));
}

/* Whether (x a) b or x (a b) is less work depends on how many rows x has; elsewhere the order is one for all sizes. */
static void orders_and_symbols(void **state)
{
    (void)state;
    kiln_function_options o = {.name = "f", .inputs = {KILN_SPEC(KILN_F32, KILN_DIM("N", 1, 64), 3)}};
    kiln_function *f = kiln_function_new(k, chain, NULL, &o), *g = kiln_function_new(k, star, NULL, &o);
    kiln_tensor *x = counting(KILN_F32, S(5, 3));
    FAILS(kiln_call(f, x), KILN_EUNSUPPORTED, "multi_dot: the order of the least products depends on a size that is known only when the function runs; contract two operands at a time");
    EXACTLY(kiln_call(g, x), KILN_F32, S(5), -36, -36, -36, -36, -36);
    kiln_function_free(f);
    kiln_function_free(g);
}

static void wrong_labels(void **state)
{
    (void)state;
    kiln_tensor *x = counting(KILN_F32, S(2, 3));
    FAILS(kiln_einsum("ij,jk", KILN_IN(x, x)), KILN_ESHAPE, "einsum: the sizes of label j differ, also at operand 1: f32[2,3]");
    FAILS(kiln_einsum("...,...j", KILN_IN(x, x)), KILN_ESHAPE, "einsum: the sizes of axis -1 of ... differ, also at operand 1: f32[2,3]");
    FAILS(kiln_einsum("ij,jk", KILN_IN(x, 2)), KILN_EVALUE, "einsum: operand 1 is a number; it must be a tensor or a variable");
    FAILS(kiln_multi_dot(KILN_IN(2, x)), KILN_EVALUE, "multi_dot: operand 0 is a number; it must be a tensor or a variable");
    FAILS(kiln_einsum("ij->ik", KILN_IN(x)), KILN_EVALUE, "einsum: \"ij->ik\" has label k in its result, but in no operand");
    FAILS(kiln_einsum("ij->ii", KILN_IN(x)), KILN_EVALUE, "einsum: \"ij->ii\" has label i twice in its result");
    FAILS(kiln_einsum("i->i", KILN_IN(x)), KILN_ESHAPE, "einsum: \"i->i\" has 1 labels for operand 0: f32[2,3]");
    FAILS(kiln_einsum("ij,ij->", KILN_IN(x)), KILN_EVALUE, "einsum: \"ij,ij->\" is for 2 operands, but 1 are given");
    FAILS(kiln_einsum("i=->", KILN_IN(x)), KILN_EVALUE, "einsum: \"i=->\" has other characters than letters, commas, one -> and ... for further axes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {ENGINE_TEST(cheap_orders), ENGINE_TEST(many_operands), ENGINE_TEST(orders_and_symbols), ENGINE_TEST(wrong_labels)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
