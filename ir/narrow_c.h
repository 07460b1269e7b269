/* narrow_c: narrow.def as C: static inline float widen_f16(uint32_t x) and its kin, straight-line code that compilers turn into
 * vector loops. Relies on scalar_c.h. Never loops. */
#ifndef KILN_IR_NARROW_C_H
#define KILN_IR_NARROW_C_H

#include "scalar_c.h"

#include "scalar_paste.h"
#define NARROW_BEGIN(fn, from, to)            \
    static inline c_##to fn(const c_##from x) \
    {
#define LET(fn, name, type, expr) const c_##type v_##name = expr;
#define NARROW_END(fn, expr) \
    return expr;             \
    }
#include "narrow.def"
#undef NARROW_BEGIN
#undef LET
#undef NARROW_END
#include "scalar_undef.h"

#endif
