/* called: tables of wrong calls, each of whose errors must begin with the name of what was called: run eagerly and in a trace. A test gives
 * everything(). Relies on front.h. */
#ifndef KILN_TESTS_CALLED_H
#define KILN_TESTS_CALLED_H

#include "front.h"

typedef struct Bad { /* operands that something does not fit */
    kiln *k;
    kiln_tensor *f, *g, *i, *b, *s, *h, *image, *poor; /* f32[2,3], f32[4,5], i32[2,3], bool[2,3], f32[], f16[2,3], f32[1,4,4,2], f32[1,4,4] */
    kiln_variable *v, *draw, *count; /* f32[2,3], a generator, i64[2] */
} Bad;

static int calls;
#ifndef CALLED_LEAST
#define CALLED_LEAST 90 /* rows that a table has at least */
#endif

/* The error of the call begins with the name, is of this kind, and is cleared. */
static void begins(kiln *k, const char *name, kiln_code code, const char *call)
{
    const kiln_failure *e = kiln_error(k);
    const size_t n = strlen(name);
    if (e->code != code || strncmp(e->text, name, n) != 0 || strncmp(e->text + n, ": ", 2) != 0)
        fail_msg("%s: wanted code %d and \"%s: ...\", got code %d: %s", call, (int)code, name, (int)e->code, e->text);
    const char *file = strrchr(__BASE_FILE__, '/');
    if (!strstr(e->text, file ? file + 1 : __BASE_FILE__)) fail_msg("%s: no line: %s", call, e->text);
    kiln_clear(k);
    calls++;
}

#define BAD(name, code, ...) ((void)(__VA_ARGS__), begins(x->k, name, code, #__VA_ARGS__))
#define SHAPE KILN_ESHAPE
#define DTYPE KILN_EDTYPE
#define VALUE KILN_EVALUE

void everything(Bad *x); /* the test's table */

static Bad bad_operands(kiln *k)
{
    Bad x = {.k = k};
    x.f = kiln_zeros(k, KILN_F32, KILN_SHAPE(2, 3));
    x.g = kiln_zeros(k, KILN_F32, KILN_SHAPE(4, 5));
    x.i = kiln_zeros(k, KILN_I32, KILN_SHAPE(2, 3));
    x.b = kiln_zeros(k, KILN_BOOL, KILN_SHAPE(2, 3));
    x.s = kiln_scalar(k, KILN_F32, 0.5);
    x.h = kiln_zeros(k, KILN_F16, KILN_SHAPE(2, 3));
    x.image = kiln_zeros(k, KILN_F32, KILN_SHAPE(1, 4, 4, 2));
    x.poor = kiln_zeros(k, KILN_F32, KILN_SHAPE(1, 4, 4));
    x.v = kiln_variable_new(k, "v", x.f);
    x.draw = kiln_generator(k, 1);
    x.count = kiln_variable_new(k, "count", kiln_zeros(k, KILN_I64, KILN_SHAPE(2)));
    return x;
}

static void eager_errors_name_what_was_called(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    Bad x = bad_operands(k);
    calls = 0;
    everything(&x);
    printf("%d wrong calls\n", calls);
    assert_true(calls > CALLED_LEAST);
    assert_ok(k);
}

static void body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    Bad *x = user;
    everything(x);
    out[0] = in[0];
}

static void traced_errors_name_what_was_called(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    Bad x = bad_operands(k);
    calls = 0;
    kiln_function *f = kiln_function_new(k, body, &x, &(kiln_function_options){.name = "f"});
    kiln_call(f, x.f);
    assert_error(k, KILN_ESTATE, "f: its body cleared an error"); /* cleared by the table */
    assert_true(calls > CALLED_LEAST);
}

/* The main of a test that has nothing but such a table. */
#define CALLED_TESTS FRONT_TEST(eager_errors_name_what_was_called), FRONT_TEST(traced_errors_name_what_was_called)
#define CALLED_MAIN                                                                          \
    int main(void)                                                                           \
    {                                                                                        \
        const struct CMUnitTest tests[] = {CALLED_TESTS};                                    \
        return cmocka_run_group_tests_name(__BASE_FILE__, tests, front_needs_llvm, NULL);    \
    }

#endif
