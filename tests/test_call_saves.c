/* test_call_saves: a compiled call under a tape keeps what its contractions made, so that its gradient computes none of them again: counted in the programs
 * that KILN_DUMP shows. Gradients have the bits of eager code, also of the second order, where calls are made with and without a tape, with other sizes,
 * and after the function was freed. */
#include <dirent.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "front.h"

#define BODY(name) static void name(kiln *k KILN_UNUSED, kiln_tensor *const *in, kiln_tensor **out, void *user KILN_UNUSED)

/* Two layers: the gradient reads the first product through tanh, and the second, which no other result is. */
BODY(layers)
{
    kiln_tensor *h = kiln_tanh(kiln_matmul(in[0], in[1])), *z = kiln_matmul(h, in[2]);
    out[0] = kiln_sum(kiln_mul(kiln_sigmoid(z), z), KILN_ALL);
    out[1] = h;
}

static kiln_function *function_of(kiln *k) { return kiln_function_new(k, layers, NULL, &(kiln_function_options){.name = "layers", .inputs_count = 3, .outputs = 2}); }

/* How many contractions the newest dumped programs have whose file's name contains `name`; the files go. */
static int contractions(const char *folder, const char *name)
{
    int n = 0;
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char path[600], line[4000];
        if (e->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        FILE *f = strstr(e->d_name, name) != NULL ? fopen(path, "r") : NULL;
        while (f != NULL && fgets(line, sizeof line, f) != NULL) n += strstr(line, "contract") != NULL;
        if (f != NULL) fclose(f);
        remove(path);
    }
    closedir(d);
    return n;
}

typedef struct Inputs { kiln_tensor *x, *w, *v; } Inputs;

static Inputs inputs(kiln *k, int rows)
{
    kiln_variable *g = kiln_generator(k, 7);
    return (Inputs){kiln_normal(g, KILN_F32, KILN_SHAPE(rows, 5), 0, 1), kiln_normal(g, KILN_F32, KILN_SHAPE(5, 6), 0, 1),
        kiln_normal(g, KILN_F32, KILN_SHAPE(6, 3), 0, 1)};
}

/* The gradient of the sum of both results, and of the gradient's square if `twice`. */
static void gradient(kiln *k, kiln_function *f, Inputs in, bool twice, kiln_tensor **dx)
{
    kiln_tape *outer = twice ? kiln_tape_open_at(KILN_HERE, k, true) : NULL;
    if (twice) kiln_watch(outer, in.w);
    kiln_tape *tape = kiln_tape_open_at(KILN_HERE, k, false);
    kiln_watch(tape, in.x), kiln_watch(tape, in.w), kiln_watch(tape, in.v);
    kiln_tensor *out[2], *y;
    assert_true(kiln_call_all(f, KILN_IN(in.x, in.w, in.v), out, 2));
    y = kiln_add(out[0], kiln_sum(kiln_mul(out[1], 0.5), KILN_ALL));
    assert_true(kiln_gradients(tape, y, KILN_IN(in.x, in.w, in.v), dx));
    if (twice) assert_true(kiln_gradients(outer, kiln_sum(kiln_square(dx[0]), KILN_ALL), KILN_IN(in.w), &dx[3]));
    kiln_tape_close(&tape);
    if (twice) kiln_tape_close(&outer);
}

static void compare(kiln *k, kiln_function *f, int rows, bool twice)
{
    Inputs in = inputs(k, rows);
    kiln_tensor *eager[4], *compiled[4];
    kiln_eager(k, true);
    gradient(k, f, in, twice, eager);
    kiln_eager(k, false);
    gradient(k, f, in, twice, compiled);
    for (int i = 0; i < (twice ? 4 : 3); i++) {
        assert_int_equal(kiln_bytes(eager[i]), kiln_bytes(compiled[i]));
        assert_memory_equal(kiln_data(eager[i]), kiln_data(compiled[i]), (size_t)kiln_bytes(eager[i]));
    }
}

static void bits_are_those_of_eager_code(void **state)
{
    kiln *k = *state;
    {
        KILN_SCOPE(k);
        kiln_function *f = function_of(k);
        Inputs in = inputs(k, 4);
        kiln_tensor *out[2];
        assert_true(kiln_call_all(f, KILN_IN(in.x, in.w, in.v), out, 2)); /* without a tape before */
        compare(k, f, 4, false);
        compare(k, f, 4, true);
        for (int rows = 5; rows < 12; rows++) compare(k, f, rows, rows % 2 == 0); /* a size that becomes a symbol */
        assert_true(kiln_call_all(f, KILN_IN(in.x, in.w, in.v), out, 2)); /* and after */
    }
    assert_ok(k);
}

/* The second result has no finite slope at 0. */
BODY(two)
{
    out[0] = kiln_mul(in[0], 2.0);
    out[1] = kiln_sqrt(in[0]);
}

static void a_result_that_nobody_asks_about_adds_nothing(void **state)
{
    kiln *k = *state;
    {
        KILN_SCOPE(k);
        kiln_function *f = kiln_function_new(k, two, NULL, &(kiln_function_options){.name = "two", .inputs_count = 1, .outputs = 2});
        for (int which = 0; which < 2; which++) {
            kiln_tensor *x = kiln_zeros(k, KILN_F32, KILN_SHAPE(3)), *out[2], *dx;
            kiln_tape *tape = kiln_tape_open_at(KILN_HERE, k, false);
            kiln_watch(tape, x);
            assert_true(kiln_call_all(f, KILN_IN(x), out, 2));
            assert_true(kiln_gradients(tape, kiln_sum(out[which], KILN_ALL), KILN_IN(x), &dx));
            for (int i = 0; i < 3; i++) assert_true(((const float *)kiln_data(dx))[i] == (which ? INFINITY : 2));
            kiln_tape_close(&tape);
        }
    }
    assert_ok(k);
}

