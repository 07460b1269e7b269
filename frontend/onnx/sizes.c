/* sizes: the arithmetic that models do on sizes, of what Shape gives: done on the sizes themselves while a function is traced, so
 * that symbols stay symbols and nothing of it is left to run. Floats are held as whole numbers over one that is whole, as long as
 * what the float operation gives is exactly that, or its quotient rounded once. Moves of them: sizes_rows.c. Relies on import.h. */
#include "import.h"

#include <math.h>

static bool is(const Call *c, const char *op) { return strcmp(c->node->op->name, op) == 0; }

static DType sort_of(const Held *h) { return h->t ? (DType)h->t->type.dtype : h->sort ? (DType)h->sort : DT_i64; }

static bool is_float(const Held *h) { return dtype_is_float(sort_of(h)); }

static int64_t over_of(const Held *h) { return MAX_OF(h->over, 1); }

static bool power_of_two(int64_t v) { return (v & (v - 1)) == 0; }

/* Whole numbers up to which all floats are exact. */
static int64_t exact_to(DType d) { return d == DT_f32 ? 1 << 24 : DIM_MAX; }

static bool holds(const Call *c, DType d, int64_t over, Known v)
{
    if (v == KNOWN_BAD || (!known_symbol(v) && v <= -KNOWN_FAR)) return false;
    const int64_t lo = known_lo(c, v), hi = known_hi(c, v);
    switch (d) {
    case DT_i64: return true;
    case DT_bool:
    case DT_i32: return lo >= dtype_info[d].lo && hi <= dtype_info[d].hi;
    case DT_f32:
    case DT_f64: return MAX_OF(hi, -lo) <= (power_of_two(over) ? exact_to(d) : exact_to(d) / 2 - over);
    default: return false;
    }
}

bool sizes_put(Call *c, uint32_t i, const Known *v, Held like)
{
    for (int j = 0; j < like.sizes; j++)
        if (!holds(c, sort_of(&like), over_of(&like), v[j])) return false;
    c->out[i] = (Held){.size = arena_copy(c->arena, v, (size_t)like.sizes * sizeof *v + 1),
        .sizes = like.sizes,
        .rank = like.rank,
        .columns = like.columns,
        .over = like.over > 1 ? like.over : 0,
        .times = like.times,
        .sort = (uint8_t)sort_of(&like)};
    return true;
}

/* ---- operands ------------------------------------------------------------------------------------------- */

/* Element i of what is a row of n, or one number for all of them. */
static Known element(const Held *h, int i) { return h->size[h->sizes == 1 ? 0 : i]; }

/* What has the shape of all inputs together, and the dtype of the last. False: rows that do not fit, or more than 64 numbers. */
static bool together(const Call *c, Held *to)
{
    *to = (Held){.rank = -1};
    for (uint32_t i = 0; i < c->nin; i++) {
        const Held *h = &c->in[i];
        if (!has(c, i)) return false;
        const bool more = to->rank < 0 || h->sizes > to->sizes || (h->sizes == to->sizes && h->rank > to->rank);
        const Held wide = more ? *h : *to, one = more ? *to : *h;
        if (one.rank >= 0 && one.sizes != 1 && (one.sizes != wide.sizes || one.rank != wide.rank || one.columns != wide.columns))
            return false;
        if (one.rank > wide.rank || wide.sizes > 64 || (wide.sizes == 0 && one.rank >= 0 && one.sizes != 0)) return false;
        *to = wide;
    }
    *to = (Held){
        .sizes = to->sizes, .rank = to->rank, .columns = to->columns, .sort = c->nin ? (uint8_t)sort_of(&c->in[c->nin - 1]) : 0};
    return c->nin != 0;
}

static bool whole(const double *at, int n, double over)
{
    for (int i = 0; i < n; i++)
        if (!(fabs(at[i] * over) <= 0x1p24) || at[i] * over != floor(at[i] * over)) return false;
    return true;
}

