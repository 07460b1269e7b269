/* attention: against its formula in double, over ranks, groups of heads, masks and sizes around its blocks; gradients and second
 * gradients against those of plain operations; the same bits eagerly, compiled, without products of the host, on every instruction
 * set and number of threads; rows that see nothing, infinities that nobody sees; errors. */
#include "codegen/contract/contract_parts.h"
#include "codegen/eager/kernels.h"
#include "front.h"

#include <math.h>
#include <stdlib.h>

typedef enum Masking { NONE, BOOLS, FLOATS, BY_KEY, MASKINGS } Masking;

typedef struct Shape {
    int rank;
    int64_t batch, heads, groups, queries, keys, d, e;
    Masking masking;
    bool causal;
    double scale, cap;
} Shape;

static const Shape shapes[] = {
    {2, 1, 1, 1, 3, 5, 4, 4, NONE, false, 0, 0},
    {2, 1, 1, 1, 1, 130, 7, 3, NONE, true, 0, 0},
    {3, 1, 2, 2, 64, 64, 16, 16, NONE, true, 0, 0},
    {3, 1, 4, 2, 65, 127, 5, 9, FLOATS, true, 0.7, 0},
    {4, 2, 4, 1, 10, 70, 8, 8, BOOLS, false, 0, 5},
    {4, 2, 3, 3, 70, 10, 8, 2, NONE, true, 0, 0}, /* the first rows see nothing */
    {4, 2, 6, 2, 33, 200, 12, 20, BY_KEY, true, -0.5, 2},
    {4, 1, 2, 2, 128, 128, 130, 1, BY_KEY, false, 0.1, 0},
    {3, 1, 8, 2, 1, 77, 16, 16, NONE, true, 0, 0}, /* one query */
};

static int64_t full(const Shape *s, int which, int64_t dim[4])
{
    const int64_t all[5][4] = {{s->batch, s->heads, s->queries, s->d}, {s->batch, s->groups, s->keys, s->d}, {s->batch, s->groups, s->keys, s->e},
        {s->batch, s->heads, s->queries, s->keys}, {1, 1, 1, s->keys}};
    int64_t n = 1;
    for (int i = 0; i < 4; i++) n *= dim[i] = all[which][i];
    return n;
}

static kiln_shape shape_of(const Shape *s, int which)
{
    kiln_shape r = {.rank = s->rank};
    int64_t dim[4];
    full(s, which, dim);
    for (int i = 0; i < s->rank; i++) r.size[1 + i] = dim[4 - s->rank + i];
    return r;
}

/* ---- the formula ------------------------------------------------------------------------------------------------ */

static double score(const Shape *s, const double *q, const double *k, const double *mask, int64_t i, int64_t j)
{
    double dot = 0;
    if (s->causal && j > i + s->keys - s->queries) return -INFINITY;
    for (int64_t c = 0; c < s->d; c++) dot += q[c] * k[c];
    dot *= s->scale != 0 ? s->scale : 1 / sqrt((double)s->d);
    if (s->cap != 0) dot = s->cap * tanh(dot / s->cap);
    return mask ? dot + *mask : dot;
}

static void plain(const Shape *s, const double *q, const double *k, const double *v, const double *mask, double *out)
{
    double *w = malloc((size_t)s->keys * sizeof *w);
    for (int64_t row = 0; row < s->batch * s->heads * s->queries; row++) {
        const int64_t i = row % s->queries, h = row / s->queries % s->heads, b = row / s->queries / s->heads;
        const int64_t group = b * s->groups + h / (s->heads / s->groups);
        double most = -INFINITY, sum = 0;
        for (int64_t j = 0; j < s->keys; j++) {
            const double *m = s->masking == NONE ? NULL : s->masking == BY_KEY ? mask + j : mask + row * s->keys + j;
            w[j] = score(s, q + row * s->d, k + (group * s->keys + j) * s->d, m, i, j);
            most = fmax(most, w[j]);
        }
        for (int64_t j = 0; j < s->keys; j++) sum += w[j] = most == -INFINITY ? 0 : exp(w[j] - most);
        for (int64_t c = 0; c < s->e; c++) {
            double total = 0;
            for (int64_t j = 0; j < s->keys; j++) total += w[j] * v[(group * s->keys + j) * s->e + c];
            out[row * s->e + c] = sum == 0 ? 0 : total / sum;
        }
    }
    free(w);
}

