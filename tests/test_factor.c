/* test_factor: the host's routine for LU, triangular systems and Cholesky's factor (codegen/contract/factor.c) has the bits of the loops and products
 * of frontend/linalg, which objects and devices have: of all sizes that are halved, with pivots that tie, without pivots, with what
 * is not finite; on each tier and any number of threads. */
#include "values.h"

#include "alone.h"
#include "tier.h"

#define S KILN_SHAPE

static kiln_tensor *drawn(kiln_dtype t, kiln_shape s, uint64_t seed)
{
    kiln_variable *g = kiln_generator(k, seed);
    kiln_tensor *x = kiln_cast(kiln_normal(g, KILN_F64, s, 0, 1), t);
    kiln_variable_free(g);
    return x;
}

enum { PLAIN, TIES, SINGULAR, NOT_FINITE, ZEROS, KINDS };

/* A matrix of that kind. */
static kiln_tensor *made(int kind, kiln_dtype t, kiln_shape s, uint64_t seed)
{
    kiln_tensor *x = drawn(t, s, seed);
    if (kind == TIES) return kiln_round(x);
    if (kind == SINGULAR) return kiln_add(kiln_mul(x, 0), kiln_cast(kiln_iota(k, KILN_I64, s, (int)s.rank - 1), t));
    if (kind == NOT_FINITE) return kiln_where(kiln_greater(x, 2.5), (double)NAN, kiln_where(kiln_greater(x, 2.2), (double)INFINITY, x));
    if (kind == ZEROS) return kiln_where(kiln_greater(kiln_abs(x), 0.7), x, kiln_copysign(kiln_mul(x, 0), x));
    return x;
}

static bool same_bits(kiln_tensor *x, kiln_tensor *y)
{
    if (!x || !y || kiln_failed(k)) fail_msg("%s", kiln_error(k)->text);
    if (kiln_elements(x) != kiln_elements(y) || kiln_dtype_of(x) != kiln_dtype_of(y)) return false;
    if (kiln_dtype_of(x) != KILN_I64) {
        kiln_tensor *both = kiln_and(kiln_isnan(x), kiln_isnan(y)); /* of which neither sign nor payload means a thing */
        x = kiln_where(both, 0, x), y = kiln_where(both, 0, y);
    }
    const size_t bytes = (size_t)kiln_elements(x) * (kiln_dtype_of(x) == KILN_F32 ? 4 : 8);
    char *a = malloc(bytes + 1), *b = malloc(bytes + 1);
    kiln_read(x, a, bytes), kiln_read(y, b, bytes);
    const bool same = memcmp(a, b, bytes) == 0;
    free(a), free(b);
    return same;
}

static void of_two(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)e, (void)user;
    out[0] = kiln_lu(in[0], &out[1]);
}

static void systems(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)e, (void)user;
    out[0] = kiln_triangular_solve(in[0], in[1], 0);
    out[1] = kiln_triangular_solve(in[0], in[1], KILN_UPPER);
    out[2] = kiln_triangular_solve(in[0], in[1], KILN_UNIT);
    out[3] = kiln_triangular_solve(in[0], in[1], KILN_UPPER | KILN_TRANSPOSED | KILN_UNIT);
    out[4] = kiln_solve(in[0], in[1]);
}

/* The body as it is, eagerly, by the routine and without it. */
static void both_ways(kiln_body *body, kiln_tensor *const *in, int outs, const char *what, int64_t m, int64_t n)
{
    kiln_tensor *here[8], *there[8];
    body(k, in, here, NULL);
    set_alone(k, true);
    body(k, in, there, NULL);
    set_alone(k, false);
    for (int i = 0; i < outs; i++)
        if (!same_bits(here[i], there[i])) fail_msg("%s: result %d differs, %lld x %lld", what, i, (long long)m, (long long)n);
}

static const char *const kinds[KINDS] = {"plain", "ties", "singular", "not finite", "zeros"};

static void lu_has_the_loops_bits(void **state)
{
    static const int64_t size[][2] = {{1, 1}, {1, 4}, {4, 1}, {5, 5}, {8, 8}, {17, 40}, {31, 33}, {32, 32}, {40, 17}, {65, 65}, {130, 70}, {70, 130}};
    (void)state;
    for (size_t i = 0; i < sizeof size / sizeof *size; i++)
        for (int kind = 0; kind < KINDS; kind++) {
            KILN_SCOPE(k);
            const int64_t m = size[i][0], n = size[i][1];
            const kiln_shape s = kind == TIES ? S(3, m, n) : S(m, n);
            kiln_tensor *x = made(kind, (i + (size_t)kind) % 2 ? KILN_F64 : KILN_F32, s, i * KINDS + (size_t)kind + 1);
            both_ways(of_two, &x, 2, kinds[kind], m, n);
        }
}

