/* Making tensors and computing with them element by element, at once and traced. */
#include <kiln/kiln.h>

static void print_rounded(const char *name, kiln_tensor *x) /* five places: every CPU gives the same */
{
    const float *at = kiln_data(x);
    printf("%-8s", name);
    for (int64_t i = 0; at != NULL && i < kiln_elements(x); i++) printf(" %.5f", (double)at[i]);
    printf("\n");
}

KILN_FUNCTION(wave, k, x)
{
    return kiln_add(kiln_mul(kiln_sin(x), kiln_sin(x)), kiln_mul(kiln_cos(x), kiln_cos(x)));
}

int main(void)
{
    kiln *k = kiln_open(NULL);
    {
        KILN_SCOPE(k);
        kiln_tensor *zeros = kiln_zeros(k, KILN_F32, KILN_SHAPE(2, 2));
        kiln_print(stdout, zeros);
        kiln_print(stdout, kiln_ones(k, KILN_I32, KILN_SHAPE(2, 1)));
        kiln_print(stdout, kiln_ones_like(zeros));
        kiln_print(stdout, kiln_zeros_like(kiln_iota(k, KILN_I64, KILN_SHAPE(3), 0)));

        kiln_tensor *a = kiln_f32(k, KILN_SHAPE(2, 2), 1, 2, 3, 4);
        kiln_tensor *b = kiln_f32(k, KILN_SHAPE(2, 2), 5, 6, 7, 8);
        kiln_print(stdout, kiln_add(a, b));
        kiln_print(stdout, kiln_sub(a, b));
        kiln_print(stdout, kiln_mul(a, b));
        kiln_print(stdout, kiln_div(a, b));
        kiln_print(stdout, kiln_sqrt(a));
        print_rounded("exp", kiln_exp(a));
        print_rounded("sin", kiln_sin(a));
        print_rounded("cos", kiln_cos(a));
        print_rounded("eager", kiln_add(kiln_square(kiln_sin(a)), kiln_square(kiln_cos(a))));
        print_rounded("traced", wave(k, a));

        kiln_variable *generator = kiln_generator(k, 42);
        kiln_tensor *u = kiln_uniform(generator, KILN_F32, KILN_SHAPE(10000), 0, 1);
        kiln_tensor *n = kiln_normal(generator, KILN_F32, KILN_SHAPE(10000), 0, 1);
        printf("uniform: mean %.1f, all in [0, 1): %s\n", kiln_item(kiln_mean(u, KILN_ALL)),
               kiln_item(kiln_all(kiln_and(kiln_greater_equal(u, 0), kiln_less(u, 1)), KILN_ALL)) != 0 ? "yes" : "no");
        printf("normal: variance %.1f\n", kiln_item(kiln_variance(n, KILN_ALL)));
        if (kiln_failed(k))
            fprintf(stderr, "%s\n", kiln_error(k)->text);
    }
    return kiln_close(k);
}
