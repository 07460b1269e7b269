/* safetensors_header: parses the JSON header of a safetensors file strictly: it may contain only the objects that the format
 * defines, no key twice and nothing nested deeper; offsets must fit dtype and shape and cover the data exactly. Relies on an arena.
 * Never touches a file, never recurses. */
#include "safetensors.h"

#include <stdio.h>

typedef struct Json {
    const unsigned char *start, *at, *end;
    Arena *a;
    Status *st;
} Json;

static const SafeType formats[] = {
#define DTYPE_INT(t, tag, c, bits, ...) {#tag, DT_##t, bits},
#define DTYPE_FLOAT(t, tag, c, bits, ...) {#tag, DT_##t, bits},
#define DTYPE_NARROW(t, tag, c, bits, ...) {#tag, DT_##t, bits},
#include "../../runtime/dtype.def"
    /* What Kiln has no type for; a name that a row gives is found there first. */
    {"F8_E8M0", DT_NONE, 8},
    {"F6_E2M3", DT_NONE, 6},
    {"F6_E3M2", DT_NONE, 6},
    {"F4", DT_NONE, 4},
    {"C64", DT_NONE, 64},
};

const char *safe_shown(const char *name, char buf[72])
{
    size_t n = 0;
    for (; name[n] && n < 64; n++) buf[n] = (unsigned char)name[n] < 0x20 || name[n] == 0x7f ? '?' : name[n];
    snprintf(buf + n, 72 - n, "%s", name[n] ? "..." : "");
    return buf;
}

static bool broken(Json *j, const char *what)
{
    return status_fail(j->st, ST_FORMAT, "header, byte %zu: %s", (size_t)(j->at - j->start), what);
}

static bool named(Json *j, const char *name, const char *what)
{
    char buf[72];
    return status_fail(j->st, ST_FORMAT, "tensor \"%s\": %s", safe_shown(name, buf), what);
}

/* ---- words ----------------------------------------------------------------------------------------- */
static void blank(Json *j)
{
    while (j->at < j->end && (*j->at == ' ' || *j->at == '\t' || *j->at == '\n' || *j->at == '\r')) j->at++;
}

static bool is(Json *j, char c)
{
    blank(j);
    if (j->at >= j->end || *j->at != (unsigned char)c) return false;
    j->at++;
    return true;
}

static bool need(Json *j, char c)
{
    if (is(j, c)) return true;
    char what[32];
    snprintf(what, sizeof what, "'%c' is expected", c);
    return broken(j, what);
}

/* After a member: true with *more, or the list is closed. */
static bool more(Json *j, char close, bool *again)
{
    *again = is(j, ',');
    if (*again || is(j, close)) return true;
    char what[48];
    snprintf(what, sizeof what, "',' or '%c' is expected", close);
    return broken(j, what);
}

static bool hex4(Json *j, uint32_t *out)
{
    *out = 0;
    for (int i = 0; i < 4; i++, j->at++) {
        int c = j->at < j->end ? *j->at : 0;
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (digit < 0) return broken(j, "\\u needs four hexadecimal digits");
        *out = *out << 4 | (uint32_t)digit;
    }
    return true;
}

static char *put_utf8(char *to, uint32_t c)
{
    if (c < 0x80) {
        *to++ = (char)c;
    } else if (c < 0x800) {
        *to++ = (char)(0xc0 | c >> 6);
        *to++ = (char)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *to++ = (char)(0xe0 | c >> 12);
        *to++ = (char)(0x80 | (c >> 6 & 0x3f));
        *to++ = (char)(0x80 | (c & 0x3f));
    } else {
        *to++ = (char)(0xf0 | c >> 18);
        *to++ = (char)(0x80 | (c >> 12 & 0x3f));
        *to++ = (char)(0x80 | (c >> 6 & 0x3f));
        *to++ = (char)(0x80 | (c & 0x3f));
    }
    return to;
}

