/* random.h: generators and what is drawn from them. ops.h includes it; it compiles alone as C11 and C++17. */
#ifndef KILN_RANDOM_H
#define KILN_RANDOM_H

#include "core.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A generator is a u64[2] variable (key, counter) that each draw advances. */
KILN_API kiln_variable *kiln_generator_at(kiln_site at, kiln *k, uint64_t seed);
/* KILN_ZEROS takes the place of a generator where a layer is made (nn.h): its weights start at 0. Two such layers in a row never
 * learn. */
#define KILN_ZEROS kiln_zero_start()
KILN_API kiln_variable *kiln_zero_start(void);
/* Key u64[2] to u32[s] by Philox4x32-10 (Salmon et al. 2011): element i is word i mod 4 of block i / 4. */
KILN_API kiln_tensor *kiln_random_bits_at(kiln_site at, kiln_operand key, kiln_shape s);
/* Floats in [lo, hi), from 24 random bits each (f64: 53); the interval must hold a number of the dtype. */
KILN_API kiln_tensor *kiln_uniform_at(kiln_site at, kiln_variable *generator, kiln_dtype t, kiln_shape s, double lo, double hi);
/* Normally distributed floats (Box and Muller 1958). */
KILN_API kiln_tensor *kiln_normal_at(kiln_site at, kiln_variable *generator, kiln_dtype t, kiln_shape s, double mean,
    double deviation);

/* A generator of its own, whose stream depends on the given one's seed and on the number alone: parts of a work that are done side
 * by side, or once more, draw the same however much was drawn before. (JAX: fold_in.) Not in a traced function. */
KILN_API kiln_variable *kiln_generator_fold_at(kiln_site at, kiln_variable *generator, uint64_t number);

/* ---- integers and order: made of the words by integer arithmetic alone, so that every target and mode draws the same ------------ */
/* Integers in [lo, hi), of an integer dtype that holds them. No value is likelier than another by more than a part in 2^64. */
KILN_API kiln_tensor *kiln_randint_at(kiln_site at, kiln_variable *generator, kiln_dtype t, kiln_shape s, int64_t lo, int64_t hi);
/* Bools, true with probability p: a number in [0, 1], or floats that broadcast to s. A size of -1 in s, here and below, is that of
 * the parameter's axis. p counts in steps of 2^-32 (of f64: 2^-53); a tensor's element below 0, or NaN, is never true, one above 1
 * always. No gradient. */
KILN_API kiln_tensor *kiln_bernoulli_at(kiln_site at, kiln_variable *generator, kiln_operand p, kiln_shape s);
/* The numbers 0 to n - 1 in random order, i64[n]. */
KILN_API kiln_tensor *kiln_permutation_at(kiln_site at, kiln_variable *generator, int64_t n);
/* x with its slices along the axis in random order, any dtype; gradient to x. The axis may be a bounded size. */
KILN_API kiln_tensor *kiln_shuffle_at(kiln_site at, kiln_variable *generator, kiln_operand x, int axis);
/* `count` slices of x along the axis, drawn at random: all alike if weights is NULL, else with probabilities in proportion to the
 * weights, floats [size of the axis], which are not negative (drawn as kiln_categorical does). how is 0, or KILN_DISTINCT: no slice
 * twice, and count at most the size. Gradient to x. */
#define KILN_DISTINCT 8
KILN_API kiln_tensor *kiln_choice_at(kiln_site at, kiln_variable *generator, kiln_operand x, int64_t count, int axis,
    kiln_operand weights, int how);

/* ---- floats through logarithms and the like: the same on every target with FMA, and in every mode -------------------------------
 * Location and scale are numbers; where they are to be learnt, draw with 0 and 1 and compute location + scale * draw, through which
 * gradients flow (as they do of kiln_uniform and kiln_normal). */
/* `count` classes per row of the last axis, i64 [..., count]: class i with a probability in proportion to exp(logits[i]) (Gumbel's
 * maxima: it takes count times the classes; of ONNX: Multinomial). how is 0, or KILN_DISTINCT: no class twice in a row, as if drawn
 * one after the other (Kool et al. 2019), and count at most the number of classes. A class of minus infinity comes only where
 * KILN_DISTINCT leaves no other. No gradient. */
