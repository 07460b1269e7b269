/* test_given_loss: losses and normalisation (loss.h) against PyTorch's (tests/given/loss.py). */
#include "given.h"

#define CLASSES(w) &(kiln_class_loss){.how = (kiln_loss_how)I(0), .ignores = I(1), .ignore = (int64_t)N(2), .smoothing = N(3), .axis = I(4), .weight = (w)}
#define HOW ((kiln_loss_how)I(0))
GIVEN(class_loss, kiln_softmax_cross_entropy(X(0), X(1), CLASSES(NULL)))
GIVEN(class_loss_weighed, kiln_softmax_cross_entropy(X(0), X(1), CLASSES(X(2))))
GIVEN(nll, kiln_nll(X(0), X(1), CLASSES(X(2))))
GIVEN(class_loss_soft, kiln_softmax_cross_entropy(X(0), X(1), &(kiln_class_loss){.how = HOW, .smoothing = N(1), .axis = I(2), .weight = X(2)}))
GIVEN(l1, kiln_l1(X(0), X(1), HOW))
GIVEN(huber, kiln_huber(X(0), X(1), 0.75, HOW))
GIVEN(smooth_l1, kiln_smooth_l1(X(0), X(1), 0.75, HOW))
GIVEN(hinge, kiln_hinge(X(0), X(1), HOW))
GIVEN(binary, kiln_binary_cross_entropy(X(0), X(1), HOW))
GIVEN(binary_logits, kiln_binary_cross_entropy_with_logits(X(0), X(1), NULL, HOW))
GIVEN(binary_weighed, kiln_binary_cross_entropy_with_logits(X(0), X(1), X(2), HOW))
GIVEN(kl, kiln_kl_div(X(0), X(1), false, HOW))
GIVEN(kl_log, kiln_kl_div(X(0), X(1), true, HOW))
GIVEN(poisson_log, kiln_poisson_nll(X(0), X(1), true, false, HOW))
GIVEN(poisson_full, kiln_poisson_nll(X(0), X(1), false, true, HOW))
GIVEN(cosine, kiln_cosine_similarity(X(0), X(1), I(0), 0))
GIVEN(embedding, kiln_cosine_embedding(X(0), X(1), X(2), N(1), HOW))
GIVEN(triplet, kiln_triplet_margin(X(0), X(1), X(2), N(1), HOW))
GIVEN(ranking, kiln_margin_ranking(X(0), X(1), X(2), N(1), HOW))
GIVEN(layer, kiln_layernorm_axes(X(0), KILN_AXES(I(0), I(1)), X(1), X(2), N(2)))
GIVEN(layer_plain, kiln_layernorm_axes(X(0), KILN_AXES(I(0)), NULL, NULL, N(1)))
GIVEN(rms, kiln_rmsnorm(X(0), KILN_AXES(I(0)), X(1), N(1)))
GIVEN(group, kiln_groupnorm(X(0), I(0), I(1), X(1), X(2), N(2)))
GIVEN(instance, kiln_instancenorm(X(0), I(0), X(1), X(2), N(1)))
GIVEN(batch, kiln_batchnorm(X(0), X(1), X(2), X(3), X(4), I(0), N(1)))
GIVEN(unit, kiln_normalize(X(0), N(0), I(1), 0))
GIVEN(local_response, kiln_local_response_norm(X(0), (int64_t)N(0), I(1), 0.25, 0.75, 1.5))
GIVEN(hardmax, kiln_hardmax(X(0), I(0)))
static void batch_training(const Given *g, kiln_tensor **out) { out[0] = kiln_batchnorm_training(X(0), X(1), X(2), I(0), N(1), &out[1], &out[2]); }

/* Operands whose first axes must agree have theirs known in a trace; test_traced_ops opens both. */
#define TWO (GIVEN_GRAD | GIVEN_SIZED)
static const GivenRow rows[] = {ROW(class_loss, 8, TWO), ROW(class_loss_weighed, 8, TWO), ROW(nll, 8, TWO), ROW(class_loss_soft, 16, TWO), ROW(l1, 4, TWO),
    ROW(huber, 4, TWO), ROW(smooth_l1, 4, TWO), ROW(hinge, 4, TWO), ROW(binary, 16, TWO), ROW(binary_logits, 8, TWO), ROW(binary_weighed, 8, TWO), ROW(kl, 16, TWO),
    ROW(kl_log, 16, TWO), ROW(poisson_log, 8, TWO), ROW(poisson_full, 16, TWO), ROW(cosine, 8, TWO), ROW(embedding, 8, TWO), ROW(triplet, 16, TWO), ROW(ranking, 8, TWO),
    ROW(layer, 64, GIVEN_GRAD), ROW(layer_plain, 64, GIVEN_GRAD), ROW(rms, 8, GIVEN_GRAD), ROW(group, 64, GIVEN_GRAD), ROW(instance, 64, GIVEN_GRAD),
    ROW(batch, 8, GIVEN_GRAD), ROW(batch_training, 64, GIVEN_GRAD), ROW(unit, 4, GIVEN_GRAD), ROW(local_response, 8, GIVEN_GRAD), ROW(hardmax, 0, 0)};

GIVEN_MAIN("loss", rows)