/* ---- the same by plain operations, for gradients ------------------------------------------------------------------ */

static kiln_tensor *repeated(const Shape *s, kiln_tensor *x, int which)
{
    int64_t d[4];
    full(s, which, d);
    kiln_tensor *five = kiln_reshape(x, KILN_SHAPE(d[0], d[1], 1, d[2], d[3]));
    five = kiln_broadcast(five, KILN_SHAPE(d[0], d[1], s->heads / s->groups, d[2], d[3]));
    return kiln_reshape(five, KILN_SHAPE(d[0], s->heads, d[2], d[3]));
}

static kiln_tensor *composite(kiln *k, const Shape *s, kiln_tensor *const x[4])
{
    kiln_tensor *q = kiln_reshape(x[0], KILN_SHAPE(s->batch, s->heads, s->queries, s->d));
    kiln_tensor *z = kiln_matmul(q, kiln_transpose(repeated(s, x[1], 1), KILN_AXES(0, 1, 3, 2)));
    z = kiln_mul(z, s->scale != 0 ? s->scale : 1 / sqrt((double)s->d));
    if (s->cap != 0) z = kiln_mul(kiln_tanh(kiln_div(z, s->cap)), s->cap);
    if (s->masking == FLOATS || s->masking == BY_KEY) z = kiln_add(z, x[3]);
    kiln_tensor *there = kiln_ones(k, KILN_BOOL, KILN_SHAPE(s->queries, s->keys));
    if (s->causal) {
        kiln_tensor *i = kiln_iota(k, KILN_I64, KILN_SHAPE(s->queries, s->keys), 0), *j = kiln_iota(k, KILN_I64, KILN_SHAPE(s->queries, s->keys), 1);
        there = kiln_le(j, kiln_add(i, s->keys - s->queries));
    }
    if (s->masking == BOOLS) there = kiln_and(there, x[3]);
    z = kiln_where(there, z, -1e30);
    kiln_tensor *p = kiln_mul(kiln_softmax(z, -1), kiln_cast(kiln_any(there, KILN_KEEP(-1)), KILN_F64));
    kiln_shape to = shape_of(s, 0);
    to.size[s->rank] = s->e;
    return kiln_reshape(kiln_matmul(p, repeated(s, x[2], 2)), to);
}

/* ---- operands ------------------------------------------------------------------------------------------------------ */

/* q, k, v and the mask, which may be NULL, of f64. */
static void operands(kiln *k, const Shape *s, kiln_variable *g, kiln_tensor *x[4])
{
    for (int i = 0; i < 3; i++) x[i] = kiln_normal(g, KILN_F64, shape_of(s, i), 0, 1);
    x[3] = s->masking == NONE ? NULL : s->masking == BY_KEY ? kiln_normal(g, KILN_F64, KILN_SHAPE(s->keys), 0, 1)
         : s->masking == FLOATS ? kiln_normal(g, KILN_F64, shape_of(s, 3), 0, 2)
         : kiln_gt(kiln_uniform(g, KILN_F64, shape_of(s, 3), 0, 1), kiln_scalar(k, KILN_F64, 0.3));
}

static kiln_tensor *attended(const Shape *s, kiln_tensor *const x[4])
{
    return kiln_attention(x[0], x[1], x[2],
        &(kiln_attention_options){.mask = x[3], .causal = s->causal, .scale = s->scale, .cap = s->cap});
}

