/* transforms: the public Fourier transforms: lengths, axes, factors, halves of real signals, frames. Relies on fft.h. */
#include "fft.h"

#include <math.h>

#define COMPLEX "a last axis of 2: real and imaginary parts"

typedef struct Fft { /* one composite */
    Thread *t;
    kiln_site at;
    const char *name;
    kiln_fft_norm norm;
    bool inverse; /* the factor is that of an inverse transform */
} Fft;

/* ---- operands
 * --------------------------------------------------------------------------------------------------------------------- */
/* Floats in the type that they compute in, complex or real. NULL: recorded, or poison. */
static kiln_tensor *signal_of(const Fft *f, kiln_operand o, bool is_complex)
{
    char text[96];
    kiln_tensor *x = operand_float(f->t, f->at, f->name, o);
    if (!tensor_ok(x)) return NULL;
    if ((unsigned)f->norm > KILN_FFT_FORWARD) {
        fail(f->t, f->at, KILN_EVALUE, "%s: norm is %d (allowed: KILN_FFT_BACKWARD, KILN_FFT_ORTHO, KILN_FFT_FORWARD)", f->name,
            (int)f->norm);
        return NULL;
    }
    if (x->type.rank < 1 + is_complex || (is_complex && x->type.dim[x->type.rank - 1] != 2)) {
        fail(f->t, f->at, KILN_ESHAPE, is_complex ? "%s: needs " COMPLEX ": %s" : "%s: needs an axis: %s", f->name,
            tensor_text(x, text, sizeof text));
        return NULL;
    }
    x = cast_to(f->t, f->at, x, wide_dtype(x));
    return tensor_ok(x) ? x : NULL;
}

/* n, or the axis's own size. False: recorded. */
static bool length_of(const Fft *f, const kiln_tensor *x, int axis, int64_t *n)
{
    char text[96];
    if (*n < 0)
        return fail(f->t, f->at, KILN_EVALUE, "%s: a length of %lld (allowed: 1 and more; 0: the axis's own)", f->name,
                   (long long)*n),
               false;
    if (*n == 0) *n = x->type.dim[axis];
    if (*n > FFT_LENGTH_MOST)
        return fail(f->t, f->at, KILN_EUNSUPPORTED, "%s: a length of %lld (allowed: up to 2^30)", f->name, (long long)*n), false;
    if (*n > 0) return true;
    if (*n == 0)
        fail(f->t, f->at, KILN_ESHAPE, "%s: axis %d is empty: %s", f->name, axis, tensor_text(x, text, sizeof text));
    else
        fail(f->t, f->at, KILN_EUNSUPPORTED, "%s: the size of axis %d is known only when the function runs: %s", f->name, axis,
            tensor_text(x, text, sizeof text));
    return false;
}

/* The axis cut or padded to n. */
static kiln_tensor *resized(const Fft *f, kiln_tensor *x, int axis, int64_t n)
{
    kiln_shape low = KILN_SHAPE(), high = KILN_SHAPE();
    if (!tensor_ok(x) || x->type.dim[axis] == n) return x;
    if (!dim_is_const(x->type.dim[axis]))
        return fail(f->t, f->at, KILN_EUNSUPPORTED,
            "%s: the size of axis %d, to be cut or padded, is known only when the function runs", f->name, axis);
    if (x->type.dim[axis] > n) return slice_axis(f->t, f->at, x, axis, 0, n);
    low.rank = high.rank = x->type.rank;
    for (int i = 1; i <= x->type.rank; i++) low.size[i] = high.size[i] = 0;
    high.size[axis + 1] = n - x->type.dim[axis];
    return kiln_pad_at(f->at, of(x), low, high, KILN_OPERAND(0));
}

/* ---- along one axis
 * ------------------------------------------------------------------------------------------------------------------ */
static kiln_tensor *moved(const Fft *f, kiln_tensor *x, int from, int to)
{
    int perm[MAX_RANK], n = 0;
    if (!tensor_ok(x) || from == to) return x;
    for (int i = 0; i < x->type.rank; i++) {
        if (n == to) perm[n++] = from;
        if (i != from) perm[n++] = i;
    }
    if (n == to) perm[n] = from;
    return transpose_to(f->t, f->at, x, perm);
}

