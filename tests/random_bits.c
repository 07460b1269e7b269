/* random_bits: bit casts of random graphs. Relies on random_graph.h. */
#include "random_graph.h"

static bool is_integer(const Type *t) { return dtype_is_int((DType)t->dtype); }

/* Of integers alone: the bits of a float that may err are anybody's, as are those of a NaN (test_bitcast.c has the others). */
Value maker_bits(Maker *k)
{
    static const DType same[][2] = {{DT_i8, DT_u8}, {DT_i16, DT_u16}, {DT_i32, DT_u32}, {DT_i64, DT_u64}};
    Value v = maker_pick(k, is_integer);
    if (v == 0) v = maker_want(k, &(Type){.dtype = DT_i32, .rank = 1, .dim = {4}});
    const uint8_t own = v == 0 ? DT_NONE : graph_type(k->g, v)->dtype;
    for (size_t i = 0; i < COUNT_OF(same) * 2; i++)
        if (same[i / 2][i % 2] == own) return maker_append(k, OP_bitcast, &v, 1, (int64_t[]){same[i / 2][1 - i % 2]}, 1, k->size.at[v]);
    return 0;
}
