/* A line through noisy points: y = 3 x + 2 + noise, from W = 5, B = 10, by 300 steps of gradient
 * descent written out. */
#include <kiln/kiln.h>

static kiln_variable *w, *b;

KILN_FUNCTION(step, k, x, y)
{
    KILN_TAPE(k, tape);
    kiln_tensor *loss = kiln_mean(kiln_square(kiln_sub(y, kiln_add(kiln_mul(x, w), b))), KILN_ALL);
    kiln_tensor *d[2];
    kiln_gradients(tape, loss, KILN_IN(w, b), d);
    kiln_assign_sub(w, kiln_mul(0.01, d[0]));
    kiln_assign_sub(b, kiln_mul(0.01, d[1]));
    return loss;
}

int main(void)
{
    kiln *k = kiln_open(NULL);
    float loss[2][300];
    {
        KILN_SCOPE(k);
        kiln_variable *chance = kiln_generator(k, 42);
        kiln_tensor *x = kiln_normal(chance, KILN_F32, KILN_SHAPE(2000), 0, 1);
        kiln_tensor *noise = kiln_normal(chance, KILN_F32, KILN_SHAPE(2000), 0, 1);
        kiln_tensor *y = kiln_add(kiln_add(kiln_mul(x, 3.0), 2.0), noise);
        w = kiln_variable_new(k, "W", KILN_F32, 5.0);
        b = kiln_variable_new(k, "B", KILN_F32, 10.0);
        for (int traced = 0; traced < 2; traced++) {
            kiln_eager(k, !traced);
            kiln_assign(w, 5.0);
            kiln_assign(b, 10.0);
            for (int i = 0; i < 300; i++) {
                KILN_SCOPE(k);
                kiln_read(step(k, x, y), &loss[traced][i], sizeof(float));
            }
            printf("%-6s first loss %.0f, last %.0f, W %.1f, B %.1f\n", traced ? "traced" : "eager", (double)loss[traced][0],
                (double)loss[traced][299], kiln_item(w), kiln_item(b));
        }
    }
    int equal = 0;
    while (equal < 300 && loss[0][equal] == loss[1][equal])
        equal++;
    printf("equal losses: %d of 300\n", equal);
    return kiln_close(k);
}
