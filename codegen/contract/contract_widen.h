/* contract_widen: narrow floats to f32 and back, compiled for the instruction set of the file that includes it. No include guard.
 */
#include "../../ir/narrow_c.h"
#include "../../runtime/dtype.h"

static void widen(int narrow, float *to, const void *from, int64_t stride, int64_t n)
{
    switch (narrow) {
#define DTYPE_NARROW(t, tag, c, ...)                                          \
    case DT_##t: {                                                            \
        const c *x = from;                                                    \
        if (stride == 1)                                                      \
            for (int64_t i = 0; i < n; i++) to[i] = widen_##t(x[i]);          \
        else                                                                  \
            for (int64_t i = 0; i < n; i++) to[i] = widen_##t(x[i * stride]); \
        break;                                                                \
    }
#include "../../runtime/dtype.def"
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
