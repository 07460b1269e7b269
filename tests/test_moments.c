/* Moments of a parameter whose gradient went to 0 reach exactly 0, past the subnormal numbers that CPUs are slow with: both
 * optimisers, every float type that variables have, and the same bits eagerly and compiled at every step on the way. */
#include "front.h"

#include <kiln/nn.h>
#include <math.h>

#define S KILN_SHAPE
enum { N = 5, STATES = 4 };

typedef struct Side {
    kiln *k;
    kiln_optimizer *o;
    kiln_variable *v;
    kiln_function *step;
} Side;

static void one_step(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    Side *s = user;
    kiln_tensor *g = in[0];
    kiln_optimizer_apply(s->o, &s->v, &g, 1);
    out[0] = kiln_scalar(k, KILN_F32, 0);
}

/* A factor of 3/4 is one that leaves the least subnormal number as it is. */
static void side(kiln *k, Side *s, kiln_dtype dtype, bool adam)
{
    s->k = k;
    s->o = adam ? kiln_adam_at(KILN_HERE, k, 0.125, 0.75, 0.75, 0) : kiln_sgd(k, 0.125, 0.75);
    s->v = kiln_variable_new(k, "w", kiln_cast(kiln_f32(k, S(N), 1, 2, 3, 4, 5), dtype));
    s->step = kiln_function_new(k, one_step, s, NULL);
    assert_true(kiln_optimizer_prepare(s->o, &s->v, 1));
}

static void side_free(Side *s)
{
    kiln_function_free(s->step);
    kiln_optimizer_free(s->o);
    kiln_variable_free(s->v);
}

/* Copies of the moments of the side, then of its variable. */
static int states(const Side *s, kiln_tensor **to)
{
    kiln_variable *all[8];
    const int n = kiln_optimizer_variables(s->o, all, 8);
    int count = 0;
    for (int i = 0; i < n; i++)
        if (strstr(kiln_variable_name(all[i]), "optimizer/first/") || strstr(kiln_variable_name(all[i]), "optimizer/second/"))
            to[count++] = kiln_mul(kiln_value(all[i]), 1);
    to[count++] = kiln_mul(kiln_value(s->v), 1);
    return count;
}

/* NaN has no bits of its own. */
static void same(kiln_tensor *a, kiln_tensor *b, int step)
{
    kiln_tensor *x = kiln_cast(a, KILN_F64), *y = kiln_cast(b, KILN_F64);
    const double *p = kiln_data(x), *q = kiln_data(y);
    for (int i = 0; i < N; i++)
        if (memcmp(p + i, q + i, sizeof *p) != 0 && !(isnan(p[i]) && isnan(q[i])))
            fail_msg("%s, step %d, element %d: eagerly %a, compiled %a", kiln_dtype_name(kiln_dtype_of(a)), step, i, p[i], q[i]);
}

static void reach_zero(kiln *k, kiln_dtype dtype, bool adam, bool compiles)
{
    KILN_SCOPE(k);
    const int steps = dtype == KILN_F64 ? 2600 : 420;
    const double least = dtype == KILN_F64 ? 0x1p-1022 : 0x1p-126;
    Side eager, compiled;
    side(k, &eager, dtype, adam);
    side(k, &compiled, dtype, adam);
    kiln_tensor *first = kiln_cast(kiln_f32(k, S(N), 1, -1, 0x1p-20, -0x1p-14, NAN), dtype),
                *none = kiln_cast(kiln_zeros(k, KILN_F32, S(N)), dtype);
    for (int i = 0; i <= steps; i++) {
        KILN_SCOPE(k);
        kiln_tensor *g = i == 0 ? first : none, *a[STATES], *b[STATES];
        kiln_optimizer_apply(eager.o, &eager.v, &g, 1);
        if (compiles) kiln_call(compiled.step, g);
        assert_ok(k);
        const int n = states(&eager, a);
        if (compiles) assert_int_equal(states(&compiled, b), n);
        for (int j = 0; j < n; j++) {
            if (compiles) same(a[j], b[j], i);
            const double *x = kiln_data(kiln_cast(a[j], KILN_F64));
            if (!isnan(x[N - 1])) fail_msg("%s, step %d: NaN became %g", kiln_dtype_name(dtype), i, x[N - 1]);
            for (int e = 0; e < N - 1 && j < n - 1; e++) {
                if (fabs(x[e]) < least && x[e] != 0) fail_msg("%s, step %d: a moment is %a", kiln_dtype_name(dtype), i, x[e]);
                if (i == 1 && x[e] == 0) fail_msg("%s: a moment is 0 at once", kiln_dtype_name(dtype));
                if (i == steps && x[e] != 0) fail_msg("%s: a moment is %a in the end", kiln_dtype_name(dtype), x[e]);
            }
        }
    }
    side_free(&eager);
    side_free(&compiled);
}

static void moments_end(void **state)
{
    const kiln_dtype types[] = {KILN_F32, KILN_BF16, KILN_F16, KILN_F64};
    const bool compiles = front_has_llvm();
    for (int i = 0; i < 4; i++)
        for (int adam = 0; adam < 2; adam++) reach_zero(*state, types[i], adam, compiles);
    if (!compiles) {
        printf("skip: the LLVM module is not at hand\n");
        skip();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {WAIT_TEST(moments_end)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
