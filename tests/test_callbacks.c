/* callbacks: C functions called from eager and compiled code; what gradients, checks, traces and object files make of effects. What needs compiling
 * is skipped without the LLVM module. */
#include "effect_page.h"

#include <kiln/aot.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- callbacks ------------------------------------------------------------------------------------------------------ */
static int sorted(const kiln_array *in, int nin, const kiln_array *o, int nout, void *user)
{
    float *y = o[0].data;
    int32_t *order = o[1].data;
    int64_t n = in[0].size[0];
    assert_true(nin == 1 && nout == 2 && o[1].dtype == KILN_I32 && pthread_equal(pthread_self(), *(pthread_t *)user));
    memcpy(y, in[0].data, (size_t)n * sizeof *y);
    for (int64_t i = 0; i < n; i++) order[i] = (int32_t)i;
    for (int64_t i = 1; i < n; i++)
        for (int64_t j = i; j > 0 && y[j] < y[j - 1]; j--) {
            float f = y[j];
            int32_t d = order[j];
            y[j] = y[j - 1], y[j - 1] = f;
            order[j] = order[j - 1], order[j - 1] = d;
        }
    return 0;
}

static void sorts(kiln *k, kiln_tensor *const *in, kiln_tensor **o, void *user)
{
    kiln_tensor *s[2], *x = kiln_mul(in[0], -1.0);
    kiln_callback(k, sorted, user, &x, 1, (kiln_spec[]){KILN_SPEC(KILN_F32, -1), KILN_SPEC(KILN_I32, -1)}, s, 2);
    o[0] = kiln_add(kiln_mul(s[0], 10.0), kiln_cast(s[1], KILN_F32));
}

static void callbacks_have_results(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    pthread_t self = pthread_self();
    float y[3], z[2];
    kiln_function *f = kiln_function_new(k, sorts, &self, &(kiln_function_options){.inputs = {KILN_SPEC(KILN_F32, KILN_DIM("N", 1, 9))}});
    for (int way = 0; way < 2; way++) {
        kiln_eager(k, way == 0);
        kiln_read(kiln_call(f, kiln_f32(k, KILN_SHAPE(3), 1, 3, 2)), y, sizeof y);
        kiln_read(kiln_call(f, kiln_f32(k, KILN_SHAPE(2), 1, 3)), z, sizeof z);
        kiln_eager(k, false);
        assert_ok(k);
        assert_true(y[0] == -29 && y[1] == -18 && y[2] == -10 && z[0] == -29 && z[1] == -10);
    }
}

static int refuse_seven(const kiln_array *in, int nin, const kiln_array *o, int nout, void *user)
{
    (void)nin, (void)nout, (void)user;
    ((float *)o[0].data)[0] = 2 * ((const float *)in[0].data)[0];
    return ((const float *)in[0].data)[0] == 7 ? 42 : 0;
}

static void calls_in_loop(kiln *k, kiln_tensor *const *in, kiln_tensor **o, void *user)
{
    kiln_variable *v = user;
    KILN_FOR(k, i, 3) {
        kiln_tensor *x = kiln_value(v), *y;
        kiln_callback(k, refuse_seven, NULL, &x, 1, (kiln_spec[]){KILN_SPEC(KILN_F32)}, &y, 1);
        kiln_assign(v, kiln_add(y, in[0]));
    }
    o[0] = kiln_value(v);
}

static void failing_callbacks_change_nothing(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_variable *v = kiln_variable_new(k, "v", KILN_F32, 1);
    kiln_function *f = kiln_function_new(k, calls_in_loop, v, NULL);
    kiln_tensor *one = kiln_scalar(k, KILN_F32, 1);
    kiln_call(f, one); /* 1, 3, 7: refused */
    assert_error(k, KILN_EVALUE, "callback: the function returned 42  ");
    assert_true(kiln_item(v) == 1);
    assert_true(kiln_item(kiln_call(f, kiln_scalar(k, KILN_F32, 0))) == 8 && kiln_item(v) == 8);
    assert_ok(k);
}

KILN_FUNCTION(inner, k, x)
{
    return kiln_sum(kiln_softmax(kiln_matmul(x, x), 1), KILN_ALL);
}

static int use_engine(const kiln_array *in, int nin, const kiln_array *o, int nout, void *user)
{
    kiln *k = user;
    (void)nin, (void)nout;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_from(k, KILN_F32, KILN_SHAPE(8, 8), in[0].data, 64);
    ((float *)o[0].data)[0] = (float)kiln_item(inner(k, x));
    return 0;
}

static void calls_engine(kiln *k, kiln_tensor *const *in, kiln_tensor **o, void *user)
{
    (void)user;
    kiln_tensor *a = kiln_matmul(in[0], in[0]), *y;
    kiln_callback(k, use_engine, k, in, 1, (kiln_spec[]){KILN_SPEC(KILN_F32)}, &y, 1);
    o[0] = kiln_add(kiln_softmax(kiln_matmul(a, a), 1), y);
}

