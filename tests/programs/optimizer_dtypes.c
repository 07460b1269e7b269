/* Optimisers keep their state in f32 for 16-bit variables and in f64 for f64 ones. */
#include <kiln/kiln.h>
#include <kiln/nn.h>

static void minimise(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_optimizer *o = ((void **)user)[0];
    KILN_TAPE(k, tape);
    out[0] = kiln_mul(in[0], kiln_square((kiln_variable *)((void **)user)[1]));
    kiln_optimizer_minimize(o, tape, out[0]);
}

int main(void)
{
    kiln *k = kiln_open(NULL);
    for (int traced = 0; traced < 2; traced++) {
        KILN_SCOPE(k);
        kiln_eager(k, !traced);
        kiln_variable *w = kiln_variable_new(k, "w", kiln_ones(k, KILN_F16, KILN_SHAPE(2)));
        kiln_tensor *g = kiln_cast(kiln_f32(k, KILN_SHAPE(2), 0, 1e-4), KILN_F16);
        kiln_optimizer_apply(kiln_adam(k, 0.1), &w, &g, 1);
        kiln_print(stdout, kiln_value(w));
        kiln_variable *d = kiln_variable_new(k, "d", kiln_scalar(k, KILN_F64, 1.0));
        void *state[] = {kiln_adam(k, 0.5), d};
        kiln_call(kiln_function_new(k, minimise, state, NULL), kiln_scalar(k, KILN_F64, 1));
        printf("%.15g\n", kiln_item(d));
    }
    return kiln_close(k);
}
