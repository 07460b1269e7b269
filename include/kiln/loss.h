/* loss.h: softmax, normalisation, losses. ops.h includes it and says what operands are; it compiles alone as C11 and C++17. */
#ifndef KILN_LOSS_H
#define KILN_LOSS_H

#include "core.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- normalisation and losses ------------------------------------------------------------------------------------------------ */
/* Softmax is exp(x - max) / sum, and NaN in a row of minus infinities alone. kiln_logsumexp removes the axis; such a row then gives
 * minus infinity, with gradient 0. */
KILN_API kiln_tensor *kiln_softmax_at(kiln_site at, kiln_operand x, int axis);
KILN_API kiln_tensor *kiln_log_softmax_at(kiln_site at, kiln_operand x, int axis);
KILN_API kiln_tensor *kiln_logsumexp_at(kiln_site at, kiln_operand x, int axis);
/* (x - mean) / sqrt(variance + epsilon) over the last axis, times scale, plus shift (each is NULL or [last]); Ba et al. 2016.
 * epsilon 0 stands for 1e-5. The result is 0 where (x - mean)^2 exceeds the type that it is computed in (|x - mean| > 1.8e19 in
 * f32). */
KILN_API kiln_tensor *kiln_layernorm_at(kiln_site at, kiln_operand x, kiln_operand scale, kiln_operand shift, double epsilon);
/* The mean of the squared differences of all elements; the shapes are equal, or one operand is a number. */
KILN_API kiln_tensor *kiln_mse_at(kiln_site at, kiln_operand prediction, kiln_operand target);
/* The mean over the batch of -log softmax(logits)[label]. logits are [n, classes]; labels are integers [n], or probabilities [n,
 * classes] of the logits' dtype. A row whose label lies outside [0, classes) takes no part: the mean is over the other rows, and no
 * gradient flows to it (a checked engine gives an error, see kiln_gather). If no row counts, the loss is 0. A class of probability
 * 0 whose logit is minus infinity adds nothing. */
KILN_API kiln_tensor *kiln_cross_entropy_at(kiln_site at, kiln_operand logits, kiln_operand labels);
/* sqrt(sum(x * x)) over all elements, right even where squares leave the range; the gradient at 0 is 0. Compiled or recorded code
 * passes over x twice. */
KILN_API kiln_tensor *kiln_norm_at(kiln_site at, kiln_operand x);

#ifdef __cplusplus
}
#endif

/* ---- the calls as programs write them ---------------------------------------------------------------------------------- */
/* Made of the prototypes above by frontend/ops/calls.sh. */
#define kiln_softmax(x, axis) kiln_softmax_at(KILN_HERE, KILN_OPERAND(x), (axis))
#define kiln_log_softmax(x, axis) kiln_log_softmax_at(KILN_HERE, KILN_OPERAND(x), (axis))
#define kiln_logsumexp(x, axis) kiln_logsumexp_at(KILN_HERE, KILN_OPERAND(x), (axis))
#define kiln_layernorm(x, scale, shift, epsilon) kiln_layernorm_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(scale), KILN_OPERAND(shift), (epsilon))
#define kiln_mse(prediction, target) kiln_mse_at(KILN_HERE, KILN_OPERAND(prediction), KILN_OPERAND(target))
#define kiln_cross_entropy(logits, labels) kiln_cross_entropy_at(KILN_HERE, KILN_OPERAND(logits), KILN_OPERAND(labels))
#define kiln_norm(x) kiln_norm_at(KILN_HERE, KILN_OPERAND(x))

#endif
