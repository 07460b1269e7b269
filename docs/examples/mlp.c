/* An MLP 784-100-10 on images of digits: MNIST if it lies in ../shared/data/mnist, else digits
 * drawn by Kiln. One body, trained eagerly and traced in turn; a metric that streams over the
 * batches of the test part. Fails if it does not learn, or if one loss differs in a bit. */
#include <kiln/data.h>
#include <kiln/nn.h>
#include <string.h>
#include <unistd.h>

typedef struct Net { kiln_dense *hidden, *out; kiln_optimizer *adam; } Net;

static kiln_tensor *logits(Net *net, kiln_tensor *x)
{
    return kiln_dense_apply(net->out, kiln_relu(kiln_dense_apply(net->hidden, kiln_flatten(x))));
}

/* in: images, labels; out: mean loss. Ordinary C: runs eagerly or traced. */
static void step(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    Net *net = user;
    KILN_TAPE(k, tape);
    out[0] = kiln_cross_entropy(logits(net, in[0]), in[1]);
    kiln_optimizer_minimize(net->adam, tape, out[0]);
}

static void probabilities(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    out[0] = kiln_softmax(logits(user, in[0]), -1);
}

#define IMAGES(name) KILN_SPEC(KILN_F32, name, 28, 28)
#define N KILN_DIM("N", 1, 256)

static void load(kiln *k, kiln_tensor **x, kiln_tensor **y)
{
    if (access("../shared/data/mnist/t10k-images-idx3-ubyte.gz", R_OK) == 0) {
        *x = kiln_idx_read(k, "../shared/data/mnist/t10k-images-idx3-ubyte.gz");
        *y = kiln_idx_read(k, "../shared/data/mnist/t10k-labels-idx1-ubyte.gz");
    } else {
        kiln_digits(k, 4000, 1, x, y);
    }
    *x = kiln_slice(kiln_div(kiln_cast(*x, KILN_F32), 255.0), 0, 0, 4000, 1);
    *y = kiln_slice(kiln_cast(*y, KILN_I64), 0, 0, 4000, 1);
}

/* Losses of every step into `loss`; the accuracy on the test part. */
static double train(kiln *k, kiln_dataset *data, kiln_dataset *test, bool traced, float *loss)
{
    KILN_SCOPE(k);
    kiln_variable *chance = kiln_generator(k, 7); /* the same weights in both modes */
    Net net = {kiln_dense_new(k, 784, 100, chance), kiln_dense_new(k, 100, 10, chance), kiln_adam(k, 0.003)};
    kiln_function *fit = kiln_function_new(k, step, &net, &(kiln_function_options){
        .name = "fit", .inputs = {IMAGES(N), KILN_SPEC(KILN_I64, N)}});
    kiln_function *predict = kiln_function_new(k, probabilities, &net, &(kiln_function_options){
        .name = "predict", .inputs = {IMAGES(N)}});
    kiln_metric *right = kiln_accuracy_metric(k);
    kiln_eager(k, !traced);
    for (uint64_t epoch = 1; epoch <= 3; epoch++)
        for (kiln_batch b = kiln_batches(data, 32, epoch); kiln_next(&b);) {
            KILN_SCOPE(k);
            kiln_read(kiln_call(fit, b.x, b.y), loss++, sizeof *loss);
        }
    for (kiln_batch b = kiln_batches(test, 100, 0); kiln_next(&b);) {
        KILN_SCOPE(k);
        kiln_metric_update_labels(right, kiln_call(predict, b.x), b.y);
    }
    double accuracy = kiln_metric_result(right);
    kiln_function_free(fit);
    kiln_function_free(predict);
    return accuracy;
}

int main(void)
{
    enum { STEPS = 3 * 110 };
    static float loss[2][STEPS];
    kiln *k = kiln_open(NULL);
    {
        KILN_SCOPE(k);
        kiln_tensor *x, *y;
        load(k, &x, &y);
        kiln_dataset *data = kiln_dataset_new(k, kiln_slice(x, 0, 0, 3520, 1), kiln_slice(y, 0, 0, 3520, 1));
        kiln_dataset *test = kiln_dataset_new(k, kiln_slice(x, 0, 3520, 4000, 1), kiln_slice(y, 0, 3520, 4000, 1));
        double eager = train(k, data, test, false, loss[0]), traced = train(k, data, test, true, loss[1]);
        if (kiln_failed(k)) return fprintf(stderr, "%s\n", kiln_error(k)->text), 1;
        fprintf(stderr, "accuracy %.3f eager, %.3f traced\n", eager, traced);
        printf("eager and traced losses are %s\n", memcmp(loss[0], loss[1], sizeof loss[0]) ? "DIFFERENT" : "equal bit for bit");
        printf("the loss %s\n", loss[1][STEPS - 1] < loss[1][0] / 2 ? "fell to less than half" : "did NOT fall");
        printf("more than 85 %% of the test images are read %s\n", eager > 0.85 && traced == eager ? "right" : "WRONG");
    }
    return kiln_close(k);
}
