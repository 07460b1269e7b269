/* Making tensors and computing with them element by element: one body, run at once and traced. */
#include <kiln/kiln.h>

enum { RESULTS = 13 };

static void body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_variable *generator = user;
    kiln_tensor *a = in[0], *b = in[1], *i = in[2];
    out[0] = kiln_zeros(k, KILN_F32, KILN_SHAPE(2, 1));
    out[1] = kiln_ones_like(a);
    out[2] = kiln_zeros_like(i);
    out[3] = kiln_add(a, b);
    out[4] = kiln_sub(a, b);
    out[5] = kiln_mul(a, b);
    out[6] = kiln_div(a, b);
    out[7] = kiln_sqrt(a);
    out[8] = kiln_mul(i, kiln_add(i, 1)); /* the number takes the tensor's dtype */
    out[9] = kiln_exp(a);
    out[10] = kiln_sin(a);
    out[11] = kiln_cos(a);
    out[12] = kiln_normal(generator, KILN_F32, KILN_SHAPE(10000), 0, 1);
}

static void print_rounded(const char *name, kiln_tensor *x) /* five places: every CPU gives the same */
{
    const float *at = kiln_data(x);
    printf("%s", name);
    for (int64_t i = 0; at != NULL && i < kiln_elements(x); i++) printf(" %.5f", (double)at[i]);
    printf("\n");
}

int main(void)
{
    kiln *k = kiln_open(NULL);
    {
        KILN_SCOPE(k);
        kiln_variable *generator = kiln_generator(k, 42);
        kiln_function *f = kiln_function_new(k, body, generator, &(kiln_function_options){.name = "basics", .outputs = RESULTS});
        kiln_tensor *x = kiln_f32(k, KILN_SHAPE(2, 2), 1, 2, 3, 4), *y = kiln_f32(k, KILN_SHAPE(2, 2), 5, 6, 7, 8);
        kiln_tensor *n = kiln_i32(k, KILN_SHAPE(2, 2), 1, 2, 3, 4);
        for (int traced = 0; traced < 2; traced++) {
            kiln_tensor *out[RESULTS];
            kiln_eager(k, !traced);
            printf("%s\n", traced ? "traced" : "eager");
            kiln_call_all(f, KILN_IN(x, y, n), out, RESULTS);
            for (int i = 0; i < 9; i++) kiln_print(stdout, out[i]);
            print_rounded("exp", out[9]);
            print_rounded("sin", out[10]);
            print_rounded("cos", out[11]);
            printf("normal: mean %.1f, variance %.1f\n", kiln_item(kiln_abs(kiln_mean(out[12], KILN_ALL))),
                   kiln_item(kiln_variance(out[12], KILN_ALL)));
        }
        if (kiln_failed(k)) fprintf(stderr, "%s\n", kiln_error(k)->text);
    }
    return kiln_close(k);
}
