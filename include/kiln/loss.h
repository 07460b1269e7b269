/* loss.h: softmax, normalisation, losses. ops.h includes it and says what operands are; it compiles alone as C11 and C++17. */
#ifndef KILN_LOSS_H
#define KILN_LOSS_H

#include "core.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- normalisation and losses ------------------------------------------------------------------------------------------------ */
/* Softmax is exp(x - max) / sum, and NaN in a row of minus infinities alone. kiln_logsumexp removes the axis; such a row then gives
 * minus infinity, with gradient 0, and so does one without elements. */
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

/* ---- more losses -------------------------------------------------------------------------------------------------------------
 * All compute 16-bit floats in f32 and round once. `how` says what comes of the losses of the elements: their mean (NaN of none),
 * their sum, themselves, or their sum divided by the size of the first axis. Prediction and target have equal shapes (one of them
 * may be a number) and promote. Gradients flow to both. */
typedef enum kiln_loss_how { KILN_LOSS_MEAN, KILN_LOSS_SUM, KILN_LOSS_EACH, KILN_LOSS_BATCH_MEAN } kiln_loss_how;
typedef struct kiln_class_loss {
    kiln_loss_how how;
    kiln_tensor *weight; /* floats [classes], by which the classes' losses are multiplied; NULL: 1 */
    int64_t ignore;      /* if .ignores: elements with this label do not count, whether it is a class or not */
    bool ignores;
    double smoothing;    /* in [0, 1): this part of an element's probability goes to all classes alike (Szegedy et al. 2016) */
    int axis;            /* of the classes; 0 stands for axis 1, or the only one */
} kiln_class_loss;
/* -log softmax(logits)[label] along the axis of classes, as ONNX's SoftmaxCrossEntropyLoss and PyTorch's cross_entropy. logits are
 * [n, classes, ...]; labels are integers, of that shape without the axis, or probabilities of the logits' shape and dtype. As in
 * kiln_cross_entropy an element whose label is no class takes no part. The mean of labels is weighed: the sum divided by that of the
 * weights of the labels that count, and 0 if there are none; that of probabilities is over all elements. options may be NULL. */
KILN_API kiln_tensor *kiln_softmax_cross_entropy_sized(kiln_site at, kiln_operand logits, kiln_operand labels,
    const kiln_class_loss *options, size_t size);
/* The same of logarithms of probabilities (kiln_log_softmax), as ONNX's NegativeLogLikelihoodLoss. */
KILN_API kiln_tensor *kiln_nll_sized(kiln_site at, kiln_operand log_probabilities, kiln_operand labels,
    const kiln_class_loss *options, size_t size);
/* |prediction - target| */
KILN_API kiln_tensor *kiln_l1_at(kiln_site at, kiln_operand prediction, kiln_operand target, kiln_loss_how how);
/* d^2 / 2 where |d| <= delta, else delta (|d| - delta / 2), with d = prediction - target and delta > 0 (Huber 1964). */
KILN_API kiln_tensor *kiln_huber_at(kiln_site at, kiln_operand prediction, kiln_operand target, double delta, kiln_loss_how how);
/* kiln_huber divided by its delta, beta; kiln_l1 if that is 0. */
KILN_API kiln_tensor *kiln_smooth_l1_at(kiln_site at, kiln_operand prediction, kiln_operand target, double beta, kiln_loss_how how);
/* max(0, 1 - prediction * target), with targets of -1 and 1; gradient 0 where that is 0. */
KILN_API kiln_tensor *kiln_hinge_at(kiln_site at, kiln_operand prediction, kiln_operand target, kiln_loss_how how);
/* -(t log p + (1 - t) log(1 - p)) with probabilities p, the prediction. Logarithms are at least -100, and their gradients 0 there. */
KILN_API kiln_tensor *kiln_binary_cross_entropy_at(kiln_site at, kiln_operand prediction, kiln_operand target, kiln_loss_how how);
/* The same with p = sigmoid(logits), right however large those are; the loss of targets of 1 is multiplied by pos_weight, which
 * broadcasts to the logits (NULL: 1). */