KILN_API kiln_tensor *kiln_categorical_at(kiln_site at, kiln_variable *generator, kiln_operand logits, int64_t count, int how);
/* Density rate e^(-rate x) for x > 0; above 0, and at most 16.7 / rate (f64: 36.8 / rate). */
KILN_API kiln_tensor *kiln_exponential_at(kiln_site at, kiln_variable *generator, kiln_dtype t, kiln_shape s, double rate);
/* location - scale log(E), where E is exponential with rate 1. */
KILN_API kiln_tensor *kiln_gumbel_at(kiln_site at, kiln_variable *generator, kiln_dtype t, kiln_shape s, double location,
    double scale);
KILN_API kiln_tensor *kiln_laplace_at(kiln_site at, kiln_variable *generator, kiln_dtype t, kiln_shape s, double location,
    double scale);
KILN_API kiln_tensor *kiln_logistic_at(kiln_site at, kiln_variable *generator, kiln_dtype t, kiln_shape s, double location,
    double scale);
KILN_API kiln_tensor *kiln_cauchy_at(kiln_site at, kiln_variable *generator, kiln_dtype t, kiln_shape s, double location,
    double scale);

/* ---- floats by trial and error: each element has words of its own for each try, so that one element's tries move no other's ------
 * In a trace the tries are one loop. There are at most 63, and the generator's counter moves by 64 whatever happens; an element that
 * none of them settled, one in 10^12 at most, takes the value named last. No gradient. 16-bit floats compute in f32. Parameters are
 * finite and above 0 (of poisson: 0 or more); elements of tensors that are not give NaN, of integers 0. */
/* Normally distributed floats that lie in [lo, hi], wherever that is (Robert 1995); the number of [lo, hi] that is nearest to the
 * mean. */
KILN_API kiln_tensor *kiln_truncated_normal_at(kiln_site at, kiln_variable *generator, kiln_dtype t, kiln_shape s, double mean,
    double deviation, double lo, double hi);
/* Density x^(a - 1) e^-x / gamma(a), where a, the concentration, is a number or floats that broadcast to s (Marsaglia and Tsang
 * 2000); a - 1/3, of a below 1 that of a + 1. Divide by a rate for another scale. Of small a many draws are below the smallest float
 * and 0; beta and dirichlet compute with their logarithms. */
KILN_API kiln_tensor *kiln_gamma_at(kiln_site at, kiln_variable *generator, kiln_dtype t, kiln_shape s, kiln_operand concentration);
/* Density in proportion to x^(a - 1) (1 - x)^(b - 1), from two draws of gamma; the counter moves by 128. */
KILN_API kiln_tensor *kiln_beta_at(kiln_site at, kiln_variable *generator, kiln_dtype t, kiln_shape s, kiln_operand a,
    kiln_operand b);
/* Rows along the last axis of s that are not negative and add up to 1, from draws of gamma. */
KILN_API kiln_tensor *kiln_dirichlet_at(kiln_site at, kiln_variable *generator, kiln_dtype t, kiln_shape s,
    kiln_operand concentration);
/* Counts with mean `rate`, a number or floats that broadcast to s, of an integer or float dtype: products of uniform numbers (Knuth)
 * below 10, from there on Hormann's PTRS (1993); floor(rate). Computed in f32, or f64 if the rate is f64, or a number and t is f64 or
 * the number above 2^16. A rate of f32 above 2^22 gives counts as coarse as f32. */
KILN_API kiln_tensor *kiln_poisson_at(kiln_site at, kiln_variable *generator, kiln_dtype t, kiln_shape s, kiln_operand rate);

/* x with each element set to 0 with probability rate and the others divided by 1 - rate. rate is a number in [0, 1) or a float
 * scalar in [0, 1]. A tensor outside [0, 1] counts as the nearest rate in it; a checked engine (kiln_gather) gives an error. */
