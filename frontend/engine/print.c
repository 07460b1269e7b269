/* print: tensors as NumPy 2.4 prints them (its defaults: precision 8, 75 columns, 1000 elements
 * before the middle is left out). Relies on engine.h. Never copies a tensor: reads elements
 * through the strides. */
#include "engine.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#define LINE 75
#define PRECISION 8
#define THRESHOLD 1000
#define EDGE 3
#define WORD 64 /* bytes of one element's text; positional floats here stay below 1e16 */

/* How the elements of one tensor are written. */
typedef struct Format {
    const kiln_tensor *x;
    bool summary;
    int width; /* characters of an integer or bool */
    bool scientific;
    int left, right;      /* floats: characters before and after the point */
    int digits, exponent; /* scientific: digits after the point, and of the exponent */
    /* gathered from the elements shown */
    bool any, infinite, negative_infinite;
    double smallest, largest; /* the smallest and the largest magnitude that is finite and not 0 */
} Format;

typedef void Visit(Format *f, const char *at);

/* Calls visit on each element that is shown. */
static void visit_shown(Format *f, Visit *visit, int axis, const char *at)
{
    const Type *type = &f->x->type;
    if (axis == type->rank) {
        visit(f, at);
        return;
    }
    int64_t n = type->dim[axis], step = f->x->stride[axis] * (int64_t)dtype_bytes((DType)type->dtype);
    for (int64_t i = 0; i < n; i++) {
        if (f->summary && n > 2 * EDGE && i == EDGE) i = n - EDGE;
        visit_shown(f, visit, axis + 1, at + i * step);
    }
}

/* ---- digits --------------------------------------------------------------------------------- */

static bool reads_back(DType d, const char *text, double v)
{
    uint64_t bits = 0;
    if (d == DT_f32) return strtof(text, NULL) == (float)v;
    dtype_store_f64(d, &bits, strtod(text, NULL));
    return dtype_load_f64(d, &bits) == v;
}

/* The fewest digits that read back as v, as d.ddde[+-]xx: how many stand after the point, and the
 * exponent. */
static int shortest(DType d, double v, int *exponent)
{
    char text[WORD];
    int p = 0;
    for (; p < 17; p++) {
        snprintf(text, sizeof text, "%.*e", p, v);
        if (reads_back(d, text, v)) break;
    }
    *exponent = atoi(strchr(text, 'e') + 1);
    return p;
}

/* Positional, at most `most` digits after the point, trailing zeros gone, the point kept: "1.",
 * "0.25". */
static int positional(DType d, double v, int most, char *out)
{
    char digits[WORD];
    int exponent, p = shortest(d, v, &exponent), after = MAX_OF(p - exponent, 0);
    if (after > most) return snprintf(out, WORD, "%.*f", most, v);
    /* From the decimal text: beyond 2^53 the exact digits of v are not the shortest ones. */
    snprintf(digits, sizeof digits, "%.*e", p, v);
    int n = snprintf(out, WORD, "%s", signbit(v) ? "-" : ""), whole = MAX_OF(exponent, 0);
    const char *at = digits + (signbit(v) != 0);
    char packed[WORD];
    int have = 0;
    for (; *at != 'e'; at++)
        if (*at != '.') packed[have++] = *at;
    for (int i = 0; i <= whole; i++) {
        int k = exponent >= 0 ? i : -1;
        out[n++] = k >= 0 && k < have ? packed[k] : '0';
    }
    out[n++] = '.';
    for (int i = 0; i < after; i++) {
        int k = exponent + 1 + i;
        out[n++] = k >= 0 && k < have ? packed[k] : '0';
    }
    out[n] = '\0';
    return n;
}

static void trim_zeros(char *text)
{
    size_t n = strlen(text);
    while (n > 0 && text[n - 1] == '0') text[--n] = '\0';
}

/* d.ddde+xx with the fewest digits that read back, at most `digits` after the point; `exponent` 0.
 * Or with exactly `digits` (NumPy fills up with the value's own digits, not with zeros) and that
 * many of the exponent. */
static void scientific(DType d, double v, int digits, int exponent, char *out)
{
    int x, p = exponent != 0 ? digits : MIN_OF(shortest(d, v, &x), digits);
    char text[WORD];
    snprintf(text, sizeof text, "%.*e", p, v);
    int head = (int)(strchr(text, 'e') - text);
    x = atoi(text + head + 1);
    int n = snprintf(out, WORD, "%.*s%se", head, text, p > 0 ? "" : ".");
    snprintf(out + n, (size_t)(WORD - n), exponent > 2 ? "%+04d" : "%+03d", x);
}

