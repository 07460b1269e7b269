/* Parts of a tensor as NumPy's x[...] names them: read, and changed. */
#include <kiln/kiln.h>

KILN_FUNCTION(causal_means, k, x) /* row i: the mean of rows 0 ... i of x, whose number of rows may change from call to call */
{
    kiln_tensor *i = kiln_iota_along(x, 0, KILN_I64);
    kiln_tensor *mask = kiln_cast(kiln_ge(kiln_expand(i, 1), i), KILN_F32);
    return kiln_div(kiln_matmul(mask, x), kiln_sum(mask, KILN_KEEP(1)));
}

int main(void)
{
    kiln *k = kiln_open(NULL);
    {
        KILN_SCOPE(k);
        kiln_tensor *x = kiln_reshape(kiln_arange(k, KILN_I32, 0, 12, 1), KILN_SHAPE(3, 4));
        kiln_print(stdout, kiln_index(x, KILN_AT(1)));                                           /* x[1] */
        kiln_print(stdout, kiln_index(x, KILN_ALL_OF, KILN_RANGE(1, -1)));                       /* x[:, 1:-1] */
        kiln_print(stdout, kiln_index(x, KILN_RANGE(-1, KILN_END, -2), KILN_AT(0), KILN_NEW));   /* x[::-2, 0, None] */
        kiln_tensor *rows = kiln_i64(k, KILN_SHAPE(3), 2, 0, 2), *columns = kiln_i64(k, KILN_SHAPE(3), 3, 1, 0);
        kiln_print(stdout, kiln_index(x, KILN_AT(rows), KILN_AT(columns)));                      /* x[rows, columns] */
        kiln_print(stdout, kiln_index_update(x, -1, KILN_SCATTER_SET, KILN_REST, KILN_RANGE(0, KILN_END, 2))); /* x[..., ::2] = -1 */
        kiln_print(stdout, kiln_index_update(x, 100, KILN_SCATTER_ADD, KILN_AT(rows)));          /* row 2 is named twice */
        kiln_print(stdout, kiln_roll(x, KILN_SHAPE(1, -1), KILN_AXES(0, 1)));
        kiln_print(stdout, kiln_pad_with(kiln_index(x, KILN_AT(0)), KILN_SHAPE(2), KILN_SHAPE(3), KILN_PAD_REFLECT));
        kiln_print(stdout, causal_means(k, kiln_cast(x, KILN_F32)));
        kiln_variable *v = kiln_variable_new(k, "v", x);
        kiln_assign(v, kiln_index_update(v, 9, KILN_SCATTER_MIN, KILN_AT(-1))); /* part of a variable */
        kiln_print(stdout, v);
    }
    return kiln_close(k);
}
