/* locale: a program may have chosen a locale whose numbers have a comma; what is written for others to read has a point all the same: graph text, prints,
 * reports and the comparison's table and JSON. Skipped where no such locale is installed (LOCPATH finds one elsewhere). */
#include "front.h"

#include "ir/text.h"

#include <locale.h>
#include <stdlib.h>

static void with_commas(void)
{
    static const char *const comma[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8"};
    for (size_t i = 0; i < COUNT_OF(comma); i++)
        if (setlocale(LC_NUMERIC, comma[i]) != NULL) return;
    printf("skip: no locale with a decimal comma is installed\n");
    skip();
}

static void scalars(void **state)
{
    char text[40];
    int64_t v;
    (void)state;
    with_commas();
    scalar_print(DT_f64, attr_of_f64(0.5), text, sizeof text);
    assert_string_equal(text, "0.5");
    assert_true(scalar_parse(DT_f64, "0.25", 4, &v) && attr_f64(v) == 0.25);
    assert_true(scalar_parse(DT_f32, "0x1.8p1", 7, &v) && attr_f64(v) == 3);
    Text t = {0};
    text_printf(&t, "%g", 1.5);
    assert_string_equal(t.at, "1.5");
    text_free(&t);
    snprintf(text, sizeof text, "%g", 1.5); /* the program's own numbers stay as it wants them */
    assert_string_equal(text, "1,5");
}

static void halves(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    kiln_print(*(FILE **)user, in[0]);
    out[0] = kiln_mul(in[0], 0.5);
}

static void lacks(const char *text, size_t n)
{
    for (size_t i = 1; i + 1 < n; i++)
        if (text[i] == ',' && text[i - 1] >= '0' && text[i - 1] <= '9' && text[i + 1] >= '0' && text[i + 1] <= '9') fail_msg("a comma in %s", text);
}

static void prints_and_comparisons(void **state)
{
    kiln *k = *state;
    with_commas();
    KILN_SCOPE(k);
    char *text = NULL;
    size_t n = 0;
    FILE *to = open_memstream(&text, &n);
    kiln_tensor *x = kiln_f32(k, KILN_SHAPE(3), 1.5, -0.25, 1e20);
    kiln_print(to, x);
    kiln_print(to, kiln_scalar(k, KILN_F64, 1234.5));
    kiln_print(to, kiln_scalar(k, KILN_F32, 1.25e-30));
    fflush(to);
    assert_string_equal(text, "[ 1.5e+00 -2.5e-01  1.0e+20] f32[3]\n1234.5 f64[]\n1.25e-30 f32[]\n");
    kiln_function *f = kiln_function_new(k, halves, &to, NULL);
    for (int json = 0; json < 2; json++) assert_true(kiln_compare(to, f, &x, 1, &(kiln_compare_options){.seconds = 1e-4, .json = json != 0}));
    fclose(to);
    assert_non_null(strstr(text, "\"speed_up\": "));
    lacks(text, n);
    free(text);
    kiln_assert_close(x, kiln_mul(x, 2), 0.5);
    assert_error(k, KILN_EVALUE, "0.5");
}

static void errors(void **state)
{
    kiln *k = *state;
    with_commas();
    KILN_SCOPE(k);
    kiln_layernorm(kiln_f32(k, KILN_SHAPE(2), 1, 2), NULL, NULL, -1.5);
    assert_error(k, KILN_EVALUE, "layernorm: epsilon is -1.5  tests/test_locale.c:");
    kiln_add(kiln_full(k, KILN_I32, KILN_SHAPE(2), 1), 2.5);
    assert_non_null(strstr(kiln_error(k)->text, "2.5"));
    kiln_clear(k);
    Status st = {0};
    status_fail(&st, ST_VALUE, "%g", 0.5);
    assert_string_equal(st.text, "0.5");
}

int main(void)
{
    const struct CMUnitTest tests[] = {FRONT_TEST(scalars), FRONT_TEST(prints_and_comparisons), FRONT_TEST(errors)};
    return cmocka_run_group_tests_name("locale", tests, NULL, NULL);
}
