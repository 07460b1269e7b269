/* test_indices: indices out of range. Unchecked they clamp, give no class, or take their row out of a loss; in a checked engine each is an error that
 * names op, index and line, eagerly and compiled. */
#include "front.h"

#include <kiln/aot.h>
#include <math.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

KILN_FUNCTION(loss, k, x, y) { return kiln_cross_entropy(x, y); }

static void floats(kiln_tensor *x, float *to, int n)
{
    if (!kiln_read(x, to, (size_t)n * sizeof *to)) fail_msg("%s", kiln_error(kiln_engine(x))->text);
}

/* A row whose label is no class takes no part in loss, mean and gradient, whatever its logits are. */
static void a_label_outside_takes_no_part(void **state)
{
    kiln *k = *state;
    const float wild[] = {NAN, -INFINITY, INFINITY, 3};
    for (int traced = 0; traced < 2; traced++)
        for (int w = 0; w < 4; w++) {
            KILN_SCOPE(k);
            kiln_eager(k, !traced);
            float v[2], b = wild[w];
            kiln_tensor *x = kiln_f32(k, KILN_SHAPE(4, 3), 1, 2, 3, b, b, 1, 0, -1, 2, b, 1, b), *y = kiln_i64(k, KILN_SHAPE(4), 2, -1, 0, 3);
            kiln_tensor *few = kiln_f32(k, KILN_SHAPE(2, 3), 1, 2, 3, 0, -1, 2), *z = kiln_i64(k, KILN_SHAPE(2), 2, 0);
            floats(kiln_call(KILN_FN(k, loss), x, y), &v[0], 1);
            floats(kiln_call(KILN_FN(k, loss), few, z), &v[1], 1);
            assert_true(v[0] == v[1]);
            float gx[12], gf[6];
            floats(kiln_call(kiln_grad(KILN_FN(k, loss)), x, y), gx, 12);
            floats(kiln_call(kiln_grad(KILN_FN(k, loss)), few, z), gf, 6);
            assert_memory_equal(gx, gf, 3 * sizeof *gx);
            assert_memory_equal(gx + 6, gf + 3, 3 * sizeof *gx);
            for (int i = 0; i < 3; i++) assert_true(gx[3 + i] == 0 && gx[9 + i] == 0);
            float none;
            floats(kiln_call(KILN_FN(k, loss), few, kiln_i64(k, KILN_SHAPE(2), -100, 3)), &none, 1);
            assert_true(none == 0); /* no row counts */
            floats(kiln_call(KILN_FN(k, loss), kiln_zeros(k, KILN_F32, KILN_SHAPE(0, 3)), kiln_zeros(k, KILN_I64, KILN_SHAPE(0))), &none, 1);
            assert_true(none == 0); /* nor is there one */
            floats(kiln_call(KILN_FN(k, loss), few, kiln_i64(k, KILN_SHAPE(2), 3, 3)), &none, 1);
            assert_true(none == 0); /* as many as there are classes is no class */
            assert_ok(k);
        }
    kiln_eager(k, false);
}

KILN_FUNCTION(few_labels, k, x, y)
{
    (void)k;
    return kiln_softmax_cross_entropy(x, y, &(kiln_class_loss){.ignores = true, .ignore = 1, .smoothing = 0.1});
}