static kiln_tensor *scaled(const Fft *f, kiln_tensor *x, int64_t n)
{
    const double by = f->norm == KILN_FFT_ORTHO                     ? 1 / sqrt((double)n)
                      : (f->norm == KILN_FFT_FORWARD) != f->inverse ? 1 / (double)n
                                                                    : 1;
    return by == 1 || !tensor_ok(x) ? x : kiln_mul_at(f->at, of(x), KILN_OPERAND(by));
}

#define SIDE_BY_SIDE 8 /* from so many inner elements on an axis is transformed where it is */

/* x along an axis that is not the innermost, a power of two. NULL: another way is better. */
static kiln_tensor *in_place(const Fft *f, kiln_tensor *x, bool is_complex, int axis, int64_t n, int sign)
{
    const int last = x->type.rank - 1 - is_complex;
    if (n < 2 || (n & (n - 1)) != 0 || axis == last) return NULL;
    const Dim inner = extent_product(f->t, f->at, x->type.dim + axis + 1, last - axis),
              count = extent_product(f->t, f->at, x->type.dim, axis);
    if (inner == DIM_BAD || count == DIM_BAD) return &f->t->k->poison;
    if (dim_is_const(inner) && inner < SIDE_BY_SIDE) return NULL;
    return fft_stages(f->t, f->at, reshape_to(f->t, f->at, x, (const Dim[]){count, n, inner, 2}, 3 + is_complex), is_complex, sign);
}

/* x, real or complex, along an axis of length n, complex; its sizes but for the axis stay. */
static kiln_tensor *transformed(const Fft *f, kiln_tensor *x, bool is_complex, int axis, int64_t n, int sign)
{
    Dim count = 1;
    x = resized(f, x, axis, n);
    if (!tensor_ok(x)) return x;
    const int last = x->type.rank - 1 - is_complex;
    Type t = x->type;
    if (!is_complex && t.rank == MAX_RANK)
        return fail(f->t, f->at, KILN_ESHAPE, "%s: no room for one more axis (allowed: %d)", f->name, MAX_RANK);
    kiln_tensor *there = in_place(f, x, is_complex, axis, n, sign);
    if (there) {
        t.dim[last + 1] = 2;
        t.rank = (uint8_t)(last + 2);
        return tensor_ok(there) ? reshape_to(f->t, f->at, scaled(f, there, n), t.dim, t.rank) : there;
    }
    x = moved(f, x, axis, last);
    if (!tensor_ok(x)) return x;
    t = x->type;
    for (int i = 0; i < last; i++)
        if ((count = extent(f->t, f->at, EXTENT_MUL, count, t.dim[i])) == DIM_BAD) return &f->t->k->poison;
    const Dim lines[3] = {count, n, 2};
    kiln_tensor *y = fft_lines(f->t, f->at, reshape_to(f->t, f->at, x, lines, 2 + is_complex), sign);
    if (!tensor_ok(y)) return y;
    t.dim[last] = n, t.dim[last + 1] = 2;
    t.rank = (uint8_t)(last + 2);
    return moved(f, reshape_to(f->t, f->at, scaled(f, y, n), t.dim, t.rank), last, axis);
}

static kiln_tensor *conjugate(const Fft *f, kiln_tensor *x)
{
    const double sign[2] = {1, -1};
    return tensor_ok(x) ? kiln_mul_at(f->at, of(x), of(fft_constant(f->t, f->at, x, KILN_SHAPE(2), sign, 2))) : x;
}

/* The real signal whose first half is x: the rest are the conjugates, the last one first. */
static kiln_tensor *real_of(const Fft *f, kiln_tensor *x, int axis, int64_t n, int sign)
{
    const int64_t half = n / 2 + 1;
    x = resized(f, x, axis, half);
    if (!tensor_ok(x)) return x;
    if (n > half) {
        kiln_tensor *rest = slice_axis(f->t, f->at, x, axis, 1, n - half);
        if (tensor_ok(rest)) rest = apply1(f->t, f->at, OP_flip, rest, (int64_t[]){axis}, 1);
        x = kiln_concat_of_at(f->at, KILN_IN(x, conjugate(f, rest)), axis);
    } else if (n < half) {
        x = slice_axis(f->t, f->at, x, axis, 0, n); /* n is 1 */
    }
    x = transformed(f, x, true, axis, n, sign);
    return tensor_ok(x) ? kiln_squeeze_at(f->at, of(slice_axis(f->t, f->at, x, x->type.rank - 1, 0, 1)), -1) : x;
}