/* The inner call must not run in the outer one's workspace. */
static void callbacks_may_call_compiled_code(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_variable *g = kiln_generator(k, 3);
    kiln_tensor *x = kiln_normal(g, KILN_F32, KILN_SHAPE(8, 8), 0, 1);
    kiln_function *f = kiln_function_new(k, calls_engine, NULL, &(kiln_function_options){.inputs_count = 1});
    float y[2][64];
    for (int way = 0; way < 3; way++) {
        kiln_eager(k, way == 0);
        kiln_read(kiln_call(f, x), y[way > 0], sizeof y[0]);
        kiln_eager(k, false);
        assert_ok(k);
        assert_memory_equal(y[0], y[way > 0], sizeof y[0]);
    }
}

static int reassign(const kiln_array *in, int nin, const kiln_array *o, int nout, void *user)
{
    kiln_variable *v = user;
    kiln_tensor *old = kiln_value(v);
    kiln *k = kiln_engine(old);
    (void)nin, (void)o, (void)nout;
    kiln_assign(v, kiln_full(k, KILN_F32, KILN_SHAPE(1000), ((const float *)in[0].data)[0]));
    return 0;
}

static void sums_assigned(kiln *k, kiln_tensor *const *in, kiln_tensor **o, void *user)
{
    kiln_variable *v = user;
    kiln_tensor *before = kiln_mul(v, in[0]);
    kiln_callback(k, reassign, v, (kiln_tensor *[]){kiln_sum(before, KILN_ALL)}, 1, NULL, NULL, 0);
    o[0] = kiln_add(before, v);
}

/* The call goes on with what it had, in memory that is still there. */
static void callbacks_may_assign(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_variable *v = kiln_variable_new(k, "v", kiln_ones(k, KILN_F32, KILN_SHAPE(1000)));
    kiln_function *f = kiln_function_new(k, sums_assigned, v, NULL);
    float y[1000], now[1000];
    kiln_read(kiln_call(f, kiln_scalar(k, KILN_F32, 2)), y, sizeof y);
    kiln_read(v, now, sizeof now);
    assert_ok(k);
    for (int i = 0; i < 1000; i++) assert_true(y[i] == 3 && now[i] == 2000);
}

/* ---- gradients --------------------------------------------------------------------------------------------------------- */
static void loud_square(kiln *k, kiln_tensor *const *in, kiln_tensor **o, void *user)
{
    (void)user;
    kiln_variable *p = kiln_local(k, KILN_F32, 1);
    KILN_FOR(k, i, 2) {
        kiln_print(page, i);
        kiln_assert_finite(p);
        kiln_assign(p, kiln_mul(p, in[0]));
    }
    o[0] = kiln_value(p);
}

/* The reverse of a loop, and that of a compiled call, compute the body again: nothing may be printed twice. */
static void gradients_repeat_no_effect(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_function *f = kiln_function_new(k, loud_square, NULL, &(kiln_function_options){.inputs_count = 1});
    for (int way = 0; way < 4; way++) {
        kiln_tensor *x = kiln_scalar(k, KILN_F32, 3), *dx;
        kiln_eager(k, way == 0);
        if (way < 2) {
            KILN_TAPE(k, tape);
            kiln_watch(tape, x);
            dx = kiln_gradient(tape, kiln_call(f, x), x);
        } else {
            dx = kiln_call(kiln_grad(f), x);
        }
        kiln_eager(k, false);
        assert_ok(k);
        assert_true(kiln_item(dx) == 6);
        read_out(text[0]);
        assert_string_equal(text[0], "0 i64[]\n1 i64[]\n");
    }
}

static void one_back(kiln *k, kiln_tensor *g, kiln_tensor *const *x, kiln_tensor **dx, void *user)
{
    (void)k, (void)x, (void)user;
    dx[0] = kiln_mul(g, 5.0);
}

typedef struct How { bool custom; } How;
static void through_c(kiln *k, kiln_tensor *const *in, kiln_tensor **o, void *user)
{
    kiln_tensor *y = plus_one_of(k, in[0], NULL);
    if (((How *)user)->custom) y = kiln_custom_gradient(y, in, 1, one_back, NULL);
    o[0] = kiln_sum(kiln_square(y), KILN_ALL);
}

