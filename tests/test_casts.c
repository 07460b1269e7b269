/* test_casts: every cast between two dtypes rounds once, in eager code (all tiers), constant folding, LLVM, CUDA text on the host and ref,
 * against a model that knows numbers as integers times powers of two; and so do numbers given in C and in text. */
#include "graph_run.h" /* before values.h, whose engine has the name of parameters in there */

#include "values.h"

#include <fenv.h>

#include "all_modes.h"
#include "ir/fold.h"
#include "ir/text.h"
#include "prim_cases.h"
#include "random_graph.h"

enum { MANY = 1500 };

/* ---- the model ------------------------------------------------------------------------------- */

typedef struct Exact { /* (-1)^minus * m * 2^e */
    bool minus, nan, inf;
    uint64_t m;
    int e;
} Exact;

typedef struct Format {
    int digits, least, most, bits; /* of the significand; exponents of normal numbers, but for `finite` ones; of all */
    bool finite;                   /* no infinity: the numbers go on where it would be; all bits of exponent and fraction set: NaN */
} Format;

static Format format_of(DType t)
{
    switch (t) {
    case DT_f8_e4m3: return (Format){4, -6, 7, 8, true};
    case DT_f8_e5m2: return (Format){3, -14, 15, 8, false};
    case DT_f16: return (Format){11, -14, 15, 16, false};
    case DT_bf16: return (Format){8, -126, 127, 16, false};
    case DT_f32: return (Format){24, -126, 127, 32, false};
    default: return (Format){53, -1022, 1023, 64, false};
    }
}

static Exact decode(DType t, const void *at)
{
    uint64_t u = 0;
    memcpy(&u, at, dtype_bytes(t));
    if (!dtype_is_float(t)) {
        unsigned unused = 64 - 8 * (unsigned)dtype_bytes(t);
        bool minus = dtype_info[t].kind == DK_INT && (int64_t)(u << unused) < 0;
        uint64_t size = minus ? 0 - (uint64_t)((int64_t)(u << unused) >> unused) : u;
        return (Exact){.minus = minus, .m = size};
    }
    Format f = format_of(t);
    const uint64_t one = 1, fraction = u & ((one << (f.digits - 1)) - 1);
    const int field = (int)(u >> (f.digits - 1) & (uint64_t)(2 * f.most + 1));
    Exact x = {.minus = u >> (f.bits - 1) & 1, .m = fraction, .e = f.least - (f.digits - 1)};
    const uint64_t all = (one << (f.digits - 1)) - 1;
    if (field == 2 * f.most + 1 && (!f.finite || fraction == all)) {
        x.nan = fraction != 0;
        x.inf = fraction == 0;
    } else if (field != 0) {
        x.m |= one << (f.digits - 1);
        x.e += field - 1;
    }
    return x;
}

static int length(uint64_t m) { return m == 0 ? 0 : 64 - __builtin_clzll(m); }

/* m / 2^by to the nearest, ties to even. */
static uint64_t nearest(uint64_t m, int by)
{
    if (by <= 0) return m << -by;
    if (by > 65) return 0;
    unsigned __int128 wide = m, half = (unsigned __int128)1 << (by - 1), kept = wide >> by, rest = wide - (kept << by);
    return (uint64_t)kept + (rest > half || (rest == half && (kept & 1)));
}

static void encode_float(DType t, Exact x, bool saturate, void *to)
{
    Format f = format_of(t);
    const uint64_t one = 1, sign = (uint64_t)x.minus << (f.bits - 1), all = f.finite ? (one << (f.digits - 1)) - 1 : 0;
    const uint64_t inf = (uint64_t)(2 * f.most + 1) << (f.digits - 1) | all; /* of a finite type: NaN */
    uint64_t u = inf | (x.nan ? one << (f.digits - 2) : 0);
    if (!x.nan && !x.inf) {
        int place = MAX_OF(length(x.m) - 1 + x.e, f.least) - (f.digits - 1);
        uint64_t r = nearest(x.m, place - x.e);
        /* A carry into the next power of two carries into the exponent as well. */
        uint64_t field = (uint64_t)(place - (f.least - (f.digits - 1)));
        u = r < one << (f.digits - 1) ? r : r + (field << (f.digits - 1));
        if (u > inf) u = inf;
    }
    if (saturate && !x.nan && u == inf) u--;
    u |= sign;
    memcpy(to, &u, dtype_bytes(t));
}

