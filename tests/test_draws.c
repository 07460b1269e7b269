/* test_draws: what is drawn from generators, by statistics at fixed seeds (Kolmogorov and Smirnov, chi-square), against recorded
 * values, and with bad parameters; that elements do not depend on one another's tries. test_draw_modes has eager against compiled.
 */
#include "values.h"

#include <stdlib.h>

#define S KILN_SHAPE
#define COUNT 20000
#define REFUSED(call, code_, text_)                                                                           \
    do {                                                                                                    \
        (void)(call);                                                                                       \
        assert_int_equal(kiln_error(k)->code, code_);                                                       \
        if (!strstr(kiln_error(k)->text, text_)) fail_msg("wanted \"%s\": %s", text_, kiln_error(k)->text); \
        kiln_clear(k);                                                                                      \
    } while (0)

/* ---- distribution functions --------------------------------------------------------------------------------- */
static double normal_below(double x) { return 0.5 * erfc(-x / sqrt(2)); }
static double exponential_below(double x) { return 1 - exp(-2 * x); }
static double gumbel_below(double x) { return exp(-exp(-(x - 1) / 2)); }
static double laplace_below(double x) { return x < 1 ? 0.5 * exp((x - 1) / 2) : 1 - 0.5 * exp((1 - x) / 2); }
static double logistic_below(double x) { return 1 / (1 + exp(-(x - 1) / 2)); }
static double cauchy_below(double x) { return 0.5 + atan((x - 1) / 2) / acos(-1); }

/* The regularised incomplete gamma function, by its series. */
static double gamma_below(double a, double x)
{
    double term = 1 / a, sum = term;
    if (x <= 0) return 0;
    for (int i = 1; i < 4000 && term > 1e-17 * sum; i++) sum += term *= x / (a + i);
    return fmin(1, sum * exp(a * log(x) - x - lgamma(a)));
}

/* The regularised incomplete beta function, as a sum of trapezia in t = x^a, which takes the pole away. */
static double beta_a, beta_b;
static double beta_below(double x)
{
    const int n = 4000;
    double sum = 0, last = 0;
    for (int i = 0; i <= n; i++) {
        const double t = pow(x, beta_a) * i / n, f = pow(1 - fmin(pow(t, 1 / beta_a), 1 - 1e-12), beta_b - 1) / beta_a;
        if (i > 0) sum += (f + last) / 2 * pow(x, beta_a) / n;
        last = f;
    }
    return sum / exp(lgamma(beta_a) + lgamma(beta_b) - lgamma(beta_a + beta_b));
}

static double gamma_a;
static double gamma_of_a(double x) { return gamma_below(gamma_a, x); }