static void no_gradient_through_c(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    How plain = {false}, custom = {true};
    kiln_function *f = kiln_function_new(k, through_c, &plain, &(kiln_function_options){.inputs_count = 1});
    kiln_function *g = kiln_function_new(k, through_c, &custom, &(kiln_function_options){.inputs_count = 1});
    kiln_tensor *x = kiln_f32(k, KILN_SHAPE(2), 1, 2);
    float dx[2];
    for (int way = 0; way < 2; way++) {
        kiln_eager(k, way == 0);
        kiln_call(kiln_grad(f), x);
        assert_error(k, KILN_EUNSUPPORTED, "callback: no gradient flows through C code");
        kiln_read(kiln_call(kiln_grad(g), x), dx, sizeof dx);
        kiln_eager(k, false);
        assert_ok(k);
        assert_true(dx[0] == 20 && dx[1] == 30);
    }
    KILN_TAPE(k, tape);
    kiln_watch(tape, x);
    kiln_gradient(tape, kiln_call(g, x), x);
    assert_error(k, KILN_EUNSUPPORTED, "open the tape inside the function");
}

static void checks_are_silent(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_function *f = kiln_function_new(k, loud_square, NULL, &(kiln_function_options){.inputs_count = 1});
    kiln_tensor *x = kiln_scalar(k, KILN_F32, 3);
    assert_true(kiln_check(NULL, f, &x, 1));
    assert_ok(k);
    read_out(text[0]);
    assert_string_equal(text[0], "");
}

/* ---- ahead of time --------------------------------------------------------------------------------------------------------- */
static void guarded(kiln *k, kiln_tensor *const *in, kiln_tensor **o, void *user)
{
    kiln_variable *sum = user;
    (void)k;
    kiln_assign_add(sum, in[0]);
    kiln_print(page, sum);
    kiln_assert(kiln_lt(sum, 10.0), "the sum is small");
    o[0] = kiln_mul(sum, 2.0);
}

static const char *const guarded_main =
    "#include \"guarded.h\"\n"
    "int main(void)\n{\n"
    "    _Alignas(64) static unsigned char state[GUARDED_STATE_BYTES], before[GUARDED_STATE_BYTES], work[GUARDED_WORKSPACE_BYTES];\n"
    "    float x[2] = {4, 1}, y[2];\n"
    "    guarded_init(state);\n"
    "    if (guarded(state, x, y, work) || guarded(state, x, y, work)) return 1;\n"
    "    if (y[0] != 16 || y[1] != 4) return 2;\n"
    "    memcpy(before, state, sizeof state);\n"
    "    if (guarded(state, x, y, work) <= 0) return 3;\n"
    "    return memcmp(before, state, sizeof state) ? 4 : 0;\n}\n";

static void objects_assert_too(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    char dir[64], path[160], command[512];
    snprintf(dir, sizeof dir, "build/effects-test-%d", (int)getpid());
    snprintf(command, sizeof command, "mkdir -p '%s' && cc --version > /dev/null 2>&1", dir);
    if (system(command) != 0) {
        printf("skip: no C compiler to link an object with\n");
        return;
    }
    kiln_variable *sum = kiln_variable_new(k, "sum", kiln_zeros(k, KILN_F32, KILN_SHAPE(2)));
    kiln_function *f = kiln_function_new(k, guarded, sum, &(kiln_function_options){.inputs = {KILN_SPEC(KILN_F32, 2)}});
    snprintf(path, sizeof path, "%s/guarded", dir);
    assert_true(kiln_aot(f, path, NULL));
    snprintf(path, sizeof path, "%s/main.c", dir);
    FILE *c = fopen(path, "w");
    assert_non_null(c);
    assert_true(fputs(guarded_main, c) >= 0 && fclose(c) == 0);
    snprintf(command, sizeof command, "cc -std=c11 -Wall -Wextra -Werror -O1 -o %s/main %s/main.c %s/guarded.o -lm && %s/main", dir, dir, dir, dir);
    assert_int_equal(system(command), 0);
    read_out(text[0]);
    assert_string_equal(text[0], "");

    kiln_function *calls = kiln_function_new(k, through_c, &(How){false}, &(kiln_function_options){.inputs = {KILN_SPEC(KILN_F32, 2)}});
    snprintf(path, sizeof path, "%s/calls", dir);
    kiln_aot(calls, path, NULL);
    assert_error(k, KILN_EUNSUPPORTED, "calls C code (kiln_callback, ");
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRONT_TEST(callbacks_have_results),
        FRONT_TEST(failing_callbacks_change_nothing),
        FRONT_TEST(callbacks_may_call_compiled_code),
        FRONT_TEST(callbacks_may_assign),
        FRONT_TEST(gradients_repeat_no_effect),
        FRONT_TEST(no_gradient_through_c),
        FRONT_TEST(checks_are_silent),
        FRONT_TEST(objects_assert_too),
    };
    if (!effects_compile()) {
        printf("skip: the LLVM module is not at hand\n");
        return 77;
    }
    return cmocka_run_group_tests_name("callbacks", tests, open_page, close_page);
}
