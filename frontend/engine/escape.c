/* escape: see escape.h. Never looks at the locale. */
#include "escape.h"

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

size_t utf8_one(const char *s, size_t n)
{
    const unsigned char *p = (const unsigned char *)s;
    if (n == 0) return 0;
    size_t tail = *p < 0x80 ? 0 : *p >= 0xc2 && *p < 0xe0 ? 1 : *p >= 0xe0 && *p < 0xf0 ? 2 : *p >= 0xf0 && *p < 0xf5 ? 3 : n;
    if (tail >= n) return 0;
    if (tail >= 2 &&
        ((*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] > 0x9f) || (*p == 0xf0 && p[1] < 0x90) || (*p == 0xf4 && p[1] > 0x8f)))
        return 0;
    for (size_t i = 1; i <= tail; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    return tail + 1;
}

void text_comment(Text *out, const char *s)
{
    for (; *s; s++) {
        bool plain = *s >= ' ' && *s <= '~' && *s != '\\' && *s != '*' && *s != '?';
        text_add(out, plain ? s : "?", 1);
    }
}

/* One character of s, of `left` bytes, as it is, or its replacement; how many bytes it had. */
static size_t put_one(Text *out, const char *s, size_t left)
{
    size_t n = utf8_one(s, left);
    if (n == 0)
        text_add(out, REPLACEMENT, strlen(REPLACEMENT));
    else
        text_add(out, s, n);
    return n == 0 ? 1 : n;
}

void text_json(Text *out, const char *s)
{
    const char *end = s + strlen(s);
    text_add(out, "\"", 1);
    while (s < end) {
        const unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            text_printf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f || c == '<' || c == '>' || c == '&')
            text_printf(out, "\\u%04x", c);
        else {
            s += put_one(out, s, (size_t)(end - s));
            continue;
        }
        s++;
    }
    text_add(out, "\"", 1);
}

void text_line(char *s)
{
    for (const char *end = s + strlen(s); s < end;) {
        const size_t n = utf8_one(s, (size_t)(end - s));
        if (*s == '\n' || *s == '\r' || *s == '\t')
            *s = ' ';
        else if (n == 0 || (unsigned char)*s < 0x20 || *s == 0x7f ||
                 (n == 2 && !memcmp(s, "\xc2", 1) && (unsigned char)s[1] < 0xa0))
            memset(s, '?', MAX_OF(n, 1));
        s += MAX_OF(n, 1);
    }
}

static const char *entity(char c)
{
    switch (c) {
    case '<': return "&lt;";
    case '>': return "&gt;";
    case '&': return "&amp;";
    case '"': return "&quot;";
    case '\'': return "&#39;";
    case '\t':
    case '\n':
    case '\r': return " ";
    default: return (unsigned char)c < 0x20 ? REPLACEMENT : NULL;
    }
}

void text_xml(Text *out, const char *s)
{
    const char *end = s + strlen(s);
    while (s < end) {
        const char *instead = entity(*s);
        if (!instead && (!strncmp(s, "\xef\xbf\xbe", 3) || !strncmp(s, "\xef\xbf\xbf", 3))) { /* no characters */
            text_add(out, REPLACEMENT, 3);
            s += 3;
        } else if (!instead) {
            s += put_one(out, s, (size_t)(end - s));
        } else {
            text_add(out, instead, strlen(instead));
            s++;
        }
    }
}
