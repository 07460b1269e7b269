/* whole: arithmetic on numbers that are known while a function is traced, of any sign, symbols among them. What has no such form,
 * or none within 2^48, is KNOWN_BAD, which every function passes on. Relies on import.h. Never makes a tensor. */
#include "import.h"

static bool fits(Known v) { return known_symbol(v) ? v != KNOWN_BAD : v > -KNOWN_FAR && v <= DIM_MAX; }

static Known of_dim(const Call *c, Dim d)
{
    if (d == DIM_BAD) return KNOWN_BAD;
    const int64_t lo = extent_lo(c->t, d);
    return lo == extent_hi(c->t, d) ? lo : known_of(d);
}

/* In a trace. DIM_BAD: it has none. */
static Dim to_dim(const Call *c, Known v)
{
    if (!fits(v)) return DIM_BAD;
    return known_symbol(v) || v >= 0 ? known_dim(v) : extent(c->t, c->at, EXTENT_ANY_SUB, 0, -v);
}

int64_t known_lo(const Call *c, Known v) { return known_symbol(v) ? extent_lo(c->t, known_dim(v)) : v; }

int64_t known_hi(const Call *c, Known v) { return known_symbol(v) ? extent_hi(c->t, known_dim(v)) : v; }

static Known combined(const Call *c, ExtentOp op, Known x, Known y)
{
    Known to;
    if (!fits(x) || !fits(y)) return KNOWN_BAD;
    if (known_symbol(x) || known_symbol(y)) return of_dim(c, extent(c->t, c->at, op, to_dim(c, x), to_dim(c, y)));
    const bool far = op == EXTENT_ANY_ADD   ? __builtin_add_overflow(x, y, &to)
                     : op == EXTENT_ANY_SUB ? __builtin_sub_overflow(x, y, &to)
                                            : __builtin_mul_overflow(x, y, &to);
    return far || !fits(to) ? KNOWN_BAD : to;
}

Known known_add(const Call *c, Known x, Known y) { return combined(c, EXTENT_ANY_ADD, x, y); }

Known known_sub(const Call *c, Known x, Known y) { return combined(c, EXTENT_ANY_SUB, x, y); }

Known known_mul(const Call *c, Known x, Known y) { return combined(c, EXTENT_ANY_MUL, x, y); }

/* Only what may be of either sign becomes a maximum with 0: that has a text that can be read back. */
Known known_max(const Call *c, Known x, Known y)
{
    const Known more = known_sub(c, x, y);
    if (more == KNOWN_BAD) return KNOWN_BAD;
    if (known_lo(c, more) >= 0) return x;
    if (known_hi(c, more) <= 0) return y;
    if (known_lo(c, x) >= 0 && known_lo(c, y) >= 0) return of_dim(c, extent(c->t, c->at, EXTENT_MAX, to_dim(c, x), to_dim(c, y)));
    return known_add(c, y, of_dim(c, extent(c->t, c->at, EXTENT_MAX, to_dim(c, more), 0)));
}

Known known_min(const Call *c, Known x, Known y)
{
    const Known less = known_max(c, x, y);
    if (less == KNOWN_BAD) return KNOWN_BAD;
    return less == x ? y : less == y ? x : known_sub(c, y, known_max(c, known_sub(c, y, x), 0));
}

/* Towards minus infinity. */
Known known_floordiv(const Call *c, Known x, int64_t by)
{
    if (!fits(x) || by < 1 || by > DIM_MAX) return KNOWN_BAD;
    if (!known_symbol(x)) return x / by - (x % by < 0);
    return of_dim(c, extent(c->t, c->at, EXTENT_ANY_FLOORDIV, to_dim(c, x), by));
}

/* Whole numbers of y in x, as both are sizes of which one is a part of the other whatever the symbols are. */
static Known divided_exactly(const Call *c, Known x, Known y)
{
    if (known_lo(c, x) < 0 || known_lo(c, y) < 1) return KNOWN_BAD;
    return of_dim(c, extent(c->t, c->at, EXTENT_EXACT, to_dim(c, x), to_dim(c, y)));
}

Known known_div(const Call *c, Known x, Known y)
{
    if (!fits(x) || !fits(y)) return KNOWN_BAD;
    if (known_symbol(y)) return divided_exactly(c, x, y);
    if (y == 1) return x;
    if (y < 0) return known_sub(c, 0, known_div(c, x, -y));
    if (known_lo(c, x) >= 0) return known_floordiv(c, x, y);
    const Known above = known_floordiv(c, known_max(c, x, 0), y);
    return known_sub(c, above, known_floordiv(c, known_max(c, known_sub(c, 0, x), 0), y));
}

/* Of a plain x that y may be nearer to 0 than: for few values of y those are told apart. */
static Known few_remainders(const Call *c, int64_t x, Known y)
{
    enum { FEW = 16 };
    const int64_t lo = known_lo(c, y), reach = x < 0 ? -x : x, hi = MIN_OF(known_hi(c, y), reach);
    if (hi - lo >= FEW) return KNOWN_BAD;
    Known r = x < 0 ? known_add(c, y, x) : x;
    for (int64_t v = lo; v <= hi; v++) {
        const int64_t is = known_mod(c, x, v), would = x < 0 ? v + x : x;
        r = known_add(c, r, known_mul(c, known_equal(c, y, v), is - would));
    }
    return known_max(c, r, 0); /* which says so of it */
}

/* Of a whole multiple, or of what is nearer to 0 than y is. */
static Known remainder_of(const Call *c, Known x, Known y)
{
    if (known_lo(c, y) < 1) return KNOWN_BAD;
    const Known above = known_add(c, x, y), below = known_sub(c, y, x);
    const bool near = above != KNOWN_BAD && below != KNOWN_BAD && known_lo(c, above) >= 0 && known_lo(c, below) >= 1;
    if (near) return known_add(c, x, known_mul(c, known_negative(c, x), y));
    if (!known_symbol(x)) return few_remainders(c, x, y);
    return divided_exactly(c, x, y) == KNOWN_BAD ? KNOWN_BAD : 0;
}

Known known_mod(const Call *c, Known x, Known y)
{
    if (!fits(x) || !fits(y)) return KNOWN_BAD;
    if (known_symbol(y)) return remainder_of(c, x, y);
    if (y < 0) return known_sub(c, 0, known_mod(c, known_sub(c, 0, x), -y));
    return known_sub(c, x, known_mul(c, known_floordiv(c, x, y), y));
}

/* Where other values of the symbols give another answer, how far it is below 0, but no more than 1: of that it is known to be 1 or
 * 0, whatever it is multiplied with. */
Known known_negative(const Call *c, Known x)
{
    if (!fits(x)) return KNOWN_BAD;
    if (known_lo(c, x) >= 0 || known_hi(c, x) < 0) return known_hi(c, x) < 0;
    return known_sub(c, 1, known_max(c, known_sub(c, 1, known_max(c, known_sub(c, 0, x), 0)), 0));
}

Known known_less(const Call *c, Known x, Known y) { return known_negative(c, known_sub(c, x, y)); }

Known known_equal(const Call *c, Known x, Known y)
{
    const Known less = known_less(c, x, y), more = known_less(c, y, x);
    return known_mul(c, known_sub(c, 1, less), known_sub(c, 1, more)); /* which cannot be below 0 */
}

Known known_chosen(const Call *c, Known on, Known x, Known y)
{
    if (!known_symbol(on)) return on ? x : y;
    return known_add(c, y, known_mul(c, on, known_sub(c, x, y)));
}
