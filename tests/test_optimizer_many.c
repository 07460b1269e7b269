/* A step of an optimiser over many parameters, of one element to some thousands: the same bits eagerly, compiled and in an object, on
 * one, two and three threads; and a variable that is in the list twice, or with its moment, which takes two steps. */
#include "aot_test.h"

#include <kiln/aot.h>
#include <kiln/nn.h>

enum { MANY = 40, STEPS = 3, LONGEST = 10001 };

static const int sizes[] = {1, 10000, 7, 768, 4097, 64, 1, 8193, 300, 2500};
static int size_of(int i) { return sizes[i % 10] + i / 20; }

typedef struct Training {
    kiln_optimizer *o;
    kiln_variable *v[MANY];
    kiln_function *step;
    bool twice; /* the first variable comes last again */
} Training;

static void body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    Training *t = user;
    kiln_variable *v[MANY];
    kiln_tensor *g[MANY];
    (void)k;
    for (int i = 0; i < MANY; i++) {
        v[i] = t->v[t->twice && i == MANY - 1 ? 0 : i];
        g[i] = kiln_mul(kiln_slice(in[0], 0, 0, size_of(t->twice && i == MANY - 1 ? 0 : i), 1), 1.0 + i);
    }
    kiln_optimizer_apply(t->o, v, g, MANY);
    for (int i = 0; i < MANY; i++) out[i] = kiln_value(t->v[i]);
}

static void training(kiln *k, Training *t, bool adam, bool twice)
{
    *t = (Training){.o = adam ? kiln_adam(k, 0.05) : kiln_sgd(k, 0.05, 0.9), .twice = twice};
    for (int i = 0; i < MANY; i++) {
        kiln_tensor *x = kiln_mul(kiln_cast(kiln_iota(k, KILN_I32, KILN_SHAPE(size_of(i)), 0), KILN_F32), 0.01 + i);
        t->v[i] = kiln_variable_new(k, "w", x);
    }
    assert_true(kiln_optimizer_prepare(t->o, t->v, MANY));
    t->step = kiln_function_new(k, body, t,
        &(kiln_function_options){.name = "step", .outputs = MANY, .inputs = {KILN_SPEC(KILN_F32, LONGEST)}});
}

static kiln_tensor *first_gradient(kiln *k)
{
    kiln_tensor *n = kiln_mod(kiln_mul(kiln_iota(k, KILN_I32, KILN_SHAPE(LONGEST), 0), 7919), 1009);
    return kiln_sub(kiln_div(kiln_cast(n, KILN_F32), 1009.0), 0.5);
}

static size_t all_values(void)
{
    size_t n = 0;
    for (int i = 0; i < MANY; i++) n += (size_t)size_of(i);
    return n;
}

/* The values after the last step go to `to`. */
static void steps(kiln *k, Training *t, bool eager, float *to)
{
    kiln_tensor *out[MANY];
    kiln_operand x = kiln_of_tensor(first_gradient(k));
    kiln_eager(k, eager);
    for (int s = 0; s < STEPS; s++) kiln_call_all(t->step, &x, 1, out, MANY);
    kiln_eager(k, false);
    assert_ok(k);
    for (int i = 0; i < MANY; to += size_of(i++)) assert_true(kiln_read(out[i], to, sizeof *to * (size_t)size_of(i)));
}

static void train(int threads, bool eager, bool adam, bool twice, float *to)
{
    kiln *k = kiln_open(&(kiln_options){.threads = threads, .compile = KILN_WAIT});
    {
        KILN_SCOPE(k);
        Training t;
        training(k, &t, adam, twice);
        steps(k, &t, eager, to);
    }
    assert_int_equal(kiln_close(k), 0);
}

static void bits_agree(void **state)
{
    const size_t n = all_values();
    float *want = malloc(n * sizeof *want), *have = malloc(n * sizeof *have);
    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        train(1, true, kind & 1, kind & 2, want);
        for (int way = 1; way < 6; way++) {
            train(1 + way % 3, way < 3, kind & 1, kind & 2, have);
            for (size_t i = 0; i < n; i++)
                if (memcmp(&want[i], &have[i], sizeof *want) != 0)
                    fail_msg("kind %d, way %d, element %zu: %a instead of %a", kind, way, i, (double)have[i], (double)want[i]);
        }
    }
    free(want);
    free(have);
}