static double *doubles(kiln_tensor *x)
{
    const int64_t n = kiln_elements(x);
    double *to = malloc((size_t)(n + 1) * sizeof *to);
    kiln_read(x, to, (size_t)n * sizeof *to);
    return to;
}

/* The mask of bools as what it adds. */
static kiln_tensor *as_floats(kiln *k, kiln_tensor *mask)
{
    return kiln_dtype_of(mask) == KILN_BOOL ? kiln_where(mask, kiln_scalar(k, KILN_F64, 0), -INFINITY) : mask;
}

static void close_to(const char *what, int number, const double *got, const double *want, int64_t n, double bound)
{
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(got[i] - want[i]) <= bound * (1 + fabs(want[i]))))
            fail_msg("%s, shape %d, element %lld: %.17g, not %.17g", what, number, (long long)i, got[i], want[i]);
}

static void follows_its_formula(void **state)
{
    kiln *k = *state;
    kiln_variable *g = kiln_generator(k, 7);
    for (size_t n = 0; n < sizeof shapes / sizeof *shapes; n++) {
        KILN_SCOPE(k);
        const Shape *s = &shapes[n];
        kiln_tensor *x[4], *narrow[4];
        double *in[4] = {NULL};
        operands(k, s, g, x);
        kiln_tensor *y = attended(s, x);
        assert_ok(k);
        double *want = calloc((size_t)kiln_elements(y) + 1, sizeof *want), *got = doubles(y);
        for (int i = 0; i < 4; i++)
            if (x[i]) in[i] = doubles(i == 3 ? as_floats(k, x[i]) : x[i]);
        plain(s, in[0], in[1], in[2], in[3], want);
        close_to("f64", (int)n, got, want, kiln_elements(y), 1e-13);
        for (int i = 0; i < 4; i++) narrow[i] = x[i] && kiln_dtype_of(x[i]) != KILN_BOOL ? kiln_cast(x[i], KILN_F32) : x[i];
        kiln_tensor *z = attended(s, narrow);
        assert_int_equal(kiln_dtype_of(z), KILN_F32);
        free(got);
        close_to("f32", (int)n, got = doubles(kiln_cast(z, KILN_F64)), want, kiln_elements(y), 1e-5);
        free(got), free(want);
        for (int i = 0; i < 4; i++) free(in[i]);
        assert_ok(k);
    }
}


/* ---- gradients ---------------------------------------------------------------------------------------------------- */

static bool has_floats(const Shape *s) { return s->masking == FLOATS || s->masking == BY_KEY; }

static kiln_tensor *by(bool plainly, kiln *k, const Shape *s, kiln_tensor *const x[4]) { return plainly ? composite(k, s, x) : attended(s, x); }

/* Numbers that are the same for the same tensors' shapes. */
static kiln_tensor *weights_like(kiln *k, kiln_tensor *x)
{
    kiln_shape all = {.rank = 1, .size = {0, kiln_elements(x)}}, to = {.rank = kiln_rank(x)};
    for (int i = 0; i < to.rank; i++) to.size[1 + i] = kiln_dim(x, i);
    return kiln_reshape(kiln_cast(kiln_sin(kiln_cast(kiln_iota(k, KILN_I64, all, 0), KILN_F64)), kiln_dtype_of(x)), to);
}

/* dx: of q, k, v and a mask of floats; returns how many. */
static int first_order(bool plainly, kiln *k, const Shape *s, kiln_tensor *const x[4], kiln_tensor *dx[4])
{
    KILN_TAPE(k, tape);
    const int n = has_floats(s) ? 4 : 3;
    kiln_operand of[4];
    for (int i = 0; i < n; i++) of[i] = kiln_of_tensor(kiln_watch(tape, x[i]));
    kiln_tensor *y = by(plainly, k, s, x);
    kiln_gradients_at(KILN_HERE, tape, y, weights_like(k, y), of, n, dx);
    return n;
}

