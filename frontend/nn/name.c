/* name: gives layers names: the first of dense, dense_1, dense_2 ... with which no living variable's name begins. Relies on the
 * engine's list of variables, newest first. Never keeps a name for a layer that was not made. */
#include "layer.h"

#include <stdio.h>

#define NONE UINT64_MAX

/* n of "STEM_n/...", 0 of "STEM/..."; NONE: another name. */
static uint64_t number_of(const char *name, const char *stem, size_t len)
{
    if (strncmp(name, stem, len) != 0) return NONE;
    if (name[len] == '/') return 0;
    if (name[len] != '_' || name[len + 1] < '1' || name[len + 1] > '9') return NONE;
    uint64_t n = 0;
    const char *at = name + len + 1;
    for (; *at >= '0' && *at <= '9' && n <= UINT32_MAX; at++) n = 10 * n + (uint64_t)(*at - '0');
    return *at == '/' && n <= UINT32_MAX ? n : NONE;
}

/* The first free number from `from` on; all below it must be taken. *only: no larger number is taken. */
static uint64_t first_free(const kiln *k, const char *stem, size_t len, uint64_t from, bool *only)
{
    enum { WINDOW = 4096 };
    for (;; from += WINDOW) {
        uint64_t taken[WINDOW / 64] = {0}, n = 0, end = 0;
        for (const kiln_variable *v = k->variables; v; v = v->next) {
            uint64_t m = v->alive ? number_of(v->name, stem, len) : NONE;
            if (m == NONE) continue;
            end = MAX_OF(end, m + 1);
            if (m >= from && m - from < WINDOW) taken[(m - from) / 64] |= (uint64_t)1 << (m - from) % 64;
        }
        while (n < WINDOW && taken[n / 64] >> n % 64 & 1) n++;
        *only = end <= from + n;
        if (n < WINDOW) return from + n;
    }
}

/* All numbers below n are taken and none beyond: one more, if what was made since took n itself; else NONE. */
static uint64_t after_hint(const kiln *k, const struct NameHint *h, size_t len)
{
    uint64_t n = h->n;
    for (const kiln_variable *v = k->variables; v && v->id > h->newest; v = v->next) {
        uint64_t m = v->alive ? number_of(v->name, h->stem, len) : NONE;
        if (m != NONE && m > h->n) return NONE;
        if (m == h->n) n = (uint64_t)h->n + 1;
    }
    return n;
}

static struct NameHint *hint_of(kiln *k, const char *stem)
{
    for (size_t i = 0; i < COUNT_OF(k->hint); i++) {
        struct NameHint *h = &k->hint[i];
        if (h->stem && strcmp(h->stem, stem) == 0) return h;
        if (h->stem) continue;
        *h = (struct NameHint){.stem = stem, .renamed = k->renamed - 1}; /* says nothing yet */
        return h;
    }
    return NULL;
}

const char *layer_name(kiln *k, const char *stem, char to[32])
{
    const size_t len = strlen(stem);
    uint64_t n = 0;
    if (thread_of(k)) {
        pthread_mutex_lock(&k->lock);
        struct NameHint *h = hint_of(k, stem);
        bool only = true;
        n = h && h->renamed == k->renamed ? after_hint(k, h, len) : NONE;
        if (n == NONE) n = first_free(k, stem, len, 0, &only);
        if (h) *h = (struct NameHint){stem, (uint32_t)n, k->next_variable, only ? k->renamed : k->renamed - 1};
        pthread_mutex_unlock(&k->lock);
    }
    if (n == 0)
        snprintf(to, 32, "%s", stem);
    else
        snprintf(to, 32, "%s_%llu", stem, (unsigned long long)n);
    return to;
}

const char *layer_name_in(const char *layer, const char *what, char to[48])
{
    snprintf(to, 48, "%s/%s", layer, what);
    return to;
}
