/* floor_div at its edges, casts that round once, no axis, and an empty axis. */
#include <kiln/kiln.h>
#include <math.h>

KILN_FUNCTION(quotient, k, x)
{
    return kiln_floor_div(x, kiln_f32(k, KILN_SHAPE(5), INFINITY, -INFINITY, 2e38f, 0, 1));
}
KILN_FUNCTION(through_f16, k, x) { return kiln_cast(kiln_cast(x, KILN_F16), KILN_F64); }
KILN_FUNCTION(through_bf16, k, x) { return kiln_cast(kiln_cast(x, KILN_BF16), KILN_I32); }
KILN_FUNCTION(no_axis, k, x) { return kiln_sum(x, KILN_AXES()); }
KILN_FUNCTION(all, k, x) { return kiln_all(x, KILN_ALL); }

int main(void)
{
    kiln *k = kiln_open(NULL);
    for (int traced = 0; traced < 2; traced++) {
        KILN_SCOPE(k);
        kiln_eager(k, !traced);
        kiln_print(stdout, quotient(k, kiln_f32(k, KILN_SHAPE(5), -1, 1, -3.4e38f, 1, -0.0f)));
        kiln_print(stdout, through_f16(k, kiln_f64(k, KILN_SHAPE(2), 1 + 0x1p-11 + 0x1p-40, 65519.999999999)));
        kiln_print(stdout, through_bf16(k, kiln_i32(k, KILN_SHAPE(1), 16842753)));
        kiln_print(stdout, no_axis(k, kiln_f32(k, KILN_SHAPE(2), 1, 2)));
        kiln_print(stdout, all(k, kiln_zeros(k, KILN_BOOL, KILN_SHAPE(0))));
    }
    return kiln_close(k);
}