/* Constants of floats as whole numbers over a power of two; those that are none stay as they are. */
static void read_floats(Call *c, uint32_t i)
{
    Held *h = &c->in[i];
    double at[64], over = 1;
    int n;
    if (!tensor_ok(h->t) || h->t->type.rank > 1 || kiln_elements(h->t) > 64 || !reals(c, i, at, 64, &n)) return;
    while (over < 0x1p20 && !whole(at, n, over)) over *= 2;
    if (!whole(at, n, over)) return;
    Known *v = ARENA_ARRAY(c->arena, Known, n + 1);
    for (int j = 0; j < n; j++) v[j] = (Known)(at[j] * over);
    h->size = v, h->sizes = n, h->rank = h->t->type.rank, h->over = (int64_t)over;
}

/* Of what is no size at all, but a constant, nothing is gained. */
static bool worth(Call *c)
{
    bool some = false, floats = false;
    for (uint32_t i = 0; i < c->nin; i++) {
        some |= c->in[i].size && !c->in[i].constant;
        floats |= c->in[i].size && is_float(&c->in[i]);
    }
    for (uint32_t i = 0; some && i < c->nin; i++) {
        const bool real = c->in[i].t && c->in[i].constant && is_float(&c->in[i]);
        if (floats && real && !c->in[i].size) read_floats(c, i);
        if (has(c, i) && !c->in[i].size && !(floats && real && is(c, "Mul"))) return false;
        if (c->in[i].times != 0 && c->nin != 1) return false;
    }
    return some;
}

/* ---- element by element ----------------------------------------------------------------------------------- */

typedef Known Fn(const Call *c, Known x, Known y);

/* Over a number that h's own divides. */
static Known over(const Call *c, const Held *h, int i, int64_t by) { return known_mul(c, element(h, i), by / over_of(h)); }

/* fn of the first two, then of that and the next ..., all over the same number. */
static bool folded(Call *c, Fn *fn, bool asks)
{
    Held like;
    Known to[65];
    int64_t by = 1;
    if (!together(c, &like)) return false;
    for (uint32_t i = 0; i < c->nin; i++) {
        if (!power_of_two(over_of(&c->in[i]))) return false;
        by = MAX_OF(by, over_of(&c->in[i]));
    }
    for (int j = 0; j < like.sizes; j++) {
        to[j] = over(c, &c->in[0], j, by);
        for (uint32_t i = 1; i < c->nin; i++) to[j] = fn(c, to[j], over(c, &c->in[i], j, by));
    }
    like.over = by;
    if (asks) like.sort = DT_bool, like.over = 0;
    return sizes_put(c, 0, to, like);
}

/* By one constant float that is no whole number over a power of two, as 0.1 is none: that it is multiplied is noted. */
static bool noted(Call *c, bool first)
{
    const uint32_t by = first ? 0 : 1;
    const Held *f = &c->in[by], *x = &c->in[1 - by];
    double at[1];
    int n;
    if (x->over > 1 || x->sizes > 64 || f->t->type.rank > x->rank || kiln_elements(f->t) != 1 || !reals(c, by, at, 1, &n))
        return false;
    if (!(at[0] > 0 && at[0] < 0x1p20)) return false;
    Held like = *x;
    like.t = NULL, like.times = at[0];
    return sizes_put(c, 0, x->size, like);
}

static bool multiplied(Call *c)
{
    if (c->nin == 2 && !c->in[0].size != !c->in[1].size) return noted(c, !c->in[0].size);
    const int64_t a = over_of(&c->in[0]), b = over_of(&c->in[1]);
    Held like;
    Known to[65];
    if (c->nin != 2 || !together(c, &like) || !power_of_two(a) || !power_of_two(b) || a > 1 << 24 || b > 1 << 24) return false;
    for (int j = 0; j < like.sizes; j++) to[j] = known_mul(c, element(&c->in[0], j), element(&c->in[1], j));
    like.over = a * b;
    return sizes_put(c, 0, to, like);
}

