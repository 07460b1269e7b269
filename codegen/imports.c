/* imports: what compiled code may call outside of itself: libm, and what LLVM makes of copies and of filling. A fixed list, so that
 * nothing else of the process can be reached by name. Relies on ir/math.def. */
#include "imports.h"

#include "../ir/scalar.h"

#include <math.h>

#define ADDRESS(fn)                  \
    {                                \
#fn, (void *)(uintptr_t)(fn) \
    }
static const struct {
    const char *name;
    void *address;
} more[] = {
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

static void *math_address(uint32_t fn)
{
    return math_info[fn].args == 2 ? (void *)(uintptr_t)math_info[fn].f64_2 : (void *)(uintptr_t)math_info[fn].f64;
}

uint32_t import_count(void) { return FN_COUNT + (uint32_t)COUNT_OF(more); }

const char *import_name(uint32_t which) { return which < FN_COUNT ? math_info[which].name : more[which - FN_COUNT].name; }

void *import_address(uint32_t which) { return which < FN_COUNT ? math_address(which) : more[which - FN_COUNT].address; }

uint32_t import_find(const char *name)
{
    for (uint32_t i = 0; i < import_count(); i++)
        if (strcmp(import_name(i), name) == 0) return import_address(i) ? i : IMPORT_NONE;
    return IMPORT_NONE;
}
