/* An error in a body: the call says false and gives poison, eagerly as traced. */
#include <kiln/kiln.h>

static void body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    kiln_variable *v = kiln_local(k, kiln_zeros(k, KILN_F32, KILN_SHAPE(3)));
    kiln_assign_slice(v, KILN_STARTS(0), kiln_f32(k, KILN_SHAPE(2, 2), 1, 2, 3, 4)); /* the user's error */
    out[0] = kiln_add(in[0], 1.0);
}

int main(void)
{
    kiln *k = kiln_open(NULL);
    for (int traced = 0; traced < 2; traced++) {
        KILN_SCOPE(k);
        kiln_eager(k, !traced);
        kiln_function *f = kiln_function_new(k, body, NULL, NULL);
        kiln_operand in = KILN_OPERAND(kiln_f32(k, KILN_SHAPE(3), 1, 2, 3));
        kiln_tensor *out;
        bool ok = kiln_call_all(f, &in, 1, &out, 1);
        printf("%d %s %d\n", ok, kiln_dtype_name(kiln_dtype_of(out)), kiln_failed(k));
        kiln_clear(k);
    }
    return kiln_close(k);
}