typedef enum Kind { COMPLEX_TO_COMPLEX, REAL_TO_HALF, HALF_TO_REAL } Kind;

static kiln_tensor *along(const Fft *f, Kind kind, kiln_tensor *x, int axis, int64_t n, int sign)
{
    if (!tensor_ok(x)) return x;
    if (kind == HALF_TO_REAL && n == 0 && x->type.dim[axis] > 0) n = MAX_OF(2 * (x->type.dim[axis] - 1), 1);
    if (!length_of(f, x, axis, &n)) return &f->t->k->poison;
    if (kind == HALF_TO_REAL) return real_of(f, x, axis, n, sign);
    x = transformed(f, x, kind == COMPLEX_TO_COMPLEX, axis, n, sign);
    return kind == REAL_TO_HALF && tensor_ok(x) ? slice_axis(f->t, f->at, x, axis, 0, n / 2 + 1) : x;
}

static kiln_tensor *ended(const Fft *f, Composite *s, kiln_tensor *given, kiln_tensor *r)
{
    if (tensor_ok(r) && tensor_ok(given)) r = cast_to(f->t, f->at, r, (DType)given->type.dtype);
    return composite_end(f->t, s, r ? r : &f->t->k->poison);
}

/* conj: 1 the operand's conjugate is taken before, 2 the result's after */
static kiln_tensor *one_axis(Fft f, Kind kind, kiln_operand o, int64_t n, int axis, int sign, int conj)
{
    f.t = op_thread(&o, 1);
    if (!f.t) return NULL;
    Composite s = composite_begin(f.t, f.name);
    kiln_tensor *given = operand_named(f.t, f.at, f.name, o, NULL),
                *x = tensor_ok(given) ? signal_of(&f, of(given), kind != REAL_TO_HALF) : NULL, *r = NULL;
    if (x && axis_of(f.t, f.at, f.name, axis, x->type.rank - (kind != REAL_TO_HALF), &axis)) {
        r = along(&f, kind, conj == 1 ? conjugate(&f, x) : x, axis, n, sign);
        if (conj == 2) r = conjugate(&f, r);
    }
    return ended(&f, &s, given, r);
}

#define FFT(called, is_inverse) ((Fft){.at = at, .name = called, .norm = norm, .inverse = is_inverse})

kiln_tensor *kiln_fft_at(kiln_site at, kiln_operand x, int64_t n, int axis, kiln_fft_norm norm)
{
    return one_axis(FFT("fft", false), COMPLEX_TO_COMPLEX, x, n, axis, -1, 0);
}

kiln_tensor *kiln_ifft_at(kiln_site at, kiln_operand x, int64_t n, int axis, kiln_fft_norm norm)
{
    return one_axis(FFT("ifft", true), COMPLEX_TO_COMPLEX, x, n, axis, 1, 0);
}

kiln_tensor *kiln_rfft_at(kiln_site at, kiln_operand x, int64_t n, int axis, kiln_fft_norm norm)
{
    return one_axis(FFT("rfft", false), REAL_TO_HALF, x, n, axis, -1, 0);
}

kiln_tensor *kiln_irfft_at(kiln_site at, kiln_operand x, int64_t n, int axis, kiln_fft_norm norm)
{
    return one_axis(FFT("irfft", true), HALF_TO_REAL, x, n, axis, 1, 0);
}

kiln_tensor *kiln_hfft_at(kiln_site at, kiln_operand x, int64_t n, int axis, kiln_fft_norm norm)
{
    return one_axis(FFT("hfft", false), HALF_TO_REAL, x, n, axis, 1, 1);
}

kiln_tensor *kiln_ihfft_at(kiln_site at, kiln_operand x, int64_t n, int axis, kiln_fft_norm norm)
{
    return one_axis(FFT("ihfft", true), REAL_TO_HALF, x, n, axis, -1, 2);
}

/* ---- along several
 * ---------------------------------------------------------------------------------------------------------------------- */
