/* tiers: finds out at first use which kernels this CPU runs. Relies on kernels.h. */
#include "../eager.h"
#include "kernels.h"

#include <stdatomic.h>
#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>

/* clang's __builtin_cpu_supports does not know this feature. */
static bool has_f16c(void)
{
    unsigned a, b, c = 0, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C) != 0;
}
#endif

static _Atomic(const Kernels *) chosen;

const Kernels *const *eager_tiers(int *count)
{
    static const Kernels *const all[] = {
        &kernels_base,
#if defined(__x86_64__) || defined(__i386__)
        &kernels_avx2,
        &kernels_avx512,
#endif
    };
    *count = 1;
#if defined(__x86_64__) || defined(__i386__)
    if (!cpu_has_fma() || !has_f16c()) return all;
    *count = 2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq"))
        *count = 3;
#endif
    return all;
}

static const Kernels *best(void)
{
    int n;
    const Kernels *const *all = eager_tiers(&n);
    return all[n - 1];
}

/* Two threads that come here first at the same time store the same pointer. */
const Kernels *eager_kernels(void)
{
    const Kernels *k = atomic_load_explicit(&chosen, memory_order_acquire);
    if (UNLIKELY(!k)) {
        k = best();
        atomic_store_explicit(&chosen, k, memory_order_release);
    }
    return k;
}

void eager_use_tier(const Kernels *k) { atomic_store_explicit(&chosen, k ? k : best(), memory_order_release); }

const char *eager_tier(void) { return eager_kernels()->name; }
