/* Sums and products over ten million elements keep their digits, whichever axis they run over. */
#include <kiln/kiln.h>
#include <math.h>

enum { N = 10000000 };

KILN_FUNCTION(leading, k, v)
{
    return kiln_mean(kiln_broadcast(kiln_reshape(v, KILN_SHAPE(N, 1)), KILN_SHAPE(N, 2)), KILN_AXES(0));
}
KILN_FUNCTION(trailing, k, v) { return kiln_mean(kiln_reshape(v, KILN_SHAPE(2, N / 2)), KILN_AXES(1)); }
KILN_FUNCTION(dot, k, v) { return kiln_matmul(v, kiln_ones_like(v)); }
KILN_FUNCTION(column, k, v)
{
    return kiln_matmul(kiln_reshape(v, KILN_SHAPE(1, N)), kiln_ones(k, KILN_F32, KILN_SHAPE(N, 1)));
}

static void show(const char *name, kiln_tensor *x, double want)
{
    double worst = kiln_item(kiln_reduce_max(kiln_abs(kiln_sub(kiln_cast(x, KILN_F64), want)), KILN_ALL));
    printf("%s: %s\n", name, worst <= 1e-6 * want ? "within 1e-6" : "off");
}

int main(void)
{
    kiln *k = kiln_open(NULL);
    for (int traced = 0; traced < 2; traced++) {
        KILN_SCOPE(k);
        kiln_eager(k, !traced);
        kiln_tensor *v = kiln_full(k, KILN_F32, KILN_SHAPE(N), 0.1);
        show("mean over the leading axis", leading(k, v), 0.1);
        show("mean over the trailing axis", trailing(k, v), 0.1);
        show("dot of two vectors", dot(k, v), 0.1 * N);
        show("row times column", column(k, v), 0.1 * N);
    }
    return kiln_close(k);
}
