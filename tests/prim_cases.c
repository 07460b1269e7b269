/* prim_cases: see prim_cases.h. */
#include "prim_cases.h"

#include <math.h>

/* What scale takes is not any two floats: test_cpu.c has it alone. */
bool prim_takes(Prim p, DType t)
{
    if (p == P_scale) return false;
    return p == P_mulhi ? t == DT_u32 || t == DT_u64 : domain_has(prim_info[p].domain, t);
}

bool prim_gives(Prim p, DType t, DType to)
{
    if (dtype_info[to].compute != to) return false;
    if (prim_info[p].result == 'B') return to == DT_bool;
    if (p == P_bits || p == P_floatbits) {
        DType f = p == P_bits ? t : to, i = p == P_bits ? to : t;
        return dtype_is_float(f) && dtype_is_int(i) && dtype_bytes(f) == dtype_bytes(i);
    }
    return p == P_cvt || to == t;
}

void prim_edges(DType t, void *to)
{
    static const double f[EDGES] = {0.0, -0.0, 1, -1, 0.5, 1.5, 2.5, -2.5, 3, 127.5, 255, 256, -129,
        32768, 65536, 2147483647.0, 2147483648.0, -2147483649.0, 4294967295.0, 4294967296.0,
        9007199254740993.0, 9223372036854775808.0, -9223372036854777856.0, 18446744073709551616.0,
        1e30, -1e30, 0x1p-126, 0x1p-149, -0x1.8p-148, 0x1.fffffep127, 0x1p23, 0x1.000002p22,
        HUGE_VAL, -HUGE_VAL, (double)NAN, 1e-5, 0.1, 7.3, -0.3, 0x1p-1074};
    static const int64_t i[EDGES] = {0, 1, 2, 3, 7, 8, 15, 31, 32, 63, 64, 100, -1, -2, -7,
        INT8_MIN, INT8_MAX, INT16_MIN, INT16_MAX, INT32_MIN, INT32_MAX, INT64_MIN, INT64_MAX,
        0x5bd1e995, 0x123456789abcdef, 5, 6, 9, 10, 11, 12, 13, 14, 16, 17, 18, 19, 20, 21, 22};
    for (int k = 0; k < EDGES; k++) {
        char *at = (char *)to + (size_t)k * dtype_bytes(t);
        if (dtype_is_float(t))
            dtype_store_f64(t, at, f[k]);
        else
            dtype_store_i64(t, at, t == DT_bool ? i[k] & 1 : i[k]);
    }
}