/* The axes in order, and their lengths. False: recorded. */
static bool axes_of(const Fft *f, const kiln_axes *axes, const kiln_shape *sizes, int rank, int *at, int64_t *n, int *count)
{
    bool named[MAX_RANK] = {false};
    *count = axes->count < 0 ? rank : axes->count;
    if (axes->count > KILN_MAX_RANK || (sizes->rank != 0 && sizes->rank != *count)) {
        fail(f->t, f->at, KILN_ESHAPE, "%s: %d axes, %lld sizes: there must be a size for each, or none", f->name, *count,
            (long long)sizes->rank);
        return false;
    }
    for (int i = 0; i < *count; i++) {
        at[i] = i;
        if (axes->count >= 0 && !axis_of(f->t, f->at, f->name, axes->axis[1 + i], rank, &at[i])) return false;
        if (named[at[i]]) return fail(f->t, f->at, KILN_ESHAPE, "%s: axis %d is named twice", f->name, at[i]), false;
        named[at[i]] = true;
        n[i] = sizes->rank ? sizes->size[1 + i] : 0;
    }
    return true;
}

static kiln_tensor *many_axes(Fft f, Kind kind, kiln_operand o, kiln_shape sizes, kiln_axes axes, int sign)
{
    f.t = op_thread(&o, 1);
    if (!f.t) return NULL;
    int at[MAX_RANK], count;
    int64_t n[MAX_RANK];
    const bool is_complex = kind != REAL_TO_HALF;
    Composite s = composite_begin(f.t, f.name);
    kiln_tensor *given = operand_named(f.t, f.at, f.name, o, NULL),
                *x = tensor_ok(given) ? signal_of(&f, of(given), is_complex) : NULL, *r = NULL;
    if (x && axes_of(&f, &axes, &sizes, x->type.rank - is_complex, at, n, &count)) {
        r = x;
        if (kind == REAL_TO_HALF && count == 0) r = fail(f.t, f.at, KILN_ESHAPE, "%s: no axes", f.name);
        if (kind == REAL_TO_HALF && count > 0) r = along(&f, kind, r, at[count - 1], n[count - 1], sign);
        for (int i = count - 1 - (kind != COMPLEX_TO_COMPLEX); i >= 0; i--) r = along(&f, COMPLEX_TO_COMPLEX, r, at[i], n[i], sign);
        if (kind == HALF_TO_REAL && count == 0) r = fail(f.t, f.at, KILN_ESHAPE, "%s: no axes", f.name);
        if (kind == HALF_TO_REAL && count > 0) r = along(&f, kind, r, at[count - 1], n[count - 1], sign);
        if (tensor_ok(r)) r = result_of(f.t, f.at, r, given);
    }
    return ended(&f, &s, given, r);
}

kiln_tensor *kiln_fftn_at(kiln_site at, kiln_operand x, kiln_shape sizes, kiln_axes axes, kiln_fft_norm norm)
{
    return many_axes(FFT("fftn", false), COMPLEX_TO_COMPLEX, x, sizes, axes, -1);
}

kiln_tensor *kiln_ifftn_at(kiln_site at, kiln_operand x, kiln_shape sizes, kiln_axes axes, kiln_fft_norm norm)
{
    return many_axes(FFT("ifftn", true), COMPLEX_TO_COMPLEX, x, sizes, axes, 1);
}

kiln_tensor *kiln_rfftn_at(kiln_site at, kiln_operand x, kiln_shape sizes, kiln_axes axes, kiln_fft_norm norm)
{
    return many_axes(FFT("rfftn", false), REAL_TO_HALF, x, sizes, axes, -1);
}

kiln_tensor *kiln_irfftn_at(kiln_site at, kiln_operand x, kiln_shape sizes, kiln_axes axes, kiln_fft_norm norm)
{
    return many_axes(FFT("irfftn", true), HALF_TO_REAL, x, sizes, axes, 1);
}

/* ---- frequencies
 * -------------------------------------------------------------------------------------------------------------------------- */
/* i / (n spacing) for i from 0 to count - 1, those from `negative` on less n. */
static kiln_tensor *frequencies(
    kiln_site at, kiln *k, const char *name, kiln_dtype d, int64_t n, int64_t count, int64_t negative, double spacing)
{
    Thread *t = thread_of(k);
    if (!t) return NULL;
    if (n < 1 || !dtype_known(d) || !dtype_is_float((DType)d))
        return fail(
            t, at, n < 1 ? KILN_EVALUE : KILN_EDTYPE, "%s: %s", name, n < 1 ? "n must be 1 or more" : "frequencies are floats");
    Composite s = composite_begin(t, name);
    kiln_tensor *i = kiln_iota_at(at, k, KILN_I64, KILN_SHAPE(count), 0);
    i = kiln_where_at(at, of(kiln_lt_at(at, of(i), KILN_OPERAND(negative))), of(i), of(kiln_sub_at(at, of(i), KILN_OPERAND(n))));
    i = kiln_div_at(at, of(kiln_cast_at(at, of(i), KILN_F64)), KILN_OPERAND((double)n * spacing));
    return composite_end(t, &s, kiln_cast_at(at, of(i), d));
}

