/* rules_window: result types of window (the sliding windows of an image, channels last) and of its
 * adjoint. Relies on rules. */
#include "rules.h"

/* Checks kh kw, stride h w, dilation h w. */
static bool geometry(Infer *inf)
{
    static const char *const what[] = {"size", "stride", "dilation"};
    for (uint32_t i = 0; i < 6; i++)
        if (inf->attr[i] < 1 || inf->attr[i] > DIM_MAX)
            return infer_fail(
                inf, ST_VALUE, "%s %lld is out of range", what[i / 2], (long long)inf->attr[i]);
    return true;
}

/* How many windows fit along axis i (0: height, 1: width) of that extent; DIM_BAD if none or
 * perhaps none. */
static Dim positions(Infer *inf, Dim extent, uint32_t i)
{
    DimTable *t = rule_dims(inf);
    Dim covered = dim_add(NULL, dim_mul(NULL, inf->attr[i] - 1, inf->attr[4 + i]), 1);
    Dim last = dim_sub(t, extent, covered);
    if (last == DIM_BAD || dim_lo(t, last) < 0) return DIM_BAD;
    return dim_add(t, dim_floordiv(t, last, inf->attr[2 + i]), 1);
}

/* The windows of an image [n, h, w, c]. */
static bool windows(Infer *inf, const Type *image, Type *out)
{
    *out = (Type){.dtype = image->dtype,
        .rank = 6,
        .dim = {image->dim[0], 0, 0, inf->attr[0], inf->attr[1], image->dim[3]}};
    for (uint32_t i = 0; i < 2; i++) {
        out->dim[1 + i] = positions(inf, image->dim[1 + i], i);
        if (out->dim[1 + i] == DIM_BAD) /* where no window is certain to fit, or too long an expression */
            return infer_fail(inf, ST_SHAPE,
                "a window of %lld x %lld, dilated by %lld x %lld, is larger than the image",
                (long long)inf->attr[0], (long long)inf->attr[1], (long long)inf->attr[4],
                (long long)inf->attr[5]);
    }
    return true;
}

bool infer_window(Infer *inf)
{
    Type out;
    if (inf->in[0]->rank != 4)
        return infer_fail(inf, ST_SHAPE, "needs [n, height, width, channels]");
    return geometry(inf) && windows(inf, inf->in[0], &out) && rule_result(inf, &out);
}

bool infer_window_add(Infer *inf)
{
    const Type *x = inf->in[0];
    if (x->rank != 6)
        return infer_fail(inf, ST_SHAPE, "needs [n, rows, columns, height, width, channels]");
    if (inf->nattr != 8) return infer_fail(inf, ST_VALUE, "needs the image's height and width");
    if (!rule_domain(inf, 0, 'N') || !geometry(inf)) return false;
    Type image = {.dtype = x->dtype,
             .rank = 4,
             .dim = {x->dim[0], inf->attr[6], inf->attr[7], x->dim[5]}},
         expected;
    if (!windows(inf, &image, &expected)) return false;
    if (!type_equal(x, &expected))
        return infer_fail(inf, ST_SHAPE, "these are not the windows of such an image");
    return rule_result(inf, &image);
}