KILN_API kiln_tensor *kiln_dropout_at(kiln_site at, kiln_operand x, kiln_operand rate, kiln_variable *generator);
/* kiln_dropout where training holds, else x: a C bool, of which false leaves the generator alone, or a bool scalar, which a traced
 * function may get as an argument (the generator moves then). */
KILN_API kiln_tensor *kiln_dropout_if_at(kiln_site at, kiln_operand x, kiln_operand rate, kiln_operand training,
    kiln_variable *generator);

#ifdef __cplusplus
}
#endif

/* ---- the calls as programs write them ---------------------------------------------------------------------------------- */
/* Made of the prototypes above by frontend/ops/calls.sh. */
#define kiln_generator(k, seed) kiln_generator_at(KILN_HERE, (k), (seed))
#define kiln_random_bits(key, s) kiln_random_bits_at(KILN_HERE, KILN_OPERAND(key), s)
#define kiln_uniform(generator, t, s, lo, hi) kiln_uniform_at(KILN_HERE, (generator), (t), s, (lo), (hi))
#define kiln_normal(generator, t, s, mean, deviation) kiln_normal_at(KILN_HERE, (generator), (t), s, (mean), (deviation))
#define kiln_generator_fold(generator, number) kiln_generator_fold_at(KILN_HERE, (generator), (number))
#define kiln_randint(generator, t, s, lo, hi) kiln_randint_at(KILN_HERE, (generator), (t), s, (lo), (hi))
#define kiln_bernoulli(generator, p, s) kiln_bernoulli_at(KILN_HERE, (generator), KILN_OPERAND(p), s)
#define kiln_permutation(generator, n) kiln_permutation_at(KILN_HERE, (generator), (n))
#define kiln_shuffle(generator, x, axis) kiln_shuffle_at(KILN_HERE, (generator), KILN_OPERAND(x), (axis))
#define kiln_choice(generator, x, count, axis, weights, how) kiln_choice_at(KILN_HERE, (generator), KILN_OPERAND(x), (count), (axis), KILN_OPERAND(weights), (how))
#define kiln_categorical(generator, logits, count, how) kiln_categorical_at(KILN_HERE, (generator), KILN_OPERAND(logits), (count), (how))
#define kiln_exponential(generator, t, s, rate) kiln_exponential_at(KILN_HERE, (generator), (t), s, (rate))
#define kiln_gumbel(generator, t, s, location, scale) kiln_gumbel_at(KILN_HERE, (generator), (t), s, (location), (scale))
#define kiln_laplace(generator, t, s, location, scale) kiln_laplace_at(KILN_HERE, (generator), (t), s, (location), (scale))
#define kiln_logistic(generator, t, s, location, scale) kiln_logistic_at(KILN_HERE, (generator), (t), s, (location), (scale))
#define kiln_cauchy(generator, t, s, location, scale) kiln_cauchy_at(KILN_HERE, (generator), (t), s, (location), (scale))
#define kiln_truncated_normal(generator, t, s, mean, deviation, lo, hi) kiln_truncated_normal_at(KILN_HERE, (generator), (t), s, (mean), (deviation), (lo), (hi))
#define kiln_gamma(generator, t, s, concentration) kiln_gamma_at(KILN_HERE, (generator), (t), s, KILN_OPERAND(concentration))
#define kiln_beta(generator, t, s, a, b) kiln_beta_at(KILN_HERE, (generator), (t), s, KILN_OPERAND(a), KILN_OPERAND(b))
#define kiln_dirichlet(generator, t, s, concentration) kiln_dirichlet_at(KILN_HERE, (generator), (t), s, KILN_OPERAND(concentration))
#define kiln_poisson(generator, t, s, rate) kiln_poisson_at(KILN_HERE, (generator), (t), s, KILN_OPERAND(rate))
#define kiln_dropout(x, rate, generator) kiln_dropout_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(rate), (generator))
#define kiln_dropout_if(x, rate, training, generator) kiln_dropout_if_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(rate), KILN_OPERAND(training), (generator))

#endif