/* Floats over the same plain number each. */
static bool divided(Call *c)
{
    const Held *a = &c->in[0], *b = &c->in[1];
    Held like;
    Known to[65];
    if (c->nin != 2 || !together(c, &like) || !power_of_two(over_of(a)) || b->sizes < 1) return false;
    const Known by = b->size[0];
    for (int j = 0; j < b->sizes; j++)
        if (b->size[j] != by) return false;
    if (known_symbol(by) || by == 0 || by > 1 << 24 || by < -(1 << 24) || over_of(a) > 1 << 24) return false;
    for (int j = 0; j < like.sizes; j++) to[j] = known_mul(c, element(a, j), by < 0 ? -over_of(b) : over_of(b));
    like.over = over_of(a) * (by < 0 ? -by : by);
    return sizes_put(c, 0, to, like);
}

static Known more(const Call *c, Known x, Known y) { return known_less(c, y, x); }
static Known at_least(const Call *c, Known x, Known y) { return known_sub(c, 1, known_less(c, x, y)); }
static Known at_most(const Call *c, Known x, Known y) { return known_sub(c, 1, known_less(c, y, x)); }
static Known either(const Call *c, Known x, Known y) { return known_sub(c, known_add(c, x, y), known_mul(c, x, y)); }
static Known differ(const Call *c, Known x, Known y) { return known_sub(c, 1, known_equal(c, x, y)); }

static bool chosen(Call *c)
{
    const Held *on = &c->in[0], *a = &c->in[1], *b = &c->in[2];
    Held like;
    Known to[65];
    if (c->nin != 3 || !together(c, &like) || over_of(a) != over_of(b)) return false;
    for (int j = 0; j < like.sizes; j++) to[j] = known_chosen(c, element(on, j), element(a, j), element(b, j));
    like.over = a->over;
    return sizes_put(c, 0, to, like);
}

static bool clipped(Call *c)
{
    const Held *x = &c->in[0];
    Known to[65];
    if (c->node->version < 11 || x->sizes > 64 || over_of(x) > 1) return false;
    for (uint32_t i = 1; i < c->nin; i++)
        if (has(c, i) && (c->in[i].sizes != 1 || over_of(&c->in[i]) > 1)) return false;
    for (int j = 0; j < x->sizes; j++) {
        to[j] = has(c, 1) ? known_max(c, x->size[j], c->in[1].size[0]) : x->size[j];
        if (has(c, 2)) to[j] = known_min(c, to[j], c->in[2].size[0]);
    }
    Held like = *x;
    like.sort = (uint8_t)sort_of(x), like.t = NULL;
    return sizes_put(c, 0, to, like);
}

/* ---- of one ------------------------------------------------------------------------------------------------ */

static Known negated(const Call *c, Known x, int64_t by) { return by > 0 ? known_sub(c, 0, x) : x; }
static Known magnitude(const Call *c, Known x, int64_t by)
{
    return by > 0 ? known_add(c, known_max(c, x, 0), known_max(c, known_sub(c, 0, x), 0)) : x;
}
static Known inverted(const Call *c, Known x, int64_t by) { return by > 0 ? known_sub(c, 1, x) : x; }
static Known down(const Call *c, Known x, int64_t by) { return known_floordiv(c, x, by); }
static Known up(const Call *c, Known x, int64_t by) { return known_sub(c, 0, known_floordiv(c, known_sub(c, 0, x), by)); }
static Known cut_off(const Call *c, Known x, int64_t by) { return known_div(c, x, by); }
static Known unlike_zero(const Call *c, Known x, int64_t by) { return by > 0 ? known_sub(c, 1, known_equal(c, x, 0)) : x; }
static Known same(const Call *c, Known x, int64_t by) { return (void)c, (void)by, x; }

typedef Known Of(const Call *c, Known x, int64_t by);

static Known rounded(double v, bool up) { return (Known)(up ? ceil(v) : floor(v)); }

