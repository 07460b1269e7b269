/* A training step with its state captured, declared for every batch of 1 to 64 rows: one trace
 * serves them all, the shorter last batch too. A wrong shape is an error with its place, and the
 * program goes on. */
#include <kiln/data.h>
#include <kiln/nn.h>

struct net { kiln_dense *hidden, *out; kiln_optimizer *adam; };

static void step(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user) /* ordinary C: runs eagerly or traced */
{
    struct net *net = user;
    KILN_TAPE(k, tape);
    kiln_tensor *h = kiln_relu(kiln_dense_apply(net->hidden, in[0]));
    out[0] = kiln_cross_entropy(kiln_dense_apply(net->out, h), in[1]); /* logits, i64 labels, mean over the batch */
    kiln_optimizer_minimize(net->adam, tape, out[0]);                  /* every variable that the tape saw */
}

int main(void)
{
    kiln *k = kiln_open(NULL);
    {
        KILN_SCOPE(k);
        kiln_tensor *images, *labels;
        kiln_digits(k, 1000, 1, &images, &labels);
        kiln_dataset *data = kiln_dataset_new(k, kiln_flatten(kiln_div(kiln_cast(images, KILN_F32), 255.0)), kiln_cast(labels, KILN_I64));
        kiln_variable *chance = kiln_generator(k, 7);
        struct net net = {kiln_dense_new(k, 784, 32, chance), kiln_dense_new(k, 32, 10, chance), kiln_adam(k, 0.003)};
        kiln_function *train = kiln_function_new(k, step, &net, &(kiln_function_options){
            .name = "train_step",
            .inputs = {KILN_SPEC(KILN_F32, KILN_DIM("N", 1, 64), 784), KILN_SPEC(KILN_I64, KILN_DIM("N", 1, 64))}});
        double first = 0, last = 0;
        for (uint64_t epoch = 1; epoch <= 2; epoch++)
            for (kiln_batch b = kiln_batches(data, 32, epoch); kiln_next(&b);) {
                KILN_SCOPE(k);
                last = kiln_item(kiln_call(train, b.x, b.y));
                if (epoch == 1 && b.index == 0) first = last;
            }
        kiln_function_statistics s;
        kiln_function_stats(train, &s);
        printf("%d steps, %d trace, and the loss %s\n", (int)s.calls, (int)s.traces, last < first / 2 ? "fell" : "did NOT fall");
        kiln_call(train, kiln_zeros(k, KILN_F32, KILN_SHAPE(8, 785)), kiln_zeros(k, KILN_I64, KILN_SHAPE(8)));
        printf("a wrong shape: %s\n", kiln_failed(k) ? "an error" : "no error?");
        fprintf(stderr, "%s\n", kiln_error(k)->text);
        kiln_clear(k);
    }
    return kiln_close(k);
}