/* Nor does one that is to be ignored, or lies outside, in the loss that has options. In a checked engine only the latter is an error. */
static void a_label_to_ignore_takes_no_part(void **state)
{
    kiln *k = *state;
    const float wild[] = {NAN, -INFINITY, INFINITY, 3};
    for (int traced = 0; traced < 2; traced++)
        for (int w = 0; w < 4; w++) {
            KILN_SCOPE(k);
            kiln_eager(k, !traced);
            float v[2], b = wild[w], gx[12], gf[6];
            kiln_tensor *x = kiln_f32(k, KILN_SHAPE(4, 3), 1, 2, 3, b, b, 1, 0, -1, 2, b, 1, b), *y = kiln_i64(k, KILN_SHAPE(4), 2, -1, 0, 1);
            kiln_tensor *few = kiln_f32(k, KILN_SHAPE(2, 3), 1, 2, 3, 0, -1, 2), *z = kiln_i64(k, KILN_SHAPE(2), 2, 0);
            floats(kiln_call(KILN_FN(k, few_labels), x, y), &v[0], 1);
            floats(kiln_call(KILN_FN(k, few_labels), few, z), &v[1], 1);
            assert_true(v[0] == v[1]);
            floats(kiln_call(kiln_grad(KILN_FN(k, few_labels)), x, y), gx, 12);
            floats(kiln_call(kiln_grad(KILN_FN(k, few_labels)), few, z), gf, 6);
            assert_memory_equal(gx, gf, 3 * sizeof *gx);
            assert_memory_equal(gx + 6, gf + 3, 3 * sizeof *gx);
            for (int i = 0; i < 3; i++) assert_true(gx[3 + i] == 0 && gx[9 + i] == 0);
            assert_ok(k);
        }
    kiln_eager(k, false);
    kiln *strict = kiln_open(&(kiln_options){.checked = true});
    {
        KILN_SCOPE(strict);
        kiln_tensor *x = kiln_ones(strict, KILN_F32, KILN_SHAPE(2, 3)), *y = kiln_i64(strict, KILN_SHAPE(2), 2, -100);
        (void)kiln_softmax_cross_entropy(x, y, &(kiln_class_loss){.ignores = true, .ignore = -100});
        assert_ok(strict);
        (void)kiln_softmax_cross_entropy(x, y, NULL);
        assert_error(strict, KILN_EVALUE, "softmax_cross_entropy: an index is out of range: element [1] is -100, of a size of 3: i64[2]");
    }
    assert_int_equal(kiln_close(strict), 0);
}

/* The rows that count are counted in a small kernel of its own, so that a row's loss and its gradient are one kernel, which writes
 * nothing as large as the logits but the gradient. */
static void counting_does_not_split_the_rows(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_function *g = kiln_value_and_grad(KILN_FN(k, loss));
    kiln_tensor *out[3];
    kiln_tensor *x = kiln_ones(k, KILN_F32, KILN_SHAPE(512, 256)), *y = kiln_zeros(k, KILN_I64, KILN_SHAPE(512));
    assert_true(kiln_call_all(g, KILN_IN(x, y), out, 2));
    kiln_function_statistics now;
    kiln_function_stats(g, &now);
    assert_int_equal(now.kernels, 4); /* the count, the rows, the mean; the zeros that are the labels' gradient */
    assert_in_range(now.bytes_moved, 1, 3 * 512 * 256 * 4);
}

static void every_integer_type_of_label(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    static const kiln_dtype type[] = {KILN_I8, KILN_I16, KILN_I32, KILN_I64, KILN_U8, KILN_U16, KILN_U32, KILN_U64};
    for (int i = 0; i < 8; i++) {
        float v[2];
        kiln_tensor *x = kiln_f32(k, KILN_SHAPE(2, 3), 1, 2, 3, 5, 6, 9), *y = kiln_cast(kiln_i64(k, KILN_SHAPE(2), 1, -1), type[i]);
        floats(kiln_call(KILN_FN(k, loss), x, y), &v[0], 1); /* -1 is a large number to unsigned types: no class either */
        floats(kiln_cross_entropy(kiln_f32(k, KILN_SHAPE(1, 3), 1, 2, 3), kiln_i64(k, KILN_SHAPE(1), 1)), &v[1], 1);
        assert_true(v[0] == v[1]);
    }
}

/* ---- checked ------------------------------------------------------------------------------------------------ */