static void encode_integer(DType t, Exact x, bool was_float, void *to)
{
    const DTypeInfo *info = &dtype_info[t];
    uint64_t most = t == DT_u64 ? UINT64_MAX : (uint64_t)info->hi, least = 0 - (uint64_t)info->lo, u;
    if (t == DT_bool) {
        u = x.nan || x.inf || x.m != 0;
    } else if (!was_float) {
        u = x.minus ? 0 - x.m : x.m;
    } else {
        bool large = x.inf || (x.m != 0 && length(x.m) + x.e > 64);
        uint64_t size = large ? UINT64_MAX : x.e <= -64 ? 0 : x.e < 0 ? x.m >> -x.e : x.m << x.e, end = x.minus ? least : most;
        size = MIN_OF(size, end);
        u = x.nan ? 0 : x.minus ? 0 - size : size;
    }
    memcpy(to, &u, dtype_bytes(t));
}

/* saturate: what is not NaN and rounds to a code beyond the largest number's becomes that number. */
static void model(DType from, DType to, bool saturate, const void *at, void *out)
{
    Exact x = decode(from, at);
    if (dtype_is_float(to))
        encode_float(to, x, saturate, out);
    else
        encode_integer(to, x, dtype_is_float(from), out);
}

/* ---- elements worth casting ------------------------------------------------------------------ */

/* Near the midpoint between two elements of the narrower float t, a hair to either side, or on it. */
static double near_midpoint(Random *r, DType t)
{
    uint64_t room = random_next(r);
    double x, y, hair = ldexp(1, -(int)random_below(r, 60) - 1) * (double)(random_below(r, 3) - 1);
    for (int i = 0; i < 2; i++, room++) {
        memcpy(i == 0 ? &x : &y, &(double){dtype_load_f64(t, &room)}, sizeof x);
    }
    double middle = (x + y) / 2;
    return middle + hair * fabs(y - x);
}

static DType some_float(int i)
{
    static const DType t[] = {DT_f16, DT_bf16, DT_f32, DT_f8_e4m3, DT_f8_e5m2};
    return t[(size_t)i % COUNT_OF(t)];
}

static void *elements(Arena *a, DType t)
{
    size_t bytes = dtype_bytes(t);
    char *all = arena_zeros(a, MANY, bytes);
    Random r = {t};
    prim_edges(t, all);
    for (int i = EDGES; i < MANY; i++) {
        uint64_t u = random_next(&r) >> (dtype_is_float(t) ? 0 : random_below(&r, 64));
        double m = near_midpoint(&r, some_float(i));
        char *at = all + (size_t)i * bytes;
        if (t == DT_bool) u &= 1;
        memcpy(at, &u, bytes);
        if (dtype_is_float(t) && i % 2 == 0) dtype_store_f64(t, at, m);
        if (bytes >= 4 && dtype_is_int(t) && i % 2 == 0) { /* a few bits, a gap, then one more or one less */
            int64_t v = (int64_t)((random_next(&r) >> 48 | 1) << random_below(&r, bytes == 4 ? 15 : 47)) + random_below(&r, 3) - 1;
            dtype_store_i64(t, at, v);
        }
    }
    return all;
}

/* ---- casting ------------------------------------------------------------------------------- */

typedef struct Casts {
    Arena arena;
    const void *in[DT_COUNT - 1];
    Status st;
    uint64_t compared, wrong;
} Casts;

/* A parameter per dtype, for each of them a result per dtype, and the saturating ones to floats. */
#define RESULTS (2 * (DT_COUNT - 1) * (DT_COUNT - 1))

/* The cast of number `to`: beyond the dtypes they saturate. Integers have none: their place is taken by the plain one. */
static DType target(int64_t to, bool *saturate)
{
    const DType t = (DType)(1 + to % (DT_COUNT - 1));
    *saturate = to >= DT_COUNT - 1 && dtype_is_float(t);
    return t;
}

