/* text: a growing string. Relies on base.h. Never fails in the middle of a program: `failed` remembers a failed allocation, and
 * callers ask once at the end. */
#include "base.h"

#include <stdio.h>

/* Room for `more` bytes and the terminator. */
static bool reserve(Text *t, size_t more)
{
    size_t need;
    if (t->failed || !size_add(t->len, more, &need) || !size_add(need, 1, &need)) {
        t->failed = true;
        return false;
    }
    if (need <= t->cap) return true;
    size_t cap = MAX_OF(need, t->cap <= PTRDIFF_MAX / 2 ? MAX_OF(2 * t->cap, 64) : need);
    char *at = mem_resize(t->at, t->cap, cap);
    if (!at) {
        t->failed = true;
        return false;
    }
    t->at = at;
    t->cap = cap;
    return true;
}

void text_add(Text *t, const char *bytes, size_t n)
{
    if (!reserve(t, n)) return;
    if (n != 0) memcpy(t->at + t->len, bytes, n);
    t->len += n;
    t->at[t->len] = '\0';
}

locale_t plain_numbers_begin(void) { return uselocale(newlocale(LC_ALL_MASK, "C", (locale_t)0)); /* a constant: nothing to free */ }
void plain_numbers_end(locale_t before) { uselocale(before); }

int plain_vsnprintf(char *buf, size_t cap, const char *format, va_list args)
{
    locale_t before = plain_numbers_begin();
    int n = vsnprintf(buf, cap, format, args);
    plain_numbers_end(before);
    return n;
}

int plain_snprintf(char *buf, size_t cap, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = plain_vsnprintf(buf, cap, format, args);
    va_end(args);
    return n;
}

void text_printf(Text *t, const char *format, ...)
{
    if (!reserve(t, 0)) return;
    va_list args;
    va_start(args, format);
    int n = plain_vsnprintf(t->at + t->len, t->cap - t->len, format, args);
    va_end(args);
    if (n >= 0 && (size_t)n >= t->cap - t->len && reserve(t, (size_t)n)) {
        va_start(args, format);
        n = plain_vsnprintf(t->at + t->len, t->cap - t->len, format, args);
        va_end(args);
    }
    if (n < 0) t->failed = true;
    if (!t->failed) t->len += (size_t)n;
    t->at[t->len] = '\0';
}

void text_free(Text *t)
{
    mem_free(t->at, t->cap);
    *t = (Text){0};
}
