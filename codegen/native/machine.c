/* machine: the CPU that this process runs on: what lowering asks about it, known without LLVM. */
#include "machine.h"

#include "../../ir/scalar.h"

bool native_target(Target *t, Status *st)
{
    (void)st;
#if defined(__x86_64__)
    const bool wide = __builtin_cpu_supports("avx2");
#else
    const bool wide = false;
#endif
    *t = cpu_target(wide ? 32 : 16, cpu_has_fma());
    return true;
}