static Value cast_number(Graph *g, Value x, int64_t to, Status *st)
{
    bool saturate;
    const int64_t attr[2] = {target(to, &saturate), 1};
    return graph_append(g, OP_cast, &x, 1, attr, saturate ? 2 : 1, (Loc){0}, st);
}

static Module *make_module(Arena *a)
{
    Status st = {0};
    Module *m = module_new(a);
    Graph *g = graph_new(m, "main");
    Value x[DT_COUNT];
    for (int t = 1; t < DT_COUNT; t++) x[t] = graph_param(g, &(Type){.dtype = (uint8_t)t, .rank = 1, .dim = {MANY}}, (Loc){0});
    for (int from = 1; from < DT_COUNT; from++)
        for (int64_t to = 0; to < RESULTS / (DT_COUNT - 1); to++) graph_result(g, cast_number(g, x[from], to, &st));
    return m;
}

static void compare(Casts *c, const char *mode, DType from, int64_t number, int64_t i, const void *have)
{
    uint64_t want = 0;
    bool saturate;
    const DType to = target(number, &saturate);
    const char *at = (const char *)c->in[from - 1] + (size_t)i * dtype_bytes(from);
    model(from, to, saturate, at, &want);
    c->compared++;
    if (bytes_differ(to, &want, have, 1) < 0 || c->wrong++ > 20) return;
    uint64_t x = 0, h = 0;
    memcpy(&x, at, dtype_bytes(from));
    memcpy(&h, have, dtype_bytes(to));
    print_error("%s: %scast of %s 0x%llx to %s gives 0x%llx, not 0x%llx\n", mode, saturate ? "saturating " : "", dtype_info[from].name, (unsigned long long)x,
                dtype_info[to].name, (unsigned long long)h, (unsigned long long)want);
}

static void compare_all(void *user, const char *mode, void *const *result)
{
    Casts *c = user;
    for (int r = 0; r < RESULTS; r++) {
        const int each = RESULTS / (DT_COUNT - 1), to = r % each;
        bool saturate;
        const size_t bytes = dtype_bytes(target(to, &saturate));
        for (int64_t i = 0; i < MANY; i++) compare(c, mode, (DType)(1 + r / each), to, i, (const char *)result[r] + (size_t)i * bytes);
    }
}

static void by_folding(Casts *c)
{
    Module *m = module_new(&c->arena);
    Graph *g = graph_new(m, "main");
    enum { FEW = 200 };
    for (int from = 1; from < DT_COUNT; from++)
        for (int64_t i = 0; i < FEW; i++) {
            const int64_t which = i * (MANY / FEW);
            const char *at = (const char *)c->in[from - 1] + (size_t)which * dtype_bytes((DType)from);
            int64_t attr[2] = {from, dtype_is_float((DType)from) ? attr_of_f64(dtype_load_f64((DType)from, at)) : dtype_load_i64((DType)from, at)};
            Value x = graph_append(g, OP_constant, NULL, 0, attr, 2, (Loc){0}, &c->st);
            for (int64_t to = 0; to < RESULTS / (DT_COUNT - 1); to++) graph_result(g, cast_number(g, x, to, &c->st));
        }
    Rebuild rb;
    rebuild_begin(&rb, g, &c->arena, &c->st);
    for (uint32_t i = 0; i < g->node.len; i++) rebuild_copy(&rb, i);
    Graph *out = rebuild_end(&rb);
    for (uint32_t r = 0; r < g->result.len; r++) {
        Scalar v;
        uint64_t room = 0;
        uint32_t each = RESULTS / (DT_COUNT - 1), pair = r / each;
        bool saturate;
        DType from = (DType)(1 + pair / FEW), to = target(r % each, &saturate);
        if (!value_is_constant(out, out->result.at[r], &v)) fail_msg("a cast of a constant was not folded");
        if (dtype_is_float(to))
            dtype_store_f64(to, &room, v.f);
        else
            dtype_store_i64(to, &room, v.i);
        compare(c, "folding", from, r % each, pair % FEW * (MANY / FEW), &room);
    }
}

static void cast_everything(void *arg)
{
    Casts *c = arg;
    for (int t = 1; t < DT_COUNT; t++) c->in[t - 1] = elements(&c->arena, (DType)t);
    all_modes(&c->arena, make_module, c->in, compare_all, c);
    by_folding(c);
}