static void a_freed_function_keeps_its_gradient(void **state)
{
    kiln *k = *state;
    {
        KILN_SCOPE(k);
        kiln_function *f = function_of(k);
        Inputs in = inputs(k, 4);
        kiln_tensor *out[2], *dx[2], *again[3];
        gradient(k, f, in, false, again);
        kiln_tape *tape = kiln_tape_open_at(KILN_HERE, k, false);
        kiln_watch(tape, in.w), kiln_watch(tape, in.v);
        assert_true(kiln_call_all(f, KILN_IN(in.x, in.w, in.v), out, 2));
        kiln_function_free(f);
        kiln_tensor *y = kiln_add(out[0], kiln_sum(kiln_mul(out[1], 0.5), KILN_ALL));
        assert_true(kiln_gradients(tape, y, KILN_IN(in.w, in.v), dx));
        assert_memory_equal(kiln_data(dx[0]), kiln_data(again[1]), (size_t)kiln_bytes(dx[0]));
        assert_memory_equal(kiln_data(dx[1]), kiln_data(again[2]), (size_t)kiln_bytes(dx[1]));
        kiln_tape_close(&tape);
    }
    assert_ok(k);
}

/* Programs that are compiled from here on are written into a folder, whose name is filled in, until dump_end. */
static void dump_begin(char *folder)
{
    assert_non_null(mkdtemp(folder));
    setenv("KILN_DUMP", "program", 1);
    setenv("KILN_DUMP_DIR", folder, 1);
}

static void dump_end(const char *folder)
{
    unsetenv("KILN_DUMP");
    contractions(folder, "");
    rmdir(folder);
}

static void the_gradient_computes_no_product_again(void **state)
{
    (void)state;
    char folder[] = "/tmp/kiln-saves-XXXXXX";
    dump_begin(folder);
    kiln *k = kiln_open(&(kiln_options){.compile = KILN_WAIT});
    {
        KILN_SCOPE(k);
        kiln_tensor *dx[4];
        gradient(k, function_of(k), inputs(k, 64), false, dx);
        assert_int_equal(contractions(folder, "layers_vjp"), 4); /* dx, dw, dh, dv: and not the two of the call */
        gradient(k, function_of(k), inputs(k, 64), true, dx);
    }
    assert_int_equal(kiln_close(k), 0);
    dump_end(folder);
}

/* The product is nobody's: what a tape around the call keeps has no place for it. */
BODY(discards)
{
    kiln_tensor *h = kiln_tanh(kiln_matmul(in[0], in[1]));
    kiln_matmul(h, in[2]);
    out[0] = kiln_sum(h, KILN_ALL);
}

static void what_no_result_needs_is_not_saved(void **state)
{
    (void)state;
    char folder[] = "/tmp/kiln-saves-XXXXXX";
    dump_begin(folder);
    kiln *k = kiln_open(&(kiln_options){.compile = KILN_WAIT});
    {
        KILN_SCOPE(k);
        kiln_function *f = kiln_function_new(k, discards, NULL, &(kiln_function_options){.name = "discards", .inputs_count = 3});
        Inputs in = inputs(k, 4);
        KILN_TAPE(k, tape);
        kiln_watch(tape, in.x);
        kiln_call(f, in.x, in.w, in.v);
        assert_int_equal(contractions(folder, "discards.program"), 2); /* one without a tape, one with it */
    }
    assert_int_equal(kiln_close(k), 0);
    dump_end(folder);
}

/* Threads that record the function's first call at once: one of them makes the form that saves. */
static void *record(void *arg)
{
    kiln_function *f = ((void **)arg)[1];
    kiln *k = ((void **)arg)[0];
    KILN_SCOPE(k);
    kiln_tensor *dx[3];
    gradient(k, f, inputs(k, 4), false, dx);
    return kiln_failed(k) ? NULL : memcpy(malloc(30 * sizeof(float)), kiln_data(dx[1]), 30 * sizeof(float));
}

static void threads_record_a_first_call(void **state)
{
    kiln *k = *state;
    for (int round = 0; round < 10; round++) {
        void *arg[2] = {k, function_of(k)}, *got[6];
        pthread_t thread[6];
        for (int i = 0; i < 6; i++) assert_int_equal(pthread_create(&thread[i], NULL, record, arg), 0);
        for (int i = 0; i < 6; i++) pthread_join(thread[i], &got[i]);
        for (int i = 0; i < 6; i++) assert_non_null(got[i]);
        for (int i = 1; i < 6; i++) assert_memory_equal(got[i], got[0], 30 * sizeof(float));
        for (int i = 0; i < 6; i++) free(got[i]);
        kiln_function_free(arg[1]);
    }
    assert_ok(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRONT_TEST(bits_are_those_of_eager_code),
        FRONT_TEST(a_result_that_nobody_asks_about_adds_nothing),
        FRONT_TEST(threads_record_a_first_call),
        FRONT_TEST(a_freed_function_keeps_its_gradient),
        cmocka_unit_test(the_gradient_computes_no_product_again),
        cmocka_unit_test(what_no_result_needs_is_not_saved),
    };
    return cmocka_run_group_tests_name("call_saves", tests, front_needs_llvm, NULL);
}
