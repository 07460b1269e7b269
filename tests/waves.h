/* waves: a function that takes a while to compile. */
#ifndef KILN_TESTS_WAVES_H
#define KILN_TESTS_WAVES_H

#include <kiln/kiln.h>

/* user: a number that makes functions differ. */
static inline void waves(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_variable *x = kiln_local(k, in[0]);
    for (int i = 0; i < 12; i++) kiln_assign(x, kiln_add(kiln_sin(kiln_value(x)), kiln_tanh(kiln_mul(kiln_value(x), 0.25 * i))));
    KILN_FOR(k, i, 3) kiln_assign(x, kiln_mul(kiln_value(x), kiln_cos(kiln_value(x))));
    out[0] = kiln_add(kiln_value(x), (double)(intptr_t)user);
}

static inline kiln_function *waves_new(kiln *k, int number)
{
    return kiln_function_new(k, waves, (void *)(intptr_t)number, &(kiln_function_options){.name = "waves", .inputs_count = 1});
}

#endif
