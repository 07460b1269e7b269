/* aot_control: loops and branches as an object file: a plain C program that links it and libm alone gets the bits of the compiled
 * function, its state after each call included; what an object cannot have is named. Skipped without the LLVM module or a C compiler. */
#include "aot_test.h"

#include <kiln/aot.h>

enum { N = 4, CALLS = 5 };

/* x, and how often; keeps in a variable how often it halved. */
static void wander(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_variable *halved = user, *y = kiln_local(k, in[0]), *root = kiln_local(k, KILN_F32, 1.0);
    KILN_FOR(k, i, in[1]) {
        KILN_IF(kiln_greater(kiln_sum(y, KILN_ALL), 20))
        {
            kiln_assign(y, kiln_mul(y, 0.5));
            kiln_assign_add(halved, 1);
        }
        KILN_ELSE(k) kiln_assign(y, kiln_add(y, kiln_cast(i, KILN_F32)));
    }
    KILN_WHILE(k, kiln_greater(kiln_abs(kiln_sub(kiln_mul(root, root), 2)), 1e-6))
        kiln_assign(root, kiln_mul(kiln_add(root, kiln_div(2, root)), 0.5));
    out[0] = kiln_mul(y, root);
}

static const char main_c[] =
    "#include \"wander.h\"\n#include <stdio.h>\n#include <string.h>\n"
    "_Alignas(64) static unsigned char work[WANDER_WORKSPACE_BYTES + 1], state[WANDER_STATE_BYTES];\n"
    "int main(void)\n{\n    float x[4] = {1, -2, 3, 4}, y[4];\n    wander_init(state);\n"
    "    for (int32_t n = 0; n < 5; n++) {\n        int32_t turns = 3 * n;\n"
    "        if (wander(state, x, &turns, y, work)) return 1;\n"
    "        fwrite(y, sizeof y, 1, stdout);\n        fwrite(state, 4, 1, stdout);\n    }\n    return 0;\n}\n";

static void loops_and_branches(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    float want[CALLS][N + 1], got[CALLS][N + 1];
    kiln_variable *halved = kiln_variable_new(k, "halved", KILN_F32, 0.0);
    kiln_function *f = kiln_function_new(k, wander, halved, &(kiln_function_options){
        .name = "wander", .inputs = {KILN_SPEC(KILN_F32, N), KILN_SPEC(KILN_I32)}});
    char path[128];
    snprintf(path, sizeof path, "%s/wander", dir);
    assert_true(kiln_aot(f, path, NULL));
    assert_ok(k);
    for (int eager = 1; eager >= 0; eager--) {
        kiln_eager(k, eager);
        kiln_assign(halved, 0.0);
        for (int n = 0; n < CALLS; n++) {
            float *to = eager ? got[n] : want[n];
            kiln_read(kiln_call(f, kiln_f32(k, KILN_SHAPE(N), 1, -2, 3, 4), kiln_scalar(k, KILN_I32, 3 * n)), to, N * sizeof *to);
            to[N] = (float)kiln_item(halved);
        }
    }
    assert_ok(k);
    assert_memory_equal(got, want, sizeof got);
    snprintf(path, sizeof path, "%s/main.c", dir);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(main_c, file);
    fclose(file);
    run("cc -std=c11 -Wall -Wextra -Werror -O1 -o %s/main %s/main.c %s/wander.o -lm", dir, dir, dir);
    run("%s/main > %s/got", dir, dir);
    snprintf(path, sizeof path, "%s/got", dir);
    file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fread(got, 1, sizeof got, file), sizeof got);
    fclose(file);
    assert_memory_equal(got, want, sizeof got);
}

static void grows(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    KILN_TAPE(k, tape);
    kiln_variable *y = kiln_local(k, kiln_watch(tape, in[0]));
    (void)user;
    KILN_FOR(k, i, in[1]) kiln_assign(y, kiln_sin(y));
    out[0] = kiln_gradient(tape, kiln_value(y), in[0]);
}

static void a_growing_stack_is_refused(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    char path[128];
    snprintf(path, sizeof path, "%s/grows", dir);
    kiln_function *f = kiln_function_new(k, grows, NULL, &(kiln_function_options){.name = "grows", .inputs = {KILN_SPEC(KILN_F32, N), KILN_SPEC(KILN_I32)}});
    assert_false(kiln_aot(f, path, NULL));
    assert_error(k, KILN_EUNSUPPORTED, "number of steps is known only when it runs: bound it (KILN_WHILE_AT_MOST");
    float g[N];
    kiln_read(kiln_call(f, kiln_f32(k, KILN_SHAPE(N), 1, 0, 3, 4), kiln_scalar(k, KILN_I32, 3)), g, sizeof g);
    assert_ok(k); /* in process there is memory that grows */
    assert_float_equal(g[1], 1, 1e-6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {FRONT_TEST(loops_and_branches), FRONT_TEST(a_growing_stack_is_refused)};
    return cmocka_run_group_tests(tests, aot_set_up, aot_tear_down);
}