kiln_tensor *kiln_fftfreq_at(kiln_site at, kiln *k, kiln_dtype d, int64_t n, double spacing)
{
    return frequencies(at, k, "fftfreq", d, n, n, n - n / 2, spacing);
}

kiln_tensor *kiln_rfftfreq_at(kiln_site at, kiln *k, kiln_dtype d, int64_t n, double spacing)
{
    return frequencies(at, k, "rfftfreq", d, n, n / 2 + 1, n / 2 + 1, spacing);
}

static kiln_tensor *shifted(kiln_site at, const char *name, kiln_operand o, kiln_axes axes, bool back)
{
    Fft f = {.t = op_thread(&o, 1), .at = at, .name = name};
    if (!f.t) return NULL;
    int axis[MAX_RANK], count;
    int64_t none[MAX_RANK];
    Composite s = composite_begin(f.t, name);
    kiln_tensor *given = operand_named(f.t, at, name, o, NULL), *x = given;
    if (tensor_ok(x) && !axes_of(&f, &axes, &(kiln_shape){0}, x->type.rank, axis, none, &count)) x = &f.t->k->poison;
    for (int i = 0; tensor_ok(x) && i < count; i++) {
        const Dim n = x->type.dim[axis[i]], less = extent(f.t, at, EXTENT_FLOORDIV, n, 2),
                  more = extent(f.t, at, EXTENT_SUB, n, less);
        const Dim first = back ? less : more; /* elements that go behind the others */
        if (less == DIM_BAD || more == DIM_BAD) {
            x = &f.t->k->poison;
            break;
        }
        kiln_tensor *before = slice_axis(f.t, at, x, axis[i], 0, first);
        kiln_tensor *behind = slice_axis(f.t, at, x, axis[i], first, back ? more : less);
        x = kiln_concat_of_at(at, KILN_IN(behind, before), axis[i]);
    }
    return composite_end(f.t, &s, tensor_ok(x) ? result_of(f.t, at, x, given) : x);
}

kiln_tensor *kiln_fftshift_at(kiln_site at, kiln_operand x, kiln_axes axes) { return shifted(at, "fftshift", x, axes, false); }

kiln_tensor *kiln_ifftshift_at(kiln_site at, kiln_operand x, kiln_axes axes) { return shifted(at, "ifftshift", x, axes, true); }

/* ---- frames
 * ---------------------------------------------------------------------------------------------------------------------------------
 */
/* Checks the window and hop. The window in x's type; NULL: recorded. */
static kiln_tensor *window_of(const Fft *f, const kiln_tensor *x, kiln_operand o, int64_t hop, int64_t *size)
{
    char text[96];
    kiln_tensor *w = operand_float(f->t, f->at, f->name, o);
    if (!tensor_ok(w)) return NULL;
    *size = w->type.rank == 1 ? w->type.dim[0] : -1;
    if (*size < 1) {
        fail(f->t, f->at, KILN_ESHAPE, "%s: the window must be a vector of a known size: %s", f->name,
            tensor_text(w, text, sizeof text));
        return NULL;
    }
    if (hop < 1) {
        fail(f->t, f->at, KILN_EVALUE, "%s: hop is %lld (allowed: 1 and more)", f->name, (long long)hop);
        return NULL;
    }
    return cast_to(f->t, f->at, w, (DType)x->type.dtype);
}

/* i hop + j, i64[frames, size] */
static kiln_tensor *places(const Fft *f, const kiln_tensor *x, int64_t frames, int64_t size, int64_t hop)
{
    const Type t = {.dtype = DT_i64, .rank = 2, .dim = {frames, size}};
    kiln_tensor *first = kiln_mul_at(f->at, of(iota_of(f->t, f->at, &t, 0, x)), KILN_OPERAND(hop));
    return kiln_add_at(f->at, of(first), of(iota_of(f->t, f->at, &t, 1, x)));
}