static int second_order(bool plainly, kiln *k, const Shape *s, kiln_tensor *const x[4], kiln_tensor *dx[4])
{
    KILN_TAPE(k, tape);
    const int n = has_floats(s) ? 4 : 3;
    kiln_operand of[4];
    kiln_tensor *first[4], *sum = NULL;
    for (int i = 0; i < n; i++) of[i] = kiln_of_tensor(kiln_watch(tape, x[i]));
    first_order(plainly, k, s, x, first);
    for (int i = 0; i < n; i++) {
        kiln_tensor *part = kiln_sum(kiln_mul(first[i], weights_like(k, first[i])), KILN_ALL);
        sum = sum ? kiln_add(sum, part) : part;
    }
    kiln_gradients_at(KILN_HERE, tape, sum, NULL, of, n, dx);
    return n;
}

static void gradients_are_those_of_plain_operations(void **state)
{
    kiln *k = *state;
    kiln_variable *g = kiln_generator(k, 8);
    for (size_t at = 0; at < sizeof shapes / sizeof *shapes; at++)
        for (int order = 1; order <= 2; order++) {
            KILN_SCOPE(k);
            kiln_tensor *x[4], *got[4], *want[4];
            operands(k, &shapes[at], g, x);
            const int n = (order == 1 ? first_order : second_order)(false, k, &shapes[at], x, got);
            (order == 1 ? first_order : second_order)(true, k, &shapes[at], x, want);
            assert_ok(k);
            for (int i = 0; i < n; i++) {
                char what[40];
                snprintf(what, sizeof what, "order %d, operand %d", order, i);
                double *one = doubles(got[i]), *other = doubles(want[i]);
                close_to(what, (int)at, one, other, kiln_elements(got[i]), 1e-11);
                free(one), free(other);
            }
        }
}

/* ---- the same bits everywhere -------------------------------------------------------------------------------------- */

enum { OUTPUTS = 4 };

static void with_gradients(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const Shape *s = user;
    kiln_tensor *x[4] = {in[0], in[1], in[2], s->masking != NONE ? in[3] : NULL};
    KILN_TAPE(k, tape);
    kiln_operand of[3];
    for (int i = 0; i < 3; i++) of[i] = kiln_of_tensor(kiln_watch(tape, x[i]));
    out[0] = attended(s, x);
    kiln_gradients_at(KILN_HERE, tape, out[0], weights_like(k, out[0]), of, 3, out + 1);
}

static void *bytes_of(kiln_tensor *const *out)
{
    size_t n = 0;
    for (int i = 0; i < OUTPUTS; i++) n += kiln_bytes(out[i]);
    char *to = malloc(n + 1), *at = to;
    for (int i = 0; i < OUTPUTS; at += kiln_bytes(out[i]), i++) kiln_read(out[i], at, kiln_bytes(out[i]));
    return to;
}

static void bits_agree(const char *what, size_t shape, const void *want, kiln_tensor *const *out)
{
    size_t n = 0;
    for (int i = 0; i < OUTPUTS; i++) n += kiln_bytes(out[i]);
    void *got = bytes_of(out);
    for (size_t i = 0; i < n; i++)
        if (((char *)got)[i] != ((const char *)want)[i]) fail_msg("%s, shape %zu: byte %zu of %zu differs", what, shape, i, n);
    free(got);
}

static void narrow_operands(kiln *k, const Shape *s, kiln_variable *g, kiln_dtype t, kiln_tensor *x[4])
{
    operands(k, s, g, x);
    for (int i = 0; i < 4; i++)
        if (x[i] && kiln_dtype_of(x[i]) != KILN_BOOL) x[i] = kiln_cast(x[i], t);
}

