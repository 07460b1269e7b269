// The same names in C++17: operands convert by themselves, scopes and tapes end with their block.
#include <cstdio>
#include <kiln/kiln.h>

KILN_FUNCTION(func, k, w)
{
    return kiln_sqrt(kiln_add(kiln_exp(w), 1.0));
}

static void parabola(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *)
{
    KILN_TAPE(k, tape);
    kiln_tensor *x = kiln_watch(tape, in[0]);
    out[1] = kiln_add(kiln_sub(kiln_pow(x, 2), kiln_mul(2.0, x)), 1.0);
    out[0] = kiln_gradient(tape, out[1], x);
}

int main()
{
    kiln *k = kiln_open(nullptr);
    {
        KILN_SCOPE(k);
        kiln_tensor *a = kiln_i32(k, KILN_SHAPE(2, 2), 1, 2, 3, 4);
        kiln_print(stdout, kiln_mul(a, kiln_add(a, 1)));

        kiln_variable *count = kiln_variable_new(k, "count", KILN_F32, 2.0);
        kiln_assign_add(count, 3.0);
        kiln_print(stdout, kiln_add(count, 0.5));

        kiln_tensor *w = kiln_scalar(k, KILN_F32, 2.0);
        kiln_function_options options = {};
        options.name = "parabola";
        options.outputs = 2;
        kiln_function *f = kiln_function_new(k, parabola, nullptr, &options);
        for (bool traced : {false, true}) {
            kiln_eager(k, !traced);
            kiln_tensor *out[2];
            kiln_call_all(f, KILN_IN(w), out, 2);
            std::printf("%s: func %.6f, slope %g, value %g\n", traced ? "traced" : "eager", kiln_item(func(k, w)), kiln_item(out[0]),
                        kiln_item(out[1]));
        }
        std::printf("gradient %.6f\n", kiln_item(kiln_call(kiln_grad(KILN_FN(k, func)), w)));
    }
    return kiln_close(k);
}
