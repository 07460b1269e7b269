/* Composites of 16-bit floats compute in f32 and round once. */
#include <kiln/kiln.h>

#define F16(n, ...) kiln_cast(kiln_f32(k, KILN_SHAPE(n), __VA_ARGS__), KILN_F16)

KILN_FUNCTION(normal, k, x) { return kiln_layernorm(x, NULL, NULL, 0); }
KILN_FUNCTION(tiny_epsilon, k, x) { return kiln_layernorm(x, NULL, NULL, 1e-12); }
KILN_FUNCTION(softmax, k, x) { return kiln_reduce_max(kiln_softmax(x, 1), KILN_ALL); }
KILN_FUNCTION(logsumexp, k, x) { return kiln_logsumexp(x, 1); }
KILN_FUNCTION(entropy, k, x) { return kiln_cross_entropy(x, kiln_i64(k, KILN_SHAPE(1), 5)); }
KILN_FUNCTION(mse, k, x) { return kiln_mse(x, 0); }
KILN_FUNCTION(norm, k, x) { return kiln_norm(x); }
KILN_FUNCTION(pool, k, x) { return kiln_avg_pool(x, &(kiln_window){.size = {2, 2}}); }

int main(void)
{
    kiln *k = kiln_open(NULL);
    for (int traced = 0; traced < 2; traced++) {
        KILN_SCOPE(k);
        kiln_eager(k, !traced);
        kiln_tensor *ones = kiln_ones(k, KILN_F16, KILN_SHAPE(1, 100000));
        kiln_print(stdout, normal(k, F16(4, -400, 400, -400, 400)));
        kiln_print(stdout, normal(k, kiln_cast(kiln_f32(k, KILN_SHAPE(4), 1000, 1004, 1000, 1000), KILN_BF16)));
        kiln_print(stdout, tiny_epsilon(k, F16(2, 1, 1)));
        kiln_print(stdout, softmax(k, ones));
        kiln_print(stdout, logsumexp(k, ones));
        kiln_print(stdout, entropy(k, ones));
        kiln_print(stdout, mse(k, F16(4, 300, 0, 0, 0)));
        kiln_print(stdout, norm(k, F16(2, 300, 400)));
        kiln_print(stdout, pool(k, kiln_full(k, KILN_F16, KILN_SHAPE(1, 2, 2, 1), 40000)));
    }
    return kiln_close(k);
}
