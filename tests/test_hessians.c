/* test_hessians: kiln_hessian and kiln_jacobian of functions made of many operations, as programs have them, against central differences of
 * their gradients in f64, eagerly and compiled with equal bits; kiln_hvp against the Hessian times a vector. */
#include "values.h"

#include <kiln/transform.h>
#include <stdlib.h>

#define S KILN_SHAPE
#define N 12 /* elements of x */

/* x, f64[12], as what a function is of: smooth around the points that are drawn. */
typedef kiln_tensor *Function(kiln *e, kiln_tensor *x);

static kiln_tensor *numbers(kiln *e, kiln_shape s, double first, double step)
{
    int64_t n = 1;
    for (int i = 1; i <= s.rank; i++) n *= s.size[i];
    return kiln_reshape(kiln_sin(kiln_add(kiln_mul(kiln_iota(e, KILN_F64, S(n), 0), step), first)), s);
}

static kiln_tensor *network(kiln *e, kiln_tensor *x) /* weights of two layers; the data is the same for all */
{
    kiln_tensor *w = kiln_reshape(kiln_slice(x, 0, 0, 6, 1), S(2, 3)), *v = kiln_reshape(kiln_slice(x, 0, 6, 12, 1), S(3, 2));
    kiln_tensor *h = kiln_tanh(kiln_matmul(numbers(e, S(4, 2), 0.3, 1.1), w)), *p = kiln_log_softmax(kiln_matmul(h, v), 1);
    kiln_tensor *label = kiln_one_hot(kiln_i64(e, S(4), 0, 1, 1, 0), 2, KILN_F64);
    return kiln_neg(kiln_mean(kiln_sum(kiln_mul(p, label), KILN_AXES(1)), KILN_ALL));
}

static kiln_tensor *normalised(kiln *e, kiln_tensor *x)
{
    kiln_tensor *y = kiln_layernorm(kiln_reshape(x, S(3, 4)), numbers(e, S(4), 1, 0.5), numbers(e, S(4), 0, 1), 1e-3);
    return kiln_sum(kiln_mul(kiln_square(y), numbers(e, S(3, 4), 0.2, 0.7)), KILN_ALL);
}

static kiln_tensor *attending(kiln *e, kiln_tensor *x)
{
    kiln_tensor *a = kiln_reshape(x, S(1, 3, 4));
    kiln_tensor *y = kiln_attention(a, kiln_mul(a, 0.7), kiln_sin(a), &(kiln_attention_options){.causal = true});
    return kiln_sum(kiln_mul(y, numbers(e, S(1, 3, 4), 0.1, 0.9)), KILN_ALL);
}

static kiln_tensor *convolving(kiln *e, kiln_tensor *x)
{
    kiln_tensor *y = kiln_convolve(kiln_reshape(x, S(1, 3, 4, 1)), numbers(e, S(2, 2, 1, 2), 0.4, 1.3), &(kiln_convolution){.same = true});
    y = kiln_pool(kiln_silu(y), KILN_POOL_AVERAGE, &(kiln_pooling){.size = {2, 2}, .stride = {1, 2}});
    return kiln_sum(kiln_square(y), KILN_ALL);
}

static kiln_tensor *of_exponentials(kiln *e, kiln_tensor *x)
{
    return kiln_sum(kiln_square(kiln_logsumexp(kiln_mul(kiln_reshape(x, S(3, 4)), numbers(e, S(3, 4), 1, 0.4)), 1)), KILN_ALL);
}

static kiln_tensor *solving(kiln *e, kiln_tensor *x)
{
    kiln_tensor *a = kiln_reshape(kiln_slice(x, 0, 0, 9, 1), S(3, 3)), *b = kiln_expand(kiln_slice(x, 0, 9, 12, 1), 1);
    kiln_tensor *spd = kiln_add(kiln_matmul(a, kiln_transpose(a, KILN_ALL)), kiln_mul(kiln_eye(e, KILN_F64, 3, 3, 0), 2));
    kiln_tensor *l = kiln_cholesky(spd), *y = kiln_triangular_solve(l, b, 0);
    return kiln_add(kiln_sum(kiln_square(y), KILN_ALL), kiln_sum(kiln_log(kiln_diagonal(l, 0, 0, 1)), KILN_ALL));
}

