/* Loops and branches in the graph, from the same source: gradient descent whose number of steps is a tensor, a branch, and the Collatz
 * sequence, whose length nobody knows beforehand. Eager and traced give the same numbers. */
#include <kiln/kiln.h>

static kiln_variable *x, *hits;

static kiln_tensor *f(void) { return kiln_add(kiln_sub(kiln_square(x), kiln_mul(2.0, x)), 1.0); }

KILN_FUNCTION(minimise, k, epochs) /* epochs: an i32 tensor, so one trace serves every count */
{
    KILN_FOR(k, i, epochs)
    {
        KILN_TAPE(k, tape);
        kiln_tensor *y = f();
        kiln_assign_sub(x, kiln_mul(0.01, kiln_gradient(tape, y, x))); /* x: a variable; becomes a loop-carried value */
    }
    KILN_IF(kiln_less(x, 0.0)) kiln_assign(x, 0.0);
    KILN_ELSE(k) kiln_assign_add(hits, 1);
    return f();
}

KILN_FUNCTION(collatz, k, start) /* steps until 1 */
{
    kiln_variable *n = kiln_local(k, start), *steps = kiln_local(k, KILN_I64, 0);
    KILN_WHILE(k, kiln_not_equal(n, 1))
    {
        KILN_IF(kiln_equal(kiln_mod(n, 2), 0)) kiln_assign(n, kiln_floor_div(n, 2));
        KILN_ELSE(k) kiln_assign(n, kiln_add(kiln_mul(n, 3), 1));
        kiln_assign_add(steps, 1);
    }
    return kiln_value(steps);
}

/* The same loop as functions: in[0] is the index, then what is carried; and the running sums of a scan. */
static void grow(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = out[1] = kiln_add(in[1], in[2]);
}

KILN_FUNCTION(running_sums, k, xs)
{
    kiln_tensor *last, *sums, *zero = kiln_scalar(k, KILN_F32, 0.0);
    kiln_scan(k, grow,
        &(kiln_scan_options){.carries = &zero, .carries_count = 1, .xs = &xs, .xs_count = 1, .ys_count = 1}, &last,
        &sums, NULL);
    return sums;
}

KILN_FUNCTION(triangle, k, n) /* row i of a table, assigned in a loop */
{
    kiln_variable *table = kiln_local(k, kiln_zeros(k, KILN_F32, KILN_SHAPE(4, 4)));
    KILN_FOR(k, i, 4)
    {
        kiln_tensor *column = kiln_iota(k, KILN_I64, KILN_SHAPE(1, 4), 1);
        kiln_assign_slice(table, KILN_STARTS(i, 0), kiln_where(kiln_less_equal(column, i), n, 0.0));
    }
    return kiln_value(table);
}

int main(void)
{
    kiln *k = kiln_open(NULL);
    {
        KILN_SCOPE(k);
        x = kiln_variable_new(k, "x", KILN_F32, 0.0);
        hits = kiln_variable_new(k, "hits", KILN_I32, 0);
        for (int traced = 0; traced < 2; traced++) {
            kiln_eager(k, !traced);
            puts(traced ? "traced" : "eager");
            kiln_assign(x, -5.0);
            for (int epochs = 10; epochs <= 1000; epochs *= 10) {
                double y = kiln_item(minimise(k, kiln_scalar(k, KILN_I32, epochs)));
                printf("  after %4d: y %.6f at x %.6f\n", epochs, y, kiln_item(x));
            }
            printf("  hits: %lld\n", (long long)kiln_item_i64(hits));
            printf("  from 27 to 1: %lld steps\n", (long long)kiln_item_i64(collatz(k, kiln_scalar(k, KILN_I64, 27))));
            kiln_print(stdout, running_sums(k, kiln_f32(k, KILN_SHAPE(5), 1, 2, 3, 4, 5)));
            kiln_print(stdout, triangle(k, kiln_scalar(k, KILN_F32, 7)));
        }
        if (kiln_failed(k)) printf("%s\n", kiln_error(k)->text);
    }
    return kiln_close(k);
}
