/* lex: the words of the text form: keywords, numbers, sizes, types, names; and errors that name
 * line and column. Relies on lex.h, text. Never reads beyond the text. */
#include "lex.h"

#include <stdio.h>

bool lex_fail(Lex *l, StatusCode code, const char *format, ...)
{
    char text[sizeof l->st->text];
    va_list args;
    va_start(args, format);
    plain_vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return status_fail(l->st, code, "%u:%zu: %.440s", l->at.line, l->at.byte - l->at.line_start + 1, text);
}

char lex_look(const Lex *l) { return l->at.byte < l->len ? l->text[l->at.byte] : '\0'; }

/* Past blanks and comments, which run from two slashes to the end of the line. */
void lex_skip(Lex *l)
{
    while (l->at.byte < l->len) {
        char c = l->text[l->at.byte];
        if (c == '\n') {
            l->at.line++;
            l->at.line_start = l->at.byte + 1;
        } else if (c == '/' && l->at.byte + 1 < l->len && l->text[l->at.byte + 1] == '/') {
            const char *end = memchr(l->text + l->at.byte, '\n', l->len - l->at.byte);
            l->at.byte = end ? (size_t)(end - l->text) : l->len;
            continue;
        } else if (c != ' ' && c != '\t' && c != '\r') {
            return;
        }
        l->at.byte++;
    }
}

bool lex_take(Lex *l, const char *what)
{
    size_t n = strlen(what);
    lex_skip(l);
    if (l->len - l->at.byte < n || memcmp(l->text + l->at.byte, what, n) != 0) return false;
    l->at.byte += n;
    return true;
}

bool lex_expect(Lex *l, const char *what) { return lex_take(l, what) || lex_fail(l, ST_FORMAT, "expected '%s'", what); }

static bool is_word_char(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; }

size_t lex_word(Lex *l, const char **at)
{
    lex_skip(l);
    *at = l->text + l->at.byte;
    while (is_word_char(lex_look(l))) l->at.byte++;
    return (size_t)(l->text + l->at.byte - *at);
}

bool lex_keyword(Lex *l, const char *what)
{
    Place before = l->at;
    const char *at;
    size_t n = lex_word(l, &at);
    if (n == strlen(what) && memcmp(at, what, n) == 0) return true;
    l->at = before;
    lex_skip(l);
    return lex_fail(l, ST_FORMAT, "expected '%s'", what);
}

/* A number in its own spelling: what is left of it is for the caller to judge. */
bool lex_scalar(Lex *l, DType t, int64_t *v)
{
    lex_skip(l);
    size_t n = 0;
    const char *at = l->text + l->at.byte;
    for (size_t left = l->len - l->at.byte; n < left && (is_word_char(at[n]) || memchr("+-.", at[n], 3));) n++;
    if (!scalar_parse(t, at, n, v)) return lex_fail(l, ST_FORMAT, "expected a value of %s", dtype_info[t].name);
    l->at.byte += n;
    return true;
}

bool lex_dim(Lex *l, Dim *d)
{
    size_t used;
    char why[64];
    lex_skip(l);
    l->dims->trouble = DIM_FINE;
    *d = dim_parse(l->dims, l->text + l->at.byte, l->len - l->at.byte, &used);
    if (*d == DIM_BAD && l->dims->trouble != DIM_FINE)
        return lex_fail(l, ST_FORMAT, "this size %s", dim_trouble(l->dims, why, sizeof why));
    if (*d == DIM_BAD) return lex_fail(l, ST_FORMAT, "expected a size");
    l->at.byte += used;
    return true;
}

bool lex_dtype(Lex *l, DType *t)
{
    const char *at;
    Place before = l->at;
    size_t n = lex_word(l, &at);
    *t = dtype_parse(at, n);
    if (*t != DT_NONE) return true;
    l->at = before;
    lex_skip(l);
    return lex_fail(l, ST_FORMAT, "expected a dtype");
}

bool lex_type(Lex *l, Type *out)
{
    DType t;
    if (!lex_dtype(l, &t) || !lex_expect(l, "[")) return false;
    *out = (Type){.dtype = (uint8_t)t};
    if (lex_take(l, "]")) return true;
    do {
        if (out->rank == MAX_RANK) return lex_fail(l, ST_FORMAT, "more than %d axes", MAX_RANK);
        if (!lex_dim(l, &out->dim[out->rank++])) return false;
    } while (lex_take(l, ","));
    if (type_elements(l->dims, out) == DIM_BAD) return lex_fail(l, ST_FORMAT, "the type is too large");
    return lex_expect(l, "]");
}

static int hex_digit(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; }

/* @name or @"quoted": a copy in the arena. */
bool lex_graph_name(Lex *l, const char **out)
{
    if (!lex_expect(l, "@")) return false;
    bool quoted = lex_look(l) == '"';
    if (quoted) l->at.byte++;
    size_t first = l->at.byte, n = 0;
    char c;
    while ((c = lex_look(l)) >= ' ' && c != '"' && (quoted || is_word_char(c) || memchr(".$#-", c, 4))) l->at.byte++;
    char *name = arena_alloc(l->arena, l->at.byte - first + 1);
    for (size_t i = first; i < l->at.byte; i++) {
        c = l->text[i];
        if (c == '\\') {
            int hi = i + 2 < l->at.byte ? hex_digit(l->text[i + 1]) : -1, lo = hi >= 0 ? hex_digit(l->text[i + 2]) : -1;
            if (lo < 0 || 16 * hi + lo == 0) return lex_fail(l, ST_FORMAT, "bad escape in a name");
            c = (char)(16 * hi + lo);
            i += 2;
        }
        name[n++] = c;
    }
    name[n] = '\0';
    *out = name;
    if (quoted) return lex_expect(l, "\"");
    return n != 0 || lex_fail(l, ST_FORMAT, "expected a name");
}