/* From here on the digits before the point would be more than the dtype carries. */
static double positional_limit(DType d, double most) { return d == DT_f64 ? most : d == DT_f32 ? 1e6 : 1e3; }

/* ---- formats -------------------------------------------------------------------------------- */

static void note_integer(Format *f, const char *at)
{
    char text[WORD];
    DType d = (DType)f->x->type.dtype;
    int64_t v = dtype_load_i64(d, at);
    int n = d == DT_u64 ? snprintf(text, sizeof text, "%" PRIu64, (uint64_t)v) : snprintf(text, sizeof text, "%" PRId64, v);
    f->width = MAX_OF(f->width, n);
}

static void note_float(Format *f, const char *at)
{
    double v = dtype_load_f64((DType)f->x->type.dtype, at), m = fabs(v);
    if (!isfinite(v)) {
        f->infinite = true;
        f->negative_infinite = f->negative_infinite || (isinf(v) && v < 0);
        return;
    }
    f->any = true;
    if (m == 0) return;
    f->smallest = f->smallest == 0 ? m : fmin(f->smallest, m);
    f->largest = fmax(f->largest, m);
}

static void measure_float(Format *f, const char *at)
{
    char text[WORD];
    DType d = (DType)f->x->type.dtype;
    double v = dtype_load_f64(d, at);
    if (!isfinite(v)) return;
    if (f->scientific) {
        scientific(d, v, PRECISION, 0, text);
        char *e = strchr(text, 'e');
        f->exponent = MAX_OF(f->exponent, (int)strlen(e) - 2);
        *e = '\0';
    } else {
        positional(d, v, PRECISION, text);
    }
    char *point = strchr(text, '.');
    trim_zeros(text);
    f->left = MAX_OF(f->left, (int)(point - text));
    f->right = MAX_OF(f->right, (int)strlen(point + 1));
}

static void format_of(Format *f)
{
    DType d = (DType)f->x->type.dtype;
    if (d == DT_bool)
        f->width = 5;
    else if (!dtype_is_float(d))
        visit_shown(f, note_integer, 0, f->x->data);
    if (!dtype_is_float(d)) return;
    visit_shown(f, note_float, 0, f->x->data);
    f->scientific =
        f->largest >= positional_limit(d, 1e8) || (f->smallest != 0 && (f->smallest < 1e-4 || f->largest / f->smallest > 1000));
    visit_shown(f, measure_float, 0, f->x->data);
    f->digits = f->right;
    if (f->scientific) f->right += f->exponent + 2;
    if (f->infinite) {
        int room = f->right + 1; /* with the point */
        f->left = MAX_OF(f->left, MAX_OF(3, 3 + f->negative_infinite) - room);
    }
}

static void float_word(const Format *f, double v, char *out)
{
    char text[WORD];
    DType d = (DType)f->x->type.dtype;
    if (!isfinite(v)) {
        snprintf(out, 2 * WORD, "%*s", f->left + f->right + 1, isnan(v) ? "nan" : v < 0 ? "-inf" : "inf");
        return;
    }
    if (f->scientific)
        scientific(d, v, f->digits, f->exponent, text);
    else {
        positional(d, v, PRECISION, text);
        trim_zeros(text);
    }
    int left = (int)(strchr(text, '.') - text), right = (int)strlen(text) - left - 1;
    int before = MIN_OF(MAX_OF(f->left - left, 0), WORD / 4);
    int after = MIN_OF(MAX_OF(f->right - right, 0), WORD / 4);
    snprintf(out, 2 * WORD, "%*s%s%*s", before, "", text, after, "");
}

static void word(const Format *f, const char *at, char *out)
{
    DType d = (DType)f->x->type.dtype;
    if (d == DT_bool)
        snprintf(out, 2 * WORD, "%5s", *at ? "True" : "False");
    else if (d == DT_u64)
        snprintf(out, 2 * WORD, "%*" PRIu64, f->width, (uint64_t)dtype_load_i64(d, at));
    else if (!dtype_is_float(d))
        snprintf(out, 2 * WORD, "%*" PRId64, f->width, dtype_load_i64(d, at));
    else
        float_word(f, dtype_load_f64(d, at), out);
}

