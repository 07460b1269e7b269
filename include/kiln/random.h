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
/* x with each element set to 0 with probability rate and the others divided by 1 - rate. rate is a number in [0, 1) or a float
 * scalar in [0, 1]. A tensor outside [0, 1] counts as the nearest rate in it; a checked engine (kiln_gather) gives an error. */
KILN_API kiln_tensor *kiln_dropout_at(kiln_site at, kiln_operand x, kiln_operand rate, kiln_variable *generator);

#ifdef __cplusplus
}
#endif

/* ---- the calls as programs write them ---------------------------------------------------------------------------------- */
/* Made of the prototypes above by frontend/ops/calls.sh. */
#define kiln_generator(k, seed) kiln_generator_at(KILN_HERE, (k), (seed))
#define kiln_random_bits(key, s) kiln_random_bits_at(KILN_HERE, KILN_OPERAND(key), s)
#define kiln_uniform(generator, t, s, lo, hi) kiln_uniform_at(KILN_HERE, (generator), (t), s, (lo), (hi))
#define kiln_normal(generator, t, s, mean, deviation) kiln_normal_at(KILN_HERE, (generator), (t), s, (mean), (deviation))
#define kiln_dropout(x, rate, generator) kiln_dropout_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(rate), (generator))

#endif
