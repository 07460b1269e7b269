/* static_argument: plain C values that are part of a function's signature. A handle carries one from the call to the body; it has
 * no dtype and no elements, so every operation refuses it. Never converts silently. */
#include "function.h"

#include <math.h>
#include <stdio.h>

static uint64_t hash_of(const Fixed *v)
{
    uint64_t h = hash_mix(v->kind, (uint64_t)v->bits);
    return (v->text ? hash_bytes(h, v->text, (size_t)v->bits) : h) | 1;
}

kiln_tensor *static_argument(Thread *t, kiln_site at, kiln_operand o)
{
    Fixed v = {.kind = o.kind, .bits = o.as.i};
    if (o.kind == 9) {
        if (!o.as.text) {
            fail(t, at, KILN_EVALUE, "the text of a static argument is NULL");
            return NULL;
        }
        v.text = o.as.text;
        v.bits = (int64_t)strlen(o.as.text);
    }
    kiln_tensor *x = tensor_new(t, at);
    if (!x) return NULL;
    x->state = TENSOR_STATIC;
    x->type.dtype = DT_NONE;
    x->type.rank = 0;
    x->data = (char *)(uintptr_t)v.text;
    x->stride[0] = v.bits;
    x->stride[1] = v.kind;
    x->signature = hash_of(&v);
    return x;
}

Fixed static_value(const kiln_tensor *x)
{
    if (x->state != TENSOR_STATIC) return (Fixed){0};
    return (Fixed){.kind = (uint32_t)x->stride[1], .bits = x->stride[0], .text = x->data};
}

bool fixed_equal(const Fixed *a, const Fixed *b)
{
    if (a->kind != b->kind || a->bits != b->bits) return false;
    return !a->text || !memcmp(a->text, b->text, (size_t)a->bits);
}

static double as_double(const Fixed *v)
{
    double f;
    memcpy(&f, &v->bits, sizeof f);
    return f;
}

const char *fixed_text(const Fixed *v, char *buf, size_t cap)
{
    if (v->kind == 7) snprintf(buf, cap, "%lld", (long long)v->bits);
    if (v->kind == 8) plain_snprintf(buf, cap, "%.9g", as_double(v));
    if (v->kind == 9) snprintf(buf, cap, "\"%.*s\"", (int)MIN_OF(v->bits, 40), v->text);
    return buf;
}

/* ---- what a body reads ---------------------------------------------------------------------------------------- */
static bool take(kiln_site at, const kiln_tensor *x, Fixed *out)
{
    Thread *t = x && x->k ? thread_of(x->k) : thread_last();
    *out = x ? static_value(x) : (Fixed){0};
    if (out->kind) return true;
    char text[160];
    if (!x || x->state != TENSOR_POISON)
        fail(t, at, KILN_EVALUE, "static: the argument is %s, not a C value; pass it as KILN_STATIC(value)",
            tensor_text(x, text, sizeof text));
    return false;
}

int64_t kiln_static_i64_at(kiln_site at, const kiln_tensor *x)
{
    Fixed v;
    if (!take(at, x, &v)) return 0;
    if (v.kind == 7) return v.bits;
    double f = v.kind == 8 ? as_double(&v) : NAN;
    if (f == floor(f) && fabs(f) < 0x1p63) return (int64_t)f;
    char text[64];
    fail(thread_of(x->k), at, KILN_EVALUE, "static: %s is not an integer", fixed_text(&v, text, sizeof text));
    return 0;
}

double kiln_static_f64_at(kiln_site at, const kiln_tensor *x)
{
    Fixed v;
    if (!take(at, x, &v)) return NAN;
    if (v.kind == 7) return (double)v.bits;
    if (v.kind == 8) return as_double(&v);
    char text[64];
    fail(thread_of(x->k), at, KILN_EVALUE, "static: %s is not a number", fixed_text(&v, text, sizeof text));
    return NAN;
}

const char *kiln_static_text_at(kiln_site at, const kiln_tensor *x)
{
    Fixed v;
    if (!take(at, x, &v)) return "";
    if (v.kind == 9) return v.text;
    char text[64];
    fail(thread_of(x->k), at, KILN_EVALUE, "static: %s is not a text", fixed_text(&v, text, sizeof text));
    return "";
}