static void systems_have_the_loops_bits(void **state)
{
    static const int64_t size[][2] = {{1, 1}, {3, 1}, {8, 1}, {8, 9}, {31, 31}, {32, 33}, {33, 5}, {70, 40}, {129, 3}};
    (void)state;
    for (size_t i = 0; i < sizeof size / sizeof *size; i++)
        for (int kind = 0; kind < KINDS; kind++) {
            KILN_SCOPE(k);
            const int64_t n = size[i][0], c = size[i][1];
            const bool many = kind == TIES || (kind == PLAIN && n < 10);
            const kiln_dtype t = (i + (size_t)kind) % 2 ? KILN_F32 : KILN_F64;
            kiln_tensor *in[2] = {made(kind, t, many ? S(40, n, n) : S(n, n), i + 1), made(kind, t, many ? S(40, n, c) : S(n, c), i + 50)};
            if (kind == ZEROS) in[1] = made(kind, t, S(3, n, c), i + 50); /* one matrix for three */
            both_ways(systems, in, 5, kinds[kind], n, c);
        }
}

static void root(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)e, (void)user;
    out[0] = kiln_cholesky(in[0]);
}

/* Of what has a root, and of what has none from some column on. */
static void roots_have_the_loops_bits(void **state)
{
    static const int64_t size[] = {1, 2, 7, 8, 17, 31, 32, 33, 40, 64, 65, 130};
    (void)state;
    for (size_t i = 0; i < sizeof size / sizeof *size; i++)
        for (int kind = 0; kind < 2 * KINDS; kind++) {
            KILN_SCOPE(k);
            const int64_t n = size[i];
            const bool many = kind % KINDS == TIES || (kind % KINDS == PLAIN && n < 10);
            const kiln_dtype t = (i + (size_t)kind) % 2 ? KILN_F64 : KILN_F32;
            kiln_tensor *x = made(kind % KINDS, t, many ? S(40, n, n) : S(n, n), i + 1);
            if (kind < KINDS) x = kiln_add(kiln_matmul(x, kiln_matrix_transpose(x)), kiln_cast(kiln_eye(k, t, n, n, 0), t));
            both_ways(root, &x, 1, kinds[kind % KINDS], n, n);
        }
}

/* Compiled code of both ways, and of the gradients. */
static void compiled(void **state)
{
    (void)state;
    kiln_tensor *a = made(PLAIN, KILN_F32, S(40, 40), 3), *b = made(PLAIN, KILN_F32, S(40, 2), 4), *eager[8], *out[2][8];
    systems(k, (kiln_tensor *[]){a, b}, eager, NULL);
    for (int alone = 0; alone < 2; alone++) {
        kiln_function *f = kiln_function_new(k, systems, NULL, &(kiln_function_options){.name = "systems", .inputs_count = 2, .outputs = 5});
        set_alone(k, alone);
        assert_true(kiln_call_all(f, KILN_IN(a, b), out[alone], 5));
        set_alone(k, false);
        for (int i = 0; i < 5; i++) assert_true(same_bits(out[alone][i], eager[i]));
    }
}

/* A matrix alone and among others, which threads share. */
static void many_have_the_bits_of_one(void **state)
{
    (void)state;
    kiln_tensor *a = made(PLAIN, KILN_F32, S(200, 8, 8), 5), *order, *one_order, *lu = kiln_lu(a, &order);
    for (int i = 0; i < 200; i += 33) {
        kiln_tensor *one = kiln_lu(kiln_squeeze(kiln_slice(a, 0, i, i + 1, 1), 0), &one_order);
        assert_true(same_bits(one, kiln_slice(lu, 0, i, i + 1, 1)));
        assert_true(same_bits(one_order, kiln_slice(order, 0, i, i + 1, 1)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {ON_TIER(lu_has_the_loops_bits, 0), ON_TIER(lu_has_the_loops_bits, 1), ON_TIER(lu_has_the_loops_bits, 2),
        ON_TIER(systems_have_the_loops_bits, 0), ON_TIER(systems_have_the_loops_bits, 1), ON_TIER(systems_have_the_loops_bits, 2),
        ON_TIER(roots_have_the_loops_bits, 0),
        ON_TIER(roots_have_the_loops_bits, 1), ON_TIER(roots_have_the_loops_bits, 2), cmocka_unit_test(compiled), cmocka_unit_test(many_have_the_bits_of_one)};
    return cmocka_run_group_tests(tests, open_engine, close_engine);
}
