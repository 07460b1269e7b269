/* A training step of two hundred parameters with Adam, and a loop that changes 300 variables: no limit but memory. */
#include <kiln/kiln.h>
#include <kiln/nn.h>

enum { PARAMETERS = 200, STATES = 300 };
static kiln_optimizer *adam;

static void step(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_variable **v = user;
    KILN_TAPE(k, t);
    out[0] = kiln_sum(kiln_mul(in[0], kiln_square(v[0])), KILN_ALL);
    for (int i = 1; i < PARAMETERS; i++) out[0] = kiln_add(out[0], kiln_sum(kiln_square(v[i]), KILN_ALL));
    kiln_optimizer_minimize(adam, t, out[0]);
}

static void turn(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_variable **v = user;
    KILN_FOR(k, i, 3) for (int s = 0; s < STATES; s++) kiln_assign_add(v[s], in[0]);
    out[0] = kiln_add(v[0], v[STATES - 1]);
}

int main(void)
{
    kiln *k = kiln_open(NULL);
    for (int traced = 0; traced < 2; traced++) {
        KILN_SCOPE(k);
        kiln_eager(k, !traced);
        kiln_variable *v[PARAMETERS], *s[STATES];
        adam = kiln_adam(k, 0.1);
        for (int i = 0; i < PARAMETERS; i++) v[i] = kiln_variable_new(k, "p", kiln_full(k, KILN_F32, KILN_SHAPE(3), i));
        for (int i = 0; i < STATES; i++) s[i] = kiln_variable_new(k, "s", kiln_scalar(k, KILN_F32, i));
        kiln_print(stdout, kiln_call(kiln_function_new(k, step, v, NULL), kiln_scalar(k, KILN_F32, 2)));
        kiln_print(stdout, kiln_value(v[PARAMETERS - 1]));
        kiln_print(stdout, kiln_call(kiln_function_new(k, turn, s, NULL), kiln_scalar(k, KILN_F32, 2)));
        puts(kiln_failed(k) ? kiln_error(k)->text : "fine");
    }
    return kiln_close(k);
}
