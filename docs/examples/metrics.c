/* A running mean over what comes in, and a running accuracy; the updates trace like everything
 * else. */
#include <kiln/nn.h>

static kiln_metric *mean;

KILN_FUNCTION(note, k, x)
{
    kiln_metric_update(mean, x);
    return x;
}

int main(void)
{
    kiln *k = kiln_open(NULL);
    {
        KILN_SCOPE(k);
        mean = kiln_mean_metric(k);
        kiln_metric_update(mean, 0.0);
        kiln_metric_update(mean, 5.0);
        printf("%g\n", kiln_metric_result(mean));
        kiln_metric_update(mean, kiln_f32(k, KILN_SHAPE(2), 8, 9));
        printf("%g\n", kiln_metric_result(mean));

        kiln_metric_reset(mean);
        note(k, kiln_scalar(k, KILN_F32, 0.0));
        note(k, kiln_scalar(k, KILN_F32, 5.0));
        printf("%g\n", kiln_metric_result(mean));
        note(k, kiln_f32(k, KILN_SHAPE(2), 8, 9));
        printf("%g\n", kiln_metric_result(mean));

        kiln_metric *right = kiln_accuracy_metric(k);
        kiln_tensor *logits = kiln_f32(k, KILN_SHAPE(2, 3), 0, 2, 1, 3, 0, 0);
        kiln_metric_update_labels(right, logits, kiln_i64(k, KILN_SHAPE(2), 1, 2));
        printf("%g\n", kiln_metric_result(right));
    }
    return kiln_close(k);
}