KILN_API kiln_tensor *kiln_binary_cross_entropy_with_logits_at(kiln_site at, kiln_operand logits, kiln_operand target,
    kiln_operand pos_weight, kiln_loss_how how);
/* target (log(target) - x), where x is the logarithm of the predicted probability, and 0 where the target is 0; with log_target the
 * target is a logarithm too (Kullback and Leibler 1951). A mean per row is KILN_LOSS_BATCH_MEAN. */
KILN_API kiln_tensor *kiln_kl_div_at(kiln_site at, kiln_operand x, kiln_operand target, bool log_target, kiln_loss_how how);
/* e^x - target x, or with log_input false x - target log(x + 1e-8); with full Stirling's target log(target) - target +
 * log(2 pi target) / 2 is added where the target is above 1. */
KILN_API kiln_tensor *kiln_poisson_nll_at(kiln_site at, kiln_operand x, kiln_operand target, bool log_input, bool full,
    kiln_loss_how how);
/* x.y / (max(|x|, epsilon) max(|y|, epsilon)) along the axis, which goes. epsilon 0 stands for 1e-8. The lengths are those of
 * kiln_layernorm's range: 1.8e19 in f32. */
KILN_API kiln_tensor *kiln_cosine_similarity_at(kiln_site at, kiln_operand x, kiln_operand y, int axis, double epsilon);
/* Along the last axis 1 - cosine_similarity where the target is 1, and max(0, cosine_similarity - margin) where it is -1. The target
 * has the shape of x without the last axis. */
KILN_API kiln_tensor *kiln_cosine_embedding_at(kiln_site at, kiln_operand x, kiln_operand y, kiln_operand target, double margin,
    kiln_loss_how how);
/* max(0, |anchor - positive| - |anchor - negative| + margin) along the last axis; 1e-6 is added to each difference, as in PyTorch,
 * so that the length has a slope. */
KILN_API kiln_tensor *kiln_triplet_margin_at(kiln_site at, kiln_operand anchor, kiln_operand positive, kiln_operand negative,
    double margin, kiln_loss_how how);
/* max(0, margin - target (x - y)), with targets of -1 and 1 */
KILN_API kiln_tensor *kiln_margin_ranking_at(kiln_site at, kiln_operand x, kiln_operand y, kiln_operand target, double margin,
    kiln_loss_how how);

/* ---- more normalisation: (x - mean) / sqrt(variance + epsilon), times scale, plus shift; epsilon 0 stands for 1e-5 ---------------
 * 16-bit floats compute in f32 and round once; scale and shift are floats or NULL, and the result promotes with them. Where
 * (x - mean)^2 exceeds f32 the result is 0, as kiln_layernorm's. Gradients flow to all tensors. A mean over nothing is NaN. */
/* Over any axes (KILN_AXES, KILN_ALL), as ONNX's LayerNormalization over the last ones; scale and shift broadcast to x. */
KILN_API kiln_tensor *kiln_layernorm_axes_at(kiln_site at, kiln_operand x, kiln_axes axes, kiln_operand scale, kiln_operand shift,
    double epsilon);
/* x / sqrt(mean(x^2) + epsilon) over the axes, times scale (Zhang and Sennrich 2019). */
KILN_API kiln_tensor *kiln_rmsnorm_at(kiln_site at, kiln_operand x, kiln_axes axes, kiln_operand scale, double epsilon);
/* Over all axes but the first, for each of the groups into which the axis of channels is cut (Wu and He 2018); scale and shift are
 * [channels]. kiln_instancenorm has a group per channel (Ulyanov et al. 2016). */
KILN_API kiln_tensor *kiln_groupnorm_at(kiln_site at, kiln_operand x, int64_t groups, int axis, kiln_operand scale,
    kiln_operand shift, double epsilon);
