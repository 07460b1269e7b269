/* test_vast: tensors of more elements than memory holds. One number that stands at all of them takes no memory in either mode, and what comes of
 * a few of them is the same; where they would have to lie in memory, as results of traced functions do, the error is the same compiled and
 * interpreted. */
#include "values.h"

#define S KILN_SHAPE
#define VAST ((int64_t)1 << 46)

typedef kiln_tensor *Call(kiln *e, kiln_tensor *x); /* x: f32[] of 1.5 */
#define CALL(name, value) \
    static kiln_tensor *name(kiln *e, kiln_tensor *x) { return (void)e, (void)x, value; }
#define FEW(x) kiln_sum(kiln_slice((x), 0, 3, 7, 1), KILN_ALL)

CALL(full, kiln_full(e, KILN_F32, S(VAST), 2))
CALL(zeros, kiln_zeros(e, KILN_F32, S(VAST)))
CALL(wide, kiln_broadcast(x, S(VAST)))
CALL(few_of_full, kiln_add(FEW(full(e, x)), x))
CALL(few_of_zeros, kiln_add(FEW(zeros(e, x)), x))
CALL(few_of_wide, FEW(wide(e, x)))
CALL(few_of_bytes, kiln_cast(kiln_count_nonzero(kiln_slice(kiln_ones(e, KILN_U8, S(1 << 24, 1 << 20)), 0, 3, 7, 1), KILN_ALL), KILN_F32))
CALL(one_of_wide, kiln_index(wide(e, x), KILN_AT(-1)))
CALL(turned, FEW(kiln_index(kiln_transpose(kiln_broadcast(x, S(1 << 20, 1 << 25)), KILN_ALL), KILN_AT(7))))
CALL(places, kiln_iota(e, KILN_F32, S(VAST), 0))
CALL(beyond, kiln_full(e, KILN_F32, S(VAST * 8), 2))
CALL(bytes_beyond, kiln_zeros(e, KILN_I64, S(VAST)))
CALL(wide_beyond, kiln_broadcast(x, S(1 << 30, 1 << 30)))
CALL(line, kiln_linspace(e, KILN_F32, 0, 1, VAST, true))
CALL(unit, kiln_eye(e, KILN_F32, VAST, VAST, 0))

#define TOO_MUCH "no memory for a result, f32[70368744177664] (281474976710656 bytes)"

static const struct {
    Call *call;
    double value;
    const char *eagerly, *traced; /* errors; NULL: none */
} rows[] = {
    {few_of_full, 9.5, NULL, NULL},
    {few_of_zeros, 1.5, NULL, NULL},
    {few_of_wide, 6, NULL, NULL},
    {few_of_bytes, 4.0 * (1 << 20), NULL, NULL},
    {one_of_wide, 1.5, NULL, NULL},
    {turned, 6, NULL, NULL},
    {full, 0, NULL, "vast: " TOO_MUCH},
    {zeros, 0, NULL, "vast: " TOO_MUCH},
    {wide, 0, NULL, "vast: " TOO_MUCH},
    {places, 0, "no memory for f32[70368744177664] (281474976710656 bytes)", "(281474976710656 bytes)"},
    {beyond, 0, "full: axis 0 has size 562949953421312 (allowed: 0 to 2^48)", "full: axis 0 has size 562949953421312 (allowed: 0 to 2^48)"},
    {bytes_beyond, 0, "full: a tensor of this shape would have more than 2^48 bytes", "full: a tensor of this shape would have more than 2^48 bytes"},
    {wide_beyond, 0, "broadcast: [1073741824,1073741824] is too large", "broadcast: [1073741824,1073741824] is too large"},
    {line, 0, "linspace: the count is 70368744177664 (allowed: 0 to 2^45)", "linspace: the count is 70368744177664 (allowed: 0 to 2^45)"},
    {unit, 0, "eye: a tensor of this shape would have more than 2^48 bytes", "eye: a tensor of this shape would have more than 2^48 bytes"},
};

static void body(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user) { out[0] = rows[*(const int *)user].call(e, in[0]); }

static void gives(int i, const char *mode, kiln_tensor *y, const char *error)
{
    if (kiln_failed(k) != (error != NULL)) fail_msg("row %d, %s: %s", i, mode, error ? "no error" : kiln_error(k)->text);
    if (error && !strstr(kiln_error(k)->text, error)) fail_msg("row %d, %s: %s", i, mode, kiln_error(k)->text);
    if (!error && kiln_rank(y) == 0 && kiln_item(y) != rows[i].value) fail_msg("row %d, %s: %g", i, mode, kiln_item(y));
    if (error) kiln_clear(k);
}

static void both_modes_say_the_same(void **state)
{
    (void)state;
    for (int i = 0; i < (int)(sizeof rows / sizeof *rows); i++) {
        KILN_SCOPE(k);
        kiln_tensor *x = kiln_scalar(k, KILN_F32, 1.5), *y = rows[i].call(k, x);
        gives(i, "eager", y, rows[i].eagerly);
        kiln_function *f = kiln_function_new(k, body, &i, &(kiln_function_options){.name = "vast", .inputs_count = 1});
        y = kiln_call(f, x);
        gives(i, "traced", y, rows[i].traced);
        kiln_function_free(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {ENGINE_TEST(both_modes_say_the_same)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