static void every_pair_rounds_once(void **state)
{
    (void)state;
    static Casts c;
    arena_init(&c.arena);
    if (!arena_try(&c.arena, &c.st, cast_everything, &c)) fail_msg("%s", c.st.text);
    arena_free(&c.arena);
    print_message("    %llu casts compared\n", (unsigned long long)c.compared);
    if (c.wrong != 0) fail_msg("%llu are wrong", (unsigned long long)c.wrong);
}

/* ---- numbers in C and in text ------------------------------------------------------------------ */

static double held(kiln_dtype t, kiln_operand v)
{
    double got = kiln_item(kiln_cast(kiln_full_at(KILN_HERE, k, t, KILN_SHAPE(), v), KILN_F64));
    return kiln_failed(k) ? (double)NAN : got;
}

static void numbers_given_in_c_round_once(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    Random r = {5};
    for (int i = 0; i < 3000; i++) {
        DType t = some_float(i);
        double x = near_midpoint(&r, t);
        uint64_t u = (random_next(&r) >> 40 | 1) << random_below(&r, 39), want = 0;
        u += (uint64_t)random_below(&r, 3) - 1;
        model(DT_f64, t, false, &x, &want);
        double w = dtype_load_f64(t, &want);
        if (isfinite(x) && isfinite(w)) assert_true(held((kiln_dtype)t, KILN_OPERAND(x)) == w);
        if (dtype_info[t].largest < 0x1p64) continue;
        model(DT_u64, t, false, &u, &want);
        assert_true(held((kiln_dtype)t, KILN_OPERAND(u)) == dtype_load_f64(t, &want));
        int64_t minus = -(int64_t)u;
        model(DT_i64, t, false, &minus, &want);
        assert_true(held((kiln_dtype)t, KILN_OPERAND(minus)) == dtype_load_f64(t, &want));
    }
}

/* A midpoint in full, then followed by noughts and a digit that only one rounding notices. */
static void numbers_in_text_round_once(void **state)
{
    (void)state;
    static const struct {
        DType t;
        const char *text;
        double want;
    } c[] = {
        {DT_f16, "1.00048828125", 1}, {DT_f16, "1.0004882812500000000000000000000000000000001", 0x1.004p0},
        {DT_f16, "1.0014648437499999999999999999999999999999999", 0x1.004p0}, {DT_f16, "-1.00146484375", -0x1.008p0},
        {DT_f16, "65519.99999999999999999999999999999999", 65504}, {DT_f16, "65520", HUGE_VAL},
        {DT_f32, "16777217", 16777216}, {DT_f32, "16777217.000000000000000000000000000000001", 16777218},
        {DT_f32, "16777218.999999999999999999999999999999999", 16777218}, {DT_f32, "0x1.000001000000000000000000000001p0", 0x1.000002p0},
        {DT_bf16, "1.00390625", 1}, {DT_bf16, "1.003906250000000000000000000000000000000000000001", 0x1.02p0},
        {DT_bf16, "4.59177480789956057800287709852439717898e-41", 0x1p-133}, {DT_bf16, "4.5917748078995605e-41", 0},
        {DT_f64, "9007199254740993", 9007199254740992.0}, {DT_f64, "9007199254740993.0000000000000000000001", 9007199254740994.0},
        {DT_f32, "-1e-500", -0.0}, {DT_f32, "1e500", HUGE_VAL},
    };
    for (size_t i = 0; i < COUNT_OF(c); i++) {
        int64_t v = 0;
        assert_true(scalar_parse(c[i].t, c[i].text, strlen(c[i].text), &v));
        if (attr_f64(v) != c[i].want || signbit(attr_f64(v)) != signbit(c[i].want))
            fail_msg("%s %s is read as %a, not %a", dtype_info[c[i].t].name, c[i].text, attr_f64(v), c[i].want);
    }
    assert_int_equal(fegetround(), FE_TONEAREST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair_rounds_once),
        ENGINE_TEST(numbers_given_in_c_round_once),
        cmocka_unit_test(numbers_in_text_round_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