kiln_tensor *kiln_stft_at(kiln_site at, kiln_operand o, kiln_operand window, int64_t hop)
{
    Fft f = {.t = op_thread(&o, 1), .at = at, .name = "stft"};
    if (!f.t) return NULL;
    char text[96];
    int64_t size = 0;
    Composite s = composite_begin(f.t, "stft");
    kiln_tensor *given = operand_named(f.t, at, "stft", o, NULL), *x = tensor_ok(given) ? signal_of(&f, of(given), false) : NULL;
    kiln_tensor *w = x ? window_of(&f, x, window, hop, &size) : NULL, *r = NULL;
    const Dim samples = x ? x->type.dim[x->type.rank - 1] : 0;
    if (w && samples < size) {
        if (samples < 0)
            fail(f.t, at, KILN_EUNSUPPORTED, "stft: the number of samples is known only when the function runs: %s",
                tensor_text(x, text, sizeof text));
        else
            fail(f.t, at, KILN_ESHAPE, "stft: a frame has %lld samples: %s", (long long)size, tensor_text(x, text, sizeof text));
    } else if (w) {
        r = kiln_gather_at(at, of(x), of(places(&f, x, (samples - size) / hop + 1, size, hop)), -1);
        r = kiln_mul_at(at, of(r), of(w));
        r = tensor_ok(r) ? along(&f, REAL_TO_HALF, r, r->type.rank - 1, 0, -1) : r;
    }
    return ended(&f, &s, given, r);
}

/* Frames [..., frames, size] added up where they lie: [..., samples] */
static kiln_tensor *added(const Fft *f, kiln_tensor *x, int64_t samples, int64_t hop)
{
    if (!tensor_ok(x)) return x;
    const int rank = x->type.rank;
    const int64_t frames = x->type.dim[rank - 2], size = x->type.dim[rank - 1];
    Type t = x->type;
    t.dim[--t.rank - 1] = samples;
    return kiln_scatter_at(f->at, of(constant_of(f->t, f->at, &t, kiln_of_i(0))), of(places(f, x, frames, size, hop)), of(x),
        rank - 2, KILN_SCATTER_ADD);
}

kiln_tensor *kiln_istft_at(kiln_site at, kiln_operand o, kiln_operand window, int64_t hop)
{
    Fft f = {.t = op_thread(&o, 1), .at = at, .name = "istft", .inverse = true};
    if (!f.t) return NULL;
    char text[96];
    int64_t size = 0;
    Composite s = composite_begin(f.t, "istft");
    kiln_tensor *given = operand_named(f.t, at, "istft", o, NULL), *x = tensor_ok(given) ? signal_of(&f, of(given), true) : NULL;
    kiln_tensor *w = x ? window_of(&f, x, window, hop, &size) : NULL, *r = NULL;
    const int rank = x ? x->type.rank : 0;
    if (w && (rank < 3 || x->type.dim[rank - 2] != size / 2 + 1 || x->type.dim[rank - 3] < 1)) {
        fail(f.t, at, KILN_ESHAPE, "istft: needs [..., frames, %lld, 2] for a window of %lld: %s", (long long)(size / 2 + 1),
            (long long)size, tensor_text(x, text, sizeof text));
    } else if (w) {
        const int64_t frames = x->type.dim[rank - 3];
        const Dim samples = extent(f.t, at, EXTENT_ADD, extent(f.t, at, EXTENT_MUL, frames - 1, hop), size);
        if (samples == DIM_BAD) return ended(&f, &s, given, NULL);
        kiln_tensor *square = kiln_mul_at(at, of(w), of(w));
        kiln_tensor *weight =
            tensor_ok(square) ? added(&f, broadcast_to(f.t, at, square, &(Type){.rank = 2, .dim = {frames, size}}), samples, hop)
                              : square;
        kiln_tensor *is = kiln_gt_at(at, of(weight), KILN_OPERAND(0));
        r = added(&f, kiln_mul_at(at, of(along(&f, HALF_TO_REAL, x, rank - 2, size, 1)), of(w)), samples, hop);
        r = kiln_where_at(
            at, of(is), of(kiln_div_at(at, of(r), of(kiln_where_at(at, of(is), of(weight), KILN_OPERAND(1))))), KILN_OPERAND(0));
    }
    return ended(&f, &s, given, r);
}
