/* test_bitcast: the bits of elements as those of another dtype of their width: every pair in eager code (all tiers), ref, LLVM and CUDA text on
 * the host against the bytes in memory, folding, and the public function, eagerly and compiled. */
#include "graph_run.h" /* before values.h, whose engine has the name of parameters in there */

#include "values.h"

#include "all_modes.h"
#include "ir/fold.h"
#include "prim_cases.h"
#include "random_graph.h"

enum { MANY = 1500 };

static bool pair(int from, int to) { return dtype_bytes((DType)from) == dtype_bytes((DType)to) && (to != DT_bool || from == DT_bool); }

typedef struct Bits {
    Arena arena;
    const void *in[DT_COUNT - 1];
    Status st;
    uint64_t compared, wrong;
} Bits;

/* Any bits, but those of signalling NaNs, which come quiet where floats are computed with. */
static void *elements(Arena *a, DType t)
{
    const size_t bytes = dtype_bytes(t);
    char *all = arena_zeros(a, MANY, bytes);
    Random r = {t};
    prim_edges(t, all);
    for (int i = 0; i < MANY; i++) {
        char *at = all + (size_t)i * bytes;
        uint64_t u = random_next(&r);
        if (t == DT_bool) u &= 1;
        if (i >= EDGES) memcpy(at, &u, bytes);
        if (!dtype_is_float(t) || !isnan(dtype_load_f64(t, at))) continue;
        dtype_store_f64(t, at, (double)NAN);
    }
    return all;
}

static Module *make_module(Arena *a)
{
    Status st = {0};
    Module *m = module_new(a);
    Graph *g = graph_new(m, "main");
    Value x[DT_COUNT];
    for (int t = 1; t < DT_COUNT; t++) x[t] = graph_param(g, &(Type){.dtype = (uint8_t)t, .rank = 1, .dim = {MANY}}, (Loc){0});
    for (int from = 1; from < DT_COUNT; from++)
        for (int to = 1; to < DT_COUNT; to++)
            if (pair(from, to)) graph_result(g, graph_append(g, OP_bitcast, &x[from], 1, (int64_t[]){to}, 1, (Loc){0}, &st));
    return m;
}

/* Bits that are a signalling NaN as a float may be those of the quiet one. */
static bool same_bits(DType to, const void *have, const void *want)
{
    const size_t bytes = dtype_bytes(to);
    if (memcmp(have, want, bytes) == 0) return true;
    return dtype_is_float(to) && isnan(dtype_load_f64(to, have)) && isnan(dtype_load_f64(to, want));
}

static void compare_all(void *user, const char *mode, void *const *result)
{
    Bits *c = user;
    int r = 0;
    for (int from = 1; from < DT_COUNT; from++)
        for (int to = 1; to < DT_COUNT; to++) {
            if (!pair(from, to)) continue;
            const size_t bytes = dtype_bytes((DType)to);
            const char *have = result[r++], *want = c->in[from - 1];
            for (int64_t i = 0; i < MANY; i++, have += bytes, want += bytes) {
                c->compared++;
                if (same_bits((DType)to, have, want) || c->wrong++ > 20) continue;
                uint64_t h = 0, w = 0;
                memcpy(&h, have, bytes), memcpy(&w, want, bytes);
                print_error("%s: %s 0x%llx as %s gives 0x%llx\n", mode, dtype_info[from].name, (unsigned long long)w, dtype_info[to].name,
                            (unsigned long long)h);
            }
        }
}

static void by_folding(Bits *c)
{
    for (int from = 1; from < DT_COUNT; from++)
        for (int to = 1; to < DT_COUNT; to++)
            for (int64_t i = 0; i < MANY && pair(from, to); i += 7) {
                const char *at = (const char *)c->in[from - 1] + (size_t)i * dtype_bytes((DType)from);
                const bool f = dtype_is_float((DType)from);
                if (dtype_is_float((DType)to) && isnan(dtype_load_f64((DType)to, at))) continue; /* not folded */
                if (f && isnan(dtype_load_f64((DType)from, at))) continue;
                const Scalar x = f ? (Scalar){.f = dtype_load_f64((DType)from, at)} : (Scalar){.i = dtype_load_i64((DType)from, at)};
                const Scalar y = scalar_bitcast((DType)from, (DType)to, x);
                uint64_t room = 0;
                if (dtype_is_float((DType)to))
                    dtype_store_f64((DType)to, &room, y.f);
                else
                    dtype_store_i64((DType)to, &room, y.i);
                c->compared++;
                c->wrong += memcmp(&room, at, dtype_bytes((DType)to)) != 0;
            }
}

