/* number: scalar attributes as text and back. Relies on text.h and the C library's conversions. */
#include "text.h"

#include <fenv.h>
#include <math.h>
#include <stdio.h>

#define LONGEST 64

/* The number that the text stands for, as a double rounded to odd, so that rounding once more is right: the C library rounds as it
 * is told, and where the two nearest doubles differ the odd one is between no two f32s. f64 itself takes the nearest. */
static double read_number(DType t, const char *text, char **end)
{
    double v = strtod(text, end);
    if (t == DT_f64 || v != v || isinf(v)) return v;
    const int mode = fegetround();
    fesetround(FE_TOWARDZERO);
    double inner = strtod(text, NULL);
    fesetround(signbit(v) ? FE_DOWNWARD : FE_UPWARD);
    double outer = strtod(text, NULL);
    fesetround(mode);
    uint64_t u;
    memcpy(&u, &inner, sizeof u);
    if (inner != outer) u |= 1;
    memcpy(&v, &u, sizeof v);
    return v;
}

static int64_t rounded(DType t, double d)
{
    uint64_t room = 0;
    dtype_store_f64(t, &room, d);
    return attr_of_f64(d != d ? (double)NAN : dtype_load_f64(t, &room));
}

static void print_float(DType t, int64_t v, char *buf, size_t cap)
{
    double d = attr_f64(v);
    if (d != d || isinf(d)) {
        snprintf(buf, cap, "%s", d != d ? "nan" : d > 0 ? "inf" : "-inf");
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        int64_t back;
        snprintf(buf, cap, "%.*g", digits, d);
        if (scalar_parse(t, buf, strlen(buf), &back) && back == v) return;
    }
}

void scalar_print(DType t, int64_t v, char *buf, size_t cap)
{
    locale_t before = plain_numbers_begin();
    if (dtype_is_float(t))
        print_float(t, v, buf, cap);
    else if (t == DT_u64)
        snprintf(buf, cap, "%llu", (unsigned long long)v);
    else
        snprintf(buf, cap, "%lld", (long long)v);
    plain_numbers_end(before);
}

static bool is_text(const char *text, size_t len, const char *s) { return strlen(s) == len && memcmp(text, s, len) == 0; }

static bool parse_float(DType t, const char *text, size_t len, int64_t *v)
{
    double named = is_text(text, len, "nan") ? (double)NAN : is_text(text, len, "inf") ? HUGE_VAL : -HUGE_VAL;
    if (named > 0 || named != named || is_text(text, len, "-inf")) {
        *v = attr_of_f64(named);
        return true;
    }
    char copy[LONGEST + 1], *end;
    if (len == 0 || len > LONGEST || !memchr("-0123456789", text[0], 11)) return false;
    for (size_t i = 0; i < len; i++)
        if (!memchr("+-.0123456789abcdefABCDEFxXpP", text[i], 29)) return false;
    memcpy(copy, text, len);
    copy[len] = '\0';
    locale_t before = plain_numbers_begin();
    *v = rounded(t, read_number(t, copy, &end));
    plain_numbers_end(before);
    return *end == '\0';
}

static bool parse_int(DType t, const char *text, size_t len, int64_t *v)
{
    bool negative = len != 0 && text[0] == '-';
    uint64_t magnitude = 0, most = t == DT_u64 ? UINT64_MAX : (uint64_t)INT64_MAX + negative;
    if (len == negative) return false;
    for (size_t i = negative; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') return false;
        if (__builtin_mul_overflow(magnitude, 10u, &magnitude) ||
            __builtin_add_overflow(magnitude, (unsigned)(text[i] - '0'), &magnitude) || magnitude > most)
            return false;
    }
    *v = (int64_t)(negative ? 0 - magnitude : magnitude);
    if (t == DT_u64) return !negative || magnitude == 0;
    return *v >= dtype_info[t].lo && *v <= dtype_info[t].hi;
}

bool scalar_parse(DType t, const char *text, size_t len, int64_t *v)
{
    return dtype_is_float(t) ? parse_float(t, text, len, v) : parse_int(t, text, len, v);
}
