/* A recurrent layer learns to remember: an LSTM sees twelve symbols one after the other and must say which came first. The same
 * training step runs eagerly and traced, where the loop over time is one operation of the graph; the losses are the same bit for bit.
 * Then the trained layer reads a longer text piece by piece, its state carried from call to call. */
#include <kiln/nn.h>
#include <string.h>

enum { SYMBOLS = 4, LENGTH = 12, BATCH = 32, UNITS = 24, STEPS = 250, EAGER = 10 };

struct model { kiln_variable *random; kiln_recurrent *lstm; kiln_dense *top; kiln_optimizer *adam; };

static struct model model_new(kiln *k)
{
    struct model m = {.random = kiln_generator(k, 42), .adam = kiln_adam(k, 0.01)};
    m.lstm = kiln_lstm_new(k, SYMBOLS, UNITS, m.random);
    m.top = kiln_dense_new(k, UNITS, SYMBOLS, m.random);
    return m;
}

/* [length, batch] symbols, and the first of each column. */
static kiln_tensor *draw(struct model *m, int64_t length, kiln_tensor **first)
{
    kiln_tensor *symbols = kiln_cast(kiln_uniform(m->random, KILN_F32, KILN_SHAPE(length, BATCH), 0, SYMBOLS), KILN_I32);
    *first = kiln_reshape(kiln_slice(symbols, 0, 0, 1, 1), KILN_SHAPE(BATCH));
    return kiln_one_hot(symbols, SYMBOLS, KILN_F32);
}

static void train_step(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    struct model *m = user;
    kiln_tensor *first, *state;
    (void)in;
    KILN_TAPE(k, tape);
    kiln_recurrent_apply(m->lstm, draw(m, LENGTH, &first), &(kiln_recurrent_options){.last_h = &state});
    out[0] = kiln_cross_entropy(kiln_dense_apply(m->top, state), first);
    kiln_optimizer_minimize(m->adam, tape, out[0]);
}

/* x, h, c -> the next h and c */
static void read_piece(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    struct model *m = user;
    (void)k;
    kiln_recurrent_apply(m->lstm, in[0], &(kiln_recurrent_options){.h = in[1], .c = in[2], .last_h = &out[0], .last_c = &out[1]});
}

static double accuracy(struct model *m, kiln_tensor *state, kiln_tensor *first)
{
    kiln_tensor *said = kiln_cast(kiln_argmax(kiln_dense_apply(m->top, state), 1), KILN_I32);
    return kiln_item(kiln_mean(kiln_cast(kiln_equal(said, first), KILN_F32), KILN_ALL));
}

int main(void)
{
    kiln *k = kiln_open(NULL);
    float loss[2][STEPS];
    struct model m = {0};
    for (int traced = 0; traced < 2; traced++) {
        m = model_new(k);
        kiln_eager(k, !traced);
        kiln_function *step = kiln_function_new(k, train_step, &m, NULL);
        for (int i = 0; i < (traced ? STEPS : EAGER); i++) {
            KILN_SCOPE(k);
            loss[traced][i] = (float)kiln_item(kiln_call(step));
        }
    }
    printf("the first %d losses, eager and traced: %s\n", EAGER, memcmp(loss[0], loss[1], EAGER * sizeof **loss) ? "DIFFER" : "the same");
    printf("the loss fell by a factor of %s\n", loss[1][STEPS - 1] < loss[1][0] / 10 ? "ten and more" : "LESS THAN TEN");
    {
        KILN_SCOPE(k);
        kiln_tensor *first, *x = draw(&m, LENGTH, &first);
        kiln_tensor *out[2] = {kiln_zeros(k, KILN_F32, KILN_SHAPE(BATCH, UNITS)), kiln_zeros(k, KILN_F32, KILN_SHAPE(BATCH, UNITS))};
        kiln_spec state = KILN_SPEC(KILN_F32, BATCH, UNITS);
        kiln_function *read = kiln_function_new(k, read_piece, &m,
            &(kiln_function_options){.outputs = 2, .inputs = {KILN_SPEC(KILN_F32, KILN_DIM("T", 1, 8), BATCH, SYMBOLS), state, state}});
        for (int64_t from = 0, n = 1; from < LENGTH; from += n++) /* pieces of 1, 2, 3, 4 and 2 */
            kiln_call_all(read, KILN_IN(kiln_slice(x, 0, from, from + n, 1), out[0], out[1]), out, 2);
        kiln_function_statistics stats;
        kiln_function_stats(read, &stats);
        printf("five pieces of four lengths, traced %d time(s); the first symbol is remembered: %s\n", (int)stats.traces,
            accuracy(&m, out[0], first) > 0.9 ? "yes" : "NO");
    }
    if (kiln_failed(k)) printf("%s\n", kiln_error(k)->text);
    return kiln_close(k);
}