static void cast_everything(void *arg)
{
    Bits *c = arg;
    for (int t = 1; t < DT_COUNT; t++) c->in[t - 1] = elements(&c->arena, (DType)t);
    all_modes(&c->arena, make_module, c->in, compare_all, c);
    by_folding(c);
}

static void every_pair_keeps_the_bits(void **state)
{
    (void)state;
    static Bits c;
    arena_init(&c.arena);
    if (!arena_try(&c.arena, &c.st, cast_everything, &c)) fail_msg("%s", c.st.text);
    arena_free(&c.arena);
    print_message("    %llu elements compared\n", (unsigned long long)c.compared);
    assert_true(c.compared > 100000);
    if (c.wrong != 0) fail_msg("%llu are wrong", (unsigned long long)c.wrong);
}

/* ---- the public function --------------------------------------------------------------------- */

/* The next float above a positive one, and the sign of any, by its bits. */
KILN_FUNCTION(neighbours, engine, x)
{
    (void)engine;
    kiln_tensor *bits = kiln_bitcast(x, KILN_I32);
    return kiln_stack(KILN_IN(kiln_bitcast(kiln_add(bits, 1), KILN_F32), kiln_cast(kiln_shr(bits, 31), KILN_F32),
                              kiln_bitcast(kiln_bitcast(bits, KILN_U32), KILN_F32)), 0);
}

static void bits_are_computed_with(void **state)
{
    (void)state;
    for (int eager = 0; eager < 2; eager++) {
        KILN_SCOPE(k);
        kiln_eager(k, eager);
        kiln_tensor *x = kiln_f32(k, KILN_SHAPE(3), 1, -2, 0.25);
        EXACTLY(neighbours(k, x), KILN_F32, KILN_SHAPE(3, 3), 1 + 0x1p-23, -2 - 0x1p-22, 0.25 + 0x1p-25, 0, -1, 0, 1, -2, 0.25);
    }
    kiln_eager(k, false);
    KILN_SCOPE(k);
    EXACTLY(kiln_bitcast(kiln_transpose(kiln_f32(k, KILN_SHAPE(1, 2), 1, -2), KILN_AXES(1, 0)), KILN_U32), KILN_U32, KILN_SHAPE(2, 1), 0x3f800000,
            0xc0000000);
    EXACTLY(kiln_bitcast(kiln_cast(kiln_f32(k, KILN_SHAPE(2), 1, -2), KILN_F16), KILN_I16), KILN_I16, KILN_SHAPE(2), 0x3c00, -0x4000);
    EXACTLY(kiln_bitcast(kiln_bool(k, KILN_SHAPE(2), 1, 0), KILN_U8), KILN_U8, KILN_SHAPE(2), 1, 0);
    EXACTLY(kiln_bitcast(kiln_f64(k, KILN_SHAPE(), 1), KILN_F64), KILN_F64, KILN_SHAPE(), 1);
    has_shape(kiln_bitcast(kiln_zeros(k, KILN_F64, KILN_SHAPE(0, 3)), KILN_I64), KILN_I64, KILN_SHAPE(0, 3));
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_f32(k, KILN_SHAPE(2), 1, 2);
    FAILS(kiln_bitcast(x, KILN_I64), KILN_EDTYPE, "bitcast: f32[2] has elements of 4 bytes, those of i64 have 8");
    FAILS(kiln_bitcast(kiln_cast(x, KILN_U8), KILN_BOOL), KILN_EDTYPE, "bitcast: not all bytes are bools, so u8[2] cannot be: compare it with 0");
    FAILS(kiln_bitcast(x, (kiln_dtype)99), KILN_EDTYPE, "bitcast: 99 is not a dtype");
    KILN_TAPE(k, tape);
    kiln_watch(tape, x);
    kiln_tensor *y = kiln_sum(kiln_bitcast(kiln_bitcast(x, KILN_I32), KILN_F32), KILN_ALL);
    EXACTLY(kiln_gradient(tape, y, x), KILN_F32, KILN_SHAPE(2), 0, 0); /* no gradient flows */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair_keeps_the_bits),
        ENGINE_TEST(bits_are_computed_with),
        ENGINE_TEST(what_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
