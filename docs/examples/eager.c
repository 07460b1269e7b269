/* Eager: a value at once. A number stands where a tensor may, shapes broadcast, elements come out into plain C memory. */
#include <kiln/kiln.h>

int main(void)
{
    kiln *k = kiln_open(NULL); /* NULL: all defaults */
    {
        KILN_SCOPE(k); /* temporaries made from here on go when this block ends, by return and break too */
        kiln_tensor *a = kiln_i32(k, KILN_SHAPE(2, 2), 1, 2, 3, 4);
        kiln_tensor *b = kiln_add(a, 1); /* the number takes the tensor's dtype */
        kiln_print(stdout, b);
        kiln_print(stdout, kiln_mul(a, b));
        int32_t c[4];
        if (kiln_read(b, c, sizeof c)) /* copies out, checked against the tensor's bytes */
            printf("%d %d %d %d\n", c[0], c[1], c[2], c[3]);
    }
    return kiln_close(k); /* non-zero if an error was never looked at */
}
