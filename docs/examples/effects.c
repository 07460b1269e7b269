/* Assertions, text and calls back into C, inside a traced function: they happen in order each time
 * the compiled code runs, in loops too. Heron's square roots, watched; a step that diverges is
 * stopped, names its line, and leaves the state as it was. */
#include <kiln/kiln.h>
#include <string.h>

/* The guess with the largest error: what a library of C functions is there for. */
static int worst(const kiln_array *in, int nin, const kiln_array *out, int nout, void *user)
{
    const float *x = in[0].data, *root = in[1].data;
    int64_t at = 0;
    (void)nin, (void)nout;
    for (int64_t i = 1; i < in[0].size[0]; i++)
        if (x[i] / root[i] - root[i] < x[at] / root[at] - root[at])
            at = i;
    *(int64_t *)out[0].data = at;
    (*(int *)user)++;
    return 0;
}

static int calls;

KILN_FUNCTION(roots, k, x)
{
    kiln_variable *root = kiln_local(k, kiln_ones(k, KILN_F32, KILN_SHAPE(3)));
    kiln_assert_shape(x, KILN_SHAPE(3));
    kiln_assert(kiln_gt(x, 0.0), "numbers above zero");
    KILN_FOR(k, i, 7) {
        kiln_tensor *now = kiln_value(root), *at;
        kiln_callback(k, worst, &calls, (kiln_tensor *[]){x, now}, 2, (kiln_spec[]){KILN_SPEC(KILN_I64)}, &at, 1);
        kiln_print_text(k, stdout, "guesses ");
        kiln_print(stdout, root);
        kiln_print_text(k, stdout, "worst   ");
        kiln_print(stdout, at);
        kiln_assign(root, kiln_mul(kiln_add(root, kiln_div(x, root)), 0.5));
    }
    kiln_assert_close(kiln_square(root), x, 1e-4);
    return kiln_value(root);
}

static void grow(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_variable *state = user;
    KILN_FOR(k, i, 8) {
        kiln_assign(state, kiln_mul(kiln_square(state), in[0]));
        kiln_assert_finite(state);
    }
    out[0] = kiln_value(state);
}

static void tell(kiln *k)
{
    const char *text = kiln_error(k)->text;
    printf("line %d: %.*s\n", kiln_error(k)->line, (int)(strstr(text, "  ") - text), text);
    kiln_clear(k);
}

int main(void)
{
    kiln *k = kiln_open(NULL);
    {
        KILN_SCOPE(k);
        kiln_print(stdout, roots(k, kiln_f32(k, KILN_SHAPE(3), 2, 9, 100)));
        printf("%d calls\n", calls);
        roots(k, kiln_f32(k, KILN_SHAPE(3), 2, -9, 100));
        tell(k);

        kiln_variable *state = kiln_variable_new(k, "state", kiln_f32(k, KILN_SHAPE(2), 1, 2));
        kiln_function *f = kiln_function_new(k, grow, state, NULL);
        kiln_call(f, kiln_scalar(k, KILN_F32, 1.5));
        tell(k);
        kiln_print(stdout, state);
    }
    return kiln_close(k);
}