static kiln_tensor *halving(kiln *e, kiln_tensor *x) /* a loop of unknown length */
{
    kiln_variable *y = kiln_local(e, x), *n = kiln_local(e, kiln_scalar(e, KILN_F64, 0));
    KILN_WHILE(e, kiln_greater(kiln_sum(kiln_square(kiln_value(y)), KILN_ALL), 0.5)) {
        kiln_assign(y, kiln_sub(kiln_sin(kiln_value(y)), kiln_mul(kiln_square(kiln_value(y)), 0.3)));
        kiln_assign(y, kiln_mul(kiln_value(y), 0.7));
        kiln_assign_add(n, 1);
    }
    return kiln_sum(kiln_mul(kiln_value(y), kiln_roll(kiln_value(y), S(1), KILN_AXES(0))), KILN_ALL);
}

static kiln_tensor *choosing(kiln *e, kiln_tensor *x)
{
    kiln_variable *y = kiln_local(e, x);
    KILN_IF(kiln_greater(kiln_sum(x, KILN_ALL), 0)) kiln_assign(y, kiln_exp(kiln_mul(kiln_value(y), kiln_value(y))));
    KILN_ELSE(e) kiln_assign(y, kiln_sin(kiln_mul(kiln_value(y), 3)));
    return kiln_sum(kiln_mul(kiln_value(y), kiln_flip(x, KILN_AXES(0))), KILN_ALL);
}

static void slope(kiln *e, kiln_tensor *g, kiln_tensor *const *x, kiln_tensor **dx, void *user)
{
    (void)e, (void)user;
    dx[0] = kiln_mul(g, kiln_cos(x[0]));
}

static kiln_tensor *own_gradient(kiln *e, kiln_tensor *x)
{
    (void)e;
    return kiln_sum(kiln_square(kiln_custom_gradient(kiln_sin(x), KILN_IN(x), slope, NULL)), KILN_ALL);
}

static kiln_tensor *gathering(kiln *e, kiln_tensor *x)
{
    kiln_tensor *at = kiln_i64(e, S(5), 3, 0, 3, 11, 7), *c = kiln_gather(x, at, 0);
    kiln_tensor *y = kiln_scatter(kiln_square(x), kiln_i64(e, S(5), 1, 1, 2, 5, 11), kiln_mul(kiln_exp(c), c), 0, KILN_SCATTER_ADD);
    return kiln_sum(kiln_mul(kiln_square(y), numbers(e, S(N), 0.1, 0.8)), KILN_ALL);
}

static kiln_tensor *middles(kiln *e, kiln_tensor *x)
{
    (void)e;
    kiln_tensor *a = kiln_reshape(x, S(3, 4)), *m = kiln_median(kiln_square(a), KILN_AXES(1)), *s = kiln_sort(kiln_sin(x), 0, 0);
    return kiln_add(kiln_prod(m, KILN_ALL), kiln_sum(kiln_mul(s, kiln_cumsum(s, 0, 0)), KILN_ALL));
}

static kiln_tensor *power(kiln *e, kiln_tensor *x)
{
    kiln_tensor *p = kiln_sum(kiln_square(kiln_rfft(x, N, -1, KILN_FFT_BACKWARD)), KILN_AXES(-1));
    return kiln_sum(kiln_mul(kiln_log(kiln_add(p, 1)), numbers(e, S(N / 2 + 1), 0.3, 0.6)), KILN_ALL);
}

static kiln_tensor *kept(kiln *e, kiln_tensor *x) /* of a size that the elements tell */
{
    (void)e;
    kiln_tensor *c = kiln_compress(x, kiln_greater(x, 0), 0);
    return kiln_sum(kiln_mul(kiln_square(c), kiln_cumsum(c, 0, 0)), KILN_ALL);
}

