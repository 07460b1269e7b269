/* kiln_check and programs that are right: exact integers, infinities and long loops are no disagreement. */
#include <kiln/kiln.h>
#include <math.h>

KILN_FUNCTION(count, k, m) { return kiln_cast(kiln_sum(kiln_cast(m, KILN_F32), KILN_ALL), KILN_I64); }
KILN_FUNCTION(far, k, x) { return kiln_log(kiln_exp(x)); }
KILN_FUNCTION(unit, k, x)
{
    kiln_variable *a = kiln_local(k, x);
    KILN_FOR(k, i, 40) kiln_assign(a, kiln_div(a, kiln_norm(a)));
    return kiln_value(a);
}

int main(void)
{
    kiln *k = kiln_open(NULL);
    {
        KILN_SCOPE(k);
        kiln_tensor *m = kiln_bool(k, KILN_SHAPE(4), 1, 0, 1, 1), *x = kiln_f32(k, KILN_SHAPE(1), -INFINITY),
                    *t = kiln_f32(k, KILN_SHAPE(2), 3, 4);
        printf("%d ", kiln_check(stdout, KILN_FN(k, count), &m, 1));
        printf("%d ", kiln_check(stdout, KILN_FN(k, far), &x, 1));
        printf("%d\n", kiln_check(stdout, KILN_FN(k, unit), &t, 1));
    }
    return kiln_close(k);
}