/* After a backslash. */
static bool escape(Json *j, char **to)
{
    static const char from[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
    int c = *j->at;
    const char *p = c ? strchr(from, c) : NULL;
    if (p) {
        *(*to)++ = means[p - from];
        j->at++;
        return true;
    }
    if (c != 'u') return broken(j, "an unknown escape");
    uint32_t u, low;
    j->at++;
    if (!hex4(j, &u)) return false;
    if (u >= 0xd800 && u < 0xdc00) {
        if (j->end - j->at < 6 || j->at[0] != '\\' || j->at[1] != 'u') return broken(j, "half a surrogate pair");
        j->at += 2;
        if (!hex4(j, &low)) return false;
        if (low < 0xdc00 || low > 0xdfff) return broken(j, "half a surrogate pair");
        u = 0x10000 + ((u - 0xd800) << 10) + (low - 0xdc00);
    } else if (u >= 0xdc00 && u < 0xe000) {
        return broken(j, "half a surrogate pair");
    }
    if (u == 0) return broken(j, "a zero character in a string");
    *to = put_utf8(*to, u);
    return true;
}

/* Decoded text is never longer than its JSON. */
static bool string(Json *j, const char **out)
{
    if (!need(j, '"')) return false;
    const unsigned char *p = j->at;
    while (p < j->end && *p != '"') p += *p == '\\' && j->end - p > 1 ? 2 : 1;
    if (p >= j->end) return broken(j, "a string does not end");
    if (!safe_utf8((const char *)j->at, (size_t)(p - j->at))) return broken(j, "a string is not UTF-8");
    char *text = arena_alloc(j->a, (size_t)(p - j->at) + 1), *to = text;
    while (j->at < p) {
        int c = *j->at++;
        if (c < 0x20) {
            j->at--;
            return broken(j, "a control character in a string");
        }
        if (c != '\\')
            *to++ = (char)c;
        else if (!escape(j, &to))
            return false;
    }
    *to = '\0';
    *out = text;
    j->at = p + 1;
    return true;
}

static bool number(Json *j, uint64_t *out)
{
    blank(j);
    const unsigned char *p = j->at;
    uint64_t n = 0;
    for (; p < j->end && *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(n, 10u, &n) || __builtin_add_overflow(n, *p - '0', &n) || n > INT64_MAX)
            return broken(j, "a number that is too large");
    if (p == j->at) return broken(j, "a whole number, of digits only, is expected");
    if (p - j->at > 1 && *j->at == '0') return broken(j, "a number with a leading zero");
    j->at = p;
    *out = n;
    return true;
}

/* ---- one tensor --------------------------------------------------------------------------------------- */
static bool read_format(Json *j, SafeTensor *x)
{
    const char *name;
    char buf[72];
    if (!string(j, &name)) return false;
    for (size_t i = 0; i < COUNT_OF(formats); i++)
        if (strcmp(formats[i].name, name) == 0) {
            x->format = &formats[i];
            return true;
        }
    char what[112];
    snprintf(what, sizeof what, "\"%s\" is not a dtype of the format", safe_shown(name, buf));
    return named(j, x->name, what);
}

static bool read_shape(Json *j, SafeTensor *x)
{
    bool again = true;
    uint64_t n;
    if (!need(j, '[')) return false;
    if (is(j, ']')) return true;
    while (again) {
        if (!number(j, &n)) return false;
        if (x->type.rank == MAX_RANK) return named(j, x->name, "more than 8 axes");
        if (n > (uint64_t)DIM_MAX) return named(j, x->name, "an axis is too large");
        x->type.dim[x->type.rank++] = (Dim)n;
        if (!more(j, ']', &again)) return false;
    }
    return true;
}

static bool read_offsets(Json *j, SafeTensor *x)
{
    return need(j, '[') && number(j, &x->begin) && need(j, ',') && number(j, &x->end) && need(j, ']');
}

/* The offsets must lie in the data and give as many bytes as dtype and shape need. */
static bool fits(Json *j, SafeTensor *x, uint64_t data_bytes)
{
    uint64_t bits = x->format->bits;
    for (int i = 0; i < x->type.rank; i++)
        if (__builtin_mul_overflow(bits, (uint64_t)x->type.dim[i], &bits))
            return named(j, x->name, "the shape has more bytes than can be addressed");
    if (bits % 8) return named(j, x->name, "the elements do not fill whole bytes");
    if (x->begin > x->end || x->end > data_bytes) {
        char what[160];
        snprintf(what, sizeof what, "data_offsets [%llu,%llu] do not lie within the %llu bytes of data",
            (unsigned long long)x->begin, (unsigned long long)x->end, (unsigned long long)data_bytes);
        return named(j, x->name, what);
    }
    if (bits / 8 != x->end - x->begin) {
        char what[160];
        snprintf(what, sizeof what, "dtype and shape need %llu bytes, the offsets give %llu", (unsigned long long)(bits / 8),
            (unsigned long long)(x->end - x->begin));
        return named(j, x->name, what);
    }
    x->type.dtype = x->format->dtype;
    return true;
}

static bool read_tensor(Json *j, const char *name, uint64_t data_bytes, SafeHeader *out)
{
    static const char *const keys[] = {"dtype", "shape", "data_offsets"};
    static bool (*const read[])(Json *, SafeTensor *) = {read_format, read_shape, read_offsets};
    SafeTensor x = {.name = name};
    unsigned seen = 0;
    bool again = !is(j, '}');
    while (again) {
        const char *key;
        if (!string(j, &key)) return false;
        unsigned i = 0;
        while (i < 3 && strcmp(keys[i], key) != 0) i++;
        if (i == 3) return named(j, name, "it has a key other than dtype, shape and data_offsets");
        if (seen & 1u << i) return named(j, name, "a key occurs twice");
        seen |= 1u << i;
        if (!need(j, ':') || !read[i](j, &x) || !more(j, '}', &again)) return false;
    }
    if (seen != 7) return named(j, name, "dtype, shape or data_offsets is missing");
    if (!fits(j, &x, data_bytes)) return false;
    *VEC_PUSH(j->a, &out->tensor) = x;
    return true;
}

static bool read_metadata(Json *j, SafeHeader *out)
{
    bool again = !is(j, '}');
    while (again) {
        SafePair p;
        if (!string(j, &p.key) || !need(j, ':') || !string(j, &p.value) || !more(j, '}', &again)) return false;
        *VEC_PUSH(j->a, &out->meta) = p;
    }
    return true;
}

/* ---- the whole ------------------------------------------------------------------------------------------ */
static int by_name(const void *a, const void *b) { return strcmp(((const SafeTensor *)a)->name, ((const SafeTensor *)b)->name); }

static int by_key(const void *a, const void *b) { return strcmp(((const SafePair *)a)->key, ((const SafePair *)b)->key); }

static int by_place(const void *a, const void *b)
{
    const SafeTensor *x = *(SafeTensor *const *)a, *y = *(SafeTensor *const *)b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

static bool distinct(Json *j, SafeHeader *h)
{
    char buf[72];
    if (h->tensor.len) qsort(h->tensor.at, h->tensor.len, sizeof *h->tensor.at, by_name);
    if (h->meta.len) qsort(h->meta.at, h->meta.len, sizeof *h->meta.at, by_key);
    for (uint32_t i = 1; i < h->tensor.len; i++)
        if (by_name(&h->tensor.at[i - 1], &h->tensor.at[i]) == 0) return named(j, h->tensor.at[i].name, "the name occurs twice");
    for (uint32_t i = 1; i < h->meta.len; i++)
        if (by_key(&h->meta.at[i - 1], &h->meta.at[i]) == 0)
            return status_fail(j->st, ST_FORMAT, "metadata key \"%s\" occurs twice", safe_shown(h->meta.at[i].key, buf));
    return true;
}

static bool tiled(Json *j, const SafeHeader *h, uint64_t data_bytes)
{
    uint32_t n = h->tensor.len;
    SafeTensor **order = ARENA_ARRAY(j->a, SafeTensor *, n + 1);
    for (uint32_t i = 0; i < n; i++) order[i] = &h->tensor.at[i];
    qsort(order, n, sizeof *order, by_place);
    uint64_t at = 0;
    for (uint32_t i = 0; i < n; at = order[i++]->end)
        if (order[i]->begin != at)
            return named(
                j, order[i]->name, order[i]->begin < at ? "its data overlap another tensor's" : "there is a hole before its data");
    if (at == data_bytes) return true;
    return status_fail(j->st, ST_FORMAT, "the tensors cover %llu bytes of data, the file has %llu", (unsigned long long)at,
        (unsigned long long)data_bytes);
}

bool safe_header_parse(Arena *a, const char *json, size_t n, uint64_t data_bytes, SafeHeader *out, Status *st)
{
    const unsigned char *p = (const unsigned char *)json;
    Json j = {p, p, p + n, a, st};
    *out = (SafeHeader){0};
    if (n == 0 || *p != '{') return broken(&j, "a header begins with '{'");
    j.at++;
    bool again = !is(&j, '}'), metadata = false;
    while (again) {
        const char *name;
        if (!string(&j, &name) || !need(&j, ':') || !need(&j, '{')) return false;
        bool meta = strcmp(name, "__metadata__") == 0;
        if (meta && metadata) return broken(&j, "__metadata__ occurs twice");
        metadata |= meta;
        if (meta ? !read_metadata(&j, out) : !read_tensor(&j, name, data_bytes, out)) return false;
        if (!more(&j, '}', &again)) return false;
    }
    blank(&j);
    if (j.at != j.end) return broken(&j, "something follows the header's object");
    return distinct(&j, out) && tiled(&j, out, data_bytes);
}

/* RFC 3629: shortest forms, no surrogates, up to U+10FFFF. */
bool safe_utf8(const char *s, size_t n)
{
    for (size_t each; n != 0; s += each, n -= each)
        if ((each = utf8_one(s, n)) == 0) return false;
    return true;
}