KILN_API kiln_tensor *kiln_instancenorm_at(kiln_site at, kiln_operand x, int axis, kiln_operand scale, kiln_operand shift,
    double epsilon);
/* With a given mean and variance [channels] along the axis of channels (Ioffe and Szegedy 2015, inference). */
KILN_API kiln_tensor *kiln_batchnorm_at(kiln_site at, kiln_operand x, kiln_operand mean, kiln_operand variance, kiln_operand scale,
    kiln_operand shift, int axis, double epsilon);
/* With those of x over all other axes, the variance divided by their number; unless NULL, *mean and *variance receive them, [channels]
 * in the type that is computed in. nn.h has a layer that keeps running means of them. */
KILN_API kiln_tensor *kiln_batchnorm_training_at(kiln_site at, kiln_operand x, kiln_operand scale, kiln_operand shift, int axis,
    double epsilon, kiln_tensor **mean, kiln_tensor **variance);
/* x / max(norm, epsilon) with the p-norm along the axis, p 1, 2 or INFINITY; epsilon 0 stands for 1e-12. Zeros stay zeros, as in
 * ONNX's LpNormalization, and have the gradient of x / epsilon. Powers of p = 2 are those of kiln_layernorm's range. */
KILN_API kiln_tensor *kiln_normalize_at(kiln_site at, kiln_operand x, double p, int axis, double epsilon);
/* x / (bias + alpha s / size)^beta, where s is the sum of the squares of the `size` elements around each along the axis of channels,
 * those outside left out: (size - 1) / 2 before it, rounded down, and size / 2 behind, as ONNX's LRN has it (Krizhevsky et al. 2012).
 * size is 1 to 1024, and that many passes over x in eager code. */
KILN_API kiln_tensor *kiln_local_response_norm_at(kiln_site at, kiln_operand x, int64_t size, int axis, double alpha, double beta,
    double bias);
/* 1 at the first largest element along the axis and 0 elsewhere, in x's dtype; no gradient. */
KILN_API kiln_tensor *kiln_hardmax_at(kiln_site at, kiln_operand x, int axis);

#ifdef __cplusplus
}
#endif

/* ---- the calls as programs write them ---------------------------------------------------------------------------------- */
/* options: &(kiln_class_loss){...} or NULL, whence variadic */
#define kiln_softmax_cross_entropy(logits, labels, ...) \
    kiln_softmax_cross_entropy_sized(KILN_HERE, KILN_OPERAND(logits), KILN_OPERAND(labels), __VA_ARGS__, sizeof(kiln_class_loss))
#define kiln_nll(log_probabilities, labels, ...) \
    kiln_nll_sized(KILN_HERE, KILN_OPERAND(log_probabilities), KILN_OPERAND(labels), __VA_ARGS__, sizeof(kiln_class_loss))