#define BODY(name) static void name(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
BODY(gathers) { (void)k, (void)user; out[0] = kiln_gather(in[0], in[1], 0); }
BODY(one_hots) { (void)k, (void)user, (void)in; out[0] = kiln_one_hot(in[1], 4, KILN_F32); }
BODY(entropies) { (void)k, (void)user; out[0] = kiln_cross_entropy(kiln_reshape(kiln_concat((kiln_tensor *[]){in[0], in[0]}, 2, 0), KILN_SHAPE(2, 4)), in[1]); }
BODY(assigns)
{
    (void)user;
    kiln_variable *v = kiln_local(k, in[0]);
    kiln_assign_slice(v, KILN_STARTS(kiln_reshape(kiln_slice(in[1], 0, 1, 2, 1), KILN_SHAPE())), kiln_f32(k, KILN_SHAPE(1), 7));
    out[0] = kiln_value(v);
}
BODY(loops)
{
    (void)user;
    kiln_variable *v = kiln_local(k, in[0]);
    KILN_FOR(k, i, 2) kiln_assign(v, kiln_add(v, kiln_reduce_max(kiln_gather(v, in[1], 0), KILN_ALL)));
    out[0] = kiln_value(v);
}
BODY(unused)
{
    (void)k, (void)user;
    kiln_gather(in[0], in[1], 0);
    out[0] = kiln_mul(in[0], 2.0);
}
BODY(first) { (void)k, (void)user; out[0] = in[0]; }
BODY(chooses)
{
    kiln_body *const bodies[] = {first, first, first, first};
    kiln_switch(k, kiln_reshape(kiln_slice(in[1], 0, 1, 2, 1), KILN_SHAPE()), bodies, 4, in, 1, out, 1, user);
}

static const struct {
    kiln_body *body;
    const char *text;
    bool scalar; /* the index is a scalar: no place */
} uses[] = {{gathers, "gather: an index is out of range: ", false}, {one_hots, "one_hot: an index is out of range: ", false},
            {entropies, "cross_entropy: an index is out of range: ", false}, {assigns, "assign_slice: an index is out of range: ", true},
            {loops, "gather: an index is out of range: ", false}, {unused, "gather: an index is out of range: ", false},
            {chooses, "kiln_switch: an index is out of range: ", true}};

static bool runs(kiln *k, int use, kiln_tensor *indices)
{
    kiln_tensor *out;
    kiln_function *f = kiln_function_new(k, uses[use].body, NULL, NULL);
    kiln_operand in[2] = {KILN_OPERAND(kiln_f32(k, KILN_SHAPE(4), 1, 2, 3, 4)), KILN_OPERAND(indices)};
    return kiln_call_all_at(KILN_HERE, f, in, 2, &out, 1);
}

static void checked_indices_are_named(void **state)
{
    kiln *k = kiln_open(&(kiln_options){.checked = true});
    (void)state;
    for (int use = 0; use < (int)(sizeof uses / sizeof *uses); use++)
        for (int traced = 0; traced < 2; traced++)
            for (int bad = 0; bad < 4; bad++) {
                static const int64_t index[] = {3, 4, -1, INT64_MIN};
                KILN_SCOPE(k);
                kiln_eager(k, !traced);
                bool ok = runs(k, use, bad < 3 ? kiln_i32(k, KILN_SHAPE(2), 0, (int32_t)index[bad]) : kiln_i64(k, KILN_SHAPE(2), 0, index[bad]));
                char want[200];
                snprintf(want, sizeof want, "%s%s is %lld, of a size of 4", uses[use].text, uses[use].scalar ? "it" : "element [1]", (long long)index[bad]);
                const kiln_failure *e = kiln_error(k);
                if (bad == 0 ? !ok : ok || e->code != KILN_EVALUE || !strstr(e->text, want) || !strstr(e->text, "test_indices.c:"))
                    fail_msg("use %d, traced %d, index %lld: wanted \"%s\", got %d: %s", use, traced, (long long)index[bad], want, (int)e->code, e->text);
                kiln_clear(k);
            }
    assert_int_equal(kiln_close(k), 0);
}

