/* dim_text: sizes as text and back, and their values. Relies on dim.h. Never makes an expression
 * except through its arithmetic, so what was parsed is canonical. */
#include "dim.h"

#include <stdio.h>

#define MAX_DEPTH 64

/* ---- printing ---------------------------------------------------------------------------- */

typedef struct Out {
    const DimTable *t;
    char *buf;
    size_t cap, len;
} Out;

static void put(Out *o, const char *s)
{
    for (; *s != '\0'; s++, o->len++)
        if (o->len + 1 < o->cap) o->buf[o->len] = *s;
}

static void put_number(Out *o, int64_t v)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)v);
    put(o, text);
}

static const DimExpr *expr_of(const Out *o, Dim d) { return &o->t->expr.at[-1 - d]; }

static void put_sum(Out *o, Dim d);

static void put_atom(Out *o, Dim d, bool factor)
{
    const DimExpr *e = expr_of(o, d);
    if (e->kind == DIM_SYMBOL) {
        put(o, e->name);
    } else if (e->kind == DIM_MAX2) {
        put(o, "max(");
        put_sum(o, e->a);
        put(o, ",");
        put_sum(o, e->b);
        put(o, ")");
    } else { /* FLOORDIV */
        bool bare = e->a < 0 && expr_of(o, e->a)->kind == DIM_SYMBOL;
        put(o, factor ? "(" : "");
        put(o, bare ? "" : "(");
        put_sum(o, e->a);
        put(o, bare ? "/" : ")/");
        put_number(o, e->b);
        put(o, factor ? ")" : "");
    }
}

static void put_product(Out *o, Dim d, bool factor)
{
    const DimExpr *e = expr_of(o, d);
    if (e->kind != DIM_MUL) {
        put_atom(o, d, factor);
        return;
    }
    put_product(o, e->a, true);
    put(o, "*");
    put_atom(o, e->b, true);
}

static void put_term(Out *o, Dim d, bool first)
{
    int64_t k = 1;
    const DimExpr *e = d < 0 ? expr_of(o, d) : NULL;
    bool number = !e || e->kind == DIM_NEGATIVE;
    if (number)
        k = e ? e->lo : d;
    else if (e->kind == DIM_MUL && (e->b >= 0 || expr_of(o, e->b)->kind == DIM_NEGATIVE)) {
        k = dim_lo(o->t, e->b);
        d = e->a;
    }
    put(o, k < 0 ? "-" : first ? "" : "+");
    bool factor = k != 1;
    if (k < 0) k = -k;
    if (number || k != 1) put_number(o, k);
    if (number) return;
    put(o, k != 1 ? "*" : "");
    put_product(o, d, factor);
}

static void put_sum(Out *o, Dim d)
{
    const DimExpr *e = d < 0 ? expr_of(o, d) : NULL;
    if (!e || e->kind != DIM_ADD) {
        put_term(o, d, true);
        return;
    }
    put_sum(o, e->a);
    put_term(o, e->b, false);
}

size_t dim_print(const DimTable *t, Dim d, char *buf, size_t cap)
{
    Out o = {t, buf, cap, 0};
    if (d == DIM_BAD)
        put(&o, "?");
    else
        put_sum(&o, d);
    if (cap != 0) buf[MIN_OF(o.len, cap - 1)] = '\0';
    return o.len;
}

/* ---- parsing ----------------------------------------------------------------------------- */

typedef struct In {
    DimTable *t;
    const char *text;
    size_t len, at;
    int depth;
} In;

static char peek(const In *in) { return in->at < in->len ? in->text[in->at] : '\0'; }

static bool take(In *in, char c)
{
    if (in->at >= in->len || in->text[in->at] != c) return false;
    in->at++;
    return true;
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

static Dim parse_number(In *in)
{
    Dim v = 0;
    if (!is_digit(peek(in))) return DIM_BAD;
    for (; is_digit(peek(in)); in->at++)
        if ((v = 10 * v + (peek(in) - '0')) > DIM_MAX) return DIM_BAD;
    return v;
}

static Dim parse_sum(In *in);

static Dim parse_factor(In *in)
{
    if (take(in, '(')) {
        Dim d = parse_sum(in);
        return take(in, ')') ? d : DIM_BAD;
    }
    if (!is_letter(peek(in))) return parse_number(in);
    const char *name = in->text + in->at;
    while (is_letter(peek(in)) || is_digit(peek(in))) in->at++;
    size_t len = (size_t)(in->text + in->at - name);
    if (len != 3 || memcmp(name, "max", 3) != 0 || !take(in, '(')) return in->t ? dim_find(in->t, name, len) : DIM_BAD;
    Dim a = parse_sum(in);
    if (!take(in, ',')) return DIM_BAD;
    Dim b = parse_sum(in);
    return take(in, ')') ? dim_max(in->t, a, b) : DIM_BAD;
}

static Dim parse_term(In *in)
{
    Dim d = parse_factor(in);
    while (d != DIM_BAD) {
        if (take(in, '*'))
            d = dim_mul(in->t, d, parse_factor(in));
        else if (take(in, '/'))
            d = dim_floordiv(in->t, d, parse_number(in));
        else
            break;
    }
    return d;
}

/* What is added and what is taken away are gathered apart, since a size on the way may not be
 * negative. */
static Dim parse_sum(In *in)
{
    if (in->depth == MAX_DEPTH) return DIM_BAD;
    in->depth++;
    Dim plus = 0, minus = 0;
    bool negative = take(in, '-');
    do {
        Dim term = parse_term(in);
        if (negative)
            minus = dim_add(in->t, minus, term);
        else
            plus = dim_add(in->t, plus, term);
        negative = peek(in) == '-';
    } while (plus != DIM_BAD && minus != DIM_BAD && (take(in, '+') || take(in, '-')));
    in->depth--;
    return dim_sub(in->t, plus, minus);
}

Dim dim_parse(DimTable *t, const char *text, size_t len, size_t *used)
{
    In in = {t, text, len, 0, 0};
    Dim d = parse_sum(&in);
    *used = in.at;
    return d;
}

/* ---- values ------------------------------------------------------------------------------ */

int64_t dim_eval(const DimTable *t, Dim d, const int64_t *symbol)
{
    if (d >= 0 || d == DIM_BAD) return d;
    const DimExpr *e = &t->expr.at[-1 - d];
    if (e->kind == DIM_SYMBOL) return symbol[-1 - d];
    if (e->kind == DIM_NEGATIVE) return e->lo;
    int64_t a = dim_eval(t, e->a, symbol), b = dim_eval(t, e->b, symbol);
    switch ((DimKind)e->kind) {
    case DIM_ADD: return a + b;
    case DIM_MUL: return a * b;
    case DIM_FLOORDIV: return a / b;
    default: return MAX_OF(a, b);
    }
}