static void bits_are_the_same_in_all_modes(void **state)
{
    kiln *k = *state;
    kiln_variable *g = kiln_generator(k, 9);
    const kiln_dtype types[] = {KILN_F32, KILN_F64, KILN_BF16};
    for (size_t at = 0; at < 3 * (sizeof shapes / sizeof *shapes); at++) {
        KILN_SCOPE(k);
        Shape s = shapes[at / 3];
        kiln_tensor *x[4], *out[OUTPUTS];
        narrow_operands(k, &s, g, types[at % 3], x);
        const int n = x[3] ? 4 : 3;
        with_gradients(k, x, out, &s);
        assert_ok(k);
        void *eager = bytes_of(out);
        for (int mode = 0; mode < 2; mode++) {
            kiln_function *f = kiln_function_new(k, with_gradients, &s,
                &(kiln_function_options){.outputs = OUTPUTS, .inputs_count = n, .no_blas = mode == 1, .fixed_sizes = at % 2 == 0});
            kiln_operand in[4];
            for (int i = 0; i < n; i++) in[i] = kiln_of_tensor(x[i]);
            assert_true(kiln_call_all_at(KILN_HERE, f, in, n, out, OUTPUTS));
            bits_agree(mode ? "emitted" : "compiled", at / 3, eager, out);
            kiln_function_free(f);
        }
        free(eager);
        assert_ok(k);
    }
}

static void bits_are_the_same_on_all_machines(void **state)
{
    (void)state;
    int tiers, loops;
    const ContractTier *const *tier = contract_tiers(&tiers);
    const Kernels *const *loop = eager_tiers(&loops);
    for (size_t at = 0; at < sizeof shapes / sizeof *shapes; at++) {
        void *want = NULL;
        /* The first of several tiers is for CPUs without FMA, whose bits are other ones. */
        const int first = loops > 1 && tiers > 1, with = loops - first;
        for (int machine = 0; machine < 2 * with; machine++) {
            const int use = first + machine % with;
            kiln *k = kiln_open(&(kiln_options){.threads = 1 + machine % 3});
            kiln_tensor *x[4], *out[OUTPUTS];
            eager_use_tier(loop[use]);
            contract_use_tier(tier[use < tiers ? use : tiers - 1]);
            Shape s = shapes[at];
            {
                KILN_SCOPE(k);
                narrow_operands(k, &s, kiln_generator(k, 10), KILN_F32, x);
                with_gradients(k, x, out, &s);
                assert_ok(k);
                if (!want) want = bytes_of(out);
                bits_agree("machine", at, want, out);
            }
            kiln_close(k);
        }
        free(want);
    }
    eager_use_tier(NULL);
    contract_use_tier(NULL);
}

/* ---- what nobody sees ------------------------------------------------------------------------------------------------ */

static void what_is_not_seen_does_not_count(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_variable *g = kiln_generator(k, 11);
    Shape s = {3, 1, 2, 2, 128, 128, 4, 4, NONE, true, 0, 0};
    kiln_tensor *x[4], *first[OUTPUTS], *then[OUTPUTS];
    narrow_operands(k, &s, g, KILN_F32, x);
    with_gradients(k, x, first, &s);
    /* Keys 64 to 127 are one block, which queries 0 to 63 do not see. */
    kiln_tensor *late = kiln_ge(kiln_iota(k, KILN_I64, KILN_SHAPE(2, 128, 4), 1), 64);
    x[1] = kiln_where(late, INFINITY, x[1]);
    x[2] = kiln_where(late, NAN, x[2]);
    with_gradients(k, x, then, &s);
    assert_ok(k);
    for (int i = 0; i < 2; i++) { /* the result, and what flows to q */
        double *a = doubles(kiln_cast(kiln_slice(first[i], 1, 0, 64, 1), KILN_F64)), *b = doubles(kiln_cast(kiln_slice(then[i], 1, 0, 64, 1), KILN_F64));
        assert_memory_equal(a, b, 2 * 64 * 4 * sizeof *a);
        free(a), free(b);
    }
    kiln_tensor *none = kiln_zeros(k, KILN_BOOL, KILN_SHAPE(128, 128));
    x[1] = x[2] = x[0];
    x[3] = none;
    s.masking = BOOLS;
    with_gradients(k, x, then, &s);
    for (int i = 0; i < OUTPUTS; i++) {
        double *a = doubles(kiln_cast(then[i], KILN_F64));
        for (int64_t j = 0; j < kiln_elements(then[i]); j++) assert_true(a[j] == 0);
        free(a);
    }
    assert_ok(k);
}

