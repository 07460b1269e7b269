/* einsum_text: reads the labels of an einsum, such as "...ij,jk->...ik". Relies on einsum.h. Touches no tensor. */
#include "einsum.h"

#include <string.h>

static int letter(char c) { return c >= 'a' && c <= 'z' ? c - 'a' : c >= 'A' && c <= 'Z' ? c - 'A' + 26 : -1; }

static const char *label_text(int label, char *buf, size_t cap)
{
    if (label < LETTERS)
        snprintf(buf, cap, "label %c", label < 26 ? 'a' + label : 'A' + label - 26);
    else
        snprintf(buf, cap, "axis %d of ...", label - LABELS);
    return buf;
}

/* Labels up to the end of this part; *dots: where "..." stands among them, or -1. The number of letters, or -1: recorded. */
static int letters(Thread *t, kiln_site at, const Einsum *e, const char *all, const char **p, uint8_t *label, int *dots)
{
    int n = 0;
    *dots = -1;
    for (; **p && **p != ',' && **p != '-'; ++*p) {
        if (**p == ' ') continue;
        const int l = letter(**p);
        if (l < 0 && (strncmp(*p, "...", 3) != 0 || *dots >= 0)) {
            fail(t, at, KILN_EVALUE,
                *dots >= 0 && **p == '.' ? "%s: \"%s\" has ... twice in one part"
                                         : "%s: \"%s\" has other characters than letters, commas, one -> and ... for further axes",
                e->op, all);
            return -1;
        }
        if (l < 0) {
            *dots = n;
            *p += 2;
        } else if (n == MAX_RANK) {
            fail(t, at, KILN_EVALUE, "%s: \"%s\" has more than %d labels in one part", e->op, all, MAX_RANK);
            return -1;
        } else {
            label[n++] = (uint8_t)l;
        }
    }
    return n;
}

/* The letters, with `more` axes of "..." where it stands. */
static int spread_dots(const uint8_t *from, int n, int dots, int more, uint8_t *to)
{
    int k = 0;
    for (int i = 0; i <= n; i++) {
        for (int j = 0; i == dots && j < more; j++) to[k++] = (uint8_t)(LABELS - more + j);
        if (i < n) to[k++] = from[i];
    }
    return k;
}

static bool read_operand(Thread *t, kiln_site at, const Einsum *e, const char *all, const char **p, int number, int *most)
{
    Labelled *x = &e->term[number];
    const int rank = x->x->type.rank;
    uint8_t label[MAX_RANK];
    char text[160];
    int dots;
    const int n = letters(t, at, e, all, p, label, &dots);
    if (n < 0) return false;
    if (dots < 0 ? n != rank : n > rank) {
        fail(t, at, KILN_ESHAPE, "%s: \"%s\" has %d labels for operand %d: %s", e->op, all, n, number,
            tensor_text(x->x, text, sizeof text));
        return false;
    }
    x->n = spread_dots(label, n, dots, rank - n, x->label);
    *most = MAX_OF(*most, rank - n);
    return true;
}

/* The axes of "...", then the labels that stand once, in order of the alphabet. */
static bool implied_result(Thread *t, kiln_site at, Einsum *e, const char *all, int dots)
{
    int times[LETTERS] = {0}, n = dots;
    for (int i = 0; i < dots; i++) e->out[i] = (uint8_t)(LABELS - dots + i);
    for (int k = 0; k < e->count; k++)
        for (int i = 0; i < e->term[k].n; i++)
            if (e->term[k].label[i] < LETTERS) times[e->term[k].label[i]]++;
    for (int i = 0; i < LETTERS; i++) {
        const int l = i < 26 ? i + 26 : i - 26; /* capitals come first, as in ASCII */
        if (times[l] != 1) continue;
        if (n == MAX_RANK) {
            fail(t, at, KILN_ESHAPE, "%s: the result of \"%s\" would have more than %d axes", e->op, all, MAX_RANK);
            return false;
        }
        e->out[n++] = (uint8_t)l;
    }
    e->nout = n;
    return true;
}

static bool given_result(Thread *t, kiln_site at, Einsum *e, const char *all, const char *p, int most)
{
    uint8_t label[MAX_RANK], full[2 * MAX_RANK];
    uint64_t known = 0, seen = 0;
    char what[40];
    int dots;
    const int n = letters(t, at, e, all, &p, label, &dots);
    if (n < 0) return false;
    const char *wrong = *p                     ? "has more than one result"
                        : dots < 0 && most > 0 ? "has ... for axes of operands, but not of the result"
                                               : NULL;
    if (wrong || n + (dots < 0 ? 0 : most) > MAX_RANK) {
        fail(t, at, KILN_EVALUE, "%s: \"%s\" %s", e->op, all, wrong ? wrong : "has too many axes in its result");
        return false;
    }
    e->nout = spread_dots(label, n, dots, most, full);
    memcpy(e->out, full, (size_t)e->nout);
    for (int k = 0; k < e->count; k++) known |= labels_of(&e->term[k]);
    for (int i = 0; i < e->nout; i++) {
        const uint64_t bit = (uint64_t)1 << e->out[i];
        if ((known & bit) && !(seen & bit)) {
            seen |= bit;
            continue;
        }
        fail(t, at, KILN_EVALUE, "%s: \"%s\" has %s %s", e->op, all, label_text(e->out[i], what, sizeof what),
            seen & bit ? "twice in its result" : "in its result, but in no operand");
        return false;
    }
    return true;
}

bool einsum_read(Thread *t, kiln_site at, Einsum *e, const char *labels)
{
    int parts = 1, most = 0;
    const char *p = labels;
    if (!labels) {
        fail(t, at, KILN_EVALUE, "%s: the labels are NULL", e->op);
        return false;
    }
    for (const char *c = labels; *c && *c != '-'; c++) parts += *c == ',';
    if (parts != e->count) {
        fail(t, at, KILN_EVALUE, "%s: \"%s\" is for %d operands, but %d are given", e->op, labels, parts, e->count);
        return false;
    }
    for (int i = 0; i < e->count; i++) {
        if (!read_operand(t, at, e, labels, &p, i, &most)) return false;
        if (*p == ',') p++;
    }
    if (!*p) return implied_result(t, at, e, labels, most);
    if (p[0] == '-' && p[1] == '>') return given_result(t, at, e, labels, p + 2, most);
    fail(t, at, KILN_EVALUE, "%s: \"%s\" has a - that is no part of ->", e->op, labels);
    return false;
}

bool einsum_sizes(Thread *t, kiln_site at, Einsum *e)
{
    char what[40], text[160];
    for (int k = 0; k < e->count; k++) {
        const Labelled *x = &e->term[k];
        for (int i = 0; i < x->n; i++) {
            const int l = x->label[i];
            const Dim d = x->x->type.dim[i], known = e->met[l] ? e->size[l] : 1;
            e->met[l] = true;
            e->size[l] = known == 1 ? d : known;
            if (d == 1 || known == 1 || d == known) continue;
            fail(t, at, KILN_ESHAPE, "%s: the sizes of %s differ, also at operand %d: %s", e->op, label_text(l, what, sizeof what),
                k, tensor_text(x->x, text, sizeof text));
            return false;
        }
    }
    return true;
}