/* Made of the prototypes above by frontend/ops/calls.sh. */
#define kiln_softmax(x, axis) kiln_softmax_at(KILN_HERE, KILN_OPERAND(x), (axis))
#define kiln_log_softmax(x, axis) kiln_log_softmax_at(KILN_HERE, KILN_OPERAND(x), (axis))
#define kiln_logsumexp(x, axis) kiln_logsumexp_at(KILN_HERE, KILN_OPERAND(x), (axis))
#define kiln_layernorm(x, scale, shift, epsilon) kiln_layernorm_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(scale), KILN_OPERAND(shift), (epsilon))
#define kiln_mse(prediction, target) kiln_mse_at(KILN_HERE, KILN_OPERAND(prediction), KILN_OPERAND(target))
#define kiln_cross_entropy(logits, labels) kiln_cross_entropy_at(KILN_HERE, KILN_OPERAND(logits), KILN_OPERAND(labels))
#define kiln_norm(x) kiln_norm_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_l1(prediction, target, how) kiln_l1_at(KILN_HERE, KILN_OPERAND(prediction), KILN_OPERAND(target), (how))
#define kiln_huber(prediction, target, delta, how) kiln_huber_at(KILN_HERE, KILN_OPERAND(prediction), KILN_OPERAND(target), (delta), (how))
#define kiln_smooth_l1(prediction, target, beta, how) kiln_smooth_l1_at(KILN_HERE, KILN_OPERAND(prediction), KILN_OPERAND(target), (beta), (how))
#define kiln_hinge(prediction, target, how) kiln_hinge_at(KILN_HERE, KILN_OPERAND(prediction), KILN_OPERAND(target), (how))
#define kiln_binary_cross_entropy(prediction, target, how) kiln_binary_cross_entropy_at(KILN_HERE, KILN_OPERAND(prediction), KILN_OPERAND(target), (how))
#define kiln_binary_cross_entropy_with_logits(logits, target, pos_weight, how) kiln_binary_cross_entropy_with_logits_at(KILN_HERE, KILN_OPERAND(logits), KILN_OPERAND(target), KILN_OPERAND(pos_weight), (how))
#define kiln_kl_div(x, target, log_target, how) kiln_kl_div_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(target), (log_target), (how))
#define kiln_poisson_nll(x, target, log_input, full, how) kiln_poisson_nll_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(target), (log_input), (full), (how))
#define kiln_cosine_similarity(x, y, axis, epsilon) kiln_cosine_similarity_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y), (axis), (epsilon))
#define kiln_cosine_embedding(x, y, target, margin, how) kiln_cosine_embedding_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y), KILN_OPERAND(target), (margin), (how))
#define kiln_triplet_margin(anchor, positive, negative, margin, how) kiln_triplet_margin_at(KILN_HERE, KILN_OPERAND(anchor), KILN_OPERAND(positive), KILN_OPERAND(negative), (margin), (how))
#define kiln_margin_ranking(x, y, target, margin, how) kiln_margin_ranking_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y), KILN_OPERAND(target), (margin), (how))
#define kiln_layernorm_axes(x, axes, scale, shift, epsilon) kiln_layernorm_axes_at(KILN_HERE, KILN_OPERAND(x), axes, KILN_OPERAND(scale), KILN_OPERAND(shift), (epsilon))
#define kiln_rmsnorm(x, axes, scale, epsilon) kiln_rmsnorm_at(KILN_HERE, KILN_OPERAND(x), axes, KILN_OPERAND(scale), (epsilon))
#define kiln_groupnorm(x, groups, axis, scale, shift, epsilon) kiln_groupnorm_at(KILN_HERE, KILN_OPERAND(x), (groups), (axis), KILN_OPERAND(scale), KILN_OPERAND(shift), (epsilon))
#define kiln_instancenorm(x, axis, scale, shift, epsilon) kiln_instancenorm_at(KILN_HERE, KILN_OPERAND(x), (axis), KILN_OPERAND(scale), KILN_OPERAND(shift), (epsilon))
#define kiln_batchnorm(x, mean, variance, scale, shift, axis, epsilon) kiln_batchnorm_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(mean), KILN_OPERAND(variance), KILN_OPERAND(scale), KILN_OPERAND(shift), (axis), (epsilon))
#define kiln_batchnorm_training(x, scale, shift, axis, epsilon, mean, variance) kiln_batchnorm_training_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(scale), KILN_OPERAND(shift), (axis), (epsilon), (mean), (variance))
#define kiln_normalize(x, p, axis, epsilon) kiln_normalize_at(KILN_HERE, KILN_OPERAND(x), (p), (axis), (epsilon))
#define kiln_local_response_norm(x, size, axis, alpha, beta, bias) kiln_local_response_norm_at(KILN_HERE, KILN_OPERAND(x), (size), (axis), (alpha), (beta), (bias))
#define kiln_hardmax(x, axis) kiln_hardmax_at(KILN_HERE, KILN_OPERAND(x), (axis))

#endif
