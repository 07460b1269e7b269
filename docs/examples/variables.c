/* A variable holds a value that assignments replace; a traced function reads and writes it as the eager program does. */
#include <kiln/kiln.h>

static kiln_variable *v;

/* out: the value after each assignment */
static void assignments(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)in, (void)user;
    out[0] = kiln_value(v);
    kiln_assign(v, 3);
    out[1] = kiln_value(v);
    kiln_assign_add(v, 2);
    out[2] = kiln_value(v);
    kiln_assign_sub(v, 1);
    out[3] = kiln_value(v);
}

KILN_FUNCTION(advance, k, by)
{
    kiln_assign_add(v, by);
    return kiln_value(v);
}

int main(void)
{
    kiln *k = kiln_open(NULL);
    {
        KILN_SCOPE(k);
        v = kiln_variable_new(k, "v", KILN_F32, 2);
        kiln_function *f = kiln_function_new(k, assignments, NULL, &(kiln_function_options){.name = "assignments", .outputs = 4});
        for (int traced = 0; traced < 2; traced++) {
            kiln_tensor *out[4];
            kiln_eager(k, !traced);
            kiln_assign(v, 2);
            kiln_call_all(f, NULL, 0, out, 4);
            printf("%-6s %g %g %g %g\n", traced ? "traced" : "eager", kiln_item(out[0]), kiln_item(out[1]), kiln_item(out[2]), kiln_item(out[3]));
        }

        kiln_tensor *ten = kiln_scalar(k, KILN_F32, 10);
        kiln_print(stdout, advance(k, ten));
        kiln_print(stdout, advance(k, ten));
        kiln_print(stdout, kiln_value(v));
    }
    return kiln_close(k);
}
