/* imports: what compiled code may call outside of itself: roundings and remainders of libm, and what LLVM makes of copies and of
 * filling. A fixed list, so that nothing else of the process can be reached by name. */
#include "imports.h"

#include <math.h>

#define ADDRESS(fn)                  \
    {                                \
#fn, (void *)(uintptr_t)(fn) \
    }
static const struct {
    const char *name;
    void *address;
} list[] = {
    ADDRESS(fmod),
    ADDRESS(fmodf),
    ADDRESS(fma),
    ADDRESS(fmaf),
    ADDRESS(floor),
    ADDRESS(floorf),
    ADDRESS(ceil),
    ADDRESS(ceilf),
    ADDRESS(trunc),
    ADDRESS(truncf),
    ADDRESS(rint),
    ADDRESS(rintf),
    ADDRESS(memcpy),
    ADDRESS(memset),
    ADDRESS(memmove),
};

uint32_t import_count(void) { return (uint32_t)COUNT_OF(list); }

const char *import_name(uint32_t which) { return list[which].name; }

void *import_address(uint32_t which) { return list[which].address; }

uint32_t import_find(const char *name)
{
    for (uint32_t i = 0; i < import_count(); i++)
        if (strcmp(import_name(i), name) == 0) return i;
    return IMPORT_NONE;
}