static double cut_lo, cut_hi;
static double cut_below(double x)
{
    if (cut_lo > 3) return (erfc(cut_lo / sqrt(2)) - erfc(x / sqrt(2))) / (erfc(cut_lo / sqrt(2)) - erfc(cut_hi / sqrt(2)));
    return (normal_below(x) - normal_below(cut_lo)) / (normal_below(cut_hi) - normal_below(cut_lo));
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* sqrt(n) times the largest distance from the distribution function; above 1.95 once in a thousand. */
static void follows(const char *what, kiln_tensor *x, double (*below)(double x))
{
    const int64_t n = kiln_elements(x);
    double *v = calloc((size_t)n, sizeof *v), most = 0;
    if (!kiln_read_doubles(x, v, n)) fail_msg("%s: %s", what, kiln_error(k)->text);
    qsort(v, (size_t)n, sizeof *v, ascending);
    for (int64_t i = 0; i < n; i++) {
        const double f = below(v[i]);
        most = fmax(most, fmax(fabs(f - (double)i / (double)n), fabs((double)(i + 1) / (double)n - f)));
    }
    free(v);
    if (!(most * sqrt((double)n) < 1.95)) fail_msg("%s: the distance is %g", what, most * sqrt((double)n));
}

/* The counts of 0 to cells - 1 (more: the last one) against their probabilities, in deviations of chi-square. */
static void counts_follow(const char *what, kiln_tensor *x, const double *p, int cells)
{
    const int64_t n = kiln_elements(x);
    double *v = calloc((size_t)n, sizeof *v), *count = calloc((size_t)cells, sizeof *count), chi = 0;
    if (!kiln_read_doubles(x, v, n)) fail_msg("%s: %s", what, kiln_error(k)->text);
    for (int64_t i = 0; i < n; i++) {
        if (!(v[i] >= 0)) fail_msg("%s: %g", what, v[i]);
        count[(int)fmin(v[i], cells - 1)]++;
    }
    int free_cells = -1;
    for (int i = 0; i < cells; i++) {
        const double want = p[i] * (double)n;
        if (p[i] == 0 && count[i] > 0) fail_msg("%s: %d comes %g times", what, i, count[i]);
        if (want < 3) continue; /* too rare to say anything */
        chi += (count[i] - want) * (count[i] - want) / want, free_cells++;
    }
    free(v);
    free(count);
    if (!(fabs(chi - free_cells) < 4 * sqrt(2.0 * free_cells))) fail_msg("%s: chi-square is %g of %d", what, chi, free_cells);
}

/* ---- floats ------------------------------------------------------------------------------------------------------ */
static void functions_of_uniform_numbers(void **state)
{
    (void)state;
    kiln_variable *g = kiln_generator(k, 11);
    const kiln_dtype types[] = {KILN_F32, KILN_F64};
    for (int i = 0; i < 2; i++) {
        const kiln_dtype t = types[i];
        follows("exponential", kiln_exponential(g, t, S(COUNT), 2), exponential_below);
        follows("gumbel", kiln_gumbel(g, t, S(COUNT), 1, 2), gumbel_below);
        follows("laplace", kiln_laplace(g, t, S(COUNT), 1, 2), laplace_below);
        follows("logistic", kiln_logistic(g, t, S(COUNT), 1, 2), logistic_below);
        follows("cauchy", kiln_cauchy(g, t, S(COUNT), 1, 2), cauchy_below);
        follows("normal", kiln_normal(g, t, S(COUNT), 0, 1), normal_below);
        has_shape(kiln_gumbel(g, t, S(2, 0, 3), 0, 1), t, S(2, 0, 3));
        has_shape(kiln_laplace(g, t, S(), 0, 1), t, S());
    }
    has_shape(kiln_exponential(g, KILN_BF16, S(3, 4), 1), KILN_BF16, S(3, 4));
    assert_true(kiln_item(kiln_all(kiln_isfinite(kiln_gumbel(g, KILN_F32, S(1 << 20), 0, 1)), KILN_ALL)));
    assert_true(kiln_item(kiln_reduce_min(kiln_exponential(g, KILN_F32, S(1 << 20), 1), KILN_ALL)) > 0);
    REFUSED(kiln_exponential(g, KILN_F32, S(2), 0), KILN_EVALUE, "exponential: the rate is 0; it must be above 0");
    REFUSED(kiln_exponential(g, KILN_I32, S(2), 1), KILN_EDTYPE, "exponential: needs a float dtype, not i32");
    REFUSED(kiln_gumbel(g, KILN_F32, S(2), NAN, 1), KILN_EVALUE, "gumbel: the location is nan, which is not a finite number");
    REFUSED(kiln_cauchy(g, KILN_F32, S(2), 0, -1), KILN_EVALUE, "cauchy: the scale is -1; it must be 0 or more");
}

static void truncated_normal(void **state)
{
    (void)state;
    kiln_variable *g = kiln_generator(k, 12);
    const double bounds[][2] = {{-2, 2}, {-0.5, 0.25}, {0.5, 9}, {5, INFINITY}, {5, 5.01}, {0, 3}, {0, 30}, {-INFINITY, INFINITY}};
    for (int i = 0; i < (int)(sizeof bounds / sizeof *bounds); i++) {
        for (int wide = 0; wide < 2; wide++) {
            const kiln_dtype t = wide ? KILN_F64 : KILN_F32;
            cut_lo = bounds[i][0], cut_hi = bounds[i][1];
            kiln_tensor *x = kiln_truncated_normal(g, t, S(COUNT), 0, 1, cut_lo, cut_hi);
            follows("truncated_normal", x, cut_below);
            kiln_tensor *y = kiln_truncated_normal(g, t, S(COUNT), 3, 2, 3 - 2 * cut_hi, 3 - 2 * cut_lo);
            follows("truncated_normal, turned", kiln_div(kiln_sub(3, y), 2), cut_below);
            kiln_tensor *inside = kiln_and(kiln_greater_equal(x, cut_lo), kiln_less_equal(x, cut_hi));
            assert_true(kiln_item(kiln_all(inside, KILN_ALL)));
        }
    }
    kiln_tensor *h = kiln_truncated_normal(g, KILN_F16, S(1000), 0, 1, 0.30001, 0.3009);
    assert_true(kiln_item(kiln_reduce_min(h, KILN_ALL)) >= 0.30001 && kiln_item(kiln_reduce_max(h, KILN_ALL)) <= 0.3009);
    REFUSED(kiln_truncated_normal(g, KILN_F16, S(2), 0, 1, 0.30001, 0.30002), KILN_EVALUE, "truncated_normal: there is no f16 from");
    REFUSED(kiln_truncated_normal(g, KILN_F32, S(2), 0, 1, 1, 1), KILN_EVALUE,
        "truncated_normal: the bounds are 1 and 1; the lower must");
    REFUSED(kiln_truncated_normal(g, KILN_F32, S(2), 0, 0, 1, 2), KILN_EVALUE,
        "truncated_normal: the deviation is 0; it must be above 0");
    REFUSED(kiln_truncated_normal(g, KILN_F32, S(2), 0, 1e-20, 1, 2), KILN_EVALUE, "truncated_normal: the interval lies");
}

static void gamma_and_kin(void **state)
{
    (void)state;
    kiln_variable *g = kiln_generator(k, 13);
    const double a[] = {0.2, 0.9, 1, 3.5, 40};
    for (int i = 0; i < 5; i++) {
        gamma_a = a[i];
        follows("gamma", kiln_gamma(g, KILN_F32, S(COUNT), a[i]), gamma_of_a);
        follows("gamma of a tensor", kiln_gamma(g, KILN_F64, S(COUNT), kiln_scalar(k, KILN_F32, (float)a[i])), gamma_of_a);
    }
    const double pairs[][2] = {{0.5, 0.5}, {2, 3}, {0.3, 4}};
    for (int i = 0; i < 3; i++) {
        beta_a = pairs[i][0], beta_b = pairs[i][1];
        if (beta_b >= 1) follows("beta", kiln_beta(g, KILN_F32, S(1000), beta_a, beta_b), beta_below);
        kiln_tensor *x = kiln_beta(g, KILN_F64, S(COUNT), beta_a, beta_b);
        assert_float_equal(kiln_item(kiln_mean(x, KILN_ALL)), beta_a / (beta_a + beta_b), 0.01);
        assert_true(kiln_item(kiln_all(kiln_and(kiln_greater_equal(x, 0), kiln_less_equal(x, 1)), KILN_ALL)));
    }
    kiln_tensor *d = kiln_dirichlet(g, KILN_F64, S(COUNT, -1), kiln_f64(k, S(3), 1, 2, 0.5));
    has_shape(d, KILN_F64, S(COUNT, 3));
    const double share[3] = {1 / 3.5, 2 / 3.5, 0.5 / 3.5};
    double mean[3];
    assert_true(kiln_read_doubles(kiln_mean(d, KILN_AXES(0)), mean, 3));
    for (int i = 0; i < 3; i++) assert_float_equal(mean[i], share[i], 0.01);
    assert_true(kiln_item(kiln_reduce_max(kiln_abs(kiln_sub(kiln_sum(d, KILN_AXES(1)), 1)), KILN_ALL)) < 1e-12);
    kiln_tensor *odd = kiln_gamma(g, KILN_F32, S(-1), kiln_f32(k, S(5), 0, -1, NAN, INFINITY, 1e-30f));
    EXACTLY(kiln_isnan(odd), KILN_BOOL, S(5), 1, 1, 1, 1, 0);
    has_shape(kiln_gamma(g, KILN_F16, S(0, 2), 1), KILN_F16, S(0, 2));
    REFUSED(kiln_gamma(g, KILN_F32, S(2), 0), KILN_EVALUE, "gamma: the parameter is 0; it must be a finite number above 0");
    REFUSED(kiln_gamma(g, KILN_I32, S(2), 1), KILN_EDTYPE, "gamma: needs a float dtype, not i32");
    REFUSED(kiln_gamma(g, KILN_F32, S(2), kiln_f32(k, S(3), 1, 2, 3)), KILN_ESHAPE, "gamma: ");
    REFUSED(kiln_gamma(g, KILN_F32, S(2), kiln_i32(k, S(2), 1, 2)), KILN_EDTYPE, "gamma: the parameter must be floats");
    REFUSED(kiln_beta(g, KILN_F32, S(2), 1, -1), KILN_EVALUE, "beta: the parameter is -1");
    REFUSED(kiln_beta(g, KILN_F32, S(-1), kiln_ones(k, KILN_F32, S(2)), kiln_ones(k, KILN_F32, S(3))), KILN_ESHAPE,
        "beta: the parameters have");
}

static void poisson(void **state)
{
    (void)state;
    kiln_variable *g = kiln_generator(k, 14);
    const double rates[] = {0.1, 4, 9.99, 10, 60, 700};
    for (int i = 0; i < 6; i++) {
        double p[1000], all = 0;
        const int cells = (int)(rates[i] + 6 * sqrt(rates[i]) + 6);
        for (int n = 0; n < cells - 1; n++) all += p[n] = exp(n * log(rates[i]) - rates[i] - lgamma(n + 1));
        p[cells - 1] = fmax(0, 1 - all);
        counts_follow("poisson", kiln_poisson(g, KILN_I32, S(COUNT), rates[i]), p, cells);
        kiln_tensor *x = kiln_poisson(g, KILN_F32, S(COUNT), kiln_scalar(k, KILN_F32, (float)rates[i]));
        assert_float_equal(kiln_item(kiln_mean(x, KILN_ALL)), rates[i], 5 * sqrt(rates[i] / COUNT));
        assert_float_equal(kiln_item(kiln_variance(x, KILN_ALL)), rates[i], 0.1 * rates[i] + 0.01);
    }
    kiln_tensor *large = kiln_poisson(g, KILN_I64, S(COUNT), 1e12);
    assert_float_equal(kiln_item(kiln_mean(kiln_cast(kiln_sub(large, 1000000000000), KILN_F64), KILN_ALL)), 0, 5e6 / sqrt(COUNT));
    assert_float_equal(kiln_item(kiln_variance(kiln_cast(kiln_sub(large, 1000000000000), KILN_F64), KILN_ALL)), 1e12, 0.05e12);
    kiln_tensor *odd = kiln_f32(k, S(4), -1, NAN, INFINITY, 0);
    EXACTLY(kiln_isnan(kiln_poisson(g, KILN_F32, S(-1), odd)), KILN_BOOL, S(4), 1, 1, 1, 0);
    EXACTLY(kiln_poisson(g, KILN_I32, S(-1), odd), KILN_I32, S(4), 0, 0, 0, 0);
    REFUSED(kiln_poisson(g, KILN_I32, S(2), -1), KILN_EVALUE, "poisson: the parameter is -1; it must be a finite number, 0 or more");
    REFUSED(kiln_poisson(g, KILN_BOOL, S(2), 1), KILN_EDTYPE, "poisson: needs a float or integer dtype, not bool");
}

/* An element's draw is the same whatever the others' parameters are. */
static void elements_stand_alone(void **state)
{
    (void)state;
    kiln_variable *g = kiln_generator(k, 15), *h = kiln_generator(k, 15);
    kiln_tensor *a = kiln_full(k, KILN_F32, S(200), 0.7), *many = kiln_full(k, KILN_F32, S(200), 8);
    kiln_tensor *first = kiln_less(kiln_iota(k, KILN_I32, S(200), 0), 100);
    kiln_tensor *b = kiln_where(first, a, 1e-3f), *c = kiln_where(first, many, 300);
    const struct {
        kiln_tensor *one, *other;
    } pairs[] = {{kiln_gamma(g, KILN_F32, S(200), a), kiln_gamma(h, KILN_F32, S(200), b)},
        {kiln_poisson(g, KILN_F32, S(200), many), kiln_poisson(h, KILN_F32, S(200), c)}};
    for (int i = 0; i < 2; i++) {
        kiln_tensor *same = kiln_equal(pairs[i].one, pairs[i].other);
        EXACTLY(kiln_all(kiln_slice(same, 0, 0, 100, 1), KILN_ALL), KILN_BOOL, S(), 1);
        EXACTLY(kiln_any(kiln_slice(same, 0, 100, 200, 1), KILN_ALL), KILN_BOOL, S(), 0);
    }
    EXACTLY(kiln_value(g), KILN_U64, S(2), 15, 128);
    EXACTLY(kiln_value(h), KILN_U64, S(2), 15, 128);
}

/* ---- integers and order -------------------------------------------------------------------------------------------- */
static void integers(void **state)
{
    (void)state;
    kiln_variable *g = kiln_generator(k, 16);
    const double third[3] = {1 / 3.0, 1 / 3.0, 1 / 3.0}, half[2] = {0.5, 0.5}, coin[2] = {0.7, 0.3};
    counts_follow("randint", kiln_randint(g, KILN_U8, S(COUNT), 0, 3), third, 3);
    /* Of a range beyond 2^32, and of one whose size no i64 holds. */
    kiln_tensor *far = kiln_randint(g, KILN_I64, S(COUNT), -9000000000, 9000000000);
    assert_true(
        kiln_item_i64(kiln_reduce_min(far, KILN_ALL)) < -8900000000 && kiln_item_i64(kiln_reduce_max(far, KILN_ALL)) > 8900000000);
    counts_follow("randint, far", kiln_cast(kiln_greater_equal(far, 0), KILN_I32), half, 2);
    kiln_tensor *all = kiln_randint(g, KILN_I64, S(COUNT), INT64_MIN, INT64_MAX);
    counts_follow("randint, all", kiln_cast(kiln_greater_equal(all, 0), KILN_I32), half, 2);
    counts_follow("randint, low bits", kiln_and(all, 1), half, 2);
    counts_follow("randint, 2^32", kiln_and(kiln_randint(g, KILN_I64, S(COUNT), 0, INT64_C(1) << 32), 1), half, 2);
    counts_follow("bernoulli", kiln_cast(kiln_bernoulli(g, 0.3, S(COUNT)), KILN_I32), coin, 2);
    counts_follow("bernoulli f64", kiln_cast(kiln_bernoulli(g, kiln_scalar(k, KILN_F64, 0.3), S(COUNT)), KILN_I32), coin, 2);
    EXACTLY(kiln_all(kiln_bernoulli(g, 1, S(1000)), KILN_ALL), KILN_BOOL, S(), 1);
    EXACTLY(kiln_any(kiln_bernoulli(g, 0, S(1000)), KILN_ALL), KILN_BOOL, S(), 0);
    EXACTLY(kiln_bernoulli(g, kiln_f32(k, S(4), 2, -1, NAN, 1), S(-1)), KILN_BOOL, S(4), 1, 0, 0, 1);
    EXACTLY(kiln_randint(g, KILN_I32, S(3), 5, 6), KILN_I32, S(3), 5, 5, 5);
    REFUSED(kiln_randint(g, KILN_F32, S(2), 0, 1), KILN_EDTYPE, "randint: needs an integer dtype, not f32");
    REFUSED(kiln_randint(g, KILN_I32, S(2), 1, 1), KILN_EVALUE, "randint: the bounds are 1 and 1; the lower must be smaller");
    REFUSED(kiln_randint(g, KILN_U8, S(2), -1, 1), KILN_EVALUE, "randint: u8 does not hold all of -1 to 0");
    REFUSED(kiln_bernoulli(g, 1.5, S(2)), KILN_EVALUE, "bernoulli: the probability is 1.5; it must lie in [0, 1]");
    REFUSED(kiln_bernoulli(g, kiln_i32(k, S(2), 0, 1), S(2)), KILN_EDTYPE, "bernoulli: the parameter must be floats");
}

static void orders(void **state)
{
    (void)state;
    kiln_variable *g = kiln_generator(k, 17);
    double p[6] = {1 / 6.0, 1 / 6.0, 1 / 6.0, 1 / 6.0, 1 / 6.0, 1 / 6.0};
    int32_t seen[6000];
    for (int i = 0; i < 6000; i++) { /* each order of three equally often */
        KILN_SCOPE(k);
        const int64_t *at = kiln_data(kiln_permutation(g, 3));
        seen[i] = (int32_t)(2 * at[0] + (at[1] > at[2]));
    }
    counts_follow("permutation", kiln_from(k, KILN_I32, S(6000), seen, 6000), p, 6);
    kiln_tensor *x = kiln_iota(k, KILN_I32, S(4, 50), 1), *y = kiln_shuffle(g, x, -1);
    EXACTLY(kiln_all(kiln_equal(kiln_sort(y, 1, 0), x), KILN_ALL), KILN_BOOL, S(), 1);
    EXACTLY(kiln_all(kiln_equal(y, kiln_slice(y, 0, 0, 1, 1)), KILN_ALL), KILN_BOOL, S(), 1); /* whole slices move */
    EXACTLY(kiln_all(kiln_equal(y, x), KILN_ALL), KILN_BOOL, S(), 0);
    has_shape(kiln_shuffle(g, kiln_zeros(k, KILN_BOOL, S(0, 2)), 0), KILN_BOOL, S(0, 2));
    has_shape(kiln_permutation(g, 0), KILN_I64, S(0));
    REFUSED(kiln_permutation(g, -1), KILN_ESHAPE, "permutation: axis 0 has size -1");
    REFUSED(kiln_shuffle(g, x, 2), KILN_ESHAPE, "shuffle: axis 2 is out of range");
}

static void choices(void **state)
{
    (void)state;
    kiln_variable *g = kiln_generator(k, 18);
    kiln_tensor *x = kiln_iota(k, KILN_I32, S(4), 0), *w = kiln_f32(k, S(4), 1, 0, 2, 5);
    const double alike[4] = {0.25, 0.25, 0.25, 0.25}, weighed[4] = {0.125, 0, 0.25, 0.625};
    counts_follow("choice", kiln_choice(g, x, COUNT, 0, NULL, 0), alike, 4);
    counts_follow("choice, weights", kiln_choice(g, x, COUNT, 0, w, 0), weighed, 4);
    counts_follow("categorical", kiln_categorical(g, kiln_log(w), COUNT, 0), weighed, 4);
    /* The first of distinct ones is drawn as if it were alone; the second among the others: P(2 then 3) = 0.25 5 / 6. */
    kiln_tensor *two = kiln_categorical(g, kiln_broadcast(kiln_log(w), S(COUNT, 4)), 2, KILN_DISTINCT);
    has_shape(two, KILN_I64, S(COUNT, 2));
    kiln_tensor *one = kiln_slice(two, 1, 0, 1, 1), *next = kiln_slice(two, 1, 1, 2, 1);
    counts_follow("distinct, first", one, weighed, 4);
    const double then[2] = {1 - 0.25 * 5 / 6, 0.25 * 5 / 6};
    counts_follow("distinct, second", kiln_cast(kiln_and(kiln_equal(one, 2), kiln_equal(next, 3)), KILN_I32), then, 2);
    EXACTLY(kiln_sort(kiln_choice(g, x, 4, 0, NULL, KILN_DISTINCT), 0, 0), KILN_I32, S(4), 0, 1, 2, 3);
    EXACTLY(kiln_slice(kiln_choice(g, x, 4, 0, w, KILN_DISTINCT), 0, 3, 4, 1), KILN_I32, S(1), 1);
    has_shape(kiln_choice(g, kiln_zeros(k, KILN_F64, S(2, 3, 4)), 5, 1, NULL, 0), KILN_F64, S(2, 5, 4));
    has_shape(kiln_choice(g, x, 0, 0, NULL, 0), KILN_I32, S(0));
    REFUSED(kiln_choice(g, x, 5, 0, NULL, KILN_DISTINCT), KILN_ESHAPE, "choice: there are fewer than 5 slices: i32[4]");
    REFUSED(kiln_choice(g, kiln_zeros(k, KILN_F32, S(0)), 1, 0, NULL, 0), KILN_ESHAPE, "choice: there are fewer than 1 slices");
    REFUSED(kiln_choice(g, x, 2, 0, kiln_f32(k, S(3), 1, 1, 1), 0), KILN_ESHAPE, "choice: the weights must be as many as the slices");
    REFUSED(kiln_choice(g, x, 2, 0, x, 0), KILN_EDTYPE, "choice: the weights must be floats");
    REFUSED(kiln_choice(g, x, 2, 0, NULL, 3), KILN_EVALUE, "choice: how is 3 (allowed: 0, KILN_DISTINCT)");
    REFUSED(kiln_categorical(g, kiln_log(w), 5, KILN_DISTINCT), KILN_ESHAPE, "categorical: there are fewer than 5 classes");
    REFUSED(kiln_categorical(g, kiln_scalar(k, KILN_F32, 1), 1, 0), KILN_ESHAPE, "categorical: needs logits [..., classes]");
    REFUSED(kiln_categorical(g, kiln_log(w), -1, 0), KILN_EVALUE, "categorical: count is -1");
}

/* ---- streams --------------------------------------------------------------------------------------------------------- */
static void recorded_values(void **state)
{
    (void)state;
    kiln_variable *g = kiln_generator(k, 7);
    EXACTLY(kiln_randint(g, KILN_I32, S(6), -5, 5), KILN_I32, S(6), -2, -3, -4, -4, -3, 4);
    EXACTLY(kiln_bernoulli(g, 0.5, S(8)), KILN_BOOL, S(8), 1, 1, 1, 1, 0, 0, 0, 1);
    EXACTLY(kiln_permutation(g, 8), KILN_I64, S(8), 5, 3, 2, 7, 1, 6, 4, 0);
    EXACTLY(kiln_choice(g, kiln_iota(k, KILN_I32, S(100), 0), 6, 0, NULL, 0), KILN_I32, S(6), 71, 61, 81, 43, 81, 45);
    equals(kiln_gamma(g, KILN_F32, S(4), 2), KILN_F32, S(4), (double[]){1.0445477, 2.538824, 2.739314, 0.5473968}, 4, 1e-5);
    equals(kiln_poisson(g, KILN_I32, S(6), 20), KILN_I32, S(6), (double[]){19, 14, 18, 25, 17, 16}, 6, 0);
    equals(kiln_gumbel(g, KILN_F32, S(4), 0, 1), KILN_F32, S(4), (double[]){0.0165185, 0.6049839, -1.4793202, 0.15791583}, 4, 1e-5);
    EXACTLY(kiln_value(g), KILN_U64, S(2), 7, 133);
}

static void generators_of_generators(void **state)
{
    (void)state;
    kiln_variable *g = kiln_generator(k, 7), *a = kiln_generator_fold(g, 0), *b = kiln_generator_fold(g, 1);
    (void)kiln_uniform(g, KILN_F32, S(10), 0, 1);
    kiln_variable *again = kiln_generator_fold(g, 1);
    kiln_tensor *x = kiln_uniform(a, KILN_F32, S(1000), 0, 1), *y = kiln_uniform(b, KILN_F32, S(1000), 0, 1);
    kiln_tensor *z = kiln_uniform(again, KILN_F32, S(1000), 0, 1), *own = kiln_uniform(g, KILN_F32, S(1000), 0, 1);
    EXACTLY(kiln_all(kiln_equal(y, z), KILN_ALL), KILN_BOOL, S(), 1);
    EXACTLY(kiln_less(kiln_sum(kiln_cast(kiln_equal(x, y), KILN_I32), KILN_ALL), 3), KILN_BOOL, S(), 1);
    EXACTLY(kiln_less(kiln_sum(kiln_cast(kiln_equal(x, own), KILN_I32), KILN_ALL), 3), KILN_BOOL, S(), 1);
    REFUSED(kiln_generator_fold(NULL, 1), KILN_EVALUE, "generator_fold: the generator is NULL");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ENGINE_TEST(functions_of_uniform_numbers),
        ENGINE_TEST(truncated_normal),
        ENGINE_TEST(gamma_and_kin),
        ENGINE_TEST(poisson),
        ENGINE_TEST(elements_stand_alone),
        ENGINE_TEST(integers),
        ENGINE_TEST(orders),
        ENGINE_TEST(choices),
        ENGINE_TEST(recorded_values),
        ENGINE_TEST(generators_of_generators),
    };
    return cmocka_run_group_tests_name("draws", tests, NULL, NULL);
}