static void refuses_what_does_not_fit(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *q = kiln_zeros(k, KILN_F32, KILN_SHAPE(2, 3, 4)), *x = kiln_zeros(k, KILN_F32, KILN_SHAPE(2, 5, 4));
    kiln_attention(q, kiln_zeros(k, KILN_F32, KILN_SHAPE(2, 5, 6)), x, NULL);
    assert_error(k, KILN_ESHAPE, "attention: the last axes of queries and keys differ: queries f32[2,3,4]");
    kiln_attention(q, x, kiln_zeros(k, KILN_F32, KILN_SHAPE(2, 6, 4)), NULL);
    assert_error(k, KILN_ESHAPE, "not as many values as keys");
    kiln_attention(q, kiln_zeros(k, KILN_F32, KILN_SHAPE(5, 4)), x, NULL);
    assert_error(k, KILN_ESHAPE, "ranks differ");
    kiln_attention(kiln_zeros(k, KILN_F32, KILN_SHAPE(3, 3, 4)), x, x, NULL);
    assert_error(k, KILN_ESHAPE, "no multiple");
    kiln_attention(q, x, x, &(kiln_attention_options){.mask = kiln_zeros(k, KILN_F32, KILN_SHAPE(3, 4))});
    assert_error(k, KILN_ESHAPE, "the mask does not broadcast");
    kiln_attention(q, x, x, &(kiln_attention_options){.mask = kiln_zeros(k, KILN_I32, KILN_SHAPE(3, 5))});
    assert_error(k, KILN_EDTYPE, "must be bools or floats");
    kiln_attention(q, x, x, &(kiln_attention_options){.cap = -1});
    assert_error(k, KILN_EVALUE, "cap -1");
    kiln_attention(q, x, x, &(kiln_attention_options){.scale = INFINITY});
    assert_error(k, KILN_EVALUE, "scale is inf");
    kiln_attention(kiln_cast(q, KILN_I32), kiln_cast(x, KILN_I32), kiln_cast(x, KILN_I32), NULL);
    assert_error(k, KILN_EDTYPE, "needs floats");
    kiln_attention(kiln_zeros(k, KILN_F32, KILN_SHAPE(3, 9000)), kiln_zeros(k, KILN_F32, KILN_SHAPE(3, 9000)), kiln_zeros(k, KILN_F32, KILN_SHAPE(3, 1)), NULL);
    assert_error(k, KILN_EUNSUPPORTED, "up to 9000 elements (allowed: 8192)");
    kiln_tensor *nothing = kiln_attention(q, kiln_zeros(k, KILN_F32, KILN_SHAPE(2, 0, 4)), kiln_zeros(k, KILN_F32, KILN_SHAPE(2, 0, 4)), NULL);
    double *a = doubles(kiln_cast(nothing, KILN_F64));
    for (int i = 0; i < 24; i++) assert_true(a[i] == 0);
    free(a);
    assert_int_equal(kiln_elements(kiln_attention(kiln_zeros(k, KILN_F32, KILN_SHAPE(0, 3, 4)), kiln_zeros(k, KILN_F32, KILN_SHAPE(0, 5, 4)),
        kiln_zeros(k, KILN_F32, KILN_SHAPE(0, 5, 4)), NULL)), 0);
    assert_ok(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {FRONT_TEST(follows_its_formula), FRONT_TEST(gradients_are_those_of_plain_operations),
        FRONT_TEST(bits_are_the_same_in_all_modes), cmocka_unit_test(bits_are_the_same_on_all_machines), FRONT_TEST(what_is_not_seen_does_not_count),
        FRONT_TEST(refuses_what_does_not_fit)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