static void nothing_is_checked_unasked(void **state)
{
    kiln *k = *state;
    for (int use = 0; use < (int)(sizeof uses / sizeof *uses); use++)
        for (int traced = 0; traced < 2; traced++) {
            KILN_SCOPE(k);
            kiln_eager(k, !traced);
            assert_true(runs(k, use, kiln_i32(k, KILN_SHAPE(2), 0, 99)));
            assert_ok(k);
        }
    kiln_eager(k, false);
}

KILN_FUNCTION(put, k, x, at, part)
{
    kiln_variable *v = kiln_local(k, x);
    kiln_assign_slice(v, KILN_STARTS(at), part);
    kiln_assign_add_slice(v, KILN_STARTS(at), part);
    return kiln_value(v);
}

/* As everywhere: what is beyond goes to the last place, be it beyond i64, too. */
static void the_largest_start_is_the_last_place(void **state)
{
    kiln *k = *state;
    static const uint64_t start[] = {0, 1, 2, 7, INT64_MAX, 1ull << 63, UINT64_MAX};
    for (int traced = 0; traced < 2; traced++)
        for (size_t i = 0; i < sizeof start / sizeof *start; i++) {
            KILN_SCOPE(k);
            kiln_eager(k, !traced);
            float got[3], want[4] = {10, 20, 30};
            kiln_tensor *at = kiln_from(k, KILN_U64, KILN_SHAPE(), &start[i], 1), *x = kiln_f32(k, KILN_SHAPE(3), 10, 20, 30);
            floats(kiln_call(KILN_FN(k, put), x, at, kiln_f32(k, KILN_SHAPE(2), 1, 2)), got, 3);
            const uint64_t place = start[i] < 1 ? 0 : 1;
            want[place] = 2, want[place + 1] = 4;
            assert_memory_equal(got, want, sizeof got);
        }
    kiln_eager(k, false);
    assert_ok(k);
}

static void the_environment_asks_too(void **state)
{
    (void)state;
    setenv("KILN_CHECKED", "1", 1);
    kiln *k = kiln_open(NULL);
    unsetenv("KILN_CHECKED");
    {
        KILN_SCOPE(k);
        kiln_gather(kiln_f32(k, KILN_SHAPE(2), 1, 2), kiln_i32(k, KILN_SHAPE(2, 2), 0, 1, 2, -7), 0);
        assert_error(k, KILN_EVALUE, "gather: an index is out of range: element [1,0] is 2, of a size of 2: i32[2,2]");
        kiln_tensor *across = kiln_transpose(kiln_i64(k, KILN_SHAPE(2, 2), 0, 5, 1, -7), KILN_AXES(1, 0));
        kiln_gather(kiln_f32(k, KILN_SHAPE(2), 1, 2), across, 0);
        assert_error(k, KILN_EVALUE, "gather: an index is out of range: element [1,0] is 5, of a size of 2: i64[2,2]");
        const uint64_t most[2] = {1, UINT64_MAX};
        kiln_gather(kiln_f32(k, KILN_SHAPE(2), 1, 2), kiln_from(k, KILN_U64, KILN_SHAPE(2), most, 2), 0);
        assert_error(k, KILN_EVALUE, "gather: an index is out of range: element [1] is 18446744073709551615, of a size of 2: u64[2]");
        kiln_one_hot(kiln_u8(k, KILN_SHAPE(1), 200), 3, KILN_F32);
        assert_error(k, KILN_EVALUE, "one_hot: an index is out of range: element [0] is 200, of a size of 3: u8[1]");
        kiln_gather(kiln_f32(k, KILN_SHAPE(2), 1, 2), kiln_zeros(k, KILN_I32, KILN_SHAPE(0)), 0); /* none is out of range */
        assert_ok(k);
    }
    assert_int_equal(kiln_close(k), 0);
}

