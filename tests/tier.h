/* tier: cases that run once for each tier of products. Relies on codegen/contract/ and cmocka. */
#ifndef KILN_TESTS_TIER_H
#define KILN_TESTS_TIER_H

#include "codegen/contract/contract_parts.h"

/* The number of the tier, of those that this CPU has, stands in `state`; 3 is the base, which integers may have anywhere. */
static inline int open_tier(void **state)
{
    int n, number = (int)(intptr_t)*state;
    const ContractTier *const *all = contract_tiers(&n);
    contract_use_tier(number == 3 ? &contract_base : all[MIN_OF(number, n - 1)]);
    return 0;
}

static inline int close_tier(void **state)
{
    (void)state;
    contract_use_tier(NULL);
    return 0;
}

#define ON_TIER(f, number) {#f " on tier " #number, f, open_tier, close_tier, (void *)number}

#endif
