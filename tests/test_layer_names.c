/* layer_names: a layer gets the first of dense, dense_1, dense_2 ... that no living variable's name begins with, however layers and variables of
 * the user's come and go. A plain model of the rule says what is right. */
#include "front.h"

#include <kiln/nn.h>
#include <stdlib.h>

enum { MOST = 600, TURNS = 4000 };

/* The number in a name of the stem: "dense/w" 0, "dense_7/w" 7. */
static long number_in(const char *name, const char *stem)
{
    size_t len = strlen(stem);
    assert_true(strncmp(name, stem, len) == 0);
    return name[len] == '/' ? 0 : strtol(name + len + 1, NULL, 10);
}

static void the_first_free_number(void **state)
{
    kiln *k = *state;
    static kiln_dense *layer[MOST + 8];
    static kiln_variable *own[MOST + 8];
    kiln_dense *made[64];
    int living = 0;
    uint64_t chance = 9;
    static long at[64];
    for (int turn = 0; turn < TURNS; turn++) {
        KILN_SCOPE(k);
        chance = chance * 6364136223846793005u + 1442695040888963407u;
        unsigned what = (unsigned)(chance >> 40) % 16, which = (unsigned)(chance >> 45) % 50;
        char name[32];
        snprintf(name, sizeof name, which ? "dense_%u/mine" : "dense/mine", which);
        if (what < 8 && living < 64) { /* a layer */
            long want = 0;
            while (layer[want] || own[want]) want++;
            kiln_dense *l = kiln_dense_new(k, 1, 1, KILN_ZEROS);
            long got = number_in(kiln_variable_name(kiln_dense_weight(l)), "dense");
            if (got != want) fail_msg("turn %d: dense_%ld, wanted %ld", turn, got, want);
            layer[want] = l;
            at[living] = want;
            made[living++] = l;
        } else if (what < 12 && living) { /* one goes */
            int i = (int)(which % (unsigned)living);
            kiln_dense_free(made[i]);
            layer[at[i]] = NULL;
            made[i] = made[--living];
            at[i] = at[living];
        } else if (what < 14 && !own[which]) { /* a variable of the user's with such a name */
            own[which] = kiln_variable_new(k, name, KILN_F32, 0.0);
        } else if (own[which]) {
            kiln_variable_free(own[which]);
            own[which] = NULL;
        }
    }
    assert_ok(k);
}

/* Names that only look like a layer's take no number, and other kinds of layers count apart. */
static void other_names(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    static const char *const names[] = {"dense", "dense_", "dense_1", "dense_01/w", "dense_x/w", "denser/w", "dense_1x/w", "dense_99999999999999999999/w"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) kiln_variable_new(k, names[i], KILN_F32, 0.0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(number_in(kiln_variable_name(kiln_dense_weight(kiln_dense_new(k, 1, 1, KILN_ZEROS))), "dense"), i);
        assert_int_equal(number_in(kiln_variable_name(kiln_conv_bias(kiln_conv_new(k, 1, 1, (&(kiln_window){.size = {1, 1}}), KILN_ZEROS))), "conv"), i);
    }
    kiln_variable_new(k, "dense_5000/w", KILN_F32, 0.0);
    for (int i = 3; i < 5002; i++)
        assert_int_equal(number_in(kiln_variable_name(kiln_dense_weight(kiln_dense_new(k, 1, 1, KILN_ZEROS))), "dense"), i < 5000 ? i : i + 1);
    assert_ok(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {FRONT_TEST(the_first_free_number), FRONT_TEST(other_names)};
    return cmocka_run_group_tests_name("layer_names", tests, NULL, NULL);
}