KILN_FUNCTION(picked, k, x, i) { return kiln_gather(x, i, 0); }

/* Compiled code is an engine's own: the same definition, compiled by one that checks nothing, is compiled anew by one that checks. What the environment
 * says later changes nothing. */
static void no_code_is_shared_with_an_engine_that_does_not_check(void **state)
{
    (void)state;
    kiln *each[3];
    for (int i = 0; i < 3; i++) {
        kiln *k = each[i] = kiln_open(&(kiln_options){.checked = i == 1});
        if (i == 1) setenv("KILN_CHECKED", "0", 1);
        if (i == 2) setenv("KILN_CHECKED", "1", 1);
        for (int turn = 0; turn < 2; turn++) {
            KILN_SCOPE(k);
            kiln_tensor *x = kiln_f32(k, KILN_SHAPE(2), 1, 2);
            assert_true(kiln_item(picked(k, x, kiln_i64(k, KILN_SHAPE(), 1))) == 2);
            picked(k, x, kiln_i64(k, KILN_SHAPE(), 2));
            if (i == 1)
                assert_error(k, KILN_EVALUE, "gather: an index is out of range: it is 2");
            else
                assert_ok(k);
        }
    }
    unsetenv("KILN_CHECKED");
    for (int i = 0; i < 3; i++) assert_int_equal(kiln_close(each[i]), 0);
}

static const char *const program =
    "#include <stdio.h>\n#include \"picked.h\"\n"
    "int main(void)\n{\n    static _Alignas(64) unsigned char work[PICKED_WORKSPACE_BYTES + 64];\n    float x[2] = {1, 2}, y = 0;\n    int64_t i = 1;\n"
    "    if (picked((void *)0, x, &i, &y, work) != PICKED_OK || y != 2) return 2;\n    i = 2;\n"
    "    return picked((void *)0, x, &i, &y, work) == PICKED_EVALUE ? 0 : 3;\n}\n";

static void objects_check_as_their_engine_does(void **state)
{
    (void)state;
    if (system("cc --version >/dev/null 2>&1") != 0) {
        printf("skip: no C compiler to link an object with\n");
        skip();
    }
    char dir[] = "/tmp/kiln-indices-XXXXXX", path[64], command[256];
    assert_non_null(mkdtemp(dir));
    for (int checked = 0; checked < 2; checked++) {
        kiln *k = kiln_open(&(kiln_options){.checked = checked});
        kiln_function *f = kiln_function_new(
            k, gathers, NULL, &(kiln_function_options){.name = "picked", .inputs = {KILN_SPEC(KILN_F32, 2), KILN_SPEC(KILN_I64)}});
        snprintf(path, sizeof path, "%s/picked", dir);
        assert_true(kiln_aot(f, path, NULL));
        snprintf(path, sizeof path, "%s/main.c", dir);
        FILE *to = fopen(path, "w");
        assert_true(to && fputs(program, to) >= 0 && fclose(to) == 0);
        snprintf(command, sizeof command, "cc -std=c11 -o %s/main %s/main.c %s/picked.o -lm && %s/main", dir, dir, dir, dir);
        const int status = system(command);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), checked ? 0 : 3);
        assert_int_equal(kiln_close(k), 0);
    }
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRONT_TEST(a_label_outside_takes_no_part), FRONT_TEST(a_label_to_ignore_takes_no_part), WAIT_TEST(counting_does_not_split_the_rows), FRONT_TEST(every_integer_type_of_label), cmocka_unit_test(checked_indices_are_named),
        FRONT_TEST(nothing_is_checked_unasked),    cmocka_unit_test(the_environment_asks_too), FRONT_TEST(the_largest_start_is_the_last_place),
        cmocka_unit_test(no_code_is_shared_with_an_engine_that_does_not_check), cmocka_unit_test(objects_check_as_their_engine_does),
    };
    return cmocka_run_group_tests_name("indices", tests, front_needs_llvm, NULL);
}