/* Rounded what is multiplied by a float that was noted. */
static bool scaled(Call *c, DType to, bool up)
{
    const Held *x = &c->in[0];
    Known v[65];
    Held like = *x;
    for (int j = 0; j < x->sizes; j++) {
        if (known_lo(c, x->size[j]) < 0) return false;
        const bool single = sort_of(x) == DT_f32;
        const Dim d = known_symbol(x->size[j]) ? extent_scaled(c->t, c->at, known_dim(x->size[j]), x->times, single, up) : DIM_BAD;
        if (known_symbol(x->size[j]))
            v[j] = d == DIM_BAD ? KNOWN_BAD : known_of(d);
        else
            v[j] = rounded(single ? (double)((float)x->size[j] * (float)x->times) : (double)x->size[j] * x->times, up);
    }
    like.t = NULL, like.times = 0, like.sort = (uint8_t)to;
    return sizes_put(c, 0, v, like);
}

/* Whole: what comes out is not over anything. */
static bool mapped(Call *c, Of *fn, DType to, bool whole_now)
{
    const Held *x = &c->in[0];
    Known v[65];
    Held like = *x;
    if (c->nin != 1 || x->sizes > 64) return false;
    if (x->times != 0 && (fn == cut_off || fn == down || fn == up)) return scaled(c, to, fn == up);
    if (x->times != 0 && (fn != same || to != sort_of(x))) return false;
    for (int j = 0; j < x->sizes; j++) v[j] = fn(c, x->size[j], over_of(x));
    like.t = NULL, like.sort = (uint8_t)to;
    if (whole_now) like.over = 0;
    return sizes_put(c, 0, v, like);
}

static bool cast(Call *c)
{
    static const struct {
        int64_t number;
        DType dtype;
    } known[] = {{1, DT_f32}, {6, DT_i32}, {7, DT_i64}, {9, DT_bool}, {11, DT_f64}};
    const int64_t to = c->node->version >= 6 ? attr_int(c, "to", 0) : 0;
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        if (to != known[i].number) continue;
        const DType d = known[i].dtype;
        if (d == DT_bool) return mapped(c, unlike_zero, d, true);
        if (!dtype_is_float(d)) return mapped(c, cut_off, d, true);
        return power_of_two(over_of(&c->in[0])) && mapped(c, same, d, false);
    }
    return false;
}

static bool unary(Call *c)
{
    static const struct {
        const char *op;
        Of *fn;
        bool whole_now;
    } row[] = {{"Neg", negated, false}, {"Abs", magnitude, false}, {"Not", inverted, false}, {"Floor", down, true},
        {"Ceil", up, true}, {"Identity", same, false}};
    if (is(c, "Cast")) return cast(c);
    for (size_t i = 0; i < COUNT_OF(row); i++)
        if (is(c, row[i].op)) return mapped(c, row[i].fn, sort_of(&c->in[0]), row[i].whole_now);
    return false;
}

bool sizes_run(Call *c)
{
    static const struct {
        const char *op;
        Fn *fn;
        bool asks;
    } row[] = {{"Add", known_add, false}, {"Sub", known_sub, false}, {"Max", known_max, false}, {"Min", known_min, false},
        {"Equal", known_equal, true}, {"Less", known_less, true}, {"Greater", more, true}, {"LessOrEqual", at_most, true},
        {"GreaterOrEqual", at_least, true}, {"And", known_mul, true}, {"Or", either, true}, {"Xor", differ, true}};
    if (c->nout == 0 || c->nin == 0 || !worth(c)) return false;
    if (sizes_move(c)) return true;
    if (c->nout != 1) return false;
    for (size_t i = 0; i < COUNT_OF(row); i++)
        if (is(c, row[i].op)) return (!row[i].asks || c->node->version >= 7) && folded(c, row[i].fn, row[i].asks);
    if (is(c, "Mul")) return multiplied(c);
    if (is(c, "Div")) return is_float(&c->in[0]) ? divided(c) : folded(c, known_div, false);
    if (is(c, "Mod")) return !is_float(&c->in[0]) && attr_int(c, "fmod", 0) == 0 && folded(c, known_mod, false);
    if (is(c, "Where")) return chosen(c);
    return is(c, "Clip") ? clipped(c) : unary(c);
}