/* ---- a moment that is itself in the list -------------------------------------------------------------------------- */
static void moved(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    Training *t = user;
    kiln_tensor *g = kiln_mul(in[0], 0.5), *old = kiln_value(t->v[0]); /* held, so that an eager step leaves it as it is */
    (void)k;
    kiln_optimizer_apply(t->o, t->v, (kiln_tensor *[]){g, in[0]}, 2);
    out[0] = kiln_add(kiln_value(t->v[1]), old);
}

/* Steps of a variable, each after one of its moment. */
static void move(bool eager, float *to)
{
    kiln *k = kiln_open(&(kiln_options){.threads = 2, .compile = KILN_WAIT});
    {
        KILN_SCOPE(k);
        Training t = {.o = kiln_sgd(k, 0.05, 0.9)};
        kiln_tensor *x = first_gradient(k);
        kiln_variable *state[3];
        t.v[1] = kiln_variable_new(k, "w", x);
        assert_true(kiln_optimizer_prepare(t.o, &t.v[1], 1));
        assert_int_equal(kiln_optimizer_variables(t.o, state, 3), 2);
        t.v[0] = state[1];
        kiln_function *f = kiln_function_new(k, moved, &t, NULL);
        kiln_eager(k, eager);
        for (int s = 0; s < STEPS; s++) {
            kiln_tensor *y = kiln_call(f, x);
            assert_true(kiln_read(y, to, sizeof *to * LONGEST));
        }
        assert_ok(k);
    }
    assert_int_equal(kiln_close(k), 0);
}

static void moments_may_be_listed(void **state)
{
    float *want = malloc(LONGEST * sizeof *want), *have = malloc(LONGEST * sizeof *have);
    (void)state;
    move(false, want);
    move(true, have);
    assert_memory_equal(want, have, LONGEST * sizeof *want);
    free(want);
    free(have);
}

/* ---- objects ------------------------------------------------------------------------------------------------------ */
static void write_program(void)
{
    FILE *f = fopen(path_of("main.c"), "w");
    assert_non_null(f);
    fprintf(f, "#include <stdio.h>\n#include \"step.h\"\n_Alignas(64) static unsigned char work[STEP_WORKSPACE_BYTES], state[STEP_STATE_BYTES];\n");
    fprintf(f, "static float x[%d]", LONGEST);
    for (int i = 0; i < MANY; i++) fprintf(f, ", y%d[%d]", i, size_of(i));
    fprintf(f, ";\nint main(int argc, char **argv)\n{\n    FILE *f = fopen(argv[argc - 1], \"rb\");\n    if (!f || fread(x, sizeof x, 1, f) != 1) return 2;\n");
    fprintf(f, "    step_init(state);\n    for (int i = 0; i < %d; i++)\n        if (step(state, x", STEPS);
    for (int i = 0; i < MANY; i++) fprintf(f, ", y%d", i);
    fprintf(f, ", work)) return 3;\n");
    for (int i = 0; i < MANY; i++) fprintf(f, "    fwrite(y%d, sizeof y%d, 1, stdout);\n", i, i);
    fprintf(f, "    return 0;\n}\n");
    fclose(f);
}

static void objects_have_the_same_bits(void **state)
{
    kiln *k = *state;
    const size_t n = all_values();
    float *want = malloc(n * sizeof *want), *have = malloc(n * sizeof *have);
    for (int adam = 0; adam < 2; adam++) {
        KILN_SCOPE(k);
        Training t;
        training(k, &t, adam, false);
        assert_true(kiln_aot(t.step, path_of("step"), NULL));
        steps(k, &t, false, want);
        FILE *f = fopen(path_of("data"), "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(kiln_data(first_gradient(k)), sizeof(float), LONGEST, f), LONGEST);
        fclose(f);
        write_program();
        run("cc -std=c11 -Wall -Wextra -Werror -O1 -o %s/main %s/main.c %s/step.o -lm", dir, dir, dir);
        run("%s/main %s/data > %s/got", dir, dir, dir);
        f = fopen(path_of("got"), "rb");
        assert_non_null(f);
        assert_int_equal(fread(have, sizeof *have, n, f), n);
        fclose(f);
        assert_memory_equal(have, want, n * sizeof *have);
    }
    free(want);
    free(have);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bits_agree), cmocka_unit_test(moments_may_be_listed), WAIT_TEST(objects_have_the_same_bits)};
    return cmocka_run_group_tests_name("optimizer_many", tests, aot_set_up, aot_tear_down);
}
