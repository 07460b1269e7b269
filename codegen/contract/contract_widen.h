/* contract_widen: floats and integers that f32 holds to f32, and narrow floats back, compiled for the instruction set of the file
 * that includes it. No include guard.
 */
#include "../../ir/narrow_c.h"
#include "../../runtime/dtype.h"

static void widen(int narrow, void *to, const void *from, int64_t stride, int64_t n)
{
    switch (narrow) {
#define WIDEN(t, c, VALUE)                                                           \
    case DT_##t: {                                                                   \
        const c *x = from;                                                           \
        if (stride == 1)                                                             \
            for (int64_t i = 0; i < n; i++) ((float *)to)[i] = VALUE(x[i]);          \
        else                                                                         \
            for (int64_t i = 0; i < n; i++) ((float *)to)[i] = VALUE(x[i * stride]); \
        break;                                                                       \
    }
#define DTYPE_NARROW(t, tag, c, ...) WIDEN(t, c, widen_##t)
#include "../../runtime/dtype.def"
        WIDEN(i8, int8_t, (float))
        WIDEN(u8, uint8_t, (float))
        WIDEN(i16, int16_t, (float))
        WIDEN(u16, uint16_t, (float))
#undef WIDEN
    default: break;
    }
}

static void narrow(int type, void *to, const float *from, int64_t n)
{
    switch (type) {
#define DTYPE_NARROW(t, tag, c, ...)                                           \
    case DT_##t:                                                               \
        for (int64_t i = 0; i < n; i++) ((c *)to)[i] = (c)narrow_##t(from[i]); \
        break;
#include "../../runtime/dtype.def"
    default: break;
    }
}
