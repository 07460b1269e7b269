/* A variable saved, changed and restored; a training run that is interrupted and goes on in another
 * engine, with a model and an optimiser made anew: its weights are the same bit for bit. */
#define _XOPEN_SOURCE 700 /* mkdtemp */
#include <kiln/io.h>
#include <kiln/kiln.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct run { kiln_dense *layer; kiln_optimizer *adam; kiln_variable *noise; kiln_function *step; kiln_checkpoint *saved; };

static void train_step(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    struct run *r = user;
    (void)in;
    KILN_TAPE(k, tape);
    kiln_tensor *x = kiln_normal(r->noise, KILN_F32, KILN_SHAPE(16, 4), 0, 1);
    out[0] = kiln_mse(kiln_dense_apply(r->layer, x), kiln_sum(x, KILN_KEEP(1)));
    kiln_optimizer_minimize(r->adam, tape, out[0]);
}

/* Everything that the next step depends on is named in the checkpoint. */
static struct run run_new(kiln *k, const char *folder)
{
    struct run r = {.noise = kiln_generator(k, 7), .adam = kiln_adam(k, 0.05)};
    r.layer = kiln_dense_new(k, 4, 1, r.noise);
    r.saved = kiln_checkpoint_new(k, folder, 3); /* the newest three are kept */
    kiln_checkpoint_add(r.saved, kiln_dense_weight(r.layer));
    kiln_checkpoint_add(r.saved, kiln_dense_bias(r.layer));
    kiln_checkpoint_add(r.saved, r.noise);
    kiln_checkpoint_add_optimizer(r.saved, r.adam);
    return r;
}

/* Steps `from` to `to`, saving every tenth; the weights at the end. */
static void train(kiln *k, struct run *r, long from, long to, float w[4])
{
    r->step = kiln_function_new(k, train_step, r, NULL);
    for (long i = from + 1; i <= to; i++) {
        KILN_SCOPE(k);
        kiln_call(r->step);
        if (i % 10 == 0) kiln_checkpoint_save(r->saved, i);
    }
    kiln_read(kiln_dense_weight(r->layer), w, 4 * sizeof *w);
}

int main(void)
{
    char folder[300], values[320], training[320];
    const char *tmp = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/kiln-example-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(folder)) return 1;
    snprintf(values, sizeof values, "%s/values", folder);
    snprintf(training, sizeof training, "%s/training", folder);

    kiln *k = kiln_open(NULL);
    kiln_variable *x = kiln_variable_new(k, "x", KILN_F32, 10.0);
    kiln_checkpoint *c = kiln_checkpoint_new(k, values, 3);
    kiln_checkpoint_add(c, x);
    kiln_assign(x, 2);
    kiln_checkpoint_save(c, 1);
    kiln_assign(x, 11);
    long newest = (long)kiln_checkpoint_restore_latest(c);
    printf("step %ld, x = %g\n", newest, kiln_item(x));

    float whole[4], resumed[4];
    struct run first = run_new(k, training);
    train(k, &first, 0, 20, whole); /* saved, and then, it would seem, the power fails */
    train(k, &first, 20, 28, whole);
    int bad = kiln_close(k);

    k = kiln_open(NULL);
    struct run second = run_new(k, training);
    long step = (long)kiln_checkpoint_restore_latest(second.saved);
    train(k, &second, step, 28, resumed);
    printf("went on from step %ld; the weights %s\n", step, memcmp(whole, resumed, sizeof whole) == 0 ? "are the same" : "DIFFER");
    bad |= kiln_close(k);

    for (int i = 0; i < 3; i++) { /* tidy up */
        char file[400];
        snprintf(file, sizeof file, "%s/ckpt-%d.safetensors", i ? training : values, i ? 10 * i : 1);
        remove(file);
    }
    rmdir(values), rmdir(training), rmdir(folder);
    return bad;
}
