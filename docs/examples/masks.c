/* masks: results whose size the elements tell: rows that a mask takes, what differs, what is left of boxes. In a traced function the
 * size is counted while it runs, and a gradient is zero where the mask is. */
#include <kiln/kiln.h>

#include <stdio.h>

/* The mean of the rows whose first element is positive, and how far each of them lies from it. */
static void spread(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    kiln_tensor *x = in[0], *first = kiln_index(x, KILN_ALL_OF, KILN_AT(0));
    kiln_tensor *rows = kiln_compress(x, kiln_greater(first, 0), 0);
    kiln_tensor *mean = kiln_mean(rows, KILN_AXES(0));
    out[0] = kiln_sum(kiln_square(kiln_sub(rows, mean)), KILN_ALL);
    out[1] = mean;
    out[2] = rows;
}

int main(void)
{
    kiln *k = kiln_open(NULL);
    kiln_function *f = kiln_function_new(k, spread, NULL, &(kiln_function_options){.name = "spread", .outputs = 3, .inputs_count = 1});
    kiln_tensor *x = kiln_f32(k, KILN_SHAPE(4, 2), 1, 2, -1, 5, 3, 4, 2, 0), *out[3], *slope;
    if (!kiln_call_all(f, KILN_IN(x), out, 3)) return 1;
    printf("rows:\n");
    kiln_print(stdout, out[2]);
    printf("their mean:\n");
    kiln_print(stdout, out[1]);
    if (!kiln_call_all(kiln_grad(f), KILN_IN(x), &slope, 1)) return 1;
    printf("the gradient of their squared distances from it:\n");
    kiln_print(stdout, slope);

    kiln_tensor *unique[2], *words = kiln_i32(k, KILN_SHAPE(7), 3, 1, 3, 3, 7, 1, 3);
    if (!kiln_unique_counts(words, unique)) return 1;
    printf("each number, and how often:\n");
    kiln_print(stdout, unique[0]);
    kiln_print(stdout, unique[1]);
    printf("with 9 in place of the threes:\n");
    kiln_print(stdout, kiln_index_update(words, 9, KILN_SCATTER_SET, KILN_MASK(kiln_equal(words, 3))));
    return kiln_close(k);
}