/* A scalar as Python prints a NumPy scalar: every digit that matters. */
static void scalar_word(const Format *f, const char *at, char *out)
{
    DType d = (DType)f->x->type.dtype;
    double v = dtype_load_f64(d, at), m = fabs(v);
    if (d == DT_bool) {
        snprintf(out, WORD, "%s", *at ? "True" : "False");
    } else if (!dtype_is_float(d)) {
        word(f, at, out);
    } else if (!isfinite(v)) {
        snprintf(out, WORD, "%s", isnan(v) ? "nan" : v < 0 ? "-inf" : "inf");
    } else if (m == 0 || (m >= 1e-4 && m < positional_limit(d, 1e16))) {
        positional(d, v, 40, out);
        if (out[strlen(out) - 1] == '.') strcat(out, "0");
    } else {
        int exponent, p = shortest(d, v, &exponent);
        snprintf(out, WORD, "%.*e", p, v);
    }
}

/* ---- brackets and lines --------------------------------------------------------------------- */

typedef struct Page {
    Text text;
    size_t line; /* where the last line starts in the text */
} Page;

static size_t column(const Page *p) { return p->text.len - p->line; }

static void new_line(Page *p, int indent)
{
    while (p->text.len > 0 && p->text.at[p->text.len - 1] == ' ') p->text.len--;
    text_add(&p->text, "\n", 1);
    p->line = p->text.len;
    text_printf(&p->text, "%*s", indent, "");
}

static void add_word(Page *p, const char *w, int room, int indent)
{
    if (column(p) + strlen(w) > (size_t)room && column(p) > (size_t)indent) new_line(p, indent);
    text_printf(&p->text, "%s", w);
}

static void row(const Format *f, Page *p, int axis, const char *at)
{
    char w[2 * WORD];
    int64_t n = f->x->type.dim[axis], step = f->x->stride[axis] * (int64_t)dtype_bytes((DType)f->x->type.dtype);
    int room = LINE - axis - 1, indent = axis + 1;
    for (int64_t i = 0; i < n && !p->text.failed; i++) {
        if (i > 0) text_add(&p->text, " ", 1);
        if (f->summary && n > 2 * EDGE && i == EDGE) {
            add_word(p, "...", room, indent);
            text_add(&p->text, " ", 1);
            i = n - EDGE;
        }
        word(f, at + i * step, w);
        add_word(p, w, room, indent);
    }
}

static void block(const Format *f, Page *p, int axis, const char *at)
{
    const Type *type = &f->x->type;
    int64_t n = type->dim[axis], step = f->x->stride[axis] * (int64_t)dtype_bytes((DType)type->dtype);
    text_add(&p->text, "[", 1);
    if (axis == type->rank - 1) {
        row(f, p, axis, at);
    } else {
        for (int64_t i = 0; i < n && !p->text.failed; i++) {
            bool gap = f->summary && n > 2 * EDGE && i == EDGE;
            for (int k = axis + 1; i > 0 && k < type->rank; k++) new_line(p, k == type->rank - 1 ? axis + 1 : 0);
            if (gap) {
                text_add(&p->text, "...", 3);
                for (int k = axis + 1; k < type->rank; k++) new_line(p, k == type->rank - 1 ? axis + 1 : 0);
                i = n - EDGE;
            }
            block(f, p, axis + 1, at + i * step);
        }
    }
    text_add(&p->text, "]", 1);
}

static void print_tensor(Page *p, const kiln_tensor *x)
{
    char w[2 * WORD], type[160];
    int64_t n = type_count(&x->type);
    Format f = {.x = x, .summary = n > THRESHOLD};
    if (x->type.rank == 0) {
        scalar_word(&f, x->data, w);
        text_printf(&p->text, "%s", w);
    } else if (n == 0) {
        text_printf(&p->text, "[]");
    } else {
        format_of(&f);
        block(&f, p, 0, x->data);
    }
    text_printf(&p->text, " %s\n", tensor_text(x, type, sizeof type));
}

bool print_to(Thread *t, kiln_site at, FILE *to, const kiln_tensor *x)
{
    Page p = {0};
    locale_t before = plain_numbers_begin();
    print_tensor(&p, x);
    plain_numbers_end(before);
    bool whole = !p.text.failed, written = whole && fwrite(p.text.at, 1, p.text.len, to) == p.text.len;
    if (!written) fail(t, at, whole ? KILN_EIO : KILN_EMEMORY, "print: %s", whole ? "writing failed" : "no memory for the text");
    text_free(&p.text);
    return written;
}