static const struct {
    const char *name;
    Function *f;
} rows[] = {{"network", network}, {"layer normalisation", normalised}, {"attention", attending}, {"convolution and pool", convolving},
    {"logsumexp", of_exponentials}, {"cholesky", solving}, {"while", halving}, {"if", choosing}, {"custom gradient", own_gradient},
    {"gather and scatter", gathering}, {"median and sort", middles}, {"fft", power}, {"compress", kept}};

static void body(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user) { out[0] = rows[*(const int *)user].f(e, in[0]); }

static void call(const char *name, kiln_function *f, kiln_operands in, double *to, int64_t n)
{
    kiln_tensor *y = NULL;
    if (!f || !kiln_call_all(f, in, &y, 1) || kiln_elements(y) != n || !kiln_read_doubles(y, to, n)) fail_msg("%s: %s", name, kiln_error(k)->text);
}

static double far(double a, double b) { return fabs(a - b) / fmax(1, fmax(fabs(a), fabs(b))); }

/* Second derivatives, and by central differences of the gradient: (g(x + h) - g(x - h)) / 2 h. */
static void one(const char *name, kiln_function *f, const double *x, double *worst)
{
    static double h[N * N], j[N * N], eager[N * N], up[N], down[N], v[N], hv[N];
    kiln_function *gradient = kiln_grad(f), *hessian = kiln_hessian(f), *jacobian = kiln_jacobian(kiln_grad(f));
    kiln_tensor *at = kiln_from_doubles(k, KILN_F64, S(N), x, N);
    call(name, hessian, KILN_IN(at), h, N * N);
    call(name, jacobian, KILN_IN(at), j, N * N);
    kiln_eager(k, true);
    call(name, hessian, KILN_IN(at), eager, N * N);
    kiln_eager(k, false);
    assert_memory_equal(h, j, sizeof h);
    for (int i = 0; i < N * N; i++)
        if (h[i] != eager[i]) fail_msg("%s: element %d: %.17g compiled, %.17g eagerly", name, i, h[i], eager[i]);
    for (int i = 0; i < N; i++) {
        const double step = 1e-5;
        double near[N];
        memcpy(near, x, sizeof near);
        near[i] = x[i] + step;
        call(name, gradient, KILN_IN(kiln_from_doubles(k, KILN_F64, S(N), near, N)), up, N);
        near[i] = x[i] - step;
        call(name, gradient, KILN_IN(kiln_from_doubles(k, KILN_F64, S(N), near, N)), down, N);
        for (int n = 0; n < N; n++) {
            const double want = (up[n] - down[n]) / (2 * step), off = far(h[n * N + i], want);
            *worst = fmax(*worst, off);
            if (off > 2e-7) fail_msg("%s: d2f/dx%d dx%d is %.12g, by differences %.12g", name, n, i, h[n * N + i], want);
        }
        v[i] = cos(1.7 * i);
    }
    call(name, kiln_hvp(f), KILN_IN(at, kiln_from_doubles(k, KILN_F64, S(N), v, N)), hv, N);
    for (int n = 0; n < N; n++) {
        double sum = 0;
        for (int i = 0; i < N; i++) sum += h[n * N + i] * v[i];
        if (far(hv[n], sum) > 1e-12) fail_msg("%s: (H v)[%d] is %.15g, not %.15g", name, n, hv[n], sum);
    }
}

static void of_functions(void **state)
{
    (void)state;
    double worst = 0;
    for (int i = 0; i < (int)(sizeof rows / sizeof *rows); i++)
        for (int point = 0; point < 3; point++) {
            KILN_SCOPE(k);
            double x[N];
            for (int n = 0; n < N; n++) x[n] = sin(1.3 * n + 2.1 * point + 0.4) * (point == 2 ? 0.6 : 1) + 0.05 * point;
            kiln_function *f = kiln_function_new(k, body, &i, &(kiln_function_options){.name = "f", .inputs_count = 1});
            one(rows[i].name, f, x, &worst);
            kiln_function_free(f);
        }
    print_message("Hessians of %d functions at 3 points: at most %.2g from central differences\n", (int)(sizeof rows / sizeof *rows), worst);
}

int main(void)
{
    const struct CMUnitTest tests[] = {ENGINE_TEST(of_functions)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
