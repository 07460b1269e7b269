/* chain: an operand chain 60 deep compiles and runs; its text must not double at each level. chain.h is shared with the C++ twin.
 * Relies on the public interface alone. */
#include "front.h"

#include "chain.h"

static void sixty_deep(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *one = kiln_ones(k, KILN_F32, KILN_SHAPE(2));
    kiln_variable *v = kiln_variable_new(k, "v", one);
    assert_true(kiln_item(kiln_sum(CHAIN_60(one), KILN_ALL)) == 2 * (1 + CHAIN_SUM));
    assert_true(kiln_item(kiln_sum(CHAIN_60(v), KILN_ALL)) == 2 * (1 + CHAIN_SUM));
    assert_ok(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {FRONT_TEST(sixty_deep)};
    return cmocka_run_group_tests_name("chain", tests, NULL, NULL);
}
